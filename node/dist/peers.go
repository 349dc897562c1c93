package dist

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"ergo.services/ergo/gen"

	"ermine/node/dist/epmd"
	"ermine/node/dist/handshake"
	"ermine/node/dist/proto"
)

// peer is what is known of a node, connected or not. Its fields belong to
// Network.mu.
type peer struct {
	name string

	// conn is the connection, nil when there is none.
	conn *Conn

	// attempt is the one on its way, shared by all who want a connection.
	attempt *attempt

	// arriving counts the peer's own attempts that got past their name;
	// arrived is closed, and made anew, when one ends in either way.
	arriving int
	arrived  chan struct{}

	// install is held (a token in it) while a finished handshake becomes the
	// connection.
	install chan struct{}

	failures int
	retryAt  time.Time
	lastErr  error
}

// attempt is one run of dial, however many wait for it.
type attempt struct {
	done chan struct{}
	conn *Conn
	err  error

	// dialling is the handshake under way, for a simultaneous connect to end.
	yield context.CancelCauseFunc
}

// errYield ends an own attempt in favour of the peer's.
var errYield = errors.New("the peer's own attempt goes first")

// goes runs f in a goroutine that Stop waits for, unless Stop has begun.
func (n *Network) goes(f func()) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ctx.Err() != nil {
		return false
	}
	n.wg.Go(f)
	return true
}

// peerLocked returns the entry for a name, making one. Entries of peers that
// have nothing to remember are dropped by forgetLocked.
func (n *Network) peerLocked(name string) *peer {
	p := n.peers[name]
	if p == nil {
		if len(n.peers) >= maxPeers {
			n.pruneLocked()
		}
		p = &peer{name: name, arrived: make(chan struct{}), install: make(chan struct{}, 1)}
		n.peers[name] = p
	}
	return p
}

// maxPeers is how many entries there may be before idle ones are looked for:
// names that were dialled in vain, and nodes that are long gone.
const maxPeers = 4096

func (n *Network) pruneLocked() {
	now := time.Now()
	for _, p := range n.peers {
		if now.After(p.retryAt.Add(n.opts.RetryMax)) {
			p.failures = 0
			n.forgetLocked(p)
		}
	}
}

func (n *Network) forgetLocked(p *peer) {
	if p.conn == nil && p.attempt == nil && p.arriving == 0 && p.failures == 0 && len(p.install) == 0 && time.Now().After(p.retryAt) {
		delete(n.peers, p.name)
	}
}

// connected returns the connection to a node, nil if there is none.
func (n *Network) connected(name string) *Conn {
	n.mu.Lock()
	defer n.mu.Unlock()
	if p := n.peers[name]; p != nil {
		return p.conn
	}
	return nil
}

// connect returns the connection to a node, making one if there is none. All
// callers share one attempt; an implicit one is refused for a while after a
// failure. ctx only bounds the waiting.
func (n *Network) connect(ctx context.Context, name string, implicit bool) (*Conn, error) {
	n.mu.Lock()
	if n.ctx.Err() != nil {
		n.mu.Unlock()
		return nil, ErrStopped
	}
	p := n.peerLocked(name)
	if conn := p.conn; conn != nil {
		n.mu.Unlock()
		return conn, nil
	}
	if name == n.opts.Name {
		n.forgetLocked(p)
		n.mu.Unlock()
		return nil, fmt.Errorf("%w: %s is this node", ErrNotConnected, name)
	}
	a := p.attempt
	if a == nil {
		if implicit && time.Now().Before(p.retryAt) {
			err := p.lastErr
			n.mu.Unlock()
			return nil, fmt.Errorf("connect to %s: %w: %w", name, ErrBackOff, err)
		}
		a = &attempt{done: make(chan struct{})}
		p.attempt = a
		n.wg.Go(func() { n.attempt(p, a) })
	}
	n.mu.Unlock()
	select {
	case <-a.done:
		return a.conn, a.err
	case <-ctx.Done():
		return nil, fmt.Errorf("connect to %s: %w", name, context.Cause(ctx))
	}
}

