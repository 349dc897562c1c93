//go:build race

package topic

// raceEnabled tells tests to do with less.
const raceEnabled = true
