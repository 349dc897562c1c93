package rpc

import (
	"errors"
	"fmt"
)

var (
	// ErrFull is returned by Send when the lane's queue holds Config.QueueBytes,
	// and by Call when too many are under way. Ready tells when to try again.
	ErrFull = errors.New("queue is full")

	// ErrTooLarge is returned for a message, request or reply beyond the limit.
	ErrTooLarge = errors.New("too large")

	// ErrUnknownPeer is returned for a peer that was never set, or was removed.
	ErrUnknownPeer = errors.New("unknown peer")

	// ErrPeerGone is the outcome of messages to a life of the peer that is over:
	// it came back with another incarnation, or SetPeer named another one. Send
	// returns it until SetPeer names the life that is there.
	ErrPeerGone = errors.New("peer is gone: its incarnation changed")

	// ErrRemoved is the outcome of messages to a peer that RemovePeer removed.
	ErrRemoved = errors.New("peer was removed")

	// ErrStopped is returned once the endpoint stops, and is the outcome of the
	// messages that it could not deliver before.
	ErrStopped = errors.New("endpoint is stopped")

	// ErrNotConnected is returned by Call when there is no connection to the
	// peer before the context ends, or when the connection is lost while the
	// call is under way: then the peer may or may not have run it.
	ErrNotConnected = errors.New("not connected")

	// ErrAuth is the reason of a connection whose peer did not prove the cookie.
	ErrAuth = errors.New("peer did not prove the cookie")

	// ErrVersion is the reason of a connection to a peer with which there is no
	// protocol version in common.
	ErrVersion = errors.New("no protocol version in common")

	// ErrName is the reason of a connection to a peer that has another name than
	// the one expected.
	ErrName = errors.New("peer has another name")

	// ErrIncarnation is the reason of a connection to a life of the peer other
	// than the one that SetPeer named, when that one has never been seen.
	ErrIncarnation = errors.New("peer has another incarnation")

	// ErrRefused is the reason of a connection that the peer refused after both
	// proved the cookie.
	ErrRefused = errors.New("peer refused")

	// ErrSilent is the reason of a connection on which nothing arrived for
	// Config.Silence.
	ErrSilent = errors.New("peer is silent")

	// ErrProtocol is the reason of a connection whose peer broke the protocol,
	// or whose bytes were damaged on the way.
	ErrProtocol = errors.New("protocol error")

	// ErrReplaced is the reason of a connection whose peer made a newer one.
	ErrReplaced = errors.New("replaced by a newer connection")

	// ErrConfig is returned by New for a Config that cannot be used.
	ErrConfig = errors.New("bad config")

	// ErrPortInUse is returned by Start when the address is taken.
	ErrPortInUse = errors.New("port is in use")
)

// CallError is the answer of a peer whose handler failed, or that could not run
// the call. Between nodes an error is a code and a text.
type CallError struct {
	Code CallCode
	Text string
}

// Error is the code and the text.
func (e *CallError) Error() string {
	if e.Text == "" {
		return "call failed: " + e.Code.String()
	}
	return fmt.Sprintf("call failed: %s: %s", e.Code, e.Text)
}

// Is makes a refusal for want of room an ErrFull, and one for size an
// ErrTooLarge.
func (e *CallError) Is(target error) bool {
	return e.Code == CallBusy && target == ErrFull || e.Code == CallTooLarge && target == ErrTooLarge
}

// CallCode says why a call failed at the peer. It is on the wire: append only.
type CallCode uint8

// The codes of a reply.
const (
	CallOK       CallCode = 0
	CallFailed   CallCode = 1 // the handler returned an error; the text is its
	CallUnknown  CallCode = 2 // the peer has no handler for the kind
	CallBusy     CallCode = 3 // too many calls under way there: not run
	CallTooLarge CallCode = 4 // request or reply is beyond the peer's limit
)

func (c CallCode) String() string {
	switch c {
	case CallOK:
		return "ok"
	case CallFailed:
		return "failed"
	case CallUnknown:
		return "unknown kind"
	case CallBusy:
		return "busy"
	case CallTooLarge:
		return "too large"
	}
	return fmt.Sprintf("code %d", uint8(c))
}
