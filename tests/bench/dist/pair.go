package main

import (
	"bufio"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"ermine/node/dist/epmd"
)

// patience is what a node's answer may take beyond the length of its load.
const patience = 30 * time.Second

//go:embed erl/bench_node.erl
var erlNodeSource []byte

//go:embed erl/bench_epmd.erl
var erlEPMDSource []byte

// compileErl compiles the Erlang side into a folder.
func compileErl(ctx context.Context, dir string) error {
	for name, source := range map[string][]byte{"bench_node": erlNodeSource, "bench_epmd": erlEPMDSource} {
		file := filepath.Join(dir, name+".erl")
		if err := os.WriteFile(file, source, 0o600); err != nil {
			return err
		}
		if out, err := exec.CommandContext(ctx, "erlc", "-o", dir, file).CombinedOutput(); err != nil {
			return fmt.Errorf("erlc (install with `make bench-deps`): %w: %s", err, out)
		}
	}
	return nil
}

// runtimes of nodes.
const (
	ermine = "ermine"
	erlang = "erlang"
)

// node is a running node and the pipe to command it.
type node struct {
	name  string
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines chan string
}

// freeName makes a node name whose static port is free now. The port is below
// those that the system gives to clients, of which it could be one's next.
func freeName(prefix string) (string, error) {
	for range 1000 {
		port := 10000 + rand.IntN(20000)
		l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err == nil {
			_ = l.Close()
			return prefix + strconv.Itoa(port-epmd.BaseDistPort) + "@127.0.0.1", nil
		}
	}
	return "", errors.New("no free port for the static rule")
}

// startNode starts a node and waits until it is ready. beams is the folder of
// the compiled Erlang modules, profiles that for Ermine's CPU profiles. Another
// program may take the port between its choice and its use, so it tries again.
func startNode(runtime, beams, profiles string) (n *node, err error) {
	for range 5 {
		if n, err = tryNode(runtime, beams, profiles); err == nil {
			return n, nil
		}
	}
	return nil, err
}

func tryNode(runtime, beams, profiles string) (*node, error) {
	name, err := freeName(runtime + "_")
	if err != nil {
		return nil, err
	}
	var cmd *exec.Cmd
	if runtime == erlang {
		cmd = exec.Command("erl", "-noshell", "-pa", beams, "-name", name, "-setcookie", cookie,
			"-start_epmd", "false", "-epmd_module", "bench_epmd", "-hidden",
			"+zdbbl", "8192", "-s", "bench_node")
		cmd.Env = append(os.Environ(), "ERL_CRASH_DUMP=/dev/null", "HOME="+beams)
	} else {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		cmd = exec.Command(self)
		cmd.Env = append(os.Environ(), nodeEnv+"="+name, profileEnv+"="+profiles)
	}
	// Killed with this program, however that ends.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	n := &node{name: name, cmd: cmd, in: in, lines: make(chan string, 16)}
	go func() {
		defer close(n.lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			n.lines <- s.Text()
		}
	}()
	if _, err := n.expect("ready", patience); err != nil {
		n.stop()
		return nil, err
	}
	return n, nil
}

// tell sends a command.
func (n *node) tell(format string, args ...any) error {
	_, err := fmt.Fprintf(n.in, format+"\n", args...)
	if err != nil {
		return fmt.Errorf("%s: %w", n.name, err)
	}
	return nil
}

// expect waits for a line that begins with a word and returns the numbers
// behind it.
func (n *node) expect(word string, limit time.Duration) ([]int64, error) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case line, ok := <-n.lines:
		words := strings.Fields(line)
		if !ok || len(words) == 0 || words[0] != word {
			return nil, fmt.Errorf("%s says %q, want %s", n.name, line, word)
		}
		var numbers []int64
		for _, w := range words[1:] {
			i, err := strconv.ParseInt(w, 10, 64)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", n.name, err)
			}
			numbers = append(numbers, i)
		}
		return numbers, nil
	case <-timer.C:
		return nil, fmt.Errorf("%s says no %s within %s", n.name, word, limit)
	}
}

