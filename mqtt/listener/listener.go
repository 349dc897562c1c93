package listener

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"ermine/actors/fault"

	"github.com/gorilla/websocket"
	"github.com/mochi-mqtt/server/v2/listeners"
)

// Fault points: an accept that fails, and a connection's goroutine that does (the
// subject is the listener's id).
var (
	faultAccept = fault.New("listener.accept")
	faultConn   = fault.New("listener.conn")
)

const (
	// The pause after a failed accept doubles from the first to the second value.
	minAcceptPause = 5 * time.Millisecond
	maxAcceptPause = time.Second

	// warnInterval bounds how often one listener warns about the same thing.
	warnInterval = 10 * time.Second
)

// Listener accepts connections on one address. It implements mochi's
// listeners.Listener, and can be stopped and started again while the node runs.
// All methods may be called from any goroutine.
type Listener struct {
	conf     *Config
	address  string // for net.Listen
	rules    accessRules
	opts     *connOptions
	keep     net.KeepAliveConfig
	upgrader *websocket.Upgrader
	log      *slog.Logger

	enabled      atomic.Bool
	connRate     sharedBucket
	current      atomic.Int64
	accepted     atomic.Uint64
	acceptErrors atomic.Uint64
	lastWarn     atomic.Int64 // since epoch

	mu        sync.Mutex
	certs     *certStore
	acceptor  *acceptor // nil unless listening
	accepting bool      // the loops of acceptor run
	bound     string    // address of the last socket
	establish listeners.EstablishFn
	conns     map[*Conn]struct{}
	shutdowns map[string]uint64
	quiet     chan struct{} // closed when the last connection has gone; nil if nobody waits
	closed    chan struct{} // closed by Close: Serve returns
	isClosed  bool
}

// New prepares a listener; it opens nothing. The configuration must be valid.
func New(conf Config, log *slog.Logger) (*Listener, error) {
	if err := conf.Validate(); err != nil {
		return nil, err
	}
	address, err := ParseBind(conf.Bind)
	if err != nil {
		return nil, err
	}
	rules, err := parseAccessRules(conf.AccessRules)
	if err != nil {
		return nil, err
	}
	keep, err := parseKeepAlive(conf.TCPOptions.KeepAlive)
	if err != nil {
		return nil, err
	}
	l := &Listener{
		conf:      &conf,
		address:   address,
		rules:     rules,
		keep:      keep,
		log:       log.With("listener", conf.ID()),
		connRate:  sharedBucket{b: newBucket(conf.MaxConnRate)},
		conns:     make(map[*Conn]struct{}),
		shutdowns: make(map[string]uint64),
		closed:    make(chan struct{}),
	}
	l.enabled.Store(conf.Enable)
	l.opts = &connOptions{
		high:          conf.TCPOptions.HighWatermark,
		low:           conf.TCPOptions.HighWatermark / 2,
		hard:          conf.TCPOptions.HardLimit,
		sendTimeout:   conf.TCPOptions.SendTimeout,
		flushTimeout:  conf.FlushTimeout,
		lingerTimeout: conf.LingerTimeout,
		maxPacket:     conf.MaxPacketSize,
		maxConnect:    conf.MaxConnectSize,
	}
	if conf.MaxPacketSize > 0 && (conf.MaxConnectSize == 0 || conf.MaxPacketSize < conf.MaxConnectSize) {
		l.opts.maxConnect = conf.MaxPacketSize
	}
	if conf.MessagesRate > 0 || conf.BytesRate > 0 {
		l.opts.limits = &limits{messages: conf.MessagesRate, bytes: conf.BytesRate}
	}
	if conf.Type.webSocket() {
		l.upgrader = newUpgrader(&l.conf.WebSocket)
		l.opts.idleDeadline = conf.WebSocket.IdleTimeout
	}
	return l, nil
}

// Config is the listener's configuration, which is not to be changed.
func (l *Listener) Config() *Config { return l.conf }

// ID is "<type>:<name>".
func (l *Listener) ID() string { return l.conf.ID() }

// Protocol is the listener's type.
func (l *Listener) Protocol() string { return string(l.conf.Type) }

