package rpc

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

func filled(n int, b byte) []byte { return bytes.Repeat([]byte{b}, n) }

// oneBatch is a DATA frame made as a lane makes it.
func oneBatch(t testing.TB, first uint64, payloads ...string) []byte {
	t.Helper()
	box := outbox{limit: 1 << 20, maxBatch: 256, maxMessage: 1 << 20, seq: first - 1, acked: first - 1, written: first - 1}
	for i, p := range payloads {
		done := func(error) {}
		if i%2 == 1 {
			done = nil
		}
		if err := box.append(Kind(i+1), func(dst []byte) []byte { return append(dst, p...) }, done); err != nil {
			t.Fatal(err)
		}
	}
	return bytes.Clone(sealBatches(box.take(nil)))
}

// TestGolden holds the bytes of protocol version 1. They may change only with
// a new version.
func TestGolden(t *testing.T) {
	h := hello{min: 1, max: 2, nonce: [nonceLen]byte(filled(nonceLen, 0xaa)), purpose: purposeCall, lane: 0x0102, incarnation: 3, stream: 4, name: "a@h", target: "bc@h"}
	c := challenge{min: 1, max: 3, nonce: [nonceLen]byte(filled(nonceLen, 0xbb))}
	w := welcome{status: statusOldLife, incarnation: 5, received: 6, acked: 7, name: "bc@h"}
	key := cookieKey("secret")
	for _, tc := range []struct {
		name, want string
		got        []byte
	}{
		{"hello", "45726d44" + "003e" + "0102" + strings.Repeat("aa", 32) + "01" + "0102" + "0000000000000003" + "0000000000000004" + "03614068" + "0462634068", h.append(nil)},
		{"challenge", "45726d41" + "0022" + "0103" + strings.Repeat("bb", 32), c.append(nil)},
		{"welcome", "03" + "0000000000000005" + "0000000000000006" + "0000000000000007" + "0462634068", w.append(nil)},
		{"proof", "1285e3cec8bd939bd65edf66c6fcc3c2abd666f1d09108cba3f7dadc65718072", prove(key, roleDialler, nil, h.append(nil), c.append(nil))},
		{"proof of the acceptor", "aafd2c1353d9a1d0738727066519f332f4fa4f72e99f28169fe5c727668dd4b8", prove(key, roleAcceptor, []byte("binding"), h.append(nil), c.append(nil), w.append(nil))},
		{"data", "00000026b9ad3a9c01000003000000000000000900000005010061626300000002020100000003030064", oneBatch(t, 9, "abc", "", "d")},
		{"ack", "000000108322b036020000000102030405060708", appendAck(nil, 0x0102030405060708)},
		{"beat", "000000104d03dd11030000000000000000000005", appendBeat(nil, 5)},
		{"request, first and last", "00000021a24b836e0403000000000000000000010200000003000000000000000461626364", appendRequest(nil, 1, request{kind: 2, wait: 3, size: 4}, flagFirst|flagLast, []byte("abcd"))},
		{"request, middle", "0000001466ca185b04000000000000000000000161626364", appendRequest(nil, 1, request{}, 0, []byte("abcd"))},
		{"reply", "0000001334cf2164050200000000000000000001016e6f", appendReply(nil, 1, CallFailed, flagLast, []byte("no"))},
		{"cancel", "000000107e2fcefe060000000000000000000001", appendCancel(nil, 1)},
	} {
		if got := hex.EncodeToString(tc.got); got != tc.want {
			t.Errorf("%s:\n got %s\nwant %s", tc.name, got, tc.want)
		}
	}
}

// Bodies that a newer node has appended to are understood.
func TestAppended(t *testing.T) {
	extend := func(b []byte, lenAt int) []byte {
		b = append(b, 1, 2, 3)
		binary.BigEndian.PutUint16(b[lenAt:], binary.BigEndian.Uint16(b[lenAt:])+3)
		return b
	}
	var h hello
	_, body, err := readPart(bytes.NewReader(extend((&hello{min: 1, max: 1, stream: 9, name: "a", target: "b"}).append(nil), 4)), helloMagic)
	if err != nil || h.parse(body) != nil || h.name != "a" || h.target != "b" || h.stream != 9 {
		t.Errorf("hello: %+v, %v", h, err)
	}
	var c challenge
	_, body, err = readPart(bytes.NewReader(extend((&challenge{min: 1, max: 7}).append(nil), 4)), challengeMagic)
	if err != nil || c.parse(body) != nil || c.max != 7 {
		t.Errorf("challenge: %+v, %v", c, err)
	}
	var w welcome
	if err := w.parse(append((&welcome{acked: 3, name: "x"}).append(nil), 1, 2)); err != nil || w.name != "x" || w.acked != 3 {
		t.Errorf("welcome: %+v, %v", w, err)
	}
	if n, err := parseNumber([]byte{0, 0, 0, 0, 0, 0, 0, 5, 99}); n != 5 || err != nil {
		t.Errorf("ack: %d, %v", n, err)
	}
}

