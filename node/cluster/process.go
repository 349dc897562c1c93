package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"ergo.services/ergo/act"
	"ergo.services/ergo/gen"

	"ermine/node/dist"
	"ermine/node/dist/epmd"
	"ermine/node/dist/etf"
	"ermine/node/dist/handshake"
)

// ProcessName is the registered name of the process that owns the Core, to which
// other nodes send.
const ProcessName = "ermine_cluster"

const (
	// peerQueue is how many messages wait for one peer; beyond it the oldest is
	// dropped, which heartbeats survive.
	peerQueue = 64
	// peerIdle is after what time without a message a peer's goroutine ends.
	peerIdle = time.Minute
	// mailboxSize bounds the process's mailbox; what does not fit is dropped.
	mailboxSize = 8192
	// flushTime bounds how long Stop waits for the goodbyes to be sent.
	flushTime = time.Second
	// adoptRetry is the pause after a failed attempt to adopt the cluster's data.
	adoptRetry = time.Second
)

// Data is what a node has of its cluster beyond the members: retained messages,
// settings. Calls come one at a time, in order, from a goroutine of their own.
type Data interface {
	// Adopt replaces this node's data by the cluster's, from the member named
	// or, if it is empty or fails, from any other. It is called again, after a
	// pause, until it returns nil; ctx ends when the node leaves the cluster.
	Adopt(ctx context.Context, from NodeName) error
	// Reset drops the cluster's data. removed tells that other members removed
	// this node.
	Reset(ctx context.Context, removed bool) error
}

// Options are what a Service is made with.
type Options struct {
	// Network carries the messages. Its name is Config.Name.
	Network *dist.Network
	// Dir is data_dir, which exists and belongs to this process alone.
	Dir    string
	Config Config
	Logger *slog.Logger
	// Events is called with each MemberJoined, MemberLeft, NodeUp and NodeDown,
	// in order, by the process: it must not block. It may be nil.
	Events func(Effect)
	// Data may be nil: then there is none, and a join is done at once.
	Data Data
}

// Service runs the Core of a node, as the process ermine_cluster. It is a
// node.Service: made, started and stopped once. Its methods are safe for
// concurrent use.
type Service struct {
	opts    Options
	pid     gen.PID
	view    atomic.Pointer[View]
	dropped atomic.Uint64
	unknown atomic.Uint64
	counts  atomic.Pointer[Counters]
	done    chan struct{}
	err     error // before done is closed
}

// NewService makes a Service. It has no side effects.
func NewService(opts Options) *Service {
	return &Service{opts: opts, done: make(chan struct{})}
}

