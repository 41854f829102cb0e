package caddymodule_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/tengineai/webhook-gateway/webhook"
)

const createdEvent = `{"type":"project.created","data":{"id":"proj_1"}}`

func TestReloadKeepsTheStoreOpen(t *testing.T) {
	s := newServer(t)
	s.load(config{settings: webhookTo("one", "*")})
	s.wantAnswer(`{"id":"e1","type":"project.created","data":{"id":"proj_1"}}`, 202, `{"id":"e1","deliveries":1,"duplicate":false}`)
	for range 5 {
		s.load(config{settings: webhookTo("one", "*")})
	}
	s.wantAnswer(`{"id":"e1","type":"project.created","data":{"id":"proj_1"}}`, 202, `{"id":"e1","deliveries":1,"duplicate":true}`)
	s.wantStore("a", 1, 0)

	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	s.wantStore("a", 1, 1)
}

// TestReloadChangesEverySetting reloads once per setting and looks at what the
// gateway then does.
func TestReloadChangesEverySetting(t *testing.T) {
	s := newServer(t)
	s.load(config{})
	const key = `{"type":"api_key.created","project_id":"proj_1","data":{"id":"k"}}`
	for _, tt := range []struct {
		name   string
		config config
		body   string
		status int
		want   string // in the answer
		before int    // the status before the reload; 0: it does not matter
	}{
		{name: "event_types", config: config{settings: "event_types + order.paid"}, body: `{"type":"order.paid","project_id":"p","data":{}}`, before: 422, status: 202},
		{name: "default_project", config: config{settings: "default_project main"}, body: `{"type":"api_key.created","data":{}}`, before: 422, status: 202},
		{name: "unsafe_json", config: config{settings: "unsafe_json preserve"}, body: `{"type":"project.created","data":{"id":"p","n":9007199254740993}}`, before: 422, status: 202},
		{name: "webhook", config: config{settings: webhookTo("new", "api_key.*")}, body: key, status: 202, want: `"deliveries":1`},
		{name: "webhook events", config: config{settings: webhookTo("new", "project.*")}, body: key, status: 202, want: `"deliveries":0`},
		{name: "webhook filter", config: config{settings: webhookTo("new", "*", `filter "data.id == \"other\""`)}, body: key, status: 202, want: `"deliveries":0`},
		{name: "max_pending_per_webhook", config: config{settings: webhookTo("new", "*") + "max_pending_per_webhook 1"}, body: key, status: 202, want: `"deliveries":0`},
		{name: "max_pending", config: config{settings: webhookTo("new", "*") + "max_pending 1"}, body: key, before: 202, status: 429},
		{name: "max_size", config: config{ingest: "max_size 100"}, body: `{"type":"project.created","data":{"id":"p","x":"` + strings.Repeat("x", 100) + `"}}`, before: 202, status: 413},
		{name: "max_batch", config: config{ingest: "max_batch 1"}, body: "[" + key + "," + key + "]", before: 202, status: 413},
		{name: "api key gone", config: config{edit: func(doc map[string]any) {
			delete(doc["apps"].(map[string]any)["webhook_gateway"].(map[string]any), "api_keys")
		}}, body: key, before: 202, status: 401},
		{name: "auth off", config: config{ingest: "auth off", edit: func(doc map[string]any) {
			delete(doc["apps"].(map[string]any)["webhook_gateway"].(map[string]any), "api_keys")
		}}, body: key, status: 202},
		{name: "pace", config: config{settings: "workers 3\nconcurrency 2\ntimeout 2s\nretry 1s\nretention 1d\ndisable_after off\ndrain_timeout 1s\nuser_agent x\nmax_webhooks 5\napi_version 2022-01-01"}, body: key, status: 202},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.before != 0 {
				s.load(config{})
				if got := s.publish(tt.body); got.status != tt.before {
					t.Errorf("before the reload: %d %s, want %d", got.status, got.body, tt.before)
				}
			}
			s.load(tt.config)
			if got := s.publish(tt.body); got.status != tt.status || !strings.Contains(got.body, tt.want) {
				t.Errorf("after the reload: %d %s, want %d with %s", got.status, got.body, tt.status, tt.want)
			}
		})
	}
	s.wantStore("a", 1, 0)
}

