package load

import "testing"

func TestSequence(t *testing.T) {
	for _, tc := range []struct {
		name                       string
		seen                       []uint64
		sent                       uint64
		lost, duplicate, reordered uint64
	}{
		{"all in order", []uint64{0, 1, 2}, 3, 0, 0, 0},
		{"none", nil, 2, 2, 0, 0},
		{"one lost", []uint64{0, 2}, 3, 1, 0, 0},
		{"the first lost", []uint64{1, 2}, 3, 1, 0, 0},
		{"the last lost", []uint64{0, 1}, 3, 1, 0, 0},
		{"one twice", []uint64{0, 1, 1, 2}, 3, 0, 1, 0},
		{"two swapped", []uint64{0, 2, 1, 3}, 4, 0, 0, 1},
		{"late and then twice", []uint64{0, 2, 1, 1}, 3, 0, 1, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var s Sequence
			for _, n := range tc.seen {
				s.See(n)
			}
			if s.Lost(tc.sent) != tc.lost || s.Duplicates != tc.duplicate || s.Reordered != tc.reordered {
				t.Errorf("lost %d, doubled %d, reordered %d; want %d, %d, %d",
					s.Lost(tc.sent), s.Duplicates, s.Reordered, tc.lost, tc.duplicate, tc.reordered)
			}
		})
	}
}

// TestSequenceBounded: a gap larger than what is remembered is still counted.
func TestSequenceBounded(t *testing.T) {
	var s Sequence
	s.See(3 * maxMissing)
	if got := s.Lost(3*maxMissing + 1); got != 3*maxMissing {
		t.Errorf("lost %d, want %d", got, 3*maxMissing)
	}
	if len(s.missing) > maxMissing {
		t.Errorf("remembers %d numbers, want at most %d", len(s.missing), maxMissing)
	}
}
