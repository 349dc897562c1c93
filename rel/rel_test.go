package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"ermine/node"
)

// patience is the deadline of every single command and wait.
const patience = 60 * time.Second

// program is the built release.
var programPath string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "ermine-rel")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		programPath = filepath.Join(dir, "bin", "node")
		args := []string{"build", "-ldflags", "-X main.version=9.8.7-test", "-o", programPath}
		if raceEnabled {
			args = append(args, "-race")
		}
		build := exec.Command("go", append(args, ".")...)
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// testNode is a node of its own in a directory of its own.
type testNode struct {
	t    *testing.T
	name string
	dir  string
	env  []string
}

// newNode prepares a node with ephemeral ports, which is killed at the end of the
// test if it still runs.
//
// Each has a loopback address of its own as its host, since the port of the
// distribution follows from the name.
func newNode(t *testing.T, short string, env ...string) *testNode {
	t.Helper()
	h := uint32(os.Getpid())*64 + hosts.Add(1) //nolint:gosec // any number will do
	name := fmt.Sprintf("%s@127.%d.%d.%d", short, 1+h>>16%254, h>>8%256, 1+h%254)
	n := &testNode{t: t, name: name, dir: t.TempDir()}
	n.env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + n.dir,
		"ERMINE_NODE__NAME=" + name, "ERMINE_NODE__COOKIE=test", "ERMINE_NODE__DATA_DIR=" + filepath.Join(n.dir, "data"),
		"ERMINE_LOG__DIR=" + filepath.Join(n.dir, "log"), "ERMINE_LOG__FILE__LEVEL=info",
		"ERMINE_LISTENERS__TCP__DEFAULT__BIND=127.0.0.1:0", "ERMINE_LISTENERS__SSL__DEFAULT__ENABLE=false",
		"ERMINE_LISTENERS__WS__DEFAULT__BIND=127.0.0.1:0", "ERMINE_LISTENERS__WSS__DEFAULT__ENABLE=false",
		"ERMINE_SYS_TOPICS__SYS_MSG_INTERVAL=disabled", "ERMINE_SYS_TOPICS__SYS_HEARTBEAT_INTERVAL=disabled",
	}, env...)
	t.Cleanup(func() {
		if pid, ok := n.pid(); ok {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		if text, _ := os.ReadFile(filepath.Join(n.dir, "log", outName)); bytes.Contains(text, []byte("DATA RACE")) {
			t.Error("a data race")
		}
		if t.Failed() {
			for _, file := range []string{"node.out", "ermine.log"} {
				text, _ := os.ReadFile(filepath.Join(n.dir, "log", file))
				t.Logf("%s of %s:\n%s", file, name, text)
			}
		}
	})
	return n
}

var hosts atomic.Uint32

// pid asks the kernel for the process that is the node.
func (n *testNode) pid() (int, bool) {
	pid, _, ok, err := instance{filepath.Join(n.dir, "data")}.holder()
	return pid, ok && err == nil
}

// command prepares an invocation.
func (n *testNode) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, programPath, args...)
	cmd.Dir, cmd.Env = n.dir, n.env
	return cmd
}

// run runs an invocation and gives its output, both streams together, and its
// exit status.
func (n *testNode) run(args ...string) (out string, status int) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), patience)
	defer cancel()
	cmd := n.command(ctx, args...)
	text, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		n.t.Fatalf("%v: %v\n%s", args, err, text)
	}
	if ctx.Err() != nil {
		n.t.Fatalf("%v takes for ever:\n%s", args, text)
	}
	return string(text), cmd.ProcessState.ExitCode()
}

// want runs an invocation whose output and status are known. NAME in out is the
// node's name.
func (n *testNode) want(out string, status int, args ...string) {
	n.t.Helper()
	out = strings.ReplaceAll(out, "NAME", n.name)
	if got, code := n.run(args...); got != out || code != status {
		n.t.Fatalf("node %s: status %d, output\n%swant %d\n%s", strings.Join(args, " "), code, got, status, out)
	}
}

