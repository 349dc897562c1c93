package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"ermine/actors"
	"ermine/actors/kernel"
	"ermine/actors/metrics"
	"ermine/actors/session"
	"ermine/mqtt"
	"ermine/mqtt/listener"
	"ermine/node"
	"ermine/node/ctl"
	"ermine/node/erl"
	"ermine/node/logs"
)

// runtime is a node in this process: what lives longer than one life of a
// service, and what the services of the present life are.
type runtime struct {
	settings *settings
	log      *logs.Log
	logger   *slog.Logger
	metrics  *metrics.Set
	access   *access
	commands *ctl.Tree
	started  time.Time
	node     atomic.Pointer[node.Node] // nil before launch
	state    atomic.Pointer[string]

	broker atomic.Pointer[actors.Broker] // nil while there is none
	server atomic.Pointer[mqtt.Server]   // likewise
	erlang atomic.Pointer[erl.Services]  // nil until it has been started

	// enabled are the listeners that a command has enabled or disabled, which
	// outlasts a restart of the listeners.
	enabled sync.Map // id -> bool
}

// compose makes everything that a node needs to start, and reports all that the
// packages find wrong with the configuration. It opens no port.
func compose(s *settings, log *logs.Log, debug bool) (*runtime, error) {
	r := &runtime{settings: s, log: log, logger: log.Logger(), metrics: metrics.NewSet(), started: time.Now()}
	r.setState("starting")
	var err error
	if r.access, err = newAccess(s.Config, s.report, r.logger); err != nil {
		return nil, err
	}
	if _, err := mqtt.New(r.mqttConfig()); err != nil {
		return nil, err
	}
	r.commands = ctl.NewCommands(r.env(debug))
	return r, nil
}

// check is what `check_config` finds beyond the configuration's own rules.
func check(s *settings) []error {
	log := logs.New()
	if _, err := compose(s, log, false); err != nil {
		return []error{err}
	}
	return nil
}

func (r *runtime) setState(state string) { r.state.Store(&state) }

// launch starts the ergo node. It takes away all handlers of signals.
func (r *runtime) launch() error {
	network, err := networkConfig(r.settings.Config)
	if err != nil {
		return err
	}
	n, err := node.New(node.Options{
		Logger:  r.logger,
		Network: network,
		Children: []node.Child{
			{Name: "control", Alone: true, New: func() node.Service { return &controlService{r: r} }},
			{Name: "erlang", Alone: true, New: func() node.Service { return &erlangService{r: r} }},
			{Name: "broker", Shutdown: brokerShutdown, New: func() node.Service { return &brokerService{r: r} }},
			{Name: "listeners", Shutdown: listenersShutdown, New: func() node.Service { return &listenersService{r: r} }},
		},
	})
	if err != nil {
		return err
	}
	r.node.Store(n)
	return nil
}

// boot starts the services in order.
func (r *runtime) boot(ctx context.Context) error {
	n := r.node.Load()
	if err := n.Boot(ctx); err != nil {
		stopping, cancel := context.WithTimeout(context.Background(), stopTime)
		defer cancel()
		return errors.Join(err, n.Stop(stopping))
	}
	r.setState("started")
	return nil
}

// How long the services may take to stop.
const (
	brokerShutdown    = 20 * time.Second
	listenersShutdown = 30 * time.Second
)

// stop ends the node in order.
func (r *runtime) stop(ctx context.Context) error {
	r.setState("stopping")
	return r.node.Load().Stop(ctx)
}

// listenerLines are the enabled listeners as the ready lines name them.
func (r *runtime) listenerLines() []string {
	s := r.server.Load()
	if s == nil {
		return nil
	}
	var lines []string
	for _, l := range s.Listeners() {
		if l.Enable {
			lines = append(lines, fmt.Sprintf("%s on %s", l.ID, listenOn(l)))
		}
	}
	return lines
}

// listenOn is the address of a listener as it was configured, or as the system
// chose it where the port was left to that.
func listenOn(l listener.Status) string {
	if strings.HasSuffix(l.Bind, ":0") {
		return l.Address
	}
	return l.Bind
}

// brokerService is the seam to the client level: one life of the actors.
type brokerService struct {
	r *runtime
	b *actors.Broker
}

// Start implements node.Service.
func (s *brokerService) Start(context.Context) error {
	s.b = actors.New(brokerConfig(s.r.settings.Config, s.r.logger, s.r.metrics))
	if err := s.b.Start(); err != nil {
		stopping, cancel := context.WithTimeout(context.Background(), brokerShutdown)
		defer cancel()
		return errors.Join(err, s.b.Stop(stopping))
	}
	s.r.broker.Store(s.b)
	return nil
}

// Stop implements node.Service.
func (s *brokerService) Stop(ctx context.Context) error {
	s.r.broker.CompareAndSwap(s.b, nil)
	failed := s.b.Err()
	err := s.b.Stop(ctx)
	if failed != nil {
		return nil // it had ended by itself, and Err says why
	}
	return err
}

// Done implements node.Service.
func (s *brokerService) Done() <-chan struct{} { return s.b.Done() }

// Err implements node.Service.
func (s *brokerService) Err() error { return s.b.Err() }

// Tree implements node.Subtree.
func (s *brokerService) Tree(limit int) []kernel.TreeNode { return s.b.Tree(limit) }

// errNoBroker refuses connections while there is no broker.
var errNoBroker = errors.New("no broker")

