package listener

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Type is the transport of a listener.
type Type string

// The transports.
const (
	TCP Type = "tcp"
	SSL Type = "ssl"
	WS  Type = "ws"
	WSS Type = "wss"
)

func (t Type) tls() bool       { return t == SSL || t == WSS }
func (t Type) webSocket() bool { return t == WS || t == WSS }

// Config is the configuration of one listener: the keys below
// listeners.<type>.<name>, and those of mqtt that a connection needs before its
// CONNECT. It must not be changed after New.
type Config struct {
	Type Type
	Name string

	// Bind is where to listen: "1883", ":1883", "10.0.0.1:1883" or "[::1]:1883".
	// Port 0 takes a free port, see Listener.Address.
	Bind string

	// Enable false keeps the listener from starting.
	Enable bool

	// Acceptors is shown to operators; accept loops need no more than one for each
	// processor.
	Acceptors int

	// MaxConnections is the limit of connections at one time, handshakes included;
	// 0 is none. The connection above it is closed at once and counted.
	MaxConnections int

	// MaxConnRate is the limit of new connections; those above are closed at once
	// and counted. One second's worth may come in a burst.
	MaxConnRate Rate

	// MessagesRate and BytesRate limit what each connection may send: PUBLISH
	// packets, and MQTT bytes. A connection above its rate is read more slowly.
	MessagesRate, BytesRate Rate

	// Mountpoint, Zone and EnableAuthn ("true", "false", "quick_deny_anonymous") are
	// handed on in Info and have no meaning here.
	Mountpoint, Zone, EnableAuthn string

	// AccessRules are looked through in order for the address of the socket's peer,
	// that is of the proxy where there is one: "allow all", "deny 10.0.0.0/8". If
	// none matches, the connection is denied; no rules at all allow everybody.
	AccessRules []string

	// ProxyProtocol demands a PROXY header, version 1 or 2, at the beginning of each
	// connection, within ProxyProtocolTimeout.
	ProxyProtocol        bool
	ProxyProtocolTimeout time.Duration

	TCPOptions TCPOptions
	SSLOptions SSLOptions       // ssl and wss
	WebSocket  WebSocketOptions // ws and wss

	// IdleTimeout is how long a client may take for a complete CONNECT once its
	// handshakes are done (mqtt.idle_timeout); 0 is for ever.
	IdleTimeout time.Duration

	// MaxPacketSize is the limit for a packet with its fixed header
	// (mqtt.max_packet_size); 0 is the limit of MQTT, 256 MiB.
	MaxPacketSize uint32

	// MaxConnectSize is the limit for CONNECT, where that is less. The memory
	// taken for a packet is what has arrived of it, so this bounds what a client
	// can make the broker hold before it has been authenticated.
	MaxConnectSize uint32

	// FlushTimeout is how long a connection that ends may take to send its pending
	// output.
	FlushTimeout time.Duration

	// LingerTimeout is how long it then waits for the peer to close too. Without
	// it a client that is still sending could lose the DISCONNECT.
	LingerTimeout time.Duration

	// CertDir is where a self-signed certificate is kept when none is configured,
	// usually <data_dir>/certs.
	CertDir string
}

// TCPOptions are the keys below tcp_options.
type TCPOptions struct {
	Backlog   int  // pending connections in the kernel
	NoDelay   bool // send small packets at once
	ReuseAddr bool // accepted for compatibility; always on
	NoLinger  bool // reset the connection instead of closing it in order

	// KeepAlive is "none" or "idle,interval,probes", in seconds and a count.
	KeepAlive string

	// SendTimeout is how long a peer may take nothing of the pending output before
	// the connection is aborted; 0 is for ever.
	SendTimeout time.Duration

	// HighWatermark is the pending output in bytes above which Conn.Writable
	// reports false, until it has fallen to half of it.
	HighWatermark int64

	// HardLimit is the pending output in bytes above which an Append aborts the
	// connection; 0 is none. A session that heeds Writable never comes near.
	HardLimit int64

	// RecvBuffer and SendBuffer are the kernel's buffers (recbuf, sndbuf) in bytes;
	// 0 leaves them to the kernel.
	RecvBuffer, SendBuffer int
}

