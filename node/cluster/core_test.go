package cluster

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"
)

func testInstant(seconds float64) Instant {
	d := time.Duration(seconds * float64(time.Second))
	return Instant{Mono: d, Wall: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(d)}
}

func testConfig(name NodeName) Config {
	cfg := DefaultConfig(name)
	next := byte(len(name))
	cfg.NewID = func() ID {
		next++
		return testID(next + name[len(name)-1])
	}
	return cfg
}

// newTestCore is a running node, alone.
func newTestCore(t testing.TB, name NodeName) *Core {
	t.Helper()
	c, err := New(testConfig(name), State{})
	if err != nil {
		t.Fatal(err)
	}
	c.Start(testInstant(0))
	c.Ready(testInstant(0))
	return c
}

// effects of one type.
func only[E Effect](all []Effect) []E {
	var found []E
	for _, e := range all {
		if e, ok := e.(E); ok {
			found = append(found, e)
		}
	}
	return found
}

// TestMergeLaws: whatever the order, number and grouping of merges, tables that
// have seen the same records are equal.
func TestMergeLaws(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	random := func() Record {
		r := testRecord(byte(1 + rng.IntN(4)))
		r.Epoch, r.Incarnation, r.Seq = uint64(rng.IntN(3)), uint64(rng.IntN(3)), uint64(rng.IntN(3))
		r.Status = Status(rng.IntN(4))
		if rng.IntN(4) == 0 {
			return r.tombstone(int64(rng.IntN(3)))
		}
		return r
	}
	merge := func(t *Table, recs []Record) {
		for _, r := range recs {
			t.Merge(r)
		}
	}
	for range 3000 {
		recs := make([]Record, 1+rng.IntN(12))
		for i := range recs {
			recs[i] = random()
		}
		var forth, back, twice, parts Table
		merge(&forth, recs)
		shuffled := slices.Clone(recs)
		rng.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		merge(&back, shuffled)
		merge(&twice, recs)
		merge(&twice, recs)
		var half Table
		merge(&half, recs[len(recs)/2:])
		merge(&parts, recs[:len(recs)/2])
		merge(&parts, half.Records())
		for name, other := range map[string]*Table{"commutative": &back, "idempotent": &twice, "associative": &parts} {
			if !reflect.DeepEqual(forth.Records(), other.Records()) || forth.Digest() != other.Digest() {
				t.Fatalf("not %s:\n%v\n%v\nfrom %v", name, forth.Records(), other.Records(), recs)
			}
		}
		// The digest tells tables apart, and is kept as records come and go.
		for _, r := range slices.Clone(forth.Records()) {
			forth.Remove(r.ID)
		}
		if forth.Digest() != 0 || len(forth.Records()) != 0 {
			t.Fatalf("digest %x of an empty table", forth.Digest())
		}
	}
}

// TestRecordOrder names the reasons for which one record replaces another.
func TestRecordOrder(t *testing.T) {
	base := testRecord(1)
	with := func(change func(*Record)) Record {
		r := base
		change(&r)
		return r
	}
	ascending := []Record{
		base,
		with(func(r *Record) { r.Seq++ }),
		with(func(r *Record) { r.Incarnation, r.Seq = r.Incarnation+1, 1 }),
		base.tombstone(1),
		base.tombstone(2),
		with(func(r *Record) { r.Epoch, r.Incarnation, r.Seq = r.Epoch+1, 1, 1 }),
	}
	for i, a := range ascending {
		for j, b := range ascending {
			if got := compareRecords(a, b); (got > 0) != (i > j) || (got == 0) != (i == j) {
				t.Errorf("%d against %d: %d", i, j, got)
			}
		}
	}
}

// request is what a joiner sends to the core c.
func request(c *Core, change func(*Message, *JoinRequest)) Message {
	q := JoinRequest{At: 7, Target: c.cfg.Name, Record: testRecord(0x71), WallMs: c.now.Wall.UnixMilli()}
	m := Message{Cluster: testID(0x72), From: q.Record.ID, FromName: q.Record.Name}
	if change != nil {
		change(&m, &q)
	}
	m.Body = q
	return m
}

