package rpc

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// errCancelled is the cause of a handler's context when the caller stopped
// waiting.
var errCancelled = errors.New("caller stopped waiting")

// callServer is the answering end of a connection for calls.
type callServer struct {
	e    *Endpoint
	from Peer
	conn *callConn
	ctx  context.Context //nolint:containedctx // the connection's own life, not a caller's
	wg   sync.WaitGroup

	mu      sync.Mutex
	calls   map[uint64]*served
	partial int // bytes of requests that are not complete
}

// served is a call: while its request arrives, then while its handler runs.
type served struct {
	kind    Kind
	size    uint64
	request []byte
	begun   bool
	ctx     context.Context //nolint:containedctx // of the handler that is to run
	cancel  context.CancelCauseFunc
}

// serveCalls runs a connection for calls.
func (e *Endpoint) serveCalls(o *opened, c *inboundConn) {
	defer close(c.ended)
	e.mu.Lock()
	set, st := e.admit(&o.hello)
	var before []*inboundConn
	if st == statusOK {
		before = set.calls
		set.calls = []*inboundConn{c}
	}
	e.mu.Unlock()
	for _, b := range before {
		b.link.close(ErrReplaced)
	}
	if err := o.welcome(welcome{status: st}); err != nil || st != statusOK {
		c.link.close(err)
		return
	}
	c.link.conn.SetDeadline(time.Time{})
	defer context.AfterFunc(e.ctx, func() { c.link.close(ErrStopped) })()

	ctx, cancel := context.WithCancelCause(e.ctx)
	s := &callServer{e: e, from: c.from, conn: newCallConn(c.link), ctx: ctx, calls: map[uint64]*served{}}
	s.wg.Go(s.conn.beat)
	s.read(&set.counters)
	cancel(c.link.cause)
	s.wg.Wait()
	e.mu.Lock()
	set.calls = slices.DeleteFunc(set.calls, func(other *inboundConn) bool { return other == c })
	e.mu.Unlock()
}

// read reads requests until the link is closed.
func (s *callServer) read(counters *inboundCounters) {
	k := s.conn.link
	for {
		h, body, err := k.next()
		if err != nil {
			return
		}
		switch h.typ {
		case frameRequest:
			id, r, chunk, err := parseRequest(h.flags, body)
			if err != nil {
				k.close(err)
				return
			}
			s.take(id, r, h.flags, chunk)
		case frameCancel:
			id, err := parseNumber(body)
			if err != nil {
				k.close(err)
				return
			}
			s.drop(id)
		case frameBeat:
		default:
			counters.unknown.Add(1)
		}
	}
}

// take takes a chunk of a request, and runs the handler after the last. Room for
// the request grows as it arrives.
func (s *callServer) take(id uint64, r request, flags uint8, chunk []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.calls[id]
	if flags&flagFirst != 0 {
		code := CallOK
		switch {
		case c != nil:
			return // a number used twice: the first goes on
		case s.e.callers[r.kind] == nil:
			code = CallUnknown
		case r.size > uint64(s.e.cfg.MaxCall):
			code = CallTooLarge
		case len(s.calls) >= s.e.cfg.MaxCalls:
			code = CallBusy
		}
		if code != CallOK {
			s.refuse(id, code)
			return
		}
		c = &served{kind: r.kind, size: r.size}
		var cancel context.CancelFunc = func() {}
		ctx := s.ctx
		if r.wait > 0 {
			ctx, cancel = context.WithTimeout(ctx, time.Duration(r.wait)*time.Millisecond)
		}
		var cancelCause context.CancelCauseFunc
		c.ctx, cancelCause = context.WithCancelCause(ctx)
		c.cancel = func(cause error) { cancelCause(cause); cancel() }
		s.calls[id] = c
	}
	if c == nil || c.begun {
		return // refused or cancelled before
	}
	switch {
	case uint64(len(c.request)+len(chunk)) > c.size:
		s.end(id, c)
		s.refuse(id, CallTooLarge)
		return
	case s.partial+len(chunk) > s.e.cfg.MaxCall:
		s.end(id, c)
		s.refuse(id, CallBusy)
		return
	}
	c.request = appendChunk(c.request, chunk, int(c.size))
	s.partial += len(chunk)
	if flags&flagLast == 0 {
		return
	}
	c.begun = true
	s.partial -= len(c.request)
	s.wg.Go(func() { s.run(id, c) })
}

// end forgets a call. The caller holds s.mu.
func (s *callServer) end(id uint64, c *served) {
	if s.calls[id] != c {
		return
	}
	delete(s.calls, id)
	if !c.begun {
		s.partial -= len(c.request)
	}
	c.cancel(errCancelled)
}

// drop forgets a call that nobody waits for. One that runs counts until it ends.
func (s *callServer) drop(id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.calls[id]; c != nil && c.begun {
		c.cancel(errCancelled)
	} else if c != nil {
		s.end(id, c)
	}
}

// refuse answers a call that is not run, without waiting.
func (s *callServer) refuse(id uint64, code CallCode) {
	s.wg.Go(func() { s.reply(s.ctx, id, code, nil) })
}

// run runs a handler and sends what it returns.
func (s *callServer) run(id uint64, c *served) {
	reply, err := s.e.callers[c.kind](c.ctx, s.from, c.request)
	code := CallOK
	switch {
	case err != nil:
		text := err.Error()
		code, reply = CallFailed, []byte(text[:min(len(text), 1<<10)])
	case len(reply) > s.e.cfg.MaxCall:
		code, reply = CallTooLarge, nil
	}
	if c.ctx.Err() == nil { // else nobody waits
		s.reply(c.ctx, id, code, reply)
	}
	s.mu.Lock()
	s.end(id, c)
	s.mu.Unlock()
}

// reply writes a reply, chunk by chunk, until ctx ends.
func (s *callServer) reply(ctx context.Context, id uint64, code CallCode, payload []byte) {
	frame := make([]byte, 0, headerSize+replyFixed+min(len(payload), chunkSize))
	for {
		n := min(len(payload), chunkSize)
		flags := uint8(0)
		if n == len(payload) {
			flags = flagLast
		}
		frame = appendReply(frame[:0], id, code, flags, payload[:n])
		if s.conn.write(ctx, frame) != nil {
			return
		}
		if payload = payload[n:]; len(payload) == 0 {
			return
		}
	}
}
