package sim

import (
	"container/heap"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"ermine/node/cluster"
)

// epoch is the simulated time zero.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// defaultDelay is how late a message is on a healthy network.
const (
	minDelay = time.Millisecond
	maxDelay = 5 * time.Millisecond
)

// connectTimeout is after what time a connection attempt that gets no answer is
// reported.
const connectTimeout = 5 * time.Second

// event is something that happens at a time; seq makes equal times orderly.
type event struct {
	at   time.Duration
	seq  uint64
	node *node  // whom it concerns
	life uint64 // it is void for other lives of the node
	do   func()
}

type queue []*event

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	if q[i].at != q[j].at {
		return q[i].at < q[j].at
	}
	return q[i].seq < q[j].seq
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(*event)) }
func (q *queue) Pop() any {
	old := *q
	e := old[len(old)-1]
	*q = old[:len(old)-1]
	return e
}

// node is one simulated node: a core, its disk and its clock.
type node struct {
	name cluster.NodeName
	cfg  cluster.Config
	core *cluster.Core // nil while down
	disk cluster.State
	life uint64

	upSince time.Duration
	paused  bool
	held    []func() // what came while it was paused
	skew    time.Duration

	// cluster is the one that it was last seen in, allowed what may change it.
	cluster cluster.ID
	id      cluster.ID
	// members is what the events say: present, and whether up.
	members map[cluster.ID]bool
	upAt    map[cluster.ID]time.Duration // when NodeUp was told last
	events  []string
}

// link is one direction between two nodes.
type link struct{ from, to cluster.NodeName }

// world is the simulation.
type world struct {
	rng   *rand.Rand
	now   time.Duration
	seq   uint64
	queue queue
	nodes []*node
	names map[cluster.NodeName]*node

	cut     map[link]bool
	loss    int // percent
	min     time.Duration
	max     time.Duration
	reorder bool
	// lastArrival keeps a link's messages in order unless reorder.
	lastArrival map[link]time.Duration
	// dirtyAt is when a link was last not in order: cut, lossy or slow.
	dirtyAt map[link]time.Duration

	commands map[uint64]*command
	command  uint64
	results  []string
	wire     bool // carry messages as bytes
	steps    int
	trace    func(format string, args ...any)
	faults   []string
	graves   []grave
	before   cluster.ID // the cluster of the node at hand before the input
}

// command is one given to a node.
type command struct {
	node   *node
	text   string
	verb   string
	target cluster.NodeName
	grave  *grave // of a force-leave
	done   bool
	err    error
	lost   bool // the node ended before the command did
}

func newWorld(seed uint64) *world {
	w := &world{
		rng:   rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15)),
		names: map[cluster.NodeName]*node{}, cut: map[link]bool{},
		lastArrival: map[link]time.Duration{}, dirtyAt: map[link]time.Duration{},
		commands: map[uint64]*command{}, wire: seed%8 == 0,
	}
	w.heal()
	return w
}

// failf notes that a check failed.
func (w *world) failf(format string, args ...any) {
	w.faults = append(w.faults, fmt.Sprintf("%8.3fs ", w.now.Seconds())+fmt.Sprintf(format, args...))
}

func (w *world) tracef(format string, args ...any) {
	if w.trace != nil {
		w.trace("%9.3fs "+format, append([]any{w.now.Seconds()}, args...)...)
	}
}

func (w *world) newID() (id cluster.ID) {
	binary.BigEndian.PutUint64(id[:8], w.rng.Uint64())
	binary.BigEndian.PutUint64(id[8:], w.rng.Uint64())
	return id
}

// at plans something for one life of a node.
func (w *world) at(when time.Duration, n *node, do func()) {
	w.seq++
	heap.Push(&w.queue, &event{at: when, seq: w.seq, node: n, life: n.life, do: do})
}

