package dist

import (
	"bytes"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"time"

	"ergo.services/ergo/gen"
)

// ergo's node installs a handler for SIGINT and SIGTERM in a goroutine that it
// starts last, and which then waits for ever. Switching it off by its own
// method makes the program crash on the next signal. So Start waits for that
// goroutine and takes the signals away from it.

var startOne sync.Mutex // the goroutines are counted, so one node at a time

// withoutSignals runs start and undoes its signal handler. A signal that comes
// meanwhile makes ergo stop the node that is being started: it is not to be
// touched any more, and the error is ErrInterrupted.
func withoutSignals(start func() (gen.Node, error)) (gen.Node, error) {
	startOne.Lock()
	defer startOne.Unlock()
	signals := make(chan os.Signal, 1) // gets whatever ergo gets
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	before := signalGoroutines()
	node, err := start()
	if err != nil {
		signal.Stop(signals)
		return nil, err
	}
	deadline := time.Now().Add(time.Second)
	for signalGoroutines() <= before && len(signals) == 0 && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	// What has arrived and is not delivered yet would be lost with the handlers:
	// Stop waits for it, and what comes right then finds a handler again.
	other := make(chan os.Signal, 1)
	signal.Notify(other, os.Interrupt, syscall.SIGTERM)
	signal.Stop(other)
	signal.Reset(os.Interrupt, syscall.SIGTERM)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	signal.Stop(signals)
	select {
	case sig := <-signals:
		return nil, fmt.Errorf("%w: signal %s", ErrInterrupted, sig)
	default:
		return node, nil
	}
}

// signalGoroutines counts those of ergo that wait for a signal.
func signalGoroutines() int {
	buf := make([]byte, 1<<20)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) || n >= 64<<20 {
			buf = buf[:n]
			break
		}
		buf = make([]byte, 2*len(buf))
	}
	count := 0
	for stack := range bytes.SplitSeq(buf, []byte("\n\n")) {
		if bytes.Contains(stack, []byte(".SetCTRLC.func1()")) && bytes.Contains(stack, []byte("[chan receive")) {
			count++
		}
	}
	return count
}
