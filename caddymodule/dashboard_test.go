package caddymodule_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
)

const dashboardKey = "an-api-key-for-tests-of-the-dashboard"

// dashboardConfig is a configuration whose site2 has the dashboard and the API
// before something else.
func dashboardConfig(directive string) config {
	return config{
		settings: webhookTo("one", "project.created") + "api_key operator " + dashboardKey + "\n",
		sites: `http://site2:{site2} {
			bind 127.0.0.1
			webhook_api /api/v1/*
			` + directive + `
			respond "something else"
		}`,
	}
}

func TestDashboardLeavesOtherPathsToTheNextHandler(t *testing.T) {
	s := newServer(t)
	s.load(dashboardConfig("webhook_dashboard /webhooks*"))
	for _, path := range []string{"/", "/webhooksfoo", "/web", "/other/webhooks"} {
		if got := s.ask("GET", path); got.body != "something else" {
			t.Errorf("%s: %d %q", path, got.status, got.body)
		}
	}
	got := s.ask("GET", "/webhooks/login", "Accept", "text/html")
	if got.status != 200 || got.header.Get("Content-Security-Policy") != "default-src 'self'; frame-ancestors 'none'" {
		t.Errorf("sign-in: %d %v", got.status, got.header)
	}
}

// link asks the API for a link and returns its URL.
func (s *server) link() (url string, status int) {
	s.t.Helper()
	got := s.ask("POST", "/api/v1/projects/acme/dashboard-links", "Authorization", "Bearer "+dashboardKey)
	var made struct{ URL string }
	if err := json.Unmarshal([]byte(got.body), &made); err != nil {
		s.t.Fatal(err)
	}
	return made.URL, got.status
}

func TestDashboardLinksLeadToTheDashboard(t *testing.T) {
	tests := []struct{ name, directive, want string }{
		{"at the host that was asked", "webhook_dashboard /settings/hooks*", "http://site2/settings/hooks/open?link="},
		{"at the root", "webhook_dashboard /*", "http://site2/open?link="},
		{"where it is public", "webhook_dashboard /webhooks* {\npublic_url https://hooks.example.com/\n}", "https://hooks.example.com/webhooks/open?link="},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t)
			s.load(dashboardConfig(tt.directive))
			if url, status := s.link(); status != 200 || !strings.HasPrefix(url, tt.want) {
				t.Errorf("%d %q, want %q", status, url, tt.want)
			}
		})
	}
}

func TestWithoutADashboardToSignInToThereAreNoLinks(t *testing.T) {
	for _, directive := range []string{"", "webhook_dashboard /webhooks* {\nprojects_from {header.X-Projects}\n}"} {
		s := newServer(t)
		s.load(dashboardConfig(directive))
		if url, status := s.link(); status != 409 {
			t.Errorf("%q: %d %q, want 409", directive, status, url)
		}
	}
}

// TestReloadEndsLiveLogsAndKeepsSessions holds that a stream does not keep a
// configuration from ending.
func TestReloadEndsLiveLogsAndKeepsSessions(t *testing.T) {
	s := newServer(t)
	c := dashboardConfig("webhook_dashboard /webhooks*")
	s.load(c)
	s.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	in, err := s.do("POST", "http://site2/webhooks/login", strings.NewReader("key="+dashboardKey), "Content-Type", "application/x-www-form-urlencoded")
	if err != nil || in.status != http.StatusSeeOther {
		t.Fatalf("sign in: %d %s, %v", in.status, in.body, err)
	}
	cookie, _, _ := strings.Cut(in.header.Get("Set-Cookie"), ";")

	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://site2/webhooks/webhook/wh_one/log/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Cookie", cookie)
	res, err := s.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Fatalf("stream: %d", res.StatusCode)
	}
	s.load(c)
	if _, err := io.ReadAll(res.Body); err != nil {
		t.Errorf("the stream was cut: %v", err)
	}
	if got := s.ask("GET", "/webhooks/list?project=acme", "Cookie", cookie, "Accept", "text/html"); got.status != 200 {
		t.Errorf("after the reload: %d", got.status)
	}
}
