package proto

import "errors"

var (
	// ErrBusy is returned by TrySend when the queue to the peer is full: the
	// message was not sent. The peer reads more slowly than this node writes.
	ErrBusy = errors.New("connection is busy")

	// ErrClosed is returned when the connection has ended, and is the reason of
	// one that Close ended.
	ErrClosed = errors.New("connection is closed")

	// ErrTickTimeout ends a connection whose peer was silent for too long, or
	// took nothing for too long.
	ErrTickTimeout = errors.New("net tick timeout")

	// ErrOverflow ends a connection whose peer takes so little that signals
	// which must not be lost have filled the queue.
	ErrOverflow = errors.New("output queue overflow")

	// ErrProtocol ends a connection whose peer sent something that is not of
	// the protocol's form.
	ErrProtocol = errors.New("protocol violation")

	// ErrTooLarge is returned for a message over the configured limit, and ends
	// a connection whose peer sends one.
	ErrTooLarge = errors.New("message too large")

	// ErrUnsupported is returned for a signal that the peer cannot take.
	ErrUnsupported = errors.New("not supported by the peer")
)
