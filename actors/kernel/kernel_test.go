package kernel

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const deadline = 10 * time.Second

// logBuffer collects log lines of several goroutines.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// startSystem makes a system that the test's end shuts down.
func startSystem(t testing.TB, cfg Config) *System {
	t.Helper()
	s := NewSystem(cfg)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), deadline)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if n := s.Stats().Actors; n != 0 {
			t.Errorf("%d actors alive after shutdown", n)
		}
	})
	return s
}

func spawnRoot(t testing.TB, s *System, spec Spec) Ref {
	t.Helper()
	r, err := s.SpawnRoot(spec)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// spec is a Spec around a function that is made anew for each instance.
func spec(name string, newFunc func() Func) Spec {
	return Spec{Name: name, Kind: "test", New: func() Actor { return newFunc() }}
}

// stateless is a Spec for an actor without state.
func stateless(name string, f Func) Spec {
	return spec(name, func() Func { return f })
}

// receive waits for a value.
func receive[T any](t testing.TB, ch <-chan T) T {
	t.Helper()
	select {
	case v, ok := <-ch:
		_ = ok
		return v
	case <-time.After(deadline):
		t.Fatal("nothing came in time")
		panic("unreachable")
	}
}

// silent fails if ch holds something. Only for what would be there already.
func silent[T any](t testing.TB, ch <-chan T) {
	t.Helper()
	select {
	case v := <-ch:
		t.Fatalf("unexpected: %v", v)
	default:
	}
}

// eventually polls a condition that no event announces.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	end := time.Now().Add(deadline)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !cond() {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s", what)
		}
		<-tick.C
	}
}

// do runs f in the actor that understands it (see runner) and waits.
func do(t testing.TB, r Ref, f func(c *Context)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	_, err := Call(ctx, r, func(reply Reply[struct{}]) any {
		return func(c *Context) {
			f(c)
			reply.Send(struct{}{})
		}
	})
	if err != nil {
		t.Fatalf("do in %v: %v", r, err)
	}
}

// runner is an actor that runs the functions it is sent and hands everything
// else to next.
func runner(next Func) Func {
	return func(c *Context, msg any) {
		if f, ok := msg.(func(*Context)); ok {
			f(c)
			return
		}
		if next != nil {
			next(c, msg)
		}
	}
}

type boom struct{ v any } // makes a crasher panic

// crasher panics on a boom and hands everything else to next.
func crasher(next Func) Func {
	return runner(func(c *Context, msg any) {
		if b, ok := msg.(boom); ok {
			panic(b.v)
		}
		if next != nil {
			next(c, msg)
		}
	})
}

func TestMessagesInOrder(t *testing.T) {
	s := startSystem(t, Config{})
	got := make(chan any, 300)
	r := spawnRoot(t, s, stateless("a", func(c *Context, msg any) { got <- msg }))
	for i := range 100 {
		if !r.Send(i) {
			t.Fatalf("send %d refused", i)
		}
	}
	if m, ok := receive(t, got).(Started); !ok || m.Restarts != 0 || m.Reason != nil {
		t.Fatalf("first message: %#v", m)
	}
	for i := range 100 {
		if m := receive(t, got); m != i {
			t.Fatalf("got %v, want %d", m, i)
		}
	}
	r.Stop()
	if m, ok := receive(t, got).(Stopping); !ok || m.Restarting || m.Reason != nil {
		t.Fatalf("last message: %#v", m)
	}
	receive(t, r.Gone())
	if r.Send(1) || r.Control(1) || r.Alive() {
		t.Fatal("a stopped actor takes messages")
	}
	silent(t, got)
	if n := s.Stats().DeadLetters; n != 2 {
		t.Fatalf("%d dead letters, want 2", n)
	}
}

func TestReceiveIsNeverConcurrent(t *testing.T) {
	s := startSystem(t, Config{})
	const senders, each = 8, 2000
	done := make(chan int, 1)
	n := 0 // unguarded: -race reports a concurrent Receive
	r := spawnRoot(t, s, stateless("a", func(c *Context, msg any) {
		if _, ok := msg.(int); !ok {
			return
		}
		if n++; n == senders*each {
			done <- n
		}
	}))
	for range senders {
		go func() {
			for i := range each {
				r.Send(i)
			}
		}()
	}
	receive(t, done)
}

