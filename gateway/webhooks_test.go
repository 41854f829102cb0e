package gateway_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/problem"
	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/queue/badgerstore"
	"github.com/tengineai/webhook-gateway/queue/queuetest"
	"github.com/tengineai/webhook-gateway/webhook"
)

// The keys that tests ask with.
var (
	anyone  = &gateway.Key{Name: "any", Scopes: gateway.Scopes}
	ofOne   = &gateway.Key{Name: "one", Scopes: gateway.Scopes, Projects: []string{"proj_1"}}
	reader  = &gateway.Key{Name: "reader", Scopes: []gateway.Scope{gateway.ScopeRead}}
	ingests = &gateway.Key{Name: "ingests", Scopes: []gateway.Scope{gateway.ScopeIngest}}
)

// pointers returns where the items of a problem point.
func pointers(err error) []string {
	var list []string
	for _, item := range problem.From(err).Items {
		list = append(list, cmp.Or(item.Pointer, item.Parameter))
	}
	return list
}

func mustCreate(t *testing.T, g *gateway.Gateway, spec gateway.WebhookSpec) gateway.Webhook {
	t.Helper()
	w, _, err := g.CreateWebhook(t.Context(), ofOne, "proj_1", spec)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// someSpec is a webhook that gets everything.
func someSpec() gateway.WebhookSpec {
	return gateway.WebhookSpec{URL: "http://127.0.0.1:9/", Events: []string{"*"}}
}

func TestCreatedWebhookIsThereAfterARestart(t *testing.T) {
	dir := t.TempDir()
	g, _ := mustOpen(t, dir, nil)
	mustApply(t, g, settings(t))
	spec := gateway.WebhookSpec{
		URL: "http://127.0.0.1:9/hook", Description: "d", Events: []string{"project.*"},
		Filters: map[string]json.RawMessage{"project.name": json.RawMessage(`"My Project"`)}, Filter: `type != ""`,
		Headers: []webhook.Header{{Name: "X-Custom", Value: "v"}, {Name: "X-Api-Key", Value: "hush"}},
		Retry:   []time.Duration{}, Timeout: time.Second, Rate: webhook.Rate{N: 5, Per: time.Second}, Concurrency: 2,
	}
	created, secret, err := g.CreateWebhook(t.Context(), ofOne, "proj_1", spec)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(secret, "whsec_") || !strings.HasPrefix(created.ID, "wh_") || created.Static || created.ProjectID != "proj_1" {
		t.Errorf("secret %q, %+v", secret, created)
	}
	want := spec
	want.Status = webhook.Active
	want.Headers = []webhook.Header{{Name: "X-Custom", Value: "v"}, {Name: "X-Api-Key", Value: gateway.Masked}}
	if diff := gocmp.Diff(want, created.WebhookSpec); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if len(created.Secrets) != 1 || created.Secrets[0].Hint != "…"+secret[len(secret)-4:] {
		t.Errorf("secrets are shown as %v", created.Secrets)
	}

	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	g, _ = mustOpen(t, dir, nil)
	mustApply(t, g, settings(t))
	got, err := g.Webhook(t.Context(), ofOne, created.ID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(created, got); diff != "" {
		t.Errorf("after a restart (-before +after)\n%s", diff)
	}
	const event = `{"type":"project.created","project_id":"proj_1","data":{"id":"proj_1","name":"My Project"}}`
	if got := deliveries(t, g, event, strings.Replace(event, "My", "Your", 1)); got[0] != 1 || got[1] != 0 {
		t.Errorf("the events concern %v webhooks, want 1 and 0", got)
	}
}

func TestGivenSecretIsNotShown(t *testing.T) {
	g, _ := mustOpen(t, t.TempDir(), nil)
	mustApply(t, g, settings(t))
	spec := someSpec()
	spec.Secret = "a secret of the customer"
	w, secret, err := g.CreateWebhook(t.Context(), ofOne, "proj_1", spec)
	if err != nil || secret != "" || w.Secret != "" {
		t.Errorf("%q, %q, %v", secret, w.Secret, err)
	}
}

func TestAllThatIsWrongIsToldAtOnceAndNothingOfItRepeated(t *testing.T) {
	g, _ := mustOpen(t, t.TempDir(), nil)
	mustApply(t, g, settings(t))
	_, _, err := g.CreateWebhook(t.Context(), ofOne, "proj_1", gateway.WebhookSpec{
		URL: "ftp://hush", Events: []string{"no.such"}, Filter: "hush ==", Status: "hush", Secret: "hush",
		Headers: []webhook.Header{{Name: "X-Token", Value: gateway.Masked}, {Name: "Host", Value: "hush"}},
		Retry:   []time.Duration{0}, Timeout: time.Hour, Concurrency: -1, Rate: webhook.Rate{N: -1, Per: 1},
	})
	wantProblem(t, err, problem.Invalid)
	want := []string{
		"#/status", "#/headers/X-Token", "#/url", "#/events/0", "#/filter", "#/headers/Host",
		"#/secret", "#/retry/0", "#/timeout", "#/rate_limit", "#/concurrency",
	}
	if diff := gocmp.Diff(want, pointers(err)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if strings.Contains(err.Error(), "hush") {
		t.Errorf("the error repeats a value: %v", err)
	}
}

func TestWhoMayDoWhat(t *testing.T) {
	g, _ := mustOpen(t, t.TempDir(), nil)
	mustApply(t, g, settings(t, webhook.Subscription{ID: "wh_all"}, webhook.Subscription{ID: "wh_two", ProjectID: "proj_2"}))
	w := mustCreate(t, g, someSpec())
	of2 := &gateway.Key{Name: "two", Scopes: gateway.Scopes, Projects: []string{"proj_2"}}
	all := func(by *gateway.Key, id string) map[string]error {
		_, read := g.Webhook(t.Context(), by, id)
		_, change := g.ChangeWebhook(t.Context(), by, id, "", func(*gateway.WebhookSpec) {})
		_, _, rotate := g.RotateSecret(t.Context(), by, id, gateway.Rotation{})
		return map[string]error{"read": read, "change": change, "rotate": rotate, "delete": g.DeleteWebhook(t.Context(), by, id, "")}
	}
	for _, tc := range []struct {
		by   *gateway.Key
		id   string
		want problem.Code
	}{
		{of2, w.ID, problem.NotFound},
		{of2, "wh_all", problem.NotFound},
		{ofOne, "wh_two", problem.NotFound},
		{anyone, "wh_none", problem.NotFound},
		{ingests, w.ID, problem.ScopeMissing},
	} {
		for what, err := range all(tc.by, tc.id) {
			t.Run(fmt.Sprintf("%s %s %s", tc.by.Name, what, tc.id), func(t *testing.T) { wantProblem(t, err, tc.want) })
		}
	}
	_, err := g.ChangeWebhook(t.Context(), reader, w.ID, "", func(*gateway.WebhookSpec) {})
	wantProblem(t, err, problem.ScopeMissing)
	_, _, err = g.CreateWebhook(t.Context(), of2, "proj_1", someSpec())
	wantProblem(t, err, problem.NotFound)
	_, _, err = g.CreateWebhook(t.Context(), anyone, webhook.AllProjects, someSpec())
	wantProblem(t, err, problem.NotFound)
	_, _, err = g.Webhooks(t.Context(), of2, "proj_1", gateway.Page{Limit: 1})
	wantProblem(t, err, problem.NotFound)

	for _, tc := range []struct {
		by      *gateway.Key
		project string
		want    []string
	}{
		{ofOne, "proj_1", []string{w.ID}},
		{anyone, "proj_1", []string{w.ID, "wh_all"}},
		{anyone, "proj_2", []string{"wh_all", "wh_two"}},
		{of2, "proj_2", []string{"wh_two"}},
	} {
		var got []string
		for page := (gateway.Page{Limit: 1}); ; { // one by one
			list, next, err := g.Webhooks(t.Context(), tc.by, tc.project, page)
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range list {
				got = append(got, w.ID)
			}
			if page.Cursor = next; next == "" {
				break
			}
		}
		if diff := gocmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s sees of %s (-want +got)\n%s", tc.by.Name, tc.project, diff)
		}
	}
}

func TestPagesAreJudged(t *testing.T) {
	g, _ := mustOpen(t, t.TempDir(), nil)
	mustApply(t, g, settings(t))
	for _, p := range []gateway.Page{{Limit: 0}, {Limit: -1}, {Limit: 201}, {Limit: 1, Cursor: "~"}, {Limit: 1, Cursor: "ZXZ0XzE"}} {
		_, _, err := g.Webhooks(t.Context(), ofOne, "proj_1", p)
		wantProblem(t, err, problem.Invalid)
		_, _, err = g.Projects(t.Context(), ofOne, p)
		wantProblem(t, err, problem.Invalid)
	}
}

func TestProjectsAreListedByID(t *testing.T) {
	g, _ := mustOpen(t, t.TempDir(), nil)
	mustApply(t, g, settings(t,
		webhook.Subscription{ID: "wh_all"}, webhook.Subscription{ID: "wh_b", ProjectID: "proj_2"}, webhook.Subscription{ID: "wh_c", ProjectID: "proj_2"}))
	mustCreate(t, g, someSpec())
	for _, c := range []struct {
		by   *gateway.Key
		want []gateway.ProjectSummary
	}{
		{anyone, []gateway.ProjectSummary{{ID: webhook.AllProjects, Webhooks: 1}, {ID: "proj_1", Webhooks: 1}, {ID: "proj_2", Webhooks: 2}}},
		{keyOf("proj_9", "proj_2", "proj_9"), []gateway.ProjectSummary{{ID: "proj_2", Webhooks: 2}, {ID: "proj_9"}}},
	} {
		var got []gateway.ProjectSummary
		for page := (gateway.Page{Limit: 1}); ; { // one by one
			list, next, err := g.Projects(t.Context(), c.by, page)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, list...)
			if page.Cursor = next; next == "" {
				break
			}
		}
		if diff := gocmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s sees (-want +got)\n%s", c.by.Name, diff)
		}
	}
}

