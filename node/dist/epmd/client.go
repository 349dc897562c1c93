package epmd

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

const (
	// defaultTimeout bounds one request when neither Client nor context does.
	defaultTimeout = 5 * time.Second

	maxAnswer = 64 << 10
	maxNames  = 4 << 20
)

// Client asks daemons. The zero value asks on DefaultPort with a time limit of
// five seconds a request. It keeps no connection and is safe for concurrent use.
type Client struct {
	// Port is the daemon's TCP port, the same on all hosts; 0 is DefaultPort.
	// (Erlang nodes read it from ERL_EPMD_PORT.)
	Port uint16

	// Timeout bounds one request, with the dialling; 0 is five seconds. The
	// context's deadline applies as well.
	Timeout time.Duration
}

func (c *Client) dial(ctx context.Context, host string) (net.Conn, error) {
	timeout := c.Timeout
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	deadline := time.Now().Add(timeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	port := c.Port
	if port == 0 {
		port = DefaultPort
	}
	dialer := net.Dialer{Deadline: deadline}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(int(port))))
	if err != nil {
		return nil, fmt.Errorf("epmd on %s: %w", host, err)
	}
	if err := conn.SetDeadline(deadline); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("epmd on %s: %w", host, err)
	}
	return conn, nil
}

// request sends one request and reads the answer up to the end of the
// connection, which the daemon closes after it. Cancelling ctx ends it.
func (c *Client) request(ctx context.Context, host string, body []byte, limit int64) ([]byte, error) {
	conn, err := c.dial(ctx, host)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if _, err := conn.Write(appendFrame(nil, body)); err != nil {
		return nil, fmt.Errorf("epmd on %s: %w", host, err)
	}
	answer, err := io.ReadAll(io.LimitReader(conn, limit+1))
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, fmt.Errorf("epmd on %s: %w", host, err)
	}
	if int64(len(answer)) > limit {
		return nil, fmt.Errorf("epmd on %s: %w: answer over %d bytes", host, ErrMalformed, limit)
	}
	return answer, nil
}

// Lookup asks the daemon on host for the node with the given short name
// (PORT_PLEASE2_REQ). It blocks until the answer, the time limit or the end of
// ctx, and returns ErrNotFound when the daemon does not know the name.
func (c *Client) Lookup(ctx context.Context, host, short string) (Node, error) {
	if short == "" || len(short) > maxName {
		return Node{}, fmt.Errorf("%w: %q", ErrBadName, short)
	}
	answer, err := c.request(ctx, host, append([]byte{tagPortPlease2Req}, short...), maxAnswer)
	if err != nil {
		return Node{}, err
	}
	node, err := decodePort2(answer)
	if err != nil {
		return Node{}, fmt.Errorf("look up %s at epmd on %s: %w", short, host, err)
	}
	return node, nil
}

func decodePort2(answer []byte) (Node, error) {
	if len(answer) < 2 || answer[0] != tagPort2Resp {
		return Node{}, fmt.Errorf("%w: not a PORT2_RESP", ErrMalformed)
	}
	if answer[1] != 0 {
		return Node{}, ErrNotFound
	}
	return decodeNodeFields(answer[2:])
}

// Names lists the nodes that are registered on host (NAMES_REQ): only Name and
// Port of each are known.
func (c *Client) Names(ctx context.Context, host string) ([]Node, error) {
	answer, err := c.request(ctx, host, []byte{tagNamesReq}, maxNames)
	if err != nil {
		return nil, err
	}
	if len(answer) < 4 {
		return nil, fmt.Errorf("epmd on %s: %w: %d bytes for names", host, ErrMalformed, len(answer))
	}
	return parseNames(string(answer[4:])), nil
}

// Registration is a node's entry with a daemon. It lasts as long as the
// connection to it: Close ends both, and Done tells when the daemon ended it.
type Registration struct {
	// Creation is what the daemon gave to this life of the node. It may be
	// ignored in favour of an own one.
	Creation uint32

	conn net.Conn
	done chan struct{}
}

// Register enters a node with the daemon on host (ALIVE2_REQ), which should be
// the node's own. ErrNameTaken means that another node holds the name.
func (c *Client) Register(ctx context.Context, host string, n Node) (*Registration, error) {
	if err := n.validate(); err != nil {
		return nil, err
	}
	conn, err := c.dial(ctx, host)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	creation, err := register(conn, n)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err == nil {
		err = conn.SetDeadline(time.Time{})
	}
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("register %s at epmd on %s: %w", n.Name, host, err)
	}
	r := &Registration{Creation: creation, conn: conn, done: make(chan struct{})}
	go r.watch()
	return r, nil
}

func register(conn net.Conn, n Node) (creation uint32, err error) {
	body := appendNodeFields([]byte{tagAlive2Req}, n)
	if _, err := conn.Write(appendFrame(nil, body)); err != nil {
		return 0, err
	}
	var buf [6]byte
	if _, err := io.ReadFull(conn, buf[:2]); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			// Old daemons close without an answer when the name is taken.
			return 0, ErrNameTaken
		}
		return 0, err
	}
	size := 4
	switch buf[0] {
	case tagAlive2XResp:
		size = 6
	case tagAlive2Resp:
	default:
		return 0, fmt.Errorf("%w: tag %d for ALIVE2_RESP", ErrMalformed, buf[0])
	}
	if buf[1] != 0 {
		return 0, ErrNameTaken
	}
	if _, err := io.ReadFull(conn, buf[2:size]); err != nil {
		return 0, err
	}
	if size == 6 {
		return binary.BigEndian.Uint32(buf[2:]), nil
	}
	return uint32(binary.BigEndian.Uint16(buf[2:])), nil
}

// watch reads until the daemon closes; it sends nothing after the answer.
func (r *Registration) watch() {
	defer close(r.done)
	_, _ = io.Copy(io.Discard, r.conn)
	_ = r.conn.Close()
}

// Done is closed when the registration has ended, by Close or by the daemon.
func (r *Registration) Done() <-chan struct{} { return r.done }

// Close ends the registration: the daemon forgets the node at once.
func (r *Registration) Close() error {
	err := r.conn.Close()
	<-r.done
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// dumpNames renders a NAMES_RESP or DUMP_RESP.
func dumpNames(port uint16, nodes []Node, dump bool) []byte {
	var b bytes.Buffer
	_ = binary.Write(&b, binary.BigEndian, uint32(port))
	for _, n := range nodes {
		if dump {
			fmt.Fprintf(&b, "active name     %s at port %d, fd = 0\n", n.Name, n.Port)
		} else {
			fmt.Fprintf(&b, "name %s at port %d\n", n.Name, n.Port)
		}
	}
	return b.Bytes()
}
