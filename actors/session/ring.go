package session

// ring is a double-ended queue in a power-of-two buffer. It gives its memory
// back when it empties after having been large.
type ring[T any] struct {
	buf  []T
	head int
	n    int
}

const (
	ringMin  = 4
	ringKeep = 64 // a larger empty buffer is released
)

func (r *ring[T]) len() int { return r.n }

// at returns the i-th element from the front; i must be within [0, len).
func (r *ring[T]) at(i int) *T { return &r.buf[(r.head+i)&(len(r.buf)-1)] }

func (r *ring[T]) push(v T) {
	if r.n == len(r.buf) {
		r.grow()
	}
	r.buf[(r.head+r.n)&(len(r.buf)-1)] = v
	r.n++
}

// pop removes and returns the front; the ring must not be empty.
func (r *ring[T]) pop() T {
	var zero T
	v := r.buf[r.head]
	r.buf[r.head] = zero
	r.head = (r.head + 1) & (len(r.buf) - 1)
	r.n--
	if r.n == 0 && len(r.buf) > ringKeep {
		r.buf, r.head = nil, 0
	}
	return v
}

func (r *ring[T]) grow() {
	next := make([]T, max(ringMin, 2*len(r.buf)))
	for i := range r.n {
		next[i] = *r.at(i)
	}
	r.buf, r.head = next, 0
}

func (r *ring[T]) clear() { *r = ring[T]{} }
