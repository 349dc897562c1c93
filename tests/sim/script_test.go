package sim

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var rewriteFlag = flag.Bool("rewrite", false, "write what scripts print into them; commit only changes that you understand")

// TestScripts runs testdata/*.txt. A script begins with prose (lines with #);
// then come blocks of verbs, each followed by a line of dashes and by what the
// verbs print. A failed check counts as printed.
func TestScripts(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(paths) < 8 {
		t.Fatalf("%d scripts, %v", len(paths), err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(string(text), "# ") {
				t.Error("no prose at its head")
			}
			got := runScript(t, string(text))
			if got == string(text) {
				return
			}
			if *rewriteFlag {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			t.Errorf("rewrite with: go test ./tests/sim -run TestScripts -rewrite\ngot\n%s\nwant\n%s", got, text)
		})
	}
}

// runScript returns the script with what it prints now.
func runScript(t *testing.T, text string) string {
	t.Helper()
	s := newScript()
	var out, printed strings.Builder
	expected := false // among the lines that the script expects
	for line := range strings.Lines(text) {
		bare := strings.TrimSpace(line)
		switch {
		case bare == "----":
			expected = true
			out.WriteString("----\n" + printed.String())
			printed.Reset()
		case bare == "":
			expected = false
			out.WriteString(line)
		case expected:
		case strings.HasPrefix(bare, "#"):
			out.WriteString(line)
		default:
			out.WriteString(line)
			shows, err := s.line(bare)
			if err != nil {
				t.Fatalf("%s: %v", bare, err)
			}
			if shows != "" {
				printed.WriteString(shows + "\n")
			}
			for _, f := range s.faults {
				printed.WriteString("CHECK FAILED " + f + "\n")
			}
			s.faults = nil
		}
	}
	if printed.Len() > 0 {
		t.Errorf("printed behind the last line of dashes:\n%s", printed.String())
	}
	return out.String()
}
