package actors_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"ermine/actors"
	"ermine/actors/fault"
	"ermine/actors/router"
	"ermine/actors/session"
)

// A session that ends with its connection is not resumed by the connection
// that takes over from it.
func TestSessionWithoutExpiryIsNotResumed_MQTT_3_1_2_6(t *testing.T) {
	b := startBroker(t, nil)
	old := connect(t, b, "c", func(r *session.OpenRequest) { v4(r); r.Clean, r.Expiry = true, 0 })
	old.subscribe("t", 1)
	if c := connect(t, b, "c", v4); c.present {
		t.Error("the session of a clean connection was resumed")
	}
	old.until(t, "DISCONNECT 0x8E", func() bool { return old.closed == 0x8E })
	eventually(t, "its filter to go", func() bool { return routes(b) == 0 })
}

func routes(b *actors.Broker) (n int) {
	b.Routes(func(router.Route) bool { n++; return true })
	return n
}

// What a connection said when it ended counts, even if the session crashes on
// hearing it: no will after a DISCONNECT [MQTT-3.14.4-3].
func TestCrashAtDisconnectForgetsTheWill(t *testing.T) {
	b := startBroker(t, nil)
	sub := connect(t, b, "sub", nil)
	sub.subscribe("will", 1)
	c := connect(t, b, "c", func(r *session.OpenRequest) { r.Will = &session.Will{Msg: newMessage("will", "wrong", 0)} })
	armFor(t, "session.control", "panic once", "c")
	c.h.Close(session.CloseCause{Reason: "normal", HasExpiry: true, Expiry: 0})
	eventually(t, "the session to end", func() bool { _, err := b.Session("c"); return err != nil })
	pub := connect(t, b, "pub", nil)
	pub.publish("will", 1, 1, "mark")
	sub.until(t, "the mark", func() bool { return len(sub.got) > 0 })
	if got := sub.payloads(); got[0] != "mark" {
		t.Errorf("got %v", got)
	}
}

// A manager of sessions that crashes, even beyond its intensity, loses none of
// its sessions, and no message that one of them has taken.
func TestManagerCrashKeepsSessions(t *testing.T) {
	b := startBroker(t, func(c *actors.Config) { c.Intensity, c.Period = 3, time.Minute })
	away := connect(t, b, "away", v4)
	away.subscribe("t", 1)
	away.h.Close(session.CloseCause{Reason: "tcp_closed"})
	away.offline(b)
	pub := connect(t, b, "pub", v4)
	flow(t, pub, "t", 0, 10, 1)
	arm(t, "sessions.receive", "panic times 4")
	var o session.Opened
	again := newConn()
	eventually(t, "the session to open", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		req := session.OpenRequest{Client: session.Client{ID: "away", Version: 4}, Conn: again, Limits: limits, Expiry: 3600}
		var err error
		o, err = b.Open(ctx, req)
		return err == nil
	})
	if !o.Present {
		t.Fatal("session lost")
	}
	again.mu.Lock()
	again.handle = o.Handle
	again.mu.Unlock()
	o.Handle.Attach()
	flow(t, pub, "t", 10, 10, 1)
	again.until(t, "20 messages", func() bool { return len(again.got) == 20 })
}

// Clients that hurry to reconnect while their session is given up do not leave
// it behind: its filters go, and what it had taken is acknowledged.
func TestReconnectWhileGivenUp(t *testing.T) {
	b := startBroker(t, func(c *actors.Config) { c.Intensity = 2 })
	pub := connect(t, b, "pub", v4)
	arm(t, "sessions.receive", "delay 3ms") // opens get in front of the news
	for round := range 10 {
		id := fmt.Sprintf("bad%d", round)
		c := connect(t, b, id, v4)
		c.subscribe(id, 1)
		spec, err := fault.Parse("panic")
		if err != nil {
			t.Fatal(err)
		}
		spec.Match = func(s any) bool { return s.(*session.Session).ClientID() == id }
		disarm, err := fault.Arm("session.control", spec)
		if err != nil {
			t.Fatal(err)
		}
		first, err := b.Session(id)
		if err != nil {
			t.Fatal(err)
		}
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					_, _ = b.Open(ctx, session.OpenRequest{Client: session.Client{ID: id, Version: 4}, Conn: newConn(), Limits: limits, Expiry: 3600})
					cancel()
				}
			})
		}
		pub.publish(id, 1, uint16(round+1), "x")
		eventually(t, "the session to be given up", func() bool {
			s, err := b.Session(id)
			return err != nil || s != first
		})
		disarm()
		close(stop)
		wg.Wait()
	}
	pub.until(t, "every acknowledgement", func() bool { return len(pub.acks) == 10 })
	eventually(t, "every filter to go", func() bool { return routes(b) == 0 })
}

// A session that crashes in the middle of what is retained goes on there.
func TestCrashAmongRetainedMessages(t *testing.T) {
	b := startBroker(t, nil)
	const n = 20
	for i := range n {
		m := newMessage(fmt.Sprintf("r/%02d", i), fmt.Sprint(i), 1)
		m.Retain = true
		if _, err := b.Publish(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	first := &brittleConn{wireConn: newConn(), breaks: 10}
	first.auto = false
	o, err := b.Open(t.Context(), session.OpenRequest{
		Client: session.Client{ID: "sub", Version: 4}, Conn: first, Limits: limits, Expiry: 3600,
	})
	if err != nil {
		t.Fatal(err)
	}
	o.Handle.Attach()
	if err := o.Handle.Subscribe(t.Context(), subscribeWith("r/#", 1)); err != nil {
		t.Fatal(err)
	}
	first.until(t, "the crash", func() bool { return first.closed >= 0 })
	again := connect(t, b, "sub", v4)
	again.until(t, "all messages", func() bool { return len(again.got) >= n })
	again.publish("mark", 0, 0, "mark")
	again.subscribe("mark", 0)
	again.publish("mark", 0, 0, "mark")
	again.until(t, "the mark", func() bool { return string(again.got[len(again.got)-1].Msg.Payload) == "mark" })
	again.got = again.got[:len(again.got)-1]
	received(t, []*client{{wireConn: first.wireConn}, again}, n)
}

// brittleConn panics at one of its messages.
type brittleConn struct {
	*wireConn
	breaks int
}

func (c *brittleConn) WritePublish(now int64, p session.Outgoing) bool {
	if c.breaks--; c.breaks == 0 {
		panic("brittle")
	}
	return c.wireConn.WritePublish(now, p)
}
