package listener

import (
	"crypto/tls"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// dialType connects with the listener's transport and returns the MQTT stream.
func dialType(t testing.TB, l *Listener) net.Conn {
	t.Helper()
	switch l.Config().Type {
	case TCP:
		return dial(t, l)
	case SSL:
		return dialTLS(t, l, &tls.Config{InsecureSkipVerify: true})
	default:
		return dialWS(t, l, nil)
	}
}

func dialTLS(t testing.TB, l *Listener, conf *tls.Config) *tls.Conn {
	t.Helper()
	conn := tls.Client(dial(t, l), conf)
	if err := conn.Handshake(); err != nil {
		t.Fatal(err)
	}
	return conn
}

func dialWS(t testing.TB, l *Listener, header http.Header) *wsClient {
	t.Helper()
	scheme := "ws"
	if l.Config().Type == WSS {
		scheme = "wss"
	}
	d := websocket.Dialer{
		Subprotocols:     []string{"mqtt"},
		TLSClientConfig:  &tls.Config{InsecureSkipVerify: true},
		HandshakeTimeout: patience,
	}
	ws, resp, err := d.Dial(scheme+"://"+l.Address()+"/mqtt", header)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	t.Cleanup(func() { ws.Close() })
	if err := ws.UnderlyingConn().SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &wsClient{Conn: ws.NetConn(), stream: wsStream{ws: ws}}
}

// wsClient is a WebSocket as a stream of bytes.
type wsClient struct {
	net.Conn
	stream wsStream
}

func (c *wsClient) Read(p []byte) (int, error) { return c.stream.Read(p) }

func (c *wsClient) Write(p []byte) (int, error) {
	return len(p), c.stream.ws.WriteMessage(websocket.BinaryMessage, p)
}
