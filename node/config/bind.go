package config

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"ermine/node/config/hocon"
)

// setting is the value of one key in one layer.
type setting struct {
	key   *Key
	path  []string     // present path, names filled in
	raw   *hocon.Value // as read
	value any          // as Type says
	pos   hocon.Pos
	from  string // the path as written
	alias bool   // from is an old name
}

// layer is the settings of the file or of the environment, by joined path.
type layer map[string]*setting

// binder gives the values of a tree their keys. It does so for one source after
// the other, into one layer.
type binder struct {
	into layer
	// below gives what lower layers have for a path, for changes of single
	// list elements; nil if there is nothing.
	below func(path string) *hocon.Value
	// env tells that the tree is an environment variable: what it names that
	// is no key goes to unknown instead of being a mistake, and a later value
	// replaces an earlier one without a word.
	env      bool
	unknown  bool
	problems []Problem
	warnings []string
}

// place is where the walk through a tree is.
type place struct {
	node *node
	segs []string // as written
	vars []string // the names at $name, as they are called now
	pos  hocon.Pos
}

func (b *binder) problem(pos hocon.Pos, key, allowed, format string, args ...any) {
	b.problems = append(b.problems, Problem{Pos: pos, Key: key, Msg: fmt.Sprintf(format, args...), Allowed: allowed})
}

// tree binds a whole document.
func (b *binder) tree(root *hocon.Value) {
	b.walk(place{node: keyTree, pos: root.Pos}, root)
}

func (b *binder) walk(at place, v *hocon.Value) {
	switch {
	case v.Kind == hocon.Null:
		// As if it were not there.
	case at.node.key != nil && at.node.key.Type == TypeAny:
		b.leaf(at, v)
	case v.Kind == hocon.Object && at.node.branch():
		if v.Own != nil {
			b.walk(at, v.Own)
		}
		for _, f := range v.Fields() {
			b.field(at, f)
		}
	case at.node.leaf():
		b.leaf(at, v)
	case b.env:
		b.unknown = true
	case at.node.name != "" && strings.HasPrefix(at.node.name, "$"):
		// A value where a name was expected: perhaps a key that is none.
		at.vars = at.vars[:len(at.vars)-1]
		if near := nearestKey(at.node, at.segs, at.vars, false); isClose(at.segs, near) {
			b.problem(at.pos, join(at.segs), "", "%s%s", unknownKey, near)
			return
		}
		b.problem(v.Pos, join(at.segs), "an object { ... }", "is %s", v.Kind.Phrase())
	default:
		b.problem(v.Pos, join(at.segs), "an object { ... }", "is %s", v.Kind.Phrase())
	}
}

var chosenName = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

func (b *binder) field(at place, f hocon.Field) {
	segs := append(at.segs[:len(at.segs):len(at.segs)], f.Name)
	next := place{node: at.node.child(f.Name), segs: segs, vars: at.vars, pos: f.Pos}
	if next.node == nil {
		if b.env {
			b.unknown = true
			return
		}
		next.node = at.node
		b.unknownKey(next, segs, f.Value.Kind == hocon.Object)
		return
	}
	if next.node == at.node.wild {
		name := presentName(segs[0], f.Name)
		switch segs[0] {
		case "listeners", "listener", "zones", "zone":
			if !chosenName.MatchString(name) {
				b.problem(f.Pos, join(segs), "letters, digits, _ and -", "%q is no name", f.Name)
				return
			}
		}
		next.vars = append(at.vars[:len(at.vars):len(at.vars)], name)
	}
	b.walk(next, f.Value)
}

// unknownKey reports a key that is none. at.node is its parent.
func (b *binder) unknownKey(at place, path []string, more bool) {
	b.problem(at.pos, join(path), "", "%s%s", unknownKey, nearestKey(at.node, path, at.vars, more))
}

// leaf binds the value of a key, or of an old name that has become others.
func (b *binder) leaf(at place, v *hocon.Value) {
	r := at.node.rename
	if r == nil {
		b.set(at.node.key, fillPath(at.node.key.Path, at.vars), v, at, at.node.alias)
		return
	}
	if v.Kind == hocon.Object || v.Kind == hocon.Array {
		b.problem(v.Pos, join(at.segs), "", "is %s, a single value is expected", v.Kind.Phrase())
		return
	}
	values, f := r.convert(v)
	if f != nil {
		b.problem(v.Pos, join(at.segs), f.allowed, "%s", f.msg)
		return
	}
	for i, to := range r.to {
		if values[i] == nil {
			continue
		}
		path := fillPath(to, at.vars)
		// The way may end within a list: authorization.sources.1.path.
		n := keyTree
		j := 0
		for ; j < len(path); j++ {
			c := n.child(path[j])
			if c == nil {
				break
			}
			n = c
		}
		b.set(n.key, path[:j], hocon.Wrap(values[i], path[j:]...), at, true)
	}
}

// set puts a value into the layer.
func (b *binder) set(k *Key, path []string, v *hocon.Value, at place, alias bool) {
	name := join(path)
	from := join(at.segs)
	old := b.into[name]
	if isList(k.Type) && v.IsIndexed() {
		var base *hocon.Value
		if old != nil {
			base = old.raw
		} else {
			base = b.below(name)
		}
		merged, err := mergeList(base, v)
		if err != nil {
			b.problem(err.Pos, from, "", "%s", err.Msg)
			return
		}
		v, old = merged, nil
	}
	s := &setting{key: k, path: path, raw: v, pos: v.Pos, from: from, alias: alias}
	if old != nil && !b.env {
		winner, loser := s, old
		if alias && !old.alias {
			winner, loser = old, s
		}
		b.warnings = append(b.warnings, fmt.Sprintf("%s: %s is overridden by %s at %s", loser.pos, loser.from, winner.from, winner.pos))
		if winner == old {
			return
		}
	}
	value, faults := convert(k, v)
	for _, f := range faults {
		pos := v.Pos
		if f.pos != (hocon.Pos{}) {
			pos = f.pos
		}
		b.problem(pos, strings.TrimSuffix(from+"."+f.key, "."), f.allowed, "%s", f.msg)
	}
	if len(faults) > 0 {
		value = nil
	}
	s.value = value
	b.into[name] = s
}

func isList(t Type) bool {
	return t == TypeStrings || t == TypeInts || t == TypeNodeNames || t == TypeNetworks || t == TypeRules || t == TypeObjects
}

// mergeList changes single elements of a list, which may be text with commas.
func mergeList(base, over *hocon.Value) (*hocon.Value, *hocon.Error) {
	if base == nil {
		return over, nil
	}
	items, f := listItems(base)
	if f != nil {
		return over, nil // reported where it stands
	}
	merged, err := hocon.Merge(&hocon.Value{Kind: hocon.Array, Pos: base.Pos, Dialect: base.Dialect, Items: items}, over)
	if err != nil {
		if e, ok := errors.AsType[*hocon.Error](err); ok {
			return nil, e
		}
		return nil, &hocon.Error{Pos: over.Pos, Msg: err.Error()}
	}
	merged.Pos = over.Pos
	return merged, nil
}
