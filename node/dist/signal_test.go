package dist

import (
	"errors"
	"os"
	"syscall"
	"testing"

	"ergo.services/ergo/gen"
	ergo "ergo.services/ergo/node"
)

// TestSignalDuringStart: a signal that reaches ergo's handler, before that is
// taken away, makes ergo stop the node. The start has to end there.
func TestSignalDuringStart(t *testing.T) {
	var node gen.Node
	_, err := withoutSignals(func() (gen.Node, error) {
		before := signalGoroutines()
		var err error
		node, err = ergo.Start("interrupted@localhost", gen.NodeOptions{
			Network: gen.NetworkOptions{Mode: gen.NetworkModeDisabled},
			Log:     gen.LogOptions{DefaultLogger: gen.DefaultLoggerOptions{Disable: true, DisableBanner: true}},
		}, gen.Version{Name: "test"})
		if err != nil {
			return nil, err
		}
		poll(t, "ergo waits for signals", func() bool { return signalGoroutines() > before })
		if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
			return nil, err
		}
		poll(t, "ergo has stopped the node", func() bool { return !node.IsAlive() })
		return node, nil
	})
	if !errors.Is(err, ErrInterrupted) {
		t.Errorf("start: %v, want %v", err, ErrInterrupted)
	}
}
