package rpc

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"time"
)

// Limits of the protocol.
const (
	// MaxLanes is the most lanes to a peer.
	MaxLanes = 256
	// MaxMessageLimit is the largest Config.MaxMessage: MQTT's largest packet
	// and room for what is told beside it.
	MaxMessageLimit = 256<<20 + 1<<20
)

// maxFrame bounds a frame. It is no setting, so that nodes with different
// settings never refuse each other's frames.
const maxFrame = dataOverhead + msgOverhead + MaxMessageLimit

// basePort is the data channel's port of a node whose name ends in no digit.
const basePort = 5370

// Port is the port of a node's data channel where ports follow from names
// (rpc.port_discovery = stateless): 5370 plus the number at the end of the short
// name, modulo 60000.
func Port(node string) uint16 {
	short := node
	for i := range len(node) {
		if node[i] == '@' {
			short = node[:i]
			break
		}
	}
	digits := len(short)
	for digits > 0 && short[digits-1] >= '0' && short[digits-1] <= '9' {
		digits--
	}
	n := 0
	for _, c := range []byte(short[digits:]) {
		n = (n*10 + int(c-'0')) % 60000
	}
	return uint16(basePort + n)
}

// Config says who this node is and how it sends. DefaultConfig has values for
// all but Name, Incarnation, Cookie and Listen.
type Config struct {
	// Name is this node's name, as peers know it: short@host.
	Name string
	// Incarnation tells this life of the node from earlier ones; never 0.
	Incarnation uint64
	// Cookie is what all nodes of the cluster know. It is never sent.
	Cookie string

	// Listen is the address to accept on; port 0 takes a free one.
	Listen string
	// Listener, if set, is called by Start instead of listening on Listen.
	Listener func() (net.Listener, error)
	// Dial, if set, replaces dialling over TCP. TLS is done on what it returns.
	Dial func(ctx context.Context, addr string) (net.Conn, error)
	// TLS, if set, makes all connections TLS (rpc.protocol = ssl).
	TLS *TLS

	// Lanes is the number of connections for messages to each peer
	// (rpc.client_num), 1 to MaxLanes.
	Lanes int
	// QueueBytes bounds what one lane holds that is not acknowledged; the last
	// message may go beyond. The most that a peer costs is this times Lanes.
	QueueBytes int
	// BatchMessages is the most messages in a batch (rpc.async_batch_size, whose 0
	// is 1 here).
	BatchMessages int
	// MaxMessage is the most bytes in a payload of Send.
	MaxMessage int
	// MaxCall is the most bytes in a request, in a reply, and in all requests of
	// one peer that are not complete.
	MaxCall int
	// MaxCalls is the most calls under way to a peer, and from a peer.
	MaxCalls int

	// ConnectTimeout bounds dialling, AuthTimeout the handshake, TLS's included.
	ConnectTimeout time.Duration
	AuthTimeout    time.Duration
	// WriteTimeout is how long a peer may read nothing of what is written to it.
	WriteTimeout time.Duration
	// Silence is after how long without a byte a connection is given up, 10 ms at
	// least. A node sends a sign of life every second, and four times in its own
	// Silence where that is shorter: nodes whose values differ should have at
	// least 3 s.
	Silence time.Duration
	// BackoffMin and BackoffMax bound the pause after a failed connection, which
	// doubles each time and is then varied by up to a half.
	BackoffMin, BackoffMax time.Duration
	// MaxHalfOpen is the most accepted connections whose peer has not proved the
	// cookie.
	MaxHalfOpen int

	// KeepAlive is for the sockets' own keep-alive, which finds dead connections
	// where Silence is long.
	KeepAlive net.KeepAliveConfig
	// SendBuffer and ReceiveBuffer are the sockets' buffers in bytes; 0 leaves
	// them to the system.
	SendBuffer, ReceiveBuffer int

	// Logger gets lifecycle facts; nil discards them.
	Logger *slog.Logger
	// Events are told what happens to peers.
	Events Events
}

