package cluster

import (
	"errors"
	"fmt"
)

var (
	// ErrSelf is the result of a join or force-leave whose target is the node
	// itself.
	ErrSelf = errors.New("target is this node")

	// ErrNotInCluster is the result of a leave on a node that has no cluster to
	// leave, and of a force-leave of a name that is no member.
	ErrNotInCluster = errors.New("node is not in the cluster")

	// ErrBusy is the result of a join, leave or force-leave while another one of
	// the same node is under way.
	ErrBusy = errors.New("another membership command is under way")

	// ErrInterrupted is the result of a command whose node was removed from its
	// cluster, or stopped, before the command was done.
	ErrInterrupted = errors.New("interrupted")

	// ErrRenamed is returned (in a *RenamedError) by New for a member whose name
	// is not the one it had when it joined.
	ErrRenamed = errors.New("a member cannot change its name")

	// ErrConfig is returned by New for settings that contradict each other.
	ErrConfig = errors.New("bad membership settings")

	// ErrMalformed is returned by Decode for bytes that are no message.
	ErrMalformed = errors.New("malformed membership message")

	// ErrUnknownMessage is returned by Decode for a message of a kind or format
	// that this release does not know: a newer node sent it. It is skipped and
	// counted, and is nobody's fault.
	ErrUnknownMessage = errors.New("membership message of a newer release")

	// ErrStateFormat is returned by Load for a state file that a newer release
	// wrote.
	ErrStateFormat = errors.New("membership file has a newer format")

	// ErrStateCorrupt is returned by Load for a state file that is damaged.
	ErrStateCorrupt = errors.New("membership file is damaged")
)

// Reason says which check a join failed, in the order in which they are made.
type Reason uint8

// The reasons. Their numbers are part of the protocol: ONLY APPEND.
const (
	ReasonAlreadyInCluster Reason = 1 + iota
	ReasonUnreachable             // see Cause
	ReasonNameMismatch            // the peer calls itself otherwise
	ReasonVersions
	ReasonNotRunning
	ReasonLeaving
	ReasonClock
	ReasonSingleton
	ReasonNameTaken   // a running member has the joiner's name
	ReasonDuplicateID // the peer has this node's identity: a copied data_dir
	ReasonBusy        // one of both was joining or being joined until the time was over
)

var reasonNames = [...]string{
	"unknown", "already_in_cluster", "unreachable", "name_mismatch", "versions",
	"not_running", "leaving", "clock", "singleton", "name_taken", "duplicate_id", "busy",
}

// String is the reason's name in logs and JSON.
func (r Reason) String() string {
	if int(r) < len(reasonNames) {
		return reasonNames[r]
	}
	return reasonNames[0]
}

// Cause says why a target could not be reached, as far as the connecting side
// can tell.
type Cause uint8

// The causes.
const (
	CauseUnknown Cause = iota
	CauseResolve       // the host's name has no address
	CausePort          // nobody listens on the port, or EPMD does not know the name
	CauseCookie        // cookies differ
	CauseName          // the peer calls itself otherwise
	CauseSilent        // connected, or trying to, but no answer in time
)

var causeNames = [...]string{"unknown", "resolve", "port", "cookie", "name_mismatch", "silent"}

// String is the cause's name in logs and JSON.
func (c Cause) String() string {
	if int(c) < len(causeNames) {
		return causeNames[c]
	}
	return causeNames[0]
}

// JoinError is the result of a join that was refused or could not be made.
// JoinFailure explains it to an operator.
type JoinError struct {
	Target NodeName
	Reason Reason
	// Cause is set when Reason is ReasonUnreachable.
	Cause Cause
	// Detail is what is known beyond that, such as the other name, the ranges
	// of versions or the distance of clocks; may be empty.
	Detail string
}

// Error implements error.
func (e *JoinError) Error() string {
	text := fmt.Sprintf("join %s: %s", e.Target, e.Reason)
	if e.Reason == ReasonUnreachable {
		text += " (" + e.Cause.String() + ")"
	}
	if e.Detail != "" {
		text += ": " + e.Detail
	}
	return text
}

// RenamedError is returned by New; it wraps ErrRenamed.
type RenamedError struct {
	// Member is the name under which the cluster knows the node, Now the one
	// that it is to start with.
	Member, Now NodeName
	// Others are the other members.
	Others []NodeName
}

// Error says how to rename a member.
func (e *RenamedError) Error() string {
	return fmt.Sprintf("%v: it joined as %s and would now start as %s; start it as %s, run `node ctl cluster leave`, then rename it and join again"+
		" (or run `node ctl cluster force-leave %s` on %s and start this node with an empty data_dir)",
		ErrRenamed, e.Member, e.Now, e.Member, e.Member, e.Others[0])
}

// Unwrap is ErrRenamed.
func (e *RenamedError) Unwrap() error { return ErrRenamed }
