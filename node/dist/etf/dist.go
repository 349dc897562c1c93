package etf

import (
	"encoding/binary"
	"unicode/utf8"
)

// Kinds of distribution headers: the byte behind Version.
const (
	// HeaderNormal precedes a message that is one packet.
	HeaderNormal = 68
	// HeaderFirst precedes the first fragment of a message.
	HeaderFirst = 69
	// HeaderNext precedes any other fragment.
	HeaderNext = 70
)

// cacheSize is the number of entries of an atom cache: 8 segments of 256. An
// entry's number is segment*256 + index in the segment.
const cacheSize = 8 * 256

// maxRefs is how many atoms one header can name.
const maxRefs = 255

// AtomRefs are the atoms that one distribution header names, by the number
// with which the terms behind it refer to them. They stay as they are when
// later headers change the cache.
type AtomRefs struct {
	terms []any // Atoms, boxed once by the cache
}

// Len returns the number of atoms; 0 for a nil AtomRefs.
func (r *AtomRefs) Len() int {
	if r == nil {
		return 0
	}
	return len(r.terms)
}

// At returns atom number i, less than Len.
func (r *AtomRefs) At(i int) Atom { return r.terms[i].(Atom) }

// ReceiveCache is the atom cache of one connection for what arrives. The zero
// ReceiveCache is empty and ready. It belongs to the one goroutine that reads
// from the connection, which decodes every header in order of arrival.
type ReceiveCache struct {
	atoms [cacheSize]any
}

// Header is a decoded distribution header.
type Header struct {
	// Kind is HeaderNormal, HeaderFirst or HeaderNext.
	Kind byte
	// Sequence tells the fragmented messages of a connection apart. Zero
	// unless the message is fragmented.
	Sequence uint64
	// Fragment is how many fragments follow, this one included: it counts
	// down to 1. Zero unless the message is fragmented.
	Fragment uint64
	// Refs are the atoms of the message. A HeaderNext has none: those of the
	// first fragment hold.
	Refs AtomRefs
}

// DecodeHeader reads the distribution header at the start of a packet, its
// version byte included, updates cache, and returns what follows the header:
// for HeaderNext a piece of the message, else the control message, complete,
// and the message or its first piece, as terms for [Decoder.DecodeTerm]. The
// header shares no memory with b.
func DecodeHeader(b []byte, cache *ReceiveCache) (h Header, rest []byte, err error) {
	rest, err = h.Decode(b, cache)
	return h, rest, err
}

// Decode is DecodeHeader into h, whose memory for Refs is used again: the Refs
// that h held before are lost, so a fragmented message needs a Header of its
// own. After an error the cache may be changed in part, and the connection can
// only be closed.
func (h *Header) Decode(b []byte, cache *ReceiveCache) (rest []byte, err error) {
	fail := func(off int, err error) ([]byte, error) {
		return nil, &DecodeError{Offset: off, Err: err}
	}
	*h = Header{Refs: AtomRefs{terms: h.Refs.terms[:0]}}
	switch {
	case len(b) < 2:
		return fail(len(b), ErrTruncated)
	case b[0] != Version:
		return fail(0, ErrVersion)
	}
	h.Kind = b[1]
	pos := 2
	switch h.Kind {
	case HeaderNormal:
	case HeaderFirst, HeaderNext:
		if len(b) < pos+16 {
			return fail(len(b), ErrTruncated)
		}
		h.Sequence = binary.BigEndian.Uint64(b[pos:])
		h.Fragment = binary.BigEndian.Uint64(b[pos+8:])
		pos += 16
		if h.Fragment == 0 {
			return fail(pos-8, ErrFormat)
		}
		if h.Kind == HeaderNext {
			return b[pos:], nil
		}
	default:
		return nil, &DecodeError{Offset: 1, Tag: b[1], Err: ErrTag}
	}
	if len(b) <= pos {
		return fail(len(b), ErrTruncated)
	}
	n := int(b[pos])
	pos++
	if n == 0 {
		return b[pos:], nil
	}
	if len(b) < pos+n/2+1 {
		return fail(len(b), ErrTruncated)
	}
	flags := b[pos : pos+n/2+1]
	pos += len(flags)
	nibble := func(i int) byte { return flags[i/2] >> (4 * (i % 2)) & 0xF }
	long := nibble(n)&1 != 0
	for i := range n {
		f := nibble(i)
		if len(b) <= pos {
			return fail(len(b), ErrTruncated)
		}
		slot := int(f&7)<<8 | int(b[pos])
		pos++
		if f&8 == 0 {
			a := cache.atoms[slot]
			if a == nil {
				return fail(pos-1, ErrAtomCache)
			}
			h.Refs.terms = append(h.Refs.terms, a)
			continue
		}
		size := 0
		switch {
		case long && len(b) >= pos+2:
			size = int(binary.BigEndian.Uint16(b[pos:]))
			pos += 2
		case !long && len(b) >= pos+1:
			size = int(b[pos])
			pos++
		default:
			return fail(len(b), ErrTruncated)
		}
		if len(b) < pos+size {
			return fail(len(b), ErrTruncated)
		}
		text := b[pos : pos+size]
		if !utf8.Valid(text) || size > maxAtomChars && utf8.RuneCount(text) > maxAtomChars {
			return fail(pos, ErrAtom)
		}
		pos += size
		a := any(Atom(text))
		cache.atoms[slot] = a
		h.Refs.terms = append(h.Refs.terms, a)
	}
	return b[pos:], nil
}

