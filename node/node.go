package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"ermine/actors/kernel"
)

// Options are what a node is started with.
type Options struct {
	// Name is the node's full name, short@host.
	Name   string
	Logger *slog.Logger
	// Children are the parts of the node in boot order; they are stopped in
	// reverse.
	Children []Child
}

// Node is a running node.
type Node struct {
	opts     Options
	services []Service

	once sync.Once
	done chan struct{}
	err  error
}

// Start boots the children in order. If one fails, those before it are stopped.
func Start(ctx context.Context, opts Options) (*Node, error) {
	n := &Node{opts: opts, done: make(chan struct{})}
	for _, c := range opts.Children {
		s := c.New()
		if err := s.Start(ctx); err != nil {
			err = fmt.Errorf("start %s: %w", c.Name, err)
			return nil, errors.Join(err, n.Stop(ctx))
		}
		n.services = append(n.services, s)
		if done := s.Done(); done != nil {
			go func() {
				select {
				case <-done:
					n.end(fmt.Errorf("%s: %w", c.Name, s.Err()))
				case <-n.done:
				}
			}()
		}
	}
	return n, nil
}

func (n *Node) end(err error) {
	n.once.Do(func() {
		n.err = err
		close(n.done)
	})
}

// Stop stops the children in reverse boot order.
func (n *Node) Stop(ctx context.Context) error {
	n.end(nil)
	var errs []error
	for i := len(n.services) - 1; i >= 0; i-- {
		errs = append(errs, n.services[i].Stop(ctx))
	}
	return errors.Join(errs...)
}

// Done is closed when the node has failed or is being stopped.
func (n *Node) Done() <-chan struct{} { return n.done }

// Err says why the node has failed.
func (n *Node) Err() error { return n.err }

// Tree is the live tree of the node's processes.
func (n *Node) Tree(int) []kernel.TreeNode { return nil }
