package hook

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"ermine/actors/message"
	"ermine/actors/metrics"
	"ermine/actors/session"
	"ermine/mqtt/auth"
	"ermine/mqtt/listener"
	"ermine/mqtt/wire"
)

// Message is the application message.
type Message = message.Message

// connection is one client's connection. Its fields are written by the
// connection's own goroutine before the session is opened, and afterwards by
// their owners only.
type connection struct {
	hook    *Hook
	conn    *listener.Conn
	session Session // nil until opened
	client  *session.Client
	auth    *auth.Client
	until   time.Time   // when the client's credentials expire; zero is never
	expires *time.Timer // ends the connection then
	zone    *Zone
	mount   string        // the mountpoint, expanded; empty is none
	alive   time.Duration // how long the client may be silent; 0 is for ever
	version byte
	stripe  uint32

	// Of the client's CONNECT.
	maxPacket  uint32 // 0 is unlimited [MQTT-3.1.2-24]
	expiry     uint32 // Session Expiry Interval as agreed
	noProblems bool   // no reason strings [MQTT-3.1.2-29]
	bridge     bool   // an MQTT 3 bridge to another broker

	// Of the read loop.
	spoke     bool   // a packet has come since the deadline was set
	topic     string // of the last PUBLISH, validated
	inAliases inboundAliases
	bye       wire.Disconnect // what the client's DISCONNECT said
	bytesIn   uint64          // bytes read that have been counted
	head      [5]byte
	small     [4]byte

	// phase changes under the lock of the output buffer, where also everything is
	// appended: so nothing gets in front of CONNACK or behind DISCONNECT.
	phase atomic.Uint32

	// Of the session's process.
	outAliases outboundAliases
}

// The phases of a connection.
const (
	opening   uint32 = iota // nothing has been sent
	connected               // CONNACK has been appended
	ended                   // nothing more will be appended [MQTT-3.14.4-1] [MQTT-3.14.4-2]
)

// serve reads packets and dispatches them until the connection ends. It
// returns errDisconnected for a client that has said good-bye, a
// *wire.ReasonError for one that has broken the rules, else why reading ended.
//
// What is dispatched gets no context to be cancelled: whatever blocks has its
// own bound, and the end of the connection shows in Read and in the session's
// errors.
func (c *connection) serve() error {
	c.conn.SetBeforeRead(c.idle)
	c.conn.SetOnWritable(c.session.Writable)
	c.speaks() // the deadline was that for CONNECT
	c.session.Attach()
	for {
		first, body, err := c.readPacket()
		if err != nil {
			return err
		}
		if !c.spoke {
			c.speaks()
		}
		if err := c.dispatch(context.Background(), first, body); err != nil {
			return err
		}
	}
}

// speaks notes that a packet has come. There is no deadline until the
// connection waits again: however long the packet takes to be dispatched, that
// is not the client's silence.
func (c *connection) speaks() {
	c.spoke = true
	_ = c.conn.SetReadDeadline(time.Time{}) // fails only where the socket is closed
}

// idle runs before the connection's goroutine waits for input: whatever has
// been answered leaves now, and the client has its time to speak again from
// now on if it has spoken since.
func (c *connection) idle() {
	if c.spoke {
		c.spoke = false
		if c.alive > 0 {
			_ = c.conn.SetReadDeadline(time.Now().Add(c.alive)) // fails only where the socket is closed
		}
	}
	c.countInput()
	c.session.Idle()
	c.conn.Flush()
}

// countInput adds what has been read since the last time to bytes.received.
func (c *connection) countInput() {
	if n := c.conn.BytesIn(); n != c.bytesIn {
		c.hook.metrics.Add(c.stripe, metrics.BytesReceived, n-c.bytesIn)
		c.bytesIn = n
	}
}

