package console

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"time"
)

const (
	// collectSize and collectTime bound what a collector holds back.
	collectSize = 16 << 10
	collectTime = 20 * time.Millisecond
)

// collector joins the small writes of a command into larger ones, and passes on
// what there is after collectTime, for commands that go on without a word.
type collector struct {
	mu    sync.Mutex
	w     io.Writer
	buf   []byte
	err   error
	timer *time.Timer // nil when nothing is held back
}

func newCollector(w io.Writer) *collector { return &collector{w: w} }

// Write implements io.Writer. It fails with the error of an earlier write.
func (c *collector) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return 0, c.err
	}
	c.buf = append(c.buf, p...)
	switch {
	case len(c.buf) >= collectSize:
		c.pass()
	case c.timer == nil:
		c.timer = time.AfterFunc(collectTime, func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.pass()
		})
	}
	return len(p), c.err
}

// pass writes what is held back; c.mu is held.
func (c *collector) pass() {
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
	for len(c.buf) > 0 && c.err == nil {
		n := min(len(c.buf), collectSize)
		_, c.err = c.w.Write(c.buf[:n:n])
		c.buf = c.buf[n:]
	}
	c.buf = nil
}

// Close passes on the rest. It returns the first error of a write.
func (c *collector) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pass()
	return c.err
}

// gate is an output that can be shut: an interrupted command prints no more.
type gate struct {
	mu     sync.Mutex
	w      io.Writer
	closed bool
}

// Write implements io.Writer; it fails with ErrInterrupt once the gate is shut.
func (g *gate) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return 0, ErrInterrupt
	}
	return g.w.Write(p)
}

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
}

// limited keeps the first watchLimit bytes.
type limited struct {
	bytes.Buffer
}

// Write implements io.Writer; beyond the limit it fails, which ends the command.
func (l *limited) Write(p []byte) (int, error) {
	if l.Len()+len(p) > watchLimit {
		n, _ := l.Buffer.Write(p[:watchLimit-l.Len()])
		return n, fmt.Errorf("more than %d bytes: %w", watchLimit, io.ErrShortWrite)
	}
	return l.Buffer.Write(p)
}
