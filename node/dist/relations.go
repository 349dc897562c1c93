package dist

import (
	"errors"
	"sync"

	"ergo.services/ergo/gen"

	"ermine/node/dist/etf"
	"ermine/node/dist/proto"
)

// relations are the links and monitors between local and remote processes.
// Its mutex is never held while ergo's core is called, since ergo calls this
// package under a mutex of its own; signals are queued under it, which never
// waits and keeps their order that of the changes here.
type relations struct {
	mu     sync.Mutex
	locals map[any]*local    // by gen.PID, and by gen.Atom for monitors by name
	conns  map[*Conn]*remote // those that have not ended
}

// local is what a local process, or a registered name, is related to; a name
// only has watchers. The entry of the zero PID holds the monitors of Go callers
// that are no processes.
type local struct {
	watchers map[watchKey]etf.Pid // remote monitors of it: who is told
	links    map[etf.Pid]*link    // by remote process
	monitors map[etf.Ref]*monitor // its monitors of remote processes
}

// remote is the same from a connection's side.
type remote struct {
	watchers map[etf.Ref]any // key of locals
	links    map[linkKey]*link
	monitors map[etf.Ref]*monitor
}

type watchKey struct {
	conn *Conn
	ref  etf.Ref
}

type linkKey struct {
	local  gen.PID
	remote etf.Pid
}

// link is the state of the chapter "Link Protocol". conn is nil while the
// connection is being made.
type link struct {
	linkKey
	conn     *Conn
	active   bool
	unlinkID uint64 // of the unlink that is not acknowledged, if not active
}

// monitor is one of a remote process. conn is nil while the connection is being
// made.
type monitor struct {
	ref    etf.Ref
	owner  gen.PID
	notify func(Down)
	target any // gen.PID or gen.ProcessID
	to     etf.Pid
	toName etf.Atom
	conn   *Conn
}

func (r *relations) init() {
	r.locals = map[any]*local{}
	r.conns = map[*Conn]*remote{}
}

// local returns the entry of a process; fresh means that it was made now, and
// that the caller has to call Network.arm when it has let go of the mutex.
func (r *relations) local(key any) (l *local, fresh bool) {
	l = r.locals[key]
	if l == nil {
		l = &local{watchers: map[watchKey]etf.Pid{}, links: map[etf.Pid]*link{}, monitors: map[etf.Ref]*monitor{}}
		r.locals[key] = l
		fresh = key != any(gen.PID{})
	}
	return l, fresh
}

// remote returns the entry of a connection, nil if it has ended.
func (r *relations) remote(c *Conn) *remote {
	rem := r.conns[c]
	if rem == nil && c.live() {
		rem = &remote{watchers: map[etf.Ref]any{}, links: map[linkKey]*link{}, monitors: map[etf.Ref]*monitor{}}
		r.conns[c] = rem
	}
	return rem
}

// arm makes the watcher watch a local process, or name, that got its first
// relation. One that is gone is dealt with as if it had just died.
func (n *Network) arm(key any) {
	watcher := n.watcher.Load()
	if watcher == nil {
		return
	}
	// Twice: ergo can lose a DOWN between its look at the process and its entry
	// of the monitor; the second attempt then finds no process.
	for range 2 {
		var err error
		switch k := key.(type) {
		case gen.PID:
			err = n.core.RouteMonitorPID(*watcher, k)
		case gen.Atom:
			err = n.core.RouteMonitorProcessID(*watcher, gen.ProcessID{Name: k, Node: gen.Atom(n.name)})
		}
		if err != nil && !errors.Is(err, gen.ErrTargetExist) {
			n.localDown(key, gen.ErrProcessUnknown)
			return
		}
	}
}

// localDown tells of the end of a local process, or of what was registered
// under a name, to all its relations.
func (n *Network) localDown(key any, reason error) {
	r := &n.relations
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.locals[key]
	if l == nil {
		return
	}
	delete(r.locals, key)
	term := ExitTerm(reason)
	self, name := n.keyParts(key)
	for w, to := range l.watchers {
		if rem := r.conns[w.conn]; rem != nil {
			delete(rem.watchers, w.ref)
		}
		down := proto.Down{From: self, FromName: name, To: to, Ref: w.ref}
		n.pushReason(w.conn, term, func(t any) proto.Signal { down.Reason = t; return &down })
	}
	for _, k := range l.links {
		if k.conn == nil {
			continue
		}
		if rem := r.conns[k.conn]; rem != nil {
			delete(rem.links, k.linkKey)
		}
		if k.active {
			exit := proto.Exit{From: self, To: k.remote}
			n.pushReason(k.conn, term, func(t any) proto.Signal { exit.Reason = t; return &exit })
		}
	}
	for _, m := range l.monitors {
		n.dropMonitor(m)
	}
}

