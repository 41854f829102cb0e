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
	settle("wh_more") // has all of them looked at, in vain
	a.active["wh_0"].hour = 0
	for range 3 {
		settle("wh_more")
	}
	if a.active["wh_0"] == nil {
		t.Error("all webhooks were looked at twice in a minute")
	}
	now = now.Add(time.Minute)
	settle("wh_more")
	if a.active["wh_0"] != nil || a.active["wh_more"] == nil {
		t.Error("a minute later there is no room for another webhook")
	}
	a.forget("wh_1")
	settle("wh_next")
	next := a.of("wh_next", now)
	if ok, _ := next.Totals(); ok != 1 {
		t.Error("a deleted webhook leaves no room for another")
	}
}
