package wire

import (
	"encoding/binary"

	"ermine/actors/message"
)

// MaxRemaining is the largest Remaining Length: what four bytes of a Variable
// Byte Integer can say (MQTT 5, section 1.5.5).
const MaxRemaining = 268_435_455

// The first byte of each packet: type and reserved flags.
const (
	hdrConnack    = 0x20
	hdrPublish    = 0x30
	hdrSuback     = 0x90
	hdrUnsuback   = 0xB0
	hdrDisconnect = 0xE0
)

// Publish is one PUBLISH as it leaves for one client.
type Publish struct {
	Msg *message.Message
	// Topic is sent in place of Msg.Topic unless it is empty: a client behind a
	// mountpoint sees names without it.
	Topic    string
	SubID    uint32 // Subscription Identifier, 0 for none; MQTT 5 only
	PacketID uint16 // not sent with QoS 0 [MQTT-2.2.1-2]
	QoS      message.QoS
	Retain   bool
	Dup      bool
	Version  byte
	// Alias is the outbound Topic Alias, 0 for none; MQTT 5 only.
	Alias uint16
	// AliasKnown tells that the client has Alias from an earlier packet of this
	// connection, so the Topic Name is left empty.
	AliasKnown bool
	// Now is Unix milliseconds, for the remaining expiry [MQTT-3.3.2-6].
	Now int64
}

// PublishSize returns the size of the whole packet in bytes and its Remaining
// Length. A Remaining Length above [MaxRemaining] cannot be sent.
func PublishSize(p *Publish) (size, remaining int) {
	m := p.Msg
	remaining = 2 + len(m.Payload)
	if !p.AliasKnown {
		remaining += len(p.topic())
	}
	if p.QoS > 0 {
		remaining += 2
	}
	if p.Version == V5 {
		n := propertiesSize(p)
		remaining += varintSize(n) + n
	}
	return 1 + varintSize(remaining) + remaining, remaining
}

// AppendPublish appends the packet; remaining is what [PublishSize] told.
func AppendPublish(b []byte, p *Publish, remaining int) []byte {
	m := p.Msg
	first := byte(hdrPublish) | p.QoS<<1
	if p.Retain {
		first |= 0x01
	}
	if p.Dup {
		first |= 0x08
	}
	b = append(b, first)
	b = appendVarint(b, remaining)
	if p.AliasKnown {
		b = append(b, 0, 0)
	} else {
		b = appendString(b, p.topic())
	}
	if p.QoS > 0 {
		b = binary.BigEndian.AppendUint16(b, p.PacketID)
	}
	if p.Version == V5 {
		b = appendProperties(b, p)
	}
	return append(b, m.Payload...)
}

func (p *Publish) topic() string {
	if p.Topic != "" {
		return p.Topic
	}
	return p.Msg.Topic
}

func propertiesSize(p *Publish) int {
	n := 0
	if p.Msg.Expires != 0 {
		n += 5
	}
	if p.Alias != 0 {
		n += 3
	}
	if p.SubID != 0 {
		n += 1 + varintSize(int(p.SubID))
	}
	if p.Msg.Props != nil {
		n += len(p.Msg.Props.Encoded(EncodeProperties))
	}
	return n
}

func appendProperties(b []byte, p *Publish) []byte {
	m := p.Msg
	b = appendVarint(b, propertiesSize(p))
	if m.Expires != 0 {
		b = append(b, propMessageExpiry)
		b = binary.BigEndian.AppendUint32(b, m.Remaining(p.Now))
	}
	if p.Alias != 0 {
		b = append(b, propTopicAlias)
		b = binary.BigEndian.AppendUint16(b, p.Alias)
	}
	if p.SubID != 0 { // [MQTT-3.3.4-3]
		b = append(b, propSubscriptionID)
		b = appendVarint(b, int(p.SubID))
	}
	if m.Props != nil {
		b = append(b, m.Props.Encoded(EncodeProperties)...)
	}
	return b
}

// EncodeProperties returns the wire form of the properties that travel with a
// message unaltered, without a length in front; it is the encode function for
// [message.Properties.Encoded]. Expiry, alias and subscription identifiers
// differ from subscriber to subscriber and are not in it.
func EncodeProperties(p *message.Properties) []byte {
	n := 0
	if p.HasFormat {
		n += 2
	}
	hasType := p.ContentType != "" || p.EmptyContentType
	if hasType {
		n += 3 + len(p.ContentType)
	}
	if p.ResponseTopic != "" {
		n += 3 + len(p.ResponseTopic)
	}
	if p.CorrelationData != nil {
		n += 3 + len(p.CorrelationData)
	}
	for i := range p.User {
		n += 5 + len(p.User[i].Key) + len(p.User[i].Value)
	}
	b := make([]byte, 0, n)
	if p.HasFormat { // [MQTT-3.3.2-4]
		b = append(b, propPayloadFormat, p.PayloadFormat)
	}
	if hasType { // [MQTT-3.3.2-20]
		b = appendString(append(b, propContentType), p.ContentType)
	}
	if p.ResponseTopic != "" { // [MQTT-3.3.2-15]
		b = appendString(append(b, propResponseTopic), p.ResponseTopic)
	}
	if p.CorrelationData != nil { // [MQTT-3.3.2-16]
		b = append(b, propCorrelationData)
		b = binary.BigEndian.AppendUint16(b, uint16(len(p.CorrelationData))) //nolint:gosec // came from a two-byte length
		b = append(b, p.CorrelationData...)
	}
	for i := range p.User { // in order [MQTT-3.3.2-17] [MQTT-3.3.2-18]
		b = appendString(append(b, propUserProperty), p.User[i].Key)
		b = appendString(b, p.User[i].Value)
	}
	return b
}

func appendString(b []byte, s string) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(s))) //nolint:gosec // at most 65535: see the package comment
	return append(b, s...)
}

// appendVarint appends n as a Variable Byte Integer in its shortest form
// [MQTT-1.5.5-1].
func appendVarint(b []byte, n int) []byte {
	for n >= 0x80 {
		b = append(b, byte(n)|0x80)
		n >>= 7
	}
	return append(b, byte(n))
}

func varintSize(n int) int {
	switch {
	case n < 1<<7:
		return 1
	case n < 1<<14:
		return 2
	case n < 1<<21:
		return 3
	default:
		return 4
	}
}
