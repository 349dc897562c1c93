package auth

import (
	"context"
	"errors"
	"maps"
)

// Authentication is a chain of authenticators. It does not change; all methods may
// be called from any goroutine.
type Authentication struct {
	allowAnonymous bool
	chain          []Authenticator
}

// NewAuthentication makes a chain. With allowAnonymous a client without a user
// name is let in if no authenticator decides. A chain without authenticators lets
// everybody in.
func NewAuthentication(allowAnonymous bool, chain ...Authenticator) *Authentication {
	return &Authentication{allowAnonymous: allowAnonymous, chain: chain}
}

// Check decides about a CONNECT: the result's decision is Allow or Deny. On Allow it
// has also set c's Superuser, Attributes and own rules. It blocks for as long as
// hashing and back ends take, at most until ctx ends. An error comes with a refusal
// and says why an authenticator could not decide.
func (a *Authentication) Check(ctx context.Context, c *Client, cred Credentials) (Result, error) {
	if len(a.chain) == 0 {
		return Result{Decision: Allow}, nil
	}
	var errs []error
	for _, source := range a.chain {
		res, err := source.Authenticate(ctx, c, cred)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		switch res.Decision {
		case Allow:
			c.Superuser = res.Superuser
			c.own = res.ACL
			if len(res.Attributes) > 0 {
				attributes := maps.Clone(c.Attributes)
				if attributes == nil {
					attributes = make(map[string]string, len(res.Attributes))
				}
				maps.Copy(attributes, res.Attributes)
				c.Attributes = attributes
			}
			return res, nil
		case Deny:
			if res.Reason == ReasonSuccess {
				res.Reason = ReasonNotAuthorized
			}
			return res, nil
		case Ignore:
		}
	}
	if err := errors.Join(errs...); err != nil {
		reason := ReasonServerUnavailable
		if errors.Is(err, ErrBusy) {
			reason = ReasonServerBusy
		}
		return Result{Decision: Deny, Reason: reason}, err
	}
	if c.Username == "" && a.allowAnonymous {
		return Result{Decision: Allow}, nil
	}
	return Result{Decision: Deny, Reason: ReasonNotAuthorized}, nil
}
