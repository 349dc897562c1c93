package auth

import (
	"context"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Client is who is asked about. It is made at CONNECT and lives as long as the
// connection. Its exported fields must not change once it has been authorized for
// the first time, and it must not be copied.
type Client struct {
	ClientID string
	Username string     // "" is anonymous
	Peer     netip.Addr // the client's address, not that of a proxy
	Listener string     // e.g. "tcp:default"
	Zone     string

	// CertCN and CertDN are of the client's verified certificate, "" without one.
	CertCN, CertDN string

	// Superuser may do everything. Authentication sets it.
	Superuser bool

	// Attributes are set by Authentication, for ${client_attrs.name} and
	// {client_attr, Name, Value}.
	Attributes map[string]string

	// own are the rules that authentication gave to this client; they are asked
	// before the chain.
	own Authorizer

	// fast is what Authorization knows in advance: generation and outcomes.
	fast atomic.Uint64

	// plan is the part of an ACL file that can apply to this client.
	plan atomic.Pointer[plan]

	cache struct {
		sync.Mutex
		generation uint64
		entries    map[cacheKey]cacheEntry
		order      []cacheKey // oldest first
	}
}

// Credentials are what CONNECT proves the client's identity with, besides its
// certificate.
type Credentials struct {
	Password []byte
}

// Decision is what a source answers.
type Decision uint8

// The decisions. Ignore leaves the decision to the next source.
const (
	Ignore Decision = iota
	Allow
	Deny
)

// String is the decision's name in rules and logs.
func (d Decision) String() string {
	switch d {
	case Allow:
		return "allow"
	case Deny:
		return "deny"
	default:
		return "ignore"
	}
}

// ReasonCode is an MQTT 5 reason code. Older clients are told what corresponds.
type ReasonCode byte

// The reason codes with which a CONNECT is refused here.
const (
	ReasonSuccess           ReasonCode = 0x00
	ReasonBadCredentials    ReasonCode = 0x86 // Bad User Name or Password
	ReasonNotAuthorized     ReasonCode = 0x87
	ReasonServerUnavailable ReasonCode = 0x88
	ReasonServerBusy        ReasonCode = 0x89
	ReasonBanned            ReasonCode = 0x8A
)

// Result is the answer to a CONNECT.
type Result struct {
	Decision Decision
	Reason   ReasonCode // where Decision is Deny

	// Where Decision is Allow:
	Superuser  bool
	Attributes map[string]string
	ACL        Authorizer // rules for this client alone, asked before the chain; nil if none
	ExpireAt   time.Time  // when the client must be disconnected; zero is never
}

// Authenticator is asked for every CONNECT. It may block until ctx ends, and is
// called from many goroutines. An error means that it could not decide: the next
// one is asked, and if none decides, the client is refused as if the server were
// unavailable.
type Authenticator interface {
	Authenticate(ctx context.Context, c *Client, cred Credentials) (Result, error)
}

// ActionType is what a client does with a topic.
type ActionType uint8

// The action types.
const (
	Publish ActionType = iota
	Subscribe
)

// String is the action's name in rules and logs.
func (t ActionType) String() string {
	if t == Subscribe {
		return "subscribe"
	}
	return "publish"
}

// Action is a publish, a will or a subscription. Retain is false for the latter.
type Action struct {
	Type   ActionType
	QoS    byte
	Retain bool
}

// Authorizer is asked for every PUBLISH and SUBSCRIBE that is not decided in
// advance or in the cache. topic is a Topic Name or a Topic Filter, without the
// prefixes $share/<group>/, $queue/, $exclusive/ and $delayed/<s>/. It may block
// until ctx ends, which holds up the client, and is called from many goroutines.
type Authorizer interface {
	Authorize(ctx context.Context, c *Client, a Action, topic string) Decision
}

// Outcomes is a set of decisions.
type Outcomes uint8

// Set returns the set with these decisions in it.
func Set(decisions ...Decision) (o Outcomes) {
	for _, d := range decisions {
		o |= 1 << d
	}
	return o
}

// Has reports whether d is in the set.
func (o Outcomes) Has(d Decision) bool { return o&(1<<d) != 0 }

// Static is an Authorizer that can say in advance what it may answer.
type Static interface {
	Authorizer

	// Outcomes is what Authorize may answer for any action of this type by this
	// client, until Generation changes.
	Outcomes(c *Client, t ActionType) Outcomes

	// Generation changes whenever an answer may. It is asked for every check and
	// must cost no more than a load.
	Generation() uint64
}
