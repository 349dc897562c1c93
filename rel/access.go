package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"ermine/etc"
	"ermine/mqtt/auth"
	"ermine/node/config"
	"ermine/node/ctl"
)

// watchInterval is how often the user files and ACL files are looked at.
const watchInterval = 5 * time.Second

// access is who may connect and what clients may do.
type access struct {
	authentication *auth.Authentication
	authorization  *auth.Authorization
	users          []*auth.UserFile
	watch          []func(ctx context.Context, interval time.Duration)
}

// newAccess reads the user files and the ACL files. embedded is used for an ACL
// file that does not exist and that the configuration does not name itself.
func newAccess(cfg *config.Config, report *config.Report, log *slog.Logger) (*access, error) {
	a := &access{}
	var errs []error
	var authn []auth.Authenticator
	for _, c := range cfg.Authentication {
		if !c.Enable {
			continue
		}
		if c.UserIDType == "clientid" {
			errs = append(errs, errors.New("authentication: user_id_type = clientid is not in this release"))
		}
		f, err := auth.OpenUserFile(c.Path, log)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		a.users = append(a.users, f)
		a.watch = append(a.watch, f.Watch)
		authn = append(authn, f)
	}
	a.authentication = auth.NewAuthentication(cfg.AnonymousAllowed(), authn...)

	var authz []auth.Authorizer
	for _, c := range cfg.Authorization.Sources {
		if !c.Enable {
			continue
		}
		source, err := a.aclFile(c.Path, report.Origin("authorization.sources") == "default", log)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		authz = append(authz, source)
	}
	conf := auth.AuthorizationConfig{NoMatch: auth.Allow, Cache: auth.CacheConfig{
		Enable: cfg.Authorization.Cache.Enable, MaxSize: cfg.Authorization.Cache.MaxSize, TTL: cfg.Authorization.Cache.TTL,
	}}
	if cfg.Authorization.NoMatch == "deny" {
		conf.NoMatch = auth.Deny
	}
	a.authorization = auth.NewAuthorization(conf, authz...)
	return a, errors.Join(errs...)
}

// aclFile opens an ACL file, or takes the shipped rules where the default file
// does not exist.
func (a *access) aclFile(path string, isDefault bool, log *slog.Logger) (auth.Authorizer, error) {
	if _, err := os.Stat(path); isDefault && errors.Is(err, fs.ErrNotExist) {
		rules, err := auth.ParseACL(etc.ACLConf, string(etc.Read(etc.ACLConf)))
		if err != nil {
			return nil, fmt.Errorf("embedded rules: %w", err)
		}
		return rules, nil
	}
	f, err := auth.OpenACLFile(path, log)
	if err != nil {
		return nil, err
	}
	a.watch = append(a.watch, f.Watch)
	return f, nil
}

// userFile makes a user file the commands' Users.
type userFile struct{ *auth.UserFile }

// Add implements ctl.Users.
func (u userFile) Add(ctx context.Context, name, password string, superuser bool) error {
	return u.UserFile.Add(ctx, name, []byte(password), superuser)
}

// List implements ctl.Users.
func (u userFile) List() []ctl.User {
	var list []ctl.User
	for _, user := range u.UserFile.List() {
		list = append(list, ctl.User{Name: user.Name, Superuser: user.Superuser})
	}
	return list
}
