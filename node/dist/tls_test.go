package dist

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// certs writes ca.pem and NAME.pem, a certificate with its key for 127.0.0.1.
func certs(t *testing.T, dir string, names ...string) {
	t.Helper()
	newKey := func() *ecdsa.PrivateKey {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	write := func(name string, blocks ...*pem.Block) {
		var b []byte
		for _, block := range blocks {
			b = append(b, pem.EncodeToMemory(block)...)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	caKey := newKey()
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	if err != nil {
		t.Fatal(err)
	}
	write("ca.pem", &pem.Block{Type: "CERTIFICATE", Bytes: der})
	for i, name := range names {
		key := newKey()
		leaf := &x509.Certificate{
			SerialNumber: big.NewInt(int64(i) + 2), Subject: pkix.Name{CommonName: name},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
			KeyUsage:    x509.KeyUsageDigitalSignature,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
			DNSNames:    []string{"elsewhere.example"},
		}
		if der, err = x509.CreateCertificate(rand.Reader, leaf, ca, &key.PublicKey, caKey); err != nil {
			t.Fatal(err)
		}
		keyDER, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		write(name+".pem", &pem.Block{Type: "CERTIFICATE", Bytes: der}, &pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	}
}

func TestSSLDist(t *testing.T) {
	dir := t.TempDir()
	certs(t, dir, "one", "two")
	const both = `{certfile, "one.pem"}, {cacertfile, "ca.pem"}`
	good, err := parseSSLDist(`%% a comment
		[{server, [`+both+`, {verify, verify_peer}, {fail_if_no_peer_cert, true}, {secure_renegotiate, true}, {depth, 0},
		           {versions, ['tlsv1.3', 'tlsv1.2']}, nodelay]},
		 {client, [`+both+`, {server_name_indication, "elsewhere.example"}]}].`, dir)
	if err != nil {
		t.Fatal(err)
	}
	if s := good.Server; s.ClientAuth != tls.RequireAndVerifyClientCert || s.MinVersion != tls.VersionTLS12 || s.MaxVersion != tls.VersionTLS13 {
		t.Errorf("server: %+v", s)
	}
	if c := good.Client; c.InsecureSkipVerify || c.RootCAs == nil || c.ServerName != "elsewhere.example" {
		t.Errorf("client: %+v", c)
	}
	for name, text := range map[string]string{
		"no term":            ``,
		"not a list":         `server.`,
		"only one side":      `[{server, [` + both + `]}].`,
		"unknown side":       `[{both, []}].`,
		"unknown option":     `[{server, [` + both + `, {crl_check, true}]}, {client, [` + both + `]}].`,
		"own verification":   `[{server, [` + both + `, {verify_fun, {m, f, a}}]}, {client, [` + both + `]}].`,
		"bad value":          `[{server, [` + both + `, {verify, yes}]}, {client, [` + both + `]}].`,
		"old version":        `[{server, [` + both + `, {versions, ['tlsv1.1']}]}, {client, [` + both + `]}].`,
		"no authority":       `[{server, [{certfile, "one.pem"}, {verify, verify_peer}]}, {client, [` + both + `]}].`,
		"server without":     `[{server, [{cacertfile, "ca.pem"}]}, {client, [` + both + `]}].`,
		"authority is none":  `[{server, [{certfile, "one.pem"}, {cacertfile, "none.pem"}]}, {client, [` + both + `]}].`,
		"syntax":             `[{server, [`,
		"certificate absent": `[{server, [{certfile, "absent.pem"}]}, {client, []}].`,
	} {
		if _, err := parseSSLDist(text, dir); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := ReadSSLDist(filepath.Join(dir, "absent.conf"), dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent file: %v", err)
	}
}

// TestTLSVerification connects two nodes whose certificates are not for their
// address, with different demands.
func TestTLSVerification(t *testing.T) {
	dir := t.TempDir()
	certs(t, dir, "one", "two")
	other := t.TempDir()
	certs(t, other, "three")
	strict := func(dir, name string) *TLS {
		file := filepath.Join(dir, name+".pem")
		s, err := LoadTLS(file, file, filepath.Join(dir, "ca.pem"))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	read := func(client string) *TLS {
		s, err := parseSSLDist(fmt.Sprintf(`[{server, [{certfile, "one.pem"}, {cacertfile, "ca.pem"}, {verify, verify_peer}, {fail_if_no_peer_cert, true}]},
			{client, [%s]}].`, client), dir)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	const cert = `{certfile, "two.pem"}, {cacertfile, "ca.pem"}`
	b := start(t, func(o *Options) { o.TLS = strict(dir, "one") })
	for _, tt := range []struct {
		name string
		tls  *TLS
		ok   bool
	}{
		{"name does not match", strict(dir, "two"), false},
		{"name is given", read(cert + `, {server_name_indication, "elsewhere.example"}`), true},
		{"name is not looked at", read(cert + `, {server_name_indication, disable}, {depth, 0}`), true},
		{"nothing is looked at", read(`{certfile, "two.pem"}, {verify, verify_none}`), true},
		{"no certificate of its own", read(`{cacertfile, "ca.pem"}, {server_name_indication, disable}`), false},
		{"another authority", strict(other, "three"), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := start(t, func(o *Options) { o.TLS, o.Logger = tt.tls, slog.New(slog.DiscardHandler) })
			err := a.Ping(deadline(t), b.Name())
			if (err == nil) != tt.ok {
				t.Errorf("ping: %v", err)
			}
		})
	}
}

// TestCertificateReload: a renewed certificate is used without a restart.
func TestCertificateReload(t *testing.T) {
	dir := t.TempDir()
	certs(t, dir, "one")
	path := filepath.Join(dir, "one.pem")
	files := &certFiles{cert: path, key: path}
	first, err := files.load()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := files.load(); err != nil || again != first {
		t.Errorf("read again without a change: %v", err)
	}
	later := time.Now().Add(time.Minute)
	if err := os.WriteFile(path, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, later, later); err != nil {
		t.Fatal(err)
	}
	if again, err := files.load(); err != nil || again != first {
		t.Errorf("half a file: %v", err)
	}
	certs(t, dir, "one")
	if err := os.Chtimes(path, later.Add(time.Minute), later.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if again, err := files.load(); err != nil || again == first {
		t.Errorf("a new certificate is not used: %v", err)
	}
}
