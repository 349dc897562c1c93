package rpc

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"
)

// pipes is a network in memory whose connections work on fake time.
type pipes struct {
	mu  sync.Mutex
	at  map[string]*pipeListener
	cut map[string]bool // dialling there fails
}

func newPipes() *pipes { return &pipes{at: map[string]*pipeListener{}, cut: map[string]bool{}} }

type pipeListener struct {
	net    *pipes
	addr   string
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipes) listen(addr string) (net.Listener, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.at[addr] != nil {
		return nil, errors.New("address in use")
	}
	l := &pipeListener{net: p, addr: addr, conns: make(chan net.Conn), closed: make(chan struct{})}
	p.at[addr] = l
	return l, nil
}

func (p *pipes) dial(ctx context.Context, addr string) (net.Conn, error) {
	p.mu.Lock()
	l := p.at[addr]
	cut := p.cut[addr]
	p.mu.Unlock()
	if l == nil || cut {
		return nil, fmt.Errorf("dial %s: connection refused", addr)
	}
	here, there := net.Pipe()
	select {
	case l.conns <- there:
		return here, nil
	case <-l.closed:
		return nil, fmt.Errorf("dial %s: connection refused", addr)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() {
		close(l.closed)
		l.net.mu.Lock()
		delete(l.net.at, l.addr)
		l.net.mu.Unlock()
	})
	return nil
}

func (l *pipeListener) Addr() net.Addr { return pipeAddr(l.addr) }

type pipeAddr string

func (pipeAddr) Network() string  { return "pipe" }
func (a pipeAddr) String() string { return string(a) }

// testConfig are settings for tests: name, life, and short queues.
func testConfig(name string, incarnation uint64) Config {
	cfg := DefaultConfig()
	cfg.Name, cfg.Incarnation, cfg.Cookie = name, incarnation, "secret"
	cfg.Listen = "127.0.0.1:0"
	cfg.Lanes = 2
	cfg.KeepAlive = net.KeepAliveConfig{}
	return cfg
}

// onPipes makes a config's endpoint live on a network in memory; its address
// there is its name.
func (p *pipes) on(cfg Config) Config {
	cfg.Listener = func() (net.Listener, error) { return p.listen(cfg.Name) }
	cfg.Dial = p.dial
	return cfg
}

// start starts an endpoint that setup has prepared, and stops it at the end.
func start(t testing.TB, cfg Config, setup func(*Endpoint)) *Endpoint {
	t.Helper()
	e, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if setup != nil {
		setup(e)
	}
	if err := e.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { halt(t, e) })
	return e
}

// halt stops an endpoint without waiting for what is unacknowledged.
func halt(t testing.TB, e *Endpoint) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := e.Stop(ctx); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// within waits for a channel, for as long as a busy machine may take.
func within[T any](t testing.TB, c <-chan T, what string) T {
	t.Helper()
	timer := time.NewTimer(20 * time.Second)
	defer timer.Stop()
	select {
	case v := <-c:
		return v
	case <-timer.C:
		t.Fatalf("waited in vain for %s", what)
		panic("unreachable")
	}
}

// number is a payload that holds n.
func number(n uint64) func([]byte) []byte {
	return func(dst []byte) []byte { return binary.BigEndian.AppendUint64(dst, n) }
}

// collector is a handler that remembers what it got, and acknowledges it.
type collector struct {
	mu   sync.Mutex
	got  map[string][]uint64 // by sender
	from map[string]Peer
	n    int
	want int
	full chan struct{} // closed at want
}

func collect(want int) *collector {
	return &collector{got: map[string][]uint64{}, from: map[string]Peer{}, want: want, full: make(chan struct{})}
}

func (c *collector) handle(from Peer, payload []byte, ack func()) {
	c.mu.Lock()
	c.got[from.Name] = append(c.got[from.Name], binary.BigEndian.Uint64(payload))
	c.from[from.Name] = from
	c.n++
	if c.n == c.want {
		close(c.full)
	}
	c.mu.Unlock()
	ack()
}

func (c *collector) of(name string) []uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]uint64(nil), c.got[name]...)
}

// join makes each of the endpoints a peer of the others.
func join(t testing.TB, es ...*Endpoint) {
	t.Helper()
	for _, a := range es {
		for _, b := range es {
			if a != b {
				if err := a.SetPeer(b.cfg.Name, b.Addr().String(), b.cfg.Incarnation); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}
