package integration_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/tengineai/webhook-gateway/integration/gatewaytest"
	"github.com/tengineai/webhook-gateway/signer"
)

const testSecret = "a-secret-for-this-test"

// oneWebhook is the settings with one webhook that gets the given events of
// every project, and further lines for it.
func oneWebhook(url, events string, lines ...string) string {
	return `
		retry 1s 2s
		egress {
			allow 127.0.0.0/8
			allow_http
		}
		webhook one {
			project *
			url ` + url + `
			events ` + events + `
			secret ` + testSecret + `
			` + strings.Join(lines, "\n") + `
		}`
}

func startWith(t *testing.T, settings string) *gatewaytest.Gateway {
	t.Helper()
	return gatewaytest.Start(t, gatewaytest.Config{Caddyfile: gatewaytest.Caddyfile(settings)})
}

// TestSeedEventArrivesByteExact publishes the event of contract section 1.
func TestSeedEventArrivesByteExact(t *testing.T) {
	t.Parallel()
	receiver := gatewaytest.NewReceiver(t)
	gateway := startWith(t, oneWebhook(receiver.URL()+"hook", "*", "header X-Custom-Header custom-value"))

	answer := gateway.Post(t, "/events", `{
		"data": {"id":"proj_123", "name":"My Project", "description":"A sample project", "created_at":"2024-01-01T00:00:00Z"},
		"type": "project.created", "id": "evt_01J9Z3Q8M5", "created_at": "2024-01-01T00:00:00Z"}`)
	if want := `{"id":"evt_01J9Z3Q8M5","deliveries":1,"duplicate":false}`; answer.Status != http.StatusAccepted || strings.TrimSpace(answer.Body) != want {
		t.Fatalf("answer %d %s, want 202 %s", answer.Status, answer.Body, want)
	}

	req := receiver.Await(t, 1)[0]
	want := `{"id":"evt_01J9Z3Q8M5","type":"project.created","data":{"id":"proj_123","name":"My Project","description":"A sample project","created_at":"2024-01-01T00:00:00Z"},"created_at":"2024-01-01T00:00:00Z","api_version":"2021-09-01"}`
	if string(req.Body) != want {
		t.Errorf("body\n got %s\nwant %s", req.Body, want)
	}
	if req.Method != http.MethodPost || req.Path != "/hook" {
		t.Errorf("got %s %s, want POST /hook", req.Method, req.Path)
	}
	if err := signer.VerifyRequest(req.Header, req.Body, testSecret); err != nil {
		t.Errorf("signature: %v", err)
	}
	for name, want := range map[string]string{
		"Content-Type": "application/json", "User-Agent": "Tengine-Webhooks/1", "X-Tengine-Event": "project.created",
		"X-Tengine-Attempt": "1", "Webhook-Id": "evt_01J9Z3Q8M5", "X-Custom-Header": "custom-value",
		"X-Tengine-Test": "", "X-Tengine-Signature-Previous": "", "Accept-Encoding": "",
	} {
		if got := req.Header.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if !strings.HasPrefix(req.Header.Get("X-Tengine-Delivery"), "dlv_") {
		t.Errorf("x-tengine-delivery: %q", req.Header.Get("X-Tengine-Delivery"))
	}

	again := gateway.Post(t, "/events", `{"type":"project.created","id":"evt_01J9Z3Q8M5","data":{"id":"proj_123","name":"My Project","description":"A sample project","created_at":"2024-01-01T00:00:00Z"}}`)
	if want := `{"id":"evt_01J9Z3Q8M5","deliveries":1,"duplicate":true}`; again.Status != http.StatusAccepted || strings.TrimSpace(again.Body) != want {
		t.Errorf("repeat: %d %s, want 202 %s", again.Status, again.Body, want)
	}
	other := gateway.Post(t, "/events", `{"type":"project.created","id":"evt_01J9Z3Q8M5","data":{"id":"proj_123"}}`)
	wantProblem(t, other, http.StatusConflict, "id_conflict", "")
}

// TestFiltersKnowTheProject publishes events that name their project in
// different ways to a webhook that wants one project by name.
func TestFiltersKnowTheProject(t *testing.T) {
	t.Parallel()
	receiver := gatewaytest.NewReceiver(t)
	gateway := startWith(t, oneWebhook(receiver.URL(), "project.* api_key.*", `filters project.name "My Project"`))

	deliveries := func(body string) int {
		t.Helper()
		answer := gateway.Post(t, "/events", body)
		var got struct{ Deliveries int }
		if err := json.Unmarshal([]byte(answer.Body), &got); err != nil || answer.Status != http.StatusAccepted {
			t.Fatalf("%s: %d %s", body, answer.Status, answer.Body)
		}
		return got.Deliveries
	}
	for _, step := range []struct {
		body string
		want int
	}{
		{`{"type":"api_key.created","project_id":"proj_1","data":{"id":"key_1"}}`, 0}, // nothing is known of proj_1
		{`{"type":"project.created","data":{"id":"proj_1","name":"My Project"}}`, 1},
		{`{"type":"api_key.created","project_id":"proj_1","data":{"id":"key_1"}}`, 1}, // remembered
		{`{"type":"project.updated","data":{"id":"proj_1","name":"Another"}}`, 0},
		{`{"type":"api_key.created","project_id":"proj_1","data":{"id":"key_1"}}`, 0},
		{`{"type":"api_key.created","project":{"id":"proj_1","name":"My Project"},"data":{"id":"key_1"}}`, 1},
		{`{"type":"project.deleted","project_id":"proj_1","data":{"id":"proj_1","name":"My Project"}}`, 1},
		{`{"type":"api_key.revoked","project_id":"proj_1","data":{"id":"key_1"}}`, 0}, // forgotten
		{`{"type":"usage.limit_exceeded","project":{"id":"proj_1","name":"My Project"},"data":{"n":1}}`, 0},
	} {
		if got := deliveries(step.body); got != step.want {
			t.Errorf("%s: %d deliveries, want %d", step.body, got, step.want)
		}
	}
	receiver.Await(t, 4)
}

// TestFailedAttemptsAreRepeatedOnSchedule has a receiver fail twice.
func TestFailedAttemptsAreRepeatedOnSchedule(t *testing.T) {
	t.Parallel()
	receiver := gatewaytest.NewReceiver(t)
	receiver.Answer(500, 503)
	gateway := startWith(t, oneWebhook(receiver.URL(), "*"))
	gateway.Post(t, "/events", `{"type":"project.created","data":{"id":"proj_1"}}`)

	reqs := receiver.Await(t, 3)
	for i, req := range reqs {
		if got, want := req.Header.Get("X-Tengine-Attempt"), fmt.Sprint(i+1); got != want {
			t.Errorf("attempt %d has number %s", i+1, got)
		}
		for _, name := range []string{"X-Tengine-Delivery", "Webhook-Id"} {
			if req.Header.Get(name) != reqs[0].Header.Get(name) {
				t.Errorf("attempt %d has another %s", i+1, name)
			}
		}
		if !bytes.Equal(req.Body, reqs[0].Body) {
			t.Errorf("attempt %d has another body", i+1)
		}
	}
	if wait := reqs[1].At.Sub(reqs[0].At); wait < time.Second {
		t.Errorf("attempt 2 came after %v, want at least 1s", wait)
	}
	if wait := reqs[2].At.Sub(reqs[1].At); wait < 2*time.Second {
		t.Errorf("attempt 3 came after %v, want at least 2s", wait)
	}
}

// TestScheduleGoesOnAfterAKill kills the gateway between two attempts.
func TestScheduleGoesOnAfterAKill(t *testing.T) {
	t.Parallel()
	receiver := gatewaytest.NewReceiver(t)
	receiver.Answer(500)
	gateway := startWith(t, oneWebhook(receiver.URL(), "*", "retry 2s"))
	gateway.Post(t, "/events", `{"type":"project.created","data":{"id":"proj_1"}}`)
	first := receiver.Await(t, 1)[0]
	for deadline := time.Now().Add(10 * time.Second); attemptsTotal(t, gateway, "http_5xx") == 0; {
		if time.Now().After(deadline) {
			t.Fatal("the failed attempt was not recorded")
		}
		time.Sleep(10 * time.Millisecond) // it is recorded shortly after the receiver has answered
	}
	gateway.Kill(t)
	gateway.Restart(t)

	second := receiver.Await(t, 2)[1]
	if got := second.Header.Get("X-Tengine-Attempt"); got != "2" {
		t.Errorf("the attempt after the kill has number %s, want 2", got)
	}
	if second.Header.Get("X-Tengine-Delivery") != first.Header.Get("X-Tengine-Delivery") {
		t.Error("the attempt after the kill is of another delivery")
	}
	if wait := second.At.Sub(first.At); wait < 2*time.Second {
		t.Errorf("attempt 2 came after %v, want at least 2s", wait)
	}
}

// TestGoneDisablesTheWebhook has a receiver answer 410.
func TestGoneDisablesTheWebhook(t *testing.T) {
	t.Parallel()
	receiver := gatewaytest.NewReceiver(t)
	receiver.Answer(410)
	gateway := startWith(t, oneWebhook(receiver.URL(), "*"))
	gateway.Post(t, "/events", `{"type":"project.created","data":{"id":"proj_1"}}`)
	receiver.Await(t, 1)
	awaitNothingPending(t, gateway)
	for _, restart := range []bool{false, true} {
		if restart {
			gateway.Stop(t)
			gateway.Restart(t)
		}
		answer := gateway.Post(t, "/events", `{"type":"project.created","data":{"id":"proj_1"}}`)
		if !strings.Contains(answer.Body, `"deliveries":0`) {
			t.Errorf("after 410: %s, want no deliveries (restarted: %v)", answer.Body, restart)
		}
	}
	if n := len(receiver.Requests()); n != 1 {
		t.Errorf("the receiver got %d requests, want 1", n)
	}
}

// TestOwnPortsCannotBeReached has a webhook whose URL is the gateway's own site,
// with loopback allowed. Nothing listens there yet when the configuration is
// checked, so it is the attempt that is refused.
func TestOwnPortsCannotBeReached(t *testing.T) {
	t.Parallel()
	gateway := startWith(t, oneWebhook("http://localhost:{$SITE_PORT}/events", "*"))
	gateway.Post(t, "/events", `{"type":"project.created","data":{"id":"proj_1"}}`)
	for deadline := time.Now().Add(10 * time.Second); attemptsTotal(t, gateway, "blocked_address") == 0; {
		if time.Now().After(deadline) {
			t.Fatal("no attempt was blocked")
		}
		time.Sleep(20 * time.Millisecond)
	}
	if got := status(t, gateway).Status; got != "ok" {
		t.Errorf("status %q, want ok", got)
	}
}

// TestAdminAPIIsRefused has webhooks whose URL is Caddy's own /stop, by name
// with loopback allowed, and by address without: the configuration is refused.
func TestAdminAPIIsRefused(t *testing.T) {
	t.Parallel()
	gateway := startWith(t, "")
	for _, settings := range []string{
		oneWebhook("http://localhost:{$ADMIN_PORT}/stop", "*"),
		strings.Replace(oneWebhook("http://127.0.0.1:2019/stop", "*"), "allow 127.0.0.0/8", "", 1),
	} {
		err := gateway.Reload(gatewaytest.Caddyfile(settings))
		if err == nil || !strings.Contains(err.Error(), "webhook one") {
			t.Errorf("reload: %v, want a refusal that names the webhook", err)
		}
	}
	if answer := gateway.Post(t, "/events", `{"type":"project.created","data":{"id":"proj_1"}}`); answer.Status != http.StatusAccepted {
		t.Errorf("after the refusal: %d, want the old configuration in force", answer.Status)
	}
}

// TestBadInputIsToldApart posts what the contract refuses (section 2).
func TestBadInputIsToldApart(t *testing.T) {
	t.Parallel()
	gateway := startWith(t, "")
	const event = `{"type":"project.created","data":{"id":"proj_1"}}`
	for _, tt := range []struct {
		name   string
		method string
		header map[string]string
		body   string
		status int
		code   string
		item   string
	}{
		{name: "GET", method: "GET", status: 405, code: "method_not_allowed"},
		{name: "no key", header: map[string]string{"Authorization": ""}, body: event, status: 401, code: "unauthorized"},
		{name: "wrong key", header: map[string]string{"Authorization": "Bearer not-a-key-of-this-gateway"}, body: event, status: 401, code: "unauthorized"},
		{name: "a delivery", header: map[string]string{"X-Tengine-Delivery": "dlv_1"}, body: event, status: 508, code: "loop"},
		{name: "form", header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, body: event, status: 415, code: "unsupported_media_type"},
		{name: "latin1", header: map[string]string{"Content-Type": "application/json; charset=latin1"}, body: event, status: 415, code: "unsupported_media_type"},
		{name: "gzip", header: map[string]string{"Content-Encoding": "gzip"}, body: event, status: 415, code: "unsupported_media_type"},
		{name: "300 KiB", body: `{"type":"project.created","data":{"id":"p","x":"` + strings.Repeat("x", 300<<10) + `"}}`, status: 413, code: "too_large"},
		{name: "no body", body: "", status: 400, code: "bad_request"},
		{name: "not JSON", body: "{", status: 400, code: "bad_request"},
		{name: "byte order mark", body: "\ufeff" + event, status: 400, code: "bad_request"},
		{name: "duplicate member", body: `{"type":"project.created","data":{"id":"p","id":"q"}}`, status: 422, code: "invalid", item: "duplicate_member"},
		{name: "depth 10000", body: `{"type":"project.created","data":` + strings.Repeat(`{"a":`, 10000) + "1" + strings.Repeat("}", 10000) + `}`, status: 422, code: "invalid", item: "too_deep"},
		{name: "integer", body: `{"type":"project.created","data":{"id":"p","n":9007199254740993}}`, status: 422, code: "invalid", item: "number_not_exact"},
		{name: "unknown type", body: `{"type":"project.exploded","data":{"id":"p"}}`, status: 422, code: "invalid", item: "unknown_type"},
		{name: "unknown member", body: `{"type":"project.created","Data":{},"data":{"id":"p"}}`, status: 422, code: "invalid", item: "unknown_member"},
		{name: "no project", body: `{"type":"api_key.created","data":{"id":"k"}}`, status: 422, code: "invalid", item: "missing"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			method := tt.method
			if method == "" {
				method = http.MethodPost
			}
			req, err := http.NewRequest(method, gateway.URL("/events"), strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+gatewaytest.IngestKey)
			req.Header.Set("Content-Type", "application/json")
			for name, value := range tt.header {
				req.Header.Set(name, value)
			}
			began := time.Now()
			answer, err := gateway.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			wantProblem(t, answer, tt.status, tt.code, tt.item)
			if took := time.Since(began); took > 30*time.Second { // on the slowest of machines
				t.Errorf("the answer took %v", took)
			}
		})
	}
	if got := status(t, gateway).Deliveries; len(got) > 0 && got["pending"]+got["delivered"] > 0 {
		t.Errorf("refused events left deliveries: %v", got)
	}
}

