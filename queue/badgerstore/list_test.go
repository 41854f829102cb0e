package badgerstore_test

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/queue/badgerstore"
	"github.com/tengineai/webhook-gateway/webhook"
)

// FuzzCursor hands in cursors that the store may or may not have given.
func FuzzCursor(f *testing.F) {
	s := mustOpen(f, badgerstore.Options{Dir: f.TempDir()})
	mustPublish(f, s, 0, 3)
	page, err := s.Deliveries(background, queue.DeliveryQuery{WebhookID: "wh_1", Limit: 1})
	if err != nil || page.Next == "" {
		f.Fatalf("page is %+v, %v", page, err)
	}
	given := page.Next
	for _, seed := range []string{"", "AAAA", "AAAAAAAAAAAA", "\x00", given, given[1:], given + "="} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, cursor string) {
		check := func(err error) {
			if err != nil && !errors.Is(err, queue.ErrCursor) {
				t.Errorf("cursor %q: %v", cursor, err)
			}
		}
		_, err := s.Deliveries(background, queue.DeliveryQuery{WebhookID: "wh_1", Limit: 1, Cursor: cursor})
		check(err)
		_, err = s.Events(background, queue.EventQuery{ProjectID: "prj_1", Limit: 1, Cursor: cursor})
		check(err)
		_, err = s.Records(background, queue.WebhookRecord, "", cursor, 1)
		check(err)
	})
}

// TestDeletedEntriesArePassedInPieces lists what is pending of a webhook that
// had much pending once: Badger still has an entry for each.
func TestDeletedEntriesArePassedInPieces(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, badgerstore.Options{Dir: t.TempDir(), MemoryDeliveries: 1})
	mustPublish(t, s, 0, 1)
	badgerstore.ScanPerPage(s, 500)
	const batches, batch = 6, 100
	for n := range batches {
		pubs := make([]queue.Publication, batch)
		for i := range pubs {
			pubs[i] = publication(1 + n*batch + i)
			pubs[i].Targets[0].Status = webhook.Skipped
		}
		if _, err := s.Publish(background, pubs); err != nil {
			t.Fatal(err)
		}
	}
	mustCheck(t, s)
	if err := badgerstore.DeleteListed(s, "wh_1", webhook.Skipped); err != nil {
		t.Fatal(err)
	}
	q := queue.DeliveryQuery{WebhookID: "wh_1", Status: webhook.Skipped, Limit: 10}
	pages := 0
	for {
		page, err := s.Deliveries(background, q)
		if err != nil || len(page.Deliveries) > 0 {
			t.Fatalf("page has %d deliveries, %v", len(page.Deliveries), err)
		}
		pages++
		if page.Next == "" {
			break
		}
		q.Cursor = page.Next
	}
	if pages != 2 {
		t.Errorf("600 entries were passed in %d pages, want 2", pages)
	}
}

// BenchmarkHistory compares the first page of a list with the thousandth.
// WEBHOOK_GATEWAY_BENCH_DELIVERIES says how many deliveries there are.
func BenchmarkHistory(b *testing.B) {
	const limit = 50
	total := 200_000
	if text := os.Getenv("WEBHOOK_GATEWAY_BENCH_DELIVERIES"); text != "" {
		var err error
		if total, err = strconv.Atoi(text); err != nil {
			b.Fatal(err)
		}
	}
	dir := benchDir(b)
	s := mustOpen(b, badgerstore.Options{Dir: dir})
	fillHistory(b, s, total)
	mustClose(b, s) // so that all is in tables
	s = mustOpen(b, badgerstore.Options{Dir: dir})
	from := start.Add(time.Duration(total) * time.Millisecond / 20)
	for _, c := range []struct {
		name string
		q    queue.DeliveryQuery
		deep int // how many pages the far one lies behind
	}{
		{"all", queue.DeliveryQuery{}, 1000},
		{"delivered", queue.DeliveryQuery{Status: webhook.Delivered}, 1000},
		{"pending", queue.DeliveryQuery{Status: webhook.Pending}, 100},
		{"failed", queue.DeliveryQuery{Status: webhook.Failed}, 100},
		{"skipped", queue.DeliveryQuery{Status: webhook.Skipped}, 100},
		{"filter_error", queue.DeliveryQuery{Status: webhook.FilterError}, 100},
		{"corrupt", queue.DeliveryQuery{Status: webhook.Corrupt}, 0},
		{"type", queue.DeliveryQuery{EventType: "t.3"}, 200},
		{"type=rare", queue.DeliveryQuery{EventType: "t.none"}, 5},
		{"event", queue.DeliveryQuery{EventID: "evt_000777"}, 0},
		{"window", queue.DeliveryQuery{Since: start, Until: from}, 20},
		{"failed,window", queue.DeliveryQuery{Status: webhook.Failed, Until: from}, 2},
	} {
		c.q.WebhookID, c.q.Limit = "wh_1", limit
		for _, page := range []int{0, c.deep} {
			q := c.q
			for range page {
				got, err := s.Deliveries(background, q)
				if err != nil {
					b.Fatal(err)
				}
				if got.Next != "" {
					q.Cursor = got.Next
				}
			}
			b.Run(fmt.Sprintf("%s/page=%d", c.name, page+1), func(b *testing.B) {
				var n int
				for b.Loop() {
					got, err := s.Deliveries(background, q)
					if err != nil {
						b.Fatal(err)
					}
					n = len(got.Deliveries)
				}
				b.ReportMetric(float64(n), "rows")
			})
			if c.deep == 0 {
				break
			}
		}
	}
}

// fillHistory gives wh_1 deliveries of all kinds, mixed.
func fillHistory(b *testing.B, s *badgerstore.Store, total int) {
	b.Helper()
	const batch = 1000
	for n := 0; n < total; n += batch {
		pubs := make([]queue.Publication, batch)
		for i := range pubs {
			pubs[i] = publication(n + i)
			ev := pubs[i].Event
			ev.Type, ev.ReceivedAt = fmt.Sprintf("t.%d", i%10), start.Add(time.Duration(n+i)*time.Millisecond)
			switch i % 20 {
			case 0:
				pubs[i].Targets[0].Status = webhook.Skipped
			case 1:
				pubs[i].Targets[0].Status = webhook.FilterError
			}
			pubs[i].Targets = append(pubs[i].Targets, queue.Target{WebhookID: "wh_2", Status: webhook.Pending})
		}
		if _, err := s.Publish(background, pubs); err != nil {
			b.Fatal(err)
		}
		now := start.Add(time.Duration(n+batch) * time.Millisecond)
		cs, _, err := s.Claim(background, queue.ClaimRequest{WebhookID: "wh_1", Max: batch, Now: now, Until: now.Add(time.Minute)})
		if err != nil {
			b.Fatal(err)
		}
		results := make(chan error, len(cs))
		for i, c := range cs {
			r := result(c, webhook.Delivered)
			switch i % 10 {
			case 0:
				r = result(c, webhook.Failed)
			case 1:
				r = result(c, webhook.Pending)
				r.NextAttemptAt = start.Add(1000 * time.Hour)
			}
			go func() { results <- s.Finish(background, c.Claim, r) }()
		}
		for range cs {
			if err := <-results; err != nil {
				b.Fatal(err)
			}
		}
	}
	if got := s.Stats().Deliveries[webhook.Delivered]; got < int64(total/2) {
		b.Fatalf("only %d were delivered", got)
	}
}
