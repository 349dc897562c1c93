package broker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// profileEnv tells a node of Ermine to serve net/http/pprof at host:port.
const profileEnv = "ERMINE_DEBUG_PPROF"

// ErrNoProfile is returned by Profile when a broker serves no profiles.
var ErrNoProfile = errors.New("serves no profiles")

// Profile takes a CPU profile of the first node for so long, and writes it to a
// file. It blocks meanwhile.
func (in *Instance) Profile(ctx context.Context, d time.Duration, file string) (err error) {
	if len(in.nodes) == 0 || in.nodes[0].profile == "" {
		return fmt.Errorf("%s: %w", in.Kind.Name, ErrNoProfile)
	}
	seconds := max(1, int(d.Seconds()))
	url := fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", in.nodes[0].profile, seconds)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("%s: %w: %w", in.Kind.Name, ErrNoProfile, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %w: %s", in.Kind.Name, ErrNoProfile, resp.Status)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = io.Copy(f, resp.Body)
	return err
}
