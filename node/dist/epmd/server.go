package epmd

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// maxServerConns bounds the connections of a Server: one for each
	// registered node and each request under way.
	maxServerConns = 1024

	// serverIdle bounds the time a connection may take to send its request.
	serverIdle = 5 * time.Second
)

// Server is a small port mapper for hosts on which no daemon runs and none is
// installed. It answers registrations, look-ups and lists of names; requests to
// stop or kill it are ignored. Close ends it and all registrations with it.
type Server struct {
	log       *slog.Logger
	port      uint16
	listeners []net.Listener
	wg        sync.WaitGroup

	mu     sync.Mutex
	closed bool
	conns  map[net.Conn]struct{}
	nodes  map[string]Node
}

// Listen starts a Server on one port of the given hosts (IP addresses or
// names). Port 0 takes a free one. An error on the first host is returned;
// the others are served where they can be.
func Listen(ctx context.Context, log *slog.Logger, port uint16, hosts ...string) (*Server, error) {
	s := &Server{log: log, port: port, conns: map[net.Conn]struct{}{}, nodes: map[string]Node{}}
	var lc net.ListenConfig
	for i, host := range hosts {
		l, err := lc.Listen(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(int(s.port))))
		if err != nil {
			if i > 0 {
				log.Debug("epmd address not served", "host", host, "err", err)
				continue
			}
			return nil, fmt.Errorf("embedded epmd: %w", err)
		}
		if addr, ok := l.Addr().(*net.TCPAddr); ok {
			s.port = uint16(addr.Port)
		}
		s.listeners = append(s.listeners, l)
	}
	if len(s.listeners) == 0 {
		return nil, fmt.Errorf("embedded epmd: %w: no address to listen on", ErrBadName)
	}
	for _, l := range s.listeners {
		s.wg.Go(func() { s.accept(l) })
	}
	return s, nil
}

// Port is the TCP port on which the Server listens.
func (s *Server) Port() uint16 { return s.port }

// Close stops the Server and drops every registration; it waits for its
// goroutines.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	for conn := range s.conns {
		_ = conn.Close()
	}
	s.mu.Unlock()
	for _, l := range s.listeners {
		_ = l.Close()
	}
	s.wg.Wait()
	return nil
}

func (s *Server) accept(l net.Listener) {
	pause := time.Duration(0)
	for {
		conn, err := l.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			// Out of file descriptors and the like: go on, but not in a spin.
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			time.Sleep(pause)
			continue
		}
		pause = 0
		s.mu.Lock()
		if s.closed || len(s.conns) >= maxServerConns {
			s.mu.Unlock()
			_ = conn.Close()
			continue
		}
		s.conns[conn] = struct{}{}
		s.wg.Go(func() {
			defer func() {
				s.mu.Lock()
				delete(s.conns, conn)
				s.mu.Unlock()
				_ = conn.Close()
			}()
			if err := s.serve(conn); err != nil {
				s.log.Debug("epmd request", "peer", conn.RemoteAddr().String(), "err", err)
			}
		})
		s.mu.Unlock()
	}
}

// serve answers one request; a registration then holds the connection.
func (s *Server) serve(conn net.Conn) error {
	if err := conn.SetDeadline(time.Now().Add(serverIdle)); err != nil {
		return err
	}
	body, err := readRequest(conn)
	if err != nil {
		return err
	}
	switch body[0] {
	case tagAlive2Req:
		return s.alive(conn, body[1:])
	case tagPortPlease2Req:
		s.mu.Lock()
		node, found := s.nodes[string(body[1:])]
		s.mu.Unlock()
		answer := []byte{tagPort2Resp, 1}
		if found {
			answer = appendNodeFields([]byte{tagPort2Resp, 0}, node)
		}
		_, err = conn.Write(answer)
		return err
	case tagNamesReq, tagDumpReq:
		s.mu.Lock()
		nodes := make([]Node, 0, len(s.nodes))
		for _, n := range s.nodes {
			nodes = append(nodes, n)
		}
		s.mu.Unlock()
		slices.SortFunc(nodes, func(a, b Node) int { return strings.Compare(a.Name, b.Name) })
		_, err = conn.Write(dumpNames(s.port, nodes, body[0] == tagDumpReq))
		return err
	case tagKillReq, tagStopReq:
		return fmt.Errorf("request %q refused", body[0])
	default:
		return fmt.Errorf("%w: request %d", ErrMalformed, body[0])
	}
}

// local reports whether the other end is on this host: only such nodes may
// register, as with the daemon.
func local(conn net.Conn) bool {
	remote, ok := conn.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return false
	}
	own, ok := conn.LocalAddr().(*net.TCPAddr)
	return remote.IP.IsLoopback() || ok && own.IP.Equal(remote.IP)
}

// readRequest reads one framed request of at least one byte.
func readRequest(r io.Reader) ([]byte, error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	size := int(binary.BigEndian.Uint16(head[:]))
	if size == 0 || size > maxRequest {
		return nil, fmt.Errorf("%w: request of %d bytes", ErrMalformed, size)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, err
	}
	return body, nil
}

// alive registers a node and holds the entry until the connection ends.
func (s *Server) alive(conn net.Conn, body []byte) error {
	if !local(conn) {
		return fmt.Errorf("registration from another host: %w", errors.ErrUnsupported)
	}
	node, err := decodeNodeFields(body)
	if err == nil {
		err = node.validate()
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	_, taken := s.nodes[node.Name]
	if !taken {
		s.nodes[node.Name] = node
	}
	s.mu.Unlock()
	// A creation of 0 to 3 has a special meaning to old nodes.
	creation := 4 + rand.Uint32N(1<<32-1-4)
	result := byte(0)
	if taken {
		result = 1
	} else {
		defer func() {
			s.mu.Lock()
			delete(s.nodes, node.Name)
			s.mu.Unlock()
		}()
	}
	var answer []byte
	if node.Highest >= 6 {
		answer = binary.BigEndian.AppendUint32([]byte{tagAlive2XResp, result}, creation)
	} else {
		answer = binary.BigEndian.AppendUint16([]byte{tagAlive2Resp, result}, uint16(creation%3+1))
	}
	if _, err := conn.Write(answer); err != nil || taken {
		return err
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return err
	}
	s.log.Debug("node registered", "node", node.Name, "port", node.Port)
	// The node sends nothing more; what it sends all the same ends the entry.
	var one [1]byte
	_, err = conn.Read(one[:])
	if err == nil {
		return fmt.Errorf("%w: data after registration", ErrMalformed)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
