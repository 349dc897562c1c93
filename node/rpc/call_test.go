package rpc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// waiting is a call handler that tells of each call and waits for its context.
type waiting struct {
	begun chan context.Context
	ended chan error
}

func newWaiting() *waiting {
	return &waiting{begun: make(chan context.Context, 100), ended: make(chan error, 100)}
}

func (w *waiting) handle(ctx context.Context, _ Peer, _ []byte) ([]byte, error) {
	w.begun <- ctx
	<-ctx.Done()
	w.ended <- context.Cause(ctx)
	return nil, ctx.Err()
}

// callPair are two nodes, of which b answers.
func callPair(t *testing.T, change func(a, b *Config), setup func(b *Endpoint)) (a, b *Endpoint) {
	t.Helper()
	network := newPipes()
	cfgA, cfgB := network.on(testConfig("a", 1)), network.on(testConfig("b", 1))
	if change != nil {
		change(&cfgA, &cfgB)
	}
	a, b = start(t, cfgA, nil), start(t, cfgB, setup)
	join(t, a, b)
	return a, b
}

func TestCallEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWaiting()
		a, b := callPair(t, nil, func(b *Endpoint) { b.HandleCall(kindHold, w.handle) })

		// The caller's deadline is the handler's.
		ctx, cancel := context.WithTimeout(t.Context(), 7*time.Second)
		if _, err := a.Call(ctx, "b", kindHold, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		cancel()
		if d, ok := (<-w.begun).Deadline(); !ok || time.Since(d) < -time.Second {
			t.Errorf("deadline %v, %t", d, ok)
		}
		<-w.ended

		// A caller that gives up ends the handler.
		ctx, cancel = context.WithCancel(t.Context())
		results := make(chan error, 1)
		go func() {
			_, err := a.Call(ctx, "b", kindHold, nil)
			results <- err
		}()
		<-w.begun
		cancel()
		if err := <-results; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if err := <-w.ended; !errors.Is(err, errCancelled) {
			t.Error(err)
		}

		// A lost connection ends both; the next call has a new one.
		go func() {
			_, err := a.Call(t.Context(), "b", kindHold, nil)
			results <- err
		}()
		<-w.begun
		(*a.peers.Load())["b"].calls.conn.link.close(io.ErrUnexpectedEOF)
		if err := <-results; !errors.Is(err, ErrNotConnected) || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Error(err)
		}
		<-w.ended
		go func() {
			_, err := a.Call(t.Context(), "b", kindHold, nil)
			results <- err
		}()
		<-w.begun
		b.RemovePeer("a")
		if err := <-results; !errors.Is(err, ErrNotConnected) {
			t.Error(err)
		}
		<-w.ended

		// Nobody there in time.
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := a.Call(ctx, "b", kindHold, nil); !errors.Is(err, ErrNotConnected) || !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		go func() {
			_, err := a.Call(t.Context(), "b", kindHold, nil)
			results <- err
		}()
		synctest.Wait()
		a.RemovePeer("b")
		if err := <-results; !errors.Is(err, ErrRemoved) {
			t.Error(err)
		}
		if _, err := a.Call(t.Context(), "b", kindHold, nil); !errors.Is(err, ErrUnknownPeer) {
			t.Error(err)
		}
	})
}

func TestCallLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWaiting()
		a, _ := callPair(t, func(a, b *Config) {
			a.MaxCall, b.MaxCall = 200_000, 100_000
			a.MaxCalls, b.MaxCalls = 5, 3
		}, func(b *Endpoint) {
			b.HandleCall(kindHold, w.handle)
			b.HandleCall(kindEcho, func(_ context.Context, _ Peer, request []byte) ([]byte, error) {
				if len(request) == 0 {
					return nil, errors.New(strings.Repeat("x", 5000))
				}
				return bytes.Repeat(request[:1], int(request[0])*1000), nil
			})
		})
		if _, err := a.Call(t.Context(), "b", kindEcho, make([]byte, 200_001)); !errors.Is(err, ErrTooLarge) {
			t.Errorf("beyond the caller's limit: %v", err)
		}
		ce := (*CallError)(nil)
		if _, err := a.Call(t.Context(), "b", kindEcho, make([]byte, 150_000)); !errors.Is(err, ErrTooLarge) || !errors.As(err, &ce) {
			t.Errorf("beyond the peer's limit: %v", err)
		}
		if reply, err := a.Call(t.Context(), "b", kindEcho, []byte{100}); err != nil || len(reply) != 100_000 {
			t.Errorf("reply of %d bytes, %v", len(reply), err)
		}
		if _, err := a.Call(t.Context(), "b", kindEcho, []byte{101}); !errors.Is(err, ErrTooLarge) {
			t.Errorf("reply beyond the peer's limit: %v", err)
		}
		if _, err := a.Call(t.Context(), "b", kindEcho, nil); !errors.As(err, &ce) || ce.Code != CallFailed || len(ce.Text) != 1024 {
			t.Errorf("a long text: %v", err)
		}
		synctest.Wait() // a call has its place until its handler has returned
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() { _, _ = a.Call(ctx, "b", kindHold, nil) }) // ends with ctx
			<-w.begun
		}
		if _, err := a.Call(t.Context(), "b", kindEcho, []byte{1}); !errors.Is(err, ErrFull) || !errors.As(err, &ce) || ce.Code != CallBusy {
			t.Errorf("more than the peer takes: %v", err)
		}
		cancel()
		wg.Wait()
		synctest.Wait()
		if _, err := a.Call(t.Context(), "b", kindEcho, []byte{1}); err != nil {
			t.Errorf("with room again: %v", err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		w := newWaiting()
		a, _ := callPair(t, func(a, _ *Config) { a.MaxCalls, a.MaxCall = 2, 1000 }, func(b *Endpoint) {
			b.HandleCall(kindHold, w.handle)
			b.HandleCall(kindEcho, func(context.Context, Peer, []byte) ([]byte, error) { return make([]byte, 1001), nil })
		})
		if _, err := a.Call(t.Context(), "b", kindEcho, nil); !errors.Is(err, ErrTooLarge) {
			t.Errorf("reply beyond the caller's limit: %v", err)
		}
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() { _, _ = a.Call(ctx, "b", kindHold, nil) }) // ends with ctx
			<-w.begun
		}
		if _, err := a.Call(t.Context(), "b", kindHold, nil); !errors.Is(err, ErrFull) {
			t.Errorf("more than the caller takes: %v", err)
		}
		cancel()
		wg.Wait()
	})
}

