package config

import (
	"slices"
	"strings"
)

var (
	strategies  = []string{"random", "round_robin", "round_robin_per_group", "sticky", "local", "hash_topic", "hash_clientid"}
	certFields  = []string{"disabled", "cn", "dn", "crt", "pem", "md5"}
	permissions = []string{"allow", "deny"}
)

// mqttKeys hold for every connection; each can be set for a zone too.
var mqttKeys = []Key{
	{Path: "mqtt.idle_timeout", Type: TypeDuration, Default: "15s", Min: second / 10, Max: hour, LinesUnit: second, Doc: "A connection that has sent no CONNECT by then is closed."},
	{Path: "mqtt.max_packet_size", Type: TypeSize, Default: "1MB", Min: 1, Max: 256 * mb, Doc: "Largest packet that is taken."},
	{Path: "mqtt.max_clientid_len", Type: TypeInt, Default: "65535", Min: 23, Max: 65535, Doc: "Longest client ID, in bytes."},
	{Path: "mqtt.max_topic_levels", Type: TypeInt, Default: "128", Min: 0, Max: 65535, Doc: "Most levels of a topic; 0 is no limit."},
	{Path: "mqtt.max_topic_alias", Type: TypeInt, Default: "65535", Min: 0, Max: 65535, Doc: "Topic aliases that a client may use; 0 is none."},
	{Path: "mqtt.max_qos_allowed", Type: TypeInt, Default: "2", Min: 0, Max: 2, Doc: "Highest QoS of a message that is taken."},
	{Path: "mqtt.retain_available", Type: TypeBool, Default: "true", Doc: "Take retained messages."},
	{Path: "mqtt.wildcard_subscription", Type: TypeBool, Default: "true", Doc: "Allow filters with + and #."},
	{Path: "mqtt.shared_subscription", Type: TypeBool, Default: "true", Doc: "Allow $share and $queue."},
	{Path: "mqtt.exclusive_subscription", Type: TypeBool, Default: "false", Doc: "Allow $exclusive, which one client at a time may subscribe."},
	{
		Path: "mqtt.shared_subscription_strategy", Type: TypeEnum, Default: "round_robin", Allowed: strategies, Aliases: []string{"broker.shared_subscription_strategy"},
		Doc: "Which member of a share group gets a message.",
	},
	{
		Path: "mqtt.shared_subscription_initial_sticky_pick", Type: TypeEnum, Default: "random", Allowed: []string{"random", "local", "hash_topic", "hash_clientid"},
		Doc: "How sticky picks its first member.",
	},
	{Path: "mqtt.ignore_loop_deliver", Type: TypeBool, Default: "false", Doc: "Do not send an MQTT 3 client its own messages, as no local does for MQTT 5."},
	{Path: "mqtt.strict_mode", Type: TypeBool, Default: "false", Doc: "Check the text in packets for characters that the standard advises against, and close the connection."},
	{Path: "mqtt.response_information", Type: TypeString, Doc: "Response information that an MQTT 5 client gets if it asks. Empty: none."},
	{Path: "mqtt.server_keepalive", Type: TypeInt, Default: "disabled", Min: 0, Max: 65535, Word: "disabled", Doc: "Keep-alive in seconds that MQTT 5 clients are told to use instead of their own."},
	{Path: "mqtt.keepalive_multiplier", Type: TypeFloat, Default: "1.5", Min: 1, Max: 10, Doc: "A client that is silent for its keep-alive times this is disconnected."},
	{Path: "mqtt.keepalive_check_interval", Type: TypeDuration, Effect: NoEffect, Doc: "Each connection has a timer of its own."},
	{Path: "mqtt.retry_interval", Type: TypeDuration, Default: "infinity", Word: "infinity", LinesUnit: second, Doc: "Send a QoS 1 or 2 message again that a connected client has not acknowledged for so long. MQTT 5 forbids it and has no need of it."},
	{Path: "mqtt.use_username_as_clientid", Type: TypeBool, Default: "false", Doc: "Use the user name as client ID."},
	{Path: "mqtt.peer_cert_as_username", Type: TypeEnum, Default: "disabled", Allowed: certFields, Doc: "Use a field of the client's certificate as user name: common name, subject, the certificate (crt, pem) or its MD5."},
	{Path: "mqtt.peer_cert_as_clientid", Type: TypeEnum, Default: "disabled", Allowed: certFields, Doc: "Use a field of the client's certificate as client ID."},
	{Path: "mqtt.client_attrs_init", Type: TypeAny, Effect: Reserved, Doc: "Attributes of a client."},
	{Path: "mqtt.clientid_override", Type: TypeAny, Effect: Reserved, Doc: "Client ID made by an expression."},
	{Path: "mqtt.session_expiry_interval", Type: TypeDuration, Default: "2h", Max: 136 * 365 * 24 * hour, LinesUnit: second, Doc: "How long the session of an MQTT 3 client without clean session outlives its connection."},
	{Path: "mqtt.max_session_expiry_interval", Type: TypeDuration, Default: "infinity", Max: 136 * 365 * 24 * hour, Word: "infinity", Doc: "Longest session expiry interval that MQTT 5 clients get."},
	{Path: "mqtt.message_expiry_interval", Type: TypeDuration, Default: "infinity", Word: "infinity", Doc: "Messages without an expiry interval of their own are dropped when they are this old."},
	{Path: "mqtt.max_awaiting_rel", Type: TypeInt, Default: "100", Min: 0, Max: 65535, Word: "infinity", Doc: "QoS 2 messages of a client that may wait for their PUBREL."},
	{Path: "mqtt.await_rel_timeout", Type: TypeDuration, Default: "5m", Min: second, Max: 365 * 24 * hour, LinesUnit: second, Doc: "How long they may wait."},
	{Path: "mqtt.max_inflight", Type: TypeInt, Default: "32", Min: 1, Max: 65535, Doc: "QoS 1 and 2 messages on the way to a client at once; an MQTT 5 client may ask for less. Order is best kept with 1."},
	{Path: "mqtt.max_mqueue_len", Type: TypeInt, Default: "1000", Min: 0, Max: 1 << 31, Word: "infinity", Doc: "Messages that may wait for a client that is away, slow, or full to max_inflight. Beyond it the oldest is dropped."},
	{Path: "mqtt.mqueue_store_qos0", Type: TypeBool, Default: "true", Doc: "Let QoS 0 messages wait too."},
	{Path: "mqtt.mqueue_priorities", Type: TypePriorities, Default: "disabled", Word: "disabled", Doc: "Topics whose messages wait further ahead in the queue."},
	{Path: "mqtt.mqueue_default_priority", Type: TypeEnum, Default: "lowest", Allowed: []string{"highest", "lowest"}, Doc: "Priority of the topics not listed in mqueue_priorities."},
	{Path: "mqtt.max_subscriptions", Type: TypeInt, Default: "infinity", Min: 0, Max: 1 << 31, Word: "infinity", Doc: "Subscriptions that a client may have."},
	{Path: "mqtt.upgrade_qos", Type: TypeBool, Default: "false", Doc: "Deliver with the subscription's QoS even where the message was published with less."},
}

