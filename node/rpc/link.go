package rpc

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

const (
	// readBuffer is what a connection that has something to read reads into; an
	// idle one has idleBuffer.
	readBuffer = 128 << 10
	idleBuffer = 4 << 10
	// keepBuffer bounds what is kept after a large frame.
	keepBuffer = 1 << 20
	// writePiece is the most that one write deadline is for, so that a slow but
	// living connection gets a large message through.
	writePiece = 256 << 10
	// maxBeat is the longest time between signs of life.
	maxBeat = time.Second
)

// link is a connection past the handshake: frames in and out, silence noticed
// on the way in and standstill on the way out. One goroutine reads; writers
// take turns.
type link struct {
	conn     net.Conn
	silence  time.Duration
	timeout  time.Duration // of a write
	maxFrame int

	deadline time.Time // of the read under way
	buf      []byte
	r, w     int // buf[r:w] is not read yet

	closing sync.Once
	cause   error         // why it was closed, set before closed is
	closed  chan struct{} // closed when the link is
}

func newLink(conn net.Conn, silence, timeout time.Duration, maxFrame int) *link {
	return &link{conn: conn, silence: silence, timeout: timeout, maxFrame: maxFrame, closed: make(chan struct{})}
}

// beatEvery is the time between signs of life. It does not grow with Silence, so
// that nodes with different settings get along.
func (l *link) beatEvery() time.Duration { return min(l.silence/4, maxBeat) }

// close closes the link for the first reason given; any goroutine may call it.
func (l *link) close(cause error) {
	l.closing.Do(func() {
		l.cause = cause
		close(l.closed)
		l.conn.Close()
	})
}

// next reads a frame. The body is valid until the next call. An error has
// closed the link.
func (l *link) next() (header, []byte, error) {
	h, body, err := l.read()
	if err != nil {
		l.close(err)
		return h, nil, l.cause
	}
	return h, body, nil
}

func (l *link) read() (h header, body []byte, err error) {
	if l.r == l.w {
		l.r, l.w = 0, 0
		if len(l.buf) > keepBuffer {
			l.buf = nil
		}
	}
	if err := l.fill(headerSize); err != nil {
		return h, nil, err
	}
	n, err := frameLen(l.buf[l.r:], l.maxFrame)
	if err != nil {
		return h, nil, err
	}
	if err := l.fill(n); err != nil {
		return h, nil, err
	}
	frame := l.buf[l.r : l.r+n]
	l.r += n
	return parseFrame(frame)
}

// fill reads until n bytes are there. Room grows with what has arrived, not
// with what a length claims.
func (l *link) fill(n int) error {
	for l.w-l.r < n {
		if l.w == len(l.buf) {
			l.room()
		}
		// Reads are many and deadlines cost: one lasts for a quarter of the time.
		if now := time.Now(); l.deadline.Sub(now) < l.silence/4*3 {
			l.deadline = now.Add(l.silence)
			l.conn.SetReadDeadline(l.deadline)
		}
		got, err := l.conn.Read(l.buf[l.w:])
		l.w += got
		switch {
		case got > 0:
		case errors.Is(err, os.ErrDeadlineExceeded):
			return fmt.Errorf("%w for %v", ErrSilent, l.silence)
		case err == nil:
			return io.ErrNoProgress
		default:
			return err
		}
	}
	return nil
}

// room makes room behind buf[:w], which is full.
func (l *link) room() {
	if l.r > 0 && l.r >= len(l.buf)/2 {
		l.w = copy(l.buf, l.buf[l.r:l.w])
		l.r = 0
		return
	}
	size := idleBuffer
	switch {
	case len(l.buf) >= readBuffer:
		size = 2 * len(l.buf)
	case len(l.buf) > 0:
		size = readBuffer
	}
	buf := make([]byte, size)
	l.w = copy(buf, l.buf[l.r:l.w])
	l.r, l.buf = 0, buf
}

// write writes b, all of it or the link is closed. It blocks for as long as the
// peer reads some of it within each timeout.
func (l *link) write(b []byte) error {
	for len(b) > 0 {
		n := min(len(b), writePiece)
		l.conn.SetWriteDeadline(time.Now().Add(l.timeout))
		n, err := l.conn.Write(b[:n])
		if err != nil && (n == 0 || !errors.Is(err, os.ErrDeadlineExceeded)) {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				err = fmt.Errorf("%w: took nothing for %v", ErrSilent, l.timeout)
			}
			l.close(err)
			return l.cause
		}
		b = b[n:]
	}
	return nil
}
