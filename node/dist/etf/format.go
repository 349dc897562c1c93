package etf

import (
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"
	"unicode/utf8"
)

// Format returns term in Erlang's syntax on one line, as io:format("~0tp")
// prints it on a node started with +pc unicode: atoms quoted where they must
// be, lists of printable characters as strings, printable binaries as
// <<"text">> or, where they hold more than ASCII, <<"text"/utf8>>. Control
// characters never reach the output. Pids, ports and references are printed
// with the name of their node in place of Erlang's node number, as
// <node@host.85.0>. A Go value that is no term is printed as #Go<its type>.
func Format(term any) string {
	p := printer{max: math.MaxInt}
	p.term(term, 0)
	return string(p.out)
}

// FormatLimit is Format that stops after about limit bytes and ends in "..."
// when it did. Use it in logs.
func FormatLimit(term any, limit int) string {
	p := printer{max: limit}
	p.term(term, 0)
	if len(p.out) <= limit {
		return string(p.out)
	}
	for limit > 0 && !utf8.RuneStart(p.out[limit]) {
		limit--
	}
	return string(p.out[:limit]) + "..."
}

// AppendFormat appends what Format returns to dst.
func AppendFormat(dst []byte, term any) []byte {
	p := printer{out: dst, max: math.MaxInt}
	p.term(term, 0)
	return p.out
}

// bigDecimal is the number of bits up to which integers are printed in base
// 10, whose cost grows faster than their length; beyond it base 16 is used.
const bigDecimal = 1 << 15

type printer struct {
	out []byte
	max int // stop soon after this many bytes
}

func (p *printer) full() bool { return len(p.out) > p.max }

func (p *printer) str(s string) { p.out = append(p.out, s...) }

func (p *printer) term(term any, depth int) {
	if p.full() {
		return
	}
	if depth > depthCap {
		p.str("...")
		return
	}
	switch t := term.(type) {
	case Atom:
		p.atom(t)
	case bool:
		p.out = strconv.AppendBool(p.out, t)
	case []byte:
		p.binary(t)
	case string:
		p.binary([]byte(t))
	case float64:
		p.float(t)
	case float32:
		p.float(float64(t))
	case Tuple:
		p.str("{")
		for i, e := range t {
			if i > 0 {
				p.str(",")
			}
			if p.term(e, depth+1); p.full() {
				return
			}
		}
		p.str("}")
	case List, []any, Charlist, ImproperList:
		p.list(t, depth)
	case Map:
		p.dict(t, depth)
	case map[string]any:
		p.dict(sortedPairs(t), depth)
	case map[Atom]any:
		p.dict(sortedPairs(t), depth)
	case BitString:
		p.bitString(t)
	case Pid:
		p.str("<")
		p.node(t.Node)
		p.out = fmt.Appendf(p.out, ".%d.%d>", t.ID, t.Serial)
	case Port:
		p.str("#Port<")
		p.node(t.Node)
		p.out = fmt.Appendf(p.out, ".%d>", t.ID)
	case Ref:
		p.str("#Ref<")
		p.node(t.Node)
		words := t.Words()
		for _, word := range slices.Backward(words) {
			p.out = fmt.Appendf(p.out, ".%d", word)
		}
		p.str(">")
	case Export:
		p.str("fun ")
		p.atom(t.Module)
		p.str(":")
		p.atom(t.Function)
		p.out = fmt.Appendf(p.out, "/%d", t.Arity)
	case Fun:
		p.str("#Fun<")
		p.atom(t.Module)
		p.out = fmt.Appendf(p.out, ".%d.%d>", t.Index, t.Uniq)
	case *big.Int:
		switch {
		case t == nil:
			p.str("#Go<nil>")
		case t.BitLen() <= bigDecimal:
			p.out = t.Append(p.out, 10)
		default:
			if t.Sign() < 0 {
				p.str("-")
			}
			p.str("16#")
			p.out = new(big.Int).Abs(t).Append(p.out, 16)
		}
	default:
		if v, ok := AsInt(term); ok {
			p.out = strconv.AppendInt(p.out, v, 10)
		} else if v, ok := asBig(term); ok {
			p.out = v.Append(p.out, 10)
		} else {
			p.out = fmt.Appendf(p.out, "#Go<%T>", term)
		}
	}
}

