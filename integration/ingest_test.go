package integration_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tengineai/webhook-gateway/integration/gatewaytest"
)

// batchAnswer is the answer to a batch (contract section 2).
type batchAnswer struct {
	Results []struct {
		ID, Status string
		Deliveries int
		Error      struct {
			Code   string
			Status int
			Errors []struct{ Code, Pointer string }
		}
	}
}

// summary has one line for each event: id, status, deliveries, codes, pointers.
func (a batchAnswer) summary() []string {
	var lines []string
	for _, r := range a.Results {
		line := fmt.Sprint(r.ID, " ", r.Status, " ", r.Deliveries)
		if r.Error.Code != "" {
			line += fmt.Sprint(" ", r.Error.Status, " ", r.Error.Code)
		}
		for _, e := range r.Error.Errors {
			line += " " + e.Code + " " + e.Pointer
		}
		lines = append(lines, line)
	}
	return lines
}

func batchOf(t *testing.T, answer gatewaytest.Answer) batchAnswer {
	t.Helper()
	var batch batchAnswer
	if err := json.Unmarshal([]byte(answer.Body), &batch); err != nil {
		t.Fatalf("%d %s: %v", answer.Status, answer.Body, err)
	}
	return batch
}

// sendAs posts a body of a media type, with further headers as name, value.
func sendAs(t *testing.T, g *gatewaytest.Gateway, mediaType, body string, header ...string) gatewaytest.Answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.URL("/events"), strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+gatewaytest.IngestKey)
	req.Header.Set("Content-Type", mediaType)
	for pair := range slices.Chunk(header, 2) {
		req.Header.Set(pair[0], pair[1])
	}
	answer, err := g.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// bodiesOf awaits n requests and returns their bodies by event id.
func bodiesOf(t *testing.T, r *gatewaytest.Receiver, n int) map[string]string {
	t.Helper()
	bodies := make(map[string]string)
	for _, req := range r.Await(t, n) {
		bodies[req.Header.Get("Webhook-Id")] = string(req.Body)
	}
	return bodies
}

const createdAt = "2024-01-01T00:00:00Z"

