package retain

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"ermine/actors/fault"
	"ermine/actors/kernel"
	"ermine/actors/message"
	"ermine/actors/metrics"
	"ermine/actors/router"
	"ermine/actors/session"
	"ermine/actors/topic"
)

var faultReceive = fault.New("retain.receive")

// Config is what a Store is made with; the fields are the keys of `retainer`.
type Config struct {
	Logger       *slog.Logger
	Metrics      *metrics.Set
	Wheel        *kernel.Wheel
	Now          func() time.Time
	Enable       bool
	MaxMessages  int           // retainer.backend.max_retained_messages; 0 is unlimited
	MaxPayload   int64         // retainer.max_payload_size in bytes; 0 is unlimited
	Expiry       time.Duration // retainer.msg_expiry_interval; 0 is never
	Clear        time.Duration // retainer.msg_clear_interval; 0 is on access only
	StopClear    bool          // retainer.stop_publish_clear_msg: an empty message only clears
	PublishRate  float64       // retainer.max_publish_rate: messages a second to be stored; 0 is unlimited
	DeliveryRate int           // messages a second to one subscription; 0 is unlimited
}

// Store is the retained messages of this node.
type Store struct {
	cfg   Config
	ref   kernel.Ref
	count atomic.Int64

	mu   sync.RWMutex // the actor writes, listings read
	tree topic.NameTree[*message.Message]
	full sync.Once

	// Of the actor: what max_publish_rate still allows, as of refilled.
	allowance float64
	refilled  int64
	hand      kernel.Hand // the actor's
}

// New returns an empty store that has not started.
func New(cfg Config) *Store { return &Store{cfg: cfg} }

// Start spawns the actor.
func (s *Store) Start(sys *kernel.System) error {
	ref, err := sys.StartRoot(kernel.Spec{
		Name: "retain", Kind: "retain", New: func() kernel.Actor { return &actor{Store: s} },
	})
	if err != nil {
		return fmt.Errorf("spawn retain: %w", err)
	}
	s.ref = ref
	return nil
}

// put (cast, from publishers).
type put struct {
	msg    *message.Message
	ticket *router.Ticket
}

// fetch (cast, from sessions) and page (info): after is the name to go on from.
type fetch struct {
	to    *session.Session
	sub   *router.Subscription
	after topic.Name
	timer *kernel.Timer
}

type clean struct {
	filter topic.Filter
	reply  kernel.Reply[int]
}

type sweep struct{}

// Put stores m, a message with RETAIN, or deletes its topic's when the payload
// is empty [MQTT-3.3.1-5] [MQTT-3.3.1-6] [MQTT-3.3.1-7]. t gets a place that is
// done once that has happened. Any goroutine; it does not block.
func (s *Store) Put(m *message.Message, t *router.Ticket) {
	if !s.cfg.Enable {
		return
	}
	if t != nil {
		t.Add()
	}
	if !s.ref.Control(put{m, t}) {
		t.Done()
	}
}

// Fetch sends what sub matches to the session, in portions [MQTT-3.3.1-9]. Any
// goroutine; it does not block.
func (s *Store) Fetch(to *session.Session, sub *router.Subscription) {
	if s.count.Load() > 0 {
		s.ref.Control(fetch{to: to, sub: sub})
	}
}

// Count is the number of retained messages.
func (s *Store) Count() int { return int(s.count.Load()) }

// Topics returns up to limit names in order, beginning behind the first start.
func (s *Store) Topics(start, limit int) []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var names []string
	s.tree.Walk(start, limit, func(n topic.Name, _ *message.Message) bool {
		names = append(names, string(n))
		return true
	})
	return names
}

// Get returns the retained message of one name, or nil.
func (s *Store) Get(name string) *message.Message {
	s.mu.RLock()
	defer s.mu.RUnlock()
	m, _ := s.tree.Get(topic.Name(name))
	return m
}

// Clean deletes what a filter matches, `$`-topics by name only, and returns how
// many messages that were. An empty filter deletes everything.
func (s *Store) Clean(ctx context.Context, f topic.Filter) (int, error) {
	return kernel.Call(ctx, s.ref, func(r kernel.Reply[int]) any { return clean{f, r} })
}

type actor struct {
	*Store
	sweeper kernel.Timer
}

const tries = 3 // of a message that crashes the actor

func (a *actor) Receive(c *kernel.Context, msg any) {
	switch msg.(type) {
	case kernel.Started:
		a.rearm(c)
		if m, ok := a.hand.Again(tries); ok {
			a.handle(c, m)
		} else if m, ok := a.hand.Lost().(put); ok {
			a.cfg.Logger.Error("retained message lost: it crashes the store", "topic", m.msg.Topic)
			m.ticket.Done()
		}
	case kernel.Stopping:
		a.cfg.Wheel.Cancel(&a.sweeper)
		return
	default:
		a.hand.Take(msg)
		a.handle(c, msg)
	}
	a.hand.Done()
}

