package topic

import (
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// matchByTheBook is Match written down once more, in another way: the
// recursive definition over split levels.
func matchByTheBook(f Filter, n Name) bool {
	filter, name := strings.Split(string(f), "/"), strings.Split(string(n), "/")
	if strings.HasPrefix(name[0], "$") && (filter[0] == "+" || filter[0] == "#") {
		return false
	}
	var match func(f, n []string) bool
	match = func(f, n []string) bool {
		switch {
		case len(f) > 0 && f[0] == "#":
			return true
		case len(f) == 0 || len(n) == 0:
			return len(f) == 0 && len(n) == 0
		default:
			return (f[0] == "+" || f[0] == n[0]) && match(f[1:], n[1:])
		}
	}
	return match(filter, name)
}

// levelTexts are few, so that random names and filters meet, and chosen for
// their order around the slash.
var levelTexts = []string{"a", "b", "", "a!", "a0", "$s", "é"}

func randomName(r *rand.Rand, maxLevels int) Name {
	for {
		levels := make([]string, 1+r.IntN(maxLevels))
		for i := range levels {
			levels[i] = levelTexts[r.IntN(len(levelTexts))]
		}
		if n := Name(strings.Join(levels, "/")); n != "" {
			return n
		}
	}
}

func randomFilter(r *rand.Rand, maxLevels int) Filter {
	levels := strings.Split(string(randomName(r, maxLevels)), "/")
	for i := range levels {
		if r.IntN(3) == 0 {
			levels[i] = "+"
		}
	}
	if r.IntN(4) == 0 {
		levels[len(levels)-1] = "#"
	}
	return Filter(strings.Join(levels, "/"))
}

// seeded returns a source of random numbers, and logs how to have it again.
func seeded(t *testing.T) *rand.Rand {
	seed := rand.Uint64()
	if s := os.Getenv("TOPIC_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("again with TOPIC_SEED=%d go test -run '%s'", seed, t.Name())
	return rand.New(rand.NewPCG(seed, 0))
}

func TestMatchAgreesWithTheBook(t *testing.T) {
	r := seeded(t)
	hits := 0
	for range 200_000 {
		f, n := randomFilter(r, 4), randomName(r, 4)
		want := matchByTheBook(f, n)
		if got := Match(f, n); got != want {
			t.Fatalf("Match(%q, %q) = %v, want %v", f, n, got, want)
		}
		if want {
			hits++
		}
	}
	if hits < 10_000 {
		t.Errorf("only %d of the pairs matched: the test has lost its bite", hits)
	}
}

// smallWorld is every filter of up to three levels, and every name of up to
// four, over a small alphabet. The letter x is in no filter, so that a name can
// have a level that none names.
func smallWorld() (filters []Filter, names []Name) {
	var build func(prefix string, alphabet []string, levels int, add func(string))
	build = func(prefix string, alphabet []string, levels int, add func(string)) {
		for _, l := range alphabet {
			add(prefix + l)
			if levels > 1 && l != "#" {
				build(prefix+l+"/", alphabet, levels-1, add)
			}
		}
	}
	build("", []string{"a", "", "$s", "+", "#"}, 3, func(s string) {
		if s != "" {
			filters = append(filters, Filter(s))
		}
	})
	build("", []string{"a", "", "$s", "x"}, 4, func(s string) {
		if s != "" {
			names = append(names, Name(s))
		}
	})
	return filters, names
}

func TestCoversAndIntersectInASmallWorld(t *testing.T) {
	filters, names := smallWorld()
	for _, f := range filters {
		if _, err := ParseFilter(string(f)); err != nil {
			t.Fatal(err)
		}
	}
	matched := func(f Filter) []bool {
		m := make([]bool, len(names))
		for i, n := range names {
			m[i] = matchByTheBook(f, n)
		}
		return m
	}
	sets := make([][]bool, len(filters))
	for i, f := range filters {
		sets[i] = matched(f)
	}
	both := make([]bool, len(names))
	for i, a := range filters {
		for j, b := range filters {
			covers, meet := true, false
			for k := range names {
				both[k] = sets[i][k] && sets[j][k]
				covers = covers && (sets[i][k] || !sets[j][k])
				meet = meet || both[k]
			}
			if got := Covers(a, b); got != covers {
				t.Fatalf("Covers(%q, %q) = %v", a, b, got)
			}
			f, ok := Intersect(a, b)
			if ok != meet {
				t.Fatalf("Intersect(%q, %q) = %q, %v", a, b, f, ok)
			}
			if !ok {
				continue
			}
			if _, err := ParseFilter(string(f)); err != nil {
				t.Fatalf("Intersect(%q, %q): %v", a, b, err)
			}
			if !slices.Equal(matched(f), both) {
				t.Fatalf("Intersect(%q, %q) = %q, which matches other names", a, b, f)
			}
		}
	}
	t.Logf("%d filters, %d names", len(filters), len(names))
}

func TestIntersectTooLong(t *testing.T) {
	long := strings.Repeat("x", 40_000)
	if f, ok := Intersect(Filter(long+"/+"), Filter("+/"+long)); ok {
		t.Errorf("an intersection of %d bytes", len(f))
	}
	if f, ok := Intersect("a/+/c/#", "a/b/+"); !ok || f != "a/b/c" {
		t.Errorf("%q, %v", f, ok)
	}
	if f, ok := Intersect("t/#", "t/+/x"); !ok || f != "t/+/x" {
		t.Errorf("%q, %v", f, ok)
	}
}

func TestShards(t *testing.T) {
	r := seeded(t)
	for _, n := range []int{1, 2, 7, 16} {
		hits := make([]int, n)
		for range 20_000 {
			f, name := randomFilter(r, 4), randomName(r, 4)
			shard := ShardOf(f, n)
			exact, firstLevel, root := ShardsFor(name, n)
			for _, s := range []int{shard, exact, firstLevel, root} {
				if s < 0 || s >= n {
					t.Fatalf("shard %d of %d", s, n)
				}
			}
			hits[exact]++
			if !matchByTheBook(f, name) {
				continue
			}
			if f.HasWildcard() {
				if shard != firstLevel && shard != root {
					t.Fatalf("%q is in shard %d of %d, but %q asks %d and %d", f, shard, n, name, firstLevel, root)
				}
			} else if shard != exact {
				t.Fatalf("%q is in shard %d of %d, but asks %d", f, shard, n, exact)
			}
		}
		for s := range hits {
			if hits[s] == 0 {
				t.Errorf("no name is in shard %d of %d", s, n)
			}
		}
	}
}
