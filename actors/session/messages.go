package session

import (
	"ermine/actors/kernel"
	"ermine/actors/message"
	"ermine/actors/router"
)

// Open (call, from the directory through a Manager) attaches a connection.
type Open struct {
	Epoch uint64
	Req   OpenRequest
	Reply kernel.Reply[Opened]
}

// attach (cast, from the connection): CONNACK has been written.
type attach struct{ handle *Handle }

// subscribe (call, from the connection or an operator; handle is then nil).
type subscribe struct {
	handle *Handle
	req    SubscribeRequest
	wait   *waiter
	reply  kernel.Reply[*subscribed]
}

// subscribed (cast, from whoever called subscribe): the shards have answered.
type subscribed struct {
	handle *Handle
	req    SubscribeRequest
	fresh  []bool // the filter was not subscribed before
}

// unsubscribe (call, from the connection or an operator).
type unsubscribe struct {
	handle *Handle
	req    UnsubscribeRequest
	wait   *waiter
	reply  kernel.Reply[*unsubscribed]
}

// unsubscribed (cast): no publish finds the filters any more.
type unsubscribed struct {
	handle *Handle
	id     uint16
	codes  []byte
}

// closed (cast, from the connection): it has ended.
type closed struct {
	handle *Handle
	cause  CloseCause
}

// kick (call, from an operator) ends the session with a DISCONNECT reason.
type kick struct {
	code  byte
	word  string
	reply kernel.Reply[bool]
}

// inspect (call, from an operator) asks for a snapshot.
type inspect struct{ reply kernel.Reply[Info] }

// reannounce (cast, from the broker): a topic shard has lost its index.
type reannounce struct {
	shard int
	epoch uint64
	reply kernel.Reply[struct{}]
}

// RetainedBatch (cast, from retain) brings retained messages for Sub.
type RetainedBatch struct {
	Sub  *router.Subscription
	Msgs []*message.Message
}

// released (cast, from the directory): the client ID is no longer ours.
type released struct{ epoch uint64 }

// wake (info): the inbox has something. tick (info): a timer is due.
type (
	wake struct{}
	tick struct{}
)
