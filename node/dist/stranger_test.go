package dist

import (
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"ermine/node/dist/etf"
	"ermine/node/dist/proto"
)

// lockedText is a log that several goroutines write to.
type lockedText struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lockedText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lockedText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// TestGarbageDoesNotFillTheLog: whoever can reach the port may not write as many
// lines as he likes.
func TestGarbageDoesNotFillTheLog(t *testing.T) {
	log := &lockedText{}
	n := start(t, func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(log, nil)) })
	began := time.Now()
	const strangers = 200
	for range strangers {
		conn, err := net.Dial("tcp", n.ListenAddr())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, conn) // until it is closed, or reset
		_ = conn.Close()
	}
	lines := strings.Count(log.String(), "connection refused")
	if most := 2 + int(time.Since(began)/time.Second); lines < 1 || lines > most {
		t.Errorf("%d strangers wrote %d lines, at most %d", strangers, lines, most)
	}
}

// TestLinkToOtherNode: a link to a process of a third node is answered at once;
// nobody connects there for it.
func TestLinkToOtherNode(t *testing.T) {
	n := start(t, nil)
	p, err := visit(t, n, "peer@127.0.0.1", 100, false)
	if err != nil {
		t.Fatal(err)
	}
	third := "third" + freeName(t)
	if err := p.Push(&proto.Link{
		From: etf.Pid{Node: "peer@127.0.0.1", ID: 5, Creation: 100},
		To:   etf.Pid{Node: etf.Atom(third), ID: 7, Creation: 9},
	}); err != nil {
		t.Fatal(err)
	}
	poll(t, "the link is answered", func() bool { info, ok := n.Peer("peer@127.0.0.1"); return ok && info.Stats.MessagesOut > 0 })
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.peers[third] != nil {
		t.Errorf("the node went looking for %s", third)
	}
}
