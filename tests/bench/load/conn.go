package load

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// readBuffer is how much a client reads at a time. With some hundreds of
// clients that is some megabytes; idle connections have none.
const readBuffer = 64 << 10

// handshakeTimeout bounds CONNECT to CONNACK and SUBSCRIBE to SUBACK.
const handshakeTimeout = 20 * time.Second

// ErrRefused is returned when the broker answers CONNECT or SUBSCRIBE with a
// failure.
var ErrRefused = errors.New("refused")

// conn is an MQTT connection after its CONNACK.
type conn struct {
	net.Conn
	protocol Protocol
	// inflight is how many QoS 1 and 2 messages the broker lets us have
	// unacknowledged: its Receive Maximum.
	inflight int

	writing sync.Mutex // one Write at a time

	buf  []byte
	head int // start of what is not yet parsed
	tail int // end of what has been read
}

// dial connects to a broker and waits for its CONNACK. local, where not empty,
// is the address to come from.
func dial(ctx context.Context, addr, local, clientID string, v Protocol) (*conn, error) {
	d := net.Dialer{Timeout: handshakeTimeout}
	if local != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(local)}
	}
	nc, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("connect %s: %w", clientID, err)
	}
	c := &conn{Conn: nc, protocol: v, inflight: defaultInflight}
	c.SetDeadline(time.Now().Add(handshakeTimeout))
	if _, err := c.Write(appendConnect(nil, v, clientID, 0)); err != nil {
		c.Close()
		return nil, fmt.Errorf("connect %s: %w", clientID, err)
	}
	p, err := c.handshake(typeConnack)
	if err == nil && (len(p.body) < 2 || p.body[1] != 0) {
		err = fmt.Errorf("%w: connack % x", ErrRefused, p.body)
	}
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("connect %s: %w", clientID, err)
	}
	if v == V5 {
		c.inflight = receiveMaximum(p.body)
	}
	c.SetDeadline(time.Time{})
	return c, nil
}

// subscribe subscribes to one filter and waits for the SUBACK.
func (c *conn) subscribe(filter string, qos byte) error {
	c.SetDeadline(time.Now().Add(handshakeTimeout))
	defer c.SetDeadline(time.Time{})
	if _, err := c.Write(appendSubscribe(nil, c.protocol, 1, filter, qos)); err != nil {
		return fmt.Errorf("subscribe %q: %w", filter, err)
	}
	p, err := c.handshake(typeSuback)
	if err != nil {
		return fmt.Errorf("subscribe %q: %w", filter, err)
	}
	if granted := p.body[len(p.body)-1]; granted != qos {
		return fmt.Errorf("subscribe %q: %w: granted 0x%02x", filter, ErrRefused, granted)
	}
	return nil
}

// handshake reads one packet, byte by byte as far as its length so that nothing
// that follows is taken, and checks its type.
func (c *conn) handshake(kind byte) (packet, error) {
	var buf []byte
	for {
		p, size, err := next(buf)
		if err != nil {
			return packet{}, err
		}
		if size > 0 {
			if p.kind() != kind || len(p.body) == 0 {
				return packet{}, fmt.Errorf("%w: packet type %d for %d", ErrMalformed, p.kind(), kind)
			}
			return p, nil
		}
		var one [1]byte
		if _, err := c.Read(one[:]); err != nil {
			return packet{}, err
		}
		buf = append(buf, one[0])
	}
}

// send writes b whole. Safe for concurrent use.
func (c *conn) send(b []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	_, err := c.Write(b)
	return err
}

// read fills the buffer with what has come, keeping what is not yet parsed.
func (c *conn) read() error {
	if c.buf == nil {
		c.buf = make([]byte, readBuffer)
	}
	if c.head > 0 {
		copy(c.buf, c.buf[c.head:c.tail])
		c.tail -= c.head
		c.head = 0
	}
	if c.tail == len(c.buf) {
		return fmt.Errorf("%w: packet larger than %d bytes", ErrMalformed, len(c.buf))
	}
	n, err := c.Read(c.buf[c.tail:])
	c.tail += n
	if n > 0 {
		return nil
	}
	return err
}

// parse takes the next whole packet from the buffer; ok is false where there is
// none.
func (c *conn) parse() (p packet, ok bool, err error) {
	p, size, err := next(c.buf[c.head:c.tail])
	c.head += size
	return p, size > 0, err
}
