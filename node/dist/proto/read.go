package proto

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"

	"ermine/node/dist/etf"
	"ermine/node/dist/handshake"
)

const (
	// readBuffer holds small frames, which are decoded in place.
	readBuffer = 64 << 10

	// maxHeader bounds what a distribution header adds to a message: 255 atoms
	// of 1020 bytes.
	maxHeader = 300 << 10

	// maxSequences bounds the fragmented messages under way at once.
	maxSequences = 1024

	// maxReassembly times MaxMessage bounds their bytes together.
	maxReassembly = 2
)

// input is the reader's state; it belongs to the goroutine of Serve.
type input struct {
	c     *Conn
	r     *bufio.Reader
	cache etf.ReceiveCache

	header  etf.Header
	signals signals

	// control decodes into memory of its own, used again for each message;
	// copying and aliasing decode payloads of small and of large frames.
	control, copying, aliasing *etf.Decoder

	// Fragmented messages under way, by sequence, and their bytes together.
	parts     map[uint64]*parts
	partBytes int
}

// parts is a fragmented message that is not complete.
type parts struct {
	header etf.Header
	buf    []byte
	next   uint64 // the number that the next fragment must have
}

// counted notes that the peer is alive with each read.
type counted struct{ c *Conn }

func (r counted) Read(b []byte) (int, error) {
	if r.c.yield {
		r.c.yield = false
		runtime.Gosched()
	}
	n, err := r.c.cfg.Conn.Read(b)
	if n > 0 {
		r.c.bytesIn.Add(uint64(n))
		r.c.lastRead.Store(int64(time.Since(r.c.epoch)))
	}
	return n, err
}

// Yield is for the handler of Serve, which is its only caller: a process is to
// run before the reader looks for more input than it has already. The reader
// would find none, since the peer waits for that process, and while it does the
// process would be taken to another thread, which costs more than its work.
func (c *Conn) Yield() { c.yield = true }

// read delivers signals until the connection ends.
func (c *Conn) read(handle func(Signal) error) error {
	options := etf.DecodeOptions{Limits: c.cfg.Limits}
	reuse, alias := options, options
	reuse.Reuse, alias.AliasInput = true, true
	in := &input{
		c:        c,
		r:        bufio.NewReaderSize(counted{c}, readBuffer),
		control:  etf.NewDecoder(reuse),
		copying:  etf.NewDecoder(options),
		aliasing: etf.NewDecoder(alias),
		parts:    map[uint64]*parts{},
	}
	for {
		if err := in.frame(handle); err != nil {
			if errors.Is(err, io.EOF) {
				err = fmt.Errorf("%w: by the peer", ErrClosed)
			}
			return err
		}
	}
}

// frame reads and handles one frame.
func (in *input) frame(handle func(Signal) error) error {
	head, err := in.r.Peek(4)
	if err != nil {
		return err
	}
	size := int(binary.BigEndian.Uint32(head))
	if size == 0 {
		_, _ = in.r.Discard(4)
		return in.c.ticked()
	}
	if size > in.c.cfg.MaxMessage+maxHeader {
		return fmt.Errorf("%w: frame of %d bytes", ErrTooLarge, size)
	}
	if size+4 <= readBuffer {
		b, err := in.r.Peek(4 + size)
		if err != nil {
			return err
		}
		if err := in.busy(b[4:], in.copying, handle); err != nil {
			return err
		}
		_, err = in.r.Discard(4 + size)
		return err
	}
	_, _ = in.r.Discard(4)
	b, err := readGrowing(in.r, size)
	if err != nil {
		return err
	}
	return in.busy(b, in.aliasing, handle)
}

// busy is packet, with the writer told that this side is not reading for now:
// the peer must not be taken for silent meanwhile.
func (in *input) busy(b []byte, payloads *etf.Decoder, handle func(Signal) error) error {
	in.c.handling.Store(true)
	err := in.packet(b, payloads, handle)
	in.c.handling.Store(false)
	return err
}

// readGrowing reads size bytes into memory that is claimed as they arrive, so
// that a length alone costs nothing.
func readGrowing(r io.Reader, size int) ([]byte, error) {
	b := make([]byte, 0, min(size, readBuffer))
	for len(b) < size {
		if len(b) == cap(b) {
			grown := make([]byte, len(b), min(size, 2*cap(b)))
			copy(grown, b)
			b = grown
		}
		n, err := io.ReadFull(r, b[len(b):cap(b)])
		b = b[:len(b)+n]
		if err != nil {
			return nil, err
		}
	}
	return b, nil
}

