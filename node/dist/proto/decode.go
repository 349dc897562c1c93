package proto

import (
	"fmt"
	"math/big"

	"ermine/node/dist/etf"
)

// Operations of control messages.
const (
	opLink           = 1
	opSend           = 2
	opExit           = 3
	opUnlink         = 4
	opNodeLink       = 5
	opRegSend        = 6
	opGroupLeader    = 7
	opExit2          = 8
	opSendTT         = 12
	opExitTT         = 13
	opRegSendTT      = 16
	opExit2TT        = 18
	opMonitorP       = 19
	opDemonitorP     = 20
	opMonitorPExit   = 21
	opSendSender     = 22
	opSendSenderTT   = 23
	opPayloadExit    = 24
	opPayloadExitTT  = 25
	opPayloadExit2   = 26
	opPayloadExit2TT = 27
	opPayloadDown    = 28
	opSpawnRequest   = 29
	opSpawnRequestTT = 30
	opSpawnReply     = 31
	opSpawnReplyTT   = 32
	opAliasSend      = 33
	opAliasSendTT    = 34
	opUnlinkID       = 35
	opUnlinkIDAck    = 36
)

// hasPayload reports whether a second term follows the control tuple.
func hasPayload(op int64) bool {
	switch op {
	case opSend, opSendTT, opRegSend, opRegSendTT, opSendSender, opSendSenderTT,
		opAliasSend, opAliasSendTT, opPayloadExit, opPayloadExitTT,
		opPayloadExit2, opPayloadExit2TT, opPayloadDown,
		opSpawnRequest, opSpawnRequestTT:
		return true
	}
	return false
}

// signals is memory for decoded signals: the reader uses it again for each.
type signals struct {
	send      Send
	sendName  SendName
	sendAlias SendAlias
	link      Link
	unlink    Unlink
	unlinkAck UnlinkAck
	exit      Exit
	exit2     Exit2
	monitor   Monitor
	demonitor Demonitor
	down      Down
	leader    GroupLeader
	spawn     SpawnRequest
	reply     SpawnReply
}

// fields reads the elements of a control tuple; the first wrong one is kept in
// err.
type fields struct {
	tuple etf.Tuple
	err   error
}

func (f *fields) at(i int) any {
	if i < len(f.tuple) {
		return f.tuple[i]
	}
	f.bad(i, "missing")
	return nil
}

func (f *fields) bad(i int, what any) {
	if f.err == nil {
		f.err = fmt.Errorf("%w: element %d of a control message: %T", ErrProtocol, i, what)
	}
}

func (f *fields) pid(i int) etf.Pid {
	v := f.at(i)
	pid, ok := v.(etf.Pid)
	if !ok {
		f.bad(i, v)
	}
	return pid
}

func (f *fields) atom(i int) etf.Atom {
	v := f.at(i)
	atom, ok := v.(etf.Atom)
	if !ok {
		f.bad(i, v)
	}
	return atom
}

func (f *fields) ref(i int) etf.Ref {
	v := f.at(i)
	ref, ok := v.(etf.Ref)
	if !ok {
		f.bad(i, v)
	}
	return ref
}

// process is a pid or a registered name.
func (f *fields) process(i int) (pid etf.Pid, name etf.Atom) {
	switch v := f.at(i).(type) {
	case etf.Pid:
		return v, ""
	case etf.Atom:
		if v == "" {
			f.bad(i, v)
		}
		return pid, v
	default:
		f.bad(i, v)
		return pid, ""
	}
}

func (f *fields) int(i int) int64 {
	v := f.at(i)
	n, ok := v.(int64)
	if !ok {
		f.bad(i, v)
	}
	return n
}

// id is an integer of 64 bits without sign.
func (f *fields) id(i int) uint64 {
	switch v := f.at(i).(type) {
	case int64:
		if v > 0 {
			return uint64(v)
		}
		f.bad(i, v)
	case *big.Int:
		if v.IsUint64() {
			return v.Uint64()
		}
		f.bad(i, v)
	default:
		f.bad(i, v)
	}
	return 0
}

