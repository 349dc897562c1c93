package hook

import (
	"strings"

	"ermine/actors/metrics"
	"ermine/actors/session"
	"ermine/mqtt/listener"
	"ermine/mqtt/wire"
)

// The methods of session.Connection. WritePublish belongs to the session's
// process; the others may be called by any goroutine. What is appended to a
// connection that has ended is lost, as it would be in the network.
var _ session.Connection = (*connection)(nil)

// WritePublish appends a PUBLISH, see session.Connection.
func (c *connection) WritePublish(now int64, o session.Outgoing) bool {
	p := wire.Publish{
		Msg: o.Msg, SubID: o.SubID, PacketID: o.PacketID, QoS: o.QoS, Retain: o.Retain, Dup: o.Dup,
		Version: c.version, Now: now,
	}
	if c.mount != "" {
		p.Topic = strings.TrimPrefix(o.Msg.Topic, c.mount)
	}
	fresh := false
	if c.outAliases.max > 0 {
		p.Alias, fresh = c.outAliases.get(o.Msg.Topic)
		p.AliasKnown = p.Alias != 0 && !fresh
	}
	size, remaining := wire.PublishSize(&p)
	if fresh && !c.fits(size) {
		p.Alias, fresh = 0, false
		size, remaining = wire.PublishSize(&p)
	}
	if !c.fits(size) || remaining > wire.MaxRemaining {
		return false
	}
	if fresh {
		c.outAliases.learn(o.Msg.Topic, p.Alias)
	}
	err := c.conn.Append(func(b []byte) []byte {
		if c.phase.Load() != connected {
			return b
		}
		return wire.AppendPublish(b, &p, remaining)
	})
	if err != nil {
		return true // the connection is over; the session is about to learn it
	}
	m := c.hook.metrics
	m.Inc(c.stripe, metrics.PacketsSent)
	m.Inc(c.stripe, metrics.PacketsPublishSent)
	m.Inc(c.stripe, metrics.MessagesSent)
	m.Inc(c.stripe, sent[o.QoS])
	m.Add(c.stripe, metrics.BytesSent, uint64(size)) //nolint:gosec // positive
	return true
}

var sent = [3]metrics.Counter{metrics.MessagesQoS0Sent, metrics.MessagesQoS1Sent, metrics.MessagesQoS2Sent}

// fits reports whether the client takes a packet of this size [MQTT-3.1.2-24].
func (c *connection) fits(size int) bool {
	return c.maxPacket == 0 || uint64(size) <= uint64(c.maxPacket) //nolint:gosec // positive
}

// WriteAck appends a PUBACK, PUBREC, PUBREL or PUBCOMP, see session.Connection.
func (c *connection) WriteAck(kind session.AckKind, id uint16, code byte) {
	reason := ""
	if code >= wire.UnspecifiedError {
		reason = c.reason(code)
	}
	c.append(byte(kind), func(b []byte) []byte {
		return wire.AppendAck(b, c.version, byte(kind), id, code, reason)
	})
}

// WriteSuback appends a SUBACK, see session.Connection.
func (c *connection) WriteSuback(id uint16, codes []byte) {
	c.append(wire.TypeSuback, func(b []byte) []byte { return wire.AppendSuback(b, c.version, id, codes) })
}

// WriteUnsuback appends an UNSUBACK, see session.Connection.
func (c *connection) WriteUnsuback(id uint16, codes []byte) {
	c.append(wire.TypeUnsuback, func(b []byte) []byte { return wire.AppendUnsuback(b, c.version, id, codes) })
}

// Flush sends what has been appended, see session.Connection.
func (c *connection) Flush() { c.conn.Flush() }

// Writable reports that the output is below its high watermark, see
// session.Connection.
func (c *connection) Writable() bool { return c.conn.Writable() }

// Disconnect sends a DISCONNECT and closes the connection, see
// session.Connection. It returns at once; the rest happens in the connection's
// own goroutine.
func (c *connection) Disconnect(code byte) {
	c.sayGoodbye(code, "")
	c.conn.Flush()
	c.conn.CloseWith(listener.Reason(endWord(code)))
}

