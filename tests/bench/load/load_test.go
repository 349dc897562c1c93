package load

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// relay is the least that a broker can be: it passes each PUBLISH on to whoever
// subscribed to its topic, at the publisher's QoS, and completes the exchanges
// on both sides. mangle says which copies of the n-th PUBLISH go out.
type relay struct {
	t      *testing.T
	mangle func(n int) (copies int)

	mu          sync.Mutex
	published   int
	subscribers map[string][]*conn
}

// startRelay returns the relay's address; it ends with the test.
func startRelay(t *testing.T, mangle func(n int) int) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{t: t, mangle: mangle, subscribers: map[string][]*conn{}}
	var clients sync.WaitGroup
	clients.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			clients.Go(func() { r.serve(&conn{Conn: nc}) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		clients.Wait()
	})
	return l.Addr().String()
}

func (r *relay) serve(c *conn) {
	defer c.Close()
	for {
		if err := c.read(); err != nil {
			return
		}
		for {
			p, ok, err := c.parse()
			if err != nil {
				r.t.Errorf("relay: %v", err)
				return
			}
			if !ok {
				break
			}
			r.handle(c, p)
		}
	}
}

func (r *relay) handle(c *conn, p packet) {
	switch p.kind() {
	case typeConnect:
		c.protocol = Protocol(p.body[6])
		answer := []byte{0, 0}
		if c.protocol == V5 {
			answer = []byte{0, 0, 0}
		}
		_ = c.send(appendPacket(nil, typeConnack<<4, answer))
	case typeSubscribe:
		at := 2
		if c.protocol == V5 {
			at++
		}
		filter := string(p.body[at+2 : len(p.body)-1])
		r.mu.Lock()
		r.subscribers[filter] = append(r.subscribers[filter], c)
		r.mu.Unlock()
		answer := append([]byte{}, p.body[:at]...)
		_ = c.send(appendPacket(nil, typeSuback<<4, append(answer, p.body[len(p.body)-1])))
	case typePublish:
		r.publish(c, p)
	case typePubrec:
		_ = c.send(appendAck(nil, typePubrel, binary.BigEndian.Uint16(p.body)))
	case typePubrel:
		_ = c.send(appendAck(nil, typePubcomp, binary.BigEndian.Uint16(p.body)))
	}
}

func (r *relay) publish(c *conn, p packet) {
	id, _, err := publishBody(p, c.protocol)
	if err != nil {
		r.t.Errorf("relay: %v", err)
		return
	}
	length := int(binary.BigEndian.Uint16(p.body))
	topic := string(p.body[2 : 2+length])
	out := appendPacket(nil, p.first, p.body)

	r.mu.Lock()
	copies := r.mangle(r.published)
	r.published++
	to := append([]*conn{}, r.subscribers[topic]...)
	to = append(to, r.subscribers[topic[:strings.LastIndexByte(topic, '/')]+"/+"]...)
	r.mu.Unlock()

	for range copies {
		for _, sub := range to {
			_ = sub.send(out)
		}
	}
	switch p.first >> 1 & 0x03 {
	case 1:
		_ = c.send(appendAck(nil, typePuback, id))
	case 2:
		_ = c.send(appendAck(nil, typePubrec, id))
	}
}

func faithful(int) int { return 1 }

// shortSpec is a load of a moment.
func shortSpec() Spec {
	return Spec{
		Protocol: V311, Publishers: 2, Subscribers: 2, Payload: 32, Window: 16, Step: 1,
		Warmup: 5 * time.Millisecond, Duration: 50 * time.Millisecond, Drain: 2 * time.Second,
	}
}

type noMeter struct{ marks int }

func (m *noMeter) Mark() error { m.marks++; return nil }

func TestRunCountsEveryMessage(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*Spec)
		fanOut int64
	}{
		{"own topics QoS 0", func(*Spec) {}, 1},
		{"own topics QoS 1", func(s *Spec) { s.QoS = 1 }, 1},
		{"own topics QoS 2", func(s *Spec) { s.QoS = 2 }, 1},
		{"version 5 QoS 0", func(s *Spec) { s.Protocol = V5 }, 1},
		{"version 5 QoS 2", func(s *Spec) { s.Protocol, s.QoS = V5, 2 }, 1},
		{"fan-out", func(s *Spec) { s.Layout, s.Publishers, s.Subscribers = FanOut, 1, 9 }, 9},
		{"fan-in", func(s *Spec) { s.Layout, s.Publishers, s.Subscribers = FanIn, 9, 1 }, 1},
		{"few exchanges", func(s *Spec) { s.QoS, s.Exchanges = 2, 1 }, 1},
		{"one by one", func(s *Spec) { s.Batch = 1 }, 1},
		{"long steps", func(s *Spec) { s.Step = 16 }, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := shortSpec()
			tc.change(&s)
			m := &noMeter{}
			res, err := Run(t.Context(), []string{startRelay(t, faithful)}, s, m)
			if err != nil {
				t.Fatal(err)
			}
			if !res.Clean() || res.Sent == 0 || res.Delivered == 0 || res.Received != res.Sent*tc.fanOut {
				t.Errorf("%+v, want %d deliveries for each message and nothing amiss", res, tc.fanOut)
			}
			if m.marks != 2 {
				t.Errorf("%d marks, want 2", m.marks)
			}
		})
	}
}

