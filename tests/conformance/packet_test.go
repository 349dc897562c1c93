package conformance

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// The protocol versions that are tested.
const (
	v31  = 3
	v311 = 4
	v5   = 5
)

// The control packet types.
const (
	tConnect     = 1
	tConnack     = 2
	tPublish     = 3
	tPuback      = 4
	tPubrec      = 5
	tPubrel      = 6
	tPubcomp     = 7
	tSubscribe   = 8
	tSuback      = 9
	tUnsubscribe = 10
	tUnsuback    = 11
	tPingreq     = 12
	tPingresp    = 13
	tDisconnect  = 14
	tAuth        = 15
)

var typeNames = [16]string{
	"RESERVED", "CONNECT", "CONNACK", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP",
	"SUBSCRIBE", "SUBACK", "UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT", "AUTH",
}

// The flags of a PUBLISH.
const (
	retain = 0x01
	qos1   = 0x02
	qos2   = 0x04
	dup    = 0x08
)

// prop is a property: its identifier and its value as it is sent.
type prop struct {
	id    byte
	value string
}

// The properties (MQTT 5, section 2.2.2.2).
func payloadFormat(v byte) prop         { return prop{0x01, string([]byte{v})} }
func messageExpiry(s uint32) prop       { return prop{0x02, u32(s)} }
func contentType(s string) prop         { return prop{0x03, str(s)} }
func responseTopic(s string) prop       { return prop{0x08, str(s)} }
func correlationData(s string) prop     { return prop{0x09, str(s)} }
func subscriptionID(n int) prop         { return prop{0x0B, varint(n)} }
func sessionExpiry(s uint32) prop       { return prop{0x11, u32(s)} }
func assignedClientID(s string) prop    { return prop{0x12, str(s)} }
func serverKeepAlive(s uint16) prop     { return prop{0x13, u16(s)} }
func authMethod(s string) prop          { return prop{0x15, str(s)} }
func authData(s string) prop            { return prop{0x16, str(s)} }
func problemInformation(v byte) prop    { return prop{0x17, string([]byte{v})} }
func willDelay(s uint32) prop           { return prop{0x18, u32(s)} }
func responseInfoRequest(v byte) prop   { return prop{0x19, string([]byte{v})} }
func responseInformation(s string) prop { return prop{0x1A, str(s)} }
func reasonString(s string) prop        { return prop{0x1F, str(s)} }
func receiveMaximum(n uint16) prop      { return prop{0x21, u16(n)} }
func topicAliasMaximum(n uint16) prop   { return prop{0x22, u16(n)} }
func topicAlias(n uint16) prop          { return prop{0x23, u16(n)} }
func maximumQoS(v byte) prop            { return prop{0x24, string([]byte{v})} }
func retainAvailable(v byte) prop       { return prop{0x25, string([]byte{v})} }
func userProperty(k, v string) prop     { return prop{0x26, str(k) + str(v)} }
func maximumPacketSize(n uint32) prop   { return prop{0x27, u32(n)} }
func wildcardAvailable(v byte) prop     { return prop{0x28, string([]byte{v})} }
func subIDAvailable(v byte) prop        { return prop{0x29, string([]byte{v})} }
func sharedAvailable(v byte) prop       { return prop{0x2A, string([]byte{v})} }

// The forms of values.
func u16(n uint16) string { return string(binary.BigEndian.AppendUint16(nil, n)) }
func u32(n uint32) string { return string(binary.BigEndian.AppendUint32(nil, n)) }
func str(s string) string { return u16(uint16(len(s))) + s }

func varint(n int) string {
	var b []byte
	for {
		digit := byte(n & 0x7f)
		if n >>= 7; n > 0 {
			b = append(b, digit|0x80)
			continue
		}
		return string(append(b, digit))
	}
}

func cutVarint(b []byte) (n int, rest []byte, err error) {
	for i := 0; i < 4 && i < len(b); i++ {
		n |= int(b[i]&0x7f) << (7 * i)
		if b[i] < 0x80 {
			if i > 0 && b[i] == 0 {
				return 0, nil, fmt.Errorf("variable byte integer % x is longer than it need be", b[:i+1])
			}
			return n, b[i+1:], nil
		}
	}
	return 0, nil, fmt.Errorf("variable byte integer % x", b)
}

func encodeProps(props []prop) string {
	var b strings.Builder
	for _, p := range props {
		b.WriteByte(p.id)
		b.WriteString(p.value)
	}
	return varint(b.Len()) + b.String()
}

// frame is a packet by its first byte and whatever follows the length.
func frame(first byte, body ...string) []byte {
	all := strings.Join(body, "")
	return []byte(string([]byte{first}) + varint(len(all)) + all)
}

// connect is a CONNECT.
type connect struct {
	protocol  string
	level     byte
	flags     byte // what the fields below do not set
	clean     bool
	keepAlive uint16
	props     []prop
	id        string
	will      *will
	user      string
	password  string
	hasUser   bool // also for an empty one
	hasPass   bool
	rest      string // behind the packet's end
}

