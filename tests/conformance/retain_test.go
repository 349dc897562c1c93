package conformance

import (
	"testing"
	"time"

	"ermine/actors/router"
	"ermine/actors/session"
	"ermine/tests/conformance/brokertest"
)

// TestRetain: the last message of each topic.
func TestRetain(t *testing.T) {
	t.Parallel()
	b := start(t)
	each(t, "v3.1.1 [MQTT-3.3.1-5] [MQTT-3.3.1-6] [MQTT-3.3.1-8] [MQTT-3.3.1-12] stored", "v5 [MQTT-3.3.1-5] [MQTT-3.3.1-8] [MQTT-3.3.1-9] stored",
		func(t *testing.T, version byte) {
			topic := unique("t/")
			p := b.connect(t, version)
			p.publish(topic, "first", qos1|retain)
			p.publish(topic, "last", qos2|retain)
			p.publish(topic, "passing", qos1)
			for granted, sent := range []byte{0, qos1, qos2} {
				c := b.connect(t, version)
				c.subscribe(filter{topic, byte(granted)})
				id := uint16(0)
				if granted > 0 {
					id = 1
				}
				c.want(message(topic, "last", sent|retain, id))
				c.quiet()
			}
		})
	each(t, "v3.1.1 [MQTT-3.3.1-7] a QoS 0 one replaces the one before", "v5 [MQTT-3.3.1-5] a QoS 0 one replaces the one before",
		func(t *testing.T, version byte) {
			topic := unique("t/")
			p := b.connect(t, version)
			p.publish(topic, "first", qos1|retain)
			p.publish(topic, "last", retain)
			p.quiet()
			c := b.connect(t, version)
			until(t, "it is stored", func() bool { m := b.Retained().Get(topic); return m != nil && string(m.Payload) == "last" })
			c.subscribe(filter{topic, 1})
			c.want(message(topic, "last", retain, 0))
		})
	each(t, "v3.1.1 [MQTT-3.3.1-9] retain is 0 for established subscriptions", "v5 [MQTT-3.3.1-12] retain as published 0",
		func(t *testing.T, version byte) {
			topic := unique("t/")
			c := b.connect(t, version)
			c.subscribe(filter{topic, 0})
			b.connect(t, version).publish(topic, "x", retain|qos1)
			c.want(message(topic, "x", 0, 0))
		})
	each(t, "v3.1.1 [MQTT-3.3.1-10] [MQTT-3.3.1-11] an empty one removes it", "v5 [MQTT-3.3.1-6] [MQTT-3.3.1-7] an empty one removes it",
		func(t *testing.T, version byte) {
			topic := unique("t/")
			c, p := b.connect(t, version), b.connect(t, version)
			p.publish(topic, "x", qos1|retain)
			c.subscribe(filter{topic, 1})
			c.receive(topic, "x")
			p.publish(topic, "", qos1|retain)
			c.receive(topic, "")
			late := b.connect(t, version)
			late.subscribe(filter{topic, 1})
			b.marker(late, topic)
			if b.Retained().Get(topic) != nil {
				t.Error("the empty message is stored")
			}
		})
	both(t, "by wildcard", func(t *testing.T, version byte) {
		root := unique("t")
		p := b.connect(t, version)
		want := map[string]bool{}
		for i := range 30 {
			p.publish(root+"/"+number(i), number(i), qos1|retain)
			want[number(i)] = true
		}
		c := b.connect(t, version)
		c.subscribe(filter{root + "/#", 1})
		for range 30 {
			got := c.read()
			if got.topic != root+"/"+got.payload || got.flags&retain == 0 || !want[got.payload] {
				t.Fatalf("got %v", got)
			}
			delete(want, got.payload)
			c.put(ack(tPuback, got.id))
		}
		c.quiet()
	})
	t.Run("v5 [MQTT-3.3.1-13] retain as published 1", func(t *testing.T) {
		topic := unique("t/")
		c, p := b.connect(t, v5), b.connect(t, v5)
		c.subscribe(filter{topic, retainAsPublished})
		p.publish(topic, "x", retain)
		p.publish(topic, "y", 0)
		c.want(message(topic, "x", retain, 0), message(topic, "y", 0, 0))
	})
	t.Run("v5 [MQTT-3.3.1-10] [MQTT-3.3.1-11] retain handling", func(t *testing.T) {
		topic := unique("t/")
		b.connect(t, v5).publish(topic, "x", qos1|retain)
		b.connect(t, v5).publish(topic+"/last", "x", qos1|retain)
		for _, tc := range []struct {
			name          string
			options       byte
			first, second bool
		}{
			{"0", 0, true, true},
			{"1", handling1, true, false},
			{"2", handling2, false, false},
		} {
			c := b.connect(t, v5)
			for i, want := range []bool{tc.first, tc.second} {
				c.subscribe(filter{topic, tc.options})
				if want {
					c.want(message(topic, "x", retain, 0))
				}
				// The store answers in order: this one's comes last.
				c.subscribe(filter{topic + "/last", 0})
				if got := c.read(); got.topic != topic+"/last" {
					t.Errorf("retain handling %s, subscription %d: got %v", tc.name, i+1, got)
				}
			}
		}
	})
	t.Run("v5 retain handling 1 for a session that is resumed", func(t *testing.T) {
		topic := unique("t/")
		b.connect(t, v5).publish(topic, "x", qos1|retain)
		c := b.connect(t, v5, kept(unique("c")))
		c.subscribe(filter{topic, handling1})
		c.want(message(topic, "x", retain, 0))
		c.leave(b)
		c = b.connect(t, v5, kept(c.id))
		c.subscribe(filter{topic, handling1})
		b.marker(c, topic)
	})
	t.Run("v5 none for shared subscriptions", func(t *testing.T) {
		topic := unique("t/")
		b.connect(t, v5).publish(topic, "x", qos1|retain)
		c := b.connect(t, v5)
		c.subscribe(filter{"$share/g/" + topic, 1})
		b.marker(c, topic)
	})
	t.Run("v5 with all properties", func(t *testing.T) {
		topic := unique("t/")
		props := []prop{contentType("c"), responseTopic("r"), correlationData("d"), userProperty("k", "1"), userProperty("k", "2"), payloadFormat(1)}
		b.connect(t, v5).publish(topic, "x", qos1|retain, props...)
		c := b.connect(t, v5)
		c.subscribeWith([]prop{subscriptionID(5)}, filter{topic, 0})
		c.want(message(topic, "x", retain, 0, append(props, subscriptionID(5))...))
	})
}

