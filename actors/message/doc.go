// Package message holds the application message: one value from the
// publisher's socket to every subscriber's.
//
// A [Message] is immutable once it has been handed to the router. All
// subscribers share the same value, so a fan-out to a thousand sessions copies
// a pointer a thousand times and the payload not at all. The package is pure:
// no goroutine, socket or clock.
package message
