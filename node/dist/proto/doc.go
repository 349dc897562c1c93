// Package proto is what two nodes say to each other after the handshake: the
// chapter "Protocol between Connected Nodes" of OTP's "Distribution Protocol".
// It turns frames on a connection into Signals and back, and knows nothing of
// processes.
//
// # A connection
//
// A Conn has one reader, the goroutine that calls Serve, and one writer of its
// own. Signals are delivered to Serve's handler one after the other, in the
// order in which the peer sent them; signals are sent in the order in which
// Send, TrySend, Push or Defer accepted them. There is one lane in each direction, so
// order holds between any two processes; a large message delays those behind
// it, but is cut into fragments that keep both sides from taking the other for
// dead.
//
// The writer takes all that waits and sends it with as few writes as it can.
// One write to a socket costs more than all else that a short message does, so
// signals that nobody waits for (Defer) do not have one to themselves.
//
// # A slow or dead peer
//
//   - Output waits in a queue that is bounded in bytes (Config.MaxQueue).
//     A message that finds it full is refused (TrySend: ErrBusy) or waits for
//     room (Send). Signals that must not be lost (links, monitors, exits and
//     answers) are always taken (Push); if they fill the queue four times over, the
//     connection is given up, which both nodes then notice.
//   - Nobody but the writer waits on the peer, and it never longer than the
//     net tick time for one write.
//   - An idle side sends a tick (an empty frame) every quarter of the net tick
//     time, and answers the peer's ticks when it has had nothing to say since
//     the last one, so that a peer with a shorter tick time is content, too.
//   - A peer from which nothing came for three quarters of the tick time is
//     gone: Serve returns ErrTickTimeout within the tick time.
//
// # Hostile input
//
// No length is believed before it is checked, and a long frame takes memory
// only as its bytes arrive. Fragments are bounded in number and total size.
// Whatever is not of the protocol's form ends Serve, and with it this
// connection and nothing else.
package proto
