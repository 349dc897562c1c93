package router

import (
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"sync/atomic"

	"ermine/actors/kernel"
	"ermine/actors/message"
)

// Strategy says how a share group picks the member for a message; the names
// are those of mqtt.shared_subscription_strategy.
type Strategy string

// The strategies of share groups.
const (
	Random             Strategy = "random"
	RoundRobin         Strategy = "round_robin"           // a counter for each publisher
	RoundRobinPerGroup Strategy = "round_robin_per_group" // one counter for the group
	Sticky             Strategy = "sticky"                // a publisher keeps its member
	Local              Strategy = "local"                 // members on the publisher's node first
	HashClientID       Strategy = "hash_clientid"         // by the publisher's ClientID
	HashTopic          Strategy = "hash_topic"            // by the Topic Name
)

// Valid reports whether s is one of the strategies.
func (s Strategy) Valid() bool {
	return slices.Contains([]Strategy{Random, RoundRobin, RoundRobinPerGroup, Sticky, Local, HashClientID, HashTopic}, s)
}

// Group is one share group: a share name with one filter. Its actor is the
// only writer of the member list, publishers read it without a lock.
type Group struct {
	router   *Router
	shard    *shard
	key      groupKey
	entry    *Subscription // what stands for the group in the index
	ref      kernel.Ref
	strategy Strategy
	members  atomic.Pointer[[]*Subscription]
	counter  atomic.Uint32

	hand kernel.Hand // the actor's

	all map[*Subscription]struct{} // the shard's own list, for a group that restarts
}

// join (cast, from the shard) adds a member, in the place of old.
type join struct {
	sub, old *Subscription
	ticket   *Ticket
}

// leave (cast, from the shard) removes a member.
type leave struct {
	sub    *Subscription
	ticket *Ticket
}

// regroup (cast, from a group that has restarted) asks the shard for members.
type regroup struct{ g *Group }

// members (cast, from the shard) answers regroup.
type members struct{ all []*Subscription }

func newGroup(r *Router, s *shard, key groupKey) *Group {
	g := &Group{
		router: r, shard: s, key: key, strategy: r.cfg.Strategy(key.group),
		all: map[*Subscription]struct{}{},
	}
	g.entry = &Subscription{Filter: key.filter, Group: key.group, group: g}
	g.counter.Store(uint32(random(1 << 16))) //nolint:gosec // a starting point
	return g
}

func (g *Group) start(c *kernel.Context) (err error) {
	g.ref, err = c.Spawn(kernel.Spec{
		Name: g.name(), Kind: "share_group", New: func() kernel.Actor { return &groupActor{Group: g} },
	})
	return err
}

func (g *Group) name() string {
	if g.key.group == "$queue" {
		return "$queue/" + string(g.key.filter)
	}
	return "$share/" + g.key.group + "/" + string(g.key.filter)
}

func (g *Group) list() []*Subscription {
	if p := g.members.Load(); p != nil {
		return *p
	}
	return nil
}

type groupActor struct{ *Group }

func (a *groupActor) Receive(c *kernel.Context, msg any) {
	switch m := msg.(type) {
	case kernel.Started:
		if m.Restarts > 0 {
			a.shard.send(regroup{a.Group})
			if again, ok := a.hand.Again(tries); ok {
				a.handle(c, again)
			} else {
				a.abandon(a.hand.Lost())
			}
		}
	case kernel.Stopping:
		return
	default:
		a.hand.Take(msg)
		a.handle(c, msg)
	}
	a.hand.Done()
}

// abandon completes the ticket of a message that was given up.
func (a *groupActor) abandon(msg any) {
	switch m := msg.(type) {
	case join:
		a.shard.settle(m.ticket)
	case leave:
		a.shard.settle(m.ticket)
	}
}

func (a *groupActor) handle(c *kernel.Context, msg any) {
	faultGroup.Hit()
	switch m := msg.(type) {
	case join:
		a.join(m.sub, m.old)
		a.shard.settle(m.ticket)
	case leave:
		a.leave(m.sub)
		a.shard.settle(m.ticket)
	case report:
		a.shard.send(reported{epoch: m.epoch, g: a.Group})
	case members:
		a.shard.members.Add(int64(len(m.all) - len(a.list())))
		a.members.Store(&m.all)
	default:
		c.Logger().Error("unexpected message", "type", typeOf(msg))
	}
}

