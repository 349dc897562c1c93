package ctl

import "errors"

var (
	// ErrUnavailable is returned by a command that needs the broker or the
	// listeners while they are starting, restarting or stopping.
	ErrUnavailable = errors.New("the broker is not running just now")

	// ErrUsage is returned by Tree.Run when the arguments fit no form; the
	// usage has been printed.
	ErrUsage = errors.New("wrong arguments")

	// ErrPeer is returned by Serve's connections for a user that may not
	// command the node.
	ErrPeer = errors.New("this user may not command the node")

	// ErrProtocol is returned when the other end of the socket does not keep to
	// the protocol.
	ErrProtocol = errors.New("control protocol violated")

	// errSaid ends a command that has printed what went wrong.
	errSaid = errors.New("command failed")
)