// node prints the node of an identifier, which has no need of quotes as long
// as it looks like a node name.
func (p *printer) node(a Atom) {
	for _, r := range a {
		if r <= ' ' || r >= 127 || r == '<' || r == '>' || r == '\'' || r == '\\' {
			p.quoted(string(a), '\'')
			return
		}
	}
	p.str(string(a))
}

func (p *printer) atom(a Atom) {
	if needsQuotes(a) {
		p.quoted(string(a), '\'')
		return
	}
	p.str(string(a))
}

// reserved are the words that are no atoms without quotes, up to OTP 27.
var reserved = map[Atom]bool{
	"after": true, "and": true, "andalso": true, "band": true, "begin": true, "bnot": true,
	"bor": true, "bsl": true, "bsr": true, "bxor": true, "case": true, "catch": true,
	"cond": true, "div": true, "else": true, "end": true, "fun": true, "if": true, "let": true,
	"maybe": true, "not": true, "of": true, "or": true, "orelse": true, "receive": true,
	"rem": true, "try": true, "when": true, "xor": true,
}

func needsQuotes(a Atom) bool {
	if a == "" || reserved[a] {
		return true
	}
	for i, r := range a {
		if !isAtomRune(r) || i == 0 && !isLower(r) {
			return true
		}
	}
	return false
}

// isLower reports whether an atom without quotes may begin with r.
func isLower(r rune) bool {
	return 'a' <= r && r <= 'z' || 'ß' <= r && r <= 'ÿ' && r != '÷'
}

// isAtomRune reports whether r may follow in an atom without quotes.
func isAtomRune(r rune) bool {
	return isLower(r) || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '_' || r == '@' ||
		'À' <= r && r <= 'Þ' && r != '×'
}

// escapes are the characters with an escape sequence of their own.
var escapes = map[rune]byte{
	'\b': 'b', '\t': 't', '\n': 'n', '\v': 'v', '\f': 'f', '\r': 'r', 0x1B: 'e', 0x7F: 'd',
}

// quoted prints s between quotes.
func (p *printer) quoted(s string, quote byte) {
	p.out = append(p.out, quote)
	for _, r := range s {
		if p.full() {
			return
		}
		p.char(r, quote)
	}
	p.out = append(p.out, quote)
}

func (p *printer) char(r rune, quote byte) {
	switch {
	case r == rune(quote) || r == '\\':
		p.out = append(p.out, '\\', byte(r))
	case escapes[r] != 0:
		p.out = append(p.out, '\\', escapes[r])
	case r < ' ' || 0x80 <= r && r < 0xA0:
		p.out = fmt.Appendf(p.out, "\\%03o", r)
	default:
		p.out = utf8.AppendRune(p.out, r)
	}
}

// printable reports whether a list with character r may be a string.
func printable(r int64) bool {
	switch {
	case r < ' ':
		return 8 <= r && r <= 13 || r == 27
	case r < 0x7F:
		return true
	}
	return 0xA0 <= r && r < 0xD800 || 0xE000 <= r && r < 0xFFFE || 0x10000 <= r && r <= utf8.MaxRune
}

func isText(list any) bool {
	c := cursor{term: list}
	n := 0
	for e, ok := c.next(); ok; e, ok = c.next() {
		if r, isInt := AsInt(e); !isInt || !printable(r) {
			return false
		}
		n++
	}
	return n > 0 && c.tail() == nil
}

