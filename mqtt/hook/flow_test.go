package hook_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"ermine/actors/message"
	"ermine/actors/metrics"
	"ermine/actors/router"
	"ermine/actors/session"
	"ermine/mqtt/listener"
	"ermine/mqtt/wire"
)

// TestPublish: what reaches the session, and when it does not.
func TestPublish(t *testing.T) {
	before := time.Now().UnixMilli()
	for _, tc := range []struct {
		name      string
		version   byte
		configure func(w *world, l *listener.Config)
		packet    []byte
		want      message.Message // Received is checked apart, Expires relative to it
		id        uint16
		answer    string
	}{
		{
			name: "qos 0", version: 4, packet: publishPacket(4, 0x30, "a/b", 0, "", "hi"),
			want: message.Message{Topic: "a/b", Payload: []byte("hi")},
		},
		{
			name: "qos 1, retain, 3.1.1", version: 4, packet: publishPacket(4, 0x3b, "a", 7, "", ""),
			want: message.Message{Topic: "a", QoS: 1, Retain: true}, id: 7, answer: "40 02 0007",
		},
		{
			name: "qos 2, 3.1", version: 3, packet: publishPacket(3, 0x34, "a", 0xffff, "", "x"),
			want: message.Message{Topic: "a", QoS: 2, Payload: []byte("x")}, id: 0xffff, answer: "50 02 ffff",
		},
		{
			name: "all properties", version: 5,
			packet: publishPacket(5, 0x32, "a", 1,
				"01 01 02 0000000a 03 0001 63 08 0001 72 09 0000 26 0001 6b 0001 31 26 0001 6b 0001 32", "x"),
			want: message.Message{Topic: "a", QoS: 1, Payload: []byte("x"), Expires: 10_000, Props: &message.Properties{
				HasFormat: true, PayloadFormat: 1, ContentType: "c", ResponseTopic: "r", CorrelationData: []byte{},
				User: []message.UserProperty{{Key: "k", Value: "1"}, {Key: "k", Value: "2"}},
			}},
			id: 1, answer: "40 02 0001",
		},
		{
			name: "message_expiry_interval", version: 4,
			configure: func(w *world, _ *listener.Config) { w.zone.MessageExpiry = time.Minute },
			packet:    publishPacket(4, 0x30, "a", 0, "", ""),
			want:      message.Message{Topic: "a", Expires: 60_000},
		},
		{
			name: "own expiry before message_expiry_interval", version: 5,
			configure: func(w *world, _ *listener.Config) { w.zone.MessageExpiry = time.Minute },
			packet:    publishPacket(5, 0x30, "a", 0, "02 00000001", ""),
			want:      message.Message{Topic: "a", Expires: 1000},
		},
		{
			name: "mountpoint", version: 4,
			configure: func(_ *world, l *listener.Config) { l.Mountpoint = "m/%c/" },
			packet:    publishPacket(4, 0x30, "a", 0, "", ""),
			want:      message.Message{Topic: "m/c/a"},
		},
		{
			name: "delayed", version: 4, packet: publishPacket(4, 0x30, "$delayed/5/a", 0, "", ""),
			want: message.Message{Topic: "$delayed/5/a"},
		},
		{
			name: "delayed behind a mountpoint", version: 4,
			configure: func(_ *world, l *listener.Config) { l.Mountpoint = "m/" },
			packet:    publishPacket(4, 0x30, "$delayed/5/a", 0, "", ""),
			want:      message.Message{Topic: "$delayed/5/m/a"},
		},
		{
			name: "[MQTT-4.7.2-1] internal topics are the authoriser's business", version: 4,
			packet: publishPacket(4, 0x30, "$SYS/x", 0, "", ""), want: message.Message{Topic: "$SYS/x"},
		},
		{
			name: "utf-8 payload, strict", version: 5,
			configure: func(w *world, _ *listener.Config) { w.zone.Strict = true },
			packet:    publishPacket(5, 0x30, "a", 0, "01 01", "é"),
			want: message.Message{
				Topic: "a", Payload: []byte("é"),
				Props: &message.Properties{HasFormat: true, PayloadFormat: 1},
			},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var configure []func(*world, *listener.Config)
			if tc.configure != nil {
				configure = append(configure, tc.configure)
			}
			w := newWorld(t, configure...)
			c, s := w.connect(tc.version)
			c.send(tc.packet)
			e := s.expect(t, "publish")
			if e.id != tc.id {
				t.Errorf("packet identifier %d, want %d", e.id, tc.id)
			}
			got, want := e.msg, &tc.want
			if got.Received < before || got.Received > time.Now().UnixMilli() {
				t.Errorf("received at %d", got.Received)
			}
			if want.Expires != 0 {
				want.Expires += got.Received
			}
			if got.Topic != want.Topic || !bytes.Equal(got.Payload, want.Payload) || got.Publisher != "c" ||
				got.QoS != want.QoS || got.Retain != want.Retain || got.Expires != want.Expires {
				t.Errorf("got %+v\nwant %+v", got, want)
			}
			compareProperties(t, got.Props, want.Props)
			if tc.answer != "" {
				c.expect(tc.answer)
			}
		})
	}
}

