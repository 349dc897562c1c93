// Package erl is what Erlang and Elixir nodes can do with an Ermine node: the
// services that stand on the distribution of package dist. Everything here is
// reached from a connected node, which has proved the cookie; the code that runs
// is ours alone, there is no Erlang code and none can be loaded.
//
// # Processes
//
//	rex             rpc of nodes and C nodes from before OTP 23, erl_call
//	ermine          subscribe and publish for Erlang processes (gen_server)
//	ermine_console  consoles of `node attach`; see package console
//	(unnamed)       one for each call under way: erpc:execute_call/3,4,
//	                erpc:execute_cast/3, erlang:apply/2,3, or a function below
//	(unnamed)       one for each `erl -remsh` shell
//
// Named ones are restarted when they fail, at most maxRestarts times in
// restartPeriod; beyond it Services.Done tells. Their state is not theirs (see
// hub), so that a restart loses no subscription.
//
// # Functions
//
// A Table of modules holds what can be called, each entry a Go function: `ermine`
// (also as `emqx`), `ermine_ctl` (also `emqx_ctl`), `shell`, `edlin_expand`, and
// what tools ask of `erlang`, `code`, `net_kernel`, `application`, `init`, `os`
// and `rpc`. Anything else fails as Erlang says it, error undef with
// [{M,F,Args,[]}]. Nothing starts programs, reads files or stops the node.
//
//	ermine:publish(Topic, Payload)            {ok, Receivers} | {error, Reason}
//	ermine:publish(Topic, Payload, Opts)
//	ermine:subscribe(Filter)                  ok | {error, Reason}
//	ermine:subscribe(Filter, Opts | Pid)      the caller's process, or Pid
//	ermine:subscribe(Filter, Opts, Pid)
//	ermine:unsubscribe(Filter), (Filter, Pid) ok | {error, not_subscribed}
//	ermine:topics(), clients()                [Binary]
//	ermine:info()                             map
//	ermine_ctl:run_command(Words)             Output :: binary | {error, Output}
//
// # The process ermine
//
//	{subscribe, Filter, Opts}          call  ok | {error, Reason}
//	{unsubscribe, Filter}              call  ok | {error, not_subscribed}
//	{publish, Topic, Payload, Opts}    call  {ok, Receivers} | {error, Reason}
//	                                   cast  the same without an answer
//	info                               call  a map: subscriptions and counters
//	{mqtt_ack, Id}                     info  the message has been dealt with
//
// A subscriber is sent {mqtt, Topic, Payload, Props}; Props is a map with qos,
// retain, filter, and where the message has them publisher, id (to acknowledge),
// and the properties of MQTT 5. Opts are a map or a property list:
//
//	subscribe: qos, nl, rap, rh, ack, max_inflight, max_queue
//	publish:   qos, retain, from, expiry_interval, content_type, response_topic,
//	           correlation_data, payload_format, user_properties
//
// # Invariants
//
//   - E1: a subscriber's subscriptions end with it, or with the connection to its
//     node, whichever the monitor tells first.
//   - E2: messages reach a subscriber in the order in which they were routed.
//   - E3: with {ack, true} the publisher of a message of QoS 1 or 2 is answered
//     after the subscriber's {mqtt_ack, Id}, its end, or ackTime, or when the
//     message was dropped; without it, when the message is in the queue.
//     A message is sent once.
//   - E4: what one process asks of ermine is done in the order asked.
//
// # Full
//
// A subscriber has a queue of at most max_queue messages and queueBytes; beyond
// it the oldest waiting message is dropped and counted, and publishers never
// wait for a slow process. One caller may have maxLane requests waiting at
// ermine; further calls are answered {error, overload}, casts dropped and
// counted.
package erl
