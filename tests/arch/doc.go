// Package arch holds the architecture to its rules: who may import whom, which
// folder may use which third-party runtime, what a pure package keeps away
// from, and how the tree is laid out. It has tests only.
//
// Each rule is a row of a table with its reason; a failure prints the row. A
// rule that stands in the way of good code is changed here, in the commit that
// needs it, with the reason rewritten.
package arch
