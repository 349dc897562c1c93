package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// durationUnits are the units of a duration, largest first. f is a fortnight.
var durationUnits = []struct {
	name string
	unit time.Duration
}{
	{"f", 14 * 24 * time.Hour},
	{"w", 7 * 24 * time.Hour},
	{"d", 24 * time.Hour},
	{"h", time.Hour},
	{"m", time.Minute},
	{"s", time.Second},
	{"ms", time.Millisecond},
}

// ParseDuration reads 1h30m, 0.5s, 2w; a plain number counts in unit.
func ParseDuration(text string, unit time.Duration) (time.Duration, error) {
	s := strings.ToLower(strings.TrimSpace(text))
	if s == "" {
		return 0, errors.New("is empty")
	}
	if n, err := strconv.ParseFloat(s, 64); err == nil && isNumber(s) {
		return scaleDuration(n, unit)
	}
	var sum time.Duration
	for s != "" {
		digits := strings.IndexFunc(s, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
		if digits <= 0 {
			return 0, errors.New("is no duration")
		}
		n, err := strconv.ParseFloat(s[:digits], 64)
		if err != nil {
			return 0, errors.New("is no duration")
		}
		s = s[digits:]
		end := strings.IndexAny(s, "0123456789.")
		if end < 0 {
			end = len(s)
		}
		name := s[:end]
		s = s[end:]
		var scale time.Duration
		for _, u := range durationUnits {
			if u.name == name {
				scale = u.unit
			}
		}
		if scale == 0 {
			return 0, fmt.Errorf("has the unknown unit %q", name)
		}
		d, err := scaleDuration(n, scale)
		if err != nil || sum > math.MaxInt64-d {
			return 0, errors.New("is too long")
		}
		sum += d
	}
	return sum, nil
}

func scaleDuration(n float64, unit time.Duration) (time.Duration, error) {
	f := n * float64(unit)
	switch {
	case f < 0:
		return 0, errors.New("is negative")
	case f >= math.MaxInt64 || math.IsNaN(f):
		return 0, errors.New("is too long")
	}
	return time.Duration(f), nil
}

// isNumber excludes what strconv takes beyond digits: inf, nan, 0x10, 1_0.
func isNumber(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return !strings.ContainsRune("0123456789.-+e", r) }) < 0
}

// FormatDuration writes a duration so that ParseDuration reads it back; what is
// below a millisecond is lost.
func FormatDuration(d time.Duration) string {
	if d < time.Millisecond {
		return "0s"
	}
	var b strings.Builder
	for _, u := range durationUnits[2:] {
		if n := d / u.unit; n > 0 {
			// Two hours, not 120 minutes; but 90 seconds are 1m30s.
			b.WriteString(strconv.FormatInt(int64(n), 10) + u.name)
			d -= n * u.unit
		}
	}
	return b.String()
}

// ParseSize reads 512, 512B, 4KB, 1MB, 1GB, in capitals or small letters; a plain
// number counts in unit. Units are powers of 1024.
func ParseSize(text string, unit int64) (int64, error) {
	s := strings.TrimSpace(text)
	digits := strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' })
	name := ""
	if digits >= 0 {
		s, name = s[:digits], strings.TrimSpace(s[digits:])
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, errors.New("is no size")
	}
	scale := int64(1)
	switch name {
	case "":
		scale = unit
	case "B", "b":
	case "KB", "kb":
		scale = 1 << 10
	case "MB", "mb":
		scale = 1 << 20
	case "GB", "gb":
		scale = 1 << 30
	case "K", "M", "G", "k", "m", "g":
		return 0, fmt.Errorf("has the unknown unit %q, write %sB", name, strings.ToUpper(name))
	default:
		return 0, fmt.Errorf("has the unknown unit %q", name)
	}
	if n > math.MaxInt64/scale {
		return 0, errors.New("is too large")
	}
	return n * scale, nil
}

// FormatSize writes a size in the largest unit that needs no fraction.
func FormatSize(n int64) string {
	for _, u := range []struct {
		name string
		unit int64
	}{{"GB", 1 << 30}, {"MB", 1 << 20}, {"KB", 1 << 10}} {
		if n != 0 && n%u.unit == 0 {
			return strconv.FormatInt(n/u.unit, 10) + u.name
		}
	}
	if n == 0 {
		return "0"
	}
	return strconv.FormatInt(n, 10) + "B"
}

// Rate is an amount, of messages, connections or bytes, in a period. The zero
// value is no limit.
type Rate struct {
	Amount int64
	Per    time.Duration
}

// Limited tells whether there is a limit.
func (r Rate) Limited() bool { return r.Amount > 0 }

// PerSecond is the amount in a second, 0 without a limit.
func (r Rate) PerSecond() float64 {
	if r.Amount <= 0 || r.Per <= 0 {
		return 0
	}
	return float64(r.Amount) / r.Per.Seconds()
}

// String writes the rate as in a file; bytes are not told from other amounts.
func (r Rate) String() string {
	return r.format(func(n int64) string { return strconv.FormatInt(n, 10) })
}

func (r Rate) format(amount func(int64) string) string {
	if !r.Limited() {
		return "infinity"
	}
	for _, u := range durationUnits {
		if r.Per == u.unit {
			return amount(r.Amount) + "/" + u.name
		}
	}
	return amount(r.Amount) + "/" + FormatDuration(r.Per)
}

// ParseRate reads 1000/s, 100/10s, a plain number per second, EMQX 4's 100,10s,
// and infinity. With bytes the amount is a size.
func ParseRate(text string, bytes bool) (Rate, error) {
	s := strings.TrimSpace(text)
	if s == "infinity" || s == "" {
		return Rate{}, nil
	}
	amount, per, given := strings.Cut(s, "/")
	if !given {
		amount, per, given = strings.Cut(s, ",")
	}
	r := Rate{Per: time.Second}
	var err error
	amount = strings.TrimSpace(amount)
	if bytes {
		r.Amount, err = ParseSize(amount, 1)
	} else if r.Amount, err = strconv.ParseInt(amount, 10, 64); err != nil || r.Amount < 0 {
		err = errors.New("is no rate")
	}
	if err != nil {
		return Rate{}, err
	}
	if given {
		per = strings.TrimSpace(per)
		if per != "" && (per[0] < '0' || per[0] > '9') {
			per = "1" + per
		}
		if r.Per, err = ParseDuration(per, time.Second); err != nil || r.Per <= 0 {
			return Rate{}, errors.New("has no valid period")
		}
	}
	if r.Amount == 0 {
		return Rate{}, nil
	}
	return r, nil
}

// Secret is text that is masked wherever it is printed or logged.
type Secret string

// mask stands for a secret's value.
const mask = "******"

// String gives the mask, or nothing for an empty secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return mask
}

// GoString is String, for %#v.
func (s Secret) GoString() string { return strconv.Quote(s.String()) }

// MarshalText is String, for JSON and slog.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Reveal gives the value itself.
func (s Secret) Reveal() string { return string(s) }
