package load

import (
	"context"
	"fmt"
	"sync"
)

// Crowd is many connections that each hold one subscription and say nothing.
type Crowd struct {
	mu    sync.Mutex
	conns []*conn
}

// dialers is how many connections are being opened at a time.
const dialers = 32

// Gather opens n idle connections, spread over addrs, each subscribed to a
// topic of its own with QoS 0 and without keep-alive. The caller closes the
// Crowd; on an error it is closed already.
func Gather(ctx context.Context, addrs []string, n int, v Protocol) (*Crowd, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	crowd := &Crowd{}
	numbers := make(chan int)
	var wg sync.WaitGroup
	for range dialers {
		wg.Go(func() {
			for i := range numbers {
				c, err := openIdle(ctx, addrs[i%len(addrs)], i, v)
				if err != nil {
					cancel(err)
					return
				}
				crowd.mu.Lock()
				crowd.conns = append(crowd.conns, c)
				crowd.mu.Unlock()
			}
		})
	}
feed:
	for i := range n {
		select {
		case numbers <- i:
		case <-ctx.Done():
			break feed
		}
	}
	close(numbers)
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		crowd.Close()
		return nil, err
	}
	return crowd, nil
}

// openIdle comes from one of several loopback addresses, since one of them has
// less than 30,000 ports to come from.
func openIdle(ctx context.Context, addr string, i int, v Protocol) (*conn, error) {
	local := fmt.Sprintf("127.0.0.%d", 2+i%8)
	c, err := dial(ctx, addr, local, fmt.Sprintf("bench-idle-%d", i), v)
	if err != nil {
		return nil, err
	}
	if err := c.subscribe(fmt.Sprintf("bench/idle/%d", i), 0); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Len is how many connections there are.
func (c *Crowd) Len() int { return len(c.conns) }

// Close ends every connection.
func (c *Crowd) Close() {
	for _, one := range c.conns {
		one.Close()
	}
}
