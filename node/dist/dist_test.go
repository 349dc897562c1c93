package dist

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ergo.services/ergo/act"
	"ergo.services/ergo/gen"

	"ermine/node/dist/epmd"
	"ermine/node/dist/etf"
	"ermine/node/dist/handshake"
	"ermine/node/dist/proto"
)

const patience = 30 * time.Second

var nodeCount atomic.Int64

// freeName makes a node name whose static port is free.
func freeName(tb testing.TB) string {
	tb.Helper()
	for range 1000 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			tb.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		_ = l.Close()
		if offset := port - epmd.BaseDistPort; offset > 0 && offset < 60000 {
			return fmt.Sprintf("t%d_n%d@127.0.0.1", nodeCount.Add(1), offset)
		}
	}
	tb.Fatal("no free port for the static rule")
	return ""
}

func start(tb testing.TB, change func(*Options)) *Network {
	tb.Helper()
	o := Options{Name: freeName(tb), Cookie: "secret", Logger: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&o)
	}
	n, err := Start(o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(n.Stop)
	return n
}

func deadline(tb testing.TB) context.Context {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), patience)
	tb.Cleanup(cancel)
	return ctx
}

// scripted is a process whose callback the test supplies.
type scripted struct {
	act.Actor
	trap   bool
	handle func(p *scripted, from gen.PID, message any) error
}

func (p *scripted) Init(...any) error {
	p.SetTrapExit(p.trap)
	return nil
}

func (p *scripted) HandleMessage(from gen.PID, message any) error {
	if p.handle == nil {
		return nil
	}
	return p.handle(p, from, message)
}

func (p *scripted) HandleCall(_ gen.PID, _ gen.Ref, request any) (any, error) { return request, nil }

func (n *Network) run(tb testing.TB, name gen.Atom, p *scripted) gen.PID {
	tb.Helper()
	factory := func() gen.ProcessBehavior { return p }
	options := gen.ProcessOptions{LogLevel: gen.LogLevelDisabled}
	var pid gen.PID
	var err error
	if name == "" {
		pid, err = n.node.Spawn(factory, options)
	} else {
		pid, err = n.node.SpawnRegister(name, factory, options)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return pid
}

func poll(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-limit.C:
			tb.Fatalf("timed out: %s", what)
		case <-tick.C:
		}
	}
}

func get[T any](tb testing.TB, from <-chan T) T {
	tb.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		tb.Fatal("nothing came")
		var zero T
		return zero
	}
}

func TestSingleFlight(t *testing.T) {
	a, b := start(t, nil), start(t, nil)
	var ups atomic.Int64
	defer b.Subscribe(func(ev NodeEvent) {
		if ev.Up {
			ups.Add(1)
		}
	})()
	got := make(chan any, 100)
	b.run(t, "sink", &scripted{handle: func(_ *scripted, _ gen.PID, m any) error { got <- m; return nil }})
	var wg sync.WaitGroup
	for i := range 50 {
		sender := a.run(t, "", &scripted{handle: func(p *scripted, _ gen.PID, _ any) error {
			defer wg.Done()
			if err := p.Send(Name("sink", b.Name()), i); err != nil {
				t.Errorf("sender %d: %v", i, err)
			}
			return nil
		}})
		wg.Add(1)
		if err := a.node.Send(sender, "go"); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	for range 50 {
		get(t, got)
	}
	if n := ups.Load(); n != 1 {
		t.Errorf("%d connections for 50 first sends", n)
	}
}

// TestSilentHost: a peer that accepts and says nothing holds up who asks for
// it, for the configured time, and nobody else.
func TestSilentHost(t *testing.T) {
	name := freeName(t)
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", epmd.DistPort(name)))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a := start(t, func(o *Options) {
		o.HandshakeTimeout, o.AutoConnectWait, o.RetryMin, o.RetryMax = 300*time.Millisecond, 100*time.Millisecond, time.Hour, time.Hour
	})
	other := start(t, nil)
	results := make(chan error, 2)
	sender := a.run(t, "", &scripted{handle: func(p *scripted, _ gen.PID, _ any) error {
		results <- p.Send(Name("x", name), 1)
		return nil
	}})
	for range 2 {
		if err := a.node.Send(sender, "go"); err != nil {
			t.Fatal(err)
		}
		// Links and monitors meanwhile do not wait for the silent host.
		owner := a.run(t, "", &scripted{})
		if _, err := a.Monitor(owner, Name("y", name)); err != nil {
			t.Fatal(err)
		}
		if err := a.Ping(deadline(t), other.Name()); err != nil {
			t.Fatal(err)
		}
		if err := get(t, results); err == nil {
			t.Error("sent to a silent host")
		}
	}
	// When the attempt has failed, the next implicit one is refused at once; an
	// explicit one is made.
	poll(t, "attempt over", func() bool {
		_, err := a.connect(t.Context(), name, true)
		return errors.Is(err, ErrBackOff)
	})
	if err := a.Connect(deadline(t), name); err == nil || errors.Is(err, ErrBackOff) {
		t.Errorf("explicit attempt: %v", err)
	}
}

