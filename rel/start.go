package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// readyFile is the descriptor on which the daemon tells start how it went.
const readyFile = 3

// What the daemon says.
const (
	sayReady   = "ready"
	sayRunning = "running"
)

// outName is the file that takes what the daemon prints besides its log, such as
// the stack of a crash.
const outName = "node.out"

// logTail is how many of the last log lines a failed start shows.
const logTail = 20

// start starts the node in the background.
func (p *program) start(ctx context.Context) error {
	s, err := p.load(true)
	if err != nil {
		return err
	}
	return p.launch(ctx, s)
}

func (p *program) launch(ctx context.Context, s *settings) error {
	if _, _, running, err := s.node.holder(); err != nil {
		return err
	} else if running {
		return p.alreadyRunning(s)
	}
	logStart := size(s.Log.File.Path)
	out, err := p.outFile(s)
	if err != nil {
		return err
	}
	defer out.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("start: %w", err)
	}
	defer r.Close()
	self, err := os.Executable()
	if err != nil {
		return errors.Join(fmt.Errorf("start: %w", err), w.Close())
	}
	args := []string{"daemon"}
	if p.confFile != "" {
		args = append(args, "--config", p.confFile)
	}
	cmd := exec.Command(self, args...) // it outlives this process, so without ctx
	cmd.Env, cmd.Stdout, cmd.Stderr = p.env, out, out
	cmd.ExtraFiles = []*os.File{w}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	_ = w.Close()
	if err != nil {
		return fmt.Errorf("start: %w", err)
	}
	return p.awaitReady(ctx, s, cmd, r, logStart)
}

// awaitReady waits for the daemon's line.
func (p *program) awaitReady(ctx context.Context, s *settings, cmd *exec.Cmd, r *os.File, logStart int64) error {
	limit := p.wait("WAIT_FOR_START", defaultWaitForStart)
	ctx, cancel := interruptible(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = r.SetReadDeadline(time.Unix(1, 0)) })()
	_ = r.SetReadDeadline(time.Now().Add(limit))
	said, err := io.ReadAll(io.LimitReader(r, 1<<20))
	what, detail, _ := strings.Cut(strings.TrimSpace(string(said)), "\n")
	switch {
	case what == sayReady:
		_, err := fmt.Fprintf(p.out, "%s %s is started successfully!\n", product, version)
		return err
	case what == sayRunning:
		return p.alreadyRunning(s)
	case errors.Is(err, os.ErrDeadlineExceeded):
		fmt.Fprintf(p.err, "%s %s failed to start within %s; process %d goes on trying.\n", product, version, limit, cmd.Process.Pid)
	default:
		_ = cmd.Wait()
		fmt.Fprintf(p.err, "%s %s failed to start node %s.\n", product, version, s.Node.Name)
		if detail = strings.TrimSpace(what + "\n" + detail); detail != "" {
			fmt.Fprintln(p.err, detail)
		}
	}
	p.showTail(filepath.Join(s.Log.Dir, outName), 0)
	p.showTail(s.Log.File.Path, logStart)
	return errSilent
}

func (p *program) alreadyRunning(s *settings) error {
	name := s.Node.Name
	if _, other, ok, err := s.node.holder(); err == nil && ok && other != "" && other != name {
		return p.fail("Node %s is already running with the data directory %s!", other, s.node.dir)
	}
	return p.fail("Node %s is already running!", name)
}

// outFile opens the daemon's standard output afresh.
func (p *program) outFile(s *settings) (*os.File, error) {
	if err := os.MkdirAll(s.Log.Dir, 0o750); err != nil {
		return nil, fmt.Errorf("make log directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(s.Log.Dir, outName), os.O_WRONLY|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o640)
	if err != nil {
		return nil, fmt.Errorf("open output file: %w", err)
	}
	return f, nil
}

func size(file string) int64 {
	info, err := os.Stat(file)
	if err != nil {
		return 0
	}
	return info.Size()
}

// showTail prints the last lines of a file from an offset on.
func (p *program) showTail(file string, from int64) {
	f, err := os.Open(file)
	if err != nil {
		return
	}
	defer f.Close()
	if size(file) < from { // set aside meanwhile
		from = 0
	}
	if _, err := f.Seek(from, io.SeekStart); err != nil {
		return
	}
	var lines []string
	for scan := bufio.NewScanner(f); scan.Scan(); {
		if lines = append(lines, scan.Text()); len(lines) > logTail {
			lines = lines[1:]
		}
	}
	if len(lines) == 0 {
		return
	}
	fmt.Fprintf(p.err, "Last lines of %s:\n", file)
	for _, line := range lines {
		fmt.Fprintln(p.err, "  "+line)
	}
}

// stop stops the node and waits until its process is gone.
func (p *program) stop(ctx context.Context) error {
	s, err := p.load(false)
	if err != nil {
		return err
	}
	running, err := p.halt(ctx, s)
	if err != nil {
		return err
	}
	if !running {
		return p.notResponding(s)
	}
	_, err = fmt.Fprintln(p.out, "ok")
	return err
}

// waitNotice is how often a stop that takes long says so.
const waitNotice = 10 * time.Second

// halt ends the node, if there is one.
func (p *program) halt(ctx context.Context, s *settings) (wasRunning bool, err error) {
	pid, _, ok, err := s.node.holder()
	if err != nil || !ok {
		return false, err
	}
	node, err := openProcess(pid)
	if errors.Is(err, unix.ESRCH) {
		return true, nil // gone in between
	}
	if err != nil {
		return true, err
	}
	defer node.close()
	if again, _, ok, err := s.node.holder(); err != nil || !ok || again != pid {
		return true, err // gone in between, and the pid may be another's by now
	}
	if err := node.signal(unix.SIGTERM); err != nil {
		return true, p.fail("Graceful shutdown failed PID=[%d]: %s", pid, err)
	}
	limit := p.wait("WAIT_FOR_STOP", defaultWaitForStop)
	for deadline := time.Now().Add(limit); ; {
		if node.wait(ctx, min(waitNotice, time.Until(deadline))) {
			return true, nil
		}
		if ctx.Err() != nil || !time.Now().Before(deadline) {
			fmt.Fprintf(p.err, "Stop failed, dangling after %d seconds\n", int(limit.Seconds()))
			return true, p.fail("ERROR: %d is still around", pid)
		}
		fmt.Fprintf(p.out, "%s is shutting down, please wait...\n", product)
	}
}

// restart stops the node, if it runs, and starts it.
func (p *program) restart(ctx context.Context) error {
	s, err := p.load(true)
	if err != nil {
		return err
	}
	if err := errors.Join(check(s)...); err != nil {
		return err // rather than stop what could not be started again
	}
	running, err := p.halt(ctx, s)
	if err != nil {
		return err
	}
	if running {
		fmt.Fprintf(p.out, "%s %s is stopped: ok\n", product, version)
	}
	return p.launch(ctx, s)
}

// daemon is the node's own process, run by start.
func (p *program) daemon(ctx context.Context) error {
	ready := os.NewFile(readyFile, "ready")
	say := func(text string) {
		fmt.Fprintln(ready, text)
		_ = ready.Close()
	}
	unix.CloseOnExec(readyFile)
	s, err := p.load(true)
	if err != nil {
		say(err.Error())
		return err
	}
	err = p.serve(ctx, s, serveOptions{background: true, ready: func() { say(sayReady) }})
	if errors.Is(err, errRunning) {
		say(sayRunning)
		return errSilent
	}
	if err != nil {
		say(err.Error()) // without effect where it was ready before
	}
	return err
}
