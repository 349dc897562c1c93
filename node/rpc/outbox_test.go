package rpc

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"
)

// delivered parses batches as the receiver does and appends the numbers after
// received.
func delivered(t *testing.T, b []byte, received uint64, to []uint64) (uint64, []uint64) {
	t.Helper()
	for len(b) > 0 {
		n, err := frameLen(b, maxFrame)
		if err != nil {
			t.Fatal(err)
		}
		h, body, err := parseFrame(b[:n])
		if err != nil || h.typ != frameData {
			t.Fatal(h, err)
		}
		first, rest, err := parseData(h.count, body)
		if err != nil || first > received+1 {
			t.Fatalf("batch at %d after %d: %v", first, received, err)
		}
		for seq := first; seq < first+uint64(h.count); seq++ {
			var m message
			m, rest, _ = nextMessage(rest)
			if seq > received {
				received = seq
				to = append(to, binary.BigEndian.Uint64(m.payload))
			}
		}
		b = b[n:]
	}
	return received, to
}

// TestOutboxHistories runs random histories of an outbox and a window, with
// connections that break, and holds them against the plain sequence.
func TestOutboxHistories(t *testing.T) {
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		box := outbox{limit: 20 << 10, maxBatch: 1 + rnd.IntN(20), maxMessage: 200 << 10}
		if seed%3 == 0 {
			box.limit = 1 << 20
		}
		var win window
		var got []uint64
		var sent, outcomes uint64
		var awaited []uint64
		var open []uint64 // received, not acknowledged
		var bs []batch
		for range 2000 {
			switch rnd.IntN(10) {
			default:
				size := rnd.IntN(300)
				if rnd.IntN(50) == 0 {
					size = rnd.IntN(100 << 10)
				}
				full := box.queued >= box.limit
				var done func(error)
				if rnd.IntN(3) > 0 {
					n := sent
					done = func(error) {
						if len(awaited) == 0 || awaited[0] != n {
							t.Fatalf("seed %d: outcome of %d, expected of %v", seed, n, awaited[:1])
						}
						awaited = awaited[1:]
						outcomes++
					}
				}
				err := box.append(1, func(dst []byte) []byte {
					return append(binary.BigEndian.AppendUint64(dst, sent), make([]byte, size)...)
				}, done)
				if full != errors.Is(err, ErrFull) || !full && err != nil {
					t.Fatalf("seed %d: full %t, %v", seed, full, err)
				}
				if err == nil {
					if done != nil {
						awaited = append(awaited, sent)
					}
					sent++
				}
			case 0, 1, 2:
				if bs = box.take(bs[:0]); len(bs) == 0 {
					break
				}
				before := win.received
				var received uint64
				received, got = delivered(t, sealBatches(bs), before, got)
				win.extend(received)
				for seq := before + 1; seq <= received; seq++ {
					open = append(open, seq)
				}
				box.release(bs[0].c)
			case 3, 4:
				for range rnd.IntN(40) {
					if len(open) == 0 {
						break
					}
					i := rnd.IntN(len(open))
					win.ack(open[i])
					win.ack(open[i]) // once more changes nothing
					open[i] = open[len(open)-1]
					open = open[:len(open)-1]
				}
			case 5:
				dones, err := box.ack(win.acked, nil)
				if err != nil {
					t.Fatal(err)
				}
				for _, d := range dones {
					d(nil)
				}
			case 6:
				// The connection breaks with a batch on the way that is lost.
				if rnd.IntN(2) == 0 {
					if bs = box.take(bs[:0]); len(bs) > 0 {
						sealBatches(bs)
						box.release(bs[0].c)
					}
				}
				if err := box.rewind(win.received); err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
			}
		}
		for win.acked < sent {
			for bs = box.take(bs[:0]); len(bs) > 0; bs = box.take(bs[:0]) {
				before := win.received
				var received uint64
				received, got = delivered(t, sealBatches(bs), before, got)
				win.extend(received)
				for seq := before + 1; seq <= received; seq++ {
					open = append(open, seq)
				}
				box.release(bs[0].c)
			}
			for _, seq := range open {
				win.ack(seq)
			}
			if open = nil; win.acked != win.received {
				t.Fatalf("seed %d: acknowledged %d of %d", seed, win.acked, win.received)
			}
		}
		dones, err := box.ack(win.acked, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range dones {
			d(nil)
		}
		if len(awaited) != 0 || box.queued != 0 || box.batches.n != 0 || box.tail != nil || box.messages() != 0 || uint64(len(got)) != sent {
			t.Fatalf("seed %d: %d outcomes missing, %d bytes queued, %d of %d delivered", seed, len(awaited), box.queued, len(got), sent)
		}
		for i, n := range got {
			if n != uint64(i) {
				t.Fatalf("seed %d: message %d is %d", seed, i, n)
			}
		}
	}
}

