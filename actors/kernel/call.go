package kernel

import "context"

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
	return doCall(ctx, to, request)
}

// Ask is Call for actors: it returns at once, and later the message that
// answer makes of the callee's answer, or of the error, comes to from as a
// control message. answer runs on another goroutine and may only build the
// message. Ask itself never fails: every error comes through answer, exactly
// once. There is no time limit but the lives of the two actors.
func Ask[T any](from, to Ref, request func(Reply[T]) any, answer func(T, error) any) {
	doAsk(from, to, request, answer)
}

// Reply carries the answer to one Call or Ask. It is a small value to be put
// into a message; any goroutine may use it. The zero Reply answers nobody.
type Reply[T any] struct{ p *pending[T] }

// Send answers. Only the first Send has an effect; false: it was not the
// first, or the caller has given up.
func (r Reply[T]) Send(v T) bool { return r.p.settle(v, nil) }

// Fail answers with an error, which Call returns as it is.
func (r Reply[T]) Fail(err error) bool {
	var zero T
	return r.p.settle(zero, err)
}

// Open says whether the caller still waits.
func (r Reply[T]) Open() bool { return r.p != nil && r.p.open() }

// Delegate ties the call to another actor, to which the Reply is about to be
// sent: that one's end fails the call from now on, no longer this one's.
func (r Reply[T]) Delegate(to Ref) {
	if r.p != nil {
		delegate(&r.p.link, to)
	}
}
