package kernel_test

import (
	"context"
	"fmt"

	"ermine/actors/kernel"
)

// add (cast) adds to the sum; sum (call) asks for it.
type (
	add struct{ n int }
	sum struct{ reply kernel.Reply[int] }
)

type counter struct{ total int }

func (a *counter) Receive(c *kernel.Context, msg any) {
	switch m := msg.(type) {
	case kernel.Started:
		fmt.Println(c.Name(), "started, restarts:", m.Restarts)
	case add:
		if m.n < 0 {
			panic("negative")
		}
		a.total += m.n
	case sum:
		m.reply.Send(a.total)
	}
}

// An actor with a call, before and after a crash: its state is gone, its
// reference and the messages that were queued are not.
func Example() {
	ctx := context.Background()
	system := kernel.NewSystem(kernel.Config{})
	counter, err := system.SpawnRoot(kernel.Spec{
		Name: "counter",
		Kind: "counter",
		New:  func() kernel.Actor { return new(counter) },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ask := func() {
		n, err := kernel.Call(ctx, counter, func(r kernel.Reply[int]) any { return sum{r} })
		fmt.Println(n, err)
	}
	counter.Send(add{1})
	counter.Send(add{2})
	ask()
	counter.Send(add{-1})
	counter.Send(add{4})
	ask()
	fmt.Println(system.Shutdown(ctx), system.Err())
	// Output:
	// counter started, restarts: 0
	// 3 <nil>
	// counter started, restarts: 1
	// 4 <nil>
	// <nil> actor system shut down
}
