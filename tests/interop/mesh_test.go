package interop

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"ergo.services/ergo/gen"

	"ermine/node/dist"
	"ermine/node/dist/etf"
)

// mesh is two of this project's nodes and an Erlang node, each connected to the
// two others.
func mesh(t *testing.T) (a, b *goNode, e *erlNode) {
	t.Helper()
	a, b, e = startGo(t, dist.Options{}), startGo(t, dist.Options{}), startErl(t, erlOptions{})
	e.want(etf.Atom("pong"), "net_adm:ping('%s')", a.Name())
	for _, peer := range []string{a.Name(), e.name} {
		if err := b.Ping(within(t), peer); err != nil {
			t.Fatal(err)
		}
	}
	for _, g := range []*goNode{a, b} {
		if nodes := g.Nodes(); len(nodes) != 2 {
			t.Fatalf("%s is connected to %v", g.Name(), nodes)
		}
	}
	e.want(2, "length(nodes(connected))")
	return a, b, e
}

// bindTerm binds an Erlang variable to a term.
func (e *erlNode) bindTerm(variable string, term any) {
	e.t.Helper()
	b, err := etf.Append(nil, term)
	if err != nil {
		e.t.Fatal(err)
	}
	e.let("%s = binary_to_term(base64:decode(<<%q>>)), ok", variable, base64.StdEncoding.EncodeToString(b))
}

// target is a process that ends with the reason in {exit, Reason}.
func (g *goNode) target() gen.PID {
	g.t.Helper()
	return g.spawn("", &script{message: func(_ *script, _ gen.PID, message any) error {
		if m, ok := message.(etf.Tuple); ok && len(m) == 2 && m[0] == etf.Atom("exit") {
			return dist.Exit(m[1])
		}
		return nil
	}})
}

// TestMeshNodeDies: the death of the node in the middle is known to both
// others, which keep each other.
func TestMeshNodeDies(t *testing.T) {
	a, b, e := mesh(t)
	middle := e.server("middle")
	type watched struct {
		peer  *goNode
		pid   gen.PID // of peer's, as it knows it
		downs <-chan any
	}
	ends := map[*goNode]watched{}
	for g, peer := range map[*goNode]*goNode{a: b, b: a} {
		pid := peer.target()
		owner, messages := g.sink("", false)
		for _, target := range []etf.Pid{peer.Pid(pid), middle} {
			if _, err := g.Monitor(owner, target); err != nil {
				t.Fatal(err)
			}
		}
		ends[g] = watched{peer, pid, messages}
	}
	e.signal(syscall.SIGKILL)
	for g, w := range ends {
		down, ok := receive(t, w.downs).(dist.Down)
		if !ok || down.Reason != gen.ErrNoConnection || down.Target != g.PID(middle) {
			t.Errorf("%s: %+v", g.Name(), down)
		}
		eventually(t, "the peer is all that is left", func() bool {
			nodes := g.Nodes()
			return len(nodes) == 1 && nodes[0] == w.peer.Name()
		})
	}
	// The other monitors still stand.
	for g, w := range ends {
		if err := w.peer.Node().Send(w.pid, etf.Tuple{etf.Atom("exit"), etf.Atom("over")}); err != nil {
			t.Fatal(err)
		}
		down, ok := receive(t, w.downs).(dist.Down)
		if !ok || down.Target != g.PID(w.peer.Pid(w.pid)) || !etf.Equal(dist.ExitTerm(down.Reason), etf.Atom("over")) {
			t.Errorf("%s: %+v", g.Name(), down)
		}
	}
}

// Kinds of relations in TestMeshRelations.
const (
	plainMonitor = iota
	plainLink
	monitorAgain // taken back and made again
	linkAgain
	kinds
)

// notices counts what a relation's process was told.
type notices struct {
	kind   int
	target int
	all    atomic.Int32
	wrong  atomic.Pointer[string]
}

// tell notes a DOWN or an EXIT; the target's own reason and noproc are right.
func (n *notices) tell(reason error) {
	n.all.Add(1)
	term := dist.ExitTerm(reason)
	if !etf.Equal(term, gone(n.target)) && !etf.Equal(term, etf.Atom("noproc")) {
		text := etf.Format(term)
		n.wrong.Store(&text)
	}
}

// gone is the reason with which a target ends.
func gone(target int) any { return etf.Tuple{etf.Atom("gone"), target} }

// right reports whether the count fits: one notice, or one more of the relation
// that was taken back, which may have come before that.
func (n *notices) right() bool {
	got := n.all.Load()
	return got == 1 || got == 2 && n.kind >= monitorAgain
}

