package cluster

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// joinPhase is how far this node's own join is.
type joinPhase uint8

const (
	// joinHeld waits for the nodes to which this one has made offers.
	joinHeld joinPhase = iota
	// joinAsking repeats the request until there is an answer.
	joinAsking
	// joinYielding lets others join this node first: see onJoinReply.
	joinYielding
	// joinSettling has joined and gives the members time to be heard, so that
	// the status which follows is not one of stopped nodes.
	joinSettling
)

// joinOp is the join command under way.
type joinOp struct {
	command    uint64
	target     NodeName
	phase      joinPhase
	connecting bool // Connect has been asked for
	deadline   time.Duration
	askAt      time.Duration
	yieldUntil time.Duration
	settleAt   time.Duration
	heard      bool // the target has answered something
	chain      []ID // whom the target waits for, as it said last
}

// grant is an offer that this node has made: until it is taken up or over, this
// node does not leave its cluster (J1).
type grant struct {
	joiner ID
	epoch  uint64
	until  time.Duration
}

// Join asks the node of that name to take this one into its cluster. The Reply
// with the command's number comes when it is done or has failed: ErrSelf,
// ErrBusy or a *JoinError.
func (c *Core) Join(now Instant, command uint64, target NodeName) []Effect {
	c.begin(now)
	target = target.Complete(c.cfg.Name)
	_, member := c.table.ByName(target)
	switch {
	case c.stopped:
		c.emit(Reply{Command: command, Err: ErrInterrupted})
		return c.out
	case target == c.cfg.Name:
		c.emit(Reply{Command: command, Err: ErrSelf})
	case member:
		c.emit(Reply{Command: command, Err: &JoinError{Target: target, Reason: ReasonAlreadyInCluster}})
	case c.join != nil || c.leave != nil || c.self().Status != StatusRunning:
		c.emit(Reply{Command: command, Err: ErrBusy})
	default:
		c.join = &joinOp{command: command, target: target, deadline: now.Mono + c.cfg.JoinTimeout, askAt: now.Mono}
		c.advanceJoin()
	}
	return c.end()
}

// ConnectFailed tells that a node could not be reached, and why.
func (c *Core) ConnectFailed(now Instant, name NodeName, cause Cause, detail string) []Effect {
	c.begin(now)
	if c.join != nil && c.join.target == name && c.join.phase != joinSettling && !c.join.heard {
		e := &JoinError{Target: name, Reason: ReasonUnreachable, Cause: cause, Detail: detail}
		if cause == CauseName {
			e.Reason, e.Cause = ReasonNameMismatch, CauseUnknown
		}
		c.endJoin(e)
	}
	return c.end()
}

func (c *Core) endJoin(err error) {
	command := c.join.command
	c.join = nil
	c.emit(Reply{Command: command, Err: err})
}

// advanceJoin takes the join under way as far as it goes now.
func (c *Core) advanceJoin() {
	op := c.join
	if op == nil {
		return
	}
	now := c.now.Mono
	if op.phase == joinSettling {
		if now >= op.settleAt || c.allHeard() {
			c.endJoin(nil)
		}
		return
	}
	if _, member := c.table.ByName(op.target); member {
		// The target has joined this node's cluster meanwhile, which comes to
		// the same.
		op.phase, op.settleAt = joinSettling, now+c.cfg.Heartbeat
		return
	}
	if now > op.deadline {
		e := &JoinError{Target: op.target, Reason: ReasonBusy}
		if !op.heard && len(c.grants) == 0 {
			e.Reason, e.Cause = ReasonUnreachable, CauseSilent
		}
		c.endJoin(e)
		return
	}
	if op.phase == joinYielding && now < op.yieldUntil {
		return
	}
	if len(c.grants) > 0 {
		op.phase = joinHeld
		return
	}
	op.phase = joinAsking
	if !op.connecting {
		op.connecting = true
		c.emit(Connect{To: op.target})
	}
	if now < op.askAt {
		return
	}
	op.askAt = now + c.cfg.retry()
	own := c.self()
	own.Epoch++
	own.Status = StatusJoining
	c.send(op.target, ID{}, JoinRequest{
		At: uint64(now), Target: op.target, Record: own, WallMs: c.now.Wall.UnixMilli(), Singleton: c.cfg.Singleton,
	})
}

// allHeard tells whether every member that says it runs has answered.
func (c *Core) allHeard() bool {
	for _, r := range c.table.Records() {
		if l := c.live[r.ID]; l != nil && l.state == StateDead && r.Status != StatusStopped {
			return false
		}
	}
	return true
}

// onJoinRequest answers a node that wants to join this one's cluster.
func (c *Core) onJoinRequest(m Message, q JoinRequest) {
	reply := JoinReply{EchoIncarnation: q.Record.Incarnation, At: q.At, WallMs: c.now.Wall.UnixMilli(), Answer: AnswerRefused}
	reply.Reason, reply.Detail = c.refusal(m, q)
	if reply.Reason == 0 {
		switch op := c.join; {
		case c.self().Status == StatusJoining:
			reply.Answer, reply.Reason = AnswerBusy, ReasonBusy
			reply.Chain = []ID{c.state.Identity}
		case op != nil && op.phase != joinYielding && op.phase != joinSettling:
			reply.Answer, reply.Reason = AnswerBusy, ReasonBusy
			reply.Chain = []ID{c.state.Identity}
			if op.phase == joinAsking {
				for _, id := range op.chain {
					if slices.Contains(reply.Chain, id) || len(reply.Chain) == maxChain {
						break
					}
					reply.Chain = append(reply.Chain, id)
				}
			}
		default:
			reply.Answer = AnswerOffer
			reply.Records = slices.Clone(c.table.Records())
			c.grant(m.From, q.Record.Epoch)
		}
	}
	c.send(m.FromName, m.From, reply)
}

