package interop

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"ermine/node/dist"
)

// wakeups is how often the threads of a process have gone to sleep, by their
// own will, and so how often they were woken.
func wakeups(t *testing.T, pid int) (n int) {
	t.Helper()
	tasks, err := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/status")
	if err != nil || len(tasks) == 0 {
		t.Fatalf("no threads of %d: %v", pid, err)
	}
	for _, file := range tasks {
		status, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		m := regexp.MustCompile(`(?m)^voluntary_ctxt_switches:\s*(\d+)$`).FindSubmatch(status)
		if m == nil {
			t.Fatalf("%s has no count", file)
		}
		count, err := strconv.Atoi(string(m[1]))
		if err != nil {
			t.Fatal(err)
		}
		n += count
	}
	return n
}

// TestIdleConnection: a node with an idle connection sleeps between the ticks.
// A timer faster than they are would show up in every window of its period.
func TestIdleConnection(t *testing.T) {
	const (
		tickTime = 2 * time.Minute // a tick of either side every 30 s
		window   = time.Second
		windows  = 10

		// Each side may tick once meanwhile, and Go's runtime has a few rare
		// timers of its own, of which those of the start are waited for.
		allowed = 3
		settled = 3
	)
	name := staticName(t, "child", "127.0.0.1")
	child := startChild(t, name, tickTime)
	g := startGo(t, dist.Options{TickTime: tickTime})
	if err := g.Ping(within(t), name); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	ticker := time.NewTicker(window)
	defer ticker.Stop()
	next := func() int {
		before := wakeups(t, child.Process.Pid)
		<-ticker.C
		return wakeups(t, child.Process.Pid) - before
	}
	for quiet := 0; quiet < settled; quiet++ {
		if next() > 0 {
			quiet = -1
		}
		if time.Since(begun) > 2*patience {
			t.Fatal("the node does not come to rest after it has connected")
		}
	}
	var woken []int
	for range windows {
		if n := next(); n > 0 {
			woken = append(woken, n)
		}
	}
	t.Logf("wake-ups in %d of %d windows of %s: %v", len(woken), windows, window, woken)
	if len(woken) > allowed {
		t.Errorf("woken in %d of %d windows of %s, with a tick every %s", len(woken), windows, window, tickTime/4)
	}
	if nodes := g.Nodes(); len(nodes) != 1 {
		t.Errorf("connected to %v", nodes)
	}
}
