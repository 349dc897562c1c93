package sys

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"time"

	"ermine/actors/kernel"
	"ermine/actors/message"
	"ermine/actors/metrics"
	"ermine/actors/router"
	"ermine/actors/session"
)

func TestUptime(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0:                "0 seconds",
		59 * time.Second: "59 seconds",
		61 * time.Second: "1 minutes, 1 seconds",
		3 * time.Hour:    "3 hours, 0 minutes, 0 seconds",
		49*time.Hour + 2*time.Minute + 3*time.Second: "2 days, 1 hours, 2 minutes, 3 seconds",
	} {
		if got := Uptime(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}

// board is what has been published last, by topic.
type board struct {
	mu      sync.Mutex
	last    map[string]*message.Message
	changed chan struct{}
}

func (b *board) publish(m *message.Message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last[m.Topic] = m
	close(b.changed)
	b.changed = make(chan struct{})
}

func (b *board) await(t *testing.T, topic, payload string, retain bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		b.mu.Lock()
		m, changed := b.last[topic], b.changed
		b.mu.Unlock()
		if m != nil && string(m.Payload) == payload {
			if m.Retain != retain {
				t.Errorf("%s: retain %v", topic, m.Retain)
			}
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("%s: %v, want %q", topic, m, payload)
		}
	}
}

func TestPublishesOnItsTimers(t *testing.T) {
	start := time.Unix(1_700_000_000, 0).UTC()
	var mu sync.Mutex
	now, wheel := start, kernel.NewManualWheel(start, 100*time.Millisecond)
	b := &board{last: map[string]*message.Message{}, changed: make(chan struct{})}
	set := metrics.NewSet()
	set.Gauge("connections", func() int64 { return 7 })
	p := New(Config{
		Node: "ermine@127.0.0.1", Version: "1.2.3", Metrics: set, Wheel: wheel, Publish: b.publish,
		Now:      func() time.Time { mu.Lock(); defer mu.Unlock(); return now },
		Interval: time.Minute, Heartbeat: 30 * time.Second,
	})
	system := kernel.NewSystem(kernel.Config{Logger: slog.New(slog.DiscardHandler)})
	if err := p.Start(system); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := system.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		wheel.Close()
	})
	const node = "$SYS/brokers/ermine@127.0.0.1/"
	b.await(t, "$SYS/brokers", "ermine@127.0.0.1", true)
	b.await(t, node+"version", "1.2.3", true)
	b.await(t, node+"stats/connections/count", "7", false)
	b.await(t, node+"metrics/bytes/received", "0", false)
	b.await(t, node+"uptime", "0 seconds", false)
	b.await(t, node+"datetime", start.Format(time.RFC3339), false)
	deadline := time.After(10 * time.Second)
	for wheel.Len() < 2 { // both timers are set after their messages
		select {
		case <-time.After(time.Millisecond):
		case <-deadline:
			t.Fatal("the timers are not set")
		}
	}
	set.Add(0, metrics.BytesReceived, 5)
	mu.Lock()
	now = now.Add(30 * time.Second)
	mu.Unlock()
	wheel.Advance(30 * time.Second)
	b.await(t, node+"uptime", "30 seconds", false)
}

func TestClientEvents(t *testing.T) {
	b := &board{last: map[string]*message.Message{}, changed: make(chan struct{})}
	all := Config{
		Node: "n@h", Now: time.Now, Publish: b.publish,
		Connected: true, Disconnected: true, Subscribed: true, Unsubscribed: true,
	}
	c := &session.Client{
		ID: "c", Username: "u", Peer: netip.MustParseAddrPort("10.0.0.1:5"), Protocol: "MQTT", Version: 5,
		KeepAlive: 60, CleanStart: true, Connected: time.UnixMilli(1000),
	}
	sub := &router.Subscription{Raw: "t/#", Options: router.Options{QoS: 1}}
	emit := func(p *Publisher, c *session.Client) {
		p.Connected(c)
		p.Disconnected(c, "normal")
		p.Subscribed(c, sub)
		p.Unsubscribed(c, sub)
	}
	emit(New(Config{Node: "n@h", Now: time.Now, Publish: b.publish}), c)
	odd := *c
	odd.ID = "c+#"
	emit(New(all), &odd)
	if len(b.last) != 0 {
		t.Fatalf("published what is off, or not a Topic Name: %v", b.last)
	}
	emit(New(all), c)
	for name, want := range map[string]map[string]any{
		"connected": {
			"clientid": "c", "username": "u", "ipaddress": "10.0.0.1", "proto_name": "MQTT", "proto_ver": 5.0,
			"keepalive": 60.0, "clean_start": true, "connected_at": 1000.0,
		},
		"disconnected": {"clientid": "c", "reason": "normal"},
		"subscribed":   {"topic": "t/#", "qos": 1.0},
		"unsubscribed": {"topic": "t/#"},
	} {
		m := b.last["$SYS/brokers/n@h/clients/c/"+name]
		if m == nil {
			t.Errorf("no event %s", name)
			continue
		}
		var got map[string]any
		if err := json.Unmarshal(m.Payload, &got); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for k, v := range want {
			if got[k] != v {
				t.Errorf("%s: %s is %v, want %v", name, k, got[k], v)
			}
		}
	}
}
