package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ermine/node/dist"
	"ermine/node/dist/epmd"
	"ermine/node/dist/etf"
)

const patience = 30 * time.Second

var nodeCount atomic.Int64

// freeName makes a node name whose port under the static rule is free.
func freeName(t *testing.T) NodeName {
	t.Helper()
	for range 1000 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		_ = l.Close()
		if offset := port - epmd.BaseDistPort; offset > 0 && offset < 60000 {
			return NodeName(fmt.Sprintf("c%d_n%d@127.0.0.1", nodeCount.Add(1), offset))
		}
	}
	t.Fatal("no free port for the static rule")
	return ""
}

// member is one node of a test: its network, its membership and its disk.
type member struct {
	name    NodeName
	dir     string
	cookie  string
	network *dist.Network
	service *Service
	events  chan string
	data    Data
}

// start begins a life of the node, from its disk.
func (m *member) start(t *testing.T) {
	t.Helper()
	network, err := dist.Start(dist.Options{Name: string(m.name), Cookie: m.cookie, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(network.Stop)
	cfg := DefaultConfig(m.name)
	cfg.Heartbeat, cfg.DeadAfter, cfg.JoinTimeout = 200*time.Millisecond, 2*time.Second, 5*time.Second
	m.network = network
	m.service = NewService(Options{
		Network: network, Dir: m.dir, Config: cfg, Logger: slog.New(slog.DiscardHandler), Data: m.data,
		Events: func(e Effect) {
			text := ""
			switch e := e.(type) {
			case NodeUp:
				text = "up " + string(e.Member.Name)
			case NodeDown:
				text = "down " + string(e.Member.Name)
			case MemberJoined:
				text = "joined " + string(e.Member.Name)
			case MemberLeft:
				text = "left " + string(e.Member.Name)
			}
			m.events <- text
		},
	})
	if err := m.service.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := m.service.Ready(); err != nil {
		t.Fatal(err)
	}
}

func newMember(t *testing.T) *member {
	t.Helper()
	m := &member{name: freeName(t), dir: t.TempDir(), cookie: "secret", events: make(chan string, 1000)}
	m.start(t)
	return m
}

// expect waits for an event.
func (m *member) expect(t *testing.T, want string) {
	t.Helper()
	late := time.After(patience)
	for {
		select {
		case got := <-m.events:
			if got == want {
				return
			}
		case <-late:
			t.Fatalf("%s: no event %q; %s", m.name, want, m.service.View().Text())
		}
	}
}

func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// kill ends a node without a goodbye.
func (m *member) kill() { m.network.Stop() }

func TestServiceLife(t *testing.T) {
	a, b, c := newMember(t), newMember(t), newMember(t)
	ctx := deadline(t)
	if err := b.service.Join(ctx, a.name); err != nil {
		t.Fatal(err)
	}
	if err := c.service.Join(ctx, b.name); err != nil {
		t.Fatal(err)
	}
	for _, m := range []*member{a, b} {
		m.expect(t, "up "+string(c.name))
	}
	all := []NodeName{a.name, b.name, c.name}
	slices.Sort(all)
	if got := c.service.View(); !slices.Equal(got.Running(), all) || len(got.Stopped()) != 0 {
		t.Errorf("after joining: %s", got.Text())
	}
	if err := c.service.Join(ctx, a.name); err == nil || err.(*JoinError).Reason != ReasonAlreadyInCluster {
		t.Errorf("joined again: %v", err)
	}

	// One dies without a goodbye and comes back by itself.
	c.kill()
	<-c.service.Done()
	a.expect(t, "down "+string(c.name))
	b.expect(t, "down "+string(c.name))
	c.start(t)
	a.expect(t, "up "+string(c.name))
	b.expect(t, "up "+string(c.name))

	// One stops in order: nobody waits for its silence. The view is published
	// before the event.
	if err := c.service.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	if err := c.service.Err(); err != nil {
		t.Errorf("stopped with %v", err)
	}
	a.expect(t, "down "+string(c.name))
	if got := a.service.View(); !slices.Contains(got.Stopped(), c.name) {
		t.Errorf("after the goodbye: %s", got.Text())
	}
	if err := c.service.Leave(ctx); !errors.Is(err, ErrInterrupted) {
		t.Errorf("command after the end: %v", err)
	}

	// One that is away is removed; one leaves.
	c.kill()
	if err := a.service.ForceLeave(ctx, c.name); err != nil {
		t.Fatal(err)
	}
	b.expect(t, "left "+string(c.name))
	if err := b.service.Leave(ctx); err != nil {
		t.Fatal(err)
	}
	a.expect(t, "left "+string(b.name))
	if got := a.service.View(); len(got.Members) != 1 {
		t.Errorf("after all have gone: %s", got.Text())
	}
	c.start(t)
	c.expect(t, "left "+string(a.name))
	if got := c.service.View(); len(got.Members) != 1 {
		t.Errorf("back after its removal: %s", got.Text())
	}
}

// TestJoinCauses: real failures to connect, told apart.
func TestJoinCauses(t *testing.T) {
	a, b := newMember(t), newMember(t)
	stranger := &member{name: freeName(t), dir: t.TempDir(), cookie: "another", events: make(chan string, 1000)}
	stranger.start(t)
	_, digits, _ := strings.Cut(string(b.name), "_")
	for _, tc := range []struct {
		name   string
		target NodeName
		reason Reason
		cause  Cause
	}{
		{"port", freeName(t), ReasonUnreachable, CausePort},
		{"cookie", stranger.name, ReasonUnreachable, CauseCookie},
		{"name", NodeName("other_" + digits), ReasonNameMismatch, 0},
		{"resolve", "x1@no-such-host.invalid", ReasonUnreachable, CauseResolve},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := a.service.Join(deadline(t), tc.target)
			var e *JoinError
			if !errors.As(err, &e) || e.Reason != tc.reason || e.Cause != tc.cause {
				t.Errorf("got %v", err)
			}
		})
	}
}

