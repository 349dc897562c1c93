package erl

import (
	"ergo.services/ergo/act"
	"ergo.services/ergo/gen"

	"ermine/node/dist/etf"
)

// server is the process ermine. It holds no state: requests go to the lane of
// their caller, so that one which waits holds up nobody else.
type server struct {
	act.Actor
	named
}

// watchLocal (cast, from hub) asks for a monitor of a subscriber on this node.
type watchLocal struct{ pid gen.PID }

// Init is called by ergo. The monitors of a process before this one are made
// anew.
func (p *server) Init(...any) error {
	for _, s := range p.s.hub.all() {
		if string(s.to.Node) == p.s.net.Name() {
			if err := p.Send(p.PID(), watchLocal{s.to}); err != nil {
				return err
			}
		}
	}
	return nil
}

// Terminate is called by ergo.
func (p *server) Terminate(reason error) { p.s.ended(p.name, reason) }

// HandleCall is called by ergo (call).
func (p *server) HandleCall(from gen.PID, ref gen.Ref, request any) (any, error) {
	if request == etf.Atom("info") {
		return p.s.hub.info(from), nil
	}
	work := p.request(from, request)
	if work == nil {
		return errorTuple(etf.Atom("badarg")), nil
	}
	self := p.PID()
	if !p.s.hub.enqueue(from, func() { p.s.reply(self, from, ref, work()) }) {
		return errorTuple(etf.Atom("overload")), nil
	}
	return nil, nil
}

// request makes a function of a request; nil if it is none.
func (p *server) request(from gen.PID, request any) func() any {
	t, _ := request.(etf.Tuple)
	h, ctx := p.s.hub, p.s.ctx
	if len(t) == 0 {
		return nil
	}
	switch {
	case t[0] == etf.Atom("subscribe") && (len(t) == 2 || len(t) == 3):
		return func() any { return answer(h.subscribe(ctx, from, t[1], optional(t, 2))) }
	case t[0] == etf.Atom("unsubscribe") && len(t) == 2:
		return func() any { return answer(h.unsubscribe(from, t[1])) }
	case t[0] == etf.Atom("publish") && (len(t) == 3 || len(t) == 4):
		return func() any { return h.publish(ctx, from, t[1], t[2], optional(t, 3)) }
	}
	return nil
}

// optional is element i of t, or no options.
func optional(t etf.Tuple, i int) any {
	if i < len(t) {
		return t[i]
	}
	return etf.List{}
}

// HandleMessage is called by ergo: casts, acknowledgements, and the ends of
// subscribers on this node (info).
func (p *server) HandleMessage(from gen.PID, message any) error {
	switch m := message.(type) {
	case etf.Tuple:
		p.message(from, m)
	case watchLocal:
		if err := p.MonitorPID(m.pid); err != nil {
			p.gone(m.pid)
		}
	case gen.MessageDownPID:
		p.gone(m.PID)
	}
	return nil
}

func (p *server) message(from gen.PID, t etf.Tuple) {
	if len(t) != 2 {
		return
	}
	switch t[0] {
	case etf.Atom("mqtt_ack"):
		if id, ok := etf.AsInt(t[1]); ok {
			p.s.hub.ack(id)
		}
	case etf.Atom("$gen_cast"):
		if work := p.request(from, t[1]); work != nil {
			p.s.hub.enqueue(from, func() { work() })
		}
	}
}

func (p *server) gone(pid gen.PID) {
	h := p.s.hub
	h.mu.Lock()
	s := h.byPID[pid]
	h.mu.Unlock()
	if s != nil {
		h.remove(s)
	}
}
