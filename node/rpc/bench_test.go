package rpc

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
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

// receiverVar makes the test's program a receiver for the benchmarks: the other
// side's CPU is measured in a process of its own.
const receiverVar = "ERMINE_RPC_TEST_RECEIVER"

func TestMain(m *testing.M) {
	if addr := os.Getenv(receiverVar); addr != "" {
		os.Exit(receive(addr))
	}
	os.Exit(m.Run())
}

// receive runs an endpoint b that takes messages from a at addr. It tells its
// own address on the first line, and then its CPU time for each line it reads.
func receive(addr string) int {
	cfg := testConfig("b@127.0.0.1", uint64(os.Getpid()))
	cfg.Lanes = 1
	e, err := New(cfg)
	if err != nil {
		return 1
	}
	e.Handle(kindNumber, func(_ Peer, _ []byte, ack func()) { ack() })
	if e.Start(context.Background()) != nil || e.SetPeer("a@127.0.0.1", addr, 0) != nil {
		return 1
	}
	fmt.Println(e.Addr())
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var u syscall.Rusage
		if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
			return 1
		}
		fmt.Println(u.Utime.Nano() + u.Stime.Nano())
	}
	return 0
}

// receiver is a process that runs receive.
type receiver struct {
	cmd  *exec.Cmd
	in   *bufio.Writer
	out  *bufio.Scanner
	addr string
}

func startReceiver(t testing.TB, sender net.Addr) *receiver {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), receiverVar+"="+sender.String())
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
	})
	r := &receiver{cmd: cmd, in: bufio.NewWriter(in), out: bufio.NewScanner(out)}
	if !r.out.Scan() {
		t.Fatal("the receiver did not start")
	}
	r.addr = r.out.Text()
	return r
}

// cpu is the time that the receiver has used.
func (r *receiver) cpu(t testing.TB) time.Duration {
	t.Helper()
	fmt.Fprintln(r.in)
	if err := r.in.Flush(); err != nil || !r.out.Scan() {
		t.Fatal("the receiver ended", err)
	}
	var ns int64
	if _, err := fmt.Sscan(strings.TrimSpace(r.out.Text()), &ns); err != nil {
		t.Fatal(err)
	}
	return time.Duration(ns)
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
			r := startReceiver(b, a.Addr())
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
