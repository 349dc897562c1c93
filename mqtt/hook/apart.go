package hook

import (
	"time"

	"ermine/mqtt/listener"
)

// parkFor is how long a goroutine waits for the next handshake before it ends.
const parkFor = time.Second

// workers runs functions apart from the goroutine that wants them. A handshake
// goes through mochi and needs 8 kB of stack and more, where a connection, idle
// most of its life, does with 4; and a stack that has once grown stays. So
// handshakes run on goroutines that are used again and again, and end when
// there is nothing to do.
type workers struct{ jobs chan job }

type job struct {
	run  func() error
	done chan error
}

func newWorkers() *workers { return &workers{jobs: make(chan job)} }

// do runs f on another goroutine and waits for it. It never waits for others:
// where no goroutine is free, one is started. A panic in f comes back as a
// *listener.PanicError.
func (w *workers) do(f func() error) error {
	j := job{run: f, done: make(chan error, 1)}
	select {
	case w.jobs <- j:
	default:
		go w.work(j)
	}
	return <-j.done
}

func (w *workers) work(j job) {
	idle := time.NewTimer(parkFor)
	defer idle.Stop()
	for {
		j.done <- listener.Protect(j.run)
		idle.Reset(parkFor)
		select {
		case j = <-w.jobs:
		case <-idle.C:
			return
		}
	}
}
