package delayed

import (
	"context"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"ermine/actors/fault"
	"ermine/actors/kernel"
	"ermine/actors/message"
	"ermine/actors/metrics"
	"ermine/actors/router"
)

// bench is a queue on a clock of the test's.
type bench struct {
	*Queue
	t     *testing.T
	now   atomic.Int64 // Unix milliseconds
	wheel *kernel.Wheel
	set   *metrics.Set
	out   chan string
}

func newBench(t *testing.T, limit int) *bench {
	t.Helper()
	start := time.UnixMilli(1_700_000_000_000)
	b := &bench{t: t, wheel: kernel.NewManualWheel(start, time.Millisecond), set: metrics.NewSet(), out: make(chan string, 1000)}
	b.now.Store(start.UnixMilli())
	b.Queue = New(Config{
		Metrics: b.set, Wheel: b.wheel, Now: func() time.Time { return time.UnixMilli(b.now.Load()) }, Enable: true, Max: limit,
		Publish: func(m *message.Message) { b.out <- string(m.Payload) },
	})
	system := kernel.NewSystem(kernel.Config{Logger: slog.New(slog.DiscardHandler)})
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

// put queues a message and waits until the queue has it.
func (b *bench) put(payload string, after, expires time.Duration) {
	b.t.Helper()
	m := &message.Message{Topic: "t", Payload: []byte(payload)}
	now := time.UnixMilli(b.now.Load())
	if expires > 0 {
		m.Expires = now.Add(expires).UnixMilli()
	}
	w := &waiter{done: make(chan struct{})}
	w.Owner = w
	w.Start()
	b.Put(m, now.Add(after), &w.Ticket)
	if w.Release() {
		return
	}
	select {
	case <-w.done:
	case <-time.After(10 * time.Second):
		b.t.Fatalf("%s is not acknowledged", payload)
	}
}

// after moves the clock and returns the next n messages.
func (b *bench) after(d time.Duration, n int) (got []string) {
	b.t.Helper()
	b.now.Add(d.Milliseconds())
	deadline := time.After(10 * time.Second)
	for first := true; len(got) < n; first = false {
		if first {
			b.wheel.Advance(d)
		} else {
			b.wheel.Advance(time.Millisecond) // the actor may set its timer late
		}
		select {
		case p := <-b.out:
			got = append(got, p)
		case <-time.After(time.Millisecond):
		case <-deadline:
			b.t.Fatalf("got %v, want %d messages", got, n)
		}
	}
	return got
}

func TestDueOrder(t *testing.T) {
	b := newBench(t, 0)
	b.put("3 s", 3*time.Second, 0)
	b.put("1 s", time.Second, 0)
	b.put("2 s", 2*time.Second, 0)
	b.put("2 s, later", 2*time.Second, 0)
	if got := b.after(time.Second, 1); !slices.Equal(got, []string{"1 s"}) {
		t.Errorf("after 1 s: %v", got)
	}
	if got := b.after(5*time.Second, 3); !slices.Equal(got, []string{"2 s", "2 s, later", "3 s"}) {
		t.Errorf("in the end: %v", got)
	}
	if got := b.set.Get(metrics.MessagesDelayed); got != 4 {
		t.Errorf("%d counted, want 4", got)
	}
}

func TestExpiredIsDropped(t *testing.T) {
	b := newBench(t, 0)
	b.put("expires", 2*time.Second, time.Second)
	b.put("stays", 2*time.Second, time.Minute)
	if got := b.after(2*time.Second, 1); got[0] != "stays" {
		t.Errorf("got %v", got)
	}
	if n := b.set.Get(metrics.MessagesDroppedExpired); n != 1 {
		t.Errorf("%d counted as expired, want 1", n)
	}
}

func TestFull(t *testing.T) {
	b := newBench(t, 2)
	for i := range 2 {
		if b.Full() {
			t.Fatalf("full with %d messages", i)
		}
		b.put("x", time.Second, 0)
	}
	if !b.Full() {
		t.Error("not full with 2 messages")
	}
}

func TestCrashLosesNothing(t *testing.T) {
	b := newBench(t, 0)
	b.put("before", time.Second, 0)
	spec, err := fault.Parse("panic once")
	if err != nil {
		t.Fatal(err)
	}
	disarm, err := fault.Arm("delayed.receive", spec)
	if err != nil {
		t.Fatal(err)
	}
	defer disarm()
	b.put("in hand", time.Second, 0)
	b.put("after", time.Second, 0)
	if got := b.after(time.Second, 3); !slices.Equal(got, []string{"before", "in hand", "after"}) {
		t.Errorf("got %v", got)
	}
}
