package rpc

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

func testIdentity(name, cookie string) *identity {
	return &identity{name: name, incarnation: 5, key: cookieKey(cookie), min: 1, max: 1}
}

// shakeHands runs both sides over a pipe.
func shakeHands(t *testing.T, d, a *identity, target string) (w welcome, o *opened, dialErr, acceptErr error) {
	t.Helper()
	here, there := net.Pipe()
	accepted := make(chan struct{})
	go func() {
		defer close(accepted)
		if o, acceptErr = a.acceptHandshake(there); acceptErr == nil {
			acceptErr = o.welcome(welcome{received: 3, acked: 2})
		} else {
			there.Close()
		}
	}()
	w, dialErr = d.dialHandshake(here, hello{target: target, stream: 9, lane: 4})
	here.Close()
	within(t, accepted, "the acceptor")
	return w, o, dialErr, acceptErr
}

func TestHandshake(t *testing.T) {
	w, o, err, err2 := shakeHands(t, testIdentity("a@h", "secret"), testIdentity("b@h", "secret"), "b@h")
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	if w.name != "b@h" || w.incarnation != 5 || w.received != 3 || w.acked != 2 {
		t.Errorf("%+v", w)
	}
	if h := o.hello; h.name != "a@h" || h.target != "b@h" || h.stream != 9 || h.lane != 4 || h.incarnation != 5 {
		t.Errorf("%+v", h)
	}
}

func TestHandshakeRefusals(t *testing.T) {
	newer := testIdentity("b@h", "secret")
	newer.min, newer.max = 2, 3
	for _, tc := range []struct {
		name         string
		acceptor     *identity
		dial, accept error
	}{
		{"another cookie", testIdentity("b@h", "other"), ErrAuth, ErrAuth},
		{"no version in common", newer, ErrVersion, ErrVersion},
	} {
		_, o, err, err2 := shakeHands(t, testIdentity("a@h", "secret"), tc.acceptor, "b@h")
		if !errors.Is(err, tc.dial) || !errors.Is(err2, tc.accept) || o != nil {
			t.Errorf("%s: dialler %v, acceptor %v", tc.name, err, err2)
		}
	}
}

// What the acceptor says to one that has not proved the cookie is the version
// range and a random number; nothing differs with the name it asks for.
func TestStrangerLearnsNothing(t *testing.T) {
	a := testIdentity("b@h", "secret")
	for _, target := range []string{"b@h", "c@h"} {
		here, there := net.Pipe()
		done := make(chan error, 1)
		go func() {
			_, err := a.acceptHandshake(there)
			there.Close()
			done <- err
		}()
		h := hello{min: 1, max: 1, name: "x@h", target: target}
		if _, err := here.Write(h.append(nil)); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(challengeMagic)+2+challengeFixed)
		if _, err := io.ReadFull(here, got); err != nil {
			t.Fatal(err)
		}
		if _, err := here.Write(make([]byte, proofLen)); err != nil {
			t.Fatal(err)
		}
		if rest, err := io.ReadAll(here); err != nil || len(rest) != 0 {
			t.Errorf("after a wrong proof: %x, %v", rest, err)
		}
		if err := within(t, done, "the acceptor"); !errors.Is(err, ErrAuth) {
			t.Error(err)
		}
		if bytes.Contains(got, []byte("b@h")) {
			t.Error("the acceptor told its name")
		}
	}
}

// record is a connection that remembers what was written to it.
type record struct {
	net.Conn
	wrote bytes.Buffer
}

func (r *record) Write(b []byte) (int, error) {
	r.wrote.Write(b)
	return r.Conn.Write(b)
}

