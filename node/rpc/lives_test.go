package rpc

import (
	"errors"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// hold is a handler that keeps acknowledgements back until released.
type hold struct {
	acks chan func()
}

func newHold() *hold { return &hold{acks: make(chan func(), 10000)} }

func (h *hold) handle(_ Peer, _ []byte, ack func()) { h.acks <- ack }

// failed waits for n outcomes and wants each to be err.
func failed(t *testing.T, outcomes <-chan error, n int, err error) {
	t.Helper()
	for i := range n {
		if got := <-outcomes; !errors.Is(got, err) {
			t.Fatalf("outcome %d: %v, want %v", i, got, err)
		}
	}
	select {
	case got := <-outcomes:
		t.Fatalf("one outcome too many: %v", got)
	default:
	}
}

// succeeded waits for n outcomes that are all nil.
func succeeded(t *testing.T, outcomes <-chan error, n int) {
	t.Helper()
	for i := range n {
		if got := <-outcomes; got != nil {
			t.Fatalf("outcome %d: %v", i, got)
		}
	}
}

// A peer that comes back in another life: what was sent to the old one fails,
// and nothing goes to the new one until the caller says so.
func TestPeerRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newPipes()
		type gone struct{ was, is uint64 }
		news := make(chan gone, 10)
		cfg := network.on(testConfig("a", 1))
		cfg.Events.PeerGone = func(_ string, was, is uint64) { news <- gone{was, is} }
		a := start(t, cfg, nil)
		b := start(t, network.on(testConfig("b", 1)), func(e *Endpoint) { e.Handle(kindNumber, newHold().handle) })
		join(t, a, b)
		lane0 := counted(t, a, "b", 0, 10)
		lane1 := counted(t, a, "b", 1, 10)
		synctest.Wait()
		halt(t, b)
		lane0late := counted(t, a, "b", 0, 5) // not written to anyone

		got := collect(10)
		b2 := start(t, network.on(testConfig("b", 2)), func(e *Endpoint) { e.Handle(kindNumber, got.handle) })
		if err := b2.SetPeer("a", "a", 0); err != nil {
			t.Fatal(err)
		}
		failed(t, lane0, 10, ErrPeerGone)
		failed(t, lane1, 10, ErrPeerGone)
		failed(t, lane0late, 5, ErrPeerGone)
		if g := <-news; g != (gone{1, 2}) {
			t.Errorf("%+v", g)
		}
		if err := a.Send("b", 0, kindNumber, number(0), nil); !errors.Is(err, ErrPeerGone) {
			t.Errorf("send to the old life: %v", err)
		}
		time.Sleep(time.Minute)
		if n := len(got.of("a")); n != 0 {
			t.Errorf("%d messages reached the new life", n)
		}
		if err := a.SetPeer("b", "b", 2); err != nil {
			t.Fatal(err)
		}
		succeeded(t, counted(t, a, "b", 0, 10), 10)
		if !slices.Equal(got.of("a"), upTo(10)) || len(news) != 0 {
			t.Errorf("got %v", got.of("a"))
		}
	})
}

// Where any life will do, messages sent after the news go to the new one.
func TestAnyLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newPipes()
		a := start(t, network.on(testConfig("a", 1)), nil)
		if err := a.SetPeer("b", "b", 0); err != nil {
			t.Fatal(err)
		}
		b := start(t, network.on(testConfig("b", 1)), func(e *Endpoint) { e.Handle(kindNumber, newHold().handle) })
		if err := b.SetPeer("a", "a", 1); err != nil {
			t.Fatal(err)
		}
		old := counted(t, a, "b", 0, 10)
		// One that is sent again as soon as its outcome is known.
		again := make(chan error, 1)
		if err := a.Send("b", 1, kindNumber, number(9), func(err error) {
			if !errors.Is(err, ErrPeerGone) {
				t.Error(err)
			}
			if err := a.Send("b", 1, kindNumber, number(99), func(err error) { again <- err }); err != nil {
				t.Error(err)
			}
		}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		if st, _ := a.PeerStats("b"); st.Incarnation != 1 || st.Sent != 11 || st.Lanes != 2 {
			t.Errorf("%+v", st)
		}
		halt(t, b)
		got := collect(3)
		b2 := start(t, network.on(testConfig("b", 2)), func(e *Endpoint) { e.Handle(kindNumber, got.handle) })
		if err := b2.SetPeer("a", "a", 1); err != nil {
			t.Fatal(err)
		}
		failed(t, old, 10, ErrPeerGone)
		succeeded(t, again, 1)
		succeeded(t, counted(t, a, "b", 0, 3), 3)
		if st, _ := a.PeerStats("b"); st.Incarnation != 2 {
			t.Errorf("%+v", st)
		}
	})
}

// While another life answers than the one that is meant and was never seen,
// messages wait: the news may be ahead of the peer. The caller decides.
func TestLifeNotSeenYet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newPipes()
		cfg := network.on(testConfig("a", 1))
		reasons := downs(&cfg)
		a := start(t, cfg, nil)
		b := start(t, network.on(testConfig("b", 1)), func(e *Endpoint) { e.Handle(kindNumber, collect(0).handle) })
		if err := b.SetPeer("a", "a", 1); err != nil {
			t.Fatal(err)
		}
		if err := a.SetPeer("b", "b", 2); err != nil {
			t.Fatal(err)
		}
		waiting := counted(t, a, "b", 0, 10)
		for range 6 {
			if err := <-reasons; !errors.Is(err, ErrIncarnation) {
				t.Error(err)
			}
		}
		if len(waiting) != 0 {
			t.Fatal("an outcome of a message that waits")
		}
		halt(t, b)
		got := collect(10)
		b2 := start(t, network.on(testConfig("b", 2)), func(e *Endpoint) { e.Handle(kindNumber, got.handle) })
		if err := b2.SetPeer("a", "a", 1); err != nil {
			t.Fatal(err)
		}
		succeeded(t, waiting, 10)
	})
}

