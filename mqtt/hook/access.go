package hook

import (
	"context"

	"ermine/actors/message"
	"ermine/actors/session"
	"ermine/mqtt/listener"
)

// Decision is an authoriser's answer.
type Decision byte

// The decisions.
const (
	Allow          Decision = iota
	Deny                    // refuse this packet: reason 0x87 where there is one
	DenyDisconnect          // end the connection, as authorization.deny_action = disconnect asks for
)

// Login is what a client shows of itself in CONNECT.
type Login struct {
	ClientID    string
	Username    string
	Password    []byte // nil when none was sent
	HasUsername bool
	Client      *session.Client // all that is known so far
	Conn        *listener.Info
}

// Access decides who may connect and what a client may do. It is asked on the
// connection's goroutine and may block: only that client waits.
type Access interface {
	// Connect admits a client. An error refuses it: the code of a
	// *wire.ReasonError if it is one, else 0x87, not authorized.
	Connect(ctx context.Context, l *Login) error
	// Publish is asked for every PUBLISH, and for the will when a client
	// connects. Topic is as the client wrote it, without $delayed prefix.
	Publish(ctx context.Context, c *session.Client, topic string, qos message.QoS, retain bool) Decision
	// Subscribe is asked for every filter of a SUBSCRIBE, without prefixes such
	// as $share/<group>/.
	Subscribe(ctx context.Context, c *session.Client, filter string, qos message.QoS) Decision
}
