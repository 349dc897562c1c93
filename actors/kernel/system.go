package kernel

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/asynkron/protoactor-go/actor"
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
	// Intensity and Period are the limit of every supervisor whose Spec has
	// none of its own; default 10 restarts in 10 s.
	Intensity int
	Period    time.Duration
	// RootIntensity and RootPeriod limit how often a root may fail; default
	// Intensity and Period. A root that fails because its children do takes,
	// with their pauses, some seconds for each failure: within the Period of
	// the children it would never exceed their Intensity.
	RootIntensity int
	RootPeriod    time.Duration
	// BackoffMin is the pause before the second restart within the period (the
	// first one is immediate); it doubles with every further failure up to
	// BackoffMax or Period/(2*Intensity), whichever is less, so that pauses
	// never keep a supervisor below its intensity. A quarter of it, up or
	// down, is jitter. Defaults 10 ms and 1 s.
	BackoffMin, BackoffMax time.Duration
}

func (c *Config) setDefaults() {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.FatalGrace <= 0 {
		c.FatalGrace = 5 * time.Second
	}
	if c.Intensity == 0 {
		c.Intensity = 10
	}
	if c.Period <= 0 {
		c.Period = 10 * time.Second
	}
	if c.RootIntensity == 0 {
		c.RootIntensity = c.Intensity
	}
	if c.RootPeriod <= 0 {
		c.RootPeriod = c.Period
	}
	if c.BackoffMin <= 0 {
		c.BackoffMin = 10 * time.Millisecond
	}
	if c.BackoffMax <= 0 {
		c.BackoffMax = time.Second
	}
}

// System is a set of trees of actors, one per root. Make it with NewSystem;
// all methods may be called from any goroutine.
type System struct {
	cfg       Config
	log       *slog.Logger
	limit     limit // where a Spec says nothing
	rootLimit limit // of the roots
	as        *actor.ActorSystem
	guardian  *actor.PID // parent of the roots, in protoactor's eyes
	spawners  sync.Pool  // of *spawner
	workers   *workers
	seq       atomic.Uint32 // of spawns, to spread them over the workers
	names     atomic.Uint64
	dead      atomic.Uint64 // protoactor's dead letters

	kindsMu   sync.RWMutex
	kinds     map[string]*kind
	templates map[specKey]*template

	mu      sync.Mutex
	roots   []*cell // in the order of their spawning
	closing bool
	err     error
	done    chan struct{}
	ended   bool // done is closed
	asDown  bool // protoactor's system is shut down
}

// NewSystem makes an actor system: about 3 MB, no goroutine of its own. Up to
// 1024 goroutines that actors have run on are kept until Shutdown.
func NewSystem(cfg Config) *System {
	cfg.setDefaults()
	s := &System{
		cfg:       cfg,
		log:       cfg.Logger,
		limit:     limit{n: max(cfg.Intensity, 0), period: cfg.Period},
		rootLimit: limit{n: max(cfg.RootIntensity, 0), period: cfg.RootPeriod},
		kinds:     make(map[string]*kind),
		templates: make(map[specKey]*template),
		done:      make(chan struct{}),
		workers:   newWorkers(),
	}
	s.as = newProtoSystem(cfg.Logger, &s.dead)
	s.guardian = s.as.Root.Copy().WithGuardian(&guardian{}).Self()
	s.spawners.New = func() any { return newSpawner() }
	return s
}

// SpawnRoot starts a root actor, as Context.Spawn does a child. Roots are
// supervised by the system, each for itself, with the RootIntensity and
// RootPeriod of the Config. ErrStopped after Shutdown has begun.
func (s *System) SpawnRoot(spec Spec) (Ref, error) { return s.spawn(nil, spec) }

// spawn starts an actor under parent, nil for a root.
func (s *System) spawn(parent *cell, spec Spec) (Ref, error) {
	if spec.New == nil || strings.Contains(spec.Name, pathSeparator) {
		return Ref{}, fmt.Errorf("spawn %q: %w", spec.Name, ErrBadSpec)
	}
	name := spec.Name
	if name == "" {
		name = "$" + strconv.FormatUint(s.names.Add(1), 10)
	}
	above, parentPID := "", s.guardian
	if parent != nil {
		above, parentPID = parent.id, parent.ctx.Self()
	}
	c := &cell{
		t:      s.template(&spec),
		new:    spec.New,
		parent: parent,
		id:     above + pathSeparator + name,
		shard:  uint8(s.seq.Add(1)),
	}
	if !s.link(parent, c) {
		return Ref{}, fmt.Errorf("spawn %q: %w", name, ErrStopped)
	}
	sp := s.spawners.Get().(*spawner)
	err := sp.spawn(s.as, parentPID, c)
	s.spawners.Put(sp)
	if err != nil {
		c.setState(stStopped)
		c.fireWatches()
		if parent != nil {
			parent.PostSystemMessage(childEnded{c: c, stillborn: true})
		} else {
			s.rootEnded(c)
		}
		return Ref{}, fmt.Errorf("spawn %q: %w", name, ErrNameExists)
	}
	return Ref{c}, nil
}

