package caddymodule_test

import (
	"context"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
)

func init() {
	caddy.RegisterModule(heard{})
	caddy.RegisterModule(pausingApp{})
}

// pausingApp is an app of Caddy that does something while the apps start.
type pausingApp struct{}

var pause func()

func (pausingApp) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "lifecycle_test_pausing", New: func() caddy.Module { return new(pausingApp) }}
}

func (pausingApp) Start() error { pause(); return nil }
func (pausingApp) Stop() error  { return nil }

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

// Caddy starts apps in any order. What happens while a configuration's events app
// does not listen yet is heard by that of the configuration before.
func TestEventsOfAReloadAreOnCaddysBus(t *testing.T) {
	s := newServer(t)
	const name = "webhook_gateway.delivery_failed"
	c := config{
		settings: "webhook dead {\nproject *\nurl https://127.0.0.1/\nevents *\nretry off\n}\negress {\nallow 127.0.0.0/8\n}",
		edit: func(doc map[string]any) {
			doc["apps"].(map[string]any)["lifecycle_test_pausing"] = map[string]any{}
			doc["apps"].(map[string]any)["events"] = map[string]any{"subscriptions": []any{map[string]any{
				"events": []string{name}, "handlers": []any{map[string]any{"handler": "heard"}},
			}}}
		},
	}
	pause = func() {}
	s.load(c)
	for i := range 20 {
		site := s.addresses["site"]
		pause = func() {
			now := s.addresses["site"]
			s.addresses["site"] = site
			defer func() { s.addresses["site"] = now }()
			if a := s.publish(createdEvent); a.status != 202 {
				t.Errorf("got %d %s", a.status, a.body)
			}
			time.Sleep(50 * time.Millisecond) // for the attempt to fail
		}
		s.load(c)
		select {
		case <-hearing:
		case <-time.After(patience):
			t.Fatalf("reload %d: the event was not heard", i)
		}
	}
}
