package etf

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
)

// capturedFrames reads what one Erlang node sent to another; dist.escript
// explains it.
func capturedFrames(tb testing.TB) [][]byte {
	tb.Helper()
	file, err := os.Open("testdata/dist.bin.gz")
	if err != nil {
		tb.Fatal(err)
	}
	defer file.Close()
	z, err := gzip.NewReader(file)
	if err != nil {
		tb.Fatal(err)
	}
	all, err := io.ReadAll(z)
	if err != nil {
		tb.Fatal(err)
	}
	var frames [][]byte
	for len(all) > 0 {
		n := binary.BigEndian.Uint32(all)
		frames = append(frames, all[4:4+n])
		all = all[4+n:]
	}
	return frames
}

// TestCapturedConnection decodes a connection between two OTP nodes: more atoms
// than the cache holds, atoms longer than 255 bytes, funs whose atoms are in
// the cache, fragments of two senders between each other.
func TestCapturedConnection(t *testing.T) {
	type partial struct {
		refs AtomRefs
		body []byte
		next uint64
	}
	var cache ReceiveCache
	d := NewDecoder(DecodeOptions{})
	fragmented := map[uint64]*partial{}
	seen := map[byte]int{}
	together, messages, funs := 0, 0, 0
	for i, frame := range capturedFrames(t) {
		h, rest, err := DecodeHeader(frame, &cache)
		if err != nil {
			t.Fatalf("frame %d: %v", i, err)
		}
		seen[h.Kind]++
		refs := h.Refs
		switch h.Kind {
		case HeaderFirst:
			fragmented[h.Sequence] = &partial{refs, slices.Clone(rest), h.Fragment - 1}
			together = max(together, len(fragmented))
			continue
		case HeaderNext:
			p := fragmented[h.Sequence]
			if p == nil || p.next != h.Fragment {
				t.Fatalf("frame %d: fragment %d of %d out of order", i, h.Fragment, h.Sequence)
			}
			p.body = append(p.body, rest...)
			if p.next--; p.next > 0 {
				continue
			}
			rest, refs = p.body, p.refs
			delete(fragmented, h.Sequence)
		}
		control, rest, err := d.DecodeTerm(rest, &refs)
		if err != nil {
			t.Fatalf("frame %d: control: %v", i, err)
		}
		ctl, ok := control.(Tuple)
		if !ok || len(ctl) < 2 {
			t.Fatalf("frame %d: control is %s", i, Format(control))
		}
		if len(rest) == 0 {
			continue
		}
		message, rest, err := d.DecodeTerm(rest, &refs)
		if err != nil || len(rest) > 0 {
			t.Fatalf("frame %d: message: %v, %d bytes left", i, err, len(rest))
		}
		msg, ok := message.(Tuple)
		if !ok || len(msg) != 4 || msg[0] != Atom("msg") {
			continue // of the processes that run a node
		}
		messages++
		want, err := Decode(msg[3].([]byte))
		if err != nil {
			t.Fatalf("message %v: %v", msg[1], err)
		}
		if !Equal(withoutFuns(&funs, msg[2]), withoutFuns(&funs, want)) {
			t.Errorf("message %v: got %s, want %s", msg[1], FormatLimit(msg[2], 300), FormatLimit(want, 300))
		}
	}
	if len(fragmented) > 0 {
		t.Errorf("%d messages never ended", len(fragmented))
	}
	if messages != 147 || funs < 20 {
		t.Errorf("%d messages and %d funs, want 147 and 20 at least", messages, funs)
	}
	for _, kind := range []byte{HeaderNormal, HeaderFirst, HeaderNext} {
		if seen[kind] == 0 {
			t.Errorf("no header of kind %d", kind)
		}
	}
	if together < 2 {
		t.Error("the fragments of no two messages were mixed")
	}
}

