package ctl

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	maxConns     = 64
	requestTime  = 10 * time.Second
	writeTime    = 30 * time.Second
	outputBuffer = 16 << 10
)

// Server is the control socket. Make it with Listen.
type Server struct {
	tree *Tree
	log  *slog.Logger
	file string
	l    *net.UnixListener

	ctx    context.Context //nolint:containedctx // the server's own life, not a caller's
	cancel context.CancelFunc
	conns  chan struct{} // a place for each
	wg     sync.WaitGroup
}

// Listen opens the socket file and serves commands until Close. A file left by a
// dead process is replaced: the caller holds the lock of the data directory.
func Listen(file string, tree *Tree, log *slog.Logger) (*Server, error) {
	if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("open control socket: %w", err)
	}
	var l *net.UnixListener
	err := viaShortPath(file, func(path string) (err error) {
		// The mask makes the file the owner's from its first moment on.
		old := unix.Umask(0o177)
		defer unix.Umask(old)
		l, err = net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open control socket: %w", err)
	}
	l.SetUnlinkOnClose(false) // the path may have been a detour
	s := &Server{tree: tree, log: log, file: file, l: l, conns: make(chan struct{}, maxConns)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.wg.Go(s.accept)
	return s, nil
}

// Close ends the server and the commands that run, and removes the socket.
func (s *Server) Close() error {
	s.cancel()
	err := s.l.Close()
	s.wg.Wait()
	if rm := os.Remove(s.file); rm != nil && !errors.Is(rm, os.ErrNotExist) {
		err = errors.Join(err, rm)
	}
	return err
}

// acceptPause is the pause after an accept that failed, for want of file
// descriptors for example.
const acceptPause = 100 * time.Millisecond

func (s *Server) accept() {
	for {
		c, err := s.l.AcceptUnix()
		if err != nil {
			if s.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			s.log.Warn("control socket does not accept", "err", err)
			select {
			case <-time.After(acceptPause):
			case <-s.ctx.Done():
			}
			continue
		}
		select {
		case s.conns <- struct{}{}:
		default:
			s.log.Warn("control connection refused", "reason", "too many")
			_ = c.Close()
			continue
		}
		s.wg.Go(func() {
			defer func() { <-s.conns }()
			s.serve(c)
		})
	}
}

func (s *Server) serve(c *net.UnixConn) {
	defer c.Close()
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })()
	if err := allowed(c); err != nil {
		s.log.Warn("control connection refused", "err", err)
		return
	}
	_ = c.SetReadDeadline(time.Now().Add(requestTime))
	req, err := readRequest(c)
	if err != nil {
		if !errors.Is(err, io.EOF) { // a look whether anybody is there
			s.log.Debug("control request not read", "err", err)
		}
		return
	}
	_ = c.SetReadDeadline(time.Time{})
	if ctx.Err() != nil {
		return
	}
	// The client sends nothing more: what ends this read is its going away.
	go func() {
		_, _ = c.Read(make([]byte, 1))
		cancel()
	}()
	out := frames{deadlined{c}}
	buffered := bufio.NewWriterSize(out, outputBuffer)
	status := []byte{0}
	if err := s.tree.Run(ctx, req.Args, req.JSON, buffered); err != nil {
		status[0] = 1
		if len(req.Args) > 0 {
			s.log.Debug("control command failed", "command", req.Args[0], "err", err)
		}
	}
	if err := buffered.Flush(); err == nil {
		_ = out.frame(frameExit, status)
	}
}

// deadlined gives each write its time.
type deadlined struct{ c *net.UnixConn }

func (d deadlined) Write(p []byte) (int, error) {
	_ = d.c.SetWriteDeadline(time.Now().Add(writeTime))
	return d.c.Write(p)
}

// allowed checks the peer's user.
func allowed(c *net.UnixConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrPeer, err)
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil || credErr != nil {
		return fmt.Errorf("%w: %w", ErrPeer, errors.Join(err, credErr))
	}
	if cred.Uid != 0 && int(cred.Uid) != os.Getuid() {
		return fmt.Errorf("%w: uid %d", ErrPeer, cred.Uid)
	}
	return nil
}

// maxPath is what the kernel takes as a socket's path.
const maxPath = 107

// viaShortPath calls f with the path, or with a detour through /proc where the
// path is longer than the kernel takes.
func viaShortPath(file string, f func(path string) error) error {
	if len(file) <= maxPath {
		return f(file)
	}
	dir, err := os.Open(filepath.Dir(file))
	if err != nil {
		return err
	}
	defer dir.Close()
	return f(fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(file)))
}
