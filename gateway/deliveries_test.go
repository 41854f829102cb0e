package gateway_test

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/problem"
	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/webhook"
)

func TestADeliveryIsShownInFullWithoutSecrets(t *testing.T) {
	g, _ := mustOpen(t, t.TempDir(), nil)
	to := newReceiver(t, http.StatusInternalServerError)
	mustApply(t, g, settings(t, webhook.Subscription{
		ID: "wh_a", URL: to.URL, ProjectID: "proj_1", Retry: []time.Duration{time.Hour},
		Headers: []webhook.Header{{Name: "Authorization", Value: "Bearer hush"}, {Name: "X-Custom-Header", Value: "custom-value"}},
		Secrets: []webhook.Secret{{Value: "0123456789abcdef"}},
	}))
	d := mustDeliver(t, g, "wh_a", someEvent)
	got, err := g.Delivery(t.Context(), keyOf("proj_1"), d.ID)
	if err != nil {
		t.Fatal(err)
	}
	sent := to.requests()[0]
	if string(got.Payload) != sent.body || got.Status != webhook.Pending || len(got.AttemptLog) != 1 || got.NextAttemptAt.IsZero() {
		t.Errorf("detail %+v", got)
	}
	shown := make(map[string]string)
	for _, h := range got.RequestHeaders {
		shown[http.CanonicalHeaderKey(h.Name)] = h.Value
	}
	for name := range sent.header {
		want := sent.header.Get(name)
		switch name {
		case "Content-Length", "Accept-Encoding", "Connection":
			continue
		case "Authorization", "X-Tengine-Signature", "Webhook-Signature":
			want = gateway.Masked
		}
		if shown[name] != want {
			t.Errorf("request header %s: %q, want %q", name, shown[name], want)
		}
	}
	if !slices.Contains(got.AttemptLog[0].ResponseHeaders, webhook.Header{Name: "Set-Cookie", Value: gateway.Masked}) {
		t.Errorf("response headers %v", got.AttemptLog[0].ResponseHeaders)
	}
	if string(got.AttemptLog[0].ResponseBody) != "answer" {
		t.Errorf("response body %q", got.AttemptLog[0].ResponseBody)
	}
}

// What a webhook says of its requests goes with it, the rest is known.
func TestADeliveryOfADeletedWebhookShowsWhatIsKnownOfItsRequest(t *testing.T) {
	g, _ := mustOpen(t, t.TempDir(), nil)
	to := newReceiver(t, http.StatusOK)
	mustApply(t, g, settings(t))
	hook := mustCreate(t, g, gateway.WebhookSpec{URL: to.URL, Events: []string{"project.*"}})
	d := mustDeliver(t, g, hook.ID, someEvent)
	eventually(t, "it is delivered", func() bool { return len(mustList(t, g, hook.ID, webhook.Delivered)) == 1 })
	if err := g.DeleteWebhook(t.Context(), everything, hook.ID, ""); err != nil {
		t.Fatal(err)
	}
	got, err := g.Delivery(t.Context(), everything, d.ID)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, h := range got.RequestHeaders {
		names = append(names, h.Name)
	}
	want := []string{"content-type", "webhook-id", "webhook-timestamp", "x-tengine-attempt", "x-tengine-delivery", "x-tengine-event"}
	if !slices.Equal(names, want) {
		t.Errorf("headers %v, want %v", names, want)
	}
}