// A peer that says what cannot be is found out.
func TestOutboxLies(t *testing.T) {
	box := outbox{limit: 1 << 20, maxBatch: 10, maxMessage: 100}
	for range 5 {
		if err := box.append(1, number(0), nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := box.ack(1, nil); !errors.Is(err, ErrProtocol) {
		t.Errorf("acknowledged before it was written: %v", err)
	}
	box.take(nil)
	if _, err := box.ack(6, nil); !errors.Is(err, ErrProtocol) {
		t.Errorf("acknowledged what is not there: %v", err)
	}
	if _, err := box.ack(3, nil); err != nil {
		t.Error(err)
	}
	if err := box.rewind(2); !errors.Is(err, ErrProtocol) {
		t.Errorf("received less than it acknowledged: %v", err)
	}
	if err := box.rewind(6); !errors.Is(err, ErrProtocol) {
		t.Errorf("received more than was written: %v", err)
	}
	if err := box.rewind(4); err != nil || box.next != 0 {
		t.Errorf("received part of a batch: next %d, %v", box.next, err)
	}
}

// Acknowledgements in every order against a plain set.
func TestWindowOrders(t *testing.T) {
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		var w window
		base := rnd.Uint64N(1000)
		w.received, w.acked = base, base
		done := map[uint64]bool{}
		want := base
		for range 6000 {
			switch {
			case w.received-want < 2000 && rnd.IntN(4) == 0:
				w.extend(w.received + 1 + rnd.Uint64N(3))
			case rnd.IntN(300) == 0:
				w.extend(w.received + 1 + rnd.Uint64N(1000))
			default:
				// Any number, also those not received or acknowledged before.
				seq := want + rnd.Uint64N(min(w.received-want, 1+rnd.Uint64N(300))+3)
				before := want
				if seq <= w.received {
					done[seq] = true
				}
				for want < w.received && done[want+1] {
					want++
				}
				if moved := w.ack(seq); moved != (want != before) || w.acked != want {
					t.Fatalf("seed %d: acknowledged %d, got %d (%t), want %d", seed, seq, w.acked, moved, want)
				}
			}
		}
	}
}

func TestRing(t *testing.T) {
	var r ring[int]
	next, front := 0, 0
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 100000 {
		if rnd.IntN(100) < 51 {
			r.push(next)
			next++
		} else if r.n > 0 {
			if got := r.pop(); got != front {
				t.Fatalf("got %d, want %d", got, front)
			}
			front++
		}
		if r.n != next-front || r.n > 0 && *r.at(r.n - 1) != next-1 {
			t.Fatalf("%d items, want %d", r.n, next-front)
		}
	}
}

// A message that is refused after the room for it was made leaves the batch
// before it whole.
func TestOutboxRefusalAtTheEndOfAChunk(t *testing.T) {
	box := outbox{limit: 1 << 20, maxBatch: 1000, maxMessage: 1 << 10}
	sent := uint64(0)
	send := func(size int) error {
		err := box.append(1, func(dst []byte) []byte {
			return append(binary.BigEndian.AppendUint64(dst, sent), make([]byte, size)...)
		}, nil)
		if err == nil {
			sent++
		}
		return err
	}
	for box.tail == nil || chunkBytes-box.tail.end >= dataOverhead+msgOverhead+minRoom {
		if err := send(100); err != nil {
			t.Fatal(err)
		}
	}
	if err := send(1 << 10); !errors.Is(err, ErrTooLarge) {
		t.Fatal(err)
	}
	for range 3 {
		if err := send(100); err != nil {
			t.Fatal(err)
		}
	}
	var received uint64
	var got []uint64
	for bs := box.take(nil); len(bs) > 0; bs = box.take(nil) {
		received, got = delivered(t, sealBatches(bs), received, got)
		box.release(bs[0].c)
	}
	if received != sent || uint64(len(got)) != sent {
		t.Fatalf("%d of %d messages", len(got), sent)
	}
	for i, n := range got {
		if n != uint64(i) {
			t.Fatalf("message %d is %d", i, n)
		}
	}
}
