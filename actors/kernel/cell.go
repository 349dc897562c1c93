package kernel

import (
	"strings"
	"sync"
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"
)

// The lifecycle of an actor. Only the actor's own goroutine moves it, holding
// mu, so that post, link and stopChildren see each transition as a whole.
const (
	stStarting uint32 = iota // spawned, or restarting, up to the end of Started
	stRunning                // takes messages
	stFailed                 // suspended until its supervisor decides
	stHalting                // its instance is gone, its children are going, a restart follows
	stHalted                 // they are gone; waits for the word to restart
	stStopping               // as halting, but for good
	stStopped                // gone
)

var stateNames = [...]string{"starting", "running", "suspended", "restarting", "restarting", "stopping", "stopped"}

// cell is everything that the kernel keeps of one actor, from its spawn to its
// end, across restarts: its mailbox (it is protoactor's Mailbox), the instance,
// the place in the tree. There can be a million: 208 bytes, no map, no closure.
type cell struct {
	mu   sync.Mutex
	in   *buffer // user messages posted and not taken yet; nil when none
	sysq *buffer // system messages
	ties *tie    // ring of the calls and watches on this actor
	// The children, oldest first, as a list threaded through their next and
	// prev, which this mu guards. An element without a template is the bookmark
	// of somebody who walks the list.
	first, last *cell

	next, prev *cell // among the siblings; guarded by parent.mu

	ctx    protoContext // protoactor's actor; set before Start
	actor  Actor        // the instance; nil between two of them
	cur    any          // the message in hand
	out    *buffer      // the batch being handled
	new    func() Actor
	t      *template
	parent *cell // nil for a root
	id     string
	sup    *supervision // nil until something fails here or below

	dropped  atomic.Uint64
	posted   atomic.Uint32 // user messages ever accepted; written under mu
	taken    atomic.Uint32 // of these, handed to an instance or discarded
	children atomic.Int32  // written under mu
	restarts atomic.Uint32
	state    atomic.Uint32
	urgent   atomic.Bool // sysq is not empty; written under mu

	started   bool  // Start was called; guarded by mu
	running   bool  // a goroutine works on the mailbox; guarded by mu
	suspended bool  // user messages wait; written by the actor under mu
	dirty     bool  // something was handled since the last Drained
	leaving   bool  // the instance is handling Stopping
	goOn      bool  // halting leads to a restart without a word from the parent
	announce  bool  // tell the parent when Started was handled
	shard     uint8 // of the workers
}

// protoContext is what the kernel uses of protoactor's actor context.
type protoContext interface {
	actor.MessageInvoker
	Self() *actor.PID
}

// template is what actors with the same Spec, but for Name and New, share.
type template struct {
	sys *System
	specKey
	kind *kind
}

// specKey is the comparable part of a Spec, which a template is found by.
type specKey struct {
	kindName     string
	mailboxLimit int
	drained      bool
	restart      Restart
	strategy     Strategy
	limit        limit // of its children
}

const pathSeparator = "\x00" // cannot be in a name, so that ids are unambiguous

func (c *cell) name() string { return c.id[strings.LastIndex(c.id, pathSeparator)+1:] }

func (c *cell) path() string {
	return strings.ReplaceAll(strings.TrimPrefix(c.id, pathSeparator), pathSeparator, "/")
}

func (c *cell) alive() bool { return c.state.Load() < stStopping }

func (c *cell) setState(s uint32) {
	c.mu.Lock()
	c.state.Store(s)
	c.mu.Unlock()
}

// begin makes a new instance and hands it Started. A panic in it goes to turn.
func (c *cell) begin() {
	if c.state.Load() >= stStopping {
		return // stopped before it could start
	}
	var why error
	if c.sup != nil {
		why = c.sup.reason
		c.sup.reason = nil
	}
	c.mu.Lock()
	c.state.Store(stStarting)
	c.suspended = false
	c.mu.Unlock()
	c.actor = c.new()
	c.dirty = true
	c.deliver(Started{Restarts: int(c.restarts.Load()), Reason: why})
	c.setState(stRunning)
	if c.announce {
		c.announce = false
		c.parent.PostSystemMessage(memberUp{c})
	}
}

// deliver runs the instance on one message, through protoactor's context.
func (c *cell) deliver(msg any) {
	c.cur = msg
	c.ctx.InvokeUserMessage(c)
	c.cur = nil
}

// beginStop ends the actor for good, for the given reason.
func (c *cell) beginStop(reason error) {
	old := c.state.Load()
	if old >= stStopping {
		return
	}
	if reason != nil {
		c.supervision().reason = reason
	}
	c.mu.Lock()
	c.state.Store(stStopping)
	c.suspended = true
	c.mu.Unlock()
	c.leave(Stopping{Reason: c.reason()})
}

// beginHalt ends the instance so that another may follow.
func (c *cell) beginHalt() {
	if s := c.state.Load(); s >= stHalting {
		c.settleHalt()
		return
	}
	c.mu.Lock()
	c.state.Store(stHalting)
	c.suspended = true
	c.mu.Unlock()
	c.leave(Stopping{Restarting: true, Reason: c.reason()})
}

func (c *cell) reason() error {
	if c.sup == nil {
		return nil
	}
	return c.sup.reason
}

