package erl

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"ergo.services/ergo/gen"

	"ermine/actors"
	"ermine/node/console"
	"ermine/node/dist"
	"ermine/node/dist/etf"
)

// Options say what Erlang nodes are offered. Network and Logger must be set.
type Options struct {
	Network *dist.Network

	// Broker returns the node's broker, or nil while it is starting, stopping or
	// being restarted: then what needs it answers {error, unavailable}.
	// Subscriptions of Erlang processes move on to a new broker within
	// checkEvery.
	Broker func() *actors.Broker

	// Commands are what ermine_ctl and the consoles run; nil is none.
	Commands console.Commands

	// Names are for completion in consoles. Nil functions get those of the
	// network and the broker.
	Names console.Names

	// Version of the program.
	Version string

	// TickTime is what net_kernel:get_net_ticktime/0 answers: dist's. 0 is 60 s.
	TickTime time.Duration

	// AckTime bounds how long a publisher waits for {mqtt_ack, Id}; 0 is 30 s.
	AckTime time.Duration

	// Now is time.Now when nil.
	Now func() time.Time

	Logger *slog.Logger
}

const (
	defaultTickTime = 60 * time.Second
	defaultAckTime  = 30 * time.Second

	// checkEvery is how often it is looked at whether the broker still routes
	// what Erlang processes have subscribed to.
	checkEvery = 5 * time.Second

	// maxRestarts and restartPeriod bound the restarts of named processes.
	maxRestarts   = 10
	restartPeriod = 10 * time.Second

	// takenWait is how often a name is tried that its dead process still holds.
	takenWait = 2 * time.Millisecond
)

// ErrRestarts is the reason why Services have ended: a process failed more
// often than a restart could mend.
var ErrRestarts = errors.New("too many restarts")

// Services are the running services. Make them with Start.
type Services struct {
	opts  Options
	net   *dist.Network
	log   *slog.Logger
	core  gen.Core
	table Table
	hub   *hub

	ctx    context.Context //nolint:containedctx // the services' own life, not a caller's
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup

	mu       sync.Mutex
	names    map[gen.Atom]gen.PID
	restarts []time.Time
	stopped  bool
	started  time.Time
}

