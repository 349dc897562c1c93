package hook

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strconv"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"ermine/mqtt/wire"
)

// handshake is a connection as mochi sees it: it gives mochi one packet, the
// CONNECT, and takes one from it, the CONNACK. What mochi does besides (set
// deadlines, close at the end) is of no consequence, because the connection
// goes on without it.
type handshake struct {
	*connection
	id     string // mochi's name for the client: unique, so that it takes nothing over
	unread []byte // of the CONNECT
	err    error  // why the client was refused
	*request
}

// open performs the handshake. After it has returned nil, the session is open
// and CONNACK has been sent.
func (c *connection) open(listenerID string, serial uint64) error {
	first, body, err := c.readPacket() // a CONNECT: the listener lets nothing else pass first
	if err != nil {
		return err
	}
	c.hook.countConnect(c)
	if c.version, err = wire.CheckConnect(body); err != nil {
		c.refuse(err)
		return err
	}
	c.bridge = wire.ClearBridgeBit(body)
	packet := append(wire.AppendHeader(make([]byte, 0, 5+len(body)), first, len(body)), body...)
	hs := &handshake{connection: c, id: strconv.FormatUint(serial, 36), unread: packet}
	err = c.hook.mochi.EstablishConnection(listenerID, hs)
	switch {
	case hs.err != nil:
		return hs.err
	case err != nil:
		return err
	case c.phase.Load() == opening:
		return errors.New("handshake ended without connack")
	}
	c.conn.Flush()
	return nil
}

// Read gives mochi the CONNECT.
func (hs *handshake) Read(p []byte) (int, error) {
	if len(hs.unread) == 0 {
		return 0, net.ErrClosed // mochi reads one packet; the rest is not its business
	}
	n := copy(p, hs.unread)
	hs.unread = hs.unread[n:]
	return n, nil
}

// Write takes the CONNACK.
func (hs *handshake) Write(p []byte) (int, error) {
	ok := hs.appendIn(opening, wire.TypeConnack, func(b []byte) []byte {
		if !hs.phase.CompareAndSwap(opening, connected) {
			return b
		}
		return append(b, p...)
	})
	if !ok { // taken over, or kicked, before it was connected
		return 0, net.ErrClosed
	}
	return len(p), nil
}

func (hs *handshake) Close() error                     { return nil }
func (hs *handshake) LocalAddr() net.Addr              { return hs.conn.LocalAddr() }
func (hs *handshake) RemoteAddr() net.Addr             { return hs.conn.RemoteAddr() }
func (hs *handshake) SetDeadline(time.Time) error      { return nil }
func (hs *handshake) SetReadDeadline(time.Time) error  { return nil }
func (hs *handshake) SetWriteDeadline(time.Time) error { return nil }

// handshakes is the hook in mochi's sense. One handshake calls it in the order
// OnPacketRead, OnConnect, OnConnectAuthenticate, OnPacketEncode,
// OnSessionEstablished, all on the connection's goroutine.
type handshakes struct {
	mochi.HookBase
	hook *Hook
}

// ID names the hook in mochi's logs.
func (*handshakes) ID() string { return "ermine" }

// Provides says which of its methods mochi is to call.
func (*handshakes) Provides(b byte) bool {
	switch b {
	case mochi.OnPacketRead, mochi.OnConnect, mochi.OnConnectAuthenticate, mochi.OnPacketEncode, mochi.OnSessionEstablished:
		return true
	}
	return false
}

func handshakeOf(cl *mochi.Client) *handshake {
	hs, _ := cl.Net.Conn.(*handshake)
	return hs
}

// OnPacketRead takes what there is to know from the CONNECT, and leaves mochi a
// CONNECT that asks for nothing: no will, no expiry, a clean start, an
// identifier of its own. Empty payloads and passwords, which mochi would
// refuse, are allowed.
func (h *handshakes) OnPacketRead(cl *mochi.Client, pk packets.Packet) (packets.Packet, error) {
	hs := handshakeOf(cl)
	if pk.FixedHeader.Type != packets.Connect {
		return pk, packets.ErrRejectPacket
	}
	hs.request = &request{packet: pk}
	p := &pk.Connect
	p.ClientIdentifier, p.Clean = hs.id, true
	p.Username, p.UsernameFlag, p.Password, p.PasswordFlag = nil, false, nil, false
	p.WillFlag, p.WillRetain, p.WillQos = false, false, 0
	p.WillTopic, p.WillPayload, p.WillProperties = "", nil, packets.Properties{}
	pk.Properties = packets.Properties{
		// These two mochi heeds when it encodes CONNACK.
		MaximumPacketSize:   pk.Properties.MaximumPacketSize,
		RequestResponseInfo: pk.Properties.RequestResponseInfo,
	}
	return pk, nil
}

// OnConnect lets the client in and opens its session, or refuses it: then
// mochi is told to send nothing.
func (h *handshakes) OnConnect(cl *mochi.Client, _ packets.Packet) error {
	hs := handshakeOf(cl)
	if hs.err = hs.admit(hs.request); hs.err != nil {
		hs.refuse(hs.err)
	}
	return hs.err
}

// OnConnectAuthenticate: that has been done.
func (h *handshakes) OnConnectAuthenticate(*mochi.Client, packets.Packet) bool { return true }

// OnPacketEncode makes the CONNACK say what this server has to say.
func (h *handshakes) OnPacketEncode(cl *mochi.Client, pk packets.Packet) packets.Packet {
	hs := handshakeOf(cl)
	if pk.FixedHeader.Type == packets.Connack && pk.ReasonCode == wire.Success && hs.request != nil {
		pk.SessionPresent = hs.request.present // [MQTT-3.2.2-2] [MQTT-3.2.2-3]
		pk.Properties = hs.request.connack
	}
	return pk
}

// OnSessionEstablished, with CONNACK written, ends mochi's part: its read loop
// does not begin for a client that is stopped.
func (h *handshakes) OnSessionEstablished(cl *mochi.Client, _ packets.Packet) { cl.Stop(nil) }

// quiet is the logger for mochi: what it finds worth an Info or Warn is of its
// own concern, and what matters is logged here.
func quiet(l *slog.Logger) *slog.Logger { return slog.New(lowered{l.Handler()}) }

type lowered struct{ slog.Handler }

func (h lowered) Enabled(ctx context.Context, _ slog.Level) bool {
	return h.Handler.Enabled(ctx, slog.LevelDebug)
}

func (h lowered) Handle(ctx context.Context, r slog.Record) error {
	r.Level = slog.LevelDebug
	return h.Handler.Handle(ctx, r)
}

func (h lowered) WithAttrs(a []slog.Attr) slog.Handler { return lowered{h.Handler.WithAttrs(a)} }
func (h lowered) WithGroup(n string) slog.Handler      { return lowered{h.Handler.WithGroup(n)} }
