package hocon

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Pos is a place in a file. Line and Col count from 1, Col in bytes. A zero
// Line stands for a source without lines, such as an environment variable,
// whose name is then in File.
type Pos struct {
	File string
	Line int
	Col  int
}

// String gives `file:line:col`, or only the source's name.
func (p Pos) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Col)
}

// Kind says what a [Value] is.
type Kind uint8

// The kinds of values. Bool, Number and Null come from unquoted text only.
const (
	Null Kind = iota
	Bool
	Number
	String
	Array
	Object

	// pending is a value with a ${reference} in it, until resolve.
	pending
)

// String names the kind as a user would.
func (k Kind) String() string {
	switch k {
	case Null:
		return "null"
	case Bool:
		return "boolean"
	case Number:
		return "number"
	case String:
		return "string"
	case Array:
		return "list"
	case Object:
		return "object"
	case pending:
		return "reference"
	}
	return "kind " + strconv.Itoa(int(k))
}

// Phrase is String with its article, for messages.
func (k Kind) Phrase() string {
	switch k {
	case Null:
		return "null"
	case Object:
		return "an object"
	default:
		return "a " + k.String()
	}
}

// Dialect is the form of a file.
type Dialect uint8

// The two dialects, see the package comment for how they are told apart.
const (
	HOCON Dialect = iota
	Lines
)

// String names the dialect after the EMQX version that introduced it.
func (d Dialect) String() string {
	if d == Lines {
		return "EMQX 4 lines"
	}
	return "HOCON"
}

// Value is one node of a document's tree. It is not to be changed once the
// parse has returned, except by [Merge].
type Value struct {
	Kind Kind
	Pos  Pos
	// Dialect is that of the file the value came from.
	Dialect Dialect
	// Text is a scalar as text: a string's content, or a number as written.
	Text string
	// Quoted tells a string that stood in quotes.
	Quoted bool
	// Items are an array's elements.
	Items []*Value
	// Own is the scalar that, in lines, was given to the key of an object
	// itself: `listener.tcp.external = 1883` beside
	// `listener.tcp.external.zone = external`. HOCON never sets it.
	Own *Value

	fields []Field
	index  map[string]int

	// While Kind is pending: the concatenated parts, and what the key held
	// before, which an object in parts merges into.
	parts []part
	prev  *Value
}

// Field is a name in an object with its value. Pos is that of the name.
type Field struct {
	Name  string
	Pos   Pos
	Value *Value
}

// part is one piece of a concatenation: a value, or a reference to one.
type part struct {
	value    *Value
	ref      []string
	optional bool
	pos      Pos
	space    string // blanks before the part
}

// NewObject gives an empty object.
func NewObject(pos Pos) *Value { return &Value{Kind: Object, Pos: pos} }

// NewString gives a quoted string, so that it is never read as a number.
func NewString(pos Pos, text string) *Value {
	return &Value{Kind: String, Pos: pos, Text: text, Quoted: true}
}

// Fields gives an object's fields in the order of their first appearance. The
// slice is the value's own.
func (v *Value) Fields() []Field { return v.fields }

// Get gives the field's value, nil if there is none or v is no object.
func (v *Value) Get(name string) *Value {
	if i, ok := v.index[name]; ok {
		return v.fields[i].Value
	}
	return nil
}

// Set gives a field of an object its value and replaces one that was there.
func (v *Value) Set(name string, pos Pos, val *Value) {
	if i, ok := v.index[name]; ok {
		v.fields[i] = Field{Name: name, Pos: pos, Value: val}
		return
	}
	if v.index == nil {
		v.index = make(map[string]int)
	}
	v.index[name] = len(v.fields)
	v.fields = append(v.fields, Field{Name: name, Pos: pos, Value: val})
}

func (v *Value) remove(name string) {
	i, ok := v.index[name]
	if !ok {
		return
	}
	v.fields = slices.Delete(v.fields, i, i+1)
	delete(v.index, name)
	for n, j := range v.index {
		if j > i {
			v.index[n] = j - 1
		}
	}
}

// Wrap puts v under a path of objects: Wrap(v, "a", "b") is {a {b v}}.
func Wrap(v *Value, path ...string) *Value {
	for _, name := range slices.Backward(path) {
		o := NewObject(v.Pos)
		o.Dialect = v.Dialect
		o.Set(name, v.Pos, v)
		v = o
	}
	return v
}

