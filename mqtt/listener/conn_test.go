package listener

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"testing"
	"time"
)

func TestReadHandsOutWholePacketsOnly(t *testing.T) {
	type read struct {
		p   []byte
		err error
	}
	reads := make(chan read)
	c, peer, _ := pair(t, testConfig(TCP), func(c *Conn) error {
		buf := make([]byte, 4096)
		for {
			n, err := c.Read(buf)
			reads <- read{bytes.Clone(buf[:n]), err}
			if err != nil {
				return err
			}
		}
	})
	input := join(connectPacket, publishPacket(10), publishPacket(0), publishPacket(1000))
	borders := map[int]bool{15: true, 30: true, 35: true, len(input): true}
	go func() {
		for i := range input { // a byte at a time
			if _, err := peer.Write(input[i : i+1]); err != nil {
				return
			}
		}
	}()
	var got []byte
	for len(got) < len(input) {
		r := await(t, reads, "input")
		if r.err != nil {
			t.Fatal(r.err)
		}
		got = append(got, r.p...)
		if !borders[len(got)] {
			t.Fatalf("Read ended at %d, within a packet", len(got))
		}
	}
	if !bytes.Equal(got, input) {
		t.Error("the bytes differ")
	}
	if c.PacketsIn() != 4 || c.PublishesIn() != 3 || c.BytesIn() != uint64(len(input)) {
		t.Errorf("counted %d packets, %d publishes, %d bytes", c.PacketsIn(), c.PublishesIn(), c.BytesIn())
	}
	// A packet that is not finished is not seen; half-close ends the stream.
	send(t, peer, publishPacket(50)[:20])
	if err := peer.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if r := await(t, reads, "the end"); len(r.p) != 0 || !errors.Is(r.err, io.EOF) {
		t.Errorf("got %x, %v; want EOF", r.p, r.err)
	}
}

// The decoder must never see a length of which the bytes are not there, and a
// large packet must take memory only as it arrives.
func TestInputGrowsWithWhatHasArrived(t *testing.T) {
	conf := testConfig(TCP)
	conf.MaxPacketSize = 8 << 20
	sizes := make(chan int, 1024)
	c, peer, _ := pair(t, conf, func(c *Conn) error {
		c.SetBeforeRead(func() {
			size := 0
			if c.in != nil {
				size = cap(c.in.b)
			}
			select {
			case sizes <- size:
			default:
			}
		})
		got, err := io.ReadAll(onlyReader{c})
		if err == nil && len(got) != len(connectPacket)+len(publishPacket(5<<20)) {
			err = fmt.Errorf("read %d bytes", len(got))
		}
		return err
	})
	if size := await(t, sizes, "the first wait"); size != 0 {
		t.Errorf("an idle connection holds %d bytes", size)
	}
	send(t, peer, connectPacket)
	packet := publishPacket(5 << 20)
	send(t, peer, packet[:3000])
	eventually(t, "3000 bytes have arrived", func() bool { return c.BytesIn() == 3015 })
	var size int
	eventually(t, "the connection waits again", func() bool {
		select {
		case size = <-sizes:
		default:
		}
		return size > 0
	})
	if size > 16<<10 {
		t.Errorf("3000 bytes of a packet of 5 MB hold %d bytes", size)
	}
	send(t, peer, packet[3000:])
	if err := peer.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	expectEOF(t, peer)
	if err := c.CloseReason(); err != nil {
		t.Error(err)
	}
}

func TestReadRefusesBadFraming(t *testing.T) {
	tests := []struct {
		name   string
		in     []byte
		reason string
		err    error
	}{
		{"[MQTT-3.1.0-1] PUBLISH first", publishPacket(1), "unexpected_packet", ErrFirstPacket},
		{"length bytes without end", join(connectPacket, []byte{0x30, 0xff, 0xff, 0xff, 0xff, 0xff}), "malformed_packet", ErrMalformedPacket},
		{"too large", join(connectPacket, []byte{0x30, 0xff, 0xff, 0xff, 0x7f}), "frame_too_large", ErrPacketTooLarge},
		{"CONNECT too large", []byte{0x10, 0xff, 0xff, 0xff, 0x7f}, "frame_too_large", ErrPacketTooLarge},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			errs := make(chan error, 1)
			_, peer, l := pair(t, testConfig(TCP), func(c *Conn) error {
				err := discard(c)
				errs <- err
				return err
			})
			send(t, peer, tt.in)
			if err := await(t, errs, "the error"); !errors.Is(err, tt.err) {
				t.Errorf("got %v, want %v", err, tt.err)
			}
			expectEOF(t, peer)
			shutdowns(t, l, tt.reason, 1)
		})
	}
}

