package wire

import (
	"encoding/binary"

	"ermine/actors/message"
)

// The control packet types, the high half of a packet's first byte (MQTT 5,
// table 2-1).
const (
	TypeConnect     byte = 1
	TypeConnack     byte = 2
	TypePublish     byte = 3
	TypePuback      byte = 4
	TypePubrec      byte = 5
	TypePubrel      byte = 6
	TypePubcomp     byte = 7
	TypeSubscribe   byte = 8
	TypeSuback      byte = 9
	TypeUnsubscribe byte = 10
	TypeUnsuback    byte = 11
	TypePingreq     byte = 12
	TypePingresp    byte = 13
	TypeDisconnect  byte = 14
	TypeAuth        byte = 15
)

// CheckFlags holds the low half of a packet's first byte against the standard
// [MQTT-2.1.3-1]; those of a PUBLISH are left to [DecodePublish].
func CheckFlags(first byte) error {
	want := byte(0)
	switch first >> 4 {
	case TypePublish:
		return nil
	case TypePubrel, TypeSubscribe, TypeUnsubscribe: // [MQTT-3.6.1-1] [MQTT-3.8.1-1] [MQTT-3.10.1-1]
		want = 0x02
	}
	if first&0x0f != want {
		return errFlags
	}
	return nil
}

// Inbound is a PUBLISH from a client. Topic, Payload and what Props holds share
// memory with the packet's body.
type Inbound struct {
	Topic     string // empty where Alias stands for it
	Payload   []byte
	Props     *message.Properties // nil when there are none that travel
	Expiry    uint32              // seconds, with HasExpiry
	PacketID  uint16              // 0 for QoS 0
	Alias     uint16              // 0 is none
	QoS       message.QoS
	HasExpiry bool
	Dup       bool
	Retain    bool
}

// DecodePublish reads the body of a PUBLISH, of which nothing may be changed
// afterwards. Whether Topic is a valid Topic Name, and Alias within the limit,
// is for the caller. The error is a *[ReasonError].
func DecodePublish(in *Inbound, version, first byte, body []byte) error {
	*in = Inbound{QoS: first >> 1 & 3, Dup: first&0x08 != 0, Retain: first&0x01 != 0}
	if in.QoS == 3 { // [MQTT-3.3.1-4]
		return errQoS
	}
	if in.Dup && in.QoS == 0 { // [MQTT-3.3.1-2]
		return errDupQoS0
	}
	var err error
	if in.Topic, body, err = cutString(body); err != nil {
		return err
	}
	if in.QoS > 0 {
		if in.PacketID, body, err = cutID(body); err != nil {
			return err
		}
	}
	if version == V5 && len(body) > 0 && body[0] == 0 { // the common case: no property
		body = body[1:]
	} else if version == V5 {
		var p properties
		if body, err = p.decode(publishProperties, body); err != nil {
			return err
		}
		if p.seen.has(propSubscriptionID) { // [MQTT-3.3.4-6]
			return errSubIDFromClient
		}
		if in.Alias = p.alias; in.Alias == 0 && p.seen.has(propTopicAlias) { // [MQTT-3.3.2-8]
			return errAliasZero
		}
		in.Expiry, in.HasExpiry = p.messageExpiry, p.seen.has(propMessageExpiry)
		in.Props = p.message()
	}
	if in.Topic == "" && in.Alias == 0 {
		return errNoTopic
	}
	in.Payload = body
	return nil
}

// DecodeAck reads the body of a PUBACK, PUBREC, PUBREL or PUBCOMP. The error is
// a *[ReasonError].
func DecodeAck(version, kind byte, body []byte) (id uint16, code byte, err error) {
	if id, body, err = cutID(body); err != nil {
		return 0, 0, err
	}
	if len(body) == 0 {
		return id, Success, nil
	}
	if version != V5 {
		return 0, 0, errTrailing
	}
	code = body[0]
	if !ackCode(kind, code) { // [MQTT-3.4.2-1] [MQTT-3.5.2-1] [MQTT-3.6.2-1] [MQTT-3.7.2-1]
		return 0, 0, errReasonCode
	}
	return id, code, checkTail(ackProperties, body[1:])
}

func ackCode(kind, code byte) bool {
	if kind == Pubrel || kind == Pubcomp {
		return code == Success || code == PacketIDNotFound
	}
	switch code {
	case Success, NoMatchingSubscribers, UnspecifiedError, ImplementationError, NotAuthorized,
		TopicNameInvalid, PacketIDInUse, QuotaExceeded, PayloadFormatInvalid:
		return true
	}
	return false
}

