package config

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestParseDuration(t *testing.T) {
	for _, tt := range []struct {
		text string
		unit time.Duration
		want time.Duration
	}{
		{"0s", 0, 0},
		{"1h30m", 0, 90 * time.Minute},
		{"1H30M", 0, 90 * time.Minute},
		{"100ms", 0, 100 * time.Millisecond},
		{"0.5s", 0, 500 * time.Millisecond},
		{"1d", 0, 24 * time.Hour},
		{"1w", 0, 7 * 24 * time.Hour},
		{"1f", 0, 14 * 24 * time.Hour},
		{"250", time.Millisecond, 250 * time.Millisecond},
		{"120", time.Second, 2 * time.Minute},
		{"1m1s1ms", 0, time.Minute + time.Second + time.Millisecond},
	} {
		got, err := ParseDuration(tt.text, tt.unit)
		if err != nil || got != tt.want {
			t.Errorf("%q is %v, %v, want %v", tt.text, got, err, tt.want)
		}
		if got > 0 {
			if back, err := ParseDuration(FormatDuration(got), 0); err != nil || back != got {
				t.Errorf("%v is written %s, which is %v, %v", got, FormatDuration(got), back, err)
			}
		}
	}
	for _, text := range []string{"", "s", "1", "-1s", "-1", "1x", "1h 30m", "1..2s", "nan", "inf", "0x10", "1e300", "99999999w", "9999999999999999999999s"} {
		unit := time.Millisecond
		if text == "1" {
			continue // a plain number is fine
		}
		if d, err := ParseDuration(text, unit); err == nil {
			t.Errorf("%q is taken as %v", text, d)
		}
	}
}

func TestParseSize(t *testing.T) {
	for _, tt := range []struct {
		text string
		unit int64
		want int64
	}{
		{"0", 1, 0}, {"512", 1, 512}, {"512B", 1, 512}, {"4KB", 1, 4096}, {"4kb", 1, 4096}, {"1MB", 1, 1 << 20}, {"2gb", 1, 2 << 30}, {"8192", 1024, 8 << 20},
	} {
		got, err := ParseSize(tt.text, tt.unit)
		if err != nil || got != tt.want {
			t.Errorf("%q is %d, %v, want %d", tt.text, got, err, tt.want)
		}
		if back, err := ParseSize(FormatSize(got), 1); err != nil || back != got {
			t.Errorf("%d is written %s, which is %d, %v", got, FormatSize(got), back, err)
		}
	}
	for _, text := range []string{"", "KB", "10M", "4Kb", "1TB", "-1", "1.5MB", "99999999999GB"} {
		if n, err := ParseSize(text, 1); err == nil {
			t.Errorf("%q is taken as %d", text, n)
		}
	}
	if _, err := ParseSize("10M", 1); err == nil || !strings.Contains(err.Error(), "write MB") {
		t.Errorf("10M: %v", err)
	}
}

func TestParseRate(t *testing.T) {
	for _, tt := range []struct {
		text  string
		bytes bool
		want  Rate
		shown string
	}{
		{"1000/s", false, Rate{1000, time.Second}, "1000/s"},
		{"1000", false, Rate{1000, time.Second}, "1000/s"},
		{"100/10s", false, Rate{100, 10 * time.Second}, "100/10s"},
		{"100,10s", false, Rate{100, 10 * time.Second}, "100/10s"},
		{"5/m", false, Rate{5, time.Minute}, "5/m"},
		{"infinity", false, Rate{}, "infinity"},
		{"0", false, Rate{}, "infinity"},
		{"10MB/s", true, Rate{10 << 20, time.Second}, "10485760/s"},
		{"100KB,10s", true, Rate{100 << 10, 10 * time.Second}, "102400/10s"},
	} {
		got, err := ParseRate(tt.text, tt.bytes)
		if err != nil || got != tt.want || got.String() != tt.shown {
			t.Errorf("%q is %v, %v, want %v", tt.text, got, err, tt.want)
		}
	}
	for _, text := range []string{"x", "-1/s", "10/", "10/x", "10/0s", "1.5/s", "10MB/s"} {
		if r, err := ParseRate(text, false); err == nil {
			t.Errorf("%q is taken as %v", text, r)
		}
	}
	if got := (Rate{100, 10 * time.Second}).PerSecond(); got != 10 {
		t.Errorf("100 in 10 s are %v per second", got)
	}
}

func TestSecretIsMasked(t *testing.T) {
	s := Secret("hunter2")
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "secret", s, "in", struct{ S Secret }{s})
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "secret", s, "in", struct{ S Secret }{s})
	all := log.String() + fmt.Sprintf("%s %v %+v %#v %q", s, s, struct{ S Secret }{s}, s, s)
	if strings.Contains(all, "hunter2") || !strings.Contains(all, mask) {
		t.Errorf("a secret is shown: %s", all)
	}
	if s.Reveal() != "hunter2" || Secret("").String() != "" {
		t.Error("Reveal or the empty secret are wrong")
	}
}

func FuzzUnits(f *testing.F) {
	for _, s := range []string{"1h30m", "10MB", "100KB,10s", "1000/s", "[::1]:1883", "a@b.c", "80%", "240,30,5", "+02:00", "allow 10.0.0.0/8"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if d, err := ParseDuration(s, time.Millisecond); err == nil {
			if back, err := ParseDuration(FormatDuration(d), time.Millisecond); err != nil || back != d.Truncate(time.Millisecond) {
				t.Errorf("%q is %v, written %s, read %v, %v", s, d, FormatDuration(d), back, err)
			}
		}
		if n, err := ParseSize(s, 1); err == nil {
			if back, err := ParseSize(FormatSize(n), 1); err != nil || back != n {
				t.Errorf("%q is %d, written %s, read %v, %v", s, n, FormatSize(n), back, err)
			}
		}
		for _, bytes := range []bool{true, false} {
			if r, err := ParseRate(s, bytes); err == nil && (r.Amount < 0 || r.Limited() && r.Per <= 0) {
				t.Errorf("%q is the rate %+v", s, r)
			}
		}
		if b, err := toBind(s); err == nil && !b.IsValid() {
			t.Errorf("%q is the bind %v", s, b)
		}
		_ = checkNodeName(s)
		_ = checkRule(s)
		_, _ = toPercent(s)
		_, _ = ParseKeepalive(s)
		_, _ = ParseTimeOffset(s)
		_ = nearestKey(keyTree, splitPath("x."+s), nil, false)
	})
}
