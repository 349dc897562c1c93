package etf

import "unsafe"

const (
	// firstChunk is the number of entries with which a slab begins.
	firstChunk = 32
	// keptChunk is how far slabs double, and the largest that survives Reset:
	// one huge term does not pin its memory for the life of a connection.
	keptChunk = 1 << 16
)

// An arena holds the terms that a reusing Decoder made since its last reset.
// Every slab only grows between resets: a full chunk is left to the terms that
// point into it, so that no term moves or is overwritten before reset.
type arena struct {
	slots  run[any]
	pairs  run[Pair]
	bytes  run[byte]
	ints   slab[int64]
	floats slab[float64]
	bins   slab[[]byte]
	chars  slab[Charlist]
	tuples slab[Tuple]
	lists  slab[List]
	maps   slab[Map]
	pids   slab[Pid]
	refs   slab[Ref]
}

func (a *arena) reset() {
	a.slots.reset()
	a.pairs.reset()
	a.bytes.reset()
	a.ints.reset()
	a.floats.reset()
	a.bins.reset()
	a.chars.reset()
	a.tuples.reset()
	a.lists.reset()
	a.maps.reset()
	a.pids.reset()
	a.refs.reset()
}

// A run hands out slices of a chunk.
type run[T any] struct {
	chunk []T
	used  int
}

// take returns n zero elements whose capacity is n.
func (r *run[T]) take(n int) []T {
	if n > len(r.chunk)-r.used {
		r.chunk, r.used = make([]T, max(min(2*len(r.chunk), keptChunk), n, firstChunk)), 0
	}
	s := r.chunk[r.used : r.used+n : r.used+n]
	r.used += n
	return s
}

func (r *run[T]) reset() {
	if len(r.chunk) > keptChunk {
		*r = run[T]{}
		return
	}
	clear(r.chunk[:r.used])
	r.used = 0
}

// A slab holds values that interfaces point to. Go allocates for each value
// that it puts into an interface; a slab makes the interface point into a
// chunk instead, which is what keeps a reusing Decoder free of allocations.
type slab[T any] struct {
	run   run[T]
	proto any // a zero T, which lends its type word
}

// iface is the memory of an any.
type iface struct{ typ, data unsafe.Pointer }

// box returns v in an interface. T must be a type that Go stores in an
// interface by pointer: not itself a pointer, map, channel, func, or a struct
// or array of only one of these.
func (s *slab[T]) box(v T) any {
	if s.proto == nil {
		var zero T
		s.proto = zero
	}
	p := &s.run.take(1)[0]
	*p = v
	out := s.proto
	(*iface)(unsafe.Pointer(&out)).data = unsafe.Pointer(p)
	return out
}

func (s *slab[T]) reset() { s.run.reset() }
