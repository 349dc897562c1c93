package conformance

import (
	"strings"
	"testing"

	"ermine/tests/conformance/brokertest"
)

// TestSubscribe: SUBSCRIBE and its answer.
func TestSubscribe(t *testing.T) {
	t.Parallel()
	b := start(t)
	each(t, "v3.1.1 [MQTT-3.8.4-1] [MQTT-3.8.4-2] [MQTT-2.3.1-7] [MQTT-3.8.4-4] [MQTT-3.8.4-5] [MQTT-3.9.3-1] [MQTT-3.9.3-2] one answer",
		"v5 [MQTT-3.8.4-1] [MQTT-3.8.4-2] [MQTT-2.2.1-6] [MQTT-3.8.4-5] [MQTT-3.8.4-6] [MQTT-3.8.4-7] [MQTT-3.9.3-1] [MQTT-3.9.3-2] one answer",
		func(t *testing.T, version byte) {
			c, root := b.connect(t, version), unique("t")
			for _, id := range []uint16{1, 65535, 256} {
				c.put(packet{kind: tSubscribe, flags: 2, id: id, filters: []filter{
					{root + "/a", 2}, {root + "/#/b", 1}, {root + "/b", 0}, {"", 0}, {root + "/c", 1}, {root + "+", 2},
				}})
				codes := []byte{2, 0x8F, 0, 0x8F, 1, 0x8F}
				if version != v5 {
					codes = []byte{2, 0x80, 0, 0x80, 1, 0x80}
				}
				c.want(packet{kind: tSuback, id: id, codes: codes})
			}
			p := b.connect(t, version)
			for _, leaf := range []string{"a", "b", "c"} {
				p.publish(root+"/"+leaf, leaf, qos2)
			}
			for i, leaf := range []string{"a", "b", "c"} {
				if got := c.receive(root+"/"+leaf, leaf); got.qos() != []byte{2, 0, 1}[i] {
					t.Errorf("got %v", got)
				}
			}
			c.quiet()
		})
	both(t, "v3.1.1 v5 refused filters leave the others alone", func(t *testing.T, version byte) {
		topic := unique("t/")
		c := b.connect(t, version)
		c.put(packet{kind: tSubscribe, flags: 2, id: 1, filters: []filter{{"a/b#", 0}, {topic, 1}}})
		if p := c.read(); p.kind != tSuback || len(p.codes) != 2 || p.codes[0] < 0x80 || p.codes[1] != 1 {
			t.Fatalf("got %v", p)
		}
		b.marker(c, topic)
	})
	each(t, "v3.1.1 [MQTT-3.8.4-6] the lower QoS", "v5 [MQTT-3.8.4-8] the lower QoS", func(t *testing.T, version byte) {
		root := unique("t")
		c, p := b.connect(t, version), b.connect(t, version)
		for granted := range byte(3) {
			topic := root + number(int(granted))
			c.subscribe(filter{topic, granted})
			for sent, flags := range []byte{0, qos1, qos2} {
				p.publish(topic, "x", flags)
				if got := c.receive(topic, "x"); got.qos() != min(granted, byte(sent)) {
					t.Errorf("granted %d, published %d: got %v", granted, sent, got)
				}
			}
		}
	})
	each(t, "v3.1.1 [MQTT-3.8.4-3] the same filter again", "v5 [MQTT-3.8.4-3] [MQTT-3.8.4-4] the same filter again",
		func(t *testing.T, version byte) {
			topic := unique("t/")
			c, p := b.connect(t, version), b.connect(t, version)
			p.publish(topic, "kept", qos1|retain)
			c.subscribe(filter{topic, 0})
			c.want(message(topic, "kept", retain, 0))
			c.subscribe(filter{topic, 1})
			c.receive(topic, "kept")
			p.publish(topic, "once", qos1)
			if got := c.receive(topic, "once"); got.qos() != 1 {
				t.Errorf("got %v, want QoS 1", got)
			}
			c.quiet()
		})
	both(t, "replacing a subscription loses no message", func(t *testing.T, version byte) {
		topic := unique("t/")
		c, p := b.connect(t, version), b.connect(t, version)
		c.subscribe(filter{topic, 2})
		const n = 200
		published := make(chan error, 1)
		go func() { published <- p.stream(topic, n) }()
		var r receiver
		for i := 0; i < n; {
			if i%20 == 10 {
				c.put(packet{kind: tSubscribe, flags: 2, id: 1000, filters: []filter{{topic, 2}}})
				i += r.until(c, i, packet{kind: tSuback, id: 1000, codes: []byte{2}})
			}
			if p, fresh := r.take(c); fresh {
				if p.payload != number(i) {
					t.Fatalf("got %v, want %s", p, number(i))
				}
				i++
			}
		}
		if err := <-published; err != nil {
			t.Fatal(err)
		}
		r.drain(c)
	})
	each(t, "v3.1.1 [MQTT-3.3.5-1] overlapping subscriptions", "v5 [MQTT-3.3.4-2] [MQTT-3.3.4-3] [MQTT-3.3.4-5] overlapping subscriptions, a copy each",
		func(t *testing.T, version byte) {
			root := unique("t")
			c, p := b.connect(t, version), b.connect(t, version)
			for i, f := range []string{root + "/a", root + "/+", root + "/#"} {
				var props []prop
				if version == v5 {
					props = []prop{subscriptionID([]int{1, 200, 268435455}[i])}
				}
				c.subscribeWith(props, filter{f, byte(i)})
			}
			p.publish(root+"/a", "x", qos2)
			highest, ids := byte(0), map[string]byte{}
			for range 3 {
				got := c.receive(root+"/a", "x")
				highest = max(highest, got.qos())
				if id, ok := got.find(0x0B); ok {
					ids[id] = got.qos()
				}
			}
			if highest != 2 {
				t.Errorf("QoS %d at most", highest)
			}
			if version == v5 && (len(ids) != 3 || ids[varint(1)] != 0 || ids[varint(200)] != 1 || ids[varint(268435455)] != 2) {
				t.Errorf("QoS by subscription identifier: %v", ids)
			}
			c.quiet()
		})
	t.Run("v5 subscription identifier follows the last SUBSCRIBE", func(t *testing.T) {
		topic := unique("t/")
		c, p := b.connect(t, v5), b.connect(t, v5)
		for _, props := range [][]prop{{subscriptionID(7)}, {subscriptionID(8)}, nil} {
			c.subscribeWith(props, filter{topic, 0})
			p.publish(topic, "x", 0)
			c.want(message(topic, "x", 0, 0, props...))
		}
	})
	t.Run("v5 [MQTT-3.8.3-3] no local", func(t *testing.T) {
		topic := unique("t/")
		c, other := b.connect(t, v5), b.connect(t, v5)
		c.subscribe(filter{topic, noLocal | 1})
		c.put(message(topic, "own", qos1, 100))
		c.want(ack(tPuback, 100))
		other.publish(topic, "other", qos1)
		c.receive(topic, "other")
		c.subscribe(filter{topic, 1})
		c.put(message(topic, "own", qos1, 101))
		c.wantAnswer(ack(tPuback, 101))
		c.receive(topic, "own")
	})
	both(t, "filters with wildcards are supported", func(t *testing.T, version byte) {
		c := b.connect(t, version)
		c.subscribe(filter{unique("t") + "/+/#", 0})
	})
	t.Run("v5 [MQTT-3.9.2-1] [MQTT-3.9.2-2] [MQTT-3.11.2-1] [MQTT-3.11.2-2] within the maximum packet size", func(t *testing.T) {
		c := b.connect(t, v5, with(maximumPacketSize(30)))
		var filters []filter
		var codes []byte
		for range 25 { // the SUBACK and UNSUBACK fill the 30 bytes
			filters, codes = append(filters, filter{"a/#/b", 0}), append(codes, 0x8F)
		}
		c.put(packet{kind: tSubscribe, flags: 2, id: 1, filters: filters})
		c.want(packet{kind: tSuback, id: 1, codes: codes})
		for i := range codes {
			codes[i] = 0x11
		}
		c.put(packet{kind: tUnsubscribe, flags: 2, id: 2, filters: filters})
		if got := c.read(); got.kind != tUnsuback || len(got.codes) != len(codes) || len(got.props) > 0 {
			t.Errorf("got %v", got)
		}
	})
	t.Run("v5 max_subscriptions", func(t *testing.T) {
		b := start(t, func(c *brokertest.Config) { c.Zone.Limits.MaxSubscriptions = 2 })
		c := b.connect(t, v5)
		c.put(packet{kind: tSubscribe, flags: 2, id: 1, filters: []filter{{"a", 0}, {"b", 0}, {"c", 0}}})
		c.want(packet{kind: tSuback, id: 1, codes: []byte{0, 0, 0x97}})
	})
}

