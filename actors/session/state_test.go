package session

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"ermine/actors/message"
	"ermine/actors/metrics"
	"ermine/actors/router"
)

// script is a connection that writes down what the state machine sends:
// `pub 1 q1 a`, `pub 1 q1 dup a`, `rel 1`.
type script struct {
	lines   []string
	blocked bool
	limit   int // largest payload; 0 is none
}

func (s *script) Writable() bool { return !s.blocked }

func (s *script) WritePublish(_ int64, p Outgoing) bool {
	if s.limit > 0 && len(p.Msg.Payload) > s.limit {
		return false
	}
	l := fmt.Sprintf("pub %d q%d", p.PacketID, p.QoS)
	if p.Dup {
		l += " dup"
	}
	if p.Retain {
		l += " retain"
	}
	s.lines = append(s.lines, l+" "+string(p.Msg.Payload))
	return true
}

func (s *script) WriteAck(kind AckKind, id uint16, code byte) {
	l := fmt.Sprintf("%d %d", kind, id)
	if kind == Pubrel {
		l = fmt.Sprintf("rel %d", id)
	}
	if code != 0 {
		l += fmt.Sprintf(" 0x%02x", code)
	}
	s.lines = append(s.lines, l)
}

func (s *script) take() string {
	out := strings.Join(s.lines, "; ")
	s.lines = nil
	return out
}

func sub(qos byte) *router.Subscription {
	return &router.Subscription{Raw: "t", Filter: "t", Options: router.Options{QoS: qos}}
}

func msg(qos byte, payload string) *message.Message {
	return &message.Message{Topic: "t", QoS: qos, Payload: []byte(payload)}
}

func newState(edit func(*Limits), rm uint16) *State {
	l := Limits{MaxInflight: 2, MaxQueue: 3, StoreQoS0: true}
	if edit != nil {
		edit(&l)
	}
	s := NewState("c", l, metrics.NewSet(), 0)
	s.Configure(l, rm, true)
	return s
}

func expect(t *testing.T, o *script, want string) {
	t.Helper()
	if got := o.take(); got != want {
		t.Fatalf("sent %q\nwant %q", got, want)
	}
}

func TestStateEffectiveQoS(t *testing.T) {
	for _, c := range []struct {
		pub, sub byte
		upgrade  bool
		want     string
	}{
		{0, 2, false, "pub 0 q0 x"},
		{1, 0, false, "pub 0 q0 x"},
		{2, 1, false, "pub 1 q1 x"},
		{2, 2, false, "pub 1 q2 x"},
		{0, 1, true, "pub 1 q1 x"},
		{1, 2, true, "pub 1 q2 x"},
	} {
		o := &script{}
		newState(func(l *Limits) { l.UpgradeQoS = c.upgrade }, 0).Deliver(0, msg(c.pub, "x"), sub(c.sub), false, o)
		expect(t, o, c.want)
	}
}

func TestStateRetainFlag_MQTT_3_3_1_12_MQTT_3_3_1_13(t *testing.T) {
	o, s := &script{}, newState(nil, 0)
	m := msg(0, "x")
	m.Retain = true
	s.Deliver(0, m, sub(0), false, o)
	expect(t, o, "pub 0 q0 x")
	rap := sub(0)
	rap.RetainAsPublished = true
	s.Deliver(0, m, rap, false, o)
	expect(t, o, "pub 0 q0 retain x")
	s.Deliver(0, msg(0, "y"), sub(0), true, o)
	expect(t, o, "pub 0 q0 retain y")
}

func TestStateWindowAndQueue_MQTT_3_3_4_9(t *testing.T) {
	o, s := &script{}, newState(nil, 0)
	for i := range 4 {
		s.Deliver(0, msg(1, fmt.Sprint(i)), sub(1), false, o)
	}
	expect(t, o, "pub 1 q1 0; pub 2 q1 1")
	if s.Inflight() != 2 || s.Queued() != 2 {
		t.Fatalf("inflight %d, queued %d", s.Inflight(), s.Queued())
	}
	if s.Puback(0, 9, o) {
		t.Error("PUBACK of an unused identifier was taken")
	}
	s.Puback(0, 2, o)
	expect(t, o, "pub 3 q1 2")
	s.Puback(0, 1, o)
	expect(t, o, "pub 4 q1 3")
	s.Puback(0, 3, o)
	s.Puback(0, 4, o)
	if s.Inflight()+s.Queued() != 0 {
		t.Error("something is left")
	}
}

func TestStateQoS2(t *testing.T) {
	o, s := &script{}, newState(nil, 0)
	s.Deliver(0, msg(2, "x"), sub(2), false, o)
	expect(t, o, "pub 1 q2 x")
	if s.Puback(0, 1, o) || s.Pubcomp(0, 1, o) {
		t.Error("a QoS 2 message was completed out of turn")
	}
	s.Pubrec(0, 1, 0, o)
	expect(t, o, "rel 1")
	s.Pubrec(0, 1, 0, o) // repeated by the client
	expect(t, o, "rel 1")
	if !s.Pubcomp(0, 1, o) || s.Inflight() != 0 {
		t.Error("PUBCOMP did not complete it")
	}
	if s.Pubrec(0, 1, 0, o) {
		t.Error("PUBREC of a free identifier was taken")
	}
	expect(t, o, "rel 1 0x92")
	s.Deliver(0, msg(2, "y"), sub(2), false, o)
	o.take()
	s.Pubrec(0, 2, 0x97, o)
	expect(t, o, "")
	if s.Inflight() != 0 {
		t.Error("a refused QoS 2 message is still in flight")
	}
}

