package kernel

import (
	"context"
	"log/slog"
	"time"
)

// Config is what a System is made with. The zero value is usable.
type Config struct {
	// Logger takes failures (Error, with stack) and what protoactor reports
	// (Warn and above). Nil: nothing is logged.
	Logger *slog.Logger
	// OnFatal is called once for each root that is given up, on a goroutine
	// of its own, when its subtree has stopped or FatalGrace has passed.
	OnFatal func(root string, reason error)
	// FatalGrace bounds how long OnFatal waits for the subtree; default 5 s.
	FatalGrace time.Duration
	// Intensity and Period limit how often a root may fail, and are the
	// default for every supervisor; default 10 restarts in 10 s.
	Intensity int
	Period    time.Duration
	// BackoffMin is the pause before the second restart within the period (the
	// first one is immediate); it doubles with every further failure up to
	// BackoffMax or Period/(2*Intensity), whichever is less, so that pauses
	// never keep a supervisor below its intensity. A quarter of it, up or
	// down, is jitter. Defaults 10 ms and 1 s.
	BackoffMin, BackoffMax time.Duration
}

// NewSystem makes an actor system. It starts no goroutine and costs about
// 3 MB; Shutdown ends it.
func NewSystem(cfg Config) *System { return newSystem(cfg) }

// SpawnRoot starts a root actor, as Context.Spawn does a child. Roots are
// supervised by the system, each for itself, with the Intensity and Period of
// the Config. ErrStopped after Shutdown has begun.
func (s *System) SpawnRoot(spec Spec) (Ref, error) { return s.spawn(nil, spec) }

// Root finds a living root by name; the zero Ref when there is none.
func (s *System) Root(name string) Ref { return s.root(name) }

// Shutdown stops the roots in the reverse order of their spawning, each with
// its whole subtree before the next, and returns when all are gone or ctx is
// done. It may be called again, for instance with more time.
func (s *System) Shutdown(ctx context.Context) error { return s.shutdown(ctx) }

// Done is closed when a root is given up or Shutdown has finished.
func (s *System) Done() <-chan struct{} { return s.done }

// Err is nil until Done is closed; then the first *FatalError, or ErrShutdown.
func (s *System) Err() error { return s.endErr() }
