package interop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"ergo.services/ergo/gen"

	"ermine/node/dist"
	"ermine/node/dist/etf"
	"ermine/node/dist/proto"
)

// connectedPair is a pair in static mode, connected by Erlang.
func connectedPair(t *testing.T) (*goNode, *erlNode) {
	t.Helper()
	g, e := startGo(t, dist.Options{}), startErl(t, erlOptions{})
	e.want(etf.Atom("pong"), "net_adm:ping('%s')", g.Name())
	return g, e
}

// erlServer starts a registered process in Erlang: it answers calls with
// {echo, Request}, except {exit, Reason}, with which it ends, and silence; any
// message it sends on to the pid in it.
func (e *erlNode) server(name string) etf.Pid {
	e.t.Helper()
	pid := e.eval(`Server = spawn(fun() -> (fun Loop() -> receive
		{'$gen_call', _, {exit, R}} -> exit(R);
		{'$gen_call', _, silence} -> Loop();
		{'$gen_call', From, Request} -> gen_server:reply(From, {echo, Request}), Loop();
		{'$gen_cast', {to, Pid, M}} -> Pid ! {cast, M}, Loop();
		{to, Pid, M} -> Pid ! {got, M}, Loop();
		{exit, R} -> exit(R);
		{link, Pid, Back} -> link(Pid), Back ! linked, Loop();
		{unlink, Pid, Back} -> unlink(Pid), Back ! unlinked, Loop();
		{trap, Back} -> process_flag(trap_exit, true), Back ! trapping, Loop();
		{'EXIT', P, R} -> case get(watcher) of undefined -> Loop(); W -> W ! {exited, P, R}, Loop() end;
		{watcher, W} -> put(watcher, W), Loop();
		stop -> ok
	end end)() end), register(%s, Server), Server`, name)
	p, ok := pid.(etf.Pid)
	if !ok {
		e.t.Fatalf("server: %v", pid)
	}
	return p
}

func TestCallFromErlang(t *testing.T) {
	g, e := connectedPair(t)
	pid := g.spawn("echo", &script{})
	g.bindPid(e, "P", pid)
	e.want(etf.Tuple{int64(1), []byte("x")}, "gen_server:call({echo, '%s'}, {1, <<\"x\">>})", g.Name())
	e.want(etf.Atom("a"), "gen_server:call(P, a)")
	// An unknown name and a process that is gone.
	e.want(etf.Atom("noproc"), "try gen_server:call({nobody, '%s'}, x) catch exit:{R1, _} -> R1 end", g.Name())
	if err := g.Node().Kill(pid); err != nil {
		t.Fatal(err)
	}
	e.want(etf.Atom("noproc"), "try gen_server:call(P, x) catch exit:{R2, _} -> R2 end")
	// One that ends during the call, and one that answers with an error.
	g.spawn("dies", &script{call: func(*script, gen.PID, gen.Ref, any) (any, error) {
		return nil, dist.Exit(etf.Tuple{etf.Atom("bad"), int64(7)})
	}})
	e.want(etf.Tuple{etf.Atom("bad"), int64(7)}, "try gen_server:call({dies, '%s'}, x) catch exit:{R3, _} -> R3 end", g.Name())
	g.spawn("errs", &script{call: func(p *script, from gen.PID, ref gen.Ref, _ any) (any, error) {
		return nil, p.SendResponseError(from, ref, dist.Exit(etf.Atom("refused")))
	}})
	e.want(etf.Atom("refused"), "try gen_server:call({errs, '%s'}, x) catch exit:{R4, _} -> R4 end", g.Name())
	// Other forms of tags: a bare reference, and no reference at all.
	g.spawn("later", &script{})
	e.want(etf.Atom("ok"), "R = make_ref(), {later, '%s'} ! {'$gen_call', {self(), R}, hi}, receive {R, hi} -> ok after 5000 -> late end", g.Name())
	e.want(etf.Atom("ok"), "{later, '%s'} ! {'$gen_call', {self(), {my, tag}}, hi}, receive {{my, tag}, hi} -> ok after 5000 -> late end", g.Name())
	// gen_server:send_request, multi_call and an alias of its own.
	e.want(etf.Atom("hi"), "{reply, A1} = gen_server:wait_response(gen_server:send_request({later, '%s'}, hi), 5000), A1", g.Name())
	e.want(etf.Tuple{etf.List{etf.Tuple{etf.Atom(g.Name()), etf.Atom("hi")}}, etf.List{}}, "gen_server:multi_call(['%s'], later, hi)", g.Name())
	// Many at once.
	e.want(etf.Atom("ok"), `Me = self(),
		[spawn_link(fun() -> I = gen_server:call({later, '%[1]s'}, I), Me ! {done, I} end) || I <- lists:seq(1, 1000)],
		[receive {done, I} -> ok after 20000 -> exit({missing, I}) end || I <- lists:seq(1, 1000)], ok`, g.Name())
}

