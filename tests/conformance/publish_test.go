package conformance

import (
	"context"
	"strings"
	"testing"
	"time"

	"ermine/mqtt/auth"
	"ermine/tests/conformance/brokertest"
)

// fence lets nobody publish or subscribe below denied/.
type fence struct{}

func (fence) Authorize(_ context.Context, _ *auth.Client, _ auth.Action, topic string) auth.Decision {
	if strings.HasPrefix(topic, "denied/") {
		return auth.Deny
	}
	return auth.Ignore
}

func fenced(c *brokertest.Config) { c.Authorization = append(c.Authorization, fence{}) }

// TestPublishRefused: a PUBLISH that must not be.
func TestPublishRefused(t *testing.T) {
	t.Parallel()
	b := start(t)
	type row struct {
		on3, on5 string
		what     string
		first    byte
		body3    string // without properties
		props    string // of version 5, behind the packet identifier or topic
		tail     string
		code     byte
	}
	pub := byte(tPublish << 4)
	for _, tc := range []row{
		{"v3.1.1 [MQTT-3.3.1-4]", "v5 [MQTT-3.3.1-4]", "QoS 3", pub | 6, str("t") + u16(1), "\x00", "x", 0x81},
		{"v3.1.1 [MQTT-3.3.1-2]", "v5 [MQTT-3.3.1-2]", "dup at QoS 0", pub | dup, str("t"), "\x00", "x", 0x82},
		{"v3.1.1 [MQTT-2.3.1-1]", "v5 [MQTT-2.2.1-3]", "packet identifier 0", pub | qos1, str("t") + u16(0), "\x00", "x", 0x82},
		{"v3.1.1 [MQTT-3.3.2-1]", "v5 [MQTT-3.3.2-1]", "topic not UTF-8", pub, str("a\xff"), "\x00", "x", 0x81},
		{"v3.1.1 [MQTT-3.3.2-2] [MQTT-4.7.1-1]", "v5 [MQTT-3.3.2-2] [MQTT-4.7.0-1]", "topic with +", pub, str("a/+"), "\x00", "x", 0x90},
		{"v3.1.1 [MQTT-3.3.2-2] [MQTT-4.7.1-1]", "v5 [MQTT-3.3.2-2] [MQTT-4.7.0-1]", "topic with #", pub, str("#"), "\x00", "x", 0x90},
		{"v3.1.1 [MQTT-4.7.3-1]", "v5 [MQTT-4.7.3-1]", "empty topic", pub, str(""), "\x00", "x", 0x82},
		{"v3.1.1 [MQTT-4.7.3-2]", "v5 [MQTT-4.7.3-2]", "topic with U+0000", pub, str("a\x00b"), "\x00", "x", 0x81},
		{"v3.1.1", "v5", "topic longer than the packet", pub, u16(9) + "t", "", "", 0x81},
		{"v3.1.1", "v5", "nothing", pub, "", "", "", 0x81},
		{"v3.1.1", "v5", "no packet identifier", pub | qos1, str("t"), "", "", 0x81},
		{"", "v5", "property length beyond the packet", pub, str("t"), "\x05\x01", "", 0x81},
		{"", "v5", "property length of five bytes", pub, str("t"), "\x80\x80\x80\x80\x01", "", 0x81},
		{"", "v5", "property cut short", pub, str("t"), "\x03\x02\x00\x00", "x", 0x81},
		{"", "v5", "unknown property", pub, str("t"), "\x02\x7e\x00", "x", 0x81},
		{"", "v5", "property of another packet", pub, str("t"), encodeProps([]prop{receiveMaximum(1)}), "x", 0x81},
		{"", "v5", "payload format 2", pub, str("t"), encodeProps([]prop{payloadFormat(2)}), "x", 0x82},
		{"", "v5", "payload format twice", pub, str("t"), encodeProps([]prop{payloadFormat(1), payloadFormat(1)}), "x", 0x82},
		{"", "v5 [MQTT-3.3.2-8]", "topic alias 0", pub, str("t"), encodeProps([]prop{topicAlias(0)}), "x", 0x94},
		{"", "v5", "topic alias that was never set", pub, str(""), encodeProps([]prop{topicAlias(1)}), "x", 0x82},
		{"", "v5 [MQTT-3.3.2-13]", "response topic not UTF-8", pub, str("t"), encodeProps([]prop{responseTopic("\xc3")}), "x", 0x81},
		{"", "v5 [MQTT-3.3.2-14]", "response topic with a wildcard", pub, str("t"), encodeProps([]prop{responseTopic("a/#")}), "x", 0x82},
		{"", "v5 [MQTT-3.3.2-19]", "content type not UTF-8", pub, str("t"), encodeProps([]prop{contentType("\xff")}), "x", 0x81},
		{"", "v5 [MQTT-1.5.7-1]", "name of a user property not UTF-8", pub, str("t"), encodeProps([]prop{userProperty("\xff", "v")}), "x", 0x81},
		{"", "v5 [MQTT-1.5.7-1]", "value of a user property not UTF-8", pub, str("t"), encodeProps([]prop{userProperty("k", "\xed\xbf\xbf")}), "x", 0x81},
		{"", "v5 [MQTT-3.3.4-6]", "subscription identifier", pub, str("t"), encodeProps([]prop{subscriptionID(1)}), "x", 0x82},
	} {
		for version, ids := range map[byte]string{v311: tc.on3, v5: tc.on5} {
			if ids == "" {
				continue
			}
			t.Run(ids+" "+tc.what, func(t *testing.T) {
				props := tc.props
				if version != v5 {
					props = ""
				}
				c := b.connect(t, version)
				c.send(frame(tc.first, tc.body3, props, tc.tail))
				c.wantEnd(tc.code)
			})
		}
	}
}