// Removed on one side, or on both, and set again in the same lives: what was
// acknowledged is not repeated, what was not fails on the side that removed, and
// arrives, once, from the side that did not.
func TestRemoveAndSetAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newPipes()
		held := newHold()
		got := collect(0)
		a := start(t, network.on(testConfig("a", 1)), nil)
		b := start(t, network.on(testConfig("b", 1)), func(e *Endpoint) {
			e.Handle(kindNumber, got.handle)
			e.Handle(kindHold, held.handle)
		})
		join(t, a, b)
		succeeded(t, counted(t, a, "b", 0, 7), 7)
		outcomes := make(chan error, 100)
		for range 3 {
			if err := a.Send("b", 0, kindHold, number(0), func(err error) { outcomes <- err }); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()

		// The receiver forgets the sender for a while.
		b.RemovePeer("a")
		if _, ok := b.PeerStats("a"); ok {
			t.Error("the peer is still there")
		}
		late := counted(t, a, "b", 0, 5)
		time.Sleep(10 * time.Second)
		if len(late) != 0 || len(outcomes) != 0 || len(held.acks) != 3 {
			t.Fatal("a removed peer got in")
		}
		if err := b.SetPeer("a", "a", 1); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		if len(held.acks) != 3 {
			t.Fatalf("%d messages of 3", len(held.acks))
		}
		for range 3 {
			(<-held.acks)()
		}
		succeeded(t, outcomes, 3)
		succeeded(t, late, 5)
		if want := append(upTo(7), upTo(5)...); !slices.Equal(got.of("a"), want) {
			t.Errorf("got %v, want %v", got.of("a"), want)
		}

		// The sender forgets the receiver.
		for range 3 {
			if err := a.Send("b", 0, kindHold, number(0), func(err error) { outcomes <- err }); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		a.RemovePeer("b")
		failed(t, outcomes, 3, ErrRemoved)
		if err := a.Send("b", 0, kindNumber, number(0), nil); !errors.Is(err, ErrUnknownPeer) {
			t.Error(err)
		}
		<-a.Ready("b", 0)
		if err := a.SetPeer("b", "b", 1); err != nil {
			t.Fatal(err)
		}
		again := counted(t, a, "b", 0, 4)
		synctest.Wait()
		for range 3 {
			(<-held.acks)() // of the stream before: they move nothing
		}
		succeeded(t, again, 4)
		if want := slices.Concat(upTo(7), upTo(5), upTo(4)); !slices.Equal(got.of("a"), want) {
			t.Errorf("got %v, want %v", got.of("a"), want)
		}
	})
}

// SetPeer with another incarnation ends the old life at once, both ways, and it
// is not let in again.
func TestNewsOfAnotherLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newPipes()
		got := collect(0)
		cfg := network.on(testConfig("b", 1))
		reasons := downs(&cfg)
		a := start(t, network.on(testConfig("a", 1)), func(e *Endpoint) { e.Handle(kindNumber, got.handle) })
		b := start(t, cfg, func(e *Endpoint) { e.Handle(kindNumber, newHold().handle) })
		join(t, a, b)
		out := counted(t, a, "b", 0, 10)
		succeeded(t, counted(t, b, "a", 0, 10), 10)
		for len(reasons) > 0 {
			<-reasons
		}
		if err := a.SetPeer("b", "b", 2); err != nil {
			t.Fatal(err)
		}
		failed(t, out, 10, ErrPeerGone)
		in := counted(t, b, "a", 0, 10)
		var last error
		for range 20 {
			last = <-reasons
		}
		if !errors.Is(last, ErrRefused) || len(in) != 0 || len(got.of("b")) != 10 {
			t.Errorf("the old life: %v; %d outcomes, %d messages", last, len(in), len(got.of("b")))
		}
		// Unless the caller comes back to it.
		if err := a.SetPeer("b", "b", 1); err != nil {
			t.Fatal(err)
		}
		succeeded(t, in, 10)
	})
}

// An endpoint that is not who it should be.
func TestWrongPeers(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*Config)
		want   error
	}{
		{"cookie", func(c *Config) { c.Cookie = "other" }, ErrAuth},
		{"name", func(c *Config) { c.Name = "c" }, ErrName},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network := newPipes()
				cfg := network.on(testConfig("a", 1))
				reasons := downs(&cfg)
				a := start(t, cfg, nil)
				other := testConfig("b", 1)
				tc.change(&other)
				other.Listener = func() (l net.Listener, err error) { return network.listen("b") }
				other.Dial = network.dial
				b := start(t, other, nil)
				if err := b.SetPeer("a", "a", 0); err != nil {
					t.Fatal(err)
				}
				if err := a.SetPeer("b", "b", 0); err != nil {
					t.Fatal(err)
				}
				for range 5 {
					if err := <-reasons; !errors.Is(err, tc.want) {
						t.Error(err)
					}
				}
			})
		})
	}
}
