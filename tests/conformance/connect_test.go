package conformance

import (
	"context"
	"strings"
	"testing"
	"time"

	"ermine/mqtt/auth"
	"ermine/tests/conformance/brokertest"
)

// TestFirstPacket: what is no CONNECT closes the connection, and is not
// answered.
func TestFirstPacket(t *testing.T) {
	t.Parallel()
	b := start(t)
	for kind := range byte(16) {
		if kind == tConnect {
			continue
		}
		both(t, "v3.1.1 v5 [MQTT-3.1.0-1] first packet is "+typeNames[kind], func(t *testing.T, version byte) {
			c := b.dial(t, version)
			first := kind << 4
			if kind == tPubrel || kind == tSubscribe || kind == tUnsubscribe {
				first |= 2
			}
			c.send(frame(first, u16(1), str("topic")))
			c.wantClosed()
		})
	}
	both(t, "v3.1.1 v5 [MQTT-3.1.0-2] second CONNECT", func(t *testing.T, version byte) {
		c := b.connect(t, version)
		c.send(newConnect(version).encode())
		c.wantEnd(0x82)
	})
}

// refused sends a CONNECT that is refused: with a CONNACK of this code in
// version 5, and of code3 in version 3.1.1, or without one where code3 is 0.
func (b *broker) refused(t *testing.T, pk connect, code, code3 byte) packet {
	t.Helper()
	c := b.dial(t, pk.level)
	c.send(pk.encode())
	want := code
	if pk.level != v5 {
		want = code3
	}
	if want == 0 {
		c.wantClosed()
		return packet{}
	}
	p := c.read()
	if p.kind != tConnack || p.code != want || p.present {
		t.Fatalf("got %v, want CONNACK code %#02x without session present", p, want)
	}
	c.wantClosed()
	return p
}

