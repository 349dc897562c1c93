package dist

import (
	"sync"
	"time"

	"ergo.services/ergo/gen"

	"ermine/node/dist/handshake"
	"ermine/node/dist/proto"
)

// NodeEvent tells that a connection to a node came up or went down.
type NodeEvent struct {
	// Node is the peer's name, Creation tells its life.
	Node     string
	Creation uint32

	// Up is true for NodeUp, false for NodeDown.
	Up bool

	// Hidden is set for nodes that are not part of the global namespace.
	Hidden bool

	// Reason is why the connection ended: ErrDisconnected, ErrReplaced,
	// proto.ErrTickTimeout, proto.ErrProtocol, proto.ErrOverflow,
	// proto.ErrClosed (by the peer) or an error of the network.
	Reason error
}

// PeerInfo describes a connection.
type PeerInfo struct {
	Name     string
	Creation uint32
	Hidden   bool
	Version  int
	Flags    handshake.Flags

	// Initiator is set if this node dialled.
	Initiator bool

	// Since is when the connection came up, Addr the peer's address.
	Since time.Time
	Addr  string

	Stats proto.Stats
}

// events delivers NodeEvents to subscribers, all in the same order, from one
// goroutine. Its queue is unbounded: there are at most two events for each
// connection.
type events struct {
	mu    sync.Mutex
	next  int
	subs  map[int]func(NodeEvent)
	queue []NodeEvent
	wake  chan struct{}
	quit  chan struct{}
	ended chan struct{}
	once  sync.Once
}

func (e *events) init() {
	e.subs = map[int]func(NodeEvent){}
	e.wake = make(chan struct{}, 1)
	e.quit = make(chan struct{})
	e.ended = make(chan struct{})
	go e.run()
}

func (e *events) publish(ev NodeEvent) {
	e.mu.Lock()
	e.queue = append(e.queue, ev)
	e.mu.Unlock()
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

func (e *events) run() {
	defer close(e.ended)
	for {
		quit := false
		select {
		case <-e.wake:
		case <-e.quit:
			quit = true
		}
		for e.deliver() {
		}
		if quit {
			return
		}
	}
}

// deliver hands on the first event; it returns false when there is none.
func (e *events) deliver() bool {
	e.mu.Lock()
	if len(e.queue) == 0 {
		e.mu.Unlock()
		return false
	}
	ev := e.queue[0]
	e.queue = e.queue[1:]
	ids := make([]int, 0, len(e.subs))
	for id := range e.subs {
		ids = append(ids, id)
	}
	e.mu.Unlock()
	for _, id := range ids {
		e.mu.Lock()
		f := e.subs[id]
		e.mu.Unlock()
		if f != nil {
			f(ev)
		}
	}
	return true
}

func (e *events) subscribe(f func(NodeEvent)) (cancel func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	id := e.next
	e.next++
	e.subs[id] = f
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.subs, id)
	}
}

// stop delivers what is queued and ends.
func (e *events) stop() {
	e.once.Do(func() { close(e.quit) })
	<-e.ended
}

// Subscribe calls f for each connection that comes up or goes down from now
// on, in order, one at a time. f must not block; it may call the Network.
// cancel ends it; a call that has begun is not waited for.
func (n *Network) Subscribe(f func(NodeEvent)) (cancel func()) { return n.events.subscribe(f) }

// SubscribeProcess sends each NodeEvent to a local process as a message, from
// the node's core, until the process is gone or cancel is called.
func (n *Network) SubscribeProcess(pid gen.PID) (cancel func()) {
	var once sync.Once
	stop := func() {}
	ready := make(chan struct{})
	stop = n.events.subscribe(func(ev NodeEvent) {
		if n.core.RouteSendPID(n.core.PID(), pid, gen.MessageOptions{}, ev) != nil {
			<-ready
			once.Do(stop)
		}
	})
	close(ready)
	return func() { once.Do(stop) }
}
