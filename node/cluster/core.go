package cluster

import (
	"fmt"
	"slices"
	"time"
)

// Instant is a moment as a node sees it. Mono measures durations: it never
// jumps and means nothing to other nodes. Wall is only compared between nodes
// when one joins, and dates tombstones.
type Instant struct {
	Mono time.Duration
	Wall time.Time
}

// Config is what a Core is made with.
type Config struct {
	// Name is this node's.
	Name NodeName
	// Release is the version to show to operators.
	Release string
	// Versions are the protocols between nodes that this release speaks.
	Versions []Range
	// Singleton refuses to join and to be joined.
	Singleton bool
	// Heartbeat is how often each member is pinged (cluster.heartbeat_interval).
	Heartbeat time.Duration
	// DeadAfter is how long a member may be silent before it counts as dead
	// (cluster.dead_after). Shorter finds dead members sooner and mistakes slow
	// ones for dead more often; it is at least twice Heartbeat.
	DeadAfter time.Duration
	// IndirectProbes is through how many other members a suspect is probed at
	// each heartbeat.
	IndirectProbes int
	// MaxClockSkew is how far apart the wall clocks of a joiner and its contact
	// may be, the time of travel included.
	MaxClockSkew time.Duration
	// JoinTimeout bounds a join that gets no answer, or is told to wait.
	JoinTimeout time.Duration
	// TombstoneFor is how long it is remembered that a member has left. A
	// member that is away for longer, and was removed meanwhile, would bring
	// itself back.
	TombstoneFor time.Duration
	// NewID makes random identities of clusters.
	NewID func() ID
}

// DefaultConfig is for nodes in one data centre.
func DefaultConfig(name NodeName) Config {
	return Config{
		Name:           name,
		Versions:       []Range{{Protocol: ProtocolName, Min: ProtocolVersionMin, Max: ProtocolVersionMax}},
		Heartbeat:      time.Second,
		DeadAfter:      5 * time.Second,
		IndirectProbes: 3,
		MaxClockSkew:   30 * time.Second,
		JoinTimeout:    15 * time.Second,
		TombstoneFor:   30 * 24 * time.Hour,
		NewID:          NewID,
	}
}

// Validate reports the first setting that is out of its limits; the error wraps
// ErrConfig.
func (c *Config) Validate() error {
	switch {
	case c.Name == "" || c.Name.Complete("x@y") != c.Name || len(c.Name) > maxNameLen:
		return fmt.Errorf("%w: node name %q", ErrConfig, c.Name)
	case c.Heartbeat <= 0:
		return fmt.Errorf("%w: heartbeat %s", ErrConfig, c.Heartbeat)
	case c.DeadAfter < 2*c.Heartbeat:
		return fmt.Errorf("%w: dead after %s is less than twice the heartbeat %s", ErrConfig, c.DeadAfter, c.Heartbeat)
	case c.IndirectProbes < 0:
		return fmt.Errorf("%w: %d indirect probes", ErrConfig, c.IndirectProbes)
	case c.JoinTimeout <= 0 || c.MaxClockSkew <= 0 || c.TombstoneFor <= 0:
		return fmt.Errorf("%w: join timeout, clock skew and time of tombstones must be positive", ErrConfig)
	case c.NewID == nil:
		return fmt.Errorf("%w: no source of identities", ErrConfig)
	}
	return nil
}

// SuspectAfter is the silence after which a member is probed through others:
// 2.5 heartbeats, so that one lost ping is not enough, and at most half of
// DeadAfter, so that probes have time to be answered.
func (c *Config) SuspectAfter() time.Duration { return min(c.Heartbeat*5/2, c.DeadAfter/2) }

// OfferFor is how long a joiner may take up an offer, from when it asked.
func (c *Config) OfferFor() time.Duration { return c.DeadAfter }

// retry is how often unanswered requests are repeated.
func (c *Config) retry() time.Duration { return max(c.Heartbeat/4, time.Millisecond) }

// TickInterval is how often Tick should be called.
func (c *Config) TickInterval() time.Duration { return c.retry() }

// Effect is something for the process to do. The effects of one input are
// carried out in order.
//
//sumtype:decl
type Effect interface{ isEffect() }

// Send is a message for the core on the node of that name. It may be lost; the
// process never waits for a peer.
type Send struct {
	To      NodeName
	Message Message
}

// Connect asks the process to connect to a node and to report with Connected or
// ConnectFailed.
type Connect struct{ To NodeName }

// Persist must be on disk before any later effect is carried out (P1). If it
// cannot be written, the process ends.
type Persist struct{ State State }

// Reply is the result of a command; Err is nil, one of this package's sentinels
// or a *JoinError.
type Reply struct {
	Command uint64
	Err     error
}

