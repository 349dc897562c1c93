// Package sim runs the membership cores of several nodes (package node/cluster)
// on one thread, under a simulated network, clocks and disks, and checks what
// they make of it. Everything follows from the seed: a failing history can be
// run again, event by event.
//
// # Verbs
//
// Scripts in testdata, and histories drawn at random, are made of the same
// verbs:
//
//	node NAME...              start nodes with empty disks
//	join A B                  `cluster join B` on A; also "join A B, B C": at one moment
//	leave A                   `cluster leave` on A
//	force-leave A B           `cluster force-leave B` on A
//	crash A                   kill -9: what is not on disk is lost
//	stop A                    stop in order
//	restart A                 start a crashed or stopped node from its disk
//	pause A, resume A         SIGSTOP, SIGCONT
//	wipe A                    a crashed or stopped node loses its disk
//	partition A B / C         islands: no message between them
//	cut A B                   one way: what A sends to B is lost
//	lose P, delay MIN MAX     each message: lost with P percent, late by so much
//	reorder on|off            whether messages may overtake each other
//	skew A D                  A's wall clock is off by D
//	singleton A               A refuses to join and be joined (before node)
//	versions A MIN MAX        A speaks these versions (before node)
//	heal                      the network is whole, quick and orderly
//	run D                     let time pass
//	status [A]                print the cluster status of all nodes or one
//	results                   print what commands have ended with since the last time
//	events A                  print A's events since the last time
//	settle                    let twice the detection time pass, then check
//
// # What is checked
//
//   - S1: after settle, the nodes of a cluster that are up agree on members and
//     states, and the states are right.
//   - S2: no node is dropped from its cluster, nor changes it, but by a join, a
//     leave or a force-leave; and these are final.
//   - S3: no verdict of death on a member that was up and could be reached all
//     along, directly or through another member.
//   - S4: NodeUp and NodeDown of a member alternate, between its MemberJoined
//     and MemberLeft.
//   - S5: each command ends, once.
//   - S6: joins at one moment, on nodes without clusters, end as one cluster for
//     each group of nodes that they connect.
package sim
