package listener

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"github.com/mochi-mqtt/server/v2/listeners"
)

// Set is all listeners of a node. Its methods may be called from any goroutine.
type Set struct {
	log *slog.Logger

	mu   sync.Mutex
	byID map[string]*Listener
	// establish is kept for listeners that are started later; nil before Serve.
	establish listeners.EstablishFn
}

// NewSet prepares listeners from their configurations, disabled ones included, and
// reports everything that is wrong with any of them. It opens nothing.
func NewSet(confs []Config, log *slog.Logger) (*Set, error) {
	s := &Set{log: log, byID: make(map[string]*Listener)}
	var errs []error
	for _, conf := range confs {
		if _, ok := s.byID[conf.ID()]; ok {
			errs = append(errs, fmt.Errorf("listeners.%s.%s: defined twice", conf.Type, conf.Name))
			continue
		}
		l, err := New(conf, log)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		s.byID[l.ID()] = l
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return s, nil
}

// Listen opens the sockets of all enabled listeners. If one cannot be opened, none
// stays open, and all that went wrong is reported.
func (s *Set) Listen() error {
	var errs []error
	var opened []*Listener
	for _, l := range s.All() {
		if !l.enabled.Load() {
			continue
		}
		if err := l.Init(nil); err != nil {
			errs = append(errs, err)
			continue
		}
		opened = append(opened, l)
	}
	if err := errors.Join(errs...); err != nil {
		for _, l := range opened {
			_ = l.Drain() // what is reported is why
		}
		return err
	}
	return nil
}

// Serve accepts connections on all listeners that are open, and on those that are
// started later. It returns at once.
func (s *Set) Serve(establish listeners.EstablishFn) {
	s.mu.Lock()
	s.establish = establish
	s.mu.Unlock()
	for _, l := range s.All() {
		go l.Serve(establish)
	}
}

// Get returns the listener with this id, or ErrNotFound.
func (s *Set) Get(id string) (*Listener, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, ok := s.byID[id]
	if !ok {
		return nil, fmt.Errorf("%w: %q", ErrNotFound, id)
	}
	return l, nil
}

// All returns the listeners by type (tcp, ssl, ws, wss), then by name.
func (s *Set) All() []*Listener {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*Listener, 0, len(s.byID))
	for _, l := range s.byID {
		all = append(all, l)
	}
	order := []Type{TCP, SSL, WS, WSS}
	slices.SortFunc(all, func(a, b *Listener) int {
		if d := slices.Index(order, a.conf.Type) - slices.Index(order, b.conf.Type); d != 0 {
			return d
		}
		return strings.Compare(a.conf.Name, b.conf.Name)
	})
	return all
}

// Status is the state of all listeners, in the order of All.
func (s *Set) Status() []Status {
	all := s.All()
	out := make([]Status, len(all))
	for i, l := range all {
		out[i] = l.Status()
	}
	return out
}

// Start opens the listener with this id, also one that is not enabled.
func (s *Set) Start(id string) error {
	l, err := s.Get(id)
	if err != nil {
		return err
	}
	return l.Start()
}

// Stop stops the listener with this id and ends its connections, see
// Listener.Stop.
func (s *Set) Stop(ctx context.Context, id string) error {
	l, err := s.Get(id)
	if err != nil {
		return err
	}
	return l.Stop(ctx)
}

// Restart stops the listener with this id, if it runs, and starts it.
func (s *Set) Restart(ctx context.Context, id string) error {
	l, err := s.Get(id)
	if err != nil {
		return err
	}
	return l.Restart(ctx)
}

// Enable switches the listener with this id on or off, until the node restarts:
// its configuration says what it is then. Switched on it is started, switched off it
// is stopped, see Stop; it may be so already.
func (s *Set) Enable(ctx context.Context, id string, enable bool) error {
	l, err := s.Get(id)
	if err != nil {
		return err
	}
	if enable {
		err = l.Start()
	} else {
		err = l.Stop(ctx)
	}
	if err != nil && !errors.Is(err, ErrAlreadyRunning) && !errors.Is(err, ErrNotRunning) {
		return err
	}
	l.enabled.Store(enable)
	return nil
}

// Drain stops accepting on all listeners. The connections stay.
func (s *Set) Drain() {
	for _, l := range s.All() {
		_ = l.Drain() // one that is not running is drained
	}
}

// Close ends all listeners for good, side by side, see Listener.Close.
func (s *Set) Close(closeClients listeners.CloseFn) {
	var wg sync.WaitGroup
	for _, l := range s.All() {
		wg.Go(func() { l.Close(closeClients) })
	}
	wg.Wait()
}

// Connections is the number of connections on all listeners, those in handshake
// included.
func (s *Set) Connections() int {
	n := 0
	for _, l := range s.All() {
		n += int(l.current.Load())
	}
	return n
}
