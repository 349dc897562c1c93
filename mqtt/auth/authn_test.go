package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

// cheapHash is an argon2id hash that costs next to nothing: for "secret".
const cheapHash = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$"

func cheap(t testing.TB, password string) string {
	t.Helper()
	h, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(h)
}

func openUsers(t testing.TB, text string) *UserFile {
	t.Helper()
	file := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := OpenUserFile(file, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestUserFile(t *testing.T) {
	f := openUsers(t, "# people\n\nalice:"+cheap(t, "wonder")+"\nroot:"+cheap(t, "god")+":superuser\r\n"+
		"a:b c:"+cheap(t, "x")+":false\narg:"+HashPassword([]byte("on2"))+":true")
	tests := []struct {
		user, password string
		want           Result
	}{
		{"alice", "wonder", Result{Decision: Allow}},
		{"alice", "Wonder", Result{Decision: Deny, Reason: ReasonBadCredentials}},
		{"alice", "", Result{Decision: Deny, Reason: ReasonBadCredentials}},
		{"root", "god", Result{Decision: Allow, Superuser: true}},
		{"a:b c", "x", Result{Decision: Allow}},
		{"arg", "on2", Result{Decision: Allow, Superuser: true}},
		{"arg", "on3", Result{Decision: Deny, Reason: ReasonBadCredentials}},
		{"bob", "wonder", Result{}},
		{"", "wonder", Result{}},
		{"# people", "", Result{}},
	}
	for _, tt := range tests {
		got, err := f.Authenticate(t.Context(), &Client{Username: tt.user}, Credentials{Password: []byte(tt.password)})
		if err != nil || got.Decision != tt.want.Decision || got.Reason != tt.want.Reason || got.Superuser != tt.want.Superuser {
			t.Errorf("%q, %q: %+v, %v; want %+v", tt.user, tt.password, got, err, tt.want)
		}
	}
	if got, want := fmt.Sprint(f.List()), "[{a:b c false} {alice false} {arg true} {root true}]"; got != want {
		t.Errorf("users %s, want %s", got, want)
	}
}

func TestUserFileMistakes(t *testing.T) {
	good := cheap(t, "x")
	tests := []struct{ in, want string }{
		{"alice", "users:1:1: want username:hash"},
		{"\n\nalice:secret", "users:3:1: want username:hash"},
		{":" + good, "users:1:1: bad user name"},
		{"älice:$1$abc", "users:1:7: bad password hash: neither bcrypt"},
		{"alice:$2b$10$short", "users:1:7: bad password hash"},
		{"alice:$2b$31$" + good[7:], "users:1:7: bad password hash: bcrypt cost 31"},
		{"alice:" + good + ":admin", fmt.Sprintf("users:1:%d: \"admin\" is none of", 8+len(good))},
		{"a:" + good + "\na:" + good, "users:2:1: user \"a\" is in the file twice"},
		{"a:$argon2id$v=16$m=8,t=1,p=1$c29tZXNhbHQ$c29tZXNhbHRzb21lc2FsdA", "users:1:3: bad password hash: argon2 version"},
		{"a:$argon2id$v=19$m=99999999,t=1,p=1$c29tZXNhbHQ$c29tZXNhbHRzb21lc2FsdA", "users:1:3: bad password hash: argon2id parameters"},
		{"a:$argon2id$v=19$m=8,t=1,p=1$c29t$c29tZXNhbHRzb21lc2FsdA", "users:1:3: bad password hash: argon2id salt"},
		{"a:$argon2id$v=19$m=8,t=1$c29tZXNhbHQ$c29tZXNhbHRzb21lc2FsdA", "users:1:3: bad password hash: argon2id parameters"},
		{"a:" + cheapHash, "users:1:3: bad password hash: argon2id salt or hash"},
	}
	for _, tt := range tests {
		_, err := parseUsers("users", tt.in)
		if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%q:\n got %v\nwant %s", tt.in, err, tt.want)
		}
		var syntax *SyntaxError
		if err != nil && !errors.As(err, &syntax) {
			t.Errorf("%q: %T", tt.in, err)
		}
	}
}

func TestAddAndDeleteUsers(t *testing.T) {
	text := "# keep me\nalice:" + cheap(t, "wonder") // without a newline at the end
	f := openUsers(t, text)
	ctx := t.Context()
	if err := f.Add(ctx, "bob", []byte("builder"), true); err != nil {
		t.Fatal(err)
	}
	res, err := f.Authenticate(ctx, &Client{Username: "bob"}, Credentials{Password: []byte("builder")})
	if err != nil || res.Decision != Allow || !res.Superuser {
		t.Errorf("bob: %+v, %v", res, err)
	}
	if err := f.Add(ctx, "bob", nil, false); !errors.Is(err, ErrUserExists) {
		t.Errorf("add twice: %v", err)
	}
	for _, name := range []string{"", "a:$b", "#x", "x\ny", " x", "x:", "\xff"} {
		if err := f.Add(ctx, name, nil, false); !errors.Is(err, ErrBadUsername) {
			t.Errorf("add %q: %v", name, err)
		}
	}
	if err := f.Delete("alice"); err != nil {
		t.Fatal(err)
	}
	if err := f.Delete("alice"); !errors.Is(err, ErrUserNotFound) {
		t.Errorf("delete twice: %v", err)
	}
	data, err := os.ReadFile(f.file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(data), "\n")
	if len(lines) != 3 || lines[0] != "# keep me" || !strings.HasPrefix(lines[1], "bob:$argon2id$") || !strings.HasSuffix(lines[1], ":superuser") {
		t.Errorf("the file is %q", data)
	}
	if info, err := os.Stat(f.file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	// A file that others have spoilt is not touched, and not used.
	if err := os.WriteFile(f.file, []byte("rubbish\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.Delete("bob"); err == nil {
		t.Error("deleted from a spoilt file")
	}
	f.refresh()
	if got := f.List(); !slices.Equal(got, []User{{"bob", true}}) {
		t.Errorf("users %v after a mistake in the file", got)
	}
	// A file that is not there yet.
	fresh, err := OpenUserFile(filepath.Join(t.TempDir(), "none"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := fresh.Add(ctx, "carol", []byte("x"), false); err != nil {
		t.Fatal(err)
	}
	if got := fresh.List(); !slices.Equal(got, []User{{"carol", false}}) {
		t.Errorf("users %v", got)
	}
}

func TestUnknownUserCostsAsMuch(t *testing.T) {
	b4, b5 := cheap(t, "x"), strings.Replace(cheap(t, "x"), "$04$", "$05$", 1)
	table, err := parseUsers("f", "a:"+b4+"\nb:"+b5+"\nc:"+b5+"\n")
	if err != nil {
		t.Fatal(err)
	}
	if got := table.dummy.kind(); got != "bcrypt 5" {
		t.Errorf("unknown users are compared with %s, most have bcrypt 5", got)
	}
	if table, err = parseUsers("f", ""); err != nil || table.dummy == nil {
		t.Errorf("no dummy in an empty file: %v", err)
	}
	// It is really computed: without a slot there is no answer either.
	f := openUsers(t, "a:"+b4)
	for range cap(hashing) {
		hashing <- struct{}{}
	}
	defer func() {
		for range cap(hashing) {
			<-hashing
		}
	}()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, name := range []string{"a", "unknown"} {
		if _, err := f.Authenticate(ctx, &Client{Username: name}, Credentials{}); !errors.Is(err, ErrBusy) || !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
	res, err := NewAuthentication(false, f).Check(ctx, &Client{Username: "a"}, Credentials{})
	if res.Decision != Deny || res.Reason != ReasonServerBusy || !errors.Is(err, ErrBusy) {
		t.Errorf("chain: %+v, %v", res, err)
	}
}

func TestLoginStormIsBounded(t *testing.T) {
	f := openUsers(t, "a:"+cheap(t, "x"))
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			res, err := f.Authenticate(context.Background(), &Client{Username: "a"}, Credentials{Password: []byte("x")})
			if err != nil || res.Decision != Allow {
				t.Errorf("%+v, %v", res, err)
			}
			if n := len(hashing); n > cap(hashing) {
				t.Errorf("%d at a time", n)
			}
		})
	}
	wg.Wait()
}

// answer is an authenticator that always says the same.
type answer struct {
	Result
	err error
}

func (a answer) Authenticate(context.Context, *Client, Credentials) (Result, error) {
	return a.Result, a.err
}

func TestAuthenticationChain(t *testing.T) {
	down := errors.New("back end down")
	ignore, allow := answer{}, answer{Result: Result{Decision: Allow, Superuser: true, Attributes: map[string]string{"k": "v"}}}
	deny := answer{Result: Result{Decision: Deny}}
	tests := []struct {
		name      string
		anonymous bool
		user      string
		chain     []Authenticator
		want      Decision
		reason    ReasonCode
		err       error
	}{
		{"no authenticators", false, "u", nil, Allow, 0, nil},
		{"all ignore", false, "u", []Authenticator{ignore}, Deny, ReasonNotAuthorized, nil},
		{"all ignore, anonymous allowed", true, "", []Authenticator{ignore}, Allow, 0, nil},
		{"all ignore, named", true, "u", []Authenticator{ignore}, Deny, ReasonNotAuthorized, nil},
		{"anonymous not allowed", false, "", []Authenticator{ignore}, Deny, ReasonNotAuthorized, nil},
		{"second allows", false, "u", []Authenticator{ignore, allow, deny}, Allow, 0, nil},
		{"first denies", false, "u", []Authenticator{deny, allow}, Deny, ReasonNotAuthorized, nil},
		{"error, then allow", false, "u", []Authenticator{answer{err: down}, allow}, Allow, 0, nil},
		{"error, then nothing", true, "", []Authenticator{answer{err: down}, ignore}, Deny, ReasonServerUnavailable, down},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := &Client{Username: tt.user, Attributes: map[string]string{"old": "1"}}
			before := c.Attributes
			res, err := NewAuthentication(tt.anonymous, tt.chain...).Check(t.Context(), c, Credentials{})
			if res.Decision != tt.want || res.Reason != tt.reason || !errors.Is(err, tt.err) {
				t.Errorf("%+v, %v; want %v %x, %v", res, err, tt.want, tt.reason, tt.err)
			}
			if !c.Superuser {
				return
			}
			if c.Attributes["k"] != "v" || c.Attributes["old"] != "1" || len(before) != 1 {
				t.Errorf("attributes %v, before %v", c.Attributes, before)
			}
		})
	}
}

func FuzzParseUsers(f *testing.F) {
	f.Add("alice:$2b$04$" + strings.Repeat("a", 53) + ":superuser\n# x\n")
	f.Add("a:$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$c29tZXNhbHRzb21lc2FsdA:true\n")
	f.Fuzz(func(t *testing.T, text string) {
		table, err := parseUsers("f", text)
		if err != nil {
			if table != nil || !strings.HasPrefix(err.Error(), "f:") {
				t.Fatalf("%v, %v", table, err)
			}
			return
		}
		lines := strings.SplitAfter(text, "\n")
		for name := range table.byName {
			if indexUser(lines, name) < 0 {
				t.Fatalf("user %q is not to be found in %q", name, text)
			}
		}
	})
}
