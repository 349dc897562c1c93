package rpc

import (
	"context"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// cpu is the time that this process has used.
func cpu(b testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkSend sends 200-byte messages over loopback to another process, from
// as many goroutines as there are CPUs, as fast as the queues allow, and waits
// for all of them.
func BenchmarkSend(b *testing.B) {
	for _, bc := range []struct {
		name  string
		lanes int
		await bool
	}{
		{"sync/lanes=1", 1, true},
		{"sync/lanes=10", 10, true},
		{"async/lanes=10", 10, false},
	} {
		b.Run(bc.name, func(b *testing.B) {
			cfg := testConfig("a@127.0.0.1", 1)
			cfg.Lanes = bc.lanes
			a := start(b, cfg, nil)
			r := startReceiver(b, "127.0.0.1:0", a.Addr(), "")
			if err := a.SetPeer("b@127.0.0.1", r.addr, 0); err != nil {
				b.Fatal(err)
			}
			body := make([]byte, 200)
			payload := func(dst []byte) []byte { return append(dst, body...) }
			send := func(lane uint64, done func(error)) {
				for a.Send("b@127.0.0.1", lane, kindNumber, payload, done) != nil {
					<-a.Ready("b@127.0.0.1", lane)
				}
			}
			outcome := make(chan error, bc.lanes)
			barrier := func() {
				for lane := range bc.lanes {
					send(uint64(lane), func(err error) { outcome <- err })
				}
				for range bc.lanes {
					if err := within(b, outcome, "the end"); err != nil {
						b.Fatal(err)
					}
				}
			}
			barrier()
			var left atomic.Int64
			var done func(error)
			if bc.await {
				done = func(error) { left.Add(-1) }
			}
			b.SetBytes(200)
			b.ReportAllocs()
			here, there := cpu(b), r.cpu(b)
			b.ResetTimer()
			var lanes atomic.Uint64
			b.RunParallel(func(pb *testing.PB) {
				lane := lanes.Add(1)
				for pb.Next() {
					if bc.await {
						left.Add(1)
					}
					lane++
					send(lane, done)
				}
			})
			barrier()
			b.StopTimer()
			if n := left.Load(); n != 0 {
				b.Fatalf("%d outcomes are missing", n)
			}
			n := float64(b.N)
			b.ReportMetric(n/b.Elapsed().Seconds(), "msg/s")
			b.ReportMetric(float64(cpu(b)-here)/n, "cpu-ns-send/msg")
			b.ReportMetric(float64(r.cpu(b)-there)/n, "cpu-ns-recv/msg")
			runtime.KeepAlive(body)
		})
	}
}

// BenchmarkRoundTrip sends one message at a time and waits for its outcome:
// what a lone publisher waits for a peer.
func BenchmarkRoundTrip(b *testing.B) {
	cfg := testConfig("a@127.0.0.1", 1)
	a := start(b, cfg, nil)
	r := startReceiver(b, "127.0.0.1:0", a.Addr(), "")
	if err := a.SetPeer("b@127.0.0.1", r.addr, 0); err != nil {
		b.Fatal(err)
	}
	outcome := make(chan error, 1)
	for b.Loop() {
		if err := a.Send("b@127.0.0.1", 0, kindNumber, number(1), func(err error) { outcome <- err }); err != nil {
			b.Fatal(err)
		}
		if err := within(b, outcome, "the outcome"); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCall has the peer echo a megabyte.
func BenchmarkCall(b *testing.B) {
	a := start(b, testConfig("a@127.0.0.1", 1), nil)
	c := start(b, testConfig("b@127.0.0.1", 1), func(e *Endpoint) {
		e.HandleCall(kindEcho, func(_ context.Context, _ Peer, request []byte) ([]byte, error) { return request, nil })
	})
	join(b, a, c)
	request := make([]byte, 1<<20)
	b.SetBytes(2 << 20)
	for b.Loop() {
		if _, err := a.Call(b.Context(), "b@127.0.0.1", kindEcho, request); err != nil {
			b.Fatal(err)
		}
	}
}
