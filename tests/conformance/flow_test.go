package conformance

import (
	"fmt"
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
