package session

import (
	"net/netip"
	"time"

	"ermine/actors/message"
	"ermine/actors/router"
)

// Connection is the socket as a session sees it. The wire layer implements it;
// a session has at most one at a time. None of its methods blocks: they append
// to the connection's coalescing output buffer, which [Connection.Flush] hands
// to the kernel as far as the kernel takes it at once.
type Connection interface {
	// WritePublish appends a PUBLISH. It reports false when the packet would
	// exceed the client's Maximum Packet Size: nothing was written and the
	// session drops the message [MQTT-3.1.2-24] [MQTT-3.1.2-25]. now is Unix
	// milliseconds, for the remaining expiry [MQTT-3.3.2-6].
	WritePublish(now int64, p Outgoing) bool
	// WriteAck appends a PUBACK, PUBREC, PUBREL or PUBCOMP.
	WriteAck(kind AckKind, id uint16, code byte)
	// WriteSuback appends a SUBACK with a reason code for each filter; the
	// connection turns codes into those of its protocol version.
	WriteSuback(id uint16, codes []byte)
	// WriteUnsuback appends an UNSUBACK.
	WriteUnsuback(id uint16, codes []byte)
	// Flush sends what has been appended.
	Flush()
	// Writable reports whether the output buffer is below its high watermark.
	// When it was not, the connection calls [Handle.Writable] once it is again.
	Writable() bool
	// Disconnect sends a DISCONNECT with the reason code (MQTT 5 only), then
	// closes the connection. Idempotent; may be called by any goroutine.
	Disconnect(code byte)
}

// AckKind is one of the four packets of the QoS 1 and 2 exchanges; its value is
// the MQTT control packet type.
type AckKind byte

// The kinds of acknowledgement.
const (
	Puback  AckKind = 4
	Pubrec  AckKind = 5
	Pubrel  AckKind = 6
	Pubcomp AckKind = 7
)

// Outgoing is one PUBLISH to a subscriber.
type Outgoing struct {
	Msg      *message.Message
	SubID    uint32 // Subscription Identifier; 0 is none [MQTT-3.3.4-3]
	PacketID uint16 // 0 for QoS 0
	QoS      message.QoS
	Retain   bool
	Dup      bool
}

// Client is what is known of the program at the other end of a connection. It
// is immutable once the session is open.
type Client struct {
	ID         string
	Username   string
	Peer       netip.AddrPort
	Listener   string // `type:name`
	Zone       string
	Protocol   string // "MQTT" or "MQIsdp"
	Version    byte   // 3, 4 or 5
	KeepAlive  uint16 // seconds, as agreed
	CleanStart bool
	Bridge     bool
	Connected  time.Time
}

// Will is a Will Message with its delay.
type Will struct {
	Msg   *message.Message
	Delay uint32 // seconds
	// Expiry is the will's Message Expiry Interval in seconds; HasExpiry tells
	// 0 from absent. It starts when the will is published.
	Expiry    uint32
	HasExpiry bool
}

// Limits bound one session. They come from the zone of its listener.
type Limits struct {
	MaxInflight      int           // QoS 1 and 2 messages sent and not acknowledged
	MaxQueue         int           // messages waiting; 0 is unlimited
	StoreQoS0        bool          // whether QoS 0 messages may wait in the queue
	MaxAwaitingRel   int           // inbound QoS 2 messages not released; 0 is unlimited
	AwaitRelTimeout  time.Duration // 0 is never
	RetryInterval    time.Duration // 0 is never; MQTT 3 clients only [MQTT-4.4.0-1]
	UpgradeQoS       bool
	MaxSubscriptions int            // 0 is unlimited
	Priorities       map[string]int // by Topic Name, 1-255; nil is disabled
	DefaultPriority  int            // of topics not in Priorities: 0 lowest or 256 highest
	// ReceiveMaximum is how many QoS 1 and 2 publishes the client may have
	// unacknowledged: MQTT 5 clients that exceed it are disconnected, others
	// are read more slowly.
	ReceiveMaximum int
}

// OpenRequest asks for the session of a client: created, resumed or taken over.
type OpenRequest struct {
	Client Client
	Conn   Connection
	Limits Limits
	Will   *Will
	// Expiry is the Session Expiry Interval in seconds; 0xFFFFFFFF is never.
	// For MQTT 3 clients 0 with a clean session, else the zone's default.
	Expiry uint32
	// ReceiveMaximum is the client's own: it bounds what is sent to it
	// [MQTT-3.3.4-9].
	ReceiveMaximum uint16
	Clean          bool // Clean Start: what was there before is discarded [MQTT-3.1.2-4]
}

// Opened is the answer to an OpenRequest.
type Opened struct {
	Handle  *Handle
	Present bool // Session Present [MQTT-3.2.2-2] [MQTT-3.2.2-3]
}

// SubscribeRequest is one SUBSCRIBE packet, already validated and authorised:
// Codes holds the reason code of every filter that was refused and 0 elsewhere.
type SubscribeRequest struct {
	PacketID uint16
	Subs     []*router.Subscription // To is filled in by the session
	Codes    []byte
}

// UnsubscribeRequest is one UNSUBSCRIBE packet.
type UnsubscribeRequest struct {
	PacketID uint16
	Filters  []string // as written by the client
}

// CloseCause tells a session how its connection ended.
type CloseCause struct {
	// SendWill is false after a DISCONNECT with reason 0x00 [MQTT-3.14.4-3].
	SendWill bool
	// Reason is an EMQX-style word for logs, $SYS and shutdown counts: normal,
	// keepalive_timeout, tcp_closed, takenover, discarded, kicked, ...
	Reason string
	// Expiry replaces the Session Expiry Interval when HasExpiry
	// [MQTT-3.14.2-2].
	Expiry    uint32
	HasExpiry bool
}