// keyParts turns a key of relations.locals into what a DOWN names.
func (n *Network) keyParts(key any) (pid etf.Pid, name etf.Atom) {
	switch k := key.(type) {
	case gen.PID:
		return n.Pid(k), ""
	case gen.Atom:
		return pid, etf.Atom(k)
	}
	return pid, ""
}

// pushReason sends a signal with a reason that may be no term.
func (n *Network) pushReason(c *Conn, reason any, make func(any) proto.Signal) {
	if err := c.push(make, reason); err != nil && c.live() {
		n.log.Error("exit reason cannot be sent", "peer", c.res.Peer, "err", err)
		_ = c.push(make, etf.Tuple{etf.Atom("error"), etf.Atom("bad_reason")})
	}
}

// dropMonitor takes a monitor of a remote process back. The mutex is held.
func (n *Network) dropMonitor(m *monitor) {
	if m.conn == nil {
		return
	}
	if rem := n.relations.conns[m.conn]; rem != nil {
		delete(rem.monitors, m.ref)
		_ = m.conn.proto.Push(&proto.Demonitor{From: n.ownerPid(m), To: m.to, ToName: m.toName, Ref: m.ref})
	}
}

func (n *Network) ownerPid(m *monitor) etf.Pid {
	if m.owner == (gen.PID{}) {
		return n.self()
	}
	return n.Pid(m.owner)
}

// connectionLost breaks all that went over a connection: its links with
// noconnection, and so its monitors.
func (n *Network) connectionLost(c *Conn) {
	r := &n.relations
	r.mu.Lock()
	rem := r.conns[c]
	delete(r.conns, c)
	if rem == nil {
		r.mu.Unlock()
		return
	}
	for ref, key := range rem.watchers {
		if l := r.locals[key]; l != nil {
			delete(l.watchers, watchKey{c, ref})
		}
	}
	for _, k := range rem.links {
		if l := r.locals[k.local]; l != nil {
			delete(l.links, k.remote)
		}
	}
	for _, m := range rem.monitors {
		if l := r.locals[m.owner]; l != nil {
			delete(l.monitors, m.ref)
		}
	}
	r.mu.Unlock()
	for _, k := range rem.links {
		if k.active {
			_ = n.core.RouteSendExit(n.PID(k.remote), k.local, gen.ErrNoConnection)
		}
	}
	for _, m := range rem.monitors {
		n.tellDown(m, etf.Atom("noconnection"))
	}
}

// remoteMonitor enters a monitor that the peer has asked for. One by name is
// watched by name: ergo tells the pid behind it only with a data race.
func (n *Network) remoteMonitor(c *Conn, s *proto.Monitor) {
	switch {
	case s.ToName != "":
		n.addWatch(c, gen.Atom(s.ToName), s.Ref, s.From)
	case s.To.Node != n.name:
		_ = c.proto.Push(&proto.Down{From: s.To, To: s.From, Ref: s.Ref, Reason: etf.Atom("noproc")})
	case s.To.ID != corePID || s.To.Serial != 0: // the core ends with the node
		n.addWatch(c, n.PID(s.To), s.Ref, s.From)
	}
}

func (n *Network) addWatch(c *Conn, key any, ref etf.Ref, who etf.Pid) {
	r := &n.relations
	r.mu.Lock()
	rem := r.remote(c)
	if rem == nil {
		r.mu.Unlock()
		return
	}
	l, fresh := r.local(key)
	l.watchers[watchKey{c, ref}] = who
	rem.watchers[ref] = key
	r.mu.Unlock()
	if fresh {
		n.arm(key)
	}
}

// remoteDemonitor takes a monitor of the peer back.
func (n *Network) remoteDemonitor(c *Conn, ref etf.Ref) {
	r := &n.relations
	r.mu.Lock()
	defer r.mu.Unlock()
	r.takeWatch(c, ref)
}

func (r *relations) takeWatch(c *Conn, ref etf.Ref) (key any, who etf.Pid, found bool) {
	rem := r.conns[c]
	if rem == nil {
		return nil, who, false
	}
	key, found = rem.watchers[ref]
	delete(rem.watchers, ref)
	if l := r.locals[key]; found && l != nil {
		who = l.watchers[watchKey{c, ref}]
		delete(l.watchers, watchKey{c, ref})
	}
	return key, who, found
}

