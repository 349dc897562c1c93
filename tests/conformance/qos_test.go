package conformance

import (
	"testing"
	"time"

	"ermine/tests/conformance/brokertest"
)

// TestQoSReceived: the broker as the receiver.
func TestQoSReceived(t *testing.T) {
	t.Parallel()
	b := start(t)
	each(t, "v3.1.1 [MQTT-4.3.2-2] [MQTT-2.3.1-6] QoS 1", "v5 [MQTT-4.3.2-4] [MQTT-4.3.2-5] [MQTT-2.2.1-5] QoS 1",
		func(t *testing.T, version byte) {
			topic := unique("t/")
			w, p := b.connect(t, version), b.connect(t, version)
			w.subscribe(filter{topic, 2})
			for i, flags := range []byte{qos1, qos1, qos1 | dup} {
				p.put(message(topic, number(i), flags, 77))
				p.want(ack(tPuback, 77))
				w.receive(topic, number(i)) // each is a new message, dup or not
			}
		})
	each(t, "v3.1.1 [MQTT-4.3.3-2] [MQTT-2.3.1-6] QoS 2", "v5 [MQTT-4.3.3-8] [MQTT-4.3.3-10] [MQTT-4.3.3-11] [MQTT-4.3.3-12] [MQTT-2.2.1-5] QoS 2",
		func(t *testing.T, version byte) {
			topic := unique("t/")
			w, p := b.connect(t, version), b.connect(t, version)
			w.subscribe(filter{topic, 1})
			for i := range 2 {
				p.put(message(topic, number(i), qos2, 88))
				p.want(ack(tPubrec, 88))
				for range 3 { // until PUBREL it is the same message
					p.put(message(topic, number(i), qos2|dup, 88))
					p.want(ack(tPubrec, 88))
				}
				p.put(ack(tPubrel, 88))
				p.want(ack(tPubcomp, 88))
				w.receive(topic, number(i))
			}
			w.quiet()
		})
	each(t, "v3.1.1 PUBREL of no message", "v5 [MQTT-3.7.2-1] PUBREL of no message gets 0x92", func(t *testing.T, version byte) {
		c := b.connect(t, version)
		c.put(ack(tPubrel, 5))
		want := ack(tPubcomp, 5, 0x92)
		if version != v5 {
			want.code = 0
		}
		if got := c.read().without(0x1F); got.String() != want.String() {
			t.Errorf("got %v, want %v", got, want)
		}
	})
	t.Run("v5 [MQTT-3.7.2-2] [MQTT-3.7.2-3] PUBCOMP without reason string and user properties", func(t *testing.T) {
		c := b.connect(t, v5, with(maximumPacketSize(25)))
		c.put(ack(tPubrel, 5))
		if p := c.read(); p.kind != tPubcomp || len(p.props) > 0 && len(p.encode(v5)) > 25 {
			t.Errorf("got %v", p)
		}
	})
	t.Run("v5 [MQTT-4.3.3-9] after a refusal the identifier means a new message", func(t *testing.T) {
		b := start(t, fenced)
		w, p := b.connect(t, v5), b.connect(t, v5)
		w.subscribe(filter{"#", 0})
		p.put(message("denied/t", "no", qos2, 9))
		if got := p.read(); got.kind != tPubrec || got.code != 0x87 {
			t.Fatalf("got %v", got)
		}
		p.put(message("t", "yes", qos2, 9))
		p.want(ack(tPubrec, 9))
		w.receive("t", "yes")
	})
	t.Run("v5 [MQTT-4.3.3-13] expiry does not cut the exchange short", func(t *testing.T) {
		b := start(t)
		p := b.connect(t, v5)
		p.put(message("t", "x", qos2, 9, messageExpiry(5)))
		p.want(ack(tPubrec, 9, 0x10))
		b.Clock.Advance(10 * time.Second)
		p.put(message("t", "x", qos2|dup, 9, messageExpiry(5)))
		p.want(ack(tPubrec, 9))
		p.put(ack(tPubrel, 9))
		p.want(ack(tPubcomp, 9))
	})
	both(t, "v3.1.1 v5 acknowledgements are in the order of the messages", func(t *testing.T, version byte) {
		root := unique("t")
		c, p := b.connect(t, version), b.connect(t, version)
		c.subscribe(filter{root + "/#", 2})
		var all []byte
		const n = 60
		for i := range uint16(n) {
			flags := []byte{qos1, qos2}[i%2]
			topic := root + "/" + number(int(i%7))
			if i%5 == 0 {
				topic = unique("nobody/")
			}
			all = append(all, message(topic, "x", flags|retain, 1000+i).encode(version)...)
		}
		p.send(all)
		for i := range uint16(n) {
			p.accepted([]byte{tPuback, tPubrec}[i%2], 1000+i)
		}
	})
}

