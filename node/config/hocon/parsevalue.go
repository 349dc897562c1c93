package hocon

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// value reads a value, which may be a concatenation, up to the end of its line,
// a comma or a closing bracket. Nil tells of a mistake, already reported.
func (p *parser) value(depth int) *Value {
	if depth >= p.opt.MaxDepth {
		p.fail(p.i, "nested deeper than %d", p.opt.MaxDepth)
		return nil
	}
	start := p.i
	var parts []part
	for {
		before := p.i
		p.skipBlanks()
		space := p.src[before:p.i]
		c := p.peek()
		if p.eof() || c == '\n' || c == ',' || c == '}' || c == ']' || p.isComment(p.i) {
			break
		}
		pt, ok := p.part(depth)
		if !ok {
			return nil
		}
		pt.space = space
		parts = append(parts, pt)
	}
	if len(parts) == 0 {
		p.fail(start, "a value is missing before %s", p.here())
		return nil
	}
	parts[0].space = ""
	if len(parts) == 1 && parts[0].value != nil {
		return parts[0].value
	}
	v := &Value{Kind: pending, Pos: p.pos(start), parts: parts}
	for _, pt := range parts {
		if pt.ref != nil {
			return v
		}
	}
	joined, err := concat(v.Pos, parts)
	if err != nil {
		p.errs.add(err.Pos, "%s", err.Msg)
		return nil
	}
	return joined
}

// part reads one piece of a value.
func (p *parser) part(depth int) (part, bool) {
	at := p.i
	pos := p.pos(at)
	switch p.peek() {
	case '{':
		p.i++
		o := NewObject(pos)
		p.fields(o, depth+1, true)
		return part{value: o, pos: pos}, true
	case '[':
		p.i++
		a, ok := p.array(pos, depth+1)
		return part{value: a, pos: pos}, ok
	case '"':
		text, ok := p.quoted()
		return part{value: &Value{Kind: String, Pos: pos, Text: text, Quoted: true}, pos: pos}, ok
	case '$':
		return p.reference(pos)
	}
	if !p.unquoted() {
		return part{}, false
	}
	return part{value: scalar(p.src[at:p.i], pos), pos: pos}, true
}

// array reads the elements after the opening bracket.
func (p *parser) array(pos Pos, depth int) (*Value, bool) {
	open := p.i - 1
	a := &Value{Kind: Array, Pos: pos}
	outer := p.path
	p.path = nil // a reference to an element's own key has no path
	p.lists++
	defer func() { p.path = outer; p.lists-- }()
	for {
		p.skipSpace()
		switch {
		case p.eof():
			if !p.unclosed {
				p.unclosed = true
				p.fail(open, "this [ is never closed")
			}
			return nil, false
		case p.peek() == ']':
			p.i++
			return a, true
		case p.peek() == ',':
			p.i++
			continue
		case p.peek() == '}':
			p.fail(p.i, "unexpected } in the list that begins at line %d", pos.Line)
			return nil, false
		case p.errs.full():
			return nil, false
		}
		if v := p.value(depth); v != nil {
			a.Items = append(a.Items, v)
		} else {
			p.recover()
		}
	}
}

// unquoted moves over unquoted text. Blanks end it: value joins the words. A
// colon may stand within a word or before one, and // behind a colon is no
// comment, so that addresses and URLs need no quotes.
func (p *parser) unquoted() bool {
	at := p.i
	for !p.eof() {
		c := p.peek()
		switch {
		case c == '/' && p.at(p.i+1) == '/':
			if p.i == at || p.src[p.i-1] != ':' {
				return true
			}
			p.i += 2
		case isPlain(c):
			p.i++
		case c == ':' && isPlain(p.at(p.i+1)):
			p.i++
		case c == '+' && p.i > at && (p.src[p.i-1] == 'e' || p.src[p.i-1] == 'E'):
			p.i++
		case isBlank(c) || strings.IndexByte("\n,}]#{[\"$", c) >= 0:
			return true
		default:
			p.fail(p.i, "the character %s must be quoted: write the value as \"...\"", p.here())
			return false
		}
	}
	return true
}