// TestPublishDenied: what a client may not publish is acknowledged all the same.
func TestPublishDenied(t *testing.T) {
	t.Parallel()
	b := start(t, fenced)
	each(t, "v3.1.1 [MQTT-3.3.5-2] denied", "v5 [MQTT-3.4.2-1] [MQTT-3.5.2-1] denied", func(t *testing.T, version byte) {
		w := b.connect(t, version)
		w.subscribe(filter{"#", 2}) // which takes in what nobody may subscribe to by name
		c := b.connect(t, version)
		c.publish("denied/t", "x", 0)
		c.put(message("denied/t", "x", qos1, 1), message("denied/t", "x", qos2, 2))
		for _, want := range []packet{ack(tPuback, 1, 0x87), ack(tPubrec, 2, 0x87)} {
			if version != v5 {
				want.code = 0
			}
			if got := c.read().without(0x1F); got.String() != want.String() {
				t.Errorf("got %v, want %v", got, want)
			}
		}
		c.quiet()
		w.quiet()
	})
	t.Run("v5 [MQTT-3.4.2-2] [MQTT-3.4.2-3] [MQTT-3.5.2-2] [MQTT-3.5.2-3] within the maximum packet size", func(t *testing.T) {
		for _, tc := range []struct {
			limit  []prop
			reason bool
		}{{nil, true}, {[]prop{maximumPacketSize(22)}, false}, {[]prop{problemInformation(0)}, false}} {
			c := b.connect(t, v5, with(tc.limit...))
			c.put(message("denied/t", "x", qos1, 1), message("denied/t", "x", qos2, 2))
			for range 2 {
				p := c.read()
				if _, got := p.find(0x1F); got != tc.reason || p.code != 0x87 || len(p.without(0x1F).props) > 0 {
					t.Errorf("with %v: got %v", tc.limit, p)
				}
			}
		}
	})
	t.Run("v5 [MQTT-3.1.2-29] no reason string to who wants none", func(t *testing.T) {
		c := b.connect(t, v5, with(problemInformation(0)))
		c.put(message("denied/t", "x", qos1, 1))
		c.want(ack(tPuback, 1, 0x87))
		c.put(packet{kind: tSubscribe, flags: 2, id: 2, filters: []filter{{"denied/t", 0}}})
		c.want(packet{kind: tSuback, id: 2, codes: []byte{0x87}})
	})
	t.Run("v5 deny_action disconnect", func(t *testing.T) {
		b := start(t, fenced, func(c *brokertest.Config) { c.DenyDisconnect = true })
		c := b.connect(t, v5)
		c.put(message("denied/t", "x", qos1, 1))
		c.wantEnd(0x87)
	})
}