func TestMailboxLimit(t *testing.T) {
	s := startSystem(t, Config{})
	entered, leave, got := make(chan bool), make(chan bool), make(chan any, 10)
	sp := stateless("a", func(c *Context, msg any) {
		switch msg {
		case "block":
			entered <- true
			<-leave
		case 1, 2, 3, "control":
			got <- msg
		}
	})
	sp.MailboxLimit = 2
	r := spawnRoot(t, s, sp)
	r.Send("block")
	receive(t, entered)
	if !r.Send(1) || !r.Send(2) {
		t.Fatal("refused below the limit")
	}
	for range 2 {
		if r.Send(3) {
			t.Fatal("accepted at the limit")
		}
	}
	if !r.Alive() || r.MailboxLen() != 2 {
		t.Fatalf("alive %v, waiting %d", r.Alive(), r.MailboxLen())
	}
	if _, err := Call(t.Context(), r, func(Reply[int]) any { return 3 }); !errors.Is(err, ErrFull) {
		t.Fatalf("call of a full actor: %v", err)
	}
	if !r.Control("control") {
		t.Fatal("control message refused")
	}
	leave <- true
	for _, want := range []any{1, 2, "control"} {
		if m := receive(t, got); m != want {
			t.Fatalf("got %v, want %v", m, want)
		}
	}
	n := s.Tree(0)[0]
	if k := s.Stats().Kinds[0]; n.Dropped != 3 || k.Refused != 3 {
		t.Fatalf("dropped %d, refused %d, want 3", n.Dropped, k.Refused)
	}
}

func TestDrained(t *testing.T) {
	s := startSystem(t, Config{})
	got := make(chan any, 100)
	entered, leave := make(chan bool), make(chan bool)
	sp := stateless("a", func(c *Context, msg any) {
		if msg == "block" {
			entered <- true
			<-leave
			return
		}
		got <- msg
	})
	sp.Drained = true
	r := spawnRoot(t, s, sp)
	receive(t, got) // Started
	if m := receive(t, got); m != (Drained{}) {
		t.Fatalf("after Started: %v", m)
	}
	r.Send("block")
	receive(t, entered)
	r.Send(1)
	r.Send(2)
	leave <- true
	for _, want := range []any{1, 2, Drained{}} {
		if m := receive(t, got); m != want {
			t.Fatalf("got %v, want %v", m, want)
		}
	}
	r.Send(3)
	receive(t, got)
	if m := receive(t, got); m != (Drained{}) {
		t.Fatalf("got %v, want Drained", m)
	}
	silent(t, got)
}

func TestFinishComesAfterTheQueue(t *testing.T) {
	s := startSystem(t, Config{})
	got := make(chan any, 10)
	r := spawnRoot(t, s, stateless("a", func(c *Context, msg any) { got <- msg }))
	r.Send(1)
	r.Send(2)
	r.Finish()
	receive(t, got)
	for _, want := range []any{1, 2, Stopping{}} {
		if m := receive(t, got); m != want {
			t.Fatalf("got %v, want %v", m, want)
		}
	}
	receive(t, r.Gone())
}

func TestStopOvertakesTheQueue(t *testing.T) {
	s := startSystem(t, Config{})
	got := make(chan any, 10)
	entered, leave := make(chan bool), make(chan bool)
	r := spawnRoot(t, s, stateless("a", func(c *Context, msg any) {
		if msg == "block" {
			entered <- true
			<-leave
			return
		}
		got <- msg
	}))
	receive(t, got)
	r.Send("block")
	receive(t, entered)
	for i := range 5 {
		r.Send(i)
	}
	r.Stop()
	leave <- true
	if m := receive(t, got); m != (Stopping{}) {
		t.Fatalf("got %v, want Stopping", m)
	}
	receive(t, r.Gone())
	if n := r.MailboxLen(); n != 0 {
		t.Fatalf("%d messages wait for a stopped actor", n)
	}
	if n := s.Stats().DeadLetters; n != 5 {
		t.Fatalf("%d dead letters, want the 5 that were queued", n)
	}
}

func TestNamesAndReferences(t *testing.T) {
	s := startSystem(t, Config{})
	root := spawnRoot(t, s, stateless("a/b", runner(nil)))
	other := spawnRoot(t, s, stateless("a", runner(nil)))
	var x, y Ref
	do(t, root, func(c *Context) {
		var err error
		if x, err = c.Spawn(stateless("x", runner(nil))); err != nil {
			t.Error(err)
		}
		if _, err = c.Spawn(stateless("x", runner(nil))); !errors.Is(err, ErrNameExists) {
			t.Errorf("same name twice: %v", err)
		}
		if _, err = c.Spawn(stateless("a\x00b", runner(nil))); !errors.Is(err, ErrBadSpec) {
			t.Errorf("NUL in a name: %v", err)
		}
		if _, err = c.Spawn(Spec{Name: "z"}); !errors.Is(err, ErrBadSpec) {
			t.Errorf("no New: %v", err)
		}
	})
	do(t, other, func(c *Context) { // "a" + "b/x" must not meet "a/b" + "x"
		var err error
		if y, err = c.Spawn(stateless("b/x", runner(nil))); err != nil {
			t.Error(err)
		}
	})
	if x == y || x.Path() != "a/b/x" || x.Name() != "x" || x.Kind() != "test" || x.String() != "test:a/b/x" {
		t.Fatalf("%v, %v, name %q", x, y, x.Name())
	}
	if _, err := s.SpawnRoot(stateless("a", runner(nil))); !errors.Is(err, ErrNameExists) {
		t.Fatalf("same root twice: %v", err)
	}
	if s.Root("a") != other || !s.Root("none").IsZero() {
		t.Fatal("Root does not find what it should")
	}
	eventually(t, "the refused child is off the books", func() bool { return s.Tree(0)[0].Children == 1 })

	x.Stop()
	receive(t, x.Gone())
	var x2 Ref
	do(t, root, func(c *Context) {
		var err error
		if x2, err = c.Spawn(stateless("x", runner(nil))); err != nil {
			t.Error(err)
		}
		if c.Self() != root || c.Parent() != (Ref{}) || c.Name() != "a/b" || c.System() != s {
			t.Error("the context is not the root's")
		}
		if kids := c.Children(); len(kids) != 1 || kids[0] != x2 {
			t.Errorf("children %v", kids)
		}
	})
	if x2 == x || x.Send(1) || !x2.Send(1) || x.Alive() || !x2.Alive() {
		t.Fatal("a reference reaches the successor of its actor")
	}
}

