package hook_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ermine/mqtt/listener"
	"ermine/mqtt/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// FuzzConnection sends bytes behind a CONNECT. Whatever they are, the answer is
// a sequence of whole packets, a DISCONNECT comes last if it comes, and the
// session is closed once, by this connection alone.
func FuzzConnection(f *testing.F) {
	for _, b := range [][]byte{
		unhex("c000 e000"),
		publishPacket(4, 0x32, "a", 1, "", "x"),
		publishPacket(5, 0x34, "a", 1, "01 01 23 0001", "x"),
		publishPacket(5, 0x30, "$delayed/1/a", 0, "", ""),
		subscribePacket(5, 1, "0b 01", "$share/g/a/#", 1, "+", 0x2e),
		subscribePacket(4, 1, "", "a", 2),
		unhex("a2 06 0001 00 0001 61"),
		unhex("40 02 0001 50 03 0001 80 62 02 0001 70 02 0001"),
		unhex("e0 07 00 05 11 00000001"),
		connectPacket{version: 5, id: "c"}.bytes(),
		unhex("82 06 0001 00 0001 61"),
	} {
		f.Add(byte(4), b)
		f.Add(byte(5), b)
	}
	w := newWorld(f, func(w *world, l *listener.Config) {
		w.access.denied = map[string]bool{"b": true}
		w.zone.Strict = true
		l.LingerTimeout = 50 * time.Millisecond
	})
	w.broker.onOpen = func(s *fakeSession) { s.events = make(chan event, 1<<16) }
	f.Fuzz(func(t *testing.T, version byte, b []byte) {
		version = 4 + version%2
		if len(b) > 1<<16 {
			t.Skip("more than a session of this test records")
		}
		nc, err := net.DialTimeout("tcp", w.address, patience)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		_ = nc.SetDeadline(time.Now().Add(patience))
		// The peer may have closed already.
		_, _ = nc.Write(append(connectPacket{version: version, id: "c", clean: true}.bytes(), b...))
		_ = nc.(*net.TCPConn).CloseWrite()
		answer, err := io.ReadAll(nc)
		if err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Fatalf("read: %v", err)
		}
		c := &client{t, &replay{Reader: bytes.NewReader(answer)}}
		last := byte(0)
		for i := 0; ; i++ {
			p, err := c.read()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("answer %x is cut: %v", answer, err)
			}
			if i == 0 && p[0] != 0x20 || last == 0xe0 || version == 4 && p[0] == 0xe0 {
				t.Fatalf("packet %d is %x in %x", i, p, answer)
			}
			if last = p[0]; last == 0xe0 && wire.Reason(p[2]) == "" {
				t.Fatalf("disconnect %x", p)
			}
		}
		s := <-w.broker.opened
		for closed := false; !closed; {
			select {
			case e := <-s.events:
				closed = e.call == "close"
				if closed && e.cause.Reason == "panic" {
					t.Fatalf("panic after %x", b)
				}
			case <-time.After(patience):
				t.Fatal("the session was not told of the end")
			}
		}
		if len(s.events) > 0 {
			t.Fatalf("after the end: %+v", <-s.events)
		}
	})
}

// replay is a net.Conn that reads from memory.
type replay struct {
	net.Conn
	io.Reader
}

func (r *replay) Read(p []byte) (int, error) { return r.Reader.Read(p) }