// Address is the address the listener is, or last was, bound to, and the
// configured one before that.
func (l *Listener) Address() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.bound != "" {
		return l.bound
	}
	return l.address
}

// Init opens the socket, so that a wrong address or certificate is known before
// anything is served; connections wait in the backlog until Serve. mochi's logger
// is not used: the listener has one.
func (l *Listener) Init(*slog.Logger) error {
	if !l.enabled.Load() {
		return fmt.Errorf("%w: %s", ErrDisabled, l.ID())
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.listenLocked()
}

// Serve accepts connections and runs establish for each in a goroutine of its own.
// It returns after Close, not after Stop or Drain.
func (l *Listener) Serve(establish listeners.EstablishFn) {
	l.mu.Lock()
	l.establish = establish
	l.acceptLocked()
	l.mu.Unlock()
	<-l.closed
}

// Start opens the listener again after Stop or Drain. It needs a Serve before.
func (l *Listener) Start() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.acceptor != nil {
		return fmt.Errorf("start %s: %w", l.ID(), ErrAlreadyRunning)
	}
	if err := l.listenLocked(); err != nil {
		return err
	}
	l.acceptLocked()
	return nil
}

// listenLocked opens the socket and reads the certificates.
func (l *Listener) listenLocked() error {
	if l.isClosed {
		return fmt.Errorf("start %s: %w", l.ID(), net.ErrClosed)
	}
	if l.conf.Type.tls() && l.certs == nil {
		certs, err := newCertStore(l.conf.SSLOptions, l.conf.CertDir, l.log)
		if err != nil {
			return fmt.Errorf("start %s: %w", l.ID(), err)
		}
		l.certs = certs
	}
	address := l.address
	if l.bound != "" {
		address = l.bound // with port 0, come back on the same port
	}
	lc := net.ListenConfig{KeepAlive: -1}
	lc.SetMultipathTCP(false)
	ln, err := lc.Listen(context.Background(), family(address), address)
	if err != nil {
		return fmt.Errorf("listeners.%s.%s.bind: %w", l.conf.Type, l.conf.Name, err)
	}
	socket := ln.(*net.TCPListener)
	l.acceptor = &acceptor{socket: socket, stop: make(chan struct{})}
	l.bound = socket.Addr().String()
	if backlog := l.conf.TCPOptions.Backlog; backlog > 0 {
		if rc, err := socket.SyscallConn(); err == nil {
			// Listening again changes the backlog that Go has chosen.
			_ = rc.Control(func(fd uintptr) { _ = syscall.Listen(int(fd), backlog) })
		}
	}
	return nil
}

// acceptLocked starts the accept loops, if the socket is open and Serve has said
// what to do with connections.
func (l *Listener) acceptLocked() {
	if l.acceptor == nil || l.establish == nil || l.accepting {
		return
	}
	l.accepting = true
	a := l.acceptor
	for range max(1, min(l.conf.Acceptors, runtime.GOMAXPROCS(0))) {
		a.loops.Go(func() { l.acceptLoop(a) })
	}
}

// Drain stops accepting. The connections stay.
func (l *Listener) Drain() error {
	l.mu.Lock()
	a := l.acceptor
	l.acceptor, l.accepting = nil, false
	l.mu.Unlock()
	if a == nil {
		return fmt.Errorf("stop %s: %w", l.ID(), ErrNotRunning)
	}
	close(a.stop)
	err := a.socket.Close()
	a.loops.Wait()
	if err != nil {
		return fmt.Errorf("stop %s: %w", l.ID(), err)
	}
	return nil
}

// Stop stops accepting, ends all connections with ErrStopped, giving each the
// time to send its pending output, and waits for them until ctx ends, when it
// aborts the rest. The listener can be started again.
func (l *Listener) Stop(ctx context.Context) error {
	if err := l.Drain(); err != nil {
		return err
	}
	l.endConns(ctx)
	return nil
}

// Restart is Stop, if it is running, and Start.
func (l *Listener) Restart(ctx context.Context) error {
	if err := l.Stop(ctx); err != nil && !errors.Is(err, ErrNotRunning) {
		return err
	}
	return l.Start()
}

