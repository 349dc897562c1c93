package topic

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"
	"testing"
)

// target stands for what a router keeps of a subscription: whom to deliver to,
// and its options.
type target struct {
	session *int
	id      uint32
	_       [2]uint8 // QoS and flags
}

// population is the filter set of the figures: n subscriptions to different
// filters, a tenth of them with wildcards. Every name of hitName is matched by
// five of them.
func population(n int) (filter func(i int) Filter, hitName func(i int) Name) {
	const sites = 1000
	filter = func(i int) Filter {
		k := i / 10
		switch i % 20 {
		case 0: // site/+/dev/<k>/#
			return Filter("site/+/dev/" + strconv.Itoa(k) + "/#")
		case 10: // site/<a>/dev/+/temp and what else is asked for at large
			switch i {
			case n - 10:
				return "site/#"
			case n - 30:
				return "+/+/dev/+/temp"
			}
			if k/2 < sites {
				return Filter("site/" + strconv.Itoa(k/2) + "/dev/+/temp")
			}
			return Filter("zone/" + strconv.Itoa(k) + "/+/temp")
		default:
			return Filter("site/" + strconv.Itoa(k%sites) + "/dev/" + strconv.Itoa(k) + "/" + leaves[i%20])
		}
	}
	hitName = func(i int) Name {
		k := i % (n / 20) * 2 // devices that have a # filter
		return Name("site/" + strconv.Itoa(k%sites) + "/dev/" + strconv.Itoa(k) + "/temp")
	}
	return filter, hitName
}

var leaves = [20]string{
	1: "temp", 2: "hum", 3: "volt", 4: "amp", 5: "door", 6: "fan", 7: "rssi", 8: "up", 9: "err",
	11: "temp", 12: "hum", 13: "volt", 14: "amp", 15: "door", 16: "fan", 17: "rssi", 18: "up", 19: "err",
}

func populated(n int) (*Index[target], []*Sub[target]) {
	filter, _ := population(n)
	x := NewIndex[target]()
	subs := make([]*Sub[target], n)
	session := new(int)
	for i := range subs {
		subs[i] = &Sub[target]{Value: target{session: session, id: uint32(i)}}
		x.Add(filter(i), subs[i])
	}
	return x, subs
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestFigures holds the index to its figures: with a million subscriptions, a
// tenth of them with wildcards, 400 bytes for each, and a match of five
// without an allocation.
func TestFigures(t *testing.T) {
	n := 1_000_000
	if testing.Short() || raceEnabled {
		n = 100_000
	}
	before := heap()
	x, subs := populated(n)
	_, hitName := population(n)
	total := heap() - before - uint64(8*len(subs))
	each := float64(total) / float64(n)
	t.Logf("%d subscriptions, %.0f bytes each", n, each)
	if each > 400 {
		t.Errorf("%.0f bytes for each subscription, want at most 400", each)
	}
	if filters, have := x.Len(); filters != n || have != n {
		t.Errorf("%d filters, %d subscriptions, want %d", filters, have, n)
	}
	wild := 0
	x.Walk(func(f Filter, _ int) bool {
		if f.HasWildcard() {
			wild++
		}
		return true
	})
	if wild != n/10 {
		t.Errorf("%d filters with wildcards, want %d", wild, n/10)
	}
	var dst []*Sub[target]
	for i := range 1000 {
		name := hitName(i * 37)
		if dst = x.Match(dst[:0], name); len(dst) != 5 {
			t.Fatalf("%d subscriptions for %q, want 5", len(dst), name)
		}
	}
	name := hitName(4711)
	if allocs := testing.AllocsPerRun(100, func() { dst = x.Match(dst[:0], name) }); allocs != 0 {
		t.Errorf("%v allocations in a match, want none", allocs)
	}
	runtime.KeepAlive(subs)
}

func BenchmarkIndexMatch(b *testing.B) {
	const n = 1_000_000
	x, _ := populated(n)
	_, hitName := population(n)
	names := make([]Name, 1<<14)
	for i := range names {
		names[i] = hitName(rand.IntN(n))
	}
	bench := func(name string, match func(dst []*Sub[target], name Name) []*Sub[target], names []Name) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var dst []*Sub[target]
			hits := 0
			for i := 0; b.Loop(); i++ {
				dst = match(dst[:0], names[i%len(names)])
				hits += len(dst)
			}
			b.ReportMetric(float64(hits)/float64(b.N), "hits/op")
		})
	}
	bench("five hits, cold", x.Match, names)
	bench("five hits, hot", x.Match, names[:16])
	bench("exact part", x.MatchExact, names)
	bench("wildcard part", x.MatchWildcard, names)
	bench("no hit", x.Match, []Name{"$SYS/brokers/n1/uptime", "$SYS/brokers/n2/uptime"})
}

// BenchmarkIndexMatchAdversary matches names against every filter of d levels,
// each of them + or the literal: the most nodes that d levels can make.
func BenchmarkIndexMatchAdversary(b *testing.B) {
	for _, d := range []int{4, 8, 12} {
		x := NewIndex[int]()
		name := ""
		for l := range d {
			name += fmt.Sprintf("l%d/", l)
		}
		for mask := range 1 << d {
			f := ""
			for l := range d {
				if mask>>l&1 == 1 {
					f += "+/"
				} else {
					f += fmt.Sprintf("l%d/", l)
				}
			}
			x.Add(Filter(f+"never"), &Sub[int]{})
		}
		name += "x"
		b.Run(fmt.Sprintf("levels=%d", d), func(b *testing.B) {
			b.ReportAllocs()
			var dst []*Sub[int]
			for b.Loop() {
				if dst = x.Match(dst[:0], Name(name)); len(dst) != 0 {
					b.Fatal(dst)
				}
			}
			b.ReportMetric(b.Elapsed().Seconds()*1e9/float64(b.N)/float64(int(2)<<d), "ns/node")
		})
	}
}

func BenchmarkIndexAddRemove(b *testing.B) {
	const n = 200_000
	filter, _ := population(n)
	filters := make([]Filter, n)
	for i := range filters {
		filters[i] = filter(i)
	}
	b.Run("distinct filters", func(b *testing.B) {
		b.ReportAllocs()
		x := NewIndex[target]()
		subs := make([]Sub[target], n)
		for i := 0; b.Loop(); i++ {
			s := &subs[i%n]
			if s.in != nil {
				x.Remove(s)
			} else {
				x.Add(filters[i%n], s)
			}
		}
	})
	b.Run("one filter, 1M subscriptions", func(b *testing.B) {
		b.ReportAllocs()
		x := NewIndex[target]()
		subs := make([]Sub[target], 1_000_000)
		for i := range subs {
			x.Add("a/+", &subs[i])
		}
		b.ResetTimer()
		for b.Loop() {
			s := &subs[rand.IntN(len(subs))]
			x.Remove(s)
			x.Add("a/+", s)
		}
	})
}

func BenchmarkIndexFanOut(b *testing.B) {
	x := NewIndex[target]()
	for range 200 {
		x.Add("a/b", &Sub[target]{})
	}
	var dst []*Sub[target]
	for b.Loop() {
		dst = x.Match(dst[:0], "a/b")
	}
}
