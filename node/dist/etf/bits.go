package etf

import (
	"math/big"
	"unicode/utf8"
)

// maxSegment bounds the size in bits of an integer in <<Value:Size>>.
const maxSegment = 1 << 20

// A bitWriter builds a bit string from its most significant bit on.
type bitWriter struct {
	out  []byte
	bits int // used in the last byte of out, 1 to 8; 8 also when out is empty
}

// octets appends whole bytes.
func (w *bitWriter) octets(b []byte) {
	if w.bits == 8 {
		w.out = append(w.out, b...)
		return
	}
	for _, c := range b {
		w.out[len(w.out)-1] |= c >> w.bits
		w.out = append(w.out, c<<(8-w.bits))
	}
}

// some appends the n (1 to 8) least significant bits of c.
func (w *bitWriter) some(c byte, n int) {
	c <<= 8 - n
	if w.bits == 8 {
		w.out, w.bits = append(w.out, c), n
		return
	}
	w.out[len(w.out)-1] |= c >> w.bits
	if free := 8 - w.bits; n > free {
		w.out, w.bits = append(w.out, c<<free), n-free
	} else {
		w.bits += n
	}
}

// integer appends v, reduced to size bits.
func (w *bitWriter) integer(v *big.Int, size int, little bool) {
	if size == 0 {
		return
	}
	mask := new(big.Int).Lsh(big.NewInt(1), uint(size))
	mask.Sub(mask, big.NewInt(1))
	n := (size + 7) / 8
	b := new(big.Int).And(v, mask).FillBytes(make([]byte, n))
	odd := size % 8
	if little {
		// Whole bytes from the least significant on, then the rest.
		for i := n - 1; i > 0; i-- {
			w.some(b[i], 8)
		}
		if odd == 0 {
			odd = 8
		}
		w.some(b[0], odd)
		return
	}
	if odd > 0 {
		w.some(b[0], odd)
		b = b[1:]
	}
	w.octets(b)
}

func (w *bitWriter) term() any {
	if w.bits < 8 {
		return BitString{Bytes: w.out, Bits: uint8(w.bits)}
	}
	return w.out
}

// segment holds what follows the value of a segment of a binary.
type segment struct {
	size         int // bits, -1 when not given
	utf8, little bool
}

// binary reads the segments of a binary up to its >>.
func (p *parser) binary() (any, error) {
	w := bitWriter{out: []byte{}, bits: 8}
	if p.accept(">>") {
		return w.term(), nil
	}
	for {
		if err := p.segment(&w); err != nil {
			return nil, err
		}
		if p.accept(",") {
			continue
		}
		if err := p.expect(">>", "a binary"); err != nil {
			return nil, err
		}
		return w.term(), nil
	}
}

func (p *parser) segment(w *bitWriter) error {
	p.space()
	start := p.pos
	if p.peek() == '"' {
		s, err := p.strings()
		if err != nil {
			return err
		}
		seg, err := p.segmentType()
		if err != nil {
			return err
		}
		for _, r := range s {
			if err := p.put(w, start, big.NewInt(int64(r)), seg); err != nil {
				return err
			}
			if r > 0xFF && !seg.utf8 && seg.size < 0 {
				return p.fail(start, "the character %q takes more than a byte: write /utf8 behind the string", r)
			}
		}
		return nil
	}
	if !startsNumber(p.peek()) {
		return p.fail(start, "expected an integer or a string in a binary, found %s", p.what())
	}
	t, err := p.number()
	if err != nil {
		return err
	}
	v, ok := asInteger(t)
	if !ok {
		return p.fail(start, "expected an integer or a string in a binary")
	}
	seg, err := p.segmentType()
	if err != nil {
		return err
	}
	return p.put(w, start, v, seg)
}

func asInteger(t any) (*big.Int, bool) {
	if v, ok := AsInt(t); ok {
		return big.NewInt(v), true
	}
	return asBig(t)
}

// segmentType reads an optional :Size and an optional /Type-Type.
func (p *parser) segmentType() (segment, error) {
	seg := segment{size: -1}
	if p.accept(":") {
		n, err := p.small(maxSegment, "a size in bits is")
		if err != nil {
			return seg, err
		}
		seg.size = int(n)
	}
	if !p.accept("/") {
		return seg, nil
	}
	for {
		p.space()
		start := p.pos
		t, err := p.name()
		if err != nil {
			return seg, err
		}
		switch t {
		case "utf8":
			if seg.size >= 0 {
				return seg, p.fail(start, "utf8 takes no size")
			}
			seg.utf8 = true
		case "little":
			seg.little = true
		case "integer", "big", "signed", "unsigned":
		default:
			return seg, p.fail(start, "a type in a binary is integer, utf8, big, little, signed or unsigned")
		}
		if !p.accept("-") {
			return seg, nil
		}
	}
}

func (p *parser) put(w *bitWriter, start int, v *big.Int, seg segment) error {
	if seg.utf8 {
		if !v.IsInt64() || v.Int64() > utf8.MaxRune || !utf8.ValidRune(rune(v.Int64())) {
			return p.fail(start, "not a Unicode character")
		}
		w.octets(utf8.AppendRune(nil, rune(v.Int64())))
		return nil
	}
	size := seg.size
	if size < 0 {
		size = 8
	}
	w.integer(v, size, seg.little)
	return nil
}
