package api_test

import (
	"fmt"
	"io"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tengineai/webhook-gateway/gateway"
)

const webhooksOfAcme = "/api/v1/projects/acme/webhooks"

// TestCreatedWebhookIsWrittenAsTheContractSays compares a whole answer: members,
// their order, and what is null.
func TestCreatedWebhookIsWrittenAsTheContractSays(t *testing.T) {
	w := newWorld(t)
	r := w.want(201, w.do("POST", webhooksOfAcme, `{"url":"https://your-app.com/webhook","events":["project.created","api_key.created"],
		"secret":"your-webhook-secret","headers":{"X-Custom-Header":"custom-value"},"filters":{"project.name":"My Project"}}`))
	created := r.text(t, "created_at")
	id := r.text(t, "id")
	want := `{"id":"` + id + `","project_id":"acme","url":"https://your-app.com/webhook","description":"","events":["project.created","api_key.created"],` +
		`"filters":{"project.name":"My Project"},"filter":null,"headers":{"X-Custom-Header":"custom-value"},` +
		`"status":"active","disabled_reason":null,"retry":null,"timeout":null,"rate_limit":null,"concurrency":null,` +
		`"secrets":[{"hint":"…cret","expires_at":null}],"source":"api","created_at":"` + created + `","updated_at":"` + r.text(t, "updated_at") + "\"}\n"
	if diff := cmp.Diff(want, string(r.body)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if got, want := r.Header.Get("Location"), "/api/v1/webhooks/"+id; got != want {
		t.Errorf("Location %q, want %q", got, want)
	}
	read := w.want(200, w.do("GET", "/api/v1/webhooks/"+id, ""))
	if diff := cmp.Diff(string(r.body), string(read.body)); diff != "" {
		t.Errorf("read again (-created +read)\n%s", diff)
	}
	if etag := read.Header.Get("ETag"); etag == "" || etag != r.Header.Get("ETag") {
		t.Errorf("ETag %q, then %q", r.Header.Get("ETag"), etag)
	}
}

func TestGeneratedSecretIsShownOnce(t *testing.T) {
	w := newWorld(t)
	r := w.want(201, w.do("POST", webhooksOfAcme, `{"url":"https://example.com/","events":["*"],"secret":null}`))
	secret := r.text(t, "secret")
	if !strings.HasPrefix(secret, "whsec_") || len(secret) < 30 {
		t.Errorf("secret %q", secret)
	}
	if read := w.do("GET", "/api/v1/webhooks/"+r.text(t, "id"), ""); strings.Contains(string(read.body), secret) {
		t.Error("the secret is shown again")
	}
	rotated := w.want(200, w.do("POST", "/api/v1/webhooks/"+r.text(t, "id")+"/rotate-secret", `{"overlap":"1h","primary":"previous"}`))
	if again := rotated.text(t, "secret"); again == "" || again == secret {
		t.Errorf("the rotation's secret is %q", again)
	}
	if n := len(rotated.get(t, "secrets").([]any)); n != 2 {
		t.Errorf("%d secrets within the overlap, want 2", n)
	}
	w.want(409, w.do("POST", "/api/v1/webhooks/"+r.text(t, "id")+"/rotate-secret", `{}`))
	w.want(200, w.do("POST", "/api/v1/webhooks/"+r.text(t, "id")+"/rotate-secret", `{"force":true,"overlap":"0s"}`))
}

func TestAllProblemsAreToldAtOnce(t *testing.T) {
	w := newWorld(t)
	id := w.create("acme", "")
	for _, tc := range []struct {
		name, method, path, body string
		want                     []string
	}{
		{"nothing", "POST", webhooksOfAcme, `{}`, []string{"missing #/url", "missing #/events"}},
		{"an array", "POST", webhooksOfAcme, `[]`, []string{"wrong_type #"}},
		{"shape and rules", "POST", webhooksOfAcme, `{"url":"ftp://hush","events":["hush.x","project.*",5],"Secret":"hush","timeout":"1h","retry":["1s","hush",7,"8d"],"rate_limit":"hush","concurrency":0}`, []string{
			"wrong_type #/events/2", "unknown_member #/Secret", "invalid_value #/retry/1", "wrong_type #/retry/2", "invalid_value #/rate_limit",
			"invalid_value #/concurrency", "invalid_value #/url", "unknown_type #/events/0", "invalid_value #/retry/3", "invalid_value #/timeout",
		}},
		{"duplicates", "POST", webhooksOfAcme, `{"url":"https://example.com","url":"https://hush.example.com","events":["*"],"headers":{"X-A":"hush","x-a":"hush"},"bogus":1}`, []string{
			"duplicate_member #/url", "unknown_member #/bogus", "duplicate_member #/headers/x-a",
		}},
		{"one thing is told once", "POST", webhooksOfAcme, `{"url":"https://example.com","events":["*"],"a!b (c)":1,"a!b (c)":2}`, []string{"duplicate_member #/a!b%20(c)"}},
		{"headers", "POST", webhooksOfAcme, `{"url":"https://example.com","events":["*"],"headers":{"Host":"hush","X-~/":"hush","X":5}}`, []string{
			"wrong_type #/headers/X", "reserved #/headers/Host", "invalid_value #/headers/X-~0~1",
		}},
		{"types", "POST", webhooksOfAcme, `{"url":{},"events":"*","filters":[],"filter":1,"headers":[],"status":"hush","description":[],"retry":"1m","timeout":5,"concurrency":"4"}`, []string{
			"wrong_type #/url", "wrong_type #/events", "wrong_type #/filters", "wrong_type #/filter", "wrong_type #/headers", "invalid_value #/status",
			"wrong_type #/description", "wrong_type #/retry", "wrong_type #/timeout", "wrong_type #/concurrency",
		}},
		{"zero is no default", "POST", webhooksOfAcme, `{"url":"https://example.com","events":["*"],"timeout":"0s","concurrency":0,"rate_limit":""}`, []string{
			"invalid_value #/timeout", "invalid_value #/concurrency", "invalid_value #/rate_limit",
		}},
		{"an event type twice", "POST", webhooksOfAcme, `{"url":"https://example.com","events":["*","project.*","*"]}`, []string{"invalid_value #/events/2"}},
		{"empty is no default", "PATCH", "/api/v1/webhooks/" + id, `{"secret":"","filter":"","events":[]}`, []string{
			"invalid_value #/secret", "invalid_value #/filter", "missing #/events",
		}},
		{"a secret of no length", "POST", webhooksOfAcme, `{"url":"https://example.com","events":["*"],"secret":""}`, []string{"invalid_value #/secret"}},
		{"rotation to nothing", "POST", "/api/v1/webhooks/" + id + "/rotate-secret", `{"secret":""}`, []string{"invalid_value #/secret"}},
		{"replay of no status", "POST", "/api/v1/webhooks/" + id + "/replay", `{"since":"2024-01-01T00:00:00Z","status":[]}`, []string{"invalid_value #/status"}},
		{"document", "GET", "/api/v1/openapi.json?limit=1", "", []string{"unknown_parameter limit"}},
		{"read-only members", "PATCH", "/api/v1/webhooks/" + id, `{"id":"x","project_id":"x","secrets":[],"source":"api","created_at":"x","updated_at":"x","disabled_reason":"gone"}`, []string{
			"unknown_member #/id", "unknown_member #/project_id", "unknown_member #/secrets", "unknown_member #/source",
			"unknown_member #/created_at", "unknown_member #/updated_at", "unknown_member #/disabled_reason",
		}},
		{"what cannot be null", "PATCH", "/api/v1/webhooks/" + id, `{"url":null,"events":null,"secret":null}`, []string{
			"wrong_type #/url", "wrong_type #/events", "wrong_type #/secret",
		}},
		{"filters", "PATCH", "/api/v1/webhooks/" + id, `{"filters":{"a..b":1,"data.n":9007199254740993},"filter":"hush ==","bogus":1}`, []string{
			"number_not_exact #/filters/data.n", "unknown_member #/bogus", "invalid_filter #/filters/a..b", "invalid_filter #/filter",
		}},
		{"a masked value that is not stored", "PATCH", "/api/v1/webhooks/" + id, `{"headers":{"X-Token":"********"},"bogus":1}`, []string{
			"unknown_member #/bogus", "invalid_value #/headers/X-Token",
		}},
		{"lone surrogate", "PATCH", "/api/v1/webhooks/" + id, `{"description":"\ud800"}`, []string{"lone_surrogate #/description"}},
		{"rotation", "POST", "/api/v1/webhooks/" + id + "/rotate-secret", `{"primary":"old","overlap":"hush","force":1,"secret":5}`, []string{
			"invalid_value #/primary", "invalid_value #/overlap", "wrong_type #/force", "wrong_type #/secret",
		}},
		{"replay", "POST", "/api/v1/webhooks/" + id + "/replay", `{"since":"yesterday","until":5,"status":["hush"],"dry_run":"no"}`, []string{
			"invalid_value #/since", "wrong_type #/until", "invalid_value #/status/0", "wrong_type #/dry_run",
		}},
		{"query and body", "POST", webhooksOfAcme + "?limit=1", `{"url":"https://example.com","events":["*"],"bogus":1}`, []string{"unknown_parameter limit", "unknown_member #/bogus"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := w.want(422, w.do(tc.method, tc.path, tc.body)).items(t)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestEveryCallTellsAllItsProblems(t *testing.T) {
	w := newWorld(t)
	id := w.create("acme", `,"secret":"the-present-secret"`)
	event := w.publish(`{"type":"project.created","data":{"id":"acme"}}`)
	hook := "/api/v1/webhooks/" + id
	for _, tc := range []struct {
		method, path, body string
		want               []string
	}{
		{"POST", hook + "/rotate-secret", `{"foo":1,"secret":"aaaaaaaaaaaaaaa","overlap":"40d"}`, []string{"unknown_member #/foo", "invalid_value #/secret", "invalid_value #/overlap"}},
		{"POST", hook + "/rotate-secret", `{"foo":1,"secret":"the-present-secret"}`, []string{"unknown_member #/foo", "invalid_value #/secret"}},
		{"POST", hook + "/rotate-secret?foo=1", `{"overlap":"40d"}`, []string{"unknown_parameter foo", "invalid_value #/overlap"}},
		{"POST", hook + "/rotate-secret", `{"foo":1,"secret":5}`, []string{"unknown_member #/foo", "wrong_type #/secret"}},
		{"POST", hook + "/test", `{"foo":1,"type":"a.b"}`, []string{"unknown_member #/foo", "unknown_type #/type"}},
		{"POST", hook + "/replay", `{"foo":1,"since":"2030-01-01T00:00:00Z"}`, []string{"unknown_member #/foo", "invalid_value #/since"}},
		{"POST", hook + "/replay", `{"foo":1,"until":5}`, []string{"unknown_member #/foo", "wrong_type #/until", "missing #/since"}},
		{"POST", "/api/v1/filters/test", `{"foo":1,"filter":"1 +","event":{"type":"a.b","data":{},"project_id":"p"}}`, []string{"unknown_member #/foo", "invalid_filter #/filter", "unknown_type #/event/type"}},
		{"POST", "/api/v1/filters/test", `{"foo":1}`, []string{"unknown_member #/foo", "missing #/filter", "missing #/event"}},
		{"POST", "/api/v1/filters/test", `{"filters":[],"event_id":5}`, []string{"wrong_type #/filters", "wrong_type #/event_id"}},
		{"GET", webhooksOfAcme + "?limit=0&cursor=abc", "", []string{"invalid_value limit", "invalid_value cursor"}},
		{"GET", webhooksOfAcme + "?foo=1&cursor=abc", "", []string{"unknown_parameter foo", "invalid_value cursor"}},
		{"GET", "/api/v1/projects/acme/events?limit=0&cursor=abc", "", []string{"invalid_value limit", "invalid_value cursor"}},
		{"GET", "/api/v1/events/" + event + "?limit=0&cursor=abc", "", []string{"invalid_value limit", "invalid_value cursor"}},
		{"GET", hook + "/deliveries?limit=0&cursor=abc", "", []string{"invalid_value limit", "invalid_value cursor"}},
		{"GET", hook + "/deliveries?status=x&cursor=abc&since=x&type=&event_id=", "", []string{"invalid_value event_id", "invalid_value since", "invalid_value status", "invalid_value type", "invalid_value cursor"}},
	} {
		got := w.want(422, w.do(tc.method, tc.path, tc.body)).items(t)
		slices.Sort(got)
		slices.Sort(tc.want)
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s %s %s (-want +got)\n%s", tc.method, tc.path, tc.body, diff)
		}
	}
}

func TestAGoodCursorIsNoProblemBesideOthers(t *testing.T) {
	w := newWorld(t)
	w.create("acme", "")
	w.create("acme", "")
	next := w.want(200, w.do("GET", webhooksOfAcme+"?limit=1", "")).text(t, "next_cursor")
	got := w.want(422, w.do("GET", webhooksOfAcme+"?limit=0&cursor="+next, "")).items(t)
	if diff := cmp.Diff([]string{"invalid_value limit"}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestACursorIsOfOneList(t *testing.T) {
	w := newWorld(t)
	w.create("acme", "")
	w.create("acme", "")
	first := w.publish(`{"type":"project.created","data":{"id":"acme"}}`)
	second := w.publish(`{"type":"project.updated","data":{"id":"acme"}}`)
	ofWebhooks := w.want(200, w.do("GET", webhooksOfAcme+"?limit=1", "")).text(t, "next_cursor")
	ofEvent := w.want(200, w.do("GET", "/api/v1/events/"+first+"?limit=1", "")).text(t, "next_cursor")
	w.want(200, w.do("GET", "/api/v1/events/"+first+"?project_id=acme&cursor="+ofEvent, ""))
	w.want(422, w.do("GET", "/api/v1/events/"+second+"?cursor="+ofEvent, ""))
	w.want(422, w.do("GET", "/api/v1/events/"+first+"?cursor="+ofWebhooks, ""))
	w.want(422, w.do("GET", webhooksOfAcme+"?cursor="+ofEvent, ""))
	w.want(422, w.do("GET", "/api/v1/projects/other/webhooks?cursor="+ofWebhooks, ""))
	w.want(422, w.do("GET", webhooksOfAcme+"?cursor="+ofWebhooks[:len(ofWebhooks)-2]+"AA", ""))
	w.want(200, w.do("GET", webhooksOfAcme+"?cursor="+ofWebhooks, ""))
}

func TestChangeMergesAtTheTopLevel(t *testing.T) {
	w := newWorld(t)
	id := w.create("acme", `,"headers":{"X-A":"a","Authorization":"hush"},"filters":{"data.n":1},"timeout":"3s","retry":["1m"],"description":"d"`)
	path := "/api/v1/webhooks/" + id
	change := func(body string) reply { return w.want(200, w.do("PATCH", path, body)) }

	got := change(`{"headers":{"Authorization":"********","X-B":"b"},"filters":{"data.m":2},"retry":["90s","2d","48h","1m30s"]}`)
	for member, want := range map[string]string{
		"headers": `map[Authorization:******** X-B:b]`, "filters": `map[data.m:2]`, "retry": `[90s 2d 2d 90s]`, "timeout": "3s", "description": "d",
	} {
		if got := fmt.Sprint(got.get(t, member)); got != want {
			t.Errorf("%s: %s, want %s", member, got, want)
		}
	}
	got = change(`{"headers":null,"filters":null,"retry":null,"timeout":null,"description":null,"status":null,"filter":null,"rate_limit":null,"concurrency":null}`)
	for member, want := range map[string]string{
		"headers": `map[]`, "filters": `map[]`, "retry": `<nil>`, "timeout": "<nil>", "description": "", "status": "active",
	} {
		if got := fmt.Sprint(got.get(t, member)); got != want {
			t.Errorf("after null, %s: %s, want %s", member, got, want)
		}
	}
	if got := change(`{"retry":[]}`).get(t, "retry"); fmt.Sprint(got) != "[]" {
		t.Errorf("retry [] reads as %v", got)
	}
	if got := change(`{"status":"disabled"}`).text(t, "disabled_reason"); got != "manual" {
		t.Errorf("disabled_reason %q, want manual", got)
	}
}

func TestNumbersAreWholeAsJSONSchemaHasIt(t *testing.T) {
	w := newWorld(t)
	hook := "/api/v1/webhooks/" + w.create("acme", "")
	for _, text := range []string{"5", "5.0", "5e0", "0.5e1", "50E-1"} {
		got := w.want(200, w.do("PATCH", hook, `{"concurrency":`+text+`}`)).get(t, "concurrency")
		if fmt.Sprint(got) != "5" {
			t.Errorf("%s: %v", text, got)
		}
	}
	for _, text := range []string{"5.5", "0.0", "1000.5", "1e3000", "1e17", `"5"`} {
		w.want(422, w.do("PATCH", hook, `{"concurrency":`+text+`}`))
	}
}

func TestABodyThatMayBeLeftOutMayBeEmptyInAnyFraming(t *testing.T) {
	w := newWorld(t)
	path := "/api/v1/webhooks/" + w.create("acme", "") + "/rotate-secret"
	chunked := func(body, contentType string) int {
		r := httptest.NewRequestWithContext(t.Context(), "POST", "http://site"+path, io.MultiReader(strings.NewReader(body)))
		r.ContentLength = -1
		r.Header.Set("Authorization", "Bearer "+allKey)
		if contentType != "" {
			r.Header.Set("Content-Type", contentType)
		}
		rec := httptest.NewRecorder()
		w.api.Route(r).ServeHTTP(rec, r)
		return rec.Code
	}
	for _, tc := range []struct {
		body, contentType string
		want              int
	}{
		{"", "", 200}, {"", "application/json", 409}, {"{}", "", 415}, {`{"force":true}`, "application/json", 200}, {" ", "application/json", 400},
	} {
		if got := chunked(tc.body, tc.contentType); got != tc.want {
			t.Errorf("%q as %q: %d, want %d", tc.body, tc.contentType, got, tc.want)
		}
	}
}

func TestIfMatchGuardsAgainstLostChanges(t *testing.T) {
	w := newWorld(t)
	path := "/api/v1/webhooks/" + w.create("acme", "")
	old := w.do("GET", path, "").Header.Get("ETag")
	changed := w.want(200, w.do("PATCH", path, `{"description":"1"}`, "If-Match", old)).Header.Get("ETag")
	if changed == old {
		t.Fatalf("the ETag stays %s", old)
	}
	for _, stale := range []string{old, `""`, "W/" + changed, strings.Trim(changed, `"`), `"x", ` + old} {
		w.want(412, w.do("PATCH", path, `{"description":"2"}`, "If-Match", stale))
		w.want(412, w.do("DELETE", path, "", "If-Match", stale))
		w.want(412, w.do("DELETE", path, "", "If-Match", stale+", *"))
		w.want(412, w.do("POST", path+"/rotate-secret", "", "If-Match", stale))
	}
	w.want(200, w.do("PATCH", path, `{"description":"3"}`, "If-Match", "*"))
	w.want(200, w.do("PATCH", path, `{"description":"4"}`))
	w.want(200, w.do("POST", path+"/rotate-secret", "", "If-Match", w.do("GET", path, "").Header.Get("ETag")))
	now := w.do("GET", path, "").Header.Get("ETag")
	w.want(204, w.do("DELETE", path, "", "If-Match", old+", "+now))
	w.want(404, w.do("GET", path, ""))
}

// TestOthersThingsAreNotThere asks for a webhook of another project: the answer
// is that for one that does not exist, whatever else is wrong.
func TestOthersThingsAreNotThere(t *testing.T) {
	w := newWorld(t)
	theirs := "/api/v1/webhooks/" + w.create("other", "")
	const nobodys = "/api/v1/webhooks/wh_01J9Z3Q8M5ABCDEFGHJKMNPQRS"
	for _, call := range [][3]string{
		{"GET", "", ""}, {"GET", "?bogus=1", ""}, {"PATCH", "", "{"}, {"PATCH", "", `{"bogus":1}`}, {"PATCH", "", `{"description":"x"}`}, {"DELETE", "", ""},
		{"POST", "/test", ""}, {"POST", "/test", "["}, {"POST", "/rotate-secret", `{"overlap":5}`}, {"POST", "/rotate-secret", ""},
		{"GET", "/deliveries", ""}, {"GET", "/deliveries?limit=0", ""}, {"GET", "/deliveries?limit=0&cursor=x", ""}, {"POST", "/replay", "{}"},
	} {
		a := w.want(404, w.do(call[0], theirs+call[1], call[2], "Authorization", "Bearer "+acmeKey))
		b := w.want(404, w.do(call[0], nobodys+call[1], call[2], "Authorization", "Bearer "+acmeKey))
		if diff := cmp.Diff(string(b.body), string(a.body)); diff != "" {
			t.Errorf("%v tells another's webhook from none (-none +another's)\n%s", call, diff)
		}
	}
	for _, project := range []string{"other", "no%20id", "%2A"} {
		w.want(404, w.do("GET", "/api/v1/projects/"+project+"/webhooks?limit=0", "", "Authorization", "Bearer "+acmeKey))
		w.want(404, w.do("POST", "/api/v1/projects/"+project+"/webhooks", "{", "Authorization", "Bearer "+acmeKey))
		w.want(404, w.do("GET", "/api/v1/projects/"+project+"/events", "", "Authorization", "Bearer "+acmeKey))
	}
	event := w.publish(`{"type":"project.created","data":{"id":"other"}}`)
	for _, id := range []string{event, "nothing"} {
		w.want(404, w.do("GET", "/api/v1/events/"+id+"?cursor=x", "", "Authorization", "Bearer "+acmeKey))
		for _, tried := range []string{
			`{"filter":"1 +","event_id":"` + id + `"}`, `{"foo":1,"filter":"1 +","event_id":"` + id + `"}`,
			`{"filter":"1 +","event":{"type":"project.created","data":{"id":"other"}}}`, `{"event":{},"project_id":"other"}`,
		} {
			w.want(404, w.do("POST", "/api/v1/filters/test", tried, "Authorization", "Bearer "+acmeKey))
		}
	}
}

func TestKeyThatOnlyManagesIsToldWhatIsWrong(t *testing.T) {
	w := newWorld(t)
	id := w.create("acme", "")
	w.want(422, w.do("PATCH", "/api/v1/webhooks/"+id, `{"bogus":1}`, "Authorization", "Bearer "+writeKey))
	w.want(404, w.do("PATCH", "/api/v1/webhooks/nothing", `{"bogus":1}`, "Authorization", "Bearer "+writeKey))
	w.want(403, w.do("GET", "/api/v1/webhooks/"+id, "", "Authorization", "Bearer "+writeKey))
}

func TestListsHaveStableParts(t *testing.T) {
	w := newWorld(t)
	var made []string
	for range 4 {
		made = append(made, w.create("acme", ""))
	}
	made = append(made, "wh_static")
	var found []string
	for path := webhooksOfAcme + "?limit=2"; ; {
		r := w.want(200, w.do("GET", path, ""))
		for _, item := range r.get(t, "data").([]any) {
			found = append(found, item.(map[string]any)["id"].(string))
		}
		next, ok := r.get(t, "next_cursor").(string)
		if !ok {
			break
		}
		path = webhooksOfAcme + "?limit=2&cursor=" + next
	}
	if diff := cmp.Diff(made, found); diff != "" {
		t.Errorf("(-made +found)\n%s", diff)
	}
	for _, query := range []string{"limit=0", "limit=201", "limit=-1", "limit=x", "limit=", "limit=+1", "limit=05", "limit=5.0", "limit=1&limit=2", "Limit=1", "cursor=hush", "cursor=%ff", "offset=1", "limit=99999999999999999999"} {
		got := w.want(422, w.do("GET", webhooksOfAcme+"?"+query, "")).items(t)
		if len(got) != 1 || !strings.HasSuffix(strings.ToLower(got[0]), " "+strings.ToLower(strings.SplitN(query, "=", 2)[0])) {
			t.Errorf("%s: %q", query, got)
		}
	}
}

func TestNoMoreThanMaxWebhooks(t *testing.T) {
	w := newWorld(t)
	for range 5 {
		w.create("acme", "")
	}
	w.want(409, w.do("POST", webhooksOfAcme, `{"url":"https://example.com","events":["*"]}`))
	w.create("other", "")
}

func TestOnlyTheStatusOfAStaticWebhookCanBeChanged(t *testing.T) {
	w := newWorld(t)
	w.want(409, w.do("PATCH", "/api/v1/webhooks/wh_static", `{"description":"x"}`))
	w.want(409, w.do("DELETE", "/api/v1/webhooks/wh_static", ""))
	if got := w.want(200, w.do("PATCH", "/api/v1/webhooks/wh_static", `{"status":"paused"}`)); got.text(t, "status") != "paused" || got.text(t, "source") != "config" {
		t.Errorf("%s", got.body)
	}
}

// TestOfAParkedWebhookThereIsTheHistory takes a webhook out of the configuration.
func TestOfAParkedWebhookThereIsTheHistory(t *testing.T) {
	w := newWorld(t)
	const hook = "/api/v1/webhooks/wh_static"
	delivery := w.want(200, w.do("POST", hook+"/test", "")).text(t, "id")
	without := w.settings()
	without.Static = nil
	if _, err := w.gw.Apply(t.Context(), without); err != nil {
		t.Fatal(err)
	}
	w.want(404, w.do("GET", hook, ""))
	w.want(404, w.do("PATCH", hook, `{"status":"paused"}`))
	w.want(404, w.do("DELETE", hook, ""))
	w.want(404, w.do("POST", hook+"/rotate-secret", ""))
	w.want(200, w.do("GET", hook+"/deliveries", ""))
	w.want(422, w.do("GET", hook+"/deliveries?limit=0", ""))
	w.want(200, w.do("GET", "/api/v1/deliveries/"+delivery, ""))
	w.want(200, w.do("POST", hook+"/replay", `{"since":"2024-01-01T00:00:00Z","dry_run":true}`))
	w.want(409, w.do("POST", hook+"/replay", `{"since":"2024-01-01T00:00:00Z"}`))
	w.want(409, w.do("POST", hook+"/test", ""))
	w.want(422, w.do("POST", hook+"/test", `{"foo":1}`))
	w.want(404, w.do("GET", hook+"/deliveries", "", "Authorization", "Bearer "+acmeKey))
}

func TestFailingGatewayIsNoFaultOfTheClient(t *testing.T) {
	w := newWorld(t)
	w.gw.StopIntake()
	if err := w.gw.Close(); err != nil {
		t.Fatal(err)
	}
	w.want(503, w.do("POST", webhooksOfAcme, `{"url":"https://example.com","events":["*"]}`))
	r := w.want(503, w.do("GET", "/api/v1/health", ""))
	if got := r.text(t, "status"); got != string(gateway.HealthUnavailable) {
		t.Errorf("health %q", got)
	}
}
