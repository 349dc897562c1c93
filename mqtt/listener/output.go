package listener

import (
	"errors"
	"fmt"
	"net"
	"time"
)

// Append adds to the output what fn appends to the slice it is given, and returns
// fn's result; nothing is sent before Flush. fn runs under the connection's lock:
// it must only encode. Append never blocks. It fails with net.ErrClosed when the
// connection is over, and with ErrOutputOverflow when more than the hard limit is
// pending already, which also aborts the connection; fn is not called then.
func (c *Conn) Append(fn func(buf []byte) []byte) error {
	if err := c.append(fn, nil); err != nil {
		return c.appendFailed(err)
	}
	return nil
}

// AppendBytes is Append for bytes that are encoded already. p is copied.
func (c *Conn) AppendBytes(p []byte) error {
	if err := c.append(nil, p); err != nil {
		return c.appendFailed(err)
	}
	return nil
}

// Write is AppendBytes and Flush, for mochi, which expects what it writes to
// leave. It never blocks, and never writes less than len(p) without an error.
func (c *Conn) Write(p []byte) (int, error) {
	if err := c.AppendBytes(p); err != nil {
		return 0, err
	}
	c.Flush()
	return len(p), nil
}

func (c *Conn) append(fn func(buf []byte) []byte, p []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.outErr != nil {
		return c.outErr
	}
	if c.opts.hard > 0 && c.buffered.Load() > c.opts.hard {
		return ErrOutputOverflow
	}
	if c.pend == nil {
		c.pend = getBuffer(max(bufferSizes[c.outClass], len(p)))
	}
	before := len(c.pend.b)
	if fn != nil {
		c.pend.b = fn(c.pend.b)
	} else {
		c.pend.b = append(c.pend.b, p...)
	}
	// The bytes just added are still in pend, so a later write is going to end this
	// congestion even if the one in progress has just emptied the rest.
	if added := len(c.pend.b) - before; added > 0 && c.buffered.Add(int64(added)) > c.opts.high {
		c.congested.Store(true)
	}
	return nil
}

// appendFailed aborts the connection where the output has overflowed.
func (c *Conn) appendFailed(err error) error {
	if errors.Is(err, ErrOutputOverflow) {
		c.Abort(err)
	}
	return err
}

// Buffered is the number of bytes that are appended but not yet taken by the
// socket.
func (c *Conn) Buffered() int { return int(c.buffered.Load()) }

// Writable reports that the pending output has not passed the high watermark
// since it last was at the low one. While it is false, a session keeps messages in
// its own queue and waits for OnWritable.
func (c *Conn) Writable() bool { return !c.congested.Load() }

// Flush sends what has been appended, without blocking: on plain TCP what the
// socket takes in one system call leaves at once; the rest, and everything on TLS
// and WebSocket, is left to a writer goroutine that ends when nothing is pending.
// While somebody else is writing, Flush returns at once and that writer takes the
// new output along.
func (c *Conn) Flush() {
	c.mu.Lock()
	if c.busy {
		c.again = true
		c.mu.Unlock()
		return
	}
	if c.pend == nil || c.aborted {
		c.mu.Unlock()
		return
	}
	out := c.takeLocked()
	if c.link.write != nil {
		c.mu.Unlock()
		go c.drain(out, 0)
		return
	}
	// Two rounds at most: another appender must not keep this goroutine here.
	for round := 0; ; round++ {
		c.mu.Unlock()
		n, err := c.sock.writeNow(out.b)
		if n > 0 {
			c.bytesOut.Add(uint64(n))
		}
		if err != nil {
			c.buffered.Add(-int64(n))
			c.writeFailed(out, n, err)
			return
		}
		if n < len(out.b) {
			c.wrote(n)
			go c.drain(out, n)
			return
		}
		putBuffer(out)
		c.wrote(n)
		c.mu.Lock()
		if c.pend == nil || !c.again || c.aborted {
			c.idleLocked()
			c.mu.Unlock()
			return
		}
		out = c.takeLocked()
		if round == 1 {
			c.mu.Unlock()
			go c.drain(out, 0)
			return
		}
	}
}

