package ctl

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"ermine/actors"
	"ermine/actors/message"
	"ermine/actors/router"
	"ermine/actors/session"
	"ermine/actors/topic"
)

// client is a session as the commands show it.
type client struct {
	ClientID       string `json:"clientid"`
	Username       string `json:"username"`
	Peername       string `json:"peername"`
	Node           string `json:"node"`
	Listener       string `json:"listener"`
	Zone           string `json:"zone"`
	Protocol       string `json:"proto_name"`
	Version        byte   `json:"proto_ver"`
	CleanStart     bool   `json:"clean_start"`
	KeepAlive      uint16 `json:"keepalive"`
	Expiry         uint32 `json:"session_expiry_interval"`
	Subscriptions  int    `json:"subscriptions"`
	Inflight       int    `json:"inflight"`
	InflightMax    int    `json:"inflight_max"`
	Mqueue         int    `json:"mqueue_len"`
	MqueueMax      int    `json:"mqueue_max"`
	AwaitingRel    int    `json:"awaiting_rel"`
	Mailbox        int    `json:"mailbox_len"`
	Delivered      uint64 `json:"delivered_msgs"`
	Enqueued       uint64 `json:"enqueued_msgs"`
	Dropped        uint64 `json:"dropped_msgs"`
	DroppedFull    uint64 `json:"dropped_msgs_queue_full"`
	DroppedQoS0    uint64 `json:"dropped_msgs_qos0"`
	DroppedExpired uint64 `json:"dropped_msgs_expired"`
	DroppedLarge   uint64 `json:"dropped_msgs_too_large"`
	Connected      bool   `json:"connected"`
	CreatedAt      int64  `json:"created_at"`
	ConnectedAt    int64  `json:"connected_at"`
	DisconnectedAt int64  `json:"disconnected_at,omitempty"`
}

func (e *Env) client(id string, in session.Info) client {
	c := client{
		ClientID: id, Username: in.Username, Peername: in.Peer.String(), Node: e.Name, Listener: in.Listener,
		Zone: in.Zone, Protocol: in.Protocol, Version: in.Version, CleanStart: in.CleanStart, KeepAlive: in.KeepAlive,
		Expiry: in.Expiry, Subscriptions: len(in.Subscriptions), Inflight: in.Inflight, InflightMax: in.InflightMax,
		Mqueue: in.Queued, MqueueMax: in.QueueMax, AwaitingRel: in.AwaitingRel, Mailbox: in.Mailbox,
		Delivered: in.Counts.Delivered, Enqueued: in.Counts.Enqueued, Dropped: in.Counts.Dropped,
		DroppedFull: in.Counts.DroppedFull, DroppedQoS0: in.Counts.DroppedQoS0,
		DroppedExpired: in.Counts.DroppedExpired, DroppedLarge: in.Counts.DroppedTooLarge,
		Connected: in.Connected, CreatedAt: in.Created.UnixMilli(), ConnectedAt: in.Client.Connected.UnixMilli(),
	}
	if !in.Disconnected.IsZero() {
		c.DisconnectedAt = in.Disconnected.UnixMilli()
	}
	return c
}

// clientLine is EMQX's form of a client; the argument order is clientArgs's.
const clientLine = "Client(%s, username=%s, peername=%s, clean_start=%t, keepalive=%d, " +
	"session_expiry_interval=%d, subscriptions=%d, inflight=%d, awaiting_rel=%d, delivered_msgs=%d, " +
	"enqueued_msgs=%d, dropped_msgs=%d, connected=%t, created_at=%d, connected_at=%d%s)"

func (c client) args() []any {
	username, disconnected := c.Username, ""
	if username == "" {
		username = "undefined"
	}
	if c.DisconnectedAt != 0 {
		disconnected = ", disconnected_at=" + strconv.FormatInt(c.DisconnectedAt, 10)
	}
	return []any{
		c.ClientID, username, c.Peername, c.CleanStart, c.KeepAlive, c.Expiry, c.Subscriptions, c.Inflight,
		c.AwaitingRel, c.Delivered, c.Enqueued, c.Dropped, c.Connected, c.CreatedAt, c.ConnectedAt, disconnected,
	}
}

