package config

import "time"

const (
	second = int64(time.Second)
	minute = int64(time.Minute)
	hour   = int64(time.Hour)
	kb     = int64(1 << 10)
	mb     = int64(1 << 20)
	gb     = int64(1 << 30)
)

// nodeKeys are the identity of the node and its distribution.
var nodeKeys = []Key{
	{
		Path: "node.name", Type: TypeNodeName, Default: "ermine@127.0.0.1", Env: []string{"NODE_NAME"},
		Doc: "Name of this node. It must be unique in the cluster, and other nodes must reach the host by it. Digits at the end of the short name are added to the ports: ermine1 uses 4371 and 5371.",
	},
	{
		Path: "node.cookie", Type: TypeString, Default: "erminesecretcookie", Secret: true, Min: 1, Max: 255, Env: []string{"NODE_COOKIE"},
		Doc: "Secret that all nodes of the cluster share. Choose your own: whoever knows it controls the node.",
	},
	{
		Path: "node.data_dir", Type: TypePath, Default: "data", Min: 1, Max: unbounded,
		Doc: "Directory of everything that the node keeps. No other node may use it.",
	},
	{
		Path: "node.role", Type: TypeEnum, Default: "core", Allowed: []string{"core", "replicant"}, Aliases: []string{"node.db_role"}, Effect: Reserved,
		Doc: "Part that the node takes in the cluster.",
	},
	{
		Path: "node.epmd", Type: TypeBool, Default: "false",
		Doc: "Find the cluster ports of other nodes through the epmd daemon (port 4369), and register there. Otherwise the port is 4370 plus the digits at the end of the short name. A WITH_EPMD in the environment turns it on.",
	},
	{
		Path: "node.dist_listen_min", Type: TypeInt, Default: "6369", Min: 1, Max: 65535,
		Doc: "First port to try for the cluster port, with node.epmd only.",
	},
	{
		Path: "node.dist_listen_max", Type: TypeInt, Default: "6369", Min: 1, Max: 65535,
		Doc: "Last port to try for the cluster port, with node.epmd only.",
	},
	{
		Path: "node.dist_use_interface", Type: TypeAddr,
		Doc: "Address that the cluster port listens on. Empty: the host in the node's name. 0.0.0.0 is every IPv4 address.",
	},
	{
		Path: "node.dist_net_ticktime", Type: TypeDuration, Default: "2m", Min: 4 * second, Max: hour, LinesUnit: second,
		Doc: "A connected node that has been silent for about this long (up to a quarter more or less) counts as down. Use one value in the whole cluster.",
	},
	{
		Path: "node.dist_buffer_size", Type: TypeSize, Default: "8MB", Min: kb, Max: 2 * gb, Unit: kb, LinesUnit: kb,
		Doc: "What may wait to be sent to one node before its senders are held up. A plain number counts KB.",
	},
	{
		Path: "node.ssl_dist_optfile", Type: TypePath, Default: "${ERMINE_ETC_DIR}/ssl_dist.conf", Env: []string{"SSL_DIST_OPTFILE"},
		Doc: "Certificates and options of the cluster port where cluster.proto_dist is inet_tls or inet6_tls, in Erlang's form.",
	},
}

// nodeVMKeys tune the Erlang VM or the database in it.
var nodeVMKeys = anyKeys(NoEffect, "Erlang VM.",
	"node.global_gc_interval", "node.process_limit", "node.max_ports", "node.async_threads",
	"node.fullsweep_after", "node.max_ets_tables", "node.heartbeat", "node.crash_dump",
	"node.crash_dump_file", "node.crash_dump_seconds", "node.crash_dump_bytes",
	"node.backtrace_depth", "node.applications", "node.etc_dir", "node.config_files",
	"node.db_backend", "node.rpc_module", "node.tlog_push_mode", "node.shard_transports",
	"node.default_shard_transport", "node.default_bootstrap_batch_size",
	"node.broker_pool_size", "node.generic_pool_size", "node.channel_cleanup_batch_size",
	"node.cluster_call", "node.proc_prio", "node.dist_nodelay",
)

// discoveryEffect is that of the keys about finding and healing a cluster without
// a command.
const discoveryEffect = Reserved

