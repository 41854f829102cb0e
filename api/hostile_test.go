package api_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"

	"github.com/tengineai/webhook-gateway/api"
	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/problem"
)

// TestNothingOfItIsAFaultOfTheServer sends odd requests; the world fails the
// test on any 500.
func TestNothingOfItIsAFaultOfTheServer(t *testing.T) {
	w := newWorld(t)
	id := w.create("acme", "")
	for _, odd := range []string{"%00", "%FF%FE", "..", "%2e%2e", "a%20b", "%7B%7D", "%22", strings.Repeat("x", 100_000), "wh_" + strings.Repeat("0", 26), "%E2%80%AE", "*", "%2F", "a%2Fb"} {
		for _, path := range []string{"/webhooks/" + odd, "/webhooks/" + odd + "/deliveries", "/deliveries/" + odd, "/replays/" + odd, "/events/" + odd, "/projects/" + odd + "/webhooks?limit=1"} {
			r := w.do("GET", "/api/v1"+path, "")
			if r.StatusCode != 404 && (r.StatusCode != 200 || !strings.HasPrefix(path, "/projects/")) {
				t.Errorf("GET %.80s: %d", path, r.StatusCode)
			}
		}
		w.do("DELETE", "/api/v1/webhooks/"+odd, "")
		w.do("PATCH", "/api/v1/webhooks/"+odd, `{"description":"x"}`, "If-Match", `"\"`)
	}
	for _, time := range []string{"0000-01-01T00:00:00Z", "0000-01-01T00:00:00%2B23:59", "0001-01-01T00:00:00Z", "1600-01-01T00:00:00Z", "2300-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59-23:59"} {
		w.do("GET", "/api/v1/webhooks/"+id+"/deliveries?since="+time, "")
		w.do("GET", "/api/v1/webhooks/"+id+"/deliveries?until="+time, "")
		plain := strings.ReplaceAll(time, "%2B", "+")
		r := w.do("POST", "/api/v1/webhooks/"+id+"/replay", `{"since":"`+plain+`","until":"`+plain+`"}`)
		if r.StatusCode == 202 {
			w.do("GET", "/api/v1/replays/"+r.text(t, "id"), "")
		}
		w.do("POST", "/api/v1/webhooks/"+id+"/replay", `{"since":"`+plain+`"}`)
		r = w.do("POST", "/api/v1/webhooks/"+id+"/replay", `{"since":"2024-01-01T00:00:00Z","until":"`+plain+`"}`)
		if r.StatusCode == 202 {
			w.do("GET", "/api/v1/replays/"+r.text(t, "id"), "")
		}
	}
	for _, accept := range []string{"application/cbor", "text/html", "application/json;q=0", ";;;,,,", "*/*;q=", strings.Repeat(",", 5000)} {
		w.want(200, w.do("GET", "/api/v1/webhooks/"+id, "", "Accept", accept))
		w.want(404, w.do("GET", "/api/v1/webhooks/nothing", "", "Accept", accept))
	}
	for _, body := range []string{
		"null", "0", `"x"`, `{"\u0000":1}`, `{"":1}`, strings.Repeat(`{"a":`, 20_000), strings.Repeat(`[`, 500_000), `{"description":"` + strings.Repeat(`\u0000`, 501) + `"}`,
		`{"headers":{"":"x"}}`, `{"headers":{"X":"` + strings.Repeat("x", 5000) + `"}}`, `{"events":[` + strings.Repeat(`"*",`, 200) + `"*"]}`, `{"filters":{"` + strings.Repeat("a.", 3000) + `a":1}}`,
		`{"filter":"` + strings.Repeat("(", 300_000) + `"}`, `{"retry":[` + strings.Repeat(`"1s",`, 100_000) + `"1s"]}`, `{"concurrency":1e400}`, `{"concurrency":-0}`, `{"concurrency":99999999999999999999}`,
	} {
		if r := w.do("PATCH", "/api/v1/webhooks/"+id, body); r.StatusCode != 422 && r.StatusCode != 400 {
			t.Errorf("%.60s: %d %.300s", body, r.StatusCode, r.body)
		}
	}
}

