package badgerstore_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tengineai/webhook-gateway/queue"
	"github.com/tengineai/webhook-gateway/queue/badgerstore"
	"github.com/tengineai/webhook-gateway/webhook"
)

func TestDamagedDeliveryEndsCorrupt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		flip     func(*badgerstore.Store, string) error
		attempts int // that are left of two
	}{
		"delivery": {badgerstore.FlipInDelivery, 1},
		"event":    {badgerstore.FlipInEvent, 2},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := mustOpen(t, badgerstore.Options{Dir: dir})
			mustPublish(t, s, 0, 3)
			now := start
			for range 2 {
				for _, c := range mustClaim(t, s, now, 3) {
					mustFinish(t, s, c, webhook.Pending)
				}
				now = now.Add(time.Hour)
			}
			page, err := s.Deliveries(background, queue.DeliveryQuery{WebhookID: "wh_1", EventID: "evt_000001", Limit: 5})
			if err != nil || len(page.Deliveries) != 1 {
				t.Fatalf("deliveries are %+v, %v", page.Deliveries, err)
			}
			id := page.Deliveries[0].ID
			if err := c.flip(s, id); err != nil {
				t.Fatal(err)
			}
			mustClose(t, s)
			s = mustOpen(t, badgerstore.Options{Dir: dir})
			for _, c := range mustClaim(t, s, now, 2) {
				if c.Delivery.ID == id {
					t.Error("a damaged delivery was given out")
				}
				mustFinish(t, s, c, webhook.Delivered)
			}
			page, err = s.Deliveries(background, queue.DeliveryQuery{WebhookID: "wh_1", Status: webhook.Corrupt, Limit: 5})
			if err != nil || len(page.Deliveries) != 1 || page.Deliveries[0].ID != id || page.Deliveries[0].Attempts != c.attempts || page.Deliveries[0].EventID != "evt_000001" {
				t.Errorf("corrupt deliveries are %+v, %v", page.Deliveries, err)
			}
			if as, err := s.Attempts(background, id); err != nil || len(as) != c.attempts {
				t.Errorf("attempts are %+v, %v", as, err)
			}
			if st := s.Stats().Deliveries; st[webhook.Corrupt] != 1 || st[webhook.Pending] != 0 || s.Backlog("wh_1") != 0 {
				t.Errorf("counts are %v, backlog is %d", st, s.Backlog("wh_1"))
			}
			mustClaim(t, s, now, 0)
			if n, more, err := s.Retire(background, start.Add(time.Hour), 5); n != 3 || more || err != nil {
				t.Errorf("Retire gave %d, %v, %v", n, more, err)
			}
			if left, err := badgerstore.Entries(s); err != nil || len(left) > 0 {
				t.Errorf("after Retire there are %q, %v", left, err)
			}
		})
	}
}

func TestDamagedEventOfTheJournalEndsCorrupt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := mustOpen(t, badgerstore.Options{Dir: dir})
	mustPublish(t, s, 0, 3)
	page, err := s.Deliveries(background, queue.DeliveryQuery{WebhookID: "wh_1", EventID: "evt_000001", Limit: 5})
	if err != nil || len(page.Deliveries) != 1 {
		t.Fatalf("deliveries are %+v, %v", page.Deliveries, err)
	}
	id := page.Deliveries[0].ID
	if err := badgerstore.FlipInEvent(s, id); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		mustClose(t, s)
		s = mustOpen(t, badgerstore.Options{Dir: dir})
		for _, c := range mustClaim(t, s, start, 2) {
			if c.Delivery.ID == id {
				t.Error("a delivery of a damaged event was given out")
			}
		}
		mustSettle(t, s)
		page, err = s.Deliveries(background, queue.DeliveryQuery{WebhookID: "wh_1", Status: webhook.Corrupt, Limit: 5})
		if err != nil || len(page.Deliveries) != 1 || page.Deliveries[0].ID != id || page.Deliveries[0].Reason == "" {
			t.Errorf("corrupt deliveries are %+v, %v", page.Deliveries, err)
		}
		if st := s.Stats().Deliveries; st[webhook.Corrupt] != 1 || st[webhook.Pending] != 2 || s.Backlog("wh_1") != 2 {
			t.Errorf("counts are %v, backlog is %d", st, s.Backlog("wh_1"))
		}
	}
}

