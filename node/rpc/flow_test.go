package rpc

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A peer that does not acknowledge fills its lane's queue: Send refuses, Ready
// tells, other lanes and other peers go on.
func TestFullQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newPipes()
		cfg := network.on(testConfig("a", 1))
		cfg.QueueBytes, cfg.BatchMessages = 10000, 10
		a := start(t, cfg, nil)
		held := newHold()
		b := start(t, network.on(testConfig("b", 1)), func(e *Endpoint) {
			e.Handle(kindNumber, collect(0).handle)
			e.Handle(kindHold, held.handle)
		})
		c := start(t, network.on(testConfig("c", 1)), func(e *Endpoint) { e.Handle(kindNumber, collect(0).handle) })
		join(t, a, b, c)
		outcomes := make(chan error, 10000)
		n := 0
		payload := func(dst []byte) []byte { return append(dst, make([]byte, 94)...) } // 100 bytes with what is around it
		for ; ; n++ {
			if err := a.Send("b", 0, kindHold, payload, func(err error) { outcomes <- err }); err != nil {
				if !errors.Is(err, ErrFull) {
					t.Fatal(err)
				}
				break
			}
		}
		if n < 90 || n > 100 {
			t.Errorf("%d messages of 100 bytes fit", n)
		}
		synctest.Wait()
		if err := a.Send("b", 0, kindHold, payload, nil); !errors.Is(err, ErrFull) {
			t.Errorf("written but not acknowledged: %v", err)
		}
		ready := a.Ready("b", 0)
		<-a.Ready("b", 1)
		succeeded(t, counted(t, a, "b", 1, 500), 500)
		succeeded(t, counted(t, a, "c", 0, 500), 500)
		select {
		case <-ready:
			t.Fatal("ready while full")
		default:
		}
		for range n / 3 {
			(<-held.acks)()
		}
		synctest.Wait()
		select {
		case <-ready:
			t.Fatal("ready with a third of the queue free")
		default:
		}
		for range n - n/3 {
			(<-held.acks)()
		}
		<-ready
		succeeded(t, outcomes, n)
		if err := a.Send("b", 0, kindNumber, number(1), nil); err != nil {
			t.Error(err)
		}
		if st, _ := a.PeerStats("b"); st.Refused != 2 {
			t.Errorf("%+v", st)
		}
	})
}

// Whatever the order of acknowledgements and from wherever they come, outcomes
// come in the order of the lane.
func TestAcksInAnyOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newPipes()
		held := newHold()
		a := start(t, network.on(testConfig("a", 1)), nil)
		b := start(t, network.on(testConfig("b", 1)), func(e *Endpoint) { e.Handle(kindHold, held.handle) })
		join(t, a, b)
		const n = 3000
		order := make(chan int, n)
		for i := range n {
			if err := a.Send("b", 0, kindHold, number(0), func(err error) {
				if err != nil {
					t.Error(err)
				}
				order <- i
			}); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		var acks []func()
		for range n {
			acks = append(acks, <-held.acks)
		}
		for _, i := range []int{3, 1, 2} {
			acks[i]()
		}
		synctest.Wait()
		if len(order) != 0 {
			t.Fatal("an outcome before that of the first message")
		}
		acks[0]()
		synctest.Wait()
		if len(order) != 4 {
			t.Fatalf("%d outcomes, want 4", len(order))
		}
		rand.Shuffle(n, func(i, j int) { acks[i], acks[j] = acks[j], acks[i] })
		var wg sync.WaitGroup
		for part := range slices.Chunk(acks, n/4) {
			wg.Go(func() {
				for _, ack := range part {
					ack()
				}
			})
		}
		wg.Wait()
		for i := range n {
			if got := <-order; got != i {
				t.Fatalf("outcome %d is of message %d", i, got)
			}
		}
	})
}