// zoneKeys are the mqtt keys again, under zones.$name, without a default: a zone
// has what mqtt has. EMQX 4 writes them as zone.$name.
func zoneKeys() []Key {
	var keys []Key
	for _, k := range mqttKeys {
		rel := strings.TrimPrefix(k.Path, "mqtt.")
		k.Path = "zones.$name.mqtt." + rel
		k.Aliases = []string{"zone.$name." + rel}
		k.Default = ""
		if strings.HasPrefix(rel, "shared_subscription_") {
			// A share group may have members in several zones.
			k.Effect = NoEffect
		}
		keys = append(keys, k)
	}
	return append(keys,
		Key{Path: "zones.$name.mountpoint", Type: TypeString, Doc: "Mountpoint of the listeners in the zone that have none."},
		Key{
			Path: "zones.$name.allow_anonymous", Type: TypeEnum, Allowed: []string{"true", "false", "false_quick_deny"}, Aliases: []string{"zone.$name.allow_anonymous"},
			Doc: "What allow_anonymous is for the listeners in the zone, if that is stricter.",
		},
	)
}

// zoneReservedKeys are what else EMQX has in a zone.
var zoneReservedKeys = anyKeys(Reserved, "Zone setting.",
	"zone.$name.enable_acl", "zone.$name.acl_deny_action", "zone.$name.enable_ban", "zone.$name.enable_flapping_detect",
	"zone.$name.rate_limit", "zone.$name.quota", "zone.$name.conn_congestion", "zone.$name.bypass_auth_plugins",
	"zones.$name.flapping_detect", "zones.$name.conn_congestion", "zones.$name.stats", "zones.$name.durable_sessions",
)

