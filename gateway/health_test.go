package gateway_test

import (
	"testing"

	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/webhook"
)

func TestHealthFollowsTheGateway(t *testing.T) {
	dir := t.TempDir()
	g, _ := mustOpen(t, dir, nil)
	if h := g.Health(); h.Status != gateway.HealthUnavailable {
		t.Errorf("before the first Apply: %+v", h)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}

	g, _ = mustOpen(t, dir, nil)
	s := settings(t, webhook.Subscription{ID: "wh_a"})
	mustApply(t, g, s)
	h := g.Health()
	if h.Status != gateway.HealthOK || len(h.Checks) != 3 {
		t.Errorf("at work: %+v", h)
	}
	for name, c := range h.Checks {
		if c.Status != gateway.HealthOK || c.Detail != "" {
			t.Errorf("%s: %+v", name, c)
		}
	}
	g.StopIntake()
	if h := g.Health(); h.Status != gateway.HealthUnavailable || h.Checks["store"].Detail == "" {
		t.Errorf("while stopping: %+v", h)
	}
}
