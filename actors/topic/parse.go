package topic

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// The prefixes of a subscription or publish that are no part of the filter or
// name itself.
const (
	SharePrefix     = "$share/"
	QueuePrefix     = "$queue/"
	ExclusivePrefix = "$exclusive/"
	DelayedPrefix   = "$delayed/"
)

// QueueGroup is the share group of every $queue/<filter> subscription.
const QueueGroup = "$queue"

// Kind tells how a subscription takes part in deliveries.
type Kind uint8

const (
	// Plain: every subscriber gets every message.
	Plain Kind = iota
	// Share: $share/<group>/<filter>, one member of the group gets a message.
	Share
	// Queue: $queue/<filter>, a share group named QueueGroup.
	Queue
	// Exclusive: $exclusive/<filter>, one subscriber in the whole cluster.
	Exclusive
)

// String returns the kind's name for logs and listings.
func (k Kind) String() string {
	switch k {
	case Plain:
		return "plain"
	case Share:
		return "share"
	case Queue:
		return "queue"
	case Exclusive:
		return "exclusive"
	default:
		return "kind(" + strconv.Itoa(int(k)) + ")"
	}
}

// Parsed is a subscription's Topic Filter taken apart.
type Parsed struct {
	Kind     Kind
	Group    string // the ShareName of Share, QueueGroup of Queue, else empty
	Filter   Filter // without the prefix
	Wildcard bool   // Filter.HasWildcard
}

// Shared reports whether the subscription belongs to a share group. Two shared
// subscriptions with equal Group and Filter are members of one group.
func (p Parsed) Shared() bool { return p.Kind == Share || p.Kind == Queue }

// String returns the text that ParseFilter took apart.
func (p Parsed) String() string {
	switch p.Kind {
	case Share:
		return SharePrefix + p.Group + "/" + string(p.Filter)
	case Queue:
		return QueuePrefix + string(p.Filter)
	case Exclusive:
		return ExclusivePrefix + string(p.Filter)
	default:
		return string(p.Filter)
	}
}

// ParseFilter checks the Topic Filter of a SUBSCRIBE or UNSUBSCRIBE and takes
// it apart. The error wraps one of this package's sentinels. Whether shared
// and exclusive subscriptions are allowed is the caller's to decide.
//
// "$share", "$queue" and "$exclusive" without a slash are plain filters. A
// second prefix behind the first is refused (ErrNested).
func ParseFilter(s string) (Parsed, error) {
	p, err := parseFilter(s)
	if err != nil {
		return Parsed{}, fmt.Errorf("topic filter %s %w", quote(s), err)
	}
	return p, nil
}

func parseFilter(s string) (Parsed, error) {
	if len(s) > MaxLen { // the prefix counts too
		return Parsed{}, ErrTooLong
	}
	var p Parsed
	rest := s
	switch {
	case strings.HasPrefix(s, SharePrefix):
		group, filter, ok := strings.Cut(s[len(SharePrefix):], "/")
		if !ok || group == "" || strings.ContainsAny(group, "+#") { // [MQTT-4.8.2-1], [MQTT-4.8.2-2]
			return Parsed{}, ErrShareName
		}
		if err := validateText(group); err != nil {
			return Parsed{}, err
		}
		p.Kind, p.Group, rest = Share, group, filter
	case strings.HasPrefix(s, QueuePrefix):
		p.Kind, p.Group, rest = Queue, QueueGroup, s[len(QueuePrefix):]
	case strings.HasPrefix(s, ExclusivePrefix):
		p.Kind, rest = Exclusive, s[len(ExclusivePrefix):]
	}
	if err := validateFilter(rest); err != nil {
		return Parsed{}, err
	}
	if p.Kind != Plain && hasFilterPrefix(rest) {
		return Parsed{}, ErrNested
	}
	p.Filter = Filter(rest)
	p.Wildcard = p.Filter.HasWildcard()
	return p, nil
}

func hasFilterPrefix(s string) bool {
	return strings.HasPrefix(s, SharePrefix) || strings.HasPrefix(s, QueuePrefix) || strings.HasPrefix(s, ExclusivePrefix)
}

// MaxDelay is the longest delay of a $delayed/ publish. A number below it is a
// delay in seconds; any other is a Unix time in seconds.
const MaxDelay = 4294967 * time.Second

// Delayed is a publish to $delayed/<n>/<name>.
type Delayed struct {
	Name    Name  // where the message goes when it is due
	Seconds int64 // n: seconds from now below MaxDelay, else Unix time in seconds
}

// Absolute reports whether Seconds is a Unix time.
func (d Delayed) Absolute() bool { return d.Seconds >= int64(MaxDelay/time.Second) }

// Due returns when a message published at now is to be sent. It is not after
// now for a zero delay or a time in the past: then the message is sent at once.
// The error wraps ErrDelayTooFar when that is more than MaxDelay ahead.
func (d Delayed) Due(now time.Time) (time.Time, error) {
	if !d.Absolute() {
		return now.Add(time.Duration(d.Seconds) * time.Second), nil
	}
	if d.Seconds-now.Unix() > int64(MaxDelay/time.Second) {
		return time.Time{}, fmt.Errorf("delay until %d %w", d.Seconds, ErrDelayTooFar)
	}
	return time.Unix(d.Seconds, 0), nil
}

// ParseDelayed takes $delayed/<n>/<name> apart. ok is false, and nothing else
// set, for names without that prefix. n is decimal digits only; anything else
// is an error that wraps one of this package's sentinels.
func ParseDelayed(name string) (d Delayed, ok bool, err error) {
	rest, ok := strings.CutPrefix(name, DelayedPrefix)
	if !ok {
		return Delayed{}, false, nil
	}
	n, target, found := strings.Cut(rest, "/")
	seconds, perr := strconv.ParseUint(n, 10, 63)
	switch {
	case !found || perr != nil:
		return Delayed{}, true, fmt.Errorf("topic name %s %w", quote(name), ErrDelay)
	case strings.HasPrefix(target, DelayedPrefix):
		return Delayed{}, true, fmt.Errorf("topic name %s %w", quote(name), ErrNested)
	}
	if err := ValidateName(target); err != nil {
		return Delayed{}, true, err
	}
	return Delayed{Name: Name(target), Seconds: int64(seconds)}, true, nil
}