// TestForward: what a subscriber gets of what a publisher sends.
func TestForward(t *testing.T) {
	t.Parallel()
	b := start(t)
	both(t, "v3.1.1 v5 [MQTT-3.3.2-3] the topic of the publisher", func(t *testing.T, version byte) {
		root := unique("t")
		c, p := b.connect(t, version), b.connect(t, version)
		c.subscribe(filter{root + "/+/x", 1})
		p.publish(root+"/1/x", "yes", qos1)
		p.publish(root+"/1/y", "no", qos1)
		p.publish(root+"/2/x", "yes", qos1)
		c.receive(root+"/1/x", "yes")
		c.receive(root+"/2/x", "yes")
		c.quiet()
	})
	both(t, "v3.1.1 v5 [MQTT-3.3.1-3] dup is not forwarded", func(t *testing.T, version byte) {
		topic := unique("t/")
		c, p := b.connect(t, version), b.connect(t, version)
		c.subscribe(filter{topic, 2})
		p.publish(topic, "1", qos1|dup)
		p.publish(topic, "2", qos2|dup)
		c.want(message(topic, "1", qos1, 1))
		c.want(message(topic, "2", qos2, 2))
	})
	each(t, "v3.1.1 [MQTT-3.3.4-1] answered as the QoS says", "v5 [MQTT-3.3.4-1] answered as the QoS says, 0x10 where nobody subscribes",
		func(t *testing.T, version byte) {
			c, topic := b.connect(t, version), unique("t/")
			code := []byte{0x10}
			if version != v5 {
				code = nil
			}
			c.put(message(topic, "x", 0, 0))
			c.put(message(topic, "x", qos1, 7))
			c.want(ack(tPuback, 7, code...))
			c.put(message(topic, "x", qos2, 8))
			c.want(ack(tPubrec, 8, code...))
			c.put(ack(tPubrel, 8))
			c.want(ack(tPubcomp, 8))
		})
	t.Run("v5 [MQTT-3.3.2-4] [MQTT-3.3.2-15] [MQTT-3.3.2-16] [MQTT-3.3.2-17] [MQTT-3.3.2-18] [MQTT-3.3.2-20] properties unharmed", func(t *testing.T) {
		topic := unique("t/")
		c, p := b.connect(t, v5), b.connect(t, v5)
		c.subscribe(filter{topic, 0})
		for _, props := range [][]prop{
			{
				payloadFormat(1), contentType("text/plain"), responseTopic("a/b"), correlationData("\x00\xff\x00"),
				userProperty("z", "1"), userProperty("a", ""), userProperty("z", "1"), userProperty("", "x"), userProperty("b", "ü"),
			},
			{payloadFormat(0)},
			{contentType("")},
			{correlationData("")},
			nil,
		} {
			p.publish(topic, "x", 0, props...)
			c.want(message(topic, "x", 0, 0, props...))
		}
	})
	t.Run("v5 many user properties", func(t *testing.T) {
		topic := unique("t/")
		c, p := b.connect(t, v5), b.connect(t, v5)
		c.subscribe(filter{topic, 0})
		var props []prop
		for i := range 500 {
			props = append(props, userProperty("key", number(i)))
		}
		p.publish(topic, "x", 0, props...)
		c.want(message(topic, "x", 0, 0, props...))
	})
	t.Run("v3.1.1 gets what v5 has published, without properties", func(t *testing.T) {
		topic := unique("t/")
		c, p := b.connect(t, v311), b.connect(t, v5)
		c.subscribe(filter{topic, 1})
		p.publish(topic, "x", qos1, userProperty("a", "b"), messageExpiry(10))
		c.want(message(topic, "x", qos1, 1))
	})
	both(t, "v3.1.1 v5 [MQTT-4.5.0-1] to every subscriber", func(t *testing.T, version byte) {
		root := unique("t")
		var all []*client
		for _, f := range []string{root + "/a", root + "/+", root + "/#", "+/a"} {
			for qos := range byte(3) {
				c := b.connect(t, version)
				c.subscribe(filter{f, qos})
				all = append(all, c)
			}
		}
		b.connect(t, version).publish(root+"/a", "x", qos2)
		for _, c := range all {
			c.receive(root+"/a", "x")
		}
	})
	t.Run("v5 payload of every byte and of nothing", func(t *testing.T) {
		topic := unique("t/")
		c, p := b.connect(t, v5), b.connect(t, v5)
		c.subscribe(filter{topic, 1})
		var every strings.Builder
		for i := range 256 {
			every.WriteByte(byte(i))
		}
		for _, payload := range []string{every.String(), "", strings.Repeat("y", 300_000)} {
			p.publish(topic, payload, qos1)
			c.receive(topic, payload)
		}
	})
}

