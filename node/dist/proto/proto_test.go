package proto

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ermine/node/dist/etf"
	"ermine/node/dist/handshake"
)

var (
	pidA = etf.Pid{Node: "a@h", ID: 1<<31 + 5, Serial: 7, Creation: 11}
	pidB = etf.Pid{Node: "b@h", ID: 6, Serial: 1<<32 - 1, Creation: 12}
	refA = etf.Ref{Node: "a@h", Creation: 11, Len: 3, ID: [5]uint32{1, 2, 3}}
)

// everySignal has one of each kind, with terms of several types.
func everySignal() []Signal {
	big := make([]byte, 200_000)
	for i := range big {
		big[i] = byte(i * 7)
	}
	reason := etf.Tuple{etf.Atom("some"), etf.List{int64(1), etf.Atom("reason")}}
	return []Signal{
		&Send{From: pidA, To: pidB, Message: etf.Atom("hello")},
		&Send{From: pidA, To: pidB, Message: etf.Tuple{etf.Atom("blob"), big, pidA}},
		&SendName{From: pidA, To: "name", Message: etf.Map{{Key: etf.Atom("k"), Value: 1.5}}},
		&SendAlias{From: pidA, Alias: refA, Message: etf.Tuple{refA, []byte("x")}},
		&Link{From: pidA, To: pidB},
		&Unlink{ID: 1, From: pidA, To: pidB},
		&Unlink{ID: 255, From: pidA, To: pidB},
		&Unlink{ID: 256, From: pidA, To: pidB},
		&Unlink{ID: 1<<64 - 1, From: pidA, To: pidB},
		&UnlinkAck{ID: 1 << 33, From: pidA, To: pidB},
		&Exit{From: pidA, To: pidB, Reason: reason},
		&Exit{From: pidA, To: pidB, Reason: big},
		&Exit2{From: pidA, To: pidB, Reason: etf.Atom("kill")},
		&Monitor{From: pidA, To: pidB, Ref: refA},
		&Monitor{From: pidA, ToName: "name", Ref: refA},
		&Demonitor{From: pidA, To: pidB, Ref: refA},
		&Demonitor{From: pidA, ToName: "name", Ref: refA},
		&Down{From: pidA, To: pidB, Ref: refA, Reason: reason},
		&Down{FromName: "name", To: pidB, Ref: refA, Reason: etf.Atom("noproc")},
		&GroupLeader{From: pidA, To: pidB},
		&SpawnRequest{
			Ref: refA, From: pidA, GroupLeader: pidA, Module: "m", Function: "f", Arity: 2,
			Options: etf.List{etf.Atom("monitor"), etf.Tuple{etf.Atom("priority"), etf.Atom("high")}},
			Args:    etf.List{etf.Atom("x"), int64(1 << 40)},
		},
		&SpawnRequest{Ref: refA, From: pidA, GroupLeader: pidA, Module: "m", Function: "f", Options: etf.List{}, Args: etf.List{}},
		&SpawnReply{Ref: refA, To: pidA, Flags: SpawnLinked | SpawnMonitored, Pid: pidB},
		&SpawnReply{Ref: refA, To: pidA, Err: "notsup"},
	}
}

func config(conn net.Conn, name, peer string, flags handshake.Flags) Config {
	return Config{
		Conn: conn, Name: name, Peer: peer, Flags: flags, TickTime: time.Minute,
		Logger: slog.New(slog.DiscardHandler),
	}
}

// kept is a copy of a signal that outlives the handler.
func kept(sig Signal) Signal {
	v := reflect.New(reflect.TypeOf(sig).Elem())
	v.Elem().Set(reflect.ValueOf(sig).Elem())
	return v.Interface().(Signal)
}

// pipe connects two Conns; what b receives goes to the channel.
func pipe(t *testing.T, flags handshake.Flags, change func(a, b *Config)) (a, b *Conn, received chan Signal, errA, errB chan error) {
	t.Helper()
	left, right := net.Pipe()
	ca, cb := config(left, "a@h", "b@h", flags), config(right, "b@h", "a@h", flags)
	if change != nil {
		change(&ca, &cb)
	}
	a, b = New(ca), New(cb)
	received = make(chan Signal, 100_000)
	errA, errB = make(chan error, 1), make(chan error, 1)
	go func() { errA <- a.Serve(func(Signal) error { return nil }) }()
	go func() { errB <- b.Serve(func(s Signal) error { received <- kept(s); return nil }) }()
	t.Cleanup(func() {
		a.Close(nil, 0)
		b.Close(nil, 0)
	})
	return a, b, received, errA, errB
}

