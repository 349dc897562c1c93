package session

import (
	"context"
	"sync/atomic"
	"time"

	"ermine/actors/kernel"
	"ermine/actors/message"
	"ermine/actors/metrics"
	"ermine/actors/router"
)

// Handle is a connection's way to its session. Its methods are called by the
// connection's own goroutine only, unless they say otherwise.
type Handle struct {
	s      *Session
	conn   Connection
	client *Client
	pub    *router.Publisher
	acks   acks
	stripe uint32

	reading atomic.Bool // the connection's goroutine waits: others must flush
	closed  atomic.Bool
	cause   atomic.Pointer[CloseCause] // what Close was told

	// Of the process.
	attached bool
	present  bool // the session was there before
}

// Client is what the connection told of the client.
func (h *Handle) Client() *Client { return h.client }

// Stripe is the counter stripe of this connection.
func (h *Handle) Stripe() uint32 { return h.stripe }

// Attach lets the session begin to send: call it once CONNACK has been written.
// Any goroutine.
func (h *Handle) Attach() { h.s.send(attach{h}) }

// Idle tells the session that the connection's goroutine is about to wait for
// input, so that acknowledgements which complete from now on are flushed by
// the process. The caller flushes the connection itself afterwards.
func (h *Handle) Idle() { h.reading.Store(true) }

// idle is Idle for a wait inside a method.
func (h *Handle) idle() {
	h.reading.Store(true)
	h.conn.Flush()
}

// Publish routes a PUBLISH, already validated and authorised, and sees to its
// acknowledgement: nothing is left to do for the caller. m.Publisher and
// m.Received are set by the caller. It blocks while a subscriber's inbox is
// over its watermark or, for MQTT 3, while too many publishes are
// unacknowledged. Errors: ErrReceiveMaximum; ErrClosed after a takeover.
func (h *Handle) Publish(m *message.Message, id uint16) error {
	if h.reading.Load() {
		h.reading.Store(false)
	}
	if h.closed.Load() {
		return ErrClosed
	}
	switch m.QoS {
	case 0:
		h.s.host.Publish(h.pub, m, nil)
	case 1:
		r, err := h.acks.begin(Puback, id, h.s.limits().ReceiveMaximum, h.client.Version == 5)
		if err != nil {
			return err
		}
		h.route(m, r)
	default:
		if err := h.publish2(m, id); err != nil {
			return err
		}
	}
	if h.pub.Busy() {
		h.idle()
		h.pub.Throttle(h.s.host.Metrics)
		h.reading.Store(false)
	}
	return nil
}

const (
	codeNoSubscribers = 0x10
	codeQuota         = 0x97
	codeIDNotFound    = 0x92
)

func (h *Handle) route(m *message.Message, r *receipt) {
	code := byte(codeNoSubscribers)
	defer func() {
		if p := recover(); p != nil {
			// The message may have reached some subscribers: it is not
			// acknowledged, and the client sends it again.
			h.acks.close()
			if r.kind == Pubrec {
				h.s.in.drop(h, r.id)
			}
			panic(p)
		}
	}()
	if h.s.host.Publish(h.pub, m, &r.Ticket) > 0 {
		code = 0
	}
	h.acks.finish(r, code)
}

// publish2 is the receiving half of QoS 2 [MQTT-4.3.3-8]..[MQTT-4.3.3-12].
func (h *Handle) publish2(m *message.Message, id uint16) error {
	v5 := h.client.Version == 5
	r, err := h.acks.begin(Pubrec, id, h.s.limits().ReceiveMaximum, v5)
	if err != nil {
		return err
	}
	switch h.s.in.begin(h, r, h.s.host.now(), h.s.limits().MaxAwaitingRel, !v5) {
	case stale:
		return ErrClosed
	case duplicate:
		h.s.host.Metrics.Inc(h.stripe, metrics.PacketsPublishInuse)
		h.acks.finish(r, 0)
	case full:
		h.s.host.Metrics.Inc(h.stripe, metrics.PacketsPublishDropped)
		h.acks.finish(r, codeQuota)
	case fresh, held:
		h.route(m, r)
	}
	return nil
}