type will struct {
	topic, payload string
	qos            byte
	retain         bool
	props          []prop
}

func (c connect) encode() []byte {
	flags := c.flags
	set := func(on bool, bits byte) {
		if on {
			flags |= bits
		}
	}
	set(c.clean, 0x02)
	set(c.will != nil, 0x04)
	set(c.hasUser || c.user != "", 0x80)
	set(c.hasPass || c.password != "", 0x40)
	if c.will != nil {
		set(c.will.retain, 0x20)
		flags |= c.will.qos << 3
	}
	parts := []string{str(c.protocol), string([]byte{c.level, flags}), u16(c.keepAlive)}
	if c.level == v5 {
		parts = append(parts, encodeProps(c.props))
	}
	parts = append(parts, str(c.id))
	if w := c.will; w != nil {
		if c.level == v5 {
			parts = append(parts, encodeProps(w.props))
		}
		parts = append(parts, str(w.topic), str(w.payload))
	}
	if flags&0x80 != 0 {
		parts = append(parts, str(c.user))
	}
	if flags&0x40 != 0 {
		parts = append(parts, str(c.password))
	}
	return frame(tConnect<<4, append(parts, c.rest)...)
}

// filter is one of a SUBSCRIBE.
type filter struct {
	name    string
	options byte
}

// The Subscription Options besides the QoS.
const (
	noLocal           = 0x04
	retainAsPublished = 0x08
	handling1         = 0x10
	handling2         = 0x20
)

// packet is any control packet but CONNECT, either way.
type packet struct {
	kind, flags byte
	id          uint16 // where there is one
	code        byte   // CONNACK, the acknowledgements, DISCONNECT, AUTH
	present     bool   // CONNACK: Session Present
	topic       string
	payload     string
	codes       []byte   // SUBACK, UNSUBACK
	filters     []filter // SUBSCRIBE, UNSUBSCRIBE
	props       []prop
}

func message(topic, payload string, flags byte, id uint16, props ...prop) packet {
	return packet{kind: tPublish, flags: flags, id: id, topic: topic, payload: payload, props: props}
}

func (p packet) qos() byte { return p.flags >> 1 & 3 }

func ack(kind byte, id uint16, code ...byte) packet {
	p := packet{kind: kind, id: id}
	if kind == tPubrel {
		p.flags = 0x02
	}
	if len(code) > 0 {
		p.code = code[0]
	}
	return p
}

func (p packet) encode(version byte) []byte {
	first := p.kind<<4 | p.flags
	props := ""
	if version == v5 {
		props = encodeProps(p.props)
	}
	switch p.kind {
	case tPublish:
		id := ""
		if p.qos() > 0 {
			id = u16(p.id)
		}
		return frame(first, str(p.topic), id, props, p.payload)
	case tPuback, tPubrec, tPubrel, tPubcomp:
		switch {
		case version < v5, p.code == 0 && len(p.props) == 0:
			return frame(first, u16(p.id))
		case len(p.props) == 0:
			return frame(first, u16(p.id), string([]byte{p.code}))
		}
		return frame(first, u16(p.id), string([]byte{p.code}), props)
	case tSubscribe, tUnsubscribe:
		parts := []string{u16(p.id), props}
		for _, f := range p.filters {
			parts = append(parts, str(f.name))
			if p.kind == tSubscribe {
				parts = append(parts, string([]byte{f.options}))
			}
		}
		return frame(first, parts...)
	case tDisconnect, tAuth:
		if version < v5 || p.code == 0 && len(p.props) == 0 {
			return frame(first)
		}
		return frame(first, string([]byte{p.code}), props)
	}
	return frame(first)
}

// decode reads what a server may send, to the letter: what must not be there
// is an error, whatever the test was about.
func decode(version, first byte, body []byte) (packet, error) {
	p := packet{kind: first >> 4, flags: first & 0x0f}
	wantFlags := byte(0)
	switch p.kind {
	case tPublish:
		wantFlags = p.flags
	case tPubrel:
		wantFlags = 0x02
	}
	if p.flags != wantFlags {
		return p, fmt.Errorf("%s with flags %x", typeNames[p.kind], p.flags)
	}
	r := reader{b: body}
	switch p.kind {
	case tConnack:
		acknowledge := r.byte()
		if acknowledge > 1 {
			return p, fmt.Errorf("CONNACK with flags %x", acknowledge)
		}
		p.present, p.code = acknowledge == 1, r.byte()
		p.props = r.props(version)
	case tPublish:
		p.topic = r.str()
		if p.qos() > 0 {
			p.id = r.id()
		}
		p.props = r.props(version)
		p.payload, r.b = string(r.b), nil
	case tPuback, tPubrec, tPubrel, tPubcomp:
		p.id = r.id()
		if version == v5 && len(r.b) > 0 {
			p.code = r.byte()
		}
		if len(r.b) > 0 {
			p.props = r.props(version)
		}
	case tSuback, tUnsuback:
		p.id = r.id()
		p.props = r.props(version)
		p.codes, r.b = r.b, nil
	case tDisconnect, tAuth:
		if version < v5 {
			return p, fmt.Errorf("%s from the server in version %d", typeNames[p.kind], version)
		}
		if len(r.b) > 0 {
			p.code = r.byte()
		}
		if len(r.b) > 0 {
			p.props = r.props(version)
		}
	case tPingresp:
	default:
		return p, fmt.Errorf("%s from the server", typeNames[p.kind])
	}
	if r.err == nil && len(r.b) > 0 {
		r.err = fmt.Errorf("% x behind the end of the packet", r.b)
	}
	if r.err != nil {
		return p, fmt.Errorf("%s % x: %w", typeNames[p.kind], body, r.err)
	}
	return p, nil
}

