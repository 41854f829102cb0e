package gateway_test

import (
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/queue/queuetest"
	"github.com/tengineai/webhook-gateway/webhook"
)

func TestARetryByHandOutlivesTheProcess(t *testing.T) {
	for name, c := range map[string]struct {
		lost []string // what the process did not come to do; nothing: it was stopped during the attempt
		want int      // attempts that arrive in all
	}{
		"killed before its outcome was recorded": {[]string{"Finish", "DeleteRecord"}, 3},
		"killed after its outcome was recorded":  {[]string{"DeleteRecord"}, 2},
		"stopped meanwhile":                      {nil, 3},
	} {
		t.Run(name, func(t *testing.T) {
			to := newReceiver(t, http.StatusInternalServerError)
			set := func() *gateway.Settings {
				set := settings(t, webhook.Subscription{ID: "wh_a", URL: to.URL, ProjectID: "proj_1", Retry: []time.Duration{time.Hour}})
				set.DrainTimeout = 10 * time.Millisecond
				return set
			}
			s := &site{t: t, dir: t.TempDir()}
			s.open(set())
			before := mustDeliver(t, s.g, "wh_a", someEvent)

			hold := make(chan struct{})
			to.hold.Store(&hold)
			mustRetry(t, s.g, keyOf("proj_1"), before.ID)
			eventually(t, "the attempt", func() bool { return len(to.requests()) == 2 })
			if len(c.lost) > 0 {
				var over atomic.Bool
				s.store.Inject(func(method string) (f queuetest.Fault) {
					if slices.Contains(c.lost, method) {
						f.Err = queue.ErrUnavailable
					}
					over.Store(over.Load() || method == "DeleteRecord")
					return f
				})
				close(hold)
				eventually(t, "its end", over.Load)
			}
			s.close()

			to.hold.Store(nil)
			s.open(set())
			eventually(t, "the outcome", func() bool { return mustGet(t, s.g, before.ID).Attempts == 2 })
			after := mustGet(t, s.g, before.ID)
			if after.Status != webhook.Pending || after.Step != before.Step || !after.NextAttemptAt.Equal(before.NextAttemptAt) {
				t.Errorf("before %+v, after %+v", before, after.Delivery)
			}
			eventually(t, "nothing is owed", func() bool {
				owed, err := s.store.Records(t.Context(), queue.RetryRecord, "", "", 10)
				return err == nil && len(owed.Records) == 0
			})
			arrived := to.requests()
			if len(arrived) != c.want {
				t.Fatalf("%d attempts arrived, want %d", len(arrived), c.want)
			}
			if n := arrived[c.want-1].header.Get("X-Tengine-Attempt"); n != "2" {
				t.Errorf("x-tengine-attempt %s, want 2", n)
			}
			s.close()
		})
	}
}

func TestARetryThatNobodyCanMakeAnyMoreIsNotOwed(t *testing.T) {
	to := newReceiver(t, http.StatusInternalServerError)
	s := &site{t: t, dir: t.TempDir()}
	s.open(noRetries(settings(t,
		webhook.Subscription{ID: "wh_a", URL: to.URL, ProjectID: "proj_1"},
		webhook.Subscription{ID: "wh_b", URL: to.URL, ProjectID: "proj_1"},
	)))
	d := mustDeliver(t, s.g, "wh_a", someEvent)
	for _, id := range []string{d.ID, "dlv_nothing"} {
		rec := queue.Record{Kind: queue.RetryRecord, ID: id, ProjectID: "proj_1", Data: []byte(`{"attempts":1}`)}
		if _, err := s.store.PutRecord(t.Context(), rec); err != nil {
			t.Fatal(err)
		}
	}
	s.close()
	s.open(noRetries(settings(t, webhook.Subscription{ID: "wh_b", URL: to.URL, ProjectID: "proj_1"})))
	owed, err := s.store.Records(t.Context(), queue.RetryRecord, "", "", 10)
	if err != nil || len(owed.Records) != 0 {
		t.Errorf("still owed: %v, %v", owed.Records, err)
	}
	now := time.Now()
	if _, err := s.store.ClaimOne(t.Context(), d.ID, "test", now, now.Add(time.Second)); err != nil {
		t.Errorf("the delivery stays claimed: %v", err)
	}
	s.close()
}