// TestQoSReceivedAcrossConnections: QoS 2 from a publisher that comes and goes
// at every step of the exchange is delivered once.
func TestQoSReceivedAcrossConnections(t *testing.T) {
	t.Parallel()
	b := start(t)
	// What the publisher had done when its connection went.
	steps := []string{"PUBLISH sent", "PUBREC received", "PUBREL sent", "PUBCOMP received"}
	for step, name := range steps {
		for _, abrupt := range []bool{false, true} {
			how := " and left by takeover"
			if abrupt {
				how = " and dropped"
			}
			both(t, "v3.1.1 v5 exactly once: "+name+how, func(t *testing.T, version byte) {
				id, topic := unique("p"), unique("t/")
				w := b.connect(t, version)
				w.subscribe(filter{topic, 2})
				p := b.connect(t, version, kept(id))
				p.put(message(topic, "once", qos2, 33))
				if step >= 1 {
					p.want(ack(tPubrec, 33))
				}
				if step >= 2 {
					p.put(ack(tPubrel, 33))
				}
				if step >= 3 {
					p.want(ack(tPubcomp, 33))
				}
				if abrupt {
					p.drop(b)
				}
				p = b.connect(t, version, kept(id))
				if !p.connack.present {
					t.Fatal("the session is not present")
				}
				switch step {
				case 0: // whether it arrived is not known: again, with dup
					p.put(message(topic, "once", qos2|dup, 33))
					p.want(ack(tPubrec, 33))
					fallthrough
				case 1:
					p.put(ack(tPubrel, 33))
					p.want(ack(tPubcomp, 33))
				case 2: // likewise, the PUBREL
					p.put(ack(tPubrel, 33))
					if got := p.read(); got.kind != tPubcomp || got.id != 33 {
						t.Errorf("got %v", got)
					}
				}
				w.receive(topic, "once")
				p.put(message(topic, "next", qos2, 33))
				p.want(ack(tPubrec, 33))
				w.receive(topic, "next")
				w.quiet()
			})
		}
	}
}