// watch makes one relation from a process of its own.
func (g *goNode) watch(n *notices, target any) error {
	owner := g.spawn("", &script{trap: true, message: func(_ *script, _ gen.PID, message any) error {
		switch m := message.(type) {
		case dist.Down:
			n.tell(m.Reason)
		case gen.MessageExitPID:
			n.tell(m.Reason)
		}
		return nil
	}})
	switch n.kind {
	case plainMonitor, monitorAgain:
		ref, err := g.Monitor(owner, target)
		if err == nil && n.kind == monitorAgain {
			g.Demonitor(owner, ref)
			_, err = g.Monitor(owner, target)
		}
		return err
	default:
		err := g.Link(owner, target)
		if err == nil && n.kind == linkAgain {
			g.Unlink(owner, target)
			err = g.Link(owner, target)
		}
		return err
	}
}

// erlWatch makes one relation of kind K to the target number I in a process of
// its own, which tells Parent of each notice.
const erlWatch = `Parent = self(),
	Watch = fun(T, I, K) -> spawn(fun() ->
		process_flag(trap_exit, true),
		case K of
			0 -> erlang:monitor(process, T);
			1 -> link(T);
			2 -> erlang:demonitor(erlang:monitor(process, T), [flush]), erlang:monitor(process, T);
			3 -> link(T), unlink(T), receive {'EXIT', T, _} -> ok after 0 -> ok end, link(T)
		end,
		Told = fun(R) -> Parent ! {told, self(), I, R} end,
		(fun L() -> receive
			{'DOWN', _, process, T, R} -> Told(R), L();
			{'EXIT', T, R} -> Told(R), L()
		end end)()
	end) end, ok`

