package sim

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"ermine/node/cluster"
)

// history runs a random history and returns the world as it ended.
func history(seed uint64, trace func(string, ...any)) *world {
	w := newWorld(seed)
	w.trace = trace
	for i := range 2 + w.rng.IntN(4) {
		w.start(w.add(cluster.NodeName(fmt.Sprintf("n%d@h", i+1))))
	}
	w.run(time.Second)
	if w.rng.IntN(8) > 0 {
		for _, n := range w.nodes[1:] {
			w.give(n, "join", w.nodes[0].name)
			w.run(w.upTo(2 * time.Second))
		}
		w.settle()
	}
	for range 4 + w.rng.IntN(8) {
		w.step()
		w.run(w.upTo(4 * time.Second))
		if w.rng.IntN(16) == 0 {
			w.run(w.upTo(20 * time.Second))
		}
	}
	w.recover()
	w.settle()
	return w
}

// recover ends all faults. A node in eight that is down stays so.
func (w *world) recover() {
	w.heal()
	for _, n := range w.nodes {
		switch {
		case n.core == nil && w.rng.IntN(8) > 0:
			w.start(n)
		case n.paused:
			w.resume(n)
		}
	}
	w.tracef("# all faults are over")
}

func (w *world) upTo(d time.Duration) time.Duration { return time.Duration(w.rng.Int64N(int64(d))) }

func (w *world) pick() *node { return w.nodes[w.rng.IntN(len(w.nodes))] }

// pickUp picks a node that can be given a command; nil if there is none.
func (w *world) pickUp() *node {
	for range 8 {
		if n := w.pick(); n.core != nil && !n.paused {
			return n
		}
	}
	return nil
}

func (w *world) resume(n *node) {
	w.mark()
	n.paused = false
	held := n.held
	n.held = nil
	w.tracef("# resume %s", n.name)
	// The tick that came first is among what was held; so is what arrived.
	for _, do := range held {
		if n.core == nil {
			return
		}
		do()
	}
}

// step does one random thing.
func (w *world) step() {
	w.mark()
	n, other := w.pick(), w.pick()
	switch w.rng.IntN(20) {
	case 0, 1:
		if up := w.pickUp(); up != nil {
			w.give(up, "join", other.name)
		}
	case 2:
		if up := w.pickUp(); up != nil {
			w.give(up, "leave", "")
		}
	case 3:
		if up := w.pickUp(); up != nil {
			w.give(up, "force-leave", other.name)
		}
	case 4, 5:
		if n.core != nil {
			w.tracef("# crash %s", n.name)
			w.crash(n)
		}
	case 6:
		if n.core != nil && !n.paused {
			w.tracef("# stop %s", n.name)
			w.stop(n)
		}
	case 7, 8, 9:
		if n.core == nil {
			w.tracef("# restart %s", n.name)
			w.start(n)
		}
	case 10:
		if n.core != nil && !n.paused {
			w.tracef("# pause %s", n.name)
			n.paused = true
		} else if n.paused {
			w.resume(n)
		}
	case 11, 12:
		w.islands()
	case 13:
		if n != other {
			w.tracef("# cut %s %s", n.name, other.name)
			w.cut[link{n.name, other.name}] = true
		}
	case 14:
		w.loss = w.rng.IntN(60)
		w.tracef("# lose %d%%", w.loss)
	case 15:
		w.min = w.upTo(500 * time.Millisecond)
		w.max = w.min + w.upTo(3*time.Second)
		w.tracef("# delay %s %s", w.min, w.max)
	case 16:
		w.reorder = !w.reorder
		w.tracef("# reorder %t", w.reorder)
	case 17:
		n.skew = w.upTo(2*time.Minute) - time.Minute
		w.tracef("# skew %s %s", n.name, n.skew)
	case 18:
		w.tracef("# heal")
		w.heal()
	case 19:
		if n.core == nil && w.rng.IntN(4) == 0 {
			w.tracef("# wipe %s", n.name)
			n.disk = cluster.State{}
		}
	}
	w.mark()
}

