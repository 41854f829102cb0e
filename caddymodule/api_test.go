package caddymodule_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

const apiKey = "an-api-key-for-tests-of-the-api"

// newAPIServer returns a server whose site2 has the management API before a
// host application, which answers everything with its own name.
func newAPIServer(t *testing.T, directive string) *server {
	t.Helper()
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte("app " + r.Method + " " + r.URL.EscapedPath()))
	}))
	t.Cleanup(app.Close)
	auth := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Header.Get("Authorization") {
		case "Bearer host-key-of-acme":
			w.Header().Set("X-Projects", "acme")
			w.Header().Set("X-Scopes", "read")
		case "Bearer host-key-of-nobody":
		default:
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	t.Cleanup(auth.Close)
	directive = strings.NewReplacer("{auth}", auth.Listener.Addr().String()).Replace(directive)
	s := newServer(t)
	s.load(config{
		settings: webhookTo("one", "project.created") + "api_key api " + apiKey + "\n",
		sites: `http://site2:{site2} {
			bind 127.0.0.1
			` + directive + `
			reverse_proxy ` + app.Listener.Addr().String() + `
		}`,
	})
	return s
}

func (s *server) ask(method, path string, header ...string) answer {
	s.t.Helper()
	a, err := s.do(method, "http://site2"+path, nil, header...)
	if err != nil {
		s.t.Fatal(err)
	}
	return a
}

func TestAPILeavesOtherPathsToTheApplication(t *testing.T) {
	s := newAPIServer(t, "webhook_api")
	for _, path := range []string{
		"/", "/api", "/api/v1", "/api/v1/", "/api/v1/users", "/api/v1/webhooks", "/api/v1/webhooks/", "/api/v1/webhooks/wh_one/",
		"/api/v1/webhooks/wh_one/nothing", "/api/v1/health/", "/api/v1/Health", "/api/v2/health", "/x/api/v1/health", "/api/v1/projects/p",
		"/api/v1/webhooks//test", "/api/v1/openapi.yaml", "/api/v1/docs", "/api/v1/webhooks/a%2Fb",
	} {
		for _, method := range []string{"GET", "POST", "OPTIONS"} {
			got := s.ask(method, path)
			if want := "app " + method + " " + path; got.body != want && !(path == "/api/v1/webhooks/a%2Fb" && got.status != 200) {
				t.Errorf("%s %s: got %d %q, want the application's answer", method, path, got.status, got.body)
			}
		}
	}
	if got := s.ask("GET", "/api/v1/health"); got.status != 200 || !strings.Contains(got.body, `"status":"ok"`) {
		t.Errorf("health: %d %s", got.status, got.body)
	}
	got := s.ask("PUT", "/api/v1/webhooks/wh_one")
	if code, _ := problemOf(t, got.body); got.status != 405 || code != "method_not_allowed" || got.header.Get("Allow") != "DELETE, GET, HEAD, PATCH" {
		t.Errorf("PUT: %d %s, Allow %q", got.status, got.body, got.header.Get("Allow"))
	}
}

func TestAPIAsksForAKey(t *testing.T) {
	s := newAPIServer(t, "webhook_api")
	for _, authorization := range []string{"", "Bearer ", "Basic " + apiKey, "Bearer " + apiKey + "x"} {
		got := s.ask("GET", "/api/v1/webhooks/wh_one", "Authorization", authorization)
		if got.status != 401 || got.header.Get("WWW-Authenticate") == "" || got.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%q: %d %v", authorization, got.status, got.header)
		}
	}
	if got := s.ask("GET", "/api/v1/webhooks/wh_one", "Authorization", "Bearer "+ingestKey); got.status != 403 {
		t.Errorf("a key to publish: %d %s, want 403", got.status, got.body)
	}
	if got := s.ask("GET", "/api/v1/webhooks/wh_one", "Authorization", "Bearer "+apiKey); got.status != 200 || !strings.Contains(got.body, `"source":"config"`) {
		t.Errorf("a key to read: %d %s", got.status, got.body)
	}
	if got := s.ask("HEAD", "/api/v1/webhooks/wh_one", "Authorization", "Bearer "+apiKey); got.status != 200 || got.body != "" {
		t.Errorf("HEAD: %d %q", got.status, got.body)
	}
}

