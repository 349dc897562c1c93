package rpc

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Kind says what a payload is; its user numbers them.
type Kind uint8

// Peer is one life of another node.
type Peer struct {
	Name        string
	Incarnation uint64
}

// Handler takes a message. The payload is valid during the call only. ack says
// that the message is dealt with; it may be called later, from any goroutine,
// and more than once. A message that nobody awaits counts as acknowledged when
// the handler returns; its ack does nothing.
//
// Handlers of one lane run one after the other: one that blocks stops its lane.
// A panic in one is not recovered.
type Handler func(from Peer, payload []byte, ack func())

// CallHandler answers a call; it may keep the request. It runs in a goroutine
// of its own; ctx ends when the caller stopped waiting, its connection is lost,
// or the endpoint stops. An error reaches the caller as a *CallError with its
// text.
type CallHandler func(ctx context.Context, from Peer, request []byte) ([]byte, error)

// Endpoint is this node's end of the data channel. All methods may be called
// from any goroutine.
type Endpoint struct {
	cfg      Config
	id       identity
	log      *slog.Logger
	handlers [256]Handler
	callers  [256]CallHandler

	// ctx ends when the endpoint has stopped; its cause is ErrStopped.
	ctx    context.Context //nolint:containedctx // the endpoint's own life, not a caller's
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup
	ln     net.Listener

	started  atomic.Bool
	stopping atomic.Bool
	peers    atomic.Pointer[map[string]*peer] // replaced under mu

	mu       sync.Mutex
	stream   uint64                 // the last given to a peer
	inbound  map[string]*inboundSet // by name; never forgotten
	halfOpen []net.Conn             // accepted, cookie not proved; oldest first
}

// New makes an endpoint. It has no effect outside of it.
func New(cfg Config) (*Endpoint, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	e := &Endpoint{
		cfg:     cfg,
		id:      identity{name: cfg.Name, incarnation: cfg.Incarnation, key: cookieKey(cfg.Cookie), min: VersionMin, max: VersionMax},
		log:     cfg.Logger,
		inbound: map[string]*inboundSet{},
	}
	e.cfg.Cookie = ""
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	e.peers.Store(&map[string]*peer{})
	return e, nil
}

// Handle sets the handler of messages of a kind. It is called before Start.
// Messages of a kind without handler are acknowledged, counted and dropped.
func (e *Endpoint) Handle(kind Kind, h Handler) {
	e.beforeStart()
	e.handlers[kind] = h
}

// HandleCall sets the handler of calls of a kind. It is called before Start.
// Calls of a kind without handler fail with CallUnknown.
func (e *Endpoint) HandleCall(kind Kind, h CallHandler) {
	e.beforeStart()
	e.callers[kind] = h
}

func (e *Endpoint) beforeStart() {
	if e.started.Load() {
		panic("rpc: handlers are set before Start")
	}
}

// Start listens and lets peers in and out. ctx bounds nothing but listening.
func (e *Endpoint) Start(ctx context.Context) error {
	ln, err := e.listen(ctx)
	if err != nil {
		if errors.Is(err, syscall.EADDRINUSE) {
			return fmt.Errorf("data channel: %w: %w", ErrPortInUse, err)
		}
		return fmt.Errorf("data channel: %w", err)
	}
	e.ln = ln
	e.ctx, e.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	e.started.Store(true)
	e.wg.Go(e.accept)
	e.log.Info("data channel started", "node", e.cfg.Name, "listen", ln.Addr().String(), "tls", e.cfg.TLS != nil)
	return nil
}

func (e *Endpoint) listen(ctx context.Context) (net.Listener, error) {
	if e.cfg.Listener != nil {
		return e.cfg.Listener()
	}
	lc := net.ListenConfig{KeepAliveConfig: e.cfg.KeepAlive}
	return lc.Listen(ctx, "tcp", e.cfg.Listen)
}

// Addr is where the endpoint listens, once started.
func (e *Endpoint) Addr() net.Addr { return e.ln.Addr() }

