package actors_test

import (
	"fmt"
	"slices"
	"testing"

	"ermine/actors/session"
)

func TestPublishReachesSubscribersOfEveryQoS(t *testing.T) {
	b := startBroker(t, nil)
	sub := connect(t, b, "sub", nil)
	sub.subscribe("a/+/c", 2)
	pub := connect(t, b, "pub", nil)
	for qos := byte(0); qos <= 2; qos++ {
		pub.publish("a/b/c", qos, uint16(qos), fmt.Sprint(qos))
	}
	sub.until(t, "3 messages", func() bool { return len(sub.got) == 3 })
	pub.until(t, "PUBACK and PUBREC", func() bool {
		return slices.Contains(pub.acks, ack{session.Puback, 1, 0}) && slices.Contains(pub.acks, ack{session.Pubrec, 2, 0})
	})
	pub.h.Release(2)
	pub.until(t, "PUBCOMP", func() bool { return slices.Contains(pub.acks, ack{session.Pubcomp, 2, 0}) })
}

func TestNobodySubscribed(t *testing.T) {
	b := startBroker(t, nil)
	pub := connect(t, b, "pub", nil)
	pub.publish("nobody", 1, 7, "x")
	pub.until(t, "PUBACK 0x10", func() bool { return slices.Contains(pub.acks, ack{session.Puback, 7, 0x10}) })
}

func TestOfflineQueueAndResumeInOrder(t *testing.T) {
	b := startBroker(t, nil)
	sub := connect(t, b, "sub", nil)
	sub.subscribe("t", 1)
	sub.h.Close(session.CloseCause{Reason: "normal"})
	sub.offline(b)
	pub := connect(t, b, "pub", nil)
	for i := range 100 {
		pub.publish("t", 1, uint16(i+1), fmt.Sprint(i))
		pub.until(t, "PUBACK", func() bool { return len(pub.acks) == i+1 })
	}
	again := connect(t, b, "sub", nil)
	if !again.present {
		t.Fatal("session not present")
	}
	again.until(t, "100 messages", func() bool { return len(again.got) == 100 })
	for i, p := range again.payloads() {
		if p != fmt.Sprint(i) {
			t.Fatalf("message %d is %s", i, p)
		}
	}
}

func TestTakeover(t *testing.T) {
	b := startBroker(t, nil)
	one := connect(t, b, "c", nil)
	one.subscribe("t", 1)
	two := connect(t, b, "c", nil)
	if !two.present {
		t.Error("session not present")
	}
	one.until(t, "DISCONNECT 0x8E", func() bool { return one.closed == 0x8E })
	three := connect(t, b, "c", func(r *session.OpenRequest) { r.Clean = true })
	if three.present {
		t.Error("clean start found a session")
	}
	two.until(t, "DISCONNECT 0x8E", func() bool { return two.closed == 0x8E })
	pub := connect(t, b, "p", nil)
	id := uint16(0)
	eventually(t, "PUBACK 0x10: the discarded session's filter is gone", func() bool {
		id++
		pub.publish("t", 1, id, "x")
		pub.until(t, "PUBACK", func() bool { return len(pub.acks) == int(id) })
		return pub.acks[id-1].code == 0x10
	})
	if len(three.got) > 0 {
		t.Error("a message for the discarded session reached the new one")
	}
}

func TestManyPublishersKeepOrder(t *testing.T) {
	b := startBroker(t, nil)
	sub := connect(t, b, "sub", func(r *session.OpenRequest) { r.Limits.MaxQueue = 0 })
	sub.subscribe("#", 1)
	const publishers, each = 8, 500
	done := make(chan struct{})
	for p := range publishers {
		pub := connect(t, b, fmt.Sprintf("pub%d", p), func(r *session.OpenRequest) { r.Client.Version = 4 })
		go func() {
			for i := range each {
				pub.publish(fmt.Sprintf("t/%d", p), 1, uint16(i+1), fmt.Sprint(i))
			}
			pub.until(t, "all PUBACKs", func() bool { return len(pub.acks) == each })
			for i, a := range pub.acks {
				if a.id != uint16(i+1) {
					t.Errorf("PUBACK %d has id %d", i, a.id)
				}
			}
			done <- struct{}{}
		}()
	}
	for range publishers {
		<-done
	}
	sub.until(t, "all messages", func() bool { return len(sub.got) == publishers*each })
	next := map[string]int{}
	for _, o := range sub.got {
		if string(o.Msg.Payload) != fmt.Sprint(next[o.Msg.Topic]) {
			t.Fatalf("%s: got %s, want %d", o.Msg.Topic, o.Msg.Payload, next[o.Msg.Topic])
		}
		next[o.Msg.Topic]++
	}
}
