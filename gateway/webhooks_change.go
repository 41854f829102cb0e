package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"

	"go.uber.org/zap"

	"github.com/oklog/ulid/v2"

	"github.com/tengineai/webhook-gateway/problem"
	"github.com/tengineai/webhook-gateway/signer"
	"github.com/tengineai/webhook-gateway/webhook"
)

// CreateWebhook makes a webhook of a project. The secret is returned only if it
// was generated, and never shown again. The error tells all that is wrong at
// once.
func (g *Gateway) CreateWebhook(ctx context.Context, by *Key, projectID string, spec WebhookSpec) (w Webhook, secret string, err error) {
	gen, err := g.admit(by, ScopeManage)
	if err != nil {
		return Webhook{}, "", err
	}
	if g.Closing() {
		return Webhook{}, "", stopping()
	}
	if !by.seesProject(projectID) {
		return Webhook{}, "", noProject()
	}
	now := g.now().UTC()
	sub := &webhook.Subscription{ID: newWebhookID(now), ProjectID: projectID, State: webhook.Active, CreatedAt: now, UpdatedAt: now}
	if spec.Secret == "" {
		secret = signer.Generate()
		spec.Secret = secret
	}
	if items := gen.judge(&spec, sub, nil); len(items) > 0 {
		return Webhook{}, "", invalidWebhook(items)
	}

	if !g.webhooks.reserve(projectID, gen.settings.MaxWebhooks-gen.staticCount(projectID)) {
		return Webhook{}, "", problem.New(problem.Conflict,
			fmt.Sprintf("The project has %d webhooks, as many as it may have (max_webhooks). Delete one first.", gen.settings.MaxWebhooks))
	}
	defer g.webhooks.release(projectID)
	defer g.locks.lock(sub.ID)()
	h, err := g.save(ctx, &stored{sub: sub, revision: 1})
	if err != nil {
		return Webhook{}, "", refusal(fmt.Errorf("create webhook: %w", err), noWebhook())
	}
	g.replace(h)
	g.log.Info("webhook created", zap.String("webhook_id", sub.ID), zap.String("project_id", projectID), zap.String("key", by.Name))
	w, err = g.view(gen, sub.ID)
	return w, secret, err
}

// newWebhookID returns an id that sorts by its time.
func newWebhookID(now time.Time) string {
	return webhookPrefix + ulid.MustNew(ulid.Timestamp(now), ulid.DefaultEntropy()).String()
}

// generatedID says whether newWebhookID made an id. Names of the configuration have
// no capitals, ULIDs of these centuries do.
func generatedID(webhookID string) bool {
	return strings.ContainsFunc(webhookID, unicode.IsUpper)
}

// staticCount counts the webhooks of the configuration that a project has.
func (gen *Generation) staticCount(projectID string) int {
	gen.mu.RLock()
	defer gen.mu.RUnlock()
	n := 0
	for _, sub := range gen.static {
		if sub.ProjectID == projectID {
			n++
		}
	}
	return n
}

// ChangeWebhook changes a webhook. change is given what it is now, with secret
// header values Masked and without a secret; it may be called while others wait
// to change the webhook, so it must be quick. ifMatch is the Version that the
// caller believes the webhook has, or empty for any; with another one it is
// problem.PreconditionFailed. The change holds for the next attempt.
//
// Members that stay as they are, are not judged again: a webhook whose filter
// no longer compiles can be paused. Of a webhook of the configuration only the
// status can be changed. A disabled one becomes active or paused only when all
// that was pending is skipped: ChangeWebhook waits for that, and calls change
// again.
func (g *Gateway) ChangeWebhook(ctx context.Context, by *Key, id, ifMatch string, change func(*WebhookSpec)) (Webhook, error) {
	for began := time.Now(); ; {
		w, err := g.changeWebhook(ctx, by, id, ifMatch, change)
		switch {
		case !errors.Is(err, errSkipping):
			return w, err
		case time.Since(began) > skipTime:
			return Webhook{}, unavailable("The webhook was disabled, and its pending deliveries are still being skipped. Send the request again.")
		}
		select {
		case <-time.After(skipPause):
		case <-ctx.Done():
			return Webhook{}, refusal(ctx.Err(), noWebhook())
		}
	}
}

