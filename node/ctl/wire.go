package ctl

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
)

// The frames of the protocol. Only append: programs of another version may be at
// the other end.
const (
	frameOutput = 'o'
	frameExit   = 'x'
)

const (
	maxRequest = 1 << 20
	maxFrame   = 32 << 10
	headerLen  = 5
)

// request is what a client asks. Fields are only ever added.
type request struct {
	Args []string `json:"args"`
	JSON bool     `json:"json,omitempty"`
}

func writeRequest(w io.Writer, r request) error {
	body, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode request: %w", err)
	}
	if len(body) > maxRequest {
		return fmt.Errorf("%w: a request of %d bytes", ErrProtocol, len(body))
	}
	_, err = w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)) //nolint:gosec // bounded above
	return err
}

func readRequest(r io.Reader) (req request, err error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return req, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > maxRequest {
		return req, fmt.Errorf("%w: a request of %d bytes", ErrProtocol, n)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return req, err
	}
	if err := json.Unmarshal(body, &req); err != nil {
		return req, fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	return req, nil
}

// frames writes output as frames; a bufio.Writer in front of it collects.
type frames struct{ w io.Writer }

func (f frames) Write(p []byte) (int, error) {
	for n := 0; n < len(p); n += maxFrame {
		if err := f.frame(frameOutput, p[n:min(n+maxFrame, len(p))]); err != nil {
			return n, err
		}
	}
	return len(p), nil
}

func (f frames) frame(kind byte, content []byte) error {
	b := make([]byte, headerLen, headerLen+len(content))
	b[0] = kind
	binary.BigEndian.PutUint32(b[1:], uint32(len(content))) //nolint:gosec // at most maxFrame
	_, err := f.w.Write(append(b, content...))
	return err
}

// readFrames copies the output to out and returns the exit status. Unknown kinds
// of frames are skipped.
func readFrames(r *bufio.Reader, out io.Writer) (status int, err error) {
	var head [headerLen]byte
	body := make([]byte, maxFrame)
	for {
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return 1, fmt.Errorf("read answer: %w", err)
		}
		n := binary.BigEndian.Uint32(head[1:])
		if n > maxFrame {
			return 1, fmt.Errorf("%w: a frame of %d bytes", ErrProtocol, n)
		}
		if _, err := io.ReadFull(r, body[:n]); err != nil {
			return 1, fmt.Errorf("read answer: %w", err)
		}
		switch head[0] {
		case frameOutput:
			if _, err := out.Write(body[:n]); err != nil {
				return 1, fmt.Errorf("write output: %w", err)
			}
		case frameExit:
			if n != 1 {
				return 1, fmt.Errorf("%w: an exit status of %d bytes", ErrProtocol, n)
			}
			return int(body[0]), nil
		}
	}
}
