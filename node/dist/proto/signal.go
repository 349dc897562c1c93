package proto

import "ermine/node/dist/etf"

// Signal is what one process, or node, tells another over a connection. The
// types are the pointers to the structs below.
//
//sumtype:decl
type Signal interface{ isSignal() }

// Send is a message to a process (SEND, SEND_SENDER). From is zero when an old
// peer did not say it.
type Send struct {
	From, To etf.Pid
	Message  any
}

// SendName is a message to a registered name (REG_SEND).
type SendName struct {
	From    etf.Pid
	To      etf.Atom
	Message any
}

// SendAlias is a message to a process alias (ALIAS_SEND).
type SendAlias struct {
	From    etf.Pid
	Alias   etf.Ref
	Message any
}

// Link sets up a link between From, the sender's process, and To.
type Link struct{ From, To etf.Pid }

// Unlink removes a link (UNLINK_ID). It is to be acknowledged with the same ID
// before anything else is sent to From. ID is 0 from a peer of before OTP 23.3
// (UNLINK), which wants no acknowledgement.
type Unlink struct {
	ID       uint64
	From, To etf.Pid
}

// UnlinkAck acknowledges an Unlink: To is the process that sent it.
type UnlinkAck struct {
	ID       uint64
	From, To etf.Pid
}

// Exit breaks a link because From has ended (EXIT, PAYLOAD_EXIT).
type Exit struct {
	From, To etf.Pid
	Reason   any
}

// Exit2 is a signal sent by exit/2 (EXIT2, PAYLOAD_EXIT2).
type Exit2 struct {
	From, To etf.Pid
	Reason   any
}

// Monitor asks to be told when a process ends (MONITOR_P): the process To, or,
// if ToName is not empty, the one registered under it.
type Monitor struct {
	From   etf.Pid
	To     etf.Pid
	ToName etf.Atom
	Ref    etf.Ref
}

// Demonitor takes a Monitor back (DEMONITOR_P).
type Demonitor struct {
	From   etf.Pid
	To     etf.Pid
	ToName etf.Atom
	Ref    etf.Ref
}

// Down tells the monitoring process To that the monitored process has ended
// (MONITOR_P_EXIT, PAYLOAD_MONITOR_P_EXIT). FromName is set in place of From
// when it was monitored by name.
type Down struct {
	From     etf.Pid
	FromName etf.Atom
	To       etf.Pid
	Ref      etf.Ref
	Reason   any
}

// GroupLeader makes From the group leader of To.
type GroupLeader struct{ From, To etf.Pid }

// SpawnRequest asks for a new process (SPAWN_REQUEST). Ref names the request,
// and the monitor if Options asks for one.
type SpawnRequest struct {
	Ref              etf.Ref
	From             etf.Pid
	GroupLeader      etf.Pid
	Module, Function etf.Atom
	Arity            int
	Options          etf.List
	Args             etf.List
}

// Flags of a SpawnReply.
const (
	SpawnLinked    = 1 // a link between To and Pid was set up
	SpawnMonitored = 2 // a monitor of To for Pid was set up
)

// SpawnReply answers a SpawnRequest: with Pid, or with the reason in Err when
// that is not empty.
type SpawnReply struct {
	Ref   etf.Ref
	To    etf.Pid
	Flags int
	Pid   etf.Pid
	Err   etf.Atom
}

func (*Send) isSignal()         {}
func (*SendName) isSignal()     {}
func (*SendAlias) isSignal()    {}
func (*Link) isSignal()         {}
func (*Unlink) isSignal()       {}
func (*UnlinkAck) isSignal()    {}
func (*Exit) isSignal()         {}
func (*Exit2) isSignal()        {}
func (*Monitor) isSignal()      {}
func (*Demonitor) isSignal()    {}
func (*Down) isSignal()         {}
func (*GroupLeader) isSignal()  {}
func (*SpawnRequest) isSignal() {}
func (*SpawnReply) isSignal()   {}
