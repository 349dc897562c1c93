package hook

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	"ermine/actors/message"
	"ermine/actors/metrics"
	"ermine/actors/session"
	"ermine/actors/topic"
	"ermine/mqtt/wire"
)

// publish takes a PUBLISH: it is validated, authorised, and handed to the
// session, which sees to its acknowledgement.
func (c *connection) publish(ctx context.Context, first byte, body []byte) error {
	m := c.hook.metrics
	m.Inc(c.stripe, metrics.PacketsPublishReceived)
	var in wire.Inbound
	if err := wire.DecodePublish(&in, c.version, first, body); err != nil {
		m.Inc(c.stripe, metrics.PacketsPublishError)
		return err
	}
	if err := c.checkPublish(&in); err != nil {
		m.Inc(c.stripe, metrics.PacketsPublishError)
		return err
	}
	m.Inc(c.stripe, metrics.MessagesReceived)
	m.Inc(c.stripe, received[in.QoS])

	if _, target := splitDelayed(in.Topic); !c.mayPublish(ctx, target, in.QoS, in.Retain) {
		m.Inc(c.stripe, metrics.PacketsPublishAuthError)
		if c.hook.conf.DenyDisconnect {
			return errNotAuthorized
		}
		return c.refusePublish(&in, wire.NotAuthorized)
	}
	if c.zone.Strict && in.Props != nil && in.Props.HasFormat && in.Props.PayloadFormat == 1 && !utf8.Valid(in.Payload) {
		m.Inc(c.stripe, metrics.PacketsPublishError)
		if in.QoS == 0 {
			return errPayloadFormat
		}
		return c.refusePublish(&in, wire.PayloadFormatInvalid)
	}

	now := c.hook.now().UnixMilli()
	msg := &message.Message{
		Topic: c.mounted(in.Topic), Payload: in.Payload, Publisher: c.client.ID, Props: in.Props,
		Received: now, QoS: in.QoS, Retain: in.Retain,
	}
	switch {
	case in.HasExpiry:
		msg.Expires = now + int64(in.Expiry)*1000
	case c.zone.MessageExpiry > 0:
		msg.Expires = now + c.zone.MessageExpiry.Milliseconds()
	}
	return sessionError(c.session.Publish(msg, in.PacketID))
}

var received = [3]metrics.Counter{metrics.MessagesQoS0Received, metrics.MessagesQoS1Received, metrics.MessagesQoS2Received}

// maxPinned is how much payload may be kept from being freed by a Topic Name
// that shares memory with it, and is remembered.
const maxPinned = 256

// checkPublish holds a PUBLISH against the standard and the zone, and puts its
// Topic Name in the place of an alias.
func (c *connection) checkPublish(in *wire.Inbound) error {
	if in.QoS > c.zone.MaxQoS {
		return errQoSAllowed
	}
	if in.Retain && !c.zone.Retain {
		return errRetainAllowed
	}
	if in.Alias > c.zone.MaxTopicAlias {
		return errAliasRange
	}
	if in.Topic == "" {
		name, ok := c.inAliases.name(in.Alias)
		if !ok {
			return errAliasUnknown
		}
		in.Topic = name
		return nil
	}
	// Clients tend to publish to one topic again and again: its name was found
	// valid then, and one copy of it serves all messages.
	if in.Topic == c.topic {
		in.Topic = c.topic
	} else {
		if err := c.checkTopic(in.Topic); err != nil {
			return err
		}
		if len(in.Payload) > maxPinned {
			in.Topic = strings.Clone(in.Topic)
		}
		c.topic = in.Topic
	}
	if in.Alias != 0 && !c.inAliases.set(in.Alias, in.Topic) {
		return errAliasMemory
	}
	return nil
}

// checkTopic holds a Topic Name of a PUBLISH against the standard and the zone.
func (c *connection) checkTopic(name string) error {
	target := name
	if strings.HasPrefix(name, "$") {
		for _, prefix := range [...]string{topic.SharePrefix, topic.QueuePrefix, topic.ExclusivePrefix} {
			if strings.HasPrefix(name, prefix) { // these are filters: no subscriber could ever match
				return errTopicName
			}
		}
		d, delayed, err := topic.ParseDelayed(name)
		if err != nil {
			return errTopicName
		}
		if delayed {
			if _, err := d.Due(c.hook.now()); err != nil {
				return errTopicName
			}
			target = string(d.Name)
		}
	}
	if topic.ValidateName(target) != nil { // [MQTT-3.3.2-2] [MQTT-4.7.3-1]
		return errTopicName
	}
	if c.zone.MaxTopicLevels > 0 && topic.Levels(target) > c.zone.MaxTopicLevels {
		return errTopicLevels
	}
	return nil
}

// splitDelayed splits a valid name into its $delayed prefix, which may be
// empty, and the name that the message is for.
func splitDelayed(name string) (prefix, target string) {
	if !strings.HasPrefix(name, topic.DelayedPrefix) {
		return "", name
	}
	rest := name[len(topic.DelayedPrefix):]
	i := len(topic.DelayedPrefix) + strings.IndexByte(rest, '/') + 1
	return name[:i], name[i:]
}

// mounted puts the mountpoint in front of a valid Topic Name.
func (c *connection) mounted(name string) string {
	if c.mount == "" {
		return name
	}
	prefix, target := splitDelayed(name)
	return prefix + c.mount + target
}

// refusePublish acknowledges a PUBLISH with a failure, in its turn; a QoS 0 one
// is dropped. MQTT 3 knows no failure: there the message is lost in silence
// [MQTT-3.3.5-2].
func (c *connection) refusePublish(in *wire.Inbound, code byte) error {
	switch in.QoS {
	case 0:
		return nil
	case 1:
		return sessionError(c.session.Refuse(session.Puback, in.PacketID, code))
	default:
		return sessionError(c.session.Refuse(session.Pubrec, in.PacketID, code))
	}
}

// maxAliasMemory bounds the names that one client may have the broker keep for
// its Topic Aliases, in bytes.
const maxAliasMemory = 4 << 20

// inboundAliases are the Topic Aliases that a client has set [MQTT-3.3.2-7].
type inboundAliases struct {
	names map[uint16]string
	size  int
}

func (a *inboundAliases) name(alias uint16) (string, bool) {
	name, ok := a.names[alias]
	return name, ok
}

// set reports false when the names take too much memory.
func (a *inboundAliases) set(alias uint16, name string) bool {
	old, known := a.names[alias]
	if known && old == name {
		return true
	}
	a.size += len(name) - len(old)
	if a.size > maxAliasMemory {
		return false
	}
	if a.names == nil {
		a.names = make(map[uint16]string)
	}
	a.names[alias] = strings.Clone(name) // without the packet around it
	return true
}

// expandMount puts client ID and user name into a mountpoint.
func expandMount(mount string, c *session.Client) (string, error) {
	if mount == "" {
		return "", nil
	}
	s := strings.NewReplacer(
		"${clientid}", c.ID, "${username}", c.Username, "${endpoint_name}", c.ID,
		"%c", c.ID, "%u", c.Username, "${zone}", c.Zone, "${listener}", c.Listener,
	).Replace(mount)
	if topic.ValidateName(s) != nil {
		return "", fmt.Errorf("mountpoint %q cannot be in front of a topic", s)
	}
	return s, nil
}
