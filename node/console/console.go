package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"ermine/node/ctl"
)

// Terminal is what a console talks to a person through. ReadLine is called by
// one goroutine at a time; the other methods by any.
type Terminal interface {
	// ReadLine reads a line, edited with whatever comfort there is. It returns
	// ErrInterrupt for a Ctrl-C, io.EOF for a Ctrl-D or the end of input, and
	// the error given to Abort.
	ReadLine(prompt string) (string, error)
	// Write prints text; a newline ends a line.
	io.Writer
	// Interrupts delivers a value for each Ctrl-C outside ReadLine.
	Interrupts() <-chan struct{}
	// Abort makes a ReadLine under way, and all to come, return err.
	Abort(err error)
	// Size is the width and height in characters, 0 where unknown.
	Size() (columns, rows int)
	// Color tells whether colours and cursor movements are understood.
	Color() bool
	// History returns the lines read before, the latest last.
	History() []string
}

const (
	// watchInterval is how often a live view is made anew, unless said.
	watchInterval = 2 * time.Second
	minWatch      = 100 * time.Millisecond

	// interruptWait is how long an interrupted command may take to end before
	// the console goes on without it.
	interruptWait = 5 * time.Second

	// watchLimit bounds one picture of a live view.
	watchLimit = 1 << 20
)

// Config is what a Console is made with.
type Config struct {
	Backend  Backend
	Terminal Terminal

	// Version of the program, for the greeting.
	Version string

	// Leave is what leaving does, for the greeting and help: "the node goes on"
	// or "the node stops".
	Leave string
}

// Console is the command loop.
type Console struct {
	cfg  Config
	term Terminal
}

// New makes a console.
func New(cfg Config) *Console { return &Console{cfg: cfg, term: cfg.Terminal} }

// The words that leave, as they are typed in shells of all kinds.
var leaveWords = map[string]bool{
	"exit": true, "quit": true, "q": true, "logout": true, "bye": true,
	"exit()": true, "quit()": true, "q()": true, "halt()": true, "logout()": true, "init:stop()": true,
}

// builtins are the words that the console itself knows.
var builtins = []ctl.Command{
	{Name: "help", Forms: []ctl.Form{{Text: "help [<Command>]"}}},
	{Name: "history", Forms: []ctl.Form{{Text: "history"}}},
	{Name: "clear", Forms: []ctl.Form{{Text: "clear"}}},
	{Name: "exit", Forms: []ctl.Form{{Text: "exit"}}},
}

// Run greets and reads commands until the user leaves (nil), ctx ends (its
// cause), or the node is lost (ErrLost). It blocks all that time.
func (c *Console) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-c.cfg.Backend.Done():
			cancel(fmt.Errorf("%w: %w", ErrLost, c.cfg.Backend.Err()))
		case <-ctx.Done():
		}
	}()
	defer context.AfterFunc(ctx, func() { c.term.Abort(context.Cause(ctx)) })()
	c.greet()
	for {
		line, err := c.term.ReadLine(c.prompt())
		if ctx.Err() != nil {
			return c.ended(context.Cause(ctx))
		}
		switch {
		case errors.Is(err, ErrInterrupt):
			continue
		case errors.Is(err, io.EOF):
			_, _ = io.WriteString(c.term, "\n")
			return nil
		case err != nil:
			return err
		}
		leave, err := c.line(ctx, line)
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return c.ended(err)
		}
		if leave {
			return nil
		}
	}
}

// ended says why the console ends by itself.
func (c *Console) ended(err error) error {
	if errors.Is(err, ErrLost) {
		c.printf("\n%s\n", c.paint(red, "*** "+c.cfg.Backend.Node()+": "+err.Error()+" ***"))
	}
	return err
}

func (c *Console) greet() {
	leave := c.cfg.Leave
	if leave != "" {
		leave = " (" + leave + ")"
	}
	c.printf("Ermine %s, node %s\nhelp lists the commands, Tab completes, Ctrl-C interrupts, exit leaves%s.\n",
		c.cfg.Version, c.cfg.Backend.Node(), leave)
}

func (c *Console) prompt() string { return c.cfg.Backend.Node() + "> " }

func (c *Console) printf(format string, args ...any) { fmt.Fprintf(c.term, format, args...) }

const (
	red   = "31"
	faint = "2"
)

