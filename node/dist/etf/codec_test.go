package etf

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"math"
	"math/big"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func bigInt(s string) *big.Int {
	v, ok := new(big.Int).SetString(s, 0)
	if !ok {
		panic("bad integer " + s)
	}
	return v
}

// TestEncodeGoTypes lists what Append accepts beside the types that a Decoder
// returns, and what comes back.
func TestEncodeGoTypes(t *testing.T) {
	for _, c := range []struct{ in, want any }{
		{true, Atom("true")},
		{false, Atom("false")},
		{int(-7), int64(-7)},
		{int8(-7), int64(-7)},
		{int16(-300), int64(-300)},
		{int32(-70000), int64(-70000)},
		{uint(7), int64(7)},
		{uint8(7), int64(7)},
		{uint16(7), int64(7)},
		{uint32(math.MaxUint32), int64(math.MaxUint32)},
		{uint64(7), int64(7)},
		{uint64(math.MaxUint64), bigInt("18446744073709551615")},
		{big.NewInt(5), int64(5)},
		{big.NewInt(math.MinInt64), int64(math.MinInt64)},
		{float32(1.5), 1.5},
		{"żółw", []byte("żółw")},
		{"", []byte{}},
		{[]any{Atom("a")}, List{Atom("a")}},
		{[]any{}, List{}},
		{List(nil), List{}},
		{Charlist(nil), List{}},
		{List{int64(1), 2, uint8(3)}, Charlist{1, 2, 3}},
		{List{int64(1), int64(256)}, List{int64(1), int64(256)}},
		{ImproperList{List{int64(1)}, List{int64(2)}}, Charlist{1, 2}},
		{ImproperList{List{Atom("a")}, Charlist("b")}, List{Atom("a"), int64('b')}},
		{ImproperList{List{Atom("a")}, ImproperList{List{Atom("b")}, Atom("c")}}, ImproperList{List{Atom("a"), Atom("b")}, Atom("c")}},
		{map[string]any{"b": 2, "a": 1}, Map{{[]byte("a"), int64(1)}, {[]byte("b"), int64(2)}}},
		{map[Atom]any{"b": 2, "a": 1}, Map{{Atom("a"), int64(1)}, {Atom("b"), int64(2)}}},
		{BitString{[]byte{0xFF}, 3}, BitString{[]byte{0xE0}, 3}},
		{Tuple(nil), Tuple{}},
		{Map(nil), Map{}},
	} {
		b, err := Append(nil, c.in)
		if err != nil {
			t.Errorf("%T %v: %v", c.in, c.in, err)
			continue
		}
		got, err := Decode(b)
		if err != nil {
			t.Errorf("%T %v: %v", c.in, c.in, err)
		} else if !Equal(got, c.want) {
			t.Errorf("%T %v: came back as %s, want %s", c.in, c.in, Format(got), Format(c.want))
		}
	}
}

// TestEncodeRefusals: what is no term is refused, and dst stays as it was.
func TestEncodeRefusals(t *testing.T) {
	cycle := make(List, 1)
	cycle[0] = cycle
	deep := any(List{})
	for range 10_001 {
		deep = Tuple{deep}
	}
	for _, c := range []struct {
		name string
		in   any
		err  error
	}{
		{"nil", nil, ErrUnsupported},
		{"nil inside", Tuple{Atom("a"), nil}, ErrUnsupported},
		{"struct", struct{}{}, ErrUnsupported},
		{"channel", make(chan int), ErrUnsupported},
		{"nil big", (*big.Int)(nil), ErrInvalid},
		{"NaN", math.NaN(), ErrFloat},
		{"infinity", List{math.Inf(-1)}, ErrFloat},
		{"long atom", Atom(strings.Repeat("x", 256)), ErrAtom},
		{"long wide atom", Atom(strings.Repeat("ü", 256)), ErrAtom},
		{"bad UTF-8", Atom("\xff"), ErrAtom},
		{"bad node", Pid{Node: "\xff"}, ErrAtom},
		{"ref without words", Ref{Node: "a@b"}, ErrInvalid},
		{"ref of six words", Ref{Node: "a@b", Len: 6}, ErrInvalid},
		{"empty bit string", BitString{Bits: 3}, ErrInvalid},
		{"whole bit string", BitString{[]byte{1}, 8}, ErrInvalid},
		{"empty fun", Fun{}, ErrInvalid},
		{"fun that is none", Fun{Raw: []byte{97, 1}}, ErrInvalid},
		{"improper without items", ImproperList{Tail: Atom("a")}, ErrInvalid},
		{"cycle", cycle, ErrDepth},
		{"deep", deep, ErrDepth},
		{"duplicate atom", Map{{Atom("a"), 1}, {Atom("b"), 1}, {Atom("a"), 2}}, ErrDuplicateKey},
		{"duplicate in another type", Map{{int64(1), 1}, {uint8(1), 2}}, ErrDuplicateKey},
		{"duplicate string", Map{{"a", 1}, {[]byte("a"), 2}}, ErrDuplicateKey},
	} {
		dst := []byte("before")
		out, err := Append(dst, c.in)
		var e *EncodeError
		if !errors.Is(err, c.err) || !errors.As(err, &e) || string(out) != "before" {
			t.Errorf("%s: %q, %v, want %v", c.name, out, err, c.err)
		}
	}
}

