package ctl

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func testTree() *Tree {
	say := func(what string) func(context.Context, *Call) error {
		return func(_ context.Context, c *Call) error {
			return c.Answer(map[string]any{"did": what, "args": c.Args}, "%s %q", what, c.Args)
		}
	}
	return NewTree("node ctl",
		Command{"things", []Form{
			{"things list", "List things", say("list")},
			{"things show <Id>", "Show a thing", say("show")},
			{"things show all <Id>", "Show all", say("show all")},
			{"things put <Id> [<Value>] [<More>]", "Put a thing", say("put")},
		}},
		Command{"bad", []Form{
			{"bad fail", "Fail", func(_ context.Context, c *Call) error { return c.Fail("it is %s", "broken") }},
			{"bad err", "Err", func(context.Context, *Call) error { return errors.New("inner error") }},
			{"bad panic", "Panic", func(context.Context, *Call) error { panic("oh no") }},
		}},
		Command{"long", []Form{{"long list <N>", "Much output", func(ctx context.Context, c *Call) error {
			var n int
			_, _ = fmt.Sscan(c.Args[0], &n)
			l := list{c: c}
			for i := range n {
				if err := ctx.Err(); err != nil {
					return err
				}
				if err := l.add(i, "line %d", i); err != nil {
					return err
				}
			}
			return l.end("none")
		}}}},
	)
}

func TestTree(t *testing.T) {
	tests := []struct {
		args   string
		out    string
		failed bool
	}{
		{"things list", "list []\n", false},
		{"things show a", "show [\"a\"]\n", false},
		{"things show all b", "show all [\"b\"]\n", false},
		{"things put a", "put [\"a\"]\n", false},
		{"things put a b c", "put [\"a\" \"b\" \"c\"]\n", false},
		{"things put a --json b", "{\n  \"args\": [\n    \"a\",\n    \"b\"\n  ],\n  \"did\": \"put\"\n}\n", false},
		{"things put -- --json", "put [\"--json\"]\n", false},
		{"things put a b c d", usageOf("things"), true},
		{"things", usageOf("things"), true},
		{"things help", usageOf("things"), false},
		{"bad fail", "it is broken\n", true},
		{"bad fail --json", "{\n  \"error\": \"it is broken\"\n}\n", true},
		{"bad err", "inner error\n", true},
		{"bad panic", "the command failed: oh no\n", true},
		{"long list 2", "line 0\nline 1\n", false},
		{"long list 2 --json", "[\n  0,\n  1\n]\n", false},
		{"long list 0", "none\n", false},
		{"long list 0 --json", "[]\n", false},
		{"", usageOf(""), false},
		{"help", usageOf(""), false},
		{"nothing", usageOf("") + "No command: nothing\n", true},
		{
			"bad nothing --json",
			"{\n  \"error\": \"wrong arguments\",\n  \"usage\": [\n    \"bad fail\",\n    \"bad err\",\n    \"bad panic\"\n  ]\n}\n", true,
		},
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			var out bytes.Buffer
			err := testTree().Run(t.Context(), strings.Fields(tt.args), false, &out)
			if out.String() != tt.out {
				t.Errorf("output\n%s\nwant\n%s", out.String(), tt.out)
			}
			if (err != nil) != tt.failed {
				t.Errorf("error %v", err)
			}
		})
	}
}

// usageOf is EMQX's layout: forms in (longest + 1) columns, then "# " and the
// description; before each command of the whole help a line of 110 dashes.
func usageOf(command string) string {
	forms := map[string][][2]string{
		"things": {
			{"things list", "List things"},
			{"things show <Id>", "Show a thing"},
			{"things show all <Id>", "Show all"},
			{"things put <Id> [<Value>] [<More>]", "Put a thing"},
		},
		"bad":  {{"bad fail", "Fail"}, {"bad err", "Err"}, {"bad panic", "Panic"}},
		"long": {{"long list <N>", "Much output"}},
	}
	const longest = len("things put <Id> [<Value>] [<More>]")
	var b strings.Builder
	names := []string{"things", "bad", "long"}
	if command != "" {
		names = []string{command}
	} else {
		b.WriteString("Usage: node ctl\n")
	}
	for _, name := range names {
		if command == "" {
			b.WriteString("--------------------------------------------------------------------------------------------------------------\n")
		}
		for _, f := range forms[name] {
			b.WriteString(f[0] + strings.Repeat(" ", longest+1-len(f[0])) + "# " + f[1] + "\n")
		}
	}
	return b.String()
}

