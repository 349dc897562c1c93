package console

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/user"
	"strings"
	"sync"
	"time"

	"ergo.services/ergo/act"
	"ergo.services/ergo/gen"

	"ermine/node/dist"
	"ermine/node/dist/epmd"
	"ermine/node/dist/etf"
)

// Options tell which node a console attaches to, and how.
type Options struct {
	// Node is the full name of the node to attach to, Cookie its cookie.
	Node   string
	Cookie string

	// Name is the name of the console's own, hidden node; empty makes one.
	Name string

	// EPMD, EPMDPort and TLS are as in dist.Options: what the node uses.
	EPMD     bool
	EPMDPort uint16
	TLS      *dist.TLS

	// TickTime is how long the node may be silent before it counts as lost;
	// 0 is dist's default.
	TickTime time.Duration

	// Version is that of this program, for the greeting.
	Version string

	// Terminal is what the person sits at; nil is standard input and output.
	// Eval does not use it.
	Terminal Terminal

	// Out takes what Eval prints; nil is standard output.
	Out io.Writer

	// HistoryFile keeps the lines typed, with mode 0600; empty is none. Only
	// for a nil Terminal and OpenTTY.
	HistoryFile string

	// OpenTTY, if not nil, opens the terminal in place of standard input and
	// output; it is given what completes a line.
	OpenTTY func(complete func(line string) Completion) (*TTY, error)

	// Logger takes what the console's own node logs; nil is nowhere.
	Logger *slog.Logger
}

// attachTime bounds how long it takes to reach the node.
const attachTime = 15 * time.Second

// Attach connects to a running node, as `node attach` and `node remote_console`
// do, and gives the person a console on it. It blocks until the person leaves,
// which is nil, or ctx ends, or the node is lost (ErrLost, which the person has
// been told). It installs handlers for no signals. Other errors: those of
// dist.Network.Connect (wrong cookie, no such node), and ErrRefused.
func Attach(ctx context.Context, o Options) error {
	r, err := dial(ctx, o)
	if err != nil {
		return err
	}
	defer r.close()
	terminal := o.Terminal
	if terminal == nil {
		open := o.OpenTTY
		if open == nil {
			open = func(complete func(string) Completion) (*TTY, error) {
				return OpenTTY(TTYConfig{HistoryFile: o.HistoryFile, Complete: complete})
			}
		}
		tty, err := open(completer(ctx, r))
		if err != nil {
			return err
		}
		defer tty.Close()
		terminal = tty
	}
	return New(Config{Backend: r, Terminal: terminal, Version: r.version, Leave: "the node goes on"}).Run(ctx)
}

// Local gives a person at standard input and output a console on the node in
// this process, as `node console` does; it blocks like Attach. historyFile is
// as in Options. The caller stops the node when it returns.
func Local(ctx context.Context, b Backend, version, historyFile string) error {
	tty, err := OpenTTY(TTYConfig{HistoryFile: historyFile, Complete: completer(ctx, b)})
	if err != nil {
		return err
	}
	defer tty.Close()
	return New(Config{Backend: b, Terminal: tty, Version: version, Leave: "the node stops"}).Run(ctx)
}

// Eval runs one command, a line as in the console, on a running node, as `node
// eval '<command>'` does, and returns its exit status. It blocks until the
// command has ended; when ctx does, the command is interrupted. Errors as for
// Attach; the status is then 1.
func Eval(ctx context.Context, o Options, line string) (status int, err error) {
	words, err := Words(line)
	if err != nil {
		return 1, err
	}
	if o.Out == nil {
		o.Out = os.Stdout
	}
	r, err := dial(ctx, o)
	if err != nil {
		return 1, err
	}
	defer r.close()
	return r.Run(ctx, words, o.Out)
}

// completeTime bounds how long a Tab may take.
const completeTime = 2 * time.Second

func completer(ctx context.Context, b Backend) func(string) Completion {
	return func(line string) Completion {
		ctx, cancel := context.WithTimeout(ctx, completeTime)
		defer cancel()
		return WithBuiltins(b.Complete(ctx, line), line)
	}
}

