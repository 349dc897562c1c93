package session

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"ermine/actors/kernel"
	"ermine/actors/topic"
)

const managers = 64

// Manager supervises the processes of all sessions of this node, and knows
// which sessions there are. Its own actors are "sessions" and, under it,
// sessions-<n>: the parents of the processes, a failure of which is never
// theirs (see kernel.Contained): a session that keeps crashing is given up
// alone.
type Manager struct {
	host   *Host
	shards [managers]managerShard
	onGone func(s *Session)

	alive, online atomic.Int64 // sessions; of those, connected
}

type managerShard struct {
	mu       sync.RWMutex
	ref      kernel.Ref
	sessions map[string]*Session // all that have a process
}

// NewManager returns a manager that has not started. onGone is called, on the
// manager's goroutine, when a session was given up after repeated crashes.
func NewManager(host *Host, onGone func(*Session)) *Manager {
	m := &Manager{host: host, onGone: onGone}
	for i := range m.shards {
		m.shards[i].sessions = map[string]*Session{}
	}
	return m
}

// Start spawns the actors.
func (m *Manager) Start(sys *kernel.System) error {
	_, err := sys.StartRoot(kernel.Spec{Name: "sessions", Kind: "session_sup", New: func() kernel.Actor {
		return kernel.Func(func(c *kernel.Context, msg any) {
			if _, ok := msg.(kernel.Started); !ok {
				return
			}
			for i := range m.shards {
				ref, err := c.Spawn(kernel.Spec{
					Name: fmt.Sprintf("sessions-%d", i), Kind: "session_manager",
					New: func() kernel.Actor { return &managerActor{m: m, shard: &m.shards[i]} },
				})
				if err != nil {
					panic(fmt.Sprintf("spawn session manager: %v", err))
				}
				m.shards[i].mu.Lock()
				m.shards[i].ref = ref
				m.shards[i].mu.Unlock()
			}
		})
	}})
	if err != nil {
		return fmt.Errorf("spawn session managers: %w", err)
	}
	return nil
}

func (m *Manager) shard(id string) *managerShard { return &m.shards[topic.HashShard(id, managers)] }

// run (cast, from the directory) starts a session's process where it has none
// and passes the message on.
type run struct {
	id   string
	open Open
}

// Run hands an Open to the session of a client ID, which is created first
// where there is none. It reports false while the manager itself is not there.
// Any goroutine; the directory only.
func (m *Manager) Run(id string, o Open) bool {
	sh := m.shard(id)
	sh.mu.RLock()
	ref := sh.ref
	sh.mu.RUnlock()
	o.Reply.Delegate(ref)
	return ref.Control(run{id, o})
}

type managerActor struct {
	m     *Manager
	shard *managerShard
	// waiting are the opens of sessions whose process has ended and that are
	// about to be given up.
	waiting map[string][]run
}

func (a *managerActor) Receive(c *kernel.Context, msg any) {
	switch m := msg.(type) {
	case kernel.Started:
		// The processes ended with the instance or the manager before; the
		// sessions are still here.
		for _, s := range a.list() {
			a.spawn(c, s)
		}
	case kernel.Stopping:
	case run:
		faultManager.Hit()
		a.run(c, m)
	case kernel.ChildGone:
		if m.Reason != nil {
			a.lost(c, m)
		}
	default:
		c.Logger().Error("unexpected message", "type", fmt.Sprintf("%T", msg))
	}
}

func (a *managerActor) run(c *kernel.Context, m run) {
	s := a.get(m.id)
	switch {
	case s == nil:
		s = New(m.id, a.m.host, a.m)
		if !a.spawn(c, s) {
			m.open.Reply.Fail(kernel.ErrStopped)
			return
		}
	case !s.process().Alive():
		// Its end is not yet known here. What it has must be given away first.
		if a.waiting == nil {
			a.waiting = map[string][]run{}
		}
		a.waiting[m.id] = append(a.waiting[m.id], m)
		return
	}
	m.open.Reply.Delegate(s.process())
	s.send(m.open)
}

// lost gives up the session of a process that has ended by failing.
func (a *managerActor) lost(c *kernel.Context, m kernel.ChildGone) {
	for _, s := range a.list() {
		if s.process() == m.Ref {
			a.giveUp(s, m.Reason)
			waiting := a.waiting[s.id]
			delete(a.waiting, s.id)
			for _, w := range waiting {
				a.run(c, w)
			}
		}
	}
}

func (a *managerActor) giveUp(s *Session, reason error) {
	s.giveUp(reason)
	a.m.onGone(s)
}

func (a *managerActor) get(id string) *Session {
	a.shard.mu.RLock()
	defer a.shard.mu.RUnlock()
	return a.shard.sessions[id]
}

func (a *managerActor) list() []*Session {
	a.shard.mu.RLock()
	defer a.shard.mu.RUnlock()
	out := make([]*Session, 0, len(a.shard.sessions))
	for _, s := range a.shard.sessions {
		out = append(out, s)
	}
	return out
}

