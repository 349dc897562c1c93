package hocon

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"
)

// The limits that hold where [Options] sets none.
const (
	DefaultMaxSize  = 4 << 20
	DefaultMaxDepth = 64
)

// Options change how a document is read. The zero value is ready for use.
type Options struct {
	// ReadFile reads the file and its includes; nil stands for os.ReadFile.
	ReadFile func(name string) ([]byte, error)
	// Lookup gives the variable that a ${name} refers to which is no path in
	// the document; nil knows none.
	Lookup func(name string) (string, bool)
	// MaxSize limits the bytes of a document with its includes, and what
	// substitutions may add to it; 0 stands for DefaultMaxSize.
	MaxSize int
	// MaxDepth limits how deep objects, lists and dotted paths nest and how
	// deep includes do; 0 stands for DefaultMaxDepth.
	MaxDepth int
}

// Document is a file with everything it includes.
type Document struct {
	// Root is an object.
	Root *Value
	// Files are the file and its includes, in the order of reading.
	Files []string
	// Dialect is that of the first file.
	Dialect Dialect
}

// ParseFile reads a file and its includes. The error is an [ErrorList]; the
// document is there with it, holding what could be read, so that a caller can
// go on to look for other kinds of mistakes.
func ParseFile(name string, opt Options) (*Document, error) {
	l := newLoader(opt)
	src, err := l.opt.ReadFile(name)
	if err != nil {
		l.errs.add(Pos{File: name}, "%s", plain(err))
		return &Document{Root: NewObject(Pos{File: name}), Files: []string{name}}, l.errs
	}
	return l.document(name, src)
}

// Parse is ParseFile for text at hand; name stands in positions, and includes
// are relative to its directory.
func Parse(name string, src []byte, opt Options) (*Document, error) {
	return newLoader(opt).document(name, src)
}

// ParseValue reads one value, as an environment variable holds it. Text that
// begins with a brace, a bracket or a quote is HOCON and, if that fails, a plain
// string. All other text is a scalar as it stands: no comment, reference or
// list is looked for in it.
func ParseValue(name, text string) *Value {
	pos := Pos{File: name}
	trimmed := strings.TrimSpace(text)
	if trimmed != "" && strings.ContainsRune(`{["`, rune(trimmed[0])) {
		l := newLoader(Options{ReadFile: func(string) ([]byte, error) {
			return nil, errors.New("no include in a variable")
		}})
		p := &parser{loader: l, file: name, src: trimmed, bare: true}
		v := p.value(0)
		p.skipSpace()
		if len(l.errs) == 0 && p.eof() && v != nil {
			root := Wrap(v, "v")
			if l.resolve(root); len(l.errs) == 0 {
				return root.Get("v")
			}
		}
		return &Value{Kind: String, Pos: pos, Text: text}
	}
	v := scalar(trimmed, pos)
	if v.Kind == String {
		v.Text = text
	}
	return v
}

// loader is what the files of one document share.
type loader struct {
	opt   Options
	errs  ErrorList
	files []string
	stack []string // files being read now, to notice a circle
	size  int      // bytes read and added by substitution
}

func newLoader(opt Options) *loader {
	if opt.ReadFile == nil {
		opt.ReadFile = os.ReadFile
	}
	if opt.Lookup == nil {
		opt.Lookup = func(string) (string, bool) { return "", false }
	}
	if opt.MaxSize <= 0 {
		opt.MaxSize = DefaultMaxSize
	}
	if opt.MaxDepth <= 0 {
		opt.MaxDepth = DefaultMaxDepth
	}
	return &loader{opt: opt}
}

func (l *loader) document(name string, src []byte) (*Document, error) {
	root := NewObject(Pos{File: name, Line: 1, Col: 1})
	dialect := l.read(name, src, root, nil)
	l.resolve(root)
	return &Document{Root: root, Files: l.files, Dialect: dialect}, l.errs.err()
}

// read parses one file into an object, which path leads to.
func (l *loader) read(name string, src []byte, into *Value, path []string) Dialect {
	l.files = append(l.files, name)
	start := Pos{File: name, Line: 1, Col: 1}
	if l.size += len(src); l.size > l.opt.MaxSize {
		l.errs.add(start, "more than %d bytes, with the files it includes", l.opt.MaxSize)
		return HOCON
	}
	text := strings.TrimPrefix(string(src), "\ufeff")
	l.stack = append(l.stack, name)
	defer func() { l.stack = l.stack[:len(l.stack)-1] }()

	p := &parser{loader: l, file: name, src: text, path: path}
	for i := range len(text) {
		if text[i] == '\n' {
			p.lines = append(p.lines, i+1)
		}
	}
	if i := invalidUTF8(text); i >= 0 {
		l.errs.add(p.pos(i), "byte 0x%02x is not UTF-8 text", text[i])
		return HOCON
	}
	if Detect(text) == Lines {
		p.lineFile(into)
		return Lines
	}
	p.root(into)
	return HOCON
}

