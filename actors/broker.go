package actors

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"sync"
	"time"

	"ermine/actors/delayed"
	"ermine/actors/directory"
	"ermine/actors/kernel"
	"ermine/actors/message"
	"ermine/actors/metrics"
	"ermine/actors/retain"
	"ermine/actors/router"
	"ermine/actors/session"
	"ermine/actors/sys"
	"ermine/actors/topic"
)

// Config is what a Broker is made with. The zero value of a field is its
// default where the field says so.
type Config struct {
	Logger  *slog.Logger
	Metrics *metrics.Set     // one is made when nil
	Now     func() time.Time // time.Now when nil
	Wheel   *kernel.Wheel    // of all timers, closed by Stop; one is made when nil
	Node    string           // the node's name, for $SYS
	Version string

	Shards int // topic shards; 0 is router.DefaultShards
	// Strategy names the strategy of a share group; nil is round_robin.
	Strategy      func(group string) router.Strategy
	InitialSticky router.Strategy

	Retain  retain.Config  // Logger, Metrics, Wheel and Now are filled in
	Delayed delayed.Config // likewise, and Publish
	Sys     sys.Config     // likewise

	Events session.Events
	// Intensity and Period bound the restarts below each supervisor; 0 is the
	// kernel's default of 10 in 10 s. RootIntensity and RootPeriod are those of
	// the roots themselves; 0 is 10 in a minute.
	Intensity     int
	Period        time.Duration
	RootIntensity int
	RootPeriod    time.Duration
}

// Broker is one node's broker. Create it with New, then Start; it cannot be
// started again.
type Broker struct {
	cfg       Config
	system    *kernel.System
	wheel     *kernel.Wheel
	metrics   *metrics.Set
	router    *router.Router
	retain    *retain.Store
	delayed   *delayed.Queue
	sessions  *session.Manager
	directory *directory.Directory
	sys       *sys.Publisher
	started   time.Time

	othersMu sync.Mutex
	others   map[*router.Subscription]struct{} // of subscribers that are no sessions
}

