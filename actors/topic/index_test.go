package topic

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// ids returns what a match found, in order.
func ids(subs []*Sub[int]) []int {
	var got []int
	for _, s := range subs {
		got = append(got, s.Value)
	}
	slices.Sort(got)
	return got
}

// checkTable looks at how a table stands in memory.
func checkTable[E any](t *testing.T, name string, tab *table[E]) {
	t.Helper()
	s := tab.current.Load()
	live, used := 0, 0
	for i := range s.tags {
		tag, item := s.tags[i].Load(), s.items[i].Load()
		if (tag >= tagMin) != (item != nil) {
			t.Fatalf("%s: slot %d has tag %d, item %v", name, i, tag, item)
		}
		if tag != tagNone {
			used++
		}
		if item != nil {
			live++
		}
	}
	if live != tab.live || used != tab.used || used > len(s.tags)/4*3 || len(s.tags) > minSlots && live < len(s.tags)/8 {
		t.Fatalf("%s: %d live, %d used of %d slots, but counts %d and %d", name, live, used, len(s.tags), tab.live, tab.used)
	}
}

// checkEmpty fails if an index without subscriptions still holds something.
func checkEmpty[S any](t *testing.T, x *Index[S]) {
	t.Helper()
	checkTable(t, "entries", &x.entries)
	checkTable(t, "nodes", &x.nodes)
	filters, subs := x.Len()
	if filters != 0 || subs != 0 || x.entries.live != 0 || x.nodes.live != 0 {
		t.Errorf("an empty index has %d filters, %d subscriptions, %d entries, %d nodes",
			filters, subs, x.entries.live, x.nodes.live)
	}
	if x.root.own.Load() != nil || x.root.multi.Load() != nil || x.root.plus.Load() != nil || x.root.kids.Load() != 0 {
		t.Error("an empty index has a trie")
	}
	if n := len(x.entries.current.Load().tags) + len(x.nodes.current.Load().tags); n > 256 {
		t.Errorf("an empty index has %d slots", n)
	}
}

func TestIndexFirstAndLast(t *testing.T) {
	for _, f := range []Filter{"a", "a/+", "#", "+", "$SYS/#", "a//+"} {
		x := NewIndex[int]()
		a, b, c := &Sub[int]{Value: 1}, &Sub[int]{Value: 2}, &Sub[int]{Value: 3}
		if !x.Add(f, a) || x.Add(f, b) || x.Add(f, c) {
			t.Errorf("%q: Add does not tell the first", f)
		}
		if x.Remove(b) || x.Remove(a) || !x.Remove(c) {
			t.Errorf("%q: Remove does not tell the last", f)
		}
		if x.Remove(c) {
			t.Errorf("%q: Remove of what is not there", f)
		}
		checkEmpty(t, x)
		if !x.Add(f, b) {
			t.Errorf("%q: Add after the last has gone is no first", f)
		}
	}
}

func TestIndexReplace(t *testing.T) {
	for _, others := range []int{0, 1, 5} {
		x := NewIndex[int]()
		old := &Sub[int]{Value: 1}
		x.Add("a/+", old)
		for range others {
			x.Add("a/+", &Sub[int]{Value: 100})
		}
		s := &Sub[int]{Value: 2}
		x.Replace(old, s)
		got := ids(x.Match(nil, "a/b"))
		if len(got) != 1+others || got[0] != 2 {
			t.Errorf("%d others: matched %v", others, got)
		}
		x.Add("b", old) // it is free again
		if last := x.Remove(s); last != (others == 0) {
			t.Errorf("%d others: the replacement is the last: %v", others, last)
		}
		if got := x.Match(nil, "a/b"); len(got) != others {
			t.Errorf("%d others: matched %v", others, ids(got))
		}
	}
}

func TestIndexMisuse(t *testing.T) {
	x := NewIndex[int]()
	in, out := &Sub[int]{}, &Sub[int]{}
	x.Add("a", in)
	for name, misuse := range map[string]func(){
		"Add of a subscription that is in":          func() { x.Add("b", in) },
		"Replace of a subscription that is out":     func() { x.Replace(out, &Sub[int]{}) },
		"Replace by a subscription that is in":      func() { x.Replace(in, in) },
		"Add to another index without a Detach":     func() { NewIndex[int]().Add("a", in) },
		"Replace by one that is in, of one that is": func() { x.Replace(out, in) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s does not panic", name)
				}
			}()
			misuse()
		}()
	}
	in.Detach()
	if y := NewIndex[int](); !y.Add("a", in) || y.Count("a") != 1 {
		t.Error("a detached subscription cannot be added")
	}
}