// SSLOptions are the keys below ssl_options.
type SSLOptions struct {
	// CertFile and KeyFile are PEM files; both empty stand for a self-signed pair
	// in CertDir. They are read anew when they change.
	CertFile, KeyFile string

	// CACertFile holds the certificates that client certificates are verified with.
	CACertFile string

	// Password is that of an encrypted KeyFile.
	Password string

	// Verify is "verify_none" or "verify_peer". Without FailIfNoPeerCert a client
	// may also come without a certificate.
	Verify           string
	FailIfNoPeerCert bool

	// Versions are the TLS versions allowed, "tlsv1.3", "tlsv1.2", "tlsv1.1",
	// "tlsv1"; empty is 1.2 and 1.3. Gaps are not possible.
	Versions []string

	// Ciphers are cipher suites for TLS 1.2 and below, by OpenSSL or IANA name;
	// empty is Go's choice. Those of TLS 1.3 are accepted but not selectable.
	Ciphers []string

	// HandshakeTimeout bounds the TLS handshake.
	HandshakeTimeout time.Duration
}

// WebSocketOptions are the keys below websocket.
type WebSocketOptions struct {
	Path string // mqtt_path

	// Piggyback is "multiple", several MQTT packets in a frame, or "single".
	Piggyback string

	// Compress offers permessage-deflate.
	Compress bool

	// IdleTimeout ends a connection without input where MQTT's keep-alive is off.
	IdleTimeout time.Duration

	// MaxFrameSize is the limit of a WebSocket message in bytes; 0 is none.
	MaxFrameSize int64

	// FailIfNoSubprotocol refuses a request that names none of SupportedSubprotocols.
	FailIfNoSubprotocol   bool
	SupportedSubprotocols []string

	// CheckOrigin refuses requests whose Origin is not in CheckOrigins; without
	// one a request is let through if AllowOriginAbsence.
	CheckOrigin        bool
	AllowOriginAbsence bool
	CheckOrigins       []string

	// ProxyAddressHeader and ProxyPortHeader name the headers from which a client's
	// address behind a proxy is taken: the first address in them that is not a
	// loopback address. They are believed from peers in TrustedProxies, all peers
	// if that is empty.
	ProxyAddressHeader, ProxyPortHeader string
	TrustedProxies                      []netip.Prefix
}

// DefaultConfig is EMQX's default for a listener of this type and name, bound to
// the type's port on all addresses.
func DefaultConfig(t Type, name string) Config {
	ports := map[Type]string{TCP: "0.0.0.0:1883", SSL: "0.0.0.0:8883", WS: "0.0.0.0:8083", WSS: "0.0.0.0:8084"}
	return Config{
		Type:                 t,
		Name:                 name,
		Bind:                 ports[t],
		Enable:               true,
		Acceptors:            16,
		Zone:                 "default",
		EnableAuthn:          "true",
		AccessRules:          []string{"allow all"},
		ProxyProtocolTimeout: 3 * time.Second,
		TCPOptions: TCPOptions{
			Backlog:       1024,
			NoDelay:       true,
			ReuseAddr:     true,
			KeepAlive:     "none",
			SendTimeout:   15 * time.Second,
			HighWatermark: 1 << 20,
			HardLimit:     16 << 20,
		},
		SSLOptions: SSLOptions{
			Verify:           "verify_none",
			HandshakeTimeout: 15 * time.Second,
		},
		WebSocket: WebSocketOptions{
			Path:                  "/mqtt",
			Piggyback:             "multiple",
			IdleTimeout:           7200 * time.Second,
			FailIfNoSubprotocol:   true,
			SupportedSubprotocols: []string{"mqtt", "mqtt-v3", "mqtt-v3.1.1", "mqtt-v5"},
			AllowOriginAbsence:    true,
			ProxyAddressHeader:    "x-forwarded-for",
			ProxyPortHeader:       "x-forwarded-port",
		},
		IdleTimeout:    15 * time.Second,
		MaxPacketSize:  1 << 20,
		MaxConnectSize: 256 << 10,
		FlushTimeout:   2 * time.Second,
		LingerTimeout:  500 * time.Millisecond,
	}
}

// ID is the listener's identifier, "<type>:<name>".
func (c *Config) ID() string { return string(c.Type) + ":" + c.Name }

var nameForm = regexp.MustCompile(`^[0-9a-zA-Z_-]+$`)