// paint colours text where the terminal can.
func (c *Console) paint(color, text string) string {
	if !c.term.Color() {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

// line runs one line. It reports whether the user leaves.
func (c *Console) line(ctx context.Context, text string) (leave bool, err error) {
	words, err := Words(text)
	if err != nil {
		c.printf("%s\n", err)
		return false, nil
	}
	if len(words) == 0 {
		return false, nil
	}
	if len(words) == 1 {
		if leaveWords[words[0]] {
			return true, nil
		}
		switch words[0] {
		case "history":
			for i, l := range c.term.History() {
				c.printf("%5d  %s\n", i+1, l)
			}
			return false, nil
		case "clear":
			if c.term.Color() {
				c.printf("%s", clearScreen)
			}
			return false, nil
		}
	}
	if words[0] == "help" || words[0] == "help()" || words[0] == "?" {
		return false, c.help(ctx, words[1:])
	}
	args, every, watch, err := Watch(words)
	switch {
	case err != nil:
		c.printf("%s\n", err)
		return false, nil
	case watch:
		return false, c.watch(ctx, args, every)
	}
	status, err := c.run(ctx, args, c.term)
	if err == nil && status != 0 {
		c.printf("%s\n", c.paint(faint, "exit status "+strconv.Itoa(status)))
	}
	return false, quiet(err)
}

// quiet forgets that the user has interrupted.
func quiet(err error) error {
	if errors.Is(err, ErrInterrupt) {
		return nil
	}
	return err
}

func (c *Console) help(ctx context.Context, words []string) error {
	if len(words) > 0 {
		_, err := c.run(ctx, append(words[:1:1], "help"), c.term)
		return quiet(err)
	}
	if _, err := c.run(ctx, []string{"help"}, c.term); err != nil {
		return quiet(err)
	}
	c.printf("\nIn the console:\n" +
		"  COMMAND --watch[=SECONDS]  runs it again and again, until Ctrl-C\n" +
		"  help COMMAND               the forms of one command\n" +
		"  history, clear             the lines before; a clean screen\n" +
		"  exit, quit, q(), Ctrl-D    leaves\n")
	return nil
}

// run runs a command; a Ctrl-C ends it.
func (c *Console) run(ctx context.Context, args []string, out io.Writer) (int, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for { // those of before are not for this command
		select {
		case <-c.term.Interrupts():
			continue
		default:
		}
		break
	}
	type result struct {
		status int
		err    error
	}
	results := make(chan result, 1)
	gate := &gate{w: out}
	go func() {
		status, err := c.cfg.Backend.Run(ctx, args, gate)
		results <- result{status, err}
	}()
	interrupted := false
	var limit <-chan time.Time
	interrupts := c.term.Interrupts()
	for {
		select {
		case r := <-results:
			if interrupted {
				return 1, ErrInterrupt
			}
			return r.status, r.err
		case <-interrupts:
			interrupted, interrupts = true, nil
			gate.close()
			c.printf("%s\n", c.paint(faint, "interrupted"))
			cancel()
			timer := time.NewTimer(interruptWait)
			defer timer.Stop()
			limit = timer.C
		case <-limit:
			c.printf("the command does not end; it goes on unseen\n")
			return 1, ErrInterrupt
		}
	}
}

const (
	clearScreen = "\x1b[H\x1b[2J"
	home        = "\x1b[H"
	clearBelow  = "\x1b[J"
)

// watch runs a command again and again until Ctrl-C. On a terminal each picture
// takes the place of the one before, cut to the screen.
func (c *Console) watch(ctx context.Context, args []string, every time.Duration) error {
	if c.term.Color() {
		c.printf("%s", clearScreen)
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	<-timer.C
	for {
		var b limited
		status, err := c.run(ctx, args, &b)
		if err != nil {
			return quiet(err)
		}
		c.picture(strings.Join(args, " "), every, b.String())
		if status != 0 {
			return nil
		}
		timer.Reset(every)
		select {
		case <-timer.C:
		case <-c.term.Interrupts():
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (c *Console) picture(title string, every time.Duration, text string) {
	head := fmt.Sprintf("%s, every %s, Ctrl-C ends", title, every)
	if !c.term.Color() {
		c.printf("--- %s\n%s", head, text)
		return
	}
	columns, rows := c.term.Size()
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if rows > 3 && len(lines) > rows-2 {
		more := len(lines) - (rows - 3)
		lines = append(lines[:rows-3], fmt.Sprintf("... and %d lines more", more))
	}
	var b strings.Builder
	b.WriteString(home + c.paint(faint, head) + "\x1b[K\n")
	for _, l := range lines {
		if r := []rune(l); columns > 1 && len(r) >= columns {
			l = string(r[:columns-1])
		}
		b.WriteString(l + "\x1b[K\n")
	}
	b.WriteString(clearBelow)
	_, _ = io.WriteString(c.term, b.String())
}

// Words takes a line apart. Beside what ctl.SplitLine does it takes the habits
// of other shells: `node ctl` or `ctl` before a command, and the full stop after
// an Erlang call.
func Words(line string) ([]string, error) {
	words, err := ctl.SplitLine(line)
	if err != nil || len(words) == 0 {
		return nil, err
	}
	for _, prefix := range []string{"node", "ctl"} {
		if len(words) > 1 && words[0] == prefix && (prefix == "ctl" || words[1] == "ctl") {
			words = words[1:]
		}
	}
	if i := len(words) - 1; len(words) == 1 || strings.HasSuffix(words[i], ").") {
		if w := strings.TrimSuffix(words[i], "."); w != "" {
			words[i] = w
		}
	}
	return words, nil
}

// Watch takes --watch or --watch=SECONDS (also 500ms) from a command's words.
// The plain `clients`, `subscriptions` and so on become the list.
func Watch(words []string) (args []string, every time.Duration, watch bool, err error) {
	every = watchInterval
	for _, w := range words {
		value, valued := strings.CutPrefix(w, "--watch=")
		switch {
		case w == "--watch":
			watch = true
		case valued:
			watch = true
			if every, err = interval(value); err != nil {
				return nil, 0, false, err
			}
		default:
			args = append(args, w)
		}
	}
	if watch && len(args) == 1 && lists[args[0]] {
		args = append(args, "list")
	}
	if watch && len(args) == 0 {
		err = fmt.Errorf("--watch follows a command, as in: clients list --watch")
	}
	return args, every, watch, err
}

// lists are the commands whose live view is their list.
var lists = map[string]bool{"clients": true, "subscriptions": true, "topics": true, "routes": true, "listeners": true}

func interval(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil {
		seconds, serr := strconv.ParseFloat(text, 64)
		if serr != nil || !(seconds < 1e6) {
			return 0, fmt.Errorf("--watch=%s: not a time such as 2 or 500ms", text)
		}
		d = time.Duration(seconds * float64(time.Second))
	}
	return max(d, minWatch), nil
}