// TestRejectedConfigLeavesThePreviousInForce has Caddy refuse a configuration
// at every stage of loading, with other webhooks and keys in it.
func TestRejectedConfigLeavesThePreviousInForce(t *testing.T) {
	s := newServer(t)
	s.load(config{settings: webhookTo("one", "project.created")})

	lockedElsewhere := errors.New("this store cannot be opened")
	traces.setHook(func(dir string) error {
		if filepath.Base(dir) == "broken" {
			return lockedElsewhere
		}
		return nil
	})
	others := webhookTo("two", "*") + webhookTo("three", "*") + "default_project main\napi_key other " + otherKey + " {\nscope ingest\n}\n"
	for _, tt := range []struct {
		name   string
		config config
		want   string
	}{
		{"provision of the app", config{settings: others + "webhook bad {\nproject *\nurl ftp://x\nevents *\n}"}, "webhook bad"},
		{"provision of a handler", config{settings: others, edit: brokenHandler}, "unknown_module"},
		{"validation of a handler", config{settings: others, edit: wrongLimit}, "max_size"},
		{"start of the app", config{store: "broken", settings: others}, lockedElsewhere.Error()},
		{"start of another app", config{settings: others, edit: withFailingApp}, "this app never starts"},
		{"start of another app, with another store", config{store: "b", settings: others, edit: withFailingApp}, "this app never starts"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for range 6 { // Caddy starts apps in random order
				err := s.tryLoad(tt.config)
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Fatalf("got error %v, want one with %q", err, tt.want)
				}
				if got := s.publish(createdEvent); got.status != 202 || !strings.Contains(got.body, `"deliveries":1`) {
					t.Errorf("the previous webhooks are not in force: %d %s", got.status, got.body)
				}
				if got := s.publish(createdEvent, "Authorization", "Bearer "+otherKey); got.status != 401 {
					t.Errorf("a key of the refused configuration: %d, want 401", got.status)
				}
				if got := s.publish(`{"type":"api_key.created","data":{}}`); got.status != 422 {
					t.Errorf("a setting of the refused configuration is in force: %d %s", got.status, got.body)
				}
			}
		})
	}
	s.wantStore("a", 1, 0)
	if b := traces.of(s.path("b")); b.opens != b.closes {
		t.Errorf("the store of the refused configuration: opened %d times, closed %d times", b.opens, b.closes)
	}
}

func brokenHandler(doc map[string]any) {
	appendRoute(doc, map[string]any{"handler": "unknown_module"})
}

func wrongLimit(doc map[string]any) {
	appendRoute(doc, map[string]any{"handler": "webhook_ingest", "max_size": 1 << 30})
}

func appendRoute(doc map[string]any, handler map[string]any) {
	servers := doc["apps"].(map[string]any)["http"].(map[string]any)["servers"].(map[string]any)
	for _, server := range servers {
		members := server.(map[string]any)
		members["routes"] = append(members["routes"].([]any), map[string]any{"handle": []any{handler}})
	}
}

func TestUnknownSettingsAreRefused(t *testing.T) {
	s := newServer(t)
	for _, tt := range []struct {
		name, want string
		edit       func(app map[string]any)
	}{
		{"app", `unknown field "workerz"`, func(app map[string]any) { app["workerz"] = 1 }},
		{"store", `unknown field "path"`, func(app map[string]any) { app["store"].(map[string]any)["path"] = "/" }},
		{"store module", "unknown module: webhook_gateway.stores.nowhere", func(app map[string]any) {
			app["store"] = map[string]any{"module": "nowhere"}
		}},
		{"api key", `unknown field "scope"`, func(app map[string]any) {
			app["api_keys"].(map[string]any)["ingest"].(map[string]any)["scope"] = "ingest"
		}},
		{"filter engine", "unknown module: webhook_gateway.filters.nowhere", func(app map[string]any) {
			app["filter_engines"] = map[string]any{"nowhere": map[string]any{}}
		}},
		{"filter engine settings", `unknown field "depth"`, func(app map[string]any) {
			app["filter_engines"] = map[string]any{"expr": map[string]any{"depth": 3}}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := s.tryLoad(config{edit: func(doc map[string]any) {
				tt.edit(doc["apps"].(map[string]any)["webhook_gateway"].(map[string]any))
			}})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error %v, want one with %q", err, tt.want)
			}
		})
	}
}

// TestValidateTouchesNothing validates configurations beside a running server,
// as "caddy validate" does, over its store and over one that does not exist.
func TestValidateTouchesNothing(t *testing.T) {
	s := newServer(t)
	s.load(config{settings: webhookTo("one", "*")})
	before := s.files()
	for _, store := range []string{"a", "missing/deep"} {
		if err := validateBeside(s.adapted(config{store: store, settings: webhookTo("two", "*")})); err != nil {
			t.Errorf("store %s: %v", store, err)
		}
	}
	if diff := cmp.Diff(before, s.files()); diff != "" {
		t.Errorf("files (-before +after)\n%s", diff)
	}
	s.wantStore("a", 1, 0)
	s.wantStore("missing/deep", 0, 0)
	if got := s.publish(createdEvent); got.status != 202 || !strings.Contains(got.body, `"deliveries":1`) {
		t.Errorf("after validation: %d %s", got.status, got.body)
	}
}