func TestCallToErlang(t *testing.T) {
	g, e := connectedPair(t)
	server := e.server("echo_server")
	for _, to := range []any{server, g.PID(server), dist.Name("echo_server", e.name)} {
		got, err := g.Call(within(t), to, etf.Tuple{"x", 5})
		if want := (etf.Tuple{etf.Atom("echo"), etf.Tuple{[]byte("x"), int64(5)}}); err != nil || !etf.Equal(got, want) {
			t.Errorf("call %v = %v, %v", to, got, err)
		}
	}
	// From a process, through ergo.
	results := make(chan any, 4)
	g.spawn("caller", &script{message: func(p *script, _ gen.PID, message any) error {
		v, err := p.Call(message, etf.Atom("hello"))
		if err != nil {
			results <- err
		} else {
			results <- v
		}
		return nil
	}})
	ask := func(to any) any {
		t.Helper()
		if err := g.Node().Send(gen.Atom("caller"), to); err != nil {
			t.Fatal(err)
		}
		return receive(t, results)
	}
	want := etf.Tuple{etf.Atom("echo"), etf.Atom("hello")}
	if got := ask(dist.Name("echo_server", e.name)); !etf.Equal(got, want) {
		t.Errorf("ergo call by name: %v", got)
	}
	if got := ask(g.PID(server)); !etf.Equal(got, want) {
		t.Errorf("ergo call by pid: %v", got)
	}
	if got := ask(dist.Name("nobody", e.name)); got != gen.ErrProcessUnknown {
		t.Errorf("ergo call to nobody: %v", got)
	}
	// Errors of the Go call.
	if _, err := g.Call(within(t), dist.Name("nobody", e.name), 1); !errors.Is(err, dist.ErrNoProc) {
		t.Errorf("nobody: %v", err)
	}
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := g.Call(short, server, etf.Atom("silence")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("silence: %v", err)
	}
	_, err := g.Call(within(t), server, etf.Tuple{etf.Atom("exit"), etf.Tuple{etf.Atom("a"), 1}})
	var reason *dist.Reason
	if !errors.As(err, &reason) || !etf.Equal(reason.Term, etf.Tuple{etf.Atom("a"), 1}) {
		t.Errorf("exit: %v", err)
	}
	e.server("second")
	out := make(chan error, 1)
	go func() {
		_, err := g.Call(within(t), dist.Name("second", e.name), etf.Atom("silence"))
		out <- err
	}()
	eventually(t, "call under way", func() bool {
		v, err := e.try("erlang:process_info(whereis(second), reductions)")
		info, ok := v.(etf.Tuple)
		return err == nil && ok && len(info) == 2 && g.Peers()[0].Stats.Queued == 0
	})
	e.kill()
	select {
	case err := <-out:
		if !errors.Is(err, dist.ErrNotConnected) {
			t.Errorf("node killed during a call: %v", err)
		}
	case <-time.After(patience):
		t.Error("call survives the node")
	}
	if _, err := g.Call(within(t), server, 1); !errors.Is(err, dist.ErrNotConnected) {
		t.Errorf("node is down: %v", err)
	}
}

