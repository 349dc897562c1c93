package load

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// MQTT control packet types, in the high four bits of a packet's first byte.
const (
	typeConnect     = 1
	typeConnack     = 2
	typePublish     = 3
	typePuback      = 4
	typePubrec      = 5
	typePubrel      = 6
	typePubcomp     = 7
	typeSubscribe   = 8
	typeSuback      = 9
	typeDisconnect  = 14
	maxVarintBytes  = 4
	propReceiveMax  = 0x21
	defaultInflight = 65535
)

// ErrMalformed is returned when a broker sends bytes that are not MQTT.
var ErrMalformed = errors.New("malformed packet")

// Protocol is the MQTT version that a client speaks, as in CONNECT.
type Protocol byte

// The versions spoken.
const (
	V311 Protocol = 4
	V5   Protocol = 5
)

// appendString appends an MQTT UTF-8 string.
func appendString(b []byte, s string) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(s)))
	return append(b, s...)
}

// appendVarint appends a variable byte integer.
func appendVarint(b []byte, n int) []byte {
	for n >= 0x80 {
		b = append(b, byte(n)|0x80)
		n >>= 7
	}
	return append(b, byte(n))
}

// appendPacket appends a fixed header and the body it counts.
func appendPacket(b []byte, first byte, body []byte) []byte {
	b = append(b, first)
	b = appendVarint(b, len(body))
	return append(b, body...)
}

// appendConnect appends a CONNECT with a clean start, no will and no
// credentials.
func appendConnect(b []byte, v Protocol, clientID string, keepAliveSeconds uint16) []byte {
	body := appendString(nil, "MQTT")
	body = append(body, byte(v), 0x02)
	body = binary.BigEndian.AppendUint16(body, keepAliveSeconds)
	if v == V5 {
		// Receive Maximum 65535, so that the broker's own window decides.
		body = append(body, 0)
	}
	body = appendString(body, clientID)
	return appendPacket(b, typeConnect<<4, body)
}

// appendSubscribe appends a SUBSCRIBE for one filter.
func appendSubscribe(b []byte, v Protocol, packetID uint16, filter string, qos byte) []byte {
	body := binary.BigEndian.AppendUint16(nil, packetID)
	if v == V5 {
		body = append(body, 0)
	}
	body = appendString(body, filter)
	body = append(body, qos)
	return appendPacket(b, typeSubscribe<<4|0x02, body)
}

// appendAck appends one of PUBACK, PUBREC, PUBREL and PUBCOMP in its short
// form, which stands for success in both versions.
func appendAck(b []byte, kind byte, packetID uint16) []byte {
	first := kind << 4
	if kind == typePubrel {
		first |= 0x02
	}
	return append(b, first, 2, byte(packetID>>8), byte(packetID))
}

// packet is one control packet inside a buffer.
type packet struct {
	first byte   // type and flags
	body  []byte // what follows the fixed header; valid until the next read
}

func (p packet) kind() byte { return p.first >> 4 }

// next splits the first whole packet from buf. size is 0 when buf does not hold
// one yet.
func next(buf []byte) (p packet, size int, err error) {
	if len(buf) < 2 {
		return packet{}, 0, nil
	}
	length, shift := 0, 0
	for i := 1; ; i++ {
		if i > maxVarintBytes {
			return packet{}, 0, fmt.Errorf("remaining length: %w", ErrMalformed)
		}
		if i >= len(buf) {
			return packet{}, 0, nil
		}
		length |= int(buf[i]&0x7f) << shift
		shift += 7
		if buf[i] < 0x80 {
			end := i + 1 + length
			if end > len(buf) {
				return packet{}, 0, nil
			}
			return packet{first: buf[0], body: buf[i+1 : end]}, end, nil
		}
	}
}

// publishBody takes a PUBLISH apart: its packet ID (0 at QoS 0) and payload.
func publishBody(p packet, v Protocol) (packetID uint16, payload []byte, err error) {
	b := p.body
	if len(b) < 2 {
		return 0, nil, fmt.Errorf("publish: %w", ErrMalformed)
	}
	at := 2 + int(binary.BigEndian.Uint16(b))
	if p.first&0x06 != 0 {
		if len(b) < at+2 {
			return 0, nil, fmt.Errorf("publish: %w", ErrMalformed)
		}
		packetID = binary.BigEndian.Uint16(b[at:])
		at += 2
	}
	if v == V5 {
		length, n := varint(b, at)
		if n == 0 {
			return 0, nil, fmt.Errorf("publish properties: %w", ErrMalformed)
		}
		at += n + length
	}
	if len(b) < at {
		return 0, nil, fmt.Errorf("publish: %w", ErrMalformed)
	}
	return packetID, b[at:], nil
}

// varint reads a variable byte integer of b at the given place; n is the number
// of bytes it took, 0 where there is none.
func varint(b []byte, at int) (value, n int) {
	for n < maxVarintBytes && at+n < len(b) {
		c := b[at+n]
		value |= int(c&0x7f) << (7 * n)
		n++
		if c < 0x80 {
			return value, n
		}
	}
	return 0, 0
}

// ackID is the packet ID of an acknowledgement; failed is its reason code where
// it carries one that says so.
func ackID(p packet) (packetID uint16, failed byte, err error) {
	if len(p.body) < 2 {
		return 0, 0, fmt.Errorf("acknowledgement: %w", ErrMalformed)
	}
	if len(p.body) > 2 && p.body[2] >= 0x80 {
		failed = p.body[2]
	}
	return binary.BigEndian.Uint16(p.body), failed, nil
}

// receiveMaximum finds the server's Receive Maximum in the properties of a
// version 5 CONNACK.
func receiveMaximum(connack []byte) int {
	if len(connack) < 3 {
		return defaultInflight
	}
	length, n := varint(connack, 2)
	props := connack[min(2+n, len(connack)):min(2+n+length, len(connack))]
	for len(props) > 0 {
		id := props[0]
		size := propertySize(props)
		if size <= 0 || size > len(props) {
			return defaultInflight
		}
		if id == propReceiveMax {
			return int(binary.BigEndian.Uint16(props[1:]))
		}
		props = props[size:]
	}
	return defaultInflight
}

// propertySize is the length of the property at the head of b with its
// identifier, 0 where that is unknown or cut short.
func propertySize(b []byte) int {
	text := func(at int) int {
		if len(b) < at+2 {
			return 0
		}
		return at + 2 + int(binary.BigEndian.Uint16(b[at:]))
	}
	switch b[0] {
	case 0x24, 0x25, 0x28, 0x29, 0x2A: // one byte
		return 2
	case 0x13, 0x21, 0x22: // two bytes
		return 3
	case 0x11, 0x27: // four bytes
		return 5
	case 0x12, 0x15, 0x16, 0x1A, 0x1C, 0x1F: // string or binary data
		return text(1)
	case 0x26: // a pair of strings
		if name := text(1); name > 0 {
			return text(name)
		}
	}
	return 0
}
