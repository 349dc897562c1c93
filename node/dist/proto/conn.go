package proto

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"ermine/node/dist/etf"
	"ermine/node/dist/handshake"
)

// Defaults of Config.
const (
	DefaultTickTime   = 60 * time.Second
	DefaultMaxMessage = 256 << 20
	DefaultMaxQueue   = 8 << 20

	// lingerTime is how long a deferred signal may wait for company.
	lingerTime = time.Millisecond

	// A connection is given up when more than hardQueue times MaxQueue plus
	// MaxMessage wait that must not be lost.
	hardQueue = 4
)

// Config describes one connection.
type Config struct {
	// Conn is the connection, past its handshake. The Conn owns it.
	Conn net.Conn

	// Name and Peer are the node names of the two ends.
	Name, Peer string

	// Flags are the capabilities of both nodes.
	Flags handshake.Flags

	// TickTime is the net tick time: how long the peer may be silent. 0 is 60
	// seconds. All nodes of a cluster should have the same.
	TickTime time.Duration

	// MaxMessage bounds one message in either direction, in bytes of the
	// external format; 0 is 256 MiB.
	MaxMessage int

	// MaxQueue bounds the output that waits for the peer, in bytes; 0 is 8 MiB.
	// One message of any size is taken whenever less than that waits.
	MaxQueue int

	// Limits bound the terms of one message; MaxBytes is set to MaxMessage.
	Limits etf.Limits

	// Logger must not be nil.
	Logger *slog.Logger
}

// Stats are the counters of a connection.
type Stats struct {
	MessagesIn, MessagesOut uint64
	BytesIn, BytesOut       uint64
	TicksIn, TicksOut       uint64

	// Queued is the number of bytes that wait for the peer.
	Queued int
}

// Conn is a connection between two nodes. All methods are safe for concurrent
// use.
type Conn struct {
	cfg     Config
	encoder encoder
	yield   bool // the reader's; see Yield
	started atomic.Bool

	// The output queue. wake holds a token when the writer has something to
	// do, room one when a waiting Send may look again.
	mu      sync.Mutex
	queue   []*packet
	queued  int // bytes in queue and in the writer's hands
	must    int // those of them that are never refused
	waiting int // Sends that wait for room
	closing bool
	last    error // the reason that Close gave
	reason  error

	// idle is set while the queue holds nothing but deferred signals, which the
	// writer has not been told of; linger tells it when they have waited.
	idle   bool
	linger *time.Timer

	wake    chan struct{}
	room    chan struct{}
	done    chan struct{} // closed when the connection has ended
	flushed chan struct{} // closed when the writer has ended

	messagesIn, messagesOut atomic.Uint64
	bytesIn, bytesOut       atomic.Uint64
	ticksIn, ticksOut       atomic.Uint64

	// Activity since it was last looked at, for ticks. lastRead is in
	// nanoseconds since epoch.
	epoch        time.Time
	lastRead     atomic.Int64
	handling     atomic.Bool // the reader is in the handler
	wroteForTick atomic.Bool // since the writer's last quarter
	wroteForPeer atomic.Bool // since the peer's last tick
}

// New prepares a connection. Nothing is read or written before Serve, but
// signals may be queued.
func New(cfg Config) *Conn {
	if cfg.TickTime <= 0 {
		cfg.TickTime = DefaultTickTime
	}
	if cfg.MaxMessage <= 0 {
		cfg.MaxMessage = DefaultMaxMessage
	}
	if cfg.MaxQueue <= 0 {
		cfg.MaxQueue = DefaultMaxQueue
	}
	cfg.Limits.MaxBytes = cfg.MaxMessage
	return &Conn{
		cfg: cfg,
		encoder: encoder{
			flags: cfg.Flags, depth: cfg.Limits.MaxDepth,
			own: etf.Atom(cfg.Name), ownTerm: etf.Atom(cfg.Name),
			peer: etf.Atom(cfg.Peer), peerTerm: etf.Atom(cfg.Peer),
		},
		wake:    make(chan struct{}, 1),
		room:    make(chan struct{}, 1),
		done:    make(chan struct{}),
		flushed: make(chan struct{}),
		epoch:   time.Now(),
	}
}

// Serve runs the connection until it ends and returns why. It calls handle for
// each signal, in order; the signal and the structs in it belong to Serve and
// are valid until handle returns, the terms in it (Message, Reason, Args) may
// be kept. An error of handle ends the connection. Serve may be called once; a
// second call returns ErrClosed at once.
func (c *Conn) Serve(handle func(Signal) error) error {
	if !c.started.CompareAndSwap(false, true) {
		return ErrClosed
	}
	c.lastRead.Store(int64(time.Since(c.epoch)))
	go c.write()
	err := c.read(handle)
	c.end(err)
	<-c.flushed
	return c.Reason()
}

// Reason is why the connection ended; nil while it lives.
func (c *Conn) Reason() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reason
}

// Done is closed when the connection has ended.
func (c *Conn) Done() <-chan struct{} { return c.done }

// end gives the connection up at once, with the first reason that is told.
func (c *Conn) end(reason error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.endLocked(reason)
}

func (c *Conn) endLocked(reason error) {
	if c.reason != nil {
		return
	}
	switch {
	case c.last != nil:
		reason = c.last // the peer's end follows from this side's
	case reason == nil:
		reason = ErrClosed
	}
	c.reason = reason
	for _, p := range c.queue {
		p.release()
	}
	c.queue, c.queued, c.must = nil, 0, 0
	if c.linger != nil {
		c.linger.Stop()
	}
	close(c.done)
	_ = c.cfg.Conn.Close()
	if !c.started.Swap(true) {
		close(c.flushed) // no writer was ever started
	}
}

