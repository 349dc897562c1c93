package auth

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// An ACL file is a sequence of Erlang terms, each ended by a full stop, as
// file:consult/1 reads them: atoms, integers, strings, binaries of one string,
// tuples and lists, and comments from % to the end of the line.

type termKind uint8

const (
	termAtom termKind = iota + 1
	termInteger
	termString // also a binary
	termTuple
	termList
)

func (k termKind) String() string {
	return [...]string{"nothing", "an atom", "a number", "a string", "a tuple", "a list"}[k]
}

// position is where a term begins, counted from 1.
type position struct{ line, col int }

// term is one node of a parsed file.
type term struct {
	kind  termKind
	pos   position
	text  string // of an atom or a string
	value int64  // of an integer
	items []term // of a tuple or a list
}

// isAtom reports whether t is the atom with one of these names.
func (t *term) isAtom(names ...string) bool {
	return t.kind == termAtom && slices.Contains(names, t.text)
}

// isTuple reports whether t is a tuple of n items that begins with one of these
// atoms.
func (t *term) isTuple(n int, names ...string) bool {
	return t.kind == termTuple && len(t.items) == n && n > 0 && t.items[0].isAtom(names...)
}

// maxTermDepth bounds how deep terms may be nested.
const maxTermDepth = 32

// maxMistakes bounds how many mistakes of a file are reported.
const maxMistakes = 20

// termReader reads terms from a file's text.
type termReader struct {
	file string
	text string
	off  int
	pos  position
}

func newTermReader(file, text string) *termReader {
	return &termReader{file: file, text: text, pos: position{1, 1}}
}

func (r *termReader) errorAt(pos position, format string, args ...any) *SyntaxError {
	return &SyntaxError{File: r.file, Line: pos.line, Col: pos.col, Msg: fmt.Sprintf(format, args...)}
}

// peek returns the next character, 0 at the end of the text.
func (r *termReader) peek() rune {
	if r.off >= len(r.text) {
		return 0
	}
	c, _ := utf8.DecodeRuneInString(r.text[r.off:])
	return c
}

func (r *termReader) next() rune {
	if r.off >= len(r.text) {
		return 0
	}
	c, n := utf8.DecodeRuneInString(r.text[r.off:])
	r.off += n
	if c == '\n' {
		r.pos = position{r.pos.line + 1, 1}
	} else {
		r.pos.col++
	}
	return c
}

func (r *termReader) atEnd() bool { return r.off >= len(r.text) }

// space skips white space and comments.
func (r *termReader) space() {
	for !r.atEnd() {
		switch c := r.peek(); {
		case c == '%':
			for !r.atEnd() && r.peek() != '\n' {
				r.next()
			}
		case unicode.IsSpace(c):
			r.next()
		default:
			return
		}
	}
}

// form reads the next term with its full stop, and reports false at the end.
func (r *termReader) form() (t term, ok bool, err *SyntaxError) {
	r.space()
	if r.atEnd() {
		return term{}, false, nil
	}
	if t, err = r.term(0); err != nil {
		return term{}, false, err
	}
	r.space()
	if r.peek() != '.' {
		return term{}, false, r.errorAt(r.pos, "want a full stop after the term, got %s", r.found())
	}
	r.next()
	if c := r.peek(); !r.atEnd() && !unicode.IsSpace(c) && c != '%' {
		return term{}, false, r.errorAt(r.pos, "want white space after the full stop, got %s", r.found())
	}
	return t, true, nil
}

// skip moves behind the next full stop at the end of a line, to go on after a
// mistake.
func (r *termReader) skip() {
	for !r.atEnd() {
		if r.next() == '.' {
			rest := r.text[r.off:]
			line, _, _ := strings.Cut(rest, "\n")
			if line = strings.TrimSpace(line); line == "" || line[0] == '%' {
				return
			}
		}
	}
}

// found describes what stands at the reader's position.
func (r *termReader) found() string {
	if r.atEnd() {
		return "the end of the file"
	}
	return strconv.QuoteRune(r.peek())
}

func (r *termReader) term(depth int) (term, *SyntaxError) {
	r.space()
	t := term{pos: r.pos}
	if depth > maxTermDepth {
		return t, r.errorAt(t.pos, "terms are nested deeper than %d", maxTermDepth)
	}
	var err *SyntaxError
	switch c := r.peek(); {
	case r.atEnd():
		return t, r.errorAt(t.pos, "want a term, got the end of the file")
	case c == '{':
		t.kind = termTuple
		t.items, err = r.items('}', depth)
	case c == '[':
		t.kind = termList
		t.items, err = r.items(']', depth)
	case c == '"':
		t.kind = termString
		t.text, err = r.stringLiterals()
	case c == '\'':
		t.kind = termAtom
		t.text, err = r.quoted()
	case c == '<':
		t.kind = termString
		t.text, err = r.binary()
	case c == '-' || c >= '0' && c <= '9':
		t.kind = termInteger
		t.value, err = r.integer()
	case unicode.IsLower(c):
		t.kind = termAtom
		t.text = r.word()
	case unicode.IsUpper(c) || c == '_':
		return t, r.errorAt(t.pos, "%s is a variable; write an atom in lower case or within ' '", r.word())
	default:
		return t, r.errorAt(t.pos, "want a term, got %s", r.found())
	}
	return t, err
}

