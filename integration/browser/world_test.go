package browser_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tengineai/webhook-gateway/integration/browser"
	"github.com/tengineai/webhook-gateway/integration/gatewaytest"
)

// The API keys of every world.
const (
	operatorKey = "a-key-for-all-projects-of-this-test"
	acmeKey     = "a-key-for-the-project-acme-of-this-test"
	readerKey   = "a-key-to-read-the-project-acme-of-this-test"
	otherKey    = "a-key-for-another-project-of-this-test"
)

// world is a gateway with a dashboard, and a receiver.
type world struct {
	*gatewaytest.Gateway
	receiver *gatewaytest.Receiver
}

// start runs a world until the test ends. settings are lines of the directive
// webhook_dashboard.
func start(t *testing.T, settings ...string) world {
	t.Helper()
	w := world{receiver: gatewaytest.NewReceiver(t)}
	w.Gateway = gatewaytest.Start(t, gatewaytest.Config{Caddyfile: caddyfile(settings...)})
	return w
}

func caddyfile(settings ...string) string {
	return `{
	admin {$ADMIN}
	grace_period 2s
	webhook_gateway {
		store badger {
			dir {$STORE}
		}
		timeout 1s
		egress {
			allow 127.0.0.0/8
			allow_http
			advertise 198.51.100.7
		}
		api_key ingest ` + gatewaytest.IngestKey + ` {
			scope ingest
		}
		api_key operator ` + operatorKey + `
		api_key acme ` + acmeKey + ` {
			projects acme
		}
		api_key reader ` + readerKey + ` {
			projects acme
			scope read
		}
		api_key other ` + otherKey + ` {
			projects other
		}
	}
}

http://{$SITE} {
	bind 127.0.0.1
	webhook_ingest /events
	webhook_api /api/v1/*
	webhook_dashboard /webhooks* {
		` + strings.Join(settings, "\n\t\t") + `
	}
	respond 404
}
`
}

// call sends a request to the API with a key, and decodes its answer, which must
// be a success.
func (w world) call(t *testing.T, key, method, path, body string, answer any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, w.URL(path), strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "application/json")
	got, err := w.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if got.Status/100 != 2 {
		t.Fatalf("%s %s: %d %s", method, path, got.Status, got.Body)
	}
	if answer == nil {
		return
	}
	if err := json.Unmarshal([]byte(got.Body), answer); err != nil {
		t.Fatalf("%s %s: %v in %s", method, path, err, got.Body)
	}
}

// createWebhook makes a webhook of the project acme by the API, and returns its
// id. settings are further members.
func (w world) createWebhook(t *testing.T, settings string) (id string) {
	t.Helper()
	body := `{"url":"` + w.receiver.URL() + `","events":["*"]`
	if settings != "" {
		body += "," + settings
	}
	var made struct{ ID string }
	w.call(t, acmeKey, http.MethodPost, "/api/v1/projects/acme/webhooks", body+"}", &made)
	return made.ID
}

// publish publishes an event of the project acme.
func (w world) publish(t *testing.T, kind, data string) {
	t.Helper()
	if got := w.Post(t, "/events", `{"type":"`+kind+`","project_id":"acme","data":`+data+`}`); got.Status != http.StatusAccepted {
		t.Fatalf("publish: %d %s", got.Status, got.Body)
	}
}

// awaitAttempts waits until the log of the project acme has so many attempts: a
// receiver knows of one before its outcome is stored.
func (w world) awaitAttempts(t *testing.T, want int) {
	t.Helper()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		got := w.attempts(t)
		if got >= want {
			return
		}
		select {
		case <-again.C:
		case <-t.Context().Done():
			t.Fatalf("%d of %d attempts were logged", got, want)
		}
	}
}

func (w world) attempts(t *testing.T) (n int) {
	t.Helper()
	var webhooks struct{ Data []struct{ ID string } }
	w.call(t, acmeKey, http.MethodGet, "/api/v1/projects/acme/webhooks", "", &webhooks)
	for _, hook := range webhooks.Data {
		var log struct{ Data []struct{ Attempts int } }
		w.call(t, acmeKey, http.MethodGet, "/api/v1/webhooks/"+hook.ID+"/deliveries", "", &log)
		for _, delivery := range log.Data {
			n += delivery.Attempts
		}
	}
	return n
}

// signIn opens the dashboard with a key.
func (w world) signIn(p *browser.Page, key string) {
	p.Goto(w.URL("/webhooks"))
	p.Fill(browser.Field("API key"), key)
	p.Click(browser.Button("Sign in"))
	p.Gone(browser.Button("Sign in"))
}

// visit opens a path of the dashboard, signed in with a key.
func (w world) visit(t *testing.T, v browser.Visitor, key, path string) *browser.Page {
	t.Helper()
	p := browser.Open(t, v)
	w.signIn(p, key)
	p.Goto(w.URL("/webhooks" + path))
	return p
}
