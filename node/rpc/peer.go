package rpc

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// peer is the sending side of one stream to one life of a node. Another life, or
// the same one set anew, is another peer.
type peer struct {
	e      *Endpoint
	name   string
	stream uint64
	pinned bool // SetPeer named the life; guarded by e.mu, as is known
	known  bool // a handshake with that life has succeeded

	incarnation atomic.Uint64 // 0: not known yet; written under e.mu
	addr        atomic.Pointer[string]
	unknown     atomic.Uint64 // frames of types not known
	failing     atomic.Bool   // the last connection of any lane failed

	// ctx ends with the peer; its cause is the outcome of what is unanswered.
	ctx    context.Context //nolint:containedctx // the peer's own life, not a caller's
	cancel context.CancelCauseFunc
	lanes  []*lane
	calls  *caller

	mu   sync.Mutex
	kick chan struct{} // closed, and made anew, to end all pauses
}

func newPeer(e *Endpoint, name, addr string, incarnation, stream uint64) *peer {
	p := &peer{e: e, name: name, stream: stream, pinned: incarnation != 0, kick: make(chan struct{})}
	p.incarnation.Store(incarnation)
	p.addr.Store(&addr)
	p.ctx, p.cancel = context.WithCancelCause(e.ctx)
	p.lanes = make([]*lane, e.cfg.Lanes)
	for i := range p.lanes {
		p.lanes[i] = newLane(p, i)
	}
	p.calls = newCaller(p)
	return p
}

func (p *peer) start() {
	for _, l := range p.lanes {
		p.e.wg.Go(l.run)
	}
	p.e.wg.Go(p.calls.run)
}

// err is why the peer is closed, or nil.
func (p *peer) err() error { return context.Cause(p.ctx) }

// close ends the peer for the first reason given. It does not wait; the lanes
// fail what they hold from their own goroutines.
func (p *peer) close(cause error) {
	p.cancel(cause)
	for _, l := range p.lanes {
		l.refuse(p.err())
	}
}

// mean tells whether SetPeer with this incarnation means p, which is then held
// to that life. The caller holds e.mu.
func (p *peer) mean(incarnation uint64) bool {
	if p.err() != nil {
		return false
	}
	if incarnation == 0 {
		return true
	}
	p.incarnation.CompareAndSwap(0, incarnation)
	if p.incarnation.Load() != incarnation {
		return false
	}
	p.pinned = true
	return true
}

// moveTo sets the address and ends all pauses.
func (p *peer) moveTo(addr string) {
	p.addr.Store(&addr)
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.kick)
	p.kick = make(chan struct{})
}

// pauses is the back-off of one connection.
type pauses struct{ next time.Duration }

// reset makes the next pause the shortest.
func (b *pauses) reset() { b.next = 0 }

// wait waits before the next attempt, unless kicked; it tells whether there is
// to be one.
func (b *pauses) wait(p *peer) bool {
	p.mu.Lock()
	kick := p.kick
	p.mu.Unlock()
	b.next = min(max(2*b.next, p.e.cfg.BackoffMin), p.e.cfg.BackoffMax)
	timer := time.NewTimer(jitter(b.next, rand.Float64()))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-kick:
		b.reset()
	case <-p.ctx.Done():
	}
	return p.ctx.Err() == nil
}

// jitter varies d by up to a half both ways; x is in [0, 1).
func jitter(d time.Duration, x float64) time.Duration {
	return d/2 + time.Duration(x*float64(d))
}

// laneUp and laneDown tell the log and Events. Lane callLane is the connection
// for calls. Of many failures in a row, over all lanes, the log has the first,
// and then what ends them.
func (p *peer) laneUp(lane int) {
	level := slog.LevelDebug
	if p.failing.Swap(false) {
		level = slog.LevelInfo
	}
	p.e.log.Log(p.ctx, level, "lane is up", "peer", p.name, "lane", lane)
	if f := p.e.cfg.Events.LaneUp; f != nil {
		f(Peer{p.name, p.incarnation.Load()}, lane)
	}
}

func (p *peer) laneDown(lane int, err error) {
	level := slog.LevelDebug
	if p.ctx.Err() == nil && !p.failing.Swap(true) {
		level = slog.LevelWarn
	}
	p.e.log.Log(p.ctx, level, "lane is down", "peer", p.name, "lane", lane, "err", err)
	if f := p.e.cfg.Events.LaneDown; f != nil {
		f(p.name, lane, err)
	}
}

// callLane stands for the connection for calls where lanes are numbered.
const callLane = -1