// withoutFuns replaces funs by what their bytes decode as with every atom in
// UTF-8: Raw keeps the encodings of the message and OTP 25 uses other ones in
// term_to_binary/1.
func withoutFuns(n *int, term any) any {
	switch t := term.(type) {
	case Fun:
		*n++
		var parts Tuple
		raw := t.Raw[1+newFunFixed:]
		d := NewDecoder(DecodeOptions{})
		for len(raw) > 0 {
			part, rest, err := d.DecodeTerm(raw, nil)
			if err != nil {
				return err
			}
			parts, raw = append(parts, withoutFuns(n, part)), rest
		}
		if size := binary.BigEndian.Uint32(t.Raw[1:]); int(size) != len(t.Raw)-1 {
			return fmt.Errorf("fun of %d bytes says it has %d", len(t.Raw)-1, size)
		}
		return Tuple{t.Raw[5 : 1+newFunFixed], parts}
	case Tuple:
		return Tuple(withoutFunsAll(n, t))
	case List:
		return List(withoutFunsAll(n, t))
	case ImproperList:
		return ImproperList{withoutFunsAll(n, t.Items), withoutFuns(n, t.Tail)}
	case Map:
		m := make(Map, len(t))
		for i, p := range t {
			m[i] = Pair{withoutFuns(n, p.Key), withoutFuns(n, p.Value)}
		}
		return m
	}
	return term
}

func withoutFunsAll(n *int, l []any) []any {
	out := make([]any, len(l))
	for i := range l {
		out[i] = withoutFuns(n, l[i])
	}
	return out
}

// TestHeaderOfTheDocument reads the example that erl_ext_dist explains byte by
// byte: a message in two fragments, two of its five atoms known before.
func TestHeaderOfTheDocument(t *testing.T) {
	cache := new(ReceiveCache)
	cache.atoms[4<<8|5] = Atom("receiver@host")
	cache.atoms[0<<8|10] = Atom("sender@host")
	first := slices.Concat(
		[]byte{131, 69, 0, 0, 2, 168, 0, 0, 5, 83, 0, 0, 0, 0, 0, 0, 0, 2},
		[]byte{5, 4 << 4, 1<<7 | 1<<4 | 8, 9, 10, 5},
		[]byte{236, 3}, []byte("reg"), []byte{9, 4}, []byte("call"), []byte{238, 13}, []byte("set_get_state"),
		[]byte{104, 4, 97, 6, 103, 82, 0, 0, 0, 0, 85, 0, 0, 0, 0, 2, 106, 82, 2},
		[]byte{104, 3, 82, 3, 103, 82, 0, 0, 0, 0, 245, 0, 0, 0, 2, 2, 104, 2, 82, 4, 109, 0, 0, 0, 128},
		make([]byte, 100))
	last := slices.Concat(
		[]byte{131, 70, 0, 0, 2, 168, 0, 0, 5, 83, 0, 0, 0, 0, 0, 0, 0, 1}, make([]byte, 28))

	h, rest, err := DecodeHeader(first, cache)
	if err != nil {
		t.Fatal(err)
	}
	if h.Kind != HeaderFirst || h.Sequence != 0x2A800000553 || h.Fragment != 2 {
		t.Errorf("header %+v", h)
	}
	for i, want := range []Atom{"sender@host", "receiver@host", "reg", "call", "set_get_state"} {
		if i >= h.Refs.Len() || h.Refs.At(i) != want {
			t.Fatalf("atom %d of %d is not %s", i, h.Refs.Len(), want)
		}
	}
	next, piece, err := DecodeHeader(last, cache)
	if err != nil || next.Kind != HeaderNext || next.Sequence != h.Sequence || next.Fragment != 1 || next.Refs.Len() != 0 {
		t.Fatalf("header %+v, %v", next, err)
	}
	d := NewDecoder(DecodeOptions{})
	control, rest, err := d.DecodeTerm(rest, &h.Refs)
	if err != nil {
		t.Fatal(err)
	}
	sender := Pid{Node: "sender@host", ID: 85, Creation: 2}
	if want := (Tuple{int64(6), sender, List{}, Atom("reg")}); !Equal(control, want) {
		t.Errorf("control %s", Format(control))
	}
	message, rest, err := d.DecodeTerm(append(slices.Clone(rest), piece...), &h.Refs)
	if err != nil || len(rest) != 0 {
		t.Fatalf("%v, %d bytes left", err, len(rest))
	}
	want := Tuple{Atom("call"), Pid{Node: "sender@host", ID: 245, Serial: 2, Creation: 2}, Tuple{Atom("set_get_state"), make([]byte, 128)}}
	if !Equal(message, want) {
		t.Errorf("message %s", Format(message))
	}
}

