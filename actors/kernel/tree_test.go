package kernel

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

func TestTree(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, s *System) {
		const many = 3*walkBatch + 17
		spawnRoot(t, s, stateless("first", runner(nil)))
		shard := Spec{Name: "shard", Kind: "shard", New: func() Actor {
			return Func(func(c *Context, msg any) {
				if _, ok := msg.(Started); !ok {
					return
				}
				for i := range many {
					sp := stateless(fmt.Sprint(i), crasher(nil))
					sp.Kind = []string{"session", "session", "session", "timer"}[i%4]
					sp.MailboxLimit = 3
					if _, err := c.Spawn(sp); err != nil {
						t.Error(err)
					}
				}
			})
		}}
		shard.Intensity = 1000
		root := spawnRoot(t, s, shard)
		synctest.Wait()

		kids := (*Context)(root.c).Children()
		if len(kids) != many {
			t.Fatalf("%d children listed", len(kids))
		}
		for i, r := range kids {
			if r.Name() != fmt.Sprint(i) {
				t.Fatalf("child %d is %s", i, r.Name())
			}
		}
		for range 3 { // the second and third restart pause: time stands still
			kids[4].Send(boom{})
		}
		synctest.Wait()
		for range 5 {
			kids[4].Send(1) // one boom waits
		}

		tree := s.Tree(10)
		if len(tree) != 2 || tree[0].Name != "first" || tree[0].State != "running" || tree[0].Kind != "test" {
			t.Fatalf("tree %+v", tree)
		}
		sh := tree[1]
		want := []TreeGroup{
			{Kind: "session", Count: many - many/4, Restarts: 1, Mailbox: 3, MailboxMax: 3, Dropped: 3, Suspended: 1},
			{Kind: "timer", Count: many / 4},
		}
		if sh.Children != many || len(sh.Nodes) != 0 || len(sh.Groups) != 2 || sh.Groups[0] != want[0] || sh.Groups[1] != want[1] {
			t.Fatalf("shard %+v, want groups %+v", sh, want)
		}
		all := s.Tree(many)[1]
		if len(all.Nodes) != many || len(all.Groups) != 0 {
			t.Fatalf("%d nodes, %d groups", len(all.Nodes), len(all.Groups))
		}
		if n := all.Nodes[4]; n.State != "suspended" || n.Mailbox != 3 || n.Dropped != 3 || n.Restarts != 1 {
			t.Fatalf("node %+v", n)
		}
		text, err := json.Marshal(sh)
		if err != nil || !strings.Contains(string(text), `"groups":[{"kind":"session","count":`) {
			t.Errorf("%s, %v", text, err)
		}
		st := s.Stats()
		if st.Actors != many+2 || len(st.Kinds) != 4 || st.Kinds[0].Kind != "session" || st.Kinds[0].Refused != 3 || st.Kinds[0].Failures != 2 {
			t.Errorf("stats %+v", st)
		}
	})
}

// Walking the children while they come and go, in both directions at once,
// sees those that stay exactly once and ends.
func TestWalkWhileChildrenComeAndGo(t *testing.T) {
	s := startSystem(t, Config{})
	root := spawnRoot(t, s, stateless("r", runner(nil)))
	ctx := (*Context)(root.c)
	do(t, root, func(*Context) {})
	stay := map[Ref]bool{}
	var passing []Ref
	for i := range 4 * walkBatch {
		r, err := ctx.Spawn(stateless("", runner(nil)))
		if err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			stay[r] = true
		} else {
			passing = append(passing, r)
		}
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for _, r := range passing {
			r.Stop()
			if _, err := ctx.Spawn(stateless("", runner(nil))); err != nil {
				t.Error(err)
			}
		}
	})
	for _, youngestFirst := range []bool{false, true, false} {
		wg.Go(func() {
			for range 50 {
				seen := map[*cell]int{}
				root.c.eachChild(youngestFirst, func(c *cell) { seen[c]++ })
				for c, n := range seen {
					if n != 1 {
						t.Errorf("%s seen %d times", c.name(), n)
						return
					}
				}
				for r := range stay {
					if seen[r.c] != 1 {
						t.Errorf("%s, which stays, seen %d times", r.Name(), seen[r.c])
						return
					}
				}
			}
		})
	}
	wg.Wait()
}
