package proto

import (
	"encoding/binary"
	"fmt"
	"runtime/debug"
	"time"

	"ermine/node/dist/etf"
	"ermine/node/dist/handshake"
)

const (
	// passThrough precedes a message without distribution header.
	passThrough = 112

	// fragmentSize is the most bytes of a message in one frame, when the peer
	// takes fragments.
	fragmentSize = 64 << 10

	// batchSize is how much output is put together for one write.
	batchSize = 64 << 10
)

// output is the writer's state; it belongs to the writer's goroutine.
type output struct {
	c        *Conn
	cache    etf.SendCache
	buf      []byte
	sequence uint64
	packets  uint64 // in buf
	answers  bool   // buf holds the answer to a tick

	// Room in the queue to give back when buf is written.
	room, mustRoom int
}

// write is the writer goroutine: it sends what is queued, ticks when there is
// nothing, and watches for a silent peer.
func (c *Conn) write() {
	defer close(c.flushed)
	defer func() {
		if r := recover(); r != nil {
			c.cfg.Logger.Error("connection writer panicked", "peer", c.cfg.Peer, "err", r, "stack", string(debug.Stack()))
			c.end(fmt.Errorf("writer panicked: %v", r))
		}
	}()
	quarter := max(c.cfg.TickTime/4, time.Millisecond)
	ticker := time.NewTicker(quarter)
	defer ticker.Stop()
	out := &output{c: c, buf: make([]byte, 0, batchSize+fragmentSize)}
	var taken []*packet
	for {
		c.mu.Lock()
		taken, c.queue = c.queue, taken[:0]
		c.idle = false
		closing := c.closing
		c.mu.Unlock()
		if len(taken) > 0 {
			if err := out.send(taken); err != nil {
				c.end(describe(err))
				return
			}
			continue
		}
		if closing {
			// The peer has it all when it has seen the end; closing with input
			// unread could take it back.
			if half, ok := c.cfg.Conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
				<-c.done
			}
			return
		}
		select {
		case <-c.done:
			return
		case <-c.wake:
		case <-ticker.C:
			if err := c.quarter(out, quarter); err != nil {
				c.end(describe(err))
				return
			}
		}
	}
}

// quarter is what happens every quarter of the tick time.
func (c *Conn) quarter(out *output, quarter time.Duration) error {
	if c.handling.Load() {
		c.lastRead.Store(int64(time.Since(c.epoch)))
	}
	silent := time.Since(c.epoch) - time.Duration(c.lastRead.Load())
	if silent >= 3*quarter {
		return fmt.Errorf("%w: silent for %s", ErrTickTimeout, silent.Round(time.Millisecond))
	}
	if c.wroteForTick.Swap(false) {
		return nil
	}
	return out.tick()
}

// tick sends an empty frame. It does not count as output for itself, so that
// an idle side ticks every quarter.
func (o *output) tick() error {
	o.buf = append(o.buf, 0, 0, 0, 0)
	o.c.ticksOut.Add(1)
	err := o.flush()
	o.c.wroteForTick.Store(false)
	return err
}

// send writes packets in order and gives their room in the queue back.
func (o *output) send(taken []*packet) error {
	for i, p := range taken {
		err := o.packet(p)
		o.room += len(p.buf)
		if p.must {
			o.mustRoom += len(p.buf)
		}
		p.release()
		taken[i] = nil
		if err != nil {
			for _, rest := range taken[i+1:] {
				rest.release()
			}
			return err
		}
	}
	return o.flush()
}

// returnRoom takes bytes that were written off the queue, must of them those
// of signals that are never refused, and lets a waiting Send look.
func (c *Conn) returnRoom(size, must int) {
	c.mu.Lock()
	c.queued = max(0, c.queued-size)
	c.must = max(0, c.must-must)
	wakeUp := c.waiting > 0 && c.queued < c.cfg.MaxQueue
	c.mu.Unlock()
	if wakeUp {
		c.signalRoom()
	}
}

// packet puts one message into the buffer, in fragments if it is long.
func (o *output) packet(p *packet) error {
	if len(p.buf) == 0 {
		o.buf = append(o.buf, 0, 0, 0, 0)
		o.answers = true
		o.c.ticksOut.Add(1)
		return nil
	}
	o.packets++
	if p.enc.Refs == nil {
		o.frame(func() { o.buf = append(o.buf, passThrough) }, p.buf)
		return o.full()
	}
	if len(p.buf) <= p.control+fragmentSize || !o.c.cfg.Flags.Has(handshake.FlagFragments) {
		o.frame(func() { o.buf = o.cache.AppendHeader(o.buf, &p.refs) }, p.buf)
		return o.full()
	}
	// The first fragment holds the whole control message.
	o.sequence++
	first, rest := p.buf[:p.control+fragmentSize], p.buf[p.control+fragmentSize:]
	left := uint64(1 + (len(rest)+fragmentSize-1)/fragmentSize)
	o.frame(func() { o.buf = o.cache.AppendFirst(o.buf, &p.refs, o.sequence, left) }, first)
	for len(rest) > 0 {
		if err := o.full(); err != nil {
			return err
		}
		left--
		n := min(len(rest), fragmentSize)
		o.frame(func() { o.buf = etf.AppendNext(o.buf, o.sequence, left) }, rest[:n])
		rest = rest[n:]
	}
	return o.full()
}

// frame appends a header and a body with their length before them.
func (o *output) frame(header func(), body []byte) {
	at := len(o.buf)
	o.buf = append(o.buf, 0, 0, 0, 0)
	header()
	o.buf = append(o.buf, body...)
	binary.BigEndian.PutUint32(o.buf[at:], uint32(len(o.buf)-at-4))
}

// full flushes a buffer that is large enough.
func (o *output) full() error {
	if len(o.buf) < batchSize {
		return nil
	}
	return o.flush()
}

func (o *output) flush() error {
	c := o.c
	for b := o.buf; len(b) > 0; {
		// A write of a huge unfragmented message may take longer than the tick
		// time as a whole, but not for each part.
		n := min(len(b), batchSize+fragmentSize)
		if err := c.cfg.Conn.SetWriteDeadline(time.Now().Add(c.cfg.TickTime)); err != nil {
			return err
		}
		if _, err := c.cfg.Conn.Write(b[:n]); err != nil {
			return err
		}
		c.bytesOut.Add(uint64(n))
		c.wroteForTick.Store(true)
		if o.packets > 0 || !o.answers {
			c.wroteForPeer.Store(true)
		}
		b = b[n:]
	}
	o.answers = false
	c.messagesOut.Add(o.packets)
	o.packets = 0
	if o.room > 0 {
		c.returnRoom(o.room, o.mustRoom)
		o.room, o.mustRoom = 0, 0
	}
	if cap(o.buf) > 4*(batchSize+fragmentSize) {
		o.buf = make([]byte, 0, batchSize+fragmentSize)
	}
	o.buf = o.buf[:0]
	return nil
}
