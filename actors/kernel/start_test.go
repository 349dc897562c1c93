package kernel

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestStartRoot(t *testing.T) {
	bubble(t, Config{Intensity: 3}, func(t *testing.T, s *System) {
		tries := 0
		started := false
		r, err := s.StartRoot(stateless("a", func(c *Context, msg any) {
			switch msg.(type) {
			case Started:
				if tries++; tries < 3 {
					panic("not yet")
				}
				time.Sleep(time.Second)
				started = true
			case Stopping:
			default:
				t.Errorf("the actor gets %v", msg)
			}
		}))
		if err != nil || !started || !r.Alive() || tries != 3 {
			t.Errorf("%v, started %v, %d tries", err, started, tries)
		}
		if _, err := s.StartRoot(stateless("a", runner(nil))); !errors.Is(err, ErrNameExists) {
			t.Errorf("same name: %v", err)
		}
		if _, err := s.StartRoot(stateless("bad", func(*Context, any) { panic("never") })); !errors.Is(err, ErrStopped) {
			t.Errorf("given up: %v", err)
		}
		begun := time.Now()
		_, err = s.StartRoot(stateless("slow", func(c *Context, msg any) {
			if _, ok := msg.(Started); ok {
				time.Sleep(time.Hour)
			}
		}))
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != startWait {
			t.Errorf("slow: %v after %v", err, time.Since(begun))
		}
	})
}

// The message in hand at a crash is tried again by the next instance, up to
// the limit.
func TestHand(t *testing.T) {
	bubble(t, Config{Intensity: 100}, func(t *testing.T, s *System) {
		var hand Hand
		var got []any
		crashes := 2 // of each message
		handle := func(msg any) {
			if crashes > 0 {
				crashes--
				panic(msg)
			}
			got = append(got, msg)
		}
		const limit = 3
		r := spawnRoot(t, s, stateless("a", func(c *Context, msg any) {
			switch msg.(type) {
			case Started:
				if again, ok := hand.Again(limit); ok {
					handle(again)
					hand.Done()
				} else if lost := hand.Lost(); lost != nil {
					got = append(got, "lost", lost)
				}
			case Stopping:
			default:
				hand.Take(msg)
				handle(msg)
				hand.Done()
			}
		}))
		r.Send(1)
		time.Sleep(time.Minute)
		synctest.Wait()
		crashes = limit
		r.Send(2)
		r.Send(3)
		time.Sleep(time.Minute)
		r.Stop()
		<-r.Gone()
		want := []any{1, "lost", 2, 3}
		if len(got) != len(want) {
			t.Fatalf("got %v, want %v", got, want)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("got %v, want %v", got, want)
			}
		}
	})
}