// attempt runs dial until it has a connection or is out of time.
func (n *Network) attempt(p *peer, a *attempt) {
	ctx, cancel := context.WithTimeout(n.ctx, n.opts.ConnectTimeout)
	defer cancel()
	conn, err := n.dialPeer(ctx, p, a)
	n.mu.Lock()
	p.attempt = nil
	if err != nil {
		p.failures = min(p.failures+1, 16)
		p.lastErr = err
		p.retryAt = time.Now().Add(min(n.opts.RetryMin<<(p.failures-1), n.opts.RetryMax))
		err = fmt.Errorf("connect to %s: %w", p.name, err)
	}
	n.mu.Unlock()
	a.conn, a.err = conn, err
	close(a.done)
	if errors.Is(err, handshake.ErrCookie) {
		n.log.Error("connection refused: this node and the peer have different cookies", "peer", p.name, "err", err)
	} else if err != nil && n.ctx.Err() == nil {
		n.log.Debug("no connection", "peer", p.name, "err", err)
	}
}

// dialPeer makes one connection, giving way to the peer's own attempts as the
// protocol wants.
func (n *Network) dialPeer(ctx context.Context, p *peer, a *attempt) (*Conn, error) {
	for {
		conn, err := n.dialOnce(ctx, p, a)
		if err == nil {
			return conn, nil
		}
		if !errors.Is(err, handshake.ErrSimultaneous) && !errors.Is(err, errYield) && !errors.Is(err, handshake.ErrAlive) {
			return nil, err
		}
		// The peer's connection is on its way, or up already.
		if conn := n.awaitArrival(ctx, p); conn != nil {
			return conn, nil
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("%w: %w", err, context.Cause(ctx))
		}
	}
}

// awaitArrival waits until the peer's own attempt has become a connection. It
// returns nil when it failed, or when none showed up for a while.
func (n *Network) awaitArrival(ctx context.Context, p *peer) *Conn {
	ctx, cancel := context.WithTimeout(ctx, n.opts.HandshakeTimeout/4)
	defer cancel()
	for {
		n.mu.Lock()
		conn, arrived := p.conn, p.arrived
		n.mu.Unlock()
		if conn != nil {
			return conn
		}
		select {
		case <-ctx.Done():
			return nil
		case <-arrived:
		}
		n.mu.Lock()
		conn, more := p.conn, p.arriving > 0
		n.mu.Unlock()
		if conn != nil || !more {
			return conn
		}
	}
}

// dialOnce looks the port up, connects and shakes hands.
func (n *Network) dialOnce(ctx context.Context, p *peer, a *attempt) (*Conn, error) {
	ctx, yield := context.WithCancelCause(ctx)
	defer yield(nil)
	n.mu.Lock()
	a.yield = yield
	conn := p.conn
	n.mu.Unlock()
	if conn != nil {
		return conn, nil
	}
	host, port, version, err := n.lookup(ctx, p.name)
	if err != nil {
		return nil, err
	}
	var dialer net.Dialer
	netConn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(int(port))))
	if err != nil {
		return nil, cause(ctx, err)
	}
	netConn, res, err := n.initiate(ctx, netConn, p.name, host, version)
	if err != nil {
		return nil, cause(ctx, err)
	}
	return n.install(netConn, res, true)
}

// cause prefers what ended ctx over what that did to the connection.
func cause(ctx context.Context, err error) error {
	if c := context.Cause(ctx); c != nil && !errors.Is(err, c) {
		return fmt.Errorf("%w: %w", c, err)
	}
	return err
}

