package kernel

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

type ask struct{ r Reply[int] } // answered with 42 by an answerer

func asking(r Reply[int]) any { return ask{r} }

// holder keeps the replies that it is given, unanswered.
func holder(keep chan Reply[int]) Func {
	return crasher(func(c *Context, msg any) {
		if m, ok := msg.(ask); ok {
			keep <- m.r
		}
	})
}

func TestCall(t *testing.T) {
	s := startSystem(t, Config{})
	errNo := errors.New("no")
	r := spawnRoot(t, s, stateless("a", func(c *Context, msg any) {
		switch m := msg.(type) {
		case ask:
			if !m.r.Open() || !m.r.Send(42) || m.r.Send(43) || m.r.Fail(errNo) || m.r.Open() {
				t.Error("only the first answer counts")
			}
		case Reply[string]:
			m.Fail(errNo)
		}
	}))
	if v, err := Call(t.Context(), r, asking); v != 42 || err != nil {
		t.Fatalf("got %v, %v", v, err)
	}
	if _, err := Call(t.Context(), r, func(r Reply[string]) any { return r }); !errors.Is(err, errNo) {
		t.Fatalf("got %v", err)
	}
	if r.c.ties != nil {
		t.Error("an answered call is kept")
	}
	got := make(chan Reply[int], 1)
	other := spawnRoot(t, s, stateless("b", holder(got)))
	if _, err := Call(t.Context(), r, func(m Reply[int]) any { got <- m; return ask{m} }); err != nil {
		t.Fatal(err)
	}
	(<-got).Delegate(other) // too late: it is answered
	if other.c.ties != nil {
		t.Error("an answered call is kept by the delegate")
	}
	var none Reply[int]
	if none.Send(1) || none.Fail(errNo) || none.Open() {
		t.Error("the zero Reply answers somebody")
	}
	none.Delegate(r)
}

// However the callee ends, its callers are told at once: in a bubble a call
// that nobody fails would be a deadlock.
func TestCallFailsPromptly(t *testing.T) {
	for _, tc := range []struct {
		name string
		end  func(r Ref)
		want error
	}{
		{"stop", Ref.Stop, ErrStopped},
		{"finish", Ref.Finish, ErrStopped},
		{"crash", func(r Ref) { r.Send(boom{}) }, ErrCrashed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, Config{Intensity: 100}, func(t *testing.T, s *System) {
				keep := make(chan Reply[int], 1)
				r := spawnRoot(t, s, stateless("a", holder(keep)))
				errs := make(chan error, 1)
				go func() {
					_, err := Call(context.Background(), r, asking)
					errs <- err
				}()
				reply := <-keep
				begun := time.Now()
				tc.end(r)
				if err := <-errs; !errors.Is(err, tc.want) || time.Since(begun) != 0 {
					t.Errorf("got %v after %v, want %v", err, time.Since(begun), tc.want)
				}
				if reply.Open() || reply.Send(1) {
					t.Error("a failed call takes an answer")
				}
			})
		})
	}
}

// A request that its callee crashes on fails, and only that one.
func TestCallThatCrashesTheCallee(t *testing.T) {
	bubble(t, Config{Intensity: 100}, func(t *testing.T, s *System) {
		keep := make(chan Reply[int], 1)
		r := spawnRoot(t, s, stateless("a", crasher(func(c *Context, msg any) {
			switch m := msg.(type) {
			case Reply[bool]:
				panic("bang")
			case ask:
				m.r.Send(42)
			}
		})))
		for range 5 {
			if _, err := Call(context.Background(), r, func(r Reply[bool]) any { return r }); !errors.Is(err, ErrCrashed) {
				t.Errorf("got %v", err)
			}
			if v, err := Call(context.Background(), r, asking); v != 42 || err != nil {
				t.Errorf("the next one: %v, %v", v, err)
			}
		}
		silent(t, keep)
	})
}

// A call that is queued when its callee crashes is answered by the next
// instance; one that is queued at a stop fails.
func TestQueuedCalls(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, s *System) {
		entered, leave := make(chan bool), make(chan string)
		r := spawnRoot(t, s, stateless("a", crasher(func(c *Context, msg any) {
			switch m := msg.(type) {
			case ask:
				m.r.Send(42)
			case string:
				entered <- true
				if <-leave == "panic" {
					panic("bang")
				}
			}
		})))
		type result struct {
			v   int
			err error
		}
		results := make(chan result, 2)
		call := func() {
			v, err := Call(context.Background(), r, asking)
			results <- result{v, err}
		}
		r.Send("block")
		<-entered
		go call()
		synctest.Wait()
		leave <- "panic"
		if got := <-results; got != (result{42, nil}) {
			t.Errorf("queued across a crash: %v", got)
		}
		r.Send("block")
		<-entered
		go call()
		go call()
		synctest.Wait()
		r.Stop()
		leave <- ""
		for range 2 {
			if got := <-results; !errors.Is(got.err, ErrStopped) {
				t.Errorf("queued at a stop: %v", got)
			}
		}
	})
}

