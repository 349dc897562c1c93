package mqtt_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"testing"
	"time"
)

// BenchmarkDelivery is a message's whole way through the broker, from one
// client's socket to another's, with 128 bytes of payload and at most 512
// messages under way; the clients' own work on both sockets is in it.
func BenchmarkDelivery(b *testing.B) {
	for _, version := range []byte{4, 5} {
		for _, qos := range []byte{0, 1} {
			b.Run(fmt.Sprintf("v%d-qos%d", version, qos), func(b *testing.B) {
				_, _, address := start(b)
				sub := rawConnect(b, address, version, "sub")
				body := []byte{0, 1}
				if version == 5 {
					body = append(body, 0)
				}
				body = append(body, 0, 1, 't', qos)
				send(b, sub, append([]byte{0x82, byte(len(body))}, body...))
				expectType(b, sub, 0x90)
				pub := rawConnect(b, address, version, "pub")
				go func() { _, _ = io.Copy(io.Discard, pub) }() // acknowledgements

				const batch, window = 64, 8
				body = []byte{0, 1, 't'}
				if qos > 0 {
					body = append(body, 0, 7)
				}
				if version == 5 {
					body = append(body, 0)
				}
				body = append(body, make([]byte, 128)...)
				one := append([]byte{0x30 | qos<<1, byte(len(body) | 0x80), byte(len(body) >> 7)}, body...)
				packets := bytes.Repeat(one, batch)
				room := make(chan struct{}, window)
				go func() {
					buf := make([]byte, 64<<10)
					var acks []byte
					bytes, messages, id := 0, 0, uint16(0)
					for {
						n, err := sub.Read(buf)
						if err != nil {
							return
						}
						acks = acks[:0]
						for bytes += n; bytes >= len(one); bytes -= len(one) {
							if id++; id == 0 {
								id = 1 // the broker counts like this
							}
							acks = append(acks, 0x40, 2, byte(id>>8), byte(id))
							if messages++; messages%batch == 0 {
								<-room
							}
						}
						if qos > 0 {
							_, _ = sub.Write(acks)
						}
					}
				}()
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					if i%batch == 0 {
						room <- struct{}{}
						send(b, pub, packets)
					}
				}
			})
		}
	}
}

func rawConnect(t testing.TB, address string, version byte, id string) net.Conn {
	t.Helper()
	nc, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	body := []byte{0, 4, 'M', 'Q', 'T', 'T', version, 2, 0, 0}
	if version == 5 {
		body = append(body, 0)
	}
	body = append(append(body, 0, byte(len(id))), id...)
	send(t, nc, append([]byte{0x10, byte(len(body))}, body...))
	expectType(t, nc, 0x20)
	return nc
}

func send(t testing.TB, nc net.Conn, b []byte) {
	t.Helper()
	if _, err := nc.Write(b); err != nil {
		t.Fatal(err)
	}
}

// expectType reads one short packet, which must begin with this byte.
func expectType(t testing.TB, nc net.Conn, first byte) {
	t.Helper()
	_ = nc.SetReadDeadline(time.Now().Add(patience))
	head := make([]byte, 2)
	if _, err := io.ReadFull(nc, head); err != nil || head[0] != first {
		t.Fatalf("got %x, %v; want %x", head, err, first)
	}
	if _, err := io.ReadFull(nc, make([]byte, head[1])); err != nil {
		t.Fatal(err)
	}
	_ = nc.SetReadDeadline(time.Time{})
}
