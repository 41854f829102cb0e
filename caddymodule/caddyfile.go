package caddymodule

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
)

func init() {
	httpcaddyfile.RegisterGlobalOption(appName, parseApp)
}

// parseApp reads one webhook_gateway block. Several blocks make one app: a
// later block adds to what the earlier ones left in existing, and may not set
// again what they set.
func parseApp(d *caddyfile.Dispenser, existing any) (any, error) {
	app := new(App)
	seen := make(settings)
	if existing != nil {
		earlier, ok := existing.(httpcaddyfile.App)
		if !ok {
			return nil, d.Errf("unexpected earlier value of %s: %T", appName, existing)
		}
		if err := json.Unmarshal(earlier.Value, app); err != nil {
			return nil, d.WrapErr(fmt.Errorf("read earlier %s block: %w", appName, err))
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal(earlier.Value, &members); err != nil {
			return nil, d.WrapErr(fmt.Errorf("read earlier %s block: %w", appName, err))
		}
		for name := range members {
			seen[name] = "in an earlier " + appName + " block"
		}
	}
	if err := app.unmarshalBlock(d, seen); err != nil {
		return nil, err
	}
	return httpcaddyfile.App{Name: appName, Value: caddyconfig.JSON(app, nil)}, nil
}

// UnmarshalCaddyfile sets up the app from the global option:
//
//	webhook_gateway {
//		store <module> [{ … }]
//		secrets_key <text> [<previous text>]
//		api_version <version>
//		event_types any | [+] <types...>
//		default_project <project>
//		unsafe_json reject|preserve
//		retry off | <waits...>
//		timeout <duration>
//		workers <n>
//		concurrency <n>
//		max_pending <n>
//		max_pending_per_webhook <n>
//		max_webhooks <n>
//		retention <duration>
//		disable_after off | <duration>
//		drain_timeout <duration>
//		user_agent <text>
//		egress {
//			source <addresses...>
//			advertise <addresses...>
//			proxy <url>
//			allow <address or range> {
//				projects <projects...>
//			}
//			allow_http
//		}
//		api_key <name> <token or sha256:hash> {
//			scope <scopes...>
//			projects <projects...>
//		}
//		webhook <name> {
//			project <project>
//			url <url>
//			description <text>
//			events <types...>
//			filters <path> <values...>
//			filter [<engine>] <text>
//			header <name> <value>
//			secret <secret> [<previous secret>]
//			retry off | <waits...>
//			timeout <duration>
//			concurrency <n>
//			rate_limit <n>/s|m|h
//		}
//	}
//
// allow, api_key, webhook, filters and header may be repeated, everything else
// may not. Several webhook_gateway blocks are read as one.
func (a *App) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return a.unmarshalBlock(d, make(settings))
}

func (a *App) unmarshalBlock(d *caddyfile.Dispenser, seen settings) error {
	d.Next() // the option's name
	if d.NextArg() {
		return d.ArgErr()
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if err := a.unmarshalSetting(d, seen); err != nil {
			return err
		}
	}
	return nil
}

func (a *App) unmarshalSetting(d *caddyfile.Dispenser, seen settings) error {
	name := d.Val()
	switch name {
	case "api_key":
		return a.unmarshalAPIKey(d)
	case "webhook":
		return a.unmarshalWebhook(d)
	}
	if err := seen.once(d); err != nil {
		return err
	}
	switch name {
	case "store":
		return a.unmarshalStore(d)
	case "secrets_key":
		return a.unmarshalSecretsKey(d)
	case "api_version":
		return textArg(d, &a.APIVersion)
	case "event_types":
		return a.unmarshalEventTypes(d)
	case "default_project":
		return textArg(d, &a.DefaultProject)
	case "unsafe_json":
		return choiceArg(d, &a.UnsafeJSON, unsafeJSONChoices...)
	case "retry":
		return retryArgs(d, &a.Retry)
	case "timeout":
		return durationArg(d, &a.Timeout, timeoutRange)
	case "workers":
		return intArg(d, &a.Workers, workersRange)
	case "concurrency":
		return intArg(d, &a.Concurrency, concurrencyRange)
	case "max_pending":
		return intArg(d, &a.MaxPending, pendingRange)
	case "max_pending_per_webhook":
		return intArg(d, &a.MaxPendingPerWebhook, pendingRange)
	case "max_webhooks":
		return intArg(d, &a.MaxWebhooks, maxWebhooksRange)
	case "retention":
		return durationArg(d, &a.Retention, retentionRange)
	case "disable_after":
		return a.unmarshalDisableAfter(d)
	case "drain_timeout":
		a.DrainTimeout = new(caddy.Duration)
		return durationArg(d, a.DrainTimeout, drainTimeoutRange)
	case "user_agent":
		return textArg(d, &a.UserAgent)
	case "egress":
		a.Egress = new(Egress)
		return a.Egress.unmarshalBlock(d)
	}
	return unrecognized(d, name)
}

// unmarshalStore reads "store <module> [{ … }]"; the module reads its block.
func (a *App) unmarshalStore(d *caddyfile.Dispenser) error {
	if !d.NextArg() {
		return d.ArgErr()
	}
	module := d.Val()
	unm, err := caddyfile.UnmarshalModule(d, storeNamespace+"."+module)
	if err != nil {
		return err
	}
	if _, ok := unm.(StoreOpener); !ok {
		return d.Errf("module %s.%s is not a store (%T)", storeNamespace, module, unm)
	}
	a.StoreRaw = caddyconfig.JSONModuleObject(unm, "module", module, nil)
	return nil
}

// unmarshalSecretsKey reads "secrets_key <text> [<previous text>]". No error
// repeats a key.
func (a *App) unmarshalSecretsKey(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) != 1 && len(args) != 2 {
		return d.Errf("secrets_key takes a key and perhaps the previous one, not %d arguments (is a quote missing?)", len(args))
	}
	if slices.Contains(args, "") {
		return d.Err("secrets_key must not be empty")
	}
	a.SecretsKey = args[0]
	if len(args) == 2 {
		a.PreviousSecretsKey = args[1]
	}
	return nil
}

// unmarshalEventTypes reads "event_types any | [+] <types...>".
func (a *App) unmarshalEventTypes(d *caddyfile.Dispenser) error {
	types := d.RemainingArgs()
	a.EventTypes = new(EventTypes)
	switch {
	case len(types) == 0:
		return d.ArgErr()
	case types[0] == "+":
		a.EventTypes.Add = types[1:]
	case len(types) == 1 && types[0] == "any":
		a.EventTypes.Any = true
	default:
		a.EventTypes.Only = types
	}
	if types[0] == "+" && len(types) == 1 {
		return d.Err("event_types: name the types to add after the +")
	}
	if err := a.EventTypes.check(); err != nil {
		return d.Errf("event_types: %w", err)
	}
	return nil
}

// unmarshalDisableAfter reads "disable_after off | <duration>".
func (a *App) unmarshalDisableAfter(d *caddyfile.Dispenser) error {
	a.DisableAfter = new(caddy.Duration)
	var text string
	if !d.AllArgs(&text) {
		return d.ArgErr()
	}
	if text == "off" {
		return nil
	}
	d.Prev()
	return durationArg(d, a.DisableAfter, retentionRange)
}

// Interface guards
var (
	_ caddyfile.Unmarshaler             = (*App)(nil)
	_ httpcaddyfile.UnmarshalGlobalFunc = parseApp
)
