package gateway

import (
	"context"
	"errors"

	"github.com/tengineai/webhook-gateway/webhook"
)

var errNotBuilt = errors.New("not built yet")

// CreateWebhook makes a webhook of a project. The secret is returned only if it
// was generated: it is shown once. The error tells all that is wrong at once.
func (g *Gateway) CreateWebhook(ctx context.Context, by *Key, projectID string, spec WebhookSpec) (w Webhook, secret string, err error) {
	return Webhook{}, "", errNotBuilt
}

// Webhooks lists the webhooks of a project by id.
func (g *Gateway) Webhooks(ctx context.Context, by *Key, projectID string, p Page) (list []Webhook, next string, err error) {
	return nil, "", errNotBuilt
}

// Webhook returns a webhook.
func (g *Gateway) Webhook(ctx context.Context, by *Key, id string) (Webhook, error) {
	return Webhook{}, errNotBuilt
}

// ChangeWebhook changes a webhook. change is given what it is now, with header
// values Masked and without a secret.
func (g *Gateway) ChangeWebhook(ctx context.Context, by *Key, id, ifMatch string, change func(*WebhookSpec)) (Webhook, error) {
	return Webhook{}, errNotBuilt
}

// DeleteWebhook removes a webhook of the API.
func (g *Gateway) DeleteWebhook(ctx context.Context, by *Key, id, ifMatch string) error {
	return errNotBuilt
}

// RotateSecret gives a webhook another secret.
func (g *Gateway) RotateSecret(ctx context.Context, by *Key, id string, r Rotation) (w Webhook, secret string, err error) {
	return Webhook{}, "", errNotBuilt
}

// EventTypes returns the event types that webhooks can subscribe to.
func (g *Gateway) EventTypes() []webhook.EventType { return nil }

// EgressIPs returns the addresses that deliveries come from, as configured.
func (g *Gateway) EgressIPs() []string { return nil }
