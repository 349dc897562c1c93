package erl

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"ergo.services/ergo/gen"

	"ermine/actors"
	"ermine/actors/router"
	"ermine/actors/topic"
	"ermine/node/dist"
	"ermine/node/dist/etf"
)

// hub is the subscribers of this node. It is what outlives the process ermine.
type hub struct {
	s *Services

	mu     sync.Mutex
	closed bool
	next   int64
	byPID  map[gen.PID]*subscriber
	byNum  map[int64]*subscriber
	lanes  map[gen.PID]*lane
	refs   map[gen.PID]etf.Ref // monitors

	lost uint64 // casts beyond maxLane
}

const (
	// maxLane bounds the requests of one caller that wait at ermine.
	maxLane = 10_000

	// subscribeTime bounds how long the broker may take to route a filter;
	// publishTime, above the default of Options.AckTime, how long a publish is
	// waited for.
	subscribeTime  = 10 * time.Second
	subscribeTries = 3
	publishTime    = 60 * time.Second

	// replaceTime is for how long after a subscription was replaced publishes
	// may still find both the old and the new one.
	replaceTime = subscribeTime + time.Second
)

// errUnavailable is answered while there is no broker.
var errUnavailable = errors.New("unavailable")

// errNotSubscribed is answered to unsubscribe.
var errNotSubscribed = errors.New("not_subscribed")

// errNoProcess is answered to subscribe for a process that is gone.
var errNoProcess = errors.New("noproc")

func newHub(s *Services) *hub {
	return &hub{
		s: s, byPID: map[gen.PID]*subscriber{}, byNum: map[int64]*subscriber{},
		lanes: map[gen.PID]*lane{}, refs: map[gen.PID]etf.Ref{},
	}
}

// answer is the term for the result of a request.
func answer(err error) any {
	switch {
	case err == nil:
		return etf.Atom("ok")
	case errors.Is(err, ErrBadArg):
		return errorTuple(etf.Atom("badarg"))
	case errors.Is(err, errUnavailable), errors.Is(err, errNotSubscribed), errors.Is(err, errNoProcess):
		return errorTuple(etf.Atom(rootText(err)))
	case errors.Is(err, actors.ErrBadTopic):
		return errorTuple(etf.Atom("bad_topic"))
	case errors.Is(err, errBadFilter):
		return errorTuple(etf.Atom("bad_filter"))
	case errors.Is(err, actors.ErrRefused):
		return errorTuple(etf.Atom("refused"))
	case errors.Is(err, context.DeadlineExceeded):
		return errorTuple(etf.Atom("timeout"))
	default:
		return errorTuple(err.Error())
	}
}

func rootText(err error) string {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err.Error()
		}
		err = inner
	}
}

// errBadFilter is answered for a filter that is not valid.
var errBadFilter = errors.New("bad_filter")

// subscribe routes a filter to a process. It returns when publishes find it;
// retained messages follow.
func (h *hub) subscribe(ctx context.Context, pid gen.PID, filter, opts any) error {
	o, err := readSubscribe(opts)
	if err != nil {
		return err
	}
	raw, ok := etf.Text(filter)
	if !ok {
		return ErrBadArg
	}
	parsed, err := topic.ParseFilter(raw)
	if err != nil {
		return fmt.Errorf("%w: %w", errBadFilter, err)
	}
	if parsed.Shared() && truth(o.NoLocal) { // [MQTT-3.8.3-4]
		return ErrBadArg
	}
	b := h.s.broker()
	if b == nil {
		return errUnavailable
	}
	// A subscriber may be tidied away just when it gets a new subscription: then
	// a new one is made. One whose process has ended ends again at once.
	for range subscribeTries {
		s, err := h.subscriber(pid)
		if err != nil {
			return err
		}
		if err = h.route(ctx, b, s, raw, parsed, o); !errors.Is(err, errNoProcess) {
			return err
		}
	}
	return errNoProcess
}

