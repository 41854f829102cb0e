package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"time"
	"unique"

	"go.uber.org/zap"

	"github.com/tengineai/webhook-gateway/dispatch"
	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/webhook"
)

// record is what the store keeps of a webhook. For a static one that is only
// its state: the rest is in the configuration. That of a webhook of the API is
// sealed as a whole.
type record struct {
	Static         bool          `json:"static"`
	State          webhook.State `json:"state"`
	DisabledReason string        `json:"disabled_reason,omitempty"`
	CreatedAt      time.Time     `json:"created_at"`
	UpdatedAt      time.Time     `json:"updated_at"`
	Revision       uint64        `json:"revision,omitempty"`
	ParkedAt       time.Time     `json:"parked_at,omitzero"`

	URL         string                     `json:"url,omitempty"`
	Description string                     `json:"description,omitempty"`
	Events      []string                   `json:"events,omitempty"`
	Filters     map[string]json.RawMessage `json:"filters,omitempty"`
	Filter      string                     `json:"filter,omitempty"`
	Headers     []webhook.Header           `json:"headers,omitempty"`
	Retry       []time.Duration            `json:"retry,omitzero"` // empty is not nil
	Timeout     time.Duration              `json:"timeout,omitempty"`
	Rate        webhook.Rate               `json:"rate,omitzero"`
	Concurrency int                        `json:"concurrency,omitempty"`
	Secrets     []webhook.Secret           `json:"secrets,omitempty"`
}

// recordOf returns what the store keeps of a webhook.
func recordOf(h *held) record {
	s := h.sub
	r := record{
		Static: s.Static, State: s.State, DisabledReason: s.DisabledReason,
		CreatedAt: s.CreatedAt, UpdatedAt: s.UpdatedAt, Revision: h.revision, ParkedAt: h.parkedAt,
	}
	if s.Static {
		return r
	}
	r.URL, r.Description, r.Events = s.URL, s.Description, s.Events
	r.Filters, r.Filter, r.Headers = s.Filters, s.Filter, s.Headers
	r.Retry, r.Timeout, r.Rate, r.Concurrency = s.Retry, s.Timeout, s.Rate, s.Concurrency
	r.Secrets = s.Secrets
	return r
}

// held returns the webhook that a stored record is of. Texts that many webhooks
// share are kept once.
func (r *record) held(rec *queue.Record) *held {
	for i := range r.Events {
		r.Events[i] = sharedText(r.Events[i])
	}
	return &held{version: rec.Version, revision: r.Revision, parkedAt: r.ParkedAt, sub: &webhook.Subscription{
		ID: rec.ID, ProjectID: sharedText(rec.ProjectID), Static: r.Static,
		State: webhook.State(sharedText(string(r.State))), DisabledReason: sharedText(r.DisabledReason),
		URL: r.URL, Description: r.Description, Events: r.Events,
		Filters: r.Filters, Filter: sharedText(r.Filter), Headers: r.Headers,
		Retry: r.Retry, Timeout: r.Timeout, Rate: r.Rate, Concurrency: r.Concurrency, Secrets: r.Secrets,
		CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt,
	}}
}

// sharedText returns text in the one copy that all who ask for it get.
func sharedText(text string) string { return unique.Make(text).Value() }

// eachRecord reads all records of a kind. damaged, which may be nil, is told
// those that cannot be read.
func eachRecord(ctx context.Context, store queue.Store, kind queue.RecordKind, fn func(*queue.Record) error, damaged func(id string)) error {
	const page = 1000
	for cursor := ""; ; {
		recs, err := store.Records(ctx, kind, "", cursor, page)
		if err != nil {
			return err
		}
		for _, id := range recs.Damaged {
			if damaged != nil {
				damaged(id)
			}
		}
		for i := range recs.Records {
			if err := fn(&recs.Records[i]); err != nil {
				return fmt.Errorf("%s record %s: %w", kind, recs.Records[i].ID, err)
			}
		}
		if recs.Next == "" {
			return nil
		}
		cursor = recs.Next
	}
}

// loadWebhooks reads all webhook records of the store. What a record holds that
// cannot be read is known by its id only: its deliveries are held. A record that
// no configured key opens is an error.
func (g *Gateway) loadWebhooks(ctx context.Context) error {
	all := g.webhooks
	damaged := func(id string, cause error) {
		g.log.Error("the record of a webhook is damaged: its deliveries are held until it is deleted",
			zap.String("webhook_id", id), zap.Error(cause))
		all.spoil(id)
	}
	return eachRecord(ctx, g.store, queue.WebhookRecord, func(rec *queue.Record) error {
		data, err := g.vault.open(rec)
		if errors.Is(err, errSealKey) {
			return err
		}
		var r record
		if err == nil {
			err = json.Unmarshal(data, &r)
		}
		if err != nil {
			damaged(rec.ID, err)
			return nil
		}
		all.put(r.held(rec))
		return nil
	}, func(id string) { damaged(id, queue.ErrCorrupt) })
}

