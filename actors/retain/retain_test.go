package retain

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"ermine/actors/kernel"
	"ermine/actors/message"
	"ermine/actors/metrics"
	"ermine/actors/router"
	"ermine/actors/topic"
)

// bench is a store on a clock of the test's.
type bench struct {
	*Store
	t     *testing.T
	now   atomic.Int64 // Unix milliseconds
	wheel *kernel.Wheel
	set   *metrics.Set
}

func newBench(t *testing.T, edit func(*Config)) *bench {
	t.Helper()
	start := time.UnixMilli(1_700_000_000_000)
	b := &bench{t: t, wheel: kernel.NewManualWheel(start, 100*time.Millisecond), set: metrics.NewSet()}
	b.now.Store(start.UnixMilli())
	cfg := Config{
		Logger: slog.New(slog.DiscardHandler), Metrics: b.set, Wheel: b.wheel, Enable: true,
		Now: func() time.Time { return time.UnixMilli(b.now.Load()) },
	}
	if edit != nil {
		edit(&cfg)
	}
	b.Store = New(cfg)
	system := kernel.NewSystem(kernel.Config{Logger: cfg.Logger})
	if err := b.Start(system); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := system.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		b.wheel.Close()
	})
	return b
}

type waiter struct {
	router.Ticket
	done chan struct{}
}

func (w *waiter) Complete() { close(w.done) }

// put stores a message and waits until the store has dealt with it.
func (b *bench) put(name, payload string) {
	b.t.Helper()
	w := &waiter{done: make(chan struct{})}
	w.Owner = w
	w.Start()
	b.Put(&message.Message{Topic: name, Payload: []byte(payload), Retain: true, Received: b.now.Load()}, &w.Ticket)
	if w.Release() {
		return
	}
	select {
	case <-w.done:
	case <-time.After(10 * time.Second):
		b.t.Fatalf("%s is not acknowledged", name)
	}
}

func (b *bench) forward(d time.Duration) {
	b.now.Add(d.Milliseconds())
	b.wheel.Advance(d)
}

func TestPutReplacesAndDeletes_MQTT_3_3_1_5_MQTT_3_3_1_6(t *testing.T) {
	b := newBench(t, nil)
	b.put("a/b", "1")
	b.put("a/b", "2")
	b.put("a", "3")
	if m := b.Get("a/b"); m == nil || string(m.Payload) != "2" {
		t.Errorf("a/b is %v", m)
	}
	b.put("a/b", "")
	b.put("none", "")
	if m := b.Get("a/b"); m != nil || b.Count() != 1 {
		t.Errorf("a/b is %v, %d retained", m, b.Count())
	}
}

// The name is the store's own: it does not keep the publisher's packet alive.
func TestNameIsCopied(t *testing.T) {
	b := newBench(t, nil)
	name := strings.Clone("some/topic")
	b.put(name, "x")
	if m := b.Get(name); m == nil || unsafe.StringData(m.Topic) == unsafe.StringData(name) {
		t.Errorf("%v", m)
	}
}

func TestDisabled(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Enable = false })
	b.put("a", "1")
	if b.Count() != 0 {
		t.Error("retained while disabled")
	}
}

func TestPublishRate(t *testing.T) {
	b := newBench(t, func(c *Config) { c.PublishRate = 2 })
	for i := range 5 {
		b.put(fmt.Sprint(i), "x")
	}
	if got, limited := b.Count(), b.set.Get(metrics.RetainedRateLimited); got != 2 || limited != 3 {
		t.Errorf("%d retained and %d refused of 5 at 2 a second", got, limited)
	}
	b.put("0", "") // deleting costs nothing
	if b.Count() != 1 {
		t.Error("not deleted")
	}
	b.forward(500 * time.Millisecond)
	b.put("5", "x")
	b.put("6", "x")
	if got := b.Topics(0, 10); !slices.Equal(got, []string{"1", "5"}) {
		t.Errorf("half a second later: %v", got)
	}
}

func TestDefaultExpiryAndSweep(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Expiry, c.Clear = 10*time.Second, 30*time.Second })
	b.put("a", "1")
	b.put("b", "1")
	b.forward(5 * time.Second)
	b.put("b", "2")
	b.forward(6 * time.Second) // a has expired, and is not swept yet
	if m := b.Get("a"); m == nil || !m.Expired(b.now.Load()) {
		t.Errorf("a is %v", m)
	}
	b.forward(20 * time.Second)
	deadline := time.After(10 * time.Second)
	for b.Count() != 0 {
		select {
		case <-time.After(time.Millisecond):
		case <-deadline:
			t.Fatalf("%v are left", b.Topics(0, 10))
		}
	}
}

func TestCleanAndTopics(t *testing.T) {
	b := newBench(t, nil)
	for _, n := range []string{"a", "a/b", "a/c", "b", "$SYS/x"} {
		b.put(n, "x")
	}
	if got := b.Topics(1, 2); len(got) != 2 {
		t.Errorf("a page of 2: %v", got)
	}
	for _, c := range []struct {
		filter topic.Filter
		want   int
	}{{"a/+", 2}, {"none", 0}, {"#", 2}, {"", 1}} {
		if n, err := b.Clean(t.Context(), c.filter); err != nil || n != c.want {
			t.Errorf("clean %q: %d, %v; want %d", c.filter, n, err, c.want)
		}
	}
	if b.Count() != 0 {
		t.Errorf("%v are left", b.Topics(0, 10))
	}
}