// decode turns a control tuple and its payload into a Signal in s. Trace
// tokens are dropped. It returns nil for a message to be ignored. The control
// tuple is in memory that will be used again, so the terms in it that the
// handler may keep are copied.
func (s *signals) decode(op int64, control etf.Tuple, payload any) (Signal, error) {
	f := fields{tuple: control}
	var sig Signal
	switch op {
	case opSend, opSendTT:
		s.send = Send{To: f.pid(2), Message: payload}
		sig = &s.send
	case opSendSender, opSendSenderTT:
		s.send = Send{From: f.pid(1), To: f.pid(2), Message: payload}
		sig = &s.send
	case opRegSend, opRegSendTT:
		s.sendName = SendName{From: f.pid(1), To: f.atom(3), Message: payload}
		sig = &s.sendName
	case opAliasSend, opAliasSendTT:
		s.sendAlias = SendAlias{From: f.pid(1), Alias: f.ref(2), Message: payload}
		sig = &s.sendAlias
	case opLink:
		s.link = Link{From: f.pid(1), To: f.pid(2)}
		sig = &s.link
	case opUnlink:
		s.unlink = Unlink{From: f.pid(1), To: f.pid(2)}
		sig = &s.unlink
	case opUnlinkID:
		s.unlink = Unlink{ID: f.id(1), From: f.pid(2), To: f.pid(3)}
		sig = &s.unlink
	case opUnlinkIDAck:
		s.unlinkAck = UnlinkAck{ID: f.id(1), From: f.pid(2), To: f.pid(3)}
		sig = &s.unlinkAck
	case opExit:
		s.exit = Exit{From: f.pid(1), To: f.pid(2), Reason: etf.Clone(f.at(3))}
		sig = &s.exit
	case opExitTT:
		s.exit = Exit{From: f.pid(1), To: f.pid(2), Reason: etf.Clone(f.at(4))}
		sig = &s.exit
	case opPayloadExit, opPayloadExitTT:
		s.exit = Exit{From: f.pid(1), To: f.pid(2), Reason: payload}
		sig = &s.exit
	case opExit2:
		s.exit2 = Exit2{From: f.pid(1), To: f.pid(2), Reason: etf.Clone(f.at(3))}
		sig = &s.exit2
	case opExit2TT:
		s.exit2 = Exit2{From: f.pid(1), To: f.pid(2), Reason: etf.Clone(f.at(4))}
		sig = &s.exit2
	case opPayloadExit2, opPayloadExit2TT:
		s.exit2 = Exit2{From: f.pid(1), To: f.pid(2), Reason: payload}
		sig = &s.exit2
	case opMonitorP:
		s.monitor = Monitor{From: f.pid(1), Ref: f.ref(3)}
		s.monitor.To, s.monitor.ToName = f.process(2)
		sig = &s.monitor
	case opDemonitorP:
		s.demonitor = Demonitor{From: f.pid(1), Ref: f.ref(3)}
		s.demonitor.To, s.demonitor.ToName = f.process(2)
		sig = &s.demonitor
	case opMonitorPExit:
		s.down = Down{To: f.pid(2), Ref: f.ref(3), Reason: etf.Clone(f.at(4))}
		s.down.From, s.down.FromName = f.process(1)
		sig = &s.down
	case opPayloadDown:
		s.down = Down{To: f.pid(2), Ref: f.ref(3), Reason: payload}
		s.down.From, s.down.FromName = f.process(1)
		sig = &s.down
	case opGroupLeader:
		s.leader = GroupLeader{From: f.pid(1), To: f.pid(2)}
		sig = &s.leader
	case opSpawnRequest, opSpawnRequestTT:
		sig = s.spawnRequest(&f, payload)
	case opSpawnReply, opSpawnReplyTT:
		s.reply = SpawnReply{Ref: f.ref(1), To: f.pid(2), Flags: int(f.int(3))}
		s.reply.Pid, s.reply.Err = f.process(4)
		sig = &s.reply
	case opNodeLink:
		return nil, nil
	default:
		return nil, fmt.Errorf("%w: control message %d", ErrProtocol, op)
	}
	return sig, f.err
}

func (s *signals) spawnRequest(f *fields, payload any) Signal {
	s.spawn = SpawnRequest{Ref: f.ref(1), From: f.pid(2), GroupLeader: f.pid(3)}
	mfa, ok := f.at(4).(etf.Tuple)
	if !ok {
		f.bad(4, f.at(4))
		return &s.spawn
	}
	inner := fields{tuple: mfa}
	s.spawn.Module, s.spawn.Function = inner.atom(0), inner.atom(1)
	s.spawn.Arity = int(inner.int(2))
	if inner.err != nil && f.err == nil {
		f.err = inner.err
	}
	options, ok := etf.AsList(f.at(5))
	if !ok {
		f.bad(5, f.at(5))
	}
	s.spawn.Options, _ = etf.Clone(options).(etf.List)
	if s.spawn.Args, ok = etf.AsList(payload); !ok || len(s.spawn.Args) != s.spawn.Arity {
		f.bad(6, payload)
	}
	return &s.spawn
}