func TestCommonVersion(t *testing.T) {
	for _, tc := range []struct {
		minA, maxA, minB, maxB, want uint8
		ok                           bool
	}{
		{1, 1, 1, 1, 1, true},
		{1, 3, 2, 5, 3, true},
		{4, 6, 2, 5, 5, true},
		{1, 2, 3, 4, 2, false},
		{3, 4, 1, 2, 2, false},
		{0, 0, 0, 0, 0, false},
	} {
		if v, ok := common(tc.minA, tc.maxA, tc.minB, tc.maxB); v != tc.want || ok != tc.ok {
			t.Errorf("%v: %d, %t", tc, v, ok)
		}
	}
}

func TestPort(t *testing.T) {
	for name, want := range map[string]uint16{
		"emqx@192.168.0.12": 5370, "emqx1@h": 5371, "emqx-1@h": 5371, "emqx12@h": 5382, "emqx01@h": 5371,
		"node2a@h": 5370, "emqx60165@h": 5535, "7": 5377, "n@h2": 5370, "@h": 5370, "": 5370,
	} {
		if got := Port(name); got != want {
			t.Errorf("%q: %d, want %d", name, got, want)
		}
	}
	// 10^20 + 1 modulo 60000 is 40001; no number of digits overflows.
	if got := Port("n100000000000000000001@h"); got != 5370+40001 {
		t.Errorf("many digits: %d", got)
	}
}

