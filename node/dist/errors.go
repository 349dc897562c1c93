package dist

import "errors"

var (
	// ErrNotConnected is returned when there is no connection to a node and
	// none could be made.
	ErrNotConnected = errors.New("node is not connected")

	// ErrBackOff is returned, with the last failure, for an implicit attempt to
	// connect to a node so soon after a failed one that none is made.
	ErrBackOff = errors.New("not trying again yet")

	// ErrNoProc is returned by Call when the called process does not exist.
	ErrNoProc = errors.New("no such process")

	// ErrTarget is returned for a destination that is neither a pid nor a
	// registered name with its node.
	ErrTarget = errors.New("not a process")

	// ErrStopped is returned once the network has been stopped.
	ErrStopped = errors.New("network is stopped")

	// ErrReplaced is the reason of a connection whose peer came back.
	ErrReplaced = errors.New("replaced by a newer connection")

	// ErrDisconnected is the reason of a connection that Disconnect ended.
	ErrDisconnected = errors.New("disconnected")

	// ErrPortInUse is returned by Start when the node's port is taken: another
	// node runs there.
	ErrPortInUse = errors.New("port is in use")

	// ErrInterrupted is returned by Start when SIGINT or SIGTERM came meanwhile.
	// The process has to end then: what was begun is not undone.
	ErrInterrupted = errors.New("interrupted")

	// ErrOptions is returned by Start for options that contradict themselves.
	ErrOptions = errors.New("bad options")
)
