package main

import (
	"log/slog"
	"math"
	"path/filepath"
	"strings"
	"time"

	"ermine/actors"
	"ermine/actors/delayed"
	"ermine/actors/metrics"
	"ermine/actors/retain"
	"ermine/actors/router"
	"ermine/actors/session"
	"ermine/actors/sys"
	"ermine/mqtt"
	"ermine/mqtt/hook"
	"ermine/mqtt/listener"
	"ermine/node/config"
	"ermine/node/dist"
)

// openTimeout bounds authentication, and then the opening of a session.
const openTimeout = 15 * time.Second

// networkConfig is the part of the configuration that concerns the Erlang
// distribution.
func networkConfig(cfg *config.Config) (dist.Options, error) {
	n := &cfg.Node
	out := dist.Options{
		Name: n.Name, Cookie: n.Cookie.Reveal(), EPMD: n.EPMD, TickTime: n.DistNetTicktime,
		MaxQueue: int(n.DistBufferSize),
	}
	if n.EPMD {
		out.ListenMin, out.ListenMax = uint16(n.DistListenMin), uint16(n.DistListenMax) //nolint:gosec // the schema bounds both
	}
	if n.DistUseInterface.IsValid() {
		out.ListenHost = n.DistUseInterface.String()
	}
	if strings.HasSuffix(cfg.Cluster.ProtoDist, "_tls") {
		tls, err := dist.ReadSSLDist(n.SSLDistOptfile, cfg.EtcDir)
		if err != nil {
			return out, err
		}
		out.TLS = tls
	}
	return out, nil
}

// brokerConfig is the part of the configuration that concerns the actors.
func brokerConfig(cfg *config.Config, log *slog.Logger, m *metrics.Set) actors.Config {
	r, s := &cfg.Retainer, &cfg.SysTopics
	return actors.Config{
		Logger: log, Metrics: m, Node: cfg.Node.Name, Version: version,
		Strategy: func(group string) router.Strategy {
			if own, ok := cfg.Broker.SharedGroups[group]; ok {
				return router.Strategy(own)
			}
			return router.Strategy(cfg.Mqtt.SharedSubscriptionStrategy)
		},
		InitialSticky: router.Strategy(cfg.Mqtt.SharedSubscriptionInitialStickyPick),
		Retain: retain.Config{
			Enable: r.Enable, MaxMessages: r.Backend.MaxRetainedMessages, MaxPayload: r.MaxPayloadSize,
			Expiry: r.MsgExpiryInterval, Clear: r.MsgClearInterval, StopClear: r.StopPublishClearMsg,
			DeliveryRate: int(r.DeliveryRate.PerSecond()), PublishRate: r.MaxPublishRate.PerSecond(),
		},
		Delayed: delayed.Config{Enable: cfg.Delayed.Enable, Max: cfg.Delayed.MaxDelayedMessages},
		Sys: sys.Config{
			Interval: s.SysMsgInterval, Heartbeat: s.SysHeartbeatInterval,
			Connected: s.Events.ClientConnected, Disconnected: s.Events.ClientDisconnected,
			Subscribed: s.Events.ClientSubscribed, Unsubscribed: s.Events.ClientUnsubscribed,
		},
	}
}

// mqttConfig is the part of the configuration that concerns the wire.
func mqttConfig(cfg *config.Config, log *slog.Logger, m *metrics.Set, b hook.Broker, a *access) mqtt.Config {
	out := mqtt.Config{
		Logger: log,
		Hook: hook.Config{
			Logger: log, Metrics: m, Open: hook.OpenWith(b), OpenTimeout: openTimeout,
			Authentication: a.authentication, Authorization: a.authorization,
			DenyDisconnect: cfg.Authorization.DenyAction == "disconnect",
			Zones:          map[string]*hook.Zone{hook.DefaultZoneName: zone(cfg.Mqtt)},
		},
	}
	for name, z := range cfg.Zones {
		out.Hook.Zones[name] = zone(z.Mqtt)
	}
	for _, l := range cfg.Listeners {
		lc := listenerConfig(cfg, l)
		lc.Zone = zoneOf(cfg, l, out.Hook.Zones)
		out.Listeners = append(out.Listeners, lc)
	}
	return out
}

// zoneOf is the name of a listener's zone. A listener that takes other fields of
// the certificate than its zone does gets a zone of its own.
func zoneOf(cfg *config.Config, l config.Listener, zones map[string]*hook.Zone) string {
	z := cfg.Zone(l.Zone)
	if l.PeerCertAsUsername == z.PeerCertAsUsername && l.PeerCertAsClientID == z.PeerCertAsClientID {
		return l.Zone
	}
	z.PeerCertAsUsername, z.PeerCertAsClientID = l.PeerCertAsUsername, l.PeerCertAsClientID
	name := l.Zone + "/" + l.ID()
	zones[name] = zone(z)
	return name
}

