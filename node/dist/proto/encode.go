package proto

import (
	"encoding/binary"
	"fmt"
	"sync"

	"ermine/node/dist/etf"
	"ermine/node/dist/handshake"
)

// Tags of the external term format that control messages are built from.
const (
	tagNewPid       = 88  // NEW_PID_EXT
	tagSmallInteger = 97  // SMALL_INTEGER_EXT
	tagSmallTuple   = 104 // SMALL_TUPLE_EXT
	tagNil          = 106 // NIL_EXT
	tagSmallBig     = 110 // SMALL_BIG_EXT
	tagEmptyAtom    = 119 // SMALL_ATOM_UTF8_EXT, then length 0
)

// keptBuffer is the largest buffer that is used again: one huge message does
// not pin its memory.
const keptBuffer = 64 << 10

// packet is one signal, encoded and waiting for its turn. The distribution
// header is made when it leaves, because the atom cache depends on the order.
type packet struct {
	buf     []byte // control message, then payload
	control int    // length of the control message in buf
	refs    etf.RefTable
	enc     etf.Encoder

	// must is set for one that is never refused, deferred for one that may wait
	// for the next.
	must, deferred bool
}

var packets = sync.Pool{New: func() any { return new(packet) }}

func (p *packet) release() {
	p.refs.Reset()
	p.control, p.must, p.deferred = 0, false, false
	if cap(p.buf) > keptBuffer {
		p.buf = nil
	}
	p.buf = p.buf[:0]
	packets.Put(p)
}

// encoder writes signals in the forms that a peer with these flags reads.
type encoder struct {
	flags handshake.Flags
	depth int

	// own and peer are the node names, boxed once.
	own, peer         etf.Atom
	ownTerm, peerTerm any
}

// encode renders a signal. The caller releases the packet.
func (e *encoder) encode(sig Signal) (*packet, error) {
	p := packets.Get().(*packet)
	p.enc.MaxDepth = e.depth
	p.enc.Refs = nil
	if e.flags.Has(handshake.FlagDistHdrAtomCache) {
		p.enc.Refs = &p.refs
	}
	w := writer{e: e, p: p, b: p.buf[:0]}
	w.signal(sig)
	p.buf = w.b
	if w.err != nil {
		p.release()
		return nil, w.err
	}
	return p, nil
}

// writer appends to a packet; after the first error it does nothing more.
type writer struct {
	e   *encoder
	p   *packet
	b   []byte
	err error
}

// head begins the control tuple. Without a distribution header each term has a
// version byte of its own.
func (w *writer) head(arity, op byte) {
	if w.p.enc.Refs == nil {
		w.b = append(w.b, etf.Version)
	}
	w.b = append(w.b, tagSmallTuple, arity, tagSmallInteger, op)
}

func (w *writer) term(t any) {
	if w.err != nil {
		return
	}
	w.b, w.err = w.p.enc.AppendTerm(w.b, t)
}

// payload ends the control message and appends the second term.
func (w *writer) payload(t any) {
	w.p.control = len(w.b)
	if w.p.enc.Refs == nil {
		w.b = append(w.b, etf.Version)
	}
	w.term(t)
}

func (w *writer) empty() { w.b = append(w.b, tagEmptyAtom, 0) }

// node writes a node name; those of the two ends are boxed already.
func (w *writer) node(name etf.Atom) {
	switch name {
	case w.e.own:
		w.term(w.e.ownTerm)
	case w.e.peer:
		w.term(w.e.peerTerm)
	default:
		w.term(name)
	}
}

func (w *writer) pid(p etf.Pid) {
	w.b = append(w.b, tagNewPid)
	w.node(p.Node)
	w.b = binary.BigEndian.AppendUint32(w.b, p.ID)
	w.b = binary.BigEndian.AppendUint32(w.b, p.Serial)
	w.b = binary.BigEndian.AppendUint32(w.b, p.Creation)
}

func (w *writer) process(p etf.Pid, name etf.Atom) {
	if name != "" {
		w.term(name)
		return
	}
	w.pid(p)
}