// TestQoSSent: the broker as the sender.
func TestQoSSent(t *testing.T) {
	t.Parallel()
	b := start(t)
	both(t, "v3.1.1 v5 [MQTT-4.3.1-1] QoS 0", func(t *testing.T, version byte) {
		topic := unique("t/")
		c, p := b.connect(t, version), b.connect(t, version)
		c.subscribe(filter{topic, 0})
		p.publish(topic, "x", qos2|dup)
		c.want(message(topic, "x", 0, 0))
	})
	t.Run("v3.1.1 [MQTT-2.3.1-5] QoS 0 has no packet identifier", func(t *testing.T) {
		topic := unique("t/")
		c := b.connect(t, v311)
		c.subscribe(filter{topic, 1})
		c.send(frame(tPublish<<4, str(topic), "\x00\x01x")) // what would be one is payload
		c.want(message(topic, "\x00\x01x", 0, 0))
	})
	t.Run("v5 [MQTT-2.2.1-2] QoS 0 has no packet identifier", func(t *testing.T) {
		topic := unique("t/")
		c := b.connect(t, v5)
		c.subscribe(filter{topic, 1})
		c.send(frame(tPublish<<4, str(topic), "\x00", "\x00\x01x"))
		c.want(message(topic, "\x00\x01x", 0, 0))
	})
	each(t, "v3.1.1 [MQTT-4.3.2-1] [MQTT-2.3.1-4] QoS 1", "v5 [MQTT-4.3.2-1] [MQTT-4.3.2-2] [MQTT-4.3.2-3] [MQTT-2.2.1-4] QoS 1",
		func(t *testing.T, version byte) {
			topic := unique("t/")
			c, p := b.connect(t, version, kept(unique("c"))), b.connect(t, version)
			c.subscribe(filter{topic, 1})
			used := map[uint16]bool{}
			for i := range 20 {
				p.publish(topic, number(i), qos1)
				got := c.read()
				if got.payload != number(i) || got.qos() != 1 || got.flags&dup != 0 || used[got.id] {
					t.Fatalf("got %v, with %v unacknowledged", got, used)
				}
				if i%2 == 0 {
					c.put(ack(tPuback, got.id))
				} else {
					used[got.id] = true
				}
			}
			c.drop(b)
			c = b.connect(t, version, kept(c.id))
			for i := 1; i < 20; i += 2 { // kept until acknowledged
				got := c.read()
				if got.payload != number(i) || got.flags&dup == 0 || !used[got.id] {
					t.Fatalf("got %v, want %s again", got, number(i))
				}
			}
			c.quiet()
		})
	each(t, "v3.1.1 [MQTT-4.3.3-1] [MQTT-2.3.1-4] [MQTT-2.3.1-6] QoS 2",
		"v5 [MQTT-4.3.3-1] [MQTT-4.3.3-2] [MQTT-4.3.3-4] [MQTT-2.2.1-4] [MQTT-2.2.1-5] [MQTT-3.6.2-1] QoS 2",
		func(t *testing.T, version byte) {
			topic := unique("t/")
			c, p := b.connect(t, version), b.connect(t, version)
			c.subscribe(filter{topic, 2})
			p.publish(topic, "1", qos2)
			p.publish(topic, "2", qos2)
			c.want(message(topic, "1", qos2, 1), message(topic, "2", qos2, 2))
			c.put(ack(tPubrec, 2))
			c.want(ack(tPubrel, 2))
			p.publish(topic, "3", qos2)
			c.want(message(topic, "3", qos2, 3)) // 1 and 2 are in use until PUBCOMP
			c.put(ack(tPubcomp, 2), ack(tPubrec, 1))
			c.want(ack(tPubrel, 1))
			c.put(ack(tPubcomp, 1))
			c.quiet()
		})
	each(t, "v3.1.1 [MQTT-4.4.0-1] [MQTT-3.3.1-1] at every step of QoS 2",
		"v5 [MQTT-4.4.0-1] [MQTT-3.3.1-1] [MQTT-4.3.3-3] [MQTT-4.3.3-5] [MQTT-4.3.3-6] at every step of QoS 2",
		func(t *testing.T, version byte) {
			for step := range 4 {
				topic := unique("t/")
				c, p := b.connect(t, version, kept(unique("c"))), b.connect(t, version)
				c.subscribe(filter{topic, 2})
				p.publish(topic, "x", qos2)
				first := message(topic, "x", qos2, 1)
				c.want(first)
				if step >= 1 {
					c.put(ack(tPubrec, 1))
				}
				if step >= 2 {
					c.want(ack(tPubrel, 1))
				}
				if step >= 3 {
					c.put(ack(tPubcomp, 1))
					c.quiet()
				}
				if step == 1 {
					c.want(ack(tPubrel, 1)) // so that the broker has the PUBREC
				}
				for range 2 {
					c.drop(b)
					c = b.connect(t, version, kept(c.id))
					switch step {
					case 0:
						first.flags |= dup
						c.want(first)
					case 1, 2:
						c.want(ack(tPubrel, 1))
					}
					c.quiet()
				}
				if step == 0 {
					c.put(ack(tPubrec, 1))
					c.want(ack(tPubrel, 1))
				}
				if step < 3 {
					c.put(ack(tPubcomp, 1))
				}
				c.quiet()
				c.drop(b)
				b.connect(t, version, kept(c.id)).quiet()
			}
		})
	t.Run("v5 [MQTT-4.4.0-2] a refusal ends the delivery", func(t *testing.T) {
		topic := unique("t/")
		c, p := b.connect(t, v5, kept(unique("c"))), b.connect(t, v5)
		c.subscribe(filter{topic, 2})
		p.publish(topic, "1", qos1)
		p.publish(topic, "2", qos2)
		c.want(message(topic, "1", qos1, 1), message(topic, "2", qos2, 2))
		c.put(ack(tPuback, 1, 0x80), ack(tPubrec, 2, 0x97))
		c.quiet()
		b.marker(c, topic) // handled in order
		c.drop(b)
		b.connect(t, v5, kept(c.id)).quiet()
	})
	t.Run("v5 [MQTT-4.3.3-7] no expiry after the first PUBLISH", func(t *testing.T) {
		b := start(t)
		c, p := b.connect(t, v5, kept(unique("c"))), b.connect(t, v5)
		c.subscribe(filter{"t", 2})
		p.publish("t", "1", qos1, messageExpiry(5))
		p.publish("t", "2", qos2, messageExpiry(5))
		c.read()
		c.read()
		c.drop(b)
		b.Clock.Advance(10 * time.Second)
		c = b.connect(t, v5, kept(c.id))
		c.receive("t", "1")
		c.receive("t", "2")
	})
	t.Run("v5 [MQTT-4.4.0-1] nothing is sent again while connected", func(t *testing.T) {
		b := start(t, func(c *brokertest.Config) { c.Zone.Limits.RetryInterval = 100 * time.Millisecond })
		c, old, p := b.connect(t, v5), b.connect(t, v311), b.connect(t, v5)
		c.subscribe(filter{"t", 1})
		old.subscribe(filter{"t", 1})
		p.publish("t", "x", qos1)
		c.want(message("t", "x", qos1, 1))
		old.want(message("t", "x", qos1, 1))
		old.want(message("t", "x", qos1|dup, 1)) // the older standard does not forbid it
		old.want(message("t", "x", qos1|dup, 1))
		c.quiet()
	})
	t.Run("v5 [MQTT-3.6.2-2] [MQTT-3.6.2-3] PUBREL for a PUBREC of no message", func(t *testing.T) {
		for _, props := range [][]prop{nil, {maximumPacketSize(24)}} {
			c := b.connect(t, v5, with(props...))
			c.put(ack(tPubrec, 99))
			p := c.read()
			if p.kind != tPubrel || p.id != 99 || p.code != 0x92 {
				t.Errorf("got %v", p)
			}
			if _, reason := p.find(0x1F); len(props) > 0 && (reason || len(p.props) > 0) {
				t.Errorf("got %v", p)
			}
		}
	})
	both(t, "acknowledgements of no message are passed over", func(t *testing.T, version byte) {
		c := b.connect(t, version)
		c.put(ack(tPuback, 99), ack(tPubcomp, 99))
		c.quiet()
		topic := unique("t/")
		c.subscribe(filter{topic, 2})
		p := b.connect(t, version)
		p.publish(topic, "x", qos2)
		c.want(message(topic, "x", qos2, 1))
		c.put(ack(tPuback, 1), ack(tPubcomp, 1)) // of the wrong kind
		c.put(ack(tPubrec, 1))
		c.want(ack(tPubrel, 1))
	})
}

