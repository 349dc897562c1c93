package etf

import "math/big"

// Atom is an Erlang atom: UTF-8 text of at most 255 characters. The booleans
// of Erlang are the atoms true and false.
type Atom string

// Tuple is an Erlang tuple.
type Tuple []any

// List is a proper list. An empty or nil List is [].
type List []any

// Charlist is a proper list whose elements are all integers 0..255, one a
// byte; as text it is Latin-1, not UTF-8. It is the form in which Erlang sends
// "text", and also [1,2,3].
type Charlist []byte

// ImproperList is a list whose tail is not a list, as [a, b | c]. Items has at
// least one element.
type ImproperList struct {
	Items List
	Tail  any
}

// Pair is one association of a Map.
type Pair struct {
	Key, Value any
}

// Map is an Erlang map. Keys may be any term and are distinct; the order of
// the pairs has no meaning to Erlang and is that of the wire.
type Map []Pair

// BitString is a binary whose last byte is only partly used. Bits, 1 to 7, is
// how many of its bits are, counted from the most significant; the others are
// zero. Whole bytes are a []byte, never a BitString.
type BitString struct {
	Bytes []byte
	Bits  uint8
}

// Pid names a process. Creation tells two lives of one node name apart.
type Pid struct {
	Node     Atom
	ID       uint32
	Serial   uint32
	Creation uint32
}

// Port names a port of an Erlang node.
type Port struct {
	Node     Atom
	ID       uint64
	Creation uint32
}

// Ref is a reference, or the alias of a process. Len words of ID count, 1 to
// 5; the others are zero, so that Refs compare with ==.
type Ref struct {
	Node     Atom
	Creation uint32
	Len      uint8
	ID       [maxRefWords]uint32
}

// Export is an external fun, fun Module:Function/Arity.
type Export struct {
	Module, Function Atom
	Arity            uint8
}

// Fun is a local fun of an Erlang node. Go cannot call it; it can be kept and
// sent back. Module, Arity, Index and Uniq only describe it.
type Fun struct {
	Module Atom
	Arity  uint8
	// Index is the fun's number in its module.
	Index int64
	// Uniq is the old hash of the fun's parse tree, which Erlang prints.
	Uniq int64
	// Raw is the whole term in external format from its tag on, without
	// version byte and without references to an atom cache. Encoding a Fun
	// writes Raw.
	Raw []byte
}

// String returns the text of c, each byte being one character.
func (c Charlist) String() string {
	r := make([]rune, len(c))
	for i, b := range c {
		r[i] = rune(b)
	}
	return string(r)
}

// String returns p in the syntax of Format.
func (p Pid) String() string { return Format(p) }

// String returns p in the syntax of Format.
func (p Port) String() string { return Format(p) }

// String returns r in the syntax of Format.
func (r Ref) String() string { return Format(r) }

// IsZero reports whether p is the zero Pid, which names no process.
func (p Pid) IsZero() bool { return p == Pid{} }

// Words returns the words of r that count, in wire order.
func (r *Ref) Words() []uint32 { return r.ID[:min(int(r.Len), maxRefWords)] }

// Get returns the value of key. It looks at one pair after the other.
func (m Map) Get(key any) (value any, ok bool) {
	if a, isAtom := key.(Atom); isAtom {
		for i := range m {
			if k, same := m[i].Key.(Atom); same && k == a {
				return m[i].Value, true
			}
		}
		return nil, false
	}
	for i := range m {
		if Equal(m[i].Key, key) {
			return m[i].Value, true
		}
	}
	return nil, false
}

// Put returns m with key associated to value, in place of any value it had.
// It may change m's array, as append does.
func (m Map) Put(key, value any) Map {
	for i := range m {
		if Equal(m[i].Key, key) {
			m[i].Value = value
			return m
		}
	}
	return append(m, Pair{key, value})
}

// NewCharlist returns the Erlang string of s: a Charlist when all its
// characters are below 256, else a List of code points.
func NewCharlist(s string) any {
	c := make(Charlist, 0, len(s))
	for _, r := range s {
		if r > 0xFF {
			return codePoints(s)
		}
		c = append(c, byte(r))
	}
	return c
}

func codePoints(s string) List {
	l := make(List, 0, len(s))
	for _, r := range s {
		l = append(l, int64(r))
	}
	return l
}

// AsList returns the elements of a proper list in any of its forms, also of a
// Charlist, and false for everything else. The List may share memory with
// term.
func AsList(term any) (List, bool) {
	switch t := term.(type) {
	case List:
		return t, true
	case []any:
		return t, true
	case Charlist:
		l := make(List, len(t))
		for i, b := range t {
			l[i] = int64(b)
		}
		return l, true
	case ImproperList:
		l := make(List, 0, len(t.Items))
		c := cursor{term: t}
		for e, ok := c.next(); ok; e, ok = c.next() {
			l = append(l, e)
		}
		if c.tail() != nil {
			return nil, false
		}
		return l, true
	}
	return nil, false
}

// AsInt returns an integer term, of any Go integer type, as an int64, and false
// for an integer that does not fit and for everything else.
func AsInt(term any) (int64, bool) {
	switch t := term.(type) {
	case int64:
		return t, true
	case int:
		return int64(t), true
	case int32:
		return int64(t), true
	case int16:
		return int64(t), true
	case int8:
		return int64(t), true
	case uint8:
		return int64(t), true
	case uint16:
		return int64(t), true
	case uint32:
		return int64(t), true
	case uint64:
		return int64(t), t <= 1<<63-1
	case uint:
		return int64(t), t <= 1<<63-1
	case *big.Int:
		if t != nil && t.IsInt64() {
			return t.Int64(), true
		}
	}
	return 0, false
}

// asBig returns an integer that AsInt cannot.
func asBig(term any) (*big.Int, bool) {
	switch t := term.(type) {
	case *big.Int:
		return t, t != nil
	case uint64:
		return new(big.Int).SetUint64(t), true
	case uint:
		return new(big.Int).SetUint64(uint64(t)), true
	}
	return nil, false
}

// A cursor walks the elements of a list in any of its forms.
type cursor struct {
	term any // the rest, from element i on
	i    int
}

// isList reports whether term is a list of any form.
func isList(term any) bool {
	switch term.(type) {
	case List, []any, Charlist, ImproperList:
		return true
	}
	return false
}

// next returns the next element. After the last one ok is false and tail is
// what follows: nil for a proper list.
func (c *cursor) next() (elem any, ok bool) {
	for {
		switch t := c.term.(type) {
		case List:
			return c.at(t)
		case []any:
			return c.at(t)
		case Charlist:
			if c.i == len(t) {
				c.term, c.i = nil, 0
				return nil, false
			}
			c.i++
			return int64(t[c.i-1]), true
		case ImproperList:
			if c.i < len(t.Items) {
				c.i++
				return t.Items[c.i-1], true
			}
			c.term, c.i = t.Tail, 0
		default:
			return nil, false
		}
	}
}

func (c *cursor) at(l []any) (elem any, ok bool) {
	if c.i == len(l) {
		c.term, c.i = nil, 0
		return nil, false
	}
	c.i++
	return l[c.i-1], true
}

// tail returns what follows the last element, once next has returned false.
func (c *cursor) tail() any { return c.term }
