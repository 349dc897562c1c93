package listener

import (
	"crypto/md5" //nolint:gosec // an identifier that EMQX defines, no protection
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"net"
	"net/netip"
	"time"
)

// Info is what is known of a connection before its CONNECT.
type Info struct {
	// Listener is the configuration of the listener, shared by its connections:
	// zone, mountpoint, enable_authn, rates. It is not to be changed.
	Listener *Config

	// Remote is the client's address, from the PROXY header or the forwarding
	// headers of a WebSocket request where those are in use, else the socket's.
	Remote netip.AddrPort

	// Peer is the socket's peer: the client or the proxy in front of it.
	Peer netip.AddrPort

	// Accepted is the time of acceptance.
	Accepted time.Time

	// TLS is set on ssl and wss listeners.
	TLS *TLSInfo

	// ProxyCertCN is the common name of the client certificate that the proxy has
	// verified, from the PROXY v2 header; "" if it sent none.
	ProxyCertCN string

	// WebSocket is set on ws and wss listeners.
	WebSocket *WebSocketInfo

	remote, local net.Addr // where they differ from the socket's
}

// ListenerID is the id of the listener, e.g. "tcp:default".
func (i *Info) ListenerID() string { return i.Listener.ID() }

// TLSInfo is the state of a TLS connection after its handshake.
type TLSInfo struct {
	Version     string // e.g. "TLS 1.3"
	CipherSuite string
	ServerName  string            // as the client asked for it
	PeerCert    *x509.Certificate // the client's, verified; nil if it sent none
}

func newTLSInfo(state tls.ConnectionState) *TLSInfo {
	info := &TLSInfo{
		Version:     tls.VersionName(state.Version),
		CipherSuite: tls.CipherSuiteName(state.CipherSuite),
		ServerName:  state.ServerName,
	}
	if len(state.PeerCertificates) > 0 {
		info.PeerCert = state.PeerCertificates[0]
	}
	return info
}

// WebSocketInfo is what the upgrade request said.
type WebSocketInfo struct {
	Path        string
	Subprotocol string // the one agreed upon, "" if none
	UserAgent   string
}

// PeerCertField returns what peer_cert_as_username and peer_cert_as_clientid ask
// for: "cn" (common name), "dn" (subject as in RFC 4514), "crt" (DER), "pem", or
// "md5" (hexadecimal, of the DER). It reports false where there is no certificate
// or the field is empty or unknown. Behind a PROXY v2 header only cn is known.
func (i *Info) PeerCertField(field string) (string, bool) {
	if i.TLS == nil || i.TLS.PeerCert == nil {
		return i.ProxyCertCN, field == "cn" && i.ProxyCertCN != ""
	}
	cert := i.TLS.PeerCert
	value := ""
	switch field {
	case "cn":
		value = cert.Subject.CommonName
	case "dn":
		value = cert.Subject.String()
	case "crt":
		value = string(cert.Raw)
	case "pem":
		value = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}))
	case "md5":
		sum := md5.Sum(cert.Raw) //nolint:gosec // see the import
		value = hex.EncodeToString(sum[:])
	}
	return value, value != ""
}
