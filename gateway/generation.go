package gateway

import (
	"context"
	"fmt"
	"sync"

	"github.com/tengineai/webhook-gateway/filter"
	"github.com/tengineai/webhook-gateway/webhook"
)

// Generation is what one Apply put in force: the settings and what follows
// from them for the webhooks of the configuration and of the API.
type Generation struct {
	settings *Settings
	check    CheckContext
	names    filter.Names
	index    *filter.Index // of all webhooks
	keys     keyring
	secrets  sealKeys

	webhooks  *registry // of the gateway
	receivers receiverCache

	mu       sync.RWMutex
	static   map[string]*webhook.Subscription
	problems map[string]string // by id: why a webhook of the API gets nothing
}

// newGeneration prepares settings for use. The caller holds mu.
func (g *Gateway) newGeneration(ctx context.Context, s *Settings) (*Generation, error) {
	gen := &Generation{
		settings: s,
		check:    s.CheckContext(),
		index:    filter.NewIndex(),
		webhooks: g.webhooks,
		static:   make(map[string]*webhook.Subscription, len(s.Static)),
		problems: make(map[string]string),
		keys:     newKeyring(s.Keys),
	}
	gen.names = gen.check.Names
	for i := range s.Static {
		sub := s.Static[i]
		if err := g.enroll(ctx, &sub); err != nil {
			return nil, fmt.Errorf("webhook %s: %w", sub.ID, err)
		}
		if err := gen.addStatic(&sub); err != nil {
			return nil, fmt.Errorf("webhook %s: %w", sub.ID, err)
		}
	}
	for _, h := range g.webhooks.all() {
		if !h.sub.Static {
			gen.add(h)
		}
	}
	return gen, nil
}

// addStatic puts a webhook of the configuration into the generation.
func (gen *Generation) addStatic(sub *webhook.Subscription) error {
	rule, err := gen.rule(sub)
	if err != nil {
		return fmt.Errorf("compile filter: %w", err)
	}
	if _, err := gen.receiver(sub); err != nil {
		return err
	}
	gen.mu.Lock()
	gen.static[sub.ID] = sub
	gen.mu.Unlock()
	gen.index.Put(filter.Entry{ID: sub.ID, ProjectID: sub.ProjectID, Events: sub.Events, Rule: rule})
	return nil
}

// add puts a webhook of the API into the generation, or replaces it. One whose
// filter does not compile, because the catalogue it was saved under was another,
// fails on every event that it subscribes to.
func (gen *Generation) add(h *stored) {
	sub := h.sub
	rule, err := gen.rule(sub)
	trouble := ""
	if err != nil {
		trouble = "Its filter does not compile under the present settings: " + sentence(err.Error())
		rule = brokenRule
	}
	gen.setProblem(sub.ID, trouble)
	gen.index.Put(filter.Entry{ID: sub.ID, ProjectID: sub.ProjectID, Events: sub.Events, Rule: rule})
}

func (gen *Generation) setProblem(webhookID, trouble string) {
	gen.mu.Lock()
	defer gen.mu.Unlock()
	if trouble == "" {
		delete(gen.problems, webhookID)
		return
	}
	gen.problems[webhookID] = trouble
}

// problem returns why a webhook gets nothing, or "".
func (gen *Generation) problem(webhookID string) string {
	gen.mu.RLock()
	defer gen.mu.RUnlock()
	return gen.problems[webhookID]
}

// rule compiles the filter of a webhook.
func (gen *Generation) rule(sub *webhook.Subscription) (*filter.Rule, error) {
	name := sub.FilterEngine
	if name == "" {
		name = DefaultEngine
	}
	engine, ok := gen.settings.Engines[name]
	if !ok {
		return nil, fmt.Errorf("no filter engine %q", name)
	}
	return filter.Compile(engine, gen.names, sub.Filters, sub.Filter)
}

// webhook returns a webhook that the generation has, or nil.
func (gen *Generation) webhook(webhookID string) *webhook.Subscription {
	gen.mu.RLock()
	sub := gen.static[webhookID]
	gen.mu.RUnlock()
	if sub != nil {
		return sub
	}
	return gen.webhooks.api(webhookID)
}

// changed takes over a webhook that was created or changed.
func (gen *Generation) changed(h *stored) {
	if h.sub.Static {
		gen.setState(h)
		return
	}
	gen.add(h)
}

// removed takes out a webhook that was deleted.
func (gen *Generation) removed(webhookID string) {
	gen.index.Remove(webhookID)
	gen.setProblem(webhookID, "")
	gen.receivers.remove(webhookID)
}

// adoptStates brings the states of the static webhooks up to date with their
// records: they may have changed before the generation was in force.
func (gen *Generation) adoptStates() {
	for i := range gen.settings.Static {
		if h := gen.webhooks.get(gen.settings.Static[i].ID); h != nil {
			gen.setState(h)
		}
	}
}

// setState gives a static webhook the state of its record.
func (gen *Generation) setState(h *stored) {
	gen.mu.Lock()
	defer gen.mu.Unlock()
	before := gen.static[h.sub.ID]
	if before == nil || before.State == h.sub.State && before.UpdatedAt.Equal(h.sub.UpdatedAt) {
		return
	}
	sub := *before
	adoptState(&sub, h)
	gen.static[sub.ID] = &sub
}

// DefaultEngine is the filter engine of webhooks that name none.
const DefaultEngine = "expr"
