package topic

import (
	"hash/maphash"
	"sync/atomic"
)

// Sub is one subscription in an Index: the caller's value, and the handle that
// finds it again in constant time. The zero Sub with Value set is ready to be
// added. A Sub is in one index at most, and only there once.
type Sub[S any] struct {
	// Value belongs to the caller, who does not change it once the Sub has been
	// added: readers see it at any time. Index.Replace changes a subscription.
	Value S

	// Of the index's writer: the entry it is in, nil for none, and its slot there.
	in   *entry[S]
	slot uint32
}

// Detach makes the handle forget its index, which does not change. It is for
// the subscriptions of an index that has been given up with its writer, so
// that they can be added to the one that takes its place.
func (s *Sub[S]) Detach() { s.in, s.slot = nil, 0 }

// Index holds subscriptions by their filters. The package comment tells who
// may call what, and what readers see. NewIndex makes one.
type Index[S any] struct {
	seed    maphash.Seed
	entries table[entry[S]] // by filter
	nodes   table[node[S]]  // literal children, by parent and level
	root    node[S]         // the trie of filters with wildcards

	filters atomic.Int64
	subs    atomic.Int64
}

// NewIndex returns an empty index.
func NewIndex[S any]() *Index[S] {
	x := &Index[S]{seed: maphash.MakeSeed()}
	x.entries.init()
	x.nodes.init()
	return x
}

// Add adds a subscription to a filter, and reports whether it is the filter's
// first: then the filter is new to the index. Writer only. The index keeps f's
// bytes, so f must not be part of a larger buffer. Add panics when s is in an
// index already (see Sub.Detach).
func (x *Index[S]) Add(f Filter, s *Sub[S]) (first bool) {
	if s.in != nil {
		panic("topic: Add of a subscription that is in an index")
	}
	x.subs.Add(1)
	tag := textTag(x.seed, string(f))
	if e := x.find(tag, string(f)); e != nil {
		e.add(s)
		return false
	}
	e := &entry[S]{filter: f, tag: tag}
	s.in = e
	e.one.Store(s)
	x.entries.insert(tag, e)
	if f.HasWildcard() {
		x.link(e)
	}
	x.filters.Add(1)
	return true
}

// Remove removes a subscription, and reports whether it was its filter's last:
// then the filter is gone from the index. Writer only. A Sub that is in no
// index is left alone. The Sub may be added again afterwards.
func (x *Index[S]) Remove(s *Sub[S]) (last bool) {
	e := s.in
	if e == nil {
		return false
	}
	x.subs.Add(-1)
	if !e.remove(s) {
		return false
	}
	x.filters.Add(-1)
	if e.node != nil {
		x.unlink(e)
	}
	x.entries.remove(e.tag, e)
	return true
}

// Replace puts a subscription in the place of another: a Match sees one of
// them, never both, and never none. Writer only. It panics when old is in no
// index or s in one.
func (x *Index[S]) Replace(old, s *Sub[S]) {
	if old.in == nil || s.in != nil {
		panic("topic: Replace of a subscription that is in no index, or by one that is")
	}
	old.in.replace(old, s)
}

// Match appends to dst the subscriptions whose filter matches a valid name, in
// no particular order, and returns the extended slice. It allocates nothing
// but what dst must grow; callers keep dst and pass dst[:0].
func (x *Index[S]) Match(dst []*Sub[S], name Name) []*Sub[S] {
	return x.MatchWildcard(x.MatchExact(dst, name), name)
}

// MatchExact is the part of Match that concerns filters without wildcards.
func (x *Index[S]) MatchExact(dst []*Sub[S], name Name) []*Sub[S] {
	if e := x.find(textTag(x.seed, string(name)), string(name)); e != nil {
		dst = e.appendTo(dst)
	}
	return dst
}

// Each calls fn for every subscription to exactly this filter until fn returns
// false. Any goroutine.
func (x *Index[S]) Each(f Filter, fn func(*Sub[S]) bool) {
	if e := x.find(textTag(x.seed, string(f)), string(f)); e != nil {
		e.each(fn)
	}
}

// Count returns how many subscriptions there are to exactly this filter. Any
// goroutine.
func (x *Index[S]) Count(f Filter) int {
	if e := x.find(textTag(x.seed, string(f)), string(f)); e != nil {
		return e.count()
	}
	return 0
}

// Walk calls fn for every filter, in no particular order, with the number of
// its subscriptions, until fn returns false. Any goroutine; filters that are
// in the index all the while are seen exactly once.
func (x *Index[S]) Walk(fn func(f Filter, subs int) bool) {
	x.entries.each(func(e *entry[S]) bool {
		if n := e.count(); n > 0 {
			return fn(e.filter, n)
		}
		return true
	})
}

// Len returns how many filters and subscriptions there are. Any goroutine.
func (x *Index[S]) Len() (filters, subs int) {
	return int(x.filters.Load()), int(x.subs.Load())
}

// find looks a filter up by its text.
func (x *Index[S]) find(tag uint32, text string) *entry[S] {
	for p := x.entries.probe(tag); ; {
		e := p.next()
		if e == nil || string(e.filter) == text {
			return e
		}
	}
}
