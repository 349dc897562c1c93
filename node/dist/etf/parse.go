package etf

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"
)

// ParseError tells why and where text is no term. Line and Column count from
// 1, columns in characters; Offset in bytes from 0.
type ParseError struct {
	Line, Column int
	Offset       int
	Msg          string
}

// Error implements error.
func (e *ParseError) Error() string {
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Msg)
}

// Parse reads one term in Erlang's syntax, with or without a full stop behind
// it. It knows integers in every base, characters ($a), floats, atoms, strings,
// binaries with sizes and the types integer, utf8, big, little, signed and
// unsigned, tuples, lists, maps, external funs, and % comments. Strings become
// what NewCharlist returns. There are no variables, operators (but for a sign)
// or records; pids, ports, references and local funs have no syntax. A map with
// two equal keys is an error.
//
// The error is a *ParseError.
func Parse(text string) (any, error) {
	p := parser{in: text}
	t, err := p.only()
	if err != nil {
		return nil, p.locate(err)
	}
	return t, nil
}

// ParseAll reads any number of terms, each ended by a full stop, as
// file:consult/1 does.
func ParseAll(text string) ([]any, error) {
	p := parser{in: text}
	var all []any
	for {
		if p.space(); p.pos == len(p.in) {
			return all, nil
		}
		t, err := p.term(0)
		if err == nil {
			p.space()
			if !p.stop() {
				err = p.fail(p.pos, "expected a full stop, found %s", p.what())
			}
		}
		if err != nil {
			return nil, p.locate(err)
		}
		all = append(all, t)
	}
}

// A parser is a recursive descent over in, MaxDepth of DefaultLimits deep.
type parser struct {
	in  string
	pos int
}

func (p *parser) fail(at int, format string, args ...any) error {
	return &ParseError{Offset: at, Msg: fmt.Sprintf(format, args...)}
}

// locate completes the position of an error.
func (p *parser) locate(err error) error {
	if e, ok := errors.AsType[*ParseError](err); ok {
		before := p.in[:min(e.Offset, len(p.in))]
		e.Line = 1 + strings.Count(before, "\n")
		e.Column = 1 + utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:])
	}
	return err
}

// what names what is at pos, for errors.
func (p *parser) what() string {
	if p.pos >= len(p.in) {
		return "the end"
	}
	r, _ := utf8.DecodeRuneInString(p.in[p.pos:])
	return strconv.QuoteRune(r)
}

func (p *parser) only() (any, error) {
	t, err := p.term(0)
	if err != nil {
		return nil, err
	}
	p.space()
	p.stop()
	if p.space(); p.pos < len(p.in) {
		return nil, p.fail(p.pos, "unexpected %s behind the term", p.what())
	}
	return t, nil
}

// space skips blanks and comments.
func (p *parser) space() {
	for p.pos < len(p.in) {
		switch c := p.in[p.pos]; {
		case c <= ' ':
			p.pos++
		case c == '%':
			if i := strings.IndexByte(p.in[p.pos:], '\n'); i >= 0 {
				p.pos += i + 1
			} else {
				p.pos = len(p.in)
			}
		case strings.HasPrefix(p.in[p.pos:], "\u00a0"):
			p.pos += 2
		default:
			return
		}
	}
}

// stop takes a full stop: a dot in front of a blank, a comment or the end.
func (p *parser) stop() bool {
	if p.pos >= len(p.in) || p.in[p.pos] != '.' {
		return false
	}
	if n := p.pos + 1; n < len(p.in) && p.in[n] > ' ' && p.in[n] != '%' {
		return false
	}
	p.pos++
	return true
}

// peek skips blanks and returns the next byte, 0 at the end.
func (p *parser) peek() byte {
	p.space()
	if p.pos < len(p.in) {
		return p.in[p.pos]
	}
	return 0
}

// accept skips blanks, and token if it is next.
func (p *parser) accept(token string) bool {
	p.space()
	if strings.HasPrefix(p.in[p.pos:], token) {
		p.pos += len(token)
		return true
	}
	return false
}

func (p *parser) expect(token, context string) error {
	if p.accept(token) {
		return nil
	}
	return p.fail(p.pos, "expected %q in %s, found %s", token, context, p.what())
}

