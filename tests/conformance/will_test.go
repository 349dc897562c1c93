package conformance

import (
	"context"
	"testing"
	"time"
)

// watcher is a client that sees everything below a topic.
func (b *broker) watcher(t *testing.T, topic string) *client {
	t.Helper()
	w := b.connect(t, v5)
	w.subscribe(filter{topic + "/#", 2})
	return w
}

// TestWill: who goes without a word leaves a will.
func TestWill(t *testing.T) {
	t.Parallel()
	b := start(t)
	each(t, "v3.1.1 [MQTT-3.1.2-8] [MQTT-3.1.2-9] the socket closes", "v5 [MQTT-3.1.2-7] [MQTT-3.1.2-8] [MQTT-3.1.2-9] the socket closes",
		func(t *testing.T, version byte) {
			for qos := range byte(3) {
				topic := unique("will/")
				w := b.watcher(t, topic)
				b.connect(t, version, withWill(will{topic: topic, payload: "dead", qos: qos})).conn.Close()
				if p := w.receive(topic, "dead"); p.qos() != qos {
					t.Errorf("got %v, want QoS %d", p, qos)
				}
			}
		})
	each(t, "v3.1.1 [MQTT-3.1.2-8] a protocol error", "v5 [MQTT-3.1.2-8] a protocol error", func(t *testing.T, version byte) {
		topic := unique("will/")
		w := b.watcher(t, topic)
		c := b.connect(t, version, withWill(will{topic: topic}))
		c.send(frame(0x0f))
		c.wantEnd(0x81)
		w.receive(topic, "")
	})
	each(t, "v3.1.1 [MQTT-3.1.2-10] [MQTT-3.14.4-3] DISCONNECT", "v5 [MQTT-3.1.2-10] [MQTT-3.14.4-3] DISCONNECT 0x00",
		func(t *testing.T, version byte) {
			topic := unique("will/")
			w := b.watcher(t, topic)
			c := b.connect(t, version, withWill(will{topic: topic, payload: "dead"}))
			c.put(packet{kind: tDisconnect})
			c.wantClosed()
			b.gone(t, c.id)
			b.marker(w, topic)
		})
	each(t, "v3.1.1 [MQTT-3.1.2-10] published once", "v5 [MQTT-3.1.2-10] published once", func(t *testing.T, version byte) {
		id, topic := unique("c"), unique("will/")
		w := b.watcher(t, topic)
		b.connect(t, version, kept(id), withWill(will{topic: topic, payload: "dead"})).conn.Close()
		w.receive(topic, "dead")
		b.connect(t, version, kept(id)).conn.Close()
		b.connect(t, version, named(id)).leave(b)
		b.gone(t, id)
		b.marker(w, topic)
	})
	t.Run("v3.1.1 [MQTT-3.1.2-12] no will flag", func(t *testing.T) {
		topic := unique("will/")
		w := b.watcher(t, topic)
		c := b.connect(t, v311)
		c.conn.Close()
		b.gone(t, c.id)
		b.marker(w, topic)
	})
	each(t, "v3.1.1 [MQTT-3.1.2-16] [MQTT-3.1.2-17] retain", "v5 [MQTT-3.1.2-14] [MQTT-3.1.2-15] retain", func(t *testing.T, version byte) {
		for _, keep := range []bool{false, true} {
			topic := unique("will/")
			w := b.watcher(t, topic)
			b.connect(t, version, withWill(will{topic: topic, payload: "dead", qos: 1, retain: keep})).conn.Close()
			w.receive(topic, "dead")
			b.marker(w, topic) // published after the will, so stored after it
			late := b.connect(t, version)
			late.subscribe(filter{topic, 1})
			if keep {
				if p := late.receive(topic, "dead"); p.flags&retain == 0 {
					t.Errorf("got %v, want retain", p)
				}
			}
			b.marker(late, topic)
		}
	})
	t.Run("v5 DISCONNECT 0x04 leaves the will", func(t *testing.T) {
		topic := unique("will/")
		w := b.watcher(t, topic)
		c := b.connect(t, v5, withWill(will{topic: topic, payload: "dead"}))
		c.put(packet{kind: tDisconnect, code: 0x04})
		w.receive(topic, "dead")
	})
	t.Run("v5 [MQTT-3.1.3-10] properties, user properties in order", func(t *testing.T) {
		topic := unique("will/")
		w := b.watcher(t, topic)
		props := []prop{
			payloadFormat(1), contentType("text"), responseTopic("answer"), correlationData("7"),
			userProperty("b", "1"), userProperty("a", "2"), userProperty("b", "3"), messageExpiry(100),
		}
		b.connect(t, v5, withWill(will{topic: topic, payload: "dead", props: props})).conn.Close()
		w.want(message(topic, "dead", 0, 0, props...))
	})
	t.Run("v5 a will that expires", func(t *testing.T) {
		topic := unique("will/")
		away := b.connect(t, v5, kept(unique("c")))
		away.subscribe(filter{topic, 1})
		away.leave(b)
		c := b.connect(t, v5, withWill(will{topic: topic, payload: "dead", qos: 1, props: []prop{messageExpiry(10)}}))
		c.conn.Close()
		b.gone(t, c.id)
		b.Clock.Advance(11 * time.Second)
		again := b.connect(t, v5, kept(away.id))
		b.marker(again, topic)
	})
	both(t, "taken over", func(t *testing.T, version byte) {
		topic := unique("will/")
		w := b.watcher(t, topic)
		c := b.connect(t, version, withWill(will{topic: topic, payload: "dead"}))
		b.connect(t, version, named(c.id))
		w.receive(topic, "dead")
	})
	both(t, "kicked", func(t *testing.T, version byte) {
		topic := unique("will/")
		w := b.watcher(t, topic)
		c := b.connect(t, version, withWill(will{topic: topic, payload: "dead"}))
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if err := b.Kick(ctx, c.id); err != nil {
			t.Fatal(err)
		}
		w.receive(topic, "dead")
		c.wantEnd(0x98)
	})
}

