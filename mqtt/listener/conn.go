package listener

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Conn is one accepted connection with its handshakes behind it. It implements
// net.Conn for mochi; the hook and the session use the rest.
//
// Read, and the setters that say so, belong to the connection's own goroutine,
// in which mochi and the hook's callbacks run. Everything else may be called
// from any goroutine and never blocks.
type Conn struct {
	sock *sock
	info *Info
	opts *connOptions
	link link // TLS or WebSocket on top of the socket; zero for plain TCP

	// Input, owned by the reader. in.b[inRead:inWhole] are whole packets not yet
	// handed out, in.b[inWhole:] is the beginning of the next. in is nil while the
	// connection is idle.
	in           *buffer
	inRead       int
	inWhole      int
	inBig        bool  // the last read filled its buffer: use a larger one
	inErr        error // what Read returns when the whole packets are handed out
	sinceDrained int
	scan         scanner
	limiter      *limiter

	bytesIn, bytesOut, packetsIn, publishesIn atomic.Uint64

	beforeRead atomic.Pointer[func()]
	closing    atomic.Bool  // reading is over
	buffered   atomic.Int64 // bytes appended and not yet taken by the socket
	congested  atomic.Bool  // above the high watermark, not yet below the low one

	mu         sync.Mutex
	pend       *buffer // appended, not yet taken by a writer
	outClass   uint8   // where pend starts next time
	busy       bool    // somebody writes to the socket
	again      bool    // a Flush came while busy
	outErr     error   // appending is over
	aborted    bool
	reason     error
	onWritable func()
	onClosed   func(error)
	finishFn   func(error)
	drainedCh  chan struct{} // closed when busy ends; set by finish only
}

// link is what lies between the socket and the MQTT bytes.
type link struct {
	reader io.Reader
	// write sends p, blocking until deadline; the zero time is none.
	write func(p []byte, deadline time.Time) error
	// next returns the length of the piece of p to send with one write.
	next func(p []byte) int
	// bye says good-bye in the protocol of the link, after the last output.
	bye func()
}

// connOptions are a listener's settings, shared by its connections.
type connOptions struct {
	high, low, hard int64
	sendTimeout     time.Duration
	flushTimeout    time.Duration
	lingerTimeout   time.Duration
	maxPacket       uint32
	maxConnect      uint32
	idleDeadline    time.Duration // read deadline in place of "none"; 0 is none
	limits          *limits
}

const (
	// writeChunk is how much a blocking write is given at a time: send_timeout
	// runs anew for each.
	writeChunk = 32 << 10

	// maxInputSinceDrained is how much input is read at most between two calls of
	// BeforeRead.
	maxInputSinceDrained = 32 << 10
)

func newConn(s *sock, info *Info, opts *connOptions) *Conn {
	c := &Conn{sock: s, info: info, opts: opts}
	c.scan.max, c.scan.maxConnect = opts.maxPacket, opts.maxConnect
	if opts.limits != nil {
		c.limiter = newLimiter(opts.limits)
	}
	return c
}

// Info describes the connection. It does not change after the handshakes.
func (c *Conn) Info() *Info { return c.info }

// LocalAddr is the address the client connected to, as the PROXY header says if
// there is one.
func (c *Conn) LocalAddr() net.Addr {
	if c.info.local != nil {
		return c.info.local
	}
	return c.sock.LocalAddr()
}

// RemoteAddr is the client's address: from the PROXY header or the forwarding
// headers of a WebSocket request where those are in use, else the socket's.
func (c *Conn) RemoteAddr() net.Addr {
	if c.info.remote != nil {
		return c.info.remote
	}
	return c.sock.RemoteAddr()
}

// BytesIn is the number of MQTT bytes read so far.
func (c *Conn) BytesIn() uint64 { return c.bytesIn.Load() }

// BytesOut is the number of MQTT bytes that the socket, or the TLS or WebSocket
// layer, has taken so far.
func (c *Conn) BytesOut() uint64 { return c.bytesOut.Load() }

// PacketsIn is the number of complete packets read so far, those not yet handed
// to the decoder included.
func (c *Conn) PacketsIn() uint64 { return c.packetsIn.Load() }

// PublishesIn is the same for PUBLISH packets.
func (c *Conn) PublishesIn() uint64 { return c.publishesIn.Load() }

