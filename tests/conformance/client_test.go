package conformance

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"ermine/tests/conformance/brokertest"
)

// patience bounds every wait; none is expected to come near it.
const patience = 30 * time.Second

// both runs a test in 3.1.1 and in 5.0.
func both(t *testing.T, name string, fn func(t *testing.T, version byte)) {
	t.Helper()
	each(t, name+" (3.1.1)", name+" (5.0)", fn)
}

// each is both, for statements whose identifiers differ.
func each(t *testing.T, name311, name5 string, fn func(t *testing.T, version byte)) {
	t.Helper()
	t.Run(name311, func(t *testing.T) { fn(t, v311) })
	t.Run(name5, func(t *testing.T) { fn(t, v5) })
}

// broker is the broker under test.
type broker struct {
	*brokertest.Broker
	address string
}

func start(t testing.TB, configure ...func(*brokertest.Config)) *broker {
	t.Helper()
	b := brokertest.Start(t, configure...)
	return &broker{b, b.Address(t, "tcp:default")}
}

var serial atomic.Uint64

// unique is a client ID or topic that no other test uses.
func unique(prefix string) string { return fmt.Sprintf("%s%d", prefix, serial.Add(1)) }

// client is one connection to the broker.
type client struct {
	t       testing.TB
	conn    net.Conn
	in      *bufio.Reader
	version byte
	id      string
	connack packet
	last    uint16   // packet identifier
	early   []packet // messages read while an acknowledgement was due
}

// dial opens a connection and sends nothing.
func (b *broker) dial(t testing.TB, version byte) *client {
	t.Helper()
	conn, err := net.DialTimeout("tcp", b.address, patience)
	if err != nil {
		t.Fatal(err)
	}
	return newClient(t, conn, version)
}

func newClient(t testing.TB, conn net.Conn, version byte) *client {
	t.Cleanup(func() { conn.Close() })
	return &client{t: t, conn: conn, in: bufio.NewReader(conn), version: version}
}

// newConnect is a CONNECT that is accepted.
func newConnect(version byte) connect {
	c := connect{protocol: "MQTT", level: version, clean: true, id: unique("client-")}
	if version == v31 {
		c.protocol = "MQIsdp"
	}
	return c
}

// connect opens a connection that the broker accepts.
func (b *broker) connect(t testing.TB, version byte, configure ...func(*connect)) *client {
	t.Helper()
	c := b.dial(t, version)
	c.open(configure...)
	return c
}

// open sends a CONNECT that must be accepted.
func (c *client) open(configure ...func(*connect)) {
	c.t.Helper()
	pk := newConnect(c.version)
	for _, f := range configure {
		f(&pk)
	}
	c.id = pk.id
	c.send(pk.encode())
	c.connack = c.read()
	if c.connack.kind != tConnack || c.connack.code != 0 {
		c.t.Fatalf("got %v, want a CONNACK that accepts", c.connack)
	}
	if v, ok := c.connack.find(0x12); ok {
		c.id = v[2:]
	}
}

// named sets the client ID; kept is the same with a session that stays.
func named(id string) func(*connect) { return func(c *connect) { c.id = id } }

func kept(id string) func(*connect) {
	return func(c *connect) {
		c.id, c.clean = id, false
		if c.level == v5 {
			c.props = append(c.props, sessionExpiry(3600))
		}
	}
}

func with(props ...prop) func(*connect) {
	return func(c *connect) { c.props = append(c.props, props...) }
}

func withWill(w will) func(*connect) { return func(c *connect) { c.will = &w } }

