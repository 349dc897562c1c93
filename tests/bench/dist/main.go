package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// config is the command line.
type config struct {
	loads            []load
	rounds           int
	warmup, duration time.Duration
	size             int
	window, step     int
	mixed            bool
	strict           bool
	profiles         string
}

func parseFlags(args []string) (config, error) {
	c := config{}
	var names string
	f := flag.NewFlagSet("dist", flag.ContinueOnError)
	f.StringVar(&names, "load", "send-1,send-4,call,call-16", "loads to run, by comma")
	f.IntVar(&c.rounds, "rounds", 5, "how often each pair runs each load")
	f.DurationVar(&c.warmup, "warmup", time.Second, "length of the part before the measured one")
	f.DurationVar(&c.duration, "duration", 2*time.Second, "length of the measured part")
	f.IntVar(&c.size, "size", 200, "bytes of a message")
	f.IntVar(&c.window, "window", 4000, "messages of a sender that may be on their way")
	f.IntVar(&c.step, "step", 500, "messages that an acknowledgement stands for")
	f.BoolVar(&c.mixed, "mixed", true, "measure Ermine to Erlang and back, too")
	f.BoolVar(&c.strict, "strict", false, "exit with 1 where a target is missed")
	f.StringVar(&c.profiles, "cpuprofile", "", "folder for CPU profiles of the Ermine nodes; they cost some CPU")
	if err := f.Parse(args); err != nil {
		return c, err
	}
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(loads(), func(l load) bool { return l.name == name })
		if i < 0 {
			return c, fmt.Errorf("-load: no %q", name)
		}
		c.loads = append(c.loads, loads()[i])
	}
	if c.rounds < 1 || c.size < 1 || c.step < 1 || c.window < c.step || c.duration <= 0 {
		return c, errors.New("want -rounds, -size and -step of at least 1, a -window of at least -step, and a -duration")
	}
	return c, nil
}

func main() {
	var err error
	if name := os.Getenv(nodeEnv); name != "" {
		err = runNode(name, os.Stdin, os.Stdout)
	} else {
		err = bench(os.Args[1:], os.Stdout, os.Stderr)
	}
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "dist:", err)
		os.Exit(1)
	}
}

func bench(args []string, stdout, progress io.Writer) error {
	// A node dies with the thread that started it.
	runtime.LockOSThread()
	c, err := parseFlags(args)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	beams, err := os.MkdirTemp("", "dist-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(beams) }()
	if err := compileErl(ctx, beams); err != nil {
		return err
	}
	var outcomes []outcome
	for i := range c.rounds {
		got, err := round(ctx, c, i, beams, progress)
		if err != nil {
			return err
		}
		outcomes = append(outcomes, got...)
	}
	if missed := report(stdout, c.loads, outcomes); c.strict && len(missed) > 0 {
		return fmt.Errorf("targets missed: %s", strings.Join(missed, "; "))
	}
	return nil
}

// round starts four nodes and runs all loads on all pairs of them.
func round(ctx context.Context, c config, index int, beams string, progress io.Writer) ([]outcome, error) {
	nodes := map[string][2]*node{}
	for _, runtime := range []string{ermine, erlang} {
		var two [2]*node
		for i := range two {
			n, err := startNode(runtime, beams, c.profiles)
			if err != nil {
				return nil, err
			}
			defer n.stop()
			two[i] = n
		}
		nodes[runtime] = two
	}
	pairs := []pair{subject, reference}
	if c.mixed {
		pairs = append(pairs, mixed...)
	}
	var outcomes []outcome
	for _, l := range c.loads {
		for i := range pairs {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			p := pairs[(i+index)%len(pairs)]
			out, err := measure(l, c, p, nodes[p.from][0], nodes[p.to][1])
			if err != nil {
				return nil, err
			}
			fmt.Fprintf(progress, "round %d, %s, %s: %.0f/s\n", index+1, l.name, p, out.rate)
			outcomes = append(outcomes, out)
		}
	}
	return outcomes, nil
}
