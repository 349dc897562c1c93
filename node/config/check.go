package config

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// check holds what single values cannot show to be wrong: what does not fit
// together. Mistakes are put at the setting that was written, where one was.
func (l *loader) check(cfg *Config) {
	l.checkNode(cfg)
	l.checkDiscovery(cfg)
	l.checkListeners(cfg)
	l.checkAnonymous(cfg)
	for _, path := range []string{"log.console.time_offset", "log.file.time_offset"} {
		s := l.effective[path]
		if _, err := ParseTimeOffset(s.text()); err != nil && s.value != nil {
			l.problem(s, "system, utc, an offset such as +02:00", "%s", err)
		}
	}
	if l.opt.CheckFiles {
		l.checkFiles()
	}
}

// set gives a path's setting if the file or the environment has it and it is
// valid.
func (l *loader) set(path string) *setting {
	s := l.effective[path]
	if s == nil || s.pos.File == "default" || s.value == nil {
		return nil
	}
	return s
}

// at gives the setting to blame: the first of the paths that was written, else the
// first one.
func (l *loader) at(paths ...string) *setting {
	for _, p := range paths {
		if s := l.set(p); s != nil {
			return s
		}
	}
	return l.effective[paths[0]]
}

func (l *loader) checkNode(cfg *Config) {
	n := cfg.Node
	if n.DistListenMin > n.DistListenMax {
		l.problem(l.at("node.dist_listen_min", "node.dist_listen_max"), "", "dist_listen_min %d is above dist_listen_max %d", n.DistListenMin, n.DistListenMax)
	}
	if c := cfg.Cluster; c.DeadAfter < 2*c.HeartbeatInterval {
		l.problem(l.at("cluster.dead_after", "cluster.heartbeat_interval"), "", "dead_after %s is less than twice heartbeat_interval %s",
			FormatDuration(c.DeadAfter), FormatDuration(c.HeartbeatInterval))
	}
	r := cfg.RPC
	if (r.Certfile == "") != (r.Keyfile == "") {
		l.problem(l.at("rpc.certfile", "rpc.keyfile"), "", "rpc.certfile and rpc.keyfile are needed together")
	}
	if r.Protocol == "ssl" && r.Certfile == "" && r.Keyfile == "" {
		l.problem(l.at("rpc.protocol"), "", "ssl needs rpc.certfile and rpc.keyfile")
	}
	if r.Verify == "verify_peer" && r.CACertfile == "" {
		l.problem(l.at("rpc.verify"), "", "verify_peer needs rpc.cacertfile")
	}
}

func (l *loader) checkDiscovery(cfg *Config) {
	c := cfg.Cluster
	at := l.at("cluster.discovery_strategy")
	_, host, _ := strings.Cut(cfg.Node.Name, "@")
	addr, err := netip.ParseAddr(host)
	switch c.DiscoveryStrategy {
	case "static":
		if len(c.Static.Seeds) == 0 && l.effective["cluster.static.seeds"].value != nil {
			l.problem(at, "", "static needs cluster.static.seeds")
		}
	case "etcd":
		if len(c.Etcd.Server) == 0 {
			l.problem(at, "", "etcd needs cluster.etcd.server")
		}
	case "dns":
		if c.DNS.RecordType == "a" && (err != nil || !addr.Is4()) {
			l.problem(l.at("cluster.dns.record_type", "cluster.discovery_strategy"), "", "with the record a, the host in node.name must be an IPv4 address, it is %q", host)
		}
		if c.DNS.RecordType == "aaaa" && (err != nil || !addr.Is6()) {
			l.problem(l.at("cluster.dns.record_type", "cluster.discovery_strategy"), "", "with the record aaaa, the host in node.name must be an IPv6 address, it is %q", host)
		}
	}
}

func (l *loader) checkListeners(cfg *Config) {
	for i, li := range cfg.Listeners {
		path := func(rel string) string { return join([]string{"listeners", li.Type, li.Name}) + "." + rel }
		bind := l.effective[path("bind")]
		if bind == nil {
			l.problem(l.anyOf("listeners", li.Type, li.Name), keyByPath["listeners."+li.Type+".$name.bind"].AllowedText(), "%s has no value, and a listener needs one", path("bind"))
		}
		if s := l.effective[path("zone")]; s.value != nil && li.Zone != "default" {
			if _, known := cfg.Zones[li.Zone]; !known && !s.alias {
				zones := append(l.names("zones"), "default")
				slices.Sort(zones)
				l.problem(s, strings.Join(slices.Compact(zones), ", "), "zone %q is not defined below zones", li.Zone)
			}
		}
		if s := l.effective[path("tcp_options.keepalive")]; s.value != nil {
			if _, err := ParseKeepalive(s.text()); err != nil {
				l.problem(s, `none, "idle,interval,probes" in seconds, such as "240,30,5"`, "%s", err)
			}
		}
		if t := li.TCP; t.HardLimit != 0 && t.HardLimit < t.HighWatermark {
			l.problem(l.at(path("tcp_options.hard_limit"), path("tcp_options.high_watermark")), "", "hard_limit %s is below high_watermark %s",
				FormatSize(t.HardLimit), FormatSize(t.HighWatermark))
		}
		if li.HasTLS() {
			l.checkTLS(li, path)
		}
		if li.HasWebsocket() && l.effective[path("websocket.mqtt_path")].value != nil && !strings.HasPrefix(li.Websocket.MqttPath, "/") {
			l.problem(l.effective[path("websocket.mqtt_path")], "", "a path begins with /")
		}
		if bind == nil || bind.value == nil || !li.Enable {
			continue
		}
		for _, other := range cfg.Listeners[:i] {
			if other.Enable && sameSocket(li.Bind, other.Bind) {
				l.problem(l.at(path("bind"), join([]string{"listeners", other.Type, other.Name})+".bind"), "",
					"listeners %s (%s) and %s (%s) would share a port", other.ID(), other.Bind, li.ID(), li.Bind)
			}
		}
	}
}

