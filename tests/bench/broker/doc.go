// Package broker starts the brokers that are measured, each from a temporary
// folder on loopback ports of its own, and reads from /proc what they use.
//
// A Kind is a recipe: Ermine, Debian's mosquitto, and so on, alone or several
// nodes as a cluster. Start turns it into an Instance, ready when a client can
// connect to every node. The processes that an Instance started end with Stop,
// by their ids.
//
// # Even terms
//
// Every broker runs with its defaults but for what would make it lose or
// refuse part of the load: queues are unbounded, and the number of QoS 1 and 2
// messages on their way to one client is the same for all (Inflight). What a
// recipe sets stands in its comment with the reason.
package broker