func compareProperties(t *testing.T, got, want *message.Properties) {
	t.Helper()
	if got == nil || want == nil {
		if got != want {
			t.Errorf("properties %+v, want %+v", got, want)
		}
		return
	}
	g, w := wire.EncodeProperties(got), wire.EncodeProperties(want)
	if !bytes.Equal(g, w) {
		t.Errorf("properties %x, want %x", g, w)
	}
}

// TestPublishDenied: deny_action ignore. MQTT 5 has a code for it, MQTT 3 none
// [MQTT-3.3.5-2].
func TestPublishDenied(t *testing.T) {
	w := newWorld(t, func(w *world, _ *listener.Config) {
		w.access.denied = map[string]bool{"no": true}
	})
	c5, s := w.connect(5)
	c5.send(publishPacket(5, 0x30, "no", 0, "", ""))
	c5.send(publishPacket(5, 0x32, "no", 1, "", ""))
	c5.send(publishPacket(5, 0x34, "no", 2, "", ""))
	c5.send(publishPacket(5, 0x32, "$delayed/1/no", 3, "", "")) // the target counts
	c5.send(publishPacket(5, 0x32, "yes", 4, "", ""))
	reason := " 12 1f 000e 6e6f7420617574686f72697a6564" // "not authorized" with its length
	reason = strings.Replace(reason, " 12", " 11", 1)
	for _, want := range []string{"40 15 0001 87" + reason, "50 15 0002 87" + reason, "40 15 0003 87" + reason, "40 02 0004"} {
		c5.expect(want)
	}
	for _, want := range []uint16{1, 2, 3} {
		if e := s.expect(t, "refuse"); e.id != want || e.code != wire.NotAuthorized {
			t.Errorf("%+v", e)
		}
	}
	s.expect(t, "publish")

	c4, _ := w.connect(4)
	c4.send(publishPacket(4, 0x32, "no", 1, "", ""))
	c4.expect("40 02 0001")
	if n := w.metrics.Get(metrics.PacketsPublishAuthError); n != 5 {
		t.Errorf("packets.publish.auth_error = %d", n)
	}
}

// TestPayloadFormat: a QoS 1 message that is not the UTF-8 it claims to be is
// refused with 0x99 where the zone is strict.
func TestPayloadFormat(t *testing.T) {
	w := newWorld(t, func(w *world, _ *listener.Config) { w.zone.Strict = true })
	c, s := w.connect(5)
	c.send(publishPacket(5, 0x32, "a", 1, "01 01", "\xff"))
	if p := c.packet(); p[0] != 0x40 || p[4] != wire.PayloadFormatInvalid {
		t.Errorf("got %x", p)
	}
	s.expect(t, "refuse")
}

