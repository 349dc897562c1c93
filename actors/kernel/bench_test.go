package kernel

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

func TestCellSize(t *testing.T) {
	if n := unsafe.Sizeof(cell{}); n > 208 {
		t.Errorf("a cell has %d bytes; a size class of 208 was paid for", n)
	}
}

// The memory of an idle actor, all of protoactor's share included, for the
// million of sessions. Set ERMINE_IDLE_ACTORS to measure another number.
func BenchmarkIdleActorMemory(b *testing.B) {
	n := 1_000_000
	if v, err := strconv.Atoi(os.Getenv("ERMINE_IDLE_ACTORS")); err == nil {
		n = v
	}
	const shards = 64
	for b.Loop() {
		s := NewSystem(Config{})
		var parents []*Context
		for i := range shards {
			r, err := s.SpawnRoot(stateless("shard"+fmt.Sprint(i), func(*Context, any) {}))
			if err != nil {
				b.Fatal(err)
			}
			parents = append(parents, (*Context)(r.c))
		}
		names := make([]string, n)
		for i := range names {
			names[i] = "client-" + fmt.Sprint(1000000+i)
		}
		idle := Func(func(*Context, any) {})
		newIdle := func() Actor { return idle }
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		begun := time.Now()
		for i, name := range names {
			if _, err := parents[i%shards].Spawn(Spec{Name: name, Kind: "session", New: newIdle}); err != nil {
				b.Fatal(err)
			}
		}
		spawned := time.Since(begun)
		runtime.GC()
		begun = time.Now()
		runtime.GC()
		gc := time.Since(begun)
		runtime.ReadMemStats(&after)
		begun = time.Now()
		if nodes := s.Tree(0); len(nodes) != shards {
			b.Fatal(len(nodes))
		}
		walked := time.Since(begun)
		bytes := float64(after.HeapAlloc-before.HeapAlloc) / float64(n)
		b.ReportMetric(bytes, "B/actor")
		b.ReportMetric(float64(after.HeapObjects-before.HeapObjects)/float64(n), "objects/actor")
		b.ReportMetric(float64(spawned.Nanoseconds())/float64(n), "ns/spawn")
		b.ReportMetric(float64(gc.Milliseconds()), "ms/GC")
		b.ReportMetric(float64(walked.Milliseconds()), "ms/Tree")
		begun = time.Now()
		if err := s.Shutdown(context.Background()); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(time.Since(begun).Milliseconds()), "ms/Shutdown")
		for _, k := range s.Stats().Kinds {
			if k.Actors != 0 || k.Failures != 0 {
				b.Fatalf("%+v", k)
			}
		}
		if bytes > 640 {
			b.Fatalf("%.0f bytes per idle actor", bytes)
		}
	}
}

// cpu reports the processor time of the process, which other load on the
// machine disturbs less than the time on the wall.
func cpu(b *testing.B, per int) func() {
	used := func() int64 {
		var ru syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &ru); err != nil {
			b.Fatal(err)
		}
		return ru.Utime.Nano() + ru.Stime.Nano()
	}
	before := used()
	return func() { b.ReportMetric(float64(used()-before)/float64(b.N*per), "cpu-ns/message") }
}

// A mailbox that never runs empty: one sender ahead of the receiver.
func BenchmarkSendBusy(b *testing.B) {
	s := startSystem(b, Config{})
	done := make(chan bool)
	n, want := 0, 0
	r := spawnRoot(b, s, stateless("a", func(c *Context, msg any) {
		switch m := msg.(type) {
		case *int:
			n++
		case int:
			if want = m; n != want {
				b.Errorf("%d of %d came", n, want)
			}
			done <- true
		}
	}))
	msg := new(int)
	b.ReportAllocs()
	defer cpu(b, 1)()
	sent := 0
	for b.Loop() {
		for r.MailboxLen() > 10000 { // the sender is faster: keep it within bounds
			runtime.Gosched()
		}
		r.Send(msg)
		sent++
	}
	r.Send(sent)
	<-done
}

// The first message to an actor that sleeps, and the answer over a channel.
func BenchmarkSendIdle(b *testing.B) {
	s := startSystem(b, Config{})
	done := make(chan bool)
	r := spawnRoot(b, s, stateless("a", func(c *Context, msg any) {
		if _, ok := msg.(*int); ok {
			done <- true
		}
	}))
	msg := new(int)
	b.ReportAllocs()
	defer cpu(b, 1)()
	for b.Loop() {
		r.Send(msg)
		<-done
	}
}

// One message to each of many sleeping actors in turn, as a fan-out does.
func BenchmarkFanOutToIdle(b *testing.B) {
	s := startSystem(b, Config{})
	const actors = 1000
	done := make(chan bool, actors)
	refs := make([]Ref, actors)
	for i := range refs {
		refs[i] = spawnRoot(b, s, stateless(fmt.Sprint(i), func(c *Context, msg any) {
			if _, ok := msg.(*int); ok {
				done <- true
			}
		}))
	}
	msg := new(int)
	b.ReportAllocs()
	defer cpu(b, actors)()
	for b.Loop() {
		for _, r := range refs {
			r.Send(msg)
		}
		for range refs {
			<-done
		}
	}
}

func BenchmarkCall(b *testing.B) {
	s := startSystem(b, Config{})
	r := spawnRoot(b, s, stateless("a", func(c *Context, msg any) {
		if m, ok := msg.(ask); ok {
			m.r.Send(42)
		}
	}))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Call(context.Background(), r, asking); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSpawnStop(b *testing.B) {
	s := startSystem(b, Config{})
	b.ReportAllocs()
	for b.Loop() {
		r, err := s.SpawnRoot(stateless("a", func(*Context, any) {}))
		if err != nil {
			b.Fatal(err)
		}
		r.Stop()
		<-r.Gone()
	}
}

func BenchmarkWheelSetCancel(b *testing.B) {
	w := NewWheel(WheelConfig{})
	defer w.Close()
	timers := make([]Timer, 1000)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		w.Set(&timers[i%len(timers)], time.Duration(i%600)*time.Second, Ref{}, nil)
		i++
	}
}
