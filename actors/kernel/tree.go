package kernel

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// TreeNode is one actor in the live tree, as System.Tree found it. The nodes
// of one tree were read at slightly different moments.
type TreeNode struct {
	Name     string `json:"name"`
	Kind     string `json:"kind"`
	State    string `json:"state"`    // starting, running, suspended, restarting, stopping, stopped
	Restarts int    `json:"restarts"` // instances before the present one
	Mailbox  int    `json:"mailbox"`  // messages waiting
	Dropped  uint64 `json:"dropped"`  // messages refused by the full mailbox
	Children int    `json:"children"` // living children
	// Nodes are the children, oldest first, if there are at most the asked
	// number of them.
	Nodes []TreeNode `json:"nodes,omitempty"`
	// Groups sum up the children by kind where they are too many to list.
	Groups []TreeGroup `json:"groups,omitempty"`
}

// TreeGroup sums up the children of one kind.
type TreeGroup struct {
	Kind       string `json:"kind"`
	Count      int    `json:"count"`
	Children   int    `json:"children"`    // their living children together
	Restarts   int    `json:"restarts"`    // together
	Mailbox    int    `json:"mailbox"`     // messages waiting, together
	MailboxMax int    `json:"mailbox_max"` // messages waiting in the fullest
	Dropped    uint64 `json:"dropped"`     // together
	Suspended  int    `json:"suspended"`   // not running: starting, suspended, restarting, stopping
}

// DefaultTreeLimit is how many children Tree lists one by one.
const DefaultTreeLimit = 64

// Tree describes the living actors, roots in the order of their spawning.
// Actors with more than limit children (0: DefaultTreeLimit; below 0: none are
// listed) have them summed up by kind. Nobody is stopped for it: no lock is
// held for more than 128 children.
func (s *System) Tree(limit int) []TreeNode {
	if limit == 0 {
		limit = DefaultTreeLimit
	}
	s.mu.Lock()
	roots := slices.Clone(s.roots)
	s.mu.Unlock()
	nodes := make([]TreeNode, 0, len(roots))
	for _, c := range roots {
		nodes = append(nodes, c.node(limit))
	}
	return nodes
}

func (c *cell) node(limit int) TreeNode {
	n := TreeNode{
		Name:     c.name(),
		Kind:     c.t.kind.name,
		State:    stateNames[c.state.Load()],
		Restarts: int(c.restarts.Load()),
		Mailbox:  c.waiting(),
		Dropped:  c.dropped.Load(),
		Children: c.childCount(),
	}
	if n.Children > limit {
		n.Groups = c.groups()
		return n
	}
	c.eachChild(false, func(child *cell) { n.Nodes = append(n.Nodes, child.node(limit)) })
	return n
}

// groups sums up the children by kind.
func (c *cell) groups() []TreeGroup {
	var groups []TreeGroup
	c.eachChild(false, func(child *cell) {
		i := slices.IndexFunc(groups, func(g TreeGroup) bool { return g.Kind == child.t.kind.name })
		if i < 0 {
			i = len(groups)
			groups = append(groups, TreeGroup{Kind: child.t.kind.name})
		}
		g := &groups[i]
		waiting := child.waiting()
		g.Count++
		g.Children += child.childCount()
		g.Restarts += int(child.restarts.Load())
		g.Mailbox += waiting
		g.MailboxMax = max(g.MailboxMax, waiting)
		g.Dropped += child.dropped.Load()
		if child.state.Load() != stRunning {
			g.Suspended++
		}
	})
	slices.SortFunc(groups, func(a, b TreeGroup) int { return strings.Compare(a.Kind, b.Kind) })
	return groups
}

// Stats are the counters of a System since it was made.
type Stats struct {
	Actors      int         // alive now
	DeadLetters uint64      // user messages sent to, or discarded by, stopped actors
	SystemDead  uint64      // protoactor's own dead letters (late stops and restarts: harmless)
	Kinds       []KindStats // sorted by kind
}

// KindStats are the counters of the actors of one kind.
type KindStats struct {
	Kind        string
	Actors      int    // alive now
	Spawned     uint64 // ever
	Restarts    uint64 // instances that replaced another
	Failures    uint64 // panics in New or Receive, the ones in Stopping included
	Refused     uint64 // messages refused by full mailboxes
	DeadLetters uint64 // user messages sent to, or discarded by, stopped actors
}

// Stats reads the counters: cheap enough for every scrape.
func (s *System) Stats() Stats {
	st := Stats{SystemDead: s.dead.Load()}
	s.kindsMu.RLock()
	for _, k := range s.kinds {
		st.Kinds = append(st.Kinds, KindStats{
			Kind:        k.name,
			Actors:      int(k.alive.Load()),
			Spawned:     k.spawned.Load(),
			Restarts:    k.restarts.Load(),
			Failures:    k.failures.Load(),
			Refused:     k.refused.Load(),
			DeadLetters: k.deadLetters.Load(),
		})
	}
	s.kindsMu.RUnlock()
	slices.SortFunc(st.Kinds, func(a, b KindStats) int { return strings.Compare(a.Kind, b.Kind) })
	for _, k := range st.Kinds {
		st.Actors += k.Actors
		st.DeadLetters += k.DeadLetters
	}
	return st
}

// kind counts what happens to the actors of one kind.
type kind struct {
	name        string
	alive       atomic.Int64
	spawned     atomic.Uint64
	restarts    atomic.Uint64
	failures    atomic.Uint64
	refused     atomic.Uint64
	deadLetters atomic.Uint64
	mu          sync.Mutex // guards the log's budget
	tokens      int
	refilled    time.Time
	suppressed  int
}

// Failures of one kind are logged with their stacks up to logBurst at once and
// then one per logEvery; the others are counted in the next line.
const (
	logBurst = 10
	logEvery = time.Second
)

// mayLog takes a token; it returns how many lines were kept back before.
func (k *kind) mayLog(now time.Time) (suppressed int, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if since := now.Sub(k.refilled); since >= logEvery || since < 0 {
		n := logBurst
		if !k.refilled.IsZero() && since >= 0 {
			n = int(min(since/logEvery, logBurst))
		}
		k.tokens = min(logBurst, k.tokens+n)
		k.refilled = now
	}
	if k.tokens == 0 {
		k.suppressed++
		return 0, false
	}
	k.tokens--
	suppressed, k.suppressed = k.suppressed, 0
	return suppressed, true
}

// noteFailure counts and logs a panic: its value and the stack, never the
// message that led to it.
func (s *System) noteFailure(c *cell, crash *CrashError, leaving bool) {
	k := c.t.kind
	k.failures.Add(1)
	suppressed, ok := k.mayLog(time.Now())
	if !ok {
		return
	}
	attrs := []any{
		"kind", k.name, "actor", crash.Name, "reason", fmt.Sprint(crash.Value),
		"restarts", c.restarts.Load(), "stopping", leaving, "stack", string(crash.Stack),
	}
	if suppressed > 0 {
		attrs = append(attrs, "suppressed", suppressed)
	}
	s.log.Error("actor failed", attrs...)
}

// noteEscalation logs that a supervisor gives up.
func (s *System) noteEscalation(c *cell, err *IntensityError) {
	s.log.Error("restart intensity exceeded", "kind", c.t.kind.name, "actor", c.path(),
		"failures", err.Failures, "err", err.Last)
}
