package badgerstore_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/queue/badgerstore"
	"github.com/tengineai/webhook-gateway/webhook"
)

func mustKnow(t *testing.T, s *badgerstore.Store, n int) {
	t.Helper()
	lanes, names, err := badgerstore.Lanes(s)
	if err != nil || lanes != n || names != n {
		t.Errorf("%d webhooks in memory and %d names on disk, %v; want %d", lanes, names, err, n)
	}
}

func mustRetire(t *testing.T, s *badgerstore.Store, before time.Time, n int) {
	t.Helper()
	if got, more, err := s.Retire(background, before, n+1); got != n || more || err != nil {
		t.Errorf("Retire gave %d, %v, %v, want %d", got, more, err, n)
	}
}

func TestDeletedWebhooksAreForgotten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := mustOpen(t, badgerstore.Options{Dir: dir})
	record := func(id string) {
		t.Helper()
		if _, err := s.PutRecord(background, queue.Record{Kind: queue.WebhookRecord, ID: id}); err != nil {
			t.Fatal(err)
		}
	}
	remove := func(id string) {
		t.Helper()
		if err := s.DeleteRecord(background, queue.WebhookRecord, id); err != nil {
			t.Fatal(err)
		}
	}
	record("wh_1")
	record("wh_2")
	pub := publication(0)
	pub.Targets = append(pub.Targets, queue.Target{WebhookID: "wh_2", Status: webhook.Skipped}, queue.Target{WebhookID: "wh_3", Status: webhook.Skipped})
	if _, err := s.Publish(background, []queue.Publication{pub}); err != nil {
		t.Fatal(err)
	}
	remove("wh_1")
	mustKnow(t, s, 3) // it has a delivery
	mustFinish(t, s, mustClaim(t, s, start, 1)[0], webhook.Cancelled)
	mustRetire(t, s, start.Add(time.Hour), 1)
	mustKnow(t, s, 1) // wh_2
	remove("wh_2")
	mustKnow(t, s, 0)

	// They can come back, and after a restart nothing is mixed up.
	mustPublish(t, s, 1, 3)
	mustClose(t, s)
	s = mustOpen(t, badgerstore.Options{Dir: dir})
	mustKnow(t, s, 1)
	for _, c := range mustClaim(t, s, start, 2) {
		mustFinish(t, s, c, webhook.Delivered)
	}
	mustCheck(t, s)
}

// TestForgettingLosesNothing has webhooks forgotten again and again while
// events to them are published.
func TestForgettingLosesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := mustOpen(t, badgerstore.Options{Dir: dir})
	var done atomic.Bool
	var publishers, retirer sync.WaitGroup
	for g := range 4 {
		publishers.Go(func() {
			for n := range 60 {
				pub := publication(g*1000 + n)
				pub.Targets = nil
				for i := range 3 {
					pub.Targets = append(pub.Targets, queue.Target{WebhookID: fmt.Sprintf("wh_%d", (g+n+i)%5), Status: webhook.Skipped})
				}
				if _, err := s.Publish(background, []queue.Publication{pub}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	retired := 0
	retirer.Go(func() {
		for !done.Load() {
			n, _, err := s.Retire(background, start.Add(time.Hour), 1000)
			if err != nil {
				t.Error(err)
			}
			retired += n
		}
	})
	publishers.Wait()
	done.Store(true)
	retirer.Wait()
	mustCheck(t, s)
	mustRetire(t, s, start.Add(time.Hour), 240-retired)
	mustKnow(t, s, 0)
	mustPublish(t, s, 0, 1)
	mustClose(t, s)
	s = mustOpen(t, badgerstore.Options{Dir: dir})
	mustClaim(t, s, start, 1)
	mustCheck(t, s)
}

// TestEventBehindAForgottenWebhookIsKept publishes while a webhook's lane is
// dropped on disk and not yet in memory. The caller may give up meanwhile, and
// use its list of targets for something else.
func TestEventBehindAForgottenWebhookIsKept(t *testing.T) {
	t.Parallel()
	for name, givenUp := range map[string]bool{"awaited": false, "given up": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			ctx, cancel := context.WithCancel(background)
			defer cancel()
			var s *badgerstore.Store
			var commits atomic.Int32 // until the one that forgets
			published := make(chan error, 1)
			s = mustOpen(t, badgerstore.Options{Dir: dir, OnCommit: func(time.Duration, int) {
				if commits.Add(-1) != 0 {
					return
				}
				go func() {
					pub := publication(1)
					_, err := s.Publish(ctx, []queue.Publication{pub})
					pub.Targets[0].WebhookID = "wh_other"
					published <- err
				}()
				badgerstore.AwaitQueued(s)
				if givenUp {
					cancel()
					if err := <-published; !errors.Is(err, context.Canceled) {
						t.Errorf("Publish: %v, want that it was given up", err)
					}
					published <- nil
				}
			}})
			if _, err := s.PutRecord(background, queue.Record{Kind: queue.WebhookRecord, ID: "wh_1"}); err != nil {
				t.Fatal(err)
			}
			mustPublish(t, s, 0, 1)
			mustFinish(t, s, mustClaim(t, s, start, 1)[0], webhook.Delivered)
			mustRetire(t, s, start.Add(time.Hour), 1)
			commits.Store(2) // the record, then the webhook
			if err := s.DeleteRecord(background, queue.WebhookRecord, "wh_1"); err != nil {
				t.Fatal(err)
			}
			if err := <-published; err != nil {
				t.Fatal(err)
			}
			if err := s.DeleteRecord(background, queue.KeyRecord, "none"); err != nil { // comes after it
				t.Fatal(err)
			}
			mustCheck(t, s)
			mustKnow(t, s, 1)
			mustClaim(t, s, start, 1)
			mustClose(t, s)
			s = mustOpen(t, badgerstore.Options{Dir: dir})
			mustClaim(t, s, start, 1)
			mustCheck(t, s)
		})
	}
}