// initiate runs TLS and the handshake on a dialled connection, which it closes
// on error.
func (n *Network) initiate(ctx context.Context, conn net.Conn, name, host string, version uint16) (net.Conn, *handshake.Result, error) {
	hctx, cancel := context.WithTimeout(ctx, n.opts.HandshakeTimeout)
	defer cancel()
	if n.opts.TLS != nil {
		cfg := n.opts.TLS.Client.Clone()
		if cfg.ServerName == "" {
			cfg.ServerName = host
		}
		tlsConn := tls.Client(conn, cfg)
		if err := tlsConn.HandshakeContext(hctx); err != nil {
			_ = conn.Close()
			return nil, nil, fmt.Errorf("tls with %s: %w", name, err)
		}
		conn = tlsConn
	}
	res, err := handshake.Start(hctx, conn, n.hs, name, handshake.StartOptions{
		OldName: version == 5,
		OnAlive: func() bool { return n.connected(name) == nil },
	})
	if err != nil {
		_ = conn.Close()
		return nil, nil, err
	}
	return conn, res, nil
}

// lookup finds where a node listens, and with which version of the handshake
// (0 if that is not known).
func (n *Network) lookup(ctx context.Context, name string) (host string, port, version uint16, err error) {
	short, host, err := epmd.SplitName(name)
	if err != nil {
		return "", 0, 0, err
	}
	if !n.opts.EPMD {
		return host, epmd.DistPort(name), 0, nil
	}
	node, err := n.ports.Lookup(ctx, host, short)
	if err != nil {
		return "", 0, 0, err
	}
	return host, node.Port, node.Highest, nil
}

// install makes a finished handshake the connection to its peer, replacing an
// old one where that is due. On error it closes conn.
func (n *Network) install(conn net.Conn, res *handshake.Result, initiator bool) (*Conn, error) {
	n.mu.Lock()
	p := n.peerLocked(res.Peer)
	n.mu.Unlock()
	select {
	case p.install <- struct{}{}:
	case <-n.ctx.Done():
		_ = conn.Close()
		return nil, ErrStopped
	}
	defer func() { <-p.install }()
	n.mu.Lock()
	old := p.conn
	n.mu.Unlock()
	if old != nil {
		if old.live() && !n.supersedes(old, res, initiator) {
			_ = conn.Close()
			return old, nil
		}
		old.proto.Close(fmt.Errorf("%w: %s", ErrReplaced, res.Peer), 0)
		select {
		case <-old.gone:
		case <-time.After(n.opts.HandshakeTimeout):
			_ = conn.Close()
			return nil, fmt.Errorf("%w: the old connection to %s does not end", ErrNotConnected, res.Peer)
		}
	}
	c := newConn(n, conn, res, initiator)
	route, tk, err := n.tickets.issue(res.Peer, c)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	_, err = n.node.Network().GetNodeWithRoute(gen.Atom(res.Peer), gen.NetworkRoute{Route: route})
	if err == nil && !c.joined.Load() {
		// ergo still had another connection under this name.
		err = fmt.Errorf("%w: %s", gen.ErrTaken, res.Peer)
	}
	if err != nil {
		n.tickets.cancel(tk)
		c.proto.Close(err, 0)
		return nil, fmt.Errorf("%w: %w", ErrNotConnected, err)
	}
	return c, nil
}

// supersedes decides whether a new connection takes the place of one that
// still lives: both nodes must come to the same answer.
func (n *Network) supersedes(old *Conn, res *handshake.Result, initiator bool) bool {
	if res.Replaces || res.PeerCreation != old.res.PeerCreation {
		return true // the peer's old connection is dead, or its old life is
	}
	// Simultaneous attempts that did not see each other: that of the greater
	// name stays.
	return initiator == (n.opts.Name > res.Peer) && old.initiator != initiator
}

