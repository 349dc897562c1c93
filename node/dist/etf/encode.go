package etf

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/big"
	"math/bits"
	"slices"
	"unicode/utf8"
)

// An Encoder writes terms. The zero Encoder is ready for use. Its methods must
// not be called concurrently.
type Encoder struct {
	// Refs, when not nil, collects the atoms of the message under way, and
	// terms refer to them; the distribution header made of Refs has to precede
	// the message. Meant for AppendTerm only: a term with version byte knows
	// no atom cache.
	Refs *RefTable

	// MaxDepth is how deeply a term may be nested, 0 for that of
	// DefaultLimits; 100,000 at most.
	MaxDepth int

	max int
}

// Append appends term in external format, with version byte, to dst, as
// term_to_binary/1 does. On error it returns dst as it was. See the package
// comment for the Go types it accepts; the error is an *EncodeError.
func Append(dst []byte, term any) ([]byte, error) {
	var e Encoder
	return e.Append(dst, term)
}

// Append appends term in external format, with version byte, to dst. It does
// not use Refs. On error it returns dst as it was.
func (e *Encoder) Append(dst []byte, term any) ([]byte, error) {
	refs := e.Refs
	e.Refs = nil
	out, err := e.AppendTerm(append(dst, Version), term)
	e.Refs = refs
	if err != nil {
		return dst, err
	}
	return out, nil
}

// AppendTerm appends term without version byte to dst, the form in which it
// follows a distribution header. On error it returns dst as it was, though
// Refs may have more atoms than before.
func (e *Encoder) AppendTerm(dst []byte, term any) ([]byte, error) {
	if e.max = min(e.MaxDepth, depthCap); e.max <= 0 {
		e.max = DefaultLimits.MaxDepth
	}
	out, err := e.term(dst, term, 0)
	if err != nil {
		return dst, err
	}
	return out, nil
}

func refuse(term any, err error) error {
	return &EncodeError{Type: fmt.Sprintf("%T", term), Err: err}
}

func (e *Encoder) term(dst []byte, term any, depth int) ([]byte, error) {
	switch t := term.(type) {
	case Atom:
		return e.atom(dst, t)
	case int64:
		return appendInt(dst, t), nil
	case int:
		return appendInt(dst, int64(t)), nil
	case []byte:
		if uint64(len(t)) > math.MaxUint32 {
			return nil, refuse(term, ErrTooLong)
		}
		dst = binary.BigEndian.AppendUint32(append(dst, tagBinary), uint32(len(t)))
		return append(dst, t...), nil
	case string:
		if uint64(len(t)) > math.MaxUint32 {
			return nil, refuse(term, ErrTooLong)
		}
		dst = binary.BigEndian.AppendUint32(append(dst, tagBinary), uint32(len(t)))
		return append(dst, t...), nil
	case Tuple:
		return e.tuple(dst, t, depth)
	case List:
		return e.list(dst, t, depth)
	case []any:
		return e.list(dst, t, depth)
	case Charlist:
		return appendCharlist(dst, t)
	case Map:
		return e.dict(dst, t, depth)
	case Pid:
		dst, err := e.atom(append(dst, tagNewPid), t.Node)
		if err != nil {
			return nil, err
		}
		dst = binary.BigEndian.AppendUint32(dst, t.ID)
		dst = binary.BigEndian.AppendUint32(dst, t.Serial)
		return binary.BigEndian.AppendUint32(dst, t.Creation), nil
	case Ref:
		return e.ref(dst, t)
	case Port:
		return e.port(dst, t)
	case bool:
		if t {
			return e.atom(dst, "true")
		}
		return e.atom(dst, "false")
	case float64:
		return appendFloat(dst, t)
	case float32:
		return appendFloat(dst, float64(t))
	case *big.Int:
		if t == nil {
			return nil, refuse(term, ErrInvalid)
		}
		return appendBig(dst, t)
	case ImproperList:
		return e.improper(dst, t, depth)
	case BitString:
		return appendBits(dst, t)
	case Export:
		dst, err := e.atom(append(dst, tagExport), t.Module)
		if err != nil {
			return nil, err
		}
		if dst, err = e.atom(dst, t.Function); err != nil {
			return nil, err
		}
		return append(dst, tagSmallInteger, t.Arity), nil
	case Fun:
		if len(t.Raw) == 0 || t.Raw[0] != tagNewFun && t.Raw[0] != tagFun {
			return nil, refuse(term, ErrInvalid)
		}
		return append(dst, t.Raw...), nil
	case map[string]any:
		return e.dict(dst, sortedPairs(t), depth)
	case map[Atom]any:
		return e.dict(dst, sortedPairs(t), depth)
	}
	if v, ok := AsInt(term); ok {
		return appendInt(dst, v), nil
	}
	if v, ok := asBig(term); ok {
		return appendBig(dst, v)
	}
	return nil, refuse(term, ErrUnsupported)
}

