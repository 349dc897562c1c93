package rpc

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// # Protocol version 1
//
// All numbers are big endian. The formats are append-only: a newer node may put
// more behind the fields of a body, may use flags that were 0, and may send
// frames of new types; an older one ignores these (unknown frames are counted).
// Anything else needs a new version, which the handshake negotiates.
//
// ## Handshake (D dials, A accepts)
//
//	HELLO      D->A  "ErmD"  len:2  min:1 max:1  nonce:32  purpose:1 lane:2
//	                 incarnation:8  stream:8
//	                 name len:1 name  target len:1 target
//	CHALLENGE  A->D  "ErmA"  len:2  min:1 max:1  nonce:32
//	PROOF      D->A  hmac:32
//	WELCOME    A->D  len:2  hmac:32  status:1
//	                 incarnation:8  received:8  acked:8  name len:1 name
//
// len counts the bytes behind it, at most maxHello. min..max is the range of
// versions; the highest in common is spoken. purpose is 0 for a lane of
// messages, 1 for calls. received and acked are the highest sequence numbers of
// the stream's lane that A has seen and has acknowledged.
//
// The HMACs are HMAC-SHA-256 with the key SHA-256("ermine rpc 1" 0 cookie):
//
//	PROOF    over  "dialler"  then binding, HELLO, CHALLENGE
//	WELCOME  over  "acceptor" then binding, HELLO, CHALLENGE, WELCOME behind hmac
//
// each of these with its length (4 bytes) before it. binding is the TLS exporter
// "EXPORTER-ermine-rpc" (32 bytes), or
// nothing over TCP. A peer that fails before PROOF is checked gets no answer.
//
// ## Frames (after the handshake)
//
//	len:4  crc:4  type:1  flags:1  count:2  body
//
// len counts the bytes behind it. crc is CRC-32C over the bytes behind it. count
// is the number of messages in DATA, else 0.
//
//	type       from  body                                             flags
//	1 DATA      D    first:8  count messages                          -
//	2 ACK       A    acked:8                                          -
//	3 BEAT      D A  last:8                                           -
//	4 REQUEST   D    id:8  kind:1  wait:4  size:8  chunk    (first)   1 first, 2 last
//	                 id:8  chunk                            (others)
//	5 REPLY     A    id:8  code:1  chunk                              2 last
//	6 CANCEL    D    id:8                                             -
//
// A message is len:4 kind:1 flags:1 payload; len counts kind, flags and
// payload. Flag 1: nobody awaits an acknowledgement; the message counts as
// acknowledged when the handler returns. The messages of a DATA have the
// sequence numbers first, first+1 and so on. last is the number of the last
// message written before, 0 on the connection for calls. On a lane A sends an ACK
// where it would send a BEAT. wait is how many milliseconds the
// caller will wait, 0 for no limit; size is that of the whole request. The chunk
// of a reply that is not CallOK is a text.
const (
	// VersionMin and VersionMax are the protocol versions that this node speaks.
	VersionMin = 1
	VersionMax = 1

	helloMagic     = "ErmD"
	challengeMagic = "ErmA"
	nonceLen       = 32
	proofLen       = 32
	maxName        = 255
	// maxHello bounds what follows a len of the handshake. What this version
	// needs at most is helloFixed + 2*maxName; the rest is room to append.
	maxHello = 2048

	helloFixed     = 2 + nonceLen + 1 + 2 + 2*8 + 2
	challengeFixed = 2 + nonceLen
	welcomeFixed   = proofLen + 1 + 3*8 + 1

	lenSize      = 4
	headerSize   = 12
	firstSize    = 8
	dataOverhead = headerSize + firstSize
	msgOverhead  = 6
	maxCount     = 1<<16 - 1

	// chunkSize is the most of a request or reply in one frame, so that calls
	// that share the connection take turns.
	chunkSize    = 64 << 10
	requestFixed = 8 + 1 + 4 + 8
	replyFixed   = 8 + 1

	msgNoReply = 1 // message flag: nobody awaits an acknowledgement

	flagFirst = 1 // frame flags
	flagLast  = 2
)

// frameType is the type of a frame; append only.
type frameType uint8

