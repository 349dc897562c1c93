package interop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	"ergo.services/ergo/gen"
	"github.com/creack/pty"

	"ermine/node/console"
	"ermine/node/dist"
	"ermine/node/dist/etf"
	"ermine/node/erl"
)

// screen is a terminal with a program in it, and all that this has printed.
type screen struct {
	t    testing.TB
	tty  *os.File // our side
	mu   sync.Mutex
	text []byte
	more chan struct{}
	end  bool
}

// newScreen reads what is printed on a pseudo terminal.
func newScreen(t testing.TB, tty *os.File) *screen {
	s := &screen{t: t, tty: tty, more: make(chan struct{})}
	t.Cleanup(func() { _ = tty.Close() })
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := tty.Read(buf)
			s.mu.Lock()
			s.text = append(s.text, buf[:n]...)
			s.end = err != nil
			close(s.more)
			s.more = make(chan struct{})
			s.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return s
}

// keys types.
func (s *screen) keys(text string) {
	s.t.Helper()
	if _, err := s.tty.WriteString(text); err != nil {
		s.t.Fatal(err)
	}
}

// wait waits until text has been printed behind what the last wait has found.
func (s *screen) wait(text string) {
	s.t.Helper()
	ctx := within(s.t)
	for {
		s.mu.Lock()
		i := bytes.Index(s.text, []byte(text))
		if i >= 0 {
			s.text = s.text[i+len(text):]
			s.mu.Unlock()
			return
		}
		seen, more, end := string(s.text), s.more, s.end
		s.mu.Unlock()
		if end {
			s.t.Fatalf("the terminal ended; no %q in %q", text, seen)
		}
		select {
		case <-more:
		case <-ctx.Done():
			s.t.Fatalf("no %q in %q", text, seen)
		}
	}
}

// startIn starts a program in a terminal.
func startIn(t testing.TB, cmd *exec.Cmd) *screen {
	t.Helper()
	tty, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 40, Cols: 160})
	if err != nil {
		t.Fatal(err)
	}
	return newScreen(t, tty)
}

// remshCommand is `erl -remsh`, with the static port rule.
func remshCommand(t testing.TB, node string) *exec.Cmd {
	t.Helper()
	beams, err := erlBeams()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("erl", "-name", staticName(t, "remsh", "127.0.0.1"), "-hidden", "-setcookie", cookie,
		"-start_epmd", "false", "-epmd_module", "ermine_epmd", "-pa", beams, "-remsh", node)
	cmd.Env = append(os.Environ(), "TERM=xterm", "ERL_CRASH_DUMP=/dev/null", "HOME="+t.TempDir())
	return cmd
}

// ended waits for a program's end.
func ended(t testing.TB, cmd *exec.Cmd) error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case err := <-done:
		return err
	case <-within(t).Done():
		_ = cmd.Process.Kill()
		t.Fatal("the program does not end")
		return nil
	}
}

// TestRemsh opens `erl -remsh` in a terminal and uses it as a person would.
func TestRemsh(t *testing.T) {
	n := startErmine(t, dist.Options{}, nil)
	for _, leave := range []string{"q().", "exit"} {
		t.Run(fmt.Sprintf("%q", leave), func(t *testing.T) {
			cmd := remshCommand(t, n.Name())
			s := startIn(t, cmd)
			t.Cleanup(func() { _ = cmd.Process.Kill() })
			prompt := n.Name() + "> "
			s.wait("Ermine " + version)
			s.wait(prompt)
			s.keys("status\r")
			s.wait("Node '" + n.Name() + "' " + version + " is started")
			s.wait(prompt)
			s.keys("cluster status\r")
			s.wait("Cluster status: #{running_nodes => ['" + n.Name() + "']")
			s.wait(prompt)
			// Tab completes.
			s.keys("clu\t")
			s.wait("cluster ")
			s.keys("st\t")
			s.wait("status ")
			s.keys("\r")
			s.wait("Cluster status")
			s.wait(prompt)
			// The line editor of Erlang: to the left twice, and a history.
			s.keys("staus\x1b[D\x1b[Dt\r")
			s.wait("is started")
			s.wait(prompt)
			s.keys("\x1b[A")
			s.wait("status")
			s.keys("\r")
			s.wait("is started")
			s.wait(prompt)
			s.keys("help\r")
			s.wait("clients show <ClientId>")
			s.wait("--watch")
			s.wait(prompt)
			s.keys("nonsense\r")
			s.wait("exit status 1")
			s.wait(prompt)
			s.keys("cluster join x@y\r")
			s.wait("cannot join x@y: refused")
			s.wait(prompt)
			// Ctrl-G i interrupts a command.
			s.keys("stuck\r")
			s.wait("waiting")
			s.keys("\x07")
			s.wait(" --> ")
			s.keys("i\r")
			s.wait(" --> ")
			s.keys("c\r")
			s.wait("interrupted")
			eventually(t, "command has ended", func() bool { return n.stuck.Load() == 0 })
			s.keys("\r")
			s.wait(prompt)
			s.keys(leave + "\r")
			if err := ended(t, cmd); err != nil {
				t.Errorf("erl ends with %v", err)
			}
			eventually(t, "shell is gone", func() bool { return n.processes() == n.processesAtRest() })
		})
	}
}

