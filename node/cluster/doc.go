// Package cluster is membership: which nodes belong to this node's cluster, and
// which of them live. Its heart is [Core], a state machine without goroutine,
// socket or clock, which package tests/sim drives through thousands of
// histories; [Service] runs a Core on a node.
//
// # What a member is
//
// A member is known by its [ID], 128 random bits in data_dir, next to its name:
// a node with an empty disk is another member under the same name, and a member
// that starts under another name is refused ([RenamedError]). A cluster is an ID
// too. A node that has never joined, or has left, is a cluster of one.
//
// What is known of a member is one [Record]. Only the member writes it, except
// that any member may write its tombstone. Replicas merge records by taking the
// greater, by (epoch, left, incarnation, sequence), so merging is commutative,
// associative and idempotent, and a netsplit leaves nothing to wipe ([Table]).
// Records spread by being sent to all members when they change, and by
// comparing digests at each heartbeat.
//
// The epoch counts the joins of a member. A tombstone is final within its epoch:
// nothing but the member's own next join undoes it. Tombstones are kept for
// Config.TombstoneFor; a member that was removed and stays away for longer is
// taken back when it returns.
//
// # Who lives
//
// Liveness is each member's own judgement, never replicated: a node that was
// cut off brings no verdicts back with it. Each member pings all others once in
// Config.Heartbeat, dead ones too. Only an answer is evidence, and it counts
// from when the ping was sent; so a link that works one way only is down for
// both. After SuspectAfter without evidence a member is suspect: others are
// asked to probe it, and the probe tells it so, which it refutes with the next
// sequence number of its record. After DeadAfter it is dead. The end of a
// connection makes a member suspect at once. A goodbye (Stop) makes it dead at
// once. A new incarnation, which each start is, is told as NodeDown, NodeUp.
//
// A node that finds it stood still (no Tick for longer than SuspectAfter) holds
// nobody for silent during that time.
//
// # Joining
//
//	joiner                         contact (any member)
//	JoinRequest     ─────────▶     checks, in this order: same identity, member
//	                               already, name, versions, leaving, running,
//	                               clocks, singleton, name taken
//	                ◀─────────     refused (Reason) | busy (Chain) | offer (Table)
//	leaves its old cluster, adopts the table with its own record of the next
//	epoch, on disk in one step
//	Departed to the old members, Sync to the new ones
//	AdoptData, then Adopted: running
//
// Nothing depends on an offer that is not taken up. A node that is joining
// answers "busy", and whoever asked follows it to where it ends up. If nodes
// wait for each other in a circle, which the chains in their answers show, the
// one with the smallest ID yields and lets the others join it.
//
// # Protocol
//
// Messages are this package's own binary format rather than Erlang terms: the
// bytes are the same for ever (testdata/wire.golden), fields can be appended
// behind those that older releases read, and only Ermine nodes speak it. They
// travel over the distribution as {ermine_cluster, Bytes} to the process
// ermine_cluster. Kinds that this release does not know are skipped and counted.
//
//	Ping         cast  each heartbeat; a relay's probe  answered by Ack
//	Ack          cast  answer                           evidence of life
//	Probe        cast  suspecting member                ping the suspect, report by ProbeAck
//	ProbeAck     cast  relay                            evidence of life
//	Sync         cast  member                           merge records; send all back if wanted
//	JoinRequest  cast  joiner, repeated                 answered by JoinReply
//	JoinReply    cast  contact                          see Joining
//	Departed     cast  leaver or remover, repeated      merge the tombstone; answered by DepartedAck
//	DepartedAck  cast  member                           stop repeating
//
// Each may be lost, doubled or overtaken.
//
// # Invariants
//
//   - P1: what an input changes is on disk before any message it causes is sent.
//   - J1: a node that has made an offer neither joins another cluster nor leaves
//     its own until the offer is taken up or over.
//   - J2: joins given at one moment end as one cluster.
//   - E1: for each member, MemberJoined comes before the first NodeUp, NodeUp
//     and NodeDown alternate, and NodeDown comes before MemberLeft. Members
//     known from disk at the start have no MemberJoined. All this within one
//     life of the process: with the next one it begins anew.
//   - C1: each command gets one Reply.
//
// tests/sim checks them, and what follows from them, as S1 to S6.
//
// # The process
//
// The ergo process ermine_cluster owns the Core and turns each of these into one
// input: its tick, a message, a [ermine/node/dist.NodeEvent], a command, the
// outcome of a connection attempt. It carries out the effects in order:
//
//	Persist       Save, and wait; the process ends if it fails
//	Send          into the peer's queue (64 messages, the oldest is dropped), which
//	              a goroutine for each peer empties: the process waits for no peer
//	Connect       Network.Connect in a goroutine, then Connected or ConnectFailed
//	Member...,
//	Node...       Options.Events, in order; it must not block
//	AdoptData,
//	ResetData     Options.Data, in order, in a goroutine; ResetData ends AdoptData
//	Reply         to the caller
//
// After a crash the supervisor starts the next one from disk, as the next
// incarnation: the peers see NodeDown, NodeUp, and send their routes again.
package cluster