// run lets time pass.
func (w *world) run(d time.Duration) {
	end := w.now + d
	for len(w.queue) > 0 && w.queue[0].at <= end {
		e := heap.Pop(&w.queue).(*event)
		w.now = e.at
		if e.node.core == nil || e.node.life != e.life {
			continue
		}
		w.steps++
		if e.node.paused {
			e.node.held = append(e.node.held, e.do)
			continue
		}
		e.do()
	}
	w.now = end
}

// instant is the time as a node sees it. Its monotonic clock has an origin of
// its own.
func (w *world) instant(n *node) cluster.Instant {
	return cluster.Instant{Mono: time.Second + w.now - n.upSince, Wall: epoch.Add(w.now + n.skew)}
}

func (w *world) add(name cluster.NodeName) *node {
	n := &node{name: name, members: map[cluster.ID]bool{}, upAt: map[cluster.ID]time.Duration{}}
	n.cfg = cluster.DefaultConfig(name)
	n.cfg.NewID = w.newID
	n.cfg.Release = "0.3.0"
	w.nodes = append(w.nodes, n)
	w.names[name] = n
	return n
}

// start begins a life of a node, with what is on its disk.
func (w *world) start(n *node) {
	core, err := cluster.New(n.cfg, n.disk)
	if err != nil {
		w.failf("%s does not start: %v", n.name, err)
		return
	}
	n.life++
	n.core, n.upSince, n.paused, n.held = core, w.now, false, nil
	n.id, n.cluster = core.Identity(), core.Cluster()
	n.members = map[cluster.ID]bool{}
	for _, m := range core.View().Members {
		if !m.Self {
			n.members[m.ID] = false
		}
	}
	w.dirtyNode(n)
	w.apply(n, core.Start(w.instant(n)))
	w.apply(n, core.Ready(w.instant(n)))
	w.tick(n)
}

// tick calls the node's Tick for ever, not quite regularly.
func (w *world) tick(n *node) {
	every := n.cfg.TickInterval()
	w.at(w.now+every*9/10+time.Duration(w.rng.Int64N(int64(every/5))), n, func() {
		w.apply(n, n.core.Tick(w.instant(n)))
		w.tick(n)
	})
}

// crash ends a node's life without notice; its peers' connections break.
func (w *world) crash(n *node) {
	n.core = nil
	n.paused = false
	w.dirtyNode(n)
	for _, c := range w.commands {
		if c.node == n && !c.done {
			c.done, c.lost = true, true
		}
	}
	for _, peer := range w.nodes {
		if peer != n && peer.core != nil && w.rng.IntN(4) > 0 {
			w.at(w.now+w.delay(), peer, func() { w.apply(peer, peer.core.Disconnected(w.instant(peer), n.name)) })
		}
	}
}

// dirtyNode marks all links of a node.
func (w *world) dirtyNode(n *node) {
	for _, peer := range w.nodes {
		w.dirtyAt[link{n.name, peer.name}] = w.now
		w.dirtyAt[link{peer.name, n.name}] = w.now
	}
}

func (w *world) delay() time.Duration {
	if w.max <= w.min {
		return w.min
	}
	return w.min + time.Duration(w.rng.Int64N(int64(w.max-w.min)))
}

// whole tells whether the network does nothing to messages but deliver them
// soon.
func (w *world) whole() bool { return w.loss == 0 && w.max <= 100*time.Millisecond }

// mark notes the links that are not in order now; it is called before and after
// each change.
func (w *world) mark() {
	for _, a := range w.nodes {
		for _, b := range w.nodes {
			if l := (link{a.name, b.name}); w.cut[l] || !w.whole() || a.paused || a.core == nil {
				w.dirtyAt[l] = w.now
				if a.paused || a.core == nil {
					w.dirtyAt[link{b.name, a.name}] = w.now
				}
			}
		}
	}
}

// heal makes the network whole.
func (w *world) heal() {
	w.mark()
	clear(w.cut)
	w.loss, w.min, w.max, w.reorder = 0, minDelay, maxDelay, false
}