// Validate reports everything that is wrong with the configuration, one error a
// line, each beginning with the key. It does not look at files.
func (c *Config) Validate() error {
	var errs []error
	wrong := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf("listeners.%s.%s.%s: %w", c.Type, c.Name, key, fmt.Errorf(format, args...)))
	}
	switch c.Type {
	case TCP, SSL, WS, WSS:
	default:
		wrong("type", "%q is none of tcp, ssl, ws, wss", c.Type)
	}
	if !nameForm.MatchString(c.Name) {
		wrong("name", "%q: want letters, digits, - and _", c.Name)
	}
	if _, err := ParseBind(c.Bind); err != nil {
		wrong("bind", "%w", err)
	}
	if c.MaxConnections < 0 {
		wrong("max_connections", "%d is negative", c.MaxConnections)
	}
	if _, err := parseAccessRules(c.AccessRules); err != nil {
		wrong("access_rules", "%w", err)
	}
	if _, err := parseKeepAlive(c.TCPOptions.KeepAlive); err != nil {
		wrong("tcp_options.keepalive", "%w", err)
	}
	if c.TCPOptions.HighWatermark <= 0 {
		wrong("tcp_options.high_watermark", "%d is not positive", c.TCPOptions.HighWatermark)
	}
	if h := c.TCPOptions.HardLimit; h != 0 && h < c.TCPOptions.HighWatermark {
		wrong("tcp_options.hard_limit", "%d is below high_watermark %d", h, c.TCPOptions.HighWatermark)
	}
	if c.Type.tls() {
		for _, err := range c.SSLOptions.check() {
			wrong("ssl_options", "%w", err)
		}
	}
	if c.Type.webSocket() {
		if w := &c.WebSocket; !strings.HasPrefix(w.Path, "/") || path.Clean(w.Path) != w.Path {
			wrong("websocket.mqtt_path", "%q is no absolute path", w.Path)
		}
		if p := c.WebSocket.Piggyback; p != "single" && p != "multiple" {
			wrong("websocket.mqtt_piggyback", "%q is none of single, multiple", p)
		}
		if c.WebSocket.FailIfNoSubprotocol && len(c.WebSocket.SupportedSubprotocols) == 0 {
			wrong("websocket.supported_subprotocols", "is empty, and fail_if_no_subprotocol is true")
		}
	}
	return errors.Join(errs...)
}

// ParseBind turns the forms of a bind into an address for net.Listen. A bare port
// and ":port" mean all addresses, IPv4 and IPv6.
func ParseBind(bind string) (string, error) {
	bind = strings.TrimSpace(bind)
	host, port, err := net.SplitHostPort(bind)
	if err != nil {
		if strings.ContainsAny(bind, ":.[]") {
			return "", fmt.Errorf("bind %q: want port, ip:port, :port or [ipv6]:port", bind)
		}
		host, port = "", bind
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", fmt.Errorf("bind %q: port %q is no number from 0 to 65535", bind, port)
	} else {
		port = strconv.FormatUint(n, 10)
	}
	if host != "" {
		if _, err := netip.ParseAddr(host); err != nil && host != "localhost" {
			return "", fmt.Errorf("bind %q: %q is no IP address", bind, host)
		}
	}
	return net.JoinHostPort(host, port), nil
}

// parseKeepAlive reads "none" or "idle,interval,probes".
func parseKeepAlive(s string) (net.KeepAliveConfig, error) {
	if s == "" || s == "none" {
		return net.KeepAliveConfig{}, nil
	}
	parts := strings.Split(s, ",")
	var n [3]int
	if len(parts) != len(n) {
		return net.KeepAliveConfig{}, fmt.Errorf("%q: want none or idle,interval,probes such as 240,30,5", s)
	}
	for i, part := range parts {
		v, err := strconv.Atoi(strings.TrimSpace(part))
		if err != nil || v < 1 || v > 32767 {
			return net.KeepAliveConfig{}, fmt.Errorf("%q: %q is no number from 1 to 32767", s, part)
		}
		n[i] = v
	}
	return net.KeepAliveConfig{
		Enable:   true,
		Idle:     time.Duration(n[0]) * time.Second,
		Interval: time.Duration(n[1]) * time.Second,
		Count:    n[2],
	}, nil
}
