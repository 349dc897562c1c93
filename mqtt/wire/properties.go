package wire

import (
	"encoding/binary"
	"strings"
	"unicode/utf8"
	"unsafe"

	"ermine/actors/message"
)

// The property identifiers (MQTT 5, section 2.2.2.2).
const (
	propPayloadFormat   = 0x01
	propMessageExpiry   = 0x02
	propContentType     = 0x03
	propResponseTopic   = 0x08
	propCorrelationData = 0x09
	propSubscriptionID  = 0x0B
	propSessionExpiry   = 0x11
	propAuthMethod      = 0x15
	propAuthData        = 0x16
	propProblemInfo     = 0x17
	propWillDelay       = 0x18
	propResponseInfo    = 0x19
	propReasonString    = 0x1F
	propReceiveMaximum  = 0x21
	propAliasMaximum    = 0x22
	propTopicAlias      = 0x23
	propUserProperty    = 0x26
	propMaxPacketSize   = 0x27
)

// set is a set of property identifiers: all of them are below 64.
type set uint64

func setOf(ids ...byte) (s set) {
	for _, id := range ids {
		s |= 1 << id
	}
	return s
}

func (s set) has(id byte) bool { return s>>id&1 != 0 }

// What a client may send in each packet (MQTT 5, table 2-4).
var (
	connectProperties = setOf(propSessionExpiry, propAuthMethod, propAuthData, propProblemInfo,
		propResponseInfo, propReceiveMaximum, propAliasMaximum, propUserProperty, propMaxPacketSize)
	willProperties = setOf(propPayloadFormat, propMessageExpiry, propContentType, propResponseTopic,
		propCorrelationData, propWillDelay, propUserProperty)
	publishProperties = setOf(propPayloadFormat, propMessageExpiry, propContentType, propResponseTopic,
		propCorrelationData, propSubscriptionID, propTopicAlias, propUserProperty)
	ackProperties         = setOf(propReasonString, propUserProperty)
	subscribeProperties   = setOf(propSubscriptionID, propUserProperty)
	unsubscribeProperties = setOf(propUserProperty)
	disconnectProperties  = setOf(propSessionExpiry, propReasonString, propUserProperty)
)

// properties are those that somebody asks for after decoding; the rest is only
// checked. Strings and bytes share memory with the packet.
type properties struct {
	seen           set
	payloadFormat  byte
	alias          uint16
	messageExpiry  uint32
	sessionExpiry  uint32
	subscriptionID uint32
	contentType    string
	responseTopic  string
	correlation    []byte
	user           []message.UserProperty
}

// decode reads the property length and the properties at the beginning of b
// and returns what follows them. Nothing is allocated but user properties,
// whose number is bounded by what has arrived.
func (p *properties) decode(allowed set, b []byte) (rest []byte, err error) {
	n, b, err := cutVarint(b)
	if err != nil {
		return nil, err
	}
	if int(n) > len(b) {
		return nil, errTruncated
	}
	b, rest = b[:n], b[n:]
	for len(b) > 0 {
		id := b[0]
		if id >= 64 || !allowed.has(id) { // section 2.2.2.2
			return nil, errProperty
		}
		if p.seen.has(id) && id != propUserProperty {
			return nil, errDuplicateProperty
		}
		p.seen |= 1 << id
		if b, err = p.one(id, b[1:]); err != nil {
			return nil, err
		}
	}
	return rest, nil
}

