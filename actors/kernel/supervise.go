package kernel

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

// limit is a restart intensity: n restarts within period, n >= 0.
type limit struct {
	n      int
	period time.Duration
}

// window holds the times of the failures that still count: never more than
// the limit allows and one.
type window struct{ times []time.Time }

// add counts a failure and returns how many there are within the period.
func (w *window) add(now time.Time, l limit) int {
	old := 0
	for old < len(w.times) && now.Sub(w.times[old]) >= l.period {
		old++
	}
	if room := l.n + 1; len(w.times)-old >= room {
		old = len(w.times) - room + 1 // beyond the limit is beyond it
	}
	w.times = append(slices.Delete(w.times, 0, old), now)
	return len(w.times)
}

// pause is how long the n-th failure within the period waits for its restart.
// The pauses of one period sum up to less than 2/3 of it, so that an actor
// that cannot start does reach its limit.
func (s *System) pause(n int, l limit) time.Duration {
	if n < 2 {
		return 0
	}
	most := min(s.cfg.BackoffMax, l.period/time.Duration(2*max(l.n, 1)))
	d := s.cfg.BackoffMin
	for i := 2; i < n && d < most; i++ {
		d *= 2
	}
	d = min(d, most)
	return d - d/4 + rand.N(d/2+1)
}

// supervision is what the failures of an actor, or of its children, leave
// behind.
type supervision struct {
	// reason is why the last instance ended and the next one was not begun.
	// Written by the actor itself.
	reason error
	// own counts this actor's failures where they are counted apart (Contained
	// and roots). Written by the supervisor while the actor is suspended.
	own window
	// below counts the failures of the Permanent children together, and group
	// is their common restart, if one is under way. Written by the actor itself,
	// as a supervisor.
	below    window
	group    *group
	groupSeq uint32
}

func (c *cell) supervision() *supervision {
	if c.sup == nil {
		c.sup = &supervision{}
	}
	return c.sup
}

// stopFor (cast, from the supervisor) is a stop with a reason.
type stopFor struct{ reason error }

// restartDue (info, from a timer) ends a child's pause. There is one for each
// failure, and nothing else restarts the child, so that it cannot be stale.
type restartDue struct{ c *cell }

// crash makes the reason of a failure.
func (c *cell) crash(value any, stack []byte) *CrashError {
	return &CrashError{Kind: c.t.kind.name, Name: c.path(), Value: value, Stack: stack}
}

// failed suspends the actor after a panic and lets its supervisor decide.
func (c *cell) failed(crash *CrashError) {
	c.t.sys.noteFailure(c, crash, false)
	c.fail(crash)
}

// fail is the end of an instance that panicked, or that gives up as a
// supervisor.
func (c *cell) fail(reason error) {
	c.supervision().reason = reason
	c.mu.Lock()
	c.state.Store(stFailed)
	c.suspended = true
	c.mu.Unlock()
	c.failCalls(ErrCrashed, true)
	c.ctx.EscalateFailure(reason, c) // comes to the parent's onChildFailed, or to rootFailed
}

// strategy is the supervisor of all actors: it hands protoactor's failures to
// the cells, which know the Spec.
type strategy struct{}

// HandleFailure runs on the supervisor's goroutine.
func (*strategy) HandleFailure(_ *actor.ActorSystem, _ actor.Supervisor, _ *actor.PID, _ *actor.RestartStatistics, _, message any) {
	if child, ok := message.(*cell); ok {
		child.parent.onChildFailed(child)
	}
}

// onChildFailed decides what a child's failure leads to. The child is
// suspended, so that its reason may be read.
func (c *cell) onChildFailed(child *cell) {
	if c.state.Load() != stRunning || child.state.Load() != stFailed {
		return // one of them is ending: the child is told to stop, or has been
	}
	sys, now, reason := c.t.sys, time.Now(), child.reason()
	switch child.t.restart {
	case Temporary:
		child.PostSystemMessage(stopFor{reason})
		return
	case Contained:
		n := child.sup.own.add(now, c.t.limit)
		if n > c.t.limit.n {
			child.PostSystemMessage(stopFor{&IntensityError{Supervisor: c.path(), Failures: n, Last: reason}})
			return
		}
		c.restartAfter(child, sys.pause(n, c.t.limit))
		return
	case Permanent:
	}
	n := c.supervision().below.add(now, c.t.limit)
	if n > c.t.limit.n {
		err := &IntensityError{Supervisor: c.path(), Failures: n, Last: reason}
		sys.noteEscalation(c, err)
		c.fail(err)
		return
	}
	pause := sys.pause(n, c.t.limit)
	if c.t.strategy == OneForOne {
		c.restartAfter(child, pause)
		return
	}
	c.restartGroup(child, pause)
}

