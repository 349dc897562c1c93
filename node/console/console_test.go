package console

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ermine/node/ctl"
)

// typed is a Terminal that is given its lines and keeps what is printed.
type typed struct {
	lines   chan any // string or error
	ints    chan struct{}
	aborted chan error
	once    sync.Once
	color   bool

	mu  sync.Mutex
	out bytes.Buffer
}

func newTyped(lines ...any) *typed {
	t := &typed{lines: make(chan any, 100), ints: make(chan struct{}, 1), aborted: make(chan error, 1)}
	for _, l := range lines {
		t.lines <- l
	}
	return t
}

func (t *typed) ReadLine(string) (string, error) {
	select {
	case l := <-t.lines:
		if err, ok := l.(error); ok {
			return "", err
		}
		return l.(string), nil
	case err := <-t.aborted:
		return "", err
	}
}

func (t *typed) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.out.Write(p)
}

func (t *typed) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.out.String()
}

func (t *typed) Interrupts() <-chan struct{} { return t.ints }
func (t *typed) Abort(err error)             { t.once.Do(func() { t.aborted <- err }) }
func (t *typed) Size() (int, int)            { return 40, 10 }
func (t *typed) Color() bool                 { return t.color }
func (t *typed) History() []string           { return []string{"one", "two"} }

// fake is a Backend whose commands are functions.
type fake struct {
	run  func(ctx context.Context, args []string, out io.Writer) (int, error)
	done chan struct{}
	err  error
}

func (f *fake) Node() string          { return "n@host" }
func (f *fake) Done() <-chan struct{} { return f.done }
func (f *fake) Err() error            { return f.err }
func (f *fake) Run(ctx context.Context, args []string, out io.Writer) (int, error) {
	return f.run(ctx, args, out)
}
func (f *fake) Complete(context.Context, string) Completion { return Completion{} }

// echo is a Backend that prints the words of a command and fails for `fail`.
func echo() *fake {
	return &fake{run: func(ctx context.Context, args []string, out io.Writer) (int, error) {
		switch args[0] {
		case "fail":
			return 3, nil
		case "wait":
			fmt.Fprintln(out, "waiting")
			<-ctx.Done()
			_, err := fmt.Fprintln(out, "too late")
			if err == nil {
				return 0, errors.New("an interrupted command could print")
			}
			return 1, nil
		}
		fmt.Fprintf(out, "%q\n", args)
		return 0, nil
	}}
}

func TestLines(t *testing.T) {
	for _, tt := range []struct {
		name  string
		lines []any
		want  []string
		not   string
	}{
		{"a command", []any{"clients list"}, []string{`["clients" "list"]`}, "exit status"},
		{"habits", []any{"node ctl status", "ctl status", "status."}, []string{`["status"]`, `["status"]`, `["status"]`}, "node"},
		{"quotes", []any{`show 'a b' "c"`}, []string{`["show" "a b" "c"]`}, ""},
		{"open quote", []any{`show 'a`, "status"}, []string{"a quote does not end", `["status"]`}, ""},
		{"nothing", []any{"", "  "}, nil, "["},
		{"failure", []any{"fail"}, []string{"exit status 3"}, ""},
		{"help", []any{"help", "help clients"}, []string{`["help"]`, "--watch", `["clients" "help"]`}, ""},
		{"history", []any{"history"}, []string{"1  one", "2  two"}, `"history"`},
		{"interrupted line", []any{ErrInterrupt, "status"}, []string{`["status"]`}, ""},
		{"watch of nothing", []any{"--watch", "status"}, []string{"--watch follows", `["status"]`}, ""},
		{"watch of no time", []any{"status --watch=soon"}, []string{"not a time"}, `["status"]`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			term := newTyped(append(tt.lines, io.EOF)...)
			if err := New(Config{Backend: echo(), Terminal: term, Version: "1"}).Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			_, rest, ok := strings.Cut(term.String(), "exit leaves.\n")
			if !ok {
				t.Fatalf("no greeting in %q", term)
			}
			for _, want := range tt.want {
				_, after, ok := strings.Cut(rest, want)
				if !ok {
					t.Fatalf("no %q in %q", want, rest)
				}
				if tt.not != "" && strings.Contains(rest, tt.not) {
					t.Errorf("%q in %q", tt.not, rest)
				}
				rest = after
			}
		})
	}
}

