package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"ergo.services/ergo/act"
	"ergo.services/ergo/gen"

	"ermine/node/dist"
	"ermine/node/dist/etf"
)

const (
	// nodeEnv, in the environment, makes this program a node of that name;
	// profileEnv is the folder for its CPU profiles.
	nodeEnv    = "DIST_BENCH_NODE"
	profileEnv = "DIST_BENCH_PROFILES"

	cookie = "bench-cookie"
	sinks  = 16
)

func sinkName(i int) string { return "sink_" + strconv.Itoa(i) }

// runNode is a node's main: it obeys the commands on its input until that ends.
func runNode(name string, in io.Reader, out io.Writer) error {
	n, err := dist.Start(dist.Options{
		Name: name, Cookie: cookie,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		return err
	}
	defer n.Stop()
	b := &benchNode{Network: n, out: out, profiles: os.Getenv(profileEnv)}
	for i := range sinks {
		if _, err := b.spawn(sinkName(i+1), &sink{net: n}); err != nil {
			return err
		}
	}
	if _, err := b.spawn("echo", &echo{net: n}); err != nil {
		return err
	}
	b.say("ready")
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		if err := b.command(lines.Text()); err != nil {
			return fmt.Errorf("%s: %w", lines.Text(), err)
		}
	}
	return lines.Err()
}

// benchNode is one Ermine node under load.
type benchNode struct {
	*dist.Network
	out      io.Writer
	profiles string
	profiled int
}

func (b *benchNode) say(format string, args ...any) { fmt.Fprintf(b.out, format+"\n", args...) }

func (b *benchNode) spawn(name string, p gen.ProcessBehavior) (gen.PID, error) {
	factory := func() gen.ProcessBehavior { return p }
	if name == "" {
		return b.Node().Spawn(factory, gen.ProcessOptions{})
	}
	return b.Node().SpawnRegister(gen.Atom(name), factory, gen.ProcessOptions{})
}

// command runs one load.
func (b *benchNode) command(line string) error {
	words := strings.Fields(line)
	if len(words) < 2 {
		return errors.New("bad command")
	}
	numbers := make([]int, len(words)-2)
	for i, w := range words[2:] {
		n, err := strconv.Atoi(w)
		if err != nil {
			return err
		}
		numbers[i] = n
	}
	switch {
	case words[0] == "profile":
		return b.profile(words[1])
	case words[0] == "send" && len(numbers) == 6:
		return b.send(words[1], numbers)
	case words[0] == "call" && len(numbers) == 3:
		return b.call(words[1], numbers)
	default:
		return errors.New("bad command")
	}
}

// profile begins or, with "-", ends a CPU profile.
func (b *benchNode) profile(load string) error {
	if load == "-" {
		pprof.StopCPUProfile()
		return nil
	}
	b.profiled++
	name, _, _ := strings.Cut(b.Name(), "@")
	f, err := os.Create(filepath.Join(b.profiles, fmt.Sprintf("%s-%d-%s.pprof", load, b.profiled, name)))
	if err != nil {
		return err
	}
	return pprof.StartCPUProfile(f)
}

func milliseconds(n int) time.Duration { return time.Duration(n) * time.Millisecond }

func (b *benchNode) send(peer string, args []int) error {
	pairs, size, window, step, warmup, duration := args[0], args[1], args[2], args[3], args[4], args[5]
	payload := []byte(strings.Repeat("x", size))
	ended := make(chan sent, pairs)
	senders := make([]*sender, pairs)
	pids := make([]gen.PID, pairs)
	for i := range senders {
		s := &sender{net: b.Network, peer: peer, sink: sinkName(i + 1), payload: payload, window: window, step: step, ended: ended}
		pid, err := b.spawn("", s)
		if err != nil {
			return err
		}
		senders[i], pids[i] = s, pid
	}
	total := func() (n int64) {
		for _, s := range senders {
			n += s.acked.Load()
		}
		return n
	}
	time.Sleep(milliseconds(warmup))
	count, start := total(), time.Now()
	b.say("begin")
	time.Sleep(milliseconds(duration))
	count, took := total()-count, time.Since(start)
	b.say("end %d %d", count, took.Nanoseconds())
	for _, pid := range pids {
		if err := b.Node().Send(pid, stop{}); err != nil {
			return err
		}
	}
	var all sent
	for range pairs {
		select {
		case s := <-ended:
			all.sent += s.sent
			all.got += s.got
		case <-time.After(patience):
			return errors.New("a sender does not end")
		}
	}
	b.say("done %d %d", all.sent, all.got)
	return nil
}

func (b *benchNode) call(peer string, args []int) error {
	callers, warmup, duration := args[0], milliseconds(args[1]), milliseconds(args[2])
	ctx, cancel := context.WithTimeout(context.Background(), warmup+duration+patience)
	defer cancel()
	at, err := b.Call(ctx, dist.Name("echo", peer), etf.Atom("whereis"))
	if err != nil {
		return err
	}
	pid, ok := at.(etf.Pid)
	if !ok {
		return fmt.Errorf("echo says %v", at)
	}
	begin := time.Now().Add(warmup)
	results := make(chan called, callers)
	for range callers {
		if _, err = b.spawn("", &caller{echo: b.PID(pid), begin: begin, end: begin.Add(duration), result: results}); err != nil {
			return err
		}
	}
	time.Sleep(time.Until(begin))
	b.say("begin")
	var times []time.Duration
	for range callers {
		select {
		case r := <-results:
			if r.err != nil {
				return r.err
			}
			times = append(times, r.times...)
		case <-ctx.Done():
			return errors.New("a caller does not end")
		}
	}
	b.say("end %d %d", len(times), time.Since(begin).Nanoseconds())
	if len(times) == 0 {
		return errors.New("no call has ended")
	}
	slices.Sort(times)
	quantile := func(q float64) int64 { return times[min(len(times)-1, int(q*float64(len(times))))].Nanoseconds() }
	b.say("done %d %d", quantile(0.5), quantile(0.99))
	return nil
}

