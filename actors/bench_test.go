package actors_test

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"

	"ermine/actors/message"
	"ermine/actors/session"
)

// nullConn takes everything and acknowledges it at once.
type nullConn struct {
	h    *session.Handle
	n    atomic.Int64
	acks atomic.Int64
}

func (c *nullConn) WritePublish(_ int64, p session.Outgoing) bool {
	c.n.Add(1)
	if p.QoS == 1 {
		c.h.Ack(session.Puback, p.PacketID, 0)
	}
	return true
}
func (c *nullConn) WriteAck(session.AckKind, uint16, byte) { c.acks.Add(1) }
func (c *nullConn) WriteSuback(uint16, []byte)             {}
func (c *nullConn) WriteUnsuback(uint16, []byte)           {}
func (c *nullConn) Flush()                                 {}
func (c *nullConn) Writable() bool                         { return true }
func (c *nullConn) Disconnect(byte)                        {}

func BenchmarkOneToOne(b *testing.B) {
	for qos := range byte(2) {
		b.Run(fmt.Sprintf("qos%d", qos), func(b *testing.B) {
			broker := startBroker(b, nil)
			unlimited := limits
			unlimited.MaxQueue = 0
			sub := &nullConn{}
			o, err := broker.Open(b.Context(), session.OpenRequest{Client: session.Client{ID: "s", Version: 4}, Conn: sub, Limits: unlimited, Expiry: 60})
			if err != nil {
				b.Fatal(err)
			}
			sub.h = o.Handle
			o.Handle.Attach()
			(&client{wireConn: newConn(), t: b, h: o.Handle}).subscribe("bench/topic", qos)
			pc := &nullConn{}
			p, err := broker.Open(b.Context(), session.OpenRequest{Client: session.Client{ID: "p", Version: 4}, Conn: pc, Limits: limits, Expiry: 60})
			if err != nil {
				b.Fatal(err)
			}
			payload := make([]byte, 128)
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				i++
				m := &message.Message{Topic: "bench/topic", QoS: qos, Payload: payload, Publisher: "p", Received: 1}
				if err := p.Handle.Publish(m, uint16(i%65535+1)); err != nil {
					b.Fatal(err)
				}
			}
			for sub.n.Load() < int64(i) {
				runtime.Gosched()
			}
		})
	}
}