// TestMeshRelations: processes of three nodes monitor and link those of the
// others, some take it back and do it again, while the targets die. Each of the
// over 10,000 is told, once, and with the right reason.
func TestMeshRelations(t *testing.T) {
	const (
		targets = 60   // on each node
		each    = 1700 // relations from each node to each other one
	)
	a, b, e := mesh(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)

	// The targets of each node, as the others see them.
	pids := map[string]etf.List{}
	for _, g := range []*goNode{a, b} {
		for range targets {
			pids[g.Name()] = append(pids[g.Name()], g.Pid(g.target()))
		}
	}
	list, ok := etf.AsList(e.eval("[spawn(fun() -> receive {exit, R} -> exit(R) end end) || _ <- lists:seq(1, %d)]", targets))
	if !ok || len(list) != targets {
		t.Fatalf("targets: %v", list)
	}
	pids[e.name] = list
	e.let(erlWatch)
	e.bindTerm("Targets", append(append(etf.List{}, pids[a.Name()]...), pids[b.Name()]...))

	var made sync.WaitGroup
	var created atomic.Int64
	var all []*notices
	for i, g := range []*goNode{a, b} {
		for j, to := range []string{[]string{b.Name(), a.Name()}[i], e.name} {
			mine := make([]*notices, each)
			for k := range mine {
				mine[k] = &notices{kind: k % kinds}
			}
			all = append(all, mine...)
			r := rand.New(rand.NewPCG(seed, uint64(2*i+j)))
			made.Go(func() {
				for _, n := range mine {
					n.target = r.IntN(targets)
					if err := g.watch(n, pids[to][n.target]); err != nil {
						t.Errorf("%s to %s: %v", g.Name(), to, err)
					}
					created.Add(1)
				}
			})
		}
	}
	made.Go(func() {
		// All of the two nodes' targets in turn, over and over.
		_, err := e.ask("-", fmt.Sprintf(`[Watch(lists:nth(1 + N rem %[1]d, Targets), N rem %[1]d, N div %[1]d rem %[2]d)
			|| N <- lists:seq(0, %[3]d)], ok`, 2*targets, kinds, 2*each-1))
		if err != nil {
			t.Error(err)
		}
	})
	// Meanwhile the targets die one after the other: the last when nearly all
	// relations are made.
	killer := rand.New(rand.NewPCG(seed, 99))
	for i, target := range killer.Perm(targets) {
		eventually(t, "relations are made", func() bool { return created.Load() >= int64(4*each*i/targets) })
		for _, g := range []*goNode{a, b} {
			pid := g.PID(pids[g.Name()][target].(etf.Pid))
			if err := g.Node().Send(pid, etf.Tuple{etf.Atom("exit"), gone(target)}); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.Send(within(t), pids[e.name][target], etf.Tuple{etf.Atom("exit"), gone(target)}); err != nil {
			t.Fatal(err)
		}
	}
	made.Wait()
	told := func() (n int) {
		for _, w := range all {
			if w.all.Load() > 0 {
				n++
			}
		}
		return n
	}
	eventually(t, "all Go processes are told", func() bool { return told() == len(all) })

	// Erlang's: by process, who was told how often, and of what.
	counted := e.eval(`Collect = fun C(M) -> receive {told, P, I, R} ->
			Good = R =:= noproc orelse R =:= {gone, I rem %d},
			C(maps:update_with(P, fun({N, G}) -> {N + 1, G andalso Good} end, {1, Good}, M))
		after 2000 -> M end end,
		Told = Collect(#{}),
		{map_size(Told), lists:max([N || {N, _} <- maps:values(Told)]), [G || {_, false} = G <- maps:values(Told)]}`, targets)
	if !etf.Equal(counted, etf.Tuple{2 * each, 1, etf.List{}}) {
		t.Errorf("Erlang processes told, most notices of one, wrong ones: %s, want {%d,1,[]}", etf.Format(counted), 2*each)
	}
	// Whatever came late has come by now.
	for i, n := range all {
		if wrong := n.wrong.Load(); wrong != nil || !n.right() {
			t.Errorf("relation %d, kind %d: told %d times, wrong reason %v", i, n.kind, n.all.Load(), wrong)
		}
	}
}

// content is the same bytes for the same sequence number.
func content(sequence, size int) []byte {
	b := make([]byte, size)
	src := rand.NewChaCha8([32]byte{byte(sequence), byte(sequence >> 8)})
	_, _ = src.Read(b)
	return b
}

// TestMeshTerms: messages of 1 byte to 64 MB from one process, mixed, arrive
// whole and in order after a way through all three nodes, while another pair of
// processes uses the same connections.
func TestMeshTerms(t *testing.T) {
	a, b, e := mesh(t)
	var sizes []int
	for _, large := range []int{64 << 10, 1<<16 - 1, 1 << 20, 64 << 20, 1<<16 + 1, 16 << 20, 3 << 20, 1} {
		for small := range 200 {
			sizes = append(sizes, 1+small*7)
		}
		sizes = append(sizes, large)
	}
	done := make(chan error, 2)
	last := b.spawn("", checker(sizes, done))
	e.bindTerm("Last", b.Pid(last))
	relay, ok := e.eval("spawn(fun() -> (fun L() -> receive M -> Last ! M, L() end end)() end)").(etf.Pid)
	if !ok {
		t.Fatal("no relay")
	}
	// The other pair, the other way round.
	small := make([]int, 5000)
	for i := range small {
		small[i] = 1 + i%3000
	}
	other := a.spawn("", checker(small, done))
	e.bindTerm("Other", a.Pid(other))
	back, ok := e.eval("spawn(fun() -> (fun L() -> receive M -> Other ! M, L() end end)() end)").(etf.Pid)
	if !ok {
		t.Fatal("no relay back")
	}
	var senders sync.WaitGroup
	send := func(g *goNode, to etf.Pid, sizes []int) {
		for i, size := range sizes {
			if err := g.Send(within(t), to, etf.Tuple{i, content(i, size)}); err != nil {
				done <- fmt.Errorf("message %d of %d bytes: %w", i, size, err)
				return
			}
		}
	}
	senders.Go(func() { send(a, relay, sizes) })
	senders.Go(func() { send(b, back, small) })
	defer senders.Wait()
	deadline := time.NewTimer(2 * patience)
	defer deadline.Stop()
	for range 2 {
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-deadline.C:
			t.Fatal("messages do not arrive")
		}
	}
}

// checker is a process that compares what it gets with what send makes.
func checker(sizes []int, done chan<- error) *script {
	next := 0
	return &script{message: func(_ *script, _ gen.PID, message any) error {
		m, ok := message.(etf.Tuple)
		var got []byte
		if ok && len(m) == 2 && m[0] == int64(next) {
			got, _ = m[1].([]byte)
		}
		if got == nil || !bytes.Equal(got, content(next, sizes[next])) {
			done <- fmt.Errorf("message %d of %d bytes arrived as %.60s", next, sizes[next], etf.Format(message))
			return gen.TerminateReasonNormal
		}
		if next++; next == len(sizes) {
			done <- nil
			return gen.TerminateReasonNormal
		}
		return nil
	}}
}
