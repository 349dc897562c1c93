package actors_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"ermine/actors"
	"ermine/actors/fault"
	"ermine/actors/message"
	"ermine/actors/session"
)

// device is a client program with a persistent session: it reconnects when its
// connection is closed, and does what the standard asks of a client, so that
// what it has received can be held against what was acknowledged.
type device struct {
	t  testing.TB
	b  *actors.Broker
	id string

	mu       sync.Mutex
	conn     *deviceConn
	received map[string]int // payload -> times, not counting what DUP explains
	order    map[string]int // publisher -> last number seen first
	open     map[uint16]bool
	acked    chan struct{} // something was acknowledged, or the connection closed
	unacked  []*outgoing
	nextID   uint16
	sent     int
}

type outgoing struct {
	m        *message.Message
	id       uint16
	received bool // PUBREC has come
}

type deviceConn struct {
	d      *device
	h      *session.Handle
	closed bool
}

func newDevice(t testing.TB, b *actors.Broker, id string) *device {
	return &device{
		t: t, b: b, id: id, received: map[string]int{}, order: map[string]int{}, open: map[uint16]bool{},
		acked: make(chan struct{}, 1),
	}
}

func (d *device) wake() {
	select {
	case d.acked <- struct{}{}:
	default:
	}
}

func (c *deviceConn) WritePublish(_ int64, p session.Outgoing) bool {
	d := c.d
	d.mu.Lock()
	defer d.mu.Unlock()
	if c.closed {
		return true
	}
	payload := string(p.Msg.Payload)
	first := d.received[payload] == 0
	switch p.QoS {
	case 1:
		if d.received[payload] == 0 || !p.Dup {
			d.received[payload]++
		}
		c.h.Ack(session.Puback, p.PacketID, 0)
	case 2:
		if !d.open[p.PacketID] {
			d.open[p.PacketID] = true
			d.received[payload]++
		}
		c.h.Ack(session.Pubrec, p.PacketID, 0)
	}
	var from string
	var n int
	if _, err := fmt.Sscanf(payload, "%s %d", &from, &n); err == nil && first {
		if last, ok := d.order[from]; ok && n < last {
			d.t.Errorf("%s got %s after %d", d.id, payload, last)
		}
		d.order[from] = n
	}
	return true
}

func (c *deviceConn) WriteAck(kind session.AckKind, id uint16, code byte) {
	d := c.d
	d.mu.Lock()
	defer d.mu.Unlock()
	if c.closed {
		return
	}
	switch kind {
	case session.Pubrel:
		delete(d.open, id)
		c.h.Ack(session.Pubcomp, id, 0)
	case session.Pubrec:
		for _, o := range d.unacked {
			if o.id == id {
				o.received = true
			}
		}
		go c.h.Release(id)
	case session.Puback, session.Pubcomp:
		for i, o := range d.unacked {
			if o.id == id {
				d.unacked = append(d.unacked[:i:i], d.unacked[i+1:]...)
				break
			}
		}
		d.wake()
	}
}

func (c *deviceConn) WriteSuback(uint16, []byte)   {}
func (c *deviceConn) WriteUnsuback(uint16, []byte) {}
func (c *deviceConn) Flush()                       {}
func (c *deviceConn) Writable() bool               { return true }
func (c *deviceConn) Disconnect(byte) {
	c.d.mu.Lock()
	c.closed = true
	c.d.mu.Unlock()
	c.d.wake()
}

// connect opens or resumes the session, taking over from the connection before.
func (d *device) connect(ctx context.Context) error {
	for ctx.Err() == nil {
		c := &deviceConn{d: d}
		o, err := d.b.Open(ctx, session.OpenRequest{
			Client: session.Client{ID: d.id, Version: 4, Connected: time.Now()}, Conn: c, Expiry: 3600,
			Limits: session.Limits{MaxInflight: 16, StoreQoS0: true},
		})
		if err != nil {
			continue
		}
		d.mu.Lock()
		c.h, d.conn = o.Handle, c
		if !o.Present {
			d.open = map[uint16]bool{}
		}
		d.mu.Unlock()
		o.Handle.Attach()
		return nil
	}
	return ctx.Err()
}

func (d *device) current() *deviceConn {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.conn
}

func (d *device) isClosed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.conn.closed
}