// Requests that are never complete are bounded together.
func TestPartialRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newPipes()
		cfg := network.on(testConfig("b", 1))
		cfg.MaxCall = 100_000
		b := start(t, cfg, func(e *Endpoint) {
			e.HandleCall(kindEcho, func(_ context.Context, _ Peer, request []byte) ([]byte, error) { return request, nil })
		})
		if err := b.SetPeer("a", "nowhere", 0); err != nil {
			t.Fatal(err)
		}
		conn, err := network.dial(t.Context(), "b")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := testIdentity("a", "secret").dialHandshake(conn, hello{target: "b", stream: 1, purpose: purposeCall}); err != nil {
			t.Fatal(err)
		}
		k := newLink(conn, time.Minute, time.Minute, maxFrame)
		write := func(frame []byte) {
			if err := k.write(frame); err != nil {
				t.Fatal(err)
			}
		}
		code := func(want uint64) CallCode {
			for {
				h, body, err := k.next()
				if err != nil {
					t.Fatal(err)
				}
				if h.typ != frameReply {
					continue
				}
				id, code, _, err := parseReply(body)
				if err != nil || id != want {
					t.Fatalf("reply to %d, expected to %d: %v", id, want, err)
				}
				return code
			}
		}
		first := func(id, size uint64, flags uint8, chunk int) []byte {
			return appendRequest(nil, id, request{kind: kindEcho, size: size}, flagFirst|flags, make([]byte, chunk))
		}
		write(first(1, 60_000, 0, 50_000))
		write(first(2, 60_000, 0, 49_000))
		write(first(3, 60_000, 0, 2_000))
		if c := code(3); c != CallBusy {
			t.Errorf("beyond all that may be partial: %v", c)
		}
		write(appendCancel(nil, 2))
		write(first(4, 60_000, 0, 49_000))
		write(appendRequest(nil, 1, request{}, flagLast, make([]byte, 10_001)))
		if c := code(1); c != CallTooLarge {
			t.Errorf("more than was announced: %v", c)
		}
		write(appendRequest(nil, 4, request{}, flagLast, nil))
		if c := code(4); c != CallOK {
			t.Errorf("complete: %v", c)
		}
		write(appendRequest(nil, 99, request{}, flagLast, nil)) // no such request
		write(first(5, 100_001, flagLast, 1))
		if c := code(5); c != CallTooLarge {
			t.Errorf("announced too large: %v", c)
		}
	})
}

// Bulk in both directions delays no message, and calls share the connection.
func TestCallsBesideMessages(t *testing.T) {
	got := collect(2000)
	a := start(t, testConfig("a@127.0.0.1", 1), nil)
	b := start(t, testConfig("b@127.0.0.1", 1), func(e *Endpoint) {
		e.Handle(kindNumber, got.handle)
		e.HandleCall(kindEcho, func(_ context.Context, _ Peer, request []byte) ([]byte, error) { return request, nil })
	})
	join(t, a, b)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			request := []byte(strings.Repeat(fmt.Sprint("call ", i), 500_000+i))
			if i > 3 {
				request = request[:100*i]
			}
			reply, err := a.Call(ctx, "b@127.0.0.1", kindEcho, request)
			if err != nil || !bytes.Equal(reply, request) {
				t.Errorf("call %d: reply of %d bytes to %d, %v", i, len(reply), len(request), err)
			}
		})
	}
	outcomes := counted(t, a, "b@127.0.0.1", 0, 2000)
	for range 2000 {
		if err := within(t, outcomes, "an outcome"); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
}
