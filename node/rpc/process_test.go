package rpc

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// receiverVar makes the test's program a receiver: an endpoint in a process of
// its own, which can be stopped, killed, and measured.
const receiverVar = "ERMINE_RPC_TEST_RECEIVER"

func TestMain(m *testing.M) {
	if args := os.Getenv(receiverVar); args != "" {
		if err := receive(strings.Split(args, "|")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// receive runs an endpoint b that takes messages from a. The arguments are where
// to listen, where a is, and a file to which the payloads are appended, each
// before it is acknowledged. It tells its address on the first line, and then its
// CPU time for each line it reads.
func receive(args []string) error {
	cfg := faultConfig("b@127.0.0.1", uint64(os.Getpid()))
	cfg.Listen = args[0]
	e, err := New(cfg)
	if err != nil {
		return err
	}
	handler := func(_ Peer, _ []byte, ack func()) { ack() }
	if args[2] != "" {
		file, err := os.OpenFile(args[2], os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		handler = func(_ Peer, payload []byte, ack func()) {
			if _, err := file.Write(payload); err == nil {
				ack()
			}
		}
	}
	e.Handle(kindNumber, handler)
	if err := e.Start(context.Background()); err != nil {
		return err
	}
	if err := e.SetPeer("a@127.0.0.1", args[1], 0); err != nil {
		return err
	}
	fmt.Println(e.Addr())
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			return err
		}
		fmt.Println(u.Utime.Nano() + u.Stime.Nano())
	}
	return nil
}

// receiver is a process that runs receive.
type receiver struct {
	cmd  *exec.Cmd
	in   *bufio.Writer
	out  *bufio.Scanner
	addr string
}

func startReceiver(t testing.TB, listen string, sender net.Addr, file string) *receiver {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), receiverVar+"="+strings.Join([]string{listen, sender.String(), file}, "|"))
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
	r := &receiver{cmd: cmd, in: bufio.NewWriter(in), out: bufio.NewScanner(out)}
	t.Cleanup(r.kill)
	if !r.out.Scan() {
		t.Fatal("the receiver did not start")
	}
	r.addr = r.out.Text()
	return r
}

