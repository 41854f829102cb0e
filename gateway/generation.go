package gateway

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/tengineai/webhook-gateway/dispatch"
	"github.com/tengineai/webhook-gateway/filter"
	"github.com/tengineai/webhook-gateway/signer"
	"github.com/tengineai/webhook-gateway/webhook"
)

// Generation is what one Apply put in force: the settings and what follows
// from them.
type Generation struct {
	settings *Settings
	names    filter.Names
	index    *filter.Index
	webhooks *registry
	keys     keyring
}

// newGeneration prepares settings for use. The caller holds mu.
func (g *Gateway) newGeneration(ctx context.Context, s *Settings) (*Generation, error) {
	gen := &Generation{
		settings: s,
		names:    namesOf(s.Catalogue),
		index:    filter.NewIndex(),
		webhooks: &registry{byID: make(map[string]*entry, len(s.Static))},
		keys:     newKeyring(s.Keys),
	}
	for i := range s.Static {
		sub := s.Static[i]
		if err := g.enroll(ctx, &sub); err != nil {
			return nil, fmt.Errorf("webhook %s: %w", sub.ID, err)
		}
		if err := gen.add(&sub); err != nil {
			return nil, fmt.Errorf("webhook %s: %w", sub.ID, err)
		}
	}
	return gen, nil
}

// add puts a webhook into the generation, or replaces it.
func (gen *Generation) add(sub *webhook.Subscription) error {
	s := gen.settings
	engineName := sub.FilterEngine
	if engineName == "" {
		engineName = DefaultEngine
	}
	engine, ok := s.Engines[engineName]
	if !ok {
		return fmt.Errorf("no filter engine %q", engineName)
	}
	rule, err := filter.Compile(engine, gen.names, sub.Filters, sub.Filter)
	if err != nil {
		return fmt.Errorf("compile filter: %w", err)
	}
	receiver, err := s.receiver(sub)
	if err != nil {
		return err
	}
	gen.webhooks.put(&entry{sub: sub, receiver: receiver, filterErrors: new(errorBudget)})
	gen.index.Put(filter.Entry{ID: sub.ID, ProjectID: sub.ProjectID, Events: sub.Events, Rule: rule})
	return nil
}

// adoptStates brings the states of the webhooks up to date with the records:
// they may have changed while another generation was in force.
func (gen *Generation) adoptStates(rs *records) {
	for _, sub := range gen.settings.Static {
		if r, ok := rs.get(sub.ID); ok {
			gen.setState(sub.ID, r.State, r.DisabledReason)
		}
	}
}

// setState replaces a webhook's entry by one with another state.
func (gen *Generation) setState(webhookID string, state webhook.State, reason string) {
	e, ok := gen.webhooks.get(webhookID)
	if !ok || (e.sub.State == state && e.sub.DisabledReason == reason) {
		return
	}
	sub := *e.sub
	sub.State, sub.DisabledReason = state, reason
	receiver := *e.receiver
	receiver.Subscription = &sub
	gen.webhooks.put(&entry{sub: &sub, receiver: &receiver, filterErrors: e.filterErrors})
}

// DefaultEngine is the filter engine of webhooks that name none.
const DefaultEngine = "expr"

// receiver makes everything that the attempts of a webhook need.
func (s *Settings) receiver(sub *webhook.Subscription) (*dispatch.Receiver, error) {
	return dispatch.NewReceiver(sub, signer.New(sub.Secrets), s.Egress.Transport(sub.ProjectID, sub.ID), dispatch.Settings{
		Timeout:     s.Timeout,
		Schedule:    s.Retry,
		Concurrency: s.Concurrency,
		UserAgent:   s.UserAgent,
	})
}

// registry holds the webhooks of one generation. Entries are immutable; a
// change replaces the entry.
type registry struct {
	mu   sync.RWMutex
	byID map[string]*entry
}

type entry struct {
	sub          *webhook.Subscription
	receiver     *dispatch.Receiver
	filterErrors *errorBudget
}

func (r *registry) get(webhookID string) (*entry, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	e, ok := r.byID[webhookID]
	return e, ok
}

func (r *registry) put(e *entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.byID[e.sub.ID] = e
}

// errorBudget limits how many filter errors of a webhook are recorded: the
// first 1000 of an hour, then at most one a second (contract section 3), so
// that a broken filter cannot fill the disk.
type errorBudget struct {
	mu   sync.Mutex
	hour time.Time // when the current hour began
	n    int       // recorded in it
	last time.Time
}

const errorsAnHour = 1000

// allow says whether an error at now is recorded, and counts it if so.
func (b *errorBudget) allow(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if since := now.Sub(b.hour); since < 0 || since >= time.Hour {
		b.hour, b.n = now, 0
	}
	if b.n >= errorsAnHour {
		if since := now.Sub(b.last); since >= 0 && since < time.Second {
			return false
		}
	}
	b.n++
	b.last = now
	return true
}
