package dispatch_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/tengineai/webhook-gateway/dispatch"
	"github.com/tengineai/webhook-gateway/egress"
	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/signer"
	"github.com/tengineai/webhook-gateway/webhook"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// defaults are the settings of a gateway whose configuration says nothing.
var defaults = dispatch.Settings{
	Timeout: 5 * time.Second, Schedule: queue.DefaultSchedule(), Concurrency: 16, UserAgent: "Tengine-Webhooks/1",
}

const testSecret = "a secret of sixteen"

// world is a Dispatcher with everything around it. It is meant for a synctest
// bubble: all its times are fake.
type world struct {
	t     *testing.T
	store *memStore
	hooks *hooks
	seen  *seen
	wall  *wallClock
	opts  dispatch.Options
	d     *dispatch.Dispatcher
}

// newWorld returns a world whose Dispatcher has not started.
func newWorld(t *testing.T, change ...func(*dispatch.Options)) *world {
	t.Helper()
	w := &world{t: t, store: newMemStore(), hooks: newHooks(t), seen: &seen{}, wall: &wallClock{}}
	w.opts = dispatch.Options{
		Store: w.store, Receivers: w.hooks, Owner: "test", Observer: w.seen, Clock: w.wall.now,
		Sender: dispatch.NewSender(nil), Logger: zaptest.NewLogger(t, zaptest.Level(zap.FatalLevel)),
	}
	for _, c := range change {
		c(&w.opts)
	}
	w.d = dispatch.New(w.opts)
	return w
}

func (w *world) start() {
	w.t.Helper()
	if err := w.d.Start(); err != nil {
		w.t.Fatalf("Start: %v", err)
	}
}

// stop stops the Dispatcher, cutting short what is in flight.
func (w *world) stop() {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = w.d.Stop(ctx)
	if n := w.store.claimedNow(); n != 0 {
		w.t.Errorf("after Stop %d deliveries are still claimed", n)
	}
}

// publish stores n events for a webhook, due at once, and returns the ids of
// their deliveries.
func (w *world) publish(webhookID string, n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = w.store.publish(webhookID, newEvent(w.hooks.project(webhookID), w.wall.now()), w.wall.now())
	}
	return ids
}

func (w *world) wantStatus(deliveryID string, status webhook.Status, reason string) {
	w.t.Helper()
	d, _ := w.store.delivery(deliveryID)
	if d.Status != status || d.Reason != reason {
		w.t.Errorf("delivery %s is %s (%q), want %s (%q)", deliveryID, d.Status, d.Reason, status, reason)
	}
}

func (w *world) wantCount(webhookID string, status webhook.Status, want int) {
	w.t.Helper()
	if got := w.store.count(webhookID, status); got != want {
		w.t.Errorf("webhook %q has %d deliveries %s, want %d", webhookID, got, status, want)
	}
}

func newEvent(projectID string, now time.Time) *webhook.Event {
	return &webhook.Event{
		ID: "evt_1", Type: "project.created", ProjectID: projectID, ReceivedAt: now,
		Body: []byte(`{"id":"evt_1","type":"project.created","data":{},"created_at":"2024-01-01T00:00:00Z","api_version":"2021-09-01"}`),
	}
}

// wallClock is a wall clock that can be set.
type wallClock struct {
	mu    sync.Mutex
	shift time.Duration
}

func (c *wallClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.shift)
}

func (c *wallClock) jump(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shift += d
}

// hooks is the webhooks of a world.
type hooks struct {
	t  testing.TB
	mu sync.Mutex
	m  map[string]*testHook
}

type testHook struct {
	project   string
	state     dispatch.State
	receiver  *dispatch.Receiver
	transport *fakeTransport
}

func newHooks(t testing.TB) *hooks { return &hooks{t: t, m: map[string]*testHook{}} }

// add makes an active webhook that answers with the given function.
func (h *hooks) add(id, project string, answer func(*http.Request) (*http.Response, error)) *fakeTransport {
	tr := &fakeTransport{answer: answer}
	h.mu.Lock()
	h.m[id] = &testHook{project: project, state: dispatch.Active, transport: tr}
	h.mu.Unlock()
	h.change(id, func(*webhook.Subscription) {})
	return tr
}

