package browser_test

import (
	"strings"
	"testing"

	"github.com/tengineai/webhook-gateway/integration/browser"
)

// TestKeyboardAlone adds a webhook and sends a test event without a mouse, and
// sees at every step where it is.
func TestKeyboardAlone(t *testing.T) {
	t.Parallel()
	w := start(t)
	p := browser.Open(t, browser.Visitor{})
	p.Goto(w.URL("/webhooks"))
	if got := p.Focused(); !strings.HasPrefix(got, `textbox "API key"`) {
		t.Errorf("at first the focus is on %s", got)
	}
	p.Type(acmeKey)
	p.Press("Enter")
	p.See(browser.Heading("Webhooks"))

	p.Press("Tab")
	if got := p.Focused(); !strings.HasPrefix(got, `link "Skip to content"`) {
		t.Errorf("the first stop is %s, want a link past the navigation", got)
	}
	p.Press("Enter")
	tab(t, p, `link "Add webhook"`)
	p.Press("Enter")
	p.See(browser.Heading("Add webhook"))

	tab(t, p, `textbox "URL"`)
	p.Type(w.receiver.URL())
	tab(t, p, `checkbox "All events *"`)
	p.Press("Space")
	tab(t, p, `combobox "Kind"`)
	p.Type("Bea")
	tab(t, p, `textbox "Token, password or value"`)
	p.Type("a-token-of-the-receiver")
	tab(t, p, `button "Add webhook"`)
	p.Press("Enter")
	p.See(browser.Heading("Webhook added. This is its signing secret"))

	tab(t, p, `link "send a test event"`)
	p.Press("Enter")
	p.See(browser.Heading("Send a test event"))
	tab(t, p, `button "Send test event"`)
	p.Press("Enter")
	p.See(browser.Heading("What came back"))
	if got := w.receiver.Await(t, 1)[0].Header.Get("Authorization"); got != "Bearer a-token-of-the-receiver" {
		t.Errorf("authorization %q", got)
	}

	// A form that is refused leads to what is wrong with it.
	p.Expect("status of 422")
	p.Goto(w.URL("/webhooks/new?project=acme"))
	p.Fill(browser.Field("URL"), "ftp://files.example.com/")
	p.Press("Enter")
	p.See(browser.Text("This could not be saved."))
	p.Press("Tab")
	p.Press("Enter")
	if got := p.Focused(); !strings.HasPrefix(got, `textbox "URL"`) {
		t.Errorf("the first complaint leads to %s, want the URL", got)
	}
}

// tab presses Tab until something has the focus. Each stop on the way must be
// seen to have it.
func tab(t *testing.T, p *browser.Page, to string) {
	t.Helper()
	const most = 60
	var stops []string
	for range most {
		p.Press("Tab")
		got := p.Focused()
		if p.Evaluate(`(e => e.matches(":focus-visible") && getComputedStyle(e).outlineStyle !== "none" && parseFloat(getComputedStyle(e).outlineWidth) > 0)(document.activeElement)`) != true {
			t.Errorf("%s has the focus, but does not show it", got)
		}
		if strings.HasPrefix(got, to) {
			return
		}
		stops = append(stops, got)
	}
	t.Fatalf("Tab does not lead to %s within %d stops:\n%s", to, most, strings.Join(stops, "\n"))
}
