package gateway_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/webhook"
)

// opsSettings has webhooks that get events and fail, and one that is told.
func opsSettings(t *testing.T, inbox string) *gateway.Settings {
	set := settings(t,
		webhook.Subscription{ID: "wh_a", ProjectID: "proj_1", URL: deadURL, Events: []string{"*", "webhook.*"}},
		webhook.Subscription{ID: "wh_b", ProjectID: "proj_1", URL: deadURL, Events: []string{"webhook.*"}},
		webhook.Subscription{ID: "wh_ops", ProjectID: "proj_1", URL: inbox, Events: []string{"webhook.*"}},
	)
	set.Retry, set.DisableAfter = queue.Schedule{}, 0
	return set
}

func TestFailedDeliveriesAreToldOfWithoutLoops(t *testing.T) {
	in := newInbox(t)
	bubble(t, func(t *testing.T, s *site) {
		s.open(opsSettings(t, in.URL))
		s.publish(1)
		time.Sleep(time.Minute)
		synctest.Wait()
		told := in.take()
		if len(told) != 1 {
			t.Fatalf("told of %d events, want 1: %v", len(told), told)
		}
		failed := s.newest("wh_a")
		for name, want := range map[string]any{
			"webhook_id": "wh_a", "delivery_id": failed.ID, "event_id": failed.EventID,
			"event_type": "api_key.created", "attempts": 1.0, "outcome": "connect",
		} {
			if got := told[0].Data[name]; got != want {
				t.Errorf("%s is %v, want %v", name, got, want)
			}
		}
		if told[0].Type != "webhook.delivery_failed" || failed.EventType != "api_key.created" {
			t.Errorf("got %s, and wh_a %s; want webhook.delivery_failed, and nothing about itself", told[0].Type, failed.EventType)
		}
		// wh_b failed to take that one, which is announced, but no event.
		if n := len(s.announcements("webhook.delivery_failed")); n != 2 {
			t.Errorf("%d failures were announced, want 2", n)
		}
		s.close()
	})
}

func TestAFloodOfFailuresIsBounded(t *testing.T) {
	in := newInbox(t)
	bubble(t, func(t *testing.T, s *site) {
		s.open(opsSettings(t, in.URL))
		s.publish(300)
		s.close()
		if n := len(in.take()); n < 100 || n > 101 {
			t.Errorf("told of %d failures, want the first 100", n)
		}
	})
}

func TestFullBacklogIsToldOfOnce(t *testing.T) {
	in := newInbox(t)
	bubble(t, func(t *testing.T, s *site) {
		set := opsSettings(t, in.URL)
		set.Retry, set.MaxPendingPerWebhook = queue.Schedule{hour, hour}, 20
		s.open(set)
		s.publish(30)
		time.Sleep(time.Minute)
		synctest.Wait()
		told := in.take()
		if len(told) != 1 || told[0].Type != "webhook.backlog_full" ||
			told[0].Data["webhook_id"] != "wh_a" || told[0].Data["pending"] != 20.0 {
			t.Errorf("told %v, want one webhook.backlog_full of wh_a with 20 pending", told)
		}
		if d := s.newest("wh_a"); d.Status != webhook.Skipped || d.Reason != "backlog_full" {
			t.Errorf("the newest delivery is %s (%s), want skipped (backlog_full)", d.Status, d.Reason)
		}
		s.close()
	})
}

func TestWhatNobodySubscribesToIsNotStored(t *testing.T) {
	in := newInbox(t)
	bubble(t, func(t *testing.T, s *site) {
		set := opsSettings(t, in.URL)
		set.Static = set.Static[:1] // subscribes, but it is about itself
		s.open(set)
		s.publish(1)
		time.Sleep(time.Minute)
		page, err := s.store.Events(t.Context(), queue.EventQuery{ProjectID: "proj_1", Limit: 10})
		if err != nil || len(page.Events) != 1 {
			t.Errorf("%d events are stored (%v), want 1", len(page.Events), err)
		}
		s.close()
	})
}
