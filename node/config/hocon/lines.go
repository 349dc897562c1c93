package hocon

import (
	"regexp"
	"slices"
	"strings"
)

var (
	lineKey = regexp.MustCompile(`^(?:[A-Za-z0-9_\-@/:.]|\\.)+$`)
	// What only HOCON has; see the package comment for the rule in words.
	hoconKeyBrace  = regexp.MustCompile(`^[^=\s]+\s*\{`)
	hoconColon     = regexp.MustCompile(`^[^=\s]+\s*:(\s|$)|^[^=]*:[^=]*$|^[^=]*\+=`)
	hoconInclude   = regexp.MustCompile(`^include\s*(required\(|file\(|")`)
	hoconComment   = regexp.MustCompile(`\s(#|//)`)
	hoconValue     = regexp.MustCompile(`^(".*",?$|"""|\[|\$\{|\{([^{]|$))`)
	linesInclude   = regexp.MustCompile(`^include\s+([^=\s].*)$`)
	linesPlacement = regexp.MustCompile(`^\{\{.*\}\}$`)
)

// Detect tells the dialect of a file's text; the package comment has the rule.
func Detect(text string) Dialect {
	keys := false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || line[0] == '#' || linesPlacement.MatchString(line):
			continue
		case strings.IndexByte(`{}[]"`, line[0]) >= 0, strings.HasPrefix(line, "//"),
			strings.IndexByte("{[,", line[len(line)-1]) >= 0,
			hoconInclude.MatchString(line), hoconKeyBrace.MatchString(line):
			return HOCON
		}
		keys = true
		if linesInclude.MatchString(line) {
			continue
		}
		if hoconColon.MatchString(line) || hoconComment.MatchString(line) {
			return HOCON
		}
		if _, val, ok := strings.Cut(line, "="); ok && hoconValue.MatchString(strings.TrimSpace(val)) {
			return HOCON
		}
	}
	if !keys {
		return HOCON
	}
	return Lines
}

// lineFile reads a file of EMQX 4 into an object. Its own lines win over the
// files that it includes, wherever the include stands; of equal keys the last
// one wins.
func (p *parser) lineFile(into *Value) {
	own := NewObject(into.Pos)
	for p.i < len(p.src) && !p.errs.full() {
		at := p.i
		p.skipLine()
		line := p.src[at:p.i]
		p.i++
		blanks := len(line) - len(strings.TrimLeft(line, " \t\r"))
		at += blanks
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || linesPlacement.MatchString(line) {
			continue
		}
		if m := linesInclude.FindStringSubmatch(line); m != nil {
			p.include(p.pos(at), m[1], into, p.path)
			continue
		}
		key, val, ok := strings.Cut(line, "=")
		key = strings.TrimSpace(key)
		if !ok || !lineKey.MatchString(key) {
			p.fail(at, "expected `key = value`, found %q", line)
			continue
		}
		path := splitLineKey(key)
		if len(path) > p.opt.MaxDepth {
			p.fail(at, "nested deeper than %d", p.opt.MaxDepth)
			continue
		}
		if slices.Contains(path, "") {
			p.fail(at, "the key %q has an empty part", key)
			continue
		}
		valueAt := at + strings.IndexByte(line, '=') + 1
		valueAt += len(val) - len(strings.TrimLeft(val, " \t"))
		v := &Value{Kind: String, Pos: p.pos(valueAt), Dialect: Lines, Text: strings.TrimSpace(val)}
		p.assign(own, path, p.pos(at), v)
	}
	own.Dialect = Lines
	if _, err := Merge(into, own); err != nil {
		e := asError(own.Pos, err)
		p.errs.add(e.Pos, "%s", e.Msg)
	}
}

// splitLineKey splits at dots; \. stands for a dot in a name.
func splitLineKey(key string) []string {
	var path []string
	var b strings.Builder
	for i := 0; i < len(key); i++ {
		switch {
		case key[i] == '\\' && i+1 < len(key):
			i++
			b.WriteByte(key[i])
		case key[i] == '.':
			path = append(path, b.String())
			b.Reset()
		default:
			b.WriteByte(key[i])
		}
	}
	return append(path, b.String())
}
