package topic

import "sync/atomic"

// entry is one filter of an Index with its subscriptions. Most filters have a
// single subscription, which needs no more than the field one; more are in a
// group.
//
//   - E1: while many is nil, one is the only subscription, or nil when the
//     entry has been taken out of the index.
//   - E2: while many is set, one has no meaning; it is set anew before many
//     is cleared. So a reader that finds many nil may read one afterwards.
type entry[S any] struct {
	filter Filter
	node   *node[S] // where it hangs in the trie, nil without wildcards; writer only
	one    atomic.Pointer[Sub[S]]
	many   atomic.Pointer[group[S]]
	tag    uint32
}

// group is the subscriptions of a filter that has had two or more at a time.
//
//   - G1: a subscription stays in its slot until it is removed or the group
//     replaced, so a reader that goes through the slots in order cannot miss it.
//   - G2: a group that has been replaced is never written again.
//   - G3: at least a quarter of the slots below n is in use, or n is small.
type group[S any] struct {
	slots []atomic.Pointer[Sub[S]]
	n     atomic.Uint32 // slots in use at one time or other: where readers stop
	live  atomic.Uint32
	free  []uint32 // slots below n that are empty; writer only
}

const minGroup = 4

// add adds a subscription to an entry that has one at least.
func (e *entry[S]) add(s *Sub[S]) {
	g := e.many.Load()
	s.in = e
	switch {
	case g == nil:
		g = newGroup[S](minGroup)
		g.put(e.one.Load())
		g.put(s)
		e.many.Store(g)
	case len(g.free) == 0 && int(g.n.Load()) == len(g.slots):
		g = g.resized()
		g.put(s)
		e.many.Store(g)
	default:
		g.put(s)
	}
}

// remove takes out a subscription, and reports whether the entry is now empty.
func (e *entry[S]) remove(s *Sub[S]) (empty bool) {
	slot := s.slot
	s.Detach()
	g := e.many.Load()
	if g == nil {
		e.one.Store(nil)
		return true
	}
	g.slots[slot].Store(nil)
	g.free = append(g.free, slot)
	live := g.live.Add(^uint32(0))
	switch {
	case live == 1:
		g.each(func(last *Sub[S]) bool {
			last.slot = 0
			e.one.Store(last)
			return false
		})
		e.many.Store(nil)
	case g.n.Load() > minGroup && live < g.n.Load()/4:
		e.many.Store(g.resized())
	}
	return false
}

// replace puts s in the place of old.
func (e *entry[S]) replace(old, s *Sub[S]) {
	s.in, s.slot = e, old.slot
	if g := e.many.Load(); g != nil {
		g.slots[old.slot].Store(s)
	} else {
		e.one.Store(s)
	}
	old.Detach()
}

// appendTo appends the subscriptions to dst.
func (e *entry[S]) appendTo(dst []*Sub[S]) []*Sub[S] {
	g := e.many.Load()
	if g == nil {
		if s := e.one.Load(); s != nil {
			dst = append(dst, s)
		}
		return dst
	}
	slots := g.slots[:g.n.Load()]
	for i := range slots {
		if s := slots[i].Load(); s != nil {
			dst = append(dst, s)
		}
	}
	return dst
}

// each calls fn for every subscription until fn returns false.
func (e *entry[S]) each(fn func(*Sub[S]) bool) {
	if g := e.many.Load(); g != nil {
		g.each(fn)
	} else if s := e.one.Load(); s != nil {
		fn(s)
	}
}

// count returns the number of subscriptions.
func (e *entry[S]) count() int {
	if g := e.many.Load(); g != nil {
		return int(g.live.Load())
	}
	if e.one.Load() != nil {
		return 1
	}
	return 0
}

func newGroup[S any](size int) *group[S] {
	return &group[S]{slots: make([]atomic.Pointer[Sub[S]], size)}
}

// put stores a subscription in a free slot, which there must be. The slot is
// filled before n lets readers see it.
func (g *group[S]) put(s *Sub[S]) {
	if k := len(g.free); k > 0 {
		s.slot = g.free[k-1]
		g.free = g.free[:k-1]
		g.slots[s.slot].Store(s)
	} else {
		s.slot = g.n.Load()
		g.slots[s.slot].Store(s)
		g.n.Store(s.slot + 1)
	}
	g.live.Add(1)
}

// resized returns a group of the same subscriptions with as much room again.
func (g *group[S]) resized() *group[S] {
	r := newGroup[S](max(minGroup, 2*int(g.live.Load())))
	g.each(func(s *Sub[S]) bool {
		r.put(s)
		return true
	})
	return r
}

func (g *group[S]) each(fn func(*Sub[S]) bool) {
	slots := g.slots[:g.n.Load()]
	for i := range slots {
		if s := slots[i].Load(); s != nil && !fn(s) {
			return
		}
	}
}
