package kernel

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// bubble runs f with fake time and a system that is shut down at its end.
func bubble(t *testing.T, cfg Config, f func(t *testing.T, s *System)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := NewSystem(cfg)
		f(t, s)
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if n := s.Stats().Actors; n != 0 {
			t.Errorf("%d actors alive after shutdown", n)
		}
	})
}

func TestRestartKeepsMailboxAndRef(t *testing.T) {
	s := startSystem(t, Config{})
	got := make(chan any, 20)
	entered, leave := make(chan bool), make(chan bool)
	r := spawnRoot(t, s, spec("a", func() Func {
		n := 0 // state of one instance
		return func(c *Context, msg any) {
			switch msg {
			case "block":
				entered <- true
				<-leave
				return
			case "panic":
				n = 100
				panic("bang")
			case "count":
				n++
				got <- n
				return
			}
			got <- msg
		}
	}))
	receive(t, got)
	r.Send("block")
	receive(t, entered)
	for _, m := range []any{"count", "panic", "count", "count"} {
		r.Send(m)
	}
	leave <- true
	if m := receive(t, got); m != 1 {
		t.Fatalf("got %v, want 1", m)
	}
	st, ok := receive(t, got).(Stopping)
	var crash *CrashError
	if !ok || !st.Restarting || !errors.As(st.Reason, &crash) || crash.Value != "bang" {
		t.Fatalf("the failed instance is told %+v", st)
	}
	if !strings.Contains(string(crash.Stack), "TestRestartKeepsMailboxAndRef") {
		t.Fatalf("the stack does not show the handler:\n%s", crash.Stack)
	}
	up, ok := receive(t, got).(Started)
	if !ok || up.Restarts != 1 || !errors.Is(up.Reason, crash) {
		t.Fatalf("the next instance is told %+v", up)
	}
	for want := 1; want <= 2; want++ {
		if m := receive(t, got); m != want {
			t.Fatalf("got %v, want %d from a new instance and the kept queue", m, want)
		}
	}
	if !r.Send("count") || receive(t, got) != 3 {
		t.Fatal("the reference did not survive the restart")
	}
	k := s.Stats().Kinds[0]
	if n := s.Tree(0)[0]; n.Restarts != 1 || k.Restarts != 1 || k.Failures != 1 {
		t.Fatalf("restarts %d, kind %+v", n.Restarts, k)
	}
}

// A panic in every stage of an actor's life is survived, and the actor can be
// stopped afterwards.
func TestPanicInEveryStage(t *testing.T) {
	for _, stage := range []string{"new", "started", "message", "drained", "child gone", "stopping", "restarting", "goexit", "goexit in stopping", "nil"} {
		t.Run(stage, func(t *testing.T) {
			bubble(t, Config{}, func(t *testing.T, s *System) {
				bad := true // the instances run one after another
				trip := func(now string) {
					if stage == now && bad {
						bad = false
						panic("bang in " + now)
					}
				}
				failures := uint64(1)
				sp := Spec{Name: "a", Kind: "test", Drained: true, New: func() Actor {
					trip("new")
					return Func(func(c *Context, msg any) {
						switch m := msg.(type) {
						case Started:
							trip("started")
							if _, err := c.Spawn(stateless("child", crasher(nil))); err != nil {
								t.Error(err)
							}
						case Drained:
							trip("drained")
						case ChildGone:
							trip("child gone")
						case Stopping:
							if m.Restarting {
								trip("restarting")
								return
							}
							trip("stopping")
							if stage == "goexit in stopping" && bad {
								bad = false
								runtime.Goexit()
							}
						case string:
							switch {
							case m == "goexit" && bad:
								bad = false
								runtime.Goexit()
							case m == "nil" && bad:
								bad = false
								s.Tree(0)[len(m)].Name = "" // a panic of the runtime's
							case m == "fail":
								panic("asked for")
							}
							trip(m)
						case Reply[bool]:
							m.Send(true)
						}
					})
				}}
				r := spawnRoot(t, s, sp)
				synctest.Wait()
				switch stage {
				case "message", "goexit", "nil":
					r.Send(stage)
				case "child gone":
					s.Tree(0) // the child is there
					r.c.first.stop()
					synctest.Wait()
				case "restarting":
					r.Send("fail")
					failures = 2
				}
				if ok, err := Call(t.Context(), r, func(r Reply[bool]) any { return r }); !ok || err != nil {
					t.Errorf("the actor does not work after it: %v", err)
				}
				r.Stop()
				<-r.Gone()
				k := s.Stats().Kinds[0]
				if bad || k.Failures != failures {
					t.Errorf("tripped %v, %d failures counted, want %d", !bad, k.Failures, failures)
				}
				if k.Actors != 0 {
					t.Errorf("%d actors alive", k.Actors)
				}
			})
		})
	}
}

