package interop

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"ergo.services/ergo/gen"

	"ermine/node/dist"
	"ermine/node/dist/etf"
	"ermine/node/dist/handshake"
	"ermine/node/dist/proto"
)

// recorder keeps log lines.
type recorder struct {
	mu    sync.Mutex
	lines []string
}

func (r *recorder) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, string(b))
	return len(b), nil
}

func (r *recorder) count(text string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, l := range r.lines {
		if strings.Contains(l, text) {
			n++
		}
	}
	return n
}

func (r *recorder) logger() *slog.Logger { return slog.New(slog.NewTextHandler(r, nil)) }

func TestWrongCookie(t *testing.T) {
	var log recorder
	g := startGo(t, dist.Options{Logger: log.logger()})
	e := startErl(t, erlOptions{cookie: "another", args: []string{"-kernel", "logger_level", "notice"}})
	const line = "have different cookies"
	e.want(etf.Atom("pang"), "net_adm:ping('%s')", g.Name())
	eventually(t, "a line about it", func() bool { return log.count(line) == 1 })
	if log.count(e.name) != 1 {
		t.Errorf("the line does not name the peer: %q", log.lines)
	}
	err := g.Ping(within(t), e.name)
	if !errors.Is(err, handshake.ErrCookie) {
		t.Errorf("ping with a wrong cookie: %v", err)
	}
	eventually(t, "a line about it", func() bool { return log.count(line) == 2 })
	if log.count(cookie) != 0 {
		t.Error("the log gives the cookie away")
	}
	if len(g.Nodes()) != 0 {
		t.Errorf("connected to %v", g.Nodes())
	}
}

// TestErlangDies: kill -9 of an Erlang node is noticed at once, on both kinds
// of watchers.
func TestErlangDies(t *testing.T) {
	g, e := connectedPair(t)
	g.event(e.name, true)
	start := time.Now()
	e.signal(syscall.SIGKILL)
	ev := g.event(e.name, false)
	if ev.Reason == nil || time.Since(start) > tick/4 {
		t.Errorf("event %+v after %s", ev, time.Since(start))
	}
}

// TestGoDies: Erlang sees a Go node that stops in order, and one that is
// killed.
func TestGoDies(t *testing.T) {
	e := startErl(t, erlOptions{})
	e.eval("net_kernel:monitor_nodes(true, [{node_type, all}])")
	g := startGo(t, dist.Options{})
	e.want(etf.Atom("pong"), "net_adm:ping('%s')", g.Name())
	e.want(etf.List{etf.Atom(g.Name())}, "nodes(hidden)")
	g.Stop()
	e.want(etf.Atom("down"), "receive {nodedown, '%s', _} -> down after 5000 -> timeout end", g.Name())

	name := staticName(t, "child", "127.0.0.1")
	child := startChild(t, name, tick)
	e.want(etf.Atom("pong"), "net_adm:ping('%s')", name)
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	e.want(etf.Atom("down"), "receive {nodedown, '%s', _} -> down after 5000 -> timeout end", name)
}

