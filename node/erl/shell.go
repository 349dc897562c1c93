package erl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"ergo.services/ergo/act"
	"ergo.services/ergo/gen"

	"ermine/node/console"
	"ermine/node/ctl"
	"ermine/node/dist"
	"ermine/node/dist/etf"
)

// An `erl -remsh` shell asks this node for shell:start/0, which returns the
// process that it takes for the shell: here one with our console in it. The
// caller's group leader, a process of Erlang's group module on the caller's
// node, has the terminal with its line editing, and speaks the Erlang I/O
// protocol. Tab makes it call edlin_expand:expand on this node; Ctrl-G i sends
// exit signals with reason interrupt.

// shell is the process of one remote shell: a Terminal whose other end is the
// group leader. The console runs in a goroutine.
type shell struct {
	act.Actor
	s      *Services
	caller gen.PID
	leader gen.PID

	ctx    context.Context //nolint:containedctx // the shell's own life, not a caller's
	cancel context.CancelCauseFunc
	ints   chan struct{}

	mu       sync.Mutex
	self     gen.PID
	requests map[etf.Ref]chan any
	lines    []string
}

// startConsole begins the console, when the process can be sent to.
type startConsole struct{}

// consoleEnded tells the process that the person has left.
type consoleEnded struct{}

// shellStart is shell:start/0,1,2. It returns the pid of the shell.
func (s *Services) shellStart(_ context.Context, c *Call) (any, error) {
	if s.opts.Commands == nil || c.GroupLeader == (gen.PID{}) {
		return nil, ErrRefused
	}
	sh := &shell{
		s: s, caller: c.Caller, leader: c.GroupLeader,
		ints: make(chan struct{}, 1), requests: map[etf.Ref]chan any{},
	}
	sh.ctx, sh.cancel = context.WithCancelCause(s.ctx)
	pid, err := s.net.Node().Spawn(func() gen.ProcessBehavior { return sh }, gen.ProcessOptions{LogLevel: gen.LogLevelDisabled})
	if err != nil {
		return nil, err
	}
	if err := s.net.Node().Send(pid, startConsole{}); err != nil {
		return nil, err
	}
	return s.net.Pid(pid), nil
}

// Init is called by ergo.
func (sh *shell) Init(...any) error {
	sh.SetTrapExit(true)
	return nil
}

// HandleMessage is called by ergo.
func (sh *shell) HandleMessage(_ gen.PID, message any) error {
	switch m := message.(type) {
	case startConsole:
		sh.mu.Lock()
		sh.self = sh.PID()
		sh.mu.Unlock()
		if _, err := sh.s.net.Monitor(sh.PID(), sh.leader); err != nil {
			return err
		}
		// A warning, so that the default log level shows it: somebody is in command.
		sh.s.log.Warn("remote shell attached", "peer", string(sh.caller.Node))
		go sh.run()
	case etf.Tuple:
		if len(m) == 3 && m[0] == etf.Atom("io_reply") {
			sh.reply(m[1], m[2])
		}
	case gen.MessageExitPID:
		if m.Reason != nil && m.Reason.Error() == "interrupt" {
			select {
			case sh.ints <- struct{}{}:
			default:
			}
			return nil
		}
		return m.Reason
	case dist.Down:
		return gen.TerminateReasonNormal
	case consoleEnded:
		return gen.TerminateReasonNormal
	}
	return nil
}

// Terminate is called by ergo.
func (sh *shell) Terminate(reason error) {
	sh.cancel(reason)
	sh.s.log.Info("remote shell detached", "peer", string(sh.caller.Node))
}

// run is the console.
func (sh *shell) run() {
	c := console.New(console.Config{
		Backend:  console.NewLocal(sh.s.net.Name(), audited{sh}, sh.s.opts.Names),
		Terminal: sh, Version: sh.s.opts.Version, Leave: "the node goes on",
	})
	err := c.Run(sh.ctx)
	if err == nil {
		sh.stopCaller()
	}
	_ = sh.s.net.Node().Send(sh.self, consoleEnded{})
}

// audited tells the log which commands a remote shell runs.
type audited struct{ sh *shell }

// Commands implements console.Commands.
func (a audited) Commands() []ctl.Command { return a.sh.s.opts.Commands.Commands() }

// Run implements console.Commands.
func (a audited) Run(ctx context.Context, args []string, asJSON bool, out io.Writer) error {
	a.sh.s.log.Info("console command", "peer", string(a.sh.caller.Node), "command", console.Audit(args))
	return a.sh.s.opts.Commands.Run(ctx, args, asJSON, out)
}

// leaveTime bounds how long the caller's node is asked.
const leaveTime = 5 * time.Second

// stopCaller ends the node of a shell that was started with `erl -remsh` for
// this node: without its shell it is of no use, and q() in an Erlang shell ends
// the program. A node that opened the shell otherwise (Ctrl-G r) goes on.
func (sh *shell) stopCaller() {
	ctx, cancel := context.WithTimeout(sh.ctx, leaveTime)
	defer cancel()
	node := string(sh.leader.Node)
	v, err := sh.s.net.RPC(ctx, node, "init", "get_argument", etf.Atom("remsh"))
	if err != nil || !remshTo(v, sh.s.net.Name()) {
		return
	}
	_, _ = sh.s.net.RPC(ctx, node, "init", "stop")
}

