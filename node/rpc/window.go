package rpc

import "math/bits"

// window is the receiving end of a stream's lane: which messages were received,
// and which of them are acknowledged, in whatever order that happens. It is
// pure. What was received but is not acknowledged costs a bit.
type window struct {
	received uint64 // all up to here were handed to the handler
	acked    uint64 // all up to here are acknowledged

	// marks has a bit for each message in (acked, received] that is acknowledged
	// before its turn: bit seq of the ring. Its length is a power of two.
	marks []uint64
}

// extend makes seq the last message received.
func (w *window) extend(seq uint64) {
	w.received = seq
	open := w.received - w.acked
	if open <= uint64(len(w.marks))*64 {
		return
	}
	marks := make([]uint64, 1<<bits.Len64((open-1)/64))
	mask := uint64(len(marks) - 1)
	for i := range uint64(len(w.marks)) * 64 {
		// The old ring held the messages after acked.
		s := w.acked + 1 + i
		if w.marked(s) {
			marks[s/64&mask] |= 1 << (s % 64)
		}
	}
	w.marks = marks
}

func (w *window) marked(seq uint64) bool {
	return w.marks[seq/64&uint64(len(w.marks)-1)]&(1<<(seq%64)) != 0
}

// ack marks one message as acknowledged, once, and tells whether acked moved.
func (w *window) ack(seq uint64) bool {
	if seq <= w.acked || seq > w.received {
		return false
	}
	if seq != w.acked+1 {
		w.marks[seq/64&uint64(len(w.marks)-1)] |= 1 << (seq % 64)
		return false
	}
	w.acked = seq
	for w.acked < w.received && w.marked(w.acked+1) {
		w.acked++
		w.marks[w.acked/64&uint64(len(w.marks)-1)] &^= 1 << (w.acked % 64)
	}
	if w.acked == w.received && len(w.marks) > 1<<10 {
		w.marks = nil
	}
	return true
}
