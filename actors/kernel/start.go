package kernel

import (
	"context"
	"fmt"
	"time"
)

// startWait bounds StartRoot.
const startWait = 10 * time.Second

// StartRoot is SpawnRoot that returns once the actor has handled Started, with
// its children spawned: what boots after it can rely on it. Crashes on the way
// are the supervisor's business; an actor that is given up, or takes longer
// than 10 s, is an error, and is stopped.
func (s *System) StartRoot(spec Spec) (Ref, error) {
	ref, err := s.SpawnRoot(spec)
	if err != nil {
		return Ref{}, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startWait)
	defer cancel()
	if _, err := Call(ctx, ref, func(r Reply[struct{}]) any { return &order{ready: r} }); err != nil {
		ref.Stop()
		return Ref{}, fmt.Errorf("start %q: %w", ref.Name(), err)
	}
	return ref, nil
}