// stop ends the node at once.
func (n *node) stop() {
	_ = n.cmd.Process.Kill()
	_ = n.in.Close()
	for range n.lines {
	}
	_ = n.cmd.Wait()
}

// ticksPerSecond is the unit of /proc's CPU times on Linux (USER_HZ).
const ticksPerSecond = 100

// cpu is the CPU time that the node has used.
func (n *node) cpu() (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", n.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	return cpuTime(string(b))
}

// cpuTime reads utime and stime of a line of /proc/PID/stat; the name in it may
// hold anything.
func cpuTime(stat string) (time.Duration, error) {
	const utime, stime = 11, 12 // after the name
	end := strings.LastIndexByte(stat, ')')
	fields := strings.Fields(stat[end+1:])
	if end < 0 || len(fields) <= stime {
		return 0, fmt.Errorf("unexpected stat %q", stat)
	}
	var ticks int64
	for _, i := range []int{utime, stime} {
		t, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("unexpected stat %q: %w", stat, err)
		}
		ticks += t
	}
	return time.Duration(ticks) * (time.Second / ticksPerSecond), nil
}

// pair is a connection that is measured.
type pair struct{ from, to string }

func (p pair) String() string { return p.from + " to " + p.to }

// outcome is what one load on one pair came to.
type outcome struct {
	load string
	pair pair

	rate     float64 // messages or calls a second
	from, to float64 // CPU of the two nodes, in microseconds by message
	p50, p99 float64 // of a call, in microseconds
}

// measure runs one load from a to b.
func measure(l load, c config, p pair, a, b *node) (outcome, error) {
	out := outcome{load: l.name, pair: p}
	warmup, duration := c.warmup.Milliseconds(), c.duration.Milliseconds()
	limit := c.warmup + c.duration + patience
	profiled := func(what string) error {
		for _, n := range []*node{a, b} {
			if c.profiles != "" && strings.HasPrefix(n.name, ermine) {
				if err := n.tell("profile %s", what); err != nil {
					return err
				}
			}
		}
		return nil
	}
	if err := profiled(l.name); err != nil {
		return out, err
	}
	var err error
	if l.pairs > 0 {
		err = a.tell("send %s %d %d %d %d %d %d", b.name, l.pairs, c.size, c.window, c.step, warmup, duration)
	} else {
		err = a.tell("call %s %d %d %d", b.name, l.callers, warmup, duration)
	}
	if err != nil {
		return out, err
	}
	var cpu [2][2]time.Duration
	read := func(mark int) error {
		for i, n := range []*node{a, b} {
			if cpu[mark][i], err = n.cpu(); err != nil {
				return err
			}
		}
		return nil
	}
	if _, err := a.expect("begin", limit); err != nil {
		return out, err
	}
	if err := read(0); err != nil {
		return out, err
	}
	end, err := a.expect("end", limit)
	if err != nil {
		return out, err
	}
	if err := read(1); err != nil {
		return out, err
	}
	done, err := a.expect("done", limit)
	if err != nil {
		return out, err
	}
	if len(end) != 2 || len(done) != 2 || end[0] <= 0 || end[1] <= 0 {
		return out, fmt.Errorf("%s says end %v, done %v", a.name, end, done)
	}
	if err := profiled("-"); err != nil {
		return out, err
	}
	count := float64(end[0])
	out.rate = count / time.Duration(end[1]).Seconds()
	perMessage := func(i int) float64 { return float64((cpu[1][i] - cpu[0][i]).Microseconds()) / count }
	out.from, out.to = perMessage(0), perMessage(1)
	if l.pairs == 0 {
		out.p50, out.p99 = float64(done[0])/1000, float64(done[1])/1000
	} else if done[0] != done[1] {
		return out, fmt.Errorf("%s, %s: %d sent, %d arrived", l.name, p, done[0], done[1])
	}
	return out, nil
}
