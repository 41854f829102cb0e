package gateway

import (
	"context"

	"github.com/tengineai/webhook-gateway/problem"
	"github.com/tengineai/webhook-gateway/webhook"
)

// Retry makes one attempt of a delivery now.
func (g *Gateway) Retry(ctx context.Context, by *Key, deliveryID string) (webhook.Delivery, error) {
	return webhook.Delivery{}, problem.New(problem.NotFound, "")
}