func TestZeroRef(t *testing.T) {
	var r Ref
	if r.Send(1) || r.Control(1) || r.Alive() || !r.IsZero() || r.MailboxLen() != 0 || r.Name() != "" ||
		r.Path() != "" || r.Kind() != "" || r.String() != "<none>" {
		t.Fatal("the zero Ref seems to be somebody")
	}
	r.Stop()
	r.Finish()
	receive(t, r.Gone())
	if _, err := Call(t.Context(), r, func(Reply[int]) any { return 1 }); !errors.Is(err, ErrStopped) {
		t.Fatalf("call: %v", err)
	}
}

func TestChildGoneComesAfterTheChildsMessages(t *testing.T) {
	s := startSystem(t, Config{})
	const messages = 50
	got := make(chan any, messages+2)
	parent := spawnRoot(t, s, stateless("p", runner(func(c *Context, msg any) {
		switch m := msg.(type) {
		case Started:
			self := c.Self()
			_, err := c.Spawn(stateless("c", func(c *Context, msg any) {
				switch msg.(type) {
				case Started:
					for i := range messages - 1 {
						self.Send(i)
					}
					c.StopSelf()
				case Stopping:
					self.Send(messages - 1)
				}
			}))
			if err != nil {
				t.Error(err)
			}
		case int, ChildGone:
			got <- m
		}
	})))
	for i := range messages {
		if m := receive(t, got); m != i {
			t.Fatalf("got %v, want %d", m, i)
		}
	}
	g, ok := receive(t, got).(ChildGone)
	if !ok || g.Name != "c" || g.Reason != nil || g.Ref.Alive() {
		t.Fatalf("got %+v, want ChildGone", g)
	}
	parent.Stop()
	receive(t, parent.Gone())
	silent(t, got)
}

func TestStopIsBottomUp(t *testing.T) {
	s := startSystem(t, Config{})
	var mu sync.Mutex
	var order []string
	note := func(c *Context, msg any) {
		if _, ok := msg.(Stopping); ok {
			mu.Lock()
			order = append(order, c.Name())
			mu.Unlock()
		}
	}
	tree := func(c *Context, msg any) {
		note(c, msg)
		if _, ok := msg.(Started); ok && len(c.Self().Path()) < 7 { // root, r/1, r/1/1
			for _, n := range []string{"1", "2"} {
				if _, err := c.Spawn(stateless(c.Name()+n, note)); err != nil {
					t.Error(err)
				}
			}
		}
	}
	root := spawnRoot(t, s, stateless("r", tree))
	eventually(t, "both children run", func() bool { return s.Stats().Actors == 3 })
	kids := s.Tree(0)[0]
	if len(kids.Nodes) != 2 || kids.Nodes[0].Name != "r1" {
		t.Fatalf("tree %+v", kids)
	}
	root.Stop()
	receive(t, root.Gone())
	mu.Lock()
	defer mu.Unlock()
	if len(order) != 3 || order[0] != "r" {
		t.Fatalf("order of Stopping: %v, want r first and all three", order)
	}
	if n := s.Stats().Actors; n != 0 {
		t.Fatalf("%d actors alive, though the root is gone", n)
	}
}

func TestSpawnUnderStoppingParent(t *testing.T) {
	s := startSystem(t, Config{})
	errs := make(chan error, 1)
	entered, leave := make(chan bool), make(chan bool)
	r := spawnRoot(t, s, stateless("a", func(c *Context, msg any) {
		if _, ok := msg.(Stopping); ok {
			_, err := c.Spawn(stateless("late", runner(nil)))
			errs <- err
			entered <- true
			<-leave
		}
	}))
	r.Stop()
	if err := receive(t, errs); !errors.Is(err, ErrStopped) {
		t.Fatalf("spawn while stopping: %v", err)
	}
	receive(t, entered)
	if r.Send(1) {
		t.Fatal("a stopping actor takes messages")
	}
	leave <- true
	receive(t, r.Gone())
}

