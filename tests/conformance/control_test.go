package conformance

import (
	"strings"
	"testing"

	"ermine/tests/conformance/brokertest"
)

// TestPing: PINGREQ and its answer.
func TestPing(t *testing.T) {
	t.Parallel()
	b := start(t)
	both(t, "v3.1.1 v5 [MQTT-3.12.4-1] PINGRESP", func(t *testing.T, version byte) {
		c := b.connect(t, version)
		for range 3 {
			c.send([]byte{0xC0, 0x00})
			c.want(packet{kind: tPingresp})
		}
	})
}

// TestDisconnect: the client's good-bye.
func TestDisconnect(t *testing.T) {
	t.Parallel()
	b := start(t)
	both(t, "v3.1.1 v5 the broker closes and processes nothing more", func(t *testing.T, version byte) {
		topic := unique("t/")
		w, c := b.connect(t, version), b.connect(t, version)
		w.subscribe(filter{topic, 1})
		c.send(append(packet{kind: tDisconnect}.encode(version), message(topic, "late", 0, 0).encode(version)...))
		c.wantClosed()
		b.gone(t, c.id)
		b.marker(w, topic)
	})
	for _, code := range []byte{0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99} {
		t.Run("v5 [MQTT-4.13.2-1] [MQTT-3.14.4-1] [MQTT-3.14.4-2] reason code "+number(int(code)), func(t *testing.T) {
			c := b.connect(t, v5)
			c.put(packet{kind: tDisconnect, code: code, props: []prop{reasonString("why"), userProperty("k", "v")}})
			c.wantClosed()
		})
	}
	for _, tc := range []struct {
		on3, on5 string
		what     string
		sent     []byte
		code     byte
	}{
		{"v3.1.1 [MQTT-3.14.1-1]", "v5 [MQTT-3.14.1-1]", "reserved flags", frame(tDisconnect<<4 | 1), 0x81},
		{"v3.1.1", "", "reason code", frame(tDisconnect<<4, "\x00"), 0},
		{"", "v5 [MQTT-3.14.2-1]", "reason code of a server", frame(tDisconnect<<4, "\x8e"), 0x82},
		{"", "v5 [MQTT-3.14.2-1]", "unknown reason code", frame(tDisconnect<<4, "\x05\x00"), 0x82},
		{"", "v5", "property of another packet", frame(tDisconnect<<4, "\x00", encodeProps([]prop{topicAlias(1)})), 0x81},
		{"", "v5", "bytes behind the properties", frame(tDisconnect<<4, "\x00\x00", "x"), 0x81},
		{"", "v5", "session expiry twice", frame(tDisconnect<<4, "\x00", encodeProps([]prop{sessionExpiry(1), sessionExpiry(1)})), 0x82},
	} {
		for version, ids := range map[byte]string{v311: tc.on3, v5: tc.on5} {
			if ids == "" {
				continue
			}
			t.Run(ids+" "+tc.what, func(t *testing.T) {
				c := b.connect(t, version)
				c.send(tc.sent)
				c.wantEnd(tc.code)
			})
		}
	}
	t.Run("v5 [MQTT-3.14.2-3] [MQTT-3.14.2-4] within the maximum packet size", func(t *testing.T) {
		for _, tc := range []struct {
			limit  uint32
			reason bool
		}{{1000, true}, {23, false}} {
			c := b.connect(t, v5, with(maximumPacketSize(tc.limit)))
			c.put(message("a/+", "x", 0, 0))
			p := c.read()
			if _, reason := p.find(0x1F); p.kind != tDisconnect || p.code != 0x90 || reason != tc.reason || len(p.without(0x1F).props) > 0 {
				t.Errorf("within %d bytes: got %v", tc.limit, p)
			}
			c.wantClosed()
		}
	})
	t.Run("v5 [MQTT-3.14.0-1] no DISCONNECT before CONNACK", func(t *testing.T) {
		c := b.dial(t, v5)
		pk := newConnect(v5)
		pk.protocol = "WHAT"
		c.send(pk.encode())
		c.wantClosed()
	})
}

// TestAuth: there is no enhanced authentication.
func TestAuth(t *testing.T) {
	t.Parallel()
	b := start(t)
	t.Run("v5 [MQTT-3.15.1-1] AUTH with flags", func(t *testing.T) {
		c := b.connect(t, v5)
		c.send(frame(tAuth<<4|1, "\x18\x00"))
		c.wantEnd(0x81)
	})
	t.Run("v5 [MQTT-4.12.0-6] AUTH without a method in CONNECT", func(t *testing.T) {
		c := b.connect(t, v5)
		if _, method := c.connack.find(0x15); method {
			t.Errorf("got %v", c.connack)
		}
		c.put(packet{kind: tAuth, code: 0x19, props: []prop{authMethod("m")}})
		c.wantEnd(0x82)
	})
	t.Run("v3.1.1 there is no AUTH", func(t *testing.T) {
		c := b.connect(t, v311)
		c.send(frame(tAuth << 4))
		c.wantClosed()
	})
}

