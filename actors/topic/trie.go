package topic

import (
	"hash/maphash"
	"strings"
	"sync/atomic"
)

// node is a level of the trie of filters with wildcards. Its literal children
// are found in Index.nodes by (parent, level), its wildcard children in the
// node itself: the node for +, and for # the filter that ends with it.
//
//   - N1: every node but the root has an entry or a child; unlink sees to it.
//   - N2: a node that has been taken out is never put back.
type node[S any] struct {
	parent *node[S] // nil for the root
	level  string
	own    atomic.Pointer[entry[S]] // the filter that ends here
	multi  atomic.Pointer[entry[S]] // the filter that ends with a # below
	plus   atomic.Pointer[node[S]]
	kids   atomic.Uint32 // literal children
	tag    uint32        // of a literal child in Index.nodes; of any node, the salt of its children's
}

// cloneAbove is how much longer than a level its filter may be for the node to
// share the filter's bytes, which it may outlive.
const cloneAbove = 64

// childTag is the tag of a literal child: its level's hash, mixed with its
// parent's tag so that equal levels below different parents part.
func (n *node[S]) childTag(levelHash uint64) uint32 {
	return tagOf((levelHash ^ uint64(n.tag)*0x9e3779b97f4a7c15) * 0xff51afd7ed558ccd)
}

// child returns the literal child for a level, nil when there is none.
func (x *Index[S]) child(n *node[S], level string, levelHash uint64) *node[S] {
	for p := x.nodes.probe(n.childTag(levelHash)); ; {
		c := p.next()
		if c == nil || c.parent == n && c.level == level {
			return c
		}
	}
}

// link hangs a filter with wildcards into the trie.
func (x *Index[S]) link(e *entry[S]) {
	n := &x.root
	for rest, more := string(e.filter), true; more; {
		var level string
		level, rest, more = cut(rest)
		if level == "#" {
			e.node = n
			n.multi.Store(e)
			return
		}
		n = x.grow(n, level, len(e.filter))
	}
	e.node = n
	n.own.Store(e)
}

// grow returns the child of a node for a level that is not #.
func (x *Index[S]) grow(n *node[S], level string, filterLen int) *node[S] {
	if level == "+" {
		c := n.plus.Load()
		if c == nil {
			c = &node[S]{parent: n, level: "+", tag: n.childTag(^uint64(0))}
			n.plus.Store(c)
		}
		return c
	}
	hash := maphash.String(x.seed, level)
	c := x.child(n, level, hash)
	if c == nil {
		if filterLen > len(level)+cloneAbove {
			level = strings.Clone(level)
		}
		c = &node[S]{parent: n, level: level, tag: n.childTag(hash)}
		x.nodes.insert(c.tag, c)
		n.kids.Add(1)
	}
	return c
}

// unlink takes a filter out of the trie, with the nodes that only it needed.
func (x *Index[S]) unlink(e *entry[S]) {
	n := e.node
	if n.multi.Load() == e {
		n.multi.Store(nil)
	} else {
		n.own.Store(nil)
	}
	for n.parent != nil && n.own.Load() == nil && n.multi.Load() == nil &&
		n.plus.Load() == nil && n.kids.Load() == 0 {
		parent := n.parent
		if parent.plus.Load() == n {
			parent.plus.Store(nil)
		} else {
			x.nodes.remove(n.tag, n)
			parent.kids.Add(^uint32(0))
		}
		n = parent
	}
}

// MatchWildcard is the part of Match that concerns filters with wildcards.
func (x *Index[S]) MatchWildcard(dst []*Sub[S], name Name) []*Sub[S] {
	return x.matchBelow(dst, &x.root, string(name))
}

// frontierSize is how many nodes a match carries from one level to the next on
// its stack. Most names never need more than a few; the nodes beyond it are
// matched one by one, by recursion.
const frontierSize = 24

// matchBelow appends the subscriptions of the filters below a node that match
// the given further levels of a name, level by level.
func (x *Index[S]) matchBelow(dst []*Sub[S], start *node[S], rest string) []*Sub[S] {
	// Kept as arrays and counts, for slices of them would be moved to the heap.
	var frontiers [2][frontierSize]*node[S]
	frontiers[0][0] = start
	current, count := 0, 1
	for more := true; more && count > 0; {
		var level string
		level, rest, more = cut(rest)
		var hash uint64
		hashed := false
		next := 0
		for _, n := range frontiers[current][:count] {
			// At most two children match: that for + and a literal one.
			var children [2]*node[S]
			// A leading wildcard does not match $-names [MQTT-4.7.2-1].
			if n.parent != nil || !isInternal(level) {
				if e := n.multi.Load(); e != nil {
					dst = e.appendTo(dst)
				}
				children[0] = n.plus.Load()
			}
			if n.kids.Load() > 0 {
				if !hashed {
					hash, hashed = maphash.String(x.seed, level), true
				}
				children[1] = x.child(n, level, hash)
			}
			for _, c := range children {
				switch {
				case c == nil:
				case !more:
					dst = c.appendTo(dst)
				case next < frontierSize:
					frontiers[1-current][next] = c
					next++
				default:
					dst = x.matchBelow(dst, c, rest)
				}
			}
		}
		current, count = 1-current, next
	}
	return dst
}

// appendTo appends the subscriptions of the filters that match where a name
// ends at this node: a # below takes its parent level too.
func (n *node[S]) appendTo(dst []*Sub[S]) []*Sub[S] {
	if e := n.own.Load(); e != nil {
		dst = e.appendTo(dst)
	}
	if e := n.multi.Load(); e != nil {
		dst = e.appendTo(dst)
	}
	return dst
}
