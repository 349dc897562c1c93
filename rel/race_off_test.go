//go:build !race

package main

// raceEnabled tells whether to build the program with the race detector, as the
// tests are.
const raceEnabled = false
