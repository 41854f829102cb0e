package queue

import (
	"math/rand/v2"
	"time"
)

// Schedule holds the waits between the end of a failed attempt and the next
// one. Empty: there is one attempt. It must not be changed while in use.
type Schedule []time.Duration

// DefaultSchedule is the retry schedule of contract section 1.
func DefaultSchedule() Schedule {
	return Schedule{time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour, 4 * time.Hour}
}

// Next returns when to try again after the scheduled attempt number step (from
// 1) has failed at end, and false if that was the last one.
//
// retryAfter is what the receiver asked for, zero if nothing; it can lengthen
// the wait to at most twice the step, jitter included. Jitter adds up to 10 % of
// the wait and never shortens it, so that deliveries that failed together do not
// come back together.
func (s Schedule) Next(step int, end time.Time, retryAfter time.Duration) (time.Time, bool) {
	if step < 1 || step > len(s) {
		return time.Time{}, false
	}
	wait, most := s[step-1], 2*s[step-1]
	if retryAfter > wait {
		wait = min(retryAfter, most)
	}
	return end.Add(min(wait+rand.N(wait/10+1), most)), true
}

// Longest returns the longest wait that Next can give.
func (s Schedule) Longest() time.Duration {
	var longest time.Duration
	for _, d := range s {
		longest = max(longest, d)
	}
	return 2 * longest
}