// Start registers the processes and offers the functions. It returns when other
// nodes can use them.
func Start(opts Options) (*Services, error) {
	core, ok := opts.Network.Node().(gen.Core)
	if !ok {
		return nil, errors.New("start Erlang services: ergo's node is no gen.Core")
	}
	if opts.Broker == nil {
		opts.Broker = func() *actors.Broker { return nil }
	}
	if opts.TickTime <= 0 {
		opts.TickTime = defaultTickTime
	}
	if opts.AckTime <= 0 {
		opts.AckTime = defaultAckTime
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	s := &Services{
		opts: opts, net: opts.Network, log: opts.Logger, core: core,
		names: map[gen.Atom]gen.PID{}, started: opts.Now(),
	}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	s.opts.Names = s.fillNames(opts.Names)
	s.hub = newHub(s)
	s.table = s.functions()
	for name, factory := range s.processes() {
		if err := s.run(name, factory); err != nil {
			s.Stop()
			return nil, fmt.Errorf("start %s: %w", name, err)
		}
	}
	s.offer()
	s.wg.Go(s.hub.keep)
	return s, nil
}

// processes are the named processes.
func (s *Services) processes() map[gen.Atom]gen.ProcessFactory {
	all := map[gen.Atom]gen.ProcessFactory{
		"rex":    func() gen.ProcessBehavior { return &rex{named: named{s: s, name: "rex"}} },
		"ermine": func() gen.ProcessBehavior { return &server{named: named{s: s, name: "ermine"}} },
	}
	if s.opts.Commands != nil {
		all[console.ServiceName] = console.NewService(console.ServiceConfig{
			Network: s.net, Commands: s.opts.Commands, Names: s.opts.Names, Version: s.opts.Version,
			Logger: s.log, Ended: func(reason error) { s.ended(console.ServiceName, reason) },
		})
	}
	return all
}

// offer lets other nodes spawn what is in the table.
func (s *Services) offer() {
	worker := func() gen.ProcessBehavior { return &worker{s: s} }
	for fa, arities := range map[string][]int{"execute_call": {3, 4}, "execute_cast": {3}} {
		for _, arity := range arities {
			s.net.HandleSpawn("erpc", fa, arity, worker)
		}
	}
	for module, functions := range s.table {
		for fa := range functions {
			s.net.HandleSpawn(module, fa.Name, fa.Arity, worker)
		}
	}
}

// run starts a named process. The name of one that has just died may still be
// taken, for a moment.
func (s *Services) run(name gen.Atom, factory gen.ProcessFactory) error {
	limit := time.NewTimer(time.Second)
	defer limit.Stop()
	again := time.NewTicker(takenWait)
	defer again.Stop()
	for {
		s.mu.Lock()
		if s.stopped {
			s.mu.Unlock()
			return dist.ErrStopped
		}
		pid, err := s.spawn(name, factory)
		if err == nil {
			s.names[name] = pid
		}
		s.mu.Unlock()
		if err == nil || !errors.Is(err, gen.ErrTaken) {
			return err
		}
		select {
		case <-again.C:
		case <-limit.C:
			return err
		}
	}
}

// spawn starts a process and then gives it its name. ergo's own SpawnRegister
// enters the name first, and a look-up meanwhile finds half a process.
func (s *Services) spawn(name gen.Atom, factory gen.ProcessFactory) (gen.PID, error) {
	if _, err := s.net.Node().ProcessPID(name); err == nil {
		return gen.PID{}, gen.ErrTaken
	}
	pid, err := s.net.Node().Spawn(factory, gen.ProcessOptions{})
	if err != nil {
		return pid, err
	}
	if err := s.net.Node().RegisterName(name, pid); err != nil {
		_ = s.net.Node().SendExit(pid, gen.TerminateReasonShutdown)
		return gen.PID{}, err
	}
	return pid, nil
}

// ended restarts a named process that has ended.
func (s *Services) ended(name gen.Atom, reason error) {
	now := s.opts.Now()
	s.mu.Lock()
	if s.stopped || errors.Is(reason, gen.TerminateReasonShutdown) {
		s.mu.Unlock()
		return
	}
	for len(s.restarts) > 0 && now.Sub(s.restarts[0]) > restartPeriod {
		s.restarts = s.restarts[1:]
	}
	s.restarts = append(s.restarts, now)
	tooMany := len(s.restarts) > maxRestarts
	s.mu.Unlock()
	s.log.Error("process ended", "process", string(name), "err", reason)
	if tooMany {
		s.cancel(fmt.Errorf("process %s: %w: %w", name, ErrRestarts, reason))
		return
	}
	go func() {
		if err := s.run(name, s.processes()[name]); err != nil && !errors.Is(err, dist.ErrStopped) {
			s.cancel(fmt.Errorf("restart process %s: %w", name, err))
		}
	}()
}

// Done is closed when the services have ended: Stop was called, or a process
// could not be kept running.
func (s *Services) Done() <-chan struct{} { return s.ctx.Done() }

// Err says why, once Done is closed.
func (s *Services) Err() error { return context.Cause(s.ctx) }

// Stop ends the processes and takes back all subscriptions. The network goes
// on; functions that are still called fail.
func (s *Services) Stop() {
	s.mu.Lock()
	if s.stopped {
		s.mu.Unlock()
		return
	}
	s.stopped = true
	names := s.names
	s.names = nil
	s.mu.Unlock()
	s.cancel(dist.ErrStopped)
	for _, pid := range names {
		_ = s.net.Node().SendExit(pid, gen.TerminateReasonShutdown)
	}
	s.hub.close()
	s.wg.Wait()
}

// Names are the nodes and clients of this node, for the completion of a console
// in this process (console.Local).
func (s *Services) Names() console.Names { return s.opts.Names }

// broker is the running broker, or nil.
func (s *Services) broker() *actors.Broker { return s.opts.Broker() }

// reply answers a gen_server call from any goroutine.
func (s *Services) reply(self, to gen.PID, ref gen.Ref, answer any) {
	_ = s.core.RouteSendResponse(self, to, gen.MessageOptions{Ref: ref}, answer)
}

// send sends a message from any goroutine, waiting for room in the queue of the
// connection until ctx ends.
func (s *Services) send(ctx context.Context, to gen.PID, message any) error {
	return s.net.Send(ctx, to, message)
}

func (s *Services) fillNames(n console.Names) console.Names {
	if n.Nodes == nil {
		n.Nodes = func() []string { return append(s.net.Nodes(), s.net.Name()) }
	}
	if n.Clients == nil {
		n.Clients = s.clientsWith
	}
	return n
}

// maxScan bounds the clients looked at for one completion.
const maxScan = 100_000

// clientsWith are client IDs that begin with prefix.
func (s *Services) clientsWith(prefix string, limit int) []string {
	b := s.broker()
	if b == nil {
		return nil
	}
	var found []string
	seen := 0
	for c := range b.Sessions() {
		if id := c.ClientID(); len(id) >= len(prefix) && id[:len(prefix)] == prefix {
			found = append(found, id)
		}
		if seen++; seen > maxScan || len(found) >= limit {
			break
		}
	}
	return found
}

// named is part of every named process: its end is told.
type named struct {
	s    *Services
	name gen.Atom
}

func errorTuple(reason any) etf.Tuple { return etf.Tuple{etf.Atom("error"), reason} }
