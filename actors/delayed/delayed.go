package delayed

import (
	"container/heap"
	"fmt"
	"sync/atomic"
	"time"

	"ermine/actors/fault"
	"ermine/actors/kernel"
	"ermine/actors/message"
	"ermine/actors/metrics"
	"ermine/actors/router"
)

var faultReceive = fault.New("delayed.receive")

// Config is what a Queue is made with.
type Config struct {
	Metrics *metrics.Set
	Wheel   *kernel.Wheel
	Now     func() time.Time
	Enable  bool
	Max     int // delayed.max_delayed_messages; 0 is unlimited
	// Publish routes a message that is due; it must not block.
	Publish func(m *message.Message)
}

// Queue is the delayed messages of this node.
type Queue struct {
	cfg   Config
	ref   kernel.Ref
	count atomic.Int64
	heap  dueHeap // the actor's
	seq   uint64
	timer kernel.Timer
	hand  kernel.Hand
}

// New returns an empty queue that has not started.
func New(cfg Config) *Queue { return &Queue{cfg: cfg} }

// Start spawns the actor.
func (q *Queue) Start(sys *kernel.System) error {
	ref, err := sys.StartRoot(kernel.Spec{
		Name: "delayed", Kind: "delayed", New: func() kernel.Actor { return actor{q} },
	})
	if err != nil {
		return fmt.Errorf("spawn delayed: %w", err)
	}
	q.ref = ref
	return nil
}

// Enabled reports whether `$delayed/` topics are delayed at all.
func (q *Queue) Enabled() bool { return q.cfg.Enable }

// Count is the number of messages that wait.
func (q *Queue) Count() int { return int(q.count.Load()) }

// Full reports whether max_delayed_messages is reached.
func (q *Queue) Full() bool { return q.cfg.Max > 0 && q.Count() >= q.cfg.Max }

// put (cast, from publishers).
type put struct {
	msg    *message.Message
	due    int64
	ticket *router.Ticket
}

type tick struct{}

// Put keeps m, whose Topic is already the final one, until due. t gets a place
// that is done once the queue has it. Any goroutine; it does not block.
func (q *Queue) Put(m *message.Message, due time.Time, t *router.Ticket) {
	if t != nil {
		t.Add()
	}
	if !q.ref.Control(put{m, due.UnixMilli(), t}) {
		t.Done()
	}
}

type entry struct {
	msg *message.Message
	due int64
	seq uint64
}

type dueHeap []entry

func (h dueHeap) Len() int { return len(h) }
func (h dueHeap) Less(i, j int) bool {
	return h[i].due < h[j].due || h[i].due == h[j].due && h[i].seq < h[j].seq
}
func (h dueHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *dueHeap) Push(x any)   { *h = append(*h, x.(entry)) }
func (h *dueHeap) Pop() any {
	old := *h
	e := old[len(old)-1]
	old[len(old)-1] = entry{}
	*h = old[:len(old)-1]
	return e
}

type actor struct{ *Queue }

const tries = 3 // of a message that crashes the actor

func (a actor) Receive(c *kernel.Context, msg any) {
	switch m := msg.(type) {
	case kernel.Started:
		if m.Restarts > 0 {
			heap.Init(&a.heap)
		}
		if again, ok := a.hand.Again(tries); ok {
			a.handle(c, again)
		} else if lost, ok := a.hand.Lost().(put); ok {
			lost.ticket.Done()
		}
	case kernel.Stopping:
		a.cfg.Wheel.Cancel(&a.timer)
		return
	default:
		a.hand.Take(msg)
		a.handle(c, msg)
	}
	a.hand.Done()
	a.arm(c)
}

func (a actor) handle(c *kernel.Context, msg any) {
	faultReceive.Hit()
	switch m := msg.(type) {
	case put:
		a.seq++
		heap.Push(&a.heap, entry{m.msg, m.due, a.seq})
		a.count.Store(int64(len(a.heap))) // before anybody hears of it
		a.cfg.Metrics.Inc(0, metrics.MessagesDelayed)
		m.ticket.Done()
	case tick:
		now := a.cfg.Now().UnixMilli()
		for len(a.heap) > 0 && a.heap[0].due <= now {
			if m := a.heap[0].msg; !m.Expired(now) {
				a.cfg.Publish(m)
			} else {
				a.cfg.Metrics.Inc(0, metrics.MessagesDropped)
				a.cfg.Metrics.Inc(0, metrics.MessagesDroppedExpired)
			}
			heap.Pop(&a.heap)
		}
		a.count.Store(int64(len(a.heap)))
	default:
		c.Logger().Error("unexpected message", "type", fmt.Sprintf("%T", msg))
	}
}

func (a actor) arm(c *kernel.Context) {
	if len(a.heap) == 0 {
		return
	}
	wait := max(a.heap[0].due-a.cfg.Now().UnixMilli(), 1)
	a.cfg.Wheel.Set(&a.timer, time.Duration(wait)*time.Millisecond, c.Self(), tick{})
}
