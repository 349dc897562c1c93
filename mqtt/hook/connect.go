package hook

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/mochi-mqtt/server/v2/packets"

	"ermine/actors/message"
	"ermine/actors/metrics"
	"ermine/actors/session"
	"ermine/mqtt/wire"
)

// request is a CONNECT and what becomes of it.
type request struct {
	packet  packets.Packet
	present bool               // Session Present
	connack packets.Properties // of the CONNACK that accepts
}

// countConnect counts a CONNECT.
func (h *Hook) countConnect(c *connection) {
	h.metrics.Inc(c.stripe, metrics.PacketsReceived)
	h.metrics.Inc(c.stripe, metrics.PacketsConnect)
	h.metrics.Inc(c.stripe, metrics.ClientConnect)
}

// refuse answers a CONNECT with the CONNACK that err calls for. An MQTT 3
// client whose packet was malformed gets none [MQTT-3.1.4-1].
func (c *connection) refuse(err error) {
	var re *wire.ReasonError
	if !errors.As(err, &re) {
		re = errUnavailable
	}
	version := c.version
	switch {
	case version == 0:
		return // not MQTT [MQTT-3.1.2-1]
	case version > wire.V5:
		version = wire.V5 // a protocol to come: the newest form that is known [MQTT-3.1.2-2]
	case version < wire.V5 && (re.Code == wire.MalformedPacket || re.Code == wire.ProtocolError):
		return
	}
	text := re.Text
	if c.noProblems || !c.fits(12+len(text)) {
		text = ""
	}
	m := c.hook.metrics
	m.Inc(c.stripe, metrics.PacketsConnackError)
	c.appendIn(opening, wire.TypeConnack, func(b []byte) []byte {
		if c.phase.Swap(ended) != opening {
			return b
		}
		return wire.AppendConnack(b, version, re.Code, text)
	})
	m.Inc(c.stripe, metrics.ClientConnack)
}

// admit decides about a CONNECT: it establishes who the client is, asks
// whether it may connect, and opens its session. The error, a *wire.ReasonError
// inside, refuses it.
func (c *connection) admit(r *request) error {
	pk := &r.packet
	z := c.zone
	props := &pk.Properties
	c.maxPacket = props.MaximumPacketSize
	c.noProblems = props.RequestProblemInfoFlag && props.RequestProblemInfo == 0
	c.outAliases.max = min(props.TopicAliasMaximum, maxOutAliases)
	if props.AuthenticationMethod != "" {
		return fmt.Errorf("%w: %w", ErrRefused, errAuthMethod)
	}
	client, err := c.identify(r)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	c.client = client

	ctx, cancel := context.WithTimeout(context.Background(), c.hook.conf.OpenTimeout)
	defer cancel()
	if err := c.authenticate(ctx, pk); err != nil {
		return err
	}
	info := c.conn.Info()
	if c.mount, err = expandMount(info.Listener.Mountpoint, client); err != nil {
		c.hook.log.Warn("client refused", "client_id", client.ID, "listener", client.Listener, "err", err)
		return fmt.Errorf("%w: %w", ErrRefused, errClientID)
	}
	will, err := c.will(ctx, pk)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	c.expiry = c.sessionExpiry(pk)
	if z.MaxPacketSize > 0 {
		c.conn.SetMaxPacketSize(z.MaxPacketSize)
	}

	s, present, err := c.hook.conf.Open(ctx, session.OpenRequest{
		Client: *client, Conn: c, Limits: z.Limits, Will: will, Expiry: c.expiry,
		ReceiveMaximum: props.ReceiveMaximum, Clean: pk.Connect.Clean,
	})
	if err != nil {
		if _, ok := errors.AsType[*wire.ReasonError](err); !ok {
			c.hook.log.Warn("session not opened", "client_id", client.ID, "err", err)
		}
		return fmt.Errorf("%w: open session: %w", ErrRefused, err)
	}
	c.session, c.stripe = s, s.Stripe()
	r.present = present
	r.connack = c.connackProperties(r)
	c.hook.metrics.Inc(c.stripe, metrics.ClientConnack)
	return nil
}

// identify works out who the client says it is, and how it will be served.
func (c *connection) identify(r *request) (*session.Client, error) {
	pk, z, info := &r.packet, c.zone, c.conn.Info()
	p := &pk.Connect
	client := &session.Client{
		ID: strings.Clone(p.ClientIdentifier), Username: string(p.Username), Peer: info.Remote,
		Listener: info.ListenerID(), Zone: info.Listener.Zone,
		Protocol: string(p.ProtocolName), Version: c.version, KeepAlive: p.Keepalive,
		CleanStart: p.Clean, Bridge: c.bridge, Connected: c.hook.now(),
	}
	if v, ok := info.PeerCertField(z.PeerCertAsUsername); ok {
		client.Username = v
	}
	if z.UseUsernameAsClientID && client.Username != "" {
		client.ID = client.Username
	}
	if v, ok := info.PeerCertField(z.PeerCertAsClientID); ok {
		client.ID = v
	}
	switch {
	case len(client.ID) > z.MaxClientIDLen, !utf8.ValidString(client.ID):
		return nil, errClientID
	case c.version == wire.V31 && (client.ID == "" || z.Strict && len(client.ID) > 23):
		return nil, errClientID // MQTT 3.1, section 3.1: 1 to 23 characters
	case c.version == wire.V311 && client.ID == "" && !p.Clean:
		return nil, errClientID // [MQTT-3.1.3-8] of 3.1.1
	case client.ID == "":
		client.ID = rand.Text() // [MQTT-3.1.3-6]
	}
	if p.ClientIdentifier == "" {
		r.connack.AssignedClientID = client.ID // [MQTT-3.1.3-7] [MQTT-3.2.2-16]
	}
	if z.ServerKeepAlive > 0 { // [MQTT-3.1.2-21] [MQTT-3.2.2-22]
		client.KeepAlive = z.ServerKeepAlive
		r.connack.ServerKeepAlive, r.connack.ServerKeepAliveFlag = z.ServerKeepAlive, true
	}
	c.alive = time.Duration(float64(client.KeepAlive) * z.KeepAliveMultiplier * float64(time.Second))
	return client, nil
}

