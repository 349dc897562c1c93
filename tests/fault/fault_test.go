package fault

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// program is a real client that reconnects by itself.
type program struct {
	mqtt.Client
	mu    sync.Mutex
	lost  int
	got   map[string]int
	first []string // payloads in the order of their first arrival
}

func connect(t *testing.T, n *node, id string) *program {
	t.Helper()
	p := &program{got: map[string]int{}}
	o := mqtt.NewClientOptions().AddBroker("tcp://" + n.addr).SetClientID(id).SetCleanSession(false).
		SetAutoReconnect(true).SetMaxReconnectInterval(100 * time.Millisecond).SetConnectRetry(true).
		SetConnectRetryInterval(50 * time.Millisecond).SetKeepAlive(20 * time.Second).
		SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) {
			p.mu.Lock()
			defer p.mu.Unlock()
			payload := string(m.Payload())
			if p.got[payload]++; p.got[payload] == 1 {
				p.first = append(p.first, payload)
			}
		}).SetConnectionLostHandler(func(mqtt.Client, error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.lost++
	})
	p.Client = mqtt.NewClient(o)
	finish(t, p.Connect())
	t.Cleanup(func() { p.Disconnect(0) })
	return p
}

func finish(t *testing.T, token mqtt.Token) {
	t.Helper()
	if !token.WaitTimeout(30 * time.Second) {
		t.Fatal("not finished within 30 s")
	}
	if err := token.Error(); err != nil {
		t.Fatal(err)
	}
}

func (p *program) connectionsLost() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lost
}

func (p *program) received() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.got)
}

// TestFaultsUnderTraffic arms one point after the other while two publishers
// and two subscribers are at work: nothing acknowledged is lost or reordered,
// and only whom the design names is disconnected.
func TestFaultsUnderTraffic(t *testing.T) {
	for i, c := range []struct {
		point          string
		mayCutSessions bool
	}{
		{"session.deliver", true},
		{"session.ack", true},
		{"session.control", true},
		{"shard.receive", false},
		{"sharegroup.receive", false},
		{"directory.receive", false},
		{"retain.receive", false},
		{"delayed.receive", false},
		{"listener.accept", false},
	} {
		t.Run(c.point, func(t *testing.T) {
			t.Parallel()
			n := start(t, 100+i)
			var subs []*program
			for s := range 2 {
				sub := connect(t, n, fmt.Sprintf("sub%d", s))
				finish(t, sub.Subscribe("q/#", 1, nil))
				subs = append(subs, sub)
			}
			// Fewer faults than the attempts that a session makes at one message: all
			// may hit the same.
			const each, faults = 400, 4
			pubs := []*program{connect(t, n, "pub0"), connect(t, n, "pub1")}
			var wg sync.WaitGroup
			for k, pub := range pubs {
				wg.Go(func() {
					for m := range each {
						token := pub.Publish(fmt.Sprintf("q/%d", k), 1, m%20 == 0, fmt.Sprintf("%d %d", k, m))
						if !token.WaitTimeout(30 * time.Second) {
							t.Errorf("publisher %d: message %d not acknowledged", k, m)
							return
						}
					}
				})
			}
			for f := range faults {
				n.ctl("fault", "arm", c.point, "panic once")
				// Traffic that passes the points which a publish does not. It may be hit
				// itself, so only the end counts: one fault at a time has happened.
				n.until(fmt.Sprintf("fault %d at %s", f, c.point), func() bool {
					helper := connect(t, n, fmt.Sprintf("helper%d", f))
					for _, token := range []mqtt.Token{
						helper.Subscribe("$share/g/other/#", 1, nil),
						helper.Publish("$delayed/0/other/x", 1, true, "x"),
						helper.Unsubscribe("$share/g/other/#"),
					} {
						token.WaitTimeout(2 * time.Second)
					}
					helper.Disconnect(0)
					return fired(n.ctl("fault", "list"), c.point) == f+1
				})
			}
			wg.Wait()
			n.ctl("fault", "disarm")
			for _, sub := range subs {
				n.until("every acknowledged message", func() bool { return sub.received() == 2*each })
				next := map[string]int{}
				sub.mu.Lock()
				for _, payload := range sub.first {
					var m int
					k, rest, _ := strings.Cut(payload, " ")
					if _, err := fmt.Sscan(rest, &m); err != nil || m != next[k] {
						t.Fatalf("publisher %s: got %d, want %d", k, m, next[k])
					}
					next[k]++
				}
				sub.mu.Unlock()
			}
			lost := 0
			for _, p := range append(subs, pubs...) {
				lost += p.connectionsLost()
			}
			if !c.mayCutSessions && lost > 0 {
				t.Errorf("%d connections were lost", lost)
			}
			t.Logf("%d connections lost; %s", lost, restarts(n.ctl("tree")))
		})
	}
}

// fired is how often a point has fired, from the output of `ctl fault list`.
func fired(list, point string) (count int) {
	for line := range strings.Lines(list) {
		if f := strings.Fields(line); len(f) > 2 && f[0] == point {
			_, _ = fmt.Sscanf(f[2], "fired=%d", &count)
		}
	}
	return count
}

// restarts sums up what the live tree counts.
func restarts(tree string) string {
	total := 0
	for line := range strings.Lines(tree) {
		f := strings.Fields(line)
		var r int
		if len(f) > 3 {
			if _, err := fmt.Sscan(f[len(f)-3], &r); err == nil {
				total += r
			}
		}
	}
	return fmt.Sprintf("%d restarts in the tree", total)
}

// TestEndlessFailureStopsTheNode: failures beyond every intensity lead upward,
// from the shard to the router, the broker and the node, which stops with a
// clear last line and a status that is not zero.
func TestEndlessFailureStopsTheNode(t *testing.T) {
	t.Parallel()
	n := start(t, 120)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		o := mqtt.NewClientOptions().AddBroker("tcp://" + n.addr).SetClientID("c").SetConnectTimeout(time.Second)
		for {
			select {
			case <-stop:
				return
			default:
			}
			c := mqtt.NewClient(o)
			if c.Connect().WaitTimeout(time.Second) {
				c.Subscribe("t", 0, nil).WaitTimeout(200 * time.Millisecond)
				c.Disconnect(0)
			}
		}
	})
	n.ctl("fault", "arm", "shard.receive", "panic")
	select {
	case <-n.done:
	case <-time.After(4 * time.Minute):
		t.Error("the node still runs")
	}
	close(stop)
	wg.Wait()
	if t.Failed() {
		return
	}
	if code := n.cmd.ProcessState.ExitCode(); code <= 0 {
		t.Errorf("exit status %d", code)
	}
	if last := n.tail(1); !strings.Contains(last, "broker") || !strings.Contains(last, "intensity") {
		t.Errorf("the last line does not say why: %q", last)
	}
}
