// Package hocon reads and writes the two file forms of the configuration: the
// HOCON that EMQX 5 uses, and the `dotted.key = value` lines of EMQX 4.
//
// Both become one tree of [Value]. Every value and every field name in it
// knows the file, line and column it came from, so that whoever gives the tree
// a meaning can point at the place of a mistake. The package knows no key
// names and no types beyond what the syntax has: durations, sizes and the like
// are strings here.
//
// # The two dialects
//
// [Parse] finds out which dialect a file is in, for each file on its own, also
// for included ones. The rule: a file is read as lines unless something in it
// can only be HOCON. That is, outside comments,
//
//   - a line that begins with one of { } [ ] " or with //,
//   - a line that ends with { [ or a comma,
//   - a line with a brace opened directly after its key (`node { name = a }`),
//   - a separator `:` or `+=` instead of `=`,
//   - a value that begins and ends with ", or begins with """, [, ${ or a single {,
//   - a comment behind a value (` #` or ` //`),
//   - an include whose file name is quoted.
//
// A file for which both readings exist has the same meaning in both, but for
// commas: `a = 1, b = 2` on one line, with nothing else of the above in the
// file, is one value.
//
// # HOCON as read here
//
// A superset of JSON: braces at the root may be missing, = and : mean the same
// and may be missing before {, keys may be dotted paths, a newline serves as a
// comma, comments begin with # or //, strings need no quotes while they hold
// none of $ " { } [ ] : = , + # ` ^ ? ! * & \ nor a newline. Beyond the
// specification, and as EMQX allows it, @ needs no quotes, nor does a colon
// within a word (`0.0.0.0:1883`, `http://host:1`). """...""" takes everything
// as it stands; """~ on a line of its own begins a text whose common
// indentation is removed, with ~""" or """ as its end.
//
// Objects merge, later values replace earlier ones, lists are replaced whole.
// A list can be changed at one place by an object with numbers, from 1, as its
// keys: `seeds.2 = x`; the next free number appends. `+=` appends too.
// ${path} and ${?path} refer to another value of the document or else to a
// variable given by [Options.Lookup]. `include "file"` reads a file relative to
// the including one; a file that is missing is a mistake.
//
// # Limits
//
// File size, nesting, includes, and what substitutions may grow to are limited
// ([Options]); input of any kind leads to a value or to an [ErrorList], never to
// a panic. The package has no goroutine and no state.
package hocon
