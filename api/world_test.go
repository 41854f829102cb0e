package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/tengineai/webhook-gateway/api"
	"github.com/tengineai/webhook-gateway/egress"
	"github.com/tengineai/webhook-gateway/filter"
	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/queue/badgerstore"
	"github.com/tengineai/webhook-gateway/webhook"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	allKey   = "a-key-for-all-projects-and-all-scopes"
	acmeKey  = "a-key-for-the-project-acme-only"
	readKey  = "a-key-that-may-only-read-what-is-there"
	writeKey = "a-key-that-may-only-manage-and-not-read"
)

// world is an API over a real gateway and store, with a receiver.
type world struct {
	t        *testing.T
	gw       *gateway.Gateway
	api      *api.API
	receiver *httptest.Server
	status   int // what the receiver answers
	document *openAPI
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, status: http.StatusOK}
	w.receiver = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Add("Set-Cookie", "session=hush")
		rw.WriteHeader(w.status)
		_, _ = rw.Write([]byte("ok\xff"))
	}))
	t.Cleanup(func() {
		w.receiver.CloseClientConnections()
		w.receiver.Close()
	})
	store, err := badgerstore.Open(badgerstore.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	w.gw, err = gateway.Open(t.Context(), gateway.Options{Store: store, Owner: "test", Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.gw.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := w.gw.Apply(t.Context(), w.settings()); err != nil {
		t.Fatal(err)
	}
	w.api, err = api.New(api.Options{
		Prefix:  api.DefaultPrefix,
		Gateway: func(context.Context) (*gateway.Gateway, error) { return w.gw, nil },
		Identify: func(g *gateway.Gateway, r *http.Request) (*gateway.Key, error) {
			return g.Authenticate(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
		},
		LinkURL: func(_ *http.Request, token string) (string, bool) {
			return "https://site.example/webhooks/open?link=" + token, true
		},
		Logger: zaptest.NewLogger(t, zaptest.Level(zap.ErrorLevel)),
	})
	if err != nil {
		t.Fatal(err)
	}
	w.document = newOpenAPI(t, w.api.OpenAPI())
	return w
}

func (w *world) settings() *gateway.Settings {
	out, err := egress.New(egress.Config{
		AllowHTTP: true,
		Allow:     []egress.Allow{{Prefix: netip.MustParsePrefix("127.0.0.0/8")}},
		OwnPorts:  func() ([]uint16, error) { return nil, nil },
	})
	if err != nil {
		w.t.Fatal(err)
	}
	key := func(name, token string, projects []string, scopes ...gateway.Scope) gateway.Key {
		return gateway.Key{Name: name, Hash: gateway.HashToken(token), Scopes: scopes, Projects: projects}
	}
	return &gateway.Settings{
		APIVersion: "2021-09-01", Catalogue: webhook.Builtin(), Retry: queue.DefaultSchedule(),
		Timeout: 5 * time.Second, Workers: 8, Concurrency: 4,
		MaxPending: 1000, MaxPendingPerWebhook: 1000, MaxWebhooks: 5,
		Retention: 24 * time.Hour, DrainTimeout: time.Second, UserAgent: "Tengine-Webhooks/1",
		Egress: out, Engines: map[string]filter.Engine{gateway.DefaultEngine: filter.Expr},
		SecretsKey: strings.Repeat("k", 44),
		Keys: []gateway.Key{
			key("all", allKey, nil, gateway.Scopes...),
			key("acme", acmeKey, []string{"acme"}, gateway.ScopeRead, gateway.ScopeManage),
			key("reader", readKey, nil, gateway.ScopeRead),
			key("writer", writeKey, nil, gateway.ScopeManage),
		},
		Static: []webhook.Subscription{{
			ID: "wh_static", ProjectID: webhook.AllProjects, URL: w.receiver.URL, Events: []string{"usage.*"}, Static: true,
			Secrets: []webhook.Secret{{Value: "a-secret-of-the-configuration", Role: webhook.SecretPrimary}},
		}},
	}
}

// reply is an answer with what was asked.
type reply struct {
	*http.Response
	method, path string
	body         []byte
}

// do sends a request with a body unless it is empty. header has names and
// values; an empty value removes one. A path that is none of the API gets 299.
func (w *world) do(method, path, body string, header ...string) reply {
	w.t.Helper()
	r := httptest.NewRequestWithContext(w.t.Context(), method, "http://site"+path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+allKey)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
		if header[i+1] == "" {
			r.Header.Del(header[i])
		}
	}
	rec := httptest.NewRecorder()
	if h := w.api.Route(r); h != nil {
		h.ServeHTTP(rec, r)
	} else {
		rec.WriteHeader(299)
	}
	res := rec.Result()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	got := reply{res, method, path, text}
	if err := w.document.check(got); err != nil {
		w.t.Errorf("%s %s: %d %s is not as documented: %v", method, path, got.StatusCode, text, err)
	}
	if bytes.Contains(text, []byte("hush")) {
		w.t.Errorf("%s %s: the answer repeats a refused or secret value: %s", method, path, text)
	}
	if got.StatusCode != 299 && (got.Header.Get("Cache-Control") != "no-store" || got.Header.Get("X-Content-Type-Options") != "nosniff") {
		w.t.Errorf("%s %s: headers %v", method, path, got.Header)
	}
	if got.StatusCode == http.StatusInternalServerError {
		w.t.Errorf("%s %s %.200s: %d", method, path, body, got.StatusCode)
	}
	return got
}

// publish publishes an event and returns its id.
func (w *world) publish(event string) string {
	w.t.Helper()
	input, err := (&webhook.Intake{Catalogue: webhook.Builtin(), MaxSize: webhook.DefaultMaxSize}).One([]byte(event))
	if err != nil {
		w.t.Fatal(err)
	}
	results, err := w.gw.Publish(w.t.Context(), []webhook.Input{input})
	if err != nil || results[0].Err != nil {
		w.t.Fatal(err, results)
	}
	return results[0].ID
}

// want fails the test unless the answer has the status.
func (w *world) want(status int, r reply) reply {
	w.t.Helper()
	if r.StatusCode != status {
		w.t.Fatalf("%s %s: %d %s, want %d", r.method, r.path, r.StatusCode, r.body, status)
	}
	return r
}

// get returns a member of a JSON answer by dotted path.
func (r reply) get(t *testing.T, path string) any {
	t.Helper()
	var v any
	dec := json.NewDecoder(bytes.NewReader(r.body))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("%s %s: %d %q: %v", r.method, r.path, r.StatusCode, r.body, err)
	}
	for name := range strings.SplitSeq(path, ".") {
		object, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = object[name]
	}
	return v
}

func (r reply) text(t *testing.T, path string) string {
	t.Helper()
	text, _ := r.get(t, path).(string)
	return text
}

// items returns code and place of each item of a problem.
func (r reply) items(t *testing.T) []string {
	t.Helper()
	var doc struct {
		Errors []struct{ Code, Pointer, Parameter string }
	}
	if err := json.Unmarshal(r.body, &doc); err != nil {
		t.Fatalf("%s %s: %d %q: %v", r.method, r.path, r.StatusCode, r.body, err)
	}
	var list []string
	for _, e := range doc.Errors {
		list = append(list, e.Code+" "+e.Pointer+e.Parameter)
	}
	return list
}

// create creates a webhook of a project and returns its id.
func (w *world) create(project, members string) string {
	w.t.Helper()
	body := `{"url":"` + w.receiver.URL + `","events":["*"]` + members + `}`
	return w.want(201, w.do("POST", "/api/v1/projects/"+project+"/webhooks", body)).text(w.t, "id")
}
