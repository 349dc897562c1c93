package topic

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// checkTree looks at how a tree stands in memory.
func checkTree[V any](t *testing.T, tree *NameTree[V]) {
	t.Helper()
	count, last := 0, ""
	if len(tree.pages) != len(tree.heads) {
		t.Fatalf("%d pages, %d heads", len(tree.pages), len(tree.heads))
	}
	for i, p := range tree.pages {
		if len(p.names) == 0 || len(p.names) > pageSize || len(p.names) != len(p.values) {
			t.Fatalf("page %d has %d names, %d values", i, len(p.names), len(p.values))
		}
		if tree.heads[i] != p.names[0] {
			t.Fatalf("page %d begins with %q, its head is %q", i, p.names[0], tree.heads[i])
		}
		if i > 0 && len(p.names)+len(tree.pages[i-1].names) <= pageLow/2 {
			t.Fatalf("pages %d and %d have %d names together", i-1, i, len(p.names)+len(tree.pages[i-1].names))
		}
		for j, n := range p.names {
			if n <= last {
				t.Fatalf("page %d, name %d: %q behind %q", i, j, n, last)
			}
			last = n
		}
		count += len(p.names)
	}
	if count != tree.Len() {
		t.Fatalf("%d names, Len is %d", count, tree.Len())
	}
}

func TestNameTreeAgainstModel(t *testing.T) {
	r := seeded(t)
	for _, tt := range []struct{ steps, levels, numbers int }{
		{20_000, 3, 0}, {20_000, 4, 2}, {60_000, 3, 40},
	} {
		t.Run(fmt.Sprintf("levels=%d numbers=%d", tt.levels, tt.numbers), func(t *testing.T) {
			var tree NameTree[int]
			model := map[Name]int{}
			name := func() Name {
				n := randomName(r, tt.levels)
				if tt.numbers > 0 { // more names than the few level texts make
					n += Name("/" + strconv.Itoa(r.IntN(tt.numbers)))
				}
				return n
			}
			for step := range tt.steps {
				grow := 6 // the population swells and shrinks
				if step/5_000%2 == 1 {
					grow = 2
				}
				n := name()
				want, have := model[n]
				switch k := r.IntN(10); {
				case k < grow:
					if added := tree.Put(n, step); added == have {
						t.Fatalf("Put(%q): added = %v", n, added)
					}
					model[n] = step
				case k < 9:
					if len(model) > 0 && r.IntN(2) == 0 {
						for n, want = range model { // any
							have = true
							break
						}
					}
					if v, ok := tree.Delete(n); v != want || ok != have {
						t.Fatalf("Delete(%q) = %d, %v, want %d, %v", n, v, ok, want, have)
					}
					delete(model, n)
				default:
					if v, ok := tree.Get(n); v != want || ok != have {
						t.Fatalf("Get(%q) = %d, %v, want %d, %v", n, v, ok, want, have)
					}
				}
				if step%997 == 0 {
					checkTree(t, &tree)
					checkMatches(t, r, &tree, model, tt.levels)
				}
			}
			for n, v := range model {
				if got, ok := tree.Delete(n); got != v || !ok {
					t.Fatalf("Delete(%q) = %d, %v", n, got, ok)
				}
			}
			checkTree(t, &tree)
			if tree.Len() != 0 || len(tree.pages) != 0 {
				t.Errorf("an empty tree has %d names on %d pages", tree.Len(), len(tree.pages))
			}
		})
	}
}

// checkMatches compares matches and listings with what a model has.
func checkMatches(t *testing.T, r *rand.Rand, tree *NameTree[int], model map[Name]int, levels int) {
	t.Helper()
	all := slices.Sorted(maps.Keys(model))
	for range 20 {
		f := randomFilter(r, levels+1)
		var want []Name
		for _, n := range all {
			if matchByTheBook(f, n) {
				want = append(want, n)
			}
		}
		var got []Name
		tree.Match(f, func(n Name, v int) bool {
			if v != model[n] {
				t.Errorf("Match(%q): %q has %d, want %d", f, n, v, model[n])
			}
			got = append(got, n)
			return true
		})
		if !slices.Equal(got, want) {
			t.Fatalf("Match(%q) = %q, want %q", f, got, want)
		}
		// the same in portions, that end by budget or by fn
		got = nil
		var after Name
		for more := true; more; {
			portion, budget := 1+r.IntN(5), r.IntN(10)
			from := len(got)
			last, again := tree.MatchAfter(f, after, budget, func(n Name, _ int) bool {
				got = append(got, n)
				return len(got) < from+portion
			})
			if len(got)-from > max(budget, 1) || again && last <= after {
				t.Fatalf("MatchAfter(%q, %q, %d): %q, last %q", f, after, budget, got[from:], last)
			}
			after, more = last, again
		}
		if !slices.Equal(got, want) {
			t.Fatalf("MatchAfter(%q) = %q, want %q", f, got, want)
		}
		// behind a name that is not there
		after = randomName(r, levels)
		got = nil
		tree.MatchAfter(f, after, len(all)+1, func(n Name, _ int) bool { got = append(got, n); return true })
		want = slices.DeleteFunc(want, func(n Name) bool { return n <= after })
		if !slices.Equal(got, want) {
			t.Fatalf("MatchAfter(%q, %q) = %q, want %q", f, after, got, want)
		}
	}
	start, limit := r.IntN(len(all)+2), r.IntN(len(all)+2)
	var got []Name
	tree.Walk(start, limit, func(n Name, v int) bool {
		if v != model[n] {
			t.Errorf("Walk: %q has %d, want %d", n, v, model[n])
		}
		got = append(got, n)
		return true
	})
	want := all[min(start, len(all)):min(start+limit, len(all))]
	if !slices.Equal(got, want) {
		t.Fatalf("Walk(%d, %d) = %d names from %q, want %d from %q", start, limit, len(got), got, len(want), want)
	}
}