// until takes part in deliveries, beginning with message i, until the broker
// sends what is given; it returns how many messages were new.
func (r *receiver) until(c *client, i int, want packet) int {
	c.t.Helper()
	for n := 0; ; {
		p := c.read()
		if p.String() == want.String() {
			return n
		}
		c.early = append([]packet{p}, c.early...)
		if p, fresh := r.take(c); fresh {
			if p.payload != number(i+n) {
				c.t.Fatalf("got %v, want %s", p, number(i+n))
			}
			n++
		}
	}
}

// TestUnsubscribe: UNSUBSCRIBE and its answer.
func TestUnsubscribe(t *testing.T) {
	t.Parallel()
	b := start(t)
	each(t, "v3.1.1 [MQTT-3.10.4-1] [MQTT-3.10.4-2] [MQTT-3.10.4-4] [MQTT-3.10.4-5] [MQTT-3.10.4-6] ended",
		"v5 [MQTT-3.10.4-1] [MQTT-3.10.4-2] [MQTT-3.10.4-4] [MQTT-3.10.4-5] [MQTT-3.10.4-6] [MQTT-3.11.3-1] [MQTT-3.11.3-2] ended",
		func(t *testing.T, version byte) {
			root := unique("t")
			c, p := b.connect(t, version), b.connect(t, version)
			c.subscribe(filter{root + "/a", 1}, filter{root + "/+", 1}, filter{root + "/B", 1})
			p.publish(root+"/a", "twice", qos1)
			c.receive(root+"/a", "twice")
			c.receive(root+"/a", "twice")
			c.put(packet{kind: tUnsubscribe, flags: 2, id: 500, filters: []filter{{name: root + "/#"}, {name: root + "/+"}, {name: root + "/b"}}})
			codes := []byte{0x11, 0, 0x11}
			if version != v5 {
				codes = nil
			}
			c.want(packet{kind: tUnsuback, id: 500, codes: codes})
			p.publish(root+"/a", "once", qos1)
			p.publish(root+"/b", "never", qos1)
			p.publish(root+"/B", "once", qos1)
			c.receive(root+"/a", "once")
			c.receive(root+"/B", "once")
			c.quiet()
		})
	both(t, "v3.1.1 v5 [MQTT-3.10.4-3] deliveries begun are completed", func(t *testing.T, version byte) {
		topic := unique("t/")
		c, p := b.connect(t, version, kept(unique("c"))), b.connect(t, version)
		c.subscribe(filter{topic, 2})
		p.publish(topic, "1", qos1)
		p.publish(topic, "2", qos2)
		c.want(message(topic, "1", qos1, 1), message(topic, "2", qos2, 2))
		c.put(packet{kind: tUnsubscribe, flags: 2, id: 9, filters: []filter{{name: topic}}})
		if got := c.read(); got.kind != tUnsuback {
			t.Fatalf("got %v", got)
		}
		c.put(ack(tPubrec, 2))
		c.want(ack(tPubrel, 2))
		c.drop(b)
		c = b.connect(t, version, kept(c.id))
		c.inAnyOrder(message(topic, "1", qos1|dup, 1), ack(tPubrel, 2))
		c.put(ack(tPuback, 1), ack(tPubcomp, 2))
		c.quiet()
	})
}

