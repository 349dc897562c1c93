// Package directory decides which session serves a client ID.
//
// Every client ID has a home shard: an actor that numbers the opens of its
// client IDs with an epoch and passes each to the session's process, which is
// started at the first. The process serialises them, so two CONNECTs with
// one client ID are a queue, never a conflict: the later wins [MQTT-3.1.4-3].
//
// # Actors (under the root "directory")
//
//	directory-<n>  permanent  client ID -> epoch; rebuilt from the sessions
//	                          that run
//
// # Messages
//
//	open     call  connection  forwarded to the session, which answers
//	release  cast  session     it has ended in this epoch
//	forget   cast  sessions    it was given up after repeated crashes
//
// # Invariants
//
//   - D1: a client ID has at most one session process at any time: an entry goes
//     only after its session has said that it ended in the entry's epoch, and
//     that session serves nobody from then on.
//   - D2: an open that comes before the release is answered keeps the entry;
//     the session then begins anew.
package directory