var zoneVMKeys = anyKeys(NoEffect, "Erlang VM.",
	"zone.$name.enable_stats", "zone.$name.force_gc_policy", "zone.$name.force_shutdown_policy",
	"zones.$name.force_gc", "zones.$name.force_shutdown", "zones.$name.overload_protection",
)

// brokerKeys are sessions, routing, retained and delayed messages, $SYS.
var brokerKeys = []Key{
	{Path: "broker.enable_session_registry", Type: TypeBool, Default: "true", Effect: Reserved, Doc: "Look for a client's session on all nodes when it connects."},
	{Path: "broker.session_locking_strategy", Type: TypeEnum, Default: "quorum", Allowed: []string{"local", "leader", "quorum", "all"}, Effect: NoEffect, Doc: "Sessions are opened by the directory, without locks."},
	{Path: "broker.session_history_retain", Type: TypeDuration, Default: "0s", Effect: Reserved, Doc: "How long past sessions are remembered."},
	{
		Path: "broker.shared_subscription_group.$name.strategy", Type: TypeEnum, Allowed: strategies, Aliases: []string{"broker.$name.shared_subscription_strategy"},
		Doc: "Strategy of one share group.",
	},
	{Path: "broker.shared_dispatch_ack_enabled", Type: TypeBool, Default: "false", Effect: NoEffect, Doc: "Messages are always dispatched again when a member goes."},
	{Path: "broker.route_batch_clean", Type: TypeAny, Effect: NoEffect, Doc: "Erlang VM."},
	{Path: "broker.perf", Type: TypeAny, Effect: NoEffect, Doc: "Erlang VM."},
	{Path: "broker.routing", Type: TypeAny, Effect: NoEffect, Doc: "Erlang VM."},
	{Path: "broker.client_disconnect_discarded", Type: TypeAny, Effect: Reserved, Doc: "Hooks."},
	{Path: "broker.client_disconnect_takeovered", Type: TypeAny, Effect: Reserved, Doc: "Hooks."},

	{Path: "retainer.enable", Type: TypeBool, Default: "true", Doc: "Keep retained messages."},
	{Path: "retainer.msg_expiry_interval", Type: TypeDuration, Default: "0s", Aliases: []string{"retainer.expiry_interval"}, LinesUnit: second, Doc: "Retained messages without an expiry interval of their own are removed after so long; 0s is never."},
	{Path: "retainer.msg_clear_interval", Type: TypeDuration, Default: "0s", Doc: "How often expired messages are looked for; 0s leaves it to the node."},
	{Path: "retainer.max_payload_size", Type: TypeSize, Default: "1MB", Max: gb, Doc: "Messages with a larger payload are delivered, but not retained; 0 is no limit."},
	{Path: "retainer.stop_publish_clear_msg", Type: TypeBool, Default: "false", Doc: "Do not deliver the empty messages that remove a retained one."},
	{Path: "retainer.delivery_rate", Type: TypeRate, Default: "1000/s", Aliases: []string{"retainer.deliver_rate"}, Doc: "How fast retained messages are delivered to one subscriber."},
	{Path: "retainer.max_publish_rate", Type: TypeRate, Default: "1000/s", Doc: "How fast retained messages are taken; those beyond it are delivered, but not retained."},
	{Path: "retainer.backend.type", Type: TypeEnum, Default: "built_in_database", Allowed: []string{"built_in_database"}, Doc: "Where they are kept."},
	{Path: "retainer.backend.storage_type", Type: TypeEnum, Default: "ram", Allowed: []string{"ram", "disc", "disc_only"}, Aliases: []string{"retainer.storage_type"}, Effect: Reserved, Doc: "Whether they survive a restart."},
	{Path: "retainer.backend.max_retained_messages", Type: TypeInt, Default: "0", Min: 0, Max: 1 << 40, Aliases: []string{"retainer.max_retained_messages"}, Doc: "Most messages to retain; 0 is no limit."},
	{Path: "retainer.backend.index_specs", Type: TypeAny, Effect: NoEffect, Doc: "Erlang VM."},
	{Path: "retainer.flow_control", Type: TypeAny, Effect: NoEffect, Doc: "See retainer.delivery_rate."},

	{Path: "delayed.enable", Type: TypeBool, Default: "true", Doc: "Take messages to $delayed/<seconds>/<topic>."},
	{Path: "delayed.max_delayed_messages", Type: TypeInt, Default: "0", Min: 0, Max: 1 << 40, Doc: "Most messages to hold back at once; 0 is no limit."},

	{Path: "sys_topics.sys_msg_interval", Type: TypeDuration, Default: "1m", Word: "disabled", Aliases: []string{"broker.sys_interval"}, LinesUnit: second, Doc: "How often statistics are published below $SYS."},
	{Path: "sys_topics.sys_heartbeat_interval", Type: TypeDuration, Default: "30s", Word: "disabled", Aliases: []string{"broker.sys_heartbeat"}, LinesUnit: second, Doc: "How often uptime and time are published below $SYS."},
	{Path: "sys_topics.sys_event_messages.client_connected", Type: TypeBool, Default: "true", Doc: "Publish a message below $SYS when a client connects."},
	{Path: "sys_topics.sys_event_messages.client_disconnected", Type: TypeBool, Default: "true", Doc: "Publish one when it disconnects."},
	{Path: "sys_topics.sys_event_messages.client_subscribed", Type: TypeBool, Default: "false", Doc: "Publish one when it subscribes."},
	{Path: "sys_topics.sys_event_messages.client_unsubscribed", Type: TypeBool, Default: "false", Doc: "Publish one when it unsubscribes."},

	{
		Path: "durable_sessions.enable", Type: TypeBool, Default: "false", Effect: Reserved,
		Doc: "Keep sessions and their messages on disk.",
	},
	{Path: "durable_sessions.sync", Type: TypeBool, Default: "true", Effect: Reserved, Doc: "Acknowledge a message only when it is on disk."},
}

