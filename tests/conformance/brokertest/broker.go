package brokertest

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ermine/actors"
	"ermine/mqtt"
	"ermine/mqtt/auth"
	"ermine/mqtt/hook"
	"ermine/mqtt/listener"
)

// Node is the name of the node that every broker here belongs to.
const Node = "test@127.0.0.1"

// Version is what it says of itself.
const Version = "0.0.0-test"

// stopTimeout bounds the end of a broker.
const stopTimeout = 20 * time.Second

// Config is what a test may change before the broker starts.
type Config struct {
	Broker         actors.Config
	Zone           hook.Zone
	Authentication []auth.Authenticator
	Authorization  []auth.Authorizer
	DenyDisconnect bool
	// Listeners are all of them; the first, of type tcp, is there already.
	Listeners []listener.Config
}

// Listen adds a listener with its default settings, on a free loopback port,
// and returns it to be changed. A TLS listener makes its own certificate.
func (c *Config) Listen(t testing.TB, kind listener.Type, name string) *listener.Config {
	lc := listener.DefaultConfig(kind, name)
	lc.Bind = "127.0.0.1:0"
	lc.CertDir = t.TempDir()
	c.Listeners = append(c.Listeners, lc)
	return &c.Listeners[len(c.Listeners)-1]
}

// Broker is a running broker. It ends with its test.
type Broker struct {
	*actors.Broker
	Server *mqtt.Server
	Clock  *Clock
}

// Start starts a broker with EMQX's defaults; retained and delayed messages are
// on. What it logs is shown if the test fails.
func Start(t testing.TB, configure ...func(*Config)) *Broker {
	t.Helper()
	logged := &log{t: t}
	logger := slog.New(slog.NewTextHandler(logged, &slog.HandlerOptions{Level: slog.LevelInfo}))
	clock := new(Clock)
	conf := Config{Zone: hook.DefaultZone()}
	conf.Broker = actors.Config{Logger: logger, Now: clock.Now, Node: Node, Version: Version}
	conf.Broker.Retain.Enable, conf.Broker.Delayed.Enable = true, true
	conf.Listen(t, listener.TCP, "default")
	for _, f := range configure {
		f(&conf)
	}
	b := &Broker{Broker: actors.New(conf.Broker), Clock: clock}
	if err := b.Start(); err != nil {
		t.Fatal(err)
	}
	var err error
	b.Server, err = mqtt.New(mqtt.Config{
		Logger: logger,
		Hook: hook.Config{
			Logger: logger, Metrics: b.Metrics(), Open: hook.OpenWith(b.Broker), OpenTimeout: 10 * time.Second,
			Authentication: auth.NewAuthentication(true, conf.Authentication...),
			Authorization:  auth.NewAuthorization(auth.DefaultAuthorizationConfig(), conf.Authorization...),
			DenyDisconnect: conf.DenyDisconnect,
			Zones:          map[string]*hook.Zone{hook.DefaultZoneName: &conf.Zone},
			Now:            clock.Now,
		},
		Listeners: conf.Listeners,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.Server.Stop()
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		if err := b.Stop(ctx); err != nil {
			t.Errorf("stop broker: %v", err)
		}
		logged.end()
	})
	return b
}

// Address is where a listener such as "tcp:default" can be reached.
func (b *Broker) Address(t testing.TB, id string) string {
	t.Helper()
	status, err := b.Server.Listener(id)
	if err != nil {
		t.Fatal(err)
	}
	return status.Address
}

// Clock is the time of day, put forward by what the test wants.
type Clock struct{ ahead atomic.Int64 }

// Now is the time.
func (c *Clock) Now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

// Advance puts the clock forward.
func (c *Clock) Advance(d time.Duration) { c.ahead.Add(int64(d)) }

// log keeps what the broker logs for a test that fails.
type log struct {
	mu    sync.Mutex
	t     testing.TB
	lines bytes.Buffer
	ended bool
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.ended {
		l.lines.Write(p)
	}
	return len(p), nil
}

func (l *log) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	if l.t.Failed() && l.lines.Len() > 0 {
		l.t.Logf("the broker's log:\n%s", l.lines.String())
	}
}
