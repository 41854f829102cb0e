package caddymodule

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/problem"
	"github.com/tengineai/webhook-gateway/webhook"
)

// engineUsers returns the filter engines that are needed, each with a webhook
// that needs it; expr is always needed.
func (a *App) engineUsers() map[string]string {
	users := map[string]string{gateway.DefaultEngine: ""}
	for name, w := range a.Webhooks {
		if w != nil && w.FilterEngine != "" {
			users[w.FilterEngine] = name
		}
	}
	return users
}

// subscriptions returns the static webhooks, ordered by name. The error names
// everything that is wrong with any of them.
func (a *App) subscriptions(c gateway.CheckContext, logger *zap.Logger) ([]webhook.Subscription, error) {
	var subs []webhook.Subscription
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(a.Webhooks)) {
		sub, found := a.Webhooks[name].subscription(name, c, logger)
		for _, err := range found {
			errs = append(errs, fmt.Errorf("webhook %s: %w", name, err))
		}
		subs = append(subs, sub)
	}
	return subs, errors.Join(errs...)
}

// subscription resolves and checks one webhook. It returns every problem.
func (w *Webhook) subscription(name string, c gateway.CheckContext, logger *zap.Logger) (webhook.Subscription, []error) {
	if err := checkName(name); err != nil {
		return webhook.Subscription{}, []error{err}
	}
	if w == nil {
		return webhook.Subscription{}, []error{errors.New("it must be an object")}
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
	note := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	var err error
	sub.Rate, err = w.rate()
	note(err)
	sub.Headers, err = w.headers(name, logger)
	note(err)
	sub.Secrets, err = w.secrets(name, logger)
	note(err)
	for _, item := range gateway.CheckSubscription(&sub, c) {
		note(w.problem(item))
	}
	return sub, errs
}

func (w *Webhook) rate() (webhook.Rate, error) {
	if w.RateLimit == "" {
		return webhook.Rate{}, nil
	}
	rate, err := webhook.ParseRate(w.RateLimit)
	if err != nil {
		return webhook.Rate{}, fmt.Errorf("rate_limit: %w", err)
	}
	return rate, nil
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
		logger.Warn("deliveries of a webhook without a secret are not signed", zap.String("webhook_id", "wh_"+webhookName))
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

// problem tells what CheckSubscription found in the words of the configuration.
func (w *Webhook) problem(item problem.Item) error {
	member, rest, _ := strings.Cut(strings.TrimPrefix(item.Pointer, "#/"), "/")
	setting := member
	switch i, err := strconv.Atoi(rest); {
	case member == "project_id":
		setting = "project"
	case member == "events" && err == nil && i < len(w.Events):
		setting += " " + strconv.Quote(w.Events[i])
	case member == "retry" && err == nil && i < len(w.Retry):
		setting += " " + time.Duration(w.Retry[i]).String()
	case rest != "":
		setting += " " + rest
	}
	if item.Line > 0 {
		setting += fmt.Sprintf(" (line %d, column %d)", item.Line, item.Column)
	}
	return fmt.Errorf("%s: %s", setting, item.Detail)
}