// TestMalformed: packets of every type that cannot be read, or must not be
// sent. Each ends its connection, and no other.
func TestMalformed(t *testing.T) {
	t.Parallel()
	b := start(t, func(c *brokertest.Config) { c.Zone.MaxPacketSize, c.Listeners[0].MaxPacketSize = 1000, 1000 })
	witness := b.connect(t, v5)
	witness.subscribe(filter{"witness", 1})
	type row struct {
		on3, on5 string
		what     string
		sent     []byte
		code     byte
	}
	const all3, all5 = "v3.1.1 [MQTT-4.8.0-1]", "v5 [MQTT-4.13.1-1] [MQTT-4.13.2-1]"
	rows := []row{
		{all3, all5, "remaining length of five bytes", []byte{0x30, 0xff, 0xff, 0xff, 0xff, 0x01}, 0x81},
		{all3, all5, "remaining length beyond the maximum", []byte{0x30, 0xff, 0xff, 0xff, 0x7f}, 0x95},
		{all3, all5, "packet beyond the maximum", message("t", strings.Repeat("x", 1000), 0, 0).encode(v5), 0x95},
		{all3, all5, "reserved type 0", frame(0x00), 0x81},
		{all3, all5, "CONNACK", frame(0x20, "\x00\x00"), 0x82},
		{all3, all5, "SUBACK", frame(0x90, "\x00\x01\x00"), 0x82},
		{all3, all5, "UNSUBACK", frame(0xB0, "\x00\x01"), 0x82},
		{all3, all5, "PINGRESP", frame(0xD0), 0x82},
		{all3, all5, "PINGREQ with a body", frame(0xC0, "x"), 0x81},
		{"v3.1.1 [MQTT-3.6.1-1]", "v5 [MQTT-3.6.1-1]", "PUBREL with flags 0", frame(0x60, u16(1)), 0x81},
		{"v3.1.1 [MQTT-3.6.1-1]", "v5 [MQTT-3.6.1-1]", "PUBREL with flags 3", frame(0x63, u16(1)), 0x81},
		{"", "v5 [MQTT-1.5.5-1]", "property length longer than it need be", frame(0x30, str("t"), "\x80\x00"), 0x81},
		{"v3.1.1 [MQTT-1.5.3-1]", "v5 [MQTT-1.5.4-1]", "overlong UTF-8", frame(0x30, str("\xc0\xaf"), "\x00"), 0x81},
		{"v3.1.1 [MQTT-1.5.3-1]", "v5 [MQTT-1.5.4-1]", "a surrogate", frame(0x30, str("\xed\xa0\x80"), "\x00"), 0x81},
		{"v3.1.1 [MQTT-1.5.3-1]", "v5 [MQTT-1.5.4-1]", "beyond Unicode", frame(0x30, str("\xf4\x90\x80\x80"), "\x00"), 0x81},
		{"v3.1.1 [MQTT-1.5.3-1]", "v5 [MQTT-1.5.4-1]", "UTF-8 cut short", frame(0x30, str("\xe2\x82"), "\x00"), 0x81},
		{"v3.1.1 [MQTT-1.5.3-2]", "v5 [MQTT-1.5.4-2]", "U+0000", frame(0x30, str("a\x00"), "\x00"), 0x81},
	}
	for _, kind := range []byte{tPuback, tPubrec, tPubrel, tPubcomp} {
		first, name := kind<<4, typeNames[kind]
		ids := map[byte]string{tPuback: "[MQTT-3.4.2-1]", tPubrec: "[MQTT-3.5.2-1]", tPubrel: "[MQTT-3.6.2-1]", tPubcomp: "[MQTT-3.7.2-1]"}[kind]
		if kind == tPubrel {
			first |= 2
		} else {
			rows = append(rows, row{"v3.1.1 [MQTT-2.2.2-2]", "v5 [MQTT-2.1.3-1]", name + " with flags", frame(first|2, u16(1)), 0x81})
		}
		rows = append(rows,
			row{all3, all5, name + " of nothing", frame(first), 0x81},
			row{all3, all5, name + " of one byte", frame(first, "\x01"), 0x81},
			row{all3, all5, name + " with packet identifier 0", frame(first, u16(0)), 0x82},
			row{all3, "v5 " + ids, name + " with an unknown reason code", frame(first, u16(1), "\x05"), 0x82},
			row{"", all5, name + " with a property of another packet", frame(first, u16(1), "\x00", encodeProps([]prop{topicAlias(1)})), 0x81},
			row{"", all5, name + " with bytes behind the properties", frame(first, u16(1), "\x00\x00x"), 0x81},
			row{"", all5, name + " with two reason strings", frame(first, u16(1), "\x00", encodeProps([]prop{reasonString(""), reasonString("")})), 0x82},
		)
	}
	for _, tc := range rows {
		for version, ids := range map[byte]string{v311: tc.on3, v5: tc.on5} {
			if ids == "" {
				continue
			}
			t.Run(ids+" "+tc.what, func(t *testing.T) {
				c := b.connect(t, version)
				c.send(tc.sent)
				c.wantEnd(tc.code)
			})
		}
	}
	witness.quiet()
	b.marker(witness, "witness")
	t.Run("v3.1.1 [MQTT-4.8.0-2] an error on the way closes the connection", func(t *testing.T) {
		c := b.connect(t, v311)
		c.send([]byte{0x30, 0x10, 0x00}) // and never the rest
		c.conn.Close()
		b.gone(t, c.id)
	})
	t.Run("v5 [MQTT-2.2.2-1] a property length of 0 is no properties", func(t *testing.T) {
		c := b.connect(t, v5)
		c.send(frame(0x82, u16(1), "\x00", str("a"), "\x00"))
		c.want(packet{kind: tSuback, id: 1, codes: []byte{0}})
		c.send(frame(0x82, u16(1), str("a"), "\x00")) // which reads as a property that is not one
		if p := c.read(); p.kind != tDisconnect || p.code != 0x81 {
			t.Errorf("got %v", p)
		}
		c.wantClosed()
	})
	t.Run("a packet byte by byte", func(t *testing.T) {
		c := b.dial(t, v5)
		for _, octet := range append(newConnect(v5).encode(), message("t", "x", qos1, 3).encode(v5)...) {
			c.send([]byte{octet})
		}
		if p := c.read(); p.kind != tConnack || p.code != 0 {
			t.Fatalf("got %v", p)
		}
		c.want(ack(tPuback, 3, 0x10))
	})
}
