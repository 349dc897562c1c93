package listener

import (
	"errors"
	"io"
	"net"
	"time"
)

// Read hands out the bytes of whole packets, as many as are there and fit. It
// waits for a packet until the deadline (ErrConnectTimeout, ErrKeepAliveTimeout)
// or Close (net.ErrClosed). Input that breaks the framing ends with
// ErrFirstPacket, ErrMalformedPacket or ErrPacketTooLarge, after the packets
// before it have been handed out. A packet that the peer did not finish is never
// seen.
func (c *Conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if c.closing.Load() {
			c.releaseInput()
			return 0, net.ErrClosed
		}
		if c.inRead < c.inWhole {
			n := copy(p, c.in.b[c.inRead:c.inWhole])
			c.inRead += n
			return n, nil
		}
		if c.inErr != nil {
			c.releaseInput()
			return 0, c.inErr
		}
		c.fill()
	}
}

// fill reads once. It is called when all whole packets have been handed out, and
// leaves either more of them, or none yet, or inErr.
func (c *Conn) fill() {
	if c.limiter != nil {
		c.throttle()
	}
	if c.sinceDrained >= maxInputSinceDrained {
		c.inputDrained()
	}
	var (
		n   int
		err error
	)
	if c.link.reader == nil {
		if len(c.sock.prefix) > 0 {
			n, err = c.sock.Read(c.room())
		} else {
			n, err = c.sock.read(nil) // room is called when there is something to read
		}
	} else {
		n, err = c.link.reader.Read(c.room())
	}
	if n > 0 {
		c.arrived(n)
	}
	if err != nil && c.inErr == nil {
		c.inErr = c.readError(err)
	}
}

// arrived takes n bytes behind the input buffer's end into account.
func (c *Conn) arrived(n int) {
	from := len(c.in.b)
	c.in.b = c.in.b[:from+n]
	c.inBig = from+n == cap(c.in.b)
	c.sinceDrained += n

	packets, publishes := c.scan.packets, c.scan.publishes
	whole, err := c.scan.scan(c.in.b[from:])
	if whole > 0 {
		c.inWhole = from + whole
	}
	if err != nil {
		c.inErr = err
	}
	packets, publishes = c.scan.packets-packets, c.scan.publishes-publishes
	c.bytesIn.Add(uint64(n))
	if packets > 0 {
		c.packetsIn.Add(packets)
	}
	if publishes > 0 {
		c.publishesIn.Add(publishes)
	}
	if c.limiter != nil {
		c.limiter.take(publishes, uint64(n), time.Now())
	}
}

// room returns the space behind the input buffer's end, after making some. It
// grows the buffer by what has arrived, never by what was declared.
func (c *Conn) room() []byte {
	size, layered := readSize, c.link.reader != nil
	switch {
	case layered && !c.inBig:
		// TLS and WebSocket wait with the buffer in hand: let it be small until
		// there is a lot to read.
		size = bufferSizes[0]
	case !layered && c.inBig:
		size = readSizeBig
	}
	if layered && c.in != nil && c.inWhole == len(c.in.b) && cap(c.in.b) > size {
		c.releaseInput()
	}
	if c.in == nil {
		c.in = getBuffer(size)
		c.inRead, c.inWhole = 0, 0
		return c.in.b[:cap(c.in.b)]
	}
	part := c.in.b[c.inWhole:]
	switch {
	case len(part) == 0 && cap(c.in.b) >= size:
		c.in.b = c.in.b[:0]
		c.inRead, c.inWhole = 0, 0
	case cap(c.in.b)-len(c.in.b) < min(cap(c.in.b)/2, c.scan.missing()) || cap(c.in.b) < size:
		// A packet larger than the buffer doubles it, at most to its own end.
		if want := len(part) + min(len(part), c.scan.missing()); want > size {
			size = want
		}
		if size > cap(c.in.b) {
			next := getBuffer(size)
			next.b = append(next.b, part...)
			putBuffer(c.in)
			c.in = next
		} else {
			c.in.b = c.in.b[:copy(c.in.b[:cap(c.in.b)], part)]
		}
		c.inRead, c.inWhole = 0, 0
	}
	return c.in.b[len(c.in.b):cap(c.in.b)]
}

// inputDrained runs before the connection waits for input: the buffer goes back,
// or shrinks to the unfinished packet in it, and BeforeRead is called.
func (c *Conn) inputDrained() {
	c.sinceDrained = 0
	if c.in != nil && c.link.reader == nil {
		switch part := c.in.b[c.inWhole:]; {
		case len(part) == 0:
			c.releaseInput()
		case cap(c.in.b) > bufferSizes[0] && cap(c.in.b) > 4*len(part):
			next := getBuffer(len(part))
			next.b = append(next.b, part...)
			putBuffer(c.in)
			c.in, c.inRead, c.inWhole = next, 0, 0
		}
	}
	c.inBig = c.inBig && c.in != nil
	if fn := c.beforeRead.Load(); fn != nil {
		(*fn)()
	}
}

func (c *Conn) releaseInput() {
	if c.in != nil {
		putBuffer(c.in)
		c.in = nil
	}
	c.inRead, c.inWhole = 0, 0
}

// readError gives an error of the socket the meaning it has for a connection.
func (c *Conn) readError(err error) error {
	var ne net.Error
	switch {
	case c.closing.Load():
		return net.ErrClosed
	case errors.As(err, &ne) && ne.Timeout(): // WebSocket hides os.ErrDeadlineExceeded
		if c.scan.packets == 0 {
			return ErrConnectTimeout
		}
		return ErrKeepAliveTimeout
	case errors.Is(err, io.ErrUnexpectedEOF):
		return io.EOF
	}
	return err
}

// throttle waits until the rates of the listener allow more input. The time is
// not counted against the keep-alive.
func (c *Conn) throttle() {
	delay := c.limiter.delay(time.Now())
	if delay <= 0 {
		return
	}
	c.inputDrained()
	c.sock.postpone(delay)
	c.limiter.wait(delay, &c.closing)
}
