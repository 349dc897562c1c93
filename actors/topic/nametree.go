package topic

import (
	"math"
	"slices"
	"sort"
	"strings"
)

// NameTree holds a value for each of many names, in the order of their bytes:
// the retained messages. The zero NameTree is empty and ready.
//
// It is not safe for concurrent use: one goroutine owns it, or a lock held by
// the callers does, for reading in the methods that say "reads" and for
// writing in the others. No function passed to it may change it.
//
// Names stand in sorted pages, and pages in a sorted list, so that every name
// costs its text and 24 bytes and a bit, and a match goes from one matching
// region to the next without visiting what lies between.
type NameTree[V any] struct {
	pages []*page[V]
	heads []string // heads[i] is the first name of pages[i]
	count int
}

// page is a run of names in order with their values. It is never empty.
type page[V any] struct {
	names  []string
	values []V
}

const (
	pageSize = 256
	// Neighbours that fit together into pageLow become one.
	pageLow = pageSize / 2
)

// position is a place in a tree; that behind the last name has page len(pages).
type position struct{ page, slot int }

// Put sets the value of a name, and reports whether the name is new. The tree
// keeps the name's bytes, so it must not be part of a larger buffer.
func (t *NameTree[V]) Put(name Name, v V) (added bool) {
	s := string(name)
	if len(t.pages) == 0 {
		t.pages = append(t.pages, &page[V]{names: []string{s}, values: []V{v}})
		t.heads = append(t.heads, s)
		t.count++
		return true
	}
	i := t.pageOf(s)
	p := t.pages[i]
	j, found := slices.BinarySearch(p.names, s)
	if found {
		p.values[j] = v
		return false
	}
	if len(p.names) == pageSize {
		// A full last page that is appended to stays full: names that come in
		// order fill their pages.
		at := pageSize / 2
		if i == len(t.pages)-1 && j == pageSize {
			at = pageSize
		}
		q := &page[V]{}
		if at < pageSize {
			q.names = append(make([]string, 0, pageSize), p.names[at:]...)
			q.values = append(make([]V, 0, pageSize), p.values[at:]...)
			clear(p.names[at:])
			clear(p.values[at:])
			p.names, p.values = p.names[:at], p.values[:at]
		}
		if j >= at {
			q.insert(j-at, s, v)
		} else {
			p.insert(j, s, v)
		}
		t.pages = slices.Insert(t.pages, i+1, q)
		t.heads = slices.Insert(t.heads, i+1, q.names[0])
	} else {
		p.insert(j, s, v)
	}
	t.heads[i] = p.names[0]
	t.count++
	return true
}

func (p *page[V]) insert(j int, s string, v V) {
	p.names = slices.Insert(p.names, j, s)
	p.values = slices.Insert(p.values, j, v)
}

// Get returns the value of a name (reads).
func (t *NameTree[V]) Get(name Name) (v V, ok bool) {
	at, ok := t.locate(string(name))
	if ok {
		v = t.pages[at.page].values[at.slot]
	}
	return v, ok
}

// Delete removes a name and returns the value that it had.
func (t *NameTree[V]) Delete(name Name) (v V, ok bool) {
	at, ok := t.locate(string(name))
	if !ok {
		return v, false
	}
	i, p := at.page, t.pages[at.page]
	v = p.values[at.slot]
	p.names = slices.Delete(p.names, at.slot, at.slot+1)
	p.values = slices.Delete(p.values, at.slot, at.slot+1)
	t.count--
	if len(p.names) == 0 {
		t.drop(i)
		return v, true
	}
	t.heads[i] = p.names[0]
	switch {
	case i+1 < len(t.pages) && len(p.names)+len(t.pages[i+1].names) <= pageLow:
		t.join(i)
	case i > 0 && len(p.names)+len(t.pages[i-1].names) <= pageLow:
		t.join(i - 1)
	}
	return v, true
}

// join moves what is on the page behind i onto page i.
func (t *NameTree[V]) join(i int) {
	p, q := t.pages[i], t.pages[i+1]
	p.names = append(p.names, q.names...)
	p.values = append(p.values, q.values...)
	t.drop(i + 1)
}

func (t *NameTree[V]) drop(i int) {
	t.pages = slices.Delete(t.pages, i, i+1)
	t.heads = slices.Delete(t.heads, i, i+1)
}

// Len returns the number of names (reads).
func (t *NameTree[V]) Len() int { return t.count }

// Walk calls fn for up to limit names in order, beginning behind the first
// start ones, until fn returns false (reads). It is what a listing in pages
// needs; its cost is limit names and the number of names / 200.
func (t *NameTree[V]) Walk(start, limit int, fn func(Name, V) bool) {
	for _, p := range t.pages {
		if start >= len(p.names) {
			start -= len(p.names)
			continue
		}
		for j := max(start, 0); j < len(p.names); j++ {
			if limit--; limit < 0 || !fn(Name(p.names[j]), p.values[j]) {
				return
			}
		}
		start = 0
	}
}

// Match calls fn for every name that a valid filter matches, in order, until
// fn returns false (reads). Its cost is that of the result, and of a search
// for each value of a + level that turns out to lead to none: a filter that
// begins with + may have to look at every name, see MatchAfter.
func (t *NameTree[V]) Match(f Filter, fn func(Name, V) bool) {
	t.MatchAfter(f, "", math.MaxInt, fn)
}

