package caddymodule

import (
	"encoding/json"

	"github.com/caddyserver/caddy/v2"
)

// App is the webhook gateway: it keeps events on disk, matches them against
// each webhook's filters, signs them and delivers them with retries. Events
// come in through the HTTP handler `webhook_ingest`.
//
// Settings are read when the configuration is loaded. A reload applies them
// without losing, repeating or delaying a delivery. A secret that changed behind
// a placeholder is read again by `caddy reload --force`.
//
// Placeholders of the forms `{env.NAME}` and `{file./path}` are resolved in
// `secrets_key` and `previous_secrets_key`, in the tokens of API keys, and in the secrets and header
// values of webhooks, nowhere else. One that is empty or unknown is an error.
// What they stand for appears neither in `/config/` nor in the log. `{$NAME}`
// in a Caddyfile does: it is replaced before the configuration is read.
type App struct {
	// The store that keeps events, deliveries and webhooks.
	// Default: the `badger` store with its default directory.
	StoreRaw json.RawMessage `json:"store,omitempty" caddy:"namespace=webhook_gateway.stores inline_key=module"`

	// The key that seals webhooks with their secrets and header values on
	// disk, as text of 32 to 1024 characters: use `{file./path}` or
	// `{env.NAME}`, and a text such as `openssl rand -base64 32` prints. What
	// is sealed can be read only with this key: keep a copy. With another key
	// the gateway does not start, and a reload is refused.
	// Default: a key that is generated and kept in the store's directory, in
	// the file `secrets_key`, readable by its owner only.
	SecretsKey string `json:"secrets_key,omitempty"`

	// The key that was `secrets_key` before. A reload with both seals
	// everything with the new key while deliveries go on, and logs when the
	// previous one is not needed any more. After a generated key it is the
	// text in the file `secrets_key`: `{file./path/of/store/secrets_key}`.
	// Default: none.
	PreviousSecretsKey string `json:"previous_secrets_key,omitempty"`

	// The `api_version` of events that bring none: 1 to 64 of the characters
	// `A-Z a-z 0-9 . _ -`.
	// Default: `2021-09-01`.
	APIVersion string `json:"api_version,omitempty"`

	// The event types that are taken.
	// Default: the built-in catalogue.
	EventTypes *EventTypes `json:"event_types,omitempty"`

	// The project of events that name none.
	// Default: none, such events are refused.
	DefaultProject string `json:"default_project,omitempty"`

	// What becomes of integers, large numbers and lone surrogates in an event
	// that JavaScript would change: `reject` refuses the event; `preserve`
	// keeps them as they came, and then only receivers that verify the raw
	// body verify it.
	// Default: `reject`.
	UnsafeJSON string `json:"unsafe_json,omitempty"`

	// The waits between a failed attempt and the next one: at most 20, each
	// from 1s to 7d. An empty list turns retries off.
	// Default: 1m, 5m, 15m, 1h, 4h.
	Retry []caddy.Duration `json:"retry,omitzero"`

	// How long an attempt may take, from the name lookup to the end of the
	// response headers: 1s to 30s.
	// Default: 5s.
	Timeout caddy.Duration `json:"timeout,omitempty"`

	// How many attempts may be in flight for all webhooks together: 1 to
	// 65536. Each takes a file descriptor. From 64 on, one project gets at most two
	// thirds of them and one webhook half, so that slow receivers leave some to the
	// others.
	// Default: 256.
	Workers int `json:"workers,omitempty"`

	// How many attempts may be in flight for one webhook: 1 to 1000.
	// Default: 16.
	Concurrency int `json:"concurrency,omitempty"`

	// How many deliveries may be pending. Beyond that, events are refused with
	// 429. 1 to 1000000000.
	// Default: 10000000.
	MaxPending int `json:"max_pending,omitempty"`

	// How many deliveries may be pending for one webhook. Beyond that, its new
	// deliveries are recorded as skipped. 1 to 1000000000.
	// Default: 1000000.
	MaxPendingPerWebhook int `json:"max_pending_per_webhook,omitempty"`

	// How many webhooks a project may have. 1 to 10000000.
	// Default: 100000.
	MaxWebhooks int `json:"max_webhooks,omitempty"`

	// How long finished deliveries are kept, with their attempts, their events
	// and the memory of the events' ids: 1s to 3650d. An event that is sent
	// again after that is a new one.
	// Default: 30d.
	Retention caddy.Duration `json:"retention,omitempty"`

	// How long a webhook may fail without a single success until it is
	// disabled: 1s to 3650d. Zero: it never is.
	// Default: 5d.
	DisableAfter *caddy.Duration `json:"disable_after,omitempty"`

	// How long attempts in flight may take to end when Caddy exits: 0 to 10m.
	// After that they are cancelled and made again at the next start. A reload
	// does not interrupt them.
	// Default: 3s.
	DrainTimeout *caddy.Duration `json:"drain_timeout,omitempty"`

	// The `user-agent` header of deliveries: 1 to 256 printable ASCII
	// characters.
	// Default: `Tengine-Webhooks/1`.
	UserAgent string `json:"user_agent,omitempty"`

	// How deliveries leave this machine and where they may go.
	// Default: from any local address, to public addresses, over https.
	Egress *Egress `json:"egress,omitempty"`

	// The API keys, by name. A name has the form `[a-z0-9][a-z0-9_-]{0,62}`
	// and is what the log shows.
	// Default: none, so that every request that needs a key is refused.
	APIKeys map[string]*APIKey `json:"api_keys,omitempty"`

	// The webhooks of the configuration, by name. A name has the form
	// `[a-z0-9][a-z0-9_-]{0,62}`; the webhook's id is `wh_` and the name.
	// One that leaves the configuration is parked: what it has pending waits
	// for it to return, and is cancelled after `retention`.
	Webhooks map[string]*Webhook `json:"webhooks,omitempty"`

	// The filter engines that take settings, by module name. Engines without
	// settings need not be listed: `expr` is always there, and others are
	// loaded when a webhook names them.
	FilterEnginesRaw caddy.ModuleMap `json:"filter_engines,omitempty" caddy:"namespace=webhook_gateway.filters"`

	life lifecycle
}

// EventTypes says which event types are taken. At most one of its fields may
// be set. An event type is lower-case words joined by dots, such as
// `order.paid`, at most 128 characters.
type EventTypes struct {
	// Takes every well-formed event type.
	Any bool `json:"any,omitempty"`

	// Takes these beside those of the built-in catalogue.
	Add []string `json:"add,omitempty"`

	// Takes only these, and none of the built-in catalogue.
	Only []string `json:"only,omitempty"`
}
