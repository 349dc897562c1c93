package dist

import (
	"context"
	"fmt"
	"time"

	"ergo.services/ergo/gen"

	"ermine/node/dist/epmd"
	"ermine/node/dist/etf"
	"ermine/node/dist/handshake"
	"ermine/node/dist/proto"
)

// Down tells the owner of a monitor that the process, or the connection to it,
// has ended.
type Down struct {
	// Ref is what Monitor returned.
	Ref etf.Ref

	// Target is what was monitored: a gen.PID or gen.ProcessID.
	Target any

	// Reason is one of ergo's errors (gen.TerminateReasonNormal,
	// gen.ErrProcessUnknown for noproc, gen.ErrNoConnection...) or a *Reason.
	Reason error
}

// Name names a registered process on a node.
func Name(name, node string) gen.ProcessID {
	return gen.ProcessID{Name: gen.Atom(name), Node: gen.Atom(node)}
}

// target turns a destination into its parts: a gen.PID, an etf.Pid or a
// gen.ProcessID.
func (n *Network) target(to any) (node string, pid etf.Pid, name etf.Atom, norm any, err error) {
	switch t := to.(type) {
	case gen.PID:
		return string(t.Node), n.Pid(t), "", t, nil
	case etf.Pid:
		return string(t.Node), t, "", n.PID(t), nil
	case gen.ProcessID:
		if t.Name != "" && t.Node != "" {
			return string(t.Node), pid, etf.Atom(t.Name), t, nil
		}
	}
	return "", pid, "", nil, fmt.Errorf("%w: %v", ErrTarget, to)
}