// flagSets are what the two ends may have agreed on.
var flagSets = map[string]handshake.Flags{
	"all":            handshake.Supported,
	"no fragments":   handshake.Supported &^ handshake.FlagFragments,
	"no header":      handshake.Supported &^ (handshake.FlagDistHdrAtomCache | handshake.FlagFragments),
	"no payload":     handshake.Supported &^ handshake.FlagExitPayload,
	"no send_sender": handshake.Supported &^ handshake.FlagSendSender,
	"old":            handshake.Required | handshake.FlagAlias | handshake.FlagSpawn,
}

func TestEverySignal(t *testing.T) {
	for name, flags := range flagSets {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, _, received, _, _ := pipe(t, flags, nil)
				for _, sig := range everySignal() {
					want := kept(sig)
					switch s := want.(type) {
					case *Send:
						if !flags.Has(handshake.FlagSendSender) {
							s.From = etf.Pid{}
						}
					case *Unlink:
						if !flags.Has(handshake.FlagUnlinkID) {
							s.ID = 0
						}
					}
					if err := a.Push(sig); err != nil {
						t.Fatalf("%T: %v", sig, err)
					}
					got := <-received
					if !reflect.DeepEqual(got, want) {
						t.Errorf("sent %.200v\n got %.200v", describeSignal(want), describeSignal(got))
					}
				}
			})
		})
	}
}

func describeSignal(s Signal) string { return fmt.Sprintf("%T%+v", s, reflect.ValueOf(s).Elem()) }

func TestNotSupportedByPeer(t *testing.T) {
	a := New(config(nil, "a@h", "b@h", handshake.Required))
	for _, sig := range []Signal{
		&SendAlias{From: pidA, Alias: refA, Message: int64(1)},
		&SpawnRequest{Ref: refA, From: pidA, GroupLeader: pidA, Module: "m", Function: "f"},
	} {
		if err := a.TrySend(sig); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%T: %v", sig, err)
		}
	}
	if err := a.TrySend(&Send{From: pidA, To: pidB, Message: make(chan int)}); !errors.Is(err, etf.ErrUnsupported) {
		t.Errorf("a channel as message: %v", err)
	}
}

// TestGolden holds frames to bytes put together by hand from the tables in
// "Distribution Protocol" and "External Term Format".
func TestGolden(t *testing.T) {
	node := "7703" + hex.EncodeToString([]byte("a@h"))
	pid := func(node, rest string) string { return "58" + node + rest }
	a := pid(node, "80000005"+"00000007"+"0000000b")
	b := pid("7703"+hex.EncodeToString([]byte("b@h")), "00000006"+"ffffffff"+"0000000c")
	cacheA, cacheB := pid("5200", "80000005"+"00000007"+"0000000b"), pid("5201", "00000006"+"ffffffff"+"0000000c")
	tests := []struct {
		name  string
		flags handshake.Flags
		sig   Signal
		want  string
	}{
		{
			"SEND_SENDER without header", handshake.FlagSendSender, &Send{From: pidA, To: pidB, Message: int64(9)},
			"00000034" + "70" + "83" + "6803" + "6116" + a + b + "83" + "6109",
		},
		{
			"SEND without header", 0, &Send{From: pidA, To: pidB, Message: int64(9)},
			"00000022" + "70" + "83" + "6803" + "6102" + "7700" + b + "83" + "6109",
		},
		{
			"LINK with atom cache", handshake.FlagDistHdrAtomCache, &Link{From: pidA, To: pidB},
			// version, header, 2 refs: both new, then slot and text of each
			"HEADER" + "6803" + "6101" + cacheA + cacheB,
		},
		{
			"EXIT without payload", 0, &Exit{From: pidA, To: pidB, Reason: etf.Atom("x")},
			"00000034" + "70" + "83" + "6804" + "6103" + a + b + "770178",
		},
		{
			"UNLINK_ID", handshake.FlagUnlinkID, &Unlink{ID: 0x1234, From: pidA, To: pidB},
			"00000036" + "70" + "83" + "6804" + "6123" + "6e02003412" + a + b,
		},
	}
	for _, tt := range tests {
		var sink bytes.Buffer
		c := New(config(bufferConn{out: &sink}, "a@h", "b@h", tt.flags))
		p, err := c.prepare(tt.sig)
		if err != nil {
			t.Fatal(err)
		}
		out := &output{c: c}
		if err := out.send([]*packet{p}); err != nil {
			t.Fatal(err)
		}
		got := hex.EncodeToString(sink.Bytes())
		if rest, cached := strings.CutPrefix(tt.want, "HEADER"); cached {
			// What the header must decode to; its slots are the sender's choice.
			var cache etf.ReceiveCache
			h, body, err := etf.DecodeHeader(sink.Bytes()[4:], &cache)
			if err != nil || h.Kind != etf.HeaderNormal || h.Refs.Len() != 2 || h.Refs.At(0) != "a@h" || h.Refs.At(1) != "b@h" {
				t.Errorf("%s: header %+v, %v", tt.name, h, err)
			}
			got, tt.want = hex.EncodeToString(body), rest
		} else {
			tt.want = fmt.Sprintf("%08x", len(tt.want)/2-4) + tt.want[8:]
		}
		if got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.name, got, tt.want)
		}
	}
}

