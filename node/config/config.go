package config

import (
	"net/netip"
	"time"
)

// Config is a node's whole configuration, typed. It is plain data: nothing in it
// refers to where it came from. The conf tags are the keys' names; what a field
// means, its limits and its default stand with the key in the schema ([Keys]).
//
// Zero stands for infinity and disabled in every field that allows these.
type Config struct {
	Node           Node            `conf:"node"`
	Cluster        Cluster         `conf:"cluster"`
	RPC            RPC             `conf:"rpc"`
	Listeners      []Listener      `conf:"-"`
	Mqtt           Mqtt            `conf:"mqtt"`
	Zones          map[string]Zone `conf:"-"`
	Broker         Broker          `conf:"broker"`
	Retainer       Retainer        `conf:"retainer"`
	Delayed        Delayed         `conf:"delayed"`
	SysTopics      SysTopics       `conf:"sys_topics"`
	AllowAnonymous string          `conf:"allow_anonymous"`
	Authentication []Authenticator `conf:"authentication"`
	Authorization  Authorization   `conf:"authorization"`
	Log            Log             `conf:"log"`

	// EtcDir is the directory that ${ERMINE_ETC_DIR} stands for.
	EtcDir string `conf:"-"`
}

// Zone gives the settings of a zone: those of mqtt with what the zone sets
// itself. A zone that the configuration does not name has mqtt's.
func (c *Config) Zone(name string) Mqtt {
	if z, ok := c.Zones[name]; ok {
		return z.Mqtt
	}
	return c.Mqtt
}

// AnonymousAllowed tells whether a client that no authenticator knows may
// connect. Listeners whose zone says otherwise have their EnableAuthn changed.
func (c *Config) AnonymousAllowed() bool {
	if c.AllowAnonymous == "auto" {
		for _, a := range c.Authentication {
			if a.Enable {
				return false
			}
		}
		return true
	}
	return c.AllowAnonymous == "true"
}

// Node is who the node is, and its distribution.
type Node struct {
	Name             string        `conf:"name"`
	Cookie           Secret        `conf:"cookie"`
	DataDir          string        `conf:"data_dir"`
	EPMD             bool          `conf:"epmd"`
	DistListenMin    int           `conf:"dist_listen_min"`
	DistListenMax    int           `conf:"dist_listen_max"`
	DistUseInterface netip.Addr    `conf:"dist_use_interface"` // the zero Addr: the name's host
	DistNetTicktime  time.Duration `conf:"dist_net_ticktime"`
	DistBufferSize   int64         `conf:"dist_buffer_size"`
	SSLDistOptfile   string        `conf:"ssl_dist_optfile"`
}

// Cluster is how the node finds its cluster and stays in it.
type Cluster struct {
	Name              string        `conf:"name"`
	DiscoveryStrategy string        `conf:"discovery_strategy"`
	ProtoDist         string        `conf:"proto_dist"`
	Autoheal          bool          `conf:"autoheal"`
	Autoclean         time.Duration `conf:"autoclean"` // 0: never
	HeartbeatInterval time.Duration `conf:"heartbeat_interval"`
	DeadAfter         time.Duration `conf:"dead_after"`
	Static            Static        `conf:"static"`
	Mcast             Mcast         `conf:"mcast"`
	DNS               DNS           `conf:"dns"`
	Etcd              Etcd          `conf:"etcd"`
	K8s               K8s           `conf:"k8s"`
}

// Static is discovery by a list of names.
type Static struct {
	Seeds []string `conf:"seeds"`
}

// Mcast is discovery by multicast.
type Mcast struct {
	Addr   netip.Addr `conf:"addr"`
	Ports  []int      `conf:"ports"`
	Iface  netip.Addr `conf:"iface"`
	TTL    int        `conf:"ttl"`
	Loop   bool       `conf:"loop"`
	Sndbuf int64      `conf:"sndbuf"`
	Recbuf int64      `conf:"recbuf"`
}

// DNS is discovery by DNS records.
type DNS struct {
	Name       string `conf:"name"`
	RecordType string `conf:"record_type"`
	App        string `conf:"app"`
}

// Etcd is discovery by keys in etcd.
type Etcd struct {
	Server  []string      `conf:"server"`
	Prefix  string        `conf:"prefix"`
	NodeTTL time.Duration `conf:"node_ttl"`
	TLS     EtcdTLS       `conf:"ssl_options"`
}

