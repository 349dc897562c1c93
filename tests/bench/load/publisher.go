package load

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"
)

// A message's payload begins with these; the rest is filler.
const (
	offPublisher = 0
	offSequence  = 4
	offSent      = 12
	headerSize   = 20
)

// writeBatch bounds one write of a publisher, in bytes.
const writeBatch = 32 << 10

// epoch is what times in payloads are counted from, on the monotonic clock.
var epoch = time.Now()

func sinceEpoch() int64 { return int64(time.Since(epoch)) }

// publisher sends numbered messages to one topic.
type publisher struct {
	*conn
	id     int
	qos    byte
	fanOut int64 // subscribers that each message reaches
	window int64 // messages that may be undelivered, or not acknowledged
	batch  int64 // messages in one write
	step   int64 // a full window waits until so many have been delivered
	packet []byte
	// Offsets into packet of what changes from message to message.
	idAt, payloadAt int

	sent      atomic.Int64 // messages written
	delivered atomic.Int64 // deliveries seen by the subscribers
	acked     atomic.Int64 // messages whose QoS 1 or 2 exchange is complete
	// wakeDelivered and wakeAcked are the counts that a waiting publisher
	// wants to see; at rest they are out of reach.
	wakeDelivered, wakeAcked atomic.Int64
	wake                     chan struct{}
}

const atRest = int64(1) << 62

func newPublisher(c *conn, id int, topic string, s Spec, fanOut int) *publisher {
	p := &publisher{
		conn: c, id: id, qos: s.QoS, fanOut: int64(fanOut),
		window: int64(s.Window), step: int64(s.Step),
		batch: int64(s.Batch), wake: make(chan struct{}, 1),
	}
	if p.batch <= 0 {
		p.batch = p.window
	}
	if s.QoS > 0 {
		p.window = min(p.window, int64(c.inflight))
		if s.Exchanges > 0 {
			p.window = min(p.window, int64(s.Exchanges))
		}
	}
	p.step = max(1, min(p.step, p.window))
	p.wakeDelivered.Store(atRest)
	p.wakeAcked.Store(atRest)

	body := appendString(nil, topic)
	idInBody := len(body)
	if s.QoS > 0 {
		body = append(body, 0, 0)
	}
	if c.protocol == V5 {
		body = append(body, 0)
	}
	payloadInBody := len(body)
	body = append(body, make([]byte, s.Payload)...)
	for i := payloadInBody + headerSize; i < len(body); i++ {
		body[i] = 'x'
	}
	p.packet = appendPacket(nil, typePublish<<4|s.QoS<<1, body)
	head := len(p.packet) - len(body)
	p.idAt, p.payloadAt = head+idInBody, head+payloadInBody
	binary.BigEndian.PutUint32(p.packet[p.payloadAt+offPublisher:], uint32(id))
	return p
}

// appendMessage appends the message with the given number.
func (p *publisher) appendMessage(b []byte, n int64, now int64) []byte {
	at := len(b)
	b = append(b, p.packet...)
	if p.qos > 0 {
		binary.BigEndian.PutUint16(b[at+p.idAt:], uint16(n%65535+1))
	}
	binary.BigEndian.PutUint64(b[at+p.payloadAt+offSequence:], uint64(n))
	binary.BigEndian.PutUint64(b[at+p.payloadAt+offSent:], uint64(now))
	return b
}

// room is how many messages the window has room for.
func (p *publisher) room() int64 {
	done := p.delivered.Load() / p.fanOut
	if p.qos > 0 {
		done = min(done, p.acked.Load())
	}
	return p.window - (p.sent.Load() - done)
}

// publish keeps the window full until ctx ends.
func (p *publisher) publish(ctx context.Context) error {
	batch := make([]byte, 0, writeBatch+len(p.packet))
	for {
		room := p.room()
		if room < p.step && p.sent.Load() > 0 {
			if err := p.awaitRoom(ctx); err != nil {
				return nil
			}
			continue
		}
		if ctx.Err() != nil {
			return nil
		}
		batch = batch[:0]
		first := p.sent.Load()
		n := first
		room = min(room, p.batch)
		for now := sinceEpoch(); room > 0 && len(batch) < writeBatch; room-- {
			batch = p.appendMessage(batch, n, now)
			n++
		}
		p.sent.Store(n)
		if err := p.send(batch); err != nil {
			return fmt.Errorf("publisher %d: %w", p.id, err)
		}
	}
}