func TestLeave(t *testing.T) {
	for _, word := range []string{"exit", "quit", "q", "q()", "q().", "exit().", "halt().", "init:stop()."} {
		term := newTyped(word)
		if err := New(Config{Backend: echo(), Terminal: term}).Run(t.Context()); err != nil {
			t.Errorf("%s: %v", word, err)
		}
	}
	broken := errors.New("broken")
	if err := New(Config{Backend: echo(), Terminal: newTyped(broken)}).Run(t.Context()); !errors.Is(err, broken) {
		t.Errorf("a broken terminal: %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(broken)
	if err := New(Config{Backend: echo(), Terminal: newTyped()}).Run(ctx); !errors.Is(err, broken) {
		t.Errorf("the end of the context: %v", err)
	}
}

// TestInterrupt: Ctrl-C ends a command, whose later output is not seen, and the
// console goes on.
func TestInterrupt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		term := newTyped("wait", "status")
		ended := make(chan error, 1)
		go func() { ended <- New(Config{Backend: echo(), Terminal: term}).Run(t.Context()) }()
		synctest.Wait()
		term.ints <- struct{}{}
		synctest.Wait()
		out := term.String()
		if !strings.Contains(out, "waiting\ninterrupted\n[\"status\"]") || strings.Contains(out, "exit status") || strings.Contains(out, "too late") {
			t.Errorf("got %q", out)
		}
		term.lines <- io.EOF
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// TestDeaf: a command that does not care about Ctrl-C is left behind.
func TestDeaf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		b := echo()
		b.run = func(_ context.Context, args []string, out io.Writer) (int, error) {
			if args[0] == "deaf" {
				<-release
				return 0, nil
			}
			return echo().run(t.Context(), args, out)
		}
		term := newTyped("deaf", "status", io.EOF)
		ended := make(chan error, 1)
		go func() { ended <- New(Config{Backend: b, Terminal: term}).Run(t.Context()) }()
		synctest.Wait()
		term.ints <- struct{}{}
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if out := term.String(); !strings.Contains(out, "interrupted\nthe command does not end; it goes on unseen\n[\"status\"]") {
			t.Errorf("got %q", out)
		}
		close(release)
	})
}

// TestWatch: a live view is made anew until Ctrl-C.
func TestWatch(t *testing.T) {
	for _, color := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			count := 0
			b := &fake{run: func(_ context.Context, args []string, out io.Writer) (int, error) {
				count++
				if !slices.Equal(args, []string{"clients", "list"}) {
					t.Errorf("runs %q", args)
				}
				for i := range 20 {
					fmt.Fprintf(out, "picture %d line %d %s\n", count, i, strings.Repeat("x", 100))
				}
				return 0, nil
			}}
			term := newTyped("clients --watch=3", "exit")
			term.color = color
			ended := make(chan error, 1)
			go func() { ended <- New(Config{Backend: b, Terminal: term}).Run(t.Context()) }()
			time.Sleep(7 * time.Second) // on the bubble's clock
			synctest.Wait()
			term.ints <- struct{}{}
			if err := <-ended; err != nil {
				t.Error(err)
			}
			if count != 3 {
				t.Errorf("%d pictures in 7 s, one every 3", count)
			}
			out := term.String()
			if !strings.Contains(out, "every 3s") || !strings.Contains(out, "picture 3 line 0") {
				t.Errorf("got %q", out)
			}
			if cut := strings.Contains(out, "and 13 lines more"); cut != color {
				t.Errorf("colour %t, cut to the screen %t: %q", color, cut, out)
			}
		})
	}
}

