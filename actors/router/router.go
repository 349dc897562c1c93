package router

import (
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"

	"ermine/actors/fault"
	"ermine/actors/kernel"
	"ermine/actors/message"
	"ermine/actors/metrics"
	"ermine/actors/topic"
)

// Config is what a Router is made with.
type Config struct {
	Logger  *slog.Logger
	Metrics *metrics.Set
	// Shards is the number of topic shards; 0 is DefaultShards.
	Shards int
	// Strategy names the strategy of a share group; nil is round_robin for all.
	Strategy func(group string) Strategy
	// InitialSticky is how a sticky publisher picks its first member.
	InitialSticky Strategy
	// Reannounce asks every live session to call Announce for shard with its
	// filters and then calls Announced; it must not block. It is used when a
	// shard has lost its index.
	Reannounce func(shard int, epoch uint64)
}

// DefaultShards is the number of topic shards when Config does not say.
const DefaultShards = 8

// Fault points of this package.
var (
	faultShard = fault.New("shard.receive")
	faultGroup = fault.New("sharegroup.receive")
	faultRoute = fault.New("router.receive")
)

type index = topic.Index[*Subscription]

// Router owns the topic shards. Create it with New, then Start.
type Router struct {
	cfg    Config
	shards []*shard
	root   kernel.Ref
	seed   atomic.Uint32
}

// New returns a router that has not started.
func New(cfg Config) *Router {
	if cfg.Shards <= 0 {
		cfg.Shards = DefaultShards
	}
	if cfg.Strategy == nil {
		cfg.Strategy = func(string) Strategy { return RoundRobin }
	}
	r := &Router{cfg: cfg, shards: make([]*shard, cfg.Shards)}
	for i := range r.shards {
		r.shards[i] = newShard(r, i)
	}
	return r
}

// Start spawns the root actor and its shards.
func (r *Router) Start(sys *kernel.System) error {
	ref, err := sys.StartRoot(kernel.Spec{
		Name: "router", Kind: "router", New: func() kernel.Actor { return &root{r: r} },
	})
	if err != nil {
		return fmt.Errorf("spawn router: %w", err)
	}
	r.root = ref
	return nil
}

// Ref is the router's root actor.
func (r *Router) Ref() kernel.Ref { return r.root }

// root supervises the shards; it has no state but theirs.
type root struct{ r *Router }

func (a *root) Receive(c *kernel.Context, msg any) {
	if started, ok := msg.(kernel.Started); ok {
		for i, s := range a.r.shards {
			ref, err := c.Spawn(kernel.Spec{
				Name: fmt.Sprintf("shard-%d", i), Kind: "shard",
				New: func() kernel.Actor { return &shardActor{shard: s} },
			})
			if err != nil {
				panic(fmt.Sprintf("spawn shard %d: %v", i, err))
			}
			s.setRef(ref)
		}
		if started.Restarts > 0 {
			c.Logger().Warn("router restarted", "restarts", started.Restarts)
		}
		return
	}
	faultRoute.Hit()
}

// Publisher is one publisher's side of routing: its scratch memory and its
// place in the share groups. It belongs to one goroutine at a time.
type Publisher struct {
	matched  []*topic.Sub[*Subscription]
	turns    map[*Group]turn
	turnsMax int // entries at which turns is looked through
	busy     Subscriber
	stripe   uint32
}

// NewPublisher returns the routing state of a new publisher.
func (r *Router) NewPublisher() *Publisher { return &Publisher{stripe: r.seed.Add(1)} }

// Stripe is a counter stripe for the publisher (see metrics.Set).
func (p *Publisher) Stripe() uint32 { return p.stripe }

// Busy reports whether Throttle would wait.
func (p *Publisher) Busy() bool { return p.busy != nil }

// Throttle waits, after Publish, for a subscriber whose inbox is over its high
// watermark. Connections call it, so that their sockets are read more slowly;
// actors do not.
func (p *Publisher) Throttle(m *metrics.Set) {
	if p.busy == nil {
		return
	}
	m.Inc(p.stripe, metrics.OverloadThrottled)
	p.busy.WaitIdle()
	p.busy = nil
}

const keepMatched = 256 // a larger scratch slice is not kept

// Publish hands m to every subscriber of its topic and returns how many took
// it. t, nil for QoS 0, gets one more place for each of them; the caller keeps
// its own. It never blocks.
func (r *Router) Publish(p *Publisher, m *message.Message, t *Ticket) int {
	name := topic.Name(m.Topic)
	exact, first, top := topic.ShardsFor(name, len(r.shards))
	subs := r.shards[exact].index.Load().MatchExact(p.matched[:0], name)
	subs = r.shards[first].index.Load().MatchWildcard(subs, name)
	if top != first {
		subs = r.shards[top].index.Load().MatchWildcard(subs, name)
	}
	n := 0
	for _, s := range subs {
		n += r.hand(p, m, s.Value, t)
	}
	if n == 0 && !m.System() {
		r.cfg.Metrics.Inc(p.stripe, metrics.MessagesDropped)
		r.cfg.Metrics.Inc(p.stripe, metrics.MessagesDroppedNoSubscribers)
	}
	clear(subs)
	if cap(subs) > keepMatched {
		subs = nil
	}
	p.matched = subs[:0]
	return n
}

