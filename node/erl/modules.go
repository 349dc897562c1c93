package erl

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"

	"ergo.services/ergo/gen"

	"ermine/actors/router"
	"ermine/node/console"
	"ermine/node/dist/etf"
)

// ermine is the module of that name.
func (s *Services) ermine() Functions {
	return Functions{
		{"publish", 2}:     s.publish,
		{"publish", 3}:     s.publish,
		{"subscribe", 1}:   s.subscribe,
		{"subscribe", 2}:   s.subscribe,
		{"subscribe", 3}:   s.subscribe,
		{"unsubscribe", 1}: s.unsubscribe,
		{"unsubscribe", 2}: s.unsubscribe,
		{"topics", 0}:      s.topics,
		{"clients", 0}:     s.clients,
		{"info", 0}:        s.info,
	}
}

func (s *Services) publish(ctx context.Context, c *Call) (any, error) {
	return s.hub.publish(ctx, c.Caller, c.Args[0], c.Args[1], optional(etf.Tuple(c.Args), 2)), nil
}

// subscriberOf is the process that a call subscribes: the one named by an
// argument, or the caller.
func (s *Services) subscriberOf(c *Call, args []any) (pid gen.PID, rest []any, err error) {
	if n := len(args); n > 0 {
		if p, ok := args[n-1].(etf.Pid); ok {
			return s.net.PID(p), args[:n-1], nil
		}
	}
	if c.Caller == (gen.PID{}) {
		return gen.PID{}, nil, ErrBadArg
	}
	return c.Caller, args, nil
}

func (s *Services) subscribe(ctx context.Context, c *Call) (any, error) {
	pid, rest, err := s.subscriberOf(c, c.Args[1:])
	if err != nil || len(rest) > 1 {
		return nil, ErrBadArg
	}
	return answer(s.hub.subscribe(ctx, pid, c.Args[0], optional(etf.Tuple(rest), 0))), nil
}

func (s *Services) unsubscribe(_ context.Context, c *Call) (any, error) {
	pid, rest, err := s.subscriberOf(c, c.Args[1:])
	if err != nil || len(rest) > 0 {
		return nil, ErrBadArg
	}
	return answer(s.hub.unsubscribe(pid, c.Args[0])), nil
}

// topics are the filters that have subscribers on this node, in order.
func (s *Services) topics(context.Context, *Call) (any, error) {
	b := s.broker()
	if b == nil {
		return answer(errUnavailable), nil
	}
	var names []string
	b.Routes(func(r router.Route) bool {
		names = append(names, r.Topic)
		return true
	})
	return binaries(names), nil
}

// clients are the client IDs of the sessions of this node, in order.
func (s *Services) clients(context.Context, *Call) (any, error) {
	b := s.broker()
	if b == nil {
		return answer(errUnavailable), nil
	}
	var ids []string
	for c := range b.Sessions() {
		ids = append(ids, c.ClientID())
	}
	return binaries(ids), nil
}

func binaries(texts []string) etf.List {
	slices.Sort(texts)
	out := make(etf.List, len(texts))
	for i, t := range texts {
		out[i] = t
	}
	return out
}

func (s *Services) info(context.Context, *Call) (any, error) {
	m := etf.Map{
		{Key: etf.Atom("node"), Value: etf.Atom(s.net.Name())},
		{Key: etf.Atom("version"), Value: s.opts.Version},
		{Key: etf.Atom("nodes"), Value: s.nodes("connected")},
		{Key: etf.Atom("erlang"), Value: s.hub.info(gen.PID{})},
	}
	b := s.broker()
	m = m.Put(etf.Atom("running"), b != nil)
	if b == nil {
		return m, nil
	}
	sessions, connected, routes := 0, 0, 0
	for c := range b.Sessions() {
		sessions++
		if c.Online() {
			connected++
		}
	}
	b.Routes(func(router.Route) bool {
		routes++
		return true
	})
	return append(m,
		etf.Pair{Key: etf.Atom("uptime"), Value: int64(s.opts.Now().Sub(b.Started()).Seconds())},
		etf.Pair{Key: etf.Atom("sessions"), Value: sessions},
		etf.Pair{Key: etf.Atom("connected"), Value: connected},
		etf.Pair{Key: etf.Atom("topics"), Value: routes},
		etf.Pair{Key: etf.Atom("retained"), Value: b.Retained().Count()},
	), nil
}

// ermineCtl is the module ermine_ctl.
func (s *Services) ermineCtl() Functions {
	return Functions{
		{"run_command", 1}: s.runCommand,
		{"run_command", 2}: s.runCommand,
	}
}

// maxOutput bounds what run_command returns.
const maxOutput = 16 << 20

var errOutput = errors.New("output is too long")

// output keeps up to maxOutput bytes; beyond it the command fails.
type output struct{ bytes.Buffer }

func (o *output) Write(p []byte) (int, error) {
	if o.Len()+len(p) > maxOutput {
		return 0, errOutput
	}
	return o.Buffer.Write(p)
}

var _ io.Writer = (*output)(nil)

// runCommand runs ["cluster", "status"], cluster or "cluster status", or with
// two arguments cluster, ["status"]. It returns what the command prints, in a
// tuple with error if it has failed.
func (s *Services) runCommand(ctx context.Context, c *Call) (any, error) {
	args, err := commandWords(c.Args)
	if err != nil || len(args) == 0 {
		return nil, ErrBadArg
	}
	if s.opts.Commands == nil {
		return answer(errUnavailable), nil
	}
	s.log.Info("command of another node", "peer", string(c.Caller.Node), "command", console.Audit(args))
	var out output
	if err := s.opts.Commands.Run(ctx, args, false, &out); err != nil {
		if errors.Is(err, errOutput) {
			out.WriteString("\n... " + errOutput.Error() + "\n")
		}
		return errorTuple(out.Bytes()), nil
	}
	return out.Bytes(), nil
}

// commandWords reads the arguments of run_command. A list of texts is words; a
// single text is a line.
func commandWords(args etf.List) ([]string, error) {
	if len(args) == 1 {
		// ["clients", "list"] is a valid text too, as all nested lists of
		// characters are: words come first.
		if list, ok := etf.AsList(args[0]); ok && len(list) > 0 {
			if _, character := list[0].(int64); !character {
				return texts(args[0])
			}
		}
		if line, ok := etf.Text(args[0]); ok && line != "" {
			return console.Words(line)
		}
		return texts(args[0])
	}
	first, ok := etf.Text(args[0])
	if !ok {
		return nil, ErrBadArg
	}
	rest, err := texts(args[1])
	return append([]string{first}, rest...), err
}

func texts(term any) ([]string, error) {
	list, ok := etf.AsList(term)
	if !ok {
		return nil, ErrBadArg
	}
	words := make([]string, len(list))
	for i, t := range list {
		switch v := t.(type) {
		case int64:
			words[i] = decimal(int(v))
		default:
			if words[i], ok = etf.Text(t); !ok {
				return nil, ErrBadArg
			}
		}
	}
	return words, nil
}
