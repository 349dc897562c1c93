package arch

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// pure names the files that own no goroutine, socket or clock: time is an
// argument there, and what they decide can be replayed. A folder ends in "/"
// and stands for all below it; else the pattern is path.Match's.
var pure = []string{
	"actors/topic/",
	"actors/message/",
	"actors/session/state*.go",
	"actors/session/inflight*.go",
	"actors/session/mqueue*.go",
	"node/dist/etf/",
	"node/cluster/core*.go",
	"node/cluster/core/",
}

// clock are the functions of package time that read the clock or wait for it.
var clock = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick"}

// impure are the packages, with all below them, that a pure file never imports.
var impure = []string{"net", "os", "os/exec", "log", "context", "github.com/asynkron", "ergo.services"}

// netPure are packages below net that only hold values.
var netPure = []string{"net/netip", "net/url"}

func isPure(file string) bool {
	return slices.ContainsFunc(pure, func(pattern string) bool {
		if strings.HasSuffix(pattern, "/") {
			return strings.HasPrefix(file, pattern)
		}
		ok, err := path.Match(pattern, file)
		return ok && err == nil
	})
}

// impurities are the lines at which a file's syntax breaks the rule of pure
// packages.
func impurities(fset *token.FileSet, f *ast.File) []string {
	var found []string
	at := func(n ast.Node, what string) {
		found = append(found, fmt.Sprintf("%s: %s", fset.Position(n.Pos()), what))
	}
	for _, imp := range f.Imports {
		name, _ := strconv.Unquote(imp.Path.Value)
		if withinAny(name, impure) && !withinAny(name, netPure) {
			at(imp, "imports "+name)
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			at(n, "starts a goroutine")
		case *ast.SelectorExpr:
			if pkg, ok := n.X.(*ast.Ident); ok && pkg.Name == "time" && slices.Contains(clock, n.Sel.Name) {
				at(n, "reads the clock: time."+n.Sel.Name)
			}
		}
		return true
	})
	return found
}

func TestPurePackages(t *testing.T) {
	for _, p := range packages(t) {
		for _, file := range p.sources() {
			full, short := sourcePath(p, file)
			if !isPure(short) {
				continue
			}
			fset := token.NewFileSet()
			f, err := parser.ParseFile(fset, full, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Error(err)
				continue
			}
			for _, line := range impurities(fset, f) {
				t.Errorf("%s, but it is pure: time and input are arguments there", line)
			}
		}
	}
}

// sleepers are the calls of time.Sleep in a test file that does not run on the
// fake time of testing/synctest.
func sleepers(fset *token.FileSet, f *ast.File) []string {
	for _, imp := range f.Imports {
		if imp.Path.Value == `"testing/synctest"` {
			return nil
		}
	}
	var found []string
	ast.Inspect(f, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok && sel.Sel.Name == "Sleep" {
			if pkg, ok := sel.X.(*ast.Ident); ok && pkg.Name == "time" {
				found = append(found, fset.Position(sel.Pos()).String())
			}
		}
		return true
	})
	return found
}

// TestNoSleepInTests: a test waits for an event, with a deadline; a sleep is
// either too short on a busy machine or too long on every other.
func TestNoSleepInTests(t *testing.T) {
	for _, p := range packages(t) {
		for _, file := range p.tests() {
			full, _ := sourcePath(p, file)
			fset := token.NewFileSet()
			f, err := parser.ParseFile(fset, full, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Error(err)
				continue
			}
			for _, line := range sleepers(fset, f) {
				t.Errorf("%s sleeps outside a synctest bubble: wait for the event, with a deadline", line)
			}
		}
	}
}

// leftOpen finds the marks of work put off. They are spelt apart here so that
// this file does not carry one.
var leftOpen = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`)

func TestNothingLeftOpen(t *testing.T) {
	for _, p := range packages(t) {
		for _, file := range slices.Concat(p.sources(), p.tests()) {
			full, _ := sourcePath(p, file)
			fset := token.NewFileSet()
			f, err := parser.ParseFile(fset, full, nil, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				t.Error(err)
				continue
			}
			for _, group := range f.Comments {
				for _, c := range group.List {
					if mark := leftOpen.FindString(c.Text); mark != "" {
						t.Errorf("%s: %s: do it, or file it", fset.Position(c.Pos()), mark)
					}
				}
			}
		}
	}
}

// TestCodeRules shows that the syntax rules catch what they are for.
func TestCodeRules(t *testing.T) {
	for _, tc := range []struct {
		name           string
		source         string
		impure, sleeps int
	}{
		{"time as an argument", "package p\nimport \"time\"\nfunc f(now time.Time) time.Time { return now.Add(time.Second) }", 0, 0},
		{"the clock", "package p\nimport \"time\"\nvar t = time.Now()", 1, 0},
		{"a goroutine", "package p\nfunc f() { go f() }", 1, 0},
		{"a socket", "package p\nimport _ \"net\"", 1, 0},
		{"an address", "package p\nimport _ \"net/netip\"", 0, 0},
		{"a sleep", "package p\nimport \"time\"\nfunc f() { time.Sleep(1) }", 1, 1},
		{"a sleep in a bubble", "package p\nimport (\"time\"; _ \"testing/synctest\")\nfunc f() { time.Sleep(1) }", 1, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			fset := token.NewFileSet()
			f, err := parser.ParseFile(fset, "p.go", tc.source, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			if got := impurities(fset, f); len(got) != tc.impure {
				t.Errorf("impurities %q, want %d", got, tc.impure)
			}
			if got := sleepers(fset, f); len(got) != tc.sleeps {
				t.Errorf("sleeps at %q, want %d", got, tc.sleeps)
			}
		})
	}
	for file, want := range map[string]bool{
		"actors/topic/trie.go":         true,
		"actors/session/state_flow.go": true,
		"actors/session/process.go":    false,
		"node/cluster/core.go":         true,
		"node/cluster/process.go":      false,
		"node/dist/etf/decode.go":      true,
		"actors/topics/something.go":   false,
	} {
		if got := isPure(file); got != want {
			t.Errorf("isPure(%q) = %t, want %t", file, got, want)
		}
	}
}