func (r *Router) hand(p *Publisher, m *message.Message, s *Subscription, t *Ticket) int {
	if s.group != nil {
		return s.group.dispatch(p, m, t, nil)
	}
	if s.NoLocal && m.Publisher == s.To.ClientID() { // [MQTT-3.8.3-3]
		r.cfg.Metrics.Inc(p.stripe, metrics.DeliveryDropped)
		r.cfg.Metrics.Inc(p.stripe, metrics.DeliveryDroppedNoLocal)
		return 1 // there is a subscriber: no 0x10
	}
	return p.deliver(m, s, t)
}

// deliver gives m to one subscription and reports 1 when it was taken.
func (p *Publisher) deliver(m *message.Message, s *Subscription, t *Ticket) int {
	if t != nil {
		t.Add()
	}
	switch s.To.Deliver(m, s, t) {
	case Gone:
		t.Done()
		return 0
	case Busy:
		p.busy = s.To
	case Taken:
	}
	return 1
}

// Redispatch gives a share group's message to a member other than the one it
// was given to first, and reports whether one took it. Actors call it when a
// member ends.
func (r *Router) Redispatch(m *message.Message, was *Subscription, t *Ticket) bool {
	s := r.shardOf(was.Filter)
	var g *Group
	s.index.Load().Each(was.Filter, func(e *topic.Sub[*Subscription]) bool {
		if e.Value.group != nil && e.Value.Group == was.Group {
			g = e.Value.group
		}
		return g == nil
	})
	if g == nil {
		return false
	}
	return g.dispatch(r.NewPublisher(), m, t, was.To) > 0
}

func (r *Router) shardOf(f topic.Filter) *shard { return r.shards[topic.ShardOf(f, len(r.shards))] }

// Shard is the number of the shard that owns f.
func (r *Router) Shard(f topic.Filter) int { return topic.ShardOf(f, len(r.shards)) }

// Subscribe routes sub, in the place of old where that is not nil. code is set
// to 0x97 when an exclusive filter is taken by another client, and t.Done is
// called when publishes find sub, or after the refusal. Any goroutine.
func (r *Router) Subscribe(sub, old *Subscription, code *byte, t *Ticket) {
	if t != nil {
		t.Add()
	}
	if old != nil && (old.Filter != sub.Filter || old.Group != sub.Group) {
		r.Unsubscribe(old, nil) // the mountpoint has changed
		old = nil
	}
	if !r.shardOf(sub.Filter).send(subscribe{sub: sub, old: old, code: code, ticket: t}) {
		*code = 0x83
		t.Done()
	}
}

// Unsubscribe takes sub out; t, which may be nil, is done when no publish
// finds it any more.
func (r *Router) Unsubscribe(sub *Subscription, t *Ticket) {
	if t != nil {
		t.Add()
	}
	if !r.shardOf(sub.Filter).send(unsubscribe{sub: sub, ticket: t}) {
		t.Done()
	}
}

// Announce tells a shard that is rebuilding of a subscriber's filters: those of
// subs that it owns.
func (r *Router) Announce(shard int, epoch uint64, subs iter.Seq[*Subscription]) {
	var own []*Subscription
	for s := range subs {
		if r.Shard(s.Filter) == shard {
			own = append(own, s)
		}
	}
	if len(own) > 0 {
		r.shards[shard].send(announce{epoch: epoch, subs: own})
	}
}

// Announced tells a shard that every session has been asked and has answered.
func (r *Router) Announced(shard int, epoch uint64) {
	r.shards[shard].send(announced{epoch: epoch})
}

// Route is one routed filter as operators see it.
type Route struct {
	Topic string // `$share/<group>/<filter>` for a share group
	Subs  int
}

// Routes calls fn for every filter that has subscribers, in no order, until fn
// returns false. Any goroutine; subscribers may come and go meanwhile.
func (r *Router) Routes(fn func(Route) bool) {
	for _, s := range r.shards {
		x, more := s.index.Load(), true
		x.Walk(func(f topic.Filter, _ int) bool {
			plain := 0
			x.Each(f, func(e *topic.Sub[*Subscription]) bool {
				if g := e.Value.group; g != nil {
					more = fn(Route{Topic: g.name(), Subs: len(g.list())})
				} else {
					plain++
				}
				return more
			})
			if plain > 0 && more {
				more = fn(Route{Topic: string(f), Subs: plain})
			}
			return more
		})
		if !more {
			return
		}
	}
}

// Subscribers calls fn for every subscription of one filter, members of share
// groups included.
func (r *Router) Subscribers(f topic.Filter, fn func(*Subscription)) {
	r.shardOf(f).index.Load().Each(f, func(e *topic.Sub[*Subscription]) bool {
		if g := e.Value.group; g != nil {
			for _, m := range g.list() {
				fn(m)
			}
		} else {
			fn(e.Value)
		}
		return true
	})
}

// Counts returns the numbers of routed filters, of subscriptions and of those
// in share groups.
func (r *Router) Counts() (filters, subs, shared int) {
	for _, s := range r.shards {
		f, n := s.index.Load().Len()
		g := int(s.groups.Load())
		m := int(s.members.Load())
		filters, subs, shared = filters+f, subs+n-g+m, shared+m
	}
	return filters, subs, shared
}

func random(n int) int { return rand.IntN(n) } //nolint:gosec // load spreading, not secrecy