// atom writes a reference where the message has room for one, else the text.
func (e *Encoder) atom(dst []byte, a Atom) ([]byte, error) {
	if e.Refs != nil {
		if i, ok := e.Refs.find(a); ok {
			return append(dst, tagAtomCacheRef, i), nil
		}
	}
	if err := checkAtom(a); err != nil {
		return nil, err
	}
	if e.Refs != nil {
		if i, ok := e.Refs.add(a); ok {
			return append(dst, tagAtomCacheRef, i), nil
		}
	}
	return appendAtom(dst, a), nil
}

func checkAtom(a Atom) error {
	if !utf8.ValidString(string(a)) || len(a) > maxAtomChars && utf8.RuneCountInString(string(a)) > maxAtomChars {
		return refuse(a, ErrAtom)
	}
	return nil
}

// appendAtom writes a valid atom.
func appendAtom(dst []byte, a Atom) []byte {
	if len(a) <= 255 {
		return append(append(dst, tagSmallAtomUTF8, byte(len(a))), a...)
	}
	return append(append(dst, tagAtomUTF8, byte(len(a)>>8), byte(len(a))), a...)
}

// atomLen is the number of bytes that appendAtom writes.
func atomLen(a Atom) int {
	if len(a) <= 255 {
		return 2 + len(a)
	}
	return 3 + len(a)
}

func appendInt(dst []byte, v int64) []byte {
	switch {
	case 0 <= v && v <= 255:
		return append(dst, tagSmallInteger, byte(v))
	case math.MinInt32 <= v && v <= math.MaxInt32:
		return binary.BigEndian.AppendUint32(append(dst, tagInteger), uint32(v))
	}
	magnitude, sign := uint64(v), byte(0)
	if v < 0 {
		magnitude, sign = -magnitude, 1
	}
	n := (bits.Len64(magnitude) + 7) / 8
	dst = append(dst, tagSmallBig, byte(n), sign)
	for range n {
		dst = append(dst, byte(magnitude))
		magnitude >>= 8
	}
	return dst
}

func appendBig(dst []byte, v *big.Int) ([]byte, error) {
	if v.IsInt64() {
		return appendInt(dst, v.Int64()), nil
	}
	n := (v.BitLen() + 7) / 8
	switch {
	case n <= 255:
		dst = append(dst, tagSmallBig, byte(n))
	case uint64(n) <= math.MaxUint32:
		dst = binary.BigEndian.AppendUint32(append(dst, tagLargeBig), uint32(n))
	default:
		return nil, refuse(v, ErrTooLong)
	}
	sign := byte(0)
	if v.Sign() < 0 {
		sign = 1
	}
	dst = slices.Grow(append(dst, sign), n)
	digits := dst[len(dst) : len(dst)+n]
	v.FillBytes(digits)
	slices.Reverse(digits)
	return dst[:len(dst)+n], nil
}

func appendFloat(dst []byte, f float64) ([]byte, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil, refuse(f, ErrFloat)
	}
	return binary.BigEndian.AppendUint64(append(dst, tagNewFloat), math.Float64bits(f)), nil
}

func appendBits(dst []byte, s BitString) ([]byte, error) {
	n := len(s.Bytes)
	if n == 0 || s.Bits < 1 || s.Bits > 7 {
		return nil, refuse(s, ErrInvalid)
	}
	if uint64(n) > math.MaxUint32 {
		return nil, refuse(s, ErrTooLong)
	}
	dst = binary.BigEndian.AppendUint32(append(dst, tagBitBinary), uint32(n))
	dst = append(append(dst, s.Bits), s.Bytes...)
	dst[len(dst)-1] &^= 0xFF >> s.Bits
	return dst, nil
}

func (e *Encoder) tuple(dst []byte, t Tuple, depth int) ([]byte, error) {
	if depth >= e.max {
		return nil, refuse(t, ErrDepth)
	}
	switch {
	case len(t) <= 255:
		dst = append(dst, tagSmallTuple, byte(len(t)))
	case uint64(len(t)) <= math.MaxUint32:
		dst = binary.BigEndian.AppendUint32(append(dst, tagLargeTuple), uint32(len(t)))
	default:
		return nil, refuse(t, ErrTooLong)
	}
	return e.all(dst, t, depth)
}

// all writes the elements of a term at depth.
func (e *Encoder) all(dst []byte, l []any, depth int) ([]byte, error) {
	var err error
	for _, v := range l {
		if dst, err = e.term(dst, v, depth+1); err != nil {
			return nil, err
		}
	}
	return dst, nil
}

