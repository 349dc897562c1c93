package hocon

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// show writes a tree in one line, with quotes around strings that had them.
func show(v *Value) string {
	switch v.Kind {
	case Object:
		var parts []string
		if v.Own != nil {
			parts = append(parts, "own:"+show(v.Own))
		}
		for _, f := range v.Fields() {
			parts = append(parts, f.Name+":"+show(f.Value))
		}
		return "{" + strings.Join(parts, " ") + "}"
	case Array:
		var parts []string
		for _, it := range v.Items {
			parts = append(parts, show(it))
		}
		return "[" + strings.Join(parts, " ") + "]"
	case String:
		if v.Quoted {
			return strconv.Quote(v.Text)
		}
		return v.Text
	case Number:
		return "#" + v.Text
	default:
		return "!" + v.Text
	}
}

// files is a file system in memory.
func files(m map[string]string) func(string) ([]byte, error) {
	return func(name string) ([]byte, error) {
		if s, ok := m[name]; ok {
			return []byte(s), nil
		}
		return nil, &os.PathError{Op: "open", Path: name, Err: os.ErrNotExist}
	}
}

func TestHOCON(t *testing.T) {
	tests := []struct{ name, src, want string }{
		{"empty", "", `{}`},
		{"comments only", "# a\n// b\n  # c", `{}`},
		{"JSON", `{"a": {"b": [1, true, null, "x"]}, "c": -1.5e3}`, `{a:{b:[#1 !true !null "x"]} c:#-1.5e3}`},
		{"JSON over lines", "{\n\"a\"\n:\n1\n}", `{a:#1}`},
		{"no root braces", "a = 1\nb: 2", `{a:#1 b:#2}`},
		{"brace after key", "node { name = x }", `{node:{name:x}}`},
		{"dotted path", `a.b.c = "x"`, `{a:{b:{c:"x"}}}`},
		{"quoted name holds a dot", `"a.b".c = "x"`, `{a.b:{c:"x"}}`},
		{"commas and newlines", "a = 1, b = 2,\nc = [1\n2,\n3,]", `{a:#1 b:#2 c:[#1 #2 #3]}`},
		{"comment behind a value", "a = b # c\nd = e // f", `{a:b d:e}`},
		{"at sign and dots", "{name = emqx1@192.168.0.193}", `{name:emqx1@192.168.0.193}`},
		{"host and port", "{bind = 0.0.0.0:1883, b = :1883}", `{bind:0.0.0.0:1883 b::1883}`},
		{"URL", "{u = http://10.1.1.1:8080/x // y\n}", `{u:http://10.1.1.1:8080/x}`},
		{"words", "{a = allow all }", `{a:allow all}`},
		{"words in a list", "{a = [allow all, deny 10.0.0.0/8]}", `{a:[allow all deny 10.0.0.0/8]}`},
		{"durations stay text", "{a = 1h30m, b = 007, c = 1.}", `{a:1h30m b:007 c:1.}`},
		{"escapes", `{a = "\"\\\/\b\f\n\r\tA\u00e9\ud83d\ude00"}`, `{a:"\"\\/\b\f\n\r\tAé😀"}`},
		{"three quotes", "{a = \"\"\"x \"y\" \\n\nz\"\"\"}", `{a:"x \"y\" \\n\nz"}`},
		{"three quotes, quote at the end", `{a = """say "x""""}`, `{a:"say \"x\""}`},
		{"indented text", "{a = \"\"\"~\n    select\n      *\n\n    from\n  ~\"\"\"}", `{a:"select\n  *\n\nfrom\n"}`},
		{"indented text, no newline at the end", "{a = \"\"\"~\n    x \"y\"~\"\"\"}", `{a:"x \"y\""}`},
		{"merge", "{a {b = 1, c = 2}, a {c = 3, d = 4}}", `{a:{b:#1 c:#3 d:#4}}`},
		{"list replaced", "{a = [1, 2], a = [3]}", `{a:[#3]}`},
		{"scalar replaces object", "{a {b = 1}, a = 2}", `{a:#2}`},
		{"object replaces scalar", "{a = 2, a {b = 1}}", `{a:{b:#1}}`},
		{"index changes a list", "{a = [{x = 1}, {x = 2}], a.2.x = 3, a.1.y = 4}", `{a:[{x:#1 y:#4} {x:#3}]}`},
		{"index appends", "{a = [x], a {3 = z, 2 = y}}", `{a:[x y z]}`},
		{"index without a list", "{a.1 = x, a.2 = y}", `{a:{1:x 2:y}}`},
		{"objects concatenate", "{a = {b = 1} {c = 2}}", `{a:{b:#1 c:#2}}`},
		{"lists concatenate", "{a = [1] [2]}", `{a:[#1 #2]}`},
		{"strings concatenate", `{a = x "y z" 1}`, `{a:"x y z 1"}`},
		{"reference", "{a = ${b.c}, b {c = 7}}", `{a:#7 b:{c:#7}}`},
		{"reference in text", `{dir = /etc, a = ${dir}/acl.conf, b = ${dir}"/x y"}`, `{dir:/etc a:/etc/acl.conf b:"/etc/x y"}`},
		{"reference before merge", "{a = ${b} {y = 2}, b {x = 1}}", `{a:{x:#1 y:#2} b:{x:#1}}`},
		{"reference to what a key was", "{p = /a, p = ${p}/b}", `{p:/a/b}`},
		{"reference to part of what a key was", "{a {x = 1}, a = {y = ${a.x}}}", `{a:{x:#1 y:#1}}`},
		{"append", "{a = [1], a += 2, a += 3}", `{a:[#1 #2 #3]}`},
		{"append to nothing", "{a += 1, a += 2}", `{a:[#1 #2]}`},
		{"append in a merged object", "{o {a = [1]}, o {a += 2, a += 3}}", `{o:{a:[#1 #2 #3]}}`},
		{"optional reference", "{a = ${?none}, b = x${?none}y, c = 1, c = ${?none}}", `{b:xy c:#1}`},
		{"variable", "{a = ${VAR}/x}", `{a:value/x}`},
		{"reference in quotes is text", `{a = "${VAR}/x"}`, `{a:"${VAR}/x"}`},
		{"include", "a = 1\ninclude \"inc.conf\"\nb { include required(file(\"inc.conf\")) }", `{a:#2 x:#3 b:{a:#2 x:#3}}`},
		{"include of lines", "{include \"old.conf\"}", `{listener:{tcp:{own:1883 zone:z}}}`},
		{"a key named include", "{include = 1, included.x = 2}", `{include:#1 included:{x:#2}}`},
		{"byte order mark", "\ufeff{a = 1}", `{a:#1}`},
		{"carriage returns", "{\r\na = b\r\nc = d\r\n}", `{a:b c:d}`},
	}
	opt := Options{
		ReadFile: files(map[string]string{"inc.conf": "a = 2, x = 3 # z", "old.conf": "listener.tcp = 1883\nlistener.tcp.zone = z"}),
		Lookup: func(name string) (string, bool) {
			if name == "VAR" {
				return "value", true
			}
			return "", false
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			doc, err := Parse("t.conf", []byte(tt.src), opt)
			if err != nil {
				t.Fatal(err)
			}
			if got := show(doc.Root); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			again, err := Parse("again.conf", append([]byte("{\n"), append(Format(doc.Root), '}')...), opt)
			if strings.Contains(tt.want, "own:") {
				return // only lines can say this
			}
			if err != nil {
				t.Fatalf("written form: %v\n%s", err, Format(doc.Root))
			}
			if !same(doc.Root, again.Root) {
				t.Errorf("written and read back: got %s, want %s", show(again.Root), tt.want)
			}
		})
	}
}

