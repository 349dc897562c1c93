package handshake

import (
	"errors"
	"strings"
)

var (
	// ErrCookie is returned when the peer could not prove that it has this
	// node's cookie, or refused this node's proof.
	ErrCookie = errors.New("cookies differ")

	// ErrNotAllowed is returned when the acceptor refuses the initiator.
	ErrNotAllowed = errors.New("connection not allowed")

	// ErrSimultaneous is returned to an initiator that got "nok": the peer is
	// itself connecting to this node, and that connection will be used.
	ErrSimultaneous = errors.New("peer is already connecting to this node")

	// ErrAlive is returned to an initiator whose peer still has a connection to
	// it, and which has one as well, so that no new one is needed.
	ErrAlive = errors.New("peers are already connected")

	// ErrName is returned when the peer's name is malformed or not the one that
	// was dialled.
	ErrName = errors.New("wrong node name")

	// ErrMalformed is returned for a message that is not of the protocol's form
	// or comes out of order.
	ErrMalformed = errors.New("malformed handshake message")

	// ErrReflected is returned when the peer sent one of this node's own
	// outstanding challenges, as somebody would who wants it answered.
	ErrReflected = errors.New("own challenge sent back")

	// ErrTooLong is returned for a message over the limit of this package.
	ErrTooLong = errors.New("handshake message too long")
)

// FlagsError is returned when the peer lacks capabilities without which it
// could not be talked to.
type FlagsError struct {
	Peer    string
	Missing Flags
}

// Error names the missing flags.
func (e *FlagsError) Error() string {
	return "node " + e.Peer + " lacks " + strings.Join(e.Missing.Names(), ", ")
}
