package etf

import (
	"bytes"
	"errors"
	"testing"
)

// FuzzDecode feeds anything to every kind of Decoder: none may panic or take
// much memory, all must agree, and what was decoded must survive encoding,
// copying and, where it has one, its text.
func FuzzDecode(f *testing.F) {
	for _, g := range goldens(f) {
		f.Add(g.input)
	}
	f.Add(compressed(1<<20, bytes.Repeat([]byte{106}, 100)))
	f.Fuzz(func(t *testing.T, in []byte) {
		limits := Limits{MaxElements: 1 << 16, MaxBytes: 1 << 20}
		plain := NewDecoder(DecodeOptions{Limits: limits})
		reuse := NewDecoder(DecodeOptions{Limits: limits, Reuse: true, AliasInput: true})
		term, rest, err := plain.DecodeNext(in)
		same, _, err2 := reuse.DecodeNext(in)
		if (err == nil) != (err2 == nil) {
			t.Fatalf("plain: %v, reuse: %v", err, err2)
		}
		if err != nil {
			var e *DecodeError
			if !errors.As(err, &e) || !e.Inflated && (e.Offset < 0 || e.Offset > len(in)) {
				t.Fatalf("error %#v", err)
			}
			return
		}
		if len(rest) >= len(in) {
			t.Fatal("nothing was read")
		}
		if !Equal(term, same) || !Equal(term, Clone(same)) {
			t.Fatalf("decoders differ: %s and %s", Format(term), Format(same))
		}
		out, err := Append(nil, term)
		if err != nil {
			t.Fatalf("encode %s: %v", Format(term), err)
		}
		back, err := Decode(out)
		if err != nil || !Equal(back, term) {
			t.Fatalf("%s came back as %s, %v", Format(term), Format(back), err)
		}
		again, err := Append(nil, back)
		if err != nil || !bytes.Equal(out, again) {
			t.Fatalf("encoded as %x, then %x, %v", out, again, err)
		}
		if hasText(term, 0) {
			text := Format(term)
			parsed, err := Parse(text)
			if err != nil || !Equal(parsed, term) {
				t.Fatalf("%s was read as %s, %v", text, Format(parsed), err)
			}
		}
	})
}

// hasText reports whether Format writes what Parse can read.
func hasText(term any, depth int) bool {
	switch t := term.(type) {
	case Pid, Port, Ref, Fun:
		return false
	case Tuple:
		return allText(t, depth)
	case List:
		return allText(t, depth)
	case ImproperList:
		return allText(t.Items, depth) && hasText(t.Tail, depth+1)
	case Map:
		for _, p := range t {
			if !hasText(p.Key, depth+1) || !hasText(p.Value, depth+1) {
				return false
			}
		}
	}
	return depth < 9000
}

func allText(l []any, depth int) bool {
	for _, e := range l {
		if !hasText(e, depth+1) {
			return false
		}
	}
	return true
}

// FuzzHeader feeds anything as a distribution packet: header, then terms.
func FuzzHeader(f *testing.F) {
	for i, frame := range capturedFrames(f) {
		if len(frame) < 2000 && i < 60 {
			f.Add(frame)
		}
	}
	f.Add(AppendNext(nil, 1, 1))
	f.Fuzz(func(t *testing.T, in []byte) {
		var cache ReceiveCache
		d := NewDecoder(DecodeOptions{Limits: Limits{MaxElements: 1 << 16}})
		h, rest, err := DecodeHeader(in, &cache)
		if err != nil {
			var e *DecodeError
			if !errors.As(err, &e) || e.Offset < 0 || e.Offset > len(in) {
				t.Fatalf("error %#v", err)
			}
			return
		}
		if h.Kind == HeaderNext {
			return
		}
		// The same atoms sent by us, unless the peer named one twice or used a
		// place in the cache that we would not.
		for len(rest) > 0 {
			term, next, err := d.DecodeTerm(rest, &h.Refs)
			if err != nil {
				return
			}
			var refs RefTable
			var send SendCache
			e := Encoder{Refs: &refs}
			body, err := e.AppendTerm(nil, term)
			if err != nil {
				t.Fatalf("encode %s: %v", Format(term), err)
			}
			h2, body, err := DecodeHeader(append(send.AppendHeader(nil, &refs), body...), new(ReceiveCache))
			if err != nil {
				t.Fatalf("own header: %v", err)
			}
			back, _, err := d.DecodeTerm(body, &h2.Refs)
			if err != nil || !Equal(back, term) {
				t.Fatalf("%s came back as %s, %v", Format(term), Format(back), err)
			}
			rest = next
		}
	})
}

// FuzzParse feeds anything as text. What is read must be encodable, and its own
// text must be read as the same term.
func FuzzParse(f *testing.F) {
	for _, g := range goldens(f) {
		f.Add(g.text)
	}
	f.Add(`#{a => <<"x"/utf8,1:3/little>>, "b" => [$a,-16#FF|c], c => fun m:f/1} % end`)
	f.Fuzz(func(t *testing.T, in string) {
		if _, err := ParseAll(in); err != nil {
			var e *ParseError
			if !errors.As(err, &e) || e.Offset < 0 || e.Offset > len(in) || e.Line < 1 || e.Column < 1 {
				t.Fatalf("error %#v", err)
			}
		}
		term, err := Parse(in)
		if err != nil {
			return
		}
		text := Format(term)
		back, err := Parse(text)
		if err != nil || !Equal(back, term) {
			t.Fatalf("%q is %s, which is read as %s, %v", in, text, Format(back), err)
		}
		b, err := Append(nil, term)
		if err != nil {
			t.Fatalf("encode %s: %v", text, err)
		}
		if decoded, err := Decode(b); err != nil || !Equal(decoded, term) {
			t.Fatalf("%s came back as %s, %v", text, Format(decoded), err)
		}
	})
}