// MemberJoined tells that a node has become a member.
type MemberJoined struct{ Member Member }

// MemberLeft tells that a member is none any more: it has left, was removed, or
// this node has left it. What is kept for it can go.
type MemberLeft struct{ Member Member }

// NodeUp tells that another member serves and can be reached.
type NodeUp struct{ Member Member }

// NodeDown tells that another member can no longer be reached, has stopped or
// has begun another incarnation.
type NodeDown struct{ Member Member }

// AdoptData asks the process to replace this node's cluster data by the
// cluster's, from the member From or, if that fails, from any other, and then to
// call Adopted. From is empty when a node starts that had not finished.
type AdoptData struct{ From NodeName }

// ResetData tells that this node is its own cluster again, with nothing of the
// cluster's data. Removed means that other members did it, not this node.
type ResetData struct{ Removed bool }

func (Send) isEffect()         {}
func (Connect) isEffect()      {}
func (Persist) isEffect()      {}
func (Reply) isEffect()        {}
func (MemberJoined) isEffect() {}
func (MemberLeft) isEffect()   {}
func (NodeUp) isEffect()       {}
func (NodeDown) isEffect()     {}
func (AdoptData) isEffect()    {}
func (ResetData) isEffect()    {}

// Counters count what an operator may want to know.
type Counters struct {
	Stray      uint64 // messages for another identity or cluster
	Duplicate  uint64 // messages from somebody with this node's identity
	Syncs      uint64 // whole tables sent
	Suspicions uint64
	Deaths     uint64
	Refutals   uint64 // suspicions of this node that it has answered
	Pauses     uint64 // times that this node noticed it had stood still
}

// Core is the membership of one node: a state machine without goroutine, socket
// or clock. Each input method takes the time and returns the effects, which are
// the caller's to carry out in order; the slice holds until the next input.
// A Core is not safe for concurrent use.
type Core struct {
	cfg      Config
	now      Instant
	out      []Effect
	dirty    bool // the durable state has changed in this input
	state    State
	table    Table
	live     map[ID]*liveness
	beatAt   time.Duration
	probeTop int // where the last choice of relays ended
	stopped  bool

	join    *joinOp
	leave   *leaveOp
	grants  []grant
	notices []notice
	waiting []uint64 // commands that wait for their notices

	counters Counters
}

// New makes the core of a node with the state that was on disk, the zero State
// if there was none. It has no effect yet; Start has. The error wraps ErrConfig
// or is a *RenamedError.
func New(cfg Config, saved State) (*Core, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	c := &Core{cfg: cfg, live: map[ID]*liveness{}}
	if saved.Identity == (ID{}) {
		saved.Identity = cfg.NewID()
	}
	if saved.Cluster == (ID{}) {
		saved.Cluster = cfg.NewID()
	}
	own := Record{ID: saved.Identity, Epoch: 1}
	for _, r := range saved.Records {
		c.table.Merge(r)
	}
	if r, had := c.table.Get(saved.Identity); had && !r.Left {
		own = r
	}
	if own.Name != "" && own.Name != cfg.Name {
		var others []NodeName
		for _, r := range c.table.Records() {
			if r.ID != own.ID && !r.Left {
				others = append(others, r.Name)
			}
		}
		if len(others) > 0 {
			return nil, &RenamedError{Member: own.Name, Now: cfg.Name, Others: others}
		}
	}
	own.Name = cfg.Name
	own.Epoch = max(own.Epoch, saved.Epoch)
	own.Incarnation = max(own.Incarnation, saved.Incarnation) + 1
	own.Seq = 1
	own.Release, own.Versions = cfg.Release, cfg.Versions
	if own.Status != StatusJoining {
		own.Status = StatusStarting
	}
	c.table.Merge(own)
	c.state = saved
	return c, nil
}

// self is this node's own record.
func (c *Core) self() Record {
	r, _ := c.table.Get(c.state.Identity)
	return r
}

// setSelf changes this node's own record, as its next version.
func (c *Core) setSelf(change func(*Record)) {
	r := c.self()
	r.Seq++
	change(&r)
	c.table.Merge(r)
	c.dirty = true
}

func (c *Core) emit(e Effect) { c.out = append(c.out, e) }

func (c *Core) begin(now Instant) {
	c.now = now
	c.out = c.out[:0]
	c.dirty = false
}

// end puts what must be on disk in front of all other effects.
func (c *Core) end() []Effect {
	if c.dirty {
		own := c.self()
		c.state.Epoch, c.state.Incarnation = own.Epoch, own.Incarnation
		c.state.Records = slices.Clone(c.table.Records())
		saved := c.state
		saved.Departed = slices.Clone(c.state.Departed)
		c.out = slices.Insert(c.out, 0, Effect(Persist{State: saved}))
	}
	return c.out
}

