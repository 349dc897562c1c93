// Package brokertest starts a whole broker inside a test process: actors, MQTT
// server and listeners on free loopback ports, as the node composes them, but
// with every setting open to the test and with a clock that the test can put
// forward.
//
// The clock governs what is compared with a time of day: expiry of messages and
// sessions, the moment a delayed message is due. Timers (keep-alive, will
// delay) run in real time.
package brokertest