// reference reads ${path} or ${?path}.
func (p *parser) reference(pos Pos) (part, bool) {
	at := p.i
	if !strings.HasPrefix(p.src[p.i:], "${") {
		p.fail(at, "the character '$' must be quoted: write the value as \"...\"")
		return part{}, false
	}
	p.i += 2
	pt := part{pos: pos}
	if p.peek() == '?' {
		p.i++
		pt.optional = true
	}
	path, ok := p.keyPath()
	if !ok {
		return part{}, false
	}
	if p.peek() != '}' {
		p.fail(at, "this ${ is never closed")
		return part{}, false
	}
	p.i++
	pt.ref = path
	return pt, true
}

// quoted reads a string in one or three pairs of quotes.
func (p *parser) quoted() (string, bool) {
	if strings.HasPrefix(p.src[p.i:], `"""`) {
		return p.tripleQuoted()
	}
	open := p.i
	p.i++
	var b strings.Builder
	for !p.eof() {
		switch c := p.peek(); c {
		case '"':
			p.i++
			return b.String(), true
		case '\n':
			p.fail(open, "this string is not closed on its line (a text of several lines stands in \"\"\"...\"\"\")")
			return "", false
		case '\\':
			if !p.escape(&b) {
				return "", false
			}
		default:
			b.WriteByte(c)
			p.i++
		}
	}
	p.fail(open, "this string is never closed")
	return "", false
}

// escape reads a JSON escape.
func (p *parser) escape(b *strings.Builder) bool {
	at := p.i
	c := p.at(p.i + 1)
	p.i = min(p.i+2, len(p.src))
	switch c {
	case '"', '\\', '/':
		b.WriteByte(c)
	case 'b':
		b.WriteByte('\b')
	case 'f':
		b.WriteByte('\f')
	case 'n':
		b.WriteByte('\n')
	case 'r':
		b.WriteByte('\r')
	case 't':
		b.WriteByte('\t')
	case 'u':
		r, ok := p.hex4()
		if ok && utf16.IsSurrogate(r) && strings.HasPrefix(p.src[p.i:], `\u`) {
			p.i += 2
			var low rune
			low, ok = p.hex4()
			r = utf16.DecodeRune(r, low)
		}
		if !ok {
			p.fail(at, `\u needs four hexadecimal digits`)
			return false
		}
		b.WriteRune(r)
	default:
		p.fail(at, `unknown escape \%s (a backslash itself is \\)`, string(c))
		return false
	}
	return true
}

func (p *parser) hex4() (rune, bool) {
	if p.i+4 > len(p.src) {
		return utf8.RuneError, false
	}
	n, err := strconv.ParseUint(p.src[p.i:p.i+4], 16, 16)
	p.i += 4
	return rune(n), err == nil
}

// tripleQuoted reads """...""", in which nothing is an escape.
func (p *parser) tripleQuoted() (string, bool) {
	open := p.i
	p.i += 3
	body, _, found := strings.Cut(p.src[p.i:], `"""`)
	if !found {
		p.fail(open, `this """ is never closed`)
		return "", false
	}
	p.i += len(body) + 3
	first, rest, several := strings.Cut(body, "\n")
	if !several || strings.TrimSuffix(first, "\r") != "~" {
		for p.peek() == '"' { // quotes at the end belong to the text
			body += `"`
			p.i++
		}
		return body, true
	}
	return unindent(strings.TrimSuffix(rest, "~")), true
}

// unindent removes the blanks that all lines have in common; lines without
// text do not count, and one at the end, before the closing quotes, goes away.
func unindent(text string) string {
	lines := strings.Split(text, "\n")
	least := math.MaxInt
	for _, line := range lines {
		if body := strings.TrimLeft(line, " "); strings.TrimSuffix(body, "\r") != "" {
			least = min(least, len(line)-len(body))
		}
	}
	for i, line := range lines {
		if strings.Trim(line, " \r") == "" {
			lines[i] = ""
			continue
		}
		lines[i] = line[least:]
	}
	return strings.Join(lines, "\n")
}

var number = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)

// scalar gives unquoted text its kind.
func scalar(text string, pos Pos) *Value {
	v := &Value{Kind: String, Pos: pos, Text: text}
	switch {
	case text == "null":
		v.Kind = Null
	case text == "true" || text == "false":
		v.Kind = Bool
	case number.MatchString(text):
		v.Kind = Number
	}
	return v
}