func TestDataErrors(t *testing.T) {
	good := oneBatch(t, 1, "abc", "de")[headerSize:]
	for name, tc := range map[string]struct {
		count  uint16
		change func([]byte) []byte
	}{
		"no message":         {0, func(b []byte) []byte { return b }},
		"more than there is": {3, func(b []byte) []byte { return b }},
		"no first":           {2, func(b []byte) []byte { return b[:7] }},
		"first is 0":         {2, func(b []byte) []byte { clear(b[:8]); return b }},
		"numbers overflow":   {2, func(b []byte) []byte { copy(b, filled(8, 0xff)); return b }},
		"cut in a length":    {2, func(b []byte) []byte { return b[:len(b)-5] }},
		"cut in a payload":   {2, func(b []byte) []byte { return b[:len(b)-1] }},
		"length too large":   {2, func(b []byte) []byte { copy(b[8:], filled(4, 0xff)); return b }},
		"length too small":   {2, func(b []byte) []byte { copy(b[8:], []byte{0, 0, 0, 1}); return b }},
	} {
		if _, _, err := parseData(tc.count, tc.change(bytes.Clone(good))); !errors.Is(err, ErrProtocol) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := parseData(2, good); err != nil {
		t.Error(err)
	}
}

// bytesConn is a connection that has bytes to read, a few at a time, and takes
// all that is written.
type bytesConn struct {
	net.Conn
	r    io.Reader
	most int
}

func (c *bytesConn) Read(b []byte) (int, error)       { return c.r.Read(b[:min(len(b), c.most)]) }
func (c *bytesConn) Write(b []byte) (int, error)      { return len(b), nil }
func (c *bytesConn) SetReadDeadline(time.Time) error  { return nil }
func (c *bytesConn) SetWriteDeadline(time.Time) error { return nil }
func (c *bytesConn) Close() error                     { return nil }

// A length that claims much costs what arrives, not what it claims.
func TestLengthAllocatesNothing(t *testing.T) {
	b := appendBeat(nil, 0)
	binary.BigEndian.PutUint32(b, maxFrame-lenSize)
	k := newLink(&bytesConn{r: bytes.NewReader(b), most: 1 << 20}, time.Second, time.Second, maxFrame)
	if _, _, err := k.next(); err == nil {
		t.Fatal("a frame that is not there was read")
	}
	if len(k.buf) > readBuffer {
		t.Errorf("%d bytes of room for %d", len(k.buf), len(b))
	}
	binary.BigEndian.PutUint32(b, maxFrame)
	k = newLink(&bytesConn{r: bytes.NewReader(b), most: 1 << 20}, time.Second, time.Second, maxFrame)
	if _, _, err := k.next(); !errors.Is(err, ErrProtocol) {
		t.Errorf("beyond the limit: %v", err)
	}
}

// Frames are read whole however the bytes come, and none that was damaged.
func TestLinkFrames(t *testing.T) {
	var stream []byte
	var want []string
	for i := range 200 {
		body := strings.Repeat(string(rune('a'+i%26)), i*i*5)
		stream = append(stream, appendReply(nil, uint64(i), 0, 0, []byte(body))...)
		want = append(want, body)
	}
	for _, most := range []int{1000, 4096, 100000, 1 << 30} {
		k := newLink(&bytesConn{r: bytes.NewReader(stream), most: most}, time.Second, time.Second, maxFrame)
		for i := range want {
			h, body, err := k.next()
			if err != nil || h.typ != frameReply {
				t.Fatal(h, err)
			}
			if id, _, chunk, _ := parseReply(body); id != uint64(i) || string(chunk) != want[i] {
				t.Fatalf("frame %d differs", i)
			}
		}
		if _, _, err := k.next(); !errors.Is(err, io.EOF) {
			t.Error(err)
		}
	}
	frame := oneBatch(t, 1, "abc")
	for i := lenSize; i < len(frame); i++ {
		damaged := bytes.Clone(frame)
		damaged[i] ^= 0x10
		k := newLink(&bytesConn{r: bytes.NewReader(damaged), most: 99}, time.Second, time.Second, maxFrame)
		if _, _, err := k.next(); !errors.Is(err, ErrProtocol) {
			t.Errorf("byte %d damaged: %v", i, err)
		}
	}
}

// FuzzFrames reads arbitrary bytes as a stream of frames and every body as
// every type.
func FuzzFrames(f *testing.F) {
	f.Add(append(oneBatch(f, 9, "abc", "", "d"), appendAck(nil, 3)...), 3)
	f.Add(appendRequest(nil, 1, request{kind: 2, size: 4}, flagFirst|flagLast, []byte("abcd")), 100)
	f.Add(appendReply(nil, 1, CallFailed, flagLast, []byte("no")), 1)
	f.Fuzz(func(t *testing.T, stream []byte, most int) {
		k := newLink(&bytesConn{r: bytes.NewReader(stream), most: max(1, most)}, time.Second, time.Second, 1<<20)
		read := 0
		for {
			h, body, err := k.next()
			if err != nil {
				break
			}
			read += headerSize + len(body)
			readAll(t, h, body)
		}
		if read > len(stream) {
			t.Errorf("%d bytes of frames in %d", read, len(stream))
		}
		if len(k.buf) > max(readBuffer, 4*len(stream)) {
			t.Errorf("%d bytes of room for %d", len(k.buf), len(stream))
		}
		// The same past the checksum.
		readAll(t, header{count: uint16(most), flags: uint8(most)}, stream)
	})
}

func readAll(t *testing.T, h header, body []byte) {
	if first, rest, err := parseData(h.count, body); err == nil {
		var m message
		n := 0
		for range h.count {
			if m, rest, err = nextMessage(rest); err != nil {
				t.Fatal("a message that was checked:", err)
			}
			n += msgOverhead + len(m.payload)
		}
		if first == 0 || n > len(body) {
			t.Fatal("more messages than bytes")
		}
	}
	if _, _, chunk, err := parseRequest(h.flags, body); err == nil && len(chunk) > len(body) {
		t.Fatal("chunk beyond the body")
	}
	if _, _, chunk, err := parseReply(body); err == nil && len(chunk) != len(body)-replyFixed {
		t.Fatal("chunk differs from the body")
	}
	_, _ = parseNumber(body) // must not panic
}

// FuzzHandshakeParts reads arbitrary bytes as each part of the handshake; what
// is understood is written the same way.
func FuzzHandshakeParts(f *testing.F) {
	f.Add((&hello{min: 1, max: 1, name: "a@h", target: "b@h"}).append(nil))
	f.Add((&challenge{min: 1, max: 1}).append(nil))
	f.Add((&welcome{name: "a@h"}).append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if all, body, err := readPart(bytes.NewReader(b), helloMagic); err == nil {
			var h hello
			if h.parse(body) == nil {
				if again := h.append(nil); !bytes.Equal(again[6:], all[6:len(again)]) {
					t.Errorf("hello\n%x\n%x", all, again)
				}
			}
		}
		if all, body, err := readPart(bytes.NewReader(b), challengeMagic); err == nil {
			var c challenge
			if c.parse(body) == nil {
				if again := c.append(nil); !bytes.Equal(again[6:], all[6:len(again)]) {
					t.Errorf("challenge\n%x\n%x", all, again)
				}
			}
		}
		var w welcome
		if w.parse(b) == nil {
			if again := w.append(nil); !bytes.Equal(again, b[:len(again)]) {
				t.Errorf("welcome\n%x\n%x", b, again)
			}
		}
	})
}
