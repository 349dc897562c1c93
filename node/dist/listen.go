package dist

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"ermine/node/dist/handshake"
)

// pendingConns bounds the connections that have not proved the cookie.
type pendingConns struct {
	mu      sync.Mutex
	max     int
	perHost int
	total   int
	hosts   map[string]int
}

func (p *pendingConns) init(max, perHost int) {
	p.max, p.perHost, p.hosts = max, perHost, map[string]int{}
}

func (p *pendingConns) enter(host string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.total >= p.max || p.hosts[host] >= p.perHost {
		return false
	}
	p.total++
	p.hosts[host]++
	return true
}

func (p *pendingConns) leave(host string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.total--
	if p.hosts[host]--; p.hosts[host] <= 0 {
		delete(p.hosts, host)
	}
}

// accept is the listener: one goroutine for each handshake.
func (n *Network) accept() {
	var pause time.Duration
	var refused rateLimit
	for {
		conn, err := n.listener.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) || n.ctx.Err() != nil {
				return
			}
			// Out of file descriptors and the like passes; the node must stay
			// reachable.
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			n.log.Warn("accept", "err", err)
			select {
			case <-n.ctx.Done():
				return
			case <-time.After(pause):
			}
			continue
		}
		pause = 0
		host, _, err := net.SplitHostPort(conn.RemoteAddr().String())
		if err != nil {
			host = conn.RemoteAddr().String()
		}
		if !n.pending.enter(host) {
			_ = conn.Close()
			if refused.allow(time.Now()) {
				n.log.Warn("too many connections without a handshake, closing new ones", "host", host)
			}
			continue
		}
		if !n.goes(func() { n.welcome(conn, host) }) {
			n.pending.leave(host)
			_ = conn.Close()
		}
	}
}

// welcome runs the acceptor's side for one connection.
func (n *Network) welcome(conn net.Conn, host string) {
	raw := conn
	left := false
	leave := func() {
		if !left {
			left = true
			n.pending.leave(host)
		}
	}
	defer leave()
	defer func() {
		if r := recover(); r != nil {
			n.log.Error("handshake panicked", "host", host, "err", r, "stack", string(debug.Stack()))
			_ = raw.Close()
		}
	}()
	ctx, cancel := context.WithTimeout(n.ctx, n.opts.HandshakeTimeout)
	defer cancel()
	if n.opts.TLS != nil {
		tlsConn := tls.Server(conn, n.opts.TLS.Server)
		if err := tlsConn.HandshakeContext(ctx); err != nil {
			if n.garbage.allow(time.Now()) {
				n.log.Warn("connection refused: tls", "host", host, "err", err)
			}
			_ = conn.Close()
			return
		}
		conn = tlsConn
	}
	name := ""
	res, err := handshake.Accept(ctx, conn, n.hs, handshake.AcceptOptions{
		Decide: func(h handshake.Hello) handshake.Verdict {
			name = h.Name
			return n.decide(h)
		},
		NewName: handshake.NewDynamicName,
	})
	if name != "" {
		defer n.arrivalEnded(name)
	}
	if err != nil {
		n.refused(host, res, err)
		_ = conn.Close()
		return
	}
	leave()
	if _, err := n.install(conn, res, false); err != nil {
		n.log.Warn("connection not kept", "peer", res.Peer, "host", host, "err", err)
	}
}

// refused says why, as far as a person should know.
func (n *Network) refused(host string, res *handshake.Result, err error) {
	peer := ""
	if res != nil {
		peer = res.Peer
	}
	var flags *handshake.FlagsError
	switch {
	case errors.Is(err, handshake.ErrCookie):
		n.log.Error("connection refused: the peer and this node have different cookies", "peer", peer, "host", host)
	case errors.As(err, &flags):
		n.log.Error("connection refused: the peer is too old", "peer", flags.Peer, "host", host, "err", err)
	case errors.Is(err, handshake.ErrSimultaneous), errors.Is(err, handshake.ErrAlive), errors.Is(err, io.EOF), n.ctx.Err() != nil:
		n.log.Debug("connection not continued", "peer", peer, "host", host, "err", err)
	case n.garbage.allow(time.Now()):
		n.log.Warn("connection refused", "peer", peer, "host", host, "err", fmt.Sprint(err))
	}
}

// rateLimit lets one line a second through, so that strangers cannot fill the log.
type rateLimit struct {
	mu   sync.Mutex
	last time.Time
}

func (r *rateLimit) allow(now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Sub(r.last) < time.Second {
		return false
	}
	r.last = now
	return true
}
