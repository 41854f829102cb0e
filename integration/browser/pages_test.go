package browser_test

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tengineai/webhook-gateway/integration/browser"
)

// TestEachPage judges every page: its headers, its width, whether everybody can
// use it, in light and dark. Screenshots are left in dist/screenshots.
func TestEachPage(t *testing.T) {
	t.Parallel()
	w := start(t)
	seen := w.furnish(t)
	session := func(t *testing.T, key string) []browser.Cookie {
		p := browser.Open(t, browser.Visitor{})
		w.signIn(p, key)
		return p.Cookies()
	}
	operator, reader := session(t, operatorKey), session(t, readerKey)

	for _, page := range []struct {
		name, path string
		cookies    []browser.Cookie
		do         func(*browser.Page) // before it is judged
		status     int                 // 0: 200
	}{
		{name: "sign-in", path: "/login"},
		{name: "sign-in-refused", path: "/login", do: func(p *browser.Page) {
			p.Expect("status of 401")
			p.Fill(browser.Field("API key"), "a-key-that-nobody-knows-at-all")
			p.Press("Enter")
			p.See(browser.Target{Role: "alert"})
		}},
		{name: "link", path: "/open", status: http.StatusNotFound},
		{name: "overview", path: "/overview", cookies: operator},
		{name: "projects", path: "/projects", cookies: operator},
		{name: "list", path: "/list?project=acme", cookies: operator},
		{name: "list-read-only", path: "/list?project=acme", cookies: reader},
		{name: "list-empty", path: "/list?project=nothing", cookies: operator},
		{name: "add", path: "/new?project=acme", cookies: operator},
		{name: "add-refused", path: "/new?project=acme", cookies: operator, do: func(p *browser.Page) {
			p.Expect("status of 422")
			p.Fill(browser.Field("URL"), "ftp://files.example.com/")
			p.Fill(browser.Field("Header name").Number(1), "Content-Type")
			p.Fill(browser.Field("Header value").Number(1), "text/plain")
			p.Fill(browser.Field("Expression optional"), "nonsense ==")
			p.Press("Tab")
			p.See(browser.Text("Line 1, column"))
			p.Click(browser.Button("Add webhook"))
			p.See(browser.Text("This could not be saved."))
		}},
		{name: "webhook-added", path: "/new?project=fresh", cookies: operator, do: func(p *browser.Page) {
			p.Fill(browser.Field("URL"), "https://your-app.com/webhook")
			p.Check(browser.Box("All events"))
			p.Click(browser.Button("Add webhook"))
			p.See(browser.Field("Signing secret"))
			p.Evaluate(`document.querySelector("#secret-value").textContent = "whsec_c2VjcmV0IG9mIGEgc2NyZWVuc2hvdCwgbm90IHVzZWQ="`)
		}},
		{name: "webhook", path: "/webhook/" + seen.webhook, cookies: operator},
		{name: "edit", path: "/webhook/" + seen.webhook + "/edit", cookies: operator},
		{name: "log", path: "/webhook/" + seen.webhook + "/log", cookies: operator, do: func(p *browser.Page) { p.See(browser.Text("live")) }},
		{name: "log-no-match", path: "/webhook/" + seen.webhook + "/log?status=corrupt", cookies: operator},
		{name: "log-empty", path: "/webhook/" + seen.quiet + "/log", cookies: operator},
		{name: "test", path: "/webhook/" + seen.webhook + "/test", cookies: operator, do: func(p *browser.Page) {
			p.Click(browser.Button("Send test event"))
			p.See(browser.Heading("What came back"))
		}},
		{name: "rotate", path: "/webhook/" + seen.webhook + "/secret", cookies: operator},
		{name: "replay", path: "/webhook/" + seen.webhook + "/replay", cookies: operator, do: func(p *browser.Page) {
			p.Check(browser.Box("delivered"))
			p.Click(browser.Button("Count deliveries"))
			p.See(browser.Text("would be sent again"))
		}},
		{name: "replaying", path: "/webhook/" + seen.quiet + "/replay", cookies: operator, do: func(p *browser.Page) {
			p.Goto(w.URL("/webhooks/replays/" + seen.replay))
			p.See(browser.Link("Watch the log"))
		}},
		{name: "delete", path: "/webhook/" + seen.webhook + "/delete", cookies: operator},
		{name: "delivery-failed", path: "/deliveries/" + seen.failed, cookies: operator},
		{name: "delivery-delivered", path: "/deliveries/" + seen.delivered, cookies: operator},
		{name: "events", path: "/events?project=acme", cookies: operator},
		{name: "events-empty", path: "/events?project=nothing", cookies: operator},
		{name: "event", path: "/event?project=acme&id=evt_filtered", cookies: operator},
		{name: "not-found", path: "/nothing", cookies: operator, status: http.StatusNotFound},
	} {
		t.Run(page.name, func(t *testing.T) {
			t.Parallel()
			p := browser.Open(t, browser.Visitor{})
			if page.cookies != nil {
				p.SetCookies(page.cookies...)
			}
			if page.status == 0 {
				page.status = http.StatusOK
			} else {
				p.Expect("Failed to load resource")
			}
			got := p.Goto(w.URL("/webhooks" + page.path))
			if got.Status != page.status {
				t.Errorf("status %d, want %d", got.Status, page.status)
			}
			for name, want := range map[string]string{
				"content-security-policy": "default-src 'self'; frame-ancestors 'none'",
				"x-content-type-options":  "nosniff",
				"referrer-policy":         "no-referrer",
				"cache-control":           "no-store",
			} {
				if got := got.Header[name]; got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
			if page.do != nil {
				page.do(p)
			}
			judge(p, page.name)
		})
	}
}

// inDark are the pages of which there are screenshots in dark colours too.
var inDark = []string{"overview", "list", "add", "webhook", "log", "delivery-failed"}

// judge looks at a page narrow and wide, light and dark.
func judge(p *browser.Page, name string) {
	p.Look(browser.Narrow, false)
	p.WantFits()
	p.Screenshot(name + "-390")
	p.Look(browser.Wide, false)
	p.WantFits()
	p.WantAccessible()
	p.Screenshot(name + "-1280")
	p.Look(browser.Wide, true)
	p.WantAccessible("color-contrast")
	if slices.Contains(inDark, name) {
		p.Screenshot(name + "-1280-dark")
	}
}

// furnished are ids of things to look at.
type furnished struct {
	webhook, quiet    string // webhooks: one with much to see, one without deliveries
	delivered, failed string // deliveries
	replay            string
}

// furnish fills the project acme with webhooks, and deliveries of all kinds.
func (w world) furnish(t *testing.T) (seen furnished) {
	t.Helper()
	w.receiver.Handle(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		switch kind := r.Header.Get("X-Tengine-Event"); {
		case r.URL.Path == "/slow":
			select {
			case <-time.After(5 * time.Second):
			case <-r.Context().Done():
			}
		case r.URL.Path == "/broken", kind == "usage.limit_exceeded":
			rw.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(rw, `{"error":"down for maintenance","retry":"later"}`)
		default:
			_, _ = io.WriteString(rw, `{"received":true}`)
		}
	}))
	base := strings.TrimSuffix(w.receiver.URL(), "/")
	create := func(project, body string) string {
		var made struct{ ID string }
		w.call(t, operatorKey, http.MethodPost, "/api/v1/projects/"+project+"/webhooks", body, &made)
		return made.ID
	}
	seen.webhook = create("acme", `{"url":"`+base+`/hooks","description":"Orders","events":["project.*","api_key.created","usage.limit_exceeded"],"retry":[],
		"filters":{"project.name":"My Project"},"filter":"type != 'project.deleted' || data.id != ''","headers":{"X-Custom-Header":"custom-value","Authorization":"Bearer x"},"rate_limit":"50/s"}`)
	create("acme", `{"url":"`+base+`/broken","description":"Search index","events":["*"]}`)
	create("acme", `{"url":"`+base+`/slow?and=a-long-query-that-does-not-fit-into-a-narrow-column-of-a-telephone","events":["project.created"],"retry":["1h"]}`)
	seen.quiet = create("acme", `{"url":"https://erp.example.com/hooks","description":"ERP","events":["integration.connected"],"status":"paused"}`)
	create("globex", `{"url":"`+base+`/hooks","description":"Billing","events":["*"]}`)

	for _, event := range []string{
		`{"type":"project.created","data":{"id":"acme","name":"My Project","description":"A sample project","tags":["a","b"],"created_at":"2024-01-01T00:00:00Z"}}`,
		`{"type":"api_key.created","project_id":"acme","data":{"id":"key_123","name":"My API Key","permissions":["read","write"]}}`,
		`{"type":"project.updated","data":{"id":"acme","name":"My Project"}}`,
		`{"type":"usage.limit_exceeded","project_id":"acme","data":{"limit":"requests","value":10000}}`,
		`{"type":"project.updated","data":{"id":"acme","name":"Another Project"},"id":"evt_filtered"}`,
		`{"type":"project.created","data":{"id":"globex"}}`,
	} {
		if got := w.Post(t, "/events", event); got.Status != http.StatusAccepted {
			t.Fatalf("publish: %d %s", got.Status, got.Body)
		}
	}
	w.awaitAttempts(t, 10) // of acme
	seen.delivered = w.delivery(t, seen.webhook, "delivered")
	seen.failed = w.delivery(t, seen.webhook, "failed")
	var replay struct{ ID string }
	w.call(t, operatorKey, http.MethodPost, "/api/v1/webhooks/"+seen.webhook+"/replay", `{"since":"2024-01-01T00:00:00Z","status":["failed"]}`, &replay)
	seen.replay = replay.ID
	return seen
}

// delivery returns a delivery of a webhook with a status.
func (w world) delivery(t *testing.T, webhook, status string) (id string) {
	t.Helper()
	var log struct{ Data []struct{ ID string } }
	w.call(t, operatorKey, http.MethodGet, "/api/v1/webhooks/"+webhook+"/deliveries?status="+status, "", &log)
	if len(log.Data) == 0 {
		t.Fatalf("no delivery is %s", status)
	}
	return log.Data[0].ID
}
