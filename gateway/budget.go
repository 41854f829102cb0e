package gateway

import (
	"sync"
	"time"
)

// budgets limit how many things of a sort are recorded of each webhook: the first
// anHour of an hour, then at most one a second, so that one that does nothing but
// fail cannot fill the disk. Their methods are safe for concurrent use.
type budgets struct {
	anHour int

	mu   sync.Mutex
	byID map[string]*budget
}

type budget struct {
	hour time.Time // when the current hour began
	n    int       // recorded in it
	last time.Time
}

// sweepBudgets is from how many budgets on those of past hours are dropped.
const sweepBudgets = 10_000

// allow says whether what happened to the webhook at now is recorded, and counts it
// if so.
func (bs *budgets) allow(webhookID string, now time.Time) bool {
	bs.mu.Lock()
	defer bs.mu.Unlock()
	b := bs.byID[webhookID]
	if b == nil {
		b = bs.add(webhookID, now)
	}
	if b.over(now) {
		b.hour, b.n = now, 0
	}
	if b.n >= bs.anHour {
		if since := now.Sub(b.last); since >= 0 && since < time.Second {
			return false
		}
	}
	b.n++
	b.last = now
	return true
}

func (bs *budgets) add(webhookID string, now time.Time) *budget {
	if bs.byID == nil {
		bs.byID = make(map[string]*budget)
	}
	if n := len(bs.byID); n >= sweepBudgets && n%sweepBudgets == 0 {
		for id, b := range bs.byID {
			if b.over(now) {
				delete(bs.byID, id)
			}
		}
	}
	b := new(budget)
	bs.byID[webhookID] = b
	return b
}

// over says whether the budget's hour has ended.
func (b *budget) over(now time.Time) bool {
	since := now.Sub(b.hour)
	return since < 0 || since >= time.Hour
}
