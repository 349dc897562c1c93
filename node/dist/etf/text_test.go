package etf

import (
	"errors"
	"math"
	"math/big"
	"strings"
	"testing"
)

// TestFormat holds what Erlang prints otherwise or not at all; what it prints
// the same is in testdata/golden.txt.
func TestFormat(t *testing.T) {
	for _, c := range []struct {
		in   any
		want string
	}{
		{Pid{"n1@127.0.0.1", 85, 2, 7}, "<n1@127.0.0.1.85.2>"},
		{Pid{Node: "strange <node>"}, "<'strange <node>'.0.0>"},
		{Port{"n-1@host", 1 << 40, 7}, "#Port<n-1@host.1099511627776>"},
		{Ref{"a@b", 1, 3, [5]uint32{1, 2, 3}}, "#Ref<a@b.3.2.1>"},
		{Ref{Len: 200}, "#Ref<.0.0.0.0.0>"},
		{Fun{Module: "shell", Index: 5, Uniq: 77}, "#Fun<shell.5.77>"},
		{Atom("maybe"), "'maybe'"},
		{"text", `<<"text">>`},
		{true, "true"},
		{uint64(math.MaxUint64), "18446744073709551615"},
		{map[string]any{"b": 1, "a": List{}}, `#{<<"a">> => [],<<"b">> => 1}`},
		{map[Atom]any{"b": 1, "a": 2}, `#{a => 2,b => 1}`},
		{[]any{1, 2}, "[1,2]"},
		{ImproperList{List{1}, List{2}}, "[1,2]"},
		{new(big.Int).Lsh(big.NewInt(-1), 1<<16), "-16#1" + strings.Repeat("0", 1<<14)},
		{nil, "#Go<<nil>>"},
		{Tuple{struct{}{}}, "{#Go<struct {}>}"},
		{(*big.Int)(nil), "#Go<nil>"},
		{math.NaN(), "#Go<NaN>"},
		{BitString{}, "#Go<invalid BitString>"},
		{Atom("a\x1b[31m"), `'a\e[31m'`},
		{[]byte("\x1b]0;title\a"), "<<27,93,48,59,116,105,116,108,101,7>>"},
	} {
		if got := Format(c.in); got != c.want {
			t.Errorf("%T: %s, want %s", c.in, got, c.want)
		}
	}
	if got := string(AppendFormat([]byte("a: "), Atom("b"))); got != "a: b" {
		t.Errorf("appended: %s", got)
	}
	if s := (Pid{Node: "a@b", ID: 1}).String() + (Port{Node: "a@b"}).String() + (Ref{Node: "a@b", Len: 1}).String(); s != "<a@b.1.0>#Port<a@b.0>#Ref<a@b.0>" {
		t.Errorf("strings: %s", s)
	}
}

