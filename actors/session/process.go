package session

import (
	"fmt"
	"maps"
	"time"

	"ermine/actors/fault"
	"ermine/actors/kernel"
	"ermine/actors/message"
	"ermine/actors/metrics"
	"ermine/actors/router"
)

// Fault points of this package.
var (
	faultOpen    = fault.New("session.open")
	faultDeliver = fault.New("session.deliver")
	faultAck     = fault.New("session.ack")
	faultControl = fault.New("session.control")
	faultManager = fault.New("sessions.receive") // of a session manager
)

// Reason codes that a session sends.
const (
	codeNormal       = 0x00
	codeImplSpecific = 0x83
	codeTakenOver    = 0x8E
	codeKicked       = 0x98
	codeNoSubExisted = 0x11
)

const neverExpires = 0xFFFFFFFF

// process is the actor that runs a Session; it holds nothing of its own, so
// that a restart loses nothing.
type process struct{ *Session }

func (p process) Receive(c *kernel.Context, msg any) {
	s := p.Session
	switch m := msg.(type) {
	case wake:
		s.work(c)
		return
	case kernel.Started:
		s.started(m)
		return
	case kernel.Stopping:
		if !m.Restarting {
			s.host.Wheel.Cancel(&s.timer)
		}
		return
	}
	if _, ok := msg.(RetainedBatch); ok {
		s.hand.Take(msg)
		s.handed = 0
	}
	faultControl.HitOn(s)
	switch m := msg.(type) {
	case Open:
		s.open(m)
	case attach:
		s.attach(m.handle)
	case subscribe:
		s.applySubscribe(m)
	case *subscribed:
		s.finishSubscribe(m)
	case unsubscribe:
		s.applyUnsubscribe(m)
	case *unsubscribed:
		if m.handle != nil && m.handle == s.handle {
			m.handle.conn.WriteUnsuback(m.id, m.codes)
			m.handle.conn.Flush()
		}
	case closed:
		s.drain()
		s.disconnected(m.handle, m.cause)
	case kick:
		m.reply.Send(s.kick(m))
	case inspect:
		m.reply.Send(s.info())
	case RetainedBatch:
		s.retained(m, false)
		s.hand.Done()
	case reannounce:
		if s.alive.Load() {
			s.host.Router.Announce(m.shard, m.epoch, maps.Values(s.state.Subscriptions()))
		}
		m.reply.Send(struct{}{})
	case tick:
		s.tick()
	case released:
		if !s.alive.Load() && m.epoch == s.epoch.Load() {
			s.mgr.forget(s)
			c.StopSelf()
		}
	default:
		c.Logger().Error("unexpected message", "type", fmt.Sprintf("%T", msg))
	}
}

// started brings a session back after a crash: its connection is closed, the
// state is checked, and the inbox goes on where it was.
func (s *Session) started(m kernel.Started) {
	if m.Restarts == 0 {
		if s.state != nil {
			s.respawned()
		}
		return
	}
	s.host.Metrics.Inc(0, metrics.SessionCrashed)
	if s.state != nil {
		s.state.Repair()
	}
	s.inbox.attempts++
	if h := s.handle; h != nil {
		s.sever(h)
	}
	if !s.alive.Load() {
		s.release() // the answer, or the open, may have been the message that was lost
	}
	if again, ok := s.hand.Again(maxAttempts); ok {
		s.retained(again.(RetainedBatch), true)
	}
	s.hand.Done()
	s.send(wake{})
	s.schedule()
}

// sever ends the connection after a crash. When it had ended already, and only
// the session had not been told, what it said then counts.
func (s *Session) sever(h *Handle) {
	h.conn.Disconnect(codeImplSpecific)
	cause := CloseCause{SendWill: true, Reason: "session_crashed"}
	if said := h.cause.Load(); said != nil {
		cause = *said
	}
	s.disconnected(h, cause)
}

// respawned goes on in a new process: the one before ended with its manager,
// between two messages, and what was in its mailbox is lost. A connection stays
// unless that was its attach or its end.
func (s *Session) respawned() {
	if h := s.handle; h != nil && (h.closed.Load() || !h.attached) {
		s.sever(h)
	}
	if !s.alive.Load() {
		s.release()
	}
	s.schedule()
}

