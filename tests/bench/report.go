package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// summary is one broker's part in a scenario: the medians over the rounds, and
// the sums of what went wrong.
type summary struct {
	Scenario  string             `json:"scenario"`
	Broker    string             `json:"broker"`
	Rounds    int                `json:"rounds"`
	Figures   map[metric]float64 `json:"figures"`
	Generator float64            `json:"generator_cpu_us"`
	PeakMiB   float64            `json:"peak_rss_mib"`

	Lost       uint64 `json:"lost"`
	Duplicates uint64 `json:"duplicates"`
	Reordered  uint64 `json:"reordered"`
}

func (s summary) clean() bool { return s.Lost == 0 && s.Duplicates == 0 && s.Reordered == 0 }

// verdict is a target held against the figures.
type verdict struct {
	Scenario string  `json:"scenario"`
	Metric   metric  `json:"metric"`
	Against  string  `json:"against,omitempty"`
	Figure   float64 `json:"figure"`
	Other    float64 `json:"other,omitempty"`
	Value    float64 `json:"value"` // the ratio, or the figure itself
	Target   string  `json:"target"`
	Result   string  `json:"result"`
}

// Results of a verdict.
const (
	pass      = "PASS"
	fail      = "FAIL"
	notTested = "not run"
)

// report is everything that a run found.
type report struct {
	Machine   string    `json:"machine"`
	Outcomes  []outcome `json:"outcomes"`
	Summaries []summary `json:"summaries"`
	Verdicts  []verdict `json:"verdicts"`
}

// summarize works out the medians and the verdicts.
func summarize(machine string, ran []scenario, outcomes []outcome) report {
	r := report{Machine: machine, Outcomes: outcomes}
	for _, s := range ran {
		byBroker := map[string]summary{}
		for _, name := range brokersOf(s.name, outcomes) {
			sum := summaryOf(s.name, name, outcomes)
			byBroker[name] = sum
			r.Summaries = append(r.Summaries, sum)
		}
		for _, t := range s.targets {
			r.Verdicts = append(r.Verdicts, judge(s, t, byBroker))
		}
	}
	return r
}

// brokersOf lists the brokers of a scenario in the order of their first run.
func brokersOf(scenario string, outcomes []outcome) []string {
	var names []string
	for _, o := range outcomes {
		if o.Scenario == scenario && !slices.Contains(names, o.Broker) {
			names = append(names, o.Broker)
		}
	}
	return names
}

func summaryOf(scenario, broker string, outcomes []outcome) summary {
	sum := summary{Scenario: scenario, Broker: broker, Figures: map[metric]float64{}}
	values := map[metric][]float64{}
	var generator, peak []float64
	for _, o := range outcomes {
		if o.Scenario != scenario || o.Broker != broker {
			continue
		}
		sum.Rounds++
		sum.Lost += o.Lost
		sum.Duplicates += o.Duplicates
		sum.Reordered += o.Reordered
		generator = append(generator, o.GeneratorCPU)
		peak = append(peak, float64(o.PeakRSS)/(1<<20))
		for m, v := range o.Figures {
			values[m] = append(values[m], v)
		}
	}
	for m, v := range values {
		sum.Figures[m] = median(v)
	}
	sum.Generator, sum.PeakMiB = median(generator), median(peak)
	return sum
}

func judge(s scenario, t target, byBroker map[string]summary) verdict {
	v := verdict{Scenario: s.name, Metric: t.of, Against: t.against, Target: t.String(), Result: notTested}
	subject, ok := byBroker[s.subjectName()]
	if !ok {
		return v
	}
	v.Figure = subject.Figures[t.of]
	v.Value = v.Figure
	if t.against != "" {
		other, ok := byBroker[t.against]
		if !ok || other.Figures[t.of] == 0 {
			return v
		}
		v.Other = other.Figures[t.of]
		v.Value = v.Figure / v.Other
	}
	v.Result = fail
	if t.met(v.Value) && subject.clean() {
		v.Result = pass
	}
	return v
}

// print writes the report as tables.
func (r report) print(w io.Writer) {
	fmt.Fprintln(w, r.Machine)
	fmt.Fprintln(w)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "scenario\tbroker\trounds\tmsg/s\tcpu us/msg\tp50 us\tp99 us\tKiB/conn\tpeak MiB\tgenerator us/msg\tlost\tdoubled\treordered\t")
	for _, s := range r.Summaries {
		fmt.Fprintf(tw, "%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\t%.0f\t%.2f\t%d\t%d\t%d\t\n", s.Scenario, s.Broker, s.Rounds,
			figure(s, throughput, "%.0f"), figure(s, cpuPerMessage, "%.2f"), figure(s, p50, "%.0f"), figure(s, p99, "%.0f"),
			figure(s, rssPerClient, "%.1f"), s.PeakMiB, s.Generator, s.Lost, s.Duplicates, s.Reordered)
	}
	tw.Flush()
	fmt.Fprintln(w)
	tw = tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "scenario\tfigure\tvalue\tagainst\tits value\tratio\ttarget\tresult\t")
	for _, v := range r.Verdicts {
		against, other, ratio := "-", "-", "-"
		if v.Against != "" {
			against = v.Against
			other, ratio = fmt.Sprintf("%.2f", v.Other), fmt.Sprintf("%.2f", v.Value)
		}
		fmt.Fprintf(tw, "%s\t%s\t%.2f\t%s\t%s\t%s\t%s\t%s\t\n", v.Scenario, v.Metric, v.Figure, against, other, ratio, v.Target, v.Result)
	}
	tw.Flush()
}

// figure prints one figure of a summary, or a dash where the scenario has none.
func figure(s summary, m metric, format string) string {
	v, ok := s.Figures[m]
	if !ok {
		return "-"
	}
	return fmt.Sprintf(format, v)
}

// writeJSON writes the report for machines.
func (r report) writeJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// failures are the scenarios in which a subject lost, doubled or reordered
// messages and, where strict, those that missed a target.
func (r report) failures(ran []scenario, strict bool) []string {
	var failed []string
	for _, s := range ran {
		for _, sum := range r.Summaries {
			if sum.Scenario == s.name && sum.Broker == s.subjectName() && !sum.clean() {
				failed = append(failed, fmt.Sprintf("%s: %d lost, %d doubled, %d reordered", s.name, sum.Lost, sum.Duplicates, sum.Reordered))
			}
		}
	}
	if strict {
		for _, v := range r.Verdicts {
			if v.Result == fail {
				failed = append(failed, fmt.Sprintf("%s: %s is %.2f, want %s", v.Scenario, v.Metric, v.Value, v.Target))
			}
		}
	}
	return failed
}