func TestSplitLine(t *testing.T) {
	tests := []struct {
		line string
		want []string
		bad  bool
	}{
		{"", nil, false},
		{"  a  b\tc\n", []string{"a", "b", "c"}, false},
		{`publish t 'two words' "and \"these\""`, []string{"publish", "t", "two words", `and "these"`}, false},
		{`a '' "" b`, []string{"a", "", "", "b"}, false},
		{`a\ b c\\`, []string{"a b", `c\`}, false},
		{`'a\b'`, []string{`a\b`}, false},
		{`x'y'z`, []string{"xyz"}, false},
		{`a 'b`, nil, true},
		{`a \`, nil, true},
	}
	for _, tt := range tests {
		got, err := SplitLine(tt.line)
		if (err != nil) != tt.bad || !slices.Equal(got, tt.want) {
			t.Errorf("SplitLine(%q) = %q, %v", tt.line, got, err)
		}
	}
}

// listen serves the test tree on a socket in a directory of its own.
func listen(t *testing.T, dir string) (socket string, s *Server) {
	t.Helper()
	socket = filepath.Join(dir, "ctl.sock")
	s, err := Listen(socket, testTree(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return socket, s
}

func TestSocket(t *testing.T) {
	long := filepath.Join(t.TempDir(), strings.Repeat("d", 120)) // longer than the kernel takes
	if err := os.Mkdir(long, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, dir := range map[string]string{"short path": t.TempDir(), "long path": long} {
		t.Run(name, func(t *testing.T) {
			socket, s := listen(t, dir)
			info, err := os.Stat(socket)
			if err != nil || info.Mode() != os.ModeSocket|0o600 {
				t.Fatalf("socket: %v, %v", info, err)
			}
			var out bytes.Buffer
			status, err := Run(t.Context(), socket, []string{"things", "put", "a", "b c"}, false, &out)
			if err != nil || status != 0 || out.String() != "put [\"a\" \"b c\"]\n" {
				t.Errorf("Run: %d, %v, %q", status, err, out.String())
			}
			status, err = Run(t.Context(), socket, []string{"bad", "err"}, true, io.Discard)
			if err != nil || status != 1 {
				t.Errorf("a command that fails: %d, %v", status, err)
			}
			if err := s.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
			if _, err := os.Stat(socket); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("socket after Close: %v", err)
			}
			if _, err := Run(t.Context(), socket, []string{"things"}, false, io.Discard); !errors.Is(err, ErrNoNode) {
				t.Errorf("without a node: %v", err)
			}
		})
	}
}

func TestSocketReplacesAStaleOne(t *testing.T) {
	dir := t.TempDir()
	l, err := net.Listen("unix", filepath.Join(dir, "ctl.sock"))
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := l.Close(); err != nil { // as a process that was killed leaves it
		t.Fatal(err)
	}
	socket, _ := listen(t, dir)
	if status, err := Run(t.Context(), socket, []string{"things", "list"}, false, io.Discard); status != 0 || err != nil {
		t.Errorf("Run: %d, %v", status, err)
	}
}

// Output of any size comes whole and in order, in bounded frames.
func TestLongOutput(t *testing.T) {
	socket, _ := listen(t, t.TempDir())
	var out bytes.Buffer
	status, err := Run(t.Context(), socket, []string{"long", "list", "200000"}, false, &out)
	if err != nil || status != 0 {
		t.Fatalf("Run: %d, %v", status, err)
	}
	lines := strings.Split(out.String(), "\n")
	if len(lines) != 200001 || lines[0] != "line 0" || lines[199999] != "line 199999" {
		t.Errorf("%d lines, from %q", len(lines), lines[0])
	}
}

// A client that goes away ends its command.
func TestClientGoesAway(t *testing.T) {
	running, ended := make(chan struct{}), make(chan error, 1)
	tree := NewTree("node ctl", Command{"hang", []Form{{"hang", "Hang", func(ctx context.Context, _ *Call) error {
		close(running)
		<-ctx.Done()
		ended <- ctx.Err()
		return ctx.Err()
	}}}})
	socket := filepath.Join(t.TempDir(), "s")
	s, err := Listen(socket, tree, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-running
		cancel()
	}()
	if _, err := Run(ctx, socket, []string{"hang"}, false, io.Discard); err == nil {
		t.Error("Run has succeeded")
	}
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("the command goes on")
	}
}

// Close ends the commands that run.
func TestCloseEndsCommands(t *testing.T) {
	running := make(chan struct{})
	tree := NewTree("node ctl", Command{"hang", []Form{{"hang", "Hang", func(ctx context.Context, _ *Call) error {
		close(running)
		<-ctx.Done()
		return ctx.Err()
	}}}})
	socket := filepath.Join(t.TempDir(), "s")
	s, err := Listen(socket, tree, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan bool, 1)
	go func() {
		status, err := Run(context.Background(), socket, []string{"hang"}, false, io.Discard)
		done <- err == nil && status == 0
	}()
	<-running
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	select {
	case ok := <-done:
		if ok {
			t.Error("the command has succeeded")
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the client waits for ever")
	}
}

// Bytes that are no request close the connection, and nothing else.
func TestHostileRequests(t *testing.T) {
	socket, _ := listen(t, t.TempDir())
	for name, raw := range map[string]string{
		"huge":    "\xff\xff\xff\xff",
		"no json": "\x00\x00\x00\x03abc",
	} {
		c, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := c.Write([]byte(raw)); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(c); len(got) != 0 || err != nil && !errors.Is(err, io.EOF) && !strings.Contains(err.Error(), "reset") {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		_ = c.Close()
	}
	if status, err := Run(t.Context(), socket, []string{"things", "list"}, false, io.Discard); status != 0 || err != nil {
		t.Errorf("afterwards: %d, %v", status, err)
	}
}

func FuzzReadRequest(f *testing.F) {
	var b bytes.Buffer
	if err := writeRequest(&b, request{Args: []string{"a", "b"}, JSON: true}); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte("\x00\x00\x00\x02{}"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		req, err := readRequest(bytes.NewReader(raw))
		if err != nil {
			return
		}
		var b bytes.Buffer
		if err := writeRequest(&b, req); err != nil {
			t.Fatal(err)
		}
		again, err := readRequest(&b)
		if err != nil || again.JSON != req.JSON || !slices.Equal(again.Args, req.Args) {
			t.Fatalf("%+v became %+v, %v", req, again, err)
		}
	})
}

func FuzzSplitLine(f *testing.F) {
	f.Add(`a 'b c' "d\"" \e`)
	f.Fuzz(func(t *testing.T, line string) {
		words, err := SplitLine(line)
		if err != nil {
			return
		}
		var quoted []string
		for _, w := range words {
			quoted = append(quoted, "'"+strings.ReplaceAll(w, "'", `'\''`)+"'")
		}
		again, err := SplitLine(strings.Join(quoted, " "))
		if err != nil || !slices.Equal(again, words) {
			t.Fatalf("%q: %q, then %q, %v", line, words, again, err)
		}
	})
}
