package gateway_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/problem"
	"github.com/tengineai/webhook-gateway/webhook"
)

func TestATestEventIsSentNowAndLogged(t *testing.T) {
	g, _ := mustOpen(t, t.TempDir(), nil)
	to := newReceiver(t, http.StatusOK)
	mustApply(t, g, settings(t, webhook.Subscription{ID: "wh_a", URL: to.URL, ProjectID: "proj_1", Events: []string{"api_key.*"}, Filter: "data.id == 'nothing'"}))
	got, err := g.SendTest(t.Context(), keyOf("proj_1"), "wh_a", gateway.TestRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if got.Status != webhook.Delivered || got.Attempts != 1 || !got.Test || got.EventType != "api_key.created" ||
		!strings.HasPrefix(got.EventID, "evt_test_") || len(got.AttemptLog) != 1 || got.AttemptLog[0].Trigger != webhook.ByTest {
		t.Errorf("detail %+v", got)
	}
	sent := to.requests()
	if len(sent) != 1 || sent[0].body != string(got.Payload) || sent[0].header.Get("X-Tengine-Test") != "true" || sent[0].header.Get("X-Tengine-Delivery") != got.ID {
		t.Errorf("sent %+v", sent)
	}
	if !strings.Contains(sent[0].body, `"permissions":["read","write"]`) {
		t.Errorf("no sample: %s", sent[0].body)
	}
	if log := mustList(t, g, "wh_a", webhook.Delivered); len(log) != 1 || log[0].ID != got.ID {
		t.Errorf("log %+v", log)
	}
	detail, err := g.Event(t.Context(), everything, got.EventID, "", wholePage)
	if err != nil || len(detail.Webhooks) != 1 || detail.Webhooks[0].DeliveryID != got.ID {
		t.Errorf("the event: %+v, %v", detail.Webhooks, err)
	}
	_, err = g.Retry(t.Context(), everything, got.ID)
	wantProblem(t, err, problem.Conflict)
}

func TestATestEventDoesNotCountAgainstTheWebhook(t *testing.T) {
	g, _ := mustOpen(t, t.TempDir(), nil)
	to := newReceiver(t, http.StatusGone)
	mustApply(t, g, settings(t, webhook.Subscription{ID: "wh_a", URL: to.URL, ProjectID: "proj_1"}))
	got, err := g.SendTest(t.Context(), everything, "wh_a", gateway.TestRequest{Type: "webhook.disabled"})
	if err != nil || got.Status != webhook.Failed || got.AttemptLog[0].StatusCode != http.StatusGone {
		t.Fatalf("detail %+v, %v", got, err)
	}
	to.status.Store(http.StatusOK)
	if d := mustDeliver(t, g, "wh_a", someEvent); d.Status != webhook.Delivered {
		t.Errorf("after a test that was answered 410: %s", d.Status)
	}
	if n := len(mustList(t, g, "wh_a", webhook.Pending)); n != 0 {
		t.Errorf("%d pending deliveries", n)
	}
}

func TestATestEventReachesADisabledWebhook(t *testing.T) {
	g, _ := mustOpen(t, t.TempDir(), nil)
	to := newReceiver(t, http.StatusGone)
	mustApply(t, g, settings(t, webhook.Subscription{ID: "wh_a", URL: to.URL, ProjectID: "proj_1"}))
	mustDeliver(t, g, "wh_a", someEvent)
	eventually(t, "the webhook is disabled", func() bool {
		w, err := g.Webhook(t.Context(), everything, "wh_a")
		return err == nil && w.Status == webhook.Disabled
	})
	to.status.Store(http.StatusOK)
	got, err := g.SendTest(t.Context(), everything, "wh_a", gateway.TestRequest{})
	if err != nil || got.Status != webhook.Delivered {
		t.Errorf("detail %+v, %v", got, err)
	}
}

func TestTestDataIsJudgedAsAtIngest(t *testing.T) {
	g, _ := mustOpen(t, t.TempDir(), nil)
	to := newReceiver(t, http.StatusOK)
	mustApply(t, g, settings(t, webhook.Subscription{ID: "wh_a", URL: to.URL, ProjectID: "proj_1"}))
	for name, c := range map[string]struct {
		request gateway.TestRequest
		pointer string
		code    problem.Code
	}{
		"an unknown type":     {gateway.TestRequest{Type: "order.paid"}, "#/type", problem.Invalid},
		"no object":           {gateway.TestRequest{Data: json.RawMessage(`[1]`)}, "#/data", problem.Invalid},
		"null":                {gateway.TestRequest{Data: json.RawMessage(`null`)}, "#/data", problem.Invalid},
		"an inexact number":   {gateway.TestRequest{Data: json.RawMessage(`{"n":9007199254740993}`)}, "#/data/n", problem.Invalid},
		"a duplicate member":  {gateway.TestRequest{Data: json.RawMessage(`{"n":1,"n":2}`)}, "#/data/n", problem.Invalid},
		"too deep":            {gateway.TestRequest{Data: json.RawMessage(strings.Repeat(`{"a":`, 70) + "1" + strings.Repeat("}", 70))}, "", problem.Invalid},
		"too large":           {gateway.TestRequest{Data: json.RawMessage(`{"a":"` + strings.Repeat("x", webhook.DefaultMaxSize) + `"}`)}, "", problem.TooLarge},
		"more than one value": {gateway.TestRequest{Data: json.RawMessage(`{},"id":"evt_1","x":{}`)}, "#/data", problem.BadRequest},
		"a broken value":      {gateway.TestRequest{Data: json.RawMessage(`{`)}, "#/data", problem.BadRequest},
	} {
		_, err := g.SendTest(t.Context(), everything, "wh_a", c.request)
		e := problem.From(err)
		if err == nil || e.Code != c.code || c.pointer != "" && (len(e.Items) != 1 || e.Items[0].Pointer != c.pointer) {
			t.Errorf("%s: %v", name, err)
		}
	}
	got, err := g.SendTest(t.Context(), everything, "wh_a", gateway.TestRequest{
		Type: "usage.limit_exceeded", Data: json.RawMessage(`{ "b": 1.0, "1": "\u00e9", "id": "proj_other" }`),
	})
	if err != nil || !strings.Contains(string(got.Payload), `"data":{"1":"é","b":1,"id":"proj_other"}`) || got.ProjectID != "proj_1" {
		t.Errorf("payload %s, %v", got.Payload, err)
	}
}

func TestTestEventsAreTenAMinuteAlsoAcrossReloads(t *testing.T) {
	g, _ := mustOpen(t, t.TempDir(), nil)
	to := newReceiver(t, http.StatusOK)
	subs := []webhook.Subscription{{ID: "wh_a", URL: to.URL}, {ID: "wh_b", URL: to.URL}}
	mustApply(t, g, settings(t, subs...))
	for i := range 10 {
		if i == 5 {
			mustApply(t, g, settings(t, subs...))
		}
		if _, err := g.SendTest(t.Context(), everything, "wh_a", gateway.TestRequest{}); err != nil {
			t.Fatalf("test %d: %v", i, err)
		}
	}
	_, err := g.SendTest(t.Context(), everything, "wh_a", gateway.TestRequest{})
	if e := problem.From(err); e.Code != problem.TooManyRequests || e.RetryAfter <= 0 || e.RetryAfter > time.Minute {
		t.Errorf("the eleventh test: %v", err)
	}
	if _, err := g.SendTest(t.Context(), everything, "wh_b", gateway.TestRequest{}); err != nil {
		t.Errorf("another webhook: %v", err)
	}
}

func TestATestEventOutlivesItsClientAndTheBacklog(t *testing.T) {
	g, _ := mustOpen(t, t.TempDir(), nil)
	to := newReceiver(t, http.StatusOK)
	hold := make(chan struct{})
	to.hold.Store(&hold)
	mustApply(t, g, settings(t, webhook.Subscription{ID: "wh_a", URL: to.URL, ProjectID: "proj_1", Concurrency: 1}))
	deliveries(t, g, someEvent, someEvent)
	eventually(t, "the lane is busy", func() bool { return len(to.requests()) == 1 })

	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := g.SendTest(ctx, everything, "wh_a", gateway.TestRequest{})
		done <- err
	}()
	eventually(t, "the test arrives beside the busy lane", func() bool { return len(to.requests()) == 2 })
	cancel()
	close(hold)
	if err := <-done; err != nil {
		t.Error(err)
	}
	eventually(t, "all is delivered", func() bool { return len(mustList(t, g, "wh_a", webhook.Delivered)) == 3 })
}