// Close ends the connection. What was queued is still sent, for at most the
// given time; with 0 it is dropped. Signals sent after Close are refused.
// Close waits for the end.
func (c *Conn) Close(reason error, flush time.Duration) {
	if reason == nil {
		reason = ErrClosed
	}
	if flush <= 0 || !c.started.Load() {
		c.end(reason)
		<-c.flushed
		return
	}
	c.mu.Lock()
	if !c.closing {
		c.closing, c.last = true, reason
	}
	c.mu.Unlock()
	c.poke()
	timer := time.NewTimer(flush)
	defer timer.Stop()
	select {
	case <-c.flushed:
	case <-c.done:
	case <-timer.C:
	}
	c.end(reason)
	<-c.flushed
}

func (c *Conn) poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// TrySend queues a message and never blocks. It is refused with ErrBusy when
// the queue is full. The signal is encoded before TrySend returns and may then
// be changed.
func (c *Conn) TrySend(sig Signal) error {
	p, err := c.prepare(sig)
	if err != nil {
		return err
	}
	return c.enqueue(p)
}

// Push queues a signal that must not be lost, such as an exit, a monitor or an
// answer. It never blocks and is never refused while the connection lives; when
// more of them wait than four times MaxQueue plus MaxMessage, the connection
// ends with ErrOverflow.
func (c *Conn) Push(sig Signal) error {
	p, err := c.prepare(sig)
	if err != nil {
		return err
	}
	p.must = true
	return c.enqueue(p)
}

// Defer is Push for a signal that nobody waits for, such as a demonitor: if it
// is alone in the queue it goes out with the next one, or after a millisecond.
// That saves a write of its own, which would delay what comes right behind.
func (c *Conn) Defer(sig Signal) error {
	p, err := c.prepare(sig)
	if err != nil {
		return err
	}
	p.must, p.deferred = true, true
	return c.enqueue(p)
}

// Send is TrySend, but when the queue is full it waits for room until the
// connection or ctx ends.
func (c *Conn) Send(ctx context.Context, sig Signal) error {
	err := c.TrySend(sig)
	if !errors.Is(err, ErrBusy) {
		return err
	}
	c.mu.Lock()
	c.waiting++
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.waiting--
		more := c.waiting > 0
		c.mu.Unlock()
		if more {
			c.signalRoom()
		}
	}()
	for {
		if err := c.TrySend(sig); !errors.Is(err, ErrBusy) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("send to %s: %w", c.cfg.Peer, context.Cause(ctx))
		case <-c.done:
			return fmt.Errorf("send to %s: %w", c.cfg.Peer, ErrClosed)
		case <-c.room:
		}
	}
}

func (c *Conn) signalRoom() {
	select {
	case c.room <- struct{}{}:
	default:
	}
}

func (c *Conn) prepare(sig Signal) (*packet, error) {
	p, err := c.encoder.encode(sig)
	if err != nil {
		return nil, err
	}
	if len(p.buf) > c.cfg.MaxMessage {
		size := len(p.buf)
		p.release()
		return nil, fmt.Errorf("%w: %d bytes", ErrTooLarge, size)
	}
	return p, nil
}

// enqueue takes p, or releases it.
func (c *Conn) enqueue(p *packet) error {
	c.mu.Lock()
	var err error
	switch {
	case c.reason != nil || c.closing:
		err = ErrClosed
	case !p.must && c.queued >= c.cfg.MaxQueue:
		err = ErrBusy
	case p.must && c.must >= hardQueue*c.cfg.MaxQueue+c.cfg.MaxMessage:
		err = ErrOverflow
		c.endLocked(err)
	}
	if err != nil {
		c.mu.Unlock()
		p.release()
		return err
	}
	c.queued += len(p.buf)
	if p.must {
		c.must += len(p.buf)
	}
	c.queue = append(c.queue, p)
	first := len(c.queue) == 1
	wakeUp := first || c.idle
	switch {
	case first && p.deferred:
		c.idle, wakeUp = true, false
		c.lingerLocked()
	case !p.deferred:
		c.idle = false
	default:
		wakeUp = false // the writer, or the timer, is on its way
	}
	c.mu.Unlock()
	if wakeUp {
		c.poke()
	}
	return nil
}

// lingerLocked starts the time that deferred signals wait.
func (c *Conn) lingerLocked() {
	if c.linger == nil {
		c.linger = time.AfterFunc(lingerTime, c.lingered)
		return
	}
	c.linger.Reset(lingerTime)
}

// lingered sends what was deferred and got no company.
func (c *Conn) lingered() {
	c.mu.Lock()
	wakeUp := c.idle
	c.idle = false
	c.mu.Unlock()
	if wakeUp {
		c.poke()
	}
}

// Stats returns the counters.
func (c *Conn) Stats() Stats {
	c.mu.Lock()
	queued := c.queued
	c.mu.Unlock()
	return Stats{
		MessagesIn: c.messagesIn.Load(), MessagesOut: c.messagesOut.Load(),
		BytesIn: c.bytesIn.Load(), BytesOut: c.bytesOut.Load(),
		TicksIn: c.ticksIn.Load(), TicksOut: c.ticksOut.Load(),
		Queued: queued,
	}
}

// describe makes an error of the network say what it means here.
func describe(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("%w: peer takes nothing", ErrTickTimeout)
	}
	return err
}