// EtcdTLS is how the node speaks TLS with etcd.
type EtcdTLS struct {
	Enable     bool   `conf:"enable"`
	CACertfile string `conf:"cacertfile"`
	Certfile   string `conf:"certfile"`
	Keyfile    string `conf:"keyfile"`
	Verify     string `conf:"verify"`
}

// K8s is discovery by the Kubernetes API.
type K8s struct {
	APIServer   string `conf:"apiserver"`
	ServiceName string `conf:"service_name"`
	AddressType string `conf:"address_type"`
	Namespace   string `conf:"namespace"`
	Suffix      string `conf:"suffix"`
	AppName     string `conf:"app_name"`
}

// RPC is the data channel between nodes.
type RPC struct {
	Mode                    string        `conf:"mode"`
	PortDiscovery           string        `conf:"port_discovery"`
	ServerPort              int           `conf:"server_port"`
	ListenAddress           netip.Addr    `conf:"listen_address"` // the zero Addr: the name's host
	IPv6Only                bool          `conf:"ipv6_only"`
	ClientNum               int           `conf:"client_num"`
	AsyncBatchSize          int           `conf:"async_batch_size"`
	Protocol                string        `conf:"protocol"`
	Certfile                string        `conf:"certfile"`
	Keyfile                 string        `conf:"keyfile"`
	CACertfile              string        `conf:"cacertfile"`
	Verify                  string        `conf:"verify"`
	FailIfNoPeerCert        bool          `conf:"fail_if_no_peer_cert"`
	TLSVersions             []string      `conf:"tls_versions"`
	Ciphers                 []string      `conf:"ciphers"`
	ConnectTimeout          time.Duration `conf:"connect_timeout"`
	SendTimeout             time.Duration `conf:"send_timeout"`
	AuthenticationTimeout   time.Duration `conf:"authentication_timeout"`
	CallReceiveTimeout      time.Duration `conf:"call_receive_timeout"`
	SocketKeepaliveIdle     time.Duration `conf:"socket_keepalive_idle"`
	SocketKeepaliveInterval time.Duration `conf:"socket_keepalive_interval"`
	SocketKeepaliveCount    int           `conf:"socket_keepalive_count"`
	SocketSndbuf            int64         `conf:"socket_sndbuf"`
	SocketRecbuf            int64         `conf:"socket_recbuf"`
}

// Listener is one listener. Type is one of [ListenerTypes]; TLS counts for ssl and
// wss only, Websocket for ws and wss.
type Listener struct {
	Type string `conf:"-"`
	Name string `conf:"-"`

	Enable               bool           `conf:"enable"`
	Bind                 netip.AddrPort `conf:"bind"`
	MaxConnections       int            `conf:"max_connections"` // 0: no limit
	MaxConnRate          Rate           `conf:"max_conn_rate"`
	MessagesRate         Rate           `conf:"messages_rate"`
	BytesRate            Rate           `conf:"bytes_rate"`
	Zone                 string         `conf:"zone"`
	Mountpoint           string         `conf:"mountpoint"`   // resolved: the zone's if the listener has none
	EnableAuthn          string         `conf:"enable_authn"` // resolved: quick_deny_anonymous if allow_anonymous asks for it
	AccessRules          []string       `conf:"access_rules"`
	ProxyProtocol        bool           `conf:"proxy_protocol"`
	ProxyProtocolTimeout time.Duration  `conf:"proxy_protocol_timeout"`
	PeerCertAsUsername   string         `conf:"peer_cert_as_username"` // resolved: the zone's if the listener has none
	PeerCertAsClientID   string         `conf:"peer_cert_as_clientid"` // likewise

	TCP       TCP       `conf:"tcp_options"`
	TLS       TLS       `conf:"ssl_options"`
	Websocket Websocket `conf:"websocket"`
}

// ID is how commands name the listener: type:name.
func (l Listener) ID() string { return l.Type + ":" + l.Name }

// HasTLS tells whether the listener's connections are encrypted.
func (l Listener) HasTLS() bool { return hasTLS(l.Type) }

// HasWebsocket tells whether MQTT runs in WebSocket messages here.
func (l Listener) HasWebsocket() bool { return hasWebsocket(l.Type) }

// TCP are options of a listener's sockets.
type TCP struct {
	Nodelay          bool          `conf:"nodelay"`
	Keepalive        string        `conf:"keepalive"` // see ParseKeepalive
	SendTimeout      time.Duration `conf:"send_timeout"`
	SendTimeoutClose bool          `conf:"send_timeout_close"`
	Backlog          int           `conf:"backlog"`
	HighWatermark    int64         `conf:"high_watermark"`
	HardLimit        int64         `conf:"hard_limit"` // 0: none
	Recbuf           int64         `conf:"recbuf"`     // 0: the system's
	Sndbuf           int64         `conf:"sndbuf"`     // 0: the system's
	Nolinger         bool          `conf:"nolinger"`
}

