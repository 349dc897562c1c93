// Package listener accepts MQTT connections over TCP, TLS, WebSocket and
// WebSocket over TLS, and is the [Conn] that the broker reads from and writes
// to. It replaces the listeners of mochi and fits where those fit: [Listener]
// implements mochi's listeners.Listener.
//
// # What lives here
//
//	Listener  one bound address: accept loop, limits, handshakes, counters
//	Set       all listeners of a node by id ("tcp:default"), for start, stop, drain
//	Conn      one connection: coalescing output, bounded and guarded input
//
// There are no actors here. A Listener has one goroutine for each accept loop
// and one for each connection, which first performs the handshakes (PROXY
// protocol, TLS, WebSocket), then is the read loop of mochi, and at the end
// closes the socket. A further goroutine exists only while a connection has
// output that its socket does not take at once.
//
// # Output
//
// Nothing on the output side blocks its caller. Append adds bytes to a pooled
// buffer; Flush hands the buffer to the socket in one non-blocking system call
// and leaves the rest, if any, to an on-demand writer goroutine, which gives up
// after send_timeout without progress. Above the high watermark Writable
// reports false until the buffer has fallen to the low watermark again
// (OnWritable); who appends regardless is stopped by the hard limit, which
// aborts the connection. So what happens when the output is full is the
// decision of the session that writes: it keeps the message in its own queue.
//
// # Input
//
// Read hands out the bytes of whole MQTT packets only. A packet is collected
// in a buffer that grows with what has arrived, never with what was declared,
// and an idle connection holds no buffer. So the decoder above may allocate the
// declared length, because all of it is there.
//
// # Life and death of a connection
//
//  1. accept: access rules, connection limit, connection rate
//  2. handshakes, each with its own deadline
//  3. the establish function (mochi's EstablishConnection) with the deadline for
//     CONNECT set; it returns when the connection is over
//  4. Finish callback: the last chance to append, e.g. a DISCONNECT
//  5. pending output is flushed with a short deadline, the socket is closed
//  6. OnClosed callback, exactly once
//
// Close, called by mochi in the middle of its teardown, therefore does not close
// the socket: it ends reading, which leads to 4. Abort ends the connection at
// once, whoever calls it; the callbacks still come, in the same order.
//
// # Invariants
//
//   - L1: an error of Accept never ends a listener; only Stop, Drain and Close do.
//   - L2: a panic in a connection's goroutine ends that connection only.
//   - R1: Read returns bytes of complete packets only, each within the size limit.
//   - R2: the first packet is CONNECT, or Read fails [MQTT-3.1.0-1].
//   - W1: bytes leave in the order in which they were appended.
//   - W2: at most one goroutine writes to the socket at a time.
//   - W3: Append, Write and Flush never wait for the peer.
package listener
