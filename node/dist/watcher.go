package dist

import (
	"errors"
	"fmt"

	"ergo.services/ergo/act"
	"ergo.services/ergo/gen"

	"ermine/node/dist/etf"
)

// watcher is the process that sees local processes die, on behalf of remote
// links and monitors. It holds one monitor for each such process, however many
// remote ones are interested, and keeps the connections out of ergo's mutex.
type watcher struct {
	act.Actor
	net *Network
}

// Init is called by ergo.
func (w *watcher) Init(...any) error {
	w.SetTrapExit(true)
	return nil
}

// HandleMessage is called by ergo for the DOWN of a watched process (info).
func (w *watcher) HandleMessage(_ gen.PID, message any) error {
	switch down := message.(type) {
	case gen.MessageDownPID:
		w.net.localDown(down.PID, down.Reason)
	case gen.MessageDownProcessID:
		w.net.localDown(down.ProcessID.Name, down.Reason)
	}
	return nil
}

// Terminate is called by ergo. While the node runs nobody may end the watcher:
// a new one takes its place and watches all that it watched. Only the node's
// end comes as a shutdown, and then nothing may be spawned.
func (w *watcher) Terminate(reason error) {
	n := w.net
	if n.ctx.Err() != nil || errors.Is(reason, gen.TerminateReasonShutdown) {
		return
	}
	if err := n.startWatcher(); err != nil {
		n.log.Error("watcher ended and cannot be restarted", "err", err)
		return
	}
	n.relations.mu.Lock()
	var keys []any
	for key := range n.relations.locals {
		if key != any(gen.PID{}) {
			keys = append(keys, key)
		}
	}
	n.relations.mu.Unlock()
	for _, key := range keys {
		n.arm(key)
	}
}

func (n *Network) startWatcher() error {
	pid, err := n.node.Spawn(func() gen.ProcessBehavior { return &watcher{net: n} }, gen.ProcessOptions{})
	if err != nil {
		return fmt.Errorf("start watcher: %w", err)
	}
	n.watcher.Store(&pid)
	return nil
}

// startProcesses starts what this package runs as processes.
func (n *Network) startProcesses() error {
	if err := n.startWatcher(); err != nil {
		return err
	}
	if n.opts.ExternalKernel {
		return nil
	}
	if _, err := n.node.SpawnRegister("net_kernel", NewNetKernel, gen.ProcessOptions{}); err != nil {
		return fmt.Errorf("start net_kernel: %w", err)
	}
	return nil
}

// NewNetKernel makes the process behind the name net_kernel. net_adm:ping/1
// asks it {is_auth, Node} and wants yes. Everything else is refused at once, so
// that nobody waits.
func NewNetKernel() gen.ProcessBehavior { return &netKernel{} }

type netKernel struct{ act.Actor }

// HandleCall is called by ergo (call).
func (k *netKernel) HandleCall(_ gen.PID, _ gen.Ref, request any) (any, error) {
	if t, ok := request.(etf.Tuple); ok && len(t) == 2 && t[0] == etf.Atom("is_auth") {
		return etf.Atom("yes"), nil
	}
	return etf.Tuple{etf.Atom("error"), etf.Atom("notsup")}, nil
}

// HandleMessage is called by ergo; casts to net_kernel need no answer.
func (k *netKernel) HandleMessage(gen.PID, any) error { return nil }