// bufferConn is a net.Conn that reads from in and keeps what is written.
type bufferConn struct {
	net.Conn
	in  io.Reader
	out io.Writer
}

func reading(b []byte) bufferConn { return bufferConn{in: bytes.NewReader(b), out: io.Discard} }

func (c bufferConn) Read(b []byte) (int, error)       { return c.in.Read(b) }
func (c bufferConn) Write(b []byte) (int, error)      { return c.out.Write(b) }
func (c bufferConn) Close() error                     { return nil }
func (c bufferConn) SetWriteDeadline(time.Time) error { return nil }

// TestAtomCache sends more atoms than the cache has places, so that entries
// are overwritten while messages refer to them.
func TestAtomCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _, received, _, _ := pipe(t, handshake.Supported, nil)
		for i := range 3000 {
			want := etf.List{}
			for j := range 20 {
				want = append(want, etf.Atom(fmt.Sprintf("atom_%d", (i*j)%4000)))
			}
			if err := a.Push(&Send{From: pidA, To: pidB, Message: want}); err != nil {
				t.Fatal(err)
			}
			if i%100 == 99 {
				synctest.Wait()
			}
			if got := (<-received).(*Send); !etf.Equal(got.Message, want) {
				t.Fatalf("message %d: %v, want %v", i, got.Message, want)
			}
		}
	})
}