// Stop refuses new messages and calls, waits until what was sent to connected
// peers is acknowledged or ctx ends, then closes everything and fails the rest
// with ErrStopped. When it returns nil, every done has been called, and
// everything was acknowledged that could be; else the error is ctx's.
func (e *Endpoint) Stop(ctx context.Context) error {
	if !e.started.Load() || e.stopping.Swap(true) {
		return nil
	}
	var err error
	for _, p := range *e.peers.Load() {
		for _, l := range p.lanes {
			select {
			case <-l.drained():
			case <-ctx.Done():
				err = fmt.Errorf("stop data channel: %w", ctx.Err())
			}
		}
	}
	e.mu.Lock()
	old := *e.peers.Swap(&map[string]*peer{})
	e.mu.Unlock()
	for _, p := range old {
		p.close(ErrStopped)
	}
	e.cancel(ErrStopped)
	e.ln.Close()
	e.closeInbound()

	ended := make(chan struct{})
	go func() { e.wg.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-ctx.Done():
		// Only a handler or a done that blocks can still be there.
		grace := time.NewTimer(time.Second)
		defer grace.Stop()
		select {
		case <-ended:
		case <-grace.C:
			err = fmt.Errorf("stop data channel: %w", ctx.Err())
		}
	}
	e.log.Info("data channel stopped", "node", e.cfg.Name)
	return err
}

// SetPeer makes a node a peer: it is let in, connected to at addr, and may be
// sent to. incarnation names the life that is meant, 0 whichever answers first (or is
// known).
//
// For a peer that is set already: another incarnation fails with ErrPeerGone
// all that was sent to the old life; another address counts from the next
// connection on; and in any case a connection that waits to be tried again is
// tried at once.
func (e *Endpoint) SetPeer(name, addr string, incarnation uint64) error {
	if name == e.cfg.Name || name == "" || len(name) > maxName {
		return fmt.Errorf("set peer %q: %w", name, ErrUnknownPeer)
	}
	e.mu.Lock()
	if !e.started.Load() || e.stopping.Load() {
		e.mu.Unlock()
		return ErrStopped
	}
	p := (*e.peers.Load())[name]
	if p != nil && p.mean(incarnation) {
		e.mu.Unlock()
		p.moveTo(addr)
		return nil
	}
	e.putPeer(name, addr, incarnation)
	set := e.inboundOf(name)
	var inbound []*inboundConn
	if p != nil {
		was := p.incarnation.Load()
		set.retire(was)
		inbound = set.connsOf(was)
	}
	set.restore(incarnation)
	e.mu.Unlock()
	if p != nil {
		p.close(ErrPeerGone)
	}
	for _, c := range inbound {
		c.link.close(ErrPeerGone)
	}
	return nil
}

// putPeer makes a new peer in the table. The caller holds e.mu.
func (e *Endpoint) putPeer(name, addr string, incarnation uint64) *peer {
	e.stream++
	p := newPeer(e, name, addr, incarnation, e.stream)
	peers := maps.Clone(*e.peers.Load())
	peers[name] = p
	e.peers.Store(&peers)
	p.start()
	return p
}

// RemovePeer ends all connections with a peer, both ways, and lets it in no
// more. What was sent to it and is not acknowledged fails with ErrRemoved; the
// peer may or may not have it. It does not wait: a handler that runs goes on to
// the end of its batch.
func (e *Endpoint) RemovePeer(name string) {
	e.mu.Lock()
	peers := maps.Clone(*e.peers.Load())
	p := peers[name]
	delete(peers, name)
	e.peers.Store(&peers)
	var inbound []*inboundConn
	if set := e.inbound[name]; set != nil {
		inbound = set.conns()
	}
	e.mu.Unlock()
	if p != nil {
		p.close(ErrRemoved)
	}
	for _, c := range inbound {
		c.link.close(ErrRemoved)
	}
}

// Send gives a message to a lane of a peer; equal lanes keep their order. payload
// appends the message to what it is given and returns that; it is called before
// Send returns, or not at all, with the lane locked: it must not block, nor call
// the endpoint.
//
// Send never blocks. If it returns an error (ErrFull, ErrTooLarge, ErrUnknownPeer,
// ErrPeerGone, ErrRemoved, ErrStopped) the message is not sent and done is not
// called. Else done is called exactly once, in the order of the lane: with nil when
// the peer has acknowledged the message, or with the reason why it will not be
// known. It is called from a goroutine of the endpoint and must not block. With a
// nil done nobody waits: the message is sent like others, but its outcome is not
// told.
func (e *Endpoint) Send(to string, lane uint64, kind Kind, payload func(dst []byte) []byte, done func(error)) error {
	p := (*e.peers.Load())[to]
	if p == nil {
		return e.noPeer(to)
	}
	if e.stopping.Load() {
		return ErrStopped
	}
	return p.lanes[lane%uint64(len(p.lanes))].send(kind, payload, done)
}

func (e *Endpoint) noPeer(name string) error {
	if e.stopping.Load() || !e.started.Load() {
		return ErrStopped
	}
	return fmt.Errorf("%w: %s", ErrUnknownPeer, name)
}

