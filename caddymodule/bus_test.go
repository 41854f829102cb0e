package caddymodule_test

import (
	"context"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
)

func init() { caddy.RegisterModule(heard{}) }

// heard is a handler of Caddy's events that keeps what it hears.
type heard struct{}

var hearing = make(chan caddy.Event, 100)

func (heard) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "events.handlers.heard", New: func() caddy.Module { return heard{} }}
}

func (heard) Handle(_ context.Context, e caddy.Event) error {
	hearing <- e
	return nil
}

func TestFailedDeliveryIsAnEventOnCaddysBusAfterAReload(t *testing.T) {
	s := newServer(t)
	names := []string{"webhook_gateway.delivery_failed", "webhook_gateway.webhook.delivery_failed"}
	c := config{
		settings: "webhook dead {\nproject *\nurl https://127.0.0.1/?token=s3cret\nevents *\nretry off\n}\negress {\nallow 127.0.0.0/8\n}",
		edit: func(doc map[string]any) {
			doc["apps"].(map[string]any)["events"] = map[string]any{"subscriptions": []any{map[string]any{
				"events": names, "handlers": []any{map[string]any{"handler": "heard"}},
			}}}
		},
	}
	s.load(c)
	s.load(c)
	if a := s.publish(createdEvent); a.status != 202 {
		t.Fatalf("got %d %s", a.status, a.body)
	}
	var got []string
	for range names {
		select {
		case e := <-hearing:
			got = append(got, e.Name())
			data, err := json.Marshal(e.Data)
			if err != nil || e.Data["webhook_id"] != "wh_dead" || e.Data["project_id"] != "proj_1" ||
				e.Data["type"] != "webhook.delivery_failed" || e.Data["url"] != nil {
				t.Errorf("the event's data is %s", data)
			}
			if e.Origin() == nil || e.Origin().CaddyModule().ID != "webhook_gateway" {
				t.Errorf("the origin is %v, want the app", e.Origin())
			}
		case <-time.After(patience):
			t.Fatalf("got %v, want %v", got, names)
		}
	}
	if !slices.Equal(got, names) {
		t.Errorf("got %v, want %v", got, names)
	}
}
