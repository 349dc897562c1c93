package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"ergo.services/ergo/act"
	"ergo.services/ergo/gen"

	"ermine/actors/fault"
)

// The messages between a supervisor and the keepers of its children.
type (
	// begin (cast, from the supervisor) lets the keeper start its service: the
	// supervisor is linked by then, and will hear of whatever comes of it.
	begin struct{}
	// begun (info, to the supervisor): the service serves.
	begun struct{ pid gen.PID }
	// halt (cast, from the supervisor): stop the service, then end.
	halt struct{}
	// ended (info, from the keeper's own goroutine): the service has failed.
	ended struct{}
	// beat (info, from a timer) passes the fault point.
	beat struct{}
)

// beatInterval is how often a keeper passes its fault point.
const beatInterval = 500 * time.Millisecond

// exitReason carries a service's error through ergo, which compares reasons with
// == and unwraps them once.
type exitReason struct{ err error }

// Error is the service's error.
func (e *exitReason) Error() string { return e.err.Error() }

// reasonOf is the error that ended a process, nil for an ordinary end.
func reasonOf(reason error) error {
	var own *exitReason
	switch {
	case reason == nil, errors.Is(reason, gen.TerminateReasonNormal), errors.Is(reason, gen.TerminateReasonShutdown):
		return nil
	case errors.As(reason, &own):
		return own.err
	default:
		return reason
	}
}

// life is one life of a child, shared between its keeper and the live tree.
type life struct {
	service Service
	ctx     context.Context //nolint:containedctx // ends when the child is to stop
	cancel  context.CancelFunc
	mailbox gen.ProcessMailbox // the keeper's
}

// keeper is the process of one child: it starts the service, watches it and
// stops it, and ends with the reason that the service had.
//
// While the service starts or stops the keeper reads no messages; they wait in
// its mailbox, which is not bounded and only the supervisor writes to.
type keeper struct {
	act.Actor
	spec  Child
	life  *life
	point *fault.Point
	up    bool          // the service has been started and not stopped
	quit  chan struct{} // closed when the keeper has ended
}

// Init implements act.ActorBehavior.
func (k *keeper) Init(...any) error {
	k.quit = make(chan struct{})
	k.life.mailbox = k.Mailbox()
	k.point = pointOf(k.spec.Name)
	return nil
}

// HandleMessage implements act.ActorBehavior.
func (k *keeper) HandleMessage(_ gen.PID, message any) error {
	switch message.(type) {
	case begin:
		return k.begin()
	case halt:
		if err := k.stop(); err != nil {
			return &exitReason{err}
		}
		return gen.TerminateReasonShutdown
	case ended:
		return k.fail(k.life.service.Err())
	case beat:
		if err := k.point.Err(); err != nil {
			return k.fail(err)
		}
		_, err := k.SendAfter(k.PID(), beat{}, beatInterval)
		return err
	}
	return nil // a stranger's: the name can be sent to from other nodes
}

func (k *keeper) begin() error {
	s := k.life.service
	if err := s.Start(k.life.ctx); err != nil {
		return &exitReason{err}
	}
	k.up = true
	if done := s.Done(); done != nil {
		node, pid := k.Node(), k.PID()
		go func() {
			select {
			case <-done:
				_ = node.Send(pid, ended{}) // fails only when the keeper is gone
			case <-k.quit:
			}
		}()
	}
	if _, err := k.SendAfter(k.PID(), beat{}, beatInterval); err != nil {
		return err
	}
	return k.Send(k.Parent(), begun{k.PID()})
}

// fail cleans up after a service that has failed.
func (k *keeper) fail(reason error) error {
	if reason == nil {
		reason = errors.New("ended by itself")
	}
	return &exitReason{errors.Join(reason, k.stop())}
}

func (k *keeper) stop() error {
	if !k.up {
		return nil
	}
	k.up = false
	k.life.cancel()
	ctx, cancel := context.WithTimeout(context.Background(), k.spec.shutdown())
	defer cancel()
	if err := k.life.service.Stop(ctx); err != nil {
		return fmt.Errorf("stop %s: %w", k.spec.Name, err)
	}
	return nil
}

// Terminate implements act.ActorBehavior. A keeper whose supervisor has died, or
// that panicked, still has a service to stop.
func (k *keeper) Terminate(error) {
	close(k.quit)
	_ = k.stop()
	k.life.cancel()
}

func (c Child) shutdown() time.Duration {
	if c.Shutdown > 0 {
		return c.Shutdown
	}
	return DefaultShutdown
}

func (c Child) kind() string {
	if c.Kind != "" {
		return c.Kind
	}
	return c.Name
}

// points are the fault points of children, by name.
var points sync.Map

// pointOf gives the fault point "node.<child>".
func pointOf(child string) *fault.Point {
	if p, ok := points.Load(child); ok {
		return p.(*fault.Point) //nolint:forcetypeassert // nothing else is stored
	}
	pointsMu.Lock()
	defer pointsMu.Unlock()
	if p, ok := points.Load(child); ok {
		return p.(*fault.Point) //nolint:forcetypeassert // nothing else is stored
	}
	p := fault.New("node." + child)
	points.Store(child, p)
	return p
}

var pointsMu sync.Mutex
