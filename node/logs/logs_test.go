package logs

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestLevels(t *testing.T) {
	for _, l := range levels {
		got, err := ParseLevel(l.word)
		if err != nil || got != l.level {
			t.Errorf("ParseLevel(%q) = %v, %v", l.word, got, err)
		}
		if Word(l.level) != l.word {
			t.Errorf("Word(%d) = %q, want %q", l.level, Word(l.level), l.word)
		}
	}
	if _, err := ParseLevel("loud"); !errors.Is(err, ErrUnknownLevel) {
		t.Errorf("ParseLevel(loud): %v", err)
	}
}

func TestHandlersHaveTheirOwnLevels(t *testing.T) {
	var console, file bytes.Buffer
	l := New(
		HandlerConfig{ID: "console", Writer: &console, Level: slog.LevelWarn},
		HandlerConfig{ID: "file", Writer: &file, Level: slog.LevelInfo, JSON: true, Location: time.UTC},
	)
	log := l.Logger().With("node", "a@b").WithGroup("g")
	steps := []struct {
		name          string
		do            func() error
		level         slog.Level
		console, file bool
	}{
		{"both levels apply", func() error { return nil }, slog.LevelInfo, false, true},
		{"warning reaches both", func() error { return nil }, slog.LevelWarn, true, true},
		{"handler level", func() error { return l.SetHandler("console", slog.LevelDebug) }, slog.LevelDebug, true, false},
		{"primary above", func() error { l.SetPrimary(slog.LevelError); return nil }, slog.LevelWarn, false, false},
		{"set all", func() error { l.SetAll(slog.LevelDebug); return nil }, slog.LevelDebug, true, true},
		{"stopped", func() error { return l.Enable("file", false) }, slog.LevelError, true, false},
		{"started again", func() error { return l.Enable("file", true) }, slog.LevelError, true, true},
	}
	for _, s := range steps {
		console.Reset()
		file.Reset()
		if err := s.do(); err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		log.Log(t.Context(), s.level, "said", "k", 1)
		if got := console.Len() > 0; got != s.console {
			t.Errorf("%s: console %q", s.name, console.String())
		}
		if got := file.Len() > 0; got != s.file {
			t.Errorf("%s: file %q", s.name, file.String())
		}
	}
	if !strings.Contains(console.String(), "level=error msg=said node=a@b g.k=1") {
		t.Errorf("text line: %s", console.String())
	}
	if !strings.Contains(file.String(), `"level":"error","msg":"said","node":"a@b","g":{"k":1}`) || !strings.Contains(file.String(), `Z",`) {
		t.Errorf("json line: %s", file.String())
	}
	if err := l.SetHandler("nope", 0); !errors.Is(err, ErrNoHandler) {
		t.Errorf("unknown handler: %v", err)
	}
	if got := fmt.Sprint(l.Handlers()); got != "[{console debug  started} {file debug  started}]" {
		t.Errorf("Handlers: %s", got)
	}
}

func TestFileRotates(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "x.log")
	f, err := OpenFile(path, 10, 2)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"one\n", "two\n", "three\n", "four\n", "five\n", "long line beyond the size\n", "six\n"} {
		if _, err := f.Write([]byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"": "six\n", ".1": "long line beyond the size\n", ".2": "four\nfive\n"} {
		got, err := os.ReadFile(path + name)
		if err != nil || string(got) != want {
			t.Errorf("%s%s: %q, %v; want %q", filepath.Base(path), name, got, err, want)
		}
	}
	if _, err := os.Stat(path + ".3"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a third old file: %v", err)
	}
	f, err = OpenFile(path, 10, 2) // goes on where it was
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if f.written != 4 {
		t.Errorf("reopened with %d bytes", f.written)
	}
}
