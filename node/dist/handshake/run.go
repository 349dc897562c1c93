package handshake

import (
	"context"
	crand "crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// Guard remembers which challenges a node has sent and not yet seen answered.
// A peer that sends one of them back wants this node to compute its own
// answer. A nil Guard guards nothing.
type Guard struct {
	mu  sync.Mutex
	out map[uint32]int
}

func (g *Guard) add(challenge uint32) (remove func()) {
	if g == nil {
		return func() {}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.out == nil {
		g.out = make(map[uint32]int)
	}
	g.out[challenge]++
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.out[challenge]--; g.out[challenge] <= 0 {
			delete(g.out, challenge)
		}
	}
}

func (g *Guard) outstanding(challenge uint32) bool {
	if g == nil {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.out[challenge] > 0
}

// StartOptions are an initiator's choices for one handshake.
type StartOptions struct {
	// OldName sends the first message in the form of version 5, for a peer
	// whose highest version is known to be 5.
	OldName bool

	// OnAlive is asked when the peer says that it still has a connection to
	// this node: true means that this node has none. It must not block.
	OnAlive func() bool
}

// Start runs the initiator's side on a new connection to the node named peer.
// It blocks until the end of the handshake, the deadline of ctx or its
// cancellation, reads nothing beyond the handshake, and leaves the connection
// without a deadline. On error the caller closes the connection.
func Start(ctx context.Context, conn net.Conn, cfg Config, peer string, opts StartOptions) (*Result, error) {
	challenge, err := newChallenge()
	if err != nil {
		return nil, err
	}
	defer cfg.Guard.add(challenge)()
	m := NewInitiator(cfg, peer, challenge, opts.OldName, opts.OnAlive)
	err = drive(ctx, framed{conn, cfg.WideFrames}, m.Begin(), m)
	if err != nil && m.expect == tagAck && closedByPeer(err) {
		// An acceptor that finds the digest wrong says nothing but good-bye.
		return nil, fmt.Errorf("handshake with %s: %w: it closed the connection on this node's proof", peer, ErrCookie)
	}
	if err != nil {
		return nil, fmt.Errorf("handshake with %s: %w", peer, err)
	}
	return m.Result(), nil
}

// AcceptOptions are an acceptor's choices.
type AcceptOptions struct {
	// Decide is asked once for each peer that has said its name; nil lets all
	// go on. It must not block for long: the deadline of the handshake runs.
	Decide func(Hello) Verdict

	// NewName names peers that ask for a name; nil refuses them. NewDynamicName
	// is one.
	NewName func(host string) (name string, creation uint32)
}

// Accept runs the acceptor's side on a new connection. It blocks like Start.
// The result is also returned beside an error, when at least the peer's name
// was heard: it may then only be used to say who was refused.
func Accept(ctx context.Context, conn net.Conn, cfg Config, opts AcceptOptions) (*Result, error) {
	challenge, err := newChallenge()
	if err != nil {
		return nil, err
	}
	defer cfg.Guard.add(challenge)()
	m := NewAcceptor(cfg, challenge, opts.Decide, opts.NewName)
	if err := drive(ctx, framed{conn, cfg.WideFrames}, nil, m); err != nil {
		if m.res.Peer == "" {
			return nil, fmt.Errorf("handshake: %w", err)
		}
		return m.Result(), fmt.Errorf("handshake with %s: %w", m.res.Peer, err)
	}
	return m.Result(), nil
}

type machine interface {
	Step(msg []byte) (out [][]byte, done bool, err error)
}

func drive(ctx context.Context, conn framed, first []byte, m machine) (err error) {
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer func() {
		if !stop() {
			err = errors.Join(err, context.Cause(ctx))
		}
		if err == nil {
			err = conn.SetDeadline(time.Time{})
		}
	}()
	if first != nil {
		if err := conn.writeMessages(first); err != nil {
			return err
		}
	}
	buf := make([]byte, 0, 256)
	for {
		if buf, err = readMessage(conn, conn.wide, buf[:0]); err != nil {
			return err
		}
		out, done, stepErr := m.Step(buf)
		if err := conn.writeMessages(out...); err != nil {
			return errors.Join(stepErr, err)
		}
		if stepErr != nil || done {
			return stepErr
		}
	}
}

// framed is a connection with messages on it.
type framed struct {
	net.Conn
	wide bool // lengths of four bytes
}

// readMessage reads one message with the length before it, and nothing after
// it.
func readMessage(r io.Reader, wide bool, buf []byte) ([]byte, error) {
	head := make([]byte, 2, 4)
	if wide {
		head = head[:4]
	}
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, err
	}
	size := uint32(binary.BigEndian.Uint16(head))
	if wide {
		size = binary.BigEndian.Uint32(head)
	}
	if size > maxMessage {
		return nil, fmt.Errorf("%w: %d bytes", ErrTooLong, size)
	}
	if int(size) > cap(buf) {
		buf = make([]byte, size)
	}
	buf = buf[:size]
	if _, err := io.ReadFull(r, buf); err != nil {
		return nil, err
	}
	return buf, nil
}

func (f framed) writeMessages(msgs ...[]byte) error {
	if len(msgs) == 0 {
		return nil
	}
	var buf []byte
	for _, msg := range msgs {
		if f.wide {
			buf = append(buf, 0, 0)
		}
		buf = binary.BigEndian.AppendUint16(buf, uint16(len(msg)))
		buf = append(buf, msg...)
	}
	_, err := f.Write(buf)
	return err
}

func closedByPeer(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.ErrClosedPipe)
}

func newChallenge() (uint32, error) {
	var b [4]byte
	if _, err := crand.Read(b[:]); err != nil {
		return 0, fmt.Errorf("challenge: %w", err)
	}
	return binary.BigEndian.Uint32(b[:]), nil
}

// NewCreation draws a creation: random, and none of the values below 4 that
// have a meaning of their own to older nodes.
func NewCreation() uint32 {
	for {
		var b [4]byte
		_, _ = crand.Read(b[:]) // never fails, see crypto/rand.Read
		if c := binary.BigEndian.Uint32(b[:]); c >= 4 {
			return c
		}
	}
}

// NewDynamicName gives a name to a node on host that asks for one: a random
// short name, as OTP chooses it.
func NewDynamicName(host string) (name string, creation uint32) {
	var b [8]byte
	_, _ = crand.Read(b[:]) // never fails, see crypto/rand.Read
	return strconv.FormatUint(binary.BigEndian.Uint64(b[:]), 36) + "@" + host, NewCreation()
}
