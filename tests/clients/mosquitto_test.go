package clients

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"

	"ermine/mqtt/listener"
)

// tool is a program that must be there.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%v: run make test-deps", err)
	}
	return path
}

// run is a program under way.
type run struct {
	t      *testing.T
	cmd    *exec.Cmd
	cancel context.CancelFunc
	out    bytes.Buffer
	errs   bytes.Buffer
}

func launch(t *testing.T, input, name string, args ...string) *run {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	r := &run{t: t, cmd: exec.CommandContext(ctx, tool(t, name), args...), cancel: cancel}
	r.cmd.Stdin, r.cmd.Stdout, r.cmd.Stderr = strings.NewReader(input), &r.out, &r.errs
	if err := r.cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(cancel)
	return r
}

// wait waits for its success and returns what it has printed.
func (r *run) wait() string {
	r.t.Helper()
	err := r.cmd.Wait()
	r.cancel()
	if err != nil {
		r.t.Fatalf("%v: %v\n%s%s", r.cmd.Args, err, r.out.String(), r.errs.String())
	}
	return r.out.String()
}

// kill ends it without a good-bye to the broker.
func (r *run) kill() {
	r.cancel()
	_ = r.cmd.Wait() // killed
}

// lines numbers n lines.
func lines(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%04d\n", i)
	}
	return b.String()
}

// TestMosquitto runs mosquitto_sub and mosquitto_pub in every version, in the
// clear and over TLS.
func TestMosquitto(t *testing.T) {
	t.Parallel()
	b := start(t)
	for _, kind := range []listener.Type{listener.TCP, listener.SSL} {
		for _, version := range []string{"mqttv31", "mqttv311", "mqttv5"} {
			host, port, err := net.SplitHostPort(b.Address(t, string(kind)+":default"))
			if err != nil {
				t.Fatal(err)
			}
			base := []string{"-h", host, "-p", port, "-V", version}
			if kind == listener.SSL {
				base = append(base, "--cafile", b.ca)
			}
			client := func(t *testing.T, input, name string, args ...string) *run {
				t.Helper()
				return launch(t, input, name, append(base[:len(base):len(base)], args...)...)
			}
			on := fmt.Sprintf("%s over %s", version, kind)
			for qos := range 3 {
				t.Run(fmt.Sprintf("%s: QoS %d in order", on, qos), func(t *testing.T) {
					t.Parallel()
					topic, q := unique("t/"), fmt.Sprint(qos)
					const n = 100
					sub := client(t, "", "mosquitto_sub", "-t", topic, "-q", q, "-C", fmt.Sprint(n))
					b.subscribed(t, topic)
					client(t, lines(n), "mosquitto_pub", "-t", topic, "-q", q, "-l").wait()
					if got := sub.wait(); got != lines(n) {
						t.Errorf("got %q", got)
					}
				})
			}
			t.Run(on+": a session is resumed", func(t *testing.T) {
				t.Parallel()
				topic, id := unique("t/"), unique("mosq")
				args := []string{"-t", topic, "-q", "2", "-i", id, "-c"}
				if version == "mqttv5" {
					args = append(args, "-x", "3600")
				}
				client(t, "", "mosquitto_sub", append(args, "-E")...).wait() // exits once subscribed
				b.offline(t, id)
				const n = 50
				client(t, lines(n), "mosquitto_pub", "-t", topic, "-q", "2", "-l").wait()
				if got := client(t, "", "mosquitto_sub", append(args, "-C", fmt.Sprint(n))...).wait(); got != lines(n) {
					t.Errorf("got %q", got)
				}
			})
			t.Run(on+": retained", func(t *testing.T) {
				t.Parallel()
				topic := unique("t/")
				client(t, "", "mosquitto_pub", "-t", topic, "-q", "1", "-r", "-m", "kept").wait()
				got := client(t, "", "mosquitto_sub", "-t", topic+"/#", "-q", "1", "-C", "1", "-F", "%t %p %q %r").wait()
				if want := topic + " kept 1 1\n"; got != want {
					t.Errorf("got %q, want %q", got, want)
				}
			})
			t.Run(on+": will", func(t *testing.T) {
				t.Parallel()
				topic := unique("t/")
				watch := client(t, "", "mosquitto_sub", "-t", topic+"/will", "-q", "1", "-C", "1")
				b.subscribed(t, topic+"/will")
				dies := client(t, "", "mosquitto_sub", "-t", topic, "--will-topic", topic+"/will", "--will-payload", "dead", "--will-qos", "1")
				b.subscribed(t, topic)
				dies.kill()
				if got := watch.wait(); got != "dead\n" {
					t.Errorf("got %q", got)
				}
			})
			t.Run(on+": a large message", func(t *testing.T) {
				t.Parallel()
				topic, large := unique("t/"), strings.Repeat("0123456789abcdef", 50_000)
				sub := client(t, "", "mosquitto_sub", "-t", topic, "-q", "1", "-C", "1")
				b.subscribed(t, topic)
				client(t, large, "mosquitto_pub", "-t", topic, "-q", "1", "-s").wait()
				if got := sub.wait(); got != large+"\n" {
					t.Errorf("got %d bytes", len(got))
				}
			})
			if version != "mqttv5" {
				continue
			}
			t.Run(on+": properties", func(t *testing.T) {
				t.Parallel()
				topic := unique("t/")
				sub := client(t, "", "mosquitto_sub", "-t", topic, "-C", "1", "-F", "%C|%D|%R|%P|%S|%F|%p",
					"-D", "subscribe", "subscription-identifier", "42")
				b.subscribed(t, topic)
				client(t, "", "mosquitto_pub", "-t", topic, "-m", "x",
					"-D", "publish", "content-type", "text", "-D", "publish", "correlation-data", "abc",
					"-D", "publish", "response-topic", "answer", "-D", "publish", "payload-format-indicator", "1",
					"-D", "publish", "user-property", "k", "1", "-D", "publish", "user-property", "k", "2").wait()
				if got, want := sub.wait(), "text|abc|answer|k:1 k:2|42|1|x\n"; got != want {
					t.Errorf("got %q, want %q", got, want)
				}
			})
			t.Run(on+": a share group", func(t *testing.T) {
				t.Parallel()
				topic := unique("t/")
				var subs []*run
				for range 2 {
					subs = append(subs, client(t, "", "mosquitto_sub", "-t", "$share/g/"+topic, "-q", "1", "-C", "10"))
				}
				until(t, "both are members", func() bool { return b.members("$share/g/"+topic) == 2 })
				client(t, lines(20), "mosquitto_pub", "-t", topic, "-q", "1", "-l").wait()
				seen := map[string]bool{}
				for _, s := range subs {
					for line := range strings.Lines(s.wait()) {
						seen[line] = true
					}
				}
				if len(seen) != 20 {
					t.Errorf("%d of 20 messages came", len(seen))
				}
			})
		}
	}
}
