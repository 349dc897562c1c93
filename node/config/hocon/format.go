package hocon

import (
	"strconv"
	"strings"
)

// Format writes a tree as HOCON that reads back as the same tree. The root is
// written without braces, everything below it with an indentation of two.
func Format(v *Value) []byte {
	var b strings.Builder
	if v.Kind == Object {
		formatFields(&b, v, 0)
	} else {
		formatValue(&b, v, 0)
		b.WriteByte('\n')
	}
	return []byte(b.String())
}

func formatFields(b *strings.Builder, o *Value, indent int) {
	for _, f := range o.fields {
		b.WriteString(strings.Repeat("  ", indent))
		b.WriteString(QuoteKey(f.Name))
		if f.Value.Kind == Object {
			b.WriteByte(' ')
		} else {
			b.WriteString(" = ")
		}
		formatValue(b, f.Value, indent)
		b.WriteByte('\n')
	}
}

func formatValue(b *strings.Builder, v *Value, indent int) {
	switch v.Kind {
	case Object:
		if len(v.fields) == 0 {
			b.WriteString("{}")
			return
		}
		b.WriteString("{\n")
		formatFields(b, v, indent+1)
		b.WriteString(strings.Repeat("  ", indent) + "}")
	case Array:
		b.WriteByte('[')
		nested := len(v.Items) > 0 && (v.Items[0].Kind == Object || v.Items[0].Kind == Array)
		for i, it := range v.Items {
			switch {
			case nested:
				b.WriteString("\n" + strings.Repeat("  ", indent+1))
			case i > 0:
				b.WriteString(", ")
			}
			formatValue(b, it, indent+1)
		}
		if nested {
			b.WriteString("\n" + strings.Repeat("  ", indent))
		}
		b.WriteByte(']')
	case Null:
		b.WriteString("null")
	case Bool, Number:
		b.WriteString(v.Text)
	default:
		b.WriteString(Quote(v.Text, v.Quoted))
	}
}

// Quote writes a string so that it reads back as the same string. Quotes are
// left out where that is safe and always is false.
func Quote(s string, always bool) string {
	if !always && isWord(s, true) && scalar(s, Pos{}).Kind == String {
		return s
	}
	return quote(s)
}

// QuoteKey writes one name of a path.
func QuoteKey(s string) string {
	if isWord(s, false) && !strings.Contains(s, ".") && !strings.HasPrefix(s, "include") {
		return s
	}
	return quote(s)
}

func isWord(s string, colon bool) bool {
	for i := range len(s) {
		if !isPlain(s[i]) && !(colon && s[i] == ':' && i+1 < len(s)) {
			return false
		}
		if s[i] >= 0x80 {
			return false
		}
	}
	return s != "" && !strings.Contains(s, "//") && !strings.Contains(s, "::")
}

// quote writes a JSON string; other than strconv's, its escapes are JSON's.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < 0x20 || r == 0x7f:
			b.WriteString(`\u00`)
			if r < 0x10 {
				b.WriteByte('0')
			}
			b.WriteString(strconv.FormatInt(int64(r), 16))
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