// Spawning, stopping and sending from many goroutines at once leaves nothing
// behind and hangs nowhere.
func TestSpawnFromAnyGoroutine(t *testing.T) {
	s := startSystem(t, Config{})
	var ctx *Context
	root := spawnRoot(t, s, stateless("r", runner(nil)))
	do(t, root, func(c *Context) { ctx = c })
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 200 {
				r, err := ctx.Spawn(stateless(string(rune('a'+(g+i)%7)), runner(nil)))
				switch {
				case errors.Is(err, ErrNameExists):
					continue
				case err != nil:
					t.Error(err)
					return
				}
				r.Send(i)
				s.Tree(1)
				if i%2 == 0 {
					r.Stop()
				} else {
					r.Finish()
				}
			}
		})
	}
	wg.Wait()
	eventually(t, "all children are gone", func() bool { return ctx.ChildCount() == 0 && s.Stats().Actors == 1 })
}

func TestWatch(t *testing.T) {
	s := startSystem(t, Config{})
	got := make(chan Gone, 10)
	w := spawnRoot(t, s, stateless("w", runner(func(c *Context, msg any) {
		if g, ok := msg.(Gone); ok {
			got <- g
		}
	})))
	a := spawnRoot(t, s, stateless("a", runner(nil)))
	b := spawnRoot(t, s, stateless("b", runner(nil)))
	do(t, w, func(c *Context) {
		c.Watch(a)
		c.Watch(b)
		c.Unwatch(b)
	})
	b.Stop()
	receive(t, b.Gone())
	a.Stop()
	if g := receive(t, got); g.Ref != a || g.Name != "a" || g.Reason != nil {
		t.Fatalf("got %+v", g)
	}
	do(t, w, func(c *Context) { c.Watch(a) }) // already gone
	if g := receive(t, got); g.Ref != a {
		t.Fatalf("got %+v", g)
	}
	do(t, w, func(c *Context) { c.Watch(Ref{}) })
	if g := receive(t, got); !g.Ref.IsZero() {
		t.Fatalf("got %+v", g)
	}
	silent(t, got)
}

// Watches of actors that have ended do not pile up on what they watched.
func TestStaleWatchesArePruned(t *testing.T) {
	s := startSystem(t, Config{})
	target := spawnRoot(t, s, stateless("target", runner(nil)))
	for range 200 {
		w := spawnRoot(t, s, stateless("", runner(nil)))
		do(t, w, func(c *Context) { c.Watch(target) })
		w.Stop()
		receive(t, w.Gone())
	}
	n := 0
	target.c.takeTies(func(*tie) bool { n++; return false })
	if n > 10 {
		t.Fatalf("%d watches of dead actors are kept", n)
	}
}

func TestLoggerIsQuiet(t *testing.T) {
	var out logBuffer
	s := startSystem(t, Config{Logger: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	r := spawnRoot(t, s, stateless("a", runner(nil)))
	r.Send("secret")
	r.Stop()
	receive(t, r.Gone())
	r.Send("secret")
	if out.String() != "" {
		t.Fatalf("an uneventful life is logged: %s", out.String())
	}
}

func TestShutdown(t *testing.T) {
	s := NewSystem(Config{})
	var mu sync.Mutex
	var order []string
	for _, name := range []string{"one", "two", "three"} {
		spawnRoot(t, s, stateless(name, func(c *Context, msg any) {
			if _, ok := msg.(Stopping); ok {
				mu.Lock()
				order = append(order, c.Name())
				mu.Unlock()
			}
		}))
	}
	leave := make(chan bool)
	stuck := spawnRoot(t, s, stateless("stuck", func(c *Context, msg any) {
		if _, ok := msg.(Stopping); ok {
			<-leave
		}
	}))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("shutdown past a stuck root: %v", err)
	}
	if _, err := s.SpawnRoot(stateless("late", runner(nil))); !errors.Is(err, ErrStopped) {
		t.Fatalf("spawn during shutdown: %v", err)
	}
	if s.Err() != nil {
		t.Fatalf("Err before Done: %v", s.Err())
	}
	close(leave)
	receive(t, stuck.Gone())
	for range 2 {
		if err := s.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	receive(t, s.Done())
	if !errors.Is(s.Err(), ErrShutdown) {
		t.Fatalf("Err: %v", s.Err())
	}
	if len(order) != 3 || order[0] != "three" || order[2] != "one" {
		t.Fatalf("order %v", order)
	}
}
