package main

import (
	"maps"
	"slices"
	"strings"

	"ermine/actors"
	"ermine/actors/kernel"
	"ermine/node/config"
	"ermine/node/ctl"
)

// env is what the control commands are told and may change.
func (r *runtime) env(debug bool) ctl.Env {
	e := ctl.Env{
		Name: r.settings.Node.Name, Version: version, Description: product, Started: r.started,
		State:     func() string { return *r.state.Load() },
		Tree:      r.tree,
		Broker:    func() *actors.Broker { return r.broker.Load() },
		Metrics:   r.metrics,
		Listeners: listeners{r},
		Logs:      r.log,
		Conf:      conf{r.settings.Config},
		Debug:     debug,
	}
	if len(r.access.users) > 0 {
		e.Users = userFile{r.access.users[0]}
	}
	return e
}

// tree is the live tree; empty until the node is there.
func (r *runtime) tree(limit int) []kernel.TreeNode {
	if n := r.node.Load(); n != nil {
		return n.Tree(limit)
	}
	return nil
}

// conf makes the configuration the commands' Conf.
type conf struct{ cfg *config.Config }

// Show implements ctl.Conf.
func (c conf) Show(path string) []byte { return config.Dump(c.cfg, path, false) }

// Keys implements ctl.Conf.
func (c conf) Keys() []string {
	roots := map[string]bool{}
	for _, k := range config.Keys() {
		if k.Effect == config.Works {
			root, _, _ := strings.Cut(k.Path, ".")
			roots[root] = true
		}
	}
	return slices.Sorted(maps.Keys(roots))
}