// TestInboundAlias: a Topic Alias stands for the name it was last set to, on
// this connection [MQTT-3.3.2-7].
func TestInboundAlias(t *testing.T) {
	w := newWorld(t)
	c, s := w.connect(5)
	for _, p := range []struct{ topic, props string }{
		{"a", "23 0001"}, {"", "23 0001"}, {"b", "23 0002"}, {"", "23 0001"}, {"b", "23 0001"}, {"", "23 0001"}, {"", "23 0002"},
	} {
		c.send(publishPacket(5, 0x30, p.topic, 0, p.props, ""))
	}
	for i, want := range []string{"a", "a", "b", "a", "b", "b", "b"} {
		if got := s.expect(t, "publish").msg.Topic; got != want {
			t.Errorf("publish %d: topic %q, want %q", i, got, want)
		}
	}
	other, _ := w.connect(5)
	other.send(publishPacket(5, 0x30, "", 0, "23 0001", ""))
	other.expectDisconnect(wire.ProtocolError)
}

// TestAliasMemory: aliases cannot be made to take more than a bound.
func TestAliasMemory(t *testing.T) {
	w := newWorld(t, func(w *world, l *listener.Config) {
		w.broker.onOpen = func(s *fakeSession) {
			s.events = make(chan event, 4096)
		}
	})
	c, _ := w.connect(5)
	name := strings.Repeat("x", 65000)
	for i := range 64 {
		c.send(publishPacket(5, 0x30, name, 0, "23 00"+string("0123456789abcdef"[(i+1)/16])+string("0123456789abcdef"[(i+1)%16]), ""))
	}
	c.send(publishPacket(5, 0x30, name, 0, "23 1000", ""))
	c.expectDisconnect(wire.QuotaExceeded)
}

// TestAcks: PUBACK, PUBREC, PUBREL and PUBCOMP in both forms.
func TestAcks(t *testing.T) {
	w := newWorld(t)
	c, s := w.connect(5)
	c.send(unhex("40 02 0001" + "40 03 0002 10" + "50 04 0003 80 00" + "50 09 0004 00 05 1f 0002 6e6f" + "70 03 0005 92" + "62 02 0006" + "62 03 0007 92"))
	for _, want := range []event{
		{call: "ack", kind: session.Puback, id: 1},
		{call: "ack", kind: session.Puback, id: 2, code: 0x10},
		{call: "ack", kind: session.Pubrec, id: 3, code: 0x80},
		{call: "ack", kind: session.Pubrec, id: 4},
		{call: "ack", kind: session.Pubcomp, id: 5, code: 0x92},
	} {
		if e := s.expect(t, "ack"); e.kind != want.kind || e.id != want.id || e.code != want.code {
			t.Errorf("%+v, want %+v", e, want)
		}
	}
	for _, id := range []uint16{6, 7} {
		if e := s.expect(t, "release"); e.id != id {
			t.Errorf("%+v", e)
		}
	}
	c.expect("70 02 0006")
	c.expect("70 02 0007")
	for counter, want := range map[metrics.Counter]uint64{
		metrics.PacketsPubackReceived: 2, metrics.PacketsPubrecReceived: 2, metrics.PacketsPubrelReceived: 2,
		metrics.PacketsPubcompReceived: 1, metrics.PacketsPubcompSent: 2, metrics.PacketsReceived: 8,
	} {
		if n := w.metrics.Get(counter); n != want {
			t.Errorf("%s = %d, want %d", counter.Name(), n, want)
		}
	}
}

