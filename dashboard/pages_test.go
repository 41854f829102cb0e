package dashboard_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/webhook"
)

func TestEmptyProjectSaysWhatToDo(t *testing.T) {
	w := newWorld(t, nil)
	w.signedIn(acmeKey).open("/list?project=acme").wants(t, "No webhooks yet", "Add your first webhook")
	w.signedIn(readKey).open("/list?project=acme").wants(t, "Your key may only read")
	w.signedIn(acmeKey).open("/events?project=acme").wants(t, "No events yet")
	id := w.create(nil)
	w.signedIn(acmeKey).open("/webhook/"+id+"/log").wants(t, "No deliveries yet")
	w.signedIn(acmeKey).open("/webhook/"+id+"/log?status=failed").wants(t, "Nothing matches this filter")
}

// fullForm is a form with something in every field.
func fullForm(receiver string) url.Values {
	return url.Values{
		"project": {"acme"}, "url": {receiver}, "description": {"Orders"},
		"events": {"project.*", "api_key.created"}, "other_events": {"webhook.disabled"},
		"filter_path": {"project.name", "data.n", "data.ok", "data.gone", "data.any", ""}, "filter_kind": {"text", "number", "boolean", "null", "list", "text"},
		"filter_value": {"My Project", "4.5", "true", "", `["a",1]`, ""},
		"filter":       {`type startsWith "project."`},
		"header_name":  {"X-Custom-Header", ""}, "header_value": {"custom-value", ""},
		"auth": {"bearer"}, "auth_secret": {"hush-hush"},
		"secret": {""}, "timeout": {"3s"}, "retry": {"10s 1m"}, "rate_limit": {"50/s"}, "concurrency": {"4"},
	}
}

func TestAddWebhookKeepsEverythingThatWasSet(t *testing.T) {
	w := newWorld(t, nil)
	b := w.signedIn(acmeKey)
	b.open("/new?project=acme").wants(t, "project.created", "Authentication", "Signing secret")
	got := b.post("/new", fullForm(w.receiver.URL))
	if got.status != http.StatusCreated {
		t.Fatalf("%d %s", got.status, got.text())
	}
	got.wants(t, "whsec_", "not shown again", "Orders")
	if strings.Contains(got.body, "hush") {
		t.Error("the page shows the token")
	}
	list, _, err := w.gw.Webhooks(t.Context(), &w.keys[0], "acme", gateway.Page{Limit: 10})
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	made := list[0]
	filters, _ := json.Marshal(made.Filters)
	headers, _ := json.Marshal(made.Headers)
	for name, pair := range map[string][2]string{
		"filters": {string(filters), `{"data.any":["a",1],"data.gone":null,"data.n":4.5,"data.ok":true,"project.name":"My Project"}`},
		"headers": {string(headers), `[{"name":"X-Custom-Header","value":"custom-value"},{"name":"Authorization","value":"********"}]`},
		"events":  {strings.Join(made.Events, " "), "project.* api_key.created webhook.disabled"},
		"filter":  {made.Filter, `type startsWith "project."`},
		"timeout": {made.Timeout.String(), "3s"},
		"rate":    {made.Rate.String(), "50/s"},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: %s, want %s", name, pair[0], pair[1])
		}
	}

	// What the form shows of it is what it is: saved again, nothing changes.
	form := b.open("/webhook/" + made.ID + "/edit")
	form.wants(t, `value="********"`, `value="10s 1m"`, `value="My Project"`)
	again := fullForm(w.receiver.URL)
	again.Set("version", made.Version)
	again.Set("description", "Orders again")
	again["header_name"] = []string{"X-Custom-Header", "Authorization"}
	again["header_value"] = []string{"custom-value", gateway.Masked}
	again.Del("auth")
	if got := b.post("/webhook/"+made.ID+"/edit", again); got.status != 303 {
		t.Fatalf("%d %s", got.status, got.text())
	}
	changed, err := w.gw.Webhook(t.Context(), &w.keys[0], made.ID)
	if err != nil || changed.Description != "Orders again" || changed.Concurrency != 4 || len(changed.Retry) != 2 {
		t.Errorf("%+v, %v", changed, err)
	}
	stale := b.post("/webhook/"+made.ID+"/edit", again)
	if stale.status != http.StatusPreconditionFailed {
		t.Errorf("with an old version: %d", stale.status)
	}
	stale.wants(t, "Somebody changed this webhook", "Orders again")
}