// kill is kill -9, and waits for the end.
func (r *receiver) kill() {
	_ = r.cmd.Process.Kill()
	_ = r.cmd.Wait() // it was killed
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

// traffic sends numbers on three lanes to b until stopped, and remembers which
// outcome each had.
type traffic struct {
	a    *Endpoint
	stop chan struct{}
	wg   sync.WaitGroup

	mu       sync.Mutex
	outcomes [3]map[uint64]error
	moved    chan struct{} // has one when an outcome came
}

func startTraffic(t *testing.T, a *Endpoint) *traffic {
	tr := &traffic{a: a, stop: make(chan struct{}), moved: make(chan struct{}, 1)}
	for lane := range tr.outcomes {
		tr.outcomes[lane] = map[uint64]error{}
		tr.wg.Go(func() {
			var open sync.WaitGroup
			defer open.Wait()
			pace := time.NewTicker(time.Millisecond)
			defer pace.Stop()
			for n := uint64(1); ; {
				for range 20 {
					open.Add(1)
					num := n
					err := a.Send("b@127.0.0.1", uint64(lane), kindNumber, tag(lane, num, 0), func(err error) {
						tr.outcome(t, lane, num, err)
						open.Done()
					})
					switch {
					case err == nil:
						n++
						continue
					case !errors.Is(err, ErrFull) && !errors.Is(err, ErrPeerGone):
						t.Errorf("lane %d message %d: %v", lane, num, err)
					}
					open.Done()
				}
				select {
				case <-pace.C:
				case <-tr.stop:
					return
				}
			}
		})
	}
	return tr
}

func (tr *traffic) outcome(t *testing.T, lane int, n uint64, err error) {
	if err != nil && !errors.Is(err, ErrPeerGone) {
		t.Errorf("lane %d message %d: %v", lane, n, err)
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if _, ok := tr.outcomes[lane][n]; ok {
		t.Errorf("lane %d message %d: a second outcome", lane, n)
	}
	tr.outcomes[lane][n] = err
	select {
	case tr.moved <- struct{}{}:
	default:
	}
}

// succeeded waits until more messages of each lane were acknowledged.
func (tr *traffic) succeeded(t *testing.T, more int) {
	t.Helper()
	count := func() (c [3]int) {
		tr.mu.Lock()
		defer tr.mu.Unlock()
		for lane, outcomes := range tr.outcomes {
			for _, err := range outcomes {
				if err == nil {
					c[lane]++
				}
			}
		}
		return c
	}
	before := count()
	for {
		now := count()
		if min(now[0]-before[0], now[1]-before[1], now[2]-before[2]) >= more {
			return
		}
		within(t, tr.moved, "acknowledgements")
	}
}

// check stops the traffic and holds what was received against the outcomes. It
// returns how many messages failed.
func (tr *traffic) check(t *testing.T, file string) (failed int) {
	t.Helper()
	close(tr.stop)
	ended := make(chan struct{})
	go func() { tr.wg.Wait(); close(ended) }()
	within(t, ended, "all outcomes")
	b, err := os.ReadFile(file)
	if err != nil || len(b)%9 != 0 {
		t.Fatalf("%d bytes received, %v", len(b), err)
	}
	var got [3]map[uint64]bool
	var last [3]uint64
	for lane := range got {
		got[lane] = map[uint64]bool{}
	}
	for ; len(b) > 0; b = b[9:] {
		lane, n := b[0], binary.BigEndian.Uint64(b[1:])
		if n <= last[lane] {
			t.Errorf("lane %d: message %d after %d", lane, n, last[lane])
		}
		last[lane], got[lane][n] = n, true
	}
	total := 0
	for lane, outcomes := range tr.outcomes {
		total += len(outcomes)
		for n, err := range outcomes {
			if err != nil {
				failed++
			} else if !got[lane][n] {
				t.Errorf("lane %d message %d was acknowledged and is lost", lane, n)
			}
		}
	}
	t.Logf("%d messages, %d with an unknown outcome", total, failed)
	return failed
}

// A peer that is killed and started again, over and over: what was acknowledged
// is there, once, in order; what was not fails, and goes to no other life.
func TestKill(t *testing.T) {
	for _, tc := range []struct {
		name   string
		faults faults
	}{
		{"good network", faults{}},
		{"bad network", faults{double: 20, lose: 5, swap: 5, damage: 5, cut: 10, slow: 20}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "received")
			cfg := faultConfig("a@127.0.0.1", 1)
			gone := make(chan struct{}, 100)
			cfg.Events.PeerGone = func(string, uint64, uint64) { gone <- struct{}{} }
			a := start(t, cfg, nil)
			r := startReceiver(t, "127.0.0.1:0", a.Addr(), file)
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			network := startProxy(t, r.addr, seed, tc.faults)
			if err := a.SetPeer("b@127.0.0.1", network.addr(), 0); err != nil {
				t.Fatal(err)
			}
			tr := startTraffic(t, a)
			for range 4 {
				tr.succeeded(t, 200)
				r.kill()
				r = startReceiver(t, r.addr, a.Addr(), file)
				within(t, gone, "the news of another life")
			}
			tr.succeeded(t, 200)
			if tr.check(t, file) == 0 {
				t.Error("no message was caught by a kill")
			}
		})
	}
}

// A peer that is stopped is noticed; when it goes on, in the same life, nothing
// is lost or doubled.
func TestStopped(t *testing.T) {
	file := filepath.Join(t.TempDir(), "received")
	cfg := faultConfig("a@127.0.0.1", 1)
	silent := make(chan struct{}, 1)
	cfg.Events.LaneDown = func(_ string, lane int, err error) {
		if lane >= 0 && errors.Is(err, ErrSilent) {
			select {
			case silent <- struct{}{}:
			default:
			}
		}
	}
	a := start(t, cfg, nil)
	r := startReceiver(t, "127.0.0.1:0", a.Addr(), file)
	if err := a.SetPeer("b@127.0.0.1", r.addr, 0); err != nil {
		t.Fatal(err)
	}
	tr := startTraffic(t, a)
	for range 2 {
		tr.succeeded(t, 200)
		select {
		case <-silent: // a busy machine can be silent too
		default:
		}
		if err := r.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		within(t, silent, "the silence")
		if err := r.cmd.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
	}
	tr.succeeded(t, 200)
	if failed := tr.check(t, file); failed != 0 {
		t.Errorf("%d messages failed", failed)
	}
}
