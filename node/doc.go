// Package node is one member of the cluster: an ergo node with a name, its place
// in the Erlang distribution (package dist), and the application that consists of
// the node's parts, each supervised. What the parts do is not known here: package
// rel makes them and hands them over as [Service] values.
//
// # Processes
//
//	ermine        application, permanent
//	└─ ermine_sup supervisor, rest_for_one, see DefaultIntensity
//	   └─ <child> a keeper for each Child, permanent unless its spec says otherwise
//
// A keeper starts the service of its child, watches it, and stops it; it ends with
// the service's error. The children of a node are, in boot order: control (the
// command socket, so that an operator can look while the rest starts or fails),
// erlang (what Erlang nodes can call; it answers unavailable while there is no
// broker), broker (the seam to the client level: it owns the actors and fails with
// them), listeners (last to start, first to stop: no connection is accepted before
// routing works). The first two stand alone: nothing is restarted with them.
//
// # Messages
//
//	boot, shutdown       cast  supervisor  start, stop all children
//	begin, halt          cast  keeper      start, stop the service
//	begun                info  supervisor  the service of a child serves
//	gen.MessageExitPID   info  supervisor  a child has ended
//	ended                info  keeper      the service has ended by itself
//	beat                 info  keeper      pass the fault point node.<child>
//	again, overdue       info  supervisor  a pause or a patience is over
//
// Messages of strangers are ignored: any node may send to a registered name.
// Mailboxes are not bounded; only the supervisor and timers write to them.
//
// # Invariants
//
//   - P1 to P3: see plan.
//   - N1: a service is stopped before its keeper ends, so that no two lives of a
//     child overlap. The exception is a service that does not stop in its time: it
//     is abandoned, and said so.
//   - N2: a supervisor never blocks: services start and stop in their keepers.
//   - N3: restarts within the intensity never end a supervisor, however many.
//
// # Failure
//
// A keeper that ends is restarted with the children behind it. Beyond the
// intensity the supervisor stops all children and ends with an [IntensityError],
// which Node.Err gives; the program then ends with it as its last line.
package node
