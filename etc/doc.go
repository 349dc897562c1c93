// Package etc embeds the configuration that is shipped with the program, so that
// a node runs without any file on disk.
//
// node.conf is made from the schema of package config; a test there holds it
// to that. acl.conf and ssl_dist.conf are written by hand.
package etc