// Request is one filter of a SUBSCRIBE with its Subscription Options.
type Request struct {
	Filter            string // shares memory with the packet's body; not yet validated
	QoS               message.QoS
	RetainHandling    byte
	NoLocal           bool
	RetainAsPublished bool
}

// DecodeSubscribe reads the body of a SUBSCRIBE. subID is its Subscription
// Identifier, 0 for none. The error is a *[ReasonError].
func DecodeSubscribe(version byte, body []byte) (id uint16, subID uint32, requests []Request, err error) {
	if id, body, err = cutID(body); err != nil {
		return 0, 0, nil, err
	}
	if version == V5 {
		var p properties
		if body, err = p.decode(subscribeProperties, body); err != nil {
			return 0, 0, nil, err
		}
		subID = p.subscriptionID
	}
	if len(body) == 0 { // [MQTT-3.8.3-2]
		return 0, 0, nil, errNoFilter
	}
	for len(body) > 0 {
		var r Request
		if r.Filter, body, err = cutString(body); err != nil {
			return 0, 0, nil, err
		}
		if len(body) == 0 {
			return 0, 0, nil, errTruncated
		}
		options := body[0]
		body = body[1:]
		r.QoS = options & 3
		if r.QoS == 3 {
			return 0, 0, nil, errQoS
		}
		switch {
		case version != V5 && options&^3 != 0, options&0xc0 != 0: // [MQTT-3.8.3-5]
			return 0, 0, nil, errOptions
		case version == V5:
			r.NoLocal = options&0x04 != 0
			r.RetainAsPublished = options&0x08 != 0
			if r.RetainHandling = options >> 4 & 3; r.RetainHandling == 3 { // section 3.8.3.1
				return 0, 0, nil, errRetainHandling
			}
		}
		requests = append(requests, r)
	}
	return id, subID, requests, nil
}

// DecodeUnsubscribe reads the body of an UNSUBSCRIBE. The filters share memory
// with it and are not validated. The error is a *[ReasonError].
func DecodeUnsubscribe(version byte, body []byte) (id uint16, filters []string, err error) {
	if id, body, err = cutID(body); err != nil {
		return 0, nil, err
	}
	if version == V5 {
		var p properties
		if body, err = p.decode(unsubscribeProperties, body); err != nil {
			return 0, nil, err
		}
	}
	if len(body) == 0 { // [MQTT-3.10.3-2]
		return 0, nil, errNoFilter
	}
	for len(body) > 0 {
		var f string
		if f, body, err = cutString(body); err != nil {
			return 0, nil, err
		}
		filters = append(filters, f)
	}
	return id, filters, nil
}

// Disconnect is a DISCONNECT from a client.
type Disconnect struct {
	Code      byte
	HasExpiry bool   // whether Expiry was sent
	Expiry    uint32 // Session Expiry Interval, seconds
}

// DecodeDisconnect reads the body of a DISCONNECT. The error is a
// *[ReasonError].
func DecodeDisconnect(version byte, body []byte) (d Disconnect, err error) {
	if len(body) == 0 {
		return d, nil
	}
	if version != V5 { // [MQTT-3.14.1-1] and nothing behind the fixed header
		return d, errTrailing
	}
	d.Code = body[0]
	if !disconnectCode(d.Code) { // [MQTT-3.14.2-1]
		return d, errReasonCode
	}
	if len(body) == 1 {
		return d, nil
	}
	var p properties
	rest, err := p.decode(disconnectProperties, body[1:])
	if err == nil && len(rest) > 0 {
		err = errTrailing
	}
	d.Expiry, d.HasExpiry = p.sessionExpiry, p.seen.has(propSessionExpiry)
	return d, err
}

func disconnectCode(code byte) bool {
	switch code {
	case Success, DisconnectWithWill, UnspecifiedError, MalformedPacket, ProtocolError, ImplementationError,
		TopicNameInvalid, ReceiveMaximumExceeded, TopicAliasInvalid, PacketTooLarge, MessageRateTooHigh,
		QuotaExceeded, AdministrativeAction, PayloadFormatInvalid:
		return true
	}
	return false
}

