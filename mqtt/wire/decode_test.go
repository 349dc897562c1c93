package wire_test

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/mochi-mqtt/server/v2/packets"

	"ermine/actors/message"
	"ermine/mqtt/wire"
)

func TestDecodePublish(t *testing.T) {
	for _, tc := range []struct {
		name    string
		version byte
		first   byte
		body    string
		want    wire.Inbound
	}{
		{"qos 0", wire.V311, 0x30, "0001 61 68", wire.Inbound{Topic: "a", Payload: []byte("h")}},
		{"qos 2 dup retain", wire.V31, 0x3d, "0001 61 1234", wire.Inbound{Topic: "a", QoS: 2, Dup: true, Retain: true, PacketID: 0x1234, Payload: []byte{}}},
		{"5 no properties", wire.V5, 0x32, "0001 61 0001 00 68", wire.Inbound{Topic: "a", QoS: 1, PacketID: 1, Payload: []byte("h")}},
		{"5 alias without topic", wire.V5, 0x30, "0000 03 23 0007 68", wire.Inbound{Alias: 7, Payload: []byte("h")}},
		{"5 expiry 0 is not absent", wire.V5, 0x30, "0001 61 05 02 00000000", wire.Inbound{Topic: "a", HasExpiry: true, Payload: []byte{}}},
		{
			"5 all properties", wire.V5, 0x30,
			"0001 61 21 01 01 02 00000009 03 0001 63 08 0001 72 09 0001 ff 26 0001 6b 0001 31 26 0001 6b 0001 32",
			wire.Inbound{Topic: "a", Expiry: 9, HasExpiry: true, Payload: []byte{}, Props: &message.Properties{
				HasFormat: true, PayloadFormat: 1, ContentType: "c", ResponseTopic: "r", CorrelationData: []byte{0xff},
				User: []message.UserProperty{{Key: "k", Value: "1"}, {Key: "k", Value: "2"}},
			}},
		},
		// U+FEFF and non-characters are text like any other [MQTT-1.5.4-3].
		{"byte order mark in the topic", wire.V311, 0x30, "0004 efbbbf61", wire.Inbound{Topic: "\ufeffa", Payload: []byte{}}},
	} {
		var got wire.Inbound
		if err := wire.DecodePublish(&got, tc.version, tc.first, unhex(t, tc.body)); err != nil {
			t.Errorf("%s: %v", tc.name, err)
		} else if !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%s:\n got  %+v\n want %+v", tc.name, got, tc.want)
		}
	}
}

func TestDecodeSubscribe(t *testing.T) {
	id, sub, got, err := wire.DecodeSubscribe(wire.V5, unhex(t, "0102 05 0b ffffff7f 0001 61 2d 0000 02"))
	want := []wire.Request{
		{Filter: "a", QoS: 1, RetainHandling: 2, NoLocal: true, RetainAsPublished: true},
		{Filter: "", QoS: 2},
	}
	if err != nil || id != 0x0102 || sub != 268_435_455 || !reflect.DeepEqual(got, want) {
		t.Errorf("%d %d %+v, %v", id, sub, got, err)
	}
}

func TestDecodeDisconnect(t *testing.T) {
	for body, want := range map[string]wire.Disconnect{
		"":                                       {},
		"04":                                     {Code: 4},
		"0400":                                   {Code: 4},
		"00 05 11 00000007":                      {HasExpiry: true, Expiry: 7},
		"00 0d 1f 0000 11 00000000 26 0000 0000": {HasExpiry: true},
	} {
		if got, err := wire.DecodeDisconnect(wire.V5, unhex(t, body)); err != nil || got != want {
			t.Errorf("%s: %+v, %v", body, got, err)
		}
	}
}

// code is the reason code in err; the test fails if there is none.
func code(t *testing.T, err error) byte {
	t.Helper()
	var re *wire.ReasonError
	if !errors.As(err, &re) {
		t.Fatalf("error %v has no reason code", err)
	}
	if wire.Reason(re.Code) == "" || re.Text == "" {
		t.Fatalf("error %+v says nothing", re)
	}
	return re.Code
}

