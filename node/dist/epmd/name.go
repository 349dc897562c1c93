package epmd

import (
	"fmt"
	"strings"
)

const (
	// BaseDistPort is the port of offset 0 for the Erlang distribution under
	// the static rule.
	BaseDistPort = 4370

	// BaseDataPort is the port of offset 0 for the data channel under the
	// static rule.
	BaseDataPort = 5370

	// offsetModulus bounds the offset, so that every sum stays a valid port.
	offsetModulus = 60000
)

// SplitName cuts a full node name at its first "@" into short name and host.
// The host may be an IPv6 address (x@::1), so later "@" are refused but colons
// are not. It returns ErrBadName when either part is empty.
func SplitName(node string) (short, host string, err error) {
	short, host, found := strings.Cut(node, "@")
	if !found || short == "" || host == "" || strings.Contains(host, "@") {
		return "", "", fmt.Errorf("%w: %q is not of the form short@host", ErrBadName, node)
	}
	return short, host, nil
}

// Offset is the N of the static rule: the number made of the digits at the very
// end of the short name (what stands before the first "@"), modulo 60000, and 0
// when there are none. "emqx1@h" and "emqx-01@h" have 1, "node2a@h" has 0,
// "emqx60165@h" has 165.
func Offset(node string) int {
	short, _, _ := strings.Cut(node, "@")
	first := len(short)
	for first > 0 && short[first-1] >= '0' && short[first-1] <= '9' {
		first--
	}
	// Any number of digits is taken: reduced at each step it cannot overflow.
	n := 0
	for _, digit := range []byte(short[first:]) {
		n = (n*10 + int(digit-'0')) % offsetModulus
	}
	return n
}

// DistPort is the port on which a node listens for the Erlang distribution
// under the static rule: 4370 + Offset.
func DistPort(node string) uint16 { return uint16(BaseDistPort + Offset(node)) }

// DataPort is the port on which a node listens for the data channel under the
// static rule: 5370 + Offset.
func DataPort(node string) uint16 { return uint16(BaseDataPort + Offset(node)) }