// remshTo reads {ok, [[Node]]}.
func remshTo(v any, name string) bool {
	t, ok := v.(etf.Tuple)
	if !ok || len(t) != 2 || t[0] != etf.Atom("ok") {
		return false
	}
	values, _ := etf.AsList(t[1])
	for _, v := range values {
		list, _ := etf.AsList(v)
		for _, n := range list {
			if text, ok := etf.Text(n); ok && text == name {
				return true
			}
		}
	}
	return false
}

// ask sends the group leader an I/O request and waits for the answer.
func (sh *shell) ask(request any) (any, error) {
	ref := sh.s.net.MakeRef()
	answer := make(chan any, 1)
	sh.mu.Lock()
	sh.requests[ref] = answer
	self := sh.self
	sh.mu.Unlock()
	defer func() {
		sh.mu.Lock()
		delete(sh.requests, ref)
		sh.mu.Unlock()
	}()
	message := etf.Tuple{etf.Atom("io_request"), sh.s.net.Pid(self), ref, request}
	if err := sh.s.send(sh.ctx, sh.leader, message); err != nil {
		return nil, err
	}
	select {
	case v := <-answer:
		return v, nil
	case <-sh.ctx.Done():
		return nil, context.Cause(sh.ctx)
	}
}

// reply takes an io_reply.
func (sh *shell) reply(ref, answer any) {
	r, ok := ref.(etf.Ref)
	if !ok {
		return
	}
	sh.mu.Lock()
	ch := sh.requests[r]
	delete(sh.requests, r)
	sh.mu.Unlock()
	if ch != nil {
		ch <- answer
	}
}

// ReadLine implements console.Terminal: get_line, edited by the caller's shell.
func (sh *shell) ReadLine(prompt string) (string, error) {
	answer, err := sh.ask(etf.Tuple{etf.Atom("get_line"), etf.Atom("unicode"), etf.NewCharlist(prompt)})
	if err != nil {
		return "", err
	}
	if answer == etf.Atom("eof") {
		return "", io.EOF
	}
	if t, ok := answer.(etf.Tuple); ok && len(t) == 2 {
		if t[1] == etf.Atom("interrupted") {
			return "", console.ErrInterrupt
		}
		return "", fmt.Errorf("read a line: %s", etf.FormatLimit(t[1], 100))
	}
	text, ok := etf.Text(answer)
	if !ok {
		return "", errors.New("read a line: the answer is no text")
	}
	for len(text) > 0 && (text[len(text)-1] == '\n' || text[len(text)-1] == '\r') {
		text = text[:len(text)-1]
	}
	sh.remember(text)
	return text, nil
}

// maxLines bounds what `history` shows; the caller's shell has its own.
const maxLines = 500

func (sh *shell) remember(line string) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if line == "" {
		return
	}
	sh.lines = append(sh.lines, line)
	if len(sh.lines) > maxLines {
		sh.lines = slices.Delete(sh.lines, 0, len(sh.lines)-maxLines)
	}
}

// Write implements io.Writer: put_chars. It returns when the terminal has taken
// the text.
func (sh *shell) Write(p []byte) (int, error) {
	answer, err := sh.ask(etf.Tuple{etf.Atom("put_chars"), etf.Atom("unicode"), slices.Clone(p)})
	if err != nil {
		return 0, err
	}
	if answer != etf.Atom("ok") {
		return 0, fmt.Errorf("write to the shell: %s", etf.FormatLimit(answer, 100))
	}
	return len(p), nil
}

// Interrupts implements console.Terminal.
func (sh *shell) Interrupts() <-chan struct{} { return sh.ints }

// Abort implements console.Terminal.
func (sh *shell) Abort(err error) { sh.cancel(err) }

// Size implements console.Terminal.
func (sh *shell) Size() (columns, rows int) {
	ask := func(what etf.Atom) int {
		v, err := sh.ask(etf.Tuple{etf.Atom("get_geometry"), what})
		n, ok := etf.AsInt(v)
		if err != nil || !ok {
			return 0
		}
		return int(n)
	}
	return ask("columns"), ask("rows")
}

// Color implements console.Terminal. Erlang's shell prints control characters
// of OTP 25 as text, so there is none.
func (sh *shell) Color() bool { return false }

// History implements console.Terminal.
func (sh *shell) History() []string {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return slices.Clone(sh.lines)
}

// expand is edlin_expand:expand/1,2, which the caller's line editor calls for a
// Tab: the line before the cursor, backwards, to {yes | no, Chars, Words}.
func (s *Services) expand(_ context.Context, c *Call) (any, error) {
	before, ok := etf.Text(c.Args[0])
	if !ok {
		return nil, ErrBadArg
	}
	no := etf.Tuple{etf.Atom("no"), etf.List{}, etf.List{}}
	if s.opts.Commands == nil {
		return no, nil
	}
	runes := []rune(before)
	slices.Reverse(runes)
	line := string(runes)
	found := console.WithBuiltins(console.Complete(s.opts.Commands.Commands(), s.opts.Names, line), line)
	if len(found.Words) == 0 {
		return no, nil
	}
	more := found.Apply(line)[len(line):]
	words := etf.List{}
	if more == "" {
		for _, w := range found.Words {
			words = append(words, etf.NewCharlist(w))
		}
	}
	return etf.Tuple{etf.Atom("yes"), etf.NewCharlist(more), words}, nil
}
