package rpc

import (
	"encoding/binary"
	"fmt"
	"sync"
)

const (
	// chunkBytes is the room that batches are cut from; a batch fills at most
	// one chunk, unless one message alone is larger.
	chunkBytes = 64 << 10
	// minRoom is how much room a chunk must have left for another message to be
	// tried in it. One that does not fit is copied once, to the next chunk.
	minRoom = 512
)

// chunk is room for batches. It is used again once nothing refers to it.
type chunk struct {
	buf  []byte
	end  int // what is behind is free
	refs int // batches in it, plus one while messages are added, plus one while it is written
}

var chunks = sync.Pool{New: func() any { return &chunk{buf: make([]byte, chunkBytes)} }}

// batch is one DATA frame in a chunk: buf[off:end], header included.
type batch struct {
	c        *chunk
	off, end int
	first    uint64
	count    int
	sealed   bool // no message is added any more
}

func (b *batch) last() uint64 { return b.first + uint64(b.count) - 1 }

// pending is a message whose outcome somebody awaits.
type pending struct {
	seq  uint64
	done func(error)
}

// outbox is the sending end of a lane: the messages that the peer has not
// acknowledged, encoded, in order. It is pure, and locked by the lane.
//
// Messages are encoded where they are written from: in the open batch at the
// end. The writer takes batches in turn, the open one too when it is the next;
// they stay until acknowledged as a whole. After a reconnect the writer goes
// back to the first batch that the peer has not.
type outbox struct {
	limit      int // bytes; beyond, append refuses
	maxBatch   int // messages in a batch
	maxMessage int // bytes of a payload

	batches ring[batch]
	next    int    // the batch to write next
	tail    *chunk // where the next message goes; nil when empty
	pending ring[pending]

	seq     uint64 // of the last message added
	acked   uint64 // all up to here are acknowledged
	written uint64 // all up to here have been taken for writing once
	queued  int    // bytes of all batches

	resent uint64 // messages taken for writing again
}

// append adds a message and tells whether it took it. It calls payload once, or
// not at all when the outbox is full.
func (o *outbox) append(kind Kind, payload func([]byte) []byte, done func(error)) error {
	if o.queued >= o.limit {
		return ErrFull
	}
	b := o.open()
	if o.tail == nil || len(o.tail.buf)-o.tail.end < dataOverhead+msgOverhead+minRoom {
		o.newTail(chunkBytes)
		b = nil
	}
	start := o.tail.end
	if b == nil {
		start += dataOverhead
	}
	room := o.tail.buf[start+msgOverhead:]
	out := payload(room[:0:len(room)])
	if len(out) > o.maxMessage {
		return fmt.Errorf("message of %d bytes, limit %d: %w", len(out), o.maxMessage, ErrTooLarge)
	}
	if len(out) > 0 && (len(out) > len(room) || &out[0] != &room[0]) {
		if len(out) > len(room) {
			o.newTail(max(chunkBytes, dataOverhead+msgOverhead+len(out)))
			b, start = nil, dataOverhead
		}
		copy(o.tail.buf[start+msgOverhead:], out)
	}
	end := start + msgOverhead + len(out)
	flags := uint8(0)
	if done == nil {
		flags = msgNoReply
	}
	putMessage(o.tail.buf[start:end], kind, flags)
	o.seq++
	if b == nil {
		if o.batches.n > 0 {
			o.batches.at(o.batches.n - 1).sealed = true
		}
		o.batches.push(batch{c: o.tail, off: o.tail.end, end: o.tail.end, first: o.seq})
		o.tail.refs++
		b = o.batches.at(o.batches.n - 1)
	}
	o.queued += end - b.end
	b.end, o.tail.end = end, end
	b.count++
	if done != nil {
		o.pending.push(pending{o.seq, done})
	}
	return nil
}

// open is the batch to which a message may be added, or nil.
func (o *outbox) open() *batch {
	if o.batches.n == 0 {
		return nil
	}
	b := o.batches.at(o.batches.n - 1)
	if b.sealed || b.count >= o.maxBatch || b.c != o.tail {
		return nil
	}
	return b
}

