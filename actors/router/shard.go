package router

import (
	"slices"
	"sync"
	"sync/atomic"

	"ermine/actors/kernel"
	"ermine/actors/topic"
)

// shard is what outlives a shard actor: the index that publishers read, and
// the actor's reference.
type shard struct {
	router  *Router
	id      int
	index   atomic.Pointer[index]
	groups  atomic.Int64 // share groups in the index
	members atomic.Int64 // their members

	mu  sync.RWMutex
	ref kernel.Ref

	// Of the actor, across its instances, those of an earlier router too.
	hand  kernel.Hand
	lives int         // instances so far
	held  []*Ticket   // places of subscribers that wait for a rebuild to end
	later []subscribe // of exclusive filters: who has them is known after a rebuild

	owedMu sync.Mutex
	owed   map[*Ticket]int // places that share groups have yet to release
}

func newShard(r *Router, id int) *shard {
	s := &shard{router: r, id: id}
	s.index.Store(topic.NewIndex[*Subscription]())
	return s
}

func (s *shard) setRef(ref kernel.Ref) {
	s.mu.Lock()
	s.ref = ref
	s.mu.Unlock()
}

func (s *shard) send(msg any) bool {
	s.mu.RLock()
	ref := s.ref
	s.mu.RUnlock()
	return ref.Control(msg)
}

// owe notes a place of t that a share group will settle; t may be nil.
func (s *shard) owe(t *Ticket) {
	if t == nil {
		return
	}
	s.owedMu.Lock()
	if s.owed == nil {
		s.owed = map[*Ticket]int{}
	}
	s.owed[t]++
	s.owedMu.Unlock()
}

// settle releases a place that was owed, unless reclaim has taken it over.
func (s *shard) settle(t *Ticket) {
	s.owedMu.Lock()
	n := s.owed[t]
	if n > 1 {
		s.owed[t] = n - 1
	} else {
		delete(s.owed, t)
	}
	s.owedMu.Unlock()
	if n > 0 {
		t.Done()
	}
}

// reclaim holds the places that groups which have ended owe.
func (s *shard) reclaim() {
	s.owedMu.Lock()
	for t, n := range s.owed {
		for range n {
			s.held = append(s.held, t)
		}
	}
	s.owed = nil
	s.owedMu.Unlock()
}

// releaseHeld lets everybody go who waits for the rebuild.
func (s *shard) releaseHeld() {
	held := s.held
	s.held = nil
	for _, t := range held {
		t.Done()
	}
}

// subscribe (cast, from subscribers) routes a filter.
type subscribe struct {
	sub, old *Subscription
	code     *byte
	ticket   *Ticket
}

// unsubscribe (cast, from subscribers) takes a filter out.
type unsubscribe struct {
	sub    *Subscription
	ticket *Ticket
}

// announce (cast, from sessions) carries filters to a shard that rebuilds.
type announce struct {
	epoch uint64
	subs  []*Subscription
}

// announced (cast, from the broker): every session has announced.
type announced struct{ epoch uint64 }

// report (cast, from the shard) asks a share group to answer reported when it
// has handled what was sent before.
type (
	report   struct{ epoch uint64 }
	reported struct {
		epoch uint64
		g     *Group
	}
)

type groupKey struct {
	group  string
	filter topic.Filter
}

// shardActor is the writer of one shard's index.
type shardActor struct {
	*shard
	groupsBy map[groupKey]*Group
	excl     map[topic.Filter]*Subscription

	// While a rebuild runs, next is the index to be published; epoch names the
	// last rebuild.
	next  *index
	epoch uint64
	// late are the share groups that have yet to take their members; only then
	// the new index is published.
	late map[*Group]struct{}
}

var epochs atomic.Uint64

const tries = 3 // of a message that crashes a shard or a share group

