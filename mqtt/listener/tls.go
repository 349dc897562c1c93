package listener

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// errTLSHandshake wraps whatever ends a TLS handshake.
var errTLSHandshake = errors.New("tls handshake")

// certCheckInterval is how often handshakes look whether the files have changed.
const certCheckInterval = 2 * time.Second

// tlsVersions are the names that versions may have, oldest first.
var tlsVersions = []struct {
	name string
	id   uint16
}{
	{"tlsv1", tls.VersionTLS10},
	{"tlsv1.1", tls.VersionTLS11},
	{"tlsv1.2", tls.VersionTLS12},
	{"tlsv1.3", tls.VersionTLS13},
}

// versionRange turns a list of versions into the lowest and the highest one.
func versionRange(names []string) (lowest, highest uint16, err error) {
	if len(names) == 0 {
		return tls.VersionTLS12, tls.VersionTLS13, nil
	}
	var ids []uint16
	for _, name := range names {
		known := false
		for _, v := range tlsVersions {
			if strings.EqualFold(strings.TrimSpace(name), v.name) {
				ids = append(ids, v.id)
				known = true
			}
		}
		if !known {
			return 0, 0, fmt.Errorf("versions: %q is none of tlsv1.3, tlsv1.2, tlsv1.1, tlsv1", name)
		}
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	lowest, highest = ids[0], ids[len(ids)-1]
	if int(highest-lowest) != len(ids)-1 {
		return 0, 0, fmt.Errorf("versions: %s leaves out a version between two others", strings.Join(names, ", "))
	}
	return lowest, highest, nil
}

// opensslName derives OpenSSL's name of a TLS 1.2 suite from IANA's, as far as
// the suites of crypto/tls go.
func opensslName(iana string) string {
	name := strings.TrimPrefix(iana, "TLS_")
	name = strings.Replace(name, "RSA_WITH_", "RSA-", 1)
	name = strings.Replace(name, "ECDSA_WITH_", "ECDSA-", 1)
	name = strings.ReplaceAll(name, "_", "-")
	name = strings.Replace(name, "AES-128", "AES128", 1)
	name = strings.Replace(name, "AES-256", "AES256", 1)
	name = strings.Replace(name, "-CBC-SHA", "-SHA", 1)
	name = strings.Replace(name, "3DES-EDE", "DES-CBC3", 1)
	name = strings.Replace(name, "CHACHA20-POLY1305-SHA256", "CHACHA20-POLY1305", 1)
	if after, ok := strings.CutPrefix(name, "RSA-"); ok {
		name = after // OpenSSL does not name RSA key exchange
	}
	return name
}

// cipherSuites looks up cipher suites by either name.
func cipherSuites(names []string) ([]uint16, error) {
	var ids []uint16
	for _, name := range names {
		name = strings.TrimSpace(name)
		known := false
		for _, suite := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
			if !strings.EqualFold(name, suite.Name) && !strings.EqualFold(name, opensslName(suite.Name)) {
				continue
			}
			known = true
			if slices.Contains(suite.SupportedVersions, tls.VersionTLS12) {
				ids = append(ids, suite.ID)
			}
		}
		if !known {
			return nil, fmt.Errorf("ciphers: %q is unknown or not supported", name)
		}
	}
	return ids, nil
}

// check reports what is wrong with the options, without looking at files.
func (o *SSLOptions) check() (errs []error) {
	if _, _, err := versionRange(o.Versions); err != nil {
		errs = append(errs, err)
	}
	if _, err := cipherSuites(o.Ciphers); err != nil {
		errs = append(errs, err)
	}
	switch o.Verify {
	case "", "verify_none":
	case "verify_peer":
		if o.CACertFile == "" {
			errs = append(errs, errors.New("verify: verify_peer needs a cacertfile"))
		}
	default:
		errs = append(errs, fmt.Errorf("verify: %q is none of verify_none, verify_peer", o.Verify))
	}
	if (o.CertFile == "") != (o.KeyFile == "") {
		errs = append(errs, errors.New("certfile and keyfile: only one of them is set"))
	}
	return errs
}

