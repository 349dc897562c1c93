package listener

import (
	"fmt"
	"net/netip"
	"strings"
)

// accessRule allows or denies a range of addresses.
type accessRule struct {
	allow  bool
	all    bool
	prefix netip.Prefix
}

// accessRules are looked through in order; the first that matches decides.
// Without a match the address is denied, as esockd does it, unless there are no
// rules at all.
type accessRules []accessRule

// parseAccessRules reads rules such as "allow all", "deny 192.168.0.0/24" and
// "allow 10.0.0.1".
func parseAccessRules(rules []string) (accessRules, error) {
	parsed := make(accessRules, 0, len(rules))
	for _, text := range rules {
		fields := strings.Fields(text)
		if len(fields) != 2 || (fields[0] != "allow" && fields[0] != "deny") {
			return nil, fmt.Errorf("access rule %q: want allow or deny, then an address, a CIDR or all", text)
		}
		rule := accessRule{allow: fields[0] == "allow"}
		switch {
		case fields[1] == "all":
			rule.all = true
		case strings.Contains(fields[1], "/"):
			prefix, err := netip.ParsePrefix(fields[1])
			if err != nil {
				return nil, fmt.Errorf("access rule %q: %w", text, err)
			}
			rule.prefix = prefix.Masked()
		default:
			addr, err := netip.ParseAddr(fields[1])
			if err != nil {
				return nil, fmt.Errorf("access rule %q: %w", text, err)
			}
			rule.prefix = netip.PrefixFrom(addr, addr.BitLen())
		}
		parsed = append(parsed, rule)
	}
	return parsed, nil
}

// allows reports whether a peer at addr may connect.
func (r accessRules) allows(addr netip.Addr) bool {
	addr = addr.Unmap()
	for i := range r {
		if r[i].all || r[i].prefix.Contains(addr) {
			return r[i].allow
		}
	}
	return len(r) == 0
}

// netipUnmap writes an IPv4 address within IPv6 as IPv4.
func netipUnmap(ap netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
