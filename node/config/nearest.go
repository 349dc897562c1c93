package config

import (
	"maps"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
)

// nearestName gives the candidate with the smallest edit distance, the first in
// the alphabet of several.
func nearestName(name string, candidates []string) string {
	best, least := "", -1
	for _, c := range slices.Sorted(slices.Values(candidates)) {
		if d := levenshtein.ComputeDistance(strings.ToLower(name), c); least < 0 || d < least {
			best, least = c, d
		}
	}
	return best
}

// nearestKey gives the known path nearest to one that is not. parent is the last
// node on the way that is known; path ends with the first segment that is not.
// With more to come below it only the parent's children are candidates, otherwise
// all keys, of which those of the same parent are preferred.
func nearestKey(parent *node, path []string, vars []string, more bool) string {
	name := path[len(path)-1]
	if len(name) > 64 {
		name = name[:64] // the distance costs the product of both lengths
	}
	above := path[:len(path)-1]
	siblings := slices.Collect(maps.Keys(parent.children))
	if more && len(siblings) > 0 {
		return join(append(slices.Clone(above), nearestName(name, siblings)))
	}
	best, least := "", -1
	for i := range schema {
		k := &schema[i]
		if strings.Contains(k.Path, ".$n.") || k.Type == TypeAny || k.Effect == NoEffect {
			continue
		}
		full := fillPath(k.Path, vars)
		for j, s := range full {
			if strings.HasPrefix(s, "$") {
				full[j] = "default"
			}
		}
		cost := 2 * levenshtein.ComputeDistance(strings.ToLower(name), full[len(full)-1])
		if up := full[:len(full)-1]; !slices.Equal(up, above) {
			cost += 3 + min(levenshtein.ComputeDistance(join(up), limited(join(above))), 8)/2
		}
		if least < 0 || cost < least {
			best, least = join(full), cost
		}
	}
	return best
}

// isClose tells whether a key could be a slip for another one.
func isClose(path []string, key string) bool {
	name := path[len(path)-1]
	return levenshtein.ComputeDistance(limited(name), lastName(key)) <= max(1, len(name)/4)
}

func limited(s string) string { return s[:min(len(s), 128)] }