// same compares trees, but not where they come from.
func same(a, b *Value) bool {
	return a.Kind == b.Kind && a.Text == b.Text &&
		slices.EqualFunc(a.Items, b.Items, same) &&
		slices.EqualFunc(a.Fields(), b.Fields(), func(f, g Field) bool {
			return f.Name == g.Name && same(f.Value, g.Value)
		})
}

func TestMistakes(t *testing.T) {
	tests := []struct{ name, src, want string }{
		{"no value", "a {\n b =\n}", "t.conf:3:1: a value is missing before '}'"},
		{"no separator", "a {\n b 1\n}", "t.conf:2:4: expected = or { after b, found '1'"},
		{"open brace", "a {\n b = 1\n", "t.conf:1:3: this { is never closed"},
		{"open bracket", "a = [1\n", "t.conf:1:5: this [ is never closed"},
		{"open string", "a = \"x\nb { c = 1 }", "t.conf:1:5: this string is not closed on its line"},
		{"open text", `a = """x`, `t.conf:1:5: this """ is never closed`},
		{"stray brace", "{a = 1}\n}", "t.conf:2:1: unexpected '}' after the closing } of the file"},
		{"stray brace, no root braces", "a {b = 1}\n}", "t.conf:2:1: unexpected }"},
		{"list as root", "[1]", "t.conf:1:1: the file must hold an object"},
		{"forbidden character", "a { b = x=y }", "t.conf:1:10: the character '=' must be quoted"},
		{"dollar", "a { b = $x }", "t.conf:1:9: the character '$' must be quoted"},
		{"unknown escape", `a { b = "\x" }`, `t.conf:1:10: unknown escape \x`},
		{"short escape", `a { b = "\u12" }`, `t.conf:1:10: \u needs four`},
		{"mixed kinds", "a { b = [1] x }", "t.conf:1:13: a string cannot follow a list"},
		{"no such reference", "a { b = ${c.d} }", "t.conf:1:9: ${c.d} is neither"},
		{"circle", "{a = ${b}\nb = ${a}}", "t.conf:2:5: ${a} refers to itself through other values"},
		{"circle of objects", "{a { x = ${b} }\nb { y = ${a} }}", "t.conf:2:9: ${a} refers to an object that it is part of"},
		{"object in itself", "a { b = ${a} }", "t.conf:1:9: ${a} refers to an object that it is part of"},
		{"index too far", "{a = [1]\na.3 = 2}", "t.conf:2:1: index 3 is past the end of the list, which has 1"},
		{"missing include", "a { include \"no.conf\" }", "t.conf:1:5: include no.conf: file does not exist"},
		{"include in a circle", "{\n include \"t.conf\" }", "t.conf:2:2: include goes in a circle: t.conf -> t.conf"},
		{"too deep", strings.Repeat("a{", 80), "t.conf:1:65: nested deeper than 64"},
		{"path too deep", strings.Repeat("a.", 80) + "a { b = 1 }", "nested deeper than 64"},
		{"lists too deep", "a { b = " + strings.Repeat("[", 80), "nested deeper than 64"},
		{"not text", "a { b = \xff }", "t.conf:1:9: byte 0xff is not UTF-8 text"},
		{"two mistakes", "a {\n b = $\n c = 1\n d = ^\n}", "t.conf:2:6: the character '$' must be quoted: write the value as \"...\"\nt.conf:4:6: the character '^' must be quoted: write the value as \"...\""},
		{"one mistake in an inner object", "a { b { c = $ }, d = 1 }", "t.conf:1:13: the character '$' must be quoted: write the value as \"...\""},
		{"one mistake in a list", "a { b = [1\n ^\n 3\n]\n c = 1 }", "t.conf:2:2: the character '^' must be quoted: write the value as \"...\""},
		{"lines: no key", "a = 1\nb\nc = 2", "t.conf:2:1: expected `key = value`, found \"b\""},
		{"lines: empty part", "a = 1\n b..c = 2", "t.conf:2:2: the key \"b..c\" has an empty part"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse("t.conf", []byte(tt.src), Options{ReadFile: files(map[string]string{"t.conf": "x { include \"t.conf\" }"})})
			var list ErrorList
			if !errors.As(err, &list) {
				t.Fatalf("error is %v, want a list", err)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
			if n := strings.Count(tt.want, "\n") + 1; strings.HasPrefix(tt.name, "one") || strings.HasPrefix(tt.name, "two") {
				if len(list) != n {
					t.Errorf("%d mistakes listed, want %d:\n%v", len(list), n, err)
				}
			}
		})
	}
}

