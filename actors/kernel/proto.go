package kernel

import (
	"context"
	"log/slog"
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"
)

// The seam to protoactor. Each cell is the mailbox of one protoactor actor,
// whose context keeps the life cycle (alive, restarting, stopped), the
// registered name, and the way of a failure to its supervisor. Instances of
// ours are behind one shared bridge. The kernel keeps the account of children
// itself, since protoactor's costs a map per parent and must not be touched
// from other goroutines.

// protoactor's messages carry nothing; one of each serves all.
var (
	stopMessage    = &actor.Stop{}
	restartMessage = &actor.Restart{}
)

// bridge is the protoactor actor of all cells. User messages come to it as the
// cell itself, see cell.deliver; what it gets besides are protoactor's
// lifecycle messages, which the mailbox has seen already.
type bridge struct{}

// Receive hands the message in hand to the instance.
func (bridge) Receive(ctx actor.Context) {
	if c, ok := ctx.Message().(*cell); ok {
		c.actor.Receive((*Context)(c), c.cur)
	}
}

// guardian is the supervisor of all roots.
type guardian struct{ _ byte } // not empty: protoactor keys guardians by pointer

// HandleFailure runs on the failed root's goroutine and must not panic.
func (*guardian) HandleFailure(_ *actor.ActorSystem, _ actor.Supervisor, _ *actor.PID, _ *actor.RestartStatistics, _, message any) {
	if c, ok := message.(*cell); ok {
		c.t.sys.rootFailed(c)
	}
}

// spawner is a set of protoactor Props and the cell that the next spawn with
// it is for. Props stay referenced by what was spawned with them, so a few of
// them are shared by all actors.
type spawner struct {
	actor.SpawnerContext // of which protoactor's spawn calls Self alone
	props                *actor.Props
	parent               *actor.PID
	next                 *cell
}

var sharedStrategy = &strategy{}

func newSpawner() *spawner {
	sp := &spawner{}
	sp.props = actor.PropsFromProducerWithActorSystem(
		func(*actor.ActorSystem) actor.Actor { return bridge{} },
		actor.WithMailbox(func() actor.Mailbox { return sp.next }),
		actor.WithSupervisor(sharedStrategy),
	)
	return sp
}

// Self is the parent of the actor being spawned.
func (sp *spawner) Self() *actor.PID { return sp.parent }

// spawn starts protoactor's half of c. The only error is a name that exists.
func (sp *spawner) spawn(as *actor.ActorSystem, parent *actor.PID, c *cell) error {
	sp.parent, sp.next = parent, c
	c.t.kind.alive.Add(1)
	_, err := actor.DefaultSpawner(as, c.id, sp.props, sp)
	sp.parent, sp.next = nil, nil
	if err != nil {
		c.t.kind.alive.Add(-1)
		return err
	}
	c.t.kind.spawned.Add(1)
	return nil
}

// newProtoSystem makes protoactor's system: no metrics, no log below Warn,
// dead letters counted instead of printed.
func newProtoSystem(log *slog.Logger, dead *atomic.Uint64) *actor.ActorSystem {
	log = slog.New(warnHandler{log.Handler()}).With("runtime", "protoactor")
	cfg := actor.Configure(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return log }))
	cfg.DeadLetterThrottleCount = 0 // no dead letter is printed
	as := actor.NewActorSystemWithConfig(cfg)
	as.EventStream.Subscribe(func(e any) {
		if _, ok := e.(*actor.DeadLetterEvent); ok {
			dead.Add(1)
		}
	})
	return as
}

// warnHandler passes on what is Warn or above.
type warnHandler struct{ slog.Handler }

// Enabled says no below Warn.
func (h warnHandler) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && h.Handler.Enabled(ctx, l)
}

// WithAttrs keeps the bound.
func (h warnHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return warnHandler{h.Handler.WithAttrs(attrs)}
}

// WithGroup keeps the bound.
func (h warnHandler) WithGroup(name string) slog.Handler {
	return warnHandler{h.Handler.WithGroup(name)}
}
