package config

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"ermine/node/config/hocon"
)

// convert gives a value its Go type, as Type's comments say, and checks what the
// key allows.
func convert(k *Key, v *hocon.Value) (any, []fault) {
	bad := func(err error) []fault {
		shown := "is " + v.Kind.Phrase()
		if v.Kind != hocon.Object && v.Kind != hocon.Array {
			shown = strconv.Quote(v.Text)
			if k.Secret {
				shown = "the value"
			}
		}
		msg := shown
		if err != nil {
			msg = shown + " " + err.Error()
		} else if !strings.HasPrefix(shown, "is") {
			msg = shown + " is not allowed"
		}
		return []fault{{msg: msg, allowed: k.AllowedText()}}
	}
	switch k.Type {
	case TypeAny:
		return v, nil
	case TypeObjects:
		return toObjects(k, v)
	case TypeStrings, TypeInts, TypeNodeNames, TypeNetworks, TypeRules:
		return toList(k, v)
	case TypePriorities:
		return toPriorities(k, v)
	default:
	}
	if v.Kind == hocon.Object || v.Kind == hocon.Array || v.Kind == hocon.Null {
		return nil, bad(nil)
	}
	s := strings.TrimSpace(v.Text)
	if k.Word != "" && (strings.EqualFold(s, k.Word) || s == "infinity" && k.Word == "disabled") {
		s = zeroText[k.Type]
		if k.Type != TypeRate && k.Type != TypeByteRate {
			// Zero may lie below the key's own minimum.
			free := *k
			free.Min, free.Max = 0, 0
			k = &free
		}
	}
	var out any
	var err error
	switch k.Type {
	case TypeBool:
		out, err = toBool(s)
	case TypeInt:
		out, err = toInt(k, s)
	case TypeFloat:
		out, err = toFloat(k, s)
	case TypePercent:
		out, err = toPercent(s)
	case TypeDuration:
		out, err = toDuration(k, v, s)
	case TypeSize:
		out, err = toSize(k, v, s)
	case TypeRate, TypeByteRate:
		out, err = ParseRate(s, k.Type == TypeByteRate)
	case TypeString, TypePath:
		out, err = toText(k, v)
	case TypeEnum:
		if !slices.Contains(k.Allowed, s) && (s != "" || k.Default != "") {
			if b, isFlag := flags[s]; isFlag && slices.Contains(k.Allowed, strconv.FormatBool(b)) {
				s = strconv.FormatBool(b)
			} else {
				return nil, bad(nil)
			}
		}
		out = s
	case TypeBind:
		out, err = toBind(s)
	case TypeAddr:
		out, err = toAddr(s)
	case TypeNodeName:
		out, err = s, checkNodeName(s)
	default:
		err = errors.New("has a type unknown to this program")
	}
	if err != nil {
		return nil, bad(err)
	}
	return out, nil
}

// zeroText is what infinity and disabled are read as.
var zeroText = map[Type]string{
	TypeInt: "0", TypeFloat: "0", TypeDuration: "0", TypeSize: "0", TypeRate: "infinity", TypeByteRate: "infinity",
}

var flags = map[string]bool{"true": true, "on": true, "false": false, "off": false}

func toBool(s string) (bool, error) {
	b, ok := flags[strings.ToLower(s)]
	if !ok {
		return false, errors.New("is neither true nor false")
	}
	return b, nil
}

// within checks a number against the key's limits.
func within(k *Key, n int64) error {
	switch {
	case k.Max == 0:
		return nil
	case n < k.Min:
		return errors.New("is too small")
	case n > k.Max:
		return errors.New("is too large")
	}
	return nil
}

func toInt(k *Key, s string) (int, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, errors.New("is no whole number")
	}
	return int(n), within(k, n)
}

func toFloat(k *Key, s string) (float64, error) {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		return 0, errors.New("is no number")
	}
	if k.Max != 0 && (f < float64(k.Min) || f > float64(k.Max)) {
		return 0, errors.New("is out of range")
	}
	return f, nil
}

func toPercent(s string) (float64, error) {
	num, percent := strings.CutSuffix(s, "%")
	f, err := strconv.ParseFloat(strings.TrimSpace(num), 64)
	if err != nil || math.IsNaN(f) {
		return 0, errors.New("is no share")
	}
	if percent {
		f /= 100
	}
	if f < 0 || f > 1 {
		return 0, errors.New("is not between 0% and 100%")
	}
	return f, nil
}

func toDuration(k *Key, v *hocon.Value, s string) (time.Duration, error) {
	unit := time.Millisecond
	if v.Dialect == hocon.Lines && k.LinesUnit != 0 {
		unit = time.Duration(k.LinesUnit)
	}
	d, err := ParseDuration(s, unit)
	if err != nil {
		return 0, err
	}
	if err := within(k, int64(d)); err != nil {
		if isNumber(s) && unit == time.Millisecond {
			return 0, fmt.Errorf("is %s, a plain number counts milliseconds, and %w", FormatDuration(d), err)
		}
		return 0, err
	}
	return d, nil
}

