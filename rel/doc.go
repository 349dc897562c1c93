// Command node is the release: the one program that starts, runs, stops and
// commands a node. It composes the packages: configuration becomes the broker's
// actors, the listeners in front of them and the control socket beside them,
// under the supervision of package node.
//
//	command.go   the command line
//	program.go   where the configuration, the data and the log are
//	instance.go  the lock that makes a data directory one node's
//	start.go     start and stop in the background
//	serve.go     a node in this process
//	compose.go   configuration to the configurations of the packages
//	access.go    who may connect, and do what
//	services.go  broker, listeners and control as supervised services
//	facts.go     what the control commands are told and may change
//
// # Starting
//
// `node start` runs this program again as `node daemon` in a session of its own,
// with the write end of a pipe as file 3. The daemon writes one line into it:
// "ready" once all listeners are open, or why it could not start. The pipe's end
// without a line means that it has died. Nothing is polled.
//
// # One node for one data directory
//
// A node holds a POSIX record lock on node.lock in its data directory for as
// long as it lives, so that no stale file can stand in the way of a start, and
// every other invocation can ask the kernel who holds it.
package main