// processes is how many processes the node has; at rest there are only the named
// ones and those of dist.
func (n *ermineNode) processes() int {
	pids, err := n.Node().ProcessList()
	if err != nil {
		n.t.Fatal(err)
	}
	return len(pids)
}

func (n *ermineNode) processesAtRest() int {
	const watcher = 1
	named := 0
	for _, name := range []string{"rex", "ermine", "ermine_console", "net_kernel"} {
		if _, err := n.Node().ProcessPID(gen.Atom(name)); err == nil {
			named++
		}
	}
	return named + watcher
}

// TestRemshFromRunningNode opens the shell from a node that is more than a
// shell, by Ctrl-G r: leaving must not stop that node.
func TestRemshFromRunningNode(t *testing.T) {
	n := startErmine(t, dist.Options{}, nil)
	cmd := remshCommand(t, n.Name())
	cmd.Args = cmd.Args[:len(cmd.Args)-2] // without -remsh
	s := startIn(t, cmd)
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	s.wait("1> ")
	s.keys("\x07")
	s.wait(" --> ")
	s.keys("r '" + n.Name() + "'\r")
	s.wait(" --> ")
	s.keys("c\r")
	s.wait(n.Name() + "> ")
	s.keys("exit\r")
	s.wait("terminated")
	s.keys("\x07")
	s.wait(" --> ")
	s.keys("c 1\r")
	s.wait("c 1\r\n")
	s.keys("\r")
	s.wait("1> ")
	s.keys("40 + 2.\r")
	s.wait("42")
}

// TestRemshKilled: the shell's process ends with the caller's node, and what it
// ran, too.
func TestRemshKilled(t *testing.T) {
	n := startErmine(t, dist.Options{}, nil)
	cmd := remshCommand(t, n.Name())
	s := startIn(t, cmd)
	s.wait(n.Name() + "> ")
	s.keys("stuck\r")
	s.wait("waiting")
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	eventually(t, "command has ended", func() bool { return n.stuck.Load() == 0 })
	eventually(t, "shell is gone", func() bool { return n.processes() == n.processesAtRest() })
}

// auditLog keeps what is logged.
type auditLog struct {
	lockedBuffer
}

func (l *auditLog) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(writerFunc(func(b []byte) { l.add(string(b)) }), nil))
}

// attachOptions attach to a node of these tests.
func attachOptions(n *ermineNode) console.Options {
	return console.Options{Node: n.Name(), Cookie: cookie, Version: version}
}