func TestEveryProblemOfAFormIsShownAtOnceAndInputIsKept(t *testing.T) {
	w := newWorld(t, nil)
	b := w.signedIn(acmeKey)
	got := b.post("/new", url.Values{
		"project": {"acme"}, "url": {"ftp://example.com"}, "description": {"<b>kept</b>"},
		"filter_path": {"data.n", "bad..path"}, "filter_kind": {"number", "text"}, "filter_value": {"many", "kept-value"},
		"filter": {"type =="}, "header_name": {"Host"}, "header_value": {"hush-header"},
		"auth": {"bearer"}, "auth_secret": {"hush-token"}, "secret": {"hush"},
		"timeout": {"99s"}, "rate_limit": {"fast"}, "concurrency": {"0"}, "retry": {"soon"},
	})
	if got.status != http.StatusUnprocessableEntity {
		t.Fatalf("%d %s", got.status, got.text())
	}
	got.wants(t, "This could not be saved", `id="url-fault"`, `id="events-fault"`, "This must be a number", "Line 1", `id="filter-fault"`,
		"A rate limit is", "The concurrency must be", "These must be waits", "The secret has 4 characters", `value="kept-value"`, `value="many"`, "&lt;b&gt;kept")
	for _, secret := range []string{"hush-token", `"hush"`} {
		if strings.Contains(got.body, secret) {
			t.Errorf("the page repeats %q", secret)
		}
	}
	// Those that only the gateway knows are shown in the same way.
	got = b.post("/new", url.Values{"project": {"acme"}, "url": {w.receiver.URL}, "events": {"no.such_type"}, "filter": {"data.x +"}, "timeout": {"29s"}})
	if got.status != http.StatusUnprocessableEntity {
		t.Fatalf("%d %s", got.status, got.text())
	}
	got.wants(t, `id="events-fault"`, `id="filter-fault"`, "Line 1", `value="29s"`)
}

// fieldFaults counts the faults in the summary of a form by their fields.
func (p page) fieldFaults() map[string]int {
	faults := make(map[string]int)
	for _, m := range regexp.MustCompile(`<li><a href="#([a-z_]+)">`).FindAllStringSubmatch(p.body, -1) {
		faults[m[1]]++
	}
	return faults
}

func TestAFaultInEachFieldIsShownThereOnce(t *testing.T) {
	w := newWorld(t, nil)
	id := w.create(nil)
	b := w.signedIn(acmeKey)
	sound := url.Values{"project": {"acme"}, "url": {w.receiver.URL}, "events": {"*"}}
	faulty := func() url.Values { // to the gateway, and to the form in its last field
		return url.Values{
			"project": {"acme"}, "url": {"ftp://example.com"}, "description": {strings.Repeat("d", 501)}, "other_events": {"no.such_type"},
			"filter_path": {"bad..path"}, "filter_kind": {"text"}, "filter_value": {"kept-value"}, "filter": {"type =="},
			"header_name": {"Host"}, "header_value": {"kept-header"}, "secret": {"whsec_no base64!"},
			"timeout": {"99s"}, "retry": {"1m 1ms"}, "rate_limit": {"2000000/s"}, "concurrency": {"5000"},
			"auth": {"bearer"},
		}
	}
	fields := map[string]string{
		"url": "url", "description": "description", "events": "other_events", "filters": "filter_path", "filter": "filter", "headers": "header_name",
		"secret": "secret", "timeout": "timeout", "retry": "retry", "rate_limit": "rate_limit", "concurrency": "concurrency", "auth": "auth",
	}
	for _, path := range []string{"/new", "/webhook/" + id + "/edit"} {
		want := make(map[string]int)
		for field := range fields {
			want[field] = 1
		}
		if path != "/new" {
			delete(want, "secret") // the form of a webhook that is there has none
		}
		got := b.post(path, faulty())
		if got.status != http.StatusUnprocessableEntity || !maps.Equal(got.fieldFaults(), want) {
			t.Errorf("%s: %d, faults of %v, want %v", path, got.status, got.fieldFaults(), want)
		}
		for name, values := range faulty() {
			if name != "secret" && name != "auth" && name != "filter_kind" && name != "filter" && !strings.Contains(got.body, `value="`+values[0]+`"`) {
				t.Errorf("%s: %s is not kept", path, name)
			}
		}
		got.wants(t, ">type ==</textarea>")
		if strings.Contains(got.body, "whsec_no") {
			t.Errorf("%s: the page repeats the secret", path)
		}
		// Each alone is the same, whoever finds it.
		for field, name := range fields {
			if want[field] == 0 {
				continue
			}
			form := maps.Clone(sound)
			for from, to := range faulty() {
				if from == name || strings.HasPrefix(name, "filter_") && strings.HasPrefix(from, "filter_") || name == "header_name" && from == "header_value" {
					form[from] = to
				}
			}
			if got := b.post(path, form); got.status != http.StatusUnprocessableEntity || !maps.Equal(got.fieldFaults(), map[string]int{field: 1}) {
				t.Errorf("%s: %s alone: %d, faults of %v", path, field, got.status, got.fieldFaults())
			}
		}
	}
	for _, concurrency := range []string{"0", "-5", "four", "99999999999999999999"} {
		form := maps.Clone(sound)
		form.Set("concurrency", concurrency)
		form.Set("timeout", "soon")
		if got := b.post("/new", form).fieldFaults(); got["concurrency"] != 1 || got["timeout"] != 1 {
			t.Errorf("concurrency %s: faults of %v", concurrency, got)
		}
	}
}