// closed is a channel for those who need not wait.
var closed = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// Ready is closed when the lane takes messages again: once half of its queue is
// free, or the peer is gone. It is closed already when the lane is not full.
func (e *Endpoint) Ready(peer string, lane uint64) <-chan struct{} {
	p := (*e.peers.Load())[peer]
	if p == nil {
		return closed
	}
	return p.lanes[lane%uint64(len(p.lanes))].whenReady()
}

// seen is told that a handshake with a peer in a certain life succeeded. It
// decides whether that is the life that p stands for.
func (e *Endpoint) seen(p *peer, incarnation uint64) error {
	e.mu.Lock()
	was := p.incarnation.Load()
	switch {
	case p.err() != nil:
		e.mu.Unlock()
		return p.err()
	case was == 0 || was == incarnation:
		p.incarnation.Store(incarnation)
		p.known = true
		e.mu.Unlock()
		return nil
	case !p.known:
		e.mu.Unlock()
		return fmt.Errorf("%w: %d, expected %d", ErrIncarnation, incarnation, was)
	}
	e.mu.Unlock()
	e.gone(p, was, incarnation)
	return ErrPeerGone
}

// gone ends a peer whose life turned out to be over: the one that is there is
// another, or has forgotten what it had.
func (e *Endpoint) gone(p *peer, was, is uint64) {
	e.mu.Lock()
	if (*e.peers.Load())[p.name] != p || p.err() != nil || e.stopping.Load() {
		e.mu.Unlock()
		return // somebody else has seen to it
	}
	if was != is {
		e.inboundOf(p.name).retire(was)
	}
	if !p.pinned {
		// Before any outcome is told: who then sends again reaches the new life.
		e.putPeer(p.name, *p.addr.Load(), 0)
	}
	p.cancel(ErrPeerGone)
	e.mu.Unlock()
	p.close(ErrPeerGone)
	e.log.Warn("peer is in another life", "peer", p.name, "was", was, "incarnation", is)
	if f := e.cfg.Events.PeerGone; f != nil {
		f(p.name, was, is)
	}
}

// setSocket applies the settings for sockets.
func (e *Endpoint) setSocket(conn net.Conn) {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return
	}
	// A socket that refuses a setting works without it.
	if e.cfg.SendBuffer > 0 {
		_ = tcp.SetWriteBuffer(e.cfg.SendBuffer)
	}
	if e.cfg.ReceiveBuffer > 0 {
		_ = tcp.SetReadBuffer(e.cfg.ReceiveBuffer)
	}
}

// dial connects to a peer and shakes hands.
func (e *Endpoint) dial(ctx context.Context, p *peer, h hello) (net.Conn, welcome, error) {
	dctx, cancel := context.WithTimeout(ctx, e.cfg.ConnectTimeout)
	defer cancel()
	dial := e.cfg.Dial
	if dial == nil {
		d := net.Dialer{KeepAliveConfig: e.cfg.KeepAlive}
		dial = func(ctx context.Context, addr string) (net.Conn, error) { return d.DialContext(ctx, "tcp", addr) }
	}
	conn, err := dial(dctx, *p.addr.Load())
	if err != nil {
		return nil, welcome{}, err
	}
	e.setSocket(conn)
	if e.cfg.TLS != nil {
		conn = tls.Client(conn, e.cfg.TLS.clientTLS(p.name))
	}
	w, err := e.greet(ctx, conn, p, h)
	if err != nil {
		conn.Close()
		return nil, welcome{}, err
	}
	return conn, w, nil
}

// greet runs the handshake on a dialled connection within AuthTimeout.
func (e *Endpoint) greet(ctx context.Context, conn net.Conn, p *peer, h hello) (welcome, error) {
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	conn.SetDeadline(time.Now().Add(e.cfg.AuthTimeout))
	if t, ok := conn.(*tls.Conn); ok {
		if err := t.HandshakeContext(ctx); err != nil {
			return welcome{}, fmt.Errorf("tls: %w", err)
		}
	}
	h.target, h.stream = p.name, p.stream
	w, err := e.id.dialHandshake(conn, h)
	switch {
	case err != nil:
		return w, fmt.Errorf("handshake: %w", err)
	case w.name != p.name:
		return w, fmt.Errorf("%w: %q", ErrName, w.name)
	case w.status == statusWrongName:
		return w, fmt.Errorf("%w: %s", ErrName, w.status)
	case w.status != statusOK:
		return w, fmt.Errorf("%w: %s", ErrRefused, w.status)
	}
	if err := e.seen(p, w.incarnation); err != nil {
		return w, err
	}
	conn.SetDeadline(time.Time{})
	return w, nil
}