func (a *groupActor) join(sub, old *Subscription) {
	list := slices.Clone(a.list())
	switch i := slices.Index(list, old); {
	case slices.Contains(list, sub):
		return
	case old != nil && i >= 0:
		list[i] = sub
	default:
		list = append(list, sub)
		a.shard.members.Add(1)
	}
	a.members.Store(&list)
}

func (a *groupActor) leave(sub *Subscription) {
	list := slices.Clone(a.list())
	if i := slices.Index(list, sub); i >= 0 {
		list = slices.Delete(list, i, i+1)
		a.shard.members.Add(-1)
		a.members.Store(&list)
	}
}

// dispatch hands m to one member other than not, online ones first, and
// reports 1 when one took it. When the picked member has just ended, the
// others are tried.
func (g *Group) dispatch(p *Publisher, m *message.Message, t *Ticket, not Subscriber) int {
	list := g.list()
	var tried []*Subscription
	for {
		s := g.pick(p, m, list, not, tried)
		if s == nil {
			return 0
		}
		if p.deliver(m, s, t) == 1 {
			if g.strategy == Sticky {
				t := p.turn(g)
				t.stuck = s
				p.turns[g] = t
			}
			return 1
		}
		tried = append(tried, s)
	}
}

// turn is what a publisher remembers of a share group.
type turn struct {
	stuck *Subscription // the member that sticky has picked
	round uint32        // of round_robin
	known bool
}

const turnsKept = 64 // before groups that have ended are looked for

// turn returns what p remembers of g, and makes room for it where it is new.
func (p *Publisher) turn(g *Group) turn {
	t, ok := p.turns[g]
	if !ok && len(p.turns) >= max(p.turnsMax, turnsKept) {
		maps.DeleteFunc(p.turns, func(g *Group, _ turn) bool { return !g.ref.Alive() })
		p.turnsMax = 2 * len(p.turns)
	}
	if p.turns == nil {
		p.turns = map[*Group]turn{}
	}
	return t
}

// pick chooses among the online members, or among all where none is online.
func (g *Group) pick(p *Publisher, m *message.Message, list []*Subscription, not Subscriber, tried []*Subscription) *Subscription {
	usable := func(s *Subscription) bool {
		return s.To != not && (len(tried) == 0 || !slices.Contains(tried, s))
	}
	online, all := 0, 0
	for _, s := range list {
		if usable(s) {
			all++
			if s.To.Online() {
				online++
			}
		}
	}
	n, onlineOnly := online, online > 0
	if !onlineOnly {
		n = all
	}
	if n == 0 {
		return nil
	}
	strategy := g.strategy
	if strategy == Sticky {
		if s := p.turns[g].stuck; s != nil && slices.Contains(list, s) && usable(s) && (s.To.Online() || !onlineOnly) {
			return s
		}
		strategy = g.router.cfg.InitialSticky
	}
	k := g.position(strategy, p, m, n)
	for _, s := range list {
		// A member may come or go online between the two passes: then the last
		// usable one is as good a choice.
		if usable(s) && (!onlineOnly || s.To.Online()) {
			if k == 0 {
				return s
			}
			k--
		}
	}
	for _, s := range slices.Backward(list) {
		if usable(s) {
			return s
		}
	}
	return nil
}

var memberSeed = maphash.MakeSeed()

// position is the strategy's choice among n candidates.
func (g *Group) position(strategy Strategy, p *Publisher, m *message.Message, n int) int {
	switch strategy {
	case RoundRobin:
		t := p.turn(g)
		if !t.known {
			t.known = true
			t.round = uint32(random(n)) //nolint:gosec // a starting point
		}
		i := t.round
		t.round++
		p.turns[g] = t
		return int(i % uint32(n)) //nolint:gosec // n is a member count
	case RoundRobinPerGroup:
		return int(g.counter.Add(1) % uint32(n)) //nolint:gosec // n is a member count
	case HashClientID:
		return int(maphash.String(memberSeed, m.Publisher) % uint64(n)) //nolint:gosec // n is a member count
	case HashTopic:
		return int(maphash.String(memberSeed, m.Topic) % uint64(n)) //nolint:gosec // n is a member count
	case Random, Local, Sticky:
	}
	return random(n)
}

func typeOf(v any) string { return fmt.Sprintf("%T", v) }
