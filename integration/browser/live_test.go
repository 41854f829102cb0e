package browser_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tengineai/webhook-gateway/integration/browser"
)

// TestLogIsLive watches a log over new events, a reload and the end of the
// gateway.
func TestLogIsLive(t *testing.T) {
	t.Parallel()
	w := start(t)
	id := w.createWebhook(t, "")
	p := w.visit(t, browser.Visitor{}, acmeKey, "/webhook/"+id+"/log")
	p.See(browser.Heading("No deliveries yet"))
	p.See(browser.Text("live"))

	rows := browser.CSS("#log-rows tr").With("delivered")
	w.publish(t, "project.created", `{"id":"acme"}`)
	p.See(rows.Number(1))
	w.publish(t, "project.updated", `{"id":"acme"}`)
	p.See(rows.Number(2))
	if text := p.Text(browser.CSS("#log-rows tr:first-child time")); strings.Contains(text, "UTC") {
		t.Errorf("a live row has its time as %q, want the viewer's zone", text)
	}

	// A reload ends the stream; the browser opens one more.
	before := streams(p)
	if err := w.Reload(caddyfile("frame_ancestors https://app.example.com")); err != nil {
		t.Fatal(err)
	}
	w.publish(t, "project.deleted", `{"id":"acme"}`)
	p.See(rows.Number(3))
	if n := streams(p) - before; n != 1 {
		t.Errorf("%d streams were opened after the reload, want 1", n)
	}
	p.See(browser.Text("live"))

	// An open stream does not hold up the end.
	if took := w.Stop(t); took > 4*time.Second {
		t.Errorf("the process ended after %v, want less than 4 s", took)
	}
	p.Gone(browser.Text("live"))
	p.Expect("net::ERR_") // the browser tries again, every few seconds
}

// streams returns how many streams the page has opened.
func streams(p *browser.Page) int {
	all := p.Requests()
	return len(slices.DeleteFunc(all, func(r string) bool { return !strings.HasSuffix(r, " eventsource") }))
}
