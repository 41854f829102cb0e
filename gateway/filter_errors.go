package gateway

import (
	"cmp"
	"errors"
	"sync"
	"time"

	"github.com/tengineai/webhook-gateway/filter"
)

// brokenRule is the rule of a webhook whose filter does not compile.
var brokenRule = mustBreak()

func mustBreak() *filter.Rule {
	rule, err := filter.Compile(brokenEngine{}, filter.Names{}, nil, "broken")
	if err != nil {
		panic("gateway: " + err.Error()) // brokenEngine takes every text
	}
	return rule
}

// brokenEngine makes programs that fail on every event.
type brokenEngine struct{}

func (brokenEngine) Compile(string, filter.Names) (filter.Program, error) { return brokenEngine{}, nil }

var errBrokenFilter = errors.New("the filter does not compile under the present settings")

func (brokenEngine) Match(*filter.Event) (bool, error) { return false, errBrokenFilter }

// errorBudgets limit how many filter errors of each webhook are recorded: the
// first 1000 of an hour, then at most one a second (contract section 3), so
// that a broken filter cannot fill the disk. The zero value is ready.
type errorBudgets struct {
	anHour int // errorsAnHour if zero

	mu   sync.Mutex
	byID map[string]*errorBudget
}

type errorBudget struct {
	hour time.Time // when the current hour began
	n    int       // recorded in it
	last time.Time
}

const (
	errorsAnHour = 1000

	// sweepBudgets is from how many budgets on those of past hours are dropped.
	sweepBudgets = 10_000
)

// allow says whether an error of the webhook at now is recorded, and counts it
// if so.
func (e *errorBudgets) allow(webhookID string, now time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	b := e.byID[webhookID]
	if b == nil {
		b = e.add(webhookID, now)
	}
	if b.over(now) {
		b.hour, b.n = now, 0
	}
	if b.n >= cmp.Or(e.anHour, errorsAnHour) {
		if since := now.Sub(b.last); since >= 0 && since < time.Second {
			return false
		}
	}
	b.n++
	b.last = now
	return true
}

func (e *errorBudgets) add(webhookID string, now time.Time) *errorBudget {
	if e.byID == nil {
		e.byID = make(map[string]*errorBudget)
	}
	if n := len(e.byID); n >= sweepBudgets && n%sweepBudgets == 0 {
		for id, b := range e.byID {
			if b.over(now) {
				delete(e.byID, id)
			}
		}
	}
	b := new(errorBudget)
	e.byID[webhookID] = b
	return b
}

// over says whether the budget's hour has ended.
func (b *errorBudget) over(now time.Time) bool {
	since := now.Sub(b.hour)
	return since < 0 || since >= time.Hour
}