func (c *Core) send(to NodeName, id ID, body Body) { c.sendAs(c.state.Cluster, to, id, body) }

func (c *Core) sendAs(cluster ID, to NodeName, id ID, body Body) {
	if c.stopped {
		return
	}
	c.emit(Send{To: to, Message: Message{
		Cluster: cluster, From: c.state.Identity, FromName: c.cfg.Name, To: id, Body: body,
	}})
}

// broadcast sends records to all members that may hear it. Who does not, learns
// by comparing digests.
func (c *Core) broadcast(recs ...Record) {
	for _, r := range c.table.Records() {
		if l := c.live[r.ID]; l != nil && l.state != StateDead {
			c.send(r.Name, r.ID, Sync{Records: recs})
		}
	}
}

// Start begins the node's life. Members known from disk are dead until they
// answer. The node is no target for joins before Ready.
func (c *Core) Start(now Instant) []Effect {
	c.begin(now)
	c.dirty = true
	for _, r := range c.table.Records() {
		if r.ID != c.state.Identity && !r.Left {
			c.live[r.ID] = &liveness{state: StateDead, evidence: now.Mono - c.cfg.DeadAfter}
		}
	}
	if c.self().Status == StatusJoining {
		c.emit(AdoptData{})
	}
	c.beat()
	return c.end()
}

// Ready tells that this node's broker serves.
func (c *Core) Ready(now Instant) []Effect {
	c.begin(now)
	if c.self().Status == StatusStarting {
		c.setSelf(func(r *Record) { r.Status = StatusRunning })
		c.broadcast(c.self())
	}
	return c.end()
}

// Adopted tells that this node has the cluster's data, as AdoptData asked.
func (c *Core) Adopted(now Instant) []Effect {
	c.begin(now)
	if c.self().Status == StatusJoining {
		c.setSelf(func(r *Record) { r.Status = StatusRunning })
		c.broadcast(c.self())
	}
	return c.end()
}

// Stop tells the other members that this node stops in order, so that they need
// not wait for its silence. It stays a member. No input has an effect after it.
func (c *Core) Stop(now Instant) []Effect {
	c.begin(now)
	if c.stopped {
		return nil
	}
	c.interrupt(ErrInterrupted)
	joining := c.self().Status == StatusJoining
	c.setSelf(func(r *Record) { r.Status = StatusStopped })
	c.broadcast(c.self())
	if joining {
		// The copy of the cluster's data is not complete: the next life goes on.
		c.setSelf(func(r *Record) { r.Status = StatusJoining })
	}
	out := c.end()
	c.stopped = true
	return out
}

// interrupt ends all commands under way.
func (c *Core) interrupt(err error) {
	if c.join != nil {
		c.emit(Reply{Command: c.join.command, Err: err})
		c.join = nil
	}
	if c.leave != nil {
		c.emit(Reply{Command: c.leave.command, Err: err})
		c.leave = nil
	}
	for _, command := range c.waiting {
		c.emit(Reply{Command: command}) // it is done; only not everybody knows yet
	}
	c.waiting = nil
}

// Tick lets time pass; it is due every TickInterval, and harmless more often.
func (c *Core) Tick(now Instant) []Effect {
	gap := now.Mono - c.now.Mono
	c.begin(now)
	if c.stopped {
		return nil
	}
	if gap > c.cfg.SuspectAfter() {
		// This node stood still (SIGSTOP, a suspended machine): the others were
		// not silent, it did not listen.
		c.counters.Pauses++
		for _, l := range c.live {
			l.evidence += gap
		}
	}
	if now.Mono >= c.beatAt {
		c.beat()
		c.expire()
	}
	c.judge()
	c.retryNotices()
	c.dropGrants()
	c.advanceLeave()
	c.advanceJoin()
	return c.end()
}

// Receive takes a message from another core.
func (c *Core) Receive(now Instant, m Message) []Effect {
	c.begin(now)
	if c.stopped {
		return nil
	}
	c.receive(m)
	return c.end()
}

