package gateway

import (
	"context"

	"github.com/tengineai/webhook-gateway/problem"
)

// Replay makes deliveries of a webhook pending again.
func (g *Gateway) Replay(ctx context.Context, by *Key, webhookID string, r ReplayRequest) (Replay, error) {
	return Replay{}, problem.New(problem.NotFound, "")
}

// ReplayStatus returns the progress of a replay.
func (g *Gateway) ReplayStatus(ctx context.Context, by *Key, id string) (Replay, error) {
	return Replay{}, problem.New(problem.NotFound, "")
}

// CancelReplay ends a replay. What it made pending stays pending.
func (g *Gateway) CancelReplay(ctx context.Context, by *Key, id string) (Replay, error) {
	return Replay{}, problem.New(problem.NotFound, "")
}