// TestSubscribe: what becomes of each filter.
func TestSubscribe(t *testing.T) {
	w := newWorld(t, func(w *world, _ *listener.Config) {
		w.zone.MaxQoS, w.zone.MaxTopicLevels = 1, 4
		w.access.denied = map[string]bool{"no": true, "secret/#": true}
	})
	c, s := w.connect(5)
	c.send(subscribePacket(5, 9, "0b ac02",
		"a/+", 0x2e, // qos 2, no local, retain as published, retain handling 2
		"no", 1,
		"$share/g/a/#", 1,
		"$share/g/secret/#", 1,
		"$queue/a", 0,
		"a#", 0,
		"", 0,
		"$share/g", 0,
		"a/b/c/d/e", 0,
		"$exclusive/a", 0,
	))
	c.expect("90 0d 0009 00 01 87 01 87 00 8f 8f 8f 8f 8f")
	e := s.expect(t, "subscribe").sub
	if e.PacketID != 9 || len(e.Subs) != 10 || !bytes.Equal(e.Codes, []byte{0, 0x87, 0, 0x87, 0, 0x8f, 0x8f, 0x8f, 0x8f, 0x8f}) {
		t.Fatalf("request %+v", e)
	}
	for i, want := range map[int]*router.Subscription{
		0: {Raw: "a/+", Filter: "a/+", Options: router.Options{ID: 300, QoS: 1, RetainHandling: 2, NoLocal: true, RetainAsPublished: true}},
		2: {Raw: "$share/g/a/#", Filter: "a/#", Group: "g", Options: router.Options{ID: 300, QoS: 1}},
		4: {Raw: "$queue/a", Filter: "a", Group: "$queue", Options: router.Options{ID: 300}},
	} {
		got := e.Subs[i]
		if got.Raw != want.Raw || got.Filter != want.Filter || got.Group != want.Group || got.Options != want.Options || got.Exclusive {
			t.Errorf("subscription %d: %+v, want %+v", i, got, want)
		}
	}

	t.Run("not available", func(t *testing.T) {
		w := newWorld(t, func(w *world, _ *listener.Config) { w.zone.Shared, w.zone.Wildcard = false, false })
		c, _ := w.connect(5)
		c.send(subscribePacket(5, 1, "", "$share/g/a", 0, "$queue/a", 0, "a/#", 0, "+", 0, "a", 0))
		c.expect("90 08 0001 00 9e 9e a2 a2 00")
		c4, _ := w.connect(4)
		c4.send(subscribePacket(4, 1, "", "$share/g/a", 0, "a", 2))
		c4.expect("90 04 0001 80 02") // [MQTT-3.9.3-2]
	})
	t.Run("exclusive", func(t *testing.T) {
		w := newWorld(t, func(w *world, _ *listener.Config) { w.zone.Exclusive = true })
		c, s := w.connect(5)
		c.send(subscribePacket(5, 1, "", "$exclusive/a", 1))
		c.expect("90 04 0001 00 01")
		if sub := s.expect(t, "subscribe").sub.Subs[0]; !sub.Exclusive || sub.Filter != "a" || sub.Raw != "$exclusive/a" {
			t.Errorf("%+v", sub)
		}
	})
	t.Run("mountpoint", func(t *testing.T) {
		w := newWorld(t, func(_ *world, l *listener.Config) { l.Mountpoint = "m/" })
		c, s := w.connect(4)
		c.send(subscribePacket(4, 1, "", "a/#", 1, "$share/g/b", 1))
		c.expect("90 04 0001 01 01")
		subs := s.expect(t, "subscribe").sub.Subs
		if subs[0].Filter != "m/a/#" || subs[0].Raw != "a/#" || subs[1].Filter != "m/b" || subs[1].Group != "g" {
			t.Errorf("%+v %+v", subs[0], subs[1])
		}
	})
	t.Run("ignore_loop_deliver and bridges", func(t *testing.T) {
		w := newWorld(t, func(w *world, _ *listener.Config) { w.zone.IgnoreLoopDeliver = true })
		c, s := w.connect(4)
		c.send(subscribePacket(4, 1, "", "a", 1))
		c.packet()
		if sub := s.expect(t, "subscribe").sub.Subs[0]; !sub.NoLocal || sub.RetainAsPublished {
			t.Errorf("%+v", sub)
		}
		b := w.dial()
		b.send(connectPacket{version: 4, rawLevel: 0x84, id: "b", clean: true}.bytes())
		b.expect("20 02 00 00")
		b.send(subscribePacket(4, 1, "", "a", 1))
		b.packet()
		s = w.session()
		s.expect(t, "attach")
		if sub := s.expect(t, "subscribe").sub.Subs[0]; !sub.NoLocal || !sub.RetainAsPublished {
			t.Errorf("%+v", sub)
		}
	})
}

