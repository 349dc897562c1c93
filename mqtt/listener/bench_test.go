package listener

import (
	"io"
	"testing"
)

// BenchmarkAppend is what a message costs when others follow before the flush.
func BenchmarkAppend(b *testing.B) {
	c, peer, _ := pair(b, testConfig(TCP), discard)
	go func() { _, _ = io.Copy(io.Discard, onlyReader{peer}) }()
	packet := publishPacket(128)
	encode := func(buf []byte) []byte { return append(buf, packet...) }
	writable := make(chan struct{}, 1)
	c.SetOnWritable(func() { writable <- struct{}{} })
	b.ReportAllocs()
	b.SetBytes(int64(len(packet)))
	n := 0
	for b.Loop() {
		if err := c.Append(encode); err != nil {
			b.Fatal(err)
		}
		if n++; n%64 == 0 {
			c.Flush()
		}
		if !c.Writable() {
			c.Flush()
			<-writable
		}
	}
}

// BenchmarkAppendFlush is a message that leaves alone: one system call each.
func BenchmarkAppendFlush(b *testing.B) {
	c, peer, _ := pair(b, testConfig(TCP), discard)
	go func() { _, _ = io.Copy(io.Discard, onlyReader{peer}) }()
	packet := publishPacket(128)
	encode := func(buf []byte) []byte { return append(buf, packet...) }
	b.ReportAllocs()
	b.SetBytes(int64(len(packet)))
	for b.Loop() {
		if err := c.Append(encode); err != nil {
			b.Fatal(err)
		}
		c.Flush()
	}
}

// BenchmarkRead is what a packet costs in Read when the peer sends many at once,
// asked for in the small pieces that a decoder reads.
func BenchmarkRead(b *testing.B) {
	conns := make(chan *Conn)
	release := make(chan struct{})
	l := start(b, testConfig(TCP), func(c *Conn) error {
		conns <- c
		<-release
		return nil
	})
	peer := dial(b, l)
	c := <-conns
	go func() {
		batch := connectPacket
		for {
			if _, err := peer.Write(batch); err != nil {
				return
			}
			if len(batch) < 1000 {
				for range 200 {
					batch = append(batch, publishPacket(128)...)
				}
				batch = batch[len(connectPacket):]
			}
		}
	}()
	packet := publishPacket(128)
	buf := make([]byte, len(packet))
	if _, err := io.ReadFull(c, buf[:len(connectPacket)]); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(packet)))
	for b.Loop() {
		if _, err := io.ReadFull(c, buf); err != nil {
			b.Fatal(err)
		}
	}
	close(release)
}

// BenchmarkSetDeadline is mochi's renewal of the deadline for every packet.
func BenchmarkSetDeadline(b *testing.B) {
	c, _, _ := pair(b, testConfig(TCP), discard)
	deadline := epoch.Add(1e15)
	b.ReportAllocs()
	for b.Loop() {
		deadline = deadline.Add(1)
		if err := c.SetDeadline(deadline); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkScan is the frame guard alone, for PUBLISH packets of 128 bytes.
func BenchmarkScan(b *testing.B) {
	const n = 100
	s := scanner{max: 1 << 20}
	if _, err := s.scan(connectPacket); err != nil {
		b.Fatal(err)
	}
	var in []byte
	for range n {
		in = append(in, publishPacket(128)...)
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		if _, err := s.scan(in); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/packet")
}