// 10,000 failures over time never end a supervisor that is within its
// intensity, whatever supervises: the system, a parent, or one child's own
// count; and what is remembered of them stays small.
func TestTenThousandRestartsOverTime(t *testing.T) {
	for _, tc := range []struct {
		name     string
		restart  Restart
		strategy Strategy
	}{
		{"permanent", Permanent, OneForOne},
		{"contained", Contained, OneForOne},
		{"one for all", Permanent, OneForAll},
		{"rest for one", Permanent, RestForOne},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, Config{}, func(t *testing.T, s *System) {
				const failures = 10000
				var child Ref
				starts := 0
				parent := stateless("p", func(c *Context, msg any) {
					if m, ok := msg.(Started); ok {
						if m.Restarts > 0 {
							t.Errorf("the supervisor was restarted: %v", m.Reason)
						}
						sp := stateless("c", crasher(func(c *Context, msg any) {
							if _, ok := msg.(Started); ok {
								starts++
							}
						}))
						sp.Restart = tc.restart
						child, _ = c.Spawn(sp)
					}
				})
				parent.Strategy = tc.strategy
				root := spawnRoot(t, s, parent)
				synctest.Wait()
				for i := range failures {
					if !child.Send(boom{i}) {
						t.Fatalf("failure %d ended the child", i)
					}
					time.Sleep(1001 * time.Millisecond) // fake: 10 in each 10 s
				}
				synctest.Wait()
				if starts != failures+1 || !root.Alive() || !child.Alive() {
					t.Fatalf("%d starts, root alive %v, child alive %v", starts, root.Alive(), child.Alive())
				}
				own, below := child.c.sup.own.times, []time.Time(nil)
				if root.c.sup != nil {
					below = root.c.sup.below.times
				}
				if len(own) > 11 || len(below) > 11 || cap(own)+cap(below) > 64 {
					t.Fatalf("%d and %d failures remembered", len(own), len(below))
				}
				if st := s.Stats(); st.SystemDead != 0 {
					t.Errorf("%d dead letters in protoactor", st.SystemDead)
				}
			})
		})
	}
}

// A root, too, lives through 10,000 failures over time.
func TestTenThousandRestartsOfARoot(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, s *System) {
		r := spawnRoot(t, s, stateless("r", crasher(nil)))
		for i := range 10000 {
			if !r.Send(boom{i}) {
				t.Fatalf("failure %d ended the root", i)
			}
			time.Sleep(1001 * time.Millisecond)
		}
		if n := s.Tree(0)[0].Restarts; n != 10000 || s.Err() != nil {
			t.Fatalf("%d restarts, %v", n, s.Err())
		}
	})
}