// certStore holds the TLS configuration of a listener and replaces it when its
// files have changed. A handshake uses the configuration it began with. Files that
// cannot be used leave the old configuration in place.
type certStore struct {
	opts  SSLOptions
	files []string
	log   *slog.Logger

	server  *tls.Config // what connections are given; one, since it holds the keys of session tickets
	current atomic.Pointer[tls.Config]
	checked atomic.Int64 // since epoch, when the files were last looked at

	mu    sync.Mutex // held while looking at the files
	stamp string
}

// newCertStore reads the files, after making a self-signed pair in certDir if
// none are configured.
func newCertStore(opts SSLOptions, certDir string, log *slog.Logger) (*certStore, error) {
	if opts.CertFile == "" {
		if certDir == "" {
			return nil, errors.New("ssl_options.certfile is not set, and there is no directory for a self-signed certificate")
		}
		certFile, keyFile, made, err := ensureSelfSigned(certDir)
		if err != nil {
			return nil, err
		}
		opts.CertFile, opts.KeyFile = certFile, keyFile
		log.Warn("no certificate configured: clients get a self-signed one", "certfile", certFile, "new", made)
	}
	s := &certStore{opts: opts, log: log, files: []string{opts.CertFile, opts.KeyFile}}
	if opts.CACertFile != "" {
		s.files = append(s.files, opts.CACertFile)
	}
	s.stamp = fileStamp(s.files)
	conf, err := s.load()
	if err != nil {
		return nil, err
	}
	s.current.Store(conf)
	s.checked.Store(int64(time.Since(epoch)))
	s.server = &tls.Config{
		MinVersion:         tls.VersionTLS12, // GetConfigForClient decides
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return s.latest(), nil },
	}
	return s, nil
}

// latest is the configuration for a handshake that begins now. It looks at the
// files from time to time.
func (s *certStore) latest() *tls.Config {
	now := int64(time.Since(epoch))
	last := s.checked.Load()
	if now-last > int64(certCheckInterval) && s.checked.CompareAndSwap(last, now) {
		s.refresh()
	}
	return s.current.Load()
}

// refresh reads the files again if they have changed, and reports whether it now
// uses new ones.
func (s *certStore) refresh() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	stamp := fileStamp(s.files)
	if stamp == s.stamp {
		return false
	}
	conf, err := s.load()
	s.stamp = stamp // also after a mistake: it is reported once
	if err != nil {
		s.log.Warn("changed certificates not used, the old ones stay", "certfile", s.opts.CertFile, "err", err)
		return false
	}
	s.current.Store(conf)
	s.log.Info("certificates reloaded", "certfile", s.opts.CertFile)
	return true
}

// load builds a configuration from the files.
func (s *certStore) load() (*tls.Config, error) {
	cert, err := loadKeyPair(s.opts.CertFile, s.opts.KeyFile, s.opts.Password)
	if err != nil {
		return nil, err
	}
	conf := &tls.Config{Certificates: []tls.Certificate{cert}}
	if conf.MinVersion, conf.MaxVersion, err = versionRange(s.opts.Versions); err != nil {
		return nil, err
	}
	if conf.CipherSuites, err = cipherSuites(s.opts.Ciphers); err != nil {
		return nil, err
	}
	if s.opts.Verify == "verify_peer" {
		pem, err := os.ReadFile(s.opts.CACertFile)
		if err != nil {
			return nil, fmt.Errorf("read cacertfile: %w", err)
		}
		conf.ClientCAs = x509.NewCertPool()
		if !conf.ClientCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("cacertfile %s holds no certificate", s.opts.CACertFile)
		}
		conf.ClientAuth = tls.VerifyClientCertIfGiven
		if s.opts.FailIfNoPeerCert {
			conf.ClientAuth = tls.RequireAndVerifyClientCert
		}
	}
	return conf, nil
}

// fileStamp changes when one of the files does: by content as far as size and
// modification time tell, or by being another file, e.g. behind a symbolic link.
func fileStamp(files []string) string {
	var b strings.Builder
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			fmt.Fprintf(&b, "%s: %v;", file, err)
			continue
		}
		fmt.Fprintf(&b, "%s %d %d %v;", file, info.Size(), info.ModTime().UnixNano(), inode(info))
	}
	return b.String()
}
