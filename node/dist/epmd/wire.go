package epmd

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

// Message tags of the EPMD protocol.
const (
	tagAlive2Req      = 120 // x: register a node
	tagAlive2Resp     = 121 // y: answer with a 16-bit creation
	tagAlive2XResp    = 118 // v: answer with a 32-bit creation
	tagPortPlease2Req = 122 // z: ask for one node
	tagPort2Resp      = 119 // w: answer to it
	tagNamesReq       = 110 // n: ask for all names
	tagDumpReq        = 100 // d: names with more detail
	tagKillReq        = 107 // k: refused by Server
	tagStopReq        = 115 // s: refused by Server
)

const (
	// DefaultPort is the TCP port of the daemon.
	DefaultPort = 4369

	nodeTypeNormal = 77 // 'M'
	nodeTypeHidden = 72 // 'H'

	// maxName bounds a short name: an atom has at most 255 characters.
	maxName = 255

	// maxExtra bounds the opaque field that a node may register.
	maxExtra = 1024

	// maxRequest bounds what a Server reads for one request.
	maxRequest = 1 + 2 + 1 + 1 + 2 + 2 + 2 + maxName + 2 + maxExtra
)

// Node is what the daemon knows of a node.
type Node struct {
	// Name is the short name, without "@host".
	Name string

	// Port is where the node accepts distribution connections.
	Port uint16

	// Hidden nodes are not part of the global namespace.
	Hidden bool

	// Protocol is 0 for TCP over IPv4 or IPv6; nothing else is in use.
	Protocol byte

	// Highest and Lowest bound the distribution protocol versions that the node
	// speaks: 6 since OTP 23, with 5 as the lowest until OTP 24.
	Highest, Lowest uint16

	// Extra is opaque and usually empty.
	Extra []byte
}

// appendFrame appends body with its two-byte length, as every request has it.
func appendFrame(dst, body []byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(body)))
	return append(dst, body...)
}

// appendNodeFields appends what ALIVE2_REQ and PORT2_RESP have in common.
func appendNodeFields(dst []byte, n Node) []byte {
	kind := byte(nodeTypeNormal)
	if n.Hidden {
		kind = nodeTypeHidden
	}
	dst = binary.BigEndian.AppendUint16(dst, n.Port)
	dst = append(dst, kind, n.Protocol)
	dst = binary.BigEndian.AppendUint16(dst, n.Highest)
	dst = binary.BigEndian.AppendUint16(dst, n.Lowest)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(n.Name)))
	dst = append(dst, n.Name...)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(n.Extra)))
	return append(dst, n.Extra...)
}

// decodeNodeFields reads what appendNodeFields writes. Bytes after it are
// allowed, as the daemon allows them.
func decodeNodeFields(b []byte) (Node, error) {
	if len(b) < 10 {
		return Node{}, fmt.Errorf("%w: %d bytes for a node", ErrMalformed, len(b))
	}
	n := Node{
		Port:     binary.BigEndian.Uint16(b),
		Hidden:   b[2] == nodeTypeHidden,
		Protocol: b[3],
		Highest:  binary.BigEndian.Uint16(b[4:]),
		Lowest:   binary.BigEndian.Uint16(b[6:]),
	}
	size := int(binary.BigEndian.Uint16(b[8:]))
	b = b[10:]
	if size == 0 || size > maxName || size > len(b) {
		return Node{}, fmt.Errorf("%w: name of %d bytes in %d", ErrMalformed, size, len(b))
	}
	n.Name = string(b[:size])
	b = b[size:]
	if len(b) < 2 {
		return Node{}, fmt.Errorf("%w: no extra field", ErrMalformed)
	}
	size = int(binary.BigEndian.Uint16(b))
	b = b[2:]
	if size > maxExtra || size > len(b) {
		return Node{}, fmt.Errorf("%w: extra field of %d bytes in %d", ErrMalformed, size, len(b))
	}
	if size > 0 {
		n.Extra = append([]byte(nil), b[:size]...)
	}
	return n, nil
}

// validate refuses what the daemon would refuse.
func (n Node) validate() error {
	switch {
	case n.Name == "" || len(n.Name) > maxName || strings.ContainsAny(n.Name, "@\x00\n"):
		return fmt.Errorf("%w: %q", ErrBadName, n.Name)
	case len(n.Extra) > maxExtra:
		return fmt.Errorf("%w: extra field of %d bytes", ErrBadName, len(n.Extra))
	case n.Port == 0:
		return fmt.Errorf("%w: %q without a port", ErrBadName, n.Name)
	}
	return nil
}

// parseNames reads the lines of a NAMES_RESP ("name NAME at port PORT"). Lines
// of another form are skipped.
func parseNames(text string) []Node {
	var nodes []Node
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		rest, found := strings.CutPrefix(line, "name ")
		if !found {
			continue
		}
		at := strings.LastIndex(rest, " at port ")
		if at <= 0 {
			continue
		}
		port, err := strconv.ParseUint(rest[at+len(" at port "):], 10, 16)
		if err != nil {
			continue
		}
		nodes = append(nodes, Node{Name: rest[:at], Port: uint16(port)})
	}
	return nodes
}
