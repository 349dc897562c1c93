package etf

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"math/big"
	"slices"
	"strconv"
	"sync"
	"unicode/utf8"
)

// Limits bound what one call of a Decoder may build. A zero field stands for
// that of DefaultLimits.
type Limits struct {
	// MaxDepth is how deeply lists, tuples, maps and funs may be nested;
	// 100,000 at most. Erlang itself has no limit, and an iolist can be
	// as deep as it has parts.
	MaxDepth int
	// MaxElements is how many elements the lists, tuples and maps of one term
	// may have together (a pair of a map counts twice). Each takes 16 bytes
	// beside its own content, while the input can spend as little as one byte
	// on it: the limit times 16 is what a hostile peer can claim beyond a
	// small multiple of its input.
	MaxElements int
	// MaxBytes is how long the input may be, and how long a compressed term
	// when inflated.
	MaxBytes int
}

// DefaultLimits suit messages of an authenticated peer: 10,000 levels,
// 16,777,216 elements, 256 MiB.
var DefaultLimits = Limits{MaxDepth: 10_000, MaxElements: 1 << 24, MaxBytes: 1 << 28}

func (l Limits) withDefaults() Limits {
	if l.MaxDepth <= 0 {
		l.MaxDepth = DefaultLimits.MaxDepth
	}
	l.MaxDepth = min(l.MaxDepth, depthCap)
	if l.MaxElements <= 0 {
		l.MaxElements = DefaultLimits.MaxElements
	}
	if l.MaxBytes <= 0 {
		l.MaxBytes = DefaultLimits.MaxBytes
	}
	return l
}

// DecodeOptions say how a Decoder uses memory.
type DecodeOptions struct {
	Limits

	// AliasInput makes every []byte, Charlist and BitString share memory with
	// the input rather than copy it. The caller must not change the input for
	// as long as the terms are in use. Atoms and everything else never alias.
	AliasInput bool

	// Reuse makes the Decoder build terms in memory of its own, which it uses
	// again after Reset. Without it terms are ordinary Go values.
	Reuse bool
}

// A Decoder reads terms. It remembers the atoms it has seen, so that one for
// each connection saves allocations. Its methods must not be called
// concurrently; the terms of a Decoder without Reuse may go anywhere.
type Decoder struct {
	opt   DecodeOptions
	atoms map[string]any // text of an atom -> the Atom, boxed once
	mem   *arena         // nil without Reuse

	// The term under way.
	buf      []byte
	pos      int
	refs     *AtomRefs
	left     int // of MaxElements
	work     int // left for comparing keys of maps
	inflated bool
	trace    funTrace
}

// emptyList is [], boxed once.
var emptyList any = List{}

const (
	// internedAtoms bounds the atoms a Decoder remembers. Beyond it all are
	// forgotten: a peer that invents atoms costs time but no memory.
	internedAtoms = 4096
	// internedLen is the length in bytes of the longest atom remembered.
	internedLen = 128
)

// NewDecoder returns a Decoder with options opt.
func NewDecoder(opt DecodeOptions) *Decoder {
	opt.Limits = opt.withDefaults()
	d := &Decoder{opt: opt, atoms: make(map[string]any)}
	if opt.Reuse {
		d.mem = new(arena)
	}
	return d
}

var plainDecoders = sync.Pool{New: func() any { return NewDecoder(DecodeOptions{}) }}

// Decode reads one term in external format, with version byte, that fills b,
// within DefaultLimits. It keeps no reference to b.
func Decode(b []byte) (any, error) {
	d := plainDecoders.Get().(*Decoder)
	defer plainDecoders.Put(d)
	return d.Decode(b)
}

// Reset ends the life of all terms that a Decoder with Reuse has returned since
// the last Reset, and of all their parts: their memory will hold other terms.
// Only Atoms may be kept; for anything else use Clone first. It does nothing
// without Reuse.
func (d *Decoder) Reset() {
	if d.mem != nil {
		d.mem.reset()
	}
}

// Decode reads one term in external format, with version byte, that fills b.
func (d *Decoder) Decode(b []byte) (any, error) {
	term, rest, err := d.DecodeNext(b)
	if err != nil {
		return nil, err
	}
	if len(rest) > 0 {
		return nil, &DecodeError{Offset: len(b) - len(rest), Err: ErrTrailing}
	}
	return term, nil
}

