package directory

import (
	"context"
	"fmt"
	"sync"

	"ermine/actors/fault"
	"ermine/actors/kernel"
	"ermine/actors/session"
	"ermine/actors/topic"
)

const shards = 16

var faultReceive = fault.New("directory.receive")

// Directory is this node's part of the client ID registry. Create it with New,
// then Start.
type Directory struct {
	sessions *session.Manager

	mu   sync.RWMutex
	refs [shards]kernel.Ref
}

// New returns a directory that opens sessions on the given manager.
func New(m *session.Manager) *Directory {
	return &Directory{sessions: m}
}

// Start spawns the actors.
func (d *Directory) Start(sys *kernel.System) error {
	_, err := sys.StartRoot(kernel.Spec{Name: "directory", Kind: "directory_sup", New: func() kernel.Actor {
		return kernel.Func(func(c *kernel.Context, msg any) {
			if _, ok := msg.(kernel.Started); !ok {
				return
			}
			for i := range shards {
				ref, err := c.Spawn(kernel.Spec{
					Name: fmt.Sprintf("directory-%d", i), Kind: "directory",
					New: func() kernel.Actor { return &shard{d: d, id: i, epochs: map[string]uint64{}} },
				})
				if err != nil {
					panic(fmt.Sprintf("spawn directory shard: %v", err))
				}
				d.mu.Lock()
				d.refs[i] = ref
				d.mu.Unlock()
			}
		})
	}})
	if err != nil {
		return fmt.Errorf("spawn directory: %w", err)
	}
	return nil
}

func (d *Directory) ref(id string) kernel.Ref {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.refs[topic.HashShard(id, shards)]
}

// Open creates, resumes or takes over the session of req.Client.ID and attaches
// req.Conn to it. It blocks until the session has answered or ctx ends. A
// crash of the shard or the session on the way is tried again: an open has no
// effect that a second one does not replace.
func (d *Directory) Open(ctx context.Context, req session.OpenRequest) (session.Opened, error) {
	const tries = 3
	var err error
	for range tries {
		var o session.Opened
		o, err = kernel.Call(ctx, d.ref(req.Client.ID), func(r kernel.Reply[session.Opened]) any {
			return open{req, r}
		})
		if err == nil {
			return o, nil
		}
		if ctx.Err() != nil {
			break
		}
	}
	return session.Opened{}, fmt.Errorf("open session %q: %w", req.Client.ID, err)
}

// Release is session.Host.Release.
func (d *Directory) Release(s *session.Session, epoch uint64) {
	d.ref(s.ClientID()).Control(release{s, epoch})
}

// Forget drops the entry of a session that was given up.
func (d *Directory) Forget(s *session.Session) { d.ref(s.ClientID()).Control(forget{s}) }

// open (call, from connections).
type open struct {
	req   session.OpenRequest
	reply kernel.Reply[session.Opened]
}

// release (cast, from sessions).
type release struct {
	s     *session.Session
	epoch uint64
}

// forget (cast, from the session managers).
type forget struct{ s *session.Session }

type shard struct {
	d      *Directory
	id     int
	epochs map[string]uint64
}

func (a *shard) Receive(c *kernel.Context, msg any) {
	switch msg.(type) {
	case kernel.Started:
		a.rebuild(c)
		return
	case kernel.Stopping:
		return
	}
	faultReceive.Hit()
	switch m := msg.(type) {
	case open:
		a.open(m)
	case release:
		if e, ok := a.epochs[m.s.ClientID()]; !ok || e == m.epoch {
			delete(a.epochs, m.s.ClientID())
			m.s.Released(m.epoch)
		}
	case forget:
		if a.epochs[m.s.ClientID()] == m.s.Epoch() {
			delete(a.epochs, m.s.ClientID())
		}
	default:
		c.Logger().Error("unexpected message", "type", fmt.Sprintf("%T", msg))
	}
}

// rebuild takes the entries from the sessions that run: none but after a crash,
// of the shard or of the root above it.
func (a *shard) rebuild(c *kernel.Context) {
	n := 0
	for s := range a.d.sessions.Running() {
		if topic.HashShard(s.ClientID(), shards) == a.id {
			a.epochs[s.ClientID()] = s.Epoch()
			n++
		}
	}
	if n > 0 {
		c.Logger().Warn("directory shard rebuilt", "shard", a.id, "sessions", n)
	}
}

func (a *shard) open(m open) {
	id := m.req.Client.ID
	a.epochs[id]++
	if !a.d.sessions.Run(id, session.Open{Epoch: a.epochs[id], Req: m.req, Reply: m.reply}) {
		m.reply.Fail(kernel.ErrStopped)
	}
}
