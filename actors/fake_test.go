package actors_test

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"ermine/actors"
	"ermine/actors/kernel"
	"ermine/actors/message"
	"ermine/actors/router"
	"ermine/actors/session"
	"ermine/actors/topic"
)

// wireConn is a client's connection that records what it is sent and
// acknowledges as told.
type wireConn struct {
	mu      sync.Mutex
	got     []session.Outgoing
	acks    []ack
	subacks map[uint16][]byte
	closed  int // DISCONNECT reason, -1 while open
	changed chan struct{}
	blocked bool
	handle  *session.Handle
	auto    bool // acknowledge what comes
}

type ack struct {
	kind session.AckKind
	id   uint16
	code byte
}

func newConn() *wireConn {
	return &wireConn{closed: -1, changed: make(chan struct{}), subacks: map[uint16][]byte{}, auto: true}
}

func (c *wireConn) change() {
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *wireConn) WritePublish(_ int64, p session.Outgoing) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.got = append(c.got, p)
	c.change()
	if c.auto && c.handle != nil {
		switch p.QoS {
		case 1:
			c.handle.Ack(session.Puback, p.PacketID, 0)
		case 2:
			c.handle.Ack(session.Pubrec, p.PacketID, 0)
		}
	}
	return true
}

func (c *wireConn) WriteAck(kind session.AckKind, id uint16, code byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.acks = append(c.acks, ack{kind, id, code})
	c.change()
	if c.auto && c.handle != nil && kind == session.Pubrel {
		c.handle.Ack(session.Pubcomp, id, 0)
	}
}

func (c *wireConn) WriteSuback(id uint16, codes []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.subacks[id] = codes
	c.change()
}

func (c *wireConn) WriteUnsuback(id uint16, codes []byte) { c.WriteSuback(id, codes) }
func (c *wireConn) Flush()                                {}
func (c *wireConn) Writable() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.blocked
}

func (c *wireConn) Disconnect(code byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed < 0 {
		c.closed = int(code)
		c.change()
	}
}

// until waits for cond, which is called with the connection locked.
func (c *wireConn) until(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		c.mu.Lock()
		ok, changed := cond(), c.changed
		c.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			c.mu.Lock()
			defer c.mu.Unlock()
			t.Fatalf("%s: not within 10 s; got %d messages, %d acks %v, subacks %v, closed %d",
				what, len(c.got), len(c.acks), c.acks[max(0, len(c.acks)-5):], c.subacks, c.closed)
		}
	}
}

func startBroker(t testing.TB, edit func(*actors.Config)) *actors.Broker {
	t.Helper()
	cfg := actors.Config{Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Node: "ermine@127.0.0.1", Version: "test"}
	cfg.Retain.Enable, cfg.Delayed.Enable = true, true
	if edit != nil {
		edit(&cfg)
	}
	b := actors.New(cfg)
	if err := b.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := b.Stop(ctx); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return b
}

type client struct {
	*wireConn
	t  testing.TB
	id string
	h  *session.Handle

	present bool
}

var limits = session.Limits{MaxInflight: 32, MaxQueue: 1000, StoreQoS0: true, MaxAwaitingRel: 100, ReceiveMaximum: 32}

func connect(t testing.TB, b *actors.Broker, id string, edit func(*session.OpenRequest)) *client {
	t.Helper()
	c := &client{wireConn: newConn(), t: t, id: id}
	req := session.OpenRequest{
		Client: session.Client{ID: id, Version: 5, Connected: time.Now()}, Conn: c.wireConn, Limits: limits, Expiry: 3600,
	}
	if edit != nil {
		edit(&req)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	o, err := b.Open(ctx, req)
	if err != nil {
		t.Fatalf("open %s: %v", id, err)
	}
	c.h, c.present = o.Handle, o.Present
	c.mu.Lock()
	c.handle = o.Handle
	c.mu.Unlock()
	c.h.Attach()
	return c
}

func subscribeWith(filter string, qos byte) session.SubscribeRequest {
	p, err := topic.ParseFilter(filter)
	if err != nil {
		panic(err)
	}
	sub := &router.Subscription{Raw: filter, Filter: p.Filter, Group: p.Group, Options: router.Options{QoS: qos}}
	return session.SubscribeRequest{PacketID: 1, Subs: []*router.Subscription{sub}, Codes: make([]byte, 1)}
}

func (c *client) subscribe(filter string, qos byte) {
	c.t.Helper()
	if err := c.h.Subscribe(c.t.Context(), subscribeWith(filter, qos)); err != nil {
		c.t.Fatalf("subscribe %s: %v", filter, err)
	}
}

// offline waits until the session knows that its connection has ended.
func (c *client) offline(b *actors.Broker) {
	c.t.Helper()
	eventually(c.t, c.id+" offline", func() bool {
		s, err := b.Session(c.id)
		if err != nil {
			return true
		}
		in, err := s.Inspect(c.t.Context()) // whatever came before has been handled
		return err == nil && !in.Connected
	})
}

// eventually polls cond until it holds, at most 10 s.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for !cond() {
		select {
		case <-time.After(2 * time.Millisecond):
		case <-deadline:
			t.Fatalf("%s: not within 10 s", what)
		}
	}
}

func newMessage(topic, payload string, qos byte) *message.Message {
	return &message.Message{Topic: topic, QoS: qos, Payload: []byte(payload), Received: time.Now().UnixMilli()}
}

func (c *client) publish(topic string, qos byte, id uint16, payload string) {
	c.t.Helper()
	m := newMessage(topic, payload, qos)
	m.Publisher = c.id
	if err := c.h.Publish(m, id); err != nil {
		c.t.Fatalf("publish: %v", err)
	}
}

func (c *client) payloads() []string {
	var out []string
	for _, p := range c.got {
		out = append(out, string(p.Msg.Payload))
	}
	return out
}

// testClock is a clock that stands still until it is told to move, and then
// moves a broker's timers along.
type testClock struct {
	mu    sync.Mutex
	at    time.Time
	wheel *kernel.Wheel
}

// withClock gives a broker a clock of the test's.
func withClock(c *actors.Config) *testClock {
	k := &testClock{at: time.Unix(1_700_000_000, 0)}
	k.wheel = kernel.NewManualWheel(k.at, 100*time.Millisecond)
	c.Now, c.Wheel = k.now, k.wheel
	return k
}

func (c *testClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *testClock) advance(d time.Duration) {
	for ; d > 0; d -= time.Second {
		c.mu.Lock()
		c.at = c.at.Add(min(d, time.Second))
		c.mu.Unlock()
		c.wheel.Advance(min(d, time.Second))
	}
}
