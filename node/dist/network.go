package dist

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"

	"ergo.services/ergo/gen"
	ergo "ergo.services/ergo/node"

	"ermine/node/dist/epmd"
	"ermine/node/dist/etf"
	"ermine/node/dist/handshake"
)

// Network is an ergo node and its place in the Erlang distribution. Its
// methods are safe for concurrent use.
type Network struct {
	opts     Options
	name     etf.Atom
	creation uint32
	log      *slog.Logger
	hs       handshake.Config
	ports    epmd.Client

	node gen.Node
	core gen.Core

	ctx    context.Context //nolint:containedctx // the network's own life: ends when it stops
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup // attempts to connect, handshakes, the listener

	refs    atomic.Uint64
	unlinks atomic.Uint64

	listener net.Listener
	keeper   *epmd.Keeper
	pending  pendingConns
	garbage  rateLimit // of lines about connections that are none of a node's
	tickets  tickets
	events   events
	spawns   spawnTable
	watcher  atomic.Pointer[gen.PID]

	mu    sync.Mutex
	peers map[string]*peer

	relations relations
}

// Start starts an ergo node and its network: the listener (unless NoListen),
// the registration with EPMD in EPMD mode, and the processes of this package.
// It returns when peers can connect. ErrPortInUse means that the node's port,
// and epmd.ErrNameTaken that its name, belongs to a running node.
//
// ergo installs a handler for SIGINT and SIGTERM, which Start removes: the
// program sets its own after Start.
func Start(opts Options) (*Network, error) {
	if err := opts.prepare(); err != nil {
		return nil, err
	}
	n := &Network{
		opts:     opts,
		name:     etf.Atom(opts.Name),
		creation: opts.Creation,
		log:      opts.Logger,
		hs: handshake.Config{
			Name: opts.Name, Cookie: opts.Cookie, Creation: opts.Creation,
			Flags: handshake.OwnFlags(!opts.Visible), Guard: &handshake.Guard{},
			WideFrames: opts.TLS != nil,
		},
		ports: epmd.Client{Port: opts.EPMDPort},
		peers: map[string]*peer{},
	}
	n.ctx, n.cancel = context.WithCancelCause(context.Background())
	n.pending.init(opts.MaxPending, opts.MaxPendingPerHost)
	n.relations.init()
	n.events.init()
	if opts.Cookie == DefaultCookie {
		n.log.Warn("the default cookie is in use: everybody knows it, set one of your own for the whole cluster", "node", opts.Name)
	}
	if !opts.NoListen {
		if err := n.listen(); err != nil {
			return nil, err
		}
	}
	if err := n.startNode(); err != nil {
		n.abandon()
		return nil, err
	}
	if err := n.startProcesses(); err != nil {
		n.Stop()
		return nil, err
	}
	if n.listener != nil {
		n.wg.Go(n.accept)
	}
	if opts.EPMD && n.listener != nil {
		if err := n.register(); err != nil {
			n.Stop()
			return nil, err
		}
	}
	n.log.Info("node started", "node", opts.Name, "listen", n.ListenAddr(), "hidden", !opts.Visible, "tls", opts.TLS != nil, "epmd", opts.EPMD)
	return n, nil
}

// abandon undoes a start that failed before there was a node.
func (n *Network) abandon() {
	n.cancel(ErrStopped)
	if n.listener != nil {
		_ = n.listener.Close()
	}
	n.events.stop()
}

