package session

import "sync"

// inbound is the receiving half of QoS 2: the Packet Identifiers that the
// client has not released [MQTT-4.3.3-10]. The connection's goroutine uses it,
// and the process for time-outs; it belongs to the session and outlives the
// connection.
type inbound struct {
	mu   sync.Mutex
	ids  map[uint16]int64 // when the PUBLISH came, Unix milliseconds
	held []*receipt       // of MQTT 3 clients beyond max_awaiting_rel: PUBREC waits
}

type verdict byte

const (
	fresh     verdict = iota // a new message: route it
	duplicate                // already taken: acknowledge only
	full                     // beyond max_awaiting_rel
)

// begin records id, unless it is already there or the limit is reached. With
// over, a new one is recorded beyond the limit, too, and reported as full.
func (n *inbound) begin(id uint16, now int64, limit int, over bool) verdict {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, ok := n.ids[id]; ok {
		return duplicate
	}
	v := fresh
	if limit > 0 && len(n.ids) >= limit {
		if !over {
			return full
		}
		v = full
	}
	if n.ids == nil {
		n.ids = make(map[uint16]int64)
	}
	n.ids[id] = now
	return v
}

// hold keeps a PUBREC back until an identifier is released.
func (n *inbound) hold(r *receipt) {
	r.Add()
	n.mu.Lock()
	n.held = append(n.held, r)
	n.mu.Unlock()
}

// release forgets id and reports whether it was known.
func (n *inbound) release(id uint16) bool {
	n.mu.Lock()
	_, ok := n.ids[id]
	delete(n.ids, id)
	if len(n.ids) == 0 {
		n.ids = nil
	}
	var next *receipt
	if ok && len(n.held) > 0 {
		next, n.held = n.held[0], n.held[1:]
	}
	n.mu.Unlock()
	if next != nil {
		next.Done()
	}
	return ok
}

// expire forgets identifiers that came before the given time and returns how
// many; next is when the oldest of the others came, 0 when there is none.
func (n *inbound) expire(before int64) (expired int, next int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for id, at := range n.ids {
		switch {
		case at <= before:
			delete(n.ids, id)
			expired++
		case next == 0 || at < next:
			next = at
		}
	}
	return expired, next
}

func (n *inbound) len() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.ids)
}

// clear forgets everything; disconnect forgets only what waits on the
// connection that has ended.
func (n *inbound) clear() {
	n.mu.Lock()
	n.ids, n.held = nil, nil
	n.mu.Unlock()
}

func (n *inbound) disconnect() {
	n.mu.Lock()
	n.held = nil
	n.mu.Unlock()
}