func TestStateResumeOrder_MQTT_4_4_0_1_MQTT_4_6_0_1(t *testing.T) {
	o, s := &script{}, newState(func(l *Limits) { l.MaxInflight = 4 }, 0)
	for i := range 3 {
		s.Deliver(0, msg(byte(1+i%2), fmt.Sprint(i)), sub(2), false, o)
	}
	s.Pubrec(0, 2, 0, o)
	s.Deliver(0, msg(1, "3"), sub(2), false, nil) // while away
	s.Deliver(0, msg(0, "4"), sub(2), false, nil)
	o.take()
	s.Resume(0, o)
	expect(t, o, "rel 2; pub 1 q1 dup 0; pub 3 q1 dup 2; pub 4 q1 3; pub 0 q0 4")
	// A client that takes less than before gets the rest as it acknowledges.
	s.Configure(s.Limits, 1, true)
	s.Resume(0, o)
	expect(t, o, "rel 2")
	s.Pubcomp(0, 2, o)
	expect(t, o, "pub 1 q1 dup 0")
	s.Puback(0, 1, o)
	expect(t, o, "pub 3 q1 dup 2")
}

func TestStateQueuePolicies(t *testing.T) {
	t.Run("oldest goes", func(t *testing.T) {
		o, s := &script{}, newState(nil, 0)
		for i := range 5 {
			s.Deliver(0, msg(1, fmt.Sprint(i)), sub(1), false, nil)
		}
		s.Resume(0, o)
		expect(t, o, "pub 1 q1 2; pub 2 q1 3")
		if s.Counts.DroppedFull != 2 || s.metrics.Get(metrics.DeliveryDroppedQueueFull) != 2 {
			t.Errorf("counted %+v", s.Counts)
		}
	})
	t.Run("no QoS 0", func(t *testing.T) {
		s := newState(func(l *Limits) { l.StoreQoS0 = false }, 0)
		s.Deliver(0, msg(0, "x"), sub(1), false, nil)
		if s.Queued() != 0 || s.Counts.DroppedQoS0 != 1 {
			t.Errorf("queued %d, %+v", s.Queued(), s.Counts)
		}
	})
	t.Run("priorities", func(t *testing.T) {
		o, s := &script{}, newState(func(l *Limits) {
			l.Priorities, l.MaxInflight = map[string]int{"high": 10, "low": 1}, 0
		}, 0)
		for _, topic := range []string{"low", "t", "high"} {
			m := msg(1, topic)
			m.Topic = topic
			s.Deliver(0, m, sub(1), false, nil)
		}
		m := msg(1, "high2")
		m.Topic = "high"
		s.Deliver(0, m, sub(1), false, nil) // full: the oldest of the lowest priority goes
		m = msg(1, "t2")
		s.Deliver(0, m, sub(1), false, nil) // goes itself: all others are more urgent
		s.Resume(0, o)
		expect(t, o, "pub 1 q1 high; pub 2 q1 high2; pub 3 q1 low")
	})
	t.Run("expired", func(t *testing.T) {
		o, s := &script{}, newState(nil, 0)
		m := msg(1, "x")
		m.Expires = 100
		s.Deliver(0, m, sub(1), false, nil)
		s.Resume(100, o)
		expect(t, o, "")
		if s.Counts.DroppedExpired != 1 {
			t.Errorf("counted %+v", s.Counts)
		}
	})
	t.Run("too large", func(t *testing.T) {
		o, s := &script{limit: 2}, newState(nil, 0)
		s.Deliver(0, msg(1, "xxx"), sub(1), false, o)
		s.Deliver(0, msg(1, "y"), sub(1), false, o)
		expect(t, o, "pub 2 q1 y")
		if s.Counts.DroppedTooLarge != 1 || s.Inflight() != 1 {
			t.Errorf("inflight %d, %+v", s.Inflight(), s.Counts)
		}
	})
}

func TestStateSlowSocket(t *testing.T) {
	o, s := &script{blocked: true}, newState(nil, 0)
	s.Deliver(0, msg(0, "a"), sub(0), false, o)
	s.Deliver(0, msg(1, "b"), sub(1), false, o)
	expect(t, o, "")
	o.blocked = false
	s.Deliver(0, msg(0, "c"), sub(0), false, o) // must not overtake a
	expect(t, o, "")
	s.Pump(0, o)
	expect(t, o, "pub 0 q0 a; pub 1 q1 b; pub 0 q0 c")
}