// WithBuiltins adds the words of the console itself to what may stand at the end
// of line.
func WithBuiltins(c Completion, line string) Completion {
	own := Complete(builtins, Names{}, line)
	return merge(c, own)
}

// remote is a Backend on another node.
type remote struct {
	net     *dist.Network
	node    string
	token   etf.Ref
	version string

	lost    chan struct{}
	lostErr error // once lost is closed
	once    sync.Once

	mu   sync.Mutex
	next int64
	runs map[int64]*remoteRun
}

// remoteRun is a command on the other node.
type remoteRun struct {
	mu    sync.Mutex
	queue [][]byte // at most outputWindow and a piece
	wake  chan struct{}

	done   bool
	status int
}

// mouth is the process to which the node sends.
type mouth struct {
	act.Actor
	remote *remote
}

// HandleMessage is called by ergo (info): output and ends of commands.
func (m *mouth) HandleMessage(_ gen.PID, message any) error {
	t, ok := message.(etf.Tuple)
	if !ok || len(t) != 4 || t[0] != etf.Atom("console") {
		return nil
	}
	id, _ := etf.AsInt(t[1])
	m.remote.mu.Lock()
	r := m.remote.runs[id]
	m.remote.mu.Unlock()
	if r == nil {
		return nil
	}
	r.mu.Lock()
	switch v := t[3].(type) {
	case []byte:
		r.queue = append(r.queue, v)
	case int64:
		r.done, r.status = true, int(v)
	}
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
	return nil
}

// ownName makes the name of a console's node. It ends in no digit: static mode
// would read a port from it.
func ownName(node string) string {
	_, host, err := epmd.SplitName(node)
	if err != nil {
		return "" // dist says what is wrong with node
	}
	return "console_" + strings.ToLower(rand.Text()[:10]) + "_@" + host
}

// dial starts a hidden node and attaches it.
func dial(ctx context.Context, o Options) (*remote, error) {
	if _, _, err := epmd.SplitName(o.Node); err != nil {
		return nil, fmt.Errorf("attach: %w", err)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Name == "" {
		o.Name = ownName(o.Node)
	}
	network, err := dist.Start(dist.Options{
		Name: o.Name, Cookie: o.Cookie, NoListen: true,
		EPMD: o.EPMD, EPMDPort: o.EPMDPort, TLS: o.TLS, TickTime: o.TickTime, Logger: o.Logger,
	})
	if err != nil {
		return nil, fmt.Errorf("attach to %s: %w", o.Node, err)
	}
	r := &remote{net: network, node: o.Node, lost: make(chan struct{}), runs: map[int64]*remoteRun{}}
	if err := r.attach(ctx); err != nil {
		network.Stop()
		return nil, fmt.Errorf("attach to %s: %w", o.Node, err)
	}
	return r, nil
}

func (r *remote) attach(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, attachTime)
	defer cancel()
	if err := r.net.Connect(ctx, r.node); err != nil {
		return err
	}
	pid, err := r.net.Node().Spawn(func() gen.ProcessBehavior { return &mouth{remote: r} }, gen.ProcessOptions{})
	if err != nil {
		return fmt.Errorf("start the console's process: %w", err)
	}
	if _, err := r.net.MonitorFunc(r.service(), func(d dist.Down) { r.fail(d.Reason) }); err != nil {
		return err
	}
	answer, err := r.net.Call(ctx, r.service(), etf.Tuple{etf.Atom("attach"), protocolVersion, r.net.Pid(pid), whoami()})
	if errors.Is(err, dist.ErrNoProc) {
		return fmt.Errorf("%w: it runs no console; is it an Ermine node?", ErrRefused)
	}
	if err != nil {
		return err
	}
	t, ok := answer.(etf.Tuple)
	if !ok || len(t) != 2 || t[0] != etf.Atom("ok") {
		return fmt.Errorf("%w: %s", ErrRefused, etf.FormatLimit(answer, 100))
	}
	var hello struct {
		Token   any    `etf:"token"`
		Version string `etf:"version"`
	}
	if err := etf.Unmarshal(t[1], &hello); err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	r.version = hello.Version
	if r.token, ok = hello.Token.(etf.Ref); !ok {
		return fmt.Errorf("%w: no token", ErrRefused)
	}
	return nil
}