// DecodeNext reads one term in external format, with version byte, from the
// start of b and returns what follows it.
func (d *Decoder) DecodeNext(b []byte) (term any, rest []byte, err error) {
	switch {
	case len(b) == 0:
		return nil, nil, &DecodeError{Err: ErrTruncated}
	case b[0] != Version:
		return nil, nil, &DecodeError{Err: ErrVersion}
	case len(b) > 1 && b[1] == tagCompressed:
		return d.decodeCompressed(b)
	}
	return d.decode(b, 1, nil)
}

// DecodeTerm reads one term without version byte from the start of b and
// returns what follows it. That is the form of terms behind a distribution
// header, whose atoms are refs; nil when there are none. Offsets in errors
// count from the start of b.
func (d *Decoder) DecodeTerm(b []byte, refs *AtomRefs) (term any, rest []byte, err error) {
	return d.decode(b, 0, refs)
}

func (d *Decoder) decode(b []byte, pos int, refs *AtomRefs) (any, []byte, error) {
	if len(b) > d.opt.MaxBytes {
		return nil, nil, &DecodeError{Err: ErrLimit}
	}
	d.buf, d.pos, d.refs = b, pos, refs
	d.left, d.work = d.opt.MaxElements, 4*d.opt.MaxElements+d.opt.MaxBytes/workUnit
	term, err := d.term(0)
	rest := b[d.pos:]
	d.buf, d.refs, d.inflated, d.trace = nil, nil, false, funTrace{}
	if err != nil {
		return nil, nil, err
	}
	return term, rest, nil
}

// deflateMax is more than the factor by which deflate can expand its input
// (1,032 to 1).
const deflateMax = 1040

// decodeCompressed reads version, tag, the inflated size in 4 bytes and a zlib
// stream that holds a term without version byte.
func (d *Decoder) decodeCompressed(b []byte) (any, []byte, error) {
	fail := func(off int, err error) (any, []byte, error) {
		return nil, nil, &DecodeError{Offset: off, Tag: tagCompressed, Err: err}
	}
	if len(b) > d.opt.MaxBytes {
		return fail(1, ErrLimit)
	}
	if len(b) < 6 {
		return fail(1, ErrTruncated)
	}
	size := uint64(binary.BigEndian.Uint32(b[2:]))
	packed := b[6:]
	switch {
	case size > uint64(d.opt.MaxBytes):
		return fail(2, ErrLimit)
	case size > uint64(len(packed))*deflateMax:
		return fail(2, ErrTruncated)
	}
	in := bytes.NewReader(packed) // a ByteReader: flate takes no more than it needs
	z, err := zlib.NewReader(in)
	if err != nil {
		return fail(6, errors.Join(ErrFormat, err))
	}
	// The size is only a claim, so that the buffer grows with what comes.
	var out bytes.Buffer
	out.Grow(int(min(size, 64<<10)) + bytes.MinRead)
	if n, err := out.ReadFrom(io.LimitReader(z, int64(size)+1)); err != nil {
		return fail(len(b)-in.Len(), errors.Join(ErrFormat, err))
	} else if uint64(n) != size {
		return fail(2, ErrFormat)
	}
	d.inflated = true
	term, rest, err := d.decode(out.Bytes(), 0, nil)
	if err != nil {
		return nil, nil, err
	}
	if len(rest) > 0 {
		return nil, nil, &DecodeError{Offset: int(size) - len(rest), Inflated: true, Err: ErrTrailing}
	}
	return term, b[len(b)-in.Len():], nil
}

// fail returns the error for what begins at off.
func (d *Decoder) fail(off int, err error) error {
	e := &DecodeError{Offset: off, Inflated: d.inflated, Err: err}
	if off < len(d.buf) && !errors.Is(err, ErrTruncated) {
		e.Tag = d.buf[off]
	}
	return e
}

func (d *Decoder) truncated() error { return d.fail(len(d.buf), ErrTruncated) }

// has reports whether n more bytes are there.
func (d *Decoder) has(n int) bool { return n <= len(d.buf)-d.pos }

func (d *Decoder) u16() int {
	v := binary.BigEndian.Uint16(d.buf[d.pos:])
	d.pos += 2
	return int(v)
}

func (d *Decoder) u32() uint32 {
	v := binary.BigEndian.Uint32(d.buf[d.pos:])
	d.pos += 4
	return v
}

