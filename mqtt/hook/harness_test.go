package hook_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"ermine/actors/message"
	"ermine/actors/metrics"
	"ermine/actors/session"
	"ermine/mqtt/auth"
	"ermine/mqtt/hook"
	"ermine/mqtt/listener"
	"ermine/mqtt/wire"
)

// patience bounds every wait of these tests; none of them is expected to come
// near it.
const patience = 10 * time.Second

// world is a hook behind a listener on loopback, with a broker that only
// records.
type world struct {
	t       testing.TB
	zone    *hook.Zone
	access  *access
	broker  *broker
	metrics *metrics.Set
	address string
	set     *listener.Set
}

// newWorld starts one; configure may change anything before.
func newWorld(t testing.TB, configure ...func(w *world, l *listener.Config)) *world {
	t.Helper()
	zone := hook.DefaultZone()
	w := &world{t: t, zone: &zone, access: &access{}, broker: newBroker(), metrics: metrics.NewSet()}
	lc := listener.DefaultConfig(listener.TCP, "test")
	lc.Bind = "127.0.0.1:0"
	for _, f := range configure {
		f(w, &lc)
	}
	h, err := hook.New(hook.Config{
		Logger: slog.New(slog.DiscardHandler), Metrics: w.metrics, Open: w.broker.open,
		Authentication: auth.NewAuthentication(true, w.access),
		Authorization:  auth.NewAuthorization(auth.DefaultAuthorizationConfig(), w.access),
		DenyDisconnect: w.access.disconnect,
		Zones:          map[string]*hook.Zone{"default": w.zone}, OpenTimeout: patience,
	})
	if err != nil {
		t.Fatal(err)
	}
	w.set, err = listener.NewSet([]listener.Config{lc}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.set.Listen(); err != nil {
		t.Fatal(err)
	}
	w.set.Serve(h.Establish)
	t.Cleanup(func() { w.set.Close(nil) })
	w.address = w.set.Status()[0].Address
	return w
}

// access allows everything but what it lists.
type access struct {
	mu         sync.Mutex
	logins     []auth.Credentials
	users      []string
	connect    auth.Result     // of authentication, if its decision is not Ignore
	denied     map[string]bool // topics and filters
	disconnect bool            // deny_action
}

func (a *access) Authenticate(_ context.Context, c *auth.Client, cred auth.Credentials) (auth.Result, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.logins, a.users = append(a.logins, cred), append(a.users, c.ClientID+" "+c.Username)
	if a.connect.Decision != auth.Ignore {
		return a.connect, nil
	}
	return auth.Result{Decision: auth.Allow}, nil
}

func (a *access) Authorize(_ context.Context, _ *auth.Client, _ auth.Action, topic string) auth.Decision {
	if a.denied[topic] {
		return auth.Deny
	}
	return auth.Allow
}

// broker opens sessions that record what connections do.
type broker struct {
	mu      sync.Mutex
	err     error
	present bool
	onOpen  func(s *fakeSession)
	opened  chan *fakeSession
}

func newBroker() *broker { return &broker{opened: make(chan *fakeSession, 16)} }

func (b *broker) open(_ context.Context, req session.OpenRequest) (hook.Session, bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return nil, false, b.err
	}
	s := &fakeSession{req: req, events: make(chan event, 1024)}
	if b.onOpen != nil {
		b.onOpen(s)
	}
	b.opened <- s
	return s, b.present, nil
}

// event is one call of a Session.
type event struct {
	call  string // attach, publish, refuse, release, ack, subscribe, unsubscribe, close
	id    uint16
	kind  session.AckKind
	code  byte
	msg   *message.Message
	sub   session.SubscribeRequest
	unsub session.UnsubscribeRequest
	cause session.CloseCause
}

type fakeSession struct {
	req     session.OpenRequest
	events  chan event
	publish error

	onPublish func() // in place of an event
}

func (s *fakeSession) Attach() {
	if s.events != nil {
		s.events <- event{call: "attach"}
	}
}

