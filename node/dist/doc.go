// Package dist makes an ergo node a node of the Erlang distribution: Erlang and
// Elixir nodes connect to it and it connects to them, and processes on both
// sides send, call, link and monitor each other.
//
// The parts are packages of their own: etf (terms), epmd (ports), handshake
// (who is there), proto (signals on a connection). This one composes them into
// ergo's registrar, handshake and protocol plug-ins, and keeps what spans
// connections: peers, links and monitors, calls, spawn requests.
//
// # Processes
//
//	dist.watcher  one, restarted by this package  tells local deaths to remote links and monitors
//	net_kernel    one, unless Options.ExternalKernel   answers is_auth, for net_adm:ping/1
//
// # What a local process sees
//
//   - Messages are the sender's terms as package etf decodes them; from is the
//     sender's pid (zero when an old peer does not tell it).
//   - {'$gen_call', From, Request} arrives in HandleCall, and what that returns
//     is the reply. {'$gen_cast', Request} arrives as that tuple.
//   - Exit signals arrive as ergo's (gen.MessageExitPID when trapped); the
//     reason is one of ergo's errors, or a *Reason that holds the term. As in
//     Erlang, a signal with reason normal ends nobody; it is dropped.
//   - Down for a monitor made with Network.Monitor; gen.MessageDown... are for
//     local targets only.
//
// A process uses ergo's own Send, Call, SendExit and SendResponse on remote
// targets. For links and monitors it uses Network.Link and Network.Monitor:
// ergo's (Process.Link, Process.Monitor) hold the node's one mutex for links
// while they talk to the peer, and link the node's core instead of the process.
//
// # Connections
//
//   - C1: at most one connection to a peer. Simultaneous attempts end as the
//     one that the node with the greater name began; any number of callers
//     share one attempt.
//   - C2: the node that accepts shows itself (listener) only past the
//     handshake; unauthenticated peers are bounded in number, time and memory.
//   - C3: a peer that comes back under the same name with a new creation
//     replaces its old connection at once; NodeDown is told before NodeUp.
//   - C4: everything that depends on a connection ends with it: pending calls
//     fail, links break with noconnection, monitors fire with noconnection.
//   - C5: no process waits for a peer that does not read: a full queue refuses
//     (proto.ErrBusy), as proto explains. A process that sends to a node which
//     is not connected waits at most Options.AutoConnectWait for it.
//
// # Ordering
//
// What one process sends to another arrives in the order sent, exits and downs
// included. NodeUp is told before the peer's first signal is delivered,
// NodeDown after its last.
package dist