func TestStateRetry(t *testing.T) {
	o, s := &script{}, newState(func(l *Limits) { l.RetryInterval = time.Second }, 0)
	s.Configure(s.Limits, 0, false)
	s.Deliver(0, msg(1, "x"), sub(1), false, o)
	s.Deliver(500, msg(2, "y"), sub(2), false, o)
	o.take()
	if next := s.Retry(1000, o); next != 1500 {
		t.Errorf("next retry at %d", next)
	}
	expect(t, o, "pub 1 q1 dup x")
	o.blocked = true // nothing piles up before a client that does not read
	if next := s.Retry(3000, o); next != 4000 {
		t.Errorf("blocked: next retry at %d", next)
	}
	expect(t, o, "")
	o.blocked = false
	s.Configure(s.Limits, 0, true)
	if s.Retry(9000, o) != 0 {
		t.Error("an MQTT 5 connection is retried")
	}
	expect(t, o, "")
}

// What a client has been sent of QoS 2 goes to nobody else.
func TestStateOrphans_MQTT_4_8_2_5(t *testing.T) {
	for qos, want := range map[byte][]string{1: {"0", "1", "2"}, 2: {"2"}} {
		o, s := &script{}, newState(nil, 0) // a window of 2
		shared := sub(qos)
		shared.Group = "g"
		for i := range 3 {
			s.Deliver(0, msg(qos, fmt.Sprint(i)), shared, false, o)
		}
		s.Deliver(0, msg(1, "own"), sub(1), false, o)
		if qos == 2 {
			s.Pubrec(0, 1, 0, o)
			s.Resume(0, &script{blocked: true}) // the other waits to be sent again
		}
		var got []string
		for _, f := range s.Orphans() {
			got = append(got, string(f.Msg.Payload))
		}
		if !slices.Equal(got, want) {
			t.Errorf("QoS %d: orphans %v, want %v", qos, got, want)
		}
	}
}

func TestStatePacketIDsWrap(t *testing.T) {
	o, s := &script{}, newState(func(l *Limits) { l.MaxInflight = 10 }, 0)
	s.Deliver(0, msg(1, "stays"), sub(1), false, o)
	for i := range 140000 {
		s.Deliver(0, msg(1, "x"), sub(1), false, o)
		id := s.win.last
		if id == 0 || id == 1 {
			t.Fatalf("message %d has identifier %d", i, id)
		}
		if !s.Puback(0, id, o) {
			t.Fatalf("PUBACK %d was not taken", id)
		}
		o.lines = o.lines[:0]
	}
	if !s.Puback(0, 1, o) {
		t.Error("the first message is gone")
	}
}

// TestStateModel runs random histories: every message is delivered, dropped
// and counted, or still held; QoS 1 order holds; the window is never exceeded.
func TestStateModel(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	for range 300 {
		rm := 1 + r.IntN(5)
		s := newState(func(l *Limits) { l.MaxQueue = r.IntN(6); l.MaxInflight = 5 }, uint16(rm))
		o := &script{}
		var conn out = o
		open := map[uint16]byte{} // as the client sees it
		first, delivered := 0, map[string]bool{}
		read := func() {
			for _, l := range o.lines {
				var id uint16
				var qos byte
				var payload string
				if n, _ := fmt.Sscanf(strings.Replace(l, " dup", "", 1), "pub %d q%d %s", &id, &qos, &payload); n == 3 {
					if qos > 0 {
						open[id] = qos
					}
					if !strings.Contains(l, "dup") {
						if delivered[payload] {
							t.Fatalf("%s twice", payload)
						}
						delivered[payload] = true
						var n int
						fmt.Sscanf(payload, "%d", &n)
						if qos == 1 && n < first {
							t.Fatalf("%d after %d", n, first)
						}
						if qos == 1 {
							first = n
						}
					}
				}
			}
			o.lines = nil
			if len(open) > rm {
				t.Fatalf("%d unacknowledged, Receive Maximum %d", len(open), rm)
			}
		}
		sent := 0
		for range 200 {
			switch r.IntN(8) {
			case 0, 1, 2:
				s.Deliver(0, msg(byte(r.IntN(3)), fmt.Sprint(sent)), sub(2), false, conn)
				sent++
			case 3, 4:
				for id, qos := range open {
					if conn == nil {
						break
					}
					if qos == 1 {
						s.Puback(0, id, conn)
					} else {
						s.Pubrec(0, id, 0, conn)
						s.Pubcomp(0, id, conn)
					}
					delete(open, id)
					break
				}
			case 5:
				conn, open = nil, map[uint16]byte{}
			case 6:
				if conn == nil {
					conn = o
					s.Resume(0, conn)
				}
			case 7:
				s.Repair()
			}
			read()
			if s.Inflight() > 5 {
				t.Fatalf("window %d", s.Inflight())
			}
		}
		if got := len(delivered) + int(s.Counts.Dropped) + s.Queued(); got != sent {
			t.Fatalf("%d sent, %d delivered + %d dropped + %d queued", sent, len(delivered), s.Counts.Dropped, s.Queued())
		}
	}
}
