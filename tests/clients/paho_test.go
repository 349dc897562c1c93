package clients

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/paho"
	paho3 "github.com/eclipse/paho.mqtt.golang"

	"ermine/mqtt/listener"
)

// TestPaho3 runs the client for MQTT 3.1 and 3.1.1: it publishes and receives
// while its connection is cut again and again.
func TestPaho3(t *testing.T) {
	t.Parallel()
	b := start(t)
	for _, kind := range []listener.Type{listener.TCP, listener.SSL, listener.WS, listener.WSS} {
		for _, version := range []uint{3, 4} {
			t.Run(fmt.Sprintf("version %d over %s", version, kind), func(t *testing.T) {
				t.Parallel()
				topic := unique("t/")
				received := make(chan paho3.Message, 1000)
				dial := func(id string, change func(*paho3.ClientOptions)) paho3.Client {
					o := paho3.NewClientOptions().AddBroker(b.url(t, kind)).SetClientID(id).SetTLSConfig(b.tls).
						SetProtocolVersion(version).SetCleanSession(false).SetOrderMatters(true).
						SetMaxReconnectInterval(20 * time.Millisecond).SetConnectRetryInterval(20 * time.Millisecond).
						SetDefaultPublishHandler(func(_ paho3.Client, m paho3.Message) { received <- m })
					if change != nil {
						change(o)
					}
					c := paho3.NewClient(o)
					succeed(t, c.Connect())
					t.Cleanup(func() { c.Disconnect(100) })
					return c
				}
				sub := dial(unique("sub"), nil)
				succeed(t, sub.Subscribe(topic+"/#", 2, nil))
				pub := dial(unique("pub"), nil)
				const n = 60
				for i := range n {
					for qos := range byte(3) {
						succeed(t, pub.Publish(fmt.Sprintf("%s/%d", topic, qos), qos, qos == 1, fmt.Sprint(i)))
					}
				}
				var next [3]int
				for range 3 * n {
					m := take(t, received)
					if string(m.Payload()) != fmt.Sprint(next[m.Qos()]) || m.Topic() != fmt.Sprintf("%s/%d", topic, m.Qos()) || m.Retained() {
						t.Fatalf("got %s %q, want %d at QoS %d", m.Topic(), m.Payload(), next[m.Qos()], m.Qos())
					}
					next[m.Qos()]++
				}

				late := dial(unique("late"), func(o *paho3.ClientOptions) { o.SetCleanSession(true) })
				succeed(t, late.Subscribe(topic+"/#", 1, nil))
				if m := take(t, received); !m.Retained() || string(m.Payload()) != fmt.Sprint(n-1) {
					t.Errorf("got %s %q, want the retained message", m.Topic(), m.Payload())
				}
				late.Disconnect(100)

				// What comes while it is away waits for it.
				reader := sub.OptionsReader()
				id := reader.ClientID()
				sub.Disconnect(100)
				b.offline(t, id)
				for i := range n {
					succeed(t, pub.Publish(topic+"/away", 2, false, fmt.Sprint(i)))
				}
				dial(id, nil)
				for i := 0; i < n; i++ {
					switch m := take(t, received); {
					case m.Duplicate() && m.Topic() != topic+"/away":
						i-- // it had left before it acknowledged the last ones
					case m.Topic() != topic+"/away" || string(m.Payload()) != fmt.Sprint(i):
						t.Fatalf("got %s %q, want %d", m.Topic(), m.Payload(), i)
					}
				}
			})
		}
	}
}

// TestPaho3Cut: connections that are cut under traffic lose nothing. That QoS 2
// is exactly once is for package conformance to show: this client hands a
// message on before its PUBREL, so that a lost PUBREC brings it twice, and it may
// send a PUBLISH again whose PUBREL it has sent.
func TestPaho3Cut(t *testing.T) {
	t.Parallel()
	b := start(t)
	for _, kind := range []listener.Type{listener.TCP, listener.SSL} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			topic, cut := unique("t/"), &cutter{}
			received := make(chan paho3.Message, 1000)
			dial := func(id string) paho3.Client {
				o := paho3.NewClientOptions().AddBroker(b.url(t, kind)).SetClientID(id).
					SetCleanSession(false).SetOrderMatters(true).SetAutoReconnect(true).SetResumeSubs(false).
					SetMaxReconnectInterval(20 * time.Millisecond).
					SetDefaultPublishHandler(func(_ paho3.Client, m paho3.Message) { received <- m }).
					SetCustomOpenConnectionFn(func(u *url.URL, _ paho3.ClientOptions) (net.Conn, error) {
						return cut.dial(u.Host, kind, b.tls)
					})
				c := paho3.NewClient(o)
				succeed(t, c.Connect())
				t.Cleanup(func() { c.Disconnect(100) })
				return c
			}
			sub, pub := dial(unique("sub")), dial(unique("pub"))
			succeed(t, sub.Subscribe(topic, 2, nil))
			const n = 200
			for i := range n {
				token := pub.Publish(topic, 2, false, fmt.Sprint(i))
				if i%50 == 25 {
					cut.all()
				}
				if !token.WaitTimeout(patience) { // an error is a write that failed: it is kept, and sent again
					t.Fatal("no answer")
				}
			}
			seen := map[string]bool{}
			for len(seen) < n {
				seen[string(take(t, received).Payload())] = true
			}
		})
	}
}