// A small body can have very many problems. Of a list no more than a thousand
// elements are looked at, and the others cost no more than reading them.
func TestManyProblemsAreBounded(t *testing.T) {
	w := newWorld(t)
	id := w.create("acme", "")
	ones := strings.Repeat("1,", 399_999) + "1"
	var headers strings.Builder
	for i := range 9000 {
		fmt.Fprintf(&headers, `"é%d":"1",`, i)
	}
	for _, c := range []struct{ path, body, want string }{
		{"/projects/acme/webhooks", `{"url":"x","events":[` + ones + `],"headers":{` + headers.String() + `"X":"1"}}`, "Of 10004 problems the first 100"},
		{"/webhooks/" + id + "/replay", `{"since":"2024-01-01T00:00:00Z","status":[` + ones + `]}`, "Of 1001 problems the first 100"},
	} {
		if detail := w.want(422, w.do("POST", "/api/v1"+c.path, c.body)).text(t, "detail"); !strings.Contains(detail, c.want) {
			t.Errorf("%s: %q, want %q", c.path, detail, c.want)
		}
	}
}

// A call without a body takes none, or the empty object that some clients send.
func TestCallsWithoutABodyTakeNone(t *testing.T) {
	w := newWorld(t)
	hook := "/api/v1/webhooks/" + w.create("acme", "")
	w.want(200, w.do("PATCH", hook, `{"status":"disabled"}`))
	retry := func() string { // of a delivery each: there is one attempt at a time
		w.publish(`{"type":"project.created","data":{"id":"acme"}}`)
		skipped := w.want(200, w.do("GET", hook+"/deliveries", "")).get(t, "data").([]any)[0]
		return "/api/v1/deliveries/" + skipped.(map[string]any)["id"].(string) + "/retry"
	}
	link := func() string { return "/api/v1/projects/acme/dashboard-links" }
	for _, tc := range []struct {
		path func() string
		ok   int
	}{{retry, 202}, {link, 200}} {
		w.want(tc.ok, w.do("POST", tc.path(), "", "Content-Type", ""))
		w.want(tc.ok, w.do("POST", tc.path(), "", "Content-Type", "application/x-www-form-urlencoded"))
		w.want(tc.ok, w.do("POST", tc.path(), " {} "))
		w.want(415, w.do("POST", tc.path(), "{}", "Content-Type", "text/plain"))
		w.want(413, w.do("POST", tc.path(), strings.Repeat("{", 3<<20)))
		w.want(400, w.do("POST", tc.path(), "{"))
		r := w.want(422, w.do("POST", tc.path(), `{"x":1}`))
		if diff := cmp.Diff([]string{"unknown_member #/x"}, r.items(t)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", r.path, diff)
		}
	}
	w.want(404, w.do("POST", "/api/v1/deliveries/dlv_nothing/retry", "{"))
	w.want(204, w.do("DELETE", hook, "{"))
}

func TestProblemsOfATestedEventPointIntoTheBody(t *testing.T) {
	w := newWorld(t)
	for _, tc := range []struct {
		body string
		want []string
	}{
		{`{"filter":"true","event":{"type":"hush.x","data":[],"bogus":1}}`, []string{"unknown_member #/event/bogus", "unknown_type #/event/type", "wrong_type #/event/data", "missing #/event/project_id"}},
		{`{"event":{"type":"project.created","data":{"id":"p"}}}`, nil},
		{`{"filter":"nothing ==","filters":{"a..b":1},"event":{"type":"project.created","data":{"id":"p"}}}`, []string{"invalid_filter #/filters/a..b", "invalid_filter #/filter"}},
		{`{"filter":"true"}`, nil},
		{`{"filter":"","filters":null,"event":{"type":"project.created","data":{"id":"p"}}}`, []string{"invalid_value #/filter"}},
		{`{"filter":"true","event_id":"x","event":{}}`, nil},
	} {
		r := w.want(422, w.do("POST", "/api/v1/filters/test", tc.body))
		if diff := cmp.Diff(tc.want, r.items(t)); tc.want != nil && diff != "" {
			t.Errorf("%s (-want +got)\n%s", tc.body, diff)
		}
	}
	matched := w.want(200, w.do("POST", "/api/v1/filters/test", `{"filters":{},"event":{"type":"project.created","data":{"id":"p"}}}`))
	if matched.get(t, "match") != true {
		t.Errorf("no conditions: %s", matched.body)
	}
	w.want(404, w.do("POST", "/api/v1/filters/test", `{"filter":"true","event":{"type":"project.created","data":{"id":"other"}}}`, "Authorization", "Bearer "+acmeKey))
}

