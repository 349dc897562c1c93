package etf

import (
	"bytes"
	"hash/maphash"
	"math"
	"math/big"
	"slices"
)

// Equal reports whether a and b are the same term, as =:= of OTP 27: 1 and 1.0
// differ, so do 0.0 and -0.0, the order of a map's pairs does not count. Go
// types that stand for the same term are equal, such as Charlist and List, or
// string and []byte. Values that are no terms equal nothing.
func Equal(a, b any) bool { return equal(a, b, 0) }

func equal(a, b any, depth int) bool {
	if depth > depthCap {
		return false // only a term that contains itself gets here
	}
	switch x := a.(type) {
	case Atom:
		switch y := b.(type) {
		case Atom:
			return x == y
		case bool:
			return y == (x == "true") && (y || x == "false")
		}
		return false
	case bool:
		if y, ok := b.(bool); ok {
			return x == y
		}
		y, ok := b.(Atom)
		return ok && equal(y, x, depth)
	case []byte:
		switch y := b.(type) {
		case []byte:
			return bytes.Equal(x, y)
		case string:
			return string(x) == y
		}
		return false
	case string:
		switch y := b.(type) {
		case []byte:
			return x == string(y)
		case string:
			return x == y
		}
		return false
	case float64:
		switch y := b.(type) {
		case float64:
			return math.Float64bits(x) == math.Float64bits(y)
		case float32:
			return math.Float64bits(x) == math.Float64bits(float64(y))
		}
		return false
	case float32:
		return equal(float64(x), b, depth)
	case Tuple:
		y, ok := b.(Tuple)
		return ok && equalAll(x, y, depth)
	case List:
		if y, ok := b.(List); ok {
			return equalAll(x, y, depth)
		}
		return equalLists(a, b, depth)
	case Charlist:
		if y, ok := b.(Charlist); ok {
			return bytes.Equal(x, y)
		}
		return equalLists(a, b, depth)
	case []any, ImproperList:
		return equalLists(a, b, depth)
	case Map, map[string]any, map[Atom]any:
		x1, _ := asMap(a)
		y, ok := asMap(b)
		return ok && equalMaps(x1, y, depth)
	case Pid:
		y, ok := b.(Pid)
		return ok && x == y
	case Ref:
		y, ok := b.(Ref)
		return ok && x == y
	case Port:
		y, ok := b.(Port)
		return ok && x == y
	case Export:
		y, ok := b.(Export)
		return ok && x == y
	case Fun:
		y, ok := b.(Fun)
		return ok && bytes.Equal(x.Raw, y.Raw)
	case BitString:
		y, ok := b.(BitString)
		return ok && x.Bits == y.Bits && bytes.Equal(x.Bytes, y.Bytes)
	}
	if x, ok := AsInt(a); ok {
		y, ok := AsInt(b)
		return ok && x == y
	}
	if x, ok := asBig(a); ok {
		if _, small := AsInt(b); small {
			return false
		}
		y, ok := asBig(b)
		return ok && x.Cmp(y) == 0
	}
	return false
}

func equalAll(a, b []any, depth int) bool {
	return slices.EqualFunc(a, b, func(x, y any) bool { return equal(x, y, depth+1) })
}

// equalLists compares lists of different Go types.
func equalLists(a, b any, depth int) bool {
	if !isList(a) || !isList(b) {
		return false
	}
	x, y := cursor{term: a}, cursor{term: b}
	for {
		v, more := x.next()
		w, also := y.next()
		switch {
		case more != also:
			return false
		case more:
			if !equal(v, w, depth+1) {
				return false
			}
		case x.tail() == nil || y.tail() == nil:
			return x.tail() == nil && y.tail() == nil
		default:
			return equal(x.tail(), y.tail(), depth+1)
		}
	}
}

// asMap returns the pairs of a map in any of its Go types.
func asMap(term any) (Map, bool) {
	switch t := term.(type) {
	case Map:
		return t, true
	case map[string]any:
		return sortedPairs(t), true
	case map[Atom]any:
		return sortedPairs(t), true
	}
	return nil, false
}

