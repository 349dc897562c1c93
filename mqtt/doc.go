// Package mqtt is the wire side of the node: the listeners and the MQTT server
// behind them, as one thing that the release starts, drains and stops.
//
// The parts are in the packages below it: listener (sockets), hook (one
// connection object for each client), wire (bytes), auth (who may do what).
// The broker is reached through hook.Open alone. There are no actors here.
package mqtt
