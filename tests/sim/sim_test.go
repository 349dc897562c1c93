package sim

import (
	"flag"
	"fmt"
	"strings"
	"testing"
)

var (
	seedFlag = flag.Uint64("seed", 0, "run the one random history of this seed, with a trace")
	runsFlag = flag.Int("runs", 2000, "random histories to run")
	fromFlag = flag.Uint64("from", 1, "seed of the first one")
)

// random runs many seeds of one kind of history, in parallel lanes.
func random(t *testing.T, kind func(uint64, func(string, ...any)) *world, runs int) {
	if *seedFlag != 0 {
		w := kind(*seedFlag, func(format string, args ...any) { fmt.Printf(format+"\n", args...) })
		report(t, *seedFlag, w)
		return
	}
	const lanes = 4
	for lane := range uint64(lanes) {
		t.Run(fmt.Sprintf("lane%d", lane), func(t *testing.T) {
			t.Parallel()
			steps, bad := 0, 0
			for seed := *fromFlag + lane; seed < *fromFlag+uint64(runs) && bad < 3; seed += lanes {
				w := kind(seed, nil)
				steps += w.steps
				if len(w.faults) > 0 {
					bad++
					report(t, seed, w)
				}
			}
			t.Logf("%d steps", steps)
		})
	}
}

// report fails the test with what is needed to run the history again.
func report(t *testing.T, seed uint64, w *world) {
	t.Helper()
	if len(w.faults) == 0 {
		return
	}
	name, _, _ := strings.Cut(t.Name(), "/")
	t.Errorf("seed %d; with a trace: go test ./tests/sim -run '^%s$' -seed %d\n%s",
		seed, name, seed, strings.Join(w.faults[:min(len(w.faults), 6)], "\n"))
}

// TestRandomHistories: faults and commands at random, then recovery.
func TestRandomHistories(t *testing.T) { random(t, history, *runsFlag) }

// TestSimultaneousJoins: joins at one moment end as one cluster.
func TestSimultaneousJoins(t *testing.T) { random(t, jointly, *runsFlag/2) }

// TestMutualJoins: two nodes that join each other nearly at once end up
// together.
func TestMutualJoins(t *testing.T) { random(t, mutually, *runsFlag/2) }
