package etf

import (
	"encoding/binary"
	"slices"
)

// creation reads a creation of one byte, in old identifiers, or four.
func (d *Decoder) creation(wide bool) uint32 {
	if wide {
		return d.u32()
	}
	d.pos++
	return uint32(d.buf[d.pos-1])
}

func (d *Decoder) pid(tag byte) (any, error) {
	node, err := d.atomField()
	if err != nil {
		return nil, err
	}
	size := 9
	if tag == tagNewPid {
		size = 12
	}
	if !d.has(size) {
		return nil, d.truncated()
	}
	p := Pid{Node: node, ID: d.u32(), Serial: d.u32(), Creation: d.creation(tag == tagNewPid)}
	if d.mem != nil {
		return d.mem.pids.box(p), nil
	}
	return p, nil
}

func (d *Decoder) port(tag byte) (any, error) {
	node, err := d.atomField()
	if err != nil {
		return nil, err
	}
	p := Port{Node: node}
	switch tag {
	case tagV4Port:
		if !d.has(12) {
			return nil, d.truncated()
		}
		p.ID = binary.BigEndian.Uint64(d.buf[d.pos:])
		d.pos += 8
	case tagNewPort:
		if !d.has(8) {
			return nil, d.truncated()
		}
		p.ID = uint64(d.u32())
	default:
		if !d.has(5) {
			return nil, d.truncated()
		}
		p.ID = uint64(d.u32())
	}
	p.Creation = d.creation(tag != tagPort)
	return p, nil
}

func (d *Decoder) reference(tag byte, start int) (any, error) {
	words := 1
	if tag != tagReference {
		if !d.has(2) {
			return nil, d.truncated()
		}
		words = d.u16()
		if words < 1 || words > maxRefWords {
			return nil, d.fail(start, ErrFormat)
		}
	}
	node, err := d.atomField()
	if err != nil {
		return nil, err
	}
	r := Ref{Node: node, Len: uint8(words)}
	size := 4*words + 1
	if tag == tagNewerReference {
		size += 3
	}
	if !d.has(size) {
		return nil, d.truncated()
	}
	// The creation precedes the words, except in the oldest form.
	if tag != tagReference {
		r.Creation = d.creation(tag == tagNewerReference)
	}
	for i := range words {
		r.ID[i] = d.u32()
	}
	if tag == tagReference {
		r.Creation = d.creation(false)
	}
	if d.mem != nil {
		return d.mem.refs.box(r), nil
	}
	return r, nil
}

// intField reads a SMALL_INTEGER_EXT or INTEGER_EXT inside another term.
func (d *Decoder) intField() (int64, error) {
	switch {
	case d.has(2) && d.buf[d.pos] == tagSmallInteger:
		d.pos += 2
		return int64(d.buf[d.pos-1]), nil
	case d.has(5) && d.buf[d.pos] == tagInteger:
		d.pos++
		return int64(int32(d.u32())), nil
	case d.has(5):
		return 0, d.fail(d.pos, ErrTag)
	}
	return 0, d.truncated()
}

func (d *Decoder) export() (any, error) {
	m, err := d.atomField()
	if err != nil {
		return nil, err
	}
	f, err := d.atomField()
	if err != nil {
		return nil, err
	}
	at := d.pos
	arity, err := d.intField()
	if err != nil {
		return nil, err
	}
	if arity < 0 || arity > 255 {
		return nil, d.fail(at, ErrFormat)
	}
	return Export{Module: m, Function: f, Arity: uint8(arity)}, nil
}

// newFunFixed is the length of the fields of NEW_FUN_EXT between its tag and
// its module: size, arity, uniq, index and number of free variables.
const newFunFixed = 4 + 1 + 16 + 4 + 4

// A funTrace holds what must change in the bytes of a fun when it is taken out
// of its message: offsets of atom cache references, and the extent of every
// NEW_FUN_EXT, whose size field counts the bytes of what it contains.
type funTrace struct {
	depth int // funs around the current position
	refs  []tracedRef
	spans []funSpan
}

