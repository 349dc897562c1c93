package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"ermine/node/console"
	"ermine/node/ctl"
)

// exitError carries an exit status; what went wrong has been said.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// run runs the invocation and returns its exit status.
func (p *program) run() int {
	root := &cobra.Command{
		Use:           "node",
		Short:         product + " is an MQTT broker whose nodes are Erlang nodes",
		SilenceErrors: true,
		SilenceUsage:  true,
		// Or ctl, which parses no flags, would take those in front of it for words
		// of its own.
		TraverseChildren: true,
		Version:          version,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("unknown command %q; node help lists them", args[0])
			}
			_ = cmd.Help()
			return errSilent
		},
	}
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetArgs(p.args)
	root.SetIn(p.in)
	root.SetOut(p.out)
	root.SetErr(p.err)
	root.CompletionOptions.DisableDefaultCmd = true
	root.PersistentFlags().StringVarP(&p.confFile, "config", "c", "", "configuration file (or ERMINE_CONF; otherwise etc/node.conf of the release)")
	add := func(use, short string, hidden bool, run func(ctx context.Context) error) {
		root.AddCommand(&cobra.Command{
			Use: use, Short: short, Args: cobra.NoArgs, Hidden: hidden,
			RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd.Context()) },
		})
	}
	add("start", "start the node in the background and wait until it serves", false, p.start)
	add("stop", "stop the node in order and wait until it is gone", false, p.stop)
	add("restart", "stop the node, if it runs, and start it", false, p.restart)
	add("foreground", "run the node here, without a command line", false, p.foreground)
	add("console", "run the node here, with a command line", false, p.console)
	add("daemon", "run the node for start", true, p.daemon)
	for _, name := range []string{"attach", "remote_console"} {
		var flags attachOptions
		attach := &cobra.Command{
			Use: name, Short: "command line of the running node, or of another one", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return p.attach(cmd.Context(), flags) },
		}
		attach.Flags().StringVar(&flags.name, "name", "", "the node, as name@host; otherwise the configuration's")
		attach.Flags().StringVar(&flags.cookie, "cookie", "", "its cookie; otherwise the configuration's")
		root.AddCommand(attach)
	}
	add("ping", "tell whether the node answers", false, p.probe("ping"))
	add("pid", "print the node's process id", false, p.pid)
	add("status", "tell whether the node has started", false, p.probe("status"))
	add("version", "print the version", false, func(context.Context) error {
		_, err := fmt.Fprintln(p.out, version)
		return err
	})
	for _, name := range []string{"check_config", "check_conf"} {
		add(name, "check the configuration without opening a port", name == "check_conf", p.checkConfig)
	}
	root.AddCommand(&cobra.Command{
		Use: "ctl <command>", Short: "run a command on the running node; without one, list them", DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error { return p.ctl(cmd.Context(), args) },
	}, &cobra.Command{
		Use: "eval '<command line>'", Short: "run a command line on the running node", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			words, err := console.Words(args[0])
			if err != nil {
				return err
			}
			return p.ctl(cmd.Context(), words)
		},
	})
	switch err := root.Execute(); {
	case err == nil:
		return 0
	case errors.Is(err, errSilent):
		return 1
	default:
		if status, ok := errors.AsType[exitError](err); ok {
			return int(status)
		}
		fmt.Fprintln(p.err, err)
		return 1
	}
}

// interruptible ends with the first SIGINT or SIGTERM.
func interruptible(ctx context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
}

// ctl runs a command on the running node.
func (p *program) ctl(ctx context.Context, args []string) error {
	s, err := p.load(false)
	if err != nil {
		return err
	}
	ctx, cancel := interruptible(ctx)
	defer cancel()
	return p.command(ctx, s, args)
}

func (p *program) command(ctx context.Context, s *settings, args []string) error {
	status, err := ctl.Run(ctx, s.node.socket(), args, false, p.out)
	switch {
	case errors.Is(err, ctl.ErrNoNode):
		return p.notResponding(s)
	case err != nil:
		return fmt.Errorf("node %s: %w", s.Node.Name, err)
	case status != 0:
		return exitError(status)
	}
	return nil
}

// probeTime is how long ping and status wait for a node that is there and does
// not answer.
const probeTime = 10 * time.Second

// probe runs a command that a node answers at once.
func (p *program) probe(command string) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		s, err := p.load(false)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, probeTime)
		defer cancel()
		err = p.command(ctx, s, []string{command})
		if ctx.Err() != nil {
			return p.notResponding(s)
		}
		return err
	}
}

func (p *program) pid(context.Context) error {
	s, err := p.load(false)
	if err != nil {
		return err
	}
	pid, _, ok, err := s.node.holder()
	if err != nil {
		return err
	}
	if !ok {
		return p.notResponding(s)
	}
	_, err = fmt.Fprintln(p.out, pid)
	return err
}

func (p *program) checkConfig(context.Context) error {
	s, err := p.load(true)
	if err != nil {
		return err
	}
	if err := errors.Join(check(s)...); err != nil {
		return err
	}
	for _, line := range s.report.Lines() {
		fmt.Fprintln(p.out, line)
	}
	from := "the default configuration"
	if s.file != "" {
		from = s.file
	}
	_, err = fmt.Fprintf(p.out, "%s is ok\n", from)
	return err
}

// attachOptions are the flags of attach: another node than the configuration's.
type attachOptions struct{ name, cookie string }

// attach is a console on a running node, over the Erlang distribution.
func (p *program) attach(ctx context.Context, flags attachOptions) error {
	s, err := p.load(false)
	if err != nil {
		return err
	}
	network, err := networkConfig(s.Config)
	if err != nil {
		return err
	}
	options := console.Options{
		Node: cmp.Or(flags.name, network.Name), Cookie: cmp.Or(flags.cookie, network.Cookie),
		EPMD: network.EPMD, TLS: network.TLS, TickTime: network.TickTime, Version: version,
		HistoryFile: p.historyFile(),
	}
	if flags.name == "" {
		if status, err := ctl.Run(ctx, s.node.socket(), []string{"ping"}, false, io.Discard); err != nil || status != 0 {
			return p.notResponding(s)
		}
	}
	return console.Attach(ctx, options)
}

// historyFile keeps the lines of consoles; empty where there is no home.
func (p *program) historyFile() string {
	for _, kv := range p.env {
		if home, ok := strings.CutPrefix(kv, "HOME="); ok && home != "" {
			return filepath.Join(home, ".ermine_history")
		}
	}
	return ""
}
