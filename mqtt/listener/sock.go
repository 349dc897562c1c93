package listener

import (
	"errors"
	"io"
	"math"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// epoch is the origin of the deadlines kept as integers; differences to it use
// the monotonic clock.
var epoch = time.Now()

// never is the deadline that does not come.
const never = math.MaxInt64

// sock is the bottom layer of every connection: the TCP socket, under TLS and
// WebSocket where those are used. It adds to the socket
//
//   - non-blocking writes (writeNow),
//   - reads that take a buffer only when there is something to read,
//   - a hook that runs when the input is drained, before a reader waits,
//   - read deadlines that may be moved for every packet at the cost of two atomic
//     operations,
//   - an end of reading that no later deadline undoes.
//
// Reads are done by one goroutine at a time, writes too.
type sock struct {
	tc *net.TCPConn
	rc syscall.RawConn

	// prefix was read from the socket before its time (behind a PROXY header) and
	// is read again first. Owned by the reader.
	prefix []byte

	// Read deadline. The runtime's timer is armed for armed; the deadline meant is
	// want >= armed. When the timer fires early, the reader arms it again, so that
	// a deadline that moves ahead with every packet costs one timer operation for
	// each keep-alive period. It is exact: never early, never late.
	want    atomic.Int64
	armed   atomic.Int64
	arm     sync.Mutex // orders changes of armed, the runtime's timer and stopped
	stopped bool       // reads are over for good

	// State of the read in progress; owned by the reader.
	rbuf    []byte
	rn      int
	rerr    error
	readFn  func(fd uintptr) bool
	acquire func() []byte // room for a read, where rbuf is nil
	drained func()        // called when there is nothing to read, before waiting

	// State of the non-blocking write in progress; owned by the writer.
	wbuf    []byte
	wn      int
	werr    error
	writeFn func(fd uintptr) bool
}

func newSock(tc *net.TCPConn) (*sock, error) {
	rc, err := tc.SyscallConn()
	if err != nil {
		return nil, err
	}
	s := &sock{tc: tc, rc: rc}
	s.want.Store(never)
	s.armed.Store(never)
	s.readFn = s.tryRead
	s.writeFn = s.tryWrite
	return s, nil
}

// tryRead is the callback of RawConn.Read: false makes it wait until the socket
// is readable.
func (s *sock) tryRead(fd uintptr) bool {
	p := s.rbuf
	if p == nil {
		p = s.acquire()
	}
	for {
		n, err := syscall.Read(int(fd), p)
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			if s.drained != nil {
				s.drained()
			}
			return false
		case err != nil:
			s.rn, s.rerr = 0, os.NewSyscallError("read", err)
		case n == 0:
			s.rn, s.rerr = 0, io.EOF
		default:
			s.rn, s.rerr = n, nil
		}
		return true
	}
}

// read reads once into p, or into what acquire returns if p is nil. It waits
// until there is something to read, the deadline has passed
// (os.ErrDeadlineExceeded) or reads have been stopped (net.ErrClosed).
func (s *sock) read(p []byte) (int, error) {
	for {
		s.rbuf = p
		err := s.rc.Read(s.readFn)
		s.rbuf = nil
		if err == nil {
			return s.rn, s.rerr
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return 0, err
		}
		if err := s.expired(); err != nil {
			return 0, err
		}
	}
}

// expired runs when the runtime's timer has fired. It returns nil after arming
// the timer again because the deadline has moved meanwhile.
func (s *sock) expired() error {
	s.arm.Lock()
	defer s.arm.Unlock()
	if s.stopped {
		return net.ErrClosed
	}
	want := s.want.Load()
	if int64(time.Since(epoch)) >= want {
		return os.ErrDeadlineExceeded
	}
	return s.armLocked(want)
}

func (s *sock) armLocked(deadline int64) error {
	s.armed.Store(deadline)
	if deadline == never {
		return s.tc.SetReadDeadline(time.Time{})
	}
	return s.tc.SetReadDeadline(epoch.Add(time.Duration(deadline)))
}

// Read implements net.Conn, for the layers above.
func (s *sock) Read(p []byte) (int, error) {
	if len(s.prefix) > 0 {
		n := copy(p, s.prefix)
		if s.prefix = s.prefix[n:]; len(s.prefix) == 0 {
			s.prefix = nil
		}
		return n, nil
	}
	if len(p) == 0 {
		return 0, nil
	}
	return s.read(p)
}

// SetReadDeadline moves the read deadline. A later deadline is only noted; an
// earlier one takes effect at once. It may be called from any goroutine.
func (s *sock) SetReadDeadline(t time.Time) error {
	want := int64(never)
	if !t.IsZero() {
		want = int64(t.Sub(epoch))
	}
	s.want.Store(want)
	if want >= s.armed.Load() {
		return nil
	}
	s.arm.Lock()
	defer s.arm.Unlock()
	if s.stopped {
		return nil
	}
	if want = s.want.Load(); want >= s.armed.Load() {
		return nil
	}
	return s.armLocked(want)
}

// postpone moves the read deadline, if there is one, by d.
func (s *sock) postpone(d time.Duration) {
	for {
		want := s.want.Load()
		if want == never || s.want.CompareAndSwap(want, want+int64(d)) {
			return
		}
	}
}

// stopReads ends the read in progress and every later one with net.ErrClosed.
func (s *sock) stopReads() {
	s.arm.Lock()
	defer s.arm.Unlock()
	s.stopped = true
	_ = s.tc.SetReadDeadline(epoch) // fails only where the socket is closed already
}

// tryWrite is the callback of RawConn.Write. It always returns true, so that
// RawConn.Write never waits.
func (s *sock) tryWrite(fd uintptr) bool {
	for {
		n, err := syscall.Write(int(fd), s.wbuf)
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			s.wn, s.werr = 0, nil
		case err != nil:
			s.wn, s.werr = 0, os.NewSyscallError("write", err)
		default:
			s.wn, s.werr = n, nil
		}
		return true
	}
}

// writeNow writes as much of p as the socket takes at once, possibly nothing.
func (s *sock) writeNow(p []byte) (int, error) {
	s.wbuf = p
	err := s.rc.Write(s.writeFn)
	s.wbuf = nil
	if err != nil {
		return 0, err
	}
	return s.wn, s.werr
}

// Write implements net.Conn: it blocks until all is written or the write
// deadline has passed.
func (s *sock) Write(p []byte) (int, error) { return s.tc.Write(p) }

// SetDeadline implements net.Conn.
func (s *sock) SetDeadline(t time.Time) error {
	if err := s.SetReadDeadline(t); err != nil {
		return err
	}
	return s.tc.SetWriteDeadline(t)
}

// SetWriteDeadline implements net.Conn.
func (s *sock) SetWriteDeadline(t time.Time) error { return s.tc.SetWriteDeadline(t) }

// Close closes the socket. Only the connection's own goroutine calls it, never
// from within a read: closing waits for the read in progress.
func (s *sock) Close() error { return s.tc.Close() }

// LocalAddr implements net.Conn.
func (s *sock) LocalAddr() net.Addr { return s.tc.LocalAddr() }

// RemoteAddr implements net.Conn.
func (s *sock) RemoteAddr() net.Addr { return s.tc.RemoteAddr() }