// FuzzDecode feeds bytes to every decoder. None may panic, and an error always
// has a reason code. A PUBLISH that is accepted is one that mochi's decoder
// reads in the same way, and that is the same again after encoding; what mochi
// accepts of a CONNECT is not checked, but what is accepted here, it reads.
func FuzzDecode(f *testing.F) {
	for _, tc := range publishes {
		b := unhex(&testing.T{}, tc.want)
		f.Add(tc.pub.Version, b[0], b[2:])
	}
	f.Add(byte(5), byte(0x10), []byte("\x00\x04MQTT\x05\xc6\x00\x3c\x05\x11\x00\x00\x00\x01\x00\x01c\x05\x18\x00\x00\x00\x01\x00\x01w\x00\x01p\x00\x01u\x00\x01p"))
	f.Add(byte(3), byte(0x10), []byte("\x00\x06MQIsdp\x83\x02\x00\x3c\x00\x01c"))
	f.Add(byte(5), byte(0x82), []byte("\x00\x01\x02\x0b\x01\x00\x01a\x00"))
	f.Add(byte(5), byte(0x82), []byte("\x00\x01\x00\x00\x01a"))
	f.Add(byte(4), byte(0xa2), []byte("\x00\x01\x00\x01a"))
	f.Add(byte(5), byte(0xe0), []byte("\x04\x05\x11\x00\x00\x00\x01"))
	f.Add(byte(5), byte(0x50), []byte("\x00\x01\x87\x05\x1f\x00\x02no"))
	f.Fuzz(func(t *testing.T, version, first byte, body []byte) {
		version = 3 + version%3
		if err := wire.CheckFlags(first); err != nil {
			code(t, err)
		}
		kind := first >> 4
		switch kind {
		case wire.TypePublish:
			fuzzPublish(t, version, first, body)
		case wire.TypePuback, wire.TypePubrec, wire.TypePubrel, wire.TypePubcomp:
			id, c, err := wire.DecodeAck(version, kind, body)
			if err != nil {
				code(t, err)
			} else if again := wire.AppendAck(nil, version, kind, id, c, ""); len(again) > 2+max(len(body), 2) {
				t.Fatalf("ack %x became %x", body, again)
			}
		case wire.TypeSubscribe:
			id, sub, requests, err := wire.DecodeSubscribe(version, body)
			if err != nil {
				code(t, err)
				return
			}
			if id == 0 || len(requests) == 0 || sub > 268_435_455 {
				t.Fatalf("%d %d %v", id, sub, requests)
			}
			var pk packets.Packet
			pk.ProtocolVersion, pk.FixedHeader.Type = version, packets.Subscribe
			if err := pk.SubscribeDecode(bytes.Clone(body)); err != nil || len(pk.Filters) != len(requests) {
				t.Fatalf("mochi reads %d filters, %v; here %d", len(pk.Filters), err, len(requests))
			}
			for i, r := range requests {
				m := pk.Filters[i]
				if m.Filter != r.Filter || m.Qos != r.QoS || m.NoLocal != r.NoLocal || m.RetainHandling != r.RetainHandling {
					t.Fatalf("mochi reads %+v, here %+v", m, r)
				}
			}
		case wire.TypeUnsubscribe:
			if _, filters, err := wire.DecodeUnsubscribe(version, body); err != nil {
				code(t, err)
			} else if len(filters) == 0 {
				t.Fatal("no filters")
			}
		case wire.TypeDisconnect:
			if _, err := wire.DecodeDisconnect(version, body); err != nil {
				code(t, err)
			}
		case wire.TypeConnect:
			fuzzConnect(t, body)
		}
	})
}

