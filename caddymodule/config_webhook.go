package caddymodule

import (
	"encoding/json"

	"github.com/caddyserver/caddy/v2"
)

// Webhook is a webhook that is declared in the configuration. The management
// API shows it with `"source": "config"` and changes nothing of it but its
// status.
type Webhook struct {
	// The project whose events it gets; `*` is every project. Required.
	Project string `json:"project,omitempty"`

	// Where deliveries are sent: an absolute https URL, or an http one if
	// `egress` allows it; at most 2048 bytes, without user info and fragment.
	// Required.
	URL string `json:"url,omitempty"`

	// What people should know about it. At most 500 characters.
	Description string `json:"description,omitempty"`

	// The event types it gets: names of the catalogue, `project.*`, or `*` for
	// all but the operational ones. 1 to 100. Required.
	Events []string `json:"events,omitempty"`

	// Conditions that an event must meet, all of them: a dotted path such as
	// `project.name`, and the value that is expected there or a list of which
	// one is. Values are strings, numbers, booleans or null; nothing is
	// converted. At most 32.
	// Default: every event.
	Filters map[string]json.RawMessage `json:"filters,omitempty"`

	// An expression that an event must meet beside `filters`, at most 4 KiB.
	// Placeholders are not replaced in it.
	// Default: every event.
	Filter string `json:"filter,omitempty"`

	// The engine that reads `filter`: a module of the namespace
	// `webhook_gateway.filters`.
	// Default: `expr`.
	FilterEngine string `json:"filter_engine,omitempty"`

	// Headers to send with every delivery, by name: at most 32, with values of
	// at most 4096 printable ASCII characters. Names that the gateway or HTTP
	// needs are refused. Placeholders `{env.NAME}` and `{file./path}` are
	// resolved in values.
	Headers map[string]string `json:"headers,omitempty"`

	// The secret that signs deliveries, 16 to 256 characters without control
	// characters; one that begins with `whsec_` must go on in base64.
	// Placeholders `{env.NAME}` and `{file./path}` are resolved. A secret that
	// is written here itself can be read by everyone who can read the
	// configuration, and is warned about.
	// Default: none, deliveries are not signed.
	Secret string `json:"secret,omitempty"`

	// The secret that was in use before `secret`. While it is set it signs
	// too, in `x-tengine-signature-previous` and `webhook-signature`, so that
	// receivers can change over. The rules of `secret` hold.
	PreviousSecret string `json:"previous_secret,omitempty"`

	// The waits between a failed attempt and the next one: at most 20, each
	// from 1s to 7d. An empty list turns retries off.
	// Default: the app's `retry`.
	Retry []caddy.Duration `json:"retry,omitzero"`

	// How long an attempt may take: 1s to 30s.
	// Default: the app's `timeout`.
	Timeout caddy.Duration `json:"timeout,omitempty"`

	// How many attempts may be in flight: 1 to 1000.
	// Default: the app's `concurrency`.
	Concurrency int `json:"concurrency,omitempty"`

	// How many attempts may begin in a second, a minute or an hour: `50/s`,
	// `100/m`, `1000/h`.
	// Default: no limit.
	RateLimit string `json:"rate_limit,omitempty"`
}
