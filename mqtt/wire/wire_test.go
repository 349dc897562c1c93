package wire_test

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/mochi-mqtt/server/v2/packets"

	"ermine/actors/message"
	"ermine/mqtt/wire"
)

// The golden table of bytes and packets: what each client reads.
var publishes = []struct {
	name string
	pub  wire.Publish
	want string // hexadecimal, spaces ignored
}{
	{
		name: "3.1.1 qos 0",
		pub:  wire.Publish{Version: wire.V311, Msg: &message.Message{Topic: "a/b", Payload: []byte("hi")}},
		want: "30 07 0003 612f62 6869",
	},
	{
		name: "3.1 qos 1 dup retain",
		pub: wire.Publish{
			Version: wire.V31, QoS: 1, PacketID: 0x1234, Dup: true, Retain: true,
			Msg: &message.Message{Topic: "a", Payload: []byte("x"), QoS: 2},
		},
		want: "3b 06 0001 61 1234 78",
	},
	{
		name: "3.1.1 ignores everything of MQTT 5",
		pub: wire.Publish{
			Version: wire.V311, QoS: 2, PacketID: 1, SubID: 7, Now: 0,
			Msg: &message.Message{Topic: "a", Expires: 5000, Props: &message.Properties{ContentType: "t"}},
		},
		want: "34 05 0001 61 0001",
	},
	{
		name: "3.1.1 empty payload",
		pub:  wire.Publish{Version: wire.V311, Msg: &message.Message{Topic: "a"}},
		want: "30 03 0001 61",
	},
	{
		name: "5 without properties",
		pub:  wire.Publish{Version: wire.V5, Msg: &message.Message{Topic: "a", Payload: []byte("x")}},
		want: "30 05 0001 61 00 78",
	},
	{
		name: "5 subscription identifier of two bytes [MQTT-3.3.4-3]",
		pub:  wire.Publish{Version: wire.V5, SubID: 200, Msg: &message.Message{Topic: "a"}},
		want: "30 07 0001 61 03 0b c801",
	},
	{
		name: "5 remaining expiry rounds up [MQTT-3.3.2-6]",
		pub:  wire.Publish{Version: wire.V5, Now: 1_001, Msg: &message.Message{Topic: "a", Expires: 10_000}},
		want: "30 09 0001 61 05 02 00000009",
	},
	{
		name: "5 alias, first use",
		pub:  wire.Publish{Version: wire.V5, Alias: 3, Msg: &message.Message{Topic: "a"}},
		want: "30 07 0001 61 03 23 0003",
	},
	{
		name: "5 alias, known",
		pub:  wire.Publish{Version: wire.V5, Alias: 3, AliasKnown: true, QoS: 1, PacketID: 9, Msg: &message.Message{Topic: "a"}},
		want: "32 08 0000 0009 03 23 0003",
	},
	{
		name: "5 every property, user properties in order [MQTT-3.3.2-18]",
		pub: wire.Publish{
			Version: wire.V5, SubID: 1, Now: 0,
			Msg: &message.Message{
				Topic: "a", Payload: []byte("p"), Expires: 1_000,
				Props: &message.Properties{
					HasFormat: true, PayloadFormat: 1, ContentType: "c", ResponseTopic: "r",
					CorrelationData: []byte{0xff}, User: []message.UserProperty{{Key: "k", Value: "1"}, {Key: "k", Value: "2"}},
				},
			},
		},
		want: "30 28 0001 61 23" + // 35 bytes of properties
			" 02 00000001" +
			" 0b 01" +
			" 01 01" +
			" 03 0001 63" +
			" 08 0001 72" +
			" 09 0001 ff" +
			" 26 0001 6b 0001 31" +
			" 26 0001 6b 0001 32" +
			" 70",
	},
	{
		name: "5 empty correlation data is sent as empty",
		pub: wire.Publish{
			Version: wire.V5,
			Msg:     &message.Message{Topic: "a", Props: &message.Properties{CorrelationData: []byte{}}},
		},
		want: "30 07 0001 61 03 09 0000",
	},
}

