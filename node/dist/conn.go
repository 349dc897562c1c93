package dist

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"ergo.services/ergo/gen"

	"ermine/node/dist/etf"
	"ermine/node/dist/handshake"
	"ermine/node/dist/proto"
)

// Conn is the connection to one peer, as ergo sees it (gen.Connection). ergo
// calls its methods from any goroutine, some of them under the mutex of all
// links: they queue bytes and touch Conn's own tables, and never call back.
type Conn struct {
	net       *Network
	res       *handshake.Result
	proto     *proto.Conn
	addr      string
	initiator bool
	since     time.Time

	joined atomic.Bool
	once   sync.Once     // of Terminate
	gone   chan struct{} // closed at the end of Terminate

	calls calls

	// mu guards what ergo's own links and monitors of remote targets need.
	mu          sync.Mutex
	coreRefs    map[etf.Ref]any     // monitor -> target (gen.PID or gen.ProcessID)
	coreTargets map[any]etf.Ref     // the other way round
	coreLinks   map[gen.PID]etf.Pid // linked target
	tags        map[uint64]any      // tags of calls that are no references
	tagOrder    []uint64            // their age
	nextTag     uint64
}

func newConn(n *Network, conn net.Conn, res *handshake.Result, initiator bool) *Conn {
	c := &Conn{
		net: n, res: res, initiator: initiator,
		addr:  conn.RemoteAddr().String(),
		since: time.Now(),
		gone:  make(chan struct{}),
		proto: proto.New(proto.Config{
			Conn: conn, Name: n.opts.Name, Peer: res.Peer, Flags: res.Flags,
			TickTime: n.opts.TickTime, MaxMessage: n.opts.MaxMessage, MaxQueue: n.opts.MaxQueue,
			Limits: n.opts.Limits, Logger: n.log,
		}),
		coreRefs:    map[etf.Ref]any{},
		coreTargets: map[any]etf.Ref{},
		coreLinks:   map[gen.PID]etf.Pid{},
		tags:        map[uint64]any{},
	}
	c.calls.init()
	return c
}

// live reports whether the connection has not ended.
func (c *Conn) live() bool {
	select {
	case <-c.proto.Done():
		return false
	default:
		return true
	}
}

func (c *Conn) info() PeerInfo {
	return PeerInfo{
		Name: c.res.Peer, Creation: c.res.PeerCreation, Hidden: c.res.Hidden(),
		Version: c.res.Version, Flags: c.res.PeerFlags, Initiator: c.initiator,
		Since: c.since, Addr: c.addr, Stats: c.proto.Stats(),
	}
}

// Join implements gen.Connection: ergo has registered the connection.
func (c *Conn) Join(net.Conn, string, gen.NetworkDial, []byte) error {
	if !c.joined.CompareAndSwap(false, true) || !c.live() {
		return gen.ErrUnsupported
	}
	c.net.up(c)
	return nil
}

// serve delivers the peer's signals until the connection ends.
func (c *Conn) serve() (reason error) {
	defer func() {
		if r := recover(); r != nil {
			c.net.log.Error("connection panicked", "peer", c.res.Peer, "err", r, "stack", string(debug.Stack()))
			reason = fmt.Errorf("connection panicked: %v", r)
			c.proto.Close(reason, 0)
		}
	}()
	return c.proto.Serve(c.handle)
}

// Terminate implements gen.Connection. ergo calls it when serve has returned,
// and when the node stops; only the first call has an effect. It waits until
// queued output is out, at most a second, and then ends all that depends on
// the connection.
func (c *Conn) Terminate(reason error) {
	c.once.Do(func() {
		defer close(c.gone)
		if reason == nil || errors.Is(reason, gen.TerminateReasonNormal) {
			reason = ErrStopped
		}
		c.proto.Close(reason, flushTime)
		reason = c.proto.Reason()
		c.calls.failAll(gen.ErrNoConnection)
		c.net.connectionLost(c)
		c.net.down(c, reason)
	})
	<-c.gone
}

// Node implements gen.Connection.
func (c *Conn) Node() gen.RemoteNode { return (*remoteNode)(c) }