// islands parts the network in two, at random; sometimes it waits until the
// nodes of each island should agree, and checks.
func (w *world) islands() {
	clear(w.cut)
	side := map[*node]bool{}
	for _, n := range w.nodes {
		side[n] = w.rng.IntN(2) == 0
	}
	var text strings.Builder
	for _, a := range w.nodes {
		fmt.Fprintf(&text, " %s:%t", a.name, side[a])
		for _, b := range w.nodes {
			if side[a] != side[b] {
				w.cut[link{a.name, b.name}] = true
			}
		}
	}
	w.tracef("# partition%s", &text)
	if w.rng.IntN(3) == 0 && w.whole() && !w.anyPaused() {
		w.mark()
		w.settle()
	}
}

func (w *world) anyPaused() bool {
	for _, n := range w.nodes {
		if n.paused {
			return true
		}
	}
	return false
}

// stop ends a node in order.
func (w *world) stop(n *node) {
	w.mark()
	w.apply(n, n.core.Stop(w.instant(n)))
	w.crash(n)
}

// jointly runs joins at one moment, on nodes that have no cluster yet, and
// checks S6.
func jointly(seed uint64, trace func(string, ...any)) *world {
	w := newWorld(seed)
	w.trace = trace
	for i := range 2 + w.rng.IntN(6) {
		w.start(w.add(cluster.NodeName(fmt.Sprintf("n%d@h", i+1))))
	}
	w.run(time.Second)
	w.max = minDelay + w.upTo(200*time.Millisecond)
	w.loss = w.rng.IntN(20)
	w.reorder = w.rng.IntN(2) == 0
	group := map[*node]*node{}
	for _, n := range w.nodes {
		group[n] = n
	}
	var find func(n *node) *node
	find = func(n *node) *node {
		if group[n] == n {
			return n
		}
		return find(group[n])
	}
	for _, n := range w.nodes {
		if w.rng.IntN(8) == 0 {
			continue
		}
		if target := w.pick(); target != n {
			group[find(n)] = find(target)
			w.give(n, "join", target.name)
		}
	}
	// Commands end in 15 s; the loss does not.
	w.run(16 * time.Second)
	w.heal()
	w.settle()
	for _, c := range w.commands {
		if !c.done || c.err != nil {
			w.failf("S6: %s: done %t, %v", c.text, c.done, c.err)
		}
	}
	for i, a := range w.nodes {
		for _, b := range w.nodes[:i] {
			if together, want := a.core.Cluster() == b.core.Cluster(), find(a) == find(b); together != want {
				w.failf("S6: %s and %s are in one cluster: %t, want %t", a.name, b.name, together, want)
			}
		}
	}
	return w
}

// mutually lets one node of each of two clusters join the other, nearly at once,
// and checks that both end up together.
func mutually(seed uint64, trace func(string, ...any)) *world {
	w := newWorld(seed)
	w.trace = trace
	for i := range 2 + w.rng.IntN(4) {
		w.start(w.add(cluster.NodeName(fmt.Sprintf("n%d@h", i+1))))
	}
	w.run(time.Second)
	for i, n := range w.nodes[2:] {
		w.give(n, "join", w.nodes[i%2].name)
	}
	w.settle()
	w.max = minDelay + w.upTo(100*time.Millisecond)
	w.loss = w.rng.IntN(20)
	w.reorder = w.rng.IntN(2) == 0
	a, b := w.nodes[0], w.nodes[1]
	w.give(a, "join", b.name)
	w.run(w.upTo(300 * time.Millisecond))
	w.give(b, "join", a.name)
	w.run(16 * time.Second)
	w.heal()
	w.settle()
	for _, c := range w.commands {
		var refused *cluster.JoinError
		if c.done && (c.err == nil || errors.As(c.err, &refused) && refused.Reason == cluster.ReasonAlreadyInCluster) {
			continue
		}
		w.failf("S6: %s: done %t, %v", c.text, c.done, c.err)
	}
	if a.core.Cluster() != b.core.Cluster() {
		w.failf("S6: %s and %s are in two clusters", a.name, b.name)
	}
	return w
}