func TestUnsubscribe(t *testing.T) {
	w := newWorld(t)
	c, s := w.connect(5)
	c.send(unhex("a2 11 0003 08 26 0001 6b 0002 7676 0001 61 0001 62")) // with a user property
	c.expect("b0 05 0003 00 0000")
	if r := s.expect(t, "unsubscribe").unsub; r.PacketID != 3 || len(r.Filters) != 2 || r.Filters[0] != "a" || r.Filters[1] != "b" {
		t.Errorf("%+v", r)
	}
	c4, _ := w.connect(4)
	c4.send(unhex("a2 05 0003 0001 61"))
	c4.expect("b0 02 0003") // [MQTT-3.11.3-1]
}

// TestWritePublish: what a session sends arrives as its client can take it.
func TestWritePublish(t *testing.T) {
	m := &message.Message{Topic: "m/a", Payload: []byte("x"), Expires: 5_000}
	t.Run("3.1.1 behind a mountpoint", func(t *testing.T) {
		w := newWorld(t, func(_ *world, l *listener.Config) { l.Mountpoint = "m/" })
		c, s := w.connect(4)
		if !s.req.Conn.WritePublish(0, session.Outgoing{Msg: m, QoS: 1, PacketID: 2, Dup: true}) {
			t.Fatal("not written")
		}
		s.req.Conn.Flush()
		c.expect("3a 06 0001 61 0002 78")
	})
	t.Run("5 with expiry and subscription identifier", func(t *testing.T) {
		w := newWorld(t)
		c, s := w.connect(5)
		s.req.Conn.WritePublish(1_000, session.Outgoing{Msg: m, SubID: 7, Retain: true})
		s.req.Conn.Flush()
		c.expect("31 0e 0003 6d2f61 07 02 00000004 0b 07 78")
	})
	t.Run("[MQTT-3.1.2-24] maximum packet size", func(t *testing.T) {
		w := newWorld(t)
		c := w.dial()
		c.send(connectPacket{version: 5, id: "c", clean: true, props: "27 00000020 22 0001"}.bytes())
		c.packet()
		s := w.session()
		conn := s.req.Conn
		fits := &message.Message{Topic: "t", Payload: make([]byte, 26)} // 32 bytes without an alias
		if !conn.WritePublish(0, session.Outgoing{Msg: fits}) {
			t.Error("32 bytes refused")
		}
		if conn.WritePublish(0, session.Outgoing{Msg: fits, SubID: 1}) {
			t.Error("more than 32 bytes written")
		}
		conn.Flush()
		if p := c.packet(); len(p) != 32 {
			t.Errorf("%d bytes: %x", len(p), p)
		}
		// The alias was not set by the message that had no room for it.
		small := &message.Message{Topic: "t"}
		conn.WritePublish(0, session.Outgoing{Msg: small})
		conn.WritePublish(0, session.Outgoing{Msg: small})
		conn.Flush()
		c.expect("30 07 0001 74 03 23 0001")
		c.expect("30 06 0000 03 23 0001")
	})
	t.Run("[MQTT-3.1.2-26] topic aliases", func(t *testing.T) {
		w := newWorld(t)
		c := w.dial()
		c.send(connectPacket{version: 5, id: "c", clean: true, props: "22 0002"}.bytes())
		c.packet()
		conn := w.session().req.Conn
		for _, name := range []string{"a", "b", "c", "a", "c"} {
			conn.WritePublish(0, session.Outgoing{Msg: &message.Message{Topic: name}})
		}
		conn.Flush()
		c.expect("30 07 0001 61 03 23 0001")
		c.expect("30 07 0001 62 03 23 0002")
		c.expect("30 04 0001 63 00")
		c.expect("30 06 0000 03 23 0001")
		c.expect("30 04 0001 63 00")
	})
	t.Run("after the end", func(t *testing.T) {
		w := newWorld(t)
		c, s := w.connect(5)
		s.req.Conn.Disconnect(wire.AdministrativeAction)
		s.req.Conn.Disconnect(wire.SessionTakenOver) // H3: one is sent
		s.req.Conn.WriteAck(session.Puback, 1, 0)
		if !s.req.Conn.WritePublish(0, session.Outgoing{Msg: m}) {
			t.Error("a message to a connection that has ended was reported as too large")
		}
		c.expectDisconnect(wire.AdministrativeAction)
		if e := s.expect(t, "close"); e.cause.Reason != "kicked" {
			t.Errorf("%+v", e.cause)
		}
	})
}

