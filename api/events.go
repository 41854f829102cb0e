package api

import (
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/webhook"
)

// WireEvent is an event as lists show it.
type WireEvent struct {
	ID         string    `json:"id"`
	Type       string    `json:"type"`
	ProjectID  string    `json:"project_id"`
	CreatedAt  string    `json:"created_at" format:"date-time" doc:"As the producer wrote it."`
	ReceivedAt time.Time `json:"received_at" doc:"When the gateway accepted it."`
}

// wireEventDetail is an event in full, with a part of what became of it.
type wireEventDetail struct {
	WireEvent
	Payload    string             `json:"payload" doc:"The exact body, as it is signed and sent."`
	Webhooks   []wireEventOutcome `json:"webhooks" nullable:"false"`
	NextCursor *string            `json:"next_cursor" doc:"The cursor of the next webhooks; null at the end."`
}

// wireEventOutcome is what became of an event for one webhook.
type wireEventOutcome struct {
	WebhookID  string  `json:"webhook_id"`
	Result     string  `json:"result" enum:"pending,delivered,failed,skipped,cancelled,filter_error,corrupt,filtered,not_subscribed,created_later" doc:"The delivery's status where there is one."`
	DeliveryID *string `json:"delivery_id"`
	Error      *string `json:"error" doc:"Of the webhook's filter."`
	Computed   bool    `json:"computed" doc:"Whether it was judged now, by the webhook as it is now, because there is no delivery."`
}

func newWireEvent(e *webhook.Event) WireEvent {
	return WireEvent{ID: e.ID, Type: e.Type, ProjectID: e.ProjectID, CreatedAt: e.CreatedAt, ReceivedAt: e.ReceivedAt.UTC()}
}

func (a *API) registerEvents(h huma.API) {
	type listQuery struct {
		ProjectID string `path:"project_id" doc:"The project's id."`
		Paging
	}
	type events struct{ Body list[WireEvent] }
	register(a, h, operation[noBody]{
		id: "list-events", method: http.MethodGet, path: "/projects/{project_id}/events",
		summary: "List the events of a project", description: "Newest first.", scope: gateway.ScopeRead,
		exists: projectAllowed, page: pageOfEvents,
	}, func(c *call, in *listQuery, _ *noBody) (*events, error) {
		if err := projectAllowed(c); err != nil {
			return nil, err
		}
		found, next, err := c.gw.Events(c, c.by, in.ProjectID, in.page())
		if err != nil {
			return nil, err
		}
		data := make([]WireEvent, len(found))
		for i := range found {
			data[i] = newWireEvent(&found[i])
		}
		return &events{newList(data, next)}, nil
	})

	type oneQuery struct {
		ID        string `path:"id" doc:"The event's id."`
		ProjectID string `query:"project_id" minLength:"1" maxLength:"128" doc:"The event's project. Needed only where several projects that the key is for have an event with this id."`
		Paging
	}
	type event struct{ Body wireEventDetail }
	register(a, h, operation[noBody]{
		id: "get-event", method: http.MethodGet, path: "/events/{id}",
		summary: "Read an event and why each webhook of its project got it or not", scope: gateway.ScopeRead,
		exists: eventExists, page: pageOfEvent, errors: []int{http.StatusConflict},
	}, func(c *call, in *oneQuery, _ *noBody) (*event, error) {
		e, err := c.gw.Event(c, c.by, in.ID, in.ProjectID, in.page())
		if err != nil {
			return nil, err
		}
		out := wireEventDetail{
			WireEvent:  newWireEvent(&e.Event),
			Payload:    validText(string(e.Body)),
			Webhooks:   make([]wireEventOutcome, len(e.Webhooks)),
			NextCursor: textOrNull(e.Next),
		}
		for i, o := range e.Webhooks {
			out.Webhooks[i] = wireEventOutcome{o.WebhookID, o.Result, textOrNull(o.DeliveryID), textOrNull(o.Error), o.Computed}
		}
		return &event{out}, nil
	})
}

func pageOfEvents(c *call, p gateway.Page) error {
	_, _, err := c.gw.Events(c, c.by, c.path("project_id"), p)
	return err
}

func pageOfEvent(c *call, p gateway.Page) error {
	_, err := c.gw.Event(c, c.by, c.path("id"), c.r.URL.Query().Get("project_id"), p)
	return err
}

func eventExists(c *call) error {
	return onlyMissing(c.gw.Event(c, c.asReader(), c.path("id"), c.r.URL.Query().Get("project_id"), gateway.Page{Limit: 1}))
}