func TestCloseCutsATestEventShort(t *testing.T) {
	g, _ := mustOpen(t, t.TempDir(), nil)
	to := newReceiver(t, http.StatusOK)
	hold := make(chan struct{})
	defer close(hold)
	to.hold.Store(&hold)
	s := settings(t, webhook.Subscription{ID: "wh_a", URL: to.URL, Timeout: 30 * time.Second})
	s.DrainTimeout = 10 * time.Millisecond
	mustApply(t, g, s)
	done := make(chan error, 1)
	go func() {
		_, err := g.SendTest(context.Background(), everything, "wh_a", gateway.TestRequest{})
		done <- err
	}()
	eventually(t, "the test is sent", func() bool { return len(to.requests()) == 1 })
	if err := g.Close(); err != nil {
		t.Error(err)
	}
	wantProblem(t, <-done, problem.Unavailable)
	_, err := g.SendTest(t.Context(), everything, "wh_a", gateway.TestRequest{})
	wantProblem(t, err, problem.Unavailable)
}

func TestDeletingTheWebhookEndsItsTestEvents(t *testing.T) {
	g, _ := mustOpen(t, t.TempDir(), nil)
	to := newReceiver(t, http.StatusOK)
	hold := make(chan struct{})
	defer close(hold)
	to.hold.Store(&hold)
	mustApply(t, g, settings(t))
	w, _, err := g.CreateWebhook(t.Context(), everything, "proj_1", gateway.WebhookSpec{
		URL: to.URL, Events: []string{"*"}, Timeout: 30 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := g.SendTest(context.Background(), everything, w.ID, gateway.TestRequest{})
		done <- err
	}()
	eventually(t, "the test is sent", func() bool { return len(to.requests()) == 1 })
	if err := g.DeleteWebhook(t.Context(), everything, w.ID, ""); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		wantProblem(t, err, problem.Unavailable)
	case <-time.After(10 * time.Second):
		t.Error("the attempt goes on after the webhook was deleted")
	}
	_, err = g.SendTest(t.Context(), everything, w.ID, gateway.TestRequest{})
	wantProblem(t, err, problem.NotFound)
}
