// Package node is one member of the cluster: the supervised parts of which it
// consists, in their boot order.
package node
