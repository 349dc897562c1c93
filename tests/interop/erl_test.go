package interop

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"ergo.services/ergo/act"
	"ergo.services/ergo/gen"

	"ermine/node/dist"
	"ermine/node/dist/epmd"
	"ermine/node/dist/etf"
)

const (
	cookie = "interop-cookie"

	// patience bounds every wait; nothing here takes that long.
	patience = 30 * time.Second

	// tick is the net tick time of tests that do not look at it.
	tick = 60 * time.Second
)

// erlDriver evaluates what it reads, one line for each list of expressions: a
// "+" to keep the variables that it binds or a "-", and the text in base64. It
// answers with base64 lines. Nothing else may print.
const erlDriver = `
-module(interop_driver).
-export([start/0, print/1]).

start() ->
    ok = io:setopts([binary, {encoding, latin1}]),
    print({ready, node()}),
    loop(erl_eval:new_bindings()).

loop(Bs) ->
    case io:get_line("") of
        eof -> halt(0);
        {error, _} -> halt(1);
        <<Keep, Line/binary>> ->
            Text = binary_to_list(base64:decode(string:trim(Line))),
            {Answer, Bs1} = eval(Text, Bs),
            print(Answer),
            loop(case Keep of $+ -> Bs1; $- -> Bs end)
    end.

eval(Text, Bs) ->
    try
        {ok, Tokens, _} = erl_scan:string(Text ++ "."),
        {ok, Exprs} = erl_parse:parse_exprs(Tokens),
        {value, V, Bs1} = erl_eval:exprs(Exprs, Bs),
        {{ok, V}, Bs1}
    catch
        Class:Reason:Stack -> {{Class, Reason, io_lib:format("~0p", [Stack])}, Bs}
    end.

print(Term) ->
    io:put_chars(["\n@", base64:encode(term_to_binary(Term)), "\n"]).
`

// erlStaticEPMD is the shipped module that applies the static port rule on the
// Erlang side.
const erlStaticEPMD = "../../etc/ermine_epmd.erl"

// erlBeams compiles the modules above once for the test binary.
var erlBeams = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "interop-beams-")
	if err != nil {
		return "", err
	}
	staticEPMD, err := os.ReadFile(erlStaticEPMD)
	if err != nil {
		return "", err
	}
	for name, source := range map[string]string{"interop_driver": erlDriver, "ermine_epmd": string(staticEPMD)} {
		file := filepath.Join(dir, name+".erl")
		if err := os.WriteFile(file, []byte(source), 0o600); err != nil {
			return "", err
		}
		if out, err := exec.Command("erlc", "-o", dir, file).CombinedOutput(); err != nil {
			return "", fmt.Errorf("erlc (install with `make test-deps`): %w: %s", err, out)
		}
	}
	return dir, nil
})

