package cluster

import "time"

// liveness is what this node has seen of another member. It is nobody else's
// business: each member judges for itself, so that a node which was cut off
// cannot bring others down when it is back.
type liveness struct {
	state MemberState // StateAlive, StateSuspect or StateDead
	// evidence is the latest time at which a ping was sent that the member
	// answered, to this node or to one that probed for it.
	evidence time.Duration
	// direct is the same for answers to this node's own pings; 0 for never.
	direct time.Duration
	// pinged is when the last ping was sent.
	pinged time.Duration
	// synced is when the whole table was last sent to the member.
	synced time.Duration
	// up is whether NodeUp was told last.
	up bool
}

// beat pings every member, the dead ones too: so they are found when they come
// back.
func (c *Core) beat() {
	c.beatAt = c.now.Mono + c.cfg.Heartbeat
	for _, r := range c.table.Records() {
		l := c.live[r.ID]
		if l == nil {
			continue
		}
		l.pinged = 0
		c.ping(r.ID, l.state == StateSuspect)
		if l.state == StateSuspect {
			c.probeThroughOthers(r.ID)
		}
	}
}

// ping sends this node's own heartbeat, at most one in the time of retry.
func (c *Core) ping(id ID, suspect bool) {
	l := c.live[id]
	r, _ := c.table.Get(id)
	if l == nil || (l.pinged != 0 && c.now.Mono-l.pinged < c.cfg.retry()) {
		return
	}
	l.pinged = c.now.Mono
	c.send(r.Name, id, Ping{At: uint64(c.now.Mono), Digest: c.table.Digest(), Suspect: suspect, Record: c.self()})
}

// probeThroughOthers asks some other members to ping a suspect.
func (c *Core) probeThroughOthers(id ID) {
	recs := c.table.Records()
	asked := 0
	for range recs {
		c.probeTop = (c.probeTop + 1) % len(recs)
		if asked == c.cfg.IndirectProbes {
			return
		}
		relay := recs[c.probeTop]
		if l := c.live[relay.ID]; relay.ID == id || l == nil || l.state == StateDead {
			continue
		}
		c.send(relay.Name, relay.ID, Probe{Target: id, At: uint64(c.now.Mono)})
		asked++
	}
}

// judge turns silence into suspicion, and suspicion into a verdict.
func (c *Core) judge() {
	for _, r := range c.table.Records() {
		l := c.live[r.ID]
		if l == nil || l.state == StateDead {
			continue
		}
		silent := c.now.Mono - l.evidence
		switch {
		case silent > c.cfg.DeadAfter:
			l.state = StateDead
			c.counters.Deaths++
			c.down(r.ID, r)
		case silent > c.cfg.SuspectAfter() && l.state == StateAlive:
			l.state = StateSuspect
			c.counters.Suspicions++
			c.ping(r.ID, true)
			c.probeThroughOthers(r.ID)
		}
	}
}

// heard records that a member, in the given incarnation, has answered a ping
// which was sent at the time at.
func (c *Core) heard(id ID, incarnation uint64, at time.Duration, direct bool) {
	l := c.live[id]
	r, _ := c.table.Get(id)
	if l == nil || at > c.now.Mono || r.Status == StatusStopped || r.Incarnation != incarnation {
		return
	}
	l.evidence = max(l.evidence, at)
	if direct {
		l.direct = max(l.direct, at)
	}
	if c.now.Mono-l.evidence <= c.cfg.SuspectAfter() {
		l.state = StateAlive
	}
	c.refreshUp(id)
}

// refreshUp tells NodeUp when there is reason to.
func (c *Core) refreshUp(id ID) {
	l := c.live[id]
	r, _ := c.table.Get(id)
	if l.up || l.state == StateDead || r.Status != StatusRunning {
		return
	}
	l.up = true
	c.emit(NodeUp{Member: c.member(r)})
}

// down tells NodeDown of the member as it was.
func (c *Core) down(id ID, was Record) {
	if l := c.live[id]; l.up {
		l.up = false
		c.emit(NodeDown{Member: c.member(was)})
	}
}

