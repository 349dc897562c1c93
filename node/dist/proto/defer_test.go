package proto

import (
	"testing"
	"testing/synctest"
	"time"

	"ermine/node/dist/handshake"
)

// TestDefer: a deferred signal waits for the next one, but not for long, and
// keeps its place.
func TestDefer(t *testing.T) {
	demonitor := &Demonitor{From: pidA, To: pidB, Ref: refA}
	for _, tt := range []struct {
		name  string
		other func(a *Conn) error // nil: none comes
		after time.Duration
	}{
		{"with a message", func(a *Conn) error {
			return a.TrySend(&Send{From: pidA, To: pidB, Message: int64(1)})
		}, 0},
		{"with a pushed signal", func(a *Conn) error {
			return a.Push(&Link{From: pidA, To: pidB})
		}, 0},
		{"with the end", func(a *Conn) error {
			go a.Close(nil, time.Second)
			return nil
		}, 0},
		{"alone", nil, lingerTime},
		{"with another of its kind", func(a *Conn) error { return a.Defer(demonitor) }, lingerTime},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, _, received, _, _ := pipe(t, handshake.Supported, nil)
				// Twice, since the timer is used again.
				for range 2 {
					synctest.Wait() // the writer waits for something to do
					start := time.Now()
					if err := a.Defer(demonitor); err != nil {
						t.Fatal(err)
					}
					synctest.Wait()
					if len(received) > 0 {
						t.Fatalf("sent at once")
					}
					if tt.other != nil {
						if err := tt.other(a); err != nil {
							t.Fatal(err)
						}
					}
					got, ok := (<-received).(*Demonitor)
					if !ok || got.Ref != refA {
						t.Errorf("received %+v first", got)
					}
					if waited := time.Since(start); waited != tt.after {
						t.Errorf("received after %s, want %s", waited, tt.after)
					}
					synctest.Wait()
					for len(received) > 0 {
						<-received
					}
					if tt.name == "with the end" {
						return
					}
				}
			})
		})
	}
}
