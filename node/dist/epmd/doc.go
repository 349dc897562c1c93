// Package epmd finds the ports that nodes listen on.
//
// There are two ways, and a cluster uses one of them:
//
//   - The static rule needs no daemon: a node's port follows from its name
//     (Offset, DistPort, DataPort). Peers' ports are computed, never announced.
//   - EPMD, the Erlang Port Mapper Daemon: each host runs one, nodes register
//     their name and port with it, and others ask it (Client). The wire format
//     is that of the chapter "EPMD Protocol" of OTP's "Distribution Protocol".
//
// # Who runs the daemon
//
// A Keeper holds a node's registration for as long as the node lives. It uses
// a daemon that is already there; if there is none it starts the system's
// `epmd -daemon`, and if that is not installed either it serves the protocol
// itself (Server), on the node's own host and the loopback addresses only.
// When the daemon restarts, the registration is lost with its connection; the
// Keeper notices that at once and registers again, with a growing pause
// between attempts. The daemon's end never ends the node.
//
// # Bounds
//
// Every length is checked before anything is allocated for it. A Server takes
// a limited number of connections and names, gives each request a deadline,
// and ignores the requests to stop or kill it. A Client reads at most 64 KiB
// for one answer, 4 MiB for a list of names.
//
// The package has no process of the actor runtime; Keeper and Server own
// goroutines that end with Close.
package epmd
