package load

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Layout says which topics publishers and subscribers use.
type Layout int

const (
	// OwnTopics gives each publisher its own topic and subscriber.
	OwnTopics Layout = iota
	// FanOut has every publisher's topic subscribed by every subscriber.
	FanOut
	// FanIn has every subscriber take all topics by one wildcard.
	FanIn
)

// Spec describes a load.
type Spec struct {
	Protocol    Protocol
	QoS         byte
	Publishers  int
	Subscribers int
	Layout      Layout
	// Payload is the size of a message's payload in bytes, at least 20.
	Payload int
	// Window is how many messages of a publisher may be undelivered.
	Window int
	// Exchanges, where not 0, is how many QoS 1 or 2 messages of a publisher may
	// be unacknowledged. Brokers bound what they take at QoS 2, and in 3.1.1
	// cannot say so: mosquitto closes the connection beyond its bound.
	Exchanges int
	// Step is for how many messages a publisher that has filled its window
	// waits before it goes on. 1 goes on at once.
	Step int
	// Batch, where not 0, is how many messages a publisher puts into one write
	// at most; else it writes what its window and 32 KiB have room for.
	Batch int
	// Rate, where not 0, is messages a second of all publishers together, and
	// makes the loop an open one within the window; latencies are kept.
	Rate int
	// Warmup passes before the measured part, Duration is the measured part.
	Warmup, Duration time.Duration
	// Drain is how long, without any progress, the load waits at its end for
	// what is still on its way before it counts it as lost.
	Drain time.Duration
}

// Validate tells what a Spec lacks.
func (s Spec) Validate() error {
	switch {
	case s.Publishers < 1 || s.Subscribers < 1:
		return fmt.Errorf("%d publishers and %d subscribers: want at least one of each", s.Publishers, s.Subscribers)
	case s.Layout == OwnTopics && s.Publishers != s.Subscribers:
		return fmt.Errorf("%d publishers and %d subscribers: own topics want as many of each", s.Publishers, s.Subscribers)
	case s.Payload < headerSize:
		return fmt.Errorf("payload of %d bytes: want at least %d", s.Payload, headerSize)
	case s.Window < 1 || s.Window > 65535:
		return fmt.Errorf("window of %d messages: want 1 to 65535", s.Window)
	case s.QoS > 2:
		return fmt.Errorf("quality of service %d", s.QoS)
	case s.Duration <= 0:
		return fmt.Errorf("duration %s", s.Duration)
	}
	return nil
}

// fanOut is how many subscribers a message reaches.
func (s Spec) fanOut() int {
	if s.Layout == OwnTopics {
		return 1
	}
	return s.Subscribers
}

// topic is the topic of publisher i.
func (s Spec) topic(i int) string { return fmt.Sprintf("bench/load/%d", i) }

// filter is the filter of subscriber i.
func (s Spec) filter(i int) string {
	switch {
	case s.Layout == OwnTopics:
		return s.topic(i)
	case s.Layout == FanOut && s.Publishers == 1:
		return s.topic(0)
	default:
		return "bench/load/+"
	}
}

// Meter is read at the start and the end of the measured part.
type Meter interface {
	// Mark notes the broker's use of the machine so far.
	Mark() error
}

// Result is what a load came to.
type Result struct {
	// Delivered is how many messages reached subscribers in Elapsed, the
	// measured part.
	Delivered int64
	Elapsed   time.Duration
	// Latencies are sorted; empty unless the load was paced. A subscriber keeps
	// its first million.
	Latencies []time.Duration
	// Sent and Received count the whole run, the warm-up and the end included;
	// Received counts every delivery. Lost, Duplicates and Reordered are
	// deliveries too.
	Sent, Received              int64
	Lost, Duplicates, Reordered uint64
}

// Clean tells whether every message came, once and in order.
func (r Result) Clean() bool { return r.Lost == 0 && r.Duplicates == 0 && r.Reordered == 0 }

// Quantile is the latency that the share q of the messages did not exceed.
func (r Result) Quantile(q float64) time.Duration {
	if len(r.Latencies) == 0 {
		return 0
	}
	i := int(q * float64(len(r.Latencies)))
	return r.Latencies[min(i, len(r.Latencies)-1)]
}

// Run puts the load on the brokers at addrs. Where there are several, a
// publisher and its subscriber are on different ones. It blocks until the load
// has ended and drained; every connection is closed then.
func Run(ctx context.Context, addrs []string, s Spec, m Meter) (Result, error) {
	if err := s.Validate(); err != nil {
		return Result{}, err
	}
	r := &run{spec: s}
	defer r.close()
	if err := r.connect(ctx, addrs); err != nil {
		return Result{}, err
	}
	return r.measure(ctx, m)
}

// run is a load under way.
type run struct {
	spec        Spec
	publishers  []*publisher
	subscribers []*subscriber
	timing      atomic.Bool
	senders     sync.WaitGroup
	receivers   sync.WaitGroup
}

