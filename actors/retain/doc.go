// Package retain keeps retained messages: the last one published with RETAIN
// for each Topic Name.
//
// # Actor (root "retain", permanent)
//
// One actor owns the tree of names. The tree outlives the actor, so that a
// crash loses nothing; a message is acknowledged to its publisher only once it
// is in the tree.
//
// # Messages
//
//	put      cast  connection  store, or delete when the payload is empty
//	fetch    cast  session     send what a subscription matches, in portions
//	page     info  timer       the next portion is due
//	clean    call  operator    delete what a filter matches
//	sweep    info  timer       delete what has expired
//
// # Invariants
//
//   - T1: of two messages for one name from one publisher the later stays.
//   - T2: a subscription gets at most Config.DeliveryRate messages a second, so
//     that `#` on a large store starves nobody.
package retain