// Start reads the membership from disk and starts the process. The error wraps
// ErrConfig, ErrRenamed, ErrStateFormat or ErrStateCorrupt where they apply.
func (s *Service) Start(context.Context) error {
	saved, err := Load(s.opts.Dir)
	if err != nil {
		return err
	}
	core, err := New(s.opts.Config, saved)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := &process{service: s, core: core, born: time.Now(), ctx: ctx, cancel: cancel, peers: peers{service: s, ctx: ctx, byName: map[NodeName]*peer{}}, replies: map[uint64]chan<- error{}}
	options := gen.ProcessOptions{MailboxSize: mailboxSize}
	s.publish(core)
	node := s.opts.Network.Node()
	pid, err := node.Spawn(func() gen.ProcessBehavior { return p }, options)
	if err != nil {
		cancel()
		return fmt.Errorf("start %s: %w", ProcessName, err)
	}
	s.pid = pid
	// The name comes only now: ergo's SpawnRegister gives it to a process that
	// cannot take messages yet, and one that arrives then races with its start.
	if err := node.RegisterName(ProcessName, pid); err != nil {
		return errors.Join(fmt.Errorf("name %s: %w", ProcessName, err), node.Kill(pid))
	}
	s.opts.Network.SubscribeProcess(pid)
	for _, name := range s.opts.Network.Nodes() {
		if err := s.tell(dist.NodeEvent{Node: name, Up: true}); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) publish(core *Core) {
	view, counts := core.View(), core.Counters()
	s.view.Store(&view)
	s.counts.Store(&counts)
}

func (s *Service) tell(message any) error { return s.opts.Network.Node().Send(s.pid, message) }

// ask sends a command to the process and waits for its reply.
func (s *Service) ask(ctx context.Context, give func(c *Core, now Instant, command uint64) []Effect) error {
	reply := make(chan error, 1)
	if err := s.tell(order{give: give, reply: reply}); err != nil {
		return fmt.Errorf("%w: %w", ErrInterrupted, err)
	}
	select {
	case err := <-reply:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-s.done:
		return ErrInterrupted
	}
}

// Join joins the cluster of which target is a member, and returns when it is
// done or has failed: ErrSelf, ErrBusy, ErrInterrupted or a *JoinError. When ctx
// ends first, the join goes on.
func (s *Service) Join(ctx context.Context, target NodeName) error {
	return s.ask(ctx, func(c *Core, now Instant, command uint64) []Effect { return c.Join(now, command, target) })
}

// Leave makes this node a cluster of its own. The error is ErrNotInCluster,
// ErrBusy or ErrInterrupted. When ctx ends first, the command goes on.
func (s *Service) Leave(ctx context.Context) error {
	return s.ask(ctx, func(c *Core, now Instant, command uint64) []Effect { return c.Leave(now, command) })
}

// ForceLeave removes a member. The error is ErrSelf, ErrNotInCluster or
// ErrInterrupted. When ctx ends first, the command goes on.
func (s *Service) ForceLeave(ctx context.Context, target NodeName) error {
	return s.ask(ctx, func(c *Core, now Instant, command uint64) []Effect { return c.ForceLeave(now, command, target) })
}

// Ready tells that the node's broker serves: until then no other node can join
// it, and it joins none.
func (s *Service) Ready() error {
	return s.tell(order{give: func(c *Core, now Instant, _ uint64) []Effect { return c.Ready(now) }})
}

// View returns the cluster as this node sees it. It never blocks, and is the
// zero View before Start. The result is shared: do not change it.
func (s *Service) View() View {
	if v := s.view.Load(); v != nil {
		return *v
	}
	return View{}
}

// Counters returns the core's counts; dropped and unknown are messages that did
// not fit a peer's queue, and such of newer releases.
func (s *Service) Counters() (core Counters, dropped, unknown uint64) {
	if c := s.counts.Load(); c != nil {
		core = *c
	}
	return core, s.dropped.Load(), s.unknown.Load()
}

// Stop says goodbye to the other members and returns when the process has ended,
// or with ctx's error.
func (s *Service) Stop(ctx context.Context) error {
	if err := s.tell(halt{}); err != nil && !errors.Is(err, gen.ErrProcessUnknown) && !errors.Is(err, gen.ErrProcessTerminated) {
		return fmt.Errorf("stop %s: %w", ProcessName, err)
	}
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Done is closed when the process has ended.
func (s *Service) Done() <-chan struct{} { return s.done }

// Err says why the process has ended, once Done is closed; nil after Stop.
func (s *Service) Err() error { return s.err }

// Messages of the process, beside wire tuples and dist.NodeEvent.
type (
	// tick (info, timer).
	tick struct{}
	// halt (cast, from Stop) ends the process in order.
	halt struct{}
	// order (call, from the Service's methods) gives a command to the core.
	order struct {
		give  func(c *Core, now Instant, command uint64) []Effect
		reply chan<- error // nil for a cast
	}
	// connectFailed (info, from a connecting goroutine).
	connectFailed struct {
		to     NodeName
		cause  Cause
		detail string
	}
	// connected (info, from a connecting goroutine).
	connected struct{ to NodeName }
	// dataDone (info, from the goroutine of the Data call at hand).
	dataDone struct{ err error }
	// dataAgain (info, timer) tries again to adopt.
	dataAgain struct{ task *dataTask }
)

// dataTask is one call of Data to be made.
type dataTask struct {
	effect Effect // AdoptData or ResetData
	cancel context.CancelFunc
}

// process is the ergo process that owns the Core.
type process struct {
	act.Actor
	service *Service
	core    *Core
	born    time.Time
	ctx     context.Context //nolint:containedctx // the process's own life, for its goroutines
	cancel  context.CancelFunc
	peers   peers

	command uint64
	replies map[uint64]chan<- error
	tasks   []*dataTask // the first one is running
}

// now reads the clocks. Mono begins at a second, since zero means never.
func (p *process) now() Instant {
	t := time.Now()
	return Instant{Mono: t.Sub(p.born) + time.Second, Wall: t}
}

// Init implements act.ActorBehavior.
func (p *process) Init(...any) error {
	if err := p.apply(p.core.Start(p.now())); err != nil {
		return err
	}
	return p.Send(p.PID(), tick{})
}

// HandleMessage implements act.ActorBehavior.
func (p *process) HandleMessage(_ gen.PID, message any) error {
	now := p.now()
	switch m := message.(type) {
	case tick:
		if _, err := p.SendAfter(p.PID(), tick{}, p.service.opts.Config.TickInterval()); err != nil {
			return err
		}
		return p.apply(p.core.Tick(now))
	case etf.Tuple:
		return p.receive(now, m)
	case dist.NodeEvent:
		if m.Up {
			return p.apply(p.core.Connected(now, NodeName(m.Node)))
		}
		return p.apply(p.core.Disconnected(now, NodeName(m.Node)))
	case connected:
		return p.apply(p.core.Connected(now, m.to))
	case connectFailed:
		return p.apply(p.core.ConnectFailed(now, m.to, m.cause, m.detail))
	case order:
		p.command++
		if m.reply != nil {
			p.replies[p.command] = m.reply
		}
		return p.apply(m.give(p.core, now, p.command))
	case dataDone:
		return p.dataDone(m.err)
	case dataAgain:
		if len(p.tasks) > 0 && p.tasks[0] == m.task {
			p.runTask()
		}
		return nil
	case halt:
		if err := p.apply(p.core.Stop(now)); err != nil {
			return err
		}
		p.peers.flush(flushTime)
		return gen.TerminateReasonNormal
	default:
		// The name can be sent to from any Erlang node.
		p.service.opts.Logger.Debug("stray message", "process", ProcessName, "type", fmt.Sprintf("%T", message))
		return nil
	}
}

// receive takes {ermine_cluster, Bytes} from another node.
func (p *process) receive(now Instant, t etf.Tuple) error {
	var m Message
	err := ErrMalformed
	if len(t) == 2 && t[0] == etf.Atom(ProcessName) {
		if b, ok := t[1].([]byte); ok {
			m, err = Decode(b)
		}
	}
	if err != nil {
		p.service.unknown.Add(1)
		p.service.opts.Logger.Debug("message skipped", "process", ProcessName, "err", err)
		return nil
	}
	return p.apply(p.core.Receive(now, m))
}

// Terminate implements act.ActorBehavior.
func (p *process) Terminate(reason error) {
	p.cancel()
	for _, reply := range p.replies {
		reply <- ErrInterrupted
	}
	if !errors.Is(reason, gen.TerminateReasonNormal) && !errors.Is(reason, gen.TerminateReasonShutdown) {
		p.service.err = fmt.Errorf("%s: %w", ProcessName, reason)
	}
	close(p.service.done)
}

// apply carries out the effects of an input.
func (p *process) apply(effects []Effect) error {
	log := p.service.opts.Logger
	p.service.publish(p.core)
	for _, e := range effects {
		switch e := e.(type) {
		case Persist:
			if err := Save(p.service.opts.Dir, e.State); err != nil {
				return err
			}
		case Send:
			p.peers.send(e.To, Encode(nil, e.Message))
		case Connect:
			p.connect(e.To)
		case Reply:
			if reply := p.replies[e.Command]; reply != nil {
				delete(p.replies, e.Command)
				reply <- e.Err
			}
		case AdoptData, ResetData:
			p.addTask(e)
		case MemberJoined:
			log.Info("member joined", "node", e.Member.Name)
			p.event(e)
		case MemberLeft:
			log.Info("member left", "node", e.Member.Name)
			p.event(e)
		case NodeUp:
			log.Info("node up", "node", e.Member.Name)
			p.event(e)
		case NodeDown:
			log.Warn("node down", "node", e.Member.Name, "state", e.Member.State)
			p.event(e)
		}
	}
	return nil
}

func (p *process) event(e Effect) {
	if f := p.service.opts.Events; f != nil {
		f(e)
	}
}

// connect connects to a join's target, to say why if it cannot.
func (p *process) connect(to NodeName) {
	node, pid, network := p.Node(), p.PID(), p.service.opts.Network
	ctx, cancel := context.WithTimeout(p.ctx, p.service.opts.Config.JoinTimeout)
	go func() {
		defer cancel()
		var outcome any = connected{to}
		if err := network.Connect(ctx, string(to)); err != nil {
			outcome = connectFailed{to, CauseOf(err), err.Error()}
		}
		_ = node.Send(pid, outcome) // fails only when the process is gone
	}()
}

// CauseOf classifies an error of dist.Network.Connect.
func CauseOf(err error) Cause {
	var resolve *net.DNSError
	var timeout net.Error
	switch {
	case errors.Is(err, handshake.ErrCookie):
		return CauseCookie
	case errors.Is(err, handshake.ErrName):
		return CauseName
	case errors.As(err, &resolve) && !resolve.IsTimeout:
		return CauseResolve
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, epmd.ErrNotFound):
		return CausePort
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded),
		errors.As(err, &timeout) && timeout.Timeout():
		return CauseSilent
	default:
		return CauseUnknown
	}
}