func TestPacketsBeforeABadOneAreDelivered(t *testing.T) {
	got := make(chan []byte, 1)
	_, peer, _ := pair(t, testConfig(TCP), func(c *Conn) error {
		p, err := io.ReadAll(onlyReader{c})
		got <- p
		return err
	})
	good := join(connectPacket, publishPacket(5))
	send(t, peer, join(good, []byte{0x00, 0x00}))
	if p := await(t, got, "input"); !bytes.Equal(p, good) {
		t.Errorf("delivered %x, want %x", p, good)
	}
}

// Output keeps its order whoever flushes, with a peer that reads in fits.
func TestOutputOrder(t *testing.T) {
	for _, typ := range []Type{TCP, SSL, WS} {
		t.Run(string(typ), func(t *testing.T) {
			conf := testConfig(typ)
			conf.CertDir = t.TempDir()
			conf.TCPOptions.SendBuffer = 8 << 10
			conf.TCPOptions.HardLimit = 0
			const rounds = 2000
			writable := make(chan struct{}, 1)
			l := start(t, conf, func(c *Conn) error {
				c.SetOnWritable(func() {
					select {
					case writable <- struct{}{}:
					default:
					}
				})
				var wg sync.WaitGroup
				stop := make(chan struct{})
				wg.Go(func() { // a second goroutine that flushes
					for {
						select {
						case <-stop:
							return
						default:
							c.Flush()
						}
					}
				})
				rng := rand.New(rand.NewPCG(1, 2))
				for i := range rounds {
					p := orderedPacket(i, rng.IntN(3000))
					if err := c.Append(func(b []byte) []byte { return append(b, p...) }); err != nil {
						return err
					}
					if i%3 == 0 {
						c.Flush()
					}
					if !c.Writable() {
						c.Flush()
						<-writable
					}
				}
				c.Flush()
				close(stop)
				wg.Wait()
				return discard(c)
			})
			peer := dialType(t, l)
			in := newSlowReader(peer)
			rng := rand.New(rand.NewPCG(1, 2))
			for i := range rounds {
				expect(t, in, orderedPacket(i, rng.IntN(3000)))
			}
		})
	}
}

// orderedPacket is a PUBLISH with a number in it.
func orderedPacket(i, n int) []byte {
	p := publishPacket(n + 8)
	copy(p[len(p)-8:], fmt.Sprintf("%08d", i))
	return p
}

// slowReader yields now and then, so that the sender's socket fills.
type slowReader struct {
	r io.Reader
	n int
}

func newSlowReader(r io.Reader) *slowReader { return &slowReader{r: r} }

func (s *slowReader) Read(p []byte) (int, error) {
	if s.n++; s.n%200 == 0 {
		<-time.After(time.Millisecond)
	}
	return s.r.Read(p)
}

func TestPeerThatDoesNotRead(t *testing.T) {
	conf := testConfig(TCP)
	conf.TCPOptions.HighWatermark = 64 << 10
	conf.TCPOptions.SendBuffer = 16 << 10
	writable := make(chan int, 16)
	c, peer, _ := pair(t, conf, discard)
	c.SetOnWritable(func() { writable <- c.Buffered() })
	packet := publishPacket(1000)
	sent := 0
	for c.Writable() {
		if err := c.AppendBytes(packet); err != nil {
			t.Fatal(err)
		}
		c.Flush() // would block here if it ever did
		sent += len(packet)
	}
	if c.Buffered() <= 64<<10 {
		t.Errorf("not writable with %d bytes pending", c.Buffered())
	}
	select {
	case <-writable:
		t.Error("OnWritable before the peer has read anything")
	default:
	}
	if n, err := io.CopyN(io.Discard, peer, int64(sent)); err != nil {
		t.Fatalf("after %d of %d bytes: %v", n, sent, err)
	}
	if left := await(t, writable, "OnWritable"); left > 32<<10 {
		t.Errorf("OnWritable with %d bytes pending", left)
	}
	eventually(t, "all is sent", func() bool { return c.Buffered() == 0 && c.Writable() })
	if n := c.BytesOut(); n != uint64(sent) {
		t.Errorf("counted %d bytes out of %d", n, sent)
	}
	select {
	case <-writable:
		t.Error("OnWritable twice for one congestion")
	default:
	}
}