// ticked answers a tick when this side has been silent since the last one: the
// peer may have a shorter tick time than this node. Two such sides do not
// answer each other's answers: a tick of its own counts as having spoken, an
// answer does not.
func (c *Conn) ticked() error {
	c.ticksIn.Add(1)
	if c.wroteForPeer.Swap(false) {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reason == nil && len(c.queue) == 0 {
		c.queue = append(c.queue, packets.Get().(*packet)) // empty: a tick
		c.poke()
	}
	return nil
}

// packet handles the content of a frame.
func (in *input) packet(b []byte, payloads *etf.Decoder, handle func(Signal) error) error {
	if b[0] == passThrough {
		return in.passed(b[1:], payloads, handle)
	}
	if !in.c.cfg.Flags.Has(handshake.FlagDistHdrAtomCache) {
		return fmt.Errorf("%w: distribution header not agreed on", ErrProtocol)
	}
	if len(b) >= 2 && b[1] == etf.HeaderFirst {
		p := &parts{}
		rest, err := p.header.Decode(b, &in.cache)
		if err != nil {
			return protocolError(err)
		}
		return in.first(p, rest, handle)
	}
	rest, err := in.header.Decode(b, &in.cache)
	if err != nil {
		return protocolError(err)
	}
	if in.header.Kind == etf.HeaderNext {
		return in.next(in.header.Sequence, in.header.Fragment, rest, handle)
	}
	return in.message(rest, &in.header.Refs, payloads, handle)
}

// first begins a fragmented message.
func (in *input) first(p *parts, data []byte, handle func(Signal) error) error {
	if _, taken := in.parts[p.header.Sequence]; taken {
		return fmt.Errorf("%w: fragment sequence begun twice", ErrProtocol)
	}
	if p.header.Fragment == 1 {
		return in.message(data, &p.header.Refs, in.copying, handle)
	}
	if len(in.parts) >= maxSequences {
		return fmt.Errorf("%w: more than %d fragmented messages at once", ErrProtocol, maxSequences)
	}
	p.next = p.header.Fragment - 1
	in.parts[p.header.Sequence] = p
	return in.grow(p, data)
}

func (in *input) grow(p *parts, data []byte) error {
	in.partBytes += len(data)
	if len(p.buf)+len(data) > in.c.cfg.MaxMessage || in.partBytes > maxReassembly*in.c.cfg.MaxMessage {
		return fmt.Errorf("%w: fragments of over %d bytes", ErrTooLarge, len(p.buf))
	}
	p.buf = append(p.buf, data...)
	return nil
}

// next adds a fragment and handles the message when it is complete.
func (in *input) next(sequence, fragment uint64, data []byte, handle func(Signal) error) error {
	p, found := in.parts[sequence]
	if !found || p.next != fragment {
		return fmt.Errorf("%w: fragment out of order", ErrProtocol)
	}
	if err := in.grow(p, data); err != nil {
		return err
	}
	if p.next--; p.next > 0 {
		return nil
	}
	delete(in.parts, sequence)
	in.partBytes -= len(p.buf)
	return in.message(p.buf, &p.header.Refs, in.aliasing, handle)
}

// message decodes the terms behind a distribution header.
func (in *input) message(b []byte, refs *etf.AtomRefs, payloads *etf.Decoder, handle func(Signal) error) error {
	defer in.control.Reset()
	term, rest, err := in.control.DecodeTerm(b, refs)
	if err != nil {
		return protocolError(err)
	}
	op, control, err := operation(term)
	if err != nil {
		return err
	}
	var payload any
	if hasPayload(op) {
		if payload, rest, err = payloads.DecodeTerm(rest, refs); err != nil {
			return protocolError(err)
		}
	}
	return in.deliver(op, control, payload, rest, handle)
}

// passed decodes the terms of a message without distribution header.
func (in *input) passed(b []byte, payloads *etf.Decoder, handle func(Signal) error) error {
	defer in.control.Reset()
	term, rest, err := in.control.DecodeNext(b)
	if err != nil {
		return protocolError(err)
	}
	op, control, err := operation(term)
	if err != nil {
		return err
	}
	var payload any
	if hasPayload(op) {
		if payload, rest, err = payloads.DecodeNext(rest); err != nil {
			return protocolError(err)
		}
	}
	return in.deliver(op, control, payload, rest, handle)
}

func (in *input) deliver(op int64, control etf.Tuple, payload any, rest []byte, handle func(Signal) error) error {
	if len(rest) > 0 {
		return fmt.Errorf("%w: %d bytes after a message", ErrProtocol, len(rest))
	}
	sig, err := in.signals.decode(op, control, payload)
	if err != nil || sig == nil {
		return err
	}
	in.c.messagesIn.Add(1)
	return handle(sig)
}

func operation(term any) (op int64, control etf.Tuple, err error) {
	control, ok := term.(etf.Tuple)
	if !ok || len(control) == 0 {
		return 0, nil, fmt.Errorf("%w: control message is no tuple", ErrProtocol)
	}
	if op, ok = control[0].(int64); !ok {
		return 0, nil, fmt.Errorf("%w: control message without operation", ErrProtocol)
	}
	return op, control, nil
}

func protocolError(err error) error { return fmt.Errorf("%w: %w", ErrProtocol, err) }