type tracedRef struct {
	pos  int // of the ATOM_CACHE_REF
	atom Atom
}

type funSpan struct{ start, end int }

// fun reads a fun whole, so that what will be sent on is known to be good, and
// keeps its bytes. Only the outermost of nested funs does, which keeps the
// work linear.
func (d *Decoder) fun(tag byte, depth, start int) (any, error) {
	d.trace.depth++
	f, err := d.funFields(tag, depth, start)
	d.trace.depth--
	if err != nil {
		return nil, err
	}
	if d.trace.depth > 0 {
		// Part of a fun that is kept whole, and of no further use than to be
		// told from other keys of a map.
		f.Raw = d.buf[start:d.pos]
		return f, nil
	}
	f.Raw = d.trace.raw(d.buf, start, d.pos)
	d.trace.refs, d.trace.spans = d.trace.refs[:0], d.trace.spans[:0]
	return f, nil
}

func (d *Decoder) funFields(tag byte, depth, start int) (f Fun, err error) {
	var free int64
	if tag == tagNewFun {
		if !d.has(newFunFixed) {
			return f, d.truncated()
		}
		h := d.buf[d.pos:]
		if int64(binary.BigEndian.Uint32(h)) > int64(len(h)) {
			return f, d.truncated()
		}
		f.Arity, f.Index = h[4], int64(binary.BigEndian.Uint32(h[21:]))
		free = int64(binary.BigEndian.Uint32(h[25:]))
		d.pos += newFunFixed
	} else {
		if !d.has(4) {
			return f, d.truncated()
		}
		free = int64(d.u32())
	}
	if err = d.room(free, depth, start); err != nil {
		return f, err
	}
	if tag == tagFun {
		if err = d.pidField(); err != nil {
			return f, err
		}
	}
	if f.Module, err = d.atomField(); err != nil {
		return f, err
	}
	index, err := d.intField()
	if err != nil {
		return f, err
	}
	if f.Uniq, err = d.intField(); err != nil {
		return f, err
	}
	if tag == tagNewFun {
		err = d.pidField()
	} else {
		f.Index = index
	}
	if err != nil {
		return f, err
	}
	for range free {
		if _, err = d.term(depth + 1); err != nil {
			return f, err
		}
	}
	if tag == tagNewFun {
		if int64(binary.BigEndian.Uint32(d.buf[start+1:])) != int64(d.pos-start-1) {
			return f, d.fail(start, ErrFormat)
		}
		d.trace.spans = append(d.trace.spans, funSpan{start, d.pos})
	}
	return f, nil
}

// pidField reads a pid inside another term.
func (d *Decoder) pidField() error {
	if d.pos >= len(d.buf) {
		return d.truncated()
	}
	start := d.pos
	tag := d.buf[start]
	if tag != tagPid && tag != tagNewPid {
		return d.fail(start, ErrTag)
	}
	d.pos++
	_, err := d.pid(tag)
	return err
}

// raw returns buf[start:end], which is a fun, with every atom cache reference
// replaced by its atom and the sizes put right.
func (t *funTrace) raw(buf []byte, start, end int) []byte {
	if len(t.refs) == 0 {
		return slices.Clone(buf[start:end])
	}
	var out []byte
	moved := make([]int, len(t.refs)) // where in out each reference begins
	from := start
	for i, r := range t.refs {
		out = append(out, buf[from:r.pos]...)
		moved[i] = len(out)
		out = appendAtom(out, r.atom)
		from = r.pos + 2
	}
	out = append(out, buf[from:end]...)
	// at translates an offset in buf that is not inside a reference.
	at := func(pos int) int {
		n, _ := slices.BinarySearchFunc(t.refs, pos, func(r tracedRef, pos int) int { return r.pos - pos })
		if n == 0 {
			return pos - start
		}
		last := t.refs[n-1]
		return moved[n-1] + atomLen(last.atom) + pos - (last.pos + 2)
	}
	for _, s := range t.spans {
		first := at(s.start)
		binary.BigEndian.PutUint32(out[first+1:], uint32(at(s.end)-first-1))
	}
	return out
}
