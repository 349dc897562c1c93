// Package rpc is the data channel between nodes: publishes, session hand-over
// and bulk copies go over it, beside the Erlang distribution that carries what
// is small. It knows peers, lanes and bytes; what the bytes mean is its user's.
//
// # Shape
//
// An Endpoint is this node's end. Data from A to B runs over connections that A
// made, data from B to A over those that B made; the other direction of each
// carries acknowledgements. To each peer there are Config.Lanes lanes for Send,
// and one more connection for Call, so that a bulk copy delays no message.
//
//	Send(peer, lane, ...)   outbox of the lane -> batches -> window of the peer
//	                        done(nil)          <- ACK     <- ack() by the handler
//	Call(peer, kind, ...)   request in chunks  -> handler -> reply in chunks
//
// The parts: wire.go (formats), handshake.go (who is there), outbox.go and
// window.go (the two ends of a lane, pure), lane.go (a lane's connections),
// accept.go (the listening side), call.go and serve.go (request and reply).
//
// # Processes (goroutines)
//
//	accept     one           takes connections, hands each to a handshake
//	handshake  one each      bounded in number, time and memory
//	lane       one a lane    dials, then writes batches and heartbeats
//	lane ack   one a lane    while connected: reads acknowledgements, runs done
//	inbound    one a lane    while connected: reads batches, runs handlers
//	inbound w  one a lane    while connected: writes acknowledgements
//	call       one a peer    dials, then reads replies; callers write
//
// # Invariants
//
//   - R1: the messages of one lane to one life (incarnation) of a peer reach
//     the handler in the order of their Sends, each once. Between lanes there is
//     no order.
//   - R2: the done of a message that Send took is called exactly once: with nil
//     after the peer's handler acknowledged it, or with the reason why nobody
//     waits any more. After a failure the peer may or may not have it.
//   - R3: acknowledgements are cumulative: a message counts as acknowledged when
//     it and all before it in its lane are. A handler that never acknowledges
//     one message stops its lane.
//   - R4: a message goes to no other life of the peer than the one it was sent
//     to: it fails with ErrPeerGone, and the caller decides where it goes.
//   - R5: Send never waits, neither for the peer nor for another lane. A lane's
//     queue is bounded in bytes and counts all that is not acknowledged; when
//     full Send refuses with ErrFull and Ready tells when there is room. So a
//     slow peer hurts those only who send to it.
//   - R6: a connection on which nothing arrives for Config.Silence is given up;
//     both ends send at least three times in that time. Both then hold what is
//     not acknowledged, the lane connects again with back-off and jitter, and
//     sends again what the peer has not; the peer drops what it has. So it is
//     with a connection on which a frame is damaged or missing.
//   - R7: before a peer has proved the cookie it costs one goroutine, less than
//     4 kB (and TLS's buffers) and Config.AuthTimeout; there are at most
//     Config.MaxHalfOpen such connections, the oldest making room for the
//     newest. It learns the range of protocol versions, and nothing else.
//
// # Lives
//
// An incarnation tells two lives of one name apart; equal or not is all that
// is asked of it. SetPeer says which life is meant, or 0 for whichever answers
// first. A life that was replaced is not let in again. Within a life, each time
// a peer is set anew its messages form a new stream, numbered from 1; streams
// only grow, and the receiving side remembers of each lane the last stream and
// how far it got, also after RemovePeer: so a peer that comes back after a
// partition repeats nothing.
//
// # Security
//
// Both ends prove the cookie by HMAC-SHA-256 over everything that both said,
// fresh random challenges of both included, and over the TLS session where there
// is one: a proof can be neither replayed nor reflected, nor with TLS relayed.
// Who dials proves first, so whoever can answer in a peer's place can try
// cookies on what it got: a cookie is long and random. Over plain TCP what
// follows is neither secret nor protected from those who can change packets; as
// with the distribution, use TLS where the network is not trusted. The checksum
// of each frame is for accidents.
package rpc
