// Package topic holds what the broker knows about Topic Names and Topic
// Filters: their syntax, how they match, and the two structures that answer
// the broker's two questions about many of them.
//
//	Index     filters → subscriptions   "who wants this message?"   (PUBLISH)
//	NameTree  names → values            "what is there to send?"    (SUBSCRIBE, retained)
//
// The package is pure: it has no goroutine, socket or clock, and imports only
// the standard library. Time, where it matters, is an argument.
//
// # Names and filters
//
// A Name is what a message is published to, a Filter what a client subscribes
// to. Both types hold validated text: build them from ValidateName and
// ParseFilter at the edge of the broker, and pass them on as they are.
// ParseFilter also takes the prefixes that are no part of a filter:
// $share/<group>/, $queue/ and $exclusive/; ParseDelayed those of a delayed
// publish. Match is the definition of matching; everything else in this
// package agrees with it, and the tests hold it to that.
//
// # Index: one writer, many readers
//
// Add, Remove and Replace are for one goroutine at a time: the topic shard
// that owns the index. Every other method may be called from any goroutine at
// any time, takes no lock and never waits for the writer. The writer never
// waits for readers: what it unlinks is left to the garbage collector.
//
//   - I1: a subscription that is in the index during the whole of a Match and
//     matches is in the result, exactly once.
//   - I2: a subscription removed before a Match began is not in its result; one
//     added or removed meanwhile may or may not be. One that is removed and
//     added again meanwhile, or in a filter that is, may be missed.
//   - I3: two subscriptions of one client with overlapping filters are two
//     results; to merge them is the caller's business [MQTT-3.3.4-2].
//   - I4: what a Match returns is immutable except for the handle's own fields,
//     which belong to the writer.
//
// Filters without wildcards, and those with, sit in one open-addressing hash
// table by their text. Those with wildcards hang also in a trie whose nodes
// find their literal children in a second such table by (parent, level), so a
// node with a million children costs no more to change than one with two.
// Tables are replaced as a whole when they grow, and by then unreachable slots
// have been dropped. Hashes are seeded per index, so no client can choose
// colliding filters.
//
// # What a match costs
//
// One hash look-up of the whole name, and a visit to the trie nodes whose path
// matches the beginning of the name, each with at most one hash look-up, some
// 20 ns. At depth d these are at most 2^d, for a level is matched by a literal
// child and by a + child, and of course never more than there are: to make a
// match visit k nodes, clients must hold filters that end in k different ones.
// Where no filter has more than w wildcard levels, they are at most d^w. The
// limit on levels (mqtt.max_topic_levels, 128) bounds d. Nothing is allocated
// but what the result must grow.
package topic