func equalMaps(a, b Map, depth int) bool {
	if len(a) != len(b) {
		return false
	}
	// Both in one order is the usual case.
	same := 0
	for same < len(a) && equal(a[same].Key, b[same].Key, depth+1) {
		if !equal(a[same].Value, b[same].Value, depth+1) {
			return false
		}
		same++
	}
	a, b = a[same:], b[same:]
	if len(a) == 0 {
		return true
	}
	set := newKeySet(len(b), math.MaxInt)
	set.fill(b)
	for i := range a {
		j := set.find(b, a[i].Key)
		if j < 0 || !equal(a[i].Value, b[j].Value, depth+1) {
			return false
		}
	}
	return true
}

// smallSet is the number of keys up to which looking for duplicates needs no
// allocation.
const smallSet = 32

// A keySet finds keys of one map at a time: an open hash table of indexes into
// it. The hash is seeded, so that a peer cannot choose keys that collide.
type keySet struct {
	index  []uint32 // hash -> 1 + index of a key, 0 for none; a power of two
	hashes []uint64 // of the keys
	hasher hasher
}

// newKeySet returns a set with room for n keys.
func newKeySet(n, work int) *keySet {
	size := 2 * smallSet
	for size < 2*n {
		size *= 2
	}
	return &keySet{make([]uint32, size), make([]uint64, n), hasher{work}}
}

var hashSeed = maphash.MakeSeed()

// checkKeys returns ErrDuplicateKey when two keys of m are equal, and ErrLimit
// when it would take more than *work steps to know. It deducts those it took.
func checkKeys(m Map, work *int) error {
	if ascending(m) {
		return nil
	}
	var s *keySet
	if len(m) <= smallSet {
		var index [2 * smallSet]uint32
		var hashes [smallSet]uint64
		s = &keySet{index[:], hashes[:], hasher{*work}}
	} else {
		s = newKeySet(len(m), *work)
	}
	duplicate := !s.fill(m)
	*work = s.hasher.work
	switch {
	case *work < 0:
		return ErrLimit
	case duplicate:
		return ErrDuplicateKey
	}
	return nil
}

// ascending reports whether m has keys that are all atoms, or all integers, in
// strictly ascending order, hence distinct. Erlang often sends them so.
func ascending(m Map) bool {
	if len(m) < 2 {
		return true
	}
	switch prev := m[0].Key.(type) {
	case Atom:
		for i := 1; i < len(m); i++ {
			next, ok := m[i].Key.(Atom)
			if !ok || next <= prev {
				return false
			}
			prev = next
		}
		return true
	case int64:
		for i := 1; i < len(m); i++ {
			next, ok := m[i].Key.(int64)
			if !ok || next <= prev {
				return false
			}
			prev = next
		}
		return true
	}
	return false
}

// fill puts the keys of m into the empty s. It stops and returns false at a key
// that is equal to an earlier one, or when the hasher gives up.
func (s *keySet) fill(m Map) bool {
	for i := range m {
		h := s.hasher.hash(m[i].Key, 0)
		at, found := s.slot(m, m[i].Key, h)
		if found >= 0 || s.hasher.work < 0 {
			return false
		}
		s.index[at], s.hashes[i] = uint32(i+1), h
	}
	return true
}

// find returns the index in m, for which s was filled, of key, or -1.
func (s *keySet) find(m Map, key any) int {
	_, found := s.slot(m, key, s.hasher.hash(key, 0))
	return found
}

// slot returns the place of key in the table, and its index in m or -1.
func (s *keySet) slot(m Map, key any, h uint64) (at uint64, found int) {
	mask := uint64(len(s.index) - 1)
	for at = h & mask; ; at = (at + 1) & mask {
		i := int(s.index[at])
		if i == 0 {
			return at, -1
		}
		if s.hashes[i-1] == h && equal(m[i-1].Key, key, 0) {
			return at, i - 1
		}
	}
}

// A hasher hashes terms for as long as its work lasts. Maps can be keys of
// maps, whose content is then hashed once for each level.
type hasher struct{ work int }

// workUnit is the number of bytes that count as one step.
const workUnit = 32

// Salts keep terms of different kinds apart.
const (
	saltAtom = iota + 1
	saltFloat
	saltPid
	saltRef
	saltPort
	saltBinary
	saltTuple
	saltList
	saltTail
	saltMap
)

// mix makes one hash of two; the order counts.
func mix(h, v uint64) uint64 {
	h = (h ^ v) * 0x9E3779B97F4A7C15
	return h ^ h>>29
}