// startNode starts ergo with nothing of its own on the network.
func (n *Network) startNode() error {
	o := n.opts.Node
	o.Log = gen.LogOptions{
		Level:         ergoLevel(n.log),
		DefaultLogger: gen.DefaultLoggerOptions{Disable: true, DisableBanner: true},
		Loggers:       []gen.Logger{{Name: "slog", Logger: &logBridge{log: n.log}}},
	}
	o.Network = gen.NetworkOptions{
		Mode:      gen.NetworkModeHidden,
		Cookie:    "unused: the handshake of this package holds the cookie",
		Registrar: (*registrar)(n),
	}
	node, err := withoutSignals(func() (gen.Node, error) {
		return ergo.Start(gen.Atom(n.opts.Name), o, gen.Version{Name: "ermine", License: gen.LicenseMIT})
	})
	if err != nil {
		return fmt.Errorf("start node %s: %w", n.opts.Name, err)
	}
	core, ok := node.(gen.Core)
	if !ok {
		node.StopForce()
		return fmt.Errorf("start node %s: ergo's node is no gen.Core", n.opts.Name)
	}
	if err := calmCron(node); err != nil {
		node.StopForce()
		return err
	}
	n.node, n.core = node, core
	node.Network().RegisterHandshake((*plug)(n))
	node.Network().RegisterProto((*protocol)(n))
	return nil
}

// listen opens the public port: that of the static rule, or one of the range.
func (n *Network) listen() error {
	first, last := n.opts.ListenMin, n.opts.ListenMax
	if !n.opts.EPMD {
		first = epmd.DistPort(n.opts.Name)
		last = first
	}
	var lc net.ListenConfig
	for port := int(first); port <= int(last); port++ {
		l, err := lc.Listen(n.ctx, "tcp", net.JoinHostPort(n.opts.ListenHost, strconv.Itoa(port)))
		if err == nil {
			n.listener = l
			return nil
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			return fmt.Errorf("listen for node %s: %w", n.opts.Name, err)
		}
	}
	if first == last {
		return fmt.Errorf("node %s: port %d: %w", n.opts.Name, first, ErrPortInUse)
	}
	return fmt.Errorf("node %s: all ports from %d to %d: %w", n.opts.Name, first, last, ErrPortInUse)
}

// register enters the node with EPMD and keeps it there.
func (n *Network) register() error {
	short, _, _ := epmd.SplitName(n.opts.Name)
	addr, ok := n.listener.Addr().(*net.TCPAddr)
	if !ok {
		return fmt.Errorf("node %s: no port to register", n.opts.Name)
	}
	keeper, err := epmd.Keep(n.ctx, epmd.KeeperConfig{
		Node: epmd.Node{
			Name: short, Port: uint16(addr.Port), Hidden: !n.opts.Visible, Highest: 6, Lowest: 5,
		},
		Host:      n.opts.ListenHost,
		Port:      n.opts.EPMDPort,
		Provision: n.opts.EPMDProvision,
		Logger:    n.log,
	})
	if err != nil {
		return fmt.Errorf("node %s: %w", n.opts.Name, err)
	}
	n.keeper = keeper
	return nil
}

// Stop ends the node: first it becomes unreachable for new connections and
// spawn requests, then its processes end, then its connections. It waits for
// all of it. Stopping twice is harmless.
//
// Use it rather than the ergo node's own Stop, which panics when a process is
// spawned while it waits for the last one to end.
func (n *Network) Stop() {
	n.shut()
	n.wg.Wait()
	if n.node != nil {
		n.node.Stop()
	}
	n.events.stop()
}

// shut stops accepting and connecting; connections are left to ergo.
func (n *Network) shut() {
	n.mu.Lock() // nothing joins wg after this
	n.cancel(ErrStopped)
	n.mu.Unlock()
	if n.listener != nil {
		_ = n.listener.Close()
	}
	if n.keeper != nil {
		_ = n.keeper.Close()
	}
}

// Node is the ergo node: spawn, register, send and stop with it. Stopping it
// stops the network as well.
func (n *Network) Node() gen.Node { return n.node }

// Name is the node's full name.
func (n *Network) Name() string { return n.opts.Name }

// Creation tells this life of the node from others, on the wire. ergo's own
// creation is another one.
func (n *Network) Creation() uint32 { return n.creation }

// ListenAddr is the address on which peers are accepted, "" with NoListen.
func (n *Network) ListenAddr() string {
	if n.listener == nil {
		return ""
	}
	return n.listener.Addr().String()
}

// Logger is the logger that was passed in.
func (n *Network) Logger() *slog.Logger { return n.log }