// authKeys decide who may connect and what a client may do.
var authKeys = []Key{
	{
		Path: "allow_anonymous", Type: TypeEnum, Default: "auto", Allowed: []string{"auto", "true", "false", "false_quick_deny"},
		Doc: "Whether a client that no authenticator knows may connect: with auto, if there is no authenticator; with false_quick_deny, a client without a user name is refused before any is asked.",
	},
	{
		Path: "authentication", Type: TypeObjects, Default: "[]",
		Doc: "Authenticators, asked in this order. Without one, every client may connect. The one there is takes users from a file with hashed passwords.",
	},
	{Path: "authentication.$n.enable", Type: TypeBool, Default: "true", Doc: "Ask this one."},
	{Path: "authentication.$n.mechanism", Type: TypeEnum, Default: "password_based", Allowed: []string{"password_based"}, Doc: "How a client proves who it is."},
	{Path: "authentication.$n.backend", Type: TypeEnum, Default: "file", Allowed: []string{"file"}, Doc: "Where the users are."},
	{Path: "authentication.$n.path", Type: TypePath, Default: "${ERMINE_ETC_DIR}/users.conf", Doc: "File with the users."},
	{Path: "authentication.$n.user_id_type", Type: TypeEnum, Default: "username", Allowed: []string{"username"}, Doc: "What a user is found by."},

	{Path: "authorization.no_match", Type: TypeEnum, Default: "allow", Allowed: permissions, Aliases: []string{"acl_nomatch"}, Doc: "What happens where no rule of any source matches."},
	{Path: "authorization.deny_action", Type: TypeEnum, Default: "ignore", Allowed: []string{"ignore", "disconnect"}, Aliases: []string{"acl_deny_action"}, Doc: "What happens to a client that did what it may not: nothing but the refusal, or its connection is closed."},
	{Path: "authorization.cache.enable", Type: TypeBool, Default: "true", Aliases: []string{"enable_acl_cache"}, Doc: "Remember decisions, per client."},
	{Path: "authorization.cache.max_size", Type: TypeInt, Default: "32", Min: 1, Max: 1 << 20, Aliases: []string{"acl_cache_max_size"}, Doc: "Decisions to remember, per client."},
	{Path: "authorization.cache.ttl", Type: TypeDuration, Default: "1m", Min: second, Max: 24 * hour, Aliases: []string{"acl_cache_ttl"}, Doc: "How long to remember them."},
	{Path: "authorization.cache.excludes", Type: TypeStrings, Default: "[]", Effect: Reserved, Doc: "Filters of topics whose decisions are not remembered."},
	{Path: "authorization.sources", Type: TypeObjects, Default: `[{type = file, enable = true, path = "${ERMINE_ETC_DIR}/acl.conf"}]`, Doc: "Where rules come from, asked in this order."},
	{Path: "authorization.sources.$n.type", Type: TypeEnum, Default: "file", Allowed: []string{"file"}, Doc: "Kind of the source."},
	{Path: "authorization.sources.$n.enable", Type: TypeBool, Default: "true", Doc: "Ask this one."},
	{Path: "authorization.sources.$n.path", Type: TypePath, Default: "${ERMINE_ETC_DIR}/acl.conf", Doc: "File with the rules."},
}

