package hook_test

import (
	"strings"
	"testing"

	"ermine/actors/session"
	"ermine/mqtt/listener"
	"ermine/mqtt/wire"
)

// TestForbidden: packets that end a connection. An MQTT 5 client is told the
// code, an MQTT 3 client nothing; the session publishes the will.
func TestForbidden(t *testing.T) {
	long := strings.Repeat("l/", 200)
	for _, tc := range []struct {
		name      string
		configure func(w *world)
		packet    []byte
		code      byte
		only5     bool // not an error of MQTT 3
		v3        []byte
	}{
		{name: "[MQTT-3.1.0-2] second connect", packet: connectPacket{version: 5, id: "c"}.bytes(), code: wire.ProtocolError},
		{name: "connack", packet: unhex("20 02 00 00"), code: wire.ProtocolError},
		{name: "suback", packet: unhex("90 03 0001 00"), code: wire.ProtocolError},
		{name: "unsuback", packet: unhex("b0 02 0001"), code: wire.ProtocolError},
		{name: "pingresp", packet: unhex("d0 00"), code: wire.ProtocolError},
		{name: "auth", packet: unhex("f0 02 18 00"), code: wire.ProtocolError},
		{name: "reserved type 0", packet: unhex("00 00"), code: wire.MalformedPacket},
		{name: "[MQTT-2.1.3-1] pingreq with flags", packet: unhex("c1 00"), code: wire.MalformedPacket},
		{name: "pingreq with a body", packet: unhex("c0 01 00"), code: wire.MalformedPacket},
		{name: "[MQTT-3.6.1-1] pubrel without its flags", packet: unhex("60 02 0001"), code: wire.MalformedPacket},
		{name: "[MQTT-3.8.1-1] subscribe without its flags", packet: unhex("80 05 0001 0001 61"), code: wire.MalformedPacket},
		{name: "[MQTT-3.10.1-1] unsubscribe without its flags", packet: unhex("a0 05 0001 0001 61"), code: wire.MalformedPacket},
		{name: "[MQTT-3.14.1-1] disconnect with flags", packet: unhex("e1 00"), code: wire.MalformedPacket},
		{name: "[MQTT-1.5.5-1] remaining length of five bytes", packet: unhex("c0 80 80 80 80 01"), code: wire.MalformedPacket},
		{
			name: "[MQTT-3.2.2-15] packet too large", configure: func(w *world) { w.zone.MaxPacketSize = 64 },
			packet: publishPacket(4, 0x30, "a", 0, "", strings.Repeat("x", 64)), code: wire.PacketTooLarge,
		},

		{name: "[MQTT-3.3.1-4] publish with qos 3", packet: publishPacket(5, 0x36, "a", 1, "", ""), code: wire.MalformedPacket},
		{name: "[MQTT-3.3.1-2] dup with qos 0", packet: publishPacket(5, 0x38, "a", 0, "", ""), code: wire.ProtocolError},
		{name: "[MQTT-2.2.1-3] packet identifier 0", packet: publishPacket(5, 0x32, "a", 0, "", ""), code: wire.ProtocolError},
		{name: "publish without anything", packet: unhex("30 00"), code: wire.MalformedPacket},
		{name: "publish cut in its topic", packet: unhex("30 04 0005 6162"), code: wire.MalformedPacket},
		{name: "publish cut in its packet identifier", packet: unhex("32 04 0001 61 00"), code: wire.MalformedPacket},
		{name: "[MQTT-1.5.4-1] topic not utf-8", packet: publishPacket(5, 0x30, "\xc3\x28", 0, "", ""), code: wire.MalformedPacket},
		{name: "[MQTT-1.5.4-1] surrogate", packet: publishPacket(5, 0x30, "\xed\xa0\x80", 0, "", ""), code: wire.MalformedPacket},
		{name: "[MQTT-1.5.4-2] topic with U+0000", packet: publishPacket(5, 0x30, "a\x00b", 0, "", ""), code: wire.MalformedPacket},
		{name: "[MQTT-3.3.2-2] topic with wildcard", packet: publishPacket(5, 0x30, "a/+", 0, "", ""), code: wire.TopicNameInvalid, v3: publishPacket(4, 0x30, "a/+", 0, "", "")},
		{name: "[MQTT-4.7.3-1] empty topic", packet: publishPacket(5, 0x30, "", 0, "", ""), code: wire.ProtocolError, v3: publishPacket(4, 0x30, "", 0, "", "")},
		{name: "topic of a share", packet: publishPacket(5, 0x30, "$share/g/a", 0, "", ""), code: wire.TopicNameInvalid, v3: publishPacket(4, 0x30, "$share/g/a", 0, "", "")},
		{name: "delayed without a number", packet: publishPacket(5, 0x30, "$delayed/x/a", 0, "", ""), code: wire.TopicNameInvalid, v3: publishPacket(4, 0x30, "$delayed/x/a", 0, "", "")},
		{name: "delayed beyond the limit", packet: publishPacket(5, 0x30, "$delayed/99999999999/a", 0, "", ""), code: wire.TopicNameInvalid, v3: publishPacket(4, 0x30, "$delayed/99999999999/a", 0, "", "")},
		{name: "delayed to a wildcard", packet: publishPacket(5, 0x30, "$delayed/1/#", 0, "", ""), code: wire.TopicNameInvalid, v3: publishPacket(4, 0x30, "$delayed/1/#", 0, "", "")},
		{name: "topic of too many levels", packet: publishPacket(5, 0x30, long, 0, "", ""), code: wire.TopicNameInvalid, v3: publishPacket(4, 0x30, long, 0, "", "")},
		{
			name: "[MQTT-3.2.2-11] qos above the maximum", configure: func(w *world) { w.zone.MaxQoS = 1 },
			packet: publishPacket(5, 0x34, "a", 1, "", ""), code: wire.QoSNotSupported,
		},
		{
			name: "[MQTT-3.2.2-14] retain where there is none", configure: func(w *world) { w.zone.Retain = false },
			packet: publishPacket(5, 0x31, "a", 0, "", ""), code: wire.RetainNotSupported,
		},
		{
			name: "denied with disconnect", configure: func(w *world) {
				w.access.denied, w.access.disconnect = map[string]bool{"a": true}, true
			},
			packet: publishPacket(5, 0x32, "a", 1, "", ""), code: wire.NotAuthorized,
		},
		{
			name: "receive maximum", configure: func(w *world) {
				w.broker.onOpen = func(s *fakeSession) { s.publish = session.ErrReceiveMaximum }
			},
			packet: publishPacket(5, 0x32, "a", 1, "", ""), code: wire.ReceiveMaximumExceeded,
		},
		{name: "property length beyond the packet", only5: true, packet: unhex("30 05 0001 61 05 01"), code: wire.MalformedPacket},
		{name: "property length of five bytes", only5: true, packet: unhex("30 08 0001 61 8080808000"), code: wire.MalformedPacket},
		{name: "property cut", only5: true, packet: publishPacket(5, 0x30, "a", 0, "02 0000", ""), code: wire.MalformedPacket},
		{name: "unknown property", only5: true, packet: publishPacket(5, 0x30, "a", 0, "7f 00", ""), code: wire.MalformedPacket},
		{name: "property of connect", only5: true, packet: publishPacket(5, 0x30, "a", 0, "21 0001", ""), code: wire.MalformedPacket},
		{name: "property twice", only5: true, packet: publishPacket(5, 0x30, "a", 0, "01 00 01 00", ""), code: wire.ProtocolError},
		{name: "payload format 2", only5: true, packet: publishPacket(5, 0x30, "a", 0, "01 02", ""), code: wire.ProtocolError},
		{name: "[MQTT-3.3.2-14] response topic with wildcard", only5: true, packet: publishPacket(5, 0x30, "a", 0, "08 0001 23", ""), code: wire.ProtocolError},
		{name: "[MQTT-3.3.4-6] subscription identifier from a client", only5: true, packet: publishPacket(5, 0x30, "a", 0, "0b 01", ""), code: wire.ProtocolError},
		{name: "user property not utf-8", only5: true, packet: publishPacket(5, 0x30, "a", 0, "26 0001 ff 0000", ""), code: wire.MalformedPacket},
		{name: "[MQTT-3.3.2-8] topic alias 0", only5: true, packet: publishPacket(5, 0x30, "a", 0, "23 0000", ""), code: wire.TopicAliasInvalid},
		{
			name: "[MQTT-3.3.2-9] topic alias above the maximum", only5: true, configure: func(w *world) { w.zone.MaxTopicAlias = 5 },
			packet: publishPacket(5, 0x30, "a", 0, "23 0006", ""), code: wire.TopicAliasInvalid,
		},
		{name: "unknown topic alias", only5: true, packet: publishPacket(5, 0x30, "", 0, "23 0006", ""), code: wire.ProtocolError},
		{
			name: "payload is not utf-8, qos 0, strict", only5: true, configure: func(w *world) { w.zone.Strict = true },
			packet: publishPacket(5, 0x30, "a", 0, "01 01", "\xff"), code: wire.PayloadFormatInvalid,
		},

		{name: "puback cut", packet: unhex("40 01 00"), code: wire.MalformedPacket},
		{name: "puback of identifier 0", packet: unhex("40 02 0000"), code: wire.ProtocolError},
		{name: "[MQTT-3.4.2-1] puback with a code of another packet", only5: true, packet: unhex("40 03 0001 8d"), code: wire.ProtocolError},
		{name: "[MQTT-3.6.2-1] pubrel with a code of another packet", only5: true, packet: unhex("62 03 0001 10"), code: wire.ProtocolError},
		{name: "pubrec with bytes behind the end", only5: true, packet: unhex("50 05 0001 00 00 00"), code: wire.MalformedPacket},
		{name: "pubcomp with a wrong property", only5: true, packet: unhex("70 06 0001 00 02 01 00"), code: wire.MalformedPacket},

		{name: "[MQTT-3.8.3-2] subscribe to nothing", packet: subscribePacket(5, 1, ""), code: wire.ProtocolError, v3: subscribePacket(4, 1, "")},
		{name: "subscribe with identifier 0", packet: subscribePacket(5, 0, "", "a", 0), code: wire.ProtocolError, v3: subscribePacket(4, 0, "", "a", 0)},
		{name: "subscribe without options", packet: unhex("82 06 0001 00 0001 61"), code: wire.MalformedPacket, v3: unhex("82 05 0001 0001 61")},
		{name: "subscribe with qos 3", packet: subscribePacket(5, 1, "", "a", 3), code: wire.MalformedPacket, v3: subscribePacket(4, 1, "", "a", 3)},
		{name: "[MQTT-3.8.3-5] subscribe with reserved options", packet: subscribePacket(5, 1, "", "a", 0x40), code: wire.MalformedPacket, v3: subscribePacket(4, 1, "", "a", 0x04)},
		{name: "filter not utf-8", packet: subscribePacket(5, 1, "", "\xff", 0), code: wire.MalformedPacket, v3: subscribePacket(4, 1, "", "\xff", 0)},
		{name: "retain handling 3", only5: true, packet: subscribePacket(5, 1, "", "a", 0x30), code: wire.ProtocolError},
		{name: "subscription identifier 0", only5: true, packet: subscribePacket(5, 1, "0b 00", "a", 0), code: wire.ProtocolError},
		{name: "two subscription identifiers", only5: true, packet: subscribePacket(5, 1, "0b 01 0b 02", "a", 0), code: wire.ProtocolError},
		{name: "[MQTT-3.8.3-4] no local on a shared subscription", only5: true, packet: subscribePacket(5, 1, "", "$share/g/a", 0x04), code: wire.ProtocolError},
		{
			name: "subscription denied with disconnect", configure: func(w *world) {
				w.access.denied, w.access.disconnect = map[string]bool{"a": true}, true
			},
			packet: subscribePacket(5, 1, "", "a", 0), v3: subscribePacket(4, 1, "", "a", 0), code: wire.NotAuthorized,
		},

		{name: "[MQTT-3.10.3-2] unsubscribe from nothing", packet: unhex("a2 03 0001 00"), code: wire.ProtocolError, v3: unhex("a2 02 0001")},
		{name: "unsubscribe cut", packet: unhex("a2 06 0001 00 0002 61"), code: wire.MalformedPacket, v3: unhex("a2 05 0001 0002 61")},

		{name: "[MQTT-3.14.2-1] disconnect with a code of the server", only5: true, packet: unhex("e0 02 8e 00"), code: wire.ProtocolError},
		{name: "disconnect with bytes behind the end", only5: true, packet: unhex("e0 03 00 00 00"), code: wire.MalformedPacket},
		{name: "disconnect with a body in 3.1.1", packet: nil, v3: unhex("e0 01 00")},
		{name: "session expiry raised from 0", only5: true, packet: unhex("e0 07 00 05 11 00000001"), code: wire.ProtocolError},
	} {
		for _, version := range []byte{5, 4} {
			packet := tc.packet
			if version == 4 && tc.v3 != nil {
				packet = tc.v3
			}
			if packet == nil || version == 4 && tc.only5 {
				continue
			}
			name := tc.name + ", 5"
			if version == 4 {
				name = tc.name + ", 3.1.1"
			}
			t.Run(name, func(t *testing.T) {
				w := newWorld(t, func(w *world, _ *listener.Config) {
					if tc.configure != nil {
						tc.configure(w)
					}
				})
				c, s := w.connect(version)
				c.send(packet)
				if version == 5 {
					c.expectDisconnect(tc.code)
				} else {
					c.expectEnd()
				}
				if e := s.expect(t, "close"); !e.cause.SendWill || e.cause.Reason == "" || e.cause.Reason == "normal" {
					t.Errorf("cause %+v", e.cause)
				}
			})
		}
	}
}

