package proto

import (
	"net"
	"testing"

	"ermine/node/dist/etf"
	"ermine/node/dist/handshake"
)

// loopback connects two Conns over TCP; each signal that b receives goes to
// handle.
func loopback(b *testing.B, handle func(Signal) error) *Conn {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	dialled, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	accepted, err := l.Accept()
	if err != nil {
		b.Fatal(err)
	}
	from := New(config(dialled, "a@h", "b@h", handshake.Supported))
	to := New(config(accepted, "b@h", "a@h", handshake.Supported))
	go func() { _ = from.Serve(func(Signal) error { return nil }) }()
	go func() { _ = to.Serve(handle) }()
	b.Cleanup(func() {
		from.Close(nil, 0)
		to.Close(nil, 0)
	})
	return from
}

// BenchmarkSend200 is the rate of 200-byte messages over loopback TCP, encoded
// and decoded.
func BenchmarkSend200(b *testing.B) {
	done := make(chan struct{})
	n, received := 0, 0
	from := loopback(b, func(Signal) error {
		if received++; received == n {
			close(done)
		}
		return nil
	})
	var term any = etf.Tuple{etf.Atom("message"), make([]byte, 200)}
	sig := &Send{From: pidA, To: pidB, Message: term}
	n = b.N
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if err := from.Send(b.Context(), sig); err != nil {
			b.Fatal(err)
		}
	}
	<-done
}