// Close ends the listener for good, for mochi: it stops accepting, lets
// closeClients disconnect the clients mochi knows, ends all connections, and waits
// for a few seconds until they have sent their pending output.
func (l *Listener) Close(closeClients listeners.CloseFn) {
	l.mu.Lock()
	first := !l.isClosed
	l.isClosed = true
	l.mu.Unlock()
	if !first {
		return
	}
	_ = l.Drain() // not running is as well
	if closeClients != nil {
		closeClients(l.ID())
	}
	ctx, cancel := context.WithTimeout(context.Background(), l.conf.FlushTimeout+l.conf.LingerTimeout+time.Second)
	defer cancel()
	l.endConns(ctx)
	close(l.closed)
}

// endConns ends all connections and waits until they have gone.
func (l *Listener) endConns(ctx context.Context) {
	l.eachConn(func(c *Conn) { c.CloseWith(ErrStopped) })
	if l.Wait(ctx) == nil {
		return
	}
	l.eachConn(func(c *Conn) { c.Abort(ErrStopped) })
}

// Wait returns nil when the listener has no connection, and ctx's error if that
// comes first.
func (l *Listener) Wait(ctx context.Context) error {
	l.mu.Lock()
	if l.current.Load() == 0 {
		l.mu.Unlock()
		return nil
	}
	if l.quiet == nil {
		l.quiet = make(chan struct{})
	}
	quiet := l.quiet
	l.mu.Unlock()
	select {
	case <-quiet:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *Listener) eachConn(fn func(*Conn)) {
	l.mu.Lock()
	conns := make([]*Conn, 0, len(l.conns))
	for c := range l.conns {
		conns = append(conns, c)
	}
	l.mu.Unlock()
	for _, c := range conns {
		fn(c)
	}
}

// Status is a listener's state as the command line shows it.
type Status struct {
	ID, Address, Bind string
	Type              Type
	Acceptors         int
	ProxyProtocol     bool
	Enable, Running   bool
	CurrentConns      int
	MaxConns          int               // 0 is unlimited
	Accepted          uint64            // connections since the start of the node
	AcceptErrors      uint64            // accepts that failed, e.g. for want of file descriptors
	ShutdownCount     map[string]uint64 // ended connections by reason
}

// Status is the listener's present state.
func (l *Listener) Status() Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	address := l.bound
	if address == "" {
		address = l.address
	}
	return Status{
		ID:            l.ID(),
		Address:       address,
		Bind:          l.conf.Bind,
		Type:          l.conf.Type,
		Acceptors:     l.conf.Acceptors,
		ProxyProtocol: l.conf.ProxyProtocol,
		Enable:        l.enabled.Load(),
		Running:       l.accepting,
		CurrentConns:  int(l.current.Load()),
		MaxConns:      l.conf.MaxConnections,
		Accepted:      l.accepted.Load(),
		AcceptErrors:  l.acceptErrors.Load(),
		ShutdownCount: maps.Clone(l.shutdowns),
	}
}

// acceptor is an open socket and the loops that accept from it.
type acceptor struct {
	socket *net.TCPListener
	stop   chan struct{} // closed by Drain, before socket
	loops  sync.WaitGroup
}

// acceptLoop accepts until a is stopped.
func (l *Listener) acceptLoop(a *acceptor) {
	pause := minAcceptPause
	for {
		var tc *net.TCPConn
		err := protect(func() (err error) {
			if err = faultAccept.Err(); err == nil {
				tc, err = a.socket.AcceptTCP()
			}
			return err
		})
		if err == nil {
			pause = minAcceptPause
			l.admit(tc)
			continue
		}
		select {
		case <-a.stop:
			return
		default:
		}
		// Out of file descriptors or memory, or a connection that is gone already:
		// what waits in the backlog is worth another try.
		l.acceptErrors.Add(1)
		if l.mayWarn() {
			l.log.Warn("accept failed, trying again", "err", err, "pause", pause)
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-a.stop:
			timer.Stop()
			return
		}
		pause = min(2*pause, maxAcceptPause)
	}
}

