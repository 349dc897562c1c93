package sys

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"ermine/actors/kernel"
	"ermine/actors/message"
	"ermine/actors/metrics"
	"ermine/actors/router"
	"ermine/actors/session"
)

// Config is what a Publisher is made with; the fields are the keys of
// `sys_topics`.
type Config struct {
	Node, Version string
	Metrics       *metrics.Set
	Wheel         *kernel.Wheel
	Now           func() time.Time
	// Publish routes one message; it must not block.
	Publish func(m *message.Message)

	Interval  time.Duration // sys_msg_interval; 0 is off
	Heartbeat time.Duration // sys_heartbeat_interval; 0 is off
	// The four client events: sys_event_messages.
	Connected, Disconnected, Subscribed, Unsubscribed bool
	// Nodes lists the running nodes; nil is this one alone.
	Nodes func() []string
}

// Publisher publishes $SYS topics.
type Publisher struct {
	cfg     Config
	started time.Time
}

// New returns a publisher that has not started.
func New(cfg Config) *Publisher { return &Publisher{cfg: cfg} }

type (
	heartbeat struct{}
	interval  struct{}
)

// Start spawns the actor.
func (p *Publisher) Start(sys *kernel.System) error {
	p.started = p.cfg.Now()
	_, err := sys.StartRoot(kernel.Spec{
		Name: "sys", Kind: "sys", New: func() kernel.Actor { return &actor{Publisher: p} },
	})
	if err != nil {
		return fmt.Errorf("spawn sys: %w", err)
	}
	return nil
}

type actor struct {
	*Publisher
	beat, every kernel.Timer
}

func (a *actor) Receive(c *kernel.Context, msg any) {
	switch msg.(type) {
	case kernel.Started:
		c.Self().Control(interval{})
		c.Self().Control(heartbeat{})
	case kernel.Stopping:
		a.cfg.Wheel.Cancel(&a.beat)
		a.cfg.Wheel.Cancel(&a.every)
	case heartbeat:
		if a.cfg.Heartbeat > 0 {
			now := a.cfg.Now()
			a.publish("uptime", Uptime(now.Sub(a.started)), false)
			a.publish("datetime", now.Format(time.RFC3339), false)
			a.cfg.Wheel.Set(&a.beat, a.cfg.Heartbeat, c.Self(), heartbeat{})
		}
	case interval:
		if a.cfg.Interval > 0 {
			a.messages()
			a.cfg.Wheel.Set(&a.every, a.cfg.Interval, c.Self(), interval{})
		}
	default:
		c.Logger().Error("unexpected message", "type", fmt.Sprintf("%T", msg))
	}
}

func (a *actor) messages() {
	nodes := []string{a.cfg.Node}
	if a.cfg.Nodes != nil {
		nodes = a.cfg.Nodes()
	}
	a.send("$SYS/brokers", strings.Join(nodes, ","), true)
	a.publish("version", a.cfg.Version, true)
	a.publish("sysdescr", "Ermine", true)
	for _, v := range a.cfg.Metrics.Stats() {
		a.publish("stats/"+strings.ReplaceAll(v.Name, ".", "/"), strconv.FormatInt(v.Value, 10), false)
	}
	for _, v := range a.cfg.Metrics.Counters() {
		a.publish("metrics/"+strings.ReplaceAll(v.Name, ".", "/"), strconv.FormatInt(v.Value, 10), false)
	}
}

func (p *Publisher) publish(under, payload string, retain bool) {
	p.send("$SYS/brokers/"+p.cfg.Node+"/"+under, payload, retain)
}

func (p *Publisher) send(topic, payload string, retain bool) {
	p.cfg.Publish(&message.Message{
		Topic: topic, Payload: []byte(payload), Retain: retain, Received: p.cfg.Now().UnixMilli(),
	})
}

// Uptime formats a duration as EMQX does: leading zero units are left out.
func Uptime(d time.Duration) string {
	s := int64(d.Seconds())
	days, hours, minutes, seconds := s/86400, s/3600%24, s/60%60, s%60
	switch {
	case days > 0:
		return fmt.Sprintf("%d days, %d hours, %d minutes, %d seconds", days, hours, minutes, seconds)
	case hours > 0:
		return fmt.Sprintf("%d hours, %d minutes, %d seconds", hours, minutes, seconds)
	case minutes > 0:
		return fmt.Sprintf("%d minutes, %d seconds", minutes, seconds)
	}
	return fmt.Sprintf("%d seconds", seconds)
}

// event is the payload of client events, with EMQX's field names.
type event struct {
	Username     string `json:"username"`
	ClientID     string `json:"clientid"`
	IPAddress    string `json:"ipaddress,omitempty"`
	ProtoName    string `json:"proto_name,omitempty"`
	ProtoVer     byte   `json:"proto_ver,omitempty"`
	Keepalive    uint16 `json:"keepalive,omitempty"`
	CleanStart   *bool  `json:"clean_start,omitempty"`
	Reason       string `json:"reason,omitempty"`
	Topic        string `json:"topic,omitempty"`
	QoS          *byte  `json:"qos,omitempty"`
	ConnectedAt  int64  `json:"connected_at,omitempty"`
	Protocol     string `json:"protocol,omitempty"`
	Timestamp    int64  `json:"ts"`
	Disconnected int64  `json:"disconnected_at,omitempty"`
}

func (p *Publisher) emit(c *session.Client, name string, e event) {
	e.Username, e.ClientID, e.Timestamp = c.Username, c.ID, p.cfg.Now().UnixMilli()
	b, err := json.Marshal(e)
	if err != nil || strings.ContainsAny(c.ID, "+#") {
		return // a client ID that cannot be a topic level has no event
	}
	p.publish("clients/"+c.ID+"/"+name, string(b), false)
}

// Connected publishes clients/<clientid>/connected.
func (p *Publisher) Connected(c *session.Client) {
	if p.cfg.Connected {
		p.emit(c, "connected", event{
			IPAddress: c.Peer.Addr().String(), ProtoName: c.Protocol, ProtoVer: c.Version, Keepalive: c.KeepAlive,
			CleanStart: &c.CleanStart, ConnectedAt: c.Connected.UnixMilli(), Protocol: "mqtt",
		})
	}
}

// Disconnected publishes clients/<clientid>/disconnected.
func (p *Publisher) Disconnected(c *session.Client, reason string) {
	if p.cfg.Disconnected {
		p.emit(c, "disconnected", event{
			IPAddress: c.Peer.Addr().String(), ProtoName: c.Protocol, ProtoVer: c.Version, Reason: reason,
			ConnectedAt: c.Connected.UnixMilli(), Disconnected: p.cfg.Now().UnixMilli(), Protocol: "mqtt",
		})
	}
}

// Subscribed publishes clients/<clientid>/subscribed.
func (p *Publisher) Subscribed(c *session.Client, s *router.Subscription) {
	if p.cfg.Subscribed {
		p.emit(c, "subscribed", event{Topic: s.Raw, QoS: &s.QoS, Protocol: "mqtt"})
	}
}

// Unsubscribed publishes clients/<clientid>/unsubscribed.
func (p *Publisher) Unsubscribed(c *session.Client, s *router.Subscription) {
	if p.cfg.Unsubscribed {
		p.emit(c, "unsubscribed", event{Topic: s.Raw, Protocol: "mqtt"})
	}
}
