package etf

import (
	"errors"
	"fmt"
)

// Reasons for which input is refused. They arrive wrapped in a *DecodeError.
var (
	// ErrTruncated is returned when the input ends inside a term or header,
	// which is also the answer to a length greater than what is left.
	ErrTruncated = errors.New("input ends too early")
	// ErrVersion is returned when the first byte is not the version magic 131.
	ErrVersion = errors.New("not external term format version 131")
	// ErrTag is returned for a tag that names no term, or none in this place.
	ErrTag = errors.New("unexpected tag")
	// ErrTrailing is returned by Decode when bytes follow the term.
	ErrTrailing = errors.New("bytes after the term")
	// ErrFormat is returned for a field whose value the format forbids, such
	// as a reference of six words or a float that is no number.
	ErrFormat = errors.New("malformed field")
	// ErrAtomCache is returned for a reference to an atom that neither the
	// header nor the cache of the connection holds.
	ErrAtomCache = errors.New("unknown atom cache entry")
)

// Reasons for which input and terms to be encoded are refused alike.
var (
	// ErrDepth is returned for a term nested deeper than MaxDepth. For a term
	// made in Go it can also mean that the term contains itself.
	ErrDepth = errors.New("nested too deeply")
	// ErrLimit is returned for input beyond Limits.MaxElements or MaxBytes.
	ErrLimit = errors.New("limit exceeded")
	// ErrAtom is returned for an atom of more than 255 characters or whose
	// text is not valid UTF-8.
	ErrAtom = errors.New("bad atom")
	// ErrDuplicateKey is returned for a map with two equal keys, which no
	// Erlang node accepts.
	ErrDuplicateKey = errors.New("duplicate map key")
)

// Reasons for which a term cannot be encoded. They arrive wrapped in an
// *EncodeError.
var (
	// ErrUnsupported is returned for a Go type that stands for no term.
	ErrUnsupported = errors.New("no Erlang form for this Go type")
	// ErrFloat is returned for NaN and the infinities, which Erlang lacks.
	ErrFloat = errors.New("float is not finite")
	// ErrTooLong is returned for a binary, list, tuple or map of more than
	// 2^32-1 elements.
	ErrTooLong = errors.New("too long for the format")
	// ErrInvalid is returned for a value whose fields contradict each other,
	// such as a Ref of no words or a BitString without bytes.
	ErrInvalid = errors.New("invalid value")
)

// DecodeError tells why and where input was refused.
type DecodeError struct {
	// Offset of the offending byte from the start of the input. In a
	// compressed term it counts from the start of what was inflated.
	Offset int
	// Tag is the tag of the term at Offset, 0 where there is none.
	Tag byte
	// Inflated is true when Offset is one in the inflated bytes.
	Inflated bool
	// Err is one of the sentinels of this package, possibly wrapped.
	Err error
}

// Error implements error.
func (e *DecodeError) Error() string {
	where := "offset"
	if e.Inflated {
		where = "inflated offset"
	}
	if e.Tag == 0 {
		return fmt.Sprintf("etf: %v at %s %d", e.Err, where, e.Offset)
	}
	return fmt.Sprintf("etf: %v at %s %d (tag %d)", e.Err, where, e.Offset, e.Tag)
}

// Unwrap returns Err.
func (e *DecodeError) Unwrap() error { return e.Err }

// EncodeError tells why a term could not be encoded.
type EncodeError struct {
	// Type is the Go type of the innermost value that was refused.
	Type string
	// Err is one of the sentinels of this package, possibly wrapped.
	Err error
}

// Error implements error.
func (e *EncodeError) Error() string {
	return fmt.Sprintf("etf: encode %s: %v", e.Type, e.Err)
}

// Unwrap returns Err.
func (e *EncodeError) Unwrap() error { return e.Err }
