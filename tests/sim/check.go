package sim

import (
	"fmt"
	"strings"

	"ermine/node/cluster"
)

// grave is a member that was removed for good.
type grave struct {
	cluster, id cluster.ID
	epoch       uint64
	issuer      *node
}

// left checks that a member which is none any more had a reason (S2).
func (w *world) left(n *node, m cluster.Member) {
	for _, c := range w.commands {
		if c.verb == "force-leave" && c.target == m.Name {
			return
		}
	}
	to := w.names[m.Name]
	switch {
	case to == nil, to.disk.Identity != m.ID: // replaced by a node with an empty disk
	case to.disk.Cluster != n.cluster, to.disk.Epoch > m.Epoch: // it has left
	default:
		w.failf("S2: %s drops %s, which has not left", n.name, m.Name)
	}
}

// reach tells whether messages pass between two nodes both ways.
func (w *world) reach(a, b *node) bool {
	return a.core != nil && b.core != nil && !a.paused && !b.paused &&
		!w.cut[link{a.name, b.name}] && !w.cut[link{b.name, a.name}]
}

// agree checks S1 for the nodes as they are now.
func (w *world) agree() {
	for _, n := range w.nodes {
		if n.core == nil || n.paused {
			continue
		}
		view := n.core.View()
		listed := map[cluster.ID]bool{}
		names := map[cluster.NodeName]bool{}
		for _, m := range view.Members {
			listed[m.ID] = true
			if names[m.Name] {
				w.failf("S1: %s lists the name %s twice", n.name, m.Name)
			}
			names[m.Name] = true
			w.checkMember(n, m)
		}
		for _, to := range w.nodes {
			if to.core == nil || to.core.Cluster() != n.core.Cluster() || !w.reach(n, to) || w.severed(n, to) {
				continue
			}
			if !listed[to.id] {
				w.failf("S1: %s does not list %s, which is in its cluster", n.name, to.name)
			}
			if a, b := outline(view), outline(to.core.View()); a != b {
				w.failf("S1: %s and %s do not agree:\n%s: %s\n%s: %s", n.name, to.name, n.name, a, to.name, b)
			}
		}
	}
	for _, g := range w.graves {
		if g.issuer.core == nil || g.issuer.core.Cluster() != g.cluster {
			continue // it may have gone before it could tell
		}
		for _, n := range w.nodes {
			if n.core == nil || n.core.Cluster() != g.cluster || !w.reach(n, g.issuer) || w.severed(n, g.issuer) {
				continue
			}
			for _, m := range n.core.View().Members {
				if m.ID == g.id && m.Epoch <= g.epoch {
					w.failf("S2: %s lists %s, which %s has removed", n.name, m.Name, g.issuer.name)
				}
			}
		}
	}
}

// severed tells whether two nodes of what was one cluster have removed each
// other, each on its own island: neither looks for the other any more.
func (w *world) severed(a, b *node) bool {
	removed := func(n *node) bool {
		for _, c := range w.commands {
			if c.grave != nil && c.grave.cluster == n.core.Cluster() && c.grave.id == n.id {
				return true
			}
		}
		return false
	}
	return removed(a) && removed(b)
}

// checkMember checks what n thinks of one member.
func (w *world) checkMember(n *node, m cluster.Member) {
	to := w.names[m.Name]
	up := to != nil && to.core != nil && !to.paused && to.id == m.ID
	switch {
	case m.Self:
	case up && w.reach(n, to) && to.core.Cluster() == n.core.Cluster():
		if m.State != cluster.StateAlive || !m.Up {
			w.failf("S1: %s holds %s for %s (up %t), which runs", n.name, m.Name, m.State, m.Up)
		}
	case up && w.reach(n, to):
		w.failf("S2: %s still lists %s, which is in another cluster", n.name, m.Name)
	default:
		if m.State != cluster.StateDead || m.Up {
			w.failf("S1: %s holds %s for %s (up %t), which is away", n.name, m.Name, m.State, m.Up)
		}
	}
	if !m.Self && n.members[m.ID] != m.Up {
		w.failf("S4: %s: events say up %t of %s, the view %t", n.name, n.members[m.ID], m.Name, m.Up)
	}
}

// outline is the part of a view on which members agree.
func outline(v cluster.View) string {
	var b strings.Builder
	for _, m := range v.Members {
		state := m.State
		if m.Self {
			state = cluster.StateAlive
		}
		fmt.Fprintf(&b, "%s/%s epoch %d life %d %s; ", m.Name, m.ID.String()[:8], m.Epoch, m.Incarnation, state)
	}
	return b.String()
}

// openCommands counts the commands that have not ended.
func (w *world) openCommands() int {
	open := 0
	for _, c := range w.commands {
		if !c.done {
			open++
		}
	}
	return open
}

// settle waits for the commands under way, then twice the detection time, and
// checks.
func (w *world) settle() {
	for range 40 {
		if w.openCommands() == 0 {
			break
		}
		w.run(w.nodes[0].cfg.Heartbeat / 2)
	}
	if w.openCommands() > 0 {
		for _, c := range w.commands {
			if !c.done && c.node.core != nil && !c.node.paused {
				w.failf("S5: %s does not end", c.text)
			}
		}
	}
	w.run(2 * w.nodes[0].cfg.DeadAfter)
	w.agree()
}
