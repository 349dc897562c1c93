// Package router finds the subscribers of a message and hands it to them.
//
// # Two halves
//
// Publishing is a read: [Router.Publish] runs on the publisher's goroutine,
// matches against the shards' indexes without a lock and puts the message into
// each subscriber's inbox. Subscribing is a write: every filter belongs to one
// topic shard (see topic.ShardOf), whose actor is the only writer of its
// index.
//
// # Actors (under the root "router", rest_for_one by nature: a share group is
// a child of its shard)
//
//	router            root      owns the shards
//	shard-<n>         permanent one index; rebuilt from the sessions after a crash
//	<group> <filter>  permanent members of one share group; rebuilt by its shard
//
// # Messages
//
//	subscribe    cast  subscriber  route a filter; its ticket is done when it is
//	unsubscribe  cast  subscriber  likewise
//	announce     cast  session     a session's filters, after a shard has crashed
//	announced    cast  broker      every session has been asked
//	join, leave  cast  shard       members of a share group
//	regroup      cast  share group it has crashed: what are its members?
//	members      cast  shard       the answer
//	report       cast  shard       a rebuild waits for this group
//	reported     cast  share group the answer
//
// # Invariants
//
//   - R1: a publisher never waits for an actor to match; it waits only for a
//     subscriber's inbox that is over its high watermark, and only connections
//     do, never actors.
//   - R2: messages of one publisher reach one subscriber's inbox in the order
//     in which they were published.
//   - R3: a shard that restarts keeps its old index readable until the new one
//     holds the filters of all sessions: no publish misses a subscriber.
//   - R4: a share group hands each message to one member; while a member is
//     online, to an online one.
package router
