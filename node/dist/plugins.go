package dist

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"ergo.services/ergo/gen"
)

// ergo makes its connections in one way only: it dials, lets the handshake
// plug-in talk, and registers what the protocol plug-in makes of that. This
// package connects and accepts by itself and hands finished connections over:
// it opens a loopback listener for one connection (a ticket), makes ergo dial
// that, recognises it in Start by its address, and returns the result that has
// been waiting for it. The loopback connection is closed at once.

var (
	handshakeVersion = gen.Version{Name: "ermine-dist-handshake", Release: "6", License: gen.LicenseMIT}
	protoVersion     = gen.Version{Name: "ermine-dist", Release: "6", License: gen.LicenseMIT}
)

// ticketLife bounds how long ergo may take to come for a ticket.
const ticketLife = 10 * time.Second

// ticket is a connection on its way to ergo.
type ticket struct {
	peer string

	// conn is a new connection; nil claims the one that there is.
	conn *Conn

	listener net.Listener
	timer    *time.Timer
}

type tickets struct {
	mu   sync.Mutex
	open map[string]*ticket // by the address of the loopback listener
}

// issue opens a ticket and returns the route on which ergo redeems it.
func (t *tickets) issue(peer string, conn *Conn) (gen.Route, *ticket, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		if l, err = net.Listen("tcp", "[::1]:0"); err != nil {
			return gen.Route{}, nil, fmt.Errorf("hand %s over: %w", peer, err)
		}
	}
	host, portText, _ := net.SplitHostPort(l.Addr().String())
	port, _ := strconv.ParseUint(portText, 10, 16)
	tk := &ticket{peer: peer, conn: conn, listener: l}
	t.mu.Lock()
	if t.open == nil {
		t.open = map[string]*ticket{}
	}
	t.open[l.Addr().String()] = tk
	t.mu.Unlock()
	tk.timer = time.AfterFunc(ticketLife, func() { t.cancel(tk) })
	return gen.Route{
		Host: host, Port: uint16(port),
		HandshakeVersion: handshakeVersion, ProtoVersion: protoVersion,
	}, tk, nil
}

// redeem returns the ticket of a loopback connection; nil if there is none.
func (t *tickets) redeem(conn net.Conn) *ticket {
	addr := conn.RemoteAddr().String()
	t.mu.Lock()
	tk := t.open[addr]
	delete(t.open, addr)
	t.mu.Unlock()
	if tk != nil {
		tk.timer.Stop()
		_ = tk.listener.Close()
	}
	return tk
}

// cancel closes a ticket that nobody redeemed.
func (t *tickets) cancel(tk *ticket) {
	t.mu.Lock()
	delete(t.open, tk.listener.Addr().String())
	t.mu.Unlock()
	tk.timer.Stop()
	_ = tk.listener.Close()
}

// plug is the handshake plug-in.
type plug Network

// NetworkFlags implements gen.NetworkHandshake.
func (p *plug) NetworkFlags() gen.NetworkFlags { return gen.NetworkFlags{Enable: true} }

// Version implements gen.NetworkHandshake.
func (p *plug) Version() gen.Version { return handshakeVersion }

// Start implements gen.NetworkHandshake: it redeems a ticket.
func (p *plug) Start(_ gen.NodeHandshake, conn net.Conn, _ gen.HandshakeOptions) (gen.HandshakeResult, error) {
	defer conn.Close()
	tk := p.tickets.redeem(conn)
	if tk == nil {
		return gen.HandshakeResult{}, fmt.Errorf("connection to %s: %w", conn.RemoteAddr(), gen.ErrNotAllowed)
	}
	result := gen.HandshakeResult{
		HandshakeVersion: handshakeVersion,
		ConnectionID:     tk.peer,
		Peer:             gen.Atom(tk.peer),
		PeerVersion:      gen.Version{Name: "erlang", License: gen.LicenseMIT},
		PeerFlags:        gen.NetworkFlags{Enable: true},
		NodeFlags:        gen.NetworkFlags{Enable: true},
	}
	if tk.conn != nil {
		result.PeerCreation = int64(tk.conn.res.PeerCreation)
		result.Custom = tk.conn
	}
	return result, nil
}

// Join implements gen.NetworkHandshake; connections have no pool.
func (p *plug) Join(gen.NodeHandshake, net.Conn, string, gen.HandshakeOptions) ([]byte, error) {
	return nil, gen.ErrUnsupported
}

// Accept implements gen.NetworkHandshake; ergo accepts nothing here.
func (p *plug) Accept(gen.NodeHandshake, net.Conn, gen.HandshakeOptions) (gen.HandshakeResult, error) {
	return gen.HandshakeResult{}, gen.ErrUnsupported
}

