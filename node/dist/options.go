package dist

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"time"

	"ergo.services/ergo/gen"

	"ermine/node/dist/epmd"
	"ermine/node/dist/etf"
	"ermine/node/dist/handshake"
)

// DefaultCookie is the cookie of shipped configurations, which everybody
// knows: Start warns about it.
const DefaultCookie = "emqxsecretcookie"

// Options configure a node's network. Only Name, Cookie and Logger have to be
// set.
type Options struct {
	// Name is the node's full name, short@host. The host is an address or a
	// name that the peers resolve.
	Name string

	// Cookie is the secret that all nodes of a cluster share. It is never
	// logged.
	Cookie string

	// Visible makes the node part of the global namespace of Erlang nodes,
	// which then expect a process global_name_server here that speaks global's
	// protocol: without it global:sync/0 on their side hangs. Otherwise the node
	// is hidden.
	Visible bool

	// Creation tells this life of the node from others; 0 draws one.
	Creation uint32

	// ListenHost is the address to accept on; empty is the host of Name.
	ListenHost string

	// ListenMin and ListenMax are the ports to accept on in EPMD mode, tried in
	// turn; 0 is any. In static mode the port follows from the name, and they
	// must be 0.
	ListenMin, ListenMax uint16

	// NoListen makes a node that only connects to others, such as a console.
	NoListen bool

	// EPMD selects EPMD mode: ports are asked from port mappers. Otherwise the
	// static rule of package epmd holds for this node and all its peers.
	EPMD bool

	// EPMDPort is the port mappers' port; 0 is 4369.
	EPMDPort uint16

	// EPMDProvision says what to do when this host has no port mapper.
	EPMDProvision epmd.Provision

	// TLS, if set, makes all connections inet_tls.
	TLS *TLS

	// TickTime is the net tick time: how long a peer may be silent before it
	// counts as down. All nodes of a cluster should have the same. 0 is 60 s.
	TickTime time.Duration

	// HandshakeTimeout bounds a handshake, with TLS's; 0 is 7 s.
	HandshakeTimeout time.Duration

	// ConnectTimeout bounds an attempt to connect, from the look-up of the port
	// to the end of the handshake; 0 is 10 s.
	ConnectTimeout time.Duration

	// AutoConnectWait is how long a process that sends to a node without a
	// connection waits for one; the attempt goes on after that. 0 is 2 s.
	AutoConnectWait time.Duration

	// RetryMin and RetryMax bound the pause after failed attempts in which
	// implicit ones are refused at once; it doubles with each failure. 0 are
	// 250 ms and 5 s.
	RetryMin, RetryMax time.Duration

	// MaxPending bounds the connections that have not proved the cookie yet,
	// and MaxPendingPerHost those from one address; 0 are 256 and 32. Beyond
	// that new ones are closed.
	MaxPending, MaxPendingPerHost int

	// MaxMessage bounds one message in bytes, MaxQueue the output that waits
	// for one peer; 0 are the defaults of package proto.
	MaxMessage, MaxQueue int

	// Limits bound the terms of one message; zero fields are the defaults of
	// package etf.
	Limits etf.Limits

	// ExternalKernel leaves it to the caller to run a process named net_kernel
	// (NewNetKernel makes one), for example under a supervisor.
	ExternalKernel bool

	// Node is passed on to ergo: Env, Applications, ShutdownTimeout, Version
	// and so on. Network and Log are overwritten. Applications start before
	// the network does.
	Node gen.NodeOptions

	// Logger must not be nil.
	Logger *slog.Logger
}

// TLS holds the settings of inet_tls. Both are cloned.
type TLS struct {
	// Server is used for accepted connections. With ClientAuth =
	// tls.RequireAndVerifyClientCert and ClientCAs the peer is verified.
	Server *tls.Config

	// Client is used for dialled connections. Where ServerName is empty it is
	// the host part of the peer's node name.
	Client *tls.Config
}

const (
	defaultHandshakeTimeout = 7 * time.Second
	defaultConnectTimeout   = 10 * time.Second
	defaultAutoConnectWait  = 2 * time.Second
	defaultRetryMin         = 250 * time.Millisecond
	defaultRetryMax         = 5 * time.Second
	defaultMaxPending       = 256
	defaultMaxPendingHost   = 32

	// flushTime is how long a connection that is closed in order may take to
	// deliver what is queued.
	flushTime = time.Second
)

// prepare checks the options and fills in the defaults.
func (o *Options) prepare() error {
	_, host, err := epmd.SplitName(o.Name)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", ErrOptions, err)
	case o.Cookie == "":
		return fmt.Errorf("%w: no cookie", ErrOptions)
	case o.Logger == nil:
		return fmt.Errorf("%w: no logger", ErrOptions)
	case !o.EPMD && (o.ListenMin != 0 || o.ListenMax != 0):
		return fmt.Errorf("%w: a port range without EPMD", ErrOptions)
	case o.ListenMax != 0 && o.ListenMax < o.ListenMin:
		return fmt.Errorf("%w: ports %d to %d", ErrOptions, o.ListenMin, o.ListenMax)
	case o.TLS != nil && (o.TLS.Client == nil || o.TLS.Server == nil):
		return fmt.Errorf("%w: TLS needs settings for both directions", ErrOptions)
	}
	if o.ListenHost == "" {
		o.ListenHost = host
	}
	if o.ListenMax == 0 {
		o.ListenMax = o.ListenMin
	}
	for o.Creation == 0 {
		o.Creation = handshake.NewCreation()
	}
	setDefault(&o.HandshakeTimeout, defaultHandshakeTimeout)
	setDefault(&o.ConnectTimeout, defaultConnectTimeout)
	setDefault(&o.AutoConnectWait, defaultAutoConnectWait)
	setDefault(&o.RetryMin, defaultRetryMin)
	setDefault(&o.RetryMax, max(defaultRetryMax, o.RetryMin))
	setDefault(&o.MaxPending, defaultMaxPending)
	setDefault(&o.MaxPendingPerHost, min(defaultMaxPendingHost, o.MaxPending))
	return nil
}

func setDefault[T int | time.Duration](field *T, value T) {
	if *field <= 0 {
		*field = value
	}
}
