package conformance

import (
	"context"
	"errors"
	"testing"
	"time"

	"ermine/actors"
)

// TestSession: what is kept, for how long, and under what name.
func TestSession(t *testing.T) {
	t.Parallel()
	b := start(t)
	each(t, "v3.1.1 [MQTT-3.1.2-4] [MQTT-3.1.2-5] [MQTT-3.2.2-2] [MQTT-3.2.2-3] [MQTT-4.1.0-1] [MQTT-4.1.0-2] [MQTT-3.1.3-2] kept",
		"v5 [MQTT-3.1.2-5] [MQTT-3.1.2-6] [MQTT-3.1.2-23] [MQTT-3.2.2-3] [MQTT-3.1.4-4] [MQTT-3.1.3-2] [MQTT-4.1.0-1] kept",
		func(t *testing.T, version byte) {
			id, topic := unique("c"), unique("t/")
			c := b.connect(t, version, kept(id))
			if c.connack.present {
				t.Error("a new session is present")
			}
			c.subscribe(filter{topic, 2})
			c.leave(b)
			p := b.connect(t, version)
			p.publish(topic, "one", qos1)
			p.publish(topic, "two", qos2)
			other := b.connect(t, version, kept(unique("c")))
			if other.connack.present {
				t.Error("the session of another client is present")
			}
			c = b.connect(t, version, kept(id))
			if !c.connack.present {
				t.Error("the session is not present")
			}
			c.receive(topic, "one")
			c.receive(topic, "two")
			b.marker(c, topic)
			other.quiet()
		})
	each(t, "v3.1.1 [MQTT-3.1.2-6] [MQTT-3.1.4-3] [MQTT-3.2.2-1] clean session", "v5 [MQTT-3.1.2-4] [MQTT-3.1.4-4] [MQTT-3.2.2-2] clean start",
		func(t *testing.T, version byte) {
			id, topic := unique("c"), unique("t/")
			c := b.connect(t, version, kept(id))
			c.subscribe(filter{topic, 1}, filter{topic + "/after", 1})
			c.leave(b)
			p := b.connect(t, version)
			p.publish(topic, "lost", qos1)
			c = b.connect(t, version, named(id))
			if c.connack.present {
				t.Error("the session is present after a clean start")
			}
			p.publish(topic, "lost", qos1)
			c.quiet()
			c.subscribe(filter{topic + "/after", 1})
			c.leave(b)
			b.gone(t, id)
			p.publish(topic+"/after", "lost", qos1)
			c = b.connect(t, version, kept(id))
			if c.connack.present {
				t.Error("a session that ended with its connection is present")
			}
			c.quiet()
		})
	t.Run("v3.1.1 [MQTT-3.1.2-7] retained messages outlive the session", func(t *testing.T) {
		topic := unique("t/")
		p := b.connect(t, v311)
		p.publish(topic, "stays", qos1|retain)
		p.leave(b)
		b.gone(t, p.id)
		c := b.connect(t, v311)
		c.subscribe(filter{topic, 1})
		c.receive(topic, "stays")
	})
	t.Run("v5 [MQTT-3.1.2-23] [MQTT-4.1.0-2] the session expires", func(t *testing.T) {
		id, topic := unique("c"), unique("t/")
		c := b.connect(t, v5, named(id), with(sessionExpiry(100)))
		c.subscribe(filter{topic, 1})
		c.leave(b)
		b.Clock.Advance(99 * time.Second)
		c = b.connect(t, v5, named(id), func(c *connect) { c.clean = false }, with(sessionExpiry(100)))
		if !c.connack.present {
			t.Error("the session is not present in its time")
		}
		c.leave(b)
		b.Clock.Advance(101 * time.Second)
		c = b.connect(t, v5, kept(id))
		if c.connack.present {
			t.Error("the session is present beyond its time")
		}
		b.connect(t, v5).publish(topic, "lost", qos1)
		c.quiet()
	})
	t.Run("v5 [MQTT-4.1.0-2] its subscriptions go with it", func(t *testing.T) {
		topic := unique("t/")
		c := b.connect(t, v5, named(unique("c")), with(sessionExpiry(1)))
		c.subscribe(filter{topic, 1})
		c.leave(b)
		b.gone(t, c.id)
		p := b.connect(t, v5)
		p.put(message(topic, "x", qos1, 1))
		p.want(ack(tPuback, 1, 0x10))
	})
	t.Run("v5 session expiry for ever", func(t *testing.T) {
		c := b.connect(t, v5, named(unique("c")), with(sessionExpiry(0xFFFFFFFF)))
		c.leave(b)
		b.Clock.Advance(200 * 365 * 24 * time.Hour)
		if c = b.connect(t, v5, kept(c.id)); !c.connack.present {
			t.Error("the session is not present")
		}
	})
	t.Run("v5 DISCONNECT changes the session expiry", func(t *testing.T) {
		c := b.connect(t, v5, kept(unique("c")))
		c.put(packet{kind: tDisconnect, props: []prop{sessionExpiry(0)}})
		c.wantClosed()
		b.gone(t, c.id)
	})
	t.Run("v5 DISCONNECT does not raise it from 0", func(t *testing.T) {
		c := b.connect(t, v5)
		c.put(packet{kind: tDisconnect, props: []prop{sessionExpiry(10)}})
		c.wantEnd(0x82)
	})
	t.Run("a session goes on in another version", func(t *testing.T) {
		id, topic := unique("c"), unique("t/")
		c := b.connect(t, v5, kept(id))
		c.subscribeWith([]prop{subscriptionID(9)}, filter{topic, 2})
		c.leave(b)
		b.connect(t, v5).publish(topic, "x", qos2, userProperty("k", "v"))
		c = b.connect(t, v311, kept(id))
		if !c.connack.present {
			t.Error("the session is not present")
		}
		c.receive(topic, "x")
	})
}