func toSize(k *Key, v *hocon.Value, s string) (int64, error) {
	unit := max(k.Unit, 1)
	if v.Dialect == hocon.Lines && k.LinesUnit != 0 {
		unit = k.LinesUnit
	}
	n, err := ParseSize(s, unit)
	if err != nil {
		return 0, err
	}
	return n, within(k, n)
}

func toText(k *Key, v *hocon.Value) (any, error) {
	switch {
	case k.Max == 0:
	case len(v.Text) < int(k.Min):
		return nil, errors.New("is empty")
	case k.Max != unbounded && len(v.Text) > int(k.Max):
		return nil, fmt.Errorf("is longer than %d bytes", k.Max)
	}
	if i := strings.IndexFunc(v.Text, func(r rune) bool { return r < ' ' || r == 0x7f }); i >= 0 {
		return nil, errors.New("has a control character in it")
	}
	if k.Secret {
		return Secret(v.Text), nil
	}
	return v.Text, nil
}

// toBind reads 1883, :1883, 10.0.0.1:1883, [::1]:1883 and ::1:1883.
func toBind(s string) (netip.AddrPort, error) {
	host, port := "", s
	if i := strings.LastIndexByte(s, ':'); i >= 0 {
		host, port = s[:i], s[i+1:]
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return netip.AddrPort{}, errors.New("has no valid port")
	}
	if host == "" {
		return netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(n)), nil
	}
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		host = host[1 : len(host)-1]
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return netip.AddrPort{}, errors.New("has no valid IP address")
	}
	return netip.AddrPortFrom(addr, uint16(n)), nil
}

func toAddr(s string) (netip.Addr, error) {
	if s == "" {
		return netip.Addr{}, nil
	}
	addr, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}, errors.New("is no IP address")
	}
	return addr, nil
}

var (
	shortName = regexp.MustCompile(`^[0-9A-Za-z_-]+$`)
	hostName  = regexp.MustCompile(`^[0-9A-Za-z_-]+(\.[0-9A-Za-z_-]+)+$`)
)

// checkNodeName holds a name to the form that Erlang's long names have.
func checkNodeName(s string) error {
	short, host, ok := strings.Cut(s, "@")
	switch {
	case !ok || strings.Contains(host, "@"):
		return errors.New("must have exactly one @")
	case !shortName.MatchString(short):
		return errors.New("has other characters before the @ than letters, digits, _ and -")
	case len(s) > 255:
		return errors.New("is longer than 255 bytes")
	case host == "":
		return errors.New("has no host")
	}
	if _, err := netip.ParseAddr(host); err == nil || hostName.MatchString(host) {
		return nil
	}
	if !strings.Contains(host, ".") {
		return errors.New("has a host without a dot, which other nodes cannot reach by; use an IP address or a full host name")
	}
	return errors.New("has no valid host")
}

// listItems gives the elements of a list: a HOCON list, or text with commas.
func listItems(v *hocon.Value) ([]*hocon.Value, *fault) {
	switch v.Kind {
	case hocon.Array, hocon.Object:
		items, err := v.List()
		if err != nil {
			if e, ok := errors.AsType[*hocon.Error](err); ok {
				return nil, &fault{msg: e.Msg, pos: e.Pos}
			}
			return nil, &fault{msg: err.Error()}
		}
		return items, nil
	case hocon.Null:
		return nil, nil
	default:
	}
	if strings.TrimSpace(v.Text) == "" {
		return nil, nil
	}
	var items []*hocon.Value
	for part := range strings.SplitSeq(v.Text, ",") {
		items = append(items, text(v, strings.TrimSpace(part)))
	}
	return items, nil
}

func toList(k *Key, v *hocon.Value) (any, []fault) {
	items, f := listItems(v)
	if f != nil {
		f.allowed = k.AllowedText()
		return nil, []fault{*f}
	}
	var faults []fault
	ints, strs, nets := []int{}, []string{}, []netip.Prefix{}
	for _, it := range items {
		s := strings.TrimSpace(it.Text)
		var err error
		switch {
		case it.Kind == hocon.Array || it.Kind == hocon.Object || it.Kind == hocon.Null:
			faults = append(faults, fault{msg: "has " + it.Kind.Phrase() + " in it", allowed: k.AllowedText(), pos: it.Pos})
			continue
		case k.Type == TypeInts:
			var n int
			n, err = toInt(k, s)
			ints = append(ints, n)
		case k.Type == TypeNodeNames:
			err = checkNodeName(s)
		case k.Type == TypeNetworks:
			var p netip.Prefix
			p, err = toNetwork(s)
			nets = append(nets, p)
		case k.Type == TypeRules:
			err = checkRule(s)
		case len(k.Allowed) > 0 && !slices.Contains(k.Allowed, s):
			err = errors.New("is not allowed")
		}
		if err != nil {
			faults = append(faults, fault{msg: strconv.Quote(s) + " " + err.Error(), allowed: k.AllowedText(), pos: it.Pos})
		}
		strs = append(strs, s)
	}
	switch {
	case len(faults) > 0:
		return nil, faults
	case k.Type == TypeInts:
		return ints, nil
	case k.Type == TypeNetworks:
		return nets, nil
	case len(k.Allowed) > 0 && len(strs) == 0:
		return nil, []fault{{msg: "is empty", allowed: k.AllowedText()}}
	}
	return strs, nil
}