// Clone copies the tree below v.
func (v *Value) Clone() *Value {
	if v == nil {
		return nil
	}
	c := *v
	c.Items = nil
	for _, it := range v.Items {
		c.Items = append(c.Items, it.Clone())
	}
	c.fields, c.index = nil, nil
	for _, f := range v.fields {
		c.Set(f.Name, f.Pos, f.Value.Clone())
	}
	c.Own = v.Own.Clone()
	c.prev = v.prev.Clone()
	return &c
}

// IsIndexed tells an object whose keys are all numbers from 1: one that stands
// for a list or changes one.
func (v *Value) IsIndexed() bool {
	if v.Kind != Object || len(v.fields) == 0 {
		return false
	}
	for _, f := range v.fields {
		if index(f.Name) == 0 {
			return false
		}
	}
	return true
}

// index reads a list index, 0 if the name is none.
func index(name string) int {
	if name == "" || len(name) > 6 || name[0] == '0' {
		return 0
	}
	n, err := strconv.Atoi(name)
	if err != nil || n < 1 {
		return 0
	}
	return n
}

// List gives v as a list: an array's items, or the fields of an object whose
// keys are 1, 2, 3... without a gap.
func (v *Value) List() ([]*Value, error) {
	switch {
	case v.Kind == Array:
		return v.Items, nil
	case v.IsIndexed():
		items := make([]*Value, len(v.fields))
		for _, f := range v.fields {
			i := index(f.Name)
			if i > len(items) {
				return nil, &Error{Pos: f.Pos, Msg: fmt.Sprintf("index %d in a list of %d", i, len(items))}
			}
			items[i-1] = f.Value
		}
		return items, nil
	}
	return nil, &Error{Pos: v.Pos, Msg: "a list is expected, this is " + v.Kind.Phrase()}
}

// Merge puts over on top of base and gives the result, which shares nodes with
// both; base itself is changed where both are objects. Objects merge field by
// field, an indexed object changes single elements of a list, everything else
// replaces. An index beyond the end of the list, other than the next one, is an
// error of type [*Error].
func Merge(base, over *Value) (*Value, error) {
	switch {
	case base == nil:
		return over, nil
	case over.Kind == pending:
		over.prev = base
		return over, nil
	case base.Kind == pending && over.Kind == Object:
		// Known only when the reference is: merge then.
		return &Value{
			Kind: pending, Pos: over.Pos, Dialect: over.Dialect, prev: base,
			parts: []part{{value: over, pos: over.Pos}},
		}, nil
	case base.Kind == Object && over.Kind == Object:
		for _, f := range over.fields {
			m, err := Merge(base.Get(f.Name), f.Value)
			if err != nil {
				return nil, err
			}
			base.Set(f.Name, f.Pos, m)
		}
		if over.Own != nil {
			base.Own = over.Own
		}
		return base, nil
	case base.Kind == Array && over.IsIndexed():
		return mergeIndexed(base, over)
	case over.Dialect == Lines && base.Kind == Object && over.Kind == String:
		base.Own = over
		return base, nil
	case over.Dialect == Lines && base.Kind == String && over.Kind == Object:
		if over.Own == nil {
			over.Own = base
		}
		return over, nil
	}
	return over, nil
}

func mergeIndexed(base, over *Value) (*Value, error) {
	out := *base
	out.Items = slices.Clone(base.Items)
	changes := slices.SortedFunc(slices.Values(over.fields), func(a, b Field) int {
		return cmp.Compare(index(a.Name), index(b.Name))
	})
	for _, f := range changes {
		i := index(f.Name)
		switch {
		case i <= len(out.Items):
			m, err := Merge(out.Items[i-1].Clone(), f.Value)
			if err != nil {
				return nil, err
			}
			out.Items[i-1] = m
		case i == len(out.Items)+1:
			out.Items = append(out.Items, f.Value)
		default:
			return nil, &Error{Pos: f.Pos, Msg: fmt.Sprintf("index %d is past the end of the list, which has %d", i, len(out.Items))}
		}
	}
	return &out, nil
}

// joinPath writes a path as in a file, with quotes where a name needs them.
func joinPath(path []string) string {
	var b strings.Builder
	for i, s := range path {
		if i > 0 {
			b.WriteByte('.')
		}
		b.WriteString(QuoteKey(s))
	}
	return b.String()
}
