package kernel

import (
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"
)

// collector is an actor that writes down the ints that it gets.
func collector(t testing.TB, s *System) (Ref, func() []int) {
	var mu sync.Mutex
	var got []int
	r := spawnRoot(t, s, stateless("", runner(func(c *Context, msg any) {
		if n, ok := msg.(int); ok {
			mu.Lock()
			got = append(got, n)
			mu.Unlock()
		}
	})))
	return r, func() []int {
		do(t, r, func(*Context) {}) // everything sent before has been handled
		mu.Lock()
		defer mu.Unlock()
		g := got
		got = nil
		return g
	}
}

func TestTimerSize(t *testing.T) {
	if n := unsafe.Sizeof(Timer{}); n != 48 {
		t.Errorf("a Timer has %d bytes, want 48", n)
	}
}

// Timers of all lengths fire in the slot of their time: never early, less than
// one resolution late.
func TestManualWheelFiresOnTime(t *testing.T) {
	s := startSystem(t, Config{})
	to, got := collector(t, s)
	const res = 100 * time.Millisecond
	for _, d := range []time.Duration{
		-time.Second, 0, 1, res - 1, res, res + 1, 6 * time.Second, 63 * res, 64 * res, 65 * res, 4095 * res, 4096 * res,
		4097 * res, time.Hour, 7 * time.Hour, 262143 * res, 262144 * res, 262145 * res, 24 * time.Hour,
		(1<<24 - 1) * res, (1 << 24) * res, (1<<24 + 1) * res, 136 * 365 * 24 * time.Hour,
	} {
		for _, offset := range []time.Duration{0, 37 * res, 4095*res + 50*time.Millisecond, 300000 * res} {
			w := NewManualWheel(time.Unix(0, 0), res)
			w.Advance(offset)
			var timer Timer
			w.Set(&timer, d, to, 1)
			if !w.IsSet(&timer) || w.Len() != 1 {
				t.Fatalf("%v: not set", d)
			}
			early := max(0, d-1)
			if n := w.Advance(early); n != 0 {
				t.Fatalf("%v after %v: fired early", d, offset)
			}
			if n := w.Advance(res + max(0, d) - early); n != 1 {
				t.Fatalf("%v after %v: fired %d times", d, offset, n)
			}
			if w.IsSet(&timer) || w.Len() != 0 || timer != (Timer{tick: timer.tick}) {
				t.Fatalf("%v: still set, or holds something: %+v", d, timer)
			}
			w.Close()
		}
	}
	if n := len(got()); n != 23*4 {
		t.Fatalf("%d messages", n)
	}
}

func TestWheelForEver(t *testing.T) {
	w := NewManualWheel(time.Now(), time.Millisecond)
	defer w.Close()
	var timer Timer
	w.Set(&timer, 1<<63-1, Ref{}, nil)
	if w.Advance(50*365*24*time.Hour) != 0 || !w.IsSet(&timer) {
		t.Fatal("for ever is over")
	}
}

// A random history on the wheel agrees with a list of times.
func TestWheelAgainstModel(t *testing.T) {
	s := startSystem(t, Config{})
	to, got := collector(t, s)
	const res = 10 * time.Millisecond
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 0))
		w := NewManualWheel(time.Unix(0, 0), res)
		timers := make([]Timer, 200)
		due := map[int]time.Duration{} // the model
		var now time.Duration
		for range 3000 {
			i := rng.IntN(len(timers))
			switch rng.IntN(8) {
			case 0, 1, 2, 3:
				d := time.Duration(rng.Int64N(1 << (10 + rng.IntN(34))))
				w.Set(&timers[i], d, to, i)
				due[i] = now + d
			case 4:
				_, set := due[i]
				if w.Cancel(&timers[i]) != set {
					t.Fatalf("seed %d: Cancel says %v", seed, !set)
				}
				delete(due, i)
			default:
				step := time.Duration(rng.Int64N(1 << (10 + rng.IntN(33))))
				now += step
				n := w.Advance(step)
				fired := map[int]bool{}
				for _, i := range got() {
					if fired[i] {
						t.Fatalf("seed %d: %d fired twice", seed, i)
					}
					fired[i] = true
				}
				if n != len(fired) {
					t.Fatalf("seed %d: Advance says %d, %d came", seed, n, len(fired))
				}
				for i, at := range due {
					switch late := now - at; {
					case fired[i] && late < 0:
						t.Fatalf("seed %d: %d fired %v early", seed, i, -late)
					case !fired[i] && late >= 2*res: // a slot, and the step's own remainder
						t.Fatalf("seed %d: %d is %v late", seed, i, late)
					}
					if fired[i] {
						delete(due, i)
						delete(fired, i)
					}
				}
				if len(fired) != 0 {
					t.Fatalf("seed %d: %v fired though not set", seed, fired)
				}
			}
			if w.Len() != len(due) {
				t.Fatalf("seed %d: %d set, want %d", seed, w.Len(), len(due))
			}
		}
		w.Close()
		if w.Len() != 0 || w.IsSet(&timers[0]) {
			t.Fatal("set after Close")
		}
	}
}