// enroll gives a static webhook its record when it has none, and the webhook
// the state that its record holds. The caller holds mu.
func (g *Gateway) enroll(ctx context.Context, sub *webhook.Subscription) error {
	h := g.webhooks.get(sub.ID)
	switch {
	case h == nil:
		now := g.now().UTC()
		h = &held{revision: 1, sub: &webhook.Subscription{
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
func adoptState(sub *webhook.Subscription, h *held) {
	sub.State, sub.DisabledReason = h.sub.State, h.sub.DisabledReason
	sub.CreatedAt, sub.UpdatedAt = h.sub.CreatedAt, h.sub.UpdatedAt
}

// save writes the record of a webhook and returns it with the record's new
// version. The caller holds the webhook's lock or, for one that is new, mu. It
// does not heed the end of ctx: what was written all the same would be unknown
// to the memory.
func (g *Gateway) save(ctx context.Context, h *held) (*held, error) {
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
func (g *Gateway) replace(h *held) {
	g.mu.Lock()
	before := g.webhooks.get(h.sub.ID)
	g.webhooks.put(h)
	for _, gen := range g.generations {
		gen.changed(h)
	}
	g.mu.Unlock()
	if before != nil && before.sub.State != h.sub.State {
		g.stateChanged(h)
	}
	g.dispatcher.Refresh(h.sub.ID)
}

// stateChanged does what follows from another state of a webhook.
func (g *Gateway) stateChanged(h *held) {
	switch h.sub.State {
	case webhook.Active:
		g.failing.reset(h.sub.ID)
	case webhook.Disabled:
		g.operations.disabled(h.sub)
	case webhook.Paused:
	}
}

// changeState saves another state of a webhook and puts it in force. The caller
// holds the webhook's lock.
func (g *Gateway) changeState(ctx context.Context, h *held, state webhook.State, reason string) error {
	sub := *h.sub
	sub.State, sub.DisabledReason, sub.UpdatedAt = state, reason, g.now().UTC()
	changed, err := g.save(ctx, &held{sub: &sub, parkedAt: h.parkedAt, revision: h.revision + 1, version: h.version})
	if err != nil {
		return err
	}
	g.replace(changed)
	return nil
}

// disable disables a webhook: what is pending and what comes is skipped from
// now on.
func (g *Gateway) disable(webhookID, reason string) {
	defer g.locks.lock(webhookID)()
	h := g.webhooks.get(webhookID)
	if h == nil || h.sub.State == webhook.Disabled {
		return
	}
	if err := g.changeState(context.Background(), h, webhook.Disabled, reason); err != nil {
		g.log.Error("webhook could not be disabled", zap.String("webhook_id", webhookID), zap.Error(err))
		return
	}
	g.log.Warn("webhook disabled", zap.String("webhook_id", webhookID), zap.String("reason", reason))
}

// webhookLocks make the changes of one webhook happen one after the other,
// while those of others go on. Take a lock before Gateway.mu, never after.
type webhookLocks struct {
	seed  maphash.Seed
	locks [64]sync.Mutex
}

// lock locks a webhook and returns what unlocks it.
func (l *webhookLocks) lock(webhookID string) (unlock func()) {
	m := &l.locks[maphash.String(l.seed, webhookID)%uint64(len(l.locks))]
	m.Lock()
	return m.Unlock
}

// receivers tells the dispatcher where deliveries go.
type receivers struct{ g *Gateway }

// Receiver implements dispatch.Receivers.
func (r receivers) Receiver(webhookID string) (*dispatch.Receiver, dispatch.State) {
	gen := r.g.current.Load()
	if gen == nil {
		return nil, dispatch.Held
	}
	sub := gen.webhook(webhookID)
	if sub == nil {
		return nil, r.g.absent(webhookID)
	}
	receiver, err := gen.receiver(sub)
	if err != nil {
		r.g.log.Error("webhook has no receiver; its deliveries are held", zap.String("webhook_id", webhookID), zap.Error(err))
		return nil, dispatch.Held
	}
	switch sub.State {
	case webhook.Paused:
		return receiver, dispatch.Held
	case webhook.Disabled:
		return receiver, dispatch.Disabled
	default:
		return receiver, dispatch.Active
	}
}

// absent says what to do for a webhook that the generation in force does not
// have.
func (g *Gateway) absent(webhookID string) dispatch.State {
	switch h := g.webhooks.get(webhookID); {
	case h != nil: // it left the configuration and may come back
		return dispatch.Parked
	case g.webhooks.unreadable(webhookID):
		return dispatch.Held
	}
	return dispatch.Unknown
}
