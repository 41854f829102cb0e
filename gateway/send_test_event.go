package gateway

import (
	"context"

	"github.com/tengineai/webhook-gateway/problem"
)

// SendTest sends a test event to a webhook now and returns what came of it.
func (g *Gateway) SendTest(ctx context.Context, by *Key, webhookID string, r TestRequest) (DeliveryDetail, error) {
	return DeliveryDetail{}, problem.New(problem.NotFound, "")
}
