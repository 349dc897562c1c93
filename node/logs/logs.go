package logs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"
)

// ErrNoHandler is returned for a handler id that the log does not have.
var ErrNoHandler = errors.New("no such log handler")

// HandlerConfig describes one handler.
type HandlerConfig struct {
	ID          string
	Destination string // as shown to operators: a path, or "console"
	Writer      io.Writer
	Level       slog.Level
	JSON        bool           // JSON lines instead of key=value text
	Location    *time.Location // of the times; nil is the system's
}

// Log is a set of handlers. Its methods may be called by any goroutine.
type Log struct {
	primary  slog.LevelVar
	handlers []*handler
}

type handler struct {
	conf    HandlerConfig
	level   slog.LevelVar
	stopped atomic.Bool
	slog    slog.Handler
}

// Handler is the state of one handler.
type Handler struct {
	ID          string `json:"id"`
	Level       string `json:"level"`
	Destination string `json:"destination"`
	Status      string `json:"status"` // started or stopped
}

// New makes a log. The primary level is the lowest of the handlers' levels; a log
// without handlers discards everything.
func New(confs ...HandlerConfig) *Log {
	l := &Log{}
	l.primary.Set(LevelEmergency)
	for _, conf := range confs {
		if conf.Location == nil {
			conf.Location = time.Local
		}
		h := &handler{conf: conf}
		h.level.Set(conf.Level)
		opts := &slog.HandlerOptions{Level: &h.level, ReplaceAttr: h.replace}
		if conf.JSON {
			h.slog = slog.NewJSONHandler(conf.Writer, opts)
		} else {
			h.slog = slog.NewTextHandler(conf.Writer, opts)
		}
		l.handlers = append(l.handlers, h)
		l.primary.Set(min(l.primary.Level(), conf.Level))
	}
	return l
}

// replace gives times their zone and levels their word.
func (h *handler) replace(groups []string, a slog.Attr) slog.Attr {
	if len(groups) > 0 {
		return a
	}
	switch a.Key {
	case slog.TimeKey:
		if t := a.Value.Time(); !t.IsZero() {
			return slog.String(slog.TimeKey, t.In(h.conf.Location).Format("2006-01-02T15:04:05.000Z07:00"))
		}
	case slog.LevelKey:
		if level, ok := a.Value.Any().(slog.Level); ok {
			return slog.String(slog.LevelKey, Word(level))
		}
	}
	return a
}

// Logger writes to the log.
func (l *Log) Logger() *slog.Logger {
	f := &fan{log: l}
	for _, h := range l.handlers {
		f.next = append(f.next, h.slog)
	}
	return slog.New(f)
}

// Primary is the level below which no handler is asked.
func (l *Log) Primary() slog.Level { return l.primary.Level() }

// SetPrimary sets the level below which no handler is asked.
func (l *Log) SetPrimary(level slog.Level) { l.primary.Set(level) }

// SetAll sets the primary level and that of every handler.
func (l *Log) SetAll(level slog.Level) {
	l.primary.Set(level)
	for _, h := range l.handlers {
		h.level.Set(level)
	}
}

// SetHandler sets the level of one handler, and lowers the primary level to it
// where that is higher. ErrNoHandler if there is none of that id.
func (l *Log) SetHandler(id string, level slog.Level) error {
	h, err := l.find(id)
	if err != nil {
		return err
	}
	h.level.Set(level)
	if level < l.primary.Level() {
		l.primary.Set(level)
	}
	return nil
}

// Enable starts or stops a handler. ErrNoHandler if there is none of that id.
func (l *Log) Enable(id string, on bool) error {
	h, err := l.find(id)
	if err != nil {
		return err
	}
	h.stopped.Store(!on)
	return nil
}

func (l *Log) find(id string) (*handler, error) {
	i := slices.IndexFunc(l.handlers, func(h *handler) bool { return h.conf.ID == id })
	if i < 0 {
		return nil, fmt.Errorf("%w: %s", ErrNoHandler, id)
	}
	return l.handlers[i], nil
}

// Handlers are the handlers in the order given to New.
func (l *Log) Handlers() []Handler {
	list := make([]Handler, 0, len(l.handlers))
	for _, h := range l.handlers {
		status := "started"
		if h.stopped.Load() {
			status = "stopped"
		}
		list = append(list, Handler{
			ID: h.conf.ID, Level: Word(h.level.Level()), Destination: h.conf.Destination, Status: status,
		})
	}
	return list
}

// fan hands a record to all handlers. next[i] is log.handlers[i] with the
// attributes and groups of the logger.
type fan struct {
	log  *Log
	next []slog.Handler
}

// Enabled implements slog.Handler.
func (f *fan) Enabled(_ context.Context, level slog.Level) bool {
	if level < f.log.primary.Level() {
		return false
	}
	for _, h := range f.log.handlers {
		if level >= h.level.Level() && !h.stopped.Load() {
			return true
		}
	}
	return false
}

// Handle implements slog.Handler.
func (f *fan) Handle(ctx context.Context, r slog.Record) error {
	var errs []error
	for i, h := range f.log.handlers {
		if r.Level >= h.level.Level() && !h.stopped.Load() {
			errs = append(errs, f.next[i].Handle(ctx, r))
		}
	}
	return errors.Join(errs...)
}

// WithAttrs implements slog.Handler.
func (f *fan) WithAttrs(attrs []slog.Attr) slog.Handler {
	return f.with(func(h slog.Handler) slog.Handler { return h.WithAttrs(attrs) })
}

// WithGroup implements slog.Handler.
func (f *fan) WithGroup(name string) slog.Handler {
	return f.with(func(h slog.Handler) slog.Handler { return h.WithGroup(name) })
}

func (f *fan) with(change func(slog.Handler) slog.Handler) slog.Handler {
	g := &fan{log: f.log}
	for _, h := range f.next {
		g.next = append(g.next, change(h))
	}
	return g
}
