package dispatch

import (
	"sync"
	"time"
)

// patience is how long a wall clock has to keep what it shows before anything
// is given up for its age.
const patience = time.Hour

// AgeClock tells what is so old that it is given up. That cannot be taken back,
// so a wall clock that shows the wrong time for a while must not decide it: a
// time counts once the wall clock has shown it, or more, for an hour on end, and
// no longer when it shows less. The hour is measured by the monotonic clock.
// For the same reason nothing is old in the first hour of a process: a machine
// that has just started may not know the time yet.
//
// An AgeClock learns from being asked; ask it now and then, at least once in
// an hour or so, or it takes longer to believe. It is safe for concurrent use.
type AgeClock struct {
	wall  func() time.Time
	began time.Time // with a monotonic reading

	// Both are what the wall clock would have shown at began.
	mu       sync.Mutex
	believed time.Time     // zero: no time yet
	doubted  time.Time     // the least it has shown since, later than believed; zero: none
	since    time.Duration // after began
}

// NewAgeClock returns an AgeClock over a wall clock; nil: time.Now.
func NewAgeClock(wall func() time.Time) *AgeClock {
	c := &AgeClock{wall: wall, began: time.Now()}
	c.doubted = readWall(wall, c.began)
	return c
}

// Cutoff returns the time before which everything is older than age. It is
// never before 1970. An age below an hour needs the wall clock to hold only for
// as long as itself.
func (c *AgeClock) Cutoff(age time.Duration) time.Time {
	now := time.Now()
	elapsed := now.Sub(c.began)
	shown := readWall(c.wall, now).Add(-elapsed)

	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !shown.After(c.believed):
		c.believed, c.doubted = shown, time.Time{}
	case c.doubted.IsZero():
		c.doubted, c.since = shown, elapsed
	case shown.Before(c.doubted):
		c.doubted = shown
	}
	if !c.doubted.IsZero() && elapsed-c.since >= min(age, patience) {
		c.believed, c.doubted = c.doubted, time.Time{}
	}
	return latest(c.believed.Add(elapsed-age), time.Unix(0, 0))
}
