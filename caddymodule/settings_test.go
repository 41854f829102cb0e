package caddymodule

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/webhook"
)

// mustResolve resolves a configuration in JSON.
func mustResolve(t *testing.T, config string) *gateway.Settings {
	t.Helper()
	s, err := tryResolve(t, config)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func tryResolve(t *testing.T, config string) (*gateway.Settings, error) {
	t.Helper()
	var app App
	if err := caddy.StrictUnmarshalJSON([]byte(config), &app); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	t.Cleanup(cancel)
	s, opener, err := app.resolve(ctx)
	if err != nil {
		if s != nil {
			t.Error("settings beside an error: nobody would close their egress")
		}
		return nil, err
	}
	t.Cleanup(s.Egress.Close)
	if opener == nil {
		t.Error("no store")
	}
	return s, nil
}

func TestDefaultsAreThoseOfTheContract(t *testing.T) {
	s := mustResolve(t, `{}`)
	got := map[string]any{
		"api_version":             s.APIVersion,
		"event types":             len(s.Catalogue.Types()),
		"default_project":         s.DefaultProject,
		"preserve unsafe":         s.PreserveUnsafe,
		"retry":                   s.Retry,
		"timeout":                 s.Timeout,
		"workers":                 s.Workers,
		"concurrency":             s.Concurrency,
		"max_pending":             s.MaxPending,
		"max_pending_per_webhook": s.MaxPendingPerWebhook,
		"max_webhooks":            s.MaxWebhooks,
		"retention":               s.Retention,
		"disable_after":           s.DisableAfter,
		"drain_timeout":           s.DrainTimeout,
		"user_agent":              s.UserAgent,
		"egress ips":              len(s.Egress.AdvertisedIPs()),
		"engines":                 len(s.Engines),
		"expr":                    s.Engines["expr"] != nil,
		"static":                  len(s.Static),
		"keys":                    len(s.Keys),
	}
	want := map[string]any{
		"api_version":             "2021-09-01",
		"event types":             11,
		"default_project":         "",
		"preserve unsafe":         false,
		"retry":                   queue.Schedule{time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour, 4 * time.Hour},
		"timeout":                 5 * time.Second,
		"workers":                 256,
		"concurrency":             16,
		"max_pending":             10_000_000,
		"max_pending_per_webhook": 1_000_000,
		"max_webhooks":            100_000,
		"retention":               30 * 24 * time.Hour,
		"disable_after":           5 * 24 * time.Hour,
		"drain_timeout":           3 * time.Second,
		"user_agent":              "Tengine-Webhooks/1",
		"egress ips":              0,
		"engines":                 1,
		"expr":                    true,
		"static":                  0,
		"keys":                    0,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestJSONTellsOffFromUnset(t *testing.T) {
	s := mustResolve(t, `{"retry":[],"disable_after":0,"drain_timeout":"0s"}`)
	if len(s.Retry) != 0 || s.DisableAfter != 0 || s.DrainTimeout != 0 {
		t.Errorf("retry %v, disable_after %v, drain_timeout %v; want all off", s.Retry, s.DisableAfter, s.DrainTimeout)
	}
	s = mustResolve(t, `{"retry":["2s","1d"],"disable_after":"2d","drain_timeout":"1s","timeout":"7s","unsafe_json":"preserve"}`)
	if diff := cmp.Diff(queue.Schedule{2 * time.Second, 24 * time.Hour}, s.Retry); diff != "" {
		t.Error(diff)
	}
	if s.DisableAfter != 48*time.Hour || s.DrainTimeout != time.Second || s.Timeout != 7*time.Second || !s.PreserveUnsafe {
		t.Errorf("disable_after %v, drain_timeout %v, timeout %v, preserve %v", s.DisableAfter, s.DrainTimeout, s.Timeout, s.PreserveUnsafe)
	}
}

func TestEventTypes(t *testing.T) {
	for config, want := range map[string]map[string]bool{
		`{}`:                                     {"project.created": true, "order.paid": false},
		`{"event_types":{"add":["order.paid"]}}`: {"project.created": true, "order.paid": true, "order.x": false},
		`{"event_types":{"only":["order.paid","usage.x"]}}`:     {"project.created": false, "order.paid": true, "usage.x": true},
		`{"event_types":{"any":true}}`:                          {"project.created": true, "order.paid": true, "Order": false, "webhook.disabled": false},
		`{"event_types":{"add":["project.created","a.b.c.d"]}}`: {"project.created": true, "a.b.c.d": true},
	} {
		catalogue := mustResolve(t, config).Catalogue
		for name, known := range want {
			if got := catalogue.Knows(name); got != known {
				t.Errorf("%s: %s is known: %v, want %v", config, name, got, known)
			}
		}
	}
}

func TestJSONValuesOutOfRangeAreRefused(t *testing.T) {
	for _, tc := range []struct{ config, want string }{
		{`{"workers":-1}`, "workers: it is -1"},
		{`{"workers":65537}`, "workers: it is 65537"},
		{`{"concurrency":1001}`, "concurrency:"},
		{`{"max_pending":-1}`, "max_pending:"},
		{`{"max_pending_per_webhook":-1}`, "max_pending_per_webhook:"},
		{`{"max_webhooks":-1}`, "max_webhooks:"},
		{`{"timeout":"999ms"}`, "timeout: it is 999ms"},
		{`{"timeout":"31s"}`, "timeout:"},
		{`{"retention":"1ms"}`, "retention:"},
		{`{"disable_after":"-1s"}`, "disable_after:"},
		{`{"drain_timeout":"-1s"}`, "drain_timeout:"},
		{`{"drain_timeout":"11m"}`, "drain_timeout:"},
		{`{"retry":["8d"]}`, "retry: wait 1:"},
		{`{"retry":["1s","0s"]}`, "retry: wait 2:"},
		{`{"unsafe_json":"keep"}`, "unsafe_json:"},
		{`{"user_agent":"ü"}`, "user_agent:"},
		{`{"event_types":{}}`, "event_types: set one of"},
		{`{"event_types":{"any":true,"add":["a.b"]}}`, "event_types: set one of"},
		{`{"event_types":{"only":["order.paid","a.b","order.paid"]}}`, "event_types: order.paid is there twice"},
		{`{"event_types":{"add":["order.paid","order.paid"]}}`, "event_types: order.paid is there twice"},
		{`{"event_types":{"add":["A"]}}`, "event type \"A\""},
		{`{"egress":{"source":["127.0.0.1","x"]}}`, "egress: source:"},
		{`{"egress":{"advertise":["::ffff:1.2.3.4"]}}`, "egress: advertise:"},
		{`{"egress":{"allow":[{"range":"10.0.0.1/8"}]}}`, "egress: allow:"},
		{`{"egress":{"allow":[{}]}}`, "egress: allow:"},
		{`{"egress":{"allow":[{"range":"10.0.0.0/8","projects":["a b"]}]}}`, "projects:"},
		{`{"api_keys":{"Upper":{"token":"a-token-of-20-characters"}}}`, "the name"},
		{`{"api_keys":{"a":{}}}`, "api_key a: a token is required"},
		{`{"api_keys":{"a":null}}`, "api_key a: a token is required"},
		{`{"api_keys":{"a":{"token":"a-token-of-20-characters","scopes":["root"]}}}`, "there is no scope"},
		{`{"api_keys":{"a":{"token":"a-token-of-20-characters","projects":["*","b"]}}}`, "leave out the others"},
		{`{"webhooks":{"Upper":{}}}`, "the name"},
		{`{"webhooks":{"a":null}}`, "webhook a: it must be an object"},
		{`{"webhooks":{"a":{}}}`, "webhook a: url: A URL is required."},
		{`{"webhooks":{"a":{"project":"p","url":"https://example.com","events":["*"],"rate_limit":"1/d"}}}`, "webhook a: rate_limit:"},
		{`{"webhooks":{"a":{"project":"p","url":"https://example.com","events":["*"],"previous_secret":"0123456789abcdef"}}}`, "previous_secret: it needs a secret"},
		{`{"webhooks":{"a":{"project":"p","url":"https://example.com","events":["*"],"concurrency":-1}}}`, "webhook a: concurrency:"},
		{`{"webhooks":{"a":{"project":"p","url":"https://example.com","events":["*"],"retry":["1s","9d"]}}}`, "webhook a: retry 216h0m0s:"},
		{`{"webhooks":{"a":{"project":"p","url":"https://example.com","events":["*"],"filters":{"data.x":{}}}}}`, "webhook a: filters data.x:"},
		{`{"filter_engines":{"cel":{}}}`, "filter_engines:"},
		{`{"store":{"module":"none"}}`, "store:"},
	} {
		if _, err := tryResolve(t, tc.config); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want an error about %q", tc.config, err, tc.want)
		}
	}
}

func TestUnknownJSONMembersAreRefused(t *testing.T) {
	for _, config := range []string{`{"worker":1}`, `{"egress":{"sources":[]}}`, `{"webhooks":{"a":{"urls":""}}}`, `{"api_keys":{"a":{"scope":[]}}}`} {
		if err := caddy.StrictUnmarshalJSON([]byte(config), new(App)); err == nil {
			t.Errorf("%s is taken", config)
		}
	}
}

func TestAPIKeys(t *testing.T) {
	const token = "a-token-of-the-environment"
	t.Setenv("WGW_TOKEN", token)
	hash := sha256.Sum256([]byte("other"))
	t.Setenv("WGW_HASH", "sha256:"+strings.ToUpper(hex.EncodeToString(hash[:])))
	s := mustResolve(t, `{"api_keys":{
		"b":{"token":"{env.WGW_TOKEN}","scopes":["ingest"],"projects":["p","q"]},
		"a":{"token":"{env.WGW_HASH}","projects":["*"]}}}`)
	want := []gateway.Key{
		{Name: "a", Hash: hash, Scopes: []gateway.Scope{gateway.ScopeRead, gateway.ScopeManage}},
		{Name: "b", Hash: gateway.HashToken(token), Scopes: []gateway.Scope{gateway.ScopeIngest}, Projects: []string{"p", "q"}},
	}
	if diff := cmp.Diff(want, s.Keys); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestAHashThatIsNoneIsNoToken(t *testing.T) {
	digits := strings.Repeat("0a", 32)
	for _, token := range []string{"SHA256:" + digits, "Sha256:" + digits, "sha256:" + digits[1:], "sha256:" + digits + "0", "sha256:" + strings.Repeat("g", 64), "SHA256:a-token-that-is-long-enough"} {
		if _, err := (&APIKey{Token: token}).key("a", zap.NewNop()); err == nil || strings.Contains(err.Error(), digits[2:]) {
			t.Errorf("%s: %v, want an error that does not repeat it", token, err)
		}
	}
}

func TestPathPrefixes(t *testing.T) {
	for _, path := range []string{"/", "/api/v1", "/.well-known/hooks", "/a..b", "/..."} {
		if err := checkPathPrefix(path); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	for _, path := range []string{"", "api", "/api/", "//", "/api//v1", "/.", "/..", "/api/../v1", "/api/./v1", "/api/..", "/a%20b", "/a?b"} {
		if checkPathPrefix(path) == nil {
			t.Errorf("%q is taken", path)
		}
	}
}

func TestStaticWebhooks(t *testing.T) {
	t.Setenv("WGW_TOKEN", "of-{env.HOME}") // what a placeholder stands for is not resolved again
	t.Setenv("WGW_SECRET", "  a secret with spaces  ")
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("an-older-secret-of-a-file\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	config, err := json.Marshal(map[string]any{"webhooks": map[string]any{
		"b": map[string]any{"project": "*", "url": "https://example.com/b", "events": []string{"*"}, "retry": []string{}},
		"a": map[string]any{
			"project": "p", "url": "https://example.com/a", "description": "d", "events": []string{"project.*"},
			"filters": map[string]any{"data.n": []any{5, "5", nil, true}},
			"filter":  `any(data.tags ?? [], { # == "{env.HOME}" })`,
			"headers": map[string]string{"X-B": `\{b\}`, "Authorization": "Bearer {env.WGW_TOKEN}"},
			"secret":  "{env.WGW_SECRET}", "previous_secret": "{file." + file + "}",
			"retry": []string{"10s", "1m"}, "timeout": "3s", "concurrency": 4, "rate_limit": "100/m",
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	got := mustResolve(t, string(config)).Static
	want := []webhook.Subscription{
		{
			ID: "wh_a", ProjectID: "p", URL: "https://example.com/a", Description: "d", Events: []string{"project.*"},
			Filters: map[string]json.RawMessage{"data.n": json.RawMessage(`[5,"5",null,true]`)},
			Filter:  `any(data.tags ?? [], { # == "{env.HOME}" })`,
			Headers: []webhook.Header{{Name: "Authorization", Value: "Bearer of-{env.HOME}"}, {Name: "X-B", Value: "{b}"}},
			Secrets: []webhook.Secret{
				{Value: "  a secret with spaces  ", Role: webhook.SecretPrimary},
				{Value: "an-older-secret-of-a-file", Role: webhook.SecretPrevious},
			},
			State: webhook.Active, Retry: []time.Duration{10 * time.Second, time.Minute}, Timeout: 3 * time.Second,
			Concurrency: 4, Rate: webhook.Rate{N: 100, Per: time.Minute}, Static: true,
		},
		{
			ID: "wh_b", ProjectID: "*", URL: "https://example.com/b", Events: []string{"*"},
			State: webhook.Active, Retry: []time.Duration{}, Static: true,
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if got[1].Retry == nil {
		t.Error("an empty retry list means no retries, nil means the gateway's")
	}
}

func TestEgress(t *testing.T) {
	s := mustResolve(t, `{"egress":{"source":["127.0.0.1"],"advertise":["54.123.45.67","2001:db8::1"],
		"allow":[{"range":"10.20.0.0/16","projects":["p"]},{"range":"192.168.1.7"}],"allow_http":true}}`)
	if diff := cmp.Diff([]string{"54.123.45.67", "2001:db8::1"}, s.Egress.AdvertisedIPs()); diff != "" {
		t.Error(diff)
	}
	for _, tc := range []struct {
		project, url string
		refused      bool
	}{
		{"p", "http://10.20.1.1/", false},
		{"q", "http://10.20.1.1/", true},
		{"q", "http://192.168.1.7/", false},
		{"q", "http://192.168.1.8/", true},
		{"q", "http://example.com/", false},
	} {
		if items := s.Egress.CheckURL(tc.project, tc.url); (len(items) > 0) != tc.refused {
			t.Errorf("%s for %s: %v, want refused %v", tc.url, tc.project, items, tc.refused)
		}
	}
}

func TestRangesOfAddresses(t *testing.T) {
	for text, want := range map[string]string{
		"10.20.0.0/16": "10.20.0.0/16", "10.1.2.3": "10.1.2.3/32", "fd00::/8": "fd00::/8", "::1": "::1/128", "0.0.0.0/0": "0.0.0.0/0",
		"": "", "10.20.0.1/16": "", "10.0.0.0/33": "", "::ffff:10.0.0.0/104": "", "fe80::1%eth0": "", "fe80::%eth0/10": "", "x": "", "10.0.0": "",
	} {
		got, err := parseRange(text)
		if want == "" {
			if err == nil {
				t.Errorf("%q is taken as %s", text, got)
			}
			continue
		}
		if err != nil || got != netip.MustParsePrefix(want) {
			t.Errorf("%q: %s, %v, want %s", text, got, err, want)
		}
	}
}

// TestLiteralSecretsAreWarnedAbout also shows that warnings hold no secret.
func TestLiteralSecretsAreWarnedAbout(t *testing.T) {
	t.Setenv("WGW_SECRET", "hush-of-the-environment")
	core, logs := observer.New(zapcore.DebugLevel)
	logger := zap.New(core)
	app := &App{
		APIKeys: map[string]*APIKey{
			"literal": {Token: "hush-hush-hush-hush-hush"},
			"env":     {Token: "{env.WGW_SECRET}"},
			"hash":    {Token: "sha256:" + strings.Repeat("0", 64)},
		},
		Webhooks: map[string]*Webhook{
			"literal": {
				Secret: "hush-hush-hush-hush", PreviousSecret: "hush-hush-hush-old",
				Headers: map[string]string{"Authorization": "hush", "X-Tenant": "plain"},
			},
			"env": {Secret: "{env.WGW_SECRET}", Headers: map[string]string{"X-Token": "Bearer {env.WGW_SECRET}"}},
		},
	}
	if _, err := app.keys(logger); err != nil {
		t.Fatal(err)
	}
	for name, w := range app.Webhooks {
		_, err := w.headers(name, logger)
		_, err2 := w.secrets(name, logger)
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, e := range logs.All() {
		if e.Level != zapcore.WarnLevel {
			t.Errorf("level %s", e.Level)
		}
		text, _ := json.Marshal(e.ContextMap())
		if strings.Contains(e.Message+string(text), "hush") {
			t.Errorf("the warning repeats a secret: %s %s", e.Message, text)
		}
		got = append(got, e.ContextMap()["setting"].(string))
	}
	want := []string{"token of api_key literal", "header Authorization of webhook literal", "secret of webhook literal", "previous_secret of webhook literal"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestPlaceholders(t *testing.T) {
	t.Setenv("WGW_SECRET", "hush")
	t.Setenv("WGW_EMPTY", "")
	for text, want := range map[string]string{
		"plain": "plain", "{env.WGW_SECRET}": "hush", "a{env.WGW_SECRET}b": "ahushb", `\{x\}`: "{x}", "{": "{", "}": "}", "a{b": "a{b",
	} {
		if got, literal, err := resolveText(text); got != want || err != nil || literal == strings.Contains(text, "env.") {
			t.Errorf("%q: %q, literal %v, %v, want %q", text, got, literal, err, want)
		}
	}
	for _, text := range []string{
		"{env.WGW_EMPTY}", "{env.WGW_NOT_SET}", "{file./nonexistent}", "hush{system.hostname}", "{hush}", "{}", `{"hush":1}`,
		"{env.WGW_SECRET}{env.WGW_EMPTY}", "{http.request.header.hush}", "{time.now}",
	} {
		got, _, err := resolveText(text)
		if err == nil || got != "" || strings.Contains(err.Error(), "hush") {
			t.Errorf("%q: %q, %v, want an error that does not repeat it", text, got, err)
		}
	}
}

func TestSecretsKey(t *testing.T) {
	t.Setenv("WGW_KEY", strings.Repeat("k", 32))
	t.Setenv("WGW_OLD_KEY", strings.Repeat("o", 32)+"\n")
	app := App{SecretsKey: "{env.WGW_KEY}", PreviousSecretsKey: "{env.WGW_OLD_KEY}"}
	key, previous, err := app.secretsKeys(zap.NewNop())
	if key != strings.Repeat("k", 32) || previous != strings.Repeat("o", 32) || err != nil {
		t.Errorf("%q, %q, %v", key, previous, err)
	}
	if key, previous, err := new(App).secretsKeys(zap.NewNop()); key != "" || previous != "" || err != nil {
		t.Errorf("not set: %q, %q, %v", key, previous, err)
	}
	for name, app := range map[string]*App{
		"only the previous": {PreviousSecretsKey: "{env.WGW_KEY}"},
		"twice the same":    {SecretsKey: "{env.WGW_KEY}", PreviousSecretsKey: "{env.WGW_KEY}"},
		"short":             {SecretsKey: "{env.WGW_KEY}", PreviousSecretsKey: "hush"},
	} {
		if _, _, err := app.secretsKeys(zap.NewNop()); err == nil || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v, want an error that does not repeat a key", name, err)
		}
	}
}

func TestOneDirectoryHasOneKey(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Mkdir(filepath.Join(root, "real"), 0o700))
	must(os.Symlink("real", filepath.Join(root, "link")))
	must(os.Symlink(filepath.Join(root, "link", "later"), filepath.Join(root, "dangling")))
	must(os.Symlink("loop", filepath.Join(root, "loop")))
	must(os.WriteFile(filepath.Join(root, "file"), nil, 0o600))
	t.Chdir(root)
	for dir, want := range map[string]string{
		"real": "real", "./link": "real", "real/../link/": "real", filepath.Join(root, "link"): "real",
		"link/a/b": "real/a/b", "dangling": "real/later", "dangling/x": "real/later/x", "new": "new",
	} {
		got, err := canonicalDir(dir)
		if err != nil || got != filepath.Join(root, want) {
			t.Errorf("%s: %s, %v, want %s", dir, got, err, filepath.Join(root, want))
		}
	}
	if got, err := canonicalDir("loop"); err == nil {
		t.Errorf("loop: %s", got)
	}
	store := &StoreBadger{Dir: "link/a"}
	must(store.Provision(caddy.Context{}))
	if store.StoreKey() != filepath.Join(root, "real/a") || store.Dir != "link/a" {
		t.Errorf("key %s, dir %s", store.StoreKey(), store.Dir)
	}
	for _, dir := range []string{"file", "file/below"} {
		if err := (&StoreBadger{Dir: dir}).Provision(caddy.Context{}); err == nil {
			t.Errorf("%s is taken as a directory", dir)
		}
	}
	if _, err := os.Stat(filepath.Join(root, "real", "a")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a directory was made")
	}
}

func TestIngestLimits(t *testing.T) {
	var h Ingest
	h.setDefaults()
	if h.MaxSize != 256<<10 || h.MaxBatch != 1000 || h.MaxBatchSize != 4<<20 || h.Validate() != nil {
		t.Errorf("%+v, %v", h, h.Validate())
	}
	for _, bad := range []Ingest{{MaxSize: 512<<10 + 1}, {MaxSize: -1}, {MaxBatch: -1}, {MaxBatch: 100_001}, {MaxBatchSize: -1}, {MaxBatchSize: 64<<20 + 1}} {
		bad.setDefaults()
		if bad.Validate() == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}
