package epmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"
)

const wait = 10 * time.Second

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func freePort(t *testing.T) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return uint16(l.Addr().(*net.TCPAddr).Port)
}

// startReal runs the system's epmd in the foreground on a port of its own.
func startReal(t *testing.T, port uint16) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath("epmd")
	if err != nil {
		t.Fatalf("epmd is not installed, run `make test-deps`: %v", err)
	}
	cmd := exec.Command(path, "-port", strconv.Itoa(int(port)), "-address", "127.0.0.1")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stopReal(cmd) })
	poll(t, "epmd answers", func() bool {
		_, err := (&Client{Port: port}).Names(t.Context(), "127.0.0.1")
		return err == nil
	})
	return cmd
}

func stopReal(cmd *exec.Cmd) {
	if cmd.ProcessState == nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
}

func poll(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(wait)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			t.Fatalf("timed out: %s", what)
		case <-tick.C:
		}
	}
}

// daemons are the implementations that the client is held against.
func daemons(t *testing.T) map[string]uint16 {
	t.Helper()
	server, err := Listen(t.Context(), quiet(), 0, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	port := freePort(t)
	startReal(t, port)
	return map[string]uint16{"embedded": server.Port(), "real": port}
}

func TestClientAgainstDaemons(t *testing.T) {
	for name, port := range daemons(t) {
		t.Run(name, func(t *testing.T) {
			c := &Client{Port: port, Timeout: wait}
			want := Node{Name: "alice1", Port: 4371, Hidden: true, Highest: 6, Lowest: 5}
			reg, err := c.Register(t.Context(), "127.0.0.1", want)
			if err != nil {
				t.Fatal(err)
			}
			if reg.Creation == 0 {
				t.Error("creation is 0")
			}
			got, err := c.Lookup(t.Context(), "127.0.0.1", "alice1")
			if err != nil {
				t.Fatal(err)
			}
			if got.Name != want.Name || got.Port != want.Port || !got.Hidden || got.Highest != 6 || got.Lowest != 5 {
				t.Errorf("Lookup = %+v, want %+v", got, want)
			}
			if _, err := c.Lookup(t.Context(), "127.0.0.1", "bob"); !errors.Is(err, ErrNotFound) {
				t.Errorf("Lookup of an unknown node: %v", err)
			}
			if _, err := c.Register(t.Context(), "127.0.0.1", want); !errors.Is(err, ErrNameTaken) {
				t.Errorf("second Register: %v, want ErrNameTaken", err)
			}
			names, err := c.Names(t.Context(), "127.0.0.1")
			if err != nil || !slices.ContainsFunc(names, func(n Node) bool { return n.Name == "alice1" && n.Port == 4371 }) {
				t.Errorf("Names = %v, %v", names, err)
			}
			if err := reg.Close(); err != nil {
				t.Error(err)
			}
			poll(t, "name given back", func() bool {
				_, err := c.Lookup(t.Context(), "127.0.0.1", "alice1")
				return errors.Is(err, ErrNotFound)
			})
		})
	}
}

// TestRealToolAsksServer asks the embedded server with the system's tool.
func TestRealToolAsksServer(t *testing.T) {
	server, err := Listen(t.Context(), quiet(), 0, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	reg, err := (&Client{Port: server.Port()}).Register(t.Context(), "127.0.0.1", Node{Name: "tool7", Port: 99, Highest: 6, Lowest: 6})
	if err != nil {
		t.Fatal(err)
	}
	defer reg.Close()
	out, err := exec.Command("epmd", "-port", strconv.Itoa(int(server.Port())), "-names").CombinedOutput()
	if err != nil {
		t.Fatalf("epmd -names (install with `make test-deps`): %v: %s", err, out)
	}
	want := fmt.Sprintf("epmd: up and running on port %d with data:\nname tool7 at port 99\n", server.Port())
	if string(out) != want {
		t.Errorf("epmd -names printed %q, want %q", out, want)
	}
}

func keep(t *testing.T, cfg KeeperConfig) *Keeper {
	t.Helper()
	cfg.Logger = quiet()
	cfg.MinRetry = 5 * time.Millisecond
	k, err := Keep(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	return k
}

func registered(t *testing.T, port uint16, name string) func() bool {
	return func() bool {
		_, err := (&Client{Port: port}).Lookup(t.Context(), "127.0.0.1", name)
		return err == nil
	}
}

func TestKeeperRenewsWhenDaemonRestarts(t *testing.T) {
	port := freePort(t)
	daemon := startReal(t, port)
	k := keep(t, KeeperConfig{Node: Node{Name: "n1", Port: 1}, Host: "127.0.0.1", Port: port, Provision: ProvisionNone})
	if !registered(t, port, "n1")() {
		t.Fatal("not registered after Keep")
	}
	stopReal(daemon)
	if registered(t, port, "n1")() {
		t.Fatal("still registered without a daemon")
	}
	startReal(t, port)
	poll(t, "registered again", registered(t, port, "n1"))
	if k.Embedded() {
		t.Error("keeper serves although a daemon runs")
	}
}

func TestKeeperServesItself(t *testing.T) {
	port := freePort(t)
	first := keep(t, KeeperConfig{Node: Node{Name: "n1", Port: 1}, Host: "127.0.0.1", Port: port, Provision: ProvisionEmbedded})
	second := keep(t, KeeperConfig{Node: Node{Name: "n2", Port: 2}, Host: "127.0.0.1", Port: port, Provision: ProvisionEmbedded})
	if !first.Embedded() || second.Embedded() {
		t.Fatalf("embedded: first %t, second %t; want only the first", first.Embedded(), second.Embedded())
	}
	poll(t, "both registered", func() bool { return registered(t, port, "n1")() && registered(t, port, "n2")() })
	// The node that served goes away: the other takes over.
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	poll(t, "second serves", second.Embedded)
	poll(t, "second registered", registered(t, port, "n2"))
}

func TestKeeperStartsDaemon(t *testing.T) {
	port := freePort(t)
	k := keep(t, KeeperConfig{Node: Node{Name: "n1", Port: 1}, Host: "127.0.0.1", Port: port})
	t.Cleanup(func() {
		_ = k.Close()
		out, err := exec.Command("epmd", "-port", strconv.Itoa(int(port)), "-kill").CombinedOutput()
		if err != nil {
			t.Errorf("stop the daemon that was started: %v: %s", err, out)
		}
	})
	if k.Embedded() {
		t.Fatal("serves itself although epmd is installed")
	}
	if !registered(t, port, "n1")() {
		t.Fatal("not registered")
	}
}

func TestKeeperWithoutAnyDaemon(t *testing.T) {
	port := freePort(t)
	_, err := Keep(t.Context(), KeeperConfig{Node: Node{Name: "n1", Port: 1}, Host: "127.0.0.1", Port: port, Provision: ProvisionNone, Logger: quiet()})
	if err == nil {
		t.Fatal("Keep succeeded without a daemon")
	}
	// No epmd in the path: it serves itself.
	t.Setenv("PATH", filepath.Join(t.TempDir(), "empty"))
	k := keep(t, KeeperConfig{Node: Node{Name: "n1", Port: 1}, Host: "127.0.0.1", Port: port})
	if !k.Embedded() {
		t.Error("does not serve although no epmd is installed")
	}
}

func TestKeeperNameTaken(t *testing.T) {
	port := freePort(t)
	keep(t, KeeperConfig{Node: Node{Name: "n1", Port: 1}, Host: "127.0.0.1", Port: port, Provision: ProvisionEmbedded})
	_, err := Keep(t.Context(), KeeperConfig{Node: Node{Name: "n1", Port: 2}, Host: "127.0.0.1", Port: port, Provision: ProvisionEmbedded, Logger: quiet()})
	if !errors.Is(err, ErrNameTaken) {
		t.Fatalf("Keep of a taken name: %v", err)
	}
}

func TestServerRefusesGarbage(t *testing.T) {
	server, err := Listen(t.Context(), quiet(), 0, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	for name, data := range map[string][]byte{
		"zeros":         make([]byte, 64),
		"huge length":   {0xff, 0xff, tagAlive2Req},
		"kill":          {0, 1, tagKillReq},
		"short alive":   {0, 2, tagAlive2Req, 1},
		"name too long": append([]byte{0, 14, tagAlive2Req, 0, 1, 77, 0, 0, 6, 0, 5, 0xff, 0xff}, "abc"...),
		"name with @":   append(append([]byte{0, 16, tagAlive2Req, 0, 1, 77, 0, 0, 6, 0, 5, 0, 3}, "a@b"...), 0, 0),
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(server.Port()))))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(wait))
			if _, err := conn.Write(data); err != nil {
				t.Fatal(err)
			}
			rest, err := io.ReadAll(conn)
			if len(rest) > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("answered %d bytes, %v; want the connection closed", len(rest), err)
			}
		})
	}
	if names, err := (&Client{Port: server.Port()}).Names(t.Context(), "127.0.0.1"); err != nil || len(names) != 0 {
		t.Errorf("Names after garbage = %v, %v", names, err)
	}
}