// protocol is the protocol plug-in.
type protocol Network

// Version implements gen.NetworkProto.
func (p *protocol) Version() gen.Version { return protoVersion }

// NewConnection implements gen.NetworkProto: a new connection from its ticket,
// or the existing one, which ergo then finds it has already.
func (p *protocol) NewConnection(_ gen.Core, result gen.HandshakeResult, _ gen.Log) (gen.Connection, error) {
	if c, ok := result.Custom.(*Conn); ok {
		return c, nil
	}
	if c := (*Network)(p).connected(string(result.Peer)); c != nil {
		return c, nil
	}
	return nil, gen.ErrNoConnection
}

// Serve implements gen.NetworkProto.
func (p *protocol) Serve(conn gen.Connection, _ gen.NetworkDial) error {
	c, ok := conn.(*Conn)
	if !ok {
		return gen.ErrUnsupported
	}
	return c.serve()
}

// registrar is the registrar plug-in: it stands between ergo's implicit
// connections and this package's way to make them.
type registrar Network

// Register implements gen.Registrar.
func (r *registrar) Register(gen.NodeRegistrar, gen.RegisterRoutes) (gen.StaticRoutes, error) {
	return gen.StaticRoutes{}, nil
}

// Resolver implements gen.Registrar.
func (r *registrar) Resolver() gen.Resolver { return r }

// Resolve implements gen.Resolver. ergo asks it in the goroutine of a process
// that sends to a node without a connection, so it connects, waiting at most
// Options.AutoConnectWait, and returns a claim on the connection.
func (r *registrar) Resolve(node gen.Atom) ([]gen.Route, error) {
	n := (*Network)(r)
	ctx, cancel := context.WithTimeout(n.ctx, n.opts.AutoConnectWait)
	defer cancel()
	if _, err := n.connect(ctx, string(node), true); err != nil {
		if !errors.Is(err, ErrBackOff) {
			n.log.Debug("implicit connection", "peer", string(node), "err", err)
		}
		return nil, err
	}
	route, _, err := n.tickets.issue(string(node), nil)
	if err != nil {
		return nil, err
	}
	return []gen.Route{route}, nil
}

// Terminate implements gen.Registrar: ergo's network stops, and with it the
// listener and every attempt to connect.
func (r *registrar) Terminate() { (*Network)(r).shut() }

// Nodes implements gen.Registrar.
func (r *registrar) Nodes() ([]gen.Atom, error) {
	var names []gen.Atom
	for _, name := range (*Network)(r).Nodes() {
		names = append(names, gen.Atom(name))
	}
	return names, nil
}

// What follows has no counterpart among Erlang nodes.

// ResolveProxy implements gen.Resolver.
func (r *registrar) ResolveProxy(gen.Atom) ([]gen.ProxyRoute, error) { return nil, gen.ErrUnsupported }

// ResolveApplication implements gen.Resolver.
func (r *registrar) ResolveApplication(gen.Atom) ([]gen.ApplicationRoute, error) {
	return nil, gen.ErrUnsupported
}

// RegisterProxy implements gen.Registrar.
func (r *registrar) RegisterProxy(gen.Atom) error { return gen.ErrUnsupported }

// UnregisterProxy implements gen.Registrar.
func (r *registrar) UnregisterProxy(gen.Atom) error { return gen.ErrUnsupported }

// RegisterApplicationRoute implements gen.Registrar.
func (r *registrar) RegisterApplicationRoute(gen.ApplicationRoute) error { return gen.ErrUnsupported }

// UnregisterApplicationRoute implements gen.Registrar.
func (r *registrar) UnregisterApplicationRoute(gen.Atom) error { return gen.ErrUnsupported }

// Config implements gen.Registrar.
func (r *registrar) Config(...string) (map[string]any, error) { return nil, gen.ErrUnsupported }

// ConfigItem implements gen.Registrar.
func (r *registrar) ConfigItem(string) (any, error) { return nil, gen.ErrUnsupported }

// Event implements gen.Registrar.
func (r *registrar) Event() (gen.Event, error) { return gen.Event{}, gen.ErrUnsupported }

// Info implements gen.Registrar.
func (r *registrar) Info() gen.RegistrarInfo { return gen.RegistrarInfo{Version: r.Version()} }

// Version implements gen.Registrar.
func (r *registrar) Version() gen.Version {
	return gen.Version{Name: "ermine-dist-registrar", Release: "1", License: gen.LicenseMIT}
}
