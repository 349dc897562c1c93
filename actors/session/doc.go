// Package session is one client's session: a pure state machine, the process
// that runs it, and the handle that a connection holds.
//
// # Who runs what
//
// A [Session] outlives connections and crashes. Its process, an actor under
// sessions-<n>, is the only one that changes its [State]. A connection has a
// [Handle]: its own goroutine publishes through it, straight into the router,
// so that back-pressure reaches the socket and no other session; everything
// that concerns the session's state goes to the process.
//
// Messages and acknowledgements reach the process through the inbox, a typed
// lane beside its mailbox: a burst of any length costs one wake-up, no
// allocation for each message, and one flush of the connection at its end.
//
// # Messages of the process
//
//	open          call  directory   attach a connection: create, resume, take over
//	attach        cast  connection  CONNACK is out: begin to send
//	subscribe     call  connection  change subscriptions; answered once routed
//	subscribed    cast  connection  write SUBACK, then retained messages
//	unsubscribe   call  connection  likewise
//	unsubscribed  cast  connection  write UNSUBACK
//	closed        cast  connection  it has ended
//	kick          call  operator    end the session, DISCONNECT 0x98
//	inspect       call  operator    a snapshot for `clients show`
//	RetainedBatch cast  retain      retained messages for a subscription
//	reannounce    cast  broker      tell a topic shard the filters it owns
//	released      cast  directory   the client ID is free: stop
//	wake, tick    info              the inbox has something; a timer is due
//
// # Invariants
//
//   - C1: no packet leaves before attach; CONNACK is always first.
//   - C2: PUBACK and PUBREC leave after every subscriber's inbox and the
//     retained store have taken the message, in the order of the PUBLISH
//     packets [MQTT-4.6.0-2] [MQTT-4.6.0-3].
//   - C3: a message taken into the inbox stays there until it is in the State:
//     a crash between the two repeats the step, and a message that the State
//     already holds is not delivered twice.
//   - C4: a process never blocks: not on a socket, not on another actor.
//   - C5: a Session whose process has failed for good is ended before another
//     of its client ID begins: its filters leave the router, and nothing that it
//     had taken keeps a publisher waiting.
//   - C6: the reader of a connection never waits for something that only a later
//     packet of the same connection can bring: a PUBREC held back for
//     max_awaiting_rel does not count as slowness.
//
// # Full
//
// The inbox has a high watermark (4,096). Beyond it publishing connections wait
// until it has drained below half: that is overload of the node, not slowness
// of the client, whose own backlog is in the queue of the State with its own
// limit and policy.
package session