// scriptedData is Data whose first adoption fails.
type scriptedData struct {
	calls chan string
	fails atomic.Int64
}

func (d *scriptedData) Adopt(_ context.Context, from NodeName) error {
	d.calls <- "adopt " + string(from)
	if d.fails.Add(-1) >= 0 {
		return errors.New("on purpose")
	}
	return nil
}

func (d *scriptedData) Reset(_ context.Context, removed bool) error {
	d.calls <- fmt.Sprint("reset ", removed)
	return nil
}

// TestData: adopting is tried until it succeeds, and only then the joiner runs;
// whoever is removed resets.
func TestData(t *testing.T) {
	a := newMember(t)
	data := &scriptedData{calls: make(chan string, 10)}
	data.fails.Store(1)
	b := &member{name: freeName(t), dir: t.TempDir(), cookie: "secret", events: make(chan string, 1000), data: data}
	b.start(t)
	ctx := deadline(t)
	if err := b.service.Join(ctx, a.name); err != nil {
		t.Fatal(err)
	}
	a.expect(t, "up "+string(b.name))
	for range 2 {
		if got := <-data.calls; got != "adopt "+string(a.name) {
			t.Errorf("got %s", got)
		}
	}
	if err := a.service.ForceLeave(ctx, b.name); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-data.calls:
		if got != "reset true" {
			t.Errorf("got %s", got)
		}
	case <-ctx.Done():
		t.Fatal("no reset")
	}
}

// TestDiskFails: a node that cannot write down what it is about to tell others
// ends instead.
func TestDiskFails(t *testing.T) {
	a, b := newMember(t), newMember(t)
	if err := os.RemoveAll(a.dir); err != nil {
		t.Fatal(err)
	}
	if err := a.service.Join(deadline(t), b.name); !errors.Is(err, ErrInterrupted) {
		t.Errorf("joined: %v", err)
	}
	<-a.service.Done()
	if err := a.service.Err(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("ended with %v", err)
	}
}

// TestStrayMessages: whatever is sent to the name, the process lives, and counts
// what it cannot read.
func TestStrayMessages(t *testing.T) {
	a, b := newMember(t), newMember(t)
	ctx := deadline(t)
	newer := Encode(nil, samples()["01 ping"])
	newer[1] = 200
	for _, message := range []any{
		etf.Tuple{etf.Atom(ProcessName), newer}, etf.Tuple{}, etf.Atom("hello"), etf.Tuple{etf.Atom(ProcessName), []byte("x")},
	} {
		if err := a.network.Send(ctx, dist.Name(ProcessName, string(b.name)), message); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.service.Join(ctx, b.name); err != nil {
		t.Fatal(err)
	}
	if _, _, unknown := b.service.Counters(); unknown != 3 {
		t.Errorf("%d messages skipped, want 3", unknown)
	}
}
