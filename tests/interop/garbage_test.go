package interop

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ermine/node/dist"
	"ermine/node/dist/etf"
	"ermine/node/dist/handshake"
)

// faker is a peer that has the cookie and no manners.
type faker struct {
	r    *rand.Rand
	node *goNode
	name string
	self etf.Pid
}

// pids of nobody, so that what goes through harms nobody: a peer with the cookie
// may kill any process.
func (f *faker) nobody() etf.Pid {
	p := f.node.Pid(f.node.Node().PID())
	p.ID, p.Serial = 1<<27|f.r.Uint32N(1000), 7
	return p
}

func (f *faker) ref() etf.Ref {
	return etf.Ref{Node: etf.Atom(f.name), Creation: f.self.Creation, Len: 3, ID: [5]uint32{f.r.Uint32N(1 << 18), f.r.Uint32(), f.r.Uint32()}}
}

// term is any term, sometimes deep.
func (f *faker) term(depth int) any {
	switch n := f.r.IntN(9); {
	case depth > 0 && n < 3:
		t := make(etf.Tuple, f.r.IntN(4))
		for i := range t {
			t[i] = f.term(depth - 1)
		}
		return t
	case n < 5:
		return etf.List{f.r.Int(), f.ref(), f.self}
	case n < 6:
		return etf.Map{{Key: etf.Atom("k"), Value: f.r.Float64()}}
	case n < 7:
		return make([]byte, f.r.IntN(300))
	default:
		return etf.Atom(fmt.Sprint("atom", f.r.IntN(1000)))
	}
}

// signal is a control message and its payload, if it has one.
func (f *faker) signal() []any {
	empty := etf.Atom("")
	switch f.r.IntN(14) {
	case 0:
		return []any{etf.Tuple{2, empty, f.nobody()}, f.term(5)}
	case 1:
		return []any{etf.Tuple{6, f.self, empty, etf.Atom("echo")}, f.term(5)}
	case 2:
		return []any{etf.Tuple{6, f.self, empty, etf.Atom("echo")}, etf.Tuple{etf.Atom("$gen_call"), etf.Tuple{f.self, f.ref()}, f.term(3)}}
	case 3:
		return []any{etf.Tuple{22, f.self, f.nobody()}, f.term(5)}
	case 4:
		return []any{etf.Tuple{1, f.self, f.nobody()}}
	case 5:
		return []any{etf.Tuple{19, f.self, f.nobody(), f.ref()}}
	case 6:
		return []any{etf.Tuple{19, f.self, etf.Atom("echo"), f.ref()}}
	case 7:
		return []any{etf.Tuple{20, f.self, etf.Atom("echo"), f.ref()}}
	case 8:
		return []any{etf.Tuple{35, f.r.Uint32(), f.self, f.nobody()}}
	case 9:
		return []any{etf.Tuple{36, f.r.Uint32(), f.self, f.nobody()}}
	case 10:
		return []any{etf.Tuple{29, f.ref(), f.self, f.self, etf.Tuple{etf.Atom("m"), etf.Atom("f"), 1}, etf.List{etf.Atom("monitor")}}, etf.List{f.term(2)}}
	case 11:
		return []any{etf.Tuple{24, f.self, f.nobody()}, f.term(3)}
	case 12:
		return []any{etf.Tuple{28, f.self, f.nobody(), f.ref()}, f.term(3)}
	default:
		return []any{etf.Tuple{33, f.self, f.ref()}, f.term(3)}
	}
}

