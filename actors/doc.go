// Package actors is the broker as actors: it composes sessions, the directory
// of client IDs, the router with its topic shards and share groups, retained
// and delayed messages into one [Broker].
//
// Nothing in or below this package knows a socket, MQTT's wire format, the
// cluster or the configuration file: connections come in as values of
// session.Connection, settings as a [Config].
//
// # Actors, in boot order; each root is restarted by its guardian, and a root
// that fails beyond its intensity ends the broker ([Broker.Done])
//
//	router     topic shards, and under them share groups
//	retain     retained messages
//	delayed    messages for later
//	sessions   session managers, and under them one process for each session
//	directory  client ID -> session
//	sys        $SYS topics
//
// A subscription is found by publishers before SUBACK, and a message is
// acknowledged to its publisher after every session and the retained store
// have taken it. See the packages for their own invariants.
package actors
