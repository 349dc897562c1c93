// Package hook is the server side of MQTT 3.1, 3.1.1 and 5.0: one connection
// object for each client, between a listener's socket and the client's session
// actor.
//
// # Who does what
//
//	listener.Conn   whole packets in, coalesced bytes out; limits and deadlines
//	mochi           CONNECT: its codec, its handshake, CONNACK
//	connection      everything after that: decode, validate, authorise, dispatch
//	session.Handle  publishes into the router; the session's process for the rest
//
// There are no actors here. A connection has one goroutine, the listener's. It
// runs [Hook.Establish], which
//
//  1. reads the CONNECT and checks it to the letter (wire.CheckConnect);
//  2. lets mochi's server perform the handshake on it, under an identifier of
//     its own for each connection, with a clean start and no expiry, so that
//     mochi neither keeps sessions nor takes any over. In mochi's OnConnect the
//     client is authenticated and its session opened ([Config].Open); in
//     OnPacketEncode the CONNACK gets what this server has to say;
//  3. when CONNACK has been written, takes the connection back (the handshake
//     ends mochi's client object and its write loop with it) and reads packets
//     until the end. Attach tells the session that it may send.
//
// mochi's own read loop is not used: decoding a packet there takes two copies
// of it and some 10 kB of stack, for a goroutine that is idle most of its life
// and has a write loop as companion; its decoder also lets pass what the
// standard forbids. Nothing outside this package knows mochi.
//
// # Order
//
//   - H1: CONNACK is the first packet that a client gets: nothing is appended
//     before it but a CONNACK that refuses.
//   - H2: packets of a client take effect in the order in which they came; the
//     next one is read when the session has taken the one before. Reading more
//     slowly is the only back-pressure.
//   - H3: at most one DISCONNECT is sent, to MQTT 5 clients only, and nothing
//     after it that this package appends.
//   - H4: Handle.Close is called exactly once for each session that was opened,
//     in the connection's goroutine, after which nothing is dispatched.
//
// # Full
//
// Output is bounded by the listener: [session.Connection].Writable turns false
// above the high watermark, the session keeps its messages, and the connection
// reports when there is room again. Nothing that a session calls here blocks.
package hook
