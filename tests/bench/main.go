package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"ermine/tests/bench/broker"
	"ermine/tests/bench/load"
)

// config is the command line.
type config struct {
	scenarios string
	brokers   string
	rounds    int
	list      bool
	json      bool
	out       string
	strict    bool
	protocol  string
	set       settings
	opts      broker.Options
	env       string
}

func parseFlags(args []string) (config, error) {
	c := config{}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.StringVar(&c.scenarios, "scenario", "default", "scenarios to run, by comma; default, all, or names from -list")
	f.StringVar(&c.brokers, "brokers", "", "brokers to run, by comma; each scenario has its own default")
	f.IntVar(&c.rounds, "rounds", 3, "how often each broker runs each scenario")
	f.DurationVar(&c.set.duration, "duration", 5*time.Second, "length of the measured part")
	f.DurationVar(&c.set.warmup, "warmup", 2*time.Second, "length of the part before it")
	f.DurationVar(&c.set.drain, "drain", 10*time.Second, "how long nothing may come before what is missing counts as lost")
	f.IntVar(&c.set.window, "window", 512, "messages of a publisher that may be undelivered")
	f.IntVar(&c.set.step, "step", 1, "messages a publisher with a full window waits for before it goes on")
	f.IntVar(&c.set.batch, "batch", 0, "messages that a publisher puts into one write at most; 0 is what fits")
	f.IntVar(&c.set.payload, "payload", 128, "bytes of payload")
	f.StringVar(&c.protocol, "protocol", "3.1.1", "MQTT version of the clients: 3.1.1 or 5")
	f.StringVar(&c.opts.ErmineBinary, "ermine", "rel/bin/node", "the program under test")
	f.StringVar(&c.env, "env", "", "more environment for Ermine: NAME=value, by comma")
	f.StringVar(&c.set.profiles, "cpuprofile", "", "folder for CPU profiles of Ermine, one for each scenario; they cost it some CPU")
	f.StringVar(&c.out, "out", "", "file for the tables, or with -json for the JSON, besides standard output")
	f.BoolVar(&c.json, "json", false, "print JSON instead of tables")
	f.BoolVar(&c.strict, "strict", false, "exit with 1 where a target is missed")
	f.BoolVar(&c.list, "list", false, "list scenarios and brokers")
	if err := f.Parse(args); err != nil {
		return c, err
	}
	switch c.protocol {
	case "3.1.1":
		c.set.protocol = load.V311
	case "5":
		c.set.protocol = load.V5
	default:
		return c, fmt.Errorf("-protocol %q: want 3.1.1 or 5", c.protocol)
	}
	if c.rounds < 1 {
		return c, fmt.Errorf("-rounds %d: want at least 1", c.rounds)
	}
	c.opts.Profiling = c.set.profiles != ""
	if c.env != "" {
		c.opts.Env = strings.Split(c.env, ",")
	}
	return c, nil
}

func main() {
	// Its own garbage is little; collecting it seldom leaves the cores to the
	// broker.
	debug.SetGCPercent(400)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	c, err := parseFlags(os.Args[1:])
	if err == nil {
		err = run(ctx, c, os.Stdout, os.Stderr)
	}
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run runs the chosen scenarios and prints the report.
func run(ctx context.Context, c config, stdout, progress io.Writer) error {
	if c.list {
		list(stdout)
		return nil
	}
	chosen, err := choose(c.scenarios)
	if err != nil {
		return err
	}
	var outcomes []outcome
	var broken error
	for _, s := range chosen {
		got, err := runScenario(ctx, s, c, progress)
		outcomes = append(outcomes, got...)
		if err != nil {
			broken = err
			break
		}
	}
	r := summarize(machine(), chosen, outcomes)
	if err := publishReport(r, c, stdout); err != nil {
		return err
	}
	if broken != nil {
		return broken
	}
	if failed := r.failures(chosen, c.strict); len(failed) > 0 {
		return fmt.Errorf("%s", strings.Join(failed, "; "))
	}
	return nil
}

// runScenario runs every round of a scenario; every second round the brokers
// come in the reverse order.
func runScenario(ctx context.Context, s scenario, c config, progress io.Writer) ([]outcome, error) {
	names := s.defaultBrokers()
	if c.brokers != "" {
		names = strings.Split(c.brokers, ",")
	}
	var kinds []broker.Kind
	for _, name := range names {
		i := slices.IndexFunc(broker.Kinds, func(k broker.Kind) bool { return k.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("no broker %q (see -list)", name)
		}
		kinds = append(kinds, broker.Kinds[i])
	}
	var outcomes []outcome
	for round := 1; round <= c.rounds; round++ {
		for _, k := range kinds {
			o, err := measure(ctx, s, k, c.opts, c.set)
			if err != nil {
				return outcomes, err
			}
			o.Round = round
			outcomes = append(outcomes, o)
			fmt.Fprintf(progress, "%s round %d/%d %s: %s\n", s.name, round, c.rounds, k.Name, line(o))
		}
		slices.Reverse(kinds)
	}
	return outcomes, nil
}

// line tells an outcome in short.
func line(o outcome) string {
	var parts []string
	for _, m := range []metric{throughput, cpuPerMessage, p50, p99, rssPerClient, rssGrowth} {
		if v, ok := o.Figures[m]; ok {
			parts = append(parts, fmt.Sprintf("%.2f %s", v, m))
		}
	}
	if o.Lost+o.Duplicates+o.Reordered > 0 {
		parts = append(parts, fmt.Sprintf("LOST %d DOUBLED %d REORDERED %d of %d", o.Lost, o.Duplicates, o.Reordered, o.Sent))
	}
	return strings.Join(parts, ", ")
}

// publishReport prints the report, and writes it to the -out file too.
func publishReport(r report, c config, stdout io.Writer) error {
	w := stdout
	if c.out != "" {
		f, err := os.Create(c.out)
		if err != nil {
			return err
		}
		defer f.Close()
		w = io.MultiWriter(stdout, f)
	}
	if c.json {
		return r.writeJSON(w)
	}
	r.print(w)
	return nil
}

// list prints what there is to choose from.
func list(w io.Writer) {
	for _, s := range scenarios {
		when := ""
		if s.optional {
			when = " (by name only)"
		}
		fmt.Fprintf(w, "%-18s %s%s\n", s.name, s.about, when)
		for _, t := range s.targets {
			fmt.Fprintf(w, "%-18s   %s %s %s\n", "", t.of, t, t.against)
		}
	}
	fmt.Fprintln(w)
	for _, k := range broker.Kinds {
		fmt.Fprintf(w, "%-18s %d node(s)\n", k.Name, k.Nodes)
	}
}

// machine says what the figures were taken on.
func machine() string {
	model := "unknown processor"
	if f, err := os.Open("/proc/cpuinfo"); err == nil {
		defer f.Close()
		for lines := bufio.NewScanner(f); lines.Scan(); {
			if key, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(key) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	return fmt.Sprintf("%d cores, %s, %s", runtime.NumCPU(), model, runtime.Version())
}