func TestNobodyThere(t *testing.T) {
	a := start(t, nil)
	if err := a.Ping(deadline(t), freeName(t)); !errors.Is(err, ErrNotConnected) {
		t.Errorf("ping nobody: %v", err)
	}
	if err := a.Ping(deadline(t), a.Name()); err != nil {
		t.Errorf("ping itself: %v", err)
	}
	if err := a.Connect(deadline(t), a.Name()); !errors.Is(err, ErrNotConnected) {
		t.Errorf("connect to itself: %v", err)
	}
	if err := a.Connect(deadline(t), "nonsense"); err == nil {
		t.Error("connected to nonsense")
	}
	if _, err := a.Call(deadline(t), 7, 7); !errors.Is(err, ErrTarget) {
		t.Errorf("call a number: %v", err)
	}
	if a.Disconnect("nobody@127.0.0.1") {
		t.Error("disconnected nobody")
	}
}

func TestStartErrors(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	for _, o := range []Options{
		{Cookie: "c", Logger: log},
		{Name: "nohost", Cookie: "c", Logger: log},
		{Name: "a@127.0.0.1", Logger: log},
		{Name: "a@127.0.0.1", Cookie: "c"},
		{Name: "a@127.0.0.1", Cookie: "c", Logger: log, ListenMin: 5},
		{Name: "a@127.0.0.1", Cookie: "c", Logger: log, EPMD: true, ListenMin: 5, ListenMax: 4},
		{Name: "a@127.0.0.1", Cookie: "c", Logger: log, TLS: &TLS{}},
	} {
		if _, err := Start(o); !errors.Is(err, ErrOptions) {
			t.Errorf("%+v: %v", o, err)
		}
	}
	first := start(t, nil)
	_, err := Start(Options{Name: "x_" + first.Name(), Cookie: "c", Logger: log})
	if !errors.Is(err, ErrPortInUse) {
		t.Errorf("port taken: %v", err)
	}
	port := first.listener.Addr().(*net.TCPAddr).Port
	_, err = Start(Options{Name: "y@127.0.0.1", Cookie: "c", Logger: log, EPMD: true, ListenMin: uint16(port), ListenMax: uint16(port)})
	if !errors.Is(err, ErrPortInUse) {
		t.Errorf("range taken: %v", err)
	}
	// A first node in EPMD mode serves the port mapper itself; a second of the
	// same name is told that the name is taken.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	mapper := uint16(l.Addr().(*net.TCPAddr).Port)
	_ = l.Close()
	inEPMD := func(o *Options) {
		o.Name, o.EPMD, o.EPMDPort, o.EPMDProvision = "same@127.0.0.1", true, mapper, epmd.ProvisionEmbedded
	}
	n := start(t, inEPMD)
	o := Options{Cookie: "secret", Logger: log}
	inEPMD(&o)
	if _, err := Start(o); !errors.Is(err, epmd.ErrNameTaken) {
		t.Errorf("name taken: %v", err)
	}
	names, err := n.RemoteNames(deadline(t), "127.0.0.1")
	if err != nil || len(names) != 1 || names[0].Name != "same" {
		t.Errorf("names: %v, %v", names, err)
	}
}

