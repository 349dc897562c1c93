package erl

import (
	"ergo.services/ergo/act"
	"ergo.services/ergo/gen"

	"ermine/node/dist"
	"ermine/node/dist/etf"
)

// worker is the process of one call that another node has spawned.
type worker struct {
	act.Actor
	s *Services
}

// HandleMessage is called by ergo: the one message is the request, and the
// reason with which the process ends is the answer.
func (w *worker) HandleMessage(_ gen.PID, message any) error {
	req, ok := message.(*dist.SpawnRequest)
	if !ok {
		return nil
	}
	apply := func(m, f, a any) (any, *Exception) {
		c, ok := makeCall(m, f, a)
		if !ok {
			return nil, &Exception{Class: "error", Reason: etf.Atom("badarg"), Stack: etf.List{}}
		}
		c.Caller, c.GroupLeader = req.From, req.GroupLeader
		return w.s.apply(c)
	}
	var exception *Exception
	if req.Module == "erpc" {
		switch {
		case req.Function == "execute_call" && len(req.Args) == 4:
			result, e := apply(req.Args[1], req.Args[2], req.Args[3])
			return dist.Exit(erpcExit(req.Args[0], result, e))
		case len(req.Args) == 3:
			_, exception = apply(req.Args[0], req.Args[1], req.Args[2])
		}
	} else {
		_, exception = apply(etf.Atom(req.Module), etf.Atom(req.Function), req.Args)
	}
	if exception != nil {
		return exitReason(exception)
	}
	return gen.TerminateReasonNormal
}

// apply calls a function of the table.
func (s *Services) apply(c *Call) (any, *Exception) {
	return s.table.Apply(s.ctx, s.log, c)
}

// maxCalls bounds the calls that rex runs at a time.
const maxCalls = 4096

// rex is the rpc server of nodes from before OTP 23 and of C nodes, such as
// erl_call.
type rex struct {
	act.Actor
	named
	calls chan struct{} // a place for each call that runs
}

// Init is called by ergo.
func (r *rex) Init(...any) error {
	r.calls = make(chan struct{}, maxCalls)
	return nil
}

// Terminate is called by ergo.
func (r *rex) Terminate(reason error) { r.s.ended(r.name, reason) }

// HandleCall is called by ergo (call): {call, M, F, A, GroupLeader} runs beside
// others, block_call holds up what comes behind it.
func (r *rex) HandleCall(from gen.PID, ref gen.Ref, request any) (any, error) {
	t, _ := request.(etf.Tuple)
	if len(t) == 5 && t[0] == etf.Atom("call") {
		self := r.PID()
		r.start(from, t, func(answer any) { r.s.reply(self, from, ref, answer) })
		return nil, nil
	}
	if len(t) == 5 && t[0] == etf.Atom("block_call") {
		return r.s.rpc(from, t), nil
	}
	// rpc.erl does not answer what it does not know; who asks has a time-out.
	return nil, nil
}

// start runs a call in a goroutine.
func (r *rex) start(from gen.PID, t etf.Tuple, answer func(any)) {
	select {
	case r.calls <- struct{}{}:
	default:
		answer(badrpc(etf.Atom("system_limit")))
		return
	}
	calls, s := r.calls, r.s
	go func() {
		defer func() { <-calls }()
		answer(s.rpc(from, t))
	}()
}

// rpc runs {_, M, F, A, GroupLeader}.
func (s *Services) rpc(from gen.PID, t etf.Tuple) any {
	c, ok := makeCall(t[1], t[2], t[3])
	if !ok {
		return badrpc(etf.Tuple{etf.Atom("badarg"), etf.List{}})
	}
	c.Caller = from
	if leader, ok := t[4].(etf.Pid); ok {
		c.GroupLeader = s.net.PID(leader)
	}
	return rpcResult(s.apply(c))
}

// HandleMessage is called by ergo: casts, and what nodes and C nodes send to rex
// without gen_server (info).
func (r *rex) HandleMessage(_ gen.PID, message any) error {
	t, _ := message.(etf.Tuple)
	if len(t) != 2 {
		return nil
	}
	body, _ := t[1].(etf.Tuple)
	if t[0] == etf.Atom("$gen_cast") {
		if len(body) == 5 && body[0] == etf.Atom("cast") {
			r.start(gen.PID{}, body, func(any) {})
		}
		return nil
	}
	caller, ok := t[0].(etf.Pid)
	if !ok {
		return nil
	}
	from := r.s.net.PID(caller)
	tell := func(message any) { _ = r.s.send(r.s.ctx, from, message) }
	switch {
	case t[1] == etf.Atom("features_request"):
		go tell(etf.Tuple{etf.Atom("features_reply"), etf.Atom(r.s.net.Name()), etf.List{etf.Atom("erpc")}})
	case len(body) == 5 && body[0] == etf.Atom("call"):
		r.start(from, body, func(answer any) { tell(etf.Tuple{etf.Atom("rex"), answer}) })
	case len(body) == 3 && (body[0] == etf.Atom("sbcast") || body[0] == etf.Atom("send")):
		r.deliver(caller, body, tell)
	}
	return nil
}

// deliver sends to a registered process: rpc:sbcast/3 and gen_server:abcast.
func (r *rex) deliver(caller etf.Pid, body etf.Tuple, tell func(any)) {
	node := etf.Atom(r.s.net.Name())
	name, ok := body[1].(etf.Atom)
	message := body[2]
	if body[0] == etf.Atom("send") {
		message = etf.Tuple{caller, message}
	}
	if ok {
		if _, err := r.Node().ProcessPID(gen.Atom(name)); err != nil {
			ok = false
		} else {
			ok = r.Send(gen.Atom(name), message) == nil
		}
	}
	switch {
	case !ok:
		go tell(etf.Tuple{etf.Atom("rex"), node, etf.Tuple{etf.Atom("nonexisting_name"), body[1]}})
	case body[0] == etf.Atom("sbcast"):
		go tell(etf.Tuple{etf.Atom("rex"), node, node})
	}
}