// TestRefusals: each check of the contact, and that the earlier one speaks.
func TestRefusals(t *testing.T) {
	// The rows are in the order of the checks; each case breaks its own and all
	// later ones.
	rows := []struct {
		reason Reason
		breaks func(*Core, *Message, *JoinRequest)
	}{
		{ReasonDuplicateID, func(c *Core, m *Message, _ *JoinRequest) { m.From = c.Identity() }},
		{ReasonAlreadyInCluster, func(c *Core, m *Message, q *JoinRequest) {
			m.Cluster = c.Cluster()
			c.learn(q.Record)
		}},
		{ReasonNameMismatch, func(_ *Core, _ *Message, q *JoinRequest) { q.Target = "other@h" }},
		{ReasonVersions, func(_ *Core, _ *Message, q *JoinRequest) { q.Record.Versions = []Range{{"cluster", 2, 3}} }},
		{ReasonLeaving, func(c *Core, _ *Message, _ *JoinRequest) { c.leave = &leaveOp{} }},
		{ReasonNotRunning, func(c *Core, _ *Message, _ *JoinRequest) { c.setSelf(func(r *Record) { r.Status = StatusStarting }) }},
		{ReasonClock, func(c *Core, _ *Message, q *JoinRequest) { q.WallMs += c.cfg.MaxClockSkew.Milliseconds() + 1 }},
		{ReasonSingleton, func(_ *Core, _ *Message, q *JoinRequest) { q.Singleton = true }},
		{ReasonNameTaken, func(c *Core, m *Message, _ *JoinRequest) {
			if m.From != c.Identity() { // that would be an echo
				m.FromName = c.cfg.Name
			}
		}},
	}
	for i, row := range rows {
		t.Run(row.reason.String(), func(t *testing.T) {
			c := newTestCore(t, "c@h")
			m := request(c, nil)
			q := m.Body.(JoinRequest)
			for _, later := range rows[i:] {
				later.breaks(c, &m, &q)
			}
			m.Body = q
			got := only[Send](c.Receive(testInstant(0), m))
			if len(got) == 0 {
				t.Fatal("no answer")
			}
			reply, ok := got[len(got)-1].Message.Body.(JoinReply)
			if !ok || reply.Answer != AnswerRefused || reply.Reason != row.reason {
				t.Errorf("got %+v", got)
			}
		})
	}
	c := newTestCore(t, "c@h")
	sent := only[Send](c.Receive(testInstant(0), request(c, nil)))
	if len(sent) != 1 || sent[0].Message.Body.(JoinReply).Answer != AnswerOffer {
		t.Errorf("nothing broken: %+v", sent)
	}
}

// TestOfferHolds: whoever has made an offer keeps its cluster until it is taken
// up or over (J1).
func TestOfferHolds(t *testing.T) {
	c := newTestCore(t, "c@h")
	c.Receive(testInstant(0), request(c, nil))
	if out := c.Join(testInstant(1), 1, "d@h"); len(only[Send](out)) != 0 {
		t.Errorf("asks while its offer is open: %v", out)
	}
	last := c.cfg.OfferFor() + 2*c.cfg.Heartbeat
	if out := c.Tick(Instant{Mono: last}); len(only[Send](out)) != 0 {
		t.Errorf("asks while its offer is open: %v", out)
	}
	sent := only[Send](c.Tick(Instant{Mono: last + 1}))
	if len(sent) != 1 || sent[0].To != "d@h" {
		t.Errorf("does not ask once its offer is over: %v", sent)
	}
}

// TestNameTaken: a member's name is free for another node only while the member
// is dead; then the newcomer takes its place.
func TestNameTaken(t *testing.T) {
	c := newTestCore(t, "c@h")
	former := testRecord(0x10)
	former.Name = testRecord(0x71).Name
	c.Receive(testInstant(1), Message{Cluster: c.Cluster(), From: former.ID, FromName: former.Name, To: c.Identity(), Body: Sync{Records: []Record{former}}})
	answer := func(seconds float64) JoinReply {
		sent := only[Send](c.Receive(testInstant(seconds), request(c, nil)))
		return sent[len(sent)-1].Message.Body.(JoinReply)
	}
	if got := answer(1); got.Answer != AnswerOffer {
		t.Errorf("the member has not been heard: %+v", got)
	}
	c.Receive(testInstant(1.5), Message{Cluster: c.Cluster(), From: former.ID, FromName: former.Name, To: c.Identity(), Body: Ack{
		EchoIncarnation: 1, At: uint64(1400 * time.Millisecond), Digest: c.table.Digest(), Record: former,
	}})
	if got := answer(2); got.Answer != AnswerRefused || got.Reason != ReasonNameTaken {
		t.Errorf("the member lives: %+v", got)
	}
}