func TestMaxWebhooksHoldsForWhoCreatesAtTheSameTime(t *testing.T) {
	g, _ := mustOpen(t, t.TempDir(), nil)
	s := settings(t, webhook.Subscription{ID: "wh_static", ProjectID: "proj_1"})
	s.MaxWebhooks = 6
	mustApply(t, g, s)
	var made, refused atomic.Int32
	var creating sync.WaitGroup
	for range 20 {
		creating.Go(func() {
			switch _, _, err := g.CreateWebhook(context.Background(), ofOne, "proj_1", someSpec()); {
			case err == nil:
				made.Add(1)
			case problem.From(err).Code == problem.Conflict:
				refused.Add(1)
			}
		})
	}
	creating.Wait()
	if made.Load() != 5 || refused.Load() != 15 {
		t.Errorf("%d were created and %d refused, want 5 and 15", made.Load(), refused.Load())
	}
	list, _, _ := g.Webhooks(t.Context(), ofOne, "proj_1", gateway.Page{Limit: 200})
	if err := g.DeleteWebhook(t.Context(), ofOne, list[0].ID, ""); err != nil {
		t.Fatal(err)
	}
	mustCreate(t, g, someSpec())
}

func TestOfTwoWhoChangeTheSameVersionOneLoses(t *testing.T) {
	g, _ := mustOpen(t, t.TempDir(), nil)
	mustApply(t, g, settings(t))
	w := mustCreate(t, g, someSpec())
	var won, lost atomic.Int32
	var changing sync.WaitGroup
	for i := range 8 {
		changing.Go(func() {
			_, err := g.ChangeWebhook(context.Background(), ofOne, w.ID, w.Version, func(s *gateway.WebhookSpec) {
				s.Description = fmt.Sprint(i)
			})
			switch {
			case err == nil:
				won.Add(1)
			case problem.From(err).Code == problem.PreconditionFailed:
				lost.Add(1)
			}
		})
	}
	changing.Wait()
	if won.Load() != 1 || lost.Load() != 7 {
		t.Errorf("%d won and %d lost, want 1 and 7", won.Load(), lost.Load())
	}
	wantProblem(t, g.DeleteWebhook(t.Context(), ofOne, w.ID, w.Version), problem.PreconditionFailed)
}