// TestKeepsOthers: what one client does wrong is no other's concern.
func TestKeepsOthers(t *testing.T) {
	w := newWorld(t)
	good, _ := w.connect(5)
	bad, _ := w.connect(5)
	bad.send(unhex("f1 00"))
	bad.expectDisconnect(wire.MalformedPacket)
	good.send(unhex("c0 00"))
	good.expect("d0 00")
}

// TestReasonString: what was wrong is told to who wants to know.
func TestReasonString(t *testing.T) {
	w := newWorld(t)
	for _, tc := range []struct{ props, want string }{
		{"", "e0 1a 82 18 1f 0015 7365636f6e6420636f6e6e656374207061636b6574"},
		{"17 00", "e0 02 82 00"},          // [MQTT-3.1.2-29]
		{"27 00000016", "e0 02 82 00"},    // [MQTT-3.14.2-3]
		{"27 00000020", "e0 1a 82 18 1f"}, // fits
	} {
		c := w.dial()
		c.send(connectPacket{version: 5, id: "c", clean: true, props: tc.props}.bytes())
		if p := c.packet(); p[0] != 0x20 || p[3] != 0 {
			t.Fatalf("%s: connack %x", tc.props, p)
		}
		c.send(connectPacket{version: 5, id: "c"}.bytes())
		want := unhex(tc.want)
		if got := c.packet(); string(got[:min(len(got), len(want))]) != string(want) {
			t.Errorf("%s:\n got  %x\n want %x", tc.props, got, want)
		}
		c.expectEnd()
	}
}
