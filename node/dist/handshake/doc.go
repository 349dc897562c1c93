// Package handshake makes two nodes of the Erlang distribution known to each
// other: names, incarnations, capabilities, and the proof that both have the
// same cookie. It follows the chapter "Distribution Handshake" of OTP's
// "Distribution Protocol", version 6 (OTP 23 and later) and version 5 before
// it, as initiator and as acceptor.
//
// # Shape
//
// Initiator and Acceptor are pure: Step takes one received message and returns
// what to send, with no socket, clock or goroutine, so that every order of
// messages can be tested. Start and Accept drive them over a net.Conn, within
// one deadline.
//
//	initiator (A)                         acceptor (B)
//	send_name           N or n   ->
//	                             <-  s    status: ok, ok_simultaneous, nok,
//	                                      not_allowed, alive, named:
//	[status true/false] s        ->       only after alive
//	                             <-  N/n  challenge of B, its name and flags
//	[complement]        c        ->       only after an old send_name
//	challenge, digest   r        ->       proves A's cookie
//	                             <-  a    proves B's cookie
//
// # What a stranger can do
//
// Before it has proved the cookie, a peer costs at most one message of 2 KiB
// at a time and one goroutine until the deadline. Messages that arrive in
// pieces are put together; nothing after the handshake is read. A challenge is
// fresh and random for each connection, digests are compared in constant time,
// and a challenge that this node itself has outstanding is never answered
// (Guard), so that it cannot be made to prove its cookie to itself. A refused
// peer learns nothing but the closed connection.
package handshake
