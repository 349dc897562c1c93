package config

import (
	"bytes"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"ermine/node/config/hocon"
)

// Dump writes a configuration as HOCON: every key that works, with the value in
// effect. Secrets are masked unless reveal is set; then Load reads the result back
// as the same configuration. With path, only what is at or below that path is
// written, under its whole name; a path that names nothing gives nothing.
func Dump(cfg *Config, path string, reveal bool) []byte {
	root := tree(cfg, reveal)
	if path == "" {
		return hocon.Format(root)
	}
	if _, present, ok := Lookup(path); ok {
		path = present
	}
	segs := splitPath(path)
	v := root
	for _, s := range segs {
		if v = v.Get(s); v == nil {
			return nil
		}
	}
	if v.Kind == hocon.Object && len(v.Fields()) == 0 {
		return nil
	}
	out := hocon.NewObject(hocon.Pos{})
	out.Set(segs[0], hocon.Pos{}, hocon.Wrap(v, segs[1:]...))
	return hocon.Format(out)
}

// tree is a configuration as a tree of the file's form.
func tree(cfg *Config, reveal bool) *hocon.Value {
	d := dumper{reveal: reveal}
	root := hocon.NewObject(hocon.Pos{})
	// The roots come in the order of the struct; listeners, zones and groups,
	// which have chosen names, are put among them.
	d.group(root, reflect.ValueOf(*cfg), "")
	if len(cfg.Broker.SharedGroups) > 0 {
		groups := hocon.NewObject(hocon.Pos{})
		for _, name := range slices.Sorted(maps.Keys(cfg.Broker.SharedGroups)) {
			groups.Set(name, hocon.Pos{}, hocon.Wrap(word(cfg.Broker.SharedGroups[name]), "strategy"))
		}
		if root.Get("broker") == nil {
			root.Set("broker", hocon.Pos{}, hocon.NewObject(hocon.Pos{}))
		}
		root.Get("broker").Set("shared_subscription_group", hocon.Pos{}, groups)
	}
	listeners := hocon.NewObject(hocon.Pos{})
	for _, li := range cfg.Listeners {
		o := listeners.Get(li.Type)
		if o == nil {
			o = hocon.NewObject(hocon.Pos{})
			listeners.Set(li.Type, hocon.Pos{}, o)
		}
		one := hocon.NewObject(hocon.Pos{})
		d.group(one, reflect.ValueOf(li), "listeners."+li.Type+".$name.")
		o.Set(li.Name, hocon.Pos{}, one)
	}
	root.Set("listeners", hocon.Pos{}, listeners)
	zones := hocon.NewObject(hocon.Pos{})
	for _, name := range slices.Sorted(maps.Keys(cfg.Zones)) {
		one := hocon.NewObject(hocon.Pos{})
		d.group(one, reflect.ValueOf(cfg.Zones[name]), "zones.$name.")
		zones.Set(name, hocon.Pos{}, one)
	}
	if len(cfg.Zones) > 0 {
		root.Set("zones", hocon.Pos{}, zones)
	}
	return root
}

type dumper struct{ reveal bool }

// group writes the fields of a struct; prefix leads to the schema's keys.
func (d dumper) group(into *hocon.Value, v reflect.Value, prefix string) {
	for i := range v.NumField() {
		tag := v.Type().Field(i).Tag.Get("conf")
		if tag == "-" {
			continue
		}
		k := keyByPath[prefix+tag]
		if k == nil {
			if !isGroup(v.Field(i).Type()) {
				continue // a TLS field of a listener without TLS
			}
			o := hocon.NewObject(hocon.Pos{})
			d.group(o, v.Field(i), prefix+tag+".")
			if len(o.Fields()) > 0 {
				into.Set(tag, hocon.Pos{}, o)
			}
			continue
		}
		into.Set(tag, hocon.Pos{}, d.value(k, v.Field(i)))
	}
}

// value writes a value so that convert reads it back.
func (d dumper) value(k *Key, v reflect.Value) *hocon.Value {
	switch val := v.Interface().(type) {
	case bool:
		return &hocon.Value{Kind: hocon.Bool, Text: strconv.FormatBool(val)}
	case int:
		return numberOrWord(k, int64(val), strconv.Itoa(val))
	case float64:
		return &hocon.Value{Kind: hocon.Number, Text: strconv.FormatFloat(val, 'f', -1, 64)}
	case time.Duration:
		return numberOrWord(k, int64(val), FormatDuration(val))
	case int64:
		return numberOrWord(k, val, FormatSize(val))
	case Rate:
		if k.Type == TypeByteRate {
			return word(val.format(FormatSize))
		}
		return word(val.String())
	case Secret:
		if val != "" && !d.reveal {
			return hocon.NewString(hocon.Pos{}, mask)
		}
		return hocon.NewString(hocon.Pos{}, val.Reveal())
	case netip.Addr:
		if !val.IsValid() {
			return hocon.NewString(hocon.Pos{}, "")
		}
		return hocon.NewString(hocon.Pos{}, val.String())
	case netip.AddrPort:
		return hocon.NewString(hocon.Pos{}, val.String())
	case string:
		if k.Type == TypeEnum && val != "" {
			return word(val)
		}
		return hocon.NewString(hocon.Pos{}, val)
	case map[string]int:
		if len(val) == 0 {
			return word("disabled")
		}
		o := hocon.NewObject(hocon.Pos{})
		for _, name := range slices.Sorted(maps.Keys(val)) {
			o.Set(name, hocon.Pos{}, &hocon.Value{Kind: hocon.Number, Text: strconv.Itoa(val[name])})
		}
		return o
	}
	if v.Kind() == reflect.Slice {
		list := &hocon.Value{Kind: hocon.Array}
		for i := range v.Len() {
			e := v.Index(i)
			if isGroup(e.Type()) {
				o := hocon.NewObject(hocon.Pos{})
				d.group(o, e, k.Path+".$n.")
				list.Items = append(list.Items, o)
				continue
			}
			if e.Kind() == reflect.Int {
				list.Items = append(list.Items, word(strconv.FormatInt(e.Int(), 10)))
				continue
			}
			list.Items = append(list.Items, hocon.NewString(hocon.Pos{}, fmt.Sprint(e.Interface())))
		}
		return list
	}
	return hocon.NewString(hocon.Pos{}, fmt.Sprint(v.Interface()))
}

// word is text as it would stand without quotes.
func word(s string) *hocon.Value { return hocon.ParseValue("", s) }

func numberOrWord(k *Key, n int64, text string) *hocon.Value {
	switch {
	case n == 0 && k.Word != "":
		return word(k.Word)
	case k.Type == TypeInt:
		return &hocon.Value{Kind: hocon.Number, Text: text}
	}
	return word(text)
}

// inline writes a value in one line.
func inline(v *hocon.Value) string {
	lines := strings.Split(string(bytes.TrimSpace(hocon.Format(v))), "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return strings.Join(lines, " ")
}