// Events are called as things happen, each from a goroutine of the endpoint;
// they must not block, and may call SetPeer and RemovePeer. Any may be nil.
type Events struct {
	// LaneUp is called when a lane to a peer is connected, LaneDown when it is
	// not any more or could not be, with the reason. Lane -1 is the connection
	// for calls.
	LaneUp   func(peer Peer, lane int)
	LaneDown func(peer string, lane int, err error)
	// PeerGone is called once when the peer turns out to be in another life than
	// the one known.
	PeerGone func(peer string, was, is uint64)
}

// TLS holds the settings of both directions. Both are cloned; Client's
// ServerName, if empty, is the host of the peer's name.
type TLS struct {
	Server *tls.Config
	Client *tls.Config
}

// DefaultConfig has the defaults of the configuration's rpc section, and for
// what that does not name, those of a local network.
func DefaultConfig() Config {
	return Config{
		Lanes:          10,
		QueueBytes:     4 << 20,
		BatchMessages:  256,
		MaxMessage:     16 << 20,
		MaxCall:        64 << 20,
		MaxCalls:       64,
		ConnectTimeout: 5 * time.Second,
		AuthTimeout:    5 * time.Second,
		WriteTimeout:   5 * time.Second,
		Silence:        5 * time.Second,
		BackoffMin:     50 * time.Millisecond,
		BackoffMax:     2 * time.Second,
		MaxHalfOpen:    256,
		KeepAlive:      net.KeepAliveConfig{Enable: true, Idle: 15 * time.Minute, Interval: 75 * time.Second, Count: 9},
	}
}

// Validate tells the first thing that is wrong.
func (c *Config) Validate() error {
	bad := func(key, limit string) error { return fmt.Errorf("%w: %s must be %s", ErrConfig, key, limit) }
	switch {
	case c.Name == "" || len(c.Name) > maxName:
		return bad("Name", "1 to 255 bytes")
	case c.Incarnation == 0:
		return bad("Incarnation", "other than 0")
	case c.Cookie == "":
		return bad("Cookie", "set")
	case c.Listen == "" && c.Listener == nil:
		return bad("Listen", "set")
	case c.Lanes < 1 || c.Lanes > MaxLanes:
		return bad("Lanes", fmt.Sprintf("1 to %d", MaxLanes))
	case c.QueueBytes < 1:
		return bad("QueueBytes", "positive")
	case c.BatchMessages < 1 || c.BatchMessages > maxCount:
		return bad("BatchMessages", fmt.Sprintf("1 to %d", maxCount))
	case c.MaxMessage < 1 || c.MaxMessage > MaxMessageLimit:
		return bad("MaxMessage", fmt.Sprintf("1 to %d", MaxMessageLimit))
	case c.MaxCall < 1:
		return bad("MaxCall", "positive")
	case c.MaxCalls < 1:
		return bad("MaxCalls", "positive")
	case c.ConnectTimeout <= 0 || c.AuthTimeout <= 0 || c.WriteTimeout <= 0:
		return bad("ConnectTimeout, AuthTimeout and WriteTimeout", "positive")
	case c.Silence < 10*time.Millisecond:
		return bad("Silence", "10 ms at least")
	case c.BackoffMin <= 0 || c.BackoffMax < c.BackoffMin:
		return bad("BackoffMin", "positive and at most BackoffMax")
	case c.MaxHalfOpen < 1:
		return bad("MaxHalfOpen", "positive")
	case c.TLS != nil && (c.TLS.Server == nil || c.TLS.Client == nil):
		return bad("TLS", "set for both directions")
	}
	return nil
}

// LogValue keeps the cookie out of logs.
func (c Config) LogValue() slog.Value {
	return slog.GroupValue(slog.String("node", c.Name), slog.String("listen", c.Listen), slog.Bool("tls", c.TLS != nil))
}
