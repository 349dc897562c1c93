package kernel

import (
	"errors"
	"runtime"
	"runtime/debug"
	"sync"

	"github.com/asynkron/protoactor-go/actor"
)

// The mailbox half of a cell. Posting takes mu for a few instructions; the
// worker that runs the actor swaps whole batches out and takes mu
// once per batch. It goes away when there is nothing to do.

var _ actor.Mailbox = (*cell)(nil)

// buffer is a batch of messages. Small ones go round through a pool; one that
// a burst has made large is left to the collector.
type buffer struct {
	items []any
	at    int // items before it are done and nil
}

const (
	bufferCap    = 16
	maxPooledCap = 256
	yieldAfter   = 300 // messages handled before other goroutines get a turn
)

var buffers = sync.Pool{New: func() any { return &buffer{items: make([]any, 0, bufferCap)} }}

func newBuffer() *buffer { return buffers.Get().(*buffer) }

// free gives a buffer back; its items must not be used any more.
func (b *buffer) free() {
	if b == nil || cap(b.items) > maxPooledCap {
		return
	}
	clear(b.items)
	b.items, b.at = b.items[:0], 0
	buffers.Put(b)
}

// order is a user message that is for the kernel, at its place in the queue:
// from Ref.Finish, to stop; from StartRoot, to answer that Started is done.
type order struct{ ready Reply[struct{}] }

func (c *cell) obey(o *order) {
	if o.ready.p == nil {
		c.beginStop(nil)
		return
	}
	o.ready.Send(struct{}{})
}

// waiting is the number of user messages that no instance has been given.
func (c *cell) waiting() int { return int(c.posted.Load() - c.taken.Load()) }

// post is Ref.Send and Ref.Control.
func (c *cell) post(msg any, control bool) bool { return c.postTied(msg, control, nil) == nil }

// postTied is post with the reason of a refusal, and with a call that is tied
// to the actor if the message is accepted.
func (c *cell) postTied(msg any, control bool, call *tie) error {
	if c == nil {
		return ErrStopped
	}
	c.mu.Lock()
	if c.state.Load() >= stStopping {
		c.mu.Unlock()
		c.t.kind.deadLetters.Add(1)
		return ErrStopped
	}
	if limit := c.t.mailboxLimit; !control && limit > 0 && c.waiting() >= limit {
		c.mu.Unlock()
		c.dropped.Add(1)
		c.t.kind.refused.Add(1)
		return ErrFull
	}
	if c.in == nil {
		c.in = newBuffer()
	}
	c.in.items = append(c.in.items, msg)
	seq := c.posted.Add(1)
	if call != nil {
		call.seq = seq
		c.tieLocked(call)
	}
	wake := c.started && !c.running && !c.suspended
	if wake {
		c.running = true
	}
	c.mu.Unlock()
	if wake {
		c.t.sys.workers.run(c)
	}
	return nil
}

// stop is Ref.Stop.
func (c *cell) stop() {
	if c != nil {
		c.PostSystemMessage(stopMessage)
	}
}

// PostUserMessage is for protoactor, which has no cause to call it.
func (c *cell) PostUserMessage(msg any) { c.post(msg, false) }

// PostSystemMessage takes protoactor's system messages and the kernel's own:
// they overtake user messages and are handled while those are suspended.
func (c *cell) PostSystemMessage(msg any) {
	if _, ok := msg.(*actor.Terminated); ok {
		return // the kernel keeps its own account of children, see childEnded
	}
	c.mu.Lock()
	if c.state.Load() == stStopped {
		c.mu.Unlock()
		return
	}
	if c.sysq == nil {
		c.sysq = newBuffer()
	}
	c.sysq.items = append(c.sysq.items, msg)
	c.urgent.Store(true)
	wake := c.started && !c.running
	if wake {
		c.running = true
	}
	c.mu.Unlock()
	if wake {
		c.t.sys.workers.run(c)
	}
}

// RegisterHandlers gives the mailbox its protoactor context; before Start.
func (c *cell) RegisterHandlers(invoker actor.MessageInvoker, _ actor.Dispatcher) {
	c.ctx = invoker.(protoContext)
}

// Start lets the mailbox run; until then it only queues.
func (c *cell) Start() {
	c.mu.Lock()
	c.started, c.running = true, true
	c.mu.Unlock()
	c.t.sys.workers.run(c)
}

// UserMessageCount is the number of waiting user messages.
func (c *cell) UserMessageCount() int { return c.waiting() }