func (c *Core) receive(m Message) {
	if m.From == c.state.Identity {
		if m.FromName == c.cfg.Name {
			return // an echo
		}
		if _, asks := m.Body.(JoinRequest); !asks {
			c.counters.Duplicate++
			return
		}
	}
	// Joining is between clusters, and asks for a name, not an identity.
	switch b := m.Body.(type) {
	case JoinRequest:
		c.onJoinRequest(m, b)
		return
	case JoinReply:
		c.onJoinReply(m, b)
		return
	case DepartedAck:
		c.onDepartedAck(m, b)
		return
	case Ping, Ack, Probe, ProbeAck, Sync, Departed: // within a cluster, below
	}
	if m.To != (ID{}) && m.To != c.state.Identity {
		c.counters.Stray++
		return
	}
	if m.Cluster != c.state.Cluster {
		c.onForeign(m)
		return
	}
	if b, ok := m.Body.(Departed); ok {
		c.onDeparted(m, b)
		return
	}
	if r, had := c.table.Get(m.From); had && r.Left && !supersedes(m, r) {
		// It does not know yet that it was removed.
		c.send(m.FromName, m.From, Departed{Record: r})
		return
	}
	switch b := m.Body.(type) {
	case Ping:
		c.onPing(m, b)
	case Ack:
		c.onAck(m, b)
	case Probe:
		c.onProbe(m, b)
	case ProbeAck:
		c.onProbeAck(b)
	case Sync:
		c.onSync(m, b)
	case JoinRequest, JoinReply, Departed, DepartedAck: // above
	}
	if l := c.live[m.From]; l != nil && l.state == StateDead {
		c.ping(m.From, false)
	}
}

// supersedes tells whether a message carries its sender's own record of a later
// epoch than the tombstone.
func supersedes(m Message, tombstone Record) bool {
	later := func(r Record) bool { return r.ID == m.From && r.Epoch > tombstone.Epoch }
	switch b := m.Body.(type) {
	case Ping:
		return later(b.Record)
	case Ack:
		return later(b.Record)
	case Sync:
		return slices.ContainsFunc(b.Records, later)
	case Probe, ProbeAck, JoinRequest, JoinReply, Departed, DepartedAck:
	}
	return false
}

// learn takes in what another node says of a member, and does what follows.
func (c *Core) learn(r Record) {
	if r.ID == c.state.Identity {
		c.learnSelf(r)
		return
	}
	old, had := c.table.Get(r.ID)
	was := had && !old.Left
	if r.Left && !was && c.now.Wall.UnixMilli()-r.LeftAtMs > c.cfg.TombstoneFor.Milliseconds() {
		return
	}
	if !c.table.Merge(r) {
		return
	}
	if old.Incarnation != r.Incarnation || old.Status != r.Status || old.Left != r.Left || old.Epoch != r.Epoch {
		c.dirty = true
	}
	if was && (r.Left || r.Epoch != old.Epoch) {
		c.forget(old)
		was = false
	}
	if r.Left {
		return
	}
	c.dropGrant(r)
	if !was {
		c.live[r.ID] = &liveness{state: StateDead, evidence: c.now.Mono - c.cfg.DeadAfter}
		c.emit(MemberJoined{Member: c.member(r)})
		c.ping(r.ID, false)
		return
	}
	if old.Incarnation != r.Incarnation || r.Status == StatusStopped {
		// What was heard of the life before says nothing of this one.
		l := c.live[r.ID]
		c.down(r.ID, old)
		l.state, l.evidence = StateDead, c.now.Mono-c.cfg.DeadAfter
		if r.Status != StatusStopped {
			l.pinged = 0
			c.ping(r.ID, false)
		}
	}
	c.refreshUp(r.ID)
}

// forget ends what depends on a member that is none any more.
func (c *Core) forget(old Record) {
	m := c.member(old)
	if l := c.live[old.ID]; l != nil && l.up {
		c.emit(NodeDown{Member: m})
	}
	delete(c.live, old.ID)
	c.emit(MemberLeft{Member: m})
}

// learnSelf deals with records of this node that others have.
func (c *Core) learnSelf(r Record) {
	own := c.self()
	switch {
	case r.Left && r.Epoch >= own.Epoch:
		c.removed()
	case compareRecords(r, own) > 0:
		// They know a later life than the disk does, from a backup perhaps:
		// go on from there.
		c.setSelf(func(own *Record) {
			own.Epoch = max(own.Epoch, r.Epoch)
			own.Incarnation = max(own.Incarnation, r.Incarnation) + 1
		})
		c.broadcast(c.self())
	}
}

// expire forgets what needs no longer be remembered.
func (c *Core) expire() {
	limit := c.now.Wall.Add(-c.cfg.TombstoneFor).UnixMilli()
	old := func(r Record) bool { return r.Left && r.LeftAtMs < limit }
	for _, r := range slices.Clone(c.table.Records()) {
		if old(r) {
			c.table.Remove(r.ID)
			c.dirty = true
		}
	}
	kept := slices.DeleteFunc(c.state.Departed, func(d Departure) bool { return old(d.Record) })
	if len(kept) != len(c.state.Departed) {
		c.state.Departed = kept
		c.dirty = true
	}
}
