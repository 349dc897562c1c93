package wire

import "fmt"

// ReasonError is a packet, or a sequence of packets, that the standard forbids:
// the connection ends, and an MQTT 5 client is told Code (MQTT 5, section
// 4.13).
type ReasonError struct {
	Code byte
	Text string // what was wrong, for logs and the Reason String
}

// Error names the code and what was wrong.
func (e *ReasonError) Error() string {
	return fmt.Sprintf("%s (reason code 0x%02x)", e.Text, e.Code)
}

// What the decoders find. Malformed is what cannot be parsed, a protocol error
// what can be, but must not be sent (MQTT 5, section 4.13.1).
var (
	errTruncated         = &ReasonError{MalformedPacket, "truncated packet"}
	errTrailing          = &ReasonError{MalformedPacket, "bytes behind the end of the packet"}
	errVarint            = &ReasonError{MalformedPacket, "variable byte integer of more than four bytes"}
	errVarintLong        = &ReasonError{MalformedPacket, "variable byte integer longer than it need be"}
	errString            = &ReasonError{MalformedPacket, "string is not well-formed utf-8"}
	errFlags             = &ReasonError{MalformedPacket, "reserved flags are set"}
	errQoS               = &ReasonError{MalformedPacket, "qos 3"}
	errOptions           = &ReasonError{MalformedPacket, "reserved subscription options are set"}
	errProperty          = &ReasonError{MalformedPacket, "property not allowed in this packet"}
	errDuplicateProperty = &ReasonError{ProtocolError, "property sent twice"}
	errPropertyValue     = &ReasonError{ProtocolError, "property value out of range"}
	errResponseTopic     = &ReasonError{ProtocolError, "invalid response topic"}
	errDupQoS0           = &ReasonError{ProtocolError, "dup set with qos 0"}
	errNoPacketID        = &ReasonError{ProtocolError, "packet identifier 0"}
	errSubIDFromClient   = &ReasonError{ProtocolError, "subscription identifier in a publish from a client"}
	errNoTopic           = &ReasonError{ProtocolError, "neither topic nor topic alias"}
	errAliasZero         = &ReasonError{TopicAliasInvalid, "topic alias 0"}
	errNoFilter          = &ReasonError{ProtocolError, "no topic filter"}
	errRetainHandling    = &ReasonError{ProtocolError, "retain handling 3"}
	errReasonCode        = &ReasonError{ProtocolError, "reason code not allowed in this packet"}
	errProtocolName      = &ReasonError{UnsupportedProtocolVersion, "unknown protocol name"}
	errProtocolVersion   = &ReasonError{UnsupportedProtocolVersion, "unsupported protocol version"}
	errConnectFlags      = &ReasonError{MalformedPacket, "invalid connect flags"}
	errWillFlags         = &ReasonError{MalformedPacket, "will flags without a will"}
	errPasswordAlone     = &ReasonError{MalformedPacket, "password without user name"}
	errAuthData          = &ReasonError{ProtocolError, "authentication data without a method"}
)
