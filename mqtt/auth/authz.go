package auth

import (
	"context"
	"slices"
	"sync/atomic"
	"time"
)

// CacheConfig is authorization.cache.
type CacheConfig struct {
	Enable  bool
	MaxSize int           // decisions kept for each client
	TTL     time.Duration // how long one is used
}

// AuthorizationConfig is authorization.
type AuthorizationConfig struct {
	NoMatch Decision // Allow or Deny
	Cache   CacheConfig
}

// DefaultAuthorizationConfig is EMQX's default.
func DefaultAuthorizationConfig() AuthorizationConfig {
	return AuthorizationConfig{
		NoMatch: Allow,
		Cache:   CacheConfig{Enable: true, MaxSize: 32, TTL: time.Minute},
	}
}

// Authorization is a chain of authorizers. All methods may be called from any
// goroutine.
type Authorization struct {
	conf    AuthorizationConfig
	chain   []Authorizer
	statics []Static      // those of chain that are
	cleaned atomic.Uint64 // times CleanCache was called
	now     func() time.Time
}

// NewAuthorization makes a chain.
func NewAuthorization(conf AuthorizationConfig, chain ...Authorizer) *Authorization {
	a := &Authorization{conf: conf, chain: chain, now: time.Now}
	for _, source := range chain {
		if s, ok := source.(Static); ok {
			a.statics = append(a.statics, s)
		}
	}
	return a
}

// The layout of Client.fast: generation, then for each action type two bits. A
// Client starts with generation 0, which none is; two bits of 0 say that it depends
// and the cache helps.
const (
	fastAllow  = 1
	fastDeny   = 2
	fastDirect = 3 // it depends, but asking costs less than the cache
	fastBits   = 4
)

// maxDirectRules is the number of rules up to which looking through them is faster
// than a look into the cache.
const maxDirectRules = 12

// sized is a source that is a list of rules in memory.
type sized interface {
	size(c *Client, t ActionType) int
}

// generation changes whenever an earlier decision may be wrong. Its parts only
// grow, so their sum does too.
func (a *Authorization) generation() uint64 {
	sum := 1 + a.cleaned.Load()
	for _, s := range a.statics {
		sum += s.Generation()
	}
	return sum
}

// Check decides about an action: Allow or Deny. For topic see Authorizer. Where the
// chain can only decide one way for this client and type of action it costs a few
// loads; where there are only a few rules that are about the client, a look through
// them; otherwise a look into the client's cache, and then the sources.
func (a *Authorization) Check(ctx context.Context, c *Client, act Action, topic string) Decision {
	if c.Superuser {
		return Allow
	}
	generation := a.generation()
	switch a.advance(c, generation) >> (2 * act.Type) & 3 {
	case fastAllow:
		return Allow
	case fastDeny:
		return Deny
	case fastDirect:
		return a.decide(ctx, c, act, topic)
	}
	if !a.conf.Cache.Enable || a.conf.Cache.MaxSize <= 0 {
		return a.decide(ctx, c, act, topic)
	}
	now := a.now()
	key := cacheKey{act, topic}
	if d := c.cached(key, generation, now); d != Ignore {
		return d
	}
	d := a.decide(ctx, c, act, topic)
	if ctx.Err() == nil { // otherwise a source may have had to give up
		c.remember(key, d, generation, now, &a.conf.Cache)
	}
	return d
}

// NeverDenies reports that the client is denied no action of this type, so
// that the caller need not ask, until the rules change.
func (a *Authorization) NeverDenies(c *Client, t ActionType) bool {
	return c.Superuser || a.advance(c, a.generation())>>(2*t)&3 == fastAllow
}

// advance is what is known in advance, as in Client.fast.
func (a *Authorization) advance(c *Client, generation uint64) uint64 {
	if fast := c.fast.Load(); fast>>fastBits == generation {
		return fast
	}
	return a.prepare(c, generation)
}

// CleanCache makes all clients forget their cached decisions.
func (a *Authorization) CleanCache() { a.cleaned.Add(1) }

// prepare finds out what can be decided in advance.
func (a *Authorization) prepare(c *Client, generation uint64) uint64 {
	fast := generation << fastBits
	for _, t := range []ActionType{Publish, Subscribe} {
		switch a.outcomes(c, t) {
		case Set(Allow):
			fast |= fastAllow << (2 * t)
		case Set(Deny):
			fast |= fastDeny << (2 * t)
		default:
			if a.direct(c, t) {
				fast |= fastDirect << (2 * t)
			}
		}
	}
	c.fast.Store(fast)
	return fast
}

// direct reports whether the cache would only slow checks down.
func (a *Authorization) direct(c *Client, t ActionType) bool {
	rules := 0
	for _, source := range append([]Authorizer{c.own}, a.chain...) {
		if source == nil {
			continue
		}
		s, ok := source.(sized)
		if !ok {
			return false
		}
		rules += s.size(c, t)
	}
	return rules <= maxDirectRules
}

// outcomes is the set of decisions that the chain can come to.
func (a *Authorization) outcomes(c *Client, t ActionType) (possible Outcomes) {
	add := func(source Authorizer) (final bool) {
		o := Set(Allow, Deny, Ignore)
		if s, ok := source.(Static); ok {
			o = s.Outcomes(c, t)
		}
		possible |= o &^ Set(Ignore)
		return !o.Has(Ignore)
	}
	if c.own != nil && add(c.own) {
		return possible
	}
	if slices.ContainsFunc(a.chain, add) {
		return possible
	}
	return possible | Set(a.conf.NoMatch)
}

// decide asks the sources.
func (a *Authorization) decide(ctx context.Context, c *Client, act Action, topic string) Decision {
	if c.own != nil {
		if d := c.own.Authorize(ctx, c, act, topic); d != Ignore {
			return d
		}
	}
	for _, source := range a.chain {
		if d := source.Authorize(ctx, c, act, topic); d != Ignore {
			return d
		}
	}
	return a.conf.NoMatch
}

type cacheKey struct {
	action Action
	topic  string
}

type cacheEntry struct {
	decision Decision
	expires  time.Time
}

// cached is the decision in the client's cache, Ignore if there is none.
func (c *Client) cached(key cacheKey, generation uint64, now time.Time) Decision {
	c.cache.Lock()
	defer c.cache.Unlock()
	if c.cache.generation != generation {
		return Ignore
	}
	if e, ok := c.cache.entries[key]; ok && now.Before(e.expires) {
		return e.decision
	}
	return Ignore
}

// remember puts a decision into the client's cache, in place of the oldest one if
// it is full.
func (c *Client) remember(key cacheKey, d Decision, generation uint64, now time.Time, conf *CacheConfig) {
	c.cache.Lock()
	defer c.cache.Unlock()
	if c.cache.generation != generation {
		if c.cache.generation > generation {
			return // decided by rules that are gone
		}
		clear(c.cache.entries)
		c.cache.order = c.cache.order[:0]
		c.cache.generation = generation
	}
	if c.cache.entries == nil {
		c.cache.entries = make(map[cacheKey]cacheEntry)
	}
	if _, known := c.cache.entries[key]; !known {
		if len(c.cache.order) >= conf.MaxSize {
			delete(c.cache.entries, c.cache.order[0])
			c.cache.order = append(c.cache.order[:0], c.cache.order[1:]...)
		}
		c.cache.order = append(c.cache.order, key)
	}
	c.cache.entries[key] = cacheEntry{decision: d, expires: now.Add(conf.TTL)}
}
