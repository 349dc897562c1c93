package node

import (
	"fmt"
	"time"
)

// Strategy says which children the end of one concerns, in OTP's words.
type Strategy uint8

// The strategies.
const (
	// OneForOne restarts the child that has ended.
	OneForOne Strategy = iota
	// RestForOne restarts it and those behind it in boot order, which may hold
	// on to what it was.
	RestForOne
)

// The intensity of the node's own supervisor: more restarts than this in this
// time, and the node gives up. A broker that cannot live fails only every half
// minute or so, after the restarts within it: hence the long period.
const (
	DefaultIntensity = 3
	DefaultPeriod    = 5 * time.Minute
)

// IntensityError is the reason of a supervisor that has given up.
type IntensityError struct {
	Supervisor string
	Child      string // the last one to fail
	Restarts   int    // the intensity that was exceeded
	Period     time.Duration
	Err        error // of that child
}

// Error names the child and its failure.
func (e *IntensityError) Error() string {
	return fmt.Sprintf("%s: more than %d restarts in %s, the last of %s: %v", e.Supervisor, e.Restarts, e.Period, e.Child, e.Err)
}

// Unwrap gives the child's failure.
func (e *IntensityError) Unwrap() error { return e.Err }

// phase is where a child is in its life.
type phase uint8

const (
	stopped phase = iota
	starting
	running
	stopping
)

// String is the phase's name in the live tree.
func (p phase) String() string {
	return [...]string{"stopped", "starting", "running", "stopping"}[p]
}

// plan is a supervisor's state machine. It is pure: events come in with their
// time, next says what is to be done, and its owner does it and reports.
//
// Invariants:
//
//   - P1: children are started one after the other, in boot order, and stopped
//     one after the other in reverse.
//   - P2: a child is started only if all before it that are to run are running
//     (RestForOne), and its former life has ended.
//   - P3: a stop that was asked for wins over every restart.
type plan struct {
	name      string
	strategy  Strategy
	intensity int
	period    time.Duration
	children  []planned

	booted   bool // all children have been running once
	from     int  // RestForOne: the first child that is to be restarted
	clearing bool // children from there on still have to be stopped
	down     bool // everything is to be stopped
	reason   error
	failures []time.Time // within period, oldest first
}

type planned struct {
	name     string
	restart  Restart
	alone    bool
	phase    phase
	finished bool // has ended and is not to be restarted
	restarts int
	tries    int // starts that failed since it ran
}

// step is what the owner of a plan has to do next.
type step struct {
	do    stepKind
	child int
}

type stepKind uint8

const (
	wait   stepKind = iota // for an event
	start                  // the child; report started or exited
	stop                   // the child; report exited
	ready                  // all children run for the first time
	finish                 // all are stopped: end with plan.reason
)

// next is what is to be done now. After start, stop and ready it is to be asked
// again.
func (p *plan) next() step {
	if p.down {
		return p.stopDown(0, finish)
	}
	if p.clearing {
		if s := p.stopDown(p.from, start); s.do != start {
			return s
		}
		p.clearing = false
	}
	for i := range p.children {
		c := &p.children[i]
		switch {
		case c.finished || c.phase == running:
		case c.phase == stopped:
			c.phase = starting
			return step{start, i}
		case p.strategy == RestForOne || !p.booted:
			return step{wait, i}
		}
	}
	p.from = len(p.children)
	if !p.booted && p.allSettled() {
		p.booted = true
		return step{do: ready}
	}
	return step{do: wait}
}

func (p *plan) allSettled() bool {
	for _, c := range p.children {
		if c.phase != running && !c.finished {
			return false
		}
	}
	return true
}

// stopDown stops the last living child from first on; then, if none lives, do.
func (p *plan) stopDown(first int, then stepKind) step {
	for i := len(p.children) - 1; i >= first; i-- {
		switch p.children[i].phase {
		case stopping:
			return step{wait, i}
		case running, starting:
			p.children[i].phase = stopping
			return step{stop, i}
		case stopped:
		}
	}
	return step{do: then}
}

// started reports that a child runs.
func (p *plan) started(i int) {
	if c := &p.children[i]; c.phase == starting {
		c.phase, c.tries = running, 0
	}
}

// exited reports that a child has ended, with a nil reason for an ordinary end.
func (p *plan) exited(i int, reason error, now time.Time) {
	c := &p.children[i]
	was := c.phase
	c.phase = stopped
	switch {
	case was == stopping || p.down:
		return
	case was == starting && !p.booted:
		p.shut(fmt.Errorf("start %s: %w", c.name, reason))
		return
	case c.restart == Temporary || c.restart == Transient && reason == nil:
		c.finished = true
		return
	}
	if was == starting {
		c.tries++
	}
	c.restarts++
	if p.tooMany(now) {
		p.shut(&IntensityError{Supervisor: p.name, Child: c.name, Restarts: p.intensity, Period: p.period, Err: reason})
		return
	}
	if p.strategy == RestForOne && !c.alone {
		if !p.clearing || i < p.from {
			p.from = i // otherwise those before it run again already (P2)
		}
		p.clearing = true
	}
}

// tooMany counts a failure and tells whether the intensity is exceeded.
func (p *plan) tooMany(now time.Time) bool {
	p.failures = append(p.failures, now)
	for now.Sub(p.failures[0]) > p.period {
		p.failures = p.failures[1:]
	}
	return len(p.failures) > p.intensity
}

// shut asks for everything to be stopped, with the first reason given.
func (p *plan) shut(reason error) {
	if !p.down {
		p.down, p.reason = true, reason
	}
}
