package rpc

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"
)

// caller is the calling end of the connection for calls.
type caller struct {
	p *peer

	mu    sync.Mutex
	conn  *callConn // nil while not connected
	up    chan struct{}
	next  uint64 // the last id given
	calls map[uint64]*call
	open  int // calls that Call is in, with those that wait for the connection
}

// callConn is a link with writers that take turns.
type callConn struct {
	link *link
	turn chan struct{} // holds one while somebody writes
}

func newCallConn(k *link) *callConn { return &callConn{link: k, turn: make(chan struct{}, 1)} }

// write writes a frame in turn; it fails when ctx ends before its turn, or the
// link is closed.
func (c *callConn) write(ctx context.Context, frame []byte) error {
	select {
	case c.turn <- struct{}{}:
	case <-c.link.closed:
		return c.link.cause
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-c.turn }()
	return c.link.write(frame)
}

// beat writes heartbeats until the link is closed.
func (c *callConn) beat() {
	tick := time.NewTicker(c.link.beatEvery())
	defer tick.Stop()
	frame := appendBeat(nil, 0)
	for {
		select {
		case <-tick.C:
		case <-c.link.closed:
			return
		}
		select {
		case c.turn <- struct{}{}:
			err := c.link.write(frame)
			<-c.turn
			if err != nil {
				return
			}
		default:
			// Somebody writes, which is as good a sign of life.
		}
	}
}

// call is a call under way; the reader of the connection fills it.
type call struct {
	reply []byte
	err   error
	done  chan struct{} // closed when reply or err is there
}

func newCaller(p *peer) *caller {
	return &caller{p: p, up: make(chan struct{}), calls: map[uint64]*call{}}
}

// Call asks a peer and waits for its answer. The request is cut into chunks, so
// calls to one peer share the connection fairly; it may be used again when Call
// returns. The errors: ctx's, when it ended first; ErrNotConnected with the
// reason when the connection was lost; *CallError when the peer did not answer
// with a result; ErrTooLarge, ErrFull, ErrUnknownPeer, ErrPeerGone, ErrRemoved,
// ErrStopped. Only after ErrFull, ErrTooLarge of the request and ErrUnknownPeer
// is it certain that the peer has not run the call; a retry is the caller's
// decision.
func (e *Endpoint) Call(ctx context.Context, to string, kind Kind, request []byte) ([]byte, error) {
	p := (*e.peers.Load())[to]
	switch {
	case p == nil:
		return nil, e.noPeer(to)
	case e.stopping.Load():
		return nil, ErrStopped
	case len(request) > e.cfg.MaxCall:
		return nil, fmt.Errorf("request of %d bytes, limit %d: %w", len(request), e.cfg.MaxCall, ErrTooLarge)
	}
	reply, err := p.calls.call(ctx, kind, request)
	if err != nil {
		return nil, fmt.Errorf("call %s: %w", to, err)
	}
	return reply, nil
}

func (c *caller) call(ctx context.Context, kind Kind, payload []byte) ([]byte, error) {
	c.mu.Lock()
	if c.open >= c.p.e.cfg.MaxCalls {
		c.mu.Unlock()
		return nil, ErrFull
	}
	c.open++
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.open--
		c.mu.Unlock()
	}()

	conn, id, cl, err := c.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer c.forget(id)
	if err := c.request(ctx, conn, id, cl, kind, payload); err != nil && ctx.Err() == nil {
		// The reader tells why the link was closed.
		<-cl.done
	}
	select {
	case <-cl.done:
		return cl.reply, cl.err
	case <-ctx.Done():
		go c.tellCancel(conn, id)
		return nil, context.Cause(ctx)
	}
}

// begin waits for the connection and enters a call.
func (c *caller) begin(ctx context.Context) (*callConn, uint64, *call, error) {
	for {
		c.mu.Lock()
		if err := c.p.err(); err != nil {
			c.mu.Unlock()
			return nil, 0, nil, err
		}
		if conn := c.conn; conn != nil {
			c.next++
			cl := &call{done: make(chan struct{})}
			c.calls[c.next] = cl
			id := c.next
			c.mu.Unlock()
			return conn, id, cl, nil
		}
		up := c.up
		c.mu.Unlock()
		select {
		case <-up:
		case <-c.p.ctx.Done():
		case <-ctx.Done():
			return nil, 0, nil, fmt.Errorf("%w: %w", ErrNotConnected, context.Cause(ctx))
		}
	}
}

func (c *caller) forget(id uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.calls, id)
}

