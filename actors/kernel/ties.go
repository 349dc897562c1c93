package kernel

import "sync/atomic"

// tie hangs a call or a watch on the actor whose end it waits for. The ties of
// an actor form a ring that its mu guards; a tie is in at most one ring.
type tie struct {
	next, prev *tie
	on         atomic.Pointer[cell] // changed only under the mu of the cell that it was or becomes
	owner      tied
	seq        uint32 // of the message that carried the call
	call       bool
}

// tied is what hangs on an actor.
type tied interface {
	// ended is told, without a lock held, that the actor has ended: a call is
	// given the error to fail with, a watch the reason of the end.
	ended(on *cell, reason error)
	// stale says that nobody waits any more.
	stale() bool
}

// tieLocked adds l to the ring. mu is held.
func (c *cell) tieLocked(l *tie) {
	l.on.Store(c)
	if c.ties == nil {
		l.next, l.prev = l, l
		c.ties = l
		return
	}
	l.next, l.prev = c.ties, c.ties.prev
	l.prev.next, l.next.prev = l, l
	// Two for every one that is added: stale ties never outnumber the others
	// by much.
	for range 2 {
		old := c.ties
		c.ties = old.next
		if old != l && old.owner.stale() {
			c.untieLocked(old)
		}
	}
}

// untieLocked takes l out of the ring. mu is held.
func (c *cell) untieLocked(l *tie) {
	if l.next == l {
		c.ties = nil
	} else {
		l.prev.next, l.next.prev = l.next, l.prev
		if c.ties == l {
			c.ties = l.next
		}
	}
	l.next, l.prev = nil, nil
	l.on.Store(nil)
}

// untie takes l off whatever it hangs on.
func (l *tie) untie() {
	for {
		c := l.on.Load()
		if c == nil {
			return
		}
		c.mu.Lock()
		if l.on.Load() == c {
			c.untieLocked(l)
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
	}
}

// takeTies takes off the ties that pick selects.
func (c *cell) takeTies(pick func(*tie) bool) []*tie {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ties == nil {
		return nil
	}
	var picked []*tie
	first := c.ties
	for l := first; ; l = l.next {
		if pick(l) {
			picked = append(picked, l)
		}
		if l.next == first {
			break
		}
	}
	for _, l := range picked {
		c.untieLocked(l)
	}
	return picked
}

// failCalls fails the calls on this actor: all, or only those whose message
// an instance has taken.
func (c *cell) failCalls(err error, onlyTaken bool) {
	taken := c.taken.Load()
	for _, l := range c.takeTies(func(l *tie) bool {
		return l.call && !(onlyTaken && int32(l.seq-taken) > 0)
	}) {
		l.owner.ended(c, err)
	}
}

// fireWatches tells those who watch this actor; it has stopped.
func (c *cell) fireWatches() {
	for _, l := range c.takeTies(func(l *tie) bool { return true }) {
		if l.call {
			l.owner.ended(c, ErrStopped)
		} else {
			l.owner.ended(c, c.reason())
		}
	}
}

// tie adds l to the ring, unless the actor is past the given state.
func (c *cell) tie(l *tie, before uint32) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state.Load() >= before {
		return false
	}
	c.tieLocked(l)
	return true
}

// watcher is a Context.Watch.
type watcher struct {
	tie
	by *cell
}

func (w *watcher) ended(on *cell, reason error) {
	w.by.post(Gone{Ref: Ref{on}, Name: on.name(), Reason: reason}, true)
}

func (w *watcher) stale() bool { return !w.by.alive() }

func watch(by *cell, r Ref) {
	w := &watcher{by: by}
	w.owner = w
	if r.c == nil {
		by.post(Gone{}, true)
		return
	}
	if !r.c.tie(&w.tie, stStopped) {
		w.ended(r.c, r.c.reason())
	}
}

func unwatch(by *cell, r Ref) {
	if r.c == nil {
		return
	}
	r.c.takeTies(func(l *tie) bool {
		w, ok := l.owner.(*watcher)
		return ok && w.by == by
	})
}

// waiter is a Ref.Gone.
type waiter struct {
	tie
	ch chan struct{}
}

func (w *waiter) ended(*cell, error) { close(w.ch) }

func (w *waiter) stale() bool { return false }

func gone(r Ref) <-chan struct{} {
	w := &waiter{ch: make(chan struct{})}
	w.owner = w
	if r.c == nil || !r.c.tie(&w.tie, stStopped) {
		close(w.ch)
	}
	return w.ch
}
