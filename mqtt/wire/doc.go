// Package wire turns what a broker sends into bytes: the MQTT packets of the
// data path, for the protocol versions 3.1, 3.1.1 and 5.0, written by hand
// because every delivered message passes through here.
//
//	AppendPublish                a PUBLISH, after PublishSize has been held
//	                             against the client's Maximum Packet Size
//	AppendAck                    PUBACK, PUBREC, PUBREL, PUBCOMP
//	AppendSuback, AppendUnsuback
//	AppendConnack                a CONNACK that refuses
//	AppendDisconnect             MQTT 5 only: earlier servers cannot send one
//	Connack3, Suback3            reason codes as MQTT 3 clients know them
//	Reason                       the text for a reason string
//
// Every Append function extends the slice that it is given and returns it, as
// append does: nothing is allocated where the capacity suffices, nothing is
// kept. Sizes are exact, so that a caller can reserve room first.
//
// The package is pure: no goroutine, socket or clock. It trusts its caller: a
// topic or property longer than 65535 bytes cannot reach it, because it came
// in over the wire or was validated on the way in.
package wire