func TestUnreadableTargetsAreNotCounted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := mustOpen(t, badgerstore.Options{Dir: dir})
	mustPublish(t, s, 0, 3)
	id := mustClaim(t, s, start, 3)[1].Delivery.ID
	if err := badgerstore.FlipInTargets(s, id); err != nil {
		t.Fatal(err)
	}
	if _, err := s.EventWebhooks(background, "prj_1", "evt_000001", "", 5); !errors.Is(err, queue.ErrCorrupt) {
		t.Errorf("its webhooks: %v, want ErrCorrupt", err)
	}
	mustClose(t, s)
	s = mustOpen(t, badgerstore.Options{Dir: dir})
	for _, c := range mustClaim(t, s, start, 2) {
		mustFinish(t, s, c, webhook.Delivered)
	}
	if st := s.Stats().Deliveries; st[webhook.Delivered] != 2 || st[webhook.Pending] != 0 {
		t.Errorf("counts are %v", st)
	}
}

func TestDamagedEventCanBePublishedAgain(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, badgerstore.Options{Dir: t.TempDir()})
	mustPublish(t, s, 0, 2)
	old := mustClaim(t, s, start, 2)[0]
	mustFinish(t, s, old, webhook.Delivered)
	if err := badgerstore.FlipInEvent(s, old.Delivery.ID); err != nil {
		t.Fatal(err)
	}
	again := publication(0)
	again.Event.ReceivedAt = start.Add(time.Hour)
	for i, first := range []bool{true, false} {
		rs, err := s.Publish(background, []queue.Publication{again})
		if err != nil || rs[0].Deliveries != 1 || (rs[0].Stored == nil) != first {
			t.Fatalf("publication %d: receipt is %+v, %v", i, rs, err)
		}
	}
	if n, _, err := s.Retire(background, start.Add(time.Minute), 5); n != 1 || err != nil {
		t.Errorf("Retire gave %d, %v", n, err)
	}
	for _, id := range []string{"evt_000000", "evt_000001"} {
		if _, err := s.Event(background, "prj_1", id); err != nil {
			t.Error(err)
		}
		if ps, err := s.EventProjects(background, id, 5); err != nil || len(ps) != 1 {
			t.Errorf("projects of %s are %q, %v", id, ps, err)
		}
	}
	mustCheck(t, s)
}

func TestDeliveryOfDamagedEventIsNotClaimedByHand(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, badgerstore.Options{Dir: t.TempDir()})
	mustPublish(t, s, 0, 1)
	c := mustClaim(t, s, start, 1)[0]
	mustFinish(t, s, c, webhook.Failed)
	if err := badgerstore.FlipInEvent(s, c.Delivery.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ClaimOne(background, c.Delivery.ID, "tests", start, start.Add(time.Minute)); !errors.Is(err, queue.ErrCorrupt) {
		t.Errorf("ClaimOne: %v, want ErrCorrupt", err)
	}
	if d, ev, err := s.Delivery(background, c.Delivery.ID); err != nil || d.Status != webhook.Failed || ev.ID != d.EventID {
		t.Errorf("Delivery gave %+v of %+v, %v", d, ev, err)
	}
}

