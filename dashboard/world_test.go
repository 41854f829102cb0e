package dashboard_test

import (
	"context"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/tengineai/webhook-gateway/dashboard"
	"github.com/tengineai/webhook-gateway/egress"
	"github.com/tengineai/webhook-gateway/filter"
	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/queue/badgerstore"
	"github.com/tengineai/webhook-gateway/webhook"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	allKey    = "a-key-for-all-projects-and-all-scopes"
	acmeKey   = "a-key-for-the-project-acme-only"
	readKey   = "a-key-that-may-only-read-what-is-there"
	ingestKey = "a-key-that-may-only-publish-events"
)

// world is a dashboard over a real gateway and store, with a receiver.
type world struct {
	t        *testing.T
	gw       *gateway.Gateway
	dash     *dashboard.Dashboard
	site     *httptest.Server
	receiver *httptest.Server
	answer   http.HandlerFunc // of the receiver
	keys     []gateway.Key
	static   []webhook.Subscription
	now      func() time.Time // nil: the clock
	options  dashboard.Options
}

// newWorld starts a world. change, if not nil, changes it before.
func newWorld(t *testing.T, change func(*world)) *world {
	t.Helper()
	w := &world{t: t}
	w.receiver = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if w.answer != nil {
			w.answer(rw, r)
		}
	}))
	key := func(name, token string, projects []string, scopes ...gateway.Scope) gateway.Key {
		return gateway.Key{Name: name, Hash: gateway.HashToken(token), Scopes: scopes, Projects: projects}
	}
	w.keys = []gateway.Key{
		key("all", allKey, nil, gateway.Scopes...),
		key("acme", acmeKey, []string{"acme"}, gateway.ScopeRead, gateway.ScopeManage),
		key("reader", readKey, []string{"acme"}, gateway.ScopeRead),
		key("ingest", ingestKey, nil, gateway.ScopeIngest),
	}
	w.options = dashboard.Options{
		Mount:      "/webhooks",
		Gateway:    func(context.Context) (*gateway.Gateway, error) { return w.gw, nil },
		ClientAddr: func(*http.Request) netip.Addr { return netip.MustParseAddr("203.0.113.9") },
		Secure:     func(r *http.Request) bool { return r.Header.Get("X-Test-Https") != "" },
		Logger:     zaptest.NewLogger(t, zaptest.Level(zap.ErrorLevel)),
	}
	if change != nil {
		change(w)
	}
	store, err := badgerstore.Open(badgerstore.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	w.gw, err = gateway.Open(t.Context(), gateway.Options{Store: store, Owner: "test", Logger: zap.NewNop(), Clock: w.now})
	if err != nil {
		t.Fatal(err)
	}
	w.apply()
	if w.dash, err = dashboard.New(w.options); err != nil {
		t.Fatal(err)
	}
	w.site = httptest.NewServer(w.dash)
	t.Cleanup(func() {
		w.dash.Close()
		w.site.CloseClientConnections()
		w.site.Close()
		if err := w.gw.Close(); err != nil {
			t.Error(err)
		}
		w.receiver.CloseClientConnections()
		w.receiver.Close()
	})
	return w
}

func (w *world) apply() {
	w.t.Helper()
	out, err := egress.New(egress.Config{
		AllowHTTP: true,
		Allow:     []egress.Allow{{Prefix: netip.MustParsePrefix("127.0.0.0/8")}},
		OwnPorts:  func() ([]uint16, error) { return nil, nil },
	})
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err = w.gw.Apply(w.t.Context(), &gateway.Settings{
		APIVersion: "2021-09-01", Catalogue: webhook.Builtin(), Retry: queue.DefaultSchedule(),
		Timeout: 5 * time.Second, Workers: 8, Concurrency: 4,
		MaxPending: 1000, MaxPendingPerWebhook: 1000, MaxWebhooks: 50,
		Retention: 24 * time.Hour, DrainTimeout: time.Second, UserAgent: "Tengine-Webhooks/1",
		Egress: out, Engines: map[string]filter.Engine{gateway.DefaultEngine: filter.Expr},
		SecretsKey: strings.Repeat("k", 44), Keys: w.keys, Static: w.static,
	}); err != nil {
		w.t.Fatal(err)
	}
}

// clock is the time of a test.
type clock struct{ now atomic.Pointer[time.Time] }

func newClock() *clock {
	c, now := new(clock), time.Now()
	c.now.Store(&now)
	return c
}

func (c *clock) read() time.Time { return *c.now.Load() }