// A recorded handshake is worth nothing, to either side; and a node's own
// proof, sent back to it, neither.
func TestReplayAndReflection(t *testing.T) {
	d, a := testIdentity("a@h", "secret"), testIdentity("b@h", "secret")
	here, there := net.Pipe()
	dial, accept := &record{Conn: here}, &record{Conn: there}
	done := make(chan error, 1)
	go func() {
		o, err := a.acceptHandshake(accept)
		if err == nil {
			err = o.welcome(welcome{})
		}
		done <- err
	}()
	if _, err := d.dialHandshake(dial, hello{target: "b@h"}); err != nil {
		t.Fatal(err)
	}
	if err := within(t, done, "the acceptor"); err != nil {
		t.Fatal(err)
	}

	play := func(what []byte) net.Conn {
		here, there := net.Pipe()
		go func() {
			go func() { _, _ = io.Copy(io.Discard, there) }() // ends with the pipe
			_, _ = there.Write(what)                          // as above
		}()
		return here
	}
	if _, err := a.acceptHandshake(play(dial.wrote.Bytes())); !errors.Is(err, ErrAuth) {
		t.Errorf("the dialler's part replayed: %v", err)
	}
	if _, err := d.dialHandshake(play(accept.wrote.Bytes()), hello{target: "b@h"}); !errors.Is(err, ErrAuth) {
		t.Errorf("the acceptor's part replayed: %v", err)
	}

	// An attacker without the cookie is dialled by d, and dials d at the same
	// time, to have d answer its own challenge.
	victim, attacker := net.Pipe()
	back, door := net.Pipe()
	results := make(chan error, 2)
	go func() {
		_, err := d.dialHandshake(victim, hello{target: "b@h"})
		victim.Close()
		results <- err
	}()
	go func() {
		_, err := d.acceptHandshake(door)
		door.Close()
		results <- err
	}()
	relay := func(from, to net.Conn, n int) {
		b := make([]byte, n)
		if _, err := io.ReadFull(from, b); err != nil {
			t.Error(err)
		}
		if _, err := to.Write(b); err != nil {
			t.Error(err)
		}
	}
	relay(attacker, back, 6+helloFixed+6)
	relay(back, attacker, 6+challengeFixed)
	proof := make([]byte, proofLen)
	if _, err := io.ReadFull(attacker, proof); err != nil {
		t.Fatal(err)
	}
	// As the acceptor's proof, with a welcome of the attacker's.
	msg := append([]byte{0, byte(proofLen + 29)}, proof...)
	w := welcome{name: "b@h"}
	if _, err := attacker.Write(w.append(msg)); err != nil {
		t.Fatal(err)
	}
	if err := within(t, results, "the victim"); !errors.Is(err, ErrAuth) {
		t.Errorf("reflected: %v", err)
	}
	back.Close()
	within(t, results, "the victim's other side")
}

// certificates are files of an authority and of a certificate by it for
// 127.0.0.1.
func certificates(t *testing.T) (cert, key, ca string) {
	t.Helper()
	dir := t.TempDir()
	write := func(name, typ string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, caKey.Public(), caKey)
	if err != nil {
		t.Fatal(err)
	}
	leafKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "node"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: tmpl.NotBefore, NotAfter: tmpl.NotAfter, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, tmpl, leafKey.Public(), caKey)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(leafKey)
	if err != nil {
		t.Fatal(err)
	}
	return write("cert.pem", "CERTIFICATE", leafDER), write("key.pem", "EC PRIVATE KEY", keyDER), write("ca.pem", "CERTIFICATE", caDER)
}