func TestSendBothWays(t *testing.T) {
	g, e := connectedPair(t)
	pid, messages := g.sink("sink", false)
	g.bindPid(e, "P", pid)
	e.eval("P ! {hello, self()}")
	e.eval("{sink, '%s'} ! by_name", g.Name())
	e.eval("erlang:send({sink, '%s'}, {nosuspend, 1}, [nosuspend])", g.Name())
	e.eval("gen_server:cast({sink, '%s'}, job)", g.Name())
	e.eval("{nobody, '%s'} ! lost, P ! last", g.Name())
	first, _ := receive(t, messages).(etf.Tuple)
	if len(first) != 2 || first[0] != etf.Atom("hello") {
		t.Fatalf("first message: %v", first)
	}
	for _, want := range []any{etf.Atom("by_name"), etf.Tuple{etf.Atom("nosuspend"), 1}, etf.Tuple{etf.Atom("$gen_cast"), etf.Atom("job")}, etf.Atom("last")} {
		if got := receive(t, messages); !etf.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
	server := e.server("relay")
	to := g.Pid(pid)
	for _, target := range []any{server, dist.Name("relay", e.name)} {
		if err := g.Send(within(t), target, etf.Tuple{etf.Atom("to"), to, "m"}); err != nil {
			t.Fatal(err)
		}
		if got := receive(t, messages); !etf.Equal(got, etf.Tuple{etf.Atom("got"), "m"}) {
			t.Errorf("relayed: %v", got)
		}
	}
	if err := g.Cast(within(t), server, etf.Tuple{etf.Atom("to"), pid, 1}); err != nil {
		t.Fatal(err)
	}
	if got := receive(t, messages); !etf.Equal(got, etf.Tuple{etf.Atom("cast"), 1}) {
		t.Errorf("cast: %v", got)
	}
}

// exitReasons are what a Go process ends with, and what Erlang must see.
var exitReasons = []struct {
	reason error
	term   any
}{
	{gen.TerminateReasonNormal, etf.Atom("normal")},
	{gen.TerminateReasonShutdown, etf.Atom("shutdown")},
	{dist.Exit(etf.Tuple{etf.Atom("shutdown"), etf.Charlist("why")}), etf.Tuple{etf.Atom("shutdown"), etf.Charlist("why")}},
	{dist.Exit(etf.Map{{Key: etf.Atom("k"), Value: 1.5}}), etf.Map{{Key: etf.Atom("k"), Value: 1.5}}},
	{errors.New("plain"), etf.Tuple{etf.Atom("error"), "plain"}},
}

// mortal is a process that ends with exitReasons[i] on the message i.
func (g *goNode) mortal(name string) gen.PID {
	return g.spawn(name, &script{message: func(_ *script, _ gen.PID, message any) error {
		if i, ok := message.(int64); ok {
			return exitReasons[i].reason
		}
		if i, ok := message.(int); ok {
			return exitReasons[i].reason
		}
		return nil
	}})
}

func TestErlangMonitorsGo(t *testing.T) {
	g, e := connectedPair(t)
	for i, tt := range exitReasons {
		pid := g.mortal("mortal")
		g.bindPid(e, fmt.Sprintf("P%d", i), pid)
		e.let("Pid%d = erlang:monitor(process, P%d), Name%d = erlang:monitor(process, {mortal, '%s'}), Not%d = erlang:monitor(process, P%d), true = erlang:demonitor(Not%d)", i, i, i, g.Name(), i, i, i)
		e.want(tt.term, "P%d ! %d, receive {'DOWN', Pid%d, process, P%d, R%d} -> R%d after 5000 -> timeout end", i, i, i, i, i, i)
		e.want(tt.term, "receive {'DOWN', Name%d, process, {mortal, '%s'}, Rn%d} -> Rn%d after 5000 -> timeout end", i, g.Name(), i, i)
		e.want(etf.Atom("none"), "receive {'DOWN', Not%d, _, _, _} = M%d -> M%d after 0 -> none end", i, i, i)
		eventually(t, "name is free", func() bool {
			_, err := g.Node().ProcessPID("mortal")
			return err != nil
		})
	}
	// Killed, never there, and gone already.
	pid := g.mortal("")
	g.bindPid(e, "K", pid)
	e.want(etf.Atom("killed"), "MK = erlang:monitor(process, K), exit(K, kill), receive {'DOWN', MK, process, K, RK} -> RK after 5000 -> timeout end")
	e.want(etf.Atom("noproc"), "MK2 = erlang:monitor(process, K), receive {'DOWN', MK2, process, K, RK2} -> RK2 after 5000 -> timeout end")
	e.want(etf.Atom("noproc"), "MK3 = erlang:monitor(process, {nobody, '%s'}), receive {'DOWN', MK3, process, _, RK3} -> RK3 after 5000 -> timeout end", g.Name())
}

func TestGoMonitorsErlang(t *testing.T) {
	g, e := connectedPair(t)
	owner, messages := g.sink("", false)
	for i, tt := range []struct {
		exit string
		want error
		term any
	}{
		{"normal", gen.TerminateReasonNormal, nil},
		{"shutdown", gen.TerminateReasonShutdown, nil},
		{"{some, [reason]}", nil, etf.Tuple{etf.Atom("some"), etf.List{etf.Atom("reason")}}},
	} {
		name := fmt.Sprintf("monitored%d", i)
		pid := e.server(name)
		targets := []any{g.PID(pid), dist.Name(name, e.name)}
		refs := map[etf.Ref]any{}
		for _, target := range targets {
			ref, err := g.Monitor(owner, target)
			if err != nil {
				t.Fatal(err)
			}
			refs[ref] = target
		}
		not, err := g.Monitor(owner, pid)
		if err != nil {
			t.Fatal(err)
		}
		g.Demonitor(owner, not)
		eventually(t, "monitored twice", func() bool {
			return etf.Equal(e.eval("length(element(2, process_info(whereis(%s), monitored_by)))", name), 2)
		})
		e.eval("%s ! {exit, %s}", name, tt.exit)
		for range targets {
			down, ok := receive(t, messages).(dist.Down)
			if !ok || refs[down.Ref] != down.Target {
				t.Fatalf("down: %+v", down)
			}
			delete(refs, down.Ref)
			var reason *dist.Reason
			switch {
			case tt.want != nil && down.Reason != tt.want:
				t.Errorf("reason %v, want %v", down.Reason, tt.want)
			case tt.want == nil && (!errors.As(down.Reason, &reason) || !etf.Equal(reason.Term, tt.term)):
				t.Errorf("reason %v, want %v", down.Reason, tt.term)
			}
		}
	}
	for _, target := range []any{dist.Name("nobody", e.name)} {
		if _, err := g.Monitor(owner, target); err != nil {
			t.Fatal(err)
		}
		if down, ok := receive(t, messages).(dist.Down); !ok || down.Reason != gen.ErrProcessUnknown {
			t.Errorf("nobody: %+v", down)
		}
	}
	// The owner's end takes the monitor back on the Erlang side.
	e.server("left")
	if _, err := g.Monitor(owner, dist.Name("left", e.name)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "monitored", func() bool {
		return etf.Equal(e.eval("length(element(2, process_info(whereis(left), monitored_by)))"), 1)
	})
	if err := g.Node().Kill(owner); err != nil {
		t.Fatal(err)
	}
	eventually(t, "not monitored any more", func() bool {
		return etf.Equal(e.eval("element(2, process_info(whereis(left), monitored_by))"), etf.List{})
	})
	// A node that cannot be reached.
	owner2, messages2 := g.sink("", false)
	if _, err := g.Monitor(owner2, dist.Name("x", staticName(t, "none", "127.0.0.1"))); err != nil {
		t.Fatal(err)
	}
	if down, ok := receive(t, messages2).(dist.Down); !ok || down.Reason != gen.ErrNoConnection {
		t.Errorf("unreachable: %+v", down)
	}
	// And the loss of one that was.
	fired := make(chan dist.Down, 1)
	if _, err := g.MonitorFunc(dist.Name("left", e.name), func(d dist.Down) { fired <- d }); err != nil {
		t.Fatal(err)
	}
	eventually(t, "monitored", func() bool {
		return etf.Equal(e.eval("length(element(2, process_info(whereis(left), monitored_by)))"), 1)
	})
	e.kill()
	select {
	case d := <-fired:
		if d.Reason != gen.ErrNoConnection {
			t.Errorf("lost: %+v", d)
		}
	case <-time.After(patience):
		t.Error("monitor of a lost node does not fire")
	}
}

func TestLinks(t *testing.T) {
	g, e := connectedPair(t)
	t.Run("made by Erlang, Go ends", func(t *testing.T) {
		for i, tt := range exitReasons {
			pid := g.mortal("")
			g.bindPid(e, fmt.Sprintf("L%d", i), pid)
			e.eval("process_flag(trap_exit, true), link(L%d)", i)
			e.want(tt.term, "L%d ! %d, receive {'EXIT', L%d, LR%d} -> LR%d after 5000 -> timeout end", i, i, i, i, i)
		}
		e.want(etf.Atom("noproc"), "link(L0), receive {'EXIT', L0, Z} -> Z after 5000 -> timeout end")
	})
	t.Run("made by Erlang, Erlang ends", func(t *testing.T) {
		_, trapped := trapping(g)
		server := e.server("linker")
		pid, _ := g.sink("", false)
		g.bindPid(e, "Pn", pid)
		e.eval("linker ! {link, Pn, self()}, receive linked -> ok after 5000 -> exit(timeout) end")
		_ = server
		done := downOf(g, pid)
		e.eval("linker ! {exit, {broken, 1}}")
		if reason := receive(t, done); fmt.Sprint(reason) != fmt.Sprint(dist.Exit(etf.Tuple{etf.Atom("broken"), int64(1)})) {
			t.Errorf("linked process ended with %v", reason)
		}
		_ = trapped
	})
	t.Run("made by Go", func(t *testing.T) {
		server := e.server("golink")
		pid, messages := trapping(g)
		if err := g.Link(pid, server); err != nil {
			t.Fatal(err)
		}
		linked := func(name string) {
			t.Helper()
			eventually(t, "linked", func() bool {
				return etf.Equal(e.eval("length(element(2, process_info(whereis(%s), links)))", name), 1)
			})
		}
		linked("golink")
		e.eval("golink ! {exit, bang}")
		exit, ok := receive(t, messages).(gen.MessageExitPID)
		if !ok || exit.PID != g.PID(server) || fmt.Sprint(exit.Reason) != "bang" {
			t.Errorf("exit: %+v", exit)
		}
		// The other direction: the Go process ends, the Erlang one gets it.
		server = e.server("golink2")
		e.eval("golink2 ! {trap, self()}, receive trapping -> ok end, golink2 ! {watcher, self()}")
		mortal := g.mortal("")
		if err := g.Link(mortal, server); err != nil {
			t.Fatal(err)
		}
		linked("golink2")
		if err := g.Node().Send(mortal, 3); err != nil {
			t.Fatal(err)
		}
		e.want(exitReasons[3].term, "receive {exited, _, GR} -> GR after 5000 -> timeout end")
		// A process that is not there.
		if err := g.Link(pid, etf.Pid{Node: etf.Atom(e.name), ID: 1 << 14, Creation: server.Creation}); err != nil {
			t.Fatal(err)
		}
		if exit, ok := receive(t, messages).(gen.MessageExitPID); !ok || exit.Reason != gen.ErrProcessUnknown {
			t.Errorf("link to nobody: %+v", exit)
		}
	})
	t.Run("unlinked", func(t *testing.T) {
		server := e.server("unlinker")
		pid, messages := trapping(g)
		g.bindPid(e, "Pu", pid)
		e.eval("unlinker ! {link, Pu, self()}, receive linked -> ok end, unlinker ! {unlink, Pu, self()}, receive unlinked -> ok end, Pu ! synced")
		receive(t, messages)
		if err := g.Link(pid, server); err != nil {
			t.Fatal(err)
		}
		g.Unlink(pid, server)
		if err := g.Link(pid, server); err != nil {
			t.Fatal(err)
		}
		eventually(t, "linked", func() bool {
			return etf.Equal(e.eval("length(element(2, process_info(whereis(unlinker), links)))"), 1)
		})
		g.Unlink(pid, server)
		e.eval("unlinker ! {exit, bang}, Pu ! after_exit")
		if got := receive(t, messages); !etf.Equal(got, etf.Atom("after_exit")) {
			t.Errorf("got %v after unlink", got)
		}
	})
	t.Run("exit/2", func(t *testing.T) {
		pid, messages := trapping(g)
		g.bindPid(e, "X", pid)
		e.eval("exit(X, normal), exit(X, {why, <<1>>}), X ! done")
		exit, ok := receive(t, messages).(gen.MessageExitPID)
		var reason *dist.Reason
		if !ok || !errors.As(exit.Reason, &reason) || !etf.Equal(reason.Term, etf.Tuple{etf.Atom("why"), []byte{1}}) {
			t.Errorf("exit/2: %+v", exit)
		}
		if got := receive(t, messages); !etf.Equal(got, etf.Atom("done")) {
			t.Errorf("then %v", got)
		}
		done := downOf(g, pid)
		e.eval("exit(X, kill)")
		if reason := receive(t, done); reason != gen.TerminateReasonKill {
			t.Errorf("exit(kill) ended a trapping process with %v", reason)
		}
		// And from Go.
		server := e.server("exited")
		e.let("ME = erlang:monitor(process, whereis(exited))")
		if err := g.Exit(within(t), gen.PID{}, server, etf.Tuple{etf.Atom("go"), 1}); err != nil {
			t.Fatal(err)
		}
		e.want(etf.Tuple{etf.Atom("go"), 1}, "receive {'DOWN', ME, _, _, RE} -> RE after 5000 -> timeout end")
		// A process that kills one that traps exits.
		server = e.server("killed")
		e.let("killed ! {trap, self()}, receive trapping -> ok end, MK = erlang:monitor(process, whereis(killed))")
		killer := g.spawn("", &script{message: func(p *script, _ gen.PID, _ any) error {
			return p.SendExit(g.PID(server), gen.TerminateReasonKill)
		}})
		if err := g.Node().Send(killer, "go"); err != nil {
			t.Fatal(err)
		}
		e.want(etf.Atom("killed"), "receive {'DOWN', MK, _, _, RK} -> RK after 5000 -> timeout end")
	})
	t.Run("connection lost", func(t *testing.T) {
		pid, messages := trapping(g)
		g.bindPid(e, "Pl", pid)
		e.server("lost")
		e.eval("lost ! {link, Pl, self()}, receive linked -> ok end")
		e.kill()
		if exit, ok := receive(t, messages).(gen.MessageExitPID); !ok || exit.Reason != gen.ErrNoConnection {
			t.Errorf("connection lost: %+v", exit)
		}
	})
}

// trapping is a sink that traps exits.
func trapping(g *goNode) (gen.PID, <-chan any) { return g.sink("", true) }

// downOf gives the reason with which a local process ends.
func downOf(g *goNode, pid gen.PID) <-chan any {
	reasons := make(chan any, 1)
	ready := make(chan error, 1)
	watcher := g.spawn("", &script{message: func(p *script, _ gen.PID, message any) error {
		switch m := message.(type) {
		case gen.MessageDownPID:
			reasons <- m.Reason
			return gen.TerminateReasonNormal
		default:
			ready <- p.MonitorPID(pid)
		}
		return nil
	}})
	if err := g.Node().Send(watcher, "go"); err != nil {
		g.t.Fatal(err)
	}
	if err := <-ready; err != nil {
		g.t.Fatal(err)
	}
	return reasons
}

// TestManyRelations makes and breaks 10,000 monitors and links at once, from
// both sides, and counts that none is lost.
func TestManyRelations(t *testing.T) {
	const each = 5000
	g, e := connectedPair(t)
	pid, _ := g.sink("", false)
	g.bindPid(e, "Target", pid)
	e.let(`Parent = self(),
		Watchers = [spawn(fun() ->
			process_flag(trap_exit, true),
			M = erlang:monitor(process, Target), link(Target),
			if I rem 3 =:= 0 -> erlang:demonitor(M), erlang:monitor(process, Target); true -> ok end,
			if I rem 3 =:= 1 -> unlink(Target), link(Target); true -> ok end,
			Parent ! ready,
			receive {'DOWN', _, _, _, R1} -> ok end,
			receive {'EXIT', _, R2} -> ok end,
			Parent ! {both, R1, R2}
		end) || I <- lists:seq(1, %d)],
		[receive ready -> ok end || _ <- Watchers], ok`, each)
	// At the same time Go processes watch an Erlang one.
	server := e.server("watched")
	var downs, exits atomic.Int64
	var owners []gen.PID
	for i := range each {
		owner := g.spawn("", &script{trap: true, message: func(_ *script, _ gen.PID, message any) error {
			switch message.(type) {
			case dist.Down:
				downs.Add(1)
			case gen.MessageExitPID:
				exits.Add(1)
			}
			return nil
		}})
		owners = append(owners, owner)
		ref, err := g.Monitor(owner, server)
		if err == nil && i%3 == 0 {
			g.Demonitor(owner, ref)
			_, err = g.Monitor(owner, server)
		}
		if err == nil {
			err = g.Link(owner, server)
		}
		if err == nil && i%3 == 1 {
			g.Unlink(owner, server)
			err = g.Link(owner, server)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := g.Node().Send(pid, etf.Tuple{etf.Atom("exit"), etf.Atom("over")}); err != nil {
		t.Fatal(err)
	}
	if err := g.Send(within(t), server, etf.Tuple{etf.Atom("exit"), etf.Atom("over")}); err != nil {
		t.Fatal(err)
	}
	e.want(etf.Atom("ok"), "[receive {both, over, over} -> ok after 20000 -> exit(lost) end || _ <- Watchers], ok")
	eventually(t, "all downs and exits in Go", func() bool { return downs.Load() == each && exits.Load() == each })
	_ = owners
}

func TestOrder(t *testing.T) {
	const count = 20000
	g, e := connectedPair(t)
	pid, messages := g.sink("", false)
	g.bindPid(e, "P", pid)
	// Small and large ones mixed, so that some go in fragments; then the end.
	e.eval(`spawn(fun() ->
		[P ! {I, binary:copy(<<I>>, if I rem 500 =:= 0 -> 300000; true -> I rem 100 end)} || I <- lists:seq(1, %d)]
	end), ok`, count)
	for i := int64(1); i <= count; i++ {
		m, ok := receive(t, messages).(etf.Tuple)
		if !ok || m[0] != i {
			t.Fatalf("message %d is %.60v", i, m)
		}
	}
	// And back: a message and then the sender's end, which must come last.
	e.let(`Col = spawn(fun() -> receive {start, Q, Back} ->
		erlang:monitor(process, Q),
		(fun L(N) -> receive {N, _} -> L(N + 1); {'DOWN', _, _, _, _} -> Back ! {collected, N}; Other -> Back ! {wrong, N, Other} end end)(1)
	end end)`)
	sender := g.spawn("", &script{message: func(p *script, _ gen.PID, message any) error {
		to := g.PID(message.(etf.Pid))
		for i := 1; i <= count; i++ {
			size := i % 100
			if i%500 == 0 {
				size = 300000
			}
			for {
				err := p.Send(to, etf.Tuple{i, make([]byte, size)})
				if err == nil {
					break
				}
				if !errors.Is(err, proto.ErrBusy) {
					return err
				}
			}
		}
		return gen.TerminateReasonNormal
	}})
	g.bindPid(e, "S", sender)
	e.eval("Col ! {start, S, self()}, S ! Col, ok")
	e.want(etf.Tuple{etf.Atom("collected"), count + 1}, "receive {collected, _} = C -> C; {wrong, _, _} = C -> C after 30000 -> timeout end")
}

func TestLargeTerms(t *testing.T) {
	g, e := connectedPair(t)
	g.spawn("echo", &script{})
	for _, size := range []int{1, 64<<10 - 1, 64 << 10, 64<<10 + 1, 1 << 20, 16 << 20, 64 << 20} {
		data := make([]byte, size)
		src := rand.NewChaCha8([32]byte{byte(size)})
		_, _ = src.Read(data)
		e.eval("erase(), garbage_collect()")
		// To Erlang and back.
		got, err := g.RPC(within(t), e.name, "erlang", "list_to_tuple", etf.List{data, etf.Atom("x"), size})
		tu, ok := got.(etf.Tuple)
		if err != nil || !ok || len(tu) != 3 || !bytes.Equal(tu[0].([]byte), data) {
			t.Fatalf("%d bytes through Erlang: %T, %v", size, got, err)
		}
		// From Erlang and back, with small ones on the same connection.
		e.want(etf.Atom("true"), `B%[1]d = crypto:strong_rand_bytes(%[1]d),
			Small = [spawn_monitor(fun() -> [K = gen_server:call({echo, '%[2]s'}, K, 30000) || K <- lists:seq(1, 100)] end) || _ <- lists:seq(1, 5)],
			Same = B%[1]d =:= gen_server:call({echo, '%[2]s'}, B%[1]d, 30000),
			Same andalso lists:all(fun({_, M}) -> receive {'DOWN', M, _, _, R} -> R =:= normal end end, Small)`, size, g.Name())
		e.eval("erase()")
	}
	// Long lists, not binaries.
	got, err := g.RPC(within(t), e.name, "lists", "seq", 1, 1000000)
	l, ok := got.(etf.List)
	if err != nil || !ok || len(l) != 1000000 || l[999999] != int64(1000000) {
		t.Fatalf("list of a million: %T, %v", got, err)
	}
	sum, err := g.RPC(within(t), e.name, "lists", "sum", l)
	if err != nil || sum != int64(500000500000) {
		t.Fatalf("sum of a million: %v, %v", sum, err)
	}
}

func TestRPC(t *testing.T) {
	g, e := connectedPair(t)
	got, err := g.RPC(within(t), e.name, "lists", "reverse", etf.List{1, 2, 300})
	if err != nil || !etf.Equal(got, etf.List{300, 2, 1}) {
		t.Errorf("reverse: %v, %v", got, err)
	}
	for _, tt := range []struct {
		f     string
		arg   any
		class string
		want  any
	}{
		{"throw", etf.Atom("ball"), "throw", etf.Atom("ball")},
		{"exit", etf.Atom("out"), "exit", etf.Atom("out")},
		{"nothing", etf.Atom("x"), "error", etf.Atom("undef")},
	} {
		_, err := g.RPC(within(t), e.name, "erlang", tt.f, tt.arg)
		var exception *dist.RPCError
		if !errors.As(err, &exception) || exception.Class != tt.class || !etf.Equal(exception.Reason, tt.want) {
			t.Errorf("%s: %v", tt.f, err)
		}
	}
	// A function that prints does not hang on its group leader.
	if got, err := g.RPC(within(t), e.name, "io", "format", etf.Charlist("printed~n"), etf.List{}); err != nil || got != etf.Atom("ok") {
		t.Errorf("io:format: %v, %v", got, err)
	}
	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := g.RPC(short, e.name, "timer", "sleep", 10000); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("sleep: %v", err)
	}
	results := make(chan error, 500)
	for i := range cap(results) {
		go func() {
			got, err := g.RPC(within(t), e.name, "erlang", "abs", -i)
			if err == nil && got != int64(i) {
				err = fmt.Errorf("abs(-%d) = %v", i, got)
			}
			results <- err
		}()
	}
	for range cap(results) {
		if err := <-results; err != nil {
			t.Fatal(err)
		}
	}
}

// worker is what HandleSpawn offers in the tests: it answers as the functions
// of that name would.
func worker() gen.ProcessBehavior {
	return &script{message: func(p *script, _ gen.PID, message any) error {
		req, ok := message.(*dist.SpawnRequest)
		if !ok {
			return nil
		}
		switch req.Function {
		case "execute_call":
			tag, args := req.Args[0], req.Args[3]
			return dist.Exit(etf.Tuple{tag, etf.Atom("return"), args})
		case "reply":
			return p.Send(p.Name(), nil)
		default:
			return dist.Exit(etf.Tuple{etf.Atom("did"), etf.Atom(req.Function), req.Args})
		}
	}}
}

func TestSpawnByErlang(t *testing.T) {
	g, e := connectedPair(t)
	g.HandleSpawn("erpc", "execute_call", 4, worker)
	g.HandleSpawn("m", "f", dist.AnyArity, worker)
	e.want(etf.List{1, etf.Atom("b")}, "erpc:call('%s', x, y, [1, b], 5000)", g.Name())
	e.want(etf.List{1, etf.Atom("b")}, "rpc:call('%s', x, y, [1, b], 5000)", g.Name())
	e.want(etf.Tuple{etf.List{etf.List{3}}, etf.List{}}, "rpc:multicall(['%s'], x, y, [3], 5000)", g.Name())
	want := etf.Tuple{etf.Atom("did"), etf.Atom("f"), etf.List{etf.Atom("a")}}
	e.want(want, "{Pm, Mm} = spawn_monitor('%s', m, f, [a]), receive {'DOWN', Mm, process, Pm, Rm} -> Rm after 5000 -> timeout end", g.Name())
	e.want(want, "process_flag(trap_exit, true), Pl = spawn_link('%s', m, f, [a]), receive {'EXIT', Pl, Rl} -> Rl after 5000 -> timeout end", g.Name())
	e.want(etf.Atom("notsup"), "Rq = erlang:spawn_request('%s', os, cmd, [\"id\"], []), receive {spawn_reply, Rq, error, Why} -> Why after 5000 -> timeout end", g.Name())
	e.want(etf.Atom("ok"), `Me = self(),
		[spawn_link(fun() -> [I] = rpc:call('%s', x, y, [I], 20000), Me ! {rpc, I} end) || I <- lists:seq(1, 1000)],
		[receive {rpc, I} -> ok after 20000 -> exit({missing, I}) end || I <- lists:seq(1, 1000)], ok`, g.Name())
}

// TestErgoRelations uses ergo's own monitors and links on a remote process.
func TestErgoRelations(t *testing.T) {
	g, e := connectedPair(t)
	server := e.server("target")
	got := make(chan any, 8)
	pid := g.spawn("", &script{trap: true, message: func(p *script, _ gen.PID, message any) error {
		switch m := message.(type) {
		case string:
			var err error
			if m == "monitor" {
				err = p.MonitorPID(g.PID(server))
			} else {
				err = p.MonitorProcessID(dist.Name("target", e.name))
			}
			got <- err
		default:
			got <- message
		}
		return nil
	}})
	for _, m := range []string{"monitor", "monitor name"} {
		if err := g.Node().Send(pid, m); err != nil {
			t.Fatal(err)
		}
		if err := receive(t, got); err != nil {
			t.Fatal(err)
		}
	}
	e.eval("target ! {exit, gone}")
	first, second := receive(t, got), receive(t, got)
	kinds := []string{fmt.Sprintf("%T", first), fmt.Sprintf("%T", second)}
	slices.Sort(kinds)
	if !slices.Equal(kinds, []string{"gen.MessageDownPID", "gen.MessageDownProcessID"}) {
		t.Errorf("got %v, %v", first, second)
	}
}