// ok runs an invocation that must succeed.
func (n *testNode) ok(args ...string) string {
	n.t.Helper()
	out, status := n.run(args...)
	if status != 0 {
		n.t.Fatalf("node %s: status %d\n%s", strings.Join(args, " "), status, out)
	}
	return out
}

const started = "Ermine 9.8.7-test is started successfully!\n"

// port is the port of a listener of the running node.
func (n *testNode) port(id string) string {
	n.t.Helper()
	var all []struct {
		ID       string `json:"id"`
		ListenOn string `json:"listen_on"`
	}
	if err := json.Unmarshal([]byte(n.ok("ctl", "listeners", "list", "--json")), &all); err != nil {
		n.t.Fatal(err)
	}
	for _, l := range all {
		if l.ID == id {
			_, port, err := net.SplitHostPort(l.ListenOn)
			if err != nil || port == "0" {
				n.t.Fatalf("listener %s: %q, %v", id, l.ListenOn, err)
			}
			return port
		}
	}
	n.t.Fatalf("no listener %s in %+v", id, all)
	return ""
}

func TestLifeCycle(t *testing.T) {
	t.Parallel()
	n := newNode(t, "life")
	gone := "Node 'NAME' not responding to pings.\n"
	for _, command := range []string{"ping", "pid", "status", "stop", "attach"} {
		n.want(gone, 1, command)
	}
	n.want(gone, 1, "ctl", "status")
	n.want(started, 0, "start")
	n.want("pong\n", 0, "ping")
	n.want("Node 'NAME' 9.8.7-test is started\n", 0, "status")
	n.want("Node NAME is already running!\n", 1, "start")
	n.want("Node NAME is already running!\n", 1, "foreground")
	n.want("9.8.7-test\n", 0, "version")
	n.want("Node 'NAME' 9.8.7-test is started\n", 0, "eval", "status")

	out := n.ok("pid")
	pid, err := strconv.Atoi(strings.TrimSpace(out))
	if err != nil || syscall.Kill(pid, 0) != nil {
		t.Fatalf("pid %q", out)
	}
	n.want("Ermine 9.8.7-test is stopped: ok\n"+started, 0, "restart")
	if again := n.ok("pid"); again == out {
		t.Errorf("the process is the same after a restart: %s", again)
	}
	n.want("ok\n", 0, "stop")
	if _, ok := n.pid(); ok {
		t.Error("the node runs on after stop")
	}
	n.want(gone, 1, "ping")
	n.want(started, 0, "restart")
	n.want("ok\n", 0, "stop")
}

func TestStartAfterKill(t *testing.T) {
	t.Parallel()
	n := newNode(t, "killed")
	n.want(started, 0, "start")
	pid, _ := n.pid()
	victim, err := openProcess(pid)
	if err != nil {
		t.Fatal(err)
	}
	defer victim.close()
	if err := victim.signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if !victim.wait(t.Context(), patience) {
		t.Fatal("the process does not die")
	}
	n.want("Node 'NAME' not responding to pings.\n", 1, "ping")
	n.want("Node 'NAME' not responding to pings.\n", 1, "stop")
	n.want(started, 0, "start") // lock, socket and files of the dead one are no obstacle
	n.want("pong\n", 0, "ping")
	n.want("ok\n", 0, "stop")
}

func TestFailedStart(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	tests := []struct {
		name string
		env  string
		want []string
	}{
		{"port taken", "ERMINE_LISTENERS__TCP__DEFAULT__BIND=" + taken.Addr().String(), []string{
			"Ermine 9.8.7-test failed to start node", "address already in use", "Last lines of", "level=error",
		}},
		{"bad key", "ERMINE_MQTT__MAX_INFLIGHT=none", []string{"ERMINE_MQTT__MAX_INFLIGHT", "max_inflight"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := newNode(t, "failing", tt.env)
			out, status := n.run("start")
			if status != 1 {
				t.Errorf("status %d", status)
			}
			for _, want := range tt.want {
				if !strings.Contains(out, want) {
					t.Errorf("no %q in\n%s", want, out)
				}
			}
			if _, running := n.pid(); running {
				t.Error("the node runs")
			}
		})
	}
}