// addTask queues a call of Data. A reset ends an adoption, which has no object
// any more.
func (p *process) addTask(e Effect) {
	if _, reset := e.(ResetData); reset && len(p.tasks) > 0 {
		p.tasks = p.tasks[:1]
		if _, adopting := p.tasks[0].effect.(AdoptData); adopting {
			p.tasks[0].cancel()
		}
	}
	p.tasks = append(p.tasks, &dataTask{effect: e, cancel: func() {}})
	if len(p.tasks) == 1 {
		p.runTask()
	}
}

// runTask makes the call of Data at hand.
func (p *process) runTask() {
	task := p.tasks[0]
	ctx, cancel := context.WithCancel(p.ctx)
	task.cancel = cancel
	node, pid, data := p.Node(), p.PID(), p.service.opts.Data
	go func() {
		defer cancel()
		var err error
		if e, adopt := task.effect.(AdoptData); adopt && data != nil {
			err = data.Adopt(ctx, e.From)
		}
		if e, reset := task.effect.(ResetData); reset && data != nil {
			err = data.Reset(ctx, e.Removed)
		}
		_ = node.Send(pid, dataDone{err}) // fails only when the process is gone
	}()
}

func (p *process) dataDone(err error) error {
	task := p.tasks[0]
	_, adopted := task.effect.(AdoptData)
	replaced := len(p.tasks) > 1
	switch {
	case err == nil:
	case adopted && !replaced:
		p.service.opts.Logger.Warn("cannot copy the cluster's data, trying again", "err", err)
		_, err := p.SendAfter(p.PID(), dataAgain{task}, adoptRetry)
		return err
	case !adopted:
		return fmt.Errorf("reset the cluster's data: %w", err)
	}
	p.tasks = p.tasks[1:]
	if replaced {
		p.runTask()
	}
	if adopted && err == nil && !replaced {
		return p.apply(p.core.Adopted(p.now()))
	}
	return nil
}

