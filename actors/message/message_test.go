package message

import (
	"testing"
)

func TestExpiry_MQTT_3_3_2_5_MQTT_3_3_2_6(t *testing.T) {
	for _, c := range []struct {
		expires, now int64
		expired      bool
		remaining    uint32
	}{
		{0, 1 << 60, false, 0}, // never
		{10_000, 0, false, 10},
		{10_000, 1, false, 10}, // whole seconds, rounded up
		{10_000, 9_999, false, 1},
		{10_000, 10_000, true, 1},
		{10_000, 99_000, true, 1}, // never 0: that would be no interval
	} {
		m := &Message{Expires: c.expires}
		if got := m.Expired(c.now); got != c.expired {
			t.Errorf("expires %d at %d: expired %v", c.expires, c.now, got)
		}
		if got := m.Remaining(c.now); got != c.remaining {
			t.Errorf("expires %d at %d: %d s remain, want %d", c.expires, c.now, got, c.remaining)
		}
	}
}

func TestSize(t *testing.T) {
	m := &Message{Topic: "abc", Payload: []byte("12345")}
	if got := m.Size(); got != 8 {
		t.Errorf("size %d, want 8", got)
	}
	m.Props = &Properties{
		ContentType: "a", ResponseTopic: "bc", CorrelationData: []byte("def"),
		User: []UserProperty{{"k", "v"}, {"k", "vv"}},
	}
	if got := m.Size(); got != 8+6+5 {
		t.Errorf("size with properties %d, want 19", got)
	}
}

func TestSystem(t *testing.T) {
	for topic, want := range map[string]bool{"$SYS/brokers": true, "$SYS": false, "$sys/x": false, "a/$SYS/": false} {
		if got := (&Message{Topic: topic}).System(); got != want {
			t.Errorf("%s: %v", topic, got)
		}
	}
}

func TestPropertiesAreEncodedOnce(t *testing.T) {
	calls, p := 0, &Properties{}
	for range 3 {
		b := p.Encoded(func(*Properties) []byte { calls++; return []byte{7} })
		if len(b) != 1 || b[0] != 7 {
			t.Fatalf("encoded %v", b)
		}
	}
	if calls != 1 {
		t.Errorf("%d encodings, want 1", calls)
	}
}
