package hook_test

import (
	"fmt"
	"io"
	"testing"

	"ermine/actors/message"
	"ermine/actors/session"
)

// BenchmarkWritePublish is what a session pays for each message that it sends:
// encoded into the connection's buffer, which leaves every 64 messages.
func BenchmarkWritePublish(b *testing.B) {
	for _, bc := range []struct {
		name    string
		version byte
		props   string // of CONNECT
		msg     *message.Message
	}{
		{"v4", 4, "", &message.Message{Topic: "sensors/room-12/temperature", Payload: make([]byte, 128)}},
		{"v5", 5, "", &message.Message{Topic: "sensors/room-12/temperature", Payload: make([]byte, 128)}},
		{"v5-alias", 5, "22 0010", &message.Message{Topic: "sensors/room-12/temperature", Payload: make([]byte, 128)}},
		{"v5-properties", 5, "", &message.Message{
			Topic: "sensors/room-12/temperature", Payload: make([]byte, 128), Expires: 1 << 40,
			Props: &message.Properties{ContentType: "application/json", User: []message.UserProperty{{Key: "k", Value: "v"}}},
		}},
	} {
		b.Run(bc.name, func(b *testing.B) {
			w := newWorld(b)
			c := w.dial()
			c.send(connectPacket{version: bc.version, id: "c", clean: true, props: bc.props}.bytes())
			c.packet()
			go func() { _, _ = io.Copy(io.Discard, c.conn) }()
			conn := w.session().req.Conn
			n := 0
			b.ReportAllocs()
			for b.Loop() {
				n++
				conn.WritePublish(0, session.Outgoing{Msg: bc.msg, QoS: 1, PacketID: 7, SubID: 1})
				if n%64 == 0 {
					conn.Flush()
					for !conn.Writable() {
						conn.Flush()
					}
				}
			}
		})
	}
}

// BenchmarkPublish is the whole way in: socket, packet, validation,
// authorization, session. The client writes 64 packets at a time.
func BenchmarkPublish(b *testing.B) {
	for _, version := range []byte{4, 5} {
		for _, qos := range []byte{0, 1} {
			b.Run(fmt.Sprintf("v%d-qos%d", version, qos), func(b *testing.B) {
				w := newWorld(b)
				w.broker.onOpen = func(s *fakeSession) { s.events = nil }
				c := w.dial()
				c.send(connectPacket{version: version, id: "c", clean: true}.bytes())
				c.packet()
				s := w.session()
				go func() { _, _ = io.Copy(io.Discard, c.conn) }()
				const batch = 64
				taken := make(chan struct{}, 1)
				n := 0
				s.onPublish = func() {
					if n++; n%batch == 0 {
						taken <- struct{}{}
					}
				}
				var packets []byte
				for range batch {
					packets = append(packets, publishPacket(version, 0x30|qos<<1, "sensors/room-12/temperature", 7, "", string(make([]byte, 128)))...)
				}
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					if i%batch == 0 {
						c.send(packets)
						<-taken
					}
				}
			})
		}
	}
}