// SetDeadline sets the read deadline; the zero time means none. Writes have
// send_timeout instead, so that mochi's renewal of the deadline for every packet
// it reads does not touch them. It costs two atomic operations when the deadline
// moves ahead; the deadline is exact all the same.
func (c *Conn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

// SetReadDeadline does the same as SetDeadline.
func (c *Conn) SetReadDeadline(t time.Time) error {
	if t.IsZero() && c.opts.idleDeadline > 0 {
		t = time.Now().Add(c.opts.idleDeadline)
	}
	return c.sock.SetReadDeadline(t)
}

// SetWriteDeadline does nothing: send_timeout bounds every write.
func (c *Conn) SetWriteDeadline(time.Time) error { return nil }

// SetMaxPacketSize changes the limit for the packets that follow, fixed header
// included; 0 is no limit. Only the connection's own goroutine may call it, e.g.
// when CONNECT has chosen the zone.
func (c *Conn) SetMaxPacketSize(n uint32) { c.scan.max = n }

// SetBeforeRead sets the function that Read calls when the input is drained,
// before it waits for more, and at the latest after every 32 KiB of input. It is
// the place to flush acknowledgements. fn runs in the connection's goroutine and
// must not block; it may call everything of Conn but Read.
func (c *Conn) SetBeforeRead(fn func()) {
	if fn == nil {
		c.beforeRead.Store(nil)
		return
	}
	c.beforeRead.Store(&fn)
}

// SetOnWritable sets the function that is called each time the pending output,
// after it had passed the high watermark, has fallen to the low one. It is called
// by whichever goroutine wrote, without locks held, and must not block. When the
// connection is above the mark already, fn is called for this time too.
func (c *Conn) SetOnWritable(fn func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.onWritable = fn
}

// SetFinish sets the function that is called in the connection's goroutine when
// the establish function has returned err (or has panicked: *PanicError), before
// pending output is flushed for the last time. Nothing is read after it, so it is
// where the session learns that the connection has ended, and the last chance to
// Append, e.g. a DISCONNECT with a reason code. It may block shortly; the socket
// stays open meanwhile. CloseReason says who ended the connection.
func (c *Conn) SetFinish(fn func(err error)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.finishFn = fn
}

// SetOnClosed sets the function that is called exactly once, when the socket has
// been closed, with the reason (nil for a normal end). It comes after Finish, and
// after up to flush and linger timeouts for a peer that does not react: whoever
// only waits for the end of input should wait for Finish.
func (c *Conn) SetOnClosed(fn func(reason error)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.onClosed = fn
}

// Close ends reading: the Read in progress and all later ones fail with
// net.ErrClosed, so that the establish function returns. Pending output is still
// flushed before the socket is closed, see SetFinish.
func (c *Conn) Close() error {
	c.stop(nil, false)
	return nil
}

// CloseWith is Close with a reason, which ends up in shutdown_count, OnClosed and
// CloseReason. The first reason counts.
func (c *Conn) CloseWith(reason error) { c.stop(reason, false) }

// Abort ends the connection at once: pending output is discarded, reads and
// writes fail, the peer sees the end. Finish and OnClosed still follow, from the
// connection's own goroutine. The first reason counts.
func (c *Conn) Abort(reason error) { c.stop(reason, true) }

// CloseReason is what CloseWith or Abort was called with first, nil if neither
// was.
func (c *Conn) CloseReason() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reason
}

// Closing reports that reading is over, whoever ended it.
func (c *Conn) Closing() bool { return c.closing.Load() }

func (c *Conn) stop(reason error, abort bool) {
	c.mu.Lock()
	if c.reason == nil {
		c.reason = reason
	}
	first := abort && !c.aborted
	if first {
		c.aborted = true
		if c.outErr == nil {
			c.outErr = net.ErrClosed
		}
		c.dropPendLocked()
	}
	c.mu.Unlock()

	if !c.closing.Swap(true) || first {
		c.sock.stopReads()
		if c.limiter != nil {
			c.limiter.interrupt()
		}
	}
	if first {
		// The socket itself is closed by the connection's goroutine: here it could
		// be in use by the caller's caller. These only tell the peer, and end a write
		// in progress.
		_ = c.sock.tc.SetLinger(0)
		_ = c.sock.tc.CloseRead()
		_ = c.sock.tc.CloseWrite()
		_ = c.sock.tc.SetWriteDeadline(epoch)
	}
}

// finish runs in the connection's goroutine after the establish function. It
// closes the socket and returns the reason of the end.
func (c *Conn) finish(err error) (reason error) {
	c.stop(nil, false)

	c.mu.Lock()
	fn := c.finishFn
	c.mu.Unlock()
	if fn != nil {
		fn(err)
	}

	flushed := c.flushLast()
	c.releaseInput()
	if flushed {
		c.goodbye()
	}
	_ = c.sock.Close() // the peer may have gone first; there is nobody to tell

	c.mu.Lock()
	reason = c.reason
	onClosed := c.onClosed
	c.mu.Unlock()
	if reason == nil {
		reason = err
	}
	if errors.Is(reason, net.ErrClosed) {
		reason = nil
	}
	if onClosed != nil {
		onClosed(reason)
	}
	return reason
}

// finishUnopened closes the socket of a connection whose handshakes have failed.
func (c *Conn) finishUnopened(err error) (reason error) {
	c.stop(err, false)
	tc := c.sock.tc
	_ = tc.CloseWrite()
	_ = tc.Close()
	return c.CloseReason()
}

// flushLast ends appending and waits until the socket has taken what is pending,
// for flushTimeout at most. It reports whether all has gone out.
func (c *Conn) flushLast() bool {
	c.mu.Lock()
	if c.outErr == nil {
		c.outErr = net.ErrClosed
	}
	c.mu.Unlock()
	c.Flush()

	c.mu.Lock()
	if !c.busy {
		ok := !c.aborted && c.pend == nil
		c.dropPendLocked()
		c.mu.Unlock()
		return ok
	}
	c.again = true // whoever is writing takes the rest along
	done := make(chan struct{})
	c.drainedCh = done
	c.mu.Unlock()

	timer := time.NewTimer(c.opts.flushTimeout)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		c.stop(ErrSendTimeout, true)
		<-done // the write in progress ends at once now
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropPendLocked()
	return !c.aborted
}

// goodbye closes in an order that lets the peer read the last output: end of
// output first, then whatever it still sends is read and discarded until it
// closes too. Closing with unread input would make the kernel reset the
// connection, and the peer might lose the DISCONNECT.
func (c *Conn) goodbye() {
	if c.link.bye != nil {
		c.link.bye()
	}
	tc := c.sock.tc
	if errors.Is(c.inErr, io.EOF) || tc.CloseWrite() != nil {
		return
	}
	c.sock.arm.Lock() // stopReads has set a deadline in the past
	err := tc.SetReadDeadline(time.Now().Add(c.opts.lingerTimeout))
	c.sock.arm.Unlock()
	if err != nil {
		return
	}
	buf := getBuffer(bufferSizes[0])
	defer putBuffer(buf)
	for range 128 {
		if _, err := tc.Read(buf.b[:cap(buf.b)]); err != nil {
			return
		}
	}
}