// TestHeaderRoundTrip sends messages through both caches and compares, with
// every number of atoms up to more than a header holds, known and unknown ones,
// and long ones.
func TestHeaderRoundTrip(t *testing.T) {
	var send SendCache
	var receive ReceiveCache
	var refs RefTable
	e, d := Encoder{Refs: &refs}, NewDecoder(DecodeOptions{})
	var h Header
	for round := range 3 {
		for n := range 300 {
			l := List{Pid{Node: "n1@127.0.0.1"}, Ref{Node: "n2@127.0.0.1", Len: 1}, Port{Node: "n1@127.0.0.1"}, Export{"m", "f", 2}}
			for i := range n {
				l = append(l, Atom(fmt.Sprintf("atom_%d", i*7+n)))
			}
			if n%50 == round {
				l = append(l, Atom(strings.Repeat("ü", 200)), Atom(""))
			}
			refs.Reset()
			body, err := e.AppendTerm(nil, l)
			if err != nil {
				t.Fatal(err)
			}
			if refs.Len() > maxRefs {
				t.Fatalf("%d atoms in one header", refs.Len())
			}
			head := send.AppendHeader(nil, &refs)
			if len(head) > MaxHeaderLen(&refs) {
				t.Fatalf("header of %d bytes, bound %d", len(head), MaxHeaderLen(&refs))
			}
			rest, err := h.Decode(append(head, body...), &receive)
			if err != nil {
				t.Fatalf("%d atoms: %v", n, err)
			}
			if h.Kind != HeaderNormal || h.Refs.Len() != refs.Len() {
				t.Fatalf("header %d with %d atoms, want %d", h.Kind, h.Refs.Len(), refs.Len())
			}
			back, rest, err := d.DecodeTerm(rest, &h.Refs)
			if err != nil || len(rest) != 0 {
				t.Fatalf("%d atoms: %v, %d bytes left", n, err, len(rest))
			}
			if !Equal(back, l) {
				t.Fatalf("%d atoms: %s", n, FormatLimit(back, 300))
			}
		}
	}
}

// TestHeaderShrinks wants the second of two equal messages to send no atom.
func TestHeaderShrinks(t *testing.T) {
	var send SendCache
	var refs RefTable
	e := Encoder{Refs: &refs}
	if _, err := e.AppendTerm(nil, Tuple{Atom("alpha"), Atom("beta"), Atom("alpha")}); err != nil {
		t.Fatal(err)
	}
	first, second := send.AppendHeader(nil, &refs), send.AppendHeader(nil, &refs)
	if !bytes.Contains(first, []byte("alpha")) || !bytes.Contains(first, []byte("beta")) {
		t.Errorf("first header %q lacks an atom", first)
	}
	if len(second) != 2+1+2+2 {
		t.Errorf("second header is %v", second)
	}
}

// TestRefsOutliveTheCache: the atoms of a first fragment stay as they are while
// another message takes their place in the cache.
func TestRefsOutliveTheCache(t *testing.T) {
	var cache ReceiveCache
	name := func(a string) []byte {
		return append([]byte{131, 68, 1, 0x08, 7, byte(len(a))}, a...)
	}
	first, _, err := DecodeHeader(name("first"), &cache)
	if err != nil {
		t.Fatal(err)
	}
	second, _, err := DecodeHeader(name("second"), &cache)
	if err != nil {
		t.Fatal(err)
	}
	if first.Refs.At(0) != "first" || second.Refs.At(0) != "second" {
		t.Errorf("refs %s and %s", first.Refs.At(0), second.Refs.At(0))
	}
}

