package listener

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
)

var (
	// ErrMalformedPacket is returned by Conn.Read when the input is no MQTT: a
	// reserved packet type, a Remaining Length of more than four bytes
	// [MQTT-1.5.5-1], or a packet on which the decoder gave up. A v5 client is
	// owed reason code 0x81.
	ErrMalformedPacket = errors.New("malformed packet")

	// ErrFirstPacket is returned by Conn.Read when the first packet is not
	// CONNECT [MQTT-3.1.0-1].
	ErrFirstPacket = errors.New("first packet is not CONNECT")

	// ErrPacketTooLarge is returned by Conn.Read when a packet announces more
	// bytes than the limit; nothing of it has been kept. A v5 client is owed
	// reason code 0x95.
	ErrPacketTooLarge = errors.New("packet too large")

	// ErrConnectTimeout is returned by Conn.Read when no complete CONNECT came
	// within the idle timeout. errors.Is(err, os.ErrDeadlineExceeded) holds.
	ErrConnectTimeout = &timeoutError{"no CONNECT within the idle timeout"}

	// ErrKeepAliveTimeout is returned by Conn.Read when the read deadline passed
	// after CONNECT [MQTT-3.1.2-22]. errors.Is(err, os.ErrDeadlineExceeded) holds.
	ErrKeepAliveTimeout = &timeoutError{"keep-alive timeout"}

	// ErrSendTimeout is the reason of a connection whose peer took nothing of the
	// pending output for send_timeout.
	ErrSendTimeout = errors.New("send timeout")

	// ErrOutputOverflow is the reason of a connection whose pending output passed
	// the hard limit, and is returned by Append then.
	ErrOutputOverflow = errors.New("output buffer overflow")

	// ErrConnLimit is the reason of a connection refused because the listener has
	// max_connections already.
	ErrConnLimit = errors.New("connection limit reached")

	// ErrConnRate is the reason of a connection refused by max_conn_rate.
	ErrConnRate = errors.New("connection rate limit reached")

	// ErrAccessDenied is the reason of a connection refused by access_rules.
	ErrAccessDenied = errors.New("address denied by access rules")

	// ErrStopped is the reason of a connection that ends because its listener does.
	ErrStopped = errors.New("listener stopped")

	// ErrNotRunning is returned by Stop for a listener that is not running.
	ErrNotRunning = errors.New("listener not running")

	// ErrAlreadyRunning is returned by Start for a listener that is running.
	ErrAlreadyRunning = errors.New("listener already running")

	// ErrNotFound is returned by the functions of Set for an unknown id.
	ErrNotFound = errors.New("no such listener")

	// ErrDisabled is returned by Start for a listener whose configuration says
	// enable = false.
	ErrDisabled = errors.New("listener disabled")
)

// timeoutError is a deadline that passed, with its meaning.
type timeoutError struct{ text string }

func (e *timeoutError) Error() string   { return e.text }
func (e *timeoutError) Timeout() bool   { return true }
func (e *timeoutError) Temporary() bool { return true }
func (e *timeoutError) Unwrap() error   { return os.ErrDeadlineExceeded }

// Reason is an error that names why a connection ended, in the words of
// shutdown_count: "kicked", "takenover", "discarded". It is meant for
// Conn.CloseWith and Conn.Abort.
type Reason string

// Error returns the reason's name.
func (r Reason) Error() string { return string(r) }

// PanicError is a panic that was recovered in a connection's goroutine.
type PanicError struct {
	Value any    // what was passed to panic
	Stack []byte // the stack of the goroutine at that point
	// InDecoder tells that the panic came from mochi's packet decoder, which gives
	// up on some malformed packets that way. errors.Is(err, ErrMalformedPacket)
	// holds then; otherwise the panic is a bug.
	InDecoder bool
}

// Error names the panic's value, without the stack.
func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Is reports a panic of the decoder as a malformed packet.
func (e *PanicError) Is(target error) bool {
	return e.InDecoder && target == ErrMalformedPacket
}

// reasonSockClosed is counted as "<type>_closed".
const reasonSockClosed = "sock_closed"

// ReasonText maps the error with which a connection ended to its key in
// shutdown_count. A nil error is "normal".
func ReasonText(err error) string {
	var (
		reason Reason
		pe     *PanicError
		ne     net.Error
	)
	switch {
	case err == nil:
		return "normal"
	case errors.As(err, &reason):
		return string(reason)
	case errors.Is(err, ErrMalformedPacket):
		return "malformed_packet"
	case errors.As(err, &pe):
		return "panic"
	case errors.Is(err, ErrFirstPacket):
		return "unexpected_packet"
	case errors.Is(err, ErrPacketTooLarge):
		return "frame_too_large"
	case errors.Is(err, ErrConnectTimeout):
		return "idle_timeout"
	case errors.Is(err, ErrKeepAliveTimeout):
		return "keepalive_timeout"
	case errors.Is(err, ErrSendTimeout):
		return "send_timeout"
	case errors.Is(err, ErrOutputOverflow):
		return "output_overflow"
	case errors.Is(err, ErrConnLimit):
		return "max_connections"
	case errors.Is(err, ErrConnRate):
		return "max_conn_rate"
	case errors.Is(err, ErrAccessDenied):
		return "access_denied"
	case errors.Is(err, ErrStopped):
		return "listener_stopped"
	case errors.Is(err, errProxyHeader):
		return "proxy_protocol_error"
	case errors.Is(err, errTLSHandshake):
		return "ssl_upgrade_error"
	case errors.Is(err, errUpgrade):
		return "ws_upgrade_error"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return reasonSockClosed
	case errors.Is(err, net.ErrClosed):
		return "normal"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "sock_reset"
	case errors.As(err, &ne) && ne.Timeout():
		return "timeout"
	}
	// mochi ends a connection with one of its reason codes, whose text is a word
	// list already; anything else is an unexpected error of the socket.
	text := err.Error()
	if len(text) <= 64 && !strings.ContainsAny(text, ":\"'{}") {
		return strings.ReplaceAll(text, " ", "_")
	}
	return "sock_error"
}
