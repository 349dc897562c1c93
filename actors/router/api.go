package router

import (
	"sync/atomic"

	"ermine/actors/message"
	"ermine/actors/topic"
)

// Options are the Subscription Options of MQTT 5, section 3.8.3.1.
type Options struct {
	// ID is the Subscription Identifier; 0 is none.
	ID                uint32
	QoS               message.QoS
	RetainHandling    byte // 0 send, 1 send if new, 2 do not send
	NoLocal           bool
	RetainAsPublished bool
}

// Subscription is one filter of one subscriber. Immutable once routed, but for
// End: a new SUBSCRIBE for the same filter makes a new value that replaces the
// old one [MQTT-3.8.4-3].
type Subscription struct {
	Raw       string       // the filter as the client wrote it, `$share/g/t` included
	Filter    topic.Filter // the filter that topics are matched against
	Group     string       // share name; empty for an ordinary subscription
	Exclusive bool         // `$exclusive/...`
	Options
	To Subscriber
	// Life is the subscriber's own mark: a session tells by it a message that
	// was matched before a clean start from one for its present life.
	Life uint32

	ended atomic.Uint32 // 1 after End

	group *Group // set on the entry that stands for a whole share group
	node  topic.Sub[*Subscription]

	// The shard's own: the index that node was put into, and whether an
	// exclusive filter has been granted.
	home    *index
	granted bool
}

// End says that the subscriber has given the subscription up: what is still on
// its way for it, such as pages of retained messages, need not come.
func (s *Subscription) End() { s.ended.Store(1) }

// Ended reports whether End was called. Any goroutine.
func (s *Subscription) Ended() bool { return s.ended.Load() != 0 }

// Subscriber receives messages: a session, an Erlang process, a test.
type Subscriber interface {
	// ClientID names the subscriber; unique on its node.
	ClientID() string
	// Deliver hands over a message; any goroutine, never blocks. After Gone the
	// ticket is the caller's to complete. Otherwise the subscriber calls t.Done
	// once it has the message in its own state. t is nil for QoS 0.
	Deliver(m *message.Message, sub *Subscription, t *Ticket) Result
	// Online reports whether the subscriber can send at once; share groups
	// prefer those who can.
	Online() bool
	// WaitIdle returns when the inbox has drained below its low watermark, the
	// subscriber has ended or the bound of that wait has passed. Publishing
	// connections call it, actors never.
	WaitIdle()
}

// Result is a subscriber's answer to Deliver.
type Result byte

// The results of Deliver.
const (
	Gone  Result = iota // the subscriber has ended; nothing was taken
	Taken               // the message is in the subscriber's inbox
	Busy                // likewise, and the inbox is over its high watermark
)

// Ticket counts the places that have yet to take a message on behalf of its
// publisher. When the last is done, Owner.Complete is called once, by whichever
// goroutine that is.
type Ticket struct {
	Owner   Completer
	pending atomic.Int32
}

// Completer is told when every place has taken a message. Complete must not
// block.
type Completer interface{ Complete() }

// Start sets the number of places to one: the publisher's own, released by Done
// when routing has finished.
func (t *Ticket) Start() { t.pending.Store(1) }

// Add announces one more place.
func (t *Ticket) Add() { t.pending.Add(1) }

// Done releases one place; a nil ticket is allowed.
func (t *Ticket) Done() {
	if t != nil && t.pending.Add(-1) == 0 {
		t.Owner.Complete()
	}
}

// Release is Done for the owner itself: it reports whether its place was the
// last, and calls nobody.
func (t *Ticket) Release() bool { return t.pending.Add(-1) == 0 }
