package cluster

import (
	"encoding/binary"
	"fmt"
)

// ProtocolName and the versions name this protocol where members compare what
// they speak.
const (
	ProtocolName       = "cluster"
	ProtocolVersionMin = 1
	ProtocolVersionMax = 1
)

// wireFormat is the first byte of every message. It changes only if the header
// does, which appending never needs.
const wireFormat = 1

// The kinds of messages. The numbers are part of the protocol: ONLY APPEND.
const (
	kindPing        = 1  // at, origin 16B, originAt, digest, suspect, record
	kindAck         = 2  // echo incarnation, echo at, origin 16B, originAt, digest, record
	kindProbe       = 3  // target 16B, at
	kindProbeAck    = 4  // at, record
	kindSync        = 5  // want, records
	kindJoinRequest = 6  // at, target name, record, wall ms, singleton
	kindJoinReply   = 7  // echo incarnation, echo at, outcome, reason, detail, wall ms, chain, records
	kindDeparted    = 8  // record
	kindDepartedAck = 9  // id 16B, epoch
	kindFirstUnused = 10 // the next one
)

// Limits of what Decode accepts.
const (
	maxNameLen   = 255
	maxTextLen   = 1024
	maxRecords   = 4096
	maxVersions  = 64
	maxChain     = 256
	maxRecordLen = 16 << 10
)

// Message is what one core sends to another. The process carries it as the
// bytes of Encode, to the process named cluster on the node that Send names.
type Message struct {
	// Cluster is the sender's cluster; for Departed and its answer the one that
	// was left.
	Cluster ID
	// From is the sender's identity, FromName where it can be answered.
	From     ID
	FromName NodeName
	// To is whom the sender believes to be there; zero when it only knows the
	// name. Another node drops the message.
	To   ID
	Body Body
}

// Body is the part of a Message by its kind: one of the exported types below.
//
//sumtype:decl
type Body interface{ isBody() }

// Ping asks for an Ack: the heartbeat, and the probe on behalf of Origin.
type Ping struct {
	// At is the sender's own monotonic time, in nanoseconds; it comes back.
	At uint64
	// Origin is the member for whom the sender probes, and OriginAt its At;
	// zero for the sender's own heartbeat.
	Origin   ID
	OriginAt uint64
	// Digest is that of the sender's table.
	Digest uint64
	// Suspect tells the receiver that somebody suspects it.
	Suspect bool
	// Record is the sender's own.
	Record Record
}

// Ack answers a Ping.
type Ack struct {
	// EchoIncarnation and At are those of the Ping.
	EchoIncarnation uint64
	At              uint64
	Origin          ID
	OriginAt        uint64
	Digest          uint64
	Record          Record
}

// Probe asks a member to ping Target and to report.
type Probe struct {
	Target ID
	At     uint64
}

// ProbeAck reports that the target of a Probe answered; Record is the target's.
type ProbeAck struct {
	At     uint64
	Record Record
}

// Sync brings records: after a change the changed ones, after a difference in
// digests all. Want asks for all of the receiver's in return.
type Sync struct {
	Want    bool
	Records []Record
}

// JoinRequest asks a member to be taken into its cluster.
type JoinRequest struct {
	// At is the joiner's own monotonic time in nanoseconds; it comes back.
	At uint64
	// Target is the name by which the joiner knows the receiver.
	Target NodeName
	// Record is the one that the joiner would have as a member.
	Record Record
	// WallMs is the joiner's wall clock in milliseconds since 1970.
	WallMs    int64
	Singleton bool
}

// Answer is what a contact makes of a JoinRequest.
type Answer uint8

// The answers. Their numbers are part of the protocol: ONLY APPEND.
const (
	AnswerOffer   Answer = iota // join; the offer holds for the time of OfferFor
	AnswerBusy                  // not now, ask again
	AnswerRefused               // never, for Reason
)

// JoinReply answers a JoinRequest.
type JoinReply struct {
	// EchoIncarnation and At are those of the request.
	EchoIncarnation uint64
	At              uint64
	Answer          Answer
	Reason          Reason
	Detail          string
	WallMs          int64
	// Chain, for AnswerBusy: the contact, whom it waits for, whom that one
	// waits for, and so on.
	Chain []ID
	// Records, for AnswerOffer: the cluster's table.
	Records []Record
}

// Departed tells that Record's member has left Message.Cluster: the leaver to
// its former members, and a member to one that was removed.
type Departed struct{ Record Record }

// DepartedAck answers Departed.
type DepartedAck struct {
	ID    ID
	Epoch uint64
}

func (Ping) isBody()        {}
func (Ack) isBody()         {}
func (Probe) isBody()       {}
func (ProbeAck) isBody()    {}
func (Sync) isBody()        {}
func (JoinRequest) isBody() {}
func (JoinReply) isBody()   {}
func (Departed) isBody()    {}
func (DepartedAck) isBody() {}

