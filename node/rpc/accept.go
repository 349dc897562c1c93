package rpc

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// maxRetired is how many replaced lives of one name are remembered.
const maxRetired = 16

// inboundSet is what this node remembers of the streams of one name. It stays
// when the peer is removed. All is guarded by Endpoint.mu but the streams'
// insides.
type inboundSet struct {
	incarnation uint64   // the life that was let in last
	retired     []uint64 // lives that are not let in again, oldest first
	slots       map[uint16]*slot
	calls       []*inboundConn // connections for calls
	counters    inboundCounters
}

// inboundCounters count what came from one name.
type inboundCounters struct {
	received, duplicates, unknown atomic.Uint64
}

// slot is a lane's receiving end: the stream it is at, and the connection that
// may run handlers.
type slot struct {
	incarnation uint64
	stream      *stream
	conn        *inboundConn
}

// inboundConn is a connection that was let in.
type inboundConn struct {
	from  Peer
	link  *link
	ended chan struct{} // closed when no handler runs, or will run, for it and those before it
}

// retire lets a life in no more.
func (s *inboundSet) retire(incarnation uint64) {
	if incarnation == 0 || slices.Contains(s.retired, incarnation) {
		return
	}
	if len(s.retired) == maxRetired {
		s.retired = slices.Delete(s.retired, 0, 1)
	}
	s.retired = append(s.retired, incarnation)
}

// restore lets a life in again.
func (s *inboundSet) restore(incarnation uint64) {
	s.retired = slices.DeleteFunc(s.retired, func(i uint64) bool { return i == incarnation })
}

// conns are all connections.
func (s *inboundSet) conns() []*inboundConn {
	all := slices.Clone(s.calls)
	for _, slot := range s.slots {
		if slot.conn != nil {
			all = append(all, slot.conn)
		}
	}
	return all
}

// connsOf are those from one life.
func (s *inboundSet) connsOf(incarnation uint64) []*inboundConn {
	return slices.DeleteFunc(s.conns(), func(c *inboundConn) bool { return c.from.Incarnation != incarnation })
}

// inboundOf is the set of a name. The caller holds e.mu.
func (e *Endpoint) inboundOf(name string) *inboundSet {
	set := e.inbound[name]
	if set == nil {
		set = &inboundSet{slots: map[uint16]*slot{}}
		e.inbound[name] = set
	}
	return set
}

// accept takes connections until the listener is closed.
func (e *Endpoint) accept() {
	var pause time.Duration
	for {
		conn, err := e.ln.Accept()
		switch {
		case err == nil:
			pause = 0
			e.setSocket(conn)
			e.wg.Go(func() { e.shake(conn) })
		case e.ctx.Err() != nil || errors.Is(err, net.ErrClosed):
			return
		default:
			// Out of file descriptors, say: others must go first.
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			e.log.Warn("accept on data channel", "err", err)
			select {
			case <-time.After(pause):
			case <-e.ctx.Done():
			}
		}
	}
}

// halfOpened counts a connection among the half-open ones, for which the oldest
// may have to go: it has had the most time. It tells whether to go on.
func (e *Endpoint) halfOpened(conn net.Conn) bool {
	e.mu.Lock()
	if e.ctx.Err() != nil {
		e.mu.Unlock()
		return false
	}
	var oldest net.Conn
	if len(e.halfOpen) >= e.cfg.MaxHalfOpen {
		oldest = e.halfOpen[0]
		e.halfOpen = slices.Delete(e.halfOpen, 0, 1)
	}
	e.halfOpen = append(e.halfOpen, conn)
	e.mu.Unlock()
	if oldest != nil {
		oldest.Close()
		e.log.Debug("too many half-open connections", "limit", e.cfg.MaxHalfOpen)
	}
	return true
}

func (e *Endpoint) notHalfOpen(conn net.Conn) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if i := slices.Index(e.halfOpen, conn); i >= 0 {
		e.halfOpen = slices.Delete(e.halfOpen, i, i+1)
	}
}

