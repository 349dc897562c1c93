package auth

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// spy is an authorizer that counts how often it is asked.
type spy struct {
	asked  atomic.Int64
	answer func(c *Client, a Action, topic string) Decision
}

func (s *spy) Authorize(_ context.Context, c *Client, a Action, topic string) Decision {
	s.asked.Add(1)
	return s.answer(c, a, topic)
}

func always(d Decision) *spy {
	return &spy{answer: func(*Client, Action, string) Decision { return d }}
}

func TestChainOrder(t *testing.T) {
	tests := []struct {
		sources []Decision
		noMatch Decision
		want    Decision
	}{
		{nil, Allow, Allow},
		{nil, Deny, Deny},
		{[]Decision{Ignore}, Deny, Deny},
		{[]Decision{Ignore, Allow, Deny}, Deny, Allow},
		{[]Decision{Deny, Allow}, Allow, Deny},
	}
	for _, tt := range tests {
		var chain []Authorizer
		for _, d := range tt.sources {
			chain = append(chain, always(d))
		}
		a := NewAuthorization(AuthorizationConfig{NoMatch: tt.noMatch}, chain...)
		if got := a.Check(t.Context(), client(), Action{}, "a"); got != tt.want {
			t.Errorf("%v, no match %v: %v, want %v", tt.sources, tt.noMatch, got, tt.want)
		}
	}
}

func TestSuperuserAndOwnRules(t *testing.T) {
	a := NewAuthorization(AuthorizationConfig{NoMatch: Deny}, always(Deny))
	c := client()
	c.Superuser = true
	if a.Check(t.Context(), c, Action{}, "a") != Allow || !a.NeverDenies(c, Publish) {
		t.Error("a superuser is denied")
	}
	c = client()
	c.own = mustACL(t, `{allow, all, publish, ["mine/#"]}.`)
	if got := a.Check(t.Context(), c, Action{}, "mine/x"); got != Allow {
		t.Errorf("own rules: %v", got)
	}
	if got := a.Check(t.Context(), c, Action{}, "yours"); got != Deny {
		t.Errorf("behind own rules: %v", got)
	}
}

// What can be decided in advance does not reach the sources.
func TestDecidedInAdvance(t *testing.T) {
	c := client()
	behind := always(Deny)
	a := NewAuthorization(DefaultAuthorizationConfig(), mustACL(t, emqxACL), behind)
	for range 10 {
		if got := a.Check(t.Context(), c, Action{Publish, 1, true}, "x"); got != Allow {
			t.Fatal(got)
		}
	}
	if len(c.cache.entries) != 0 {
		t.Error("the cache was used")
	}
	if !a.NeverDenies(c, Publish) || a.NeverDenies(c, Subscribe) {
		t.Errorf("never denies: publish %t, subscribe %t", a.NeverDenies(c, Publish), a.NeverDenies(c, Subscribe))
	}
	// A source that is not Static may say anything.
	if NewAuthorization(DefaultAuthorizationConfig(), always(Allow)).NeverDenies(client(), Publish) {
		t.Error("a source that may deny is said never to")
	}
	// Nothing but allowing rules, and no_match = allow.
	b := NewAuthorization(DefaultAuthorizationConfig(), mustACL(t, `{allow, all, publish, ["a"]}.`))
	if !b.NeverDenies(client(), Publish) {
		t.Error("allowing rules with no_match = allow may deny")
	}
	b = NewAuthorization(AuthorizationConfig{NoMatch: Deny}, mustACL(t, `{deny, all, publish, ["a"]}.`))
	if got := b.advance(client(), b.generation()) & 3; got != fastDeny {
		t.Errorf("a chain that only denies: %d", got)
	}
}

func TestCache(t *testing.T) {
	source := always(Allow)
	conf := DefaultAuthorizationConfig()
	conf.Cache.MaxSize = 3
	a := NewAuthorization(conf, source)
	now := time.Unix(1000, 0)
	a.now = func() time.Time { return now }
	c := client()
	ask := func(topic string, act Action) int64 {
		before := source.asked.Load()
		if got := a.Check(t.Context(), c, act, topic); got != Allow {
			t.Fatal(got)
		}
		return source.asked.Load() - before
	}
	steps := []struct {
		what  string
		do    func()
		topic string
		act   Action
		asked int64
	}{
		{"first", nil, "a", Action{}, 1},
		{"again", nil, "a", Action{}, 0},
		{"other QoS", nil, "a", Action{QoS: 1}, 1},
		{"subscribe", nil, "a", Action{Type: Subscribe}, 1},
		{"still there", nil, "a", Action{}, 0},
		{"a fourth drives out the oldest", nil, "b", Action{}, 1},
		{"the oldest", nil, "a", Action{}, 1},
		{"expired", func() { now = now.Add(61 * time.Second) }, "a", Action{}, 1},
		{"renewed", nil, "a", Action{}, 0},
		{"cleaned", a.CleanCache, "a", Action{}, 1},
		{"after that", nil, "a", Action{}, 0},
	}
	for _, s := range steps {
		if s.do != nil {
			s.do()
		}
		if got := ask(s.topic, s.act); got != s.asked {
			t.Errorf("%s: the source was asked %d times, want %d", s.what, got, s.asked)
		}
	}
	if n := len(c.cache.entries); n > 3 || n != len(c.cache.order) {
		t.Errorf("%d entries, %d in order, at most 3", n, len(c.cache.order))
	}
	// A decision that was made in a hurry is not kept.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	a.Check(ctx, c, Action{}, "hurry")
	if got := ask("hurry", Action{}); got != 1 {
		t.Error("the decision of a cancelled check was cached")
	}
	conf.Cache.Enable = false
	a = NewAuthorization(conf, source)
	for range 2 {
		if ask("a", Action{}) != 1 {
			t.Error("a disabled cache answers")
		}
	}
}

