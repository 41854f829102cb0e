package gateway_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tengineai/webhook-gateway/filter"
	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/queue/queuetest"
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

func TestADisablingIsToldOfOnceWhateverFailsMeanwhile(t *testing.T) {
	in := newInbox(t)
	for name, c := range map[string]struct {
		then    map[string]queuetest.Fault // what fails once the webhook is disabled
		restart bool
	}{
		"the process ends before it is published": {map[string]queuetest.Fault{"Publish": {Err: queue.ErrClosed}}, true},
		"the process ends before that is noted":   {map[string]queuetest.Fault{"PutRecord": {Err: queue.ErrClosed}}, true},
		"the store is busy for a while":           {map[string]queuetest.Fault{"Publish": {Err: queue.ErrBusy}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, s *site) {
				set := func() *gateway.Settings {
					return settings(t, webhook.Subscription{ID: "wh_ops", ProjectID: "proj_1", URL: in.URL, Events: []string{"webhook.*"}})
				}
				s.open(set())
				w, _, err := s.g.CreateWebhook(t.Context(), everything, "proj_1", gateway.WebhookSpec{URL: deadURL, Events: []string{"*"}})
				if err != nil {
					t.Fatal(err)
				}
				disabled := false
				s.store.Inject(func(method string) queuetest.Fault {
					if method == "PutRecord" && !disabled { // that of the disabling itself
						disabled = true
						return queuetest.Fault{}
					}
					return c.then[method]
				})
				_, err = s.g.ChangeWebhook(t.Context(), everything, w.ID, "", func(spec *gateway.WebhookSpec) { spec.Status = webhook.Disabled })
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
				synctest.Wait()
				if c.restart {
					s.close()
					s.open(set())
				}
				s.store.Inject(nil)
				time.Sleep(2 * time.Minute)
				s.close()
				s.open(set()) // nothing is owed any more
				time.Sleep(time.Minute)
				synctest.Wait()
				told := in.take()
				if len(told) != 1 || told[0].Type != "webhook.disabled" || told[0].Data["webhook_id"] != w.ID {
					t.Errorf("told %v, want one webhook.disabled", told)
				}
				s.close()
			})
		})
	}
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

func TestAProjectIsNotToldOfWebhooksOfAllProjects(t *testing.T) {
	project, operator := newInbox(t), newInbox(t)
	bubble(t, func(t *testing.T, s *site) {
		set := settings(t,
			webhook.Subscription{ID: "wh_global", ProjectID: webhook.AllProjects, URL: deadURL, Events: []string{"*"}},
			webhook.Subscription{ID: "wh_ops", ProjectID: "proj_1", URL: project.URL, Events: []string{"webhook.*"}},
			webhook.Subscription{ID: "wh_global_ops", ProjectID: webhook.AllProjects, URL: operator.URL, Events: []string{"webhook.*"}},
		)
		set.Retry, set.DisableAfter, set.MaxPendingPerWebhook = queue.Schedule{}, 0, 20
		s.open(set)
		s.publish(1)
		time.Sleep(time.Minute)
		synctest.Wait()
		if told := project.take(); len(told) != 0 {
			t.Errorf("the project was told %v of a webhook that it cannot see", told)
		}
		if told := operator.take(); len(told) != 1 || told[0].Data["webhook_id"] != "wh_global" {
			t.Errorf("the operator was told %v, want one failure of wh_global", told)
		}
		s.close()
	})
}

// slowEngine makes filters that take 50 ms.
type slowEngine struct{}

func (slowEngine) Compile(string, filter.Names) (filter.Program, error) { return slowEngine{}, nil }

func (slowEngine) Match(*filter.Event) (bool, error) {
	time.Sleep(50 * time.Millisecond)
	return false, nil
}

func TestFiltersOfOperationalEventsTakeTheTimeOfTheirProject(t *testing.T) {
	bubble(t, func(t *testing.T, s *site) {
		subs := []webhook.Subscription{{ID: "wh_dead", ProjectID: "proj_1", URL: deadURL, Events: []string{"api_key.*"}}}
		for i := range 30 {
			subs = append(subs, webhook.Subscription{
				ID: fmt.Sprintf("wh_slow%02d", i), ProjectID: "proj_1", URL: deadURL, Events: []string{"webhook.*"},
				FilterEngine: "slow", Filter: "slow",
			})
		}
		set := settings(t, subs...)
		set.Engines = maps.Clone(set.Engines)
		set.Engines["slow"] = slowEngine{}
		set.Retry, set.DisableAfter = queue.Schedule{}, 0
		s.open(set)
		s.publish(20)
		time.Sleep(time.Minute)
		synctest.Wait()
		exhausted := 0
		for _, sub := range subs[1:] {
			page, err := s.store.Deliveries(t.Context(), queue.DeliveryQuery{WebhookID: sub.ID, Limit: 100})
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range page.Deliveries {
				if strings.Contains(d.Reason, "budget exhausted") {
					exhausted++
				}
			}
		}
		if exhausted == 0 {
			t.Error("the filters of 20 operational events took as much time as they liked")
		}
		s.close()
	})
}
