package badgerstore

import (
	"sync/atomic"
	"time"
)

// A clock tells the time as callers have told it, and as it has gone on since
// by the monotonic clock. So it does not jump when the system's clock is set,
// unless the callers' does.
type clock struct {
	ahead atomic.Int64 // nanoseconds from the monotonic reading to the time told; zero until one was
}

// origin is what monotonic readings count from.
var origin = time.Now()

// set tells the time.
func (c *clock) set(now time.Time) {
	c.ahead.Store(now.UnixNano() - int64(time.Since(origin)))
}

// begin tells the time to a clock that was told none.
func (c *clock) begin(now time.Time) {
	c.ahead.CompareAndSwap(0, now.UnixNano()-int64(time.Since(origin)))
}

// now returns the time; long ago if none was told.
func (c *clock) now() time.Time {
	ahead := c.ahead.Load()
	if ahead == 0 {
		return time.Time{}
	}
	return time.Unix(0, ahead+int64(time.Since(origin)))
}