// What nobody awaits needs no acknowledgement by the handler, and a kind or a
// frame that is not known is dropped and counted.
func TestUnawaitedAndUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newPipes()
		a := start(t, network.on(testConfig("a", 1)), nil)
		b := start(t, network.on(testConfig("b", 1)), func(e *Endpoint) {
			e.Handle(kindHold, func(Peer, []byte, func()) {})
		})
		join(t, a, b)
		for range 100 {
			if err := a.Send("b", 0, kindHold, number(0), nil); err != nil {
				t.Fatal(err)
			}
		}
		succeeded(t, counted(t, a, "b", 0, 10), 10)
		st, _ := b.PeerStats("a")
		if st.Received != 110 || st.Unknown != 10 || st.Duplicates != 0 {
			t.Errorf("%+v", st)
		}
		if st, _ := a.PeerStats("b"); st.QueuedBytes != 0 || st.Acked != 110 {
			t.Errorf("%+v", st)
		}
	})
}

// rawAccept takes one connection as node b and welcomes it.
func rawAccept(t *testing.T, l net.Listener, w welcome) (net.Conn, hello) {
	t.Helper()
	for {
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		o, err := testIdentity("b", "secret").acceptHandshake(conn)
		if err != nil {
			t.Fatal(err)
		}
		if o.hello.purpose != purposeLane || o.hello.lane != 0 {
			conn.Close() // this peer has one lane and no calls
			continue
		}
		if err := o.welcome(w); err != nil {
			t.Fatal(err)
		}
		return conn, o.hello
	}
}

// A peer that falls silent, or reads nothing, is noticed within Silence or
// WriteTimeout, whether there is something to send or not.
func TestSilentPeer(t *testing.T) {
	for _, tc := range []struct {
		name        string
		busy, reads bool
		within      time.Duration
	}{
		{"idle, the peer reads", false, true, 4 * time.Second},
		{"busy, the peer reads", true, true, 4 * time.Second},
		{"idle, the peer does not read", false, false, 4 * time.Second},
		{"busy, the peer does not read", true, false, 3 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network := newPipes()
				l, err := network.listen("b")
				if err != nil {
					t.Fatal(err)
				}
				cfg := network.on(testConfig("a", 1))
				cfg.Silence, cfg.WriteTimeout = 4*time.Second, 3*time.Second
				down := make(chan error, 100)
				cfg.Events.LaneDown = func(_ string, lane int, err error) {
					if lane == 0 {
						down <- err
					}
				}
				cfg.Lanes = 1
				a := start(t, cfg, nil)
				if err := a.SetPeer("b", "b", 0); err != nil {
					t.Fatal(err)
				}
				conn, _ := rawAccept(t, l, welcome{})
				begun := time.Now()
				if tc.reads {
					go func() { _, _ = io.Copy(io.Discard, conn) }() // until it is closed
				}
				if tc.busy {
					counted(t, a, "b", 0, 10)
				}
				if err := <-down; !errors.Is(err, ErrSilent) {
					t.Error(err)
				}
				if took := time.Since(begun); took > tc.within || took < tc.within/2 {
					t.Errorf("noticed after %v", took)
				}
				conn.Close()
				l.Close()
			})
		})
	}
}