// route gives a subscriber a subscription. errNoProcess means that the
// subscriber has ended meanwhile.
func (h *hub) route(ctx context.Context, b *actors.Broker, s *subscriber, raw string, parsed topic.Parsed, o subscribeOptions) error {
	sub := &router.Subscription{
		Raw: raw, Filter: parsed.Filter, Group: parsed.Group, Exclusive: parsed.Kind == topic.Exclusive,
		Options: o.router(), To: s,
	}
	fresh := &slot{sub: sub, broker: b, ack: o.Ack, opts: o}
	s.mu.Lock()
	old := s.slots[raw]
	if !s.gone {
		s.replace(old, fresh)
		s.maxQueue, s.window = o.MaxQueue, o.MaxInflight
	}
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, subscribeTime)
	defer cancel()
	err := b.Subscribe(ctx, sub)
	s.mu.Lock()
	current := !s.gone && s.slots[raw] == fresh
	switch {
	case err == nil || !current:
	case old != nil: // it goes on
		s.slots[raw] = old
	default:
		delete(s.slots, raw)
	}
	s.mu.Unlock()
	if err != nil || !current {
		b.Unsubscribe(sub)
	}
	if old != nil && err == nil {
		old.broker.Unsubscribe(old.sub)
	}
	switch {
	case err != nil:
		h.tidy(s)
		return err
	case !current:
		return errNoProcess
	}
	if o.Handling == 0 || o.Handling == 1 && old == nil {
		if !parsed.Shared() { // [MQTT-4.8.2] shared ones get none
			go h.retained(s, fresh)
		}
	}
	return nil
}

// retainedPage is how many names of retained messages are looked at at a time.
const retainedPage = 1000

// retained sends a subscription the retained messages that match.
func (h *hub) retained(s *subscriber, sl *slot) {
	store, f := sl.broker.Retained(), sl.sub.Filter
	now := h.s.opts.Now().UnixMilli
	if !f.HasWildcard() {
		if m := store.Get(string(f)); m != nil && !m.Expired(now()) {
			s.offer(sl, m)
		}
		return
	}
	for start := 0; ; start += retainedPage {
		names := store.Topics(start, retainedPage)
		for _, name := range names {
			if !topic.Match(f, topic.Name(name)) {
				continue
			}
			if m := store.Get(name); m != nil && !m.Expired(now()) && !s.offer(sl, m) {
				return
			}
		}
		if len(names) < retainedPage {
			return
		}
	}
}

// subscriber returns the subscriber of a process, which is monitored from its
// first subscription on.
func (h *hub) subscriber(pid gen.PID) (*subscriber, error) {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return nil, errUnavailable
	}
	if s := h.byPID[pid]; s != nil {
		h.mu.Unlock()
		return s, nil
	}
	h.next++
	s := &subscriber{
		hub: h, num: h.next, id: h.s.net.Pid(pid).String(), to: pid, slots: map[string]*slot{},
		maxQueue: defaultQueue, window: defaultInflight, room: make(chan struct{}, 1),
	}
	s.ctx, s.end = context.WithCancel(h.s.ctx)
	h.byPID[pid], h.byNum[s.num] = s, s
	h.mu.Unlock()
	if err := h.watch(s); err != nil {
		h.remove(s)
		return nil, err
	}
	return s, nil
}

// watch monitors a subscriber's process.
func (h *hub) watch(s *subscriber) error {
	if string(s.to.Node) == h.s.net.Name() {
		// Its monitor is the process ermine's: ergo has none for others.
		return h.s.net.Node().Send(gen.Atom("ermine"), watchLocal{s.to})
	}
	ref, err := h.s.net.MonitorFunc(s.to, func(dist.Down) { h.remove(s) })
	if err != nil {
		return fmt.Errorf("monitor %s: %w", s.id, err)
	}
	h.mu.Lock()
	here := h.byPID[s.to] == s
	if here {
		h.refs[s.to] = ref
	}
	h.mu.Unlock()
	if !here {
		h.s.net.DemonitorFunc(ref)
	}
	return nil
}

