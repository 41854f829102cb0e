package gateway

import (
	"time"

	"github.com/tengineai/webhook-gateway/egress"
	"github.com/tengineai/webhook-gateway/filter"
	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/webhook"
)

// Settings is one generation of the gateway's configuration: an immutable
// snapshot that Apply puts in force. Every field is required unless it says
// otherwise; defaults are set where the configuration is read (package
// caddymodule), so that there is one place for them.
type Settings struct {
	// APIVersion is the api_version of events that bring none.
	APIVersion string

	// Catalogue holds the event types that are taken.
	Catalogue *webhook.Catalogue

	// DefaultProject is the project of events that name none. Empty: such
	// events are refused.
	DefaultProject string

	// PreserveUnsafe keeps numbers and surrogates that JavaScript would change
	// instead of refusing them (contract section 1, unsafe_json).
	PreserveUnsafe bool

	Retry       queue.Schedule // empty: one attempt
	Timeout     time.Duration  // of an attempt, to the end of the response headers
	Workers     int            // attempts in flight, all webhooks
	Concurrency int            // attempts in flight, one webhook

	MaxPending           int // deliveries, then Publish refuses
	MaxPendingPerWebhook int // deliveries, then new ones are skipped
	MaxWebhooks          int // per project

	Retention    time.Duration // of finished deliveries, their events and ids
	DisableAfter time.Duration // of nothing but failures; zero: never
	DrainTimeout time.Duration // for attempts in flight when the process exits
	UserAgent    string

	// Egress is the way out. The gateway owns it from Apply on and closes it
	// when no generation uses it any more.
	Egress *egress.Egress

	// Engines are the filter engines by name; "expr" must be there.
	Engines map[string]filter.Engine

	// Static are the webhooks of the configuration, checked as
	// CheckSubscription does, with secrets and header values resolved.
	Static []webhook.Subscription

	// SecretsKey is the text that the key that seals secrets is derived from:
	// long and random. Empty: a generated key (Options.KeyFile).
	SecretsKey string

	// PreviousSecretsKey is the text of the key that secrets were sealed with
	// before. Those are sealed anew with SecretsKey. Empty: there is none.
	PreviousSecretsKey string

	// Keys are the API keys of the configuration.
	Keys []Key
}

// EventTypes returns the event types that webhooks can subscribe to, the
// operational ones last.
func (g *Gateway) EventTypes() []webhook.EventType {
	gen := g.current.Load()
	if gen == nil {
		return nil
	}
	return append(gen.settings.Catalogue.Types(), webhook.OperationalTypes()...)
}

// EgressIPs returns the addresses that deliveries come from, as configured.
func (g *Gateway) EgressIPs() []string {
	gen := g.current.Load()
	if gen == nil {
		return nil
	}
	return gen.settings.Egress.AdvertisedIPs()
}
