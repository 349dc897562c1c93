package load

import (
	"bytes"
	"errors"
	"testing"
)

func TestNext(t *testing.T) {
	long := appendPacket(nil, typePublish<<4, bytes.Repeat([]byte{'x'}, 300))
	for _, tc := range []struct {
		name string
		buf  []byte
		size int
		body int
		err  error
	}{
		{"nothing", nil, 0, 0, nil},
		{"half a header", []byte{0x40}, 0, 0, nil},
		{"half a body", []byte{0x40, 2, 0}, 0, 0, nil},
		{"half a length", []byte{0x30, 0x80}, 0, 0, nil},
		{"whole", []byte{0x40, 2, 0, 1}, 4, 2, nil},
		{"whole and more", []byte{0x40, 2, 0, 1, 0x40}, 4, 2, nil},
		{"empty body", []byte{0xd0, 0}, 2, 0, nil},
		{"two bytes of length", long, len(long), 300, nil},
		{"length without end", []byte{0x30, 0x80, 0x80, 0x80, 0x80, 0x01}, 0, 0, ErrMalformed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, size, err := next(tc.buf)
			if size != tc.size || len(p.body) != tc.body || !errors.Is(err, tc.err) {
				t.Errorf("size %d, body of %d, %v; want %d, %d, %v", size, len(p.body), err, tc.size, tc.body, tc.err)
			}
		})
	}
}

// TestPublishRoundTrip: what a publisher sends is what a subscriber takes
// apart, in each version and QoS.
func TestPublishRoundTrip(t *testing.T) {
	for _, v := range []Protocol{V311, V5} {
		for qos := range byte(3) {
			s := Spec{QoS: qos, Window: 10, Step: 1, Payload: 128}
			p := newPublisher(&conn{protocol: v, inflight: defaultInflight}, 7, "a/b", s, 1)
			in, size, err := next(p.appendMessage(nil, 65535, 99))
			if err != nil || size == 0 {
				t.Fatalf("version %d QoS %d: size %d, %v", v, qos, size, err)
			}
			id, payload, err := publishBody(in, v)
			if err != nil {
				t.Fatalf("version %d QoS %d: %v", v, qos, err)
			}
			wantID := uint16(0)
			if qos > 0 {
				wantID = 1 // 65535 messages on, the identifiers start again
			}
			want := append([]byte{0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 99}, bytes.Repeat([]byte{'x'}, 108)...)
			if id != wantID || !bytes.Equal(payload, want) {
				t.Errorf("version %d QoS %d: id %d, payload % x", v, qos, id, payload)
			}
		}
	}
}

func TestReceiveMaximum(t *testing.T) {
	for _, tc := range []struct {
		name    string
		connack []byte
		want    int
	}{
		{"no properties", []byte{0, 0, 0}, 65535},
		{"alone", []byte{0, 0, 3, 0x21, 0, 20}, 20},
		{"behind others", []byte{0, 0, 14, 0x11, 0, 0, 0, 9, 0x12, 0, 1, 'x', 0x24, 1, 0x21, 1, 0}, 256},
		{"cut short", []byte{0, 0, 3, 0x21, 0}, 65535},
		{"unknown before it", []byte{0, 0, 5, 0x7f, 0, 0x21, 0, 20}, 65535},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := receiveMaximum(tc.connack); got != tc.want {
				t.Errorf("got %d, want %d", got, tc.want)
			}
		})
	}
}

// FuzzPackets feeds bytes of a broker to everything that takes them apart.
func FuzzPackets(f *testing.F) {
	f.Add([]byte{0x20, 6, 0, 0, 3, 0x21, 0, 20})
	f.Add([]byte{0x32, 7, 0, 1, 'a', 0, 1, 0, 'x', 0x40, 2, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		for len(b) > 0 {
			p, size, err := next(b)
			if err != nil || size == 0 {
				return
			}
			if size > len(b) || size < 2 {
				t.Fatalf("size %d of %d", size, len(b))
			}
			for _, v := range []Protocol{V311, V5} {
				if _, payload, err := publishBody(p, v); err == nil && len(payload) > len(p.body) {
					t.Fatal("payload longer than the packet")
				}
			}
			_, _, _ = ackID(p)
			_ = receiveMaximum(p.body)
			b = b[size:]
		}
	})
}
