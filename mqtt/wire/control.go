package wire

import "encoding/binary"

// The packet types of the QoS 1 and 2 exchanges, for [AppendAck].
const (
	Puback  byte = 4
	Pubrec  byte = 5
	Pubrel  byte = 6
	Pubcomp byte = 7
)

// AppendAck appends a PUBACK, PUBREC, PUBREL or PUBCOMP. Codes exist in MQTT 5
// only; there success is the short form (MQTT 5, section 3.4.2.1). reason, if
// not empty, becomes the Reason String of a failure.
func AppendAck(b []byte, version byte, kind byte, id uint16, code byte, reason string) []byte {
	first := kind << 4
	if kind == Pubrel {
		first |= 0x02 // [MQTT-3.6.1-1]
	}
	switch {
	case version != V5 || code == Success:
		return append(b, first, 2, byte(id>>8), byte(id))
	case reason == "" || code < UnspecifiedError:
		return append(b, first, 3, byte(id>>8), byte(id), code)
	default:
		n := 3 + len(reason)
		b = append(b, first)
		b = appendVarint(b, 3+varintSize(n)+n)
		b = append(b, byte(id>>8), byte(id), code)
		b = appendVarint(b, n)
		return appendString(append(b, propReasonString), reason)
	}
}

// AppendSuback appends a SUBACK: one code for each filter, in order
// [MQTT-3.8.4-6] [MQTT-3.9.3-1], in the terms of the version.
func AppendSuback(b []byte, version byte, id uint16, codes []byte) []byte {
	b = append(b, hdrSuback)
	if version == V5 {
		b = appendVarint(b, 3+len(codes))
		b = append(b, byte(id>>8), byte(id), 0)
		return append(b, codes...)
	}
	b = appendVarint(b, 2+len(codes))
	b = append(b, byte(id>>8), byte(id))
	for _, c := range codes {
		b = append(b, Suback3(c))
	}
	return b
}

// AppendUnsuback appends an UNSUBACK; MQTT 3 has no codes in it
// [MQTT-3.11.3-1].
func AppendUnsuback(b []byte, version byte, id uint16, codes []byte) []byte {
	b = append(b, hdrUnsuback)
	if version != V5 {
		return append(b, 2, byte(id>>8), byte(id))
	}
	b = appendVarint(b, 3+len(codes))
	b = append(b, byte(id>>8), byte(id), 0)
	return append(b, codes...)
}

// AppendConnack appends a CONNACK that refuses the connection with the MQTT 5
// reason code, for MQTT 3 turned into a return code; its Session Present is 0
// [MQTT-3.2.2-6]. reason, if not empty, becomes the Reason String.
func AppendConnack(b []byte, version byte, code byte, reason string) []byte {
	if version != V5 {
		return append(b, hdrConnack, 2, 0, Connack3(code))
	}
	n := reasonSize(reason)
	b = append(b, hdrConnack)
	b = appendVarint(b, 2+varintSize(n)+n)
	b = append(b, 0, code)
	return appendReason(b, n, reason)
}

// AppendDisconnect appends a DISCONNECT with the reason code; MQTT 5 only, for
// MQTT 3 it appends nothing: there only clients send one. reason, if not empty,
// becomes the Reason String.
func AppendDisconnect(b []byte, version byte, code byte, reason string) []byte {
	if version != V5 {
		return b
	}
	if reason == "" {
		return append(b, hdrDisconnect, 2, code, 0)
	}
	n := reasonSize(reason)
	b = append(b, hdrDisconnect)
	b = appendVarint(b, 1+varintSize(n)+n)
	b = append(b, code)
	return appendReason(b, n, reason)
}

func reasonSize(reason string) int {
	if reason == "" {
		return 0
	}
	return 3 + len(reason)
}

func appendReason(b []byte, n int, reason string) []byte {
	b = appendVarint(b, n)
	if n == 0 {
		return b
	}
	b = append(b, propReasonString)
	b = binary.BigEndian.AppendUint16(b, uint16(len(reason))) //nolint:gosec // our own short texts
	return append(b, reason...)
}
