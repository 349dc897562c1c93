package console

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
)

// patience bounds every wait.
const patience = 20 * time.Second

// openPTY opens a TTY on a pseudo terminal. What is printed on it is dropped.
func openPTY(t *testing.T, cfg TTYConfig) (tty *TTY, keyboard *os.File) {
	t.Helper()
	ours, theirs, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	cfg.In, cfg.Out = theirs, theirs
	tty, err = OpenTTY(cfg)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, ours) }()
	t.Cleanup(func() {
		tty.Close()
		_ = theirs.Close()
		_ = ours.Close()
	})
	return tty, ours
}

// reader reads lines in a goroutine.
func reader(tty *TTY) <-chan any {
	lines := make(chan any, 10)
	go func() {
		defer close(lines)
		for {
			line, err := tty.ReadLine("> ")
			switch {
			case errors.Is(err, ErrInterrupt):
				lines <- err
			case err != nil:
				lines <- err
				return
			default:
				lines <- line
			}
		}
	}()
	return lines
}

func wantLine(t *testing.T, lines <-chan any, want any) {
	t.Helper()
	select {
	case got := <-lines:
		if err, ok := want.(error); ok {
			if gotErr, ok := got.(error); !ok || !errors.Is(gotErr, err) {
				t.Fatalf("read %v, want %v", got, want)
			}
			return
		}
		if got != want {
			t.Fatalf("read %q, want %q", got, want)
		}
	case <-time.After(patience):
		t.Fatalf("no line, want %v", want)
	}
}

func TestTTY(t *testing.T) {
	file := filepath.Join(t.TempDir(), "history")
	tty, keyboard := openPTY(t, TTYConfig{HistoryFile: file, Complete: func(line string) Completion {
		return Complete(tree(), Names{}, line)
	}})
	lines := reader(tty)
	press := func(keys string) {
		t.Helper()
		if _, err := keyboard.WriteString(keys); err != nil {
			t.Fatal(err)
		}
	}
	press("status\r")
	wantLine(t, lines, "status")
	press("clu\tst\t\r")
	wantLine(t, lines, "cluster status ")
	press("abd\x1b[Dc\r") // to the left, then c
	wantLine(t, lines, "abcd")
	press("given up\x03")
	wantLine(t, lines, ErrInterrupt)
	press("\x1b[A\r") // the line before
	wantLine(t, lines, "abcd")
	press("grüße\r")
	wantLine(t, lines, "grüße")
	press("\x04")
	wantLine(t, lines, io.EOF)
	if got := tty.History(); !slices.Equal(got, []string{"status", "cluster status ", "abcd", "grüße"}) {
		t.Errorf("history: %q", got)
	}
	tty.Close()
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("history file: %v, %v", info, err)
	}
	again, keyboard := openPTY(t, TTYConfig{HistoryFile: file})
	lines = reader(again)
	if _, err := keyboard.WriteString("\x1b[A\x1b[A\r"); err != nil {
		t.Fatal(err)
	}
	wantLine(t, lines, "abcd")
}

// TestTTYInterrupt: Ctrl-C outside a line is an interrupt and drops what was
// typed; other keys wait for the next line.
func TestTTYInterrupt(t *testing.T) {
	tty, keyboard := openPTY(t, TTYConfig{})
	if _, err := keyboard.WriteString("dropped\x03typed ahead\r"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-tty.Interrupts():
	case <-time.After(patience):
		t.Fatal("no interrupt")
	}
	wantLine(t, reader(tty), "typed ahead")
}

func TestTTYAbort(t *testing.T) {
	lost := errors.New("lost")
	tty, _ := openPTY(t, TTYConfig{})
	lines := reader(tty)
	tty.Abort(lost)
	wantLine(t, lines, lost)
	if _, err := tty.ReadLine(""); !errors.Is(err, lost) {
		t.Errorf("after it: %v", err)
	}
}

// TestPipe: without a terminal lines come as they are.
func TestPipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	tty, err := OpenTTY(TTYConfig{In: r, Out: out})
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	if tty.Color() {
		t.Error("colours in a file")
	}
	lines := reader(tty)
	if _, err := w.WriteString("one\ntwo\r\nlast"); err != nil {
		t.Fatal(err)
	}
	wantLine(t, lines, "one")
	wantLine(t, lines, "two")
	_ = w.Close()
	wantLine(t, lines, "last")
	wantLine(t, lines, io.EOF)
	b, err := os.ReadFile(out.Name())
	if err != nil || strings.Contains(string(b), "> ") {
		t.Errorf("printed %q, %v", b, err)
	}
}

// TestHistoryFile: it stays bounded, and one that cannot be used does no harm.
func TestHistoryFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "history")
	var b strings.Builder
	for i := range 20 * historySize {
		b.WriteString(strings.Repeat("x", i%50) + " a line\n")
	}
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	h := openHistory(file)
	h.close()
	info, err := os.Stat(file)
	if err != nil || h.Len() != historySize || info.Size() > int64(b.Len()/10) {
		t.Errorf("%d lines, file of %d bytes, %v", h.Len(), info.Size(), err)
	}
	h = openHistory(filepath.Join(file, "no", "directory"))
	h.Add("kept in memory")
	if h.Len() != 1 || h.At(0) != "kept in memory" {
		t.Error("no history without a file")
	}
}