func TestAppendPublish(t *testing.T) {
	for _, tc := range publishes {
		t.Run(tc.name, func(t *testing.T) {
			size, remaining := wire.PublishSize(&tc.pub)
			prefix := []byte("before")
			got := wire.AppendPublish(bytes.Clone(prefix), &tc.pub, remaining)
			if !bytes.HasPrefix(got, prefix) {
				t.Fatalf("the buffer's content was changed: %x", got)
			}
			got = got[len(prefix):]
			if want := unhex(t, tc.want); !bytes.Equal(got, want) {
				t.Errorf("got  %x\nwant %x", got, want)
			}
			if len(got) != size {
				t.Errorf("PublishSize says %d, written %d", size, len(got))
			}
		})
	}
}

// TestRemainingLength crosses every border of the Variable Byte Integer
// [MQTT-1.5.5-1].
func TestRemainingLength(t *testing.T) {
	for _, payload := range []int{0, 124, 125, 16_380, 16_381, 2_097_148, 2_097_149} {
		p := wire.Publish{Version: wire.V311, Msg: &message.Message{Topic: "a", Payload: make([]byte, payload)}}
		size, remaining := wire.PublishSize(&p)
		b := wire.AppendPublish(nil, &p, remaining)
		if len(b) != size || remaining != payload+3 {
			t.Errorf("payload %d: size %d, written %d, remaining %d", payload, size, len(b), remaining)
		}
		n, used, err := packets.DecodeLength(bytes.NewReader(b[1:]))
		if err != nil || n != remaining || 1+used+n != len(b) {
			t.Errorf("payload %d: decoded %d in %d bytes, %v", payload, n, used, err)
		}
	}
}

func TestAppendControl(t *testing.T) {
	long := strings.Repeat("r", 130)
	for _, tc := range []struct {
		name string
		got  []byte
		want string
	}{
		{"3.1.1 puback", wire.AppendAck(nil, wire.V311, wire.Puback, 0x0102, 0, ""), "40 02 0102"},
		{"3.1.1 pubrec has no code", wire.AppendAck(nil, wire.V311, wire.Pubrec, 1, wire.NotAuthorized, "no"), "50 02 0001"},
		{"5 puback success", wire.AppendAck(nil, wire.V5, wire.Puback, 1, 0, "x"), "40 02 0001"},
		{"5 puback nobody", wire.AppendAck(nil, wire.V5, wire.Puback, 1, wire.NoMatchingSubscribers, "x"), "40 03 0001 10"},
		{"5 pubrec refused", wire.AppendAck(nil, wire.V5, wire.Pubrec, 1, wire.NotAuthorized, ""), "50 03 0001 87"},
		{"5 pubrec refused, why", wire.AppendAck(nil, wire.V5, wire.Pubrec, 1, wire.NotAuthorized, "no"), "50 09 0001 87 05 1f 0002 6e6f"},
		{"5 pubrel flags [MQTT-3.6.1-1]", wire.AppendAck(nil, wire.V5, wire.Pubrel, 1, wire.PacketIDNotFound, ""), "62 03 0001 92"},
		{"3.1.1 pubrel flags [MQTT-3.6.1-1]", wire.AppendAck(nil, wire.V311, wire.Pubrel, 1, 0, ""), "62 02 0001"},
		{"5 pubcomp", wire.AppendAck(nil, wire.V5, wire.Pubcomp, 0xffff, 0, ""), "70 02 ffff"},
		{"3.1.1 suback [MQTT-3.9.3-2]", wire.AppendSuback(nil, wire.V311, 1, []byte{0, 1, 2, wire.NotAuthorized}), "90 06 0001 00010280"},
		{"5 suback", wire.AppendSuback(nil, wire.V5, 1, []byte{2, wire.NotAuthorized}), "90 05 0001 00 0287"},
		{"3.1.1 unsuback [MQTT-3.11.3-1]", wire.AppendUnsuback(nil, wire.V311, 1, []byte{0}), "b0 02 0001"},
		{"5 unsuback", wire.AppendUnsuback(nil, wire.V5, 1, []byte{0, 0x11}), "b0 05 0001 00 0011"},
		{"3.1.1 connack", wire.AppendConnack(nil, wire.V311, wire.BadUserNameOrPassword, "why"), "20 02 00 04"},
		{"5 connack", wire.AppendConnack(nil, wire.V5, wire.BadUserNameOrPassword, ""), "20 03 00 86 00"},
		{"5 connack, why", wire.AppendConnack(nil, wire.V5, wire.BadUserNameOrPassword, "no"), "20 08 00 86 05 1f 0002 6e6f"},
		{"3.1.1 has no disconnect from the server", wire.AppendDisconnect(nil, wire.V311, wire.ServerShuttingDown, ""), ""},
		{"5 disconnect", wire.AppendDisconnect(nil, wire.V5, wire.ServerShuttingDown, ""), "e0 02 8b 00"},
		{"5 disconnect, why", wire.AppendDisconnect(nil, wire.V5, wire.ServerShuttingDown, "no"), "e0 07 8b 05 1f 0002 6e6f"},
		{"5 disconnect, why at length", wire.AppendDisconnect(nil, wire.V5, 0x81, long)[:7], "e0 8801 81 8501 1f"},
	} {
		if want := unhex(t, tc.want); !bytes.Equal(tc.got, want) {
			t.Errorf("%s:\n got  %x\n want %x", tc.name, tc.got, want)
		}
	}
}

