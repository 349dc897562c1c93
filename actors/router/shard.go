package router

import (
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

	hand  kernel.Hand // the actor's
	lives int         // the actor's: instances so far, those of an earlier router too
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

// announced (cast, from the broker) ends a rebuild.
type announced struct{ epoch uint64 }

type groupKey struct {
	group  string
	filter topic.Filter
}

// shardActor is the writer of one shard's index.
type shardActor struct {
	*shard
	groupsBy map[groupKey]*Group
	excl     map[topic.Filter]*Subscription

	// While a rebuild runs, next is the index to be published, epoch names the
	// rebuild and held are the tickets of subscribers that wait for it.
	next  *index
	epoch uint64
	held  []*Ticket
}

var epochs atomic.Uint64

const tries = 3 // of a message that crashes a shard or a share group

func (a *shardActor) Receive(c *kernel.Context, msg any) {
	switch msg.(type) {
	case kernel.Started:
		a.groupsBy = map[groupKey]*Group{}
		a.excl = map[topic.Filter]*Subscription{}
		if a.lives++; a.lives > 1 {
			a.rebuild(c)
			if again, ok := a.hand.Again(tries); ok {
				a.handle(c, again)
			} else {
				abandon(a.hand.Lost())
			}
		}
	case kernel.Stopping:
		for _, t := range a.held {
			t.Done()
		}
		a.held = nil
		return
	case kernel.ChildGone:
		return
	default:
		a.hand.Take(msg)
		a.handle(c, msg)
	}
	a.hand.Done()
}

// abandon completes the ticket of a message that was given up.
func abandon(msg any) {
	switch m := msg.(type) {
	case subscribe:
		*m.code = 0x83
		m.ticket.Done()
	case unsubscribe:
		m.ticket.Done()
	case join:
		m.ticket.Done()
	case leave:
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
		if m.epoch == a.epoch && a.next != nil {
			for _, s := range m.subs {
				a.place(c, s, nil)
			}
		}
	case announced:
		a.rebuilt(c, m.epoch)
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

// rebuilt publishes the new index.
func (a *shardActor) rebuilt(c *kernel.Context, epoch uint64) {
	if epoch != a.epoch || a.next == nil {
		return
	}
	a.index.Store(a.next)
	a.next = nil
	for _, t := range a.held {
		t.Done()
	}
	a.held = nil
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
	if m.sub.Exclusive {
		if owner := a.excl[m.sub.Filter]; owner != nil && owner.To != m.sub.To {
			*m.code = 0x97
			m.ticket.Done()
			return
		}
		a.excl[m.sub.Filter] = m.sub
	}
	if m.sub.Group != "" {
		a.placeShared(c, m.sub, m.old, m.ticket)
		return
	}
	a.place(c, m.sub, m.old)
	if a.next != nil {
		a.held = append(a.held, m.ticket)
		return
	}
	m.ticket.Done()
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
	if sub.home != nil {
		sub.node.Detach() // of an index that was lost in a crash
	} else {
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
	if m.sub.Group != "" {
		if g := a.groupsBy[groupKey{m.sub.Group, m.sub.Filter}]; g != nil {
			delete(g.all, m.sub)
			g.ref.Control(leave{sub: m.sub, ticket: m.ticket})
			if len(g.all) == 0 {
				a.dropGroup(g)
			}
			return
		}
		m.ticket.Done()
		return
	}
	x := a.writing()
	if m.sub.home == x {
		x.Remove(&m.sub.node)
		m.sub.home = nil
	}
	if a.next != nil {
		// The old index still has it until the rebuild is done.
		if m.ticket != nil {
			a.held = append(a.held, m.ticket)
		}
		return
	}
	m.ticket.Done()
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
	g.ref.Control(join{sub: sub, old: old, ticket: t})
}

// dropGroup removes a group whose last member has left.
func (a *shardActor) dropGroup(g *Group) {
	delete(a.groupsBy, g.key)
	a.writing().Remove(&g.entry.node)
	a.groups.Add(-1)
	g.ref.Finish()
}