// TestLateAck: an answer from a member's life before says nothing of this one.
func TestLateAck(t *testing.T) {
	c := newTestCore(t, "c@h")
	old := testRecord(0x10)
	ack := func(r Record, at float64) Message {
		return Message{Cluster: c.Cluster(), From: r.ID, FromName: r.Name, To: c.Identity(), Body: Ack{
			EchoIncarnation: 1, At: uint64(at * float64(time.Second)), Digest: c.table.Digest(), Record: r,
		}}
	}
	c.Receive(testInstant(1), Message{Cluster: c.Cluster(), From: old.ID, FromName: old.Name, Body: Sync{Records: []Record{old}}})
	if up := only[NodeUp](c.Receive(testInstant(1.2), ack(old, 1.1))); len(up) != 1 {
		t.Fatalf("not up: %v", up)
	}
	next := old
	next.Incarnation++
	next.Seq = 1
	out := c.Receive(testInstant(2), Message{Cluster: c.Cluster(), From: old.ID, FromName: old.Name, Body: Sync{Records: []Record{next}}})
	if down := only[NodeDown](out); len(down) != 1 || len(only[NodeUp](out)) != 0 {
		t.Fatalf("the new life: %v", out)
	}
	if up := only[NodeUp](c.Receive(testInstant(2.1), ack(old, 1.9))); len(up) != 0 {
		t.Error("up by an answer of the life before")
	}
	if up := only[NodeUp](c.Receive(testInstant(2.2), ack(next, 2.1))); len(up) != 1 {
		t.Error("not up by its own answer")
	}
}

// TestTombstonesExpire: what has left is forgotten after its time, and is not
// taken over from those whose clocks are behind.
func TestTombstonesExpire(t *testing.T) {
	c := newTestCore(t, "c@h")
	grave := testRecord(0x10).tombstone(c.now.Wall.UnixMilli())
	sync := Message{Cluster: c.Cluster(), From: testID(0x11), FromName: "d@h", Body: Sync{Records: []Record{grave}}}
	if saved := only[Persist](c.Receive(testInstant(1), sync)); len(saved) != 1 || len(saved[0].State.Records) != 2 {
		t.Fatalf("not kept: %v", saved)
	}
	almost := c.cfg.TombstoneFor.Seconds()
	if saved := only[Persist](c.Tick(testInstant(almost))); len(saved) != 0 {
		t.Errorf("forgotten too soon: %v", saved)
	}
	if saved := only[Persist](c.Tick(testInstant(almost + 5))); len(saved) != 1 || len(saved[0].State.Records) != 1 {
		t.Errorf("not forgotten: %v", saved)
	}
	if saved := only[Persist](c.Receive(testInstant(almost+6), sync)); len(saved) != 0 {
		t.Errorf("taken over again: %v", saved)
	}
}

// TestPersistFirst: in whatever an input causes, the disk comes first (P1).
func TestPersistFirst(t *testing.T) {
	c := newTestCore(t, "c@h")
	c.Join(testInstant(1), 1, "d@h")
	contact := testRecord(0x10)
	contact.Name = "d@h"
	out := c.Receive(testInstant(1.1), Message{
		Cluster: testID(0x20), From: contact.ID, FromName: contact.Name, To: c.Identity(),
		Body: JoinReply{EchoIncarnation: 1, At: uint64(time.Second), Records: []Record{contact}},
	})
	if _, first := out[0].(Persist); !first || len(only[Persist](out)) != 1 || len(only[Send](out)) == 0 {
		t.Errorf("got %v", out)
	}
	if c.Cluster() != testID(0x20) {
		t.Error("the offer was not taken up")
	}
}

// TestStaleOffers: an offer for an older request, for another life or from
// somebody else is none.
func TestStaleOffers(t *testing.T) {
	contact := testRecord(0x10)
	contact.Name = "d@h"
	fresh := JoinReply{EchoIncarnation: 1, At: uint64(20 * time.Second), Records: []Record{contact}}
	for name, change := range map[string]func(*Message, *JoinReply){
		"too old":      func(_ *Message, r *JoinReply) { r.At = uint64(14 * time.Second) },
		"future":       func(_ *Message, r *JoinReply) { r.At = uint64(21 * time.Second) },
		"another life": func(_ *Message, r *JoinReply) { r.EchoIncarnation = 2 },
		"another node": func(m *Message, _ *JoinReply) { m.FromName = "e@h" },
		"":             func(*Message, *JoinReply) {},
	} {
		c := newTestCore(t, "c@h")
		before := c.Cluster()
		c.Tick(testInstant(19))
		c.Join(testInstant(20), 1, "d@h")
		reply := fresh
		m := Message{Cluster: testID(0x20), From: contact.ID, FromName: contact.Name, To: c.Identity()}
		change(&m, &reply)
		m.Body = reply
		c.Receive(testInstant(20.1), m)
		if joined := c.Cluster() != before; joined != (name == "") {
			t.Errorf("%q: joined %t", name, joined)
		}
	}
}

