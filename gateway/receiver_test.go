package gateway_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tengineai/webhook-gateway/gateway"
	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/webhook"
)

// receiver answers with a status that can be changed and keeps what it got.
type receiver struct {
	*httptest.Server
	status atomic.Int32
	hold   atomic.Pointer[chan struct{}] // requests wait until it is closed
	most   atomic.Int32                  // requests at a time
	now    atomic.Int32

	mu  sync.Mutex
	got []received
}

type received struct {
	header http.Header
	body   string
}

func newReceiver(t *testing.T, status int) *receiver {
	t.Helper()
	r := &receiver{}
	r.status.Store(int32(status))
	r.Server = httptest.NewServer(r)
	t.Cleanup(func() {
		r.CloseClientConnections()
		r.Close()
	})
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	for n := r.now.Add(1); n > r.most.Load(); {
		r.most.Store(n)
	}
	defer r.now.Add(-1)
	body, _ := io.ReadAll(req.Body)
	r.mu.Lock()
	r.got = append(r.got, received{req.Header, string(body)})
	r.mu.Unlock()
	if hold := r.hold.Load(); hold != nil {
		select {
		case <-*hold:
		case <-req.Context().Done():
		}
	}
	w.Header().Set("Set-Cookie", "session=secret")
	w.WriteHeader(int(r.status.Load()))
	_, _ = io.WriteString(w, "answer")
}

// requests returns what arrived so far.
func (r *receiver) requests() []received {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]received(nil), r.got...)
}

// eventually waits for something that other goroutines bring about.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !is(); {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not after 20 s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// everything is the key of those who may do all.
var everything = &gateway.Key{Name: "all", Scopes: gateway.Scopes}

func keyOf(projects ...string) *gateway.Key {
	return &gateway.Key{Name: "some", Scopes: gateway.Scopes, Projects: projects}
}

var wholePage = gateway.Page{Limit: gateway.MaxPage}

// mustList returns all deliveries of a webhook with a status.
func mustList(t *testing.T, g *gateway.Gateway, webhookID string, status webhook.Status) []webhook.Delivery {
	t.Helper()
	list, next, err := g.Deliveries(t.Context(), everything, webhookID, gateway.DeliveryFilter{Status: status}, wholePage)
	if err != nil || next != "" {
		t.Fatalf("deliveries of %s: next %q, %v", webhookID, next, err)
	}
	return list
}

// mustDeliver publishes an event and returns the delivery that comes of it,
// when its first attempt is over.
func mustDeliver(t *testing.T, g *gateway.Gateway, webhookID, event string) webhook.Delivery {
	t.Helper()
	results, err := g.Publish(t.Context(), parse(t, event))
	if err != nil || results[0].Err != nil {
		t.Fatalf("publish: %v, %v", err, results)
	}
	var d webhook.Delivery
	eventually(t, "an attempt", func() bool {
		list, _, err := g.Deliveries(t.Context(), everything, webhookID, gateway.DeliveryFilter{EventID: results[0].ID}, wholePage)
		if err != nil || len(list) != 1 {
			t.Fatalf("deliveries: %v, %v", list, err)
		}
		d = list[0]
		return d.Attempts > 0 || d.Status != webhook.Pending
	})
	return d
}

// noRetries makes one attempt of a delivery all there is.
func noRetries(s *gateway.Settings) *gateway.Settings {
	s.Retry = queue.Schedule{}
	return s
}

const someEvent = `{"type":"project.created","data":{"id":"proj_1","name":"My Project"}}`