// reader takes a body apart; its first error stays.
type reader struct {
	b   []byte
	err error
}

func (r *reader) take(n int) []byte {
	if r.err == nil && len(r.b) < n {
		r.err = fmt.Errorf("want %d bytes, %d are left", n, len(r.b))
	}
	if r.err != nil {
		return make([]byte, n)
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) byte() byte     { return r.take(1)[0] }
func (r *reader) number() uint16 { return binary.BigEndian.Uint16(r.take(2)) }
func (r *reader) str() string    { return string(r.take(int(r.number()))) }

func (r *reader) id() uint16 {
	n := r.number()
	if n == 0 && r.err == nil {
		r.err = fmt.Errorf("packet identifier 0")
	}
	return n
}

func (r *reader) props(version byte) []prop {
	if version < v5 || r.err != nil {
		return nil
	}
	n, rest, err := cutVarint(r.b)
	if err == nil && n > len(rest) {
		err = fmt.Errorf("property length %d of %d bytes", n, len(rest))
	}
	if err != nil {
		r.err = err
		return nil
	}
	inner := reader{b: rest[:n]}
	r.b = rest[n:]
	var props []prop
	for len(inner.b) > 0 && inner.err == nil {
		id := inner.byte()
		before := inner.b
		switch id {
		case 0x01, 0x17, 0x19, 0x24, 0x25, 0x28, 0x29, 0x2A:
			inner.byte()
		case 0x13, 0x21, 0x22, 0x23:
			inner.number()
		case 0x02, 0x11, 0x18, 0x27:
			inner.take(4)
		case 0x03, 0x08, 0x09, 0x12, 0x15, 0x16, 0x1A, 0x1C, 0x1F:
			inner.str()
		case 0x26:
			inner.str()
			inner.str()
		case 0x0B:
			if _, inner.b, err = cutVarint(inner.b); err != nil {
				inner.err = err
			}
		default:
			inner.err = fmt.Errorf("unknown property %#x", id)
		}
		props = append(props, prop{id, string(before[:len(before)-len(inner.b)])})
	}
	r.err = inner.err
	return props
}

// find returns a property's value.
func (p packet) find(id byte) (string, bool) {
	for _, q := range p.props {
		if q.id == id {
			return q.value, true
		}
	}
	return "", false
}

// has tells whether the packet has exactly this property.
func (p packet) has(want prop) bool { return slices.Contains(p.props, want) }

// without is the packet without the properties of an identifier.
func (p packet) without(id byte) packet {
	p.props = slices.DeleteFunc(slices.Clone(p.props), func(q prop) bool { return q.id == id })
	return p
}

// String shows all there is in a packet; two are equal if it is. The order of
// properties matters among those of one identifier only [MQTT-3.3.2-18].
func (p packet) String() string {
	var b strings.Builder
	b.WriteString(typeNames[p.kind])
	switch p.kind {
	case tPublish:
		fmt.Fprintf(&b, " %q payload %s qos %d", p.topic, abridged(p.payload), p.qos())
		for _, f := range []struct {
			bit  byte
			name string
		}{{retain, " retain"}, {dup, " dup"}} {
			if p.flags&f.bit != 0 {
				b.WriteString(f.name)
			}
		}
		if p.qos() > 0 {
			fmt.Fprintf(&b, " id %d", p.id)
		}
	case tConnack:
		fmt.Fprintf(&b, " present %t code %#02x", p.present, p.code)
	case tSuback, tUnsuback:
		fmt.Fprintf(&b, " id %d codes % x", p.id, p.codes)
	case tPuback, tPubrec, tPubrel, tPubcomp:
		fmt.Fprintf(&b, " id %d code %#02x", p.id, p.code)
	case tDisconnect, tAuth:
		fmt.Fprintf(&b, " code %#02x", p.code)
	}
	sorted := slices.Clone(p.props)
	slices.SortStableFunc(sorted, func(a, b prop) int { return int(a.id) - int(b.id) })
	for _, q := range sorted {
		fmt.Fprintf(&b, " %#02x=%q", q.id, q.value)
	}
	return b.String()
}

func abridged(s string) string {
	if len(s) > 64 {
		return fmt.Sprintf("%q… (%d bytes)", s[:64], len(s))
	}
	return fmt.Sprintf("%q", s)
}
