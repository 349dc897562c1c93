// Command list prints the normative statements of MQTT that bind servers and
// that no test names:
//
//	go run ./tests/conformance/statements/list          those without a test
//	go run ./tests/conformance/statements/list -all     every statement, with its tests
//	go run ./tests/conformance/statements/list -prune   drop exceptions that have a test now
//
// It is run in the repository's root. The exit code is 1 where a statement has
// neither a test nor an exception with a reason, or a test names one that does
// not exist.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"ermine/tests/conformance/statements"
)

// exceptions is the file that -prune rewrites.
const exceptions = "tests/conformance/statements/testdata/untested.tsv"

func main() {
	root := flag.String("root", ".", "the repository's root")
	all := flag.Bool("all", false, "list every statement with the tests that name it")
	prune := flag.Bool("prune", false, "drop exceptions whose statement has a test now")
	flag.Parse()
	ok, err := run(os.Stdout, *root, *all, *prune)
	if err != nil {
		fmt.Fprintln(os.Stderr, "list:", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

// run prints the listing; ok is false where a statement is without a test and
// without an exception.
func run(w io.Writer, root string, all, prune bool) (ok bool, err error) {
	l, err := statements.Load()
	if err != nil {
		return false, err
	}
	found, err := statements.ScanRepository(root)
	if err != nil {
		return false, err
	}
	c := l.Cover(found)
	if all {
		printAll(w, l, c)
	}
	for _, e := range c.Excepted {
		fmt.Fprintf(w, "excepted  %-24s %s\n", e.Key, e.Reason)
	}
	for _, s := range c.Untested {
		fmt.Fprintf(w, "UNTESTED  %-24s %s\n", s.Key, s.Text)
	}
	for _, p := range c.Unlisted {
		fmt.Fprintf(w, "UNLISTED  %s in %s: the standard has no such statement\n", p.ID, p.At)
	}
	for _, p := range c.Ambiguous {
		fmt.Fprintf(w, "ambiguous %s in %s: name the version, it means different things in 3.1.1 and 5.0\n", p.ID, p.At)
	}
	for _, e := range c.Stale {
		fmt.Fprintf(w, "stale     %-24s has a test now\n", e.Key)
	}
	summary(w, l, c)
	if prune && len(c.Stale) > 0 {
		if err := pruneFile(filepath.Join(root, exceptions), c.Stale); err != nil {
			return false, err
		}
		fmt.Fprintf(w, "dropped %d exceptions from %s\n", len(c.Stale), exceptions)
	}
	return len(c.Untested) == 0 && len(c.Unlisted) == 0, nil
}

// printAll lists every statement and where it is tested.
func printAll(w io.Writer, l statements.Listing, c statements.Coverage) {
	for _, s := range l.Statements {
		binds := "client"
		if s.Server {
			binds = "server"
		}
		fmt.Fprintf(w, "%-24s %s  %s\n", s.Key, binds, s.Text)
		for _, p := range c.Tested[s.Key] {
			fmt.Fprintf(w, "%-24s   %s %s\n", "", p.At, p.In)
		}
	}
}

// summary counts, by version, the statements that bind servers.
func summary(w io.Writer, l statements.Listing, c statements.Coverage) {
	for _, v := range statements.Versions {
		var bind, tested, pending, excepted, untested int
		for _, s := range l.Statements {
			if s.Version == v && s.Server {
				bind++
				if len(c.Tested[s.Key]) > 0 {
					tested++
				}
			}
		}
		for _, e := range c.Excepted {
			switch {
			case e.Version != v:
			case e.Pending():
				pending++
			default:
				excepted++
			}
		}
		for _, s := range c.Untested {
			if s.Version == v {
				untested++
			}
		}
		fmt.Fprintf(w, "MQTT %s: %d statements bind servers: %d tested, %d pending, %d excepted for good, %d without either\n",
			v, bind, tested, pending, excepted, untested)
	}
}

// pruneFile drops the lines of exceptions that are no longer needed.
func pruneFile(name string, stale []statements.Exception) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	drop := map[string]bool{}
	for _, e := range stale {
		drop[string(e.Version)+"\t"+e.ID+"\t"+e.Reason] = true
	}
	var kept strings.Builder
	for line := range strings.Lines(string(text)) {
		if !drop[strings.TrimRight(line, "\r\n")] {
			kept.WriteString(line)
		}
	}
	return os.WriteFile(name, []byte(kept.String()), 0o644)
}
