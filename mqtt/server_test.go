package mqtt_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"
	paho3 "github.com/eclipse/paho.mqtt.golang"

	"ermine/actors"
	"ermine/mqtt"
	"ermine/mqtt/auth"
	"ermine/mqtt/hook"
	"ermine/mqtt/listener"
)

// patience bounds every wait of these tests.
const patience = 20 * time.Second

// start runs a server on the real broker, with one TCP listener on loopback.
func start(t testing.TB) (*mqtt.Server, *actors.Broker, string) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	b := actors.New(actors.Config{Logger: log, Node: "test@127.0.0.1"})
	if err := b.Start(); err != nil {
		t.Fatal(err)
	}
	zone := hook.DefaultZone()
	lc := listener.DefaultConfig(listener.TCP, "default")
	lc.Bind = "127.0.0.1:0"
	s, err := mqtt.New(mqtt.Config{
		Logger: log,
		Hook: hook.Config{
			Logger: log, Metrics: b.Metrics(), Open: hook.OpenWith(b),
			Authentication: auth.NewAuthentication(true),
			Authorization:  auth.NewAuthorization(auth.DefaultAuthorizationConfig()),
			Zones:          map[string]*hook.Zone{"default": &zone},
		},
		Listeners: []listener.Config{lc},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Stop()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := b.Stop(ctx); err != nil {
			t.Errorf("stop broker: %v", err)
		}
	})
	status, err := s.Listener("tcp:default")
	if err != nil {
		t.Fatal(err)
	}
	return s, b, status.Address
}

// TestPaho3 has the 3.1.1 client of Eclipse publish to itself, in order, at
// every QoS, and take a session up again.
func TestPaho3(t *testing.T) {
	_, _, address := start(t)
	const each = 200
	type got struct {
		topic, payload string
		qos            byte
		dup            bool
	}
	received := make(chan got, 3*each)
	options := func(id string, clean bool) *paho3.ClientOptions {
		return paho3.NewClientOptions().AddBroker("tcp://" + address).SetClientID(id).
			SetCleanSession(clean).SetAutoReconnect(false).SetOrderMatters(true).SetProtocolVersion(4)
	}
	sub := paho3.NewClient(options("sub", false).SetDefaultPublishHandler(func(_ paho3.Client, m paho3.Message) {
		received <- got{m.Topic(), string(m.Payload()), m.Qos(), m.Duplicate()}
	}))
	wait(t, sub.Connect())
	wait(t, sub.Subscribe("t/#", 2, nil))

	pub := paho3.NewClient(options("pub", true))
	wait(t, pub.Connect())
	defer pub.Disconnect(100)
	for i := range each {
		for qos := range byte(3) {
			wait(t, pub.Publish(fmt.Sprintf("t/%d", qos), qos, false, fmt.Sprint(i)))
		}
	}
	var next [3]int
	for range 3 * each {
		select {
		case g := <-received:
			if want := fmt.Sprintf("t/%d", g.qos); g.topic != want || g.payload != fmt.Sprint(next[g.qos]) {
				t.Fatalf("got %+v, want number %d of %s", g, next[g.qos], want)
			}
			next[g.qos]++
		case <-time.After(patience):
			t.Fatalf("received %v of %d each", next, each)
		}
	}

	// What is published while the subscriber is away waits for it.
	sub.Disconnect(100)
	wait(t, pub.Publish("t/1", 1, false, "kept"))
	sub = paho3.NewClient(options("sub", false).SetDefaultPublishHandler(func(_ paho3.Client, m paho3.Message) {
		received <- got{m.Topic(), string(m.Payload()), m.Qos(), m.Duplicate()}
	}))
	token := sub.Connect()
	wait(t, token)
	if !token.(*paho3.ConnectToken).SessionPresent() {
		t.Error("session not present")
	}
	defer sub.Disconnect(100)
	for kept := false; !kept; {
		select {
		case g := <-received:
			// The client may have left before it acknowledged the last ones.
			if kept = g.payload == "kept"; !kept && !g.dup {
				t.Fatalf("got %+v", g)
			}
		case <-time.After(patience):
			t.Fatal("the kept message did not come")
		}
	}
}

