package metrics

// Counter names one counter of a [Set].
type Counter uint8

// The counters, in the order of their table; the comment is the name that
// operators see (EMQX 5 names; the last three are ours).
const (
	BytesReceived                     Counter = iota // bytes.received
	BytesSent                                        // bytes.sent
	PacketsReceived                                  // packets.received
	PacketsSent                                      // packets.sent
	PacketsConnect                                   // packets.connect.received
	PacketsConnackSent                               // packets.connack.sent
	PacketsConnackError                              // packets.connack.error
	PacketsConnackAuthError                          // packets.connack.auth_error
	PacketsPublishReceived                           // packets.publish.received
	PacketsPublishSent                               // packets.publish.sent
	PacketsPublishInuse                              // packets.publish.inuse
	PacketsPublishDropped                            // packets.publish.dropped
	PacketsPublishError                              // packets.publish.error
	PacketsPublishAuthError                          // packets.publish.auth_error
	PacketsPubackReceived                            // packets.puback.received
	PacketsPubackSent                                // packets.puback.sent
	PacketsPubackInuse                               // packets.puback.inuse
	PacketsPubackMissed                              // packets.puback.missed
	PacketsPubrecReceived                            // packets.pubrec.received
	PacketsPubrecSent                                // packets.pubrec.sent
	PacketsPubrecInuse                               // packets.pubrec.inuse
	PacketsPubrecMissed                              // packets.pubrec.missed
	PacketsPubrelReceived                            // packets.pubrel.received
	PacketsPubrelSent                                // packets.pubrel.sent
	PacketsPubrelMissed                              // packets.pubrel.missed
	PacketsPubcompReceived                           // packets.pubcomp.received
	PacketsPubcompSent                               // packets.pubcomp.sent
	PacketsPubcompMissed                             // packets.pubcomp.missed
	PacketsSubscribeReceived                         // packets.subscribe.received
	PacketsSubscribeError                            // packets.subscribe.error
	PacketsSubscribeAuthError                        // packets.subscribe.auth_error
	PacketsSubackSent                                // packets.suback.sent
	PacketsUnsubscribeReceived                       // packets.unsubscribe.received
	PacketsUnsubscribeError                          // packets.unsubscribe.error
	PacketsUnsubackSent                              // packets.unsuback.sent
	PacketsPingreqReceived                           // packets.pingreq.received
	PacketsPingrespSent                              // packets.pingresp.sent
	PacketsDisconnectReceived                        // packets.disconnect.received
	PacketsDisconnectSent                            // packets.disconnect.sent
	PacketsAuthReceived                              // packets.auth.received
	PacketsAuthSent                                  // packets.auth.sent
	MessagesReceived                                 // messages.received
	MessagesSent                                     // messages.sent
	MessagesQoS0Received                             // messages.qos0.received
	MessagesQoS0Sent                                 // messages.qos0.sent
	MessagesQoS1Received                             // messages.qos1.received
	MessagesQoS1Sent                                 // messages.qos1.sent
	MessagesQoS2Received                             // messages.qos2.received
	MessagesQoS2Sent                                 // messages.qos2.sent
	MessagesPublish                                  // messages.publish
	MessagesDropped                                  // messages.dropped
	MessagesDroppedExpired                           // messages.dropped.expired
	MessagesDroppedNoSubscribers                     // messages.dropped.no_subscribers
	MessagesDroppedAwaitPubrelTimeout                // messages.dropped.await_pubrel_timeout
	MessagesForward                                  // messages.forward
	MessagesRetained                                 // messages.retained
	MessagesDelayed                                  // messages.delayed
	MessagesDelivered                                // messages.delivered
	MessagesAcked                                    // messages.acked
	DeliveryDropped                                  // delivery.dropped
	DeliveryDroppedNoLocal                           // delivery.dropped.no_local
	DeliveryDroppedTooLarge                          // delivery.dropped.too_large
	DeliveryDroppedQoS0                              // delivery.dropped.qos0_msg
	DeliveryDroppedQueueFull                         // delivery.dropped.queue_full
	DeliveryDroppedExpired                           // delivery.dropped.expired
	ClientConnect                                    // client.connect
	ClientConnack                                    // client.connack
	ClientConnected                                  // client.connected
	ClientAuthenticate                               // client.authenticate
	ClientAuthAnonymous                              // client.auth.anonymous
	ClientAuthorize                                  // client.authorize
	ClientSubscribe                                  // client.subscribe
	ClientUnsubscribe                                // client.unsubscribe
	ClientDisconnected                               // client.disconnected
	SessionCreated                                   // session.created
	SessionResumed                                   // session.resumed
	SessionTakenover                                 // session.takenover
	SessionDiscarded                                 // session.discarded
	SessionTerminated                                // session.terminated
	AuthenticationSuccess                            // authentication.success
	AuthenticationFailure                            // authentication.failure
	AuthorizationAllow                               // authorization.allow
	AuthorizationDeny                                // authorization.deny
	OverloadThrottled                                // overload_protection.throttled
	SessionCrashed                                   // session.crashed
	RetainedRateLimited                              // retainer.rate_limited
	count
)