// TestWillDelay: MQTT 5 can wait for the client to come back.
func TestWillDelay(t *testing.T) {
	t.Parallel()
	b := start(t)
	delayed := func(topic string, seconds uint32) func(*connect) {
		return withWill(will{topic: topic, payload: "dead", props: []prop{willDelay(seconds)}})
	}
	t.Run("v5 [MQTT-3.1.2-8] after the delay", func(t *testing.T) {
		t.Parallel()
		topic := unique("will/")
		w := b.watcher(t, topic)
		c := b.connect(t, v5, kept(unique("c")), delayed(topic, 1))
		began := time.Now()
		c.drop(b)
		b.marker(w, topic) // not at once
		w.receive(topic, "dead")
		if d := time.Since(began); d < 900*time.Millisecond {
			t.Errorf("after %v", d)
		}
	})
	t.Run("v5 [MQTT-3.1.2-8] at the end of the session, if that is earlier", func(t *testing.T) {
		t.Parallel()
		topic := unique("will/")
		w := b.watcher(t, topic)
		b.connect(t, v5, delayed(topic, 3600)).conn.Close()
		w.receive(topic, "dead")
		c := b.connect(t, v5, func(c *connect) { c.clean = false }, with(sessionExpiry(1)), delayed(topic, 3600))
		c.drop(b)
		b.marker(w, topic)
		w.receive(topic, "dead")
		b.gone(t, c.id)
	})
	t.Run("v5 [MQTT-3.1.3-9] not if the client is back", func(t *testing.T) {
		t.Parallel()
		id, topic := unique("c"), unique("will/")
		w := b.watcher(t, topic)
		b.connect(t, v5, kept(id), delayed(topic, 1)).drop(b)
		again := b.connect(t, v5, kept(id))
		other := b.connect(t, v5, kept(unique("c")), delayed(topic, 1)) // dies after it, so has its will after it
		other.drop(b)
		w.receive(topic, "dead")
		b.marker(w, topic)
		again.quiet()
	})
	t.Run("v5 [MQTT-3.1.3-9] not if it takes over", func(t *testing.T) {
		t.Parallel()
		id, topic := unique("c"), unique("will/")
		w := b.watcher(t, topic)
		b.connect(t, v5, kept(id), delayed(topic, 3600))
		b.connect(t, v5, kept(id)).leave(b)
		b.marker(w, topic)
	})
	t.Run("v5 a clean start ends the session, and the delay", func(t *testing.T) {
		t.Parallel()
		id, topic := unique("c"), unique("will/")
		w := b.watcher(t, topic)
		b.connect(t, v5, kept(id), delayed(topic, 3600)).drop(b)
		b.connect(t, v5, named(id))
		w.receive(topic, "dead")
	})
}
