package config

import "slices"

// ListenerTypes are the kinds of listeners, in the order of boot.
var ListenerTypes = []string{"tcp", "ssl", "ws", "wss"}

// defaultBinds are those of the listeners named default, which are always there.
var defaultBinds = map[string]string{
	"tcp": "0.0.0.0:1883", "ssl": "0.0.0.0:8883", "ws": "0.0.0.0:8083", "wss": "0.0.0.0:8084",
}

// hasTLS and hasWebsocket tell what a type of listener is made of.
func hasTLS(typ string) bool       { return typ == "ssl" || typ == "wss" }
func hasWebsocket(typ string) bool { return typ == "ws" || typ == "wss" }

// The listener keys by their names below listeners.<type>.$name. The aliases are
// EMQX 4's names below listener.<type>.$name; the key's own last name is one
// without being listed.
var (
	commonListenerKeys = []Key{
		{Path: "enable", Type: TypeBool, Default: "true", Aliases: []string{"enabled"}, Doc: "Open this listener."},
		{Path: "bind", Type: TypeBind, Required: true, Doc: "Address and port to listen on. A port alone is every IPv4 address."},
		{Path: "max_connections", Type: TypeInt, Default: "infinity", Min: 1, Max: 1 << 31, Word: "infinity", Doc: "Connections at once; those beyond are closed as they come."},
		{Path: "max_conn_rate", Type: TypeRate, Default: "infinity", Word: "infinity", Doc: "New connections, for the whole listener."},
		{Path: "messages_rate", Type: TypeRate, Default: "infinity", Word: "infinity", Doc: "Messages from one client. Beyond it, reading from the client pauses."},
		{Path: "bytes_rate", Type: TypeByteRate, Default: "infinity", Word: "infinity", Doc: "Bytes from one client. Beyond it, reading from the client pauses."},
		{Path: "zone", Type: TypeString, Default: "default", Min: 1, Max: 255, Doc: "Zone whose settings hold for the clients of this listener."},
		{Path: "mountpoint", Type: TypeString, Doc: "Put before every topic of a client; ${clientid} and ${username} are replaced."},
		{Path: "enable_authn", Type: TypeEnum, Default: "true", Allowed: []string{"true", "false", "quick_deny_anonymous"}, Doc: "Whether the clients of this listener have to authenticate."},
		{Path: "access_rules", Type: TypeRules, Default: `["allow all"]`, Aliases: []string{"access"}, Doc: "Addresses that may connect; the first rule that matches decides."},
		{Path: "proxy_protocol", Type: TypeBool, Default: "false", Doc: "Connections come through a proxy that speaks the PROXY protocol, 1 or 2; others are closed."},
		{Path: "proxy_protocol_timeout", Type: TypeDuration, Default: "3s", Min: second / 10, Max: hour, LinesUnit: second, Doc: "How long the header of the PROXY protocol may take."},
		{Path: "acceptors", Type: TypeAny, Effect: NoEffect, Doc: "Erlang VM."},
		{Path: "peer_cert_as_username", Type: TypeEnum, Allowed: certFields, Effect: Reserved, Doc: "As mqtt.peer_cert_as_username, for this listener."},
		{Path: "peer_cert_as_clientid", Type: TypeEnum, Allowed: certFields, Effect: Reserved, Doc: "As mqtt.peer_cert_as_clientid, for this listener."},

		{Path: "tcp_options.nodelay", Type: TypeBool, Default: "true", Doc: "Send small packets at once."},
		{Path: "tcp_options.keepalive", Type: TypeString, Default: "none", Doc: "TCP keep-alive: none, or idle seconds, interval seconds and probes, such as \"240,30,5\"."},
		{Path: "tcp_options.send_timeout", Type: TypeDuration, Default: "15s", Min: second / 10, Max: hour, LinesUnit: second, Doc: "A write to a client that takes longer fails."},
		{Path: "tcp_options.send_timeout_close", Type: TypeBool, Default: "true", Doc: "Close the connection then."},
		{Path: "tcp_options.backlog", Type: TypeInt, Default: "1024", Min: 1, Max: 65535, Doc: "Connections that may wait in the system to be taken."},
		{Path: "tcp_options.high_watermark", Type: TypeSize, Default: "1MB", Min: kb, Max: gb, Doc: "With more output than this pending for a client, its session holds back; what it then has waits in the session's queue."},
		{Path: "tcp_options.hard_limit", Type: TypeSize, Default: "16MB", Min: kb, Max: gb, Word: "infinity", Doc: "With more output than this pending for a client, its connection is aborted."},
		{Path: "tcp_options.recbuf", Type: TypeSize, Default: "0", Max: gb, Doc: "Receive buffer of a socket; 0 leaves it to the system."},
		{Path: "tcp_options.sndbuf", Type: TypeSize, Default: "0", Max: gb, Doc: "Send buffer of a socket; 0 leaves it to the system."},
		{Path: "tcp_options.nolinger", Type: TypeBool, Default: "false", Doc: "Close connections with a reset, without waiting for what is still to be sent."},
	}

	tlsKeys = []Key{
		{Path: "ssl_options.certfile", Type: TypePath, Doc: "Own certificate and those that lead to its authority. Empty: a self-signed one is made in data_dir/certs."},
		{Path: "ssl_options.keyfile", Type: TypePath, Doc: "Key of the own certificate."},
		{Path: "ssl_options.password", Type: TypeString, Secret: true, Aliases: []string{"key_password"}, Doc: "Password of the key file, if it has one."},
		{Path: "ssl_options.cacertfile", Type: TypePath, Doc: "Authorities that clients' certificates are checked against."},
		{Path: "ssl_options.verify", Type: TypeEnum, Default: "verify_none", Allowed: []string{"verify_none", "verify_peer"}, Doc: "Whether clients are asked for a certificate, and it is checked."},
		{Path: "ssl_options.fail_if_no_peer_cert", Type: TypeBool, Default: "false", Doc: "Refuse clients without a certificate, with verify_peer."},
		{Path: "ssl_options.versions", Type: TypeStrings, Default: "[tlsv1.3, tlsv1.2]", Allowed: []string{"tlsv1.3", "tlsv1.2", "tlsv1.1", "tlsv1"}, Aliases: []string{"tls_versions"}, Doc: "TLS versions to speak."},
		{Path: "ssl_options.ciphers", Type: TypeStrings, Default: "[]", Doc: "Cipher suites for TLS 1.2 and below, in OpenSSL's or IANA's names. Empty: all that are safe."},
		{Path: "ssl_options.handshake_timeout", Type: TypeDuration, Default: "15s", Min: second / 10, Max: hour, LinesUnit: second, Doc: "How long the TLS handshake may take."},
	}

	websocketKeys = []Key{
		{Path: "websocket.mqtt_path", Type: TypeString, Default: "/mqtt", Min: 1, Max: 1024, Doc: "Path of the URL."},
		{Path: "websocket.mqtt_piggyback", Type: TypeEnum, Default: "multiple", Allowed: []string{"single", "multiple"}, Doc: "Whether a WebSocket message may hold several packets."},
		{Path: "websocket.compress", Type: TypeBool, Default: "false", Doc: "Offer compression."},
		{Path: "websocket.idle_timeout", Type: TypeDuration, Default: "7200s", Max: 365 * 24 * hour, Min: second, Word: "infinity", LinesUnit: second, Doc: "Close a connection on which nothing came for so long."},
		{Path: "websocket.max_frame_size", Type: TypeSize, Default: "infinity", Max: gb, Word: "infinity", Doc: "Largest WebSocket frame that is taken."},
		{Path: "websocket.fail_if_no_subprotocol", Type: TypeBool, Default: "true", Aliases: []string{"verify_protocol_header"}, Doc: "Refuse clients that name no subprotocol."},
		{Path: "websocket.supported_subprotocols", Type: TypeStrings, Default: `["mqtt", "mqtt-v3", "mqtt-v3.1.1", "mqtt-v5"]`, Aliases: []string{"supported_protocols"}, Doc: "Subprotocols that are taken."},
		{Path: "websocket.check_origin_enable", Type: TypeBool, Default: "false", Doc: "Check where a browser's page comes from."},
		{Path: "websocket.allow_origin_absence", Type: TypeBool, Default: "true", Doc: "Allow clients that do not say it."},
		{Path: "websocket.check_origins", Type: TypeStrings, Default: `["http://localhost:18083", "http://127.0.0.1:18083"]`, Doc: "What is allowed."},
		{Path: "websocket.proxy_address_header", Type: TypeString, Default: "x-forwarded-for", Doc: "Header in which a proxy tells the client's address."},
		{Path: "websocket.proxy_port_header", Type: TypeString, Default: "x-forwarded-port", Doc: "Header in which a proxy tells the client's port."},
		{Path: "websocket.trusted_proxies", Type: TypeNetworks, Default: "[]", Doc: "Proxies whose headers are believed. Empty: everyone's, so that a client could claim any address."},
	}

	// What tunes Erlang's sockets and its TLS, or that Go's TLS does not leave
	// open; below the part it belongs to.
	listenerVMKeys = []string{
		"tcp_options.active_n", "tcp_options.buffer", "tcp_options.reuseaddr", "tcp_options.tune_buffer",
	}
	tlsVMKeys = []string{
		"ssl_options.honor_cipher_order", "ssl_options.gc_after_handshake", "ssl_options.hibernate_after", "ssl_options.log_level",
		"ssl_options.secure_renegotiate", "ssl_options.client_renegotiation", "ssl_options.dhfile", "ssl_options.user_lookup_fun",
	}
	websocketVMKeys = []string{"websocket.deflate_opts", "websocket.validate_utf8"}
	tlsReservedKeys = []string{
		"ssl_options.ocsp", "ssl_options.enable_crl_check", "ssl_options.psk_ciphers", "ssl_options.partial_chain", "ssl_options.verify_peer_ext_key_usage",
		"ssl_options.depth", "ssl_options.reuse_sessions",
	}
)