func TestWheelRuns(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, s *System) {
		w := NewWheel(WheelConfig{})
		begun := time.Now()
		type fired struct{ after time.Duration }
		got := make(chan fired, 10)
		to := spawnRoot(t, s, stateless("a", func(c *Context, msg any) {
			if msg == "now" {
				got <- fired{time.Since(begun)}
			}
		}))
		var a, b, c Timer
		w.Set(&a, 24*time.Hour, to, "now")
		w.Set(&b, 250*time.Millisecond, to, "now") // wakes the sleeper earlier
		w.Set(&c, time.Second, to, "never")
		if !w.Cancel(&c) || w.Cancel(&c) {
			t.Error("Cancel")
		}
		if f := <-got; f.after != 300*time.Millisecond {
			t.Errorf("fired after %v", f.after)
		}
		if f := <-got; f.after != 24*time.Hour {
			t.Errorf("fired after %v", f.after)
		}
		w.Set(&a, time.Second, to, "now") // moved, on a wheel that was empty
		w.Set(&a, 2*time.Second, to, "now")
		if f := <-got; f.after != 24*time.Hour+2*time.Second {
			t.Errorf("fired after %v", f.after)
		}
		w.Set(&a, time.Hour, to, "never")
		w.Close()
		w.Close()
		w.Set(&a, time.Hour, to, "never")
		if w.Len() != 0 {
			t.Error("set after Close")
		}
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		silent(t, got)
	})
}

// The clock may be another one than time.Now.
func TestWheelClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		skew := time.Duration(0)
		w := NewWheel(WheelConfig{Now: func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			return time.Now().Add(skew)
		}})
		defer w.Close()
		var timer Timer
		w.Set(&timer, time.Hour, Ref{}, nil)
		mu.Lock()
		skew = time.Hour
		mu.Unlock()
		time.Sleep(time.Second) // the sleeper does not know yet
		var nudge Timer
		w.Set(&nudge, time.Millisecond, Ref{}, nil)
		time.Sleep(200 * time.Millisecond)
		synctest.Wait()
		if w.IsSet(&timer) {
			t.Error("a timer that is due by the given clock has not fired")
		}
	})
}

// Setting and cancelling from many goroutines while timers fire.
func TestWheelUnderFire(t *testing.T) {
	s := startSystem(t, Config{})
	to, _ := collector(t, s)
	w := NewWheel(WheelConfig{Resolution: time.Millisecond})
	defer w.Close()
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			timers := make([]Timer, 50)
			rng := rand.New(rand.NewPCG(1, uint64(g)))
			for range 5000 {
				t := &timers[rng.IntN(len(timers))]
				if rng.IntN(3) == 0 {
					w.Cancel(t)
				} else {
					w.Set(t, time.Duration(rng.IntN(5e6)), to, 1)
				}
			}
			for i := range timers {
				w.Set(&timers[i], 0, to, 1)
			}
		})
	}
	wg.Wait()
	eventually(t, "all timers fired", func() bool { return w.Len() == 0 })
}
