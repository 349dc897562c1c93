package session

import (
	"ermine/actors/message"
	"ermine/actors/metrics"
	"ermine/actors/router"
)

// out is where the state machine sends packets; a Connection is one.
type out interface {
	WritePublish(now int64, p Outgoing) bool
	WriteAck(kind AckKind, id uint16, code byte)
	Writable() bool
}

// Counts are one session's own figures.
type Counts struct {
	Delivered       uint64 // messages written to the client, resends included
	Enqueued        uint64 // messages that had to wait
	Dropped         uint64 // of all causes below
	DroppedFull     uint64
	DroppedQoS0     uint64
	DroppedExpired  uint64
	DroppedTooLarge uint64
}

// State is one session as a state machine: subscriptions, the window of
// unacknowledged messages and the queue behind it. It is pure: time comes in
// as Unix milliseconds, packets go out through the connection that each method
// is given, nil while the client is away. Its owner is the session's process.
//
// Invariants:
//
//   - S1: a QoS 1 or 2 message is either in the window, in the queue, or counted
//     as dropped, until the client has acknowledged it.
//   - S2: messages of one publisher, topic and QoS leave in the order in which
//     they were delivered, resends included.
//   - S3: never more than the client's Receive Maximum are unacknowledged
//     [MQTT-3.3.4-9].
type State struct {
	ID     string
	Limits Limits
	Counts Counts

	subs    map[string]*router.Subscription // by filter as written
	win     window
	queue   mqueue
	maxSent int  // the smaller of max_inflight and the client's Receive Maximum
	v5      bool // of the current or last connection

	metrics *metrics.Set
	stripe  uint32
}

// NewState returns an empty session.
func NewState(id string, l Limits, m *metrics.Set, stripe uint32) *State {
	s := &State{ID: id, metrics: m, stripe: stripe}
	s.Configure(l, 0, false)
	return s
}

// Configure takes the limits of a new connection. receiveMaximum 0 means the
// client's default of 65535.
func (s *State) Configure(l Limits, receiveMaximum uint16, v5 bool) {
	s.Limits = l
	s.maxSent = 65535
	if l.MaxInflight > 0 {
		s.maxSent = min(s.maxSent, l.MaxInflight)
	}
	if receiveMaximum > 0 {
		s.maxSent = min(s.maxSent, int(receiveMaximum))
	}
	s.v5 = v5
}

// Subscriptions returns the live map; the caller must not change it.
func (s *State) Subscriptions() map[string]*router.Subscription { return s.subs }

// SetSubscription stores sub under its filter and returns the one it replaces.
func (s *State) SetSubscription(sub *router.Subscription) (old *router.Subscription) {
	if s.subs == nil {
		s.subs = make(map[string]*router.Subscription, 1)
	}
	if old = s.subs[sub.Raw]; old != nil {
		old.End()
	}
	s.subs[sub.Raw] = sub
	return old
}

// RemoveSubscription forgets a filter and returns what it was, or nil.
func (s *State) RemoveSubscription(raw string) *router.Subscription {
	sub := s.subs[raw]
	if sub != nil {
		sub.End()
	}
	delete(s.subs, raw)
	return sub
}

// Inflight is the number of QoS 1 and 2 messages sent and not yet complete.
func (s *State) Inflight() int { return s.win.live }

// Queued is the number of messages that wait to be sent.
func (s *State) Queued() int { return s.queue.n }

// Deliver takes a message for the client: it is sent, queued or dropped by
// policy and counted. retained marks a message from the retained store, which
// is sent with its RETAIN flag [MQTT-3.3.1-8].
func (s *State) Deliver(now int64, m *message.Message, sub *router.Subscription, retained bool, o out) {
	w := waiting{msg: m, sub: sub, qos: min(m.QoS, sub.QoS)}
	if s.Limits.UpgradeQoS {
		w.qos = max(m.QoS, sub.QoS)
	}
	w.retain = retained || m.Retain && sub.RetainAsPublished // [MQTT-3.3.1-12] [MQTT-3.3.1-13]
	if o != nil && o.Writable() {
		switch {
		case w.qos == 0 && s.queue.qos0 == 0:
			s.send(now, w, o)
			return
		case w.qos > 0 && s.queue.n == 0 && s.win.parked == 0 && s.win.sent() < s.maxSent:
			s.send(now, w, o)
			return
		}
	}
	s.enqueue(w)
}

