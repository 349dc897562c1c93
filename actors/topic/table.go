package topic

import (
	"hash/maphash"
	"sync/atomic"
)

// table is an open-addressing hash table of pointers for one writer and any
// number of lock-free readers. It knows its items by a 32-bit tag only; what
// equality is, is decided by those who probe.
//
//   - T1: an item stays in its slot until it is removed or the slots are
//     replaced, so a reader that follows a tag's probe sequence cannot miss it.
//   - T2: slots that have been replaced are never written again: a reader on
//     them sees the table as it was.
//   - T3: at least a quarter of the slots is empty, so every probe ends.
type table[E any] struct {
	current atomic.Pointer[slots[E]]
	live    int // items; writer only
	used    int // slots not empty: items and the marks of removed ones; writer only
}

// slots keeps tags apart from items so that probing stays within few cache
// lines and touches an item only where the tag is equal. A slot whose tag is
// none or gone has no item; one whose tag has just been written or is being
// removed may briefly have none either.
type slots[E any] struct {
	mask  uint32
	tags  []atomic.Uint32
	items []atomic.Pointer[E]
}

const (
	tagNone = iota // never used since the slots were made: the end of a probe
	tagGone        // removed
	tagMin         // the least tag of an item

	minSlots = 8
)

// textTag is the tag of a text.
func textTag(seed maphash.Seed, s string) uint32 {
	return tagOf(maphash.String(seed, s))
}

// tagOf takes a tag from the upper half of a hash.
func tagOf(hash uint64) uint32 {
	return max(uint32(hash>>32), tagMin)
}

func (t *table[E]) init() { t.current.Store(newSlots[E](minSlots)) }

func newSlots[E any](n int) *slots[E] {
	return &slots[E]{
		mask:  uint32(n - 1),
		tags:  make([]atomic.Uint32, n),
		items: make([]atomic.Pointer[E], n),
	}
}

// probe walks over the items of one tag.
type probe[E any] struct {
	s   *slots[E]
	tag uint32
	i   uint32
}

func (t *table[E]) probe(tag uint32) probe[E] {
	return probe[E]{s: t.current.Load(), tag: tag, i: tag}
}

// next returns the next item that has the tag, nil when there is none left.
func (p *probe[E]) next() *E {
	for {
		i := p.i & p.s.mask
		p.i++
		switch p.s.tags[i].Load() {
		case p.tag:
			if e := p.s.items[i].Load(); e != nil {
				return e
			}
		case tagNone:
			return nil
		}
	}
}

// put stores an item in the first free slot of its probe sequence, and reports
// whether that had been empty. The item is there before its tag says so.
func (s *slots[E]) put(tag uint32, e *E) (wasNone bool) {
	for i := tag & s.mask; ; i = (i + 1) & s.mask {
		if old := s.tags[i].Load(); old < tagMin {
			s.items[i].Store(e)
			s.tags[i].Store(tag)
			return old == tagNone
		}
	}
}

// insert adds an item that is not in the table. Writer only.
func (t *table[E]) insert(tag uint32, e *E) {
	s := t.current.Load()
	if t.used >= len(s.tags)/4*3 {
		s = t.rebuild(s)
	}
	if s.put(tag, e) {
		t.used++
	}
	t.live++
}

// remove takes out an item that is in the table. Writer only.
func (t *table[E]) remove(tag uint32, e *E) {
	s := t.current.Load()
	i := tag & s.mask
	for s.items[i].Load() != e {
		i = (i + 1) & s.mask
	}
	s.tags[i].Store(tagGone)
	s.items[i].Store(nil)
	t.live--
	// Marks with nothing behind them would only lengthen probes.
	for s.tags[(i+1)&s.mask].Load() == tagNone && s.tags[i].Load() == tagGone {
		s.tags[i].Store(tagNone)
		t.used--
		i = (i - 1) & s.mask
	}
	if len(s.tags) > minSlots && t.live < len(s.tags)/8 {
		t.rebuild(s)
	}
}

// rebuild replaces the slots by ones that are a quarter to half full.
func (t *table[E]) rebuild(old *slots[E]) *slots[E] {
	n := minSlots
	for n < 2*t.live {
		n *= 2
	}
	s := newSlots[E](n)
	for i := range old.tags {
		if tag := old.tags[i].Load(); tag >= tagMin {
			s.put(tag, old.items[i].Load())
		}
	}
	t.used = t.live
	t.current.Store(s)
	return s
}

// each calls fn for every item until fn returns false.
func (t *table[E]) each(fn func(*E) bool) {
	s := t.current.Load()
	for i := range s.items {
		if e := s.items[i].Load(); e != nil && !fn(e) {
			return
		}
	}
}
