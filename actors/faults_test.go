package actors_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"testing"
	"time"

	"ermine/actors"
	"ermine/actors/fault"
	"ermine/actors/kernel"
	"ermine/actors/message"
	"ermine/actors/metrics"
	"ermine/actors/router"
	"ermine/actors/session"
)

// arm arms a fault point for the test.
func arm(t *testing.T, point, what string) { armFor(t, point, what, "") }

// armFor arms a fault point of sessions for one client ID; of any when empty.
func armFor(t *testing.T, point, what, id string) {
	t.Helper()
	spec, err := fault.Parse(what)
	if err != nil {
		t.Fatal(err)
	}
	if id != "" {
		spec.Match = func(subject any) bool { return subject.(*session.Session).ClientID() == id }
	}
	disarm, err := fault.Arm(point, spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(disarm)
}

// flow publishes n messages of a QoS from its own client and waits for their
// acknowledgements.
func flow(t *testing.T, pub *client, topic string, from, n int, qos byte) {
	t.Helper()
	for i := from; i < from+n; i++ {
		pub.publish(topic, qos, uint16(i+1), fmt.Sprint(i))
	}
	pub.until(t, "acknowledgements", func() bool { return len(pub.acks) >= from+n })
}

// received checks that a client has 0..n-1 in order, each at least once, and
// more than once only with DUP.
func received(t *testing.T, conns []*client, n int) {
	t.Helper()
	next, dup := 0, 0
	seen := map[string]bool{}
	for _, c := range conns {
		for _, o := range c.got {
			p := string(o.Msg.Payload)
			if seen[p] {
				if !o.Dup {
					t.Errorf("message %s twice without DUP", p)
				}
				dup++
				continue
			}
			if p != fmt.Sprint(next) {
				t.Fatalf("got %s, want %d", p, next)
			}
			seen[p] = true
			next++
		}
	}
	if next != n {
		t.Fatalf("got %d messages, want %d (%d duplicates)", next, n, dup)
	}
}

func v4(r *session.OpenRequest) { r.Client.Version = 4; r.Limits.MaxQueue = 0 }

// A session that crashes loses its connection and nothing else: not a message,
// and nobody else's connection.
func TestSessionCrashLosesNoMessage(t *testing.T) {
	for _, point := range []string{"session.deliver", "session.ack", "session.control"} {
		t.Run(point, func(t *testing.T) {
			b := startBroker(t, nil)
			sub := connect(t, b, "sub", v4)
			sub.subscribe("t", 1)
			other := connect(t, b, "other", v4)
			other.subscribe("t", 1)
			pub := connect(t, b, "pub", v4)
			flow(t, pub, "t", 0, 50, 1)
			armFor(t, point, "panic once", "sub")
			conns := []*client{sub}
			for i := 50; i < 200; i += 10 {
				flow(t, pub, "t", i, 10, 1)
			}
			if point == "session.control" {
				sess, err := b.Session("sub")
				if err != nil {
					t.Fatal(err)
				}
				if _, err := sess.Inspect(t.Context()); err == nil {
					t.Error("the fault was not hit")
				}
			}
			sub.until(t, "the connection of the crashed session to close", func() bool { return sub.closed >= 0 })
			if other.closed >= 0 || pub.closed >= 0 {
				t.Error("another connection was closed")
			}
			again := connect(t, b, "sub", v4)
			conns = append(conns, again)
			again.until(t, "the rest", func() bool {
				sub.mu.Lock()
				defer sub.mu.Unlock()
				got := map[string]bool{}
				for _, c := range conns {
					for _, o := range c.got {
						got[string(o.Msg.Payload)] = true
					}
				}
				return len(got) == 200
			})
			received(t, conns, 200)
		})
	}
}

// A topic shard that crashes is rebuilt from the sessions: nobody is
// disconnected, no publish misses a subscriber, and a SUBSCRIBE in hand is
// still answered.
func TestShardCrashDisconnectsNobody(t *testing.T) {
	b := startBroker(t, func(c *actors.Config) { c.Shards = 1 })
	sub := connect(t, b, "sub", v4)
	for i := range 20 {
		sub.subscribe(fmt.Sprintf("t/%d", i), 1)
	}
	sub.subscribe("$share/g/s/+", 1)
	pub := connect(t, b, "pub", v4)
	for i := range 60 {
		if i%10 == 0 {
			arm(t, "shard.receive", "panic once")
		}
		sub.subscribe(fmt.Sprintf("u/%d", i), 1)
		flow(t, pub, fmt.Sprintf("t/%d", i%20), i, 1, 1)
	}
	sub.subscribe("last", 1)
	pub.publish("s/1", 1, 1000, "60")
	sub.until(t, "61 messages", func() bool { return len(sub.got) == 61 })
	received(t, []*client{sub}, 61)
	if sub.closed >= 0 || pub.closed >= 0 {
		t.Error("a connection was closed")
	}
}

func TestShareGroupCrashKeepsMembers(t *testing.T) {
	b := startBroker(t, nil)
	pub := connect(t, b, "pub", v4)
	var members []*client
	for i := range 10 {
		if i%3 == 1 {
			arm(t, "sharegroup.receive", "panic once")
		}
		m := connect(t, b, fmt.Sprintf("m%d", i), v4)
		m.subscribe("$share/g/t", 1)
		members = append(members, m)
	}
	flow(t, pub, "t", 0, 200, 1)
	eventually(t, "200 messages at the members", func() bool {
		total := 0
		for _, m := range members {
			m.mu.Lock()
			total += len(m.got)
			m.mu.Unlock()
		}
		return total == 200
	})
}

func TestRetainedStoreCrashLosesNothing(t *testing.T) {
	b := startBroker(t, nil)
	pub := connect(t, b, "pub", v4)
	for i := range 50 {
		if i%10 == 5 {
			pub.until(t, "PUBACKs", func() bool { return len(pub.acks) == i })
			arm(t, "retain.receive", "panic times 2")
		}
		m := newMessage(fmt.Sprintf("r/%02d", i), fmt.Sprint(i), 1)
		m.Retain = true
		if err := pub.h.Publish(m, uint16(i+1)); err != nil {
			t.Fatal(err)
		}
	}
	pub.until(t, "50 PUBACKs", func() bool { return len(pub.acks) == 50 })
	if n := b.Retained().Count(); n != 50 {
		t.Errorf("%d retained, want 50", n)
	}
	sub := connect(t, b, "sub", v4)
	sub.subscribe("r/#", 1)
	sub.until(t, "50 retained", func() bool { return len(sub.got) == 50 })
	received(t, []*client{sub}, 50)
}

func TestDirectoryCrashIsRetried(t *testing.T) {
	b := startBroker(t, nil)
	for i := range 100 {
		if i%15 == 5 {
			arm(t, "directory.receive", "panic once")
		}
		c := connect(t, b, fmt.Sprintf("c%d", i%10), v4)
		if i >= 10 && !c.present {
			t.Fatalf("open %d: session not present", i)
		}
	}
}

// Failures beyond the intensity lead upward and end the broker.
func TestIntensityLeadsUpward(t *testing.T) {
	b := actors.New(actors.Config{Intensity: 3, Period: time.Minute, Logger: slog.New(slog.DiscardHandler)})
	if err := b.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Stop(context.Background()) })
	arm(t, "shard.receive", "panic")
	stop := time.After(30 * time.Second)
	for b.Err() == nil {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		_ = b.Subscribe(ctx, &router.Subscription{Raw: "t", Filter: "t", To: nobody{}})
		cancel()
		select {
		case <-b.Done():
		case <-stop:
			t.Fatal("the broker still runs")
		default:
		}
	}
	var fatal *kernel.FatalError
	if !errors.As(b.Err(), &fatal) || fatal.Root != "router" {
		t.Errorf("reason %v, want the root router", b.Err())
	}
}