// restartAfter restarts one child after a pause.
func (c *cell) restartAfter(child *cell, pause time.Duration) {
	if pause == 0 {
		child.PostSystemMessage(restartMessage)
		return
	}
	time.AfterFunc(pause, func() { c.PostSystemMessage(restartDue{child}) })
}

func (c *cell) onRestartDue(m restartDue) {
	if c.state.Load() == stRunning && m.c.state.Load() == stFailed {
		m.c.PostSystemMessage(restartMessage)
	}
}

// group is a common restart of children: all are halted, the youngest first;
// when all are, and the pause is over, they start again, the oldest first and
// each after the one before it has handled Started.
type group struct {
	members  []*cell // oldest first
	pause    time.Duration
	seq      uint32
	next     int  // members before it have started
	told     bool // member next was told to start
	starting bool // the second half
	paused   bool // the pause is running
}

// haltMember (cast, from the supervisor) halts a member of a group; a Restart
// starts it again.
type haltMember struct{}

// memberHalted and memberUp (info, from the members) end a member's halves;
// groupDue (info, from a timer) ends the pause between them.
type (
	memberHalted struct{ c *cell }
	memberUp     struct{ c *cell }
	groupDue     struct{ seq uint32 }
)

// restartGroup begins the common restart that the failure of child calls for.
// One that is under way is taken over with its members.
func (c *cell) restartGroup(child *cell, pause time.Duration) {
	g := &group{pause: pause}
	all := c.t.strategy == OneForAll
	old := c.sup.group
	c.eachChild(false, func(m *cell) {
		all = all || m == child || old != nil && slices.Contains(old.members[old.next:], m)
		if all && m.t.restart == Permanent && m.alive() {
			g.members = append(g.members, m)
		}
	})
	c.sup.groupSeq++
	g.seq = c.sup.groupSeq
	c.sup.group = g
	for _, m := range slices.Backward(g.members) {
		m.PostSystemMessage(haltMember{})
	}
}

// forget drops what a supervisor knows of its children's failures, as its next
// instance begins anew.
func (c *cell) forget() {
	if c.sup != nil {
		c.sup.below, c.sup.group = window{}, nil
	}
}

// onGroup handles the group's messages.
func (c *cell) onGroup(msg any) {
	if c.sup == nil || c.sup.group == nil {
		return
	}
	g := c.sup.group
	switch m := msg.(type) {
	case groupDue:
		if m.seq == g.seq {
			g.paused, g.starting = false, true
		}
	case memberUp:
		if g.starting && g.told && m.c == g.members[g.next] {
			g.next++
			g.told = false
		}
	}
	c.groupStep()
}

// groupStep takes the common restart, if there is one, as far as it goes.
func (c *cell) groupStep() {
	if c.state.Load() != stRunning || c.sup == nil || c.sup.group == nil {
		return
	}
	g := c.sup.group
	if !g.starting {
		for _, m := range g.members {
			if s := m.state.Load(); s != stHalted && s != stStopped {
				return
			}
		}
		if g.pause > 0 {
			if !g.paused {
				g.paused = true
				due := groupDue{g.seq}
				time.AfterFunc(g.pause, func() { c.PostSystemMessage(due) })
			}
			return
		}
		g.starting = true
	}
	for g.next < len(g.members) {
		m := g.members[g.next]
		switch s := m.state.Load(); {
		case s >= stStopping: // will not start again
			g.next++
			g.told = false
		case g.told:
			return
		default:
			g.told = true
			m.PostSystemMessage(restartMessage)
			return
		}
	}
	c.sup.group = nil
}