func TestFragmentHeaders(t *testing.T) {
	var send SendCache
	var receive ReceiveCache
	var refs RefTable
	e := Encoder{Refs: &refs}
	if _, err := e.AppendTerm(nil, Atom("a")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		packet []byte
		want   Header
		atoms  int
	}{
		{send.AppendFirst(nil, &refs, 1<<40, 3), Header{Kind: HeaderFirst, Sequence: 1 << 40, Fragment: 3}, 1},
		{AppendNext(nil, 1<<40, 2), Header{Kind: HeaderNext, Sequence: 1 << 40, Fragment: 2}, 0},
		{send.AppendFirst(nil, nil, 9, 1), Header{Kind: HeaderFirst, Sequence: 9, Fragment: 1}, 0},
		{send.AppendHeader(nil, nil), Header{Kind: HeaderNormal}, 0},
	} {
		h, rest, err := DecodeHeader(append(c.packet, "rest"...), &receive)
		if err != nil || string(rest) != "rest" {
			t.Errorf("%v: %v, rest %q", c.packet, err, rest)
		}
		if h.Kind != c.want.Kind || h.Sequence != c.want.Sequence || h.Fragment != c.want.Fragment || h.Refs.Len() != c.atoms {
			t.Errorf("%v: header %+v", c.packet, h)
		}
	}
}

func TestBadHeaders(t *testing.T) {
	for _, c := range []struct {
		name   string
		packet []byte
		err    error
		offset int
	}{
		{"empty", nil, ErrTruncated, 0},
		{"version only", []byte{131}, ErrTruncated, 1},
		{"wrong version", []byte{130, 68, 0}, ErrVersion, 0},
		{"unknown kind", []byte{131, 71, 0}, ErrTag, 1},
		{"no count", []byte{131, 68}, ErrTruncated, 2},
		{"no flags", []byte{131, 68, 4, 0, 0}, ErrTruncated, 5},
		{"no reference", []byte{131, 68, 1, 8}, ErrTruncated, 4},
		{"no length", []byte{131, 68, 1, 8, 0}, ErrTruncated, 5},
		{"no text", []byte{131, 68, 1, 8, 0, 3, 'a', 'b'}, ErrTruncated, 8},
		{"half a long length", []byte{131, 68, 1, 0x18, 0, 0}, ErrTruncated, 6},
		{"empty cache", []byte{131, 68, 1, 0, 9}, ErrAtomCache, 4},
		{"not UTF-8", []byte{131, 68, 1, 8, 0, 1, 0xFF}, ErrAtom, 6},
		{"too long", append([]byte{131, 68, 1, 0x18, 0, 1, 0}, make([]byte, 256)...), ErrAtom, 7},
		{"short fragment", append([]byte{131, 69}, make([]byte, 15)...), ErrTruncated, 17},
		{"fragment zero", append([]byte{131, 70}, make([]byte, 16)...), ErrFormat, 10},
		{"first without count", append([]byte{131, 69}, []byte("12345678\x00\x00\x00\x00\x00\x00\x00\x01")...), ErrTruncated, 18},
	} {
		_, rest, err := DecodeHeader(c.packet, new(ReceiveCache))
		var e *DecodeError
		if !errors.As(err, &e) || !errors.Is(err, c.err) || e.Offset != c.offset || rest != nil {
			t.Errorf("%s: %v, want %v at %d", c.name, err, c.err, c.offset)
		}
	}
}

// TestUnknownReference: terms may only refer to what their header names.
func TestUnknownReference(t *testing.T) {
	d := NewDecoder(DecodeOptions{})
	for _, refs := range []*AtomRefs{nil, {}, {terms: []any{Atom("a")}}} {
		if _, _, err := d.DecodeTerm([]byte{tagAtomCacheRef, 1}, refs); !errors.Is(err, ErrAtomCache) {
			t.Errorf("%d refs: %v", refs.Len(), err)
		}
	}
	if _, err := d.Decode([]byte{131, tagAtomCacheRef, 0}); !errors.Is(err, ErrAtomCache) {
		t.Errorf("in a term with version byte: %v", err)
	}
}
