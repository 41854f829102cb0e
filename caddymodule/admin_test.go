package caddymodule_test

import (
	"strings"
	"testing"
)

// askAdmin sends a request to the admin API.
func (s *server) askAdmin(method, path, mediaType, body string) answer {
	s.t.Helper()
	got, err := s.do(method, "http://admin/webhook_gateway/"+path, strings.NewReader(body), "Content-Type", mediaType)
	if err != nil {
		s.t.Fatal(err)
	}
	return got
}

func TestAdminRoutesAnswerBadRequestsWithProblems(t *testing.T) {
	s := newServer(t)
	s.load(config{settings: webhookTo("one", "project.created")})
	const js = "application/json"
	for _, tc := range []struct {
		method, path, mediaType, body string
		status                        int
		code                          string
	}{
		{"POST", "status", "", "", 405, "method_not_allowed"},
		{"DELETE", "keys", "", "", 405, "method_not_allowed"},
		{"GET", "keys/x", "", "", 405, "method_not_allowed"},
		{"GET", "events", "", "", 405, "method_not_allowed"},
		{"POST", "keys", "text/plain", `{"name":"x"}`, 415, "unsupported_media_type"}, // what a web page may send unasked
		{"POST", "keys", js, `{`, 400, "bad_request"},
		{"POST", "keys", js, `{"name":"x"} {}`, 400, "bad_request"},
		{"POST", "keys", js, `{"name":"x","token":"mine"}`, 422, "invalid"},
		{"POST", "keys", js, `[]`, 422, "invalid"},
		{"POST", "keys", js, `{"name":"` + strings.Repeat("x", 1<<20) + `"}`, 413, "too_large"},
		{"POST", "keys", js, `{}`, 422, "invalid"},
		{"DELETE", "keys/nobody", "", "", 404, "not_found"},
		{"DELETE", "keys/..%2f..", "", "", 404, "not_found"},
		{"POST", "events", "text/plain", "{}", 415, "unsupported_media_type"},
		{"POST", "events", js, "{", 400, "bad_request"},
		{"POST", "events", js, `{"type":"no.such","data":{}}`, 422, "invalid"},
	} {
		got := s.askAdmin(tc.method, tc.path, tc.mediaType, tc.body)
		if mediaType := got.header.Get("Content-Type"); mediaType != "application/problem+json" {
			t.Errorf("%s %s: %d %s %s, want a problem", tc.method, tc.path, got.status, mediaType, got.body)
			continue
		}
		if code, _ := problemOf(t, got.body); got.status != tc.status || code != tc.code {
			t.Errorf("%s %s %.40s: %d %s, want %d %s", tc.method, tc.path, tc.body, got.status, code, tc.status, tc.code)
		}
	}
	refused := s.askAdmin("POST", "keys", js, `{"Name":"x","scopes":["read",5,"admin"],"projects":"p","expires_at":"2001-01-01T00:00:00Z"}`)
	for _, want := range []string{`"#/Name"`, `"#/name"`, `"#/scopes/1"`, `"#/scopes/2"`, `"#/projects"`, `"#/expires_at"`} {
		if strings.Count(refused.body, want) != 1 {
			t.Errorf("not once %s: %s", want, refused.body)
		}
	}
	got := s.askAdmin("POST", "events", js, `{"type":"project.created","id":"evt_1","data":{"id":"p"}}`)
	if got.status != 202 || !strings.Contains(got.body, `"id":"evt_1"`) {
		t.Errorf("an event: %d %s", got.status, got.body)
	}
}

// TestIngestLimitsFailedAttempts: on loopback the wrong keys are refused after a
// while and the right one goes on working.
func TestIngestLimitsFailedAttempts(t *testing.T) {
	s := newIngestServer(t)
	const event = `{"type":"project.updated","data":{"id":"p"}}`
	try := func(token string) answer { return s.publish(event, "Authorization", "Bearer "+token) }
	limited := false
	for range 200 {
		got := try("not-a-key-of-this-gateway")
		if limited = got.status == 429; limited {
			if code, _ := problemOf(t, got.body); code != "too_many_requests" || got.header.Get("Retry-After") == "" {
				t.Errorf("%s, Retry-After %q", got.body, got.header.Get("Retry-After"))
			}
			break
		}
	}
	if !limited {
		t.Error("200 wrong keys were not limited")
	}
	if got := try(ingestKey); got.status != 202 {
		t.Errorf("the right key: %d %s", got.status, got.body)
	}
}

// TestStatusTellsOfDamage: what the last check of the store found.
func TestStatusTellsOfDamage(t *testing.T) {
	s := newServer(t)
	s.load(config{settings: webhookTo("one", "project.created")})
	got := s.askAdmin("GET", "status", "", "")
	for _, want := range []string{`"status":"ok"`, `"checked_at":"2030-01-02T03:04:05Z"`, `"damaged_records":0`} {
		if !strings.Contains(got.body, want) {
			t.Errorf("the status has no %s: %s", want, got.body)
		}
	}
	traces.damaged.Store(3)
	got = s.askAdmin("GET", "status", "", "")
	for _, want := range []string{`"status":"degraded"`, `"problem":"records are damaged on disk; see the log"`, `"damaged_records":3`} {
		if !strings.Contains(got.body, want) {
			t.Errorf("with damage the status has no %s: %s", want, got.body)
		}
	}
}

// TestStoreThatHasNoBackupSaysSo: the traced store offers none.
func TestStoreThatHasNoBackupSaysSo(t *testing.T) {
	s := newServer(t)
	s.load(config{settings: webhookTo("one", "project.created")})
	got := s.askAdmin("GET", "backup", "", "")
	if code, _ := problemOf(t, got.body); got.status != 409 || code != "conflict" {
		t.Errorf("%d %s, want a conflict", got.status, got.body)
	}
}
