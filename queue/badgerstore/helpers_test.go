package badgerstore_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/queue/badgerstore"
	"github.com/tengineai/webhook-gateway/webhook"
)

var (
	background = context.Background()
	start      = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
)

func mustOpen(t testing.TB, o badgerstore.Options) *badgerstore.Store {
	t.Helper()
	s, err := badgerstore.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func mustClose(t testing.TB, s *badgerstore.Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// publication returns a publication of event n to wh_1.
func publication(n int) queue.Publication {
	return queue.Publication{
		Event:   &webhook.Event{ID: fmt.Sprintf("evt_%06d", n), Type: "a.b", ProjectID: "prj_1", ReceivedAt: start, Body: []byte(`{"n":1}`)},
		Targets: []queue.Target{{WebhookID: "wh_1", Status: webhook.Pending}},
	}
}

// mustPublish publishes events from to below to, each in a call of its own.
func mustPublish(t testing.TB, s queue.Store, from, to int) {
	t.Helper()
	for n := from; n < to; n++ {
		if _, err := s.Publish(background, []queue.Publication{publication(n)}); err != nil {
			t.Fatal(err)
		}
	}
}

// mustClaim claims n deliveries of wh_1.
func mustClaim(t testing.TB, s queue.Store, now time.Time, n int) []queue.Claimed {
	t.Helper()
	cs, _, err := s.Claim(background, queue.ClaimRequest{WebhookID: "wh_1", Owner: "tests", Max: n + 1, Now: now, Until: now.Add(time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	if len(cs) != n {
		t.Fatalf("claimed %d deliveries, want %d", len(cs), n)
	}
	return cs
}

func result(c queue.Claimed, status webhook.Status) queue.Result {
	r := queue.Result{Status: status, Attempt: &webhook.Attempt{Number: c.Delivery.Attempts + 1, StartedAt: start, Outcome: webhook.Success}}
	if status == webhook.Pending {
		r.NextAttemptAt = start.Add(time.Minute)
	}
	return r
}

func mustFinish(t testing.TB, s queue.Store, c queue.Claimed, status webhook.Status) {
	t.Helper()
	if err := s.Finish(background, c.Claim, result(c, status)); err != nil {
		t.Fatal(err)
	}
}

// mustSettle waits until the deliveries that are to be recorded are.
func mustSettle(t testing.TB, s *badgerstore.Store) {
	t.Helper()
	if err := badgerstore.Settle(s); err != nil {
		t.Fatal(err)
	}
}

func mustCheck(t testing.TB, s *badgerstore.Store) {
	t.Helper()
	if err := s.Check(); err != nil {
		t.Errorf("invariants do not hold: %v", err)
	}
}
