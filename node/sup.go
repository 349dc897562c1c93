package node

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"ergo.services/ergo/act"
	"ergo.services/ergo/gen"

	"ermine/actors/kernel"
)

// The messages of a supervisor.
type (
	// boot (cast, from the node) starts the children for the first time. It
	// comes when ergo has done with starting the application: its end would
	// race with that.
	boot struct{}
	// shutdown (cast, from the node) stops them for good.
	shutdown struct{}
	// again (info, from a timer): try to start the child once more.
	again struct{ child, life int }
	// overdue (info, from a timer): the child has not stopped in time.
	overdue struct{ child, life int }
)

// A child's name is free only some moments after its end was told: starting it
// is tried again after takenPause, for takenLimit at most. failedPause is the
// pause before a child whose start has failed is started again.
const (
	takenPause  = 2 * time.Millisecond
	takenLimit  = 5 * time.Second
	failedPause = 100 * time.Millisecond
)

// errNameTaken is the failure of a child whose name has not become free.
var errNameTaken = errors.New("another process holds the name")

// errOverdue is the failure of a child that did not stop in time.
var errOverdue = errors.New("did not stop in time")

// family is a supervisor as the rest of the program sees it.
type family struct {
	name     string
	specs    []Child
	log      *slog.Logger
	now      func() time.Time
	booted   chan struct{} // closed when all children run for the first time
	finished chan struct{} // closed when the supervisor has ended
	once     sync.Once

	mu      sync.Mutex
	mailbox gen.ProcessMailbox
	reason  error // of the end
	kids    []kid // what the live tree shows
}

type kid struct {
	pid      gen.PID
	life     *life
	phase    phase
	restarts int
}

// supervisor is the process that starts, watches, restarts and stops children in
// the way of OTP's supervisor. It is this project's own since ergo's supervisors
// end when the name of a child that they restart is not free yet.
//
// It never blocks: children start and stop in their own processes.
type supervisor struct {
	act.Actor
	f     *family
	plan  *plan
	lives []int // of each child: how many it has had
	taken []time.Time
	byPID map[gen.PID]int
}

// newSupervisor is the factory of a supervisor process.
func newSupervisor(f *family, strategy Strategy, intensity int, period time.Duration) gen.ProcessFactory {
	p := &plan{name: f.name, strategy: strategy, intensity: intensity, period: period, from: len(f.specs)}
	for _, c := range f.specs {
		p.children = append(p.children, planned{name: c.Name, restart: c.Restart, alone: c.Alone})
	}
	f.kids = make([]kid, len(f.specs))
	return func() gen.ProcessBehavior {
		return &supervisor{
			f: f, plan: p, lives: make([]int, len(f.specs)), taken: make([]time.Time, len(f.specs)), byPID: map[gen.PID]int{},
		}
	}
}

// Init implements act.ActorBehavior.
func (s *supervisor) Init(...any) error {
	s.SetTrapExit(true)
	s.f.mu.Lock()
	s.f.mailbox = s.Mailbox()
	s.f.mu.Unlock()
	return nil
}

// HandleMessage implements act.ActorBehavior.
func (s *supervisor) HandleMessage(_ gen.PID, message any) error {
	switch m := message.(type) {
	case boot:
	case shutdown:
		s.plan.shut(nil)
		for i := range s.f.kids { // a start that takes its time need not end
			if l := s.f.kids[i].life; l != nil && s.plan.children[i].phase == starting {
				l.cancel()
			}
		}
	case begun:
		if i, ok := s.byPID[m.pid]; ok {
			s.plan.started(i)
		}
	case gen.MessageExitPID:
		s.exited(m.PID, reasonOf(m.Reason))
	case again:
		if m.life == s.lives[m.child] && s.plan.children[m.child].phase == starting {
			s.spawn(m.child)
		}
	case overdue:
		if m.life == s.lives[m.child] && s.plan.children[m.child].phase == stopping {
			s.f.log.Error("child did not stop in time and is abandoned", "child", s.f.specs[m.child].Name)
			pid := s.f.kids[m.child].pid
			delete(s.byPID, pid)
			_ = s.Node().Kill(pid)
			s.plan.exited(m.child, errOverdue, s.f.now())
		}
	default:
		return nil // a stranger's
	}
	return s.proceed()
}

// proceed does what the plan says until there is something to wait for.
func (s *supervisor) proceed() error {
	defer s.publish()
	for {
		step := s.plan.next()
		switch step.do {
		case wait:
			return nil
		case start:
			s.start(step.child)
		case stop:
			s.halt(step.child)
		case ready:
			close(s.f.booted)
		case finish:
			if s.plan.reason != nil {
				return &exitReason{s.plan.reason}
			}
			return gen.TerminateReasonShutdown
		}
	}
}

// start begins a new life of a child.
func (s *supervisor) start(i int) {
	s.lives[i]++
	s.taken[i] = time.Time{}
	if s.plan.children[i].tries > 0 {
		s.after(failedPause, again{i, s.lives[i]})
		return
	}
	s.spawn(i)
}