// TestFrozenErlang: a stopped Erlang node, idle or under load, is noticed in
// the tick time and holds nobody up meanwhile.
func TestFrozenErlang(t *testing.T) {
	const short = 4 * time.Second
	for _, load := range []bool{false, true} {
		t.Run(fmt.Sprintf("load=%t", load), func(t *testing.T) {
			g := startGo(t, dist.Options{TickTime: short, MaxQueue: 1 << 20})
			e := startErl(t, erlOptions{tick: short})
			other := startErl(t, erlOptions{tick: short})
			for _, node := range []*erlNode{e, other} {
				if err := g.Ping(within(t), node.name); err != nil {
					t.Fatal(err)
				}
			}
			pid := e.server("frozen")
			e.signal(syscall.SIGSTOP)
			start := time.Now()
			stop := make(chan struct{})
			var wg sync.WaitGroup
			defer wg.Wait()
			defer close(stop)
			busy := make(chan struct{})
			if load {
				// A process that floods the frozen node is refused, not stopped.
				flooder := g.spawn("", &script{message: func(p *script, _ gen.PID, _ any) error {
					for {
						err := p.Send(g.PID(pid), make([]byte, 10000))
						if errors.Is(err, proto.ErrBusy) {
							close(busy)
							return gen.TerminateReasonNormal
						}
						if err != nil {
							return err
						}
					}
				}})
				if err := g.Node().Send(flooder, "go"); err != nil {
					t.Fatal(err)
				}
				select {
				case <-busy:
				case <-time.After(short):
					t.Fatal("the flooder was not refused")
				}
				// A Go caller waits for room instead, until its context ends. It
				// finds some until the buffers of the system are full, too.
				ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
				defer cancel()
				var err error
				for err == nil {
					err = g.Send(ctx, pid, make([]byte, 10000))
				}
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("send to a frozen node: %v", err)
				}
			}
			// Meanwhile the other peer answers, and links elsewhere work.
			for range 50 {
				if err := g.Ping(within(t), other.name); err != nil {
					t.Fatal(err)
				}
			}
			owner, messages := g.sink("", false)
			if _, err := g.Monitor(owner, pid); err != nil {
				t.Fatal(err)
			}
			ev := g.event(e.name, false)
			if !errors.Is(ev.Reason, proto.ErrTickTimeout) {
				t.Errorf("reason %v", ev.Reason)
			}
			if took := time.Since(start); took > short+short/2 {
				t.Errorf("noticed after %s with a tick time of %s", took, short)
			}
			if down, ok := receive(t, messages).(dist.Down); !ok || down.Reason != gen.ErrNoConnection {
				t.Errorf("monitor: %+v", down)
			}
		})
	}
}

// TestFrozenGo: an Erlang node notices a stopped Go node; an idle connection
// whose sides have different tick times stays up.
func TestFrozenGo(t *testing.T) {
	const short = 4 * time.Second
	e := startErl(t, erlOptions{tick: short})
	e.eval("net_kernel:monitor_nodes(true, [{node_type, all}])")
	// The Go node has the longer tick time: it answers the Erlang node's ticks.
	name := staticName(t, "child", "127.0.0.1")
	child := startChild(t, name, tick)
	e.want(etf.Atom("pong"), "net_adm:ping('%s')", name)
	e.want(etf.Atom("up"), "receive {nodeup, '%[1]s', _} -> ok end, receive {nodedown, '%[1]s', _} -> down after %[2]d -> up end", name, 2*short/time.Millisecond)
	if err := child.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	e.want(etf.Atom("down"), "receive {nodedown, '%s', _} -> down after %d -> timeout end", name, 2*short/time.Millisecond)
}

// TestRestart: a peer that comes back under its name replaces its old
// connection, also when that still seems to be up.
func TestRestart(t *testing.T) {
	g := startGo(t, dist.Options{})
	name := staticName(t, "e", "127.0.0.1")
	first := startErl(t, erlOptions{name: name})
	first.want(etf.Atom("pong"), "net_adm:ping('%s')", g.Name())
	before := g.event(name, true)
	// Frozen, it cannot say good-bye; its port is taken over by a node that
	// does not listen.
	first.signal(syscall.SIGSTOP)
	second := startErl(t, erlOptions{name: name, args: []string{"-dist_listen", "false"}})
	second.want(etf.Atom("pong"), "net_adm:ping('%s')", g.Name())
	down := g.event(name, false)
	if !errors.Is(down.Reason, dist.ErrReplaced) || down.Creation != before.Creation {
		t.Errorf("down: %+v", down)
	}
	if up := g.event(name, true); up.Creation == before.Creation {
		t.Errorf("up: %+v", up)
	}
	g.spawn("echo", &script{})
	second.want(etf.Atom("hi"), "gen_server:call({echo, '%s'}, hi)", g.Name())
}