func checkRule(s string) error {
	verb, who, _ := strings.Cut(s, " ")
	who = strings.TrimSpace(who)
	if verb != "allow" && verb != "deny" {
		return errors.New("begins neither with allow nor with deny")
	}
	if who == "all" {
		return nil
	}
	if _, err := toNetwork(who); err != nil {
		return errors.New("names neither an address nor a network nor all")
	}
	return nil
}

// toNetwork reads a network, or an address as the network of only itself.
func toNetwork(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, errors.New("is neither an address nor a network")
	}
	return p, nil
}

// toPriorities reads {topic = 1} and EMQX 4's topic=1,topic=2.
func toPriorities(k *Key, v *hocon.Value) (any, []fault) {
	out := map[string]int{}
	var faults []fault
	add := func(topic, num string, pos hocon.Pos) {
		n, err := strconv.Atoi(num)
		if err != nil || n < 1 || n > 255 || topic == "" {
			faults = append(faults, fault{msg: strconv.Quote(topic+"="+num) + " is no topic with a priority", allowed: k.AllowedText(), pos: pos})
			return
		}
		out[topic] = n
	}
	switch {
	case v.Kind == hocon.Object:
		for _, f := range v.Fields() {
			add(f.Name, f.Value.Text, f.Value.Pos)
		}
	case v.Kind == hocon.Array || v.Kind == hocon.Null:
		return nil, []fault{{msg: "is " + v.Kind.Phrase(), allowed: k.AllowedText()}}
	case v.Text == "disabled" || v.Text == "none" || v.Text == "":
	default:
		for part := range strings.SplitSeq(v.Text, ",") {
			topic, num, _ := strings.Cut(part, "=")
			add(strings.TrimSpace(topic), strings.TrimSpace(num), v.Pos)
		}
	}
	return out, faults
}

// toObjects checks each element of a list against the keys of its fields and
// gives []map[string]any with their values, defaults where none is given.
func toObjects(k *Key, v *hocon.Value) (any, []fault) {
	items, f := listItems(v)
	if f != nil {
		f.allowed = k.AllowedText()
		return nil, []fault{*f}
	}
	keys := elementKeys[k.Path]
	names := make([]string, len(keys))
	for i := range keys {
		names[i] = keys[i].Path
	}
	var faults []fault
	out := make([]map[string]any, 0, len(items))
	for i, it := range items {
		at := strconv.Itoa(i + 1)
		if it.Kind != hocon.Object {
			faults = append(faults, fault{msg: "is " + it.Kind.Phrase(), allowed: "an object { ... }", pos: it.Pos, key: at})
			continue
		}
		elem := make(map[string]any)
		for _, fld := range it.Fields() {
			j := slices.Index(names, fld.Name)
			if j < 0 {
				faults = append(faults, fault{msg: unknownKey + k.Path + "." + at + "." + nearestName(fld.Name, names), pos: fld.Pos, key: at + "." + fld.Name})
				continue
			}
			val, fs := convert(&keys[j], fld.Value)
			for _, f := range fs {
				if f.pos == (hocon.Pos{}) {
					f.pos = fld.Value.Pos
				}
				f.key = strings.TrimSuffix(at+"."+fld.Name+"."+f.key, ".")
				faults = append(faults, f)
			}
			elem[fld.Name] = val
		}
		for j := range keys {
			if _, ok := elem[names[j]]; !ok {
				elem[names[j]] = defaultValue(&keys[j])
			}
		}
		out = append(out, elem)
	}
	return out, faults
}

// unknownKey is what is said of a key that is none, before the nearest one.
const unknownKey = "unknown key, the nearest is "

// defaultValue is a key's default with its Go type, nil for one that has none.
// The schema's defaults are held valid by a test.
func defaultValue(k *Key) any {
	v := hocon.ParseValue("default", k.Default)
	if k.Default == "" && !emptyIsValue[k.Type] {
		return nil
	}
	out, faults := convert(k, v)
	if len(faults) > 0 {
		return nil
	}
	return out
}

// emptyIsValue are the types for which no text is a value of its own.
var emptyIsValue = map[Type]bool{TypeString: true, TypePath: true, TypeAddr: true, TypeStrings: true, TypeEnum: true}
