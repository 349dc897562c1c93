package dist

import (
	"context"
	"fmt"
	"log/slog"

	"ergo.services/ergo/gen"
)

// logBridge hands ergo's log lines to slog.
type logBridge struct{ log *slog.Logger }

// ergoLevel is the least level worth formatting.
func ergoLevel(log *slog.Logger) gen.LogLevel {
	ctx := context.Background()
	switch {
	case log.Enabled(ctx, slog.LevelDebug):
		return gen.LogLevelDebug
	case log.Enabled(ctx, slog.LevelInfo):
		return gen.LogLevelInfo
	case log.Enabled(ctx, slog.LevelWarn):
		return gen.LogLevelWarning
	default:
		return gen.LogLevelError
	}
}

// Log implements gen.LoggerBehavior. What ergo says at Info about connections
// is said by this package in its own words, so it goes down to Debug.
func (b *logBridge) Log(m gen.MessageLog) {
	level := slog.LevelDebug
	switch m.Level {
	case gen.LogLevelWarning:
		level = slog.LevelWarn
	case gen.LogLevelError, gen.LogLevelPanic:
		level = slog.LevelError
	default:
	}
	if !b.log.Enabled(context.Background(), level) {
		return
	}
	attrs := make([]slog.Attr, 0, 3+len(m.Fields))
	attrs = append(attrs, slog.String("msg_ergo", fmt.Sprintf(m.Format, m.Args...)))
	switch src := m.Source.(type) {
	case gen.MessageLogProcess:
		attrs = append(attrs, slog.String("pid", src.PID.String()))
		if src.Name != "" {
			attrs = append(attrs, slog.String("process", string(src.Name)))
		}
	case gen.MessageLogNetwork:
		attrs = append(attrs, slog.String("peer", string(src.Peer)))
	default:
	}
	for _, f := range m.Fields {
		attrs = append(attrs, slog.Any(f.Name, f.Value))
	}
	b.log.LogAttrs(context.Background(), level, "actor runtime", attrs...)
}

// Terminate implements gen.LoggerBehavior.
func (b *logBridge) Terminate() {}