func TestPendingLimit(t *testing.T) {
	var p pendingConns
	p.init(5, 3)
	for i := range 3 {
		if !p.enter("a") {
			t.Fatalf("connection %d from a refused", i)
		}
	}
	if p.enter("a") {
		t.Error("fourth connection from a let in")
	}
	if !p.enter("b") || !p.enter("c") {
		t.Error("b or c refused")
	}
	if p.enter("d") {
		t.Error("sixth connection let in")
	}
	p.leave("a")
	if !p.enter("d") {
		t.Error("d refused although there is room")
	}
	for _, h := range []string{"a", "a", "b", "c", "d"} {
		p.leave(h)
	}
	if p.total != 0 || len(p.hosts) != 0 {
		t.Errorf("left over: %d, %v", p.total, p.hosts)
	}
}

func TestReasons(t *testing.T) {
	for _, tt := range []struct {
		term any
		err  error
		back any
	}{
		{etf.Atom("normal"), gen.TerminateReasonNormal, etf.Atom("normal")},
		{etf.Atom("shutdown"), gen.TerminateReasonShutdown, etf.Atom("shutdown")},
		{etf.Atom("kill"), gen.TerminateReasonKill, etf.Atom("killed")},
		{etf.Atom("killed"), gen.TerminateReasonKill, etf.Atom("killed")},
		{etf.Atom("noproc"), gen.ErrProcessUnknown, etf.Atom("noproc")},
		{etf.Atom("noconnection"), gen.ErrNoConnection, etf.Atom("noconnection")},
	} {
		if got := Exit(tt.term); got != tt.err {
			t.Errorf("Exit(%v) = %v", tt.term, got)
		}
		if got := ExitTerm(fmt.Errorf("wrapped: %w", tt.err)); got != tt.back {
			t.Errorf("ExitTerm(%v) = %v", tt.err, got)
		}
	}
	term := etf.Tuple{etf.Atom("a"), etf.List{int64(1)}}
	if got := ExitTerm(Exit(term)); !etf.Equal(got, term) {
		t.Errorf("%v comes back as %v", term, got)
	}
	if got := ExitTerm(errors.New("text")); !etf.Equal(got, etf.Tuple{etf.Atom("error"), "text"}) {
		t.Errorf("plain error: %v", got)
	}
	if text := (&Reason{Term: make([]byte, 1<<20)}).Error(); len(text) > 300 {
		t.Errorf("the text of a huge reason has %d bytes", len(text))
	}
}

func TestIdentifiers(t *testing.T) {
	n := start(t, nil)
	pid := n.run(t, "", &scripted{})
	if back := n.PID(n.Pid(pid)); back != pid {
		t.Errorf("%v comes back as %v", pid, back)
	}
	stale := n.Pid(pid)
	stale.Creation++
	if back := n.PID(stale); back == pid || back.Creation == pid.Creation {
		t.Errorf("a pid of another life became %v", back)
	}
	far := etf.Pid{Node: "x@y", ID: 1<<32 - 1, Serial: 1<<32 - 2, Creation: 1<<32 - 3}
	if back := n.Pid(n.PID(far)); back != far {
		t.Errorf("%v comes back as %v", far, back)
	}
	for _, alias := range []bool{false, true} {
		for words := range 5 {
			ref := etf.Ref{Node: "x@y", Creation: 1<<32 - 1, Len: uint8(words + 1)}
			for i := range words + 1 {
				ref.ID[i] = 1<<32 - 1 - uint32(i)
			}
			back, isAlias := unpackRef(packRef(ref, alias))
			if back != ref || isAlias != alias {
				t.Errorf("%v, %t comes back as %v, %t", ref, alias, back, isAlias)
			}
			if packRef(ref, alias).ID[2] < 1<<40 {
				t.Error("a reference could be taken for a deadline")
			}
		}
	}
	seen := map[etf.Ref]bool{}
	for range 300_000 {
		ref := n.MakeRef()
		if seen[ref] || n.ownCall(ref) {
			t.Fatalf("reference %v repeats or is a call's", ref)
		}
		seen[ref] = true
		if ref.ID[0] >= 1<<18 {
			t.Fatalf("first word of %v has more than 18 bits", ref)
		}
	}
	if !n.ownCall(n.makeRef(callRef)) {
		t.Error("a call's reference is not known as one")
	}
}