// readPacket returns the first byte of the next packet and its body: a buffer
// of its own where the decoder keeps parts of it, else valid until the next
// call. The listener hands out whole packets within the size
// limit only, so that the declared length is there.
func (c *connection) readPacket() (first byte, body []byte, err error) {
	// A Read never returns less of a whole packet than there is room for.
	if _, err := c.conn.Read(c.head[:2]); err != nil {
		return 0, nil, err
	}
	n := int(c.head[1] & 0x7f)
	for i := 1; c.head[i] >= 0x80; i++ {
		if i == 4 {
			return 0, nil, listener.ErrMalformedPacket
		}
		if _, err := c.conn.Read(c.head[i+1 : i+2]); err != nil {
			return 0, nil, err
		}
		n |= int(c.head[i+1]&0x7f) << (7 * i)
	}
	body = c.room(n)
	for off := 0; off < n; {
		m, err := c.conn.Read(body[off:])
		if err != nil {
			return 0, nil, err
		}
		off += m
	}
	return c.head[0], body, nil
}

// room returns a buffer for the body of the packet whose first byte is in head.
func (c *connection) room(n int) []byte {
	switch c.head[0] >> 4 {
	case wire.TypePuback, wire.TypePubrec, wire.TypePubrel, wire.TypePubcomp, wire.TypePingreq:
		if n <= len(c.small) {
			return c.small[:n]
		}
	}
	return make([]byte, n)
}

// dispatch takes one packet.
func (c *connection) dispatch(ctx context.Context, first byte, body []byte) error {
	m := c.hook.metrics
	m.Inc(c.stripe, metrics.PacketsReceived)
	if err := wire.CheckFlags(first); err != nil {
		return err
	}
	switch kind := first >> 4; kind {
	case wire.TypePublish:
		return c.publish(ctx, first, body)
	case wire.TypePuback, wire.TypePubrec, wire.TypePubrel, wire.TypePubcomp:
		return c.ack(kind, body)
	case wire.TypeSubscribe:
		return c.subscribe(ctx, body)
	case wire.TypeUnsubscribe:
		return c.unsubscribe(ctx, body)
	case wire.TypePingreq:
		m.Inc(c.stripe, metrics.PacketsPingreqReceived)
		if len(body) > 0 {
			return errPingBody
		}
		c.append(wire.TypePingresp, func(b []byte) []byte { return append(b, wire.TypePingresp<<4, 0) }) // [MQTT-3.12.4-1]
		return nil
	case wire.TypeDisconnect:
		m.Inc(c.stripe, metrics.PacketsDisconnectReceived)
		return c.disconnected(body)
	case wire.TypeConnect:
		return errSecondConnect
	case wire.TypeAuth:
		m.Inc(c.stripe, metrics.PacketsAuthReceived)
		if c.version != wire.V5 {
			return errReservedType
		}
		return errAuthPacket
	case wire.TypeConnack, wire.TypeSuback, wire.TypeUnsuback, wire.TypePingresp:
		return errFromServerOnly
	default:
		return errReservedType
	}
}

// ack takes a PUBACK, PUBREC, PUBREL or PUBCOMP.
func (c *connection) ack(kind byte, body []byte) error {
	id, code, err := wire.DecodeAck(c.version, kind, body)
	if err != nil {
		return err
	}
	c.hook.metrics.Inc(c.stripe, ackReceived[kind-wire.TypePuback])
	if kind == wire.TypePubrel {
		c.session.Release(id)
		return nil
	}
	c.session.Ack(session.AckKind(kind), id, code)
	return nil
}

var ackReceived = [4]metrics.Counter{
	metrics.PacketsPubackReceived, metrics.PacketsPubrecReceived,
	metrics.PacketsPubrelReceived, metrics.PacketsPubcompReceived,
}

// disconnected takes the client's DISCONNECT.
func (c *connection) disconnected(body []byte) error {
	d, err := wire.DecodeDisconnect(c.version, body)
	if err != nil {
		return err
	}
	if d.HasExpiry && d.Expiry > 0 && c.expiry == 0 { // section 3.14.2.2.2
		return errExpiryRaised
	}
	c.bye = d
	c.phase.Store(ended)
	return errDisconnected
}

// sessionError turns an error of the session into the end of the connection.
func sessionError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, session.ErrReceiveMaximum):
		return errReceiveMaximum
	case errors.Is(err, session.ErrClosed):
		return err // somebody else has ended the connection, with a reason
	default:
		return fmt.Errorf("%w: %w", err, errBusy)
	}
}
