package broker

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of CPU time in /proc, the same on every Linux.
const clockTick = 10 * time.Millisecond

// Usage is what a process and its descendants have used, and hold.
type Usage struct {
	// CPU is user and system time since their start, with that of descendants
	// that have ended and were waited for.
	CPU time.Duration
	// RSS is resident memory in bytes; PeakRSS the most there was of it.
	RSS, PeakRSS int64
	// Written is bytes handed to the disk.
	Written int64
}

func (u Usage) plus(v Usage) Usage {
	return Usage{u.CPU + v.CPU, u.RSS + v.RSS, u.PeakRSS + v.PeakRSS, u.Written + v.Written}
}

// usage reads a process and its descendants.
func usage(pid int) (Usage, error) {
	parents, err := parentsOf()
	if err != nil {
		return Usage{}, err
	}
	sum, err := usageOfOne(pid)
	if err != nil {
		return Usage{}, err
	}
	for other := range parents {
		if other == pid || !descends(other, pid, parents) {
			continue
		}
		u, err := usageOfOne(other)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it ended meanwhile
		}
		if err != nil {
			return Usage{}, err
		}
		sum = sum.plus(u)
	}
	return sum, nil
}

// parentsOf maps every process to its parent.
func parentsOf() (map[int]int, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	parents := make(map[int]int, len(stats))
	for _, file := range stats {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it ended meanwhile
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if fields := statFields(text); len(fields) > 1 {
			parents[pid], _ = strconv.Atoi(fields[1])
		}
	}
	return parents, nil
}

// descends tells whether a process has the other among its forebears.
func descends(pid, forebear int, parents map[int]int) bool {
	for range len(parents) {
		parent, ok := parents[pid]
		if !ok || parent == 0 {
			return false
		}
		if parent == forebear {
			return true
		}
		pid = parent
	}
	return false
}

// statFields are the fields of /proc/PID/stat after the name, which may itself
// hold blanks and brackets: the state comes first, then the parent.
func statFields(stat []byte) []string {
	text := string(stat)
	return strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
}

// usageOfOne reads one process.
func usageOfOne(pid int) (Usage, error) {
	dir := fmt.Sprintf("/proc/%d/", pid)
	stat, err := os.ReadFile(dir + "stat")
	if err != nil {
		return Usage{}, err
	}
	fields := statFields(stat)
	// utime, stime, cutime and cstime are the 14th to 17th of all fields.
	const first = 14 - 3
	if len(fields) < first+4 {
		return Usage{}, fmt.Errorf("%sstat: %d fields", dir, len(fields))
	}
	var u Usage
	for _, field := range fields[first : first+4] {
		ticks, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return Usage{}, fmt.Errorf("%sstat: %w", dir, err)
		}
		u.CPU += time.Duration(ticks) * clockTick
	}
	status, err := os.ReadFile(dir + "status")
	if err != nil {
		return Usage{}, err
	}
	u.RSS = 1024 * keyed(status, "VmRSS:")
	u.PeakRSS = 1024 * keyed(status, "VmHWM:")
	if io, err := os.ReadFile(dir + "io"); err == nil {
		u.Written = keyed(io, "write_bytes:")
	}
	return u, nil
}

// keyed is the number after a key at the start of a line, 0 without one.
func keyed(text []byte, key string) int64 {
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, key); ok {
			if fields := strings.Fields(rest); len(fields) > 0 {
				n, _ := strconv.ParseInt(fields[0], 10, 64)
				return n
			}
		}
	}
	return 0
}
