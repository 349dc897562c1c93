package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"ermine/tests/bench/broker"
	"ermine/tests/bench/load"
)

// outcome is what one run of a scenario on a broker came to. Figures that a
// scenario has not are 0.
type outcome struct {
	Scenario string `json:"scenario"`
	Broker   string `json:"broker"`
	Round    int    `json:"round"`

	Seconds   float64            `json:"seconds"`
	Delivered int64              `json:"delivered"`
	Figures   map[metric]float64 `json:"figures"`

	// GeneratorCPU is this program's own, in microseconds per message.
	GeneratorCPU float64 `json:"generator_cpu_us"`
	PeakRSS      int64   `json:"peak_rss_bytes"`

	Sent       int64  `json:"sent"`
	Lost       uint64 `json:"lost"`
	Duplicates uint64 `json:"duplicates"`
	Reordered  uint64 `json:"reordered"`
}

// meter reads a broker at the marks of a load.
type meter struct {
	in    *broker.Instance
	marks []reading

	// profile, where set, runs beside the measured part.
	profile  func() error
	profiled chan error
}

type reading struct {
	broker broker.Usage
	self   time.Duration
}

// Mark notes what the broker and this process have used so far.
func (m *meter) Mark() error {
	u, err := m.in.Usage()
	if err != nil {
		return err
	}
	m.marks = append(m.marks, reading{u, ownCPU()})
	if m.profile != nil && m.profiled == nil {
		m.profiled = make(chan error, 1)
		go func() { m.profiled <- m.profile() }()
	}
	return nil
}

// wait returns when the profile, if one was begun, is written.
func (m *meter) wait() error {
	if m.profiled == nil {
		return nil
	}
	return <-m.profiled
}

// ownCPU is the CPU time of this process.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// measure starts the broker, runs the scenario on it once and stops it.
func measure(ctx context.Context, s scenario, k broker.Kind, o broker.Options, set settings) (outcome, error) {
	o.LowLatency = s.load.Rate > 0
	in, err := broker.Start(ctx, k, o)
	if err != nil {
		return outcome{}, err
	}
	defer in.Stop()
	var out outcome
	switch {
	case s.idle > 0:
		out, err = measureIdle(ctx, s, in, set)
	case s.soak:
		out, err = measureSoak(ctx, s, in, set)
	default:
		out, err = measureLoad(ctx, s, in, set)
	}
	out.Scenario, out.Broker = s.name, k.Name
	if err != nil {
		return out, fmt.Errorf("%s on %s: %w", s.name, k.Name, err)
	}
	return out, nil
}

func measureLoad(ctx context.Context, s scenario, in *broker.Instance, set settings) (outcome, error) {
	m := &meter{in: in}
	if set.profiles != "" {
		file := filepath.Join(set.profiles, s.name+"-"+in.Kind.Name+".pprof")
		m.profile = func() error {
			// A broker that is not ours serves none.
			if err := in.Profile(ctx, set.duration, file); !errors.Is(err, broker.ErrNoProfile) || in.Kind.Name == s.subjectName() {
				return err
			}
			return nil
		}
	}
	res, err := load.Run(ctx, in.Addrs(), s.spec(set), m)
	if err = errors.Join(err, m.wait()); err != nil {
		return outcome{}, err
	}
	if res.Delivered == 0 {
		return outcome{}, fmt.Errorf("no message was delivered in %s", res.Elapsed)
	}
	first, last := m.marks[0], m.marks[1]
	n := float64(res.Delivered)
	out := outcome{
		Seconds: res.Elapsed.Seconds(), Delivered: res.Delivered,
		Figures: map[metric]float64{
			cpuPerMessage: micros(last.broker.CPU-first.broker.CPU) / n,
			throughput:    n / res.Elapsed.Seconds(),
		},
		GeneratorCPU: micros(last.self-first.self) / n,
		PeakRSS:      last.broker.PeakRSS,
		Sent:         res.Sent, Lost: res.Lost, Duplicates: res.Duplicates, Reordered: res.Reordered,
	}
	if len(res.Latencies) > 0 {
		out.Figures[p50] = micros(res.Quantile(0.50))
		out.Figures[p99] = micros(res.Quantile(0.99))
	}
	return out, nil
}

// measureIdle compares the memory without and with the connections, each time
// when it has come to rest.
func measureIdle(ctx context.Context, s scenario, in *broker.Instance, set settings) (outcome, error) {
	before, err := restingRSS(ctx, in)
	if err != nil {
		return outcome{}, err
	}
	began := time.Now()
	crowd, err := load.Gather(ctx, in.Addrs(), s.idle, set.protocol)
	if err != nil {
		return outcome{}, err
	}
	defer crowd.Close()
	took := time.Since(began)
	after, err := restingRSS(ctx, in)
	if err != nil {
		return outcome{}, err
	}
	u, err := in.Usage()
	if err != nil {
		return outcome{}, err
	}
	return outcome{
		Seconds:   took.Seconds(),
		Delivered: int64(crowd.Len()),
		Figures:   map[metric]float64{rssPerClient: float64(after-before) / 1024 / float64(crowd.Len())},
		PeakRSS:   u.PeakRSS,
	}, nil
}

// Memory is at rest when it has changed by less than restShare in each of
// restSamples samples, one a second; after restLimit it is taken as it is.
const (
	restShare   = 0.005
	restSamples = 3
	restLimit   = 30
)

func restingRSS(ctx context.Context, in *broker.Instance) (int64, error) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var last int64
	calm := 0
	for range restLimit {
		u, err := in.Usage()
		if err != nil {
			return 0, err
		}
		if change := float64(u.RSS - last); change < restShare*float64(u.RSS) && change > -restShare*float64(u.RSS) {
			calm++
		} else {
			calm = 0
		}
		last = u.RSS
		if calm == restSamples {
			break
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	return last, nil
}

// measureSoak samples memory during a load; growth is the median of the last
// quarter over that of the second.
func measureSoak(ctx context.Context, s scenario, in *broker.Instance, set settings) (outcome, error) {
	sampling, stop := context.WithCancel(ctx)
	defer stop()
	samples := make(chan []float64, 1)
	go func() {
		var all []float64
		tick := time.NewTicker(max(set.duration/400, 100*time.Millisecond))
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if u, err := in.Usage(); err == nil {
					all = append(all, float64(u.RSS))
				}
			case <-sampling.Done():
				samples <- all
				return
			}
		}
	}()
	out, err := measureLoad(ctx, s, in, set)
	stop()
	all := <-samples
	if err != nil {
		return out, err
	}
	if len(all) < 8 {
		return out, fmt.Errorf("%d samples of memory in %s are too few", len(all), set.duration)
	}
	quarter := len(all) / 4
	early, late := median(all[quarter:2*quarter]), median(all[3*quarter:])
	out.Figures[rssGrowth] = 100 * (late - early) / early
	return out, nil
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// median is the middle of the values, of which there must be one at least.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	mid := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[mid]
	}
	return (sorted[mid-1] + sorted[mid]) / 2
}
