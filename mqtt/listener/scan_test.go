package listener

import (
	"bytes"
	"errors"
	"testing"
)

func TestScanner(t *testing.T) {
	big := publishPacket(300)
	tests := []struct {
		name     string
		in       []byte
		max      uint32
		complete int
		packets  uint64
		err      error
	}{
		{"nothing", nil, 0, 0, 0, nil},
		{"connect", connectPacket, 0, 15, 1, nil},
		{"unfinished", connectPacket[:14], 0, 0, 0, nil},
		{"two and a half", join(connectPacket, []byte{0xc0, 0}, big[:200]), 0, 17, 2, nil},
		{"two length bytes", join(connectPacket, big), 0, 15 + len(big), 2, nil},
		{"[MQTT-3.1.0-1] first packet is no CONNECT", big, 0, 0, 0, ErrFirstPacket},
		{"[MQTT-3.1.0-1] an HTTP request", []byte("GET / HTTP/1.1\r\n"), 0, 0, 0, ErrFirstPacket},
		{"[MQTT-2.1.3-1] flags of CONNECT", []byte{0x11, 0}, 0, 0, 0, ErrFirstPacket},
		{"reserved type", join(connectPacket, []byte{0x00, 0}), 0, 15, 1, ErrMalformedPacket},
		{"[MQTT-1.5.5-1] five length bytes", join(connectPacket, []byte{0x30, 0x80, 0x80, 0x80, 0x80, 1}), 0, 15, 1, ErrMalformedPacket},
		{"endless length bytes", append([]byte{0x10}, bytes.Repeat([]byte{0x80}, 100)...), 0, 0, 0, ErrMalformedPacket},
		{"largest length", join(connectPacket, []byte{0x30, 0xff, 0xff, 0xff, 0x7f}), 0, 15, 1, nil},
		{"too large", join(connectPacket, []byte{0x30, 0xff, 0xff, 0xff, 0x7f}), 1 << 20, 15, 1, ErrPacketTooLarge},
		{"at the limit", join(connectPacket, big), uint32(len(big)), 15 + len(big), 2, nil},
		{"above the limit", join(connectPacket, big), uint32(len(big)) - 1, 15, 1, ErrPacketTooLarge},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			// Whole, and byte by byte: the outcome must be the same.
			for _, step := range []int{len(tt.in) + 1, 1, 3} {
				s := scanner{max: tt.max}
				complete, err := scanInSteps(&s, tt.in, step)
				if !errors.Is(err, tt.err) || complete != tt.complete || s.packets != tt.packets {
					t.Errorf("step %d: got complete %d, packets %d, error %v; want %d, %d, %v",
						step, complete, s.packets, err, tt.complete, tt.packets, tt.err)
				}
			}
		})
	}
}

func TestScannerLimitsConnectOnItsOwn(t *testing.T) {
	s := scanner{max: 1000, maxConnect: 20}
	if _, err := s.scan([]byte{0x10, 19}); !errors.Is(err, ErrPacketTooLarge) {
		t.Errorf("CONNECT of 21 bytes with a limit of 20: %v", err)
	}
	s = scanner{max: 1000, maxConnect: 20}
	if _, err := s.scan(join(connectPacket, publishPacket(900))); err != nil {
		t.Errorf("PUBLISH within its limit: %v", err)
	}
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func scanInSteps(s *scanner, in []byte, step int) (complete int, err error) {
	for from := 0; from < len(in) && err == nil; from += step {
		var n int
		n, err = s.scan(in[from:min(from+step, len(in))])
		if n > 0 {
			complete = from + n
		}
	}
	return complete, err
}

// FuzzScanner compares the scanner, fed in pieces, with a plain splitter of the
// whole input.
func FuzzScanner(f *testing.F) {
	f.Add(join(connectPacket, publishPacket(10), []byte{0xc0, 0}), 3, uint32(0))
	f.Add([]byte{0x10, 0x80, 0x80, 0x80, 0x80, 0x01}, 1, uint32(100))
	f.Add(join(connectPacket, publishPacket(200)), 7, uint32(60))
	f.Fuzz(func(t *testing.T, in []byte, step int, limit uint32) {
		if step < 1 || step > len(in) {
			step = 1
		}
		s := scanner{max: limit, maxConnect: limit}
		complete, err := scanInSteps(&s, in, step)
		wantComplete, wantPackets, wantErr := split(in, limit)
		if complete != wantComplete || s.packets != uint64(wantPackets) || (err != nil) != wantErr {
			t.Fatalf("got %d bytes, %d packets, %v; want %d, %d, error %t", complete, s.packets, err, wantComplete, wantPackets, wantErr)
		}
	})
}

// split is the definition that the scanner has to agree with.
func split(in []byte, limit uint32) (complete, packets int, wrong bool) {
	for len(in) > complete {
		p := in[complete:]
		if packets == 0 && p[0] != 0x10 || p[0]>>4 == 0 {
			return complete, packets, true
		}
		length, n := 0, 1
		for {
			if n == len(p) {
				return complete, packets, false
			}
			length |= int(p[n]&0x7f) << (7 * (n - 1))
			n++
			if p[n-1] < 0x80 {
				break
			}
			if n == 5 {
				return complete, packets, true
			}
		}
		if limit > 0 && n+length > int(limit) {
			return complete, packets, true
		}
		if n+length > len(p) {
			return complete, packets, false
		}
		complete += n + length
		packets++
	}
	return complete, packets, false
}

// FuzzInput drives the input buffer without a socket: chunks of any size, with or
// without a pause after them. What comes out must be the whole packets of what
// went in, and the memory held must be in proportion to it.
func FuzzInput(f *testing.F) {
	f.Add([]byte{1, 2, 3, 200, 255, 0, 7}, uint16(300), uint16(70))
	f.Add([]byte{255, 255, 255, 255, 1, 1}, uint16(60000), uint16(3))
	f.Fuzz(func(t *testing.T, chunks []byte, size1, size2 uint16) {
		stream := join(connectPacket, publishPacket(int(size1)), publishPacket(int(size2)), publishPacket(int(size1)*3), publishPacket(0))
		c := newConn(nil, nil, &connOptions{maxPacket: 1 << 20})
		var out []byte
		sent := 0
		for i := 0; len(chunks) > 0 && sent < len(stream); i++ {
			chunk := chunks[i%len(chunks)]
			room := c.room()
			if len(room) == 0 {
				t.Fatal("no room")
			}
			n := copy(room, stream[sent:min(len(stream), sent+1+int(chunk)*int(chunk))])
			c.arrived(n)
			sent += n
			if c.inErr != nil {
				t.Fatal(c.inErr)
			}
			out = append(out, c.in.b[c.inRead:c.inWhole]...)
			c.inRead = c.inWhole
			if cap(c.in.b) > max(readSizeBig, 4*sent) {
				t.Fatalf("%d bytes after %d have arrived", cap(c.in.b), sent)
			}
			if chunk%2 == 1 {
				c.inputDrained()
				if c.in != nil {
					if part := len(c.in.b) - c.inWhole; part == 0 || cap(c.in.b) > max(bufferSizes[0], 8*part) {
						t.Fatalf("idle with %d bytes for a part of %d", cap(c.in.b), part)
					}
				}
			}
		}
		whole, _, wrong := split(stream[:sent], 0)
		if wrong || !bytes.Equal(out, stream[:whole]) {
			t.Fatalf("%d bytes came out of %d, of which %d are whole packets", len(out), sent, whole)
		}
	})
}