func TestMain(m *testing.M) {
	if role := os.Getenv(childRole); role != "" {
		os.Exit(runChild(role))
	}
	code := m.Run()
	if dir, err := erlBeams(); err == nil {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

// erlNode is a running Erlang node that evaluates what the test asks for.
type erlNode struct {
	t    testing.TB
	name string
	cmd  *exec.Cmd
	in   io.WriteCloser

	mu      sync.Mutex // one expression at a time
	answers chan []byte
	output  lockedBuffer
	stopped bool
}

type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuffer) add(s string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b.WriteString(s)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// erlOptions are what a test may want of an Erlang node.
type erlOptions struct {
	name     string // default: a unique one on 127.0.0.1
	cookie   string
	args     []string
	epmdPort uint16 // EPMD mode on this port; 0 is static mode
	tick     time.Duration
	hidden   bool
	anyName  bool // the node gets its name from others
}

var erlCount atomic.Int64

// shortName makes a name that no other node has, without digits at its end.
func shortName(prefix string) string {
	return fmt.Sprintf("%s_%d_%d_n", prefix, os.Getpid(), erlCount.Add(1))
}

// staticName makes a unique name whose static port is free. The port is below
// those that the kernel gives to outgoing connections, and free on every
// address, since Erlang listens on all of them.
func staticName(t testing.TB, prefix, host string) string {
	t.Helper()
	const first, last = 10000, 32000
	for range 1000 {
		port := first + rand.IntN(last-first)
		free := true
		for _, addr := range []string{host, ""} {
			l, err := net.Listen("tcp", net.JoinHostPort(addr, strconv.Itoa(port)))
			if err != nil {
				free = false
				break
			}
			_ = l.Close()
		}
		if free {
			return fmt.Sprintf("%s%d@%s", shortName(prefix), port-epmd.BaseDistPort, host)
		}
	}
	t.Fatal("no free port for the static rule")
	return ""
}

// startErl starts an Erlang node and waits until it answers.
func startErl(t testing.TB, o erlOptions) *erlNode {
	t.Helper()
	beams, err := erlBeams()
	if err != nil {
		t.Fatal(err)
	}
	if o.name == "" {
		o.name = staticName(t, "e", "127.0.0.1")
	}
	if o.cookie == "" {
		o.cookie = cookie
	}
	if o.tick == 0 {
		o.tick = tick
	}
	args := []string{
		"-noshell", "-pa", beams, "-name", o.name, "-setcookie", o.cookie,
		"-kernel", "net_ticktime", strconv.Itoa(int(o.tick / time.Second)),
		"-kernel", "logger_level", "critical",
	}
	if o.hidden {
		args = append(args, "-hidden")
	}
	if o.epmdPort == 0 {
		args = append(args, "-start_epmd", "false", "-epmd_module", "ermine_epmd")
	}
	args = append(args, o.args...)
	args = append(args, "-s", "interop_driver")
	cmd := exec.Command("erl", args...)
	cmd.Env = append(os.Environ(), "ERL_CRASH_DUMP=/dev/null", "HOME="+t.TempDir())
	if o.epmdPort != 0 {
		cmd.Env = append(cmd.Env, "ERL_EPMD_PORT="+strconv.Itoa(int(o.epmdPort)))
	}
	e := &erlNode{t: t, name: o.name, cmd: cmd, answers: make(chan []byte, 1)}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = writerFunc(func(b []byte) { e.output.add(string(b)) })
	if e.in, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("erl (install with `make test-deps`): %v", err)
	}
	go e.read(stdout)
	t.Cleanup(e.kill)
	ready, err := e.next(patience)
	if err != nil {
		t.Fatalf("erlang node %s does not start: %v\n%s", o.name, err, e.output.String())
	}
	if tu, ok := ready.(etf.Tuple); !ok || tu[1] != etf.Atom(o.name) && !o.anyName {
		t.Fatalf("erlang node %s says %v", o.name, ready)
	}
	return e
}

type writerFunc func([]byte)

func (f writerFunc) Write(b []byte) (int, error) { f(b); return len(b), nil }

func (e *erlNode) read(r io.Reader) {
	defer close(e.answers)
	br := bufio.NewReaderSize(r, 1<<20)
	for {
		line, err := br.ReadBytes('\n')
		if err != nil {
			return
		}
		if len(line) > 1 && line[0] == '@' {
			b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(line[1:])))
			if err == nil {
				e.answers <- b
				continue
			}
		}
		e.output.add(string(line))
	}
}

func (e *erlNode) next(limit time.Duration) (any, error) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case b, ok := <-e.answers:
		if !ok {
			return nil, io.EOF
		}
		return etf.Decode(b)
	case <-timer.C:
		return nil, fmt.Errorf("no answer within %s", limit)
	}
}

// try evaluates expressions and returns the value of the last one. Variables
// that they bind are forgotten.
func (e *erlNode) try(format string, args ...any) (any, error) {
	return e.ask("-", fmt.Sprintf(format, args...))
}

func (e *erlNode) ask(keep, text string) (any, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, err := io.WriteString(e.in, keep+base64.StdEncoding.EncodeToString([]byte(text))+"\n"); err != nil {
		return nil, err
	}
	v, err := e.next(patience)
	if err != nil {
		return nil, fmt.Errorf("erlang %s: %s: %w\n%s", e.name, text, err, e.output.String())
	}
	tu, ok := v.(etf.Tuple)
	if ok && len(tu) == 2 && tu[0] == etf.Atom("ok") {
		return tu[1], nil
	}
	return nil, fmt.Errorf("erlang %s: %s: %s", e.name, text, etf.Format(v))
}

// eval is try; an exception fails the test.
func (e *erlNode) eval(format string, args ...any) any {
	e.t.Helper()
	v, err := e.try(format, args...)
	if err != nil {
		e.t.Fatal(err)
	}
	return v
}

// let is eval; the variables that it binds stay.
func (e *erlNode) let(format string, args ...any) any {
	e.t.Helper()
	v, err := e.ask("+", fmt.Sprintf(format, args...))
	if err != nil {
		e.t.Fatal(err)
	}
	return v
}

// want evaluates and compares with a term, or its text.
func (e *erlNode) want(want any, format string, args ...any) {
	e.t.Helper()
	got := e.eval(format, args...)
	if !etf.Equal(got, want) {
		e.t.Fatalf("%s = %s, want %s", fmt.Sprintf(format, args...), etf.Format(got), etf.Format(want))
	}
}

// signal sends the runtime a signal: SIGSTOP, SIGCONT, SIGKILL.
func (e *erlNode) signal(s syscall.Signal) {
	e.t.Helper()
	if err := e.cmd.Process.Signal(s); err != nil {
		e.t.Errorf("signal %s to %s: %v", s, e.name, err)
	}
}

// kill ends the node at once.
func (e *erlNode) kill() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopped {
		return
	}
	e.stopped = true
	_ = e.cmd.Process.Kill()
	_ = e.in.Close()
	for range e.answers {
	}
	_ = e.cmd.Wait()
}

