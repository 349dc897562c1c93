package kernel

// TreeNode is one actor in the live tree, as System.Tree found it. The nodes
// of one tree were read at slightly different moments.
type TreeNode struct {
	Name     string `json:"name"`
	Kind     string `json:"kind"`
	State    string `json:"state"`    // starting, running, suspended, restarting, stopping, stopped
	Restarts int    `json:"restarts"` // instances before the present one
	Mailbox  int    `json:"mailbox"`  // messages waiting
	Dropped  uint64 `json:"dropped"`  // messages refused by the full mailbox
	Children int    `json:"children"` // living children
	// Nodes are the children, oldest first, if there are at most the asked
	// number of them.
	Nodes []TreeNode `json:"nodes,omitempty"`
	// Groups sum up the children by kind where they are too many to list.
	Groups []TreeGroup `json:"groups,omitempty"`
}

// TreeGroup sums up the children of one kind.
type TreeGroup struct {
	Kind       string `json:"kind"`
	Count      int    `json:"count"`
	Children   int    `json:"children"`    // their living children together
	Restarts   int    `json:"restarts"`    // together
	Mailbox    int    `json:"mailbox"`     // messages waiting, together
	MailboxMax int    `json:"mailbox_max"` // messages waiting in the fullest
	Dropped    uint64 `json:"dropped"`     // together
	Suspended  int    `json:"suspended"`   // not running: starting, suspended, restarting, stopping
}

// Tree describes the living actors, roots in the order of their spawning.
// Actors with more than limit children (0: 64) have them summed up by kind.
// Nobody is stopped for it: no lock is held for more than 128 children.
func (s *System) Tree(limit int) []TreeNode { return s.tree(limit) }

// Stats are the counters of a System since it was made.
type Stats struct {
	Actors      int         // alive now
	DeadLetters uint64      // user messages sent to, or discarded by, stopped actors
	SystemDead  uint64      // protoactor's own dead letters (late stops and restarts: harmless)
	Kinds       []KindStats // sorted by kind
}

// KindStats are the counters of the actors of one kind.
type KindStats struct {
	Kind        string
	Actors      int    // alive now
	Spawned     uint64 // ever
	Restarts    uint64 // instances that replaced another
	Failures    uint64 // panics in New or Receive, the ones in Stopping included
	Refused     uint64 // messages refused by full mailboxes
	DeadLetters uint64 // user messages sent to, or discarded by, stopped actors
}

// Stats reads the counters: cheap enough for every scrape.
func (s *System) Stats() Stats { return s.stats() }