// sent is what a sender and its sink have counted.
type sent struct{ sent, got int64 }

// stop tells a sender to end.
type stop struct{}

// sender keeps up to window messages on their way.
type sender struct {
	act.Actor
	net          *dist.Network
	peer, sink   string
	payload      any // []byte
	window, step int
	ended        chan<- sent

	to       gen.PID
	acked    atomic.Int64
	sent     int64
	stopping bool
}

// Init implements act.ActorBehavior.
func (s *sender) Init(...any) error {
	// Init may not send to others; the first message is its own.
	return s.Send(s.PID(), etf.Atom("begin"))
}

// HandleMessage implements act.ActorBehavior.
func (s *sender) HandleMessage(_ gen.PID, message any) error {
	switch m := message.(type) {
	case etf.Atom:
		if m == "begin" {
			hello := etf.Tuple{etf.Atom("hello"), s.net.Pid(s.PID()), s.step}
			return s.Send(dist.Name(s.sink, s.peer), hello)
		}
		if s.stopping {
			return nil
		}
		s.acked.Add(int64(s.step))
		return s.fill(s.step)
	case stop:
		s.stopping = true
		return s.Send(s.to, etf.Atom("finish"))
	case etf.Tuple:
		return s.tuple(m)
	default:
		return fmt.Errorf("sender got %v", m)
	}
}

func (s *sender) tuple(m etf.Tuple) error {
	if len(m) != 2 {
		return fmt.Errorf("sender got %v", m)
	}
	switch v := m[1].(type) {
	case etf.Pid: // {welcome, Pid}
		s.to = s.net.PID(v)
		return s.fill(s.window)
	case int64: // {finished, Count}
		s.ended <- sent{s.sent, v}
		return gen.TerminateReasonNormal
	default:
		return fmt.Errorf("sender got %v", m)
	}
}

func (s *sender) fill(n int) error {
	for range n {
		if err := s.Send(s.to, s.payload); err != nil {
			return err
		}
	}
	s.sent += int64(n)
	return nil
}

// sink counts what it gets and tells its sender of every step-th message.
type sink struct {
	act.Actor
	net    *dist.Network
	sender gen.PID
	step   int64
	count  int64
}

// HandleMessage implements act.ActorBehavior.
func (s *sink) HandleMessage(_ gen.PID, message any) error {
	switch m := message.(type) {
	case []byte:
		s.count++
		if s.count%s.step == 0 {
			return s.Send(s.sender, etf.Atom("ack"))
		}
		return nil
	case etf.Tuple: // {hello, Pid, Step}
		from, ok := m[1].(etf.Pid)
		step, isInt := m[2].(int64)
		if !ok || !isInt {
			return fmt.Errorf("sink got %v", m)
		}
		s.sender, s.step, s.count = s.net.PID(from), step, 0
		return s.Send(s.sender, etf.Tuple{etf.Atom("welcome"), s.net.Pid(s.PID())})
	case etf.Atom: // finish
		return s.Send(s.sender, etf.Tuple{etf.Atom("finished"), s.count})
	default:
		return fmt.Errorf("sink got %v", m)
	}
}

// echo answers calls with what they ask.
type echo struct {
	act.Actor
	net *dist.Network
}

// HandleCall implements act.ActorBehavior.
func (e *echo) HandleCall(_ gen.PID, _ gen.Ref, request any) (any, error) {
	if request == etf.Atom("whereis") {
		return e.net.Pid(e.PID()), nil
	}
	return request, nil
}

// called is what a caller has measured.
type called struct {
	times []time.Duration
	err   error
}

// caller calls echo again and again until its end.
type caller struct {
	act.Actor
	echo       gen.PID
	begin, end time.Time // of the measured part
	result     chan<- called
}

// Init implements act.ActorBehavior.
func (c *caller) Init(...any) error { return c.Send(c.PID(), etf.Atom("begin")) }

// HandleMessage implements act.ActorBehavior.
func (c *caller) HandleMessage(gen.PID, any) error {
	times, err := c.calls()
	c.result <- called{times, err}
	return gen.TerminateReasonNormal
}

// calls are those that began in the measured part.
func (c *caller) calls() (times []time.Duration, err error) {
	for i := int64(0); ; i++ {
		start := time.Now()
		if start.After(c.end) {
			return times, nil
		}
		answer, err := c.Call(c.echo, i)
		if err == nil && answer != i {
			err = fmt.Errorf("call with %d answers %v", i, answer)
		}
		if err != nil {
			return nil, err
		}
		if start.After(c.begin) {
			times = append(times, time.Since(start))
		}
	}
}
