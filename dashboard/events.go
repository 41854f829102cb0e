package dashboard

import (
	"net/http"

	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/webhook"
)

// eventsPage is a part of a project's events.
type eventsPage struct {
	Project string
	Events  []webhook.Event
	Next    string
	First   bool
}

func (v *visit) events() error {
	project := v.form("project")
	events, next, err := v.gw.Events(v.ctx(), v.by, project, v.page())
	if err != nil {
		return err
	}
	return v.renderAt(place{"events", project}, http.StatusOK, "events", "Events",
		eventsPage{project, events, next, v.form("cursor") == ""})
}

// eventPage is an event and what became of it.
type eventPage struct {
	gateway.EventDetail
	Pretty []byte
	Names  map[string]string // of the webhooks that are still there
}

func (v *visit) event() error {
	e, err := v.gw.Event(v.ctx(), v.by, v.form("id"), v.form("project"), v.page())
	if err != nil {
		return err
	}
	page := eventPage{EventDetail: e, Pretty: pretty(e.Body), Names: make(map[string]string)}
	for _, o := range e.Webhooks {
		w, err := v.gw.Webhook(v.ctx(), v.by, o.WebhookID)
		if err == nil {
			page.Names[o.WebhookID] = nameOf(w)
		}
	}
	return v.renderAt(place{"events", e.ProjectID}, http.StatusOK, "event", "Event", page)
}