func TestFormatLimit(t *testing.T) {
	for _, c := range []struct {
		in    any
		limit int
		want  string
	}{
		{Tuple{Atom("ab"), Atom("cd")}, 7, "{ab,cd}"},
		{Tuple{Atom("ab"), Atom("cd")}, 6, "{ab,cd..."},
		{Atom("łódź"), 2, "'..."},
		{List{}, 0, "..."},
	} {
		if got := FormatLimit(c.in, c.limit); got != c.want {
			t.Errorf("%s to %d: %s, want %s", Format(c.in), c.limit, got, c.want)
		}
	}
	// The time is that of the limit, not of the term.
	huge := make(List, 1<<20)
	for i := range huge {
		huge[i] = Tuple{Charlist("abc"), []byte{0, 1, 2}, Map{{Atom("k"), huge[:i/2]}}}
	}
	if got := FormatLimit(huge, 1000); len(got) > 1003 || !strings.HasSuffix(got, "...") {
		t.Errorf("%d bytes", len(got))
	}
}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		in   string
		want any
	}{
		{"  a . ", Atom("a")},
		{"a.%c", Atom("a")},
		{"'a'.", Atom("a")},
		{"function", Atom("function")},
		{`'\x41\x{1F600}\101\^A\'\z\s'`, Atom("A😀A\x01'z ")},
		{"1_000_000", int64(1_000_000)},
		{"16#ff_FF", int64(0xFFFF)},
		{"36#Zz", int64(35*36 + 35)},
		{"-16#8000000000000000", int64(math.MinInt64)},
		{"+5", int64(5)},
		{"- 5", int64(-5)},
		{"-0", int64(0)},
		{"5.", int64(5)},
		{"$a", int64('a')},
		{"$\\n", int64('\n')},
		{"$ ", int64(' ')},
		{"$$", int64('$')},
		{"$ł", int64('ł')},
		{"-$a", int64(-97)},
		{"-0.0", math.Copysign(0, -1)},
		{"1.5e-3.", 0.0015},
		{"1_0.2_5E+1", 102.5},
		{"123456789012345678901234567890", bigInt("123456789012345678901234567890")},
		{`"a" "b"` + "\n% comment\n" + `"c"`, Charlist("abc")},
		{`"ł"`, List{int64('ł')}},
		{`""`, List{}},
		{"\"two\nlines\"", Charlist("two\nlines")},
		{"{ }", Tuple{}},
		{"{a,{1,[ ]}}", Tuple{Atom("a"), Tuple{1, List{}}}},
		{"[a|[b|[c]]]", List{Atom("a"), Atom("b"), Atom("c")}},
		{"[a|[b|c]]", ImproperList{List{Atom("a"), Atom("b")}, Atom("c")}},
		{`[$a|"bc"]`, Charlist("abc")},
		{"#{}", Map{}},
		{`#{a=>1,"b" => #{}, {c} => [1]}`, Map{{Atom("a"), 1}, {Charlist("b"), Map{}}, {Tuple{Atom("c")}, List{1}}}},
		{"fun lists:map/2", Export{"lists", "map", 2}},
		{"fun 'A':'+' / 0", Export{"A", "+", 0}},
		{"<<>>", []byte{}},
		{"<< >>", []byte{}},
		{"<<1,2,256,-1>>", []byte{1, 2, 0, 255}},
		{`<<"ab","c">>`, []byte("abc")},
		{`<<"é">>`, []byte{0xE9}},
		{`<<"é"/utf8>>`, []byte("é")},
		{`<<"é":16>>`, []byte{0, 0xE9}},
		{"<<$é/utf8, 16#1F600/utf8>>", []byte("é😀")},
		{"<<1:16,2:16/little,3/unsigned-integer-big>>", []byte{0, 1, 2, 0, 3}},
		{"<<1:3>>", BitString{[]byte{0x20}, 3}},
		{"<<5:3,255>>", BitString{[]byte{0xBF, 0xE0}, 3}},
		{"<<1:4,2:4>>", []byte{0x12}},
		{"<<1:1,0:9,3:3,7:3>>", []byte{0x80, 0x1F}},
		{"<<16#123:12>>", BitString{[]byte{0x12, 0x30}, 4}},
		{"<<16#123:12/little>>", BitString{[]byte{0x23, 0x10}, 4}},
		{"<<1:4,16#123:12/little>>", []byte{0x12, 0x31}},
		{"<<1:0>>", []byte{}},
		{"<<-1:70>>", BitString{[]byte{255, 255, 255, 255, 255, 255, 255, 255, 0xFC}, 6}},
	} {
		got, err := Parse(c.in)
		if err != nil {
			t.Errorf("%s: %v", c.in, err)
		} else if !Equal(got, c.want) {
			t.Errorf("%s: %s, want %s", c.in, Format(got), Format(c.want))
		}
	}
}