// TestConnectRefused: a CONNECT that is not as it should be. MQTT 3.1.1 has no
// answer to most of that, MQTT 5 has one.
func TestConnectRefused(t *testing.T) {
	t.Parallel()
	b := start(t, func(c *brokertest.Config) { c.Zone.MaxClientIDLen = 23 })
	flags := func(bits byte) func(*connect) { return func(c *connect) { c.flags |= bits } }
	for _, tc := range []struct {
		on3, on5     string // the statements; empty where the row is not for that version
		what         string
		change       func(*connect)
		code5, code3 byte
	}{
		{"v3.1.1 [MQTT-3.1.2-1]", "v5 [MQTT-3.1.2-1]", "unknown protocol name", func(c *connect) { c.protocol = "MQTX" }, 0, 0},
		{"v3.1.1 [MQTT-3.1.2-1]", "v5 [MQTT-3.1.2-1]", "protocol name in small letters", func(c *connect) { c.protocol = "mqtt" }, 0, 0},
		{"v3.1.1 [MQTT-3.1.2-2]", "", "protocol level 2", func(c *connect) { c.level = 2 }, 0, 1},
		{"v3.1.1 [MQTT-3.1.2-2] [MQTT-3.2.2-4] [MQTT-3.2.2-5]", "", "level of MQTT 3.1 under the new name", func(c *connect) { c.level = 3 }, 0, 1},
		{"v3.1.1 [MQTT-3.1.2-3]", "v5 [MQTT-3.1.2-3]", "reserved flag", flags(0x01), 0x81, 0},
		{"v3.1.1 [MQTT-3.1.2-14]", "v5 [MQTT-3.1.2-12]", "will QoS 3", withWill(will{topic: "a", qos: 3}), 0x81, 0},
		{"v3.1.1 [MQTT-3.1.2-11] [MQTT-3.1.2-13]", "v5 [MQTT-3.1.2-11]", "will QoS without a will", flags(0x08), 0x81, 0},
		{"v3.1.1 [MQTT-3.1.2-11] [MQTT-3.1.2-15]", "v5 [MQTT-3.1.2-13]", "will retain without a will", flags(0x20), 0x81, 0},
		{
			"v3.1.1 [MQTT-3.1.2-9] [MQTT-3.1.4-1]", "v5 [MQTT-3.1.2-9] [MQTT-3.1.4-1]", "will flag without topic and payload",
			func(c *connect) { c.flags |= 0x04 }, 0x81, 0,
		},
		{
			"v3.1.1 [MQTT-3.1.2-18] [MQTT-3.1.2-20] [MQTT-3.2.2-6]", "v5 [MQTT-3.1.2-16] [MQTT-3.1.2-18]", "user name and password without their flags",
			func(c *connect) { c.rest = str("user") + str("password") }, 0x81, 0,
		},
		{"v3.1.1 [MQTT-3.1.2-22]", "", "password without user name", func(c *connect) { c.password = "x" }, 0, 0},
		{"v3.1.1 [MQTT-3.1.3-9]", "v5 [MQTT-3.1.3-8]", "client ID too long", func(c *connect) { c.id = strings.Repeat("x", 24) }, 0x85, 2},
		{"v3.1.1 [MQTT-3.1.3-8]", "", "empty client ID without clean session", func(c *connect) { c.id, c.clean = "", false }, 0, 2},
		{"v3.1.1 [MQTT-3.1.3-4]", "v5 [MQTT-3.1.3-4]", "client ID not UTF-8", func(c *connect) { c.id = "a\xff" }, 0x81, 0},
		{"v3.1.1 [MQTT-3.1.3-10]", "v5 [MQTT-3.1.3-11]", "will topic not UTF-8", withWill(will{topic: "a\xc0\x80"}), 0x81, 0},
		{"v3.1.1 [MQTT-3.1.3-11]", "v5 [MQTT-3.1.3-12]", "user name not UTF-8", func(c *connect) { c.user = "\xed\xa0\x80" }, 0x81, 0},
		{"", "v5 [MQTT-4.12.0-1] [MQTT-4.12.0-6]", "authentication method", with(authMethod("SCRAM-SHA-1")), 0x8C, 0},
		{"", "v5", "authentication data without a method", with(authData("x")), 0x82, 0},
		{"", "v5", "session expiry twice", with(sessionExpiry(1), sessionExpiry(1)), 0x82, 0},
		{"", "v5", "receive maximum 0", with(receiveMaximum(0)), 0x82, 0},
		{"", "v5", "maximum packet size 0", with(maximumPacketSize(0)), 0x82, 0},
		{"", "v5", "request response information 2", with(responseInfoRequest(2)), 0x82, 0},
		{"", "v5", "request problem information 2", with(problemInformation(2)), 0x82, 0},
		{"", "v5", "property of another packet", with(topicAlias(1)), 0x81, 0},
		{"", "v5", "unknown property", with(prop{0x7f, "x"}), 0x81, 0},
		{"", "v5", "will topic with a wildcard", withWill(will{topic: "a/+"}), 0x90, 0},
		{"", "v5", "property of another packet in the will", withWill(will{topic: "a", props: []prop{topicAlias(1)}}), 0x81, 0},
	} {
		for version, ids := range map[byte]string{v311: tc.on3, v5: tc.on5} {
			if ids == "" {
				continue
			}
			t.Run(ids+" "+tc.what, func(t *testing.T) {
				pk := newConnect(version)
				pk.id = unique("c")
				tc.change(&pk)
				b.refused(t, pk, tc.code5, tc.code3)
			})
		}
	}
	t.Run("v5 [MQTT-3.1.2-2] a protocol version to come", func(t *testing.T) {
		c := b.dial(t, v5)
		pk := newConnect(v5)
		body := pk.encode()
		body[8] = 6 // behind the fixed header and the name
		c.send(body)
		p := c.read()
		if p.kind != tConnack || p.code != 0x84 || p.present {
			t.Fatalf("got %v, want CONNACK code 0x84", p)
		}
		c.wantClosed()
	})
	t.Run("v3.1.1 v5 [MQTT-3.1.3-1] [MQTT-3.1.3-3] nothing behind the keep alive", func(t *testing.T) {
		for _, version := range []byte{v311, v5} {
			c := b.dial(t, version)
			tail := ""
			if version == v5 {
				tail = "\x00"
			}
			c.send(frame(tConnect<<4, str("MQTT"), string([]byte{version, 2}), u16(0), tail))
			if version == v5 {
				if p := c.read(); p.kind != tConnack || p.code != 0x81 {
					t.Errorf("got %v, want CONNACK code 0x81", p)
				}
			}
			c.wantClosed()
		}
	})
}