func (s *State) send(now int64, w waiting, o out) {
	p := Outgoing{Msg: w.msg, QoS: w.qos, Retain: w.retain, SubID: w.sub.ID}
	if w.qos > 0 {
		p.PacketID = s.win.add(flight{msg: w.msg, sub: w.sub, qos: w.qos, retain: w.retain, sentAt: now})
	}
	if !o.WritePublish(now, p) {
		if w.qos > 0 {
			s.win.remove(s.win.find(p.PacketID))
		}
		s.Counts.DroppedTooLarge++
		s.drop(metrics.DeliveryDroppedTooLarge)
		return
	}
	s.delivered()
}

func (s *State) delivered() {
	s.Counts.Delivered++
	s.metrics.Inc(s.stripe, metrics.MessagesDelivered)
}

func (s *State) drop(c metrics.Counter) {
	s.Counts.Dropped++
	s.metrics.Inc(s.stripe, metrics.DeliveryDropped)
	s.metrics.Inc(s.stripe, c)
}

func (s *State) priority(topic string) int {
	if s.Limits.Priorities == nil {
		return 0
	}
	if p, ok := s.Limits.Priorities[topic]; ok {
		return p
	}
	return s.Limits.DefaultPriority
}

func (s *State) enqueue(w waiting) {
	if w.qos == 0 && !s.Limits.StoreQoS0 {
		s.Counts.DroppedQoS0++
		s.drop(metrics.DeliveryDroppedQoS0)
		return
	}
	p := s.priority(w.msg.Topic)
	if s.Limits.MaxQueue > 0 && s.queue.n >= s.Limits.MaxQueue {
		_, ok := s.queue.evict(p)
		s.Counts.DroppedFull++
		s.drop(metrics.DeliveryDroppedQueueFull)
		if !ok {
			return
		}
	}
	s.queue.push(p, w)
	s.Counts.Enqueued++
}

// Pump sends what waits, as far as the window and the connection have room.
func (s *State) Pump(now int64, o out) {
	if o == nil {
		return
	}
	for o.Writable() {
		if s.win.parked > 0 {
			if s.win.sent() >= s.maxSent {
				return
			}
			s.resend(now, s.win.nextParked(), o)
			continue
		}
		w := s.queue.peek()
		if w == nil || w.qos > 0 && s.win.sent() >= s.maxSent {
			return
		}
		next := s.queue.pop()
		if next.msg.Expired(now) { // [MQTT-3.3.2-5]
			s.Counts.DroppedExpired++
			s.drop(metrics.DeliveryDroppedExpired)
			continue
		}
		s.send(now, next, o)
	}
}

// resend reports false when the message does not fit the client any more: f is
// then gone.
func (s *State) resend(now int64, f *flight, o out) bool {
	if f.phase == parked {
		f.phase = awaitAck
		s.win.parked--
	}
	f.sentAt, f.resent = now, true
	p := Outgoing{Msg: f.msg, PacketID: f.id, QoS: f.qos, Retain: f.retain, SubID: f.sub.ID, Dup: true} // [MQTT-3.3.1-1]
	if !o.WritePublish(now, p) {
		s.win.remove(f)
		s.Counts.DroppedTooLarge++
		s.drop(metrics.DeliveryDroppedTooLarge)
		return false
	}
	s.delivered()
	return true
}

// Resume sends everything unacknowledged again, in order, with its original
// Packet Identifier [MQTT-4.4.0-1], then what waits.
func (s *State) Resume(now int64, o out) {
	s.win.park()
	for i := range s.win.ring.len() {
		if f := s.win.ring.at(i); f.phase == awaitComp {
			o.WriteAck(Pubrel, f.id, 0)
		}
	}
	s.Pump(now, o)
}

// Puback completes a QoS 1 message [MQTT-4.3.2-3]. It reports false for an
// identifier that is not in use by one.
func (s *State) Puback(now int64, id uint16, o out) bool {
	f := s.win.find(id)
	if f == nil || f.qos != 1 || f.phase != awaitAck {
		return false
	}
	s.win.remove(f)
	s.metrics.Inc(s.stripe, metrics.MessagesAcked)
	s.Pump(now, o)
	return true
}

