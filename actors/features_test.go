package actors_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"ermine/actors"
	"ermine/actors/metrics"
	"ermine/actors/router"
	"ermine/actors/session"
)

// spread publishes n messages from each publisher to topics t/0.. and returns
// how many each member of a group got, by member and publisher.
func spread(t *testing.T, strategy router.Strategy, members, publishers, n int) map[string]map[string]int {
	t.Helper()
	b := startBroker(t, func(c *actors.Config) {
		c.Strategy = func(string) router.Strategy { return strategy }
		c.InitialSticky = router.Random
	})
	var ms []*client
	for i := range members {
		m := connect(t, b, fmt.Sprintf("m%d", i), v4)
		m.subscribe("$share/g/t/#", 0)
		ms = append(ms, m)
	}
	for p := range publishers {
		pub := connect(t, b, fmt.Sprintf("p%d", p), v4)
		for i := range n {
			pub.publish(fmt.Sprintf("t/%d", i%10), 0, 0, pub.id)
		}
	}
	got := map[string]map[string]int{}
	eventually(t, "every message once", func() bool {
		total := 0
		for _, m := range ms {
			m.mu.Lock()
			got[m.id] = map[string]int{}
			for _, o := range m.got {
				got[m.id][string(o.Msg.Payload)]++
				got[m.id][o.Msg.Topic]++
				total++
			}
			m.mu.Unlock()
		}
		return total == publishers*n
	})
	return got
}