// TestSimultaneous connects from both sides at once, again and again.
func TestSimultaneous(t *testing.T) {
	g, e := startGo(t, dist.Options{}), startErl(t, erlOptions{})
	g.spawn("echo", &script{})
	for i := range 30 {
		var wg sync.WaitGroup
		errs := make(chan error, 8)
		for range cap(errs) {
			wg.Go(func() { errs <- g.Ping(within(t), e.name) })
		}
		e.want(etf.Atom("pong"), "net_adm:ping('%s')", g.Name())
		wg.Wait()
		for range cap(errs) {
			if err := <-errs; err != nil {
				t.Fatalf("round %d: %v", i, err)
			}
		}
		if nodes := g.Nodes(); len(nodes) != 1 {
			t.Fatalf("connections: %v", nodes)
		}
		e.want(etf.Atom("hi"), "gen_server:call({echo, '%s'}, hi)", g.Name())
		if i%2 == 0 {
			g.Disconnect(e.name)
		} else {
			e.want(etf.Atom("true"), "erlang:disconnect_node('%s')", g.Name())
		}
		eventually(t, "disconnected", func() bool { return len(g.Nodes()) == 0 })
		e.eval("(fun W() -> case nodes(connected) of [] -> ok; _ -> timer:sleep(1), W() end end)()")
	}
}

// TestTwoGoNodes: this project's nodes speak the same protocol among
// themselves, with simultaneous attempts, and with an Erlang node in the mesh.
func TestTwoGoNodes(t *testing.T) {
	a, b := startGo(t, dist.Options{}), startGo(t, dist.Options{})
	for i := range 50 {
		var wg sync.WaitGroup
		var errA, errB error
		wg.Go(func() { errA = a.Ping(within(t), b.Name()) })
		wg.Go(func() { errB = b.Ping(within(t), a.Name()) })
		wg.Wait()
		if errA != nil || errB != nil {
			t.Fatalf("round %d: %v, %v", i, errA, errB)
		}
		if i%2 == 0 {
			a.Disconnect(b.Name())
		} else {
			b.Disconnect(a.Name())
		}
		eventually(t, "disconnected", func() bool { return len(a.Nodes()) == 0 && len(b.Nodes()) == 0 })
	}
	e := startErl(t, erlOptions{})
	b.spawn("echo", &script{})
	for _, g := range []*goNode{a, b} {
		e.want(etf.Atom("pong"), "net_adm:ping('%s')", g.Name())
	}
	answers := make(chan any, 1)
	a.spawn("asker", &script{message: func(p *script, _ gen.PID, _ any) error {
		v, err := p.Call(dist.Name("echo", b.Name()), etf.Atom("between us"))
		if err != nil {
			v = err
		}
		answers <- v
		return nil
	}})
	e.eval("{asker, '%s'} ! go", a.Name())
	if got := receive(t, answers); !etf.Equal(got, etf.Atom("between us")) {
		t.Errorf("answer: %v", got)
	}
	// A pid of one Go node, passed on by Erlang to the other.
	pid, messages := a.sink("", false)
	a.bindPid(e, "PidA", pid)
	relay := b.spawn("relay", &script{message: func(p *script, _ gen.PID, m any) error {
		return p.Send(b.PID(m.(etf.Pid)), etf.Atom("from b"))
	}})
	_ = relay
	e.eval("{relay, '%s'} ! PidA", b.Name())
	if got := receive(t, messages); !etf.Equal(got, etf.Atom("from b")) {
		t.Errorf("relayed: %v", got)
	}
}

// TestGlobal: names registered in an Erlang node do not wait for a hidden one.
func TestGlobal(t *testing.T) {
	g := startGo(t, dist.Options{})
	e := startErl(t, erlOptions{})
	e.want(etf.Atom("pong"), "net_adm:ping('%s')", g.Name())
	e.want(etf.Atom("yes"), "global:register_name(some_name, self())")
	e.want(etf.Atom("ok"), "global:sync()")
	e.want(etf.List{}, "nodes()")
}

// TestDynamicName: an Erlang node without a name gets one.
func TestDynamicName(t *testing.T) {
	port := startEPMD(t)
	g := startGo(t, dist.Options{Name: shortName("g") + "@127.0.0.1", EPMD: true, EPMDPort: port})
	g.spawn("echo", &script{})
	e := startErl(t, erlOptions{name: "undefined@127.0.0.1", epmdPort: port, anyName: true})
	e.want(etf.Atom("true"), "net_kernel:connect_node('%s')", g.Name())
	e.want(etf.Atom("hi"), "gen_server:call({echo, '%s'}, hi)", g.Name())
	name, _ := e.eval("node()").(etf.Atom)
	if !strings.HasSuffix(string(name), "@127.0.0.1") || strings.HasPrefix(string(name), "undefined") {
		t.Errorf("the node is called %s", name)
	}
	g.event(string(name), true)
}

