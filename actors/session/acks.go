package session

import (
	"sync"

	"ermine/actors/router"
)

// receipt is the acknowledgement owed for one QoS 1 or 2 PUBLISH. Its ticket
// has a place for everything that must take the message first.
type receipt struct {
	router.Ticket
	acks *acks
	id   uint16
	kind AckKind
	code byte
	done bool // under acks.mu
}

// Complete is called when the last place is done, on any goroutine.
func (r *receipt) Complete() { r.acks.complete(r, true) }

// slowLimit is how many publishes of an MQTT 3 client may be unacknowledged
// before its socket is read more slowly.
const slowLimit = 1024

// acks keeps the acknowledgements of one connection in the order of its
// PUBLISH packets [MQTT-4.6.0-2] [MQTT-4.6.0-3]: one that is complete waits for
// those before it.
type acks struct {
	mu     sync.Mutex
	room   sync.Cond
	ring   ring[*receipt]
	handle *Handle
	closed bool
}

func (a *acks) init(h *Handle) {
	a.handle = h
	a.room.L = &a.mu
}

// begin queues a receipt with one place, the caller's. An MQTT 5 client that
// has more than limit outstanding gets ErrReceiveMaximum [MQTT-3.3.4-7]; for
// others begin waits for room.
func (a *acks) begin(kind AckKind, id uint16, limit int, v5 bool) (*receipt, error) {
	r := &receipt{acks: a, id: id, kind: kind}
	r.Owner = r
	r.Start()
	a.mu.Lock()
	defer a.mu.Unlock()
	if v5 && limit > 0 && a.ring.len() >= limit {
		return nil, ErrReceiveMaximum
	}
	for !v5 && a.ring.len() >= slowLimit && !a.closed {
		a.handle.idle()
		a.room.Wait()
	}
	if a.closed {
		return nil, ErrClosed
	}
	a.ring.push(r)
	return r, nil
}

// finish releases the publisher's own place, with the code to acknowledge.
func (a *acks) finish(r *receipt, code byte) {
	r.code = code // before the release: whoever completes sees it
	if r.Release() {
		a.complete(r, false)
	}
}

func (a *acks) complete(r *receipt, nudge bool) {
	a.mu.Lock()
	r.done = true
	wrote := false
	for a.ring.len() > 0 && (*a.ring.at(0)).done {
		f := a.ring.pop()
		if !a.closed {
			a.handle.conn.WriteAck(f.kind, f.id, f.code)
			wrote = true
		}
	}
	if wrote {
		a.room.Signal()
	}
	a.mu.Unlock()
	if wrote && nudge && a.handle.reading.Load() {
		a.handle.s.post(item{kind: itemFlush, handle: a.handle})
	}
}

// close ends waiting and writing.
func (a *acks) close() {
	a.mu.Lock()
	a.closed = true
	a.room.Broadcast()
	a.mu.Unlock()
}