// sessionExpiry is the Session Expiry Interval that the session gets.
func (c *connection) sessionExpiry(pk *packets.Packet) uint32 {
	if c.version < wire.V5 {
		if pk.Connect.Clean {
			return 0
		}
		return seconds(c.zone.SessionExpiry)
	}
	expiry := pk.Properties.SessionExpiryInterval
	if limit := c.zone.MaxSessionExpiry; limit > 0 {
		expiry = min(expiry, seconds(limit))
	}
	return expiry
}

// will makes the Will of a CONNECT, nil if there is none. A will that the
// client may not publish is dropped, as a publish would be.
func (c *connection) will(ctx context.Context, pk *packets.Packet) (*session.Will, error) {
	p := &pk.Connect
	if !p.WillFlag {
		return nil, nil
	}
	if c.checkTopic(p.WillTopic) != nil {
		return nil, errWillTopic
	}
	if p.WillQos > c.zone.MaxQoS { // [MQTT-3.2.2-12]
		return nil, errQoSAllowed
	}
	if p.WillRetain && !c.zone.Retain { // [MQTT-3.2.2-13]
		return nil, errRetainAllowed
	}
	props := &p.WillProperties
	if c.zone.Strict && props.PayloadFormatFlag && props.PayloadFormat == 1 && !utf8.Valid(p.WillPayload) {
		return nil, errPayloadFormat
	}
	_, target := splitDelayed(p.WillTopic)
	if !c.mayPublish(ctx, target, p.WillQos, p.WillRetain) {
		c.hook.metrics.Inc(c.stripe, metrics.PacketsPublishAuthError)
		c.hook.log.Warn("will denied", "client_id", c.client.ID, "topic", p.WillTopic)
		return nil, nil
	}
	w := &session.Will{
		Msg: &message.Message{
			Topic: strings.Clone(c.mounted(p.WillTopic)), Payload: bytes.Clone(p.WillPayload), Publisher: c.client.ID,
			Received: c.hook.now().UnixMilli(), QoS: p.WillQos, Retain: p.WillRetain,
		},
	}
	if c.version == wire.V5 {
		w.Msg.Props = willProperties(props)
		w.Delay = props.WillDelayInterval
		w.Expiry, w.HasExpiry = props.MessageExpiryInterval, props.MessageExpiryInterval > 0
	}
	if !w.HasExpiry && c.zone.MessageExpiry > 0 {
		w.Expiry, w.HasExpiry = seconds(c.zone.MessageExpiry), true
	}
	return w, nil
}

// willProperties are those that travel with the will, nil if there are none.
func willProperties(p *packets.Properties) *message.Properties {
	if !p.PayloadFormatFlag && p.ContentType == "" && p.ResponseTopic == "" && p.CorrelationData == nil && len(p.User) == 0 {
		return nil
	}
	out := &message.Properties{
		ContentType: p.ContentType, ResponseTopic: p.ResponseTopic, CorrelationData: p.CorrelationData,
		PayloadFormat: p.PayloadFormat, HasFormat: p.PayloadFormatFlag,
	}
	for _, u := range p.User {
		out.User = append(out.User, message.UserProperty{Key: u.Key, Value: u.Val})
	}
	return out
}

// connackProperties says what this server does not do, or does differently
// from what the client has asked (MQTT 5, section 3.2.2.3).
func (c *connection) connackProperties(r *request) packets.Properties {
	z, p := c.zone, r.connack
	if n := z.Limits.ReceiveMaximum; n < 65535 {
		p.ReceiveMaximum = uint16(n) //nolint:gosec // Validate has it in range
	}
	if z.MaxQoS < 2 { // [MQTT-3.2.2-9]
		p.MaximumQos, p.MaximumQosFlag = z.MaxQoS, true
	}
	p.RetainAvailable, p.RetainAvailableFlag = flag(z.Retain), true
	p.MaximumPacketSize = z.MaxPacketSize
	p.TopicAliasMaximum = z.MaxTopicAlias
	p.WildcardSubAvailable, p.WildcardSubAvailableFlag = flag(z.Wildcard), true
	p.SubIDAvailable, p.SubIDAvailableFlag = 1, true
	p.SharedSubAvailable, p.SharedSubAvailableFlag = flag(z.Shared), true
	if asked := r.packet.Properties.SessionExpiryInterval; asked != c.expiry { // [MQTT-3.2.2-21]
		p.SessionExpiryInterval, p.SessionExpiryIntervalFlag = c.expiry, true
	}
	if r.packet.Properties.RequestResponseInfo == 1 { // [MQTT-3.1.2-28]
		p.ResponseInfo = z.ResponseInformation
	}
	return p
}

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}