// out is the connection to write to; nil while there is none.
func (s *Session) out() out {
	if s.handle == nil || !s.handle.attached {
		return nil
	}
	return s.handle.conn
}

// work handles one batch of the inbox and flushes.
func (s *Session) work(c *kernel.Context) {
	if s.inbox.take() {
		s.batch()
	}
	if s.inbox.done() {
		c.Self().Control(wake{})
	}
	if s.handle != nil && s.handle.attached {
		s.handle.conn.Flush()
	}
}

// drain handles what is in the inbox now, before something that must come
// after it. What comes meanwhile waits for its wake.
func (s *Session) drain() {
	if s.inbox.batch != nil { // of before a crash
		s.batch()
		s.inbox.done()
	}
	if s.inbox.take() {
		s.batch()
	}
	if s.inbox.done() {
		s.send(wake{})
	}
}

// maxAttempts is how often one inbox item may crash the process before it is
// given up.
const maxAttempts = 5

func (s *Session) batch() {
	now := s.host.now()
	b := *s.inbox.batch
	for s.inbox.next < len(b) {
		it := &b[s.inbox.next]
		if s.inbox.attempts == 0 || s.again(it) {
			s.handleItem(now, it)
		}
		if it.ticket != nil {
			it.ticket.Done()
			it.ticket = nil
		}
		s.inbox.next++
		s.inbox.attempts = 0
	}
}

// again decides about an item that was in hand when the process crashed.
func (s *Session) again(it *item) bool {
	if s.inbox.attempts >= maxAttempts {
		s.host.Logger.Error("message dropped: it crashes its session", "client_id", s.id)
		if it.kind == itemDeliver && s.state != nil {
			s.state.drop(metrics.MessagesDropped)
		}
		return false
	}
	return it.kind != itemDeliver || s.state == nil || !s.state.Holds(it.msg, it.sub)
}

func (s *Session) handleItem(now int64, it *item) {
	switch it.kind {
	case itemDeliver:
		faultDeliver.HitOn(s)
		switch {
		case s.alive.Load() && it.sub.Life == s.life:
			s.state.Deliver(now, it.msg, it.sub, false, s.out())
		case it.sub.Group != "" && it.msg.QoS > 0:
			s.host.Router.Redispatch(it.msg, it.sub, nil)
		}
	case itemAck:
		if it.handle != s.handle {
			return // of a connection before this one: the client repeats it
		}
		faultAck.HitOn(s)
		s.ack(now, it)
	case itemWritable:
		if it.handle == s.handle && s.alive.Load() {
			s.state.Pump(now, s.out())
		}
	case itemFlush: // the flush follows the batch
	}
}

func (s *Session) ack(now int64, it *item) {
	ok, missed := false, metrics.PacketsPubackMissed
	switch it.ack {
	case Puback:
		ok = s.state.Puback(now, it.id, s.out())
	case Pubrec:
		ok, missed = s.state.Pubrec(now, it.id, it.code, s.out()), metrics.PacketsPubrecMissed
	case Pubcomp:
		ok, missed = s.state.Pubcomp(now, it.id, s.out()), metrics.PacketsPubcompMissed
	case Pubrel: // the connection answers it, see Handle.Release
		return
	}
	if !ok {
		s.host.Metrics.Inc(it.handle.stripe, missed)
	}
}

