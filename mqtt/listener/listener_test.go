package listener

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"ermine/actors/fault"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

func TestConnectionLimit(t *testing.T) {
	conf := testConfig(TCP)
	conf.MaxConnections = 2
	l := start(t, conf, discard)
	one, two := dial(t, l), dial(t, l)
	send(t, one, connectPacket)
	send(t, two, connectPacket)
	eventually(t, "two connections", func() bool { return l.Status().CurrentConns == 2 })
	expectEOF(t, dial(t, l)) // in order, no reset
	shutdowns(t, l, "max_connections", 1)
	one.Close()
	shutdowns(t, l, "tcp_closed", 1)
	three := dial(t, l)
	send(t, three, connectPacket)
	eventually(t, "there is room again", func() bool {
		s := l.Status()
		return s.CurrentConns == 2 && s.Accepted == 4
	})
	if s := l.Status(); s.MaxConns != 2 || !s.Running || !s.Enable {
		t.Errorf("status %+v", s)
	}
}

func TestConnectionRate(t *testing.T) {
	conf := testConfig(TCP)
	conf.MaxConnRate = 0.001 // one, and the next after a quarter of an hour
	l := start(t, conf, discard)
	dial(t, l)
	expectEOF(t, dial(t, l))
	shutdowns(t, l, "max_conn_rate", 1)
}

func TestAccessRulesRefuse(t *testing.T) {
	conf := testConfig(TCP)
	conf.AccessRules = []string{"deny 127.0.0.0/8", "allow all"}
	l := start(t, conf, discard)
	expectEOF(t, dial(t, l))
	shutdowns(t, l, "access_denied", 1)
}

