// Package sys publishes the broker's own state under `$SYS/brokers` (EMQX 5's
// topics).
//
// One actor (root "sys", permanent) publishes on a timer: the heartbeat
// (uptime, datetime) and the messages (version, sysdescr, stats, metrics).
// Client events are published where they happen, on the session's process.
// Messages go through the router like any other; the filters `#` and `+/...` do
// not see them [MQTT-4.7.2-1].
package sys
