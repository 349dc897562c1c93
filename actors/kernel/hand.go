package kernel

// Hand keeps the message that an actor is handling where a crash cannot lose
// it: in a value that outlives the instance. The instance after the crash tries
// it again. It belongs to the actor; the zero value is ready.
//
//	case kernel.Started:
//		if msg, ok := a.hand.Again(3); ok { a.handle(c, msg); a.hand.Done() }
//	default:
//		a.hand.Take(msg); a.handle(c, msg); a.hand.Done()
type Hand struct {
	msg   any
	tries int
}

// Take notes what is about to be handled.
func (h *Hand) Take(msg any) { h.msg, h.tries = msg, 1 }

// Done forgets it.
func (h *Hand) Done() { h.msg, h.tries = nil, 0 }

// Again returns what was in hand at a crash and counts one more try. After
// limit tries it reports false, and Lost returns the message.
func (h *Hand) Again(limit int) (msg any, ok bool) {
	if h.msg == nil || h.tries >= limit {
		return nil, false
	}
	h.tries++
	return h.msg, true
}

// Lost returns and forgets a message that Again has given up, or nil.
func (h *Hand) Lost() any {
	msg := h.msg
	h.Done()
	return msg
}
