package auth

import (
	"errors"
	"fmt"
)

var (
	// ErrBusy is returned by Authenticate when the context ended before a turn to
	// hash came. A v5 client is owed reason code 0x89.
	ErrBusy = errors.New("too many logins at a time")

	// ErrUserExists is returned by UserFile.Add for a name that is in the file.
	ErrUserExists = errors.New("user exists")

	// ErrUserNotFound is returned by UserFile.Delete for a name that is not.
	ErrUserNotFound = errors.New("no such user")

	// ErrBadUsername is returned by UserFile.Add for a name that a line cannot hold.
	ErrBadUsername = errors.New("bad user name")

	// ErrBadHash is returned where a password hash is of no known form, or would
	// cost unreasonably much.
	ErrBadHash = errors.New("bad password hash")
)

// SyntaxError is a mistake in an ACL or user file.
type SyntaxError struct {
	File      string
	Line, Col int // counted from 1, Col in characters
	Msg       string
}

// Error is "file:line:col: message".
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Col, e.Msg)
}