// TestCodes3 holds the return codes of MQTT 3.1.1, table 3.1.
func TestCodes3(t *testing.T) {
	for code, want := range map[byte]byte{
		wire.Success: 0, wire.UnsupportedProtocolVersion: 1, wire.ClientIDNotValid: 2,
		wire.ServerUnavailable: 3, wire.ServerBusy: 3, wire.QuotaExceeded: 3, wire.ConnectionRateExceeded: 3,
		wire.BadUserNameOrPassword: 4, wire.NotAuthorized: 5, wire.Banned: 5, wire.BadAuthenticationMethod: 5,
	} {
		if got := wire.Connack3(code); got != want {
			t.Errorf("Connack3(%#x) = %d, want %d", code, got, want)
		}
	}
}

// TestReasons: every code that the broker can send as a failure has a text.
func TestReasons(t *testing.T) {
	for code := wire.UnspecifiedError; code <= wire.WildcardsNotSupported; code++ {
		if wire.Reason(code) == "" {
			t.Errorf("reason code %#x has no text", code)
		}
	}
	if wire.Reason(0x7f) != "" {
		t.Error("a code that does not exist has a text")
	}
}

// FuzzPublish holds the encoder against another maker's decoder.
func FuzzPublish(f *testing.F) {
	f.Add(byte(5), "a/b", []byte("payload"), byte(2), uint16(9), true, true, uint32(268435455), uint16(3), "c", "r", []byte{1}, "k", "v", byte(3), int64(0), int64(10_000))
	f.Add(byte(4), "t", []byte{}, byte(0), uint16(0), false, false, uint32(0), uint16(0), "", "", []byte(nil), "", "", byte(0), int64(5), int64(0))
	f.Fuzz(func(t *testing.T, version byte, topic string, payload []byte, qos byte, id uint16, dup, retain bool,
		sub uint32, alias uint16, content, response string, corr []byte, key, value string, flags byte, now, expires int64,
	) {
		for _, s := range []string{topic, content, response, key, value} {
			if len(s) > 65535 || strings.ToValidUTF8(s, "") != s || strings.ContainsRune(s, 0) {
				t.Skip("not a string of MQTT")
			}
		}
		if len(corr) > 65535 || expires < 0 || now < 0 || expires-now > 1<<40 {
			t.Skip("not reachable")
		}
		m := &message.Message{Topic: topic, Payload: payload, Expires: expires}
		if flags&1 != 0 {
			m.Props = &message.Properties{
				ContentType: content, ResponseTopic: response, CorrelationData: corr,
				User:      []message.UserProperty{{Key: key, Value: value}, {Key: value, Value: key}},
				HasFormat: flags&2 != 0, PayloadFormat: flags >> 2 & 1,
			}
		}
		p := wire.Publish{
			Version: 3 + version%3, Msg: m, SubID: sub % 268435456, PacketID: id, QoS: qos % 3,
			Retain: retain, Dup: dup && qos%3 > 0, Alias: alias, AliasKnown: flags&8 != 0 && alias != 0, Now: now,
		}
		if p.Version != wire.V5 {
			p.AliasKnown = false
		}
		size, remaining := wire.PublishSize(&p)
		b := wire.AppendPublish(nil, &p, remaining)
		if len(b) != size {
			t.Fatalf("PublishSize says %d, written %d", size, len(b))
		}

		var got packets.Packet
		got.ProtocolVersion = p.Version
		if err := got.FixedHeader.Decode(b[0]); err != nil {
			t.Fatalf("fixed header %#x: %v", b[0], err)
		}
		n, used, err := packets.DecodeLength(bytes.NewReader(b[1:]))
		if err != nil || n != remaining {
			t.Fatalf("remaining length %d, want %d: %v", n, remaining, err)
		}
		got.FixedHeader.Remaining = n
		if err := got.PublishDecode(b[1+used:]); err != nil {
			t.Fatalf("decode %x: %v", b, err)
		}
		wantTopic := topic
		if p.AliasKnown {
			wantTopic = ""
		}
		if got.TopicName != wantTopic || !bytes.Equal(got.Payload, payload) || got.FixedHeader.Qos != p.QoS ||
			got.FixedHeader.Retain != p.Retain || got.FixedHeader.Dup != p.Dup {
			t.Fatalf("decoded %+v from %x", got, b)
		}
		if p.QoS > 0 && got.PacketID != id {
			t.Fatalf("packet identifier %d, want %d", got.PacketID, id)
		}
		if p.Version != wire.V5 {
			return
		}
		pr := got.Properties
		if pr.TopicAlias != p.Alias || (p.SubID != 0) != (len(pr.SubscriptionIdentifier) == 1) ||
			p.SubID != 0 && pr.SubscriptionIdentifier[0] != int(p.SubID) ||
			pr.MessageExpiryInterval != m.Remaining(now) {
			t.Fatalf("properties %+v from %x", pr, b)
		}
		if m.Props == nil {
			return
		}
		if pr.ContentType != content || pr.ResponseTopic != response || !bytes.Equal(pr.CorrelationData, corr) ||
			len(pr.User) != 2 || pr.User[0] != (packets.UserProperty{Key: key, Val: value}) ||
			pr.User[1] != (packets.UserProperty{Key: value, Val: key}) ||
			pr.PayloadFormatFlag != m.Props.HasFormat || m.Props.HasFormat && pr.PayloadFormat != m.Props.PayloadFormat {
			t.Fatalf("properties %+v from %x", pr, b)
		}
	})
}

