package kernel

import (
	"log/slog"
)

// Context is an actor's own view of itself. It is valid for the actor's whole
// life, across restarts; except where noted its methods are for the actor's
// own Receive only.
type Context cell

func (c *Context) cell() *cell { return (*cell)(c) }

// Self is the actor's own reference. Any goroutine may call it.
func (c *Context) Self() Ref { return Ref{c.cell()} }

// Name is the actor's name among its siblings. Any goroutine may call it.
func (c *Context) Name() string { return c.cell().name() }

// Parent is the actor's parent, the zero Ref for a root. Any goroutine may
// call it.
func (c *Context) Parent() Ref { return Ref{c.cell().parent} }

// System is the system that the actor belongs to. Any goroutine may call it.
func (c *Context) System() *System { return c.cell().t.sys }

// Spawn starts a child. It returns before the child has handled Started;
// messages sent meanwhile wait. Any goroutine may call it, but only Receive
// can rely on the child belonging to the present instance.
func (c *Context) Spawn(s Spec) (Ref, error) { return c.cell().t.sys.spawn(c.cell(), s) }

// Stop stops an actor as Ref.Stop does.
func (c *Context) Stop(r Ref) { r.Stop() }

// StopSelf stops this actor once the message in hand is done; what is queued
// is discarded.
func (c *Context) StopSelf() { Ref{c.cell()}.Stop() }

// Children lists the living children, oldest first: O(children).
func (c *Context) Children() []Ref { return c.cell().childRefs() }

// ChildCount is the number of living children. Any goroutine may call it.
func (c *Context) ChildCount() int { return c.cell().childCount() }

// Watch asks for one Gone message when r has ended for good; it comes at once
// when r already has.
func (c *Context) Watch(r Ref) { watch(c.cell(), r) }

// Unwatch takes a Watch back. A Gone that is already queued still comes.
func (c *Context) Unwatch(r Ref) { unwatch(c.cell(), r) }

// Logger is the system's logger with kind and name of the actor. It builds a
// new one on every call.
func (c *Context) Logger() *slog.Logger {
	return c.cell().t.sys.log.With("kind", c.cell().t.kind.name, "actor", c.cell().path())
}
