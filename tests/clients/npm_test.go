package clients

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"ermine/mqtt/listener"
)

// TestMQTTJS runs MQTT.js, the client of most web pages, over WebSocket with
// and without TLS.
func TestMQTTJS(t *testing.T) {
	t.Parallel()
	modules, err := filepath.Abs("../../.cache/npm/tests/clients/testdata/npm/node_modules")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(modules, "mqtt")); err != nil {
		t.Fatalf("%v: run make test-deps", err)
	}
	name := "node"
	if _, err := exec.LookPath(name); err != nil {
		name = "nodejs"
	}
	program := tool(t, name)
	b := start(t)
	for _, kind := range []listener.Type{listener.WS, listener.WSS} {
		for _, version := range []int{4, 5} { // for 3.1 it asks for a subprotocol that no standard has
			t.Run(fmt.Sprintf("version %d over %s", version, kind), func(t *testing.T) {
				t.Parallel()
				cmd := exec.CommandContext(t.Context(), program, "testdata/npm/scenario.cjs", b.url(t, kind), fmt.Sprint(version))
				cmd.Env = append(os.Environ(), "NODE_PATH="+modules, "NODE_EXTRA_CA_CERTS="+b.ca)
				if out, err := cmd.CombinedOutput(); err != nil || string(out) != "ok\n" {
					t.Errorf("%v\n%s", err, out)
				}
			})
		}
	}
}
