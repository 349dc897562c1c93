// Package fault injects faults into the released program under live traffic: a
// node is started as a user starts it, real clients publish and subscribe, and
// fault points are armed through `node ctl fault`. The tests hold what the
// design promises: who is disconnected, what is rebuilt, that nothing
// acknowledged is lost, and where failures lead that do not end.
//
// The faults of single actors, on a broker within the test's own process, are
// in package actors.
package fault
