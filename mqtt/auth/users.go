package auth

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"
)

// UserFile authenticates user names against a text file of lines
//
//	username:hash[:superuser]
//
// where hash is bcrypt or argon2id (see HashPassword), and the third field is
// "superuser", "true" or "false". Empty lines and lines that begin with # are
// skipped. A user name may hold colons, but not ":$", and begins with no # or
// white space.
//
// Clients whose user is not in the file are left to the next authenticator, after
// the time that a wrong password takes; a wrong password is a refusal. All methods
// may be called from any goroutine.
type UserFile struct {
	file  string
	log   *slog.Logger
	users atomic.Pointer[userTable]

	mu    sync.Mutex // one reload or change at a time
	stamp stamp
}

// user is one line.
type user struct {
	hash      *passwordHash
	superuser bool
}

// userTable is the content of a file. It does not change.
type userTable struct {
	byName map[string]user
	dummy  *passwordHash // what unknown users are compared with
}

// OpenUserFile reads a user file. A file that does not exist is an empty one, which
// Add creates.
func OpenUserFile(file string, log *slog.Logger) (*UserFile, error) {
	f := &UserFile{file: file, log: log}
	if err := f.Reload(); err != nil {
		return nil, err
	}
	if info, err := os.Stat(file); err == nil && info.Mode().Perm()&0o077 != 0 {
		log.Warn("user file is open to other users of the system", "file", file, "mode", info.Mode().Perm().String())
	}
	return f, nil
}

// Reload reads the file now. If it has mistakes they are returned, and the users
// stay as they were.
func (f *UserFile) Reload() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.reloadLocked()
}

func (f *UserFile) reloadLocked() error {
	text, stamp, err := readFile(f.file)
	f.stamp = stamp // also after a mistake: it is reported once
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	table, err := parseUsers(f.file, text)
	if err != nil {
		return err
	}
	f.users.Store(table)
	return nil
}

// Watch reads the file again whenever it has changed, looking every interval, and
// logs what came of it. It returns when ctx ends.
func (f *UserFile) Watch(ctx context.Context, interval time.Duration) {
	poll(ctx, interval, f.refresh)
}

// refresh reloads the file if it has changed.
func (f *UserFile) refresh() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if stampOf(f.file) == f.stamp {
		return
	}
	if err := f.reloadLocked(); err != nil {
		f.log.Error("changed user file not used, the old users stay", "file", f.file, "err", err)
		return
	}
	f.log.Info("user file reloaded", "file", f.file, "users", len(f.users.Load().byName))
}

// userLine is a line of the file taken apart.
type userLine struct {
	name, hash, flag string
	hashCol, flagCol int // where they begin, in bytes, for messages
}

// splitUserLine takes a line apart, or reports false where it is no user's.
func splitUserLine(line string) (l userLine, ok bool, msg string) {
	line = strings.TrimRight(line, " \t\r")
	if line == "" || line[0] == '#' {
		return l, false, ""
	}
	i := strings.Index(line, ":$")
	if i < 0 {
		return l, false, "want username:hash, with a bcrypt or argon2id hash"
	}
	l.name, l.hash, l.hashCol = line[:i], line[i+1:], i+1
	l.hash, l.flag, _ = strings.Cut(l.hash, ":")
	l.flagCol = l.hashCol + len(l.hash) + 1
	return l, true, ""
}

// parseUsers reads a file's text. The error joins the mistakes found, each a
// *SyntaxError.
func parseUsers(file, text string) (*userTable, error) {
	table := &userTable{byName: make(map[string]user)}
	kinds := make(map[string]int)
	var mistakes []error
	number := 0
	for line := range strings.Lines(text) {
		number++
		wrong := func(col int, format string, args ...any) {
			if len(mistakes) < maxMistakes {
				col = utf8.RuneCountInString(line[:min(col, len(line))]) + 1
				mistakes = append(mistakes, &SyntaxError{File: file, Line: number, Col: col, Msg: fmt.Sprintf(format, args...)})
			}
		}
		l, ok, msg := splitUserLine(strings.TrimRight(line, "\n"))
		if msg != "" {
			wrong(0, "%s", msg)
		}
		if !ok {
			continue
		}
		if err := checkUsername(l.name); err != nil {
			wrong(0, "%v", err)
			continue
		}
		if _, double := table.byName[l.name]; double {
			wrong(0, "user %q is in the file twice", l.name)
			continue
		}
		hash, err := parseHash(l.hash)
		if err != nil {
			wrong(l.hashCol, "%v", err)
			continue
		}
		switch l.flag {
		case "", "false", "superuser", "true":
		default:
			wrong(l.flagCol, "%q is none of superuser, true, false", l.flag)
			continue
		}
		table.byName[l.name] = user{hash: hash, superuser: l.flag == "superuser" || l.flag == "true"}
		// An unknown user costs what most known ones do. The hash is a real one, the
		// outcome of comparing with it is not looked at.
		kinds[hash.kind()]++
		if table.dummy == nil || kinds[hash.kind()] > kinds[table.dummy.kind()] {
			table.dummy = hash
		}
	}
	if err := errors.Join(mistakes...); err != nil {
		return nil, err
	}
	if table.dummy == nil {
		table.dummy = defaultDummy
	}
	return table, nil
}

