package listener

import (
	"io"
	"net"
	"runtime"
	"syscall"
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

// BenchmarkIdleConnection is what a connection without traffic takes, with a
// reader as small as can be; the clients are bare sockets.
func BenchmarkIdleConnection(b *testing.B) {
	const n = 4000
	conf := testConfig(TCP)
	conf.TCPOptions.Backlog = n
	var l *Listener
	var used uint64
	for b.Loop() {
		l = start(b, conf, func(c *Conn) error {
			var buf [64]byte
			for {
				if _, err := c.Read(buf[:]); err != nil {
					return err
				}
			}
		})
		before := memory()
		addr := l.Address()
		tcpAddr, err := net.ResolveTCPAddr("tcp", addr)
		if err != nil {
			b.Fatal(err)
		}
		sa := &syscall.SockaddrInet4{Port: tcpAddr.Port}
		copy(sa.Addr[:], tcpAddr.IP.To4())
		var fds []int
		for range n {
			fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
			if err != nil {
				b.Fatal(err)
			}
			fds = append(fds, fd)
			if err := syscall.Connect(fd, sa); err != nil {
				b.Fatal(err)
			}
			if _, err := syscall.Write(fd, connectPacket); err != nil {
				b.Fatal(err)
			}
		}
		bytesIn := func() (total uint64) {
			l.eachConn(func(c *Conn) { total += c.BytesIn() })
			return total
		}
		eventually(b, "all have sent", func() bool { return bytesIn() == uint64(n*len(connectPacket)) })
		used += (memory() - before) / n
		for _, fd := range fds {
			_ = syscall.Close(fd)
		}
		l.Close(nil)
	}
	b.ReportMetric(float64(used)/float64(b.N), "B/conn")
}

func memory() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// BenchmarkRawWrite is the system call of BenchmarkAppendFlush alone.
func BenchmarkRawWrite(b *testing.B) {
	c, peer, _ := pair(b, testConfig(TCP), discard)
	go func() { _, _ = io.Copy(io.Discard, onlyReader{peer}) }()
	packet := publishPacket(128)
	for b.Loop() {
		if _, err := c.sock.tc.Write(packet); err != nil {
			b.Fatal(err)
		}
	}
}