// TestWatchFails: a command that fails is not run again.
func TestWatchFails(t *testing.T) {
	term := newTyped("fail --watch", "exit")
	if err := New(Config{Backend: echo(), Terminal: term}).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestLost: the end of the node ends the console, which says so.
func TestLost(t *testing.T) {
	for _, line := range []string{"", "wait"} {
		b := echo()
		b.done = make(chan struct{})
		b.err = errors.New("no connection")
		term := newTyped()
		if line != "" {
			term.lines <- line
		}
		ended := make(chan error, 1)
		go func() { ended <- New(Config{Backend: b, Terminal: term}).Run(t.Context()) }()
		close(b.done)
		if err := <-ended; !errors.Is(err, ErrLost) {
			t.Errorf("%q: %v", line, err)
		}
		if !strings.Contains(term.String(), "*** n@host: connection lost: no connection ***") {
			t.Errorf("%q: %q", line, term)
		}
	}
}

// tree has the forms that completion knows.
func tree() []ctl.Command {
	return ctl.NewTree("x",
		ctl.Command{Name: "clients", Forms: []ctl.Form{{Text: "clients list"}, {Text: "clients show <ClientId>"}, {Text: "clients kick <ClientId>"}}},
		ctl.Command{Name: "cluster", Forms: []ctl.Form{{Text: "cluster join <Node>"}, {Text: "cluster status"}, {Text: "cluster force-leave [<Name>]"}}},
		ctl.Command{Name: "ping", Forms: []ctl.Form{{Text: "ping"}}},
	).Commands()
}

func TestComplete(t *testing.T) {
	names := Names{
		Nodes: func() []string { return []string{"a@h", "b@h"} },
		Clients: func(prefix string, limit int) []string {
			all := []string{"dev-1", "dev-2", "other one"}
			return all[:min(limit, len(all))]
		},
	}
	for _, tt := range []struct {
		line  string
		words string
		apply string
	}{
		{"", "clients cluster ping", ""},
		{"c", "clients cluster", "cl"},
		{"clu", "cluster", "cluster "},
		{"clients ", "kick list show", "clients "},
		{"clients  k", "kick", "clients  kick "},
		{"clients show ", "dev-1 dev-2", "clients show dev-"}, // the blank would need quotes
		{"clients show dev-2", "dev-2", "clients show dev-2 "},
		{"clients list ", "", "clients list "},
		{"cluster join ", "a@h b@h", "cluster join "},
		{"cluster force-leave b", "b@h", "cluster force-leave b@h "},
		{"nothing ", "", "nothing "},
		{"ping", "ping", "ping "},
	} {
		got := Complete(tree(), names, tt.line)
		if words := strings.Join(got.Words, " "); words != tt.words || got.Apply(tt.line) != tt.apply {
			t.Errorf("%q: %q, %q; want %q, %q", tt.line, words, got.Apply(tt.line), tt.words, tt.apply)
		}
	}
	if got := Complete(tree(), Names{}, "clients show "); len(got.Words) != 0 {
		t.Errorf("without names: %q", got.Words)
	}
	if got := WithBuiltins(Complete(tree(), names, "h"), "h"); strings.Join(got.Words, " ") != "help history" {
		t.Errorf("builtins: %q", got.Words)
	}
}

func FuzzLine(f *testing.F) {
	for _, s := range []string{"", "clients list --watch=1", `a 'b "c`, "cluster join x.", "q().", "node ctl x", "\\"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		c := Complete(tree(), Names{Nodes: func() []string { return []string{line} }}, line)
		if c.Start < 0 || c.Start > len(line) {
			t.Fatalf("starts at %d of %q", c.Start, line)
		}
		for _, w := range c.Words {
			if !strings.HasPrefix(w, line[c.Start:]) {
				t.Errorf("%q completed with %q", line, w)
			}
		}
		if got := c.Apply(line); !strings.HasPrefix(got, line[:c.Start]) {
			t.Errorf("%q became %q", line, got)
		}
		words, err := Words(line)
		if err != nil {
			return
		}
		args, every, watch, err := Watch(words)
		if err == nil && watch && (len(args) == 0 || every < minWatch) {
			t.Errorf("%q: %q every %s", line, args, every)
		}
	})
}

// TestCollector: output is passed on in large pieces, and without a further
// write after a while.
func TestCollector(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var all []string
		take := func() []string {
			mu.Lock()
			defer mu.Unlock()
			pieces := all
			all = nil
			return pieces
		}
		c := newCollector(writerFunc(func(p []byte) (int, error) {
			mu.Lock()
			defer mu.Unlock()
			all = append(all, string(p))
			return len(p), nil
		}))
		for range 3 {
			fmt.Fprint(c, "a")
		}
		synctest.Wait()
		if pieces := take(); len(pieces) != 0 {
			t.Errorf("at once: %q", pieces)
		}
		time.Sleep(2 * collectTime)
		synctest.Wait()
		if pieces := take(); !slices.Equal(pieces, []string{"aaa"}) {
			t.Errorf("after a while: %q", pieces)
		}
		fmt.Fprint(c, strings.Repeat("b", 2*collectSize+1))
		fmt.Fprint(c, "c")
		err := c.Close()
		pieces := take()
		if err != nil || strings.Join(pieces, "") != strings.Repeat("b", 2*collectSize+1)+"c" {
			t.Errorf("%v, %d bytes", err, len(strings.Join(pieces, "")))
		}
		for _, p := range pieces {
			if len(p) > collectSize {
				t.Errorf("a piece of %d bytes", len(p))
			}
		}
	})
	broken := errors.New("broken")
	c := newCollector(writerFunc(func([]byte) (int, error) { return 0, broken }))
	_, first := c.Write(make([]byte, collectSize))
	_, second := c.Write([]byte("x"))
	if !errors.Is(first, broken) || !errors.Is(second, broken) || !errors.Is(c.Close(), broken) {
		t.Errorf("%v, %v", first, second)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestAudit(t *testing.T) {
	for _, tt := range []struct{ args, want string }{
		{"status", "status"}, {"cluster status", "cluster status"}, {"admins add bob secret", "admins add ..."}, {"", ""},
	} {
		if got := Audit(strings.Fields(tt.args)); got != tt.want {
			t.Errorf("%q: %q", tt.args, got)
		}
	}
}

func TestColumns(t *testing.T) {
	words := strings.Fields("a bb ccc dddd")
	for width, want := range map[int]string{
		80: "a     bb    ccc   dddd", 12: "a     bb\nccc   dddd", 1: "a\nbb\nccc\ndddd",
	} {
		lines := strings.Split(Columns(words, width), "\n")
		for i := range lines {
			lines[i] = strings.TrimRight(lines[i], " ")
		}
		if got := strings.Join(lines, "\n"); got != want {
			t.Errorf("width %d: %q, want %q", width, got, want)
		}
	}
}