func (p *parser) term(depth int) (any, error) {
	c := p.peek()
	start := p.pos
	if depth >= DefaultLimits.MaxDepth {
		return nil, p.fail(start, "nested more than %d deep", DefaultLimits.MaxDepth)
	}
	switch {
	case c == 0 && p.pos >= len(p.in):
		return nil, p.fail(start, "expected a term, found the end")
	case startsNumber(c):
		return p.number()
	case c == '"':
		s, err := p.strings()
		if err != nil {
			return nil, err
		}
		return NewCharlist(s), nil
	case c == '\'':
		return p.quotedAtom()
	case c == '{':
		p.pos++
		l, err := p.terms("}", "a tuple", depth)
		return Tuple(l), err
	case c == '[':
		p.pos++
		return p.list(depth)
	case c == '#':
		return p.hash(depth)
	case c == '<':
		if strings.HasPrefix(p.in[p.pos:], "<<") {
			p.pos += 2
			return p.binary()
		}
		return nil, p.fail(start, "a pid cannot be written as text")
	}
	a, err := p.word()
	if err == nil && a == "fun" {
		return p.export()
	}
	return a, err
}

// word reads an atom without quotes, or the word fun.
func (p *parser) word() (Atom, error) {
	start := p.pos
	for p.pos < len(p.in) {
		r, n := utf8.DecodeRuneInString(p.in[p.pos:])
		if !isAtomRune(r) {
			break
		}
		p.pos += n
	}
	a := Atom(p.in[start:p.pos])
	first, _ := utf8.DecodeRuneInString(string(a))
	switch {
	case a == "":
		return "", p.fail(start, "expected a term, found %s", p.what())
	case !isLower(first):
		return "", p.fail(start, "%s is a variable, which is no term; an atom of that name needs quotes", a)
	case reserved[a] && a != "fun":
		return "", p.fail(start, "%s is a reserved word; an atom of that name needs quotes", a)
	case len(a) > maxAtomChars && utf8.RuneCountInString(string(a)) > maxAtomChars:
		return "", p.fail(start, "an atom of more than %d characters", maxAtomChars)
	}
	return a, nil
}

// export reads what follows the word fun.
func (p *parser) export() (any, error) {
	var x Export
	for _, part := range []*Atom{&x.Module, &x.Function} {
		a, err := p.name()
		if err != nil {
			return nil, err
		}
		*part = a
		sep := ":"
		if part == &x.Function {
			sep = "/"
		}
		if err := p.expect(sep, "a fun"); err != nil {
			return nil, err
		}
	}
	arity, err := p.small(255, "the arity of a fun is")
	x.Arity = uint8(arity)
	return x, err
}

// name reads an atom where nothing else may be.
func (p *parser) name() (Atom, error) {
	if p.peek() == '\'' {
		return p.quotedAtom()
	}
	start := p.pos
	a, err := p.word()
	if err == nil && a == "fun" {
		err = p.fail(start, "fun is a reserved word; an atom of that name needs quotes")
	}
	return a, err
}

// small reads an integer 0 to limit where nothing else may be.
func (p *parser) small(limit int64, what string) (int64, error) {
	p.space()
	start := p.pos
	v, err := strconv.ParseInt(p.digits(10), 10, 64)
	if err != nil || v > limit {
		return 0, p.fail(start, "%s 0 to %d", what, limit)
	}
	return v, nil
}

func (p *parser) quotedAtom() (Atom, error) {
	start := p.pos
	s, err := p.quoted('\'', "an atom")
	if err != nil {
		return "", err
	}
	if utf8.RuneCountInString(s) > maxAtomChars {
		return "", p.fail(start, "an atom is at most %d valid characters", maxAtomChars)
	}
	return Atom(s), nil
}

// terms reads terms up to the closing token.
func (p *parser) terms(closing, context string, depth int) ([]any, error) {
	l := []any{}
	if p.accept(closing) {
		return l, nil
	}
	for {
		t, err := p.term(depth + 1)
		if err != nil {
			return nil, err
		}
		l = append(l, t)
		if p.accept(",") {
			continue
		}
		if !p.accept(closing) {
			return nil, p.fail(p.pos, "expected \",\" or %q in %s, found %s", closing, context, p.what())
		}
		return l, nil
	}
}

