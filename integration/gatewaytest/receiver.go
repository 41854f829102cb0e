package gatewaytest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"
)

// Receiver is an HTTP server on loopback that records what it gets. It answers
// 200 unless told otherwise.
type Receiver struct {
	server *httptest.Server

	mu       sync.Mutex
	requests []Request
	statuses []int // of the next answers
	handler  http.Handler
	arrived  chan struct{} // closed and replaced at each arrival
}

// Request is a request as it arrived.
type Request struct {
	Method string
	Path   string
	Header http.Header
	Body   []byte
	At     time.Time // when its body was read
}

// NewReceiver starts a receiver. The test's end stops it.
func NewReceiver(t testing.TB) *Receiver {
	r := &Receiver{arrived: make(chan struct{})}
	r.server = httptest.NewServer(http.HandlerFunc(r.serve))
	t.Cleanup(func() {
		r.server.CloseClientConnections() // the gateway keeps its own open
		r.server.Close()
	})
	return r
}

// URL returns the receiver's URL, with a path of "/".
func (r *Receiver) URL() string { return r.server.URL + "/" }

// Answer sets the statuses of the next answers, one each, in order. After them
// it is 200 again.
func (r *Receiver) Answer(statuses ...int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.statuses = slices.Clone(statuses)
}

// Handle lets h answer from now on, for what a status does not say: headers,
// delays, broken connections. The request is recorded and its body read before.
// Nil: as in NewReceiver.
func (r *Receiver) Handle(h http.Handler) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.handler = h
}

// Requests returns what has arrived so far, oldest first.
func (r *Receiver) Requests() []Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.requests)
}

// Await waits until at least n requests have arrived and returns all of them,
// oldest first. It fails the test when they do not come.
func (r *Receiver) Await(t testing.TB, n int) []Request {
	t.Helper()
	deadline := time.After(patience)
	for {
		r.mu.Lock()
		requests, arrived := slices.Clone(r.requests), r.arrived
		r.mu.Unlock()
		if len(requests) >= n {
			return requests
		}
		select {
		case <-arrived:
		case <-deadline:
			t.Fatalf("%d of %d requests arrived within %v", len(requests), n, patience)
		}
	}
}

func (r *Receiver) serve(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return // the sender broke off
	}
	handler, status := r.record(Request{
		Method: req.Method,
		Path:   req.URL.Path,
		Header: req.Header.Clone(),
		Body:   body,
		At:     time.Now(),
	})
	if handler != nil {
		handler.ServeHTTP(w, req)
		return
	}
	w.WriteHeader(status)
}

// record keeps a request and returns how to answer it.
func (r *Receiver) record(request Request) (http.Handler, int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests = append(r.requests, request)
	close(r.arrived)
	r.arrived = make(chan struct{})

	if len(r.statuses) == 0 {
		return r.handler, http.StatusOK
	}
	status := r.statuses[0]
	r.statuses = r.statuses[1:]
	return nil, status
}