// open attaches a connection: a new session, a resumed one, or one taken over
// from another connection [MQTT-3.1.4-3].
func (s *Session) open(m Open) {
	s.epoch.Store(m.Epoch)
	faultOpen.HitOn(s)
	if !m.Reply.Open() { // nobody waits: what there is stays as it is
		if !s.alive.Load() {
			s.release()
		}
		return
	}
	s.drain()
	req := &m.Req
	now := s.host.now()
	if s.alive.Load() && s.willAt != 0 && now >= s.willAt {
		s.publishWill()
	}
	if s.alive.Load() && s.expireAt != 0 && now >= s.expireAt {
		s.end("expired")
	}
	// A session without expiry ends with its connection, which this one takes
	// the place of [MQTT-3.1.2-6].
	present := s.alive.Load() && !req.Clean && (s.handle == nil || s.expiry > 0)
	if old := s.handle; old != nil {
		s.stepDown(old, present)
	} else if s.alive.Load() && s.willAt != 0 && present {
		s.will, s.willAt = nil, 0 // the client is back in time [MQTT-3.1.3-9]
	}
	if s.alive.Load() && !present {
		s.end("discarded")
		s.host.Metrics.Inc(0, metrics.SessionDiscarded)
	}
	h := &Handle{s: s, conn: req.Conn, client: &req.Client, pub: s.host.Router.NewPublisher(), present: present}
	h.stripe = h.pub.Stripe()
	h.acks.init(h)
	if !s.alive.Load() {
		s.begin(h)
	} else {
		s.host.Metrics.Inc(h.stripe, metrics.SessionResumed)
	}
	s.in.attach(h)
	s.lim.Store(&req.Limits)
	s.state.Configure(req.Limits, req.ReceiveMaximum, req.Client.Version == 5)
	s.handle, s.last = h, &req.Client
	s.will, s.willAt = req.Will, 0
	s.expiry, s.expireAt = req.Expiry, 0
	s.relAt = 0
	s.schedule()
	if !m.Reply.Send(Opened{Handle: h, Present: present}) {
		// The connection has given up waiting.
		s.disconnected(h, CloseCause{Reason: "timeout"})
	}
}

func (s *Session) begin(h *Handle) {
	s.state = NewState(s.id, *s.limits(), s.host.Metrics, h.stripe)
	s.in.clear()
	s.created = s.host.Now()
	s.life++
	s.setAlive(true)
	s.inbox.reopen()
	s.host.Metrics.Inc(h.stripe, metrics.SessionCreated)
}

// stepDown ends the connection that another takes over from.
func (s *Session) stepDown(old *Handle, present bool) {
	word := "discarded"
	if present {
		word = "takenover"
		s.host.Metrics.Inc(old.stripe, metrics.SessionTakenover)
	}
	old.conn.Disconnect(codeTakenOver)
	old.shut()
	s.setOnline(false)
	s.handle = nil
	if s.will != nil && (s.will.Delay == 0 || !present) {
		s.publishWill()
	}
	s.will = nil
	s.event(old, CloseCause{Reason: word})
}

func (s *Session) event(h *Handle, cause CloseCause) {
	if !h.attached {
		return // nobody was told that it had connected
	}
	s.host.Metrics.Inc(h.stripe, metrics.ClientDisconnected)
	if f := s.host.Events.Disconnected; f != nil {
		f(h.client, cause)
	}
}

func (s *Session) attach(h *Handle) {
	if h != s.handle || h.attached {
		return
	}
	h.attached = true
	s.setOnline(true)
	s.host.Metrics.Inc(h.stripe, metrics.ClientConnected)
	if f := s.host.Events.Connected; f != nil {
		f(h.client, h.present)
	}
	s.state.Resume(s.host.now(), h.conn)
	h.conn.Flush()
	s.schedule()
}

// disconnected detaches a connection that has ended.
func (s *Session) disconnected(h *Handle, cause CloseCause) {
	if h == nil || h != s.handle {
		return
	}
	h.shut()
	s.handle = nil
	s.setOnline(false)
	s.left = s.host.Now()
	s.relAt = 0 // a client that is away cannot release anything
	s.event(h, cause)
	if cause.HasExpiry {
		s.expiry = cause.Expiry
	}
	now := s.host.now()
	if !cause.SendWill {
		s.will = nil // [MQTT-3.14.4-3]
	}
	if s.will != nil {
		delay := min(s.will.Delay, s.expiry) // [MQTT-3.1.3-9]
		if delay == 0 {
			s.publishWill()
		} else {
			s.willAt = now + int64(delay)*1000
		}
	}
	switch s.expiry {
	case 0:
		s.end("terminated")
		s.release()
		return
	case neverExpires:
		s.expireAt = 0
	default:
		s.expireAt = now + int64(s.expiry)*1000
	}
	s.schedule()
}