// cutter cuts connections.
type cutter struct {
	mu    sync.Mutex
	conns []net.Conn
}

func (c *cutter) dial(address string, kind listener.Type, conf *tls.Config) (net.Conn, error) {
	var conn net.Conn
	var err error
	d := &net.Dialer{Timeout: patience}
	if kind == listener.SSL {
		conn, err = tls.DialWithDialer(d, "tcp", address, conf)
	} else {
		conn, err = d.Dial("tcp", address)
	}
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conns = append(c.conns, conn)
	return cuttable{conn}, nil
}

// cuttable reports that it was cut as though the network had failed: a client
// takes a closed connection for one that it has closed itself.
type cuttable struct{ net.Conn }

func (c cuttable) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	return n, asCut(err)
}

func (c cuttable) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	return n, asCut(err)
}

func asCut(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// all cuts every connection there is.
func (c *cutter) all() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		conn.Close()
	}
	c.conns = nil
}

func succeed(t *testing.T, token paho3.Token) {
	t.Helper()
	if !token.WaitTimeout(patience) {
		t.Fatal("no answer")
	}
	if err := token.Error(); err != nil {
		t.Fatal(err)
	}
}

func take[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case v := <-from:
		return v
	case <-timer.C:
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

// TestPaho5 runs the client for MQTT 5, by its connection manager: properties,
// share groups, wills, refusals, and connections that are cut.
func TestPaho5(t *testing.T) {
	t.Parallel()
	b := start(t)
	for _, kind := range []listener.Type{listener.TCP, listener.SSL} {
		ctx := func(t *testing.T) context.Context {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			t.Cleanup(cancel)
			return ctx
		}
		dial := func(t *testing.T, cut *cutter, received chan<- *paho.Publish, change func(*autopaho.ClientConfig)) *autopaho.ConnectionManager {
			t.Helper()
			scheme := map[listener.Type]string{listener.TCP: "mqtt", listener.SSL: "tls"}[kind]
			u := &url.URL{Scheme: scheme, Host: b.Address(t, string(kind)+":default")}
			conf := autopaho.ClientConfig{
				ServerUrls: []*url.URL{u}, TlsCfg: b.tls, KeepAlive: 30, SessionExpiryInterval: 3600,
				ReconnectBackoff: func(int) time.Duration { return 10 * time.Millisecond },
				ClientConfig: paho.ClientConfig{
					ClientID: unique("paho"),
					OnPublishReceived: []func(paho.PublishReceived) (bool, error){func(p paho.PublishReceived) (bool, error) {
						received <- p.Packet
						return true, nil
					}},
				},
			}
			if cut != nil {
				conf.AttemptConnection = func(context.Context, autopaho.ClientConfig, *url.URL) (net.Conn, error) {
					return cut.dial(u.Host, kind, b.tls)
				}
			}
			if change != nil {
				change(&conf)
			}
			background, cancel := context.WithCancel(context.Background())
			cm, err := autopaho.NewConnection(background, conf)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				cancel()
				<-cm.Done()
			})
			if err := cm.AwaitConnection(ctx(t)); err != nil {
				t.Fatal(err)
			}
			return cm
		}
		subscribe := func(t *testing.T, cm *autopaho.ConnectionManager, o paho.SubscribeOptions) {
			t.Helper()
			sa, err := cm.Subscribe(ctx(t), &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{o}})
			if err != nil || sa.Reasons[0] != o.QoS {
				t.Fatalf("suback %+v, %v", sa, err)
			}
		}
		t.Run(string(kind)+": request and response", func(t *testing.T) {
			t.Parallel()
			topic := unique("t/")
			requests, responses := make(chan *paho.Publish, 10), make(chan *paho.Publish, 10)
			server, asker := dial(t, nil, requests, nil), dial(t, nil, responses, nil)
			subscribe(t, server, paho.SubscribeOptions{Topic: topic + "/request", QoS: 1})
			subscribe(t, asker, paho.SubscribeOptions{Topic: topic + "/response", QoS: 2})
			for i := range 10 {
				if _, err := asker.Publish(ctx(t), &paho.Publish{
					Topic: topic + "/request", QoS: 1, Payload: []byte("question"),
					Properties: &paho.PublishProperties{
						ResponseTopic: topic + "/response", CorrelationData: []byte{byte(i)},
						User: paho.UserProperties{{Key: "a", Value: "1"}, {Key: "a", Value: "2"}},
					},
				}); err != nil {
					t.Fatal(err)
				}
				q := take(t, requests)
				if len(q.Properties.User) != 2 || q.Properties.User[1].Value != "2" {
					t.Errorf("got %+v", q.Properties)
				}
				if _, err := server.Publish(ctx(t), &paho.Publish{
					Topic: q.Properties.ResponseTopic, QoS: 2, Payload: []byte("answer"),
					Properties: &paho.PublishProperties{CorrelationData: q.Properties.CorrelationData},
				}); err != nil {
					t.Fatal(err)
				}
				if a := take(t, responses); a.Properties.CorrelationData[0] != byte(i) {
					t.Errorf("got %+v", a.Properties)
				}
			}
		})
		t.Run(string(kind)+": cut under traffic", func(t *testing.T) {
			t.Parallel()
			topic, cut := unique("t/"), &cutter{}
			received := make(chan *paho.Publish, 2000)
			sub, pub := dial(t, cut, received, nil), dial(t, cut, received, nil)
			subscribe(t, sub, paho.SubscribeOptions{Topic: topic, QoS: 1})
			const n = 200
			for i := range n {
				if i%50 == 25 {
					cut.all()
				}
				for { // what was not acknowledged when the connection went is in the client's session
					if err := pub.AwaitConnection(ctx(t)); err != nil {
						t.Fatal(err)
					}
					err := pub.PublishViaQueue(ctx(t), &autopaho.QueuePublish{Publish: &paho.Publish{Topic: topic, QoS: 1, Payload: []byte(fmt.Sprint(i))}})
					if err == nil {
						break
					}
					if ctx(t).Err() != nil {
						t.Fatal(err)
					}
				}
			}
			seen := map[string]bool{}
			for len(seen) < n {
				seen[string(take(t, received).Payload)] = true
			}
		})
		t.Run(string(kind)+": will and its properties", func(t *testing.T) {
			t.Parallel()
			topic, cut := unique("t/"), &cutter{}
			received := make(chan *paho.Publish, 10)
			watch := dial(t, nil, received, nil)
			subscribe(t, watch, paho.SubscribeOptions{Topic: topic, QoS: 1})
			dial(t, cut, nil, func(c *autopaho.ClientConfig) {
				c.WillMessage = &paho.WillMessage{Topic: topic, QoS: 1, Payload: []byte("dead")}
				// Of the will's properties this client sends the user's and the delay.
				c.WillProperties = &paho.WillProperties{User: paho.UserProperties{{Key: "k", Value: "v"}}}
			})
			cut.all()
			if w := take(t, received); string(w.Payload) != "dead" || len(w.Properties.User) != 1 {
				t.Errorf("got %+v %+v", w, w.Properties)
			}
		})
		t.Run(string(kind)+": a share group", func(t *testing.T) {
			t.Parallel()
			topic := unique("t/")
			one, two := make(chan *paho.Publish, 20), make(chan *paho.Publish, 20)
			for _, received := range []chan *paho.Publish{one, two} {
				subscribe(t, dial(t, nil, received, nil), paho.SubscribeOptions{Topic: "$share/g/" + topic, QoS: 1})
			}
			pub := dial(t, nil, nil, nil)
			for i := range 10 {
				if _, err := pub.Publish(ctx(t), &paho.Publish{Topic: topic, QoS: 1, Payload: []byte(fmt.Sprint(i))}); err != nil {
					t.Fatal(err)
				}
			}
			for range 5 {
				take(t, one)
				take(t, two)
			}
		})
	}
}
