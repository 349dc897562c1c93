package kernel

import "time"

// Timer is an entry of a Wheel: put it into the struct that it belongs to.
// The zero value is ready. It must not be copied or moved while it is set, and
// belongs to one wheel at a time. 48 bytes.
type Timer struct {
	next, prev *Timer
	tick       int64
	to         Ref
	msg        any
}

// WheelConfig is what a Wheel is made with. The zero value is usable.
type WheelConfig struct {
	// Resolution is the width of a slot: a timer fires at its time or up to
	// this much later, never earlier. Default 100 ms.
	Resolution time.Duration
	// Now is the clock, time.Now by default. It must not go backwards by more
	// than it goes forward; time.Now's monotonic reading is used.
	Now func() time.Time
}

// Wheel is a hierarchical timing wheel: Set and Cancel are O(1), a set timer
// costs no goroutine and no runtime timer. All methods may be called from any
// goroutine and none blocks.
type Wheel struct{ wheelState }

// NewWheel makes a wheel and starts its one goroutine, which sleeps until the
// next timer is due. Close ends it.
func NewWheel(cfg WheelConfig) *Wheel { return newWheel(cfg, false) }

// NewManualWheel makes a wheel without a goroutine, for tests: it fires in
// Advance alone.
func NewManualWheel(start time.Time, resolution time.Duration) *Wheel {
	return newWheel(WheelConfig{Resolution: resolution, Now: func() time.Time { return start }}, true)
}

// Set arms t so that msg is sent to to, as a control message, once d has
// passed. A timer that is set already is moved. After Close it does nothing.
func (w *Wheel) Set(t *Timer, d time.Duration, to Ref, msg any) { w.set(t, d, to, msg) }

// Cancel disarms t. False: it was not set. A message that was sent before may
// still be on its way; whoever must tell it apart numbers its messages.
func (w *Wheel) Cancel(t *Timer) bool { return w.cancel(t) }

// IsSet says whether t is armed.
func (w *Wheel) IsSet(t *Timer) bool { return w.isSet(t) }

// Len is the number of timers that are set.
func (w *Wheel) Len() int { return w.len() }

// Advance moves a manual wheel's clock and fires what is due, in the order of
// the slots; it returns how many timers fired. On other wheels it panics.
func (w *Wheel) Advance(d time.Duration) int { return w.advance(d) }

// Close disarms all timers and ends the goroutine; it returns when that is
// done. It may be called again.
func (w *Wheel) Close() { w.close() }