// The writer goroutine leaves no deadline behind: a flush long after it must work.
func TestNoWriteDeadlineIsLeftBehind(t *testing.T) {
	conf := testConfig(TCP)
	conf.TCPOptions.SendTimeout = 200 * time.Millisecond
	c, peer, _ := pair(t, conf, discard)
	packet := publishPacket(1 << 20)
	received := make(chan error, 1)
	go func() {
		_, err := io.CopyN(io.Discard, peer, int64(8*len(packet)))
		received <- err
	}()
	for range 8 { // more than fits the socket: the rest is the writer's
		if err := c.AppendBytes(packet); err != nil {
			t.Fatal(err)
		}
	}
	c.Flush()
	if err := await(t, received, "the output"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the writer has ended", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return !c.busy
	})
	<-time.After(conf.TCPOptions.SendTimeout) // what is tested is that this changes nothing
	send(t, c, publishPacket(1))
	expect(t, peer, publishPacket(1))
	if err := c.CloseReason(); err != nil {
		t.Error(err)
	}
}

// Once reads have been stopped no deadline makes them wait again.
func TestStoppedReadsStayStopped(t *testing.T) {
	got := make(chan error, 1)
	conf := testConfig(TCP)
	conf.IdleTimeout = 2 * time.Hour
	pair(t, conf, func(c *Conn) error {
		c.sock.stopReads()
		_ = c.SetDeadline(time.Now().Add(time.Hour)) // before the deadline for CONNECT
		_, err := c.sock.read(make([]byte, 1))
		got <- err
		return err
	})
	if err := await(t, got, "the read"); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func TestHardLimitAborts(t *testing.T) {
	conf := testConfig(TCP)
	conf.TCPOptions.HighWatermark = 64 << 10
	conf.TCPOptions.HardLimit = 256 << 10
	closed := make(chan error, 2)
	c, peer, l := pair(t, conf, discard)
	c.SetOnClosed(func(err error) { closed <- err })
	var err error
	for err == nil {
		err = c.AppendBytes(publishPacket(10_000))
	}
	if !errors.Is(err, ErrOutputOverflow) {
		t.Errorf("got %v", err)
	}
	if err := c.AppendBytes([]byte{0}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("append after the abort: %v", err)
	}
	if err := await(t, closed, "OnClosed"); !errors.Is(err, ErrOutputOverflow) {
		t.Errorf("closed with %v", err)
	}
	if _, err := io.Copy(io.Discard, onlyReader{peer}); err != nil && !isReset(err) {
		t.Errorf("the peer got %v", err)
	}
	shutdowns(t, l, "output_overflow", 1)
	if len(closed) != 0 {
		t.Error("OnClosed twice")
	}
}

func isReset(err error) bool {
	var oe *net.OpError
	return errors.As(err, &oe)
}

func TestSendTimeout(t *testing.T) {
	for _, typ := range []Type{TCP, SSL, WS} {
		t.Run(string(typ), func(t *testing.T) {
			conf := testConfig(typ)
			conf.CertDir = t.TempDir()
			conf.TCPOptions.SendTimeout = 50 * time.Millisecond
			conf.TCPOptions.HardLimit = 0
			closed := make(chan error, 1)
			l := start(t, conf, func(c *Conn) error {
				c.SetOnClosed(func(err error) { closed <- err })
				for range 400 { // more than the kernel takes
					if err := c.AppendBytes(publishPacket(100_000)); err != nil {
						break
					}
				}
				c.Flush()
				return discard(c)
			})
			dialType(t, l)
			if err := await(t, closed, "OnClosed"); !errors.Is(err, ErrSendTimeout) {
				t.Errorf("closed with %v", err)
			}
			shutdowns(t, l, "send_timeout", 1)
		})
	}
}

func TestIdleConnectionHoldsNoBuffers(t *testing.T) {
	drained := make(chan bool, 64)
	c, peer, _ := pair(t, testConfig(TCP), func(c *Conn) error {
		c.SetBeforeRead(func() { drained <- c.in == nil })
		buf := make([]byte, 16)
		for {
			if _, err := c.Read(buf); err != nil {
				return err
			}
		}
	})
	await(t, drained, "the first wait")
	send(t, peer, join(connectPacket, publishPacket(3)))
	if !await(t, drained, "the input to be drained") {
		t.Error("the connection waits with an input buffer in hand")
	}
	send(t, c, publishPacket(3))
	expect(t, peer, publishPacket(3))
	eventually(t, "the output buffer is back", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.pend == nil && !c.busy
	})
}