// TestOrder: what one publisher sends on one topic at one QoS arrives in order.
func TestOrder(t *testing.T) {
	t.Parallel()
	b := start(t)
	each(t, "v3.1.1 [MQTT-4.6.0-5] [MQTT-4.6.0-6] every topic is ordered", "v5 [MQTT-4.6.0-5] [MQTT-4.6.0-6] every topic is ordered",
		func(t *testing.T, version byte) {
			root := unique("t")
			const publishers, n = 3, 300
			c := b.connect(t, version)
			c.subscribe(filter{root + "/#", 2})
			done := make(chan error, publishers)
			for i := range publishers {
				p := b.connect(t, version)
				go func() { done <- p.burst(root+"/"+number(i), n) }()
			}
			var next [publishers][3]int
			var r receiver
			for got := 0; got < publishers*n; {
				p := c.read()
				if p.kind == tPublish && p.qos() < 2 {
					if p.qos() == 1 {
						c.put(ack(tPuback, p.id))
					}
				} else {
					c.early = append([]packet{p}, c.early...)
					var fresh bool
					if p, fresh = r.take(c); !fresh {
						continue
					}
				}
				i := int(p.topic[len(p.topic)-1] - '0')
				want := 3*next[i][p.qos()] + int(p.qos())
				if p.payload != number(want) {
					t.Fatalf("got %v, want %s", p, number(want))
				}
				next[i][p.qos()]++
				got++
			}
			for range publishers {
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
			r.drain(c)
		})
}