func (r *remote) service() gen.ProcessID { return dist.Name(ServiceName, r.node) }

func whoami() etf.Map {
	name := os.Getenv("USER")
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, _ := os.Hostname()
	return etf.Map{
		{Key: etf.Atom("user"), Value: name},
		{Key: etf.Atom("host"), Value: host},
		{Key: etf.Atom("pid"), Value: os.Getpid()},
	}
}

func (r *remote) fail(err error) {
	r.once.Do(func() {
		r.lostErr = err
		close(r.lost)
	})
}

func (r *remote) close() {
	r.fail(dist.ErrStopped)
	r.net.Stop()
}

// Node implements Backend.
func (r *remote) Node() string { return r.node }

// Done implements Backend.
func (r *remote) Done() <-chan struct{} { return r.lost }

// Err implements Backend.
func (r *remote) Err() error { return r.lostErr }

func (r *remote) gone() error { return fmt.Errorf("%w: %w", ErrLost, r.lostErr) }

// Complete implements Backend.
func (r *remote) Complete(ctx context.Context, line string) Completion {
	answer, err := r.net.Call(ctx, r.service(), etf.Tuple{etf.Atom("complete"), r.token, line})
	t, ok := answer.(etf.Tuple)
	if err != nil || !ok || len(t) != 3 || t[0] != etf.Atom("ok") {
		return Completion{}
	}
	start, ok := etf.AsInt(t[1])
	words, err := textList(t[2])
	if !ok || err != nil || start < 0 || start > int64(len(line)) {
		return Completion{}
	}
	return Completion{Start: int(start), Words: words}
}

// Run implements Backend.
func (r *remote) Run(ctx context.Context, args []string, out io.Writer) (int, error) {
	rr := &remoteRun{wake: make(chan struct{}, 1)}
	r.mu.Lock()
	r.next++
	id := r.next
	r.runs[id] = rr
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		delete(r.runs, id)
		r.mu.Unlock()
	}()
	list := make(etf.List, len(args))
	for i, a := range args {
		list[i] = a
	}
	if err := r.cast(ctx, etf.Tuple{etf.Atom("run"), r.token, id, list}); err != nil {
		return 1, err
	}
	canceled := ctx.Done()
	var broken error
	for {
		rr.mu.Lock()
		queue, done := rr.queue, rr.done
		rr.queue = nil
		rr.mu.Unlock()
		for _, piece := range queue {
			if broken == nil {
				if _, broken = out.Write(piece); broken != nil {
					// Nobody sees the rest: what makes it may end.
					_ = r.interrupt(id)
				}
			}
			if err := r.cast(context.WithoutCancel(ctx), etf.Tuple{etf.Atom("read"), r.token, id, len(piece)}); err != nil {
				return 1, err
			}
		}
		if done {
			return rr.status, nil
		}
		select {
		case <-rr.wake:
		case <-canceled:
			canceled = nil
			if err := r.interrupt(id); err != nil {
				return 1, err
			}
		case <-r.lost:
			return 1, r.gone()
		}
	}
}

func (r *remote) interrupt(id int64) error {
	return r.cast(context.Background(), etf.Tuple{etf.Atom("interrupt"), r.token, id})
}

func (r *remote) cast(ctx context.Context, request any) error {
	ctx, cancel := context.WithTimeout(ctx, attachTime)
	defer cancel()
	select {
	case <-r.lost:
		return r.gone()
	default:
	}
	if err := r.net.Cast(ctx, r.service(), request); err != nil {
		return fmt.Errorf("%w: %w", ErrLost, err)
	}
	return nil
}