// TestConnectAccepted: what a CONNECT may hold.
func TestConnectAccepted(t *testing.T) {
	t.Parallel()
	b := start(t)
	each(t, "v3.1.1 [MQTT-3.1.4-4] [MQTT-3.2.2-1] accepted", "v5 [MQTT-3.1.4-5] [MQTT-3.2.2-1] [MQTT-3.2.2-2] [MQTT-3.2.2-8] [MQTT-3.2.0-2] accepted",
		func(t *testing.T, version byte) {
			c := b.connect(t, version)
			if c.connack.present || c.connack.code != 0 {
				t.Errorf("got %v", c.connack)
			}
			c.quiet() // no second CONNACK
		})
	both(t, "v3.1.1 v5 [MQTT-3.1.3-5] client ID of 1 to 23 letters and digits", func(t *testing.T, version byte) {
		for _, id := range []string{"0", "0123456789abcdefghijklm", "nopqrstuvwxyzABCDEFGHIJ", "KLMNOPQRSTUVWXYZ"} {
			c := b.connect(t, version, named(id))
			if _, assigned := c.connack.find(0x12); assigned {
				t.Errorf("%s was assigned another", id)
			}
			c.leave(b)
		}
	})
	each(t, "v3.1.1 [MQTT-3.1.3-6] empty client ID", "v5 [MQTT-3.1.3-6] [MQTT-3.1.3-7] [MQTT-3.2.2-16] empty client ID",
		func(t *testing.T, version byte) {
			one, other := b.connect(t, version, named("")), b.connect(t, version, named(""))
			if version == v5 && (one.id == "" || one.id == other.id) {
				t.Errorf("assigned %q and %q", one.id, other.id)
			}
			one.quiet() // the other has not taken it over
			other.quiet()
		})
	t.Run("v5 assigned client ID resumes", func(t *testing.T) {
		c := b.connect(t, v5, named(""), func(c *connect) { c.clean = false }, with(sessionExpiry(3600)))
		if !c.connack.has(assignedClientID(c.id)) {
			t.Fatalf("got %v", c.connack)
		}
		c.leave(b)
		if again := b.connect(t, v5, kept(c.id)); !again.connack.present {
			t.Error("the session is not present")
		}
	})
	both(t, "v3.1.1 v5 [MQTT-3.2.0-1] CONNACK before all else", func(t *testing.T, version byte) {
		id, topic := unique("c"), unique("t/")
		c := b.connect(t, version, kept(id))
		c.subscribe(filter{topic, 1})
		c.leave(b)
		b.connect(t, version).publish(topic, "kept", qos1)
		c = b.dial(t, version)
		pk := newConnect(version)
		kept(id)(&pk)
		c.send(append(pk.encode(), message(topic, "own", qos1, 7).encode(version)...)) // at once, before CONNACK
		if p := c.read(); p.kind != tConnack || !p.present {
			t.Fatalf("got %v, want CONNACK", p)
		}
		seen := map[string]bool{}
		for range 3 { // in any order
			p := c.read()
			seen[typeNames[p.kind]+p.payload] = true
		}
		for _, what := range []string{"PUBLISHkept", "PUBLISHown", "PUBACK"} {
			if !seen[what] {
				t.Errorf("no %s among %v", what, seen)
			}
		}
	})
	t.Run("MQTT 3.1", func(t *testing.T) {
		c := b.connect(t, v31)
		c.subscribe(filter{"v31/t", 2})
		b.connect(t, v31).publish("v31/t", "x", qos2)
		c.receive("v31/t", "x")
	})
	t.Run("v5 what the server can do", func(t *testing.T) {
		c := b.connect(t, v5)
		for _, p := range []prop{
			retainAvailable(1), wildcardAvailable(1), subIDAvailable(1), sharedAvailable(1),
			topicAliasMaximum(65535), maximumPacketSize(1 << 20),
		} {
			if !c.connack.has(p) {
				t.Errorf("no %#x=%q in %v", p.id, p.value, c.connack)
			}
		}
	})
}

