package mqtt

import (
	"context"
	"errors"
	"log/slog"

	"ermine/mqtt/hook"
	"ermine/mqtt/listener"
)

// Config composes a Server.
type Config struct {
	Logger    *slog.Logger
	Hook      hook.Config
	Listeners []listener.Config
}

// Server is all listeners of a node with the MQTT server behind them. Its
// methods may be called by any goroutine.
type Server struct {
	set  *listener.Set
	hook *hook.Hook
}

// New prepares a server and reports everything that is wrong with its
// configuration. It opens nothing.
func New(conf Config) (*Server, error) {
	h, errHook := hook.New(conf.Hook)
	set, errSet := listener.NewSet(conf.Listeners, conf.Logger)
	if err := errors.Join(errHook, errSet); err != nil {
		return nil, err
	}
	return &Server{set: set, hook: h}, nil
}

// Start opens all enabled listeners and begins to accept. If one cannot be
// opened, none stays open. Sessions can be opened from then on.
func (s *Server) Start() error {
	if err := s.set.Listen(); err != nil {
		return err
	}
	s.set.Serve(s.hook.Establish)
	return nil
}

// Drain stops accepting on all listeners. The connections stay.
func (s *Server) Drain() { s.set.Drain() }

// Stop ends everything for good: no new connections, DISCONNECT 0x8B to MQTT 5
// clients, output flushed. It returns when all connections have gone and their
// sessions have been told, after some seconds at most.
func (s *Server) Stop() { s.set.Close(nil) }

// Listeners is the state of all listeners, by type and name.
func (s *Server) Listeners() []listener.Status { return s.set.Status() }

// Listener is the state of one, by id such as "tcp:default". Errors:
// listener.ErrNotFound.
func (s *Server) Listener(id string) (listener.Status, error) {
	l, err := s.set.Get(id)
	if err != nil {
		return listener.Status{}, err
	}
	return l.Status(), nil
}

// StartListener opens a listener that is not running, also one that is not
// enabled. Errors: listener.ErrNotFound, listener.ErrAlreadyRunning, or why its
// address cannot be bound.
func (s *Server) StartListener(id string) error { return s.set.Start(id) }

// StopListener stops a listener and ends its connections with DISCONNECT 0x8B;
// it waits for them until ctx ends, when it aborts the rest. Errors:
// listener.ErrNotFound, listener.ErrNotRunning.
func (s *Server) StopListener(ctx context.Context, id string) error { return s.set.Stop(ctx, id) }

// RestartListener is StopListener, if it is running, and StartListener.
func (s *Server) RestartListener(ctx context.Context, id string) error { return s.set.Restart(ctx, id) }

// Connections is the number of connections, those in a handshake included.
func (s *Server) Connections() int { return s.set.Connections() }
