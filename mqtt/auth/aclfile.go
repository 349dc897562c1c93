package auth

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// ACLFile is an ACL kept in a file, and read again when it changes. All methods may
// be called from any goroutine.
type ACLFile struct {
	file  string
	log   *slog.Logger
	rules atomic.Pointer[Rules]

	mu    sync.Mutex // one reload at a time
	stamp stamp
}

// OpenACLFile reads a file of rules, see ParseACL.
func OpenACLFile(file string, log *slog.Logger) (*ACLFile, error) {
	f := &ACLFile{file: file, log: log}
	if err := f.Reload(); err != nil {
		return nil, err
	}
	return f, nil
}

// Reload reads the file now. If it has mistakes they are returned, and the rules
// stay as they were.
func (f *ACLFile) Reload() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.reloadLocked()
}

func (f *ACLFile) reloadLocked() error {
	text, stamp, err := readFile(f.file)
	f.stamp = stamp // also after a mistake: it is reported once
	if err != nil {
		return err
	}
	rules, err := ParseACL(f.file, text)
	if err != nil {
		return err
	}
	f.rules.Store(rules)
	return nil
}

// Watch reads the file again whenever it has changed, looking every interval, and
// logs what came of it. It returns when ctx ends.
func (f *ACLFile) Watch(ctx context.Context, interval time.Duration) {
	poll(ctx, interval, f.refresh)
}

// refresh reloads the file if it has changed.
func (f *ACLFile) refresh() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if stampOf(f.file) == f.stamp {
		return
	}
	if err := f.reloadLocked(); err != nil {
		f.log.Error("changed ACL file not used, the old rules stay", "file", f.file, "err", err)
		return
	}
	f.log.Info("ACL file reloaded", "file", f.file, "rules", f.rules.Load().Len())
}

// Rules are the rules in force.
func (f *ACLFile) Rules() *Rules { return f.rules.Load() }

// Authorize implements Authorizer.
func (f *ACLFile) Authorize(ctx context.Context, c *Client, a Action, topic string) Decision {
	return f.rules.Load().Authorize(ctx, c, a, topic)
}

// Outcomes implements Static.
func (f *ACLFile) Outcomes(c *Client, t ActionType) Outcomes {
	return f.rules.Load().Outcomes(c, t)
}

func (f *ACLFile) size(c *Client, t ActionType) int { return f.rules.Load().size(c, t) }

// Generation implements Static.
func (f *ACLFile) Generation() uint64 { return f.rules.Load().Generation() }

var _ Static = (*ACLFile)(nil)