// items reads what is between brackets, up to the closing one.
func (r *termReader) items(closing rune, depth int) ([]term, *SyntaxError) {
	open := r.pos
	r.next()
	r.space()
	if r.peek() == closing {
		r.next()
		return nil, nil
	}
	var items []term
	for {
		t, err := r.term(depth + 1)
		if err != nil {
			return nil, err
		}
		items = append(items, t)
		r.space()
		switch c := r.peek(); {
		case r.atEnd():
			return nil, r.errorAt(open, "this bracket is not closed")
		case c == ',':
			r.next()
		case c == closing:
			r.next()
			return items, nil
		default:
			return nil, r.errorAt(r.pos, "want , or %c, got %s", closing, r.found())
		}
	}
}

func (r *termReader) word() string {
	start := r.off
	for !r.atEnd() {
		if c := r.peek(); c != '_' && c != '@' && !unicode.IsLetter(c) && !unicode.IsDigit(c) {
			break
		}
		r.next()
	}
	return r.text[start:r.off]
}

func (r *termReader) integer() (int64, *SyntaxError) {
	pos, start := r.pos, r.off
	if r.peek() == '-' {
		r.next()
	}
	for c := r.peek(); c >= '0' && c <= '9' && !r.atEnd(); c = r.peek() {
		r.next()
	}
	n, err := strconv.ParseInt(r.text[start:r.off], 10, 64)
	if err != nil {
		return 0, r.errorAt(pos, "%q is no number", r.text[start:r.off])
	}
	return n, nil
}

// stringLiterals reads a string, or several in a row, which are one.
func (r *termReader) stringLiterals() (string, *SyntaxError) {
	var text strings.Builder
	for r.peek() == '"' {
		part, err := r.quoted()
		if err != nil {
			return "", err
		}
		text.WriteString(part)
		r.space()
	}
	return text.String(), nil
}

// binary reads <<"text">> or <<"text"/utf8>>.
func (r *termReader) binary() (string, *SyntaxError) {
	open := r.pos
	if !strings.HasPrefix(r.text[r.off:], "<<") {
		return "", r.errorAt(open, "want a term, got %s", r.found())
	}
	r.next()
	r.next()
	r.space()
	text := ""
	if r.peek() == '"' {
		var err *SyntaxError
		if text, err = r.stringLiterals(); err != nil {
			return "", err
		}
		r.space()
		if strings.HasPrefix(r.text[r.off:], "/utf8") {
			for range len("/utf8") {
				r.next()
			}
			r.space()
		}
	}
	if !strings.HasPrefix(r.text[r.off:], ">>") {
		return "", r.errorAt(open, `want a binary like <<"text">>`)
	}
	r.next()
	r.next()
	return text, nil
}

// escapes are the characters that stand for others behind a backslash.
var escapes = map[rune]rune{
	'b': '\b', 'd': 0x7f, 'e': 0x1b, 'f': '\f', 'n': '\n', 'r': '\r', 's': ' ', 't': '\t', 'v': '\v',
}

// quoted reads a string or a quoted atom.
func (r *termReader) quoted() (string, *SyntaxError) {
	open := r.pos
	quote := r.next()
	var b strings.Builder
	for {
		pos := r.pos
		switch c := r.next(); {
		case c == 0 && r.atEnd():
			return "", r.errorAt(open, "this quote is not closed")
		case c == quote:
			return b.String(), nil
		case c == utf8.RuneError:
			return "", r.errorAt(pos, "the text is not UTF-8")
		case c == '\\':
			e, err := r.escape(pos)
			if err != nil {
				return "", err
			}
			b.WriteRune(e)
		default:
			b.WriteRune(c)
		}
	}
}

// escape reads what follows a backslash.
func (r *termReader) escape(pos position) (rune, *SyntaxError) {
	c := r.next()
	digits, base := "", 0
	switch {
	case c == 'x' && r.peek() == '{':
		end := strings.IndexByte(r.text[r.off:], '}')
		if end < 0 {
			return 0, r.errorAt(pos, `want \x{...}`)
		}
		digits, base = r.text[r.off+1:r.off+end], 16
		for range utf8.RuneCountInString(digits) + 2 {
			r.next()
		}
	case c == 'x':
		digits, base = string(r.next())+string(r.next()), 16
	case c >= '0' && c <= '7':
		digits, base = string(c), 8
		for len(digits) < 3 && r.peek() >= '0' && r.peek() <= '7' {
			digits += string(r.next())
		}
	default:
		if e, ok := escapes[c]; ok {
			return e, nil
		}
		return c, nil
	}
	n, err := strconv.ParseUint(digits, base, 32)
	if err != nil || !utf8.ValidRune(rune(n)) {
		return 0, r.errorAt(pos, "this escape is no character")
	}
	return rune(n), nil
}