// Open implements hook.Broker with the broker of the present life.
func (r *runtime) Open(ctx context.Context, req session.OpenRequest) (session.Opened, error) {
	b := r.broker.Load()
	if b == nil {
		return session.Opened{}, errNoBroker
	}
	return b.Open(ctx, req)
}

// listenersService is one life of the listeners.
type listenersService struct {
	r      *runtime
	s      *mqtt.Server
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// Start implements node.Service.
func (s *listenersService) Start(context.Context) error {
	server, err := mqtt.New(s.r.mqttConfig())
	if err != nil {
		return err
	}
	if err := server.Start(); err != nil {
		return err
	}
	s.s = server
	s.r.server.Store(server)
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	for _, watch := range s.r.access.watch {
		s.wg.Go(func() { watch(ctx, watchInterval) })
	}
	return nil
}

// Stop implements node.Service. It takes no longer than mqtt.Server.Stop does.
func (s *listenersService) Stop(context.Context) error {
	s.s.Drain()
	s.s.Stop()
	s.r.server.CompareAndSwap(s.s, nil)
	s.cancel()
	s.wg.Wait()
	return nil
}

// Done implements node.Service.
func (s *listenersService) Done() <-chan struct{} { return nil }

// Err implements node.Service.
func (s *listenersService) Err() error { return nil }

// Count implements node.Counted.
func (s *listenersService) Count() int { return s.s.Connections() }

// controlService is the control socket.
type controlService struct {
	r *runtime
	s *ctl.Server
}

// Start implements node.Service.
func (s *controlService) Start(context.Context) (err error) {
	s.s, err = ctl.Listen(s.r.settings.node.socket(), s.r.commands, s.r.logger)
	return err
}

// Stop implements node.Service.
func (s *controlService) Stop(context.Context) error { return s.s.Close() }

// Done implements node.Service.
func (s *controlService) Done() <-chan struct{} { return nil }

// Err implements node.Service.
func (s *controlService) Err() error { return nil }

// erlangService is what Erlang nodes can do with this one.
type erlangService struct {
	r *runtime
	s *erl.Services
}

// Start implements node.Service.
func (s *erlangService) Start(context.Context) (err error) {
	s.s, err = erl.Start(erl.Options{
		Network: s.r.node.Load().Network(), Broker: s.r.broker.Load, Commands: s.r.commands,
		Version: version, TickTime: s.r.settings.Node.DistNetTicktime, Logger: s.r.logger,
	})
	if err == nil {
		s.r.erlang.Store(s.s)
	}
	return err
}

// Stop implements node.Service.
func (s *erlangService) Stop(context.Context) error {
	s.s.Stop()
	return nil
}

// Done implements node.Service.
func (s *erlangService) Done() <-chan struct{} { return s.s.Done() }

// Err implements node.Service.
func (s *erlangService) Err() error { return s.s.Err() }

// mqttConfig is the configuration of the present listeners.
func (r *runtime) mqttConfig() mqtt.Config {
	conf := mqttConfig(r.settings.Config, r.logger, r.metrics, r, r.access)
	for i := range conf.Listeners {
		l := &conf.Listeners[i]
		if on, ok := r.enabled.Load(string(l.Type) + ":" + l.Name); ok {
			l.Enable, _ = on.(bool)
		}
	}
	return conf
}

// listeners makes the server of the present life the commands' Listeners.
type listeners struct{ r *runtime }

func (l listeners) server() (*mqtt.Server, error) {
	if s := l.r.server.Load(); s != nil {
		return s, nil
	}
	return nil, ctl.ErrUnavailable
}

// List implements ctl.Listeners.
func (l listeners) List() ([]ctl.Listener, error) {
	s, err := l.server()
	if err != nil {
		return nil, err
	}
	var all []ctl.Listener
	for _, st := range s.Listeners() {
		enable := st.Enable
		if on, ok := l.r.enabled.Load(st.ID); ok {
			enable, _ = on.(bool)
		}
		all = append(all, ctl.Listener{
			ID: st.ID, ListenOn: listenOn(st), Acceptors: st.Acceptors, ProxyProtocol: st.ProxyProtocol,
			Enable: enable, Running: st.Running, CurrentConn: st.CurrentConns, MaxConns: st.MaxConns,
			ShutdownCount: st.ShutdownCount,
		})
	}
	return all, nil
}

// do calls one of the server's methods.
func (l listeners) do(f func(s *mqtt.Server) error) error {
	s, err := l.server()
	if err != nil {
		return err
	}
	err = f(s)
	if errors.Is(err, listener.ErrNotFound) {
		return fmt.Errorf("%w: %w", ctl.ErrNoListener, err)
	}
	return err
}

// Start implements ctl.Listeners.
func (l listeners) Start(id string) error {
	return l.do(func(s *mqtt.Server) error { return s.StartListener(id) })
}

// Stop implements ctl.Listeners.
func (l listeners) Stop(ctx context.Context, id string) error {
	return l.do(func(s *mqtt.Server) error { return s.StopListener(ctx, id) })
}

// Restart implements ctl.Listeners.
func (l listeners) Restart(ctx context.Context, id string) error {
	return l.do(func(s *mqtt.Server) error { return s.RestartListener(ctx, id) })
}

// Enable implements ctl.Listeners.
func (l listeners) Enable(ctx context.Context, id string, on bool) error {
	var err error
	if on {
		err = l.Start(id)
	} else {
		err = l.Stop(ctx, id)
	}
	if errors.Is(err, listener.ErrAlreadyRunning) || errors.Is(err, listener.ErrNotRunning) {
		err = nil
	}
	if err == nil {
		l.r.enabled.Store(id, on)
	}
	return err
}
