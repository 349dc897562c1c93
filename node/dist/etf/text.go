package etf

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"
)

// ErrNotText is returned by AppendIOData and AppendCharData for a term that is
// not made of binaries, lists and integers in range.
var ErrNotText = errors.New("neither binary nor list of characters")

// AppendIOData appends the bytes of an iolist or binary to dst, as
// iolist_to_binary/1 does: lists, also improper ones, of bytes, binaries and
// iolists. On error it returns dst as it was.
func AppendIOData(dst []byte, term any) ([]byte, error) {
	return appendData(dst, term, false)
}

// AppendCharData appends the text of unicode:chardata() to dst as UTF-8, as
// unicode:characters_to_binary/1 does: like an iolist, but its integers are
// code points and its binaries have to be UTF-8, each on its own. On error it
// returns dst as it was.
func AppendCharData(dst []byte, term any) ([]byte, error) {
	return appendData(dst, term, true)
}

func appendData(dst []byte, term any, chars bool) ([]byte, error) {
	switch term.(type) {
	case []byte, string, List, []any, Charlist, ImproperList:
	default:
		return dst, fmt.Errorf("%.40s: %w", FormatLimit(term, 32), ErrNotText)
	}
	out, err := appendPart(dst, term, chars, 0)
	if err != nil {
		return dst, err
	}
	return out, nil
}

func appendPart(dst []byte, term any, chars bool, depth int) ([]byte, error) {
	if depth > depthCap {
		return nil, ErrDepth
	}
	switch t := term.(type) {
	case []byte:
		if chars && !utf8.Valid(t) {
			return nil, fmt.Errorf("binary is not UTF-8: %w", ErrNotText)
		}
		return append(dst, t...), nil
	case string:
		return append(dst, t...), nil
	case Charlist:
		if !chars {
			return append(dst, t...), nil
		}
		for _, b := range t {
			dst = utf8.AppendRune(dst, rune(b))
		}
		return dst, nil
	case List, []any, ImproperList:
		c := cursor{term: t}
		var err error
		for e, ok := c.next(); ok; e, ok = c.next() {
			if dst, err = appendPart(dst, e, chars, depth+1); err != nil {
				return nil, err
			}
		}
		switch tail := c.tail().(type) {
		case nil:
			return dst, nil
		case []byte, string:
			return appendPart(dst, tail, chars, depth+1)
		default:
			return nil, fmt.Errorf("tail %.40s: %w", FormatLimit(tail, 32), ErrNotText)
		}
	}
	v, ok := AsInt(term)
	switch {
	case !ok, v < 0, !chars && v > 0xFF, v > utf8.MaxRune, chars && !utf8.ValidRune(rune(v)):
		return nil, fmt.Errorf("%.40s: %w", FormatLimit(term, 32), ErrNotText)
	case chars:
		return utf8.AppendRune(dst, rune(v)), nil
	}
	return append(dst, byte(v)), nil
}

// Text returns the text of an atom, of a binary as it is, or of chardata: what
// an Erlang caller may pass where text is meant. [] is "".
func Text(term any) (string, bool) {
	switch t := term.(type) {
	case Atom:
		return string(t), true
	case []byte:
		return string(t), true
	case string:
		return t, true
	}
	b, err := AppendCharData(nil, term)
	return string(b), err == nil
}

// sortedPairs returns the pairs of a Go map in the order of its keys.
func sortedPairs[K ~string](m map[K]any) Map {
	out := make(Map, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, Pair{any(k), m[k]})
	}
	return out
}
