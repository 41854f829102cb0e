package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/tengineai/webhook-gateway/dispatch"
	"github.com/tengineai/webhook-gateway/filter"
	"github.com/tengineai/webhook-gateway/signer"
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
func (gen *Generation) add(h *held) {
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
func (gen *Generation) changed(h *held) {
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
func (gen *Generation) setState(h *held) {
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

// receiver returns everything that the attempts of a webhook need.
func (gen *Generation) receiver(sub *webhook.Subscription) (*dispatch.Receiver, error) {
	if r := gen.receivers.get(sub); r != nil {
		return r, nil
	}
	s := gen.settings
	r, err := dispatch.NewReceiver(sub, signer.New(sub.Secrets), s.Egress.Transport(sub.ProjectID, sub.ID), dispatch.Settings{
		Timeout:     s.Timeout,
		Schedule:    s.Retry,
		Concurrency: s.Concurrency,
		UserAgent:   s.UserAgent,
	})
	if err != nil {
		return nil, err
	}
	gen.receivers.put(r)
	return r, nil
}

// receiverCache keeps the receivers that were used last or nearly so. Making one
// takes some microseconds, keeping one a kilobyte or two. The zero cache is
// empty.
type receiverCache struct {
	mu   sync.RWMutex
	byID map[string]*dispatch.Receiver
}

const maxReceivers = 4096

// get returns the receiver of exactly this version of a webhook, or nil.
func (c *receiverCache) get(sub *webhook.Subscription) *dispatch.Receiver {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if r := c.byID[sub.ID]; r != nil && r.Subscription == sub {
		return r
	}
	return nil
}

func (c *receiverCache) put(r *dispatch.Receiver) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byID == nil {
		c.byID = make(map[string]*dispatch.Receiver)
	}
	if len(c.byID) >= maxReceivers {
		for id := range c.byID { // any: the map's order is random
			delete(c.byID, id)
			break
		}
	}
	c.byID[r.Subscription.ID] = r
}

func (c *receiverCache) remove(webhookID string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.byID, webhookID)
}

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