// TestMaximumPacketSize: the client's limit.
func TestMaximumPacketSize(t *testing.T) {
	t.Parallel()
	b := start(t)
	t.Run("v5 [MQTT-3.1.2-24] [MQTT-3.1.2-25] a message too large is as good as sent", func(t *testing.T) {
		topic := unique("t/")
		c := b.connect(t, v5, with(maximumPacketSize(100), receiveMaximum(1)))
		c.subscribe(filter{topic, 2})
		p := b.connect(t, v5)
		fits := strings.Repeat("x", 100-2-2-len(topic)-2-1) // header, topic, packet identifier, property length
		for _, flags := range []byte{0, qos1, qos2} {
			p.publish(topic, fits+"yzz", flags)
		}
		p.publish(topic, fits, qos1)
		if got := c.receive(topic, fits); len(got.encode(v5)) != 100 {
			t.Errorf("%d bytes", len(got.encode(v5)))
		}
		b.marker(c, topic)
	})
	t.Run("v5 [MQTT-3.1.2-25] one that does not fit after a reconnect", func(t *testing.T) {
		id, topic := unique("c"), unique("t/")
		c := b.connect(t, v5, kept(id))
		c.subscribe(filter{topic, 2})
		p := b.connect(t, v5)
		p.publish(topic, strings.Repeat("x", 100), qos1)
		p.publish(topic, "small", qos1)
		c.want(message(topic, strings.Repeat("x", 100), qos1, 1), message(topic, "small", qos1, 2))
		c.drop(b)
		c = b.connect(t, v5, kept(id), with(maximumPacketSize(50)))
		c.want(message(topic, "small", qos1|dup, 2))
		c.quiet()
	})
}

// TestExpiry: messages have their time.
func TestExpiry(t *testing.T) {
	t.Parallel()
	t.Run("v5 [MQTT-3.3.2-5] [MQTT-3.3.2-6] while they wait", func(t *testing.T) {
		b := start(t)
		id := unique("c")
		c := b.connect(t, v5, kept(id))
		c.subscribe(filter{"t/#", 2})
		c.leave(b)
		p := b.connect(t, v5)
		p.publish("t/short", "x", qos1, messageExpiry(10))
		p.publish("t/long", "x", qos2, messageExpiry(60))
		p.publish("t/ever", "x", qos1)
		b.Clock.Advance(20 * time.Second)
		c = b.connect(t, v5, kept(id))
		left(t, c.receive("t/long", "x"), 30, 40)
		if _, expires := c.receive("t/ever", "x").find(0x02); expires {
			t.Error("t/ever expires")
		}
		c.quiet()
	})
	t.Run("v5 [MQTT-3.3.2-6] delivered at once", func(t *testing.T) {
		b := start(t)
		c := b.connect(t, v5)
		c.subscribe(filter{"t", 0})
		b.connect(t, v5).publish("t", "x", 0, messageExpiry(60))
		left(t, c.receive("t", "x"), 50, 60)
	})
	t.Run("v5 retained", func(t *testing.T) {
		b := start(t)
		p := b.connect(t, v5)
		p.publish("t/short", "x", qos1|retain, messageExpiry(10))
		p.publish("t/long", "x", qos1|retain, messageExpiry(60))
		b.Clock.Advance(20 * time.Second)
		c := b.connect(t, v5)
		c.subscribe(filter{"t/#", 1})
		left(t, c.receive("t/long", "x"), 30, 40)
		b.marker(c, "t/marker")
	})
	t.Run("v5 mqtt.message_expiry_interval", func(t *testing.T) {
		b := start(t, func(c *brokertest.Config) { c.Zone.MessageExpiry = 30 * time.Second })
		c := b.connect(t, v5)
		c.subscribe(filter{"t", 0})
		b.connect(t, v5).publish("t", "x", 0)
		left(t, c.receive("t", "x"), 20, 30)
	})
}

