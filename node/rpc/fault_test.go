package rpc

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// faults are the chances of what happens to a frame on its way, in 1000.
type faults struct {
	double, lose, swap, damage, cut, stall, slow int
}

// proxy is a bad network before an endpoint. It knows where frames begin.
type proxy struct {
	ln     net.Listener
	target string
	faults atomic.Pointer[faults]
	hits   [7]atomic.Int64 // faults that happened, in the order of the struct

	mu    sync.Mutex
	rnd   *rand.Rand
	conns map[net.Conn]bool
	wg    sync.WaitGroup
	done  chan struct{}
}

func startProxy(t testing.TB, target string, seed uint64, f faults) *proxy {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{ln: ln, target: target, rnd: rand.New(rand.NewPCG(seed, 7)), conns: map[net.Conn]bool{}, done: make(chan struct{})}
	p.faults.Store(&f)
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		close(p.done)
		ln.Close()
		p.mu.Lock()
		for c := range p.conns {
			c.Close()
		}
		p.mu.Unlock()
		p.wg.Wait()
	})
	return p
}

func (p *proxy) addr() string { return p.ln.Addr().String() }

func (p *proxy) accept() {
	for {
		in, err := p.ln.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", p.target)
		if err != nil {
			in.Close()
			continue
		}
		p.mu.Lock()
		p.conns[in], p.conns[out] = true, true
		p.mu.Unlock()
		end := func() {
			in.Close()
			out.Close()
			p.mu.Lock()
			delete(p.conns, in)
			delete(p.conns, out)
			p.mu.Unlock()
		}
		p.wg.Go(func() { defer end(); p.forward(in, out, true) })
		p.wg.Go(func() { defer end(); p.forward(out, in, false) })
	}
}

// chance tells how much of it happens to this frame, and where in it.
func (p *proxy) chance(n int) (which, at int) {
	f := p.faults.Load()
	p.mu.Lock()
	x, at := p.rnd.IntN(1000), p.rnd.IntN(n)
	p.mu.Unlock()
	for i, rate := range []int{f.double, f.lose, f.swap, f.damage, f.cut, f.stall, f.slow} {
		if x < rate {
			p.hits[i].Add(1)
			return i, at
		}
		x -= rate
	}
	return -1, at
}

// forward copies the handshake as it is and then frame by frame.
func (p *proxy) forward(from, to net.Conn, dialler bool) {
	r := bufio.NewReaderSize(from, 128<<10)
	part := func(magic, plus int) bool {
		b := make([]byte, magic+2)
		if _, err := io.ReadFull(r, b); err != nil {
			return false
		}
		b = append(b, make([]byte, int(binary.BigEndian.Uint16(b[magic:]))+plus)...)
		if _, err := io.ReadFull(r, b[magic+2:]); err != nil {
			return false
		}
		_, err := to.Write(b)
		return err == nil
	}
	copyN := func(n int64) bool {
		_, err := io.CopyN(to, r, n)
		return err == nil
	}
	if dialler && !(part(4, 0) && copyN(proofLen)) || !dialler && !(part(4, 0) && part(0, 0)) {
		return
	}
	var kept []byte // a frame that the next one overtakes
	for {
		head := make([]byte, lenSize)
		if _, err := io.ReadFull(r, head); err != nil {
			return
		}
		frame := append(head, make([]byte, binary.BigEndian.Uint32(head))...)
		if _, err := io.ReadFull(r, frame[lenSize:]); err != nil {
			return
		}
		n := len(frame)
		which, at := p.chance(n)
		switch which {
		case 0:
			frame = append(frame, frame...)
		case 1:
			continue
		case 2:
			if kept == nil {
				kept = frame
				continue
			}
		case 3:
			frame[max(at, lenSize)] ^= 0x55
		case 4:
			_, _ = to.Write(frame[:at]) // it is cut in any case
			return
		case 5:
			// Open, and nothing comes any more.
			_, _ = io.Copy(io.Discard, r) // until it is closed
			return
		case 6:
			timer := time.NewTimer(time.Duration(at%20) * time.Millisecond)
			select {
			case <-timer.C:
			case <-p.done:
			}
		}
		if kept != nil {
			frame, kept = append(frame, kept...), nil
		}
		if _, err := to.Write(frame); err != nil {
			return
		}
	}
}

// faultConfig notices faults quickly.
func faultConfig(name string, incarnation uint64) Config {
	cfg := testConfig(name, incarnation)
	cfg.Lanes = 3
	cfg.Silence, cfg.WriteTimeout, cfg.AuthTimeout = time.Second, time.Second, time.Second
	cfg.BackoffMin, cfg.BackoffMax = time.Millisecond, 50*time.Millisecond
	cfg.QueueBytes = 64 << 10
	cfg.BatchMessages = 20
	return cfg
}

// tag is a message of the tests for faults: which lane, and its number there.
func tag(lane int, n uint64, size int) func([]byte) []byte {
	return func(dst []byte) []byte {
		dst = binary.BigEndian.AppendUint64(append(dst, byte(lane)), n)
		return append(dst, make([]byte, size)...)
	}
}

// sequencer is a handler that holds every lane of every life of a sender to the
// order of its numbers, and acknowledges in an order of its own.
type sequencer struct {
	t *testing.T

	mu   sync.Mutex
	last map[string]uint64
	late []func()
	rnd  *rand.Rand
}

func newSequencer(t *testing.T, seed uint64) *sequencer {
	return &sequencer{t: t, last: map[string]uint64{}, rnd: rand.New(rand.NewPCG(seed, 9))}
}