// awaitRoom blocks until the window has room for step messages.
func (p *publisher) awaitRoom(ctx context.Context) error {
	need := p.sent.Load() - p.window + p.step
	p.wakeDelivered.Store(need * p.fanOut)
	if p.qos > 0 {
		p.wakeAcked.Store(need)
	}
	// What came before the marks were set has not woken us.
	for p.room() < p.step {
		select {
		case <-p.wake:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	p.wakeDelivered.Store(atRest)
	p.wakeAcked.Store(atRest)
	return nil
}

// noteDelivered adds deliveries; subscribers call it, any number at a time.
func (p *publisher) noteDelivered(n int64) {
	if p.delivered.Add(n) >= p.wakeDelivered.Load() {
		p.rouse()
	}
}

func (p *publisher) rouse() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// pace sends one message every interval until ctx ends.
func (p *publisher) pace(ctx context.Context, interval time.Duration) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	due := time.Now()
	batch := make([]byte, 0, 2*len(p.packet))
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return nil
		}
		for now := time.Now(); !due.After(now); now = time.Now() {
			at := now
			if p.room() <= 0 {
				// The broker is so far behind that the loop has closed. The wait
				// is its own, so the message's time is the one it was due at.
				if err := p.awaitRoom(ctx); err != nil {
					return nil
				}
				at = due
			}
			n := p.sent.Load()
			batch = p.appendMessage(batch[:0], n, int64(at.Sub(epoch)))
			p.sent.Store(n + 1)
			if err := p.send(batch); err != nil {
				return fmt.Errorf("publisher %d: %w", p.id, err)
			}
			due = due.Add(interval)
		}
		timer.Reset(time.Until(due))
	}
}

// readAcks completes the exchanges of QoS 1 and 2 until the connection closes.
func (p *publisher) readAcks() error {
	out := make([]byte, 0, readBuffer)
	for {
		if err := p.read(); err != nil {
			return closedByUs(err, "publisher", p.id)
		}
		out = out[:0]
		var done int64
		for {
			in, ok, err := p.parse()
			if err != nil {
				return fmt.Errorf("publisher %d: %w", p.id, err)
			}
			if !ok {
				break
			}
			switch in.kind() {
			case typePuback, typePubcomp:
				done++
			case typePubrec:
				id, failed, err := ackID(in)
				if err != nil {
					return fmt.Errorf("publisher %d: %w", p.id, err)
				}
				if failed != 0 {
					return fmt.Errorf("publisher %d: %w: pubrec 0x%02x", p.id, ErrRefused, failed)
				}
				out = appendAck(out, typePubrel, id)
			case typeDisconnect:
				return fmt.Errorf("publisher %d: %w: disconnect % x", p.id, ErrRefused, in.body)
			default:
				return fmt.Errorf("publisher %d: %w: unexpected packet type %d", p.id, ErrMalformed, in.kind())
			}
			if in.kind() == typePuback {
				if _, failed, _ := ackID(in); failed != 0 {
					return fmt.Errorf("publisher %d: %w: puback 0x%02x", p.id, ErrRefused, failed)
				}
			}
		}
		if done > 0 && p.acked.Add(done) >= p.wakeAcked.Load() {
			p.rouse()
		}
		if len(out) > 0 {
			if err := p.send(out); err != nil {
				return closedByUs(err, "publisher", p.id)
			}
		}
	}
}

// closedByUs turns the error that ends a read after our own Close into nil.
func closedByUs(err error, who string, id int) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	if errors.Is(err, io.EOF) {
		err = errors.New("closed by the broker")
	}
	return fmt.Errorf("%s %d: %w", who, id, err)
}