func TestASecretIsJudgedAsTheGatewayJudgesIt(t *testing.T) {
	w := newWorld(t, nil)
	b := w.signedIn(acmeKey)
	for _, secret := range []string{"hush", "hush-hush-hush-hush\n", "whsec_hush-hush-hush", "whsec_aHVzaA==", strings.Repeat("hush", 65), "a secret of good length"} {
		spec := gateway.WebhookSpec{URL: w.receiver.URL, Events: []string{"*"}, Secret: secret}
		items := w.gw.CheckSpec("acme", spec)
		got := b.post("/new", url.Values{"project": {"acme"}, "url": {w.receiver.URL}, "events": {"*"}, "secret": {secret}, "timeout": {"soon"}})
		if got.fieldFaults()["secret"] != len(items) {
			t.Errorf("%q: faults of %v, want %v", secret, got.fieldFaults(), items)
		}
		for _, it := range items {
			got.wants(t, it.Detail)
		}
	}
}

func TestAFaultyChangeDoesNotTellOfWhatStays(t *testing.T) {
	w := newWorld(t, nil)
	id := w.create(func(s *gateway.WebhookSpec) {
		s.Headers = []webhook.Header{{Name: "Authorization", Value: "Bearer hush"}}
	})
	got := w.signedIn(acmeKey).post("/webhook/"+id+"/edit", url.Values{
		"url": {w.receiver.URL}, "events": {"*"}, "timeout": {"soon"},
		"header_name": {"Authorization", "X-Token"}, "header_value": {gateway.Masked, gateway.Masked},
	})
	if want := map[string]int{"timeout": 1, "headers": 1}; !maps.Equal(got.fieldFaults(), want) {
		t.Errorf("faults of %v, want %v", got.fieldFaults(), want)
	}
	got.wants(t, "X-Token: The value stands for a stored one")
}

func TestAnotherProjectIsNotFound(t *testing.T) {
	w := newWorld(t, nil)
	made, _, err := w.gw.CreateWebhook(t.Context(), &w.keys[0], "other", gateway.WebhookSpec{URL: w.receiver.URL, Events: []string{"*"}})
	if err != nil {
		t.Fatal(err)
	}
	b := w.signedIn(acmeKey)
	for _, path := range []string{"", "/edit", "/delete", "/secret", "/test", "/replay", "/log", "/log/stream"} {
		if got := b.get("/webhook/" + made.ID + path); got.status != 404 {
			t.Errorf("GET %s: %d, want 404", path, got.status)
		}
	}
	for _, path := range []string{"/edit", "/delete", "/secret", "/test", "/replay", "/status"} {
		if got := b.post("/webhook/"+made.ID+path, url.Values{"status": {"paused"}, "since": {"2026-01-01"}}); got.status != 404 {
			t.Errorf("POST %s: %d, want 404", path, got.status)
		}
	}
	for _, timeout := range []string{"", "soon"} {
		if got := b.post("/new", url.Values{"project": {"other"}, "url": {w.receiver.URL}, "events": {"*"}, "timeout": {timeout}}); got.status != 404 {
			t.Errorf("add with timeout %q: %d, want 404", timeout, got.status)
		}
	}
}