// admit applies what can be decided without reading, and starts the connection's
// goroutine. A refused connection is closed in order: the client sees the end of
// the stream, no reset.
func (l *Listener) admit(tc *net.TCPConn) {
	l.accepted.Add(1)
	var (
		peer    netip.AddrPort
		refusal error
	)
	addr, ok := tc.RemoteAddr().(*net.TCPAddr)
	if ok {
		peer = addr.AddrPort()
	}
	switch n := l.current.Add(1); {
	case !ok:
		refusal = net.ErrClosed // the peer is gone already
	case !l.rules.allows(peer.Addr()):
		refusal = ErrAccessDenied
	case l.conf.MaxConnections > 0 && n > int64(l.conf.MaxConnections):
		refusal = ErrConnLimit
	case !l.connRate.allow(time.Now()):
		refusal = ErrConnRate
	}
	if refusal != nil {
		_ = tc.Close()
		l.ended(nil, refusal)
		return
	}
	s, err := newSock(tc)
	if err == nil {
		err = l.setOptions(tc)
	}
	if err != nil { // the peer is gone already
		_ = tc.Close()
		l.ended(nil, err)
		return
	}
	c := newConn(s, &Info{Listener: l.conf, Remote: netipUnmap(peer), Peer: netipUnmap(peer), Accepted: time.Now()}, l.opts)
	l.mu.Lock()
	l.conns[c] = struct{}{}
	establish := l.establish
	l.mu.Unlock()
	go l.run(c, establish)
}

func (l *Listener) setOptions(tc *net.TCPConn) error {
	o := &l.conf.TCPOptions
	if !o.NoDelay { // Go's default is true
		if err := tc.SetNoDelay(false); err != nil {
			return err
		}
	}
	if l.keep.Enable {
		if err := tc.SetKeepAliveConfig(l.keep); err != nil {
			return err
		}
	}
	if o.RecvBuffer > 0 {
		if err := tc.SetReadBuffer(o.RecvBuffer); err != nil {
			return err
		}
	}
	if o.SendBuffer > 0 {
		if err := tc.SetWriteBuffer(o.SendBuffer); err != nil {
			return err
		}
	}
	if o.NoLinger {
		return tc.SetLinger(0)
	}
	return nil
}

// run is a connection's goroutine.
func (l *Listener) run(c *Conn, establish listeners.EstablishFn) {
	var reason error
	defer func() {
		if v := recover(); v != nil { // in a callback
			reason = newPanicError(v)
			c.Abort(reason)
			_ = c.sock.Close()
		}
		l.logEnd(c, reason)
		l.ended(c, reason)
	}()
	err := protect(func() error { return l.open(c) })
	if err != nil {
		reason = c.finishUnopened(err)
		return
	}
	err = protect(func() error {
		faultConn.HitOn(l.conf.ID())
		return establish(l.conf.ID(), c)
	})
	reason = c.finish(err)
}

// family is the network to listen on: Go takes 0.0.0.0 for both families, but
// who writes an IPv4 address means that.
func family(address string) string {
	if a, err := netip.ParseAddrPort(address); err == nil && a.Addr().Is4() {
		return "tcp4"
	}
	return "tcp"
}

// protect runs fn and turns a panic into an error.
func protect(fn func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = newPanicError(v)
		}
	}()
	return fn()
}

// newPanicError is called by a function that has just recovered v.
func newPanicError(v any) *PanicError {
	stack := debug.Stack()
	return &PanicError{Value: v, Stack: stack, InDecoder: inDecoder(string(stack))}
}

// inDecoder reports whether the function that panicked is one of mochi's packet
// decoders, or was called by one without other code of ours in between.
func inDecoder(stack string) bool {
	_, after, found := strings.Cut(stack, "\npanic(")
	if !found {
		return false
	}
	decoder := strings.Index(after, "\ngithub.com/mochi-mqtt/server/v2/packets.")
	ours := strings.Index(after, "\nermine/")
	return decoder >= 0 && (ours < 0 || decoder < ours)
}

