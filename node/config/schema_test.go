package config

import (
	"reflect"
	"strings"
	"testing"
)

func TestSchema(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range schema {
		if seen[k.Path] {
			t.Errorf("%s is there twice", k.Path)
		}
		seen[k.Path] = true
		if k.Doc == "" || strings.Contains(k.Doc, "\n") {
			t.Errorf("%s: its doc is not one line", k.Path)
		}
		if k.Type == TypeEnum && len(k.Allowed) == 0 {
			t.Errorf("%s: an enum without values", k.Path)
		}
		if k.Word != "" && k.Type != TypePriorities && zeroText[k.Type] == "" {
			t.Errorf("%s: %s cannot be %s", k.Path, k.Path, k.Word)
		}
		if k.Min != 0 && k.Max == 0 {
			t.Errorf("%s: a minimum without a maximum is not looked at", k.Path)
		}
		if k.Default != "" && defaultValue(&k) == nil {
			t.Errorf("%s: the default %q is not valid", k.Path, k.Default)
		}
		if k.Type == TypeAny && k.Effect == Works {
			t.Errorf("%s works, but takes anything", k.Path)
		}
	}
	// viper cannot hold a value and keys below it.
	for a := range seen {
		for b := range seen {
			if strings.HasPrefix(b, a+".") && !strings.Contains(b, ".$n.") {
				t.Errorf("%s lies below %s", b, a)
			}
		}
	}
}

func TestAliases(t *testing.T) {
	for _, k := range schema {
		for _, a := range k.Aliases {
			path := strings.ReplaceAll(a, "$name", "x")
			n, _, ok := keyTree.walk(splitPath(path))
			switch {
			case !ok:
				t.Errorf("%s: the old name %s is not accepted", k.Path, a)
			case n.rename != nil:
			case n.key.Path != k.Path && !strings.HasPrefix(n.key.Path, a):
				t.Errorf("%s: the old name %s leads to %s", k.Path, a, n.key.Path)
			}
		}
	}
	for _, r := range renames {
		for _, to := range r.to {
			path := strings.ReplaceAll(strings.Replace(to, ".1.path", "", 1), "$name", "x")
			if _, _, ok := Lookup(path); !ok {
				t.Errorf("%s is renamed to %s, which is no key", r.from, to)
			}
		}
	}
}

// TestFields holds the typed tree to the schema: each key that works has a field
// of the right type, and each field has a key.
func TestFields(t *testing.T) {
	types := map[Type]string{
		TypeBool: "bool", TypeInt: "int", TypeFloat: "float64", TypePercent: "float64", TypeDuration: "time.Duration",
		TypeSize: "int64", TypeRate: "config.Rate", TypeByteRate: "config.Rate", TypeString: "string", TypePath: "string",
		TypeEnum: "string", TypeBind: "netip.AddrPort", TypeAddr: "netip.Addr", TypeNodeName: "string",
		TypeNodeNames: "[]string", TypeNetworks: "[]netip.Prefix", TypeStrings: "[]string", TypeInts: "[]int", TypeRules: "[]string", TypePriorities: "map[string]int",
	}
	fields := map[string]string{"broker.shared_subscription_group.$name.strategy": "string"}
	var walk func(t reflect.Type, path string, only func(tag string) bool)
	walk = func(t reflect.Type, path string, only func(string) bool) {
		for f := range t.Fields() {
			tag := f.Tag.Get("conf")
			if tag == "-" || tag == "" || only != nil && !only(tag) {
				continue
			}
			switch {
			case isGroup(f.Type):
				walk(f.Type, path+tag+".", nil)
			case f.Type.Kind() == reflect.Slice && isGroup(f.Type.Elem()):
				fields[path+tag] = ""
				walk(f.Type.Elem(), path+tag+".$n.", nil)
			default:
				fields[path+tag] = f.Type.String()
			}
		}
	}
	walk(reflect.TypeFor[Config](), "", nil)
	walk(reflect.TypeFor[Zone](), "zones.$name.", nil)
	for _, typ := range ListenerTypes {
		walk(reflect.TypeFor[Listener](), "listeners."+typ+".$name.", func(tag string) bool {
			return tag != "ssl_options" && tag != "websocket" || tag == "ssl_options" && hasTLS(typ) || tag == "websocket" && hasWebsocket(typ)
		})
	}
	for _, k := range schema {
		typ, ok := fields[k.Path]
		if k.Effect != Works && !ok {
			continue
		}
		want := types[k.Type]
		if k.Secret {
			want = "config.Secret"
		}
		switch {
		case !ok:
			t.Errorf("%s has no field", k.Path)
		case typ != want && k.Type != TypeObjects:
			t.Errorf("%s is a %s in the tree, want %s", k.Path, typ, want)
		}
		delete(fields, k.Path)
	}
	for path := range fields {
		t.Errorf("the field for %s has no key", path)
	}
}

func TestLookup(t *testing.T) {
	for _, tt := range []struct{ path, key, present string }{
		{"node.name", "node.name", "node.name"},
		{"listeners.tcp.x.bind", "listeners.tcp.$name.bind", "listeners.tcp.x.bind"},
		{`listeners.tcp."x.y".bind`, "listeners.tcp.$name.bind", `listeners.tcp."x.y".bind`},
		{"cluster.discovery", "cluster.discovery_strategy", "cluster.discovery_strategy"},
		{"zone.a.max_inflight", "zones.$name.mqtt.max_inflight", "zones.a.mqtt.max_inflight"},
		{"listener.tcp.a.backlog", "listeners.tcp.$name.tcp_options.backlog", "listeners.tcp.a.tcp_options.backlog"},
		{"log.file", "log.file.path", "log.file.path"},
	} {
		k, present, ok := Lookup(tt.path)
		if !ok || k.Path != tt.key || present != tt.present {
			t.Errorf("Lookup(%s) is %s, %s, %t", tt.path, k.Path, present, ok)
		}
	}
	for _, path := range []string{"", "node", "nope", "node.nope", "listeners.tcp.x", "node.name.x"} {
		if _, _, ok := Lookup(path); ok {
			t.Errorf("Lookup(%q) finds a key", path)
		}
	}
}
