package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"

	"go.uber.org/zap"

	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/webhook"
)

// enroll gives a static webhook its record when it has none, and the webhook
// the state that its record holds. The caller holds mu.
func (g *Gateway) enroll(ctx context.Context, sub *webhook.Subscription) error {
	h := g.webhooks.get(sub.ID)
	switch {
	case h == nil:
		now := g.now().UTC()
		h = &stored{revision: 1, sub: &webhook.Subscription{
			ID: sub.ID, ProjectID: sub.ProjectID, Static: true, State: webhook.Active, CreatedAt: now, UpdatedAt: now,
		}}
		var err error
		if h, err = g.save(ctx, h); err != nil {
			return err
		}
		g.webhooks.put(h)
	case !h.sub.Static:
		return errors.New("a webhook of the API has this id: give the static webhook another name")
	}
	adoptState(sub, h)
	return nil
}

// adoptState gives a static webhook what its record says about it.
func adoptState(sub *webhook.Subscription, h *stored) {
	sub.State, sub.DisabledReason = h.sub.State, h.sub.DisabledReason
	sub.CreatedAt, sub.UpdatedAt = h.sub.CreatedAt, h.sub.UpdatedAt
}

// save writes the record of a webhook and returns it with the record's new
// version. The caller holds the webhook's lock or, for one that is new, mu. It
// does not heed the end of ctx: what was written all the same would be unknown
// to the memory.
func (g *Gateway) save(ctx context.Context, h *stored) (*stored, error) {
	data, err := json.Marshal(recordOf(h))
	if err != nil {
		return nil, fmt.Errorf("encode record: %w", err)
	}
	rec := queue.Record{Kind: queue.WebhookRecord, ID: h.sub.ID, ProjectID: h.sub.ProjectID, Version: h.version, Data: data}
	if !h.sub.Static {
		if rec, err = g.vault.seal(rec); err != nil {
			return nil, err
		}
	}
	saved := *h
	if saved.version, err = g.store.PutRecord(context.WithoutCancel(ctx), rec); err != nil {
		return nil, fmt.Errorf("save record: %w", err)
	}
	return &saved, nil
}

// replace puts a changed webhook in force, in every generation. The caller holds
// the webhook's lock and has saved it.
func (g *Gateway) replace(h *stored) {
	g.mu.Lock()
	before := g.webhooks.get(h.sub.ID)
	g.webhooks.put(h)
	for _, gen := range g.generations {
		gen.changed(h)
	}
	g.mu.Unlock()
	if h.sub.State == webhook.Disabled && before != nil && before.sub.State != webhook.Disabled {
		g.endReplays(h.sub.ID)
		g.operations.disabled(h)
	}
	g.dispatcher.Refresh(h.sub.ID)
}

// changeState saves another state of a webhook and puts it in force. The caller
// holds the webhook's lock.
func (g *Gateway) changeState(ctx context.Context, h *stored, state webhook.State, reason string) error {
	sub := *h.sub
	sub.State, sub.DisabledReason = state, reason
	return g.update(ctx, h, &sub)
}

// update saves a changed webhook and puts it in force. One that is enabled again
// starts without a history of failures. The caller holds the webhook's lock.
func (g *Gateway) update(ctx context.Context, h *stored, sub *webhook.Subscription) error {
	now := g.now().UTC()
	sub.UpdatedAt = now
	if sub.State == webhook.Active && h.sub.State != webhook.Active {
		g.failing.forget(sub.ID)
	}
	changed := &stored{sub: sub, parkedAt: h.parkedAt, revision: h.revision + 1, version: h.version}
	switch {
	case sub.State != webhook.Disabled:
	case h.sub.State == webhook.Disabled:
		changed.owedEvent = h.owedEvent
	default:
		changed.owedEvent = webhook.NewEventID(now)
	}
	changed, err := g.save(ctx, changed)
	if err != nil {
		return err
	}
	g.replace(changed)
	return nil
}

// eventPublished notes that the event of this id, which tells of a webhook's
// disabling, is published: no start needs to make up for it.
func (g *Gateway) eventPublished(webhookID, eventID string) error {
	defer g.locks.lock(webhookID)()
	h := g.webhooks.get(webhookID)
	if h == nil || h.owedEvent != eventID {
		return nil // it was deleted, or made active, meanwhile
	}
	settled := *h
	settled.owedEvent = ""
	saved, err := g.save(context.Background(), &settled)
	if err != nil {
		return err
	}
	g.webhooks.put(saved)
	return nil
}

// disable disables a webhook: what is pending and what comes is skipped from
// now on. Somebody may be changing the webhook, so when that is done it is asked
// whether there still is a reason, with the webhook in force; nil if that has left
// the configuration.
func (g *Gateway) disable(webhookID, reason string, still func(*webhook.Subscription) bool) {
	defer g.locks.lock(webhookID)()
	h := g.webhooks.get(webhookID)
	if h == nil || h.sub.State == webhook.Disabled || !still(g.inForce(webhookID)) {
		return
	}
	if err := g.changeState(context.Background(), h, webhook.Disabled, reason); err != nil {
		g.log.Error("webhook could not be disabled", zap.String("webhook_id", webhookID), zap.Error(err))
		return
	}
	g.log.Warn("webhook disabled", zap.String("webhook_id", webhookID), zap.String("reason", reason))
}

// keyedLocks make what is done to one thing, a webhook for example, happen one after
// the other, while what is done to others goes on. Take a lock before Gateway.mu,
// never after, and only one at a time of a set.
type keyedLocks struct {
	seed  maphash.Seed
	locks [64]sync.Mutex
}

func newKeyedLocks() keyedLocks { return keyedLocks{seed: maphash.MakeSeed()} }

// pass waits until all that is being done under any of the locks is done.
func (l *keyedLocks) pass() {
	wait := func(m *sync.Mutex) {
		m.Lock()
		defer m.Unlock()
	}
	for i := range l.locks {
		wait(&l.locks[i])
	}
}

// lock locks what has an id and returns what unlocks it.
func (l *keyedLocks) lock(id string) (unlock func()) {
	m := &l.locks[maphash.String(l.seed, id)%uint64(len(l.locks))]
	m.Lock()
	return m.Unlock
}
