package console

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"ergo.services/ergo/act"
	"ergo.services/ergo/gen"

	"ermine/node/dist"
	"ermine/node/dist/etf"
)

const (
	// ServiceName is the registered name of the service on every node.
	ServiceName = "ermine_console"

	protocolVersion = 1

	// maxConsoles bounds the consoles of a node, maxRunning the commands of one.
	maxConsoles = 64
	maxRunning  = 16

	// outputWindow is how far a command may be ahead of the printing, in bytes.
	outputWindow = 256 << 10
)

// ServiceConfig is what the service of attached consoles is made with.
type ServiceConfig struct {
	Network  *dist.Network
	Commands Commands
	Names    Names
	Version  string
	Logger   *slog.Logger

	// Ended, if not nil, is called when the process has ended, with the reason.
	Ended func(reason error)
}

// NewService returns the factory of the process that serves attached consoles.
// The caller registers it as ServiceName.
func NewService(cfg ServiceConfig) gen.ProcessFactory {
	return func() gen.ProcessBehavior { return &service{cfg: cfg} }
}

// service is the process. Only it touches its fields.
type service struct {
	act.Actor
	cfg      ServiceConfig
	consoles map[etf.Ref]*attached // by token
	monitors map[etf.Ref]etf.Ref   // monitor -> token
}

// attached is one console.
type attached struct {
	pid  gen.PID
	peer string
	who  []any           // for the log
	ctx  context.Context //nolint:containedctx // the console's own life, not a caller's
	end  context.CancelFunc

	mu   sync.Mutex
	runs map[int64]*run
}

// run is one command under way.
type run struct {
	cancel context.CancelFunc

	mu    sync.Mutex
	ahead int
	more  chan struct{} // has a value when ahead has become less
}

// Init is called by ergo.
func (s *service) Init(...any) error {
	s.consoles = map[etf.Ref]*attached{}
	s.monitors = map[etf.Ref]etf.Ref{}
	return nil
}

// Terminate is called by ergo: what runs for consoles ends.
func (s *service) Terminate(reason error) {
	for _, c := range s.consoles {
		c.end()
	}
	if s.cfg.Ended != nil {
		s.cfg.Ended(reason)
	}
}

func failure(reason string) etf.Tuple { return etf.Tuple{etf.Atom("error"), etf.Atom(reason)} }

// HandleCall is called by ergo (call): attach and complete.
func (s *service) HandleCall(from gen.PID, ref gen.Ref, request any) (any, error) {
	t, _ := request.(etf.Tuple)
	switch {
	case len(t) == 4 && t[0] == etf.Atom("attach"):
		return s.attach(t), nil
	case len(t) == 3 && t[0] == etf.Atom("complete"):
		c := s.console(t[1])
		line, ok := etf.Text(t[2])
		if c == nil || !ok {
			return failure("badarg"), nil
		}
		s.complete(from, ref, line)
		return nil, nil
	}
	return failure("notsup"), nil
}

// complete answers in a goroutine: to look through a million clients takes its
// time.
func (s *service) complete(from gen.PID, ref gen.Ref, line string) {
	core, ok := s.Node().(gen.Core)
	if !ok {
		return
	}
	self := s.PID()
	go func() {
		found := Complete(s.cfg.Commands.Commands(), s.cfg.Names, line)
		words := make(etf.List, len(found.Words))
		for i, w := range found.Words {
			words[i] = w
		}
		_ = core.RouteSendResponse(self, from, gen.MessageOptions{Ref: ref}, etf.Tuple{etf.Atom("ok"), found.Start, words})
	}()
}

func (s *service) console(token any) *attached {
	ref, _ := token.(etf.Ref)
	return s.consoles[ref]
}

// who is what a console tells of the person.
type who struct {
	User string `etf:"user"`
	Host string `etf:"host"`
	PID  int64  `etf:"pid"`
}

func (s *service) attach(t etf.Tuple) any {
	pid, ok := t[2].(etf.Pid)
	var info who
	if !ok || etf.Unmarshal(t[3], &info) != nil {
		return failure("badarg")
	}
	if version, ok := etf.AsInt(t[1]); !ok || version < protocolVersion {
		return failure("version")
	}
	if len(s.consoles) >= maxConsoles {
		return failure("system_limit")
	}
	c := &attached{
		pid: s.cfg.Network.PID(pid), peer: string(pid.Node), runs: map[int64]*run{},
		who: []any{"peer", string(pid.Node), "user", clip(info.User), "host", clip(info.Host), "os_pid", info.PID},
	}
	monitor, err := s.cfg.Network.Monitor(s.PID(), c.pid)
	if err != nil {
		return failure("badarg")
	}
	c.ctx, c.end = context.WithCancel(context.Background())
	token := s.cfg.Network.MakeRef()
	s.consoles[token], s.monitors[monitor] = c, token
	// A warning, so that the default log level shows it: somebody is in command.
	s.cfg.Logger.Warn("console attached", c.who...)
	return etf.Tuple{etf.Atom("ok"), etf.Map{
		{Key: etf.Atom("token"), Value: token},
		{Key: etf.Atom("node"), Value: s.cfg.Network.Name()},
		{Key: etf.Atom("version"), Value: s.cfg.Version},
	}}
}

