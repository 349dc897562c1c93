package session

import (
	"sync"
	"sync/atomic"

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

// mostOwed bounds the acknowledgements that one connection may have waiting,
// however it goes on with Packet Identifiers that are in use.
const mostOwed = 2 * 65535

// acks keeps the acknowledgements of one connection in the order of its
// PUBLISH packets [MQTT-4.6.0-2] [MQTT-4.6.0-3]: one that is complete waits for
// those before it.
type acks struct {
	mu     sync.Mutex
	room   sync.Cond
	ring   ring[*receipt]
	handle *Handle
	closed bool

	pubacks int          // PUBACKs in the ring
	held    atomic.Int32 // PUBRECs in the ring that wait for a PUBREL
}

func (a *acks) init(h *Handle) {
	a.handle = h
	a.room.L = &a.mu
}

// begin queues a receipt with one place, the caller's. An MQTT 5 client that
// has more than limit outstanding, open QoS 2 exchanges included, gets
// ErrReceiveMaximum [MQTT-3.3.4-7]; for others begin waits for room. It does
// not wait behind a PUBREC that is held back: the PUBREL that lets it go has
// yet to be read.
func (a *acks) begin(kind AckKind, id uint16, limit int, v5 bool) (*receipt, error) {
	r := &receipt{acks: a, id: id, kind: kind}
	r.Owner = r
	r.Start()
	open := 0
	if v5 && limit > 0 {
		open = a.handle.s.in.unreleased()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if v5 && limit > 0 && a.pubacks+open >= limit || a.ring.len() >= mostOwed {
		return nil, ErrReceiveMaximum
	}
	for !v5 && a.ring.len() >= slowLimit && a.held.Load() == 0 && !a.closed {
		a.handle.idle()
		a.room.Wait()
	}
	if a.closed {
		return nil, ErrClosed
	}
	a.ring.push(r)
	if kind == Puback {
		a.pubacks++
	}
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
		if f.kind == Puback {
			a.pubacks--
		}
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
