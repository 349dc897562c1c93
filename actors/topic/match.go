package topic

// Match reports whether a filter matches a name, both valid: + takes any one
// level, # any number of levels at the end, none included, and neither takes a
// first level that begins with $ [MQTT-4.7.2-1].
func Match(f Filter, n Name) bool {
	if isInternal(n) && leadsWithWildcard(f) {
		return false
	}
	fs, ns := string(f), string(n)
	for {
		fl, frest, fmore := cut(fs)
		if fl == "#" {
			return true
		}
		nl, nrest, nmore := cut(ns)
		if fl != "+" && fl != nl {
			return false
		}
		if !nmore {
			return !fmore || frest == "#"
		}
		if !fmore {
			return false
		}
		fs, ns = frest, nrest
	}
}

// Covers reports whether a matches every name that b matches.
func Covers(a, b Filter) bool {
	if isInternal(b) && leadsWithWildcard(a) {
		return false
	}
	as, bs := string(a), string(b)
	for {
		al, arest, amore := cut(as)
		if al == "#" {
			return true
		}
		bl, brest, bmore := cut(bs)
		if bl == "#" {
			// b takes the name that ends before this #, and a does not, unless
			// there is none, for a name is not empty: +/# is the same as #, and
			// /+/# the same as /#.
			return len(b)-len(bs) <= 1 && al == "+" && arest == "#"
		}
		if al != "+" && al != bl {
			return false
		}
		if !bmore {
			return !amore || arest == "#"
		}
		if !amore {
			return false
		}
		as, bs = arest, brest
	}
}

// Intersect returns the filter that matches exactly the names that a and b
// both match, and whether there are any such names.
func Intersect(a, b Filter) (Filter, bool) {
	if isInternal(a) && leadsWithWildcard(b) || isInternal(b) && leadsWithWildcard(a) {
		return "", false
	}
	as, bs := string(a), string(b)
	var out []byte
	for {
		al, arest, amore := cut(as)
		bl, brest, bmore := cut(bs)
		if al == "#" {
			out = append(out, bs...)
			break
		}
		if bl == "#" {
			out = append(out, as...)
			break
		}
		switch {
		case al == bl || bl == "+":
			out = append(out, al...)
		case al == "+":
			out = append(out, bl...)
		default:
			return "", false
		}
		if !amore || !bmore {
			if amore && arest != "#" || bmore && brest != "#" {
				return "", false
			}
			break
		}
		out = append(out, '/')
		as, bs = arest, brest
	}
	// /# and + meet in the empty name only, and two long filters may do so in
	// names longer than a name can be: there are none.
	if len(out) == 0 || len(out) > MaxLen {
		return "", false
	}
	return Filter(out), true
}
