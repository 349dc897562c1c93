package load

// Sequence follows one publisher's sequence numbers at one subscriber: 0, 1, 2
// and so on. Its counts are exact as long as no more than maxMissing numbers
// are missing at a time. Not safe for concurrent use.
type Sequence struct {
	// next is the number expected; all below it have been seen or are missing.
	next uint64
	// missing are numbers below next that have not come.
	missing map[uint64]struct{}

	// Received counts every message, Duplicates those that had come before, and
	// Reordered those that came after a later one.
	Received, Duplicates, Reordered uint64
	overflow                        uint64
}

// maxMissing bounds the memory for gaps; beyond it, gaps are counted only.
const maxMissing = 1 << 16

// See notes that number n has arrived.
func (s *Sequence) See(n uint64) {
	s.Received++
	if n == s.next {
		s.next++
		return
	}
	if n < s.next {
		if _, late := s.missing[n]; late {
			delete(s.missing, n)
			s.Reordered++
		} else {
			s.Duplicates++
		}
		return
	}
	if s.missing == nil {
		s.missing = map[uint64]struct{}{}
	}
	for ; s.next < n; s.next++ {
		if len(s.missing) < maxMissing {
			s.missing[s.next] = struct{}{}
		} else {
			s.overflow++
		}
	}
	s.next++
}

// Lost is how many of the first sent numbers have not arrived.
func (s *Sequence) Lost(sent uint64) uint64 {
	lost := uint64(len(s.missing)) + s.overflow
	if sent > s.next {
		lost += sent - s.next
	}
	return lost
}
