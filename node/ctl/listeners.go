package ctl

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

func (e *Env) listeners() Command {
	show := func(_ context.Context, c *Call) error {
		all, err := e.Listeners.List()
		if err != nil {
			return err
		}
		if c.JSON {
			return c.Encode(all)
		}
		for _, l := range all {
			if err := writeListener(c, l); err != nil {
				return err
			}
		}
		return nil
	}
	return Command{"listeners", []Form{
		{"listeners", "List listeners", show},
		{"listeners list", "List listeners", show},
		{"listeners start <Identifier>", "Start a listener", func(_ context.Context, c *Call) error {
			return e.listener(c, "start", "Started", e.Listeners.Start)
		}},
		{"listeners stop <Identifier>", "Stop a listener", func(ctx context.Context, c *Call) error {
			return e.listener(c, "stop", "Stop", func(id string) error { return e.Listeners.Stop(ctx, id) })
		}},
		{"listeners restart <Identifier>", "Restart a listener", func(ctx context.Context, c *Call) error {
			return e.listener(c, "restart", "Restarted", func(id string) error { return e.Listeners.Restart(ctx, id) })
		}},
		{"listeners enable <Identifier> <true/false>", "Enable or disable a listener, until the node is restarted", func(ctx context.Context, c *Call) error {
			on := c.Args[1] == "true"
			if !on && c.Args[1] != "false" {
				return c.Fail("Invalid bool argument: %s", c.Args[1])
			}
			if err := e.Listeners.Enable(ctx, c.Args[0], on); err != nil {
				return e.listenerFailed(c, "enable", err)
			}
			return c.Answer(map[string]bool{"enable": on}, "Updated 'enable' to: '%t' successfully.", on)
		}},
	}}
}

// ErrNoListener is returned by Listeners for an id that there is not.
var ErrNoListener = errors.New("invalid listener")

func (e *Env) listener(c *Call, verb, done string, do func(id string) error) error {
	if err := do(c.Args[0]); err != nil {
		return e.listenerFailed(c, verb, err)
	}
	return c.Answer(map[string]string{"result": "ok"}, "%s %s listener successfully.", done, c.Args[0])
}

func (e *Env) listenerFailed(c *Call, verb string, err error) error {
	if errors.Is(err, ErrNoListener) {
		return c.Fail("Invalid listener: %s", c.Args[0])
	}
	return c.Fail("Failed to %s %s listener: %s", verb, c.Args[0], err)
}

// writeListener writes EMQX's block of one listener.
func writeListener(c *Call, l Listener) error {
	if err := c.Printf("%s", l.ID); err != nil {
		return err
	}
	limit := "infinity"
	if l.MaxConns > 0 {
		limit = fmt.Sprint(l.MaxConns)
	}
	facts := [][2]string{
		{"listen_on", l.ListenOn},
		{"acceptors", fmt.Sprint(l.Acceptors)},
		{"proxy_protocol", fmt.Sprint(l.ProxyProtocol)},
		{"enable", fmt.Sprint(l.Enable)},
		{"running", fmt.Sprint(l.Running)},
	}
	if l.Running {
		facts = append(facts, [2]string{"current_conn", fmt.Sprint(l.CurrentConn)}, [2]string{"max_conns", limit})
	}
	if len(l.ShutdownCount) > 0 {
		var counts []string
		for _, reason := range slices.Sorted(maps.Keys(l.ShutdownCount)) {
			counts = append(counts, fmt.Sprintf("{%s,%d}", reason, l.ShutdownCount[reason]))
		}
		facts = append(facts, [2]string{"shutdown_count", "[" + strings.Join(counts, ",") + "]"})
	}
	for _, f := range facts {
		if err := c.Printf("  %-16s: %s", f[0], f[1]); err != nil {
			return err
		}
	}
	return nil
}