// TLS are options of a listener with TLS. If Certfile is empty, the listener
// makes a self-signed pair in the data directory.
type TLS struct {
	Certfile         string        `conf:"certfile"`
	Keyfile          string        `conf:"keyfile"`
	Password         Secret        `conf:"password"`
	CACertfile       string        `conf:"cacertfile"`
	Verify           string        `conf:"verify"`
	FailIfNoPeerCert bool          `conf:"fail_if_no_peer_cert"`
	Versions         []string      `conf:"versions"`
	Ciphers          []string      `conf:"ciphers"`
	HandshakeTimeout time.Duration `conf:"handshake_timeout"`
}

// Websocket are options of a listener with WebSocket.
type Websocket struct {
	MqttPath              string         `conf:"mqtt_path"`
	MqttPiggyback         string         `conf:"mqtt_piggyback"`
	Compress              bool           `conf:"compress"`
	IdleTimeout           time.Duration  `conf:"idle_timeout"`   // 0: never
	MaxFrameSize          int64          `conf:"max_frame_size"` // 0: no limit
	FailIfNoSubprotocol   bool           `conf:"fail_if_no_subprotocol"`
	SupportedSubprotocols []string       `conf:"supported_subprotocols"`
	CheckOriginEnable     bool           `conf:"check_origin_enable"`
	AllowOriginAbsence    bool           `conf:"allow_origin_absence"`
	CheckOrigins          []string       `conf:"check_origins"`
	ProxyAddressHeader    string         `conf:"proxy_address_header"`
	ProxyPortHeader       string         `conf:"proxy_port_header"`
	TrustedProxies        []netip.Prefix `conf:"trusted_proxies"`
}

// Zone is what a zone sets, resolved: fields that it leaves out are mqtt's.
type Zone struct {
	Mqtt           Mqtt   `conf:"mqtt"`
	Mountpoint     string `conf:"mountpoint"`
	AllowAnonymous string `conf:"allow_anonymous"` // empty: the root's
}

// Mqtt is what holds for a connection and its session.
type Mqtt struct {
	IdleTimeout                         time.Duration  `conf:"idle_timeout"`
	MaxPacketSize                       int64          `conf:"max_packet_size"`
	MaxClientIDLen                      int            `conf:"max_clientid_len"`
	MaxTopicLevels                      int            `conf:"max_topic_levels"` // 0: no limit
	MaxTopicAlias                       int            `conf:"max_topic_alias"`
	MaxQoSAllowed                       int            `conf:"max_qos_allowed"`
	RetainAvailable                     bool           `conf:"retain_available"`
	WildcardSubscription                bool           `conf:"wildcard_subscription"`
	SharedSubscription                  bool           `conf:"shared_subscription"`
	ExclusiveSubscription               bool           `conf:"exclusive_subscription"`
	SharedSubscriptionStrategy          string         `conf:"shared_subscription_strategy"`
	SharedSubscriptionInitialStickyPick string         `conf:"shared_subscription_initial_sticky_pick"`
	IgnoreLoopDeliver                   bool           `conf:"ignore_loop_deliver"`
	StrictMode                          bool           `conf:"strict_mode"`
	ResponseInformation                 string         `conf:"response_information"`
	ServerKeepalive                     int            `conf:"server_keepalive"` // seconds; 0: disabled
	KeepaliveMultiplier                 float64        `conf:"keepalive_multiplier"`
	RetryInterval                       time.Duration  `conf:"retry_interval"` // 0: never
	UseUsernameAsClientID               bool           `conf:"use_username_as_clientid"`
	PeerCertAsUsername                  string         `conf:"peer_cert_as_username"`
	PeerCertAsClientID                  string         `conf:"peer_cert_as_clientid"`
	SessionExpiryInterval               time.Duration  `conf:"session_expiry_interval"`
	MaxSessionExpiryInterval            time.Duration  `conf:"max_session_expiry_interval"` // 0: no limit
	MessageExpiryInterval               time.Duration  `conf:"message_expiry_interval"`     // 0: never
	MaxAwaitingRel                      int            `conf:"max_awaiting_rel"`            // 0: no limit
	AwaitRelTimeout                     time.Duration  `conf:"await_rel_timeout"`
	MaxInflight                         int            `conf:"max_inflight"`
	MaxMqueueLen                        int            `conf:"max_mqueue_len"` // 0: no limit
	MqueueStoreQoS0                     bool           `conf:"mqueue_store_qos0"`
	MqueuePriorities                    map[string]int `conf:"mqueue_priorities"`
	MqueueDefaultPriority               string         `conf:"mqueue_default_priority"`
	MaxSubscriptions                    int            `conf:"max_subscriptions"` // 0: no limit
	UpgradeQoS                          bool           `conf:"upgrade_qos"`
}