// RefTable collects the atoms to which one outgoing message refers. The zero
// RefTable is empty and ready. An Encoder fills it (Encoder.Refs), then
// SendCache.AppendHeader reads it. It holds no state of the connection, so a
// message can be encoded before its turn to be sent, by any goroutine. An atom
// that finds no room (the place in the cache that its text determines is taken
// by another atom of the message, or 255 are there) is written in full.
type RefTable struct {
	atoms []Atom
	slots []uint16         // of atoms in the cache
	at    [cacheSize]uint8 // slot -> 1 + index in atoms, 0 for none
	long  bool             // an atom is longer than 255 bytes
}

// Reset empties r for the next message.
func (r *RefTable) Reset() {
	for _, s := range r.slots {
		r.at[s] = 0
	}
	clear(r.atoms)
	r.atoms, r.slots, r.long = r.atoms[:0], r.slots[:0], false
}

// Len returns the number of atoms collected.
func (r *RefTable) Len() int { return len(r.atoms) }

// cacheSlot is the entry of the cache that an atom uses: FNV-1a folded to 11
// bits. The sender is free in its choice.
func cacheSlot(a Atom) uint16 {
	h := uint32(2166136261)
	for i := range len(a) {
		h = (h ^ uint32(a[i])) * 16777619
	}
	return uint16((h ^ h>>11 ^ h>>22) % cacheSize)
}

// find returns the number of an atom that is in r.
func (r *RefTable) find(a Atom) (byte, bool) {
	i := r.at[cacheSlot(a)]
	if i == 0 || r.atoms[i-1] != a {
		return 0, false
	}
	return i - 1, true
}

// add puts a valid atom that find did not find into r, if there is room.
func (r *RefTable) add(a Atom) (byte, bool) {
	slot := cacheSlot(a)
	if r.at[slot] != 0 || len(r.atoms) == maxRefs {
		return 0, false
	}
	r.atoms = append(r.atoms, a)
	r.slots = append(r.slots, slot)
	r.at[slot] = uint8(len(r.atoms))
	r.long = r.long || len(a) > 255
	return byte(len(r.atoms) - 1), true
}

// SendCache is the atom cache of one connection for what is sent: what the
// peer's ReceiveCache holds. The zero SendCache is empty and ready. It belongs
// to the one goroutine that writes to the connection: headers must leave in the
// order in which they were made, and one that was made must leave.
type SendCache struct {
	atoms [cacheSize]Atom
	known [cacheSize]bool
}

// AppendHeader appends the header of a message in one packet to dst. The terms
// encoded with refs follow it. refs may be nil: a message without references.
func (c *SendCache) AppendHeader(dst []byte, refs *RefTable) []byte {
	return c.appendRefs(append(dst, Version, HeaderNormal), refs)
}

// AppendFirst appends the header of the first of fragments (1 or more) pieces
// of a message. The control message must follow it whole. sequence must differ
// from that of every other message whose last fragment has not been sent.
func (c *SendCache) AppendFirst(dst []byte, refs *RefTable, sequence, fragments uint64) []byte {
	return c.appendRefs(appendFragment(dst, HeaderFirst, sequence, fragments), refs)
}

// AppendNext appends the header of a further piece to dst; fragment counts down
// to 1 for the last. It needs no cache.
func AppendNext(dst []byte, sequence, fragment uint64) []byte {
	return appendFragment(dst, HeaderNext, sequence, fragment)
}

func appendFragment(dst []byte, kind byte, sequence, fragment uint64) []byte {
	dst = binary.BigEndian.AppendUint64(append(dst, Version, kind), sequence)
	return binary.BigEndian.AppendUint64(dst, fragment)
}

// MaxHeaderLen is a bound of what AppendHeader and AppendFirst append for refs,
// for callers that reserve room in front of a message.
func MaxHeaderLen(refs *RefTable) int {
	n := 2 + 16 + 1
	if refs == nil || len(refs.atoms) == 0 {
		return n
	}
	n += len(refs.atoms)/2 + 1
	for _, a := range refs.atoms {
		n += 3 + len(a)
	}
	return n
}

func (c *SendCache) appendRefs(dst []byte, refs *RefTable) []byte {
	if refs == nil || len(refs.atoms) == 0 {
		return append(dst, 0)
	}
	n := len(refs.atoms)
	dst = append(dst, byte(n))
	at := len(dst) // of the flags
	var zeros [maxRefs/2 + 1]byte
	dst = append(dst, zeros[:n/2+1]...)
	flag := func(i int, f byte) { dst[at+i/2] |= f << (4 * (i % 2)) }
	if refs.long {
		flag(n, 1)
	}
	for i, a := range refs.atoms {
		slot := refs.slots[i]
		segment := byte(slot >> 8)
		dst = append(dst, byte(slot))
		if c.known[slot] && c.atoms[slot] == a {
			flag(i, segment)
			continue
		}
		c.atoms[slot], c.known[slot] = a, true
		flag(i, 8|segment)
		if refs.long {
			dst = append(dst, byte(len(a)>>8))
		}
		dst = append(append(dst, byte(len(a))), a...)
	}
	return dst
}