// term reads the term at d.pos. It recurses for each level of nesting, at most
// MaxDepth of them (D2).
func (d *Decoder) term(depth int) (any, error) {
	if d.pos >= len(d.buf) {
		return nil, d.truncated()
	}
	start := d.pos
	tag := d.buf[start]
	d.pos++
	switch tag {
	case tagAtomCacheRef, tagSmallAtomUTF8, tagAtomUTF8, tagSmallAtom, tagAtom:
		return d.atom(tag, start)
	case tagSmallInteger:
		if !d.has(1) {
			return nil, d.truncated()
		}
		d.pos++
		return int64(d.buf[d.pos-1]), nil // Go does not allocate for a byte
	case tagInteger:
		if !d.has(4) {
			return nil, d.truncated()
		}
		return d.integer(int64(int32(d.u32()))), nil
	case tagNewFloat:
		if !d.has(8) {
			return nil, d.truncated()
		}
		f := math.Float64frombits(binary.BigEndian.Uint64(d.buf[d.pos:]))
		d.pos += 8
		return d.float(f, start)
	case tagFloat:
		return d.oldFloat(start)
	case tagSmallTuple:
		if !d.has(1) {
			return nil, d.truncated()
		}
		d.pos++
		return d.tuple(int64(d.buf[d.pos-1]), depth, start)
	case tagLargeTuple:
		if !d.has(4) {
			return nil, d.truncated()
		}
		return d.tuple(int64(d.u32()), depth, start)
	case tagNil:
		return emptyList, nil
	case tagString:
		return d.string()
	case tagList:
		return d.list(depth, start)
	case tagMap:
		return d.dict(depth, start)
	case tagBinary:
		return d.binary()
	case tagBitBinary:
		return d.bitString(start)
	case tagSmallBig, tagLargeBig:
		return d.big(tag, start)
	case tagPid, tagNewPid:
		return d.pid(tag)
	case tagPort, tagNewPort, tagV4Port:
		return d.port(tag)
	case tagReference, tagNewReference, tagNewerReference:
		return d.reference(tag, start)
	case tagExport:
		return d.export()
	case tagNewFun, tagFun:
		return d.fun(tag, depth, start)
	}
	return nil, d.fail(start, ErrTag)
}

// atom reads the rest of an atom and returns it boxed.
func (d *Decoder) atom(tag byte, start int) (any, error) {
	var n int
	switch tag {
	case tagAtomCacheRef:
		if !d.has(1) {
			return nil, d.truncated()
		}
		i := int(d.buf[d.pos])
		if i >= d.refs.Len() {
			return nil, d.fail(start, ErrAtomCache)
		}
		d.pos++
		a := d.refs.terms[i]
		if d.trace.depth > 0 {
			d.trace.refs = append(d.trace.refs, tracedRef{start, a.(Atom)})
		}
		return a, nil
	case tagSmallAtomUTF8, tagSmallAtom:
		if !d.has(1) {
			return nil, d.truncated()
		}
		n = int(d.buf[d.pos])
		d.pos++
	default:
		if !d.has(2) {
			return nil, d.truncated()
		}
		n = d.u16()
	}
	if !d.has(n) {
		return nil, d.truncated()
	}
	text := d.buf[d.pos : d.pos+n]
	d.pos += n
	var a any
	var err error
	if tag == tagAtom || tag == tagSmallAtom {
		a, err = d.latin1(text)
	} else {
		a, err = d.intern(text)
	}
	if err != nil {
		return nil, d.fail(start, err)
	}
	return a, nil
}

// intern returns the atom of UTF-8 text, boxed.
func (d *Decoder) intern(text []byte) (any, error) {
	if a, ok := d.atoms[string(text)]; ok {
		return a, nil
	}
	if !utf8.Valid(text) || len(text) > maxAtomChars && utf8.RuneCount(text) > maxAtomChars {
		return nil, ErrAtom
	}
	s := string(text)
	var a any = Atom(s)
	if len(s) <= internedLen {
		if len(d.atoms) >= internedAtoms {
			clear(d.atoms)
		}
		d.atoms[s] = a
	}
	return a, nil
}

// latin1 returns the atom of Latin-1 text, boxed.
func (d *Decoder) latin1(text []byte) (any, error) {
	if len(text) > maxAtomChars {
		return nil, ErrAtom
	}
	for i, c := range text {
		if c >= utf8.RuneSelf {
			wide := slices.Clone(text[:i])
			for _, c := range text[i:] {
				wide = utf8.AppendRune(wide, rune(c))
			}
			return d.intern(wide)
		}
	}
	return d.intern(text)
}

