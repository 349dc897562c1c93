package listener

import "fmt"

// scanner finds the packets in a stream of bytes from their fixed headers. It is
// incremental and pure: it sees each byte once, skips bodies without looking at
// them, and never allocates.
type scanner struct {
	state      scanState
	headerLen  uint8  // bytes of the current fixed header so far
	kind       uint8  // packet type of the current packet
	value      uint32 // Remaining Length so far
	left       uint32 // bytes of the body still to come
	max        uint32 // largest packet, fixed header included; 0 is no limit
	maxConnect uint32 // the same for the first packet
	packets    uint64 // complete packets seen
	publishes  uint64 // complete PUBLISH packets seen
}

type scanState uint8

const (
	scanType scanState = iota
	scanLength
	scanBody
)

const (
	typeConnect = 1
	typePublish = 3
)

// scan looks at p, the bytes that follow those of the last call. It returns the
// offset in p behind the last packet that is complete, 0 if none is. After an
// error the packets before that offset are still good, and scan must not be
// called again.
func (s *scanner) scan(p []byte) (complete int, err error) {
	for i := 0; i < len(p); {
		switch s.state {
		case scanType:
			b := p[i]
			i++
			if s.packets == 0 && b != typeConnect<<4 {
				return complete, fmt.Errorf("%w: it begins with 0x%02x", ErrFirstPacket, b)
			}
			s.kind = b >> 4
			if s.kind == 0 {
				return complete, fmt.Errorf("%w: reserved packet type 0", ErrMalformedPacket)
			}
			s.headerLen, s.value, s.state = 1, 0, scanLength

		case scanLength:
			b := p[i]
			i++
			s.value |= uint32(b&0x7f) << (7 * (s.headerLen - 1))
			s.headerLen++
			if b&0x80 != 0 {
				if s.headerLen == 5 {
					return complete, fmt.Errorf("%w: remaining length of more than four bytes", ErrMalformedPacket)
				}
				continue
			}
			size, limit := uint32(s.headerLen)+s.value, s.max
			if s.packets == 0 {
				limit = s.maxConnect
			}
			if limit > 0 && size > limit {
				return complete, fmt.Errorf("%w: %d bytes, limit %d", ErrPacketTooLarge, size, limit)
			}
			if s.value == 0 {
				s.done()
				complete = i
				continue
			}
			s.left, s.state = s.value, scanBody

		case scanBody:
			n := min(s.left, uint32(len(p)-i))
			i += int(n)
			s.left -= n
			if s.left == 0 {
				s.done()
				complete = i
			}
		}
	}
	return complete, nil
}

func (s *scanner) done() {
	s.packets++
	if s.kind == typePublish {
		s.publishes++
	}
	s.state = scanType
}

// missing is the number of bytes that the current packet needs at least.
func (s *scanner) missing() int {
	switch s.state {
	case scanBody:
		return int(s.left)
	case scanLength:
		return 1
	default:
		return 2
	}
}

// packetLen returns the length of the packet at the beginning of p, of which p
// may hold only a part, and false when p ends within its fixed header. It is for
// our own output, which is well-formed.
func packetLen(p []byte) (int, bool) {
	value, shift := 0, 0
	for i := 1; i < len(p) && i < 5; i++ {
		value |= int(p[i]&0x7f) << shift
		if p[i]&0x80 == 0 {
			return i + 1 + value, true
		}
		shift += 7
	}
	return 0, false
}
