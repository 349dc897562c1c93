package topic

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// validByTheBook is what names and filters have in common, written down as the
// specification has it: rune by rune.
func validByTheBook(s string) bool {
	if len(s) < 1 || len(s) > 65535 {
		return false
	}
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 || r == 0 {
			return false
		}
		i += n
	}
	return true
}

func filterByTheBook(s string) bool {
	if !validByTheBook(s) {
		return false
	}
	levels := strings.Split(s, "/")
	for i, l := range levels {
		if strings.Contains(l, "#") && (l != "#" || i != len(levels)-1) || strings.Contains(l, "+") && l != "+" {
			return false
		}
	}
	return true
}

func FuzzValidateName(f *testing.F) {
	for _, s := range []string{"", "a/b", "a\x00", "+/#", "\xed\xa0\x80", "\ufeff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want := validByTheBook(s) && !strings.ContainsAny(s, "+#")
		if err := ValidateName(s); (err == nil) != want {
			t.Errorf("ValidateName(%q) = %v, want valid %v", s, err, want)
		}
	})
}

func FuzzParseFilter(f *testing.F) {
	for _, s := range []string{"", "a/+/#", "$share/g/a", "$share//", "$queue/#", "$exclusive/a+", "$share/g/$queue/x", "a#"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParseFilter(s)
		if err != nil {
			if p != (Parsed{}) {
				t.Errorf("ParseFilter(%q) = %+v with an error", s, p)
			}
			plain := !hasFilterPrefix(s)
			if plain && filterByTheBook(s) {
				t.Errorf("ParseFilter(%q): %v", s, err)
			}
			return
		}
		if p.String() != s {
			t.Errorf("ParseFilter(%q).String() = %q", s, p)
		}
		if !filterByTheBook(string(p.Filter)) || p.Wildcard != strings.ContainsAny(string(p.Filter), "+#") {
			t.Errorf("ParseFilter(%q) = %+v", s, p)
		}
		if p.Kind == Share && (!validByTheBook(p.Group) || strings.ContainsAny(p.Group, "+#/")) {
			t.Errorf("ParseFilter(%q): group %q", s, p.Group)
		}
		if p.Kind == Plain && (p.Group != "" || string(p.Filter) != s) {
			t.Errorf("ParseFilter(%q) = %+v", s, p)
		}
	})
}

func FuzzParseDelayed(f *testing.F) {
	for _, s := range []string{"a", "$delayed/5/a", "$delayed/99999999999999999999/a", "$delayed/+5/a", "$delayed//"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, ok, err := ParseDelayed(s)
		if ok != strings.HasPrefix(s, "$delayed/") || !ok && err != nil {
			t.Errorf("ParseDelayed(%q) = %+v, %v, %v", s, d, ok, err)
		}
		if err != nil || !ok {
			if d != (Delayed{}) {
				t.Errorf("ParseDelayed(%q) = %+v, %v", s, d, err)
			}
			return
		}
		n := strings.TrimLeft(strings.Split(s, "/")[1], "0")
		if n == "" {
			n = "0"
		}
		if ValidateName(string(d.Name)) != nil || !strings.HasSuffix(s, "/"+string(d.Name)) || fmt.Sprint(d.Seconds) != n {
			t.Errorf("ParseDelayed(%q) = %+v", s, d)
		}
	})
}

func FuzzMatch(f *testing.F) {
	f.Add("a/+/#", "b/#", "a/b")
	f.Add("#", "+", "$SYS")
	f.Add("/#", "/+/#", "/")
	f.Fuzz(func(t *testing.T, a, b, name string) {
		if !filterByTheBook(a) || !filterByTheBook(b) || ValidateName(name) != nil {
			t.Skip()
		}
		fa, fb, n := Filter(a), Filter(b), Name(name)
		ma, mb := Match(fa, n), Match(fb, n)
		if ma != matchByTheBook(fa, n) {
			t.Errorf("Match(%q, %q) = %v", fa, n, ma)
		}
		if Covers(fa, fb) && mb && !ma {
			t.Errorf("Covers(%q, %q), but not in %q", fa, fb, n)
		}
		both, ok := Intersect(fa, fb)
		if got := ok && Match(both, n); got != (ma && mb) {
			t.Errorf("Intersect(%q, %q) = %q, %v, but they match %q: %v, %v", fa, fb, both, ok, n, ma, mb)
		}
		if ok && (!filterByTheBook(string(both)) || !Covers(fa, both) || !Covers(fb, both)) {
			t.Errorf("Intersect(%q, %q) = %q, which they do not cover", fa, fb, both)
		}
		if Covers(fa, fb) && (!ok || !Covers(both, fb)) {
			t.Errorf("Covers(%q, %q), but Intersect is %q, %v", fa, fb, both, ok)
		}
	})
}