func TestDetect(t *testing.T) {
	tests := []struct {
		src  string
		want Dialect
	}{
		{"node.name = emqx@127.0.0.1\ncluster.static.seeds = a@1.1.1.1,b@1.1.1.1", Lines},
		{"## c\n\nlistener.tcp.external = 0.0.0.0:1883\n", Lines},
		{"node.data_dir = {{ platform_data_dir }}", Lines},
		{"{{ placeholder }}\na = 1", Lines},
		{"include cluster.conf\na = 1", Lines},
		{"listener.ws:x.external = 1", Lines},
		{"node {\n name = x\n}", HOCON},
		{"node { name = x }", HOCON},
		{"{a = 1}", HOCON},
		{`node.name = "emqx@127.0.0.1"`, HOCON},
		{"a = [1,2]", HOCON},
		{"a = {b = 1}", HOCON},
		{"a = ${b}/c", HOCON},
		{"a: 1", HOCON},
		{"a += 1", HOCON},
		{"a = 1 # one", HOCON},
		{"// c\na = 1", HOCON},
		{"a = 1,\nb = 2", HOCON},
		{"a = \"x=y,z\"$", Lines},
		{"a = \"\"\"x", HOCON},
		{`include "x.conf"`, HOCON},
		{"# nothing", HOCON},
	}
	for _, tt := range tests {
		if got := Detect(tt.src); got != tt.want {
			t.Errorf("Detect(%q) = %v, want %v", tt.src, got, tt.want)
		}
	}
}