func TestHistoryOfAnotherProjectIsNotThere(t *testing.T) {
	g, _ := mustOpen(t, t.TempDir(), nil)
	mustApply(t, g, settings(t, webhook.Subscription{ID: "wh_a", ProjectID: "proj_1"}, webhook.Subscription{ID: "wh_all"}))
	d, ofAll := mustDeliver(t, g, "wh_a", someEvent), mustList(t, g, "wh_all", "")[0]
	other, own := keyOf("proj_2"), keyOf("proj_1")

	_, _, err := g.Deliveries(t.Context(), other, "wh_a", gateway.DeliveryFilter{}, wholePage)
	wantProblem(t, err, problem.NotFound)
	_, err = g.Delivery(t.Context(), other, d.ID)
	wantProblem(t, err, problem.NotFound)
	_, err = g.Retry(t.Context(), other, d.ID)
	wantProblem(t, err, problem.NotFound)
	_, err = g.SendTest(t.Context(), other, "wh_a", gateway.TestRequest{})
	wantProblem(t, err, problem.NotFound)
	_, err = g.Replay(t.Context(), other, "wh_a", gateway.ReplayRequest{Since: time.Unix(1, 0)})
	wantProblem(t, err, problem.NotFound)
	_, _, err = g.Events(t.Context(), other, "proj_1", wholePage)
	wantProblem(t, err, problem.NotFound)
	_, err = g.Event(t.Context(), other, d.EventID, "", wholePage)
	wantProblem(t, err, problem.NotFound)
	_, err = g.Event(t.Context(), other, d.EventID, "proj_1", wholePage)
	wantProblem(t, err, problem.NotFound)

	// A webhook of all projects, with its deliveries, is for keys of all.
	_, err = g.Delivery(t.Context(), own, ofAll.ID)
	wantProblem(t, err, problem.NotFound)
	detail, err := g.Event(t.Context(), own, d.EventID, "", wholePage)
	if err != nil || len(detail.Webhooks) != 1 || detail.Webhooks[0].WebhookID != "wh_a" {
		t.Errorf("the event for a key of its project: %+v, %v", detail.Webhooks, err)
	}
}

func TestHistoryOfAWebhookThatTheConfigurationGaveAnotherProject(t *testing.T) {
	g, _ := mustOpen(t, t.TempDir(), nil)
	with := func(project string) *gateway.Settings {
		return settings(t, webhook.Subscription{ID: "wh_a", ProjectID: project})
	}
	mustApply(t, g, with(webhook.AllProjects))
	inOne := mustDeliver(t, g, "wh_a", someEvent)
	inTwo := mustDeliver(t, g, "wh_a", `{"type":"project.created","data":{"id":"proj_2"}}`)
	listed := func(key *gateway.Key) (ids []string, err error) {
		list, _, err := g.Deliveries(t.Context(), key, "wh_a", gateway.DeliveryFilter{}, wholePage)
		for _, d := range list {
			ids = append(ids, d.ID)
		}
		return ids, err
	}

	mustApply(t, g, with("proj_1"))
	if ids, err := listed(keyOf("proj_1")); err != nil || !slices.Equal(ids, []string{inOne.ID}) {
		t.Errorf("of its present project: %v, %v, want %s and not %s", ids, err, inOne.ID, inTwo.ID)
	}
	mustApply(t, g, with("proj_2"))
	for _, project := range []string{"proj_1", "proj_3"} {
		_, err := listed(keyOf(project))
		wantProblem(t, err, problem.NotFound)
	}
	_, err := g.Delivery(t.Context(), keyOf("proj_1"), inOne.ID)
	wantProblem(t, err, problem.NotFound)
	_, err = g.SendTest(t.Context(), keyOf("proj_1"), "wh_a", gateway.TestRequest{})
	wantProblem(t, err, problem.NotFound)
}

func TestAWebhookLeavesTheConfigurationWithTheProjectItHadLast(t *testing.T) {
	g, store := mustOpen(t, t.TempDir(), nil)
	with := func(subs ...webhook.Subscription) *gateway.Settings {
		s := settings(t, subs...)
		s.Retention = 20 * time.Second // so that the janitor comes every other second
		return s
	}
	mustApply(t, g, with(webhook.Subscription{ID: "wh_a", ProjectID: "proj_1"}))
	mustApply(t, g, with(webhook.Subscription{ID: "wh_a"}))
	eventually(t, "the record says so", func() bool {
		rec, err := store.Record(t.Context(), queue.WebhookRecord, "wh_a")
		return err == nil && rec.ProjectID == webhook.AllProjects
	})
	mustApply(t, g, with())
	eventually(t, "it is no webhook of its former project", func() bool { // the memory follows the record
		_, _, err := g.Deliveries(t.Context(), keyOf("proj_1"), "wh_a", gateway.DeliveryFilter{}, wholePage)
		return err != nil && problem.From(err).Code == problem.NotFound
	})
	mustList(t, g, "wh_a", "") // by a key of all projects
}