func TestStopAndStart(t *testing.T) {
	l := start(t, testConfig(TCP), func(c *Conn) error {
		c.SetFinish(func(error) { _ = c.AppendBytes([]byte{0xe0, 2, 0x8b, 0}) })
		return discard(c)
	})
	addr := l.Address()
	peer := dial(t, l)
	send(t, peer, connectPacket)
	eventually(t, "the connection", func() bool { return l.Status().CurrentConns == 1 })
	if err := l.Start(); !errors.Is(err, ErrAlreadyRunning) {
		t.Errorf("start while running: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	stopped := make(chan error, 1)
	go func() { stopped <- l.Stop(ctx) }()
	expect(t, peer, []byte{0xe0, 2, 0x8b, 0})
	expectEOF(t, peer)
	peer.Close()
	if err := await(t, stopped, "Stop"); err != nil {
		t.Fatal(err)
	}
	if s := l.Status(); s.Running || s.CurrentConns != 0 || s.ShutdownCount["listener_stopped"] != 1 {
		t.Errorf("status %+v", s)
	}
	if _, err := net.Dial("tcp", addr); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dial a stopped listener: %v", err)
	}
	if err := l.Stop(ctx); !errors.Is(err, ErrNotRunning) {
		t.Errorf("stop twice: %v", err)
	}
	for range 3 {
		if err := l.Restart(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if l.Address() != addr {
		t.Errorf("came back on %s, was on %s", l.Address(), addr)
	}
	send(t, dial(t, l), connectPacket)
	eventually(t, "a connection after the restart", func() bool { return l.Status().CurrentConns == 1 })
}

func TestDrainKeepsConnections(t *testing.T) {
	l := start(t, testConfig(TCP), func(c *Conn) error {
		_, err := io.Copy(c, onlyReader{c})
		return err
	})
	peer := dial(t, l)
	send(t, peer, connectPacket)
	expect(t, peer, connectPacket)
	if err := l.Drain(); err != nil {
		t.Fatal(err)
	}
	if _, err := net.Dial("tcp", l.Address()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dial a drained listener: %v", err)
	}
	send(t, peer, publishPacket(4))
	expect(t, peer, publishPacket(4))
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := l.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("wait with a connection left: %v", err)
	}
	peer.Close()
	if err := l.Wait(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestStopAbortsWhoDoesNotLeave(t *testing.T) {
	conf := testConfig(TCP)
	release := make(chan struct{})
	c, _, l := pair(t, conf, func(*Conn) error {
		<-release // stuck above
		return nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	if err := c.AppendBytes([]byte{0}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("append after the abort: %v", err)
	}
	close(release)
	shutdowns(t, l, "listener_stopped", 1)
}

func TestSet(t *testing.T) {
	confs := []Config{testConfig(WS), testConfig(TCP), testConfig(TCP)}
	confs[1].Name, confs[2].Name = "zeta", "alpha"
	confs[2].Enable = false
	set, err := NewSet(confs, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := set.Listen(); err != nil {
		t.Fatal(err)
	}
	set.Serve(func(_ string, nc net.Conn) error { return discard(nc.(*Conn)) })
	t.Cleanup(func() { set.Close(nil) })
	running := func() string {
		var b strings.Builder
		for _, s := range set.Status() {
			fmt.Fprintf(&b, "%s %t %t; ", s.ID, s.Enable, s.Running)
		}
		return b.String()
	}
	want := "tcp:alpha false false; tcp:zeta true true; ws:test true true; "
	eventually(t, want, func() bool { return running() == want })
	if err := set.Start("tcp:alpha"); err != nil {
		t.Fatal(err)
	}
	alpha, err := set.Get("tcp:alpha")
	if err != nil {
		t.Fatal(err)
	}
	send(t, dial(t, alpha), connectPacket)
	eventually(t, "a connection", func() bool { return set.Connections() == 1 })
	if err := set.Stop(t.Context(), "tcp:alpha"); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		enable bool
		want   string
	}{{true, "tcp:alpha true true; "}, {true, "tcp:alpha true true; "}, {false, "tcp:alpha false false; "}, {false, "tcp:alpha false false; "}} {
		if err := set.Enable(t.Context(), "tcp:alpha", step.enable); err != nil {
			t.Fatal(err)
		}
		if got := running(); !strings.HasPrefix(got, step.want) {
			t.Errorf("enable %t: %s", step.enable, got)
		}
	}
	for _, err := range []error{
		set.Start("tcp:none"), set.Stop(t.Context(), "x"), set.Restart(t.Context(), ""), set.Enable(t.Context(), "ssl:x", true),
	} {
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("got %v", err)
		}
	}
	set.Drain()
	want = "tcp:alpha false false; tcp:zeta true false; ws:test true false; "
	if got := running(); got != want {
		t.Errorf("got %s", got)
	}
}

func TestSetListenIsAllOrNothing(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	confs := []Config{testConfig(TCP), testConfig(WS)}
	confs[1].Bind = taken.Addr().String()
	set, err := NewSet(confs, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := set.Listen(); !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "listeners.ws.test.bind") {
		t.Errorf("got %v", err)
	}
	l, _ := set.Get("tcp:test")
	if _, err := net.Dial("tcp", l.Address()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("the other listener is still open: %v", err)
	}
	if _, err := NewSet([]Config{confs[0], confs[0]}, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("two listeners of one name are accepted")
	}
}

func TestFaultPoints(t *testing.T) {
	l := start(t, testConfig(TCP), discard)
	disarm, err := fault.ArmText("listener.accept=panic times 2")
	if err != nil {
		t.Fatal(err)
	}
	defer disarm()
	send(t, dial(t, l), connectPacket) // the loop has passed the point already
	send(t, dial(t, l), connectPacket)
	eventually(t, "both are accepted in the end", func() bool { return l.Status().CurrentConns == 2 })
	if n := l.Status().AcceptErrors; n != 2 {
		t.Errorf("%d accept errors, want 2", n)
	}
	disarm, err = fault.ArmText("listener.conn=panic once")
	if err != nil {
		t.Fatal(err)
	}
	defer disarm()
	peer := dial(t, l)
	expectEOF(t, peer)
	shutdowns(t, l, "panic", 1)
	if n := l.Status().CurrentConns; n != 2 {
		t.Errorf("%d connections are left, want 2", n)
	}
}

// allowAll is a hook that lets everybody in.
type allowAll struct{ mochi.HookBase }

func (*allowAll) ID() string { return "allow-all" }

func (*allowAll) Provides(b byte) bool {
	return b == mochi.OnConnectAuthenticate || b == mochi.OnACLCheck
}

func (*allowAll) OnConnectAuthenticate(*mochi.Client, packets.Packet) bool { return true }

func (*allowAll) OnACLCheck(*mochi.Client, string, bool) bool { return true }

// A broker of mochi behind our listener: its decoder's panic must not end the
// process, and the input guard must be in front of it.
func TestBehindMochi(t *testing.T) {
	server := mochi.New(&mochi.Options{Logger: slog.New(slog.DiscardHandler), ClientNetReadBufferSize: 64})
	if err := server.AddHook(new(allowAll), nil); err != nil {
		t.Fatal(err)
	}
	l, err := New(testConfig(TCP), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := server.AddListener(l); err != nil {
		t.Fatal(err)
	}
	if err := server.Serve(); err != nil {
		t.Fatal(err)
	}
	connect5 := []byte{0x10, 14, 0, 4, 'M', 'Q', 'T', 'T', 5, 2, 0, 60, 0, 0, 1, 'c'}
	connack := make([]byte, 64)

	good := dial(t, l)
	send(t, good, connectPacket)
	expect(t, good, []byte{0x20, 2, 0, 0})

	bad := dial(t, l)
	connect5[len(connect5)-1] = 'd'
	send(t, bad, connect5)
	if n, err := bad.Read(connack); err != nil || connack[0] != 0x20 {
		t.Fatalf("got %x, %v", connack[:n], err)
	}
	send(t, bad, []byte{0x82, 6, 0, 1, 0, 0, 1, 'a'}) // SUBSCRIBE without options
	shutdowns(t, l, "malformed_packet", 1)

	send(t, good, []byte{0xc0, 0})
	expect(t, good, []byte{0xd0, 0})
	closed := make(chan error, 1)
	go func() { closed <- server.Close() }()
	if _, err := io.Copy(io.Discard, onlyReader{good}); err != nil {
		t.Errorf("the client saw %v", err)
	}
	good.Close()
	if err := await(t, closed, "mochi to close"); err != nil {
		t.Error(err)
	}
}

func TestSilentSocketsGoAway(t *testing.T) {
	const n = 2000
	conf := testConfig(TCP)
	conf.TCPOptions.Backlog = n
	conf.IdleTimeout = 3 * time.Second
	l := start(t, conf, discard)
	var before, during runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	peers := make([]*net.TCPConn, n)
	for i := range peers {
		peers[i] = dial(t, l)
		if i%2 == 0 {
			send(t, peers[i], []byte{0x10, 0xff, 0xff, 0x0f}) // 256 kB, it says
		}
	}
	eventually(t, "all are accepted", func() bool { return l.Status().Accepted == n })
	runtime.GC()
	runtime.ReadMemStats(&during)
	perConn := (int64(during.HeapAlloc+during.StackInuse) - int64(before.HeapAlloc+before.StackInuse)) / n
	t.Logf("%d bytes per silent connection, with the client's side of it", perConn)
	if perConn > 16<<10 {
		t.Errorf("a silent connection takes %d bytes", perConn)
	}
	shutdowns(t, l, "idle_timeout", n/2)
	shutdowns(t, l, "frame_too_large", n/2)
	expectEOF(t, peers[0])
}

// Out of file descriptors the listener waits and goes on. It runs in a process of
// its own, whose limit it lowers.
func TestOutOfFileDescriptors(t *testing.T) {
	if os.Getenv("LISTENER_TEST_EMFILE") == "" {
		ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
		defer cancel()
		cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestOutOfFileDescriptors$", "-test.v")
		cmd.Env = append(os.Environ(), "LISTENER_TEST_EMFILE=1")
		out, err := cmd.CombinedOutput()
		if err != nil || !bytes.Contains(out, []byte("PASS")) {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	l := start(t, testConfig(TCP), discard)
	warm := dial(t, l) // whatever is opened once is open now
	send(t, warm, connectPacket)
	eventually(t, "the first connection", func() bool { return l.Status().CurrentConns == 1 })

	// Raw sockets, made before the limit falls and connected after it.
	var fds []int
	for range 20 {
		fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
		if err != nil {
			t.Fatal(err)
		}
		fds = append(fds, fd)
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	lowered := limit
	lowered.Cur = uint64(fds[len(fds)-1] + 6) // room for a few
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &lowered); err != nil {
		t.Fatal(err)
	}
	addr := warm.RemoteAddr().(*net.TCPAddr)
	sa := &syscall.SockaddrInet4{Port: addr.Port}
	copy(sa.Addr[:], addr.IP.To4())
	for _, fd := range fds {
		if err := syscall.Connect(fd, sa); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "accepting fails", func() bool { return l.Status().AcceptErrors > 0 })
	if l.Status().Accepted > 20 {
		t.Fatal("the limit has no effect")
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all are accepted", func() bool { return l.Status().Accepted == 21 })
	for _, fd := range fds {
		if err := syscall.Close(fd); err != nil {
			t.Fatal(err)
		}
	}
	shutdowns(t, l, "tcp_closed", 20)
}

// A bind to an IPv4 address listens on no other family.
func TestFamily(t *testing.T) {
	for address, want := range map[string]string{
		"0.0.0.0:1883": "tcp4", "127.0.0.1:1": "tcp4", "[::]:1883": "tcp", "[::1]:1": "tcp", ":1883": "tcp", "localhost:1": "tcp",
	} {
		if got := family(address); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
}