func fuzzPublish(t *testing.T, version, first byte, body []byte) {
	original := bytes.Clone(body)
	var in wire.Inbound
	if err := wire.DecodePublish(&in, version, first, body); err != nil {
		code(t, err)
		return
	}
	if !bytes.Equal(original, body) {
		t.Fatal("the decoder has changed the packet")
	}
	var pk packets.Packet
	pk.ProtocolVersion = version
	if err := pk.FixedHeader.Decode(first); err != nil {
		t.Fatalf("mochi refuses the header %#x: %v", first, err)
	}
	pk.FixedHeader.Remaining = len(body)
	if err := pk.PublishDecode(original); err != nil {
		t.Fatalf("mochi refuses %x: %v", body, err)
	}
	if pk.TopicName != in.Topic || !bytes.Equal(pk.Payload, in.Payload) || pk.PacketID != in.PacketID ||
		pk.Properties.TopicAlias != in.Alias || pk.Properties.MessageExpiryInterval != in.Expiry {
		t.Fatalf("mochi reads %+v, here %+v", pk, in)
	}

	// What is sent on says the same.
	m := &message.Message{Topic: in.Topic, Payload: in.Payload, Props: in.Props}
	if in.Topic == "" {
		m.Topic = "by-alias"
	}
	out := wire.Publish{Msg: m, PacketID: in.PacketID, QoS: in.QoS, Retain: in.Retain, Dup: in.Dup, Version: version}
	size, remaining := wire.PublishSize(&out)
	b := wire.AppendPublish(nil, &out, remaining)
	var again wire.Inbound
	if err := wire.DecodePublish(&again, version, b[0], b[size-remaining:]); err != nil {
		t.Fatalf("own output %x: %v", b, err)
	}
	if again.Topic != m.Topic || !bytes.Equal(again.Payload, in.Payload) || again.QoS != in.QoS || again.PacketID != in.PacketID {
		t.Fatalf("%+v became %+v", in, again)
	}
	if (again.Props == nil) != (in.Props == nil) ||
		in.Props != nil && !bytes.Equal(wire.EncodeProperties(again.Props), wire.EncodeProperties(in.Props)) {
		t.Fatalf("properties %+v became %+v", in.Props, again.Props)
	}
}

func fuzzConnect(t *testing.T, body []byte) {
	version, err := wire.CheckConnect(body)
	if err != nil {
		code(t, err)
		return
	}
	body = bytes.Clone(body)
	wire.ClearBridgeBit(body)
	var pk packets.Packet
	pk.FixedHeader = packets.FixedHeader{Type: packets.Connect, Remaining: len(body)}
	if err := pk.ConnectDecode(body); err != nil {
		t.Fatalf("mochi refuses %x: %v", body, err)
	}
	if pk.ProtocolVersion != version {
		t.Fatalf("mochi reads version %d, here %d", pk.ProtocolVersion, version)
	}
}

// TestConnectTruncated: a CONNECT cut at any byte is refused, and so is one
// with a byte too many.
func TestConnectTruncated(t *testing.T) {
	for _, packet := range []string{
		"\x00\x04MQTT\x05\xc6\x00\x3c\x05\x11\x00\x00\x00\x01\x00\x01c\x05\x18\x00\x00\x00\x01\x00\x01w\x00\x01p\x00\x01u\x00\x01p",
		"\x00\x04MQTT\x04\xc6\x00\x3c\x00\x01c\x00\x01w\x00\x01p\x00\x01u\x00\x01p",
		"\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x01c",
	} {
		if _, err := wire.CheckConnect([]byte(packet)); err != nil {
			t.Errorf("%q: %v", packet, err)
		}
		for n := range len(packet) {
			if _, err := wire.CheckConnect([]byte(packet[:n])); err == nil {
				t.Errorf("%q: accepted", packet[:n])
			}
		}
		if _, err := wire.CheckConnect([]byte(packet + "\x00")); err == nil {
			t.Errorf("%q and one byte: accepted", packet)
		}
	}
}

func BenchmarkDecodePublish(b *testing.B) {
	payload := strings.Repeat("x", 128)
	for _, bc := range []struct {
		name    string
		version byte
		body    string
	}{
		{"v4", wire.V311, "\x00\x1bsensors/room-12/temperature\x00\x07" + payload},
		{"v5", wire.V5, "\x00\x1bsensors/room-12/temperature\x00\x07\x00" + payload},
		{"v5-properties", wire.V5, "\x00\x1bsensors/room-12/temperature\x00\x07\x0e\x02\x00\x00\x00\x09\x03\x00\x01c\x26\x00\x00\x00\x00" + payload},
	} {
		b.Run(bc.name, func(b *testing.B) {
			body := []byte(bc.body)
			var in wire.Inbound
			b.ReportAllocs()
			for b.Loop() {
				if err := wire.DecodePublish(&in, bc.version, 0x32, body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
