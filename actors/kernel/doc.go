// Package kernel runs actors: it is the one place that knows protoactor-go,
// and everything else in actors spawns, sends, calls, supervises and sets
// timers through it.
//
// # What an actor gets
//
// An [Actor] is a value with one method, Receive. It handles one message at a
// time and has no goroutine while it is idle; awake, it runs on one of its
// System's workers, which are made as needed, so that a handler that blocks
// delays only its own actor. The mailbox outlives a crash: the instance is
// thrown away, a new one comes from Spec.New and goes on with the messages that
// are queued. State that must survive a crash lives outside the instance; see
// [Hand] for the message that was being handled.
//
// Lifecycle messages, in the order in which an instance sees them:
//
//	Started    info  runtime  first message of every instance; children are spawned here
//	Drained    info  runtime  the mailbox has just run empty (only with Spec.Drained)
//	ChildGone  info  runtime  a child has ended for good
//	Gone       info  runtime  a watched actor has ended for good
//	Stopping   info  runtime  last message of every instance; children still run
//
// # Names and references
//
// A name is unique among the living children of one parent. A [Ref] means one
// life of one actor: it survives restarts, and after a stop it never reaches
// the successor of the same name. A name is free again only after the old
// actor's last Receive has returned, and its parent's ChildGone comes later
// still.
//
// # Ordering
//
//   - K1: messages from one goroutine to one actor arrive in the order of the
//     accepted sends. ChildGone and Gone come after everything that the ended
//     actor had sent.
//   - K2: nothing is received before Started, nothing after Stopping.
//   - K3: Receive is never called concurrently for one actor, not even across
//     a restart.
//   - K4: a stop overtakes what is queued; the rest of the queue is discarded
//     and counted as dead letters. Ref.Finish is the stop that comes after.
//   - K5: an actor's Stopping comes before any of its children is told to
//     stop; it is gone only after all of them.
//
// # A full mailbox
//
// Spec.MailboxLimit bounds the mailbox. The newest message is refused, Send
// returns false, and the refusal is counted. Ref.Control, the lifecycle
// messages, answers and timers always get in.
//
// # Failure
//
// A panic in Receive loses the message in hand and suspends the mailbox; the
// parent's strategy decides. Within the parent's intensity the actor (or its
// group) restarts after a pause that grows with the failures in the period
// and never blocks anyone. Beyond it the parent itself fails, and so on up to
// a root; beyond the root's intensity its subtree is stopped and
// Config.OnFatal is told. Calls that the crashed instance had accepted and
// not answered fail with ErrCrashed at once.
package kernel
