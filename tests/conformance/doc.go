// Package conformance holds the broker to MQTT 3.1.1 and 5.0, statement by
// statement: each test carries the identifiers of the normative statements that
// it shows ([MQTT-3.1.0-2]), and package statements lists those without one.
//
// The tests speak MQTT byte by byte to a broker in the same process, by a codec
// of their own, so that they can send what no client library would, and so that
// an error of the broker's codec cannot hide behind itself. Beside the
// standard they hold what Ermine adds to it: takeover and kick, queues and
// slow subscribers, share group redispatch, delayed and exclusive
// subscriptions.
//
// # How a test waits
//
// Never by time. A publisher that has its PUBACK knows that every session has
// the message and has written or queued it; a PINGREQ sent after that is
// answered behind it. So "nothing came" is: publish, await the acknowledgement,
// ping the subscriber, and the next packet is the PINGRESP.
package conformance