// sayGoodbye appends the one DISCONNECT of this connection, unless it has been
// sent, or the client has gone first. Before CONNACK there is nothing to say:
// that is not sent any more then.
func (c *connection) sayGoodbye(code byte, text string) {
	if text == "" || c.noProblems {
		text = c.reason(code)
	}
	if !c.fits(8 + len(text)) { // [MQTT-3.14.2-3]
		text = ""
	}
	c.appendIn(opening, wire.TypeDisconnect, func(b []byte) []byte {
		if c.phase.Swap(ended) != connected {
			return b
		}
		return wire.AppendDisconnect(b, c.version, code, text)
	})
}

// reason is the Reason String for a code; empty where the client wants none
// [MQTT-3.1.2-29] or has little room.
func (c *connection) reason(code byte) string {
	if c.version != wire.V5 || c.noProblems {
		return ""
	}
	if text := wire.Reason(code); c.fits(16 + len(text)) {
		return text
	}
	return ""
}

// append appends one control packet to a connection that is connected.
func (c *connection) append(kind byte, fn func(b []byte) []byte) {
	c.appendIn(connected, kind, fn)
}

// appendIn appends what fn does, one control packet or nothing, and counts it.
// Where the connection must be in a phase other than opening, and is not,
// nothing is appended. A packet that the client would not take is not sent;
// since it cannot do without, it is disconnected [MQTT-3.1.2-24]. appendIn
// reports whether something was appended.
func (c *connection) appendIn(phase uint32, kind byte, fn func(b []byte) []byte) bool {
	size, tooLarge := 0, false
	err := c.conn.Append(func(b []byte) []byte {
		if phase != opening && c.phase.Load() != phase {
			return b
		}
		before := len(b)
		b = fn(b)
		size = len(b) - before
		if tooLarge = !c.fits(size); tooLarge {
			return b[:before]
		}
		return b
	})
	if tooLarge && err == nil && kind != wire.TypeDisconnect {
		c.Disconnect(wire.PacketTooLarge)
	}
	if err != nil || size == 0 || tooLarge {
		return false
	}
	m := c.hook.metrics
	m.Inc(c.stripe, metrics.PacketsSent)
	m.Add(c.stripe, metrics.BytesSent, uint64(size)) //nolint:gosec // positive
	if counter, ok := controlSent(kind); ok {
		m.Inc(c.stripe, counter)
	}
	return true
}

func controlSent(kind byte) (metrics.Counter, bool) {
	switch kind {
	case wire.TypeConnack:
		return metrics.PacketsConnackSent, true
	case wire.TypePuback:
		return metrics.PacketsPubackSent, true
	case wire.TypePubrec:
		return metrics.PacketsPubrecSent, true
	case wire.TypePubrel:
		return metrics.PacketsPubrelSent, true
	case wire.TypePubcomp:
		return metrics.PacketsPubcompSent, true
	case wire.TypeSuback:
		return metrics.PacketsSubackSent, true
	case wire.TypeUnsuback:
		return metrics.PacketsUnsubackSent, true
	case wire.TypePingresp:
		return metrics.PacketsPingrespSent, true
	case wire.TypeDisconnect:
		return metrics.PacketsDisconnectSent, true
	}
	return 0, false
}

// endWord is the word, in shutdown_count and logs, for a connection that the
// broker ends with a reason code.
func endWord(code byte) string {
	switch code {
	case wire.SessionTakenOver:
		return "takenover"
	case wire.AdministrativeAction:
		return "kicked"
	case wire.ServerShuttingDown:
		return "server_shutting_down"
	}
	return strings.ReplaceAll(wire.Reason(code), " ", "_")
}

// maxOutAliases bounds the Topic Aliases that the broker sets for one client,
// whatever the client allows: the busiest topics come first in practice.
const maxOutAliases = 128

// outboundAliases are the Topic Aliases that the broker has set: each topic
// gets the next free one until there are no more [MQTT-3.1.2-26].
type outboundAliases struct {
	max   uint16 // what the client allows, at most maxOutAliases; 0 is none
	names map[string]uint16
}

// get returns the alias of a topic, 0 if it has and gets none; fresh is one
// that the client does not know yet and that learn must be told of when it has
// been sent.
func (a *outboundAliases) get(name string) (alias uint16, fresh bool) {
	if alias, ok := a.names[name]; ok {
		return alias, false
	}
	if n := len(a.names); n < int(a.max) {
		return uint16(n + 1), true //nolint:gosec // below max
	}
	return 0, false
}

func (a *outboundAliases) learn(name string, alias uint16) {
	if a.names == nil {
		a.names = make(map[string]uint16)
	}
	a.names[strings.Clone(name)] = alias
}