// checkTail holds the rest of a packet against being nothing, or properties and
// nothing behind them.
func checkTail(allowed set, b []byte) error {
	if len(b) == 0 {
		return nil
	}
	var p properties
	rest, err := p.decode(allowed, b)
	if err == nil && len(rest) > 0 {
		err = errTrailing
	}
	return err
}

// cutID splits a Packet Identifier off [MQTT-2.2.1-3].
func cutID(b []byte) (id uint16, rest []byte, err error) {
	if len(b) < 2 {
		return 0, nil, errTruncated
	}
	if id = binary.BigEndian.Uint16(b); id == 0 {
		return 0, nil, errNoPacketID
	}
	return id, b[2:], nil
}

// CheckConnect reads the body of a CONNECT for what must not be in it, so that
// a lenient decoder may have it afterwards [MQTT-3.1.4-1]. It returns the
// protocol version as far as that is known: 0 for a protocol that is not MQTT.
// The highest bit, which bridges set in MQTT 3, is not part of it. The error is
// a *[ReasonError].
func CheckConnect(body []byte) (version byte, err error) {
	name, body, err := cutBinary(body)
	if err != nil {
		return 0, err
	}
	if string(name) != "MQTT" && string(name) != "MQIsdp" { // [MQTT-3.1.2-1]
		return 0, errProtocolName
	}
	if len(body) < 4 {
		return 0, errTruncated
	}
	version = body[0]
	if level := version &^ 0x80; level == V31 || level == V311 {
		version = level
	}
	if string(name) == "MQIsdp" && version != V31 || string(name) == "MQTT" && version != V311 && version != V5 {
		return version, errProtocolVersion // [MQTT-3.1.2-2]
	}
	flags := body[1]
	if err := checkConnectFlags(version, flags); err != nil {
		return version, err
	}
	body = body[4:] // level, flags, keep alive
	if version == V5 {
		var p properties
		if body, err = p.decode(connectProperties, body); err != nil {
			return version, err
		}
		if p.seen.has(propAuthData) && !p.seen.has(propAuthMethod) { // section 3.1.2.11.10
			return version, errAuthData
		}
	}
	if _, body, err = cutString(body); err != nil { // [MQTT-3.1.3-3] [MQTT-3.1.3-4]
		return version, err
	}
	if flags&flagWill != 0 {
		if version == V5 {
			var p properties
			if body, err = p.decode(willProperties, body); err != nil {
				return version, err
			}
		}
		if _, body, err = cutString(body); err != nil { // [MQTT-3.1.3-11]
			return version, err
		}
		if _, body, err = cutBinary(body); err != nil {
			return version, err
		}
	}
	if flags&flagUserName != 0 {
		if _, body, err = cutString(body); err != nil { // [MQTT-3.1.3-12]
			return version, err
		}
	}
	if flags&flagPassword != 0 {
		if _, body, err = cutBinary(body); err != nil {
			return version, err
		}
	}
	if len(body) > 0 {
		return version, errTrailing
	}
	return version, nil
}

// The Connect Flags (MQTT 5, section 3.1.2.3).
const (
	flagReserved   = 0x01
	flagWill       = 0x04
	flagWillQoS    = 0x18
	flagWillRetain = 0x20
	flagPassword   = 0x40
	flagUserName   = 0x80
)

func checkConnectFlags(version, flags byte) error {
	switch {
	case flags&flagReserved != 0: // [MQTT-3.1.2-3]
		return errConnectFlags
	case flags&flagWillQoS == flagWillQoS: // [MQTT-3.1.2-12]
		return errQoS
	case flags&flagWill == 0 && flags&(flagWillQoS|flagWillRetain) != 0: // [MQTT-3.1.2-11] [MQTT-3.1.2-13]
		return errWillFlags
	case version != V5 && flags&flagUserName == 0 && flags&flagPassword != 0: // 3.1.1: [MQTT-3.1.2-22]
		return errPasswordAlone
	}
	return nil
}

// ClearBridgeBit takes the highest bit out of the protocol version in the body
// of a CONNECT that [CheckConnect] has passed, and reports whether it was set:
// so bridges of MQTT 3 make themselves known.
func ClearBridgeBit(body []byte) bool {
	level := 2 + int(binary.BigEndian.Uint16(body))
	set := body[level]&0x80 != 0
	body[level] &^= 0x80
	return set
}

// AppendHeader appends the fixed header of a packet with a body of n bytes.
func AppendHeader(b []byte, first byte, n int) []byte { return appendVarint(append(b, first), n) }
