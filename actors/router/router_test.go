package router

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"ermine/actors/kernel"
	"ermine/actors/message"
	"ermine/actors/metrics"
	"ermine/actors/topic"
)

// member is a subscriber that takes everything.
type member struct {
	id   string
	gone bool

	mu  sync.Mutex
	got []string
}

func (m *member) ClientID() string { return m.id }
func (m *member) Online() bool     { return true }
func (m *member) WaitIdle()        {}
func (m *member) Deliver(msg *message.Message, _ *Subscription, t *Ticket) Result {
	if m.gone {
		return Gone
	}
	m.mu.Lock()
	m.got = append(m.got, string(msg.Payload))
	m.mu.Unlock()
	t.Done()
	return Taken
}

func (m *member) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.got)
}

func newRouter(t *testing.T, edit func(*Config)) *Router {
	t.Helper()
	cfg := Config{Logger: slog.New(slog.DiscardHandler), Metrics: metrics.NewSet()}
	if edit != nil {
		edit(&cfg)
	}
	r := New(cfg)
	system := kernel.NewSystem(kernel.Config{Logger: cfg.Logger})
	if err := r.Start(system); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := system.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	return r
}

type waiter struct {
	Ticket
	done chan struct{}
}

func (w *waiter) Complete() { close(w.done) }

// wait calls fn with a ticket and waits for it.
func wait(t *testing.T, fn func(*Ticket)) {
	t.Helper()
	w := &waiter{done: make(chan struct{})}
	w.Owner = w
	w.Start()
	fn(&w.Ticket)
	if w.Release() {
		return
	}
	select {
	case <-w.done:
	case <-time.After(10 * time.Second):
		t.Fatal("a ticket is not done")
	}
}

func subscription(raw string, to Subscriber) *Subscription {
	p, err := topic.ParseFilter(raw)
	if err != nil {
		panic(err)
	}
	return &Subscription{Raw: raw, Filter: p.Filter, Group: p.Group, Exclusive: p.Kind == topic.Exclusive, To: to}
}

func route(t *testing.T, r *Router, sub, old *Subscription) (code byte) {
	t.Helper()
	wait(t, func(tk *Ticket) { r.Subscribe(sub, old, &code, tk) })
	return code
}

func unroute(t *testing.T, r *Router, sub *Subscription) {
	t.Helper()
	wait(t, func(tk *Ticket) { r.Unsubscribe(sub, tk) })
}

func publish(r *Router, p *Publisher, name, payload string) int {
	return r.Publish(p, &message.Message{Topic: name, Payload: []byte(payload), Publisher: "p"}, nil)
}

func TestSubscribeReplaceUnsubscribe(t *testing.T) {
	r := newRouter(t, nil)
	p, m := r.NewPublisher(), &member{id: "m"}
	first, second := subscription("a/+", m), subscription("a/+", m)
	route(t, r, first, nil)
	route(t, r, second, first)
	if n := publish(r, p, "a/b", "1"); n != 1 || m.count() != 1 {
		t.Errorf("%d took it, %d received", n, m.count())
	}
	unroute(t, r, first) // replaced: nothing of it is left
	if n := publish(r, p, "a/b", "2"); n != 1 {
		t.Errorf("after unsubscribing what was replaced: %d", n)
	}
	unroute(t, r, second)
	if n := publish(r, p, "a/b", "3"); n != 0 {
		t.Errorf("after unsubscribing: %d", n)
	}
	if f, s, g := r.Counts(); f+s+g != 0 {
		t.Errorf("%d filters, %d subscriptions, %d shared are left", f, s, g)
	}
}

// The same filter as written may stand for another one, under another
// mountpoint: it belongs to another shard, and the old one goes.
func TestReplaceByAnotherFilter(t *testing.T) {
	r := newRouter(t, nil)
	p, m := r.NewPublisher(), &member{id: "m"}
	var old *Subscription
	for i := range 20 {
		sub := subscription("t", m)
		sub.Filter = topic.Filter(fmt.Sprintf("mount%d/t", i))
		route(t, r, sub, old)
		if n := publish(r, p, string(sub.Filter), "x"); n != 1 {
			t.Fatalf("%s: %d took it", sub.Filter, n)
		}
		if old != nil {
			unroute(t, r, old) // its removal has been sent before
			if n := publish(r, p, string(old.Filter), "x"); n != 0 {
				t.Fatalf("%s: %d took it", old.Filter, n)
			}
		}
		old = sub
	}
}

