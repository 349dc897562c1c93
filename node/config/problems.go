package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"ermine/node/config/hocon"
)

// ErrInvalid is what every [*Invalid] is, for errors.Is.
var ErrInvalid = errors.New("invalid configuration")

// Problem is one mistake in the configuration.
type Problem struct {
	// Pos is the place in a file; for a variable of the environment its File
	// is the variable's name and its Line is 0.
	Pos hocon.Pos
	// Key is the path under its name as written; empty for mistakes in the
	// syntax.
	Key string
	// Msg says what is wrong.
	Msg string
	// Allowed says what may stand there instead; it may be empty.
	Allowed string
}

// String gives `file:line:col: key: message (allowed: ...)`.
func (p Problem) String() string {
	var b strings.Builder
	if at := p.Pos.String(); at != "" {
		b.WriteString(at + ": ")
	}
	if p.Key != "" {
		b.WriteString(p.Key + ": ")
	}
	b.WriteString(p.Msg)
	if p.Allowed != "" {
		fmt.Fprintf(&b, " (allowed: %s)", p.Allowed)
	}
	return b.String()
}

// Invalid is the error of [Load]: every mistake found, those of the file in its
// order before those of the environment.
type Invalid struct{ Problems []Problem }

// Error gives a line for each mistake.
func (e *Invalid) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Is makes every Invalid an ErrInvalid.
func (e *Invalid) Is(target error) bool { return target == ErrInvalid }

// Override is a value that an environment variable has set.
type Override struct {
	Name  string // of the variable
	Path  string // of the key
	Value string // as in a file; masked for a secret
}

// String is the line that is printed at boot.
func (o Override) String() string { return fmt.Sprintf("%s [%s]: %s", o.Name, o.Path, o.Value) }

// Report is what there is to tell about a configuration that is valid.
type Report struct {
	// Files were read, in this order; none if there is only the default.
	Files []string
	// Dialect is that of the first file.
	Dialect hocon.Dialect
	// Overrides are what the environment set, by path.
	Overrides []Override
	// NoEffect and Reserved are the paths of such keys that were set.
	NoEffect []string
	Reserved []string
	// UnknownEnv are variables under a known root that name no key.
	UnknownEnv []string
	// Warnings are further things to know, each one line.
	Warnings []string

	origin map[string]string
}

// Origin tells where a path's value comes from: a place in a file, the name of
// a variable, or "default".
func (r *Report) Origin(path string) string {
	if o, ok := r.origin[path]; ok {
		return o
	}
	return "default"
}

// Lines is the report as text for the terminal, a line for each thing.
func (r *Report) Lines() []string {
	var lines []string
	for _, o := range r.Overrides {
		lines = append(lines, o.String())
	}
	lines = append(lines, r.WarningLines()...)
	return lines
}

// WarningLines is the report without the overrides.
func (r *Report) WarningLines() []string {
	lines := slices.Clone(r.Warnings)
	if len(r.NoEffect) > 0 {
		lines = append(lines, "these keys are accepted and without effect, they tune the Erlang VM: "+strings.Join(r.NoEffect, ", "))
	}
	if len(r.Reserved) > 0 {
		lines = append(lines, "these keys are accepted, but what they set is not in this release: "+strings.Join(r.Reserved, ", "))
	}
	if len(r.UnknownEnv) > 0 {
		lines = append(lines, "these environment variables name no key and are ignored: "+strings.Join(r.UnknownEnv, ", "))
	}
	return lines
}