func TestCheckConfig(t *testing.T) {
	t.Parallel()
	n := newNode(t, "check")
	file := filepath.Join(n.dir, "x.conf")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("mqtt.max_inflight = 20\n")
	if out := n.ok("check_config", "--config", file); !strings.HasSuffix(out, file+" is ok\n") {
		t.Errorf("good file: %s", out)
	}
	write("mqtt.max_inflight = 20\nmqtt.max_inflihgt = 3\nlisteners.tcp.default.bind = nowhere\n")
	out, status := n.run("check_config", "--config", file)
	if status != 1 || !strings.Contains(out, "x.conf:2") || !strings.Contains(out, "x.conf:3") || !strings.Contains(out, "max_inflight") {
		t.Errorf("bad file: status %d\n%s", status, out)
	}
	if _, err := os.Stat(filepath.Join(n.dir, "data")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("check_config made a data directory: %v", err)
	}
	if out, status := n.run("no_such_command"); status != 1 {
		t.Errorf("unknown command: status %d\n%s", status, out)
	}
}

// Several nodes run beside each other from one build, by environment alone, and a
// message goes through each with other makers' clients.
func TestNodesSideBySide(t *testing.T) {
	t.Parallel()
	nodes := []*testNode{newNode(t, "side1"), newNode(t, "side2"), newNode(t, "side3")}
	for _, n := range nodes {
		n.want(started, 0, "start")
	}
	for i, n := range nodes {
		port := n.port("tcp:default")
		text := fmt.Sprintf("hello %d", i)
		mosquitto(t, "mosquitto_pub", "-p", port, "-t", "side/by/side", "-m", text, "-q", "1", "-r")
		if got := mosquitto(t, "mosquitto_sub", "-p", port, "-t", "side/#", "-C", "1", "-q", "1"); got != text+"\n" {
			t.Errorf("%s: got %q", n.name, got)
		}
	}
	for _, n := range nodes {
		n.want("ok\n", 0, "stop")
	}
}

// TestConfigFlag: whatever the command, --config in front of it says which node
// is meant.
func TestConfigFlag(t *testing.T) {
	t.Parallel()
	n := newNode(t, "flag1")
	file := filepath.Join(n.dir, "flag.conf")
	conf := fmt.Sprintf("node.name = %q\nnode.data_dir = %q\n", n.name, filepath.Join(n.dir, "data"))
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	var env []string
	for _, kv := range n.env {
		if !strings.HasPrefix(kv, "ERMINE_NODE__NAME=") && !strings.HasPrefix(kv, "ERMINE_NODE__DATA_DIR=") {
			env = append(env, kv)
		}
	}
	n.env = env
	n.want(started, 0, "-c", file, "start")
	status := "Node 'NAME' 9.8.7-test is started\n"
	n.want(status, 0, "--config", file, "status")
	n.want(status, 0, "status", "-c", file)
	n.want(status, 0, "-c", file, "ctl", "status")
	n.want(status, 0, "--config="+file, "eval", "status")
	n.want("[]\n", 0, "-c", file, "ctl", "--json", "clients", "list")
	n.want("ok\n", 0, "-c", file, "stop")
}

func TestUnknownCommand(t *testing.T) {
	t.Parallel()
	n := newNode(t, "unknown1")
	n.want("unknown command \"strat\"; node help lists them\n", 1, "strat")
	n.want("unknown command \"extra\" for \"node ping\"\n", 1, "ping", "extra")
	n.want("unknown flag: --nosuch\n", 1, "--nosuch")
	n.want("9.8.7-test\n", 0, "version")
	n.want("9.8.7-test\n", 0, "--version")
}

// mosquitto runs one of mosquitto's clients.
func mosquitto(t *testing.T, tool string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, tool, append([]string{"-h", "127.0.0.1"}, args...)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s (make test-deps installs it): %v\n%s", tool, err, &errs)
	}
	return out.String()
}