func (p *parser) list(depth int) (any, error) {
	l := List{}
	if p.accept("]") {
		return l, nil
	}
	for {
		t, err := p.term(depth + 1)
		if err != nil {
			return nil, err
		}
		l = append(l, t)
		switch {
		case p.accept(","):
		case p.accept("]"):
			return l, nil
		case p.accept("|"):
			tail, err := p.term(depth + 1)
			if err != nil {
				return nil, err
			}
			if err := p.expect("]", "a list"); err != nil {
				return nil, err
			}
			return joinTail(l, tail), nil
		default:
			return nil, p.fail(p.pos, `expected ",", "|" or "]" in a list, found %s`, p.what())
		}
	}
}

// joinTail returns the list of items in front of tail.
func joinTail(items List, tail any) any {
	switch t := tail.(type) {
	case ImproperList:
		return ImproperList{Items: append(items, t.Items...), Tail: t.Tail}
	case List, []any, Charlist:
		l, _ := AsList(t)
		return append(items, l...)
	}
	return ImproperList{Items: items, Tail: tail}
}

func (p *parser) hash(depth int) (any, error) {
	start := p.pos
	if !strings.HasPrefix(p.in[p.pos:], "#{") {
		return nil, p.fail(start, "expected a term, found '#': records, references, ports and funs cannot be written as text")
	}
	p.pos += 2
	m := Map{}
	if p.accept("}") {
		return m, nil
	}
	for {
		k, err := p.term(depth + 1)
		if err != nil {
			return nil, err
		}
		if err := p.expect("=>", "a map"); err != nil {
			return nil, err
		}
		v, err := p.term(depth + 1)
		if err != nil {
			return nil, err
		}
		m = append(m, Pair{k, v})
		if p.accept(",") {
			continue
		}
		if err := p.expect("}", "a map"); err != nil {
			return nil, err
		}
		work := len(p.in) * 16
		if err := checkKeys(m, &work); err != nil {
			return nil, p.fail(start, "%v", err)
		}
		return m, nil
	}
}

// maxDigits bounds integers in text: base conversion costs more than linear
// time.
const maxDigits = 1 << 18

func startsNumber(c byte) bool {
	return '0' <= c && c <= '9' || c == '$' || c == '-' || c == '+'
}

// number reads an integer, character or float, with or without a sign.
func (p *parser) number() (any, error) {
	negative := p.in[p.pos] == '-'
	if negative || p.in[p.pos] == '+' {
		p.pos++
		if c := p.peek(); !startsNumber(c) || c == '-' || c == '+' {
			return nil, p.fail(p.pos, "expected a number behind the sign, found %s", p.what())
		}
	}
	start := p.pos
	if p.in[p.pos] == '$' {
		p.pos++
		r, err := p.char('$')
		if err != nil {
			return nil, err
		}
		if negative {
			r = -r
		}
		return int64(r), nil
	}
	digits := p.digits(10)
	if p.pos < len(p.in) && p.in[p.pos] == '#' {
		base, err := strconv.Atoi(digits)
		if err != nil || base < 2 || base > 36 {
			return nil, p.fail(start, "the base of an integer is 2 to 36")
		}
		p.pos++
		if digits = p.digits(base); digits == "" {
			return nil, p.fail(p.pos, "expected digits of base %d, found %s", base, p.what())
		}
		return p.integer(start, digits, base, negative)
	}
	if rest := p.in[p.pos:]; len(rest) > 1 && rest[0] == '.' && '0' <= rest[1] && rest[1] <= '9' {
		return p.float(start, digits, negative)
	}
	return p.integer(start, digits, 10, negative)
}

// digits reads digits of a base, single underscores between them left out.
func (p *parser) digits(base int) string {
	start := p.pos
	plain := true
	for p.pos < len(p.in) {
		if p.in[p.pos] == '_' && p.pos > start && p.pos+1 < len(p.in) && digit(p.in[p.pos-1]) < base && digit(p.in[p.pos+1]) < base {
			plain = false
		} else if digit(p.in[p.pos]) >= base {
			break
		}
		p.pos++
	}
	s := p.in[start:p.pos]
	if !plain {
		s = strings.ReplaceAll(s, "_", "")
	}
	return s
}

// digit returns the value of a digit of base 36, and 36 for anything else.
func digit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'z':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'Z':
		return int(c-'A') + 10
	}
	return 36
}

func (p *parser) integer(start int, digits string, base int, negative bool) (any, error) {
	if len(digits) > maxDigits {
		return nil, p.fail(start, "an integer of more than %d digits", maxDigits)
	}
	if negative {
		digits = "-" + digits
	}
	if v, err := strconv.ParseInt(digits, base, 64); err == nil {
		return v, nil
	}
	v, ok := new(big.Int).SetString(digits, base)
	if !ok {
		return nil, p.fail(start, "malformed integer")
	}
	if v.IsInt64() {
		return v.Int64(), nil
	}
	return v, nil
}