var levels = []string{"debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"}

// logKeys say where the log goes.
var logKeys = []Key{
	{Path: "log.dir", Type: TypePath, Default: "${ERMINE_DATA_DIR}/log", Env: []string{"LOG_DIR"}, Doc: "What ${ERMINE_LOG_DIR} stands for."},
	{Path: "log.console.enable", Type: TypeBool, Default: "true", Aliases: []string{"log.console_handler.enable"}, Doc: "Write the log to the terminal (standard error)."},
	{Path: "log.console.level", Type: TypeEnum, Default: "warning", Allowed: levels, Aliases: []string{"log.console_handler.level"}, Doc: "Least severe level that is written."},
	{Path: "log.console.formatter", Type: TypeEnum, Default: "text", Allowed: []string{"text", "json"}, Aliases: []string{"log.console_handler.formatter"}, Doc: "Form of a line."},
	{Path: "log.console.time_offset", Type: TypeString, Default: "system", Aliases: []string{"log.console_handler.time_offset"}, Doc: "Time zone of the times: system, utc, or an offset such as +02:00."},
	{Path: "log.file.enable", Type: TypeBool, Default: "false", Aliases: []string{"log.file.default.enable", "log.file_handlers.default.enable"}, Doc: "Write the log to a file."},
	{
		Path: "log.file.path", Type: TypePath, Default: "${ERMINE_LOG_DIR}/ermine.log",
		Aliases: []string{"log.file.to", "log.file.default.path", "log.file.default.to", "log.file_handlers.default.file"},
		Doc:     "The file.",
	},
	{Path: "log.file.level", Type: TypeEnum, Default: "warning", Allowed: levels, Aliases: []string{"log.file.default.level", "log.file_handlers.default.level"}, Doc: "Least severe level that is written."},
	{Path: "log.file.formatter", Type: TypeEnum, Default: "text", Allowed: []string{"text", "json"}, Aliases: []string{"log.file.default.formatter", "log.file_handlers.default.formatter"}, Doc: "Form of a line."},
	{Path: "log.file.time_offset", Type: TypeString, Default: "system", Aliases: []string{"log.file.default.time_offset", "log.file_handlers.default.time_offset"}, Doc: "Time zone of the times: system, utc, or an offset such as +02:00."},
	{
		Path: "log.file.rotation_size", Type: TypeSize, Default: "50MB", Min: 1, Max: 1 << 50, Word: "infinity",
		Aliases: []string{"log.rotation.size", "log.file.default.rotation_size", "log.file_handlers.default.max_size"},
		Doc:     "Begin a new file when this one is so large.",
	},
	{
		Path: "log.file.rotation_count", Type: TypeInt, Default: "10", Min: 1, Max: 2048,
		Aliases: []string{"log.rotation.count", "log.file.default.rotation_count", "log.file_handlers.default.rotation.count"},
		Doc:     "Files to keep.",
	},
}

// logVMKeys tune Erlang's logger.
var logVMKeys = func() []Key {
	var paths []string
	for _, at := range []string{"log.", "log.console.", "log.file.", "log.file.default.", "log.console_handler.", "log.file_handlers.default."} {
		for _, rel := range []string{
			"chars_limit", "single_line", "sync_mode_qlen", "drop_mode_qlen", "flush_qlen", "overload_kill", "overload_kill_qlen",
			"overload_kill_mem_size", "overload_kill_restart_after", "burst_limit", "supervisor_reports", "max_depth",
			"payload_encode", "timestamp_format",
		} {
			paths = append(paths, at+rel)
		}
	}
	paths = append(paths, "log.error_logger", "log.formatter", "log.sasl", "log.file_handlers.default.rotation.enable")
	return anyKeys(NoEffect, "Erlang VM.", paths...)
}()

