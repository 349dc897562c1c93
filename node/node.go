package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"ergo.services/ergo/gen"

	"ermine/actors/kernel"
	"ermine/node/dist"
)

// The names of the application and of its supervisor, which Erlang nodes see.
const (
	applicationName = "ermine"
	supervisorName  = "ermine_sup"
)

// Options are what a node is started with.
type Options struct {
	// Logger must not be nil.
	Logger *slog.Logger
	// Network is the node's place in the Erlang distribution, with its name and
	// cookie. Logger and Node in it are overwritten. With NoListen the node has a
	// name and no port.
	Network dist.Options
	// Children are the parts of the node in boot order; they are stopped in
	// reverse. The end of one restarts it and those behind it.
	Children []Child
	// Intensity and Period bound the restarts, see DefaultIntensity.
	Intensity int
	Period    time.Duration
}

// Node is a node: an ergo node with the supervised application. Make it with New.
// Any goroutine may call its methods.
type Node struct {
	opts    Options
	network *dist.Network
	family  *family

	started  atomic.Bool // Boot has been called
	stopOnce sync.Once
	stopErr  error
}

// shutdownTimeout is when ergo ends the program because a process does not end.
// The children have been stopped before, so nothing should come near it.
const shutdownTimeout = 10 * time.Minute

// New starts the ergo node and its network, without the application. It removes
// all handlers of SIGINT and SIGTERM (see dist.Start): set your own afterwards.
func New(opts Options) (*Node, error) {
	if opts.Intensity == 0 {
		opts.Intensity = DefaultIntensity
	}
	if opts.Period == 0 {
		opts.Period = DefaultPeriod
	}
	for _, c := range opts.Children {
		pointOf(c.Name) // so that it can be armed before the child starts
	}
	n := &Node{opts: opts}
	opts.Network.Logger = opts.Logger
	opts.Network.Node = gen.NodeOptions{ShutdownTimeout: shutdownTimeout}
	network, err := dist.Start(opts.Network)
	if err != nil {
		return nil, err
	}
	n.network = network
	n.family = &family{
		name: supervisorName, specs: opts.Children, log: opts.Logger, now: time.Now,
		booted: make(chan struct{}), finished: make(chan struct{}),
	}
	return n, nil
}

// application is the ergo application: one supervisor.
type application struct {
	factory gen.ProcessFactory
}

// Load implements gen.ApplicationBehavior.
func (a *application) Load(gen.Node, ...any) (gen.ApplicationSpec, error) {
	return gen.ApplicationSpec{
		Name: applicationName, Description: "MQTT broker", Mode: gen.ApplicationModePermanent,
		Group: []gen.ApplicationMemberSpec{{Name: supervisorName, Factory: a.factory}},
	}, nil
}

// Start implements gen.ApplicationBehavior.
func (a *application) Start(gen.ApplicationMode) {}

// Terminate implements gen.ApplicationBehavior.
func (a *application) Terminate(error) {}

// Boot starts the children in order and returns when all run. If one fails or ctx
// ends, those before it have been stopped when Boot returns. It is called once.
func (n *Node) Boot(ctx context.Context) error {
	factory := newSupervisor(n.family, RestForOne, n.opts.Intensity, n.opts.Period)
	node := n.network.Node()
	if _, err := node.ApplicationLoad(&application{factory}); err != nil {
		return fmt.Errorf("load application: %w", err)
	}
	n.started.Store(true)
	if err := node.ApplicationStartPermanent(applicationName, gen.ApplicationOptions{}); err != nil {
		return fmt.Errorf("start application: %w", err)
	}
	if err := node.Send(gen.Atom(supervisorName), boot{}); err != nil {
		return fmt.Errorf("start application: %w", err)
	}
	select {
	case <-n.family.booted:
		return nil
	case <-n.family.finished:
		return n.family.err()
	case <-ctx.Done():
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), n.patience())
		defer cancel()
		return errors.Join(context.Cause(ctx), n.stopChildren(stopping))
	}
}

// patience is how long all children together may take to stop.
func (n *Node) patience() time.Duration {
	d := DefaultShutdown
	for _, c := range n.opts.Children {
		d += c.shutdown() + DefaultShutdown
	}
	return d
}

// stopChildren stops the children in reverse boot order.
func (n *Node) stopChildren(ctx context.Context) error {
	if !n.started.Load() {
		return nil
	}
	if err := n.network.Node().Send(gen.Atom(supervisorName), shutdown{}); err != nil {
		select {
		case <-n.family.finished:
			return nil // it had ended before
		default:
			return fmt.Errorf("stop application: %w", err)
		}
	}
	select {
	case <-n.family.finished:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stop application: %w", ctx.Err())
	}
}

// Stop stops the children in reverse boot order, then the network and the ergo
// node. It blocks for as long as the children may take, at most until ctx ends;
// what has not stopped then is abandoned. Further calls return the same.
func (n *Node) Stop(ctx context.Context) error {
	n.stopOnce.Do(func() {
		n.stopErr = n.stopChildren(ctx)
		gone := make(chan struct{})
		go func() {
			n.network.Stop()
			close(gone)
		}()
		select {
		case <-gone:
		case <-ctx.Done():
			n.stopErr = errors.Join(n.stopErr, fmt.Errorf("stop network: %w", ctx.Err()))
		}
	})
	return n.stopErr
}

// Done is closed when the application has ended, by Stop or because its restart
// intensity was exceeded.
func (n *Node) Done() <-chan struct{} { return n.family.finished }

// Err says why the application has ended by itself; nil before, and after Stop.
func (n *Node) Err() error { return n.family.err() }

// Network is the node's place in the Erlang distribution.
func (n *Node) Network() *dist.Network { return n.network }

// Tree is the live tree of the node's processes and of the actors below them; of
// many children of one kind at most limit are listed (see kernel.System.Tree).
func (n *Node) Tree(limit int) []kernel.TreeNode {
	return []kernel.TreeNode{n.family.tree(limit)}
}
