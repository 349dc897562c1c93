package fault

import "errors"

var (
	// ErrInjected is the error of an armed point whose Spec names no other.
	ErrInjected = errors.New("injected fault")

	// ErrUnknownPoint is returned by Arm and Disarm for a name that no linked
	// package has declared.
	ErrUnknownPoint = errors.New("unknown fault point")

	// ErrBadSpec is returned by Arm and Parse for a spec that makes no sense.
	ErrBadSpec = errors.New("bad fault spec")
)
