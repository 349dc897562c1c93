package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ermine/actors/fault"
	"ermine/actors/kernel"
	"ermine/node/dist"
)

func TestMain(m *testing.M) {
	// ergo leaves the goroutine of its signal handler behind, one for each node.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("ergo.services/ergo/node.(*node).SetCTRLC.func1"))
}

// patience is the deadline of everything that is waited for.
const testPatience = 30 * time.Second

// stage records what the services of a test did, and wakes who waits for it.
type stage struct {
	mu     sync.Mutex
	events []string
	lives  map[string]*actor // the present life of each name
	more   *sync.Cond

	failStart map[string]int // of these the next starts fail
}

func newStage() *stage {
	s := &stage{lives: map[string]*actor{}, failStart: map[string]int{}}
	s.more = sync.NewCond(&s.mu)
	return s
}

func (s *stage) say(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, fmt.Sprintf(format, args...))
	s.more.Broadcast()
}

// await waits until ok holds.
func (s *stage) await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	late := false
	timer := time.AfterFunc(testPatience, func() {
		s.mu.Lock()
		late = true
		s.mu.Unlock()
		s.more.Broadcast()
	})
	defer timer.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for !ok() {
		if late {
			t.Fatalf("%s: not in time; so far: %s", what, strings.Join(s.events, ", "))
		}
		s.more.Wait()
	}
}

// awaitEvents waits for the events since mark and returns the new mark.
func (s *stage) awaitEvents(t *testing.T, mark int, want string) int {
	t.Helper()
	n := len(strings.Split(want, ", "))
	s.await(t, want, func() bool { return len(s.events) >= mark+n })
	s.mu.Lock()
	defer s.mu.Unlock()
	if got := strings.Join(s.events[mark:], ", "); got != want {
		t.Fatalf("events %q, want %q", got, want)
	}
	return len(s.events)
}

// actor is a service of a test.
type actor struct {
	stage *stage
	name  string
	done  chan struct{}
	once  sync.Once
	err   error
}

func (s *stage) child(name string) Child {
	return Child{Name: name, New: func() Service { return &actor{stage: s, name: name, done: make(chan struct{})} }}
}

func (a *actor) Start(context.Context) error {
	s := a.stage
	s.mu.Lock()
	if s.failStart[a.name] > 0 {
		s.failStart[a.name]--
		s.mu.Unlock()
		s.say("fail %s", a.name)
		return errors.New("no luck")
	}
	s.lives[a.name] = a
	s.mu.Unlock()
	s.say("start %s", a.name)
	return nil
}

func (a *actor) Stop(context.Context) error {
	a.stage.say("stop %s", a.name)
	return nil
}

func (a *actor) Done() <-chan struct{} { return a.done }
func (a *actor) Err() error            { return a.err }

// crash lets the present life of a name fail.
func (s *stage) crash(name string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.lives[name]
	a.once.Do(func() {
		a.err = err
		close(a.done)
	})
}

// number gives each test node its own name.
var number atomic.Int64

func launch(t *testing.T, opts Options) *Node {
	t.Helper()
	opts.Logger = slog.New(slog.DiscardHandler)
	opts.Network = dist.Options{Name: fmt.Sprintf("t%d@127.0.0.1", number.Add(1)), Cookie: "c", NoListen: true}
	n, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), testPatience)
		defer cancel()
		if err := n.Stop(ctx); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return n
}