func wait(t testing.TB, token paho3.Token) {
	t.Helper()
	if !token.WaitTimeout(patience) {
		t.Fatal("no answer")
	}
	if err := token.Error(); err != nil {
		t.Fatal(err)
	}
}

// connect5 connects the MQTT 5 client of Eclipse.
func connect5(t testing.TB, address, id string, onPublish func(*paho.Publish), configure ...func(*paho.Connect)) (*paho.Client, *paho.Connack, chan *paho.Disconnect) {
	t.Helper()
	nc, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		t.Fatal(err)
	}
	gone := make(chan *paho.Disconnect, 1)
	c := paho.NewClient(paho.ClientConfig{
		Conn: nc,
		OnPublishReceived: []func(paho.PublishReceived) (bool, error){func(p paho.PublishReceived) (bool, error) {
			onPublish(p.Packet)
			return true, nil
		}},
		OnServerDisconnect: func(d *paho.Disconnect) { gone <- d },
	})
	cp := &paho.Connect{ClientID: id, CleanStart: true, KeepAlive: 30}
	for _, f := range configure {
		f(cp)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ca, err := c.Connect(ctx, cp)
	if err != nil {
		t.Fatal(err)
	}
	return c, ca, gone
}

// TestPaho5 has the MQTT 5 client of Eclipse use what is new in MQTT 5.
func TestPaho5(t *testing.T) {
	s, b, address := start(t)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()

	received := make(chan *paho.Publish, 16)
	sub, ca, gone := connect5(t, address, "", func(p *paho.Publish) { received <- p })
	if ca.Properties == nil || ca.Properties.AssignedClientID == "" || !ca.Properties.SharedSubAvailable {
		t.Errorf("connack %+v", ca)
	}
	id := 7
	sa, err := sub.Subscribe(ctx, &paho.Subscribe{
		Properties:    &paho.SubscribeProperties{SubscriptionIdentifier: &id},
		Subscriptions: []paho.SubscribeOptions{{Topic: "t/+", QoS: 2, RetainAsPublished: true}},
	})
	if err != nil || sa.Reasons[0] != 2 {
		t.Fatalf("suback %+v, %v", sa, err)
	}

	pub, _, _ := connect5(t, address, "pub", func(*paho.Publish) {})
	expiry := uint32(100)
	format := byte(1)
	for qos := range byte(3) {
		res, err := pub.Publish(ctx, &paho.Publish{
			QoS: qos, Topic: fmt.Sprintf("t/%d", qos), Payload: []byte("x"), Retain: true,
			Properties: &paho.PublishProperties{
				ContentType: "text", ResponseTopic: "r", CorrelationData: []byte{1}, MessageExpiry: &expiry, PayloadFormat: &format,
				User: paho.UserProperties{{Key: "k", Value: "1"}, {Key: "k", Value: "2"}},
			},
		})
		if err != nil || res.ReasonCode != 0 {
			t.Fatalf("qos %d: %+v, %v", qos, res, err)
		}
		select {
		case p := <-received:
			pr := p.Properties
			if p.Topic != fmt.Sprintf("t/%d", qos) || p.QoS != qos || !p.Retain || pr.ContentType != "text" ||
				pr.ResponseTopic != "r" || len(pr.CorrelationData) != 1 || len(pr.User) != 2 || pr.User[1].Value != "2" ||
				pr.SubscriptionIdentifier == nil || *pr.SubscriptionIdentifier != id ||
				pr.MessageExpiry == nil || *pr.MessageExpiry < 90 || *pr.MessageExpiry > 100 || *pr.PayloadFormat != 1 {
				t.Errorf("qos %d: %+v %+v", qos, p, pr)
			}
		case <-ctx.Done():
			t.Fatal("nothing received")
		}
	}
	res, err := pub.Publish(ctx, &paho.Publish{QoS: 1, Topic: "nobody"})
	if err != nil || res.ReasonCode != 0x10 {
		t.Errorf("to nobody: %+v, %v", res, err)
	}

	// Taken over, kicked, and shut down: each says so.
	second, _, gone2 := connect5(t, address, ca.Properties.AssignedClientID, func(*paho.Publish) {})
	expectGone(t, gone, 0x8E)
	_ = second
	if err := b.Kick(ctx, ca.Properties.AssignedClientID); err != nil {
		t.Error(err)
	}
	expectGone(t, gone2, 0x98)
	_, _, gone3 := connect5(t, address, "last", func(*paho.Publish) {})
	s.Stop()
	expectGone(t, gone3, 0x8B)
}