func loadTLS(t *testing.T) *TLS {
	t.Helper()
	s, err := LoadTLS(certificates(t))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTLS(t *testing.T) {
	settings := loadTLS(t)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		cfgA, cfgB := testConfig("a@127.0.0.1", 1), testConfig("b@127.0.0.1", 1)
		client := settings.Client.Clone()
		client.MaxVersion = version
		cfgA.TLS, cfgB.TLS = &TLS{Server: settings.Server, Client: client}, &TLS{Server: settings.Server, Client: client}
		got := collect(1000)
		a := start(t, cfgA, nil)
		b := start(t, cfgB, func(e *Endpoint) { e.Handle(kindNumber, got.handle) })
		join(t, a, b)
		outcomes := counted(t, a, "b@127.0.0.1", 1, 1000)
		for range 1000 {
			if err := within(t, outcomes, "an outcome"); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// downs is a channel of the reasons why lanes are down.
func downs(cfg *Config) <-chan error {
	c := make(chan error, 1000)
	cfg.Events.LaneDown = func(_ string, _ int, err error) {
		select {
		case c <- err:
		default:
		}
	}
	return c
}

// Both sides verify: a certificate of another authority, a name that is not in
// it, and none at all are refused, cookie or not.
func TestTLSRefusals(t *testing.T) {
	ours, theirs := loadTLS(t), loadTLS(t)
	bare := &TLS{Server: ours.Server, Client: ours.Client.Clone()}
	bare.Client.Certificates = nil
	for _, tc := range []struct {
		name    string
		dialler *TLS
		peer    string
	}{
		{"another authority", theirs, "b@127.0.0.1"},
		{"no certificate", bare, "b@127.0.0.1"},
		{"another host", ours, "b@127.0.0.2"},
		{"plain", nil, "b@127.0.0.1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfgA, cfgB := testConfig("a@127.0.0.1", 1), testConfig(tc.peer, 1)
			cfgA.TLS, cfgB.TLS = tc.dialler, ours
			cfgA.AuthTimeout = time.Second
			cfgA.Events.LaneUp = func(p Peer, lane int) { t.Errorf("%v lane %d is up", p, lane) }
			reasons := downs(&cfgA)
			a := start(t, cfgA, nil)
			b := start(t, cfgB, nil)
			join(t, a, b)
			for range 3 {
				if err := within(t, reasons, "a refusal"); err == nil {
					t.Error("no reason")
				}
			}
		})
	}
}

// A man in the middle of TLS who is trusted (no verification) has two sessions,
// and relays the cookie's proof in vain.
func TestProofIsBoundToTLS(t *testing.T) {
	settings := loadTLS(t)
	open := &tls.Config{InsecureSkipVerify: true} //nolint:gosec // what verify_none is
	serve := settings.Server.Clone()
	serve.ClientAuth = tls.NoClientCert
	d, a := testIdentity("a@h", "secret"), testIdentity("b@h", "secret")
	c1, m1 := net.Pipe()
	m2, s2 := net.Pipe()
	results := make(chan error, 2)
	go func() {
		_, err := a.acceptHandshake(shaken(tls.Server(s2, serve)))
		s2.Close()
		results <- err
	}()
	go func() {
		_, err := d.dialHandshake(shaken(tls.Client(c1, open)), hello{target: "b@h"})
		c1.Close()
		results <- err
	}()
	left, right := tls.Server(m1, serve), tls.Client(m2, open)
	go func() { _, _ = io.Copy(right, left) }() // ends with the pipes
	go func() { _, _ = io.Copy(left, right); left.Close() }()
	for range 2 {
		if err := within(t, results, "both ends"); !errors.Is(err, ErrAuth) {
			t.Error(err)
		}
	}
}

func shaken(c *tls.Conn) net.Conn {
	_ = c.Handshake() // the handshake of the cookie tells
	return c
}

// A connection that says nothing, too little or too slowly is closed in time,
// and the oldest of too many at once.
func TestHalfOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := newPipes()
		cfg := network.on(testConfig("b", 1))
		cfg.MaxHalfOpen, cfg.AuthTimeout = 3, 2*time.Second
		b := start(t, cfg, nil)
		begun := time.Now()
		var conns []net.Conn
		ended := make(chan int, 10)
		open := func() {
			c, err := network.dial(t.Context(), "b")
			if err != nil {
				t.Fatal(err)
			}
			conns = append(conns, c)
			i := len(conns) - 1
			go func() {
				_, _ = io.Copy(io.Discard, c) // until it is closed
				ended <- i
			}()
			synctest.Wait()
		}
		for range 3 {
			open()
		}
		select {
		case i := <-ended:
			t.Fatalf("connection %d was closed", i)
		default:
		}
		open()
		if i := <-ended; i != 0 || time.Since(begun) != 0 {
			t.Errorf("connection %d went first, after %v", i, time.Since(begun))
		}
		// One that dribbles has no more time than others.
		dribbled := make(chan struct{})
		go func() {
			defer close(dribbled)
			for _, c := range (&hello{name: "a", target: "b"}).append(nil) {
				if _, err := conns[1].Write([]byte{c}); err != nil {
					return
				}
				time.Sleep(500 * time.Millisecond)
			}
		}()
		for range 3 {
			<-ended
		}
		if took := time.Since(begun); took != cfg.AuthTimeout {
			t.Errorf("closed after %v", took)
		}
		<-dribbled
		synctest.Wait()
		b.mu.Lock()
		defer b.mu.Unlock()
		if len(b.halfOpen) != 0 {
			t.Errorf("%d are counted as half-open", len(b.halfOpen))
		}
	})
}

// FuzzAccept has a stranger say arbitrary things: it never gets in.
func FuzzAccept(f *testing.F) {
	f.Add((&hello{min: 1, max: 1, name: "a@h", target: "b@h"}).append(nil))
	f.Add(append((&hello{min: 1, max: 1, name: "a@h", target: "b@h"}).append(nil), make([]byte, proofLen)...))
	id := testIdentity("b@h", "secret")
	f.Fuzz(func(t *testing.T, said []byte) {
		c := &bytesConn{r: bytes.NewReader(said), most: 1 << 20}
		if o, err := id.acceptHandshake(c); err == nil || o != nil {
			t.Error("a stranger got in")
		}
		c = &bytesConn{r: bytes.NewReader(said), most: 1 << 20}
		if _, err := id.dialHandshake(c, hello{target: "a@h"}); err == nil {
			t.Error("a stranger was taken for a peer")
		}
	})
}
