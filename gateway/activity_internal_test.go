package gateway

import (
	"fmt"
	"testing"
	"time"

	"github.com/tengineai/webhook-gateway/dispatch"
	"github.com/tengineai/webhook-gateway/webhook"
)

func TestTooManyWebhooksDoNotSlowAttemptsDown(t *testing.T) {
	now := time.Now()
	a := newActivity(now)
	settle := func(id string) {
		a.settled(dispatch.Report{
			Delivery: &webhook.Delivery{WebhookID: id, ProjectID: "proj_1"}, Attempt: &webhook.Attempt{Outcome: webhook.Success},
		}, now)
	}
	for i := range maxActive {
		settle(fmt.Sprintf("wh_%d", i))
	}
	began := time.Now()
	const more = 20_000
	for i := range more {
		settle(fmt.Sprintf("wh_more%d", i))
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("%d attempts of further webhooks took %v", more, took)
	}
	a.forget("wh_1")
	settle("wh_next")
	next := a.of("wh_next", now)
	if ok, _ := next.Totals(); ok != 1 {
		t.Error("a deleted webhook leaves no room for another")
	}
}