// run works on the mailbox until there is nothing to do.
func (c *cell) run() {
	for c.turn() {
	}
}

// errGoexit stands for a Receive that ended its goroutine.
var errGoexit = errors.New("runtime.Goexit called in Receive")

// turn handles messages until there is nothing to do (false) or one of them
// has made the instance panic (true: go on).
func (c *cell) turn() (again bool) {
	idle := false
	defer func() {
		if idle {
			return
		}
		reason := recover()
		goexit := reason == nil
		if goexit {
			reason = errGoexit
		}
		c.cur = nil
		stack := debug.Stack()
		if c.leaving {
			c.leaving = false
			c.t.sys.noteFailure(c, c.crash(reason, stack), true)
			c.left()
		} else {
			c.failed(c.crash(reason, stack))
		}
		if goexit {
			c.t.sys.workers.run(c) // this goroutine is beyond saving
			return
		}
		again = true
	}()
	handled := 0
	for {
		if c.urgent.Load() {
			c.handleSystem()
			continue
		}
		if b := c.out; b != nil && !c.suspended {
			if b.at < len(b.items) {
				msg := b.items[b.at]
				b.items[b.at] = nil
				b.at++
				c.taken.Add(1)
				c.dirty = true
				if o, ok := msg.(*order); ok {
					c.obey(o)
					continue
				}
				c.deliver(msg)
				handled++
				continue
			}
			b.items, b.at = b.items[:0], 0
		}
		if handled >= yieldAfter {
			handled = 0
			runtime.Gosched()
		}
		if !c.refill() {
			if c.dirty && c.t.drained && c.state.Load() == stRunning {
				c.dirty = false
				c.deliver(Drained{})
				continue
			}
			if c.idle() {
				idle = true
				return false
			}
		}
	}
}

// refill takes what was posted as the next batch; the emptied one becomes the
// next to post into.
func (c *cell) refill() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.suspended || c.in == nil || len(c.in.items) == 0 {
		return false
	}
	if c.out != nil && cap(c.out.items) > maxPooledCap && len(c.in.items) < maxPooledCap {
		c.out = nil // the burst is over
	}
	c.in, c.out = c.out, c.in
	return true
}

// idle gives the goroutine up, unless something has come in.
func (c *cell) idle() bool {
	c.mu.Lock()
	if c.urgent.Load() || !c.suspended && c.in != nil && len(c.in.items) > 0 {
		c.mu.Unlock()
		return false
	}
	var in, out *buffer
	if c.in != nil && len(c.in.items) == 0 {
		in, c.in = c.in, nil
	}
	if c.out != nil && c.out.at == len(c.out.items) {
		out, c.out = c.out, nil
	}
	c.running = false
	c.mu.Unlock()
	in.free()
	out.free()
	return true
}

// discard drops the user messages of a stopping actor: nothing is posted any
// more.
func (c *cell) discard() {
	c.mu.Lock()
	in, out := c.in, c.out
	c.in, c.out = nil, nil
	n := c.waiting()
	c.taken.Add(uint32(n))
	c.mu.Unlock()
	if n > 0 {
		c.t.kind.deadLetters.Add(uint64(n))
	}
	in.free()
	out.free()
}

// handleSystem handles one system message.
func (c *cell) handleSystem() {
	c.mu.Lock()
	b := c.sysq
	msg := b.items[b.at]
	b.items[b.at] = nil
	b.at++
	if b.at == len(b.items) {
		c.urgent.Store(false)
		c.sysq = nil
	} else {
		b = nil
	}
	c.mu.Unlock()
	b.free()

	switch m := msg.(type) {
	case *actor.Started:
		c.ctx.InvokeSystemMessage(m)
		c.begin()
	case *actor.SuspendMailbox:
		// The kernel suspends by itself, and sooner: see failed.
	case *actor.ResumeMailbox:
		c.resume()
	case *actor.Stop:
		c.beginStop(nil)
	case stopFor:
		c.beginStop(m.reason)
	case *actor.Restart:
		c.goOn = true
		c.beginHalt()
	case haltMember:
		c.announce = true
		c.beginHalt()
	case childEnded:
		c.onChildEnded(m)
	case memberHalted, memberUp, groupDue:
		c.onGroup(m)
	case restartDue:
		c.onRestartDue(m)
	default:
		c.ctx.InvokeSystemMessage(m) // Failure comes back as onChildFailed
	}
}