func TestOrderOfManySenders(t *testing.T) {
	const senders, each = 8, 2000
	synctest.Test(t, func(t *testing.T) {
		a, _, received, _, _ := pipe(t, handshake.Supported, func(a, _ *Config) { a.MaxQueue = 10_000 })
		var wg sync.WaitGroup
		for s := range senders {
			wg.Go(func() {
				for i := range each {
					size := i % 50
					if i%400 == 0 {
						size = 150_000
					}
					err := a.Send(t.Context(), &Send{From: pidA, To: pidB, Message: etf.Tuple{s, i, make([]byte, size)}})
					if err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		next := make([]int64, senders)
		for range senders * each {
			m := (<-received).(*Send).Message.(etf.Tuple)
			s, i := m[0].(int64), m[1].(int64)
			if i != next[s] {
				t.Fatalf("sender %d: message %d, want %d", s, i, next[s])
			}
			next[s]++
		}
		wg.Wait()
	})
}

// frames makes the wire form of a message by hand.
func frame(parts ...[]byte) []byte {
	body := bytes.Join(parts, nil)
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
}

// TestInterleavedFragments: fragments of several messages may alternate, and
// the atoms of the first fragment hold although others change the cache.
func TestInterleavedFragments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left, right := net.Pipe()
		c := New(config(right, "b@h", "a@h", handshake.Supported))
		received := make(chan Signal, 10)
		served := make(chan error, 1)
		go func() { served <- c.Serve(func(s Signal) error { received <- kept(s); return nil }) }()
		defer c.Close(nil, 0)
		go func() { _, _ = io.Copy(io.Discard, left) }()
		// Both messages use slot 0 of the cache, for different atoms.
		message := func(seq, fragments uint64, atom string, data []byte) (first []byte, rest []byte) {
			head := binary.BigEndian.AppendUint64([]byte{131, 69}, seq)
			head = binary.BigEndian.AppendUint64(head, fragments)
			head = append(head, 1, 8, 0, byte(len(atom)))
			head = append(head, atom...)
			control := []byte{104, 4, 97, 6, 88, 82, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 119, 0, 119, 1, 'n'}
			payload := binary.BigEndian.AppendUint32([]byte{104, 2, 82, 0, 109}, uint32(len(data)))
			payload = append(payload, data...)
			return frame(head, control, payload[:7]), payload[7:]
		}
		next := func(seq, fragment uint64, data []byte) []byte {
			return frame(etf.AppendNext(nil, seq, fragment), data)
		}
		dataX, dataY := bytes.Repeat([]byte("x"), 1000), bytes.Repeat([]byte("y"), 2000)
		firstX, restX := message(10, 3, "xx", dataX)
		firstY, restY := message(11, 2, "yy", dataY)
		for _, f := range [][]byte{firstX, firstY, next(10, 2, restX[:100]), {0, 0, 0, 0}, next(11, 1, restY), next(10, 1, restX[100:])} {
			if _, err := left.Write(f); err != nil {
				t.Fatal(err)
			}
		}
		for _, want := range []etf.Tuple{{etf.Atom("yy"), dataY}, {etf.Atom("xx"), dataX}} {
			got := (<-received).(*SendName)
			if !etf.Equal(got.Message, want) || string(got.From.Node) != string(want[0].(etf.Atom)) {
				t.Errorf("got %.60v from %v", got.Message, got.From)
			}
		}
		// A gap in the count ends the connection.
		firstX, restX = message(12, 3, "xx", dataX)
		_, _ = left.Write(firstX)
		_, _ = left.Write(next(12, 1, restX))
		if err := <-served; !errors.Is(err, ErrProtocol) {
			t.Errorf("gap: %v", err)
		}
	})
}

func TestTicks(t *testing.T) {
	t.Run("idle", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a, b, _, _, _ := pipe(t, handshake.Supported, nil)
			time.Sleep(time.Hour)
			for _, c := range []*Conn{a, b} {
				s := c.Stats()
				// One each quarter; and no answers to answers.
				if s.TicksOut < 230 || s.TicksOut > 241 || s.TicksIn > 241 || s.MessagesOut != 0 {
					t.Errorf("%s: %+v", c.cfg.Name, s)
				}
				if c.Reason() != nil {
					t.Errorf("%s ended: %v", c.cfg.Name, c.Reason())
				}
			}
		})
	})
	t.Run("a peer with a shorter time is answered", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a, b, _, _, _ := pipe(t, handshake.Supported, func(a, b *Config) { a.TickTime, b.TickTime = 4*time.Second, time.Minute })
			time.Sleep(10 * time.Minute)
			if a.Reason() != nil || b.Reason() != nil {
				t.Errorf("ended: %v, %v", a.Reason(), b.Reason())
			}
			if out := b.Stats().TicksOut; out > 700 {
				t.Errorf("%d answers to 600 ticks", out)
			}
		})
	})
	t.Run("a talkative side ticks not", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a, b, received, _, _ := pipe(t, handshake.Supported, nil)
			for range 100 {
				if err := a.Push(&Send{From: pidA, To: pidB, Message: int64(1)}); err != nil {
					t.Fatal(err)
				}
				<-received
				time.Sleep(10 * time.Second)
			}
			if s := a.Stats(); s.TicksOut > 1 || b.Reason() != nil {
				t.Errorf("%+v, %v", s, b.Reason())
			}
		})
	})
	t.Run("silent peer", func(t *testing.T) {
		for _, after := range []time.Duration{0, 7 * time.Second, 14 * time.Second} {
			synctest.Test(t, func(t *testing.T) {
				left, right := net.Pipe()
				c := New(config(right, "b@h", "a@h", handshake.Supported))
				go func() { _, _ = io.Copy(io.Discard, left) }()
				last := time.Now().Add(after)
				go func() {
					time.Sleep(after)
					_, _ = left.Write([]byte{0, 0, 0, 0})
				}()
				err := c.Serve(func(Signal) error { return nil })
				took := time.Since(last)
				if !errors.Is(err, ErrTickTimeout) || took < 45*time.Second || took > 60*time.Second {
					t.Errorf("%v after %s", err, took)
				}
				_ = left.Close()
			})
		}
	})
	t.Run("peer that reads nothing", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			left, right := net.Pipe()
			c := New(config(right, "b@h", "a@h", handshake.Supported))
			var wg sync.WaitGroup
			defer wg.Wait()
			wg.Go(func() {
				for {
					if _, err := left.Write([]byte{0, 0, 0, 0}); err != nil {
						return
					}
					time.Sleep(time.Second)
				}
			})
			start := time.Now()
			if err := c.TrySend(&Send{From: pidA, To: pidB, Message: int64(1)}); err != nil {
				t.Fatal(err)
			}
			err := c.Serve(func(Signal) error { return nil })
			if took := time.Since(start); !errors.Is(err, ErrTickTimeout) || took > 61*time.Second {
				t.Errorf("%v after %s", err, took)
			}
			_ = left.Close()
		})
	})
	t.Run("slow handler", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			left, right := net.Pipe()
			c := New(config(right, "b@h", "a@h", handshake.Supported))
			a := New(config(left, "a@h", "b@h", handshake.Supported))
			go func() { _ = a.Serve(func(Signal) error { return nil }) }()
			done := make(chan struct{})
			go func() {
				_ = c.Serve(func(Signal) error {
					time.Sleep(50 * time.Second)
					close(done)
					return nil
				})
			}()
			if err := a.Push(&Link{From: pidA, To: pidB}); err != nil {
				t.Fatal(err)
			}
			<-done
			time.Sleep(time.Minute)
			if c.Reason() != nil {
				t.Errorf("taken for dead while busy: %v", c.Reason())
			}
			a.Close(nil, 0)
			c.Close(nil, 0)
		})
	})
}

