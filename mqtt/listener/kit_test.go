package listener

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"
)

// patience bounds every wait of these tests.
const patience = 20 * time.Second

// connectPacket is a minimal MQTT 3.1.1 CONNECT.
var connectPacket = []byte{0x10, 13, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 60, 0, 1, 'c'}

// publishPacket is a QoS 0 PUBLISH to t with n bytes of payload.
func publishPacket(n int) []byte {
	p := []byte{0x30}
	p = binary.AppendUvarint(p, uint64(n+3)) // the same encoding as Remaining Length
	p = append(p, 0, 1, 't')
	return append(p, bytes.Repeat([]byte{'x'}, n)...)
}

// testConfig is a listener on a free port of the loopback interface.
func testConfig(t Type) Config {
	conf := DefaultConfig(t, "test")
	conf.Bind = "127.0.0.1:0"
	return conf
}

// handler is what a test does with a connection in its own goroutine.
type handler func(c *Conn) error

// discard reads until the connection ends.
func discard(c *Conn) error {
	_, err := io.Copy(io.Discard, onlyReader{c})
	if err == nil {
		err = io.EOF
	}
	return err
}

type onlyReader struct{ io.Reader }

// start serves connections with h until the test ends.
func start(t testing.TB, conf Config, h handler) *Listener {
	t.Helper()
	l, err := New(conf, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Init(nil); err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		l.Serve(func(id string, nc net.Conn) error {
			if id != l.ID() {
				return errors.New("wrong listener id " + id)
			}
			return h(nc.(*Conn))
		})
	}()
	t.Cleanup(func() {
		l.Close(nil)
		await(t, served, "Serve to return")
	})
	return l
}

// dial connects to the listener.
func dial(t testing.TB, l *Listener) *net.TCPConn {
	t.Helper()
	nc, err := net.DialTimeout("tcp", l.Address(), patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	if err := nc.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return nc.(*net.TCPConn)
}

func send(t testing.TB, w io.Writer, p []byte) {
	t.Helper()
	if _, err := w.Write(p); err != nil {
		t.Fatal(err)
	}
}

// expect reads len(want) bytes and compares.
func expect(t testing.TB, r io.Reader, want []byte) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(r, got); err != nil {
		t.Fatalf("after %d of %d bytes: %v", n, len(want), err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("got %x, want %x", got, want)
	}
}

// expectEOF reads until the end of the stream, which must not be a reset.
func expectEOF(t testing.TB, r io.Reader) {
	t.Helper()
	if n, err := io.Copy(io.Discard, onlyReader{r}); err != nil || n != 0 {
		t.Fatalf("got %d bytes and %v, want the end of the stream", n, err)
	}
}

// await waits for ch to be closed or to receive.
func await[T any](t testing.TB, ch <-chan T, what string) (v T) {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case v = <-ch:
	case <-timer.C:
		t.Fatalf("timed out waiting for %s", what)
	}
	return v
}

// eventually polls until ok.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("timed out waiting until %s", what)
		}
	}
}

// shutdowns waits until n connections have ended for this reason.
func shutdowns(t testing.TB, l *Listener, reason string, n uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		count := l.Status().ShutdownCount
		if count[reason] == n {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("shutdown_count is %v, want %d of %s", count, n, reason)
		}
	}
}

// pair returns a connection that runs h, as the server sees it, and its peer.
func pair(t testing.TB, conf Config, h handler) (c *Conn, peer *net.TCPConn, l *Listener) {
	t.Helper()
	conns := make(chan *Conn, 1)
	var once sync.Once
	l = start(t, conf, func(c *Conn) error {
		once.Do(func() { conns <- c })
		return h(c)
	})
	peer = dial(t, l)
	return await(t, conns, "the connection"), peer, l
}
