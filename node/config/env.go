package config

import (
	"cmp"
	"slices"
	"strings"

	"ermine/node/config/hocon"
)

// The prefixes of our variables, the stronger one last.
var envPrefixes = []string{"EMQX_", "ERMINE_"}

// variable is one variable of the environment that may set a key.
type variable struct {
	name  string
	path  []string
	value *hocon.Value
	rank  int // a higher one wins
}

// environ picks the variables that are ours, weakest first: EMQX_ before ERMINE_,
// and within each the name that the path makes before one that the key lists, such
// as NODE_NAME. unknown are those that begin with ERMINE_, have the form of a
// path, and whose root is none.
func environ(env []string) (vars []variable, unknown []string) {
	listed := map[string][]string{"DEFAULT_LOG_HANDLER": {"log", "to"}}
	for i := range schema {
		for _, name := range schema[i].Env {
			listed[name] = splitPath(schema[i].Path)
		}
	}
	for _, kv := range env {
		name, val, ok := strings.Cut(kv, "=")
		if !ok {
			continue
		}
		if name == "WITH_EPMD" && val != "" {
			vars = append(vars, variable{name: name, path: []string{"node", "epmd"}, value: hocon.ParseValue(name, "true"), rank: -1})
			continue
		}
		for rank, prefix := range envPrefixes {
			rest, ok := strings.CutPrefix(name, prefix)
			if !ok || rest == "" {
				continue
			}
			v := variable{name: name, value: hocon.ParseValue(name, val), rank: 2 * rank}
			if path, ok := listed[rest]; ok {
				v.path, v.rank = path, v.rank+1
				vars = append(vars, v)
				continue
			}
			for seg := range strings.SplitSeq(strings.ToLower(rest), "__") {
				if seg != "" {
					v.path = append(v.path, seg)
				}
			}
			switch {
			case len(v.path) == 0:
			case keyTree.child(v.path[0]) != nil:
				vars = append(vars, v)
			case len(v.path) > 1 && prefix == "ERMINE_":
				unknown = append(unknown, name)
			}
		}
	}
	slices.SortFunc(vars, func(a, b variable) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.name, b.name))
	})
	return vars, unknown
}

// lookupEnv finds a variable by the first of several names.
func lookupEnv(env []string, names ...string) (string, bool) {
	for _, name := range names {
		for _, kv := range env {
			if n, v, ok := strings.Cut(kv, "="); ok && n == name && v != "" {
				return v, true
			}
		}
	}
	return "", false
}
