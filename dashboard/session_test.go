package dashboard_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/tengineai/webhook-gateway/gateway"
)

func TestWithoutASessionEveryPageSendsToSignIn(t *testing.T) {
	w := newWorld(t, nil)
	b := w.browser()
	for path, want := range map[string]string{
		"/webhooks":                        "/webhooks/login",
		"/webhooks/":                       "/webhooks/login",
		"/webhooks/overview":               "/webhooks/login?next=%2Foverview",
		"/webhooks/list?project=acme":      "/webhooks/login?next=%2Flist%3Fproject%3Dacme",
		"/webhooks/webhook/wh_1/log?x=%20": "/webhooks/login?next=%2Fwebhook%2Fwh_1%2Flog%3Fx%3D%2520",
	} {
		if got := b.get(path); got.status != 303 || got.header.Get("Location") != want {
			t.Errorf("GET %s: %d, Location %q; want 303 %q", path, got.status, got.header.Get("Location"), want)
		}
	}
	if got := b.post("/new", url.Values{"project": {"acme"}}); got.status != 303 || got.header.Get("Location") != "/webhooks/login" {
		t.Errorf("POST: %d to %q", got.status, got.header.Get("Location"))
	}
	if got := b.get("/overview", "HX-Request", "true"); got.status != 401 || got.header.Get("HX-Redirect") != "/webhooks/login" {
		t.Errorf("htmx: %d %v", got.status, got.header)
	}
}

func TestEveryAnswerCarriesTheSecurityHeaders(t *testing.T) {
	w := newWorld(t, nil)
	b := w.signedIn(allKey)
	for _, path := range []string{"/", "/login", "/overview", "/no-such-page", "/assets/x/style.css", "/assets/x/none", "/deliveries/none"} {
		got := b.get(path)
		for name, want := range map[string]string{
			"Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'",
			"X-Content-Type-Options":  "nosniff",
			"Referrer-Policy":         "no-referrer",
		} {
			if got.header.Get(name) != want {
				t.Errorf("%s: %s is %q", path, name, got.header.Get(name))
			}
		}
		if !strings.HasPrefix(path, "/assets") && got.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: cache-control %q", path, got.header.Get("Cache-Control"))
		}
	}
}

func TestSignInGivesACookieOfTheSite(t *testing.T) {
	w := newWorld(t, nil)
	tests := []struct {
		name, host string
		https      bool
		want       string
	}{
		{"loopback", "127.0.0.1:8080", false, "; Path=/webhooks; Max-Age=86400; HttpOnly; SameSite=Lax"},
		{"localhost", "localhost", false, "; Path=/webhooks; Max-Age=86400; HttpOnly; SameSite=Lax"},
		{"IPv6 loopback", "[::1]:8080", false, "; Path=/webhooks; Max-Age=86400; HttpOnly; SameSite=Lax"},
		{"https", "hooks.example.com", true, "; Path=/webhooks; Max-Age=86400; HttpOnly; Secure; SameSite=Lax"},
		{"https on loopback", "localhost", true, "; Path=/webhooks; Max-Age=86400; HttpOnly; Secure; SameSite=Lax"},
		{"behind a proxy", "hooks.example.com", false, "; Path=/webhooks; Max-Age=86400; HttpOnly; Secure; SameSite=Lax"},
		{"no loopback", "localhost.example.com", false, "; Path=/webhooks; Max-Age=86400; HttpOnly; Secure; SameSite=Lax"},
	}
	for _, tt := range tests {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, w.site.URL+"/webhooks/login", strings.NewReader("key="+acmeKey))
		req.Host = tt.host
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if tt.https {
			req.Header.Set("X-Test-Https", "1")
		}
		client := w.browser().client
		client.Jar = nil
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		_, attributes, _ := strings.Cut(res.Header.Get("Set-Cookie"), "; ")
		if res.StatusCode != 303 || "; "+attributes != tt.want {
			t.Errorf("%s: %d, %q; want %q", tt.name, res.StatusCode, attributes, tt.want)
		}
	}
}

