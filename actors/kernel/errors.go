package kernel

import (
	"errors"
	"fmt"
)

var (
	// ErrStopped is returned by Call, Ask and Spawn when the actor concerned
	// has stopped or is stopping, and by operations on the zero Ref.
	ErrStopped = errors.New("actor stopped")

	// ErrFull is returned by Call and Ask when the callee's mailbox refuses
	// the request.
	ErrFull = errors.New("mailbox full")

	// ErrCrashed is returned by Call and Ask when the callee failed after it
	// had taken the request and before it answered. The request may have had
	// any part of its effect.
	ErrCrashed = errors.New("actor crashed")

	// ErrNameExists is returned by Spawn and SpawnRoot when the parent has a
	// living child of that name.
	ErrNameExists = errors.New("name exists")

	// ErrBadSpec is returned by Spawn and SpawnRoot for a Spec without New, or
	// with a name that holds a NUL byte.
	ErrBadSpec = errors.New("bad spec")

	// ErrShutdown is what System.Err returns after an orderly Shutdown.
	ErrShutdown = errors.New("actor system shut down")
)

// CrashError is the reason why an actor failed: the value of the panic and
// where it happened.
type CrashError struct {
	Kind  string // kind of the actor that failed
	Name  string // its path from the root, parts joined by "/"
	Value any    // the value of the panic
	Stack []byte // the failed goroutine's stack
}

// Error gives kind, path and panic value, without the stack.
func (e *CrashError) Error() string {
	return fmt.Sprintf("%s %s crashed: %v", e.Kind, e.Name, e.Value)
}

// Unwrap gives the panic's value when that is an error.
func (e *CrashError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// IntensityError is the reason with which a supervisor fails when its
// children fail more often than it allows.
type IntensityError struct {
	Supervisor string // path of the supervisor, "" above the roots
	Failures   int    // failures within the period, the last one included
	Last       error  // why the child failed the last time
}

// Error names the supervisor, the count and the last reason.
func (e *IntensityError) Error() string {
	who := e.Supervisor
	if who == "" {
		who = "root guardian"
	}
	return fmt.Sprintf("%s: restart intensity exceeded after %d failures: %v", who, e.Failures, e.Last)
}

// Unwrap gives the last failure.
func (e *IntensityError) Unwrap() error { return e.Last }

// FatalError is what System.Err returns once a root was given up.
type FatalError struct {
	Root   string // name of the root
	Reason error  // an *IntensityError
}

// Error names the root and the reason.
func (e *FatalError) Error() string { return fmt.Sprintf("root %s given up: %v", e.Root, e.Reason) }

// Unwrap gives the reason.
func (e *FatalError) Unwrap() error { return e.Reason }