// Failures at the bottom go up level by level, each restarting what is below
// it, until the root is given up: once, with a reason that tells the way.
func TestEscalationToFatal(t *testing.T) {
	var out logBuffer
	fatal := make(chan error, 2)
	cfg := Config{
		Intensity: 2, Period: 10 * time.Second,
		Logger:  slog.New(slog.NewTextHandler(&out, nil)),
		OnFatal: func(root string, reason error) { fatal <- fmt.Errorf("%s: %w", root, reason) },
	}
	errBroken := errors.New("broken for good")
	synctest.Test(t, func(t *testing.T) {
		s := NewSystem(cfg)
		var mu sync.Mutex
		starts := map[string]int{}
		count := func(c *Context) {
			mu.Lock()
			defer mu.Unlock()
			starts[c.Name()]++
		}
		bottom := stateless("bottom", func(c *Context, msg any) {
			if _, ok := msg.(Started); ok {
				count(c)
				panic(errBroken)
			}
		})
		middle := stateless("middle", func(c *Context, msg any) {
			if _, ok := msg.(Started); ok {
				count(c)
				c.Spawn(bottom)
			}
		})
		middle.Intensity, middle.Period = 1, time.Minute
		root := spawnRoot(t, s, stateless("top", func(c *Context, msg any) {
			if _, ok := msg.(Started); ok {
				count(c)
				c.Spawn(middle)
			}
		}))
		bystander := spawnRoot(t, s, stateless("bystander", runner(nil)))
		begun := time.Now()
		<-s.Done()
		if took := time.Since(begun); took > 60*time.Second {
			t.Errorf("giving up took %v of fake time", took)
		}
		// top: 1+2; middle: 3 each time; bottom: 2 each time.
		want := map[string]int{"top": 3, "middle": 9, "bottom": 18}
		mu.Lock()
		for name, n := range want {
			if starts[name] != n {
				t.Errorf("%s started %d times, want %d", name, starts[name], n)
			}
		}
		mu.Unlock()
		err := <-fatal
		var intensity *IntensityError
		if !errors.Is(err, errBroken) || !errors.As(err, &intensity) || intensity.Failures != 3 {
			t.Errorf("OnFatal was told %v", err)
		}
		var fe *FatalError
		if !errors.As(s.Err(), &fe) || fe.Root != "top" {
			t.Errorf("Err: %v", s.Err())
		}
		if root.Alive() || !bystander.Alive() {
			t.Errorf("root alive %v, bystander alive %v", root.Alive(), bystander.Alive())
		}
		synctest.Wait()
		if n := s.Stats().Actors; n != 1 {
			t.Errorf("%d actors alive, want the bystander", n)
		}
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if !errors.As(s.Err(), &fe) {
			t.Errorf("Err after Shutdown: %v", s.Err())
		}
		silent(t, fatal)
	})
	if !strings.Contains(out.String(), "actor root given up") {
		t.Errorf("no last line: %s", out.String())
	}
}

// OnFatal comes even if the subtree does not stop.
func TestFatalGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fatal := make(chan string, 1)
		s := NewSystem(Config{
			Intensity: NoRestarts, FatalGrace: 3 * time.Second,
			OnFatal: func(root string, _ error) { fatal <- root },
		})
		leave := make(chan bool)
		r := spawnRoot(t, s, stateless("r", crasher(func(c *Context, msg any) {
			if _, ok := msg.(Stopping); ok {
				<-leave
			}
		})))
		begun := time.Now()
		r.Send(boom{})
		if root := <-fatal; root != "r" || time.Since(begun) != 3*time.Second {
			t.Errorf("%s given up after %v", root, time.Since(begun))
		}
		close(leave)
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

func TestBackoff(t *testing.T) {
	bubble(t, Config{BackoffMin: 100 * time.Millisecond}, func(t *testing.T, s *System) {
		var at []time.Time
		sibling := make(chan any, 100)
		parent := stateless("p", func(c *Context, msg any) {
			if _, ok := msg.(Started); !ok {
				return
			}
			c.Spawn(stateless("bad", func(c *Context, msg any) {
				if _, ok := msg.(Started); ok {
					at = append(at, time.Now())
					if len(at) <= 6 {
						panic("again")
					}
				}
			}))
			c.Spawn(stateless("good", func(c *Context, msg any) { sibling <- msg }))
		})
		root := spawnRoot(t, s, parent)
		synctest.Wait()
		good := root.c.last
		<-sibling
		good.post("hello", false)
		if m := <-sibling; m != "hello" { // fake time has not moved
			t.Fatalf("the sibling got %v", m)
		}
		time.Sleep(9 * time.Second)
		synctest.Wait()
		if len(at) != 7 {
			t.Fatalf("%d starts", len(at))
		}
		for i, base := range []time.Duration{0, 100, 200, 400, 500, 500} { // capped by 10 s / 20
			base *= time.Millisecond
			if d := at[i+1].Sub(at[i]); d < base*3/4 || d > base*5/4 {
				t.Errorf("pause %d is %v, want %v and a quarter", i+1, d, base)
			}
		}
		silent(t, sibling)
	})
}

// The pauses of one period leave room for the failure that exceeds the
// intensity, however the numbers are chosen.
func TestPausesDoNotHideAFailingActor(t *testing.T) {
	s := &System{cfg: Config{BackoffMin: time.Hour, BackoffMax: 10 * time.Hour}}
	for _, l := range []limit{{1, time.Second}, {2, time.Minute}, {10, 10 * time.Second}, {1000, time.Second}, {0, time.Second}} {
		var sum time.Duration
		for n := 1; n <= l.n; n++ {
			sum += s.pause(n, l)
		}
		if sum > l.period*2/3 {
			t.Errorf("%+v: pauses of %v", l, sum)
		}
	}
}