// one reads the value of one property.
func (p *properties) one(id byte, b []byte) (rest []byte, err error) {
	switch id {
	case propPayloadFormat, propProblemInfo, propResponseInfo:
		if len(b) < 1 {
			return nil, errTruncated
		}
		if b[0] > 1 {
			return nil, errPropertyValue
		}
		if id == propPayloadFormat {
			p.payloadFormat = b[0]
		}
		return b[1:], nil
	case propReceiveMaximum, propAliasMaximum, propTopicAlias:
		if len(b) < 2 {
			return nil, errTruncated
		}
		v := binary.BigEndian.Uint16(b)
		if id == propTopicAlias {
			p.alias = v
		}
		if id == propReceiveMaximum && v == 0 { // section 3.1.2.11.3
			return nil, errPropertyValue
		}
		return b[2:], nil
	case propMessageExpiry, propSessionExpiry, propWillDelay, propMaxPacketSize:
		if len(b) < 4 {
			return nil, errTruncated
		}
		v := binary.BigEndian.Uint32(b)
		switch id {
		case propMessageExpiry:
			p.messageExpiry = v
		case propSessionExpiry:
			p.sessionExpiry = v
		case propMaxPacketSize:
			if v == 0 { // section 3.1.2.11.4
				return nil, errPropertyValue
			}
		}
		return b[4:], nil
	case propSubscriptionID:
		if p.subscriptionID, b, err = cutVarint(b); err != nil {
			return nil, err
		}
		if p.subscriptionID == 0 { // section 3.8.2.1.2
			return nil, errPropertyValue
		}
		return b, nil
	case propCorrelationData:
		p.correlation, b, err = cutBinary(b)
		return b, err
	case propAuthData:
		_, b, err = cutBinary(b)
		return b, err
	case propUserProperty:
		var u message.UserProperty
		if u.Key, b, err = cutString(b); err != nil {
			return nil, err
		}
		if u.Value, b, err = cutString(b); err != nil {
			return nil, err
		}
		p.user = append(p.user, u)
		return b, nil
	default: // the strings
		s, b, err := cutString(b)
		switch id {
		case propContentType:
			p.contentType = s
		case propResponseTopic:
			if err == nil && (s == "" || strings.ContainsAny(s, "+#")) { // [MQTT-3.3.2-14]
				err = errResponseTopic
			}
			p.responseTopic = s
		}
		return b, err
	}
}

// message returns the properties that travel with a message, nil if there are
// none.
func (p *properties) message() *message.Properties {
	if !p.seen.has(propContentType) && p.responseTopic == "" && p.correlation == nil && p.user == nil && !p.seen.has(propPayloadFormat) {
		return nil
	}
	return &message.Properties{
		ContentType: p.contentType, ResponseTopic: p.responseTopic, CorrelationData: p.correlation,
		User: p.user, PayloadFormat: p.payloadFormat, HasFormat: p.seen.has(propPayloadFormat),
		EmptyContentType: p.contentType == "" && p.seen.has(propContentType),
	}
}

// cutVarint splits a Variable Byte Integer off, which must not be longer than
// its value needs [MQTT-1.5.5-1].
func cutVarint(b []byte) (v uint32, rest []byte, err error) {
	for i := range 4 {
		if i == len(b) {
			return 0, nil, errTruncated
		}
		v |= uint32(b[i]&0x7f) << (7 * i)
		if b[i] < 0x80 {
			if i > 0 && b[i] == 0 {
				return 0, nil, errVarintLong
			}
			return v, b[i+1:], nil
		}
	}
	return 0, nil, errVarint
}

// cutBinary splits Binary Data off (section 1.5.6); it is never nil.
func cutBinary(b []byte) (v, rest []byte, err error) {
	if len(b) < 2 {
		return nil, nil, errTruncated
	}
	n := 2 + int(binary.BigEndian.Uint16(b))
	if n > len(b) {
		return nil, nil, errTruncated
	}
	return b[2:n:n], b[n:], nil
}

// cutString splits a UTF-8 Encoded String off [MQTT-1.5.4-1] [MQTT-1.5.4-2].
// It shares memory with b, which nobody may change any more.
func cutString(b []byte) (s string, rest []byte, err error) {
	v, rest, err := cutBinary(b)
	if err != nil {
		return "", nil, err
	}
	s = unsafe.String(unsafe.SliceData(v), len(v))
	if !validString(s) {
		return "", nil, errString
	}
	return s, rest, nil
}

func validString(s string) bool {
	return strings.IndexByte(s, 0) < 0 && utf8.ValidString(s)
}