// link makes c a child of parent, or a root.
func (s *System) link(parent, c *cell) bool {
	if parent != nil {
		return parent.link(c)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	s.roots = append(s.roots, c)
	return true
}

// rootEnded takes a root off the list.
func (s *System) rootEnded(c *cell) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.roots = slices.DeleteFunc(s.roots, func(r *cell) bool { return r == c })
}

// Root finds a living root by name; the zero Ref when there is none.
func (s *System) Root(name string) Ref {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.roots {
		if c.name() == name && c.alive() {
			return Ref{c}
		}
	}
	return Ref{}
}

// rootFailed decides what a root's failure leads to. It runs on the root's
// goroutine.
func (s *System) rootFailed(c *cell) {
	reason := c.reason()
	if c.t.restart == Temporary {
		c.PostSystemMessage(stopFor{reason})
		return
	}
	n := c.sup.own.add(time.Now(), s.rootLimit)
	if n > s.rootLimit.n {
		err := &IntensityError{Failures: n, Last: reason}
		c.PostSystemMessage(stopFor{err})
		if c.t.restart == Permanent {
			go s.giveUp(c, err)
		}
		return
	}
	pause := s.pause(n, s.rootLimit)
	if pause == 0 {
		c.PostSystemMessage(restartMessage)
		return
	}
	time.AfterFunc(pause, func() { c.PostSystemMessage(restartMessage) })
}

// giveUp reports a root that has failed too often, once its subtree is gone.
func (s *System) giveUp(c *cell, reason error) {
	s.log.Error("actor root given up", "actor", c.path(), "err", reason)
	grace := time.NewTimer(s.cfg.FatalGrace)
	defer grace.Stop()
	select {
	case <-gone(Ref{c}):
	case <-grace.C:
		s.log.Error("actor root does not stop", "actor", c.path(), "took", s.cfg.FatalGrace)
	}
	s.finish(&FatalError{Root: c.name(), Reason: reason})
	if s.cfg.OnFatal != nil {
		s.cfg.OnFatal(c.name(), reason)
	}
}

// finish closes Done; the first error stays.
func (s *System) finish(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		s.ended, s.err = true, err
		close(s.done)
	}
}

// Shutdown stops the roots in the reverse order of their spawning, each with
// its whole subtree before the next, and returns when all are gone or ctx is
// done. It may be called again, for instance with more time.
func (s *System) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.closing = true
	roots := slices.Clone(s.roots)
	s.mu.Unlock()
	for _, c := range slices.Backward(roots) {
		c.stop()
		select {
		case <-gone(Ref{c}):
		case <-ctx.Done():
			return fmt.Errorf("stop actor root %q: %w", c.name(), ctx.Err())
		}
	}
	s.mu.Lock()
	if !s.asDown {
		s.asDown = true
		s.as.Shutdown()
		s.workers.close()
	}
	s.mu.Unlock()
	s.finish(ErrShutdown)
	return nil
}

// Done is closed when a root is given up or Shutdown has finished.
func (s *System) Done() <-chan struct{} { return s.done }

// Err is nil until Done is closed; then the first *FatalError, or ErrShutdown.
func (s *System) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// template finds or makes what all actors of this Spec share.
func (s *System) template(spec *Spec) *template {
	key := specKey{
		kindName:     spec.Kind,
		mailboxLimit: max(spec.MailboxLimit, 0),
		drained:      spec.Drained,
		restart:      spec.Restart,
		strategy:     spec.Strategy,
		limit:        s.limit,
	}
	if spec.Intensity != 0 {
		key.limit.n = max(spec.Intensity, 0)
	}
	if spec.Period > 0 {
		key.limit.period = spec.Period
	}
	s.kindsMu.RLock()
	t := s.templates[key]
	s.kindsMu.RUnlock()
	if t != nil {
		return t
	}
	s.kindsMu.Lock()
	defer s.kindsMu.Unlock()
	if t = s.templates[key]; t != nil {
		return t
	}
	k := s.kinds[spec.Kind]
	if k == nil {
		k = &kind{name: spec.Kind}
		s.kinds[spec.Kind] = k
	}
	t = &template{sys: s, specKey: key, kind: k}
	s.templates[key] = t
	return t
}