// clusterKeys are about becoming and staying a cluster.
var clusterKeys = []Key{
	{
		Path: "cluster.name", Type: TypeString, Default: "emqxcl", Min: 1, Max: 255,
		Doc: "Name of the cluster. Nodes that find each other by multicast or etcd must have it in common.",
	},
	{
		Path: "cluster.discovery_strategy", Type: TypeEnum, Default: "manual",
		Allowed: []string{"manual", "static", "mcast", "dns", "etcd", "k8s", "singleton"},
		Aliases: []string{"cluster.discovery", "node.discovery_strategy"},
		Doc:     "How the node finds its cluster: by `node ctl cluster join` (manual), a list of names (static), multicast, DNS, etcd, the Kubernetes API; a singleton never joins one.",
	},
	{
		Path: "cluster.core_nodes", Type: TypeNodeNames, Default: "[]", Effect: Reserved,
		Doc: "Core nodes that a replicant connects to.",
	},
	{
		Path: "cluster.proto_dist", Type: TypeEnum, Default: "inet_tcp",
		Allowed: []string{"inet_tcp", "inet6_tcp", "inet_tls", "inet6_tls"},
		Doc:     "What the nodes of the cluster speak to each other over: TCP or TLS, by IPv4 or IPv6.",
	},
	{
		Path: "cluster.autoheal", Effect: discoveryEffect, Type: TypeBool, Default: "true",
		Doc: "Bring the parts of a cluster together again by itself after a network partition.",
	},
	{
		Path: "cluster.autoclean", Effect: discoveryEffect, Type: TypeDuration, Default: "24h", Word: "infinity",
		Doc: "A member that has been down for this long is removed from the cluster.",
	},
	{
		Path: "cluster.heartbeat_interval", Type: TypeDuration, Default: "1s", Min: second / 10, Max: minute,
		Doc: "How often members tell each other that they are alive.",
	},
	{
		Path: "cluster.dead_after", Type: TypeDuration, Default: "5s", Min: second / 2, Max: hour,
		Doc: "A member not heard of for this long, directly or through another one, counts as down. Shorter finds failures sooner and takes a short stall for one.",
	},
	{
		Path: "cluster.static.seeds", Effect: discoveryEffect, Type: TypeNodeNames, Default: "[]",
		Doc: "Names of the nodes to form a cluster with, for static.",
	},
	{Effect: discoveryEffect, Path: "cluster.mcast.addr", Type: TypeAddr, Default: "239.192.0.1", Doc: "Multicast group."},
	{Effect: discoveryEffect, Path: "cluster.mcast.ports", Type: TypeInts, Default: "[4369, 4370]", Min: 1, Max: 65535, Doc: "UDP ports; the first one that is free is used, all are asked."},
	{Effect: discoveryEffect, Path: "cluster.mcast.iface", Type: TypeAddr, Default: "0.0.0.0", Doc: "Address of the interface to use; 0.0.0.0 leaves it to the system."},
	{Effect: discoveryEffect, Path: "cluster.mcast.ttl", Type: TypeInt, Default: "255", Min: 0, Max: 255, Doc: "How many routers a datagram may pass."},
	{Effect: discoveryEffect, Path: "cluster.mcast.loop", Type: TypeBool, Default: "true", Doc: "Let other nodes on this machine hear us."},
	{Effect: discoveryEffect, Path: "cluster.mcast.sndbuf", Type: TypeSize, Default: "16KB", Doc: "Send buffer of the socket."},
	{Effect: discoveryEffect, Path: "cluster.mcast.recbuf", Type: TypeSize, Default: "16KB", Doc: "Receive buffer of the socket."},
	{Path: "cluster.mcast.buffer", Type: TypeSize, Default: "32KB", Effect: NoEffect, Doc: "Buffer of Erlang's driver."},

	{Effect: discoveryEffect, Path: "cluster.dns.name", Type: TypeString, Default: "localhost", Doc: "Name to look up."},
	{
		Effect: discoveryEffect, Path: "cluster.dns.record_type", Type: TypeEnum, Default: "a", Allowed: []string{"a", "aaaa", "srv"}, Aliases: []string{"cluster.dns.type"},
		Doc: "Record to look up. With a and aaaa, the host in node.name must be an address of that family.",
	},
	{Effect: discoveryEffect, Path: "cluster.dns.app", Type: TypeString, Doc: "Short name of the other nodes. Empty: that of this node."},

	{Effect: discoveryEffect, Path: "cluster.etcd.server", Type: TypeStrings, Default: "[]", Doc: "URLs of the etcd servers."},
	{Effect: discoveryEffect, Path: "cluster.etcd.prefix", Type: TypeString, Default: "emqxcl", Doc: "What the names of the keys in etcd begin with."},
	{Effect: discoveryEffect, Path: "cluster.etcd.node_ttl", Type: TypeDuration, Default: "1m", Min: second, Max: 24 * hour, Doc: "How long an entry outlives its node."},
	{Effect: discoveryEffect, Path: "cluster.etcd.ssl_options.enable", Type: TypeBool, Default: "false", Aliases: []string{"cluster.etcd.ssl.enable"}, Doc: "Speak TLS with etcd, also where the URL does not say https."},
	{Effect: discoveryEffect, Path: "cluster.etcd.ssl_options.cacertfile", Type: TypePath, Aliases: []string{"cluster.etcd.ssl.cacertfile"}, Doc: "Authorities that etcd's certificate is checked against. Empty: the system's."},
	{Effect: discoveryEffect, Path: "cluster.etcd.ssl_options.certfile", Type: TypePath, Aliases: []string{"cluster.etcd.ssl.certfile"}, Doc: "Own certificate."},
	{Effect: discoveryEffect, Path: "cluster.etcd.ssl_options.keyfile", Type: TypePath, Aliases: []string{"cluster.etcd.ssl.keyfile"}, Doc: "Key of the own certificate."},
	{Effect: discoveryEffect, Path: "cluster.etcd.ssl_options.verify", Type: TypeEnum, Default: "verify_peer", Allowed: []string{"verify_peer", "verify_none"}, Aliases: []string{"cluster.etcd.ssl.verify"}, Doc: "Whether etcd's certificate is checked."},

	{Effect: discoveryEffect, Path: "cluster.k8s.apiserver", Type: TypeString, Default: "https://kubernetes.default.svc:443", Doc: "URL of the Kubernetes API."},
	{Effect: discoveryEffect, Path: "cluster.k8s.service_name", Type: TypeString, Default: "ermine", Doc: "Service whose endpoints are the nodes."},
	{Effect: discoveryEffect, Path: "cluster.k8s.address_type", Type: TypeEnum, Default: "ip", Allowed: []string{"ip", "dns", "hostname"}, Doc: "What the host of a node's name is made of."},
	{Effect: discoveryEffect, Path: "cluster.k8s.namespace", Type: TypeString, Default: "default", Doc: "Namespace of the service."},
	{Effect: discoveryEffect, Path: "cluster.k8s.suffix", Type: TypeString, Default: "pod.local", Doc: "End of the host names, for dns and hostname."},
	{Effect: discoveryEffect, Path: "cluster.k8s.app_name", Type: TypeString, Doc: "Short name of the other nodes. Empty: that of this node."},

	{Path: "cluster.prevent_overlapping_partitions", Type: TypeAny, Effect: NoEffect, Doc: "Erlang VM."},
	{Path: "cluster.quic_lb_mode", Type: TypeAny, Effect: Reserved, Doc: "QUIC."},
	{Path: "cluster.links", Type: TypeAny, Effect: Reserved, Doc: "Links to other clusters."},
}

