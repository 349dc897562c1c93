package conformance

import (
	"context"
	"testing"

	"ermine/actors/router"
	"ermine/tests/conformance/brokertest"
)

// TestShared: one member of a group gets a message.
func TestShared(t *testing.T) {
	t.Parallel()
	for _, strategy := range []router.Strategy{
		router.Random, router.RoundRobin, router.RoundRobinPerGroup, router.Sticky,
		router.Local, router.HashClientID, router.HashTopic,
	} {
		t.Run("v5 "+string(strategy), func(t *testing.T) {
			t.Parallel()
			b := start(t, func(c *brokertest.Config) {
				c.Broker.Strategy = func(string) router.Strategy { return strategy }
				c.Broker.InitialSticky = router.Random
			})
			const members, n = 3, 60
			got := make([]map[string]bool, members)
			var clients []*client
			for i := range members {
				c := b.connect(t, v5)
				c.subscribe(filter{"$share/g/t/+", 1})
				c.subscribe(filter{"end", 1})
				clients, got[i] = append(clients, c), map[string]bool{}
			}
			all := b.connect(t, v5)
			all.subscribe(filter{"t/#", 0})
			p := b.connect(t, v5)
			for i := range n {
				p.publish("t/"+number(i%10), number(i), qos1)
			}
			p.publish("end", "end", qos1)
			seen := map[string]int{}
			for i, c := range clients {
				for {
					m := c.read()
					c.put(ack(tPuback, m.id))
					if m.topic == "end" {
						break
					}
					seen[m.payload]++
					got[i][m.topic] = true
					got[i][m.payload] = true
				}
			}
			for i := range n {
				if seen[number(i)] != 1 {
					t.Errorf("message %d came %d times", i, seen[number(i)])
				}
				all.receive("t/"+number(i%10), number(i))
			}
			busy := 0
			for _, g := range got {
				if len(g) > 0 {
					busy++
				}
			}
			switch strategy {
			case router.RoundRobin, router.RoundRobinPerGroup:
				for i, g := range got {
					shares := 0
					for k := range g {
						if len(k) == 6 { // a payload
							shares++
						}
					}
					if shares != n/members {
						t.Errorf("member %d got %d of %d", i, shares, n)
					}
				}
			case router.Sticky, router.HashClientID:
				if busy != 1 {
					t.Errorf("%d members got messages of one publisher", busy)
				}
			case router.HashTopic:
				for i := range 10 {
					holders := 0
					for _, g := range got {
						if g["t/"+number(i)] {
							holders++
						}
					}
					if holders != 1 {
						t.Errorf("topic %d went to %d members", i, holders)
					}
				}
			case router.Random, router.Local:
				if busy < 2 { // once in 3^59 runs by chance
					t.Error("one member got everything")
				}
			}
		})
	}
	b := start(t)
	t.Run("v5 [MQTT-4.8.2-3] at the QoS that each member was granted", func(t *testing.T) {
		topic := unique("t/")
		p := b.connect(t, v5)
		var members [3]*client
		for qos := range byte(3) {
			members[qos] = b.connect(t, v5)
			members[qos].subscribe(filter{"$share/g/" + topic, qos})
		}
		for range 3 {
			p.publish(topic, "x", qos2)
		}
		for qos, c := range members { // round robin: one each
			if got := c.receive(topic, "x"); got.qos() != byte(qos) {
				t.Errorf("got %v, want QoS %d", got, qos)
			}
		}
	})
	both(t, "v3.1.1 v5 $queue is a group of its own", func(t *testing.T, version byte) {
		topic := unique("t/")
		one, two, other := b.connect(t, version), b.connect(t, version), b.connect(t, version)
		one.subscribe(filter{"$queue/" + topic, 1})
		two.subscribe(filter{"$queue/" + topic, 1})
		other.subscribe(filter{"$share/g/" + topic, 1})
		p := b.connect(t, version)
		p.publish(topic, "1", qos1)
		p.publish(topic, "2", qos1)
		other.receive(topic, "1")
		other.receive(topic, "2")
		a, z := one.read(), two.read()
		if a.payload == z.payload {
			t.Errorf("got %v and %v", a, z)
		}
		one.quiet()
		two.quiet()
	})
	t.Run("v5 [MQTT-4.8.2-5] what a QoS 2 member has begun goes to no other", func(t *testing.T) {
		topic := unique("t/")
		ends := b.connect(t, v5)
		ends.subscribe(filter{"$share/g/" + topic, 2})
		b.connect(t, v5).publish(topic, "begun", qos2)
		p := ends.read()
		ends.put(ack(tPubrec, p.id))
		ends.want(ack(tPubrel, p.id))
		stays := b.connect(t, v5)
		stays.subscribe(filter{"$share/g/" + topic, 2}, filter{topic + "/own", 1})
		ends.conn.Close()
		b.gone(t, ends.id)
		b.marker(stays, topic+"/own")
	})
	t.Run("v5 [MQTT-4.8.2-4] a QoS 2 delivery waits for its member", func(t *testing.T) {
		topic := unique("t/")
		one, two := b.connect(t, v5, kept(unique("c"))), b.connect(t, v5)
		one.subscribe(filter{"$share/g/" + topic, 2})
		b.connect(t, v5).publish(topic, "x", qos2)
		one.want(message(topic, "x", qos2, 1))
		two.subscribe(filter{"$share/g/" + topic, 2})
		one.drop(b)
		two.quiet()
		one = b.connect(t, v5, kept(one.id))
		one.want(message(topic, "x", qos2|dup, 1))
		one.put(ack(tPubrec, 1))
		one.want(ack(tPubrel, 1))
		one.put(ack(tPubcomp, 1))
		two.quiet()
	})
	t.Run("v5 [MQTT-4.8.2-6] a message that a member refuses goes to no other", func(t *testing.T) {
		topic := unique("t/")
		one := b.connect(t, v5)
		one.subscribe(filter{"$share/g/" + topic, 2})
		p := b.connect(t, v5)
		p.publish(topic, "1", qos1)
		p.publish(topic, "2", qos2)
		one.want(message(topic, "1", qos1, 1), message(topic, "2", qos2, 2))
		two := b.connect(t, v5)
		two.subscribe(filter{"$share/g/" + topic, 2}, filter{topic + "/own", 1})
		one.put(ack(tPuback, 1, 0x83), ack(tPubrec, 2, 0x83))
		one.quiet()
		one.put(packet{kind: tDisconnect})
		one.wantClosed()
		b.gone(t, one.id)
		b.marker(two, topic+"/own")
	})
	both(t, "what an ended member has not acknowledged goes to another", func(t *testing.T, version byte) {
		topic := unique("t/")
		one := b.connect(t, version)
		one.subscribe(filter{"$share/g/" + topic, 1})
		p := b.connect(t, version)
		const n = 50 // beyond the window of 32: the rest waits in the queue
		for i := range n {
			p.publish(topic, number(i), qos1)
		}
		first := one.read()
		one.put(ack(tPuback, first.id))
		one.quietly(33) // what the window lets through
		two := b.connect(t, version)
		two.subscribe(filter{"$share/g/" + topic, 1})
		one.conn.Close()
		for i := 1; i < n; i++ {
			two.receive(topic, number(i))
		}
		two.quiet()
	})
	t.Run("a member that is kicked passes its messages on", func(t *testing.T) {
		topic := unique("t/")
		one := b.connect(t, v5, kept(unique("c")))
		one.subscribe(filter{"$share/g/" + topic, 1})
		p := b.connect(t, v5)
		p.publish(topic, "x", qos1)
		one.read()
		two := b.connect(t, v5)
		two.subscribe(filter{"$share/g/" + topic, 1})
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if err := b.Kick(ctx, one.id); err != nil {
			t.Fatal(err)
		}
		two.receive(topic, "x")
	})
	both(t, "members that are online come first", func(t *testing.T, version byte) {
		topic := unique("t/")
		away, here := b.connect(t, version, kept(unique("c"))), b.connect(t, version)
		away.subscribe(filter{"$share/g/" + topic, 1})
		away.leave(b)
		here.subscribe(filter{"$share/g/" + topic, 1})
		p := b.connect(t, version)
		for i := range 10 {
			p.publish(topic, number(i), qos1)
			here.receive(topic, number(i))
		}
		here.leave(b)
		b.gone(t, here.id)
		p.publish(topic, "waits", qos1)
		away = b.connect(t, version, kept(away.id))
		away.receive(topic, "waits")
	})
	both(t, "unsubscribe leaves the group", func(t *testing.T, version byte) {
		topic := unique("t/")
		one, two := b.connect(t, version), b.connect(t, version)
		for _, c := range []*client{one, two} {
			c.subscribe(filter{"$share/g/" + topic, 1})
		}
		one.put(packet{kind: tUnsubscribe, flags: 2, id: 3, filters: []filter{{name: "$share/g/" + topic}}})
		if p := one.read(); p.kind != tUnsuback {
			t.Fatalf("got %v", p)
		}
		p := b.connect(t, version)
		for i := range 10 {
			p.publish(topic, number(i), qos1)
			two.receive(topic, number(i))
		}
		one.quiet()
	})
}

// quietly reads n packets, which may be anything, then nothing more.
func (c *client) quietly(n int) {
	c.t.Helper()
	for range n - 1 {
		c.read()
	}
	c.quiet()
}
