package actors_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"ermine/actors"
	"ermine/actors/session"
)

// An MQTT 3 client that sends thousands of QoS 2 messages before its first
// PUBREL is read on: the PUBRELs that let the held PUBRECs go come behind them.
func TestBurstOfQoS2IsReadOn(t *testing.T) {
	b := startBroker(t, nil)
	pub := connect(t, b, "pub", v4)
	const n = 3000
	done := make(chan struct{})
	go func() {
		defer close(done)
		for id := range n {
			m := newMessage("t", fmt.Sprint(id), 2)
			if err := pub.h.Publish(m, uint16(id+1)); err != nil {
				t.Errorf("publish %d: %v", id, err)
				return
			}
		}
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("the connection is not read any more")
	}
	for id := range n {
		pub.until(t, "PUBREC", func() bool { return slices.Contains(pub.acks, ack{session.Pubrec, uint16(id + 1), 0x10}) })
		pub.h.Release(uint16(id + 1))
	}
}

// PUBRECs that were held back leave when the identifiers before them time out.
func TestHeldPubrecLeavesAfterAwaitRelTimeout(t *testing.T) {
	var clock *testClock
	b := startBroker(t, func(c *actors.Config) { clock = withClock(c) })
	pub := connect(t, b, "pub", func(r *session.OpenRequest) {
		v4(r)
		r.Limits.MaxAwaitingRel, r.Limits.AwaitRelTimeout = 1, 10*time.Second
	})
	pub.publish("t", 2, 1, "a")
	pub.publish("t", 2, 2, "b")
	pub.publish("t", 1, 3, "c")
	pub.until(t, "the first PUBREC", func() bool { return len(pub.acks) == 1 })
	eventually(t, "the acknowledgements behind it", func() bool {
		clock.advance(time.Second)
		pub.mu.Lock()
		defer pub.mu.Unlock()
		return len(pub.acks) == 3
	})
}

// await_rel_timeout does not run while the client is away: what it sends again
// then is still known [MQTT-4.3.3-10].
func TestQoS2IsExactlyOnceAfterALongAbsence(t *testing.T) {
	var clock *testClock
	b := startBroker(t, func(c *actors.Config) { clock = withClock(c) })
	sub := connect(t, b, "sub", nil)
	sub.subscribe("t", 2)
	edit := func(r *session.OpenRequest) { r.Limits.AwaitRelTimeout = 10 * time.Second }
	pub := connect(t, b, "pub", edit)
	pub.publish("t", 2, 1, "once")
	pub.until(t, "PUBREC", func() bool { return len(pub.acks) == 1 })
	pub.h.Close(session.CloseCause{Reason: "tcp_closed"})
	pub.offline(b)
	clock.advance(60 * time.Second)
	pub = connect(t, b, "pub", edit)
	clock.advance(time.Second)
	pub.publish("t", 2, 1, "once")
	pub.until(t, "PUBREC", func() bool { return len(pub.acks) == 1 })
	pub.h.Release(1)
	pub.publish("t", 2, 1, "last")
	sub.until(t, "the last message", func() bool { return slices.Contains(sub.payloads(), "last") })
	if got := sub.payloads(); !slices.Equal(got, []string{"once", "last"}) {
		t.Errorf("got %v", got)
	}
}

// A QoS 2 publish counts against the server's Receive Maximum until PUBCOMP.
func TestReceiveMaximumCountsUntilPubcomp_MQTT_3_3_4_7(t *testing.T) {
	b := startBroker(t, nil)
	edit := func(r *session.OpenRequest) { r.Limits.ReceiveMaximum = 2 }
	pub := connect(t, b, "pub", edit)
	publish := func(qos byte, id uint16) error { return pub.h.Publish(newMessage("t", "x", qos), id) }
	for id := uint16(1); id <= 2; id++ {
		if err := publish(2, id); err != nil {
			t.Fatal(err)
		}
	}
	pub.until(t, "PUBRECs", func() bool { return len(pub.acks) == 2 })
	if err := publish(1, 3); !errors.Is(err, session.ErrReceiveMaximum) {
		t.Errorf("a third publish: %v", err)
	}
	pub.h.Release(1)
	if err := publish(1, 3); err != nil {
		t.Errorf("after a PUBCOMP: %v", err)
	}
	pub.h.Close(session.CloseCause{Reason: "tcp_closed"})
	pub.offline(b)
	// The quota is new with each connection, and what is sent again counts.
	pub = connect(t, b, "pub", edit)
	if err := errors.Join(publish(2, 2), publish(2, 7)); err != nil {
		t.Errorf("after a reconnect: %v", err)
	}
	if err := publish(2, 8); !errors.Is(err, session.ErrReceiveMaximum) {
		t.Errorf("a third publish after a reconnect: %v", err)
	}
}

// A connection that has lost its session to a clean start leaves no identifier
// in the new one.
func TestOldConnectionTouchesNoNewIdentifiers(t *testing.T) {
	b := startBroker(t, nil)
	old := connect(t, b, "c", nil)
	again := connect(t, b, "c", func(r *session.OpenRequest) { r.Clean = true })
	if err := old.h.Publish(newMessage("t", "x", 2), 1); !errors.Is(err, session.ErrClosed) {
		t.Errorf("publish on the old connection: %v", err)
	}
	again.publish("t", 2, 1, "y")
	old.h.Release(1)
	again.publish("t", 2, 2, "z")
	s, err := b.Session("c")
	if err != nil {
		t.Fatal(err)
	}
	if in, err := s.Inspect(t.Context()); err != nil || in.AwaitingRel != 2 {
		t.Errorf("%d identifiers await PUBREL, %v; want 2", in.AwaitingRel, err)
	}
}