// find inspects one session; ok is false when there is none.
func find(ctx context.Context, b *actors.Broker, id string) (s *session.Session, in session.Info, ok bool, err error) {
	s, err = b.Session(id)
	if errors.Is(err, actors.ErrNotFound) {
		return nil, in, false, nil
	}
	if err != nil {
		return nil, in, false, err
	}
	in, err = s.Inspect(ctx)
	return s, in, err == nil, err
}

// eachSession inspects all sessions, those that end meanwhile left out.
func eachSession(ctx context.Context, b *actors.Broker, do func(id string, in session.Info) error) error {
	for s := range b.Sessions() {
		if err := ctx.Err(); err != nil {
			return err
		}
		in, err := s.Inspect(ctx)
		if err != nil {
			continue
		}
		if err := do(s.ClientID(), in); err != nil {
			return err
		}
	}
	return nil
}

func (e *Env) clients() Command {
	return Command{"clients", []Form{
		{"clients list", "List all clients", func(ctx context.Context, c *Call) error {
			b, err := e.broker()
			if err != nil {
				return err
			}
			l := list{c: c}
			if err := eachSession(ctx, b, func(id string, in session.Info) error {
				cl := e.client(id, in)
				return l.add(cl, clientLine, cl.args()...)
			}); err != nil {
				return err
			}
			return l.end("No clients.")
		}},
		{"clients show <ClientId>", "Show a client", func(ctx context.Context, c *Call) error {
			b, err := e.broker()
			if err != nil {
				return err
			}
			_, in, ok, err := find(ctx, b, c.Args[0])
			if err != nil {
				return err
			}
			if !ok {
				return c.Fail("Not Found.")
			}
			cl := e.client(c.Args[0], in)
			return c.Answer(cl, clientLine, cl.args()...)
		}},
		{"clients kick <ClientId>", "Kick out a client", func(ctx context.Context, c *Call) error {
			b, err := e.broker()
			if err != nil {
				return err
			}
			// As in EMQX, a client that is not there has been kicked out as well.
			if err := b.Kick(ctx, c.Args[0]); err != nil && !errors.Is(err, actors.ErrNotFound) {
				return err
			}
			return c.OK()
		}},
	}}
}

// route is a filter and a node that has subscribers of it.
type route struct {
	Topic string `json:"topic"`
	Node  string `json:"node"`
}

func (e *Env) topics() Command {
	return Command{"topics", []Form{
		{"topics list", "List all topics", func(ctx context.Context, c *Call) error {
			b, err := e.broker()
			if err != nil {
				return err
			}
			l := list{c: c}
			b.Routes(func(r router.Route) bool {
				if err = ctx.Err(); err == nil {
					err = l.add(route{r.Topic, e.Name}, "%s -> %s", r.Topic, e.Name)
				}
				return err == nil
			})
			if err != nil {
				return err
			}
			return l.end("No topics.")
		}},
		{"topics show <Topic>", "Show a topic", func(_ context.Context, c *Call) error {
			b, err := e.broker()
			if err != nil {
				return err
			}
			p, err := topic.ParseFilter(c.Args[0])
			if err != nil {
				return c.Fail("Bad topic: %s", err)
			}
			found := false
			b.Subscribers(p.Filter, func(s *router.Subscription) {
				found = found || s.Group == p.Group
			})
			if !found {
				return c.Fail("Not Found.")
			}
			return c.Answer([]route{{c.Args[0], e.Name}}, "%s -> %s", c.Args[0], e.Name)
		}},
	}}
}

// subscription is one filter of one client.
type subscription struct {
	ClientID          string `json:"clientid"`
	Topic             string `json:"topic"`
	QoS               byte   `json:"qos"`
	NoLocal           int    `json:"nl"`
	RetainHandling    byte   `json:"rh"`
	RetainAsPublished int    `json:"rap"`
	ID                uint32 `json:"subid,omitempty"`
	Node              string `json:"node"`
}