// TestIndexAgainstModel drives an index, and the same subscriptions spread over
// shards, through a random history and compares them with a list.
func TestIndexAgainstModel(t *testing.T) {
	r := seeded(t)
	for _, tt := range []struct{ steps, levels, shards int }{
		{20_000, 2, 1}, {20_000, 4, 4}, {3_000, 8, 3},
	} {
		t.Run(fmt.Sprintf("levels=%d shards=%d", tt.levels, tt.shards), func(t *testing.T) {
			type pair struct {
				f          Filter
				sub, other *Sub[int]
			}
			var model []pair
			counts := map[Filter]int{}
			x := NewIndex[int]()
			shards := make([]*Index[int], tt.shards)
			for i := range shards {
				shards[i] = NewIndex[int]()
			}
			shard := func(f Filter) *Index[int] { return shards[ShardOf(f, tt.shards)] }
			var hot []Filter // filters that many share
			for range 5 {
				hot = append(hot, randomFilter(r, tt.levels))
			}
			removeAt := func(i int) {
				p := model[i]
				model = slices.Delete(model, i, i+1)
				counts[p.f]--
				if last := x.Remove(p.sub); last != (counts[p.f] == 0) {
					t.Fatalf("Remove from %q: last = %v", p.f, last)
				}
				shard(p.f).Remove(p.other)
			}
			for step := range tt.steps {
				grow := 5 // the population swells and shrinks
				if step/1500%2 == 1 {
					grow = 3
				}
				switch k := r.IntN(10); {
				case k < grow || len(model) == 0:
					f := randomFilter(r, tt.levels)
					if r.IntN(3) == 0 {
						f = hot[r.IntN(len(hot))]
					}
					p := pair{f, &Sub[int]{Value: step}, &Sub[int]{Value: step}}
					model = append(model, p)
					if first := x.Add(f, p.sub); first != (counts[f] == 0) {
						t.Fatalf("Add to %q: first = %v", f, first)
					}
					shard(f).Add(f, p.other)
					counts[f]++
				case k < 8:
					removeAt(r.IntN(len(model)))
				case k == 8:
					p := &model[r.IntN(len(model))]
					s := &Sub[int]{Value: step}
					x.Replace(p.sub, s)
					p.sub = s
					o := &Sub[int]{Value: step}
					shard(p.f).Replace(p.other, o)
					p.other = o
				default:
					name := randomName(r, tt.levels)
					var want []int
					for _, p := range model {
						if matchByTheBook(p.f, name) {
							want = append(want, p.sub.Value)
						}
					}
					slices.Sort(want)
					if got := ids(x.Match(nil, name)); !slices.Equal(got, want) {
						t.Fatalf("step %d: %q matched %v, want %v", step, name, got, want)
					}
					exact, firstLevel, root := ShardsFor(name, tt.shards)
					got := shards[exact].MatchExact(nil, name)
					got = shards[root].MatchWildcard(got, name)
					if firstLevel != root {
						got = shards[firstLevel].MatchWildcard(got, name)
					}
					if got := ids(got); !slices.Equal(got, want) {
						t.Fatalf("step %d: %q matched %v in the shards, want %v", step, name, got, want)
					}
				}
				if step%500 == 0 {
					checkListing(t, x, counts, len(model))
				}
			}
			for len(model) > 0 {
				removeAt(r.IntN(len(model)))
			}
			checkEmpty(t, x)
			for _, s := range shards {
				checkEmpty(t, s)
			}
		})
	}
}

// checkListing compares Walk, Each, Count and Len with what ought to be there.
func checkListing(t *testing.T, x *Index[int], counts map[Filter]int, total int) {
	t.Helper()
	checkTable(t, "entries", &x.entries)
	checkTable(t, "nodes", &x.nodes)
	walked := map[Filter]bool{}
	x.Walk(func(f Filter, n int) bool {
		each := 0
		x.Each(f, func(*Sub[int]) bool { each++; return true })
		if walked[f] || n != counts[f] || each != n || x.Count(f) != n {
			t.Errorf("%q: walked before %v, Walk says %d, Each %d, Count %d, want %d",
				f, walked[f], n, each, x.Count(f), counts[f])
		}
		walked[f] = true
		return true
	})
	filters := 0
	for f, n := range counts {
		if n == 0 && x.Count(f) != 0 {
			t.Errorf("%q is gone, but counts %d", f, x.Count(f))
		}
		filters += min(n, 1)
	}
	if f, s := x.Len(); f != filters || s != total || len(walked) != filters {
		t.Errorf("Len is %d filters, %d subscriptions, Walk saw %d, want %d, %d", f, s, len(walked), filters, total)
	}
}