// New returns a broker that has not started.
func New(cfg Config) *Broker {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Metrics == nil {
		cfg.Metrics = metrics.NewSet()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	b := &Broker{cfg: cfg, metrics: cfg.Metrics, others: map[*router.Subscription]struct{}{}}
	b.system = kernel.NewSystem(kernel.Config{
		Logger: cfg.Logger, Intensity: cfg.Intensity, Period: cfg.Period,
		RootIntensity: cmp.Or(cfg.RootIntensity, 10), RootPeriod: cmp.Or(cfg.RootPeriod, time.Minute),
	})
	b.wheel = cfg.Wheel
	if b.wheel == nil {
		b.wheel = kernel.NewWheel(kernel.WheelConfig{})
	}
	b.router = router.New(router.Config{
		Logger: cfg.Logger, Metrics: cfg.Metrics, Shards: cfg.Shards,
		Strategy: cfg.Strategy, InitialSticky: cfg.InitialSticky, Reannounce: b.reannounce,
	})
	rc := cfg.Retain
	rc.Logger, rc.Metrics, rc.Wheel, rc.Now = cfg.Logger, cfg.Metrics, b.wheel, cfg.Now
	b.retain = retain.New(rc)
	dc := cfg.Delayed
	dc.Metrics, dc.Wheel, dc.Now = cfg.Metrics, b.wheel, cfg.Now
	dc.Publish = func(m *message.Message) { b.route(b.router.NewPublisher(), m, nil) }
	b.delayed = delayed.New(dc)
	host := &session.Host{
		Logger: cfg.Logger, Metrics: cfg.Metrics, Router: b.router, Wheel: b.wheel, Now: cfg.Now,
		Publish: b.publish, Retained: b.retain.Fetch, Events: b.events(),
		Release: func(s *session.Session, epoch uint64) { b.directory.Release(s, epoch) },
	}
	b.sessions = session.NewManager(host, func(s *session.Session) { b.directory.Forget(s) })
	b.directory = directory.New(b.sessions)
	sc := cfg.Sys
	sc.Node, sc.Version, sc.Metrics, sc.Wheel, sc.Now = cfg.Node, cfg.Version, cfg.Metrics, b.wheel, cfg.Now
	sc.Publish = func(m *message.Message) {
		b.publish(b.router.NewPublisher(), m, nil)
	}
	b.sys = sys.New(sc)
	b.gauges()
	return b
}

func (b *Broker) gauges() {
	count := func(pick func(sessions, connected int) int) func() int64 {
		return func() int64 { return int64(pick(b.sessions.Counts())) }
	}
	b.metrics.Gauge("connections", count(func(_, c int) int { return c }))
	b.metrics.Gauge("live_connections", count(func(_, c int) int { return c }))
	b.metrics.Gauge("sessions", count(func(s, _ int) int { return s }))
	b.metrics.Gauge("topics", func() int64 { f, _, _ := b.router.Counts(); return int64(f) })
	b.metrics.Gauge("subscriptions", func() int64 { _, s, _ := b.router.Counts(); return int64(s) })
	b.metrics.Gauge("subscribers", func() int64 { _, s, _ := b.router.Counts(); return int64(s) })
	b.metrics.Gauge("suboptions", func() int64 { _, s, _ := b.router.Counts(); return int64(s) })
	b.metrics.Gauge("subscriptions.shared", func() int64 { _, _, n := b.router.Counts(); return int64(n) })
	b.metrics.Gauge("retained", func() int64 { return int64(b.retain.Count()) })
	b.metrics.Gauge("delayed", func() int64 { return int64(b.delayed.Count()) })
}

// events puts $SYS in front of the configured listener.
func (b *Broker) events() session.Events {
	own, sys := b.cfg.Events, func() *sys.Publisher { return b.sys }
	return session.Events{
		Connected: func(c *session.Client, present bool) {
			sys().Connected(c)
			if own.Connected != nil {
				own.Connected(c, present)
			}
		},
		Disconnected: func(c *session.Client, cause session.CloseCause) {
			sys().Disconnected(c, cause.Reason)
			if own.Disconnected != nil {
				own.Disconnected(c, cause)
			}
		},
		Subscribed: func(c *session.Client, s *router.Subscription) {
			sys().Subscribed(c, s)
			if own.Subscribed != nil {
				own.Subscribed(c, s)
			}
		},
		Unsubscribed: func(c *session.Client, s *router.Subscription) {
			sys().Unsubscribed(c, s)
			if own.Unsubscribed != nil {
				own.Unsubscribed(c, s)
			}
		},
	}
}

// Start spawns the actors, in boot order. After an error the broker is of no
// use.
func (b *Broker) Start() error {
	b.started = b.cfg.Now()
	for _, start := range []func(*kernel.System) error{
		b.router.Start, b.retain.Start, b.delayed.Start, b.sessions.Start, b.directory.Start, b.sys.Start,
	} {
		if err := start(b.system); err != nil {
			return err
		}
	}
	return nil
}

// Stop ends all actors, in reverse boot order. Connections must have been
// closed before: sessions are not told.
func (b *Broker) Stop(ctx context.Context) error {
	err := b.system.Shutdown(ctx)
	b.wheel.Close()
	return err
}

// Done is closed when the broker has ended, by Stop or because a root actor
// failed beyond its intensity: Err tells which.
func (b *Broker) Done() <-chan struct{} { return b.system.Done() }

// Err is nil while the broker runs, kernel.ErrShutdown after Stop, else a
// *kernel.FatalError.
func (b *Broker) Err() error { return b.system.Err() }

// Open creates, resumes or takes over a session for a connection; it blocks
// until that is done or ctx ends. See session.OpenRequest.
func (b *Broker) Open(ctx context.Context, req session.OpenRequest) (session.Opened, error) {
	return b.directory.Open(ctx, req)
}

// publish is session.Host.Publish.
func (b *Broker) publish(p *router.Publisher, m *message.Message, t *router.Ticket) int {
	if !m.System() {
		b.metrics.Inc(p.Stripe(), metrics.MessagesPublish)
	}
	if m.Topic[0] == '$' && b.delayed.Enabled() {
		if d, ok, err := topic.ParseDelayed(m.Topic); ok && err == nil {
			return b.delay(m, d, t)
		}
	}
	return b.route(p, m, t)
}

func (b *Broker) delay(m *message.Message, d topic.Delayed, t *router.Ticket) int {
	due, err := d.Due(b.cfg.Now())
	if err != nil || b.delayed.Full() {
		b.metrics.Inc(0, metrics.MessagesDropped)
		return 0
	}
	later := *m
	later.Topic = string(d.Name)
	b.delayed.Put(&later, due, t)
	return 1
}

func (b *Broker) route(p *router.Publisher, m *message.Message, t *router.Ticket) int {
	if m.Retain {
		b.retain.Put(m, t)
		if len(m.Payload) == 0 && b.cfg.Retain.StopClear {
			return 1
		}
	}
	return b.router.Publish(p, m, t)
}

// done is a ticket whose completion closes a channel.
type done struct {
	router.Ticket
	ch chan struct{}
}

// Complete implements router.Completer.
func (d *done) Complete() { close(d.ch) }

// Publish routes a message that does not come from a connection: an
// operator's, an Erlang process's. It returns how many subscribers took it,
// after all of them have; or with ctx's error, when the message may have
// reached some. m.Received is set when it is 0. ErrBadTopic for a topic that
// cannot be published to.
func (b *Broker) Publish(ctx context.Context, m *message.Message) (int, error) {
	if err := topic.ValidateName(m.Topic); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrBadTopic, err)
	}
	if m.Received == 0 {
		m.Received = b.cfg.Now().UnixMilli()
	}
	d := &done{ch: make(chan struct{})}
	d.Owner = d
	d.Start()
	n := b.publish(b.router.NewPublisher(), m, &d.Ticket)
	if d.Release() {
		return n, nil
	}
	select {
	case <-d.ch:
		return n, nil
	case <-ctx.Done():
		return n, fmt.Errorf("publish to %q: %w", m.Topic, ctx.Err())
	}
}