// subscriber is a client that stays connected; the node has its subscription when
// this returns.
func (n *testNode) subscriber(port, id, filter string) {
	n.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "mosquitto_sub", "-h", "127.0.0.1", "-p", port, "-i", id, "-t", filter, "-q", "1", "-V", "5")
	if err := cmd.Start(); err != nil {
		n.t.Fatalf("mosquitto_sub (make test-deps installs it): %v", err)
	}
	n.t.Cleanup(func() {
		cancel()
		_ = cmd.Wait()
	})
	n.await(regexp.QuoteMeta(id+" -> topic:"+filter), "ctl", "subscriptions", "show", id)
}

// watched closes seen when want has been written. One goroutine writes.
type watched struct {
	seen chan struct{}
	want string
	text bytes.Buffer
	done bool
}

func (w *watched) Write(p []byte) (int, error) {
	w.text.Write(p)
	if !w.done && strings.Contains(w.text.String(), w.want) {
		w.done = true
		close(w.seen)
	}
	return len(p), nil
}

func TestControlCommands(t *testing.T) {
	t.Parallel()
	n := newNode(t, "ctl", "ERMINE_DEBUG=1")
	n.want(started, 0, "start")
	n.want("No clients.\n", 0, "ctl", "clients", "list")
	n.want("No topics.\n", 0, "ctl", "topics", "list")
	n.want("No subscriptions.\n", 0, "ctl", "subscriptions", "list")
	n.want("[]\n", 0, "ctl", "clients", "list", "--json")
	n.want("Not Found.\n", 1, "ctl", "clients", "show", "c1")
	n.match("^No user file is in use; ", "ctl", "authn", "users", "list")
	n.want("Number of retained messages: 0\n", 0, "ctl", "retainer", "info")

	port := n.port("tcp:default")
	n.subscriber(port, "c1", "a/+")
	n.match(`^Client\(c1, username=undefined, peername=127\.0\.0\.1:\d+, clean_start=true, keepalive=60, `+
		`session_expiry_interval=0, subscriptions=1, inflight=0, awaiting_rel=0, delivered_msgs=0, enqueued_msgs=0, `+
		`dropped_msgs=0, connected=true, created_at=\d{13}, connected_at=\d{13}\)\n$`, "ctl", "clients", "list")
	n.match(`^Client\(c1, `, "ctl", "clients", "show", "c1")
	n.want("c1 -> topic:a/+ qos:1 nl:0 rh:0 rap:0\n", 0, "ctl", "subscriptions", "list")
	n.want("a/+ -> NAME\n", 0, "ctl", "topics", "list")
	n.want("a/+ -> NAME\n", 0, "ctl", "topics", "show", "a/+")
	n.want("Not Found.\n", 1, "ctl", "topics", "show", "a/b")

	n.want("ok\n", 0, "ctl", "subscriptions", "add", "c1", "b", "2")
	n.want("c1 -> topic:a/+ qos:1 nl:0 rh:0 rap:0\nc1 -> topic:b qos:2 nl:0 rh:0 rap:0\n", 0, "ctl", "subscriptions", "show", "c1")
	n.want("QoS should be 0, 1, 2\n", 1, "ctl", "subscriptions", "add", "c1", "b", "3")
	n.want("Error: Channel not found!\n", 1, "ctl", "subscriptions", "add", "c2", "b", "1")
	n.want("ok\n", 0, "ctl", "subscriptions", "del", "c1", "b")
	n.want("c1 -> topic:a/+ qos:1 nl:0 rh:0 rap:0\n", 0, "ctl", "subscriptions", "show", "c1")

	n.want("ok\n", 0, "ctl", "publish", "a/b", "two words", "1", "true")
	n.want("{\n  \"subscribers\": 1\n}\n", 0, "ctl", "publish", "a/b", "x", "--json")
	n.match(`^ok\n$`, "eval", `publish r/1 'more words' 0 true`)
	n.want("a/b\nr/1\n", 0, "ctl", "retainer", "topics")
	n.want("r/1\n", 0, "ctl", "retainer", "topics", "1", "5")
	n.want("ok\n", 0, "ctl", "retainer", "clean", "a/#")
	n.want("Number of retained messages: 1\n", 0, "ctl", "retainer", "info")

	n.match(`(?m)^sysdescr  : Ermine\nversion   : 9\.8\.7-test\ndatetime  : .*\nuptime    : .*seconds\n$`, "ctl", "broker")
	n.match(`(?m)^connections\.count             : 1$`, "ctl", "broker", "stats")
	n.match(`(?m)^messages\.publish              : [3-9]`, "ctl", "broker", "metrics")
	n.match(`(?m)^memory/total            : \d+$`, "ctl", "vm", "memory")
	n.match(`(?m)^io/max_fds              : \d+$`, "ctl", "vm")
	n.match(`(?m)^ermine_sup +supervisor +running +0 `, "ctl", "tree")
	n.match(`(?m)^  └─ listeners +listeners +running +0 +0 +1$`, "ctl", "tree")

	n.want("LogHandler(id=file, level=info, destination="+filepath.Join(n.dir, "log", "ermine.log")+", status=started)\n",
		0, "ctl", "log", "handlers", "list")
	n.want("debug\n", 0, "ctl", "log", "set-level", "debug")
	n.want("debug\n", 0, "ctl", "log", "primary-level")
	n.match(`^\[error\] invalid level: loud`, "ctl", "log", "set-level", "loud")
	n.match(`max_inflight = 32`, "ctl", "conf", "show", "mqtt")
	n.match(`(?m)^listeners$`, "ctl", "conf", "show_keys")

	n.match(`(?m)^tcp:default\n  listen_on       : 127\.0\.0\.1:`+port+`\n  acceptors       : \d+\n  proxy_protocol  : false\n  enable          : true\n  running         : true\n  current_conn    : 1\n  max_conns       : infinity\n`, "ctl", "listeners")
	n.want("Invalid listener: tcp:nope\n", 1, "ctl", "listeners", "stop", "tcp:nope")
	n.want("Stop ws:default listener successfully.\n", 0, "ctl", "listeners", "stop", "ws:default")
	n.match(`(?s)ws:default\n.*  running         : false\n`, "ctl", "listeners", "list")
	n.want("Started ws:default listener successfully.\n", 0, "ctl", "listeners", "start", "ws:default")
	n.want("Updated 'enable' to: 'false' successfully.\n", 0, "ctl", "listeners", "enable", "ws:default", "false")
	n.match(`(?s)ws:default\n.*  enable          : false\n  running         : false\n`, "ctl", "listeners", "list")
	n.want("Invalid bool argument: maybe\n", 1, "ctl", "listeners", "enable", "ws:default", "maybe")

	n.want("ok\n", 0, "ctl", "clients", "kick", "c1")
	n.want("ok\n", 0, "ctl", "clients", "kick", "nobody")
	n.want("Not Found.\n", 1, "ctl", "clients", "show", "c1")

	// A fault of the broker's seam: the node mends itself, and the tree counts it.
	n.want("ok\n", 0, "ctl", "fault", "arm", "node.broker", "error once")
	n.await(`(?m)^  ├─ broker +broker +running +1 `, "ctl", "tree")
	n.await(`(?m)^  └─ listeners +listeners +running +0 `, "ctl", "tree")
	n.want("Node 'NAME' 9.8.7-test is started\n", 0, "status")
	mosquitto(t, "mosquitto_pub", "-p", n.port("tcp:default"), "-t", "t", "-m", "m", "-q", "1")

	out, status := n.run("ctl", "nonsense")
	if status != 1 || !strings.HasPrefix(out, "Usage: node ctl\n"+strings.Repeat("-", 110)+"\nstatus ") || !strings.HasSuffix(out, "\nNo command: nonsense\n") {
		t.Errorf("unknown command: %d\n%s", status, out)
	}
	n.want("ok\n", 0, "stop")
}

