package auth

import (
	"context"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"ermine/actors/topic"
)

// Rules is a parsed ACL: an ordered list of which the first rule that applies
// decides; none means Ignore. It is immutable, an Authorizer, and may be used from
// any goroutine.
type Rules struct {
	rules      []rule
	generation uint64

	mu    sync.Mutex
	plans map[string]*plan // by the set of rules that can apply
}

// rule is one term of the file.
type rule struct {
	decision Decision
	who      who
	types    [2]bool // by ActionType
	qos      [3]bool // by QoS
	retain   retainRule
	anyTopic bool
	topics   []topicRule
}

type retainRule uint8

const (
	retainAny retainRule = iota
	retainOnly
	retainNot
)

// who tells whether a rule is about a client. It depends on nothing that changes
// during a connection.
type who interface{ matches(c *Client) bool }

type (
	whoAll   struct{}
	whoAnd   []who
	whoOr    []who
	whoAddrs []netip.Prefix

	// whoText compares one property of the client with a text or a pattern.
	whoText struct {
		get     func(*Client) string
		text    string
		pattern *regexp.Regexp // in place of text
	}
)

func (whoAll) matches(*Client) bool { return true }

func (w whoAnd) matches(c *Client) bool {
	return !slices.ContainsFunc(w, func(x who) bool { return !x.matches(c) })
}

func (w whoOr) matches(c *Client) bool {
	return slices.ContainsFunc(w, func(x who) bool { return x.matches(c) })
}

func (w whoAddrs) matches(c *Client) bool {
	addr := c.Peer.Unmap()
	return slices.ContainsFunc(w, func(p netip.Prefix) bool { return p.Contains(addr) })
}

func (w whoText) matches(c *Client) bool {
	text := w.get(c)
	switch {
	case text == "": // unknown, e.g. the user name of an anonymous client
		return false
	case w.pattern != nil:
		return w.pattern.MatchString(text)
	default:
		return text == w.text
	}
}

// topicRule is one topic of a rule.
type topicRule struct {
	exact bool // {eq, Topic}
	text  string
	parts []topicPart // where there are placeholders: the text in pieces
}

// topicPart is literal text or, where get is set, a placeholder.
type topicPart struct {
	literal string
	get     func(*Client) string
}

// matches tells whether the rule's topic is about the action's.
//
// A subscription is allowed where the rule's filter covers all of it: a/+ does not
// allow a/#. It is denied where the filter matches its text, in which wildcards are
// levels like any other, as in EMQX; so a/+ denies a/#, but does not deny #.
func (r *topicRule) matches(c *Client, d Decision, t ActionType, name string) bool {
	text := r.text
	if r.parts != nil {
		var ok bool
		if text, ok = r.expand(c, d); !ok {
			return false
		}
	}
	switch {
	case r.exact:
		return text == name
	case t == Subscribe && d == Allow:
		return topic.Covers(topic.Filter(text), topic.Filter(name))
	default:
		return topic.Match(topic.Filter(text), topic.Name(name))
	}
}

// expand puts the client's properties in place of the placeholders. Where one is
// not known, the topic matches nothing; likewise in an allowing rule where it has
// a wildcard in it, which would widen the rule (A3).
func (r *topicRule) expand(c *Client, d Decision) (string, bool) {
	var b strings.Builder
	for i := range r.parts {
		part := &r.parts[i]
		if part.get == nil {
			b.WriteString(part.literal)
			continue
		}
		value := part.get(c)
		if value == "" || d == Allow && strings.ContainsAny(value, "+#") {
			return "", false
		}
		b.WriteString(value)
	}
	return b.String(), true
}

// conditional reports that the rule may or may not apply to an action of a client
// and type that it is about.
func (r *rule) conditional(t ActionType) bool {
	return !r.anyTopic || r.qos != [3]bool{true, true, true} || t == Publish && r.retain != retainAny
}

func (r *rule) applies(c *Client, a Action, name string) bool {
	if a.QoS > 2 || !r.qos[a.QoS] {
		return false
	}
	if a.Type == Publish && (r.retain == retainOnly && !a.Retain || r.retain == retainNot && a.Retain) {
		return false
	}
	if r.anyTopic {
		return true
	}
	for i := range r.topics {
		if r.topics[i].matches(c, r.decision, a.Type, name) {
			return true
		}
	}
	return false
}

// plan is what is left of the rules for the clients that the same ones are about.
// Rules behind one that always applies are left out. Plans are shared.
type plan struct {
	of    *Rules
	rules [2][]*rule // by ActionType
}

// maxPlans bounds how many plans are shared; beyond it clients get their own.
const maxPlans = 1024

// plan returns the client's plan.
func (r *Rules) plan(c *Client) *plan {
	if p := c.plan.Load(); p != nil && p.of == r {
		return p
	}
	about := make([]byte, (len(r.rules)+7)/8)
	for i := range r.rules {
		if r.rules[i].who.matches(c) {
			about[i/8] |= 1 << (i % 8)
		}
	}
	r.mu.Lock()
	p := r.plans[string(about)]
	if p == nil {
		p = r.newPlan(about)
		if r.plans == nil {
			r.plans = make(map[string]*plan)
		}
		if len(r.plans) < maxPlans {
			r.plans[string(about)] = p
		}
	}
	r.mu.Unlock()
	c.plan.Store(p)
	return p
}

func (r *Rules) newPlan(about []byte) *plan {
	p := &plan{of: r}
	for _, t := range []ActionType{Publish, Subscribe} {
		for i := range r.rules {
			ru := &r.rules[i]
			if about[i/8]&(1<<(i%8)) == 0 || !ru.types[t] {
				continue
			}
			p.rules[t] = append(p.rules[t], ru)
			if !ru.conditional(t) {
				break
			}
		}
	}
	return p
}

// Authorize returns the decision of the first rule that applies.
func (r *Rules) Authorize(_ context.Context, c *Client, a Action, name string) Decision {
	for _, ru := range r.plan(c).rules[a.Type] {
		if ru.applies(c, a, name) {
			return ru.decision
		}
	}
	return Ignore
}

// Outcomes implements Static.
func (r *Rules) Outcomes(c *Client, t ActionType) (o Outcomes) {
	for _, ru := range r.plan(c).rules[t] {
		o |= Set(ru.decision)
		if !ru.conditional(t) {
			return o
		}
	}
	return o | Set(Ignore)
}

func (r *Rules) size(c *Client, t ActionType) int { return len(r.plan(c).rules[t]) }

// Generation implements Static.
func (r *Rules) Generation() uint64 { return r.generation }

// Len is the number of rules.
func (r *Rules) Len() int { return len(r.rules) }

// rulesMade numbers sets of rules, so that a file's generation grows with each.
var rulesMade atomic.Uint64

var _ Static = (*Rules)(nil)