func TestWireTerms(t *testing.T) {
	n := start(t, nil)
	pid := n.run(t, "", &scripted{})
	got := n.wireTerm(etf.Tuple{pid, etf.List{gen.Atom("a"), Name("p", "n@h")}, []string{"x"}, errors.New("e"), etf.Map{{Key: gen.Atom("k"), Value: pid}}})
	want := etf.Tuple{
		n.Pid(pid),
		etf.List{etf.Atom("a"), etf.Tuple{etf.Atom("p"), etf.Atom("n@h")}},
		etf.List{"x"},
		etf.Tuple{etf.Atom("error"), "e"},
		etf.Map{{Key: etf.Atom("k"), Value: n.Pid(pid)}},
	}
	if !etf.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	// Such terms are sent as they are; what has no form is refused.
	b := start(t, nil)
	received := make(chan any, 1)
	b.run(t, "sink", &scripted{handle: func(_ *scripted, _ gen.PID, m any) error { received <- m; return nil }})
	if err := n.Send(deadline(t), Name("sink", b.Name()), etf.Tuple{pid, gen.Atom("x")}); err != nil {
		t.Fatal(err)
	}
	if m := get(t, received); !etf.Equal(m, etf.Tuple{n.Pid(pid), etf.Atom("x")}) {
		t.Errorf("received %v", m)
	}
	if err := n.Send(deadline(t), Name("sink", b.Name()), make(chan int)); !errors.Is(err, etf.ErrUnsupported) {
		t.Errorf("a channel: %v", err)
	}
}

// TestWatcherRestarts: a killed watcher is replaced, and deaths are told on.
func TestWatcherRestarts(t *testing.T) {
	a, b := start(t, nil), start(t, nil)
	target := b.run(t, "target", &scripted{})
	downs := make(chan Down, 2)
	for _, to := range []any{a.PID(b.Pid(target)), Name("target", b.Name())} {
		if _, err := a.MonitorFunc(to, func(d Down) { downs <- d }); err != nil {
			t.Fatal(err)
		}
	}
	poll(t, "monitored", func() bool {
		b.relations.mu.Lock()
		defer b.relations.mu.Unlock()
		return len(b.relations.locals) == 2
	})
	old := *b.watcher.Load()
	if err := b.node.Kill(old); err != nil {
		t.Fatal(err)
	}
	poll(t, "a new watcher", func() bool { return *b.watcher.Load() != old })
	if err := b.node.Kill(target); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if d := get(t, downs); d.Reason != gen.TerminateReasonKill {
			t.Errorf("down: %+v", d)
		}
	}
}

func TestEvents(t *testing.T) {
	a, b := start(t, nil), start(t, nil)
	events := make(chan any, 100)
	pid := a.run(t, "", &scripted{handle: func(_ *scripted, _ gen.PID, m any) error { events <- m; return nil }})
	cancel := a.SubscribeProcess(pid)
	for range 3 {
		if err := a.Connect(deadline(t), b.Name()); err != nil {
			t.Fatal(err)
		}
		if ev, ok := get(t, events).(NodeEvent); !ok || !ev.Up || ev.Node != b.Name() || !ev.Hidden || ev.Creation != b.Creation() {
			t.Errorf("up: %+v", ev)
		}
		a.Disconnect(b.Name())
		if ev, ok := get(t, events).(NodeEvent); !ok || ev.Up || !errors.Is(ev.Reason, ErrDisconnected) {
			t.Errorf("down: %+v", ev)
		}
	}
	cancel()
	cancel()
	if err := a.Connect(deadline(t), b.Name()); err != nil {
		t.Fatal(err)
	}
	b.Stop()
	poll(t, "peer is gone", func() bool { return len(a.Nodes()) == 0 })
	select {
	case ev := <-events:
		t.Errorf("event after cancel: %v", ev)
	default:
	}
}