// The same on the accepting side; and heartbeats alone keep a connection.
func TestSilentDialler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newPipes()
		cfg := network.on(testConfig("b", 1))
		b := start(t, cfg, nil)
		if err := b.SetPeer("a", "nowhere", 0); err != nil {
			t.Fatal(err)
		}
		conn, err := network.dial(t.Context(), "b")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := testIdentity("a", "secret").dialHandshake(conn, hello{target: "b", stream: 1}); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		_, _ = io.Copy(io.Discard, conn) // until it is closed
		if took := time.Since(begun); took > cfg.Silence || took < cfg.Silence/2 {
			t.Errorf("noticed after %v", took)
		}
		conn.Close()
	})
	synctest.Test(t, func(t *testing.T) {
		network := newPipes()
		a := start(t, network.on(testConfig("a", 1)), nil)
		b := start(t, network.on(testConfig("b", 1)), func(e *Endpoint) {
			e.Handle(kindNumber, collect(0).handle)
			e.HandleCall(kindEcho, func(_ context.Context, _ Peer, b []byte) ([]byte, error) { return b, nil })
		})
		join(t, a, b)
		succeeded(t, counted(t, a, "b", 0, 1), 1)
		time.Sleep(time.Hour)
		succeeded(t, counted(t, a, "b", 0, 1), 1)
		if _, err := a.Call(t.Context(), "b", kindEcho, nil); err != nil {
			t.Error(err)
		}
		for _, e := range []*Endpoint{a, b} {
			for _, name := range e.Peers() {
				if st, _ := e.PeerStats(name); st.Connects != 2 || st.Lanes != 2 {
					t.Errorf("%s to %s: %+v", e.cfg.Name, name, st)
				}
			}
		}
	})
}

// A peer that breaks the protocol is cut off, and loses nothing by it.
func TestPeerBreaksProtocol(t *testing.T) {
	data := func(first uint64, n int) []byte {
		var payloads []string
		for i := range n {
			payloads = append(payloads, string(binary.BigEndian.AppendUint64(nil, first+uint64(i))))
		}
		b := oneBatch(t, first, payloads...)
		for m := b[dataOverhead:]; len(m) > 0; m = m[msgOverhead+8:] {
			m[4] = byte(kindNumber)
		}
		putHeader(b, header{typ: frameData, count: uint16(n)})
		return b
	}
	unknown := appendBeat(nil, 0)
	putHeader(unknown, header{typ: 200, flags: 255})
	damaged := data(4, 1)
	damaged[len(damaged)-1] ^= 1
	noCount := data(4, 2)
	putHeader(noCount, header{typ: frameData, count: 0})
	for _, tc := range []struct {
		name  string
		frame []byte
		ends  bool
		acked uint64
	}{
		{"the next batch", data(4, 2), false, 5},
		{"a batch twice", append(data(4, 2), data(4, 2)...), false, 5},
		{"one that overlaps", data(2, 5), false, 6},
		{"an old one", data(1, 2), false, 3},
		{"a frame of a newer node", append(unknown, data(4, 1)...), false, 4},
		{"a gap", data(5, 2), true, 3},
		{"a sign of life", appendBeat(nil, 3), false, 3},
		{"one that tells of a gap", appendBeat(nil, 4), true, 3},
		{"no messages", noCount, true, 3},
		{"damaged", damaged, true, 3},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network := newPipes()
				got := collect(0)
				b := start(t, network.on(testConfig("b", 1)), func(e *Endpoint) { e.Handle(kindNumber, got.handle) })
				if err := b.SetPeer("a", "nowhere", 0); err != nil {
					t.Fatal(err)
				}
				open := func() (net.Conn, welcome) {
					conn, err := network.dial(t.Context(), "b")
					if err != nil {
						t.Fatal(err)
					}
					w, err := testIdentity("a", "secret").dialHandshake(conn, hello{target: "b", stream: 1})
					if err != nil {
						t.Fatal(err)
					}
					return conn, w
				}
				conn, w := open()
				if w.received != 0 || w.acked != 0 {
					t.Errorf("%+v", w)
				}
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					_, _ = io.Copy(io.Discard, conn) // until it is closed
				}()
				for _, frame := range [][]byte{data(1, 3), tc.frame} {
					if _, err := conn.Write(frame); err != nil {
						t.Fatal(err)
					}
				}
				synctest.Wait()
				select {
				case <-ended:
					if !tc.ends {
						t.Error("the connection was closed")
					}
				default:
					if tc.ends {
						t.Error("the connection goes on")
					}
				}
				conn.Close()
				<-ended
				conn, w = open()
				if w.received != tc.acked || w.acked != tc.acked {
					t.Errorf("%+v, want %d", w, tc.acked)
				}
				conn.Close()
				for i, n := range got.of("a") {
					if n != uint64(i+1) {
						t.Errorf("message %d is %d", i+1, n)
					}
				}
			})
		})
	}
}

