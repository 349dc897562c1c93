package erl

import (
	"context"
	"sync"
	"time"

	"ergo.services/ergo/gen"

	"ermine/actors"
	"ermine/actors/message"
	"ermine/actors/router"
)

// subscriber is an Erlang process that has subscribed. It implements
// router.Subscriber. A goroutine of its own, the pump, sends what is queued; it
// runs only while there is something to send.
type subscriber struct {
	hub *hub
	num int64 // the high bits of its messages' ids
	id  string
	to  gen.PID
	ctx context.Context //nolint:containedctx // the subscriber's own life, not a caller's
	end context.CancelFunc

	mu       sync.Mutex
	gone     bool
	slots    map[string]*slot // by filter as subscribed
	queue    []*item          // not sent; the oldest first
	bytes    int              // of the queue
	inflight []*item          // sent, not acknowledged; the oldest first
	pumping  bool
	warned   time.Time // when dropping was logged last
	maxQueue int
	window   int
	seq      int64
	timer    *time.Timer // runs while a ticket waits for an acknowledgement

	delivered, dropped, expired, unacked uint64

	// room has a value when the queue has become shorter; retained messages
	// wait for it.
	room chan struct{}
}

// slot is one subscription of a subscriber. While it is being replaced both the
// old and the new one are routed: until then last tells the second copy of a
// message.
type slot struct {
	sub    *router.Subscription
	broker *actors.Broker
	ack    bool
	opts   subscribeOptions
	until  time.Time
	last   *message.Message
}

// replace puts a slot in the place of old, which may be nil. s.mu is held.
func (s *subscriber) replace(old, fresh *slot) {
	if old != nil {
		fresh.until, fresh.last = s.hub.s.opts.Now().Add(replaceTime), old.last
	}
	s.slots[fresh.sub.Raw] = fresh
}

// twice reports whether m is the second copy of a message, and remembers it.
func (sl *slot) twice(m *message.Message, now func() time.Time) bool {
	if sl.until.IsZero() {
		return false
	}
	if now().After(sl.until) {
		sl.until, sl.last = time.Time{}, nil
		return false
	}
	second := sl.last == m
	sl.last = m
	return second
}

// item is a message on its way.
type item struct {
	m      *message.Message
	filter string
	qos    byte
	retain bool
	id     int64 // 0 without acknowledgement
	size   int

	// ticket is the publisher's, until it is done; due is when that is at the
	// latest.
	ticket *router.Ticket
	due    time.Time
}

// warnEvery is how often the log tells that messages are dropped.
const warnEvery = time.Minute

// idBits are the bits of an id that count a subscriber's messages.
const idBits = 40

// ClientID implements router.Subscriber: the pid as Erlang prints it.
func (s *subscriber) ClientID() string { return s.id }

// Online implements router.Subscriber.
func (s *subscriber) Online() bool { return true }

// WaitIdle implements router.Subscriber. Publishers never wait for a process:
// what does not fit is dropped.
func (s *subscriber) WaitIdle() {}

// Deliver implements router.Subscriber.
func (s *subscriber) Deliver(m *message.Message, sub *router.Subscription, t *router.Ticket) router.Result {
	s.mu.Lock()
	sl := s.slots[sub.Raw]
	if s.gone || sl == nil {
		s.mu.Unlock()
		return router.Gone
	}
	if sl.twice(m, s.hub.s.opts.Now) {
		s.mu.Unlock()
		t.Done()
		return router.Taken
	}
	it := s.item(sl, m, m.Retain && sl.sub.RetainAsPublished)
	it.ticket = t
	released := s.push(it)
	s.mu.Unlock()
	done(released)
	return router.Taken
}

// item makes an item; s.mu is held.
func (s *subscriber) item(sl *slot, m *message.Message, retain bool) *item {
	it := &item{m: m, filter: sl.sub.Raw, qos: min(m.QoS, sl.sub.QoS), retain: retain, size: m.Size()}
	if sl.ack && it.qos > 0 {
		s.seq++
		it.id = s.num<<idBits | s.seq
	}
	return it
}

// push queues an item and returns the tickets that are done with. s.mu is held.
func (s *subscriber) push(it *item) (released []*router.Ticket) {
	for len(s.queue) > 0 && (len(s.queue) >= s.maxQueue || s.bytes+it.size > queueBytes) {
		oldest := s.queue[0]
		s.queue[0] = nil
		s.queue = s.queue[1:]
		s.bytes -= oldest.size
		s.dropped++
		released = append(released, oldest.take())
		if now := s.hub.s.opts.Now(); now.Sub(s.warned) > warnEvery {
			s.warned = now
			s.hub.s.log.Warn("messages for an Erlang process are dropped: its queue is full", "pid", s.id, "queue", len(s.queue)+1)
		}
	}
	if it.id == 0 {
		released = append(released, it.take())
	} else if it.ticket != nil {
		it.due = s.hub.s.opts.Now().Add(s.hub.s.opts.AckTime)
		if s.timer == nil {
			s.timer = time.AfterFunc(s.hub.s.opts.AckTime, s.overdue)
		}
	}
	s.queue = append(s.queue, it)
	s.bytes += it.size
	s.start()
	return released
}

