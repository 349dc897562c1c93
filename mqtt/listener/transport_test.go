package listener

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/pires/go-proxyproto"
)

// issuer is a certificate authority for tests.
type issuer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

func newIssuer(t *testing.T, dir string) *issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	ca := &issuer{cert: cert, key: key, file: filepath.Join(dir, "ca.pem")}
	writePEM(t, ca.file, "CERTIFICATE", der)
	return ca
}

// issue writes <name>.pem and <name>.key and returns their paths.
func (ca *issuer) issue(t *testing.T, dir, name string, serial int64) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial),
		Subject:      pkix.Name{CommonName: name, Organization: []string{"Ermine"}},
		NotBefore:    time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, key.Public(), ca.key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key")
	writePEM(t, certFile, "CERTIFICATE", der)
	writePEM(t, keyFile, "PRIVATE KEY", keyDER)
	return certFile, keyFile
}

func writePEM(t *testing.T, file, kind string, der []byte) {
	t.Helper()
	if err := writeFileAtomic(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestClientCertificates(t *testing.T) {
	dir := t.TempDir()
	ca := newIssuer(t, dir)
	conf := testConfig(SSL)
	conf.SSLOptions.CertFile, conf.SSLOptions.KeyFile = ca.issue(t, dir, "server", 2)
	conf.SSLOptions.CACertFile = ca.file
	conf.SSLOptions.Verify = "verify_peer"
	certFile, keyFile := ca.issue(t, dir, "sensor-1", 3)
	client, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	other := t.TempDir()
	strangerCert, strangerKey := newIssuer(t, other).issue(t, other, "stranger", 4)
	stranger, err := tls.LoadX509KeyPair(strangerCert, strangerKey)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)

	for _, tt := range []struct {
		name     string
		mustHave bool
		certs    []tls.Certificate
		ok       bool
	}{
		{"with", true, []tls.Certificate{client}, true},
		{"without, optional", false, nil, true},
		{"without, demanded", true, nil, false},
		{"of a stranger", false, []tls.Certificate{stranger}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conf := conf
			conf.SSLOptions.FailIfNoPeerCert = tt.mustHave
			infos := make(chan *Info, 1)
			l := start(t, conf, func(c *Conn) error {
				infos <- c.Info()
				return discard(c)
			})
			conn := tls.Client(dial(t, l), &tls.Config{
				RootCAs: roots, ServerName: "127.0.0.1",
				// Send it whatever the server asks for.
				GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
					if len(tt.certs) == 0 {
						return &tls.Certificate{}, nil
					}
					return &tt.certs[0], nil
				},
			})
			err := conn.Handshake()
			if !tt.ok {
				if err == nil { // TLS 1.3 reports it with the first read
					_, err = conn.Read(make([]byte, 1))
				}
				if err == nil {
					t.Error("the handshake succeeded")
				}
				shutdowns(t, l, "ssl_upgrade_error", 1)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			info := await(t, infos, "the connection")
			if info.TLS == nil || info.TLS.Version != "TLS 1.3" {
				t.Errorf("TLS info %+v", info.TLS)
			}
			if tt.certs == nil {
				if v, ok := info.PeerCertField("cn"); ok {
					t.Errorf("cn %q without a certificate", v)
				}
				return
			}
			for field, want := range map[string]string{
				"cn": "sensor-1", "dn": "CN=sensor-1,O=Ermine", "crt": string(client.Certificate[0]),
				"pem": string(readFile(t, certFile)),
			} {
				if got, ok := info.PeerCertField(field); !ok || got != want {
					t.Errorf("%s is %q, want %q", field, got, want)
				}
			}
			if got, ok := info.PeerCertField("md5"); !ok || len(got) != 32 {
				t.Errorf("md5 is %q", got)
			}
			if _, ok := info.PeerCertField("shoe size"); ok {
				t.Error("an unknown field has a value")
			}
		})
	}
}

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	p, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestCertificatesReload(t *testing.T) {
	dir := t.TempDir()
	ca := newIssuer(t, dir)
	conf := testConfig(SSL)
	conf.SSLOptions.CertFile, conf.SSLOptions.KeyFile = ca.issue(t, dir, "server", 10)
	l := start(t, conf, discard)
	serial := func() int64 {
		conn := dialTLS(t, l, &tls.Config{InsecureSkipVerify: true})
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	if n := serial(); n != 10 {
		t.Fatalf("serial %d", n)
	}
	// Every handshake looks at the files from now on.
	look := func() { l.certs.checked.Store(int64(time.Since(epoch)) - 2*int64(certCheckInterval)) }

	ca.issue(t, dir, "server", 11)
	look()
	if n := serial(); n != 11 {
		t.Errorf("serial %d after the files have changed, want 11", n)
	}
	if err := os.WriteFile(conf.SSLOptions.CertFile, []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	look()
	if n := serial(); n != 11 {
		t.Errorf("serial %d with rubbish in the file, want the old 11", n)
	}
	ca.issue(t, dir, "server", 12)
	look()
	if n := serial(); n != 12 {
		t.Errorf("serial %d after the repair, want 12", n)
	}
}

func TestSelfSignedPair(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "certs")
	certFile, keyFile, made, err := ensureSelfSigned(dir)
	if err != nil || !made {
		t.Fatalf("made %t, %v", made, err)
	}
	if info, err := os.Stat(keyFile); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key file %v, %v", info.Mode(), err)
	}
	first := readFile(t, certFile)
	if _, _, made, err := ensureSelfSigned(dir); err != nil || made {
		t.Errorf("made again: %t, %v", made, err)
	}
	if !bytes.Equal(first, readFile(t, certFile)) {
		t.Error("the certificate has changed")
	}
	if err := os.Remove(keyFile); err != nil { // a crash between the two files
		t.Fatal(err)
	}
	if _, _, made, err := ensureSelfSigned(dir); err != nil || !made {
		t.Errorf("not repaired: %t, %v", made, err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(readFile(t, certFile))
	conf := testConfig(SSL)
	conf.CertDir = dir
	l := start(t, conf, discard)
	dialTLS(t, l, &tls.Config{RootCAs: pool, ServerName: "127.0.0.1"})
	dialTLS(t, l, &tls.Config{RootCAs: pool, ServerName: "localhost"})
}

func TestEncryptedKey(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Fatal("openssl is missing; `make test-deps` installs it: ", err)
	}
	dir := t.TempDir()
	certFile, keyFile := newIssuer(t, dir).issue(t, dir, "server", 2)
	for _, prf := range []string{"hmacWithSHA256", "hmacWithSHA512", "hmacWithSHA1"} {
		for _, cipher := range []string{"aes-256-cbc", "aes-128-cbc"} {
			encrypted := filepath.Join(dir, prf+cipher)
			out, err := exec.Command("openssl", "pkcs8", "-topk8", "-in", keyFile, "-out", encrypted,
				"-v2", cipher, "-v2prf", prf, "-passout", "pass:secret").CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if _, err := loadKeyPair(certFile, encrypted, "secret"); err != nil {
				t.Errorf("%s %s: %v", prf, cipher, err)
			}
			if _, err := loadKeyPair(certFile, encrypted, "wrong"); err == nil {
				t.Errorf("%s %s: accepted with a wrong password", prf, cipher)
			}
		}
	}
}

func FuzzDecryptPKCS8(f *testing.F) {
	f.Add([]byte{0x30, 0x03, 0x02, 0x01, 0x00})
	f.Fuzz(func(t *testing.T, der []byte) {
		if plain, err := decryptPKCS8(der, "x"); err == nil && len(plain) > len(der) {
			t.Error("more plain text than cipher text")
		}
	})
}

func TestTLSHandshakeTimeout(t *testing.T) {
	conf := testConfig(SSL)
	conf.CertDir = t.TempDir()
	conf.SSLOptions.HandshakeTimeout = 50 * time.Millisecond
	l := start(t, conf, discard)
	peer := dial(t, l)
	shutdowns(t, l, "ssl_upgrade_error", 1)
	expectEOF(t, peer)
}

func TestTLSSessionsResume(t *testing.T) {
	conf := testConfig(SSL)
	conf.CertDir = t.TempDir()
	l := start(t, conf, func(c *Conn) error {
		if _, err := c.Write([]byte{0xd0, 0}); err != nil {
			return err
		}
		return discard(c)
	})
	client := &tls.Config{InsecureSkipVerify: true, ServerName: "localhost", ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	for _, want := range []bool{false, true} {
		conn := dialTLS(t, l, client)
		expect(t, conn, []byte{0xd0, 0}) // the ticket comes before it
		if got := conn.ConnectionState().DidResume; got != want {
			t.Errorf("resumed: %t, want %t", got, want)
		}
		conn.Close()
	}
}

func TestTLSVersions(t *testing.T) {
	conf := testConfig(SSL)
	conf.CertDir = t.TempDir()
	conf.SSLOptions.Versions = []string{"tlsv1.2"}
	conf.SSLOptions.Ciphers = []string{"ECDHE-ECDSA-AES256-GCM-SHA384"}
	l := start(t, conf, discard)
	conn := dialTLS(t, l, &tls.Config{InsecureSkipVerify: true})
	if s := conn.ConnectionState(); s.Version != tls.VersionTLS12 || s.CipherSuite != tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 {
		t.Errorf("got %s, %s", tls.VersionName(s.Version), tls.CipherSuiteName(s.CipherSuite))
	}
	only13 := tls.Client(dial(t, l), &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13})
	if err := only13.Handshake(); err == nil {
		t.Error("TLS 1.3 is accepted")
	}
}

func TestWebSocketRequests(t *testing.T) {
	conf := testConfig(WS)
	conf.WebSocket.CheckOrigin = true
	conf.WebSocket.CheckOrigins = []string{"https://good.example"}
	l := start(t, conf, discard)
	tests := []struct {
		name, path string
		protocols  []string
		header     http.Header
		status     int
		protocol   string
	}{
		{"ordinary", "/mqtt", []string{"mqtt"}, nil, 101, "mqtt"},
		{"server's preference", "/mqtt", []string{"mqtt-v5", "mqtt"}, nil, 101, "mqtt"},
		{"v3.1.1", "/mqtt", []string{"mqtt-v3.1.1"}, nil, 101, "mqtt-v3.1.1"},
		{"[MQTT-6.0.0-3] no subprotocol", "/mqtt", nil, nil, 400, ""},
		{"another subprotocol", "/mqtt", []string{"wamp"}, nil, 400, ""},
		{"another path", "/ws", []string{"mqtt"}, nil, 404, ""},
		{"good origin", "/mqtt", []string{"mqtt"}, http.Header{"Origin": {"https://good.example"}}, 101, "mqtt"},
		{"bad origin", "/mqtt", []string{"mqtt"}, http.Header{"Origin": {"https://bad.example"}}, 403, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := websocket.Dialer{Subprotocols: tt.protocols, HandshakeTimeout: patience}
			ws, resp, err := d.Dial("ws://"+l.Address()+tt.path, tt.header)
			if resp == nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != tt.status {
				t.Errorf("status %d, want %d", resp.StatusCode, tt.status)
			}
			if err == nil {
				if got := ws.Subprotocol(); got != tt.protocol {
					t.Errorf("subprotocol %q, want %q", got, tt.protocol)
				}
				ws.Close()
			}
		})
	}
	for name, request := range map[string]string{
		"no HTTP":      "\x10\x0d\x00\x04MQTT\r\n\r\n",
		"no upgrade":   "GET /mqtt HTTP/1.1\r\nHost: x\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n",
		"long headers": "GET /mqtt HTTP/1.1\r\nX: " + strings.Repeat("y", 20_000) + "\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			peer := dial(t, l)
			send(t, peer, []byte(request))
			resp, err := http.ReadResponse(bufio.NewReader(peer), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if resp.StatusCode < 400 || resp.StatusCode > 499 {
				t.Errorf("status %d", resp.StatusCode)
			}
		})
	}
}

