package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if os.Getenv(nodeEnv) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestCPUTime(t *testing.T) {
	const fields = " S 1 2 3 4 5 6 7 8 9 10 250 50 13 14 20 0 1 0"
	for _, tt := range []struct {
		stat string
		want time.Duration
		ok   bool
	}{
		{"17 (beam.smp)" + fields, 3 * time.Second, true},
		{"17 (a) b) 1 2)" + fields, 3 * time.Second, true},
		{"17 (short) S 1 2", 0, false},
		{"no name", 0, false},
		{"17 (x) S 1 2 3 4 5 6 7 8 9 10 many 50", 0, false},
	} {
		got, err := cpuTime(tt.stat)
		if got != tt.want || (err == nil) != tt.ok {
			t.Errorf("%q: %s, %v", tt.stat, got, err)
		}
	}
}

func TestMedian(t *testing.T) {
	for _, tt := range []struct {
		in   []float64
		want float64
	}{
		{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1}, 5}, {[]float64{9, 1, 2}, 2},
	} {
		if got := median(tt.in); got != tt.want {
			t.Errorf("median of %v: %v", tt.in, got)
		}
	}
}

func TestJudge(t *testing.T) {
	send, call := loads()[0], loads()[2]
	rates := func(p pair, values ...float64) (out []outcome) {
		for _, v := range values {
			out = append(out, outcome{load: send.name, pair: p, rate: v}, outcome{load: call.name, pair: p, p50: v})
		}
		return out
	}
	for _, tt := range []struct {
		name         string
		ours, theirs []float64
		send, call   string
	}{
		{"medians decide", []float64{100, 300, 310}, []float64{200, 150, 900}, "PASS", "FAIL"},
		{"just", []float64{150}, []float64{100}, "PASS", "FAIL"},
		{"equal", []float64{100}, []float64{100}, "FAIL", "PASS"},
		{"nothing to compare with", []float64{100}, nil, "not run", "not run"},
	} {
		outcomes := append(rates(subject, tt.ours...), rates(reference, tt.theirs...)...)
		// What is for information decides nothing.
		outcomes = append(outcomes, rates(mixed[0], 1e9, 1e9, 1e9)...)
		if got := judge(send, outcomes).result(); got != tt.send {
			t.Errorf("%s: send %s, want %s", tt.name, got, tt.send)
		}
		if got := judge(call, outcomes).result(); got != tt.call {
			t.Errorf("%s: call %s, want %s", tt.name, got, tt.call)
		}
	}
	var out bytes.Buffer
	missed := report(&out, []load{send, call}, append(rates(subject, 160), rates(reference, 100)...))
	if len(missed) != 1 || !strings.Contains(missed[0], "call: ratio 1.60") {
		t.Errorf("missed: %q", missed)
	}
	for _, want := range []string{"1.60 to 1.60", "PASS", "FAIL", "ermine to ermine"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report has no %q:\n%s", want, out.String())
		}
	}
}

func TestFlags(t *testing.T) {
	for _, args := range [][]string{
		{"-load", "nothing"}, {"-rounds", "0"}, {"-window", "10"}, {"-duration", "0s"}, {"-step", "0"},
	} {
		if _, err := parseFlags(args); err == nil {
			t.Errorf("%v is taken", args)
		}
	}
	c, err := parseFlags([]string{"-load", "call,send-4"})
	if err != nil || len(c.loads) != 2 || c.loads[0].name != "call" {
		t.Errorf("loads %v, %v", c.loads, err)
	}
}

// TestBench runs one short round of everything on real nodes: all messages
// arrive, calls answer, and CPU is read.
func TestBench(t *testing.T) {
	var out, progress bytes.Buffer
	err := bench([]string{"-rounds", "1", "-warmup", "50ms", "-duration", "200ms", "-cpuprofile", t.TempDir()}, &out, &progress)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(progress.String(), "\n"); got != 16 {
		t.Errorf("%d of 16 runs:\n%s", got, progress.String())
	}
	if strings.Contains(out.String(), "not run") || strings.Count(out.String(), "erlang to ermine") != 4 {
		t.Errorf("report:\n%s", out.String())
	}
}