// atomField reads an atom inside another term.
func (d *Decoder) atomField() (Atom, error) {
	if d.pos >= len(d.buf) {
		return "", d.truncated()
	}
	start := d.pos
	tag := d.buf[start]
	switch tag {
	case tagAtomCacheRef, tagSmallAtomUTF8, tagAtomUTF8, tagSmallAtom, tagAtom:
	default:
		return "", d.fail(start, ErrTag)
	}
	d.pos++
	a, err := d.atom(tag, start)
	if err != nil {
		return "", err
	}
	return a.(Atom), nil
}

func (d *Decoder) integer(v int64) any {
	if d.mem != nil && uint64(v) > 255 {
		return d.mem.ints.box(v)
	}
	return v
}

func (d *Decoder) float(f float64, start int) (any, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil, d.fail(start, ErrFormat)
	}
	if d.mem != nil {
		return d.mem.floats.box(f), nil
	}
	return f, nil
}

// oldFloat reads the text of FLOAT_EXT, made by sprintf("%.20e").
func (d *Decoder) oldFloat(start int) (any, error) {
	if !d.has(floatTextLen) {
		return nil, d.truncated()
	}
	text := d.buf[d.pos : d.pos+floatTextLen]
	d.pos += floatTextLen
	if i := bytes.IndexByte(text, 0); i >= 0 {
		text = text[:i]
	}
	for _, c := range text {
		// ParseFloat also reads hexadecimal, "inf" and more.
		if (c < '0' || c > '9') && c != '.' && c != '-' && c != '+' && c != 'e' && c != 'E' {
			return nil, d.fail(start, ErrFormat)
		}
	}
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil {
		return nil, d.fail(start, ErrFormat)
	}
	return d.float(f, start)
}

// big reads n bytes, least significant first, and a sign.
func (d *Decoder) big(tag byte, start int) (any, error) {
	var n int64
	if tag == tagSmallBig {
		if !d.has(2) {
			return nil, d.truncated()
		}
		n = int64(d.buf[d.pos])
		d.pos++
	} else {
		if !d.has(5) {
			return nil, d.truncated()
		}
		n = int64(d.u32())
	}
	negative := d.buf[d.pos] != 0
	d.pos++
	if n > int64(len(d.buf)-d.pos) {
		return nil, d.truncated()
	}
	digits := d.buf[d.pos : d.pos+int(n)]
	d.pos += int(n)
	for len(digits) > 0 && digits[len(digits)-1] == 0 {
		digits = digits[:len(digits)-1]
	}
	if len(digits) <= 8 {
		var v uint64
		for i, b := range digits {
			v |= uint64(b) << (8 * i)
		}
		switch {
		case !negative && v <= math.MaxInt64:
			return d.integer(int64(v)), nil
		case negative && v <= 1<<63:
			return d.integer(-int64(v)), nil
		}
	}
	be := slices.Clone(digits)
	slices.Reverse(be)
	z := new(big.Int).SetBytes(be)
	if negative {
		z.Neg(z)
	}
	return z, nil
}

// data returns the next n bytes for a term to hold.
func (d *Decoder) data(n int) []byte {
	b := d.buf[d.pos : d.pos+n : d.pos+n]
	d.pos += n
	if d.opt.AliasInput {
		return b
	}
	var own []byte
	if d.mem != nil {
		own = d.mem.bytes.take(n)
	} else {
		own = make([]byte, n)
	}
	copy(own, b)
	return own
}

func (d *Decoder) binary() (any, error) {
	if !d.has(4) {
		return nil, d.truncated()
	}
	n := int64(d.u32())
	if n > int64(len(d.buf)-d.pos) {
		return nil, d.truncated()
	}
	return d.boxBinary(d.data(int(n))), nil
}

func (d *Decoder) boxBinary(b []byte) any {
	if d.mem != nil {
		return d.mem.bins.box(b)
	}
	return b
}

// bitString reads BIT_BINARY_EXT. Whole bytes become a binary, as in Erlang.
func (d *Decoder) bitString(start int) (any, error) {
	if !d.has(5) {
		return nil, d.truncated()
	}
	n := int64(d.u32())
	bits := d.buf[d.pos]
	d.pos++
	switch {
	case n > int64(len(d.buf)-d.pos):
		return nil, d.truncated()
	case n == 0 && bits != 0, n > 0 && (bits < 1 || bits > 8):
		return nil, d.fail(start, ErrFormat)
	case n == 0 || bits == 8:
		return d.boxBinary(d.data(int(n))), nil
	}
	b := d.data(int(n))
	if last := b[n-1] &^ (0xFF >> bits); last != b[n-1] {
		if d.opt.AliasInput {
			b = slices.Clone(b)
		}
		b[n-1] = last
	}
	return BitString{Bytes: b, Bits: bits}, nil
}

