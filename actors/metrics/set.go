package metrics

import (
	"sort"
	"sync"
	"sync/atomic"
)

const stripes = 8

// Set is one node's counters and gauges. The zero value is not ready; use
// [NewSet].
type Set struct {
	cells [stripes]struct {
		n [count]atomic.Uint64
		_ [64]byte
	}

	mu     sync.Mutex
	gauges map[string]*gauge
}

type gauge struct {
	read func() int64
	max  atomic.Int64
}

// NewSet returns a set with every counter at zero and no gauge.
func NewSet() *Set { return &Set{gauges: map[string]*gauge{}} }

// Inc adds one to c on the caller's stripe.
func (s *Set) Inc(stripe uint32, c Counter) { s.cells[stripe%stripes].n[c].Add(1) }

// Add adds n to c on the caller's stripe.
func (s *Set) Add(stripe uint32, c Counter, n uint64) { s.cells[stripe%stripes].n[c].Add(n) }

// Get returns the sum of c over all stripes.
func (s *Set) Get(c Counter) uint64 {
	var n uint64
	for i := range s.cells {
		n += s.cells[i].n[c].Load()
	}
	return n
}

// Value is a name with its reading.
type Value struct {
	Name  string
	Value int64
}

// Counters returns every counter sorted by name.
func (s *Set) Counters() []Value {
	out := make([]Value, 0, count)
	for c := range count {
		out = append(out, Value{names[c], int64(s.Get(c))}) //nolint:gosec // counters stay far below 2^63
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

// Name returns the name operators see.
func (c Counter) Name() string { return names[c] }

// Gauge registers (or replaces) a gauge `name.count`, whose highest reading is
// reported as `name.max`. read is called by any goroutine and must not block.
func (s *Set) Gauge(name string, read func() int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gauges[name] = &gauge{read: read}
}

// Stats returns `name.count` and `name.max` of every gauge, sorted by name.
func (s *Set) Stats() []Value {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Value, 0, 2*len(s.gauges))
	for name, g := range s.gauges {
		v := g.read()
		for {
			m := g.max.Load()
			if v <= m || g.max.CompareAndSwap(m, v) {
				break
			}
		}
		out = append(out, Value{name + ".count", v}, Value{name + ".max", g.max.Load()})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}