// nobody is a subscriber that has ended.
type nobody struct{}

func (nobody) ClientID() string { return "nobody" }
func (nobody) Deliver(*message.Message, *router.Subscription, *router.Ticket) router.Result {
	return router.Gone
}
func (nobody) Online() bool { return false }
func (nobody) WaitIdle()    {}

// A thousand crashes, spread over sessions within their intensity, leave
// nothing behind: no goroutine, no actor, no message.
func TestThousandCrashesLeakNothing(t *testing.T) {
	b := startBroker(t, nil)
	pub := connect(t, b, "pub", v4)
	const clients, crashes = 200, 5
	conns := make([]*client, clients)
	for i := range conns {
		conns[i] = connect(t, b, fmt.Sprintf("c%d", i), v4)
		conns[i].subscribe("t/"+conns[i].id, 1)
	}
	goroutines, alive := runtime.NumGoroutine(), b.Actors().Actors
	seen := make([]map[string]bool, clients)
	sent := 0
	for n := range crashes {
		for i, c := range conns {
			armFor(t, "session.deliver", "panic once", c.id)
			pub.publish("t/"+c.id, 1, uint16(sent%65535+1), fmt.Sprint(n))
			sent++
			c.until(t, "the crash", func() bool { return c.closed >= 0 })
			if seen[i] == nil {
				seen[i] = map[string]bool{}
			}
			old := c
			conns[i] = connect(t, b, c.id, v4)
			if !conns[i].present {
				t.Fatalf("%s: session lost", c.id)
			}
			conns[i].until(t, "the message", func() bool {
				for _, from := range []*client{old, conns[i]} {
					for _, o := range from.got {
						seen[i][string(o.Msg.Payload)] = true
					}
				}
				return len(seen[i]) == n+1
			})
		}
	}
	pub.until(t, "every PUBACK", func() bool { return len(pub.acks) == sent })
	eventually(t, "actors as before", func() bool { return b.Actors().Actors == alive })
	eventually(t, "goroutines as before", func() bool { return runtime.NumGoroutine() <= goroutines+5 })
	if got := b.Metrics().Get(metrics.SessionCrashed); got != clients*crashes {
		t.Errorf("%d crashes counted, want %d", got, clients*crashes)
	}
}

// A session that keeps crashing is given up alone: its manager, its neighbours
// and the broker go on, and its client can connect again.
func TestHopelessSessionIsGivenUpAlone(t *testing.T) {
	b := startBroker(t, nil)
	bad := connect(t, b, "bad", v4)
	good := connect(t, b, "good", v4)
	good.subscribe("t", 1)
	spec, err := fault.Parse("panic")
	if err != nil {
		t.Fatal(err)
	}
	spec.Match = func(s any) bool { return s.(*session.Session).ClientID() == "bad" }
	disarm, err := fault.Arm("session.control", spec)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the session to be given up", func() bool {
		s, err := b.Session("bad")
		if err != nil {
			return true
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, _ = s.Inspect(ctx)
		return false
	})
	disarm()
	bad.until(t, "its connection to close", func() bool { return bad.closed >= 0 })
	if again := connect(t, b, "bad", v4); again.present {
		t.Error("a given up session is present")
	}
	pub := connect(t, b, "pub", v4)
	flow(t, pub, "t", 0, 10, 1)
	good.until(t, "10 messages", func() bool { return len(good.got) == 10 })
	if good.closed >= 0 || b.Err() != nil {
		t.Error("the neighbour or the broker was hit")
	}
}