func boots(t *testing.T, n *Node) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testPatience)
	defer cancel()
	if err := n.Boot(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestBootRestartStop(t *testing.T) {
	s := newStage()
	n := launch(t, Options{Children: []Child{s.child("one"), s.child("two"), s.child("three")}})
	boots(t, n)
	mark := s.awaitEvents(t, 0, "start one, start two, start three")
	s.crash("two", errors.New("boom"))
	mark = s.awaitEvents(t, mark, "stop two, stop three, start two, start three")
	s.mu.Lock()
	s.failStart["three"] = 1
	s.mu.Unlock()
	s.crash("three", nil) // an end that nobody asked for is a failure too
	mark = s.awaitEvents(t, mark, "stop three, fail three, start three")

	awaitTree(t, n, func(top kernel.TreeNode) bool {
		return slices.EqualFunc(top.Nodes, []int{0, 1, 2}, func(c kernel.TreeNode, restarts int) bool {
			return c.State == "running" && c.Restarts == restarts
		})
	})
	if err := n.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.awaitEvents(t, mark, "stop three, stop two, stop one")
	if err := n.Err(); err != nil {
		t.Errorf("after a stop: %v", err)
	}
}

// awaitTree waits for a state of the tree; it changes without an event to wait
// for.
func awaitTree(t *testing.T, n *Node, ok func(top kernel.TreeNode) bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(testPatience)
	for {
		tree := n.Tree(0)
		if ok(tree[0]) {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("tree: %+v", tree)
		}
	}
}

func TestBootFails(t *testing.T) {
	s := newStage()
	s.failStart["two"] = 1
	n := launch(t, Options{Children: []Child{s.child("one"), s.child("two"), s.child("three")}})
	err := n.Boot(t.Context())
	if err == nil || err.Error() != "start two: no luck" {
		t.Fatalf("Boot: %v", err)
	}
	s.awaitEvents(t, 0, "start one, fail two, stop one")
}

// slow is a service whose start takes until its context ends.
type slow struct{ *actor }

func (s slow) Start(ctx context.Context) error {
	s.stage.say("start %s", s.name)
	<-ctx.Done()
	return ctx.Err()
}

func TestBootInterrupted(t *testing.T) {
	s := newStage()
	n := launch(t, Options{Children: []Child{s.child("one"), {Name: "two", New: func() Service {
		return slow{&actor{stage: s, name: "two"}}
	}}}})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		s.await(t, "start two", func() bool { return len(s.events) == 2 })
		cancel()
	}()
	if err := n.Boot(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("Boot: %v", err)
	}
	s.awaitEvents(t, 0, "start one, start two, stop one")
}

func TestIntensityEndsTheNode(t *testing.T) {
	s := newStage()
	n := launch(t, Options{Children: []Child{s.child("one"), s.child("two")}, Intensity: 3, Period: time.Hour})
	boots(t, n)
	boom := errors.New("boom")
	for life := 1; life <= 4; life++ {
		s.await(t, "two", func() bool {
			return len(s.events) > 0 && s.events[len(s.events)-1] == "start two" && s.lives["two"].err == nil
		})
		s.crash("two", boom)
		if life < 4 {
			s.await(t, "restart", func() bool { return s.lives["two"].err == nil })
		}
	}
	select {
	case <-n.Done():
	case <-time.After(testPatience):
		t.Fatal("the node goes on")
	}
	var intensity *IntensityError
	if err := n.Err(); !errors.As(err, &intensity) || intensity.Child != "two" || !errors.Is(err, boom) {
		t.Errorf("Err: %v", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if last := s.events[len(s.events)-1]; last != "stop one" {
		t.Errorf("last event %q", last)
	}
}

// ergo's own supervisors end after some restarts of a named child, since its name
// becomes free too late; this one must not.
func TestManyRestarts(t *testing.T) {
	restarts := 10_000
	if testing.Short() || raceEnabled {
		restarts = 500
	}
	s := newStage()
	n := launch(t, Options{Children: []Child{s.child("one"), s.child("two")}, Intensity: restarts + 1, Period: time.Hour})
	boots(t, n)
	for range restarts {
		s.await(t, "life", func() bool {
			return s.lives["two"].err == nil && s.events[len(s.events)-1] == "start two"
		})
		s.crash("two", errors.New("boom"))
		s.await(t, "cleaned up", func() bool {
			last := s.events[len(s.events)-1]
			return last == "stop two" || s.lives["two"].err == nil
		})
	}
	awaitTree(t, n, func(top kernel.TreeNode) bool {
		return top.Nodes[1].Restarts == restarts && top.Nodes[1].State == "running" && top.Nodes[0].Restarts == 0
	})
}

func TestFaultPointOfAChild(t *testing.T) {
	s := newStage()
	n := launch(t, Options{Children: []Child{s.child("pointed"), s.child("behind")}})
	boots(t, n)
	mark := s.awaitEvents(t, 0, "start pointed, start behind")
	disarm, err := fault.Arm("node.pointed", fault.Spec{Action: fault.Error, OnNth: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer disarm()
	s.awaitEvents(t, mark, "stop pointed, stop behind, start pointed, start behind")
}

// stuck is a service that does not stop.
type stuck struct {
	*actor
	release chan struct{}
}

func (s stuck) Stop(context.Context) error {
	s.stage.say("stuck %s", s.name)
	<-s.release
	return nil
}

func TestStopIsBounded(t *testing.T) {
	s := newStage()
	release := make(chan struct{})
	n := launch(t, Options{Children: []Child{s.child("one"), {Name: "two", Shutdown: time.Millisecond, New: func() Service {
		return stuck{&actor{stage: s, name: "two", done: make(chan struct{})}, release}
	}}}})
	boots(t, n)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := n.stopChildren(ctx)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("stop: %v", err)
	}
	close(release)
	s.awaitEvents(t, 0, "start one, start two, stuck two, stop one")
}
