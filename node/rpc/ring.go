package rpc

// ring is a queue that keeps its room. The zero ring is empty.
type ring[T any] struct {
	items []T // its length is a power of two
	head  int
	n     int
}

// at is the i-th item from the front.
func (r *ring[T]) at(i int) *T { return &r.items[(r.head+i)&(len(r.items)-1)] }

func (r *ring[T]) push(v T) {
	if r.n == len(r.items) {
		items := make([]T, max(16, 2*r.n))
		for i := range r.n {
			items[i] = *r.at(i)
		}
		r.items, r.head = items, 0
	}
	r.n++
	*r.at(r.n - 1) = v
}

// pop takes the front item; the ring is not empty. Room far beyond what is in
// use is given back when the ring is empty.
func (r *ring[T]) pop() T {
	var zero T
	v := *r.at(0)
	*r.at(0) = zero
	r.head = (r.head + 1) & (len(r.items) - 1)
	r.n--
	if r.n == 0 && len(r.items) > 1<<14 {
		r.items, r.head = nil, 0
	}
	return v
}
