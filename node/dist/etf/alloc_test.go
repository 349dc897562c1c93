package etf

import (
	"testing"
)

// ten is a map of ten fields of the kinds that messages between nodes have.
func ten() Map {
	return Map{
		{Atom("topic"), []byte("sensors/kitchen/temperature")},
		{Atom("qos"), int64(1)},
		{Atom("retain"), Atom("false")},
		{Atom("payload"), []byte("21.5 degrees, and some more bytes to make it a message")},
		{Atom("timestamp"), int64(1_700_000_000_123)},
		{Atom("from"), Pid{Node: "n1@127.0.0.1", ID: 1234, Serial: 1, Creation: 1_700_000_000}},
		{Atom("ref"), Ref{Node: "n1@127.0.0.1", Creation: 7, Len: 3, ID: [5]uint32{1, 2, 3}}},
		{Atom("weight"), 0.75},
		{Atom("path"), List{Atom("a"), Tuple{Atom("b"), int64(-5)}, List{}}},
		{Atom("name"), Charlist("client-17")},
	}
}

// TestReusedPathAllocations holds the promise of the issue: no more than two
// allocations to encode and decode a map of ten fields with a reused Encoder,
// Decoder and buffers.
func TestReusedPathAllocations(t *testing.T) {
	var term any = ten()
	for name, opt := range map[string]DecodeOptions{
		"copy":  {Reuse: true},
		"alias": {Reuse: true, AliasInput: true},
	} {
		t.Run(name, func(t *testing.T) {
			e, d := new(Encoder), NewDecoder(opt)
			var buf []byte
			run := func() {
				var err error
				if buf, err = e.Append(buf[:0], term); err != nil {
					t.Fatal(err)
				}
				if _, err = d.Decode(buf); err != nil {
					t.Fatal(err)
				}
				d.Reset()
			}
			run() // the first one fills slabs and atom table
			if n := testing.AllocsPerRun(1000, run); n > 0 {
				t.Errorf("%v allocations to encode and decode, want 0", n)
			}
		})
	}
}

// TestDistributionPathAllocations wants the same of a message with
// distribution header and atom cache.
func TestDistributionPathAllocations(t *testing.T) {
	var term any = ten()
	var send SendCache
	var receive ReceiveCache
	var refs RefTable
	var h Header
	e, d := &Encoder{Refs: &refs}, NewDecoder(DecodeOptions{Reuse: true})
	var body, packet []byte
	run := func() {
		refs.Reset()
		var err error
		if body, err = e.AppendTerm(body[:0], term); err != nil {
			t.Fatal(err)
		}
		packet = append(send.AppendHeader(packet[:0], &refs), body...)
		rest, err := h.Decode(packet, &receive)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err = d.DecodeTerm(rest, &h.Refs); err != nil {
			t.Fatal(err)
		}
		d.Reset()
	}
	run()
	if n := testing.AllocsPerRun(1000, run); n > 0 {
		t.Errorf("%v allocations to encode and decode, want 0", n)
	}
}

// TestPlainDecodeAllocations keeps the ordinary path from growing: its terms
// may be kept for ever, so each field costs something.
func TestPlainDecodeAllocations(t *testing.T) {
	buf, err := Append(nil, ten())
	if err != nil {
		t.Fatal(err)
	}
	d := NewDecoder(DecodeOptions{})
	if n := testing.AllocsPerRun(1000, func() {
		if _, err := d.Decode(buf); err != nil {
			t.Fatal(err)
		}
	}); n > 18 {
		t.Errorf("%v allocations to decode, want 18 at most", n)
	}
}

func BenchmarkEncode(b *testing.B) {
	var term any = ten()
	e := new(Encoder)
	buf, err := e.Append(nil, term)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		buf, _ = e.Append(buf[:0], term)
	}
}

func BenchmarkDecode(b *testing.B) {
	buf, err := Append(nil, ten())
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name string
		opt  DecodeOptions
	}{
		{"keep", DecodeOptions{}},
		{"keep alias", DecodeOptions{AliasInput: true}},
		{"reuse", DecodeOptions{Reuse: true}},
		{"reuse alias", DecodeOptions{Reuse: true, AliasInput: true}},
	} {
		b.Run(c.name, func(b *testing.B) {
			d := NewDecoder(c.opt)
			b.SetBytes(int64(len(buf)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := d.Decode(buf); err != nil {
					b.Fatal(err)
				}
				d.Reset()
			}
		})
	}
}

// BenchmarkDistribution sends one message through both atom caches.
func BenchmarkDistribution(b *testing.B) {
	var term any = ten()
	var send SendCache
	var receive ReceiveCache
	var refs RefTable
	var h Header
	e, d := &Encoder{Refs: &refs}, NewDecoder(DecodeOptions{Reuse: true, AliasInput: true})
	var body, packet []byte
	b.ReportAllocs()
	for b.Loop() {
		refs.Reset()
		body, _ = e.AppendTerm(body[:0], term)
		packet = append(send.AppendHeader(packet[:0], &refs), body...)
		rest, err := h.Decode(packet, &receive)
		if err != nil {
			b.Fatal(err)
		}
		if _, _, err = d.DecodeTerm(rest, &h.Refs); err != nil {
			b.Fatal(err)
		}
		d.Reset()
	}
	b.SetBytes(int64(len(packet)))
}

func BenchmarkFormat(b *testing.B) {
	var term any = ten()
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendFormat(buf[:0], term)
	}
}

func BenchmarkParse(b *testing.B) {
	text := `#{topic => <<"sensors/kitchen">>,qos => 1,list => [a,{b,-5},1.5e-3,"text"]}`
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(text); err != nil {
			b.Fatal(err)
		}
	}
}
