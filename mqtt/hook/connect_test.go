package hook_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"ermine/actors/metrics"
	"ermine/mqtt/auth"
	"ermine/mqtt/hook"
	"ermine/mqtt/listener"
	"ermine/mqtt/wire"
)

// TestConnectRefused: what a client gets whose CONNECT is not accepted. An
// empty answer is a connection that is closed without a word.
func TestConnectRefused(t *testing.T) {
	will := "0004 77696c6c 0001 78" // topic "will", payload "x"
	for _, tc := range []struct {
		name      string
		configure func(w *world)
		packet    []byte
		want      string // the answer; "5: xx" is a CONNACK of MQTT 5 with this code and a reason string
	}{
		{"[MQTT-3.1.0-1] first packet is not connect", nil, unhex("c000"), ""},
		{"[MQTT-3.1.2-1] unknown protocol", nil, connectPacket{version: 4, name: "HTTP", id: "c"}.bytes(), ""},
		{"[MQTT-3.1.2-2] 3.1.1 with level 3", nil, connectPacket{version: 4, rawLevel: 3, id: "c"}.bytes(), "20020001"},
		{"[MQTT-3.1.2-2] level 6", nil, connectPacket{version: 5, rawLevel: 6, id: "c"}.bytes(), "5: 84"},
		{"[MQTT-3.1.2-3] reserved flag, 5", nil, connectPacket{version: 5, id: "c", flags: 1}.bytes(), "5: 81"},
		{"[MQTT-3.1.2-3] reserved flag, 3.1.1", nil, connectPacket{version: 4, id: "c", flags: 1}.bytes(), ""},
		{"[MQTT-3.1.2-12] will qos 3", nil, connectPacket{version: 5, id: "c", flags: 0x1c, rest: "00" + will}.bytes(), "5: 81"},
		{"[MQTT-3.1.2-11] will qos without will", nil, connectPacket{version: 5, id: "c", flags: 0x08}.bytes(), "5: 81"},
		{"[MQTT-3.1.2-13] will retain without will", nil, connectPacket{version: 5, id: "c", flags: 0x20}.bytes(), "5: 81"},
		{"[MQTT-3.1.2-22] of 3.1.1: password without user name", nil, connectPacket{version: 4, id: "c", flags: 0x40, rest: "0001 70"}.bytes(), ""},
		{"property twice", nil, connectPacket{version: 5, id: "c", props: "11 00000001 11 00000001"}.bytes(), "5: 82"},
		{"property of another packet", nil, connectPacket{version: 5, id: "c", props: "23 0001"}.bytes(), "5: 81"},
		{"receive maximum 0", nil, connectPacket{version: 5, id: "c", props: "21 0000"}.bytes(), "5: 82"},
		{"maximum packet size 0", nil, connectPacket{version: 5, id: "c", props: "27 00000000"}.bytes(), "5: 82"},
		{"request problem information 2", nil, connectPacket{version: 5, id: "c", props: "17 02"}.bytes(), "5: 82"},
		{"authentication data without method", nil, connectPacket{version: 5, id: "c", props: "16 0001 78"}.bytes(), "5: 82"},
		{"enhanced authentication", nil, connectPacket{version: 5, id: "c", props: "15 0001 78"}.bytes(), "5: 8c"},
		{"truncated", nil, packet(0x10, connectPacket{version: 5, id: "client"}.bytes()[2:14]), "5: 81"},
		{"bytes behind the end", nil, connectPacket{version: 5, id: "c", tail: []byte{0}}.bytes(), "5: 81"},
		{"[MQTT-3.1.3-4] client id not utf-8", nil, connectPacket{version: 5, id: "\xff"}.bytes(), "5: 81"},
		{"[MQTT-3.1.3-8] of 3.1.1: empty id, not clean", nil, connectPacket{version: 4}.bytes(), "20020002"},
		{"empty id in 3.1", nil, connectPacket{version: 3, clean: true}.bytes(), "20020002"},
		{
			"long id in 3.1, strict",
			func(w *world) { w.zone.Strict = true },
			connectPacket{version: 3, clean: true, id: strings.Repeat("x", 24)}.bytes(), "20020002",
		},
		{
			"max_clientid_len",
			func(w *world) { w.zone.MaxClientIDLen = 23 },
			connectPacket{version: 5, id: strings.Repeat("x", 24)}.bytes(), "5: 85",
		},
		{"will topic with wildcard", nil, connectPacket{version: 5, id: "c", flags: 4, rest: "00 0001 23 0001 78"}.bytes(), "5: 90"},
		{
			"[MQTT-3.2.2-12] will qos above the maximum",
			func(w *world) { w.zone.MaxQoS = 1 },
			connectPacket{version: 5, id: "c", flags: 0x14, rest: "00" + will}.bytes(), "5: 9b",
		},
		{
			"[MQTT-3.2.2-13] will retain where there is none",
			func(w *world) { w.zone.Retain = false },
			connectPacket{version: 5, id: "c", flags: 0x24, rest: "00" + will}.bytes(), "5: 9a",
		},
		{
			"bad password",
			func(w *world) {
				w.access.connect = auth.Result{Decision: auth.Deny, Reason: auth.ReasonBadCredentials}
			},
			connectPacket{version: 4, id: "c"}.bytes(), "20020004",
		},
		{
			"not authorised, 5",
			func(w *world) { w.access.connect = auth.Result{Decision: auth.Deny} },
			connectPacket{version: 5, id: "c"}.bytes(), "5: 87",
		},
		{
			"[MQTT-3.1.2-29] no reason string for who wants none",
			func(w *world) { w.access.connect = auth.Result{Decision: auth.Deny} },
			connectPacket{version: 5, id: "c", props: "17 00"}.bytes(), "20 03 00 87 00",
		},
		{
			"no reason string for who has no room",
			func(w *world) { w.access.connect = auth.Result{Decision: auth.Deny} },
			connectPacket{version: 5, id: "c", props: "27 0000000a"}.bytes(), "20 03 00 87 00",
		},
		{
			"no broker",
			func(w *world) { w.broker.err = errors.New("down") },
			connectPacket{version: 5, id: "c"}.bytes(), "5: 88",
		},
		{
			"client id locked",
			func(w *world) { w.broker.err = &wire.ReasonError{Code: wire.ClientIDNotValid, Text: "locked"} },
			connectPacket{version: 4, id: "c"}.bytes(), "20020002",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t, func(w *world, _ *listener.Config) {
				if tc.configure != nil {
					tc.configure(w)
				}
			})
			c := w.dial()
			c.send(tc.packet)
			if code, ok := strings.CutPrefix(tc.want, "5: "); ok {
				pk := decodeConnack(t, c.packet())
				if pk.ReasonCode != unhex(code)[0] || pk.SessionPresent || pk.Properties.ReasonString == "" {
					t.Errorf("got %+v, want %s", pk, code)
				}
			} else if tc.want != "" {
				c.expect(tc.want)
			}
			c.expectEnd()
			if len(w.broker.opened) > 0 {
				t.Error("a session was opened")
			}
		})
	}
}