func (s *Session) publishWill() {
	w := s.will
	s.will, s.willAt = nil, 0
	m := *w.Msg
	m.Received = s.host.now()
	if w.HasExpiry {
		m.Expires = m.Received + int64(w.Expiry)*1000
	}
	s.host.Publish(s.publisher(), &m, nil)
}

func (s *Session) publisher() *router.Publisher {
	if s.pub == nil {
		s.pub = s.host.Router.NewPublisher()
	}
	return s.pub
}

// end ends the session's life: its filters leave the router, what its share
// groups' other members can take goes to them, its will is published
// [MQTT-3.1.3-9] [MQTT-4.1.0-2].
func (s *Session) end(reason string) {
	if !s.alive.Load() {
		return
	}
	s.setAlive(false)
	if s.will != nil {
		s.publishWill()
	}
	for _, sub := range s.state.Subscriptions() {
		s.host.Router.Unsubscribe(sub, nil)
	}
	orphans := s.state.Orphans()
	for _, it := range s.inbox.close() {
		if it.kind == itemDeliver && it.sub.Group != "" && it.msg.QoS > 0 {
			orphans = append(orphans, Orphan{it.msg, it.sub})
		}
		it.ticket.Done()
	}
	for _, o := range orphans {
		s.host.Router.Redispatch(o.Msg, o.Sub, nil)
	}
	s.state.Reset()
	s.in.clear()
	s.expireAt = 0
	s.host.Wheel.Cancel(&s.timer)
	s.host.Metrics.Inc(0, metrics.SessionTerminated)
	s.host.Logger.Debug("session ended", "client_id", s.id, "reason", reason)
}

// releaseEvery is how often an ended session asks to be let go.
const releaseEvery = 5 * time.Second

// release tells the directory that the session has ended, and again until it
// is answered: the directory may crash on it.
func (s *Session) release() {
	s.host.Release(s, s.epoch.Load())
	s.host.Wheel.Set(&s.timer, releaseEvery, s.process(), tick{})
}

func (s *Session) kick(m kick) bool {
	if !s.alive.Load() {
		return false
	}
	s.drain()
	if h := s.handle; h != nil {
		h.conn.Disconnect(m.code)
		s.expiry = 0
		s.disconnected(h, CloseCause{SendWill: true, Reason: m.word})
		return true
	}
	s.end(m.word)
	s.release()
	return true
}

func (s *Session) applySubscribe(m subscribe) {
	if !s.alive.Load() || m.handle != nil && m.handle != s.handle {
		m.reply.Fail(ErrClosed)
		return
	}
	res := &subscribed{handle: m.handle, req: m.req, fresh: make([]bool, len(m.req.Subs))}
	for i, sub := range m.req.Subs {
		if m.req.Codes[i] >= 0x80 {
			continue
		}
		if n := s.limits().MaxSubscriptions; n > 0 && len(s.state.subs) >= n && s.state.subs[sub.Raw] == nil {
			m.req.Codes[i] = codeQuota
			continue
		}
		sub.To, sub.Life = s, s.life
		m.req.Codes[i] = sub.QoS
		old := s.state.SetSubscription(sub)
		res.fresh[i] = old == nil
		s.host.Router.Subscribe(sub, old, &m.req.Codes[i], &m.wait.Ticket)
	}
	m.reply.Send(res)
}

func (s *Session) finishSubscribe(m *subscribed) {
	if !s.alive.Load() {
		return
	}
	for i, sub := range m.req.Subs {
		if m.req.Codes[i] >= 0x80 && s.state.subs[sub.Raw] == sub {
			s.state.RemoveSubscription(sub.Raw)
		}
	}
	if m.handle != nil && m.handle != s.handle {
		return
	}
	for i, sub := range m.req.Subs {
		if m.req.Codes[i] >= 0x80 {
			continue
		}
		if f := s.host.Events.Subscribed; f != nil && s.last != nil {
			f(s.last, sub)
		}
		send := sub.RetainHandling == 0 || sub.RetainHandling == 1 && m.fresh[i] // [MQTT-3.3.1-9]..[MQTT-3.3.1-11]
		if send && sub.Group == "" {
			s.host.Retained(s, sub)
		}
	}
	// After the store has been asked: what is published behind SUBACK, and
	// retained, is not sent twice. The store's answer comes as a message of its
	// own, behind SUBACK.
	if m.handle != nil {
		m.handle.conn.WriteSuback(m.req.PacketID, m.req.Codes)
		m.handle.conn.Flush()
	}
}

