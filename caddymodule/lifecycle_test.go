package caddymodule_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

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

// A listener that Caddy does not know to go on would be waited for.
func TestShutdownDelayDoesNotHoldReloadsUp(t *testing.T) {
	s := newServer(t)
	address := freeAddress(t)
	load := func(delay string) {
		s.load(config{edit: func(doc map[string]any) {
			web := doc["apps"].(map[string]any)["http"].(map[string]any)
			web["shutdown_delay"] = delay
			for _, server := range web["servers"].(map[string]any) {
				server.(map[string]any)["listen"] = []string{address}
			}
		}})
	}
	load("1h")
	load("1h")
	load("1ms") // or stopping would take the hour
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

// A range of ports is one address in the configuration and a socket for each.
func TestASiteOnARangeOfPortsIsServed(t *testing.T) {
	s := newServer(t)
	first := freePorts(t)
	for range 2 {
		s.load(config{edit: func(doc map[string]any) {
			for _, server := range doc["apps"].(map[string]any)["http"].(map[string]any)["servers"].(map[string]any) {
				server.(map[string]any)["listen"] = []string{fmt.Sprintf("127.0.0.1:%d-%d", first, first+1)}
			}
		}})
		for port := first; port <= first+1; port++ {
			s.addresses["site"] = fmt.Sprintf("127.0.0.1:%d", port)
			if a := s.publish(createdEvent); a.status != 202 {
				t.Errorf("port %d: %d %s", port, a.status, a.body)
			}
		}
	}
}

// freePorts returns the first of two ports in a row that nothing listens on.
func freePorts(t *testing.T) int {
	t.Helper()
	for range 100 {
		address := netip.MustParseAddrPort(freeAddress(t))
		next := netip.AddrPortFrom(address.Addr(), address.Port()+1)
		if l, err := net.Listen("tcp", next.String()); err == nil {
			_ = l.Close()
			return int(address.Port())
		}
	}
	t.Fatal("no two free ports in a row")
	return 0
}
