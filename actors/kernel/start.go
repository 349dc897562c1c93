package kernel

import (
	"context"
	"fmt"
	"time"
)

// startWait bounds StartRoot.
const startWait = 10 * time.Second

// ready (call, from StartRoot) is answered once Started has been handled.
type ready struct{ reply Reply[struct{}] }

// starting answers ready in front of a root actor.
type starting struct{ Actor }

func (a starting) Receive(c *Context, msg any) {
	if m, ok := msg.(ready); ok {
		m.reply.Send(struct{}{})
		return
	}
	a.Actor.Receive(c, msg)
}

// StartRoot is SpawnRoot that returns once the actor has handled Started, with
// its children spawned: what boots after it can rely on it. It fails when the
// actor crashes on Started or takes longer than 10 s.
func (s *System) StartRoot(spec Spec) (Ref, error) {
	newActor := spec.New
	spec.New = func() Actor { return starting{newActor()} }
	ref, err := s.SpawnRoot(spec)
	if err != nil {
		return Ref{}, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startWait)
	defer cancel()
	if _, err := Call(ctx, ref, func(r Reply[struct{}]) any { return ready{r} }); err != nil {
		return Ref{}, fmt.Errorf("start %s: %w", spec.Name, err)
	}
	return ref, nil
}
