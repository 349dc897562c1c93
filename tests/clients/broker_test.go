package clients

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"ermine/actors/router"
	"ermine/mqtt/listener"
	"ermine/tests/conformance/brokertest"
)

// patience bounds every wait; none is expected to come near it.
const patience = 60 * time.Second

// broker is a broker with a listener of each type.
type broker struct {
	*brokertest.Broker
	ca  string // the file with the certificate to trust
	tls *tls.Config
}

func start(t *testing.T) *broker {
	t.Helper()
	dir := t.TempDir()
	b := &broker{ca: filepath.Join(dir, "self_signed_cert.pem")}
	b.Broker = brokertest.Start(t, func(c *brokertest.Config) {
		for _, kind := range []listener.Type{listener.SSL, listener.WS, listener.WSS} {
			c.Listen(t, kind, "default").CertDir = dir
		}
	})
	pem, err := os.ReadFile(b.ca)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		t.Fatalf("%s holds no certificate", b.ca)
	}
	b.tls = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	return b
}

// url is a listener's address in the form of most clients.
func (b *broker) url(t *testing.T, kind listener.Type) string {
	t.Helper()
	address := b.Address(t, string(kind)+":default")
	switch kind {
	case listener.WS, listener.WSS:
		return fmt.Sprintf("%s://%s/mqtt", kind, address)
	}
	return fmt.Sprintf("%s://%s", kind, address)
}

var serial atomic.Uint64

// unique is a client ID or topic that no other test uses.
func unique(prefix string) string { return fmt.Sprintf("%s%d", prefix, serial.Add(1)) }

// subscribed waits until a filter is routed.
func (b *broker) subscribed(t *testing.T, filter string) {
	t.Helper()
	until(t, "there is a subscription to "+filter, func() bool {
		found := false
		b.Routes(func(r router.Route) bool {
			found = r.Topic == filter
			return !found
		})
		return found
	})
}

// offline waits until a client's session has no connection.
func (b *broker) offline(t *testing.T, id string) {
	t.Helper()
	until(t, id+" is offline", func() bool {
		s, err := b.Session(id)
		return err != nil || !s.Online()
	})
}

// until polls for what no client tells.
func until(t *testing.T, what string, fn func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !fn() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// members is the number of subscriptions of a filter.
func (b *broker) members(filter string) int {
	n := 0
	b.Routes(func(r router.Route) bool {
		if r.Topic == filter {
			n = r.Subs
		}
		return n == 0
	})
	return n
}
