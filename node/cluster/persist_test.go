package cluster

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

func testState() State {
	return State{
		Identity: testID(1), Cluster: testID(2), Epoch: 3, Incarnation: 4,
		Records:  []Record{testRecord(1), testRecord(5).tombstone(99)},
		Departed: []Departure{{Cluster: testID(6), Record: testRecord(1).tombstone(98)}},
	}
}

func TestSaveLoad(t *testing.T) {
	dir := t.TempDir()
	if got, err := Load(dir); err != nil || !reflect.DeepEqual(got, State{}) {
		t.Fatalf("no file: %+v, %v", got, err)
	}
	want := testState()
	// A crash while writing leaves a part behind, which must not matter.
	if err := os.WriteFile(filepath.Join(dir, StateFile+".tmp"), bytes.Repeat([]byte("x"), 1<<16), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := Save(dir, want); err != nil {
			t.Fatal(err)
		}
		got, err := Load(dir)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("got %+v, %v", got, err)
		}
		want.Incarnation++
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	if info, err := os.Stat(filepath.Join(dir, StateFile)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if err := Save(filepath.Join(dir, "missing"), want); err == nil {
		t.Error("saved into a directory that is not there")
	}
}

// TestLoadGolden: a file of the first format is read for ever.
func TestLoadGolden(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "state_v1.json"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := decodeState(text)
	if err != nil || !reflect.DeepEqual(got, testState()) {
		t.Errorf("got %+v, %v", got, err)
	}
	written, err := encodeState(testState())
	if err != nil || !bytes.Equal(written, text) {
		t.Errorf("written now:\n%s", written)
	}
}

func TestLoadDamaged(t *testing.T) {
	text, err := encodeState(testState())
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		text []byte
		want error
	}{
		"empty":       {nil, ErrStateCorrupt},
		"half":        {text[:len(text)/2], ErrStateCorrupt},
		"a bit":       {bytes.Replace(text, []byte(`"epoch":3`), []byte(`"epoch":2`), 1), ErrStateCorrupt},
		"not ours":    {[]byte(`{}`), ErrStateCorrupt},
		"newer":       {[]byte(`{"format":2,"anything":[]}`), ErrStateFormat},
		"no identity": {[]byte(`{"format":1,"crc32c":"` + checksum([]byte(`{}`)) + `","state":{}}`), ErrStateCorrupt},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, StateFile), tc.text, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(dir); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v", name, err)
		}
		if after, err := os.ReadFile(filepath.Join(dir, StateFile)); err != nil || !bytes.Equal(after, tc.text) {
			t.Errorf("%s: the file was touched", name)
		}
	}
}

func FuzzDecodeState(f *testing.F) {
	text, _ := encodeState(testState())
	f.Add(text)
	f.Fuzz(func(t *testing.T, b []byte) {
		state, err := decodeState(b)
		if err != nil {
			return
		}
		again, err := encodeState(state)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := decodeState(again); err != nil || got.Identity != state.Identity {
			t.Fatalf("%+v, %v", got, err)
		}
	})
}