func (r *run) connect(ctx context.Context, addrs []string) error {
	s := r.spec
	for i := range s.Publishers {
		c, err := dial(ctx, addrs[i%len(addrs)], "", fmt.Sprintf("bench-pub-%d", i), s.Protocol)
		if err != nil {
			return err
		}
		r.publishers = append(r.publishers, newPublisher(c, i, s.topic(i), s, s.fanOut()))
	}
	for i := range s.Subscribers {
		c, err := dial(ctx, addrs[(i+1)%len(addrs)], "", fmt.Sprintf("bench-sub-%d", i), s.Protocol)
		if err != nil {
			return err
		}
		sub := &subscriber{
			conn: c, id: i, publishers: r.publishers, timing: &r.timing,
			sequences: make([]Sequence, s.Publishers),
		}
		if s.Rate > 0 {
			sub.latencies = make([]time.Duration, 0, min(int(s.Duration.Seconds()+1)*s.Rate, maxLatencies))
		}
		r.subscribers = append(r.subscribers, sub)
		if err := c.subscribe(s.filter(i), s.QoS); err != nil {
			return err
		}
	}
	return nil
}

// measure runs the load: warm-up, measured part, drain.
func (r *run) measure(ctx context.Context, m Meter) (Result, error) {
	s := r.spec
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	sending, stop := context.WithCancel(ctx)
	defer stop()

	// The first failure of any goroutine ends the run.
	start := func(f func() error) {
		r.receivers.Go(func() {
			if err := f(); err != nil {
				cancel(err)
			}
		})
	}
	for _, sub := range r.subscribers {
		start(sub.receive)
	}
	for _, p := range r.publishers {
		if s.QoS > 0 {
			start(p.readAcks)
		}
		r.senders.Go(func() {
			send := p.publish
			if s.Rate > 0 {
				send = func(ctx context.Context) error {
					return p.pace(ctx, time.Second*time.Duration(s.Publishers)/time.Duration(s.Rate))
				}
			}
			if err := send(sending); err != nil {
				cancel(err)
			}
		})
	}

	var res Result
	if err := wait(ctx, s.Warmup); err != nil {
		return res, err
	}
	if err := m.Mark(); err != nil {
		return res, err
	}
	from, before := time.Now(), r.received()
	r.timing.Store(s.Rate > 0)
	if err := wait(ctx, s.Duration); err != nil {
		return res, err
	}
	r.timing.Store(false)
	res.Delivered, res.Elapsed = r.received()-before, time.Since(from)
	if err := m.Mark(); err != nil {
		return res, err
	}

	stop()
	r.senders.Wait()
	if err := r.drain(ctx); err != nil {
		return res, err
	}
	r.collect(&res)
	return res, nil
}

// received is how many deliveries there have been so far.
func (r *run) received() (n int64) {
	for _, sub := range r.subscribers {
		n += sub.received.Load()
	}
	return n
}

// drain waits until everything sent has come and been acknowledged, or nothing
// has for a while.
func (r *run) drain(ctx context.Context) error {
	var want int64
	for _, p := range r.publishers {
		want += p.sent.Load()
	}
	deliveries := want * int64(r.spec.fanOut())
	last, since := int64(-1), time.Now()
	for {
		got := r.received()
		var acked int64
		for _, p := range r.publishers {
			acked += p.acked.Load()
		}
		if got >= deliveries && (r.spec.QoS == 0 || acked >= want) {
			return nil
		}
		if got+acked != last {
			last, since = got+acked, time.Now()
		} else if time.Since(since) > r.spec.Drain {
			return nil
		}
		if err := wait(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
}

// collect adds up what the subscribers saw.
func (r *run) collect(res *Result) {
	for _, p := range r.publishers {
		res.Sent += p.sent.Load()
	}
	res.Received = r.received()
	for i, sub := range r.subscribers {
		sub.mu.Lock()
		for j := range sub.sequences {
			if r.spec.Layout == OwnTopics && i != j {
				// Nothing of another's topic may come here; if it does, it is
				// a message too many.
				res.Duplicates += sub.sequences[j].Received
				continue
			}
			seq := &sub.sequences[j]
			res.Lost += seq.Lost(uint64(r.publishers[j].sent.Load()))
			res.Duplicates += seq.Duplicates
			res.Reordered += seq.Reordered
		}
		res.Latencies = append(res.Latencies, sub.latencies...)
		sub.mu.Unlock()
	}
	slices.Sort(res.Latencies)
}

func (r *run) close() {
	for _, p := range r.publishers {
		p.Close()
	}
	for _, sub := range r.subscribers {
		sub.Close()
	}
	r.senders.Wait()
	r.receivers.Wait()
}

// wait blocks for d, or returns why the run has ended before.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
			return cause
		}
		return ctx.Err()
	}
}
