package dispatch

import (
	"sync/atomic"
	"time"
)

// clock is the time by which deliveries fall due. It follows the wall clock
// forward, at once, and never goes back: when the wall clock does, it goes on
// steadily from where it was. It is safe for concurrent use.
type clock struct {
	wall  func() time.Time // nil: time.Now
	began time.Time        // with a monotonic reading
	epoch time.Time        // the wall clock at began

	// lead is how far the clock has got ahead of epoch and the time that
	// passed since, in nanoseconds.
	lead atomic.Int64
}

func newClock(wall func() time.Time) *clock {
	c := &clock{wall: wall, began: time.Now()}
	c.epoch = readWall(wall, c.began)
	return c
}

// wallTime returns what the wall clock shows, for records.
func (c *clock) wallTime() time.Time { return readWall(c.wall, time.Now()) }

// readWall returns the wall clock, without a monotonic reading. It is read anew
// only if it is not the machine's, which now shows.
func readWall(wall func() time.Time, now time.Time) time.Time {
	if wall != nil {
		now = wall()
	}
	return now.Round(0)
}

func (c *clock) now() time.Time {
	now := time.Now()
	steady := c.epoch.Add(now.Sub(c.began))
	ahead := int64(readWall(c.wall, now).Sub(steady))
	for {
		lead := c.lead.Load()
		if ahead <= lead {
			return steady.Add(time.Duration(lead))
		}
		if c.lead.CompareAndSwap(lead, ahead) {
			return steady.Add(time.Duration(ahead))
		}
	}
}