// startEPMD runs a port mapper for one test and returns its port.
func startEPMD(t testing.TB) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := uint16(l.Addr().(*net.TCPAddr).Port)
	_ = l.Close()
	cmd := exec.Command("epmd", "-port", strconv.Itoa(int(port)), "-address", "127.0.0.1,::1")
	if err := cmd.Start(); err != nil {
		t.Fatalf("epmd (install with `make test-deps`): %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	eventually(t, "epmd answers", func() bool {
		_, err := (&epmd.Client{Port: port}).Names(t.Context(), "127.0.0.1")
		return err == nil
	})
	return port
}

// eventually polls until ok, or fails the test.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			t.Fatalf("timed out: %s", what)
		case <-poll.C:
		}
	}
}

// within is a context for one operation.
func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// testLogger writes to the test's log.
func testLogger(t testing.TB) *slog.Logger {
	done := make(chan struct{})
	t.Cleanup(func() { close(done) })
	return slog.New(slog.NewTextHandler(writerFunc(func(b []byte) {
		select {
		case <-done:
		default:
			t.Log(strings.TrimSuffix(string(b), "\n"))
		}
	}), &slog.HandlerOptions{Level: slog.LevelInfo}))
}

// goNode is one of this project's nodes, in the test's own process.
type goNode struct {
	*dist.Network
	t      testing.TB
	events chan dist.NodeEvent
}

// startGo starts a node. Name, Cookie and Logger have defaults.
func startGo(t testing.TB, o dist.Options) *goNode {
	t.Helper()
	if o.Name == "" {
		o.Name = staticName(t, "g", "127.0.0.1")
	}
	if o.Cookie == "" {
		o.Cookie = cookie
	}
	if o.Logger == nil {
		o.Logger = testLogger(t)
	}
	if o.TickTime == 0 {
		o.TickTime = tick
	}
	n, err := dist.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	g := &goNode{Network: n, t: t, events: make(chan dist.NodeEvent, 1024)}
	n.Subscribe(func(ev dist.NodeEvent) { g.events <- ev })
	t.Cleanup(g.Stop)
	return g
}

// event waits for the next event about a node.
func (g *goNode) event(name string, up bool) dist.NodeEvent {
	g.t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		select {
		case ev := <-g.events:
			if ev.Node == name && ev.Up == up {
				return ev
			}
		case <-timer.C:
			g.t.Fatalf("no event for %s, up=%t", name, up)
		}
	}
}

// script is a process whose callbacks the test supplies.
type script struct {
	act.Actor
	trap    bool
	call    func(p *script, from gen.PID, ref gen.Ref, request any) (any, error)
	message func(p *script, from gen.PID, message any) error
}

func (p *script) Init(...any) error {
	p.SetTrapExit(p.trap)
	return nil
}

func (p *script) HandleCall(from gen.PID, ref gen.Ref, request any) (any, error) {
	if p.call == nil {
		return request, nil
	}
	return p.call(p, from, ref, request)
}

func (p *script) HandleMessage(from gen.PID, message any) error {
	if p.message == nil {
		return nil
	}
	return p.message(p, from, message)
}

// spawn starts a script process, registered if name is not empty.
func (g *goNode) spawn(name string, p *script) gen.PID {
	g.t.Helper()
	factory := func() gen.ProcessBehavior { return p }
	options := gen.ProcessOptions{LogLevel: gen.LogLevelDisabled}
	var pid gen.PID
	var err error
	if name == "" {
		pid, err = g.Node().Spawn(factory, options)
	} else {
		pid, err = g.Node().SpawnRegister(gen.Atom(name), factory, options)
	}
	if err != nil {
		g.t.Fatal(err)
	}
	return pid
}

// sink is a process that hands all its messages to a channel; {exit, Reason}
// ends it.
func (g *goNode) sink(name string, trap bool) (gen.PID, <-chan any) {
	messages := make(chan any, 65536)
	pid := g.spawn(name, &script{trap: trap, message: func(_ *script, _ gen.PID, message any) error {
		if t, ok := message.(etf.Tuple); ok && len(t) == 2 && t[0] == etf.Atom("exit") {
			return dist.Exit(t[1])
		}
		messages <- message
		return nil
	}})
	return pid, messages
}

// receive takes the next message of a sink.
func receive(t testing.TB, messages <-chan any) any {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case m := <-messages:
		return m
	case <-timer.C:
		t.Fatal("no message")
		return nil
	}
}

// bindPid binds an Erlang variable to a pid of g.
func (g *goNode) bindPid(e *erlNode, variable string, pid gen.PID) {
	g.t.Helper()
	b, err := etf.Append(nil, g.Pid(pid))
	if err != nil {
		g.t.Fatal(err)
	}
	e.let("%s = binary_to_term(base64:decode(<<%q>>)), ok", variable, base64.StdEncoding.EncodeToString(b))
}