// script reads operations from fuzzed text: lines of a verb letter and a topic.
func script(s string) func(yield func(verb byte, topic string) bool) {
	return func(yield func(byte, string) bool) {
		for line := range strings.SplitSeq(s, "\n") {
			if len(line) > 1 && validByTheBook(line[1:]) && !yield(line[0], line[1:]) {
				return
			}
		}
	}
}

func FuzzIndex(f *testing.F) {
	f.Add("+a/+\n+a/b\n?a/b\n-a/+\n?a/b")
	f.Add("+#\n+#\n+#\n?$a\n?a\n-#\n-#\n-#")
	f.Add("+a/+/c\n+a/#\n+a/+\n-a/+\n?a/b/c\n-a/+/c\n?a")
	f.Fuzz(func(t *testing.T, s string) {
		x := NewIndex[int]()
		model := map[Filter][]*Sub[int]{}
		id := 0
		for verb, text := range script(s) {
			filter := Filter(text)
			switch {
			case verb == '?':
				if ValidateName(text) != nil {
					continue
				}
				var want []int
				for f, subs := range model {
					if matchByTheBook(f, Name(text)) {
						want = append(want, ids(subs)...)
					}
				}
				slices.Sort(want)
				if got := ids(x.Match(nil, Name(text))); !slices.Equal(got, want) {
					t.Fatalf("%q matched %v, want %v", text, got, want)
				}
			case !filterByTheBook(text):
			case verb == '+':
				id++
				sub := &Sub[int]{Value: id}
				if first := x.Add(filter, sub); first != (len(model[filter]) == 0) {
					t.Fatalf("Add(%q): first = %v", filter, first)
				}
				model[filter] = append(model[filter], sub)
			case verb == '-' && len(model[filter]) > 0:
				subs := model[filter]
				model[filter] = subs[1:]
				if last := x.Remove(subs[0]); last != (len(subs) == 1) {
					t.Fatalf("Remove(%q): last = %v", filter, last)
				}
			}
		}
		for _, subs := range model {
			for _, sub := range subs {
				x.Remove(sub)
			}
		}
		checkEmpty(t, x)
	})
}

func FuzzNameTree(f *testing.F) {
	f.Add("+a\n+a/b\n+a!\n+a!/b\n?a/#\n-a/b\n?+/b")
	f.Add("+$SYS/a\n+a\n+/\n?#\n?+/+\n?$SYS/#")
	f.Fuzz(func(t *testing.T, s string) {
		var tree NameTree[int]
		model := map[Name]int{}
		id := 0
		for verb, text := range script(s) {
			name := Name(text)
			switch {
			case verb == '?':
				if !filterByTheBook(text) {
					continue
				}
				var want, got []Name
				for _, n := range slices.Sorted(maps.Keys(model)) {
					if matchByTheBook(Filter(text), n) {
						want = append(want, n)
					}
				}
				visited := len(model)
				_, more := tree.MatchAfter(Filter(text), "", visited+1, func(n Name, v int) bool {
					if v != model[n] {
						t.Fatalf("%q has %d, want %d", n, v, model[n])
					}
					got = append(got, n)
					return true
				})
				if !slices.Equal(got, want) || more {
					t.Fatalf("Match(%q) = %q, want %q", text, got, want)
				}
			case ValidateName(text) != nil:
			case verb == '+':
				id++
				if _, had := model[name]; tree.Put(name, id) == had {
					t.Fatalf("Put(%q): added = %v", name, had)
				}
				model[name] = id
			case verb == '-':
				v, had := model[name]
				if got, ok := tree.Delete(name); got != v || ok != had {
					t.Fatalf("Delete(%q) = %d, %v, want %d, %v", name, got, ok, v, had)
				}
				delete(model, name)
			}
		}
		checkTree(t, &tree)
	})
}
