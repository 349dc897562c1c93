package hook

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"sync/atomic"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"

	"ermine/actors/metrics"
	"ermine/actors/session"
	"ermine/mqtt/listener"
	"ermine/mqtt/wire"
)

// Hook establishes connections. One serves all listeners of a node.
type Hook struct {
	conf    Config
	log     *slog.Logger
	metrics *metrics.Set
	now     func() time.Time
	mochi   *mochi.Server
	serial  atomic.Uint64 // connections so far
}

// New prepares a hook. It starts nothing.
func New(conf Config) (*Hook, error) {
	if err := conf.Validate(); err != nil {
		return nil, err
	}
	h := &Hook{conf: conf, log: conf.Logger, metrics: conf.Metrics, now: conf.Now}
	if h.now == nil {
		h.now = time.Now
	}
	if h.conf.OpenTimeout <= 0 {
		h.conf.OpenTimeout = 30 * time.Second
	}
	caps := mochi.NewDefaultServerCapabilities()
	caps.MaximumClientWritesPending = 1 // the default takes 64 kB for each client
	caps.MaximumMessageExpiryInterval = 0
	caps.MaximumPacketSize = 0 // the listener's limits come first
	h.mochi = mochi.New(&mochi.Options{
		Capabilities:            caps,
		Logger:                  quiet(conf.Logger),
		ClientNetReadBufferSize: 16, // it reads one packet, from memory
		SysTopicResendInterval:  math.MaxInt32,
	})
	if err := h.mochi.AddHook(&handshakes{hook: h}, nil); err != nil {
		return nil, fmt.Errorf("add hook: %w", err)
	}
	return h, nil
}

// Establish serves one connection until it ends; it is the establish function
// of the listeners (listener.Set.Serve). nc must be a *listener.Conn. The
// error says why the connection ended; nil is a client that said good-bye.
//
// Its frame, like those of serve and readPacket, is part of what an idle
// connection costs: a stack of 4 kB is enough as long as they are small.
func (h *Hook) Establish(listenerID string, nc net.Conn) error {
	c, err := h.handshake(listenerID, nc)
	if err == nil {
		err = c.serve()
	}
	return verdict(err)
}

// handshake makes a connection with an open session of nc.
func (h *Hook) handshake(listenerID string, nc net.Conn) (*connection, error) {
	conn, ok := nc.(*listener.Conn)
	if !ok {
		return nil, fmt.Errorf("connection is a %T, not from package listener", nc)
	}
	serial := h.serial.Add(1)
	c := &connection{hook: h, conn: conn, stripe: uint32(serial), zone: h.zone(conn.Info().Listener.Zone)} //nolint:gosec // any number serves
	conn.SetFinish(c.finish)
	if err := c.open(listenerID, serial); err != nil {
		return nil, err
	}
	c.watchExpiry()
	return c, nil
}

// verdict is what the listener is told of the end of a connection.
func verdict(err error) error {
	if errors.Is(err, errDisconnected) {
		return nil
	}
	if re, ok := errors.AsType[*wire.ReasonError](err); ok { // for shutdown_count
		return fmt.Errorf("%w: %w", listener.Reason(endWord(re.Code)), err)
	}
	return err
}

func (h *Hook) zone(name string) *Zone {
	if z := h.conf.Zones[name]; z != nil {
		return z
	}
	return h.conf.Zones[DefaultZoneName]
}

// finish runs in the connection's goroutine when Establish has returned err, or
// has panicked. It is the last chance to tell the client why, and it tells the
// session.
func (c *connection) finish(err error) {
	c.countInput()
	if c.expires != nil {
		c.expires.Stop()
	}
	code, text := c.lastCode(err)
	if code != wire.Success {
		c.sayGoodbye(code, text)
	}
	if c.session == nil {
		return
	}
	cause := session.CloseCause{SendWill: true, Reason: c.lastWord(err)}
	if err == nil { // the client's DISCONNECT
		cause.SendWill = c.bye.Code != wire.Success // [MQTT-3.14.4-3]
		cause.Expiry, cause.HasExpiry = c.bye.Expiry, c.bye.HasExpiry
		if limit := c.zone.MaxSessionExpiry; limit > 0 {
			cause.Expiry = min(cause.Expiry, seconds(limit))
		}
	}
	c.session.Close(cause)
}

// lastCode is the reason code that an MQTT 5 client is owed at the end, 0 for
// none, with a text for its Reason String.
func (c *connection) lastCode(err error) (code byte, text string) {
	var re *wire.ReasonError
	var pe *listener.PanicError
	reason := c.conn.CloseReason()
	switch {
	case errors.Is(reason, listener.ErrStopped):
		return wire.ServerShuttingDown, ""
	case reason != nil: // Disconnect has sent it, or the socket is beyond use
		return wire.Success, ""
	case err == nil:
		return wire.Success, ""
	case errors.As(err, &re):
		return re.Code, re.Text
	case errors.Is(err, listener.ErrKeepAliveTimeout):
		return wire.KeepAliveTimeout, "" // [MQTT-3.1.2-22]
	case errors.Is(err, listener.ErrPacketTooLarge):
		return wire.PacketTooLarge, "" // [MQTT-3.2.2-15]
	case errors.Is(err, listener.ErrMalformedPacket):
		return wire.MalformedPacket, ""
	case errors.As(err, &pe):
		return wire.ImplementationError, ""
	}
	return wire.Success, ""
}

// lastWord is why the connection ended, in the words of shutdown_count.
func (c *connection) lastWord(err error) string {
	if reason := c.conn.CloseReason(); reason != nil {
		return listener.ReasonText(reason)
	}
	if re, ok := errors.AsType[*wire.ReasonError](err); ok {
		return endWord(re.Code)
	}
	word := listener.ReasonText(err)
	if word == "sock_closed" {
		word = string(c.conn.Info().Listener.Type) + "_closed"
	}
	return word
}
