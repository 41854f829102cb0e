package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/tengineai/webhook-gateway/dispatch"
	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/webhook"
)

// failing knows the webhooks whose attempts do nothing but fail, and since when.
// One that has failed so for Settings.DisableAfter is disabled (contract section
// 3, disabled_reason). Test events and faults of the gateway do not count.
//
// The streaks are written to the store now and then, off the path of deliveries:
// a crash can forget the last minute, but no streak comes back that somebody has
// ended by making the webhook active.
type failing struct {
	g      *Gateway
	ages   *dispatch.AgeClock
	rounds loop

	count atomic.Int64 // of streaks, so that a success costs nothing while there are none

	mu    sync.Mutex
	byID  map[string]*streak
	dirty map[string]bool // ids of what is to be written

	// versions are those of the records in the store. They belong to write, which
	// happens one after the other; lock it before mu, never after.
	writing  sync.Mutex
	versions map[string]uint64
}

// streak is a row of failures without a success. It is a record of the store.
type streak struct {
	First  time.Time `json:"first"`  // when the first of them was
	Count  int       `json:"count"`  // up to failuresToDisable: more make no difference
	Target uint64    `json:"target"` // a hash of the URL: another one starts anew
}

// failuresToDisable is how many attempts have to fail before a webhook is
// disabled, however long that takes.
const failuresToDisable = 20

// healthRound is the time between writes of what has changed.
const healthRound = time.Minute

// loadFailing reads the streaks of a store.
func loadFailing(ctx context.Context, g *Gateway) (*failing, error) {
	f := &failing{
		g:        g,
		ages:     dispatch.NewAgeClock(g.now),
		byID:     make(map[string]*streak),
		dirty:    make(map[string]bool),
		versions: make(map[string]uint64),
	}
	damaged := func(id string) { // it counts anew
		f.dirty[id], f.versions[id] = true, 0
	}
	err := eachRecord(ctx, g.store, queue.HealthRecord, func(rec *queue.Record) error {
		var s streak
		if json.Unmarshal(rec.Data, &s) != nil {
			f.dirty[rec.ID] = true
		} else {
			f.byID[rec.ID] = &s
		}
		f.versions[rec.ID] = rec.Version
		return nil
	}, damaged)
	f.count.Store(int64(len(f.byID)))
	return f, err
}

// start begins the rounds.
func (f *failing) start() { f.rounds.start(f.g.log, "looking after failing webhooks", 0, f.round) }

// stop ends the rounds and writes what has changed. Call it when no attempt can
// end any more, before the store is closed. Without start it does nothing.
func (f *failing) stop() {
	if !f.rounds.started() {
		return
	}
	f.rounds.stop()
	f.flush()
}

// round disables what has failed for too long, writes what has changed, and
// returns when to do so again.
func (f *failing) round(context.Context) (pause time.Duration) {
	f.prune()
	f.flush()
	s := f.g.Settings()
	if s == nil || s.DisableAfter <= 0 {
		return healthRound
	}
	cutoff := f.ages.Cutoff(s.DisableAfter)
	for _, id := range f.over(cutoff) {
		f.g.disable(id, webhook.ReasonFailing, f.isOver(cutoff))
	}
	return min(healthRound, max(s.DisableAfter/10, time.Second))
}

// over returns the webhooks with a streak that began before the cutoff.
func (f *failing) over(cutoff time.Time) (ids []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, s := range f.byID {
		if s.over(cutoff) {
			ids = append(ids, id)
		}
	}
	return ids
}

