package cluster

import (
	"slices"
	"time"
)

// leaveOp is a leave that waits until no offer of this node is open (J1).
type leaveOp struct{ command uint64 }

// notice is a tombstone that is repeated until its receiver has acknowledged it
// or the time is over. Who misses it learns when it meets a member again.
type notice struct {
	command uint64 // which waits for it; 0 for none
	to      NodeName
	id      ID
	cluster ID
	record  Record
	sentAt  time.Duration
	until   time.Duration
}

// Departure is a cluster that this node has left, kept to tell its members.
type Departure struct {
	Cluster ID     `json:"cluster"`
	Record  Record `json:"record"`
}

// maxDeparted bounds the clusters that a node remembers to have left.
const maxDeparted = 64

// Leave makes this node its own cluster again. The Reply comes when the running
// members know, at the latest after DeadAfter: nil, ErrNotInCluster or ErrBusy.
func (c *Core) Leave(now Instant, command uint64) []Effect {
	c.begin(now)
	switch {
	case c.stopped:
		c.emit(Reply{Command: command, Err: ErrInterrupted})
		return c.out
	case len(c.live) == 0:
		c.emit(Reply{Command: command, Err: ErrNotInCluster})
	case c.join != nil || c.leave != nil:
		c.emit(Reply{Command: command, Err: ErrBusy})
	default:
		c.leave = &leaveOp{command: command}
		c.advanceLeave()
	}
	return c.end()
}

func (c *Core) advanceLeave() {
	if c.leave == nil || len(c.grants) > 0 {
		return
	}
	command := c.leave.command
	c.leave = nil
	c.depart(command)
	c.alone(false)
	c.await(command)
}

// depart ends this node's membership for its former members: they are told, and
// are members no more for this node. command, if not 0, waits for the running
// ones. What follows is another cluster.
func (c *Core) depart(command uint64) {
	if len(c.table.Records()) == 1 {
		return // nobody has ever seen this cluster
	}
	grave := c.self().tombstone(c.now.Wall.UnixMilli())
	c.remember(grave)
	for _, r := range c.table.Records() {
		if l := c.live[r.ID]; l != nil {
			if l.state != StateDead {
				c.notify(command, r, grave)
			}
			c.forget(r)
		}
	}
}

// remember notes that this node has left its cluster.
func (c *Core) remember(grave Record) {
	c.state.Departed = append(c.state.Departed, Departure{Cluster: c.state.Cluster, Record: grave})
	if over := len(c.state.Departed) - maxDeparted; over > 0 {
		c.state.Departed = slices.Delete(c.state.Departed, 0, over)
	}
	c.dirty = true
}

// alone makes this node a cluster of its own.
func (c *Core) alone(removed bool) {
	own := c.self()
	own.Seq++
	if own.Status == StatusJoining {
		own.Status = StatusRunning
	}
	c.state.Cluster = c.cfg.NewID()
	c.table = Table{}
	c.table.Merge(own)
	c.grants = nil
	c.dirty = true
	c.emit(ResetData{Removed: removed})
}

// removed obeys a tombstone of this node that another member has written.
func (c *Core) removed() {
	c.remember(c.self().tombstone(c.now.Wall.UnixMilli()))
	for _, r := range c.table.Records() {
		if c.live[r.ID] != nil {
			c.forget(r)
		}
	}
	if c.leave != nil {
		// It has come to what the command wanted.
		c.emit(Reply{Command: c.leave.command})
		c.leave = nil
	}
	if c.join != nil && c.join.phase == joinSettling {
		c.endJoin(ErrInterrupted)
	}
	c.alone(true)
}

// ForceLeave removes a member, running or not. A running one resets itself; one
// that is away does so when it is back. The Reply comes when a running target
// has obeyed, at the latest after DeadAfter: nil, ErrSelf or ErrNotInCluster.
func (c *Core) ForceLeave(now Instant, command uint64, target NodeName) []Effect {
	c.begin(now)
	target = target.Complete(c.cfg.Name)
	r, member := c.table.ByName(target)
	switch {
	case c.stopped:
		c.emit(Reply{Command: command, Err: ErrInterrupted})
		return c.out
	case target == c.cfg.Name:
		c.emit(Reply{Command: command, Err: ErrSelf})
	case !member:
		c.emit(Reply{Command: command, Err: ErrNotInCluster})
	default:
		grave := r.tombstone(now.Wall.UnixMilli())
		if c.live[r.ID].state != StateDead {
			c.notify(command, r, grave)
		} else {
			c.send(r.Name, r.ID, Departed{Record: grave})
		}
		c.learn(grave)
		c.broadcast(grave)
		c.await(command)
	}
	return c.end()
}

// notify sends a tombstone to a member of the present cluster until it
// acknowledges.
func (c *Core) notify(command uint64, to, grave Record) {
	c.notices = append(c.notices, notice{
		command: command, to: to.Name, id: to.ID, cluster: c.state.Cluster, record: grave,
		sentAt: c.now.Mono, until: c.now.Mono + c.cfg.DeadAfter,
	})
	c.send(to.Name, to.ID, Departed{Record: grave})
}

func (c *Core) retryNotices() {
	c.notices = slices.DeleteFunc(c.notices, func(n notice) bool { return c.now.Mono > n.until })
	for i := range c.notices {
		if n := &c.notices[i]; c.now.Mono-n.sentAt >= c.cfg.retry() {
			n.sentAt = c.now.Mono
			c.sendAs(n.cluster, n.to, n.id, Departed{Record: n.record})
		}
	}
	c.settle()
}

// await replies to a command once its notices are gone.
func (c *Core) await(command uint64) {
	c.waiting = append(c.waiting, command)
	c.settle()
}

// settle replies to the commands whose notices are all acknowledged or over.
func (c *Core) settle() {
	c.waiting = slices.DeleteFunc(c.waiting, func(command uint64) bool {
		if slices.ContainsFunc(c.notices, func(n notice) bool { return n.command == command }) {
			return false
		}
		c.emit(Reply{Command: command})
		return true
	})
}

func (c *Core) onDepartedAck(m Message, a DepartedAck) {
	c.notices = slices.DeleteFunc(c.notices, func(n notice) bool {
		return n.id == m.From && n.record.ID == a.ID && n.record.Epoch == a.Epoch
	})
	c.settle()
}

// onDeparted takes a tombstone of this cluster: of the sender, which has left,
// or of this node, which was removed.
func (c *Core) onDeparted(m Message, d Departed) {
	c.sendAs(m.Cluster, m.FromName, m.From, DepartedAck{ID: d.Record.ID, Epoch: d.Record.Epoch})
	own := c.self()
	if d.Record.ID == own.ID && d.Record.Epoch < own.Epoch {
		// The sender does not know yet that this node has joined again.
		c.send(m.FromName, m.From, Sync{Records: []Record{own}})
		return
	}
	if d.Record.Left {
		c.learn(d.Record)
	}
}

// onForeign answers members of clusters that this node has left.
func (c *Core) onForeign(m Message) {
	if d, ok := m.Body.(Departed); ok && d.Record.ID == c.state.Identity {
		// Repeated, since the acknowledgement was lost.
		c.sendAs(m.Cluster, m.FromName, m.From, DepartedAck{ID: d.Record.ID, Epoch: d.Record.Epoch})
		return
	}
	for _, d := range slices.Backward(c.state.Departed) {
		if d.Cluster == m.Cluster {
			c.sendAs(m.Cluster, m.FromName, m.From, Departed{Record: d.Record})
			return
		}
	}
	c.counters.Stray++
}
