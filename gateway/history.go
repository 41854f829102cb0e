package gateway

import (
	"context"

	"github.com/tengineai/webhook-gateway/problem"
	"github.com/tengineai/webhook-gateway/webhook"
)

// Deliveries lists the deliveries of a webhook, newest first. A page can be
// short, even empty, while next is set.
func (g *Gateway) Deliveries(ctx context.Context, by *Key, webhookID string, f DeliveryFilter, p Page) ([]webhook.Delivery, string, error) {
	return nil, "", problem.New(problem.NotFound, "")
}

// Delivery returns a delivery in full.
func (g *Gateway) Delivery(ctx context.Context, by *Key, id string) (DeliveryDetail, error) {
	return DeliveryDetail{}, problem.New(problem.NotFound, "")
}
