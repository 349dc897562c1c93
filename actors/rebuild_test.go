package actors_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"ermine/actors"
	"ermine/actors/fault"
	"ermine/actors/message"
	"ermine/actors/router"
	"ermine/actors/session"
)

// crashShard makes the only shard of a broker crash once, and waits until that
// has happened.
func crashShard(t *testing.T, b *actors.Broker) {
	t.Helper()
	restarts := func() int { return kindRestarts(b, "shard") }
	before := restarts()
	arm(t, "shard.receive", "panic once")
	b.Unsubscribe(&router.Subscription{Raw: "none", Filter: "none"})
	eventually(t, "the shard to restart", func() bool { return restarts() > before })
}

func kindRestarts(b *actors.Broker, kind string) int {
	for _, k := range b.Actors().Kinds {
		if k.Kind == kind {
			return int(k.Restarts)
		}
	}
	return 0
}

// A session that crashes when it is asked for its filters keeps them.
func TestRebuildWithCrashingSession(t *testing.T) {
	b := startBroker(t, func(c *actors.Config) { c.Shards = 1 })
	sub := connect(t, b, "sub", v4)
	sub.subscribe("t", 1)
	sub.until(t, "SUBACK", func() bool { return len(sub.subacks) == 1 })
	armFor(t, "session.control", "panic once", "sub")
	crashShard(t, b)
	sub.until(t, "the session to crash", func() bool { return sub.closed >= 0 })
	again := connect(t, b, "sub", v4)
	again.subscribe("rebuilt", 0) // SUBACK comes after the rebuild
	if n := routes(b); n != 2 {
		t.Errorf("%d filters, want 2", n)
	}
	pub := connect(t, b, "pub", v4)
	pub.publish("t", 1, 1, "x")
	again.until(t, "the message", func() bool { return len(again.got) == 1 })
}

// sink is a subscriber that is no session.
type sink struct {
	mu  sync.Mutex
	got []string
}

func (*sink) ClientID() string { return "sink" }
func (*sink) Online() bool     { return true }
func (*sink) WaitIdle()        {}
func (s *sink) Deliver(m *message.Message, _ *router.Subscription, t *router.Ticket) router.Result {
	s.mu.Lock()
	s.got = append(s.got, string(m.Payload))
	s.mu.Unlock()
	t.Done()
	return router.Taken
}

// Subscribers that are no sessions keep their filters through a rebuild; one
// that leaves meanwhile does not come back.
func TestRebuildKeepsOtherSubscribers(t *testing.T) {
	b := startBroker(t, func(c *actors.Config) { c.Shards = 1 })
	s := &sink{}
	stays := &router.Subscription{Raw: "t", Filter: "t", To: s}
	leaves := &router.Subscription{Raw: "u", Filter: "u", To: s}
	for _, sub := range []*router.Subscription{stays, leaves} {
		if err := b.Subscribe(t.Context(), sub); err != nil {
			t.Fatal(err)
		}
	}
	crashShard(t, b)
	b.Unsubscribe(leaves)
	connect(t, b, "c", v4).subscribe("rebuilt", 0)
	if n := routes(b); n != 2 {
		t.Errorf("%d filters, want 2", n)
	}
	if n, err := b.Publish(t.Context(), newMessage("t", "x", 1)); n != 1 || err != nil {
		t.Errorf("publish: %d, %v", n, err)
	}
}

// A SUBSCRIBE to a share group whose shard crashes before the group has it is
// answered, once publishes find the member.
func TestRebuildAnswersShareGroups(t *testing.T) {
	b := startBroker(t, func(c *actors.Config) { c.Shards = 1 })
	member := connect(t, b, "member", v4)
	member.subscribe("$share/g/t", 1)
	late := connect(t, b, "late", v4)
	// The group is slow, so that the shard goes on and crashes before it.
	arm(t, "sharegroup.receive", "delay 100ms")
	arm(t, "shard.receive", "panic on 2")
	start := time.Now()
	done := make(chan error, 1)
	go func() { done <- late.h.Subscribe(t.Context(), subscribeWith("$share/g/t", 1)) }()
	eventually(t, "the shard to restart", func() bool {
		b.Unsubscribe(&router.Subscription{Raw: "none", Filter: "none"})
		return kindRestarts(b, "shard") > 0
	})
	select {
	case err := <-done:
		if err != nil {
			t.Fatalf("subscribe: %v after %v", err, time.Since(start))
		}
	case <-time.After(5 * time.Second):
		t.Fatal("the SUBSCRIBE is not answered")
	}
	n := 0
	b.Subscribers("t", func(*router.Subscription) { n++ })
	if n != 2 {
		t.Errorf("%d members at SUBACK, want 2", n)
	}
}

// An exclusive filter stays its owner's while its shard is rebuilt.
func TestRebuildKeepsExclusiveOwner(t *testing.T) {
	b := startBroker(t, func(c *actors.Config) { c.Shards = 1 })
	ask := func(c *client, req session.SubscribeRequest) byte {
		t.Helper()
		req.Subs[0].Exclusive = true
		if err := c.h.Subscribe(t.Context(), req); err != nil {
			t.Fatal(err)
		}
		return req.Codes[0]
	}
	owner, other := connect(t, b, "owner", v4), connect(t, b, "other", v4)
	if code := ask(owner, subscribeWith("$exclusive/t", 1)); code != 1 {
		t.Fatalf("owner: 0x%02x", code)
	}
	// The owner is slow to answer, the other fast to ask.
	spec, err := fault.Parse("delay 200ms")
	if err != nil {
		t.Fatal(err)
	}
	spec.Match = func(s any) bool { return s.(*session.Session).ClientID() == "owner" }
	disarm, err := fault.Arm("session.control", spec)
	if err != nil {
		t.Fatal(err)
	}
	defer disarm()
	for range 3 {
		crashShard(t, b)
		if code := ask(other, subscribeWith("$exclusive/t", 1)); code != 0x97 {
			t.Fatalf("other, during a rebuild: 0x%02x", code)
		}
	}
	owner.h.Close(session.CloseCause{HasExpiry: true})
	eventually(t, "the owner's filter to go", func() bool { return routes(b) == 0 })
	crashShard(t, b)
	if code := ask(other, subscribeWith("$exclusive/t", 1)); code != 1 {
		t.Errorf("other, after the owner: 0x%02x", code)
	}
}

// A subscribe whose caller does not wait for it is taken back.
func TestSubscribeThatGivesUpLeavesNothing(t *testing.T) {
	b := startBroker(t, func(c *actors.Config) { c.Shards = 1 })
	s := &sink{}
	arm(t, "shard.receive", "delay 50ms times 1")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Subscribe(ctx, &router.Subscription{Raw: "t", Filter: "t", To: s}); err == nil {
		t.Error("a subscribe whose caller had gone succeeded")
	}
	connect(t, b, "c", v4).subscribe("later", 0)
	if n := routes(b); n != 1 {
		t.Errorf("%d filters, want 1", n)
	}
}
