package broker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Inflight is how many QoS 1 or 2 messages each broker may have on their way to
// one client: the default of EMQX and Ermine (mosquitto's is 20, RabbitMQ's
// prefetch 10).
const Inflight = 32

// Limits of starting and stopping a node.
const (
	readyTimeout = 90 * time.Second
	stopTimeout  = 15 * time.Second
)

// Kind is a recipe for a broker.
type Kind struct {
	// Name is what reports and the -brokers flag call it.
	Name string
	// Nodes is how many there are.
	Nodes int
	// start starts every node in instance.Dir and appends it to
	// instance.nodes.
	start func(ctx context.Context, in *Instance) error
}

// Instance is a running broker. Its methods are for one goroutine.
type Instance struct {
	Kind Kind
	// Dir is the temporary folder with configuration, data and logs.
	Dir string

	opts    Options
	nodes   []*node
	helpers []*node // processes that are no node of the broker
}

// Options are what the command line has to say about brokers.
type Options struct {
	// ErmineBinary is the program under test.
	ErmineBinary string
	// LowLatency favours latency over throughput where a broker has a setting
	// for that.
	LowLatency bool
	// Env is added to Ermine's environment, as NAME=value.
	Env []string
	// Profiling has Ermine's nodes serve profiles, for Profile.
	Profiling bool
}

// node is one process of a broker.
type node struct {
	name string
	addr string // host:port for MQTT
	cmd  *exec.Cmd
	log  string // path
	// profile is host:port of net/http/pprof, empty where there is none.
	profile string

	exited  chan struct{} // closed when the process has ended
	exitErr error         // valid then
	// stop, where set, ends the node in its own way before it is signalled.
	stop func(context.Context) error
}

// Kinds are all recipes.
var Kinds = []Kind{Ermine, Mosquitto, MosquittoDurable, RabbitMQ, ErmineCluster, RabbitMQCluster}

// Start starts a broker and waits until clients can connect to every node. On
// an error everything is stopped, and the error holds the last log lines.
func Start(ctx context.Context, k Kind, o Options) (*Instance, error) {
	dir, err := os.MkdirTemp("", "bench-"+k.Name+"-")
	if err != nil {
		return nil, err
	}
	in := &Instance{Kind: k, Dir: dir, opts: o}
	if err := k.start(ctx, in); err != nil {
		err = fmt.Errorf("start %s: %w%s", k.Name, err, in.tails())
		in.Stop()
		return nil, err
	}
	return in, nil
}

// Addrs are the addresses of the nodes, for MQTT.
func (in *Instance) Addrs() []string {
	addrs := make([]string, 0, len(in.nodes))
	for _, n := range in.nodes {
		addrs = append(addrs, n.addr)
	}
	return addrs
}

// Usage is what all processes of the broker have used and hold.
func (in *Instance) Usage() (Usage, error) {
	var sum Usage
	for _, n := range in.nodes {
		u, err := usage(n.cmd.Process.Pid)
		if err != nil {
			return Usage{}, fmt.Errorf("%s: %w%s", n.name, err, in.tails())
		}
		sum = sum.plus(u)
	}
	return sum, nil
}

// Stop ends the processes, in the reverse order of their start, and removes
// the folder.
func (in *Instance) Stop() {
	for _, n := range slices.Backward(in.nodes) {
		n.end()
	}
	for _, n := range in.helpers {
		n.end()
	}
	os.RemoveAll(in.Dir)
}

// launch starts one node's process, with its output in a log file, and waits
// until its address answers a connection.
func (in *Instance) launch(ctx context.Context, name, addr string, env []string, argv ...string) (*node, error) {
	logPath := filepath.Join(in.Dir, name+".log")
	logFile, err := os.Create(logPath)
	if err != nil {
		return nil, err
	}
	defer logFile.Close()

	// The shell lifts the limit of open files, which Go gives back to children
	// as it found it, and becomes the program.
	cmd := exec.Command("sh", append([]string{"-c", `ulimit -n "$(ulimit -Hn)"; exec "$0" "$@"`}, argv...)...)
	cmd.Dir = in.Dir
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = logFile, logFile
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	n := &node{name: name, addr: addr, cmd: cmd, log: logPath, exited: make(chan struct{})}
	go func() {
		n.exitErr = cmd.Wait()
		close(n.exited)
	}()
	in.nodes = append(in.nodes, n)
	return n, n.awaitPort(ctx)
}

// awaitPort returns when the node accepts a connection.
func (n *node) awaitPort(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		c, err := net.DialTimeout("tcp", n.addr, time.Second)
		if err == nil {
			c.Close()
			return nil
		}
		select {
		case <-tick.C:
		case <-n.exited:
			return fmt.Errorf("%s ended before it listened on %s: %w", n.name, n.addr, errors.Join(errExited, n.exitErr))
		case <-ctx.Done():
			return fmt.Errorf("%s does not listen on %s: %w", n.name, n.addr, ctx.Err())
		}
	}
}

// errExited says that a process ended although nobody asked it to.
var errExited = errors.New("exited")

// end stops the process and waits for it: politely, then for good. Its group
// goes too, for helpers that it has left behind.
func (n *node) end() {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if n.stop != nil {
		// Should this fail, the signal follows.
		_ = n.stop(ctx)
	}
	pid := n.cmd.Process.Pid
	_ = syscall.Kill(pid, syscall.SIGTERM)
	select {
	case <-n.exited:
	case <-ctx.Done():
	}
	_ = syscall.Kill(-pid, syscall.SIGKILL)
	<-n.exited
}

// tails are the last lines of every node's log.
func (in *Instance) tails() string {
	var b strings.Builder
	for _, n := range in.nodes {
		fmt.Fprintf(&b, "\n--- log of %s\n%s", n.name, tail(n.log, 2<<10))
	}
	return b.String()
}

// tail is the end of a file.
func tail(path string, size int64) string {
	f, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	if end, err := f.Seek(0, io.SeekEnd); err == nil {
		_, _ = f.Seek(max(0, end-size), io.SeekStart)
	}
	text, err := io.ReadAll(f)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// handedOut keeps ports from being given twice before anyone listens on them.
var handedOut struct {
	sync.Mutex
	ports map[int]bool
}

// freePort finds a port on the loopback address that nobody listens on.
func freePort() (int, error) {
	handedOut.Lock()
	defer handedOut.Unlock()
	if handedOut.ports == nil {
		handedOut.ports = map[int]bool{}
	}
	for {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return 0, err
		}
		port := l.Addr().(*net.TCPAddr).Port
		l.Close()
		if !handedOut.ports[port] {
			handedOut.ports[port] = true
			return port, nil
		}
	}
}

// portIsFree tells whether a given port can be listened on.
func portIsFree(port int) bool {
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return false
	}
	l.Close()
	return true
}
