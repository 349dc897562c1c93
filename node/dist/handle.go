package dist

import (
	"fmt"

	"ergo.services/ergo/gen"

	"ermine/node/dist/etf"
	"ermine/node/dist/proto"
)

// handle delivers one signal of the peer. It runs in the connection's reading
// goroutine, which keeps the order, and must not wait for anybody. An error
// ends the connection.
func (c *Conn) handle(sig proto.Signal) error {
	n := c.net
	switch s := sig.(type) {
	case *proto.Send:
		c.deliver(s.From, s.To, s.Message)
	case *proto.SendName:
		c.deliverName(s.From, gen.Atom(s.To), s.Message)
	case *proto.SendAlias:
		// This node hands out no aliases; calls are answered by reference.
	case *proto.Exit:
		if err := c.fromPeer(s.From); err != nil {
			return err
		}
		n.remoteExit(c, s.From, s.To, s.Reason)
	case *proto.Exit2:
		if err := c.fromPeer(s.From); err != nil {
			return err
		}
		n.exitSignal(n.PID(s.From), n.PID(s.To), s.Reason)
	case *proto.Link:
		if err := c.fromPeer(s.From); err != nil {
			return err
		}
		n.remoteLink(c, s.From, n.PID(s.To), false)
	case *proto.Unlink:
		if err := c.fromPeer(s.From); err != nil {
			return err
		}
		n.remoteUnlink(c, s.ID, s.From, s.To)
	case *proto.UnlinkAck:
		n.unlinkAck(c, s.ID, s.From, n.PID(s.To))
	case *proto.Monitor:
		if err := c.fromPeer(s.From); err != nil {
			return err
		}
		n.remoteMonitor(c, s)
	case *proto.Demonitor:
		n.remoteDemonitor(c, s.Ref)
	case *proto.Down:
		c.down(s)
	case *proto.SpawnRequest:
		if err := c.fromPeer(s.From); err != nil {
			return err
		}
		n.spawnRequest(c, s)
	case *proto.SpawnReply:
		c.calls.spawned(s.Ref, s.Pid, s.Err)
	case *proto.GroupLeader:
		// ergo's processes have no group leader.
	}
	return nil
}

// fromPeer holds the sender of a signal to the node that sent it.
func (c *Conn) fromPeer(p etf.Pid) error {
	if string(p.Node) != c.res.Peer {
		return fmt.Errorf("%w: signal from %s in the name of %s", proto.ErrProtocol, c.res.Peer, p.Node)
	}
	return nil
}

// genCall takes a gen_server call apart.
func genCall(message any) (from etf.Pid, tag, request any, ok bool) {
	t, ok := message.(etf.Tuple)
	if !ok || len(t) != 3 || t[0] != etf.Atom("$gen_call") {
		return from, nil, nil, false
	}
	who, ok := t[1].(etf.Tuple)
	if !ok || len(who) != 2 {
		return from, nil, nil, false
	}
	from, ok = who[0].(etf.Pid)
	return from, who[1], t[2], ok
}

// answer takes the answer to one of this node's calls apart.
func (c *Conn) answer(message any) (ref etf.Ref, reply any, ok bool) {
	t, ok := message.(etf.Tuple)
	if !ok || len(t) != 2 {
		return ref, nil, false
	}
	ref, ok = t[0].(etf.Ref)
	if !ok || !c.net.ownCall(ref) {
		return ref, nil, false
	}
	return ref, t[1], true
}

// deliver hands a message to a local process.
func (c *Conn) deliver(from, to etf.Pid, message any) {
	n := c.net
	if to.Node != n.name {
		return
	}
	if ref, reply, ok := c.answer(message); ok {
		c.answered(ref, reply)
		c.proto.Yield()
		return
	}
	pid := n.PID(to)
	if pid.ID == corePID {
		c.toCore(message)
		return
	}
	if caller, tag, request, ok := genCall(message); ok && caller.Node != n.name {
		_ = n.core.RouteCallPID(n.PID(caller), pid, gen.MessageOptions{Ref: c.callRef(tag)}, request)
		c.proto.Yield()
		return
	}
	_ = n.core.RouteSendPID(n.PID(from), pid, gen.MessageOptions{}, message)
}

// deliverName hands a message to a registered process. As in Erlang, one for
// an unknown name is dropped; a caller is told by its monitor.
func (c *Conn) deliverName(from etf.Pid, name gen.Atom, message any) {
	n := c.net
	to := gen.ProcessID{Name: name, Node: gen.Atom(n.name)}
	if caller, tag, request, ok := genCall(message); ok && caller.Node != n.name {
		n.safely(func() error {
			return n.core.RouteCallProcessID(n.PID(caller), to, gen.MessageOptions{Ref: c.callRef(tag)}, request)
		})
		c.proto.Yield()
		return
	}
	n.safely(func() error {
		return n.core.RouteSendProcessID(n.PID(from), to, gen.MessageOptions{}, message)
	})
}

// safely runs a delivery by name. ergo enters a name before the process behind
// it has a mailbox, and a message in that moment panics.
func (n *Network) safely(deliver func() error) {
	defer func() {
		if r := recover(); r != nil {
			n.log.Debug("delivery by name", "err", r)
		}
	}()
	_ = deliver()
}

// toCore is for messages to Go callers that are no processes. What a function
// prints that was called with RPC arrives here, since the caller is its group
// leader: it is taken and dropped, or the function would wait for ever.
func (c *Conn) toCore(message any) {
	t, ok := message.(etf.Tuple)
	if !ok || len(t) != 4 || t[0] != etf.Atom("io_request") {
		return
	}
	from, ok := t[1].(etf.Pid)
	if !ok {
		return
	}
	var result any = etf.Tuple{etf.Atom("error"), etf.Atom("enotsup")}
	if request, ok := t[3].(etf.Tuple); ok && len(request) > 0 && request[0] == etf.Atom("put_chars") {
		result = etf.Atom("ok")
	}
	_ = c.proto.Push(&proto.Send{
		From: c.net.self(), To: from,
		Message: etf.Tuple{etf.Atom("io_reply"), t[2], result},
	})
}

// down tells whoever monitored a remote process that it has ended.
func (c *Conn) down(s *proto.Down) {
	n := c.net
	if c.calls.down(s.Ref, s.Reason) {
		return
	}
	c.mu.Lock()
	target, core := c.coreRefs[s.Ref]
	if core {
		delete(c.coreRefs, s.Ref)
		delete(c.coreTargets, target)
	}
	c.mu.Unlock()
	if core {
		switch t := target.(type) {
		case gen.PID:
			_ = n.core.RouteTerminatePID(t, Exit(s.Reason))
		case gen.ProcessID:
			_ = n.core.RouteTerminateProcessID(t, Exit(s.Reason))
		}
		return
	}
	n.monitorFired(c, s.Ref, s.Reason)
}

// exitSignal delivers an exit signal. As in Erlang one with reason normal ends
// nobody; kill ends the process even if it traps exits.
func (n *Network) exitSignal(from, to gen.PID, reason any) {
	if to.Node != gen.Atom(n.name) || to.ID == corePID {
		return
	}
	switch reason {
	case etf.Atom("normal"):
		return
	case etf.Atom("kill"):
		// Kill is lost on a process that is still in its Init.
		if state, err := n.node.ProcessState(to); err == nil && state != gen.ProcessStateInit {
			_ = n.node.Kill(to)
			return
		}
	}
	_ = n.core.RouteSendExit(from, to, Exit(reason))
}
