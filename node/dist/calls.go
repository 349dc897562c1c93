package dist

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"ergo.services/ergo/gen"

	"ermine/node/dist/etf"
	"ermine/node/dist/proto"
)

// call is a question to the peer that waits for its answer: a gen_server call,
// or the process that a spawn request made.
type call struct {
	from   etf.Pid
	to     etf.Pid
	toName etf.Atom
	spawn  bool
	timer  *time.Timer

	// done is called once, from any goroutine, with the answer, the reason of
	// a DOWN, or an error.
	done func(answer, down any, err error)
}

// calls are those of one connection.
type calls struct {
	mu   sync.Mutex
	open map[etf.Ref]*call // nil when the connection has ended
}

func (t *calls) init() { t.open = map[etf.Ref]*call{} }

func (t *calls) add(ref etf.Ref, c *call) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open == nil {
		return gen.ErrNoConnection
	}
	t.open[ref] = c
	return nil
}

// take removes a call; whoever gets it calls done.
func (t *calls) take(ref etf.Ref) *call {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.open[ref]
	delete(t.open, ref)
	if c != nil && c.timer != nil {
		c.timer.Stop()
	}
	return c
}

// failAll ends all calls, those to come included.
func (t *calls) failAll(err error) {
	t.mu.Lock()
	open := t.open
	t.open = nil
	t.mu.Unlock()
	for _, c := range open {
		if c.timer != nil {
			c.timer.Stop()
		}
		c.done(nil, nil, err)
	}
}

// down ends a call whose process is gone. It returns false if ref is no call.
func (t *calls) down(ref etf.Ref, reason any) bool {
	c := t.take(ref)
	if c == nil {
		return false
	}
	c.done(nil, reason, nil)
	return true
}

// spawned notes the process of a spawn request, or ends the call.
func (t *calls) spawned(ref etf.Ref, pid etf.Pid, reason etf.Atom) {
	if reason != "" {
		if c := t.take(ref); c != nil {
			c.done(nil, nil, fmt.Errorf("spawn: %s", reason))
		}
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.open[ref]; c != nil && c.spawn {
		c.to = pid
	}
}

// answered ends a call with its answer; late ones are dropped.
func (c *Conn) answered(ref etf.Ref, reply any) {
	call := c.calls.take(ref)
	if call == nil {
		return
	}
	c.demonitor(ref, call)
	call.done(reply, nil, nil)
}

// giveUp ends a call without an answer. It returns false if there was one.
func (c *Conn) giveUp(ref etf.Ref) bool {
	call := c.calls.take(ref)
	if call == nil {
		return false
	}
	c.demonitor(ref, call)
	return true
}

func (c *Conn) demonitor(ref etf.Ref, call *call) {
	if call.toName == "" && call.to.IsZero() {
		return // a spawn request that is not answered yet
	}
	_ = c.proto.Defer(&proto.Demonitor{From: call.from, To: call.to, ToName: call.toName, Ref: ref})
}

// ask sends a gen_server call. call.done is called once, unless an error is
// returned. send decides what happens when the queue is full.
func (c *Conn) ask(call *call, request any, send func(func(term any) proto.Signal, any) error) (etf.Ref, error) {
	ref := c.net.makeRef(callRef)
	if err := c.calls.add(ref, call); err != nil {
		return ref, err
	}
	// The monitor leaves with the call behind it.
	err := c.proto.Defer(&proto.Monitor{From: call.from, To: call.to, ToName: call.toName, Ref: ref})
	if err == nil {
		err = send(func(term any) proto.Signal {
			message := etf.Tuple{etf.Atom("$gen_call"), etf.Tuple{call.from, ref}, term}
			if call.toName != "" {
				return &proto.SendName{From: call.from, To: call.toName, Message: message}
			}
			return &proto.Send{From: call.from, To: call.to, Message: message}
		}, request)
	}
	if err != nil && !c.giveUp(ref) {
		err = nil // done has been called already
	}
	return ref, err
}

// coreCall is a call of a local process, made through ergo.
func (c *Conn) coreCall(from gen.PID, to etf.Pid, name etf.Atom, options gen.MessageOptions, message any) error {
	n := c.net
	peer := gen.PID{Node: gen.Atom(c.res.Peer)}
	if name == "" {
		peer = n.PID(to)
	}
	answer := gen.MessageOptions{Ref: options.Ref}
	open := &call{from: n.Pid(from), to: to, toName: name, done: func(reply, down any, err error) {
		switch {
		case err != nil:
			_ = n.core.RouteSendResponseError(peer, from, answer, err)
		case down != nil:
			_ = n.core.RouteSendResponseError(peer, from, answer, Exit(down))
		default:
			_ = n.core.RouteSendResponse(peer, from, answer, reply)
		}
	}}
	ref, err := c.ask(open, message, c.try)
	if err != nil {
		return err
	}
	// ergo's caller gives up by itself at its deadline; this end follows.
	wait := time.Hour
	if deadline := options.Ref.Deadline(); deadline > 0 {
		wait = time.Until(time.Unix(int64(deadline)+1, 0))
	}
	timer := time.AfterFunc(wait, func() { c.giveUp(ref) })
	c.calls.mu.Lock()
	defer c.calls.mu.Unlock()
	if c.calls.open[ref] == open {
		open.timer = timer
	} else {
		timer.Stop()
	}
	return nil
}

// result is what a Go caller waits for.
type result struct {
	answer, down any
	err          error
}

// await runs a call for a Go caller.
func (c *Conn) await(ctx context.Context, start func(done func(answer, down any, err error)) (etf.Ref, error)) (result, error) {
	results := make(chan result, 1)
	ref, err := start(func(answer, down any, err error) { results <- result{answer, down, err} })
	if err != nil {
		return result{}, err
	}
	select {
	case r := <-results:
		return r, r.err
	case <-ctx.Done():
		c.giveUp(ref)
		return result{}, context.Cause(ctx)
	}
}

// errDown tells why a call's process ended.
func errDown(reason any) error {
	switch reason {
	case etf.Atom("noproc"):
		return ErrNoProc
	case etf.Atom("noconnection"):
		return fmt.Errorf("%w: %w", ErrNotConnected, gen.ErrNoConnection)
	default:
		return Exit(reason)
	}
}

// notConnected gives ergo's error for a lost connection this package's name.
func notConnected(err error) error {
	if errors.Is(err, gen.ErrNoConnection) && !errors.Is(err, ErrNotConnected) {
		return fmt.Errorf("%w: %w", ErrNotConnected, err)
	}
	return err
}