// garbage is what the port gets from TestGarbage: beginnings of a handshake,
// and noise.
func garbage(r *mathrand.Rand) []byte {
	b := make([]byte, r.IntN(200))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	switch r.IntN(4) {
	case 0:
		return b
	case 1: // a frame of a plausible length
		return append([]byte{0, byte(len(b))}, b...)
	case 2: // the name of a node, then noise
		name := fmt.Sprintf("x%d@127.0.0.1", r.IntN(1000))
		msg := append([]byte{'N', 0, 0, 0, 31, 7, 0xdf, 0x7f, 0xbd, 0, 0, 0, 9, 0, byte(len(name))}, name...)
		return append(append([]byte{0, byte(len(msg))}, msg...), b...)
	default:
		return append([]byte{0xff, 0xff}, b...)
	}
}

// TestGarbage throws noise at the port: the node stays reachable and keeps no
// goroutine or connection.
func TestGarbage(t *testing.T) {
	g := startGo(t, dist.Options{Logger: slog.New(slog.DiscardHandler), HandshakeTimeout: time.Second})
	e := startErl(t, erlOptions{})
	seed := mathrand.Uint64()
	t.Logf("seed %d", seed)
	stop := time.Now().Add(garbageTime())
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			r := mathrand.New(mathrand.NewPCG(seed, uint64(worker)))
			for time.Now().Before(stop) {
				conn, err := net.Dial("tcp", g.ListenAddr())
				if err != nil {
					continue
				}
				_, _ = conn.Write(garbage(r))
				_ = conn.SetReadDeadline(time.Now().Add(time.Duration(r.IntN(20)) * time.Millisecond))
				_, _ = io.Copy(io.Discard, conn)
				_ = conn.Close()
			}
		})
	}
	for time.Now().Before(stop) {
		if err := g.Ping(within(t), e.name); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	if nodes := g.Nodes(); len(nodes) != 1 || nodes[0] != e.name {
		t.Errorf("connected: %v", nodes)
	}
	g.Disconnect(e.name)
	eventually(t, "reachable after the noise", func() bool {
		v, err := e.try("net_adm:ping('%s')", g.Name())
		return err == nil && v == etf.Atom("pong")
	})
}

// garbageTime is how long each test of garbage throws: INTEROP_GARBAGE makes it
// longer, as in `make soak`.
func garbageTime() time.Duration {
	if d, err := time.ParseDuration(os.Getenv("INTEROP_GARBAGE")); err == nil {
		return d
	}
	return 8 * time.Second
}