func TestWebSocketFrames(t *testing.T) {
	conf := testConfig(WS)
	conf.WebSocket.Compress = true
	got := make(chan []byte, 1)
	l := start(t, conf, func(c *Conn) error {
		buf := make([]byte, len(connectPacket)+len(publishPacket(300)))
		if _, err := io.ReadFull(onlyReader{c}, buf); err != nil {
			return err
		}
		got <- buf
		return discard(c)
	})
	d := websocket.Dialer{Subprotocols: []string{"mqtt"}, EnableCompression: true}
	ws, resp, err := d.Dial("ws://"+l.Address()+"/mqtt", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	defer ws.Close()
	pong := make(chan struct{}, 1)
	ws.SetPongHandler(func(string) error { pong <- struct{}{}; return nil })
	// [MQTT-6.0.0-2]: packets need not be aligned with frames.
	input := join(connectPacket, publishPacket(300))
	for _, part := range [][]byte{input[:5], {}, input[5:20], input[20:]} {
		if err := ws.WriteMessage(websocket.BinaryMessage, part); err != nil {
			t.Fatal(err)
		}
	}
	if p := await(t, got, "input"); !bytes.Equal(p, input) {
		t.Errorf("got %x", p)
	}
	if err := ws.WriteControl(websocket.PingMessage, []byte("x"), time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, _, err := ws.ReadMessage()
		ended <- err
	}()
	await(t, pong, "the pong")
	// [MQTT-6.0.0-1]: text ends the connection.
	if err := ws.WriteMessage(websocket.TextMessage, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if err := await(t, ended, "the end"); err == nil {
		t.Error("the connection goes on")
	}
	shutdowns(t, l, "malformed_packet", 1)
}

func TestWebSocketPiggyback(t *testing.T) {
	for _, mode := range []string{"single", "multiple"} {
		t.Run(mode, func(t *testing.T) {
			conf := testConfig(WS)
			conf.WebSocket.Piggyback = mode
			output := join(publishPacket(200), publishPacket(40_000), publishPacket(5), []byte{0xd0, 0})
			l := start(t, conf, func(c *Conn) error {
				if _, err := c.Write(output); err != nil {
					return err
				}
				return discard(c)
			})
			ws := dialWS(t, l, nil).stream.ws
			var got []byte
			frames := 0
			for len(got) < len(output) {
				_, p, err := ws.ReadMessage()
				if err != nil {
					t.Fatal(err)
				}
				frames++
				got = append(got, p...)
			}
			if !bytes.Equal(got, output) {
				t.Error("the bytes differ")
			}
			if want := map[string]int{"single": 4, "multiple": 3}[mode]; frames != want {
				t.Errorf("%d frames, want %d", frames, want)
			}
		})
	}
}

func TestForwardedAddress(t *testing.T) {
	tests := []struct{ forwarded, port, trusted, want string }{
		{"", "", "", ""},
		{"203.0.113.9", "5555", "", "203.0.113.9:5555"},
		{"203.0.113.9, 10.0.0.1", "", "", "203.0.113.9:0"},
		{"2001:db8::1", "x", "", "[2001:db8::1]:0"},
		{"127.0.0.1, 203.0.113.9", "1", "", "203.0.113.9:1"},
		{"::ffff:127.0.0.1", "", "", ""},
		{"unknown", "", "", ""},
		{"203.0.113.9", "", "127.0.0.0/8", "203.0.113.9:0"},
		{"203.0.113.9", "", "10.0.0.0/8", ""},
	}
	for _, tt := range tests {
		t.Run(tt.forwarded+" "+tt.trusted, func(t *testing.T) {
			conf := testConfig(WS)
			if tt.trusted != "" {
				conf.WebSocket.TrustedProxies = []netip.Prefix{netip.MustParsePrefix(tt.trusted)}
			}
			infos := make(chan *Conn, 1)
			l := start(t, conf, func(c *Conn) error {
				infos <- c
				return discard(c)
			})
			header := http.Header{}
			if tt.forwarded != "" {
				header.Set("X-Forwarded-For", tt.forwarded)
			}
			if tt.port != "" {
				header.Set("X-Forwarded-Port", tt.port)
			}
			client := dialWS(t, l, header)
			want := tt.want
			if want == "" {
				want = client.LocalAddr().String()
			}
			c := await(t, infos, "the connection")
			if c.RemoteAddr().String() != want || c.Info().Remote.String() != want {
				t.Errorf("remote is %v, %v; want %s", c.RemoteAddr(), c.Info().Remote, want)
			}
			if c.Info().Peer.String() != client.LocalAddr().String() {
				t.Errorf("peer is %v", c.Info().Peer)
			}
		})
	}
}

func TestProxyProtocol(t *testing.T) {
	source := &net.TCPAddr{IP: net.IPv4(203, 0, 113, 7), Port: 4444}
	destination := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1883}
	format := func(version byte, tlvs ...proxyproto.TLV) []byte {
		h := proxyproto.HeaderProxyFromAddrs(version, source, destination)
		if err := h.SetTLVs(tlvs); err != nil {
			t.Fatal(err)
		}
		p, err := h.Format()
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	local := &proxyproto.Header{Version: 2, Command: proxyproto.LOCAL, TransportProtocol: proxyproto.UNSPEC}
	localBytes, err := local.Format()
	if err != nil {
		t.Fatal(err)
	}
	cn := proxyproto.TLV{Type: proxyproto.PP2_TYPE_SSL, Value: append([]byte{7, 0, 0, 0, 0, 0x21, 0, 7}, "TLSv1.3\x22\x00\x06sensor"...)}
	for _, typ := range []Type{TCP, SSL, WS} {
		tests := []struct {
			name   string
			header []byte
			remote string // "" is the socket's
			fail   bool
		}{
			{"v1", format(1), "203.0.113.7:4444", false},
			{"v2", format(2), "203.0.113.7:4444", false},
			{"v2 with certificate", format(2, cn), "203.0.113.7:4444", false},
			{"v2 local", localBytes, "", false},
			{"v1 unknown", []byte("PROXY UNKNOWN\r\n"), "", false},
			{"none", nil, "", true},
			{"broken v1", []byte("PROXY TCP4 somewhere\r\n"), "", true},
			{"broken v2", append(bytes.Clone(proxyproto.SIGV2), 0x99, 0, 0, 0), "", true},
		}
		for _, tt := range tests {
			t.Run(fmt.Sprintf("%s %s", typ, tt.name), func(t *testing.T) {
				conf := testConfig(typ)
				conf.CertDir = t.TempDir()
				conf.ProxyProtocol = true
				conns := make(chan *Conn, 1)
				read := make(chan []byte, 1)
				l := start(t, conf, func(c *Conn) error {
					conns <- c
					p, err := io.ReadAll(onlyReader{c})
					read <- p
					return err
				})
				peer := dial(t, l)
				if tt.fail {
					send(t, peer, tt.header)
					send(t, peer, connectPacket)
					shutdowns(t, l, "proxy_protocol_error", 1)
					return
				}
				if typ == TCP {
					send(t, peer, join(tt.header, connectPacket)) // in one segment
				} else {
					send(t, peer, tt.header)
					stream := wrapClient(t, typ, peer)
					send(t, stream, connectPacket)
					defer stream.Close()
				}
				c := await(t, conns, "the connection")
				want := tt.remote
				if want == "" {
					want = peer.LocalAddr().String()
				}
				if c.RemoteAddr().String() != want || c.Info().Remote.String() != want || c.Info().Peer.String() != peer.LocalAddr().String() {
					t.Errorf("remote %v, %v, peer %v; want %s", c.RemoteAddr(), c.Info().Remote, c.Info().Peer, want)
				}
				if tt.remote != "" && c.LocalAddr().String() != destination.String() {
					t.Errorf("local %v", c.LocalAddr())
				}
				if name, ok := c.Info().PeerCertField("cn"); ok != (tt.name == "v2 with certificate") || ok && name != "sensor" {
					t.Errorf("cn %q, %t", name, ok)
				}
				eventually(t, "CONNECT has arrived", func() bool { return c.PacketsIn() == 1 })
				c.Close()
				if p := await(t, read, "the end"); !bytes.Equal(p, connectPacket) {
					t.Errorf("read %x", p)
				}
			})
		}
	}
}

func wrapClient(t *testing.T, typ Type, peer net.Conn) net.Conn {
	t.Helper()
	if typ == SSL {
		conn := tls.Client(peer, &tls.Config{InsecureSkipVerify: true})
		if err := conn.Handshake(); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	d := websocket.Dialer{Subprotocols: []string{"mqtt"}, NetDial: func(string, string) (net.Conn, error) { return peer, nil }}
	ws, resp, err := d.Dial("ws://mqtt.example/mqtt", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return &wsClient{Conn: peer, stream: wsStream{ws: ws}}
}

func TestProxyHeaderTimeout(t *testing.T) {
	conf := testConfig(TCP)
	conf.ProxyProtocol = true
	conf.ProxyProtocolTimeout = 50 * time.Millisecond
	l := start(t, conf, discard)
	peer := dial(t, l)
	send(t, peer, []byte("PROXY TC"))
	shutdowns(t, l, "proxy_protocol_error", 1)
}

func TestMissingCertificateStopsTheStart(t *testing.T) {
	conf := testConfig(SSL)
	conf.SSLOptions.CertFile = filepath.Join(t.TempDir(), "none.pem")
	conf.SSLOptions.KeyFile = conf.SSLOptions.CertFile
	l, err := New(conf, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Init(nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}