var names = [count]string{
	BytesReceived:                     "bytes.received",
	BytesSent:                         "bytes.sent",
	PacketsReceived:                   "packets.received",
	PacketsSent:                       "packets.sent",
	PacketsConnect:                    "packets.connect.received",
	PacketsConnackSent:                "packets.connack.sent",
	PacketsConnackError:               "packets.connack.error",
	PacketsConnackAuthError:           "packets.connack.auth_error",
	PacketsPublishReceived:            "packets.publish.received",
	PacketsPublishSent:                "packets.publish.sent",
	PacketsPublishInuse:               "packets.publish.inuse",
	PacketsPublishDropped:             "packets.publish.dropped",
	PacketsPublishError:               "packets.publish.error",
	PacketsPublishAuthError:           "packets.publish.auth_error",
	PacketsPubackReceived:             "packets.puback.received",
	PacketsPubackSent:                 "packets.puback.sent",
	PacketsPubackInuse:                "packets.puback.inuse",
	PacketsPubackMissed:               "packets.puback.missed",
	PacketsPubrecReceived:             "packets.pubrec.received",
	PacketsPubrecSent:                 "packets.pubrec.sent",
	PacketsPubrecInuse:                "packets.pubrec.inuse",
	PacketsPubrecMissed:               "packets.pubrec.missed",
	PacketsPubrelReceived:             "packets.pubrel.received",
	PacketsPubrelSent:                 "packets.pubrel.sent",
	PacketsPubrelMissed:               "packets.pubrel.missed",
	PacketsPubcompReceived:            "packets.pubcomp.received",
	PacketsPubcompSent:                "packets.pubcomp.sent",
	PacketsPubcompMissed:              "packets.pubcomp.missed",
	PacketsSubscribeReceived:          "packets.subscribe.received",
	PacketsSubscribeError:             "packets.subscribe.error",
	PacketsSubscribeAuthError:         "packets.subscribe.auth_error",
	PacketsSubackSent:                 "packets.suback.sent",
	PacketsUnsubscribeReceived:        "packets.unsubscribe.received",
	PacketsUnsubscribeError:           "packets.unsubscribe.error",
	PacketsUnsubackSent:               "packets.unsuback.sent",
	PacketsPingreqReceived:            "packets.pingreq.received",
	PacketsPingrespSent:               "packets.pingresp.sent",
	PacketsDisconnectReceived:         "packets.disconnect.received",
	PacketsDisconnectSent:             "packets.disconnect.sent",
	PacketsAuthReceived:               "packets.auth.received",
	PacketsAuthSent:                   "packets.auth.sent",
	MessagesReceived:                  "messages.received",
	MessagesSent:                      "messages.sent",
	MessagesQoS0Received:              "messages.qos0.received",
	MessagesQoS0Sent:                  "messages.qos0.sent",
	MessagesQoS1Received:              "messages.qos1.received",
	MessagesQoS1Sent:                  "messages.qos1.sent",
	MessagesQoS2Received:              "messages.qos2.received",
	MessagesQoS2Sent:                  "messages.qos2.sent",
	MessagesPublish:                   "messages.publish",
	MessagesDropped:                   "messages.dropped",
	MessagesDroppedExpired:            "messages.dropped.expired",
	MessagesDroppedNoSubscribers:      "messages.dropped.no_subscribers",
	MessagesDroppedAwaitPubrelTimeout: "messages.dropped.await_pubrel_timeout",
	MessagesForward:                   "messages.forward",
	MessagesRetained:                  "messages.retained",
	MessagesDelayed:                   "messages.delayed",
	MessagesDelivered:                 "messages.delivered",
	MessagesAcked:                     "messages.acked",
	DeliveryDropped:                   "delivery.dropped",
	DeliveryDroppedNoLocal:            "delivery.dropped.no_local",
	DeliveryDroppedTooLarge:           "delivery.dropped.too_large",
	DeliveryDroppedQoS0:               "delivery.dropped.qos0_msg",
	DeliveryDroppedQueueFull:          "delivery.dropped.queue_full",
	DeliveryDroppedExpired:            "delivery.dropped.expired",
	ClientConnect:                     "client.connect",
	ClientConnack:                     "client.connack",
	ClientConnected:                   "client.connected",
	ClientAuthenticate:                "client.authenticate",
	ClientAuthAnonymous:               "client.auth.anonymous",
	ClientAuthorize:                   "client.authorize",
	ClientSubscribe:                   "client.subscribe",
	ClientUnsubscribe:                 "client.unsubscribe",
	ClientDisconnected:                "client.disconnected",
	SessionCreated:                    "session.created",
	SessionResumed:                    "session.resumed",
	SessionTakenover:                  "session.takenover",
	SessionDiscarded:                  "session.discarded",
	SessionTerminated:                 "session.terminated",
	AuthenticationSuccess:             "authentication.success",
	AuthenticationFailure:             "authentication.failure",
	AuthorizationAllow:                "authorization.allow",
	AuthorizationDeny:                 "authorization.deny",
	OverloadThrottled:                 "overload_protection.throttled",
	SessionCrashed:                    "session.crashed",
	RetainedRateLimited:               "retainer.rate_limited",
}