func (s *supervisor) spawn(i int) {
	spec := s.f.specs[i]
	l := &life{service: spec.New()}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	pid, err := s.SpawnRegister(gen.Atom(spec.Name), func() gen.ProcessBehavior {
		return &keeper{spec: spec, life: l}
	}, gen.ProcessOptions{LinkChild: true, LinkParent: true})
	if err != nil {
		l.cancel()
		now := s.f.now()
		if s.taken[i].IsZero() {
			s.taken[i] = now
		}
		switch {
		case !errors.Is(err, gen.ErrTaken):
			s.plan.exited(i, err, now)
		case now.Sub(s.taken[i]) > takenLimit:
			s.plan.exited(i, errNameTaken, now)
		default:
			s.after(takenPause, again{i, s.lives[i]})
		}
		return
	}
	s.byPID[pid] = i
	s.f.mu.Lock()
	s.f.kids[i].pid, s.f.kids[i].life = pid, l
	s.f.mu.Unlock()
	if err := s.Send(pid, begin{}); err != nil {
		s.f.log.Error("child cannot be begun", "child", spec.Name, "err", err)
	}
}

// halt stops a child.
func (s *supervisor) halt(i int) {
	l := s.f.kids[i].life
	pid := s.f.kids[i].pid
	if _, ok := s.byPID[pid]; !ok || l == nil { // it has no process yet
		s.plan.exited(i, nil, s.f.now())
		return
	}
	l.cancel()
	if err := s.Send(pid, halt{}); err != nil {
		// It is ending already; its exit will come.
		s.f.log.Debug("child cannot be told to stop", "child", s.f.specs[i].Name, "err", err)
	}
	// The keeper gives the service its whole time; this is for a service that
	// does not keep to it.
	s.after(s.f.specs[i].shutdown()+DefaultShutdown, overdue{i, s.lives[i]})
}

func (s *supervisor) after(d time.Duration, message any) {
	if _, err := s.SendAfter(s.PID(), message, d); err != nil {
		s.f.log.Error("timer not set", "err", err)
	}
}

// exited handles the end of a child's process.
func (s *supervisor) exited(pid gen.PID, reason error) {
	i, ok := s.byPID[pid]
	if !ok {
		return // abandoned before
	}
	delete(s.byPID, pid)
	before := s.plan.children[i].phase
	s.plan.exited(i, reason, s.f.now())
	switch name := s.f.specs[i].Name; {
	case before == stopping && reason == nil:
	case before == stopping:
		s.f.log.Warn("child did not stop in order", "child", name, "err", reason)
	case s.plan.down:
		s.f.log.Error("child has ended, and so does its supervisor", "child", name, "supervisor", s.f.name, "err", reason)
	default:
		s.f.log.Error("child has ended", "child", name, "supervisor", s.f.name, "err", reason, "restarts", s.plan.children[i].restarts)
	}
}

// publish tells the live tree.
func (s *supervisor) publish() {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	for i := range s.f.kids {
		s.f.kids[i].phase = s.plan.children[i].phase
		s.f.kids[i].restarts = s.plan.children[i].restarts
	}
}

// Terminate implements act.ActorBehavior.
func (s *supervisor) Terminate(reason error) {
	why := reasonOf(reason)
	if s.plan.reason != nil {
		why = s.plan.reason
	}
	s.f.end(why)
}

// end reports the supervisor's end, once.
func (f *family) end(reason error) {
	f.once.Do(func() {
		f.mu.Lock()
		f.reason = reason
		f.mu.Unlock()
		close(f.finished)
	})
}

func (f *family) err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.reason
}

// Subtree is a Service that has actors below it.
type Subtree interface {
	// Tree describes them, of many of one kind at most limit. Any goroutine.
	Tree(limit int) []kernel.TreeNode
}

// tree describes the supervisor and what is below it.
func (f *family) tree(limit int) kernel.TreeNode {
	f.mu.Lock()
	kids := slices.Clone(f.kids)
	own := f.mailbox
	f.mu.Unlock()
	t := kernel.TreeNode{Name: f.name, Kind: "supervisor", State: running.String(), Mailbox: waiting(own)}
	for i, k := range kids {
		n := kernel.TreeNode{
			Name: f.specs[i].Name, Kind: f.specs[i].kind(), State: k.phase.String(), Restarts: k.restarts,
		}
		if k.life != nil {
			n.Mailbox = waiting(k.life.mailbox)
		}
		if k.phase == running && k.life != nil {
			if s, ok := k.life.service.(Subtree); ok {
				n.Nodes = s.Tree(limit)
				n.Children = len(n.Nodes)
			}
			if s, ok := k.life.service.(Counted); ok {
				n.Children = s.Count()
			}
		}
		t.Nodes = append(t.Nodes, n)
	}
	t.Children = len(t.Nodes)
	return t
}

// waiting is how many messages are in a mailbox. (ergo's ProcessInfo has it too,
// and races with the process.)
func waiting(m gen.ProcessMailbox) int {
	if m.Main == nil {
		return 0
	}
	return int(m.Main.Len() + m.System.Len() + m.Urgent.Len())
}