func (s *Session) applyUnsubscribe(m unsubscribe) {
	if !s.alive.Load() || m.handle != nil && m.handle != s.handle {
		m.reply.Fail(ErrClosed)
		return
	}
	res := &unsubscribed{handle: m.handle, id: m.req.PacketID, codes: make([]byte, len(m.req.Filters))}
	for i, raw := range m.req.Filters {
		sub := s.state.RemoveSubscription(raw)
		if sub == nil {
			res.codes[i] = codeNoSubExisted
			continue
		}
		s.host.Router.Unsubscribe(sub, &m.wait.Ticket)
		if f := s.host.Events.Unsubscribed; f != nil && s.last != nil {
			f(s.last, sub)
		}
	}
	m.reply.Send(res)
}

// retained takes retained messages; again says that a crash came in between.
func (s *Session) retained(m RetainedBatch, again bool) {
	if !s.alive.Load() || s.state.subs[m.Sub.Raw] != m.Sub {
		return
	}
	now := s.host.now()
	for _, msg := range m.Msgs[s.handed:] {
		if !msg.Expired(now) && !(again && s.state.Holds(msg, m.Sub)) {
			s.state.Deliver(now, msg, m.Sub, true, s.out())
		}
		s.handed++
		again = false
	}
	if s.handle != nil {
		s.handle.conn.Flush()
	}
}

// schedule arms the timer for whatever is due first.
func (s *Session) schedule() {
	if !s.alive.Load() {
		return
	}
	now := s.host.now()
	l := s.limits()
	if s.retryAt == 0 && l.RetryInterval > 0 && s.handle != nil && !s.state.v5 {
		s.retryAt = now + l.RetryInterval.Milliseconds()
	}
	if s.relAt == 0 && l.AwaitRelTimeout > 0 && s.handle != nil {
		s.relAt = now + l.AwaitRelTimeout.Milliseconds()
	}
	due := int64(0)
	for _, at := range [...]int64{s.willAt, s.expireAt, s.retryAt, s.relAt} {
		if at != 0 && (due == 0 || at < due) {
			due = at
		}
	}
	if due != 0 {
		s.host.Wheel.Set(&s.timer, time.Duration(max(due-now, 1))*time.Millisecond, s.process(), tick{})
	}
}

func (s *Session) tick() {
	if !s.alive.Load() {
		s.release()
		return
	}
	now := s.host.now()
	if s.willAt != 0 && now >= s.willAt {
		s.publishWill()
	}
	if s.expireAt != 0 && now >= s.expireAt {
		s.end("expired")
		s.release()
		return
	}
	if s.retryAt != 0 && now >= s.retryAt {
		s.retryAt = s.state.Retry(now, s.out())
		if s.handle != nil {
			s.handle.conn.Flush()
		}
	}
	if s.relAt != 0 && now >= s.relAt {
		l := s.limits()
		wait := l.AwaitRelTimeout.Milliseconds()
		n, next := s.in.expire(now-wait, l.MaxAwaitingRel)
		if n > 0 {
			s.host.Metrics.Add(0, metrics.MessagesDroppedAwaitPubrelTimeout, uint64(n)) //nolint:gosec // a count
		}
		if s.relAt = 0; next != 0 {
			s.relAt = next + wait
		}
	}
	s.schedule()
}

// Holds reports whether the state already has m for sub: asked after a crash.
func (s *State) Holds(m *message.Message, sub *router.Subscription) bool {
	for i := range s.win.ring.len() {
		if f := s.win.ring.at(i); f.msg == m && f.sub == sub && f.phase != gone {
			return true
		}
	}
	found := false
	s.queue.each(func(w *waiting) { found = found || w.msg == m && w.sub == sub })
	return found
}
