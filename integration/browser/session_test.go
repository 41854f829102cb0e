package browser_test

import (
	"html"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/tengineai/webhook-gateway/integration/browser"
	"github.com/tengineai/webhook-gateway/integration/gatewaytest"
)

func TestSignInTellsWhatIsWrongWithAKey(t *testing.T) {
	t.Parallel()
	w := start(t)
	p := browser.Open(t, browser.Visitor{})
	p.Expect("status of 401")
	p.Expect("status of 403")
	p.Goto(w.URL("/webhooks/events?project=acme"))
	for key, want := range map[string]string{
		"a-key-that-nobody-knows-at-all": "This API key is not known.",
		gatewaytest.IngestKey:            "it is for publishing events only",
	} {
		p.Fill(browser.Field("API key"), key)
		p.Click(browser.Button("Sign in"))
		p.See(browser.Target{Role: "alert"}.With(want))
		if got := p.Value(browser.Field("API key")); got != "" {
			t.Errorf("the page gives back the key %q", got)
		}
		if cookies := p.Cookies(); len(cookies) > 0 {
			t.Errorf("a refused key left %+v", cookies)
		}
	}

	p.Fill(browser.Field("API key"), readerKey)
	p.Click(browser.Button("Sign in"))
	p.See(browser.Heading("No events yet")) // the page that was asked for
	cookies := p.Cookies()
	if len(cookies) != 1 {
		t.Fatalf("cookies %+v, want one", cookies)
	}
	if c := cookies[0]; !c.HTTPOnly || c.Secure || c.SameSite != "Lax" || c.Path != "/webhooks" {
		t.Errorf("cookie %+v, want HttpOnly, SameSite=Lax, the mount's path, and not Secure on plain loopback", c)
	}

	// Who may only read is not offered more, and refused it.
	p.Click(browser.Link("Webhooks").Number(2))
	p.See(browser.Text("Your key may only read."))
	if got := p.Goto(w.URL("/webhooks/new?project=acme")); got.Status != http.StatusForbidden {
		t.Errorf("a reader's form to add: %d, want 403", got.Status)
	}
}

func TestSessionsEnd(t *testing.T) {
	t.Parallel()
	w := start(t)
	id := w.createWebhook(t, "")
	p := w.visit(t, browser.Visitor{}, acmeKey, "/webhook/"+id)
	session := p.Cookies()

	w.Kill(t) // sessions are in memory
	w.Restart(t)
	p.Click(browser.Link("Open the log"))
	p.See(browser.Heading("Sign in"))
	p.Fill(browser.Field("API key"), acmeKey)
	p.Click(browser.Button("Sign in"))
	p.See(browser.Heading("Log")) // where the visitor was going
	renewed := p.Cookies()

	p.Click(browser.Button("Sign out"))
	p.See(browser.Heading("Sign in"))
	for name, cookies := range map[string][]browser.Cookie{
		"of before the restart": session, "signed out": renewed,
		"made up": {{Name: session[0].Name, Value: strings.Repeat("A", len(session[0].Value)), Domain: session[0].Domain, Path: "/", SameSite: "Lax"}},
	} {
		p.ForgetCookies()
		p.SetCookies(cookies...)
		p.Goto(w.URL("/webhooks/webhook/" + id))
		if !strings.Contains(p.URL(), "/webhooks/login?next=") {
			t.Errorf("%s: the session is taken: %s", name, p.URL())
		}
	}
}

func TestOtherProjectsAreNotFound(t *testing.T) {
	t.Parallel()
	w := start(t)
	id := w.createWebhook(t, "")
	w.publish(t, "project.created", `{"id":"acme"}`)
	w.awaitAttempts(t, 1)
	var log struct{ Data []struct{ ID string } }
	w.call(t, acmeKey, http.MethodGet, "/api/v1/webhooks/"+id+"/deliveries", "", &log)

	p := browser.Open(t, browser.Visitor{})
	p.Expect("status of 404")
	w.signIn(p, otherKey)
	for _, path := range []string{
		"/list?project=acme", "/new?project=acme", "/events?project=acme", "/webhook/" + id, "/webhook/" + id + "/edit",
		"/webhook/" + id + "/log", "/webhook/" + id + "/log/stream", "/webhook/" + id + "/test", "/deliveries/" + log.Data[0].ID,
		"/overview",
	} {
		if got := p.Goto(w.URL("/webhooks" + path)); got.Status != http.StatusNotFound && (path != "/overview" || got.Status != http.StatusForbidden) {
			t.Errorf("%s: %d, want 404", path, got.Status)
		}
	}
}