func TestLines(t *testing.T) {
	src := `
## a comment
node.name = emqx@127.0.0.1
node.cookie   =  a # b

listener.tcp.external = 0.0.0.0:1883
listener.tcp.external.zone = external
listener.tcp.internal.zone = internal
listener.tcp.internal = 11883
zone.a\.b.x = 1
{{ placeholder }}
include rpc.conf
node.name = last@127.0.0.1
`
	// The comment behind the cookie would make it HOCON: 4.x has none.
	src = strings.Replace(src, "a # b", "a#b", 1)
	doc, err := Parse("t.conf", []byte(src), Options{ReadFile: files(map[string]string{
		"rpc.conf": "node.name = included@127.0.0.1\nrpc.mode = sync\nnode.extra = 1",
	})})
	if err != nil {
		t.Fatal(err)
	}
	if doc.Dialect != Lines {
		t.Fatalf("dialect is %v", doc.Dialect)
	}
	want := `{node:{name:last@127.0.0.1 extra:1 cookie:a#b} rpc:{mode:sync} listener:{tcp:{external:{own:0.0.0.0:1883 zone:external} internal:{own:11883 zone:internal}}} zone:{a.b:{x:1}}}`
	if got := show(doc.Root); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := doc.Root.Get("listener").Get("tcp").Get("external").Own.Pos.String(); got != "t.conf:6:25" {
		t.Errorf("position of a value is %s", got)
	}
	if got := fmt.Sprint(doc.Files); got != "[t.conf rpc.conf]" {
		t.Errorf("files are %s", got)
	}
}

func TestPositions(t *testing.T) {
	doc, err := Parse("t.conf", []byte("a {\n  b.c = [1,\n   x]\n}\ninclude \"i.conf\""), Options{
		ReadFile: files(map[string]string{"i.conf": "\n\n  z { y = 1 }"}),
	})
	if err != nil {
		t.Fatal(err)
	}
	b := doc.Root.Get("a").Fields()[0]
	c := b.Value.Fields()[0]
	for _, tt := range []struct{ got, want string }{
		{b.Pos.String(), "t.conf:2:3"},
		{c.Value.Pos.String(), "t.conf:2:9"},
		{c.Value.Items[1].Pos.String(), "t.conf:3:4"},
		{doc.Root.Get("z").Fields()[0].Value.Pos.String(), "i.conf:3:11"},
		{Pos{File: "ERMINE_X"}.String(), "ERMINE_X"},
	} {
		if tt.got != tt.want {
			t.Errorf("position %s, want %s", tt.got, tt.want)
		}
	}
}