// shake runs an accepted connection: handshake, admission, frames.
func (e *Endpoint) shake(conn net.Conn) {
	defer conn.Close()
	if !e.halfOpened(conn) {
		return
	}
	deadline := time.Now().Add(e.cfg.AuthTimeout)
	conn.SetDeadline(deadline)
	o, err := e.openHandshake(conn)
	e.notHalfOpen(conn)
	if err != nil {
		e.log.Debug("data channel handshake", "remote", conn.RemoteAddr(), "err", err)
		return
	}
	k := newLink(o.conn, e.cfg.Silence, e.cfg.WriteTimeout, maxFrame)
	c := &inboundConn{from: Peer{o.hello.name, o.hello.incarnation}, link: k, ended: make(chan struct{})}
	if o.hello.purpose == purposeCall {
		e.serveCalls(o, c)
	} else {
		e.serveLane(o, c, deadline)
	}
	k.close(net.ErrClosed)
	e.log.Debug("data channel connection ended", "peer", c.from.Name, "lane", int(o.hello.lane), "err", k.cause)
}

func (e *Endpoint) openHandshake(conn net.Conn) (*opened, error) {
	if e.cfg.TLS != nil {
		t := tls.Server(conn, e.cfg.TLS.Server)
		ctx, cancel := context.WithTimeout(e.ctx, e.cfg.AuthTimeout)
		defer cancel()
		if err := t.HandshakeContext(ctx); err != nil {
			return nil, fmt.Errorf("tls: %w", err)
		}
		conn = t
	}
	return e.id.acceptHandshake(conn)
}

// admit decides whether a peer that proved the cookie comes in. The caller holds
// e.mu.
func (e *Endpoint) admit(h *hello) (*inboundSet, status) {
	switch {
	case e.stopping.Load() && e.ctx.Err() != nil:
		return nil, statusStopping
	case h.target != e.cfg.Name:
		return nil, statusWrongName
	case (*e.peers.Load())[h.name] == nil:
		return nil, statusUnknownPeer
	case h.incarnation == 0 || h.stream == 0 || h.purpose > purposeCall || h.lane >= MaxLanes:
		return nil, statusBadLane
	}
	set := e.inboundOf(h.name)
	if slices.Contains(set.retired, h.incarnation) {
		return nil, statusOldLife
	}
	if set.incarnation != h.incarnation {
		set.retire(set.incarnation)
		for _, c := range set.connsOf(set.incarnation) {
			c.link.close(ErrReplaced)
		}
		set.incarnation = h.incarnation
	}
	return set, statusOK
}

// serveLane runs a connection for messages.
func (e *Endpoint) serveLane(o *opened, c *inboundConn, deadline time.Time) {
	h := &o.hello
	e.mu.Lock()
	set, st := e.admit(h)
	var sl *slot
	if st == statusOK {
		if sl = set.slots[h.lane]; sl == nil {
			sl = &slot{}
			set.slots[h.lane] = sl
		}
		if sl.incarnation == h.incarnation && h.stream < sl.stream.number {
			st = statusOldStream
		}
	}
	if st != statusOK {
		e.mu.Unlock()
		_ = o.welcome(welcome{status: st}) // it is closed in any case
		close(c.ended)
		return
	}
	if sl.incarnation != h.incarnation || h.stream > sl.stream.number {
		sl.incarnation = h.incarnation
		sl.stream = &stream{number: h.stream, counters: &set.counters, wake: make(chan struct{}, 1)}
	}
	s, before := sl.stream, sl.conn
	sl.conn = c
	e.mu.Unlock()

	// The lane's handlers run one after the other, across its connections.
	if before != nil {
		before.link.close(ErrReplaced)
		timer := time.NewTimer(time.Until(deadline))
		defer timer.Stop()
		select {
		case <-before.ended:
		case <-timer.C:
			e.wg.Go(func() { <-before.ended; close(c.ended) })
			return
		}
	}
	defer close(c.ended)
	e.mu.Lock()
	current := sl.conn == c
	e.mu.Unlock()
	if !current {
		return
	}
	received, acked := s.state()
	if err := o.welcome(welcome{received: received, acked: acked}); err != nil {
		c.link.close(err)
		return
	}
	c.link.conn.SetDeadline(time.Time{})
	defer context.AfterFunc(e.ctx, func() { c.link.close(ErrStopped) })()

	var writer sync.WaitGroup
	writer.Go(func() { s.writeAcks(c.link, acked) })
	s.read(e, c)
	writer.Wait()
	e.mu.Lock()
	if sl.conn == c {
		sl.conn = nil
	}
	e.mu.Unlock()
}