func (s *fakeSession) Idle()          {}
func (s *fakeSession) Writable()      { s.events <- event{call: "writable"} }
func (s *fakeSession) Stripe() uint32 { return 3 }

func (s *fakeSession) Publish(m *message.Message, id uint16) error {
	if s.publish != nil {
		return s.publish
	}
	switch m.QoS {
	case 1:
		s.req.Conn.WriteAck(session.Puback, id, 0)
	case 2:
		s.req.Conn.WriteAck(session.Pubrec, id, 0)
	}
	if s.onPublish != nil {
		s.onPublish()
		return nil
	}
	s.events <- event{call: "publish", id: id, msg: m}
	return nil
}

func (s *fakeSession) Refuse(kind session.AckKind, id uint16, code byte) error {
	s.req.Conn.WriteAck(kind, id, code)
	s.events <- event{call: "refuse", kind: kind, id: id, code: code}
	return nil
}

func (s *fakeSession) Release(id uint16) {
	s.req.Conn.WriteAck(session.Pubcomp, id, 0)
	s.events <- event{call: "release", id: id}
}

func (s *fakeSession) Ack(kind session.AckKind, id uint16, code byte) {
	s.events <- event{call: "ack", kind: kind, id: id, code: code}
}

func (s *fakeSession) Subscribe(_ context.Context, r session.SubscribeRequest) error {
	codes := bytes.Clone(r.Codes)
	for i := range codes {
		if codes[i] < 0x80 {
			codes[i] = r.Subs[i].QoS
		}
	}
	s.req.Conn.WriteSuback(r.PacketID, codes)
	s.events <- event{call: "subscribe", sub: r}
	return nil
}

func (s *fakeSession) Unsubscribe(_ context.Context, r session.UnsubscribeRequest) error {
	s.req.Conn.WriteUnsuback(r.PacketID, make([]byte, len(r.Filters)))
	s.events <- event{call: "unsubscribe", unsub: r}
	return nil
}

func (s *fakeSession) Close(cause session.CloseCause) {
	if s.events != nil {
		s.events <- event{call: "close", cause: cause}
	}
}

// expect returns the next event, which must be this call.
func (s *fakeSession) expect(t testing.TB, call string) event {
	t.Helper()
	select {
	case e := <-s.events:
		if e.call != call {
			t.Fatalf("session: %+v, want %s", e, call)
		}
		return e
	case <-time.After(patience):
		t.Fatalf("session: nothing, want %s", call)
	}
	return event{}
}

// session returns the next session that is opened.
func (w *world) session() *fakeSession {
	w.t.Helper()
	select {
	case s := <-w.broker.opened:
		return s
	case <-time.After(patience):
		w.t.Fatal("no session was opened")
	}
	return nil
}

// client is a raw socket.
type client struct {
	t    testing.TB
	conn net.Conn
}

func (w *world) dial() *client {
	w.t.Helper()
	nc, err := net.DialTimeout("tcp", w.address, patience)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = nc.Close() })
	if err := nc.SetDeadline(time.Now().Add(patience)); err != nil {
		w.t.Fatal(err)
	}
	return &client{w.t, nc}
}

// connect dials and completes a handshake.
func (w *world) connect(version byte) (*client, *fakeSession) {
	w.t.Helper()
	c := w.dial()
	c.send(connectPacket{version: version, id: "c", clean: true}.bytes())
	p := c.packet()
	if p[0] != 0x20 || p[3] != 0 {
		w.t.Fatalf("connack %x", p)
	}
	s := w.session()
	s.expect(w.t, "attach")
	return c, s
}