func (p *printer) list(list any, depth int) {
	c := cursor{term: list}
	if isText(list) {
		p.str(`"`)
		for e, ok := c.next(); ok && !p.full(); e, ok = c.next() {
			r, _ := AsInt(e)
			p.char(rune(r), '"')
		}
		p.str(`"`)
		return
	}
	p.str("[")
	sep := ""
	for e, ok := c.next(); ok; e, ok = c.next() {
		p.str(sep)
		sep = ","
		if p.term(e, depth+1); p.full() {
			return
		}
	}
	if c.tail() != nil {
		p.str("|")
		p.term(c.tail(), depth+1)
	}
	p.str("]")
}

func (p *printer) dict(m Map, depth int) {
	p.str("#{")
	for i := range m {
		if i > 0 {
			p.str(",")
		}
		p.term(m[i].Key, depth+1)
		p.str(" => ")
		if p.term(m[i].Value, depth+1); p.full() {
			return
		}
	}
	p.str("}")
}

func (p *printer) binary(b []byte) {
	if len(b) == 0 {
		p.str("<<>>")
		return
	}
	text, utf, ok := binaryText(b)
	if !ok {
		p.str("<<")
		p.bytes(b)
		p.str(">>")
		return
	}
	p.str("<<")
	p.quoted(text, '"')
	if utf {
		p.str("/utf8")
	}
	p.str(">>")
}

// binaryText returns the text of a printable binary: UTF-8 with more than
// ASCII in it, or Latin-1.
func binaryText(b []byte) (text string, utf, ok bool) {
	ascii, valid := true, true
	for i := 0; i < len(b) && valid; {
		r, n := utf8.DecodeRune(b[i:])
		valid = (r != utf8.RuneError || n > 1) && printable(int64(r))
		ascii = ascii && r < utf8.RuneSelf
		i += n
	}
	if valid {
		return string(b), !ascii, true
	}
	for _, c := range b {
		if !printable(int64(c)) {
			return "", false, false
		}
	}
	return Charlist(b).String(), false, true
}

func (p *printer) bytes(b []byte) {
	for i, c := range b {
		if p.full() {
			return
		}
		if i > 0 {
			p.out = append(p.out, ',')
		}
		p.out = strconv.AppendUint(p.out, uint64(c), 10)
	}
}

func (p *printer) bitString(s BitString) {
	if len(s.Bytes) == 0 || s.Bits < 1 || s.Bits > 7 {
		p.str("#Go<invalid BitString>")
		return
	}
	last := len(s.Bytes) - 1
	p.str("<<")
	p.bytes(s.Bytes[:last])
	if last > 0 {
		p.str(",")
	}
	p.out = fmt.Appendf(p.out, "%d:%d>>", s.Bytes[last]>>(8-s.Bits), s.Bits)
}

// float prints the shortest digits that read back as f, in the shorter of the
// two notations; always with an exponent from 2^53 on, as OTP 25 does.
func (p *printer) float(f float64) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		p.out = fmt.Appendf(p.out, "#Go<%v>", f)
		return
	}
	science := scientific(f)
	if math.Abs(f) < 1<<53 {
		plain := strconv.FormatFloat(f, 'f', -1, 64)
		if f == math.Trunc(f) {
			plain += ".0"
		}
		if len(plain) <= len(science) {
			p.str(plain)
			return
		}
	}
	p.str(science)
}

// scientific returns f as Erlang writes exponents: 1.0e6, 1.5e-7.
func scientific(f float64) string {
	s := strconv.FormatFloat(f, 'e', -1, 64)
	var digits, exponent string
	for i := range s {
		if s[i] == 'e' {
			digits, exponent = s[:i], s[i+1:]
		}
	}
	n, _ := strconv.Atoi(exponent) // FormatFloat writes digits
	point := ".0"
	for i := range digits {
		if digits[i] == '.' {
			point = ""
		}
	}
	return digits + point + "e" + strconv.Itoa(n)
}