// remove ends a subscriber.
func (h *hub) remove(s *subscriber) {
	h.mu.Lock()
	ref, monitored := h.refs[s.to]
	if h.byPID[s.to] == s {
		delete(h.byPID, s.to)
		delete(h.byNum, s.num)
		delete(h.refs, s.to)
	} else {
		monitored = false
	}
	h.mu.Unlock()
	if monitored {
		h.s.net.DemonitorFunc(ref)
	}
	for _, sl := range s.finish() {
		sl.broker.Unsubscribe(sl.sub)
	}
}

// tidy removes a subscriber that has no subscription and nothing on its way.
func (h *hub) tidy(s *subscriber) {
	s.mu.Lock()
	idle := s.idle()
	s.mu.Unlock()
	if idle {
		h.remove(s)
	}
}

// unsubscribe takes a filter back. What is on its way is still delivered.
func (h *hub) unsubscribe(pid gen.PID, filter any) error {
	raw, ok := etf.Text(filter)
	if !ok {
		return ErrBadArg
	}
	h.mu.Lock()
	s := h.byPID[pid]
	h.mu.Unlock()
	if s == nil {
		return errNotSubscribed
	}
	s.mu.Lock()
	sl := s.slots[raw]
	delete(s.slots, raw)
	s.mu.Unlock()
	if sl == nil {
		return errNotSubscribed
	}
	sl.broker.Unsubscribe(sl.sub)
	h.tidy(s)
	return nil
}

// publish routes a message and waits until its receivers have it.
func (h *hub) publish(ctx context.Context, pid gen.PID, name, payload, opts any) any {
	from := ""
	if pid != (gen.PID{}) {
		from = h.s.net.Pid(pid).String()
	}
	m, err := readMessage(name, payload, opts, from, h.s.opts.Now().UnixMilli())
	if err != nil {
		return answer(err)
	}
	b := h.s.broker()
	if b == nil {
		return answer(errUnavailable)
	}
	ctx, cancel := context.WithTimeout(ctx, publishTime)
	defer cancel()
	n, err := b.Publish(ctx, m)
	if err != nil {
		return answer(err)
	}
	return etf.Tuple{etf.Atom("ok"), n}
}

// ack takes {mqtt_ack, Id}.
func (h *hub) ack(id int64) {
	h.mu.Lock()
	s := h.byNum[id>>idBits]
	h.mu.Unlock()
	if s != nil {
		s.ack(id)
	}
}

// lane is the requests of one caller, done one after the other.
type lane struct {
	queue []func()
}

// enqueue adds a request to its caller's lane; false if that is full.
func (h *hub) enqueue(pid gen.PID, request func()) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.lanes[pid]
	if l == nil {
		l = &lane{}
		h.lanes[pid] = l
		go h.work(pid, l)
	}
	if len(l.queue) >= maxLane {
		h.lost++
		return false
	}
	l.queue = append(l.queue, request)
	return true
}

// work does what is in a lane and ends when it is empty.
func (h *hub) work(pid gen.PID, l *lane) {
	for {
		h.mu.Lock()
		if len(l.queue) == 0 {
			delete(h.lanes, pid)
			h.mu.Unlock()
			return
		}
		batch := l.queue
		l.queue = nil
		h.mu.Unlock()
		for _, request := range batch {
			h.safely(request)
		}
	}
}

// safely keeps a bug in one request from ending the program.
func (h *hub) safely(request func()) {
	defer func() {
		if r := recover(); r != nil {
			h.s.log.Error("request to ermine panicked", "err", r)
		}
	}()
	request()
}

// keep looks now and then whether what has been subscribed is still routed: a
// broker that was restarted knows nothing of it, nor does a topic shard, whose
// sessions it asks.
func (h *hub) keep() {
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			h.check(h.s.ctx)
		case <-h.s.ctx.Done():
			return
		}
	}
}