// TestRunFindsFaults: a broker that loses or doubles messages is found out, to
// the message.
func TestRunFindsFaults(t *testing.T) {
	everyTenth := func(copies int) func(int) int {
		return func(n int) int {
			if n%10 == 9 {
				return copies
			}
			return 1
		}
	}
	s := shortSpec()
	s.QoS = 1
	s.Publishers, s.Subscribers = 1, 1
	s.Drain = 100 * time.Millisecond

	t.Run("loss", func(t *testing.T) {
		res, err := Run(t.Context(), []string{startRelay(t, everyTenth(0))}, s, &noMeter{})
		if err != nil {
			t.Fatal(err)
		}
		if want := uint64(res.Sent / 10); res.Lost != want || want == 0 || res.Duplicates != 0 {
			t.Errorf("%+v, want %d lost", res, want)
		}
	})
	t.Run("doubles", func(t *testing.T) {
		res, err := Run(t.Context(), []string{startRelay(t, everyTenth(2))}, s, &noMeter{})
		if err != nil {
			t.Fatal(err)
		}
		if want := uint64(res.Sent / 10); res.Duplicates != want || want == 0 || res.Lost != 0 {
			t.Errorf("%+v, want %d doubled", res, want)
		}
	})
}

// TestRunPaced: the rate is kept to and every latency is there.
func TestRunPaced(t *testing.T) {
	s := shortSpec()
	s.Rate, s.Warmup, s.Duration = 1000, 0, 200*time.Millisecond
	res, err := Run(t.Context(), []string{startRelay(t, faithful)}, s, &noMeter{})
	if err != nil {
		t.Fatal(err)
	}
	if !res.Clean() || res.Sent == 0 {
		t.Errorf("%+v", res)
	}
	// A busy machine may take longer over it, never send more.
	if most := int64(res.Elapsed.Seconds()*float64(s.Rate)) + 2*int64(s.Publishers) + int64(s.Rate)/10; res.Delivered > most {
		t.Errorf("%d messages in %s, want at most %d", res.Delivered, res.Elapsed, most)
	}
	if len(res.Latencies) == 0 || res.Quantile(0.5) > res.Quantile(0.99) || res.Quantile(0) <= 0 {
		t.Errorf("%d latencies, p0 %s, p50 %s, p99 %s", len(res.Latencies), res.Quantile(0), res.Quantile(0.5), res.Quantile(0.99))
	}
}

// TestRunBrokerGone: a connection that the broker closes ends the run with the
// reason.
func TestRunBrokerGone(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	if _, err := Run(t.Context(), []string{l.Addr().String()}, shortSpec(), &noMeter{}); err == nil {
		t.Error("no error from a broker that closes every connection")
	}
}

func TestRunCancelled(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	s := shortSpec()
	s.Duration = time.Hour
	if _, err := Run(ctx, []string{startRelay(t, faithful)}, s, &noMeter{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the context's error", err)
	}
}

func TestGather(t *testing.T) {
	crowd, err := Gather(t.Context(), []string{startRelay(t, faithful)}, 50, V5)
	if err != nil {
		t.Fatal(err)
	}
	defer crowd.Close()
	if crowd.Len() != 50 {
		t.Errorf("%d connections, want 50", crowd.Len())
	}
}

func TestValidate(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*Spec)
		ok     bool
	}{
		{"as it is", func(*Spec) {}, true},
		{"no publisher", func(s *Spec) { s.Publishers = 0 }, false},
		{"own topics for unequal numbers", func(s *Spec) { s.Subscribers++ }, false},
		{"payload too small for the header", func(s *Spec) { s.Payload = headerSize - 1 }, false},
		{"no window", func(s *Spec) { s.Window = 0 }, false},
		{"more than the identifiers", func(s *Spec) { s.Window = 65536 }, false},
		{"QoS 3", func(s *Spec) { s.QoS = 3 }, false},
		{"no time", func(s *Spec) { s.Duration = 0 }, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := shortSpec()
			tc.change(&s)
			if err := s.Validate(); (err == nil) != tc.ok {
				t.Errorf("got %v", err)
			}
		})
	}
}
