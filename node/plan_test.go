package node

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// script drives a plan: the events of a line are applied, then next is asked
// until it waits or finishes, and what it says is compared with what stands
// behind the arrow. Children are a, b, c.
//
//	boot  begun x  down x  down x ok  shut  later <duration>
func script(t *testing.T, p *plan, lines string) {
	t.Helper()
	now := time.Unix(1000, 0)
	name := func(i int) string { return p.children[i].name }
	find := func(n string) int {
		i := slices.IndexFunc(p.children, func(c planned) bool { return c.name == n })
		if i < 0 {
			t.Fatalf("no child %q", n)
		}
		return i
	}
	for line := range strings.Lines(lines) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		event, want, ok := strings.Cut(line, " -> ")
		if !ok {
			event, want = strings.TrimSuffix(line, " ->"), ""
		}
		words := strings.Fields(event)
		switch words[0] {
		case "boot":
		case "begun":
			p.started(find(words[1]))
		case "down":
			err := errors.New("broken")
			if len(words) > 2 {
				err = nil
			}
			p.exited(find(words[1]), err, now)
		case "shut":
			p.shut(nil)
		case "later":
			d, err := time.ParseDuration(words[1])
			if err != nil {
				t.Fatal(err)
			}
			now = now.Add(d)
			continue
		default:
			t.Fatalf("unknown event %q", line)
		}
		var got []string
		for more := true; more; {
			switch s := p.next(); s.do {
			case wait:
				more = false
			case finish:
				got = append(got, "finish")
				more = false
			case start:
				got = append(got, "start "+name(s.child))
			case stop:
				got = append(got, "stop "+name(s.child))
			case ready:
				got = append(got, "ready")
			}
		}
		if g := strings.Join(got, ", "); g != want {
			t.Fatalf("after %q: %q, want %q", event, g, want)
		}
	}
}

func newPlan(strategy Strategy, restarts ...Restart) *plan {
	p := &plan{name: "sup", strategy: strategy, intensity: 3, period: 10 * time.Second, from: 3}
	for i, n := range []string{"a", "b", "c"} {
		c := planned{name: n}
		if i < len(restarts) {
			c.restart = restarts[i]
		}
		p.children = append(p.children, c)
	}
	return p
}

func alone(p *plan, name string) *plan {
	for i := range p.children {
		p.children[i].alone = p.children[i].name == name
	}
	return p
}

const booted = `
	boot -> start a
	begun a -> start b
	begun b -> start c
	begun c -> ready
`

func TestPlan(t *testing.T) {
	tests := []struct {
		name     string
		plan     *plan
		script   string
		restarts []int
		reason   string
	}{
		{"boot and stop in order", newPlan(RestForOne), booted + `
			shut -> stop c
			down c ok -> stop b
			down b ok -> stop a
			down a ok -> finish
		`, []int{0, 0, 0}, ""},
		{"boot fails: what was started is stopped, nothing is tried again", newPlan(RestForOne), `
			boot -> start a
			begun a -> start b
			down b -> stop a
			down a ok -> finish
		`, []int{0, 0, 0}, "start b: broken"},
		{"stopped while booting", newPlan(RestForOne), `
			boot -> start a
			begun a -> start b
			shut -> stop b
			down b ok -> stop a
			down a ok -> finish
		`, []int{0, 0, 0}, ""},
		{"rest_for_one: those behind are stopped in reverse and started in order", newPlan(RestForOne), booted + `
			down a -> stop c
			down c ok -> stop b
			down b ok -> start a
			begun a -> start b
			begun b -> start c
			begun c ->
		`, []int{1, 0, 0}, ""},
		{"rest_for_one: the last one alone", newPlan(RestForOne), booted + `
			down c -> start c
			begun c ->
		`, []int{0, 0, 1}, ""},
		{"rest_for_one: an earlier one ends meanwhile", newPlan(RestForOne), booted + `
			down b -> stop c
			down a ->
			down c ok -> start a
			begun a -> start b
			begun b -> start c
			begun c ->
		`, []int{1, 1, 0}, ""},
		{"rest_for_one: a restart fails and is tried again", newPlan(RestForOne), booted + `
			down b -> stop c
			down c ok -> start b
			down b -> start b
			begun b -> start c
			begun c ->
		`, []int{0, 2, 0}, ""},
		{"rest_for_one: what runs again stays when one behind it fails to start", newPlan(RestForOne), booted + `
			down a -> stop c
			down c ok -> stop b
			down b ok -> start a
			begun a -> start b
			begun b -> start c
			down c -> start c
			begun c ->
		`, []int{1, 0, 1}, ""},
		{"one_for_one: only the one", newPlan(OneForOne), booted + `
			down a -> start a
			down b -> start b
			begun b ->
			begun a ->
		`, []int{1, 1, 0}, ""},
		{"rest_for_one: a child that stands alone restarts alone", alone(newPlan(RestForOne), "a"), booted + `
			down a -> start a
			begun a ->
			down b -> stop c
			down a ->
			down c ok -> start a
			begun a -> start b
			begun b -> start c
			begun c ->
		`, []int{2, 1, 0}, ""},
		{"a stop wins over a restart", newPlan(RestForOne), booted + `
			down a -> stop c
			shut ->
			down c ok -> stop b
			down b -> finish
		`, []int{1, 0, 0}, ""},
		{"permanent children are restarted after an ordinary end", newPlan(OneForOne), booted + `
			down b ok -> start b
			begun b ->
		`, []int{0, 1, 0}, ""},
		{"transient and temporary", newPlan(OneForOne, Transient, Temporary, Transient), booted + `
			down a ok ->
			down b ->
			down c -> start c
			begun c ->
			shut -> stop c
			down c ok -> finish
		`, []int{0, 0, 1}, ""},
		{"within the intensity", newPlan(RestForOne), booted + `
			down c -> start c
			begun c ->
			down c -> start c
			begun c ->
			down c -> start c
			begun c ->
			later 10001ms
			down c -> start c
			begun c ->
		`, []int{0, 0, 4}, ""},
		{"beyond the intensity", newPlan(RestForOne), booted + `
			down c -> start c
			begun c ->
			down b -> stop c
			down c ok -> start b
			begun b -> start c
			begun c ->
			later 9s
			down c -> start c
			begun c ->
			down c -> stop b
			down b ok -> stop a
			down a ok -> finish
		`, []int{0, 1, 3}, "sup: more than 3 restarts in 10s, the last of c: broken"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			script(t, tt.plan, tt.script)
			for i, c := range tt.plan.children {
				if c.restarts != tt.restarts[i] {
					t.Errorf("%s: %d restarts, want %d", c.name, c.restarts, tt.restarts[i])
				}
			}
			if got := fmt.Sprint(tt.plan.reason); tt.reason != "" && got != tt.reason || tt.reason == "" && tt.plan.reason != nil {
				t.Errorf("reason %q, want %q", got, tt.reason)
			}
		})
	}
}

// 10,000 restarts that keep within the intensity never end a supervisor.
func TestPlanNeverTiresOfRestarts(t *testing.T) {
	p := newPlan(RestForOne)
	script(t, p, booted)
	now := time.Unix(1000, 0)
	for n := range 10_000 {
		now = now.Add(p.period / time.Duration(p.intensity))
		now = now.Add(time.Millisecond)
		p.exited(2, errors.New("broken"), now)
		if s := p.next(); s.do != start || s.child != 2 {
			t.Fatalf("restart %d: %+v", n, s)
		}
		p.started(2)
	}
	if len(p.failures) > p.intensity+1 {
		t.Errorf("%d failures remembered", len(p.failures))
	}
}
