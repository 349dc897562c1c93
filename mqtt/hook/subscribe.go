package hook

import (
	"context"
	"strings"

	"ermine/actors/metrics"
	"ermine/actors/router"
	"ermine/actors/session"
	"ermine/actors/topic"
	"ermine/mqtt/wire"
)

// subscribe takes a SUBSCRIBE. It returns when the session has routed the
// filters and written SUBACK, so that what the client sends next finds them.
func (c *connection) subscribe(ctx context.Context, body []byte) error {
	m := c.hook.metrics
	m.Inc(c.stripe, metrics.PacketsSubscribeReceived)
	id, subID, requests, err := wire.DecodeSubscribe(c.version, body)
	if err != nil {
		m.Inc(c.stripe, metrics.PacketsSubscribeError)
		return err
	}
	req := session.SubscribeRequest{
		PacketID: id,
		Subs:     make([]*router.Subscription, len(requests)),
		Codes:    make([]byte, len(requests)),
	}
	for i := range requests {
		sub, code, err := c.subscription(ctx, &requests[i], subID)
		if err != nil {
			m.Inc(c.stripe, metrics.PacketsSubscribeError)
			return err
		}
		if code == wire.NotAuthorized {
			m.Inc(c.stripe, metrics.PacketsSubscribeAuthError)
		} else if code >= wire.UnspecifiedError {
			m.Inc(c.stripe, metrics.PacketsSubscribeError)
		}
		req.Subs[i], req.Codes[i] = sub, code
	}
	m.Inc(c.stripe, metrics.ClientSubscribe)
	return sessionError(c.session.Subscribe(ctx, req))
}

// subscription validates and authorises one filter. A filter that is refused
// has a code of 0x80 and above; the error is for one that ends the connection.
func (c *connection) subscription(ctx context.Context, r *wire.Request, subID uint32) (*router.Subscription, byte, error) {
	raw := strings.Clone(r.Filter) // the session keeps it, without the packet
	sub := &router.Subscription{Raw: raw}
	p, err := topic.ParseFilter(raw)
	if err != nil {
		return sub, wire.TopicFilterInvalid, nil
	}
	if p.Shared() && r.NoLocal { // [MQTT-3.8.3-4]
		return nil, 0, errSharedNoLocal
	}
	z := c.zone
	switch {
	case z.MaxTopicLevels > 0 && topic.Levels(p.Filter) > z.MaxTopicLevels:
		return sub, wire.TopicFilterInvalid, nil
	case p.Shared() && !z.Shared: // [MQTT-3.2.2-22]
		return sub, wire.SharedNotSupported, nil
	case p.Wildcard && !z.Wildcard:
		return sub, wire.WildcardsNotSupported, nil
	case p.Kind == topic.Exclusive && !z.Exclusive:
		return sub, wire.TopicFilterInvalid, nil
	}
	if !c.maySubscribe(ctx, string(p.Filter), r.QoS) {
		if c.hook.conf.DenyDisconnect {
			return nil, 0, errNotAuthorized
		}
		return sub, wire.NotAuthorized, nil
	}
	sub.Filter = p.Filter
	if c.mount != "" {
		// Longer than a filter can be, it would match no name.
		if sub.Filter = topic.Filter(c.mount) + p.Filter; len(sub.Filter) > topic.MaxLen {
			return sub, wire.TopicFilterInvalid, nil
		}
	}
	sub.Group = p.Group
	sub.Exclusive = p.Kind == topic.Exclusive
	sub.Options = router.Options{
		ID: subID, QoS: min(r.QoS, z.MaxQoS), RetainHandling: r.RetainHandling, // [MQTT-3.2.2-10]
		NoLocal: r.NoLocal, RetainAsPublished: r.RetainAsPublished,
	}
	if c.version != wire.V5 {
		sub.NoLocal = (z.IgnoreLoopDeliver || c.client.Bridge) && !p.Shared()
		sub.RetainAsPublished = c.client.Bridge
	}
	return sub, 0, nil
}

// unsubscribe takes an UNSUBSCRIBE, and returns like subscribe. A filter that
// is not valid is one that the client does not have.
func (c *connection) unsubscribe(ctx context.Context, body []byte) error {
	m := c.hook.metrics
	m.Inc(c.stripe, metrics.PacketsUnsubscribeReceived)
	id, filters, err := wire.DecodeUnsubscribe(c.version, body)
	if err != nil {
		m.Inc(c.stripe, metrics.PacketsUnsubscribeError)
		return err
	}
	m.Inc(c.stripe, metrics.ClientUnsubscribe)
	return sessionError(c.session.Unsubscribe(ctx, session.UnsubscribeRequest{PacketID: id, Filters: filters}))
}