// open performs the handshakes and sets the deadline for CONNECT.
func (l *Listener) open(c *Conn) error {
	s := c.sock
	if l.conf.ProxyProtocol {
		if err := readProxyHeader(s, c.info, l.conf.ProxyProtocolTimeout); err != nil {
			return err
		}
	}
	var nc net.Conn = s
	if l.conf.Type.tls() {
		tlsConn, err := l.handshake(s)
		if err != nil {
			return err
		}
		c.info.TLS = newTLSInfo(tlsConn.ConnectionState())
		c.link = link{
			reader: tlsConn,
			write:  func(p []byte, _ time.Time) error { _, err := tlsConn.Write(p); return err },
			bye:    func() { _ = tlsConn.CloseWrite() },
		}
		nc = tlsConn
	}
	if l.conf.Type.webSocket() {
		if err := setTimeout(s, l.conf.IdleTimeout); err != nil {
			return fmt.Errorf("%w: %w", errUpgrade, err)
		}
		ws, err := upgrade(nc, l.upgrader, &l.conf.WebSocket, c.info)
		if err != nil {
			return err
		}
		c.link = wsLink(ws, &l.conf.WebSocket)
	}
	s.drained = c.inputDrained
	s.acquire = c.room
	if err := setTimeout(s, 0); err != nil { // the writer sets its own deadlines
		return err
	}
	if l.conf.IdleTimeout > 0 {
		return s.SetReadDeadline(time.Now().Add(l.conf.IdleTimeout))
	}
	return nil
}

// handshake performs the TLS handshake.
func (l *Listener) handshake(s *sock) (*tls.Conn, error) {
	if err := setTimeout(s, l.conf.SSLOptions.HandshakeTimeout); err != nil {
		return nil, fmt.Errorf("%w: %w", errTLSHandshake, err)
	}
	l.mu.Lock()
	certs := l.certs
	l.mu.Unlock()
	conn := tls.Server(s, certs.server)
	if err := conn.HandshakeContext(context.Background()); err != nil {
		return nil, fmt.Errorf("%w: %w", errTLSHandshake, err)
	}
	return conn, nil
}

// setTimeout sets both deadlines of the socket; 0 removes them.
func setTimeout(s *sock, d time.Duration) error {
	var t time.Time
	if d > 0 {
		t = time.Now().Add(d)
	}
	if err := s.tc.SetWriteDeadline(t); err != nil {
		return err
	}
	return s.SetReadDeadline(t)
}

// ended counts a connection that is over; c is nil if it was refused.
func (l *Listener) ended(c *Conn, reason error) {
	text := ReasonText(reason)
	if text == reasonSockClosed {
		text = string(l.conf.Type) + "_closed"
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
	l.countLocked(text)
	if l.current.Add(-1) == 0 && l.quiet != nil {
		close(l.quiet)
		l.quiet = nil
	}
}

// maxReasons bounds the keys of shutdown_count.
const maxReasons = 64

func (l *Listener) countLocked(reason string) {
	if _, known := l.shutdowns[reason]; !known && len(l.shutdowns) >= maxReasons {
		reason = "other"
	}
	l.shutdowns[reason]++
}

// logEnd reports the end of a connection: a bug of ours as an error, what the peer
// did at debug level.
func (l *Listener) logEnd(c *Conn, reason error) {
	var pe *PanicError
	switch {
	case errors.As(reason, &pe) && !pe.InDecoder:
		l.log.Error("connection crashed", "peer", c.info.Remote, "err", reason, "stack", string(pe.Stack))
	case reason != nil && l.log.Enabled(context.Background(), slog.LevelDebug):
		l.log.Debug("connection ended", "peer", c.info.Remote, "reason", ReasonText(reason), "err", reason)
	}
}

// mayWarn reports, at most once within warnInterval, that it is time for a warning.
func (l *Listener) mayWarn() bool {
	now := int64(time.Since(epoch))
	last := l.lastWarn.Load()
	return (last == 0 || now-last >= int64(warnInterval)) && l.lastWarn.CompareAndSwap(last, now)
}

var _ listeners.Listener = (*Listener)(nil)
