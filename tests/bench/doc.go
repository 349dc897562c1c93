// Command bench puts the same load on Ermine and on other brokers, in turn
// within one run, and prints what each used of the machine, the ratios, and
// whether these meet the targets:
//
//	go run ./tests/bench                                   every default scenario
//	go run ./tests/bench -scenario own-q0,own-q1 -rounds 5
//	go run ./tests/bench -scenario cluster-q1 -brokers ermine-cluster,rabbitmq-cluster
//	go run ./tests/bench -list                             scenarios, brokers, targets
//
// # What is measured
//
// For each scenario, every round starts each broker afresh, runs the load (see
// package load) and stops it; the order of the brokers turns from round to
// round, so that a machine that grows slower favours none. CPU is what /proc
// says of the broker's processes between the start and the end of the measured
// part, divided by the messages that reached subscribers meanwhile; memory is
// their resident set. The figures printed are medians over the rounds, the
// ratios are of medians. The generator's own CPU stands beside them, since it
// runs on the same cores: where it is the larger part, throughput says more of
// the generator than of the broker, and CPU per message is the figure to read.
//
// A publisher writes as many messages at a time as its window has room for,
// which costs the generator least and lets every broker read many at once;
// -batch 1 has it write each alone, as most clients do.
//
// A message lost, doubled or out of order fails the scenario whatever its
// figures.
//
// # Exit code
//
// 0 when every scenario ran, and Ermine lost, doubled and reordered nothing; 1
// otherwise, with -strict also where a target is missed.
package main