func TestShareStrategies(t *testing.T) {
	for _, s := range []router.Strategy{router.RoundRobin, router.RoundRobinPerGroup} {
		for id, got := range spread(t, s, 4, 1, 400) {
			if got["p0"] != 100 {
				t.Errorf("%s: %s got %d of 400", s, id, got["p0"])
			}
		}
	}
	for _, s := range []router.Strategy{router.Random, router.Local} {
		for id, got := range spread(t, s, 4, 1, 2000) {
			if got["p0"] < 350 || got["p0"] > 650 { // 500 expected, 7 sigma
				t.Errorf("%s: %s got %d of 2000", s, id, got["p0"])
			}
		}
	}
	one := func(s router.Strategy, what func(map[string]map[string]int) error) {
		if err := what(spread(t, s, 4, 6, 100)); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
	whole := func(prefix string, n int) func(map[string]map[string]int) error {
		return func(got map[string]map[string]int) error {
			for member, by := range got {
				for key, k := range by {
					if strings.HasPrefix(key, prefix) && k != n {
						return fmt.Errorf("%s got %d of the %d of %s", member, k, n, key)
					}
				}
			}
			return nil
		}
	}
	one(router.Sticky, whole("p", 100))
	one(router.HashClientID, whole("p", 100))
	one(router.HashTopic, whole("t/", 60))
}

func TestShareGroupPrefersOnlineAndRedispatches(t *testing.T) {
	b := startBroker(t, nil)
	away := connect(t, b, "away", v4)
	away.subscribe("$share/g/t", 1)
	away.h.Close(session.CloseCause{Reason: "normal"})
	away.offline(b)
	here := connect(t, b, "here", v4)
	here.auto = false // acknowledges nothing
	here.subscribe("$share/g/t", 1)
	pub := connect(t, b, "pub", v4)
	flow(t, pub, "t", 0, 50, 1)
	here.until(t, "its window", func() bool { return len(here.got) == limits.MaxInflight })
	// Nobody else is online when it goes for good: the rest waits for the one
	// that is away.
	here.h.Close(session.CloseCause{Reason: "normal", HasExpiry: true})
	again := connect(t, b, "away", v4)
	again.until(t, "what the other did not acknowledge", func() bool { return len(again.got) == 50 })
	seen := map[string]bool{}
	for _, p := range again.payloads() {
		seen[p] = true
	}
	if len(seen) != 50 {
		t.Errorf("%d different messages, want 50", len(seen))
	}
}

func TestExclusive(t *testing.T) {
	b := startBroker(t, nil)
	one, two := connect(t, b, "one", v4), connect(t, b, "two", v4)
	ask := func(c *client) byte {
		t.Helper()
		req := subscribeWith("$exclusive/t", 1)
		req.Subs[0].Exclusive = true
		if err := c.h.Subscribe(t.Context(), req); err != nil {
			t.Fatal(err)
		}
		return req.Codes[0]
	}
	if code := ask(one); code != 1 {
		t.Fatalf("first: 0x%02x", code)
	}
	if code := ask(one); code != 1 {
		t.Errorf("again by the same client: 0x%02x", code)
	}
	if code := ask(two); code != 0x97 {
		t.Errorf("by another: 0x%02x", code)
	}
	pub := connect(t, b, "pub", v4)
	pub.publish("t", 0, 0, "x")
	one.until(t, "the message", func() bool { return len(one.got) == 1 })
	if err := one.h.Unsubscribe(t.Context(), session.UnsubscribeRequest{PacketID: 2, Filters: []string{"$exclusive/t"}}); err != nil {
		t.Fatal(err)
	}
	if code := ask(two); code != 1 {
		t.Errorf("after the first has left: 0x%02x", code)
	}
	if len(two.got) != 0 {
		t.Error("a refused subscription got a message")
	}
}

func TestDelayed(t *testing.T) {
	var clock *testClock
	b := startBroker(t, func(c *actors.Config) { c.Delayed.Max = 2; clock = withClock(c) })
	sub := connect(t, b, "sub", v4)
	sub.subscribe("t", 1)
	pub := connect(t, b, "pub", nil)
	pub.publish("$delayed/1/t", 1, 1, "late")
	pub.publish("$delayed/0/t", 1, 2, "now")
	eventually(t, "the one that is due", func() bool {
		clock.advance(100 * time.Millisecond)
		sub.mu.Lock()
		defer sub.mu.Unlock()
		return len(sub.got) == 1
	})
	pub.publish("$delayed/60/t", 1, 3, "never")
	eventually(t, "two waiting", func() bool { return b.Delayed().Count() == 2 })
	pub.publish("$delayed/60/t", 1, 4, "one too many")
	pub.until(t, "acknowledgements", func() bool { return len(pub.acks) == 4 })
	if pub.acks[3].code != 0x10 {
		t.Errorf("beyond max_delayed_messages: 0x%02x", pub.acks[3].code)
	}
	clock.advance(time.Second)
	sub.until(t, "the one second", func() bool { return len(sub.got) == 2 })
	if got := sub.payloads(); !slices.Equal(got, []string{"now", "late"}) {
		t.Errorf("got %v", got)
	}
}

func TestRetained(t *testing.T) {
	var clock *testClock
	b := startBroker(t, func(c *actors.Config) {
		clock = withClock(c)
		c.Retain.MaxMessages, c.Retain.MaxPayload, c.Retain.DeliveryRate = 3, 10, 2
	})
	pub := connect(t, b, "pub", nil)
	id := uint16(0)
	retain := func(topic, payload string, expiry time.Duration) {
		t.Helper()
		id++
		m := newMessage(topic, payload, 1)
		m.Retain, m.Received = true, clock.now().UnixMilli()
		if expiry > 0 {
			m.Expires = m.Received + expiry.Milliseconds()
		}
		if err := pub.h.Publish(m, id); err != nil {
			t.Fatal(err)
		}
		pub.until(t, "PUBACK", func() bool { return len(pub.acks) == int(id) })
	}
	retain("a", "1", 0)
	retain("a/b", "2", 0)
	retain("a/b", "3", 0) // replaces
	retain("a/c", "4", time.Minute)
	retain("d", "too many", 0)
	retain("a", "much too large", 0) // is not kept, and does not delete
	if n := b.Retained().Count(); n != 3 {
		t.Fatalf("%d retained, want 3", n)
	}
	sub := connect(t, b, "sub", nil)
	sub.subscribe("a/#", 1) // 2 a second: the third comes later
	sub.until(t, "2 retained", func() bool { return len(sub.got) == 2 })
	eventually(t, "the third, a second later", func() bool {
		clock.advance(time.Second)
		sub.mu.Lock()
		defer sub.mu.Unlock()
		return len(sub.got) == 3
	})
	if got := sub.payloads(); !slices.Equal(got, []string{"1", "3", "4"}) {
		t.Errorf("got %v", got)
	}
	for _, o := range sub.got {
		if !o.Retain {
			t.Error("a retained message without RETAIN")
		}
	}
	clock.advance(2 * time.Minute)
	retain("a", "", 0) // deletes
	late := connect(t, b, "late", nil)
	late.subscribe("a/#", 1)
	late.until(t, "what has neither expired nor been deleted", func() bool { return len(late.got) == 1 })
	if got := late.payloads(); got[0] != "3" {
		t.Errorf("got %v", got)
	}
	if n, err := b.Retained().Clean(t.Context(), ""); err != nil || n == 0 || b.Retained().Count() != 0 {
		t.Errorf("clean: %d, %v; %d left", n, err, b.Retained().Count())
	}
}

func TestRetainHandling_MQTT_3_3_1_9_MQTT_3_3_1_10_MQTT_3_3_1_11(t *testing.T) {
	b := startBroker(t, nil)
	pub := connect(t, b, "pub", nil)
	m := newMessage("t", "x", 1)
	m.Retain = true
	if err := pub.h.Publish(m, 1); err != nil {
		t.Fatal(err)
	}
	pub.until(t, "PUBACK", func() bool { return len(pub.acks) == 1 })
	sub := connect(t, b, "sub", nil)
	marker := 0
	for _, c := range []struct {
		handling byte
		want     bool
	}{{1, true}, {1, false}, {0, true}, {2, false}} {
		req := subscribeWith("t", 0)
		req.Subs[0].RetainHandling = c.handling
		before := len(sub.got)
		if err := sub.h.Subscribe(t.Context(), req); err != nil {
			t.Fatal(err)
		}
		// What is retained for another filter comes after what was for this one.
		marker++
		mark := newMessage(fmt.Sprintf("mark/%d", marker), "mark", 0)
		mark.Retain = true
		if _, err := b.Publish(t.Context(), mark); err != nil {
			t.Fatal(err)
		}
		sub.subscribe(mark.Topic, 0)
		sub.until(t, "the mark", func() bool { return len(sub.got) > before && string(sub.got[len(sub.got)-1].Msg.Payload) == "mark" })
		if got := len(sub.got)-before == 2; got != c.want {
			t.Errorf("retain handling %d: sent %v, want %v", c.handling, got, c.want)
		}
	}
}

func TestWills(t *testing.T) {
	var clock *testClock
	b := startBroker(t, func(c *actors.Config) { clock = withClock(c) })
	watch := connect(t, b, "watch", nil)
	watch.subscribe("will", 0)
	will := func(payload string, delay uint32) func(*session.OpenRequest) {
		return func(r *session.OpenRequest) {
			r.Will = &session.Will{Msg: newMessage("will", payload, 0), Delay: delay}
		}
	}
	expect := func(what string, want ...string) {
		t.Helper()
		watch.until(t, what, func() bool { return len(watch.got) >= len(want) })
		if got := watch.payloads(); !slices.Equal(got, want) {
			t.Fatalf("%s: got %v, want %v", what, got, want)
		}
	}
	connect(t, b, "a", will("1", 0)).h.Close(session.CloseCause{SendWill: true})
	expect("at once", "1")
	connect(t, b, "a", will("not", 0)).h.Close(session.CloseCause{})
	a := connect(t, b, "a", will("2", 10))
	a.h.Close(session.CloseCause{SendWill: true})
	a.offline(b)
	a = connect(t, b, "a", will("3", 10)) // back in time: 2 is not sent
	a.h.Close(session.CloseCause{SendWill: true})
	a.offline(b)
	clock.advance(11 * time.Second)
	expect("after the delay", "1", "3")
	a = connect(t, b, "a", will("4", 100))
	a.h.Close(session.CloseCause{SendWill: true, HasExpiry: true, Expiry: 1})
	a.offline(b)
	clock.advance(2 * time.Second)
	expect("at the end of the session", "1", "3", "4")
	connect(t, b, "a", will("5", 0))
	connect(t, b, "a", nil)
	expect("at a takeover", "1", "3", "4", "5")
}

func TestSessionExpires(t *testing.T) {
	var clock *testClock
	b := startBroker(t, func(c *actors.Config) { clock = withClock(c) })
	c := connect(t, b, "c", func(r *session.OpenRequest) { r.Expiry = 10 })
	c.subscribe("t", 1)
	c.h.Close(session.CloseCause{})
	c.offline(b)
	clock.advance(9 * time.Second)
	if c = connect(t, b, "c", func(r *session.OpenRequest) { r.Expiry = 10 }); !c.present {
		t.Fatal("gone before its time")
	}
	c.h.Close(session.CloseCause{})
	c.offline(b)
	clock.advance(11 * time.Second)
	eventually(t, "the session to end", func() bool { _, err := b.Session("c"); return err != nil })
	eventually(t, "its filter to go", func() bool { f := 0; b.Routes(func(router.Route) bool { f++; return true }); return f == 0 })
	eventually(t, "its process to go", func() bool {
		for _, k := range b.Actors().Kinds {
			if k.Kind == "session" {
				return k.Actors == 0
			}
		}
		return true
	})
}

// Pages of retained messages stop when the subscription goes.
func TestRetainedPagesStopWithTheSubscription(t *testing.T) {
	var clock *testClock
	b := startBroker(t, func(c *actors.Config) { clock = withClock(c); c.Retain.DeliveryRate = 1 })
	for i := range 5 {
		m := newMessage(fmt.Sprintf("r/%d", i), "x", 1)
		m.Retain = true
		if _, err := b.Publish(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	sub := connect(t, b, "sub", v4)
	sub.subscribe("r/#", 0)
	sub.until(t, "the first", func() bool { return len(sub.got) == 1 })
	eventually(t, "the timer for the next", func() bool { return clock.wheel.Len() == 1 })
	if err := sub.h.Unsubscribe(t.Context(), session.UnsubscribeRequest{PacketID: 2, Filters: []string{"r/#"}}); err != nil {
		t.Fatal(err)
	}
	clock.advance(2 * time.Second)
	if _, err := b.Retained().Clean(t.Context(), "none"); err != nil { // what came before has been handled
		t.Fatal(err)
	}
	if n := clock.wheel.Len(); n != 0 {
		t.Errorf("%d timers, want none", n)
	}
}

// The broker's own messages are in none of the counters.
func TestSystemMessagesAreNotCounted(t *testing.T) {
	b := startBroker(t, func(c *actors.Config) { c.Sys.Connected, c.Sys.Heartbeat = true, time.Minute })
	watcher := connect(t, b, "watcher", v4)
	watcher.subscribe("$SYS/brokers/+/clients/#", 0)
	pub := connect(t, b, "pub", v4)
	watcher.until(t, "the event", func() bool { return len(watcher.got) > 0 })
	before := b.Metrics().Get(metrics.MessagesPublish)
	pub.publish("nobody", 1, 1, "x")
	pub.until(t, "PUBACK", func() bool { return len(pub.acks) == 1 })
	for c, want := range map[metrics.Counter]uint64{
		metrics.MessagesPublish: 1, metrics.MessagesDropped: 1, metrics.MessagesDroppedNoSubscribers: 1,
	} {
		if got := b.Metrics().Get(c); got != want {
			t.Errorf("%s is %d, want %d (%d before)", c.Name(), got, want, before)
		}
	}
	eventually(t, "messages.delivered", func() bool { return b.Metrics().Get(metrics.MessagesDelivered) == 1 })
}
