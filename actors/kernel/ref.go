package kernel

// Ref is a reference to one life of one actor: it stays good across restarts,
// and after the actor's end it reaches nobody. It is one word, comparable, a
// map key; the zero Ref is an actor that has always been dead. All methods may
// be called from any goroutine, and none of them blocks.
type Ref struct{ c *cell }

// Send puts msg into the actor's mailbox. False: it was refused, because the
// mailbox is full (then Alive is true) or the actor has stopped; it is counted.
// True promises no handling: the actor may stop or crash first.
func (r Ref) Send(msg any) bool { return r.c.post(msg, false) }

// Control is Send for messages that a full mailbox must take: it is refused
// only by an actor that has stopped. It keeps its place in the queue.
func (r Ref) Control(msg any) bool { return r.c.post(msg, true) }

// Stop asks the actor to stop after the message in hand: Stopping, then its
// children, then it is gone. It may be called any number of times.
func (r Ref) Stop() { r.c.stop() }

// Finish asks the actor to stop once it has handled what is queued now.
func (r Ref) Finish() { r.c.post(&order{}, true) }

// Alive says whether the actor takes messages: not before it is spawned, not
// from the moment in which it handles Stopping for good.
func (r Ref) Alive() bool { return r.c != nil && r.c.alive() }

// IsZero says whether r is the zero Ref.
func (r Ref) IsZero() bool { return r.c == nil }

// Name is the actor's name among its siblings, "" for the zero Ref.
func (r Ref) Name() string {
	if r.c == nil {
		return ""
	}
	return r.c.name()
}

// Path is the actor's names from the root down, joined by "/".
func (r Ref) Path() string {
	if r.c == nil {
		return ""
	}
	return r.c.path()
}

// Kind is the actor's kind.
func (r Ref) Kind() string {
	if r.c == nil {
		return ""
	}
	return r.c.t.kind.name
}

// MailboxLen is the number of messages that wait.
func (r Ref) MailboxLen() int {
	if r.c == nil {
		return 0
	}
	return r.c.waiting()
}

// String is kind and path, for logs.
func (r Ref) String() string {
	if r.c == nil {
		return "<none>"
	}
	return r.Kind() + ":" + r.Path()
}

// Gone returns a channel that is closed when the actor has ended for good,
// its children included. Each call makes a new one, kept until then.
func (r Ref) Gone() <-chan struct{} { return gone(r) }