func (a *shardActor) Receive(c *kernel.Context, msg any) {
	switch m := msg.(type) {
	case kernel.Started:
		a.groupsBy = map[groupKey]*Group{}
		a.excl = map[topic.Filter]*Subscription{}
		if a.lives++; a.lives > 1 {
			a.reclaim() // the groups have ended with the instance before
			a.rebuild(c)
			if again, ok := a.hand.Again(tries); ok {
				a.handle(c, again)
			} else {
				abandon(a.hand.Lost())
			}
		}
	case kernel.Stopping:
		if !m.Restarting { // there may be no other instance
			a.reclaim()
			a.releaseHeld()
		}
		return
	case kernel.ChildGone:
		return
	default:
		a.hand.Take(msg)
		a.handle(c, msg)
	}
	a.hand.Done()
}

// abandon completes the ticket of a message to a shard that was given up.
func abandon(msg any) {
	switch m := msg.(type) {
	case subscribe:
		*m.code = 0x83
		m.ticket.Done()
	case unsubscribe:
		m.ticket.Done()
	}
}

func (a *shardActor) handle(c *kernel.Context, msg any) {
	faultShard.Hit()
	switch m := msg.(type) {
	case subscribe:
		a.subscribe(c, m)
	case unsubscribe:
		a.unsubscribe(m)
	case announce:
		if m.epoch == a.epoch { // late ones, too
			for _, s := range m.subs {
				if s.Exclusive && !s.granted {
					continue // still asks for it
				}
				a.place(c, s, nil)
			}
		}
	case announced:
		a.gathered(c, m.epoch)
	case reported:
		if m.epoch == a.epoch && a.late != nil {
			delete(a.late, m.g)
			a.rebuilt(c)
		}
	case regroup:
		all := make([]*Subscription, 0, len(m.g.all))
		for s := range m.g.all {
			all = append(all, s)
		}
		m.g.ref.Control(members{all})
	default:
		c.Logger().Error("unexpected message", "type", typeOf(msg))
	}
}

// gathered ends a rebuild's first half: every session has announced its
// filters. The share groups have yet to take theirs.
func (a *shardActor) gathered(c *kernel.Context, epoch uint64) {
	if epoch != a.epoch || a.next == nil || a.late != nil {
		return
	}
	a.late = make(map[*Group]struct{}, len(a.groupsBy))
	for _, g := range a.groupsBy {
		a.late[g] = struct{}{}
		g.ref.Control(report{epoch: epoch})
	}
	a.rebuilt(c)
}

// rebuilt publishes the new index once the last share group is ready.
func (a *shardActor) rebuilt(c *kernel.Context) {
	if len(a.late) > 0 {
		return
	}
	a.late = nil
	for len(a.later) > 0 {
		m := a.later[0]
		a.later = a.later[1:]
		a.exclusive(c, m)
	}
	a.index.Store(a.next)
	a.next = nil
	a.releaseHeld()
	c.Logger().Info("topic shard rebuilt", "shard", a.id)
}

// writing is the index that changes go to.
func (a *shardActor) writing() *index {
	if a.next != nil {
		return a.next
	}
	return a.index.Load()
}

// rebuild starts over with an empty index next to the one that publishers
// still read. Sessions announce their filters; see R3.
func (a *shardActor) rebuild(c *kernel.Context) {
	a.next = topic.NewIndex[*Subscription]()
	a.epoch = epochs.Add(1)
	a.groups.Store(0)
	a.members.Store(0)
	c.Logger().Warn("topic shard restarted", "shard", a.id)
	if a.router.cfg.Reannounce != nil {
		a.router.cfg.Reannounce(a.id, a.epoch)
		return
	}
	c.Self().Control(announced{a.epoch})
}

func (a *shardActor) subscribe(c *kernel.Context, m subscribe) {
	switch {
	case !m.sub.Exclusive:
		a.route(c, m)
	case a.next != nil:
		a.later = append(a.later, m)
	default:
		a.exclusive(c, m)
	}
}

