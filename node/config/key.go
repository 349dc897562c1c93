package config

import (
	"fmt"
	"strings"
	"time"
)

// Type is how a key's value is written, and which Go type it becomes.
type Type uint8

// The types. The comment names the Go type of the value.
const (
	TypeBool       Type = iota // bool: true, false, on, off
	TypeInt                    // int
	TypeFloat                  // float64
	TypePercent                // float64, 0 to 1: 80% or 0.8
	TypeDuration               // time.Duration: 1h30m, 500ms; a plain number counts milliseconds
	TypeSize                   // int64: bytes, 1MB, 4KB
	TypeRate                   // Rate: 1000/s, 100/10s
	TypeByteRate               // Rate: 10MB/s
	TypeString                 // string, or Secret for a secret
	TypePath                   // string: ${ERMINE_ETC_DIR} and the like are replaced
	TypeEnum                   // string: one of Allowed
	TypeBind                   // netip.AddrPort: 1883, 10.0.0.1:1883, [::1]:1883
	TypeAddr                   // netip.Addr, the zero one if empty
	TypeNodeName               // string: name@host
	TypeNodeNames              // []string
	TypeStrings                // []string: a list, or text with commas
	TypeInts                   // []int: likewise
	TypeNetworks               // []netip.Prefix: a list of addresses and networks
	TypeRules                  // []string: allow or deny, then an address, a network or all
	TypePriorities             // map[string]int: topic to priority
	TypeObjects                // a list of objects, whose fields are keys of their own
	TypeAny                    // anything, with everything below it
)

// Effect is what setting a key does in this release.
type Effect uint8

// The effects.
const (
	// Works: the key does what its doc line says.
	Works Effect = iota
	// NoEffect: the key tunes the Erlang VM or Erlang's sockets; there is
	// nothing here that it could change.
	NoEffect
	// Reserved: the key belongs to a feature that this release does not have.
	Reserved
)

// String names the effect for people.
func (e Effect) String() string {
	switch e {
	case NoEffect:
		return "without effect"
	case Reserved:
		return "not in this release"
	default:
		return "works"
	}
}

// Key describes one key of the configuration. The zero value of each field
// stands for "nothing special".
type Key struct {
	// Path is the key's name; $name in it stands for a chosen name. Keys of
	// list elements have $n there.
	Path string
	Type Type
	// Default is the default as written in a file. An empty one is Go's zero
	// value: no text, no limit, off.
	Default string
	// Required tells that each $name must have a value for this key.
	Required bool
	// Doc is one line for the operator.
	Doc string
	// Allowed are an enum's values, or the only ones of a list of strings.
	Allowed []string
	// Min and Max limit an int, a float, a duration (as nanoseconds) or a
	// size, if Max is not zero; Min alone is never given.
	Min, Max int64
	// Word is a word that stands for zero, "infinity" or "disabled", besides
	// the numbers.
	Word string
	// Unit is what a plain number counts in a duration or a size, if it is
	// not milliseconds or bytes; LinesUnit is the same in EMQX 4's files.
	Unit, LinesUnit int64
	// Aliases are other paths that are accepted, such as EMQX 4's.
	Aliases []string
	// Env are names of variables, without the ERMINE_ or EMQX_, besides
	// the one that the path makes.
	Env []string
	// Secret values are masked wherever they would be shown.
	Secret bool
	Effect Effect
}

// AllowedText says what a value may be, in words.
func (k Key) AllowedText() string {
	text := k.allowedText()
	if k.Word != "" && text != "" {
		text += ", or " + k.Word
	}
	return text
}

func (k Key) allowedText() string {
	limits := func(show func(int64) string) string {
		switch {
		case k.Max == 0:
			return ""
		case k.Max == unbounded:
			return ", at least " + show(k.Min)
		}
		return ", " + show(k.Min) + " to " + show(k.Max)
	}
	switch k.Type {
	case TypeBool:
		return "true, false, on, off"
	case TypeInt:
		return "a whole number" + limits(func(n int64) string { return fmt.Sprint(n) })
	case TypeFloat:
		return "a number" + limits(func(n int64) string { return fmt.Sprint(n) })
	case TypePercent:
		return "a share such as 80% or 0.8"
	case TypeDuration:
		return "a duration such as 500ms, 30s, 5m, 1h30m, 1d" +
			limits(func(n int64) string { return FormatDuration(time.Duration(n)) })
	case TypeSize:
		return "a size such as 512B, 64KB, 1MB, 1GB" + limits(FormatSize)
	case TypeRate:
		return "a rate such as 1000/s, 100/10s, 5000/m"
	case TypeByteRate:
		return "a rate such as 100KB/s, 10MB/10s"
	case TypeEnum:
		return strings.Join(k.Allowed, ", ")
	case TypeBind:
		return "a port, ip:port or [ipv6]:port"
	case TypeAddr:
		return "an IP address"
	case TypeNodeName:
		return "name@host, name of letters, digits, _ and -, host an IP address or a name with a dot"
	case TypeNodeNames:
		return "a list of name@host"
	case TypeStrings:
		if len(k.Allowed) > 0 {
			return "a list of " + strings.Join(k.Allowed, ", ")
		}
		return "a list of strings"
	case TypeInts:
		return "a list of whole numbers" + limits(func(n int64) string { return fmt.Sprint(n) })
	case TypeNetworks:
		return "a list of addresses and networks such as 10.0.0.0/8"
	case TypeRules:
		return `a list of rules such as "allow 10.0.0.0/8", "deny all"`
	case TypePriorities:
		return `an object of topics and their priorities 1 to 255, such as {"topic/1" = 10}`
	case TypeObjects:
		return "a list of objects"
	case TypeString, TypePath, TypeAny:
	}
	return ""
}

// unbounded as a Max is no limit, for keys that have only a Min.
const unbounded = 1<<63 - 1
