package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	lockName   = "node.lock"
	socketName = "ctl.sock"
)

// errRunning is returned by acquire when another process holds the lock.
var errRunning = errors.New("already running")

// instance is the node of one data directory.
type instance struct{ dir string }

func (i instance) socket() string { return filepath.Join(i.dir, socketName) }

// acquire makes this process the directory's node until it ends or calls
// release. The lock is lost when any file open on node.lock is closed, so
// nothing else in this process may open it.
func (i instance) acquire(name string) (release func(), err error) {
	if err := os.MkdirAll(i.dir, 0o750); err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(i.dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	lock := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(f.Fd(), unix.F_SETLK, &lock); err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
			return nil, errRunning
		}
		return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	if err := errors.Join(f.Truncate(0), write(f, name+"\n")); err != nil {
		return nil, errors.Join(fmt.Errorf("write lock: %w", err), f.Close())
	}
	return func() { _ = f.Close() }, nil
}

func write(f *os.File, text string) error {
	_, err := f.WriteAt([]byte(text), 0)
	return err
}

// holder tells which process is the directory's node, and under which name; ok
// is false when none is.
func (i instance) holder() (pid int, name string, ok bool, err error) {
	f, err := os.OpenFile(filepath.Join(i.dir, lockName), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, "", false, nil
	}
	if err != nil {
		return 0, "", false, fmt.Errorf("open lock: %w", err)
	}
	defer f.Close()
	lock := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(f.Fd(), unix.F_GETLK, &lock); err != nil {
		return 0, "", false, fmt.Errorf("ask for lock: %w", err)
	}
	if lock.Type == unix.F_UNLCK {
		return 0, "", false, nil
	}
	text := make([]byte, 512)
	n, _ := f.ReadAt(text, 0)
	return int(lock.Pid), strings.TrimSpace(string(text[:n])), true, nil
}

// process is another process that can be signalled and waited for without ever
// mistaking a new one with the same pid for it.
type process struct{ fd int }

func openProcess(pid int) (process, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return process{}, fmt.Errorf("open process %d: %w", pid, err)
	}
	return process{fd}, nil
}

func (p process) close() { _ = unix.Close(p.fd) }

func (p process) signal(s unix.Signal) error { return unix.PidfdSendSignal(p.fd, s, nil, 0) }

// wait returns when the process has ended, or false after the timeout or when
// ctx ends.
func (p process) wait(ctx context.Context, timeout time.Duration) bool {
	deadline := time.Now().Add(timeout)
	for ctx.Err() == nil {
		left := time.Until(deadline)
		if left <= 0 {
			return false
		}
		// In slices, so that the end of ctx is seen.
		slice := int(min(left, 200*time.Millisecond)/time.Millisecond) + 1
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(p.fd), Events: unix.POLLIN}}, slice) //nolint:gosec // a descriptor
		if n > 0 {
			return true
		}
		if err != nil && !errors.Is(err, unix.EINTR) {
			return false
		}
	}
	return false
}