// Subscribe routes a subscription of a subscriber that is no MQTT client, such
// as an Erlang process; it returns once publishes find it. Retained messages
// are not sent. After an error it is not routed.
func (b *Broker) Subscribe(ctx context.Context, sub *router.Subscription) error {
	d := &done{ch: make(chan struct{})}
	d.Owner = d
	d.Start()
	var code byte
	b.othersMu.Lock()
	b.others[sub] = struct{}{}
	b.router.Subscribe(sub, nil, &code, &d.Ticket)
	b.othersMu.Unlock()
	if !d.Release() {
		select {
		case <-d.ch:
		case <-ctx.Done():
			b.Unsubscribe(sub)
			return fmt.Errorf("subscribe %q: %w", sub.Raw, ctx.Err())
		}
	}
	if code >= 0x80 {
		b.Unsubscribe(sub)
		return fmt.Errorf("subscribe %q: %w: reason code 0x%02X", sub.Raw, ErrRefused, code)
	}
	return nil
}

// Unsubscribe takes out what Subscribe has routed. It does not wait.
func (b *Broker) Unsubscribe(sub *router.Subscription) {
	b.othersMu.Lock()
	defer b.othersMu.Unlock()
	delete(b.others, sub)
	b.router.Unsubscribe(sub, nil)
}

var (
	// ErrBadTopic is returned by Publish for an invalid Topic Name.
	ErrBadTopic = errors.New("bad topic")
	// ErrRefused is returned by Subscribe when the topic shard refuses.
	ErrRefused = errors.New("subscription refused")
	// ErrNotFound is returned when there is no session of a client ID.
	ErrNotFound = errors.New("no such client")
)

// reannounceWait bounds a shard's rebuild.
const reannounceWait = 30 * time.Second

func (b *Broker) reannounce(shard int, epoch uint64) {
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), reannounceWait)
		defer cancel()
		b.othersMu.Lock() // so that no Unsubscribe gets in front of the announcement
		b.router.Announce(shard, epoch, maps.Keys(b.others))
		b.othersMu.Unlock()
		b.sessions.Reannounce(ctx, shard, epoch, func() { b.router.Announced(shard, epoch) })
	}()
}

// Sessions yields every session of this node, in no order.
func (b *Broker) Sessions() iter.Seq[*session.Session] { return b.sessions.All() }

// Session returns the session of a client ID; ErrNotFound when there is none.
func (b *Broker) Session(id string) (*session.Session, error) {
	if s := b.sessions.Find(id); s != nil {
		return s, nil
	}
	return nil, fmt.Errorf("%w: %q", ErrNotFound, id)
}

// Kick ends a client's session with DISCONNECT 0x98; ErrNotFound when there is
// none.
func (b *Broker) Kick(ctx context.Context, id string) error {
	s, err := b.Session(id)
	if err != nil {
		return err
	}
	_, err = s.Kick(ctx, session.KickCode, "kicked")
	return err
}

// Routes calls fn for every filter that has subscribers until fn returns false.
func (b *Broker) Routes(fn func(router.Route) bool) { b.router.Routes(fn) }

// Subscribers calls fn for every subscription of one filter, members of share
// groups included.
func (b *Broker) Subscribers(f topic.Filter, fn func(*router.Subscription)) {
	b.router.Subscribers(f, fn)
}

// Retained is the store of retained messages.
func (b *Broker) Retained() *retain.Store { return b.retain }

// Delayed is the queue of delayed messages.
func (b *Broker) Delayed() *delayed.Queue { return b.delayed }

// Metrics is the node's counters and gauges.
func (b *Broker) Metrics() *metrics.Set { return b.metrics }

// Started is when Start was called.
func (b *Broker) Started() time.Time { return b.started }

// Tree is the live tree of actors; of many children of one kind at most limit
// are listed one by one.
func (b *Broker) Tree(limit int) []kernel.TreeNode { return b.system.Tree(limit) }

// Actors is the number of actors, restarts and failures by kind.
func (b *Broker) Actors() kernel.Stats { return b.system.Stats() }