// listenerKeys are the keys of one type of listener.
func listenerKeys(typ string) []Key {
	keys := slices.Clone(commonListenerKeys)
	keys = append(keys, anyKeys(NoEffect, "Erlang VM.", listenerVMKeys...)...)
	if hasTLS(typ) {
		keys = append(keys, tlsKeys...)
		keys = append(keys, anyKeys(NoEffect, "Erlang VM.", tlsVMKeys...)...)
		keys = append(keys, anyKeys(Reserved, "TLS.", tlsReservedKeys...)...)
	}
	if hasWebsocket(typ) {
		keys = append(keys, websocketKeys...)
		keys = append(keys, anyKeys(NoEffect, "Erlang VM.", websocketVMKeys...)...)
	}
	for i, k := range keys {
		present := "listeners." + typ + ".$name."
		old := "listener." + typ + ".$name."
		aliases := []string{old + lastName(k.Path)}
		for _, a := range k.Aliases {
			aliases = append(aliases, old+a)
		}
		switch k.Path {
		case "bind":
			aliases = append(aliases, "listener."+typ+".$name")
		case "enable":
			aliases = append(aliases, present+"enabled")
		case "zone":
			aliases = nil // the name of a zone changes too, see renames
		}
		k.Path, k.Aliases = present+k.Path, aliases
		keys[i] = k
	}
	return keys
}

// quicKeys: MQTT over QUIC is not there.
var quicKeys = anyKeys(Reserved, "QUIC.", "listeners.quic", "listener.quic")