// try sends a message that may be refused. Terms that only ergo knows are
// turned into Erlang's when need be.
func (c *Conn) try(make func(term any) proto.Signal, message any) error {
	return c.encoded(message, func(term any) error { return c.proto.TrySend(make(term)) })
}

// push sends what must not be lost.
func (c *Conn) push(make func(term any) proto.Signal, message any) error {
	return c.encoded(message, func(term any) error { return c.proto.Push(make(term)) })
}

// wait sends a message, waiting for room in the queue until ctx ends.
func (c *Conn) wait(ctx context.Context, make func(term any) proto.Signal, message any) error {
	return c.encoded(message, func(term any) error { return c.proto.Send(ctx, make(term)) })
}

func (c *Conn) encoded(message any, send func(term any) error) error {
	err := send(c.plain(message))
	if errors.Is(err, etf.ErrUnsupported) {
		err = send(c.net.wireTerm(message))
	}
	return lost(err)
}

// plain turns what only ergo knows into terms, where that is quickly seen.
func (c *Conn) plain(message any) any {
	switch message.(type) {
	case gen.Atom, gen.PID, gen.ProcessID, gen.Ref, gen.Alias, error, []string:
		return c.net.wireTerm(message)
	}
	return message
}

// lost gives the end of the connection ergo's name.
func lost(err error) error {
	if err != nil && (errors.Is(err, proto.ErrClosed) || errors.Is(err, proto.ErrOverflow)) {
		return fmt.Errorf("%w: %w", gen.ErrNoConnection, err)
	}
	return err
}

// SendPID implements gen.Connection. It never blocks: proto.ErrBusy means that
// the peer reads too slowly and the message was not sent.
func (c *Conn) SendPID(from, to gen.PID, _ gen.MessageOptions, message any) error {
	sig := proto.Send{From: c.net.Pid(from), To: c.net.Pid(to), Message: c.plain(message)}
	err := c.proto.TrySend(&sig)
	if err != nil && errors.Is(err, etf.ErrUnsupported) {
		sig.Message = c.net.wireTerm(message)
		err = c.proto.TrySend(&sig)
	}
	return lost(err)
}

// SendProcessID implements gen.Connection, like SendPID.
func (c *Conn) SendProcessID(from gen.PID, to gen.ProcessID, _ gen.MessageOptions, message any) error {
	sig := proto.SendName{From: c.net.Pid(from), To: etf.Atom(to.Name), Message: c.plain(message)}
	err := c.proto.TrySend(&sig)
	if err != nil && errors.Is(err, etf.ErrUnsupported) {
		sig.Message = c.net.wireTerm(message)
		err = c.proto.TrySend(&sig)
	}
	return lost(err)
}

// SendAlias implements gen.Connection, like SendPID.
func (c *Conn) SendAlias(from gen.PID, to gen.Alias, _ gen.MessageOptions, message any) error {
	return c.try(func(term any) proto.Signal {
		return &proto.SendAlias{From: c.net.Pid(from), Alias: c.net.wireGenRef(gen.Ref(to)), Message: term}
	}, message)
}

// SendExit implements gen.Connection.
func (c *Conn) SendExit(from, to gen.PID, reason error) error {
	return c.push(func(term any) proto.Signal {
		return &proto.Exit2{From: c.net.Pid(from), To: c.net.Pid(to), Reason: term}
	}, signalTerm(reason))
}

// SendResponse implements gen.Connection: it answers a call that came from an
// Erlang node.
func (c *Conn) SendResponse(from, to gen.PID, options gen.MessageOptions, response any) error {
	tag, alias, err := c.tag(options.Ref)
	if err != nil {
		return err
	}
	err = c.push(func(term any) proto.Signal {
		if alias != nil {
			return &proto.SendAlias{From: c.net.Pid(from), Alias: *alias, Message: etf.Tuple{tag, term}}
		}
		return &proto.Send{From: c.net.Pid(from), To: c.net.Pid(to), Message: etf.Tuple{tag, term}}
	}, response)
	if err != nil && !errors.Is(err, gen.ErrNoConnection) {
		c.net.log.Error("answer cannot be sent", "peer", c.res.Peer, "err", err)
	}
	return err
}