func TestDeliveriesOfAStaticWebhookThatIsForgottenAreForKeysOfAllProjects(t *testing.T) {
	s := &site{t: t, dir: t.TempDir()}
	s.open(settings(t, webhook.Subscription{ID: "wh_all"}))
	d := mustDeliver(t, s.g, "wh_all", someEvent)
	s.close()
	s.open(settings(t))
	if err := s.store.DeleteRecord(t.Context(), queue.WebhookRecord, "wh_all"); err != nil { // as after the retention
		t.Fatal(err)
	}
	s.close()
	s.open(settings(t))
	_, err := s.g.Delivery(t.Context(), keyOf("proj_1"), d.ID)
	wantProblem(t, err, problem.NotFound)
	for key, want := range map[*gateway.Key]int{keyOf("proj_1"): 0, everything: 1} {
		detail, err := s.g.Event(t.Context(), key, d.EventID, "", wholePage)
		if err != nil || len(detail.Webhooks) != want {
			t.Errorf("the event for %s: %+v, %v, want %d webhooks", key.Name, detail.Webhooks, err, want)
		}
	}
	if _, err := s.g.Delivery(t.Context(), everything, d.ID); err != nil {
		t.Error(err)
	}
	s.close()
}

func TestHistoryAsksForTheScope(t *testing.T) {
	g, _ := mustOpen(t, t.TempDir(), nil)
	mustApply(t, g, settings(t, webhook.Subscription{ID: "wh_a"}))
	none := &gateway.Key{Scopes: []gateway.Scope{gateway.ScopeIngest}}
	reader := &gateway.Key{Scopes: []gateway.Scope{gateway.ScopeRead}}
	_, _, err := g.Deliveries(t.Context(), none, "wh_a", gateway.DeliveryFilter{}, wholePage)
	wantProblem(t, err, problem.ScopeMissing)
	_, err = g.Delivery(t.Context(), none, "dlv_x")
	wantProblem(t, err, problem.ScopeMissing)
	_, err = g.TestFilter(t.Context(), none, gateway.FilterTest{})
	wantProblem(t, err, problem.ScopeMissing)
	_, err = g.SendTest(t.Context(), reader, "wh_a", gateway.TestRequest{})
	wantProblem(t, err, problem.ScopeMissing)
	_, err = g.Retry(t.Context(), reader, "dlv_x")
	wantProblem(t, err, problem.ScopeMissing)
	_, err = g.Replay(t.Context(), reader, "wh_a", gateway.ReplayRequest{})
	wantProblem(t, err, problem.ScopeMissing)
	_, err = g.CancelReplay(t.Context(), reader, "rpl_x")
	wantProblem(t, err, problem.ScopeMissing)
}

func TestDeliveriesArePagedAndFiltered(t *testing.T) {
	g, _ := mustOpen(t, t.TempDir(), nil)
	mustApply(t, g, settings(t, webhook.Subscription{ID: "wh_a", ProjectID: "proj_1"}))
	for range 5 {
		mustDeliver(t, g, "wh_a", someEvent)
	}
	mustDeliver(t, g, "wh_a", `{"type":"api_key.created","project_id":"proj_1","data":{}}`)
	var got []string
	page := gateway.Page{Limit: 2}
	for {
		list, next, err := g.Deliveries(t.Context(), everything, "wh_a", gateway.DeliveryFilter{EventType: "project.created"}, page)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range list {
			got = append(got, d.ID)
		}
		if page.Cursor = next; next == "" {
			break
		}
	}
	if len(got) != 5 || !slices.IsSortedFunc(got, func(a, b string) int { return -compare(a, b) }) {
		t.Errorf("pages hold %v", got)
	}
	for name, p := range map[string]gateway.Page{"a foreign cursor": {Cursor: "abc", Limit: 2}, "no limit": {}, "a limit of 201": {Limit: 201}} {
		if _, _, err := g.Deliveries(t.Context(), everything, "wh_a", gateway.DeliveryFilter{}, p); problem.From(err).Code != problem.Invalid {
			t.Errorf("%s: %v", name, err)
		}
		if _, _, err := g.Events(t.Context(), everything, "proj_1", p); problem.From(err).Code != problem.Invalid {
			t.Errorf("events, %s: %v", name, err)
		}
	}
	_, _, err := g.Deliveries(t.Context(), everything, "wh_a", gateway.DeliveryFilter{Status: "odd"}, wholePage)
	wantProblem(t, err, problem.Invalid)
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