// TestTakeover: the client that comes last is the client.
func TestTakeover(t *testing.T) {
	t.Parallel()
	b := start(t)
	each(t, "v3.1.1 [MQTT-3.1.4-2] the first connection ends", "v5 [MQTT-3.1.4-3] [MQTT-3.14.2-2] the first connection ends with 0x8E",
		func(t *testing.T, version byte) {
			first := b.connect(t, version)
			second := b.connect(t, version, named(first.id))
			if version == v5 {
				p := first.read()
				if _, expiry := p.find(0x11); p.kind != tDisconnect || p.code != 0x8E || expiry {
					t.Errorf("got %v, want DISCONNECT 0x8E without session expiry", p)
				}
			}
			first.wantClosed()
			second.quiet()
		})
	both(t, "what is unacknowledged and what waits goes over in order", func(t *testing.T, version byte) {
		id, topic := unique("c"), unique("t/")
		p := b.connect(t, version)
		c := b.connect(t, version, kept(id), func(c *connect) {
			if version == v5 {
				c.props = append(c.props, receiveMaximum(3))
			}
		})
		c.subscribe(filter{topic, 2})
		const n = 50
		for i := range n {
			p.publish(topic, number(i), []byte{qos1, qos2}[i%2])
		}
		first := c.read() // and no acknowledgement
		for range 3 {
			c = b.connect(t, version, kept(id))
			if !c.connack.present {
				t.Fatal("the session is not present")
			}
			again := c.read()
			if again.flags&dup == 0 || again.id != first.id || again.payload != first.payload {
				t.Fatalf("got %v, want %v again", again, first)
			}
		}
		c = b.connect(t, version, kept(id))
		for i := range n {
			c.receive(topic, number(i))
		}
		b.marker(c, topic)
	})
	both(t, "under traffic nothing is lost, doubled or out of order", func(t *testing.T, version byte) {
		id, topic := unique("c"), unique("t/")
		c := b.connect(t, version, kept(id))
		c.subscribe(filter{topic, 2})
		const n = 400
		published := make(chan error, 1)
		p := b.connect(t, version)
		go func() { published <- p.stream(topic, n) }()
		var r receiver
		for i := 0; i < n; {
			if i%40 == 20 {
				c = b.connect(t, version, kept(id)) // while the one before still has it
			}
			p, fresh := r.take(c)
			if !fresh {
				continue
			}
			if p.payload != number(i) {
				t.Fatalf("got %v, want %s", p, number(i))
			}
			i++
		}
		if err := <-published; err != nil {
			t.Fatal(err)
		}
		r.drain(c)
	})
	each(t, "v3.1.1 kicked", "v5 kicked with 0x98", func(t *testing.T, version byte) {
		topic := unique("t/")
		c := b.connect(t, version, kept(unique("c")))
		c.subscribe(filter{topic, 1})
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if err := b.Kick(ctx, c.id); err != nil {
			t.Fatal(err)
		}
		c.wantEnd(0x98)
		b.gone(t, c.id)
		if err := b.Kick(ctx, c.id); !errors.Is(err, actors.ErrNotFound) {
			t.Errorf("a second kick: %v", err)
		}
		if c = b.connect(t, version, kept(c.id)); c.connack.present {
			t.Error("the session is present")
		}
	})
	t.Run("kicked while away", func(t *testing.T) {
		c := b.connect(t, v5, kept(unique("c")))
		c.leave(b)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if err := b.Kick(ctx, c.id); err != nil {
			t.Fatal(err)
		}
		b.gone(t, c.id)
	})
	both(t, "shutdown", func(t *testing.T, version byte) {
		b := start(t)
		c := b.connect(t, version, kept(unique("c")))
		go b.Server.Stop()
		c.wantEnd(0x8B)
	})
}
