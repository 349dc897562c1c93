//go:build race

package node

// raceEnabled tells that the race detector makes everything many times slower.
const raceEnabled = true
