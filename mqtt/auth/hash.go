package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

// Limits of what a hash in a file may cost: a mistake there must not stop the node.
const (
	maxArgonMemory  = 1 << 20 // KiB
	maxArgonTime    = 64
	maxArgonThreads = 64
	maxArgonLength  = 128 // bytes of salt or hash
	maxBcryptCost   = 16
)

// The parameters of new hashes: the second recommendation of RFC 9106 in the size
// that OWASP gives for logins, about 20 ms.
const (
	argonMemory  = 19 << 10 // KiB
	argonTime    = 2
	argonThreads = 1
	argonSalt    = 16
	argonLength  = 32
)

// passwordHash is a parsed hash.
type passwordHash struct {
	bcrypt []byte // the whole text; nil for argon2id

	memory, time uint32
	threads      uint8
	salt, sum    []byte
}

// kind names the algorithm with its parameters: what determines the time it takes.
func (h *passwordHash) kind() string {
	if h.bcrypt != nil {
		cost, _ := bcrypt.Cost(h.bcrypt)
		return fmt.Sprintf("bcrypt %d", cost)
	}
	return fmt.Sprintf("argon2id %d %d %d", h.memory, h.time, h.threads)
}

// parseHash reads a bcrypt hash ($2a$, $2b$, $2y$) or an argon2id hash in PHC form
// ($argon2id$v=19$m=...,t=...,p=...$salt$hash). The error is an ErrBadHash.
func parseHash(text string) (*passwordHash, error) {
	switch {
	case strings.HasPrefix(text, "$2a$"), strings.HasPrefix(text, "$2b$"), strings.HasPrefix(text, "$2y$"):
		cost, err := bcrypt.Cost([]byte(text))
		if err != nil || len(text) != 60 {
			return nil, fmt.Errorf("%w: not a bcrypt hash of 60 characters", ErrBadHash)
		}
		if cost > maxBcryptCost {
			return nil, fmt.Errorf("%w: bcrypt cost %d, at most %d", ErrBadHash, cost, maxBcryptCost)
		}
		return &passwordHash{bcrypt: []byte(text)}, nil
	case strings.HasPrefix(text, "$argon2id$"):
		return parseArgon(text)
	}
	return nil, fmt.Errorf("%w: neither bcrypt ($2b$...) nor argon2id ($argon2id$...)", ErrBadHash)
}

func parseArgon(text string) (*passwordHash, error) {
	parts := strings.Split(text, "$") // "", argon2id, v, parameters, salt, hash
	if len(parts) != 6 {
		return nil, fmt.Errorf("%w: want $argon2id$v=19$m=...,t=...,p=...$salt$hash", ErrBadHash)
	}
	if parts[2] != "v=19" {
		return nil, fmt.Errorf("%w: argon2 version %q, want v=19", ErrBadHash, parts[2])
	}
	h := &passwordHash{}
	var end string
	if n, err := fmt.Sscanf(parts[3]+"$", "m=%d,t=%d,p=%d%s", &h.memory, &h.time, &h.threads, &end); n != 4 || err != nil || end != "$" {
		return nil, fmt.Errorf("%w: argon2id parameters %q, want m=N,t=N,p=N", ErrBadHash, parts[3])
	}
	if h.memory < 8 || h.memory > maxArgonMemory || h.time < 1 || h.time > maxArgonTime || h.threads < 1 || h.threads > maxArgonThreads {
		return nil, fmt.Errorf("%w: argon2id parameters %q out of range", ErrBadHash, parts[3])
	}
	var err1, err2 error
	h.salt, err1 = base64.RawStdEncoding.Strict().DecodeString(parts[4])
	h.sum, err2 = base64.RawStdEncoding.Strict().DecodeString(parts[5])
	if err1 != nil || err2 != nil || len(h.salt) < 8 || len(h.salt) > maxArgonLength || len(h.sum) < 16 || len(h.sum) > maxArgonLength {
		return nil, fmt.Errorf("%w: argon2id salt or hash is no base64 of a usable length", ErrBadHash)
	}
	return h, nil
}

// verify reports whether the password is the hash's. It takes the same time
// whatever the answer.
func (h *passwordHash) verify(password []byte) bool {
	if h.bcrypt != nil {
		return bcrypt.CompareHashAndPassword(h.bcrypt, password) == nil
	}
	sum := argon2.IDKey(password, h.salt, h.time, h.memory, h.threads, uint32(len(h.sum)))
	return subtle.ConstantTimeCompare(sum, h.sum) == 1
}

// HashPassword makes an argon2id hash of a password in PHC form.
func HashPassword(password []byte) string {
	salt := make([]byte, argonSalt)
	_, _ = rand.Read(salt) // crypto/rand ends the program rather than fail
	sum := argon2.IDKey(password, salt, argonTime, argonMemory, argonThreads, argonLength)
	return fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=%d$%s$%s", argonMemory, argonTime, argonThreads,
		base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(sum))
}

// hashing bounds how many hashes of the process run at a time: half of the
// processors stay free for traffic, however many clients log in at once.
var hashing = make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))

// withHashSlot runs fn when it is its turn, or returns ErrBusy when ctx ends first.
func withHashSlot(ctx context.Context, fn func()) error {
	select {
	case hashing <- struct{}{}:
		defer func() { <-hashing }()
		fn()
		return nil
	case <-ctx.Done():
		return errors.Join(ErrBusy, ctx.Err())
	}
}