func TestACLFileReload(t *testing.T) {
	file := filepath.Join(t.TempDir(), "acl.conf")
	write := func(text string) {
		t.Helper()
		if err := writeFileAtomic(file, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := OpenACLFile(file, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("opened a file that is not there")
	}
	write(`{allow, all}.`)
	f, err := OpenACLFile(file, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	a := NewAuthorization(DefaultAuthorizationConfig(), f)
	c := client()
	check := func(want Decision, when string) {
		t.Helper()
		if got := a.Check(t.Context(), c, Action{}, "a"); got != want {
			t.Errorf("%s: %v, want %v", when, got, want)
		}
	}
	check(Allow, "at first")
	write(`{deny, all}.`)
	f.refresh()
	check(Deny, "after a change")
	many := strings.Repeat(`{deny, all, publish, ["x"]}.`+"\n", maxDirectRules) // enough to be cached
	write(many + `{deny, all, publish, ["a"]}. {allow, all}.`)
	f.refresh()
	check(Deny, "by topic")
	if len(c.cache.entries) != 1 {
		t.Error("the cache was not used")
	}
	check(Deny, "from the cache")
	write(many + `{allow, all, publish, ["a"]}. {deny, all}.`)
	f.refresh()
	check(Allow, "the cache does not outlive the rules")
	generation := f.Generation()
	write(`{allow, all`)
	f.refresh()
	check(Allow, "with a mistake in the file")
	if f.Generation() != generation {
		t.Error("rules with a mistake replaced others")
	}
	if err := f.Reload(); err == nil {
		t.Error("Reload reports no mistake")
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	f.refresh()
	check(Allow, "without the file")

	// Watch does the same by itself.
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { f.Watch(ctx, time.Millisecond) })
	write(`{deny, all}.`)
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for a.Check(t.Context(), c, Action{}, "a") != Deny {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatal("the change was not seen")
		}
	}
	cancel()
	wg.Wait()
}

// Checks, reloads and cleaning at the same time, for the race detector, and for
// decisions that outlive their rules.
func TestConcurrentChecks(t *testing.T) {
	file := filepath.Join(t.TempDir(), "acl.conf")
	texts := []string{`{allow, all, publish, ["a"]}. {deny, all}.`, `{deny, all, publish, ["a"]}. {allow, all}.`}
	if err := writeFileAtomic(file, []byte(texts[0])); err != nil {
		t.Fatal(err)
	}
	f, err := OpenACLFile(file, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	a := NewAuthorization(DefaultAuthorizationConfig(), f)
	c := client()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					a.Check(context.Background(), c, Action{}, "a")
					a.Check(context.Background(), c, Action{Type: Subscribe}, "b")
				}
			}
		})
	}
	for i := range 100 {
		if err := writeFileAtomic(file, []byte(texts[(i+1)%2])); err != nil {
			t.Fatal(err)
		}
		if err := f.Reload(); err != nil {
			t.Fatal(err)
		}
		want := []Decision{Deny, Allow}[i%2]
		if got := a.Check(t.Context(), c, Action{}, "a"); got != want {
			t.Fatalf("after reload %d: %v, want %v", i, got, want)
		}
		if i%10 == 0 {
			a.CleanCache()
		}
	}
	close(stop)
	wg.Wait()
}

func BenchmarkCheckInAdvance(b *testing.B) {
	a := NewAuthorization(DefaultAuthorizationConfig(), mustACL(b, emqxACL))
	c := client()
	b.ReportAllocs()
	for b.Loop() {
		if a.Check(b.Context(), c, Action{}, "a/b/c") != Allow {
			b.Fatal()
		}
	}
}

func BenchmarkCheckDirect(b *testing.B) {
	a := NewAuthorization(DefaultAuthorizationConfig(), mustACL(b, emqxACL))
	c := client()
	b.ReportAllocs()
	for b.Loop() {
		if a.Check(b.Context(), c, Action{Type: Subscribe}, "a/b/c") != Allow {
			b.Fatal()
		}
	}
}

func BenchmarkCheckCached(b *testing.B) {
	a := NewAuthorization(DefaultAuthorizationConfig(), always(Allow))
	c := client()
	b.ReportAllocs()
	for b.Loop() {
		if a.Check(b.Context(), c, Action{Type: Subscribe}, "a/b/c") != Allow {
			b.Fatal()
		}
	}
}

func BenchmarkRules(b *testing.B) {
	rules := mustACL(b, emqxACL)
	for _, name := range []string{"a/b/c", "$SYS/brokers"} {
		b.Run(name, func(b *testing.B) {
			c := client()
			b.ReportAllocs()
			for b.Loop() {
				if rules.Authorize(b.Context(), c, Action{Type: Subscribe}, name) == Ignore {
					b.Fatal()
				}
			}
		})
	}
}

func ExampleAuthorization() {
	rules, err := ParseACL("acl.conf", `
		{deny,  {clientid, {re, "^guest-"}}, publish, ["#"]}.
		{allow, all, all, ["home/${clientid}/#"]}.
	`)
	if err != nil {
		fmt.Println(err)
		return
	}
	authz := NewAuthorization(AuthorizationConfig{NoMatch: Deny}, rules)
	ctx := context.Background()
	lamp, guest := &Client{ClientID: "lamp"}, &Client{ClientID: "guest-1"}
	fmt.Println(authz.Check(ctx, lamp, Action{Type: Publish}, "home/lamp/state"))
	fmt.Println(authz.Check(ctx, lamp, Action{Type: Subscribe}, "home/#"))
	fmt.Println(authz.Check(ctx, guest, Action{Type: Publish}, "home/guest-1/state"))
	// Output:
	// allow
	// deny
	// deny
}