const (
	// skipTime is how long the end of a disabled state waits for pending
	// deliveries to be skipped, and skipPause how long until it looks again.
	skipTime  = 10 * time.Second
	skipPause = 10 * time.Millisecond
)

// errSkipping: deliveries that were pending when the webhook was disabled are
// not all skipped yet.
var errSkipping = errors.New("pending deliveries are being skipped")

// skipping returns errSkipping if a change would send what disabling has ended.
func (g *Gateway) skipping(before, after *webhook.Subscription) error {
	if before.State == webhook.Disabled && after.State != webhook.Disabled && g.store.Backlog(before.ID) > 0 {
		return errSkipping
	}
	return nil
}

func (g *Gateway) changeWebhook(ctx context.Context, by *Key, id, ifMatch string, change func(*WebhookSpec)) (Webhook, error) {
	h, unlock, err := g.toChange(by, id, ifMatch)
	if err != nil {
		return Webhook{}, err
	}
	defer unlock()
	gen, err := g.generation()
	if err != nil {
		return Webhook{}, err
	}
	if h.sub.Static {
		return g.changeStatic(ctx, by, gen, h, change)
	}
	spec := specOf(h.sub)
	change(&spec)
	sub := *h.sub
	if items := gen.judge(&spec, &sub, h.sub); len(items) > 0 {
		return Webhook{}, invalidWebhook(items)
	}
	if reflect.DeepEqual(&sub, h.sub) {
		return g.view(gen, id)
	}
	if err := g.skipping(h.sub, &sub); err != nil {
		return Webhook{}, err
	}
	if err := g.update(ctx, h, &sub); err != nil {
		return Webhook{}, refusal(fmt.Errorf("change webhook %s: %w", id, err), noWebhook())
	}
	g.log.Info("webhook changed", zap.String("webhook_id", id), zap.String("project_id", sub.ProjectID), zap.String("key", by.Name))
	return g.view(gen, id)
}

// changeStatic changes the status of a webhook of the configuration.
func (g *Gateway) changeStatic(ctx context.Context, by *Key, gen *Generation, h *stored, change func(*WebhookSpec)) (Webhook, error) {
	sub := gen.webhook(h.sub.ID)
	if sub == nil {
		return Webhook{}, noWebhook()
	}
	spec, before := specOf(sub), specOf(sub)
	change(&spec)
	state := *h.sub
	items := spec.applyStatus(&state, h.sub)
	spec.Status = before.Status
	if !sameSpec(spec, before) {
		return Webhook{}, ofConfiguration()
	}
	if len(items) > 0 {
		return Webhook{}, invalidWebhook(items)
	}
	if state.State == h.sub.State {
		return g.view(gen, sub.ID)
	}
	if err := g.skipping(h.sub, &state); err != nil {
		return Webhook{}, err
	}
	if err := g.update(ctx, h, &state); err != nil {
		return Webhook{}, refusal(fmt.Errorf("change webhook %s: %w", sub.ID, err), noWebhook())
	}
	g.log.Info("status of a webhook changed", zap.String("webhook_id", sub.ID), zap.String("status", string(state.State)), zap.String("key", by.Name))
	return g.view(gen, sub.ID)
}

// sameSpec compares what two specs mean: an empty list is none, but for Retry.
func sameSpec(a, b WebhookSpec) bool {
	for _, s := range []*WebhookSpec{&a, &b} {
		if len(s.Events) == 0 {
			s.Events = nil
		}
		if len(s.Filters) == 0 {
			s.Filters = nil
		}
		if len(s.Headers) == 0 {
			s.Headers = nil
		}
	}
	return reflect.DeepEqual(a, b)
}

func invalidWebhook(items []problem.Item) error {
	return problem.New(problem.Invalid, "The webhook breaks a rule; see errors.", items...)
}