// TestConnack: what a client is told about this server.
func TestConnack(t *testing.T) {
	w := newWorld(t)
	c := w.dial()
	c.send(connectPacket{version: 5, id: "c", clean: true}.bytes())
	c.expect("20 13 00 00 10" +
		" 22 ffff" + // topic alias maximum
		" 25 01" + // retain
		" 27 00100000" + // maximum packet size
		" 28 01 29 01 2a 01") // wildcards, subscription identifiers, shared

	t.Run("limits", func(t *testing.T) {
		w := newWorld(t, func(w *world, _ *listener.Config) {
			w.zone.MaxQoS, w.zone.Retain, w.zone.Wildcard, w.zone.Shared = 1, false, false, false
			w.zone.MaxPacketSize, w.zone.MaxTopicAlias, w.zone.Limits.ReceiveMaximum = 0, 0, 10
			w.zone.ServerKeepAlive = 30
			w.zone.MaxSessionExpiry = 60e9
			w.zone.ResponseInformation = "rsp/"
		})
		w.broker.present = true
		c := w.dial()
		c.send(connectPacket{version: 5, alive: 5, props: "11 ffffffff 19 01"}.bytes())
		pk := decodeConnack(t, c.packet())
		p := pk.Properties
		if !pk.SessionPresent {
			t.Error("[MQTT-3.2.2-3] session present is 0")
		}
		if !p.MaximumQosFlag || p.MaximumQos != 1 {
			t.Error("[MQTT-3.2.2-9] no maximum qos")
		}
		if p.RetainAvailable+p.WildcardSubAvailable+p.SharedSubAvailable != 0 ||
			!p.RetainAvailableFlag || !p.WildcardSubAvailableFlag || !p.SharedSubAvailableFlag {
			t.Errorf("availability: %+v", p)
		}
		if p.ReceiveMaximum != 10 || p.TopicAliasMaximum != 0 || p.MaximumPacketSize != 0 {
			t.Errorf("limits: %+v", p)
		}
		if p.ServerKeepAlive != 30 {
			t.Error("[MQTT-3.1.2-21] no server keep alive")
		}
		if p.SessionExpiryInterval != 60 {
			t.Error("[MQTT-3.2.2-21] capped expiry not told")
		}
		if p.ResponseInfo != "rsp/" {
			t.Error("no response information")
		}
		s := w.session()
		if p.AssignedClientID == "" || s.req.Client.ID != p.AssignedClientID {
			t.Errorf("[MQTT-3.2.2-16] assigned %q, session of %q", p.AssignedClientID, s.req.Client.ID)
		}
		if s.req.Expiry != 60 || s.req.Client.KeepAlive != 30 {
			t.Errorf("session opened with %+v", s.req)
		}
	})

	t.Run("3.1.1", func(t *testing.T) {
		for _, present := range []bool{false, true} {
			w := newWorld(t)
			w.broker.present = present
			c := w.dial()
			c.send(connectPacket{version: 4, id: "c"}.bytes())
			if present {
				c.expect("20 02 01 00")
			} else {
				c.expect("20 02 00 00")
			}
			if s := w.session(); s.req.Expiry != 7200 || s.req.Clean {
				t.Errorf("opened with %+v", s.req)
			}
		}
	})
}