// stuck is a connection whose writer cannot get rid of anything.
func stuck(t *testing.T, change func(*Config)) *Conn {
	left, right := net.Pipe()
	cfg := config(left, "a@h", "b@h", handshake.Supported)
	cfg.MaxQueue = 10_000
	cfg.MaxMessage = 100_000
	if change != nil {
		change(&cfg)
	}
	c := New(cfg)
	go func() { _ = c.Serve(func(Signal) error { return nil }) }()
	t.Cleanup(func() {
		c.Close(nil, 0)
		_ = right.Close()
	})
	return c
}

func message(size int) *Send { return &Send{From: pidA, To: pidB, Message: make([]byte, size)} }

func TestFullQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := stuck(t, nil)
		// The first is taken whatever its size, the second is not.
		if err := c.TrySend(message(50_000)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if err := c.TrySend(message(1)); !errors.Is(err, ErrBusy) {
			t.Errorf("full queue: %v", err)
		}
		if err := c.TrySend(message(200_000)); !errors.Is(err, ErrTooLarge) {
			t.Errorf("over the limit: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.Send(ctx, message(1)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Send to a stuck peer: %v", err)
		}
		// What must not be lost is taken, up to a point.
		pushed := 0
		for ; pushed < 10_000; pushed++ {
			if err := c.Push(&Exit{From: pidA, To: pidB, Reason: make([]byte, 1000)}); err != nil {
				if !errors.Is(err, ErrOverflow) {
					t.Errorf("Push: %v", err)
				}
				break
			}
		}
		if pushed < 130 || pushed > 145 {
			t.Errorf("%d signals of 1 kB taken, want (4*10+100) kB of them", pushed)
		}
		if !errors.Is(c.Reason(), ErrOverflow) {
			t.Errorf("reason %v", c.Reason())
		}
		if err := c.TrySend(message(1)); !errors.Is(err, ErrClosed) {
			t.Errorf("after the end: %v", err)
		}
	})
}

func TestSendEndsWithConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := stuck(t, nil)
		if err := c.TrySend(message(50_000)); err != nil {
			t.Fatal(err)
		}
		errs := make(chan error, 3)
		for range cap(errs) {
			go func() { errs <- c.Send(t.Context(), message(1)) }()
		}
		synctest.Wait()
		c.Close(errors.New("enough"), 0)
		for range cap(errs) {
			if err := <-errs; !errors.Is(err, ErrClosed) {
				t.Errorf("waiting Send: %v", err)
			}
		}
	})
}

// TestCloseFlushes: what is queued before Close arrives, up to its limit.
func TestCloseFlushes(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dialled, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	a := New(config(dialled, "a@h", "b@h", handshake.Supported))
	b := New(config(accepted, "b@h", "a@h", handshake.Supported))
	counts := make(chan int, 1)
	go func() { _ = a.Serve(func(Signal) error { return nil }) }()
	go func() {
		n := 0
		_ = b.Serve(func(Signal) error { n++; return nil })
		counts <- n
	}()
	const count = 5000
	for range count {
		if err := a.Push(message(500)); err != nil {
			t.Fatal(err)
		}
	}
	reason := errors.New("done")
	a.Close(reason, 30*time.Second)
	if n := <-counts; n != count {
		t.Errorf("%d of %d arrived", n, count)
	}
	if !errors.Is(b.Reason(), ErrClosed) {
		t.Errorf("the other end: %v", b.Reason())
	}
	// A peer that does not read holds Close up no longer than it is told.
	synctest.Test(t, func(t *testing.T) {
		c := stuck(t, nil)
		_ = c.TrySend(message(1000))
		synctest.Wait()
		start := time.Now()
		c.Close(nil, time.Second)
		if took := time.Since(start); took != time.Second {
			t.Errorf("Close took %s", took)
		}
	})
}