// TestOtherHostIsNotTakenForSuccess sends an event to a site that is open to
// every host, like the one of the contract's example, under another one.
func TestOtherHostIsNotTakenForSuccess(t *testing.T) {
	t.Parallel()
	gateway := startWith(t, "")
	site, err := url.Parse(gateway.URL("/elsewhere"))
	if err != nil {
		t.Fatal(err)
	}
	if err := gateway.Reload(strings.Replace(gatewaytest.Caddyfile(""), "http://{$SITE}", "http://:"+site.Port(), 1)); err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequest(http.MethodPost, site.String(), strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "another.example"
	answer := do(t, gateway, req)
	if answer.Status != http.StatusNotFound {
		t.Errorf("got %d, want 404", answer.Status)
	}
}

// wantProblem checks an RFC 9457 answer. An empty item is not looked for.
func wantProblem(t *testing.T, answer gatewaytest.Answer, status int, code, item string) {
	t.Helper()
	var doc struct {
		Type, Title, Detail, Code string
		Status                    int
		Errors                    []struct{ Code, Pointer string }
	}
	if err := json.Unmarshal([]byte(answer.Body), &doc); err != nil {
		t.Fatalf("%d %q is no problem document: %v", answer.Status, answer.Body, err)
	}
	if answer.Status != status || doc.Status != status || doc.Code != code {
		t.Errorf("got %d, %s; want %d %s", answer.Status, answer.Body, status, code)
	}
	if got := answer.Header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("content-type %q", got)
	}
	if doc.Title == "" || !strings.HasSuffix(doc.Type, "/problems/"+code) {
		t.Errorf("title %q, type %q", doc.Title, doc.Type)
	}
	for _, e := range doc.Errors {
		if e.Code == item {
			return
		}
	}
	if item != "" {
		t.Errorf("no error %s in %s", item, answer.Body)
	}
}

// attemptsTotal reads attempts_total of an outcome from the metrics.
func attemptsTotal(t *testing.T, g *gatewaytest.Gateway, outcome string) int {
	t.Helper()
	resp, err := http.Get(g.AdminURL("/metrics"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		if rest, ok := strings.CutPrefix(lines.Text(), fmt.Sprintf("caddy_webhook_gateway_attempts_total{outcome=%q} ", outcome)); ok {
			var n int
			if _, err := fmt.Sscan(rest, &n); err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("no attempts_total for %s in the metrics", outcome)
	return 0
}
