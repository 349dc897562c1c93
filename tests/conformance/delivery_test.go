package conformance

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"ermine/actors/metrics"
	"ermine/actors/session"
	"ermine/mqtt/listener"
	"ermine/tests/conformance/brokertest"
)

// inspect is what an operator sees of a session.
func (b *broker) inspect(t *testing.T, id string) session.Info {
	t.Helper()
	s, err := b.Session(id)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	info, err := s.Inspect(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// narrow leaves little room between the broker and a client that does not read.
func narrow(l *listener.Config) {
	l.TCPOptions.HighWatermark, l.TCPOptions.SendBuffer = 16<<10, 16<<10
	l.TCPOptions.SendTimeout = 0
}

// TestSlowSubscriber: who does not read harms nobody else.
func TestSlowSubscriber(t *testing.T) {
	t.Parallel()
	payload := func(i int) string { return number(i) + strings.Repeat("x", 2000) }
	for qos, flags := range []byte{0, qos1, qos2} {
		both(t, fmt.Sprintf("queue full at QoS %d", qos), func(t *testing.T, version byte) {
			t.Parallel()
			b := start(t, func(c *brokertest.Config) {
				c.Zone.Limits.MaxQueue = 50
				narrow(&c.Listeners[0])
			})
			slow, quick, p := b.connect(t, version), b.connect(t, version), b.connect(t, version)
			slow.subscribe(filter{"t", byte(qos)})
			quick.subscribe(filter{"t", 2})
			// More than the kernel takes on behalf of the slow one: then it is up to
			// the broker.
			n := 3000
			if flags != 0 {
				n = 300 // the window of 32 is full long before
			}
			for i := range n - 1 {
				p.publish("t", payload(i), flags)
				quick.receive("t", payload(i))
			}
			p.publish("t", payload(n-1), max(flags, qos1)) // acknowledged: every session has all of them
			quick.receive("t", payload(n-1))
			info := b.inspect(t, slow.id)
			if q := info.Queued; q == 0 || q > 50 || info.Counts.DroppedFull == 0 || info.Counts.Dropped != info.Counts.DroppedFull ||
				q+int(info.Counts.Delivered+info.Counts.Dropped) != n { // each has gone somewhere
				t.Errorf("queued %d of %d, counts %+v", q, n, info.Counts)
			}
			if got := b.Metrics().Get(metrics.DeliveryDroppedQueueFull); got != info.Counts.DroppedFull {
				t.Errorf("delivery.dropped.queue_full %d, the session %d", got, info.Counts.DroppedFull)
			}
			if other := b.inspect(t, quick.id).Counts; other.Dropped > 0 {
				t.Errorf("the other subscriber lost %+v", other)
			}
			// It wakes up: what it gets is in order, and ends with the newest.
			last, got := -1, 0
			for last != n-1 {
				m := slow.read()
				i := 0
				if _, err := fmt.Sscanf(m.payload, "%06d", &i); err != nil || i <= last {
					t.Fatalf("got %v behind %d", m, last)
				}
				last, got = i, got+1
				switch m.qos() {
				case 1:
					slow.put(ack(tPuback, m.id))
				case 2:
					slow.put(ack(tPubrec, m.id))
					slow.wantAnswer(ack(tPubrel, m.id))
					slow.put(ack(tPubcomp, m.id))
				}
			}
			if got+int(info.Counts.DroppedFull) != n {
				t.Errorf("%d came and %d were dropped of %d", got, info.Counts.DroppedFull, n)
			}
		})
	}
	both(t, "without a limit nothing is dropped", func(t *testing.T, version byte) {
		t.Parallel()
		b := start(t, func(c *brokertest.Config) {
			c.Zone.Limits.MaxQueue = 0
			narrow(&c.Listeners[0])
		})
		slow, p := b.connect(t, version), b.connect(t, version)
		slow.subscribe(filter{"t", 1})
		const n = 1500
		for i := range n {
			p.publish("t", payload(i), qos1)
		}
		for i := range n {
			slow.receive("t", payload(i))
		}
		slow.quiet()
		if c := b.inspect(t, slow.id).Counts; c.Dropped > 0 || c.Enqueued == 0 {
			t.Errorf("counts %+v", c)
		}
	})
	t.Run("it is given up when it takes nothing for send_timeout", func(t *testing.T) {
		t.Parallel()
		b := start(t, func(c *brokertest.Config) {
			narrow(&c.Listeners[0])
			c.Listeners[0].TCPOptions.SendTimeout = 300 * time.Millisecond
		})
		stuck, p := b.connect(t, v5), b.connect(t, v5)
		stuck.subscribe(filter{"t", 0})
		for i := range 3000 {
			p.publish("t", payload(i), 0)
		}
		p.quiet()
		b.gone(t, stuck.id)
	})
}

// TestQueue: what waits for a client that is away.
func TestQueue(t *testing.T) {
	t.Parallel()
	t.Run("mqueue_store_qos0 false", func(t *testing.T) {
		b := start(t, func(c *brokertest.Config) { c.Zone.Limits.StoreQoS0 = false })
		c, p := b.connect(t, v5, kept("c")), b.connect(t, v5)
		c.subscribe(filter{"t", 1})
		c.leave(b)
		p.publish("t", "0", 0)
		p.publish("t", "1", qos1)
		if n := b.inspect(t, "c").Counts.DroppedQoS0; n != 1 {
			t.Errorf("%d dropped", n)
		}
		c = b.connect(t, v5, kept("c"))
		c.receive("t", "1")
		c.quiet()
	})
	t.Run("mqueue_store_qos0 true", func(t *testing.T) {
		b := start(t)
		c, p := b.connect(t, v5, kept("c")), b.connect(t, v5)
		c.subscribe(filter{"t", 1})
		c.leave(b)
		p.publish("t", "0", 0)
		p.publish("t", "1", qos1)
		c = b.connect(t, v5, kept("c"))
		c.receive("t", "0")
		c.receive("t", "1")
	})
	t.Run("the oldest goes first", func(t *testing.T) {
		b := start(t, func(c *brokertest.Config) { c.Zone.Limits.MaxQueue = 3 })
		c, p := b.connect(t, v5, kept("c")), b.connect(t, v5)
		c.subscribe(filter{"t", 1})
		c.leave(b)
		for i := range 10 {
			p.publish("t", number(i), qos1)
		}
		c = b.connect(t, v5, kept("c"))
		for i := 7; i < 10; i++ {
			c.receive("t", number(i))
		}
		c.quiet()
	})
	t.Run("mqueue_priorities", func(t *testing.T) {
		b := start(t, func(c *brokertest.Config) {
			c.Zone.Limits.Priorities = map[string]int{"urgent": 10, "soon": 5}
		})
		c, p := b.connect(t, v5, kept("c")), b.connect(t, v5)
		c.subscribe(filter{"+", 1})
		c.leave(b)
		for _, topic := range []string{"late", "soon", "late", "urgent", "urgent", "late", "soon"} {
			p.publish(topic, "x", qos1)
		}
		c = b.connect(t, v5, kept("c"))
		for _, topic := range []string{"urgent", "urgent", "soon", "soon", "late", "late", "late"} {
			c.receive(topic, "x")
		}
		c.quiet()
	})
	t.Run("expired ones are counted", func(t *testing.T) {
		b := start(t)
		c, p := b.connect(t, v5, kept("c")), b.connect(t, v5)
		c.subscribe(filter{"t", 1})
		c.leave(b)
		p.publish("t", "x", qos1, messageExpiry(5))
		b.Clock.Advance(6 * time.Second)
		b.connect(t, v5, kept("c")).quiet()
		b.marker(b.connect(t, v5, kept("c")), "t")
		if n := b.inspect(t, "c").Counts.DroppedExpired; n != 1 {
			t.Errorf("%d dropped", n)
		}
	})
	t.Run("upgrade_qos", func(t *testing.T) {
		b := start(t, func(c *brokertest.Config) { c.Zone.Limits.UpgradeQoS = true })
		c, p := b.connect(t, v5), b.connect(t, v5)
		c.subscribe(filter{"t", 2})
		p.publish("t", "x", 0)
		if m := c.receive("t", "x"); m.qos() != 2 {
			t.Errorf("got %v", m)
		}
	})
	t.Run("await_rel_timeout", func(t *testing.T) {
		b := start(t, func(c *brokertest.Config) { c.Zone.Limits.AwaitRelTimeout = 100 * time.Millisecond })
		p := b.connect(t, v5, kept("p"))
		p.put(message("t", "x", qos2, 1))
		p.want(ack(tPubrec, 1, 0x10))
		until(t, "the identifier is forgotten", func() bool { return b.inspect(t, "p").AwaitingRel == 0 })
		p.put(ack(tPubrel, 1))
		if got := p.read(); got.kind != tPubcomp || got.code != 0x92 {
			t.Errorf("got %v", got)
		}
	})
}

// TestExactlyOnce cuts both sides of a QoS 2 flow at random, for as long as it
// takes, and again from a seed that is printed.
func TestExactlyOnce(t *testing.T) {
	t.Parallel()
	b := start(t)
	both(t, "cut at random", func(t *testing.T, version byte) {
		t.Parallel()
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		dice := rand.New(rand.NewPCG(seed, 0))
		topic := unique("t/")
		subID, pubID := unique("s"), unique("p")
		sub := b.connect(t, version, kept(subID))
		sub.subscribe(filter{topic, 2})

		const n = 300
		published := make(chan error, 1)
		publisher := &sender{b: b, id: pubID, version: version, topic: topic, dice: rand.New(rand.NewPCG(seed, 1))}
		go func() { published <- publisher.run(n) }()

		var r receiver
		for i := 0; i < n; {
			if dice.IntN(20) == 0 {
				if dice.IntN(2) == 0 {
					sub.conn.Close()
				}
				sub = b.connect(t, version, kept(subID))
				if !sub.connack.present {
					t.Fatal("the session is not present")
				}
			}
			if dice.IntN(40) == 0 { // takes a message, and tells nobody
				if p, err := sub.next(); err != nil || p.kind != tPublish && p.kind != tPubrel {
					t.Fatalf("got %v, %v", p, err)
				}
				sub = b.connect(t, version, kept(subID))
				continue
			}
			p, fresh := r.take(sub)
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
		r.drain(sub)
	})
}

// sender publishes at QoS 2 over connections that it cuts at random, and goes on
// after each as the standard asks. It runs beside the test.
type sender struct {
	b       *broker
	id      string
	version byte
	topic   string
	dice    *rand.Rand
	conn    *client
}

// step does one part of an exchange, on a new connection if the one before was
// cut; again tells fn that it is repeated.
func (s *sender) step(fn func(c *client, again bool) error) error {
	for again := false; ; again = true {
		if s.conn == nil {
			c, err := s.b.redial(s.id, s.version)
			if err != nil {
				return err
			}
			s.conn = c
		}
		cut := s.dice.IntN(25)
		if cut == 0 {
			s.conn.conn.Close()
			s.conn = nil
			continue
		}
		if err := fn(s.conn, again); err != nil {
			return err
		}
		if cut == 1 { // done, but the sender does not know
			s.conn.conn.Close()
			s.conn = nil
			continue
		}
		return nil
	}
}

func (s *sender) run(n int) error {
	for i := range n {
		id := uint16(i%100 + 1)
		for _, part := range []struct {
			sent packet
			want byte
		}{
			{message(s.topic, number(i), qos2, id), tPubrec},
			{ack(tPubrel, id), tPubcomp},
		} {
			err := s.step(func(c *client, again bool) error {
				sent := part.sent
				if again && sent.kind == tPublish {
					sent.flags |= dup
				}
				if err := c.trySend(sent.encode(c.version)); err != nil {
					return err
				}
				got, err := c.next()
				if err == nil && (got.kind != part.want || got.id != id || got.code != 0 && !(again && got.code == 0x92)) {
					err = fmt.Errorf("message %d: got %v, want %s", i, got, typeNames[part.want])
				}
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// TestExclusive: $exclusive/ has one subscriber.
func TestExclusive(t *testing.T) {
	t.Parallel()
	b := start(t, func(c *brokertest.Config) { c.Zone.Exclusive = true })
	refused := func(t *testing.T, c *client, name string) {
		t.Helper()
		id := c.nextID()
		c.put(packet{kind: tSubscribe, flags: 2, id: id, filters: []filter{{name, 1}}})
		code := byte(0x97)
		if c.version != v5 {
			code = 0x80
		}
		c.want(packet{kind: tSuback, id: id, codes: []byte{code}})
	}
	both(t, "the second is refused until the first is gone", func(t *testing.T, version byte) {
		topic := unique("t/")
		name := "$exclusive/" + topic
		one, two, plain := b.connect(t, version), b.connect(t, version), b.connect(t, version)
		one.subscribe(filter{name, 1})
		one.subscribe(filter{name, 1}) // its own
		plain.subscribe(filter{topic, 1})
		refused(t, two, name)
		p := b.connect(t, version)
		p.publish(topic, "x", qos1)
		one.receive(topic, "x")
		plain.receive(topic, "x")
		two.quiet()

		id := one.nextID()
		one.put(packet{kind: tUnsubscribe, flags: 2, id: id, filters: []filter{{name: name}}})
		if got := one.read(); got.kind != tUnsuback || got.id != id {
			t.Fatalf("got %v", got)
		}
		two.subscribe(filter{name, 1})
		refused(t, one, name)
		two.conn.Close()
		b.gone(t, two.id)
		one.subscribe(filter{name, 1})
	})
	t.Run("a session that is away keeps it", func(t *testing.T) {
		topic := unique("t/")
		one, two := b.connect(t, v5, kept(unique("c"))), b.connect(t, v5)
		one.subscribe(filter{"$exclusive/" + topic, 1})
		one.leave(b)
		refused(t, two, "$exclusive/"+topic)
		b.connect(t, v5, named(one.id)) // and a clean start gives it up
		two.subscribe(filter{"$exclusive/" + topic, 1})
	})
	t.Run("not allowed", func(t *testing.T) {
		b := start(t)
		c := b.connect(t, v5)
		c.put(packet{kind: tSubscribe, flags: 2, id: 1, filters: []filter{{"$exclusive/t", 0}}})
		c.want(packet{kind: tSuback, id: 1, codes: []byte{0x8F}})
	})
}

// TestDelayed: $delayed/<seconds>/ waits.
func TestDelayed(t *testing.T) {
	t.Parallel()
	b := start(t)
	both(t, "later, in the order of their time", func(t *testing.T, version byte) {
		t.Parallel()
		topic := unique("t/")
		c, p := b.connect(t, version), b.connect(t, version)
		c.subscribe(filter{topic, 2})
		began := time.Now()
		for i, flags := range []byte{0, qos1, qos2} {
			p.publish(fmt.Sprintf("$delayed/%d/%s", 2-i, topic), number(i), flags)
		}
		p.publish(topic, "now", qos1)
		var order []string
		var at []time.Duration
		for range 4 {
			m := c.read()
			order, at = append(order, m.payload), append(at, time.Since(began))
			if m.topic != topic {
				t.Errorf("got %v", m)
			}
		}
		slices.Sort(order[:2]) // both are due at once
		if want := []string{number(2), "now", number(1), number(0)}; !slices.Equal(order, want) {
			t.Errorf("got %q, want %q", order, want)
		}
		if at[2] < 900*time.Millisecond || at[3] < 1900*time.Millisecond {
			t.Errorf("after %v", at)
		}
	})
	t.Run("retained when it is due", func(t *testing.T) {
		t.Parallel()
		topic := unique("t/")
		p := b.connect(t, v5)
		p.publish("$delayed/1/"+topic, "x", qos1|retain)
		if b.Retained().Get(topic) != nil || b.Retained().Get("$delayed/1/"+topic) != nil {
			t.Error("it is retained at once")
		}
		until(t, "it is retained", func() bool { return b.Retained().Get(topic) != nil })
	})
	for _, name := range []string{"$delayed/x/t", "$delayed/1", "$delayed/1/", "$delayed/-1/t", "$delayed/1/a/+", "$delayed/4294967296000/t"} {
		t.Run("refuse "+name, func(t *testing.T) {
			c := b.connect(t, v5)
			c.put(message(name, "x", qos1, 1))
			c.wantEnd(0x90)
		})
	}
	t.Run("max_delayed_messages", func(t *testing.T) {
		b := start(t, func(c *brokertest.Config) { c.Broker.Delayed.Max = 1 })
		p := b.connect(t, v5)
		p.put(message("$delayed/1000/t", "x", qos1, 1))
		p.want(ack(tPuback, 1))
		p.put(message("$delayed/1000/t", "x", qos1, 2))
		if got := p.read(); got.kind != tPuback || got.code == 0 {
			t.Errorf("got %v, though it was dropped", got)
		}
		if n := b.Delayed().Count(); n != 1 {
			t.Errorf("%d are delayed", n)
		}
	})
}

// TestSys: the broker's own topics are for who asks for them.
func TestSys(t *testing.T) {
	t.Parallel()
	b := start(t, func(c *brokertest.Config) {
		s := &c.Broker.Sys
		s.Connected, s.Disconnected, s.Subscribed, s.Unsubscribed = true, true, true, true
		s.Interval, s.Heartbeat = time.Hour, time.Hour
	})
	both(t, "v3.1.1 v5 [MQTT-4.7.2-1] hidden from leading wildcards", func(t *testing.T, version byte) {
		topic := unique("t/")
		blind := b.connect(t, version)
		blind.subscribe(filter{"#", 1}, filter{"+/brokers/#", 1}, filter{"+/+/+/clients/#", 1})
		root := "$SYS/brokers/" + brokertest.Node
		seer := b.connect(t, version)
		seer.subscribe(filter{root + "/clients/#", 1})
		seer.readUntil(root+"/clients/"+seer.id+"/subscribed", seer.id)
		c := b.connect(t, version)
		seer.readUntil(root+"/clients/"+c.id+"/connected", c.id)
		c.subscribe(filter{topic, 0})
		seer.readUntil(root+"/clients/"+c.id+"/subscribed", topic)
		c.leave(b)
		seer.readUntil(root+"/clients/"+c.id+"/disconnected", "normal")
		b.marker(blind, topic)
	})
	t.Run("retained: version and the like", func(t *testing.T) {
		c := b.connect(t, v5)
		root := "$SYS/brokers/" + brokertest.Node
		c.subscribe(filter{root + "/version", 0})
		c.want(message(root+"/version", brokertest.Version, retain, 0))
	})
}

// readUntil passes over messages until one of this topic has a text in it.
func (c *client) readUntil(topic, text string) {
	c.t.Helper()
	for {
		m := c.read()
		if m.qos() == 1 {
			c.put(ack(tPuback, m.id))
		}
		if m.topic == topic {
			if !strings.Contains(m.payload, text) {
				c.t.Errorf("got %v, want %q in it", m, text)
			}
			return
		}
	}
}