// take returns the ticket, which the caller completes.
func (it *item) take() *router.Ticket {
	t := it.ticket
	it.ticket = nil
	return t
}

// done completes tickets, with no lock held.
func done(tickets []*router.Ticket) {
	for _, t := range tickets {
		t.Done()
	}
}

// start makes the pump run if it has something to do. s.mu is held.
func (s *subscriber) start() {
	if !s.pumping && s.ready() {
		s.pumping = true
		go s.pump()
	}
}

// ready tells whether the first item may be sent.
func (s *subscriber) ready() bool {
	return !s.gone && len(s.queue) > 0 && (s.queue[0].id == 0 || len(s.inflight) < s.window)
}

// pump sends until there is nothing to send.
func (s *subscriber) pump() {
	for {
		s.mu.Lock()
		if !s.ready() {
			s.pumping = false
			idle := s.idle()
			s.mu.Unlock()
			if idle {
				s.hub.tidy(s)
			}
			return
		}
		it := s.queue[0]
		s.queue[0] = nil
		s.queue = s.queue[1:]
		s.bytes -= it.size
		now := s.hub.s.opts.Now().UnixMilli()
		expired := it.m.Expired(now)
		switch {
		case expired:
			s.expired++
		case it.id != 0:
			s.inflight = append(s.inflight, it)
		}
		s.mu.Unlock()
		select {
		case s.room <- struct{}{}:
		default:
		}
		if expired {
			it.take().Done()
			continue
		}
		err := s.hub.s.send(s.ctx, s.to, mqttTerm(it, now))
		s.mu.Lock()
		it.m = nil // an item in the window needs it no more
		if err == nil {
			s.delivered++
		} else {
			s.dropped++
		}
		s.mu.Unlock()
		if err != nil && it.id != 0 {
			s.ack(it.id)
		}
	}
}

// ack takes {mqtt_ack, Id}.
func (s *subscriber) ack(id int64) {
	s.mu.Lock()
	var t *router.Ticket
	for i, it := range s.inflight {
		if it.id == id {
			t = it.take()
			s.inflight = append(s.inflight[:i], s.inflight[i+1:]...)
			break
		}
	}
	s.start()
	idle := s.idle()
	s.mu.Unlock()
	t.Done()
	if idle {
		s.hub.tidy(s)
	}
}

// idle tells that the subscriber has no subscription any more, and nothing on
// its way. s.mu is held.
func (s *subscriber) idle() bool {
	return !s.gone && len(s.slots) == 0 && len(s.queue) == 0 && len(s.inflight) == 0 && !s.pumping
}

// overdue is called by the timer: publishers have waited long enough. What has
// been sent counts as lost, what has not goes on waiting in the queue.
func (s *subscriber) overdue() {
	s.mu.Lock()
	now := s.hub.s.opts.Now()
	var released []*router.Ticket
	var next time.Time
	late := func(it *item) bool {
		switch {
		case it.due.IsZero():
			return false
		case !it.due.After(now):
			released = append(released, it.take())
			return true
		}
		if it.ticket != nil && (next.IsZero() || it.due.Before(next)) {
			next = it.due
		}
		return false
	}
	kept := s.inflight[:0]
	for _, it := range s.inflight {
		if late(it) {
			s.unacked++
		} else {
			kept = append(kept, it)
		}
	}
	clear(s.inflight[len(kept):])
	s.inflight = kept
	for _, it := range s.queue {
		late(it)
	}
	s.timer = nil
	if !next.IsZero() && !s.gone {
		s.timer = time.AfterFunc(next.Sub(now), s.overdue)
	}
	s.start()
	s.mu.Unlock()
	done(released)
}

// finish ends the subscriber: nothing more is sent, publishers are released. It
// returns the subscriptions to be taken out of the broker.
func (s *subscriber) finish() []*slot {
	s.mu.Lock()
	s.gone = true
	var released []*router.Ticket
	for _, it := range s.queue {
		released = append(released, it.take())
	}
	for _, it := range s.inflight {
		released = append(released, it.take())
	}
	s.queue, s.inflight, s.bytes = nil, nil, 0
	var slots []*slot
	for _, sl := range s.slots {
		slots = append(slots, sl)
	}
	s.slots = nil
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
	s.mu.Unlock()
	s.end()
	done(released)
	return slots
}

// offer queues a retained message for a subscription, waiting for room. It
// reports false when the subscription has ended.
func (s *subscriber) offer(sl *slot, m *message.Message) bool {
	for {
		s.mu.Lock()
		if s.gone || s.slots[sl.sub.Raw] != sl {
			s.mu.Unlock()
			return false
		}
		if len(s.queue) <= s.maxQueue/2 && s.bytes <= queueBytes/2 {
			released := s.push(s.item(sl, m, true))
			s.mu.Unlock()
			done(released)
			return true
		}
		s.mu.Unlock()
		select {
		case <-s.room:
		case <-s.ctx.Done():
			return false
		}
	}
}