// keeper lets in who has the password, and everybody without a user name.
type keeper struct{ password string }

func (k keeper) Authenticate(_ context.Context, c *auth.Client, cred auth.Credentials) (auth.Result, error) {
	switch {
	case c.Username == "" && cred.Password == nil:
		return auth.Result{Decision: auth.Ignore}, nil
	case c.Username == "user" && string(cred.Password) == k.password:
		return auth.Result{Decision: auth.Allow}, nil
	}
	return auth.Result{Decision: auth.Deny, Reason: auth.ReasonBadCredentials}, nil
}

// TestLogin: user name and password reach whoever decides, and a refusal has no
// effect.
func TestLogin(t *testing.T) {
	t.Parallel()
	b := start(t, func(c *brokertest.Config) { c.Authentication = append(c.Authentication, keeper{"secret"}) })
	each(t, "v3.1.1 [MQTT-3.1.2-19] [MQTT-3.1.2-21] right password", "v5 [MQTT-3.1.2-17] [MQTT-3.1.2-19] right password",
		func(t *testing.T, version byte) {
			b.connect(t, version, func(c *connect) { c.user, c.password = "user", "secret" }).quiet()
		})
	each(t, "v3.1.1 [MQTT-3.2.2-4] [MQTT-3.2.2-5] wrong password", "v5 [MQTT-3.1.4-2] [MQTT-3.2.2-6] [MQTT-3.2.2-7] wrong password",
		func(t *testing.T, version byte) {
			pk := newConnect(version)
			pk.user, pk.password = "user", "guess"
			b.refused(t, pk, 0x86, 4)
		})
	both(t, "v3.1.1 v5 [MQTT-3.1.3-1] [MQTT-3.1.3-3] every field in its place", func(t *testing.T, version byte) {
		topic := unique("will/")
		w := b.watcher(t, topic)
		c := b.connect(t, version, withWill(will{topic: topic, payload: "dead", qos: 1}),
			func(c *connect) { c.user, c.password = "user", "secret" })
		if got := b.inspect(t, c.id); got.Username != "user" || got.Version != version {
			t.Errorf("got %+v", got.Client)
		}
		c.conn.Close()
		w.receive(topic, "dead")
	})
	both(t, "empty password", func(t *testing.T, version byte) {
		pk := newConnect(version)
		pk.user, pk.hasPass = "user", true
		b.refused(t, pk, 0x86, 4)
	})
	t.Run("v5 password without user name is allowed, and looked at", func(t *testing.T) {
		pk := newConnect(v5)
		pk.password = "guess"
		b.refused(t, pk, 0x86, 0)
	})
	both(t, "empty user name", func(t *testing.T, version byte) {
		b.connect(t, version, func(c *connect) { c.hasUser = true }).quiet()
	})
	each(t, "v3.1.1 [MQTT-3.1.4-5] nothing is processed after a refusal", "v5 [MQTT-3.1.4-6] nothing is processed after a refusal",
		func(t *testing.T, version byte) {
			topic := unique("refused/")
			c := b.dial(t, version)
			pk := newConnect(version)
			pk.user, pk.password = "user", "guess"
			c.send(append(pk.encode(), message(topic, "x", retain, 0).encode(version)...))
			if p := c.read(); p.code == 0 {
				t.Fatalf("got %v", p)
			}
			c.wantClosed()
			until(t, "the connection has gone", func() bool { return b.Server.Connections() == 0 || b.Retained().Get(topic) != nil })
			if b.Retained().Get(topic) != nil {
				t.Error("the PUBLISH behind a refused CONNECT was processed")
			}
		})
	t.Run("v5 a refused client does not disturb its session", func(t *testing.T) {
		c := b.connect(t, v5, kept("owner"))
		pk := newConnect(v5)
		pk.id, pk.user, pk.password = "owner", "user", "guess"
		b.refused(t, pk, 0x86, 0)
		c.quiet()
	})
	t.Run("v5 [MQTT-3.2.2-19] [MQTT-3.2.2-20] CONNACK within the maximum packet size", func(t *testing.T) {
		pk := newConnect(v5)
		pk.user, pk.password = "user", "guess"
		if p := b.refused(t, pk, 0x86, 0); len(p.props) != 1 || p.props[0].id != 0x1F {
			t.Errorf("got %v, want a reason string", p)
		}
		pk.props = []prop{maximumPacketSize(8)}
		if p := b.refused(t, pk, 0x86, 0); len(p.props) != 0 {
			t.Errorf("got %v, want no property", p)
		}
	})
}

