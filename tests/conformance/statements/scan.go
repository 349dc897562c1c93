package statements

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Place is where a test names a statement.
type Place struct {
	ID string // "MQTT-3.1.0-1"
	// Versions are those that the name, its function or its file tells; empty
	// where none does.
	Versions []Version
	// At is file:line, relative to the root that was scanned; In is the
	// function around it, empty outside of functions.
	At, In string
}

var (
	// As the standards print it, with or without brackets, and as a Go name.
	printed = regexp.MustCompile(`MQTT-(\d+)\.(\d+)\.(\d+)-(\d+)`)
	spelt   = regexp.MustCompile(`MQTT_(\d+)_(\d+)_(\d+)_(\d+)`)

	// In names a version follows a break or a capital: v5, V311, MQTT 3.1.1.
	// The second group of v3 keeps "v31" (MQTT 3.1, which has no statements)
	// apart from "v311".
	says5   = regexp.MustCompile(`(?:(?:^|[^A-Za-z0-9])[vV]|(?:^|[a-z0-9_])V|(?i:mqtt) ?)5(?:\.0|_0)?(?:$|[^0-9.]|\.(?:$|[^0-9]))`)
	says311 = regexp.MustCompile(`(?:(?:^|[^A-Za-z0-9])[vV]|(?:^|[a-z0-9_])V|(?i:mqtt) ?)3(?:[._]?1[._]?1)?(?:$|[^0-9._]|[._](?:$|[^0-9]))`)
)

// versionsIn are the versions that a text speaks of.
func versionsIn(text string) []Version {
	var in []Version
	if says311.MatchString(text) {
		in = append(in, V311)
	}
	if says5.MatchString(text) {
		in = append(in, V5)
	}
	return in
}

// idsIn are the identifiers in a text, each once, in order.
func idsIn(text string) []string {
	var ids []string
	seen := map[string]bool{}
	for _, form := range []*regexp.Regexp{printed, spelt} {
		for _, m := range form.FindAllStringSubmatch(text, -1) {
			id := fmt.Sprintf("MQTT-%s.%s.%s-%s", m[1], m[2], m[3], m[4])
			if !seen[id] {
				seen[id] = true
				ids = append(ids, id)
			}
		}
	}
	return ids
}

// Scan finds the places in the test files below the given folders of root.
// Folders in skip, and those called testdata or node_modules, are left out. A
// folder that does not exist has no tests. A file that does not parse is an
// error: what it names would be missed.
func Scan(root string, folders, skip []string) ([]Place, error) {
	var found []Place
	tree := os.DirFS(root)
	for _, folder := range folders {
		err := fs.WalkDir(tree, folder, func(name string, d fs.DirEntry, err error) error {
			switch {
			case err != nil && name == folder && os.IsNotExist(err):
				return nil
			case err != nil:
				return err
			case d.IsDir() && (d.Name() == "testdata" || d.Name() == "node_modules" || slices.Contains(skip, name)):
				return fs.SkipDir
			case d.IsDir() || !strings.HasSuffix(name, "_test.go"):
				return nil
			}
			source, err := fs.ReadFile(tree, name)
			if err != nil {
				return err
			}
			places, err := scanFile(name, source)
			found = append(found, places...)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("scan %s: %w", folder, err)
		}
	}
	return found, nil
}

// printers are the methods whose arguments are only printed.
var printers = map[string]bool{
	"Error": true, "Errorf": true, "Fatal": true, "Fatalf": true,
	"Log": true, "Logf": true, "Skip": true, "Skipf": true,
	"Printf": true, "Println": true, "Sprintf": true,
}

// scanFile finds the places in one test file.
func scanFile(name string, source []byte) ([]Place, error) {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, name, source, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	var found []Place
	fileVersions := versionsIn(strings.TrimSuffix(path.Base(name), "_test.go"))
	note := func(text string, at token.Pos, in string) {
		for _, id := range idsIn(text) {
			versions := versionsIn(printed.ReplaceAllString(text, ""))
			for _, wider := range [][]Version{versionsIn(in), fileVersions} {
				if len(versions) == 0 {
					versions = wider
				}
			}
			found = append(found, Place{ID: id, Versions: versions, At: fset.Position(at).String(), In: in})
		}
	}
	for _, decl := range f.Decls {
		in := ""
		if fn, ok := decl.(*ast.FuncDecl); ok {
			in = fn.Name.Name
			if strings.HasPrefix(in, "Test") || strings.HasPrefix(in, "Fuzz") {
				note(in, fn.Pos(), in)
			}
		}
		ast.Inspect(decl, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				if sel, ok := n.Fun.(*ast.SelectorExpr); ok && printers[sel.Sel.Name] {
					return false
				}
			case *ast.BasicLit:
				if n.Kind == token.STRING {
					if text, err := strconv.Unquote(n.Value); err == nil {
						note(text, n.Pos(), in)
					}
				}
			}
			return true
		})
	}
	return found, nil
}

// ScanRepository scans what may hold tests of MQTT: the tests that span
// packages, the wire and the actors. This package's own tests name statements
// that they do not test, and are left out.
func ScanRepository(root string) ([]Place, error) {
	return Scan(root, []string{"tests", "mqtt", "actors"}, []string{"tests/conformance/statements", "tests/arch"})
}
