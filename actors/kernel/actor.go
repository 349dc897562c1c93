package kernel

import "time"

// Actor is what a package of actors implements.
//
// Receive handles one message; the next one waits until it returns. It may
// block, at the cost of one goroutine and of whoever waits for this actor. A
// panic ends this instance, see the package comment.
type Actor interface {
	Receive(c *Context, msg any)
}

// Func makes an Actor of a function, for tests and for actors without state.
type Func func(c *Context, msg any)

// Receive calls f.
func (f Func) Receive(c *Context, msg any) { f(c, msg) }

// Strategy says who restarts when a child fails, in OTP's words.
type Strategy uint8

const (
	// OneForOne restarts only the child that failed.
	OneForOne Strategy = iota
	// OneForAll ends all children that are Permanent, last first, and then
	// starts them again, first first.
	OneForAll
	// RestForOne does the same with the failed child and the Permanent
	// children that were spawned after it.
	RestForOne
)

// Restart says what the failure of a child does to it and to its supervisor.
type Restart uint8

const (
	// Permanent children are restarted; their failures count together, and
	// beyond their supervisor's intensity the supervisor fails.
	Permanent Restart = iota
	// Contained children are restarted, always alone; the failures of each
	// are counted apart, and beyond the supervisor's intensity the child is
	// stopped and its parent gets ChildGone. For children of which there are
	// many and of which one must never end the others: sessions.
	Contained
	// Temporary children are stopped by a failure; their parent gets
	// ChildGone.
	Temporary
)

// NoRestarts as an intensity makes the first failure exceed it.
const NoRestarts = -1

// Spec describes an actor to be spawned. Specs that differ only in Name and
// New share what is kept of them.
type Spec struct {
	// Name is unique among the parent's living children; any string without a
	// NUL byte. Empty: one is made up ("$1", ...).
	Name string
	// Kind groups actors in statistics, logs and the tree: "session", "shard".
	// Few and constant.
	Kind string
	// New makes an instance, at the start and at every restart, on the actor's
	// own goroutine. It only allocates: effects belong into Started. A panic
	// in it is a failure of the actor.
	New func() Actor
	// MailboxLimit is the number of waiting messages at which Send is refused;
	// 0: no limit.
	MailboxLimit int
	// Drained asks for a Drained message whenever the mailbox has run empty.
	Drained bool
	// Restart says what the actor's own failures lead to.
	Restart Restart
	// Strategy is applied to the actor's children.
	Strategy Strategy
	// Intensity and Period limit how often the actor's children may fail:
	// Intensity restarts within Period are allowed, the next failure exceeds
	// them. 0: the system's defaults; NoRestarts: none is allowed.
	Intensity int
	Period    time.Duration
}

// Started (info, from the runtime) is the first message of every instance.
type Started struct {
	// Restarts is the number of instances that this actor has had before.
	Restarts int
	// Reason is why the one before ended: nil at the first start and when it
	// restarts for the sake of a sibling, else a *CrashError or an
	// *IntensityError.
	Reason error
}

// Stopping (info, from the runtime) is the last message of an instance. A
// panic while it is handled is logged and counted and changes nothing. After
// a failure it comes to the instance that has failed: release what is held,
// trust nothing.
type Stopping struct {
	// Restarting is true when another instance follows.
	Restarting bool
	// Reason is the failure that led here; nil for a stop that was asked for.
	Reason error
}

// Drained (info, from the runtime) says that the mailbox has just run empty
// after something was handled: the moment to flush what was collected.
type Drained struct{}

// ChildGone (info, from the runtime) says that a child has ended for good.
// It comes exactly once per child of a living parent. An instance may be told
// of children of the instance before it: compare the Ref.
type ChildGone struct {
	Ref    Ref
	Name   string
	Reason error // nil when it was stopped or stopped itself
}

// Gone (info, from the runtime) says that a watched actor has ended for good.
type Gone struct {
	Ref    Ref
	Name   string
	Reason error // nil when it was stopped or stopped itself
}
