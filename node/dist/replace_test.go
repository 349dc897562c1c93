package dist

import (
	"errors"
	"log/slog"
	"net"
	"testing"

	"ermine/node/dist/etf"
	"ermine/node/dist/handshake"
	"ermine/node/dist/proto"
)

// stranger is the other end of a connection, made by hand.
type stranger struct {
	*proto.Conn
	res *handshake.Result
}

// visit connects to n under a name and creation. alive is the answer when n
// says that it has a connection already.
func visit(t *testing.T, n *Network, name string, creation uint32, alive bool) (*stranger, error) {
	t.Helper()
	conn, err := net.Dial("tcp", n.ListenAddr())
	if err != nil {
		t.Fatal(err)
	}
	res, err := handshake.Start(deadline(t), conn, handshake.Config{
		Name: name, Cookie: "secret", Creation: creation, Flags: handshake.OwnFlags(true),
	}, n.Name(), handshake.StartOptions{OnAlive: func() bool { return alive }})
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	p := proto.New(proto.Config{Conn: conn, Name: name, Peer: n.Name(), Flags: res.Flags, Logger: slog.New(slog.DiscardHandler)})
	go func() { _ = p.Serve(func(proto.Signal) error { return nil }) }()
	t.Cleanup(func() { p.Close(nil, 0) })
	return &stranger{p, res}, nil
}

func TestReplacement(t *testing.T) {
	const name = "peer@127.0.0.1"
	n := start(t, nil)
	events := make(chan NodeEvent, 100)
	defer n.Subscribe(func(ev NodeEvent) { events <- ev })()
	next := func(up bool, creation uint32, reason error) {
		t.Helper()
		ev := get(t, events)
		if ev.Up != up || ev.Creation != creation || !errors.Is(ev.Reason, reason) {
			t.Errorf("event %+v, want up=%t creation=%d reason=%v", ev, up, creation, reason)
		}
	}
	first, err := visit(t, n, name, 100, false)
	if err != nil {
		t.Fatal(err)
	}
	next(true, 100, nil)
	// The same life again: it says whether the old connection is dead.
	if _, err := visit(t, n, name, 100, false); !errors.Is(err, handshake.ErrAlive) {
		t.Errorf("a second connection: %v", err)
	}
	if first.Reason() != nil {
		t.Error("the first one was closed")
	}
	second, err := visit(t, n, name, 100, true)
	if err != nil {
		t.Fatal(err)
	}
	next(false, 100, ErrReplaced)
	next(true, 100, nil)
	<-first.Done()
	if !second.res.Replaces {
		t.Error("nobody asked about the old connection")
	}
	// Another life replaces it at once. Only a peer that has proved the cookie
	// can do so.
	conn, err := net.Dial("tcp", n.ListenAddr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = handshake.Start(deadline(t), conn, handshake.Config{
		Name: name, Cookie: "guess", Creation: 300, Flags: handshake.OwnFlags(true),
	}, n.Name(), handshake.StartOptions{})
	if !errors.Is(err, handshake.ErrCookie) {
		t.Errorf("without the cookie: %v", err)
	}
	if second.Reason() != nil {
		t.Error("a stranger ended the connection")
	}
	third, err := visit(t, n, name, 200, false)
	if err != nil {
		t.Fatal(err)
	}
	next(false, 100, ErrReplaced)
	next(true, 200, nil)
	<-second.Done()
	if err := third.Push(&proto.SendName{From: etf.Pid{Node: name, ID: 9, Creation: 200}, To: "nobody", Message: int64(1)}); err != nil {
		t.Error(err)
	}
	if got := n.Nodes(); len(got) != 1 {
		t.Errorf("connected: %v", got)
	}
	// The same name as this node, or none at all.
	if _, err := visit(t, n, n.Name(), 1, false); !errors.Is(err, handshake.ErrNotAllowed) {
		t.Errorf("own name: %v", err)
	}
}

// TestSupersedes: two nodes that look at the same two connections keep the same
// one.
func TestSupersedes(t *testing.T) {
	small := &Network{opts: Options{Name: "a@h"}}
	great := &Network{opts: Options{Name: "b@h"}}
	type end struct {
		n         *Network
		peer      string
		initiator bool
	}
	keepsNew := func(e end, oldInitiator bool, res handshake.Result) bool {
		res.Peer = e.peer
		old := &Conn{res: &handshake.Result{Peer: e.peer, PeerCreation: 5}, initiator: oldInitiator}
		return e.n.supersedes(old, &res, e.initiator)
	}
	same := handshake.Result{PeerCreation: 5}
	// The new connection was begun by the small node, the old one by the great
	// one, and the other way round.
	for _, bySmall := range []bool{true, false} {
		atSmall := keepsNew(end{small, "b@h", bySmall}, !bySmall, same)
		atGreat := keepsNew(end{great, "a@h", !bySmall}, bySmall, same)
		if atSmall != atGreat {
			t.Errorf("new one begun by the small node = %t: the small one keeps new = %t, the great one %t", bySmall, atSmall, atGreat)
		}
		if atSmall == bySmall {
			t.Errorf("new one begun by the small node = %t is kept = %t", bySmall, atSmall)
		}
	}
	for name, res := range map[string]handshake.Result{
		"old one is dead": {PeerCreation: 5, Replaces: true},
		"another life":    {PeerCreation: 6},
	} {
		for _, initiator := range []bool{true, false} {
			if !keepsNew(end{small, "b@h", initiator}, initiator, res) {
				t.Errorf("%s: not replaced", name)
			}
		}
	}
}