// deliver sends a message on its way.
func (w *world) deliver(from *node, s cluster.Send) {
	to := w.names[s.To]
	l := link{from.name, s.To}
	if to == nil || to.core == nil || w.cut[l] || (w.loss > 0 && w.rng.IntN(100) < w.loss) {
		return
	}
	m := s.Message
	if w.wire {
		b := cluster.Encode(nil, m)
		got, err := cluster.Decode(b)
		if err != nil {
			w.failf("message %#v does not survive the wire: %v", m, err)
			return
		}
		m = got
	}
	when := w.now + w.delay()
	if !w.reorder {
		when = max(when, w.lastArrival[l]+1)
		w.lastArrival[l] = when
	}
	if w.trace != nil {
		w.tracef("%s -> %s %T%+v", from.name, s.To, m.Body, m.Body)
	}
	w.at(when, to, func() { w.apply(to, to.core.Receive(w.instant(to), m)) })
}

// connect plays the process's part: it connects and reports.
func (w *world) connect(n *node, name cluster.NodeName) {
	to := w.names[name]
	switch {
	case to == nil:
		w.at(w.now+w.delay(), n, func() {
			w.apply(n, n.core.ConnectFailed(w.instant(n), name, cluster.CauseResolve, "no such host"))
		})
	case w.cut[link{n.name, name}] || w.cut[link{name, n.name}] || to.paused:
		w.at(w.now+connectTimeout, n, func() {
			w.apply(n, n.core.ConnectFailed(w.instant(n), name, cluster.CauseSilent, "no answer in 5s"))
		})
	case to.core == nil:
		w.at(w.now+2*w.delay(), n, func() {
			w.apply(n, n.core.ConnectFailed(w.instant(n), name, cluster.CausePort, "connection refused"))
		})
	default:
		w.at(w.now+2*w.delay(), n, func() { w.apply(n, n.core.Connected(w.instant(n), name)) })
	}
}

// give gives a command to a node and returns it.
func (w *world) give(n *node, verb string, target cluster.NodeName) *command {
	w.command++
	c := &command{node: n, verb: verb, target: target, text: verb + " " + string(n.name)}
	if target != "" {
		c.text += " " + string(target)
	}
	w.commands[w.command] = c
	w.tracef("# %s", c.text)
	switch verb {
	case "join":
		w.apply(n, n.core.Join(w.instant(n), w.command, target))
	case "leave":
		w.apply(n, n.core.Leave(w.instant(n), w.command))
	case "force-leave":
		for _, m := range n.core.View().Members {
			if m.Name == target && !m.Self {
				c.grave = &grave{cluster: n.core.Cluster(), id: m.ID, epoch: m.Epoch, issuer: n}
			}
		}
		w.apply(n, n.core.ForceLeave(w.instant(n), w.command, target))
	}
	return c
}

// apply carries out the effects of an input, as the process would.
func (w *world) apply(n *node, effects []cluster.Effect) {
	effects = slices.Clone(effects)
	w.before = n.cluster
	if now := n.core.Cluster(); now != n.cluster {
		w.moved(n, effects)
		n.cluster = now
	}
	for _, e := range effects {
		switch e := e.(type) {
		case cluster.Persist:
			n.disk = e.State
		case cluster.Send:
			w.deliver(n, e)
		case cluster.Connect:
			w.connect(n, e.To)
		case cluster.AdoptData:
			w.note(n, "adopt data from "+string(e.From))
			w.at(w.now+time.Duration(w.rng.Int64N(int64(300*time.Millisecond))), n, func() {
				w.apply(n, n.core.Adopted(w.instant(n)))
			})
		case cluster.ResetData:
			w.note(n, "reset data")
		case cluster.Reply:
			w.reply(n, e)
		case cluster.MemberJoined:
			w.note(n, "joined "+string(e.Member.Name))
			if _, had := n.members[e.Member.ID]; had {
				w.failf("S4: %s: MemberJoined of %s twice", n.name, e.Member.Name)
			}
			n.members[e.Member.ID] = false
		case cluster.MemberLeft:
			w.note(n, "left "+string(e.Member.Name))
			if up, had := n.members[e.Member.ID]; !had || up {
				w.failf("S4: %s: MemberLeft of %s: member %t, up %t", n.name, e.Member.Name, had, up)
			}
			delete(n.members, e.Member.ID)
			if n.core.Cluster() == w.before {
				w.left(n, e.Member)
			}
		case cluster.NodeUp:
			w.note(n, "up "+string(e.Member.Name))
			if up, had := n.members[e.Member.ID]; !had || up {
				w.failf("S4: %s: NodeUp of %s: member %t, up %t", n.name, e.Member.Name, had, up)
			}
			n.members[e.Member.ID] = true
			n.upAt[e.Member.ID] = w.now
		case cluster.NodeDown:
			w.note(n, "down "+string(e.Member.Name))
			if up, had := n.members[e.Member.ID]; !had || !up {
				w.failf("S4: %s: NodeDown of %s: member %t, up %t", n.name, e.Member.Name, had, up)
			}
			n.members[e.Member.ID] = false
			w.verdict(n, e.Member)
		}
	}
}