func (a *actor) handle(c *kernel.Context, msg any) {
	faultReceive.Hit()
	switch m := msg.(type) {
	case put:
		a.put(m.msg)
		m.ticket.Done()
	case fetch:
		a.portion(c, m)
	case clean:
		m.reply.Send(a.clean(m.filter))
	case sweep:
		a.sweep()
		a.rearm(c)
	default:
		c.Logger().Error("unexpected message", "type", fmt.Sprintf("%T", msg))
	}
}

func (a *actor) rearm(c *kernel.Context) {
	if a.cfg.Clear > 0 {
		a.cfg.Wheel.Set(&a.sweeper, a.cfg.Clear, c.Self(), sweep{})
	}
}

func (a *actor) put(m *message.Message) {
	name := topic.Name(strings.Clone(m.Topic))
	a.mu.Lock()
	defer a.mu.Unlock()
	defer func() { a.count.Store(int64(a.tree.Len())) }()
	if len(m.Payload) == 0 {
		a.tree.Delete(name)
		return
	}
	if !a.admit(m.Received) {
		a.cfg.Metrics.Inc(0, metrics.RetainedRateLimited)
		return
	}
	_, known := a.tree.Get(name)
	if a.cfg.MaxPayload > 0 && int64(len(m.Payload)) > a.cfg.MaxPayload ||
		!known && a.cfg.MaxMessages > 0 && a.tree.Len() >= a.cfg.MaxMessages {
		a.full.Do(func() {
			a.cfg.Logger.Warn("message not retained: retainer.max_payload_size or max_retained_messages reached",
				"topic", m.Topic, "retained", a.tree.Len())
		})
		return
	}
	kept := *m
	kept.Topic = string(name)
	if kept.Expires == 0 && a.cfg.Expiry > 0 {
		kept.Expires = kept.Received + a.cfg.Expiry.Milliseconds()
	}
	a.tree.Put(name, &kept)
	a.cfg.Metrics.Inc(0, metrics.MessagesRetained)
}

// admit takes one message from max_publish_rate; a second's worth may come in
// a burst.
func (a *actor) admit(now int64) bool {
	rate := a.cfg.PublishRate
	if rate <= 0 {
		return true
	}
	if a.refilled == 0 {
		a.allowance = rate
	} else if now > a.refilled {
		a.allowance = min(rate, a.allowance+rate*float64(now-a.refilled)/1000)
	}
	a.refilled = max(a.refilled, now)
	if a.allowance < 1 {
		return false
	}
	a.allowance--
	return true
}

const (
	portionSize   = 1000  // messages in one batch when there is no rate
	portionBudget = 20000 // names looked at for one batch
)

func (a *actor) portion(c *kernel.Context, m fetch) {
	if m.sub.Ended() {
		return
	}
	size := a.cfg.DeliveryRate
	if size <= 0 {
		size = portionSize
	}
	now := a.cfg.Now().UnixMilli()
	batch := session.RetainedBatch{Sub: m.sub}
	last, more := a.tree.MatchAfter(m.sub.Filter, m.after, portionBudget, func(_ topic.Name, msg *message.Message) bool {
		if !msg.Expired(now) {
			batch.Msgs = append(batch.Msgs, msg)
		}
		return len(batch.Msgs) < size
	})
	if len(batch.Msgs) > 0 {
		m.to.Retained(batch)
	}
	if !more || !m.to.Online() && m.after != "" {
		return
	}
	m.after = last
	if a.cfg.DeliveryRate > 0 && len(batch.Msgs) == size {
		if m.timer == nil {
			m.timer = new(kernel.Timer)
		}
		a.cfg.Wheel.Set(m.timer, time.Second, c.Self(), m)
		return
	}
	c.Self().Control(m)
}

func (a *actor) clean(f topic.Filter) int {
	var names []topic.Name
	a.mu.Lock()
	defer a.mu.Unlock()
	collect := func(n topic.Name, _ *message.Message) bool {
		names = append(names, n)
		return true
	}
	if f == "" {
		a.tree.Walk(0, a.tree.Len(), collect)
	} else {
		a.tree.Match(f, collect)
	}
	for _, n := range names {
		a.tree.Delete(n)
	}
	a.count.Store(int64(a.tree.Len()))
	return len(names)
}

func (a *actor) sweep() {
	now := a.cfg.Now().UnixMilli()
	var names []topic.Name
	a.tree.Walk(0, a.tree.Len(), func(n topic.Name, m *message.Message) bool {
		if m.Expired(now) {
			names = append(names, n)
		}
		return true
	})
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, n := range names {
		a.tree.Delete(n)
	}
	a.count.Store(int64(a.tree.Len()))
}