// match runs an invocation whose output must match.
func (n *testNode) match(pattern string, args ...string) {
	n.t.Helper()
	out, _ := n.run(args...)
	if !regexp.MustCompile(pattern).MatchString(out) {
		n.t.Fatalf("node %s: no match of %s in\n%s", strings.Join(args, " "), pattern, out)
	}
}

// await runs an invocation until its output matches.
func (n *testNode) await(pattern string, args ...string) {
	n.t.Helper()
	re := regexp.MustCompile(pattern)
	deadline := time.Now().Add(patience)
	for {
		out, _ := n.run(args...)
		if re.MatchString(out) {
			return
		}
		if time.Now().After(deadline) {
			n.t.Fatalf("node %s: no match of %s in\n%s", strings.Join(args, " "), pattern, out)
		}
	}
}

// Restarts beyond the intensity end the node with a clear last line and a status
// that is not 0.
func TestNodeGivesUp(t *testing.T) {
	t.Parallel()
	n := newNode(t, "tired", "ERMINE_DEBUG_FAULTS=node.listeners=error")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, err := n.command(ctx, "foreground").CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Fatalf("foreground: %v\n%s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	want := fmt.Sprintf("Ermine 9.8.7-test has stopped: ermine_sup: more than %d restarts in %s, the last of listeners: fault node.listeners: injected fault",
		node.DefaultIntensity, node.DefaultPeriod)
	if last := lines[len(lines)-1]; last != want {
		t.Errorf("last line %q, want %q", last, want)
	}
}

