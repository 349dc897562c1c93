package wire

// The protocol versions, as the CONNECT packet has them (MQTT 5, section
// 3.1.2.2).
const (
	V31  byte = 3 // MQTT 3.1, protocol name MQIsdp
	V311 byte = 4 // MQTT 3.1.1
	V5   byte = 5 // MQTT 5.0
)

// The reason codes that the broker sends (MQTT 5, section 2.4).
const (
	Success                    byte = 0x00
	DisconnectWithWill         byte = 0x04
	NoMatchingSubscribers      byte = 0x10
	NoSubscriptionExisted      byte = 0x11
	UnspecifiedError           byte = 0x80
	MalformedPacket            byte = 0x81
	ProtocolError              byte = 0x82
	ImplementationError        byte = 0x83
	UnsupportedProtocolVersion byte = 0x84
	ClientIDNotValid           byte = 0x85
	BadUserNameOrPassword      byte = 0x86
	NotAuthorized              byte = 0x87
	ServerUnavailable          byte = 0x88
	ServerBusy                 byte = 0x89
	Banned                     byte = 0x8A
	ServerShuttingDown         byte = 0x8B
	BadAuthenticationMethod    byte = 0x8C
	KeepAliveTimeout           byte = 0x8D
	SessionTakenOver           byte = 0x8E
	TopicFilterInvalid         byte = 0x8F
	TopicNameInvalid           byte = 0x90
	PacketIDInUse              byte = 0x91
	PacketIDNotFound           byte = 0x92
	ReceiveMaximumExceeded     byte = 0x93
	TopicAliasInvalid          byte = 0x94
	PacketTooLarge             byte = 0x95
	MessageRateTooHigh         byte = 0x96
	QuotaExceeded              byte = 0x97
	AdministrativeAction       byte = 0x98
	PayloadFormatInvalid       byte = 0x99
	RetainNotSupported         byte = 0x9A
	QoSNotSupported            byte = 0x9B
	UseAnotherServer           byte = 0x9C
	ServerMoved                byte = 0x9D
	SharedNotSupported         byte = 0x9E
	ConnectionRateExceeded     byte = 0x9F
	MaximumConnectTime         byte = 0xA0
	SubIDsNotSupported         byte = 0xA1
	WildcardsNotSupported      byte = 0xA2
)

var reasons = map[byte]string{
	Success:                    "success",
	DisconnectWithWill:         "disconnect with will message",
	NoMatchingSubscribers:      "no matching subscribers",
	NoSubscriptionExisted:      "no subscription existed",
	UnspecifiedError:           "unspecified error",
	MalformedPacket:            "malformed packet",
	ProtocolError:              "protocol error",
	ImplementationError:        "implementation specific error",
	UnsupportedProtocolVersion: "unsupported protocol version",
	ClientIDNotValid:           "client identifier not valid",
	BadUserNameOrPassword:      "bad user name or password",
	NotAuthorized:              "not authorized",
	ServerUnavailable:          "server unavailable",
	ServerBusy:                 "server busy",
	Banned:                     "banned",
	ServerShuttingDown:         "server shutting down",
	BadAuthenticationMethod:    "bad authentication method",
	KeepAliveTimeout:           "keep alive timeout",
	SessionTakenOver:           "session taken over",
	TopicFilterInvalid:         "topic filter invalid",
	TopicNameInvalid:           "topic name invalid",
	PacketIDInUse:              "packet identifier in use",
	PacketIDNotFound:           "packet identifier not found",
	ReceiveMaximumExceeded:     "receive maximum exceeded",
	TopicAliasInvalid:          "topic alias invalid",
	PacketTooLarge:             "packet too large",
	MessageRateTooHigh:         "message rate too high",
	QuotaExceeded:              "quota exceeded",
	AdministrativeAction:       "administrative action",
	PayloadFormatInvalid:       "payload format invalid",
	RetainNotSupported:         "retain not supported",
	QoSNotSupported:            "qos not supported",
	UseAnotherServer:           "use another server",
	ServerMoved:                "server moved",
	SharedNotSupported:         "shared subscriptions not supported",
	ConnectionRateExceeded:     "connection rate exceeded",
	MaximumConnectTime:         "maximum connect time",
	SubIDsNotSupported:         "subscription identifiers not supported",
	WildcardsNotSupported:      "wildcard subscriptions not supported",
}

// Reason is the English text of a reason code, for reason strings and logs;
// empty for a code that MQTT 5 does not define.
func Reason(code byte) string { return reasons[code] }

// Connack3 is the CONNACK return code that says to an MQTT 3.1 or 3.1.1 client
// what the MQTT 5 reason code says (MQTT 3.1.1, table 3.1).
func Connack3(code byte) byte {
	switch code {
	case Success:
		return 0
	case UnsupportedProtocolVersion:
		return 1 // unacceptable protocol version
	case ClientIDNotValid:
		return 2 // identifier rejected
	case BadUserNameOrPassword:
		return 4 // bad user name or password
	case NotAuthorized, Banned, BadAuthenticationMethod:
		return 5 // not authorized
	default:
		return 3 // server unavailable
	}
}

// Suback3 is the SUBACK return code for an MQTT 3.1.1 client: the granted QoS,
// or 0x80 for every failure [MQTT-3.9.3-2].
func Suback3(code byte) byte {
	if code >= UnspecifiedError {
		return UnspecifiedError
	}
	return code
}
