package cluster

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
)

// StateFile is the name of the membership file below data_dir.
const StateFile = "cluster.json"

// stateFormat is the version of the file's form. It changes when an older
// release could not read the file, or would lose something by writing it.
const stateFormat = 1

// State is what a node keeps on disk of its membership.
type State struct {
	Identity ID `json:"identity"`
	Cluster  ID `json:"cluster"`
	// Epoch and Incarnation are this node's own; they never go back.
	Epoch       uint64 `json:"epoch"`
	Incarnation uint64 `json:"incarnation"`
	// Records are all members, this node and tombstones among them.
	Records []Record `json:"records"`
	// Departed are the clusters that this node has left.
	Departed []Departure `json:"departed,omitempty"`
}

// NewID makes a random identity.
func NewID() (id ID) {
	_, _ = rand.Read(id[:]) // it never fails: crypto/rand ends the program rather
	return id
}

// stateFile is the form of the file. Checksum is the CRC-32C of the bytes of
// State as they stand in the file.
type stateFile struct {
	Format   int             `json:"format"`
	Checksum string          `json:"crc32c"`
	State    json.RawMessage `json:"state"`
}

func checksum(b []byte) string {
	return fmt.Sprintf("%08x", crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
}

// Load reads the membership file below dir. Without a file it returns the zero
// State. The error wraps ErrStateFormat for the file of a newer release and
// ErrStateCorrupt for a damaged one; the file is left as it is, since starting
// without it would make the node somebody else.
func Load(dir string) (State, error) {
	path := filepath.Join(dir, StateFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return State{}, nil
	}
	if err != nil {
		return State{}, fmt.Errorf("read membership: %w", err)
	}
	state, err := decodeState(text)
	if err != nil {
		return State{}, fmt.Errorf("read membership %s: %w", path, err)
	}
	return state, nil
}

func decodeState(text []byte) (State, error) {
	var file stateFile
	if err := json.Unmarshal(text, &file); err != nil {
		return State{}, fmt.Errorf("%w: %w", ErrStateCorrupt, err)
	}
	if file.Format > stateFormat {
		return State{}, fmt.Errorf("%w: %d, this release knows up to %d", ErrStateFormat, file.Format, stateFormat)
	}
	if file.Format < 1 {
		return State{}, fmt.Errorf("%w: format %d", ErrStateCorrupt, file.Format)
	}
	if got := checksum(file.State); got != file.Checksum {
		return State{}, fmt.Errorf("%w: checksum %s, the file says %q", ErrStateCorrupt, got, file.Checksum)
	}
	var state State
	if err := json.Unmarshal(file.State, &state); err != nil {
		return State{}, fmt.Errorf("%w: %w", ErrStateCorrupt, err)
	}
	if state.Identity == (ID{}) || state.Cluster == (ID{}) {
		return State{}, fmt.Errorf("%w: no identity", ErrStateCorrupt)
	}
	return state, nil
}

func encodeState(state State) ([]byte, error) {
	body, err := json.Marshal(state)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(stateFile{Format: stateFormat, Checksum: checksum(body), State: body})
	if err != nil {
		return nil, err
	}
	return append(text, '\n'), nil
}

// Save writes the membership file below dir, which exists. A crash at any moment
// leaves the old file or the new one. It returns when the file is on disk.
func Save(dir string, state State) error {
	text, err := encodeState(state)
	if err != nil {
		return fmt.Errorf("save membership: %w", err)
	}
	path := filepath.Join(dir, StateFile)
	if err := replaceFile(path, text); err != nil {
		return fmt.Errorf("save membership: %w", err)
	}
	return nil
}

func replaceFile(path string, text []byte) error {
	f, err := os.OpenFile(path+".tmp", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes a rename durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
