package console

import (
	"bytes"
	"fmt"
	"io"
	"sync"
)

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