// refusal makes the checks that only the contact can make, in their order.
func (c *Core) refusal(m Message, q JoinRequest) (Reason, string) {
	if m.From == c.state.Identity {
		return ReasonDuplicateID, "identity " + c.state.Identity.String()
	}
	if r, had := c.table.Get(m.From); had && !r.Left && m.Cluster == c.state.Cluster {
		return ReasonAlreadyInCluster, ""
	}
	if q.Target != c.cfg.Name {
		return ReasonNameMismatch, string(c.cfg.Name)
	}
	if bad := Incompatible(q.Record.Versions, c.cfg.Versions); len(bad) > 0 {
		return ReasonVersions, strings.Join(bad, ", ")
	}
	if c.leave != nil {
		return ReasonLeaving, ""
	}
	if s := c.self().Status; s != StatusRunning && s != StatusJoining {
		return ReasonNotRunning, "it is " + s.String()
	}
	if skew := time.Duration(c.now.Wall.UnixMilli()-q.WallMs) * time.Millisecond; skew.Abs() > c.cfg.MaxClockSkew {
		return ReasonClock, fmt.Sprintf("the clocks are %s apart, allowed are %s", skew.Abs().Round(time.Millisecond), c.cfg.MaxClockSkew)
	}
	if c.cfg.Singleton {
		return ReasonSingleton, string(c.cfg.Name)
	}
	if q.Singleton {
		return ReasonSingleton, string(m.FromName)
	}
	if m.FromName == c.cfg.Name {
		return ReasonNameTaken, ""
	}
	if r, had := c.table.ByName(m.FromName); had && r.ID != m.From {
		if l := c.live[r.ID]; l != nil && l.state != StateDead {
			return ReasonNameTaken, ""
		}
	}
	return 0, ""
}

// grant notes an offer. It outlives the time in which the joiner may take it up
// by two heartbeats, since the clocks do not start together.
func (c *Core) grant(joiner ID, epoch uint64) {
	c.grants = slices.DeleteFunc(c.grants, func(g grant) bool { return g.joiner == joiner })
	c.grants = append(c.grants, grant{joiner: joiner, epoch: epoch, until: c.now.Mono + c.cfg.OfferFor() + 2*c.cfg.Heartbeat})
}

func (c *Core) dropGrant(r Record) {
	c.grants = slices.DeleteFunc(c.grants, func(g grant) bool { return g.joiner == r.ID && g.epoch <= r.Epoch })
}

func (c *Core) dropGrants() {
	c.grants = slices.DeleteFunc(c.grants, func(g grant) bool { return c.now.Mono > g.until })
}

// onJoinReply takes the contact's answer.
//
// Joins at the same time end as one cluster (J2): a node that is joining puts
// off those who want to join it, and they follow it into the cluster where it
// ends up. If the nodes wait for each other in a circle, the one with the
// smallest identity yields: it lets the others join it, and finds its own target
// in its cluster then.
func (c *Core) onJoinReply(m Message, a JoinReply) {
	op := c.join
	if op == nil || m.FromName != op.target || op.phase != joinAsking || a.EchoIncarnation != c.self().Incarnation {
		return
	}
	asked := time.Duration(a.At)
	if asked > c.now.Mono || c.now.Mono-asked > c.cfg.OfferFor() {
		return
	}
	op.heard = true
	switch a.Answer {
	case AnswerOffer:
		c.commitJoin(m, a)
	case AnswerBusy:
		op.chain = a.Chain
		if at := slices.Index(a.Chain, c.state.Identity); at > 0 && compareID(slices.MinFunc(a.Chain[:at], compareID), c.state.Identity) > 0 {
			op.phase, op.yieldUntil = joinYielding, c.now.Mono+c.cfg.OfferFor()
		}
	case AnswerRefused:
		if a.Reason == ReasonAlreadyInCluster {
			// This node has become a member since the command was given.
			c.send(m.FromName, m.From, Sync{Want: true, Records: []Record{c.self()}})
			op.phase, op.settleAt = joinSettling, c.now.Mono+c.cfg.Heartbeat
			return
		}
		c.endJoin(&JoinError{Target: op.target, Reason: a.Reason, Detail: a.Detail})
	}
}

// commitJoin leaves the old cluster and enters the contact's, in one step.
func (c *Core) commitJoin(m Message, a JoinReply) {
	op := c.join
	c.depart(0)
	c.state.Cluster = m.Cluster
	own := c.self()
	own.Epoch++
	own.Seq++
	own.Status = StatusJoining
	c.table = Table{}
	c.table.Merge(own)
	c.dirty = true
	c.emit(AdoptData{From: op.target})
	for _, r := range a.Records {
		if r.ID == own.ID {
			continue // what the cluster remembers of an earlier epoch
		}
		if !r.Left && r.Name == own.Name {
			// The former holder of this name, which the contact knows dead.
			r = r.tombstone(c.now.Wall.UnixMilli())
		}
		c.learn(r)
	}
	if contact, had := c.table.Get(m.From); had {
		c.heard(m.From, contact.Incarnation, time.Duration(a.At), true)
	}
	for _, r := range c.table.Records() {
		if c.live[r.ID] != nil {
			c.send(r.Name, r.ID, Sync{Records: slices.Clone(c.table.Records())})
		}
	}
	op.phase, op.settleAt = joinSettling, c.now.Mono+c.cfg.Heartbeat
}
