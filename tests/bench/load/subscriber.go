package load

import (
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// subscriber reads what its filter brings and checks it.
type subscriber struct {
	*conn
	id         int
	publishers []*publisher

	received atomic.Int64 // messages in all, for the meter
	// timing, while true, keeps the latency of every message.
	timing *atomic.Bool

	// mu guards the rest, which the reader holds for a whole read at a time.
	mu        sync.Mutex
	sequences []Sequence // by publisher
	latencies []time.Duration
}

// maxLatencies bounds what a long run remembers; the first of it are kept.
const maxLatencies = 1 << 20

// touched gathers the deliveries of one read, by publisher, so that each
// publisher is told once.
type touched struct {
	counts []int64
	order  []int
}

func (t *touched) add(publisher int) {
	if t.counts[publisher] == 0 {
		t.order = append(t.order, publisher)
	}
	t.counts[publisher]++
}

// receive reads until the connection closes.
func (s *subscriber) receive() error {
	out := make([]byte, 0, 4<<10)
	seen := touched{counts: make([]int64, len(s.publishers))}
	for {
		if err := s.read(); err != nil {
			return closedByUs(err, "subscriber", s.id)
		}
		var err error
		out, err = s.consume(out[:0], &seen)
		if err != nil {
			return fmt.Errorf("subscriber %d: %w", s.id, err)
		}
		var n int64
		for _, p := range seen.order {
			s.publishers[p].noteDelivered(seen.counts[p])
			n += seen.counts[p]
			seen.counts[p] = 0
		}
		seen.order = seen.order[:0]
		s.received.Add(n)
		if len(out) > 0 {
			if err := s.send(out); err != nil {
				return closedByUs(err, "subscriber", s.id)
			}
		}
	}
}

// consume takes every whole packet from the buffer and appends the answers.
func (s *subscriber) consume(out []byte, seen *touched) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	timing := s.timing.Load()
	now := sinceEpoch()
	for {
		in, ok, err := s.parse()
		if err != nil || !ok {
			return out, err
		}
		switch in.kind() {
		case typePublish:
			id, payload, err := publishBody(in, s.protocol)
			if err != nil {
				return out, err
			}
			if len(payload) < headerSize {
				return out, fmt.Errorf("%w: payload of %d bytes is not ours", ErrMalformed, len(payload))
			}
			from := int(binary.BigEndian.Uint32(payload[offPublisher:]))
			if from >= len(s.publishers) {
				return out, fmt.Errorf("%w: message of an unknown publisher %d", ErrMalformed, from)
			}
			s.sequences[from].See(binary.BigEndian.Uint64(payload[offSequence:]))
			if timing && len(s.latencies) < maxLatencies {
				s.latencies = append(s.latencies, time.Duration(now-int64(binary.BigEndian.Uint64(payload[offSent:]))))
			}
			seen.add(from)
			switch in.first >> 1 & 0x03 {
			case 1:
				out = appendAck(out, typePuback, id)
			case 2:
				out = appendAck(out, typePubrec, id)
			}
		case typePubrel:
			id, _, err := ackID(in)
			if err != nil {
				return out, err
			}
			out = appendAck(out, typePubcomp, id)
		case typeDisconnect:
			return out, fmt.Errorf("%w: disconnect % x", ErrRefused, in.body)
		default:
			return out, fmt.Errorf("%w: unexpected packet type %d", ErrMalformed, in.kind())
		}
	}
}