const (
	frameData    frameType = 1
	frameAck     frameType = 2
	frameBeat    frameType = 3
	frameRequest frameType = 4
	frameReply   frameType = 5
	frameCancel  frameType = 6
)

// purpose says what a connection is for; append only.
type purpose uint8

const (
	purposeLane purpose = 0
	purposeCall purpose = 1
)

// status is A's answer to D once both have proved the cookie; append only.
type status uint8

const (
	statusOK          status = 0
	statusWrongName   status = 1 // A is not D's target
	statusUnknownPeer status = 2 // D is no peer of A
	statusOldLife     status = 3 // D's incarnation was replaced by a newer life
	statusOldStream   status = 4 // D's stream was replaced by a newer one
	statusBadLane     status = 5 // no such lane or purpose
	statusStopping    status = 6
)

func (s status) String() string {
	switch s {
	case statusOK:
		return "ok"
	case statusWrongName:
		return "it has another name"
	case statusUnknownPeer:
		return "this node is no peer of it"
	case statusOldLife:
		return "this life was replaced"
	case statusOldStream:
		return "this stream was replaced"
	case statusBadLane:
		return "no such lane"
	case statusStopping:
		return "it stops"
	}
	return fmt.Sprintf("status %d", uint8(s))
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// header is what stands before a frame's body.
type header struct {
	typ   frameType
	flags uint8
	count uint16
}

// putHeader fills in the header of the frame that b holds, b[headerSize:] being
// its body.
func putHeader(b []byte, h header) {
	binary.BigEndian.PutUint32(b, uint32(len(b)-lenSize))
	b[8], b[9] = byte(h.typ), h.flags
	binary.BigEndian.PutUint16(b[10:], h.count)
	binary.BigEndian.PutUint32(b[4:], crc32.Checksum(b[8:], castagnoli))
}

// frameLen is the length of the frame that starts b, whole or not, header
// included. b holds lenSize bytes at least; limit bounds the result.
func frameLen(b []byte, limit int) (int, error) {
	n := uint64(binary.BigEndian.Uint32(b)) + lenSize
	if n < headerSize || n > uint64(limit) {
		return 0, fmt.Errorf("%w: frame of %d bytes", ErrProtocol, n)
	}
	return int(n), nil
}

// parseFrame splits a whole frame, as long as frameLen said, after checking it.
func parseFrame(b []byte) (header, []byte, error) {
	if crc32.Checksum(b[8:], castagnoli) != binary.BigEndian.Uint32(b[4:]) {
		return header{}, nil, fmt.Errorf("%w: checksum differs", ErrProtocol)
	}
	return header{frameType(b[8]), b[9], binary.BigEndian.Uint16(b[10:])}, b[headerSize:], nil
}

// appendAck appends an ACK.
func appendAck(dst []byte, acked uint64) []byte {
	start := len(dst)
	dst = append(dst, make([]byte, headerSize)...)
	dst = binary.BigEndian.AppendUint64(dst, acked)
	putHeader(dst[start:], header{typ: frameAck})
	return dst
}

// appendBeat appends a BEAT.
func appendBeat(dst []byte, last uint64) []byte {
	start := len(dst)
	dst = append(dst, make([]byte, headerSize)...)
	dst = binary.BigEndian.AppendUint64(dst, last)
	putHeader(dst[start:], header{typ: frameBeat})
	return dst
}

// appendCancel appends a CANCEL.
func appendCancel(dst []byte, id uint64) []byte {
	start := len(dst)
	dst = append(dst, make([]byte, headerSize)...)
	dst = binary.BigEndian.AppendUint64(dst, id)
	putHeader(dst[start:], header{typ: frameCancel})
	return dst
}

// request is what the first frame of a request says.
type request struct {
	kind Kind
	wait uint32 // milliseconds; 0: no limit
	size uint64
}

// appendRequest appends one REQUEST; r counts in the first only.
func appendRequest(dst []byte, id uint64, r request, flags uint8, chunk []byte) []byte {
	start := len(dst)
	dst = append(dst, make([]byte, headerSize)...)
	dst = binary.BigEndian.AppendUint64(dst, id)
	if flags&flagFirst != 0 {
		dst = append(dst, byte(r.kind))
		dst = binary.BigEndian.AppendUint32(dst, r.wait)
		dst = binary.BigEndian.AppendUint64(dst, r.size)
	}
	dst = append(dst, chunk...)
	putHeader(dst[start:], header{typ: frameRequest, flags: flags})
	return dst
}

// parseRequest reads the body of a REQUEST; the chunk is part of body.
func parseRequest(flags uint8, body []byte) (id uint64, r request, chunk []byte, err error) {
	if len(body) < 8 || flags&flagFirst != 0 && len(body) < requestFixed {
		return 0, r, nil, fmt.Errorf("%w: request of %d bytes", ErrProtocol, len(body))
	}
	id, body = binary.BigEndian.Uint64(body), body[8:]
	if flags&flagFirst != 0 {
		r = request{Kind(body[0]), binary.BigEndian.Uint32(body[1:]), binary.BigEndian.Uint64(body[5:])}
		body = body[requestFixed-8:]
	}
	return id, r, body, nil
}

// appendReply appends one REPLY.
func appendReply(dst []byte, id uint64, code CallCode, flags uint8, chunk []byte) []byte {
	start := len(dst)
	dst = append(dst, make([]byte, headerSize)...)
	dst = binary.BigEndian.AppendUint64(dst, id)
	dst = append(append(dst, byte(code)), chunk...)
	putHeader(dst[start:], header{typ: frameReply, flags: flags})
	return dst
}

// parseReply reads the body of a REPLY; the chunk is part of body.
func parseReply(body []byte) (id uint64, code CallCode, chunk []byte, err error) {
	if len(body) < replyFixed {
		return 0, 0, nil, fmt.Errorf("%w: reply of %d bytes", ErrProtocol, len(body))
	}
	return binary.BigEndian.Uint64(body), CallCode(body[8]), body[replyFixed:], nil
}

// parseNumber reads the body of an ACK, BEAT or CANCEL.
func parseNumber(body []byte) (uint64, error) {
	if len(body) < 8 {
		return 0, fmt.Errorf("%w: %d bytes where a number belongs", ErrProtocol, len(body))
	}
	return binary.BigEndian.Uint64(body), nil
}

// parseData checks the body of a DATA, all messages included, so that a batch is
// taken whole or not at all. Its messages are read by nextMessage, which then
// cannot fail.
func parseData(count uint16, body []byte) (first uint64, messages []byte, err error) {
	if len(body) < firstSize || count == 0 {
		return 0, nil, fmt.Errorf("%w: batch of %d messages in %d bytes", ErrProtocol, count, len(body))
	}
	first, messages = binary.BigEndian.Uint64(body), body[firstSize:]
	if first == 0 || first+uint64(count) < first {
		return 0, nil, fmt.Errorf("%w: batch starts at %d", ErrProtocol, first)
	}
	rest := messages
	for range count {
		if _, rest, err = nextMessage(rest); err != nil {
			return 0, nil, err
		}
	}
	return first, messages, nil
}

// message is one message of a batch; payload is part of the batch.
type message struct {
	kind    Kind
	flags   uint8
	payload []byte
}

// nextMessage reads the first message of b and returns what follows it.
func nextMessage(b []byte) (m message, rest []byte, err error) {
	if len(b) < msgOverhead {
		return m, nil, fmt.Errorf("%w: message cut short", ErrProtocol)
	}
	n := uint64(binary.BigEndian.Uint32(b)) + lenSize
	if n < msgOverhead || n > uint64(len(b)) {
		return m, nil, fmt.Errorf("%w: message of %d bytes in %d", ErrProtocol, n, len(b))
	}
	return message{Kind(b[4]), b[5], b[msgOverhead:n]}, b[n:], nil
}

// putMessage fills in the overhead of the message that b holds.
func putMessage(b []byte, kind Kind, flags uint8) {
	binary.BigEndian.PutUint32(b, uint32(len(b)-lenSize))
	b[4], b[5] = byte(kind), flags
}

// hello is what D says first.
type hello struct {
	min, max    uint8
	nonce       [nonceLen]byte
	purpose     purpose
	lane        uint16
	incarnation uint64
	stream      uint64
	name        string
	target      string
}

// append appends the HELLO. The names are at most maxName bytes.
func (h *hello) append(dst []byte) []byte {
	dst = append(dst, helloMagic...)
	dst = binary.BigEndian.AppendUint16(dst, uint16(helloFixed+len(h.name)+len(h.target)))
	dst = append(dst, h.min, h.max)
	dst = append(dst, h.nonce[:]...)
	dst = append(dst, byte(h.purpose))
	dst = binary.BigEndian.AppendUint16(dst, h.lane)
	dst = binary.BigEndian.AppendUint64(dst, h.incarnation)
	dst = binary.BigEndian.AppendUint64(dst, h.stream)
	dst = append(append(dst, byte(len(h.name))), h.name...)
	return append(append(dst, byte(len(h.target))), h.target...)
}

// parse reads what follows the len of a HELLO.
func (h *hello) parse(b []byte) error {
	if len(b) < helloFixed {
		return fmt.Errorf("%w: hello of %d bytes", ErrProtocol, len(b))
	}
	h.min, h.max = b[0], b[1]
	b = b[2+copy(h.nonce[:], b[2:2+nonceLen]):]
	h.purpose, h.lane = purpose(b[0]), binary.BigEndian.Uint16(b[1:])
	h.incarnation = binary.BigEndian.Uint64(b[3:])
	h.stream = binary.BigEndian.Uint64(b[11:])
	var ok bool
	if h.name, b, ok = cutName(b[19:]); ok {
		h.target, _, ok = cutName(b)
	}
	if !ok {
		return fmt.Errorf("%w: hello cut short", ErrProtocol)
	}
	return nil
}

// cutName reads a string with its length in a byte.
func cutName(b []byte) (name string, rest []byte, ok bool) {
	if len(b) == 0 || len(b) < 1+int(b[0]) {
		return "", nil, false
	}
	n := 1 + int(b[0])
	return string(b[1:n]), b[n:], true
}

// challenge is A's answer to a hello.
type challenge struct {
	min, max uint8
	nonce    [nonceLen]byte
}

// append appends the CHALLENGE.
func (c *challenge) append(dst []byte) []byte {
	dst = append(dst, challengeMagic...)
	dst = binary.BigEndian.AppendUint16(dst, challengeFixed)
	return append(append(dst, c.min, c.max), c.nonce[:]...)
}

// parse reads what follows the len of a CHALLENGE.
func (c *challenge) parse(b []byte) error {
	if len(b) < challengeFixed {
		return fmt.Errorf("%w: challenge of %d bytes", ErrProtocol, len(b))
	}
	c.min, c.max = b[0], b[1]
	copy(c.nonce[:], b[2:])
	return nil
}

// welcome is A's last word.
type welcome struct {
	status      status
	incarnation uint64
	received    uint64
	acked       uint64
	name        string
}

// append appends the WELCOME without len and hmac.
func (w *welcome) append(dst []byte) []byte {
	dst = append(dst, byte(w.status))
	dst = binary.BigEndian.AppendUint64(dst, w.incarnation)
	dst = binary.BigEndian.AppendUint64(dst, w.received)
	dst = binary.BigEndian.AppendUint64(dst, w.acked)
	return append(append(dst, byte(len(w.name))), w.name...)
}

// parse reads what follows the hmac of a WELCOME.
func (w *welcome) parse(b []byte) error {
	if len(b) < welcomeFixed-proofLen {
		return fmt.Errorf("%w: welcome of %d bytes", ErrProtocol, len(b))
	}
	w.status = status(b[0])
	w.incarnation = binary.BigEndian.Uint64(b[1:])
	w.received = binary.BigEndian.Uint64(b[9:])
	w.acked = binary.BigEndian.Uint64(b[17:])
	var ok bool
	if w.name, _, ok = cutName(b[25:]); !ok {
		return fmt.Errorf("%w: welcome cut short", ErrProtocol)
	}
	return nil
}

// common is the version that two nodes speak with each other.
func common(minA, maxA, minB, maxB uint8) (uint8, bool) {
	v := min(maxA, maxB)
	return v, v != 0 && v >= max(minA, minB)
}