// TestAttach is `node attach` in a terminal.
func TestAttach(t *testing.T) {
	var audit auditLog
	n := startErmine(t, dist.Options{}, func(o *erl.Options) { o.Logger = audit.logger() })
	ours, theirs, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	if err := pty.Setsize(ours, &pty.Winsize{Rows: 24, Cols: 100}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = theirs.Close() })
	t.Setenv("TERM", "xterm")
	s := newScreen(t, ours)
	var tty *console.TTY
	o := attachOptions(n)
	o.OpenTTY = func(complete func(string) console.Completion) (*console.TTY, error) {
		var err error
		tty, err = console.OpenTTY(console.TTYConfig{In: theirs, Out: theirs, Complete: complete})
		return tty, err
	}
	left := make(chan error, 1)
	go func() { left <- console.Attach(t.Context(), o) }()
	prompt := n.Name() + "> "
	s.wait("Ermine " + version + ", node " + n.Name())
	s.wait(prompt)
	s.keys("cluster st\t\r")
	s.wait("Cluster status: #{running_nodes => ['" + n.Name() + "']")
	s.wait(prompt)
	s.keys("cl\t")
	s.wait("clear")
	s.wait("clients")
	s.wait("cluster")
	s.keys("\x03") // Ctrl-C gives the line up
	s.wait(prompt)
	s.keys("stuck\r")
	s.wait("waiting")
	s.keys("\x03")
	s.wait("interrupted")
	s.wait(prompt)
	eventually(t, "command has ended", func() bool { return n.stuck.Load() == 0 })
	s.keys("status --watch=0.1\r")
	for range 3 {
		s.wait("is started")
	}
	s.keys("\x03")
	s.wait(prompt)
	s.keys("flood 20000\r") // far beyond the window
	s.wait("line 19999 of a long output")
	s.wait(prompt)
	s.keys("\x1b[A") // the line before
	s.wait("flood 20000")
	s.keys("\x03")
	s.wait(prompt)
	s.keys("\x04")
	select {
	case err := <-left:
		if err != nil {
			t.Errorf("attach: %v", err)
		}
	case <-within(t).Done():
		t.Fatal("attach does not end")
	}
	eventually(t, "console is gone", func() bool { return strings.Contains(audit.String(), "console detached") })
	for _, want := range []string{`msg="console attached" peer=console_`, "user=", "host=", `command="cluster status"`} {
		if !strings.Contains(audit.String(), want) {
			t.Errorf("no %s in the log:\n%s", want, audit.String())
		}
	}
}

// TestEval is `node eval`: output and exit status.
func TestEval(t *testing.T) {
	n := startErmine(t, dist.Options{}, nil)
	for _, tt := range []struct {
		line   string
		status int
		want   string
	}{
		{"status", 0, "is started\n"},
		{"cluster status", 0, "Cluster status"},
		{"ctl cluster join 'x y'", 1, "cannot join x y: refused\n"},
		{"nonsense", 1, "Usage: node ctl"},
		{"flood 30000", 0, "line 29999 of a long output\n"},
	} {
		var out bytes.Buffer
		o := attachOptions(n)
		o.Out = &out
		status, err := console.Eval(within(t), o, tt.line)
		if err != nil || status != tt.status || !strings.Contains(out.String(), tt.want) {
			t.Errorf("%s: status %d, %v, output %.200q; want %d and %q", tt.line, status, err, out.String(), tt.status, tt.want)
		}
	}
	if out := new(bytes.Buffer); true {
		o := attachOptions(n)
		o.Out = out
		if _, err := console.Eval(within(t), o, "flood 30000"); err != nil || strings.Count(out.String(), "\n") != 30000 {
			t.Errorf("%d lines, %v", strings.Count(out.String(), "\n"), err)
		}
	}
	// An interrupted command ends on the node.
	ctx, cancel := context.WithCancel(t.Context())
	o := attachOptions(n)
	o.Out = writerFunc(func([]byte) { cancel() })
	if status, err := console.Eval(ctx, o, "stuck"); status != 1 || err != nil {
		t.Errorf("interrupted: %d, %v", status, err)
	}
	eventually(t, "command has ended", func() bool { return n.stuck.Load() == 0 })
}

