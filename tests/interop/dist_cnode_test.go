package interop

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"ergo.services/ergo/gen"

	"ermine/node/dist"
	"ermine/node/dist/etf"
)

// TestCNode calls a Go node with erl_call, which is a C node: it has neither
// distribution headers nor fragments nor spawn requests.
func TestCNode(t *testing.T) {
	g := startGo(t, dist.Options{})
	g.spawn("rex", &script{message: func(p *script, from gen.PID, message any) error {
		call, ok := message.(etf.Tuple)
		if !ok || len(call) != 2 {
			return nil
		}
		caller, isPid := call[0].(etf.Pid)
		request, isCall := call[1].(etf.Tuple)
		if !isPid || !isCall || len(request) != 5 {
			t.Errorf("rex got %s", etf.Format(message))
			return nil
		}
		return p.Send(g.PID(caller), etf.Tuple{etf.Atom("rex"), etf.Tuple{request[1], request[2], request[3]}})
	}})
	out, err := exec.Command("erl_call", "-address", g.ListenAddr(), "-c", cookie, "-a", "m f [a,{500,b}]").CombinedOutput()
	if want := "{m, f, [a, {500, b}]}"; err != nil || strings.TrimSpace(string(out)) != want {
		t.Errorf("erl_call (install with `make test-deps`): %v, %q, want %q", err, out, want)
	}
	out, err = exec.Command("erl_call", "-address", g.ListenAddr(), "-c", "wrong", "-a", "m f [a,{500,b}]").CombinedOutput()
	if err == nil {
		t.Errorf("erl_call with a wrong cookie: %q", out)
	}
	big := strings.Repeat("a", 100_000)
	out, err = exec.Command("erl_call", "-address", g.ListenAddr(), "-c", cookie, "-a", fmt.Sprintf("m f [%q]", big)).CombinedOutput()
	// It prints a string as the numbers of its characters.
	if err != nil || strings.Count(string(out), "97") != len(big) {
		t.Errorf("erl_call with a long argument: %v, %d bytes", err, len(out))
	}
}
