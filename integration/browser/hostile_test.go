package browser_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/tengineai/webhook-gateway/integration/browser"
)

// markup are texts that do something where they are taken for markup.
var markup = []string{
	`<script>window.pwned = 1</script>`,
	`<img src=x onerror="window.pwned = 2">`,
	`"><svg onload="window.pwned = 3">`,
	`</pre></textarea><iframe srcdoc="<script>parent.pwned = 4</script>">`,
}

// TestWhatOthersWroteIsText shows events, answers and settings that are made to
// break out of the page.
func TestWhatOthersWroteIsText(t *testing.T) {
	t.Parallel()
	w := start(t)
	all := strings.Join(markup, " ")
	quoted := strings.NewReplacer(`"`, `\"`).Replace(all)
	w.receiver.Handle(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("X-Evil", all)
		rw.Header().Set("Content-Type", "text/html")
		rw.WriteHeader(http.StatusInternalServerError)
		_, _ = rw.Write([]byte(all + " \x1b[31mred\x1b[0m \xff\xfe \u202egnirts\u202c"))
	}))
	id := w.createWebhook(t, `"description":"`+quoted+`","headers":{"X-Shown":"`+quoted+`"},"filters":{"data.name":["`+quoted+`","x"]},"filter":"data.name != '</pre><img src=x onerror=\"window.pwned = 5\">'"`)
	w.publish(t, "project.created", `{"id":"acme","name":"`+quoted+`","ansi":"\u001b[31m","hidden":"a\u202eb\u0000"}`)
	w.awaitAttempts(t, 1)
	var log struct {
		Data []struct {
			ID      string
			EventID string `json:"event_id"`
		}
	}
	w.call(t, acmeKey, http.MethodGet, "/api/v1/webhooks/"+id+"/deliveries", "", &log)
	delivery, event := log.Data[0].ID, log.Data[0].EventID

	p := browser.Open(t, browser.Visitor{})
	p.Expect("status of 404")
	w.signIn(p, acmeKey)
	for path, shown := range map[string][]string{
		"/list?project=acme":                    markup,
		"/webhook/" + id:                        append(markup, `window.pwned = 5`),
		"/webhook/" + id + "/edit":              nil, // in fields
		"/webhook/" + id + "/log":               markup,
		"/webhook/" + id + "/test":              markup,
		"/webhook/" + id + "/replay":            markup,
		"/webhook/" + id + "/secret":            markup,
		"/webhook/" + id + "/delete":            markup,
		"/deliveries/" + delivery:               append(markup, `\x1B[31mred\x1B[0m`, `\xFF\xFE`, `\u{202E}gnirts`, "x-shown: "+markup[0]),
		"/event?project=acme&id=" + event:       {`<script>window.pwned = 1</script>`, `\u001b[31m`, `\u{202E}`},
		"/events?project=acme":                  nil,
		"/list?project=" + "%3Cscript%3E":       nil,
		"/webhook/%3Cscript%3Ealert(1)%3C%2F":   nil,
		"/login?next=javascript:window.pwned=6": nil,
	} {
		p.Goto(w.URL("/webhooks" + path))
		text := p.Text(browser.CSS("body"))
		for _, want := range shown {
			if !strings.Contains(strings.ToLower(text), strings.ToLower(want)) {
				t.Errorf("%s does not show %q, but\n%s", path, want, text)
			}
		}
		if n := p.Count(browser.CSS("script:not([src]), img, iframe, [onload], [onerror]")); n > 0 {
			t.Errorf("%s has %d elements that were only text", path, n)
		}
		if got := p.Evaluate("window.pwned ?? null"); got != nil {
			t.Errorf("%s ran script %v", path, got)
		}
		if strings.ContainsAny(text, "\x1b\x00\u202e\ufffd") {
			t.Errorf("%s shows control characters as they are", path)
		}
	}

	// What a form held comes back into its fields, and into its complaints.
	p.Expect("status of 422")
	p.Goto(w.URL("/webhooks/webhook/" + id + "/edit"))
	p.Fill(browser.Field("Header name").Number(1), all)
	p.Fill(browser.Field("Expression optional"), all)
	p.Fill(browser.Field("Path").Number(1), all)
	p.Click(browser.Button("Save changes"))
	p.See(browser.Text("This could not be saved."))
	if got := p.Value(browser.Field("Expression optional")); got != all {
		t.Errorf("the expression came back as %q", got)
	}
	if got := p.Evaluate("window.pwned ?? null"); got != nil {
		t.Errorf("the form ran script %v", got)
	}
}
