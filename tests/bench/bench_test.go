package main

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"
)

func TestChoose(t *testing.T) {
	for _, tc := range []struct {
		names string
		want  []string
		ok    bool
	}{
		{"own-q1", []string{"own-q1"}, true},
		{"idle,own-q0", []string{"idle", "own-q0"}, true},
		{"own-q7", nil, false},
		{"own-q1,", []string{}, true}, // an empty name stands for the default ones
	} {
		chosen, err := choose(tc.names)
		if (err == nil) != tc.ok {
			t.Errorf("choose(%q): %v", tc.names, err)
		}
		for i, want := range tc.want {
			if i >= len(chosen) || chosen[i].name != want {
				t.Errorf("choose(%q) = %v, want %v", tc.names, chosen, tc.want)
			}
		}
	}
	standard, err := choose("default")
	if err != nil {
		t.Fatal(err)
	}
	all, err := choose("all")
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != len(scenarios) || len(standard) >= len(all) || len(standard) == 0 {
		t.Errorf("%d by default of %d in all", len(standard), len(all))
	}
}

// TestScenariosAreValid: every row of the table can run as it stands.
func TestScenariosAreValid(t *testing.T) {
	c, err := parseFlags(nil)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, s := range scenarios {
		if seen[s.name] {
			t.Errorf("%s is there twice", s.name)
		}
		seen[s.name] = true
		if s.idle == 0 {
			if err := s.spec(c.set).Validate(); err != nil {
				t.Errorf("%s: %v", s.name, err)
			}
		}
		if len(s.targets) == 0 {
			t.Errorf("%s has no target", s.name)
		}
	}
}

func TestJudge(t *testing.T) {
	s := scenario{name: "x", targets: []target{
		againstMosquitto(cpuPerMessage, 0.3),
		{throughput, "mosquitto", true, 5},
		{rssPerClient, "", false, 20},
		{p99, "rabbitmq", false, 0.5},
	}}
	round := func(broker string, cpu, rate, rss float64, lost uint64) outcome {
		return outcome{Scenario: "x", Broker: broker, Lost: lost, Figures: map[metric]float64{cpuPerMessage: cpu, throughput: rate, rssPerClient: rss}}
	}
	for _, tc := range []struct {
		name     string
		outcomes []outcome
		want     []string
	}{
		{"medians", []outcome{
			round("ermine", 2, 600, 19, 0), round("ermine", 100, 1, 99, 0), round("ermine", 3, 500, 20, 0),
			round("mosquitto", 10, 100, 1, 0),
		}, []string{pass, pass, pass, notTested}},
		{"missed", []outcome{round("ermine", 4, 499, 21, 0), round("mosquitto", 10, 100, 1, 0)}, []string{fail, fail, fail, notTested}},
		{"fast but lossy", []outcome{round("ermine", 1, 900, 1, 1), round("mosquitto", 10, 100, 1, 0)}, []string{fail, fail, fail, notTested}},
		{"alone", []outcome{round("ermine", 1, 900, 1, 0)}, []string{notTested, notTested, pass, notTested}},
		{"others only", []outcome{round("mosquitto", 1, 900, 1, 0)}, []string{notTested, notTested, notTested, notTested}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := summarize("here", []scenario{s}, tc.outcomes)
			for i, v := range r.Verdicts {
				if v.Result != tc.want[i] {
					t.Errorf("%s: %s (value %.2f), want %s", v.Metric, v.Result, v.Value, tc.want[i])
				}
			}
			var text, encoded bytes.Buffer
			r.print(&text)
			if !strings.Contains(text.String(), tc.want[0]) {
				t.Errorf("the table lacks %s:\n%s", tc.want[0], text.String())
			}
			if err := r.writeJSON(&encoded); err != nil || !json.Valid(encoded.Bytes()) {
				t.Errorf("JSON: %v", err)
			}
		})
	}
}

func TestFailures(t *testing.T) {
	s := scenario{name: "x", targets: []target{{rssPerClient, "", false, 20}}}
	lossy := outcome{Scenario: "x", Broker: "ermine", Lost: 1, Figures: map[metric]float64{rssPerClient: 1}}
	fat := outcome{Scenario: "x", Broker: "ermine", Figures: map[metric]float64{rssPerClient: 21}}
	other := outcome{Scenario: "x", Broker: "mosquitto", Lost: 1, Figures: map[metric]float64{rssPerClient: 1}}
	for _, tc := range []struct {
		name   string
		got    outcome
		strict bool
		want   int
	}{
		{"loss fails", lossy, false, 1},
		{"a missed target does not", fat, false, 0},
		{"but for strict", fat, true, 1},
		{"another broker's loss does not", other, true, 0},
	} {
		r := summarize("here", []scenario{s}, []outcome{tc.got})
		if got := r.failures([]scenario{s}, tc.strict); len(got) != tc.want {
			t.Errorf("%s: %q, want %d", tc.name, got, tc.want)
		}
	}
}

func TestMedian(t *testing.T) {
	for _, tc := range []struct {
		values []float64
		want   float64
	}{
		{[]float64{3}, 3},
		{[]float64{5, 1, 3}, 3},
		{[]float64{4, 1, 3, 2}, 2.5},
	} {
		if got := median(tc.values); got != tc.want {
			t.Errorf("median(%v) = %g, want %g", tc.values, got, tc.want)
		}
	}
}

// TestRun runs a whole scenario against the installed mosquitto alone.
func TestRun(t *testing.T) {
	c, err := parseFlags([]string{"-scenario", "own-q1", "-brokers", "mosquitto", "-rounds", "2"})
	if err != nil {
		t.Fatal(err)
	}
	c.set.warmup, c.set.duration = 50*time.Millisecond, 300*time.Millisecond
	var out, progress bytes.Buffer
	if err := run(t.Context(), c, &out, &progress); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(progress.String(), "round"); got != 2 {
		t.Errorf("%d rounds told, want 2:\n%s", got, progress.String())
	}
	if !strings.Contains(out.String(), "mosquitto") {
		t.Errorf("no row of mosquitto:\n%s", out.String())
	}
}

func TestFlags(t *testing.T) {
	for _, bad := range [][]string{{"-protocol", "4"}, {"-rounds", "0"}} {
		if _, err := parseFlags(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
	c, err := parseFlags([]string{"-scenario", "nothing"})
	if err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), c, io.Discard, io.Discard); err == nil {
		t.Error("an unknown scenario is accepted")
	}
}
