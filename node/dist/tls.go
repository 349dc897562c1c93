package dist

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"ermine/node/dist/etf"
)

// ErrTLSOption is returned for an option of an ssl_dist.conf that is unknown,
// or that cannot be honoured and would make a connection less safe if it were
// ignored.
var ErrTLSOption = errors.New("bad tls option")

// LoadTLS makes settings from files in PEM form that verify both ways: peers
// must have a certificate of an authority in caFile. The certificate and key
// are read again when the files change; authorities are not.
func LoadTLS(certFile, keyFile, caFile string) (*TLS, error) {
	side := tlsSide{cert: certFile, key: keyFile, ca: caFile, verify: true, need: true}
	server, err := side.config(true)
	if err != nil {
		return nil, err
	}
	client, err := side.config(false)
	if err != nil {
		return nil, err
	}
	return &TLS{Server: server, Client: client}, nil
}

// ReadSSLDist reads a file as Erlang's -ssl_dist_optfile takes it:
//
//	[{server, [{certfile, "..."}, {keyfile, "..."}, {cacertfile, "..."},
//	           {verify, verify_peer}, {fail_if_no_peer_cert, true}]},
//	 {client, [{certfile, "..."}, {keyfile, "..."}, {cacertfile, "..."},
//	           {verify, verify_peer}]}].
//
// Options are certfile, keyfile, cacertfile, verify, fail_if_no_peer_cert,
// depth, versions and server_name_indication, with the meaning of OTP's ssl
// application; without verify it is verify_peer where there is a cacertfile,
// else verify_none. Options that only tune (ciphers, secure_renegotiate,
// reuse_sessions, honor_cipher_order, dhfile, eccs, log_level, nodelay...) are
// skipped; any other is an ErrTLSOption, so that no check is lost silently.
// Relative paths in it are relative to base.
func ReadSSLDist(path, base string) (*TLS, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("tls of the distribution: %w", err)
	}
	settings, err := parseSSLDist(string(text), base)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return settings, nil
}