func TestBeforeReadFlushesAcknowledgements(t *testing.T) {
	_, peer, _ := pair(t, testConfig(TCP), func(c *Conn) error {
		c.SetBeforeRead(c.Flush)
		buf := make([]byte, 4096)
		for {
			if _, err := c.Read(buf); err != nil {
				return err
			}
			if err := c.AppendBytes([]byte{0x40, 2, 0, 1}); err != nil {
				return err
			}
		}
	})
	send(t, peer, connectPacket)
	expect(t, peer, []byte{0x40, 2, 0, 1})
}

// Under input that never ends BeforeRead still runs.
func TestBeforeReadUnderSteadyInput(t *testing.T) {
	conf := testConfig(TCP)
	conf.MaxPacketSize = 0
	acked := make(chan struct{})
	_, peer, _ := pair(t, conf, func(c *Conn) error {
		var once sync.Once
		c.SetBeforeRead(func() {
			if c.PacketsIn() > 1 {
				once.Do(func() { close(acked) })
			}
		})
		return discard(c)
	})
	send(t, peer, connectPacket)
	for range 200 {
		if _, err := peer.Write(publishPacket(1000)); err != nil {
			t.Fatal(err)
		}
	}
	await(t, acked, "BeforeRead")
}

func TestAbortFromBeforeRead(t *testing.T) {
	closed := make(chan error, 1)
	_, peer, _ := pair(t, testConfig(TCP), func(c *Conn) error {
		c.SetOnClosed(func(err error) { closed <- err })
		c.SetBeforeRead(func() {
			if c.PacketsIn() > 0 {
				c.Abort(Reason("kicked"))
			}
		})
		return discard(c)
	})
	send(t, peer, connectPacket)
	if err := await(t, closed, "OnClosed"); !errors.Is(err, Reason("kicked")) {
		t.Errorf("closed with %v", err)
	}
	if _, err := peer.Read(make([]byte, 1)); err == nil {
		t.Error("the peer reads on")
	}
}

// The last words reach the peer although it is still sending: no reset eats them.
func TestFinishMayStillSend(t *testing.T) {
	for _, typ := range []Type{TCP, SSL, WS} {
		t.Run(string(typ), func(t *testing.T) {
			conf := testConfig(typ)
			conf.CertDir = t.TempDir()
			disconnect := []byte{0xe0, 2, 0x81, 0}
			order := make(chan string, 8)
			l := start(t, conf, func(c *Conn) error {
				c.SetFinish(func(err error) {
					order <- fmt.Sprintf("finish malformed=%t", errors.Is(err, ErrMalformedPacket))
					if err := c.AppendBytes(disconnect); err != nil {
						t.Error(err)
					}
				})
				c.SetOnClosed(func(err error) {
					order <- fmt.Sprintf("closed malformed=%t", errors.Is(err, ErrMalformedPacket))
					if c.AppendBytes(disconnect) == nil {
						t.Error("append works after the end")
					}
				})
				err := discard(c)
				c.Close() // mochi closes before establish returns
				return err
			})
			peer := dialType(t, l)
			send(t, peer, join(connectPacket, []byte{0x00}, bytes.Repeat([]byte{0x55}, 5000)))
			expect(t, peer, disconnect)
			if got := await(t, order, "Finish"); got != "finish malformed=true" {
				t.Error(got)
			}
			peer.Close()
			if got := await(t, order, "OnClosed"); got != "closed malformed=true" {
				t.Error(got)
			}
			shutdowns(t, l, "malformed_packet", 1)
		})
	}
}

func TestCloseUnblocksReadAndKeepsOutput(t *testing.T) {
	read := make(chan error, 1)
	c, peer, l := pair(t, testConfig(TCP), func(c *Conn) error {
		err := discard(c)
		read <- err
		return err
	})
	if err := c.AppendBytes([]byte{0xe0, 0}); err != nil { // not flushed
		t.Fatal(err)
	}
	if err := c.SetDeadline(time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	c.CloseWith(Reason("takenover"))
	if err := c.SetDeadline(time.Now().Add(time.Hour)); err != nil { // must not wake it up again
		t.Fatal(err)
	}
	if err := await(t, read, "Read to end"); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Read ended with %v", err)
	}
	expect(t, peer, []byte{0xe0, 0})
	expectEOF(t, peer)
	peer.Close()
	shutdowns(t, l, "takenover", 1)
}