// MatchAfter is Match in portions (reads). It begins behind the name after,
// which need not be in the tree any more, and ends when fn returns false or
// budget names, 1 at least, have been looked at, those included that do not
// match. Then last is the name to go on behind, and more is true; it is false
// when the end of the tree, or of what can match, has been reached. The tree
// may change between two portions: names that stay are seen exactly once.
func (t *NameTree[V]) MatchAfter(f Filter, after Name, budget int, fn func(Name, V) bool) (last Name, more bool) {
	if !f.HasWildcard() {
		if v, ok := t.Get(Name(f)); ok && after < Name(f) {
			fn(Name(f), v)
		}
		return Name(f), false
	}
	// All matches begin with the levels before the first wildcard; where that
	// is #, the last of them may also stand without its slash.
	prefix := string(f[:strings.IndexAny(string(f), "+#")])
	low := prefix
	if n := len(prefix); n > 0 && f[n] == '#' {
		low = prefix[:n-1]
	}
	var buf [256]byte // where targets usually have room
	target := append(buf[:0], max(low, string(after))...)
	at := t.seek(position{}, target)
	if after != "" && at.page < len(t.pages) && t.pages[at.page].names[at.slot] == string(after) {
		at = t.next(at)
	}
	for at.page < len(t.pages) {
		if last != "" && budget <= 0 {
			return last, true
		}
		p := t.pages[at.page]
		name := p.names[at.slot]
		if name > prefix && !strings.HasPrefix(name, prefix) {
			break
		}
		budget--
		last = Name(name)
		var v verdict
		v, target = judge(target[:0], string(f), name)
		switch v {
		case matches:
			if !fn(last, p.values[at.slot]) {
				return last, true
			}
			at = t.next(at)
		case tryNext:
			at = t.next(at)
		case trySeek:
			at = t.seek(at, target)
		}
	}
	return last, false
}

// verdict is what is to be done about a name that a match has come to.
type verdict uint8

const (
	matches verdict = iota
	tryNext         // no match, but what follows may
	trySeek         // no match, nor any name before the target
)

// judge compares a name with a filter. For trySeek it appends to target the
// least text, greater than the name, that a matching name may have.
func judge(target []byte, f, name string) (verdict, []byte) {
	if isInternal(name) && (f[0] == '+' || f[0] == '#') {
		return trySeek, append(target, '$'+1)
	}
	fs, ns := f, name
	for {
		fl, frest, fmore := cut(fs)
		if fl == "#" {
			return matches, target
		}
		parent := len(name) - len(ns) // where the level begins
		nl, nrest, nmore := cut(ns)
		if fl != "+" && fl != nl {
			target = append(target, name[:parent]...)
			switch {
			case ns < fl:
				return trySeek, append(target, fl...)
			case fmore && len(nl) > len(fl) && nl[:len(fl)] == fl && nl[len(fl)] < '/':
				// "a!" stands between "a" and "a/b".
				return trySeek, append(append(target, fl...), '/')
			default:
				return behind(target, parent)
			}
		}
		if !nmore {
			if !fmore || frest == "#" {
				return matches, target
			}
			return tryNext, target
		}
		if !fmore {
			target = append(target, name[:len(name)-len(nrest)]...)
			return behind(target, len(target))
		}
		fs, ns = frest, nrest
	}
}

// behind makes a target of the least text behind all that begin with the first
// n bytes of target, whose last is a slash. With none the whole tree is done:
// no name begins with the byte 0xff.
func behind(target []byte, n int) (verdict, []byte) {
	if n == 0 {
		return trySeek, append(target[:0], 0xff)
	}
	target = target[:n]
	target[n-1] = '/' + 1
	return trySeek, target
}

// pageOf returns the index of the page on which a name is or would be. There
// must be pages.
func (t *NameTree[V]) pageOf(s string) int {
	i := sort.Search(len(t.heads), func(i int) bool { return t.heads[i] > s })
	return max(i-1, 0)
}

func (t *NameTree[V]) locate(s string) (at position, found bool) {
	if len(t.pages) == 0 {
		return position{}, false
	}
	at.page = t.pageOf(s)
	at.slot, found = slices.BinarySearch(t.pages[at.page].names, s)
	return at, found
}

func (t *NameTree[V]) next(at position) position {
	if at.slot+1 < len(t.pages[at.page].names) {
		return position{at.page, at.slot + 1}
	}
	return position{at.page + 1, 0}
}

// seek returns the first position at or behind from whose name is s or behind.
// It takes bytes because they can be compared with names where they are.
func (t *NameTree[V]) seek(from position, s []byte) position {
	if from.page == len(t.pages) {
		return from
	}
	if i := from.page + 1; i < len(t.heads) && t.heads[i] <= string(s) {
		rest := t.heads[i:]
		from.page += sort.Search(len(rest), func(i int) bool { return rest[i] > string(s) })
		from.slot = 0
	}
	names := t.pages[from.page].names[from.slot:]
	from.slot += sort.Search(len(names), func(i int) bool { return names[i] >= string(s) })
	if from.slot == len(t.pages[from.page].names) {
		return position{from.page + 1, 0}
	}
	return from
}