// inAnyOrder reads these packets.
func (c *client) inAnyOrder(packets ...packet) {
	c.t.Helper()
	due := map[string]bool{}
	for _, p := range packets {
		due[p.String()] = true
	}
	for range packets {
		if p := c.read(); due[p.String()] {
			delete(due, p.String())
		} else {
			c.t.Fatalf("got %v, want one of %v", p, due)
		}
	}
}

// TestSubscribeRefused: a SUBSCRIBE or UNSUBSCRIBE that must not be.
func TestSubscribeRefused(t *testing.T) {
	t.Parallel()
	b := start(t)
	const sub, unsub = tSubscribe<<4 | 2, tUnsubscribe<<4 | 2
	for _, tc := range []struct {
		on3, on5 string
		what     string
		first    byte
		id       string
		props    string
		tail     string
		code     byte
	}{
		{"v3.1.1 [MQTT-3.8.1-1] [MQTT-2.2.2-1]", "v5 [MQTT-3.8.1-1] [MQTT-2.1.3-1]", "SUBSCRIBE with flags 0", sub &^ 2, u16(1), "\x00", str("a") + "\x00", 0x81},
		{"v3.1.1 [MQTT-3.8.1-1] [MQTT-2.2.2-2]", "v5 [MQTT-3.8.1-1]", "SUBSCRIBE with all flags", sub | 0x0f, u16(1), "\x00", str("a") + "\x00", 0x81},
		{"v3.1.1 [MQTT-2.3.1-1]", "v5 [MQTT-2.2.1-3]", "SUBSCRIBE with packet identifier 0", sub, u16(0), "\x00", str("a") + "\x00", 0x82},
		{"v3.1.1 [MQTT-3.8.3-3]", "v5 [MQTT-3.8.3-2]", "SUBSCRIBE without a filter", sub, u16(1), "\x00", "", 0x82},
		{"v3.1.1 [MQTT-3.8.3-1]", "v5 [MQTT-3.8.3-1]", "filter not UTF-8", sub, u16(1), "\x00", str("a\xff") + "\x00", 0x81},
		{"v3.1.1 [MQTT-4.7.3-2]", "v5 [MQTT-4.7.3-2]", "filter with U+0000", sub, u16(1), "\x00", str("a\x00") + "\x00", 0x81},
		{"v3.1.1 [MQTT-3.8.3-4]", "v5", "QoS 3", sub, u16(1), "\x00", str("a") + "\x03", 0x81},
		{"v3.1.1 [MQTT-3.8.3-4]", "v5 [MQTT-3.8.3-5]", "reserved bits of the options", sub, u16(1), "\x00", str("a") + "\x40", 0x81},
		{"v3.1.1 [MQTT-3.8.3-4]", "", "options of version 5", sub, u16(1), "", str("a") + "\x04", 0},
		{"", "v5", "retain handling 3", sub, u16(1), "\x00", str("a") + "\x30", 0x82},
		{"", "v5 [MQTT-3.8.3-4]", "no local on a shared subscription", sub, u16(1), "\x00", str("$share/g/a") + "\x04", 0x82},
		{"", "v5", "subscription identifier 0", sub, u16(1), "\x02\x0b\x00", str("a") + "\x00", 0x82},
		{"", "v5", "two subscription identifiers", sub, u16(1), "\x04\x0b\x01\x0b\x02", str("a") + "\x00", 0x82},
		{"", "v5", "property of another packet", sub, u16(1), encodeProps([]prop{topicAlias(1)}), str("a") + "\x00", 0x81},
		{"v3.1.1", "v5", "filter without options", sub, u16(1), "\x00", str("a"), 0x81},
		{"v3.1.1", "v5", "filter longer than the packet", sub, u16(1), "\x00", u16(7) + "a", 0x81},
		{"v3.1.1", "v5", "SUBSCRIBE of nothing", sub, "", "", "", 0x81},
		{"v3.1.1 [MQTT-3.10.1-1]", "v5 [MQTT-3.10.1-1]", "UNSUBSCRIBE with flags 0", unsub &^ 2, u16(1), "\x00", str("a"), 0x81},
		{"v3.1.1 [MQTT-3.10.3-1]", "v5 [MQTT-3.10.3-1]", "UNSUBSCRIBE filter not UTF-8", unsub, u16(1), "\x00", str("\xf8"), 0x81},
		{"v3.1.1 [MQTT-3.10.3-2]", "v5 [MQTT-3.10.3-2]", "UNSUBSCRIBE without a filter", unsub, u16(1), "\x00", "", 0x82},
		{"v3.1.1 [MQTT-2.3.1-1]", "v5 [MQTT-2.2.1-3]", "UNSUBSCRIBE with packet identifier 0", unsub, u16(0), "\x00", str("a"), 0x82},
		{"", "v5", "UNSUBSCRIBE with a property of another packet", unsub, u16(1), "\x02\x0b\x01", str("a"), 0x81},
		{"v3.1.1", "v5", "UNSUBSCRIBE filter cut short", unsub, u16(1), "\x00", u16(2) + "a", 0x81},
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
				c.send(frame(tc.first, tc.id, props, tc.tail))
				c.wantEnd(tc.code)
			})
		}
	}
}