// SendResponseError implements gen.Connection. Erlang has no such answer: the
// caller's monitor of the called process fires with the error as reason.
func (c *Conn) SendResponseError(from, to gen.PID, options gen.MessageOptions, reason error) error {
	tag, _, err := c.tag(options.Ref)
	if err != nil {
		return err
	}
	ref, ok := tag.(etf.Ref)
	if !ok {
		if l, improper := tag.(etf.ImproperList); improper {
			ref, ok = l.Tail.(etf.Ref)
		}
	}
	if !ok {
		return gen.ErrUnsupported
	}
	return c.net.failMonitor(c, ref, ExitTerm(reason))
}

// tag restores the tag of a call; alias is set if the answer goes to one.
func (c *Conn) tag(g gen.Ref) (tag any, alias *etf.Ref, err error) {
	switch {
	case g.ID[2]&wireRef != 0:
		ref, isAlias := unpackRef(g)
		if isAlias {
			return etf.ImproperList{Items: etf.List{etf.Atom("alias")}, Tail: ref}, &ref, nil
		}
		return ref, nil, nil
	case g.ID[2]&wireAny != 0:
		c.mu.Lock()
		defer c.mu.Unlock()
		tag, ok := c.tags[g.ID[0]]
		if !ok {
			return nil, nil, gen.ErrResponseIgnored
		}
		delete(c.tags, g.ID[0])
		return tag, nil, nil
	default:
		return nil, nil, gen.ErrResponseIgnored
	}
}

// maxTags bounds the calls with tags that are no references and wait for an
// answer; beyond it the oldest are forgotten.
const maxTags = 4096