func TestAReaderChangesNothing(t *testing.T) {
	w := newWorld(t, nil)
	id := w.create(nil)
	w.publish(created)
	d := w.settled(id)
	b := w.signedIn(readKey)
	for _, path := range []string{"/new", "/check-filter", "/webhook/" + id + "/edit", "/webhook/" + id + "/delete", "/webhook/" + id + "/secret",
		"/webhook/" + id + "/test", "/webhook/" + id + "/replay", "/webhook/" + id + "/status", "/deliveries/" + d.ID + "/retry"} {
		form := url.Values{"project": {"acme"}, "url": {w.receiver.URL}, "events": {"*"}, "status": {"paused"}, "since": {"2026-01-01"}}
		if strings.HasSuffix(path, "/replay") {
			form.Set("status", "failed")
		}
		if got := b.post(path, form); got.status != 403 {
			t.Errorf("POST %s: %d %s, want 403", path, got.status, got.text())
		}
	}
	for _, path := range []string{"/webhook/" + id, "/list?project=acme", "/deliveries/" + d.ID} {
		for _, word := range []string{"Delete", "Add webhook", "Retry now", "Rotate"} {
			if got := b.open(path); strings.Contains(got.text(), word) {
				t.Errorf("%s offers %q", path, word)
			}
		}
	}
}

func TestAFailingReceiverCanBeUnderstoodAndRetried(t *testing.T) {
	fails := true
	w := newWorld(t, func(w *world) {
		w.answer = func(rw http.ResponseWriter, _ *http.Request) {
			if fails {
				rw.Header().Set("X-Why", "no disk")
				rw.WriteHeader(http.StatusServiceUnavailable)
				_, _ = rw.Write([]byte("try later"))
			}
		}
	})
	id := w.create(nil)
	w.publish(created)
	d := w.settled(id)
	b := w.signedIn(acmeKey)
	b.await("/list?project=acme", "answered 503 Service Unavailable", "last 24 hours: 0 succeeded, 1 failed")
	b.open("/webhook/"+id+"/log").wants(t, "project.created", "pending", "answered 503")
	b.open("/webhook/"+id+"/log?status=delivered").wants(t, "Nothing matches")
	b.open("/deliveries/"+d.ID).wants(t, "Attempt 1: answered 503 Service Unavailable", "try later", "X-Why: no disk", "My Project", "Retry now", "x-tengine-event")
	fails = false
	if got := b.post("/deliveries/"+d.ID+"/retry", url.Values{}); got.status != 303 {
		t.Fatalf("%d %s", got.status, got.text())
	}
	b.await("/deliveries/"+d.ID, "Attempt 2: answered 200 OK")
	w.signedIn(allKey).await("/overview", "Success, 24 h", "50.0 %", "None: the last attempt")
	b.open("/events?project=acme").wants(t, "evt_1")
	b.open("/event?id=evt_1&project=acme").wants(t, "What became of it", "delivered", "My Project", "/webhook/"+id)
	b.post("/webhook/"+id+"/delete", url.Values{})
	b.open("/event?id=evt_1&project=acme").wants(t, "What became of it", "delivered", id, "no longer there")
}

func TestOverviewShowsFailingWebhooks(t *testing.T) {
	w := newWorld(t, func(w *world) {
		w.answer = func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusNotFound) }
	})
	id := w.create(func(s *gateway.WebhookSpec) { s.Description = "Broken one" })
	b := w.signedIn(allKey)
	b.open("/overview").wants(t, "none is overdue", "no attempts yet")
	w.publish(created)
	w.settled(id)
	b.await("/overview", "Broken one", "answered 404 Not Found", "0.0 %")
	b.open("/projects").wants(t, "acme")
}