func TestASessionOfAWholeHostIsTakenFromNoOther(t *testing.T) {
	w := newWorld(t, func(w *world) { w.options.Mount = "" })
	client := w.browser().client
	client.Jar = nil
	ask := func(method, path, body, host, cookie string) *http.Response {
		t.Helper()
		req, _ := http.NewRequestWithContext(t.Context(), method, w.site.URL+path, strings.NewReader(body))
		req.Host = host
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Cookie", cookie)
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res
	}
	for host, prefix := range map[string]string{"hooks.example.com": "__Host-", "127.0.0.1:8080": ""} {
		set, attributes, _ := strings.Cut(ask("POST", "/login", "key="+acmeKey, host, "").Header.Get("Set-Cookie"), "; ")
		name, token, _ := strings.Cut(set, "=")
		if name != prefix+"webhook_session" || strings.Contains(attributes, "Secure") != (prefix != "") || !strings.HasPrefix(attributes, "Path=/;") {
			t.Errorf("%s: cookie %s with %s", host, name, attributes)
		}
		if res := ask("GET", "/list?project=acme", "", host, name+"="+token); res.StatusCode != 200 {
			t.Errorf("%s: with the cookie %d, want 200", host, res.StatusCode)
		}
		if planted := "webhook_session=" + token; prefix != "" {
			if res := ask("GET", "/list?project=acme", "", host, planted); res.StatusCode != 303 {
				t.Errorf("%s: with a cookie that another site could have set %d, want 303", host, res.StatusCode)
			}
		}
	}
}

func TestSignInRefuses(t *testing.T) {
	w := newWorld(t, nil)
	tests := []struct {
		name, key string
		status    int
		says      string
	}{
		{"unknown", "a-key-that-nobody-has-ever-made", 401, "This API key is not known"},
		{"empty", "", 401, "This API key is not known"},
		{"only for publishing", ingestKey, 403, "for publishing events only"},
	}
	for _, tt := range tests {
		got := w.browser().post("/login", url.Values{"key": {tt.key}})
		if got.status != tt.status || got.header.Get("Set-Cookie") != "" {
			t.Errorf("%s: %d %v", tt.name, got.status, got.header)
		}
		got.wants(t, tt.says)
		if tt.key != "" && strings.Contains(got.body, tt.key) {
			t.Errorf("%s: the page repeats the key", tt.name)
		}
	}
}

func TestFailedSignInsAreLimited(t *testing.T) {
	w := newWorld(t, nil)
	b := w.browser()
	for i := range 80 { // 60 may fail at once, and one more each second
		got := b.post("/login", url.Values{"key": {"a-guess-that-is-wrong-and-long"}})
		if got.status == http.StatusTooManyRequests {
			if got.header.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
			got.wants(t, "Too many failed attempts")
			return
		}
		if got.status != 401 {
			t.Fatalf("attempt %d: %d", i, got.status)
		}
	}
	t.Error("attempts were never limited")
}

func TestSigningInGoesOnWhereItBegan(t *testing.T) {
	w := newWorld(t, nil)
	for next, want := range map[string]string{
		"/list?project=acme": "/webhooks/list?project=acme", "": "/webhooks/",
		"//evil.example.com": "/webhooks/", "https://evil.example.com/": "/webhooks/", "/\\evil.example.com": "/webhooks/",
		"/../admin": "/webhooks/", "/x\r\nSet-Cookie: a": "/webhooks/", "evil": "/webhooks/",
	} {
		got := w.browser().post("/login", url.Values{"key": {acmeKey}, "next": {next}})
		if got.header.Get("Location") != want {
			t.Errorf("%q: went to %q, want %q", next, got.header.Get("Location"), want)
		}
	}
}

func TestHomeIsWhereTheVisitorHasSomethingToDo(t *testing.T) {
	w := newWorld(t, nil)
	for key, want := range map[string]string{acmeKey: "/webhooks/list?project=acme", allKey: "/webhooks/overview"} {
		if got := w.signedIn(key).get("/webhooks"); got.status != 303 || got.header.Get("Location") != want {
			t.Errorf("%s: %d %q", key, got.status, got.header.Get("Location"))
		}
	}
}

func TestSignOutEndsTheSession(t *testing.T) {
	w := newWorld(t, nil)
	b := w.signedIn(acmeKey)
	site, _ := url.Parse(w.site.URL + "/webhooks/")
	stolen := b.client.Jar.Cookies(site)[0]
	if got := b.post("/logout", url.Values{}); got.status != 303 {
		t.Fatalf("%d", got.status)
	}
	if got := w.browser().get("/list?project=acme", "Cookie", stolen.Name+"="+stolen.Value); got.status != 303 {
		t.Errorf("the session lives on: %d", got.status)
	}
}

func TestRevokingAKeyEndsItsSessions(t *testing.T) {
	w := newWorld(t, nil)
	_, token, err := w.gw.CreateKey(t.Context(), gateway.KeySpec{Name: "temporary", Projects: []string{"acme"}})
	if err != nil {
		t.Fatal(err)
	}
	b := w.signedIn(token)
	b.open("/list?project=acme")
	if err := w.gw.RevokeKey(t.Context(), "temporary"); err != nil {
		t.Fatal(err)
	}
	if got := b.get("/list?project=acme"); got.status != 303 {
		t.Errorf("the session lives on: %d", got.status)
	}
}

