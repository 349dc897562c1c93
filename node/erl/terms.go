package erl

import (
	"fmt"
	"strconv"

	"ermine/actors/message"
	"ermine/actors/router"
	"ermine/node/dist/etf"
)

func decimal(n int) string { return strconv.Itoa(n) }

// subscribeOptions are the Opts of a subscription.
type subscribeOptions struct {
	QoS         byte `etf:"qos"`
	NoLocal     any  `etf:"nl"`
	AsPublished any  `etf:"rap"`
	Handling    byte `etf:"rh"`

	// Ack asks for acknowledgement by {mqtt_ack, Id}; then at most MaxInflight
	// messages wait for theirs at a time.
	Ack         bool `etf:"ack"`
	MaxInflight int  `etf:"max_inflight"`

	// MaxQueue is the subscriber's, not the subscription's: the latest counts.
	MaxQueue int `etf:"max_queue"`
}

const (
	defaultInflight = 100
	maxInflight     = 65535
	defaultQueue    = 10_000
	maxQueue        = 1_000_000
	queueBytes      = 64 << 20

	maxQoS      = 2
	maxHandling = 2
)

// readSubscribe reads Opts: a map, a property list, or just a QoS.
func readSubscribe(term any) (subscribeOptions, error) {
	o := subscribeOptions{MaxInflight: defaultInflight, MaxQueue: defaultQueue}
	if qos, ok := etf.AsInt(term); ok {
		term = etf.Map{{Key: etf.Atom("qos"), Value: qos}}
	}
	if err := readOptions(term, &o); err != nil {
		return o, err
	}
	if o.QoS > maxQoS || o.Handling > maxHandling || o.MaxInflight < 1 || o.MaxInflight > maxInflight || o.MaxQueue < 1 || o.MaxQueue > maxQueue {
		return o, ErrBadArg
	}
	return o, nil
}

// readOptions reads a map or property list; charlists are what [] and lists of
// small integers arrive as.
func readOptions(term, into any) error {
	switch t := term.(type) {
	case etf.Map, etf.List:
	case etf.Charlist:
		if len(t) > 0 {
			return ErrBadArg
		}
		return nil
	default:
		return ErrBadArg
	}
	if err := etf.Unmarshal(term, into); err != nil {
		return fmt.Errorf("%w: %w", ErrBadArg, err)
	}
	return nil
}

// truth reads what MQTT says with 0 and 1, and Erlang with false and true.
func truth(term any) bool {
	n, ok := etf.AsInt(term)
	return term == etf.Atom("true") || term == true || ok && n == 1
}

func (o *subscribeOptions) router() router.Options {
	return router.Options{
		QoS: o.QoS, RetainHandling: o.Handling,
		NoLocal: truth(o.NoLocal), RetainAsPublished: truth(o.AsPublished),
	}
}

// publishOptions are the Opts of a publish.
type publishOptions struct {
	QoS             byte   `etf:"qos"`
	Retain          any    `etf:"retain"`
	From            string `etf:"from"`
	Expiry          uint32 `etf:"expiry_interval"`
	ContentType     string `etf:"content_type"`
	ResponseTopic   string `etf:"response_topic"`
	CorrelationData []byte `etf:"correlation_data"`
	PayloadFormat   any    `etf:"payload_format"`
	UserProperties  any    `etf:"user_properties"`
}

// readMessage makes a message of Topic, Payload and Opts. The topic is checked
// by the broker.
func readMessage(topic, payload, opts any, from string, now int64) (*message.Message, error) {
	o := publishOptions{From: from}
	if err := readOptions(opts, &o); err != nil {
		return nil, err
	}
	name, ok := etf.Text(topic)
	body, err := etf.AppendIOData(nil, payload)
	if !ok || err != nil || o.QoS > maxQoS {
		return nil, ErrBadArg
	}
	m := &message.Message{
		Topic: name, Payload: body, Publisher: o.From, QoS: o.QoS, Retain: truth(o.Retain), Received: now,
	}
	if o.Expiry > 0 {
		const second = 1000
		m.Expires = now + int64(o.Expiry)*second
	}
	p := message.Properties{ContentType: o.ContentType, ResponseTopic: o.ResponseTopic, CorrelationData: o.CorrelationData}
	if n, ok := etf.AsInt(o.PayloadFormat); ok {
		if n != 0 && n != 1 {
			return nil, ErrBadArg
		}
		p.PayloadFormat, p.HasFormat = byte(n), true
	}
	if o.UserProperties != nil {
		if p.User, err = readUserProperties(o.UserProperties); err != nil {
			return nil, err
		}
	}
	if p.HasFormat || p.ContentType != "" || p.ResponseTopic != "" || p.CorrelationData != nil || p.User != nil {
		m.Props = &p
	}
	return m, nil
}

// readUserProperties reads [{Key, Value}].
func readUserProperties(term any) ([]message.UserProperty, error) {
	list, ok := etf.AsList(term)
	if !ok {
		return nil, ErrBadArg
	}
	var out []message.UserProperty
	for _, t := range list {
		pair, ok := t.(etf.Tuple)
		if !ok || len(pair) != 2 {
			return nil, ErrBadArg
		}
		key, ok1 := etf.Text(pair[0])
		value, ok2 := etf.Text(pair[1])
		if !ok1 || !ok2 {
			return nil, ErrBadArg
		}
		out = append(out, message.UserProperty{Key: key, Value: value})
	}
	return out, nil
}

// mqttTerm is {mqtt, Topic, Payload, Props}, what a subscriber is sent.
func mqttTerm(it *item, now int64) etf.Tuple {
	m := it.m
	props := make(etf.Map, 0, 12)
	put := func(key etf.Atom, value any) { props = append(props, etf.Pair{Key: key, Value: value}) }
	put("qos", int64(it.qos))
	put("retain", it.retain)
	put("filter", it.filter)
	if it.id != 0 {
		put("id", it.id)
	}
	if m.Publisher != "" {
		put("publisher", m.Publisher)
	}
	if m.Expires != 0 {
		put("expiry_interval", int64(m.Remaining(now)))
	}
	if p := m.Props; p != nil {
		if p.HasFormat {
			put("payload_format", int64(p.PayloadFormat))
		}
		if p.ContentType != "" {
			put("content_type", p.ContentType)
		}
		if p.ResponseTopic != "" {
			put("response_topic", p.ResponseTopic)
		}
		if p.CorrelationData != nil {
			put("correlation_data", p.CorrelationData)
		}
		if len(p.User) > 0 {
			list := make(etf.List, len(p.User))
			for i, u := range p.User {
				list[i] = etf.Tuple{u.Key, u.Value}
			}
			put("user_properties", list)
		}
	}
	payload := m.Payload
	if payload == nil {
		payload = []byte{}
	}
	return etf.Tuple{etf.Atom("mqtt"), m.Topic, payload, props}
}