func u32(n int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(n)) }

// nested returns depth levels of what prefix opens, around [].
func nested(depth int, prefix, suffix []byte) []byte {
	return slices.Concat([]byte{131}, bytes.Repeat(prefix, depth), []byte{tagNil}, bytes.Repeat(suffix, depth))
}

// TestDecodeRefusals: bad input is refused with the place where it is bad.
func TestDecodeRefusals(t *testing.T) {
	small := Limits{MaxDepth: 4, MaxElements: 10, MaxBytes: 1000}
	huge := []byte{0xFF, 0xFF, 0xFF, 0xFF}
	for _, c := range []struct {
		name   string
		in     []byte
		err    error
		offset int
	}{
		{"empty", nil, ErrTruncated, 0},
		{"wrong version", []byte{130, 97, 1}, ErrVersion, 0},
		{"version only", []byte{131}, ErrTruncated, 1},
		{"unknown tag", []byte{131, 1}, ErrTag, 1},
		{"local format", []byte{131, 121, 0, 0, 0, 0, 97, 1}, ErrTag, 1},
		{"second term", []byte{131, 97, 1, 97, 2}, ErrTrailing, 3},
		{"bad second element", []byte{131, 104, 2, 97, 1, 1}, ErrTag, 5},

		{"huge binary", slices.Concat([]byte{131, 109}, huge), ErrTruncated, 6},
		{"huge bit string", slices.Concat([]byte{131, 77}, huge, []byte{1}), ErrTruncated, 7},
		{"huge tuple", slices.Concat([]byte{131, 105}, huge), ErrTruncated, 6},
		{"huge list", slices.Concat([]byte{131, 108}, huge), ErrTruncated, 6},
		{"huge map", slices.Concat([]byte{131, 116}, huge), ErrTruncated, 6},
		{"map with half a pair", []byte{131, 116, 0, 0, 0, 1, 97, 1}, ErrTruncated, 8},
		{"huge integer", slices.Concat([]byte{131, 111}, huge, []byte{0}), ErrTruncated, 7},
		{"huge string", []byte{131, 107, 0xFF, 0xFF}, ErrTruncated, 4},
		{"long atom", []byte{131, 118, 0xFF, 0xFF}, ErrTruncated, 4},

		{"more elements than allowed", slices.Concat([]byte{131, 104, 11}, bytes.Repeat([]byte{106}, 11)), ErrLimit, 1},
		{"more in all", slices.Concat([]byte{131, 104, 9}, bytes.Repeat([]byte{104, 1, 106}, 9)), ErrLimit, 6},
		{"more as tail", slices.Concat([]byte{131, 108}, u32(1), []byte{106, 107, 0, 10}, make([]byte, 10)), ErrLimit, 7},
		{"too deep", nested(5, []byte{104, 1}, nil), ErrDepth, 9},
		{"too deep as tail", nested(5, []byte{108, 0, 0, 0, 1}, []byte{106}), ErrDepth, 21},
		{"too long", make([]byte, 1001), ErrVersion, 0},
		{"too long a term", append([]byte{131, 97, 1}, make([]byte, 1000)...), ErrLimit, 0},

		{"atom not UTF-8", []byte{131, 119, 1, 0xFF}, ErrAtom, 1},
		{"surrogate", []byte{131, 119, 3, 0xED, 0xA0, 0x80}, ErrAtom, 1},
		{"atom of 256 characters", slices.Concat([]byte{131, 118, 1, 0}, make([]byte, 256)), ErrAtom, 1},
		{"Latin-1 atom of 256", slices.Concat([]byte{131, 100, 1, 0}, make([]byte, 256)), ErrAtom, 1},
		{"NaN", []byte{131, 70, 0x7F, 0xF8, 0, 0, 0, 0, 0, 0}, ErrFormat, 1},
		{"infinity", []byte{131, 70, 0xFF, 0xF0, 0, 0, 0, 0, 0, 0}, ErrFormat, 1},
		{"float inf", append([]byte{131, 99, 'i', 'n', 'f'}, make([]byte, 28)...), ErrFormat, 1},
		{"float hex", append([]byte("\x83c0x1p4"), make([]byte, 26)...), ErrFormat, 1},
		{"float overflow", append([]byte("\x83c1e999"), make([]byte, 26)...), ErrFormat, 1},
		{"float empty", append([]byte("\x83c"), make([]byte, 31)...), ErrFormat, 1},
		{"nine bits", []byte{131, 77, 0, 0, 0, 1, 9, 1}, ErrFormat, 1},
		{"no bits", []byte{131, 77, 0, 0, 0, 1, 0, 1}, ErrFormat, 1},
		{"bits of nothing", []byte{131, 77, 0, 0, 0, 0, 3}, ErrFormat, 1},
		{"ref without words", []byte{131, 90, 0, 0, 119, 1, 'a', 0, 0, 0, 0}, ErrFormat, 1},
		{"ref of six words", slices.Concat([]byte{131, 90, 0, 6, 119, 1, 'a'}, make([]byte, 28)), ErrFormat, 1},
		{"pid of an integer", slices.Concat([]byte{131, 88, 97, 1}, make([]byte, 12)), ErrTag, 2},
		{"fun arity", []byte{131, 113, 119, 0, 119, 0, 98, 0, 0, 1, 0}, ErrFormat, 6},
		{"fun arity as atom", []byte{131, 113, 119, 0, 119, 0, 119, 3, 'a', 'b', 'c'}, ErrTag, 6},
		{"same key", []byte{131, 116, 0, 0, 0, 2, 97, 1, 106, 98, 0, 0, 0, 1, 106}, ErrDuplicateKey, 1},
		{"same list", []byte{131, 116, 0, 0, 0, 2, 107, 0, 1, 5, 106, 108, 0, 0, 0, 1, 97, 5, 106, 106}, ErrDuplicateKey, 1},

		{"compressed, cut", []byte{131, 80, 0, 0}, ErrTruncated, 1},
		{"compressed beyond the limit", []byte{131, 80, 0, 0, 4, 0, 120}, ErrLimit, 2},
		{"compressed beyond belief", []byte{131, 80, 0, 0, 3, 0}, ErrTruncated, 2},
		{"compressed garbage", []byte{131, 80, 0, 0, 0, 9, 1, 2, 3, 4, 5, 6, 7, 8}, ErrFormat, 6},
		{"shorter than it says", compressed(6, []byte{104, 1, 97, 5}), ErrFormat, 2},
		{"longer than it says", compressed(3, []byte{104, 1, 97, 5}), ErrFormat, 2},
		{"bad inside", compressed(4, []byte{104, 1, 1, 1}), ErrTag, 2},
		{"more inside", compressed(4, []byte{97, 5, 97, 5}), ErrTrailing, 2},
		{"compressed inside", compressed(4, []byte{80, 0, 0, 0}), ErrTag, 0},
	} {
		for name, opt := range decoders {
			opt.Limits = small
			term, err := NewDecoder(opt).Decode(c.in)
			var e *DecodeError
			if !errors.Is(err, c.err) || !errors.As(err, &e) || e.Offset != c.offset {
				t.Errorf("%s, %s: %v, %v, want %v at %d", c.name, name, term, err, c.err, c.offset)
			}
		}
	}
}