func TestAReloadKeepsSessionsButNotWhatTheKeyLost(t *testing.T) {
	w := newWorld(t, nil)
	b := w.signedIn(acmeKey)
	w.keys[1].Scopes = []gateway.Scope{gateway.ScopeRead}
	w.apply()
	b.open("/list?project=acme")
	if got := b.get("/new?project=acme"); got.status != 403 {
		t.Errorf("the form to add: %d, want 403", got.status)
	}
	w.keys = w.keys[:1]
	w.apply()
	if got := b.get("/list?project=acme"); got.status != 303 {
		t.Errorf("the key left the configuration: %d, want 303", got.status)
	}
}

func TestSessionsEndWhenIdleAndAfterADay(t *testing.T) {
	now := newClock()
	w := newWorld(t, func(w *world) { w.now = now.read })
	idle, busy := w.signedIn(acmeKey), w.signedIn(acmeKey)
	now.pass(gateway.SessionIdle - time.Second)
	busy.open("/list?project=acme")
	now.pass(2 * time.Second)
	if got := idle.get("/list?project=acme"); got.status != 303 {
		t.Errorf("idle: %d", got.status)
	}
	for range 12 {
		busy.get("/list?project=acme")
		now.pass(gateway.SessionIdle - time.Second)
	}
	if got := busy.get("/list?project=acme"); got.status != 303 {
		t.Errorf("after a day: %d", got.status)
	}
}