func TestTestEventShowsTheAnswer(t *testing.T) {
	w := newWorld(t, func(w *world) {
		w.answer = func(rw http.ResponseWriter, r *http.Request) {
			_, _ = rw.Write([]byte("test is " + r.Header.Get("X-Tengine-Test")))
		}
	})
	id := w.create(nil)
	b := w.signedIn(acmeKey)
	b.open("/webhook/"+id+"/test?type=api_key.created").wants(t, "My API Key")
	for pattern, sample := range map[string]string{"*": "A sample project", "usage.*": "threshold_percent", "webhook.*": "failing", "api_key.revoked": "revoked_at"} {
		other := w.create(func(s *gateway.WebhookSpec) { s.Events = []string{pattern} })
		b.open("/webhook/"+other+"/test").wants(t, sample)
	}
	b.post("/webhook/"+id+"/test", url.Values{"type": {"usage.limit_exceeded"}, "data": {"{}"}, "sample": {"1"}}).wants(t, "100001")
	got := b.post("/webhook/"+id+"/test", url.Values{"type": {"api_key.created"}, "data": {`{"id":"mine"}`}})
	got.wants(t, "What came back", "answered 200 OK", "test is true")
	bad := b.post("/webhook/"+id+"/test", url.Values{"type": {"api_key.created"}, "data": {`{"id":`}})
	if bad.status/100 != 4 {
		t.Errorf("no JSON: %d", bad.status)
	}
	bad.wants(t, "{&#34;id&#34;:")
}

func TestReplayCountsBeforeItSends(t *testing.T) {
	w := newWorld(t, nil)
	id := w.create(nil)
	w.publish(created)
	w.settled(id)
	b := w.signedIn(acmeKey)
	b.open("/webhook/"+id+"/replay").wants(t, "Nothing is sent before")
	form := url.Values{"since": {"2020-01-01T00:00"}, "status": {"delivered"}}
	got := b.post("/webhook/"+id+"/replay", form)
	got.wants(t, "1 delivery would be sent again")
	form.Set("confirmed", "yes")
	sent := b.post("/webhook/"+id+"/replay", form)
	if sent.status != 303 || !strings.HasPrefix(sent.header.Get("Location"), "/webhooks/replays/rpl_") {
		t.Fatalf("%d %v %s", sent.status, sent.header, sent.text())
	}
	b.open(sent.header.Get("Location")).wants(t, "of 1 queued again")
	for _, form := range []url.Values{{"since": {"soon"}, "status": {"failed"}}, {"since": {"2020-01-01"}}, {"since": {"2020-01-01"}, "status": {"x"}}} {
		if got := b.post("/webhook/"+id+"/replay", form); got.status != 422 {
			t.Errorf("%v: %d", form, got.status)
		}
	}
}

func TestPauseResumeRotateDelete(t *testing.T) {
	w := newWorld(t, nil)
	id := w.create(nil)
	b := w.signedIn(acmeKey)
	for _, status := range []string{"paused", "active", "disabled", "active"} {
		got := b.post("/webhook/"+id+"/status", url.Values{"status": {status}})
		if got.status != 303 {
			t.Fatalf("%s: %d %s", status, got.status, got.text())
		}
		b.open(got.header.Get("Location")).wants(t, status)
	}
	if got := b.post("/webhook/"+id+"/status", url.Values{"status": {"gone"}}); got.status != 422 {
		t.Errorf("no status: %d", got.status)
	}
	b.open("/webhook/"+id+"/secret").wants(t, "overlap")
	b.post("/webhook/"+id+"/secret", url.Values{"overlap": {"24h"}}).wants(t, "whsec_", "-previous")
	again := b.post("/webhook/"+id+"/secret", url.Values{"overlap": {"24h"}})
	if again.status != 409 {
		t.Errorf("again within the overlap: %d", again.status)
	}
	again.wants(t, "Rotate although")
	b.post("/webhook/"+id+"/secret", url.Values{"overlap": {"24h"}, "force": {"yes"}}).wants(t, "whsec_")
	if got := b.post("/webhook/"+id+"/secret", url.Values{"overlap": {"a day"}, "force": {"yes"}}); got.status != 422 {
		t.Errorf("no duration: %d", got.status)
	}
	for _, overlap := range []string{"a day", "40d", "-1s"} {
		got := b.post("/webhook/"+id+"/secret", url.Values{"overlap": {overlap}, "secret": {"hush"}, "force": {"yes"}})
		got.wants(t, "The overlap must be", "The secret has 4 characters", `value="`+overlap+`"`)
		if n := strings.Count(got.body, `aria-invalid="true"`); got.status != 422 || n != 2 {
			t.Errorf("overlap %s and a short secret: %d with %d fields marked, want 2", overlap, got.status, n)
		}
	}
	b.open("/webhook/"+id+"/delete").wants(t, "cannot be undone")
	got := b.post("/webhook/"+id+"/delete", url.Values{})
	b.open(got.header.Get("Location")).wants(t, "The webhook was deleted")
	if got := b.get("/webhook/" + id); got.status != 404 {
		t.Errorf("after that: %d", got.status)
	}
}

