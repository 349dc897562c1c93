package rpc_test

import (
	"context"
	"fmt"

	"ermine/node/rpc"
)

// Two nodes in one process; each says what it takes before it starts, and then
// who its peers are.
func Example() {
	const publish rpc.Kind = 1
	start := func(name string, handler rpc.Handler) *rpc.Endpoint {
		cfg := rpc.DefaultConfig()
		cfg.Name, cfg.Incarnation, cfg.Cookie = name, 1, "a long and random cookie"
		cfg.Listen = "127.0.0.1:0"
		e, err := rpc.New(cfg)
		if err != nil {
			panic(err)
		}
		e.Handle(publish, handler)
		if err := e.Start(context.Background()); err != nil {
			panic(err)
		}
		return e
	}
	a := start("a@127.0.0.1", nil)
	b := start("b@127.0.0.1", func(from rpc.Peer, payload []byte, ack func()) {
		fmt.Printf("%s from %s\n", payload, from.Name)
		ack()
	})
	ctx := context.Background()
	defer b.Stop(ctx)
	defer a.Stop(ctx)
	for _, err := range []error{
		a.SetPeer("b@127.0.0.1", b.Addr().String(), 0),
		b.SetPeer("a@127.0.0.1", a.Addr().String(), 0),
	} {
		if err != nil {
			panic(err)
		}
	}

	outcome := make(chan error)
	err := a.Send("b@127.0.0.1", 42, publish,
		func(dst []byte) []byte { return append(dst, "hello"...) },
		func(err error) { outcome <- err })
	if err != nil {
		panic(err)
	}
	fmt.Println("outcome:", <-outcome)
	// Output:
	// hello from a@127.0.0.1
	// outcome: <nil>
}
