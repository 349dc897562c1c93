package session

import "sync"

// inbound is the receiving half of QoS 2: the Packet Identifiers that the
// client has not released [MQTT-4.3.3-10]. It belongs to the session and
// outlives connections; the goroutine of the current one uses it, and the
// process for time-outs. A connection that has lost the session is refused.
type inbound struct {
	mu    sync.Mutex
	owner *Handle // of the current connection
	ids   map[uint16]arrival
	open  int        // those that the current connection has published
	held  []*receipt // of MQTT 3 clients beyond max_awaiting_rel: PUBREC waits
}

type arrival struct {
	at   int64 // when the PUBLISH came first, Unix milliseconds
	here bool  // it came on the current connection
}

type verdict byte

const (
	fresh     verdict = iota // a new message: route it
	held                     // likewise, but its PUBREC waits for a PUBREL
	duplicate                // already taken: acknowledge only
	full                     // beyond max_awaiting_rel
	stale                    // the session has moved to another connection
)

// begin records r's identifier for a connection, unless it is already there.
// Beyond limit, 0 being none, it is full; or with hold the message is taken all
// the same, and r gets a place more, which is done once identifiers have been
// released: an MQTT 3 client cannot be refused.
func (n *inbound) begin(h *Handle, r *receipt, now int64, limit int, hold bool) verdict {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.owner != h {
		return stale
	}
	if a, ok := n.ids[r.id]; ok {
		if !a.here { // sent again after a reconnect
			a.here = true
			n.ids[r.id] = a
			n.open++
		}
		return duplicate
	}
	v := fresh
	if limit > 0 && len(n.ids) >= limit {
		if !hold {
			return full
		}
		v = held
		r.Add()
		r.acks.held.Add(1)
		n.held = append(n.held, r)
	}
	if n.ids == nil {
		n.ids = make(map[uint16]arrival)
	}
	n.ids[r.id] = arrival{at: now, here: true}
	n.open++
	return v
}

// release forgets an identifier and reports whether it was known.
func (n *inbound) release(h *Handle, id uint16, limit int) bool {
	n.mu.Lock()
	ok := n.owner == h && n.forget(id)
	free := n.unhold(limit)
	n.mu.Unlock()
	letGo(free)
	return ok
}

// forget removes an identifier. mu is held.
func (n *inbound) forget(id uint16) bool {
	a, ok := n.ids[id]
	if !ok {
		return false
	}
	if a.here {
		n.open--
	}
	delete(n.ids, id)
	if len(n.ids) == 0 {
		n.ids = nil
	}
	return true
}

// unhold takes out the receipts that need not wait any longer. mu is held.
func (n *inbound) unhold(limit int) (free []*receipt) {
	for len(n.held) > 0 && (limit <= 0 || len(n.ids)-len(n.held) < limit) {
		free = append(free, n.held[0])
		n.held = n.held[1:]
	}
	return free
}

func letGo(free []*receipt) {
	for _, r := range free {
		r.acks.held.Add(-1)
		r.Done()
	}
}

// expire forgets identifiers that came before the given time and returns how
// many; next is when the oldest of the others came, 0 when there is none.
func (n *inbound) expire(before int64, limit int) (expired int, next int64) {
	n.mu.Lock()
	for id, a := range n.ids {
		switch {
		case a.at <= before:
			n.forget(id)
			expired++
		case next == 0 || a.at < next:
			next = a.at
		}
	}
	free := n.unhold(limit)
	n.mu.Unlock()
	letGo(free)
	return expired, next
}

func (n *inbound) len() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.ids)
}

// unreleased is how many QoS 2 publishes of the current connection have not
// come to their PUBCOMP.
func (n *inbound) unreleased() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.open
}

// drop forgets an identifier whose message could not be routed.
func (n *inbound) drop(h *Handle, id uint16) {
	n.mu.Lock()
	if n.owner == h {
		n.forget(id)
	}
	n.mu.Unlock()
}

// clear forgets everything, the connection too.
func (n *inbound) clear() {
	n.mu.Lock()
	n.owner, n.ids, n.held, n.open = nil, nil, nil, 0
	n.mu.Unlock()
}

// attach hands the identifiers to another connection; what waits on the one
// before is forgotten.
func (n *inbound) attach(h *Handle) {
	n.mu.Lock()
	n.owner, n.held, n.open = h, nil, 0
	for id, a := range n.ids {
		a.here = false
		n.ids[id] = a
	}
	n.mu.Unlock()
}