// hash returns a number that is the same for terms that are Equal. Without work
// left it returns 0.
func (w *hasher) hash(term any, depth int) uint64 {
	if w.work--; w.work < 0 || depth > depthCap {
		return 0
	}
	switch t := term.(type) {
	case Atom:
		return mix(saltAtom, maphash.String(hashSeed, string(t)))
	case bool:
		if t {
			return w.hash(Atom("true"), depth)
		}
		return w.hash(Atom("false"), depth)
	case []byte:
		w.work -= len(t) / workUnit
		return mix(saltBinary, maphash.Bytes(hashSeed, t))
	case string:
		w.work -= len(t) / workUnit
		return mix(saltBinary, maphash.String(hashSeed, t))
	case float64:
		return mix(saltFloat, maphash.Comparable(hashSeed, math.Float64bits(t)))
	case float32:
		return w.hash(float64(t), depth)
	case Tuple:
		h := uint64(saltTuple)
		for _, e := range t {
			h = mix(h, w.hash(e, depth+1))
		}
		return h
	case List, []any, Charlist, ImproperList:
		h := uint64(saltList)
		c := cursor{term: t}
		for e, ok := c.next(); ok && w.work >= 0; e, ok = c.next() {
			h = mix(h, w.hash(e, depth+1))
		}
		if c.tail() != nil {
			h = mix(mix(h, saltTail), w.hash(c.tail(), depth+1))
		}
		return h
	case Map, map[string]any, map[Atom]any:
		m, _ := asMap(t)
		h := uint64(saltMap)
		for i := range m {
			h += mix(w.hash(m[i].Key, depth+1), w.hash(m[i].Value, depth+1))
		}
		return h
	case Pid:
		return mix(saltPid, maphash.Comparable(hashSeed, t))
	case Ref:
		return mix(saltRef, maphash.Comparable(hashSeed, t))
	case Port:
		return mix(saltPort, maphash.Comparable(hashSeed, t))
	case Export:
		return maphash.Comparable(hashSeed, t)
	case Fun:
		w.work -= len(t.Raw) / workUnit
		return maphash.Bytes(hashSeed, t.Raw)
	case BitString:
		w.work -= len(t.Bytes) / workUnit
		return mix(uint64(t.Bits), maphash.Bytes(hashSeed, t.Bytes))
	}
	if v, ok := AsInt(term); ok {
		return maphash.Comparable(hashSeed, v)
	}
	if v, ok := asBig(term); ok {
		w.work -= v.BitLen() / (8 * workUnit)
		return mix(uint64(v.Sign()+1), maphash.Bytes(hashSeed, v.Bytes()))
	}
	return 0
}

// Clone returns a copy of term that shares no memory with it or with the
// Decoder it came from, except for Atoms, which never change.
func Clone(term any) any {
	switch t := term.(type) {
	case int64:
		return unboxed(t)
	case float64:
		return unboxed(t)
	case Pid:
		return unboxed(t)
	case Ref:
		return unboxed(t)
	case []byte:
		return cloneBytes(t)
	case Charlist:
		return Charlist(cloneBytes(t))
	case BitString:
		return BitString{Bytes: cloneBytes(t.Bytes), Bits: t.Bits}
	case Tuple:
		return Tuple(cloneAll(t))
	case List:
		return List(cloneAll(t))
	case []any:
		return cloneAll(t)
	case ImproperList:
		return ImproperList{Items: cloneAll(t.Items), Tail: Clone(t.Tail)}
	case Map:
		m := make(Map, len(t))
		for i, p := range t {
			m[i] = Pair{Clone(p.Key), Clone(p.Value)}
		}
		return m
	case map[string]any:
		return cloneGoMap(t)
	case map[Atom]any:
		return cloneGoMap(t)
	case Fun:
		t.Raw = cloneBytes(t.Raw)
		return t
	case *big.Int:
		return new(big.Int).Set(t)
	}
	return term
}

// unboxed puts v into a new interface; the old one may point into an arena.
func unboxed[T any](v T) any { return v }

func cloneBytes(b []byte) []byte { return append(make([]byte, 0, len(b)), b...) }

func cloneAll(l []any) []any {
	out := make([]any, len(l))
	for i, e := range l {
		out[i] = Clone(e)
	}
	return out
}

func cloneGoMap[K ~string](m map[K]any) map[K]any {
	out := make(map[K]any, len(m))
	for k, v := range m {
		out[k] = Clone(v)
	}
	return out
}