func TestCloseBeforeServe(t *testing.T) {
	left, right := net.Pipe()
	defer right.Close()
	c := New(config(left, "a@h", "b@h", handshake.Supported))
	c.Close(nil, time.Second)
	if err := c.Serve(func(Signal) error { return nil }); !errors.Is(err, ErrClosed) {
		t.Errorf("Serve after Close: %v", err)
	}
}

func TestMalformed(t *testing.T) {
	valid := func(control ...byte) []byte { return frame([]byte{131, 68, 0}, control) }
	tests := map[string][]byte{
		"no header":             frame([]byte{1}),
		"version only":          frame([]byte{131}),
		"unknown header":        frame([]byte{131, 1, 1}),
		"no tuple":              valid(97, 1),
		"empty tuple":           valid(104, 0),
		"operation no integer":  valid(104, 1, 106),
		"unknown operation":     valid(104, 1, 97, 99),
		"link without pids":     valid(104, 1, 97, 1),
		"link of atoms":         valid(104, 3, 97, 1, 119, 1, 'a', 119, 1, 'b'),
		"rest after message":    valid(append([]byte{104, 1, 97, 5}, 1)...),
		"cache reference":       frame([]byte{131, 68, 1, 0, 7}, []byte{104, 1, 97, 5}),
		"next without first":    frame(etf.AppendNext(nil, 1, 1), []byte{1}),
		"fragment 0":            frame(etf.AppendNext(nil, 1, 0), []byte{1}),
		"pass through, no term": frame([]byte{112}),
		"length over the limit": {0xff, 0xff, 0xff, 0xff},
		"huge tuple":            valid(105, 0xff, 0xff, 0xff, 0xff),
	}
	for name, data := range tests {
		t.Run(name, func(t *testing.T) {
			c := New(config(reading(data), "b@h", "a@h", handshake.Supported))
			err := c.Serve(func(s Signal) error { t.Errorf("delivered %T", s); return nil })
			if !errors.Is(err, ErrProtocol) && !errors.Is(err, ErrTooLarge) {
				t.Errorf("ended with %v", err)
			}
		})
	}
	// NODE_LINK means nothing and is ignored, as are ticks.
	c := New(config(reading(append([]byte{0, 0, 0, 0}, valid(104, 1, 97, 5)...)), "b@h", "a@h", handshake.Supported))
	if err := c.Serve(func(Signal) error { return nil }); !errors.Is(err, ErrClosed) {
		t.Errorf("NODE_LINK: %v", err)
	}
}

// TestHugeLengthCostsNothing: a length alone claims no memory.
func TestHugeLengthCostsNothing(t *testing.T) {
	data := append([]byte{0x0f, 0xff, 0xff, 0xff}, make([]byte, 100)...)
	var m [2]uint64
	m[0] = heap()
	c := New(config(reading(data), "b@h", "a@h", handshake.Supported))
	_ = c.Serve(func(Signal) error { return nil })
	m[1] = heap()
	if used := m[1] - m[0]; used > 2<<20 {
		t.Errorf("%d bytes allocated for a length", used)
	}
}

func FuzzServe(f *testing.F) {
	for _, flags := range flagSets {
		var sink bytes.Buffer
		c := New(config(bufferConn{out: &sink}, "a@h", "b@h", flags))
		out := &output{c: c}
		for _, sig := range everySignal() {
			if p, err := c.prepare(sig); err == nil && len(p.buf) < 1000 {
				_ = out.send([]*packet{p})
			}
		}
		f.Add(sink.Bytes(), uint64(flags))
	}
	f.Fuzz(func(t *testing.T, data []byte, flags uint64) {
		c := New(config(reading(data), "b@h", "a@h", handshake.Flags(flags)))
		c.cfg.MaxMessage = 1 << 20
		again := New(config(reading(nil), "b@h", "a@h", handshake.Supported))
		_ = c.Serve(func(s Signal) error {
			// What was decoded can be sent on.
			if u, ok := s.(*Unlink); ok && u.ID == 0 {
				u.ID = 1
			}
			if p, err := again.prepare(s); err == nil {
				p.release()
			}
			return nil
		})
	})
}
