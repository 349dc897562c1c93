package epmd

import "errors"

var (
	// ErrNotFound is returned by Client.Lookup when the daemon answered that it
	// does not know the name: the node is not running, or not in EPMD mode.
	ErrNotFound = errors.New("node is not registered with epmd")

	// ErrNameTaken is returned by Client.Register when another live node holds
	// the name on that host.
	ErrNameTaken = errors.New("node name is already registered with epmd")

	// ErrMalformed is returned for an answer or request that is not of the
	// protocol's form.
	ErrMalformed = errors.New("malformed epmd message")

	// ErrBadName is returned for a node name that cannot be registered or split.
	ErrBadName = errors.New("bad node name")

	// ErrClosed is returned by a Keeper or Server that has been closed.
	ErrClosed = errors.New("epmd is closed")
)
