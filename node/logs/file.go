package logs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// File is a log file that is set aside when it has grown: path becomes path.1,
// that path.2, and so on, and the oldest is deleted. Any goroutine may write.
type File struct {
	path  string
	size  int64
	count int

	mu      sync.Mutex
	file    *os.File
	written int64
}

// OpenFile opens a log file to append to, making its directory. It is set aside
// before it would exceed size bytes (0: never), and count older files are kept.
func OpenFile(path string, size int64, count int) (*File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, fmt.Errorf("open log file: %w", err)
	}
	f := &File{path: path, size: size, count: count}
	if err := f.open(); err != nil {
		return nil, err
	}
	return f, nil
}

func (f *File) open() error {
	file, err := os.OpenFile(f.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return fmt.Errorf("open log file: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		return errors.Join(fmt.Errorf("open log file: %w", err), file.Close())
	}
	f.file, f.written = file, info.Size()
	return nil
}

// Write appends a line. Where the file cannot be set aside it goes on growing.
func (f *File) Write(line []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.size > 0 && f.written > 0 && f.written+int64(len(line)) > f.size {
		f.rotate()
	}
	n, err := f.file.Write(line)
	f.written += int64(n)
	return n, err
}

// rotate sets the file aside; on an error the present one stays in use.
func (f *File) rotate() {
	older := func(n int) string { return fmt.Sprintf("%s.%d", f.path, n) }
	for n := f.count - 1; n >= 1; n-- {
		if err := os.Rename(older(n), older(n+1)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return
		}
	}
	if err := os.Rename(f.path, older(1)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return
	}
	old := f.file
	if err := f.open(); err == nil {
		_ = old.Close()
	}
}

// Close closes the file. Nothing may be written afterwards.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.file.Close()
}
