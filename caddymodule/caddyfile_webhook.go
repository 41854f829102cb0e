package caddymodule

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/tengineai/webhook-gateway/webhook"
)

// unmarshalWebhook reads "webhook <name> { … }".
func (a *App) unmarshalWebhook(d *caddyfile.Dispenser) error {
	var name string
	if err := textArg(d, &name); err != nil {
		return err
	}
	if err := checkName(name); err != nil {
		return d.Errf("webhook: %w", err)
	}
	if a.Webhooks[name] != nil {
		return d.Errf("webhook %s is there already: give this one another name", name)
	}
	wh := new(Webhook)
	seen := make(settings)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if err := wh.unmarshalSetting(d, seen); err != nil {
			return err
		}
	}
	for _, required := range []string{"project", "url", "events"} {
		if _, ok := seen[required]; !ok {
			return d.Errf("webhook %s needs %s", name, required)
		}
	}
	if a.Webhooks == nil {
		a.Webhooks = make(map[string]*Webhook)
	}
	a.Webhooks[name] = wh
	return nil
}

func (w *Webhook) unmarshalSetting(d *caddyfile.Dispenser, seen settings) error {
	name := d.Val()
	switch name {
	case "filters":
		return w.unmarshalFilters(d)
	case "header":
		return w.unmarshalHeader(d)
	}
	if err := seen.once(d); err != nil {
		return err
	}
	switch name {
	case "project":
		return textArg(d, &w.Project)
	case "url":
		return textArg(d, &w.URL)
	case "description":
		return textArg(d, &w.Description)
	case "events":
		return textArgs(d, &w.Events)
	case "filter":
		return w.unmarshalFilter(d)
	case "secret":
		return w.unmarshalSecret(d)
	case "retry":
		return retryArgs(d, &w.Retry)
	case "timeout":
		return durationArg(d, &w.Timeout, timeoutRange)
	case "concurrency":
		return intArg(d, &w.Concurrency, concurrencyRange)
	case "rate_limit":
		if err := textArg(d, &w.RateLimit); err != nil {
			return err
		}
		if _, err := webhook.ParseRate(w.RateLimit); err != nil {
			return d.Errf("rate_limit: %w", err)
		}
		return nil
	}
	return unrecognized(d, name)
}

// unmarshalFilters reads "filters <path> <values...>"; values are strings.
func (w *Webhook) unmarshalFilters(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) < 2 {
		return d.Err("filters takes a path and one or more values")
	}
	path, values := args[0], args[1:]
	if _, ok := w.Filters[path]; ok {
		return d.Errf("filters %s is there already: list all values in one line", path)
	}
	var value any = values
	if len(values) == 1 {
		value = values[0]
	}
	raw, err := json.Marshal(value)
	if err != nil {
		return d.WrapErr(err)
	}
	if w.Filters == nil {
		w.Filters = make(map[string]json.RawMessage)
	}
	w.Filters[path] = raw
	return nil
}

// unmarshalFilter reads "filter [<engine>] <text>". The text stays as it is:
// placeholders are not replaced in it.
func (w *Webhook) unmarshalFilter(d *caddyfile.Dispenser) error {
	switch args := d.RemainingArgs(); len(args) {
	case 1:
		w.Filter = args[0]
	case 2:
		w.FilterEngine, w.Filter = args[0], args[1]
	default:
		return d.Errf("filter takes one text, or an engine and a text, not %d arguments: write the text between backticks", len(args))
	}
	if w.Filter == "" {
		return d.Err("filter must not be empty")
	}
	return nil
}

// unmarshalHeader reads "header <name> <value>". No error repeats the value.
func (w *Webhook) unmarshalHeader(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) != 2 {
		return d.Errf("header takes a name and a value, not %d arguments (is a quote missing?)", len(args))
	}
	for name := range w.Headers {
		if strings.EqualFold(name, args[0]) {
			return d.Errf("header %s is there already", name)
		}
	}
	if w.Headers == nil {
		w.Headers = make(map[string]string)
	}
	w.Headers[args[0]] = args[1]
	return nil
}

// unmarshalSecret reads "secret <secret> [<previous secret>]". No error repeats
// a secret.
func (w *Webhook) unmarshalSecret(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) != 1 && len(args) != 2 {
		return d.Errf("secret takes a secret and perhaps the previous one, not %d arguments (is a quote missing?)", len(args))
	}
	if slices.Contains(args, "") {
		return d.Err("secret must not be empty")
	}
	w.Secret = args[0]
	if len(args) == 2 {
		w.PreviousSecret = args[1]
	}
	return nil
}
