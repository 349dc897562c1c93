package logs

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
)

// ErrUnknownLevel is returned by ParseLevel for a word that is no level.
var ErrUnknownLevel = errors.New("invalid level")

// The levels that slog has no constant for.
const (
	LevelNotice    = slog.LevelInfo + 2
	LevelCritical  = slog.LevelError + 2
	LevelAlert     = slog.LevelError + 4
	LevelEmergency = slog.LevelError + 6
)

// levels in ascending order.
var levels = []struct {
	level slog.Level
	word  string
}{
	{slog.LevelDebug, "debug"},
	{slog.LevelInfo, "info"},
	{LevelNotice, "notice"},
	{slog.LevelWarn, "warning"},
	{slog.LevelError, "error"},
	{LevelCritical, "critical"},
	{LevelAlert, "alert"},
	{LevelEmergency, "emergency"},
}

// ParseLevel reads a level's word. ErrUnknownLevel names the words there are.
func ParseLevel(word string) (slog.Level, error) {
	var known []string
	for _, l := range levels {
		if l.word == word {
			return l.level, nil
		}
		known = append(known, l.word)
	}
	return 0, fmt.Errorf("%w: %s (one of %s)", ErrUnknownLevel, word, strings.Join(known, ", "))
}

// Word is the name of the highest level that is not above l.
func Word(l slog.Level) string {
	word := levels[0].word
	for _, known := range levels {
		if known.level <= l {
			word = known.word
		}
	}
	return word
}