// TestKeepAlive: a client that is silent for one and a half times its keep-alive
// is gone, and has not gone of its own will.
func TestKeepAlive(t *testing.T) {
	t.Parallel()
	b := start(t)
	watch := func(t *testing.T, topic string) *client {
		w := b.connect(t, v5)
		w.subscribe(filter{topic, 0})
		return w
	}
	each(t, "v3.1.1 [MQTT-3.1.2-24] silent client", "v5 [MQTT-3.1.2-22] [MQTT-3.2.2-22] silent client",
		func(t *testing.T, version byte) {
			t.Parallel()
			topic := unique("will/")
			w := watch(t, topic)
			c := b.connect(t, version, func(c *connect) { c.keepAlive = 1 }, withWill(will{topic: topic, payload: "dead"}))
			began := time.Now()
			c.wantEnd(0x8D)
			if d := time.Since(began); d < 1200*time.Millisecond {
				t.Errorf("closed after %v", d)
			}
			w.receive(topic, "dead")
		})
	t.Run("v5 [MQTT-3.1.2-22] packets of any type keep it open", func(t *testing.T) {
		t.Parallel()
		c := b.connect(t, v5, func(c *connect) { c.keepAlive = 1 })
		began := time.Now()
		tick := time.NewTicker(400 * time.Millisecond)
		defer tick.Stop()
		for time.Since(began) < 2*time.Second {
			<-tick.C
			c.publish("keep/alive", "x", qos1)
		}
	})
	t.Run("v5 keep-alive of the server", func(t *testing.T) {
		t.Parallel()
		b := start(t, func(c *brokertest.Config) { c.Zone.ServerKeepAlive = 1 })
		c := b.connect(t, v5)
		if !c.connack.has(serverKeepAlive(1)) {
			t.Errorf("got %v", c.connack)
		}
		c.wantEnd(0x8D)
	})
}

// TestNoConnect: a socket that says nothing is closed.
func TestNoConnect(t *testing.T) {
	t.Parallel()
	b := start(t, func(c *brokertest.Config) { c.Listeners[0].IdleTimeout = 200 * time.Millisecond })
	silent := b.dial(t, v5)
	half := b.dial(t, v5)
	whole := newConnect(v5).encode()
	half.send(whole[:len(whole)-1])
	silent.wantClosed()
	half.wantClosed()
}