func TestCommandsAlone(t *testing.T) {
	for _, tc := range []struct {
		name string
		give func(*Core) []Effect
		want error
	}{
		{"join itself", func(c *Core) []Effect { return c.Join(testInstant(1), 7, "c@h") }, ErrSelf},
		{"join itself, short", func(c *Core) []Effect { return c.Join(testInstant(1), 7, "c") }, ErrSelf},
		{"leave", func(c *Core) []Effect { return c.Leave(testInstant(1), 7) }, ErrNotInCluster},
		{"remove itself", func(c *Core) []Effect { return c.ForceLeave(testInstant(1), 7, "c") }, ErrSelf},
		{"remove a stranger", func(c *Core) []Effect { return c.ForceLeave(testInstant(1), 7, "d") }, ErrNotInCluster},
		{"a second join", func(c *Core) []Effect {
			c.Join(testInstant(1), 6, "d")
			return c.Join(testInstant(1), 7, "e")
		}, ErrBusy},
		{"after the end", func(c *Core) []Effect {
			c.Stop(testInstant(1))
			return c.Join(testInstant(1), 7, "e")
		}, ErrInterrupted},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := only[Reply](tc.give(newTestCore(t, "c@h")))
			if len(got) != 1 || got[0].Command != 7 || !errors.Is(got[0].Err, tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

// TestConnectFailed: what the process knows of a failure reaches the operator.
func TestConnectFailed(t *testing.T) {
	for _, cause := range []Cause{CauseResolve, CausePort, CauseCookie, CauseName, CauseSilent} {
		c := newTestCore(t, "c@h")
		c.Join(testInstant(1), 1, "d@h")
		got := only[Reply](c.ConnectFailed(testInstant(2), "d@h", cause, "why"))
		var e *JoinError
		if len(got) != 1 || !errors.As(got[0].Err, &e) || e.Detail != "why" {
			t.Errorf("%s: %v", cause, got)
			continue
		}
		if e.Reason == ReasonNameMismatch != (cause == CauseName) || e.Reason == ReasonUnreachable && e.Cause != cause {
			t.Errorf("%s: %+v", cause, e)
		}
	}
	c := newTestCore(t, "c@h")
	c.Join(testInstant(1), 1, "d@h")
	var e *JoinError
	got := only[Reply](c.Tick(Instant{Mono: time.Minute}))
	if len(got) != 1 || !errors.As(got[0].Err, &e) || e.Cause != CauseSilent {
		t.Errorf("no answer at all: %v", got)
	}
}

// TestRenamed: a member keeps its name, a node alone need not.
func TestRenamed(t *testing.T) {
	c := newTestCore(t, "c@h")
	alone := only[Persist](c.Leave(testInstant(1), 1))
	if len(alone) != 0 {
		t.Fatalf("left a cluster of one: %v", alone)
	}
	c.learn(testRecord(1))
	c.dirty = true
	saved := only[Persist](c.end())[0].State
	_, err := New(testConfig("renamed@h"), saved)
	var renamed *RenamedError
	if !errors.Is(err, ErrRenamed) || !errors.As(err, &renamed) || renamed.Member != "c@h" || len(renamed.Others) != 1 {
		t.Errorf("got %v", err)
	}
	again, err := New(testConfig("c@h"), saved)
	if err != nil || again.Identity() != c.Identity() || again.self().Incarnation != c.self().Incarnation+1 {
		t.Errorf("the same name: %v", err)
	}
	saved.Records = slices.DeleteFunc(saved.Records, func(r Record) bool { return r.ID != saved.Identity })
	again, err = New(testConfig("renamed@h"), saved)
	if err != nil || again.Identity() != c.Identity() || again.View().Members[0].Name != "renamed@h" {
		t.Errorf("alone: %v", err)
	}
}

func TestValidate(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"no name":           func(c *Config) { c.Name = "" },
		"no host":           func(c *Config) { c.Name = "c" },
		"no heartbeat":      func(c *Config) { c.Heartbeat = 0 },
		"dead too soon":     func(c *Config) { c.DeadAfter = c.Heartbeat*2 - 1 },
		"negative probes":   func(c *Config) { c.IndirectProbes = -1 },
		"no join timeout":   func(c *Config) { c.JoinTimeout = 0 },
		"no identities":     func(c *Config) { c.NewID = nil },
		"no skew at all":    func(c *Config) { c.MaxClockSkew = 0 },
		"tombstones vanish": func(c *Config) { c.TombstoneFor = 0 },
	} {
		cfg := DefaultConfig("c@h")
		if err := cfg.Validate(); err != nil {
			t.Fatal(err)
		}
		change(&cfg)
		if _, err := New(cfg, State{}); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
