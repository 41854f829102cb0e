package gateway

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/tengineai/webhook-gateway/problem"
	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/signer"
	"github.com/tengineai/webhook-gateway/webhook"
)

// Masked stands for a value that is not shown. Sent back in a change, it leaves
// the stored value as it is (contract section 3).
const Masked = webhook.Masked

// Webhook is a webhook as those who manage it see it: it holds no secret, and
// the values of headers that may be secret are Masked.
type Webhook struct {
	WebhookSpec // Secret is empty

	ID             string
	ProjectID      string // webhook.AllProjects only for static webhooks
	DisabledReason string // a webhook.Reason… constant while Status is Disabled, else empty
	Secrets        []SecretHint
	Static         bool
	CreatedAt      time.Time
	UpdatedAt      time.Time

	// Problem says why the webhook gets nothing although it is active: its
	// stored filter no longer compiles under the present settings. Empty
	// while all is well.
	Problem string

	// Version changes with every change of the webhook. It is an ETag without
	// its quotes.
	Version string
}

// WebhookSpec is what those who manage a webhook decide about it. Zero values
// are the defaults.
type WebhookSpec struct {
	URL         string
	Description string
	Events      []string // catalogue names, "project.*", "*"
	Filters     map[string]json.RawMessage
	Filter      string // expr
	Headers     []webhook.Header
	Status      webhook.State // empty is Active

	Retry       []time.Duration // nil: the setting stands; empty: no retries
	Timeout     time.Duration
	Rate        webhook.Rate
	Concurrency int

	// Secret is only read. In a creation, empty asks for a generated one; in a
	// change, empty leaves what is there and another value replaces it at once,
	// ending a rotation.
	Secret string
}

// SecretHint tells a secret from another without showing it.
type SecretHint struct {
	Hint      string
	Role      webhook.SecretRole
	ExpiresAt time.Time // zero: it does not end
}

// Webhooks lists the webhooks of a project by id, those of the configuration
// among them. A key without a restriction to projects also sees those that get
// the events of all projects. The cost of a page does not grow with what lies
// before it.
func (g *Gateway) Webhooks(_ context.Context, by *Key, projectID string, p Page) (list []Webhook, next string, err error) {
	gen, err := g.admit(by, ScopeRead)
	if err != nil {
		return nil, "", err
	}
	if !by.seesProject(projectID) {
		return nil, "", noProject()
	}
	after, err := p.after(listOfWebhooks(projectID))
	if err != nil {
		return nil, "", err
	}

	ids := g.webhookIDs(gen, by, projectID, after, p.Limit+1)
	if len(ids) > p.Limit {
		ids = ids[:p.Limit]
		next = cursorAfter(listOfWebhooks(projectID), ids[p.Limit-1])
	}
	list = make([]Webhook, 0, len(ids))
	for _, id := range ids {
		if w, err := g.view(gen, id); err == nil { // else it was deleted meanwhile
			list = append(list, w)
		}
	}
	return list, next, nil
}

const webhookPrefix = "wh_"

// staticOf returns the webhooks of the configuration that get the events of a
// project and that the key may see.
func (gen *Generation) staticOf(projectID string, by *Key) []*webhook.Subscription {
	gen.mu.RLock()
	defer gen.mu.RUnlock()
	var subs []*webhook.Subscription
	for _, sub := range gen.static {
		if sub.GetsEventsOf(projectID) && by.seesWebhook(sub) {
			subs = append(subs, sub)
		}
	}
	return subs
}

// Webhook returns a webhook.
func (g *Gateway) Webhook(_ context.Context, by *Key, id string) (Webhook, error) {
	gen, err := g.admit(by, ScopeRead)
	if err != nil {
		return Webhook{}, err
	}
	if _, err := gen.webhookFor(by, id); err != nil {
		return Webhook{}, err
	}
	return g.view(gen, id)
}

// view returns a webhook as it is shown.
func (g *Gateway) view(gen *Generation, webhookID string) (Webhook, error) {
	h, sub := g.webhooks.get(webhookID), gen.webhook(webhookID)
	if h == nil || sub == nil {
		return Webhook{}, noWebhook()
	}
	if !sub.Static {
		sub = h.sub // of the same moment as the revision
	}
	w := Webhook{
		WebhookSpec:    specOf(sub),
		ID:             sub.ID,
		ProjectID:      sub.ProjectID,
		DisabledReason: sub.DisabledReason,
		Static:         sub.Static,
		CreatedAt:      sub.CreatedAt,
		UpdatedAt:      sub.UpdatedAt,
		Problem:        gen.problem(sub.ID),
		Version:        h.etag(),
	}
	for _, s := range signer.Live(g.now(), sub.Secrets) {
		w.Secrets = append(w.Secrets, SecretHint{Hint: signer.Hint(s.Value), Role: s.Role, ExpiresAt: s.ExpiresAt})
	}
	if sub.Static {
		w.Version = g.staticVersion(gen, w, sub)
	}
	return w, nil
}