func validateBeside(doc []byte) error {
	var c caddy.Config
	if err := caddy.StrictUnmarshalJSON(doc, &c); err != nil {
		return err
	}
	return caddy.Validate(&c)
}

// files returns the paths of all files there are.
func (s *server) files() []string {
	s.t.Helper()
	var paths []string
	err := filepath.WalkDir(s.dir, func(path string, _ fs.DirEntry, err error) error {
		paths = append(paths, path)
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return paths
}

// TestConfigsAlternate reloads to and fro between two stores: each is opened
// again with what it held.
func TestConfigsAlternate(t *testing.T) {
	s := newServer(t)
	const rounds = 4
	for round := range rounds {
		for _, store := range []string{"a", "b"} {
			s.load(config{store: store, settings: webhookTo("one", "*")})
			id := "only_in_" + store
			s.wantAnswer(fmt.Sprintf(`{"id":%q,"type":"project.created","data":{"id":"proj_1"}}`, id), 202,
				fmt.Sprintf(`{"id":%q,"deliveries":1,"duplicate":%t}`, id, round > 0))
		}
	}
	s.wantStore("a", rounds, rounds)
	s.wantStore("b", rounds, rounds-1)
}

// TestWebhookThatLeavesTheConfigurationIsParked removes a webhook that has a
// delivery pending and puts it back.
func TestWebhookThatLeavesTheConfigurationIsParked(t *testing.T) {
	s := newServer(t)
	with, without := config{settings: webhookTo("one", "*")}, config{}
	s.load(with)
	s.wantAnswer(`{"id":"e1","type":"project.created","data":{"id":"proj_1"}}`, 202, `{"id":"e1","deliveries":1,"duplicate":false}`)

	s.load(without)
	s.wantAnswer(`{"id":"e2","type":"project.created","data":{"id":"proj_1"}}`, 202, `{"id":"e2","deliveries":0,"duplicate":false}`)
	if got := s.deliveries("a")[webhook.Pending]; got != 1 {
		t.Errorf("%d deliveries pending, want the one of the parked webhook", got)
	}
	s.load(with)
	s.wantAnswer(`{"id":"e3","type":"project.created","data":{"id":"proj_1"}}`, 202, `{"id":"e3","deliveries":1,"duplicate":false}`)
	if got := s.deliveries("a")[webhook.Pending]; got != 2 {
		t.Errorf("%d deliveries pending, want 2", got)
	}
}

func TestCountersSurviveReloads(t *testing.T) {
	s := newServer(t)
	s.load(config{})
	accepted := s.metric(`events_total{result="accepted"}`)
	for range 3 {
		s.publish(createdEvent)
		s.load(config{settings: webhookTo("one", "*")})
	}
	s.publish(`{"id":"e1","type":"project.created","data":{"id":"proj_1"}}`)
	if got, want := s.metric(`events_total{result="accepted"}`), accepted+4; got != want {
		t.Errorf("accepted events: %v, want %v", got, want)
	}
	if got := s.metric(`deliveries{status="pending"}`); got != 3 {
		t.Errorf("pending deliveries: %v, want 3", got)
	}
	rejected := s.metric(`events_total{result="rejected"}`)
	s.publish(`{"id":"e1","type":"project.deleted","data":{"id":"proj_1"}}`) // another content: 409
	s.publish(`{"id":"e1"}`)
	s.publish(`[` + createdEvent + `,{}]`)
	if got, want := s.metric(`events_total{result="rejected"}`), rejected+3; got != want {
		t.Errorf("rejected events: %v, want %v", got, want)
	}
	s.load(config{store: "b"})
	if got := s.metric(`deliveries{status="pending"}`); got != 0 {
		t.Errorf("pending deliveries in another store: %v, want 0", got)
	}
}

// metric reads a sample from /metrics.
func (s *server) metric(name string) float64 {
	s.t.Helper()
	a := s.admin(http.MethodGet, "/metrics")
	for line := range strings.Lines(a.body) {
		if rest, ok := strings.CutPrefix(line, "caddy_webhook_gateway_"+name+" "); ok {
			var v float64
			if _, err := fmt.Sscan(rest, &v); err != nil {
				s.t.Fatal(err)
			}
			return v
		}
	}
	s.t.Fatalf("no metric %s in\n%s", name, a.body)
	return 0
}

// TestEngineLogsToTheConfigurationInForce lets the store log after each change
// of configuration, and looks for the line in the log of that configuration.
func TestEngineLogsToTheConfigurationInForce(t *testing.T) {
	s := newServer(t)
	logTo := func(name string) config {
		return config{global: fmt.Sprintf("log {\noutput file %s\n}\n", s.path(name))}
	}
	refused := logTo("refused.log")
	refused.edit = withFailingApp
	for i, step := range []struct {
		load    config
		refused bool
		want    string
	}{
		{logTo("first.log"), false, "first.log"},
		{logTo("second.log"), false, "second.log"},
		{refused, true, "second.log"},
		{refused, true, "second.log"},
		{refused, true, "second.log"},
		{refused, true, "second.log"},
		{refused, true, "second.log"},
		{logTo("third.log"), false, "third.log"},
	} {
		if err := s.tryLoad(step.load); (err != nil) != step.refused {
			t.Fatal(err)
		}
		line := fmt.Sprintf("line %d of the store", i)
		traces.of(s.path("a")).logger.Info(line)
		for _, name := range []string{"first.log", "second.log", "third.log", "refused.log"} {
			text, err := os.ReadFile(s.path(name))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
			if got, want := bytes.Contains(text, []byte(line)), name == step.want; got != want {
				t.Errorf("step %d: %q in %s: %t, want %t", i, line, name, got, want)
			}
			if name == step.want && !bytes.Contains(text, []byte(`"webhook_gateway.store"`)) {
				t.Errorf("step %d: the line does not name its logger", i)
			}
		}
	}
}

func TestGuestFilterEngineFromTheCaddyfile(t *testing.T) {
	s := newServer(t)
	s.load(config{settings: webhookTo("one", "*", "filter word created")})
	s.wantAnswer(`{"id":"e1","type":"project.created","data":{"id":"p"}}`, 202, `{"id":"e1","deliveries":1,"duplicate":false}`)
	s.wantAnswer(`{"id":"e2","type":"project.updated","data":{"id":"p"}}`, 202, `{"id":"e2","deliveries":0,"duplicate":false}`)

	err := s.tryLoad(config{settings: webhookTo("one", "*", `filter word "two words"`)})
	if err == nil || !strings.Contains(err.Error(), "word has no spaces") {
		t.Errorf("got error %v, want the engine's", err)
	}
}

func TestAdminStatus(t *testing.T) {
	s := newServer(t)
	s.load(config{settings: webhookTo("one", "*")})
	s.publish(createdEvent)
	get := func(method string) answer {
		t.Helper()
		return s.admin(method, "/webhook_gateway/status")
	}
	if a := get("GET"); a.status != 200 || !strings.Contains(a.body, `"status":"ok"`) || !strings.Contains(a.body, `"pending":1`) {
		t.Errorf("GET: %d %s", a.status, a.body)
	}
	for _, method := range []string{"POST", "DELETE", "HEAD"} {
		if a := get(method); a.status != 405 || a.header.Get("Allow") != "GET" {
			t.Errorf("%s: %d, Allow %q; want 405, GET", method, a.status, a.header.Get("Allow"))
		}
	}
	if err := s.tryLoad(config{settings: "workers 2", edit: withFailingApp}); err == nil {
		t.Fatal("the configuration with an app that fails was taken")
	}
	if a := get("GET"); a.status != 200 {
		t.Errorf("after a configuration was refused: %d %s, want 200", a.status, a.body)
	}
	s.load(config{edit: func(doc map[string]any) {
		apps := doc["apps"].(map[string]any)
		delete(apps, "webhook_gateway")
		delete(apps, "http")
	}})
	if a := get("GET"); a.status != 404 {
		t.Errorf("without a gateway: %d %s, want 404", a.status, a.body)
	}
}

// TestRequestsWaitUntilTheGatewayHasStarted sends requests while the store is
// being opened. The HTTP server may or may not listen by then.
func TestRequestsWaitUntilTheGatewayHasStarted(t *testing.T) {
	for _, opens := range []bool{true, false} {
		t.Run(fmt.Sprintf("store opens %t", opens), func(t *testing.T) {
			s := newServer(t)
			waited := false
			for range 30 {
				waited = s.publishWhileOpening(opens) || waited
				if waited && opens {
					break
				}
			}
			if !waited {
				t.Error("the HTTP server never started before the gateway")
			}
		})
	}
}

// publishWhileOpening loads a configuration whose store takes its time to open,
// or fails to, and publishes meanwhile. It returns false if the HTTP server
// was not there yet.
func (s *server) publishWhileOpening(opens bool) (waited bool) {
	t := s.t
	opening, proceed := make(chan struct{}), make(chan struct{})
	traces.setHook(func(string) error {
		close(opening)
		<-proceed
		if !opens {
			return errors.New("the store does not open")
		}
		return nil
	})
	s.move()
	doc := s.adapted(config{})
	loaded := make(chan error, 1)
	go func() { loaded <- caddy.Load(doc, true) }()
	<-opening

	type result struct {
		answer answer
		err    error
	}
	ask := func(method, url string) chan result {
		got := make(chan result, 1)
		go func() {
			a, err := s.do(method, url, strings.NewReader(createdEvent))
			got <- result{a, err}
		}()
		return got
	}
	published := ask("POST", "http://site/events")
	status := ask("GET", "http://admin/webhook_gateway/status")
	select {
	case r := <-published:
		if r.err == nil {
			t.Errorf("answered before the gateway was ready: %d %s", r.answer.status, r.answer.body)
		}
		published <- r // not listening yet
	case <-time.After(100 * time.Millisecond): // it waits; this only has to be likely
		waited = true
	}
	close(proceed)
	if err := <-loaded; (err == nil) != opens {
		t.Fatalf("load: %v", err)
	}
	want := 202
	if !opens {
		want = 503
	}
	if r := <-published; waited {
		if r.err != nil || r.answer.status != want {
			t.Errorf("request that waited: %d %s, %v; want %d", r.answer.status, r.answer.body, r.err, want)
		}
		if !opens && r.answer.header.Get("Retry-After") != "1" {
			t.Errorf("Retry-After %q, want 1", r.answer.header.Get("Retry-After"))
		}
	}
	if r := <-status; r.err == nil && !slices.Contains([]int{200, 503}, r.answer.status) {
		t.Errorf("status meanwhile: %d %s", r.answer.status, r.answer.body)
	}
	if opens {
		if err := caddy.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	return waited
}

// TestOneGatewayBehindSeveralSites publishes the same event through two sites
// with settings of their own.
func TestOneGatewayBehindSeveralSites(t *testing.T) {
	s := newServer(t)
	s.load(config{settings: webhookTo("one", "*"), sites: `
http://site2:{site2} {
	bind 127.0.0.1
	webhook_ingest /hooks/in {
		auth off
		max_size 200
	}
	respond 403
}
`})
	s.wantAnswer(`{"id":"e1","type":"project.created","data":{"id":"p"}}`, 202, `{"id":"e1","deliveries":1,"duplicate":false}`)

	second, err := s.do("POST", "http://site2/hooks/in", strings.NewReader(`{"id":"e1","type":"project.created","data":{"id":"p"}}`),
		"Content-Type", "application/json")
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"id":"e1","deliveries":1,"duplicate":true}`; second.status != 202 || strings.TrimSpace(second.body) != want {
		t.Errorf("second site: %d %s, want 202 %s", second.status, second.body, want)
	}
	large := `{"type":"project.created","data":{"id":"p","x":"` + strings.Repeat("x", 200) + `"}}`
	if a, err := s.do("POST", "http://site2/hooks/in", strings.NewReader(large)); err != nil || a.status != 413 {
		t.Errorf("second site, larger than its max_size: %d, %v; want 413", a.status, err)
	}
	if a := s.publish(large); a.status != 202 {
		t.Errorf("first site: %d %s, want 202", a.status, a.body)
	}
	for url, want := range map[string]int{"http://site2/events": 403, "http://site/hooks/in": 404} {
		if a, err := s.do("POST", url, nil); err != nil || a.status != want {
			t.Errorf("%s: %d, %v; want %d", url, a.status, err, want)
		}
	}
}

// deliveries counts the deliveries in a store by status.
func (s *server) deliveries(store string) map[webhook.Status]int64 {
	return traces.of(s.path(store)).store.Stats().Deliveries
}

// wantStore compares how often a store was opened and closed.
func (s *server) wantStore(name string, opens, closes int) {
	s.t.Helper()
	if got := traces.of(s.path(name)); got.opens != opens || got.closes != closes {
		s.t.Errorf("store %s was opened %d times and closed %d times, want %d and %d", name, got.opens, got.closes, opens, closes)
	}
}