// Encode appends the message's bytes to dst.
func Encode(dst []byte, m Message) []byte {
	at := len(dst)
	dst = append(dst, wireFormat, 0)
	dst = append(dst, m.Cluster[:]...)
	dst = append(dst, m.From[:]...)
	dst = append(dst, m.To[:]...)
	dst = appendText(dst, string(m.FromName))
	kind := byte(0)
	switch b := m.Body.(type) {
	case Ping:
		kind = kindPing
		dst = binary.AppendUvarint(dst, b.At)
		dst = append(dst, b.Origin[:]...)
		dst = binary.AppendUvarint(dst, b.OriginAt)
		dst = binary.BigEndian.AppendUint64(dst, b.Digest)
		dst = appendBool(dst, b.Suspect)
		dst = appendSized(dst, b.Record)
	case Ack:
		kind = kindAck
		dst = binary.AppendUvarint(dst, b.EchoIncarnation)
		dst = binary.AppendUvarint(dst, b.At)
		dst = append(dst, b.Origin[:]...)
		dst = binary.AppendUvarint(dst, b.OriginAt)
		dst = binary.BigEndian.AppendUint64(dst, b.Digest)
		dst = appendSized(dst, b.Record)
	case Probe:
		kind = kindProbe
		dst = append(dst, b.Target[:]...)
		dst = binary.AppendUvarint(dst, b.At)
	case ProbeAck:
		kind = kindProbeAck
		dst = binary.AppendUvarint(dst, b.At)
		dst = appendSized(dst, b.Record)
	case Sync:
		kind = kindSync
		dst = appendBool(dst, b.Want)
		dst = appendRecords(dst, b.Records)
	case JoinRequest:
		kind = kindJoinRequest
		dst = binary.AppendUvarint(dst, b.At)
		dst = appendText(dst, string(b.Target))
		dst = appendSized(dst, b.Record)
		dst = binary.AppendVarint(dst, b.WallMs)
		dst = appendBool(dst, b.Singleton)
	case JoinReply:
		kind = kindJoinReply
		dst = binary.AppendUvarint(dst, b.EchoIncarnation)
		dst = binary.AppendUvarint(dst, b.At)
		dst = append(dst, byte(b.Answer), byte(b.Reason))
		dst = appendText(dst, b.Detail)
		dst = binary.AppendVarint(dst, b.WallMs)
		dst = binary.AppendUvarint(dst, uint64(len(b.Chain)))
		for _, id := range b.Chain {
			dst = append(dst, id[:]...)
		}
		dst = appendRecords(dst, b.Records)
	case Departed:
		kind = kindDeparted
		dst = appendSized(dst, b.Record)
	case DepartedAck:
		kind = kindDepartedAck
		dst = append(dst, b.ID[:]...)
		dst = binary.AppendUvarint(dst, b.Epoch)
	}
	dst[at+1] = kind
	return dst
}

func appendText(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

func appendBool(dst []byte, b bool) []byte {
	if b {
		return append(dst, 1)
	}
	return append(dst, 0)
}

// appendRecord writes a record's fields; what later versions add comes behind.
func appendRecord(dst []byte, r Record) []byte {
	dst = append(dst, r.ID[:]...)
	dst = appendText(dst, string(r.Name))
	dst = binary.AppendUvarint(dst, r.Epoch)
	dst = appendBool(dst, r.Left)
	dst = binary.AppendUvarint(dst, r.Incarnation)
	dst = binary.AppendUvarint(dst, r.Seq)
	dst = append(dst, byte(r.Status))
	dst = binary.AppendVarint(dst, r.LeftAtMs)
	dst = appendText(dst, r.Release)
	dst = binary.AppendUvarint(dst, uint64(len(r.Versions)))
	for _, v := range r.Versions {
		dst = appendText(dst, v.Protocol)
		dst = binary.AppendUvarint(dst, uint64(v.Min))
		dst = binary.AppendUvarint(dst, uint64(v.Max))
	}
	return dst
}

// appendSized writes a record behind its length, so that an older reader can
// skip fields that it does not know.
func appendSized(dst []byte, r Record) []byte {
	var room [256]byte
	body := appendRecord(room[:0], r)
	dst = binary.AppendUvarint(dst, uint64(len(body)))
	return append(dst, body...)
}

func appendRecords(dst []byte, recs []Record) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(recs)))
	for _, r := range recs {
		dst = appendSized(dst, r)
	}
	return dst
}

// reader reads fields. Once one is wrong, bad is set and all further ones are
// zero.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if r.bad || n < 0 || n > len(r.b) {
		r.bad = true
		return nil
	}
	field := r.b[:n]
	r.b = r.b[n:]
	return field
}