func TestStaticWebhooksCanOnlyBePaused(t *testing.T) {
	w := newWorld(t, func(w *world) {
		w.static = []webhook.Subscription{{ID: "wh_static", ProjectID: "acme", URL: w.receiver.URL, Events: []string{"*"}, Static: true}}
	})
	b := w.signedIn(acmeKey)
	b.open("/list?project=acme").wants(t, "from the configuration")
	page := b.open("/webhook/wh_static")
	page.wants(t, "declared in the gateway", "Pause")
	if strings.Contains(page.text(), "Delete") || strings.Contains(page.text(), "Rotate") {
		t.Error("it offers what cannot be done")
	}
	if got := b.get("/webhook/wh_static/edit"); got.status != 409 {
		t.Errorf("edit: %d", got.status)
	}
	if got := b.post("/webhook/wh_static/status", url.Values{"status": {"paused"}}); got.status != 303 {
		t.Errorf("pause: %d %s", got.status, got.text())
	}
}

func TestFilterIsCheckedAgainstRecentEvents(t *testing.T) {
	w := newWorld(t, nil)
	b := w.signedIn(acmeKey)
	check := func(form url.Values) page {
		form.Set("project", "acme")
		return b.post("/check-filter", form, "HX-Request", "true")
	}
	check(url.Values{"filter": {`type == "project.created"`}}).wants(t, "Matches 1 of the 11 sample events", "no events yet")
	w.publish(created)
	w.publish(`{"type":"api_key.created","project_id":"acme","data":{"id":"k","n":1}}`)
	check(url.Values{"filter": {`type == "project.created"`}}).wants(t, "Matches 1 of the last 2")
	check(url.Values{"filter_path": {"project.name"}, "filter_kind": {"text"}, "filter_value": {"My Project"}}).wants(t, "of the last 2")
	check(url.Values{"filter": {`data.n > 0`}}).wants(t, "It fails on 1 of them")
	check(url.Values{"filter": {"type ==\n  )"}}).wants(t, "Line 2, column 3")
	check(url.Values{"filter": {"nothing"}}).wants(t, "Line 1, column 1")
	check(url.Values{"filter_path": {"a"}, "filter_kind": {"number"}, "filter_value": {"x"}}).wants(t, "must be a number")
	check(url.Values{}).wants(t, "No filter")
}

// A form has room for more words than there can be event types.
func TestAFormOfVeryManyWordsIsRefusedAtOnce(t *testing.T) {
	w := newWorld(t, nil)
	b := w.signedIn(acmeKey)
	var words strings.Builder
	for i := range 150_000 {
		fmt.Fprintf(&words, "%x ", i)
	}
	form := url.Values{"project": {"acme"}, "url": {"https://example.com/"}, "other_events": {words.String()}, "timeout": {"zzz"}}
	got := b.post("/new", form)
	got.wants(t, "There may be at most 100 event types")
	if got.status != http.StatusUnprocessableEntity {
		t.Errorf("status %d", got.status)
	}
}