// TestFormsOfABatchGiveTheSameDeliveries publishes two events as an array, as
// lines and as CloudEvents.
func TestFormsOfABatchGiveTheSameDeliveries(t *testing.T) {
	t.Parallel()
	receiver := gatewaytest.NewReceiver(t)
	gateway := startWith(t, oneWebhook(receiver.URL(), "*"))

	event := func(id string) string {
		return fmt.Sprintf(`{"id":%q,"type":"api_key.created","project_id":"p","created_at":%q,"data":{"name":"ä", "2":1.50, "1":"<"}}`, id, createdAt)
	}
	cloud := func(id string) string {
		return fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"/keys","type":"api_key.created","projectid":"p","time":%q,"data":{"name":"ä", "2":1.50, "1":"<"}}`, id, createdAt)
	}
	for _, tt := range []struct{ mediaType, body, ids string }{
		{"application/json", "[" + event("array-1") + "," + event("array-2") + "]", "array-1 array-2"},
		{"application/x-ndjson", event("line-1") + "\n" + event("line-2") + "\n", "line-1 line-2"},
		{"application/x-ndjson; charset=utf-8", event("line-3") + "\r\n" + event("line-4"), "line-3 line-4"},
		{"application/cloudevents-batch+json", "[" + cloud("cloud-1") + "," + cloud("cloud-2") + "]", "cloud-1 cloud-2"},
	} {
		answer := sendAs(t, gateway, tt.mediaType, tt.body)
		ids := strings.Fields(tt.ids)
		want := []string{ids[0] + " accepted 1", ids[1] + " accepted 1"}
		if diff := cmp.Diff(want, batchOf(t, answer).summary()); answer.Status != http.StatusAccepted || diff != "" {
			t.Errorf("%s: %d (-want +got)\n%s", tt.mediaType, answer.Status, diff)
		}
	}
	one := sendAs(t, gateway, "application/cloudevents+json; charset=UTF-8", cloud("cloud-3"))
	if want := `{"id":"cloud-3","deliveries":1,"duplicate":false}`; one.Status != http.StatusAccepted || strings.TrimSpace(one.Body) != want {
		t.Errorf("structured CloudEvent: %d %s, want 202 %s", one.Status, one.Body, want)
	}
	binary := sendAs(t, gateway, "application/json", `{"name":"ä", "2":1.50, "1":"<"}`, "ce-specversion", "1.0", "ce-id", "cloud-4",
		"ce-source", "/keys", "ce-type", "api_key.created", "ce-projectid", "p", "ce-time", createdAt)
	if want := `{"id":"cloud-4","deliveries":1,"duplicate":false}`; binary.Status != http.StatusAccepted || strings.TrimSpace(binary.Body) != want {
		t.Errorf("binary CloudEvent: %d %s, want 202 %s", binary.Status, binary.Body, want)
	}

	const events = 10
	bodies := bodiesOf(t, receiver, events)
	if len(bodies) != events {
		t.Errorf("%d events arrived, want %d", len(bodies), events)
	}
	for id, body := range bodies {
		want := fmt.Sprintf(`{"id":%q,"type":"api_key.created","data":{"1":"<","2":1.5,"name":"ä"},"created_at":%q,"api_version":"2021-09-01"}`, id, createdAt)
		if body != want {
			t.Errorf("body\n got %s\nwant %s", body, want)
		}
	}
}

// TestBatchTellsEventsApart has everything in one batch that can become of an
// event.
func TestBatchTellsEventsApart(t *testing.T) {
	t.Parallel()
	receiver := gatewaytest.NewReceiver(t)
	gateway := startWith(t, oneWebhook(receiver.URL(), "project.created"))
	if first := gateway.Post(t, "/events", `{"id":"before","type":"project.created","data":{"id":"p"}}`); first.Status != http.StatusAccepted {
		t.Fatalf("%d %s", first.Status, first.Body)
	}

	answer := gateway.Post(t, "/events", `[
		{"id":"new","type":"project.created","data":{"id":"p"}},
		{"id":"new","type":"project.created","data":{"id":"p"}},
		{"id":"new","type":"project.created","data":{"id":"p","other":1}},
		{"id":"new","type":"project.created","data":{"id":"another-project"}},
		{"id":"before","type":"project.created","data":{"id":"p"}},
		{"id":"before","type":"project.created","data":{"id":"p","other":1}},
		{"id":"unwanted","type":"project.deleted","data":{"id":"p"}},
		{"id":"unknown","type":"project.exploded","data":{"id":"p"}},
		{"id":"number","type":"project.created","data":{"id":"p","n":[1,9007199254740993]}},
		{"id":"homeless","type":"api_key.created","data":{}},
		{"id":"large","type":"project.created","data":{"id":"p","x":"`+strings.Repeat("x", 256<<10)+`"}},
		17
	]`)
	want := []string{
		"new accepted 1",
		"new duplicate 1",
		"new rejected 0 409 id_conflict",
		"new accepted 1", // ids are unique per project
		"before duplicate 1",
		"before rejected 0 409 id_conflict",
		"unwanted accepted 0",
		"unknown rejected 0 422 invalid unknown_type #/type",
		"number rejected 0 422 invalid number_not_exact #/data/n/1",
		"homeless rejected 0 422 invalid missing #/project_id",
		"large rejected 0 413 too_large",
		" rejected 0 422 invalid wrong_type #",
	}
	if diff := cmp.Diff(want, batchOf(t, answer).summary()); answer.Status != http.StatusMultiStatus || diff != "" {
		t.Errorf("status %d, want 207; (-want +got)\n%s", answer.Status, diff)
	}

	refused := gateway.Post(t, "/events", `[{"type":"project.exploded","data":{"id":"p"}}]`)
	if len(batchOf(t, refused).Results) != 1 || refused.Status != http.StatusUnprocessableEntity {
		t.Errorf("a batch of refused events: %d %s, want 422", refused.Status, refused.Body)
	}
	wantProblem(t, gateway.Post(t, "/events", `[{"id":"never","type":"project.created","data":{"id":"p"}},{]`), http.StatusBadRequest, "bad_request", "")
	lines := sendAs(t, gateway, "application/x-ndjson", `{"id":"never","type":"project.created","data":{"id":"p"}}`+"\n{\n")
	wantProblem(t, lines, http.StatusBadRequest, "bad_request", "")
	if !strings.Contains(lines.Body, `"line":2`) {
		t.Errorf("the line is not named in %s", lines.Body)
	}

	receiver.Await(t, 3)
	awaitNothingPending(t, gateway)
	if n := len(receiver.Requests()); n != 3 {
		t.Errorf("%d requests arrived, want 3", n)
	}
}

func TestThousandEventsInOneBatch(t *testing.T) {
	t.Parallel()
	receiver := gatewaytest.NewReceiver(t)
	gateway := startWith(t, oneWebhook(receiver.URL(), "*"))
	batch := func(n int) string {
		events := make([]string, n)
		for i := range events {
			events[i] = fmt.Sprintf(`{"id":"e%d","type":"project.created","data":{"id":"p%d","text":%q}}`, i, i, strings.Repeat("x", 3000))
		}
		return "[" + strings.Join(events, ",") + "]"
	}
	wantProblem(t, gateway.Post(t, "/events", batch(1001)), http.StatusRequestEntityTooLarge, "too_large", "")

	answer := gateway.Post(t, "/events", batch(1000))
	if answer.Status != http.StatusAccepted {
		t.Fatalf("%d %.500s", answer.Status, answer.Body)
	}
	for i, line := range batchOf(t, answer).summary() {
		if want := fmt.Sprintf("e%d accepted 1", i); line != want {
			t.Errorf("result %d: %s, want %s", i, line, want)
		}
	}
	bodies := bodiesOf(t, receiver, 1000)
	for i := range 1000 {
		if body := bodies[fmt.Sprintf("e%d", i)]; !strings.Contains(body, fmt.Sprintf(`"id":"p%d"`, i)) {
			t.Errorf("event e%d arrived as %.100q", i, body)
		}
	}
	if got := sendAs(t, gateway, "application/x-ndjson", strings.Repeat("x", 4<<20+1)); got.Status != http.StatusRequestEntityTooLarge {
		t.Errorf("over 4 MiB: %d %s, want 413", got.Status, got.Body)
	}
}

// TestKeysAreForTheirProjects has a key for two projects and one without the
// scope.
func TestKeysAreForTheirProjects(t *testing.T) {
	t.Parallel()
	const limited, manager = "a-key-for-two-projects-only", "a-key-that-may-not-publish"
	receiver := gatewaytest.NewReceiver(t)
	gateway := startWith(t, oneWebhook(receiver.URL(), "*")+`
		api_key limited `+limited+` {
			scope ingest
			projects proj_1 proj_2
		}
		api_key manager `+manager+`
	`)
	as := func(key, body string) gatewaytest.Answer {
		return sendAs(t, gateway, "application/json", body, "Authorization", "Bearer "+key)
	}
	const mine, foreign = `{"id":"a","type":"project.created","data":{"id":"proj_2"}}`, `{"id":"b","type":"project.created","data":{"id":"proj_3"}}`
	wantProblem(t, as(limited, foreign), http.StatusForbidden, "project_not_allowed", "")
	wantProblem(t, as(manager, mine), http.StatusForbidden, "scope_missing", "")
	wantProblem(t, as(limited, `{"type":"api_key.created","project_id":"proj_3","data":{}}`), http.StatusForbidden, "project_not_allowed", "")
	if got := as(limited, mine); got.Status != http.StatusAccepted {
		t.Errorf("own project: %d %s", got.Status, got.Body)
	}
	answer := as(limited, "["+mine+","+foreign+"]")
	want := []string{"a duplicate 1", "b rejected 0 403 project_not_allowed"}
	if diff := cmp.Diff(want, batchOf(t, answer).summary()); answer.Status != http.StatusMultiStatus || diff != "" {
		t.Errorf("batch: %d (-want +got)\n%s", answer.Status, diff)
	}
	if bodies := bodiesOf(t, receiver, 1); len(bodies) != 1 || bodies["a"] == "" {
		t.Errorf("arrived: %v", bodies)
	}
}

// TestEventsReachTheWebhooksOfTheirProject has webhooks for one project, for
// another and for all, and a default project.
func TestEventsReachTheWebhooksOfTheirProject(t *testing.T) {
	t.Parallel()
	receiver := gatewaytest.NewReceiver(t)
	webhook := func(name, project string) string {
		return "webhook " + name + " {\nproject " + project + "\nurl " + receiver.URL() + name + "\nevents *\nsecret " + testSecret + "\n}\n"
	}
	gateway := startWith(t, "default_project main\nevent_types + order.paid\n"+egress()+webhook("main", "main")+webhook("other", "other")+webhook("all", "*"))
	for body, deliveries := range map[string]int{
		`{"id":"to-main","type":"api_key.created","data":{}}`:                          2, // default_project
		`{"id":"to-other","type":"order.paid","project_id":"other","data":{}}`:         2, // event_types
		`{"id":"to-third","type":"project.created","data":{"id":"third"}}`:             1,
		`{"id":"to-other-2","type":"order.paid","project":{"id":"other"},"data":{}}`:   2,
		`{"id":"to-case","type":"usage.limit_exceeded","project_id":"Main","data":{}}`: 1,
	} {
		if got := gateway.Post(t, "/events", body); !strings.Contains(got.Body, fmt.Sprintf(`"deliveries":%d`, deliveries)) {
			t.Errorf("%s: %d %s, want %d deliveries", body, got.Status, got.Body, deliveries)
		}
	}
	wantProblem(t, gateway.Post(t, "/events", `{"type":"order.lost","project_id":"p","data":{}}`), http.StatusUnprocessableEntity, "invalid", "unknown_type")

	got := make(map[string][]string)
	for _, req := range receiver.Await(t, 8) {
		got[req.Path] = append(got[req.Path], req.Header.Get("Webhook-Id"))
	}
	for _, ids := range got {
		slices.Sort(ids)
	}
	want := map[string][]string{
		"/main":  {"to-main"},
		"/other": {"to-other", "to-other-2"},
		"/all":   {"to-case", "to-main", "to-other", "to-other-2", "to-third"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("arrived (-want +got)\n%s", diff)
	}
}

func TestUnsafeJSONCanBePreserved(t *testing.T) {
	t.Parallel()
	receiver := gatewaytest.NewReceiver(t)
	gateway := startWith(t, "unsafe_json preserve\n"+oneWebhook(receiver.URL(), "*"))
	answer := gateway.Post(t, "/events", `{"id":"e","type":"project.created","created_at":"`+createdAt+`","data":{"id":"p", "n":[9007199254740993, 1e999, 1.50], "s":"\ud800", "1":0}}`)
	if answer.Status != http.StatusAccepted {
		t.Fatalf("%d %s", answer.Status, answer.Body)
	}
	want := `{"id":"e","type":"project.created","data":{"1":0,"id":"p","n":[9007199254740993,1e999,1.5],"s":"\ud800"},"created_at":"` + createdAt + `","api_version":"2021-09-01"}`
	if got := bodiesOf(t, receiver, 1)["e"]; got != want {
		t.Errorf("body\n got %s\nwant %s", got, want)
	}
	wantProblem(t, gateway.Post(t, "/events", `{"type":"project.created","data":{"id":"p","a":1,"a":2}}`), http.StatusUnprocessableEntity, "invalid", "duplicate_member")
}

// hanging is a receiver that answers nothing on path /w0 until released.
func hanging(t *testing.T) (receiver *gatewaytest.Receiver, release func()) {
	receiver = gatewaytest.NewReceiver(t)
	free := make(chan struct{})
	receiver.Handle(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/w0" {
			select {
			case <-free:
			case <-r.Context().Done():
			}
		}
	}))
	return receiver, func() { close(free) }
}

// TestFullBacklogRefusesEvents reaches max_pending with a receiver that hangs.
func TestFullBacklogRefusesEvents(t *testing.T) {
	t.Parallel()
	receiver, release := hanging(t)
	gateway := startWith(t, "timeout 30s\nconcurrency 2\nmax_pending 5\ndrain_timeout 100ms\n"+egress()+manyWebhooks(1, receiver.URL()))
	for range 5 {
		publishTo(t, gateway, 1)
	}
	full := gateway.Post(t, "/events", `{"type":"project.created","data":{"id":"p"}}`)
	wantProblem(t, full, http.StatusTooManyRequests, "backlog_full", "")
	if full.Header.Get("Retry-After") == "" {
		t.Error("429 without Retry-After")
	}
	wantProblem(t, gateway.Post(t, "/events", `[{"type":"project.created","data":{"id":"p"}}]`), http.StatusTooManyRequests, "backlog_full", "")

	release()
	receiver.Await(t, 5)
	awaitNothingPending(t, gateway)
	publishTo(t, gateway, 1)
	receiver.Await(t, 6)
}

// TestFullBacklogOfAWebhookSkipsItsDeliveries reaches max_pending_per_webhook of
// one webhook beside a healthy one.
func TestFullBacklogOfAWebhookSkipsItsDeliveries(t *testing.T) {
	t.Parallel()
	receiver, release := hanging(t)
	gateway := startWith(t, "timeout 30s\nconcurrency 2\nmax_pending_per_webhook 3\ndrain_timeout 100ms\n"+egress()+manyWebhooks(2, receiver.URL()))
	for healthy := range 3 {
		publishTo(t, gateway, 2)
		awaitPending(t, gateway, healthy+1) // so that the healthy one never has a backlog
	}
	for range 4 {
		publishTo(t, gateway, 1)
		awaitPending(t, gateway, 3)
	}
	if got := status(t, gateway).Deliveries["skipped"]; got != 4 {
		t.Errorf("%d deliveries were skipped, want 4", got)
	}

	release()
	awaitNothingPending(t, gateway)
	publishTo(t, gateway, 2)
	awaitNothingPending(t, gateway)
	got := make(map[string]int)
	for _, req := range receiver.Requests() {
		got[req.Path]++
	}
	if want := map[string]int{"/w0": 4, "/w1": 8}; !maps.Equal(got, want) {
		t.Errorf("arrived: %v, want %v", got, want)
	}
}

// awaitPending waits until exactly n deliveries are pending.
func awaitPending(t *testing.T, g *gatewaytest.Gateway, n int) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		pending := status(t, g).Deliveries["pending"]
		if pending == n {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d deliveries are pending, want %d", pending, n)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// TestFanOutReachesEveryWebhook publishes few events that many webhooks want.
func TestFanOutReachesEveryWebhook(t *testing.T) {
	t.Parallel()
	const webhooks, events = 200, 3
	receiver := gatewaytest.NewReceiver(t)
	gateway := startWith(t, egress()+manyWebhooks(webhooks, receiver.URL()))
	for range events {
		publishTo(t, gateway, webhooks)
	}
	got := make(map[string]map[string]bool) // delivery ids by path
	for _, req := range receiver.Await(t, webhooks*events) {
		if got[req.Path] == nil {
			got[req.Path] = make(map[string]bool)
		}
		got[req.Path][req.Header.Get("X-Tengine-Delivery")] = true
	}
	for i := range webhooks {
		if n := len(got[fmt.Sprintf("/w%d", i)]); n != events {
			t.Errorf("webhook w%d got %d deliveries, want %d", i, n, events)
		}
	}
	awaitNothingPending(t, gateway)
	if n := len(receiver.Requests()); n != webhooks*events {
		t.Errorf("%d requests arrived, want %d", n, webhooks*events)
	}
}