// TestOtherOriginsCannotChangeAnything posts forms from a page of another site,
// which gets no cookie, and from one of the same site, which does.
func TestOtherOriginsCannotChangeAnything(t *testing.T) {
	t.Parallel()
	w := start(t)
	id := w.createWebhook(t, "")
	attack := serve(t, func(*http.Request) string {
		return `<!doctype html><html lang=en><title>attack</title>
			<form method=post action="` + w.URL("/webhooks/webhook/"+id+"/status") + `"><input name=status value=disabled><button>Disable</button></form>
			<form method=post action="` + w.URL("/webhooks/login") + `"><input name=key value="` + otherKey + `"><button>Sign in</button></form>`
	})
	p := browser.Open(t, browser.Visitor{})
	p.Expect("status of 403")
	w.signIn(p, acmeKey)
	before := p.Cookies()
	for _, origin := range []string{foreign(attack), attack} {
		for _, button := range []string{"Disable", "Sign in"} {
			p.Goto(origin)
			p.Click(browser.Button(button))
			p.See(browser.Text("403"))
			p.See(browser.Text("Open this page here and try again."))
		}
	}
	if after := p.Cookies(); len(after) != 1 || after[0].Value != before[0].Value {
		t.Errorf("the session was replaced: %+v", after)
	}
	var hook struct{ Status string }
	w.call(t, acmeKey, http.MethodGet, "/api/v1/webhooks/"+id, "", &hook)
	if hook.Status != "active" {
		t.Errorf("the webhook is %s", hook.Status)
	}
}

// link makes a link to the dashboard of the project acme.
func (w world) link(t *testing.T) string {
	t.Helper()
	var made struct{ URL string }
	w.call(t, acmeKey, http.MethodPost, "/api/v1/projects/acme/dashboard-links", "", &made)
	if u, err := url.Parse(made.URL); err != nil || "http://"+u.Host != w.URL("") {
		t.Fatalf("the link is %q", made.URL)
	}
	return made.URL
}

func TestLinkOpensOneProjectOnce(t *testing.T) {
	t.Parallel()
	w := start(t)
	link := w.link(t)

	p := browser.Open(t, browser.Visitor{})
	p.Goto(link)
	p.See(browser.Heading("No webhooks yet"))
	if strings.Contains(p.URL(), "link=") {
		t.Errorf("the link stays in the address: %s", p.URL())
	}
	p.Expect("status of 404")
	if got := p.Goto(w.URL("/webhooks/list?project=other")); got.Status != http.StatusNotFound {
		t.Errorf("another project: %d, want 404", got.Status)
	}

	second := browser.Open(t, browser.Visitor{})
	second.Expect("status of 401")
	if got := second.Goto(link); got.Status != http.StatusUnauthorized {
		t.Errorf("the link a second time: %d, want 401", got.Status)
	}
	second.See(browser.Text("This link was used already or has expired"))
	if cookies := second.Cookies(); len(cookies) > 0 {
		t.Errorf("a used link left %+v", cookies)
	}
}

// TestFramesOnlyWhereAllowed shows the dashboard inside an application of
// another site.
func TestFramesOnlyWhereAllowed(t *testing.T) {
	t.Parallel()
	page := func(r *http.Request) string {
		return `<!doctype html><html lang=en><title>application</title><iframe title=webhooks width=900 height=700 src="` +
			html.EscapeString(r.URL.Query().Get("show")) + `"></iframe>`
	}
	showing := func(src string) string { return "/?show=" + url.QueryEscape(src) }
	allowed, refused := foreign(serve(t, page)), foreign(serve(t, page))
	w := start(t, "frame_ancestors "+allowed)

	p := browser.Open(t, browser.Visitor{})
	p.Goto(allowed + showing(w.link(t)))
	p.Click(browser.Link("Add your first webhook").InFrame("iframe"))
	p.Fill(browser.Field("URL").InFrame("iframe"), w.receiver.URL())
	p.Check(browser.Box("All events").InFrame("iframe"))
	p.Click(browser.Button("Add webhook").InFrame("iframe"))
	p.See(browser.Heading("Webhook added. This is its signing secret").InFrame("iframe"))
	cookies := p.Cookies()
	if len(cookies) != 1 || cookies[0].SameSite != "None" || !cookies[0].Secure || cookies[0].PartitionKey == "" {
		t.Errorf("cookies %+v, want one: SameSite=None, Secure, Partitioned", cookies)
	}

	p = browser.Open(t, browser.Visitor{})
	p.Expect("frame-ancestors")
	p.Goto(refused + showing(w.URL("/webhooks/login")))
	if n := p.Count(browser.Heading("Sign in").InFrame("iframe")); n != 0 {
		t.Error("an origin that is not allowed shows the dashboard in a frame")
	}

	w = start(t) // nobody is allowed
	p = browser.Open(t, browser.Visitor{})
	p.Expect("frame-ancestors")
	p.Goto(allowed + showing(w.URL("/webhooks/login")))
	if n := p.Count(browser.Heading("Sign in").InFrame("iframe")); n != 0 {
		t.Error("the dashboard is shown in a frame although none is allowed")
	}
}
