package message

import (
	"strings"
	"sync/atomic"
)

// QoS is a quality of service level: 0, 1 or 2 (MQTT 5, section 4.3).
type QoS = byte

// UserProperty is one name-value pair that is forwarded unaltered and in order
// [MQTT-3.3.2-17] [MQTT-3.3.2-18].
type UserProperty struct{ Key, Value string }

// Properties are the MQTT 5 properties that travel with a message from
// publisher to subscriber. They are immutable like the message itself.
type Properties struct {
	ContentType     string         // [MQTT-3.3.2-20]
	ResponseTopic   string         // [MQTT-3.3.2-15]
	CorrelationData []byte         // [MQTT-3.3.2-16]; nil when absent
	User            []UserProperty // in the order received
	PayloadFormat   byte           // 0 bytes, 1 UTF-8 [MQTT-3.3.2-4]
	HasFormat       bool           // whether PayloadFormat was sent
	// EmptyContentType tells a ContentType that was sent empty, and is forwarded
	// so, from one that is absent.
	EmptyContentType bool
	encoded          atomic.Pointer[[]byte]
}

// Encoded returns the wire form of p, computed by encode at the first call and
// kept, so that a fan-out encodes properties once. Any goroutine may call it;
// encode must be deterministic.
func (p *Properties) Encoded(encode func(*Properties) []byte) []byte {
	if b := p.encoded.Load(); b != nil {
		return *b
	}
	b := encode(p)
	p.encoded.Store(&b)
	return b
}

// Message is one application message (MQTT 5, section 1.2). Immutable once
// routed.
type Message struct {
	Topic     string // Topic Name: never empty, never with wildcards
	Payload   []byte
	Publisher string      // ClientID of the publisher; empty for the broker's own
	Props     *Properties // nil when the publisher sent none
	// Received is when the broker took the message, in Unix milliseconds.
	Received int64
	// Expires is when the message expires, in Unix milliseconds; 0 is never
	// [MQTT-3.3.2-5].
	Expires int64
	QoS     QoS
	// Retain is the flag as published; a subscriber sees it only where its
	// options or the retained store say so [MQTT-3.3.1-12] [MQTT-3.3.1-13].
	Retain bool
}

// Expired reports whether the message's expiry interval has passed at now, in
// Unix milliseconds.
func (m *Message) Expired(now int64) bool { return m.Expires != 0 && now >= m.Expires }

// System reports whether the message is one of the broker's own, under `$SYS/`;
// those are not counted.
func (m *Message) System() bool { return strings.HasPrefix(m.Topic, "$SYS/") }

// Remaining is the Message Expiry Interval to send at now: the whole seconds
// left, at least 1; 0 when the message does not expire [MQTT-3.3.2-6].
func (m *Message) Remaining(now int64) uint32 {
	if m.Expires == 0 {
		return 0
	}
	left := (m.Expires - now + 999) / 1000
	return uint32(max(left, 1)) //nolint:gosec // bounded by a uint32 interval at creation
}

// Size is the number of bytes that the message holds in memory for accounting:
// topic, payload and properties.
func (m *Message) Size() int {
	n := len(m.Topic) + len(m.Payload)
	if p := m.Props; p != nil {
		n += len(p.ContentType) + len(p.ResponseTopic) + len(p.CorrelationData)
		for _, u := range p.User {
			n += len(u.Key) + len(u.Value)
		}
	}
	return n
}