func TestParseErrors(t *testing.T) {
	for _, c := range []struct {
		in           string
		line, column int
		msg          string
	}{
		{"", 1, 1, "the end"},
		{"  % only a comment", 1, 19, "the end"},
		{"a b", 1, 3, "behind the term"},
		{"a.b", 1, 2, "behind the term"},
		{"{a", 1, 3, `"}"`},
		{"{a,}", 1, 4, "expected a term"},
		{"[a,\n b|\n c d]", 3, 4, `"]"`},
		{"[a|]", 1, 4, "expected a term"},
		{"[|a]", 1, 2, "expected a term"},
		{"#{a}", 1, 4, `"=>"`},
		{"#{a=>1,a=>2}", 1, 1, "duplicate"},
		{"#rec{}", 1, 1, "records"},
		{"#Ref<0.1.2.3>", 1, 1, "references"},
		{"<0.1.0>", 1, 1, "pid"},
		{"Var", 1, 1, "variable"},
		{"{łódź}", 1, 2, "found 'ł'"},
		{"end", 1, 1, "reserved"},
		{"fun() -> ok end", 1, 4, "expected a term"},
		{"fun a:b", 1, 8, `"/"`},
		{"fun fun:b/1", 1, 5, "reserved"},
		{"fun a:b/256", 1, 9, "0 to 255"},
		{`"abc`, 1, 1, "closing"},
		{"{é,'abc", 1, 4, "closing"},
		{`"\x{110000}"`, 1, 2, "malformed character"},
		{`"\x{D800}"`, 1, 2, "malformed character"},
		{`"\xZZ"`, 1, 2, "malformed character"},
		{`"\`, 1, 2, "unfinished"},
		{"\"\xff\"", 1, 2, "UTF-8"},
		{"$", 1, 2, "the end"},
		{"1.0e", 1, 5, "exponent"},
		{"1.0e999", 1, 1, "out of range"},
		{"37#1", 1, 1, "base"},
		{"2#2", 1, 3, "base 2"},
		{"-a", 1, 2, "sign"},
		{"--1", 1, 2, "sign"},
		{strings.Repeat("9", maxDigits+1), 1, 1, "digits"},
		{"'" + strings.Repeat("x", 256) + "'", 1, 1, "255"},
		{strings.Repeat("x", 256), 1, 1, "255"},
		{"<<a>>", 1, 3, "an integer or a string"},
		{"<<1.5>>", 1, 3, "an integer or a string"},
		{"<<1", 1, 4, `">>"`},
		{"<<1:a>>", 1, 5, "size"},
		{"<<1:99999999>>", 1, 5, "size"},
		{"<<1/float>>", 1, 5, "type"},
		{"<<1:8/utf8>>", 1, 7, "size"},
		{"<<-1/utf8>>", 1, 3, "Unicode"},
		{`<<"ł">>`, 1, 3, "/utf8"},
		{strings.Repeat("[", 20_000), 1, 10_001, "deep"},
		{strings.Repeat("{", 1_000_000), 1, 10_001, "deep"},
		{strings.Repeat("fun ", 100_000), 1, 5, "reserved"},
		{strings.Repeat("<<", 100_000), 1, 3, "an integer"},
		{strings.Repeat("-", 100_000), 1, 2, "sign"},
	} {
		_, err := Parse(c.in)
		var e *ParseError
		if !errors.As(err, &e) || e.Line != c.line || e.Column != c.column || !strings.Contains(e.Msg, c.msg) {
			t.Errorf("%.40q: %v, want %d:%d %s", c.in, err, c.line, c.column, c.msg)
		}
	}
}

func TestParseAll(t *testing.T) {
	got, err := ParseAll("%% a file\n{port, 1883}.\n\n{hosts, [\"a\", \"b\"]}. % two\nlast.")
	if err != nil || len(got) != 3 || Format(Tuple(got)) != `{{port,1883},{hosts,["a","b"]},last}` {
		t.Errorf("%s, %v", Format(Tuple(got)), err)
	}
	if got, err := ParseAll(" % nothing\n"); err != nil || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}
	for in, want := range map[string]string{
		"a.\nb":     "line 2, column 2: expected a full stop, found the end",
		"a.\nb c.":  "line 2, column 3: expected a full stop, found 'c'",
		"a.\n{b,\n": "line 3, column 1: expected a term, found the end",
	} {
		if _, err := ParseAll(in); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", in, err, want)
		}
	}
}

func TestData(t *testing.T) {
	nest := List{Charlist("a"), List{int64('b'), []byte("c"), List{}}, ImproperList{List{int64('d')}, []byte("e")}}
	for _, c := range []struct {
		in          any
		bytes, text string // "-" for an error
	}{
		{nest, "abcde", "abcde"},
		{[]byte("é"), "é", "é"},
		{"é", "é", "é"},
		{Charlist("\xe9"), "\xe9", "é"},
		{List{int64(0xE9)}, "\xe9", "é"},
		{List{int64('ł')}, "-", "ł"},
		{[]byte("\xff"), "\xff", "-"},
		{List{}, "", ""},
		{List{int64(-1)}, "-", "-"},
		{List{int64(0xD800)}, "-", "-"},
		{List{int64(1 << 40)}, "-", "-"},
		{List{Atom("a")}, "-", "-"},
		{ImproperList{List{int64('a')}, int64('b')}, "-", "-"},
		{int64('a'), "-", "-"},
		{nil, "-", "-"},
	} {
		for i, f := range []func([]byte, any) ([]byte, error){AppendIOData, AppendCharData} {
			want := []string{c.bytes, c.text}[i]
			got, err := f([]byte(">"), c.in)
			switch {
			case want == "-" && (!errors.Is(err, ErrNotText) || string(got) != ">"):
				t.Errorf("%d of %s: %q, %v", i, Format(c.in), got, err)
			case want != "-" && (err != nil || string(got) != ">"+want):
				t.Errorf("%d of %s: %q, %v, want %q", i, Format(c.in), got, err, want)
			}
		}
	}
	for _, c := range []struct {
		in   any
		want string
		ok   bool
	}{
		{Atom("a"), "a", true},
		{[]byte("b"), "b", true},
		{"c", "c", true},
		{NewCharlist("dé"), "dé", true},
		{NewCharlist("ł"), "ł", true},
		{List{}, "", true},
		{int64(1), "", false},
		{Tuple{}, "", false},
	} {
		if got, ok := Text(c.in); got != c.want || ok != c.ok {
			t.Errorf("text of %s: %q, %v", Format(c.in), got, ok)
		}
	}
	if s := Charlist("\xe9").String(); s != "é" {
		t.Errorf("%q", s)
	}
}

func TestAsList(t *testing.T) {
	for _, c := range []struct {
		in   any
		want List
		ok   bool
	}{
		{List{1}, List{1}, true},
		{[]any{1}, List{1}, true},
		{Charlist("a"), List{int64('a')}, true},
		{ImproperList{List{1}, ImproperList{List{2}, Charlist{3}}}, List{1, 2, 3}, true},
		{ImproperList{List{1}, 2}, nil, false},
		{Tuple{}, nil, false},
		{nil, nil, false},
	} {
		if got, ok := AsList(c.in); ok != c.ok || !Equal(got, c.want) {
			t.Errorf("%s: %s, %v", Format(c.in), Format(got), ok)
		}
	}
}