// TestTopics: which filters match which names.
func TestTopics(t *testing.T) {
	t.Parallel()
	b := start(t)
	for _, tc := range []struct {
		on3, on5 string
		filter   string
		matches  []string
		not      []string
	}{
		{
			"v3.1.1 [MQTT-4.7.1-2]", "v5 [MQTT-4.7.1-1]", "sport/tennis/player1/#",
			[]string{"sport/tennis/player1", "sport/tennis/player1/ranking", "sport/tennis/player1/score/wimbledon", "sport/tennis/player1/"},
			[]string{"sport/tennis", "sport/tennis/player10"},
		},
		{
			"v3.1.1 [MQTT-4.7.1-3]", "v5 [MQTT-4.7.1-2]", "sport/tennis/+",
			[]string{"sport/tennis/player1", "sport/tennis/"},
			[]string{"sport/tennis", "sport/tennis/player1/ranking"},
		},
		{"v3.1.1 [MQTT-4.7.1-3]", "v5 [MQTT-4.7.1-2]", "+/+", []string{"/finance", "a/b", "/"}, []string{"finance", "a/b/c"}},
		{"v3.1.1 [MQTT-4.7.1-3]", "v5 [MQTT-4.7.1-2]", "/+", []string{"/finance", "/"}, []string{"finance", "a/finance"}},
		{"v3.1.1", "v5", "+/tennis/#", []string{"sport/tennis", "sport/tennis/x/y", "/tennis"}, []string{"tennis", "a/b/tennis"}},
		{"v3.1.1 [MQTT-4.7.2-1]", "v5 [MQTT-4.7.2-1]", "#", []string{"a", "/", "a/$b", "äöü"}, []string{"$a", "$a/b", "$"}},
		{"v3.1.1 [MQTT-4.7.2-1]", "v5 [MQTT-4.7.2-1]", "+/monitor/Clients", []string{"a/monitor/Clients"}, []string{"$SYS/monitor/Clients", "$a/monitor/Clients"}},
		{"v3.1.1 [MQTT-4.7.2-1]", "v5 [MQTT-4.7.2-1]", "$a/#", []string{"$a/b", "$a"}, []string{"a/b", "a"}},
		{"v3.1.1 [MQTT-4.7.3-4]", "v5 [MQTT-4.7.3-4]", "Å/x", []string{"Å/x"}, []string{"A\u030a/x", "\u212b/x", "å/x"}},
		{"v3.1.1 [MQTT-4.7.3-4]", "v5 [MQTT-4.7.3-4]", "ACCOUNTS", []string{"ACCOUNTS"}, []string{"accounts", "Accounts", "ACCOUNTS/", "/ACCOUNTS", "ACCOUNTS "}},
		{"v3.1.1 [MQTT-1.5.3-3]", "v5 [MQTT-1.5.4-3]", "a\ufeffb", []string{"a\ufeffb"}, []string{"ab"}},
	} {
		for version, ids := range map[byte]string{v311: tc.on3, v5: tc.on5} {
			t.Run(ids+" "+tc.filter, func(t *testing.T) {
				c := b.connect(t, version)
				c.subscribe(filter{tc.filter, 1})
				mark := unique("own/")
				c.subscribe(filter{mark, 1})
				p := b.connect(t, version)
				payload := unique("x")
				seen := map[string]bool{}
				for _, name := range append(tc.not, tc.matches...) {
					p.publish(name, payload, qos1)
				}
				p.publish(mark, "end", qos1)
				for {
					got := c.read()
					c.put(ack(tPuback, got.id))
					if got.topic == mark {
						break
					}
					if got.payload == payload { // others publish beside this test
						seen[got.topic] = true
					}
				}
				for _, name := range tc.matches {
					if !seen[name] {
						t.Errorf("no %q", name)
					}
					delete(seen, name)
				}
				for name := range seen {
					t.Errorf("got %q", name)
				}
			})
		}
	}
	for _, tc := range []struct {
		on3, on5 string
		filter   string
	}{
		{"v3.1.1 [MQTT-4.7.3-1]", "v5 [MQTT-4.7.3-1]", ""},
		{"v3.1.1 [MQTT-4.7.1-2]", "v5 [MQTT-4.7.1-1]", "sport/tennis#"},
		{"v3.1.1 [MQTT-4.7.1-2]", "v5 [MQTT-4.7.1-1]", "sport/tennis/#/ranking"},
		{"v3.1.1 [MQTT-4.7.1-2]", "v5 [MQTT-4.7.1-1]", "##"},
		{"v3.1.1 [MQTT-4.7.1-3]", "v5 [MQTT-4.7.1-2]", "sport+"},
		{"v3.1.1 [MQTT-4.7.1-3]", "v5 [MQTT-4.7.1-2]", "++/a"},
		{"v3.1.1", "v5 [MQTT-4.8.2-1]", "$share//a"},
		{"v3.1.1", "v5 [MQTT-4.8.2-2]", "$share/g"},
		{"v3.1.1", "v5 [MQTT-4.8.2-2]", "$share/g/"},
		{"v3.1.1", "v5 [MQTT-4.8.2-2]", "$share/g+/a"},
		{"v3.1.1", "v5 [MQTT-4.8.2-2]", "$share/#/a"},
		{"v3.1.1", "v5", "$queue/"},
	} {
		for version, ids := range map[byte]string{v311: tc.on3, v5: tc.on5} {
			t.Run(ids+" refuse "+tc.filter, func(t *testing.T) {
				c := b.connect(t, version)
				c.put(packet{kind: tSubscribe, flags: 2, id: 1, filters: []filter{{tc.filter, 0}}})
				code := byte(0x8F)
				if version != v5 {
					code = 0x80
				}
				c.want(packet{kind: tSuback, id: 1, codes: []byte{code}})
			})
		}
	}
	both(t, "v3.1.1 v5 [MQTT-4.7.3-3] topics of 65535 bytes", func(t *testing.T, version byte) {
		long := strings.Repeat("x", 65535)
		c := b.connect(t, version)
		c.subscribe(filter{long, 0})
		b.connect(t, version).publish(long, "y", 0)
		c.receive(long, "y")
	})
}