func TestIndexStopsWhenTold(t *testing.T) {
	x := NewIndex[int]()
	for i := range 10 {
		x.Add("a", &Sub[int]{})
		x.Add(Filter(fmt.Sprint(i)), &Sub[int]{})
	}
	calls := 0
	x.Walk(func(Filter, int) bool { calls++; return calls < 3 })
	x.Each("a", func(*Sub[int]) bool { calls++; return calls < 6 })
	if calls != 6 {
		t.Errorf("%d calls, want 6", calls)
	}
}

// TestIndexGroupShrinks has one filter lose most of a hundred thousand
// subscriptions, and looks at what is left of the room for them.
func TestIndexGroupShrinks(t *testing.T) {
	r := seeded(t)
	x := NewIndex[int]()
	subs := make([]*Sub[int], 100_000)
	for i := range subs {
		subs[i] = &Sub[int]{Value: i}
		x.Add("a", subs[i])
	}
	r.Shuffle(len(subs), func(i, j int) { subs[i], subs[j] = subs[j], subs[i] })
	for _, s := range subs[100:] {
		x.Remove(s)
	}
	var want []int
	for _, s := range subs[:100] {
		want = append(want, s.Value)
	}
	slices.Sort(want)
	if got := ids(x.Match(nil, "a")); !slices.Equal(got, want) {
		t.Errorf("matched %v, want %v", got, want)
	}
	g := x.find(textTag(x.seed, "a"), "a").many.Load()
	if n := g.n.Load(); n > 4*100 || len(g.slots) > 8*100 || cap(g.free) > 8*100 {
		t.Errorf("100 subscriptions stand in %d slots of %d, free list %d", n, len(g.slots), cap(g.free))
	}
	for i, s := range subs[:100] {
		if last := x.Remove(s); last != (i == 99) {
			t.Errorf("Remove %d: last = %v", i, last)
		}
	}
	checkEmpty(t, x)
}

// TestIndexDeepAndWide has names of very many levels, and more nodes to visit
// at a time than a frontier holds.
func TestIndexDeepAndWide(t *testing.T) {
	x := NewIndex[int]()
	deep := strings.Repeat("a/", 30_000)
	x.Add(Filter(deep+"+"), &Sub[int]{Value: 1})
	x.Add(Filter(strings.Repeat("+/", 30_000)+"#"), &Sub[int]{Value: 2})
	if got := ids(x.Match(nil, Name(deep+"x"))); !slices.Equal(got, []int{1, 2}) {
		t.Errorf("deep: matched %v", got)
	}
	const levels = 10
	var want []int
	for mask := range 1 << levels {
		var f []string
		for l := range levels {
			if mask>>l&1 == 1 {
				f = append(f, "+")
			} else {
				f = append(f, "l")
			}
		}
		x.Add(Filter(strings.Join(f, "/")), &Sub[int]{Value: mask + 10})
		want = append(want, mask+10)
	}
	name := Name(strings.Repeat("l/", levels-1) + "l")
	if got := ids(x.Match(nil, name)); !slices.Equal(got, want) {
		t.Errorf("wide: %d matches, want %d", len(got), len(want))
	}
	var dst []*Sub[int]
	dst = x.Match(dst, name)
	if n := testing.AllocsPerRun(10, func() { dst = x.Match(dst[:0], name) }); n != 0 {
		t.Errorf("wide: %v allocations in a match", n)
	}
}

// TestIndexKeepsNoLongFilter has a short filter outlive a long one whose nodes
// it shares.
func TestIndexKeepsNoLongFilter(t *testing.T) {
	x := NewIndex[int]()
	const n = 200
	var before uint64
	long := make([]*Sub[int], n)
	for i := range n {
		if i == 1 {
			before = heap()
		}
		long[i] = &Sub[int]{}
		x.Add(Filter(fmt.Sprintf("n%d/%s/+", i, strings.Repeat("x", 60_000))), long[i])
		x.Add(Filter(fmt.Sprintf("n%d/+", i)), &Sub[int]{})
		x.Remove(long[i])
	}
	if after := heap(); after > before+n*2_000 {
		t.Errorf("%d bytes are left for each of the short filters", (after-before)/n)
	}
	if _, subs := x.Len(); subs != n {
		t.Error(subs)
	}
}

// ExampleIndex shows the life of a subscription.
func ExampleIndex() {
	type subscriber struct{ client string }
	x := NewIndex[subscriber]()
	s := &Sub[subscriber]{Value: subscriber{"c1"}}
	fmt.Println("first:", x.Add("site/+/temp", s))
	var found []*Sub[subscriber] // reused from match to match
	found = x.Match(found[:0], "site/7/temp")
	fmt.Println(len(found), found[0].Value.client)
	fmt.Println("last:", x.Remove(s))
	// Output:
	// first: true
	// 1 c1
	// last: true
}
