package kernel

import (
	"runtime"
	"sync"
)

// workers are the goroutines that actors run on. An actor that gets something
// to do while it sleeps is handed to a parked worker, the one that parked
// last, or to a new one if none is parked: so a handler that blocks costs its
// own goroutine and delays nobody. Reuse is worth its while because a new
// goroutine has to grow its stack to what a handler needs: a wake-up took 2.1 us
// of processor time with new ones and takes 0.43 us with parked ones.
type workers struct {
	shards []workerShard // a power of two
	most   int           // parked workers per shard
}

type workerShard struct {
	mu     sync.Mutex
	parked []chan *cell
	closed bool
	_      [64]byte // one cache line each
}

// maxParked bounds the workers that are kept for reuse: as many as a burst has
// awake at once, at 4 to 8 kB each.
const maxParked = 1024

func newWorkers() *workers {
	n := 1
	for n < runtime.GOMAXPROCS(0) && n < 64 {
		n *= 2
	}
	return &workers{shards: make([]workerShard, n), most: max(4, maxParked/n)}
}

// run has c run, on another goroutine.
func (w *workers) run(c *cell) {
	s := &w.shards[int(c.shard)&(len(w.shards)-1)]
	s.mu.Lock()
	n := len(s.parked)
	if n == 0 {
		s.mu.Unlock()
		go w.work(s, c)
		return
	}
	ch := s.parked[n-1]
	s.parked = s.parked[:n-1]
	s.mu.Unlock()
	ch <- c // buffered: never blocks
}

// work is the life of a worker.
func (w *workers) work(s *workerShard, c *cell) {
	var ch chan *cell
	for c != nil {
		c.run()
		s.mu.Lock()
		if s.closed || len(s.parked) >= w.most {
			s.mu.Unlock()
			return
		}
		if ch == nil {
			ch = make(chan *cell, 1)
		}
		s.parked = append(s.parked, ch)
		s.mu.Unlock()
		c = <-ch
	}
}

// close sends the parked workers home, and the others when they are done.
func (w *workers) close() {
	for i := range w.shards {
		s := &w.shards[i]
		s.mu.Lock()
		s.closed = true
		for _, ch := range s.parked {
			ch <- nil
		}
		s.parked = nil
		s.mu.Unlock()
	}
}