// decide is asked by the handshake when a peer has said its name.
func (n *Network) decide(h handshake.Hello) handshake.Verdict {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ctx.Err() != nil {
		return handshake.VerdictNotAllowed
	}
	p := n.peerLocked(h.Name)
	p.arriving++
	if p.conn != nil && p.conn.live() {
		if h.Creation != 0 && h.Creation != p.conn.res.PeerCreation {
			return handshake.VerdictOK // another life: it replaces the old one once authenticated
		}
		return handshake.VerdictAlive
	}
	if p.attempt != nil {
		if h.Name > n.opts.Name {
			if p.attempt.yield != nil {
				p.attempt.yield(errYield)
			}
			return handshake.VerdictSimultaneous
		}
		return handshake.VerdictNok
	}
	return handshake.VerdictOK
}

// arrivalEnded undoes the counting of decide.
func (n *Network) arrivalEnded(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := n.peers[name]
	if p == nil {
		return
	}
	p.arriving--
	close(p.arrived)
	p.arrived = make(chan struct{})
	n.forgetLocked(p)
}

// up enters a connection that ergo has registered.
func (n *Network) up(c *Conn) {
	n.mu.Lock()
	p := n.peerLocked(c.res.Peer)
	p.conn = c
	p.failures, p.lastErr, p.retryAt = 0, nil, time.Time{}
	n.mu.Unlock()
	n.log.Info("node up", "peer", c.res.Peer, "hidden", c.res.Hidden(), "initiator", c.initiator)
	n.events.publish(NodeEvent{Node: c.res.Peer, Up: true, Hidden: c.res.Hidden(), Creation: c.res.PeerCreation})
}

// down takes a connection out again.
func (n *Network) down(c *Conn, reason error) {
	n.mu.Lock()
	if p := n.peers[c.res.Peer]; p != nil && p.conn == c {
		p.conn = nil
		if errors.Is(reason, proto.ErrTickTimeout) {
			// The peer does not answer; whoever answers one of its calls now
			// must not wait for an attempt to find that out again.
			p.lastErr = fmt.Errorf("connection lost: %w", reason)
			p.retryAt = time.Now().Add(n.opts.RetryMin)
		}
		n.forgetLocked(p)
	}
	n.mu.Unlock()
	n.log.Info("node down", "peer", c.res.Peer, "reason", reason)
	n.events.publish(NodeEvent{Node: c.res.Peer, Hidden: c.res.Hidden(), Creation: c.res.PeerCreation, Reason: reason})
}

// Connect makes sure that there is a connection to a node, and waits for it at
// most until the end of ctx. Unlike sending it tries at once, however recent a
// failure is.
func (n *Network) Connect(ctx context.Context, name string) error {
	_, err := n.connect(ctx, name, false)
	return err
}

// Disconnect ends the connection to a node; what is queued for it is sent
// first, for at most a second. It returns false when there was none. The peer
// may connect again at any time.
func (n *Network) Disconnect(name string) bool {
	c := n.connected(name)
	if c == nil {
		return false
	}
	c.proto.Close(ErrDisconnected, flushTime)
	<-c.gone
	return true
}

// Nodes lists the connected nodes, hidden ones too, in alphabetical order.
func (n *Network) Nodes() []string {
	var names []string
	for _, p := range n.Peers() {
		names = append(names, p.Name)
	}
	return names
}

// Peers describes the connected nodes, in alphabetical order.
func (n *Network) Peers() []PeerInfo {
	n.mu.Lock()
	var conns []*Conn
	for _, p := range n.peers {
		if p.conn != nil {
			conns = append(conns, p.conn)
		}
	}
	n.mu.Unlock()
	infos := make([]PeerInfo, 0, len(conns))
	for _, c := range conns {
		infos = append(infos, c.info())
	}
	slices.SortFunc(infos, func(a, b PeerInfo) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return infos
}

// Peer describes one connected node.
func (n *Network) Peer(name string) (PeerInfo, bool) {
	c := n.connected(name)
	if c == nil {
		return PeerInfo{}, false
	}
	return c.info(), true
}
