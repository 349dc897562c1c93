package ctl

import (
	"context"
	"time"

	"ermine/actors"
	"ermine/actors/kernel"
	"ermine/actors/metrics"
	"ermine/node/logs"
)

// Env is what the commands know of their node and may change on it. All funcs
// may be called by any goroutine. Fields that are nil take their commands away.
type Env struct {
	Name        string // the node's
	Version     string
	Description string
	Started     time.Time
	// State is "starting", "started" or "stopping".
	State func() string
	// Tree is the live tree of the node's processes, the broker's actors
	// included; of many children of one kind at most limit are listed.
	Tree func(limit int) []kernel.TreeNode
	// Broker is nil while there is none: it starts, restarts or stops.
	Broker    func() *actors.Broker
	Metrics   *metrics.Set
	Listeners Listeners
	Logs      *logs.Log
	Conf      Conf
	Users     Users
	// Debug adds the commands that do harm on purpose.
	Debug bool
}

// Listeners are the node's listeners. ErrUnavailable while there are none.
type Listeners interface {
	List() ([]Listener, error)
	Start(id string) error
	// Stop and Restart wait until the connections are gone, or ctx ends.
	Stop(ctx context.Context, id string) error
	Restart(ctx context.Context, id string) error
	// Enable sets whether the listener is started with the node, and starts or
	// stops it.
	Enable(ctx context.Context, id string, on bool) error
}

// Listener is the state of one listener.
type Listener struct {
	ID            string            `json:"id"`
	ListenOn      string            `json:"listen_on"`
	Acceptors     int               `json:"acceptors"`
	ProxyProtocol bool              `json:"proxy_protocol"`
	Enable        bool              `json:"enable"`
	Running       bool              `json:"running"`
	CurrentConn   int               `json:"current_conn"`
	MaxConns      int               `json:"max_conns"` // 0 is unlimited
	ShutdownCount map[string]uint64 `json:"shutdown_count,omitempty"`
}

// Conf is the configuration in effect.
type Conf interface {
	// Show is the part at or below a path as HOCON, secrets masked; everything
	// for an empty path, nothing for one that is unknown.
	Show(path string) []byte
	// Keys are the names at the root.
	Keys() []string
}

// Users is a file of users that clients authenticate against.
type Users interface {
	Add(ctx context.Context, name, password string, superuser bool) error
	Delete(name string) error
	List() []User
}

// User is one user.
type User struct {
	Name      string `json:"user_id"`
	Superuser bool   `json:"is_superuser"`
}

// NewCommands makes the tree of a node's commands.
func NewCommands(env Env) *Tree {
	e := &env
	t := NewTree("node ctl", e.status(), e.brokerCommand(), e.cluster())
	t.Add(e.clients(), e.topics(), e.subscriptions(), e.exclusive(), e.publish(), e.retainer())
	if e.Listeners != nil {
		t.Add(e.listeners())
	}
	t.Add(e.authn())
	if e.Logs != nil {
		t.Add(e.log())
	}
	if e.Conf != nil {
		t.Add(e.conf())
	}
	t.Add(e.vm(), e.tree())
	if e.Debug {
		t.Add(e.fault())
	}
	t.Add(e.ping())
	return t
}

// broker gives the broker, or ErrUnavailable.
func (e *Env) broker() (*actors.Broker, error) {
	if b := e.Broker(); b != nil {
		return b, nil
	}
	return nil, ErrUnavailable
}