// TestAttachNetworks reaches nodes in each kind of network.
func TestAttachNetworks(t *testing.T) {
	port := startEPMD(t)
	ca := newAuthority(t)
	ca.issue("node")
	ca.issue("console")
	for _, tt := range []struct {
		name string
		o    dist.Options
	}{
		{"tls", dist.Options{TLS: ca.settings("node")}},
		{"epmd", dist.Options{Name: shortName("g") + "@127.0.0.1", EPMD: true, EPMDPort: port}},
		{"ipv6", dist.Options{Name: staticName(t, "g", "::1")}},
		{"epmd ipv6", dist.Options{Name: shortName("g") + "@::1", EPMD: true, EPMDPort: port}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := startErmine(t, tt.o, nil)
			o := attachOptions(n)
			o.EPMD, o.EPMDPort = tt.o.EPMD, tt.o.EPMDPort
			if tt.o.TLS != nil {
				o.TLS = ca.settings("console")
			}
			var out bytes.Buffer
			o.Out = &out
			if status, err := console.Eval(within(t), o, "status"); status != 0 || err != nil || !strings.Contains(out.String(), "is started") {
				t.Errorf("%d, %v, %q", status, err, out.String())
			}
		})
	}
}

// TestAttachRefused: what goes wrong is said.
func TestAttachRefused(t *testing.T) {
	n := startErmine(t, dist.Options{}, nil)
	o := attachOptions(n)
	o.Cookie = "another"
	if _, err := console.Eval(within(t), o, "status"); err == nil || !strings.Contains(err.Error(), "cookie") {
		t.Errorf("wrong cookie: %v", err)
	}
	o = attachOptions(n)
	o.Node = staticName(t, "nobody", "127.0.0.1")
	if status, err := console.Eval(within(t), o, "status"); err == nil || status != 1 {
		t.Errorf("no node: %d, %v", status, err)
	}
	o.Node = "not a name"
	if _, err := console.Eval(within(t), o, "status"); err == nil {
		t.Error("no error for a bad name")
	}
	e := startErl(t, erlOptions{})
	o.Node = e.name
	if _, err := console.Eval(within(t), o, "status"); !errors.Is(err, console.ErrRefused) {
		t.Errorf("an Erlang node: %v", err)
	}
}

// TestAttachLost: the person is told that the node has gone, at the prompt and
// in a command.
func TestAttachLost(t *testing.T) {
	for _, busy := range []bool{false, true} {
		t.Run(fmt.Sprint("busy=", busy), func(t *testing.T) {
			n := startErmine(t, dist.Options{}, nil)
			ours, theirs, err := pty.Open()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = theirs.Close() })
			s := newScreen(t, ours)
			o := attachOptions(n)
			o.OpenTTY = func(complete func(string) console.Completion) (*console.TTY, error) {
				return console.OpenTTY(console.TTYConfig{In: theirs, Out: theirs, Complete: complete})
			}
			left := make(chan error, 1)
			go func() { left <- console.Attach(t.Context(), o) }()
			s.wait(n.Name() + "> ")
			if busy {
				s.keys("stuck\r")
				s.wait("waiting")
			}
			n.services.Stop()
			n.Stop()
			s.wait("connection lost")
			select {
			case err := <-left:
				if !errors.Is(err, console.ErrLost) {
					t.Errorf("attach: %v", err)
				}
			case <-within(t).Done():
				t.Fatal("attach does not end")
			}
		})
	}
}

// TestCompletionOverRPC is what Erlang's line editor asks for a Tab.
func TestCompletionOverRPC(t *testing.T) {
	n, e := servicePair(t, nil)
	for _, tt := range []struct{ line, want string }{
		{"clus", `{yes, "ter ", []}`},
		{"cl", `{yes, [], ["clear", "clients", "cluster"]}`},
		{"cluster ", `{yes, [], ["join", "status"]}`},
		{"cluster s", `{yes, "tatus ", []}`},
		{"cluster status ", `{no, [], []}`},
		{"zzz", `{no, [], []}`},
	} {
		e.want(term(t, "%s", tt.want), "rpc:call(N, edlin_expand, expand, [lists:reverse(%q)])", tt.line)
		e.want(term(t, "%s", tt.want), "rpc:call(N, edlin_expand, expand, [lists:reverse(%q), []])", tt.line)
	}
	e.want(etf.Tuple{etf.Atom("yes"), etf.NewCharlist(n.Name()[3:] + " "), etf.List{}},
		"rpc:call(N, edlin_expand, expand, [lists:reverse(%q)])", "cluster join "+n.Name()[:3])
}