// leave hands the instance its last message. A panic in it goes to turn, which
// calls left all the same.
func (c *cell) leave(m Stopping) {
	if c.actor != nil {
		c.leaving = true
		c.deliver(m)
		c.leaving = false
	}
	c.left()
}

// left goes on after the instance is done: nothing of the user's runs here.
func (c *cell) left() {
	c.actor = nil
	if c.state.Load() == stStopping {
		c.discard()
		c.failCalls(ErrStopped, false)
	} else {
		c.failCalls(ErrCrashed, true)
	}
	c.forget()
	c.eachChild(true, func(child *cell) { child.stop() })
	c.settle()
}

// settle goes on when the last child is gone.
func (c *cell) settle() {
	if c.children.Load() > 0 {
		return
	}
	switch c.state.Load() {
	case stStopping:
		c.end()
	case stHalting:
		c.setState(stHalted)
		c.settleHalt()
	}
}

// settleHalt restarts a halted actor, or tells the parent that it is halted.
func (c *cell) settleHalt() {
	if c.state.Load() != stHalted {
		return
	}
	if !c.goOn {
		c.parent.PostSystemMessage(memberHalted{c})
		return
	}
	c.goOn = false
	c.setState(stStarting)
	c.restarts.Add(1)
	c.t.kind.restarts.Add(1)
	// protoactor makes its actor anew and posts ResumeMailbox: see resume.
	c.ctx.InvokeSystemMessage(restartMessage)
}

// resume begins the next instance, unless something else came in between.
func (c *cell) resume() {
	if c.state.Load() == stStarting && c.actor == nil {
		c.begin()
	}
}

// end is the very last thing that an actor does.
func (c *cell) end() {
	c.ctx.InvokeSystemMessage(stopMessage) // frees the name
	c.mu.Lock()
	c.state.Store(stStopped)
	c.sysq.free()
	c.sysq = nil
	c.urgent.Store(false)
	c.mu.Unlock()
	c.t.kind.alive.Add(-1)
	c.fireWatches()
	if c.parent != nil {
		c.parent.PostSystemMessage(childEnded{c: c})
	} else {
		c.t.sys.rootEnded(c)
	}
}

// childEnded (info, from a child) is the end of a child's life, or (from
// spawn) of one that has never begun, of which the instance knows nothing.
type childEnded struct {
	c         *cell
	stillborn bool
}

// onChildEnded takes the child out of the list and tells the instance.
func (c *cell) onChildEnded(m childEnded) {
	child := m.c
	c.mu.Lock()
	c.unlink(child)
	c.children.Add(-1)
	c.mu.Unlock()
	switch c.state.Load() {
	case stRunning:
		if !m.stillborn {
			c.post(ChildGone{Ref: Ref{child}, Name: child.name(), Reason: child.reason()}, true)
		}
		c.groupStep()
	case stHalting, stStopping:
		c.settle()
	}
}

// link puts a child that is about to be spawned at the end of the list. False:
// there is no instance that it could belong to.
func (c *cell) link(child *cell) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state.Load() > stRunning {
		return false
	}
	c.insert(child, nil)
	c.children.Add(1)
	return true
}

// insert puts child before the sibling at, nil being the end. mu is held.
func (c *cell) insert(child, at *cell) {
	before := c.last
	if at != nil {
		before = at.prev
	}
	child.next, child.prev = at, before
	if before != nil {
		before.next = child
	} else {
		c.first = child
	}
	if at != nil {
		at.prev = child
	} else {
		c.last = child
	}
}

// unlink takes child out of the list. mu is held.
func (c *cell) unlink(child *cell) {
	if child.prev != nil {
		child.prev.next = child.next
	} else {
		c.first = child.next
	}
	if child.next != nil {
		child.next.prev = child.prev
	} else {
		c.last = child.prev
	}
	child.next, child.prev = nil, nil
}

// walkBatch bounds the children that are looked at under one lock.
const walkBatch = 128

// eachChild calls f for the children, oldest or youngest first, without a lock
// held. Children that come or go meanwhile may or may not be among them.
func (c *cell) eachChild(youngestFirst bool, f func(*cell)) {
	if c.children.Load() == 0 {
		return
	}
	var batch [walkBatch]*cell
	bookmark := &cell{}
	c.mu.Lock()
	at := c.first
	if youngestFirst {
		at = c.last
	}
	for {
		n := 0
		for at != nil && n < walkBatch {
			if at.t != nil {
				batch[n] = at
				n++
			}
			if youngestFirst {
				at = at.prev
			} else {
				at = at.next
			}
		}
		more := at != nil
		switch {
		case more && youngestFirst:
			c.insert(bookmark, at.next)
		case more:
			c.insert(bookmark, at)
		}
		c.mu.Unlock()
		for i := range n {
			f(batch[i])
		}
		if !more {
			return
		}
		c.mu.Lock()
		if youngestFirst {
			at = bookmark.prev
		} else {
			at = bookmark.next
		}
		c.unlink(bookmark)
	}
}

func (c *cell) childRefs() []Ref {
	refs := make([]Ref, 0, c.children.Load())
	c.eachChild(false, func(child *cell) {
		if child.alive() {
			refs = append(refs, Ref{child})
		}
	})
	return refs
}

func (c *cell) childCount() int { return int(c.children.Load()) }