func (e *Env) addSubscriptions(l *list, id string, in session.Info) error {
	for _, s := range in.Subscriptions {
		sub := subscription{
			ClientID: id, Topic: s.Raw, QoS: s.QoS, NoLocal: bit(s.NoLocal), RetainHandling: s.RetainHandling,
			RetainAsPublished: bit(s.RetainAsPublished), ID: s.ID, Node: e.Name,
		}
		if err := l.add(sub, "%s -> topic:%s qos:%d nl:%d rh:%d rap:%d",
			id, sub.Topic, sub.QoS, sub.NoLocal, sub.RetainHandling, sub.RetainAsPublished); err != nil {
			return err
		}
	}
	return nil
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (e *Env) subscriptions() Command {
	return Command{"subscriptions", []Form{
		{"subscriptions list", "List all subscriptions", func(ctx context.Context, c *Call) error {
			b, err := e.broker()
			if err != nil {
				return err
			}
			l := list{c: c}
			if err := eachSession(ctx, b, func(id string, in session.Info) error {
				return e.addSubscriptions(&l, id, in)
			}); err != nil {
				return err
			}
			return l.end("No subscriptions.")
		}},
		{"subscriptions show <ClientId>", "Show subscriptions of a client", func(ctx context.Context, c *Call) error {
			b, err := e.broker()
			if err != nil {
				return err
			}
			_, in, ok, err := find(ctx, b, c.Args[0])
			if err != nil {
				return err
			}
			if !ok {
				return c.Fail("Not Found.")
			}
			l := list{c: c}
			if err := e.addSubscriptions(&l, c.Args[0], in); err != nil {
				return err
			}
			return l.end("No subscriptions.")
		}},
		{"subscriptions add <ClientId> <Topic> <QoS>", "Add a static subscription manually", e.subscribe},
		{"subscriptions del <ClientId> <Topic>", "Delete a static subscription manually", func(ctx context.Context, c *Call) error {
			b, err := e.broker()
			if err != nil {
				return err
			}
			s, err := b.Session(c.Args[0])
			if errors.Is(err, actors.ErrNotFound) {
				return c.Fail("Error: Channel not found!")
			}
			if err == nil {
				err = s.RemoveSubscription(ctx, c.Args[1])
			}
			if err != nil {
				return err
			}
			return c.OK()
		}},
	}}
}

func (e *Env) subscribe(ctx context.Context, c *Call) error {
	b, err := e.broker()
	if err != nil {
		return err
	}
	if !strings.Contains(" 0 1 2 ", " "+c.Args[2]+" ") {
		return c.Fail("QoS should be 0, 1, 2")
	}
	p, err := topic.ParseFilter(c.Args[1])
	if err != nil {
		return c.Fail("Error: %s", err)
	}
	s, err := b.Session(c.Args[0])
	if errors.Is(err, actors.ErrNotFound) {
		return c.Fail("Error: Channel not found!")
	}
	if err != nil {
		return err
	}
	req := session.SubscribeRequest{Codes: make([]byte, 1), Subs: []*router.Subscription{{
		Raw: c.Args[1], Filter: p.Filter, Group: p.Group, Exclusive: p.Kind == topic.Exclusive,
		Options: router.Options{QoS: c.Args[2][0] - '0'},
	}}}
	if err := s.AddSubscription(ctx, req); err != nil {
		return err
	}
	if code := req.Codes[0]; code >= 0x80 {
		return c.Fail("Error: refused with reason code 0x%02X", code)
	}
	return c.OK()
}

func (e *Env) exclusive() Command {
	each := func(ctx context.Context, do func(id string, s *router.Subscription) error) error {
		b, err := e.broker()
		if err != nil {
			return err
		}
		return eachSession(ctx, b, func(id string, in session.Info) error {
			for _, s := range in.Subscriptions {
				if s.Exclusive {
					if err := do(id, s); err != nil {
						return err
					}
				}
			}
			return nil
		})
	}
	return Command{"exclusive", []Form{
		{"exclusive list", "List all exclusive topics", func(ctx context.Context, c *Call) error {
			l := list{c: c}
			if err := each(ctx, func(id string, s *router.Subscription) error {
				return l.add(map[string]string{"topic": string(s.Filter), "clientid": id}, "topic:%s -> ClientId:%s", s.Filter, id)
			}); err != nil {
				return err
			}
			return l.end("No topics.")
		}},
		{"exclusive delete <Topic>", "Delete an exclusive topic", func(ctx context.Context, c *Call) error {
			if err := each(ctx, func(id string, s *router.Subscription) error {
				if string(s.Filter) != c.Args[0] {
					return nil
				}
				b, err := e.broker()
				if err != nil {
					return err
				}
				owner, err := b.Session(id)
				if err != nil {
					return err
				}
				return owner.RemoveSubscription(ctx, s.Raw)
			}); err != nil {
				return err
			}
			return c.OK()
		}},
	}}
}

func (e *Env) publish() Command {
	run := func(ctx context.Context, c *Call) error {
		b, err := e.broker()
		if err != nil {
			return err
		}
		m := &message.Message{Topic: c.Args[0], Payload: []byte(c.Args[1])}
		switch qos := c.Arg(2, "0"); qos {
		case "0", "1", "2":
			m.QoS = qos[0] - '0'
		default:
			return c.Fail("QoS should be 0, 1, 2")
		}
		switch retain := c.Arg(3, "false"); retain {
		case "true", "retain", "1":
			m.Retain = true
		case "false", "0":
		default:
			return c.Fail("Invalid bool argument: %s", retain)
		}
		n, err := b.Publish(ctx, m)
		if errors.Is(err, actors.ErrBadTopic) {
			return c.Fail("%s", err)
		}
		if err != nil {
			return err
		}
		return c.Answer(map[string]int{"subscribers": n}, "ok")
	}
	return Command{"publish", []Form{
		{"publish <Topic> <Payload> [<QoS>] [<Retain>]", "Publish a message; QoS 0 and not retained if left out", run},
	}}
}

// maxTopics is how many topics retainer topics shows where no limit is given.
const maxTopics = 1000

func (e *Env) retainer() Command {
	clean := func(ctx context.Context, c *Call) error {
		b, err := e.broker()
		if err != nil {
			return err
		}
		n, err := b.Retained().Clean(ctx, topic.Filter(c.Arg(0, "")))
		if err != nil {
			return err
		}
		return c.Answer(map[string]int{"deleted": n}, "ok")
	}
	topics := func(_ context.Context, c *Call) error {
		b, err := e.broker()
		if err != nil {
			return err
		}
		start, err1 := strconv.Atoi(c.Arg(0, "0"))
		limit, err2 := strconv.Atoi(c.Arg(1, strconv.Itoa(maxTopics)))
		if err := errors.Join(err1, err2); err != nil || start < 0 || limit < 0 {
			return c.Fail("Start and Limit must be numbers from 0")
		}
		l := list{c: c}
		for _, name := range b.Retained().Topics(start, limit) {
			if err := l.add(name, "%s", name); err != nil {
				return err
			}
		}
		return l.end("")
	}
	return Command{"retainer", []Form{
		{"retainer info", "Show the count of retained messages", func(_ context.Context, c *Call) error {
			b, err := e.broker()
			if err != nil {
				return err
			}
			n := b.Retained().Count()
			return c.Answer(map[string]int{"count": n}, "Number of retained messages: %d", n)
		}},
		{"retainer topics", "Show the topics of the first 1000 retained messages, in order", topics},
		{"retainer topics <Start> <Limit>", "Show topics of retained messages: Limit of them, after the first Start", topics},
		{"retainer clean", "Delete all retained messages", clean},
		{"retainer clean <Topic>", "Delete the retained messages that a topic filter matches", clean},
	}}
}

func (e *Env) authn() Command {
	add := func(ctx context.Context, c *Call) error {
		super := c.Arg(2, "")
		if super != "" && super != "superuser" {
			return c.Fail("Invalid argument: %s (superuser or nothing)", super)
		}
		if err := e.Users.Add(ctx, c.Args[0], c.Args[1], super != ""); err != nil {
			return c.Fail("%s", err)
		}
		return c.OK()
	}
	inUse := func(run func(ctx context.Context, c *Call) error) func(ctx context.Context, c *Call) error {
		return func(ctx context.Context, c *Call) error {
			if e.Users == nil {
				return c.Fail("No user file is in use; name one in the configuration: authentication = [{backend = file, path = ...}]")
			}
			return run(ctx, c)
		}
	}
	return Command{"authn", []Form{
		{"authn users list", "List the users of the user file", inUse(func(_ context.Context, c *Call) error {
			l := list{c: c}
			for _, u := range e.Users.List() {
				text := u.Name
				if u.Superuser {
					text += " (superuser)"
				}
				if err := l.add(u, "%s", text); err != nil {
					return err
				}
			}
			return l.end("No users.")
		})},
		{"authn users add <User> <Password> [<superuser>]", "Add a user to the user file", inUse(add)},
		{"authn users del <User>", "Delete a user from the user file", inUse(func(_ context.Context, c *Call) error {
			if err := e.Users.Delete(c.Args[0]); err != nil {
				return c.Fail("%s", err)
			}
			return c.OK()
		})},
	}}
}