func TestWindow(t *testing.T) {
	now := time.Unix(1e9, 0)
	for _, tc := range []struct {
		name string
		l    limit
		at   []int // seconds
		want []int
	}{
		{"within", limit{2, 10 * time.Second}, []int{0, 1, 2, 3}, []int{1, 2, 3, 3}},
		{"the edge is outside", limit{5, 10 * time.Second}, []int{0, 10, 19, 20}, []int{1, 1, 2, 2}},
		{"none allowed", limit{0, 10 * time.Second}, []int{0, 1, 100}, []int{1, 1, 1}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var w window
			for i, sec := range tc.at {
				if n := w.add(now.Add(time.Duration(sec)*time.Second), tc.l); n != tc.want[i] {
					t.Errorf("failure %d: %d, want %d", i, n, tc.want[i])
				}
			}
		})
	}
}

// family is a parent with children of the given names, all crashers, and the
// order of what happens to them.
type family struct {
	mu     sync.Mutex
	events []string
	kids   map[string]Ref
	gone   []ChildGone
	up     map[string]bool
	slow   func() time.Duration // what Stopping takes
}

func (f *family) note(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events = append(f.events, fmt.Sprintf(format, args...))
}

func (f *family) take() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	e := f.events
	f.events = nil
	return e
}

func startFamily(t *testing.T, s *System, parent Spec, edit func(*Spec), names ...string) (*family, Ref) {
	f := &family{kids: map[string]Ref{}, up: map[string]bool{}}
	parent.New = func() Actor {
		return runner(func(c *Context, msg any) {
			switch m := msg.(type) {
			case Started:
				for _, name := range names {
					sp := stateless(name, crasher(func(c *Context, msg any) {
						switch m := msg.(type) {
						case Started:
							f.note("+%s", c.Name())
							f.mu.Lock()
							f.up[c.Name()] = true
							if later := names[slices.Index(names, c.Name())+1:]; m.Restarts > 0 && parent.Strategy != OneForOne {
								for _, l := range later {
									if f.up[l] {
										t.Errorf("%s starts while %s, which comes after it, is up", c.Name(), l)
									}
								}
							}
							f.mu.Unlock()
						case Stopping:
							if f.slow != nil {
								time.Sleep(f.slow())
							}
							f.mu.Lock()
							f.up[c.Name()] = false
							f.mu.Unlock()
							f.note("-%s", c.Name())
						}
					}))
					if edit != nil {
						edit(&sp)
					}
					r, err := c.Spawn(sp)
					if err != nil {
						t.Error(err)
					}
					f.kids[name] = r
				}
			case ChildGone:
				f.mu.Lock()
				f.gone = append(f.gone, m)
				f.mu.Unlock()
			}
		})
	}
	root := spawnRoot(t, s, parent)
	synctest.Wait()
	f.take()
	return f, root
}

func TestStrategies(t *testing.T) {
	for _, tc := range []struct {
		strategy Strategy
		want     []string
	}{
		{OneForOne, []string{"-b", "+b"}},
		{OneForAll, []string{"+a", "+b", "+c", "+d"}},
		{RestForOne, []string{"+b", "+c", "+d"}},
	} {
		t.Run(fmt.Sprint(tc.strategy), func(t *testing.T) {
			bubble(t, Config{}, func(t *testing.T, s *System) {
				f, root := startFamily(t, s, Spec{Name: "p", Kind: "sup", Strategy: tc.strategy}, nil, "a", "b", "c", "d")
				before := maps(f.kids)
				for range 3 { // the first restart is immediate, the others pause
					f.kids["b"].Send(boom{})
					time.Sleep(time.Second)
					got := f.take()
					if tc.strategy != OneForOne {
						// All have ended before the first one starts again.
						n := len(tc.want)
						down, up := got[:min(n, len(got))], got[min(n, len(got)):]
						for _, e := range down {
							if e[0] != '-' {
								t.Fatalf("a start before the last end: %v", got)
							}
						}
						got = up
					}
					if !slices.Equal(got, tc.want) {
						t.Fatalf("got %v, want %v", got, tc.want)
					}
				}
				if after := maps(f.kids); after != before || len(f.gone) != 0 || root.c.childCount() != 4 {
					t.Errorf("references %s, then %s; gone %v", before, after, f.gone)
				}
				for name, r := range f.kids {
					do(t, r, func(c *Context) {
						if c.Name() != name {
							t.Errorf("%s answers for %s", c.Name(), name)
						}
					})
				}
			})
		})
	}
}