// A peer that acknowledges what it was never sent, or has forgotten what it had,
// is not the one that messages were sent to.
func TestPeerLosesMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newPipes()
		l, err := network.listen("b")
		if err != nil {
			t.Fatal(err)
		}
		cfg := network.on(testConfig("a", 1))
		cfg.Lanes = 1
		news := make(chan uint64, 10)
		cfg.Events.PeerGone = func(_ string, _, is uint64) { news <- is }
		a := start(t, cfg, nil)
		if err := a.SetPeer("b", "b", 0); err != nil {
			t.Fatal(err)
		}
		outcomes := counted(t, a, "b", 0, 10)
		conn, h := rawAccept(t, l, welcome{})
		if h.stream != 1 || h.incarnation != 1 {
			t.Errorf("%+v", h)
		}
		k := newLink(conn, time.Minute, time.Minute, maxFrame)
		for n := 0; n < 10; {
			h, _, err := k.next()
			if err != nil {
				t.Fatal(err)
			}
			n += int(h.count)
		}
		if err := k.write(appendAck(nil, 4)); err != nil {
			t.Fatal(err)
		}
		succeeded(t, outcomes, 4)
		conn.Close()
		rawAccept(t, l, welcome{received: 7, acked: 5})
		succeeded(t, outcomes, 1)
		// What is in doubt is written again, and only that.
		synctest.Wait()
		if st, _ := a.PeerStats("b"); st.Acked != 5 {
			t.Errorf("%+v", st)
		}
		time.Sleep(cfg.Silence)
		rawAccept(t, l, welcome{received: 2, acked: 2})
		failed(t, outcomes, 5, ErrPeerGone)
		if is := <-news; is != 5 {
			t.Errorf("gone for %d", is)
		}
		// What is sent from now on starts from the beginning.
		outcomes = counted(t, a, "b", 0, 1)
		conn, h = rawAccept(t, l, welcome{})
		if h.stream != 2 {
			t.Errorf("%+v", h)
		}
		k = newLink(conn, time.Minute, time.Minute, maxFrame)
		if h, _, err := k.next(); err != nil || h.count != 1 {
			t.Fatal(h, err)
		}
		if err := k.write(appendAck(nil, 1)); err != nil {
			t.Fatal(err)
		}
		succeeded(t, outcomes, 1)
		l.Close()
	})
}

// Attempts to connect come at growing, varied times; SetPeer makes one at once.
func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		times := make(chan time.Time, 1000)
		cfg := newPipes().on(testConfig("a", 1))
		cfg.Lanes = 1
		cfg.BackoffMin, cfg.BackoffMax = 100*time.Millisecond, 3*time.Second
		var mu sync.Mutex
		count := 0
		cfg.Dial = func(context.Context, string) (net.Conn, error) {
			mu.Lock()
			defer mu.Unlock()
			count++
			times <- time.Now()
			return nil, errors.New("connection refused")
		}
		a := start(t, cfg, nil)
		begun := time.Now()
		if err := a.SetPeer("b", "b", 0); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Minute)
		mu.Lock()
		n := count
		mu.Unlock()
		// Two connections, 3 s apart in the mean, and a few in the beginning.
		if n < 120 || n > 300 {
			t.Errorf("%d attempts in 5 minutes", n)
		}
		var last time.Time
		for range n {
			last = <-times
		}
		if last.Sub(begun) < 4*time.Minute {
			t.Errorf("the last attempt after %v", last.Sub(begun))
		}
		synctest.Wait()
		for len(times) > 0 {
			<-times
		}
		now := time.Now()
		if err := a.SetPeer("b", "b", 0); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if at := <-times; at != now {
				t.Errorf("attempt after %v", at.Sub(now))
			}
		}
	})
	for x, want := range map[float64]time.Duration{0: time.Second, 0.5: 2 * time.Second, 0.999999999: 3*time.Second - 2} {
		if got := jitter(2*time.Second, x); got != want {
			t.Errorf("jitter %v: %v, want %v", x, got, want)
		}
	}
}

