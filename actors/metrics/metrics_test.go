package metrics

import (
	"regexp"
	"slices"
	"sync"
	"testing"
)

func TestEveryCounterHasItsOwnName(t *testing.T) {
	form := regexp.MustCompile(`^[a-z0-9_]+(\.[a-z0-9_]+)+$`)
	seen := map[string]Counter{}
	for c := range count {
		name := c.Name()
		if !form.MatchString(name) {
			t.Errorf("counter %d is named %q", c, name)
		}
		if other, ok := seen[name]; ok {
			t.Errorf("counters %d and %d are both named %s", c, other, name)
		}
		seen[name] = c
	}
}

func TestCountersSumOverStripes(t *testing.T) {
	s := NewSet()
	var wg sync.WaitGroup
	for stripe := range uint32(20) {
		wg.Go(func() {
			for range 1000 {
				s.Inc(stripe, BytesSent)
			}
			s.Add(stripe, BytesReceived, 3)
		})
	}
	wg.Wait()
	if got := s.Get(BytesSent); got != 20000 {
		t.Errorf("sent %d, want 20000", got)
	}
	all := s.Counters()
	if !slices.IsSortedFunc(all, func(a, b Value) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	}) || len(all) != int(count) {
		t.Errorf("%d counters, not sorted or not all", len(all))
	}
	if i := slices.Index(all, Value{"bytes.received", 60}); i < 0 {
		t.Error("bytes.received is not 60 in the list")
	}
}

func TestGaugesKeepTheirHighestReading(t *testing.T) {
	s, n := NewSet(), int64(0)
	s.Gauge("connections", func() int64 { return n })
	for _, n = range []int64{3, 9, 4} {
		s.Stats()
	}
	want := []Value{{"connections.count", 4}, {"connections.max", 9}}
	if got := s.Stats(); !slices.Equal(got, want) {
		t.Errorf("stats %v, want %v", got, want)
	}
}