// exclusive routes an exclusive filter, unless it is another subscriber's.
func (a *shardActor) exclusive(c *kernel.Context, m subscribe) {
	if owner := a.excl[m.sub.Filter]; owner != nil && owner.To != m.sub.To {
		*m.code = 0x97
		m.ticket.Done()
		return
	}
	m.sub.granted = true
	a.route(c, m)
}

func (a *shardActor) route(c *kernel.Context, m subscribe) {
	if m.sub.Group != "" {
		a.placeShared(c, m.sub, m.old, m.ticket)
		return
	}
	a.place(c, m.sub, m.old)
	a.finish(m.ticket)
}

// finish completes a ticket as soon as publishers see the change.
func (a *shardActor) finish(t *Ticket) {
	if a.next != nil && t != nil {
		a.held = append(a.held, t)
		return
	}
	t.Done()
}

// place puts sub into the index. A subscription placed twice, by itself and by
// an announcement, is found there once.
func (a *shardActor) place(c *kernel.Context, sub, old *Subscription) {
	if sub.Exclusive {
		a.excl[sub.Filter] = sub
	}
	if sub.Group != "" {
		a.placeShared(c, sub, old, nil)
		return
	}
	x := a.writing()
	if sub.home == x {
		return
	}
	sub.node.Detach() // of an index that was lost in a crash
	if sub.node.Value == nil {
		sub.node.Value = sub
	}
	if old != nil && old.home == x {
		old.home = nil
		x.Replace(&old.node, &sub.node)
	} else {
		x.Add(sub.Filter, &sub.node)
	}
	sub.home = x
}

func (a *shardActor) unsubscribe(m unsubscribe) {
	if a.excl[m.sub.Filter] == m.sub {
		delete(a.excl, m.sub.Filter)
	}
	for i, l := range a.later {
		if l.sub == m.sub {
			a.later = slices.Delete(a.later, i, i+1)
			l.ticket.Done()
			break
		}
	}
	if m.sub.Group != "" {
		a.takeShared(m.sub, m.ticket)
		return
	}
	x := a.writing()
	if m.sub.home == x {
		x.Remove(&m.sub.node)
		m.sub.home = nil
	}
	a.finish(m.ticket)
}

func (a *shardActor) takeShared(sub *Subscription, t *Ticket) {
	g := a.groupsBy[groupKey{sub.Group, sub.Filter}]
	if g == nil {
		a.finish(t)
		return
	}
	delete(g.all, sub)
	a.tell(g, leave{sub: sub, ticket: t}, t)
	if len(g.all) == 0 {
		a.dropGroup(g)
	}
}

// tell sends a change with its ticket to a share group. While a rebuild runs
// the ticket waits for that, too.
func (a *shardActor) tell(g *Group, msg any, t *Ticket) {
	if t != nil && a.next != nil {
		t.Add()
		a.held = append(a.held, t)
	}
	a.owe(t)
	g.ref.Control(msg)
}

func (a *shardActor) placeShared(c *kernel.Context, sub, old *Subscription, t *Ticket) {
	key := groupKey{sub.Group, sub.Filter}
	g := a.groupsBy[key]
	if g == nil {
		g = newGroup(a.router, a.shard, key)
		if err := g.start(c); err != nil {
			panic("spawn share group: " + err.Error())
		}
		a.groupsBy[key] = g
		a.groups.Add(1)
		g.entry.node.Value = g.entry
		a.writing().Add(sub.Filter, &g.entry.node)
	}
	g.all[sub] = struct{}{}
	delete(g.all, old)
	a.tell(g, join{sub: sub, old: old, ticket: t}, t)
}

// dropGroup removes a group whose last member has left.
func (a *shardActor) dropGroup(g *Group) {
	delete(a.groupsBy, g.key)
	a.writing().Remove(&g.entry.node)
	a.groups.Add(-1)
	g.ref.Finish()
}