func TestNameTreeRules(t *testing.T) {
	var tree NameTree[int]
	for i, n := range []Name{"a", "a!x", "a/", "a/b", "a/b/c", "a0", "$SYS/x", "$SYS", "/", "b", "a!x/y"} {
		tree.Put(n, i)
	}
	for f, want := range map[Filter][]Name{
		"#":      {"/", "a", "a!x", "a!x/y", "a/", "a/b", "a/b/c", "a0", "b"}, // [MQTT-4.7.2-1]
		"+":      {"a", "a!x", "a0", "b"},
		"+/#":    {"/", "a", "a!x", "a!x/y", "a/", "a/b", "a/b/c", "a0", "b"},
		"a/#":    {"a", "a/", "a/b", "a/b/c"}, // the parent level too
		"a/+":    {"a/", "a/b"},
		"a/+/#":  {"a/", "a/b", "a/b/c"},
		"a!x/#":  {"a!x", "a!x/y"},
		"+/y":    {"a!x/y"},
		"$SYS/#": {"$SYS", "$SYS/x"},
		"$SYS/+": {"$SYS/x"},
		"+/+/c":  {"a/b/c"},
		"a/b":    {"a/b"},
		"c/#":    nil,
	} {
		var got []Name
		tree.Match(f, func(n Name, _ int) bool { got = append(got, n); return true })
		if !slices.Equal(got, want) {
			t.Errorf("Match(%q) = %q, want %q", f, got, want)
		}
	}
	calls := 0
	tree.Match("#", func(Name, int) bool { calls++; return calls < 2 })
	tree.Walk(0, 100, func(Name, int) bool { calls++; return calls < 5 })
	if calls != 5 {
		t.Errorf("%d calls, want 5", calls)
	}
	var empty NameTree[int]
	empty.Match("#", func(Name, int) bool { t.Error("a name in an empty tree"); return true })
	empty.Walk(0, 1, func(Name, int) bool { t.Error("a name in an empty tree"); return true })
	if _, ok := empty.Delete("a"); ok {
		t.Error("Delete from an empty tree")
	}
}

// retained is a tree of n names with 1,000 sites.
func retained(n int, order func(n int) []int) *NameTree[*int] {
	var tree NameTree[*int]
	v := new(int)
	for _, i := range order(n) {
		tree.Put(Name("site/"+strconv.Itoa(i%1000)+"/dev/"+strconv.Itoa(i)+"/temp"), v)
	}
	return &tree
}

// TestNameTreeFigures holds the tree to what it is for: little memory, and
// matches that look at little else than their result.
func TestNameTreeFigures(t *testing.T) {
	n := 1_000_000
	if testing.Short() || raceEnabled {
		n = 100_000
	}
	before := heap()
	tree := retained(n, rand.Perm)
	each := float64(heap()-before) / float64(n)
	t.Logf("%d names, %.0f bytes each", n, each)
	if tree.Len() != n {
		t.Fatal(tree.Len())
	}
	if each > 100 {
		t.Errorf("%.0f bytes for each name, want at most 100", each)
	}
	for _, tt := range []struct {
		filter           Filter
		results, visited int // visited at most
	}{
		{"site/7/#", n / 1000, n/1000 + 1},
		{"site/7/dev/+/temp", n / 1000, n/1000 + 1},
		{"site/7/dev/7/#", 1, 2},
		{"site/+/dev/7/temp", 1, 3 * 1000}, // a search or two at each site
		{"+/7/dev/7/temp", 1, 6},
		{"other/#", 0, 1},
		{"+/other/#", 0, 3},
		{"site/7/dev/7/temp/#", 1, 2},
	} {
		results := 0
		count := func(Name, *int) bool { results++; return true }
		if _, more := tree.MatchAfter(tt.filter, "", tt.visited, count); results != tt.results || more {
			t.Errorf("%q: %d results, more %v, want %d in a look at %d names",
				tt.filter, results, more, tt.results, tt.visited)
		}
	}
	tree.Put(Name("site/7/dev/"+strings.Repeat("x", 200)+"/temp"), nil)
	results := 0
	count := func(Name, *int) bool { results++; return true }
	long := "site/+/dev/" + strings.Repeat("x", 200) + "/temp"
	if n := testing.AllocsPerRun(10, func() { tree.Match(Filter(long), count) }); n != 0 {
		t.Errorf("%v allocations in a match", n)
	}
}

func BenchmarkNameTree(b *testing.B) {
	const n = 1_000_000
	tree := retained(n, rand.Perm)
	names := make([]Name, 1<<14)
	for i := range names {
		k := rand.IntN(n)
		names[i] = Name("site/" + strconv.Itoa(k%1000) + "/dev/" + strconv.Itoa(k) + "/temp")
	}
	v := new(int)
	b.Run("get", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			tree.Get(names[i%len(names)])
		}
	})
	b.Run("delete and put", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			tree.Delete(names[i%len(names)])
			tree.Put(names[i%len(names)], v)
		}
	})
	for _, f := range []Filter{"site/7/#", "site/7/dev/+/temp", "site/+/dev/7/temp", "+/+/+/+/hum"} {
		b.Run("match "+string(f), func(b *testing.B) {
			results := 0
			for b.Loop() {
				results = 0
				tree.Match(f, func(Name, *int) bool { results++; return true })
			}
			b.ReportMetric(float64(results), "results/op")
		})
	}
}