// apply writes the spec into sub and returns what CheckSubscription cannot
// judge: the status, and masked values of headers. before is the webhook that
// is changed; nil for a new one.
func (s *WebhookSpec) apply(sub, before *webhook.Subscription) []problem.Item {
	sub.URL, sub.Description, sub.Filter = s.URL, s.Description, s.Filter
	sub.Events, sub.Headers, sub.Filters = nil, nil, nil
	if len(s.Events) > 0 {
		sub.Events = slices.Clone(s.Events)
		for i := range sub.Events {
			sub.Events[i] = sharedText(sub.Events[i])
		}
	}
	if len(s.Filters) > 0 {
		sub.Filters = make(map[string]json.RawMessage, len(s.Filters))
		for path, value := range s.Filters {
			sub.Filters[path] = slices.Clone(value)
		}
	}
	sub.Retry, sub.Timeout, sub.Rate, sub.Concurrency = slices.Clone(s.Retry), s.Timeout, s.Rate, s.Concurrency
	if s.Secret != "" {
		sub.Secrets = []webhook.Secret{{Value: s.Secret, Role: webhook.SecretPrimary}}
	}
	items := s.applyStatus(sub, before)
	if len(s.Headers) > 0 {
		sub.Headers = slices.Clone(s.Headers)
		items = append(items, unmask(sub.Headers, before)...)
	}
	return items
}

// applyStatus writes the status into sub. Whoever disables a webhook by hand is
// the reason, unless it is disabled already.
func (s *WebhookSpec) applyStatus(sub, before *webhook.Subscription) []problem.Item {
	status := s.Status
	if status == "" {
		status = webhook.Active
	}
	if before != nil && before.State == status {
		return nil
	}
	switch status {
	case webhook.Active, webhook.Paused:
		sub.DisabledReason = ""
	case webhook.Disabled:
		sub.DisabledReason = webhook.ReasonManual
	default:
		return []problem.Item{{
			Code: problem.InvalidValue, Pointer: "#/status", Detail: "The status is active, paused or disabled.",
		}}
	}
	sub.State = status
	return nil
}

// unmask puts the stored values where headers are Masked. Header names are the
// same whatever their case.
func unmask(headers []webhook.Header, before *webhook.Subscription) []problem.Item {
	var items []problem.Item
	for i, h := range headers {
		if h.Value != Masked || !webhook.SecretHeader(h.Name) {
			continue
		}
		stored := -1
		if before != nil {
			stored = slices.IndexFunc(before.Headers, func(b webhook.Header) bool { return strings.EqualFold(b.Name, h.Name) })
		}
		if stored < 0 {
			items = append(items, problem.Item{
				Code: problem.InvalidValue, Pointer: problem.Pointer("headers", h.Name),
				Detail: "The value stands for a stored one, but no value is stored for this header. Send the value itself.",
			})
			continue
		}
		headers[i].Value = before.Headers[stored].Value
	}
	return items
}

// changedOnly leaves out what is wrong with members that did not change: they
// were right when they were saved, under other settings.
func changedOnly(items []problem.Item, before, after *webhook.Subscription) []problem.Item {
	same := map[string]bool{
		"url":         before.URL == after.URL,
		"description": before.Description == after.Description,
		"events":      reflect.DeepEqual(before.Events, after.Events),
		"filters":     reflect.DeepEqual(before.Filters, after.Filters),
		"filter":      before.Filter == after.Filter,
		"headers":     reflect.DeepEqual(before.Headers, after.Headers),
		"secret":      reflect.DeepEqual(before.Secrets, after.Secrets),
		"retry":       reflect.DeepEqual(before.Retry, after.Retry),
		"timeout":     before.Timeout == after.Timeout,
		"rate_limit":  before.Rate == after.Rate,
		"concurrency": before.Concurrency == after.Concurrency,
	}
	same["previous_secret"] = same["secret"]
	return slices.DeleteFunc(items, func(item problem.Item) bool {
		member, _, _ := strings.Cut(strings.TrimPrefix(item.Pointer, "#/"), "/")
		return same[member]
	})
}