func (e *Encoder) list(dst []byte, l []any, depth int) ([]byte, error) {
	switch {
	case len(l) == 0:
		return append(dst, tagNil), nil
	case depth >= e.max:
		return nil, refuse(l, ErrDepth)
	case uint64(len(l)) > math.MaxUint32:
		return nil, refuse(l, ErrTooLong)
	}
	if allBytes(l) {
		dst = append(dst, tagString, byte(len(l)>>8), byte(len(l)))
		for _, v := range l {
			b, _ := AsInt(v)
			dst = append(dst, byte(b))
		}
		return dst, nil
	}
	dst = binary.BigEndian.AppendUint32(append(dst, tagList), uint32(len(l)))
	dst, err := e.all(dst, l, depth)
	if err != nil {
		return nil, err
	}
	return append(dst, tagNil), nil
}

// allBytes reports whether Erlang would write l as STRING_EXT.
func allBytes(l []any) bool {
	if len(l) > maxStringLen {
		return false
	}
	for _, v := range l {
		if i, ok := AsInt(v); !ok || i < 0 || i > 255 {
			return false
		}
	}
	return true
}

func appendCharlist(dst []byte, c Charlist) ([]byte, error) {
	switch {
	case len(c) == 0:
		return append(dst, tagNil), nil
	case len(c) <= maxStringLen:
		return append(append(dst, tagString, byte(len(c)>>8), byte(len(c))), c...), nil
	case uint64(len(c)) > math.MaxUint32:
		return nil, refuse(c, ErrTooLong)
	}
	dst = binary.BigEndian.AppendUint32(append(dst, tagList), uint32(len(c)))
	for _, b := range c {
		dst = append(dst, tagSmallInteger, b)
	}
	return append(dst, tagNil), nil
}

func (e *Encoder) improper(dst []byte, l ImproperList, depth int) ([]byte, error) {
	switch {
	case len(l.Items) == 0:
		return nil, refuse(l, ErrInvalid)
	case depth >= e.max:
		return nil, refuse(l, ErrDepth)
	case uint64(len(l.Items)) > math.MaxUint32:
		return nil, refuse(l, ErrTooLong)
	}
	if proper, ok := AsList(l.Tail); ok {
		// A list after all: written as such, for equal terms to be equal bytes.
		whole := append(l.Items[:len(l.Items):len(l.Items)], proper...)
		return e.list(dst, whole, depth)
	}
	dst = binary.BigEndian.AppendUint32(append(dst, tagList), uint32(len(l.Items)))
	dst, err := e.all(dst, l.Items, depth)
	if err != nil {
		return nil, err
	}
	return e.term(dst, l.Tail, depth+1)
}

func (e *Encoder) dict(dst []byte, m Map, depth int) ([]byte, error) {
	switch {
	case depth >= e.max:
		return nil, refuse(m, ErrDepth)
	case uint64(len(m)) > math.MaxUint32:
		return nil, refuse(m, ErrTooLong)
	}
	dst = binary.BigEndian.AppendUint32(append(dst, tagMap), uint32(len(m)))
	var err error
	for i := range m {
		if dst, err = e.term(dst, m[i].Key, depth+1); err != nil {
			return nil, err
		}
		if dst, err = e.term(dst, m[i].Value, depth+1); err != nil {
			return nil, err
		}
	}
	// Looked at last, when the keys are known to be good and not too deep.
	work := math.MaxInt
	if err := checkKeys(m, &work); err != nil {
		return nil, refuse(m, err)
	}
	return dst, nil
}

func (e *Encoder) ref(dst []byte, r Ref) ([]byte, error) {
	if r.Len < 1 || r.Len > maxRefWords {
		return nil, refuse(r, ErrInvalid)
	}
	dst, err := e.atom(append(dst, tagNewerReference, 0, r.Len), r.Node)
	if err != nil {
		return nil, err
	}
	dst = binary.BigEndian.AppendUint32(dst, r.Creation)
	for _, w := range r.ID[:r.Len] {
		dst = binary.BigEndian.AppendUint32(dst, w)
	}
	return dst, nil
}

// port writes the 64 bit form only where it is needed, as OTP does: nodes
// before OTP 24 do not know it.
func (e *Encoder) port(dst []byte, p Port) ([]byte, error) {
	if p.ID < 1<<28 {
		dst, err := e.atom(append(dst, tagNewPort), p.Node)
		if err != nil {
			return nil, err
		}
		dst = binary.BigEndian.AppendUint32(dst, uint32(p.ID))
		return binary.BigEndian.AppendUint32(dst, p.Creation), nil
	}
	dst, err := e.atom(append(dst, tagV4Port), p.Node)
	if err != nil {
		return nil, err
	}
	dst = binary.BigEndian.AppendUint64(dst, p.ID)
	return binary.BigEndian.AppendUint32(dst, p.Creation), nil
}