// change gives a webhook a new version of its subscription.
func (h *hooks) change(id string, change func(*webhook.Subscription)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	th := h.m[id]
	sub := &webhook.Subscription{ID: id, ProjectID: th.project, URL: "http://" + id + ".example/hook"}
	if th.receiver != nil {
		*sub = *th.receiver.Subscription
	}
	change(sub)
	r, err := dispatch.NewReceiver(sub, signer.New([]webhook.Secret{{Value: testSecret}}), th.transport, defaults)
	if err != nil {
		h.t.Errorf("NewReceiver: %v", err)
		return
	}
	th.receiver = r
}

func (h *hooks) set(id string, s dispatch.State) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.m[id].state = s
}

// move gives a webhook to another project.
func (h *hooks) move(id, project string) {
	h.mu.Lock()
	h.m[id].project = project
	h.mu.Unlock()
	h.change(id, func(s *webhook.Subscription) { s.ProjectID = project })
}

func (h *hooks) project(id string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if th := h.m[id]; th != nil {
		return th.project
	}
	return "proj_none"
}

func (h *hooks) Receiver(id string) (*dispatch.Receiver, dispatch.State) {
	h.mu.Lock()
	defer h.mu.Unlock()
	th := h.m[id]
	if th == nil {
		return nil, dispatch.Unknown
	}
	return th.receiver, th.state
}

// fakeTransport answers without a network and notes what it was asked.
type fakeTransport struct {
	answer func(*http.Request) (*http.Response, error)

	mu       sync.Mutex
	calls    []call
	inflight map[string]bool // delivery ids
	most     int             // in flight side by side
	overlaps int             // attempts of a delivery that had one in flight
}

type call struct {
	at       time.Time
	delivery string
	attempt  string
}

func (f *fakeTransport) Send(ctx context.Context, r *egress.Request) (*http.Response, egress.Trace, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.URL.String(), bytes.NewReader(r.Body))
	if err != nil {
		return nil, egress.Trace{}, err
	}
	for _, h := range r.Header {
		req.Header.Set(h.Name, h.Value)
	}
	id := req.Header.Get("x-tengine-delivery")
	f.mu.Lock()
	if f.inflight == nil {
		f.inflight = map[string]bool{}
	}
	if f.inflight[id] {
		f.overlaps++
	}
	f.inflight[id] = true
	f.most = max(f.most, len(f.inflight))
	f.calls = append(f.calls, call{time.Now(), id, req.Header.Get("x-tengine-attempt")})
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		delete(f.inflight, id)
		f.mu.Unlock()
	}()
	resp, err := f.answer(req)
	return resp, egress.Trace{}, err
}

func (f *fakeTransport) all() []call {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]call(nil), f.calls...)
}

func (f *fakeTransport) count() int { return len(f.all()) }

func (f *fakeTransport) mostInFlight() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.most
}

// status answers with a status, at once.
func status(code int, header ...string) func(*http.Request) (*http.Response, error) {
	return func(*http.Request) (*http.Response, error) { return response(code, header...), nil }
}

// after answers like status, but takes its time.
func after(d time.Duration, code int) func(*http.Request) (*http.Response, error) {
	return func(req *http.Request) (*http.Response, error) {
		select {
		case <-time.After(d):
			return response(code), nil
		case <-req.Context().Done():
			return nil, req.Context().Err()
		}
	}
}

// hang never answers.
func hang(req *http.Request) (*http.Response, error) {
	<-req.Context().Done()
	return nil, req.Context().Err()
}

func response(code int, header ...string) *http.Response {
	h := http.Header{}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: code, Header: h, Body: io.NopCloser(strings.NewReader("ok"))}
}

// seen is an Observer that remembers.
type seen struct {
	mu      sync.Mutex
	reports []dispatch.Report
	gone    []string
	notMade []time.Time
	lost    int
	trips   []bool
	hook    func(what string) // called for each call, when set
}

func (s *seen) note(what string, f func()) {
	s.mu.Lock()
	f()
	hook := s.hook
	s.mu.Unlock()
	if hook != nil {
		hook(what)
	}
}

func (s *seen) Settled(r dispatch.Report) {
	s.note("settled", func() { s.reports = append(s.reports, r) })
}
func (s *seen) Gone(sub *webhook.Subscription) {
	s.note("gone", func() { s.gone = append(s.gone, sub.ID) })
}
func (s *seen) ClaimLost(string) { s.note("lost", func() { s.lost++ }) }

func (s *seen) Tripped(_ string, open bool) {
	s.note("tripped", func() { s.trips = append(s.trips, open) })
}

func (s *seen) NotMade(string, *webhook.Attempt) {
	s.note("not made", func() { s.notMade = append(s.notMade, time.Now()) })
}