func TestHostileTextStaysText(t *testing.T) {
	const hostile = `<script>alert(1)</script><img src=x onerror=alert(1)>"'` + "`{{.}}"
	body := hostile + "\x1b[31mred\x00\xff\u202e"
	w := newWorld(t, func(w *world) {
		w.answer = func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("X-Hostile", hostile)
			rw.WriteHeader(http.StatusInternalServerError)
			_, _ = rw.Write([]byte(body))
		}
	})
	id := w.create(func(s *gateway.WebhookSpec) {
		s.Description = hostile
		s.Filters = map[string]json.RawMessage{"data.name": json.RawMessage(mustJSON(hostile))}
		s.Headers = []webhook.Header{{Name: "X-Own", Value: hostile}}
	})
	w.publish(`{"id":"evt_1","type":"project.created","project_id":"acme","data":{"name":` + mustJSON(hostile) + `}}`)
	d := w.settled(id)
	b := w.signedIn(allKey)
	for _, path := range []string{
		"/list?project=acme", "/webhook/" + id, "/webhook/" + id + "/edit", "/webhook/" + id + "/log", "/webhook/" + id + "/delete", "/webhook/" + id + "/test",
		"/webhook/" + id + "/secret", "/webhook/" + id + "/replay", "/deliveries/" + d.ID, "/event?id=evt_1&project=acme", "/overview", "/events?project=acme",
		"/webhook/" + id + "/log?type=" + url.QueryEscape(hostile) + "&status=" + url.QueryEscape(hostile) + "&event_id=" + url.QueryEscape(hostile) + "&since=" + url.QueryEscape(hostile),
	} {
		got := b.open(path)
		for _, bad := range []string{"<script>alert", "<img src=x", "\x1b", "\x00", "\xff", "\u202e"} {
			if strings.Contains(got.body, bad) {
				t.Errorf("%s holds %q", path, bad)
			}
		}
		checkMarkup(t, path, got.body)
	}
	b.open("/deliveries/"+d.ID).wants(t, `\x1B[31mred\x00\xFF\u{202E}`, "&lt;script&gt;alert(1)")
	for _, path := range []string{"/list?project=" + url.QueryEscape(hostile), "/webhook/" + url.PathEscape(hostile), "/deliveries/" + url.PathEscape(hostile), "/event?id=" + url.QueryEscape(hostile) + "&project=acme"} {
		if got := b.get(path); strings.Contains(got.body, "<script>alert") || got.status >= 500 {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
}

func mustJSON(text string) string {
	b, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return string(b)
}

var inline = regexp.MustCompile(`(?i)<script(?:\s[^>]*)?>[^<]|<style|\sstyle=|\son[a-z]+="|src="(?:https?:|//|data:)|href="(?:javascript|data):|<link[^>]+href="http`)

// checkMarkup fails the test if a page needs an exception of the policy.
func checkMarkup(t *testing.T, path, body string) {
	t.Helper()
	if found := inline.FindString(body); found != "" {
		t.Errorf("%s: the policy forbids %q", path, found)
	}
	ids := make(map[string]bool)
	for _, m := range regexp.MustCompile(`\sid="([^"]*)"`).FindAllStringSubmatch(body, -1) {
		if ids[m[1]] {
			t.Errorf("%s: two elements have the id %q", path, m[1])
		}
		ids[m[1]] = true
	}
	for _, m := range regexp.MustCompile(`\s(?:for|aria-labelledby|aria-describedby)="([^"]*)"`).FindAllStringSubmatch(body, -1) {
		for id := range strings.FieldsSeq(m[1]) {
			if !ids[id] {
				t.Errorf("%s: nothing has the id %q, which is referred to", path, id)
			}
		}
	}
}

func TestAssetsAreKeptForGood(t *testing.T) {
	w := newWorld(t, nil)
	login := w.browser().open("/login")
	for _, m := range regexp.MustCompile(`(?:src|href)="(/webhooks/assets/[^"]+)"`).FindAllStringSubmatch(login.body, -1) {
		got := w.browser().open(m[1])
		if got.header.Get("Cache-Control") != "public, max-age=31536000, immutable" || len(got.body) < 100 {
			t.Errorf("%s: %v, %d bytes", m[1], got.header, len(got.body))
		}
		for kind, suffix := range map[string]string{"text/javascript; charset=utf-8": ".js", "text/css; charset=utf-8": ".css", "image/svg+xml": ".svg"} {
			if strings.HasSuffix(m[1], suffix) && got.header.Get("Content-Type") != kind {
				t.Errorf("%s is %s", m[1], got.header.Get("Content-Type"))
			}
		}
	}
}

func TestUnknownPagesAndMethods(t *testing.T) {
	w := newWorld(t, nil)
	b := w.signedIn(acmeKey)
	if got := b.get("/nothing"); got.status != 404 || !strings.Contains(got.body, "<h1>") {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := b.get("/nothing", "Accept", "application/json"); got.header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("for a program: %v", got.header)
	}
	if got := b.do(http.MethodPut, "/login", nil); got.status != 405 || got.header.Get("Allow") != "GET, HEAD, POST" {
		t.Errorf("PUT: %d %v", got.status, got.header)
	}
	if got := b.get("/logout"); got.status != 405 {
		t.Errorf("GET /logout: %d", got.status)
	}
	large := url.Values{"project": {"acme"}, "description": {strings.Repeat("x", 2<<20)}}
	if got := b.post("/new", large); got.status != 413 {
		t.Errorf("a large form: %d", got.status)
	}
	for path, want := range map[string]bool{"/webhooks": true, "/webhooks/": true, "/webhooks/x": true, "/webhooksfoo": false, "/": false, "/web": false} {
		if w.dash.Handles(path) != want {
			t.Errorf("Handles(%q) is %v", path, !want)
		}
	}
}

// stream opens a live log and returns its lines.
func (b *browser) stream(ctx context.Context, id string) (lines <-chan string, status int) {
	b.w.t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.w.site.URL+"/webhooks/webhook/"+id+"/log/stream", nil)
	if err != nil {
		b.w.t.Fatal(err)
	}
	res, err := b.client.Do(req)
	if err != nil {
		b.w.t.Fatal(err)
	}
	out := make(chan string, 10_000)
	go func() { // ends with the stream
		defer close(out)
		defer res.Body.Close()
		for scan := bufio.NewScanner(res.Body); scan.Scan(); {
			out <- scan.Text()
		}
	}()
	return out, res.StatusCode
}

