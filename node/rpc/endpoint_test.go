package rpc

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const (
	kindNumber Kind = 1
	kindEcho   Kind = 2
	kindHold   Kind = 3
)

// counted sends the numbers [0, n) to one lane, each with a done that reports
// to the channel in the order of the outcomes.
func counted(t testing.TB, e *Endpoint, to string, lane uint64, n int) <-chan error {
	t.Helper()
	outcomes := make(chan error, n)
	for i := range n {
		for {
			err := e.Send(to, lane, kindNumber, number(uint64(i)), func(err error) { outcomes <- err })
			if err == nil {
				break
			}
			if !errors.Is(err, ErrFull) {
				t.Fatalf("send %d: %v", i, err)
			}
			within(t, e.Ready(to, lane), "room")
		}
	}
	return outcomes
}

// upTo are the numbers [0, n).
func upTo(n int) []uint64 {
	s := make([]uint64, n)
	for i := range s {
		s[i] = uint64(i)
	}
	return s
}

func TestSendOverTCP(t *testing.T) {
	const n = 5000
	got := collect(n)
	a := start(t, testConfig("a@127.0.0.1", 1), nil)
	b := start(t, testConfig("b@127.0.0.1", 7), func(e *Endpoint) { e.Handle(kindNumber, got.handle) })
	join(t, a, b)
	outcomes := counted(t, a, "b@127.0.0.1", 5, n)
	for range n {
		if err := within(t, outcomes, "an outcome"); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(got.of("a@127.0.0.1"), upTo(n)) {
		t.Error("messages are lost, doubled or out of order")
	}
	if from := got.from["a@127.0.0.1"]; from != (Peer{"a@127.0.0.1", 1}) {
		t.Errorf("from %v", from)
	}
	st, _ := a.PeerStats("b@127.0.0.1")
	if st.Sent != n || st.Acked != n || st.QueuedBytes != 0 || st.QueuedMessages != 0 || st.Resent != 0 || st.Incarnation != 7 {
		t.Errorf("%+v", st)
	}
}

// A message larger than a chunk, one that does not fit where it is tried, and
// empty ones.
func TestSizes(t *testing.T) {
	var mu sync.Mutex
	var got [][]byte
	full := make(chan struct{})
	sizes := []int{0, 1, chunkBytes - 1000, 900, 2000, chunkBytes, 3 << 20, 0, 5, chunkBytes - dataOverhead - msgOverhead, 100}
	cfg := testConfig("a@127.0.0.1", 1)
	cfg.QueueBytes = 16 << 20 // all of them
	a := start(t, cfg, nil)
	b := start(t, testConfig("b@127.0.0.1", 1), func(e *Endpoint) {
		e.Handle(kindNumber, func(_ Peer, payload []byte, ack func()) {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, bytes.Clone(payload))
			ack()
			if len(got) == 2*len(sizes) {
				close(full)
			}
		})
	})
	join(t, a, b)
	for round := range 2 {
		for i, size := range sizes {
			payload := func(dst []byte) []byte { return append(dst, bytes.Repeat([]byte{byte(i + 1)}, size)...) }
			if round == 1 {
				// One that does not append but returns bytes of its own.
				payload = func([]byte) []byte { return bytes.Repeat([]byte{byte(i + 1)}, size) }
			}
			if err := a.Send("b@127.0.0.1", 0, kindNumber, payload, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	within(t, full, "all messages")
	for i, payload := range got {
		if want := bytes.Repeat([]byte{byte(i%len(sizes) + 1)}, sizes[i%len(sizes)]); !bytes.Equal(payload, want) {
			t.Errorf("message %d: %d bytes, want %d", i, len(payload), len(want))
		}
	}
	if err := a.Send("b@127.0.0.1", 0, kindNumber, func(dst []byte) []byte { return append(dst, make([]byte, a.cfg.MaxMessage+1)...) }, nil); !errors.Is(err, ErrTooLarge) {
		t.Errorf("beyond the limit: %v", err)
	}
}

func TestCallOverTCP(t *testing.T) {
	a := start(t, testConfig("a@127.0.0.1", 1), nil)
	b := start(t, testConfig("b@127.0.0.1", 1), func(e *Endpoint) {
		e.HandleCall(kindEcho, func(_ context.Context, from Peer, request []byte) ([]byte, error) {
			if len(request) == 1 {
				return nil, errors.New("one byte from " + from.Name)
			}
			return request, nil
		})
	})
	join(t, a, b)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for _, size := range []int{0, 2, chunkSize, chunkSize + 1, 5 << 20, 3*chunkSize - 1} {
		wg.Go(func() {
			request := bytes.Repeat([]byte{byte(size)}, size)
			reply, err := a.Call(ctx, "b@127.0.0.1", kindEcho, request)
			if err != nil || !bytes.Equal(reply, request) {
				t.Errorf("%d bytes: reply of %d, %v", size, len(reply), err)
			}
		})
	}
	wg.Wait()
	_, err := a.Call(ctx, "b@127.0.0.1", kindEcho, []byte{1})
	if ce := (*CallError)(nil); !errors.As(err, &ce) || ce.Code != CallFailed || ce.Text != "one byte from a@127.0.0.1" {
		t.Errorf("failing handler: %v", err)
	}
	_, err = a.Call(ctx, "b@127.0.0.1", kindHold, nil)
	if ce := (*CallError)(nil); !errors.As(err, &ce) || ce.Code != CallUnknown {
		t.Errorf("no handler: %v", err)
	}
}

func TestSendOnPipes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newPipes()
		got := collect(100)
		a := start(t, net.on(testConfig("a", 1)), nil)
		b := start(t, net.on(testConfig("b", 1)), func(e *Endpoint) { e.Handle(kindNumber, got.handle) })
		join(t, a, b)
		outcomes := counted(t, a, "b", 0, 100)
		for range 100 {
			if err := <-outcomes; err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Equal(got.of("a"), upTo(100)) {
			t.Error("messages are lost, doubled or out of order")
		}
	})
}