func TestDamagedRecordIsNamedAndCanBeReplaced(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, badgerstore.Options{Dir: t.TempDir()})
	put := func(id, project string) {
		t.Helper()
		rec := queue.Record{Kind: queue.WebhookRecord, ID: id, ProjectID: project, Data: []byte("what is kept of it")}
		if _, err := s.PutRecord(background, rec); err != nil {
			t.Fatal(err)
		}
	}
	list := func(project string, whole, damaged int) {
		t.Helper()
		var recs, bad int
		for cursor := ""; ; {
			page, err := s.Records(background, queue.WebhookRecord, project, cursor, 2)
			if err != nil {
				t.Fatal(err)
			}
			recs, bad = recs+len(page.Records), bad+len(page.Damaged)
			if cursor = page.Next; cursor == "" {
				break
			}
		}
		if recs != whole || bad != damaged {
			t.Errorf("%q lists %d records and %d damaged ones, want %d and %d", project, recs, bad, whole, damaged)
		}
	}
	for _, id := range []string{"wh_1", "wh_2", "wh_3", "wh_4"} {
		put(id, "prj_1")
	}
	for _, id := range []string{"wh_2", "wh_3"} {
		if err := badgerstore.FlipInRecord(s, queue.WebhookRecord, id); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Record(background, queue.WebhookRecord, "wh_2"); !errors.Is(err, queue.ErrCorrupt) {
		t.Errorf("Record: %v, want ErrCorrupt", err)
	}
	list("", 2, 2)
	list("prj_1", 2, 2)
	put("wh_2", "prj_2")
	if err := s.DeleteRecord(background, queue.WebhookRecord, "wh_3"); err != nil {
		t.Fatal(err)
	}
	list("", 3, 0)
	list("prj_1", 2, 0)
	list("prj_2", 1, 0)
}

func TestScrubCountsWhatIsDamaged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	core, logs := observer.New(zapcore.ErrorLevel)
	o := badgerstore.Options{Dir: dir, Logger: zap.New(core)}
	s := mustOpen(t, o)
	mustPublish(t, s, 0, 5)
	for range 2 {
		for _, c := range mustClaim(t, s, start.Add(time.Hour), 5) {
			mustFinish(t, s, c, webhook.Pending)
		}
	}
	big := publication(7)
	big.Event.Body = make([]byte, 512<<10) // more than is read at a time
	if _, err := s.Publish(background, []queue.Publication{big}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.PutRecord(background, queue.Record{Kind: queue.WebhookRecord, ID: "wh_1", Data: make([]byte, 50)}); err != nil {
		t.Fatal(err)
	}
	if st := s.Stats(); !st.CheckedAt.IsZero() {
		t.Errorf("stats are %+v", st)
	}
	badgerstore.Scrub(s)
	if st := s.Stats(); st.CheckedAt.IsZero() || st.Damaged != 0 || logs.Len() != 0 {
		t.Errorf("stats are %+v, log is %v", st, logs.All())
	}
	ids := []string{}
	for _, c := range mustClaim(t, s, start.Add(2*time.Hour), 6) {
		ids = append(ids, c.Delivery.ID)
	}
	err := errors.Join(
		badgerstore.FlipInEvent(s, ids[0]), badgerstore.FlipInTargets(s, ids[1]),
		badgerstore.FlipInRecord(s, queue.WebhookRecord, "wh_1"))
	if err != nil {
		t.Fatal(err)
	}
	badgerstore.Scrub(s)
	if st := s.Stats(); st.Damaged != 3 || logs.Len() != 4 {
		t.Errorf("stats are %+v, log is %v", st, logs.All())
	}
}

// TestAbandonedClaimOfADamagedDelivery has a Claim given up while the delivery
// that it found damaged ends.
func TestAbandonedClaimOfADamagedDelivery(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, badgerstore.Options{Dir: t.TempDir()})
	mustPublish(t, s, 0, 1)
	c := mustClaim(t, s, start, 1)[0]
	mustFinish(t, s, c, webhook.Pending)
	if err := badgerstore.FlipInDelivery(s, c.Delivery.ID); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(background)
	cancel()
	now := start.Add(time.Hour)
	_, _, err := s.Claim(ctx, queue.ClaimRequest{WebhookID: "wh_1", Max: 1, Now: now, Until: now.Add(time.Minute)})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("Claim: %v, want that it was given up", err)
	}
	mustPublish(t, s, 1, 2) // commits what was left behind
	mustClaim(t, s, now, 1)
	if n := s.Backlog(""); n != 1 {
		t.Errorf("%d deliveries are pending, want 1", n)
	}
	mustCheck(t, s)
}