// staticVersion is the Version of a webhook whose configuration can change
// without a change of its record. It also changes with what w does not show; with
// a key, so that nobody can try out what that is.
func (g *Gateway) staticVersion(gen *Generation, w Webhook, sub *webhook.Subscription) string {
	text, err := json.Marshal([]any{w, sub})
	if err != nil {
		return w.Version // a filter that is no JSON: the configuration has none
	}
	key := g.marker
	if k := gen.secrets.primary; k != nil {
		key = k.marker // so that a restart changes no version
	}
	mac := hmac.New(sha256.New, key)
	mac.Write(text)
	return hex.EncodeToString(mac.Sum(nil)[:8])
}

// specOf returns what a webhook's owner decided, with secret header values
// Masked and without the secret. It shares nothing with sub.
func specOf(sub *webhook.Subscription) WebhookSpec {
	spec := WebhookSpec{
		URL:         sub.URL,
		Description: sub.Description,
		Events:      slices.Clone(sub.Events),
		Filters:     maps.Clone(sub.Filters),
		Filter:      sub.Filter,
		Headers:     slices.Clone(sub.Headers),
		Status:      sub.State,
		Retry:       slices.Clone(sub.Retry),
		Timeout:     sub.Timeout,
		Rate:        sub.Rate,
		Concurrency: sub.Concurrency,
	}
	for i, h := range spec.Headers {
		if webhook.SecretHeader(h.Name) {
			spec.Headers[i].Value = Masked
		}
	}
	return spec
}

// DeleteWebhook removes a webhook of the API. When it returns, no attempt is
// made any more; what was pending ends as cancelled. ifMatch is as in
// ChangeWebhook. A key of all projects can delete one whose record is damaged, too.
func (g *Gateway) DeleteWebhook(ctx context.Context, by *Key, id, ifMatch string) error {
	h, unlock, err := g.toChange(by, id, ifMatch)
	if err != nil && g.unreadableFor(by, id) {
		h, unlock, err = &stored{sub: &webhook.Subscription{ID: id}}, g.locks.lock(id), nil
	}
	if err != nil {
		return err
	}
	err = g.remove(ctx, h)
	unlock()
	if err != nil {
		return err
	}
	g.dispatcher.Forget(ctx, id)
	g.forgetWebhook(id)
	g.log.Info("webhook deleted", zap.String("webhook_id", id), zap.String("project_id", h.sub.ProjectID), zap.String("key", by.Name))
	return nil
}

// unreadableFor says whether a key may delete a webhook whose record is damaged:
// nobody can tell any more whose it was.
func (g *Gateway) unreadableFor(by *Key, id string) bool {
	return RequireScope(by, ScopeManage) == nil && by.ofAllProjects() && g.webhooks.unreadable(id) && !g.Closing()
}

// forgetWebhook drops what is known of a webhook beside its record. Call it when the
// dispatcher knows that the webhook is gone.
func (g *Gateway) forgetWebhook(id string) {
	g.tests.forget(id)
	g.failing.reset(id)
	g.operations.forget(id)
	g.activity.forget(id)
}

// remove takes a webhook of the API out of the store and out of every
// generation. The caller holds its lock.
func (g *Gateway) remove(ctx context.Context, h *stored) error {
	id := h.sub.ID
	if h.sub.Static {
		return ofConfiguration()
	}
	if err := g.store.DeleteRecord(context.WithoutCancel(ctx), queue.WebhookRecord, id); err != nil { // as in save
		return refusal(fmt.Errorf("delete webhook %s: %w", id, err), noWebhook())
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.webhooks.remove(id)
	for _, gen := range g.generations {
		gen.removed(id)
	}
	return nil
}

// toChange locks a webhook that a key asks to change, and returns it with what
// unlocks it.
func (g *Gateway) toChange(by *Key, id, ifMatch string) (h *stored, unlock func(), err error) {
	gen, err := g.admit(by, ScopeManage)
	if err != nil {
		return nil, nil, err
	}
	if g.Closing() {
		return nil, nil, stopping()
	}
	release := g.locks.lock(id)
	defer func() {
		if err != nil {
			release()
		}
	}()
	if _, err := gen.webhookFor(by, id); err != nil {
		return nil, nil, err
	}
	if ifMatch != "" && ifMatch != "*" {
		w, err := g.view(gen, id)
		if err != nil {
			return nil, nil, err
		}
		if w.Version != ifMatch {
			return nil, nil, problem.New(problem.PreconditionFailed, "The webhook was changed meanwhile. Read it again and repeat the change.")
		}
	}
	return g.webhooks.get(id), release, nil
}

func ofConfiguration() error {
	return problem.New(problem.Conflict, "This webhook is one of the configuration: only its status can be changed here. Change the rest there and reload.")
}
