package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// load is what is done to a pair.
type load struct {
	name  string
	of    string
	value func(outcome) float64

	// pairs are the pairs of processes of which one sends, or else callers the
	// processes that call.
	pairs, callers int

	// want is the least ratio of Ermine's figure to Erlang's, or where lower is
	// better the greatest; 0 is for information.
	want          float64
	lowerIsBetter bool
}

// loads are the scenarios with their targets.
func loads() []load {
	rate := func(o outcome) float64 { return o.rate }
	return []load{
		{name: "send-1", pairs: 1, of: "msg/s", value: rate, want: 1.5},
		{name: "send-4", pairs: 4, of: "msg/s", value: rate, want: 1.5},
		{name: "call", callers: 1, of: "p50 us", value: func(o outcome) float64 { return o.p50 }, want: 1, lowerIsBetter: true},
		{name: "call-16", callers: 16, of: "calls/s", value: rate},
	}
}

// The pairs that are measured. The targets hold the first against the second;
// the others are for information.
var (
	subject   = pair{ermine, ermine}
	reference = pair{erlang, erlang}
	mixed     = []pair{{ermine, erlang}, {erlang, ermine}}
)

// summary is the medians of one load on one pair.
func summary(l load, p pair, outcomes []outcome) (outcome, int) {
	sum := outcome{load: l.name, pair: p}
	var mine []outcome
	for _, o := range outcomes {
		if o.load == l.name && o.pair == p {
			mine = append(mine, o)
		}
	}
	field := func(get func(*outcome) *float64) {
		var values []float64
		for i := range mine {
			values = append(values, *get(&mine[i]))
		}
		*get(&sum) = median(values)
	}
	field(func(o *outcome) *float64 { return &o.rate })
	field(func(o *outcome) *float64 { return &o.from })
	field(func(o *outcome) *float64 { return &o.to })
	field(func(o *outcome) *float64 { return &o.p50 })
	field(func(o *outcome) *float64 { return &o.p99 })
	return sum, len(mine)
}

// median is the middle one, or the mean of the two; 0 of none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	mid := len(values) / 2
	if len(values)%2 == 1 {
		return values[mid]
	}
	return (values[mid-1] + values[mid]) / 2
}

// verdict is a target held against the figures.
type verdict struct {
	load           load
	ours, theirs   float64
	ratio          float64
	spread         [2]float64 // least and greatest ratio of a round
	tested, passed bool
}

// judge holds the subject's figure against the reference's.
func judge(l load, outcomes []outcome) verdict {
	ours, n := summary(l, subject, outcomes)
	theirs, m := summary(l, reference, outcomes)
	v := verdict{load: l, ours: l.value(ours), theirs: l.value(theirs)}
	if n == 0 || m == 0 || v.theirs == 0 {
		return v
	}
	v.tested = true
	v.ratio = v.ours / v.theirs
	v.passed = v.ratio >= l.want // always, where nothing is wanted
	if l.lowerIsBetter {
		v.passed = v.ratio <= l.want
	}
	v.spread = spread(l, outcomes)
	return v
}

// spread is the least and the greatest ratio within one round.
func spread(l load, outcomes []outcome) [2]float64 {
	var a, b []float64
	for _, o := range outcomes {
		switch {
		case o.load != l.name:
		case o.pair == subject:
			a = append(a, l.value(o))
		case o.pair == reference:
			b = append(b, l.value(o))
		}
	}
	var ratios []float64
	for i := range min(len(a), len(b)) {
		ratios = append(ratios, a[i]/b[i])
	}
	return [2]float64{slices.Min(ratios), slices.Max(ratios)}
}

func (v verdict) target() string {
	if v.load.want == 0 {
		return "-"
	}
	if v.load.lowerIsBetter {
		return fmt.Sprintf("<= %.1f", v.load.want)
	}
	return fmt.Sprintf(">= %.1f", v.load.want)
}

func (v verdict) result() string {
	switch {
	case !v.tested:
		return "not run"
	case v.load.want == 0:
		return "-"
	case v.passed:
		return "PASS"
	default:
		return "FAIL"
	}
}

// report prints the tables and returns the targets that were missed.
func report(w io.Writer, ran []load, outcomes []outcome) (missed []string) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "load\tfrom, to\trounds\tper second\tcpu us sender\tcpu us receiver\tp50 us\tp99 us\t")
	for _, l := range ran {
		for _, p := range append([]pair{subject, reference}, mixed...) {
			s, n := summary(l, p, outcomes)
			if n == 0 {
				continue
			}
			p50, p99 := "-", "-"
			if l.pairs == 0 {
				p50, p99 = fmt.Sprintf("%.1f", s.p50), fmt.Sprintf("%.1f", s.p99)
			}
			fmt.Fprintf(tw, "%s\t%s\t%d\t%.0f\t%.2f\t%.2f\t%s\t%s\t\n", l.name, p, n, s.rate, s.from, s.to, p50, p99)
		}
	}
	_ = tw.Flush()
	fmt.Fprintln(w)
	tw = tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "load\tfigure\tErmine\tErlang\tratio\tof rounds\ttarget\tresult\t")
	for _, l := range ran {
		v := judge(l, outcomes)
		fmt.Fprintf(tw, "%s\t%s\t%.0f\t%.0f\t%.2f\t%.2f to %.2f\t%s\t%s\t\n",
			l.name, l.of, v.ours, v.theirs, v.ratio, v.spread[0], v.spread[1], v.target(), v.result())
		if v.tested && !v.passed {
			missed = append(missed, fmt.Sprintf("%s: ratio %.2f, want %s", l.name, v.ratio, v.target()))
		}
	}
	_ = tw.Flush()
	return missed
}
