package handshake

import (
	"crypto/md5" //nolint:gosec // the protocol's digest
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Message tags.
const (
	tagName       = 'N' // send_name and challenge of version 6
	tagOldName    = 'n' // the same of version 5
	tagStatus     = 's'
	tagComplement = 'c'
	tagReply      = 'r'
	tagAck        = 'a'
)

// maxMessage bounds a handshake message; a node name has at most 255
// characters and so at most 1020 bytes.
const maxMessage = 2048

// maxNodeName is the most bytes of a node name.
const maxNodeName = 255 * utf8.UTFMax

// Status words.
const (
	statusOK             = "ok"
	statusOKSimultaneous = "ok_simultaneous"
	statusNok            = "nok"
	statusNotAllowed     = "not_allowed"
	statusAlive          = "alive"
	statusTrue           = "true"
	statusFalse          = "false"
	statusNamed          = "named:"
)

// nameMessage is send_name: who the initiator is.
type nameMessage struct {
	old      bool // version 5 form: 32 bits of flags, no creation
	flags    Flags
	creation uint32
	name     string
}

func (m nameMessage) append(dst []byte) []byte {
	if m.old {
		dst = append(dst, tagOldName, 0, 5)
		dst = binary.BigEndian.AppendUint32(dst, uint32(m.flags))
		return append(dst, m.name...)
	}
	dst = append(dst, tagName)
	dst = binary.BigEndian.AppendUint64(dst, uint64(m.flags))
	dst = binary.BigEndian.AppendUint32(dst, m.creation)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(m.name)))
	return append(dst, m.name...)
}

func parseName(b []byte) (nameMessage, error) {
	var m nameMessage
	switch {
	case len(b) >= 15 && b[0] == tagName:
		m.flags = Flags(binary.BigEndian.Uint64(b[1:]))
		m.creation = binary.BigEndian.Uint32(b[9:])
		size := int(binary.BigEndian.Uint16(b[13:]))
		if size > len(b)-15 {
			return m, fmt.Errorf("%w: name of %d bytes in %d", ErrMalformed, size, len(b)-15)
		}
		m.name = string(b[15 : 15+size])
	case len(b) >= 7 && b[0] == tagOldName:
		if v := binary.BigEndian.Uint16(b[1:]); v < 5 {
			return m, fmt.Errorf("%w: version %d", ErrMalformed, v)
		}
		m.old = true
		m.flags = Flags(binary.BigEndian.Uint32(b[3:]))
		m.name = string(b[7:])
	default:
		return m, fmt.Errorf("%w: not a send_name", ErrMalformed)
	}
	return m, nil
}

// challengeMessage is the acceptor's introduction.
type challengeMessage struct {
	old       bool
	flags     Flags
	challenge uint32
	creation  uint32
	name      string
}

func (m challengeMessage) append(dst []byte) []byte {
	if m.old {
		dst = append(dst, tagOldName, 0, 5)
		dst = binary.BigEndian.AppendUint32(dst, uint32(m.flags))
		dst = binary.BigEndian.AppendUint32(dst, m.challenge)
		return append(dst, m.name...)
	}
	dst = append(dst, tagName)
	dst = binary.BigEndian.AppendUint64(dst, uint64(m.flags))
	dst = binary.BigEndian.AppendUint32(dst, m.challenge)
	dst = binary.BigEndian.AppendUint32(dst, m.creation)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(m.name)))
	return append(dst, m.name...)
}

func parseChallenge(b []byte) (challengeMessage, error) {
	var m challengeMessage
	switch {
	case len(b) >= 19 && b[0] == tagName:
		m.flags = Flags(binary.BigEndian.Uint64(b[1:]))
		m.challenge = binary.BigEndian.Uint32(b[9:])
		m.creation = binary.BigEndian.Uint32(b[13:])
		size := int(binary.BigEndian.Uint16(b[17:]))
		if size > len(b)-19 {
			return m, fmt.Errorf("%w: name of %d bytes in %d", ErrMalformed, size, len(b)-19)
		}
		m.name = string(b[19 : 19+size])
	case len(b) >= 11 && b[0] == tagOldName:
		m.old = true
		m.flags = Flags(binary.BigEndian.Uint32(b[3:]))
		m.challenge = binary.BigEndian.Uint32(b[7:])
		m.name = string(b[11:])
	default:
		return m, fmt.Errorf("%w: not a challenge", ErrMalformed)
	}
	return m, nil
}