// Call makes a gen_server call to a process on any node and returns its
// answer. It connects if need be, and blocks until the answer or the end of
// ctx. The error is ErrNoProc when there is no such process, ErrNotConnected
// (wrapped) when the node cannot be reached or is lost meanwhile, a *Reason or
// ergo's error when the process ended without answering. When ctx ends or the
// connection is lost, the request may have been carried out all the same.
func (n *Network) Call(ctx context.Context, to, request any) (any, error) {
	node, pid, name, local, err := n.target(to)
	if err != nil {
		return nil, err
	}
	if node == n.opts.Name {
		return n.callLocal(ctx, local, request)
	}
	c, err := n.connect(ctx, node, false)
	if err != nil {
		return nil, fmt.Errorf("call %v: %w: %w", to, ErrNotConnected, err)
	}
	res, err := c.await(ctx, func(done func(answer, down any, err error)) (etf.Ref, error) {
		open := &call{from: n.self(), to: pid, toName: name, done: done}
		return c.ask(open, request, func(make func(any) proto.Signal, term any) error {
			return c.wait(ctx, make, term)
		})
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("call %v: %w", to, notConnected(err))
	case res.down != nil:
		return nil, fmt.Errorf("call %v: %w", to, errDown(res.down))
	default:
		return res.answer, nil
	}
}

// callLocal uses ergo's own call, whose time limits are in seconds.
func (n *Network) callLocal(ctx context.Context, to, request any) (any, error) {
	seconds := gen.DefaultRequestTimeout
	if deadline, ok := ctx.Deadline(); ok {
		seconds = max(1, int(time.Until(deadline)/time.Second))
	}
	return n.node.CallWithTimeout(to, request, seconds)
}

// Cast makes a gen_server cast: Send of {'$gen_cast', Request}.
func (n *Network) Cast(ctx context.Context, to, request any) error {
	return n.Send(ctx, to, etf.Tuple{etf.Atom("$gen_cast"), n.wireTerm(request)})
}

// Send sends a message to a process on any node. It connects if need be and
// waits for room in the queue until the end of ctx. A nil error means that the
// message was queued; what becomes of it is not told, as in Erlang.
func (n *Network) Send(ctx context.Context, to, message any) error {
	node, pid, name, local, err := n.target(to)
	if err != nil {
		return err
	}
	if node == n.opts.Name {
		return n.node.Send(local, message)
	}
	c, err := n.connect(ctx, node, false)
	if err != nil {
		return fmt.Errorf("send to %v: %w: %w", to, ErrNotConnected, err)
	}
	err = c.wait(ctx, func(term any) proto.Signal {
		if name != "" {
			return &proto.SendName{From: n.self(), To: name, Message: term}
		}
		return &proto.Send{From: n.self(), To: pid, Message: term}
	}, message)
	return notConnected(err)
}

// RPC calls a function on an Erlang node, as erpc:call/4 does, and returns its
// result. It connects if need be and blocks until the result or the end of
// ctx; when ctx ends the function goes on. An exception in the function is a
// *RPCError. Output of the function is dropped.
func (n *Network) RPC(ctx context.Context, node, module, function string, args ...any) (any, error) {
	what := func(err error) error {
		return fmt.Errorf("rpc %s %s:%s/%d: %w", node, module, function, len(args), err)
	}
	c, err := n.connect(ctx, node, false)
	if err != nil {
		return nil, what(fmt.Errorf("%w: %w", ErrNotConnected, err))
	}
	list := n.wireTerms(args)
	if !c.res.Flags.Has(handshake.FlagSpawn) {
		return n.oldRPC(ctx, node, module, function, list)
	}
	tag := n.MakeRef()
	res, err := c.await(ctx, func(done func(answer, down any, err error)) (etf.Ref, error) {
		ref := n.makeRef(callRef)
		if err := c.calls.add(ref, &call{from: n.self(), spawn: true, done: done}); err != nil {
			return ref, err
		}
		err := c.proto.Send(ctx, &proto.SpawnRequest{
			Ref: ref, From: n.self(), GroupLeader: n.self(),
			Module: "erpc", Function: "execute_call", Arity: 4,
			Options: etf.List{etf.Atom("monitor")},
			Args:    etf.List{tag, etf.Atom(module), etf.Atom(function), etf.List(list)},
		})
		if err != nil && c.calls.take(ref) == nil {
			err = nil
		}
		return ref, err
	})
	if err != nil {
		return nil, what(notConnected(err))
	}
	value, err := erpcResult(tag, res.down)
	if err != nil {
		return nil, what(err)
	}
	return value, nil
}

// erpcResult reads the exit reason of erpc:execute_call/4.
func erpcResult(tag etf.Ref, down any) (any, error) {
	t, ok := down.(etf.Tuple)
	if !ok || len(t) < 3 || t[0] != tag {
		return nil, errDown(down)
	}
	class, _ := t[1].(etf.Atom)
	if class == "return" {
		return t[2], nil
	}
	return nil, &RPCError{Class: string(class), Reason: t[2]}
}

// RPCError is an exception in a function called with RPC.
type RPCError struct {
	// Class is error, exit or throw.
	Class string

	// Reason is the term, such as the atom undef.
	Reason any
}

// Error prints class and reason.
func (e *RPCError) Error() string { return e.Class + ": " + (&Reason{Term: e.Reason}).Error() }

// oldRPC calls rex, for nodes from before OTP 23.
func (n *Network) oldRPC(ctx context.Context, node, module, function string, args []any) (any, error) {
	value, err := n.Call(ctx, Name("rex", node), etf.Tuple{
		etf.Atom("call"), etf.Atom(module), etf.Atom(function), etf.List(args), n.self(),
	})
	if err != nil {
		return nil, err
	}
	if t, ok := value.(etf.Tuple); ok && len(t) == 2 && t[0] == etf.Atom("badrpc") {
		return nil, &RPCError{Class: "error", Reason: t[1]}
	}
	return value, nil
}

// Ping reports whether a node answers, as net_adm:ping/1 does.
func (n *Network) Ping(ctx context.Context, node string) error {
	answer, err := n.Call(ctx, Name("net_kernel", node), etf.Tuple{etf.Atom("is_auth"), n.name})
	if err != nil {
		return err
	}
	if answer != etf.Atom("yes") {
		return fmt.Errorf("ping %s: %w: not authorised", node, handshake.ErrNotAllowed)
	}
	return nil
}

// Monitor makes a local process the owner of a monitor: when the remote target
// (a gen.PID, etf.Pid or gen.ProcessID) ends, or the connection to it, the
// owner gets a Down, behind all messages from the target. A target that is gone
// already, or cannot be reached, gives a Down at once. Monitor never waits: a
// connection that is missing is made in the background. The owner's end takes
// the monitor back. For local targets use ergo's own monitors.
func (n *Network) Monitor(owner gen.PID, target any) (etf.Ref, error) {
	return n.monitor(owner, nil, target)
}

// MonitorFunc is Monitor for Go callers: notify is called once, and must not
// block; it runs in the connection's reading goroutine.
func (n *Network) MonitorFunc(target any, notify func(Down)) (etf.Ref, error) {
	return n.monitor(gen.PID{}, notify, target)
}

func (n *Network) monitor(owner gen.PID, notify func(Down), target any) (etf.Ref, error) {
	node, to, name, norm, err := n.target(target)
	if err != nil {
		return etf.Ref{}, err
	}
	if node == n.opts.Name {
		return etf.Ref{}, fmt.Errorf("%w: %v is local", ErrTarget, target)
	}
	m := &monitor{ref: n.MakeRef(), owner: owner, notify: notify, target: norm, to: to, toName: name}
	r := &n.relations
	r.mu.Lock()
	l, fresh := r.local(owner)
	l.monitors[m.ref] = m
	r.mu.Unlock()
	if fresh {
		n.arm(owner)
	}
	n.overConnection(node, func(c *Conn) {
		r.mu.Lock()
		l := r.locals[owner]
		wanted := l != nil && l.monitors[m.ref] == m
		var rem *remote
		if wanted && c != nil {
			rem = r.remote(c)
		}
		if rem != nil {
			m.conn = c
			rem.monitors[m.ref] = m
			_ = c.proto.Push(&proto.Monitor{From: n.ownerPid(m), To: to, ToName: name, Ref: m.ref})
		} else if wanted {
			delete(l.monitors, m.ref)
		}
		r.mu.Unlock()
		if wanted && rem == nil {
			n.tellDown(m, etf.Atom("noconnection"))
		}
	})
	return m.ref, nil
}

// Demonitor takes a monitor back. No Down comes after it has returned, except
// one that is in the owner's mailbox already.
func (n *Network) Demonitor(owner gen.PID, ref etf.Ref) {
	r := &n.relations
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.locals[owner]
	if l == nil {
		return
	}
	if m := l.monitors[ref]; m != nil {
		delete(l.monitors, ref)
		n.dropMonitor(m)
	}
}

// DemonitorFunc takes a monitor of MonitorFunc back.
func (n *Network) DemonitorFunc(ref etf.Ref) { n.Demonitor(gen.PID{}, ref) }

// Link links a local and a remote process (a gen.PID or etf.Pid): when one ends,
// the other gets an exit signal, with noconnection when the connection does.
// It never waits: a connection that is missing is made in the background. An
// existing link is left as it is.
func (n *Network) Link(process gen.PID, with any) error {
	node, to, name, _, err := n.target(with)
	if err == nil && (name != "" || node == n.opts.Name) {
		err = fmt.Errorf("%w: %v is no remote pid", ErrTarget, with)
	}
	if err != nil {
		return err
	}
	r := &n.relations
	r.mu.Lock()
	l, fresh := r.local(process)
	k := l.links[to]
	again := k != nil && k.active
	if k == nil {
		k = &link{linkKey: linkKey{process, to}}
		l.links[to] = k
	}
	k.active, k.unlinkID = true, 0
	if !again && k.conn != nil {
		_ = k.conn.proto.Push(&proto.Link{From: n.Pid(process), To: to})
		again = true
	}
	r.mu.Unlock()
	if fresh {
		n.arm(process)
	}
	if again {
		return nil
	}
	n.overConnection(node, func(c *Conn) {
		r.mu.Lock()
		l := r.locals[process]
		wanted := l != nil && l.links[to] == k && k.active && k.conn == nil
		var rem *remote
		if wanted && c != nil {
			rem = r.remote(c)
		}
		if rem != nil {
			k.conn = c
			rem.links[k.linkKey] = k
			_ = c.proto.Push(&proto.Link{From: n.Pid(process), To: to})
		} else if wanted {
			delete(l.links, to)
		}
		r.mu.Unlock()
		if wanted && rem == nil {
			_ = n.core.RouteSendExit(n.PID(to), process, gen.ErrNoConnection)
		}
	})
	return nil
}

// Unlink takes a link back, whichever side made it. No exit signal of it
// arrives after Unlink has returned, except one that is in the mailbox already.
func (n *Network) Unlink(process gen.PID, with any) {
	_, to, _, _, err := n.target(with)
	if err != nil {
		return
	}
	r := &n.relations
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.locals[process]
	if l == nil {
		return
	}
	k := l.links[to]
	if k == nil || !k.active {
		return
	}
	if k.conn == nil || !k.conn.res.Flags.Has(handshake.FlagUnlinkID) {
		r.dropLink(k)
	}
	if k.conn != nil {
		k.active, k.unlinkID = false, n.unlinks.Add(1)
		_ = k.conn.proto.Push(&proto.Unlink{ID: k.unlinkID, From: n.Pid(process), To: to})
	}
}

// Exit sends an exit signal to a remote process, as exit/2 does; from is a
// local process or zero.
func (n *Network) Exit(ctx context.Context, from gen.PID, to, reason any) error {
	node, pid, name, _, err := n.target(to)
	if err == nil && name != "" {
		err = fmt.Errorf("%w: %v is no pid", ErrTarget, to)
	}
	if err != nil {
		return err
	}
	c, err := n.connect(ctx, node, false)
	if err != nil {
		return fmt.Errorf("exit %v: %w: %w", to, ErrNotConnected, err)
	}
	sender := n.self()
	if from != (gen.PID{}) {
		sender = n.Pid(from)
	}
	return notConnected(c.push(func(term any) proto.Signal {
		return &proto.Exit2{From: sender, To: pid, Reason: term}
	}, reason))
}

// overConnection runs f with the connection to a node, at once if there is one,
// else in the background when it is made; with nil if that fails.
func (n *Network) overConnection(node string, f func(*Conn)) {
	if c := n.connected(node); c != nil {
		f(c)
		return
	}
	if !n.goes(func() {
		c, err := n.connect(n.ctx, node, true)
		if err != nil {
			c = nil
		}
		f(c)
	}) {
		f(nil)
	}
}

// RemoteNames lists the nodes that the port mapper on a host knows, in EPMD
// mode and otherwise.
func (n *Network) RemoteNames(ctx context.Context, host string) ([]epmd.Node, error) {
	return n.ports.Names(ctx, host)
}