// clip keeps what peers say short in the log.
func clip(s string) string {
	const limit = 64
	return s[:min(len(s), limit)]
}

// HandleMessage is called by ergo: casts of consoles, and their end (info).
func (s *service) HandleMessage(_ gen.PID, message any) error {
	switch m := message.(type) {
	case dist.Down:
		token := s.monitors[m.Ref]
		delete(s.monitors, m.Ref)
		if c := s.consoles[token]; c != nil {
			delete(s.consoles, token)
			c.end()
			s.cfg.Logger.Info("console detached", append(c.who[:len(c.who):len(c.who)], "reason", m.Reason)...)
		}
	case etf.Tuple:
		if len(m) == 2 && m[0] == etf.Atom("$gen_cast") {
			if t, ok := m[1].(etf.Tuple); ok && len(t) >= 3 {
				s.cast(t)
			}
		}
	}
	return nil
}

func (s *service) cast(t etf.Tuple) {
	c := s.console(t[1])
	id, ok := etf.AsInt(t[2])
	if c == nil || !ok {
		return
	}
	switch {
	case t[0] == etf.Atom("run") && len(t) == 4:
		s.run(c, id, t[3])
	case t[0] == etf.Atom("read") && len(t) == 4:
		if n, ok := etf.AsInt(t[3]); ok && n > 0 {
			if r := c.run(id); r != nil {
				r.printed(int(min(n, outputWindow)))
			}
		}
	case t[0] == etf.Atom("interrupt"):
		if r := c.run(id); r != nil {
			r.cancel()
		}
	}
}

func (c *attached) run(id int64) *run {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.runs[id]
}

// run begins a command in a goroutine of its own.
func (s *service) run(c *attached, id int64, term any) {
	tell := func(what string, value any) error {
		return s.cfg.Network.Send(c.ctx, c.pid, etf.Tuple{etf.Atom("console"), id, etf.Atom(what), value})
	}
	args, err := textList(term)
	ctx, cancel := context.WithCancel(c.ctx)
	r := &run{cancel: cancel, more: make(chan struct{}, 1)}
	c.mu.Lock()
	refused := err != nil || c.runs[id] != nil || len(c.runs) >= maxRunning
	if !refused {
		c.runs[id] = r
	}
	c.mu.Unlock()
	if refused {
		cancel()
		go func() { _ = tell("done", 1) }()
		return
	}
	s.cfg.Logger.Info("console command", "peer", c.peer, "command", Audit(args))
	go func() {
		defer cancel()
		status := runCommand(ctx, s.cfg.Commands, args, &remoteOutput{ctx: ctx, run: r, tell: tell})
		c.mu.Lock()
		delete(c.runs, id)
		c.mu.Unlock()
		_ = tell("done", status)
	}()
}

// Audit is a command for the log: its first two words, since what follows may be
// a secret.
func Audit(args []string) string {
	const shown = 2
	words := make([]string, 0, shown+1)
	for _, a := range args[:min(len(args), shown)] {
		words = append(words, clip(a))
	}
	if len(args) > shown {
		words = append(words, "...")
	}
	return strings.Join(words, " ")
}

// textList reads a list of texts: charlists, binaries, atoms.
func textList(term any) ([]string, error) {
	list, ok := etf.AsList(term)
	if !ok {
		return nil, fmt.Errorf("arguments are no list: %s", etf.FormatLimit(term, 100))
	}
	args := make([]string, len(list))
	for i, t := range list {
		if args[i], ok = etf.Text(t); !ok {
			return nil, fmt.Errorf("argument is no text: %s", etf.FormatLimit(t, 100))
		}
	}
	return args, nil
}

// printed makes room in the window.
func (r *run) printed(n int) {
	r.mu.Lock()
	r.ahead = max(0, r.ahead-n)
	r.mu.Unlock()
	select {
	case r.more <- struct{}{}:
	default:
	}
}

// remoteOutput is where a command's output goes.
type remoteOutput struct {
	ctx  context.Context //nolint:containedctx // io.Writer has none
	run  *run
	tell func(string, any) error
}

// Write implements io.Writer. It waits for room in the window.
func (o *remoteOutput) Write(p []byte) (int, error) {
	for {
		o.run.mu.Lock()
		fits := o.run.ahead < outputWindow
		if fits {
			o.run.ahead += len(p)
		}
		o.run.mu.Unlock()
		if fits {
			break
		}
		select {
		case <-o.run.more:
		case <-o.ctx.Done():
			return 0, context.Cause(o.ctx)
		}
	}
	if err := o.ctx.Err(); err != nil {
		return 0, err
	}
	if err := o.tell("output", p); err != nil {
		return 0, err
	}
	return len(p), nil
}
