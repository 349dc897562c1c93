package ctl

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"time"
)

// ErrNoNode is returned by Run when nobody listens on the socket.
var ErrNoNode = errors.New("no node answers")

// dialTime bounds the connect; the kernel answers at once unless the node's
// queue of connections is full.
const dialTime = 5 * time.Second

// Run runs a command on the node behind a socket, copies its output to out as it
// comes and returns its exit status. It blocks until the command ends or ctx
// does. ErrNoNode if nobody is there, ErrPeer if the socket is another user's.
func Run(ctx context.Context, socket string, args []string, asJSON bool, out io.Writer) (status int, err error) {
	var c net.Conn
	err = viaShortPath(socket, func(path string) (err error) {
		d := net.Dialer{Timeout: dialTime}
		c, err = d.DialContext(ctx, "unix", path)
		return err
	})
	switch {
	case errors.Is(err, fs.ErrPermission): // a node may well be there
		return 1, fmt.Errorf("%w: %w", ErrPeer, err)
	case err != nil:
		return 1, fmt.Errorf("%w: %w", ErrNoNode, err)
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })()
	if err := writeRequest(c, request{Args: args, JSON: asJSON}); err != nil {
		return 1, fmt.Errorf("send command: %w", err)
	}
	return readFrames(bufio.NewReader(c), out)
}