// failMonitor fires a monitor of the peer although the process lives on: this
// is how an error that answers a call reaches an Erlang caller.
func (n *Network) failMonitor(c *Conn, ref etf.Ref, reason any) error {
	r := &n.relations
	r.mu.Lock()
	defer r.mu.Unlock()
	key, who, found := r.takeWatch(c, ref)
	if !found {
		return gen.ErrUnsupported
	}
	down := proto.Down{To: who, Ref: ref}
	down.From, down.FromName = n.keyParts(key)
	n.pushReason(c, reason, func(t any) proto.Signal { down.Reason = t; return &down })
	return nil
}

// remoteLink enters a link that the peer has made. spawned is set for one that
// comes with a spawn request.
func (n *Network) remoteLink(c *Conn, from etf.Pid, to gen.PID, spawned bool) {
	if to.ID == corePID && to.Creation != 0 {
		return // the core ends with the node
	}
	if to.Node != gen.Atom(n.name) { // ergo would connect there to watch it
		_ = c.proto.Push(&proto.Exit{From: n.Pid(to), To: from, Reason: etf.Atom("noproc")})
		return
	}
	r := &n.relations
	r.mu.Lock()
	rem := r.remote(c)
	if rem == nil {
		r.mu.Unlock()
		return
	}
	l, fresh := r.local(to)
	// A link that is known is left alone, also when it is being unlinked: the
	// peer will get that unlink after it sent this link.
	if k := l.links[from]; k == nil || k.conn == nil {
		k = &link{linkKey: linkKey{to, from}, conn: c, active: true}
		l.links[from] = k
		rem.links[k.linkKey] = k
	}
	r.mu.Unlock()
	if fresh && !spawned {
		n.arm(to)
	}
}

// remoteUnlink takes a link back that either side has made, and says so before
// anything else is sent.
func (n *Network) remoteUnlink(c *Conn, id uint64, from, to etf.Pid) {
	r := &n.relations
	r.mu.Lock()
	defer r.mu.Unlock()
	key := linkKey{n.PID(to), from}
	if rem := r.conns[c]; rem != nil {
		if k := rem.links[key]; k != nil && k.active {
			r.dropLink(k)
		}
	}
	if id != 0 {
		_ = c.proto.Push(&proto.UnlinkAck{ID: id, From: to, To: from})
	}
}

func (r *relations) dropLink(k *link) {
	if l := r.locals[k.local]; l != nil && l.links[k.remote] == k {
		delete(l.links, k.remote)
	}
	if k.conn != nil {
		if rem := r.conns[k.conn]; rem != nil {
			delete(rem.links, k.linkKey)
		}
	}
}

func (n *Network) unlinkAck(c *Conn, id uint64, from etf.Pid, to gen.PID) {
	r := &n.relations
	r.mu.Lock()
	defer r.mu.Unlock()
	if rem := r.conns[c]; rem != nil {
		if k := rem.links[linkKey{to, from}]; k != nil && !k.active && k.unlinkID == id {
			r.dropLink(k)
		}
	}
}

// remoteExit is the end of a remote process that a local one is linked to. One
// whose link was taken back is not affected.
func (n *Network) remoteExit(c *Conn, from, to etf.Pid, reason any) {
	pid := n.PID(to)
	if pid.ID == corePID {
		// One of ergo's own links, which start at the core.
		target := n.PID(from)
		c.mu.Lock()
		_, known := c.coreLinks[target]
		delete(c.coreLinks, target)
		c.mu.Unlock()
		if known {
			_ = n.core.RouteTerminatePID(target, Exit(reason))
		}
		return
	}
	r := &n.relations
	r.mu.Lock()
	var k *link
	if rem := r.conns[c]; rem != nil {
		k = rem.links[linkKey{pid, from}]
	}
	active := k != nil && k.active
	if k != nil {
		r.dropLink(k)
	}
	r.mu.Unlock()
	if active && reason != etf.Atom("normal") {
		_ = n.core.RouteSendExit(n.PID(from), pid, Exit(reason))
	}
}

// monitorFired is the DOWN of a remote process.
func (n *Network) monitorFired(c *Conn, ref etf.Ref, reason any) {
	r := &n.relations
	r.mu.Lock()
	var m *monitor
	if rem := r.conns[c]; rem != nil {
		m = rem.monitors[ref]
		delete(rem.monitors, ref)
	}
	if m != nil {
		if l := r.locals[m.owner]; l != nil {
			delete(l.monitors, ref)
		}
	}
	r.mu.Unlock()
	if m != nil {
		n.tellDown(m, reason)
	}
}

// tellDown delivers a Down, behind all messages of the same process.
func (n *Network) tellDown(m *monitor, reason any) {
	d := Down{Ref: m.ref, Target: m.target, Reason: Exit(reason)}
	if m.notify != nil {
		m.notify(d)
		return
	}
	from, _ := m.target.(gen.PID)
	_ = n.core.RouteSendPID(from, m.owner, gen.MessageOptions{}, d)
}