func BenchmarkAppendPublish(b *testing.B) {
	m := &message.Message{Topic: "sensors/room-12/temperature", Payload: make([]byte, 128)}
	props := &message.Message{
		Topic: m.Topic, Payload: m.Payload, Expires: 1 << 40,
		Props: &message.Properties{
			ContentType: "application/json", ResponseTopic: "reply/here", CorrelationData: make([]byte, 16),
			User: []message.UserProperty{{Key: "trace", Value: "0123456789"}},
		},
	}
	for _, bc := range []struct {
		name string
		pub  wire.Publish
	}{
		{"v4", wire.Publish{Version: wire.V311, Msg: m, QoS: 1, PacketID: 7}},
		{"v5", wire.Publish{Version: wire.V5, Msg: m, QoS: 1, PacketID: 7}},
		{"v5-properties", wire.Publish{Version: wire.V5, Msg: props, QoS: 1, PacketID: 7, SubID: 300, Alias: 4}},
	} {
		b.Run(bc.name, func(b *testing.B) {
			buf := make([]byte, 0, 1024)
			b.ReportAllocs()
			for b.Loop() {
				_, remaining := wire.PublishSize(&bc.pub)
				buf = wire.AppendPublish(buf[:0], &bc.pub, remaining)
			}
		})
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