func expectGone(t *testing.T, gone chan *paho.Disconnect, code byte) {
	t.Helper()
	select {
	case d := <-gone:
		if d.ReasonCode != code {
			t.Errorf("disconnect 0x%02x, want 0x%02x", d.ReasonCode, code)
		}
	case <-time.After(patience):
		t.Errorf("no disconnect, want 0x%02x", code)
	}
}

// TestTakeoverStorm has many connections fight for one client ID: at any time
// at most one of them is connected in the end, and nothing is left behind.
func TestTakeoverStorm(t *testing.T) {
	s, b, address := start(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 20 {
				nc, err := net.DialTimeout("tcp", address, patience)
				if err != nil {
					t.Error(err)
					return
				}
				_ = nc.SetDeadline(time.Now().Add(patience))
				// CONNECT, 3.1.1, clean on even goroutines, client ID "x".
				_, _ = nc.Write([]byte{0x10, 13, 0, 4, 'M', 'Q', 'T', 'T', 4, byte(i%2) << 1, 0, 0, 0, 1, 'x'})
				var ack [4]byte
				if _, err := io.ReadFull(nc, ack[:]); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("connack: %v", err)
				}
				_ = nc.Close()
			}
		})
	}
	wg.Wait()
	deadline := time.After(patience)
	for s.Connections() > 0 {
		select {
		case <-time.After(time.Millisecond):
		case <-deadline:
			t.Fatalf("%d connections left", s.Connections())
		}
	}
	if sess, err := b.Session("x"); err == nil && sess.Online() {
		t.Error("the session believes that its client is connected")
	}
}

// TestListeners: a listener is stopped, started and restarted while the server
// runs.
func TestListeners(t *testing.T) {
	s, _, address := start(t)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, _, gone := connect5(t, address, "c", func(*paho.Publish) {})
	if err := s.StopListener(ctx, "tcp:default"); err != nil {
		t.Fatal(err)
	}
	expectGone(t, gone, 0x8B)
	if err := s.StopListener(ctx, "tcp:default"); !errors.Is(err, listener.ErrNotRunning) {
		t.Errorf("second stop: %v", err)
	}
	if nc, err := net.DialTimeout("tcp", address, patience); err == nil {
		_ = nc.Close()
		t.Error("a stopped listener accepts")
	}
	if err := s.StartListener("tcp:default"); err != nil {
		t.Fatal(err)
	}
	if err := s.StartListener("tcp:default"); !errors.Is(err, listener.ErrAlreadyRunning) {
		t.Errorf("second start: %v", err)
	}
	connect5(t, address, "c", func(*paho.Publish) {})
	if err := s.RestartListener(ctx, "tcp:default"); err != nil {
		t.Fatal(err)
	}
	c, _, _ := connect5(t, address, "c", func(*paho.Publish) {})
	if err := c.Disconnect(&paho.Disconnect{}); err != nil {
		t.Error(err)
	}
	if st := s.Listeners()[0]; !st.Running || st.ID != "tcp:default" || st.Accepted != 3 {
		t.Errorf("status %+v", st)
	}
	if _, err := s.Listener("tcp:none"); !errors.Is(err, listener.ErrNotFound) {
		t.Errorf("unknown listener: %v", err)
	}
}

// TestPortsInUse: an operator reads which keys to change, for all of them.
func TestPortsInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	set, err := listener.NewSet([]listener.Config{
		boundTo("one", taken.Addr().String()), boundTo("two", taken.Addr().String()),
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	err = set.Listen()
	for _, want := range []string{"listeners.tcp.one.bind", "listeners.tcp.two.bind", taken.Addr().String(), "address already in use"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
}

func boundTo(name, addr string) listener.Config {
	conf := listener.DefaultConfig(listener.TCP, name)
	conf.Bind = addr
	return conf
}