func maps(m map[string]Ref) string { return fmt.Sprint(m) }

// In a group a member that fails while it starts, or is stopped, does not
// leave the others behind.
func TestGroupUnderFurtherFailures(t *testing.T) {
	for _, strategy := range []Strategy{OneForAll, RestForOne} {
		bubble(t, Config{Intensity: 1000}, func(t *testing.T, s *System) {
			names := []string{"a", "b", "c", "d", "e"}
			f, root := startFamily(t, s, Spec{Name: "p", Kind: "sup", Strategy: strategy, Intensity: 1000, Period: time.Second}, nil, names...)
			rng := rand.New(rand.NewPCG(1, uint64(strategy)))
			f.slow = func() time.Duration { return rand.N(3 * time.Millisecond) }
			for range 300 {
				for range 1 + rng.IntN(4) {
					f.kids[names[rng.IntN(len(names))]].Send(boom{})
					if rng.IntN(2) == 0 {
						time.Sleep(time.Duration(rng.IntN(3)) * time.Millisecond)
					}
				}
				if rng.IntN(10) == 0 {
					time.Sleep(3 * time.Second)
				}
			}
			f.kids["c"].Send(boom{})
			f.kids["d"].Stop()
			time.Sleep(3 * time.Second)
			for _, name := range names {
				if name == "d" {
					continue
				}
				do(t, f.kids[name], func(*Context) {})
			}
			if root.c.sup.group != nil || root.c.childCount() != 4 || root.c.restarts.Load() != 0 {
				t.Errorf("group %+v, %d children, %d restarts", root.c.sup.group, root.c.childCount(), root.c.restarts.Load())
			}
		})
	}
}

// A root that is not Permanent ends alone.
func TestRootsThatMayEnd(t *testing.T) {
	for _, restart := range []Restart{Contained, Temporary} {
		bubble(t, Config{Intensity: NoRestarts, OnFatal: func(root string, err error) { t.Errorf("%s given up: %v", root, err) }},
			func(t *testing.T, s *System) {
				sp := stateless("r", crasher(nil))
				sp.Restart = restart
				r := spawnRoot(t, s, sp)
				r.Send(boom{})
				<-r.Gone()
				time.Sleep(time.Minute)
				if s.Err() != nil {
					t.Errorf("Err: %v", s.Err())
				}
			})
	}
}

// One session that cannot be helped ends alone, however many others fail.
func TestContained(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, s *System) {
		names := make([]string, 50)
		for i := range names {
			names[i] = fmt.Sprint(i)
		}
		f, root := startFamily(t, s, Spec{Name: "p", Kind: "sup", Intensity: 3},
			func(sp *Spec) { sp.Restart = Contained }, names...)
		for _, r := range f.kids {
			r.Send(boom{"once"})
		}
		time.Sleep(20 * time.Second)
		if n := s.Tree(-1)[0].Groups[0]; n.Count != 50 || n.Restarts != 50 || n.Suspended != 0 {
			t.Fatalf("after one failure of each: %+v", n)
		}
		last := errors.New("for ever")
		bad := f.kids["7"]
		for range 4 {
			bad.Send(boom{last})
			time.Sleep(2 * time.Second)
		}
		synctest.Wait()
		var intensity *IntensityError
		if len(f.gone) != 1 || f.gone[0].Ref != bad || !errors.Is(f.gone[0].Reason, last) || !errors.As(f.gone[0].Reason, &intensity) {
			t.Fatalf("gone: %+v", f.gone)
		}
		if root.c.restarts.Load() != 0 || root.c.childCount() != 49 {
			t.Fatalf("%d restarts of the parent, %d children", root.c.restarts.Load(), root.c.childCount())
		}
	})
}

func TestTemporary(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, s *System) {
		f, _ := startFamily(t, s, Spec{Name: "p", Kind: "sup", Intensity: NoRestarts},
			func(sp *Spec) { sp.Restart = Temporary }, "a", "b")
		f.kids["a"].Send(boom{"x"})
		synctest.Wait()
		var crash *CrashError
		if len(f.gone) != 1 || f.gone[0].Name != "a" || !errors.As(f.gone[0].Reason, &crash) {
			t.Fatalf("gone: %+v", f.gone)
		}
		if !f.kids["b"].Alive() {
			t.Fatal("the sibling was stopped")
		}
	})
}