// compressed returns a compressed term that claims to be size long.
func compressed(size int, term []byte) []byte {
	var b bytes.Buffer
	b.Write([]byte{131, tagCompressed})
	b.Write(u32(size))
	z := zlib.NewWriter(&b)
	if _, err := z.Write(term); err != nil {
		panic(err) // a bytes.Buffer takes everything
	}
	if err := z.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func TestDecodeNextCompressed(t *testing.T) {
	term, rest, err := NewDecoder(DecodeOptions{}).DecodeNext(append(compressed(4, []byte{104, 1, 97, 5}), "rest"...))
	if err != nil || !Equal(term, Tuple{5}) || string(rest) != "rest" {
		t.Errorf("%v, rest %q, %v", term, rest, err)
	}
}

// TestClaimsCostNothing: input that claims much more than it has is refused
// before memory is taken for it.
func TestClaimsCostNothing(t *testing.T) {
	d := NewDecoder(DecodeOptions{})
	// 4,000 nested lists, each claiming all of what is left.
	var greedy []byte
	for range 4000 {
		greedy = append(greedy, 108, 0, 0, 0x40, 0)
	}
	for name, in := range map[string][]byte{
		"binary": {131, 109, 0x7F, 0xFF, 0xFF, 0xFF, 0},
		"tuple":  {131, 105, 0x7F, 0xFF, 0xFF, 0xFF, 0},
		"list":   {131, 108, 0x7F, 0xFF, 0xFF, 0xFF, 0},
		"map":    {131, 116, 0x7F, 0xFF, 0xFF, 0xFF, 0},
		"bomb":   compressed(1<<28, nil),
		"fun":    slices.Concat([]byte{131, 112, 0, 0, 0, 60, 0}, make([]byte, 20), []byte{0x7F, 0xFF, 0xFF, 0xFF}, make([]byte, 40)),
	} {
		if got := allocated(func() {
			if _, err := d.Decode(in); err == nil {
				t.Errorf("%s was decoded", name)
			}
		}); got > 200_000 {
			t.Errorf("%s of %d bytes: %d bytes allocated", name, len(in), got)
		}
	}
	// Nesting multiplies what is claimed, up to MaxElements in all.
	lim := NewDecoder(DecodeOptions{Limits: Limits{MaxElements: 1 << 16}})
	in := slices.Concat([]byte{131}, greedy, make([]byte, 1<<15))
	if got := allocated(func() {
		if _, err := lim.Decode(in); !errors.Is(err, ErrLimit) {
			t.Errorf("greedy lists: %v", err)
		}
	}); got > 3<<20 {
		t.Errorf("greedy lists: %d bytes allocated", got)
	}
}

func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestDeepTerms decodes, compares, copies, prints and encodes terms as deep as
// any limit allows, and refuses one level more.
func TestDeepTerms(t *testing.T) {
	for name, c := range map[string]struct{ prefix, suffix []byte }{
		"tuple": {[]byte{104, 1}, nil},
		"list":  {[]byte{108, 0, 0, 0, 1}, []byte{106}},
		"tail":  {[]byte{108, 0, 0, 0, 2, 106}, []byte{97, 1}},
		"key":   {[]byte{116, 0, 0, 0, 1}, []byte{97, 1}},
		"value": {[]byte{116, 0, 0, 0, 1, 97, 1}, nil},
	} {
		d := NewDecoder(DecodeOptions{Limits: Limits{MaxDepth: math.MaxInt}})
		term, err := d.Decode(nested(depthCap, c.prefix, c.suffix))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !Equal(term, Clone(term)) {
			t.Errorf("%s: not equal to its copy", name)
		}
		if s := Format(term); len(s) < depthCap {
			t.Errorf("%s: printed in %d bytes", name, len(s))
		}
		e := Encoder{MaxDepth: math.MaxInt}
		if _, err := e.Append(nil, term); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := d.Decode(nested(depthCap+1, c.prefix, c.suffix)); !errors.Is(err, ErrDepth) {
			t.Errorf("%s, one deeper: %v", name, err)
		}
	}
	// A list in parts is not deep.
	b := slices.Concat([]byte{131}, bytes.Repeat([]byte{108, 0, 0, 0, 1, 97, 1}, 200_000), []byte{106})
	l, err := Decode(b)
	if err != nil || len(l.(List)) != 200_000 {
		t.Errorf("list in parts: %v", err)
	}
}

// TestKeysThatAreMaps: the content of a map that is a key is hashed once for
// each level around it, which must not make a small message take hours.
func TestKeysThatAreMaps(t *testing.T) {
	// #{K => 0, 1 => 0} around a list of n elements, depth times.
	build := func(depth, n int) []byte {
		return slices.Concat([]byte{131}, bytes.Repeat([]byte{116, 0, 0, 0, 2}, depth),
			[]byte{108}, u32(n), bytes.Repeat([]byte{106}, n), []byte{106},
			bytes.Repeat([]byte{97, 0, 97, 1, 97, 0}, depth))
	}
	d := NewDecoder(DecodeOptions{Limits: Limits{MaxElements: 1 << 17, MaxBytes: 1 << 20}})
	if _, err := d.Decode(build(5, 1<<16)); err != nil {
		t.Errorf("5 levels: %v", err)
	}
	if _, err := d.Decode(build(5000, 1<<16)); !errors.Is(err, ErrLimit) {
		t.Errorf("5,000 levels: %v", err)
	}
}

// TestManyKeys looks for duplicates among few and many keys, in either table.
func TestManyKeys(t *testing.T) {
	for _, n := range []int{2, 31, 32, 33, 64, 1000} {
		var m Map
		for i := range n {
			m = append(m, Pair{Tuple{int64(i)}, int64(i)})
		}
		b, err := Append(nil, m)
		if err != nil {
			t.Fatalf("%d keys: %v", n, err)
		}
		back, err := Decode(b)
		if err != nil || !Equal(back, m) {
			t.Fatalf("%d keys: %v", n, err)
		}
		slices.Reverse(m)
		if !Equal(back, m) {
			t.Errorf("%d keys: another order is another map", n)
		}
		if v, ok := m.Get(Tuple{1}); !ok || v != int64(1) {
			t.Errorf("%d keys: Get: %v, %v", n, v, ok)
		}
		m[0].Value = Atom("other")
		if Equal(back, m) {
			t.Errorf("%d keys: another value is the same map", n)
		}
		m[n-1].Key = Tuple{uint16(n - 1)} // that of m[0], in another type
		if Equal(back, m) {
			t.Errorf("%d keys: another key is the same map", n)
		}
		if _, err := Append(nil, m); !errors.Is(err, ErrDuplicateKey) {
			t.Errorf("%d keys, one twice: %v", n, err)
		}
	}
}

// TestAliasing changes the input after decoding: only terms that were asked to
// alias it may change with it.
func TestAliasing(t *testing.T) {
	in, err := Append(nil, Tuple{Atom("atom"), []byte("binary"), Charlist("string"), BitString{[]byte{1, 0x80}, 1}})
	if err != nil {
		t.Fatal(err)
	}
	for name, opt := range decoders {
		b := slices.Clone(in)
		term, err := NewDecoder(opt).Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		before := Clone(term)
		for i := range b {
			b[i] ^= 0xFF
		}
		if same := Equal(before, term); same == opt.AliasInput {
			t.Errorf("%s: unchanged is %v", name, same)
		}
		if term.(Tuple)[0] != Atom("atom") {
			t.Errorf("%s: the atom changed", name)
		}
	}
	// Unused bits are cleared in the term, not in the input.
	b := []byte{131, 77, 0, 0, 0, 1, 3, 0xFF}
	term, err := NewDecoder(DecodeOptions{AliasInput: true}).Decode(b)
	if err != nil || !Equal(term, BitString{[]byte{0xE0}, 3}) || b[7] != 0xFF {
		t.Errorf("%s, %v, input %v", Format(term), err, b)
	}
}

// TestReuse: terms of a reusing Decoder live side by side until Reset, clones
// and atoms beyond it.
func TestReuse(t *testing.T) {
	terms := goldens(t)
	d := NewDecoder(DecodeOptions{Reuse: true})
	for range 3 {
		var live, clones []any
		for _, g := range terms {
			term, err := d.Decode(g.input)
			if err != nil {
				t.Fatal(err)
			}
			live = append(live, term)
			clones = append(clones, Clone(term))
		}
		for i, g := range terms {
			want, err := Decode(g.input)
			if err != nil {
				t.Fatal(err)
			}
			if !Equal(live[i], want) {
				t.Fatalf("%s: is now %s", g.expr, Format(live[i]))
			}
		}
		d.Reset()
		for range 2 { // overwrite
			if _, err := d.Decode(terms[len(terms)-1].input); err != nil {
				t.Fatal(err)
			}
		}
		runtime.GC()
		for i, g := range terms {
			out, err := Append(nil, clones[i])
			if err != nil || !bytes.Equal(out, g.canonical) {
				t.Fatalf("%s: its clone is now %s", g.expr, Format(clones[i]))
			}
		}
	}
}

// TestReuseForgetsHugeTerms: one huge term does not pin its memory.
func TestReuseForgetsHugeTerms(t *testing.T) {
	d := NewDecoder(DecodeOptions{Reuse: true})
	in, err := Append(nil, make([]byte, 10<<20))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Decode(in); err != nil {
		t.Fatal(err)
	}
	if d.Reset(); cap(d.mem.bytes.chunk) > keptChunk {
		t.Errorf("%d bytes kept", cap(d.mem.bytes.chunk))
	}
}

// TestAtomTableIsBounded: a peer that invents atoms takes no memory for ever.
func TestAtomTableIsBounded(t *testing.T) {
	d := NewDecoder(DecodeOptions{})
	for i := range 3 * internedAtoms {
		name := strings.Repeat("x", i%200) + string(rune('a'+i%26)) + strings.Repeat("y", i/200%50)
		b, err := Append(nil, Atom(name))
		if err != nil {
			t.Fatal(err)
		}
		if a, err := d.Decode(b); err != nil || a != Atom(name) {
			t.Fatalf("%v, %v", a, err)
		}
		if len(d.atoms) > internedAtoms {
			t.Fatalf("%d atoms remembered", len(d.atoms))
		}
	}
}

// TestFunOfAMessage takes funs, one in another, out of a message whose header
// has their atoms: what is kept must stand alone, with sizes put right.
func TestFunOfAMessage(t *testing.T) {
	fun := func(parts ...[]byte) []byte {
		b := slices.Concat(append([][]byte{make([]byte, 5+1+16), u32(7)}, parts...)...)
		b[0], b[5], b[6] = tagNewFun, 2, 0xAB
		binary.BigEndian.PutUint32(b[1:], uint32(len(b)-1))
		return b
	}
	cached := func(i byte) []byte { return []byte{tagAtomCacheRef, i} }
	plain := func(a Atom) []byte { return appendAtom(nil, a) }
	build := func(atom func(int) []byte) []byte {
		pid := slices.Concat([]byte{tagNewPid}, atom(1), make([]byte, 12))
		inner := fun(u32(1), atom(0), []byte{97, 3}, []byte{98, 0, 1, 0, 0}, pid, []byte{tagSmallTuple, 2}, atom(2), []byte{97, 9})
		return fun(u32(3), atom(0), []byte{97, 3}, []byte{98, 0, 1, 0, 0}, pid, atom(2), inner, atom(1))
	}
	names := []Atom{"some_module", "node@host", Atom(strings.Repeat("ü", 200))}
	inMessage := build(func(i int) []byte { return cached(byte(i)) })
	alone := build(func(i int) []byte { return plain(names[i]) })

	var refs AtomRefs
	for _, a := range names {
		refs.terms = append(refs.terms, a)
	}
	for name, opt := range decoders {
		d := NewDecoder(opt)
		packet := slices.Concat([]byte{tagSmallTuple, 3}, inMessage, cached(2), inMessage)
		term, rest, err := d.DecodeTerm(packet, &refs)
		if err != nil || len(rest) != 0 {
			t.Fatalf("%s: %v", name, err)
		}
		for _, i := range []int{0, 2} {
			f := term.(Tuple)[i].(Fun)
			if !bytes.Equal(f.Raw, alone) {
				t.Errorf("%s: fun kept as\n%x, want\n%x", name, f.Raw, alone)
			}
			if f.Module != "some_module" || f.Arity != 2 || f.Index != 7 || f.Uniq != 65536 {
				t.Errorf("%s: fun is %s", name, Format(f))
			}
		}
		back, _, err := d.DecodeTerm(alone, nil)
		if err != nil || !Equal(back, term.(Tuple)[0]) {
			t.Errorf("%s: kept fun: %v", name, err)
		}
	}
	bad := slices.Clone(alone)
	bad[4]++
	if _, _, err := NewDecoder(DecodeOptions{}).DecodeTerm(bad, nil); !errors.Is(err, ErrTruncated) {
		t.Errorf("size beyond the end: %v", err)
	}
	bad[4] -= 2
	if _, _, err := NewDecoder(DecodeOptions{}).DecodeTerm(bad, nil); !errors.Is(err, ErrFormat) {
		t.Errorf("wrong size: %v", err)
	}
}

// TestOldFun keeps a FUN_EXT, which no current node makes, as it came.
func TestOldFun(t *testing.T) {
	raw := slices.Concat([]byte{tagFun}, u32(2), []byte{tagPid}, appendAtom(nil, "a@b"), make([]byte, 9),
		appendAtom(nil, "m"), []byte{97, 4}, []byte{98, 0, 0, 1, 0}, []byte{97, 1}, []byte{106})
	term, err := Decode(append([]byte{131}, raw...))
	if err != nil {
		t.Fatal(err)
	}
	if f, ok := term.(Fun); !ok || !bytes.Equal(f.Raw, raw) || f.Module != "m" || f.Index != 4 || f.Uniq != 256 {
		t.Errorf("%s", Format(term))
	}
}

func TestEqual(t *testing.T) {
	fun := Fun{Raw: []byte{tagNewFun, 1}}
	classes := [][]any{ // equal within a line, different between lines
		{Atom("a")},
		{Atom("true"), true},
		{Atom("false"), false},
		{Atom("")},
		{int64(1), 1, uint8(1), big.NewInt(1)},
		{1.0, float32(1)},
		{0.0},
		{math.Copysign(0, -1)},
		{int64(0), 0},
		{uint64(math.MaxUint64), bigInt("0xFFFFFFFFFFFFFFFF")},
		{bigInt("-0xFFFFFFFFFFFFFFFF")},
		{int64(-1)},
		{[]byte("ab"), "ab"},
		{[]byte{}, ""},
		{[]byte("abc")},
		{Charlist("ab"), List{int64('a'), 'b'}, []any{97, 98}, ImproperList{List{97}, Charlist("b")}},
		{List{}, Charlist{}, []any{}},
		{List{List{}}},
		{ImproperList{List{1}, 2}},
		{List{1, 2}},
		{ImproperList{List{1, 2}, 3}, ImproperList{List{1}, ImproperList{List{2}, 3}}},
		{Tuple{}},
		{Tuple{1}},
		{Tuple{1, 2}},
		{Tuple{List{}}},
		{Map{}, map[string]any{}, map[Atom]any{}},
		{Map{{"a", 1}, {"b", 2}}, Map{{[]byte("b"), 2}, {"a", 1}}, map[string]any{"a": 1, "b": 2}},
		{Map{{Atom("a"), 1}}, map[Atom]any{"a": int64(1)}},
		{Map{{Atom("a"), 2}}},
		{Map{{Atom("b"), 1}}},
		{BitString{[]byte{0x80}, 1}},
		{BitString{[]byte{0x80}, 2}},
		{Pid{Node: "a@b", ID: 1}},
		{Pid{Node: "a@b", ID: 2}},
		{Port{Node: "a@b", ID: 1}},
		{Ref{Node: "a@b", Len: 1, ID: [5]uint32{1}}},
		{Export{"m", "f", 1}},
		{Export{"m", "f", 2}},
		{fun},
		{Fun{Raw: []byte{tagNewFun, 2}}},
	}
	for i, class := range classes {
		for _, a := range class {
			for j, other := range classes {
				for _, b := range other {
					if Equal(a, b) != (i == j) {
						t.Errorf("Equal(%T %s, %T %s) is %v", a, Format(a), b, Format(b), i != j)
					}
					h := hasher{work: math.MaxInt}
					if same := h.hash(a, 0) == h.hash(b, 0); same != (i == j) {
						t.Errorf("hash of %T %s and %T %s: same is %v", a, Format(a), b, Format(b), same)
					}
				}
			}
		}
	}
	if Equal(nil, nil) || Equal(struct{}{}, struct{}{}) || Equal([]int{1}, []int{1}) {
		t.Error("values that are no terms are equal")
	}
}

func TestMapPut(t *testing.T) {
	var m Map
	m = m.Put("a", 1).Put(Atom("a"), 2).Put([]byte("a"), 3)
	if !Equal(m, Map{{Atom("a"), 2}, {"a", 3}}) {
		t.Errorf("%s", Format(m))
	}
	if _, ok := m.Get(Atom("b")); ok {
		t.Error("found what was never put")
	}
}