// TestRetainBehindSuback: the store is asked for a new subscription before
// SUBACK leaves, else what the client publishes then would come twice.
func TestRetainBehindSuback(t *testing.T) {
	t.Parallel()
	const topic = "behind/suback"
	stored := make(chan struct{})
	b := start(t, func(c *brokertest.Config) {
		// On the session's process, before the store is asked: long enough for a
		// SUBACK that has left already to be followed by the message.
		c.Broker.Events.Subscribed = func(*session.Client, *router.Subscription) {
			timer := time.NewTimer(200 * time.Millisecond)
			defer timer.Stop()
			select {
			case <-stored:
			case <-timer.C:
			}
		}
	})
	b.connect(t, v5).publish("other", "x", qos1|retain) // an empty store would not be asked
	c := b.connect(t, v5)
	c.put(packet{kind: tSubscribe, flags: 2, id: 1, filters: []filter{{topic, 1}}})
	c.want(packet{kind: tSuback, id: 1, codes: []byte{1}})
	c.put(message(topic, "x", qos1|retain, 2))
	until(t, "it is stored", func() bool { return b.Retained().Get(topic) != nil })
	close(stored)
	c.wantAnswer(ack(tPuback, 2))
	c.want(message(topic, "x", qos1, 1))
	c.subscribe(filter{topic, 1}) // whatever the store was asked before comes before this
	c.want(message(topic, "x", qos1|retain, 2))
	c.quiet()
}
