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

func TestAClockThatIsSetBackSpoilsNoPlots(t *testing.T) {
	began := time.Now().Round(0) // the wall clock only, as it is set
	a := newActivity(began)
	settle := func(now time.Time) {
		a.settled(dispatch.Report{
			Delivery: &webhook.Delivery{WebhookID: "wh_1", ProjectID: "proj_1"}, Attempt: &webhook.Attempt{Outcome: webhook.Success},
		}, now)
	}
	settle(began.Add(1000 * time.Hour)) // the clock was wrong
	for i := range 3 {
		settle(began.Add(time.Duration(i) * time.Hour))
	}
	now := began.Add(2 * time.Hour)
	minutes := a.lastDay(now)
	for i, want := range map[int]uint32{1439: 1, 1439 - 60: 1, 1439 - 120: 1} {
		if got := minutes[i].Succeeded; got != want {
			t.Errorf("minute %d has %d attempts, want %d", i, got, want)
		}
	}
	hours := a.of("wh_1", now).Hours
	for i, want := range map[int]uint32{23: 1, 22: 1, 21: 1} {
		if got := hours[i].Succeeded; got != want {
			t.Errorf("hour %d has %d attempts, want %d", i, got, want)
		}
	}
}