// Pubrec moves a QoS 2 message to its second half and answers PUBREL
// [MQTT-4.3.3-4]; a reason code of 0x80 or more ends it. For an identifier
// that is not in use it answers PUBREL with 0x92 and reports false.
func (s *State) Pubrec(now int64, id uint16, code byte, o out) bool {
	f := s.win.find(id)
	if f == nil || f.qos != 2 || f.phase == parked {
		if o != nil && f == nil {
			o.WriteAck(Pubrel, id, 0x92)
		}
		return false
	}
	if code >= 0x80 {
		s.win.remove(f)
		s.Pump(now, o)
		return true
	}
	// The message itself is the client's now: only its identifier stays
	// [MQTT-4.3.3-6].
	f.phase, f.msg, f.sentAt = awaitComp, nil, now
	if o != nil {
		o.WriteAck(Pubrel, id, 0)
	}
	return true
}

// Pubcomp completes a QoS 2 message.
func (s *State) Pubcomp(now int64, id uint16, o out) bool {
	f := s.win.find(id)
	if f == nil || f.phase != awaitComp {
		return false
	}
	s.win.remove(f)
	s.metrics.Inc(s.stripe, metrics.MessagesAcked)
	s.Pump(now, o)
	return true
}

// Retry sends again what has been unacknowledged for the retry interval, to
// MQTT 3 clients; MQTT 5 forbids it on a live connection [MQTT-4.4.0-1]. It
// returns when to be called next, 0 for not at all.
func (s *State) Retry(now int64, o out) int64 {
	every := s.Limits.RetryInterval.Milliseconds()
	if every <= 0 || s.v5 || o == nil {
		return 0
	}
	if !o.Writable() { // it does not read what it has been sent already
		return now + every
	}
	next := int64(0)
	for i := 0; i < s.win.ring.len(); i++ {
		f := s.win.ring.at(i)
		if f.phase != awaitAck && f.phase != awaitComp {
			continue
		}
		if now-f.sentAt >= every {
			if f.phase == awaitComp {
				f.sentAt = now
				o.WriteAck(Pubrel, f.id, 0)
			} else if !s.resend(now, f, o) {
				i = -1 // the ring has moved
				continue
			}
		}
		if due := f.sentAt + every; next == 0 || due < next {
			next = due
		}
	}
	return next
}

// Orphan is a share group's message that its member did not complete.
type Orphan struct {
	Msg *message.Message
	Sub *router.Subscription
}

// Orphans returns every message that came through a share group and that the
// client has not acknowledged, in order, to be given to another member. A QoS 2
// message that was sent is nobody else's any more [MQTT-4.8.2-5].
func (s *State) Orphans() []Orphan {
	var found []Orphan
	for i := range s.win.ring.len() {
		if f := s.win.ring.at(i); f.qos == 1 && f.phase != gone && f.sub.Group != "" {
			found = append(found, Orphan{f.msg, f.sub})
		}
	}
	s.queue.each(func(w *waiting) {
		if w.sub.Group != "" {
			found = append(found, Orphan{w.msg, w.sub})
		}
	})
	return found
}

// Reset ends the session's life: no subscriptions, nothing in flight, nothing
// queued [MQTT-3.1.2-4].
func (s *State) Reset() {
	for _, sub := range s.subs {
		sub.End()
	}
	s.subs, s.win, s.queue = nil, window{}, mqueue{}
}

// Repair restores the derived figures from the messages themselves after a
// crash of the session's process in the middle of a change.
func (s *State) Repair() {
	s.win.live, s.win.parked = 0, 0
	seen := map[uint16]bool{}
	for i := range s.win.ring.len() {
		f := s.win.ring.at(i)
		if f.phase != gone && (seen[f.id] || f.phase != awaitComp && (f.msg == nil || f.sub == nil)) {
			f.phase, f.msg, f.sub = gone, nil, nil
		}
		if f.phase == gone {
			continue
		}
		seen[f.id] = true
		s.win.live++
		if f.phase == parked {
			s.win.parked++
		}
	}
	s.queue.n, s.queue.qos0 = 0, 0
	s.queue.each(func(w *waiting) { s.queue.count(*w, 1) })
}
