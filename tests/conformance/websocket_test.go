package conformance

import (
	"net/http"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"ermine/mqtt/listener"
	"ermine/tests/conformance/brokertest"
)

// framed is a WebSocket as a byte stream: it reads what the broker's binary
// frames hold, and writes frames of a given size.
type framed struct {
	*websocket.Conn
	size int
	rest []byte
}

func (f *framed) Read(p []byte) (int, error) {
	for len(f.rest) == 0 {
		kind, frame, err := f.ReadMessage()
		if err != nil {
			return 0, err
		}
		if kind != websocket.BinaryMessage {
			return 0, websocket.ErrBadHandshake
		}
		f.rest = frame
	}
	n := copy(p, f.rest)
	f.rest = f.rest[n:]
	return n, nil
}

func (f *framed) Write(p []byte) (int, error) {
	size := f.size
	if size == 0 {
		size = len(p)
	}
	for at := 0; at < len(p); at += size {
		if err := f.WriteMessage(websocket.BinaryMessage, p[at:min(at+size, len(p))]); err != nil {
			return at, err
		}
	}
	return len(p), nil
}

func (f *framed) SetDeadline(t time.Time) error {
	f.SetReadDeadline(t)
	return f.SetWriteDeadline(t)
}

// TestWebSocket: MQTT inside of frames.
func TestWebSocket(t *testing.T) {
	t.Parallel()
	b := start(t, func(c *brokertest.Config) { c.Listen(t, listener.WS, "default") })
	address := "ws://" + b.Address(t, "ws:default") + "/mqtt"
	dial := func(t *testing.T, version byte, size int) *client {
		t.Helper()
		d := websocket.Dialer{Subprotocols: []string{"mqtt"}, HandshakeTimeout: patience}
		ws, res, err := d.DialContext(t.Context(), address, nil)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return newClient(t, &framed{Conn: ws, size: size}, version)
	}
	t.Run("v3.1.1 v5 [MQTT-6.0.0-4] the subprotocol mqtt", func(t *testing.T) {
		d := websocket.Dialer{Subprotocols: []string{"chat", "mqtt"}}
		ws, res, err := d.DialContext(t.Context(), address, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer ws.Close()
		if got := res.Header.Get("Sec-WebSocket-Protocol"); got != "mqtt" {
			t.Errorf("the server chose %q", got)
		}
		res.Body.Close()
		d.Subprotocols = []string{"chat"}
		ws, res, err = d.DialContext(t.Context(), address, nil)
		if err == nil {
			ws.Close()
			t.Fatal("a client without the subprotocol was let in")
		}
		if res == nil || res.StatusCode == http.StatusSwitchingProtocols {
			t.Errorf("got %v, %v", res, err)
		}
	})
	both(t, "v3.1.1 v5 [MQTT-6.0.0-2] packets and frames are not aligned", func(t *testing.T, version byte) {
		for _, size := range []int{1, 7, 0} {
			topic := unique("t/")
			c := dial(t, version, size)
			c.open()
			c.subscribe(filter{topic, 2})
			p := b.connect(t, version)
			p.publish(topic, "in", qos2)
			c.receive(topic, "in")
			w := b.connect(t, version)
			w.subscribe(filter{topic + "/out", 1})
			c.send(append(message(topic+"/out", "1", 0, 0).encode(version), message(topic+"/out", "2", qos1, 9).encode(version)...))
			c.want(ack(tPuback, 9))
			w.receive(topic+"/out", "1")
			w.receive(topic+"/out", "2")
		}
	})
	both(t, "v3.1.1 v5 [MQTT-6.0.0-1] a text frame closes the connection", func(t *testing.T, version byte) {
		topic := unique("will/")
		w := b.watcher(t, topic)
		c := dial(t, version, 0)
		c.open(withWill(will{topic: topic, payload: "dead"}))
		ws := c.conn.(*framed).Conn
		if err := ws.WriteMessage(websocket.TextMessage, []byte{0xC0, 0x00}); err != nil {
			t.Fatal(err)
		}
		for {
			p, err := c.next()
			if err != nil {
				break
			}
			if p.kind != tDisconnect {
				t.Fatalf("got %v", p)
			}
		}
		w.receive(topic, "dead")
	})
	both(t, "a malformed packet", func(t *testing.T, version byte) {
		c := dial(t, version, 0)
		c.open()
		c.send(frame(0x0f))
		c.wantEnd(0x81)
	})
}
