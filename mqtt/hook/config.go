package hook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"ermine/actors/metrics"
	"ermine/actors/session"
	"ermine/mqtt/auth"
)

// Session is what a connection does with its session; *session.Handle is one.
type Session interface {
	Attach()
	Idle()
	Publish(m *Message, id uint16) error
	Refuse(kind session.AckKind, id uint16, code byte) error
	Release(id uint16)
	Ack(kind session.AckKind, id uint16, code byte)
	Subscribe(ctx context.Context, r session.SubscribeRequest) error
	Unsubscribe(ctx context.Context, r session.UnsubscribeRequest) error
	Writable()
	Close(cause session.CloseCause)
	Stripe() uint32
}

// Open opens the session of a client: creates it, resumes it, or takes it over
// from another connection, which has been told so when Open returns. It may
// block until ctx ends. The error may be a *wire.ReasonError, whose code is
// then the CONNACK's; any other refuses with 0x88, server unavailable.
type Open func(ctx context.Context, req session.OpenRequest) (s Session, present bool, err error)

// Broker is the part of the broker that opens sessions.
type Broker interface {
	Open(ctx context.Context, req session.OpenRequest) (session.Opened, error)
}

// OpenWith makes an Open of a Broker.
func OpenWith(b Broker) Open {
	return func(ctx context.Context, req session.OpenRequest) (Session, bool, error) {
		opened, err := b.Open(ctx, req)
		if err != nil {
			return nil, false, err
		}
		return opened.Handle, opened.Present, nil
	}
}