func decodeConnack(t *testing.T, b []byte) packets.Packet {
	t.Helper()
	pk := packets.Packet{ProtocolVersion: 5, FixedHeader: packets.FixedHeader{Type: packets.Connack}}
	if b[1] >= 0x80 {
		t.Fatalf("long connack %x", b)
	}
	if err := pk.ConnackDecode(b[2:]); err != nil {
		t.Fatalf("connack %x: %v", b, err)
	}
	return pk
}

// TestOpenRequest: what the broker learns of a client.
func TestOpenRequest(t *testing.T) {
	w := newWorld(t, func(_ *world, l *listener.Config) { l.Mountpoint = "m/${clientid}/${username}/" })
	c := w.dial()
	willProps := properties("18 00000007 01 01 02 00000009 03 0001 63 08 0001 72 09 0001 ff 26 0001 6b 0001 76")
	tail := append(willProps, unhex("0001 77 0000 0004 75736572 0000")...)
	c.send(connectPacket{
		version: 5, id: "id", alive: 60,
		flags: 0x80 | 0x40 | 0x20 | 0x10 | 0x04, // user name, password, will retain, will qos 2, will
		props: "11 00000010 21 0014 22 0005 26 0001 6b 0001 76", tail: tail,
	}.bytes())
	if p := c.packet(); p[0] != 0x20 || p[3] != 0 {
		t.Fatalf("connack %x", p)
	}
	r := w.session().req
	cl := r.Client
	if cl.ID != "id" || cl.Username != "user" || cl.Listener != "tcp:test" || cl.Zone != "default" ||
		cl.Protocol != "MQTT" || cl.Version != 5 || cl.KeepAlive != 60 || cl.CleanStart || cl.Bridge ||
		cl.Peer.String() != c.conn.LocalAddr().String() || cl.Connected.IsZero() {
		t.Errorf("client %+v", cl)
	}
	if r.Expiry != 16 || r.ReceiveMaximum != 20 || r.Clean || r.Limits.MaxInflight != 32 {
		t.Errorf("request %+v", r)
	}
	will := r.Will
	if will == nil {
		t.Fatal("no will")
	}
	m := will.Msg
	if m.Topic != "m/id/user/w" || len(m.Payload) != 0 || m.QoS != 2 || !m.Retain || m.Publisher != "id" {
		t.Errorf("will %+v", m)
	}
	p := m.Props
	if p == nil || !p.HasFormat || p.PayloadFormat != 1 || p.ContentType != "c" || p.ResponseTopic != "r" ||
		!bytes.Equal(p.CorrelationData, []byte{0xff}) || len(p.User) != 1 || p.User[0].Key != "k" {
		t.Errorf("will properties %+v", p)
	}
	if will.Delay != 7 || !will.HasExpiry || will.Expiry != 9 {
		t.Errorf("will %+v", will)
	}
	w.access.mu.Lock()
	defer w.access.mu.Unlock()
	if user := w.access.users[0]; user != "id user" {
		t.Errorf("login of %q", user)
	}
	if password := w.access.logins[0].Password; password == nil || len(password) != 0 {
		t.Errorf("password %q, want an empty one", password)
	}
}

// TestEnableAuthn: what the listener says about authentication.
func TestEnableAuthn(t *testing.T) {
	for _, tc := range []struct {
		enable string
		user   string
		code   byte
		asked  int
	}{
		{"true", "", 5, 1},
		{"true", "u", 5, 1},
		{"false", "u", 0, 0},
		{"quick_deny_anonymous", "", 5, 0},
		{"quick_deny_anonymous", "u", 5, 1},
	} {
		w := newWorld(t, func(w *world, l *listener.Config) {
			l.EnableAuthn = tc.enable
			w.access.connect = auth.Result{Decision: auth.Deny, Reason: auth.ReasonNotAuthorized}
		})
		c := w.dial()
		p := connectPacket{version: 4, id: "c"}
		if tc.user != "" {
			p.flags, p.tail = 0x80, str(tc.user)
		}
		c.send(p.bytes())
		if got := c.packet(); got[3] != tc.code {
			t.Errorf("%+v: connack %x", tc, got)
		}
		w.access.mu.Lock()
		if n := len(w.access.logins); n != tc.asked {
			t.Errorf("%+v: asked %d times", tc, n)
		}
		w.access.mu.Unlock()
	}
}

