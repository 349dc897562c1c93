package listener

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// errUpgrade wraps whatever ends the WebSocket handshake.
var errUpgrade = errors.New("websocket upgrade")

const (
	// maxRequestSize bounds the upgrade request with all its headers.
	maxRequestSize = 16 << 10

	// wsReadBuffer is held by every WebSocket connection for its frame headers.
	wsReadBuffer = 512

	wsWriteBuffer = 4 << 10
)

// wsWriteBuffers are lent to connections while they write.
var wsWriteBuffers sync.Pool

// newUpgrader prepares the upgrader of a listener.
func newUpgrader(opts *WebSocketOptions) *websocket.Upgrader {
	return &websocket.Upgrader{
		ReadBufferSize:    wsReadBuffer,
		WriteBufferSize:   wsWriteBuffer,
		WriteBufferPool:   &wsWriteBuffers,
		Subprotocols:      opts.SupportedSubprotocols,
		EnableCompression: opts.Compress,
		CheckOrigin: func(r *http.Request) bool {
			if !opts.CheckOrigin {
				return true
			}
			origin := r.Header.Get("Origin")
			if origin == "" {
				return opts.AllowOriginAbsence
			}
			return slices.ContainsFunc(opts.CheckOrigins, func(allowed string) bool {
				return strings.EqualFold(strings.TrimSpace(allowed), origin)
			})
		},
	}
}

// upgrade performs the WebSocket handshake on nc, which lies on s. The deadlines
// are the caller's.
func upgrade(nc net.Conn, up *websocket.Upgrader, opts *WebSocketOptions, info *Info) (*websocket.Conn, error) {
	limited := &io.LimitedReader{R: nc, N: maxRequestSize}
	in := bufio.NewReaderSize(limited, 2<<10)
	w := &upgradeResponse{conn: nc, in: in}
	req, err := http.ReadRequest(in)
	if err != nil {
		if limited.N <= 0 {
			w.refuse(http.StatusRequestHeaderFieldsTooLarge)
		} else if !errors.Is(err, io.EOF) {
			w.refuse(http.StatusBadRequest)
		}
		return nil, fmt.Errorf("%w: %w", errUpgrade, err)
	}
	if req.URL.Path != opts.Path {
		w.refuse(http.StatusNotFound)
		return nil, fmt.Errorf("%w: no such path %q", errUpgrade, req.URL.Path)
	}
	if opts.FailIfNoSubprotocol && !slices.ContainsFunc(websocket.Subprotocols(req), func(p string) bool {
		return slices.Contains(opts.SupportedSubprotocols, p)
	}) {
		w.refuse(http.StatusBadRequest)
		return nil, fmt.Errorf("%w: none of the subprotocols %q is supported", errUpgrade, websocket.Subprotocols(req))
	}
	ws, err := up.Upgrade(w, req, nil)
	if err != nil {
		w.flush()
		return nil, fmt.Errorf("%w: %w", errUpgrade, err)
	}
	if opts.MaxFrameSize > 0 {
		ws.SetReadLimit(opts.MaxFrameSize)
	}
	info.WebSocket = &WebSocketInfo{Path: req.URL.Path, Subprotocol: ws.Subprotocol(), UserAgent: req.UserAgent()}
	if addr, ok := forwardedAddr(req.Header, opts, info.Peer.Addr()); ok {
		info.setRemote(addr)
	}
	return ws, nil
}

// forwardedAddr is the client's address by the headers that a proxy adds. The
// first address counts, as in EMQX; loopback addresses do not, since no proxy
// forwards for one and rules by address often trust them.
func forwardedAddr(h http.Header, opts *WebSocketOptions, peer netip.Addr) (*net.TCPAddr, bool) {
	if opts.ProxyAddressHeader == "" {
		return nil, false
	}
	if len(opts.TrustedProxies) > 0 && !slices.ContainsFunc(opts.TrustedProxies, func(p netip.Prefix) bool {
		return p.Contains(peer)
	}) {
		return nil, false
	}
	for part := range strings.SplitSeq(h.Get(opts.ProxyAddressHeader), ",") {
		addr, err := netip.ParseAddr(strings.Trim(strings.TrimSpace(part), "[]"))
		if err != nil || addr.Unmap().IsLoopback() || addr.IsUnspecified() {
			continue
		}
		var port uint64
		if opts.ProxyPortHeader != "" {
			first, _, _ := strings.Cut(h.Get(opts.ProxyPortHeader), ",")
			port, err = strconv.ParseUint(strings.TrimSpace(first), 10, 16)
			if err != nil {
				port = 0
			}
		}
		return net.TCPAddrFromAddrPort(netip.AddrPortFrom(addr, uint16(port))), true
	}
	return nil, false
}

