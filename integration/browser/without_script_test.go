package browser_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/tengineai/webhook-gateway/integration/browser"
)

// TestEverythingWorksWithoutJavaScript uses every form with JavaScript off.
func TestEverythingWorksWithoutJavaScript(t *testing.T) {
	t.Parallel()
	w := start(t)
	p := browser.Open(t, browser.Visitor{NoScript: true})
	p.Expect("status of 422")
	w.signIn(p, acmeKey)

	// Add a webhook, with faults first.
	p.Click(browser.Link("Add your first webhook"))
	p.Fill(browser.Field("URL"), "ftp://files.example.com/")
	p.Fill(browser.Field("Expression optional"), "nonsense ==")
	p.Click(browser.Button("Add webhook"))
	p.See(browser.Target{Role: "alert"}.With("This could not be saved."))
	p.See(browser.Text("Line 1, column"))
	if got := p.Attribute(browser.Field("URL"), "aria-invalid"); got != "true" {
		t.Errorf("the URL has aria-invalid %q", got)
	}
	p.Fill(browser.Field("URL"), w.receiver.URL())
	p.Fill(browser.Field("Expression optional"), "")
	p.Check(browser.Box("project.*"))
	p.Fill(browser.Field("Secret optional"), "a-secret-that-was-given")
	p.Click(browser.Button("Add webhook"))
	p.See(browser.Text("Webhook added."))
	p.Click(browser.Link("send a test event"))

	// Send a test event of another type than at first.
	p.Select(browser.Field("Event type"), "project.deleted")
	p.Click(browser.Button("Load its sample"))
	p.Fill(browser.Field("Data"), `{"id":"acme","n":1}`)
	p.Click(browser.Button("Send test event"))
	p.See(browser.Heading("What came back"))
	if got := w.receiver.Await(t, 1)[0]; got.Header.Get("X-Tengine-Event") != "project.deleted" || !strings.Contains(string(got.Body), `"n":1`) {
		t.Errorf("the receiver got %q %s", got.Header.Get("X-Tengine-Event"), got.Body)
	}
	p.Fill(browser.Field("Data"), `[1]`)
	p.Click(browser.Button("Send test event"))
	p.See(browser.Target{Role: "alert"})
	p.Click(browser.Link(w.receiver.URL()))

	// Pause and resume.
	p.Click(browser.Button("Pause"))
	p.See(browser.Text("The webhook is paused."))
	w.publish(t, "project.created", `{"id":"acme"}`)
	p.Click(browser.Button("Resume"))
	p.See(browser.Text("The webhook is active."))
	w.awaitAttempts(t, 2)

	// Edit.
	p.Click(browser.Link("Edit"))
	p.Fill(browser.Field("Description optional"), "Edited")
	p.Fill(browser.Field("Path").Number(1), "data.n")
	p.Select(browser.Field("Kind of value").Number(1), "is the number")
	p.Fill(browser.Field("Value").Number(1), "7")
	p.Click(browser.Button("Save changes"))
	p.See(browser.Text("The webhook was changed."))
	p.See(browser.Heading("Edited"))

	// Filter the log; retry.
	w.receiver.Answer(http.StatusLengthRequired)
	w.publish(t, "project.created", `{"id":"acme","n":7}`)
	w.awaitAttempts(t, 3)
	p.Click(browser.Link("Open the log"))
	p.Select(browser.Field("Status"), "pending")
	p.Click(browser.Button("Filter"))
	p.See(browser.Link("Clear"))
	rows := browser.CSS("#log-rows tr")
	if n := p.Count(rows); n != 1 {
		t.Errorf("%d pending deliveries, want 1", n)
	}
	if text := p.Text(rows); !strings.Contains(text, " UTC") || !strings.Contains(text, "answered 411 Length Required") {
		t.Errorf("the row is %q", text)
	}
	p.Click(browser.Link("Clear"))
	p.Click(browser.Link("project.created").In(rows.Number(1)))
	p.Click(browser.Button("Retry now"))
	p.See(browser.Text("One attempt is being made now."))
	w.awaitAttempts(t, 4)

	// Replay: first the count, then the sending.
	p.Click(browser.Link("Edited"))
	p.Click(browser.Link("Replay"))
	p.Check(browser.Box("delivered"))
	p.Click(browser.Button("Count deliveries"))
	p.See(browser.Heading("2 deliveries would be sent again"))
	if n := len(w.receiver.Requests()); n != 4 {
		t.Errorf("counting sent something: %d requests, want 4", n)
	}
	p.Click(browser.Button("Send them again"))
	p.See(browser.Heading("Replay"))
	w.awaitAttempts(t, 6)

	// Rotate the secret.
	p.Click(browser.Link("Webhook"))
	p.Click(browser.Link("Rotate secret"))
	p.Click(browser.Button("Rotate secret"))
	secret := p.Text(browser.Field("Signing secret"))
	w.publish(t, "project.created", `{"id":"acme","n":7}`)
	verify(t, secret, w.receiver.Await(t, 7)[6])

	// Delete.
	p.Click(browser.Link("Delete"))
	p.Click(browser.Button("Delete webhook"))
	p.See(browser.Text("The webhook was deleted."))
	p.See(browser.Heading("No webhooks yet"))
	p.Click(browser.Button("Sign out"))
	p.See(browser.Heading("Sign in"))
}