// TestCredentialsExpire: a client whose credentials have expired is
// disconnected.
func TestCredentialsExpire(t *testing.T) {
	w := newWorld(t, func(w *world, _ *listener.Config) {
		w.access.connect = auth.Result{Decision: auth.Allow, ExpireAt: time.Now().Add(100 * time.Millisecond)}
	})
	c, _ := w.connect(5)
	c.expectDisconnect(wire.NotAuthorized)
}

// TestWillDenied: a client that may not publish its will connects without it.
func TestWillDenied(t *testing.T) {
	w := newWorld(t, func(w *world, _ *listener.Config) {
		w.access.denied = map[string]bool{"w": true}
	})
	c := w.dial()
	c.send(connectPacket{version: 4, id: "c", flags: 4, rest: "0001 77 0001 78"}.bytes())
	c.expect("20 02 00 00")
	if s := w.session(); s.req.Will != nil {
		t.Errorf("will %+v", s.req.Will.Msg)
	}
	if n := w.metrics.Get(metrics.PacketsPublishAuthError); n != 1 {
		t.Errorf("packets.publish.auth_error = %d", n)
	}
}

// TestIdentity: whose name a client goes by.
func TestIdentity(t *testing.T) {
	for _, tc := range []struct {
		name      string
		configure func(z *hook.Zone)
		packet    connectPacket
		id        string // of the session; "*" is any that is not empty
		bridge    bool
	}{
		{name: "as sent", packet: connectPacket{version: 4, id: "x", clean: true}, id: "x"},
		{name: "[MQTT-3.1.3-6] assigned in 3.1.1", packet: connectPacket{version: 4, clean: true}, id: "*"},
		{name: "[MQTT-3.1.3-6] assigned in 5 without clean start", packet: connectPacket{version: 5}, id: "*"},
		{
			name:      "use_username_as_clientid",
			configure: func(z *hook.Zone) { z.UseUsernameAsClientID = true },
			packet:    connectPacket{version: 4, id: "x", flags: 0x80, rest: "0001 75"}, id: "u",
		},
		{
			name:      "use_username_as_clientid without a user name",
			configure: func(z *hook.Zone) { z.UseUsernameAsClientID = true },
			packet:    connectPacket{version: 4, id: "x"}, id: "x",
		},
		{name: "long in 3.1", packet: connectPacket{version: 3, id: strings.Repeat("x", 30)}, id: strings.Repeat("x", 30)},
		{name: "bridge of 3.1.1", packet: connectPacket{version: 4, rawLevel: 0x84, id: "b"}, id: "b", bridge: true},
		{name: "bridge of 3.1", packet: connectPacket{version: 3, rawLevel: 0x83, id: "b"}, id: "b", bridge: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t, func(w *world, _ *listener.Config) {
				if tc.configure != nil {
					tc.configure(w.zone)
				}
			})
			c := w.dial()
			c.send(tc.packet.bytes())
			if p := c.packet(); p[0] != 0x20 || p[3] != 0 {
				t.Fatalf("connack %x", p)
			}
			cl := w.session().req.Client
			if tc.id != "*" && cl.ID != tc.id || cl.ID == "" || cl.Bridge != tc.bridge || cl.Version != tc.packet.version {
				t.Errorf("client %+v", cl)
			}
		})
	}
}

// TestTakenOverBeforeConnack: a session that is taken away while its client is
// still waiting for CONNACK never sends a DISCONNECT as the first packet.
func TestTakenOverBeforeConnack(t *testing.T) {
	w := newWorld(t, func(w *world, _ *listener.Config) {
		w.broker.onOpen = func(s *fakeSession) { s.req.Conn.Disconnect(wire.SessionTakenOver) }
	})
	c := w.dial()
	c.send(connectPacket{version: 5, id: "c"}.bytes())
	c.expectEnd()
	if cause := w.session().expect(t, "close").cause; cause.Reason != "takenover" {
		t.Errorf("cause %+v", cause)
	}
}

// TestPipelined: a client need not wait for CONNACK [MQTT-3.1.4-6].
func TestPipelined(t *testing.T) {
	w := newWorld(t)
	c := w.dial()
	b := connectPacket{version: 4, id: "c", clean: true}.bytes()
	b = append(b, subscribePacket(4, 1, "", "a", 1)...)
	b = append(b, publishPacket(4, 0x32, "a", 2, "", "x")...)
	b = append(b, unhex("c000")...)
	c.send(b)
	c.expect("20 02 00 00")
	c.expect("90 03 0001 01")
	c.expect("40 02 0002")
	c.expect("d0 00")
}
