// Package cluster is membership.
package cluster
