package cluster

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
)

// ID is 128 random bits: the stable identity of a member, kept on disk, or of a
// cluster. The zero ID is nobody's.
type ID [16]byte

// String is the ID in hexadecimal digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// MarshalText implements encoding.TextMarshaler.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (id *ID) UnmarshalText(text []byte) error {
	if len(text) != hex.EncodedLen(len(id)) {
		return fmt.Errorf("identity %q: want %d hexadecimal digits", text, hex.EncodedLen(len(id)))
	}
	if _, err := hex.Decode(id[:], text); err != nil {
		return fmt.Errorf("identity %q: %w", text, err)
	}
	return nil
}

func compareID(a, b ID) int { return bytes.Compare(a[:], b[:]) }

// NodeName is a full node name, short@host.
type NodeName string

// Complete appends the host of self to a name that has none, as `cluster join
// ermine2` means ermine2 on this host.
func (n NodeName) Complete(self NodeName) NodeName {
	if strings.Contains(string(n), "@") {
		return n
	}
	_, host, _ := strings.Cut(string(self), "@")
	return n + "@" + NodeName(host)
}

// Status is what a member says of itself.
type Status uint8

// The statuses. Their numbers are part of the protocol: ONLY APPEND.
const (
	// StatusStarting: the node is up, its broker not yet.
	StatusStarting Status = iota
	// StatusRunning: it serves clients.
	StatusRunning
	// StatusJoining: it is a member and has yet to copy the cluster's data.
	StatusJoining
	// StatusStopped: it has been stopped in order, so that nobody need wait for
	// its silence.
	StatusStopped
)

var statusNames = [...]string{"starting", "running", "joining", "stopped"}

// String is the status in logs and JSON.
func (s Status) String() string {
	if int(s) < len(statusNames) {
		return statusNames[s]
	}
	return fmt.Sprintf("status(%d)", uint8(s))
}

// Range is the versions of one protocol between nodes that a release speaks.
type Range struct {
	Protocol string `json:"protocol"`
	Min      uint16 `json:"min"`
	Max      uint16 `json:"max"`
}

// String is "name min..max".
func (r Range) String() string { return fmt.Sprintf("%s %d..%d", r.Protocol, r.Min, r.Max) }

// Incompatible lists the protocols that both sides speak but in no common
// version. A protocol that only one side knows is no obstacle: it is not used.
func Incompatible(a, b []Range) []string {
	var found []string
	for _, x := range a {
		for _, y := range b {
			if x.Protocol == y.Protocol && (x.Max < y.Min || y.Max < x.Min) {
				found = append(found, fmt.Sprintf("%s %d..%d against %d..%d", x.Protocol, x.Min, x.Max, y.Min, y.Max))
			}
		}
	}
	return found
}

// Record is what the cluster knows of one member. Only the member itself writes
// it, except for its tombstone (Left), which any member may write.
//
// Of two records of one member the greater stays, by Epoch, then Left, then
// Incarnation, then Seq. So a tombstone is final within its epoch, and only the
// member itself can come back, by joining again with the next epoch.
type Record struct {
	ID   ID       `json:"id"`
	Name NodeName `json:"name"`
	// Epoch counts the joins of this member, in whatever cluster.
	Epoch uint64 `json:"epoch"`
	// Left marks a tombstone; all below but LeftAtMs is zero then.
	Left bool `json:"left,omitempty"`
	// Incarnation counts the lives of the node's process.
	Incarnation uint64 `json:"incarnation"`
	// Seq counts the versions of the record within an incarnation.
	Seq     uint64 `json:"seq"`
	Status  Status `json:"status"`
	Release string `json:"release,omitempty"`
	// Versions are the protocols that the member speaks.
	Versions []Range `json:"versions,omitempty"`
	// LeftAtMs is when the tombstone was written, by the writer's wall clock,
	// in milliseconds since 1970.
	LeftAtMs int64 `json:"left_at_ms,omitempty"`
}

// tombstone is the end of r's epoch.
func (r Record) tombstone(atMs int64) Record {
	return Record{ID: r.ID, Name: r.Name, Epoch: r.Epoch, Left: true, LeftAtMs: atMs}
}

// compareRecords orders the versions of one member's record. It is total: equal
// means the same bytes, so that the maximum does not depend on the order in
// which records arrive.
func compareRecords(a, b Record) int {
	if c := cmp.Compare(a.Epoch, b.Epoch); c != 0 {
		return c
	}
	if a.Left != b.Left {
		if a.Left {
			return 1
		}
		return -1
	}
	if c := cmp.Or(cmp.Compare(a.Incarnation, b.Incarnation), cmp.Compare(a.Seq, b.Seq), cmp.Compare(a.LeftAtMs, b.LeftAtMs)); c != 0 {
		return c
	}
	return bytes.Compare(appendRecord(nil, a), appendRecord(nil, b))
}

// Table is the replicated member list: for each member the greatest record
// seen. Merging is commutative, associative and idempotent, so replicas that
// have seen the same records are equal, whatever the order and number of times.
// The zero Table is empty. A Table is not safe for concurrent use.
type Table struct {
	recs   []Record // by ID
	digest uint64   // XOR of the members' fingerprints
}

func (t *Table) find(id ID) (int, bool) {
	return slices.BinarySearchFunc(t.recs, id, func(r Record, id ID) int { return compareID(r.ID, id) })
}

// Get returns the record of a member, which may be a tombstone.
func (t *Table) Get(id ID) (Record, bool) {
	if i, ok := t.find(id); ok {
		return t.recs[i], true
	}
	return Record{}, false
}

// ByName returns the member of a name, never a tombstone.
func (t *Table) ByName(name NodeName) (Record, bool) {
	for _, r := range t.recs {
		if r.Name == name && !r.Left {
			return r, true
		}
	}
	return Record{}, false
}

// Records are all records, tombstones too, in the order of their IDs. The slice
// belongs to the Table and holds until the next Merge or Remove.
func (t *Table) Records() []Record { return t.recs }

// Merge takes a record in and reports whether the table changed.
func (t *Table) Merge(r Record) bool {
	i, had := t.find(r.ID)
	if !had {
		t.recs = slices.Insert(t.recs, i, r)
		t.digest ^= fingerprint(r)
		return true
	}
	if compareRecords(r, t.recs[i]) <= 0 {
		return false
	}
	t.digest ^= fingerprint(t.recs[i]) ^ fingerprint(r)
	t.recs[i] = r
	return true
}

// Remove forgets a member altogether; it is for tombstones past their time.
func (t *Table) Remove(id ID) {
	if i, ok := t.find(id); ok {
		t.digest ^= fingerprint(t.recs[i])
		t.recs = slices.Delete(t.recs, i, i+1)
	}
}

// Digest is equal for tables that agree about members, their lives and their
// status. Sequence numbers are left out: a member's own pings carry them.
func (t *Table) Digest() uint64 { return t.digest }

func fingerprint(r Record) uint64 {
	r.Seq, r.LeftAtMs, r.Release, r.Versions = 0, 0, "", nil
	h := fnv.New64a()
	h.Write(appendRecord(make([]byte, 0, 96), r))
	return h.Sum64()
}
