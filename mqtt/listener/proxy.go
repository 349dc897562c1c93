package listener

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/pires/go-proxyproto"
	"github.com/pires/go-proxyproto/tlvparse"
)

// errProxyHeader wraps whatever is wrong with a PROXY header.
var errProxyHeader = errors.New("proxy protocol")

// readProxyHeader reads the PROXY header, version 1 or 2, that must come first on
// a listener with proxy_protocol = true, and notes in info what it says. Bytes
// behind the header are left to the next reader of the socket.
func readProxyHeader(s *sock, info *Info, timeout time.Duration) error {
	if timeout > 0 {
		if err := s.SetReadDeadline(time.Now().Add(timeout)); err != nil {
			return fmt.Errorf("%w: %w", errProxyHeader, err)
		}
	}
	in := bufio.NewReaderSize(s, 512)
	header, err := proxyproto.Read(in)
	if err != nil {
		return fmt.Errorf("%w: %w", errProxyHeader, err)
	}
	if n := in.Buffered(); n > 0 {
		rest, err := in.Peek(n)
		if err != nil {
			return fmt.Errorf("%w: %w", errProxyHeader, err)
		}
		s.prefix = append([]byte(nil), rest...)
	}
	if err := s.SetReadDeadline(time.Time{}); err != nil {
		return fmt.Errorf("%w: %w", errProxyHeader, err)
	}
	if header.Command.IsLocal() {
		return nil // a health check of the proxy itself
	}
	source, destination, ok := header.TCPAddrs()
	if !ok {
		return nil // UNKNOWN: the socket's addresses stand
	}
	info.setRemote(source)
	info.local = destination
	if tlvs, err := header.TLVs(); err == nil {
		if ssl, ok := tlvparse.FindSSL(tlvs); ok && ssl.Verified() &&
			(ssl.ClientCertConn() || ssl.ClientCertSess()) {
			info.ProxyCertCN, _ = ssl.ClientCN()
		}
	}
	return nil
}

func (i *Info) setRemote(addr *net.TCPAddr) {
	i.remote = addr
	ap := addr.AddrPort()
	i.Remote = netipUnmap(ap)
}