// Release answers a PUBREL with PUBCOMP.
func (h *Handle) Release(id uint16) {
	code := byte(0)
	if !h.s.in.release(h, id, h.s.limits().MaxAwaitingRel) {
		code = codeIDNotFound
		h.s.host.Metrics.Inc(h.stripe, metrics.PacketsPubrelMissed)
	}
	h.conn.WriteAck(Pubcomp, id, code)
}

// Ack hands a PUBACK, PUBREC or PUBCOMP to the session. It never blocks.
func (h *Handle) Ack(kind AckKind, id uint16, code byte) {
	h.s.post(item{kind: itemAck, ack: kind, id: id, code: code, handle: h})
}

// Writable tells the session that the output buffer has drained. Any goroutine.
func (h *Handle) Writable() { h.s.post(item{kind: itemWritable, handle: h}) }

// shardWait bounds how long a SUBSCRIBE or UNSUBSCRIBE waits for topic shards.
const shardWait = 10 * time.Second

// waiter completes by closing its channel.
type waiter struct {
	router.Ticket
	done chan struct{}
}

func newWaiter() *waiter {
	w := &waiter{done: make(chan struct{})}
	w.Owner = w
	w.Start()
	return w
}

// Complete lets wait return.
func (w *waiter) Complete() { close(w.done) }

// wait releases the caller's own place and waits for the others.
func (w *waiter) wait(ctx context.Context) error {
	if w.Release() {
		return nil
	}
	t := time.NewTimer(shardWait)
	defer t.Stop()
	select {
	case <-w.done:
		return nil
	case <-t.C:
		return ErrTimeout
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Subscribe routes the filters of a SUBSCRIBE and then has SUBACK written,
// followed by retained messages. It returns once every publish finds the
// filters. Errors: ErrClosed, ErrTimeout, ctx's error.
func (h *Handle) Subscribe(ctx context.Context, req SubscribeRequest) error {
	return h.s.subscribe(ctx, h, req)
}

// Unsubscribe takes the filters of an UNSUBSCRIBE out and then has UNSUBACK
// written. Errors as for Subscribe.
func (h *Handle) Unsubscribe(ctx context.Context, req UnsubscribeRequest) error {
	return h.s.unsubscribe(ctx, h, req)
}

func (s *Session) subscribe(ctx context.Context, h *Handle, req SubscribeRequest) error {
	return change(ctx, s, h, func(w *waiter, r kernel.Reply[*subscribed]) any {
		return subscribe{handle: h, req: req, wait: w, reply: r}
	})
}

func (s *Session) unsubscribe(ctx context.Context, h *Handle, req UnsubscribeRequest) error {
	return change(ctx, s, h, func(w *waiter, r kernel.Reply[*unsubscribed]) any {
		return unsubscribe{handle: h, req: req, wait: w, reply: r}
	})
}

// change asks the process for a change of its subscriptions, waits for the topic
// shards, and hands the process's answer back to it to be acknowledged.
func change[T any](ctx context.Context, s *Session, h *Handle, request func(*waiter, kernel.Reply[T]) any) error {
	if h != nil {
		h.idle()
	}
	w := newWaiter()
	done, err := kernel.Call(ctx, s.process(), func(r kernel.Reply[T]) any { return request(w, r) })
	if err != nil {
		return err
	}
	if err := w.wait(ctx); err != nil {
		return err
	}
	s.send(done)
	return nil
}

// Close tells the session that the connection has ended. Idempotent; any
// goroutine.
func (h *Handle) Close(cause CloseCause) {
	h.cause.CompareAndSwap(nil, &cause)
	if h.shut() {
		h.s.send(closed{handle: h, cause: cause})
	}
}

// shut stops everything that waits on the connection; it reports true once.
func (h *Handle) shut() bool {
	if h.closed.Swap(true) {
		return false
	}
	h.acks.close()
	return true
}
