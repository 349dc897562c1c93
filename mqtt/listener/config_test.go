package listener

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestParseBind(t *testing.T) {
	tests := []struct{ in, want string }{
		{"1883", ":1883"},
		{":1883", ":1883"},
		{"0.0.0.0:1883", "0.0.0.0:1883"},
		{" 127.0.0.1:0 ", "127.0.0.1:0"},
		{"[::1]:8883", "[::1]:8883"},
		{"[::]:8883", "[::]:8883"},
		{"localhost:1", "localhost:1"},
		{"", ""},
		{"::1:8883", ""},
		{"127.0.0.1", ""},
		{"example.org:1883", ""},
		{"127.0.0.1:mqtt", ""},
		{":70000", ""},
		{"-1", ""},
	}
	for _, tt := range tests {
		got, err := ParseBind(tt.in)
		if got != tt.want || (err != nil) != (tt.want == "") {
			t.Errorf("ParseBind(%q) = %q, %v; want %q", tt.in, got, err, tt.want)
		}
	}
}

func TestParseRate(t *testing.T) {
	tests := []struct {
		in   string
		want Rate
		ok   bool
	}{
		{"", 0, true},
		{"infinity", 0, true},
		{"1000/s", 1000, true},
		{"1000", 1000, true},
		{"60/m", 1, true},
		{"3600/1h", 1, true},
		{"20/10s", 2, true},
		{"10MB/s", 10 << 20, true},
		{"512 KB / 2s", 256 << 10, true},
		{"1GB/s", 1 << 30, true},
		{"5b/s", 5, true},
		{"many/s", 0, false},
		{"10/0s", 0, false},
		{"10/x", 0, false},
		{"-1/s", 0, false},
		{"NaN/s", 0, false},
	}
	for _, tt := range tests {
		got, err := ParseRate(tt.in)
		if got != tt.want || (err == nil) != tt.ok {
			t.Errorf("ParseRate(%q) = %v, %v; want %v, ok %t", tt.in, got, err, tt.want, tt.ok)
		}
		if err == nil {
			if again, err := ParseRate(got.String()); err != nil || again != got {
				t.Errorf("ParseRate(%q) = %v, %v; want %v", got.String(), again, err, got)
			}
		}
	}
}

func TestBucket(t *testing.T) {
	now := time.Unix(1000, 0)
	b := newBucket(10)
	b.take(10, now) // the burst
	if d := b.delay(now); d != 0 {
		t.Errorf("delay after the burst is %v, want 0", d)
	}
	b.take(5, now)
	if d := b.delay(now); d != 500*time.Millisecond {
		t.Errorf("delay of a debt of 5 at 10/s is %v, want 500ms", d)
	}
	now = now.Add(200 * time.Millisecond)
	if d := b.delay(now); d.Round(time.Millisecond) != 300*time.Millisecond {
		t.Errorf("delay 200 ms later is %v, want 300ms", d)
	}
	now = now.Add(time.Hour)
	b.take(11, now) // more than an hour's silence does not save up
	if d := b.delay(now); d.Round(time.Millisecond) != 100*time.Millisecond {
		t.Errorf("delay after silence is %v, want 100ms", d)
	}
	unlimited := newBucket(0)
	unlimited.take(1e9, now)
	if d := unlimited.delay(now); d != 0 {
		t.Errorf("delay without a rate is %v", d)
	}
}

func TestSharedBucketRefusesWithoutDebt(t *testing.T) {
	now := time.Unix(1000, 0)
	s := sharedBucket{b: newBucket(2)}
	got := ""
	for i := range 8 {
		if i == 4 {
			now = now.Add(500 * time.Millisecond)
		}
		if s.allow(now) {
			got += "y"
		} else {
			got += "n"
		}
	}
	if got != "yynnynnn" {
		t.Errorf("got %s, want two, then one after half a second", got)
	}
}