func (l *loader) checkTLS(li Listener, path func(string) string) {
	if (li.TLS.Certfile == "") != (li.TLS.Keyfile == "") {
		l.problem(l.at(path("ssl_options.certfile"), path("ssl_options.keyfile")), "", "ssl_options.certfile and ssl_options.keyfile are needed together")
	}
	if li.TLS.Verify == "verify_peer" && li.TLS.CACertfile == "" {
		l.problem(l.at(path("ssl_options.verify")), "", "verify_peer needs ssl_options.cacertfile")
	}
	if li.TLS.FailIfNoPeerCert && li.TLS.Verify == "verify_none" {
		l.problem(l.at(path("ssl_options.fail_if_no_peer_cert")), "", "fail_if_no_peer_cert needs ssl_options.verify = verify_peer")
	}
}

// checkAnonymous refuses what would leave nobody who could connect, and a zone
// that allows what the root does not.
func (l *loader) checkAnonymous(cfg *Config) {
	enabled := false
	for _, a := range cfg.Authentication {
		enabled = enabled || a.Enable
	}
	refuses := func(allow string) bool { return allow == "false" || allow == "false_quick_deny" }
	if !enabled && refuses(cfg.AllowAnonymous) {
		l.problem(l.at("allow_anonymous"), "", "without an authenticator in authentication nobody could connect")
	}
	for _, name := range l.names("zones") {
		allow := cfg.Zones[name].AllowAnonymous
		at := l.effective[join([]string{"zones", name, "allow_anonymous"})]
		switch {
		case !enabled && refuses(allow):
			l.problem(at, "", "without an authenticator in authentication nobody could connect")
		case allow == "true" && refuses(cfg.AllowAnonymous):
			l.problem(at, "", "allow_anonymous is %s and a zone cannot allow more; listeners.<type>.<name>.enable_authn = false can", cfg.AllowAnonymous)
		}
	}
}

// sameSocket tells binds of which the second one would fail.
func sameSocket(a, b netip.AddrPort) bool {
	if a.Port() != b.Port() || a.Port() == 0 {
		return false
	}
	x, y := a.Addr(), b.Addr()
	if x.IsUnspecified() || y.IsUnspecified() {
		// [::] takes IPv4 too; 0.0.0.0 does not take IPv6.
		return x.Is4() == y.Is4() || x.IsUnspecified() && x.Is6() || y.IsUnspecified() && y.Is6()
	}
	return x == y
}

// anyOf gives the first setting written below a path.
func (l *loader) anyOf(under ...string) *setting {
	var found *setting
	for _, from := range []layer{l.env.into, l.file.into} {
		for _, s := range from {
			if len(s.path) <= len(under) || !slices.Equal(s.path[:len(under)], under) {
				continue
			}
			if found == nil || l.order(s.pos) < l.order(found.pos) ||
				s.pos.File == found.pos.File && (s.pos.Line < found.pos.Line || s.pos.Line == found.pos.Line && s.pos.Col < found.pos.Col) {
				found = s
			}
		}
	}
	return found
}

// mustExist are the last names of keys that name a file to be read.
var mustExist = []string{"certfile", "keyfile", "cacertfile", "path"}

func (l *loader) checkFiles() {
	look := func(s *setting, file string) {
		if file == "" {
			return
		}
		if _, err := os.Stat(file); err != nil {
			if pe, ok := errors.AsType[*os.PathError](err); ok {
				err = pe.Err
			}
			l.problem(s, "", "file %s: %s", filepath.Clean(file), err)
		}
	}
	for name := range l.effective {
		s := l.set(name)
		switch {
		case s == nil || s.key.Effect != Works || name == "log.file.path":
		case s.key.Type == TypePath && slices.Contains(mustExist, s.path[len(s.path)-1]):
			look(s, s.text())
		case s.key.Type == TypeObjects:
			for _, elem := range s.value.([]map[string]any) {
				if enabled, ok := elem["enable"].(bool); ok && enabled {
					file, _ := elem["path"].(string)
					look(s, file)
				}
			}
		}
	}
}

// Keepalive is the TCP keep-alive of a listener's sockets; the zero value is off.
type Keepalive struct {
	Idle, Interval time.Duration
	Probes         int
}

// ParseKeepalive reads tcp_options.keepalive: none, or idle, interval and probes
// with commas between them.
func ParseKeepalive(s string) (Keepalive, error) {
	if s == "none" || s == "" {
		return Keepalive{}, nil
	}
	parts := strings.Split(s, ",")
	var n [3]int
	if len(parts) != len(n) {
		return Keepalive{}, fmt.Errorf("%q are not three numbers", s)
	}
	for i, p := range parts {
		v, err := strconv.Atoi(strings.TrimSpace(p))
		if err != nil || v < 1 || v > 86400 {
			return Keepalive{}, fmt.Errorf("%q is no number from 1 to 86400", strings.TrimSpace(p))
		}
		n[i] = v
	}
	return Keepalive{Idle: time.Duration(n[0]) * time.Second, Interval: time.Duration(n[1]) * time.Second, Probes: n[2]}, nil
}

// ParseTimeOffset reads a log's time_offset.
func ParseTimeOffset(s string) (*time.Location, error) {
	switch s {
	case "system", "":
		return time.Local, nil
	case "utc", "z", "Z":
		return time.UTC, nil
	}
	t, err := time.Parse("-07:00", s)
	if err != nil {
		return nil, fmt.Errorf("%q is no time offset", s)
	}
	_, offset := t.Zone()
	return time.FixedZone(s, offset), nil
}