// send sends bytes as they are.
func (c *client) send(packets ...[]byte) {
	c.t.Helper()
	if err := c.trySend(packets...); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

func (c *client) trySend(packets ...[]byte) error {
	c.conn.SetWriteDeadline(time.Now().Add(patience))
	for _, p := range packets {
		if _, err := c.conn.Write(p); err != nil {
			return err
		}
	}
	return nil
}

// put sends packets.
func (c *client) put(packets ...packet) {
	c.t.Helper()
	for _, p := range packets {
		c.send(p.encode(c.version))
	}
}

// next returns the next packet; io.EOF is a connection that has been closed.
func (c *client) next() (packet, error) {
	if len(c.early) > 0 {
		p := c.early[0]
		c.early = c.early[1:]
		return p, nil
	}
	return c.fromWire()
}

func (c *client) fromWire() (packet, error) {
	c.conn.SetReadDeadline(time.Now().Add(patience))
	first, err := c.in.ReadByte()
	if err != nil {
		return packet{}, err
	}
	n, shift := 0, 0
	for {
		b, err := c.in.ReadByte()
		if err != nil {
			return packet{}, fmt.Errorf("inside a packet: %w", err)
		}
		n |= int(b&0x7f) << shift
		if b < 0x80 {
			break
		}
		if shift += 7; shift > 21 {
			return packet{}, errors.New("remaining length of more than four bytes")
		}
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(c.in, body); err != nil {
		return packet{}, fmt.Errorf("inside a packet: %w", err)
	}
	return decode(c.version, first, body)
}

// read reads a packet that must come.
func (c *client) read() packet {
	c.t.Helper()
	p, err := c.next()
	if err != nil {
		c.t.Fatalf("%s: read: %v", c.id, err)
	}
	return p
}

// want reads packets that must be these, in this order.
func (c *client) want(packets ...packet) {
	c.t.Helper()
	for i, w := range packets {
		got := c.read()
		if got.String() != w.String() {
			c.t.Fatalf("%s: packet %d of %d:\n got %v\nwant %v", c.id, i+1, len(packets), got, w)
		}
	}
}

// answer reads the packet of an exchange: messages may come before it, and are
// kept for whoever reads next.
func (c *client) answer() packet {
	c.t.Helper()
	for {
		p, err := c.fromWire()
		if err != nil {
			c.t.Fatalf("%s: read: %v", c.id, err)
		}
		if p.kind != tPublish {
			return p
		}
		c.early = append(c.early, p)
	}
}

func (c *client) wantAnswer(want packet) {
	c.t.Helper()
	if got := c.answer(); got.String() != want.String() {
		c.t.Fatalf("%s:\n got %v\nwant %v", c.id, got, want)
	}
}

// wantClosed: the broker closes the connection and sends nothing before.
func (c *client) wantClosed() {
	c.t.Helper()
	p, err := c.next()
	if err == nil {
		c.t.Fatalf("%s: got %v, want the connection closed", c.id, p)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.Fatalf("%s: the connection is still open", c.id)
	}
}

// wantEnd: the broker ends the connection, in MQTT 5 with a DISCONNECT of this
// reason code before.
func (c *client) wantEnd(code byte) {
	c.t.Helper()
	if c.version == v5 {
		p := c.read()
		if p.kind != tDisconnect || p.code != code {
			c.t.Fatalf("%s: got %v, want DISCONNECT code %#02x", c.id, p, code)
		}
	}
	c.wantClosed()
}

// quiet: the broker has sent nothing that has not been read. See the package
// comment for when that means something.
func (c *client) quiet() {
	c.t.Helper()
	c.put(packet{kind: tPingreq})
	c.want(packet{kind: tPingresp})
}

func (c *client) nextID() uint16 {
	c.last++
	return c.last
}

// subscribe subscribes to filters, which must all be granted as asked.
func (c *client) subscribe(filters ...filter) {
	c.t.Helper()
	c.subscribeWith(nil, filters...)
}

func (c *client) subscribeWith(props []prop, filters ...filter) {
	c.t.Helper()
	id := c.nextID()
	var codes []byte
	for _, f := range filters {
		codes = append(codes, f.options&3)
	}
	c.put(packet{kind: tSubscribe, flags: 2, id: id, filters: filters, props: props})
	c.want(packet{kind: tSuback, id: id, codes: codes})
}

// publish publishes and completes the exchange; the broker must take it.
func (c *client) publish(topic, payload string, flags byte, props ...prop) {
	c.t.Helper()
	p := message(topic, payload, flags, 0, props...)
	if p.qos() == 0 {
		c.put(p)
		return
	}
	p.id = c.nextID()
	c.put(p)
	switch p.qos() {
	case 1:
		c.accepted(tPuback, p.id)
	case 2:
		c.accepted(tPubrec, p.id)
		c.put(ack(tPubrel, p.id))
		c.wantAnswer(ack(tPubcomp, p.id))
	}
}

// accepted reads an acknowledgement that says success, or that there was no
// subscriber.
func (c *client) accepted(kind byte, id uint16) {
	c.t.Helper()
	p := c.answer()
	if p.kind != kind || p.id != id || p.code != 0 && p.code != 0x10 {
		c.t.Fatalf("%s: got %v, want %s id %d", c.id, p, typeNames[kind], id)
	}
}

// receive reads a PUBLISH with this topic and payload, whatever its identifier,
// completes its exchange, and returns it.
func (c *client) receive(topic, payload string) packet {
	c.t.Helper()
	p := c.read()
	if p.kind != tPublish || p.topic != topic || p.payload != payload {
		c.t.Fatalf("%s: got %v, want PUBLISH %q payload %s", c.id, p, topic, abridged(payload))
	}
	switch p.qos() {
	case 1:
		c.put(ack(tPuback, p.id))
	case 2:
		c.put(ack(tPubrec, p.id))
		c.wantAnswer(ack(tPubrel, p.id))
		c.put(ack(tPubcomp, p.id))
	}
	return p
}

// leave says good-bye; drop goes without a word. Both return when the broker
// has noticed.
func (c *client) leave(b *broker, props ...prop) {
	c.t.Helper()
	c.put(packet{kind: tDisconnect, props: props})
	c.wantClosed()
	b.offline(c.t, c.id)
}

func (c *client) drop(b *broker) {
	c.t.Helper()
	c.conn.Close()
	b.offline(c.t, c.id)
}

// offline waits until the session of a client is gone or has no connection.
func (b *broker) offline(t testing.TB, id string) {
	t.Helper()
	until(t, fmt.Sprintf("%s is offline", id), func() bool {
		s, err := b.Session(id)
		return err != nil || !s.Online()
	})
}

// gone waits until there is no session of a client.
func (b *broker) gone(t testing.TB, id string) {
	t.Helper()
	until(t, fmt.Sprintf("the session of %s is gone", id), func() bool {
		_, err := b.Session(id)
		return err != nil
	})
}

// until polls for something that no packet tells.
func until(t testing.TB, what string, fn func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !fn() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// marker publishes to a topic that c has subscribed to and has c receive it:
// whatever was delivered to c before has been read then.
func (b *broker) marker(c *client, topic string) {
	c.t.Helper()
	p := b.connect(c.t, c.version)
	payload := unique("marker-")
	p.publish(topic, payload, qos1)
	c.receive(topic, payload)
}

// redial opens a connection to a session that is kept. It may run beside the
// test.
func (b *broker) redial(id string, version byte) (*client, error) {
	conn, err := net.DialTimeout("tcp", b.address, patience)
	if err != nil {
		return nil, err
	}
	c := &client{conn: conn, in: bufio.NewReader(conn), version: version, id: id}
	pk := newConnect(version)
	kept(id)(&pk)
	if err := c.trySend(pk.encode()); err != nil {
		return nil, err
	}
	c.connack, err = c.next()
	if err == nil && (c.connack.kind != tConnack || c.connack.code != 0) {
		err = fmt.Errorf("got %v", c.connack)
	}
	return c, err
}
