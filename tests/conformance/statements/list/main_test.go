package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ermine/tests/conformance/statements"
)

func TestRun(t *testing.T) {
	var short, long bytes.Buffer
	if _, err := run(&short, "../../../..", false, false); err != nil {
		t.Fatal(err)
	}
	if _, err := run(&long, "../../../..", true, false); err != nil {
		t.Fatal(err)
	}
	for _, v := range statements.Versions {
		if want := "MQTT " + string(v) + ": "; !strings.Contains(short.String(), want) {
			t.Errorf("no summary of %s:\n%s", v, short.String())
		}
	}
	if want := "PINGREQ gets PINGRESP"; !strings.Contains(long.String(), want) {
		t.Errorf("-all lacks %q", want)
	}
	// A folder without tests leaves every statement without one; the exceptions
	// still hold.
	if ok, err := run(&short, t.TempDir(), false, false); err != nil || ok {
		t.Errorf("an empty tree: ok %t, %v; statements once tested must be missed", ok, err)
	}
}

func TestPruneFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "untested.tsv")
	const before = "# why\n5.0\tMQTT-1.0.0-1\tpending\n5.0\tMQTT-1.0.0-11\tpending\n3.1.1\tMQTT-1.0.0-1\tpending\n"
	if err := os.WriteFile(name, []byte(before), 0o644); err != nil {
		t.Fatal(err)
	}
	stale := []statements.Exception{{Key: statements.Key{Version: statements.V5, ID: "MQTT-1.0.0-1"}, Reason: "pending"}}
	if err := pruneFile(name, stale); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if want := "# why\n5.0\tMQTT-1.0.0-11\tpending\n3.1.1\tMQTT-1.0.0-1\tpending\n"; string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