func (r *reader) id() (id ID) {
	copy(id[:], r.take(len(id)))
	return id
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) bool() bool { return r.byte() != 0 }

func (r *reader) uint() uint64 {
	v, n := binary.Uvarint(r.b)
	if r.bad || n <= 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) int() int64 {
	v, n := binary.Varint(r.b)
	if r.bad || n <= 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) fixed64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (r *reader) text(limit int) string {
	return string(r.take(r.count(limit)))
}

// count reads a number of things that each take a byte or more.
func (r *reader) count(limit int) int {
	n := r.uint()
	if n > uint64(limit) || n > uint64(len(r.b)) {
		r.bad = true
		return 0
	}
	return int(n)
}

func (r *reader) record() (rec Record) {
	in := reader{b: r.take(r.count(maxRecordLen))}
	rec.ID = in.id()
	rec.Name = NodeName(in.text(maxNameLen))
	rec.Epoch = in.uint()
	rec.Left = in.bool()
	rec.Incarnation = in.uint()
	rec.Seq = in.uint()
	rec.Status = Status(in.byte())
	rec.LeftAtMs = in.int()
	rec.Release = in.text(maxTextLen)
	for range in.count(maxVersions) {
		v := Range{Protocol: in.text(maxNameLen)}
		low, high := in.uint(), in.uint()
		if low > 0xffff || high > 0xffff {
			in.bad = true
		}
		v.Min, v.Max = uint16(low), uint16(high)
		rec.Versions = append(rec.Versions, v)
	}
	if in.bad || rec.ID == (ID{}) || rec.Name == "" {
		r.bad = true
		return Record{}
	}
	return rec
}

func (r *reader) records() []Record {
	n := r.count(maxRecords)
	if r.bad || n == 0 {
		return nil
	}
	recs := make([]Record, 0, min(n, 64))
	for range n {
		rec := r.record()
		if r.bad {
			return nil
		}
		recs = append(recs, rec)
	}
	return recs
}

// Decode reads what Encode wrote, by this release or a newer one: fields
// appended later are skipped. The error wraps ErrUnknownMessage for kinds
// appended later, and ErrMalformed for anything else that is not a message.
// The result shares nothing with b.
func Decode(b []byte) (Message, error) {
	var m Message
	if len(b) < 2 {
		return m, fmt.Errorf("%w: %d bytes", ErrMalformed, len(b))
	}
	if b[0] != wireFormat {
		return m, fmt.Errorf("%w: format %d", ErrUnknownMessage, b[0])
	}
	r := &reader{b: b[2:]}
	m.Cluster, m.From, m.To = r.id(), r.id(), r.id()
	m.FromName = NodeName(r.text(maxNameLen))
	if r.bad || m.FromName == "" || m.From == (ID{}) {
		return Message{}, fmt.Errorf("%w: header", ErrMalformed)
	}
	switch b[1] {
	case kindPing:
		m.Body = Ping{At: r.uint(), Origin: r.id(), OriginAt: r.uint(), Digest: r.fixed64(), Suspect: r.bool(), Record: r.record()}
	case kindAck:
		m.Body = Ack{EchoIncarnation: r.uint(), At: r.uint(), Origin: r.id(), OriginAt: r.uint(), Digest: r.fixed64(), Record: r.record()}
	case kindProbe:
		m.Body = Probe{Target: r.id(), At: r.uint()}
	case kindProbeAck:
		m.Body = ProbeAck{At: r.uint(), Record: r.record()}
	case kindSync:
		m.Body = Sync{Want: r.bool(), Records: r.records()}
	case kindJoinRequest:
		m.Body = JoinRequest{At: r.uint(), Target: NodeName(r.text(maxNameLen)), Record: r.record(), WallMs: r.int(), Singleton: r.bool()}
	case kindJoinReply:
		b := JoinReply{EchoIncarnation: r.uint(), At: r.uint(), Answer: Answer(r.byte()), Reason: Reason(r.byte()), Detail: r.text(maxTextLen), WallMs: r.int()}
		for range r.count(maxChain) {
			b.Chain = append(b.Chain, r.id())
		}
		b.Records = r.records()
		m.Body = b
	case kindDeparted:
		m.Body = Departed{Record: r.record()}
	case kindDepartedAck:
		m.Body = DepartedAck{ID: r.id(), Epoch: r.uint()}
	default:
		return Message{}, fmt.Errorf("%w: kind %d from %s", ErrUnknownMessage, b[1], m.FromName)
	}
	if r.bad {
		return Message{}, fmt.Errorf("%w: kind %d from %s", ErrMalformed, b[1], m.FromName)
	}
	return m, nil
}
