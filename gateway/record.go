package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/tengineai/webhook-gateway/dispatch"
	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/webhook"
)

// record is what the store keeps of a webhook. For a static one that is only
// its state: the rest is in the configuration.
type record struct {
	Static         bool          `json:"static"`
	State          webhook.State `json:"state"`
	DisabledReason string        `json:"disabled_reason,omitempty"`
	CreatedAt      time.Time     `json:"created_at"`
	UpdatedAt      time.Time     `json:"updated_at"`

	projectID string
	version   uint64
}

// records holds the record of every webhook that was ever seen and not
// deleted, as the store has them.
type records struct {
	mu   sync.RWMutex
	byID map[string]record
}

func (rs *records) get(webhookID string) (record, bool) {
	rs.mu.RLock()
	defer rs.mu.RUnlock()
	r, ok := rs.byID[webhookID]
	return r, ok
}

func (rs *records) put(webhookID string, r record) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.byID[webhookID] = r
}

// loadRecords reads all webhook records of a store.
func loadRecords(ctx context.Context, store queue.Store) (*records, error) {
	const page = 1000
	all := &records{byID: make(map[string]record)}
	for cursor := ""; ; {
		recs, err := store.Records(ctx, queue.WebhookRecord, "", cursor, page)
		if err != nil {
			return nil, err
		}
		for _, rec := range recs.Records {
			r := record{projectID: rec.ProjectID, version: rec.Version}
			if err := json.Unmarshal(rec.Data, &r); err != nil {
				return nil, fmt.Errorf("webhook %s: %w", rec.ID, err)
			}
			all.put(rec.ID, r)
		}
		if recs.Next == "" {
			return all, nil
		}
		cursor = recs.Next
	}
}

// enroll gives a static webhook its record when it has none, and the webhook
// the state that its record holds. The caller holds mu.
func (g *Gateway) enroll(ctx context.Context, sub *webhook.Subscription) error {
	r, known := g.records.get(sub.ID)
	if !known {
		now := g.now().UTC()
		r = record{Static: true, State: webhook.Active, CreatedAt: now, UpdatedAt: now, projectID: sub.ProjectID}
		if err := g.save(ctx, sub.ID, r); err != nil {
			return err
		}
	} else if !r.Static {
		return errors.New("a webhook of the API has this id: give the static webhook another name")
	}
	sub.State, sub.DisabledReason = r.State, r.DisabledReason
	sub.CreatedAt, sub.UpdatedAt = r.CreatedAt, r.UpdatedAt
	return nil
}

// save writes a record and keeps it in memory. The caller holds mu.
func (g *Gateway) save(ctx context.Context, webhookID string, r record) error {
	data, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode record: %w", err)
	}
	r.version, err = g.store.PutRecord(ctx, queue.Record{
		Kind: queue.WebhookRecord, ID: webhookID, ProjectID: r.projectID, Version: r.version, Data: data,
	})
	if err != nil {
		return fmt.Errorf("save record: %w", err)
	}
	g.records.put(webhookID, r)
	return nil
}

// disable disables a webhook: what is pending and what comes is skipped from
// now on.
func (g *Gateway) disable(webhookID, reason string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	r, ok := g.records.get(webhookID)
	if !ok || r.State == webhook.Disabled {
		return
	}
	r.State, r.DisabledReason, r.UpdatedAt = webhook.Disabled, reason, g.now().UTC()
	if err := g.save(context.Background(), webhookID, r); err != nil {
		g.log.Error("webhook could not be disabled", zap.String("webhook_id", webhookID), zap.Error(err))
		return
	}
	for _, gen := range g.generations {
		gen.setState(webhookID, r.State, r.DisabledReason)
	}
	g.dispatcher.Refresh(webhookID)
	g.log.Warn("webhook disabled", zap.String("webhook_id", webhookID), zap.String("reason", reason))
}

// receivers tells the dispatcher where deliveries go.
type receivers struct{ g *Gateway }

// Receiver implements dispatch.Receivers.
func (r receivers) Receiver(webhookID string) (*dispatch.Receiver, dispatch.State) {
	gen := r.g.current.Load()
	if gen == nil {
		return nil, dispatch.Held
	}
	if e, ok := gen.webhooks.get(webhookID); ok {
		switch e.sub.State {
		case webhook.Paused:
			return e.receiver, dispatch.Held
		case webhook.Disabled:
			return e.receiver, dispatch.Disabled
		default:
			return e.receiver, dispatch.Active
		}
	}
	if rec, ok := r.g.records.get(webhookID); ok && rec.Static {
		return nil, dispatch.Held // it left the configuration and may come back
	}
	return nil, dispatch.Unknown
}
