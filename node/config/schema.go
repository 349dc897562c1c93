package config

import (
	"slices"
	"strings"

	"ermine/node/config/hocon"
)

// schema is all keys in the order in which they are documented.
var schema = buildSchema()

func buildSchema() []Key {
	all := slices.Concat(nodeKeys, nodeVMKeys, clusterKeys, rpcKeys)
	for _, typ := range ListenerTypes {
		all = append(all, listenerKeys(typ)...)
	}
	return slices.Concat(all, quicKeys, mqttKeys, zoneKeys(), zoneReservedKeys, zoneVMKeys, brokerKeys, authKeys, logKeys, logVMKeys, reservedKeys, rootVMKeys)
}

// Keys gives every key of the schema, grouped and in the order of etc/node.conf.
// The slice is the caller's.
func Keys() []Key { return slices.Clone(schema) }

// Lookup finds the key that a path belongs to: a path as in a file, with names
// where the key has $name, and old names too. The second result is the path
// under the key's present name.
func Lookup(path string) (Key, string, bool) {
	segs := splitPath(path)
	n, vars, ok := keyTree.walk(segs)
	switch {
	case !ok:
		return Key{}, "", false
	case n.key != nil:
		return *n.key, join(fillPath(n.key.Path, vars)), true
	case n.rename != nil && len(n.rename.to) == 1:
		return Lookup(join(fillPath(n.rename.to[0], vars)))
	}
	return Key{}, "", false
}

// node is one segment of the tree of all accepted paths.
type node struct {
	name     string
	children map[string]*node
	wild     *node // for $name
	key      *Key  // set if a path of a key, or an alias of one, ends here
	alias    bool  // the path is not the key's own
	rename   *rename
}

var (
	keyTree = buildTree()
	// elementKeys are the keys of list elements, by the list's path and the
	// field's name.
	elementKeys = buildElements()
	// keyByPath finds keys by the path as the schema writes it.
	keyByPath = func() map[string]*Key {
		m := make(map[string]*Key)
		for i := range schema {
			m[schema[i].Path] = &schema[i]
		}
		return m
	}()
)

func buildTree() *node {
	root := &node{}
	for i := range schema {
		k := &schema[i]
		if strings.Contains(k.Path, ".$n.") {
			continue
		}
		n := root.insert(k.Path)
		n.key = k
		for _, a := range k.Aliases {
			// A key's own path wins over another one's alias.
			if n := root.insert(a); n.key == nil {
				n.key, n.alias = k, true
			}
		}
	}
	for i := range renames {
		root.insert(renames[i].from).rename = &renames[i]
	}
	return root
}

func buildElements() map[string][]Key {
	m := make(map[string][]Key)
	for _, k := range schema {
		if list, field, ok := strings.Cut(k.Path, ".$n."); ok {
			k.Path = field
			m[list] = append(m[list], k)
		}
	}
	return m
}

// insert makes the nodes of a path and gives the last one.
func (n *node) insert(path string) *node {
	for seg := range strings.SplitSeq(path, ".") {
		var next *node
		if strings.HasPrefix(seg, "$") {
			if n.wild == nil {
				n.wild = &node{name: seg}
			}
			next = n.wild
		} else {
			if n.children == nil {
				n.children = make(map[string]*node)
			}
			if next = n.children[seg]; next == nil {
				next = &node{name: seg}
				n.children[seg] = next
			}
		}
		n = next
	}
	return n
}

// child gives the node for a segment, nil if there is none.
func (n *node) child(seg string) *node {
	if c := n.children[seg]; c != nil {
		return c
	}
	return n.wild
}

// leaf tells that a value may stand here.
func (n *node) leaf() bool { return n.key != nil || n.rename != nil }

func (n *node) branch() bool { return len(n.children) > 0 || n.wild != nil }

// walk follows a whole path. vars are the segments at $name.
func (n *node) walk(segs []string) (*node, []string, bool) {
	var vars []string
	for _, s := range segs {
		c := n.child(s)
		if c == nil {
			return nil, nil, false
		}
		if c == n.wild {
			vars = append(vars, s)
		}
		n = c
	}
	return n, vars, n.leaf()
}

// fillPath puts names in place of $name.
func fillPath(template string, vars []string) []string {
	segs := strings.Split(template, ".")
	for i, s := range segs {
		if strings.HasPrefix(s, "$") && len(vars) > 0 {
			segs[i], vars = vars[0], vars[1:]
		}
	}
	return segs
}

// join writes a path as in a file.
func join(segs []string) string {
	quoted := make([]string, len(segs))
	for i, s := range segs {
		quoted[i] = hocon.QuoteKey(s)
	}
	return strings.Join(quoted, ".")
}

// splitPath is the reverse of join.
func splitPath(path string) []string {
	var segs []string
	for path != "" {
		var seg string
		if rest, ok := strings.CutPrefix(path, `"`); ok {
			seg, path, _ = strings.Cut(rest, `"`)
			path = strings.TrimPrefix(path, ".")
		} else {
			seg, path, _ = strings.Cut(path, ".")
		}
		segs = append(segs, seg)
	}
	return segs
}

func lastName(path string) string { return path[strings.LastIndexByte(path, '.')+1:] }