// The foreground names its listeners, and SIGTERM ends it in order.
func TestForeground(t *testing.T) {
	t.Parallel()
	n := newNode(t, "fore")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := n.command(ctx, "foreground")
	out := &watched{seen: make(chan struct{}), want: "Ermine 9.8.7-test is running now!\n"}
	cmd.Stdout = out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-out.seen:
	case <-ctx.Done():
		t.Fatal("not ready")
	}
	n.want("pong\n", 0, "ping")
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("after SIGTERM: %v\n%s", err, &out.text)
	}
	re := regexp.MustCompile(`Listener tcp:default on (127\.0\.0\.1:\d+) started\.\nListener ws:default on 127\.0\.0\.1:\d+ started\.\n` +
		`Ermine 9\.8\.7-test is running now!\nListener tcp:default on (127\.0\.0\.1:\d+) stopped\.\n`)
	if m := re.FindStringSubmatch(out.text.String()); m == nil || m[1] != m[2] {
		t.Errorf("output\n%s", &out.text)
	}
}

// The console runs command lines from its input and stops the node at its end;
// one that is attached leaves it running.
func TestConsoleAndAttach(t *testing.T) {
	t.Parallel()
	n := newNode(t, "cons")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := n.command(ctx, "console")
	cmd.Stdin = strings.NewReader("status\npublish t 'a b'\nctl retainer info\nexit\nnot read\n")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("console: %v\n%s", err, out)
	}
	want := "Node '" + n.name + "' 9.8.7-test is started\nok\nNumber of retained messages: 0\n"
	if !strings.Contains(string(out), want) || !strings.HasSuffix(string(out), " stopped.\n") {
		t.Errorf("console: no\n%sin\n%s", want, out)
	}
	n.want(started, 0, "start")
	for _, args := range [][]string{{"remote_console"}, {"attach", "--name", n.name, "--cookie", "test"}} {
		cmd = n.command(ctx, args...)
		cmd.Stdin = strings.NewReader("ping\nretainer info\nping\n")
		out, err = cmd.Output()
		if err != nil || !strings.Contains(string(out), "pong\nNumber of retained messages: 0\npong\n") {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
	if out, status := n.run("attach", "--name", n.name, "--cookie", "wrong"); status == 0 {
		t.Errorf("attached with a wrong cookie:\n%s", out)
	}
	n.want("pong\n", 0, "ping") // the node has not stopped with its console
	n.want("ok\n", 0, "stop")
}
