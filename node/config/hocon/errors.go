package hocon

import (
	"fmt"
	"strings"
)

// Error is one mistake in the syntax of a file, or one that keeps a file from
// being read (an include that is missing, a limit that is exceeded).
type Error struct {
	// Pos is where the mistake was noticed.
	Pos Pos
	// Msg says what is wrong and, where it helps, what to write instead.
	Msg string
}

// Error gives the position and the message.
func (e *Error) Error() string { return e.Pos.String() + ": " + e.Msg }

// ErrorList is every mistake found in a document, in the order of reading.
// [Parse] and [ParseFile] return it, never empty, as their error.
type ErrorList []*Error

// Error gives one line for each mistake.
func (l ErrorList) Error() string {
	lines := make([]string, len(l))
	for i, e := range l {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// maxErrors is how many mistakes of one document are collected; a file that
// has more is not a configuration, and one more line says so.
const maxErrors = 20

func (l *ErrorList) add(pos Pos, format string, args ...any) {
	switch {
	case len(*l) < maxErrors:
		*l = append(*l, &Error{Pos: pos, Msg: fmt.Sprintf(format, args...)})
	case len(*l) == maxErrors:
		*l = append(*l, &Error{Pos: pos, Msg: "too many mistakes; the rest is not listed"})
	}
}

func (l ErrorList) full() bool { return len(l) > maxErrors }

func (l ErrorList) err() error {
	if len(l) == 0 {
		return nil
	}
	return l
}