// TestStop: calls under way end, and nothing works afterwards.
func TestStop(t *testing.T) {
	a, b := start(t, nil), start(t, nil)
	b.run(t, "silent", &scripted{handle: nil})
	errs := make(chan error, 1)
	started := make(chan struct{})
	b.run(t, "never", &scripted{handle: func(*scripted, gen.PID, any) error { return nil }})
	b.HandleSpawn("m", "f", AnyArity, func() gen.ProcessBehavior {
		return &scripted{handle: func(*scripted, gen.PID, any) error { close(started); return nil }}
	})
	go func() {
		c, err := a.connect(a.ctx, b.Name(), false)
		if err == nil {
			_, err = c.await(a.ctx, func(done func(any, any, error)) (etf.Ref, error) {
				ref := a.makeRef(callRef)
				_ = c.calls.add(ref, &call{from: a.self(), spawn: true, done: done})
				return ref, c.proto.Push(&proto.SpawnRequest{
					Ref: ref, From: a.self(), GroupLeader: a.self(), Module: "m", Function: "f",
					Options: etf.List{etf.Atom("monitor")}, Args: etf.List{},
				})
			})
		}
		errs <- err
	}()
	get(t, started)
	a.Stop()
	a.Stop()
	if err := get(t, errs); err == nil {
		t.Error("a call survived the stop")
	}
	if err := a.Connect(deadline(t), b.Name()); !errors.Is(err, ErrStopped) {
		t.Errorf("connect after stop: %v", err)
	}
	poll(t, "the peer sees it", func() bool { return len(b.Nodes()) == 0 })
}

// TestForgedSender: a peer that speaks in the name of another node loses its
// connection.
func TestForgedSender(t *testing.T) {
	a := start(t, nil)
	pid := a.run(t, "", &scripted{})
	downs := make(chan NodeEvent, 10)
	a.Subscribe(func(ev NodeEvent) {
		if !ev.Up {
			downs <- ev
		}
	})
	forged := etf.Pid{Node: "somebody@else", ID: 5, Creation: 5}
	for i, sig := range []proto.Signal{
		&proto.Link{From: forged, To: a.Pid(pid)},
		&proto.Exit2{From: forged, To: a.Pid(pid), Reason: etf.Atom("kill")},
		&proto.Monitor{From: forged, To: a.Pid(pid), Ref: etf.Ref{Node: "somebody@else", Len: 1}},
	} {
		conn, err := net.Dial("tcp", a.ListenAddr())
		if err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprintf("forger%d@127.0.0.1", i)
		res, err := handshake.Start(deadline(t), conn, handshake.Config{
			Name: name, Cookie: "secret", Creation: 9, Flags: handshake.OwnFlags(true),
		}, a.Name(), handshake.StartOptions{})
		if err != nil {
			t.Fatal(err)
		}
		p := proto.New(proto.Config{Conn: conn, Name: name, Peer: a.Name(), Flags: res.Flags, Logger: slog.New(slog.DiscardHandler)})
		go func() { _ = p.Serve(func(proto.Signal) error { return nil }) }()
		if err := p.Push(sig); err != nil {
			t.Fatal(err)
		}
		if ev := get(t, downs); ev.Node != name || !errors.Is(ev.Reason, proto.ErrProtocol) {
			t.Errorf("%T: %+v", sig, ev)
		}
		p.Close(nil, 0)
	}
	if _, err := a.node.ProcessState(pid); err != nil {
		t.Errorf("the process was harmed: %v", err)
	}
}

func BenchmarkProcessToProcess200(b *testing.B) {
	from, to := start(b, nil), start(b, nil)
	done := make(chan struct{})
	n, received := 0, 0
	pid := to.run(b, "", &scripted{handle: func(_ *scripted, _ gen.PID, m any) error {
		if received++; received == n {
			close(done)
		}
		return nil
	}})
	if err := from.Connect(deadline(b), to.Name()); err != nil {
		b.Fatal(err)
	}
	var message any = etf.Tuple{etf.Atom("message"), make([]byte, 200)}
	n = b.N
	sender := from.run(b, "", &scripted{handle: func(p *scripted, _ gen.PID, _ any) error {
		target := from.PID(to.Pid(pid))
		for range b.N {
			for {
				err := p.Send(target, message)
				if err == nil {
					break
				}
				if !errors.Is(err, proto.ErrBusy) {
					return err
				}
			}
		}
		return nil
	}})
	b.ReportAllocs()
	b.ResetTimer()
	if err := from.node.Send(sender, "go"); err != nil {
		b.Fatal(err)
	}
	<-done
}

func BenchmarkCall(b *testing.B) {
	from, to := start(b, nil), start(b, nil)
	to.run(b, "echo", &scripted{})
	target := Name("echo", to.Name())
	if _, err := from.Call(deadline(b), target, etf.Atom("x")); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := from.Call(b.Context(), target, etf.Atom("x")); err != nil {
			b.Fatal(err)
		}
	}
}