func TestAccessRules(t *testing.T) {
	tests := []struct {
		rules string
		addr  string
		want  bool
	}{
		{"", "10.0.0.1", true},
		{"allow all", "10.0.0.1", true},
		{"deny all", "10.0.0.1", false},
		{"deny 10.0.0.0/8; allow all", "10.1.2.3", false},
		{"deny 10.0.0.0/8; allow all", "11.1.2.3", true},
		{"deny 10.0.0.0/8; allow all", "::ffff:10.1.2.3", false},
		{"allow 10.0.0.1", "10.0.0.1", true},
		{"allow 10.0.0.1", "10.0.0.2", false},
		{"allow ::1; deny all", "::1", true},
		{"allow 2001:db8::/32", "2001:db8::5", true},
		{"allow 10.0.0.1; deny all; allow all", "10.0.0.2", false},
	}
	for _, tt := range tests {
		var texts []string
		if tt.rules != "" {
			texts = strings.Split(tt.rules, "; ")
		}
		rules, err := parseAccessRules(texts)
		if err != nil {
			t.Fatal(err)
		}
		if got := rules.allows(netip.MustParseAddr(tt.addr)); got != tt.want {
			t.Errorf("%q allows %s: %t, want %t", tt.rules, tt.addr, got, tt.want)
		}
	}
	for _, bad := range []string{"", "allow", "permit all", "allow 1.2.3", "deny 1.2.3.4/40", "allow all of them"} {
		if _, err := parseAccessRules([]string{bad}); err == nil {
			t.Errorf("rule %q is accepted", bad)
		}
	}
}

func TestValidateNamesEveryMistake(t *testing.T) {
	for _, typ := range []Type{TCP, SSL, WS, WSS} {
		conf := DefaultConfig(typ, "default")
		if err := conf.Validate(); err != nil {
			t.Errorf("defaults of %s: %v", typ, err)
		}
	}
	conf := DefaultConfig(WSS, "bad name")
	conf.Bind = "nowhere"
	conf.MaxConnections = -1
	conf.AccessRules = []string{"allow some"}
	conf.TCPOptions.KeepAlive = "1,2"
	conf.TCPOptions.HighWatermark = 0
	conf.SSLOptions.Versions = []string{"tlsv1.3", "tlsv1.1"}
	conf.SSLOptions.Ciphers = []string{"ROT13"}
	conf.SSLOptions.Verify = "verify_peer"
	conf.SSLOptions.CertFile = "cert.pem"
	conf.WebSocket.Path = "mqtt"
	conf.WebSocket.Piggyback = "some"
	conf.WebSocket.SupportedSubprotocols = nil
	err := conf.Validate()
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{
		"listeners.wss.bad name.name:", ".bind:", ".max_connections:", ".access_rules:", ".tcp_options.keepalive:",
		".tcp_options.high_watermark:", ".ssl_options: versions:", ".ssl_options: ciphers:", ".ssl_options: verify:",
		".ssl_options: certfile and keyfile:", ".websocket.mqtt_path:", ".websocket.mqtt_piggyback:",
		".websocket.supported_subprotocols:",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in:\n%v", want, err)
		}
	}
}

func TestCipherSuitesByEitherName(t *testing.T) {
	for _, name := range []string{
		"ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-CHACHA20-POLY1305",
		"ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-AES128-SHA", "AES128-GCM-SHA256", "AES256-SHA",
		"TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
	} {
		if ids, err := cipherSuites([]string{name}); err != nil || len(ids) != 1 {
			t.Errorf("%s: %v, %v", name, ids, err)
		}
	}
	if ids, err := cipherSuites([]string{"TLS_AES_256_GCM_SHA384"}); err != nil || len(ids) != 0 {
		t.Errorf("a suite of TLS 1.3: %v, %v; want it accepted without effect", ids, err)
	}
}

func TestVersionRange(t *testing.T) {
	tests := []struct {
		in              string
		lowest, highest uint16
	}{
		{"", 0x0303, 0x0304},
		{"tlsv1.3", 0x0304, 0x0304},
		{"tlsv1.3,tlsv1.2", 0x0303, 0x0304},
		{"tlsv1,tlsv1.1,tlsv1.2", 0x0301, 0x0303},
		{"tlsv1.3,tlsv1", 0, 0},
		{"sslv3", 0, 0},
	}
	for _, tt := range tests {
		var names []string
		if tt.in != "" {
			names = strings.Split(tt.in, ",")
		}
		lowest, highest, err := versionRange(names)
		if lowest != tt.lowest || highest != tt.highest || (err != nil) != (tt.lowest == 0) {
			t.Errorf("%q: %x to %x, %v; want %x to %x", tt.in, lowest, highest, err, tt.lowest, tt.highest)
		}
	}
}