// TestServerLimits: what this server does not do is said in CONNACK, and held.
func TestServerLimits(t *testing.T) {
	t.Parallel()
	b := start(t, func(c *brokertest.Config) {
		c.Zone.MaxQoS, c.Zone.Retain, c.Zone.Wildcard, c.Zone.Shared = 1, false, false, false
		c.Zone.MaxTopicAlias, c.Zone.MaxPacketSize, c.Zone.Limits.ReceiveMaximum = 3, 500, 4
		c.Zone.MaxSessionExpiry, c.Zone.MaxTopicLevels = 100*time.Second, 3
		c.Zone.ResponseInformation = "responses/"
	})
	t.Run("v5 [MQTT-3.2.2-9] announced", func(t *testing.T) {
		c := b.connect(t, v5, with(sessionExpiry(200)))
		for _, p := range []prop{
			maximumQoS(1), retainAvailable(0), wildcardAvailable(0), sharedAvailable(0),
			topicAliasMaximum(3), maximumPacketSize(500), receiveMaximum(4), sessionExpiry(100),
		} {
			if !c.connack.has(p) {
				t.Errorf("no %#x=%q in %v", p.id, p.value, c.connack)
			}
		}
	})
	t.Run("v5 [MQTT-3.2.2-10] SUBSCRIBE at any QoS", func(t *testing.T) {
		c := b.connect(t, v5)
		c.put(packet{kind: tSubscribe, flags: 2, id: 1, filters: []filter{{"a", 0}, {"b", 1}, {"c", 2}}})
		c.want(packet{kind: tSuback, id: 1, codes: []byte{0, 1, 1}})
	})
	for _, tc := range []struct {
		name string
		will will
		code byte
	}{
		{"v5 [MQTT-3.2.2-12] will QoS above the maximum", will{topic: "w", qos: 2}, 0x9B},
		{"v5 [MQTT-3.2.2-13] will retain", will{topic: "w", retain: true}, 0x9A},
	} {
		t.Run(tc.name, func(t *testing.T) {
			pk := newConnect(v5)
			pk.will = &tc.will
			b.refused(t, pk, tc.code, 0)
		})
	}
	for _, tc := range []struct {
		name string
		sent packet
		code byte
	}{
		{"v5 QoS above the maximum", message("t", "x", qos2, 1), 0x9B},
		{"v5 retain", message("t", "x", retain, 0), 0x9A},
		{"v5 topic alias above the maximum", message("t", "x", 0, 0, topicAlias(4)), 0x94},
		{"v5 packet above the maximum", message("t", strings.Repeat("x", 500), 0, 0), 0x95},
		{"v5 topic of too many levels", message("1/2/3/4", "x", 0, 0), 0x90},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := b.connect(t, v5)
			c.put(tc.sent)
			c.wantEnd(tc.code)
		})
	}
	t.Run("v5 filters that are not supported", func(t *testing.T) {
		c := b.connect(t, v5)
		c.put(packet{kind: tSubscribe, flags: 2, id: 1, filters: []filter{{"a/#", 0}, {"$share/g/a", 0}, {"1/2/3/4", 0}}})
		c.want(packet{kind: tSuback, id: 1, codes: []byte{0xA2, 0x9E, 0x8F}})
	})
	t.Run("v3.1.1 [MQTT-3.8.3-2] filters with wildcards are refused", func(t *testing.T) {
		c := b.connect(t, v311)
		c.put(packet{kind: tSubscribe, flags: 2, id: 1, filters: []filter{{"a/#", 0}}})
		c.want(packet{kind: tSuback, id: 1, codes: []byte{0x80}})
	})
	t.Run("v5 [MQTT-3.1.2-28] response information", func(t *testing.T) {
		for _, tc := range []struct {
			props []prop
			want  bool
		}{{nil, false}, {[]prop{responseInfoRequest(0)}, false}, {[]prop{responseInfoRequest(1)}, true}} {
			c := b.connect(t, v5, with(tc.props...))
			if got := c.connack.has(responseInformation("responses/")); got != tc.want {
				t.Errorf("asked with %q: got %v", tc.props, c.connack)
			}
		}
	})
}