// reservedKeys belong to what this release does not have. They are accepted so
// that a file of EMQX's can be used as it is, and reported.
var reservedKeys = slices.Concat(
	[]Key{
		{Path: "dashboard.listeners.http.bind", Type: TypeBind, Default: "18083", Aliases: []string{"dashboard.listener.http"}, Effect: Reserved, Doc: "Dashboard and REST API."},
		{Path: "dashboard.default_username", Type: TypeString, Default: "admin", Aliases: []string{"dashboard.default_user.login"}, Effect: Reserved, Doc: "Dashboard."},
		{Path: "dashboard.default_password", Type: TypeString, Default: "public", Secret: true, Aliases: []string{"dashboard.default_user.password"}, Effect: Reserved, Doc: "Dashboard."},
		{Path: "dashboard.token_expired_time", Type: TypeDuration, Default: "60m", Effect: Reserved, Doc: "Dashboard."},
		{Path: "dashboard.sample_interval", Type: TypeDuration, Default: "10s", Effect: Reserved, Doc: "Dashboard."},
		{Path: "api_key.bootstrap_file", Type: TypePath, Effect: Reserved, Doc: "REST API."},
		{Path: "sysmon.os.cpu_high_watermark", Type: TypePercent, Default: "80%", Aliases: []string{"os_mon.cpu_high_watermark"}, Effect: Reserved, Doc: "Alarms."},
		{Path: "sysmon.os.cpu_low_watermark", Type: TypePercent, Default: "60%", Aliases: []string{"os_mon.cpu_low_watermark"}, Effect: Reserved, Doc: "Alarms."},
		{Path: "sysmon.os.sysmem_high_watermark", Type: TypePercent, Default: "70%", Aliases: []string{"os_mon.sysmem_high_watermark"}, Effect: Reserved, Doc: "Alarms."},
	},
	anyKeys(Reserved, "Dashboard and REST API.",
		"dashboard.listeners.https", "dashboard.listeners.http.enable", "dashboard.listeners.http.acceptors",
		"dashboard.listeners.http.num_acceptors", "dashboard.listeners.http.max_connections", "dashboard.listeners.http.backlog",
		"dashboard.listeners.http.send_timeout", "dashboard.listeners.http.inet6", "dashboard.listeners.http.ipv6_v6only",
		"dashboard.listeners.http.proxy_header", "dashboard.cors", "dashboard.i18n_lang", "dashboard.bootstrap_users_file",
		"dashboard.listener.https", "management"),
	anyKeys(Reserved, "Log.",
		"log.throttling", "log.audit", "log.primary_log_level",
		"log.debug.file", "log.info.file", "log.notice.file", "log.warning.file",
		"log.error.file", "log.critical.file", "log.alert.file", "log.emergency.file"),
	anyKeys(Reserved, "Durable sessions.",
		"durable_sessions.batch_size", "durable_sessions.idle_poll_interval", "durable_sessions.heartbeat_interval",
		"durable_sessions.session_gc_interval", "durable_sessions.session_gc_batch_size", "durable_sessions.message_retention_period",
		"durable_storage"),
	anyKeys(Reserved, "Feature of EMQX.",
		"flapping_detect", "flapping_detect_policy", "alarm", "limiter", "slow_subs", "auto_subscribe", "rewrite", "topic_metrics",
		"event_message", "crl_cache", "psk_authentication", "plugins", "modules", "module", "exhook", "rule_engine", "bridges", "bridge",
		"connectors", "actions", "sources", "schema_registry", "schema_validation", "message_transformation", "gateway", "license",
		"telemetry", "prometheus", "opentelemetry", "file_transfer", "node_rebalance", "conn_congestion", "statsd", "ai",
		"quota", "acl", "banned"),
)

// rootVMKeys tune the Erlang VM and are roots of their own.
var rootVMKeys = anyKeys(NoEffect, "Erlang VM.",
	"force_gc", "force_shutdown", "overload_protection", "stats", "vm_mon",
	"sysmon.vm", "sysmon.top", "sysmon.os.cpu_check_interval", "sysmon.os.mem_check_interval", "sysmon.os.procmem_high_watermark",
	"sysmon.long_gc", "sysmon.long_schedule", "sysmon.large_heap", "sysmon.busy_port", "sysmon.busy_dist_port",
	"os_mon.cpu_check_interval", "os_mon.mem_check_interval", "os_mon.procmem_high_watermark",
)
