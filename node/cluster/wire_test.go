package cluster

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

var updateFlag = flag.Bool("update", false, "write testdata/wire.golden anew; a changed line breaks clusters of mixed releases")

func testID(n byte) (id ID) {
	for i := range id {
		id[i] = n
	}
	return id
}

func testRecord(n byte) Record {
	return Record{
		ID: testID(n), Name: NodeName(fmt.Sprintf("ermine%d@10.0.0.%d", n, n)), Epoch: 2, Incarnation: 300, Seq: 4,
		Status: StatusRunning, Release: "0.3.0", Versions: []Range{{"cluster", 1, 1}, {"rpc", 1, 400}},
	}
}

// samples has each kind of message, named.
func samples() map[string]Message {
	bodies := map[string]Body{
		"01 ping":         Ping{At: 1_500_000_000, Digest: 0x1122334455667788, Record: testRecord(1)},
		"01 ping, probe":  Ping{At: 1, Origin: testID(3), OriginAt: 77, Digest: 1, Suspect: true, Record: testRecord(1)},
		"02 ack":          Ack{EchoIncarnation: 300, At: 1_500_000_000, Origin: testID(3), OriginAt: 77, Digest: 9, Record: testRecord(2)},
		"03 probe":        Probe{Target: testID(4), At: 12345},
		"04 probe ack":    ProbeAck{At: 12345, Record: testRecord(4)},
		"05 sync":         Sync{Want: true, Records: []Record{testRecord(1), testRecord(2).tombstone(1_790_000_000_000)}},
		"05 sync, none":   Sync{},
		"06 join request": JoinRequest{At: 5, Target: "ermine2@10.0.0.2", Record: testRecord(1), WallMs: 1_790_000_000_000, Singleton: true},
		"07 join offer":   JoinReply{EchoIncarnation: 300, At: 5, Answer: AnswerOffer, WallMs: 1, Records: []Record{testRecord(2)}},
		"07 join busy":    JoinReply{EchoIncarnation: 300, At: 5, Answer: AnswerBusy, Reason: ReasonBusy, WallMs: 1, Chain: []ID{testID(2), testID(3)}},
		"07 join refused": JoinReply{EchoIncarnation: 300, At: 5, Answer: AnswerRefused, Reason: ReasonClock, Detail: "the clocks are 1m0s apart", WallMs: -1},
		"08 departed":     Departed{Record: testRecord(2).tombstone(1_790_000_000_000)},
		"09 departed ack": DepartedAck{ID: testID(2), Epoch: 2},
	}
	all := map[string]Message{}
	for name, b := range bodies {
		all[name] = Message{Cluster: testID(0xcc), From: testID(1), FromName: "ermine1@10.0.0.1", To: testID(2), Body: b}
	}
	return all
}

// TestGolden: the bytes of each message are for ever, and read back.
func TestGolden(t *testing.T) {
	path := filepath.Join("testdata", "wire.golden")
	if *updateFlag {
		var b strings.Builder
		b.WriteString("# What each message looks like on the wire, in hexadecimal digits. ONLY APPEND:\n# nodes of older releases send and expect these bytes.\n")
		for _, name := range slices.Sorted(maps.Keys(samples())) {
			fmt.Fprintf(&b, "%s: %x\n", name, Encode(nil, samples()[name]))
		}
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for line := range strings.Lines(string(text)) {
		name, digits, found := strings.Cut(strings.TrimSpace(line), ": ")
		if !found || strings.HasPrefix(line, "#") {
			continue
		}
		seen++
		want, err := hex.DecodeString(digits)
		if err != nil {
			t.Fatal(err)
		}
		m, known := samples()[name]
		if !known {
			t.Errorf("%s: no such sample", name)
			continue
		}
		if got := Encode(nil, m); !bytes.Equal(got, want) {
			t.Errorf("%s:\ngot  %x\nwant %x", name, got, want)
		}
		got, err := Decode(want)
		if err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("%s: got %+v, %v\nwant %+v", name, got, err, m)
		}
	}
	if seen != len(samples()) {
		t.Errorf("%d golden messages, %d samples", seen, len(samples()))
	}
}

// TestNewer: what a newer release adds is skipped.
func TestNewer(t *testing.T) {
	for name, m := range samples() {
		b := append(Encode(nil, m), "a field of the future"...)
		if got, err := Decode(b); err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("%s, with a field more: %+v, %v", name, got, err)
		}
	}
	// A record with a field more, inside a list.
	r := testRecord(2)
	body := append(appendRecord(nil, r), 1, 2, 3)
	b := Encode(nil, Message{From: testID(1), FromName: "a@h", Body: Sync{}})
	b = append(b[:len(b)-1], 2)
	b = append(append(b, byte(len(body))), body...)
	b = append(append(b, byte(len(body))), body...)
	got, err := Decode(b)
	if s, ok := got.Body.(Sync); err != nil || !ok || len(s.Records) != 2 || !reflect.DeepEqual(s.Records[1], r) {
		t.Errorf("records with a field more: %+v, %v", got, err)
	}
	for name, at := range map[string]int{"kind": 1, "format": 0} {
		b := Encode(nil, samples()["01 ping"])
		b[at] = 200
		if _, err := Decode(b); !errors.Is(err, ErrUnknownMessage) {
			t.Errorf("unknown %s: %v", name, err)
		}
	}
	if kindFirstUnused != 10 {
		t.Error("a kind was added: add a sample of it, and its golden bytes")
	}
}

// TestTruncated: no prefix of a message passes for another one.
func TestTruncated(t *testing.T) {
	for name, m := range samples() {
		b := Encode(nil, m)
		for n := range b {
			if _, err := Decode(b[:n]); !errors.Is(err, ErrMalformed) {
				t.Errorf("%s, %d of %d bytes: %v", name, n, len(b), err)
			}
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, m := range samples() {
		f.Add(Encode(nil, m))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Decode(b)
		if err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrUnknownMessage) {
				t.Fatalf("error of another kind: %v", err)
			}
			return
		}
		again, err := Decode(Encode(nil, m))
		if err != nil || !reflect.DeepEqual(again, m) {
			t.Fatalf("%+v\nbecame %+v, %v", m, again, err)
		}
		// Whatever arrives, the core stays on its feet.
		c := newTestCore(t, "ermine2@10.0.0.2")
		c.Receive(testInstant(1), m)
		m.Cluster, m.To = c.Cluster(), c.Identity()
		c.Receive(testInstant(2), m)
		c.Tick(testInstant(3))
	})
}
