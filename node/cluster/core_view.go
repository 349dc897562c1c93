package cluster

import "slices"

// MemberState is what this node makes of a member, from what the member says of
// itself and from what has been heard of it.
type MemberState uint8

// The states.
const (
	// StateAlive: it answers.
	StateAlive MemberState = iota
	// StateSuspect: it has been silent for a while and is being probed; it still
	// counts as running.
	StateSuspect
	// StateDead: it has stopped, or been silent for too long.
	StateDead
	// StateJoining: it answers, and is still copying the cluster's data.
	StateJoining
	// StateLeft: it is a member no more. Only in events.
	StateLeft
)

var memberStateNames = [...]string{"alive", "suspect", "dead", "joining", "left"}

// String is the state in logs and JSON.
func (s MemberState) String() string { return memberStateNames[s] }

// MarshalText implements encoding.TextMarshaler.
func (s MemberState) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Member is what this node knows and thinks of a member.
type Member struct {
	ID          ID          `json:"id"`
	Name        NodeName    `json:"name"`
	State       MemberState `json:"state"`
	Epoch       uint64      `json:"epoch"`
	Incarnation uint64      `json:"incarnation"`
	// Self marks this node.
	Self bool `json:"self,omitempty"`
	// Up is whether NodeUp was told last: messages may be sent to it.
	Up bool `json:"up"`
	// Indirect is whether lately only other members have heard of it: the way
	// to it is broken, not the node.
	Indirect bool    `json:"indirect,omitempty"`
	Release  string  `json:"release,omitempty"`
	Versions []Range `json:"versions,omitempty"`
}

// member is r as a Member.
func (c *Core) member(r Record) Member {
	m := Member{
		ID: r.ID, Name: r.Name, State: StateLeft, Epoch: r.Epoch, Incarnation: r.Incarnation,
		Release: r.Release, Versions: r.Versions,
	}
	l := c.live[r.ID]
	switch {
	case r.Left:
	case r.ID == c.state.Identity:
		m.Self, m.State, m.Up = true, StateAlive, r.Status == StatusRunning
	case l != nil:
		m.State, m.Up = l.state, l.up
		m.Indirect = l.state == StateAlive && c.now.Mono-l.direct > c.cfg.SuspectAfter()
	}
	if r.Status == StatusJoining && m.State == StateAlive {
		m.State = StateJoining
	}
	return m
}

// View is a node's picture of its cluster.
type View struct {
	Cluster ID       `json:"cluster"`
	Self    NodeName `json:"self"`
	// Members are this node and the others, sorted by name.
	Members []Member `json:"members"`
}

// View returns what this node thinks of its cluster now. The result is the
// caller's.
func (c *Core) View() View {
	v := View{Cluster: c.state.Cluster, Self: c.cfg.Name}
	for _, r := range c.table.Records() {
		if !r.Left {
			v.Members = append(v.Members, c.member(r))
		}
	}
	slices.SortFunc(v.Members, func(a, b Member) int {
		if a.Name != b.Name {
			if a.Name < b.Name {
				return -1
			}
			return 1
		}
		return compareID(a.ID, b.ID)
	})
	return v
}

// Running are the names of the members that can be reached, sorted; starting and
// joining ones too.
func (v View) Running() []NodeName {
	return v.names(func(m Member) bool { return m.State != StateDead })
}

// Stopped are the names of the other members, sorted.
func (v View) Stopped() []NodeName {
	return v.names(func(m Member) bool { return m.State == StateDead })
}

func (v View) names(want func(Member) bool) []NodeName {
	var names []NodeName
	for _, m := range v.Members {
		if want(m) {
			names = append(names, m.Name)
		}
	}
	return names
}

// Identity is this node's stable identity.
func (c *Core) Identity() ID { return c.state.Identity }

// Cluster is the identity of this node's cluster.
func (c *Core) Cluster() ID { return c.state.Cluster }

// Counters returns the counts since the core was made.
func (c *Core) Counters() Counters { return c.counters }