func TestCallContext(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, s *System) {
		keep := make(chan Reply[int], 1)
		r := spawnRoot(t, s, stateless("a", holder(keep)))
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if _, err := Call(ctx, r, asking); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if reply := <-keep; reply.Send(1) {
			t.Error("an abandoned call takes an answer")
		}
		if r.c.ties != nil {
			t.Error("an abandoned call is kept")
		}
	})
}

func TestDelegate(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, s *System) {
		keep := make(chan Reply[int], 1)
		back := spawnRoot(t, s, stateless("back", holder(keep)))
		to := back
		front := spawnRoot(t, s, stateless("front", crasher(func(c *Context, msg any) {
			if m, ok := msg.(ask); ok {
				m.r.Delegate(to)
				to.Send(m)
			}
		})))
		errs := make(chan error, 1)
		call := func() {
			_, err := Call(context.Background(), front, asking)
			errs <- err
		}
		go call()
		reply := <-keep
		front.Send(boom{})
		synctest.Wait()
		silent(t, errs)
		reply.Send(1)
		if err := <-errs; err != nil {
			t.Errorf("answered by the delegate: %v", err)
		}
		go call()
		<-keep
		back.Send(boom{})
		if err := <-errs; !errors.Is(err, ErrCrashed) {
			t.Errorf("the delegate crashed: %v", err)
		}
		back.Stop()
		synctest.Wait()
		go call()
		if err := <-errs; !errors.Is(err, ErrStopped) {
			t.Errorf("the delegate has stopped: %v", err)
		}
		synctest.Wait()
		to = Ref{}
		go call()
		if err := <-errs; !errors.Is(err, ErrStopped) {
			t.Errorf("delegated to nobody: %v", err)
		}
		if front.c.ties != nil {
			t.Error("a delegated call is kept")
		}
	})
}

func TestAsk(t *testing.T) {
	bubble(t, Config{Intensity: 100}, func(t *testing.T, s *System) {
		type answered struct {
			v   int
			err error
		}
		answer := func(v int, err error) any { return answered{v, err} }
		got := make(chan answered, 10)
		asker := spawnRoot(t, s, stateless("asker", runner(func(c *Context, msg any) {
			if m, ok := msg.(answered); ok {
				got <- m
			}
		})))
		keep := make(chan Reply[int], 1)
		callee := spawnRoot(t, s, stateless("callee", holder(keep)))

		Ask(asker, callee, asking, answer)
		(<-keep).Send(42)
		if m := <-got; m != (answered{42, nil}) {
			t.Errorf("got %v", m)
		}
		Ask(asker, callee, asking, answer)
		<-keep
		callee.Send(boom{})
		if m := <-got; !errors.Is(m.err, ErrCrashed) {
			t.Errorf("got %v", m)
		}
		Ask(asker, callee, asking, answer)
		<-keep
		callee.Stop()
		if m := <-got; !errors.Is(m.err, ErrStopped) {
			t.Errorf("got %v", m)
		}
		Ask(asker, callee, asking, answer)
		if m := <-got; !errors.Is(m.err, ErrStopped) {
			t.Errorf("got %v", m)
		}
	})
}

// A callee that answers, crashes and stops while callers come and give up:
// every call returns, and -race has nothing to say.
func TestCallsUnderFire(t *testing.T) {
	s := startSystem(t, Config{Intensity: 1 << 30})
	var spare Ref
	callee := func(name string) Spec {
		n := 0
		return stateless(name, crasher(func(c *Context, msg any) {
			if m, ok := msg.(ask); ok {
				switch n++; n % 4 {
				case 0: // forgotten
				case 1:
					m.r.Delegate(spare)
					spare.Send(m)
				default:
					m.r.Send(n)
				}
			}
		}))
	}
	sp := stateless("spare", crasher(func(c *Context, msg any) {
		if m, ok := msg.(ask); ok {
			m.r.Send(1)
		}
	}))
	spare = spawnRoot(t, s, sp)
	target := spawnRoot(t, s, callee("target"))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 300 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%5)*100*time.Microsecond)
				_, err := Call(ctx, target, asking)
				cancel()
				if err != nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, ErrCrashed) && !errors.Is(err, ErrStopped) {
					t.Error(err)
				}
				if i%50 == 0 {
					target.Send(boom{})
					spare.Send(boom{})
				}
			}
		})
	}
	wg.Wait()
	target.Stop()
	spare.Stop()
	receive(t, target.Gone())
	receive(t, spare.Gone())
	if target.c.ties != nil || spare.c.ties != nil {
		t.Error("calls are kept by actors that have ended")
	}
}