func TestConnectDeadline(t *testing.T) {
	for _, typ := range []Type{TCP, SSL, WS} {
		t.Run(string(typ), func(t *testing.T) {
			conf := testConfig(typ)
			conf.CertDir = t.TempDir()
			conf.IdleTimeout = 200 * time.Millisecond
			errs := make(chan error, 1)
			l := start(t, conf, func(c *Conn) error {
				err := discard(c)
				errs <- err
				return err
			})
			peer := dialType(t, l)
			send(t, peer, connectPacket[:10])
			err := await(t, errs, "the deadline")
			if err != ErrConnectTimeout || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("got %v", err)
			}
			shutdowns(t, l, "idle_timeout", 1)
		})
	}
}

// A deadline that moves ahead is noted without touching the runtime's timer, and
// still comes.
func TestDeadlineMoves(t *testing.T) {
	errs := make(chan error, 1)
	c, peer, l := pair(t, testConfig(TCP), func(c *Conn) error {
		if err := c.SetDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
			return err
		}
		armed := c.sock.armed.Load()
		if err := c.SetDeadline(time.Now().Add(time.Hour)); err != nil {
			return err
		}
		if c.sock.armed.Load() != armed {
			t.Error("the timer was armed anew for a later deadline")
		}
		err := discard(c)
		errs <- err
		return err
	})
	eventually(t, "the early timer has fired", func() bool {
		return c.sock.armed.Load() == c.sock.want.Load()
	})
	send(t, peer, connectPacket)
	eventually(t, "Read goes on", func() bool { return c.PacketsIn() == 1 })
	// From none to one, and from late to early.
	for _, deadline := range []time.Time{{}, time.Now().Add(time.Hour), time.Now().Add(time.Millisecond)} {
		if err := c.SetDeadline(deadline); err != nil {
			t.Fatal(err)
		}
	}
	if err := await(t, errs, "the deadline"); err != ErrKeepAliveTimeout {
		t.Errorf("got %v", err)
	}
	shutdowns(t, l, "keepalive_timeout", 1)
}

func TestReadAfterADeadlineIsMovedOn(t *testing.T) {
	got := make(chan error, 1)
	resume := make(chan struct{})
	_, peer, _ := pair(t, testConfig(TCP), func(c *Conn) error {
		_ = c.SetDeadline(time.Now().Add(-time.Second))
		_, err := c.sock.read(make([]byte, 1))
		got <- err
		<-resume
		_ = c.SetDeadline(time.Now().Add(time.Hour))
		err = discard(c)
		got <- err
		return err
	})
	if err := await(t, got, "the deadline"); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	close(resume)
	send(t, peer, connectPacket)
	if err := peer.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if err := await(t, got, "the end"); !errors.Is(err, io.EOF) {
		t.Errorf("got %v", err)
	}
}

func TestRatesSlowReadingDown(t *testing.T) {
	conf := testConfig(TCP)
	conf.MessagesRate = 100
	conf.MaxPacketSize = 0
	c, peer, l := pair(t, conf, discard)
	send(t, peer, connectPacket)
	go func() {
		for range 20_000 {
			if _, err := peer.Write(publishPacket(200)); err != nil {
				return
			}
		}
	}()
	// A hundred at once, then whatever one buffer holds puts it into debt.
	eventually(t, "some have arrived", func() bool { return c.PublishesIn() > 100 })
	if n := c.PublishesIn(); n > 100+2*readSizeBig/200 {
		t.Errorf("%d messages arrived at 100/s", n)
	}
	c.CloseWith(Reason("kicked")) // does not wait for the debt to be paid
	shutdowns(t, l, "kicked", 1)
}

func TestCallbackPanicEndsOnlyItsConnection(t *testing.T) {
	l := start(t, testConfig(TCP), func(c *Conn) error {
		c.SetFinish(func(error) { panic("finish") })
		return discard(c)
	})
	one, two := dial(t, l), dial(t, l)
	send(t, one, publishPacket(1))
	shutdowns(t, l, "panic", 1)
	if _, err := one.Read(make([]byte, 1)); err == nil {
		t.Error("the connection is still open")
	}
	send(t, two, connectPacket)
	eventually(t, "the other connection is alive", func() bool { return l.Status().CurrentConns == 1 })
}