func TestClientTimeLimit(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := &Client{Port: uint16(l.Addr().(*net.TCPAddr).Port), Timeout: 50 * time.Millisecond}
	if _, err := c.Lookup(t.Context(), "127.0.0.1", "x"); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("silent daemon: %v, want a deadline error", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("changed my mind")
	cancel(cause)
	c.Timeout = wait
	if _, err := c.Lookup(ctx, "127.0.0.1", "x"); err == nil {
		t.Error("cancelled look-up succeeded")
	}
}

func FuzzDecodeNode(f *testing.F) {
	f.Add(appendNodeFields(nil, Node{Name: "alice", Port: 4370, Highest: 6, Lowest: 5, Extra: []byte("x")}))
	f.Add([]byte{0, 1, 77, 0, 0, 6, 0, 5, 0, 200, 'a'})
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := decodeNodeFields(b)
		if err != nil {
			return
		}
		again, err := decodeNodeFields(appendNodeFields(nil, n))
		if err != nil || again.Name != n.Name || again.Port != n.Port || string(again.Extra) != string(n.Extra) {
			t.Fatalf("%+v encodes to what decodes as %+v, %v", n, again, err)
		}
		_, _ = decodePort2(b)
	})
}

func FuzzParseNames(f *testing.F) {
	f.Add("name a at port 4370\nname b c at port 1\n")
	f.Add("name  at port \nname x at port 99999\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, n := range parseNames(text) {
			if n.Name == "" {
				t.Fatalf("empty name in %q", text)
			}
		}
	})
}
