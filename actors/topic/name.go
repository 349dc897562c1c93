package topic

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxLen is the length limit of a Topic Name or Topic Filter in bytes: what a
// two-byte length field can say [MQTT-4.7.3-3].
const MaxLen = 65535

// Name is a Topic Name: what a message is published to. It has no wildcards.
type Name string

// Filter is a Topic Filter: what a subscription asks for, without a prefix
// such as $share/<group>/ (see Parsed).
type Filter string

// HasWildcard reports whether the filter has a + or # level. A filter without
// one matches exactly the name that reads like it.
func (f Filter) HasWildcard() bool {
	return strings.IndexByte(string(f), '+') >= 0 || strings.HasSuffix(string(f), "#")
}

// Levels counts the levels of a name or filter: one more than its slashes.
// The broker holds it against mqtt.max_topic_levels.
func Levels[T ~string](t T) int { return strings.Count(string(t), "/") + 1 }

// ValidateName checks the text of a Topic Name: 1 to 65535 bytes of
// well-formed UTF-8 without U+0000 or wildcards. The error wraps one of this
// package's sentinels. Names that begin with $ are valid; who may publish to
// them is not decided here.
func ValidateName(name string) error {
	err := validateText(name)
	if err == nil && strings.ContainsAny(name, "+#") {
		err = ErrWildcardInName // [MQTT-3.3.2-2]
	}
	if err != nil {
		return fmt.Errorf("topic name %s %w", quote(name), err)
	}
	return nil
}

// validateText holds what names and filters have in common.
func validateText(s string) error {
	if s == "" {
		return ErrEmpty
	}
	if len(s) > MaxLen {
		return ErrTooLong
	}
	ascii := true
	for i := range len(s) {
		if s[i] == 0 {
			return ErrNull
		}
		ascii = ascii && s[i] < utf8.RuneSelf
	}
	// ValidString refuses overlong forms and encoded surrogates, and takes
	// U+FEFF and the non-characters, which a server may not refuse or strip
	// [MQTT-1.5.4-3].
	if !ascii && !utf8.ValidString(s) {
		return ErrNotUTF8
	}
	return nil
}

// validateFilter checks a filter without prefix.
func validateFilter(s string) error {
	if err := validateText(s); err != nil {
		return err
	}
	for i := range len(s) {
		switch s[i] {
		case '#': // [MQTT-4.7.1-1]
			if i+1 < len(s) || i > 0 && s[i-1] != '/' {
				return ErrMultiLevel
			}
		case '+': // [MQTT-4.7.1-2]
			if i > 0 && s[i-1] != '/' || i+1 < len(s) && s[i+1] != '/' {
				return ErrSingleLevel
			}
		}
	}
	return nil
}

// cut splits off the first level of a name or filter. more tells "a/", whose
// rest is one empty level, from "a", which has no rest.
func cut(s string) (level, rest string, more bool) {
	if i := strings.IndexByte(s, '/'); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return s, "", false
}

// isInternal reports whether the first level begins with $: such names are not
// matched by a leading wildcard [MQTT-4.7.2-1].
func isInternal[T ~string](t T) bool { return len(t) > 0 && t[0] == '$' }

// leadsWithWildcard reports whether the first level of a filter is + or #.
func leadsWithWildcard(f Filter) bool { return len(f) > 0 && (f[0] == '+' || f[0] == '#') }

// quote keeps error texts about hostile input short.
func quote(s string) string {
	const limit = 128
	if len(s) > limit {
		return fmt.Sprintf("%q… (%d bytes)", s[:limit], len(s))
	}
	return fmt.Sprintf("%q", s)
}