func TestChangesWithoutAVersionHappenOneAfterTheOther(t *testing.T) {
	g, _ := mustOpen(t, t.TempDir(), nil)
	mustApply(t, g, settings(t))
	w := mustCreate(t, g, someSpec())
	var changing sync.WaitGroup
	for range 20 {
		changing.Go(func() {
			if _, err := g.ChangeWebhook(context.Background(), ofOne, w.ID, "", func(s *gateway.WebhookSpec) { s.Description += "x" }); err != nil {
				t.Error(err)
			}
		})
	}
	changing.Wait()
	got, err := g.Webhook(t.Context(), ofOne, w.ID)
	if err != nil || len(got.Description) != 20 {
		t.Errorf("%d of 20 changes are there, %v", len(got.Description), err)
	}
}

func TestMaskedHeaderKeepsItsValue(t *testing.T) {
	got := newReceiver(t, 200)
	g, _ := mustOpen(t, t.TempDir(), nil)
	mustApply(t, g, settings(t))
	spec := someSpec()
	spec.URL = got.URL
	spec.Headers = []webhook.Header{{Name: "X-Api-Key", Value: "hush"}}
	w := mustCreate(t, g, spec)
	_, err := g.ChangeWebhook(t.Context(), ofOne, w.ID, "", func(s *gateway.WebhookSpec) {
		s.Headers = append(s.Headers, webhook.Header{Name: "X-Other", Value: gateway.Masked})
		s.Headers[0].Name = "x-api-KEY"
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := deliveries(t, g, someEvent)[0]; n != 1 {
		t.Fatalf("%d deliveries, want 1", n)
	}
	h := got.first(t)
	if h.Get("X-Api-Key") != "hush" || h.Get("X-Other") != gateway.Masked {
		t.Errorf("the receiver got %q and %q", h.Get("X-Api-Key"), h.Get("X-Other"))
	}
	_, err = g.ChangeWebhook(t.Context(), ofOne, w.ID, "", func(s *gateway.WebhookSpec) { s.Headers[0].Name = "X-Api-Token" })
	wantProblem(t, err, problem.Invalid)
	if diff := gocmp.Diff([]string{"#/headers/X-Api-Token"}, pointers(err)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// first waits for a request and returns its headers.
func (r *receiver) first(t *testing.T) interface{ Get(string) string } {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		r.mu.Lock()
		got := r.got
		r.mu.Unlock()
		if len(got) > 0 {
			return got[0].header
		}
	}
	t.Fatal("nothing came")
	return nil
}

func TestDisablingForAMomentSkipsWhatIsPending(t *testing.T) {
	g, _ := mustOpen(t, t.TempDir(), nil)
	to := newReceiver(t, http.StatusInternalServerError)
	s := settings(t, webhook.Subscription{ID: "wh_a", URL: to.URL, ProjectID: "proj_1"})
	s.Retry = queue.Schedule{time.Hour}
	mustApply(t, g, s)
	const n = 40
	for range n {
		deliveries(t, g, someEvent)
	}
	eventually(t, "all have failed once", func() bool { return len(to.requests()) == n })
	setStatus(t, g, "wh_a", webhook.Disabled)
	setStatus(t, g, "wh_a", webhook.Active)
	if got := len(mustList(t, g, "wh_a", webhook.Skipped)); got != n {
		t.Errorf("%d are skipped, want %d", got, n)
	}
	deliveries(t, g, someEvent)
	eventually(t, "a new event is sent", func() bool { return len(to.requests()) == n+1 })
}

func TestAWebhookStaysDisabledWhileSomethingIsPending(t *testing.T) {
	g, _ := mustOpen(t, t.TempDir(), nil)
	to := newReceiver(t, http.StatusInternalServerError)
	hold := make(chan struct{})
	to.hold.Store(&hold)
	mustApply(t, g, settings(t, webhook.Subscription{ID: "wh_a", URL: to.URL, ProjectID: "proj_1", Timeout: 30 * time.Second}))
	deliveries(t, g, someEvent)
	eventually(t, "an attempt is under way", func() bool { return len(to.requests()) == 1 })
	setStatus(t, g, "wh_a", webhook.Disabled)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := g.ChangeWebhook(ctx, everything, "wh_a", "", func(s *gateway.WebhookSpec) { s.Status = webhook.Paused })
	wantProblem(t, err, problem.Unavailable)
	if w, err := g.Webhook(t.Context(), everything, "wh_a"); err != nil || w.Status != webhook.Disabled {
		t.Errorf("%s, %v", w.Status, err)
	}
	close(hold)
	setStatus(t, g, "wh_a", webhook.Paused)
	if got := len(mustList(t, g, "wh_a", webhook.Skipped)); got != 1 {
		t.Errorf("%d are skipped, want the one whose attempt failed", got)
	}
}

func TestStatus(t *testing.T) {
	g, _ := mustOpen(t, t.TempDir(), nil)
	mustApply(t, g, settings(t))
	w := mustCreate(t, g, someSpec())
	set := func(s webhook.State) gateway.Webhook {
		t.Helper()
		w, err := g.ChangeWebhook(t.Context(), ofOne, w.ID, "", func(spec *gateway.WebhookSpec) { spec.Status = s })
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	if got := set(webhook.Disabled); got.Status != webhook.Disabled || got.DisabledReason != webhook.ReasonManual {
		t.Errorf("%s %q", got.Status, got.DisabledReason)
	}
	if n := deliveries(t, g, someEvent)[0]; n != 0 {
		t.Errorf("%d deliveries while disabled", n)
	}
	if got := set(webhook.Paused); got.Status != webhook.Paused || got.DisabledReason != "" {
		t.Errorf("%s %q", got.Status, got.DisabledReason)
	}
	if n := deliveries(t, g, someEvent)[0]; n != 1 {
		t.Errorf("%d deliveries while paused, want one that is held", n)
	}
	before := set("") // null
	if before.Status != webhook.Active {
		t.Errorf("%s", before.Status)
	}
	if same := set(webhook.Active); same.Version != before.Version {
		t.Error("a change of nothing made another version")
	}
}

func TestOfAStaticWebhookOnlyTheStatusChanges(t *testing.T) {
	g, _ := mustOpen(t, t.TempDir(), nil)
	gen := mustApply(t, g, settings(t, webhook.Subscription{
		ID: "wh_a", ProjectID: "proj_1", Headers: []webhook.Header{{Name: "Authorization", Value: "hush"}},
		Secrets: []webhook.Secret{{Value: "a-secret-of-the-configuration"}},
	}))
	before, err := g.Webhook(t.Context(), ofOne, "wh_a")
	if err != nil || !before.Static || before.Headers[0].Value != gateway.Masked {
		t.Fatalf("%+v, %v", before, err)
	}
	_, err = g.ChangeWebhook(t.Context(), ofOne, "wh_a", "", func(s *gateway.WebhookSpec) { s.Description = "mine" })
	wantProblem(t, err, problem.Conflict)
	_, err = g.ChangeWebhook(t.Context(), ofOne, "wh_a", "", func(s *gateway.WebhookSpec) { s.Secret = "mine" })
	wantProblem(t, err, problem.Conflict)
	wantProblem(t, g.DeleteWebhook(t.Context(), ofOne, "wh_a", ""), problem.Conflict)
	_, _, err = g.RotateSecret(t.Context(), ofOne, "wh_a", gateway.Rotation{})
	wantProblem(t, err, problem.Conflict)
	_, err = g.ChangeWebhook(t.Context(), ofOne, "wh_a", "", func(s *gateway.WebhookSpec) { s.Status = "gone" })
	wantProblem(t, err, problem.Invalid)
	after, err := g.ChangeWebhook(t.Context(), ofOne, "wh_a", before.Version, func(s *gateway.WebhookSpec) { s.Status = webhook.Paused })
	if err != nil || after.Status != webhook.Paused || after.Version == before.Version {
		t.Errorf("%+v, %v", after, err)
	}
	_, err = g.ChangeWebhook(t.Context(), ofOne, "wh_a", before.Version, func(s *gateway.WebhookSpec) { s.Status = webhook.Active })
	wantProblem(t, err, problem.PreconditionFailed)

	mustApply(t, g, settings(t, webhook.Subscription{ID: "wh_a", ProjectID: "proj_1", Description: "other"}))
	g.Withdraw(gen)
	reloaded, err := g.Webhook(t.Context(), ofOne, "wh_a")
	if err != nil || reloaded.Status != webhook.Paused || reloaded.Description != "other" || reloaded.Version == after.Version {
		t.Errorf("after a reload: %+v, %v", reloaded, err)
	}
}

func TestVersionOfAStaticWebhookCountsWhatIsNotShown(t *testing.T) {
	dir := t.TempDir()
	sub := func(token, secret string) webhook.Subscription {
		return webhook.Subscription{
			ID: "wh_a", ProjectID: "proj_1", URL: "http://127.0.0.1:9/",
			Headers: []webhook.Header{{Name: "Authorization", Value: token}},
			Secrets: []webhook.Secret{{Value: secret, Role: webhook.SecretPrimary}},
		}
	}
	g, _ := mustOpen(t, dir, nil)
	version := func(token, secret string) string {
		t.Helper()
		mustApply(t, g, settings(t, sub(token, secret)))
		w, err := g.Webhook(t.Context(), ofOne, "wh_a")
		if err != nil {
			t.Fatal(err)
		}
		return w.Version
	}
	before := version("one", "a-secret-of-the-file-1xyz")
	if got := version("two", "a-secret-of-the-file-1xyz"); got == before {
		t.Error("another value of a secret header changes nothing")
	}
	if got := version("one", "a-secret-of-the-file-2xyz"); got == before {
		t.Error("another secret with the same hint changes nothing")
	}
	if got := version("one", "a-secret-of-the-file-1xyz"); got != before {
		t.Errorf("what it was has version %s now, not %s", got, before)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	g, _ = mustOpen(t, dir, nil)
	if got := version("one", "a-secret-of-the-file-1xyz"); got != before {
		t.Errorf("after a restart %s, want %s", got, before)
	}
}

func TestChangeHoldsInEveryGeneration(t *testing.T) {
	g, _ := mustOpen(t, t.TempDir(), nil)
	mustApply(t, g, settings(t))
	w := mustCreate(t, g, someSpec())
	newer := mustApply(t, g, settings(t))
	_, err := g.ChangeWebhook(t.Context(), ofOne, w.ID, "", func(s *gateway.WebhookSpec) { s.Events = []string{"usage.*"} })
	if err != nil {
		t.Fatal(err)
	}
	if n := deliveries(t, g, someEvent)[0]; n != 0 {
		t.Errorf("%d deliveries in the newest generation", n)
	}
	g.Withdraw(newer)
	if n := deliveries(t, g, someEvent)[0]; n != 0 {
		t.Errorf("%d deliveries in the older generation", n)
	}
	if err := g.DeleteWebhook(t.Context(), ofOne, w.ID, ""); err != nil {
		t.Fatal(err)
	}
	_, err = g.Webhook(t.Context(), ofOne, w.ID)
	wantProblem(t, err, problem.NotFound)
}

func TestWhatADeletedWebhookHasPendingIsCancelled(t *testing.T) {
	g, store := mustOpen(t, t.TempDir(), nil)
	mustApply(t, g, settings(t))
	spec := someSpec()
	spec.Status = webhook.Paused
	w := mustCreate(t, g, spec)
	deliveries(t, g, someEvent)
	if err := g.DeleteWebhook(t.Context(), ofOne, w.ID, w.Version); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		page, err := store.Deliveries(t.Context(), queue.DeliveryQuery{WebhookID: w.ID, Limit: 1})
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Deliveries) == 1 && page.Deliveries[0].Status == webhook.Cancelled {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%+v, want a cancelled delivery", page.Deliveries)
		}
	}
}

func TestFilterThatNoLongerCompiles(t *testing.T) {
	dir := t.TempDir()
	g, _ := mustOpen(t, dir, nil)
	wide := settings(t)
	var err error
	if wide.Catalogue, err = webhook.Builtin().Extend("order.paid"); err != nil {
		t.Fatal(err)
	}
	mustApply(t, g, wide)
	spec := someSpec()
	spec.Filter = `order?.total != 1`
	w := mustCreate(t, g, spec)
	if w.Problem != "" {
		t.Errorf("problem %q", w.Problem)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}

	g, store := mustOpen(t, dir, nil)
	mustApply(t, g, settings(t))
	if w, err = g.Webhook(t.Context(), ofOne, w.ID); err != nil || w.Problem == "" {
		t.Errorf("problem %q, %v", w.Problem, err)
	}
	if n := deliveries(t, g, someEvent)[0]; n != 0 {
		t.Errorf("%d deliveries", n)
	}
	page, err := store.Deliveries(t.Context(), queue.DeliveryQuery{WebhookID: w.ID, Limit: 10})
	if err != nil || len(page.Deliveries) != 1 || page.Deliveries[0].Status != webhook.FilterError {
		t.Errorf("%+v, %v, want a filter error", page.Deliveries, err)
	}
	if _, err := g.ChangeWebhook(t.Context(), ofOne, w.ID, "", func(s *gateway.WebhookSpec) { s.Status = webhook.Paused }); err != nil {
		t.Errorf("it cannot be paused: %v", err)
	}
	w, err = g.ChangeWebhook(t.Context(), ofOne, w.ID, "", func(s *gateway.WebhookSpec) { s.Filter, s.Status = "", webhook.Active })
	if err != nil || w.Problem != "" {
		t.Errorf("problem %q, %v", w.Problem, err)
	}
	if n := deliveries(t, g, someEvent)[0]; n != 1 {
		t.Errorf("%d deliveries after the repair", n)
	}
}

// What a former receiver says about itself must not disable the webhook that has
// a new one.
func TestGoneOfAFormerURLDisablesNothing(t *testing.T) {
	g, _ := mustOpen(t, t.TempDir(), nil)
	mustApply(t, g, settings(t))
	former := newReceiver(t, http.StatusGone)
	hold := make(chan struct{})
	former.hold.Store(&hold)
	spec := someSpec()
	spec.URL = former.URL
	w := mustCreate(t, g, spec)
	results, err := g.Publish(t.Context(), parse(t, someEvent))
	if err != nil || results[0].Err != nil {
		t.Fatal(err, results)
	}
	eventually(t, "an attempt to begin", func() bool { return len(former.requests()) == 1 })
	_, err = g.ChangeWebhook(t.Context(), ofOne, w.ID, "", func(s *gateway.WebhookSpec) { s.URL = newReceiver(t, http.StatusOK).URL })
	if err != nil {
		t.Fatal(err)
	}
	close(hold)
	var d webhook.Delivery
	eventually(t, "the attempt to end", func() bool {
		list, _, err := g.Deliveries(t.Context(), everything, w.ID, gateway.DeliveryFilter{}, wholePage)
		if err != nil || len(list) != 1 {
			t.Fatal(list, err)
		}
		d = list[0]
		return d.Attempts > 0
	})
	if got, err := g.Webhook(t.Context(), ofOne, w.ID); err != nil || got.Status != webhook.Active || d.Status != webhook.Pending {
		t.Errorf("the webhook is %s (%v), the delivery %s; want active and pending", got.Status, err, d.Status)
	}
}

// TestGoneOfAURLThatIsBeingChangedDisablesNothing has the answer come while the new
// URL is on its way to the store.
func TestGoneOfAURLThatIsBeingChangedDisablesNothing(t *testing.T) {
	s := &site{t: t, dir: t.TempDir()}
	s.open(settings(t))
	former, present := newReceiver(t, http.StatusGone), newReceiver(t, http.StatusOK)
	spec := someSpec()
	spec.URL, spec.Retry = former.URL, []time.Duration{time.Second}
	w := mustCreate(t, s.g, spec)
	hold := make(chan struct{})
	former.hold.Store(&hold)
	deliveries(t, s.g, someEvent)
	eventually(t, "an attempt to begin", func() bool { return len(former.requests()) == 1 })

	saved := s.changeURL(w.ID, present.URL)
	close(hold)
	time.Sleep(100 * time.Millisecond) // the answer is judged
	saved()
	eventually(t, "an attempt at the new URL", func() bool { return len(present.requests()) == 1 })
	if got, err := s.g.Webhook(t.Context(), ofOne, w.ID); err != nil || got.Status != webhook.Active {
		t.Errorf("the webhook is %s (%v), want active", got.Status, err)
	}
	s.close()
}

// changeURL begins to change the URL of a webhook and returns what ends it; until
// then the store writes no record.
func (s *site) changeURL(webhookID, url string) (end func()) {
	write, began := make(chan struct{}), make(chan struct{})
	s.store.Inject(func(method string) (f queuetest.Fault) {
		if method == "PutRecord" {
			f.Before = func() { <-write }
		}
		return f
	})
	var changing sync.WaitGroup
	changing.Go(func() {
		_, err := s.g.ChangeWebhook(context.Background(), everything, webhookID, "", func(spec *gateway.WebhookSpec) {
			spec.URL = url
			close(began)
		})
		if err != nil {
			s.t.Error(err)
		}
	})
	<-began
	return func() {
		close(write)
		changing.Wait()
	}
}

func TestAWebhookWhoseRecordIsDamagedCanBeDeleted(t *testing.T) {
	dir := t.TempDir()
	store, err := badgerstore.Open(badgerstore.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	_, err = store.PutRecord(t.Context(), queue.Record{Kind: queue.WebhookRecord, ID: "wh_torn", ProjectID: "proj_1", Data: []byte("{")})
	if err := errors.Join(err, store.Close()); err != nil {
		t.Fatal(err)
	}
	g, open := mustOpen(t, dir, nil)
	mustApply(t, g, settings(t))
	wantProblem(t, g.DeleteWebhook(t.Context(), ofOne, "wh_torn", ""), problem.NotFound)
	if err := g.DeleteWebhook(t.Context(), everything, "wh_torn", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := open.Record(t.Context(), queue.WebhookRecord, "wh_torn"); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("the record: %v", err)
	}
	wantProblem(t, g.DeleteWebhook(t.Context(), everything, "wh_torn", ""), problem.NotFound)
}