// peers are the queues to other nodes, each emptied by a goroutine of its own,
// so that the process waits for none.
type peers struct {
	service *Service
	ctx     context.Context //nolint:containedctx // the process's own life, for its goroutines
	mu      sync.Mutex
	byName  map[NodeName]*peer
	running sync.WaitGroup
}

type peer struct{ queue chan []byte }

// send queues a message; if the queue is full the oldest one goes.
func (p *peers) send(to NodeName, b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	one := p.byName[to]
	if one == nil {
		one = &peer{queue: make(chan []byte, peerQueue)}
		p.byName[to] = one
		p.running.Go(func() { p.run(to, one) })
	}
	for {
		select {
		case one.queue <- b:
			return
		default:
		}
		select {
		case <-one.queue:
			p.service.dropped.Add(1)
		default:
		}
	}
}

// run sends what is queued for one peer, until there has been nothing for a
// while.
func (p *peers) run(to NodeName, one *peer) {
	idle := time.NewTimer(peerIdle)
	defer idle.Stop()
	network := p.service.opts.Network
	for {
		select {
		case b, open := <-one.queue:
			if !open {
				return
			}
			ctx, cancel := context.WithTimeout(p.ctx, p.service.opts.Config.DeadAfter)
			err := network.Send(ctx, dist.Name(ProcessName, string(to)), etf.Tuple{etf.Atom(ProcessName), b})
			cancel()
			if err != nil {
				p.service.opts.Logger.Debug("message not sent", "process", ProcessName, "node", to, "err", err)
			}
			idle.Reset(peerIdle)
		case <-idle.C:
			p.mu.Lock()
			empty := len(one.queue) == 0
			if empty && p.byName[to] == one {
				delete(p.byName, to)
			}
			p.mu.Unlock()
			if empty {
				return
			}
			idle.Reset(peerIdle)
		case <-p.ctx.Done():
			return
		}
	}
}

// flush waits until all queues are empty, for at most limit. Nothing can be sent
// after it.
func (p *peers) flush(limit time.Duration) {
	p.mu.Lock()
	for _, one := range p.byName {
		close(one.queue)
	}
	p.mu.Unlock()
	flushed := make(chan struct{})
	go func() {
		p.running.Wait()
		close(flushed)
	}()
	late := time.NewTimer(limit)
	defer late.Stop()
	select {
	case <-flushed:
	case <-late.C:
	}
}