// request writes the request, chunk by chunk, unless the call ends first.
func (c *caller) request(ctx context.Context, conn *callConn, id uint64, cl *call, kind Kind, payload []byte) error {
	r := request{kind: kind, size: uint64(len(payload))}
	if deadline, ok := ctx.Deadline(); ok {
		r.wait = uint32(min(max(time.Until(deadline).Milliseconds(), 1), math.MaxUint32))
	}
	frame := make([]byte, 0, headerSize+requestFixed+min(len(payload), chunkSize))
	flags := uint8(flagFirst)
	for {
		n := min(len(payload), chunkSize)
		if n == len(payload) {
			flags |= flagLast
		}
		frame = appendRequest(frame[:0], id, r, flags, payload[:n])
		if err := conn.write(ctx, frame); err != nil {
			return err
		}
		payload, flags = payload[n:], 0
		if len(payload) == 0 {
			return nil
		}
		select {
		case <-cl.done: // refused, or the connection is lost
			return nil
		default:
		}
	}
}

// tellCancel tells the peer that nobody waits any more. It does not wait long:
// the link is closed, or somebody else's frame is written within its timeout.
func (c *caller) tellCancel(conn *callConn, id uint64) {
	_ = conn.write(c.p.ctx, appendCancel(nil, id)) // the peer sees the connection's end too
}

// run is the goroutine of the connection for calls, until the peer is closed.
func (c *caller) run() {
	var pause pauses
	for c.p.ctx.Err() == nil {
		conn, _, err := c.p.e.dial(c.p.ctx, c.p, hello{purpose: purposeCall})
		if err == nil {
			up := time.Now()
			err = c.serve(newLink(conn, c.p.e.cfg.Silence, c.p.e.cfg.WriteTimeout, maxFrame))
			if time.Since(up) >= stableAfter {
				pause.reset()
			}
		}
		c.p.laneDown(callLane, err)
		if !pause.wait(c.p) {
			return
		}
	}
}

// serve runs a connection until it ends, fails the calls on it, and returns why.
func (c *caller) serve(k *link) error {
	defer context.AfterFunc(c.p.ctx, func() { k.close(c.p.err()) })()
	conn := newCallConn(k)
	var beat sync.WaitGroup
	beat.Go(conn.beat)
	c.mu.Lock()
	c.conn = conn
	close(c.up)
	c.up = make(chan struct{})
	c.mu.Unlock()
	c.p.laneUp(callLane)

	for {
		h, body, err := k.next()
		if err != nil {
			break
		}
		switch h.typ {
		case frameReply:
			id, code, chunk, err := parseReply(body)
			if err != nil {
				k.close(err)
				break // the next read fails
			}
			c.reply(conn, id, code, h.flags, chunk)
		case frameBeat:
		default:
			c.p.unknown.Add(1)
		}
	}

	err := k.cause
	if cause := c.p.err(); cause != nil {
		err = cause
	}
	c.mu.Lock()
	c.conn = nil
	for _, cl := range c.calls {
		c.finish(cl, fmt.Errorf("%w: %w", ErrNotConnected, err))
	}
	c.mu.Unlock()
	beat.Wait()
	return err
}

// finish ends a call, once. The caller holds c.mu.
func (c *caller) finish(cl *call, err error) {
	select {
	case <-cl.done:
	default:
		cl.err = err
		close(cl.done)
	}
}

// reply takes a chunk of a reply. Room for the reply grows as it arrives.
func (c *caller) reply(conn *callConn, id uint64, code CallCode, flags uint8, chunk []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	cl := c.calls[id]
	if cl == nil {
		return // nobody waits any more
	}
	if len(cl.reply)+len(chunk) > c.p.e.cfg.MaxCall {
		cl.reply = nil
		c.finish(cl, fmt.Errorf("reply beyond %d bytes: %w", c.p.e.cfg.MaxCall, ErrTooLarge))
		delete(c.calls, id)
		c.p.e.wg.Go(func() { c.tellCancel(conn, id) })
		return
	}
	cl.reply = appendChunk(cl.reply, chunk, c.p.e.cfg.MaxCall)
	if flags&flagLast == 0 {
		return
	}
	if code == CallOK {
		c.finish(cl, nil)
		return
	}
	err := &CallError{Code: code, Text: string(cl.reply)}
	cl.reply = nil
	c.finish(cl, err)
}

// appendChunk appends a chunk of something that is total bytes at most. Room
// doubles as chunks arrive.
func appendChunk(dst, chunk []byte, total int) []byte {
	if n := len(dst) + len(chunk); n > cap(dst) {
		dst = append(make([]byte, 0, min(max(2*cap(dst), n), total)), dst...)
	}
	return append(dst, chunk...)
}