func TestNoLocal_MQTT_3_8_3_3(t *testing.T) {
	r := newRouter(t, nil)
	m := &member{id: "p"}
	sub := subscription("t", m)
	sub.NoLocal = true
	route(t, r, sub, nil)
	if n := publish(r, r.NewPublisher(), "t", "x"); n != 1 || m.count() != 0 {
		t.Errorf("counted %d, received %d; want 1 and 0", n, m.count())
	}
}

func TestMembersThatHaveEndedAreSkipped(t *testing.T) {
	r := newRouter(t, nil)
	there, gone := &member{id: "a"}, &member{id: "b", gone: true}
	for _, m := range []*member{there, gone} {
		route(t, r, subscription("$share/g/t", m), nil)
	}
	p := r.NewPublisher()
	for i := range 10 {
		if n := publish(r, p, "t", fmt.Sprint(i)); n != 1 {
			t.Fatalf("message %d: %d took it", i, n)
		}
	}
	if there.count() != 10 {
		t.Errorf("%d received, want 10", there.count())
	}
}

func TestRedispatchGoesToAnother(t *testing.T) {
	r := newRouter(t, nil)
	one, two := &member{id: "1"}, &member{id: "2"}
	first := subscription("$share/g/t", one)
	route(t, r, first, nil)
	msg := &message.Message{Topic: "t", QoS: 1}
	if r.Redispatch(msg, first, nil) {
		t.Error("given to the member that it was taken from")
	}
	route(t, r, subscription("$share/g/t", two), nil)
	if !r.Redispatch(msg, first, nil) || two.count() != 1 || one.count() != 0 {
		t.Errorf("one got %d, two got %d", one.count(), two.count())
	}
}

// What a publisher remembers of share groups is bounded by the groups there are.
func TestPublisherForgetsGroupsThatAreGone(t *testing.T) {
	for _, strategy := range []Strategy{RoundRobin, Sticky} {
		r := newRouter(t, func(c *Config) {
			c.Strategy = func(string) Strategy { return strategy }
			c.InitialSticky = RoundRobin
		})
		p, m := r.NewPublisher(), &member{id: "m"}
		const groups = 1000
		for i := range groups {
			sub := subscription(fmt.Sprintf("$share/g%d/t", i), m)
			route(t, r, sub, nil)
			if n := publish(r, p, "t", "x"); n != 1 {
				t.Fatalf("%d took it", n)
			}
			unroute(t, r, sub)
		}
		// A group ends shortly after its last member has left.
		if n := len(p.turns); n > groups/2 {
			t.Errorf("%s: %d groups are remembered", strategy, n)
		}
	}
}

func TestRoutesAndSubscribers(t *testing.T) {
	r := newRouter(t, nil)
	one, two := &member{id: "1"}, &member{id: "2"}
	for _, s := range []*Subscription{
		subscription("t", one), subscription("t", two), subscription("$share/g/t", one), subscription("$queue/t", two),
	} {
		route(t, r, s, nil)
	}
	got := map[string]int{}
	r.Routes(func(x Route) bool { got[x.Topic] = x.Subs; return true })
	want := map[string]int{"t": 2, "$share/g/t": 1, "$queue/t": 1}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("routes %v, want %v", got, want)
	}
	n := 0
	r.Subscribers("t", func(*Subscription) { n++ })
	f, s, shared := r.Counts()
	if n != 4 || f != 1 || s != 4 || shared != 2 {
		t.Errorf("%d subscribers; counts %d %d %d", n, f, s, shared)
	}
	calls := 0
	r.Routes(func(Route) bool { calls++; return false })
	if calls != 1 {
		t.Errorf("Routes went on %d times after false", calls-1)
	}
}

func TestExclusiveFilter(t *testing.T) {
	r := newRouter(t, nil)
	one, two := &member{id: "1"}, &member{id: "2"}
	first := subscription("$exclusive/t", one)
	if code := route(t, r, first, nil); code >= 0x80 {
		t.Fatalf("first: 0x%02x", code)
	}
	if code := route(t, r, subscription("$exclusive/t", two), nil); code != 0x97 {
		t.Errorf("another: 0x%02x", code)
	}
	unroute(t, r, first)
	if code := route(t, r, subscription("$exclusive/t", two), nil); code >= 0x80 {
		t.Errorf("after the first: 0x%02x", code)
	}
}

// A ticket completes once, by whoever is last.
func TestTicket(t *testing.T) {
	w := &waiter{done: make(chan struct{})}
	w.Owner = w
	w.Start()
	w.Add()
	w.Add()
	w.Done()
	if w.Release() {
		t.Error("the owner was last of three, with two done")
	}
	w.Done()
	select {
	case <-w.done:
	default:
		t.Error("not complete")
	}
	(*Ticket)(nil).Done() // QoS 0
}