// upgradeResponse is the http.ResponseWriter for one request that is either
// upgraded (Hijack) or refused.
type upgradeResponse struct {
	conn   net.Conn
	in     *bufio.Reader
	header http.Header
	status int
	body   []byte
}

func (w *upgradeResponse) Header() http.Header {
	if w.header == nil {
		w.header = make(http.Header)
	}
	return w.header
}

func (w *upgradeResponse) WriteHeader(status int) { w.status = status }

func (w *upgradeResponse) Write(p []byte) (int, error) {
	w.body = append(w.body, p...)
	return len(p), nil
}

// Hijack hands the connection to the upgrader.
func (w *upgradeResponse) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return w.conn, bufio.NewReadWriter(w.in, bufio.NewWriterSize(w.conn, wsWriteBuffer)), nil
}

// refuse answers the request with a status.
func (w *upgradeResponse) refuse(status int) {
	http.Error(w, http.StatusText(status), status)
	w.flush()
}

// flush sends the answer. The connection is closed next: errors do not matter.
func (w *upgradeResponse) flush() {
	if w.status == 0 {
		return
	}
	resp := &http.Response{
		StatusCode:    w.status,
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        w.Header(),
		Body:          io.NopCloser(strings.NewReader(string(w.body))),
		ContentLength: int64(len(w.body)),
		Close:         true,
	}
	_ = resp.Write(w.conn)
}

// errTextFrame is the end of a connection that sends text [MQTT-6.0.0-1].
var errTextFrame = fmt.Errorf("%w: websocket text frame", ErrMalformedPacket)

// wsStream reads the bytes of binary messages as one stream: packets need not
// respect the borders of messages [MQTT-6.0.0-2].
type wsStream struct {
	ws  *websocket.Conn
	msg io.Reader // the message being read, nil between two
}

// Read returns what the current message, or the next that is not empty, holds.
func (r *wsStream) Read(p []byte) (int, error) {
	for {
		if r.msg == nil {
			kind, msg, err := r.ws.NextReader()
			if err != nil {
				return 0, wsError(err)
			}
			if kind != websocket.BinaryMessage {
				return 0, errTextFrame
			}
			r.msg = msg
		}
		n, err := r.msg.Read(p)
		if errors.Is(err, io.EOF) {
			r.msg, err = nil, nil
		}
		if n > 0 || err != nil {
			return n, wsError(err)
		}
	}
}

// wsError gives the errors of the WebSocket layer the meaning they have below.
func wsError(err error) error {
	var closed *websocket.CloseError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &closed):
		return io.EOF
	case errors.Is(err, websocket.ErrReadLimit):
		return fmt.Errorf("%w: websocket message above max_frame_size", ErrPacketTooLarge)
	}
	return err
}

// wsLink is the link of a WebSocket connection.
func wsLink(ws *websocket.Conn, opts *WebSocketOptions) link {
	next := nextPackets
	if opts.Piggyback == "single" {
		next = nextPacket
	}
	return link{
		reader: &wsStream{ws: ws},
		write: func(p []byte, deadline time.Time) error {
			if err := ws.SetWriteDeadline(deadline); err != nil { // it sets the socket's with every write
				return err
			}
			return ws.WriteMessage(websocket.BinaryMessage, p)
		},
		next: next,
		bye: func() {
			_ = ws.WriteControl(websocket.CloseMessage,
				websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(time.Second))
			if tlsConn, ok := ws.NetConn().(*tls.Conn); ok {
				_ = tlsConn.CloseWrite()
			}
		},
	}
}

// nextPacket is the length of the packet at the beginning of p.
func nextPacket(p []byte) int {
	n, ok := packetLen(p)
	if !ok {
		return len(p)
	}
	return min(n, len(p))
}

// nextPackets is the length of as many whole packets as make about writeChunk.
func nextPackets(p []byte) int {
	if len(p) <= writeChunk {
		return len(p)
	}
	total := nextPacket(p)
	for total < len(p) {
		n := nextPacket(p[total:])
		if total+n > writeChunk {
			break
		}
		total += n
	}
	return total
}
