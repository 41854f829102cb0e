package queue

import (
	"context"
	"time"

	"github.com/tengineai/webhook-gateway/webhook"
)

// History tells what became of events and deliveries. It changes nothing. A call
// sees what was done before it began; of what is done meanwhile it may see any
// part. A list returns ErrCursor for a cursor that is not its own.
type History interface {
	// Event returns an event by project and id, or ErrNotFound. ErrCorrupt if it is
	// damaged.
	Event(ctx context.Context, projectID, eventID string) (webhook.Event, error)

	// Events lists the events of a project, newest first.
	Events(ctx context.Context, q EventQuery) (EventPage, error)

	// EventWebhooks returns the webhooks that an event has deliveries for, whatever
	// became of those since: the ids that follow after, ascending, at most limit
	// of them. ErrNotFound if there is no such event, ErrCorrupt if its webhooks
	// cannot be told.
	EventWebhooks(ctx context.Context, projectID, eventID, after string, limit int) ([]string, error)

	// EventProjects returns the projects that have an event with this id, at
	// most limit of them, ascending.
	EventProjects(ctx context.Context, eventID string, limit int) ([]string, error)

	// Delivery returns a delivery and its event, or ErrNotFound.
	Delivery(ctx context.Context, deliveryID string) (webhook.Delivery, webhook.Event, error)

	// Attempts returns all recorded attempts of a delivery, oldest first.
	// ErrNotFound if there is no such delivery.
	Attempts(ctx context.Context, deliveryID string) ([]webhook.Attempt, error)

	// Deliveries lists the deliveries of a webhook, newest first, pending ones
	// included. The cost of a page does not grow with what lies before it.
	Deliveries(ctx context.Context, q DeliveryQuery) (DeliveryPage, error)
}

// EventQuery selects a page of a project's events.
type EventQuery struct {
	ProjectID string
	Cursor    string // empty: the newest
	Limit     int    // at least 1
}

// EventPage is a page of events, newest first. Next is empty on the last page.
// A page can be short, even empty, while Next is set.
type EventPage struct {
	Events []webhook.Event
	Next   string
}

// DeliveryQuery selects a page of a webhook's deliveries. Zero fields do not
// restrict.
type DeliveryQuery struct {
	WebhookID    string // required
	Status       webhook.Status
	EventType    string
	EventID      string
	Since, Until time.Time // created in [Since, Until)
	Cursor       string    // empty: the newest
	Limit        int       // at least 1
}

// DeliveryPage is a page of deliveries, newest first, with their last
// attempts. Next is empty on the last page. A page can be short, even empty,
// while Next is set: a filter that matches little is answered in pieces.
type DeliveryPage struct {
	Deliveries []webhook.Delivery
	Next       string
}
