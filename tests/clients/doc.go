// Package clients runs the MQTT clients that others have made against the
// broker: mosquitto_pub and mosquitto_sub, the two Go clients of Eclipse Paho
// over TCP, TLS and WebSocket, and MQTT.js from the npm registry over
// WebSocket. What the protocol allows is package conformance's; here it is
// whether programs in the field get along with it.
//
// A missing tool is a failure: make test-deps installs all of them. The npm
// packages are those of testdata/npm/package-lock.json, below .cache/npm.
package clients