func TestParseValue(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"true", "!true"},
		{"12", "#12"},
		{"007", "007"},
		{"", ""},
		{"emqx@10.0.0.1", "emqx@10.0.0.1"},
		{"1.2.3.4:1883", "1.2.3.4:1883"},
		{`"127.0.0.1:8883"`, `"127.0.0.1:8883"`},
		{"se#cret=${x}", "se#cret=${x}"},
		{"a,b", "a,b"},
		{`["a", b]`, `["a" b]`},
		{"{a {bind = 1}}", "{a:{bind:#1}}"},
		{"{a = 1} x", "{a = 1} x"},
		{"[broken", "[broken"},
		{`"open`, `"open`},
		{"[1] [2]", "[#1 #2]"},
	} {
		if got := show(ParseValue("E", tt.text)); got != tt.want {
			t.Errorf("%q reads as %s, want %s", tt.text, got, tt.want)
		}
	}
}

func TestLimits(t *testing.T) {
	if _, err := Parse("t.conf", []byte("a = 1\nb = 2"), Options{MaxSize: 8}); err == nil || !strings.Contains(err.Error(), "more than 8 bytes") {
		t.Errorf("a file past the limit: %v", err)
	}
	// Doubling through references is cut off long before it fills memory.
	var b strings.Builder
	b.WriteString("{a0 = [xxxxxxxxxx]\n")
	for i := range 60 {
		fmt.Fprintf(&b, "a%d = ${a%d} ${a%d}\n", i+1, i, i)
	}
	b.WriteString("}")
	if _, err := Parse("t.conf", []byte(b.String()), Options{}); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("doubling references: %v", err)
	}
	// So is an include of two files that include two each, and so on.
	fs := map[string]string{}
	for i := range 30 {
		fs[fmt.Sprintf("%d.conf", i)] = fmt.Sprintf("x { include \"%d.conf\" }\ny { include \"%d.conf\" }", i+1, i+1)
	}
	fs["30.conf"] = "a = 1"
	if _, err := ParseFile("0.conf", Options{ReadFile: files(fs)}); err == nil || !strings.Contains(err.Error(), "too many includes") {
		t.Errorf("doubling includes: %v", err)
	}
	if _, err := ParseFile("none.conf", Options{ReadFile: files(fs)}); err == nil || err.Error() != "none.conf: file does not exist" {
		t.Errorf("a missing file: %v", err)
	}
}

// FuzzParse holds that any input ends in a tree or in a list of mistakes, and
// that a tree written and read back is the same.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"a = 1", "{\"a\":[1,{\"b\":null}]}", "a { b = ${c} }\nc = x", "a += 1", "a.1.b = 2\na = [1]",
		"a = \"\"\"~\n x\n~\"\"\"", "node.name = a@b\nx.y = 1,2", "include \"x\"", "a = ${a} ${?b}{c=1}", "a=[${a}]",
		"a={x=1}\na=${a}{y=${a.x}}\nb=${a.y}",
	} {
		f.Add(s)
	}
	opt := Options{MaxSize: 1 << 16, ReadFile: files(map[string]string{"x": "a = 2"})}
	f.Fuzz(func(t *testing.T, src string) {
		doc, err := Parse("f.conf", []byte(src), opt)
		if err != nil {
			var list ErrorList
			if !errors.As(err, &list) || len(list) == 0 {
				t.Fatalf("error is %v, not a list", err)
			}
			return
		}
		if doc.Dialect == Lines {
			return // may hold what HOCON cannot write
		}
		text := "{\n" + string(Format(doc.Root)) + "}"
		opt := opt
		opt.MaxSize = DefaultMaxSize
		opt.MaxDepth = 1 << 12
		again, err := Parse("g.conf", []byte(text), opt)
		if err != nil {
			t.Fatalf("written form is refused: %v\n%s", err, text)
		}
		if !same(doc.Root, again.Root) {
			t.Fatalf("changed by writing: %s\n%s\n%s", show(doc.Root), show(again.Root), text)
		}
		ParseValue("E", src)
	})
}