// Stop waits for what can still be acknowledged, and fails the rest.
func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newPipes()
		held := newHold()
		a := start(t, network.on(testConfig("a", 1)), nil)
		b := start(t, network.on(testConfig("b", 1)), func(e *Endpoint) { e.Handle(kindHold, held.handle) })
		join(t, a, b)
		if err := a.SetPeer("c", "c", 0); err != nil {
			t.Fatal(err)
		}
		outcomes := make(chan error, 10)
		send := func(to string) error {
			return a.Send(to, 0, kindHold, number(0), func(err error) { outcomes <- err })
		}
		away := counted(t, a, "c", 0, 3)
		if err := send("b"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second) // connected by then
		stopped := make(chan error, 1)
		go func() { stopped <- a.Stop(t.Context()) }()
		synctest.Wait()
		if len(stopped) != 0 || len(outcomes) != 0 {
			t.Fatal("stopped with a message on the way")
		}
		if err := send("b"); !errors.Is(err, ErrStopped) {
			t.Error(err)
		}
		if err := a.SetPeer("d", "d", 0); !errors.Is(err, ErrStopped) {
			t.Error(err)
		}
		(<-held.acks)()
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		succeeded(t, outcomes, 1)
		failed(t, away, 3, ErrStopped)
	})
	synctest.Test(t, func(t *testing.T) {
		network := newPipes()
		a := start(t, network.on(testConfig("a", 1)), nil)
		b := start(t, network.on(testConfig("b", 1)), func(e *Endpoint) { e.Handle(kindNumber, newHold().handle) })
		join(t, a, b)
		outcomes := counted(t, a, "b", 0, 5)
		time.Sleep(time.Second) // connected by then
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if err := a.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		failed(t, outcomes, 5, ErrStopped)
		if err := a.Send("b", 0, kindNumber, number(0), nil); !errors.Is(err, ErrStopped) {
			t.Error(err)
		}
		if _, err := a.Call(t.Context(), "b", kindEcho, nil); !errors.Is(err, ErrStopped) {
			t.Error(err)
		}
	})
}

func TestPortInUse(t *testing.T) {
	a := start(t, testConfig("a@127.0.0.1", 1), nil)
	cfg := testConfig("b@127.0.0.1", 1)
	cfg.Listen = a.Addr().String()
	b, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Start(t.Context()); !errors.Is(err, ErrPortInUse) {
		t.Error(err)
	}
	if err := b.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestValidate(t *testing.T) {
	good := testConfig("a@h", 1)
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Config){
		"no name":        func(c *Config) { c.Name = "" },
		"no cookie":      func(c *Config) { c.Cookie = "" },
		"no incarnation": func(c *Config) { c.Incarnation = 0 },
		"no address":     func(c *Config) { c.Listen = "" },
		"no lanes":       func(c *Config) { c.Lanes = 0 },
		"many lanes":     func(c *Config) { c.Lanes = 257 },
		"no queue":       func(c *Config) { c.QueueBytes = 0 },
		"no batch":       func(c *Config) { c.BatchMessages = 0 },
		"large batch":    func(c *Config) { c.BatchMessages = 1 << 16 },
		"large message":  func(c *Config) { c.MaxMessage = MaxMessageLimit + 1 },
		"no calls":       func(c *Config) { c.MaxCalls = 0 },
		"no silence":     func(c *Config) { c.Silence = 0 },
		"back-off":       func(c *Config) { c.BackoffMax = c.BackoffMin - 1 },
		"half of TLS":    func(c *Config) { c.TLS = &TLS{} },
		"no half-open":   func(c *Config) { c.MaxHalfOpen = 0 },
	} {
		cfg := good
		change(&cfg)
		if _, err := New(cfg); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
