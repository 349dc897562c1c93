package kernel

import (
	"math/bits"
	"sync"
	"time"
)

// Timer is an entry of a Wheel: put it into the struct that it belongs to.
// The zero value is ready. It must not be copied or moved while it is set, and
// belongs to one wheel at a time. 48 bytes.
type Timer struct {
	next, prev *Timer
	tick       int64 // when it is due
	to         Ref
	msg        any
}

// WheelConfig is what a Wheel is made with. The zero value is usable.
type WheelConfig struct {
	// Resolution is the width of a slot: a timer fires at its time or up to
	// this much later (and the scheduler's delay), never earlier.
	// Default 100 ms.
	Resolution time.Duration
	// Now is the clock, time.Now by default. Readings are compared with Sub, so
	// that time.Now is monotonic. The wheel's goroutine sleeps in real time (or
	// in that of a synctest bubble) and looks at this clock when it wakes.
	Now func() time.Time
}

// The wheel has wheelLevels circles of wheelSlots slots; a slot of one level
// is as wide as a whole circle of the level below. What lies beyond the last
// circle waits in its furthest slot and is looked at again.
const (
	wheelBits   = 6
	wheelSlots  = 1 << wheelBits
	wheelLevels = 4
	maxTick     = 1 << 62
)

// Wheel is a hierarchical timing wheel: Set and Cancel are O(1), a set timer
// costs no goroutine and no runtime timer. All methods may be called from any
// goroutine and none blocks, but for Close.
type Wheel struct {
	resolution time.Duration
	now        func() time.Time
	start      time.Time

	mu     sync.Mutex
	clock  time.Time // of a manual wheel
	tick   int64     // every timer up to it has fired
	count  int
	closed bool
	wakeAt int64               // tick that the goroutine sleeps to
	used   [wheelLevels]uint64 // bit not set: the slot is empty
	slots  [wheelLevels][wheelSlots]Timer
	due    Timer // head of what is firing

	wake   chan struct{} // nil for a manual wheel
	stop   chan struct{}
	exited chan struct{}
}

// NewWheel makes a wheel and starts its one goroutine, which sleeps until the
// next timer is due. Close ends it.
func NewWheel(cfg WheelConfig) *Wheel {
	w := newWheel(cfg)
	w.wake = make(chan struct{}, 1)
	w.stop = make(chan struct{})
	w.exited = make(chan struct{})
	go w.run()
	return w
}

// NewManualWheel makes a wheel without a goroutine, for tests: its clock stands
// at start, and it fires in Advance alone.
func NewManualWheel(start time.Time, resolution time.Duration) *Wheel {
	return newWheel(WheelConfig{Resolution: resolution, Now: func() time.Time { return start }})
}

func newWheel(cfg WheelConfig) *Wheel {
	if cfg.Resolution <= 0 {
		cfg.Resolution = 100 * time.Millisecond
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	w := &Wheel{resolution: cfg.Resolution, now: cfg.Now, wakeAt: maxTick}
	w.start = w.now()
	w.clock = w.start
	w.due.init()
	for l := range w.slots {
		for i := range w.slots[l] {
			w.slots[l][i].init()
		}
	}
	return w
}

func (t *Timer) init() { t.next, t.prev = t, t }

// insert puts e last in the list whose head t is.
func (t *Timer) insert(e *Timer) {
	e.next, e.prev = t, t.prev
	t.prev.next, t.prev = e, e
}

func (t *Timer) remove() {
	t.prev.next, t.next.prev = t.next, t.prev
	t.next, t.prev = nil, nil
}

// time is the wheel's clock. mu is held.
func (w *Wheel) time() time.Time {
	if w.wake == nil {
		return w.clock
	}
	return w.now()
}

// Set arms t so that msg is sent to to, as a control message, once d has
// passed. A timer that is set already is moved. After Close it does nothing.
func (w *Wheel) Set(t *Timer, d time.Duration, to Ref, msg any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	if t.next != nil {
		t.remove()
		w.count--
	}
	elapsed := w.time().Sub(w.start)
	if w.count == 0 {
		w.tick = max(w.tick, int64(elapsed/w.resolution))
		w.used = [wheelLevels]uint64{}
	}
	due := int64(maxTick)
	if at := elapsed + max(d, 0); at >= 0 { // else it overflowed: in 292 years
		due = int64(at / w.resolution)
		if at%w.resolution > 0 {
			due++
		}
	}
	t.tick, t.to, t.msg = max(due, w.tick+1), to, msg
	w.count++
	if at := w.place(t); at < w.wakeAt && w.wake != nil {
		w.wakeAt = at
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

// place puts t, which is due after w.tick, into its slot and returns the tick
// at which that slot is looked at.
func (w *Wheel) place(t *Timer) int64 {
	delta, level := t.tick-w.tick, 0
	for level < wheelLevels-1 && delta >= 1<<(wheelBits*(level+1)) {
		level++
	}
	shift := wheelBits * level
	slot := t.tick >> shift
	if furthest := w.tick>>shift + wheelSlots - 1; slot > furthest && level == wheelLevels-1 {
		slot = furthest
	}
	i := slot & (wheelSlots - 1)
	w.slots[level][i].insert(t)
	w.used[level] |= 1 << i
	return slot << shift
}

// Cancel disarms t. False: it was not set. A message that was sent before may
// still be on its way; whoever must tell it apart numbers its messages.
func (w *Wheel) Cancel(t *Timer) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if t.next == nil {
		return false
	}
	t.remove()
	t.to, t.msg = Ref{}, nil
	w.count--
	return true
}

// IsSet says whether t is armed.
func (w *Wheel) IsSet(t *Timer) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return t.next != nil
}

// Len is the number of timers that are set.
func (w *Wheel) Len() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.count
}

