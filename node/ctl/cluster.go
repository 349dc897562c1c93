package ctl

import (
	"context"
	"strings"

	"ermine/node/cluster"
)

// cluster shows the cluster that the node belongs to. A node that has joined no
// other is a cluster of its own.
func (e *Env) cluster() Command {
	return Command{"cluster", []Form{
		{"cluster status", "Cluster status", func(_ context.Context, c *Call) error {
			running := []cluster.NodeName{cluster.NodeName(e.Name)}
			text := cluster.StatusText(running, nil)
			if c.JSON {
				text = cluster.StatusJSON(running, nil)
			}
			return c.Printf("%s", strings.TrimSuffix(text, "\n"))
		}},
	}}
}