// frame is a signal as it goes over the wire, without or with an (empty)
// distribution header, whole or as a fragment.
func (f *faker) frame() []byte {
	b := []byte{0, 0, 0, 0, 112}
	form := f.r.IntN(4)
	switch form {
	case 0:
		b = append(b[:4], 131, 68, 0)
	case 1: // the first of some fragments, none or all of which follow
		b = append(b[:4], 131, 69)
		b = binary.BigEndian.AppendUint64(b, f.r.Uint64N(4))
		b = binary.BigEndian.AppendUint64(b, f.r.Uint64N(3))
		b = append(b, 0)
	}
	for _, term := range f.signal() {
		if form < 2 {
			encoded, err := etf.Append(nil, term)
			if err != nil {
				panic(err)
			}
			b = append(b, encoded[1:]...)
			continue
		}
		var err error
		if b, err = etf.Append(b, term); err != nil {
			panic(err)
		}
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

// spoil damages a frame: bytes, its length, its end. The length mostly stays
// right, so that the damage is not always found at once.
func (f *faker) spoil(b []byte) []byte {
	for range 1 + f.r.IntN(3) {
		switch f.r.IntN(6) {
		case 0:
			b[f.r.IntN(len(b))] = byte(f.r.Uint32())
		case 1, 2, 3:
			if len(b) > 5 {
				b[4+f.r.IntN(len(b)-4)] ^= 1 << f.r.IntN(8)
			}
		case 4:
			b = b[:4+f.r.IntN(len(b)-3)]
			binary.BigEndian.PutUint32(b, uint32(len(b)-4))
		default:
			b = append(b, make([]byte, f.r.IntN(40))...)
			binary.BigEndian.PutUint32(b, uint32(len(b)-4))
		}
	}
	return b
}

// run connects as a node, sends good and bad frames, and leaves. It returns
// how many frames it could write.
func (f *faker) run(ctx context.Context) (frames int, err error) {
	conn, err := net.Dial("tcp", f.node.ListenAddr())
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	f.self = etf.Pid{Node: etf.Atom(f.name), ID: f.r.Uint32N(1 << 15), Creation: 4 + f.r.Uint32N(3)}
	_, err = handshake.Start(ctx, conn, handshake.Config{
		Name: f.name, Cookie: cookie, Creation: f.self.Creation, Flags: handshake.OwnFlags(true),
	}, f.node.Name(), handshake.StartOptions{})
	if err != nil {
		return 0, err
	}
	var reader sync.WaitGroup
	defer reader.Wait()
	reader.Go(func() { _, _ = io.Copy(io.Discard, conn) })
	defer conn.Close() // before the wait
	for range 200 {
		var burst bytes.Buffer
		for range 1 + f.r.IntN(8) {
			b := f.frame()
			if f.r.IntN(60) == 0 {
				b = f.spoil(b)
			}
			burst.Write(b)
			frames++
		}
		if _, err := conn.Write(burst.Bytes()); err != nil {
			return frames, nil // found out
		}
	}
	return frames, nil
}

// TestGarbagePastHandshake is TestGarbage by peers that have the cookie: good
// and damaged signals, in and out of fragments. Each costs its peer the
// connection at most; the node keeps its other connections, what goes over
// them, and no goroutine and no memory of the fakers.
func TestGarbagePastHandshake(t *testing.T) {
	const fakers = 4
	var faults recorder
	n, err := dist.Start(dist.Options{
		Name: staticName(t, "g", "127.0.0.1"), Cookie: cookie, TickTime: tick,
		Logger: slog.New(slog.NewTextHandler(&faults, &slog.HandlerOptions{Level: slog.LevelError})),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Stop)
	g := &goNode{Network: n, t: t}
	g.spawn("echo", &script{})
	e := startErl(t, erlOptions{})
	server := e.server("bystander")
	owner, downs := g.sink("", false)
	if _, err := g.Monitor(owner, server); err != nil {
		t.Fatal(err)
	}
	if err := g.Ping(within(t), e.name); err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	before, goroutines := heapInUse(), runtime.NumGoroutine()
	seed := rand.Uint64()
	stop := time.Now().Add(garbageTime())
	var wg sync.WaitGroup
	var frames, visits atomic.Int64
	for worker := range fakers {
		wg.Go(func() {
			f := &faker{r: rand.New(rand.NewPCG(seed, uint64(worker))), node: g}
			for time.Now().Before(stop) {
				f.name = fmt.Sprintf("faker%d_%d@127.0.0.1", worker, f.r.IntN(3))
				count, err := f.run(within(t))
				if err == nil {
					visits.Add(1)
				}
				frames.Add(int64(count))
			}
		})
	}
	for time.Now().Before(stop) {
		if err := g.Ping(within(t), e.name); err != nil {
			t.Fatal(err)
		}
		e.want(etf.Atom("hi"), "gen_server:call({echo, '%s'}, hi)", g.Name())
	}
	wg.Wait()
	t.Logf("seed %d: %d frames on %d connections", seed, frames.Load(), visits.Load())
	if visits.Load() < fakers {
		t.Errorf("only %d connections got past the handshake", visits.Load())
	}
	eventually(t, "the fakers are gone", func() bool {
		nodes := g.Nodes()
		return len(nodes) == 1 && nodes[0] == e.name
	})
	eventually(t, "their goroutines are gone", func() bool { return runtime.NumGoroutine() <= goroutines+2 })
	runtime.GC()
	if after := heapInUse(); after > before+32<<20 {
		t.Errorf("heap was %d bytes, is %d", before, after)
	}
	if count := faults.count(""); count > 0 {
		t.Errorf("%d errors in the log: %.2000q", count, faults.lines)
	}
	// The monitor of before still stands, and nothing else was told.
	e.eval("bystander ! {exit, over}")
	down, ok := receive(t, downs).(dist.Down)
	if !ok || !etf.Equal(dist.ExitTerm(down.Reason), etf.Atom("over")) {
		t.Errorf("monitor: %+v", down)
	}
}

// heapInUse is the number of bytes of living objects.
func heapInUse() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
