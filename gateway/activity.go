package gateway

import (
	"slices"
	"sync"
	"time"

	"github.com/tengineai/webhook-gateway/dispatch"
	"github.com/tengineai/webhook-gateway/webhook"
)

// Activity keeps counts of attempts for the dashboard's plots: for all webhooks
// by minute, for each webhook by hour, both for one day. Everything is in
// memory and bounded, and begins anew when the process starts; the counters of
// package caddymodule are what a monitoring system should look at.
const (
	activityMinutes = 24 * 60
	activityHours   = 24
	maxActive       = 100_000 // webhooks that have counts
)

// LatencyBounds are the upper bounds of the classes that the durations of
// attempts are counted in. What takes longer than the last is in a class more.
var LatencyBounds = [...]time.Duration{
	5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second,
}

// Minute counts the attempts that ended within one minute.
type Minute struct {
	Succeeded, Failed uint32
	Took              [len(LatencyBounds) + 1]uint32 // by class of LatencyBounds
}

// Hour counts the attempts of a webhook that ended within one hour.
type Hour struct{ Succeeded, Failed uint32 }

// WebhookActivity is what became of the latest attempts of a webhook.
type WebhookActivity struct {
	WebhookID string
	ProjectID string

	// Hours are the last 24, oldest first; the last one is under way.
	Hours [activityHours]Hour

	// FailedInRow counts the failures since the last success.
	FailedInRow int

	LastSuccess time.Time        // zero: none since Since
	LastFailure *webhook.Attempt // nil: none since Since; it has no response

	// Since is when counting began: when the process started.
	Since time.Time
}

// Totals returns how many of the attempts in Hours succeeded and failed.
func (a *WebhookActivity) Totals() (succeeded, failed int) {
	for _, h := range a.Hours {
		succeeded += int(h.Succeeded)
		failed += int(h.Failed)
	}
	return succeeded, failed
}

// activity is the count keeper.
type activity struct {
	mu      sync.Mutex
	since   time.Time
	minutes [activityMinutes]Minute
	minute  int64 // since 1970, of the newest in minutes
	active  map[string]*active
	swept   int64 // the minute in which active was last cleared of old ones
}

// active is what is counted of one webhook.
type active struct {
	projectID   string
	hours       [activityHours]Hour
	hour        int64 // since 1970, of the newest in hours
	failedInRow int
	lastSuccess time.Time
	lastFailure *webhook.Attempt
}

func newActivity(now time.Time) *activity {
	return &activity{since: now, minute: now.Unix() / 60, active: make(map[string]*active)}
}

// settled counts an attempt that was recorded. Test events do not count.
func (a *activity) settled(r dispatch.Report, now time.Time) {
	if r.Attempt == nil || r.Delivery.Test {
		return
	}
	ok := r.Attempt.Outcome == webhook.Success
	a.mu.Lock()
	defer a.mu.Unlock()

	a.advance(now)
	m := &a.minutes[a.minute%activityMinutes]
	count(ok, &m.Succeeded, &m.Failed)
	m.Took[latencyClass(r.Attempt.Duration)]++

	w := a.webhook(r.Delivery.WebhookID, r.Delivery.ProjectID, now)
	if w == nil {
		return
	}
	w.advance(now)
	h := &w.hours[w.hour%activityHours]
	count(ok, &h.Succeeded, &h.Failed)
	if ok {
		w.failedInRow, w.lastSuccess = 0, now
		return
	}
	w.failedInRow++
	failure := *r.Attempt
	failure.ResponseHeaders, failure.ResponseBody = nil, nil
	w.lastFailure = &failure
}

func count(ok bool, succeeded, failed *uint32) {
	if ok {
		*succeeded++
	} else {
		*failed++
	}
}

func latencyClass(d time.Duration) int {
	i, _ := slices.BinarySearch(LatencyBounds[:], d)
	return i
}

// advance makes the current minute the newest. The caller holds mu.
func (a *activity) advance(now time.Time) { advance(a.minutes[:], &a.minute, now.Unix()/60) }

// advance makes the current hour the newest. The caller holds activity.mu.
func (w *active) advance(now time.Time) { advance(w.hours[:], &w.hour, now.Unix()/3600) }

// advance clears the counts of times that begin, and of times that are to come
// again because the clock was set back.
func advance[T any](counts []T, newest *int64, current int64) {
	var none T
	n := int64(len(counts))
	for i := range min(current-*newest, n) {
		counts[(*newest+1+i)%n] = none
	}
	for i := range min(*newest-current, n) {
		counts[(*newest-i)%n] = none
	}
	*newest = current
}

// webhook returns the counts of a webhook, or nil if there are too many. The
// caller holds mu.
func (a *activity) webhook(id, projectID string, now time.Time) *active {
	if w, ok := a.active[id]; ok {
		return w
	}
	if len(a.active) >= maxActive {
		if a.swept == a.minute { // it looks at all of them
			return nil
		}
		a.swept = a.minute
		day := now.Unix()/3600 - activityHours
		for other, w := range a.active {
			if w.hour < day {
				delete(a.active, other)
			}
		}
		if len(a.active) >= maxActive {
			return nil
		}
	}
	w := &active{projectID: projectID, hour: now.Unix() / 3600}
	a.active[id] = w
	return w
}

// forget drops the counts of a webhook that was deleted.
func (a *activity) forget(webhookID string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.active, webhookID)
}

// of returns the activity of a webhook.
func (a *activity) of(webhookID string, now time.Time) WebhookActivity {
	a.mu.Lock()
	defer a.mu.Unlock()
	w, ok := a.active[webhookID]
	if !ok {
		return WebhookActivity{WebhookID: webhookID, Since: a.since}
	}
	return a.view(webhookID, w, now)
}

// view makes what is shown of a webhook. The caller holds mu.
func (a *activity) view(id string, w *active, now time.Time) WebhookActivity {
	w.advance(now)
	v := WebhookActivity{
		WebhookID: id, ProjectID: w.projectID,
		FailedInRow: w.failedInRow, LastSuccess: w.lastSuccess, LastFailure: w.lastFailure,
		Since: a.since,
	}
	for i := range v.Hours {
		v.Hours[i] = w.hours[(w.hour+1+int64(i))%activityHours]
	}
	return v
}

// lastDay returns the minutes of the last day, oldest first.
func (a *activity) lastDay(now time.Time) []Minute {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.advance(now)
	list := make([]Minute, activityMinutes)
	for i := range list {
		list[i] = a.minutes[(a.minute+1+int64(i))%activityMinutes]
	}
	return list
}

// failing returns the webhooks whose last attempt failed, those with the most
// failures in a row first, at most limit, and how many there are.
func (a *activity) failing(now time.Time, limit int) (worst []WebhookActivity, all int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var ids []string
	for id, w := range a.active {
		if w.failedInRow > 0 {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(x, y string) int {
		if d := a.active[y].failedInRow - a.active[x].failedInRow; d != 0 {
			return d
		}
		if x < y {
			return -1
		}
		return 1
	})
	for _, id := range ids[:min(limit, len(ids))] {
		worst = append(worst, a.view(id, a.active[id], now))
	}
	return worst, len(ids)
}