func (o *outbox) newTail(size int) {
	if o.tail != nil {
		o.release(o.tail)
	}
	if size > chunkBytes {
		o.tail = &chunk{buf: make([]byte, size)}
	} else {
		o.tail = chunks.Get().(*chunk)
	}
	o.tail.end, o.tail.refs = 0, 1
}

// release drops a reference to a chunk.
func (o *outbox) release(c *chunk) {
	if c.refs--; c.refs == 0 && len(c.buf) == chunkBytes {
		chunks.Put(c)
	}
}

// take returns the batches to write next, appended to dst: neighbours in one
// chunk, so that one write takes them all, or none when all are written. The
// caller seals each (sealBatches), writes them, and releases the chunk.
func (o *outbox) take(dst []batch) []batch {
	for o.next < o.batches.n {
		b := o.batches.at(o.next)
		if n := len(dst); n > 0 && (dst[n-1].c != b.c || dst[n-1].end != b.off) {
			break
		}
		b.sealed = true
		dst = append(dst, *b)
		o.next++
		if last := b.last(); last > o.written {
			o.written = last
		} else {
			o.resent += uint64(b.count)
		}
	}
	if len(dst) > 0 {
		dst[0].c.refs++
	}
	return dst
}

// sealBatches writes the headers of what take returned and returns the bytes
// of them all. It needs no lock: nobody else looks at a header.
func sealBatches(bs []batch) []byte {
	c := bs[0].c
	for _, b := range bs {
		frame := c.buf[b.off:b.end]
		binary.BigEndian.PutUint64(frame[headerSize:], b.first)
		putHeader(frame, header{typ: frameData, count: uint16(b.count)})
	}
	return c.buf[bs[0].off:bs[len(bs)-1].end]
}

// rewind makes the first batch that the peer has not received whole the next to
// write. It fails if the peer cannot have received up to there: then it is not
// the one that the messages were sent to.
func (o *outbox) rewind(received uint64) error {
	if received < o.acked || received > o.written {
		return fmt.Errorf("%w: peer has received up to %d, which is not between %d and %d", ErrProtocol, received, o.acked, o.written)
	}
	o.next = 0
	for o.next < o.batches.n && o.batches.at(o.next).last() <= received {
		o.next++
	}
	return nil
}

// ack drops what is acknowledged up to seq and appends those who await it to
// dst.
func (o *outbox) ack(seq uint64, dst []func(error)) ([]func(error), error) {
	if seq > o.written {
		return dst, fmt.Errorf("%w: peer acknowledges %d, sent were %d", ErrProtocol, seq, o.written)
	}
	if seq <= o.acked {
		return dst, nil
	}
	o.acked = seq
	for o.pending.n > 0 && o.pending.at(0).seq <= seq {
		dst = append(dst, o.pending.pop().done)
	}
	for o.batches.n > 0 {
		// An open batch has no message that was written.
		if b := o.batches.at(0); !b.sealed || b.last() > seq {
			break
		}
		o.drop()
	}
	o.trim()
	return dst, nil
}

// drop removes the oldest batch.
func (o *outbox) drop() {
	b := o.batches.pop()
	o.queued -= b.end - b.off
	o.next = max(0, o.next-1)
	o.release(b.c)
}

// trim gives the last chunk back when nothing is queued.
func (o *outbox) trim() {
	if o.batches.n == 0 && o.tail != nil {
		o.release(o.tail)
		o.tail = nil
	}
}

// fail empties the outbox for good and appends all who await something to dst.
func (o *outbox) fail(dst []func(error)) []func(error) {
	for o.pending.n > 0 {
		dst = append(dst, o.pending.pop().done)
	}
	for o.batches.n > 0 {
		o.drop()
	}
	o.trim()
	return dst
}

// messages is how many messages are not acknowledged.
func (o *outbox) messages() uint64 {
	if o.batches.n == 0 {
		return 0
	}
	return o.seq - o.acked
}