// Config is what a Hook needs. It must not be changed afterwards.
type Config struct {
	Logger  *slog.Logger
	Metrics *metrics.Set
	Open    Open

	// Authentication is asked about every CONNECT, unless the listener's
	// enable_authn is "false"; Authorization about every PUBLISH and SUBSCRIBE
	// and about wills.
	Authentication *auth.Authentication
	Authorization  *auth.Authorization
	// DenyDisconnect (authorization.deny_action = disconnect) ends the connection
	// of a client that may not do what it does; otherwise only that is refused.
	DenyDisconnect bool

	// OpenTimeout bounds authentication, and then the opening of the session,
	// which may have to be fetched from another node. Beyond it a client is
	// refused with 0x88, server unavailable.
	OpenTimeout time.Duration

	// Zones are the settings by name of a zone; "default" must be there, and
	// serves listeners whose zone is not.
	Zones map[string]*Zone

	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Zone is the part of mqtt.* that concerns the wire, for the listeners of one
// zone.
type Zone struct {
	MaxPacketSize  uint32 // mqtt.max_packet_size in bytes, announced to MQTT 5 clients; 0 is the limit of MQTT
	MaxClientIDLen int    // mqtt.max_clientid_len, in bytes
	MaxTopicLevels int    // mqtt.max_topic_levels; 0 is unlimited
	MaxTopicAlias  uint16 // mqtt.max_topic_alias, of aliases that clients set
	MaxQoS         byte   // mqtt.max_qos_allowed
	Retain         bool   // mqtt.retain_available
	Wildcard       bool   // mqtt.wildcard_subscription
	Shared         bool   // mqtt.shared_subscription
	Exclusive      bool   // mqtt.exclusive_subscription

	// IgnoreLoopDeliver (mqtt.ignore_loop_deliver) gives MQTT 3 clients what No
	// Local is for others: they do not get their own messages.
	IgnoreLoopDeliver bool
	// Strict (mqtt.strict_mode) checks also what costs time or annoys old
	// clients: payloads that claim to be UTF-8, client IDs of MQTT 3.1 beyond 23
	// bytes.
	Strict bool

	ServerKeepAlive     uint16  // mqtt.server_keepalive in seconds; 0 leaves it to the client
	KeepAliveMultiplier float64 // mqtt.keepalive_multiplier; 1.5 is the standard's [MQTT-3.1.2-22]

	UseUsernameAsClientID bool   // mqtt.use_username_as_clientid
	PeerCertAsUsername    string // mqtt.peer_cert_as_username: cn, dn, crt, pem, md5; empty is disabled
	PeerCertAsClientID    string // mqtt.peer_cert_as_clientid, likewise

	ResponseInformation string // mqtt.response_information; empty is none

	// SessionExpiry is mqtt.session_expiry_interval: how long the session of an
	// MQTT 3 client without Clean Session is kept.
	SessionExpiry time.Duration
	// MaxSessionExpiry caps the Session Expiry Interval of MQTT 5 clients, who
	// are told so [MQTT-3.2.2-21]; 0 is no cap, as in EMQX.
	MaxSessionExpiry time.Duration
	// MessageExpiry is mqtt.message_expiry_interval, for messages without one of
	// their own; 0 is never.
	MessageExpiry time.Duration

	// Limits are those of each session. The ReceiveMaximum among them is
	// announced to MQTT 5 clients.
	Limits session.Limits
}

// DefaultZone is EMQX's default zone.
func DefaultZone() Zone {
	return Zone{
		MaxPacketSize:       1 << 20,
		MaxClientIDLen:      65535,
		MaxTopicLevels:      128,
		MaxTopicAlias:       65535,
		MaxQoS:              2,
		Retain:              true,
		Wildcard:            true,
		Shared:              true,
		KeepAliveMultiplier: 1.5,
		SessionExpiry:       2 * time.Hour,
		Limits: session.Limits{
			MaxInflight:     32,
			MaxQueue:        1000,
			StoreQoS0:       true,
			MaxAwaitingRel:  100,
			AwaitRelTimeout: 300 * time.Second,
			ReceiveMaximum:  65535,
		},
	}
}

// DefaultZoneName is the zone that must exist.
const DefaultZoneName = "default"

// Validate reports everything that is wrong with the zone, by key.
func (z *Zone) Validate() error {
	var errs []error
	wrong := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf("mqtt.%s: %w", key, fmt.Errorf(format, args...)))
	}
	if z.MaxClientIDLen < 23 || z.MaxClientIDLen > 65535 {
		wrong("max_clientid_len", "%d is not within 23..65535", z.MaxClientIDLen)
	}
	if z.MaxTopicLevels < 0 || z.MaxTopicLevels > 65535 {
		wrong("max_topic_levels", "%d is not within 0..65535", z.MaxTopicLevels)
	}
	if z.MaxQoS > 2 {
		wrong("max_qos_allowed", "%d is not 0, 1 or 2", z.MaxQoS)
	}
	if !(z.KeepAliveMultiplier >= 1) || z.KeepAliveMultiplier > 1000 {
		wrong("keepalive_multiplier", "%v is not within 1..1000", z.KeepAliveMultiplier)
	}
	if len(z.ResponseInformation) > 65535 {
		wrong("response_information", "%d bytes are more than 65535", len(z.ResponseInformation))
	}
	if n := z.Limits.ReceiveMaximum; n < 1 || n > 65535 {
		wrong("receive_maximum", "%d is not within 1..65535", n)
	}
	for key, field := range map[string]string{
		"peer_cert_as_username": z.PeerCertAsUsername, "peer_cert_as_clientid": z.PeerCertAsClientID,
	} {
		switch field {
		case "", "cn", "dn", "crt", "pem", "md5":
		default:
			wrong(key, "%q is none of cn, dn, crt, pem, md5", field)
		}
	}
	for key, d := range map[string]time.Duration{
		"session_expiry_interval": z.SessionExpiry, "max_session_expiry_interval": z.MaxSessionExpiry,
		"message_expiry_interval": z.MessageExpiry,
	} {
		if d < 0 {
			wrong(key, "%v is negative", d)
		}
	}
	return errors.Join(errs...)
}

// seconds is d in whole seconds, at most what a four-byte interval can say
// short of "never".
func seconds(d time.Duration) uint32 {
	return uint32(min(int64(d/time.Second), math.MaxUint32-1)) //nolint:gosec // not negative: Validate
}

// Validate reports what is missing or wrong.
func (c *Config) Validate() error {
	var errs []error
	if c.Logger == nil || c.Metrics == nil || c.Open == nil || c.Authentication == nil || c.Authorization == nil {
		errs = append(errs, errors.New("hook: Logger, Metrics, Open, Authentication and Authorization must be set"))
	}
	if c.Zones[DefaultZoneName] == nil {
		errs = append(errs, fmt.Errorf("hook: no zone %q", DefaultZoneName))
	}
	for name, z := range c.Zones {
		if err := z.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("zone %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}