// TestWritable: a client that does not read fills its output; when it reads
// again, the session is told.
func TestWritable(t *testing.T) {
	w := newWorld(t, func(_ *world, l *listener.Config) {
		l.TCPOptions.HighWatermark, l.TCPOptions.HardLimit, l.TCPOptions.SendBuffer = 64<<10, 0, 16<<10
	})
	c, s := w.connect(4)
	conn := s.req.Conn
	m := &message.Message{Topic: "a", Payload: make([]byte, 16<<10)}
	n := 0
	for conn.Writable() {
		if n++; n > 4096 {
			t.Fatal("64 MiB written to a client that does not read")
		}
		conn.WritePublish(0, session.Outgoing{Msg: m})
		conn.Flush()
	}
	for range n {
		c.packet()
	}
	s.expect(t, "writable")
	if !conn.Writable() {
		t.Error("not writable after the client has read everything")
	}
}

// TestEnd: how a connection ends, as the session is told.
func TestEnd(t *testing.T) {
	for _, tc := range []struct {
		name  string
		props string
		end   func(w *world, c *client, s *fakeSession)
		code  byte // of a DISCONNECT; 0 is none
		want  session.CloseCause
	}{
		{
			name: "[MQTT-3.14.4-3] disconnect", end: func(_ *world, c *client, _ *fakeSession) { c.send(unhex("e0 00")) },
			want: session.CloseCause{Reason: "normal"},
		},
		{
			name: "disconnect with will", end: func(_ *world, c *client, _ *fakeSession) { c.send(unhex("e0 01 04")) },
			want: session.CloseCause{Reason: "normal", SendWill: true},
		},
		{
			name: "disconnect for an error of the client", end: func(_ *world, c *client, _ *fakeSession) { c.send(unhex("e0 02 80 00")) },
			want: session.CloseCause{Reason: "normal", SendWill: true},
		},
		{
			name: "session expiry changed", props: "11 00000064",
			end:  func(_ *world, c *client, _ *fakeSession) { c.send(unhex("e0 07 00 05 11 00000005")) },
			want: session.CloseCause{Reason: "normal", HasExpiry: true, Expiry: 5},
		},
		{
			name: "session expiry changed to 0", props: "11 00000064",
			end:  func(_ *world, c *client, _ *fakeSession) { c.send(unhex("e0 07 00 05 11 00000000")) },
			want: session.CloseCause{Reason: "normal", HasExpiry: true},
		},
		{
			name: "socket closed", end: func(_ *world, c *client, _ *fakeSession) { c.closeWrite() },
			want: session.CloseCause{Reason: "tcp_closed", SendWill: true},
		},
		{
			name: "half a packet", end: func(_ *world, c *client, _ *fakeSession) { c.send(unhex("30 05 00")); c.closeWrite() },
			want: session.CloseCause{Reason: "tcp_closed", SendWill: true},
		},
		{
			name: "kicked", end: func(_ *world, _ *client, s *fakeSession) { s.req.Conn.Disconnect(wire.AdministrativeAction) },
			code: wire.AdministrativeAction, want: session.CloseCause{Reason: "kicked", SendWill: true},
		},
		{
			name: "taken over", end: func(_ *world, _ *client, s *fakeSession) { s.req.Conn.Disconnect(wire.SessionTakenOver) },
			code: wire.SessionTakenOver, want: session.CloseCause{Reason: "takenover", SendWill: true},
		},
		{
			name: "listener stopped", end: func(w *world, _ *client, _ *fakeSession) {
				go func() { _ = w.set.Stop(context.Background(), "tcp:test") }()
			},
			code: wire.ServerShuttingDown, want: session.CloseCause{Reason: "listener_stopped", SendWill: true},
		},
		{
			name: "protocol error", end: func(_ *world, c *client, _ *fakeSession) { c.send(unhex("20 00")) },
			code: wire.ProtocolError, want: session.CloseCause{Reason: "protocol_error", SendWill: true},
		},
		{
			name: "session gone", end: func(_ *world, c *client, s *fakeSession) {
				s.publish = session.ErrClosed
				c.send(publishPacket(5, 0x30, "a", 0, "", ""))
			},
			want: session.CloseCause{Reason: "session_closed", SendWill: true},
		},
		{
			name: "session broken", end: func(_ *world, c *client, s *fakeSession) {
				s.publish = errors.New("boom")
				c.send(publishPacket(5, 0x30, "a", 0, "", ""))
			},
			code: wire.ServerBusy, want: session.CloseCause{Reason: "server_busy", SendWill: true},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			c := w.dial()
			c.send(connectPacket{version: 5, id: "c", clean: true, props: tc.props}.bytes())
			c.packet()
			s := w.session()
			s.expect(t, "attach")
			tc.end(w, c, s)
			if tc.code != 0 {
				c.expectDisconnect(tc.code)
			} else {
				c.expectEnd()
			}
			if e := s.expect(t, "close"); e.cause != tc.want {
				t.Errorf("cause %+v, want %+v", e.cause, tc.want)
			}
		})
	}
}