func (c *client) send(b []byte) {
	c.t.Helper()
	if _, err := c.conn.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

// packet reads one packet.
func (c *client) packet() []byte {
	c.t.Helper()
	p, err := c.read()
	if err != nil {
		c.t.Fatalf("read packet: %v", err)
	}
	return p
}

func (c *client) read() ([]byte, error) {
	p := make([]byte, 1, 64)
	if _, err := io.ReadFull(c.conn, p); err != nil {
		return nil, err
	}
	n := 0
	for shift := 0; ; shift += 7 {
		var b [1]byte
		if _, err := io.ReadFull(c.conn, b[:]); err != nil {
			return nil, err
		}
		p = append(p, b[0])
		n |= int(b[0]&0x7f) << shift
		if b[0] < 0x80 {
			break
		}
	}
	body := make([]byte, n)
	_, err := io.ReadFull(c.conn, body)
	return append(p, body...), err
}

// expect reads one packet, which must be this one.
func (c *client) expect(want string) {
	c.t.Helper()
	if got := c.packet(); !bytes.Equal(got, unhex(want)) {
		c.t.Fatalf("got  %x\nwant %x", got, unhex(want))
	}
}

// expectEnd reads to the end of the stream, where nothing may be left.
func (c *client) expectEnd() {
	c.t.Helper()
	switch p, err := c.read(); {
	case err == nil:
		c.t.Fatalf("got %x, want the end of the connection", p)
	case !errors.Is(err, io.EOF):
		c.t.Fatalf("read: %v, want the end of the connection", err)
	}
}

// expectDisconnect reads a DISCONNECT with this code, and the end.
func (c *client) expectDisconnect(code byte) {
	c.t.Helper()
	p := c.packet()
	if p[0] != 0xe0 || p[2] != code {
		c.t.Fatalf("got %x, want disconnect 0x%02x (%s)", p, code, wire.Reason(code))
	}
	c.expectEnd()
}

// connectPacket builds a CONNECT.
type connectPacket struct {
	version  byte
	name     string // protocol name; by version if empty
	id       string
	clean    bool
	alive    uint16
	props    string // hexadecimal, without length
	flags    byte   // more than clean
	rest     string // hexadecimal, behind the client ID
	tail     []byte // likewise
	rawLevel byte   // in place of version
}

func (p connectPacket) bytes() []byte {
	name := p.name
	if name == "" {
		name = "MQTT"
		if p.version == 3 {
			name = "MQIsdp"
		}
	}
	level := p.version
	if p.rawLevel != 0 {
		level = p.rawLevel
	}
	flags := p.flags
	if p.clean {
		flags |= 2
	}
	b := append(str(name), level, flags, byte(p.alive>>8), byte(p.alive))
	if p.version == 5 {
		b = append(b, properties(p.props)...)
	}
	b = append(b, str(p.id)...)
	b = append(b, unhex(p.rest)...)
	b = append(b, p.tail...)
	return packet(0x10, b)
}

// packet puts a fixed header in front of a body.
func packet(first byte, body []byte) []byte {
	return append(wire.AppendHeader(nil, first, len(body)), body...)
}

func str[T ~string | ~[]byte](s T) []byte {
	return append([]byte{byte(len(s) >> 8), byte(len(s))}, s...)
}

// properties puts the length in front of properties.
func properties(s string) []byte {
	b := unhex(s)
	return append(wire.AppendHeader(nil, 0, len(b))[1:], b...)
}

// publishPacket builds a PUBLISH.
func publishPacket(version, first byte, topic string, id uint16, props, payload string) []byte {
	b := str(topic)
	if first&0x06 != 0 {
		b = append(b, byte(id>>8), byte(id))
	}
	if version == 5 {
		b = append(b, properties(props)...)
	}
	return packet(first, append(b, payload...))
}

// subscribePacket builds a SUBSCRIBE of filters with options.
func subscribePacket(version byte, id uint16, props string, filters ...any) []byte {
	b := []byte{byte(id >> 8), byte(id)}
	if version == 5 {
		b = append(b, properties(props)...)
	}
	for i := 0; i < len(filters); i += 2 {
		b = append(b, str(filters[i].(string))...)
		b = append(b, byte(filters[i+1].(int)))
	}
	return packet(0x82, b)
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(fmt.Sprintf("test data %q: %v", s, err))
	}
	return b
}