// left holds the Message Expiry Interval between two bounds, in seconds.
func left(t *testing.T, p packet, low, high uint32) {
	t.Helper()
	v, ok := p.find(0x02)
	if n := uint32(len(v)); !ok || n != 4 || v < u32(low) || v > u32(high) {
		t.Errorf("got %v, want a message expiry of %d to %d s", p, low, high)
	}
}

// TestTopicAlias: both ways.
func TestTopicAlias(t *testing.T) {
	t.Parallel()
	b := start(t)
	t.Run("v5 [MQTT-3.3.2-12] every alias up to the maximum", func(t *testing.T) {
		root := unique("t")
		c, p := b.connect(t, v5), b.connect(t, v5)
		c.subscribe(filter{root + "/#", 0})
		for _, n := range []uint16{1, 2, 300, 65535} {
			p.publish(root+"/"+number(int(n)), "set", 0, topicAlias(n))
			c.receive(root+"/"+number(int(n)), "set")
		}
		p.publish("", "used", 0, topicAlias(300))
		c.receive(root+"/000300", "used")
		p.publish(root+"/other", "set", 0, topicAlias(300))
		p.publish("", "used", 0, topicAlias(300))
		c.receive(root+"/other", "set")
		c.receive(root+"/other", "used")
	})
	t.Run("v5 [MQTT-3.3.2-7] they end with the connection", func(t *testing.T) {
		id, topic := unique("c"), unique("t/")
		p := b.connect(t, v5, kept(id))
		p.publish(topic, "x", 0, topicAlias(1))
		p.leave(b)
		p = b.connect(t, v5, kept(id))
		p.publish("", "x", 0, topicAlias(1))
		p.wantEnd(0x82)
	})
	t.Run("v5 [MQTT-3.1.2-27] none to who sets no maximum", func(t *testing.T) {
		for _, props := range [][]prop{nil, {topicAliasMaximum(0)}} {
			topic := unique("t/")
			c, p := b.connect(t, v5, with(props...)), b.connect(t, v5)
			c.subscribe(filter{topic, 0})
			for range 3 {
				p.publish(topic, "x", 0)
				c.want(message(topic, "x", 0, 0))
			}
		}
	})
	t.Run("v5 [MQTT-3.1.2-26] [MQTT-3.3.2-11] within the client's maximum", func(t *testing.T) {
		id, root := unique("c"), unique("t")
		p := b.connect(t, v5)
		for range 2 { // the second connection knows nothing of the first one's
			c := b.connect(t, v5, kept(id), with(topicAliasMaximum(2)))
			c.subscribe(filter{root + "/#", 0})
			known := map[string]string{}
			for i := range 12 {
				topic := root + "/" + number(i%4)
				p.publish(topic, "x", 0)
				got := c.read()
				alias, has := got.find(0x23)
				if has && (alias < u16(1) || alias > u16(2)) {
					t.Fatalf("got %v", got)
				}
				switch {
				case got.topic == topic && has:
					known[alias] = topic
				case got.topic == topic:
				case got.topic == "" && has && known[alias] == topic:
				default:
					t.Fatalf("got %v, want topic %s", got, topic)
				}
			}
			if len(known) == 0 {
				t.Error("no alias was used")
			}
			c.leave(b)
		}
	})
}