// publish sends messages with a window of 20 until n have been sent in all, and
// returns when every one is acknowledged, over as many connections as it takes.
func (d *device) publish(ctx context.Context, topic string, qos byte, n int) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if d.isClosed() {
			if err := d.connect(ctx); err != nil {
				return err
			}
			d.mu.Lock()
			again := append([]*outgoing(nil), d.unacked...)
			d.mu.Unlock()
			for _, o := range again { // in order, DUP [MQTT-4.4.0-1]
				if o.received {
					d.current().h.Release(o.id)
				} else if err := d.current().h.Publish(o.m, o.id); err != nil {
					break
				}
			}
			continue
		}
		d.mu.Lock()
		waiting := len(d.unacked)
		d.mu.Unlock()
		switch {
		case d.sent < n && waiting < 20:
			d.nextID = d.nextID%60000 + 1
			o := &outgoing{id: d.nextID, m: newMessage(topic, fmt.Sprintf("%s %d", d.id, d.sent), qos)}
			d.mu.Lock()
			d.unacked = append(d.unacked, o)
			h := d.conn.h
			d.mu.Unlock()
			d.sent++
			if err := h.Publish(o.m, o.id); err != nil && !errors.Is(err, session.ErrClosed) {
				return err
			}
		case d.sent == n && waiting == 0:
			return nil
		default:
			select {
			case <-d.acked:
			case <-ctx.Done():
			}
		}
	}
}

// Everything that can crash does, again and again, under traffic of QoS 1 and 2
// with takeovers: what was acknowledged arrives, in order, QoS 2 once.
func TestChaosLosesNothing(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 2))
	b := startBroker(t, func(c *actors.Config) { c.Intensity, c.Period, c.Shards = 1000, time.Second, 2 })
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	const events, round = 150, 200
	total := 0
	var mu sync.Mutex
	stop := make(chan struct{})
	var subs []*device
	for i := range 4 {
		d := newDevice(t, b, fmt.Sprintf("sub%d", i))
		if err := d.connect(ctx); err != nil {
			t.Fatal(err)
		}
		if err := d.conn.h.Subscribe(ctx, subscribeWith("q/#", byte(1+i%2))); err != nil {
			t.Fatal(err)
		}
		subs = append(subs, d)
	}
	var pubs sync.WaitGroup
	for i := range 4 {
		d := newDevice(t, b, fmt.Sprintf("pub%d", i))
		if err := d.connect(ctx); err != nil {
			t.Fatal(err)
		}
		pubs.Go(func() {
			for n := round; ; n += round {
				if err := d.publish(ctx, fmt.Sprintf("q/%d", i), byte(1+i%2), n); err != nil {
					t.Errorf("%s: %v", d.id, err)
					return
				}
				select {
				case <-stop:
					mu.Lock()
					total += n
					mu.Unlock()
					return
				default:
				}
			}
		})
	}
	var chaos sync.WaitGroup
	chaos.Go(func() {
		defer close(stop)
		points := []string{"session.deliver", "session.ack", "session.control", "session.open", "shard.receive", "directory.receive"}
		for range events {
			<-time.After(time.Duration(5+rnd.IntN(20)) * time.Millisecond)
			spec, err := fault.Parse("panic once")
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := fault.Arm(points[rnd.IntN(len(points))], spec); err != nil {
				t.Error(err)
			}
			// Make use of the points that traffic alone does not pass: a takeover, and
			// a subscription that comes and goes.
			d := subs[rnd.IntN(len(subs))]
			if err := d.connect(ctx); err == nil && rnd.IntN(3) == 0 {
				_ = d.current().h.Subscribe(ctx, subscribeWith(fmt.Sprintf("other/%d", rnd.IntN(9)), 0))
			}
			for _, d := range subs {
				if d.isClosed() {
					_ = d.connect(ctx)
				}
			}
		}
	})
	chaos.Wait()
	pubs.Wait()
	fault.DisarmAll()
	for _, d := range subs {
		if err := d.connect(ctx); err != nil {
			t.Fatal(err)
		}
	}
	for i, d := range subs {
		eventually(t, d.id+" to get everything", func() bool {
			if d.isClosed() {
				_ = d.connect(ctx)
			}
			d.mu.Lock()
			defer d.mu.Unlock()
			return len(d.received) == total
		})
		t.Logf("%s: %d messages", d.id, total)
		for payload, n := range d.received {
			exactlyOnce := i%2 == 1 && (payload[3] == '1' || payload[3] == '3')
			if n > 1 && exactlyOnce {
				t.Errorf("%s got %q %d times at QoS 2", d.id, payload, n)
			}
		}
	}
}