func TestPanicIsAnsweredAndLogged(t *testing.T) {
	a, err := api.New(api.Options{
		Gateway:  func(context.Context) (*gateway.Gateway, error) { panic("hush") },
		Identify: func(*gateway.Gateway, *http.Request) (*gateway.Key, error) { return nil, nil },
		Logger:   zap.NewNop(),
	})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/webhooks/x", nil)
	rec := httptest.NewRecorder()
	a.Route(r).ServeHTTP(rec, r)
	if rec.Code != 500 || rec.Header().Get("Content-Type") != "application/problem+json" || strings.Contains(rec.Body.String(), "hush") {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

func TestGatewayThatStartsIsToldAsSuch(t *testing.T) {
	a, err := api.New(api.Options{
		Gateway: func(context.Context) (*gateway.Gateway, error) {
			return nil, problem.New(problem.Unavailable, "Starting.")
		},
		Identify: func(*gateway.Gateway, *http.Request) (*gateway.Key, error) { return nil, nil },
		Logger:   zap.NewNop(),
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/webhooks/x", "/health", "/egress-ips", "/event-types"} {
		r := httptest.NewRequestWithContext(t.Context(), "GET", path, nil)
		rec := httptest.NewRecorder()
		a.Route(r).ServeHTTP(rec, r)
		if rec.Code != 503 {
			t.Errorf("%s: %d %s, want 503", path, rec.Code, rec.Body)
		}
	}
}

func TestTimesAreThoseOfTheRFC(t *testing.T) {
	w := newWorld(t)
	hook := "/api/v1/webhooks/" + w.create("acme", "")
	for _, text := range []string{"2024-01-01T0:00:00Z", "2024-01-01T00:00:00,5Z", "2024-01-01T00:00:00%2B24:00", "2024-01-01T00:00:00%2B23:60", "2024-01-01", ""} {
		w.want(422, w.do("GET", hook+"/deliveries?since="+text, ""))
		w.want(422, w.do("GET", hook+"/deliveries?until="+text, ""))
		w.want(422, w.do("POST", hook+"/replay", `{"dry_run":true,"since":"`+strings.ReplaceAll(text, "%2B", "+")+`"}`))
	}
	for _, text := range []string{"2024-01-01t00:00:00z", "2024-01-01T00:00:00.5%2B23:59"} {
		w.want(200, w.do("GET", hook+"/deliveries?since="+text+"&until="+text, ""))
		w.want(200, w.do("POST", hook+"/replay", `{"dry_run":true,"since":"`+strings.ReplaceAll(text, "%2B", "+")+`"}`))
	}
}

func TestTimesFarAwayAreStillTimes(t *testing.T) {
	w := newWorld(t)
	id := w.create("acme", "")
	w.want(200, w.do("POST", "/api/v1/webhooks/"+id+"/test", ""))
	for query, want := range map[string]int{
		"since=0000-01-01T00:00:00Z": 1, "since=0001-01-01T00:00:00Z": 1, "since=1600-01-01T00:00:00Z": 1, "since=2300-01-01T00:00:00Z": 0, "since=9999-12-31T23:59:59Z": 0,
		"until=0000-01-01T00:00:00Z": 0, "until=0001-01-01T00:00:00Z": 0, "until=1600-01-01T00:00:00Z": 0, "until=2300-01-01T00:00:00Z": 1, "until=9999-12-31T23:59:59Z": 1,
		"since=2024-01-01T00:00:00Z&until=9999-12-31T23:59:59Z": 1,
	} {
		r := w.want(200, w.do("GET", "/api/v1/webhooks/"+id+"/deliveries?"+query, ""))
		if got := len(r.get(t, "data").([]any)); got != want {
			t.Errorf("%s: %d deliveries, want %d", query, got, want)
		}
	}
}
