package browser_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/tengineai/webhook-gateway/integration/browser"
	"github.com/tengineai/webhook-gateway/integration/gatewaytest"
)

// TestFromTheFirstWebhookToADeliveredRetry follows a customer's developer from
// an empty project to a delivery that failed and was sent again.
func TestFromTheFirstWebhookToADeliveredRetry(t *testing.T) {
	t.Parallel()
	w := start(t)
	p := browser.Open(t, browser.Visitor{})
	w.signIn(p, acmeKey)

	// Add a webhook.
	p.Click(browser.Link("Add your first webhook"))
	p.Fill(browser.Field("URL"), w.receiver.URL()+"hook")
	p.Fill(browser.Field("Description optional"), "Orders")
	p.Check(browser.Box("project.created"))
	p.Fill(browser.Field("Path").Number(1), "project.name")
	p.Fill(browser.Field("Value").Number(1), "My Project")
	p.Fill(browser.Field("Header name").Number(1), "X-Custom-Header")
	p.Fill(browser.Field("Header value").Number(1), "custom-value")
	p.Select(browser.Field("Kind"), "Bearer token")
	p.Fill(browser.Field("Token, password or value"), "a-token-of-the-receiver")
	p.Click(browser.Button("Add webhook"))

	// Its secret is shown once.
	p.See(browser.Heading("Webhook added. This is its signing secret"))
	secret := p.Text(browser.Field("Signing secret"))
	if !strings.HasPrefix(secret, "whsec_") {
		t.Fatalf("the secret is %q", secret)
	}
	p.Click(browser.Button("Copy").Number(1))
	p.See(browser.Button("Copied"))
	if got := p.Evaluate("navigator.clipboard.readText()"); got != secret {
		t.Errorf("copied %q, want the secret", got)
	}

	// Send a test event.
	p.Click(browser.Link("send a test event"))
	p.Click(browser.Button("Send test event"))
	p.See(browser.Heading("What came back"))
	p.See(browser.Heading("Attempt 1: answered 200 OK"))
	request := w.receiver.Await(t, 1)[0]
	verify(t, secret, request)
	for name, want := range map[string]string{
		"X-Tengine-Test": "true", "X-Tengine-Event": "project.created",
		"X-Custom-Header": "custom-value", "Authorization": "Bearer a-token-of-the-receiver",
	} {
		if got := request.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}

	// The receiver fails.
	w.receiver.Handle(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(rw, "down for maintenance")
	}))
	w.publish(t, "project.created", `{"id":"acme","name":"Another Project"}`) // filtered
	w.publish(t, "project.created", `{"id":"acme","name":"My Project"}`)
	w.awaitAttempts(t, 2)
	p.Goto(w.URL("/webhooks"))
	p.See(browser.Text("answered 503 Service Unavailable"))
	p.Click(browser.Link("Orders"))
	p.Click(browser.Link("Open the log"))
	p.See(browser.Heading("Log"))
	rows := browser.CSS("#log-rows tr")
	if n := p.Count(rows); n != 2 {
		t.Errorf("%d deliveries, want the test and one that matches", n)
	}
	failed := rows.With("answered 503 Service Unavailable")
	p.See(browser.Text("pending").In(failed))
	p.Click(browser.Link("project.created").In(failed))
	p.See(browser.Heading("Attempt 1: answered 503 Service Unavailable"))
	p.See(browser.Text("down for maintenance"))
	p.See(browser.Text("authorization: ********"))
	if text := p.Text(browser.CSS("body")); strings.Contains(text, "a-token-of-the-receiver") || strings.Contains(text, secret) {
		t.Error("the page shows a secret")
	}

	// Retry.
	w.receiver.Handle(nil)
	p.Click(browser.Button("Retry now"))
	p.See(browser.Text("One attempt is being made now."))
	verify(t, secret, w.receiver.Await(t, 3)[2])
	p.Click(browser.Link("Log"))
	p.See(rows.With("answered 200 OK").With("delivered").Number(2)) // live
	p.Click(browser.Link("project.created").In(rows.Number(1)))
	p.See(browser.Heading("Attempt 2: answered 200 OK"))
	p.See(browser.Heading("Attempt 1: answered 503 Service Unavailable"))
}

// verify checks both signatures of a request, by other code than ours.
func verify(t *testing.T, secret string, r gatewaytest.Request) {
	t.Helper()
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(r.Body)
	if got, want := r.Header.Get("X-Tengine-Signature"), "sha256="+hex.EncodeToString(mac.Sum(nil)); got != want {
		t.Errorf("x-tengine-signature: %q, want %q", got, want)
	}
	wh, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	if err := wh.Verify(r.Body, r.Header); err != nil {
		t.Errorf("webhook-signature: %v", err)
	}
}

// TestFilterIsTriedWhileItIsTyped tries it on the project's events.
func TestFilterIsTriedWhileItIsTyped(t *testing.T) {
	t.Parallel()
	w := start(t)
	p := w.visit(t, browser.Visitor{}, acmeKey, "/new?project=acme")
	p.Fill(browser.Field("Expression optional"), `type == "project.created"`)
	p.See(browser.Text("Matches 1 of the 11 sample events"))

	for _, name := range []string{"one", "two", "three"} {
		w.publish(t, "project.created", `{"id":"acme","name":"`+name+`"}`)
	}
	p.Fill(browser.Field("Expression optional"), `data.name startsWith "t"`)
	p.See(browser.Text("Matches 2 of the last 3"))
	p.Fill(browser.Field("Path").Number(1), "data.name")
	p.Fill(browser.Field("Value").Number(1), "two")
	p.See(browser.Text("Matches 1 of the last 3"))
	p.Fill(browser.Field("Expression optional"), `data.name ==`)
	p.See(browser.Text("Line 1, column"))
	p.Fill(browser.Field("Expression optional"), `data.n > 3`)
	p.See(browser.Text("It fails on"))

	// Rows come and go.
	n := p.Count(browser.Field("Path"))
	p.Click(browser.Button("Add condition"))
	p.Type("data.id")
	if got := p.Value(browser.Field("Path").Number(n + 1)); got != "data.id" {
		t.Errorf("the new row has the path %q", got)
	}
	p.Click(browser.Button("Remove this condition").Number(1))
	p.Gone(browser.Field("Path").Number(n + 1))
	if got := p.Count(browser.Field("Path")); got != n {
		t.Errorf("%d rows, want %d", got, n)
	}
}

// TestTimesAreInTheViewersZone reads the time of an event.
func TestTimesAreInTheViewersZone(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.publish(t, "project.created", `{"id":"acme"}`)
	p := w.visit(t, browser.Visitor{}, acmeKey, "/events?project=acme")
	shown := browser.CSS("time").Number(1)
	at, err := time.Parse(time.RFC3339, p.Attribute(shown, "datetime"))
	if err != nil {
		t.Fatal(err)
	}
	kolkata := at.In(time.FixedZone("", int((5*time.Hour + 30*time.Minute).Seconds())))
	if got, want := p.Text(shown), kolkata.Format("15:04:05"); !strings.Contains(got, want) {
		t.Errorf("shown %q, want %s in it", got, want)
	}
	if got, want := p.Attribute(shown, "title"), at.Format("2006-01-02 15:04:05 UTC"); got != want {
		t.Errorf("title %q, want %q", got, want)
	}
}
