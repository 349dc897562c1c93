package arch

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// topLevel names what may stand in the repository's root, and what it is.
var topLevel = map[string]string{
	".ci":             "what the Makefile and continuous integration run",
	".editorconfig":   "how editors lay out text",
	".gitattributes":  "how git treats files",
	".gitignore":      "what is never committed",
	".golangci.yml":   "the linters",
	"CHANGELOG.md":    "what changed for users",
	"CONTRIBUTING.md": "how to take part",
	"DESIGN.md":       "decisions, with their reasons",
	"LICENSE":         "the licence",
	"Makefile":        "how to build, test and measure",
	"README.md":       "what this is, and how to start",
	"SECURITY.md":     "how to report a weakness",
	"actors":          "the broker as actors",
	"discovery":       "how members are found",
	"etc":             "the shipped configuration",
	"go.mod":          "the module",
	"go.sum":          "its dependencies' hashes",
	"mqtt":            "the wire",
	"node":            "one member of the cluster",
	"rel":             "the release",
	"tests":           "what spans packages",
}

func TestTopLevel(t *testing.T) {
	seen := map[string]bool{}
	for _, file := range tracked(t) {
		entry, _, _ := strings.Cut(file, "/")
		if seen[entry] {
			continue
		}
		seen[entry] = true
		if topLevel[entry] == "" {
			t.Errorf("%s in the repository's root: it belongs into a folder, or into the table with its purpose", entry)
		}
	}
}

func TestModuleName(t *testing.T) {
	cmd := exec.Command("go", "list", "-m")
	cmd.Dir = rootDir(t)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(string(out)); got != module {
		t.Errorf("module %q, want %q", got, module)
	}
}

// vague are package names that say nothing of what lives there; each becomes
// the place for what has no place.
var vague = []string{"util", "utils", "common", "types", "errors", "helpers", "misc", "base", "shared"}

func TestPackageNames(t *testing.T) {
	for _, p := range packages(t) {
		if slices.Contains(vague, p.Name) {
			t.Errorf("package %s is called %s: name it for what lives there", p.ImportPath, p.Name)
		}
	}
}

// TestPackageComments: each folder has one package comment, and it stands in
// doc.go (a program may have it in main.go).
func TestPackageComments(t *testing.T) {
	for _, p := range packages(t) {
		var where []string
		for _, file := range p.sources() {
			full, _ := sourcePath(p, file)
			f, err := parser.ParseFile(token.NewFileSet(), full, nil, parser.PackageClauseOnly|parser.ParseComments)
			if err != nil {
				t.Error(err)
				continue
			}
			if f.Doc != nil && !onlyDirectives(f.Doc) {
				where = append(where, file)
			}
		}
		switch {
		case len(where) != 1:
			t.Errorf("%s: package comments in %q, want exactly one, in doc.go", p.ImportPath, where)
		case where[0] == "doc.go", p.Name == "main" && where[0] == "main.go":
		default:
			t.Errorf("%s: package comment in %s, want it in doc.go", p.ImportPath, where[0])
		}
	}
}

// onlyDirectives tells whether a comment holds nothing but //go: lines.
func onlyDirectives(doc *ast.CommentGroup) bool { return strings.TrimSpace(doc.Text()) == "" }

// maxLines is where a file has become two rooms in one.
const maxLines = 900

// longFiles may pass it, each for a reason.
var longFiles = map[string]string{}

func TestFileLength(t *testing.T) {
	for _, p := range packages(t) {
		for _, file := range p.sources() {
			full, short := sourcePath(p, file)
			text, err := os.ReadFile(full)
			if err != nil {
				t.Error(err)
				continue
			}
			if n := bytes.Count(text, []byte("\n")); n > maxLines && longFiles[short] == "" {
				t.Errorf("%s has %d lines, more than %d: split it by what it is about", short, n, maxLines)
			}
		}
	}
}
