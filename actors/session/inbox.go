package session

import (
	"sync"
	"time"

	"ermine/actors/message"
	"ermine/actors/router"
)

type itemKind byte

const (
	itemDeliver  itemKind = iota
	itemAck               // PUBACK, PUBREC or PUBCOMP from the client
	itemWritable          // the connection's output buffer has drained
	itemFlush             // acknowledgements wait in the output buffer
)

// item is one entry of an inbox.
type item struct {
	msg    *message.Message
	sub    *router.Subscription
	ticket *router.Ticket
	handle *Handle // of an acknowledgement: the connection it came from
	kind   itemKind
	ack    AckKind
	code   byte
	id     uint16
}

const (
	inboxHigh = 4096
	inboxLow  = inboxHigh / 2
	// inboxWait bounds how long a publisher is held up by one subscriber.
	inboxWait = 5 * time.Second
	batchKeep = 512 // larger batches are not pooled
)

var batches = sync.Pool{New: func() any { b := make([]item, 0, 64); return &b }}

// inbox is a session's lane for messages and acknowledgements. Producers
// append under a short lock; the process takes all of it at once. It outlives
// the process, and what the process had taken but not finished with it.
type inbox struct {
	mu        sync.Mutex
	items     *[]item
	closed    bool
	scheduled bool          // the process has been or is being woken
	nudged    bool          // an itemFlush is already there
	low       chan struct{} // closed when the inbox is below its low watermark

	// Of the process: the batch in work, its next item, and how often that
	// item has crashed it.
	batch    *[]item
	next     int
	attempts int
}

// put appends it; wake tells whether the process must be woken. After close it
// reports router.Gone.
func (b *inbox) put(it item) (res router.Result, wake bool) {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return router.Gone, false
	}
	if it.kind == itemFlush {
		if b.nudged {
			b.mu.Unlock()
			return router.Taken, false
		}
		b.nudged = true
	}
	if b.items == nil {
		b.items = batches.Get().(*[]item)
	}
	*b.items = append(*b.items, it)
	res = router.Taken
	if len(*b.items) > inboxHigh {
		res = router.Busy
	}
	wake = !b.scheduled
	b.scheduled = true
	b.mu.Unlock()
	return res, wake
}

// take makes everything in the inbox the batch in work, unless one is left
// from before a crash, and reports whether there is one.
func (b *inbox) take() bool {
	if b.batch != nil {
		return true
	}
	b.mu.Lock()
	b.batch, b.items, b.nudged = b.items, nil, false
	b.next, b.attempts = 0, 0
	if b.low != nil {
		close(b.low)
		b.low = nil
	}
	if b.batch == nil {
		b.scheduled = false
	}
	b.mu.Unlock()
	return b.batch != nil
}

// done gives the finished batch back and reports whether there is more; when
// not, the next put wakes the process.
func (b *inbox) done() (more bool) {
	if b.batch != nil {
		if cap(*b.batch) <= batchKeep {
			clear(*b.batch)
			*b.batch = (*b.batch)[:0]
			batches.Put(b.batch)
		}
		b.batch = nil
	}
	b.mu.Lock()
	more = b.items != nil
	b.scheduled = more
	b.mu.Unlock()
	return more
}

// wait blocks until the inbox is below its low watermark, closed, or inboxWait
// has passed.
func (b *inbox) wait() {
	b.mu.Lock()
	if b.closed || b.items == nil || len(*b.items) < inboxLow {
		b.mu.Unlock()
		return
	}
	if b.low == nil {
		b.low = make(chan struct{})
	}
	low := b.low
	b.mu.Unlock()
	t := time.NewTimer(inboxWait)
	defer t.Stop()
	select {
	case <-low:
	case <-t.C:
	}
}

// close refuses further items and returns those that nobody will handle.
func (b *inbox) close() []item {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	var left []item
	if b.batch != nil {
		left = append(left, (*b.batch)[b.next:]...)
		b.batch = nil
	}
	if b.items != nil {
		left = append(left, *b.items...)
		b.items = nil
	}
	if b.low != nil {
		close(b.low)
		b.low = nil
	}
	b.scheduled = false
	return left
}

// reopen accepts items again.
func (b *inbox) reopen() {
	b.mu.Lock()
	b.closed = false
	b.mu.Unlock()
}

func (b *inbox) len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.items == nil {
		return 0
	}
	return len(*b.items)
}
