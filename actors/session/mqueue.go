package session

import (
	"slices"

	"ermine/actors/message"
	"ermine/actors/router"
)

// waiting is a message that has no Packet Identifier yet.
type waiting struct {
	msg    *message.Message
	sub    *router.Subscription
	qos    message.QoS
	retain bool
}

// mqueue holds messages that cannot be sent now: the client is away, its
// window is full, or its socket is. Without priorities it is one FIFO; with
// them one FIFO for each priority, the highest first.
type mqueue struct {
	levels []level // by descending priority; empty until first used
	n      int
	qos0   int // QoS 0 messages among them
}

type level struct {
	priority int
	ring     ring[waiting]
}

func (q *mqueue) level(priority int) *ring[waiting] {
	for i := range q.levels {
		if q.levels[i].priority == priority {
			return &q.levels[i].ring
		}
	}
	at, _ := slices.BinarySearchFunc(q.levels, priority, func(l level, p int) int { return p - l.priority })
	q.levels = slices.Insert(q.levels, at, level{priority: priority})
	return &q.levels[at].ring
}

func (q *mqueue) push(priority int, w waiting) {
	q.level(priority).push(w)
	q.count(w, 1)
}

func (q *mqueue) count(w waiting, d int) {
	q.n += d
	if w.qos == 0 {
		q.qos0 += d
	}
}

// peek returns the message to send next, or nil.
func (q *mqueue) peek() *waiting {
	if q.n == 0 {
		return nil
	}
	for i := range q.levels {
		if r := &q.levels[i].ring; r.len() > 0 {
			return r.at(0)
		}
	}
	return nil
}

// pop removes what peek returned.
func (q *mqueue) pop() waiting {
	for i := range q.levels {
		if r := &q.levels[i].ring; r.len() > 0 {
			w := r.pop()
			q.count(w, -1)
			if q.n == 0 {
				q.release()
			}
			return w
		}
	}
	panic("session: pop of an empty queue")
}

// evict makes room for a message of the given priority: the oldest of the
// lowest priority goes. It reports false when all waiting messages have a
// higher one: then the newcomer goes.
func (q *mqueue) evict(priority int) (waiting, bool) {
	for i := range slices.Backward(q.levels) {
		if l := &q.levels[i]; l.priority <= priority && l.ring.len() > 0 {
			w := l.ring.pop()
			q.count(w, -1)
			return w, true
		}
	}
	return waiting{}, false
}

func (q *mqueue) release() {
	for i := range q.levels {
		if len(q.levels[i].ring.buf) > ringKeep {
			q.levels[i].ring.clear()
		}
	}
}

// each calls fn for every waiting message in sending order.
func (q *mqueue) each(fn func(*waiting)) {
	for i := range q.levels {
		r := &q.levels[i].ring
		for j := range r.len() {
			fn(r.at(j))
		}
	}
}
