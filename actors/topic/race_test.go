package topic

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

// marked is a subscription that knows its life, for readers to check.
type marked struct {
	id     int
	filter Filter
	// goneAt is when its Remove or Replace had returned, by a clock that every
	// such event advances; 0 while it is there.
	goneAt *atomic.Int64
	// leaving is set before that Remove.
	leaving *atomic.Bool
}

// TestIndexReadersAgainstWriter has readers match without pause while the
// writer changes filters and subscriptions around those that stay, through
// many resizings of tables and groups. It checks what the package comment
// promises readers (I1, I2); the race detector checks the rest.
func TestIndexReadersAgainstWriter(t *testing.T) {
	r := seeded(t)
	x := NewIndex[marked]()
	add := func(id int, f Filter) *Sub[marked] {
		s := &Sub[marked]{Value: marked{id, f, new(atomic.Int64), new(atomic.Bool)}}
		x.Add(f, s)
		return s
	}
	// The subscriptions with these ids stay; the last is replaced all the time.
	stay := []Filter{"a/b/c", "a/+/c", "a/#", "+/b/c", "#", "a/b/+", "+/+/+", "a/b/c", "a/+/c", "a/b/#"}
	const replaced = 9
	var current *Sub[marked]
	for id, f := range stay {
		current = add(id, f)
	}
	const name = Name("a/b/c")

	var clock atomic.Int64
	clock.Store(1)
	var newest atomic.Pointer[Sub[marked]] // one that matches, and was added before it stands here
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			var dst []*Sub[marked]
			for {
				select {
				case <-done:
					return
				default:
				}
				began, pinned := clock.Load(), newest.Load()
				dst = x.Match(dst[:0], name)
				seen := [10]int{}
				pinnedSeen := 0
				for _, s := range dst {
					v := s.Value
					if v.id < len(stay) {
						seen[v.id]++
					}
					if gone := v.goneAt.Load(); gone != 0 && gone <= began {
						t.Errorf("%q (%d) was removed at %d, but found after %d", v.filter, v.id, gone, began)
					}
					if !Match(v.filter, name) {
						t.Errorf("found %q, which does not match", v.filter)
					}
					if s == pinned {
						pinnedSeen++
					}
				}
				for id, n := range seen {
					if n != 1 {
						t.Errorf("%q (%d) was found %d times", stay[id], id, n)
					}
				}
				if pinned != nil && pinnedSeen != 1 && !pinned.Value.leaving.Load() {
					t.Errorf("the newest, %q, was found %d times", pinned.Value.filter, pinnedSeen)
				}
				if x.Count("a/b/c") < 2 {
					t.Errorf("a/b/c counts %d", x.Count("a/b/c"))
				}
				walked := 0
				if began%64 == 0 {
					x.Walk(func(f Filter, n int) bool {
						if f == "a/b/c" || f == "a/+/c" {
							walked++
						}
						return true
					})
					if walked != 2 {
						t.Errorf("Walk saw %d of 2 filters", walked)
					}
				}
				if t.Failed() {
					return
				}
			}
		})
	}

	steps := 300_000
	if testing.Short() || raceEnabled {
		steps = 60_000
	}
	var churn []*Sub[marked]
	remove := func(i int) {
		s := churn[i]
		churn[i] = churn[len(churn)-1]
		churn = churn[:len(churn)-1]
		if newest.Load() == s {
			newest.Store(nil)
		}
		s.Value.leaving.Store(true)
		x.Remove(s)
		s.Value.goneAt.Store(clock.Add(1))
	}
	for step := range steps {
		if t.Failed() {
			break
		}
		switch k := r.IntN(10); {
		case k == 0:
			old := current
			current = &Sub[marked]{Value: marked{replaced, old.Value.filter, new(atomic.Int64), new(atomic.Bool)}}
			x.Replace(old, current)
			old.Value.goneAt.Store(clock.Add(1))
		case k < 6 && step/4_000%2 == 0 || k < 4 || len(churn) == 0:
			f := stay[r.IntN(len(stay))]
			if r.IntN(2) == 0 {
				f = randomFilter(r, 3)
			} else if r.IntN(4) == 0 {
				f = Filter(fmt.Sprintf("a/b/x%d/+", r.IntN(10_000)))
			}
			s := add(len(stay)+step, f)
			churn = append(churn, s)
			if Match(f, name) {
				newest.Store(s)
			}
		default:
			remove(r.IntN(len(churn)))
		}
	}
	for len(churn) > 0 && !t.Failed() {
		remove(rand.IntN(len(churn)))
	}
	close(done)
	readers.Wait()
	if filters, subs := x.Len(); !t.Failed() && (subs != len(stay) || filters != 8) {
		t.Errorf("%d filters, %d subscriptions are left", filters, subs)
	}
}

// TestIndexHandOver has the subscriptions of one filter relieve each other, so
// that it goes to and fro between one and two: a reader finds one always.
func TestIndexHandOver(t *testing.T) {
	x := NewIndex[*atomic.Bool]()
	guard := &Sub[*atomic.Bool]{Value: new(atomic.Bool)} // set before it leaves
	x.Add("a/b", guard)
	var onDuty atomic.Pointer[Sub[*atomic.Bool]]
	onDuty.Store(guard)
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			var dst []*Sub[*atomic.Bool]
			for !t.Failed() {
				select {
				case <-done:
					return
				default:
				}
				want := onDuty.Load()
				dst = x.MatchExact(dst[:0], "a/b")
				if len(dst) == 0 || len(dst) > 2 {
					t.Errorf("%d subscriptions, want one or two", len(dst))
				}
				if !slices.Contains(dst, want) && !want.Value.Load() {
					t.Error("the one on duty was not found")
				}
			}
		})
	}
	steps := 1_000_000
	if testing.Short() || raceEnabled {
		steps = 200_000
	}
	for range steps {
		relief := &Sub[*atomic.Bool]{Value: new(atomic.Bool)}
		x.Add("a/b", relief)
		onDuty.Store(relief)
		guard.Value.Store(true)
		x.Remove(guard)
		guard = relief
	}
	close(done)
	readers.Wait()
}
