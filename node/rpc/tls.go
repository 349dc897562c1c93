package rpc

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
)

// LoadTLS makes settings from files in PEM form that verify both ways: each
// side shows its certificate and takes only peers whose chain ends at one of
// caFile's. The side that dials also holds the certificate to the host of the
// peer's name.
func LoadTLS(certFile, keyFile, caFile string) (*TLS, error) {
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("load certificate %s: %w", certFile, err)
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("load authorities: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("load authorities %s: %w", caFile, errors.New("no certificate in it"))
	}
	return &TLS{
		Server: &tls.Config{
			Certificates: []tls.Certificate{cert}, ClientCAs: pool,
			ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12,
		},
		Client: &tls.Config{
			Certificates: []tls.Certificate{cert}, RootCAs: pool, MinVersion: tls.VersionTLS12,
		},
	}, nil
}

// clientTLS are the settings for dialling a peer.
func (t *TLS) clientTLS(peer string) *tls.Config {
	cfg := t.Client.Clone()
	if cfg.ServerName == "" {
		cfg.ServerName = peer[strings.LastIndexByte(peer, '@')+1:]
	}
	return cfg
}
