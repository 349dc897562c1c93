package broker

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestStatFields(t *testing.T) {
	got := statFields([]byte("42 (a) b (c) S 7 42 42 0 -1 4194560 1 2 3 4 15 16 17 18 20 0\n"))
	want := []string{"S", "7", "42"}
	if len(got) < 15 || !slices.Equal(got[:3], want) || got[11] != "15" || got[14] != "18" {
		t.Errorf("got %q", got)
	}
}

func TestDescends(t *testing.T) {
	parents := map[int]int{1: 0, 10: 1, 20: 10, 30: 20, 40: 1, 50: 60, 60: 50}
	for _, tc := range []struct {
		pid, forebear int
		want          bool
	}{
		{20, 10, true},
		{30, 10, true},
		{10, 20, false},
		{40, 10, false},
		{10, 10, false},
		{50, 10, false}, // a loop, as identifiers that are used again can make
		{99, 10, false},
	} {
		if got := descends(tc.pid, tc.forebear, parents); got != tc.want {
			t.Errorf("descends(%d, %d) = %t", tc.pid, tc.forebear, got)
		}
	}
}

func TestUsageOfThisProcess(t *testing.T) {
	u, err := usage(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if u.RSS < 1<<20 || u.PeakRSS < u.RSS/2 {
		t.Errorf("%+v: too little to be true", u)
	}
	if _, err := usage(1 << 30); err == nil {
		t.Error("no error for a process that does not exist")
	}
}

// TestMosquitto starts the installed mosquitto, reads what it uses, and stops
// it.
func TestMosquitto(t *testing.T) {
	in, err := Start(t.Context(), Mosquitto, Options{})
	if err != nil {
		t.Fatal(err)
	}
	pid := in.nodes[0].cmd.Process.Pid
	if u, err := in.Usage(); err != nil || u.RSS == 0 {
		t.Errorf("usage %+v, %v", u, err)
	}
	if len(in.Addrs()) != 1 {
		t.Errorf("addresses %q", in.Addrs())
	}
	in.Stop()
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d after Stop: %v", pid, err)
	}
	if _, err := os.Stat(in.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s after Stop: %v", in.Dir, err)
	}
}

// TestStartFails: a program that ends at once is an error with its last words.
func TestStartFails(t *testing.T) {
	program := t.TempDir() + "/node"
	if err := os.WriteFile(program, []byte("#!/bin/sh\necho no such key >&2\nexit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := Start(t.Context(), Ermine, Options{ErmineBinary: program})
	if !errors.Is(err, errExited) || !strings.Contains(err.Error(), "no such key") {
		t.Errorf("got %v", err)
	}
}

func TestFreePorts(t *testing.T) {
	seen := map[int]bool{}
	for range 50 {
		port, err := freePort()
		if err != nil {
			t.Fatal(err)
		}
		if seen[port] {
			t.Fatalf("port %d twice", port)
		}
		seen[port] = true
	}
	numbers, err := nodeNumbers(3)
	if err != nil || len(numbers) != 3 || numbers[0] == numbers[1] {
		t.Errorf("node numbers %v, %v", numbers, err)
	}
}

// TestProfile takes a profile from a node that serves some, and says so where
// there is none.
func TestProfile(t *testing.T) {
	const content = "a profile"
	var asked string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.URL.String()
		io.WriteString(w, content)
	}))
	defer server.Close()
	in := &Instance{nodes: []*node{{profile: strings.TrimPrefix(server.URL, "http://")}}}
	file := filepath.Join(t.TempDir(), "profiles", "x.pprof")
	if err := in.Profile(t.Context(), 2*time.Second, file); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != content {
		t.Errorf("the file holds %q, %v", got, err)
	}
	if !strings.HasSuffix(asked, "/profile?seconds=2") {
		t.Errorf("asked for %s", asked)
	}
	in.nodes[0].profile = ""
	if err := in.Profile(t.Context(), time.Second, file); !errors.Is(err, ErrNoProfile) {
		t.Errorf("without a profile: %v", err)
	}
}