// callRef turns the tag of a call into a reference for ergo.
func (c *Conn) callRef(tag any) gen.Ref {
	switch t := tag.(type) {
	case etf.Ref:
		return packRef(t, false)
	case etf.ImproperList:
		if ref, ok := t.Tail.(etf.Ref); ok && len(t.Items) == 1 && t.Items[0] == etf.Atom("alias") {
			return packRef(ref, true)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nextTag++
	for len(c.tags) >= maxTags && len(c.tagOrder) > 0 {
		delete(c.tags, c.tagOrder[0])
		c.tagOrder = c.tagOrder[1:]
	}
	if len(c.tagOrder) > 2*maxTags {
		c.tagOrder = c.tagOrder[len(c.tagOrder)-maxTags:]
	}
	c.tags[c.nextTag] = tag
	c.tagOrder = append(c.tagOrder, c.nextTag)
	ref := gen.Ref{Node: gen.Atom(c.res.Peer)}
	ref.ID[0], ref.ID[2] = c.nextTag, wireAny
	return ref
}

// CallPID implements gen.Connection: a gen_server call. The answer goes to the
// core when it comes.
func (c *Conn) CallPID(from, to gen.PID, options gen.MessageOptions, message any) error {
	return c.coreCall(from, c.net.Pid(to), "", options, message)
}

// CallProcessID implements gen.Connection, like CallPID.
func (c *Conn) CallProcessID(from gen.PID, to gen.ProcessID, options gen.MessageOptions, message any) error {
	return c.coreCall(from, etf.Pid{}, etf.Atom(to.Name), options, message)
}

// CallAlias implements gen.Connection: Erlang nodes cannot be called so.
func (c *Conn) CallAlias(gen.PID, gen.Alias, gen.MessageOptions, any) error {
	return gen.ErrUnsupported
}

// MonitorPID implements gen.Connection, for ergo's own monitors.
func (c *Conn) MonitorPID(pid, target gen.PID) error {
	return c.coreMonitor(pid, target, c.net.Pid(target), "")
}

// DemonitorPID implements gen.Connection.
func (c *Conn) DemonitorPID(pid, target gen.PID) error {
	return c.coreDemonitor(pid, target, c.net.Pid(target), "")
}

// MonitorProcessID implements gen.Connection.
func (c *Conn) MonitorProcessID(pid gen.PID, target gen.ProcessID) error {
	return c.coreMonitor(pid, target, etf.Pid{}, etf.Atom(target.Name))
}

// DemonitorProcessID implements gen.Connection.
func (c *Conn) DemonitorProcessID(pid gen.PID, target gen.ProcessID) error {
	return c.coreDemonitor(pid, target, etf.Pid{}, etf.Atom(target.Name))
}

func (c *Conn) coreMonitor(pid gen.PID, target any, to etf.Pid, name etf.Atom) error {
	c.mu.Lock()
	ref, known := c.coreTargets[target]
	if !known {
		ref = c.net.MakeRef()
		c.coreTargets[target] = ref
		c.coreRefs[ref] = target
	}
	c.mu.Unlock()
	if known {
		return nil
	}
	return c.push(func(any) proto.Signal {
		return &proto.Monitor{From: c.net.Pid(pid), To: to, ToName: name, Ref: ref}
	}, nil)
}

func (c *Conn) coreDemonitor(pid gen.PID, target any, to etf.Pid, name etf.Atom) error {
	c.mu.Lock()
	ref, known := c.coreTargets[target]
	delete(c.coreTargets, target)
	delete(c.coreRefs, ref)
	c.mu.Unlock()
	if !known {
		return nil
	}
	return c.push(func(any) proto.Signal {
		return &proto.Demonitor{From: c.net.Pid(pid), To: to, ToName: name, Ref: ref}
	}, nil)
}

// LinkPID implements gen.Connection, for ergo's own links: one-way, from the
// node's core. Network.Link makes real ones.
func (c *Conn) LinkPID(pid, target gen.PID) error {
	wire := c.net.Pid(target)
	c.mu.Lock()
	c.coreLinks[target] = wire
	c.mu.Unlock()
	return c.push(func(any) proto.Signal { return &proto.Link{From: c.net.Pid(pid), To: wire} }, nil)
}

// UnlinkPID implements gen.Connection.
func (c *Conn) UnlinkPID(pid, target gen.PID) error {
	c.mu.Lock()
	wire, known := c.coreLinks[target]
	delete(c.coreLinks, target)
	c.mu.Unlock()
	if !known {
		return nil
	}
	return c.push(func(any) proto.Signal {
		return &proto.Unlink{ID: c.net.unlinks.Add(1), From: c.net.Pid(pid), To: wire}
	}, nil)
}

// SendTerminatePID implements gen.Connection. The watcher tells of local
// deaths; ergo knows of no remote watchers.
func (c *Conn) SendTerminatePID(gen.PID, error) error { return nil }

// SendTerminateProcessID implements gen.Connection, like SendTerminatePID.
func (c *Conn) SendTerminateProcessID(gen.ProcessID, error) error { return nil }

// SendTerminateAlias implements gen.Connection, like SendTerminatePID.
func (c *Conn) SendTerminateAlias(gen.Alias, error) error { return nil }

// What follows has no counterpart among Erlang nodes.

// SendTerminateEvent implements gen.Connection.
func (c *Conn) SendTerminateEvent(gen.Event, error) error { return nil }

// SendEvent implements gen.Connection.
func (c *Conn) SendEvent(gen.PID, gen.MessageOptions, gen.MessageEvent) error {
	return gen.ErrUnsupported
}

// LinkProcessID implements gen.Connection.
func (c *Conn) LinkProcessID(gen.PID, gen.ProcessID) error { return gen.ErrUnsupported }

// UnlinkProcessID implements gen.Connection.
func (c *Conn) UnlinkProcessID(gen.PID, gen.ProcessID) error { return gen.ErrUnsupported }

// LinkAlias implements gen.Connection.
func (c *Conn) LinkAlias(gen.PID, gen.Alias) error { return gen.ErrUnsupported }

// UnlinkAlias implements gen.Connection.
func (c *Conn) UnlinkAlias(gen.PID, gen.Alias) error { return gen.ErrUnsupported }

// LinkEvent implements gen.Connection.
func (c *Conn) LinkEvent(gen.PID, gen.Event) ([]gen.MessageEvent, error) {
	return nil, gen.ErrUnsupported
}

// UnlinkEvent implements gen.Connection.
func (c *Conn) UnlinkEvent(gen.PID, gen.Event) error { return gen.ErrUnsupported }

// MonitorAlias implements gen.Connection.
func (c *Conn) MonitorAlias(gen.PID, gen.Alias) error { return gen.ErrUnsupported }

// DemonitorAlias implements gen.Connection.
func (c *Conn) DemonitorAlias(gen.PID, gen.Alias) error { return gen.ErrUnsupported }

// MonitorEvent implements gen.Connection.
func (c *Conn) MonitorEvent(gen.PID, gen.Event) ([]gen.MessageEvent, error) {
	return nil, gen.ErrUnsupported
}

// DemonitorEvent implements gen.Connection.
func (c *Conn) DemonitorEvent(gen.PID, gen.Event) error { return gen.ErrUnsupported }

// RemoteSpawn implements gen.Connection.
func (c *Conn) RemoteSpawn(gen.Atom, gen.ProcessOptionsExtra) (gen.PID, error) {
	return gen.PID{}, gen.ErrUnsupported
}

// remoteNode is a Conn as gen.RemoteNode.
type remoteNode Conn

func (r *remoteNode) conn() *Conn { return (*Conn)(r) }

// Name implements gen.RemoteNode.
func (r *remoteNode) Name() gen.Atom { return gen.Atom(r.res.Peer) }

// Uptime implements gen.RemoteNode; Erlang nodes do not tell theirs.
func (r *remoteNode) Uptime() int64 { return 0 }

// ConnectionUptime implements gen.RemoteNode.
func (r *remoteNode) ConnectionUptime() int64 { return int64(time.Since(r.since).Seconds()) }

// Version implements gen.RemoteNode.
func (r *remoteNode) Version() gen.Version { return gen.Version{Name: "erlang"} }

// Info implements gen.RemoteNode.
func (r *remoteNode) Info() gen.RemoteNodeInfo {
	s := r.proto.Stats()
	return gen.RemoteNodeInfo{
		Node:             r.Name(),
		ConnectionUptime: r.ConnectionUptime(),
		Version:          r.Version(),
		HandshakeVersion: handshakeVersion,
		ProtoVersion:     protoVersion,
		PoolSize:         1,
		PoolDSN:          []string{r.addr},
		MessagesIn:       s.MessagesIn,
		MessagesOut:      s.MessagesOut,
		BytesIn:          s.BytesIn,
		BytesOut:         s.BytesOut,
	}
}

// Creation implements gen.RemoteNode.
func (r *remoteNode) Creation() int64 { return int64(r.res.PeerCreation) }

// Disconnect implements gen.RemoteNode.
func (r *remoteNode) Disconnect() { r.conn().proto.Close(ErrDisconnected, flushTime) }

// Spawn implements gen.RemoteNode.
func (r *remoteNode) Spawn(gen.Atom, gen.ProcessOptions, ...any) (gen.PID, error) {
	return gen.PID{}, gen.ErrUnsupported
}

// SpawnRegister implements gen.RemoteNode.
func (r *remoteNode) SpawnRegister(gen.Atom, gen.Atom, gen.ProcessOptions, ...any) (gen.PID, error) {
	return gen.PID{}, gen.ErrUnsupported
}

// ApplicationStart implements gen.RemoteNode.
func (r *remoteNode) ApplicationStart(gen.Atom, gen.ApplicationOptions) error {
	return gen.ErrUnsupported
}

// ApplicationStartTemporary implements gen.RemoteNode.
func (r *remoteNode) ApplicationStartTemporary(gen.Atom, gen.ApplicationOptions) error {
	return gen.ErrUnsupported
}

// ApplicationStartTransient implements gen.RemoteNode.
func (r *remoteNode) ApplicationStartTransient(gen.Atom, gen.ApplicationOptions) error {
	return gen.ErrUnsupported
}

// ApplicationStartPermanent implements gen.RemoteNode.
func (r *remoteNode) ApplicationStartPermanent(gen.Atom, gen.ApplicationOptions) error {
	return gen.ErrUnsupported
}

// ApplicationInfo implements gen.RemoteNode.
func (r *remoteNode) ApplicationInfo(gen.Atom) (gen.ApplicationInfo, error) {
	return gen.ApplicationInfo{}, gen.ErrUnsupported
}