// spawn starts a session's process and reports whether it could.
func (a *managerActor) spawn(c *kernel.Context, s *Session) bool {
	spec := kernel.Spec{
		Name: s.id, Kind: "session", Restart: kernel.Contained,
		New: func() kernel.Actor { return process{s} },
	}
	ref, err := c.Spawn(spec)
	if errors.Is(err, kernel.ErrNameExists) {
		spec.Name = "" // the one before is on its way out
		ref, err = c.Spawn(spec)
	}
	if err != nil {
		c.Logger().Error("session process not started", "client_id", s.id, "err", err)
		if s.state != nil {
			a.giveUp(s, err)
		}
		return false
	}
	s.ref.Store(&ref)
	a.shard.mu.Lock()
	a.shard.sessions[s.id] = s
	a.shard.mu.Unlock()
	if s.state != nil { // of an instance that ended with its manager
		s.inbox.attempts++
		ref.Control(wake{})
	}
	return true
}

// giveUp ends a session whose process will not run again.
func (s *Session) giveUp(reason error) {
	s.mgr.forget(s) // first: should this fail, it is not tried again
	s.host.Logger.Error("session given up after repeated crashes; its queue is lost",
		"client_id", s.id, "err", reason)
	if h := s.handle; h != nil {
		h.conn.Disconnect(codeImplSpecific)
		h.shut()
		s.handle = nil
	}
	s.setOnline(false)
	if s.state != nil {
		s.state.Repair()
		s.end("crashed")
	}
}

func (m *Manager) forget(s *Session) {
	sh := m.shard(s.id)
	sh.mu.Lock()
	if sh.sessions[s.id] == s {
		delete(sh.sessions, s.id)
	}
	sh.mu.Unlock()
}

// Find returns the live session of a client ID, or nil. Any goroutine.
func (m *Manager) Find(id string) *Session {
	sh := m.shard(id)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	if s := sh.sessions[id]; s != nil && s.alive.Load() {
		return s
	}
	return nil
}

// All yields every live session, connected or not, in no order. Sessions may
// come and go meanwhile. Any goroutine.
func (m *Manager) All() iter.Seq[*Session] {
	return func(yield func(*Session) bool) {
		for s := range m.Running() {
			if s.alive.Load() && !yield(s) {
				return
			}
		}
	}
}

// Running yields every session that has a process, ended ones included.
func (m *Manager) Running() iter.Seq[*Session] {
	return func(yield func(*Session) bool) {
		for i := range m.shards {
			for _, s := range (&managerActor{m: m, shard: &m.shards[i]}).list() {
				if !yield(s) {
					return
				}
			}
		}
	}
}

// Counts returns the numbers of sessions and of those that are connected.
func (m *Manager) Counts() (sessions, connected int) {
	return int(m.alive.Load()), int(m.online.Load())
}

func (s *Session) setAlive(v bool) {
	if s.alive.Swap(v) != v {
		count(&s.mgr.alive, v)
	}
}

func (s *Session) setOnline(v bool) {
	if s.online.Swap(v) != v {
		count(&s.mgr.online, v)
	}
}

func count(n *atomic.Int64, up bool) {
	if up {
		n.Add(1)
	} else {
		n.Add(-1)
	}
}

// Reannounce asks every session for its filters of a topic shard and calls
// done when all have answered or ended, or after the deadline of ctx.
func (m *Manager) Reannounce(ctx context.Context, shard int, epoch uint64, done func()) {
	var wg sync.WaitGroup
	gate := make(chan struct{}, 256)
	for s := range m.All() {
		gate <- struct{}{}
		wg.Go(func() {
			s.reannounce(ctx, shard, epoch)
			<-gate
		})
	}
	wg.Wait()
	done()
}

// reannounce asks until the session has answered or ended: one that crashes on
// the way must not lose its filters.
func (s *Session) reannounce(ctx context.Context, shard int, epoch uint64) {
	for pause := 5 * time.Millisecond; s.alive.Load(); pause *= 2 {
		_, err := kernel.Call(ctx, s.process(), func(r kernel.Reply[struct{}]) any {
			return reannounce{shard: shard, epoch: epoch, reply: r}
		})
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// Kick ends the session of a client: DISCONNECT with code, then the end of the
// session. It reports whether there was one.
func (s *Session) Kick(ctx context.Context, code byte, word string) (bool, error) {
	return kernel.Call(ctx, s.process(), func(r kernel.Reply[bool]) any {
		return kick{code: code, word: word, reply: r}
	})
}

// KickCode is the DISCONNECT reason of an administrative kick
// [MQTT 5, 3.14.2.1: administrative action].
const KickCode = codeKicked

// AddSubscription subscribes on behalf of the client, as an operator does.
func (s *Session) AddSubscription(ctx context.Context, req SubscribeRequest) error {
	return s.subscribe(ctx, nil, req)
}

// RemoveSubscription unsubscribes on behalf of the client.
func (s *Session) RemoveSubscription(ctx context.Context, filter string) error {
	return s.unsubscribe(ctx, nil, UnsubscribeRequest{Filters: []string{filter}})
}

// Released tells the session that its client ID is free. Called by the
// directory only.
func (s *Session) Released(epoch uint64) { s.send(released{epoch}) }

// Retained hands over retained messages for sub. Called by the retained store
// only.
func (s *Session) Retained(b RetainedBatch) { s.send(b) }

// inspectWait bounds Inspect.
const inspectWait = 5 * time.Second

// Inspect asks the session for a snapshot of itself.
func (s *Session) Inspect(ctx context.Context) (Info, error) {
	ctx, cancel := context.WithTimeout(ctx, inspectWait)
	defer cancel()
	return kernel.Call(ctx, s.process(), func(r kernel.Reply[Info]) any { return inspect{r} })
}