func invalidUTF8(s string) int {
	for i, r := range s {
		if r == utf8.RuneError {
			if _, n := utf8.DecodeRuneInString(s[i:]); n == 1 {
				return i
			}
		}
	}
	return -1
}

// include reads a file named in another one.
func (l *loader) include(pos Pos, name string, into *Value, path []string) {
	if !filepath.IsAbs(name) {
		name = filepath.Join(filepath.Dir(pos.File), name)
	}
	switch {
	case slices.Contains(l.stack, name):
		l.errs.add(pos, "include goes in a circle: %s", strings.Join(append(slices.Clone(l.stack), name), " -> "))
		return
	case len(l.stack) >= l.opt.MaxDepth || len(l.files) >= 16*l.opt.MaxDepth:
		l.errs.add(pos, "too many includes")
		return
	}
	src, err := l.opt.ReadFile(name)
	if err != nil {
		l.errs.add(pos, "include %s: %s", name, plain(err))
		return
	}
	l.read(name, src, into, path)
}

// plain leaves out the operation and path of a file error.
func plain(err error) string {
	if pe, ok := errors.AsType[*os.PathError](err); ok {
		return pe.Err.Error()
	}
	return err.Error()
}

// parser reads one file by recursive descent.
type parser struct {
	*loader
	file  string
	src   string
	i     int
	lines []int    // offsets at which lines 2, 3, ... begin
	path  []string // of the object that is being read
	lists int      // lists that are open
	// unclosed: a bracket was reported that the end of the file leaves open
	unclosed bool
	bare     bool // no lines and columns: positions name the source only
}

func (p *parser) pos(off int) Pos {
	if p.bare {
		return Pos{File: p.file}
	}
	n, found := slices.BinarySearch(p.lines, off)
	if found {
		n++
	}
	begin := 0
	if n > 0 {
		begin = p.lines[n-1]
	}
	return Pos{File: p.file, Line: n + 1, Col: off - begin + 1}
}

func (p *parser) fail(off int, format string, args ...any) {
	p.errs.add(p.pos(off), format, args...)
}

func (p *parser) eof() bool { return p.i >= len(p.src) }

// peek gives the byte at the current place, 0 at the end.
func (p *parser) peek() byte { return p.at(p.i) }

func (p *parser) at(i int) byte {
	if i < len(p.src) {
		return p.src[i]
	}
	return 0
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v' }

// skipBlanks skips blanks within a line, skipSpace newlines and comments too.
func (p *parser) skipBlanks() {
	for !p.eof() && isBlank(p.peek()) {
		p.i++
	}
}

func (p *parser) skipSpace() {
	for !p.eof() {
		switch c := p.peek(); {
		case isBlank(c) || c == '\n':
			p.i++
		case p.isComment(p.i):
			p.skipLine()
		default:
			return
		}
	}
}

func (p *parser) isComment(i int) bool {
	return p.at(i) == '#' || p.at(i) == '/' && p.at(i+1) == '/'
}

// skipLine stops before the newline.
func (p *parser) skipLine() {
	for !p.eof() && p.peek() != '\n' {
		p.i++
	}
}

// recover moves on after a mistake: to the end of the line, a comma or a
// closing bracket, over what brackets enclose, so that one mistake is not
// followed by others that are none.
func (p *parser) recover() {
	from := p.i
	for depth := 0; !p.eof(); p.i++ {
		switch p.peek() {
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				if p.peek() == ']' && p.lists == 0 {
					p.i++
				}
				return
			}
			depth--
		case '\n', ',':
			if depth == 0 {
				return
			}
		}
	}
	if nl := strings.IndexByte(p.src[from:], '\n'); nl >= 0 {
		p.i = from + nl
	}
}

// root reads a whole file into an object.
func (p *parser) root(into *Value) {
	p.skipSpace()
	switch p.peek() {
	case '{':
		p.i++
		p.fields(into, 1, true)
		p.skipSpace()
		if !p.eof() {
			p.fail(p.i, "unexpected %s after the closing } of the file", p.here())
		}
	case '[':
		p.fail(p.i, "the file must hold an object, not a list")
	default:
		p.fields(into, 0, false)
	}
}

// fields reads fields into an object until its brace closes, or, for a root
// without braces, until the end. After a mistake it goes on at the next line.
func (p *parser) fields(into *Value, depth int, braces bool) {
	open := p.i - 1
	for !p.errs.full() {
		p.skipSpace()
		switch c := p.peek(); {
		case p.eof():
			if braces && !p.unclosed {
				p.unclosed = true // those around it are not either
				p.fail(open, "this { is never closed")
			}
			return
		case c == ',':
			p.i++
		case c == '}':
			if braces {
				p.i++
				return
			}
			p.fail(p.i, "unexpected }")
			p.i++
		default:
			if !p.field(into, depth) {
				p.recover()
			}
		}
	}
}