func (s *sequencer) handle(from Peer, payload []byte, ack func()) {
	lane, n := payload[0], binary.BigEndian.Uint64(payload[1:])
	key := fmt.Sprint(from.Name, " lane ", lane)
	s.mu.Lock()
	if n != s.last[key]+1 {
		s.t.Errorf("%s: message %d after %d", key, n, s.last[key])
	}
	s.last[key] = n
	// Some acknowledgements come later, from elsewhere, in another order.
	s.late = append(s.late, ack)
	var run []func()
	if len(s.late) > 30 || s.rnd.IntN(3) == 0 {
		run, s.late = s.late, nil
		s.rnd.Shuffle(len(run), func(i, j int) { run[i], run[j] = run[j], run[i] })
	}
	elsewhere := s.rnd.IntN(2) == 0
	s.mu.Unlock()
	all := func() {
		for _, ack := range run {
			ack()
		}
	}
	if elsewhere && run != nil {
		go all()
	} else {
		all()
	}
}

// flush acknowledges what is still kept.
func (s *sequencer) flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ack := range s.late {
		ack()
	}
	s.late = nil
}

// Three nodes, each sending to the others on three lanes, over connections that
// lose, double, swap, damage and delay frames, break and fall silent: every
// message arrives once, in order, and its outcome is told once.
func TestBadNetwork(t *testing.T) {
	const perLane, lanes = 800, 3
	names := []string{"a@127.0.0.1", "b@127.0.0.1", "c@127.0.0.1"}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var nodes []*Endpoint
	var seqs []*sequencer
	for i, name := range names {
		s := newSequencer(t, seed+uint64(i))
		seqs = append(seqs, s)
		nodes = append(nodes, start(t, faultConfig(name, uint64(i+1)), func(e *Endpoint) { e.Handle(kindNumber, s.handle) }))
	}
	var proxies []*proxy
	for i, from := range nodes {
		for j, to := range nodes {
			if i == j {
				continue
			}
			p := startProxy(t, to.Addr().String(), seed+uint64(10*i+j), faults{double: 30, lose: 15, swap: 15, damage: 10, cut: 15, stall: 1, slow: 50})
			proxies = append(proxies, p)
			if err := from.SetPeer(to.cfg.Name, p.addr(), to.cfg.Incarnation); err != nil {
				t.Fatal(err)
			}
		}
	}
	flushing := make(chan struct{})
	var flusher sync.WaitGroup
	flusher.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				for _, s := range seqs {
					s.flush()
				}
			case <-flushing:
				return
			}
		}
	})
	var senders sync.WaitGroup
	for i, from := range nodes {
		for j, to := range nodes {
			if i == j {
				continue
			}
			for lane := range lanes {
				senders.Go(func() { sendAll(t, from, to.cfg.Name, lane, perLane, seed) })
			}
		}
	}
	ended := make(chan struct{})
	go func() { senders.Wait(); close(ended) }()
	timer := time.NewTimer(2 * time.Minute)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
		for _, e := range nodes {
			for _, p := range e.Peers() {
				st, _ := e.PeerStats(p)
				t.Errorf("%s to %s: %+v", e.cfg.Name, p, st)
			}
		}
	}
	close(flushing)
	flusher.Wait()
	for i, s := range seqs {
		s.mu.Lock()
		if len(s.last) != 2*lanes {
			t.Errorf("%s heard of %d lanes", names[i], len(s.last))
		}
		for key, last := range s.last {
			if last != perLane {
				t.Errorf("%s: %d messages from %s", names[i], last, key)
			}
		}
		s.mu.Unlock()
	}
	var hits [7]int64
	for _, p := range proxies {
		for i := range hits {
			hits[i] += p.hits[i].Load()
		}
	}
	var resent, duplicates uint64
	for _, e := range nodes {
		for _, p := range e.Peers() {
			st, _ := e.PeerStats(p)
			resent += st.Resent
			duplicates += st.Duplicates
		}
	}
	t.Logf("doubled, lost, swapped, damaged, cut, silent, slow: %d; %d sent again, %d dropped as known", hits, resent, duplicates)
	for i, n := range hits[:5] {
		if n == 0 {
			t.Errorf("fault %d never happened", i)
		}
	}
	if resent == 0 || duplicates == 0 {
		t.Error("nothing was sent again, or nothing of it was known")
	}
}

// sendAll sends the numbers 1 to n to a lane and waits for their outcomes, all
// nil, each once and in order.
func sendAll(t *testing.T, from *Endpoint, to string, lane, n int, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, uint64(lane)))
	outcomes := make(chan uint64, n)
	for i := range n {
		size := rnd.IntN(100)
		if rnd.IntN(200) == 0 {
			size = rnd.IntN(100 << 10)
		}
		for {
			err := from.Send(to, uint64(lane), kindNumber, tag(lane, uint64(i+1), size), func(err error) {
				if err != nil {
					t.Errorf("%s to %s lane %d message %d: %v", from.cfg.Name, to, lane, i+1, err)
				}
				outcomes <- uint64(i + 1)
			})
			if err == nil {
				break
			}
			if !errors.Is(err, ErrFull) {
				t.Error(err)
				return
			}
			<-from.Ready(to, uint64(lane))
		}
	}
	for i := range n {
		if got := <-outcomes; got != uint64(i+1) {
			t.Errorf("%s to %s lane %d: outcome of %d, expected %d", from.cfg.Name, to, lane, got, i+1)
			return
		}
	}
}