// takeLocked makes the caller the writer of what is pending.
func (c *Conn) takeLocked() *buffer {
	out := c.pend
	c.pend, c.busy, c.again = nil, true, false
	c.outClass = uint8(min(sizeClass(len(out.b)), sizeClass(readSizeBig)))
	return out
}

// idleLocked ends the caller's time as writer.
func (c *Conn) idleLocked() {
	c.busy, c.again = false, false
	if c.drainedCh != nil {
		close(c.drainedCh)
		c.drainedCh = nil
	}
}

func (c *Conn) dropPendLocked() {
	if c.pend != nil {
		c.buffered.Add(-int64(len(c.pend.b)))
		putBuffer(c.pend)
		c.pend = nil
	}
}

// wrote counts n bytes as gone, and calls OnWritable where that is the end of a
// congestion.
func (c *Conn) wrote(n int) {
	left := c.buffered.Add(-int64(n))
	if left > c.opts.low || !c.congested.Load() {
		return
	}
	c.mu.Lock()
	ended := c.buffered.Load() <= c.opts.low && c.congested.Swap(false) && !c.aborted
	fn := c.onWritable
	c.mu.Unlock()
	if ended && fn != nil {
		fn()
	}
}

// drain is the writer goroutine: it writes out.b[from:], then whatever has been
// appended meanwhile, and ends when nothing is left.
func (c *Conn) drain(out *buffer, from int) {
	for {
		for from < len(out.b) {
			p := out.b[from:]
			if c.link.next != nil {
				p = p[:c.link.next(p)]
			} else {
				p = p[:min(len(p), writeChunk)]
			}
			n, err := c.writeBlocking(p)
			if n > 0 {
				c.bytesOut.Add(uint64(n))
			}
			from += n
			if err != nil {
				c.buffered.Add(-int64(n))
				c.writeFailed(out, from, err)
				return
			}
			c.wrote(n)
		}
		putBuffer(out)

		c.mu.Lock()
		if c.pend == nil || c.aborted {
			// The next Flush writes without a deadline: an old one must not stop it.
			// Under the lock, since from here on somebody else may be the writer.
			if !c.aborted {
				_ = c.sock.tc.SetWriteDeadline(time.Time{})
			}
			c.idleLocked()
			c.mu.Unlock()
			return
		}
		out, from = c.takeLocked(), 0
		c.mu.Unlock()
	}
}

// writeBlocking writes p within send_timeout.
func (c *Conn) writeBlocking(p []byte) (int, error) {
	var deadline time.Time
	if c.opts.sendTimeout > 0 {
		deadline = time.Now().Add(c.opts.sendTimeout)
	}
	c.mu.Lock()
	if c.aborted { // Abort has set a deadline in the past, which must stay
		c.mu.Unlock()
		return 0, net.ErrClosed
	}
	err := c.sock.tc.SetWriteDeadline(deadline)
	c.mu.Unlock()
	if err != nil {
		return 0, err
	}
	if c.link.write == nil {
		return c.sock.tc.Write(p)
	}
	if err := c.link.write(p, deadline); err != nil {
		return 0, err
	}
	return len(p), nil
}

// writeFailed ends the caller's time as writer of out, of which from bytes have
// gone, and aborts the connection.
func (c *Conn) writeFailed(out *buffer, from int, err error) {
	var ne net.Error
	if errors.As(err, &ne) && ne.Timeout() {
		err = ErrSendTimeout
	} else if !errors.Is(err, net.ErrClosed) {
		err = fmt.Errorf("write to client: %w", err)
	}
	c.Abort(err)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.buffered.Add(-int64(len(out.b) - from))
	c.dropPendLocked()
	putBuffer(out)
	c.idleLocked()
}
