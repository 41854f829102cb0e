package gateway_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/problem"
	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/webhook"
)

// mustFail publishes n events whose deliveries to wh_a fail for good.
func mustFail(t *testing.T, g *gateway.Gateway, n int) {
	t.Helper()
	texts := make([]string, n)
	for i := range texts {
		texts[i] = someEvent
	}
	deliveries(t, g, texts...)
	eventually(t, "all deliveries fail", func() bool { return g.Stats().Deliveries[webhook.Failed] >= int64(n) && g.Pending() == 0 })
}

func setStatus(t *testing.T, g *gateway.Gateway, webhookID string, state webhook.State) {
	t.Helper()
	_, err := g.ChangeWebhook(t.Context(), everything, webhookID, "", func(s *gateway.WebhookSpec) { s.Status = state })
	if err != nil {
		t.Fatal(err)
	}
}

func mustReplay(t *testing.T, g *gateway.Gateway, r gateway.ReplayRequest) gateway.Replay {
	t.Helper()
	got, err := g.Replay(t.Context(), everything, "wh_a", r)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func replayStatus(t *testing.T, g *gateway.Gateway, id string) gateway.Replay {
	t.Helper()
	got, err := g.ReplayStatus(t.Context(), keyOf("proj_1"), id)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func mustEnd(t *testing.T, g *gateway.Gateway, id string) gateway.Replay {
	t.Helper()
	var got gateway.Replay
	eventually(t, "the replay ends", func() bool {
		got = replayStatus(t, g, id)
		return got.State != gateway.ReplayRunning
	})
	return got
}

var since = time.Unix(1, 0)

func TestAReplaySendsWhatFailedOnceMore(t *testing.T) {
	g, _ := mustOpen(t, t.TempDir(), nil)
	to := newReceiver(t, http.StatusInternalServerError)
	mustApply(t, g, noRetries(settings(t, webhook.Subscription{ID: "wh_a", URL: to.URL, ProjectID: "proj_1"})))
	const n = 250
	mustFail(t, g, n)
	if _, err := g.SendTest(t.Context(), everything, "wh_a", gateway.TestRequest{}); err != nil {
		t.Fatal(err)
	}
	to.status.Store(http.StatusOK)
	mustDeliver(t, g, "wh_a", someEvent)

	dry := mustReplay(t, g, gateway.ReplayRequest{Since: since, DryRun: true})
	if dry.Count != n || dry.ID != "" {
		t.Errorf("dry run: %+v", dry)
	}
	if got := len(to.requests()); got != n+2 {
		t.Fatalf("a dry run sent something: %d requests", got)
	}
	got := mustReplay(t, g, gateway.ReplayRequest{Since: since})
	if got.Count != n || got.State != gateway.ReplayRunning {
		t.Errorf("replay: %+v", got)
	}
	got = mustEnd(t, g, got.ID)
	if got.State != gateway.ReplayDone || got.Count != n || got.Done != n || got.FinishedAt.IsZero() {
		t.Errorf("ended: %+v", got)
	}
	eventually(t, "all is delivered", func() bool { return g.Stats().Deliveries[webhook.Delivered] == n+1 })
	if left := mustList(t, g, "wh_a", webhook.Failed); len(left) != 1 || !left[0].Test {
		t.Errorf("left: %+v", left)
	}
	times := make(map[string]int)
	for _, r := range to.requests() {
		times[r.header.Get("X-Tengine-Delivery")]++
	}
	twice := 0
	for id, n := range times {
		if n == 2 {
			twice++
		} else if n > 2 {
			t.Errorf("%s was sent %d times", id, n)
		}
	}
	if twice != n {
		t.Errorf("%d deliveries were sent twice, want %d", twice, n)
	}
	last := firstPage(t, g)[10].LastAttempt
	if last == nil || last.Number != 2 || last.Trigger != webhook.ByReplay {
		t.Errorf("last attempt %+v", last)
	}
	if again := mustReplay(t, g, gateway.ReplayRequest{Since: since, DryRun: true}); again.Count != 0 {
		t.Errorf("still %d to replay", again.Count)
	}
	if again := mustReplay(t, g, gateway.ReplayRequest{Since: since, Status: []webhook.Status{webhook.Delivered, webhook.Failed}, DryRun: true}); again.Count != n+1 {
		t.Errorf("%d are delivered or failed, want %d", again.Count, n+1)
	}
}

func TestWhatWasSkippedIsReplayedAfterEnabling(t *testing.T) {
	g, _ := mustOpen(t, t.TempDir(), nil)
	to := newReceiver(t, http.StatusOK)
	mustApply(t, g, settings(t, webhook.Subscription{ID: "wh_a", URL: to.URL, ProjectID: "proj_1"}))
	setStatus(t, g, "wh_a", webhook.Disabled)
	deliveries(t, g, someEvent, someEvent, someEvent)
	skipped := gateway.ReplayRequest{Since: since, Status: []webhook.Status{webhook.Skipped}}
	_, err := g.Replay(t.Context(), everything, "wh_a", skipped)
	wantProblem(t, err, problem.Conflict)

	setStatus(t, g, "wh_a", webhook.Active)
	if got := mustReplay(t, g, skipped); got.Count != 3 {
		t.Errorf("replay: %+v", got)
	}
	eventually(t, "all is delivered", func() bool { return len(mustList(t, g, "wh_a", webhook.Delivered)) == 3 })
	if n := len(to.requests()); n != 3 {
		t.Errorf("%d requests", n)
	}
}

// mustStall starts a replay of 1200 skipped deliveries that waits in the middle,
// because so much is pending at a receiver that hangs.
func mustStall(t *testing.T, g *gateway.Gateway, to *receiver) (r gateway.Replay, goOn func()) {
	t.Helper()
	s := noRetries(settings(t, webhook.Subscription{ID: "wh_a", URL: to.URL, ProjectID: "proj_1", Timeout: 30 * time.Second}))
	s.MaxPending, s.MaxPendingPerWebhook, s.DrainTimeout = 100000, 100000, time.Millisecond
	mustApply(t, g, s)
	setStatus(t, g, "wh_a", webhook.Disabled)
	texts := make([]string, 1200)
	for i := range texts {
		texts[i] = someEvent
	}
	deliveries(t, g, texts...)
	setStatus(t, g, "wh_a", webhook.Active)
	hold := make(chan struct{})
	to.hold.Store(&hold)
	r = mustReplay(t, g, gateway.ReplayRequest{Since: since, Status: []webhook.Status{webhook.Skipped}})
	eventually(t, "the replay waits", func() bool { return g.Pending() >= 1000 && replayStatus(t, g, r.ID).Done == g.Pending() })
	return r, func() {
		to.hold.Store(nil)
		close(hold)
	}
}

func TestAReplayWaitsForItsBacklogAndGoesOnAfterARestart(t *testing.T) {
	dir := t.TempDir()
	g, _ := mustOpen(t, dir, nil)
	to := newReceiver(t, http.StatusOK)
	r, goOn := mustStall(t, g, to)
	if pending := g.Pending(); pending >= 1200 {
		t.Fatalf("%d are pending: nothing was held back", pending)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	goOn()

	g, _ = mustOpen(t, dir, nil)
	s := noRetries(settings(t, webhook.Subscription{ID: "wh_a", URL: to.URL, ProjectID: "proj_1"}))
	s.MaxPending, s.MaxPendingPerWebhook = 100000, 100000
	mustApply(t, g, s)
	if got := mustEnd(t, g, r.ID); got.State != gateway.ReplayDone || got.Done != 1200 || got.Count != 1200 {
		t.Errorf("ended: %+v", got)
	}
	eventually(t, "all is delivered", func() bool { return g.Stats().Deliveries[webhook.Delivered] == 1200 })
	for _, d := range firstPage(t, g) {
		if d.Attempts != 1 {
			t.Errorf("%s has %d attempts", d.ID, d.Attempts)
		}
	}
}

func firstPage(t *testing.T, g *gateway.Gateway) []webhook.Delivery {
	t.Helper()
	list, _, err := g.Deliveries(t.Context(), everything, "wh_a", gateway.DeliveryFilter{}, wholePage)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestAStepThatWasNotSavedIsNotRepeated(t *testing.T) {
	dir := t.TempDir()
	g, store := mustOpen(t, dir, nil)
	to := newReceiver(t, http.StatusOK)
	subs := []webhook.Subscription{{ID: "wh_a", URL: to.URL, ProjectID: "proj_1"}}
	mustApply(t, g, settings(t, subs...))
	for range 5 {
		mustDeliver(t, g, "wh_a", someEvent)
	}
	r := mustReplay(t, g, gateway.ReplayRequest{Since: since, Status: []webhook.Status{webhook.Delivered}})
	mustEnd(t, g, r.ID)
	eventually(t, "all is sent twice", func() bool { return len(to.requests()) == 10 && g.Pending() == 0 })

	// The process died before it could save what it had done.
	rec, err := store.Record(t.Context(), queue.ReplayRecord, r.ID)
	if err != nil {
		t.Fatal(err)
	}
	rec.Data = []byte(strings.NewReplacer(`"done"`, `"running"`, `"Done":5`, `"Done":0`, `"Pass":1`, `"Pass":0`).Replace(string(rec.Data)))
	if _, err := store.PutRecord(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	g, _ = mustOpen(t, dir, nil)
	mustApply(t, g, settings(t, subs...))
	if got := mustEnd(t, g, r.ID); got.State != gateway.ReplayDone || got.Done != 5 {
		t.Errorf("ended: %+v", got)
	}
	if n := len(to.requests()); n != 10 || g.Pending() != 0 {
		t.Errorf("%d requests, %d pending", n, g.Pending())
	}
}

func TestACancelledReplayMakesNothingMorePending(t *testing.T) {
	g, _ := mustOpen(t, t.TempDir(), nil)
	to := newReceiver(t, http.StatusOK)
	r, goOn := mustStall(t, g, to)
	_, err := g.Replay(t.Context(), everything, "wh_a", gateway.ReplayRequest{Since: since})
	wantProblem(t, err, problem.Conflict) // one of a webhook at a time
	_, err = g.CancelReplay(t.Context(), keyOf("proj_2"), r.ID)
	wantProblem(t, err, problem.NotFound)
	pending := g.Pending()
	got, err := g.CancelReplay(t.Context(), keyOf("proj_1"), r.ID)
	if err != nil || got.State != gateway.ReplayCancelled || got.FinishedAt.IsZero() || got.Done != pending {
		t.Errorf("cancelled: %+v, %v", got, err)
	}
	goOn()
	eventually(t, "what was pending is delivered", func() bool { return g.Pending() == 0 })
	if left := g.Stats().Deliveries[webhook.Skipped]; left != int64(1200-pending) {
		t.Errorf("%d stayed skipped, want %d", left, 1200-pending)
	}
	if again, err := g.CancelReplay(t.Context(), everything, r.ID); err != nil || again.State != gateway.ReplayCancelled {
		t.Errorf("cancelled again: %+v, %v", again, err)
	}
	_, err = g.ReplayStatus(t.Context(), everything, "rpl_nothing")
	wantProblem(t, err, problem.NotFound)
}

func TestDisablingTheWebhookEndsItsReplay(t *testing.T) {
	g, _ := mustOpen(t, t.TempDir(), nil)
	to := newReceiver(t, http.StatusOK)
	r, goOn := mustStall(t, g, to)
	setStatus(t, g, "wh_a", webhook.Disabled)
	if got := replayStatus(t, g, r.ID); got.State != gateway.ReplayCancelled || got.FinishedAt.IsZero() {
		t.Errorf("at once: %+v", got)
	}
	goOn()
	setStatus(t, g, "wh_a", webhook.Active)
	if got := g.Pending(); got != 0 {
		t.Errorf("%d deliveries are pending still", got)
	}
	if sent, delivered := len(to.requests()), len(mustList(t, g, "wh_a", webhook.Delivered)); sent > 100 || delivered > sent {
		t.Errorf("%d were sent and %d delivered, of those in flight", sent, delivered)
	}
}

func TestReplaysAreChecked(t *testing.T) {
	g, _ := mustOpen(t, t.TempDir(), nil)
	mustApply(t, g, settings(t, webhook.Subscription{ID: "wh_a", ProjectID: "proj_1"}))
	now := time.Now()
	for name, c := range map[string]struct {
		request gateway.ReplayRequest
		want    []string
	}{
		"nothing":          {gateway.ReplayRequest{}, []string{"#/since"}},
		"an empty time":    {gateway.ReplayRequest{Since: now.Add(-time.Hour), Until: now.Add(-time.Hour)}, []string{"#/since"}},
		"the future":       {gateway.ReplayRequest{Since: now.Add(time.Hour), Until: now.Add(2 * time.Hour)}, []string{"#/since"}},
		"pending and more": {gateway.ReplayRequest{Status: []webhook.Status{webhook.Failed, webhook.Pending, webhook.Corrupt, "odd"}}, []string{"#/status/1", "#/status/2", "#/status/3", "#/since"}},
	} {
		_, err := g.Replay(t.Context(), everything, "wh_a", c.request)
		e := problem.From(err)
		var got []string
		for _, item := range e.Items {
			got = append(got, item.Pointer)
		}
		if e.Code != problem.Invalid || fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestReplayWhoseClientWentAwayIsThereOrIsNot(t *testing.T) {
	dir := t.TempDir()
	to := newReceiver(t, http.StatusInternalServerError)
	set := noRetries(settings(t, webhook.Subscription{ID: "wh_1", ProjectID: "proj_1", URL: to.URL}))
	g, store := mustOpen(t, dir, nil)
	mustApply(t, g, set)
	mustDeliver(t, g, "wh_1", someEvent)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	r, err := g.Replay(gone, everything, "wh_1", gateway.ReplayRequest{Since: time.Now().Add(-time.Hour)})
	page, listed := store.Records(t.Context(), queue.ReplayRecord, "", "", 10)
	if listed != nil {
		t.Fatal(listed)
	}
	if err != nil && len(page.Records) > 0 {
		t.Errorf("the replay was refused (%v), and begins at the next start", err)
	}
	if err == nil {
		if _, err := g.ReplayStatus(t.Context(), everything, r.ID); err != nil {
			t.Error(err)
		}
	}
}

// The configuration may give the name of a static webhook to another project. Whom
// it belongs to now must not get what came before.
func TestWhatCameForAnotherProjectIsNotSent(t *testing.T) {
	g, _ := mustOpen(t, t.TempDir(), nil)
	before, after := newReceiver(t, http.StatusInternalServerError), newReceiver(t, http.StatusOK)
	gen := mustApply(t, g, settings(t, webhook.Subscription{ID: "wh_a", URL: before.URL, ProjectID: "proj_1", Retry: []time.Duration{time.Second}}))
	waiting := mustDeliver(t, g, "wh_a", someEvent)
	before.status.Store(http.StatusOK)
	done := mustDeliver(t, g, "wh_a", someEvent)
	mustApply(t, g, settings(t, webhook.Subscription{ID: "wh_a", URL: after.URL, ProjectID: "proj_2"}))
	g.Withdraw(gen)

	eventually(t, "the retry is skipped", func() bool { return mustGet(t, g, waiting.ID).Status == webhook.Skipped })
	if d := mustGet(t, g, waiting.ID); d.Reason != webhook.ReasonOtherProject || d.Attempts != 1 {
		t.Errorf("%s (%s) after %d attempts", d.Status, d.Reason, d.Attempts)
	}
	for _, by := range []*gateway.Key{keyOf("proj_2"), everything} {
		r, err := g.Replay(t.Context(), by, "wh_a", gateway.ReplayRequest{
			Since: time.Now().Add(-time.Hour), Status: []webhook.Status{webhook.Skipped, webhook.Delivered, webhook.Failed},
		})
		if err != nil || r.Count != 0 {
			t.Errorf("a replay by %q selects %d, %v", by.Name, r.Count, err)
		}
		eventually(t, "the replay ends", func() bool {
			r, err := g.ReplayStatus(t.Context(), by, r.ID)
			return err == nil && r.State == gateway.ReplayDone
		})
	}
	_, err := g.Retry(t.Context(), everything, done.ID)
	wantProblem(t, err, problem.Conflict)
	if n := len(after.requests()); n != 0 {
		t.Errorf("the other project got %d events", n)
	}
}
