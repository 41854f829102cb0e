package gateway

import (
	"context"

	"github.com/tengineai/webhook-gateway/problem"
)

// TestFilter tries a filter on an event.
func (g *Gateway) TestFilter(ctx context.Context, by *Key, t FilterTest) (FilterVerdict, error) {
	return FilterVerdict{}, problem.New(problem.NotFound, "")
}