// defaultDummy is compared with where there are no users at all.
var defaultDummy = &passwordHash{
	memory: argonMemory, time: argonTime, threads: argonThreads,
	salt: make([]byte, argonSalt), sum: make([]byte, argonLength),
}

// checkUsername returns an ErrBadUsername for a name that a line cannot hold.
func checkUsername(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: it is empty", ErrBadUsername)
	case len(name) > 65535:
		return fmt.Errorf("%w: longer than 65535 bytes", ErrBadUsername)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return fmt.Errorf("%w %q: not UTF-8, or with control characters", ErrBadUsername, name)
	case name[0] == '#' || unicode.IsSpace(rune(name[0])):
		return fmt.Errorf("%w %q: it begins with # or white space", ErrBadUsername, name)
	case strings.Contains(name, ":$") || strings.HasSuffix(name, ":"):
		return fmt.Errorf("%w %q: it holds \":$\" or ends with a colon", ErrBadUsername, name)
	}
	return nil
}

// Authenticate implements Authenticator. It blocks while other logins are being
// hashed, until ctx ends (ErrBusy).
func (f *UserFile) Authenticate(ctx context.Context, c *Client, cred Credentials) (Result, error) {
	if c.Username == "" {
		return Result{}, nil
	}
	table := f.users.Load()
	u, known := table.byName[c.Username]
	hash := u.hash
	if !known {
		hash = table.dummy
	}
	var right bool
	if err := withHashSlot(ctx, func() { right = hash.verify(cred.Password) }); err != nil {
		return Result{}, fmt.Errorf("authenticate %q: %w", c.Username, err)
	}
	switch {
	case !known:
		return Result{}, nil
	case !right:
		return Result{Decision: Deny, Reason: ReasonBadCredentials}, nil
	default:
		return Result{Decision: Allow, Superuser: u.superuser}, nil
	}
}

// User is a user as List tells it.
type User struct {
	Name      string
	Superuser bool
}

// List returns the users in force, by name.
func (f *UserFile) List() []User {
	table := f.users.Load()
	out := make([]User, 0, len(table.byName))
	for _, name := range slices.Sorted(maps.Keys(table.byName)) {
		out = append(out, User{name, table.byName[name].superuser})
	}
	return out
}

// Add appends a user to the file with an argon2id hash of the password, and uses
// it at once. It blocks while other passwords are being hashed, until ctx ends.
// Errors: ErrUserExists, ErrBadUsername, ErrBusy, and those of the file, in which
// case nothing has changed.
func (f *UserFile) Add(ctx context.Context, name string, password []byte, superuser bool) error {
	if err := checkUsername(name); err != nil {
		return err
	}
	var line string
	if err := withHashSlot(ctx, func() { line = name + ":" + HashPassword(password) }); err != nil {
		return fmt.Errorf("add user %q: %w", name, err)
	}
	if superuser {
		line += ":superuser"
	}
	return f.change(func(lines []string) ([]string, error) {
		if indexUser(lines, name) >= 0 {
			return nil, fmt.Errorf("%w: %q", ErrUserExists, name)
		}
		return append(lines, line+"\n"), nil
	})
}

// Delete removes a user from the file, at once. Errors: ErrUserNotFound, and those
// of the file, in which case nothing has changed. Connections of the user go on.
func (f *UserFile) Delete(name string) error {
	return f.change(func(lines []string) ([]string, error) {
		i := indexUser(lines, name)
		if i < 0 {
			return nil, fmt.Errorf("%w: %q", ErrUserNotFound, name)
		}
		return slices.Delete(lines, i, i+1), nil
	})
}

// change edits the lines of the file as they are now, others' changes and comments
// included, and replaces it as a whole.
func (f *UserFile) change(edit func(lines []string) ([]string, error)) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	text, _, err := readFile(f.file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	lines, err := edit(slices.Collect(strings.Lines(text)))
	if err != nil {
		return err
	}
	text = strings.Join(lines, "")
	if _, err := parseUsers(f.file, text); err != nil {
		return err
	}
	if err := writeFileAtomic(f.file, []byte(text)); err != nil {
		return err
	}
	return f.reloadLocked()
}

func indexUser(lines []string, name string) int {
	return slices.IndexFunc(lines, func(line string) bool {
		l, ok, _ := splitUserLine(strings.TrimRight(line, "\n"))
		return ok && l.name == name
	})
}

var _ Authenticator = (*UserFile)(nil)
