package kernel

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
)

// Handlers that block cost their own goroutines: thousands of them delay
// nobody else, and what they leave behind is bounded.
func TestBlockedHandlersDelayNobody(t *testing.T) {
	s := startSystem(t, Config{})
	before := runtime.NumGoroutine()
	const blocked = 3 * maxParked
	leave := make(chan bool)
	var entered sync.WaitGroup
	entered.Add(blocked)
	for i := range blocked {
		r := spawnRoot(t, s, stateless(fmt.Sprint(i), func(c *Context, msg any) {
			if msg == "block" {
				entered.Done()
				<-leave
			}
		}))
		r.Send("block")
	}
	entered.Wait()
	free := spawnRoot(t, s, stateless("free", runner(nil)))
	for range 100 {
		do(t, free, func(*Context) {})
	}
	close(leave)
	most := before + len(s.workers.shards)*s.workers.most
	eventually(t, "only parked goroutines are left", func() bool { return runtime.NumGoroutine() <= most })
}

// A worker is used again, and Shutdown sends all of them home (goleak, at the
// end of the tests, would find them).
func TestWorkersAreReused(t *testing.T) {
	s := startSystem(t, Config{})
	r := spawnRoot(t, s, stateless("a", runner(nil)))
	for range 1000 {
		do(t, r, func(*Context) {})
	}
	n := 0
	for i := range s.workers.shards {
		sh := &s.workers.shards[i]
		sh.mu.Lock()
		n += len(sh.parked)
		sh.mu.Unlock()
	}
	if n > 10 {
		t.Errorf("%d workers for one actor", n)
	}
}