func TestForeignStateChangesAreRefused(t *testing.T) {
	w := newWorld(t, func(w *world) { w.options.PublicHost = "hooks.example.com" })
	b := w.signedIn(acmeKey)
	id := w.create(nil)
	for _, header := range [][]string{
		{"Origin", "https://evil.example.com"}, {"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "null"},
		{"Origin", "https://evil.example.com", "Sec-Fetch-Site", "same-origin"}, {"Origin", w.site.URL, "Sec-Fetch-Site", "cross-site"},
		{"Origin", w.site.URL + "0", "Sec-Fetch-Site", "same-origin"},
	} {
		for _, path := range []string{"/login", "/logout", "/open", "/new", "/webhook/" + id + "/delete", "/webhook/" + id + "/status"} {
			got := b.do(http.MethodPost, path, url.Values{"status": {"disabled"}}, header...)
			if got.status != 403 {
				t.Errorf("POST %s with %v: %d, want 403", path, header, got.status)
			}
		}
	}
	got := b.do(http.MethodPost, "/webhook/"+id+"/delete", url.Values{}, "Origin", "https://evil.example.com", "Accept", "*/*")
	if got.status != 403 || !strings.Contains(got.body, `"code":"cross_origin"`) {
		t.Errorf("for a program: %d %s", got.status, got.body)
	}
	if _, err := w.gw.Webhook(t.Context(), &w.keys[0], id); err != nil {
		t.Error("the webhook is gone")
	}
	for _, origin := range []string{
		w.site.URL, strings.Replace(w.site.URL, "http:", "https:", 1), // behind a proxy that ends TLS
		"null",                                                       // a browser's, from a page without a referrer
		"https://hooks.example.com", "https://HOOKS.example.com:443", // the public one
	} {
		if got := b.post("/webhook/"+id+"/status", url.Values{"status": {"paused"}}, "Origin", origin); got.status != 303 {
			t.Errorf("from the site itself as %s: %d", origin, got.status)
		}
	}
}

func TestLinkOpensASessionOfItsProjectOnce(t *testing.T) {
	w := newWorld(t, nil)
	link, err := w.gw.CreateLink(t.Context(), &w.keys[0], "acme")
	if err != nil {
		t.Fatal(err)
	}
	path := w.dash.LinkPath(link.Token)
	b := w.browser()
	for _, agent := range []string{"Slackbot-LinkExpanding 1.0", "facebookexternalhit/1.1"} {
		if got := b.get(path, "User-Agent", agent); got.status != 200 || got.header.Get("Set-Cookie") != "" {
			t.Errorf("%s used the link up: %d", agent, got.status)
		}
	}
	if got := b.get(path, "Sec-Purpose", "prefetch"); got.header.Get("Set-Cookie") != "" {
		t.Error("a prefetch used the link up")
	}
	got := b.get(path)
	if got.status != 303 || got.header.Get("Location") != "/webhooks/list?project=acme" {
		t.Fatalf("%d %v", got.status, got.header)
	}
	b.open("/list?project=acme")
	for _, path := range []string{"/list?project=other", "/overview"} {
		if got := b.get(path); got.status != 404 {
			t.Errorf("%s: %d, want 404", path, got.status)
		}
	}
	again := w.browser().get(path)
	if again.status != 401 || again.header.Get("Set-Cookie") != "" {
		t.Errorf("the second time: %d", again.status)
	}
	again.wants(t, "used already or has expired")
}

func TestLinkHasAtMostTheScopesOfItsMaker(t *testing.T) {
	w := newWorld(t, nil)
	link, err := w.gw.CreateLink(t.Context(), &w.keys[2], "acme")
	if err != nil {
		t.Fatal(err)
	}
	b := w.browser()
	if got := b.post("/open", url.Values{"link": {link.Token}}); got.status != 303 {
		t.Fatalf("%d", got.status)
	}
	if got := b.get("/new?project=acme"); got.status != 403 {
		t.Errorf("the form to add: %d, want 403", got.status)
	}
	if _, err := w.gw.CreateLink(t.Context(), &w.keys[2], "other"); err == nil {
		t.Error("a link for a project that the key is not for")
	}
}

func TestLinkExpires(t *testing.T) {
	now := newClock()
	w := newWorld(t, func(w *world) { w.now = now.read })
	link, err := w.gw.CreateLink(t.Context(), &w.keys[0], "acme")
	if err != nil {
		t.Fatal(err)
	}
	now.pass(5 * time.Minute)
	if got := w.browser().get(w.dash.LinkPath(link.Token)); got.status != 401 {
		t.Errorf("after five minutes: %d, want 401", got.status)
	}
}

func TestLinkForAFrameGivesAPartitionedCookie(t *testing.T) {
	w := newWorld(t, func(w *world) { w.options.FrameAncestors = []string{"https://app.example.com"} })
	link, err := w.gw.CreateLink(t.Context(), &w.keys[0], "acme")
	if err != nil {
		t.Fatal(err)
	}
	got := w.browser().get(w.dash.LinkPath(link.Token), "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe")
	if !strings.HasSuffix(got.header.Get("Set-Cookie"), "; Path=/webhooks; Max-Age=28800; HttpOnly; Secure; SameSite=None; Partitioned") {
		t.Errorf("%d %q", got.status, got.header.Get("Set-Cookie"))
	}
	if csp := got.header.Get("Content-Security-Policy"); csp != "default-src 'self'; frame-ancestors https://app.example.com" {
		t.Errorf("policy %q", csp)
	}
}

func TestIdentityOfSomethingInFront(t *testing.T) {
	w := newWorld(t, func(w *world) {
		w.options.Identity = func(r *http.Request) (*gateway.Key, error) {
			return gateway.KeyFrom("front", r.Header.Get("X-Projects"), r.Header.Get("X-Scopes"))
		}
	})
	b := w.browser()
	if got := b.get("/list?project=acme"); got.status != 401 {
		t.Errorf("nobody: %d, want 401", got.status)
	}
	got := b.get("/list?project=acme", "X-Projects", "acme", "X-Scopes", "read")
	if got.status != 200 || strings.Contains(got.body, "Sign out") {
		t.Errorf("acme: %d", got.status)
	}
	if got := b.get("/list?project=other", "X-Projects", "acme"); got.status != 404 {
		t.Errorf("another project: %d", got.status)
	}
	if got := b.post("/login", url.Values{"key": {allKey}}); got.status != 404 {
		t.Errorf("sign-in: %d", got.status)
	}
}

// Whoever can make links could otherwise sign an operator in to their own
// project, unnoticed.
func TestLinkAsksWhoIsSignedInWithAKey(t *testing.T) {
	w := newWorld(t, nil)
	link, err := w.gw.CreateLink(t.Context(), &w.keys[1], "acme")
	if err != nil {
		t.Fatal(err)
	}
	b := w.signedIn(allKey)
	got := b.get(w.dash.LinkPath(link.Token))
	if got.status != 200 || got.header.Get("Set-Cookie") != "" {
		t.Fatalf("the link was used: %d %v", got.status, got.header)
	}
	b.open("/overview") // as before
	got = b.post("/open", url.Values{"link": {link.Token}})
	if got.status != 303 || b.get("/overview").status != 404 {
		t.Errorf("the button: %d", got.status)
	}
}

func TestStrangersSendNoLargeForms(t *testing.T) {
	w := newWorld(t, nil)
	large := url.Values{"key": {strings.Repeat("x", 100<<10)}}
	if got := w.browser().post("/login", large); got.status != http.StatusRequestEntityTooLarge {
		t.Errorf("sign in: %d, want 413", got.status)
	}
	if got := w.browser().post("/new", large); got.status != http.StatusSeeOther {
		t.Errorf("without a session: %d, want 303, whatever the body is", got.status)
	}
	if got := w.signedIn(allKey).post("/new?project=acme", url.Values{"url": {strings.Repeat("x", 100<<10)}}); got.status != http.StatusUnprocessableEntity {
		t.Errorf("with a session: %d, want 422", got.status)
	}
}