// closeInbound closes all connections that peers made, and half-open ones.
func (e *Endpoint) closeInbound() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, conn := range e.halfOpen {
		conn.Close()
	}
	for _, set := range e.inbound {
		for _, c := range set.conns() {
			c.link.close(ErrStopped)
		}
	}
}

// stream is the receiving end of one stream's lane. It outlives connections.
type stream struct {
	number   uint64
	counters *inboundCounters
	wake     chan struct{} // tells the writer that acked moved; holds one

	mu     sync.Mutex
	win    window
	inside bool // a batch is being handled: acknowledge at its end
}

func (s *stream) state() (received, acked uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.win.received, s.win.acked
}

// read reads frames and runs handlers until the link is closed.
func (s *stream) read(e *Endpoint, c *inboundConn) {
	for {
		h, body, err := c.link.next()
		if err != nil {
			return
		}
		switch h.typ {
		case frameData:
			if err := s.handle(e, c, h.count, body); err != nil {
				c.link.close(err)
				return
			}
		case frameBeat:
			// The proof that nothing is missing, where no batch follows.
			last, err := parseNumber(body)
			if received, _ := s.state(); err == nil && last > received {
				err = fmt.Errorf("%w: %d messages written, %d received", ErrProtocol, last, received)
			}
			if err != nil {
				c.link.close(err)
				return
			}
		default:
			s.counters.unknown.Add(1)
		}
	}
}

// nothing is the ack of a message that nobody awaits.
func nothing() {}

// handle runs the handlers of a batch's messages, but for those that were
// received before.
func (s *stream) handle(e *Endpoint, c *inboundConn, count uint16, body []byte) error {
	first, rest, err := parseData(count, body)
	if err != nil {
		return err
	}
	last := first + uint64(count) - 1
	s.mu.Lock()
	received := s.win.received
	if first > received+1 {
		s.mu.Unlock()
		return fmt.Errorf("%w: batch starts at %d after %d", ErrProtocol, first, received)
	}
	if last > received {
		s.win.extend(last)
	}
	s.inside = true
	s.mu.Unlock()

	if dup := min(received+1, last+1) - first; dup > 0 {
		s.counters.duplicates.Add(dup)
	}
	for seq := first; seq <= last; seq++ {
		var m message
		m, rest, _ = nextMessage(rest) // parseData has checked them
		if seq <= received {
			continue
		}
		handler := e.handlers[m.kind]
		switch {
		case handler == nil:
			s.counters.unknown.Add(1)
			s.ack(seq)
		case m.flags&msgNoReply != 0:
			handler(c.from, m.payload, nothing)
			s.ack(seq)
		default:
			handler(c.from, m.payload, func() { s.ack(seq) })
		}
	}
	if last > received {
		s.counters.received.Add(last - received)
	}
	s.mu.Lock()
	s.inside = false
	s.mu.Unlock()
	s.notify()
	return nil
}

// ack acknowledges one message.
func (s *stream) ack(seq uint64) {
	s.mu.Lock()
	notify := s.win.ack(seq) && !s.inside
	s.mu.Unlock()
	if notify {
		s.notify()
	}
}

func (s *stream) notify() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// writeAcks writes acknowledgements until the link is closed: when there is news,
// and from time to time as a sign of life. told is what the welcome said.
func (s *stream) writeAcks(k *link, told uint64) {
	beat := time.NewTicker(k.beatEvery())
	defer beat.Stop()
	var frame []byte
	for {
		due := false
		select {
		case <-s.wake:
		case <-beat.C:
			due = true
		case <-k.closed:
			return
		}
		_, acked := s.state()
		if acked == told && !due {
			continue
		}
		frame, told = appendAck(frame[:0], acked), acked
		if k.write(frame) != nil {
			return
		}
	}
}
