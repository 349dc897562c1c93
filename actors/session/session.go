package session

import (
	"log/slog"
	"sync/atomic"
	"time"

	"ermine/actors/kernel"
	"ermine/actors/message"
	"ermine/actors/metrics"
	"ermine/actors/router"
)

// Host is what sessions need of the broker around them.
type Host struct {
	Logger  *slog.Logger
	Metrics *metrics.Set
	Router  *router.Router
	Wheel   *kernel.Wheel
	Now     func() time.Time
	// Publish routes a message of a client or a will: delayed and retained
	// messages included. It reports how many places took it, and never blocks.
	Publish func(p *router.Publisher, m *message.Message, t *router.Ticket) int
	// Retained asks for the retained messages of sub; they come to the
	// session as RetainedBatch. It must not block.
	Retained func(to *Session, sub *router.Subscription)
	// Release tells the directory that the session of an epoch has ended; the
	// answer is Session.Released, unless a client has opened it again.
	Release func(s *Session, epoch uint64)
	Events  Events
}

// Events are facts of session life for logs and $SYS. Each may be nil; they
// run in the session's process and must not block.
type Events struct {
	Connected    func(c *Client, present bool) // present: a session was resumed
	Disconnected func(c *Client, cause CloseCause)
	Subscribed   func(c *Client, sub *router.Subscription)
	Unsubscribed func(c *Client, sub *router.Subscription)
}

func (h *Host) now() int64 { return h.Now().UnixMilli() }

// Session is what outlives a session's process and its connections. Create it
// with New, run it with a Manager.
type Session struct {
	id   string
	host *Host
	mgr  *Manager

	ref    atomic.Pointer[kernel.Ref]
	epoch  atomic.Uint64 // of the last open
	online atomic.Bool
	alive  atomic.Bool // false before the first open and after the end; the process sets it
	lim    atomic.Pointer[Limits]
	in     inbound
	inbox  inbox

	// Of the process only.
	state    *State
	handle   *Handle
	last     *Client // of the current or last connection
	will     *Will
	willAt   int64 // when the will is due; 0 is not pending
	expiry   uint32
	expireAt int64 // when the session ends; 0 while connected or for never
	created  time.Time
	left     time.Time // when the connection ended
	retryAt  int64
	relAt    int64
	timer    kernel.Timer
	hand     kernel.Hand
	handed   int               // messages done of the batch in hand
	pub      *router.Publisher // for wills and redispatch
	life     uint32            // counts clean starts
}

// New returns the session of a client ID, without a process.
func New(id string, host *Host, mgr *Manager) *Session {
	s := &Session{id: id, host: host, mgr: mgr}
	s.lim.Store(&Limits{})
	return s
}

func (s *Session) limits() *Limits { return s.lim.Load() }

// ClientID names the session. Any goroutine.
func (s *Session) ClientID() string { return s.id }

// Epoch is the number of the open that the session serves. Any goroutine.
func (s *Session) Epoch() uint64 { return s.epoch.Load() }

// Online reports whether a client is connected. Any goroutine.
func (s *Session) Online() bool { return s.online.Load() }

// WaitIdle implements router.Subscriber.
func (s *Session) WaitIdle() { s.inbox.wait() }

// Deliver implements router.Subscriber.
func (s *Session) Deliver(m *message.Message, sub *router.Subscription, t *router.Ticket) router.Result {
	return s.post(item{kind: itemDeliver, msg: m, sub: sub, ticket: t})
}

func (s *Session) post(it item) router.Result {
	res, wakeup := s.inbox.put(it)
	if wakeup {
		s.send(wake{})
	}
	return res
}

func (s *Session) process() kernel.Ref {
	if p := s.ref.Load(); p != nil {
		return *p
	}
	return kernel.Ref{}
}

func (s *Session) send(msg any) bool { return s.process().Control(msg) }
