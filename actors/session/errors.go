package session

import "errors"

var (
	// ErrReceiveMaximum is returned by Handle.Publish when an MQTT 5 client has
	// more publishes unacknowledged than it was allowed, QoS 2 up to PUBCOMP, or
	// any client more than there are Packet Identifiers: disconnect it with
	// reason 0x93 [MQTT-3.3.4-9].
	ErrReceiveMaximum = errors.New("receive maximum exceeded")

	// ErrClosed is returned by the methods of a Handle whose session has moved
	// to another connection, or has ended.
	ErrClosed = errors.New("session closed")

	// ErrTimeout is returned by Handle.Subscribe and Unsubscribe when the
	// topic shards did not answer in time.
	ErrTimeout = errors.New("topic shard did not answer in time")
)