// await reads lines until one holds the text; false if the stream ends before.
func await(t *testing.T, lines <-chan string, text string) bool {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		select {
		case line, ok := <-lines:
			if !ok {
				return false
			}
			if text != "" && strings.Contains(line, text) {
				return true
			}
		case <-deadline:
			t.Fatalf("nothing about %q came", text)
		}
	}
}

func TestLogIsLive(t *testing.T) {
	w := newWorld(t, nil)
	id := w.create(nil)
	b := w.signedIn(acmeKey)
	b.open("/webhook/"+id+"/log").wants(t, `data-stream="/webhooks/webhook/`+id+`/log/stream?"`)
	lines, status := b.stream(t.Context(), id)
	if status != 200 {
		t.Fatalf("%d", status)
	}
	w.publish(created)
	if !await(t, lines, "evt_1") {
		t.Fatal("the stream ended")
	}
	w.dash.Close() // as a reload does
	if await(t, lines, "never") {
		t.Error("the stream did not end")
	}
}

func TestLiveLogEndsWithTheSession(t *testing.T) {
	w := newWorld(t, nil)
	id := w.create(nil)
	b := w.signedIn(acmeKey)
	lines, _ := b.stream(t.Context(), id)
	if !await(t, lines, "event: log") {
		t.Fatal("the stream ended")
	}
	b.post("/logout", url.Values{})
	if await(t, lines, "never") {
		t.Error("the stream did not end")
	}
}

func TestLiveLogEndsWhenTheGatewayStops(t *testing.T) {
	w := newWorld(t, nil)
	id := w.create(nil)
	lines, _ := w.signedIn(acmeKey).stream(t.Context(), id)
	if !await(t, lines, "event: log") {
		t.Fatal("the stream ended")
	}
	w.gw.StopIntake()
	if await(t, lines, "never") {
		t.Error("the stream did not end")
	}
}
