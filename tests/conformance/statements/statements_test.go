package statements

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// repository is the repository's root, seen from here.
const repository = "../../.."

func load(t *testing.T) Listing {
	t.Helper()
	l, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestListings: each statement is there once, in order, with its words; the
// numbers are those of the standards' appendices.
func TestListings(t *testing.T) {
	count := map[Version]int{}
	seen := map[Key]bool{}
	var last []int
	var lastVersion Version
	for _, s := range load(t).Statements {
		count[s.Version]++
		if seen[s.Key] {
			t.Errorf("%s is there twice", s.Key)
		}
		seen[s.Key] = true
		if len(s.Text) > 100 {
			t.Errorf("%s: a few words will do: %q", s.Key, s.Text)
		}
		var n [4]int
		if _, err := fmt.Sscanf(s.ID, "MQTT-%d.%d.%d-%d", &n[0], &n[1], &n[2], &n[3]); err != nil {
			t.Errorf("%s: %v", s.Key, err)
		}
		if s.Version == lastVersion && slices.Compare(n[:], last) <= 0 {
			t.Errorf("%s is out of order", s.Key)
		}
		last, lastVersion = n[:], s.Version
	}
	for v, want := range map[Version]int{V311: 143, V5: 251} {
		if count[v] != want {
			t.Errorf("%d statements of %s, want %d", count[v], v, want)
		}
	}
}

// TestEveryServerStatementHasATest holds the repository to the listing.
func TestEveryServerStatementHasATest(t *testing.T) {
	found, err := ScanRepository(repository)
	if err != nil {
		t.Fatal(err)
	}
	c := load(t).Cover(found)
	for _, s := range c.Untested {
		t.Errorf("%s (%s): no test names it", s.Key, s.Text)
	}
	for _, e := range c.Unknown {
		t.Errorf("untested.tsv: %s is in no listing, or binds no server", e.Key)
	}
	for _, e := range c.Stale {
		if e.Pending() {
			t.Logf("untested.tsv: %s has a test now (list -prune)", e.Key)
			continue
		}
		t.Errorf("untested.tsv: %s has a test now at %s: %q holds no longer", e.Key, c.Tested[e.Key][0].At, e.Reason)
	}
	for _, p := range c.Unlisted {
		t.Errorf("%s: %s is in no listing of %q", p.At, p.ID, p.Versions)
	}
	for _, p := range c.Ambiguous {
		t.Logf("%s: %s means different things in 3.1.1 and 5.0, so this counts for neither (see the package's doc)", p.At, p.ID)
	}
}

func TestVersionsIn(t *testing.T) {
	for _, tc := range []struct {
		text string
		want []Version
	}{
		{"v5 retain", []Version{V5}},
		{"v5.0 retain", []Version{V5}},
		{"V5/retain", []Version{V5}},
		{"retain on v5", []Version{V5}},
		{"in v5.", []Version{V5}},
		{"MQTT 5 and more", []Version{V5}},
		{"TestV5_MQTT_3_8_3_4", []Version{V5}},
		{"TestRetainV5", []Version{V5}},
		{"connect_v5", []Version{V5}},
		{"mqtt5", []Version{V5}},
		{"v3.1.1 retain", []Version{V311}},
		{"v3", []Version{V311}},
		{"v311", []Version{V311}},
		{"TestV3_1_1_MQTT_3_8_4_3", []Version{V311}},
		{"TestConnectV311", []Version{V311}},
		{"MQTT 3.1.1", []Version{V311}},
		{"connect_v311", []Version{V311}},
		{"v3.1.1 and v5 alike", []Version{V311, V5}},
		{"nothing", nil},
		{"v50 is no version", nil},
		{"v3.1 has no numbered statements", nil},
		{"v31", nil},
		{"level5", nil},
		{"QoS 5", nil},
		{"TestMQTT_3_1_0_1", nil},
		{"TestMQTT_5_1_0_1", nil},
	} {
		if got := versionsIn(tc.text); !slices.Equal(got, tc.want) {
			t.Errorf("versionsIn(%q) = %q, want %q", tc.text, got, tc.want)
		}
	}
}

func TestScanFile(t *testing.T) {
	source := `package p
import "testing"
// [MQTT-1.5.4-1] in a comment is a citation.
func TestV5_MQTT_3_1_0_1_First(t *testing.T) {}
func helper() string { return "v5 [MQTT-3.1.0-2] from a helper" }
func TestTable(t *testing.T) {
	for _, name := range []string{"v5 [MQTT-3.3.1-9] one", "v3.1.1 [MQTT-3.3.1-6] [MQTT-3.3.1-8] two", "[MQTT-4.7.1-2] bare"} {
		t.Run(name, func(t *testing.T) { t.Errorf("v5 [MQTT-9.9.9-9] printed") })
	}
}
func TestRetainV5(t *testing.T) { t.Run("[MQTT-3.3.1-5]", nil) }
`
	places, err := scanFile("p_test.go", []byte(source))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range places {
		got = append(got, fmt.Sprint(p.ID, p.Versions))
	}
	want := []string{
		"MQTT-3.1.0-1[5.0]", "MQTT-3.1.0-2[5.0]", "MQTT-3.3.1-9[5.0]",
		"MQTT-3.3.1-6[3.1.1]", "MQTT-3.3.1-8[3.1.1]", "MQTT-4.7.1-2[]", "MQTT-3.3.1-5[5.0]",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	byFile, err := scanFile("connect_v311_test.go", []byte("package p\nvar _ = \"[MQTT-3.1.0-1]\""))
	if err != nil || len(byFile) != 1 || !slices.Equal(byFile[0].Versions, []Version{V311}) {
		t.Errorf("by the file's name: %v, %v", byFile, err)
	}
	if _, err := scanFile("p_test.go", []byte("package")); err == nil {
		t.Error("a file that does not parse is no error")
	}
}

func TestScan(t *testing.T) {
	root := t.TempDir()
	write := func(name, id string) {
		t.Helper()
		full := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte("package p\nvar _ = \"v5 ["+id+"]\"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("a/one_test.go", "MQTT-1.0.0-1")
	write("a/b/two_test.go", "MQTT-1.0.0-2")
	write("a/b/code.go", "MQTT-1.0.0-3")
	write("a/testdata/three_test.go", "MQTT-1.0.0-4")
	write("a/skipped/four_test.go", "MQTT-1.0.0-5")
	write("other/five_test.go", "MQTT-1.0.0-6")

	found, err := Scan(root, []string{"a", "absent"}, []string{"a/skipped"})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, p := range found {
		ids = append(ids, p.ID)
	}
	slices.Sort(ids)
	if want := []string{"MQTT-1.0.0-1", "MQTT-1.0.0-2"}; !slices.Equal(ids, want) {
		t.Errorf("got %q, want %q", ids, want)
	}
	if err := os.WriteFile(filepath.Join(root, "a/broken_test.go"), []byte("pack"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Scan(root, []string{"a"}, nil); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that does not parse: %v", err)
	}
}

func TestCover(t *testing.T) {
	l := Listing{
		Statements: []Statement{
			{Key{V311, "MQTT-1.0.0-1"}, true, "this in one"},
			{Key{V311, "MQTT-1.0.0-2"}, true, "here only"},
			{Key{V311, "MQTT-1.0.0-8"}, true, "the same in both"},
			{Key{V5, "MQTT-1.0.0-1"}, true, "that in the other"},
			{Key{V5, "MQTT-1.0.0-8"}, true, "the same in both"},
			{Key{V5, "MQTT-1.0.0-3"}, false, "client's"},
			{Key{V5, "MQTT-1.0.0-4"}, true, "excepted"},
			{Key{V5, "MQTT-1.0.0-5"}, true, "excepted and tested"},
			{Key{V5, "MQTT-1.0.0-6"}, true, "untested"},
		},
		Exceptions: []Exception{
			{Key{V5, "MQTT-1.0.0-4"}, "refused on purpose"},
			{Key{V5, "MQTT-1.0.0-5"}, "pending"},
			{Key{V5, "MQTT-1.0.0-3"}, "a client's"},
			{Key{V5, "MQTT-1.0.0-7"}, "does not exist"},
		},
	}
	c := l.Cover([]Place{
		{ID: "MQTT-1.0.0-1"}, // in both, no version
		{ID: "MQTT-1.0.0-2"}, // in one only
		{ID: "MQTT-1.0.0-8"}, // the same in both
		{ID: "MQTT-1.0.0-2", Versions: []Version{V311, V5}}, // in one of those told
		{ID: "MQTT-1.0.0-5", Versions: []Version{V5}},
		{ID: "MQTT-1.0.0-1", Versions: []Version{V5}},
		{ID: "MQTT-1.0.0-9", Versions: []Version{V5}}, // in no listing
	})
	names := func(of any) string {
		var b strings.Builder
		switch of := of.(type) {
		case []Statement:
			for _, s := range of {
				fmt.Fprint(&b, s.Key, ";")
			}
		case []Exception:
			for _, e := range of {
				fmt.Fprint(&b, e.Key, ";")
			}
		case []Place:
			for _, p := range of {
				fmt.Fprint(&b, p.ID, ";")
			}
		}
		return b.String()
	}
	for _, tc := range []struct{ what, got, want string }{
		{"untested", names(c.Untested), "3.1.1 MQTT-1.0.0-1;5.0 MQTT-1.0.0-6;"},
		{"excepted", names(c.Excepted), "5.0 MQTT-1.0.0-4;"},
		{"stale", names(c.Stale), "5.0 MQTT-1.0.0-5;"},
		{"unknown", names(c.Unknown), "5.0 MQTT-1.0.0-3;5.0 MQTT-1.0.0-7;"},
		{"ambiguous", names(c.Ambiguous), "MQTT-1.0.0-1;"},
		{"unlisted", names(c.Unlisted), "MQTT-1.0.0-9;"},
	} {
		if tc.got != tc.want {
			t.Errorf("%s: got %q, want %q", tc.what, tc.got, tc.want)
		}
	}
	if len(c.Tested) != 5 {
		t.Errorf("tested %v, want 5 statements", c.Tested)
	}
}