// string reads STRING_EXT.
func (d *Decoder) string() (any, error) {
	if !d.has(2) {
		return nil, d.truncated()
	}
	n := d.u16()
	if !d.has(n) {
		return nil, d.truncated()
	}
	if n == 0 {
		return emptyList, nil
	}
	c := Charlist(d.data(n))
	if d.mem != nil {
		return d.mem.chars.box(c), nil
	}
	return c, nil
}

// room checks a count of elements against the limit, and against the rest of
// the input, each of whose bytes can be one element at best (D1).
func (d *Decoder) room(n int64, depth, start int) error {
	switch {
	case n > int64(len(d.buf)-d.pos):
		return d.truncated()
	case n > int64(d.left):
		return d.fail(start, ErrLimit)
	case depth >= d.opt.MaxDepth:
		return d.fail(start, ErrDepth)
	}
	d.left -= int(n)
	return nil
}

func (d *Decoder) slots(n int) []any {
	if d.mem != nil {
		return d.mem.slots.take(n)
	}
	return make([]any, n)
}

func (d *Decoder) tuple(n int64, depth, start int) (any, error) {
	if err := d.room(n, depth, start); err != nil {
		return nil, err
	}
	t := Tuple(d.slots(int(n)))
	for i := range t {
		e, err := d.term(depth + 1)
		if err != nil {
			return nil, err
		}
		t[i] = e
	}
	if d.mem != nil {
		return d.mem.tuples.box(t), nil
	}
	return t, nil
}

// list reads LIST_EXT. A tail that is itself a LIST_EXT or STRING_EXT, which
// Erlang never writes, continues the list without a further level.
func (d *Decoder) list(depth, start int) (any, error) {
	var l List
	for {
		if !d.has(4) {
			return nil, d.truncated()
		}
		n := int64(d.u32())
		if err := d.room(n, depth, start); err != nil {
			return nil, err
		}
		from := len(l)
		if from == 0 {
			l = d.slots(int(n))
		} else {
			l = append(l, make([]any, n)...)
		}
		for i := from; i < len(l); i++ {
			e, err := d.term(depth + 1)
			if err != nil {
				return nil, err
			}
			l[i] = e
		}
		if d.pos >= len(d.buf) {
			return nil, d.truncated()
		}
		start = d.pos
		switch d.buf[d.pos] {
		case tagNil:
			d.pos++
			return d.boxList(l), nil
		case tagList:
			d.pos++
			continue
		}
		return d.listTail(l, depth, start)
	}
}

// listTail finishes a list whose tail is neither [] nor a LIST_EXT.
func (d *Decoder) listTail(l List, depth, start int) (any, error) {
	tail, err := d.term(depth + 1)
	if err != nil {
		return nil, err
	}
	switch t := tail.(type) {
	case Charlist:
		if len(t) > d.left {
			return nil, d.fail(start, ErrLimit)
		}
		d.left -= len(t)
		if len(l) == 0 {
			return tail, nil
		}
		for _, b := range t {
			l = append(l, int64(b))
		}
		return d.boxList(l), nil
	case List: // an empty STRING_EXT
		return d.boxList(l), nil
	}
	if len(l) == 0 {
		return tail, nil
	}
	return ImproperList{Items: l, Tail: tail}, nil
}

func (d *Decoder) boxList(l List) any {
	if len(l) == 0 {
		return emptyList
	}
	if d.mem != nil {
		return d.mem.lists.box(l)
	}
	return l
}

func (d *Decoder) dict(depth, start int) (any, error) {
	if !d.has(4) {
		return nil, d.truncated()
	}
	n := int64(d.u32())
	if err := d.room(2*n, depth, start); err != nil {
		return nil, err
	}
	var m Map
	if d.mem != nil {
		m = d.mem.pairs.take(int(n))
	} else {
		m = make(Map, n)
	}
	for i := range m {
		k, err := d.term(depth + 1)
		if err != nil {
			return nil, err
		}
		v, err := d.term(depth + 1)
		if err != nil {
			return nil, err
		}
		m[i] = Pair{k, v}
	}
	if err := checkKeys(m, &d.work); err != nil {
		return nil, d.fail(start, err)
	}
	if d.mem != nil {
		return d.mem.maps.box(m), nil
	}
	return m, nil
}
