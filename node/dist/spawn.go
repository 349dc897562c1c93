package dist

import (
	"sync"

	"ergo.services/ergo/gen"

	"ermine/node/dist/etf"
	"ermine/node/dist/proto"
)

// AnyArity stands for all arities in HandleSpawn.
const AnyArity = -1

// maxSpawning bounds the spawn requests under way; beyond it they are answered
// system_limit.
const maxSpawning = 4096

// SpawnRequest is the first message of a process that an Erlang node has
// spawned. The process works when it gets it, not in its Init: only then is the
// requester told of the process, and its monitor set. The reason with which
// the process ends (Exit makes one of a term) is what the requester sees.
type SpawnRequest struct {
	// From is the process that asked, which is also the link and monitor.
	From gen.PID

	// GroupLeader speaks the I/O protocol: output goes there.
	GroupLeader gen.PID

	Module, Function string
	Args             etf.List

	// Node is the name of the node that asked.
	Node string
}

type mfa struct {
	module, function string
	arity            int
}

type spawnTable struct {
	mu       sync.RWMutex
	offered  map[mfa]gen.ProcessFactory
	spawning int
}

// HandleSpawn offers Erlang nodes to spawn a process for Module:Function with
// the given number of arguments, or AnyArity. Requests for what is not offered
// are answered notsup. A later offer replaces an earlier one.
func (n *Network) HandleSpawn(module, function string, arity int, factory gen.ProcessFactory) {
	n.spawns.mu.Lock()
	defer n.spawns.mu.Unlock()
	if n.spawns.offered == nil {
		n.spawns.offered = map[mfa]gen.ProcessFactory{}
	}
	n.spawns.offered[mfa{module, function, arity}] = factory
}

func (t *spawnTable) find(module, function string, arity int) gen.ProcessFactory {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if f := t.offered[mfa{module, function, arity}]; f != nil {
		return f
	}
	return t.offered[mfa{module, function, AnyArity}]
}

// begin takes one of maxSpawning places.
func (t *spawnTable) begin() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.spawning >= maxSpawning {
		return false
	}
	t.spawning++
	return true
}

func (t *spawnTable) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.spawning--
}

// spawnRequest answers a spawn request. The process is made in a goroutine of
// its own, since its Init may take its time.
func (n *Network) spawnRequest(c *Conn, s *proto.SpawnRequest) {
	refuse := func(reason etf.Atom, ref etf.Ref, to etf.Pid) {
		_ = c.proto.Push(&proto.SpawnReply{Ref: ref, To: to, Err: reason})
	}
	factory := n.spawns.find(string(s.Module), string(s.Function), s.Arity)
	if factory == nil {
		n.log.Debug("spawn refused", "peer", c.res.Peer, "module", string(s.Module), "function", string(s.Function), "arity", s.Arity)
		refuse("notsup", s.Ref, s.From)
		return
	}
	if !n.spawns.begin() {
		refuse("system_limit", s.Ref, s.From)
		return
	}
	req := *s // s is used again when this returns
	started := n.goes(func() {
		defer n.spawns.end()
		n.spawn(c, &req, factory, refuse)
	})
	if !started {
		n.spawns.end()
	}
}

func (n *Network) spawn(c *Conn, req *proto.SpawnRequest, factory gen.ProcessFactory, refuse func(etf.Atom, etf.Ref, etf.Pid)) {
	// Every such process ends with a reason of its own, which ergo would log.
	pid, err := n.node.Spawn(factory, gen.ProcessOptions{LogLevel: gen.LogLevelDisabled})
	if err != nil {
		n.log.Error("spawn for a remote node", "peer", c.res.Peer, "module", string(req.Module), "err", err)
		refuse("system_limit", req.Ref, req.From)
		return
	}
	reply := proto.SpawnReply{Ref: req.Ref, To: req.From, Pid: n.Pid(pid)}
	linked, monitored := spawnOptions(req.Options)
	if monitored {
		reply.Flags |= proto.SpawnMonitored
		n.addWatch(c, pid, req.Ref, req.From)
	}
	if linked {
		reply.Flags |= proto.SpawnLinked
		n.remoteLink(c, req.From, pid, monitored)
	}
	_ = c.proto.Push(&reply)
	_ = n.core.RouteSendPID(n.PID(req.From), pid, gen.MessageOptions{}, &SpawnRequest{
		From: n.PID(req.From), GroupLeader: n.PID(req.GroupLeader),
		Module: string(req.Module), Function: string(req.Function), Args: req.Args,
		Node: c.res.Peer,
	})
}

// spawnOptions reads what matters here of the options of a spawn request.
func spawnOptions(options etf.List) (linked, monitored bool) {
	for _, o := range options {
		if t, ok := o.(etf.Tuple); ok && len(t) == 2 {
			o = t[0]
		}
		switch o {
		case etf.Atom("link"):
			linked = true
		case etf.Atom("monitor"):
			monitored = true
		}
	}
	return linked, monitored
}