func parseSSLDist(text, dir string) (*TLS, error) {
	terms, err := etf.ParseAll(text)
	if err != nil {
		return nil, err
	}
	if len(terms) != 1 {
		return nil, fmt.Errorf("%w: %d terms, want one list", ErrTLSOption, len(terms))
	}
	sides, ok := etf.AsList(terms[0])
	if !ok {
		return nil, fmt.Errorf("%w: not a list", ErrTLSOption)
	}
	found := map[etf.Atom]*tls.Config{}
	for _, s := range sides {
		name, value, ok := option(s)
		options, isList := etf.AsList(value)
		if !ok || !isList || name != "server" && name != "client" {
			return nil, fmt.Errorf("%w: %s", ErrTLSOption, etf.FormatLimit(s, 100))
		}
		side, err := readSide(options, dir)
		if err == nil {
			found[name], err = side.config(name == "server")
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	if found["server"] == nil || found["client"] == nil {
		return nil, fmt.Errorf("%w: both server and client are needed", ErrTLSOption)
	}
	return &TLS{Server: found["server"], Client: found["client"]}, nil
}

// option takes {Name, Value} apart; a bare atom stands for {Name, true}.
func option(term any) (name etf.Atom, value any, ok bool) {
	switch t := term.(type) {
	case etf.Atom:
		return t, etf.Atom("true"), true
	case etf.Tuple:
		if len(t) == 2 {
			name, ok = t[0].(etf.Atom)
			return name, t[1], ok
		}
	}
	return "", nil, false
}

// tlsSide is what one side's options say.
type tlsSide struct {
	cert, key, ca string
	verify        bool
	verifySet     bool
	need          bool // fail_if_no_peer_cert
	depth         int
	depthSet      bool
	min, max      uint16
	name          string
	anyName       bool
}

// skipped are options without influence on whom a connection is made with.
var skipped = map[etf.Atom]bool{
	"ciphers": true, "secure_renegotiate": true, "reuse_sessions": true,
	"honor_cipher_order": true, "honor_ecc_order": true, "dhfile": true,
	"eccs": true, "log_level": true, "nodelay": true, "hibernate_after": true,
	"session_tickets": true, "client_renegotiation": true, "ktls": true,
	"supported_groups": true, "signature_algs": true, "handshake_size": true,
}

func readSide(options etf.List, dir string) (s tlsSide, err error) {
	for _, o := range options {
		name, value, ok := option(o)
		if !ok {
			return s, fmt.Errorf("%w: %s", ErrTLSOption, etf.FormatLimit(o, 100))
		}
		switch name {
		case "certfile":
			s.cert, ok = pathOption(value, dir)
		case "keyfile":
			s.key, ok = pathOption(value, dir)
		case "cacertfile":
			s.ca, ok = pathOption(value, dir)
		case "verify":
			s.verify, s.verifySet = value == etf.Atom("verify_peer"), true
			ok = s.verify || value == etf.Atom("verify_none")
		case "fail_if_no_peer_cert":
			s.need = value == etf.Atom("true")
			ok = s.need || value == etf.Atom("false")
		case "depth":
			var depth int64
			depth, ok = etf.AsInt(value)
			s.depth, s.depthSet = int(depth), true
			ok = ok && depth >= 0 && depth <= 100
		case "versions":
			ok = s.versions(value)
		case "server_name_indication":
			if value == etf.Atom("disable") {
				s.anyName = true
			} else {
				s.name, ok = etf.Text(value)
			}
		default:
			ok = skipped[name]
		}
		if !ok {
			return s, fmt.Errorf("%w: %s", ErrTLSOption, etf.FormatLimit(o, 100))
		}
	}
	if s.key == "" {
		s.key = s.cert // one file may hold both
	}
	if !s.verifySet {
		s.verify = s.ca != ""
	}
	return s, nil
}

func (s *tlsSide) versions(value any) bool {
	list, ok := etf.AsList(value)
	for _, v := range list {
		version := map[any]uint16{
			etf.Atom("tlsv1.2"): tls.VersionTLS12, etf.Atom("tlsv1.3"): tls.VersionTLS13,
		}[v]
		if version == 0 {
			return false
		}
		if s.min == 0 || version < s.min {
			s.min = version
		}
		s.max = max(s.max, version)
	}
	return ok && len(list) > 0
}

func pathOption(value any, dir string) (string, bool) {
	path, ok := etf.Text(value)
	if !ok || path == "" {
		return "", false
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	return path, true
}

// config makes Go's settings.
func (s tlsSide) config(server bool) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, MaxVersion: s.max, ServerName: s.name}
	if s.min != 0 {
		c.MinVersion = s.min
	}
	var roots *x509.CertPool
	if s.ca != "" {
		pem, err := os.ReadFile(s.ca)
		if err != nil {
			return nil, fmt.Errorf("authorities: %w", err)
		}
		roots = x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%w: no certificate in %s", ErrTLSOption, s.ca)
		}
	}
	if s.verify && roots == nil {
		return nil, fmt.Errorf("%w: verify_peer needs a cacertfile", ErrTLSOption)
	}
	if server && s.cert == "" {
		return nil, fmt.Errorf("%w: a server needs a certfile", ErrTLSOption)
	}
	if s.cert != "" {
		files := &certFiles{cert: s.cert, key: s.key}
		if _, err := files.load(); err != nil {
			return nil, err
		}
		c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return files.load() }
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return files.load() }
	}
	switch {
	case server && s.verify && s.need:
		c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, roots
	case server && s.verify:
		c.ClientAuth, c.ClientCAs = tls.VerifyClientCertIfGiven, roots
	case server:
		c.ClientAuth = tls.NoClientCert
	case !s.verify:
		c.InsecureSkipVerify = true //nolint:gosec // the file says verify_none
	case s.anyName:
		// The chain is verified, whatever name the certificate is for.
		c.InsecureSkipVerify = true //nolint:gosec // verified below
		c.VerifyConnection = func(state tls.ConnectionState) error { return verifyChain(state, roots) }
	default:
		c.RootCAs = roots
	}
	if s.depthSet {
		c.VerifyConnection = s.withDepth(c.VerifyConnection)
	}
	return c, nil
}

// verifyChain is the verification of a server's certificate but for its name.
func verifyChain(state tls.ConnectionState, roots *x509.CertPool) error {
	if len(state.PeerCertificates) == 0 {
		return fmt.Errorf("%w: the peer sent no certificate", ErrTLSOption)
	}
	middle := x509.NewCertPool()
	for _, cert := range state.PeerCertificates[1:] {
		middle.AddCert(cert)
	}
	_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: middle})
	return err
}

// withDepth bounds the number of certificates between the peer's and the
// authority's, as OTP's depth does.
func (s tlsSide) withDepth(next func(tls.ConnectionState) error) func(tls.ConnectionState) error {
	return func(state tls.ConnectionState) error {
		if next != nil {
			if err := next(state); err != nil {
				return err
			}
		}
		for _, chain := range state.VerifiedChains {
			if len(chain)-2 <= s.depth {
				return nil
			}
		}
		if len(state.VerifiedChains) > 0 || len(state.PeerCertificates)-1 > s.depth {
			return fmt.Errorf("%w: certificate chain is longer than depth %d", ErrTLSOption, s.depth)
		}
		return nil
	}
}

// certFiles is a certificate that is read again when its files change.
type certFiles struct {
	cert, key string

	mu     sync.Mutex
	times  [2]time.Time
	loaded *tls.Certificate
}

func (f *certFiles) load() (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var times [2]time.Time
	for i, path := range []string{f.cert, f.key} {
		if info, err := os.Stat(path); err == nil {
			times[i] = info.ModTime()
		}
	}
	if f.loaded != nil && times == f.times {
		return f.loaded, nil
	}
	cert, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		if f.loaded != nil {
			return f.loaded, nil // half-written files: the old one still serves
		}
		return nil, fmt.Errorf("certificate: %w", err)
	}
	f.loaded, f.times = &cert, times
	return f.loaded, nil
}
