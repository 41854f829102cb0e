package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unique"

	"go.uber.org/zap"

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
	OwedEvent      string        `json:"untold,omitempty"`

	URL         string                     `json:"url,omitempty"`
	Description string                     `json:"description,omitempty"`
	Events      []string                   `json:"events,omitempty"`
	Filters     map[string]json.RawMessage `json:"filters,omitempty"`
	Filter      string                     `json:"filter,omitempty"`
	Headers     []webhook.Header           `json:"headers,omitempty"`
	Retry       []time.Duration            `json:"retry,omitzero"` // empty is not nil
	Timeout     time.Duration              `json:"timeout,omitempty"`
	Rate        rateRecord                 `json:"rate,omitzero"`
	Concurrency int                        `json:"concurrency,omitempty"`
	Secrets     []secretRecord             `json:"secrets,omitempty"`
}

// rateRecord and secretRecord are webhook.Rate and webhook.Secret in a record. Stores
// have their members by the names of Go fields of once.
type rateRecord struct {
	N   int           `json:"N"`
	Per time.Duration `json:"Per"`
}

type secretRecord struct {
	Value     string             `json:"Value"`
	Role      webhook.SecretRole `json:"Role"`
	ExpiresAt time.Time          `json:"ExpiresAt"`
}

// recordOf returns what the store keeps of a webhook.
func recordOf(h *stored) record {
	s := h.sub
	r := record{
		Static: s.Static, State: s.State, DisabledReason: s.DisabledReason,
		CreatedAt: s.CreatedAt, UpdatedAt: s.UpdatedAt, Revision: h.revision, ParkedAt: h.parkedAt, OwedEvent: h.owedEvent,
	}
	if s.Static {
		return r
	}
	r.URL, r.Description, r.Events = s.URL, s.Description, s.Events
	r.Filters, r.Filter, r.Headers = s.Filters, s.Filter, s.Headers
	r.Retry, r.Timeout, r.Rate, r.Concurrency = s.Retry, s.Timeout, rateRecord(s.Rate), s.Concurrency
	for _, secret := range s.Secrets {
		r.Secrets = append(r.Secrets, secretRecord(secret))
	}
	return r
}

// stored returns the webhook that a record is of. Texts that many webhooks
// share are kept once.
func (r *record) stored(rec *queue.Record) *stored {
	for i := range r.Events {
		r.Events[i] = sharedText(r.Events[i])
	}
	var secrets []webhook.Secret
	for _, secret := range r.Secrets {
		secrets = append(secrets, webhook.Secret(secret))
	}
	return &stored{version: rec.Version, revision: r.Revision, parkedAt: r.ParkedAt, owedEvent: r.OwedEvent, sub: &webhook.Subscription{
		ID: rec.ID, ProjectID: sharedText(rec.ProjectID), Static: r.Static,
		State: webhook.State(sharedText(string(r.State))), DisabledReason: sharedText(r.DisabledReason),
		URL: r.URL, Description: r.Description, Events: r.Events,
		Filters: r.Filters, Filter: sharedText(r.Filter), Headers: r.Headers,
		Retry: r.Retry, Timeout: r.Timeout, Rate: webhook.Rate(r.Rate), Concurrency: r.Concurrency, Secrets: secrets,
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
		g.log.Error("the record of a webhook is damaged: its deliveries are held until a key of all projects deletes it",
			zap.String("webhook_id", id), zap.Error(cause))
		all.markDamaged(id)
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
		all.put(r.stored(rec))
		return nil
	}, func(id string) { damaged(id, queue.ErrCorrupt) })
}
