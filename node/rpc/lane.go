package rpc

import (
	"context"
	"runtime"
	"sync"
	"time"
)

// stableAfter is how long a connection must last for its end to count as the
// first failure, and not as one more.
const stableAfter = time.Second

// lane is the sending end of one lane: an outbox, and the connection that
// empties it.
type lane struct {
	p    *peer
	idx  int
	wake chan struct{} // tells the writer that there is something; holds one

	mu      sync.Mutex
	box     outbox
	idle    bool          // the writer waits for wake
	link    *link         // nil while not connected
	refused error         // why nothing is taken any more
	ready   chan struct{} // closed when there is room; nil when nobody waits
	empty   chan struct{} // closed when all is acknowledged; nil when nobody waits
	stats   laneStats
}

// laneStats are a lane's counters; the outbox has the others.
type laneStats struct {
	acked, refused, failed, connects uint64
}

func newLane(p *peer, idx int) *lane {
	cfg := &p.e.cfg
	return &lane{
		p: p, idx: idx, wake: make(chan struct{}, 1),
		box: outbox{limit: cfg.QueueBytes, maxBatch: cfg.BatchMessages, maxMessage: cfg.MaxMessage},
	}
}

func (l *lane) send(kind Kind, payload func([]byte) []byte, done func(error)) error {
	wake, err := l.add(kind, payload, done)
	if wake {
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
	return err
}

func (l *lane) add(kind Kind, payload func([]byte) []byte, done func(error)) (wake bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock() // also when payload panics
	if l.refused != nil {
		return false, l.refused
	}
	if err := l.box.append(kind, payload, done); err != nil {
		l.stats.refused++
		return false, err
	}
	wake, l.idle = l.idle, false
	return wake, nil
}

// refuse makes the lane take nothing any more.
func (l *lane) refuse(cause error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refused == nil {
		l.refused = cause
	}
	l.signal()
}

// signal wakes those who wait for what is now so. The caller holds l.mu.
func (l *lane) signal() {
	if l.ready != nil && (l.refused != nil || l.box.queued <= l.box.limit/2) {
		close(l.ready)
		l.ready = nil
	}
	if l.empty != nil && (l.refused != nil || l.link == nil || l.box.batches.n == 0) {
		close(l.empty)
		l.empty = nil
	}
}

// whenReady is closed when the lane is not full, or never will take anything.
func (l *lane) whenReady() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refused != nil || l.box.queued < l.box.limit {
		return closed
	}
	if l.ready == nil {
		l.ready = make(chan struct{})
	}
	return l.ready
}

// drained is closed when nothing is unacknowledged, or not connected.
func (l *lane) drained() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.empty == nil {
		l.empty = make(chan struct{})
	}
	empty := l.empty
	l.signal()
	return empty
}

// run is the lane's goroutine, until the peer is closed.
func (l *lane) run() {
	var pause pauses
	for l.p.ctx.Err() == nil {
		conn, w, err := l.p.e.dial(l.p.ctx, l.p, hello{purpose: purposeLane, lane: uint16(l.idx)})
		if err == nil {
			up := time.Now()
			err = l.serve(newLink(conn, l.p.e.cfg.Silence, l.p.e.cfg.WriteTimeout, maxFrame), w)
			if time.Since(up) >= stableAfter {
				pause.reset()
			}
		}
		l.p.laneDown(l.idx, err)
		if !pause.wait(l.p) {
			break
		}
	}
	l.mu.Lock()
	l.refused = l.p.err()
	dones := l.box.fail(nil)
	l.stats.failed += uint64(len(dones))
	l.signal()
	l.mu.Unlock()
	for _, done := range dones {
		done(l.refused)
	}
}

// serve runs a connection until it ends, and returns why.
func (l *lane) serve(k *link, w welcome) error {
	l.mu.Lock()
	before := l.box.acked
	dones, err := l.box.ack(w.acked, nil)
	if err == nil {
		err = l.box.rewind(w.received)
	}
	l.stats.acked += l.box.acked - before
	if err == nil {
		l.link = k
		l.stats.connects++
	}
	l.signal()
	l.mu.Unlock()
	for _, done := range dones {
		done(nil)
	}
	if err != nil {
		// A peer that lost its memory is another life, whatever it says.
		k.close(err)
		l.p.e.gone(l.p, w.incarnation, w.incarnation)
		return err
	}
	l.p.laneUp(l.idx)
	defer context.AfterFunc(l.p.ctx, func() { k.close(l.p.err()) })()

	reader := make(chan struct{})
	go func() {
		defer close(reader)
		l.readAcks(k)
	}()
	l.write(k)
	<-reader

	l.mu.Lock()
	l.link = nil
	l.signal()
	l.mu.Unlock()
	return k.cause
}

// write writes batches, and heartbeats between them, until the link is closed.
func (l *lane) write(k *link) {
	beat := time.NewTicker(k.beatEvery())
	defer beat.Stop()
	var beatFrame []byte
	var bs []batch
	for {
		l.mu.Lock()
		bs = l.box.take(bs[:0])
		l.idle = len(bs) == 0
		last := l.box.written
		l.mu.Unlock()
		if len(bs) > 0 {
			err := k.write(sealBatches(bs))
			l.mu.Lock()
			l.box.release(bs[0].c)
			l.mu.Unlock()
			if err != nil {
				return
			}
			continue
		}
		select {
		case <-l.wake:
			// Let those who are about to send do so: fewer, larger batches.
			runtime.Gosched()
		case <-beat.C:
			beatFrame = appendBeat(beatFrame[:0], last)
			if k.write(beatFrame) != nil {
				return
			}
		case <-k.closed:
			return
		}
	}
}

// readAcks reads what the peer says, until the link is closed.
func (l *lane) readAcks(k *link) {
	var dones []func(error)
	for {
		h, body, err := k.next()
		if err != nil {
			return
		}
		switch h.typ {
		case frameAck:
			acked, err := parseNumber(body)
			if err == nil {
				dones, err = l.acked(acked, dones[:0])
			}
			if err != nil {
				k.close(err)
				return
			}
			for i, done := range dones {
				done(nil)
				dones[i] = nil
			}
		case frameBeat:
		default:
			l.p.unknown.Add(1)
		}
	}
}

func (l *lane) acked(seq uint64, dones []func(error)) ([]func(error), error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := l.box.acked
	dones, err := l.box.ack(seq, dones)
	l.stats.acked += l.box.acked - before
	l.signal()
	return dones, err
}
