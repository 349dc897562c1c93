package conformance

import (
	"fmt"
	"testing"

	"ermine/tests/conformance/brokertest"
)

func number(i int) string { return fmt.Sprintf("%06d", i) }

// stream publishes n numbered messages at QoS 2, one at a time; it may run
// beside the test.
func (c *client) stream(topic string, n int) error {
	for i := range n {
		p := message(topic, number(i), qos2, c.nextID())
		if err := c.trySend(p.encode(c.version)); err != nil {
			return err
		}
		for _, step := range []struct{ got, answer byte }{{tPubrec, tPubrel}, {tPubcomp, 0}} {
			got, err := c.next()
			if err != nil {
				return err
			}
			if got.kind != step.got || got.id != p.id || got.code != 0 {
				return fmt.Errorf("message %d: got %v, want %s id %d", i, got, typeNames[step.got], p.id)
			}
			if step.answer != 0 {
				if err := c.trySend(ack(step.answer, p.id).encode(c.version)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// receiver is the receiving half of QoS 2 in a client: it belongs to the
// session, not to a connection.
type receiver struct{ held map[uint16]bool }

// take takes part in one step: a message, a message again whose PUBREC was
// lost, or a PUBREL. It reports true for a message that is new.
func (r *receiver) take(c *client) (p packet, fresh bool) {
	c.t.Helper()
	p = c.read()
	switch p.kind {
	case tPubrel:
		delete(r.held, p.id)
		c.put(ack(tPubcomp, p.id))
		return p, false
	case tPublish:
		if p.qos() != 2 {
			c.t.Fatalf("%s: got %v, want QoS 2", c.id, p)
		}
		again := r.held[p.id]
		if again && p.flags&dup == 0 {
			c.t.Fatalf("%s: got %v without dup, and have it already", c.id, p)
		}
		if r.held == nil {
			r.held = map[uint16]bool{}
		}
		r.held[p.id] = true
		c.put(ack(tPubrec, p.id))
		return p, !again
	}
	c.t.Fatalf("%s: got %v, want PUBLISH or PUBREL", c.id, p)
	return p, false
}

// drain completes what is under way until the broker has nothing more to send.
func (r *receiver) drain(c *client) {
	c.t.Helper()
	for len(r.held) > 0 {
		if p, fresh := r.take(c); fresh {
			c.t.Fatalf("%s: got %v on top", c.id, p)
		}
	}
	c.quiet()
}

// burst publishes n numbered messages at QoS 0, 1 and 2 in turn, without
// waiting for one to be acknowledged before the next; it may run beside the
// test.
func (c *client) burst(topic string, n int) error {
	go func() {
		for i := range n {
			p := message(topic, number(i), byte(i%3)<<1, uint16(i+1))
			if c.trySend(p.encode(c.version)) != nil {
				return // the reader learns why
			}
		}
	}()
	for i := range n {
		if i%3 == 0 {
			continue
		}
		p, err := c.next()
		if err != nil {
			return err
		}
		if want := []byte{0, tPuback, tPubrec}[i%3]; p.kind != want || p.id != uint16(i+1) || p.code != 0 {
			return fmt.Errorf("got %v, want %s id %d", p, typeNames[want], i+1)
		}
	}
	return nil
}

// TestFlowControl: how many messages may be under way.
func TestFlowControl(t *testing.T) {
	t.Parallel()
	b := start(t)
	t.Run("v5 [MQTT-3.3.4-9] [MQTT-4.9.0-1] [MQTT-4.9.0-2] within the client's receive maximum", func(t *testing.T) {
		for _, limit := range []uint16{1, 2, 7} {
			topic := unique("t/")
			c, p := b.connect(t, v5, with(receiveMaximum(limit))), b.connect(t, v5)
			c.subscribe(filter{topic, 2})
			const n = 20
			for i := range n {
				p.publish(topic, number(i), []byte{qos1, qos2}[i%2])
			}
			var due []packet
			next := 0
			fill := func() {
				for len(due) < int(limit) && next < n {
					got := c.read()
					if got.payload != number(next) {
						t.Fatalf("got %v, want %s", got, number(next))
					}
					due, next = append(due, got), next+1
				}
				c.quiet() // not one more
			}
			fill()
			for len(due) > 0 {
				done := due[0]
				due = due[1:]
				if done.qos() == 1 {
					c.put(ack(tPuback, done.id))
				} else {
					c.put(ack(tPubrec, done.id))
					c.want(ack(tPubrel, done.id))
					c.quiet() // a place is free after PUBCOMP only
					c.put(ack(tPubcomp, done.id))
				}
				fill()
			}
			if next != n {
				t.Errorf("%d of %d messages came", next, n)
			}
		}
	})
	t.Run("v5 a refused QoS 2 message frees its place", func(t *testing.T) {
		topic := unique("t/")
		c, p := b.connect(t, v5, with(receiveMaximum(1))), b.connect(t, v5)
		c.subscribe(filter{topic, 2})
		p.publish(topic, "1", qos2)
		p.publish(topic, "2", qos2)
		c.want(message(topic, "1", qos2, 1))
		c.put(ack(tPubrec, 1, 0x80))
		c.receive(topic, "2")
	})
	t.Run("v5 [MQTT-3.3.4-10] [MQTT-4.9.0-3] all else goes on", func(t *testing.T) {
		topic := unique("t/")
		c, p := b.connect(t, v5, with(receiveMaximum(1))), b.connect(t, v5)
		c.subscribe(filter{topic, 1})
		p.publish(topic, "1", qos1)
		p.publish(topic, "2", qos1)
		c.want(message(topic, "1", qos1, 1))
		c.subscribe(filter{topic + "/other", 0})
		p.publish(topic+"/other", "QoS 0", 0)
		c.want(message(topic+"/other", "QoS 0", 0, 0))
		c.publish(unique("own/"), "x", qos2)
		c.put(packet{kind: tUnsubscribe, flags: 2, id: 50, filters: []filter{{name: topic + "/other"}}})
		c.want(packet{kind: tUnsuback, id: 50, codes: []byte{0}})
		c.quiet()
	})
	t.Run("v5 the quota begins anew with each connection", func(t *testing.T) {
		topic := unique("t/")
		c, p := b.connect(t, v5, kept(unique("c")), with(receiveMaximum(2))), b.connect(t, v5)
		c.subscribe(filter{topic, 1})
		for i := range 5 {
			p.publish(topic, number(i), qos1)
		}
		c.want(message(topic, number(0), qos1, 1), message(topic, number(1), qos1, 2))
		c.drop(b)
		c = b.connect(t, v5, kept(c.id), with(receiveMaximum(1)))
		c.want(message(topic, number(0), qos1|dup, 1))
		c.quiet()
		c.drop(b)
		c = b.connect(t, v5, kept(c.id))
		for i := range 5 {
			c.receive(topic, number(i))
		}
	})
	t.Run("v5 [MQTT-3.3.4-7] beyond the server's receive maximum", func(t *testing.T) {
		b := start(t, func(c *brokertest.Config) { c.Zone.Limits.ReceiveMaximum = 3 })
		c := b.connect(t, v5)
		if !c.connack.has(receiveMaximum(3)) {
			t.Errorf("got %v", c.connack)
		}
		for i := range uint16(3) {
			c.put(message("t", "x", qos2, i+1))
			c.want(ack(tPubrec, i+1, 0x10))
		}
		c.put(ack(tPubrel, 1))
		c.want(ack(tPubcomp, 1))
		c.put(message("t", "x", qos1, 9))
		c.want(ack(tPuback, 9, 0x10))
		c.put(message("t", "x", qos2, 4))
		c.want(ack(tPubrec, 4, 0x10))
		c.put(message("t", "x", qos2, 5))
		c.wantEnd(0x93)
	})
	t.Run("v5 max_awaiting_rel", func(t *testing.T) {
		b := start(t, func(c *brokertest.Config) { c.Zone.Limits.MaxAwaitingRel = 2 })
		c := b.connect(t, v5)
		for i := range uint16(2) {
			c.put(message("t", "x", qos2, i+1))
			c.want(ack(tPubrec, i+1, 0x10))
		}
		c.put(message("t", "x", qos2, 3))
		if got := c.read().without(0x1F); got.String() != ack(tPubrec, 3, 0x97).String() {
			t.Errorf("got %v", got)
		}
		c.quiet()
	})
}
