package gateway_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/problem"
	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/webhook"
)

func mustGet(t *testing.T, g *gateway.Gateway, id string) gateway.DeliveryDetail {
	t.Helper()
	d, err := g.Delivery(t.Context(), everything, id)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// mustRetry retries a delivery, and waits for the end of the attempt before if that
// can be seen already while its claim is about to end.
func mustRetry(t *testing.T, g *gateway.Gateway, by *gateway.Key, id string) (d webhook.Delivery) {
	t.Helper()
	eventually(t, "a retry is taken", func() bool {
		var err error
		d, err = g.Retry(t.Context(), by, id)
		if err != nil {
			wantProblem(t, err, problem.Conflict)
		}
		return err == nil
	})
	return d
}

func TestARetryThatFailsChangesNothingButTheLog(t *testing.T) {
	g, _ := mustOpen(t, t.TempDir(), nil)
	to := newReceiver(t, http.StatusInternalServerError)
	mustApply(t, g, settings(t, webhook.Subscription{ID: "wh_a", URL: to.URL, ProjectID: "proj_1", Retry: []time.Duration{time.Hour}}))
	before := mustDeliver(t, g, "wh_a", someEvent)
	got := mustRetry(t, g, keyOf("proj_1"), before.ID)
	if got.ID != before.ID || got.Attempts != 1 || got.LastAttempt == nil {
		t.Fatalf("got %+v", got)
	}
	eventually(t, "the retry", func() bool { return mustGet(t, g, before.ID).Attempts == 2 })
	after := mustGet(t, g, before.ID)
	if after.Status != webhook.Pending || after.Step != before.Step || !after.NextAttemptAt.Equal(before.NextAttemptAt) {
		t.Errorf("before %+v, after %+v", before, after.Delivery)
	}
	if last := after.AttemptLog[1]; last.Number != 2 || last.Trigger != webhook.Manually {
		t.Errorf("attempt %+v", last)
	}
	if n := to.requests()[1].header.Get("X-Tengine-Attempt"); n != "2" {
		t.Errorf("x-tengine-attempt %s", n)
	}

	to.status.Store(http.StatusOK)
	mustRetry(t, g, everything, before.ID)
	eventually(t, "the delivery", func() bool { return mustGet(t, g, before.ID).Status == webhook.Delivered })
	mustRetry(t, g, everything, before.ID) // what was delivered can be sent again
	eventually(t, "the repetition", func() bool { return mustGet(t, g, before.ID).Attempts == 4 })
}

func TestARetryByHandAndADueOneNeverOverlap(t *testing.T) {
	g, _ := mustOpen(t, t.TempDir(), nil)
	to := newReceiver(t, http.StatusInternalServerError)
	mustApply(t, g, settings(t, webhook.Subscription{
		ID: "wh_a", URL: to.URL, ProjectID: "proj_1", Retry: []time.Duration{time.Millisecond, time.Hour},
	}))
	d := mustDeliver(t, g, "wh_a", someEvent) // its retry is due at once
	hold := make(chan struct{})
	to.hold.Store(&hold)
	accepted := 0
	for range 50 {
		_, err := g.Retry(t.Context(), everything, d.ID)
		if err == nil {
			accepted++
			continue
		}
		wantProblem(t, err, problem.Conflict)
		time.Sleep(time.Millisecond) // the automatic one falls due meanwhile
	}
	close(hold)
	eventually(t, "all attempts end", func() bool {
		got := mustGet(t, g, d.ID)
		return got.Attempts >= 2+accepted || got.Attempts >= 2 && to.now.Load() == 0
	})
	if to.most.Load() != 1 {
		t.Errorf("%d attempts of a delivery at a time", to.most.Load())
	}
}

func TestWhatCanBeRetried(t *testing.T) {
	g, store := mustOpen(t, t.TempDir(), nil)
	to := newReceiver(t, http.StatusOK)
	mustApply(t, g, settings(t, webhook.Subscription{ID: "wh_a", URL: to.URL, ProjectID: "proj_1"}))
	d := mustDeliver(t, g, "wh_a", someEvent)
	set := func(s webhook.Status) {
		t.Helper()
		now := time.Now()
		var c queue.Claimed
		eventually(t, "the claim of the attempt before ends", func() bool {
			var err error
			c, err = store.ClaimOne(t.Context(), d.ID, "test", now, now.Add(time.Minute))
			return err == nil
		})
		if err := store.Finish(t.Context(), c.Claim, queue.Result{Status: s, At: now}); err != nil {
			t.Fatal(err)
		}
	}
	attempts := 1
	for _, s := range []webhook.Status{webhook.Failed, webhook.Skipped, webhook.FilterError} {
		set(s)
		if _, err := g.Retry(t.Context(), everything, d.ID); err != nil {
			t.Errorf("%s: %v", s, err)
			continue
		}
		attempts++
		eventually(t, "the attempt", func() bool { return mustGet(t, g, d.ID).Attempts == attempts })
	}
	set(webhook.Cancelled)
	_, err := g.Retry(t.Context(), everything, d.ID)
	wantProblem(t, err, problem.Conflict)
	for _, id := range []string{"dlv_nothing", "", "../x"} {
		_, err = g.Retry(t.Context(), everything, id)
		wantProblem(t, err, problem.NotFound)
	}

	// Its webhook left the configuration: nobody knows where to send it.
	set(webhook.Failed)
	mustApply(t, g, settings(t))
	_, err = g.Retry(t.Context(), everything, d.ID)
	wantProblem(t, err, problem.Conflict)
	now := time.Now()
	if _, err := store.ClaimOne(t.Context(), d.ID, "test", now, now.Add(time.Second)); err != nil {
		t.Errorf("after a refusal the delivery stays claimed: %v", err)
	}
	_, err = g.SendTest(t.Context(), everything, "wh_a", gateway.TestRequest{})
	wantProblem(t, err, problem.Conflict)
}
