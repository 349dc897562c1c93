package topic

import "errors"

var (
	// ErrEmpty is returned for a name or filter, or the part of one behind a
	// prefix such as $share/<group>/, without a character [MQTT-4.7.3-1].
	ErrEmpty = errors.New("is empty")

	// ErrTooLong is returned for a name or filter of more than MaxLen bytes
	// [MQTT-4.7.3-3].
	ErrTooLong = errors.New("is longer than 65535 bytes")

	// ErrNotUTF8 is returned for text that is not well-formed UTF-8, encoded
	// surrogates included [MQTT-1.5.4-1].
	ErrNotUTF8 = errors.New("is not well-formed UTF-8")

	// ErrNull is returned for text that contains U+0000 [MQTT-1.5.4-2],
	// [MQTT-4.7.3-2].
	ErrNull = errors.New("contains U+0000")

	// ErrWildcardInName is returned by ValidateName for a name with # or +
	// [MQTT-3.3.2-2].
	ErrWildcardInName = errors.New("contains a wildcard")

	// ErrMultiLevel is returned by ParseFilter where # is not alone in its level
	// or not the last character [MQTT-4.7.1-1].
	ErrMultiLevel = errors.New("# must be the whole last level")

	// ErrSingleLevel is returned by ParseFilter where + is not alone in its
	// level [MQTT-4.7.1-2].
	ErrSingleLevel = errors.New("+ must be a whole level")

	// ErrShareName is returned by ParseFilter where $share/ is not followed by
	// a ShareName without wildcards, a slash and a filter [MQTT-4.8.2-1],
	// [MQTT-4.8.2-2].
	ErrShareName = errors.New("must be $share/<group>/<filter>, the group not empty and without wildcards")

	// ErrNested is returned by ParseFilter and ParseDelayed for a second prefix
	// behind the first, such as $exclusive/$share/g/t.
	ErrNested = errors.New("has a second $-prefix behind the first")

	// ErrDelay is returned by ParseDelayed where $delayed/ is not followed by a
	// decimal number of seconds, a slash and a name.
	ErrDelay = errors.New("must be $delayed/<seconds>/<name>")

	// ErrDelayTooFar is returned by Delayed.Due for a time more than MaxDelay
	// ahead.
	ErrDelayTooFar = errors.New("is too far ahead")
)
