package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"ermine/actors/fault"
	"ermine/node/config"
	"ermine/node/console"
	"ermine/node/logs"
)

// stopTime bounds a stop in order: draining, flushing, then what is left goes.
const stopTime = 60 * time.Second

// fewFiles is the limit of open files below which the node warns.
const fewFiles = 1024

// serveOptions are how a node runs in this process.
type serveOptions struct {
	background bool
	ready      func() // called once all listeners are open
	// session is run once the node is ready; when it returns the node stops.
	session func(ctx context.Context, r *runtime) error
}

// foreground runs the node in this process.
func (p *program) foreground(ctx context.Context) error {
	s, err := p.load(true)
	if err != nil {
		return err
	}
	err = p.serve(ctx, s, serveOptions{})
	if errors.Is(err, errRunning) {
		return p.alreadyRunning(s)
	}
	return err
}

// console runs the node in this process with a command line.
func (p *program) console(ctx context.Context) error {
	s, err := p.load(true)
	if err != nil {
		return err
	}
	err = p.serve(ctx, s, serveOptions{session: func(ctx context.Context, r *runtime) error {
		local := console.NewLocal(s.Node.Name, r.commands, r.erlang.Load().Names())
		return console.Local(ctx, local, version, p.historyFile())
	}})
	if errors.Is(err, errRunning) {
		return p.alreadyRunning(s)
	}
	return err
}

// serve runs a node until a signal, the end of its session or a failure, and
// stops it in order. A second signal ends the process at once.
func (p *program) serve(ctx context.Context, s *settings, opts serveOptions) error {
	release, err := s.node.acquire(s.Node.Name)
	if err != nil {
		return err
	}
	defer release()
	log, closeLog, err := p.openLog(s, opts.background)
	if err != nil {
		return err
	}
	defer closeLog()
	logger := log.Logger()
	p.announce(s, logger)
	r, err := compose(s, log, p.getenv("DEBUG") != "")
	if err != nil {
		return err
	}
	if err := r.launch(); err != nil {
		logger.Error("node not started", "err", err)
		return err
	}
	if err := p.debug(logger); err != nil { // the node's fault points are known now
		return err
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	starting, cancel := context.WithCancel(ctx)
	defer cancel()
	interrupted := make(chan struct{})
	stopWatching := make(chan struct{})
	go func() { // the first signal, or none
		select {
		case <-signals:
			close(interrupted)
			cancel()
		case <-stopWatching:
			return
		}
		select {
		case <-signals:
			os.Exit(1)
		case <-stopWatching:
		}
	}()
	defer close(stopWatching)

	if err := r.boot(starting); err != nil {
		logger.Error("node not started", "err", err)
		return err
	}
	for _, line := range r.listenerLines() {
		fmt.Fprintf(p.out, "Listener %s started.\n", line)
	}
	fmt.Fprintf(p.out, "%s %s is running now!\n", product, version)
	logger.Info("node started", "node", s.Node.Name, "version", version)
	if opts.ready != nil {
		opts.ready()
	}

	ended := make(chan error, 1)
	if opts.session != nil {
		go func() { ended <- opts.session(ctx, r) }()
	}
	select {
	case <-interrupted:
	case err = <-ended:
	case <-r.node.Load().Done():
	case <-ctx.Done():
	}
	return errors.Join(err, p.shutdown(r, logger))
}

// shutdown stops the node and says how it ended.
func (p *program) shutdown(r *runtime, logger *slog.Logger) error {
	lines := r.listenerLines()
	stopping, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	err := r.stop(stopping)
	for _, line := range lines {
		fmt.Fprintf(p.out, "Listener %s stopped.\n", line)
	}
	if failure := r.node.Load().Err(); failure != nil {
		logger.Error("node failed", "err", failure)
		return fmt.Errorf("%s %s has stopped: %w", product, version, failure)
	}
	if err != nil {
		logger.Error("node not stopped in order", "err", err)
		return fmt.Errorf("stop node: %w", err)
	}
	logger.Info("node stopped")
	return nil
}

// announce says what the configuration has to say, as EMQX does at boot.
func (p *program) announce(s *settings, logger *slog.Logger) {
	for _, o := range s.report.Overrides {
		fmt.Fprintln(p.out, o)
	}
	for _, line := range s.report.WarningLines() {
		logger.Warn("configuration", "notice", line)
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err == nil && limit.Cur < fewFiles {
		logger.Warn("few open files are allowed, so few connections", "limit", limit.Cur)
	}
}

// openLog makes the log of the configuration. In the background there is no
// terminal: the log goes to the file, whatever log.console and log.file say.
func (p *program) openLog(s *settings, background bool) (log *logs.Log, closeLog func(), err error) {
	var confs []logs.HandlerConfig
	closeLog = func() {}
	if c := s.Log.Console; c.Enable && !background {
		conf, err := handlerConfig("console", "console", c.Level, c.Formatter, c.TimeOffset)
		if err != nil {
			return nil, nil, err
		}
		conf.Writer = p.err
		confs = append(confs, conf)
	}
	if f := s.Log.File; f.Enable || background {
		conf, err := handlerConfig("file", f.Path, f.Level, f.Formatter, f.TimeOffset)
		if err != nil {
			return nil, nil, err
		}
		file, err := logs.OpenFile(f.Path, f.RotationSize, f.RotationCount)
		if err != nil {
			return nil, nil, err
		}
		conf.Writer = file
		closeLog = func() { _ = file.Close() }
		confs = append(confs, conf)
	}
	return logs.New(confs...), closeLog, nil
}

func handlerConfig(id, destination, level, formatter, offset string) (conf logs.HandlerConfig, err error) {
	conf = logs.HandlerConfig{ID: id, Destination: destination, JSON: formatter == "json"}
	if conf.Level, err = logs.ParseLevel(level); err != nil {
		return conf, err
	}
	conf.Location, err = config.ParseTimeOffset(offset)
	return conf, err
}

// debug does what only ERMINE_DEBUG_* asks for: profiles on a loopback address
// (ERMINE_DEBUG_PPROF=host:port) and faults armed before the start
// (ERMINE_DEBUG_FAULTS=point=spec;...).
func (p *program) debug(logger *slog.Logger) error {
	if text := p.getenv("DEBUG_FAULTS"); text != "" {
		if _, err := fault.ArmText(text); err != nil {
			return fmt.Errorf("ERMINE_DEBUG_FAULTS: %w", err)
		}
		logger.Warn("faults are armed", "faults", text)
	}
	addr := p.getenv("DEBUG_PPROF")
	if addr == "" {
		return nil
	}
	tcp, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return fmt.Errorf("ERMINE_DEBUG_PPROF: %w", err)
	}
	if !tcp.IP.IsLoopback() {
		return fmt.Errorf("ERMINE_DEBUG_PPROF: %s is no loopback address", addr)
	}
	l, err := net.ListenTCP("tcp", tcp)
	if err != nil {
		return fmt.Errorf("ERMINE_DEBUG_PPROF: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(l) }() // for the life of the process
	logger.Warn("profiles are served", "address", l.Addr().String())
	return nil
}
