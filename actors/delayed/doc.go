// Package delayed holds messages published to `$delayed/<seconds>/<topic>` until
// they are due.
//
// One actor (root "delayed", permanent) owns a heap by due time. The heap
// outlives the actor; a message is acknowledged to its publisher once it is in
// the heap. A message that is due goes to the router like any other.
package delayed
