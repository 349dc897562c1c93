package interop

import (
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"ermine/node/dist"
)

// childRole, in the environment, makes the test binary a node of its own, so
// that a test can stop or kill it.
const childRole = "INTEROP_CHILD"

// runChild is the child's main: it starts a node and says so, then waits for
// the end of its input.
func runChild(role string) int {
	name, seconds, _ := strings.Cut(role, " ")
	tickTime, err := time.ParseDuration(seconds)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	n, err := dist.Start(dist.Options{Name: name, Cookie: cookie, TickTime: tickTime, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer n.Stop()
	fmt.Println("ready")
	var b [1]byte
	_, _ = os.Stdin.Read(b[:])
	return 0
}

// startChild starts a node in a process of its own.
func startChild(t testing.TB, name string, tickTime time.Duration) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childRole+"="+name+" "+tickTime.String())
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGKILL)
		_ = in.Close()
		_ = cmd.Wait()
	})
	ready := make([]byte, len("ready\n"))
	if _, err := out.Read(ready); err != nil || string(ready) != "ready\n" {
		t.Fatalf("child node %s: %q, %v", name, ready, err)
	}
	return cmd
}
