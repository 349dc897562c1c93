package kernel

import (
	"context"
	"sync/atomic"
)

// Call sends to the actor a request that holds a Reply and waits for the
// answer. It must not be used inside a Receive that the callee may in turn
// wait for; actors use Ask.
//
// Errors: ErrStopped when the callee has stopped, or stops before it answers;
// ErrCrashed when it crashes on the request or after taking it; ErrFull when
// its mailbox refuses; ctx's error, in which case the request may still be
// carried out. All of them come promptly. A request passed on to another
// actor is still tied to the life of the one that was called, unless that one
// gives it away with Reply.Delegate.
func Call[T any](ctx context.Context, to Ref, request func(Reply[T]) any) (T, error) {
	p := newPending[T](nil)
	p.done = make(chan struct{})
	if err := to.c.postTied(request(Reply[T]{p}), false, &p.tie); err != nil {
		var zero T
		return zero, err
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		var zero T
		if p.settle(zero, ctx.Err()) {
			return zero, ctx.Err()
		}
		<-p.done // the answer came first
	}
	return p.val, p.err
}

// Ask is Call for actors: it returns at once, and later the message that
// answer makes of the callee's answer, or of the error, comes to from as a
// control message. answer runs on another goroutine and may only build the
// message. Ask itself never fails: every error comes through answer, exactly
// once. There is no time limit but the lives of the two actors.
func Ask[T any](from, to Ref, request func(Reply[T]) any, answer func(T, error) any) {
	p := newPending[T](from.c)
	p.answer = answer
	if err := to.c.postTied(request(Reply[T]{p}), false, &p.tie); err != nil {
		var zero T
		p.settle(zero, err)
	}
}

// Reply carries the answer to one Call or Ask. It is a small value to be put
// into a message; any goroutine may use it. The zero Reply answers nobody.
type Reply[T any] struct{ p *pending[T] }

// Send answers. Only the first Send has an effect; false: it was not the
// first, or the caller has given up.
func (r Reply[T]) Send(v T) bool { return r.p != nil && r.p.settle(v, nil) }

// Fail answers with an error, which Call returns as it is.
func (r Reply[T]) Fail(err error) bool {
	var zero T
	return r.p != nil && r.p.settle(zero, err)
}

// Open says whether the caller still waits.
func (r Reply[T]) Open() bool { return r.p != nil && r.p.open() }

// Delegate ties the call to another actor, to which the Reply is about to be
// sent: that one's end fails the call from now on, and so does a crash of it,
// no longer this one's.
func (r Reply[T]) Delegate(to Ref) {
	if r.p == nil {
		return
	}
	p := r.p
	p.untie()
	if to.c == nil {
		p.ended(nil, ErrStopped)
		return
	}
	p.seq = to.c.taken.Load() // taken already, as far as a crash is concerned
	if !to.c.tie(&p.tie, stStopping) {
		p.ended(to.c, ErrStopped)
		return
	}
	if !p.open() {
		p.untie() // answered meanwhile
	}
}

// pending is one call on its way.
type pending[T any] struct {
	tie
	settled atomic.Bool
	val     T
	err     error
	done    chan struct{}      // Call: closed when val and err are set
	from    *cell              // Ask: where the answer goes
	answer  func(T, error) any // Ask
}

func newPending[T any](from *cell) *pending[T] {
	p := &pending[T]{from: from}
	p.owner = p
	p.call = true
	return p
}

// settle ends the call with an answer or an error; only the first one counts.
func (p *pending[T]) settle(v T, err error) bool {
	if !p.settled.CompareAndSwap(false, true) {
		return false
	}
	p.untie()
	if p.done == nil {
		p.from.post(p.answer(v, err), true)
		return true
	}
	p.val, p.err = v, err
	close(p.done)
	return true
}

func (p *pending[T]) open() bool { return !p.settled.Load() && !p.stale() }

func (p *pending[T]) ended(_ *cell, err error) {
	var zero T
	p.settle(zero, err)
}

// stale: an Ask whose asker has ended.
func (p *pending[T]) stale() bool { return p.done == nil && (p.from == nil || !p.from.alive()) }