func TestAPIUnderAnotherPrefix(t *testing.T) {
	s := newAPIServer(t, "webhook_api {\npath_prefix /hooks\n}")
	if got := s.ask("GET", "/hooks/openapi.json"); !strings.Contains(got.body, `"servers":[{"url":"/hooks"}]`) {
		t.Errorf("the document does not name the prefix: %.200s", got.body)
	}
	if got := s.ask("GET", "/api/v1/health"); got.body != "app GET /api/v1/health" {
		t.Errorf("the default prefix: %d %s", got.status, got.body)
	}
}

func TestAPIAtTheRoot(t *testing.T) {
	s := newAPIServer(t, "webhook_api {\npath_prefix /\n}")
	if got := s.ask("GET", "/health"); got.status != 200 || !strings.Contains(got.body, `"status":"ok"`) {
		t.Errorf("health: %d %s", got.status, got.body)
	}
}

// TestAPITrustsWhatAuthenticatesInFront has forward_auth with a real upstream
// tell the projects and scopes of a client.
func TestAPITrustsWhatAuthenticatesInFront(t *testing.T) {
	s := newAPIServer(t, `
		@api path /api/v1/*
		forward_auth @api {auth} {
			uri /check
			copy_headers X-Projects X-Scopes
		}
		webhook_api {
			projects_from {header.X-Projects}
			scopes_from {header.X-Scopes}
		}`)
	const acme, nobody = "Bearer host-key-of-acme", "Bearer host-key-of-nobody"
	if got := s.ask("GET", "/api/v1/projects/acme/webhooks", "Authorization", acme); got.status != 200 {
		t.Errorf("its project: %d %s", got.status, got.body)
	}
	if got := s.ask("GET", "/api/v1/projects/other/webhooks", "Authorization", acme); got.status != 404 {
		t.Errorf("another project: %d %s, want 404", got.status, got.body)
	}
	if got := s.ask("POST", "/api/v1/projects/acme/webhooks", "Authorization", acme); got.status != 403 {
		t.Errorf("without the scope to manage: %d %s, want 403", got.status, got.body)
	}
	if got := s.ask("GET", "/api/v1/projects/acme/webhooks", "Authorization", nobody); got.status != 401 {
		t.Errorf("no project: %d %s, want 401", got.status, got.body)
	}
	// What a client sends itself gains nothing.
	for _, authorization := range []string{acme, nobody, "Bearer " + apiKey, ""} {
		got := s.ask("GET", "/api/v1/projects/other/webhooks", "Authorization", authorization, "X-Projects", "*", "X-Scopes", "read manage")
		if got.status == 200 {
			t.Errorf("%q with headers of its own: %d %s", authorization, got.status, got.body)
		}
	}
}

// A browser sends a form of another site with the visitor's cookies, and without
// asking; forward_auth may let them in.
func TestAPITakesNoFormsOfOtherSites(t *testing.T) {
	s := newAPIServer(t, `
		@api path /api/v1/*
		request_header @api X-Projects acme
		webhook_api {
			projects_from {header.X-Projects}
		}`)
	for _, call := range []string{"webhooks/wh_x/test", "webhooks/wh_x/rotate-secret", "deliveries/dlv_x/retry", "projects/acme/dashboard-links"} {
		for name, header := range map[string][]string{
			"form":      {"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example", "Content-Type", "application/x-www-form-urlencoded"},
			"fetch":     {"Sec-Fetch-Site", "same-site", "Content-Type", "text/plain"},
			"older one": {"Origin", "https://evil.example", "Content-Type", "text/plain"},
		} {
			got := s.ask("POST", "/api/v1/"+call, header...)
			if code, _ := problemOf(t, got.body); got.status != 403 || code != "cross_origin" {
				t.Errorf("%s by a %s: %d %s, want 403 cross_origin", call, name, got.status, got.body)
			}
		}
	}
	for name, header := range map[string][]string{
		"no browser":           nil,
		"a page of this site":  {"Sec-Fetch-Site", "same-origin", "Origin", "http://site2"},
		"one that was allowed": {"Sec-Fetch-Site", "cross-site", "Origin", "https://app.example", "Content-Type", "application/json"},
	} {
		if got := s.ask("POST", "/api/v1/deliveries/dlv_x/retry", header...); got.status != 404 {
			t.Errorf("%s: %d %s, want 404", name, got.status, got.body)
		}
	}
	if got := s.ask("GET", "/api/v1/projects/acme/webhooks", "Sec-Fetch-Site", "cross-site"); got.status != 200 {
		t.Errorf("reading: %d %s", got.status, got.body)
	}
}