// A parent's restart ends its children before the next instance begins, so
// that Started can spawn the same names.
func TestRestartOfAParentRespawnsChildren(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, s *System) {
		f, root := startFamily(t, s, Spec{Name: "p", Kind: "sup"}, nil, "a", "b")
		old := f.kids["a"]
		root.Send(func(*Context) { panic("parent") })
		synctest.Wait()
		if got := f.take(); len(got) != 4 || got[0][0] != '-' || got[1][0] != '-' || got[2][0] != '+' || got[3][0] != '+' {
			t.Fatalf("got %v", got)
		}
		if old == f.kids["a"] || old.Send(1) || !f.kids["a"].Send(1) {
			t.Fatal("the old child's reference reaches the new one")
		}
		if len(f.gone) != 0 {
			t.Fatalf("the new instance is told of the old one's children: %v", f.gone)
		}
	})
}

// Stopping in the middle of a pause, a halt or a restart ends it.
func TestStopWhileRestarting(t *testing.T) {
	for _, strategy := range []Strategy{OneForOne, OneForAll, RestForOne} {
		bubble(t, Config{BackoffMin: time.Second, BackoffMax: time.Second}, func(t *testing.T, s *System) {
			f, root := startFamily(t, s, Spec{Name: "p", Kind: "sup", Strategy: strategy, Intensity: 5, Period: time.Minute}, nil, "a", "b")
			f.kids["a"].Send(boom{})
			f.kids["a"].Send(boom{})
			synctest.Wait() // a waits for its second restart
			if st := s.Tree(0)[0].Nodes[0].State; st != "suspended" && st != "restarting" {
				t.Errorf("state %s", st)
			}
			if strategy == OneForOne {
				f.kids["a"].Stop()
				synctest.Wait()
				if f.kids["a"].Alive() || len(f.gone) != 1 {
					t.Error("a paused child does not stop")
				}
			}
			root.Stop()
			synctest.Wait()
			if n := s.Stats().Actors; n != 0 {
				t.Errorf("%d actors alive", n)
			}
			time.Sleep(time.Minute) // the timers find nobody
		})
	}
}

// Failure lines carry the stack but not the message, and do not flood.
func TestFailureLog(t *testing.T) {
	var out logBuffer
	cfg := Config{Intensity: 1000, Logger: slog.New(slog.NewTextHandler(&out, nil))}
	bubble(t, cfg, func(t *testing.T, s *System) {
		r := spawnRoot(t, s, stateless("a", func(c *Context, msg any) {
			if _, ok := msg.([]byte); ok {
				panic("bang")
			}
		}))
		for range 100 {
			r.Send([]byte("PAYLOAD-SECRET"))
		}
		time.Sleep(5 * time.Minute)
		r.Send([]byte("PAYLOAD-SECRET"))
		synctest.Wait()
	})
	log := out.String()
	if strings.Contains(log, "SECRET") || strings.Contains(log, "80 65 89") {
		t.Error("a payload is in the log")
	}
	if !strings.Contains(log, "TestFailureLog") || !strings.Contains(log, "suppressed=") {
		t.Errorf("no stack, or nothing suppressed:\n%s", log)
	}
	if n := strings.Count(log, "actor failed"); n < logBurst || n > 100 {
		t.Errorf("%d lines for 101 failures", n)
	}
}

// After a thousand crashes under load nothing has piled up.
func TestCrashesLeakNothing(t *testing.T) {
	s := startSystem(t, Config{Intensity: 1 << 30})
	var child Ref
	parent := stateless("p", runner(func(c *Context, msg any) {
		if _, ok := msg.(Started); ok {
			child, _ = c.Spawn(stateless("c", crasher(nil)))
		}
	}))
	parent.Intensity = 1 << 20
	parent.Period = time.Millisecond
	root := spawnRoot(t, s, parent)
	do(t, root, func(*Context) {})
	before := runtime.NumGoroutine() + maxParked
	for range 1000 {
		child.Send(1)
		child.Send(boom{})
	}
	eventually(t, "1000 restarts", func() bool { return child.c.restarts.Load() == 1000 })
	do(t, child, func(*Context) {})
	if n := runtime.NumGoroutine(); n > before {
		t.Errorf("%d goroutines, %d before", n, before)
	}
	if len(root.c.sup.below.times) > 1000 || child.c.ties != nil || child.MailboxLen() != 0 {
		t.Errorf("left: %d failures, ties %v", len(root.c.sup.below.times), child.c.ties)
	}
}