func (w *world) note(n *node, text string) {
	n.events = append(n.events, text)
	w.tracef("%s: %s", n.name, text)
}

func (w *world) reply(n *node, r cluster.Reply) {
	c := w.commands[r.Command]
	if c == nil || c.node != n || c.done {
		w.failf("S5: %s: reply to command %d, which is not open there", n.name, r.Command)
		return
	}
	c.done, c.err = true, r.Err
	if c.grave != nil && r.Err == nil {
		w.graves = append(w.graves, *c.grave)
	}
	text := c.text + ": ok"
	if r.Err != nil {
		text = c.text + ": " + r.Err.Error()
	}
	w.results = append(w.results, text)
	w.tracef("# %s", text)
}

// moved checks that a change of cluster has its reason (S2).
func (w *world) moved(n *node, effects []cluster.Effect) {
	joining := slices.ContainsFunc(effects, func(e cluster.Effect) bool { _, ok := e.(cluster.AdoptData); return ok })
	for _, c := range w.commands {
		switch {
		case joining && c.verb == "join" && c.node == n && (!c.done || c.err == nil):
			return
		case joining:
		case c.verb == "leave" && c.node == n && (!c.done || c.err == nil):
			return
		case c.verb == "force-leave" && c.target == n.name && (!c.done || c.err == nil):
			return
		}
	}
	w.failf("S2: %s has changed its cluster without a command", n.name)
}

// verdict checks a verdict of death (S3).
func (w *world) verdict(n *node, m cluster.Member) {
	to := w.names[m.Name]
	if m.State != cluster.StateDead || to == nil || to.core == nil || to.id != m.ID || to.core.Cluster() != n.core.Cluster() {
		return
	}
	w.mark()
	window := n.cfg.DeadAfter + n.cfg.Heartbeat
	clean := func(a, b *node) bool {
		for _, l := range []link{{a.name, b.name}, {b.name, a.name}} {
			if dirty, ever := w.dirtyAt[l]; ever && w.now-dirty <= window {
				return false
			}
		}
		return w.now > window
	}
	if clean(n, to) {
		w.failf("S3: %s declares %s dead, which it could reach all along", n.name, m.Name)
		return
	}
	for _, via := range w.nodes {
		if via == n || via == to || via.core == nil || via.core.Cluster() != n.core.Cluster() || !clean(n, via) || !clean(via, to) {
			continue
		}
		if w.knows(n, via) && w.knows(via, n) && w.knows(via, to) {
			w.failf("S3: %s declares %s dead, which it could reach through %s", n.name, m.Name, via.name)
			return
		}
	}
}

// knows tells whether a has held b for alive long enough to ask it for a probe,
// or to make one.
func (w *world) knows(a, b *node) bool {
	return a.members[b.id] && w.now-a.upAt[b.id] > a.cfg.DeadAfter
}
