package gateway

import (
	"context"

	"github.com/tengineai/webhook-gateway/problem"
	"github.com/tengineai/webhook-gateway/webhook"
)

// Events lists the events of a project, newest first.
func (g *Gateway) Events(ctx context.Context, by *Key, projectID string, p Page) ([]webhook.Event, string, error) {
	return nil, "", problem.New(problem.NotFound, "")
}

// Event returns an event and what became of it, webhook by webhook.
// projectID may be empty: it is needed only where several projects that the
// key is for have an event with this id.
func (g *Gateway) Event(ctx context.Context, by *Key, id, projectID string, p Page) (EventDetail, error) {
	return EventDetail{}, problem.New(problem.NotFound, "")
}
