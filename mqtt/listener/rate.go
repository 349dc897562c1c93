package listener

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Rate is a number of things per second; 0 is no limit.
type Rate float64

// rateUnits are the multipliers of a number in a rate or size, in lower case.
var rateUnits = []struct {
	suffix string
	factor float64
}{
	{"gb", 1 << 30}, {"mb", 1 << 20}, {"kb", 1 << 10}, {"b", 1},
}

// ParseRate reads a rate such as "1000/s", "10MB/s", "60/m", "500KB/10s" or
// "infinity". A bare number is per second. The empty string is no limit.
func ParseRate(s string) (Rate, error) {
	text := strings.ToLower(strings.TrimSpace(s))
	if text == "" || text == "infinity" {
		return 0, nil
	}
	amount, per, found := strings.Cut(text, "/")
	window := time.Second
	if found {
		per = strings.TrimSpace(per)
		if per != "" && (per[0] < '0' || per[0] > '9') {
			per = "1" + per
		}
		if days, ok := strings.CutSuffix(per, "d"); ok {
			per = days + "h"
			window = 24
		} else {
			window = 1
		}
		d, err := time.ParseDuration(per)
		if err != nil || d <= 0 {
			return 0, fmt.Errorf("rate %q: want a form like 1000/s, 10MB/s or infinity", s)
		}
		window *= d
	}
	amount = strings.TrimSpace(amount)
	factor := 1.0
	for _, u := range rateUnits {
		if number, ok := strings.CutSuffix(amount, u.suffix); ok {
			amount, factor = strings.TrimSpace(number), u.factor
			break
		}
	}
	n, err := strconv.ParseFloat(amount, 64)
	if err != nil || n < 0 || math.IsNaN(n) || math.IsInf(n, 0) {
		return 0, fmt.Errorf("rate %q: want a form like 1000/s, 10MB/s or infinity", s)
	}
	return Rate(n * factor / window.Seconds()), nil
}

// String writes the rate as ParseRate reads it.
func (r Rate) String() string {
	if r <= 0 {
		return "infinity"
	}
	return strconv.FormatFloat(float64(r), 'f', -1, 64) + "/s"
}

// bucket is a token bucket that may go into debt: it holds one second's worth.
type bucket struct {
	rate   float64 // tokens a second; 0 is no limit
	tokens float64
	last   time.Time
}

func newBucket(r Rate) bucket {
	return bucket{rate: float64(r), tokens: max(float64(r), 1)}
}

func (b *bucket) refill(now time.Time) {
	if !b.last.IsZero() {
		b.tokens = min(max(b.rate, 1), b.tokens+b.rate*now.Sub(b.last).Seconds())
	}
	b.last = now
}

// take removes n tokens, into debt if need be.
func (b *bucket) take(n float64, now time.Time) {
	if b.rate <= 0 {
		return
	}
	b.refill(now)
	b.tokens -= n
}

// delay is how long it takes until the bucket is out of debt.
func (b *bucket) delay(now time.Time) time.Duration {
	if b.rate <= 0 {
		return 0
	}
	b.refill(now)
	if b.tokens >= 0 {
		return 0
	}
	return time.Duration(-b.tokens / b.rate * float64(time.Second))
}

// sharedBucket is a bucket that refuses instead of going into debt, for several
// goroutines.
type sharedBucket struct {
	mu sync.Mutex
	b  bucket
}

// allow takes one token and reports whether there was one.
func (s *sharedBucket) allow(now time.Time) bool {
	if s.b.rate <= 0 {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.b.refill(now)
	if s.b.tokens < 1 {
		return false
	}
	s.b.tokens--
	return true
}

// limits are the rates that each connection of a listener keeps to.
type limits struct{ messages, bytes Rate }

// limiter keeps one connection within the limits: it reads what has arrived and
// then pauses until that is paid for. Owned by the reader.
type limiter struct {
	messages, bytes bucket
	wake            chan struct{} // has room for one: the connection is closing
}

func newLimiter(l *limits) *limiter {
	return &limiter{messages: newBucket(l.messages), bytes: newBucket(l.bytes), wake: make(chan struct{}, 1)}
}

func (l *limiter) take(messages, bytes uint64, now time.Time) {
	l.messages.take(float64(messages), now)
	l.bytes.take(float64(bytes), now)
}

func (l *limiter) delay(now time.Time) time.Duration {
	return max(l.messages.delay(now), l.bytes.delay(now))
}

// wait pauses for d, or until the connection is closing.
func (l *limiter) wait(d time.Duration, closing *atomic.Bool) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	if closing.Load() {
		return
	}
	select {
	case <-timer.C:
	case <-l.wake:
	}
}

// interrupt ends the wait in progress or the next one.
func (l *limiter) interrupt() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}
