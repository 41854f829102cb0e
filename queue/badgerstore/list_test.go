package badgerstore_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

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

// TestListByStatusAmongOthers lists failed deliveries, some side by side and
// some far apart, of which a few have been failed before and changed since.
func TestListByStatusAmongOthers(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, badgerstore.Options{Dir: t.TempDir()})
	const total = 400
	mustPublish(t, s, 0, total)
	var want []string
	for i, c := range mustClaim(t, s, start, total) {
		fails := i < 60 || i >= 340 || i%37 == 0
		if !fails {
			mustFinish(t, s, c, webhook.Delivered)
			continue
		}
		mustFinish(t, s, c, webhook.Failed)
		if i%9 == 0 {
			again, err := s.ClaimOne(background, c.Claim.DeliveryID, "tests", start, start.Add(time.Minute))
			if err != nil {
				t.Fatal(err)
			}
			mustFinish(t, s, again, webhook.Delivered)
			continue
		}
		want = append(want, c.Claim.DeliveryID)
	}
	slices.Reverse(want)
	for _, limit := range []int{1, 7, 1000} {
		q := queue.DeliveryQuery{WebhookID: "wh_1", Status: webhook.Failed, Limit: limit}
		if diff := cmp.Diff(want, listed(t, s, q)); diff != "" {
			t.Errorf("%d to a page, want, got:\n%s", limit, diff)
		}
	}
}

// TestListByTypeShowsDamagedRecords: of what is damaged nobody can say that it
// is of another type, so its event is asked.
func TestListByTypeShowsDamagedRecords(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, badgerstore.Options{Dir: t.TempDir()})
	mustPublish(t, s, 0, 3)
	var want []string
	for _, c := range mustClaim(t, s, start, 3) {
		mustFinish(t, s, c, webhook.Delivered)
		want = append(want, c.Claim.DeliveryID)
	}
	slices.Reverse(want)
	if err := badgerstore.FlipInDelivery(s, want[1]); err != nil {
		t.Fatal(err)
	}
	q := queue.DeliveryQuery{WebhookID: "wh_1", EventType: "a.b", Limit: 2}
	if diff := cmp.Diff(want, listed(t, s, q)); diff != "" {
		t.Errorf("want, got:\n%s", diff)
	}
	q.EventType = "a.c"
	if got := listed(t, s, q); len(got) > 0 {
		t.Errorf("got %v of another type", got)
	}
}

// listed returns the ids of a whole list.
func listed(t *testing.T, s *badgerstore.Store, q queue.DeliveryQuery) (ids []string) {
	t.Helper()
	for {
		page, err := s.Deliveries(background, q)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range page.Deliveries {
			ids = append(ids, d.ID)
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			return ids
		}
	}
}
