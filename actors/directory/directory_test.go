package directory_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"ermine/actors/directory"
	"ermine/actors/fault"
	"ermine/actors/kernel"
	"ermine/actors/metrics"
	"ermine/actors/router"
	"ermine/actors/session"
)

// house is a directory with the sessions that it opens.
type house struct {
	*directory.Directory
	sessions *session.Manager
	system   *kernel.System
}

func newHouse(t *testing.T) *house {
	t.Helper()
	log, set, wheel := slog.New(slog.DiscardHandler), metrics.NewSet(), kernel.NewWheel(kernel.WheelConfig{})
	h := &house{system: kernel.NewSystem(kernel.Config{Logger: log})}
	routes := router.New(router.Config{Logger: log, Metrics: set})
	host := &session.Host{
		Logger: log, Metrics: set, Router: routes, Wheel: wheel, Now: time.Now, Publish: routes.Publish,
		Release: func(s *session.Session, epoch uint64) { h.Release(s, epoch) },
	}
	h.sessions = session.NewManager(host, func(s *session.Session) { h.Forget(s) })
	h.Directory = directory.New(h.sessions)
	for _, start := range []func(*kernel.System) error{routes.Start, h.sessions.Start, h.Start} {
		if err := start(h.system); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := h.system.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		wheel.Close()
	})
	return h
}

// mute is a connection that takes everything and says nothing.
type mute struct{}

func (mute) WritePublish(int64, session.Outgoing) bool { return true }
func (mute) WriteAck(session.AckKind, uint16, byte)    {}
func (mute) WriteSuback(uint16, []byte)                {}
func (mute) WriteUnsuback(uint16, []byte)              {}
func (mute) Flush()                                    {}
func (mute) Writable() bool                            { return true }
func (mute) Disconnect(byte)                           {}
func request(id string, expiry uint32) session.OpenRequest {
	return session.OpenRequest{Client: session.Client{ID: id, Version: 5}, Conn: mute{}, Expiry: expiry}
}

func (h *house) open(t *testing.T, id string, expiry uint32) session.Opened {
	t.Helper()
	o, err := h.Open(t.Context(), request(id, expiry))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func (h *house) processes() int {
	for _, k := range h.system.Stats().Kinds {
		if k.Kind == "session" {
			return k.Actors
		}
	}
	return 0
}

func (h *house) untilProcesses(t *testing.T, want int) {
	t.Helper()
	eventually(t, fmt.Sprint(want, " session processes"), func() bool { return h.processes() == want })
}

// eventually polls cond until it holds, at most 10 s.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for !cond() {
		select {
		case <-time.After(time.Millisecond):
		case <-deadline:
			t.Fatalf("%s: not within 10 s", what)
		}
	}
}

// Opens of one client ID are numbered; the later has the session.
func TestOpensAreNumbered(t *testing.T) {
	h := newHouse(t)
	for want := uint64(1); want <= 3; want++ {
		o := h.open(t, "c", 60)
		if got := h.sessions.Find("c").Epoch(); got != want || o.Present != (want > 1) {
			t.Errorf("open %d: epoch %d, present %v", want, got, o.Present)
		}
	}
	if h.processes() != 1 {
		t.Errorf("%d processes of one client ID (D1)", h.processes())
	}
}

// An entry goes with its session, and a client that comes while that is under
// way is served (D2).
func TestEndAndOpenRace(t *testing.T) {
	h := newHouse(t)
	for range 200 {
		o := h.open(t, "c", 0)
		go o.Handle.Close(session.CloseCause{})
	}
	h.open(t, "c", 0).Handle.Close(session.CloseCause{})
	h.untilProcesses(t, 0)
	if s := h.sessions.Find("c"); s != nil {
		t.Error("the session is still found")
	}
	if h.open(t, "c", 0); h.sessions.Find("c").Epoch() != 1 {
		t.Errorf("the entry was kept: epoch %d", h.sessions.Find("c").Epoch())
	}
}

func TestConcurrentOpens(t *testing.T) {
	h := newHouse(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if _, err := h.Open(t.Context(), request("c", 60)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if got := h.sessions.Find("c").Epoch(); got != 400 || h.processes() != 1 {
		t.Errorf("epoch %d after 400 opens, %d processes", got, h.processes())
	}
}

// A session whose first open fails leaves no process behind.
func TestFailedOpenLeavesNothing(t *testing.T) {
	h := newHouse(t)
	spec, err := fault.Parse("panic times 3")
	if err != nil {
		t.Fatal(err)
	}
	disarm, err := fault.Arm("session.open", spec)
	if err != nil {
		t.Fatal(err)
	}
	defer disarm()
	if _, err := h.Open(t.Context(), request("c", 60)); err == nil {
		t.Fatal("opened")
	}
	h.untilProcesses(t, 0)
}

// A connection that has given up waiting takes no session over.
func TestOpenWithoutCaller(t *testing.T) {
	h := newHouse(t)
	kept := h.open(t, "c", 60)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Open(ctx, request("c", 60)); err == nil {
		t.Fatal("opened for nobody")
	}
	c := h.sessions.Find("c")
	eventually(t, "the open to come", func() bool { return c.Epoch() == 2 })
	in, err := c.Inspect(t.Context())
	if err != nil || !in.Connected {
		t.Errorf("connected %v, %v", in.Connected, err)
	}
	kept.Handle.Close(session.CloseCause{})
}