// TestIdleDiallers: peers that connect and say nothing hold nobody up.
func TestIdleDiallers(t *testing.T) {
	g := startGo(t, dist.Options{MaxPendingPerHost: 40, MaxPending: 40, Logger: slog.New(slog.DiscardHandler)})
	for range 30 {
		conn, err := net.Dial("tcp", g.ListenAddr())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	e := startErl(t, erlOptions{})
	e.want(etf.Atom("pong"), "net_adm:ping('%s')", g.Name())
}

// TestMalformedFrame: a peer past the handshake that sends rubbish loses its
// connection, and nobody else does.
func TestMalformedFrame(t *testing.T) {
	g, e := connectedPair(t)
	g.event(e.name, true)
	for i, frame := range [][]byte{
		{0, 0, 0, 2, 1, 2},
		{0xff, 0xff, 0xff, 0xff},
		{0, 0, 0, 5, 131, 68, 0, 104, 9},
		{0, 0, 0, 4, 112, 131, 97, 1},
	} {
		conn, err := net.Dial("tcp", g.ListenAddr())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		name := fmt.Sprintf("bad%d@127.0.0.1", i)
		_, err = handshake.Start(within(t), conn, handshake.Config{
			Name: name, Cookie: cookie, Creation: 77, Flags: handshake.OwnFlags(true),
		}, g.Name(), handshake.StartOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write(frame); err != nil {
			t.Fatal(err)
		}
		ev := g.event(name, false)
		if !errors.Is(ev.Reason, proto.ErrProtocol) && !errors.Is(ev.Reason, proto.ErrTooLarge) {
			t.Errorf("frame %d: %v", i, ev.Reason)
		}
	}
	e.want(etf.Atom("pong"), "net_adm:ping('%s')", g.Name())
	if nodes := g.Nodes(); len(nodes) != 1 {
		t.Errorf("connected: %v", nodes)
	}
}

// authority issues certificates for TestTLS.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir(), pool: x509.NewCertPool()}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "interop CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	a.key = key
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pool.AddCert(a.cert)
	a.write("ca.pem", "CERTIFICATE", der)
	return a
}

func (a *authority) write(name, kind string, der []byte) {
	a.t.Helper()
	if err := os.WriteFile(filepath.Join(a.dir, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

// issue writes NAME.pem and NAME.key, good for 127.0.0.1 and ::1.
func (a *authority) issue(name string) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		// Erlang wants the host part of the node name as a DNS name.
		DNSNames:    []string{"127.0.0.1", "::1"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write(name+".pem", "CERTIFICATE", der)
	a.write(name+".key", "PRIVATE KEY", keyDER)
}

// erlArgs write an option file that verifies both ways, for an Erlang node.
func (a *authority) erlArgs(name string) []string {
	file := filepath.Join(a.dir, name+".conf")
	side := fmt.Sprintf(`{cacertfile, %q}, {certfile, %q}, {keyfile, %q}, {verify, verify_peer}, {secure_renegotiate, true}`,
		filepath.Join(a.dir, "ca.pem"), filepath.Join(a.dir, name+".pem"), filepath.Join(a.dir, name+".key"))
	text := fmt.Sprintf("[{server, [%s, {fail_if_no_peer_cert, true}]}, {client, [%s]}].\n", side, side)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		a.t.Fatal(err)
	}
	return []string{"-proto_dist", "inet_tls", "-ssl_dist_optfile", file}
}

// settings are the same file, read by a Go node.
func (a *authority) settings(name string) *dist.TLS {
	a.t.Helper()
	a.erlArgs(name)
	s, err := dist.ReadSSLDist(filepath.Join(a.dir, name+".conf"), a.dir)
	if err != nil {
		a.t.Fatal(err)
	}
	return s
}

func TestTLS(t *testing.T) {
	ca := newAuthority(t)
	ca.issue("go")
	g := startGo(t, dist.Options{TLS: ca.settings("go")})
	g.spawn("echo", &script{})
	ca.issue("erl")
	e := startErl(t, erlOptions{args: ca.erlArgs("erl")})
	e.want(etf.Atom("pong"), "net_adm:ping('%s')", g.Name())
	e.want(etf.Atom("hi"), "gen_server:call({echo, '%s'}, hi)", g.Name())
	g.Disconnect(e.name)
	g.event(e.name, false)
	if err := g.Ping(within(t), e.name); err != nil {
		t.Fatal(err)
	}
	e.want(etf.Atom("true"), "Big = binary:copy(<<7>>, 16 bsl 20), Big =:= gen_server:call({echo, '%s'}, Big, 30000)", g.Name())

	t.Run("strangers", func(t *testing.T) {
		// Another authority's node is refused in both directions, and so is one
		// without TLS, and one without a certificate.
		other := newAuthority(t)
		other.issue("stranger")
		stranger := startErl(t, erlOptions{args: other.erlArgs("stranger")})
		stranger.want(etf.Atom("pang"), "net_adm:ping('%s')", g.Name())
		if err := g.Ping(within(t), stranger.name); err == nil {
			t.Error("a stranger's certificate was accepted")
		}
		plain := startErl(t, erlOptions{})
		plain.want(etf.Atom("pang"), "net_adm:ping('%s')", g.Name())
		conn, err := tls.Dial("tcp", g.ListenAddr(), &tls.Config{RootCAs: ca.pool, ServerName: "127.0.0.1"})
		if err == nil {
			// With TLS 1.3 the refusal comes with the first read.
			_ = conn.SetDeadline(time.Now().Add(patience))
			_, err = conn.Read(make([]byte, 1))
			_ = conn.Close()
		}
		if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("without a certificate: %v", err)
		}
		if nodes := g.Nodes(); len(nodes) != 1 {
			t.Errorf("connected: %v", nodes)
		}
	})
}