// statusMessage is the acceptor's verdict, or the initiator's answer to alive.
type statusMessage struct {
	word string

	// For "named:": the name and creation that the acceptor chose.
	name     string
	creation uint32
}

func (m statusMessage) append(dst []byte) []byte {
	dst = append(dst, tagStatus)
	dst = append(dst, m.word...)
	if m.word == statusNamed {
		dst = binary.BigEndian.AppendUint16(dst, uint16(len(m.name)))
		dst = append(dst, m.name...)
		dst = binary.BigEndian.AppendUint32(dst, m.creation)
	}
	return dst
}

func parseStatus(b []byte) (statusMessage, error) {
	if len(b) < 1 || b[0] != tagStatus {
		return statusMessage{}, fmt.Errorf("%w: not a status", ErrMalformed)
	}
	b = b[1:]
	if rest, named := strings.CutPrefix(string(b), statusNamed); named {
		b = []byte(rest)
		if len(b) < 2 {
			return statusMessage{}, fmt.Errorf("%w: short named status", ErrMalformed)
		}
		size := int(binary.BigEndian.Uint16(b))
		if len(b) < 2+size+4 {
			return statusMessage{}, fmt.Errorf("%w: short named status", ErrMalformed)
		}
		return statusMessage{
			word:     statusNamed,
			name:     string(b[2 : 2+size]),
			creation: binary.BigEndian.Uint32(b[2+size:]),
		}, nil
	}
	switch word := string(b); word {
	case statusOK, statusOKSimultaneous, statusNok, statusNotAllowed, statusAlive, statusTrue, statusFalse:
		return statusMessage{word: word}, nil
	default:
		return statusMessage{}, fmt.Errorf("%w: status of %d bytes", ErrMalformed, len(b))
	}
}

func appendComplement(dst []byte, flags Flags, creation uint32) []byte {
	dst = append(dst, tagComplement)
	dst = binary.BigEndian.AppendUint32(dst, uint32(flags>>32))
	return binary.BigEndian.AppendUint32(dst, creation)
}

func parseComplement(b []byte) (high Flags, creation uint32, err error) {
	if len(b) < 9 || b[0] != tagComplement {
		return 0, 0, fmt.Errorf("%w: not a complement", ErrMalformed)
	}
	return Flags(binary.BigEndian.Uint32(b[1:])) << 32, binary.BigEndian.Uint32(b[5:]), nil
}

// digest is the proof of the cookie for a challenge: MD5 of the cookie and the
// challenge in decimal.
type digest [md5.Size]byte

func makeDigest(cookie string, challenge uint32) digest {
	return md5.Sum(strconv.AppendUint([]byte(cookie), uint64(challenge), 10)) //nolint:gosec // the protocol's
}

func (d digest) equal(b []byte) bool { return subtle.ConstantTimeCompare(d[:], b) == 1 }

func appendReply(dst []byte, challenge uint32, d digest) []byte {
	dst = append(dst, tagReply)
	dst = binary.BigEndian.AppendUint32(dst, challenge)
	return append(dst, d[:]...)
}

func parseReply(b []byte) (challenge uint32, sum []byte, err error) {
	if len(b) != 1+4+md5.Size || b[0] != tagReply {
		return 0, nil, fmt.Errorf("%w: not a challenge reply", ErrMalformed)
	}
	return binary.BigEndian.Uint32(b[1:]), b[5:], nil
}

func appendAck(dst []byte, d digest) []byte { return append(append(dst, tagAck), d[:]...) }

func parseAck(b []byte) (sum []byte, err error) {
	if len(b) != 1+md5.Size || b[0] != tagAck {
		return nil, fmt.Errorf("%w: not a challenge acknowledgement", ErrMalformed)
	}
	return b[1:], nil
}

// checkNodeName holds a full node name to its form.
func checkNodeName(name string) error {
	short, host, found := strings.Cut(name, "@")
	if !found || short == "" || checkHost(host) != nil || len(name) > maxNodeName || !utf8.ValidString(name) || !plain(short) {
		return fmt.Errorf("%w: %.64q is not of the form short@host", ErrName, name)
	}
	return nil
}

// checkHost holds what a nameless node sends in place of its name.
func checkHost(host string) error {
	if host == "" || len(host) > maxNodeName || strings.Contains(host, "@") || !utf8.ValidString(host) || !plain(host) {
		return fmt.Errorf("%w: %.64q is not a host", ErrName, host)
	}
	return nil
}

// plain refuses what would disturb a log line.
func plain(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f }) < 0
}
