package statements

import (
	"embed"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// ErrFormat is returned by Load when a listing has a line that is not in its
// form.
var ErrFormat = errors.New("bad line")

//go:embed testdata/*.tsv
var files embed.FS

// Version is a version of the standard.
type Version string

// The versions that have a listing.
const (
	V311 Version = "3.1.1"
	V5   Version = "5.0"
)

// Versions lists them in order.
var Versions = []Version{V311, V5}

// Key names a statement: identifiers recur from version to version.
type Key struct {
	Version Version
	ID      string // "MQTT-3.1.0-1"
}

func (k Key) String() string { return string(k.Version) + " " + k.ID }

// Statement is one normative statement.
type Statement struct {
	Key
	// Server tells whether it binds servers; some bind clients alone.
	Server bool
	// Text restates it in a few words.
	Text string
}

// Exception lets a statement be without a test.
type Exception struct {
	Key
	Reason string
}

// Pending is how the reason of an exception begins that is meant to go: the
// test is still to be written. All others are here to stay.
const Pending = "pending"

// Pending tells whether a test is still to be written.
func (e Exception) Pending() bool { return strings.HasPrefix(e.Reason, Pending) }

// Listing is all statements and exceptions.
type Listing struct {
	Statements []Statement // in the order of the standards, 3.1.1 first
	Exceptions []Exception
}

var idForm = regexp.MustCompile(`^MQTT-\d+\.\d+\.\d+-\d+$`)

// Load reads the listings that are built in.
func Load() (Listing, error) {
	var l Listing
	for _, v := range Versions {
		rows, err := rowsOf("testdata/mqtt-" + string(v) + ".tsv")
		if err != nil {
			return Listing{}, err
		}
		for _, row := range rows {
			s := Statement{Key: Key{v, row[0]}, Text: row[2]}
			switch row[1] {
			case "server", "both":
				s.Server = true
			case "client":
			default:
				return Listing{}, fmt.Errorf("%s: %w: binds %q", s.Key, ErrFormat, row[1])
			}
			if !idForm.MatchString(s.ID) {
				return Listing{}, fmt.Errorf("%w: identifier %q", ErrFormat, s.ID)
			}
			l.Statements = append(l.Statements, s)
		}
	}
	rows, err := rowsOf("testdata/untested.tsv")
	if err != nil {
		return Listing{}, err
	}
	for _, row := range rows {
		l.Exceptions = append(l.Exceptions, Exception{Key{Version(row[0]), row[1]}, row[2]})
	}
	return l, nil
}

// rowsOf reads a file of three columns, without blank and comment lines.
func rowsOf(name string) ([][]string, error) {
	text, err := files.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var rows [][]string
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		line = strings.TrimRight(line, "\r\n")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		row := strings.Split(line, "\t")
		if len(row) != 3 || row[0] == "" || row[1] == "" || row[2] == "" {
			return nil, fmt.Errorf("%s:%d: %w: want three columns between tabs", name, number, ErrFormat)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// Coverage holds what tests name against the listing.
type Coverage struct {
	// Tested maps a statement to the places that name it.
	Tested map[Key][]Place
	// Untested are statements that bind servers and have neither test nor
	// exception.
	Untested []Statement
	// Excepted are those with an exception and no test.
	Excepted []Exception
	// Stale are exceptions whose statement has a test by now.
	Stale []Exception
	// Unknown are exceptions of statements that do not exist or bind no server.
	Unknown []Exception
	// Ambiguous are places whose identifier means different things in the two
	// standards while no version is told: they count for neither.
	Ambiguous []Place
	// Unlisted are places whose identifier the standard they speak of does not
	// have.
	Unlisted []Place
}

// Cover compares the listing with the places found by Scan.
func (l Listing) Cover(found []Place) Coverage {
	known := map[Key]Statement{}
	for _, s := range l.Statements {
		known[s.Key] = s
	}
	c := Coverage{Tested: map[Key][]Place{}}
	for _, p := range found {
		versions := p.Versions
		if len(versions) == 0 {
			var alike bool
			if versions, alike = having(p.ID, known); !alike {
				c.Ambiguous = append(c.Ambiguous, p)
				continue
			}
		}
		listed := false
		for _, v := range versions {
			key := Key{v, p.ID}
			if _, ok := known[key]; ok {
				c.Tested[key] = append(c.Tested[key], p)
				listed = true
			}
		}
		if !listed {
			c.Unlisted = append(c.Unlisted, p)
		}
	}
	excepted := map[Key]bool{}
	for _, e := range l.Exceptions {
		switch s, ok := known[e.Key]; {
		case !ok || !s.Server:
			c.Unknown = append(c.Unknown, e)
		case len(c.Tested[e.Key]) > 0:
			c.Stale = append(c.Stale, e)
		default:
			excepted[e.Key] = true
			c.Excepted = append(c.Excepted, e)
		}
	}
	for _, s := range l.Statements {
		if s.Server && len(c.Tested[s.Key]) == 0 && !excepted[s.Key] {
			c.Untested = append(c.Untested, s)
		}
	}
	return c
}

// having lists the versions that have an identifier, and tells whether it means
// the same in all of them: the listings restate it in the same words then.
func having(id string, known map[Key]Statement) (in []Version, alike bool) {
	alike = true
	for _, v := range Versions {
		s, ok := known[Key{v, id}]
		if !ok {
			continue
		}
		if len(in) > 0 && known[Key{in[0], id}].Text != s.Text {
			alike = false
		}
		in = append(in, v)
	}
	return in, alike
}
