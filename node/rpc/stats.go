package rpc

// PeerStats are the counters of one peer. Those of sending are of the stream
// that is under way, and start again when the peer is set anew or comes back in
// another life; those of receiving are of all that came under its name.
type PeerStats struct {
	Incarnation uint64 // 0: not known yet
	Lanes       int    // lanes that are connected
	Connects    uint64 // connections that came about, over all lanes

	QueuedBytes    uint64 // not acknowledged, encoded
	QueuedMessages uint64
	Sent           uint64 // messages written at least once
	Resent         uint64 // messages written again after a reconnect
	Acked          uint64
	Refused        uint64 // Sends that failed: full, too large
	Failed         uint64 // messages whose outcome was not nil, of those awaited

	Received   uint64 // messages handed to handlers
	Duplicates uint64 // messages dropped because they were received before
	Unknown    uint64 // messages without handler, frames of types not known
}

// PeerStats are a peer's counters; false if it is not set.
func (e *Endpoint) PeerStats(name string) (PeerStats, bool) {
	p := (*e.peers.Load())[name]
	if p == nil {
		return PeerStats{}, false
	}
	st := PeerStats{Incarnation: p.incarnation.Load(), Unknown: p.unknown.Load()}
	for _, l := range p.lanes {
		l.mu.Lock()
		if l.link != nil {
			st.Lanes++
		}
		st.Connects += l.stats.connects
		st.QueuedBytes += uint64(l.box.queued)
		st.QueuedMessages += l.box.messages()
		st.Sent += l.box.written
		st.Resent += l.box.resent
		st.Acked += l.stats.acked
		st.Refused += l.stats.refused
		st.Failed += l.stats.failed
		l.mu.Unlock()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if set := e.inbound[name]; set != nil {
		st.Received = set.counters.received.Load()
		st.Duplicates = set.counters.duplicates.Load()
		st.Unknown += set.counters.unknown.Load()
	}
	return st, true
}

// Peers are the names of all peers, in no order.
func (e *Endpoint) Peers() []string {
	peers := *e.peers.Load()
	names := make([]string, 0, len(peers))
	for name := range peers {
		names = append(names, name)
	}
	return names
}
