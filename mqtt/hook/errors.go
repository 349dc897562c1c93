package hook

import (
	"errors"

	"ermine/mqtt/wire"
)

var (
	// ErrRefused is wrapped by what Hook.Establish returns for a client that got
	// no session: its CONNECT was invalid, or it was not allowed in.
	ErrRefused = errors.New("connection refused")

	// errDisconnected ends the read loop after the client's DISCONNECT.
	errDisconnected = errors.New("client disconnected")
)

// What a connection finds beyond the decoders of package wire.
var (
	errSecondConnect  = &wire.ReasonError{Code: wire.ProtocolError, Text: "second connect packet"} // [MQTT-3.1.0-2]
	errFromServerOnly = &wire.ReasonError{Code: wire.ProtocolError, Text: "packet that only a server sends"}
	errAuthPacket     = &wire.ReasonError{Code: wire.ProtocolError, Text: "auth packet without enhanced authentication"} // [MQTT-4.12.0-6]
	errReservedType   = &wire.ReasonError{Code: wire.MalformedPacket, Text: "reserved packet type"}
	errPingBody       = &wire.ReasonError{Code: wire.MalformedPacket, Text: "pingreq with a body"}
	errTopicName      = &wire.ReasonError{Code: wire.TopicNameInvalid, Text: "invalid topic name"}
	errTopicLevels    = &wire.ReasonError{Code: wire.TopicNameInvalid, Text: "topic name of too many levels"}
	errAliasRange     = &wire.ReasonError{Code: wire.TopicAliasInvalid, Text: "topic alias above the maximum"} // [MQTT-3.3.2-9]
	errAliasUnknown   = &wire.ReasonError{Code: wire.ProtocolError, Text: "unknown topic alias"}
	errAliasMemory    = &wire.ReasonError{Code: wire.QuotaExceeded, Text: "topic aliases take too much memory"}
	errQoSAllowed     = &wire.ReasonError{Code: wire.QoSNotSupported, Text: "qos not supported"}       // [MQTT-3.2.2-11]
	errRetainAllowed  = &wire.ReasonError{Code: wire.RetainNotSupported, Text: "retain not supported"} // [MQTT-3.2.2-14]
	errPayloadFormat  = &wire.ReasonError{Code: wire.PayloadFormatInvalid, Text: "payload is not the utf-8 that it claims to be"}
	errSharedNoLocal  = &wire.ReasonError{Code: wire.ProtocolError, Text: "no local on a shared subscription"} // [MQTT-3.8.3-4]
	errNotAuthorized  = &wire.ReasonError{Code: wire.NotAuthorized, Text: "not authorized"}
	errReceiveMaximum = &wire.ReasonError{Code: wire.ReceiveMaximumExceeded, Text: "receive maximum exceeded"} // [MQTT-3.3.4-9]
	errExpiryRaised   = &wire.ReasonError{Code: wire.ProtocolError, Text: "session expiry raised from 0 in disconnect"}
	errBusy           = &wire.ReasonError{Code: wire.ServerBusy, Text: "server busy"}
	errClientID       = &wire.ReasonError{Code: wire.ClientIDNotValid, Text: "client identifier not valid"}
	errAuthMethod     = &wire.ReasonError{Code: wire.BadAuthenticationMethod, Text: "enhanced authentication is not supported"}
	errWillTopic      = &wire.ReasonError{Code: wire.TopicNameInvalid, Text: "invalid will topic"}
	errUnavailable    = &wire.ReasonError{Code: wire.ServerUnavailable, Text: "server unavailable"}
)