// check routes again what is not routed.
func (h *hub) check(ctx context.Context) {
	b := h.s.broker()
	if b == nil {
		return
	}
	for _, s := range h.all() {
		s.mu.Lock()
		slots := make([]*slot, 0, len(s.slots))
		for _, sl := range s.slots {
			slots = append(slots, sl)
		}
		s.mu.Unlock()
		for _, sl := range slots {
			if sl.broker != b || !routed(b, sl.sub) {
				h.again(ctx, s, sl, b)
			}
		}
	}
}

// routed tells whether publishes find a subscription.
func routed(b *actors.Broker, sub *router.Subscription) bool {
	found := false
	b.Subscribers(sub.Filter, func(x *router.Subscription) { found = found || x == sub })
	return found
}

// again routes a subscription anew.
func (h *hub) again(ctx context.Context, s *subscriber, old *slot, b *actors.Broker) {
	sub := &router.Subscription{
		Raw: old.sub.Raw, Filter: old.sub.Filter, Group: old.sub.Group, Exclusive: old.sub.Exclusive,
		Options: old.sub.Options, To: s,
	}
	fresh := &slot{sub: sub, broker: b, ack: old.ack, opts: old.opts}
	s.mu.Lock()
	wanted := !s.gone && s.slots[sub.Raw] == old
	if wanted {
		s.replace(old, fresh)
	}
	s.mu.Unlock()
	if !wanted {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, subscribeTime)
	defer cancel()
	if err := b.Subscribe(ctx, sub); err != nil {
		h.s.log.Warn("subscription of an Erlang process is not routed", "pid", s.id, "filter", sub.Raw, "err", err)
	}
	if old.broker == b {
		b.Unsubscribe(old.sub)
	}
	s.mu.Lock()
	wanted = !s.gone && s.slots[sub.Raw] == fresh
	s.mu.Unlock()
	if !wanted {
		b.Unsubscribe(sub)
	}
}

func (h *hub) all() []*subscriber {
	h.mu.Lock()
	defer h.mu.Unlock()
	subs := make([]*subscriber, 0, len(h.byPID))
	for _, s := range h.byPID {
		subs = append(subs, s)
	}
	return subs
}

// close ends all subscribers.
func (h *hub) close() {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	for _, s := range h.all() {
		h.remove(s)
	}
}

// info describes one caller's subscriptions, or everybody's for the zero pid.
func (h *hub) info(pid gen.PID) etf.Map {
	var filters etf.List
	var queued, inflight int
	var delivered, dropped, expired, unacked uint64
	subs := h.all()
	slices.SortFunc(subs, func(a, b *subscriber) int { return int(a.num - b.num) })
	count := 0
	for _, s := range subs {
		if pid != (gen.PID{}) && s.to != pid {
			continue
		}
		count++
		s.mu.Lock()
		for raw := range s.slots {
			filters = append(filters, raw)
		}
		queued += len(s.queue)
		inflight += len(s.inflight)
		delivered += s.delivered
		dropped += s.dropped
		expired += s.expired
		unacked += s.unacked
		s.mu.Unlock()
	}
	if filters == nil {
		filters = etf.List{}
	}
	h.mu.Lock()
	lost := h.lost
	h.mu.Unlock()
	return etf.Map{
		{Key: etf.Atom("subscribers"), Value: count},
		{Key: etf.Atom("subscriptions"), Value: filters},
		{Key: etf.Atom("queued"), Value: queued},
		{Key: etf.Atom("inflight"), Value: inflight},
		{Key: etf.Atom("delivered"), Value: delivered},
		{Key: etf.Atom("dropped"), Value: dropped},
		{Key: etf.Atom("expired"), Value: expired},
		{Key: etf.Atom("unacked"), Value: unacked},
		{Key: etf.Atom("requests_lost"), Value: lost},
	}
}