// Broker is about sessions and share groups on the whole.
type Broker struct {
	EnableSessionRegistry bool `conf:"enable_session_registry"`
	// SharedGroups are the strategies of share groups that have their own.
	SharedGroups map[string]string `conf:"-"`
}

// Retainer is about retained messages.
type Retainer struct {
	Enable              bool            `conf:"enable"`
	MsgExpiryInterval   time.Duration   `conf:"msg_expiry_interval"` // 0: never
	MsgClearInterval    time.Duration   `conf:"msg_clear_interval"`  // 0: the node's choice
	MaxPayloadSize      int64           `conf:"max_payload_size"`    // 0: no limit
	StopPublishClearMsg bool            `conf:"stop_publish_clear_msg"`
	DeliveryRate        Rate            `conf:"delivery_rate"`
	MaxPublishRate      Rate            `conf:"max_publish_rate"`
	Backend             RetainerBackend `conf:"backend"`
}

// RetainerBackend is where retained messages are.
type RetainerBackend struct {
	Type                string `conf:"type"`
	MaxRetainedMessages int    `conf:"max_retained_messages"` // 0: no limit
}

// Delayed is about messages to $delayed.
type Delayed struct {
	Enable             bool `conf:"enable"`
	MaxDelayedMessages int  `conf:"max_delayed_messages"` // 0: no limit
}

// SysTopics is what is published below $SYS.
type SysTopics struct {
	SysMsgInterval       time.Duration `conf:"sys_msg_interval"`       // 0: disabled
	SysHeartbeatInterval time.Duration `conf:"sys_heartbeat_interval"` // 0: disabled
	Events               SysEvents     `conf:"sys_event_messages"`
}

// SysEvents are the client events published below $SYS.
type SysEvents struct {
	ClientConnected    bool `conf:"client_connected"`
	ClientDisconnected bool `conf:"client_disconnected"`
	ClientSubscribed   bool `conf:"client_subscribed"`
	ClientUnsubscribed bool `conf:"client_unsubscribed"`
}

// Authenticator is one source of users.
type Authenticator struct {
	Enable     bool   `conf:"enable"`
	Mechanism  string `conf:"mechanism"`
	Backend    string `conf:"backend"`
	Path       string `conf:"path"`
	UserIDType string `conf:"user_id_type"`
}

// Authorization is what clients may do.
type Authorization struct {
	NoMatch    string        `conf:"no_match"`
	DenyAction string        `conf:"deny_action"`
	Cache      AuthzCache    `conf:"cache"`
	Sources    []AuthzSource `conf:"sources"`
}

// AuthzCache is about remembering decisions.
type AuthzCache struct {
	Enable   bool          `conf:"enable"`
	MaxSize  int           `conf:"max_size"`
	TTL      time.Duration `conf:"ttl"`
	Excludes []string      `conf:"excludes"`
}

// AuthzSource is one source of rules.
type AuthzSource struct {
	Type   string `conf:"type"`
	Enable bool   `conf:"enable"`
	Path   string `conf:"path"`
}

// Log is where the log goes.
type Log struct {
	Dir     string     `conf:"dir"`
	Console LogConsole `conf:"console"`
	File    LogFile    `conf:"file"`
}

// LogConsole is the log on the terminal.
type LogConsole struct {
	Enable     bool   `conf:"enable"`
	Level      string `conf:"level"`
	Formatter  string `conf:"formatter"`
	TimeOffset string `conf:"time_offset"` // see ParseTimeOffset
}

// LogFile is the log in files.
type LogFile struct {
	Enable        bool   `conf:"enable"`
	Path          string `conf:"path"`
	Level         string `conf:"level"`
	Formatter     string `conf:"formatter"`
	TimeOffset    string `conf:"time_offset"`   // see ParseTimeOffset
	RotationSize  int64  `conf:"rotation_size"` // 0: never
	RotationCount int    `conf:"rotation_count"`
}
