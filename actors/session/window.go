package session

import (
	"ermine/actors/message"
	"ermine/actors/router"
)

// phase is where an outbound QoS 1 or 2 message stands.
type phase byte

const (
	gone      phase = iota // acknowledged; the slot goes when it reaches the front
	parked                 // to be sent again on this connection, with DUP
	awaitAck               // PUBLISH sent: PUBACK or PUBREC is due
	awaitComp              // PUBREL sent: PUBCOMP is due
)

type flight struct {
	msg    *message.Message
	sub    *router.Subscription
	sentAt int64 // Unix milliseconds
	id     uint16
	qos    message.QoS
	phase  phase
	retain bool
	resent bool
}

// window is the set of outbound messages that have a Packet Identifier, in the
// order in which they were first sent: a resend keeps that order
// [MQTT-4.6.0-1].
type window struct {
	ring   ring[flight]
	live   int // slots not gone
	parked int
	last   uint16 // the identifier given out last
}

// sent is how many messages count against the client's Receive Maximum.
func (w *window) sent() int { return w.live - w.parked }

// add gives m the next free identifier and appends it as sent.
func (w *window) add(f flight) uint16 {
	for {
		w.last++
		if w.last == 0 { // 0 is no Packet Identifier [MQTT-2.2.1-3]
			w.last = 1
		}
		if w.find(w.last) == nil {
			break
		}
	}
	f.id = w.last
	f.phase = awaitAck
	w.ring.push(f)
	w.live++
	return f.id
}

// find returns the slot in use by id, or nil. Identifiers are given out in
// order, so the distance from the front nearly always finds it at once.
func (w *window) find(id uint16) *flight {
	n := w.ring.len()
	if n == 0 || id == 0 {
		return nil
	}
	first := w.ring.at(0).id
	d := int(id - first)
	if id < first { // 0 was skipped at the wrap
		d = int(id) + 65535 - int(first)
	}
	if d < n {
		if f := w.ring.at(d); f.id == id && f.phase != gone {
			return f
		}
	}
	for i := range n {
		if f := w.ring.at(i); f.id == id && f.phase != gone {
			return f
		}
	}
	return nil
}

// remove frees a slot returned by find.
func (w *window) remove(f *flight) {
	if f.phase == parked {
		w.parked--
	}
	f.phase, f.msg, f.sub = gone, nil, nil
	w.live--
	for w.ring.len() > 0 && w.ring.at(0).phase == gone {
		w.ring.pop()
	}
	if w.ring.len() > 2*w.live+slack {
		w.compact()
	}
}

// slack is how many slots may be gone behind one that is not.
const slack = 64

// compact drops the slots that are gone, behind one that a client does not
// acknowledge.
func (w *window) compact() {
	for range w.ring.len() {
		if f := w.ring.pop(); f.phase != gone {
			w.ring.push(f)
		}
	}
}

// park marks every PUBLISH as to be sent again, after a reconnect.
func (w *window) park() {
	for i := range w.ring.len() {
		if f := w.ring.at(i); f.phase == awaitAck {
			f.phase = parked
			w.parked++
		}
	}
}

// nextParked returns the oldest parked slot, or nil.
func (w *window) nextParked() *flight {
	if w.parked == 0 {
		return nil
	}
	for i := range w.ring.len() {
		if f := w.ring.at(i); f.phase == parked {
			return f
		}
	}
	return nil
}
