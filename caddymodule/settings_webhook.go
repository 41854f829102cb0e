package caddymodule

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/problem"
	"github.com/tengineai/webhook-gateway/webhook"
)

// engineNames lists the filter engines that are needed, each once.
func (a *App) engineNames() []string {
	names := map[string]bool{gateway.DefaultEngine: true}
	for _, w := range a.Webhooks {
		if w != nil && w.FilterEngine != "" {
			names[w.FilterEngine] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// subscriptions returns the static webhooks, ordered by name. The error names
// everything that is wrong with any of them.
func (a *App) subscriptions(c gateway.CheckContext, logger *zap.Logger) ([]webhook.Subscription, error) {
	var subs []webhook.Subscription
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(a.Webhooks)) {
		sub, err := a.Webhooks[name].subscription(name, logger)
		if err == nil {
			err = problems(gateway.CheckSubscription(&sub, c))
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("webhook %s: %w", name, err))
			continue
		}
		subs = append(subs, sub)
	}
	return subs, errors.Join(errs...)
}

// subscription resolves one webhook. What it is worth is not checked yet.
func (w *Webhook) subscription(name string, logger *zap.Logger) (webhook.Subscription, error) {
	if err := checkName(name); err != nil {
		return webhook.Subscription{}, err
	}
	if w == nil {
		return webhook.Subscription{}, errors.New("it must be an object")
	}
	sub := webhook.Subscription{
		ID:           "wh_" + name,
		ProjectID:    w.Project,
		URL:          w.URL,
		Description:  w.Description,
		Events:       w.Events,
		Filters:      w.Filters,
		Filter:       w.Filter,
		FilterEngine: w.FilterEngine,
		State:        webhook.Active,
		Timeout:      time.Duration(w.Timeout),
		Concurrency:  w.Concurrency,
		Static:       true,
	}
	if w.Retry != nil {
		sub.Retry = durations(w.Retry)
	}
	var errs []error
	var err error
	if w.RateLimit != "" {
		if sub.Rate, err = webhook.ParseRate(w.RateLimit); err != nil {
			errs = append(errs, fmt.Errorf("rate_limit: %w", err))
		}
	}
	if sub.Headers, err = w.headers(name, logger); err != nil {
		errs = append(errs, err)
	}
	if sub.Secrets, err = w.secrets(name, logger); err != nil {
		errs = append(errs, err)
	}
	return sub, errors.Join(errs...)
}

// headers returns the headers with their values resolved, ordered by name.
func (w *Webhook) headers(webhookName string, logger *zap.Logger) ([]webhook.Header, error) {
	var headers []webhook.Header
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(w.Headers)) {
		value, literal, err := resolveText(w.Headers[name])
		if err != nil {
			errs = append(errs, fmt.Errorf("header %q: %w", name, err))
			continue
		}
		if literal && webhook.SecretHeader(name) {
			warnLiteral(logger, "header "+name+" of webhook "+webhookName)
		}
		headers = append(headers, webhook.Header{Name: name, Value: value})
	}
	return headers, errors.Join(errs...)
}

// secrets returns the secrets with their placeholders resolved.
func (w *Webhook) secrets(webhookName string, logger *zap.Logger) ([]webhook.Secret, error) {
	if w.Secret == "" {
		if w.PreviousSecret != "" {
			return nil, errors.New("previous_secret: it needs a secret that follows it")
		}
		return nil, nil
	}
	var secrets []webhook.Secret
	for _, s := range []struct {
		setting, text string
		role          webhook.SecretRole
	}{
		{"secret", w.Secret, webhook.SecretPrimary},
		{"previous_secret", w.PreviousSecret, webhook.SecretPrevious},
	} {
		if s.text == "" {
			continue
		}
		value, literal, err := resolveText(s.text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.setting, err)
		}
		if literal {
			warnLiteral(logger, s.setting+" of webhook "+webhookName)
		}
		secrets = append(secrets, webhook.Secret{Value: value, Role: s.role})
	}
	return secrets, nil
}

// problems turns what CheckSubscription found into an error in the words of the
// configuration; nil for none.
func problems(items []problem.Item) error {
	var errs []error
	for _, item := range items {
		setting := strings.TrimPrefix(item.Pointer, "#/")
		if setting == "project_id" {
			setting = "project"
		}
		where := ""
		if item.Line > 0 {
			where = fmt.Sprintf(" (line %d, column %d)", item.Line, item.Column)
		}
		errs = append(errs, fmt.Errorf("%s%s: %s", setting, where, item.Detail))
	}
	return errors.Join(errs...)
}