// rpcKeys are the data channel between nodes.
var rpcKeys = []Key{
	{
		Path: "rpc.mode", Type: TypeEnum, Default: "sync", Allowed: []string{"sync", "async"},
		Doc: "With sync, a publisher's acknowledgement waits for the other nodes that have subscribers; with async it does not, and what is on the way is lost if a node dies.",
	},
	{
		Path: "rpc.port_discovery", Type: TypeEnum, Default: "stateless", Allowed: []string{"manual", "stateless"},
		Doc: "Port of the data channel: 5370 plus the digits at the end of a node's short name (stateless), or rpc.server_port on every node (manual).",
	},
	{
		Path: "rpc.server_port", Type: TypeInt, Default: "5369", Min: 1, Max: 65535,
		Aliases: []string{"rpc.tcp_server_port", "rpc.ssl_server_port", "rpc.enable_ssl"},
		Doc:     "Port of the data channel on all nodes, with manual discovery only.",
	},
	{
		Path: "rpc.listen_address", Type: TypeAddr, Aliases: []string{"rpc.tcp_server_ip"},
		Doc: "Address that the data channel listens on. Empty: the host in the node's name. 0.0.0.0 is every IPv4 address.",
	},
	{Path: "rpc.ipv6_only", Type: TypeBool, Default: "false", Doc: "Do not take IPv4 connections on an IPv6 address."},
	{Path: "rpc.client_num", Type: TypeInt, Default: "10", Min: 1, Max: 256, Aliases: []string{"rpc.tcp_client_num"}, Doc: "Connections to each node. A topic always takes the same one."},
	{Path: "rpc.async_batch_size", Type: TypeInt, Default: "256", Min: 0, Max: 1 << 20, Doc: "Most messages in one batch; 0 sends each by itself."},
	{
		Path: "rpc.protocol", Type: TypeEnum, Default: "tcp", Allowed: []string{"tcp", "ssl"},
		Aliases: []string{"rpc.driver", "rpc.default_client_driver", "cluster.driver"},
		Doc:     "What the data channel runs over.",
	},
	{Path: "rpc.certfile", Type: TypePath, Aliases: []string{"cluster.ssl_options.certfile"}, Doc: "Own certificate, for ssl."},
	{Path: "rpc.keyfile", Type: TypePath, Aliases: []string{"cluster.ssl_options.keyfile"}, Doc: "Key of the own certificate."},
	{Path: "rpc.cacertfile", Type: TypePath, Aliases: []string{"cluster.ssl_options.cacertfile"}, Doc: "Authorities that the other nodes' certificates are checked against."},
	{
		Path: "rpc.verify", Type: TypeEnum, Default: "verify_none", Allowed: []string{"verify_peer", "verify_none"}, Aliases: []string{"cluster.ssl_options.verify"},
		Doc: "Whether the certificates of other nodes are checked, in both directions. The cookie is checked either way.",
	},
	{Path: "rpc.fail_if_no_peer_cert", Type: TypeBool, Default: "false", Aliases: []string{"cluster.ssl_options.fail_if_no_peer_cert"}, Doc: "Refuse a node that shows no certificate, with verify_peer."},
	{Path: "rpc.tls_versions", Type: TypeStrings, Default: "[tlsv1.3, tlsv1.2]", Allowed: []string{"tlsv1.3", "tlsv1.2"}, Aliases: []string{"cluster.ssl_options.versions"}, Doc: "TLS versions to speak."},
	{Path: "rpc.ciphers", Type: TypeStrings, Default: "[]", Aliases: []string{"cluster.ssl_options.ciphers"}, Doc: "Cipher suites for TLS 1.2. Empty: all that are safe."},
	{Path: "rpc.connect_timeout", Type: TypeDuration, Default: "5s", Min: second / 10, Max: hour, LinesUnit: second, Doc: "How long a connection may take to come about."},
	{Path: "rpc.send_timeout", Type: TypeDuration, Default: "5s", Min: second / 10, Max: hour, LinesUnit: second, Doc: "A connection on which a write takes longer is given up."},
	{Path: "rpc.authentication_timeout", Type: TypeDuration, Default: "5s", Min: second / 10, Max: hour, LinesUnit: second, Doc: "How long the exchange of the cookie's proof may take."},
	{Path: "rpc.call_receive_timeout", Type: TypeDuration, Default: "15s", Min: second / 10, Max: hour, LinesUnit: second, Doc: "How long to wait for an answer from another node."},
	{Path: "rpc.socket_keepalive_idle", Type: TypeDuration, Default: "15m", Max: 24 * hour, Min: second, LinesUnit: second, Doc: "TCP keep-alive: silence before the first probe."},
	{Path: "rpc.socket_keepalive_interval", Type: TypeDuration, Default: "75s", Max: 24 * hour, Min: second, LinesUnit: second, Doc: "TCP keep-alive: time between probes."},
	{Path: "rpc.socket_keepalive_count", Type: TypeInt, Default: "9", Min: 1, Max: 127, Doc: "TCP keep-alive: probes without an answer before the connection is closed."},
	{Path: "rpc.socket_sndbuf", Type: TypeSize, Default: "1MB", Max: gb, Doc: "Send buffer of a socket."},
	{Path: "rpc.socket_recbuf", Type: TypeSize, Default: "1MB", Max: gb, Doc: "Receive buffer of a socket."},
	{Path: "rpc.socket_buffer", Type: TypeAny, Effect: NoEffect, Doc: "Buffer of Erlang's driver."},
	{Path: "rpc.insecure_fallback", Type: TypeAny, Effect: NoEffect, Doc: "The cookie is never sent in clear."},
	{Path: "rpc.tcp_client_port", Type: TypeAny, Effect: NoEffect, Doc: "Follows rpc.port_discovery."},
}

// anyKeys are keys that take anything, for one reason.
func anyKeys(effect Effect, doc string, paths ...string) []Key {
	keys := make([]Key, len(paths))
	for i, p := range paths {
		keys[i] = Key{Path: p, Type: TypeAny, Effect: effect, Doc: doc}
	}
	return keys
}