// isOver returns what says whether a webhook is to be disabled for its streak.
func (f *failing) isOver(cutoff time.Time) func(*webhook.Subscription) bool {
	return func(sub *webhook.Subscription) bool {
		if sub == nil || sub.State != webhook.Active {
			return false
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		s := f.byID[sub.ID]
		return s != nil && s.Target == targetOf(sub.URL) && s.over(cutoff)
	}
}

func (s *streak) over(cutoff time.Time) bool {
	return s.Count >= failuresToDisable && !s.First.After(cutoff)
}

// settled takes note of an attempt, and disables its webhook if that was one
// failure too many.
func (f *failing) settled(r *dispatch.Report) {
	if r.Attempt == nil || r.Delivery.Test {
		return
	}
	id := r.Delivery.WebhookID
	if r.Attempt.Outcome == webhook.Success {
		if f.count.Load() > 0 {
			f.reset(id)
		}
		return
	}
	sub := f.g.inForce(id)
	s := f.g.Settings()
	if sub == nil || r.Attempt.Outcome == webhook.Panicked {
		return
	}
	cutoff := time.Time{}
	if s.DisableAfter > 0 {
		cutoff = f.ages.Cutoff(s.DisableAfter)
	}
	if f.failed(id, targetOf(sub.URL), f.g.now().UTC(), cutoff) && sub.State == webhook.Active {
		f.g.disable(id, webhook.ReasonFailing, f.isOver(cutoff))
	}
}

// failed adds a failure and says whether the streak began before the cutoff.
func (f *failing) failed(webhookID string, target uint64, now, cutoff time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.byID[webhookID]
	if s == nil || s.Target != target {
		s = &streak{First: now, Target: target}
		f.byID[webhookID] = s
		f.count.Store(int64(len(f.byID)))
	}
	if now.Before(s.First) { // the clock was wrong
		s.First = now
		f.dirty[webhookID] = true
	}
	if s.Count < failuresToDisable {
		s.Count++
		f.dirty[webhookID] = true
	}
	return !cutoff.IsZero() && s.over(cutoff)
}

// forget forgets the failures of a webhook that somebody makes active, also in the
// store: without new ones it would be disabled after a crash.
func (f *failing) forget(webhookID string) {
	f.reset(webhookID)
	if err := f.write(webhookID); err != nil { // the next round tries again
		f.g.log.Warn("the failures of a webhook could not be written", zap.String("webhook_id", webhookID), zap.Error(err))
	}
}

// reset forgets the failures of a webhook: an attempt succeeded, or it is gone.
func (f *failing) reset(webhookID string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.byID[webhookID] == nil {
		return
	}
	delete(f.byID, webhookID)
	f.dirty[webhookID] = true
	f.count.Store(int64(len(f.byID)))
}

// prune forgets webhooks that are gone: an attempt can end after its webhook was
// deleted, and a process before it has removed the record.
func (f *failing) prune() {
	f.mu.Lock()
	ids := make([]string, 0, len(f.byID))
	for id := range f.byID {
		ids = append(ids, id)
	}
	f.mu.Unlock()
	for _, id := range ids {
		if f.g.webhooks.get(id) == nil && !f.g.webhooks.unreadable(id) {
			f.reset(id)
		}
	}
}

// flush writes what has changed. What cannot be written stays for later.
func (f *failing) flush() {
	f.mu.Lock()
	ids := make([]string, 0, len(f.dirty))
	for id := range f.dirty {
		ids = append(ids, id)
	}
	f.mu.Unlock()
	for _, id := range ids {
		switch err := f.write(id); {
		case err == nil:
		case errors.Is(err, queue.ErrClosed):
			return
		default:
			f.g.log.Warn("the failures of a webhook could not be written",
				zap.String("webhook_id", id), zap.Error(err))
			return
		}
	}
}

// write brings one record up to date.
func (f *failing) write(webhookID string) (err error) {
	f.writing.Lock()
	defer f.writing.Unlock()
	f.mu.Lock()
	delete(f.dirty, webhookID)
	var s streak
	now := f.byID[webhookID]
	if now != nil {
		s = *now
	}
	f.mu.Unlock()
	defer func() {
		if err != nil {
			f.mu.Lock()
			f.dirty[webhookID] = true
			f.mu.Unlock()
		}
	}()

	version, stored := f.versions[webhookID]
	switch {
	case now != nil:
		data, err := json.Marshal(s)
		if err != nil {
			return fmt.Errorf("encode failures: %w", err)
		}
		version, err = f.g.store.PutRecord(context.Background(), queue.Record{
			Kind: queue.HealthRecord, ID: webhookID, Version: version, Data: data,
		})
		if err != nil {
			return err
		}
		f.versions[webhookID] = version
	case stored:
		if err := f.g.store.DeleteRecord(context.Background(), queue.HealthRecord, webhookID); err != nil {
			return err
		}
		delete(f.versions, webhookID)
	}
	return nil
}

// targetOf tells URLs apart without keeping them: they may hold a token.
func targetOf(url string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(url)) // never fails
	return h.Sum64()
}
