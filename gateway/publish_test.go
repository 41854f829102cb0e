package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/tengineai/webhook-gateway/egress"
	"github.com/tengineai/webhook-gateway/filter"
	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/problem"
	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/queue/badgerstore"
	"github.com/tengineai/webhook-gateway/queue/queuetest"
	"github.com/tengineai/webhook-gateway/webhook"
)

// mustOpen returns a gateway over a real store. The clock may be nil.
func mustOpen(t *testing.T, dir string, clock func() time.Time) (*gateway.Gateway, queue.Store) {
	t.Helper()
	store, err := badgerstore.Open(badgerstore.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	g, err := gateway.Open(t.Context(), gateway.Options{
		Store: store, Owner: "test", Logger: zap.NewNop(), Clock: clock,
		KeyFile: filepath.Join(dir, "secrets_key"),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return g, store
}

// settings returns settings with the given webhooks, which deliver to a
// receiver that answers 200.
func settings(t testing.TB, subs ...webhook.Subscription) *gateway.Settings {
	t.Helper()
	receiver := sync.OnceValue(func() string { // not in a bubble, whose time it would stop
		s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		t.Cleanup(func() {
			s.CloseClientConnections()
			s.Close()
		})
		return s.URL
	})
	out, err := egress.New(egress.Config{
		AllowHTTP: true,
		Allow:     []egress.Allow{{Prefix: netip.MustParsePrefix("127.0.0.0/8")}},
		OwnPorts:  func() ([]uint16, error) { return nil, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range subs {
		subs[i].Static = true
		if subs[i].URL == "" {
			subs[i].URL = receiver()
		}
		if subs[i].ProjectID == "" {
			subs[i].ProjectID = webhook.AllProjects
		}
		if subs[i].Events == nil {
			subs[i].Events = []string{"*"}
		}
	}
	return &gateway.Settings{
		APIVersion: "2021-09-01", Catalogue: webhook.Builtin(), Retry: queue.DefaultSchedule(),
		Timeout: 5 * time.Second, Workers: 8, Concurrency: 4,
		MaxPending: 1000, MaxPendingPerWebhook: 1000, MaxWebhooks: 100,
		Retention: 24 * time.Hour, DrainTimeout: 5 * time.Second, UserAgent: "test",
		Egress: out, Engines: map[string]filter.Engine{gateway.DefaultEngine: filter.Expr}, Static: subs,
	}
}

func mustApply(t *testing.T, g *gateway.Gateway, s *gateway.Settings) *gateway.Generation {
	t.Helper()
	gen, err := g.Apply(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return gen
}

// parse reads one event per text.
func parse(t *testing.T, texts ...string) []webhook.Input {
	t.Helper()
	inputs := make([]webhook.Input, len(texts))
	for i, text := range texts {
		var err error
		if inputs[i], err = (&webhook.Intake{}).One([]byte(text)); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	return inputs
}

func deliveries(t *testing.T, g *gateway.Gateway, texts ...string) []int {
	t.Helper()
	results, err := g.Publish(t.Context(), parse(t, texts...))
	if err != nil {
		t.Fatal(err)
	}
	counts := make([]int, len(results))
	for i, r := range results {
		counts[i] = r.Deliveries
	}
	return counts
}

func onlyMyProject() webhook.Subscription {
	return webhook.Subscription{ID: "wh_a", Filters: map[string]json.RawMessage{"project.name": json.RawMessage(`"My Project"`)}}
}

func TestEventsOfOneCallSeeWhatEarlierOnesSayAboutTheProject(t *testing.T) {
	g, _ := mustOpen(t, t.TempDir(), nil)
	mustApply(t, g, settings(t, onlyMyProject()))
	const key = `{"type":"api_key.created","project_id":"proj_1","data":{"id":"key_1"}}`
	got := deliveries(t, g,
		key,
		`{"id":"evt_1","type":"project.created","data":{"id":"proj_1","name":"My Project"}}`,
		key,
		`{"type":"project.deleted","data":{"id":"proj_1","name":"My Project"}}`,
		key,
	)
	if want := "[0 1 1 1 0]"; fmt.Sprint(got) != want {
		t.Errorf("deliveries %v, want %s", got, want)
	}

	// A repeat says nothing: not even to later events of its call.
	got = deliveries(t, g, `{"id":"evt_1","type":"project.created","data":{"id":"proj_1","name":"My Project"}}`, key)
	if want := "[1 0]"; fmt.Sprint(got) != want {
		t.Errorf("deliveries with a repeat %v, want %s", got, want)
	}
}

func TestRepeatsAreToldFromConflicts(t *testing.T) {
	g, _ := mustOpen(t, t.TempDir(), nil)
	mustApply(t, g, settings(t, webhook.Subscription{ID: "wh_a"}))
	results, err := g.Publish(t.Context(), parse(t,
		`{"id":"evt_1","type":"project.created","data":{"id":"proj_1"},"created_at":"2024-01-01T00:00:00Z"}`,
		`{"id":"evt_1","type":"project.created","data":{"id":"proj_1"}}`,
		`{"id":"evt_1","type":"project.updated","data":{"id":"proj_1"}}`,
		`{"id":"evt_1","type":"project.created","data":{"id":"proj_1"},"created_at":"2025-01-01T00:00:00Z"}`,
		`{"id":"evt_1","type":"project.created","data":{"id":"proj_2"}}`, // ids are unique per project
	))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []gateway.Result{gateway.Accepted, gateway.Duplicate, gateway.Rejected, gateway.Rejected, gateway.Accepted} {
		if results[i].Result != want {
			t.Errorf("event %d: %s, want %s", i, results[i].Result, want)
		}
		if want == gateway.Rejected && results[i].Err.Code != problem.IDConflict {
			t.Errorf("event %d: %v, want %s", i, results[i].Err, problem.IDConflict)
		}
	}
}

func TestFilterErrorsAreRecordedWithinABudget(t *testing.T) {
	var now atomic.Int64
	now.Store(time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC).UnixNano())
	g, store := mustOpen(t, t.TempDir(), func() time.Time { return time.Unix(0, now.Load()) })
	mustApply(t, g, settings(t, webhook.Subscription{ID: "wh_a", Filter: "data.n > 3"}))
	for range 11 {
		texts := make([]string, 100)
		for i := range texts {
			texts[i] = `{"type":"project.created","data":{"id":"proj_1"}}`
		}
		deliveries(t, g, texts...)
	}
	if got := store.Stats().Deliveries[webhook.FilterError]; got != 1000 {
		t.Errorf("%d filter errors were recorded in the first second, want 1000", got)
	}
	now.Add(int64(time.Second))
	deliveries(t, g, `{"type":"project.created","data":{"id":"proj_1"}}`, `{"type":"project.created","data":{"id":"proj_1"}}`)
	if got := store.Stats().Deliveries[webhook.FilterError]; got != 1001 {
		t.Errorf("%d filter errors were recorded a second later, want 1001", got)
	}
}

func TestAFullBacklogSkipsOrRefuses(t *testing.T) {
	g, store := mustOpen(t, t.TempDir(), nil)
	hold := make(chan struct{})
	hanging := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-hold:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(hanging.Close)
	t.Cleanup(func() { close(hold) })
	s := settings(t, webhook.Subscription{ID: "wh_hanging", URL: hanging.URL, ProjectID: "proj_1"})
	s.MaxPendingPerWebhook, s.MaxPending = 2, 3
	mustApply(t, g, s)

	const event = `{"type":"project.created","data":{"id":"proj_1"}}`
	for i, want := range []int{1, 1, 0} {
		if got := deliveries(t, g, event)[0]; got != want {
			t.Errorf("event %d: %d deliveries, want %d", i, got, want)
		}
	}
	if got := store.Stats().Deliveries[webhook.Skipped]; got != 1 {
		t.Errorf("%d skipped deliveries, want 1", got)
	}

	s2 := *s
	s2.MaxPending = 2
	mustApply(t, g, &s2)
	_, err := g.Publish(t.Context(), parse(t, event))
	if pe, ok := errors.AsType[*problem.Error](err); !ok || pe.Code != problem.BacklogFull || pe.RetryAfter <= 0 {
		t.Errorf("over max_pending: %v, want %s with a Retry-After", err, problem.BacklogFull)
	}
}

func TestABatchFillsABacklogNoFurtherThanItsLimit(t *testing.T) {
	g, store := mustOpen(t, t.TempDir(), nil)
	s := settings(t, webhook.Subscription{ID: "wh_a"}, webhook.Subscription{ID: "wh_b", Events: []string{"project.updated"}})
	s.MaxPendingPerWebhook = 3
	mustApply(t, g, s)
	for _, id := range []string{"wh_a", "wh_b"} {
		paused := func(spec *gateway.WebhookSpec) { spec.Status = webhook.Paused }
		if _, err := g.ChangeWebhook(t.Context(), &gateway.Key{Scopes: gateway.Scopes}, id, "", paused); err != nil {
			t.Fatal(err)
		}
	}
	event := func(id string) string {
		return `{"id":"` + id + `","type":"project.created","data":{"id":"proj_1"}}`
	}
	deliveries(t, g, event("evt_1"))
	got := deliveries(t, g, // neither repeats nor conflicts take up room
		event("evt_1"), event("evt_1"), event("evt_2"), event("evt_2"), `{"id":"evt_2","type":"project.updated","data":{"id":"proj_1"}}`,
		event("evt_3"), event("evt_4"), `{"type":"project.updated","data":{"id":"proj_1"}}`,
	)
	if want := "[1 1 1 1 0 1 0 1]"; fmt.Sprint(got) != want {
		t.Errorf("deliveries %v, want %s", got, want)
	}
	if got := store.Stats().Deliveries; got[webhook.Pending] != 4 || got[webhook.Skipped] != 2 {
		t.Errorf("%d pending and %d skipped, want 3 of wh_a and 1 of wh_b, and 2 skipped", got[webhook.Pending], got[webhook.Skipped])
	}
}

func TestTheNewestLiveGenerationIsInForce(t *testing.T) {
	g, _ := mustOpen(t, t.TempDir(), nil)
	one := mustApply(t, g, settings(t, webhook.Subscription{ID: "wh_a"}))
	two := mustApply(t, g, settings(t, webhook.Subscription{ID: "wh_a"}, webhook.Subscription{ID: "wh_b"}))
	const event = `{"type":"project.created","data":{"id":"proj_1"}}`
	if got := deliveries(t, g, event)[0]; got != 2 {
		t.Errorf("with two webhooks: %d deliveries", got)
	}
	g.Withdraw(two)
	g.Withdraw(two)
	if got := deliveries(t, g, event)[0]; got != 1 {
		t.Errorf("after the withdrawal: %d deliveries, want 1", got)
	}
	mustApply(t, g, settings(t))
	g.Withdraw(one)
	if got := deliveries(t, g, event)[0]; got != 0 {
		t.Errorf("without webhooks: %d deliveries, want 0", got)
	}
}

func TestAClosedGatewayRefusesEvents(t *testing.T) {
	g, _ := mustOpen(t, t.TempDir(), nil)
	if _, err := g.Publish(t.Context(), nil); problem.From(err).Code != problem.Unavailable {
		t.Errorf("before Apply: %v", err)
	}
	mustApply(t, g, settings(t))
	g.StopIntake()
	_, err := g.Publish(t.Context(), parse(t, `{"type":"project.created","data":{"id":"proj_1"}}`))
	if pe := problem.From(err); pe.Code != problem.Unavailable || pe.RetryAfter <= 0 {
		t.Errorf("while stopping: %v, want %s with a Retry-After", err, problem.Unavailable)
	}
	if err := g.Close(); err != nil {
		t.Error(err)
	}
	if _, err := g.Apply(context.Background(), settings(t)); !errors.Is(err, queue.ErrClosed) {
		t.Errorf("Apply after Close: %v, want %v", err, queue.ErrClosed)
	}
}

func TestARepeatInsideABatchSaysNothingAboutTheProject(t *testing.T) {
	g, _ := mustOpen(t, t.TempDir(), nil)
	mustApply(t, g, settings(t, onlyMyProject()))
	got := deliveries(t, g,
		`{"id":"evt_1","type":"project.created","data":{"id":"proj_1","name":"Another"}}`,
		`{"id":"evt_1","type":"project.created","data":{"id":"proj_1","name":"My Project"}}`, // a conflict
		`{"type":"api_key.created","project_id":"proj_1","data":{"id":"key_1"}}`,
	)
	if want := "[0 0 0]"; fmt.Sprint(got) != want {
		t.Errorf("deliveries %v, want %s", got, want)
	}
}

func TestNoTokenIsNoKey(t *testing.T) {
	g, _ := mustOpen(t, t.TempDir(), nil)
	s := settings(t)
	s.Keys = []gateway.Key{{Name: "unset", Hash: gateway.HashToken(""), Scopes: gateway.Scopes}}
	mustApply(t, g, s)
	if key, err := g.Authenticate(""); problem.From(err).Code != problem.Unauthorized {
		t.Errorf("got key %v, %v; want %s", key, err, problem.Unauthorized)
	}
}

func TestABatchTakesAnEventThatIsDamagedInTheStore(t *testing.T) {
	s := &site{t: t, dir: t.TempDir()}
	s.open(settings(t))
	s.store.Inject(func(method string) (f queuetest.Fault) {
		if method == "Event" {
			f.Err = queue.ErrCorrupt
		}
		return f
	})
	const event = `{"id":"%s","type":"project.created","data":{"id":"proj_1","name":"My Project"}}`
	results, err := s.g.Publish(t.Context(), parse(t, fmt.Sprintf(event, "evt_1"), fmt.Sprintf(event, "evt_2")))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if r.Result != gateway.Accepted {
			t.Errorf("%s is %s (%v), want accepted", r.ID, r.Result, r.Err)
		}
	}
	s.close()
}