func (c *Core) onPing(m Message, p Ping) {
	if p.Record.ID != m.From {
		return
	}
	c.learn(p.Record)
	if p.Suspect {
		c.counters.Refutals++
		own := c.self()
		own.Seq++
		c.table.Merge(own)
	}
	c.send(m.FromName, m.From, Ack{
		EchoIncarnation: p.Record.Incarnation, At: p.At, Origin: p.Origin, OriginAt: p.OriginAt,
		Digest: c.table.Digest(), Record: c.self(),
	})
	c.compare(m, p.Digest)
}

func (c *Core) onAck(m Message, a Ack) {
	if a.Record.ID != m.From || a.EchoIncarnation != c.self().Incarnation {
		return
	}
	c.learn(a.Record)
	c.heard(m.From, a.Record.Incarnation, time.Duration(a.At), true)
	c.compare(m, a.Digest)
	if a.Origin == (ID{}) {
		return
	}
	if r, had := c.table.Get(a.Origin); had && !r.Left {
		c.send(r.Name, r.ID, ProbeAck{At: a.OriginAt, Record: a.Record})
	}
}

// onProbe pings a suspect for another member.
func (c *Core) onProbe(m Message, p Probe) {
	r, had := c.table.Get(p.Target)
	if !had || r.Left {
		return
	}
	c.send(r.Name, r.ID, Ping{
		At: uint64(c.now.Mono), Origin: m.From, OriginAt: p.At, Digest: c.table.Digest(), Suspect: true, Record: c.self(),
	})
}

func (c *Core) onProbeAck(p ProbeAck) {
	c.learn(p.Record)
	c.heard(p.Record.ID, p.Record.Incarnation, time.Duration(p.At), false)
}

// compare starts an exchange of whole tables when they differ, at most one with
// each member in the time of a heartbeat.
func (c *Core) compare(m Message, digest uint64) {
	l := c.live[m.From]
	if l == nil || digest == c.table.Digest() || (l.synced != 0 && c.now.Mono-l.synced < c.cfg.Heartbeat) {
		return
	}
	l.synced = c.now.Mono
	c.syncWith(m.FromName, m.From, true)
}

func (c *Core) syncWith(to NodeName, id ID, want bool) {
	c.counters.Syncs++
	c.send(to, id, Sync{Want: want, Records: append([]Record(nil), c.table.Records()...)})
}

func (c *Core) onSync(m Message, s Sync) {
	cluster := c.state.Cluster
	for _, r := range s.Records {
		c.learn(r)
		if c.state.Cluster != cluster {
			return // it told of this node's removal
		}
	}
	if s.Want {
		c.syncWith(m.FromName, m.From, false)
	}
}

// Connected tells that there is a connection to a node.
func (c *Core) Connected(now Instant, name NodeName) []Effect {
	c.begin(now)
	if c.stopped {
		return nil
	}
	if r, had := c.table.ByName(name); had && r.ID != c.state.Identity {
		c.ping(r.ID, false)
	}
	for _, r := range c.table.Records() {
		if r.Left && r.Name == name {
			c.send(r.Name, r.ID, Departed{Record: r}) // if it does not know yet
		}
	}
	if c.join != nil && c.join.target == name {
		c.join.askAt = now.Mono
		c.advanceJoin()
	}
	return c.end()
}

// Disconnected tells that the connection to a node has ended: it is suspect at
// once, and dead unless it answers in what DeadAfter leaves over SuspectAfter.
func (c *Core) Disconnected(now Instant, name NodeName) []Effect {
	c.begin(now)
	if c.stopped {
		return nil
	}
	r, had := c.table.ByName(name)
	if l := c.live[r.ID]; had && l != nil && l.state == StateAlive {
		l.evidence = min(l.evidence, now.Mono-c.cfg.SuspectAfter()-1)
		c.judge()
	}
	return c.end()
}
