// Command dist measures the Erlang distribution: how fast messages go from one
// Ermine node to another, beside how fast they go from one Erlang node to
// another, in one run and on the same machine:
//
//	go run ./tests/bench/dist                            everything, with targets
//	go run ./tests/bench/dist -load send-1 -rounds 9
//	go run ./tests/bench/dist -cpuprofile /tmp/profiles  of the Ermine nodes
//
// # What is measured
//
// Each round starts four nodes afresh, each a program of its own on loopback:
// two of Ermine's (this binary again, with package node/dist and nothing else)
// and two of `erl`. The loads then run between them, one at a time, the order of
// the pairs turning from round to round:
//
//	send-1  one process sends binaries of 200 bytes to one process
//	send-4  four pairs of processes do, over the one connection
//	call    one process calls a gen_server with an integer and gets it back
//	call-16 sixteen do, of one gen_server
//
// A sender has at most -window messages on their way: the receiver tells it of
// every -step-th, which bounds all queues. Messages per second are those that the
// sender was told of in the measured part; at the end both counts must agree, or
// the run fails. CPU is what /proc says of both nodes meanwhile, by message. The
// figures printed are medians over the rounds, the ratios are of medians.
//
// Both sides run the same steps, bench_node.erl in Erlang and node.go in Go. In
// Go the processes are ergo's and use its Send and Call, as any process of a node
// does. The Erlang nodes run on their defaults, but for +zdbbl, which gives their
// output the room that Ermine's has.
//
// # Exit code
//
// 0 when everything ran and nothing was lost; 1 otherwise, with -strict also
// where a target is missed.
package main
