// Package metrics counts what the broker does, under EMQX's names.
//
// A [Set] is an array of counters, striped so that connections on different
// cores do not share cache lines: a caller keeps a stripe number (any number;
// one per connection is usual) and adds to its own stripe, a reader sums all.
// Counters only grow; gauges such as connections.count come from their owners
// through [Set.Gauge]. Everything here may be used by any goroutine, never
// blocks and never allocates after construction.
package metrics