func (c *clock) pass(d time.Duration) {
	later := c.read().Add(d)
	c.now.Store(&later)
}

// browser is a visitor who keeps cookies and follows no redirect by itself.
type browser struct {
	w      *world
	client http.Client
}

func (w *world) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return &browser{w, http.Client{
		Jar:           jar,
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// signedIn returns a visitor with a session.
func (w *world) signedIn(key string) *browser {
	w.t.Helper()
	b := w.browser()
	if got := b.post("/login", url.Values{"key": {key}}); got.status != http.StatusSeeOther {
		w.t.Fatalf("sign in: %d %s", got.status, got.text())
	}
	return b
}

// page is an answer.
type page struct {
	status int
	header http.Header
	body   string
}

func (b *browser) get(path string, header ...string) page {
	b.w.t.Helper()
	return b.do(http.MethodGet, path, nil, header...)
}

// post sends a form as a browser does from a page of the site.
func (b *browser) post(path string, form url.Values, header ...string) page {
	b.w.t.Helper()
	return b.do(http.MethodPost, path, form, append([]string{"Sec-Fetch-Site", "same-origin"}, header...)...)
}

func (b *browser) do(method, path string, form url.Values, header ...string) page {
	b.w.t.Helper()
	if !strings.HasPrefix(path, "/webhooks") {
		path = "/webhooks" + path
	}
	req, err := http.NewRequestWithContext(b.w.t.Context(), method, b.w.site.URL+path, strings.NewReader(form.Encode()))
	if err != nil {
		b.w.t.Fatal(err)
	}
	req.Header.Set("Accept", "text/html")
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := b.client.Do(req)
	if err != nil {
		b.w.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		b.w.t.Fatal(err)
	}
	return page{res.StatusCode, res.Header, string(body)}
}

// open gets a page that must be there.
func (b *browser) open(path string) page {
	b.w.t.Helper()
	got := b.get(path)
	if got.status != http.StatusOK {
		b.w.t.Fatalf("GET %s: %d %s", path, got.status, got.text())
	}
	return got
}

// await opens a page until it says all of the texts: counts follow the store a
// moment later.
func (b *browser) await(path string, texts ...string) page {
	b.w.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		got := b.open(path)
		if said := got.text(); !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(said, text) }) {
			return got
		}
		if time.Now().After(deadline) {
			got.wants(b.w.t, texts...)
			return got
		}
	}
}

var tags = regexp.MustCompile(`(?s)<[^>]*>|\s+`)

// text returns what a page says, without its markup.
func (p page) text() string {
	return strings.Join(strings.Fields(tags.ReplaceAllString(p.body, " ")), " ")
}

// wants fails the test unless the page says all of the texts.
func (p page) wants(t *testing.T, texts ...string) {
	t.Helper()
	said := p.text()
	for _, text := range texts {
		if !strings.Contains(said, text) && !strings.Contains(p.body, text) {
			t.Errorf("the page does not say %q:\n%s", text, said)
		}
	}
}

// create makes a webhook of acme and returns its id.
func (w *world) create(change func(*gateway.WebhookSpec)) string {
	w.t.Helper()
	spec := gateway.WebhookSpec{URL: w.receiver.URL, Events: []string{"*"}}
	if change != nil {
		change(&spec)
	}
	made, _, err := w.gw.CreateWebhook(w.t.Context(), &w.keys[0], "acme", spec)
	if err != nil {
		w.t.Fatal(err)
	}
	return made.ID
}

// publish publishes an event of acme.
func (w *world) publish(text string) {
	w.t.Helper()
	in, err := (&webhook.Intake{}).One([]byte(text))
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.gw.Publish(w.t.Context(), []webhook.Input{in}); err != nil {
		w.t.Fatal(err)
	}
}

const created = `{"id":"evt_1","type":"project.created","project_id":"acme","data":{"id":"acme","name":"My Project"}}`

// settled waits until a webhook's newest delivery has been tried, and returns it.
func (w *world) settled(id string) webhook.Delivery {
	w.t.Helper()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	deadline := time.After(20 * time.Second)
	for {
		list, _, err := w.gw.Deliveries(w.t.Context(), &w.keys[0], id, gateway.DeliveryFilter{}, gateway.Page{Limit: 1})
		if err != nil {
			w.t.Fatal(err)
		}
		if len(list) == 1 && (list[0].LastAttempt != nil || list[0].Status != webhook.Pending) {
			return list[0]
		}
		select {
		case <-again.C:
		case <-deadline:
			w.t.Fatal("no delivery was tried")
		}
	}
}
