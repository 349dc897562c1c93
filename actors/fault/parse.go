package fault

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Parse reads a Spec's text form:
//
//	spec   = action { clause }
//	action = "panic" | "error" | "exit" | "delay" duration
//	clause = percentage | "once" | "on" N | "times" N | "after" duration
//
// such as "panic once", "panic 10%", "error on 3 times 2", "delay 20ms 50%",
// "panic after 5ms". "once" is "times 1"; "after" delays a panic, an error or
// an exit. Words are separated by blanks; each clause may stand once.
func Parse(text string) (Spec, error) {
	s, err := parse(strings.Fields(text))
	if err != nil {
		return Spec{}, fmt.Errorf("%w: %q: %w", ErrBadSpec, text, err)
	}
	return s, nil
}

func parse(words []string) (s Spec, err error) {
	next := func(what string) (string, error) {
		if len(words) == 0 {
			return "", errors.New(what + " is missing")
		}
		w := words[0]
		words = words[1:]
		return w, nil
	}
	seen := make(map[string]bool)
	once := func(clause string) error {
		if seen[clause] {
			return fmt.Errorf("%s stands twice", clause)
		}
		seen[clause] = true
		return nil
	}
	word, err := next("the action")
	if err != nil {
		return s, err
	}
	switch word {
	case "panic":
		s.Action = Panic
	case "error":
		s.Action = Error
	case "exit":
		s.Action = Exit
	case "delay":
		s.Action = Delay
		if s.Delay, err = duration(next); err != nil {
			return s, err
		}
	default:
		return s, fmt.Errorf("unknown action %q (panic, error, exit, delay)", word)
	}
	for len(words) > 0 {
		word, _ = next("")
		switch {
		case word == "once":
			if err := once("times"); err != nil {
				return s, err
			}
			s.Times = 1
		case word == "on", word == "times":
			if err := once(word); err != nil {
				return s, err
			}
			w, err := next("the number after " + word)
			if err != nil {
				return s, err
			}
			n, err := strconv.ParseUint(w, 10, 64)
			if err != nil || n == 0 {
				return s, fmt.Errorf("%s %q: not a number from 1 up", word, w)
			}
			if word == "on" {
				s.OnNth = n
			} else {
				s.Times = n
			}
		case word == "after" && s.Action != Delay:
			if err := once(word); err != nil {
				return s, err
			}
			if s.Delay, err = duration(next); err != nil {
				return s, err
			}
		case strings.HasSuffix(word, "%"):
			if err := once("percentage"); err != nil {
				return s, err
			}
			p, err := strconv.ParseFloat(strings.TrimSuffix(word, "%"), 64)
			if err != nil || !(p > 0 && p <= 100) {
				return s, fmt.Errorf("%q is no percentage above 0", word)
			}
			s.Probability = p / 100
		default:
			return s, fmt.Errorf("unknown clause %q (once, on N, times N, N%%, after TIME)", word)
		}
	}
	return s, s.normalize()
}

func duration(next func(string) (string, error)) (time.Duration, error) {
	w, err := next("the time")
	if err != nil {
		return 0, err
	}
	d, err := time.ParseDuration(w)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%q is no time above 0", w)
	}
	return d, nil
}

// String is the text form of a Spec, without Match and Err, which have none.
func (s Spec) String() string {
	var b strings.Builder
	b.WriteString(s.Action.String())
	switch {
	case s.Action == Delay:
		b.WriteString(" " + s.Delay.String())
	case s.Delay > 0:
		b.WriteString(" after " + s.Delay.String())
	}
	if s.OnNth > 0 {
		fmt.Fprintf(&b, " on %d", s.OnNth)
	}
	if s.Times > 0 {
		fmt.Fprintf(&b, " times %d", s.Times)
	}
	if s.Probability > 0 && s.Probability < 1 {
		b.WriteString(" " + strconv.FormatFloat(s.Probability*100, 'g', -1, 64) + "%")
	}
	return b.String()
}

// ArmText arms points by text: one "name=spec", or several with ";" between,
// as a command or the environment gives them. Either all are armed, or none
// and the error names the first mistake. disarm takes them all back.
func ArmText(text string) (disarm func(), err error) {
	var undo []func()
	disarm = func() {
		for _, f := range undo {
			f()
		}
	}
	for item := range strings.SplitSeq(text, ";") {
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		name, spec, ok := strings.Cut(item, "=")
		if !ok {
			disarm()
			return nil, fmt.Errorf("%w: %q is not name=spec", ErrBadSpec, item)
		}
		s, err := Parse(spec)
		if err != nil {
			disarm()
			return nil, err
		}
		f, err := Arm(strings.TrimSpace(name), s)
		if err != nil {
			disarm()
			return nil, err
		}
		undo = append(undo, f)
	}
	return disarm, nil
}