// TestMaxSessionExpiry: a DISCONNECT cannot raise the expiry above the cap.
func TestMaxSessionExpiry(t *testing.T) {
	w := newWorld(t, func(w *world, _ *listener.Config) { w.zone.MaxSessionExpiry = 10 * time.Second })
	c := w.dial()
	c.send(connectPacket{version: 5, id: "c", props: "11 00000005"}.bytes())
	c.packet()
	s := w.session()
	s.expect(t, "attach")
	c.send(unhex("e0 07 00 05 11 ffffffff"))
	if e := s.expect(t, "close"); e.cause.Expiry != 10 || !e.cause.HasExpiry {
		t.Errorf("%+v", e.cause)
	}
}

// TestServerShutdown3: an MQTT 3 client gets no DISCONNECT.
func TestServerShutdown3(t *testing.T) {
	w := newWorld(t)
	c, _ := w.connect(4)
	go w.set.Close(nil)
	c.expectEnd()
}

// TestKeepAlive: a client that is silent for keep alive times the multiplier is
// told so, and its will is due; one that speaks is not [MQTT-3.1.2-22].
func TestKeepAlive(t *testing.T) {
	w := newWorld(t, func(w *world, _ *listener.Config) { w.zone.KeepAliveMultiplier = 1 })
	c := w.dial()
	c.send(connectPacket{version: 5, id: "c", clean: true, alive: 1}.bytes())
	c.packet()
	s := w.session()
	s.expect(t, "attach")
	began := time.Now()
	var spoke time.Time
	for time.Since(began) < 1200*time.Millisecond { // speak until after the first deadline
		spoke = time.Now()
		c.send(unhex("c0 00"))
		c.expect("d0 00")
	}
	c.expectDisconnect(wire.KeepAliveTimeout)
	if d := time.Since(spoke); d < time.Second {
		t.Errorf("silent for %v only", d)
	}
	if e := s.expect(t, "close"); e.cause.Reason != "keepalive_timeout" || !e.cause.SendWill {
		t.Errorf("%+v", e.cause)
	}
}

// TestSlowDispatch: the time that a packet takes is not the client's silence,
// nor is that of its CONNECT.
func TestSlowDispatch(t *testing.T) {
	w := newWorld(t, func(w *world, l *listener.Config) {
		w.zone.KeepAliveMultiplier = 1
		l.IdleTimeout = 300 * time.Millisecond
	})
	w.broker.onOpen = func(s *fakeSession) {
		<-time.After(500 * time.Millisecond) // longer than the deadline for CONNECT
		s.onPublish = func() { <-time.After(1200 * time.Millisecond) }
	}
	c := w.dial()
	c.send(connectPacket{version: 5, id: "c", clean: true, alive: 1}.bytes())
	if p := c.packet(); p[0] != 0x20 {
		t.Fatalf("got %x", p)
	}
	c.send(publishPacket(5, 0x32, "a", 1, "", ""))
	c.expect("40 02 0001")
	c.send(unhex("c0 00"))
	c.expect("d0 00")
}