func (w *writer) id(id uint64) {
	if id < 256 {
		w.b = append(w.b, tagSmallInteger, byte(id))
		return
	}
	w.b = append(w.b, tagSmallBig, 8, 0)
	w.b = binary.LittleEndian.AppendUint64(w.b, id)
	// Erlang wants no leading zeros: the most significant bytes come last.
	at := len(w.b) - 8
	n := 8
	for w.b[at+n-1] == 0 {
		n--
	}
	w.b = w.b[:at+n]
	w.b[at-2] = byte(n)
}

func (w *writer) need(flag handshake.Flags, what string) bool {
	if w.e.flags.Has(flag) {
		return true
	}
	w.err = fmt.Errorf("%s: %w", what, ErrUnsupported)
	return false
}

func (w *writer) signal(sig Signal) {
	switch s := sig.(type) {
	case *Send:
		if w.e.flags.Has(handshake.FlagSendSender) && !s.From.IsZero() {
			w.head(3, opSendSender)
			w.pid(s.From)
		} else {
			w.head(3, opSend)
			w.empty()
		}
		w.pid(s.To)
		w.payload(s.Message)
	case *SendName:
		w.head(4, opRegSend)
		w.pid(s.From)
		w.empty()
		w.term(s.To)
		w.payload(s.Message)
	case *SendAlias:
		if !w.need(handshake.FlagAlias, "send to an alias") {
			return
		}
		w.head(3, opAliasSend)
		w.pid(s.From)
		w.term(s.Alias)
		w.payload(s.Message)
	case *Link:
		w.head(3, opLink)
		w.pid(s.From)
		w.pid(s.To)
	case *Unlink:
		if w.e.flags.Has(handshake.FlagUnlinkID) {
			w.head(4, opUnlinkID)
			w.id(s.ID)
		} else {
			w.head(3, opUnlink)
		}
		w.pid(s.From)
		w.pid(s.To)
	case *UnlinkAck:
		w.head(4, opUnlinkIDAck)
		w.id(s.ID)
		w.pid(s.From)
		w.pid(s.To)
	case *Exit:
		w.exit(opExit, opPayloadExit, s.From, s.To, s.Reason)
	case *Exit2:
		w.exit(opExit2, opPayloadExit2, s.From, s.To, s.Reason)
	case *Monitor:
		w.head(4, opMonitorP)
		w.pid(s.From)
		w.process(s.To, s.ToName)
		w.term(s.Ref)
	case *Demonitor:
		w.head(4, opDemonitorP)
		w.pid(s.From)
		w.process(s.To, s.ToName)
		w.term(s.Ref)
	case *Down:
		w.down(s)
	case *GroupLeader:
		w.head(3, opGroupLeader)
		w.pid(s.From)
		w.pid(s.To)
	case *SpawnRequest:
		w.spawnRequest(s)
	case *SpawnReply:
		w.head(5, opSpawnReply)
		w.term(s.Ref)
		w.pid(s.To)
		w.b = append(w.b, tagSmallInteger, byte(s.Flags))
		w.process(s.Pid, s.Err)
	}
	if w.p.control == 0 {
		w.p.control = len(w.b)
	}
}

func (w *writer) exit(plain, payload byte, from, to etf.Pid, reason any) {
	withPayload := w.e.flags.Has(handshake.FlagExitPayload)
	if withPayload {
		w.head(3, payload)
	} else {
		w.head(4, plain)
	}
	w.pid(from)
	w.pid(to)
	if withPayload {
		w.payload(reason)
	} else {
		w.term(reason)
	}
}

func (w *writer) down(s *Down) {
	withPayload := w.e.flags.Has(handshake.FlagExitPayload)
	if withPayload {
		w.head(4, opPayloadDown)
	} else {
		w.head(5, opMonitorPExit)
	}
	w.process(s.From, s.FromName)
	w.pid(s.To)
	w.term(s.Ref)
	if withPayload {
		w.payload(s.Reason)
	} else {
		w.term(s.Reason)
	}
}

func (w *writer) spawnRequest(s *SpawnRequest) {
	if !w.need(handshake.FlagSpawn, "spawn") {
		return
	}
	w.head(6, opSpawnRequest)
	w.term(s.Ref)
	w.pid(s.From)
	w.pid(s.GroupLeader)
	w.term(etf.Tuple{s.Module, s.Function, s.Arity})
	if len(s.Options) == 0 {
		w.b = append(w.b, tagNil)
	} else {
		w.term(s.Options)
	}
	w.payload(s.Args)
}
