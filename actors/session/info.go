package session

import (
	"maps"
	"slices"
	"time"

	"ermine/actors/router"
)

// Info is a session as operators see it (`clients show`).
type Info struct {
	Client
	Connected     bool
	Expiry        uint32 // seconds
	Subscriptions []*router.Subscription
	Inflight      int
	InflightMax   int
	Queued        int
	QueueMax      int
	AwaitingRel   int
	AwaitingMax   int
	Mailbox       int // messages in the inbox
	Counts        Counts
	Created       time.Time
	Disconnected  time.Time // zero while connected
}

func (s *Session) info() Info {
	in := Info{
		Expiry: s.expiry, AwaitingRel: s.in.len(), Mailbox: s.inbox.len(), Created: s.created,
		Connected: s.handle != nil, Disconnected: s.left,
	}
	if s.last != nil {
		in.Client = *s.last
	}
	if s.handle != nil {
		in.Disconnected = time.Time{}
	}
	if st := s.state; st != nil {
		in.Inflight, in.InflightMax = st.Inflight(), st.Limits.MaxInflight
		in.Queued, in.QueueMax = st.Queued(), st.Limits.MaxQueue
		in.AwaitingMax = st.Limits.MaxAwaitingRel
		in.Counts = st.Counts
		for _, raw := range slices.Sorted(maps.Keys(st.subs)) {
			in.Subscriptions = append(in.Subscriptions, st.subs[raw])
		}
	}
	return in
}
