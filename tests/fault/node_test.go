package fault

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// binary is the program, built once.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "ermine-fault-")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "node")
	build := exec.Command("go", "build", "-o", binary, "ermine/rel")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// node is one running program.
type node struct {
	t    *testing.T
	env  []string
	addr string
	cmd  *exec.Cmd
	out  output
	done chan struct{} // closed when the program has ended
}

// output collects what the program prints.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// start runs a node in the foreground, with faults allowed, and returns when it
// says that it runs.
func start(t *testing.T, number int, env ...string) *node {
	t.Helper()
	n := &node{t: t, addr: fmt.Sprintf("127.0.0.1:%d", freePort(t)), done: make(chan struct{})}
	n.env = append(os.Environ(),
		fmt.Sprintf("ERMINE_NODE__NAME=fault%d@127.0.0.1", number),
		"ERMINE_NODE__COOKIE=fault", "ERMINE_NODE__DATA_DIR="+t.TempDir(), "ERMINE_DEBUG=1",
		"ERMINE_LISTENERS__TCP__DEFAULT__BIND="+n.addr,
		"ERMINE_LISTENERS__SSL__DEFAULT__ENABLE=false",
		"ERMINE_LISTENERS__WS__DEFAULT__ENABLE=false", "ERMINE_LISTENERS__WSS__DEFAULT__ENABLE=false",
		"ERMINE_MQTT__MAX_MQUEUE_LEN=infinity",
	)
	n.env = append(n.env, env...)
	n.cmd = exec.Command(binary, "foreground")
	n.cmd.Env = n.env
	n.cmd.Stdout, n.cmd.Stderr = &n.out, &n.out
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = n.cmd.Wait()
		close(n.done)
	}()
	t.Cleanup(func() {
		_ = n.cmd.Process.Kill()
		<-n.done
		if t.Failed() {
			t.Logf("the node's last lines:\n%s", n.tail(40))
		}
	})
	n.until("the node to run", func() bool { return strings.Contains(n.out.String(), "is running now!") })
	return n
}

func (n *node) tail(lines int) string {
	all := strings.Split(strings.TrimSpace(n.out.String()), "\n")
	all = all[max(0, len(all)-lines):]
	for i, line := range all {
		line, _, _ = strings.Cut(line, " stack=")
		all[i] = line
	}
	return strings.Join(all, "\n")
}

// until polls cond until it holds, at most 30 s.
func (n *node) until(what string, cond func() bool) {
	n.t.Helper()
	deadline := time.After(30 * time.Second)
	for !cond() {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-deadline:
			n.t.Fatalf("%s: not within 30 s\n%s", what, n.tail(20))
		}
	}
}

// ctl runs a control command and returns what it prints.
func (n *node) ctl(args ...string) string {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, append([]string{"ctl"}, args...)...)
	cmd.Env = n.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		n.t.Fatalf("ctl %v: %v\n%s", args, err, out)
	}
	return string(out)
}