// field reads `key = value` or an include, and false tells of a mistake.
func (p *parser) field(into *Value, depth int) bool {
	if done, ok := p.includeField(into); done {
		return ok
	}
	at := p.i
	path, ok := p.keyPath()
	if !ok {
		return false
	}
	if depth+len(path) > p.opt.MaxDepth {
		p.fail(at, "nested deeper than %d", p.opt.MaxDepth)
		return false
	}
	p.skipSpace()
	add := false
	switch {
	case p.peek() == '{':
	case p.peek() == '=' || p.peek() == ':':
		p.i++
	case p.peek() == '+' && p.at(p.i+1) == '=':
		p.i += 2
		add = true
	default:
		p.fail(p.i, "expected = or { after %s, found %s", joinPath(path), p.here())
		return false
	}
	p.skipSpace()

	outer := p.path
	p.path = append(slices.Clip(p.path), path...)
	val := p.value(depth + len(path))
	full := p.path
	p.path = outer
	if val == nil {
		return false
	}
	if add {
		val = addTo(into, path, full, val)
	}
	if val != nil {
		p.assign(into, path, p.pos(at), val)
	}

	p.skipBlanks()
	switch c := p.peek(); {
	case p.eof() || c == '\n' || c == ',' || c == '}' || p.isComment(p.i):
		return true
	}
	p.fail(p.i, "unexpected %s after the value of %s", p.here(), joinPath(path))
	return false
}

// addTo is `path += val`: it appends to a list that is at hand and gives nil,
// or gives the value of `path = ${?path} [val]`. full is the path from the root.
func addTo(into *Value, path, full []string, val *Value) *Value {
	old := into
	for _, name := range path {
		if old = old.Get(name); old == nil {
			break
		}
	}
	switch {
	case old == nil:
	case old.Kind == Array:
		old.Items = append(old.Items, val)
		return nil
	case old.Kind == pending && old.parts[len(old.parts)-1].value != nil:
		if last := old.parts[len(old.parts)-1].value; last.Kind == Array {
			last.Items = append(last.Items, val)
			return nil
		}
	}
	return &Value{Kind: pending, Pos: val.Pos, parts: []part{
		{ref: full, optional: true, pos: val.Pos},
		{value: &Value{Kind: Array, Pos: val.Pos, Items: []*Value{val}}, pos: val.Pos},
	}}
}

// assign merges a value into an object at a path. pos is that of the key.
func (p *parser) assign(into *Value, path []string, pos Pos, v *Value) {
	dialect := v.Dialect
	for _, name := range slices.Backward(path) {
		o := NewObject(pos)
		o.Dialect = dialect
		o.Set(name, pos, v)
		v = o
	}
	if _, err := Merge(into, v); err != nil {
		e := asError(pos, err)
		p.errs.add(e.Pos, "%s", e.Msg)
	}
}

// includeField reads an include, if the field is one.
func (p *parser) includeField(into *Value) (done, ok bool) {
	at := p.i
	rest, found := strings.CutPrefix(p.src[p.i:], "include")
	if !found {
		return false, false
	}
	rest = strings.TrimLeft(rest, " \t")
	for _, form := range []string{"required(file(", "required(", "file("} {
		if after, is := strings.CutPrefix(rest, form); is {
			rest = strings.TrimLeft(after, " \t")
			break
		}
	}
	if !strings.HasPrefix(rest, `"`) {
		return false, false
	}
	p.i = len(p.src) - len(rest)
	name, ok := p.quoted()
	if !ok {
		return true, false
	}
	p.skipBlanks()
	for p.peek() == ')' {
		p.i++
		p.skipBlanks()
	}
	p.include(p.pos(at), name, into, p.path)
	return true, true
}

// keyPath reads the names of a dotted key.
func (p *parser) keyPath() ([]string, bool) {
	var path []string
	for {
		at := p.i
		var name string
		if p.peek() == '"' {
			var ok bool
			if name, ok = p.quoted(); !ok {
				return nil, false
			}
		} else {
			for !p.eof() && p.peek() != '.' && isPlain(p.peek()) && !p.isComment(p.i) {
				p.i++
			}
			if name = p.src[at:p.i]; name == "" {
				p.fail(at, "expected a key, found %s", p.here())
				return nil, false
			}
		}
		path = append(path, name)
		if len(path) > p.opt.MaxDepth {
			p.fail(at, "nested deeper than %d", p.opt.MaxDepth)
			return nil, false
		}
		if p.peek() != '.' {
			return path, true
		}
		p.i++
	}
}

// isPlain tells a byte that an unquoted string may hold.
func isPlain(c byte) bool {
	return c > ' ' && c != 0x7f && !strings.ContainsRune("$\"{}[]:=,+#`^?!*&\\", rune(c))
}

// here names what stands at the current place, for messages.
func (p *parser) here() string {
	switch {
	case p.eof():
		return "the end of the file"
	case p.peek() == '\n':
		return "the end of the line"
	}
	r, _ := utf8.DecodeRuneInString(p.src[p.i:])
	return fmt.Sprintf("%q", r)
}
