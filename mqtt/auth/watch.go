package auth

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// stamp changes when a file does, as far as its identity, size and modification
// time tell. A file replaced behind a symbolic link counts.
type stamp struct {
	inode   uint64
	size    int64
	changed time.Time
	err     string
}

func stampOf(file string) stamp {
	info, err := os.Stat(file)
	if err != nil {
		return stamp{err: err.Error()}
	}
	s := stamp{size: info.Size(), changed: info.ModTime()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		s.inode = st.Ino
	}
	return s
}

// poll calls look every interval until ctx ends.
func poll(ctx context.Context, interval time.Duration, look func()) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			look()
		}
	}
}

// maxFileSize bounds the files that are read.
const maxFileSize = 64 << 20

// readFile reads a file with its stamp; the stamp is never newer than the text.
func readFile(file string) (string, stamp, error) {
	before := stampOf(file)
	if before.size > maxFileSize {
		return "", before, fmt.Errorf("read %s: larger than %d bytes", file, maxFileSize)
	}
	text, err := os.ReadFile(file)
	return string(text), before, err
}

// writeFileAtomic replaces a file as a whole: after a crash there is the old one or
// the new one. It keeps the mode of a file that exists.
func writeFileAtomic(file string, data []byte) error {
	mode := os.FileMode(0o600)
	if info, err := os.Stat(file); err == nil {
		mode = info.Mode().Perm()
	}
	target, err := filepath.EvalSymlinks(file)
	if err != nil {
		target = file
	}
	f, err := os.CreateTemp(filepath.Dir(target), filepath.Base(target)+".tmp*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone after the rename
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), target)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	return nil
}