func (p *parser) float(start int, whole string, negative bool) (any, error) {
	p.pos++ // the dot, in front of a digit
	text := whole + "." + p.digits(10)
	if p.pos < len(p.in) && (p.in[p.pos] == 'e' || p.in[p.pos] == 'E') {
		p.pos++
		text += "e"
		if p.pos < len(p.in) && (p.in[p.pos] == '-' || p.in[p.pos] == '+') {
			text += p.in[p.pos : p.pos+1]
			p.pos++
		}
		exponent := p.digits(10)
		if exponent == "" {
			return nil, p.fail(p.pos, "expected the digits of an exponent, found %s", p.what())
		}
		text += exponent
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return nil, p.fail(start, "the float %.40s is out of range", text)
	}
	if negative {
		f = math.Copysign(f, -1)
	}
	return f, nil
}

// strings reads adjacent strings as one.
func (p *parser) strings() (string, error) {
	var b strings.Builder
	for p.peek() == '"' {
		s, err := p.quoted('"', "a string")
		if err != nil {
			return "", err
		}
		b.WriteString(s)
	}
	return b.String(), nil
}

// quoted reads text between quotes.
func (p *parser) quoted(quote byte, context string) (string, error) {
	start := p.pos
	p.pos++
	var b strings.Builder
	for {
		if p.pos >= len(p.in) {
			return "", p.fail(start, "%s without its closing %q", context, quote)
		}
		if p.in[p.pos] == quote {
			p.pos++
			return b.String(), nil
		}
		r, err := p.char(quote)
		if err != nil {
			return "", err
		}
		b.WriteRune(r)
	}
}

// char reads one character, which may be an escape sequence.
func (p *parser) char(quote byte) (rune, error) {
	start := p.pos
	r, n := utf8.DecodeRuneInString(p.in[p.pos:])
	if r == utf8.RuneError && n <= 1 {
		if n == 0 {
			return 0, p.fail(start, "expected a character, found the end")
		}
		return 0, p.fail(start, "text is not valid UTF-8")
	}
	p.pos += n
	if r != '\\' {
		return r, nil
	}
	r, n = utf8.DecodeRuneInString(p.in[p.pos:])
	p.pos += n
	switch r {
	case 'b':
		return '\b', nil
	case 'd':
		return 0x7F, nil
	case 'e':
		return 0x1B, nil
	case 'f':
		return '\f', nil
	case 'n':
		return '\n', nil
	case 'r':
		return '\r', nil
	case 's':
		return ' ', nil
	case 't':
		return '\t', nil
	case 'v':
		return '\v', nil
	case '0', '1', '2', '3', '4', '5', '6', '7':
		v := r - '0'
		for i := 0; i < 2 && p.pos < len(p.in) && '0' <= p.in[p.pos] && p.in[p.pos] <= '7'; i++ {
			v = v*8 + rune(p.in[p.pos]-'0')
			p.pos++
		}
		return v, nil
	case 'x':
		return p.hexChar(start)
	case '^':
		if p.pos < len(p.in) && '@' <= p.in[p.pos] && p.in[p.pos] <= '_' {
			p.pos++
			return rune(p.in[p.pos-1] - '@'), nil
		}
		return 0, p.fail(start, `expected "@" to "_" behind \^, found %s`, p.what())
	case utf8.RuneError:
		if n <= 1 {
			return 0, p.fail(start, "unfinished escape sequence")
		}
	}
	return r, nil
}

// hexChar reads what follows \x: two digits, or any number in braces.
func (p *parser) hexChar(start int) (rune, error) {
	rest := p.in[p.pos:]
	text, size := "", 0
	if strings.HasPrefix(rest, "{") {
		if i := strings.IndexByte(rest, '}'); i > 0 {
			text, size = rest[1:i], i+1
		}
	} else if len(rest) >= 2 {
		text, size = rest[:2], 2
	}
	v, err := strconv.ParseUint(text, 16, 32)
	if err != nil || text[0] == '+' || !utf8.ValidRune(rune(v)) || v > utf8.MaxRune {
		return 0, p.fail(start, `malformed character: write \xHH or \x{H...} for a Unicode scalar value`)
	}
	p.pos += size
	return rune(v), nil
}
