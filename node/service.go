package node

import (
	"context"
	"time"
)

// Service is a part of the node that runs under its supervision: the broker, the
// listeners, the control socket. A Service is used for one life; after a failure
// a new one is made.
type Service interface {
	// Start returns when the service serves, or why it cannot. It is called
	// once, and what it started has been undone when it fails.
	Start(ctx context.Context) error
	// Stop ends the service in order and returns when it has gone, or when ctx
	// ends, having given up what was left. It is called once, after Start,
	// also for a service that has failed.
	Stop(ctx context.Context) error
	// Done is closed when the service has ended; before Stop that is a failure
	// and Err says why. A service that cannot fail returns nil.
	Done() <-chan struct{}
	// Err says why the service has ended, once Done is closed.
	Err() error
}

// Counted is a Service that tells the live tree how much it holds, such as
// connections. Count must not block.
type Counted interface {
	Count() int
}

// Restart says what the end of a child means, in OTP's words.
type Restart uint8

// The restart types.
const (
	// Permanent children are restarted whatever the reason of their end.
	Permanent Restart = iota
	// Transient children are restarted if their reason is an error.
	Transient
	// Temporary children are not restarted.
	Temporary
)

// String is OTP's word.
func (r Restart) String() string {
	switch r {
	case Transient:
		return "transient"
	case Temporary:
		return "temporary"
	default:
		return "permanent"
	}
}

// DefaultShutdown is how long a child may take to stop where its spec says
// nothing.
const DefaultShutdown = 5 * time.Second

// Child is the specification of one supervised part of the node.
type Child struct {
	// Name is registered: Erlang nodes may send to it.
	Name string
	// Kind is what the live tree calls it; Name if empty.
	Kind string
	// Restart is Permanent unless set.
	Restart Restart
	// Alone tells that the children behind this one do not depend on it: its
	// end restarts it and no other.
	Alone bool
	// Shutdown is how long Stop may take before the child is abandoned;
	// 0 is DefaultShutdown.
	Shutdown time.Duration
	// New makes the service of one life. It has no side effects.
	New func() Service
}