func zone(z config.Mqtt) *hook.Zone {
	return &hook.Zone{
		MaxPacketSize: clamp32(z.MaxPacketSize), MaxClientIDLen: z.MaxClientIDLen, MaxTopicLevels: z.MaxTopicLevels,
		MaxTopicAlias: uint16(z.MaxTopicAlias), MaxQoS: byte(z.MaxQoSAllowed), //nolint:gosec // the schema bounds both
		Retain: z.RetainAvailable, Wildcard: z.WildcardSubscription, Shared: z.SharedSubscription,
		Exclusive: z.ExclusiveSubscription, IgnoreLoopDeliver: z.IgnoreLoopDeliver, Strict: z.StrictMode,
		ServerKeepAlive:     uint16(z.ServerKeepalive), //nolint:gosec // the schema bounds it
		KeepAliveMultiplier: z.KeepaliveMultiplier, UseUsernameAsClientID: z.UseUsernameAsClientID,
		PeerCertAsUsername: disabled(z.PeerCertAsUsername), PeerCertAsClientID: disabled(z.PeerCertAsClientID),
		ResponseInformation: z.ResponseInformation, SessionExpiry: z.SessionExpiryInterval,
		MessageExpiry: z.MessageExpiryInterval,
		Limits: session.Limits{
			MaxInflight: z.MaxInflight, MaxQueue: z.MaxMqueueLen, StoreQoS0: z.MqueueStoreQoS0,
			MaxAwaitingRel: z.MaxAwaitingRel, AwaitRelTimeout: z.AwaitRelTimeout, RetryInterval: z.RetryInterval,
			UpgradeQoS: z.UpgradeQoS, MaxSubscriptions: z.MaxSubscriptions,
			Priorities: z.MqueuePriorities, DefaultPriority: priority(z.MqueueDefaultPriority),
			ReceiveMaximum: receiveMaximum(z.MaxAwaitingRel),
		},
	}
}

// receiveMaximum is what MQTT 5 clients are told: as many publishes as the
// session will hold of QoS 2, so that a client which heeds it is never refused.
func receiveMaximum(awaitingRel int) int {
	if awaitingRel < 1 || awaitingRel > math.MaxUint16 {
		return math.MaxUint16
	}
	return awaitingRel
}

// priority is the queue priority of topics that have none: below all others, or
// above them.
func priority(word string) int {
	if word == "highest" {
		return 256
	}
	return 0
}

func disabled(field string) string {
	if field == "disabled" {
		return ""
	}
	return field
}

func clamp32(n int64) uint32 { return uint32(min(max(n, 0), math.MaxUint32)) } //nolint:gosec // clamped

func listenerConfig(cfg *config.Config, l config.Listener) listener.Config {
	z := cfg.Zone(l.Zone)
	out := listener.DefaultConfig(listener.Type(l.Type), l.Name)
	out.Bind, out.Enable = l.Bind.String(), l.Enable
	out.MaxConnections, out.Zone, out.Mountpoint, out.EnableAuthn = l.MaxConnections, l.Zone, l.Mountpoint, l.EnableAuthn
	out.MaxConnRate = listener.Rate(l.MaxConnRate.PerSecond())
	out.MessagesRate = listener.Rate(l.MessagesRate.PerSecond())
	out.BytesRate = listener.Rate(l.BytesRate.PerSecond())
	out.AccessRules = l.AccessRules
	out.ProxyProtocol, out.ProxyProtocolTimeout = l.ProxyProtocol, l.ProxyProtocolTimeout
	out.IdleTimeout, out.MaxPacketSize = z.IdleTimeout, clamp32(z.MaxPacketSize)
	out.CertDir = filepath.Join(cfg.Node.DataDir, "certs")

	t := &out.TCPOptions
	t.NoDelay, t.NoLinger, t.KeepAlive = l.TCP.Nodelay, l.TCP.Nolinger, l.TCP.Keepalive
	if l.TCP.SendTimeoutClose {
		t.SendTimeout = l.TCP.SendTimeout
	} else {
		t.SendTimeout = 0
	}
	t.RecvBuffer, t.SendBuffer = int(l.TCP.Recbuf), int(l.TCP.Sndbuf)

	s := l.TLS
	out.SSLOptions = listener.SSLOptions{
		CertFile: s.Certfile, KeyFile: s.Keyfile, CACertFile: s.CACertfile, Password: s.Password.Reveal(),
		Verify: s.Verify, FailIfNoPeerCert: s.FailIfNoPeerCert, Versions: s.Versions, Ciphers: s.Ciphers,
		HandshakeTimeout: s.HandshakeTimeout,
	}
	w := l.Websocket
	out.WebSocket = listener.WebSocketOptions{
		Path: w.MqttPath, Piggyback: w.MqttPiggyback, Compress: w.Compress, IdleTimeout: w.IdleTimeout,
		MaxFrameSize: w.MaxFrameSize, FailIfNoSubprotocol: w.FailIfNoSubprotocol,
		SupportedSubprotocols: w.SupportedSubprotocols, CheckOrigin: w.CheckOriginEnable,
		AllowOriginAbsence: w.AllowOriginAbsence, CheckOrigins: w.CheckOrigins,
		ProxyAddressHeader: w.ProxyAddressHeader, ProxyPortHeader: w.ProxyPortHeader,
	}
	return out
}