// nextSlot is the first tick after w.tick at which a used slot is looked at.
func (w *Wheel) nextSlot() int64 {
	first := int64(maxTick)
	for l, used := range w.used {
		if used == 0 {
			continue
		}
		from := w.tick>>(wheelBits*l) + 1
		ahead := bits.TrailingZeros64(bits.RotateLeft64(used, -int(from&(wheelSlots-1))))
		first = min(first, (from+int64(ahead))<<(wheelBits*l))
	}
	return first
}

// fireBatch bounds the timers that fire under one lock.
const fireBatch = 256

// advanceTo fires what is due up to the tick and returns how many did.
func (w *Wheel) advanceTo(tick int64) int {
	fired := 0
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		for n := 0; w.due.next != &w.due; n++ {
			if n == fireBatch {
				n = 0
				w.mu.Unlock()
				w.mu.Lock()
				continue
			}
			t := w.due.next
			t.remove()
			to, msg := t.to, t.msg
			t.to, t.msg = Ref{}, nil
			w.count--
			fired++
			to.Control(msg)
		}
		next := w.nextSlot()
		if w.closed || next > tick {
			w.tick = max(w.tick, tick)
			return fired
		}
		w.tick = next
		for l := wheelLevels - 1; l > 0; l-- {
			if next&(1<<(wheelBits*l)-1) == 0 {
				w.cascade(l, next>>(wheelBits*l)&(wheelSlots-1))
			}
		}
		i := next & (wheelSlots - 1)
		w.used[0] &^= 1 << i
		w.due.take(&w.slots[0][i])
	}
}

// take moves all of the list h to the end of the list whose head t is.
func (t *Timer) take(h *Timer) {
	if h.next == h {
		return
	}
	h.next.prev, h.prev.next = t.prev, t
	t.prev.next, t.prev = h.next, h.prev
	h.init()
}

// cascade spreads a slot over the levels below; what is due now is due.
func (w *Wheel) cascade(level int, i int64) {
	w.used[level] &^= 1 << i
	var list Timer
	list.init()
	list.take(&w.slots[level][i])
	for list.next != &list {
		t := list.next
		t.remove()
		if t.tick <= w.tick {
			w.due.insert(t)
		} else {
			w.place(t)
		}
	}
}

// run is the wheel's goroutine.
func (w *Wheel) run() {
	defer close(w.exited)
	sleep := time.NewTimer(time.Hour)
	defer sleep.Stop()
	for {
		w.mu.Lock()
		w.wakeAt = maxTick
		if w.count > 0 {
			w.wakeAt = w.nextSlot()
		}
		pause := time.Duration(1<<63 - 1)
		if w.wakeAt < maxTick {
			pause = w.start.Add(time.Duration(w.wakeAt) * w.resolution).Sub(w.now())
		}
		w.mu.Unlock()
		sleep.Reset(pause)
		select {
		case <-w.stop:
			return
		case <-w.wake:
		case <-sleep.C:
		}
		w.advanceTo(int64(w.now().Sub(w.start) / w.resolution))
	}
}

// Advance moves a manual wheel's clock and fires what is due, in the order of
// the slots; it returns how many timers fired. On other wheels it panics.
func (w *Wheel) Advance(d time.Duration) int {
	if w.wake != nil {
		panic("kernel: Advance on a wheel that runs by itself")
	}
	w.mu.Lock()
	w.clock = w.clock.Add(d)
	tick := int64(w.clock.Sub(w.start) / w.resolution)
	w.mu.Unlock()
	return w.advanceTo(tick)
}

// Close disarms all timers and ends the goroutine; it returns when that is
// done. It may be called again, by one goroutine at a time.
func (w *Wheel) Close() {
	w.mu.Lock()
	first := !w.closed
	w.closed = true
	for l := range w.slots {
		for i := range w.slots[l] {
			w.due.take(&w.slots[l][i])
		}
	}
	for w.due.next != &w.due {
		t := w.due.next
		t.remove()
		t.to, t.msg = Ref{}, nil
	}
	w.count = 0
	w.mu.Unlock()
	if w.wake == nil {
		return
	}
	if first {
		close(w.stop)
	}
	<-w.exited
}