// TestAnswerTooLarge: a SUBACK that is larger than what the client takes ends
// the connection [MQTT-3.1.2-24].
func TestAnswerTooLarge(t *testing.T) {
	w := newWorld(t)
	c := w.dial()
	c.send(connectPacket{version: 5, id: "c", clean: true, props: "27 00000018"}.bytes()) // 24 bytes
	c.packet()
	var filters []any
	for range 19 {
		filters = append(filters, "a", 0)
	}
	c.send(subscribePacket(5, 1, "", filters...)) // SUBACK: 5 bytes and one for each
	if p := c.packet(); len(p) != 24 || p[0] != 0x90 {
		t.Fatalf("got %x", p)
	}
	c.send(subscribePacket(5, 1, "", append(filters, "a", 0)...))
	c.expectDisconnect(wire.PacketTooLarge)
}

// TestKeepAliveForms: the numbers that mochi's own deadline gets wrong.
func TestKeepAliveForms(t *testing.T) {
	w := newWorld(t, func(_ *world, l *listener.Config) { l.IdleTimeout = time.Second })
	for _, alive := range []uint16{0, 43690, 43691, 65535} {
		c := w.dial()
		c.send(connectPacket{version: 4, id: "c", clean: true, alive: alive}.bytes())
		c.expect("20 02 00 00")
		if s := w.session(); s.req.Client.KeepAlive != alive {
			t.Errorf("keep alive %d became %d", alive, s.req.Client.KeepAlive)
		}
		c.send(unhex("c0 00"))
		c.expect("d0 00")
		// The deadline for CONNECT does not live on: the connection is there when
		// it has passed.
		if alive == 0 {
			if err := c.conn.SetReadDeadline(time.Now().Add(1500 * time.Millisecond)); err != nil {
				t.Fatal(err)
			}
			if p, err := c.read(); !isTimeout(err) {
				t.Fatalf("got %x, %v; want silence", p, err)
			}
		}
	}
}

// TestBytes: bytes.received and bytes.sent are what went over the socket.
func TestBytes(t *testing.T) {
	w := newWorld(t)
	c, s := w.connect(5)
	first := connectPacket{version: 5, id: "c", clean: true}.bytes()
	pub := publishPacket(5, 0x32, "a", 1, "", "x")
	c.send(pub)
	c.expect("40 02 0001")
	c.send(unhex("e0 00"))
	s.expect(t, "publish")
	s.expect(t, "close")
	if n := w.metrics.Get(metrics.BytesReceived); n != uint64(len(first)+len(pub)+2) {
		t.Errorf("bytes.received = %d", n)
	}
	if n := w.metrics.Get(metrics.BytesSent); n != 21+4 {
		t.Errorf("bytes.sent = %d", n)
	}
	for counter, want := range map[metrics.Counter]uint64{
		metrics.PacketsConnect: 1, metrics.PacketsConnackSent: 1, metrics.PacketsPublishReceived: 1,
		metrics.MessagesReceived: 1, metrics.MessagesQoS1Received: 1, metrics.PacketsPubackSent: 1,
		metrics.PacketsDisconnectReceived: 1, metrics.PacketsReceived: 3, metrics.PacketsSent: 2,
		metrics.ClientConnect: 1, metrics.ClientConnack: 1, metrics.ClientAuthenticate: 1,
	} {
		if n := w.metrics.Get(counter); n != want {
			t.Errorf("%s = %d, want %d", counter.Name(), n, want)
		}
	}
}

func isTimeout(err error) bool {
	var ne interface{ Timeout() bool }
	return errors.As(err, &ne) && ne.Timeout()
}

func (c *client) closeWrite() {
	c.t.Helper()
	if err := c.conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		c.t.Fatal(err)
	}
}
