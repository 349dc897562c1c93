package config

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// load reads a configuration from text.
func load(t *testing.T, text string, env ...string) (*Config, *Report, error) {
	t.Helper()
	return Load(Options{File: "t.conf", Env: env, ReadFile: func(name string) ([]byte, error) {
		if name != "t.conf" {
			return nil, os.ErrNotExist
		}
		return []byte(text), nil
	}})
}

func mustLoad(t *testing.T, text string, env ...string) (*Config, *Report) {
	t.Helper()
	cfg, report, err := load(t, text, env...)
	if err != nil {
		t.Fatal(err)
	}
	return cfg, report
}

// TestBadFiles reads each testdata/*.bad.conf. The file says at its end, in lines
// that begin with "## want:", what Load must complain about, all of it and nothing
// else. -update writes these lines; read them before you commit them.
func TestBadFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/*.bad.conf")
	if err != nil || len(files) < 10 {
		t.Fatalf("found %d files, %v", len(files), err)
	}
	const mark = "## want: "
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			cfg, _, err := Load(Options{File: file, CheckFiles: true})
			var invalid *Invalid
			if !errors.As(err, &invalid) || !errors.Is(err, ErrInvalid) || cfg != nil {
				t.Fatalf("error is %v", err)
			}
			var got strings.Builder
			for line := range strings.Lines(err.Error() + "\n") {
				got.WriteString(mark + strings.TrimPrefix(line, file+":"))
			}
			body, want, _ := strings.Cut(string(text), mark)
			want = mark + want
			if *update {
				if err := os.WriteFile(file, []byte(body+got.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got.String() != want {
				t.Errorf("got\n%s\nwant\n%s", got.String(), want)
			}
		})
	}
}

func TestDefaults(t *testing.T) {
	cfg, report, err := Load(Options{})
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Node.Name != "ermine@127.0.0.1" || cfg.Node.Cookie.Reveal() != "erminesecretcookie" || cfg.Node.DataDir != "data" {
		t.Errorf("node is %+v", cfg.Node)
	}
	var ids []string
	for _, l := range cfg.Listeners {
		ids = append(ids, l.ID()+" "+l.Bind.String())
	}
	if got := strings.Join(ids, ", "); got != "tcp:default 0.0.0.0:1883, ssl:default 0.0.0.0:8883, ws:default 0.0.0.0:8083, wss:default 0.0.0.0:8084" {
		t.Errorf("listeners are %s", got)
	}
	for _, tt := range []struct {
		name      string
		got, want any
	}{
		{"rpc.mode", cfg.RPC.Mode, "sync"},
		{"autoclean", cfg.Cluster.Autoclean, 24 * time.Hour},
		{"max_inflight", cfg.Mqtt.MaxInflight, 32},
		{"retry_interval", cfg.Mqtt.RetryInterval, time.Duration(0)},
		{"max_mqueue_len", cfg.Mqtt.MaxMqueueLen, 1000},
		{"max_packet_size", cfg.Mqtt.MaxPacketSize, int64(1 << 20)},
		{"anonymous", cfg.AnonymousAllowed(), true},
		{"no_match", cfg.Authorization.NoMatch, "allow"},
		{"acl file", cfg.Authorization.Sources[0].Path, "etc/acl.conf"},
		{"log file", cfg.Log.File.Path, "data/log/ermine.log"},
		{"mcast", fmt.Sprint(cfg.Cluster.Mcast.Ports), "[4369 4370]"},
		{"zone", cfg.Zone("none"), cfg.Mqtt},
		{"origin", report.Origin("node.name"), "default"},
	} {
		if !reflect.DeepEqual(tt.got, tt.want) {
			t.Errorf("%s is %v, want %v", tt.name, tt.got, tt.want)
		}
	}
	if w := report.Lines(); len(w) != 1 || !strings.Contains(w[0], "ERMINE_NODE__COOKIE") {
		t.Errorf("report is %q", w)
	}
	if !reflect.DeepEqual(cfg, Default()) {
		t.Error("Default is another one")
	}
}

func TestPrecedence(t *testing.T) {
	const file = `
node { name = "file@10.0.0.1", cookie = "from file" }
mqtt.max_inflight = 5
listeners.tcp.default.bind = 2883
cluster.static.seeds = ["a@10.0.0.1", "b@10.0.0.2"]
`
	cfg, report := mustLoad(t, file,
		"ERMINE_NODE__NAME=env@10.0.0.9",
		"EMQX_NODE__NAME=loses@10.0.0.9",
		"EMQX_MQTT__MAX_INFLIGHT=7",
		"ERMINE_LISTENERS__TCP__DEFAULT__BIND=127.0.0.1:1999",
		"EMQX_LISTENERS__SSL__DEFAULT__BIND=\"127.0.0.1:8999\"",
		"ERMINE_CLUSTER__STATIC__SEEDS__2=c@10.0.0.3",
		"ERMINE_NODE__COOKIE=12#34",
		"ERMINE_ZONES__FAST__MQTT={max_inflight = 99, max_mqueue_len = infinity}",
		"ERMINE_LISTENERS__WS__DEFAULT__ENABLE=off",
		"PATH=/bin", "EMQX_ETC_DIR=/opt/etc", "EMQX_UNKNOWN_THING=1", "EMQX_NOPE__X=1",
		"ERMINE_NODE__NMAE=x", "ERMINE_LISTNERS__TCP__X=1", "ERMINE_ZONES__FAST__MQTT__NOPE=1", "EMQX_NODE=3",
	)
	for _, tt := range []struct {
		name      string
		got, want any
	}{
		{"env over file", cfg.Node.Name, "env@10.0.0.9"},
		{"EMQX_ over file", cfg.Mqtt.MaxInflight, 7},
		{"unquoted address", cfg.Listeners[0].Bind.String(), "127.0.0.1:1999"},
		{"quoted address", cfg.Listeners[1].Bind.String(), "127.0.0.1:8999"},
		{"list element", fmt.Sprint(cfg.Cluster.Static.Seeds), "[a@10.0.0.1 c@10.0.0.3]"},
		{"a cookie is not parsed", cfg.Node.Cookie.Reveal(), "12#34"},
		{"object", cfg.Zone("fast").MaxInflight, 99},
		{"object", cfg.Zone("fast").MaxMqueueLen, 0},
		{"zone takes the rest from mqtt", cfg.Zone("fast").MaxPacketSize, int64(1 << 20)},
		{"switched off", cfg.Listeners[2].Enable, false},
		{"etc dir", cfg.Authorization.Sources[0].Path, "/opt/etc/acl.conf"},
		{"unknown", fmt.Sprint(report.UnknownEnv), "[EMQX_NODE ERMINE_LISTNERS__TCP__X ERMINE_NODE__NMAE ERMINE_ZONES__FAST__MQTT__NOPE]"},
		{"origin env", report.Origin("node.name"), "ERMINE_NODE__NAME"},
	} {
		if !reflect.DeepEqual(tt.got, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, tt.got, tt.want)
		}
	}
	want := `ERMINE_CLUSTER__STATIC__SEEDS__2 [cluster.static.seeds]: ["a@10.0.0.1", c@10.0.0.3]
EMQX_LISTENERS__SSL__DEFAULT__BIND [listeners.ssl.default.bind]: "127.0.0.1:8999"
ERMINE_LISTENERS__TCP__DEFAULT__BIND [listeners.tcp.default.bind]: 127.0.0.1:1999
ERMINE_LISTENERS__WS__DEFAULT__ENABLE [listeners.ws.default.enable]: off
EMQX_MQTT__MAX_INFLIGHT [mqtt.max_inflight]: 7
ERMINE_NODE__COOKIE [node.cookie]: "******"
ERMINE_NODE__NAME [node.name]: env@10.0.0.9
ERMINE_ZONES__FAST__MQTT [zones.fast.mqtt.max_inflight]: 99
ERMINE_ZONES__FAST__MQTT [zones.fast.mqtt.max_mqueue_len]: infinity`
	var lines []string
	for _, o := range report.Overrides {
		lines = append(lines, o.String())
	}
	if got := strings.Join(lines, "\n"); got != want {
		t.Errorf("overrides are\n%s\nwant\n%s", got, want)
	}
	if _, report := mustLoad(t, file); report.Origin("mqtt.max_inflight") != "t.conf:3:21" {
		t.Errorf("origin in the file is %s", report.Origin("mqtt.max_inflight"))
	}
}

func TestOldEnvironment(t *testing.T) {
	cfg, report := mustLoad(t, "",
		"EMQX_NODE_NAME=old@10.0.0.1", "EMQX_NODE__NAME=new@10.0.0.1", "EMQX_NODE_COOKIE=c", "WITH_EPMD=1",
		"EMQX_LOG__TO=file", "EMQX_LOG_DIR=/var/log/x", "EMQX_SSL_DIST_OPTFILE=/x/ssl.conf",
		"EMQX_LISTENER__TCP__EXTERNAL=1884", "EMQX_LISTENER__TCP__EXTERNAL__ACCESS__1=deny all",
		"EMQX_CLUSTER__DISCOVERY=static", "EMQX_CLUSTER__STATIC__SEEDS=a@10.0.0.1,b@10.0.0.2", "EMQX_ALLOW_ANONYMOUS=false",
		"EMQX_AUTHENTICATION=[{backend = file}]",
	)
	li := cfg.Listeners[0]
	for _, tt := range []struct {
		name      string
		got, want any
	}{
		{"old name wins", cfg.Node.Name, "old@10.0.0.1"},
		{"cookie", cfg.Node.Cookie.Reveal(), "c"},
		{"epmd", cfg.Node.EPMD, true},
		{"log.to", []bool{cfg.Log.Console.Enable, cfg.Log.File.Enable}, []bool{false, true}},
		{"log dir", cfg.Log.File.Path, "/var/log/x/ermine.log"},
		{"optfile", cfg.Node.SSLDistOptfile, "/x/ssl.conf"},
		{"listener", li.ID() + " " + li.Bind.String(), "tcp:default 0.0.0.0:1884"},
		{"access", fmt.Sprint(li.AccessRules), "[deny all]"},
		{"discovery", cfg.Cluster.DiscoveryStrategy, "static"},
		{"seeds", fmt.Sprint(cfg.Cluster.Static.Seeds), "[a@10.0.0.1 b@10.0.0.2]"},
		{"anonymous", cfg.AnonymousAllowed(), false},
		{"warnings", len(report.WarningLines()), 1},
	} {
		if !reflect.DeepEqual(tt.got, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, tt.got, tt.want)
		}
	}
	for _, e := range []string{"EMQX_DEFAULT_LOG_HANDLER=both", "ERMINE_LOG__TO=both"} {
		if cfg, _ := mustLoad(t, "", e); !cfg.Log.Console.Enable || !cfg.Log.File.Enable {
			t.Errorf("%s gives %+v", e, cfg.Log)
		}
	}
}

func TestBadEnvironment(t *testing.T) {
	_, _, err := load(t, "mqtt.max_inflight = x # a",
		"ERMINE_NODE__NAME=nohost", "ERMINE_NODE__COOKIE=", "EMQX_MQTT__MAX_QOS_ALLOWED=3")
	want := `t.conf:1:21: mqtt.max_inflight: "x" is no whole number (allowed: a whole number, 1 to 65535)
EMQX_MQTT__MAX_QOS_ALLOWED: mqtt.max_qos_allowed: "3" is too large (allowed: a whole number, 0 to 2)
ERMINE_NODE__COOKIE: node.cookie: the value is empty
ERMINE_NODE__NAME: node.name: "nohost" must have exactly one @ (allowed: name@host, name of letters, digits, _ and -, host an IP address or a name with a dot)`
	if err == nil || sorted(err.Error()) != sorted(want) {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func sorted(s string) string {
	lines := strings.Split(s, "\n")
	// The order of variables among each other is that of their strength.
	for i := range lines {
		for j := i + 1; j < len(lines); j++ {
			if lines[j] < lines[i] {
				lines[i], lines[j] = lines[j], lines[i]
			}
		}
	}
	return strings.Join(lines, "\n")
}

func TestNodeNames(t *testing.T) {
	for _, tt := range []struct {
		name string
		ok   bool
	}{
		{"ermine@127.0.0.1", true},
		{"e-1_x@10.0.0.1", true},
		{"e@host.example.org", true},
		{"e@::1", true},
		{"e@s1.emqx.io", true},
		{"ermine", false},
		{"@10.0.0.1", false},
		{"e@", false},
		{"e@host", false},
		{"e@localhost", false},
		{"e@a@b.c", false},
		{"é@10.0.0.1", false},
		{"e e@10.0.0.1", false},
		{"e@a..b", false},
		{"e@.b", false},
		{"e.x@10.0.0.1", false},
		{"e@" + strings.Repeat("a.", 130) + "b", false},
	} {
		if err := checkNodeName(tt.name); (err == nil) != tt.ok {
			t.Errorf("%q: %v", tt.name, err)
		}
	}
}

func TestBinds(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"1883", "0.0.0.0:1883"},
		{":1883", "0.0.0.0:1883"},
		{"10.0.0.1:1883", "10.0.0.1:1883"},
		{"[::1]:1883", "[::1]:1883"},
		{"::1:1883", "[::1]:1883"},
		{"[::]:0", "[::]:0"},
	} {
		if got, err := toBind(tt.text); err != nil || got.String() != tt.want {
			t.Errorf("%q is %v, %v, want %s", tt.text, got, err, tt.want)
		}
	}
	for _, text := range []string{"", "x", "10.0.0.1", "10.0.0.1:", "10.0.0.1:70000", "host:1883", "[::1:1883", "-1"} {
		if got, err := toBind(text); err == nil {
			t.Errorf("%q is taken as %v", text, got)
		}
	}
	for _, tt := range []struct {
		a, b string
		same bool
	}{
		{"0.0.0.0:1", "127.0.0.1:1", true},
		{"[::]:1", "127.0.0.1:1", true},
		{"[::]:1", "0.0.0.0:1", true},
		{"0.0.0.0:1", "[::1]:1", false},
		{"127.0.0.1:1", "127.0.0.2:1", false},
		{"0.0.0.0:1", "0.0.0.0:2", false},
		{"0.0.0.0:0", "0.0.0.0:0", false},
	} {
		a, b := netip.MustParseAddrPort(tt.a), netip.MustParseAddrPort(tt.b)
		if sameSocket(a, b) != tt.same || sameSocket(b, a) != tt.same {
			t.Errorf("%s and %s: want %t", tt.a, tt.b, tt.same)
		}
	}
}

// TestEMQX4 reads a file in the form of EMQX 4's own, with its names.
func TestEMQX4(t *testing.T) {
	cfg, report, err := Load(Options{File: "testdata/emqx4.conf", EtcDir: "/etc/ermine"})
	if err != nil {
		t.Fatal(err)
	}
	if report.Dialect.String() != "EMQX 4 lines" {
		t.Errorf("read as %v", report.Dialect)
	}
	li := map[string]Listener{}
	for _, l := range cfg.Listeners {
		li[l.ID()] = l
	}
	def, internal := li["tcp:default"], li["tcp:internal"]
	for _, tt := range []struct {
		name      string
		got, want any
	}{
		{"name", cfg.Node.Name, "emqx1@192.168.0.193"},
		{"a cookie with anything in it", cfg.Node.Cookie.Reveal(), `a=b,c$"d"`},
		{"seconds", cfg.Node.DistNetTicktime, 2 * time.Minute},
		{"buffer", cfg.Node.DistBufferSize, int64(8 << 20)},
		{"discovery", cfg.Cluster.DiscoveryStrategy, "static"},
		{"seeds", fmt.Sprint(cfg.Cluster.Static.Seeds), "[emqx1@192.168.0.193 emqx2@192.168.0.194]"},
		{"flag", cfg.Cluster.Autoheal, true},
		{"autoclean", cfg.Cluster.Autoclean, 5 * time.Minute},
		{"rpc", cfg.RPC.ServerPort, 5369},
		{"rpc", cfg.RPC.Mode, "async"},
		{"keepalive", cfg.RPC.SocketKeepaliveIdle, 900 * time.Second},
		{"default bind", def.Bind.String(), "0.0.0.0:1883"},
		{"internal bind", internal.Bind.String(), "127.0.0.1:11883"},
		{"rate", def.MaxConnRate, Rate{1000, time.Second}},
		{"connections", def.MaxConnections, 1024000},
		{"access", fmt.Sprint(def.AccessRules), "[deny 10.1.0.0/16 allow all]"},
		{"nodelay", internal.TCP.Nodelay, false},
		{"recbuf", internal.TCP.Recbuf, int64(64 << 10)},
		{"send timeout", internal.TCP.SendTimeout, 5 * time.Second},
		{"zone of default", def.Zone, "default"},
		{"zone of internal", internal.Zone, "internal"},
		{"ssl", li["ssl:default"].TLS.Certfile, "/etc/ermine/certs/cert.pem"},
		{"ssl versions", fmt.Sprint(li["ssl:default"].TLS.Versions), "[tlsv1.2 tlsv1.3]"},
		{"ssl ciphers", len(li["ssl:default"].TLS.Ciphers), 2},
		{"peer cert", li["ssl:default"].PeerCertAsUsername, "cn"},
		{"ws", li["ws:default"].Websocket.FailIfNoSubprotocol, true},
		{"ws bind", li["ws:default"].Bind.String(), "0.0.0.0:8083"},
		{"origins", len(li["ws:default"].Websocket.CheckOrigins), 2},
		{"mqtt", cfg.Mqtt.MaxPacketSize, int64(64 << 10)},
		{"no limit", cfg.Mqtt.MaxTopicLevels, 0},
		{"zone external", cfg.Zone("default").RetryInterval, 30 * time.Second},
		{"backoff", cfg.Zone("default").KeepaliveMultiplier, 1.5},
		{"priorities", cfg.Zone("default").MqueuePriorities, map[string]int{"topic/1": 10, "topic/2": 8}},
		{"zone internal", cfg.Zone("internal").MaxInflight, 128},
		{"zone internal has the rest from mqtt", cfg.Zone("internal").RetryInterval, time.Duration(0)},
		{"mountpoint of a zone", internal.Mountpoint, "cloud/${clientid}/${username}/"},
		{"anonymous", cfg.AllowAnonymous, "true"},
		{"anonymous in a zone", internal.EnableAuthn, "true"},
		{"no match", cfg.Authorization.NoMatch, "deny"},
		{"acl file", cfg.Authorization.Sources[0].Path, "/etc/ermine/acl4.conf"},
		{"acl cache", cfg.Authorization.Cache.Enable, false},
		{"strategy", cfg.Mqtt.SharedSubscriptionStrategy, "random"},
		{"strategy of a group", cfg.Broker.SharedGroups["g1"], "hash_clientid"},
		{"sys", cfg.SysTopics.SysMsgInterval, time.Minute},
		{"log", []any{cfg.Log.Console.Enable, cfg.Log.Console.Level, cfg.Log.File.Enable, cfg.Log.File.Level}, []any{true, "info", true, "info"}},
		{"log file", cfg.Log.File.Path, "/var/log/emqx/emqx.log"},
		{"rotation", []any{cfg.Log.File.RotationSize, cfg.Log.File.RotationCount}, []any{int64(10 << 20), 5}},
	} {
		if !reflect.DeepEqual(tt.got, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, tt.got, tt.want)
		}
	}
	for name, want := range map[string]string{
		"node.process_limit":                            fmt.Sprint(report.NoEffect),
		"listeners.tcp.default.tcp_options.active_n":    fmt.Sprint(report.NoEffect),
		"zone.default.force_gc_policy":                  fmt.Sprint(report.NoEffect),
		"flapping_detect_policy":                        fmt.Sprint(report.Reserved),
		"listeners.ssl.default.ssl_options.psk_ciphers": fmt.Sprint(report.Reserved),
	} {
		if !strings.Contains(want, name) {
			t.Errorf("%s is not reported: %s", name, want)
		}
	}
}

// TestEMQX5 reads a file as users of EMQX 5 have it.
func TestEMQX5(t *testing.T) {
	cfg, report := mustLoad(t, `
## a comment
node {
  name = "emqx1@s1.emqx.io"
  cookie = "secret"
  data_dir = "${EMQX_ETC_DIR}/../data"
  role = core
  process_limit = 2097152
  cluster_call { retry_interval = 1m }
}
cluster {
  name = emqxcl
  discovery_strategy = static
  static { seeds = "emqx1@s1.emqx.io, emqx2@s2.emqx.io" }
  driver = ssl
}
rpc { certfile = a.pem, keyfile = b.pem }
listeners.tcp.default { bind = "0.0.0.0:1883", max_connections = 1024000 }
listeners.tcp.Two { bind = 2883, zone = Fast }
listeners.ssl.default { enable = false }
listeners.quic.default { bind = 14567 }
zones.Fast { mqtt { max_inflight = 1 , retry_interval = 10s } }
dashboard { listeners.http { bind = 18083 }, default_password = "public" }
authorization { sources = [ { type = file, path = "${ERMINE_ETC_DIR}/a.conf" }, {type = file, enable = false} ], no_match = deny }
authentication = [ {mechanism = password_based, backend = file, path = ${ERMINE_ETC_DIR}/u.conf} ]
broker.shared_subscription_group."G.1".strategy = sticky
log.console { level = debug, formatter = json }
retainer { delivery_rate = "infinity", backend { storage_type = disc } }
mqtt { mqueue_priorities { "a/B" = 3 }, server_keepalive = 60, peer_cert_as_username = cn }
sysmon { os { cpu_high_watermark = 80% }, vm { long_gc = disabled } }
`)
	if report.Dialect.String() != "HOCON" {
		t.Errorf("read as %v", report.Dialect)
	}
	li := map[string]Listener{}
	for _, l := range cfg.Listeners {
		li[l.ID()] = l
	}
	for _, tt := range []struct {
		name      string
		got, want any
	}{
		{"data_dir", cfg.Node.DataDir, "./../data"},
		{"seeds", fmt.Sprint(cfg.Cluster.Static.Seeds), "[emqx1@s1.emqx.io emqx2@s2.emqx.io]"},
		{"driver", cfg.RPC.Protocol, "ssl"},
		{"a name with a capital", li["tcp:Two"].Bind.String(), "0.0.0.0:2883"},
		{"a zone with a capital", cfg.Zone(li["tcp:Two"].Zone).RetryInterval, 10 * time.Second},
		{"off", li["ssl:default"].Enable, false},
		{"sources", fmt.Sprint(cfg.Authorization.Sources), "[{file true ./a.conf} {file false ./acl.conf}]"},
		{"users", cfg.Authentication, []Authenticator{{Enable: true, Mechanism: "password_based", Backend: "file", Path: "./u.conf", UserIDType: "username"}}},
		{"anonymous", cfg.AnonymousAllowed(), false},
		{"group", cfg.Broker.SharedGroups["G.1"], "sticky"},
		{"priorities", cfg.Mqtt.MqueuePriorities["a/B"], 3},
		{"keepalive", cfg.Mqtt.ServerKeepalive, 60},
		{"rate", cfg.Retainer.DeliveryRate.Limited(), false},
		{"peer cert of a listener", li["tcp:default"].PeerCertAsUsername, "cn"},
	} {
		if !reflect.DeepEqual(tt.got, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, tt.got, tt.want)
		}
	}
	want := "[cluster.discovery_strategy = static cluster.static.seeds dashboard.default_password dashboard.listeners.http.bind listeners.quic node.role retainer.backend.storage_type sysmon.os.cpu_high_watermark]"
	if got := fmt.Sprint(report.Reserved); got != want {
		t.Errorf("reserved are %s", got)
	}
	if got := fmt.Sprint(report.NoEffect); got != "[node.cluster_call node.process_limit sysmon.vm]" {
		t.Errorf("without effect are %s", got)
	}
}

func TestOldAndNewNameTogether(t *testing.T) {
	cfg, report := mustLoad(t, "cluster { discovery_strategy = singleton, discovery = static }\nrpc.tcp_client_num = 3\nrpc { client_num = 4 }")
	if cfg.Cluster.DiscoveryStrategy != "singleton" || cfg.RPC.ClientNum != 4 {
		t.Errorf("got %s, %d: the present name must win", cfg.Cluster.DiscoveryStrategy, cfg.RPC.ClientNum)
	}
	text := strings.Join(report.Warnings, "\n")
	for _, want := range []string{
		"t.conf:1:55: cluster.discovery is overridden by cluster.discovery_strategy at t.conf:1:32",
		"t.conf:2:22: rpc.tcp_client_num is overridden by rpc.client_num at t.conf:3:20",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no warning %q in\n%s", want, text)
		}
	}
}

func TestDumpReadsBack(t *testing.T) {
	for name, cfg := range map[string]*Config{
		"defaults": Default(),
		"changed": func() *Config {
			cfg, _ := mustLoad(t, `
node { name = "x@10.0.0.1", cookie = "a \"quoted\" \\ cookie", dist_use_interface = "10.0.0.1" }
listeners.tcp.a-B { bind = "[::1]:2883", zone = Z, max_conn_rate = "100/10s", bytes_rate = "10MB/s", access_rules = ["allow 10.0.0.0/8", "deny all"] }
zones.Z { mqtt { max_inflight = 7, mqueue_priorities { "t/+" = 3 } }, mountpoint = "m/", allow_anonymous = false_quick_deny }
broker.shared_subscription_group.g.strategy = local
cluster { static { seeds = ["a@1.1.1.1"] }, autoclean = infinity }
authentication = [{path = x}, {enable = false}]
listeners.ws.default.websocket.trusted_proxies = [10.0.0.1, "10.1.0.0/16"]
mqtt { session_expiry_interval = 1d2h, keepalive_multiplier = 2.25, server_keepalive = 60 }
`)
			return cfg
		}(),
	} {
		text := Dump(cfg, "", true)
		again, _ := mustLoad(t, string(text), "ERMINE_ETC_DIR="+cfg.EtcDir)
		if !reflect.DeepEqual(cfg, again) {
			t.Errorf("%s: read back as another one:\n%s\n---\n%s", name, text, Dump(again, "", true))
		}
	}
	cfg := Default()
	if text := string(Dump(cfg, "", false)); strings.Contains(text, "erminesecretcookie") || !strings.Contains(text, mask) {
		t.Error("a secret is shown")
	}
	for path, want := range map[string]string{
		"mqtt.max_inflight":                "mqtt {\n  max_inflight = 32\n}\n",
		"cluster.discovery":                "cluster {\n  discovery_strategy = manual\n}\n",
		"listeners.tcp.default.bind":       "listeners {\n  tcp {\n    default {\n      bind = \"0.0.0.0:1883\"\n    }\n  }\n}\n",
		"delayed":                          "delayed {\n  enable = true\n  max_delayed_messages = 0\n}\n",
		"nope":                             "",
		"node.nope":                        "",
		"listeners.tcp.none.bind":          "",
		"broker.enable_session_registry.x": "",
	} {
		if got := string(Dump(cfg, path, false)); got != want {
			t.Errorf("%s is dumped as %q, want %q", path, got, want)
		}
	}
}

func TestIncludesAndMissingFile(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("old.conf", "mqtt.max_inflight = 9\nlistener.tcp.internal = 127.0.0.1:11883\n")
	main := write("node.conf", "include \"old.conf\"\nmqtt { max_qos_allowed = 1 }\n")
	cfg, report, err := Load(Options{File: main})
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Mqtt.MaxInflight != 9 || cfg.Mqtt.MaxQoSAllowed != 1 || len(cfg.Listeners) != 5 {
		t.Errorf("got %+v", cfg.Mqtt)
	}
	if len(report.Files) != 2 || cfg.Authorization.Sources[0].Path != filepath.Join(dir, "acl.conf") {
		t.Errorf("files %v, acl file %s", report.Files, cfg.Authorization.Sources[0].Path)
	}
	write("old.conf", "mqtt.max_inflight = no\n")
	if _, _, err := Load(Options{File: main}); err == nil || !strings.HasPrefix(err.Error(), filepath.Join(dir, "old.conf")+":1:21: mqtt.max_inflight: ") {
		t.Errorf("a mistake in an included file: %v", err)
	}
	_, _, err = Load(Options{File: filepath.Join(dir, "none.conf")})
	if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "none.conf") {
		t.Errorf("a missing file: %v", err)
	}
	tls := write("tls.conf", "listeners.ssl.default.ssl_options { certfile = ${ERMINE_ETC_DIR}/a.pem, keyfile = ${ERMINE_ETC_DIR}/node.conf }")
	_, _, err = Load(Options{File: tls, CheckFiles: true})
	if err == nil || !strings.Contains(err.Error(), "listeners.ssl.default.ssl_options.certfile: file "+filepath.Join(dir, "a.pem")+": no such file") || strings.Contains(err.Error(), "keyfile:") {
		t.Errorf("a missing certificate: %v", err)
	}
	if _, _, err := Load(Options{File: tls}); err != nil {
		t.Errorf("without CheckFiles: %v", err)
	}
}

func TestParseKeepaliveAndOffset(t *testing.T) {
	if k, err := ParseKeepalive("240,30,5"); err != nil || k != (Keepalive{240 * time.Second, 30 * time.Second, 5}) {
		t.Errorf("keepalive is %+v, %v", k, err)
	}
	if k, err := ParseKeepalive("none"); err != nil || k != (Keepalive{}) {
		t.Errorf("none is %+v, %v", k, err)
	}
	loc, err := ParseTimeOffset("-02:30")
	if err != nil {
		t.Fatal(err)
	}
	if _, off := time.Unix(0, 0).In(loc).Zone(); off != -9000 {
		t.Errorf("offset is %d", off)
	}
}

// FuzzLoad holds that any file and variable end in a configuration or in a list of
// mistakes, and that a configuration can be written and read back.
func FuzzLoad(f *testing.F) {
	for _, s := range []string{
		"node.name = a@b.c", "listeners.tcp.x { bind = 1 }", "zone.external.max_inflight = 3\nlistener.tcp.internal = 1",
		"authorization.sources.1.path = x", "mqtt { mqueue_priorities { a = 1 } }", "log.to = both", "nope = 1", "cluster.static.seeds.1 = a@1.1.1.1",
		"broker.x.shared_subscription_strategy = random", "listeners = 3", "zones.\"a b\".mqtt = {}", "zones.a = null",
	} {
		f.Add(s, "ERMINE_NODE__NAME", "x@1.1.1.1")
		f.Add("", "EMQX_LISTENERS", "{"+s+"}")
	}
	f.Fuzz(func(t *testing.T, text, name, value string) {
		cfg, report, err := Load(Options{File: "t.conf", Env: []string{name + "=" + value}, ReadFile: func(string) ([]byte, error) { return []byte(text), nil }})
		if err != nil {
			var invalid *Invalid
			if !errors.As(err, &invalid) || len(invalid.Problems) == 0 || cfg != nil {
				t.Fatalf("error is %v", err)
			}
			return
		}
		_ = report.Lines()
		dump := Dump(cfg, "", true)
		again, _, err := Load(Options{File: "t.conf", EtcDir: cfg.EtcDir, ReadFile: func(string) ([]byte, error) { return dump, nil }})
		if err != nil {
			t.Fatalf("%v\n%s", err, dump)
		}
		if !reflect.DeepEqual(cfg, again) {
			t.Fatalf("changed by writing:\n%s\n---\n%s", dump, Dump(again, "", true))
		}
	})
}

// A mistake elsewhere does not keep a command from finding its node; one about
// the node itself does.
func TestLenient(t *testing.T) {
	load := func(text string) (*Config, error) {
		cfg, _, err := Load(Options{
			File: "node.conf", Lenient: true,
			ReadFile: func(string) ([]byte, error) { return []byte(text), nil },
		})
		return cfg, err
	}
	cfg, err := load("node.name = \"here@127.0.0.1\"\nnode.data_dir = there\nmqtt.bogus = 1\nmqtt.max_inflight = many\n")
	if err != nil || cfg.Node.Name != "here@127.0.0.1" || cfg.Node.DataDir != "there" {
		t.Errorf("got %+v, %v", cfg, err)
	}
	if _, err := load("node.name = nowhere\n"); !errors.Is(err, ErrInvalid) {
		t.Errorf("a wrong name: %v", err)
	}
}
